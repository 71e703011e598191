/*
 * Storing keys and values.  The caller's rows are (n_rows, n_kv_heads, head_dim); the cache is
 * (n_kv_heads, capacity_rows, row bytes), so that the rows of one head that attention walks through
 * are contiguous.
 */
#include <assert.h>
#include <string.h>
#include "kernels/cpu/vector.h"

#define KV_VALUES_MIN 8192

typedef struct {
    const PdVectorIsa *isa;
    const PdKv *kv;
    uint8_t *dst[2];     /* K, V */
    const float *src[2]; /* (n_rows, n_kv_heads, head_dim) */
    int first_row;
    int n_rows;
} KvJob;

static void
kv_rows(void *arg, int thread, int n_threads)
{
    const KvJob *job = arg;
    const PdKv *kv = job->kv;
    size_t dim = (size_t)kv->head_dim;
    size_t row_bytes = pd_row_bytes(kv->type, dim);
    int first, last;

    pd_share(job->n_rows, 1, thread, n_threads, &first, &last);
    for (int t = 0; t < 2; t++)
        for (int r = first; r < last; r++)
            for (int h = 0; h < kv->n_kv_heads; h++) {
                size_t row = (size_t)h * (size_t)kv->capacity_rows + (size_t)(job->first_row + r);
                uint8_t *dst = job->dst[t] + row * row_bytes;
                const float *src =
                    job->src[t] + ((size_t)r * (size_t)kv->n_kv_heads + (size_t)h) * dim;
                if (kv->type == PD_F16)
                    job->isa->to_f16((uint16_t *)(void *)dst, src, dim);
                else if (kv->type == PD_Q8_0)
                    job->isa->to_q8_0(dst, src, dim);
                else
                    memcpy(dst, src, row_bytes);
            }
}

void
pd_cpu_kv_append(PdDevice *dev, PdKv *kv, int first_row, PdMem k, PdMem v, int n_rows)
{
    PdCpu *cpu = (PdCpu *)dev;
    KvJob job = {.isa = cpu->vector,
                 .kv = kv,
                 .dst = {pd_cpu_ptr(kv->k), pd_cpu_ptr(kv->v)},
                 .src = {pd_cpu_ptr(k), pd_cpu_ptr(v)},
                 .first_row = first_row,
                 .n_rows = n_rows};

    assert(kv->type == PD_F32 || kv->type == PD_F16 || kv->type == PD_Q8_0);
    assert(first_row >= 0 && first_row + n_rows <= kv->capacity_rows);
    if (n_rows > 1 &&
        (size_t)n_rows * (size_t)kv->n_kv_heads * (size_t)kv->head_dim >= KV_VALUES_MIN)
        pd_pool_run(cpu->pool, kv_rows, &job);
    else
        kv_rows(&job, 0, 1);
}
