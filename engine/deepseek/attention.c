/*
 * The core of attention (section 3.3), one query head over keys that are the values too:
 *
 *   logit[j] = q . key_j / sqrt(head_dim)
 *   M = max(sink, logits),  Z = exp(sink - M) + sum_j exp(logit[j] - M)
 *   out = sum_j exp(logit[j] - M) / Z  key_j
 *
 * One softmax spans the window's rows and the compressed entries; the sink takes its share of Z and
 * gives nothing.
 */
#include <math.h>
#include "engine/deepseek/reference.h"

void
pd_ds_attend(const float *q, int head_dim, const float *const *keys, int n_keys, float sink,
             float *logits, float *out)
{
    double scale = 1 / sqrt(head_dim), max = sink;
    for (int j = 0; j < n_keys; j++) {
        logits[j] = (float)(pd_ds_dot(q, keys[j], head_dim) * scale);
        max = MAX(max, logits[j]);
    }
    double sum = exp(sink - max);
    for (int j = 0; j < n_keys; j++) {
        logits[j] = (float)exp(logits[j] - max);
        sum += logits[j];
    }
    for (int i = 0; i < head_dim; i++) {
        double total = 0;
        for (int j = 0; j < n_keys; j++)
            total += (double)logits[j] * keys[j][i];
        out[i] = (float)(total / sum);
    }
}
