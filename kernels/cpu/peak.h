/* What this machine can do at most, measured, so that speeds can be printed against it. */
#ifndef PD_PEAK_H
#define PD_PEAK_H

#include "kernels/kernels.h"

typedef struct {
    /* Products of 8-bit numbers with their additions, from registers, in 1e9 operations a second
     * (a product and an addition are two); 0 where the instruction set has none. */
    double int8_gops;
    /* Reading memory that no cache holds, 1e9 bytes a second. */
    double read_gbs;
} PdPeak;

/* Measure with all threads of a CPU device, about half a second.  PD_KERNEL_ENOMEM when there is no
 * memory to read; peak is zero then. */
int pd_cpu_peak(PdDevice *dev, PdPeak *peak);

#endif
