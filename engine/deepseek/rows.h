/*
 * How a row of a sequence's state is kept: as floats, or in the mixed precision that the family was
 * trained with (sections 7.2, 7.3 and 10.2; kernels/row_format.h).  Rows are rounded once, when
 * they are kept; everything that reads them reads the rounded values, so a state that was stored
 * and loaded again is the same.
 *
 *   FP8   windows and compressed entries
 *   FP4   the indexer's keys, after pd_ds_hadamard; its queries go through both as well
 */
#ifndef PD_DEEPSEEK_ROWS_H
#define PD_DEEPSEEK_ROWS_H

#include "engine/deepseek/shape.h"
#include "kernels/row_format.h"

/* Of a window's rows and of entries; of the indexer's keys. */
PdRowFormat pd_ds_row_format(const PdDsShape *s, gboolean mixed);
PdRowFormat pd_ds_key_format(const PdDsShape *s, gboolean mixed);
/* Why a model's rows cannot be kept in mixed precision, or NULL. */
const char *pd_ds_mixed_problem(const PdDsShape *s);

/* Rows [first, first + n) of `rows` as floats: where they lie, or unpacked into `room` (n, width).
 */
const float *pd_ds_rows_at(const PdRowFormat *f, const guint8 *rows, int first, int n, float *room);

/* The normalised Walsh-Hadamard transform of n values, n a power of two, in place:
 * y[i] = n^-1/2 sum_j (-1)^popcount(i & j) x[j].  It is its own inverse and keeps dot products. */
void pd_ds_hadamard(float *x, int n);

#endif
