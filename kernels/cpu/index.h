/*
 * Scores of an indexer over keys of 4 bits (row_format.h): what index.c, which lays out a query,
 * and the instruction sets, which go over the keys, know of each other.
 *
 * A code stands for twice its value, -12..12, and a key's codes are shifted to 0..24, so that a
 * block of 32 dimensions is a sum of products of unsigned and signed bytes, exact in any order:
 *
 *   dot[h]  = sum_b scale_q[b][h] scale_k[b] / 4 (sum_c (key[c] + 12) q[h][c] - 12 sum_c q[h][c])
 *   lane[l] = sum of weights[h] max(0, dot[h]) over the heads h = l, 16 + l, 32 + l ...
 *   score   = lanes l and l + 8 added, then l and l + 4, l + 2, l + 1
 *
 * Scales are powers of two and sums of blocks are taken in ascending order, so every instruction
 * set gives the same bits.
 *
 * Where the scales of a row are within a factor of PD_INDEX_FOLD_MOST of each other, as those of
 * rows that went through a Hadamard transform nearly always are, they can be folded: the codes are
 * multiplied by scale / least scale, and a dot product is one sum of integers below 2^24.  Powers
 * of two taken out of a sum of floats do not change how it is rounded, as long as nothing leaves
 * the range of floats; PD_INDEX_FOLD_RANGE is far within it.  So the bits stay the same:
 *
 *   lane[l] = scale_k sum of (weights[h] scale_q[h] / 4) max(0, sum_c folded_k[c] folded_q[h][c])
 */
#ifndef PD_INDEX_H
#define PD_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include "kernels/kernels.h"

#define PD_INDEX_LANES 16
#define PD_INDEX_HEADS 32 /* heads come in multiples of this, the last ones with weight 0 */
#define PD_INDEX_WORDS 8  /* of four dimensions in a block: even ones, then odd ones */
#define PD_INDEX_SHIFT 12
#define PD_INDEX_FOLD_BITS 3
#define PD_INDEX_FOLD_MOST (1 << PD_INDEX_FOLD_BITS)
#define PD_INDEX_FOLD_RANGE 30 /* most exponent, up or down, of a scale that is folded */
#define PD_INDEX_FOLD_SHIFT (PD_INDEX_FOLD_MOST * PD_INDEX_SHIFT) /* as PD_INDEX_SHIFT */

/* One query, laid out for the kernels. */
typedef struct {
    int dim;
    int n_blocks;    /* of PD_FP4_BLOCK dimensions; the last may be short */
    int n_heads;     /* padded */
    int8_t *codes;   /* (n_blocks, PD_INDEX_WORDS, n_heads, 4) */
    int32_t *starts; /* (n_blocks, n_heads): -12 sum of the block's codes */
    float *scales;   /* (n_blocks, n_heads): scale / 4 */
    float *weights;  /* (n_heads) */
    /* The same with folded scales. */
    int32_t *folds;         /* (1): whether all heads have them */
    int8_t *folded;         /* as codes */
    int32_t *folded_starts; /* (n_heads): -96 sum of the head's folded codes */
    float *folded_weights;  /* (n_heads): times the head's least scale / 4 */
    /* For sums that are widened once a block: dimensions 0, 1 and 2, 3 of the words apart. */
    int16_t *half_starts;  /* (n_blocks, n_heads, 2): -96 sum of the half's codes */
    int16_t *half_factors; /* (n_blocks, n_heads, 2): scale / least scale, twice */
} PdIndexQuery;

/* The least of a row's scales, E8M0, if they can be folded; else 0. */
static inline int
pd_index_fold(const uint8_t *scales, int n_blocks)
{
    int least = scales[0], most = scales[0];
    for (int b = 1; b < n_blocks; b++) {
        least = scales[b] < least ? scales[b] : least;
        most = scales[b] > most ? scales[b] : most;
    }
    return most - least <= PD_INDEX_FOLD_BITS && least >= 127 - PD_INDEX_FOLD_RANGE &&
                   most <= 127 + PD_INDEX_FOLD_RANGE
               ? least
               : 0;
}

/* Twice the value of each E2M1 code. */
#define PD_INDEX_TWICE 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12
/* The same, shifted. */
#define PD_INDEX_SHIFTED 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0

/* The kernels: scores (n_keys) of keys, rows of key_bytes. */
typedef void PdIndexScores(float *scores, const PdIndexQuery *q, const uint8_t *keys,
                           size_t key_bytes, int n_keys);
PdIndexScores pd_index_scores_reference;
PdIndexScores pd_index_scores_avx2;
PdIndexScores pd_index_scores_avx512;
PdIndexScores pd_index_scores_avx512_emulated;

#endif
