/* Merging partial softmaxes (log-sum-exp), shared by attention.c and attention_list.c. */
#ifndef PD_CPU_ATTEND_H
#define PD_CPU_ATTEND_H

#include "kernels/cpu/vector.h"

/* n_rows empty rows: nothing seen yet. */
void pd_attend_clear(const PdAttendState *acc, int n_rows);
/* acc (+)= part.  An empty row of `part` leaves acc as it is, bit for bit. */
void pd_attend_merge(const PdAttendState *acc, const PdAttendState *part, int n_rows, int dim);

#endif
