/* See whiten.h.  The sums are of differences from the first key: nothing cancels. */
#include "prompts/whiten.h"

#include <math.h>
#include <string.h>

struct PdKeyMoments {
    gsize dim;
    gsize n;
    double *origin;   /* (dim): the first key */
    double *sum;      /* (dim) */
    double *products; /* (dim, dim), the lower triangle */
    double *row;      /* (dim): scratch */
};

PdKeyMoments *
pd_key_moments_new(guint dim)
{
    PdKeyMoments *moments = g_new0(PdKeyMoments, 1);

    moments->dim = dim;
    moments->origin = g_new0(double, dim);
    moments->sum = g_new0(double, dim);
    moments->products = g_new0(double, (gsize)dim *dim);
    moments->row = g_new0(double, dim);
    return moments;
}

void
pd_key_moments_free(PdKeyMoments *moments)
{
    if (!moments)
        return;
    g_free(moments->origin);
    g_free(moments->sum);
    g_free(moments->products);
    g_free(moments->row);
    g_free(moments);
}

void
pd_key_moments_add(PdKeyMoments *moments, const float *rows, gsize n)
{
    gsize dim = moments->dim;
    double *row = moments->row;

    for (gsize r = 0; r < n; r++, rows += dim) {
        for (gsize i = 0; i < dim && moments->n == 0; i++)
            moments->origin[i] = rows[i];
        for (gsize i = 0; i < dim; i++)
            row[i] = rows[i] - moments->origin[i];
        for (gsize i = 0; i < dim; i++) {
            double *products = moments->products + i * dim, of_i = row[i];

            moments->sum[i] += of_i;
            for (gsize j = 0; j <= i; j++)
                products[j] += of_i * row[j];
        }
        moments->n++;
    }
}

/* The lower triangle of the shrunk covariance. */
static double *
covariance(const PdKeyMoments *moments)
{
    gsize dim = moments->dim, n = MAX(moments->n, 1);
    double *c = g_new0(double, dim *dim), trace = 0, ridge;

    for (gsize i = 0; i < dim; i++) {
        for (gsize j = 0; j <= i; j++)
            c[i * dim + j] = moments->products[i * dim + j] / (double)n -
                             moments->sum[i] / (double)n * (moments->sum[j] / (double)n);
        trace += c[i * dim + i];
    }
    ridge = trace > 0 ? PD_WHITEN_RIDGE * trace / (double)dim : 1;
    for (gsize i = 0; i < dim; i++)
        c[i * dim + i] += ridge;
    return c;
}

/* L with L L' = c, in its place (Cholesky). */
static void
factor(double *c, gsize dim)
{
    for (gsize i = 0; i < dim; i++)
        for (gsize j = 0; j <= i; j++) {
            double rest = c[i * dim + j];

            for (gsize k = 0; k < j; k++)
                rest -= c[i * dim + k] * c[j * dim + k];
            c[i * dim + j] = i == j ? sqrt(rest) : rest / c[j * dim + j];
        }
}

/* x := (L L')^-1 x */
static void
solve(const double *l, gsize dim, double *x)
{
    for (gsize i = 0; i < dim; i++) {
        for (gsize k = 0; k < i; k++)
            x[i] -= l[i * dim + k] * x[k];
        x[i] /= l[i * dim + i];
    }
    for (gsize i = dim; i-- > 0;) {
        for (gsize k = i + 1; k < dim; k++)
            x[i] -= l[k * dim + i] * x[k];
        x[i] /= l[i * dim + i];
    }
}

void
pd_key_moments_whiten(const PdKeyMoments *moments, float *keys, gsize n)
{
    gsize dim = moments->dim;
    g_autofree double *l = covariance(moments), *x = g_new(double, dim);

    factor(l, dim);
    for (gsize r = 0; r < n; r++, keys += dim) {
        for (gsize i = 0; i < dim; i++)
            x[i] = keys[i] - moments->origin[i] - moments->sum[i] / (double)MAX(moments->n, 1);
        solve(l, dim, x);
        for (gsize i = 0; i < dim; i++)
            keys[i] = (float)x[i];
    }
}
