/*
 * index.h with AVX-512 VNNI: a vector is 16 heads, vpdpbusd adds four products to each.  With
 * PD_SIMD_EMULATED the same code compiles against SIMDe, so that tests run it on any CPU.
 */
#include "kernels/cpu/avx512.h"

#ifdef PD_SIMD_EMULATED
#define INDEX_SCORES pd_index_scores_avx512_emulated
#else
#define INDEX_SCORES pd_index_scores_avx512
#endif
#include "kernels/cpu/index_x86.h"

enum {
    KEYS = 4,
    VECTORS = 2, /* of heads that share the loads of a key's words */
    FOLDED_VECTORS = 4,
};

_Static_assert(PD_INDEX_HEADS % (VECTORS * PD_INDEX_LANES) == 0, "heads come in whole steps");
_Static_assert((PD_INDEX_DIM_MAX) * (PD_INDEX_FOLD_SHIFT * PD_INDEX_FOLD_SHIFT) < 1 << 24,
               "a folded dot product is exact as a float");

INLINE float
reduce_add(__m512 v)
{
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(v), high);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

/* dot[k][v] of heads h .. with block b more. */
INLINE void
add_block(__m512 dot[KEYS][VECTORS], const PdIndexQuery *q, const IndexKey *keys, int b, int h)
{
    size_t n_heads = (size_t)q->n_heads, at = (size_t)b * n_heads + (size_t)h;
    const int8_t *codes = q->codes + ((size_t)b * PD_INDEX_WORDS * n_heads + (size_t)h) * 4;
    __m512i sum[KEYS][VECTORS];
#pragma GCC unroll 4
    for (int k = 0; k < KEYS; k++)
        for (int v = 0; v < VECTORS; v++)
            sum[k][v] = _mm512_loadu_si512(q->starts + at + 16 * (size_t)v);
#pragma GCC unroll 8
    for (int w = 0; w < PD_INDEX_WORDS; w++) {
        __m512i x[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            x[v] = _mm512_loadu_si512(codes + ((size_t)w * n_heads + 16 * (size_t)v) * 4);
#pragma GCC unroll 4
        for (int k = 0; k < KEYS; k++) {
            __m512i word = _mm512_set1_epi32(key_word(&keys[k], q->n_blocks, b, w));
            for (int v = 0; v < VECTORS; v++)
                sum[k][v] = _mm512_dpbusd_epi32(sum[k][v], word, x[v]);
        }
    }
#pragma GCC unroll 4
    for (int k = 0; k < KEYS; k++) {
        __m512 scale = _mm512_set1_ps(keys[k].scales[b]);
        for (int v = 0; v < VECTORS; v++) {
            __m512 s = _mm512_mul_ps(cvtepi32_ps(sum[k][v]),
                                     _mm512_loadu_ps(q->scales + at + 16 * (size_t)v));
            dot[k][v] = _mm512_fmadd_ps(s, scale, dot[k][v]);
        }
    }
}

INLINE void
score_keys(float *scores, const PdIndexQuery *q, const IndexKey *keys)
{
    const __m512 zero = _mm512_setzero_ps();
    __m512 lanes[KEYS];
    for (int k = 0; k < KEYS; k++)
        lanes[k] = zero;
    for (int h = 0; h < q->n_heads; h += 16 * VECTORS) {
        __m512 dot[KEYS][VECTORS];
        for (int k = 0; k < KEYS; k++)
            for (int v = 0; v < VECTORS; v++)
                dot[k][v] = zero;
        for (int b = 0; b < q->n_blocks; b++)
            add_block(dot, q, keys, b, h);
        for (int v = 0; v < VECTORS; v++) {
            __m512 weight = _mm512_loadu_ps(q->weights + h + 16 * v);
            for (int k = 0; k < KEYS; k++)
                lanes[k] = _mm512_fmadd_ps(weight, _mm512_max_ps(dot[k][v], zero), lanes[k]);
        }
    }
    for (int k = 0; k < KEYS; k++)
        scores[k] = reduce_add(lanes[k]);
}

/* --- folded scales --- */

/* The four blocks of 128 dimensions, whose codes are 64 bytes, at once. */
INLINE void
fold_whole(IndexKey *key, const uint8_t *bytes, const uint8_t *scales, int least)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m512i x = _mm512_loadu_si512(bytes);
    __m512i table = _mm512_castsi128_si512(folded_table(scales[0], least));
    table = _mm512_inserti32x4(table, folded_table(scales[1], least), 1);
    table = _mm512_inserti32x4(table, folded_table(scales[2], least), 2);
    table = _mm512_inserti32x4(table, folded_table(scales[3], least), 3);
    _mm512_store_si512(key->codes, _mm512_shuffle_epi8(table, _mm512_and_si512(x, low)));
    x = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
    _mm512_store_si512(key->codes + 64, _mm512_shuffle_epi8(table, x));
}

INLINE bool
fold_key(IndexKey *key, const uint8_t *bytes, int dim, int n_blocks)
{
    int n_bytes = (dim + 1) / 2, least = fold_scales(key, bytes + n_bytes, n_blocks);
    if (least == 0)
        return false;
    if (n_bytes == 64)
        fold_whole(key, bytes, bytes + n_bytes, least);
    else
        fold_blocks(key, bytes, n_bytes, n_blocks, least);
    return true;
}

/* lanes[k] with the heads h .. of n vectors more. */
INLINE void
add_folded(__m512 lanes[KEYS], const PdIndexQuery *q, const IndexKey *keys, int h, int n)
{
    size_t n_heads = (size_t)q->n_heads;
    const int8_t *codes = q->folded + 4 * (size_t)h;
    __m512i sum[KEYS][FOLDED_VECTORS];
#pragma GCC unroll 4
    for (int k = 0; k < KEYS; k++)
#pragma GCC unroll 4
        for (int v = 0; v < n; v++)
            sum[k][v] = _mm512_loadu_si512(q->folded_starts + h + 16 * v);
    for (int b = 0; b < q->n_blocks; b++) {
#pragma GCC unroll 8
        for (int w = 0; w < PD_INDEX_WORDS; w++, codes += 4 * n_heads) {
            __m512i x[FOLDED_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < n; v++)
                x[v] = _mm512_loadu_si512(codes + 64 * v);
#pragma GCC unroll 4
            for (int k = 0; k < KEYS; k++) {
                __m512i word = _mm512_set1_epi32(key_word(&keys[k], q->n_blocks, b, w));
#pragma GCC unroll 4
                for (int v = 0; v < n; v++)
                    sum[k][v] = _mm512_dpbusd_epi32(sum[k][v], word, x[v]);
            }
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < n; v++) {
        __m512 weight = _mm512_loadu_ps(q->folded_weights + h + 16 * v);
#pragma GCC unroll 4
        for (int k = 0; k < KEYS; k++) {
            __m512i dot = _mm512_max_epi32(sum[k][v], _mm512_setzero_si512());
            lanes[k] = _mm512_fmadd_ps(weight, cvtepi32_ps(dot), lanes[k]);
        }
    }
}

INLINE void
score_folded(float *scores, const PdIndexQuery *q, const IndexKey *keys)
{
    __m512 lanes[KEYS];
    int h = 0;
    for (int k = 0; k < KEYS; k++)
        lanes[k] = _mm512_setzero_ps();
    for (; h + 16 * FOLDED_VECTORS <= q->n_heads; h += 16 * FOLDED_VECTORS)
        add_folded(lanes, q, keys, h, FOLDED_VECTORS);
    for (; h < q->n_heads; h += 16 * VECTORS)
        add_folded(lanes, q, keys, h, VECTORS);
    for (int k = 0; k < KEYS; k++)
        scores[k] = reduce_add(lanes[k]) * keys[k].scales[0];
}

SCORE_INDEX(INDEX_SCORES)
