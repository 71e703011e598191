/*
 * The block formats against golden values of an independent reader (tests/golden/quant, made by
 * make_blocks.py there), half floats exhaustively, and embedding rows.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/half.h"
#include "kernels/kernels.h"

#define N_VALUES 1024

static const PdDtype golden_types[] = {PD_F16,  PD_BF16, PD_Q8_0, PD_Q4_0, PD_Q4_1,
                                       PD_Q5_0, PD_Q5_1, PD_Q4_K, PD_Q5_K, PD_Q6_K};

static guint8 *
read_golden(gsize *n_bytes)
{
    char *bytes;
    g_autoptr(GError) error = NULL;
    g_autofree char *path =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "quant", "blocks.bin", NULL);
    if (!g_file_get_contents(path, &bytes, n_bytes, &error))
        g_error("%s", error->message);
    return (guint8 *)bytes;
}

static void
test_golden_values(void)
{
    gsize n_bytes, at = 0;
    g_autofree guint8 *golden = read_golden(&n_bytes);

    for (gsize i = 0; i < G_N_ELEMENTS(golden_types); i++) {
        PdDtype type = golden_types[i];
        float got[N_VALUES], want[N_VALUES];
        pd_dequantize_row(type, golden + at, got, N_VALUES);
        at += pd_row_bytes(type, N_VALUES);
        memcpy(want, golden + at, sizeof want);
        at += sizeof want;
        for (int k = 0; k < N_VALUES; k++)
            if (got[k] != want[k])
                g_error("%s value %d: %.9g, expected %.9g", pd_dtype_info[type].name, k, got[k],
                        want[k]);
    }
    g_assert_cmpuint(at, <, n_bytes);
}

static void
test_golden_q8_0(void)
{
    gsize n_bytes, q8_bytes = pd_row_bytes(PD_Q8_0, N_VALUES);
    g_autofree guint8 *golden = read_golden(&n_bytes);
    float x[N_VALUES];
    g_autofree guint8 *got = g_malloc(q8_bytes);

    const guint8 *at = golden + n_bytes - sizeof x - q8_bytes;
    memcpy(x, at, sizeof x);
    g_assert_cmpint(pd_quantize_row(PD_Q8_0, x, got, N_VALUES), ==, PD_KERNEL_OK);
    g_assert_cmpmem(got, q8_bytes, at + sizeof x, q8_bytes);
}

/* Every half is a float that goes back to the same half; floats between two halves go to the nearer
 * one, and to the even one from the middle. */
static void
test_halves(void)
{
    for (guint h = 0; h < 0x10000; h++) {
        float f = pd_half_to_float((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00) {
            g_assert_true(isnan(f));
            g_assert_true(isnan(pd_half_to_float(pd_float_to_half(f))));
            continue;
        }
        g_assert_cmpuint(pd_float_to_half(f), ==, h);
        if ((h & 0x7fff) >= 0x7bff)
            continue;
        float next = pd_half_to_float((uint16_t)(h + 1)), middle = f + (next - f) / 2;
        g_assert_cmpuint(pd_float_to_half(middle), ==, h % 2 ? h + 1 : h);
        g_assert_cmpuint(pd_float_to_half(nextafterf(middle, f)), ==, h);
        g_assert_cmpuint(pd_float_to_half(nextafterf(middle, next)), ==, h + 1);
    }
    g_assert_cmpuint(pd_float_to_half(65519.f), ==, 0x7bff);
    g_assert_cmpuint(pd_float_to_half(65520.f), ==, 0x7c00);
    g_assert_cmpuint(pd_float_to_half(-1e30f), ==, 0xfc00);
    g_assert_cmpuint(pd_float_to_half(1e-30f), ==, 0);
}

static void
test_bfloats(void)
{
    static const struct {
        guint32 bits;
        guint16 want;
    } cases[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, /* the middle goes to even */
        {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81}, {0x7f7fffff, 0x7f80},
        {0xff800000, 0xff80}, {0x00008001, 0x0001},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmphex(pd_float_to_bfloat(pd_bits_to_float(cases[i].bits)), ==, cases[i].want);
    g_assert_true(isnan(pd_bfloat_to_float(pd_float_to_bfloat(NAN))));
}

static void
test_quantize_limits(void)
{
    float x[32] = {0}, back[32];
    guint8 block[34];

    for (int i = 0; i < 32; i++) /* d would be below the smallest half: all zero, not infinite */
        x[i] = 1e-7f * (float)(i - 16);
    g_assert_cmpint(pd_quantize_row(PD_Q8_0, x, block, 32), ==, PD_KERNEL_OK);
    pd_dequantize_row(PD_Q8_0, block, back, 32);
    for (int i = 0; i < 32; i++)
        g_assert_cmpfloat(back[i], ==, 0);
    for (int type = PD_Q4_0; type < PD_N_DTYPES; type++) {
        float row[256] = {0};
        guint8 out[256];
        g_assert_cmpint(pd_quantize_row(type, row, out, 256), ==, PD_KERNEL_EUNSUPPORTED);
    }
}

static void
test_embed(void)
{
    PdDevice *dev = pd_cpu_device_new(1, "reference");
    gsize n_bytes;
    g_autofree guint8 *golden = read_golden(&n_bytes);
    /* The F16 values as a table of 16 rows of 64. */
    PdWeight table = {{dev->ops->buffer_wrap(dev, golden, n_bytes), 0}, PD_F16, 16, 64};
    static const gint32 ids[] = {3, 0, 15, 3};
    float want[N_VALUES], got[4 * 64];
    PdMem out = {dev->ops->buffer_new(dev, sizeof got), 0};

    pd_dequantize_row(PD_F16, golden, want, N_VALUES);
    dev->ops->embed(dev, out, table, ids, 4, 3.0f);
    dev->ops->read(dev, got, out, sizeof got);
    for (int i = 0; i < 4 * 64; i++)
        g_assert_cmpfloat(got[i], ==, 3.0f * want[ids[i / 64] * 64 + i % 64]);
    dev->ops->buffer_free(dev, table.mem.buffer);
    dev->ops->buffer_free(dev, out.buffer);
    dev->ops->free(dev);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/quant/golden-values", test_golden_values);
    g_test_add_func("/quant/golden-q8_0", test_golden_q8_0);
    g_test_add_func("/quant/halves", test_halves);
    g_test_add_func("/quant/bfloats", test_bfloats);
    g_test_add_func("/quant/quantize-limits", test_quantize_limits);
    g_test_add_func("/quant/embed", test_embed);
    return g_test_run();
}
