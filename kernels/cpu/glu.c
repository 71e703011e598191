/* Gated linear unit: gate[i] = act(gate[i]) * up[i] (Shazeer, 2020). */
#include "kernels/cpu/vector.h"

/* An exponential a value: worth sharing earlier than sums. */
#define GLU_VALUES_MIN 8192
#define GLU_GRAIN 1024

typedef struct {
    const PdVectorIsa *isa;
    float *gate;     /* (n) */
    const float *up; /* (n) */
    size_t n;
    PdActivation act;
} GluJob;

static void
glu_span(void *arg, int thread, int n_threads)
{
    const GluJob *job = arg;
    int n_grains = (int)((job->n + GLU_GRAIN - 1) / GLU_GRAIN);
    int first, last;

    pd_share(n_grains, 1, thread, n_threads, &first, &last);
    size_t at = (size_t)first * GLU_GRAIN;
    size_t end = (size_t)last * GLU_GRAIN < job->n ? (size_t)last * GLU_GRAIN : job->n;
    if (at < end)
        job->isa->glu(job->gate + at, job->up + at, end - at, job->act);
}

void
pd_cpu_glu(PdDevice *dev, PdMem gate, PdMem up, size_t n, PdActivation act)
{
    PdCpu *cpu = (PdCpu *)dev;
    GluJob job = {cpu->vector, pd_cpu_ptr(gate), pd_cpu_ptr(up), n, act};

    if (n >= GLU_VALUES_MIN)
        pd_pool_run(cpu->pool, glu_span, &job);
    else
        glu_span(&job, 0, 1);
}
