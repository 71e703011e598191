/*
 * Rows of a cache as floats, or in 8 or 4 bits with a scale a block:
 *
 *   FP8   the dimensions that do not turn in E4M3, one E8M0 scale per 64 of them, then the turning
 *         dimensions in BF16
 *   FP4   E2M1, even dimensions in the low half of a byte, then one E8M0 scale per 32 dimensions
 *
 * A scale is the smallest power of two that brings its block into range.  A block with a value that
 * is not finite becomes one of NaNs.  These are the formats of DeepSeek-V4's cache.
 */
#ifndef PD_ROW_FORMAT_H
#define PD_ROW_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define PD_FP8_BLOCK 64 /* dimensions that share a scale */
#define PD_FP4_BLOCK 32

typedef enum {
    PD_ROW_F32,
    PD_ROW_FP8,
    PD_ROW_FP4,
} PdRowKind;

typedef struct {
    PdRowKind kind;
    int width;
    int n_turning; /* of them, at the end; FP8 alone treats them apart */
} PdRowFormat;

size_t pd_row_format_bytes(const PdRowFormat *f);
/* `width` floats into bytes, and back. */
void pd_row_pack(const PdRowFormat *f, const float *row, uint8_t *bytes);
void pd_row_unpack(const PdRowFormat *f, const uint8_t *bytes, float *row);

#endif
