/* See low_float.h. */
#include "kernels/low_float.h"
#include <math.h>
#include <string.h>

float
pd_e4m3_value(uint8_t code)
{
    int exponent = code >> 3 & 15, mantissa = code & 7;
    float value;
    if (exponent == 15 && mantissa == 7)
        return NAN;
    if (exponent == 0)
        value = ldexpf((float)mantissa, -9);
    else
        value = ldexpf((float)(8 + mantissa), exponent - 10);
    return code & 0x80 ? -value : value;
}

float
pd_e2m1_value(uint8_t code)
{
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code & 8 ? -values[code & 7] : values[code & 7];
}

static uint32_t
bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

uint8_t
pd_e4m3_code(float x)
{
    uint32_t bits = bits_of(x), sign = bits >> 24 & 0x80, magnitude = bits & 0x7fffffff;
    float value = fabsf(x);
    if (isnan(x))
        return (uint8_t)(sign | 0x7f);
    if (value >= 448)
        return (uint8_t)(sign | 0x7e);
    if (value < 0x1p-6f) /* below the normal numbers: multiples of 2^-9; 8 of them are the first */
        return (uint8_t)(sign | (uint32_t)lrintf(value * 0x1p9f));
    magnitude += 0x7ffff + (magnitude >> 20 & 1); /* half of the last place; a carry is right too */
    return (uint8_t)(sign | ((magnitude >> 20) - (120 << 3)));
}

uint8_t
pd_e2m1_code(float x)
{
    float value = fabsf(x);
    int code = (value > 0.25f) + (value >= 0.75f) + (value > 1.25f) + (value >= 1.75f) +
               (value > 2.5f) + (value >= 3.5f) + (value > 5);
    return (uint8_t)((bits_of(x) >> 28 & 8) | (unsigned)(isnan(x) ? 7 : code));
}

uint8_t
pd_e8m0_code(float x)
{
    uint32_t bits = bits_of(x), exponent = bits >> 23 & 0xff;
    return (uint8_t)(exponent == 0xff ? 0xff : exponent + ((bits & 0x7fffff) != 0));
}
