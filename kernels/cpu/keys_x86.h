/*
 * Scores over compressed keys: the part that AVX2 and AVX-512 share.  Included by keys_avx2.c and
 * keys_avx512.c, which then define put_codes_8 and multiply_queries (below).
 *
 * A key is k[c] = s[c] u[c] + z[c], so with the middle m = (2^bits - 1) / 2 of the codes
 *
 *     q . k = sum_c (q[c] s[c]) (u[c] - m)  +  sum_c q[c] (z[c] + m s[c])
 *
 * The products q[c] s[c] are rounded to integers p[c] in steps of t = max_c |q[c] s[c]| / TOP, the
 * second sum is exact but for float arithmetic:
 *
 *     q . k = t / 2 (2 sum p u - 2m sum p) + base,        |error| <= t / 2 sum_c |u[c] - m|
 *
 * Because codes are taken from their middle, the error has no part in common among the keys of a
 * block, which would shift blocks against each other.  With TOP 127 it is a hundredth of the
 * scores' spread where that of 4-bit keys themselves is a tenth; 8-bit keys get TOP 127 * 128.  The
 * sums are exact integers, the same for any tile and instruction set.
 */
#ifndef PD_KEYS_X86_H
#define PD_KEYS_X86_H

#include "kernels/cpu/vector.h"
#include "kernels/kv_block.h"
#include "kernels/kv_layout.h"

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

enum {
    TILE_QUERIES = 4,
    TILE_ROWS = PD_KV_BLOCK_ROWS,
    DIM_MAX = PD_KEYS_HEAD_DIM_MAX,
    TOP_4 = 127,
    TOP_8 = 127 * 128,
};

typedef struct {
    _Alignas(64) float scale[DIM_MAX];        /* s */
    float middle[DIM_MAX];                    /* z + m s */
    float product[DIM_MAX];                   /* q s of the query being rounded */
    uint8_t codes[TILE_QUERIES][2 * DIM_MAX]; /* p: int8 for 4 bits, as put_codes_8 for 8 */
    int32_t sums[TILE_QUERIES][TILE_ROWS];    /* sum_c p u, modulo 2^32 */
    float half_step[TILE_QUERIES];
    float base[TILE_QUERIES];
    int32_t total[TILE_QUERIES]; /* sum_c p */
} KeysWork;

_Static_assert(sizeof(KeysWork) <= PD_KEYS_WORK_FLOATS * sizeof(float), "the work area holds it");

typedef struct {
    const uint8_t *codes;
    const uint8_t *next; /* the following block, to be prefetched; the same on later tiles */
    size_t n_rows;       /* padded */
    int head_dim;
} KeysBlock;

/* What the including file defines. */
/* 8 rounded products, channels 8g .. 8g + 7, for keys of 8 bits. */
INLINE void put_codes_8(uint8_t *codes, int g, __m256i products);
/* work->sums of the first n_q queries; a constant n_q. */
INLINE void multiply_queries(KeysWork *work, const KeysBlock *block, int bits, int n_q);

/* The same of any n_q up to TILE_QUERIES. */
static void
multiply(KeysWork *work, const KeysBlock *block, int bits, int n_q)
{
    switch (n_q) {
    case 1:
        multiply_queries(work, block, bits, 1);
        break;
    case 2:
        multiply_queries(work, block, bits, 2);
        break;
    default: /* a third alone is rare: a fourth's codes are whatever the last tile left */
        multiply_queries(work, block, bits, 4);
    }
}

INLINE float
reduce_add(__m256 x)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

INLINE float
reduce_max(__m256 x)
{
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

INLINE int32_t
reduce_add_i32(__m256i x)
{
    __m128i q = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}

INLINE int32_t
reduce_max_i32(__m256i x)
{
    __m128i q = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    q = _mm_max_epi32(q, _mm_shuffle_epi32(q, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}

INLINE void
load_scales(KeysWork *work, int bits, int head_dim, const uint8_t *scales, const uint8_t *zeros)
{
    const __m256i bias = _mm256_set1_epi32((127 + PD_KEY_SCALE_LOWEST) << 23);
    const __m256 m = _mm256_set1_ps((float)((1 << bits) - 1) / 2);

    for (int c = 0; c < head_dim; c += 8) {
        __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(scales + c)));
        __m256i bits_of = _mm256_add_epi32(_mm256_slli_epi32(code, 20), bias);
        __m256i used = _mm256_cmpgt_epi32(code, _mm256_setzero_si256());
        __m256 s = _mm256_castsi256_ps(_mm256_and_si256(bits_of, used));
        __m256 z = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(zeros + 2 * c)));
        _mm256_store_ps(work->scale + c, s);
        _mm256_store_ps(work->middle + c, _mm256_fmadd_ps(m, s, z));
    }
}

/* Round the products of one query, 8 channels a time: int8 codes or those of put_codes_8. */
INLINE int32_t
round_products(const float *product, int head_dim, float inverse, bool wide, uint8_t *codes)
{
    __m256i total = _mm256_setzero_si256();
    const __m256 factor = _mm256_set1_ps(inverse);

    for (int c = 0; c < head_dim; c += 8) {
        __m256i p = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_load_ps(product + c), factor));
        total = _mm256_add_epi32(total, p);
        if (wide) {
            put_codes_8(codes, c / 8, p);
        } else {
            __m128i words =
                _mm_packs_epi32(_mm256_castsi256_si128(p), _mm256_extracti128_si256(p, 1));
            _mm_storel_epi64((__m128i *)(codes + c), _mm_packs_epi16(words, words));
        }
    }
    return reduce_add_i32(total);
}

INLINE void
fold_query(KeysWork *work, int i, const float *q, int head_dim, bool wide)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 max = _mm256_setzero_ps(), base = _mm256_setzero_ps();
    float top = wide ? TOP_8 : TOP_4;

    for (int c = 0; c < head_dim; c += 8) {
        __m256 x = _mm256_loadu_ps(q + c);
        __m256 product = _mm256_mul_ps(x, _mm256_load_ps(work->scale + c));
        _mm256_store_ps(work->product + c, product);
        max = _mm256_max_ps(max, _mm256_and_ps(product, magnitude));
        base = _mm256_fmadd_ps(x, _mm256_load_ps(work->middle + c), base);
    }
    float largest = reduce_max(max);
    /* Products so small that 1 / largest overflows count as 0. */
    float inverse = largest > 1e-30f ? top / largest : 0;
    work->half_step[i] = largest > 1e-30f ? largest / top / 2 : 0;
    work->base[i] = reduce_add(base);
    work->total[i] = round_products(work->product, head_dim, inverse, wide, work->codes[i]);
}

/* t / 2 (2 sum p u - 2m sum p) + base; the difference of the integers is taken modulo 2^32, in
 * which the result fits. */
INLINE float
finish_max(KeysWork *work, int i, int bits, int n_keys)
{
    int32_t *sums = work->sums[i];
    __m256i max = _mm256_set1_epi32(INT32_MIN);
    __m256i offset =
        _mm256_set1_epi32((int)((uint32_t)((1 << bits) - 1) * (uint32_t)work->total[i]));

    for (int r = 0; r < TILE_ROWS; r += 8) {
        __m256i s = _mm256_load_si256((const __m256i *)(sums + r));
        s = _mm256_sub_epi32(_mm256_add_epi32(s, s), offset);
        _mm256_store_si256((__m256i *)(sums + r), s);
    }
    for (int r = n_keys; r < (n_keys + 7) / 8 * 8; r++)
        sums[r] = INT32_MIN;
    for (int r = 0; r < n_keys; r += 8)
        max = _mm256_max_epi32(max, _mm256_load_si256((const __m256i *)(sums + r)));
    float product = (float)reduce_max_i32(max) * work->half_step[i];
    return product + work->base[i];
}

INLINE void
finish_scores(const KeysWork *work, int i, float *scores)
{
    const __m256 half_step = _mm256_set1_ps(work->half_step[i]);
    const __m256 base = _mm256_set1_ps(work->base[i]);

    for (int r = 0; r < TILE_ROWS; r += 8) {
        __m256 s = _mm256_cvtepi32_ps(_mm256_load_si256((const __m256i *)(work->sums[i] + r)));
        _mm256_storeu_ps(scores + r, _mm256_add_ps(_mm256_mul_ps(s, half_step), base));
    }
}

INLINE void
score_keys_width(float *max, size_t max_stride, float *scores, const float *q, int n_q, int bits,
                 int head_dim, const uint8_t *block, int n_keys, KeysWork *work)
{
    KeysBlock b = {.codes = block,
                   .next = block + pd_key_block_bytes(bits, head_dim, PD_KV_BLOCK_ROWS),
                   .n_rows = pd_key_rows_padded(n_keys),
                   .head_dim = head_dim};

    load_scales(work, bits, head_dim, block + pd_key_scales_at(bits, head_dim, n_keys),
                block + pd_key_zeros_at(bits, head_dim, n_keys));
    for (int first = 0; first < n_q; first += TILE_QUERIES) {
        int n = n_q - first < TILE_QUERIES ? n_q - first : TILE_QUERIES;
        for (int i = 0; i < n; i++)
            fold_query(work, i, q + (size_t)(first + i) * (size_t)head_dim, head_dim, bits == 8);
        multiply(work, &b, bits, n);
        b.next = block;
        for (int i = 0; i < n; i++) {
            max[(size_t)(first + i) * max_stride] = finish_max(work, i, bits, n_keys);
            if (scores != NULL)
                finish_scores(work, i, scores + (size_t)(first + i) * PD_ATTEND_TILE);
        }
    }
}

#define SCORE_KEYS(NAME)                                                                           \
    void NAME(float *max, size_t max_stride, float *scores, const float *q, int n_q, int bits,     \
              int head_dim, const uint8_t *block, int n_keys, float *work)                         \
    {                                                                                              \
        if (bits == 4)                                                                             \
            score_keys_width(max, max_stride, scores, q, n_q, 4, head_dim, block, n_keys,          \
                             (KeysWork *)(void *)work);                                            \
        else                                                                                       \
            score_keys_width(max, max_stride, scores, q, n_q, 8, head_dim, block, n_keys,          \
                             (KeysWork *)(void *)work);                                            \
    }

#endif
