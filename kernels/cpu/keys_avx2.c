/*
 * Scores over compressed keys, AVX2 (keys_x86.h).
 *
 * 4 bits: vpmaddubsw makes 16-bit sums of two products, at most 2 * 15 * 127 = 3,810; eight of them
 * (32 channels) still fit, then they are widened.  8 bits: codes are widened to 16 bits for
 * vpmaddwd, whose sums of two channels meet in a horizontal addition once per block.
 */
#include <string.h>
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/keys_x86.h"

enum {
    ROW_VECTORS = 2, /* of 8 rows: blocks are padded to 16 */
};

INLINE void
put_codes_8(uint8_t *codes, int g, __m256i products)
{
    __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(products), _mm256_extracti128_si256(products, 1));
    _mm_storeu_si128((__m128i *)(codes + 16 * g), words);
}

INLINE __m256i
word_of(const uint8_t *codes, int at)
{
    int word;
    memcpy(&word, codes + at, sizeof word);
    return _mm256_set1_epi32(word);
}

INLINE __m256i
quad_of(const uint8_t *codes, int at)
{
    long long quad;
    memcpy(&quad, codes + at, sizeof quad);
    return _mm256_set1_epi64x(quad);
}

/* 16 rows from `row` on with n_q queries. */
INLINE void
multiply_rows_4(KeysWork *work, const KeysBlock *block, size_t row, int n_q)
{
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i sum[TILE_QUERIES][ROW_VECTORS];
    size_t group_bytes = block->n_rows * 4, at = row * 4;

    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < ROW_VECTORS; v++)
            sum[i][v] = _mm256_setzero_si256();
    for (int c = 0; c < block->head_dim; c += 32) {
        __m256i pairs[TILE_QUERIES][ROW_VECTORS];
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++, at += group_bytes) {
            _mm_prefetch((const char *)block->next + at, _MM_HINT_T0);
            __m256i codes[ROW_VECTORS];
            for (int v = 0; v < ROW_VECTORS; v++)
                codes[v] =
                    _mm256_loadu_si256((const __m256i *)(block->codes + at + 32 * (size_t)v));
            for (int i = 0; i < n_q; i++)
                for (int v = 0; v < ROW_VECTORS; v++) {
                    __m256i p = _mm256_maddubs_epi16(_mm256_and_si256(codes[v], low),
                                                     word_of(work->codes[i], c + 8 * g));
                    pairs[i][v] = g == 0 ? now(p) : now(_mm256_add_epi16(pairs[i][v], p));
                }
            for (int v = 0; v < ROW_VECTORS; v++)
                codes[v] = _mm256_and_si256(_mm256_srli_epi16(codes[v], 4), low);
            for (int i = 0; i < n_q; i++)
                for (int v = 0; v < ROW_VECTORS; v++)
                    pairs[i][v] = now(_mm256_add_epi16(
                        pairs[i][v],
                        _mm256_maddubs_epi16(codes[v], word_of(work->codes[i], c + 8 * g + 4))));
        }
        for (int i = 0; i < n_q; i++)
            for (int v = 0; v < ROW_VECTORS; v++)
                sum[i][v] = _mm256_add_epi32(sum[i][v], _mm256_madd_epi16(pairs[i][v], ones));
    }
    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < ROW_VECTORS; v++)
            _mm256_store_si256((__m256i *)(work->sums[i] + row + 8 * (size_t)v), sum[i][v]);
}

/* 8 rows from `row` on: twice the sums a row. */
INLINE void
multiply_rows_8(KeysWork *work, const KeysBlock *block, size_t row, int n_q)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i low[TILE_QUERIES], high[TILE_QUERIES];
    size_t group_bytes = block->n_rows * 4, at = row * 4;

    for (int i = 0; i < n_q; i++)
        low[i] = high[i] = zero;
    for (int c = 0; c < block->head_dim; c += 4, at += group_bytes) {
        _mm_prefetch((const char *)block->next + at, _MM_HINT_T0);
        __m256i codes = _mm256_loadu_si256((const __m256i *)(block->codes + at));
        __m256i first = _mm256_unpacklo_epi8(codes, zero);
        __m256i second = _mm256_unpackhi_epi8(codes, zero);
        for (int i = 0; i < n_q; i++) {
            __m256i p = quad_of(work->codes[i], 2 * c);
            low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(first, p));
            high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(second, p));
        }
    }
    for (int i = 0; i < n_q; i++)
        _mm256_store_si256((__m256i *)(work->sums[i] + row), _mm256_hadd_epi32(low[i], high[i]));
}

INLINE void
multiply_queries(KeysWork *work, const KeysBlock *block, int bits, int n_q)
{
    if (bits == 4)
        for (size_t row = 0; row < block->n_rows; row += 16)
            multiply_rows_4(work, block, row, n_q);
    else
        for (size_t row = 0; row < block->n_rows; row += 8)
            multiply_rows_8(work, block, row, n_q);
}

SCORE_KEYS(pd_score_keys_avx2)
