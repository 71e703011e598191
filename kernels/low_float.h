/*
 * Floating-point numbers of 4 and 8 bits, as checkpoints store them beside a scale.
 * Source: the OCP specifications "8-bit Floating Point" (E4M3) and "Microscaling Formats" (E2M1,
 * E8M0).
 */
#ifndef PD_LOW_FLOAT_H
#define PD_LOW_FLOAT_H

#include <stddef.h>
#include <stdint.h>

/* E4M3 without infinities: sign, 4 bits of exponent (bias 7), 3 of mantissa; 0x7f and 0xff NaN. */
float pd_e4m3_value(uint8_t code);
/* E8M0: 2^(code - 127); 0xff NaN. */
float pd_e8m0_value(uint8_t code);
/* E2M1 in the low four bits: sign, then 0, 0.5, 1, 1.5, 2, 3, 4, 6. */
float pd_e2m1_value(uint8_t code);

#endif
