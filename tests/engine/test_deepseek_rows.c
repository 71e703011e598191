/* How rows of a state are kept: bytes of the released widths, the scales of the design's section 7,
 * values against steps that are worked out here, the transform of the index keys. */
#include <math.h>
#include <string.h>
#include "engine/deepseek/cost.h"
#include "engine/deepseek/rows.h"

static const PdDsKind csa = {"CSA", "", 4, TRUE, TRUE};

static PdDsShape
shape_of(int head_dim, int rope_dim, int index_dim, PdDsLayerShape *layer)
{
    *layer = (PdDsLayerShape){&csa, 4, FALSE};
    return (PdDsShape){.head_dim = head_dim,
                       .rope_dim = rope_dim,
                       .index_dim = index_dim,
                       .n_layers = 1,
                       .layers = layer};
}

static void
test_bytes(void)
{
    static const int widths[][3] = {{512, 64, 128}, {32, 16, 32}, {24, 8, 16}, {80, 6, 64}};
    for (gsize i = 0; i < G_N_ELEMENTS(widths); i++) {
        PdDsLayerShape layer;
        PdDsShape s = shape_of(widths[i][0], widths[i][1], widths[i][2], &layer);
        PdRowFormat row = pd_ds_row_format(&s, TRUE), key = pd_ds_key_format(&s, TRUE);
        g_assert_cmpuint(pd_row_format_bytes(&row), ==,
                         pd_ds_entry_bytes(&s, PD_DS_STORE_DEPLOYED));
        g_assert_cmpuint(pd_row_format_bytes(&key), ==,
                         pd_ds_index_key_bytes(&s, PD_DS_STORE_DEPLOYED));
        if (i == 0) { /* what the report gives */
            g_assert_cmpuint(pd_row_format_bytes(&row), ==, 583);
            g_assert_cmpuint(pd_row_format_bytes(&key), ==, 68);
        }
        row = pd_ds_row_format(&s, FALSE);
        g_assert_cmpuint(pd_row_format_bytes(&row), ==, pd_ds_entry_bytes(&s, PD_DS_STORE_32BIT));
    }
}

static void
test_refused_width(void)
{
    PdDsLayerShape layer;
    PdDsShape s = shape_of(512, 64, 128, &layer);
    g_assert_null(pd_ds_mixed_problem(&s));
    s.index_dim = 96;
    g_assert_nonnull(strstr(pd_ds_mixed_problem(&s), "index_head_dim"));
}

/* The scale's byte of a block whose largest value is `amax`. */
static int
scale_of(PdRowKind kind, int block, double amax)
{
    PdRowFormat f = {kind, block, 0};
    float row[64] = {0};
    guint8 bytes[128];
    row[3] = (float)-amax;
    pd_row_pack(&f, row, bytes);
    return bytes[kind == PD_ROW_FP8 ? block : block / 2] - 127;
}

static void
test_scales(void)
{
    static const struct {
        double amax;
        int exponent;
    } fp8[] = {{449, 1}, {448, 0}, {3.5, -7}, {1, -8}, {1e-4, -22}, {0, -22}},
      fp4[] = {{6.1, 1}, {6, 0}, {1, -2}, {0.75, -3}, {0, -126}};
    for (gsize i = 0; i < G_N_ELEMENTS(fp8); i++)
        g_assert_cmpint(scale_of(PD_ROW_FP8, 64, fp8[i].amax), ==, fp8[i].exponent);
    for (gsize i = 0; i < G_N_ELEMENTS(fp4); i++)
        g_assert_cmpint(scale_of(PD_ROW_FP4, 32, fp4[i].amax), ==, fp4[i].exponent);
}

/* Half a step around x, of numbers with `bits` bits behind the first and none finer than `least`.
 */
static double
half_step(double x, int bits, double least)
{
    return MAX(ldexp(1, ilogb(x == 0 ? 1e-30 : x) - bits), least) / 2;
}

static void
test_values(void)
{
    enum { WIDTH = 150, TURNING = 22, STILL = WIDTH - TURNING };
    g_autoptr(GRand) rand = g_rand_new_with_seed(9);
    PdRowFormat row = {PD_ROW_FP8, WIDTH, TURNING}, key = {PD_ROW_FP4, 64, TURNING};
    for (int round = 0; round < 200; round++) {
        float x[WIDTH], y[WIDTH], z[WIDTH];
        guint8 bytes[2 * WIDTH], again[2 * WIDTH];
        for (int i = 0; i < WIDTH; i++)
            x[i] = (float)(g_rand_double_range(rand, -1, 1) *
                           pow(10, g_rand_double_range(rand, -3, 3)));
        pd_row_pack(&row, x, bytes);
        pd_row_unpack(&row, bytes, y);
        for (int i = 0; i < WIDTH; i++) {
            double scale = i < STILL ? ldexp(1, bytes[STILL + i / 64] - 127) : 0;
            double step = i < STILL ? half_step(x[i], 3, ldexp(scale, -9)) : half_step(x[i], 7, 0);
            g_assert_cmpfloat(fabs((double)x[i] - y[i]), <=, step);
        }
        /* What was rounded once stays, by its values. */
        pd_row_pack(&row, y, again);
        pd_row_unpack(&row, again, z);
        g_assert_cmpmem(z, sizeof z, y, sizeof y);
        g_assert_true(pd_ds_rows_at(&row, bytes, 0, 1, z) == z);
        g_assert_cmpmem(z, sizeof z, y, sizeof y);

        pd_row_pack(&key, x, bytes);
        pd_row_unpack(&key, bytes, y);
        for (int i = 0; i < 64; i++) {
            double scale = ldexp(1, bytes[32 + i / 32] - 127);
            g_assert_cmpfloat(fabs((double)x[i] - y[i]), <=, half_step(x[i], 1, scale / 2));
            /* The even value of two is in the low half of the byte. */
            g_assert_cmpint(bytes[i / 2] >> (i % 2 ? 7 : 3) & 1, ==, signbit(x[i]) != 0);
        }
    }
}

/* One value that is no number makes its block so, and no other. */
static void
test_not_finite(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (gsize b = 0; b < G_N_ELEMENTS(bad); b++) {
        PdRowFormat row = {PD_ROW_FP8, 160, 32}, key = {PD_ROW_FP4, 64, 0};
        float x[160], y[160];
        guint8 bytes[256];
        for (int i = 0; i < 160; i++)
            x[i] = (float)(i % 7 - 3);
        x[5] = bad[b];
        pd_row_pack(&row, x, bytes);
        pd_row_unpack(&row, bytes, y);
        for (int i = 0; i < 160; i++)
            g_assert_cmpint(isnan(y[i]) != 0, ==, i < 64);
        pd_row_pack(&key, x, bytes);
        pd_row_unpack(&key, bytes, y);
        for (int i = 0; i < 64; i++)
            g_assert_cmpint(isnan(y[i]) != 0, ==, i < 32);
    }
}

static void
test_hadamard(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(10);
    for (int n = 1; n <= 128; n *= 2) {
        float x[128], y[128];
        for (int i = 0; i < n; i++)
            x[i] = y[i] = (float)g_rand_double_range(rand, -1, 1);
        pd_ds_hadamard(y, n);
        for (int i = 0; i < n; i++) {
            double want = 0;
            for (int j = 0; j < n; j++)
                want += (__builtin_popcount((guint)(i & j)) % 2 ? -x[j] : x[j]) / sqrt(n);
            g_assert_cmpfloat(fabs(y[i] - want), <=, 2e-6);
        }
        pd_ds_hadamard(y, n);
        for (int i = 0; i < n; i++)
            g_assert_cmpfloat(fabs((double)y[i] - x[i]), <=, 1e-6);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deepseek/rows/bytes", test_bytes);
    g_test_add_func("/deepseek/rows/refused-width", test_refused_width);
    g_test_add_func("/deepseek/rows/scales", test_scales);
    g_test_add_func("/deepseek/rows/values", test_values);
    g_test_add_func("/deepseek/rows/not-finite", test_not_finite);
    g_test_add_func("/deepseek/rows/hadamard", test_hadamard);
    return g_test_run();
}
