/* The codec of compressed keys and values: sizes, error bounds by equation, every row count that is
 * odd in some way, and inputs that a model should not produce. */
#include <glib.h>
#include <math.h>
#include <string.h>
#include "kernels/kv_block.h"

static const int all_bits[] = {2, 3, 4, 5, 6, 8};
static const int all_dims[] = {32, 64, 96, 128, 160, 256};
static const int all_rows[] = {1, 2, 15, 16, 17, 31, 63, 64, 65, 127, 128, 200};

typedef enum { KEYS, VALUES } Kind;

/* A stream packed block by block between guards that must stay. */
static guint8 *
pack(Kind kind, int bits, int dim, const float *rows, gsize stride, int n)
{
    gsize size =
        kind == KEYS ? pd_key_stream_bytes(bits, dim, n) : pd_value_stream_bytes(bits, dim, n);
    guint8 *stream = g_malloc(size + 16), *at = stream;

    memset(stream, 0xa5, size + 16);
    for (int first = 0; first < n; first += PD_KV_BLOCK_ROWS) {
        int now = MIN(PD_KV_BLOCK_ROWS, n - first);
        if (kind == KEYS) {
            pd_key_block_pack(bits, dim, rows + (gsize)first * stride, stride, now, at);
            at += pd_key_block_bytes(bits, dim, now);
        } else {
            pd_value_block_pack(bits, dim, rows + (gsize)first * stride, stride, now, at);
            at += pd_value_block_bytes(bits, dim, now);
        }
        g_assert_cmpuint((gsize)(at - stream) % 32, ==, 0);
    }
    g_assert_cmpuint((gsize)(at - stream), ==, size);
    for (int i = 0; i < 16; i++)
        g_assert_cmpuint(stream[size + (gsize)i], ==, 0xa5);
    return stream;
}

static void
unpack(Kind kind, int bits, int dim, const guint8 *stream, int n_rows, int first, int n,
       float *rows, gsize stride)
{
    (kind == KEYS ? pd_key_stream_unpack : pd_value_stream_unpack)(bits, dim, stream, n_rows, first,
                                                                   n, rows, stride);
}

/* There and back; (n, dim). */
static float *
round_trip(Kind kind, int bits, int dim, const float *rows, int n)
{
    g_autofree guint8 *stream = pack(kind, bits, dim, rows, (gsize)dim, n);
    float *back = g_new(float, (gsize)n *(gsize)dim);

    unpack(kind, bits, dim, stream, n, 0, n, back, (gsize)dim);
    return back;
}

static double
gaussian(GRand *rand)
{
    return sqrt(-2 * log(1 - g_rand_double(rand))) * cos(2 * G_PI * g_rand_double(rand));
}

/* Channels of sizes 0.01 to 30 around offsets of their own, with an outlier now and then. */
static float *
random_rows(GRand *rand, int n, int dim)
{
    float *rows = g_new(float, (gsize)n *(gsize)dim);

    for (int c = 0; c < dim; c++) {
        double size = 0.01 * pow(3000, g_rand_double(rand)), offset = 3 * size * gaussian(rand);
        for (int r = 0; r < n; r++) {
            double x = gaussian(rand) * (g_rand_int_range(rand, 0, 50) == 0 ? 5 : 1);
            rows[r * dim + c] = (float)(offset + size * x);
        }
    }
    return rows;
}

/* A channel of a block spans `range`; scales come in steps of at most 1/8, the zero is a half: no
 * scale that the search prefers has a greater squared error than (step / 2 + zero's rounding)^2 a
 * value. */
static void
check_keys(int bits, int dim, const float *rows, const float *back, int n)
{
    for (int first = 0; first < n; first += PD_KV_BLOCK_ROWS)
        for (int c = 0; c < dim; c++) {
            int last = MIN(n, first + PD_KV_BLOCK_ROWS);
            double min = INFINITY, max = -INFINITY, squares = 0;
            for (int r = first; r < last; r++) {
                double x = (double)rows[r * dim + c], error = x - (double)back[r * dim + c];
                min = MIN(min, x);
                max = MAX(max, x);
                squares += error * error;
            }
            double step = (max - min) / ((1 << bits) - 1) * 9 / 8;
            double zero = MAX(fabs(min), fabs(max)) + step;
            double bound = step / 2 + zero * 0x1p-11 + 0x1p-20;
            g_assert_cmpfloat(sqrt(squares / (last - first)), <=, bound);
        }
}

/* All widths, sizes and numbers of rows. */
static void
check_all(Kind kind, guint32 seed,
          void (*check)(int bits, int dim, const float *rows, const float *back, int n))
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++)
        for (gsize d = 0; d < G_N_ELEMENTS(all_dims); d++)
            for (gsize r = 0; r < G_N_ELEMENTS(all_rows); r++) {
                g_autofree float *rows = random_rows(rand, all_rows[r], all_dims[d]);
                g_autofree float *back =
                    round_trip(kind, all_bits[b], all_dims[d], rows, all_rows[r]);
                check(all_bits[b], all_dims[d], rows, back, all_rows[r]);
            }
}

static void
test_keys(void)
{
    check_all(KEYS, 1, check_keys);
}

/* The turn keeps lengths, so a row's error is that of its turned groups: none is worse than the
 * widest half step of the scale (in steps of 1/8) that covers the largest, which is at most the
 * group's length.  Widest half step over largest level: of 1016 or 255. */
static void
check_values(int bits, int dim, const float *rows, const float *back, int n)
{
    static const double half_step[9] = {[2] = 355.5 / 1016, [3] = 190.5 / 1016, [4] = 123.5 / 1016,
                                        [5] = 88.5 / 1016,  [6] = 68.5 / 1016,  [8] = 1.0 / 255};
    int group = MIN(64, dim & -dim);

    for (int r = 0; r < n; r++) {
        double squares = 0, errors = 0;
        for (int c = 0; c < dim; c++) {
            double x = (double)rows[r * dim + c], error = x - (double)back[r * dim + c];
            squares += x * x;
            errors += error * error;
        }
        double bound = half_step[bits] * 9 / 8 * sqrt(group) * sqrt(squares);
        g_assert_cmpfloat(sqrt(errors), <=, bound + 1e-6);
    }
}

static void
test_values(void)
{
    check_all(VALUES, 2, check_values);
}

/* Gaussian values, 64 rows: squared error over variance.  The Lloyd-Max quantizer of a known
 * variance has 0.1175, 0.03454, 0.009497, 0.002499, 0.000644 (Max 1960); a scale per group, in
 * steps, may cost a tenth more.  8 bits: a step of about 2 * 3 / 255 squared, over 12, and a half.
 * Keys, equal steps over a range of 4.8: (4.8 / top)^2 / 12 and a third, but at 2 and 3 bits, where
 * clipping helps, at most Max's 0.1188 and 0.0374 and a third. */
static void
test_gaussian(void)
{
    static const double value_max[9] = {0, 0, 0.1293, 0.038, 0.01045, 0.00275, 0.00071, 0, 7e-5};
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    enum { N = 640, DIM = 128 };
    g_autofree float *rows = g_new(float, N *DIM);

    for (int i = 0; i < N * DIM; i++)
        rows[i] = (float)gaussian(rand);
    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++) {
        double errors[2] = {0}, squares = 0, top = (1 << all_bits[b]) - 1;
        for (int kind = KEYS; kind <= VALUES; kind++) {
            g_autofree float *back = round_trip((Kind)kind, all_bits[b], DIM, rows, N);
            for (int i = 0; i < N * DIM; i++)
                errors[kind] += pow((double)rows[i] - (double)back[i], 2);
        }
        for (int i = 0; i < N * DIM; i++)
            squares += (double)rows[i] * (double)rows[i];
        double key_max = MIN(pow(4.8 / top, 2) / 12, all_bits[b] == 2   ? 0.1188
                                                     : all_bits[b] == 3 ? 0.0374
                                                                        : 1);
        g_test_message("%d bits: keys %.6f, values %.6f of the variance", all_bits[b],
                       errors[KEYS] / squares, errors[VALUES] / squares);
        g_assert_cmpfloat(errors[KEYS] / squares, <=, key_max * 4 / 3);
        g_assert_cmpfloat(errors[VALUES] / squares, <=, value_max[all_bits[b]]);
    }
}

/* Any part of a stream is what the whole gives; rows between are left alone. */
static void
test_parts(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);
    enum { N = 200, DIM = 96, STRIDE = DIM + 5 };
    g_autofree float *rows = random_rows(rand, N, DIM);
    g_autofree float *wide = g_new0(float, N *STRIDE);
    g_autofree float *part = g_new(float, N *STRIDE);
    static const int parts[][2] = {{0, 0},   {0, 1},   {3, 17},  {63, 2},  {64, 64}, {50, 90},
                                   {191, 1}, {192, 8}, {199, 1}, {200, 0}, {0, 200}};

    for (int r = 0; r < N; r++)
        memcpy(wide + r * STRIDE, rows + r * DIM, DIM * sizeof(float));
    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++)
        for (int kind = KEYS; kind <= VALUES; kind++) {
            int bits = all_bits[b];
            g_autofree float *whole = round_trip((Kind)kind, bits, DIM, rows, N);
            g_autofree guint8 *stream = pack((Kind)kind, bits, DIM, wide, STRIDE, N);
            for (gsize p = 0; p < G_N_ELEMENTS(parts); p++) {
                int first = parts[p][0], n = parts[p][1];
                for (int i = 0; i < N * STRIDE; i++)
                    part[i] = 12345;
                unpack((Kind)kind, bits, DIM, stream, N, first, n, part, STRIDE);
                for (int r = 0; r < n; r++) {
                    g_assert_cmpmem(part + r * STRIDE, DIM * sizeof(float),
                                    whole + (first + r) * DIM, DIM * sizeof(float));
                    for (int i = DIM; i < STRIDE; i++)
                        g_assert_cmpfloat(part[r * STRIDE + i], ==, 12345);
                }
                for (int i = n * STRIDE; i < N * STRIDE; i++)
                    g_assert_cmpfloat(part[i], ==, 12345);
            }
        }
}

/* Constant channels come back to a half's precision, zero rows as zero. */
static void
test_constants(void)
{
    enum { N = 65, DIM = 64 };
    g_autofree float *rows = g_new0(float, N *DIM);

    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++) {
        memset(rows, 0, N * DIM * sizeof(float));
        g_autofree float *zero_keys = round_trip(KEYS, all_bits[b], DIM, rows, N);
        g_autofree float *zero_values = round_trip(VALUES, all_bits[b], DIM, rows, N);
        for (int i = 0; i < N * DIM; i++) {
            g_assert_cmpfloat(zero_keys[i], ==, 0);
            g_assert_cmpfloat(zero_values[i], ==, 0);
            rows[i] = (float)(i % DIM - 20) * 7.3f;
        }
        g_autofree float *keys = round_trip(KEYS, all_bits[b], DIM, rows, N);
        for (int i = 0; i < N * DIM; i++)
            g_assert_cmpfloat(fabs((double)keys[i] - (double)rows[i]), <=,
                              fabs((double)rows[i]) * 0x1p-11);
    }
}

/* A channel far from zero keeps its own step: one half ulp of the offset (600 * 2^-11 here) is all
 * that the offset costs. */
static void
test_bias(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    enum { N = 128, DIM = 64 };
    g_autofree float *rows = random_rows(rand, N, DIM);

    for (int r = 0; r < N; r++) {
        rows[r * DIM + 7] = 600 + (float)gaussian(rand);
        rows[r * DIM + 8] = -600 + 30 * (float)gaussian(rand);
    }
    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++) {
        g_autofree float *back = round_trip(KEYS, all_bits[b], DIM, rows, N);
        check_keys(all_bits[b], DIM, rows, back, N);
    }
}

static void
test_not_finite(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);
    enum { N = 70, DIM = 64 };
    g_autofree float *rows = random_rows(rand, N, DIM);
    g_autofree float *clean = g_memdup2(rows, N * DIM * sizeof(float));
    static const float odd[] = {NAN, INFINITY, -INFINITY};

    for (int i = 0; i < N * DIM; i += 13) {
        rows[i] = odd[i % 3];
        clean[i] = 0;
    }
    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++)
        for (int kind = KEYS; kind <= VALUES; kind++) {
            g_autofree guint8 *got = pack((Kind)kind, all_bits[b], DIM, rows, DIM, N);
            g_autofree guint8 *expected = pack((Kind)kind, all_bits[b], DIM, clean, DIM, N);
            gsize size = kind == KEYS ? pd_key_stream_bytes(all_bits[b], DIM, N)
                                      : pd_value_stream_bytes(all_bits[b], DIM, N);
            g_assert_cmpmem(got, size, expected, size);
        }
}

/* The largest and smallest floats: nothing that is not finite comes back. */
static void
test_extremes(void)
{
    enum { N = 66, DIM = 32 };
    static const float sizes[] = {1e-40f, 1e-30f, 1e-7f, 1e5f, 1e30f, 3.4e38f};
    g_autofree float *rows = g_new(float, N *DIM);

    for (gsize s = 0; s < G_N_ELEMENTS(sizes); s++) {
        for (int i = 0; i < N * DIM; i++)
            rows[i] = sizes[s] * (float)((i * 7 % 11) - 5) / 5;
        for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++)
            for (int kind = KEYS; kind <= VALUES; kind++) {
                g_autofree float *back = round_trip((Kind)kind, all_bits[b], DIM, rows, N);
                for (int i = 0; i < N * DIM; i++) {
                    g_assert_true(isfinite(back[i]));
                    if (sizes[s] < 1e-6f) /* below what scales reach */
                        g_assert_cmpfloat(fabs((double)back[i]), <=, 0x1p-19);
                }
            }
    }
}

/* What the planner reckons with: bits + 24/64 a key element, bits + 8/64 a value element. */
static void
test_sizes(void)
{
    for (gsize b = 0; b < G_N_ELEMENTS(all_bits); b++)
        for (gsize d = 0; d < G_N_ELEMENTS(all_dims); d++) {
            int bits = all_bits[b], dim = all_dims[d], group = MIN(64, dim & -dim);
            g_assert_cmpuint(pd_key_block_bytes(bits, dim, 64), ==,
                             (gsize)(dim * 64 * bits / 8 + dim * 3));
            g_assert_cmpuint(pd_value_block_bytes(bits, dim, 64), ==,
                             (gsize)(dim * 64 * bits / 8 + 64 * dim / group));
            g_assert_cmpuint(pd_key_stream_bytes(bits, dim, 0), ==, 0);
        }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kernels/kv_block/sizes", test_sizes);
    g_test_add_func("/kernels/kv_block/keys", test_keys);
    g_test_add_func("/kernels/kv_block/values", test_values);
    g_test_add_func("/kernels/kv_block/gaussian", test_gaussian);
    g_test_add_func("/kernels/kv_block/parts", test_parts);
    g_test_add_func("/kernels/kv_block/constants", test_constants);
    g_test_add_func("/kernels/kv_block/bias", test_bias);
    g_test_add_func("/kernels/kv_block/not-finite", test_not_finite);
    g_test_add_func("/kernels/kv_block/extremes", test_extremes);
    return g_test_run();
}
