/*
 * The block formats of GGUF files, each spelled out as the sum that gives its values: the reference
 * that everything else is compared with.
 *
 * Source: the GGUF specification and the block descriptions of ggml's documentation.  All numbers
 * in a block are little-endian; `d` and `m` are half floats.  A K block ("_K") has 256 values in
 * sub-blocks with scales of their own.
 *
 *   Q4_0  d, 16 bytes: value i in the low nibble of byte i, value 16+i in the high: d (q - 8)
 *   Q4_1  d, m, 16 bytes:                                                         d q + m
 *   Q5_0  d, 32 fifth bits, 16 bytes:                                             d (q - 16)
 *   Q5_1  d, m, 32 fifth bits, 16 bytes:                                          d q + m
 *   Q8_0  d, 32 signed bytes:                                                     d q
 *   Q4_K  d, dmin, 8 x (6-bit scale s, 6-bit minimum m), 128 bytes:               d s q - dmin m
 *   Q5_K  the same with 32 bytes of fifth bits before the nibbles
 *   Q6_K  128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales, d:   d s (q - 32)
 */
#include "kernels/cpu/half.h"
#include "kernels/cpu/quant.h"
#include "kernels/kernels.h"

#include <assert.h>
#include <math.h>

static void
dequantize_f16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = pd_load_half(src + 2 * i);
}

static void
dequantize_bf16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t b;
        memcpy(&b, src + 2 * i, sizeof b);
        dst[i] = pd_bfloat_to_float(b);
    }
}

static void
dequantize_q8_0(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src);
    const int8_t *q = (const int8_t *)(src + 2);
    for (int i = 0; i < 32; i++)
        dst[i] = d * q[i];
}

static void
dequantize_q4_0(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src);
    const uint8_t *q = src + 2;
    for (int i = 0; i < 16; i++) {
        dst[i] = d * ((q[i] & 15) - 8);
        dst[i + 16] = d * ((q[i] >> 4) - 8);
    }
}

static void
dequantize_q4_1(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src), m = pd_load_half(src + 2);
    const uint8_t *q = src + 4;
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (q[i] & 15) + m;
        dst[i + 16] = d * (q[i] >> 4) + m;
    }
}

/* The 5-bit code of value i (0..31) of a Q5_0 or Q5_1 block. */
static int
code_5bit(const uint8_t *fifth_bits, const uint8_t *q, int i)
{
    int low = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
    int fifth = fifth_bits[i / 8] >> (i % 8) & 1;
    return low | fifth << 4;
}

static void
dequantize_q5_0(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src);
    for (int i = 0; i < 32; i++)
        dst[i] = d * (code_5bit(src + 2, src + 6, i) - 16);
}

static void
dequantize_q5_1(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src), m = pd_load_half(src + 2);
    for (int i = 0; i < 32; i++)
        dst[i] = d * code_5bit(src + 4, src + 8, i) + m;
}

/* The 6-bit scale and minimum of sub-block j are packed into 12 bytes: those of sub-blocks 0..3 in
 * the low six bits of bytes 0..3 and 4..7; those of 4..7 with their low four bits in bytes 8..11
 * (scale low nibble, minimum high) and their upper two on top of bytes 0..3 and 4..7. */
void
pd_scale_min_k(const uint8_t *packed, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
        *min = packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
    }
}

static void
dequantize_q4_k(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src), dmin = pd_load_half(src + 2);
    const uint8_t *q = src + 16;
    for (int j = 0; j < 8; j++) {
        int scale, min, shift = j % 2 * 4;
        pd_scale_min_k(src + 4, j, &scale, &min);
        for (int i = 0; i < 32; i++)
            dst[32 * j + i] = d * scale * (q[j / 2 * 32 + i] >> shift & 15) - dmin * min;
    }
}

static void
dequantize_q5_k(const uint8_t *src, float *dst)
{
    float d = pd_load_half(src), dmin = pd_load_half(src + 2);
    const uint8_t *fifth = src + 16, *q = src + 48;
    for (int j = 0; j < 8; j++) {
        int scale, min, shift = j % 2 * 4;
        pd_scale_min_k(src + 4, j, &scale, &min);
        for (int i = 0; i < 32; i++) {
            int code = (q[j / 2 * 32 + i] >> shift & 15) | (fifth[i] >> j & 1) << 4;
            dst[32 * j + i] = d * scale * code - dmin * min;
        }
    }
}

static void
dequantize_q6_k(const uint8_t *src, float *dst)
{
    const uint8_t *low = src, *high = src + 128;
    const int8_t *scales = (const int8_t *)(src + 192);
    float d = pd_load_half(src + 208);
    /* Halves of 128 values; quarter k of a half takes nibble k/2 of 32 low bytes and bit pair k. */
    for (int i = 0; i < 256; i++) {
        int half = i / 128, quarter = i / 32 % 4, l = i % 32;
        int nibble = low[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
        int pair = high[half * 32 + l] >> (2 * quarter) & 3;
        dst[i] = d * scales[i / 16] * ((nibble | pair << 4) - 32);
    }
}

typedef void (*BlockFunc)(const uint8_t *src, float *dst);

static const BlockFunc block_func[PD_N_DTYPES] = {
    [PD_Q8_0] = dequantize_q8_0, [PD_Q4_0] = dequantize_q4_0, [PD_Q4_1] = dequantize_q4_1,
    [PD_Q5_0] = dequantize_q5_0, [PD_Q5_1] = dequantize_q5_1, [PD_Q4_K] = dequantize_q4_k,
    [PD_Q5_K] = dequantize_q5_k, [PD_Q6_K] = dequantize_q6_k,
};

void
pd_dequantize_row(PdDtype type, const void *src, float *dst, size_t n)
{
    const PdDtypeInfo *info = &pd_dtype_info[type];
    const uint8_t *bytes = src;
    assert(n % info->block_elems == 0);

    if (type == PD_F32)
        memcpy(dst, src, n * sizeof *dst);
    else if (type == PD_F16)
        dequantize_f16(bytes, dst, n);
    else if (type == PD_BF16)
        dequantize_bf16(bytes, dst, n);
    else
        for (size_t i = 0; i < n; i += info->block_elems, bytes += info->block_bytes)
            block_func[type](bytes, dst + i);
}

/* d = max|x| / 127 as a half, q = round(x / d) with d before it was rounded, as the writers of the
 * format do; a block too small for a half (d rounds to 0) is all zeros. */
static void
quantize_q8_0(const float *src, uint8_t *dst)
{
    float max = 0;
    for (int i = 0; i < 32; i++)
        max = fmaxf(max, fabsf(src[i]));
    float d = max / 127;
    uint16_t h = pd_float_to_half(d);
    memcpy(dst, &h, sizeof h);
    for (int i = 0; i < 32; i++)
        dst[2 + i] = h == 0 ? 0 : (uint8_t)(int8_t)roundf(src[i] / d);
}

int
pd_quantize_row(PdDtype type, const float *src, void *dst, size_t n)
{
    uint8_t *bytes = dst;
    assert(n % pd_dtype_info[type].block_elems == 0);

    switch (type) {
    case PD_F32:
        memcpy(dst, src, n * sizeof *src);
        return PD_KERNEL_OK;
    case PD_F16:
    case PD_BF16:
        for (size_t i = 0; i < n; i++) {
            uint16_t h = type == PD_F16 ? pd_float_to_half(src[i]) : pd_float_to_bfloat(src[i]);
            memcpy(bytes + 2 * i, &h, sizeof h);
        }
        return PD_KERNEL_OK;
    case PD_Q8_0:
        for (size_t i = 0; i < n; i += 32, bytes += 34)
            quantize_q8_0(src + i, bytes);
        return PD_KERNEL_OK;
    default:
        return PD_KERNEL_EUNSUPPORTED;
    }
}
