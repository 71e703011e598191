/*
 * index.h with AVX2: a vector is 8 heads, two of them the lanes.  Products of bytes are added in
 * pairs to 16 bits; those of a block, 16 of at most 24 * 12 in a lane's half, fit.
 *
 * Folded codes of both sides would not: a key's are at most 12 * 8 from their shift, and with a
 * query's unfolded ones a block's sum starts at -shift * sum of the half's codes, so that it ends
 * as 16 products of at most 96 * 12 and may wrap on its way there.  The query's factor is the
 * multiplier that widens the block's sum.
 */
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/index_x86.h"

enum {
    KEYS = 2,
    VECTORS = 2,
};

_Static_assert(VECTORS * 8 == PD_INDEX_LANES, "the vectors of a step are the lanes");
_Static_assert(2 * PD_INDEX_WORDS * 24 * 12 <= INT16_MAX, "a block fits 16 bits");
_Static_assert(2 * PD_INDEX_WORDS * PD_INDEX_FOLD_SHIFT * 12 <= INT16_MAX, "a folded one too");

INLINE float
reduce_add(__m256 x)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

INLINE __m256i
load_vector(const void *place)
{
    return _mm256_loadu_si256((const __m256i *)place);
}

/* sum[k][v] of heads h .. with the products of block b more, in 16 bits. */
INLINE void
add_products(__m256i sum[KEYS][VECTORS], const PdIndexQuery *q, const IndexKey *keys, int b, int h)
{
    size_t n_heads = (size_t)q->n_heads;
    const int8_t *codes = q->codes + ((size_t)b * PD_INDEX_WORDS * n_heads + (size_t)h) * 4;
#pragma GCC unroll 8
    for (int w = 0; w < PD_INDEX_WORDS; w++)
        for (int v = 0; v < VECTORS; v++) {
            __m256i x = load_vector(codes + ((size_t)w * n_heads + 8 * (size_t)v) * 4);
            for (int k = 0; k < KEYS; k++) {
                __m256i word = _mm256_set1_epi32(key_word(&keys[k], q->n_blocks, b, w));
                sum[k][v] = now(_mm256_add_epi16(sum[k][v], _mm256_maddubs_epi16(word, x)));
            }
        }
}

/* dot[k][v] of heads h .. with block b more. */
INLINE void
add_block(__m256 dot[KEYS][VECTORS], const PdIndexQuery *q, const IndexKey *keys, int b, int h)
{
    const __m256i ones = _mm256_set1_epi16(1);
    size_t n_heads = (size_t)q->n_heads, at = (size_t)b * n_heads + (size_t)h;
    __m256i sum[KEYS][VECTORS];
    for (int k = 0; k < KEYS; k++)
        for (int v = 0; v < VECTORS; v++)
            sum[k][v] = _mm256_setzero_si256();
    add_products(sum, q, keys, b, h);
    for (int v = 0; v < VECTORS; v++) {
        __m256i start = load_vector(q->starts + at + 8 * (size_t)v);
        __m256 q_scale = _mm256_loadu_ps(q->scales + at + 8 * (size_t)v);
        for (int k = 0; k < KEYS; k++) {
            __m256i s = _mm256_add_epi32(start, _mm256_madd_epi16(sum[k][v], ones));
            dot[k][v] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(s), q_scale),
                                        _mm256_set1_ps(keys[k].scales[b]), dot[k][v]);
        }
    }
}

INLINE void
score_keys(float *scores, const PdIndexQuery *q, const IndexKey *keys)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 lanes[KEYS][VECTORS];
    for (int k = 0; k < KEYS; k++)
        for (int v = 0; v < VECTORS; v++)
            lanes[k][v] = zero;
    for (int h = 0; h < q->n_heads; h += PD_INDEX_LANES) {
        __m256 dot[KEYS][VECTORS];
        for (int k = 0; k < KEYS; k++)
            for (int v = 0; v < VECTORS; v++)
                dot[k][v] = zero;
        for (int b = 0; b < q->n_blocks; b++)
            add_block(dot, q, keys, b, h);
        for (int v = 0; v < VECTORS; v++) {
            __m256 weight = _mm256_loadu_ps(q->weights + h + 8 * v);
            for (int k = 0; k < KEYS; k++)
                lanes[k][v] = _mm256_fmadd_ps(weight, _mm256_max_ps(dot[k][v], zero), lanes[k][v]);
        }
    }
    for (int k = 0; k < KEYS; k++)
        scores[k] = reduce_add(_mm256_add_ps(lanes[k][0], lanes[k][1]));
}

/* --- folded scales --- */

INLINE bool
fold_key(IndexKey *key, const uint8_t *bytes, int dim, int n_blocks)
{
    int n_bytes = (dim + 1) / 2, least = fold_scales(key, bytes + n_bytes, n_blocks);
    if (least != 0)
        fold_blocks(key, bytes, n_bytes, n_blocks, least);
    return least != 0;
}

/* dot[k][v] of heads h .. with block b more. */
INLINE void
add_folded_block(__m256i dot[KEYS][VECTORS], const PdIndexQuery *q, const IndexKey *keys, int b,
                 int h)
{
    size_t n_heads = (size_t)q->n_heads, at = (size_t)b * n_heads + (size_t)h;
    __m256i sum[KEYS][VECTORS];
    for (int k = 0; k < KEYS; k++)
        for (int v = 0; v < VECTORS; v++)
            sum[k][v] = load_vector(q->half_starts + 2 * (at + 8 * (size_t)v));
    add_products(sum, q, keys, b, h);
    for (int v = 0; v < VECTORS; v++) {
        __m256i factor = load_vector(q->half_factors + 2 * (at + 8 * (size_t)v));
        for (int k = 0; k < KEYS; k++)
            dot[k][v] = _mm256_add_epi32(dot[k][v], _mm256_madd_epi16(sum[k][v], factor));
    }
}

INLINE void
score_folded(float *scores, const PdIndexQuery *q, const IndexKey *keys)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256 lanes[KEYS][VECTORS];
    for (int k = 0; k < KEYS; k++)
        for (int v = 0; v < VECTORS; v++)
            lanes[k][v] = _mm256_setzero_ps();
    for (int h = 0; h < q->n_heads; h += PD_INDEX_LANES) {
        __m256i dot[KEYS][VECTORS];
        for (int k = 0; k < KEYS; k++)
            for (int v = 0; v < VECTORS; v++)
                dot[k][v] = zero;
        for (int b = 0; b < q->n_blocks; b++)
            add_folded_block(dot, q, keys, b, h);
        for (int v = 0; v < VECTORS; v++) {
            __m256 weight = _mm256_loadu_ps(q->folded_weights + h + 8 * v);
            for (int k = 0; k < KEYS; k++) {
                __m256 above = _mm256_cvtepi32_ps(_mm256_max_epi32(dot[k][v], zero));
                lanes[k][v] = _mm256_fmadd_ps(weight, above, lanes[k][v]);
            }
        }
    }
    for (int k = 0; k < KEYS; k++)
        scores[k] = reduce_add(_mm256_add_ps(lanes[k][0], lanes[k][1])) * keys[k].scales[0];
}

SCORE_INDEX(pd_index_scores_avx2)
