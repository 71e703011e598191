/*
 * A haystack with known needles: text of real corpora into which facts were planted, and the
 * questions about it.  In memory only; nothing is written to a corpus.
 *
 * Questions come from three places: planted facts (facts.h, TRAIN), functions asked for by the
 * comment that stood above them and was taken out, and, if given, a file of questions with quoted
 * evidence about one of the corpora.
 */
#ifndef PD_HAYSTACK_H
#define PD_HAYSTACK_H

#include "prompts/context.h"

typedef struct {
    GArray *ids; /* gint32: header, then text */
    guint n_header;
    guint first_block; /* of the text's blocks of PD_SCORE_BLOCK tokens, in the haystack */
    guint n_blocks;
} PdHaySegment;

typedef struct {
    char *text;
    const char *kind;  /* "literal", ..., "function", "sample" */
    GPtrArray *groups; /* GArray of guint: of each group one block has to be found */
} PdHayQuestion;

typedef struct {
    GArray *segments;     /* PdHaySegment */
    GPtrArray *questions; /* PdHayQuestion; those whose needle got no block are left out */
    guint n_blocks;
    guint n_rows; /* headers included */
} PdHaystack;

typedef struct {
    const char *questions; /* JSONL file with "question" and "evidence": [{"quote"}], or NULL */
    guint n_tokens;        /* about as many; every corpus gives an equal share, if it has it */
    guint64 seed;
} PdHaystackOptions;

#define PD_HAYSTACK_TOKENS_MIN 2048

/* contexts: PdContext of one model, opened as PD_READ_SWEPT.  Free with pd_haystack_free. */
PdHaystack *pd_haystack_new(GPtrArray *contexts, const PdHaystackOptions *options, GError **error);
void pd_haystack_free(PdHaystack *haystack);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdHaystack, pd_haystack_free)

#endif
