/* See sweep_pool.h. */
#include "prompts/sweep_pool.h"

#include <math.h>
#include <string.h>

static void
standardise(float *scores, guint n)
{
    double sum = 0, squares = 0, mean, deviation;

    for (guint i = 0; i < n; i++)
        sum += scores[i];
    mean = sum / n;
    for (guint i = 0; i < n; i++)
        squares += (scores[i] - mean) * (scores[i] - mean);
    deviation = sqrt(squares / n);
    for (guint i = 0; i < n; i++)
        scores[i] = deviation > 0 ? (float)((scores[i] - mean) / deviation) : 0;
}

/* z[b] = sum_i max(z_i[b] - 1, 0),  z_i: word i's scores standardised over the blocks. */
void
pd_sweep_pool(const float *best, gsize stride, gsize n, guint n_blocks, float *scratch, float *z)
{
    memset(z, 0, n_blocks * sizeof *z);
    for (gsize i = 0; i < n; i++) {
        for (guint b = 0; b < n_blocks; b++)
            scratch[b] = best[b * stride + i];
        standardise(scratch, n_blocks);
        for (guint b = 0; b < n_blocks; b++)
            z[b] += MAX(scratch[b] - PD_SWEEP_STANDS_OUT, 0);
    }
    standardise(z, n_blocks);
}

void
pd_sweep_fuse(const float *z, const PdHead *heads, int n_heads, guint n_blocks, float *scratch,
              float *scores)
{
    int n_groups = 0;

    for (int h = 0; h < n_heads; h++)
        n_groups = MAX(n_groups, heads[h].group + 1);
    for (guint b = 0; b < n_blocks; b++)
        scores[b] = -INFINITY;
    for (int group = 0; group < n_groups; group++) {
        memset(scratch, 0, n_blocks * sizeof *scratch);
        for (int h = 0; h < n_heads; h++)
            for (guint b = 0; b < n_blocks && heads[h].group == group; b++)
                scratch[b] += z[(gsize)h * n_blocks + b];
        standardise(scratch, n_blocks);
        for (guint b = 0; b < n_blocks; b++)
            scores[b] = MAX(scores[b], scratch[b]);
    }
}
