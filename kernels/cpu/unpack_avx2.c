/*
 * From the block formats to panels (panel.h), with AVX2 and 8 rows at once (columns_avx2.h).
 */
#include "kernels/cpu/columns_avx2.h"

static inline void
store_codes(PdPanelBlock *block, int g, int first_row, __m256i codes)
{
    _mm256_store_si256((__m256i *)block->codes[g][first_row], codes);
}

/* --- blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 --- */

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
             const uint8_t *next, bool has_min, bool has_fifth, int add)
{
    size_t block_bytes = 18 + (has_min ? 2 : 0) + (has_fifth ? 4 : 0);
    for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
        for (int b = 0; b < n_blocks; b++) {
            size_t at = (size_t)(first_block + b) * block_bytes;
            prefetch(next, HALF_PANEL * block_bytes);
            next += HALF_PANEL * block_bytes;
            unpack_small_block(&panel[b], rows + half, at, half, has_min, has_fifth, add);
        }
    }
}

static void
unpack_q4_0(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            const uint8_t *next)
{
    unpack_small(panel, rows, first_block, n_blocks, next, false, false, 8);
}

static void
unpack_q4_1(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            const uint8_t *next)
{
    unpack_small(panel, rows, first_block, n_blocks, next, true, false, 0);
}

static void
unpack_q5_0(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            const uint8_t *next)
{
    unpack_small(panel, rows, first_block, n_blocks, next, false, true, 0);
}

static void
unpack_q5_1(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            const uint8_t *next)
{
    unpack_small(panel, rows, first_block, n_blocks, next, true, true, 0);
}

static void
unpack_q8_0(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            const uint8_t *next)
{
    for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
        for (int b = 0; b < n_blocks; b++) {
            size_t at = (size_t)(first_block + b) * 34;
            prefetch(next, HALF_PANEL * 34);
            next += HALF_PANEL * 34;
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

static inline void
store_scales_k(PdPanelBlock *block, int first_row, const HeaderK *h, int j, bool minus_16)
{
    __m256 scale, min;
    scales_k(h, j, minus_16, &scale, &min);
    _mm256_store_ps(block->scale + first_row, scale);
    _mm256_store_ps(block->min + first_row, min);
}

static inline void
unpack_q4_k_half(PdPanelBlock *panel, const uint8_t *const *rows, size_t at, int first_row,
                 const uint8_t *next)
{
    HeaderK h = load_header_k(rows, at);
    for (int j = 0; j < 8; j += 2) {
        for (int part = 0; part < 2; part++) {
            Columns c = load_columns(rows, at + 16 + (size_t)(16 * j + 16 * part));
            prefetch(next, 144);
            next += 144;
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
            const uint8_t *next)
{
    for (int b = 0; b < n_blocks; b += 8) {
        size_t at = (size_t)(first_block + b) / 8 * 144;
        for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
            unpack_q4_k_half(panel + b, rows + half, at, half, next);
            next += HALF_PANEL * 144;
        }
    }
}

static inline void
unpack_q5_k_half(PdPanelBlock *panel, const uint8_t *const *rows, size_t at, int first_row,
                 const uint8_t *next)
{
    const __m256i sixteen = _mm256_set1_epi8(16);
    HeaderK h = load_header_k(rows, at);
    for (int part = 0; part < 2; part++) {
        /* Bit j of a byte is the fifth bit of sub-block j. */
        Columns fifth = load_columns(rows, at + 16 + 16 * (size_t)part);
        for (int j = 0; j < 8; j += 2) {
            Columns c = load_columns(rows, at + 48 + (size_t)(16 * j + 16 * part));
            prefetch(next, 176);
            next += 176;
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
            const uint8_t *next)
{
    for (int b = 0; b < n_blocks; b += 8) {
        size_t at = (size_t)(first_block + b) / 8 * 176;
        for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
            unpack_q5_k_half(panel + b, rows + half, at, half, next);
            next += HALF_PANEL * 176;
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
unpack_q6_k_half(PdPanelBlock *panel, const uint8_t *const *rows, size_t at, int first_row,
                 const uint8_t *next)
{
    for (size_t part = 0; part < 4; part++) {
        prefetch(next + part * 420, 420);
        unpack_q6_k_columns(panel + part / 2 * 4, rows, at + part / 2 * 64 + part % 2 * 16,
                            at + 128 + part * 16, (int)(part % 2) * 4, first_row);
    }

    Columns scales = load_columns(rows, at + 192); /* byte j of g[i]: sub-block 4 i + j */
    __m256 d = load_halves(rows, at + 208);
    for (int j = 0; j < 8; j++) {
        for (int sub = 0; sub < 2; sub++) {
            __m256i up = sub_scale_q6_k(&scales, 2 * j + sub);
            _mm256_store_si256((__m256i *)panel[j].sub_scale[sub][first_row], up);
        }
        _mm256_store_ps(panel[j].d + first_row, d);
    }
}

static void
unpack_q6_k(PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
            const uint8_t *next)
{
    for (int b = 0; b < n_blocks; b += 8) {
        size_t at = (size_t)(first_block + b) / 8 * 210;
        for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
            unpack_q6_k_half(panel + b, rows + half, at, half, next);
            next += HALF_PANEL * 210;
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
             const uint8_t *next)
{
    size_t width = pd_dtype_info[type].block_bytes;
    for (int half = 0; half < PD_PANEL_ROWS; half += HALF_PANEL) {
        int c = 0;
        for (; c + 8 <= n_cols; c += 8) {
            size_t col = (size_t)(first_col + c);
            prefetch(next, HALF_PANEL * 8 * width);
            next += HALF_PANEL * 8 * width;
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
                     int n_cols, const uint8_t *next)
{
    if (type == PD_F32)
        unpack_float(PD_F32, panel, rows, first_col, n_cols, next);
    else if (type == PD_F16)
        unpack_float(PD_F16, panel, rows, first_col, n_cols, next);
    else
        unpack_float(PD_BF16, panel, rows, first_col, n_cols, next);
}
