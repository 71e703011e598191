/* See low_float.h. */
#include "kernels/low_float.h"
#include <math.h>

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
pd_e8m0_value(uint8_t code)
{
    return code == 0xff ? NAN : ldexpf(1, code - 127);
}

float
pd_e2m1_value(uint8_t code)
{
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    return code & 8 ? -values[code & 7] : values[code & 7];
}
