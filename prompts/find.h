/*
 * Finding: the blocks of a swept corpus in the order in which they are worth reading for a
 * question. The retrieval heads score all of them (sweep.h), words put their best between
 * (lexical.h), and so does what the best sentence leads to (follow.h).
 */
#ifndef PD_FIND_H
#define PD_FIND_H

#include "prompts/context.h"
#include "prompts/rerank.h"
#include "prompts/sweep.h"

/* What finds the passages of a swept corpus. */
typedef enum {
    PD_ARM_AUTO,  /* BOTH */
    PD_ARM_SWEEP, /* the retrieval heads alone */
    PD_ARM_FTS,   /* the words alone (BM25): nothing needs to be warm, all passages are run */
    PD_ARM_BOTH   /* the sweep, and the best of the words between its best */
} PdArm;

/* "sweep" and so on, and back (NULL: AUTO); FALSE for an unknown word. */
const char *pd_arm_name(PdArm arm);
gboolean pd_parse_arm(const char *word, PdArm *arm);

#define PD_FIND_BY_WORDS 64 /* blocks that words may offer */

typedef struct {
    PdArm arm;      /* not AUTO */
    guint n_rerank; /* so many of the best of BOTH are put in order by reading them (rerank.h) */
    PdRerankProgress progress; /* of that, in blocks of all questions; NULL: none */
    gpointer user_data;
} PdFindOptions;

/*
 * For each of n questions the blocks of the corpus, best first: an array of PdBlock, of all blocks
 * or, for PD_ARM_FTS, of those that words found.  All but FTS need the corpus warm; CORRUPT: a
 * record on the disk is damaged and was dropped, warm again.
 */
GPtrArray *pd_find_blocks(PdContext *context, const char *const *questions, guint n,
                          const PdFindOptions *options, GCancellable *cancellable, GError **error);

#endif
