/*
 * Where things lie in a key block, for the code that scans it in place (kv_block.c describes the
 * layout).  Offsets are in bytes from the start of the block.
 */
#ifndef PD_KV_LAYOUT_H
#define PD_KV_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include "kernels/cpu/half.h"

/* Rows are padded to a multiple of this, with codes 0. */
#define PD_KEY_ROWS_PAD 16

/* Scales are one byte, the upper bits of a positive float: 5 of its exponent, 3 of its fraction.
 * Code 0 is 0, code n is (1 + n % 8 / 8) 2^(lowest + n / 8): steps of 6 to 12 percent over 32
 * octaves, and the decoding is one shift and one addition. */
#define PD_KEY_SCALE_LOWEST (-20)
#define PD_VALUE_SCALE_LOWEST (-28)

static inline float
pd_scale_decode(uint8_t code, int lowest)
{
    return code == 0 ? 0
                     : pd_bits_to_float(((uint32_t)code << 20) + ((uint32_t)(127 + lowest) << 23));
}

static inline size_t
pd_key_rows_padded(int n_rows)
{
    return ((size_t)n_rows + PD_KEY_ROWS_PAD - 1) / PD_KEY_ROWS_PAD * PD_KEY_ROWS_PAD;
}

/* Half floats zero[head_dim]. */
static inline size_t
pd_key_zeros_at(int bits, int head_dim, int n_rows)
{
    return pd_key_rows_padded(n_rows) * (size_t)(head_dim * bits / 8);
}

/* Bytes scale[head_dim]. */
static inline size_t
pd_key_scales_at(int bits, int head_dim, int n_rows)
{
    return pd_key_zeros_at(bits, head_dim, n_rows) + 2 * (size_t)head_dim;
}

#endif
