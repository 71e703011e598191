/* Pieces of the block formats that more than one file reads; quant.c describes the formats. */
#ifndef PD_QUANT_H
#define PD_QUANT_H

#include <stdint.h>

/* The 6-bit scale and minimum of sub-block j (0..7) from the 12 packed bytes of a Q4_K or Q5_K
 * block. */
void pd_scale_min_k(const uint8_t *packed, int j, int *scale, int *min);

#endif
