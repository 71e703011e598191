/* The sweep's block maxima and log-sum-exp against double arithmetic over the same codes. */
#include "tests/kernels/vector_fixture.h"

typedef struct {
    float *out; /* (n_q, n_blocks) */
    float *lse; /* (n_q) */
} Scores;

static Scores
run_scores(PdDevice *dev, const guint8 *keys, int n_keys, int dim, const float *q, int n_q,
           float scale)
{
    int n_blocks = (n_keys + PD_SCORE_BLOCK - 1) / PD_SCORE_BLOCK;
    PdMem mk = fixture_mem(dev, keys, (gsize)n_keys * pd_row_bytes(PD_Q8_0, (gsize)dim));
    PdMem mq = fixture_mem(dev, q, (gsize)(n_q * dim) * 4);
    PdMem out = fixture_mem(dev, NULL, (gsize)(n_q * n_blocks) * 4);
    PdMem lse = fixture_mem(dev, NULL, (gsize)n_q * 4);

    dev->ops->score_blocks(dev, out, lse, mk, n_keys, dim, mq, n_q, scale);
    dev->ops->buffer_free(dev, mk.buffer);
    dev->ops->buffer_free(dev, mq.buffer);
    return (Scores){fixture_take(dev, out, (gsize)(n_q * n_blocks) * 4),
                    fixture_take(dev, lse, (gsize)n_q * 4)};
}

static guint8 *
random_keys(GRand *rand, int n_keys, int dim, float key_scale)
{
    gsize n_blocks = (gsize)n_keys * (gsize)(dim / 32);
    guint8 *keys = g_malloc(n_blocks * 34);

    for (gsize b = 0; b < n_blocks; b++) {
        guint16 half = fixture_to_half(key_scale * (float)g_rand_double_range(rand, 0.5, 1) / 127);
        memcpy(keys + b * 34, &half, 2);
        for (int i = 0; i < 32; i++)
            keys[b * 34 + 2 + (gsize)i] = (guint8)g_rand_int_range(rand, -127, 128);
    }
    return keys;
}

static void
check_scores(PdDevice *dev, GRand *rand, int n_keys, int dim, int n_q, float scale, float key_scale)
{
    gsize row_bytes = pd_row_bytes(PD_Q8_0, (gsize)dim);
    int n_blocks = (n_keys + PD_SCORE_BLOCK - 1) / PD_SCORE_BLOCK;
    g_autofree guint8 *keys = random_keys(rand, n_keys, dim, key_scale);
    g_autofree float *q = fixture_random(rand, (gsize)(n_q * dim), 2);
    g_autofree double *s = g_new(double, n_keys);
    Scores got = run_scores(dev, keys, n_keys, dim, q, n_q, scale);

    for (int i = 0; i < n_q; i++) {
        double max = -INFINITY, sum = 0, size = 0;
        for (int j = 0; j < n_keys; j++) {
            double abs_sum = 0;
            s[j] = 0;
            for (int d = 0; d < dim; d++) {
                double t =
                    q[i * dim + d] * fixture_cache_value(PD_Q8_0, keys + (gsize)j * row_bytes, d);
                s[j] += t;
                abs_sum += fabs(t);
            }
            size = MAX(size, abs_sum);
            max = MAX(max, s[j]);
        }
        for (int b = 0; b < n_blocks; b++) {
            double block_max = -INFINITY;
            for (int j = b * PD_SCORE_BLOCK; j < MIN(n_keys, (b + 1) * PD_SCORE_BLOCK); j++)
                block_max = MAX(block_max, s[j]);
            g_assert_cmpfloat(fabs(got.out[i * n_blocks + b] - block_max), <=, 4 * 0x1p-23 * size);
        }
        for (int j = 0; j < n_keys; j++)
            sum += exp((double)scale * (s[j] - max));
        double lse = (double)scale * max + log(sum);
        g_assert_cmpfloat(fabs(got.lse[i] - lse), <=,
                          4 * 0x1p-23 * (size * (double)scale + fabs(lse)) + 1e-6);
    }
    g_free(got.out);
    g_free(got.lse);
}

static void
test_exact(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);

    if (!dev)
        return;
    check_scores(dev, rand, 1, 64, 1, 0.125f, 3);
    check_scores(dev, rand, 63, 64, 5, 0.125f, 3);
    check_scores(dev, rand, 64, 64, 14, 0.125f, 3);
    check_scores(dev, rand, 65, 128, 12, 0.088f, 3);
    check_scores(dev, rand, 4111, 128, 33, 0.088f, 3);
    check_scores(dev, rand, 9000, 64, 7, 0.125f, 3);
    check_scores(dev, rand, 300, 96, 3, 0.1f, 3);
    check_scores(dev, rand, 300, 256, 70, 0.0625f, 3);
    dev->ops->free(dev);
}

/* Scores of some 1e4 in both directions: sums only stay finite around the maximum. */
static void
test_extremes(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(12);

    if (!dev)
        return;
    check_scores(dev, rand, 1000, 64, 4, 1, 1000);
    check_scores(dev, rand, 1000, 64, 4, 1, 0);
    check_scores(dev, rand, 130, 64, 4, 1e-3f, 1e-4f);
    dev->ops->free(dev);
}

static void
test_threads(gconstpointer isa)
{
    PdDevice *one = fixture_device(isa, 1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(13);
    enum { KEYS = 20001, DIM = 64, QUERIES = 14, BLOCKS = (KEYS + 63) / 64 };

    if (!one)
        return;
    g_autofree guint8 *keys = random_keys(rand, KEYS, DIM, 3);
    g_autofree float *q = fixture_random(rand, QUERIES * DIM, 2);
    Scores expected = run_scores(one, keys, KEYS, DIM, q, QUERIES, 0.125f);
    for (int n = 2; n <= 4; n++) {
        PdDevice *dev = pd_cpu_device_new(n, isa);
        Scores got = run_scores(dev, keys, KEYS, DIM, q, QUERIES, 0.125f);
        g_assert_cmpmem(got.out, QUERIES * BLOCKS * 4, expected.out, QUERIES * BLOCKS * 4);
        g_assert_cmpmem(got.lse, QUERIES * 4, expected.lse, QUERIES * 4);
        g_free(got.out);
        g_free(got.lse);
        dev->ops->free(dev);
    }
    g_free(expected.out);
    g_free(expected.lse);
    one->ops->free(one);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("score/exact", test_exact);
    fixture_add("score/extremes", test_extremes);
    fixture_add("score/threads", test_threads);
    return g_test_run();
}
