/*
 * Whitening against the equation: C times what comes out is what went in less the mean, C made here
 * in two passes over the same keys; and keys so few or so alike that C alone has no inverse.
 */
#include <math.h>
#include <string.h>
#include "prompts/whiten.h"

#define DIM_MAX 128

/* Correlated keys far from the origin. */
static float *
make_keys(GRand *random, guint dim, guint n)
{
    float *keys = g_new(float, (gsize)dim *n);

    for (guint r = 0; r < n; r++) {
        double shared = g_rand_double_range(random, -5, 5);
        for (guint i = 0; i < dim; i++)
            keys[(gsize)r * dim + i] = (float)(1000.0 + i + shared * (i % 3) +
                                               g_rand_double_range(random, -1, 1) / (1 + i));
    }
    return keys;
}

static void
mean_of(const float *keys, guint dim, guint n, double *mean)
{
    for (guint i = 0; i < dim; i++) {
        mean[i] = 0;
        for (guint r = 0; r < n; r++)
            mean[i] += (double)keys[(gsize)r * dim + i] / n;
    }
}

/* The covariance with a hundredth of the mean variance added to its diagonal, or one where all keys
 * are the same. */
static void
covariance_of(const float *keys, guint dim, guint n, const double *mean, double *c)
{
    double trace = 0;

    for (guint i = 0; i < dim; i++)
        for (guint j = 0; j < dim; j++) {
            double sum = 0;
            for (guint r = 0; r < n; r++)
                sum += (keys[(gsize)r * dim + i] - mean[i]) * (keys[(gsize)r * dim + j] - mean[j]);
            c[i * dim + j] = sum / n;
            trace += i == j ? sum / n : 0;
        }
    for (guint i = 0; i < dim; i++)
        c[i * dim + i] += trace > 0 ? 0.01 * trace / dim : 1;
}

static void
check(guint dim, guint n, const float *keys, const float *asked)
{
    g_autoptr(PdKeyMoments) moments = pd_key_moments_new(dim);
    g_autofree double *mean = g_new0(double, dim), *c = g_new0(double, (gsize)dim *dim);
    float whitened[DIM_MAX];

    pd_key_moments_add(moments, keys, n / 3);
    pd_key_moments_add(moments, keys + (gsize)(n / 3) * dim, n - n / 3);
    memcpy(whitened, asked, dim * sizeof(float));
    pd_key_moments_whiten(moments, whitened, 1);
    mean_of(keys, dim, n, mean);
    covariance_of(keys, dim, n, mean, c);
    for (guint i = 0; i < dim; i++) {
        double back = 0;
        for (guint j = 0; j < dim; j++)
            back += c[i * dim + j] * whitened[j];
        g_assert_cmpfloat_with_epsilon(back, asked[i] - mean[i], 2e-4 * (1 + fabs(back)));
    }
}

static void
test_equation(void)
{
    static const guint dims[] = {1, 2, 64, DIM_MAX}, counts[] = {1, 2, 3, 64, 1000};
    g_autoptr(GRand) random = g_rand_new_with_seed(3);

    for (gsize d = 0; d < G_N_ELEMENTS(dims); d++)
        for (gsize n = 0; n < G_N_ELEMENTS(counts); n++) {
            g_autofree float *keys = make_keys(random, dims[d], counts[n]);
            g_autofree float *asked = make_keys(random, dims[d], 1);
            check(dims[d], counts[n], keys, asked);
        }
}

/* Several at once are the same as one by one, and of no keys nothing is known. */
static void
test_many_and_none(void)
{
    enum { DIM = 8, N = 5 };
    g_autoptr(GRand) random = g_rand_new_with_seed(4);
    g_autofree float *keys = make_keys(random, DIM, 40), *asked = make_keys(random, DIM, N);
    g_autofree float *singly = g_memdup2(asked, DIM * N * sizeof(float));
    g_autofree float *as_they_are = g_memdup2(asked, DIM * N * sizeof(float));
    g_autoptr(PdKeyMoments) moments = pd_key_moments_new(DIM), none = pd_key_moments_new(DIM);

    pd_key_moments_add(moments, keys, 40);
    pd_key_moments_whiten(moments, asked, N);
    for (int i = 0; i < N; i++)
        pd_key_moments_whiten(moments, singly + (gsize)i * DIM, 1);
    g_assert_cmpmem(asked, DIM * N * sizeof(float), singly, DIM * N * sizeof(float));
    memcpy(singly, as_they_are, DIM * N * sizeof(float));
    pd_key_moments_whiten(none, singly, N);
    g_assert_cmpmem(singly, DIM * N * sizeof(float), as_they_are, DIM * N * sizeof(float));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/whiten/equation", test_equation);
    g_test_add_func("/whiten/many-and-none", test_many_and_none);
    return g_test_run();
}
