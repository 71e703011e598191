/* See row_format.h. */
#include "kernels/row_format.h"
#include <math.h>
#include <string.h>
#include "kernels/kernels.h"
#include "kernels/low_float.h"

#define FP8_LARGEST 448
#define FP4_LARGEST 6
/* Blocks of smaller values are scaled as if this were the largest of them. */
#define FP8_FLOOR 1e-4f
#define FP4_FLOOR (6 * 0x1p-126f)

static int
n_blocks(int width, int block)
{
    return (width + block - 1) / block;
}

static int
end_of_block(int at, int block, int n)
{
    return at + block < n ? at + block : n;
}

size_t
pd_row_format_bytes(const PdRowFormat *f)
{
    int still = f->width - f->n_turning;
    switch (f->kind) {
    case PD_ROW_FP8:
        return (size_t)(still + n_blocks(still, PD_FP8_BLOCK) + 2 * f->n_turning);
    case PD_ROW_FP4:
        return (size_t)(n_blocks(f->width, 2) + n_blocks(f->width, PD_FP4_BLOCK));
    default:
        return (size_t)f->width * sizeof(float);
    }
}

/* The scale's code of n values that must come down to `largest`. */
static uint8_t
block_scale(const float *x, int n, float largest, float floor)
{
    float max = floor;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return 0xff;
        max = fmaxf(max, fabsf(x[i]));
    }
    return pd_e8m0_code(max * (1 / largest));
}

static void
pack_fp8(const float *row, int n, uint8_t *codes, uint8_t *scales)
{
    for (int at = 0; at < n; at += PD_FP8_BLOCK) {
        int end = end_of_block(at, PD_FP8_BLOCK, n);
        uint8_t scale = block_scale(row + at, end - at, FP8_LARGEST, FP8_FLOOR);
        float divisor = pd_e8m0_value(scale);
        scales[at / PD_FP8_BLOCK] = scale;
        for (int i = at; i < end; i++)
            codes[i] = pd_e4m3_code(row[i] / divisor);
    }
}

static void
pack_fp4(const float *row, int n, uint8_t *codes, uint8_t *scales)
{
    memset(codes, 0, (size_t)n_blocks(n, 2));
    for (int at = 0; at < n; at += PD_FP4_BLOCK) {
        int end = end_of_block(at, PD_FP4_BLOCK, n);
        uint8_t scale = block_scale(row + at, end - at, FP4_LARGEST, FP4_FLOOR);
        float divisor = pd_e8m0_value(scale);
        scales[at / PD_FP4_BLOCK] = scale;
        for (int i = at; i < end; i++) {
            unsigned code = pd_e2m1_code(row[i] / divisor);
            codes[i / 2] |= (uint8_t)(i % 2 == 0 ? code : code << 4);
        }
    }
}

void
pd_row_pack(const PdRowFormat *f, const float *row, uint8_t *bytes)
{
    int still = f->width - f->n_turning;
    switch (f->kind) {
    case PD_ROW_FP8:
        pack_fp8(row, still, bytes, bytes + still);
        pd_quantize_row(PD_BF16, row + still, bytes + still + n_blocks(still, PD_FP8_BLOCK),
                        (size_t)f->n_turning);
        break;
    case PD_ROW_FP4:
        pack_fp4(row, f->width, bytes, bytes + n_blocks(f->width, 2));
        break;
    default:
        memcpy(bytes, row, pd_row_format_bytes(f));
    }
}

void
pd_row_unpack(const PdRowFormat *f, const uint8_t *bytes, float *row)
{
    int still = f->width - f->n_turning;
    switch (f->kind) {
    case PD_ROW_FP8:
        for (int i = 0; i < still; i++)
            row[i] = pd_e4m3_value(bytes[i]) * pd_e8m0_value(bytes[still + i / PD_FP8_BLOCK]);
        pd_dequantize_row(PD_BF16, bytes + still + n_blocks(still, PD_FP8_BLOCK), row + still,
                          (size_t)f->n_turning);
        break;
    case PD_ROW_FP4:
        for (int i = 0; i < f->width; i++)
            row[i] = pd_e2m1_value(bytes[i / 2] >> 4 * (i % 2)) *
                     pd_e8m0_value(bytes[n_blocks(f->width, 2) + i / PD_FP4_BLOCK]);
        break;
    default:
        memcpy(row, bytes, pd_row_format_bytes(f));
    }
}
