/*
 * The pieces of which AVX2 code takes the block formats (quant.c) apart, 8 rows at once:
 * load_columns reads 16 bytes of each row and turns them so that vector g holds bytes 4g..4g+3 of
 * all 8 rows, one row a 32-bit word; nibbles and bit pairs are split afterwards, in that order,
 * where one instruction serves 32 weights.
 */
#ifndef PD_COLUMNS_AVX2_H
#define PD_COLUMNS_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/panel.h"

#define HALF_PANEL 8

typedef struct {
    __m256i g[4]; /* bytes 4g..4g+3 of 8 rows */
} Columns;

static inline __m256i
load_two(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

/* 16 bytes at `offset` of each of 8 rows; a 4 x 4 transposition in each half of the vectors. */
static inline Columns
load_columns(const uint8_t *const *rows, size_t offset)
{
    __m256i r0 = load_two(rows[0] + offset, rows[4] + offset);
    __m256i r1 = load_two(rows[1] + offset, rows[5] + offset);
    __m256i r2 = load_two(rows[2] + offset, rows[6] + offset);
    __m256i r3 = load_two(rows[3] + offset, rows[7] + offset);
    __m256i low01 = _mm256_unpacklo_epi32(r0, r1), high01 = _mm256_unpackhi_epi32(r0, r1);
    __m256i low23 = _mm256_unpacklo_epi32(r2, r3), high23 = _mm256_unpackhi_epi32(r2, r3);
    return (Columns){{_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
                      _mm256_unpacklo_epi64(high01, high23),
                      _mm256_unpackhi_epi64(high01, high23)}};
}

static inline uint16_t
load_u16(const uint8_t *src)
{
    uint16_t v;
    memcpy(&v, src, sizeof v);
    return v;
}

static inline int
load_i32(const uint8_t *src)
{
    int v;
    memcpy(&v, src, sizeof v);
    return v;
}

/* The half float at `offset` of each of 8 rows. */
static inline __m256
load_halves(const uint8_t *const *rows, size_t offset)
{
    __m128i h = _mm_cvtsi32_si128(load_u16(rows[0] + offset));
    h = _mm_insert_epi16(h, load_u16(rows[1] + offset), 1);
    h = _mm_insert_epi16(h, load_u16(rows[2] + offset), 2);
    h = _mm_insert_epi16(h, load_u16(rows[3] + offset), 3);
    h = _mm_insert_epi16(h, load_u16(rows[4] + offset), 4);
    h = _mm_insert_epi16(h, load_u16(rows[5] + offset), 5);
    h = _mm_insert_epi16(h, load_u16(rows[6] + offset), 6);
    h = _mm_insert_epi16(h, load_u16(rows[7] + offset), 7);
    return _mm256_cvtph_ps(h);
}

/* The 32-bit word at `offset` of each of 8 rows. */
static inline __m256i
load_words(const uint8_t *const *rows, size_t offset)
{
    return _mm256_setr_epi32(load_i32(rows[0] + offset), load_i32(rows[1] + offset),
                             load_i32(rows[2] + offset), load_i32(rows[3] + offset),
                             load_i32(rows[4] + offset), load_i32(rows[5] + offset),
                             load_i32(rows[6] + offset), load_i32(rows[7] + offset));
}

/* Two halves in each 32-bit word: the low ones and the high ones as floats. */
static inline void
split_halves(__m256i words, __m256 *low, __m256 *high)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                                           1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m256i sorted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(words, order), 0xd8);
    *low = _mm256_cvtph_ps(_mm256_castsi256_si128(sorted));
    *high = _mm256_cvtph_ps(_mm256_extracti128_si256(sorted, 1));
}

static inline __m256i
low_nibbles(__m256i bytes)
{
    return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
}

static inline __m256i
high_nibbles(__m256i bytes)
{
    return low_nibbles(_mm256_srli_epi16(bytes, 4));
}

/* `bytes` of what is needed next, on their way into the cache.  Lines are asked for in the order of
 * their addresses and little by little: then the processor's own prefetcher joins in, and reading
 * goes on behind the arithmetic.  (Inlined by force: GCC takes a function that only prefetches for
 * one without effect and drops the call.) */
INLINE void
prefetch(const uint8_t *next, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)(next + i), _MM_HINT_T0);
}

/* Bit 4g+j of each row's word as 16 in byte j of the row. */
static inline __m256i
fifth_bits(__m256i words, int g)
{
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 0,
                                            0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    __m256i bit = _mm256_set1_epi32(g % 2 ? (int)0x80402010 : 0x08040201);
    __m256i bytes =
        _mm256_shuffle_epi8(words, _mm256_add_epi8(spread, _mm256_set1_epi8((char)(g / 2))));
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

/* Of 8 rows: byte j of `scales` is the 6-bit scale of sub-block 4 i + j, for i = 0, 1. */
typedef struct {
    __m256 d, dmin;
    __m256i scales[2], mins[2];
} HeaderK;

/* The first 16 bytes of a Q4_K or Q5_K block (pd_scale_min_k in quant.c, 4 sub-blocks a time). */
static inline HeaderK
load_header_k(const uint8_t *const *rows, size_t at)
{
    Columns c = load_columns(rows, at);
    const __m256i six = _mm256_set1_epi8(63), two = _mm256_set1_epi8(0x30);
    HeaderK h;
    split_halves(c.g[0], &h.d, &h.dmin);
    h.scales[0] = _mm256_and_si256(c.g[1], six);
    h.mins[0] = _mm256_and_si256(c.g[2], six);
    h.scales[1] =
        _mm256_or_si256(low_nibbles(c.g[3]), _mm256_and_si256(_mm256_srli_epi16(c.g[1], 2), two));
    h.mins[1] =
        _mm256_or_si256(high_nibbles(c.g[3]), _mm256_and_si256(_mm256_srli_epi16(c.g[2], 2), two));
    return h;
}

static inline __m256
byte_as_float(__m256i words, int j)
{
    __m256i v = _mm256_and_si256(_mm256_srli_epi32(words, 8 * j), _mm256_set1_epi32(255));
    return _mm256_cvtepi32_ps(v);
}

/* scale = d s and min = -dmin m (+ 16 scale where the kernel sees q - 16) of sub-block j. */
static inline void
scales_k(const HeaderK *h, int j, bool minus_16, __m256 *scale, __m256 *min)
{
    __m256 m = _mm256_mul_ps(h->dmin, byte_as_float(h->mins[j / 4], j % 4));
    *scale = _mm256_mul_ps(h->d, byte_as_float(h->scales[j / 4], j % 4));
    *min = minus_16 ? _mm256_fmsub_ps(*scale, _mm256_set1_ps(16), m)
                    : _mm256_sub_ps(_mm256_setzero_ps(), m);
}

/* The signed sub-scale of 16 columns, number `sub` (0..15), of a Q6_K block, twice in each word.
 * scales: byte j of g[i] is sub-scale 4 i + j. */
static inline __m256i
sub_scale_q6_k(const Columns *scales, int sub)
{
    __m256i up = _mm256_slli_epi32(scales->g[sub / 4], 24 - 8 * (sub % 4));
    up = _mm256_srai_epi32(up, 24); /* sign-extended to 32 bits */
    return _mm256_blend_epi16(up, _mm256_slli_epi32(up, 16), 0xaa);
}

#endif
