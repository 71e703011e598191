/*
 * What matmul.c, which cuts a product into panels of weight rows and hands them to threads, and the
 * instruction sets, which multiply a panel with all tokens, know of each other.
 *
 * Weights of float types are multiplied in float32 with float32 activations.  Block types are
 * multiplied as integers: each 32 activations of a token are rounded to 8 bits with a scale of
 * their own (PdActBlock), whatever the weight's block size, because a few outliers among the
 * activations would drown the others under a wider scale.
 *
 * Every instruction set keeps one promise: the number at (token, row) comes from the same
 * operations in the same order whatever n_tokens, the panel's size and the thread are.
 */
#ifndef PD_MATMUL_H
#define PD_MATMUL_H

#include "kernels/cpu/cpu.h"

#define PD_ACT_BLOCK 32
#define PD_ACT_TINY 0x1p-118f /* a block whose values are all below this counts as zero */

/* 32 activations of one token, x[i] ~ d q[i]. */
typedef struct {
    int8_t q[PD_ACT_BLOCK]; /* -127..127 */
    float d;
    float sum; /* d * sum q */
    /* Where an instruction set's integer sums start so that codes stored as v + zero count as v
     * (panel.h): -zero * sum q, in the form that its kernels add up in; unused by the reference. */
    int32_t start_16;        /* zero 16, all 32 values */
    int32_t start_128;       /* zero 128, all 32 values */
    int32_t start_32_sub[2]; /* zero 32, 16 values each */
} PdActBlock;

/* One job of pd_matmul with its operands as host memory. */
typedef struct {
    const uint8_t *weight;  /* (n_rows, n_cols) in `type` */
    const float *bias;      /* (n_rows), or NULL */
    const float *x;         /* (n_tokens, n_cols) */
    const PdActBlock *acts; /* of block types only: pd_act_tile() */
    float *out;             /* (n_tokens, n_rows) */
    PdDtype type;
    int n_rows;
    int n_cols;
    int n_tokens;
} PdProduct;

struct PdMatmulIsa {
    const char *name;
    int panel_rows; /* rows that multiply_rows likes to get at once */

    /* The set that multiplies single tokens instead, to the same bits, or NULL. */
    const PdMatmulIsa *single;

    /* The blocks of so many tokens stand together (pd_act_tile); 1: each token's on their own. */
    int tile_tokens;

    /* n_cols activations (a multiple of 32) of one token; its blocks lie `stride` apart. */
    void (*quantize)(PdActBlock *dst, size_t stride, const float *x, int n_cols);

    /* Scratch of one thread for a product of n_cols and n_tokens; 64-byte aligned. */
    size_t (*workspace_bytes)(int n_cols, int n_tokens);

    /* out[t][r] for first_row <= r < first_row + n_rows, n_rows <= panel_rows, and every token. */
    void (*multiply_rows)(const PdProduct *p, int first_row, int n_rows, void *workspace);

    /* `rounds` of 8-bit products from registers, as dense as the kernels can have them; returns how
     * many products that was.  NULL in the reference. */
    int64_t (*burst)(int rounds);
};

extern const PdMatmulIsa pd_matmul_reference;

/*
 * Rounded activations lie as a kernel walks over them: (tile, block, token of the tile), so that
 * all tokens of a tile are reached from one pointer.  A tile has tile_tokens tokens, or all where
 * there are fewer; the last one may have unused places.
 */
static inline int
pd_act_tile(const PdMatmulIsa *isa, int n_tokens)
{
    return n_tokens < isa->tile_tokens ? n_tokens : isa->tile_tokens;
}

static inline bool
pd_is_float_type(PdDtype type)
{
    return pd_dtype_info[type].block_elems == 1;
}

#endif
