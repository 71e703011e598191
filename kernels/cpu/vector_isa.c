/* Which table of vector kernels this CPU can run. */
#include <string.h>
#include "kernels/cpu/vector.h"

#if defined(PD_VECTOR_SIMD)
static bool
has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
}

static bool
has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

const PdVectorIsa *
pd_vector_isa(const char *isa)
{
    if (strcmp(isa, "reference") == 0)
        return &pd_vector_reference;
#if defined(PD_VECTOR_SIMD)
    if (strcmp(isa, "avx2") == 0 && has_avx2())
        return &pd_vector_avx2;
    if (strcmp(isa, "avx512") == 0 && has_avx512())
        return &pd_vector_avx512;
#endif
#ifdef PD_SIMD_EMULATION
    if (strcmp(isa, "avx512-emulated") == 0)
        return &pd_vector_avx512_emulated;
#endif
    return NULL;
}
