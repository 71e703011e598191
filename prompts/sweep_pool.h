/* From words' scores to a block's: the arithmetic of sweep.h alone, shared by the sweep and by the
 * calibration of its heads (head_scores.h), so that heads are chosen by what they will do. */
#ifndef PD_SWEEP_POOL_H
#define PD_SWEEP_POOL_H

#include "prompts/sweep.h"

/* Deviations above the mean from which a block has something of a word. */
#define PD_SWEEP_STANDS_OUT 1.0f

/* z[b] of one question and head, standardised over the blocks.  best: (n_blocks, stride), of which
 * this question's words are the first n; scratch: one float a block. */
void pd_sweep_pool(const float *best, gsize stride, gsize n, guint n_blocks, float *scratch,
                   float *z);

/* The blocks' scores from their z (n_heads, n_blocks): the largest over the groups of heads of the
 * standardised mean of the group's heads.  scratch: one float a block. */
void pd_sweep_fuse(const float *z, const PdHead *heads, int n_heads, guint n_blocks, float *scratch,
                   float *scores);

#endif
