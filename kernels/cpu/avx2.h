/* What the integer kernels of AVX2 need of the compiler. */
#ifndef PD_AVX2_H
#define PD_AVX2_H

#include <immintrin.h>

/* Compilers like to do all products of a block first and the additions later, which needs more
 * registers than there are: a sum that passes through here is added up by then. */
static inline __attribute__((always_inline)) __m256i
now(__m256i v)
{
    __asm__("" : "+x"(v));
    return v;
}

#endif
