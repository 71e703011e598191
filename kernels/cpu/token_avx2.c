/*
 * Products with a single token, AVX2: decoding.  Every weight is used once, so nothing is stored on
 * the way: 8 rows are taken apart in registers (columns_avx2.h) and multiplied at once.  The
 * integer sums are those of matmul_avx2.c and the float operations follow in the same order, so
 * that a token gets the same bits alone and in a batch.
 */
#include "kernels/cpu/columns_avx2.h"

/* sum += words of codes by the activations of columns 4g..4g+3, pairs in 16 bits. */
INLINE void
add_word(__m256i *sum, __m256i codes, const PdActBlock *act, int g)
{
    int word;
    memcpy(&word, act->q + 4 * g, sizeof word);
    *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(codes, _mm256_set1_epi32(word)));
}

INLINE __m256i
widen(__m256i sum)
{
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

/* acc += scale * sum * d */
INLINE void
add_block(__m256 *acc, __m256i sum, __m256 scale, const PdActBlock *act)
{
    __m256 dot = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
    *acc = _mm256_fmadd_ps(dot, _mm256_set1_ps(act->d), *acc);
}

INLINE void
add_min(__m256 *acc, __m256 min, const PdActBlock *act)
{
    *acc = _mm256_fmadd_ps(min, _mm256_set1_ps(act->sum), *acc);
}

/* What the functions below do for one type: acc += the product of 8 rows of n_blocks blocks of 32
 * columns; as many bytes as they read are prefetched from `next` on. */
typedef void (*RowsFunc)(__m256 *acc, const uint8_t *const *rows, int n_blocks,
                         const PdActBlock *acts, const uint8_t *next);

INLINE void
multiply_small(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
               const uint8_t *next, bool has_min, bool has_fifth, int add)
{
    size_t block_bytes = 18 + (has_min ? 2 : 0) + (has_fifth ? 4 : 0), at = 0;
    bool has_start = has_fifth || add != 0;
    for (int b = 0; b < n_blocks; b++, acts++, at += block_bytes) {
        size_t fifth_at = at + (has_min ? 4 : 2), nibbles_at = fifth_at + (has_fifth ? 4 : 0);
        prefetch(next + HALF_PANEL * at, HALF_PANEL * block_bytes);
        Columns c = load_columns(rows, nibbles_at);
        __m256i fifth = has_fifth ? load_words(rows, fifth_at) : _mm256_setzero_si256();
        __m256i sum = has_start ? _mm256_set1_epi32(acts->start_16) : _mm256_setzero_si256();

#pragma GCC unroll 4
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
            add_word(&sum, low, acts, g);
            add_word(&sum, high, acts, g + 4);
        }
        if (has_min) {
            __m256 scale, min;
            split_halves(load_words(rows, at), &scale, &min);
            if (has_fifth)
                min = _mm256_fmadd_ps(scale, _mm256_set1_ps(16), min);
            add_block(acc, widen(sum), scale, acts);
            add_min(acc, min, acts);
        } else {
            add_block(acc, widen(sum), load_halves(rows, at), acts);
        }
    }
}

static void
multiply_q4_0(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    multiply_small(acc, rows, n_blocks, acts, next, false, false, 8);
}

static void
multiply_q4_1(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    multiply_small(acc, rows, n_blocks, acts, next, true, false, 0);
}

static void
multiply_q5_0(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    multiply_small(acc, rows, n_blocks, acts, next, false, true, 0);
}

static void
multiply_q5_1(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    multiply_small(acc, rows, n_blocks, acts, next, true, true, 0);
}

static void
multiply_q8_0(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    for (int b = 0; b < n_blocks; b++, acts++) {
        size_t at = (size_t)b * 34;
        __m256i sum = _mm256_setzero_si256();
        prefetch(next + HALF_PANEL * at, HALF_PANEL * 34);
#pragma GCC unroll 2
        for (int part = 0; part < 2; part++) {
            Columns c = load_columns(rows, at + 2 + 16 * (size_t)part);
#pragma GCC unroll 4
            for (int g = 0; g < 4; g++) {
                int word;
                memcpy(&word, acts->q + 16 * part + 4 * g, sizeof word);
                __m256i x = _mm256_sign_epi8(_mm256_set1_epi32(word), c.g[g]);
                __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(c.g[g]), x);
                sum = _mm256_add_epi32(sum, widen(pairs));
            }
        }
        add_block(acc, sum, load_halves(rows, at), acts);
    }
}

INLINE void
add_block_k(__m256 *acc, __m256i sum, const HeaderK *h, int j, bool minus_16, const PdActBlock *act)
{
    __m256 scale, min;
    scales_k(h, j, minus_16, &scale, &min);
    add_block(acc, widen(sum), scale, act);
    add_min(acc, min, act);
}

static void
multiply_q4_k(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    for (int b = 0; b < n_blocks; b += 8, acts += 8, next += HALF_PANEL * 144) {
        size_t at = (size_t)b / 8 * 144;
        HeaderK h = load_header_k(rows, at);
#pragma GCC unroll 4
        for (int j = 0; j < 8; j += 2) {
            __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
            prefetch(next + 36 * HALF_PANEL / 2 * j, HALF_PANEL * 36);
#pragma GCC unroll 2
            for (int part = 0; part < 2; part++) {
                Columns c = load_columns(rows, at + 16 + (size_t)(16 * j + 16 * part));
#pragma GCC unroll 4
                for (int g = 0; g < 4; g++) {
                    add_word(&low, low_nibbles(c.g[g]), &acts[j], 4 * part + g);
                    add_word(&high, high_nibbles(c.g[g]), &acts[j + 1], 4 * part + g);
                }
            }
            add_block_k(acc, low, &h, j, false, &acts[j]);
            add_block_k(acc, high, &h, j + 1, false, &acts[j + 1]);
        }
    }
}

static void
multiply_q5_k(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    const __m256i sixteen = _mm256_set1_epi8(16);
    for (int b = 0; b < n_blocks; b += 8, acts += 8, next += HALF_PANEL * 176) {
        size_t at = (size_t)b / 8 * 176;
        HeaderK h = load_header_k(rows, at);
        Columns fifth[2] = {load_columns(rows, at + 16), load_columns(rows, at + 32)};
#pragma GCC unroll 4
        for (int j = 0; j < 8; j += 2) {
            __m256i low = _mm256_set1_epi32(acts[j].start_16);
            __m256i high = _mm256_set1_epi32(acts[j + 1].start_16);
            prefetch(next + 44 * HALF_PANEL / 2 * j, HALF_PANEL * 44);
#pragma GCC unroll 2
            for (int part = 0; part < 2; part++) {
                Columns c = load_columns(rows, at + 48 + (size_t)(16 * j + 16 * part));
#pragma GCC unroll 4
                for (int g = 0; g < 4; g++) {
                    __m256i all = fifth[part].g[g];
                    __m256i bits =
                        j < 4 ? _mm256_slli_epi16(all, 4 - j) : _mm256_srli_epi16(all, j - 4);
                    __m256i bit0 = _mm256_and_si256(bits, sixteen);
                    __m256i bit1 = _mm256_and_si256(_mm256_srli_epi16(bits, 1), sixteen);
                    add_word(&low, _mm256_or_si256(low_nibbles(c.g[g]), bit0), &acts[j],
                             4 * part + g);
                    add_word(&high, _mm256_or_si256(high_nibbles(c.g[g]), bit1), &acts[j + 1],
                             4 * part + g);
                }
            }
            add_block_k(acc, low, &h, j, true, &acts[j]);
            add_block_k(acc, high, &h, j + 1, true, &acts[j + 1]);
        }
    }
}

/* sum[k] += 16 columns of the four quarters of half a Q6_K block. */
INLINE void
add_quarters(__m256i *sum, const uint8_t *const *rows, size_t low_at, size_t high_at,
             const PdActBlock *acts, int first_group)
{
    const __m256i pair = _mm256_set1_epi8(0x30);
    Columns a = load_columns(rows, low_at), b = load_columns(rows, low_at + 32);
    Columns high = load_columns(rows, high_at);
#pragma GCC unroll 4
    for (int g = 0; g < 4; g++) {
        __m256i h = high.g[g];
        __m256i h0 = _mm256_and_si256(_mm256_slli_epi16(h, 4), pair);
        __m256i h1 = _mm256_and_si256(_mm256_slli_epi16(h, 2), pair);
        __m256i h2 = _mm256_and_si256(h, pair);
        __m256i h3 = _mm256_and_si256(_mm256_srli_epi16(h, 2), pair);
        int to = first_group + g;
        add_word(&sum[0], _mm256_or_si256(low_nibbles(a.g[g]), h0), &acts[0], to);
        add_word(&sum[1], _mm256_or_si256(low_nibbles(b.g[g]), h1), &acts[1], to);
        add_word(&sum[2], _mm256_or_si256(high_nibbles(a.g[g]), h2), &acts[2], to);
        add_word(&sum[3], _mm256_or_si256(high_nibbles(b.g[g]), h3), &acts[3], to);
    }
}

static void
multiply_q6_k(__m256 *acc, const uint8_t *const *rows, int n_blocks, const PdActBlock *acts,
              const uint8_t *next)
{
    for (int b = 0; b < n_blocks; b += 4, acts += 4, next += HALF_PANEL * 105) {
        size_t block_at = (size_t)b / 8 * 210, half = (size_t)b % 8 / 4;
        Columns scales = load_columns(rows, block_at + 192);
        __m256 d = load_halves(rows, block_at + 208);
        __m256i total[4];
#pragma GCC unroll 2
        for (int part = 0; part < 2; part++) {
            __m256i sum[4];
            prefetch(next + HALF_PANEL * 105 / 2 * part, HALF_PANEL * 105 / 2);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++)
                sum[k] = _mm256_set1_epi32(acts[k].start_32_sub[part]);
            add_quarters(sum, rows, block_at + half * 64 + 16 * (size_t)part,
                         block_at + 128 + half * 32 + 16 * (size_t)part, acts, 4 * part);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                __m256i scale = half == 0 ? sub_scale_q6_k(&scales, 2 * k + part)
                                          : sub_scale_q6_k(&scales, 8 + 2 * k + part);
                __m256i wide = _mm256_madd_epi16(sum[k], scale);
                total[k] = part == 0 ? wide : _mm256_add_epi32(total[k], wide);
            }
        }
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            add_block(acc, total[k], d, &acts[k]);
    }
}

static const RowsFunc rows_func[PD_N_DTYPES] = {
    [PD_Q8_0] = multiply_q8_0, [PD_Q4_0] = multiply_q4_0, [PD_Q4_1] = multiply_q4_1,
    [PD_Q5_0] = multiply_q5_0, [PD_Q5_1] = multiply_q5_1, [PD_Q4_K] = multiply_q4_k,
    [PD_Q5_K] = multiply_q5_k, [PD_Q6_K] = multiply_q6_k,
};

void
pd_multiply_token_avx2(const PdProduct *p, int first_row, int n_rows)
{
    size_t row_bytes = pd_row_bytes(p->type, (size_t)p->n_cols);
    for (int r = 0; r < n_rows; r += HALF_PANEL) {
        const uint8_t *rows[HALF_PANEL];
        int n = n_rows - r < HALF_PANEL ? n_rows - r : HALF_PANEL;
        float sums[HALF_PANEL] = {0};

        for (int i = 0; i < HALF_PANEL; i++) /* a short group repeats its last row */
            rows[i] = p->weight + (size_t)(first_row + r + (i < n ? i : n - 1)) * row_bytes;
        if (p->bias != NULL)
            memcpy(sums, p->bias + first_row + r, (size_t)n * sizeof *sums);
        __m256 acc = _mm256_loadu_ps(sums);
        rows_func[p->type](&acc, rows, p->n_cols / PD_ACT_BLOCK, p->acts,
                           rows[0] + HALF_PANEL * row_bytes);
        _mm256_storeu_ps(sums, acc);
        memcpy(p->out + first_row + r, sums, (size_t)n * sizeof *sums);
    }
}
