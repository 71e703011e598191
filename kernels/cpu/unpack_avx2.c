/*
 * From the block formats to panels (panel.h), with AVX2.
 *
 * Everything is done for 8 rows at once.  load_columns reads 16 bytes of each row and turns them so
 * that vector g holds bytes 4g..4g+3 of all 8 rows, one row a 32-bit word; nibbles and bit pairs
 * are split afterwards, in that order, where one instruction serves 32 weights.  The formats are
 * described in quant.c.
 */
#include "kernels/cpu/panel.h"

#include <immintrin.h>
#include <string.h>

#define HALF_PANEL 8

typedef struct {
    __m256i g[4]; /* bytes 4g..4g+3 of 8 rows */
} Columns;

static inline __m256i
load_two(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

/* 16 bytes at `offset` of each of 8 rows; a 4 x 4 transposition in each half of the vectors. */
static inline Columns
load_columns(const uint8_t *const *rows, size_t offset)
{
    __m256i r0 = load_two(rows[0] + offset, rows[4] + offset);
    __m256i r1 = load_two(rows[1] + offset, rows[5] + offset);
    __m256i r2 = load_two(rows[2] + offset, rows[6] + offset);
    __m256i r3 = load_two(rows[3] + offset, rows[7] + offset);
    __m256i low01 = _mm256_unpacklo_epi32(r0, r1), high01 = _mm256_unpackhi_epi32(r0, r1);
    __m256i low23 = _mm256_unpacklo_epi32(r2, r3), high23 = _mm256_unpackhi_epi32(r2, r3);
    return (Columns){{_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
                      _mm256_unpacklo_epi64(high01, high23),
                      _mm256_unpackhi_epi64(high01, high23)}};
}

static inline uint16_t
load_u16(const uint8_t *src)
{
    uint16_t v;
    memcpy(&v, src, sizeof v);
    return v;
}

static inline int
load_i32(const uint8_t *src)
{
    int v;
    memcpy(&v, src, sizeof v);
    return v;
}

/* The half float at `offset` of each of 8 rows. */
static inline __m256
load_halves(const uint8_t *const *rows, size_t offset)
{
    __m128i h = _mm_cvtsi32_si128(load_u16(rows[0] + offset));
    h = _mm_insert_epi16(h, load_u16(rows[1] + offset), 1);
    h = _mm_insert_epi16(h, load_u16(rows[2] + offset), 2);
    h = _mm_insert_epi16(h, load_u16(rows[3] + offset), 3);
    h = _mm_insert_epi16(h, load_u16(rows[4] + offset), 4);
    h = _mm_insert_epi16(h, load_u16(rows[5] + offset), 5);
    h = _mm_insert_epi16(h, load_u16(rows[6] + offset), 6);
    h = _mm_insert_epi16(h, load_u16(rows[7] + offset), 7);
    return _mm256_cvtph_ps(h);
}

/* The 32-bit word at `offset` of each of 8 rows. */
static inline __m256i
load_words(const uint8_t *const *rows, size_t offset)
{
    return _mm256_setr_epi32(load_i32(rows[0] + offset), load_i32(rows[1] + offset),
                             load_i32(rows[2] + offset), load_i32(rows[3] + offset),
                             load_i32(rows[4] + offset), load_i32(rows[5] + offset),
                             load_i32(rows[6] + offset), load_i32(rows[7] + offset));
}

/* Two halves in each 32-bit word: the low ones and the high ones as floats. */
static inline void
split_halves(__m256i words, __m256 *low, __m256 *high)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                                           1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m256i sorted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(words, order), 0xd8);
    *low = _mm256_cvtph_ps(_mm256_castsi256_si128(sorted));
    *high = _mm256_cvtph_ps(_mm256_extracti128_si256(sorted, 1));
}

static inline void
store_codes(PdPanelBlock *block, int g, int first_row, __m256i codes)
{
    _mm256_store_si256((__m256i *)block->codes[g][first_row], codes);
}

static inline __m256i
low_nibbles(__m256i bytes)
{
    return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
}

static inline __m256i
high_nibbles(__m256i bytes)
{
    return low_nibbles(_mm256_srli_epi16(bytes, 4));
}

/* 8 rows, `bytes` of each, on their way into the cache. */
static inline void
prefetch(const uint8_t *const *rows, size_t offset, size_t bytes)
{
    for (int r = 0; r < HALF_PANEL; r++)
        for (size_t i = 0; i < bytes; i += 64)
            _mm_prefetch((const char *)(rows[r] + offset + i), _MM_HINT_T0);
}

/* --- blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 --- */

/* Bit 4g+j of each row's word as 16 in byte j of the row. */
static inline __m256i
fifth_bits(__m256i words, int g)
{
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 0,
                                            0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    __m256i bit = _mm256_set1_epi32(g % 2 ? (int)0x80402010 : 0x08040201);
    __m256i bytes =
        _mm256_shuffle_epi8(words, _mm256_add_epi8(spread, _mm256_set1_epi8((char)(g / 2))));
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

/* The five formats of 32 values differ in where the bytes lie and in what is added to a code. */
static inline __attribute__((always_inline)) void
unpack_small_block(PdPanelBlock *block, const uint8_t *const *rows, size_t at, int first_row,
                   bool has_min, bool has_fifth, int add)
{
    size_t fifth_at = at + (has_min ? 4 : 2), nibbles_at = fifth_at + (has_fifth ? 4 : 0);
    Columns c = load_columns(rows, nibbles_at);
    __m256i fifth = has_fifth ? load_words(rows, fifth_at) : _mm256_setzero_si256();

    for (int g = 0; g < 4; g++) {
        __m256i low = low_nibbles(c.g[g]), high = high_nibbles(c.g[g]);
        if (has_fifth) {
            low = _mm256_or_si256(low, fifth_bits(fifth, g));
            high = _mm256_or_si256(high, fifth_bits(fifth, g + 4));
        }
        if (add != 0) {
            low = _mm256_add_epi8(low, _mm256_set1_epi8((char)add));
            high = _mm256_add_epi8(high, _mm256_set1_epi8((char)add));
        }
        store_codes(block, g, first_row, low);
        store_codes(block, g + 4, first_row, high);
    }

    __m256 scale, min;
    if (has_min) {
        split_halves(load_words(rows, at), &scale, &min);
        if (has_fifth) /* the kernel sees q - 16 */
            min = _mm256_fmadd_ps(scale, _mm256_set1_ps(16), min);
        _mm256_store_ps(block->min + first_row, min);
    } else {
        scale = load_halves(rows, at);
    }
    _mm256_store_ps(block->scale + first_row, scale);
}

static inline __attribute__((always_inline)) void
unpack_small(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
             size_t ahead, bool has_min, bool has_fifth, int add)
{
    size_t block_bytes = 18 + (has_min ? 2 : 0) + (has_fifth ? 4 : 0);
    for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
        for (int b = 0; b < n_blocks; b++) {
            size_t at = (size_t)(first_block + b) * block_bytes;
            if (b % 2 == 0)
                prefetch(rows + half, at + ahead, 1);
            unpack_small_block(&panel[b], rows + half, at, half, has_min, has_fifth, add);
        }
    }
}

static void
unpack_q4_0(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    unpack_small(panel, rows, first_block, n_blocks, ahead, false, false, 8);
}

static void
unpack_q4_1(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    unpack_small(panel, rows, first_block, n_blocks, ahead, true, false, 0);
}

static void
unpack_q5_0(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    unpack_small(panel, rows, first_block, n_blocks, ahead, false, true, 0);
}

static void
unpack_q5_1(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    unpack_small(panel, rows, first_block, n_blocks, ahead, true, true, 0);
}

static void
unpack_q8_0(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
        for (int b = 0; b < n_blocks; b++) {
            size_t at = (size_t)(first_block + b) * 34;
            prefetch(rows + half, at + ahead, 1);
            for (int part = 0; part < 2; part++) {
                Columns c = load_columns(rows + half, at + 2 + 16 * (size_t)part);
                for (int g = 0; g < 4; g++)
                    store_codes(&panel[b], 4 * part + g, half, c.g[g]);
            }
            _mm256_store_ps(panel[b].scale + half, load_halves(rows + half, at));
        }
    }
}

/* --- blocks of 256 --- */

/* Of 8 rows: byte j of `scales` is the 6-bit scale of sub-block 4 i + j, for i = 0, 1. */
typedef struct {
    __m256 d, dmin;
    __m256i scales[2], mins[2];
} HeaderK;

/* The first 16 bytes of a Q4_K or Q5_K block (pd_scale_min_k in quant.c, 4 sub-blocks a time). */
static inline HeaderK
load_header_k(const uint8_t *const *rows, size_t at)
{
    Columns c = load_columns(rows, at);
    const __m256i six = _mm256_set1_epi8(63), two = _mm256_set1_epi8(0x30);
    HeaderK h;
    split_halves(c.g[0], &h.d, &h.dmin);
    h.scales[0] = _mm256_and_si256(c.g[1], six);
    h.mins[0] = _mm256_and_si256(c.g[2], six);
    h.scales[1] =
        _mm256_or_si256(low_nibbles(c.g[3]), _mm256_and_si256(_mm256_srli_epi16(c.g[1], 2), two));
    h.mins[1] =
        _mm256_or_si256(high_nibbles(c.g[3]), _mm256_and_si256(_mm256_srli_epi16(c.g[2], 2), two));
    return h;
}

static inline __m256
byte_as_float(__m256i words, int j)
{
    __m256i v = _mm256_and_si256(_mm256_srli_epi32(words, 8 * j), _mm256_set1_epi32(255));
    return _mm256_cvtepi32_ps(v);
}

/* scale = d s and min = -dmin m (+ 16 scale where the kernel sees q - 16) of sub-block j. */
static inline void
store_scales_k(PdPanelBlock *block, int first_row, const HeaderK *h, int j, bool minus_16)
{
    __m256 scale = _mm256_mul_ps(h->d, byte_as_float(h->scales[j / 4], j % 4));
    __m256 min = _mm256_mul_ps(h->dmin, byte_as_float(h->mins[j / 4], j % 4));
    min = minus_16 ? _mm256_fmsub_ps(scale, _mm256_set1_ps(16), min)
                   : _mm256_sub_ps(_mm256_setzero_ps(), min);
    _mm256_store_ps(block->scale + first_row, scale);
    _mm256_store_ps(block->min + first_row, min);
}

static inline void
unpack_q4_k_half(PdPanelBlock *panel, const uint8_t *const *rows, size_t at, int first_row)
{
    HeaderK h = load_header_k(rows, at);
    for (int j = 0; j < 8; j += 2) {
        for (int part = 0; part < 2; part++) {
            Columns c = load_columns(rows, at + 16 + (size_t)(16 * j + 16 * part));
            for (int g = 0; g < 4; g++) {
                store_codes(&panel[j], 4 * part + g, first_row, low_nibbles(c.g[g]));
                store_codes(&panel[j + 1], 4 * part + g, first_row, high_nibbles(c.g[g]));
            }
        }
    }
    for (int j = 0; j < 8; j++)
        store_scales_k(&panel[j], first_row, &h, j, false);
}

static void
unpack_q4_k(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    for (int b = 0; b < n_blocks; b += 8) {
        size_t at = (size_t)(first_block + b) / 8 * 144;
        for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
            prefetch(rows + half, at + ahead, 144);
            unpack_q4_k_half(panel + b, rows + half, at, half);
        }
    }
}

static inline void
unpack_q5_k_half(PdPanelBlock *panel, const uint8_t *const *rows, size_t at, int first_row)
{
    const __m256i sixteen = _mm256_set1_epi8(16);
    HeaderK h = load_header_k(rows, at);
    for (int part = 0; part < 2; part++) {
        /* Bit j of a byte is the fifth bit of sub-block j. */
        Columns fifth = load_columns(rows, at + 16 + 16 * (size_t)part);
        for (int j = 0; j < 8; j += 2) {
            Columns c = load_columns(rows, at + 48 + (size_t)(16 * j + 16 * part));
            for (int g = 0; g < 4; g++) {
                __m256i bits = j < 4 ? _mm256_slli_epi16(fifth.g[g], 4 - j)
                                     : _mm256_srli_epi16(fifth.g[g], j - 4);
                __m256i low = _mm256_and_si256(bits, sixteen);
                __m256i high = _mm256_and_si256(_mm256_srli_epi16(bits, 1), sixteen);
                store_codes(&panel[j], 4 * part + g, first_row,
                            _mm256_or_si256(low_nibbles(c.g[g]), low));
                store_codes(&panel[j + 1], 4 * part + g, first_row,
                            _mm256_or_si256(high_nibbles(c.g[g]), high));
            }
        }
    }
    for (int j = 0; j < 8; j++)
        store_scales_k(&panel[j], first_row, &h, j, true);
}

static void
unpack_q5_k(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    for (int b = 0; b < n_blocks; b += 8) {
        size_t at = (size_t)(first_block + b) / 8 * 176;
        for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
            prefetch(rows + half, at + ahead, 176);
            unpack_q5_k_half(panel + b, rows + half, at, half);
        }
    }
}

/* 16 columns of the four quarters (32 columns each) of half a Q6_K block. */
static inline void
unpack_q6_k_columns(PdPanelBlock *panel, const uint8_t *const *rows, size_t low_at, size_t high_at,
                    int first_group, int first_row)
{
    const __m256i pair = _mm256_set1_epi8(0x30);
    Columns a = load_columns(rows, low_at), b = load_columns(rows, low_at + 32);
    Columns high = load_columns(rows, high_at);
    for (int g = 0; g < 4; g++) {
        __m256i h = high.g[g];
        __m256i h0 = _mm256_and_si256(_mm256_slli_epi16(h, 4), pair);
        __m256i h1 = _mm256_and_si256(_mm256_slli_epi16(h, 2), pair);
        __m256i h2 = _mm256_and_si256(h, pair);
        __m256i h3 = _mm256_and_si256(_mm256_srli_epi16(h, 2), pair);
        int to = first_group + g;
        store_codes(&panel[0], to, first_row, _mm256_or_si256(low_nibbles(a.g[g]), h0));
        store_codes(&panel[1], to, first_row, _mm256_or_si256(low_nibbles(b.g[g]), h1));
        store_codes(&panel[2], to, first_row, _mm256_or_si256(high_nibbles(a.g[g]), h2));
        store_codes(&panel[3], to, first_row, _mm256_or_si256(high_nibbles(b.g[g]), h3));
    }
}

static inline void
unpack_q6_k_half(PdPanelBlock *panel, const uint8_t *const *rows, size_t at, int first_row)
{
    for (size_t part = 0; part < 4; part++)
        unpack_q6_k_columns(panel + part / 2 * 4, rows, at + part / 2 * 64 + part % 2 * 16,
                            at + 128 + part * 16, (int)(part % 2) * 4, first_row);

    Columns scales = load_columns(rows, at + 192); /* byte j of g[i]: sub-block 4 i + j */
    __m256 d = load_halves(rows, at + 208);
    for (int j = 0; j < 8; j++) {
        for (int sub = 0; sub < 2; sub++) {
            /* Byte 2j%4+sub of each word into the upper byte of both 16-bit halves, then down. */
            int byte = 2 * j % 4 + sub;
            __m256i up = _mm256_slli_epi32(scales.g[j / 2], 24 - 8 * byte);
            up = _mm256_srai_epi32(up, 24); /* sign-extended to 32 bits */
            up = _mm256_blend_epi16(up, _mm256_slli_epi32(up, 16), 0xaa);
            _mm256_store_si256((__m256i *)panel[j].sub_scale[sub][first_row], up);
        }
        _mm256_store_ps(panel[j].d + first_row, d);
    }
}

static void
unpack_q6_k(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            size_t ahead)
{
    for (int b = 0; b < n_blocks; b += 8) {
        size_t at = (size_t)(first_block + b) / 8 * 210;
        for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
            prefetch(rows + half, at + ahead, 210);
            unpack_q6_k_half(panel + b, rows + half, at, half);
        }
    }
}

const PdUnpack pd_unpack_avx2[PD_N_DTYPES] = {
    [PD_Q8_0] = unpack_q8_0, [PD_Q4_0] = unpack_q4_0, [PD_Q4_1] = unpack_q4_1,
    [PD_Q5_0] = unpack_q5_0, [PD_Q5_1] = unpack_q5_1, [PD_Q4_K] = unpack_q4_k,
    [PD_Q5_K] = unpack_q5_k, [PD_Q6_K] = unpack_q6_k,
};

/* --- float types --- */

/* 8 columns of one row as float32. */
static inline __m256
load_floats(PdDtype type, const uint8_t *row, size_t col)
{
    switch (type) {
    case PD_F16:
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + 2 * col)));
    case PD_BF16: {
        __m256i b = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(row + 2 * col)));
        return _mm256_castsi256_ps(_mm256_slli_epi32(b, 16));
    }
    default:
        return _mm256_loadu_ps((const float *)(row + 4 * col));
    }
}

/* 8 rows by 8 columns, turned. */
static inline void
unpack_float_square(PdDtype type, float *panel, const uint8_t *const *rows, size_t col)
{
    __m256 r[8], pair[8], quad[8];
    for (int i = 0; i < 8; i++)
        r[i] = load_floats(type, rows[i], col);
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
        quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        float *to = panel + i * PD_PANEL_ROWS;
        _mm256_store_ps(to, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20));
        _mm256_store_ps(to + 4 * PD_PANEL_ROWS, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31));
    }
}

static inline __attribute__((always_inline)) void
unpack_float(PdDtype type, float *panel, const uint8_t *const *rows, int first_col, int n_cols,
             size_t ahead)
{
    size_t width = pd_dtype_info[type].block_bytes;
    for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
        int c = 0;
        for (; c + 8 <= n_cols; c += 8) {
            size_t col = (size_t)(first_col + c);
            if (c % 16 == 0)
                prefetch(rows + half, col * width + ahead, 1);
            unpack_float_square(type, panel + c * PD_PANEL_ROWS + half, rows + half, col);
        }
        for (; c < n_cols; c++)
            for (int r = half; r < half + HALF_PANEL; r++)
                pd_dequantize_row(type, rows[r] + (size_t)(first_col + c) * width,
                                  panel + c * PD_PANEL_ROWS + r, 1);
    }
}

void
pd_unpack_float_avx2(PdDtype type, float *panel, const uint8_t *const *rows, int first_col,
                     int n_cols, size_t ahead)
{
    if (type == PD_F32)
        unpack_float(PD_F32, panel, rows, first_col, n_cols, ahead);
    else if (type == PD_F16)
        unpack_float(PD_F16, panel, rows, first_col, n_cols, ahead);
    else
        unpack_float(PD_BF16, panel, rows, first_col, n_cols, ahead);
}
