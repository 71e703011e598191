/*
 * How a row of a sequence's state is kept: as floats, or in the mixed precision that the family was
 * trained with (sections 7.2, 7.3 and 10.2).  Rows are rounded once, when they are kept; everything
 * that reads them reads the rounded values, so a state that was stored and loaded again is the
 * same.
 *
 *   FP8   the dimensions that do not turn in E4M3, one E8M0 scale per 64 of them, then the turning
 *         dimensions in BF16: windows and compressed entries
 *   FP4   E2M1, even dimensions in the low half of a byte, then one E8M0 scale per 32 dimensions:
 *         the indexer's keys, after pd_ds_hadamard, which the queries go through as well
 *
 * A scale is the smallest power of two that brings its block into range.  A block with a value that
 * is not finite becomes one of NaNs.
 */
#ifndef PD_DEEPSEEK_ROWS_H
#define PD_DEEPSEEK_ROWS_H

#include "engine/deepseek/shape.h"

#define PD_DS_FP8_BLOCK 64 /* dimensions that share a scale */
#define PD_DS_FP4_BLOCK 32

typedef enum {
    PD_DS_ROW_F32,
    PD_DS_ROW_FP8,
    PD_DS_ROW_FP4,
} PdDsRowKind;

typedef struct {
    PdDsRowKind kind;
    int width;
    int n_turning; /* of them, at the end */
} PdDsRowFormat;

/* Of a window's rows and of entries; of the indexer's keys. */
PdDsRowFormat pd_ds_row_format(const PdDsShape *s, gboolean mixed);
PdDsRowFormat pd_ds_key_format(const PdDsShape *s, gboolean mixed);
/* Why a model's rows cannot be kept in mixed precision, or NULL. */
const char *pd_ds_mixed_problem(const PdDsShape *s);

gsize pd_ds_row_bytes(const PdDsRowFormat *f);
void pd_ds_row_pack(const PdDsRowFormat *f, const float *row, guint8 *bytes);
void pd_ds_row_unpack(const PdDsRowFormat *f, const guint8 *bytes, float *row);
/* Rows [first, first + n) of `rows` as floats: where they lie, or unpacked into `room` (n, width).
 */
const float *pd_ds_rows_at(const PdDsRowFormat *f, const guint8 *rows, int first, int n,
                           float *room);

/* The normalised Walsh-Hadamard transform of n values, n a power of two, in place:
 * y[i] = n^-1/2 sum_j (-1)^popcount(i & j) x[j].  It is its own inverse and keeps dot products. */
void pd_ds_hadamard(float *x, int n);

#endif
