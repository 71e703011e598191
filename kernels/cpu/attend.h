/* Merging partial softmaxes (log-sum-exp), shared by attention.c and attention_list.c. */
#ifndef PD_CPU_ATTEND_H
#define PD_CPU_ATTEND_H

#include "kernels/cpu/vector.h"

/* Floats that hold a state of n_rows rows, and the state that lies in such memory. */
static inline size_t
pd_attend_state_floats(size_t n_rows, size_t dim)
{
    return pd_pad16(2 * n_rows) + pd_pad16(n_rows * dim);
}

static inline PdAttendState
pd_attend_state_at(float *memory, size_t n_rows)
{
    return (PdAttendState){
        .o = memory + pd_pad16(2 * n_rows), .max2 = memory, .sum = memory + n_rows};
}

/* n_rows empty rows: nothing seen yet. */
void pd_attend_clear(const PdAttendState *acc, int n_rows);
/* acc (+)= part.  An empty row of `part` leaves acc as it is, bit for bit. */
void pd_attend_merge(const PdAttendState *acc, const PdAttendState *part, int n_rows, int dim);
/* out (n_q, n_heads, dim), from the first of the group's heads on: o / sum of the rows (query row,
 * head of the group) of acc; zeros for a row that saw nothing. */
void pd_attend_finish(const PdAttendState *acc, int n_q, int group, int n_heads, int dim,
                      float *out);

#endif
