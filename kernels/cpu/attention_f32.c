/*
 * Attention over a PD_F32 cache: exact keys and values, for comparing a model with a reference
 * implementation to the last digits, which 16-bit rows do not allow.  Plain C on every instruction
 * set; a query row and head at a time, so its bits depend on nothing but its own rows:
 *
 *   s_j = scale q . k_j over the visible j,  m = max s_j,  w_j = exp(s_j - m)
 *   out = sum_j w_j v_j / sum_j w_j
 */
#include "kernels/cpu/attention_f32.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct {
    const PdKv *kv;
    const PdAttention *a;
    const float *q; /* (n_q, n_heads, head_dim) */
    const float *k; /* (n_kv_heads, capacity_rows, head_dim) */
    const float *v;
    float *out;
    float *scores; /* (n_threads, kv_rows) */
} F32Job;

/* The head dimension is a multiple of 2 only; eight lanes, then the rest. */
static float
dot(const float *a, const float *b, int n)
{
    float lane[8] = {0}, sum = 0;
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (int l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

/* One query row of one head over kv rows [first, last). */
static void
attend_row(const F32Job *job, const float *q, const float *k, const float *v, float *out,
           float *scores, int first, int last)
{
    int dim = job->kv->head_dim;
    float max = -INFINITY;
    double sum = 0;

    for (int j = first; j < last; j++) {
        scores[j] = job->a->scale * dot(q, k + (size_t)j * (size_t)dim, dim);
        max = fmaxf(max, scores[j]);
    }
    memset(out, 0, (size_t)dim * sizeof *out);
    for (int j = first; j < last; j++) {
        const float *row = v + (size_t)j * (size_t)dim;
        float w = expf(scores[j] - max);
        sum += w;
        for (int d = 0; d < dim; d++)
            out[d] += w * row[d];
    }
    for (int d = 0; d < dim; d++)
        out[d] = (float)(out[d] / sum);
}

static void
attend_rows(void *arg, int thread, int n_threads)
{
    const F32Job *job = arg;
    const PdAttention *a = job->a;
    const PdKv *kv = job->kv;
    size_t dim = (size_t)kv->head_dim, group = (size_t)(a->n_heads / kv->n_kv_heads);
    float *scores = job->scores + (size_t)thread * (size_t)a->kv_rows;

    /* Interleaved, because later rows see more keys. */
    for (int i = thread; i < a->n_q; i += n_threads) {
        int last = a->first_q_row + i + 1;
        int first = a->window > 0 && last > a->window ? last - a->window : 0;
        for (size_t h = 0; h < (size_t)a->n_heads; h++) {
            size_t at = ((size_t)i * (size_t)a->n_heads + h) * dim;
            size_t head = h / group * (size_t)kv->capacity_rows * dim;
            attend_row(job, job->q + at, job->k + head, job->v + head, job->out + at, scores, first,
                       last);
        }
    }
}

int
pd_cpu_attention_f32(PdCpu *cpu, const PdKv *kv, const PdAttention *a)
{
    size_t n_threads = (size_t)pd_pool_n_threads(cpu->pool);
    F32Job job = {.kv = kv,
                  .a = a,
                  .q = pd_cpu_ptr(a->q),
                  .k = pd_cpu_ptr(kv->k),
                  .v = pd_cpu_ptr(kv->v),
                  .out = pd_cpu_ptr(a->out),
                  .scores = pd_cpu_scratch(cpu, n_threads * (size_t)a->kv_rows * sizeof(float))};

    assert(kv->type == PD_F32 && a->n_heads % kv->n_kv_heads == 0);
    assert(a->first_q_row >= 0 && a->first_q_row + a->n_q <= a->kv_rows);
    assert(a->kv_rows <= kv->capacity_rows);
    if (job.scores == NULL)
        return PD_KERNEL_ENOMEM;
    pd_pool_run(cpu->pool, attend_rows, &job);
    return PD_KERNEL_OK;
}
