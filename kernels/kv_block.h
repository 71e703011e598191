/*
 * Compressed keys and values: blocks of at most 64 rows (tokens) of one KV stream.
 *
 * Keys are before RoPE and without bias, quantized per channel over the rows of a block,
 * asymmetric:  k[t][c] = scale[c] * u[t][c] + zero[c],  u in 0 .. 2^bits - 1, scale and zero half
 * floats (KIVI, KVQuant: the axis matters more than the code; hybrid-attention design, 2.2 and 8).
 * Values are turned by a normalised Walsh-Hadamard transform over the head, then quantized per row
 * in groups of channels, symmetric.  `unpack` gives both back in their own basis.
 *
 * A stream is its blocks one after the other; only the last may hold fewer than 64 rows.  The byte
 * layout of each width is described in kv_block.c; every block's size is a multiple of 32 bytes.
 */
#ifndef PD_KV_BLOCK_H
#define PD_KV_BLOCK_H

#include <stddef.h>

#define PD_KV_BLOCK_ROWS 64

/* bits: 2, 3, 4, 5, 6 or 8; head_dim a multiple of 32 up to 256; 1 <= n_rows <= 64. */
size_t pd_key_block_bytes(int bits, int head_dim, int n_rows);
size_t pd_value_block_bytes(int bits, int head_dim, int n_rows);
/* Of n_rows rows cut into blocks of 64. */
size_t pd_key_stream_bytes(int bits, int head_dim, int n_rows);
size_t pd_value_stream_bytes(int bits, int head_dim, int n_rows);

/* rows: f32, row r at rows + r * stride (in floats).  Not finite values are stored as 0. */
void pd_key_block_pack(int bits, int head_dim, const float *rows, size_t stride, int n_rows,
                       void *block);
void pd_value_block_pack(int bits, int head_dim, const float *rows, size_t stride, int n_rows,
                         void *block);
/* Rows first .. first + n - 1 of a stream of n_rows rows. */
void pd_key_stream_unpack(int bits, int head_dim, const void *stream, int n_rows, int first, int n,
                          float *rows, size_t stride);
void pd_value_stream_unpack(int bits, int head_dim, const void *stream, int n_rows, int first,
                            int n, float *rows, size_t stride);

#endif
