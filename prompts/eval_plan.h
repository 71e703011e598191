/* What eval*.c share: which places of a corpus are planted and asked about. */
#ifndef PD_EVAL_PLAN_H
#define PD_EVAL_PLAN_H

#include "prompts/eval.h"

/* A change of a part's text: a planted line, or a comment taken out. */
typedef struct {
    gint64 part_id;
    guint32 start;
    guint32 end;
    char *text;       /* NULL: nothing in its place */
    PdEvalItem *item; /* whose place it becomes; NULL: a look-alike or a removal */
    guint place;      /* index in item->places */
} PdEvalPlant;

typedef struct {
    PdCorpus *corpus;
    GPtrArray *documents; /* PdDocumentRow */
    GPtrArray *segments;  /* PdSegmentRow */
    const PdEvalOptions *options;
    GPtrArray *items;  /* PdEvalItem */
    GArray *plants;    /* PdEvalPlant */
    GHashTable *taken; /* part ids that are not to be planted in: int64 set */
    GPtrArray *notes;
} PdEvalPlan;

PdEvalPlan *pd_eval_plan_new(PdCorpus *corpus, PdTokenizer *tokenizer, const PdEvalOptions *options,
                             GPtrArray *notes, GCancellable *cancellable, GError **error);
void pd_eval_plan_free(PdEvalPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdEvalPlan, pd_eval_plan_free)

PdEvalItem *pd_eval_item_new(PdEvalTask task, const char *subtask, guint index, PdFact *fact);
void pd_eval_item_free(PdEvalItem *item);

/* The corpus's own material; places are in bytes of the texts before planting. */
gboolean pd_eval_plan_repofn(PdEvalPlan *plan, GError **error); /* eval_repofn.c */
gboolean pd_eval_plan_coref(PdEvalPlan *plan, GError **error);  /* eval_coref.c */
/* Planted facts: after the other two, which say what must stay as it is. */
gboolean pd_eval_plan_facts(PdEvalPlan *plan, GError **error);
/* Change the texts and move all places to where they lie then. */
gboolean pd_eval_plan_apply(PdEvalPlan *plan, GError **error);

#endif
