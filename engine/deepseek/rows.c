/* See rows.h. */
#include "engine/deepseek/rows.h"
#include <math.h>
#include <string.h>
#include "kernels/kernels.h"
#include "kernels/low_float.h"

#define FP8_LARGEST 448
#define FP4_LARGEST 6
/* Blocks of smaller values are scaled as if this were the largest of them. */
#define FP8_FLOOR 1e-4f
#define FP4_FLOOR (6 * 0x1p-126f)

PdDsRowFormat
pd_ds_row_format(const PdDsShape *s, gboolean mixed)
{
    return (PdDsRowFormat){mixed ? PD_DS_ROW_FP8 : PD_DS_ROW_F32, s->head_dim, s->rope_dim};
}

PdDsRowFormat
pd_ds_key_format(const PdDsShape *s, gboolean mixed)
{
    return (PdDsRowFormat){mixed ? PD_DS_ROW_FP4 : PD_DS_ROW_F32, s->index_dim, s->rope_dim};
}

const char *
pd_ds_mixed_problem(const PdDsShape *s)
{
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layers[l].kind->indexed && (s->index_dim & (s->index_dim - 1)) != 0)
            return "index_head_dim is no power of two, so its keys cannot be kept in 4 bits";
    }
    return NULL;
}

static int
n_blocks(int width, int block)
{
    return (width + block - 1) / block;
}

gsize
pd_ds_row_bytes(const PdDsRowFormat *f)
{
    int still = f->width - f->n_turning;
    switch (f->kind) {
    case PD_DS_ROW_FP8:
        return (gsize)(still + n_blocks(still, PD_DS_FP8_BLOCK) + 2 * f->n_turning);
    case PD_DS_ROW_FP4:
        return (gsize)(n_blocks(f->width, 2) + n_blocks(f->width, PD_DS_FP4_BLOCK));
    default:
        return (gsize)f->width * sizeof(float);
    }
}

/* The scale's code of n values that must come down to `largest`. */
static guint8
block_scale(const float *x, int n, float largest, float floor)
{
    float max = floor;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return 0xff;
        max = MAX(max, fabsf(x[i]));
    }
    return pd_e8m0_code(max * (1 / largest));
}

static void
pack_fp8(const float *row, int n, guint8 *codes, guint8 *scales)
{
    for (int at = 0; at < n; at += PD_DS_FP8_BLOCK) {
        int end = MIN(n, at + PD_DS_FP8_BLOCK);
        guint8 scale = block_scale(row + at, end - at, FP8_LARGEST, FP8_FLOOR);
        scales[at / PD_DS_FP8_BLOCK] = scale;
        for (int i = at; i < end; i++)
            codes[i] = pd_e4m3_code(row[i] / pd_e8m0_value(scale));
    }
}

static void
pack_fp4(const float *row, int n, guint8 *codes, guint8 *scales)
{
    memset(codes, 0, (gsize)n_blocks(n, 2));
    for (int at = 0; at < n; at += PD_DS_FP4_BLOCK) {
        int end = MIN(n, at + PD_DS_FP4_BLOCK);
        guint8 scale = block_scale(row + at, end - at, FP4_LARGEST, FP4_FLOOR);
        scales[at / PD_DS_FP4_BLOCK] = scale;
        for (int i = at; i < end; i++) {
            guint code = pd_e2m1_code(row[i] / pd_e8m0_value(scale));
            codes[i / 2] |= (guint8)(i % 2 == 0 ? code : code << 4);
        }
    }
}

void
pd_ds_row_pack(const PdDsRowFormat *f, const float *row, guint8 *bytes)
{
    int still = f->width - f->n_turning;
    switch (f->kind) {
    case PD_DS_ROW_FP8:
        pack_fp8(row, still, bytes, bytes + still);
        pd_quantize_row(PD_BF16, row + still, bytes + still + n_blocks(still, PD_DS_FP8_BLOCK),
                        (gsize)f->n_turning);
        break;
    case PD_DS_ROW_FP4:
        pack_fp4(row, f->width, bytes, bytes + n_blocks(f->width, 2));
        break;
    default:
        memcpy(bytes, row, pd_ds_row_bytes(f));
    }
}

void
pd_ds_row_unpack(const PdDsRowFormat *f, const guint8 *bytes, float *row)
{
    int still = f->width - f->n_turning;
    switch (f->kind) {
    case PD_DS_ROW_FP8:
        for (int i = 0; i < still; i++)
            row[i] = pd_e4m3_value(bytes[i]) * pd_e8m0_value(bytes[still + i / PD_DS_FP8_BLOCK]);
        pd_dequantize_row(PD_BF16, bytes + still + n_blocks(still, PD_DS_FP8_BLOCK), row + still,
                          (gsize)f->n_turning);
        break;
    case PD_DS_ROW_FP4:
        for (int i = 0; i < f->width; i++)
            row[i] = pd_e2m1_value(bytes[i / 2] >> 4 * (i % 2)) *
                     pd_e8m0_value(bytes[n_blocks(f->width, 2) + i / PD_DS_FP4_BLOCK]);
        break;
    default:
        memcpy(row, bytes, pd_ds_row_bytes(f));
    }
}

const float *
pd_ds_rows_at(const PdDsRowFormat *f, const guint8 *rows, int first, int n, float *room)
{
    gsize row_bytes = pd_ds_row_bytes(f);
    rows += (gsize)first * row_bytes;
    if (f->kind == PD_DS_ROW_F32)
        return (const float *)(const void *)rows;
    for (gsize i = 0; i < (gsize)n; i++)
        pd_ds_row_unpack(f, rows + i * row_bytes, room + i * (gsize)f->width);
    return room;
}

void
pd_ds_hadamard(float *x, int n)
{
    g_assert(n > 0 && (n & (n - 1)) == 0);
    for (int half = 1; half < n; half *= 2) {
        for (int i = 0; i < n; i++) {
            if (i & half)
                continue;
            float a = x[i], b = x[i + half];
            x[i] = a + b;
            x[i + half] = a - b;
        }
    }
    for (int i = 0; i < n; i++)
        x[i] = (float)(x[i] / sqrt(n));
}
