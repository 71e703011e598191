/*
 * Scores over compressed keys with AVX-512 VNNI (keys_x86.h).  With PD_SIMD_EMULATED the same code
 * compiles against SIMDe, so that tests run it on any CPU with AVX2.
 *
 * vpdpbusd adds four products of unsigned codes and signed query codes into each 32-bit sum: a
 * vector is 16 rows.  The 15-bit query codes of 8-bit keys are cut into p = 128 high + low.
 */
#ifdef PD_SIMD_EMULATED
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#define SCORE_KEYS_NAME pd_score_keys_avx512_emulated
#else
#include <immintrin.h>
#define SCORE_KEYS_NAME pd_score_keys_avx512
#endif
#include <string.h>
#include "kernels/cpu/keys_x86.h"

enum {
    ROWS = 16,
};

/* Two words for each four channels: the high parts, the low parts. */
INLINE void
put_codes_8(uint8_t *codes, int g, __m256i products)
{
    __m256i high = _mm256_srai_epi32(_mm256_add_epi32(products, _mm256_set1_epi32(64)), 7);
    __m256i low = _mm256_sub_epi32(products, _mm256_slli_epi32(high, 7));
    __m256i words = _mm256_packs_epi32(high, low); /* per four channels: high, low */
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(codes + 16 * g), bytes);
}

INLINE __m512i
word_of(const uint8_t *codes, int at)
{
    int word;
    memcpy(&word, codes + at, sizeof word);
    return _mm512_set1_epi32(word);
}

/* n_vectors of 16 rows from `row` on with n_q queries. */
INLINE void
multiply_rows_4(KeysWork *work, const KeysBlock *block, size_t row, int n_vectors, int n_q)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m512i sum[TILE_QUERIES][TILE_ROWS / ROWS];
    size_t group_bytes = block->n_rows * 4, at = row * 4;

    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < n_vectors; v++)
            sum[i][v] = _mm512_setzero_si512();
    for (int c = 0; c < block->head_dim; c += 8, at += group_bytes)
        for (int v = 0; v < n_vectors; v++) {
            size_t here = at + 64 * (size_t)v;
            __builtin_prefetch(block->next + here);
            __m512i codes = _mm512_loadu_si512(block->codes + here);
            __m512i first = _mm512_and_si512(codes, low);
            __m512i second = _mm512_and_si512(_mm512_srli_epi16(codes, 4), low);
            for (int i = 0; i < n_q; i++) {
                sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], first, word_of(work->codes[i], c));
                sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], second, word_of(work->codes[i], c + 4));
            }
        }
    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < n_vectors; v++)
            _mm512_storeu_si512(work->sums[i] + row + ROWS * (size_t)v, sum[i][v]);
}

INLINE void
multiply_rows_8(KeysWork *work, const KeysBlock *block, size_t row, int n_vectors, int n_q)
{
    __m512i high[TILE_QUERIES][2], low[TILE_QUERIES][2];
    size_t group_bytes = block->n_rows * 4, at = row * 4;

    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < n_vectors; v++)
            high[i][v] = low[i][v] = _mm512_setzero_si512();
    for (int c = 0; c < block->head_dim; c += 4, at += group_bytes)
        for (int v = 0; v < n_vectors; v++) {
            size_t here = at + 64 * (size_t)v;
            __builtin_prefetch(block->next + here);
            __m512i codes = _mm512_loadu_si512(block->codes + here);
            for (int i = 0; i < n_q; i++) {
                const uint8_t *p = work->codes[i];
                high[i][v] = _mm512_dpbusd_epi32(high[i][v], codes, word_of(p, 2 * c));
                low[i][v] = _mm512_dpbusd_epi32(low[i][v], codes, word_of(p, 2 * c + 4));
            }
        }
    for (int i = 0; i < n_q; i++)
        for (int v = 0; v < n_vectors; v++)
            _mm512_storeu_si512(work->sums[i] + row + ROWS * (size_t)v,
                                _mm512_add_epi32(_mm512_slli_epi32(high[i][v], 7), low[i][v]));
}

INLINE void
multiply_queries(KeysWork *work, const KeysBlock *block, int bits, int n_q)
{
    size_t row = 0;

    if (bits == 4) {
        for (; row + 4 * ROWS <= block->n_rows; row += 4 * ROWS)
            multiply_rows_4(work, block, row, 4, n_q);
        for (; row < block->n_rows; row += ROWS)
            multiply_rows_4(work, block, row, 1, n_q);
    } else {
        for (; row + 2 * ROWS <= block->n_rows; row += 2 * ROWS)
            multiply_rows_8(work, block, row, 2, n_q);
        for (; row < block->n_rows; row += ROWS)
            multiply_rows_8(work, block, row, 1, n_q);
    }
}

SCORE_KEYS(SCORE_KEYS_NAME)
