/* The vector kernels for AVX2, FMA and F16C. */
#include <immintrin.h>

#define SCORE_KEYS pd_score_keys_avx2
#define INDEX_SCORES pd_index_scores_avx2
#define vf __m256
#define VW 8
#define v_load _mm256_loadu_ps
#define v_store _mm256_storeu_ps
#define v_set1 _mm256_set1_ps
#define v_add _mm256_add_ps
#define v_sub _mm256_sub_ps
#define v_mul _mm256_mul_ps
#define v_div _mm256_div_ps
#define v_max _mm256_max_ps
#define v_fma _mm256_fmadd_ps
#define v_pow2(t)                                                                                  \
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),            \
                                         _mm256_set1_epi32(0x3f800000)))
#define v_pick_negative(t, a, b) _mm256_blendv_ps(b, a, t)
#define v_above(a, b) ((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)))

/* 6 x 2 accumulators, two columns and a broadcast fill the sixteen registers. */
#define GEMM_PANELS(mr) ((mr) > 3 ? 1 : (mr) > 1 ? 2 : 4)

static inline float
v_reduce_add(__m256 x)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

static inline float
v_reduce_max(__m256 x)
{
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#include "kernels/cpu/vector_simd.h"

const PdVectorIsa pd_vector_avx2 = PD_VECTOR_SIMD_TABLE("avx2");
