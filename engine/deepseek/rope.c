/*
 * Partial rotary positions (section 3.2): the last rope_dim dimensions of a head, in neighbouring
 * pairs,  (a, b) -> (a c - b s, a s + b c)  with the angle position * f_i.
 *
 *   f_i  = theta^(-2i / rope_dim)
 *   YaRN: f_i' = f_i (1 - ramp_i) + f_i / factor * ramp_i,
 *         ramp_i = clamp((i - low) / (high - low), 0, 1),  low, high = corr(beta_fast, beta_slow),
 *         corr(r) = rope_dim ln(context / (2 pi r)) / (2 ln theta)
 *
 * Frequencies and the product with the position are rounded to float, as in the reference: near a
 * million positions that rounding is seen.  Cosine and sine are exact.
 */
#include <math.h>
#include "engine/deepseek/reference.h"

static double
correction(const PdDsRopeShape *shape, int rope_dim, double turns)
{
    return rope_dim * log(shape->yarn_context / (2 * G_PI * turns)) / (2 * log(shape->theta));
}

static void
stretch(PdDsRope *rope, const PdDsRopeShape *shape, int rope_dim)
{
    double low = correction(shape, rope_dim, shape->yarn_beta_fast);
    double high = correction(shape, rope_dim, shape->yarn_beta_slow);
    if (shape->yarn_truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = MAX(low, 0);
    high = MIN(high, rope_dim - 1);
    if (low == high)
        high += 0.001; /* no division by zero; the value is that of transformers */
    for (int i = 0; i < rope->n_pairs; i++) {
        float ramp = (float)CLAMP((i - low) / (high - low), 0, 1);
        float f = rope->freq[i];
        rope->freq[i] = f * (1 - ramp) + f / shape->yarn_factor * ramp;
    }
}

void
pd_ds_rope_init(PdDsRope *rope, const PdDsRopeShape *shape, int rope_dim)
{
    g_assert(rope_dim / 2 <= (int)G_N_ELEMENTS(rope->freq));
    rope->n_pairs = rope_dim / 2;
    rope->amplitude = shape->amplitude;
    for (int i = 0; i < rope->n_pairs; i++)
        rope->freq[i] = 1 / powf(shape->theta, (float)(2 * i) / (float)rope_dim);
    if (shape->yarn_factor > 0)
        stretch(rope, shape, rope_dim);
}

void
pd_ds_rope_at(const PdDsRope *rope, int position, float *turn)
{
    for (int i = 0; i < rope->n_pairs; i++) {
        float angle = (float)position * rope->freq[i];
        turn[2 * i] = (float)cos((double)angle) * rope->amplitude;
        turn[2 * i + 1] = (float)sin((double)angle) * rope->amplitude;
    }
}

void
pd_ds_rope_apply(const PdDsRope *rope, const float *turn, float *head, int width)
{
    float *x = head + width - 2 * rope->n_pairs;
    for (int i = 0; i < rope->n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], c = turn[2 * i], s = turn[2 * i + 1];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = a * s + b * c;
    }
}

void
pd_ds_rope_undo(const PdDsRope *rope, const float *turn, float *head, int width)
{
    float *x = head + width - 2 * rope->n_pairs;
    for (int i = 0; i < rope->n_pairs; i++) {
        float a = x[2 * i], b = x[2 * i + 1], c = turn[2 * i], s = turn[2 * i + 1];
        x[2 * i] = a * c + b * s;
        x[2 * i + 1] = b * c - a * s;
    }
}
