/*
 * Compressed entries (sections 4.1, 4.2 and 4.4).  Token t gives u_t = wkv . x_t and
 * s_t = wgate . x_t + ape[t mod m].  Entry w pools, per channel, with a softmax of s over
 *
 *   not overlapping:  tokens m w .. m w + m - 1
 *   overlapping:      the first half of the channels of window w - 1's tokens and the second half
 *                     of window w's: 2 m slots.  Window -1 has u = 0, s = -infinity.
 *
 *   c_w = rope(norm(pooled), m w)
 *
 * Windows stand at multiples of m whatever the chunks.  Entry w is there from token m w + m - 1 on,
 * for that token too.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/reference.h"

void
pd_ds_pool_clear(const PdDsLayerShape *layer, int width, PdDsPool *pool)
{
    gsize coff = (gsize)pd_ds_coff(layer->kind);
    gsize n = coff * (gsize)layer->ratio * coff * (gsize)width;
    for (gsize i = 0; i < n; i++) {
        pool->values[i] = 0;
        pool->scores[i] = -INFINITY;
    }
}

/* A softmax-weighted mean, slot by slot; weights are relative to the largest score so far. */
typedef struct {
    double max, sum, total;
} Mean;

static void
mean_add(Mean *mean, double score, double value)
{
    if (score == -INFINITY)
        return;
    if (score > mean->max) {
        double shrink = exp(mean->max - score);
        mean->sum *= shrink;
        mean->total *= shrink;
        mean->max = score;
    }
    double weight = exp(score - mean->max);
    mean->sum += weight;
    mean->total += weight * value;
}

/* The entry of a complete window. */
static void
pool_window(const PdDsLayerShape *layer, int width, const PdDsPool *pool, float *entry)
{
    int m = layer->ratio, coff = pd_ds_coff(layer->kind);
    gsize stride = (gsize)(coff * width);
    for (int c = 0; c < width; c++) {
        Mean mean = {-INFINITY, 0, 0};
        for (int slot = 0; slot < coff * m; slot++) {
            /* The window before gives its first half, this one its last. */
            int half = slot / m;
            gsize at = (gsize)slot * stride + (gsize)(half * width + c);
            mean_add(&mean, pool->scores[at], pool->values[at]);
        }
        entry[c] = (float)(mean.total / mean.sum);
    }
}

gboolean
pd_ds_compress(const PdDsLayerShape *layer, const PdDsCompressor *c, int width, float eps,
               const PdDsRope *rope, int position, const float *value, const float *gate,
               PdDsPool *pool, float *entry)
{
    int m = layer->ratio, coff = pd_ds_coff(layer->kind), place = position % m;
    gsize stride = (gsize)(coff * width);
    gsize current = (gsize)((coff - 1) * m) * stride; /* where this window's rows start */
    float *scores = pool->scores + current + (gsize)place * stride;
    memcpy(pool->values + current + (gsize)place * stride, value, stride * sizeof *value);
    pd_ds_matrix_row(&c->ape, place, scores);
    for (gsize i = 0; i < stride; i++)
        scores[i] += gate[i];
    if (place != m - 1)
        return FALSE;

    float turn[2 * G_N_ELEMENTS(rope->freq)];
    pool_window(layer, width, pool, entry);
    pd_ds_rms_norm(entry, c->norm, width, eps, entry);
    pd_ds_rope_at(rope, position - (m - 1), turn);
    pd_ds_rope_apply(rope, turn, entry, width);
    if (coff == 2) {
        memcpy(pool->values, pool->values + current, current * sizeof *value);
        memcpy(pool->scores, pool->scores + current, current * sizeof *value);
    }
    return TRUE;
}
