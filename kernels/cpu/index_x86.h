/* What the vector kernels of index.h share: keys as bytes. */
#ifndef PD_INDEX_X86_H
#define PD_INDEX_X86_H

#include "kernels/cpu/index.h"
#include "kernels/low_float.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    KEYS_MAX = 4 /* that are scored at once */
};

typedef struct {
    /* Even dimensions of all blocks, then odd ones. */
    _Alignas(64) uint8_t codes[PD_INDEX_DIM_MAX];
    float scales[PD_INDEX_DIM_MAX / PD_FP4_BLOCK];
} IndexKey;

/* The codes of a block; those beyond the end of the row count as 0. */
INLINE __m128i
load_codes(const uint8_t *bytes, int n_bytes, int at)
{
    uint8_t last[16] = {0};
    if (at + 16 <= n_bytes)
        return _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
    memcpy(last, bytes + at, (size_t)(n_bytes - at));
    return _mm_loadu_si128((const __m128i *)(const void *)last);
}

INLINE void
unpack_key(IndexKey *key, const uint8_t *bytes, int dim, int n_blocks)
{
    const __m128i shifted = _mm_setr_epi8(PD_INDEX_SHIFTED), low = _mm_set1_epi8(15);
    uint8_t *odd = key->codes + 16 * n_blocks;
    int n_bytes = (dim + 1) / 2;
    for (int b = 0; b < n_blocks; b++) {
        __m128i x = load_codes(bytes, n_bytes, 16 * b);
        __m128i high = _mm_and_si128(_mm_srli_epi16(x, 4), low);
        _mm_store_si128((__m128i *)(void *)(key->codes + 16 * b),
                        _mm_shuffle_epi8(shifted, _mm_and_si128(x, low)));
        _mm_store_si128((__m128i *)(void *)(odd + 16 * b), _mm_shuffle_epi8(shifted, high));
        key->scales[b] = pd_e8m0_value(bytes[n_bytes + b]);
    }
}

/* Keys first .. first + n - 1 of n_keys; beyond the end the last one again. */
INLINE void
unpack_keys(IndexKey *unpacked, int n, const PdIndexQuery *q, const uint8_t *keys, size_t key_bytes,
            int first, int n_keys)
{
    for (int k = 0; k < n; k++) {
        int at = first + k < n_keys ? first + k : n_keys - 1;
        unpack_key(&unpacked[k], keys + (size_t)at * key_bytes, q->dim, q->n_blocks);
    }
}

/* Scores of as many unpacked keys as an instruction set takes at once. */
typedef void ScoreKeys(float *scores, const PdIndexQuery *q, const IndexKey *keys);

/* Scores of n_keys keys, `width` of them at once. */
INLINE void
score_all(float *scores, const PdIndexQuery *q, const uint8_t *keys, size_t key_bytes, int n_keys,
          int width, ScoreKeys *score_keys)
{
    IndexKey unpacked[KEYS_MAX];
    float some[KEYS_MAX];
    for (int first = 0; first < n_keys; first += width) {
        int n = n_keys - first < width ? n_keys - first : width;
        unpack_keys(unpacked, width, q, keys, key_bytes, first, n_keys);
        score_keys(some, q, unpacked);
        memcpy(scores + first, some, (size_t)n * sizeof *some);
    }
}

/* Four codes of a block: word w of PD_INDEX_WORDS. */
INLINE int
key_word(const IndexKey *key, int n_blocks, int block, int w)
{
    int at = 16 * block + (w < 4 ? 4 * w : 16 * n_blocks + 4 * (w - 4)), word;
    memcpy(&word, key->codes + at, sizeof word);
    return word;
}

/* --- folded scales --- */

_Static_assert(PD_INDEX_FOLD_SHIFT * 2 <= UINT8_MAX, "a folded code is a byte");

/* Twice the value of each code, times f. */
#define TIMES(f)                                                                                   \
    {                                                                                              \
        AT(0), AT(f), AT(2 * f), AT(3 * f), AT(4 * f), AT(6 * f), AT(8 * f), AT(12 * f), AT(0),    \
            AT(-f), AT(-2 * f), AT(-3 * f), AT(-4 * f), AT(-6 * f), AT(-8 * f), AT(-12 * f)        \
    }
#define AT(value) (PD_INDEX_FOLD_SHIFT + (value))
_Alignas(16) static const uint8_t folded_codes[PD_INDEX_FOLD_BITS + 1][16] = {TIMES(1), TIMES(2),
                                                                              TIMES(4), TIMES(8)};

INLINE __m128i
folded_table(int scale, int least)
{
    return _mm_load_si128((const __m128i *)(const void *)folded_codes[scale - least]);
}

/* The least of a key's scales, which the folded codes are multiples of; 0 if they cannot be folded.
 */
INLINE int
fold_scales(IndexKey *key, const uint8_t *scales, int n_blocks)
{
    int least = pd_index_fold(scales, n_blocks);
    key->scales[0] = pd_e8m0_value((uint8_t)least);
    return least;
}

INLINE void
fold_blocks(IndexKey *key, const uint8_t *bytes, int n_bytes, int n_blocks, int least)
{
    const __m128i low = _mm_set1_epi8(15);
    const uint8_t *scales = bytes + n_bytes;
    uint8_t *odd = key->codes + 16 * n_blocks;
    for (int b = 0; b < n_blocks; b++) {
        __m128i table = folded_table(scales[b], least);
        __m128i x = load_codes(bytes, n_bytes, 16 * b);
        __m128i high = _mm_and_si128(_mm_srli_epi16(x, 4), low);
        _mm_store_si128((__m128i *)(void *)(key->codes + 16 * b),
                        _mm_shuffle_epi8(table, _mm_and_si128(x, low)));
        _mm_store_si128((__m128i *)(void *)(odd + 16 * b), _mm_shuffle_epi8(table, high));
    }
}

/* The table's function from what an instruction set defines: KEYS, fold_key (one key with folded
 * codes, or false), score_folded and score_keys. */
#define SCORE_INDEX(NAME)                                                                          \
    void NAME(float *scores, const PdIndexQuery *q, const uint8_t *keys, size_t key_bytes,         \
              int n_keys)                                                                          \
    {                                                                                              \
        IndexKey unpacked[KEYS];                                                                   \
        for (; n_keys >= KEYS; n_keys -= KEYS, scores += KEYS, keys += KEYS * key_bytes) {         \
            bool folds = *q->folds != 0;                                                           \
            for (int k = 0; k < KEYS && folds; k++)                                                \
                folds = fold_key(&unpacked[k], keys + (size_t)k * key_bytes, q->dim, q->n_blocks); \
            if (folds)                                                                             \
                score_folded(scores, q, unpacked);                                                 \
            else                                                                                   \
                score_all(scores, q, keys, key_bytes, KEYS, KEYS, score_keys);                     \
        }                                                                                          \
        score_all(scores, q, keys, key_bytes, n_keys, KEYS, score_keys);                           \
    }

#endif
