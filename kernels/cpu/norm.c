/* RMS norm: out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight (Zhang and Sennrich, 2019). */
#include <assert.h>
#include "kernels/cpu/vector.h"

/* Fewer values than this are done before other threads have woken up. */
#define NORM_VALUES_MIN 16384

typedef struct {
    const PdVectorIsa *isa;
    float *out;     /* (n_rows, n_cols) */
    const float *x; /* (n_rows, n_cols) */
    const float *weight;
    int n_rows;
    int n_cols;
    float eps;
} NormJob;

static void
norm_rows(void *arg, int thread, int n_threads)
{
    const NormJob *job = arg;
    int first, last;

    pd_share(job->n_rows, 1, thread, n_threads, &first, &last);
    for (int r = first; r < last; r++) {
        size_t at = (size_t)r * (size_t)job->n_cols;
        job->isa->rms_norm(job->out + at, job->x + at, job->weight, job->n_cols, job->eps);
    }
}

void
pd_cpu_rms_norm(PdDevice *dev, PdMem out, PdMem x, PdWeight weight, int n_rows, int n_cols,
                float eps)
{
    PdCpu *cpu = (PdCpu *)dev;
    NormJob job = {
        cpu->vector, pd_cpu_ptr(out), pd_cpu_ptr(x), pd_cpu_ptr(weight.mem), n_rows, n_cols, eps};

    assert(weight.type == PD_F32 && weight.n_cols == n_cols);
    if (n_rows > 1 && (size_t)n_rows * (size_t)n_cols >= NORM_VALUES_MIN)
        pd_pool_run(cpu->pool, norm_rows, &job);
    else
        norm_rows(&job, 0, 1);
}
