/*
 * AVX-512's intrinsics for code that also compiles against SIMDe (PD_SIMD_EMULATED), so that tests
 * run it on any CPU with AVX2.
 */
#ifndef PD_AVX512_H
#define PD_AVX512_H

#ifdef PD_SIMD_EMULATED
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

/* Two that SIMDe 0.7 lacks, by halves. */
static inline __m512
cvtepi32_ps(__m512i v)
{
    __m256 low = _mm256_cvtepi32_ps(_mm512_extracti64x4_epi64(v, 0));
    __m256 high = _mm256_cvtepi32_ps(_mm512_extracti64x4_epi64(v, 1));
    return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(low)),
                                               _mm256_castps_pd(high), 1));
}

static inline __m512i
srai_epi32(__m512i v, int n)
{
    __m256i low = _mm256_srai_epi32(_mm512_extracti64x4_epi64(v, 0), n);
    __m256i high = _mm256_srai_epi32(_mm512_extracti64x4_epi64(v, 1), n);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
#else
#include <immintrin.h>
#define cvtepi32_ps _mm512_cvtepi32_ps
#define srai_epi32 _mm512_srai_epi32
#endif

#endif
