/*
 * The codec of kv_block.h.
 *
 * A code of b bits is cut into planes: 8 = one of 8 bits, 6 = 4 + 2, 5 = 4 + 1, 4, 3 = 2 + 1, 2;
 * the first plane holds the low bits.
 *
 * Key block of n rows and d channels, r = n padded to a multiple of 16 (padding has code 0):
 *     planes      8 bits  [d/4][r][4] bytes
 *                 4 bits  [d/8][r][4] bytes: channels 8g + i in the low nibbles of group g,
 * channels 8g + 4 + i in the high ones 2 bits  [d/4][r] bytes: channel 4g + i in bits 2i, 2i + 1 1
 * bit   [d/8][r] bytes: channel 8g + i in bit i zero        half[d] scale       byte[d]
 * (kv_layout.h) so that one load brings the same four channels of many rows, and a product with one
 * word of the query needs no sum across lanes.  Per element: bits + 24 / n.
 *
 * Value block of n rows: a row is transformed in pieces of w channels, w the largest power of two
 * that divides d, and has one scale for each group of min(w, 64) channels:
 *     rows        [n] times, per row:
 *                 8 bits  [d] bytes
 *                 4 bits  [d/32][16] bytes: channel i in the low nibble of byte i, 16 + i in the
 * high 2 bits  [d/32][8] bytes: channel 8k + i in bits 2k, 2k + 1 of byte i 1 bit   [d/32][4]
 * bytes: channel 4k + i in bit k of byte i scale       byte[n][d / group] padding to a multiple of
 * 32 Per element: bits + 8 / group.  A code stands for the level of an optimal quantizer of a
 * Gaussian, which a rotated value nearly is (J. Max, Quantizing for Minimum Distortion, 1960): at 4
 * bits a fifth less squared error than equal steps.
 *
 * Every scale is searched: from the smallest that covers all downwards, as long as the squared
 * error falls.  The first of these bounds the error: half a step of the covering scale.
 */
#include "kernels/kv_block.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "kernels/kv_layout.h"

enum {
    DIM_MAX = 256,
    GROUP_MAX = 64,
    LANES = 8,          /* partial sums, so that compilers can use vectors */
    WORSE_IN_A_ROW = 2, /* steps of a search that may fail before it ends */
    BLOCK_ALIGNMENT = 32,
};

/* Inputs beyond are clamped: a half float's range. */
#define MAGNITUDE_MAX 65504.0f

typedef struct {
    bool p8, p4, p2, p1;
    int low_bits; /* of the first plane */
} Planes;

static inline Planes
planes_of(int bits)
{
    return (Planes){.p8 = bits == 8,
                    .p4 = bits >= 4 && bits <= 6,
                    .p2 = bits == 2 || bits == 3 || bits == 6,
                    .p1 = bits == 3 || bits == 5,
                    .low_bits = bits == 8   ? 8
                                : bits >= 4 ? 4
                                            : 2};
}

static void
assert_shape(int bits, int head_dim)
{
    assert(bits == 8 || (bits >= 2 && bits <= 6));
    assert(head_dim >= 32 && head_dim <= DIM_MAX && head_dim % 32 == 0);
}

static inline size_t
rounded_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static inline float
storable(float x)
{
    if (!isfinite(x))
        return 0;
    return x > MAGNITUDE_MAX ? MAGNITUDE_MAX : x < -MAGNITUDE_MAX ? -MAGNITUDE_MAX : x;
}

/* The code of the smallest scale that is at least x > 0. */
static int
scale_code_above(float x, int lowest)
{
    int64_t bits = (int64_t)pd_float_to_bits(x) - ((int64_t)(127 + lowest) << 23);
    int64_t code = (bits + 0xfffff) >> 20;

    return (int)(code < 1 ? 1 : code > 255 ? 255 : code);
}

static float
sum_lanes(const float *lanes)
{
    float sum = 0;

    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

/* --- sizes --- */

static int
hadamard_width(int head_dim)
{
    return head_dim & -head_dim;
}

static int
value_group(int head_dim)
{
    int width = hadamard_width(head_dim);
    return width < GROUP_MAX ? width : GROUP_MAX;
}

static inline size_t
value_row_bytes(int bits, int head_dim)
{
    return (size_t)(head_dim * bits / 8);
}

size_t
pd_key_block_bytes(int bits, int head_dim, int n_rows)
{
    assert_shape(bits, head_dim);
    assert(n_rows >= 1 && n_rows <= PD_KV_BLOCK_ROWS);
    return pd_key_scales_at(bits, head_dim, n_rows) + (size_t)head_dim;
}

size_t
pd_value_block_bytes(int bits, int head_dim, int n_rows)
{
    assert_shape(bits, head_dim);
    assert(n_rows >= 1 && n_rows <= PD_KV_BLOCK_ROWS);
    size_t row_bytes = value_row_bytes(bits, head_dim) + (size_t)(head_dim / value_group(head_dim));
    return rounded_up((size_t)n_rows * row_bytes, BLOCK_ALIGNMENT);
}

static size_t
stream_bytes(size_t (*block_bytes)(int, int, int), int bits, int head_dim, int n_rows)
{
    assert(n_rows >= 0);
    size_t whole = (size_t)(n_rows / PD_KV_BLOCK_ROWS);
    int rest = n_rows % PD_KV_BLOCK_ROWS;
    return whole * block_bytes(bits, head_dim, PD_KV_BLOCK_ROWS) +
           (rest > 0 ? block_bytes(bits, head_dim, rest) : 0);
}

size_t
pd_key_stream_bytes(int bits, int head_dim, int n_rows)
{
    return stream_bytes(pd_key_block_bytes, bits, head_dim, n_rows);
}

size_t
pd_value_stream_bytes(int bits, int head_dim, int n_rows)
{
    return stream_bytes(pd_value_block_bytes, bits, head_dim, n_rows);
}

/* --- keys --- */

/* One channel of a block; rows up to n_padded repeat the last one so that loops are whole. */
typedef struct {
    float x[PD_KV_BLOCK_ROWS];
    int n;
    int n_padded; /* a multiple of LANES */
    float min, max;
} Channel;

typedef struct {
    float error; /* sum of squares */
    float scale;
    uint16_t zero; /* half */
    uint8_t scale_code;
} ChannelCode;

static void
load_channel(Channel *channel, const float *rows, size_t stride, int n)
{
    channel->n = n;
    channel->n_padded = (int)rounded_up((size_t)n, LANES);
    channel->min = INFINITY;
    channel->max = -INFINITY;
    for (int r = 0; r < n; r++) {
        float x = storable(rows[(size_t)r * stride]);
        channel->x[r] = x;
        channel->min = x < channel->min ? x : channel->min;
        channel->max = x > channel->max ? x : channel->max;
    }
    for (int r = n; r < channel->n_padded; r++)
        channel->x[r] = channel->x[n - 1];
}

/* To the nearest integer of 0 .. top.  Adding 1.5 2^23 leaves the integer in the low bits. */
static inline float
round_code(float x, float top)
{
    x = x > 0 ? x : 0;
    x = x < top ? x : top;
    return (x + 12582912.0f) - 12582912.0f;
}

static inline float
inverse_scale(float scale)
{
    return scale > 0 ? 1 / scale : 0;
}

/* sum of x - scale u, and its squares about `zero` */
static void
measure_channel(const Channel *channel, float scale, float zero, float top, float *mean,
                float *error)
{
    float sums[LANES] = {0}, squares[LANES] = {0}, inverse = inverse_scale(scale);

    for (int r = 0; r < channel->n_padded; r += LANES)
        for (int i = 0; i < LANES; i++) {
            float x = channel->x[r + i];
            float rest = x - scale * round_code((x - zero) * inverse, top);
            sums[i] += rest;
            squares[i] += (rest - zero) * (rest - zero);
        }
    *mean = sum_lanes(sums) / (float)channel->n_padded;
    *error = sum_lanes(squares);
}

/* The error with this scale, for the better of two zeros: the one that centres the range, and the
 * one that is best for the codes that the first gives. */
static ChannelCode
try_scale(const Channel *channel, int code, float top)
{
    ChannelCode best = {.scale_code = (uint8_t)code,
                        .scale = pd_scale_decode((uint8_t)code, PD_KEY_SCALE_LOWEST)};
    float middle = channel->min + 0.5f * (channel->max - channel->min);
    float mean, mean_2, error;

    best.zero = pd_float_to_half(storable(middle - 0.5f * top * best.scale));
    measure_channel(channel, best.scale, pd_half_to_float(best.zero), top, &mean, &best.error);
    uint16_t zero = pd_float_to_half(storable(mean));
    measure_channel(channel, best.scale, pd_half_to_float(zero), top, &mean_2, &error);
    if (error < best.error) {
        best.error = error;
        best.zero = zero;
    }
    return best;
}

static ChannelCode
search_channel(const Channel *channel, float top)
{
    float range = channel->max - channel->min;

    if (range <= 0)
        return (ChannelCode){.zero = pd_float_to_half(channel->min)};
    int code = scale_code_above(range / top, PD_KEY_SCALE_LOWEST);
    ChannelCode best = try_scale(channel, code, top);
    for (int worse = 0; code > 0 && worse < WORSE_IN_A_ROW;) {
        ChannelCode next = try_scale(channel, --code, top);
        if (next.error < best.error) {
            best = next;
            worse = 0;
        } else {
            worse++;
        }
    }
    return best;
}

/* Add the code of channel c, row r (of `padded`) to a block whose planes are 0. */
static inline void
put_key_code(Planes planes, uint8_t *block, int head_dim, size_t padded, int c, size_t r, int u)
{
    size_t d = (size_t)head_dim, channel = (size_t)c;
    uint8_t *plane = block;

    if (planes.p8) {
        plane[(channel / 4 * padded + r) * 4 + channel % 4] = (uint8_t)u;
        return;
    }
    if (planes.p4) {
        plane[(channel / 8 * padded + r) * 4 + channel % 4] |=
            (uint8_t)((u & 15) << (channel % 8 / 4 * 4));
        plane += d / 2 * padded;
    }
    if (planes.p2) {
        plane[channel / 4 * padded + r] |=
            (uint8_t)((planes.p4 ? u >> 4 : u & 3) << (channel % 4 * 2));
        plane += d / 4 * padded;
    }
    if (planes.p1)
        plane[channel / 8 * padded + r] |= (uint8_t)(u >> planes.low_bits << (channel % 8));
}

void
pd_key_block_pack(int bits, int head_dim, const float *rows, size_t stride, int n_rows, void *block)
{
    Planes planes = planes_of(bits);
    uint8_t *bytes = block;
    size_t padded = pd_key_rows_padded(n_rows);
    uint8_t *zeros = bytes + pd_key_zeros_at(bits, head_dim, n_rows);
    uint8_t *scales = bytes + pd_key_scales_at(bits, head_dim, n_rows);
    float top = (float)((1 << bits) - 1);

    memset(bytes, 0, pd_key_block_bytes(bits, head_dim, n_rows));
    for (int c = 0; c < head_dim; c++) {
        Channel channel;
        load_channel(&channel, rows + c, stride, n_rows);
        ChannelCode code = search_channel(&channel, top);
        float zero = pd_half_to_float(code.zero), inverse = inverse_scale(code.scale);

        memcpy(zeros + 2 * c, &code.zero, 2);
        scales[c] = code.scale_code;
        for (int r = 0; r < n_rows; r++)
            put_key_code(planes, bytes, head_dim, padded, c, (size_t)r,
                         (int)round_code((channel.x[r] - zero) * inverse, top));
    }
}

/* The codes of channels 8g .. 8g + 7 of row r. */
static inline __attribute__((always_inline)) void
get_key_codes(int bits, const uint8_t *block, size_t head_dim, size_t padded, size_t g, size_t r,
              uint8_t *u)
{
    Planes planes = planes_of(bits);
    const uint8_t *plane = block;

    if (planes.p8) {
        memcpy(u, plane + (2 * g * padded + r) * 4, 4);
        memcpy(u + 4, plane + ((2 * g + 1) * padded + r) * 4, 4);
        return;
    }
    if (planes.p4) {
        const uint8_t *src = plane + (g * padded + r) * 4;
        for (int i = 0; i < 4; i++) {
            u[i] = src[i] & 15;
            u[4 + i] = src[i] >> 4;
        }
        plane += head_dim / 2 * padded;
    }
    if (planes.p2) {
        int shift = planes.p4 ? 4 : 0;
        for (size_t half = 0; half < 2; half++) {
            uint8_t byte = plane[(2 * g + half) * padded + r];
            for (int i = 0; i < 4; i++) {
                uint8_t pair = (uint8_t)((byte >> (2 * i) & 3) << shift);
                u[4 * half + (size_t)i] =
                    (uint8_t)(planes.p4 ? u[4 * half + (size_t)i] | pair : pair);
            }
        }
        plane += head_dim / 4 * padded;
    }
    if (planes.p1) {
        uint8_t byte = plane[g * padded + r];
        for (int i = 0; i < 8; i++)
            u[i] |= (uint8_t)((byte >> i & 1) << planes.low_bits);
    }
}

/* Rows first .. first + n - 1 of one block of n_rows. */
static inline __attribute__((always_inline)) void
unpack_key_block(int bits, int head_dim, const uint8_t *block, int n_rows, int first, int n,
                 float *rows, size_t stride)
{
    size_t padded = pd_key_rows_padded(n_rows);
    const uint8_t *zeros = block + pd_key_zeros_at(bits, head_dim, n_rows);
    const uint8_t *scales = block + pd_key_scales_at(bits, head_dim, n_rows);

    for (int g = 0; g < head_dim / 8; g++) {
        float scale[8], zero[8];
        for (int i = 0; i < 8; i++) {
            scale[i] = pd_scale_decode(scales[8 * g + i], PD_KEY_SCALE_LOWEST);
            zero[i] = pd_load_half(zeros + 2 * (8 * g + i));
        }
        for (int r = 0; r < n; r++) {
            uint8_t u[8];
            float *dst = rows + (size_t)r * stride + 8 * g;
            get_key_codes(bits, block, (size_t)head_dim, padded, (size_t)g, (size_t)(first + r), u);
            for (int i = 0; i < 8; i++)
                dst[i] = scale[i] * (float)u[i] + zero[i];
        }
    }
}

typedef void (*UnpackBlock)(int head_dim, const uint8_t *block, int n_rows, int first, int n,
                            float *rows, size_t stride);

/* One function per width, so that the planes are known when it is compiled. */
#define UNPACK_WIDTH(KIND, BITS)                                                                   \
    static void unpack_##KIND##_##BITS(int head_dim, const uint8_t *block, int n_rows, int first,  \
                                       int n, float *rows, size_t stride)                          \
    {                                                                                              \
        unpack_##KIND##_block(BITS, head_dim, block, n_rows, first, n, rows, stride);              \
    }
#define UNPACK_WIDTHS(KIND)                                                                        \
    UNPACK_WIDTH(KIND, 2)                                                                          \
    UNPACK_WIDTH(KIND, 3)                                                                          \
    UNPACK_WIDTH(KIND, 4)                                                                          \
    UNPACK_WIDTH(KIND, 5)                                                                          \
    UNPACK_WIDTH(KIND, 6)                                                                          \
    UNPACK_WIDTH(KIND, 8)                                                                          \
    static const UnpackBlock unpack_##KIND[9] = {                                                  \
        [2] = unpack_##KIND##_2, [3] = unpack_##KIND##_3, [4] = unpack_##KIND##_4,                 \
        [5] = unpack_##KIND##_5, [6] = unpack_##KIND##_6, [8] = unpack_##KIND##_8,                 \
    };

UNPACK_WIDTHS(key)

static void
unpack_stream(UnpackBlock unpack_block, size_t block_bytes, int head_dim, const uint8_t *stream,
              int n_rows, int first, int n, float *rows, size_t stride)
{
    assert(first >= 0 && n >= 0 && first <= n_rows && n <= n_rows - first);
    while (n > 0) {
        int block = first / PD_KV_BLOCK_ROWS, at = first % PD_KV_BLOCK_ROWS;
        int in_block = n_rows - block * PD_KV_BLOCK_ROWS;
        in_block = in_block < PD_KV_BLOCK_ROWS ? in_block : PD_KV_BLOCK_ROWS;
        int now = in_block - at < n ? in_block - at : n;

        unpack_block(head_dim, stream + (size_t)block * block_bytes, in_block, at, now, rows,
                     stride);
        rows += (size_t)now * stride;
        first += now;
        n -= now;
    }
}

void
pd_key_stream_unpack(int bits, int head_dim, const void *stream, int n_rows, int first, int n,
                     float *rows, size_t stride)
{
    unpack_stream(unpack_key[bits], pd_key_block_bytes(bits, head_dim, PD_KV_BLOCK_ROWS), head_dim,
                  stream, n_rows, first, n, rows, stride);
}

/* --- values --- */

/* Levels of the codes 2^(bits - 1) and up; the lower half mirrors them.  Lloyd-Max for a Gaussian,
 * the outermost set to 1016; 8 bits have equal steps. */
static const int16_t upper_levels[7][32] = {
    [2] = {305, 1016},
    [3] = {116, 357, 635, 1016},
    [4] = {48, 144, 244, 350, 467, 602, 769, 1016},
    [5] = {21, 62, 103, 145, 188, 233, 279, 327, 378, 432, 491, 557, 632, 722, 839, 1016},
    [6] = {9,   27,  45,  64,  82,  100, 119, 138, 157, 176, 196, 216, 236, 257, 278, 300,
           323, 346, 370, 396, 422, 450, 480, 511, 545, 583, 624, 671, 725, 792, 879, 1016},
};

static inline int
n_levels_above(int bits)
{
    return 1 << (bits - 1);
}

static inline int
value_level(int bits, int u)
{
    int half = n_levels_above(bits);

    if (bits == 8)
        return 2 * u - 255;
    return u >= half ? upper_levels[bits][u - half] : -upper_levels[bits][half - 1 - u];
}

static void
fill_levels(int bits, float *levels)
{
    for (int u = 0; u < 1 << bits; u++)
        levels[u] = (float)value_level(bits, u);
}

/* In place, normalised by 1 / sqrt(width): its own inverse. */
static void
hadamard(float *x, int width)
{
    float norm = 1 / sqrtf((float)width);

    for (int i = 0; i < width; i += 4) {
        float a = x[i] + x[i + 1], b = x[i] - x[i + 1];
        float c = x[i + 2] + x[i + 3], d = x[i + 2] - x[i + 3];
        x[i] = (a + c) * norm;
        x[i + 1] = (b + d) * norm;
        x[i + 2] = (a - c) * norm;
        x[i + 3] = (b - d) * norm;
    }
    for (int half = 4; half < width; half *= 2)
        for (int i = 0; i < width; i += 2 * half)
            for (int j = i; j < i + half; j++) {
                float a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
}

static void
hadamard_row(float *x, int head_dim)
{
    int width = hadamard_width(head_dim);

    for (int i = 0; i < head_dim; i += width)
        hadamard(x + i, width);
}

/* Magnitude code (0 .. 2^(bits - 1) - 1) of each |x| / scale. */
static void
magnitude_codes(int bits, const float *x, int n, float scale, int32_t *codes)
{
    float inverse = inverse_scale(scale);
    int n_upper = n_levels_above(bits);

    if (bits == 8) {
        for (int i = 0; i < n; i++)
            codes[i] =
                (int32_t)round_code((fabsf(x[i]) * inverse - 1) * 0.5f, (float)(n_upper - 1));
        return;
    }
    memset(codes, 0, (size_t)n * sizeof *codes);
    for (int k = 0; k + 1 < n_upper; k++) {
        float border = 0.5f * scale * (float)(upper_levels[bits][k] + upper_levels[bits][k + 1]);
        for (int i = 0; i < n; i++)
            codes[i] += fabsf(x[i]) > border;
    }
}

static float
try_value_scale(int bits, const float *x, int n, int code, int32_t *codes)
{
    float lanes[LANES] = {0}, scale = pd_scale_decode((uint8_t)code, PD_VALUE_SCALE_LOWEST);
    int half = n_levels_above(bits);

    magnitude_codes(bits, x, n, scale, codes);
    for (int i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float level = (float)value_level(bits, half + codes[i + k]);
            float error = fabsf(x[i + k]) - scale * level;
            lanes[k] += error * error;
        }
    return sum_lanes(lanes);
}

/* The best scale's code; codes receive what it makes of x. */
static uint8_t
code_value_group(int bits, const float *x, int n, int32_t *codes)
{
    int32_t trial[GROUP_MAX];
    float max = 0;

    for (int i = 0; i < n; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    memset(codes, 0, (size_t)n * sizeof *codes);
    if (max == 0)
        return 0;
    int code =
        scale_code_above(max / (float)value_level(bits, (1 << bits) - 1), PD_VALUE_SCALE_LOWEST);
    int best_code = code;
    float best = try_value_scale(bits, x, n, code, codes);
    for (int worse = 0; code > 0 && worse < WORSE_IN_A_ROW;) {
        float error = try_value_scale(bits, x, n, --code, trial);
        if (error < best) {
            best = error;
            best_code = code;
            memcpy(codes, trial, (size_t)n * sizeof *codes);
            worse = 0;
        } else {
            worse++;
        }
    }
    for (int i = 0; i < n; i++)
        codes[i] = x[i] < 0 ? n_levels_above(bits) - 1 - codes[i] : n_levels_above(bits) + codes[i];
    return (uint8_t)best_code;
}

static void
put_value_codes(int bits, int head_dim, const int32_t *codes, uint8_t *row)
{
    Planes planes = planes_of(bits);

    memset(row, 0, value_row_bytes(bits, head_dim));
    for (int c = 0; c < head_dim; c++) {
        uint8_t *plane = row;
        int u = codes[c], piece = c / 32, i = c % 32;
        if (planes.p8)
            plane[c] = (uint8_t)u;
        if (planes.p4) {
            plane[16 * piece + i % 16] |= (uint8_t)((u & 15) << (i / 16 * 4));
            plane += head_dim / 2;
        }
        if (planes.p2) {
            plane[8 * piece + i % 8] |= (uint8_t)((planes.p4 ? u >> 4 : u & 3) << (i / 8 * 2));
            plane += head_dim / 4;
        }
        if (planes.p1)
            plane[4 * piece + i % 4] |= (uint8_t)(u >> planes.low_bits << (i / 4));
    }
}

void
pd_value_block_pack(int bits, int head_dim, const float *rows, size_t stride, int n_rows,
                    void *block)
{
    int group = value_group(head_dim);
    size_t row_bytes = value_row_bytes(bits, head_dim);
    uint8_t *bytes = block;
    uint8_t *scale = bytes + (size_t)n_rows * row_bytes;

    memset(bytes, 0, pd_value_block_bytes(bits, head_dim, n_rows));
    for (int r = 0; r < n_rows; r++) {
        float x[DIM_MAX];
        int32_t codes[DIM_MAX];
        for (int c = 0; c < head_dim; c++)
            x[c] = storable(rows[(size_t)r * stride + (size_t)c]);
        hadamard_row(x, head_dim);
        for (int c = 0; c < head_dim; c += group)
            *scale++ = code_value_group(bits, x + c, group, codes + c);
        put_value_codes(bits, head_dim, codes, bytes + (size_t)r * row_bytes);
    }
}

/* The codes of one row. */
static inline __attribute__((always_inline)) void
get_value_codes(int bits, int head_dim, const uint8_t *row, uint8_t *u)
{
    Planes planes = planes_of(bits);
    int shift = planes.p4 ? 4 : 0;

    if (planes.p8)
        memcpy(u, row, (size_t)head_dim);
    for (int piece = 0; piece < head_dim / 32; piece++, u += 32) {
        const uint8_t *plane = row;
        if (planes.p4) {
            for (int i = 0; i < 16; i++) {
                u[i] = plane[16 * piece + i] & 15;
                u[16 + i] = plane[16 * piece + i] >> 4;
            }
            plane += head_dim / 2;
        }
        if (planes.p2) {
            for (int k = 0; k < 4; k++)
                for (int i = 0; i < 8; i++) {
                    uint8_t pair = (uint8_t)((plane[8 * piece + i] >> (2 * k) & 3) << shift);
                    u[8 * k + i] = (uint8_t)(planes.p4 ? u[8 * k + i] | pair : pair);
                }
            plane += head_dim / 4;
        }
        if (planes.p1)
            for (int k = 0; k < 8; k++)
                for (int i = 0; i < 4; i++)
                    u[4 * k + i] |= (uint8_t)((plane[4 * piece + i] >> k & 1) << planes.low_bits);
    }
}

static inline __attribute__((always_inline)) void
unpack_value_block(int bits, int head_dim, const uint8_t *block, int n_rows, int first, int n,
                   float *rows, size_t stride)
{
    int group = value_group(head_dim), n_groups = head_dim / group;
    size_t row_bytes = value_row_bytes(bits, head_dim);
    const uint8_t *scales = block + (size_t)n_rows * row_bytes;
    float levels[1 << 8];

    fill_levels(bits, levels);
    for (int r = first; r < first + n; r++, rows += stride) {
        uint8_t u[DIM_MAX];
        get_value_codes(bits, head_dim, block + (size_t)r * row_bytes, u);
        for (int g = 0; g < n_groups; g++) {
            float scale = pd_scale_decode(scales[r * n_groups + g], PD_VALUE_SCALE_LOWEST);
            for (int c = g * group; c < (g + 1) * group; c++)
                rows[c] = scale * levels[u[c]];
        }
        hadamard_row(rows, head_dim);
    }
}

UNPACK_WIDTHS(value)

void
pd_value_stream_unpack(int bits, int head_dim, const void *stream, int n_rows, int first, int n,
                       float *rows, size_t stride)
{
    unpack_stream(unpack_value[bits], pd_value_block_bytes(bits, head_dim, PD_KV_BLOCK_ROWS),
                  head_dim, stream, n_rows, first, n, rows, stride);
}
