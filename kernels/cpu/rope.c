/*
 * Rotary position embedding (Su et al., 2021): the pair (a, b) of dims i of a head turns by the
 * angle position * theta^(-2i/n_rot): a' = a cos - b sin, b' = a sin + b cos.  Dims from n_rot on
 * stay.  Half-split pairs are (i, i + n_rot/2), which is i + head_dim/2 for full RoPE.
 */
#include <assert.h>
#include "kernels/cpu/vector.h"

#define ROPE_VALUES_MIN 16384

typedef struct {
    const PdVectorIsa *isa;
    float *x;             /* (n_rows, n_heads, head_dim) */
    const float *cos_sin; /* (n_positions, n_rot/2, 2) */
    const PdRope *rope;
    const int32_t *positions; /* (n_rows) */
    int n_rows;
    int n_heads;
    int head_dim;
} RopeJob;

static void
rope_rows(void *arg, int thread, int n_threads)
{
    const RopeJob *job = arg;
    int first, last;

    pd_share(job->n_rows, 1, thread, n_threads, &first, &last);
    for (int r = first; r < last; r++) {
        assert(job->positions[r] >= 0 && job->positions[r] < job->rope->n_positions);
        job->isa->rope(job->x + (size_t)r * (size_t)job->n_heads * (size_t)job->head_dim,
                       job->cos_sin + (size_t)job->positions[r] * (size_t)job->rope->n_rot,
                       job->rope->kind, job->rope->n_rot, job->n_heads, job->head_dim);
    }
}

void
pd_cpu_rope(PdDevice *dev, PdMem x, const PdRope *rope, const int32_t *positions, int n_rows,
            int n_heads, int head_dim)
{
    PdCpu *cpu = (PdCpu *)dev;
    RopeJob job = {cpu->vector, pd_cpu_ptr(x), pd_cpu_ptr(rope->table), rope, positions, n_rows,
                   n_heads,     head_dim};

    assert(rope->n_rot <= head_dim && rope->n_rot % 2 == 0);
    if (n_rows > 1 && (size_t)n_rows * (size_t)n_heads * (size_t)head_dim >= ROPE_VALUES_MIN)
        pd_pool_run(cpu->pool, rope_rows, &job);
    else
        rope_rows(&job, 0, 1);
}
