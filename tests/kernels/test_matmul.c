/*
 * pd_matmul of every instruction set and weight type against sums in double over dequantized
 * weights, and the promise that a token's result does not depend on what else is in the batch.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

static const char *const isas[] = {"reference", "avx2", "avx512", "avx512-emulated"};

typedef struct {
    PdDtype type;
    int n_rows, n_cols, n_tokens;
    guint8 *weight;
    float *values; /* weight dequantized */
    float *bias;
    float *x;
} Problem;

static void
problem_free(Problem *p)
{
    g_free(p->weight);
    g_free(p->values);
    g_free(p->bias);
    g_free(p->x);
    g_free(p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Problem, problem_free)

static void
put_half(guint8 *at, float value)
{
    g_assert_cmpint(pd_quantize_row(PD_F16, &value, at, 1), ==, PD_KERNEL_OK);
}

/* Where the half floats of a block lie: scale, and minimum or 0. */
static void
half_offsets(PdDtype type, int *scale, int *min)
{
    *scale = type == PD_Q6_K ? 208 : 0;
    *min = type == PD_Q4_1 || type == PD_Q5_1 || type == PD_Q4_K || type == PD_Q5_K ? 2 : 0;
}

/* Any bits are a valid block but for the half floats, which get values around `size`. */
static void
random_block(GRand *rand, PdDtype type, guint8 *block, float size)
{
    const PdDtypeInfo *info = &pd_dtype_info[type];
    int scale_at, min_at;
    float scale = (float)g_rand_double_range(rand, -1, 1) * size;
    float min = (float)g_rand_double_range(rand, -1, 1) * size;

    for (int i = 0; i < info->block_bytes; i++)
        block[i] = (guint8)g_rand_int_range(rand, 0, 256);
    half_offsets(type, &scale_at, &min_at);
    put_half(block + scale_at, scale);
    if (min_at > 0)
        put_half(block + min_at, min);
}

static void
random_weight(GRand *rand, Problem *p, float size)
{
    const PdDtypeInfo *info = &pd_dtype_info[p->type];
    gsize n = (gsize)p->n_rows * (gsize)p->n_cols;
    gsize n_blocks = n / info->block_elems;

    for (gsize b = 0; b < n_blocks; b++) {
        if (info->block_elems > 1) {
            random_block(rand, p->type, p->weight + b * info->block_bytes, size);
        } else {
            float v = (float)g_rand_double_range(rand, -1, 1) * size;
            pd_quantize_row(p->type, &v, p->weight + b * info->block_bytes, 1);
        }
    }
    pd_dequantize_row(p->type, p->weight, p->values, n);
}

static Problem *
problem_new(GRand *rand, PdDtype type, int n_rows, int n_cols, int n_tokens)
{
    Problem *p = g_new0(Problem, 1);
    *p = (Problem){.type = type, .n_rows = n_rows, .n_cols = n_cols, .n_tokens = n_tokens};
    p->weight = g_malloc((gsize)n_rows * pd_row_bytes(type, (gsize)n_cols));
    p->values = g_new(float, (gsize)n_rows *n_cols);
    p->bias = g_new(float, n_rows);
    p->x = g_new(float, (gsize)n_tokens *n_cols);
    random_weight(rand, p, 0.05f);
    for (int r = 0; r < n_rows; r++)
        p->bias[r] = (float)g_rand_double_range(rand, -1, 1);
    for (int i = 0; i < n_tokens * n_cols; i++)
        p->x[i] = (float)g_rand_double_range(rand, -1, 1);
    return p;
}

static PdMem
wrap(PdDevice *dev, const void *bytes, gsize n_bytes)
{
    return (PdMem){dev->ops->buffer_wrap(dev, bytes, n_bytes), 0};
}

/* The product of the first n_tokens tokens from `first_token` on; free with g_free. */
static float *
multiply(PdDevice *dev, const Problem *p, int first_token, int n_tokens)
{
    gsize n_out = (gsize)n_tokens * p->n_rows;
    float *out = g_new(float, n_out);
    gsize weight_bytes = (gsize)p->n_rows * pd_row_bytes(p->type, (gsize)p->n_cols);
    PdMem x = wrap(dev, p->x + (gsize)first_token * p->n_cols,
                   (gsize)n_tokens * p->n_cols * sizeof(float));
    PdMem result = {dev->ops->buffer_new(dev, n_out * sizeof(float)), 0};
    PdMatmulJob job = {
        .weight = {wrap(dev, p->weight, weight_bytes), p->type, p->n_rows, p->n_cols},
        .bias = {wrap(dev, p->bias, p->n_rows * sizeof(float)), PD_F32, 1, p->n_rows},
        .out = result,
    };
    g_assert_cmpint(dev->ops->matmul(dev, x, n_tokens, &job, 1), ==, PD_KERNEL_OK);
    dev->ops->read(dev, out, result, n_out * sizeof(float));
    dev->ops->buffer_free(dev, x.buffer);
    dev->ops->buffer_free(dev, result.buffer);
    dev->ops->buffer_free(dev, job.weight.mem.buffer);
    dev->ops->buffer_free(dev, job.bias.mem.buffer);
    return out;
}

/* 32 activations rounded as matmul.h says: 8 bits under the block's own scale. */
static void
round_block(const float *x, double *rounded)
{
    float max = 0;
    for (int i = 0; i < 32; i++)
        max = MAX(max, fabsf(x[i]));
    for (int i = 0; i < 32; i++)
        rounded[i] = max < 1e-30f ? 0 : rintf(x[i] * (127 / max)) * (double)(max / 127);
}

/*
 * Every result is compared with the sum in double over the same rounded activations.  Only float32
 * rounding may differ: each of the n_cols / 32 block sums, scales and minima is rounded a few times
 * at 2^-24 of its size, so 4e-6 of sum |w x| (with |q| scale + |min| as |w|, since the minimum is
 * added separately) leaves a margin of some 20 roundings in one direction.
 */
static void
check_result(const Problem *p, const float *out, const char *isa)
{
    gboolean rounds = pd_dtype_info[p->type].block_elems > 1;
    g_autofree double *x = g_new(double, p->n_cols);

    for (int t = 0; t < p->n_tokens; t++) {
        const float *raw = p->x + (gsize)t * p->n_cols;
        for (int c = 0; c < p->n_cols; c++)
            x[c] = raw[c];
        for (int c = 0; rounds && c < p->n_cols; c += 32)
            round_block(raw + c, x + c);
        for (int r = 0; r < p->n_rows; r++) {
            const float *w = p->values + (gsize)r * p->n_cols;
            double sum = p->bias[r], size = fabs(sum), widest = 0;
            for (int c = 0; c < p->n_cols; c++)
                widest = MAX(widest, fabs(w[c]));
            for (int c = 0; c < p->n_cols; c++) {
                sum += w[c] * x[c];
                size += (rounds ? 2 * widest : fabs(w[c])) * fabs(x[c]);
            }
            double got = out[(gsize)t * p->n_rows + r];
            if (!(fabs(got - sum) <= 4e-6 * size + 1e-30))
                g_error("%s %s %dx%d, token %d of %d, row %d: %.9g, expected %.9g (size %g)", isa,
                        pd_dtype_info[p->type].name, p->n_rows, p->n_cols, t, p->n_tokens, r, got,
                        sum, size);
        }
    }
}

static PdDevice *
device_or_skip(const char *isa, int n_threads)
{
    PdDevice *dev = pd_cpu_device_new(n_threads, isa);
    if (dev == NULL) {
        g_autofree char *why = g_strdup_printf("%s: not on this CPU or not in this build", isa);
        g_test_skip(why);
    }
    return dev;
}

static void
test_shapes(gconstpointer data)
{
    const char *isa = data;
    static const int rows[] = {1, 7, 8, 9, 16, 33};
    static const int tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 13, 70};
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    PdDevice *dev = device_or_skip(isa, 2);
    if (dev == NULL)
        return;

    for (int type = 0; type < PD_N_DTYPES; type++) {
        int unit = pd_dtype_info[type].block_elems;
        /* One block, odd counts, more than a chunk of columns; float rows of any length. */
        int cols[] = {unit, 3 * unit, unit == 1 ? 261 : unit == 32 ? 19 * 32 : 5 * 256};
        for (gsize i = 0; i < G_N_ELEMENTS(rows) * G_N_ELEMENTS(cols); i++) {
            int n_tokens = tokens[(i + (gsize)type) % G_N_ELEMENTS(tokens)];
            g_autoptr(Problem) p = problem_new(rand, type, rows[i % G_N_ELEMENTS(rows)],
                                               cols[i / G_N_ELEMENTS(rows)], n_tokens);
            g_autofree float *out = multiply(dev, p, 0, n_tokens);
            check_result(p, out, isa);
        }
    }
    dev->ops->free(dev);
}

/* All codes at one end, all activations at +-max, sub-scales at both ends of their range: the sums
 * that come closest to the limits of 16 bits. */
static void
test_extreme_codes(gconstpointer data)
{
    const char *isa = data;
    static const guint8 fills[] = {0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0};
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    PdDevice *dev = device_or_skip(isa, 1);
    if (dev == NULL)
        return;

    for (int type = PD_Q8_0; type < PD_N_DTYPES; type++) {
        for (gsize f = 0; f < G_N_ELEMENTS(fills); f++) {
            g_autoptr(Problem) p = problem_new(rand, type, 17, 768, 7);
            gsize n_bytes = (gsize)p->n_rows * pd_row_bytes(type, 768);
            int scale_at, min_at;
            half_offsets(type, &scale_at, &min_at);
            memset(p->weight, fills[f], n_bytes);
            for (gsize at = 0; at < n_bytes; at += pd_dtype_info[type].block_bytes) {
                put_half(p->weight + at + scale_at, 0.01f);
                if (min_at > 0)
                    put_half(p->weight + at + min_at, 0.02f);
            }
            pd_dequantize_row(type, p->weight, p->values, (gsize)p->n_rows * 768);
            for (int i = 0; i < 7 * 768; i++) {
                static const float patterns[7][4] = {
                    {1, 1, 1, 1},   {-1, -1, -1, -1}, {1, -1, 1, -1}, {1, 1, -1, -1},
                    {-1, -1, 1, 1}, {0, 0, 0, 0},     {1, 0, 0, -1},
                };
                p->x[i] = 3 * patterns[i / 768][i % 4];
            }
            g_autofree float *out = multiply(dev, p, 0, 7);
            check_result(p, out, isa);
        }
    }
    dev->ops->free(dev);
}

/* Scales from denormal halves to the largest, activations from denormal floats to huge ones. */
static void
test_extreme_sizes(gconstpointer data)
{
    const char *isa = data;
    static const float weights[] = {0, 6e-8f, 1e-5f, 1, 30000};
    static const float activations[] = {0, 1e-44f, 1e-38f, 1e-30f, 1e-10f, 1e20f};
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    PdDevice *dev = device_or_skip(isa, 1);
    if (dev == NULL)
        return;

    for (int type = PD_Q8_0; type < PD_N_DTYPES; type++) {
        for (gsize i = 0; i < G_N_ELEMENTS(weights) * G_N_ELEMENTS(activations); i++) {
            g_autoptr(Problem) p = problem_new(rand, type, 9, 256, 3);
            random_weight(rand, p, weights[i % G_N_ELEMENTS(weights)]);
            for (int c = 0; c < 3 * 256; c++)
                p->x[c] *= activations[i / G_N_ELEMENTS(weights)];
            g_autofree float *out = multiply(dev, p, 0, 3);
            check_result(p, out, isa);
        }
    }
    dev->ops->free(dev);
}

/* The error against activations that are not rounded is bounded by half a step of each:
 * sum |w| max|x of its 32| / 254. */
static void
test_rounding_error(gconstpointer data)
{
    const char *isa = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);
    PdDevice *dev = device_or_skip(isa, 1);
    if (dev == NULL)
        return;

    for (int type = PD_Q8_0; type < PD_N_DTYPES; type++) {
        g_autoptr(Problem) p = problem_new(rand, type, 16, 1024, 4);
        for (int t = 0; t < 4; t++)
            p->x[t * 1024 + 5 * t] = 300; /* an outlier, as language models have them */
        g_autofree float *out = multiply(dev, p, 0, 4);
        for (int i = 0; i < 4 * 16; i++) {
            int t = i / 16, r = i % 16;
            double sum = p->bias[r], bound = 1e-3;
            for (int c = 0; c < 1024; c++) {
                const float *x = p->x + t * 1024, *block = x + c / 32 * 32;
                double max = 0, w = p->values[r * 1024 + c];
                for (int k = 0; k < 32; k++)
                    max = MAX(max, fabs(block[k]));
                sum += w * x[c];
                bound += fabs(w) * max / 254;
            }
            g_assert_cmpfloat(fabs(out[t * 16 + r] - sum), <=, bound);
        }
    }
    dev->ops->free(dev);
}

/* Bit for bit the same for any batch around a token and any number of threads. */
static void
test_batch_and_threads(gconstpointer data)
{
    const char *isa = data;
    static const int batches[] = {1, 2, 7, 8, 9, 64, 511};
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);

    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        PdDevice *dev = device_or_skip(isa, n_threads);
        if (dev == NULL)
            return;
        for (int type = 0; type < PD_N_DTYPES; type++) {
            g_autoptr(Problem) p = problem_new(rand, type, 41, 768, 511);
            PdDevice *single = pd_cpu_device_new(1, isa);
            g_autofree float *want = multiply(single, p, 0, 511);
            single->ops->free(single);
            for (gsize b = 0; b < G_N_ELEMENTS(batches); b++) {
                int first = (511 - batches[b]) / 2;
                g_autofree float *got = multiply(dev, p, first, batches[b]);
                g_assert_cmpmem(got, (gsize)batches[b] * 41 * sizeof(float), want + first * 41,
                                (gsize)batches[b] * 41 * sizeof(float));
            }
        }
        dev->ops->free(dev);
    }
}

/* Three products of one x in one call, of different types, with and without bias. */
static void
test_jobs(gconstpointer data)
{
    const char *isa = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);
    PdDevice *dev = device_or_skip(isa, 2);
    if (dev == NULL)
        return;
    static const PdDtype types[] = {PD_Q4_K, PD_F16, PD_Q6_K};
    static const int rows[] = {33, 5, 16};
    g_autoptr(Problem) p0 = problem_new(rand, types[0], rows[0], 512, 10);
    g_autoptr(Problem) p1 = problem_new(rand, types[1], rows[1], 512, 10);
    g_autoptr(Problem) p2 = problem_new(rand, types[2], rows[2], 512, 10);
    Problem *problems[] = {p0, p1, p2};
    PdMatmulJob jobs[3] = {0};
    PdMem x = wrap(dev, p0->x, 10 * 512 * sizeof(float));

    for (int i = 0; i < 3; i++) {
        Problem *p = problems[i];
        memcpy(p->x, p0->x, 10 * 512 * sizeof(float));
        gsize weight_bytes = (gsize)rows[i] * pd_row_bytes(types[i], 512);
        jobs[i].weight = (PdWeight){wrap(dev, p->weight, weight_bytes), types[i], rows[i], 512};
        jobs[i].out.buffer = dev->ops->buffer_new(dev, 10 * (gsize)rows[i] * sizeof(float));
        if (i == 1)
            memset(p->bias, 0, (gsize)rows[i] * sizeof(float));
        else
            jobs[i].bias =
                (PdWeight){wrap(dev, p->bias, (gsize)rows[i] * sizeof(float)), PD_F32, 1, rows[i]};
    }
    g_assert_cmpint(dev->ops->matmul(dev, x, 10, jobs, 3), ==, PD_KERNEL_OK);
    for (int i = 0; i < 3; i++) {
        g_autofree float *out = g_new(float, 10 * rows[i]);
        dev->ops->read(dev, out, jobs[i].out, 10 * (gsize)rows[i] * sizeof(float));
        check_result(problems[i], out, isa);
        dev->ops->buffer_free(dev, jobs[i].weight.mem.buffer);
        dev->ops->buffer_free(dev, jobs[i].out.buffer);
        dev->ops->buffer_free(dev, jobs[i].bias.mem.buffer);
    }
    dev->ops->buffer_free(dev, x.buffer);
    dev->ops->free(dev);
}

static void
add(const char *isa, const char *name, GTestDataFunc func)
{
    g_autofree char *path = g_strdup_printf("/matmul/%s/%s", isa, name);
    g_test_add_data_func(path, isa, func);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(isas); i++) {
        add(isas[i], "shapes", test_shapes);
        add(isas[i], "extreme-codes", test_extreme_codes);
        add(isas[i], "extreme-sizes", test_extreme_sizes);
        add(isas[i], "rounding-error", test_rounding_error);
        add(isas[i], "batch-and-threads", test_batch_and_threads);
        add(isas[i], "jobs", test_jobs);
    }
    return g_test_run();
}
