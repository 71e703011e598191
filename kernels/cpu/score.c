/*
 * The sweep: every stored key against a few dozen query vectors.
 *
 *   out[i][b] = max over the 64 keys j of block b of q_i . k_j
 *   lse[i]    = log sum_j exp(scale q_i . k_j)
 *
 * A block of keys is widened once for all queries of a group.  The key range is cut into a fixed
 * number of spans, whatever the number of threads, and the spans' sums are merged in ascending
 * order, so that lse has the same bits on any number of threads.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include "kernels/cpu/vector.h"

#define SCORE_QUERIES 32 /* queries that share a widened block */
#define SCORE_SPANS 64

_Static_assert(PD_SCORE_BLOCK == PD_ATTEND_TILE, "a block of scores is one tile");

typedef struct {
    const PdVectorIsa *isa;
    float *out; /* (n_q, n_blocks), at the first query of the group */
    const uint8_t *keys;
    size_t row_bytes;
    int n_keys;
    int n_blocks;
    int head_dim;
    const float *q; /* (n_q, head_dim) */
    int n_q;
    float scale;
    atomic_int next;
    float max[SCORE_SPANS][SCORE_QUERIES];
    double sum[SCORE_SPANS][SCORE_QUERIES]; /* of exp(scale (s - max)) */
} ScoreJob;

static void
score_block(ScoreJob *job, int span, int block, float *tile, float *work)
{
    int first = block * PD_SCORE_BLOCK;
    int n = job->n_keys - first < PD_SCORE_BLOCK ? job->n_keys - first : PD_SCORE_BLOCK;

    job->isa->scores(tile, job->q, job->n_q, job->head_dim, PD_Q8_0,
                     job->keys + (size_t)first * job->row_bytes, job->row_bytes, n, work);
    for (int i = 0; i < job->n_q; i++) {
        float *s = tile + i * PD_ATTEND_TILE;
        float *max = &job->max[span][i];
        double *sum = &job->sum[span][i];
        float block_max = job->isa->max(s, (size_t)n);
        job->out[(size_t)i * (size_t)job->n_blocks + (size_t)block] = block_max;
        if (block_max > *max) {
            if (*sum > 0)
                *sum *= exp((double)job->scale * ((double)*max - block_max));
            *max = block_max;
        }
        *sum += (double)job->isa->exp_sum(s, (size_t)n, job->scale, *max);
    }
}

static void
score_spans(void *arg, int thread, int n_threads)
{
    ScoreJob *job = arg;
    _Alignas(64) float work[(PD_ATTEND_TILE + 16) * PD_HEAD_DIM_MAX];
    _Alignas(64) float tile[SCORE_QUERIES * PD_ATTEND_TILE];

    (void)thread;
    (void)n_threads;
    for (int span; (span = atomic_fetch_add(&job->next, 1)) < SCORE_SPANS;) {
        int first, last;
        pd_share(job->n_blocks, 1, span, SCORE_SPANS, &first, &last);
        for (int i = 0; i < job->n_q; i++) {
            job->max[span][i] = -INFINITY;
            job->sum[span][i] = 0;
        }
        for (int b = first; b < last; b++)
            score_block(job, span, b, tile, work);
    }
}

static float
merge_spans(const ScoreJob *job, int i)
{
    double max = -INFINITY;
    double sum = 0;

    for (int s = 0; s < SCORE_SPANS; s++)
        max = fmax(max, (double)job->max[s][i]);
    for (int s = 0; s < SCORE_SPANS; s++)
        if (job->sum[s][i] != 0)
            sum += job->sum[s][i] * exp((double)job->scale * (job->max[s][i] - max));
    return sum == 0 ? -INFINITY : (float)((double)job->scale * max + log(sum));
}

void
pd_cpu_score_blocks(PdDevice *dev, PdMem out, PdMem lse, PdMem keys, int n_keys, int head_dim,
                    PdMem q, int n_q, float scale)
{
    PdCpu *cpu = (PdCpu *)dev;
    float *scores = pd_cpu_ptr(out);
    float *sums = pd_cpu_ptr(lse);
    const float *queries = pd_cpu_ptr(q);
    int n_blocks = (n_keys + PD_SCORE_BLOCK - 1) / PD_SCORE_BLOCK;

    assert(head_dim > 0 && head_dim <= PD_HEAD_DIM_MAX && head_dim % 32 == 0);
    assert(n_keys >= 0 && scale > 0);
    for (int first = 0; first < n_q; first += SCORE_QUERIES) {
        ScoreJob job = {
            .isa = cpu->vector,
            .out = scores + (size_t)first * (size_t)n_blocks,
            .keys = pd_cpu_ptr(keys),
            .row_bytes = pd_row_bytes(PD_Q8_0, (size_t)head_dim),
            .n_keys = n_keys,
            .n_blocks = n_blocks,
            .head_dim = head_dim,
            .q = queries + (size_t)first * (size_t)head_dim,
            .n_q = n_q - first < SCORE_QUERIES ? n_q - first : SCORE_QUERIES,
            .scale = scale,
        };
        atomic_init(&job.next, 0);
        pd_pool_run(cpu->pool, score_spans, &job);
        for (int i = 0; i < job.n_q; i++)
            sums[first + i] = merge_spans(&job, i);
    }
}
