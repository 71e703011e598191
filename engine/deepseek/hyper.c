/*
 * Manifold-constrained hyper-connections (section 2.3).  A token is hc residual streams x[k]; with
 * r = 1 / sqrt(mean over all streams of x^2 + eps) and mix = (fn . x) r,
 *
 *   pre[k]  = sigmoid(mix[k] scale[0] + base[k]) + hc_eps
 *   post[k] = 2 sigmoid(mix[hc + k] scale[1] + base[hc + k])
 *   comb    = Sinkhorn(mix[2 hc ...] scale[2] + base[2 hc ...])       (hc, hc)
 *   y       = sum_k pre[k] x[k]                                       what the sublayer reads
 *   x'[k]   = post[k] f + sum_j comb[j][k] x[j]                       f: what it gave
 *
 * comb is doubly stochastic and acts transposed.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/reference.h"

/* One factor for all streams together. */
static double
inverse_rms(const PdDsShape *s, const float *streams)
{
    int n = s->hc_mult * s->n_embd;
    return 1 / sqrt(pd_ds_dot(streams, streams, n) / n + s->rms_eps);
}

static void
normalise_rows(float *c, int n, float eps)
{
    for (int j = 0; j < n; j++) {
        double sum = eps;
        for (int k = 0; k < n; k++)
            sum += c[j * n + k];
        for (int k = 0; k < n; k++)
            c[j * n + k] = (float)(c[j * n + k] / sum);
    }
}

static void
normalise_columns(float *c, int n, float eps)
{
    for (int k = 0; k < n; k++) {
        double sum = eps;
        for (int j = 0; j < n; j++)
            sum += c[j * n + k];
        for (int j = 0; j < n; j++)
            c[j * n + k] = (float)(c[j * n + k] / sum);
    }
}

/* Row softmax plus eps, then columns; then rows and columns iters - 1 times more. */
static void
sinkhorn(float *c, int n, int iters, float eps)
{
    for (int j = 0; j < n; j++) {
        float *row = c + j * n;
        double max = row[0], sum = 0;
        for (int k = 1; k < n; k++)
            max = MAX(max, row[k]);
        for (int k = 0; k < n; k++)
            sum += exp(row[k] - max);
        for (int k = 0; k < n; k++)
            row[k] = (float)(exp(row[k] - max) / sum + eps);
    }
    normalise_columns(c, n, eps);
    for (int i = 1; i < iters; i++) {
        normalise_rows(c, n, eps);
        normalise_columns(c, n, eps);
    }
}

void
pd_ds_hyper_weights(const PdDsShape *s, const PdDsSite *site, const float *streams,
                    const float *mix, float *pre, float *post, float *comb)
{
    int hc = s->hc_mult;
    double r = inverse_rms(s, streams);
    pd_ds_hyper_head(s, site, streams, mix, pre);
    for (int k = 0; k < hc; k++) {
        double x = mix[hc + k] * r * site->scale[1] + site->base[hc + k];
        post[k] = 2 * pd_ds_sigmoid((float)x);
    }
    for (int i = 0; i < hc * hc; i++)
        comb[i] = (float)(mix[2 * hc + i] * r * site->scale[2] + site->base[2 * hc + i]);
    sinkhorn(comb, hc, s->hc_sinkhorn_iters, s->hc_eps);
}

/* pre alone: all that the head after the last layer has. */
void
pd_ds_hyper_head(const PdDsShape *s, const PdDsSite *site, const float *streams, const float *mix,
                 float *pre)
{
    double r = inverse_rms(s, streams);
    for (int k = 0; k < s->hc_mult; k++) {
        double x = mix[k] * r * site->scale[0] + site->base[k];
        pre[k] = pd_ds_sigmoid((float)x) + s->hc_eps;
    }
}

void
pd_ds_hyper_collapse(const PdDsShape *s, const float *pre, const float *streams, float *y)
{
    for (int i = 0; i < s->n_embd; i++) {
        double sum = 0;
        for (int k = 0; k < s->hc_mult; k++)
            sum += (double)pre[k] * streams[(gsize)k * (gsize)s->n_embd + (gsize)i];
        y[i] = (float)sum;
    }
}

void
pd_ds_hyper_expand(const PdDsShape *s, const float *post, const float *comb, const float *f,
                   float *streams, float *old)
{
    gsize d = (gsize)s->n_embd;
    int hc = s->hc_mult;
    memcpy(old, streams, (gsize)hc * d * sizeof *old);
    for (int k = 0; k < hc; k++) {
        for (gsize i = 0; i < d; i++) {
            double sum = (double)post[k] * f[i];
            for (int j = 0; j < hc; j++)
                sum += (double)comb[j * hc + k] * old[(gsize)j * d + i];
            streams[(gsize)k * d + i] = (float)sum;
        }
    }
}
