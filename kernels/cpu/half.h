/*
 * Half floats and bfloat16 as bits, in plain C: what a file stores and what the references read.
 * IEEE 754-2008 binary16; bfloat16 is the upper half of a binary32.  Rounding is to nearest, ties
 * to even; denormals, infinities and NaN are kept.
 */
#ifndef PD_HALF_H
#define PD_HALF_H

#include <stdint.h>
#include <string.h>

static inline float
pd_bits_to_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t
pd_float_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float
pd_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 0x1f;
    uint32_t fraction = h & 0x3ff;

    if (exponent == 0) { /* zero or denormal: fraction * 2^-24, exact in float */
        float f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    if (exponent == 31)
        return pd_bits_to_float(sign | 0x7f800000 | fraction << 13);
    return pd_bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t
pd_float_to_half(float f)
{
    uint32_t bits = pd_float_to_bits(f);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;

    if (magnitude > 0x7f800000) /* NaN stays NaN, quiet */
        return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and more round to infinity */
        return sign | 0x7c00;
    if (magnitude < 0x38800000) { /* below 2^-14: the FPU rounds to a multiple of 2^-24 */
        float shifted = pd_bits_to_float(magnitude) + 0.5f; /* ulp of [0.5, 1) is 2^-24 */
        return (uint16_t)(sign | (pd_float_to_bits(shifted) - 0x3f000000));
    }
    magnitude += 0xfff + ((magnitude >> 13) & 1); /* nearest even; a carry raises the exponent */
    return (uint16_t)(sign | ((magnitude - 0x38000000) >> 13));
}

static inline float
pd_bfloat_to_float(uint16_t b)
{
    return pd_bits_to_float((uint32_t)b << 16);
}

static inline uint16_t
pd_float_to_bfloat(float f)
{
    uint32_t bits = pd_float_to_bits(f);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* A little-endian half of a file, at any alignment. */
static inline float
pd_load_half(const void *src)
{
    uint16_t h;
    memcpy(&h, src, sizeof h);
    return pd_half_to_float(h);
}

#endif
