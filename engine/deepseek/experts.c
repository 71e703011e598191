/*
 * Experts (section 5).
 *
 *   l = gate . x,  s = sqrt(softplus(l))
 *   ids = those of the token's id (hash layers), or the n largest of s + bias
 *   w_i = s[ids_i] / sum_i s[ids_i] * routed_scaling            the bias only chooses
 *   expert(x) = w2 . (silu(min(w1 . x, limit)) * clamp(w3 . x, -limit, limit))
 *   out = sum_i w_i expert_{ids_i}(x) + shared(x)
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/reference.h"

/* sqrt(log(1 + exp(x))) without overflow. */
static float
sqrt_softplus(float x)
{
    return (float)sqrt(x > 20 ? (double)x : log1p(exp((double)x)));
}

void
pd_ds_choose_experts(const PdDsShape *s, const PdDsLayer *layer, gint32 token, float *router,
                     float *biased, int *ids)
{
    int n_used = s->n_experts_used;
    for (int e = 0; e < s->n_experts; e++)
        router[e] = sqrt_softplus(router[e]);
    if (layer->token_experts != NULL) {
        memcpy(ids, layer->token_experts + (gsize)token * (gsize)n_used,
               (gsize)n_used * sizeof *ids);
    } else {
        for (int e = 0; e < s->n_experts; e++)
            biased[e] = router[e] + layer->gate_bias[e];
        pd_ds_top_k(biased, s->n_experts, n_used, ids);
    }
}

void
pd_ds_weigh_experts(const PdDsShape *s, const float *scores, const int *ids, float *weights)
{
    double sum = 1e-20; /* as in transformers: no division by zero */
    for (int i = 0; i < s->n_experts_used; i++)
        sum += scores[ids[i]];
    for (int i = 0; i < s->n_experts_used; i++)
        weights[i] = (float)(scores[ids[i]] / sum * s->routed_scaling);
}

void
pd_ds_expert(const PdDsShape *s, const PdDsExpert *expert, float weight, const float *x,
             float *gate, float *up, float *y, float *row, float *out)
{
    float limit = s->swiglu_limit;
    pd_ds_product(&expert->w1, x, 1, gate, row);
    pd_ds_product(&expert->w3, x, 1, up, row);
    for (int i = 0; i < s->n_ff; i++) {
        float a = MIN(gate[i], limit), b = CLAMP(up[i], -limit, limit);
        gate[i] = a * pd_ds_sigmoid(a) * b;
    }
    pd_ds_product(&expert->w2, gate, 1, y, row);
    for (int i = 0; i < s->n_embd; i++)
        out[i] += weight * y[i];
}
