/* Attention over a PD_F32 cache; see attention_f32.c. */
#ifndef PD_ATTENTION_F32_H
#define PD_ATTENTION_F32_H

#include "kernels/cpu/cpu.h"

int pd_cpu_attention_f32(PdCpu *cpu, const PdKv *kv, const PdAttention *a);

#endif
