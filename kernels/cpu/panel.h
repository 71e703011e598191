/*
 * A panel: PD_PANEL_ROWS weight rows by a chunk of columns, unpacked from a file's block format
 * into the order that the integer kernels of x86 eat.  It lives in the first-level cache while it
 * is multiplied with every token, so unpacking is paid once per operation and no second copy of the
 * weights is ever kept.
 *
 * One PdPanelBlock holds 32 columns.  A 32-bit word of `codes` is 4 columns of one row, so that one
 * vector is several rows by the same 4 columns and meets the same 4 activations in every word.
 * Codes are unsigned, v + zero, because the byte products of x86 take one unsigned operand; the
 * kernel takes zero * sum of activations off again by starting its sum below 0 (PdActBlock.start).
 *
 *   type                     codes                       zero   value
 *   Q4_1, Q4_K               q (0..15)                     0    scale q + min
 *   Q4_0                     q + 8 (8..23)                16    scale (q - 8)
 *   Q5_0                     q (0..31)                    16    scale (q - 16)
 *   Q5_1, Q5_K               q (0..31)                    16    scale (q - 16) + min
 *   Q6_K                     q (0..63)                    32    scale of 16 columns (q - 32)
 *   Q8_0                     signed in AVX2, q + 128 in AVX-512
 */
#ifndef PD_PANEL_H
#define PD_PANEL_H

#include "kernels/cpu/matmul.h"

enum {
    PD_PANEL_ROWS = 16,
    PD_PANEL_BLOCKS = 16, /* of 32 columns: 512 columns, about 11 kB */
    PD_FLOAT_PANEL_COLS = 256,
    PD_FLOAT_PANEL_BYTES = PD_FLOAT_PANEL_COLS * PD_PANEL_ROWS * 4,
};

#define INLINE static inline __attribute__((always_inline))

/* What the integer kernel of a type has to do beyond the plain sum. */
typedef enum {
    KIND_MIN,       /* Q4_1, Q4_K */
    KIND_START,     /* Q4_0, Q5_0 */
    KIND_START_MIN, /* Q5_1, Q5_K */
    KIND_Q6_K,
    KIND_Q8_0,
} Kind;

typedef struct {
    _Alignas(64) uint8_t codes[8][PD_PANEL_ROWS][4]; /* (k / 4, row, k % 4) */
    union {
        struct {
            float scale[PD_PANEL_ROWS];
            float min[PD_PANEL_ROWS]; /* added to every value; types with a minimum only */
        };
        struct { /* Q6_K: scale = d * (int) sub-scale of each 16 columns */
            int16_t sub_scale[2][PD_PANEL_ROWS][2]; /* each twice, for a pair of 16-bit sums */
            float d[PD_PANEL_ROWS];
        };
    };
} PdPanelBlock;

/* Unpack n_blocks (<= PD_PANEL_BLOCKS) blocks of 32 columns, from block first_block on, of the 16
 * rows that start at rows[i].  Prefetches as many bytes as it reads from `next` on. */
typedef void (*PdUnpack)(PdPanelBlock *panel, const uint8_t *const *rows, int first_block,
                         int n_blocks, const uint8_t *next);

/* By type, NULL for float types (unpack_avx2.c). */
extern const PdUnpack pd_unpack_avx2[PD_N_DTYPES];

/* The same for F32, F16 and BF16: panel f32 (n_cols, 16). */
void pd_unpack_float_avx2(PdDtype type, float *panel, const uint8_t *const *rows, int first_col,
                          int n_cols, const uint8_t *next);

/* multiply_rows for one token and block types (token_avx2.c). */
void pd_multiply_token_avx2(const PdProduct *p, int first_row, int n_rows);

extern const PdMatmulIsa pd_matmul_avx2;
extern const PdMatmulIsa pd_matmul_avx512;
extern const PdMatmulIsa pd_matmul_avx512_emulated;

#endif
