/* Sums: a[i] += b[i] (residuals) and a[t][c] += b[c] (biases). */
#include <assert.h>
#include "kernels/cpu/vector.h"

/* Memory-bound: below this a second thread costs more than it brings. */
#define ADD_VALUES_MIN 65536
#define ADD_GRAIN 4096

typedef struct {
    const PdVectorIsa *isa;
    float *a;       /* (n) or (n_rows, n_cols) */
    const float *b; /* (n) or (n_cols) */
    size_t n;
    int n_rows;
    int n_cols;
} AddJob;

static void
add_span(void *arg, int thread, int n_threads)
{
    const AddJob *job = arg;
    int n_grains = (int)((job->n + ADD_GRAIN - 1) / ADD_GRAIN);
    int first, last;

    pd_share(n_grains, 1, thread, n_threads, &first, &last);
    size_t at = (size_t)first * ADD_GRAIN;
    size_t end = (size_t)last * ADD_GRAIN < job->n ? (size_t)last * ADD_GRAIN : job->n;
    if (at < end)
        job->isa->add(job->a + at, job->b + at, end - at);
}

static void
add_rows(void *arg, int thread, int n_threads)
{
    const AddJob *job = arg;
    int first, last;

    pd_share(job->n_rows, 1, thread, n_threads, &first, &last);
    for (int r = first; r < last; r++)
        job->isa->add(job->a + (size_t)r * (size_t)job->n_cols, job->b, (size_t)job->n_cols);
}

void
pd_cpu_add(PdDevice *dev, PdMem a, PdMem b, size_t n)
{
    PdCpu *cpu = (PdCpu *)dev;
    AddJob job = {.isa = cpu->vector, .a = pd_cpu_ptr(a), .b = pd_cpu_ptr(b), .n = n};

    if (n >= ADD_VALUES_MIN)
        pd_pool_run(cpu->pool, add_span, &job);
    else
        add_span(&job, 0, 1);
}

void
pd_cpu_add_row(PdDevice *dev, PdMem a, PdWeight b, int n_rows, int n_cols)
{
    PdCpu *cpu = (PdCpu *)dev;
    AddJob job = {.isa = cpu->vector,
                  .a = pd_cpu_ptr(a),
                  .b = pd_cpu_ptr(b.mem),
                  .n_rows = n_rows,
                  .n_cols = n_cols};

    assert(b.type == PD_F32 && b.n_cols == n_cols);
    if (n_rows > 1 && (size_t)n_rows * (size_t)n_cols >= ADD_VALUES_MIN)
        pd_pool_run(cpu->pool, add_rows, &job);
    else
        add_rows(&job, 0, 1);
}
