/*
 * Floating-point numbers of 4 and 8 bits, as checkpoints store them beside a scale.
 * Source: the OCP specifications "8-bit Floating Point" (E4M3) and "Microscaling Formats" (E2M1,
 * E8M0).
 */
#ifndef PD_LOW_FLOAT_H
#define PD_LOW_FLOAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* E4M3 without infinities: sign, 4 bits of exponent (bias 7), 3 of mantissa; 0x7f and 0xff NaN. */
float pd_e4m3_value(uint8_t code);
/* E8M0: 2^(code - 127); 0xff NaN. */
static inline float
pd_e8m0_value(uint8_t code)
{
    uint32_t bits = code == 0 ? 0x00400000 : code == 0xff ? 0x7fc00000 : (uint32_t)code << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
/* E2M1 in the low four bits: sign, then 0, 0.5, 1, 1.5, 2, 3, 4, 6. */
float pd_e2m1_value(uint8_t code);

/* The nearest value's code, of two equally near ones the even; values beyond the largest become the
 * largest.  E4M3 keeps NaN, E2M1 has none: it gives the largest. */
uint8_t pd_e4m3_code(float x);
uint8_t pd_e2m1_code(float x);
/* The smallest power of two that is not below x > 0; infinity and NaN: 0xff. */
uint8_t pd_e8m0_code(float x);

#endif
