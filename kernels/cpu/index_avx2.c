/*
 * index.h with AVX2: a vector is 8 heads, two of them the lanes.  Products of bytes are added in
 * pairs to 16 bits; those of a block, 16 of at most 24 * 12 in a lane's half, fit.
 */
#include <immintrin.h>
#include "kernels/cpu/index_x86.h"

enum {
    KEYS = 2,
    VECTORS = 2,
};

_Static_assert(VECTORS * 8 == PD_INDEX_LANES, "the vectors of a step are the lanes");
_Static_assert(2 * PD_INDEX_WORDS * 24 * 12 <= INT16_MAX, "a block fits 16 bits");

INLINE float
reduce_add(__m256 x)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

/* dot[k][v] of heads h .. with block b more. */
INLINE void
add_block(__m256 dot[KEYS][VECTORS], const PdIndexQuery *q, const IndexKey *keys, int b, int h)
{
    const __m256i ones = _mm256_set1_epi16(1);
    size_t n_heads = (size_t)q->n_heads, at = (size_t)b * n_heads + (size_t)h;
    const int8_t *codes = q->codes + ((size_t)b * PD_INDEX_WORDS * n_heads + (size_t)h) * 4;
    __m256i sum[KEYS][VECTORS];
    for (int k = 0; k < KEYS; k++)
        for (int v = 0; v < VECTORS; v++)
            sum[k][v] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int w = 0; w < PD_INDEX_WORDS; w++)
        for (int v = 0; v < VECTORS; v++) {
            const int8_t *place = codes + ((size_t)w * n_heads + 8 * (size_t)v) * 4;
            __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)place);
            for (int k = 0; k < KEYS; k++) {
                __m256i word = _mm256_set1_epi32(key_word(&keys[k], q->n_blocks, b, w));
                sum[k][v] = _mm256_add_epi16(sum[k][v], _mm256_maddubs_epi16(word, x));
            }
        }
    for (int v = 0; v < VECTORS; v++) {
        const int32_t *starts = q->starts + at + 8 * (size_t)v;
        __m256i start = _mm256_loadu_si256((const __m256i *)(const void *)starts);
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

void
pd_index_scores_avx2(float *scores, const PdIndexQuery *q, const uint8_t *keys, size_t key_bytes,
                     int n_keys)
{
    score_all(scores, q, keys, key_bytes, n_keys, KEYS, score_keys);
}
