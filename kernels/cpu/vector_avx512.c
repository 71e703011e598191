/*
 * The vector kernels for AVX-512 (F, BW, DQ, VL).  With PD_SIMD_EMULATED the same code compiles
 * against SIMDe, so that tests run it on any CPU.
 */
#ifdef PD_SIMD_EMULATED
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#define TABLE pd_vector_avx512_emulated
#define TABLE_NAME "avx512-emulated"
#define SCORE_KEYS pd_score_keys_avx512_emulated
#define INDEX_SCORES pd_index_scores_avx512_emulated
#else
#include <immintrin.h>
#define TABLE pd_vector_avx512
#define TABLE_NAME "avx512"
#define SCORE_KEYS pd_score_keys_avx512
#define INDEX_SCORES pd_index_scores_avx512
#endif

#define vf __m512
#define VW 16
#define v_load _mm512_loadu_ps
#define v_store _mm512_storeu_ps
#define v_set1 _mm512_set1_ps
#define v_add _mm512_add_ps
#define v_sub _mm512_sub_ps
#define v_mul _mm512_mul_ps
#define v_div _mm512_div_ps
#define v_max _mm512_max_ps
#define v_fma _mm512_fmadd_ps
#define v_pow2(t)                                                                                  \
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),            \
                                         _mm512_set1_epi32(0x3f800000)))
#define v_pick_negative(t, a, b)                                                                   \
    _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_LT_OQ), a)
#define v_above(a, b) ((unsigned)_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ))

/* 6 x 4 accumulators, four columns and a broadcast of the 32 registers. */
#define GEMM_PANELS(mr) 4

static inline __m256
v_half(__m512 x, int high)
{
    return _mm256_castpd_ps(high ? _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)
                                 : _mm512_extractf64x4_pd(_mm512_castps_pd(x), 0));
}

static inline float
v_reduce_add(__m512 v)
{
    __m256 x = _mm256_add_ps(v_half(v, 0), v_half(v, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

static inline float
v_reduce_max(__m512 v)
{
    __m256 x = _mm256_max_ps(v_half(v, 0), v_half(v, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#include "kernels/cpu/vector_simd.h"

const PdVectorIsa TABLE = PD_VECTOR_SIMD_TABLE(TABLE_NAME);
