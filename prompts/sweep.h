/*
 * The sweep: score every block of 64 rows of every segment with the question.
 *
 * The question is run behind the shared prefix; the queries of its own tokens at the retrieval
 * heads are turned as if every key stood PD_SWEEP_DISTANCE tokens before them and multiplied with
 * the stored keys.  Per head: the segment's log-sum-exp is subtracted from each query token's
 * scores, the block keeps the maximum over query tokens, and is standardised over all blocks; a
 * block's score is the mean of its standardised scores over heads (the z-sum of the
 * hybrid-attention design, section 8, which also gives the distance).
 */
#ifndef PD_SWEEP_H
#define PD_SWEEP_H

#include "prompts/context.h"

#define PD_SWEEP_DISTANCE 256
#define PD_SWEEP_BLOCK_ROWS PD_SCORE_BLOCK

typedef struct {
    guint segment;   /* index in context->segments */
    guint first_row; /* of the record: header rows come first */
    guint n_rows;
    float score;   /* mean z over heads */
    int best_head; /* index into the heads scored with: the one with the largest z */
    float best_z;
} PdBlock;

/*
 * All blocks, best first; ties go to the earlier block.  Records that are missing or damaged are an
 * error (warm first).  `scores` (may be NULL): for calibration, receives for each head in turn the
 * z of every block in corpus order, f32 (n_heads, n_blocks).
 */
GArray *pd_sweep(PdContext *context, const char *question, const PdHead *heads, int n_heads,
                 GArray *scores, GCancellable *cancellable, GError **error);

#endif
