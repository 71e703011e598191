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

/* The words' best scores as their mean or maximum. */
static void
pool_plain(PdSweepPool pool, const float *best, gsize stride, gsize n, guint n_blocks, float *z)
{
    for (guint b = 0; b < n_blocks; b++) {
        const float *of_block = best + b * stride;
        double sum = 0;
        float most = -INFINITY;

        for (gsize i = 0; i < n; i++) {
            sum += of_block[i];
            most = MAX(most, of_block[i]);
        }
        z[b] = pool == PD_SWEEP_POOL_MAX ? most : (float)(sum / (double)n);
    }
}

/* z[b] = sum_i w_i z_i[b] / sum_i w_i,  z_i: word i's scores standardised over the blocks,
 * w_i = max_b z_i[b].  word: scratch for n_blocks. */
static void
pool_weighed(const float *best, gsize stride, gsize n, guint n_blocks, float *word, float *z)
{
    float weights = 0;

    memset(z, 0, n_blocks * sizeof *z);
    for (gsize i = 0; i < n; i++) {
        float most = 0;

        for (guint b = 0; b < n_blocks; b++)
            word[b] = best[b * stride + i];
        standardise(word, n_blocks);
        for (guint b = 0; b < n_blocks; b++)
            most = MAX(most, word[b]);
        for (guint b = 0; b < n_blocks; b++)
            z[b] += most * word[b];
        weights += most;
    }
    for (guint b = 0; b < n_blocks && weights > 0; b++)
        z[b] /= weights;
}

void
pd_sweep_pool(PdSweepPool pool, const float *best, gsize stride, gsize n, guint n_blocks,
              float *scratch, float *z)
{
    if (pool == PD_SWEEP_POOL_WEIGHED)
        pool_weighed(best, stride, n, n_blocks, scratch, z);
    else
        pool_plain(pool, best, stride, n, n_blocks, z);
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
