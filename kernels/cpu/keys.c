/*
 * The sweep over compressed keys: for every scan s, query i and block b of 64 keys
 *
 *   out[s][i][b] = max over the keys j of block b of q_i . k_j
 *   lse[s][i]    = log sum_j exp(scale q_i . k_j)
 *
 * Threads take spans of SPAN_BLOCKS blocks of a stream, which stay in the second-level cache while
 * QUERY_TILE queries after the other, which stay in the first, go over them.  A span belongs to one
 * stream and begins at a multiple of SPAN_BLOCKS, whatever the number of threads; the spans' sums
 * are merged in ascending order, so that results have the same bits on any number of threads.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "kernels/cpu/vector.h"
#include "kernels/kv_block.h"

enum {
    SPAN_BLOCKS = 16,
    QUERY_TILE = 16,
};

_Static_assert(PD_SCORE_BLOCK == PD_ATTEND_TILE && PD_SCORE_BLOCK == PD_KV_BLOCK_ROWS,
               "a block of scores is one tile and one block of keys");

/* Of the scores of one span with one query. */
typedef struct {
    double sum; /* of exp(scale (s - max)) */
    float max;
} SpanSum;

typedef struct {
    const PdVectorIsa *isa;
    const PdKeyScan *scans;
    int n_scans;
    int bits;
    int head_dim;
    const float *q; /* (n_q, head_dim) */
    int n_q;
    float scale;
    size_t block_bytes; /* of 64 keys */
    SpanSum *sums;      /* (n_spans, n_q); NULL: no scan wants them */
    size_t n_spans;
    atomic_size_t next;
} KeysJob;

static int
n_blocks_of(const PdKeyScan *scan)
{
    return (scan->n_keys + PD_KV_BLOCK_ROWS - 1) / PD_KV_BLOCK_ROWS;
}

static size_t
n_spans_of(const PdKeyScan *scan)
{
    return ((size_t)n_blocks_of(scan) + SPAN_BLOCKS - 1) / SPAN_BLOCKS;
}

static void
add_scores(const KeysJob *job, SpanSum *sum, float *s, size_t n, float block_max)
{
    if (block_max > sum->max) {
        if (sum->sum > 0)
            sum->sum *= exp((double)job->scale * ((double)sum->max - (double)block_max));
        sum->max = block_max;
    }
    sum->sum += (double)job->isa->exp_sum(s, n, job->scale, sum->max);
}

/* Blocks first .. last - 1 of a stream with one tile of queries. */
static void
score_tile(const KeysJob *job, const PdKeyScan *scan, int first, int last, int first_q, int n_q,
           SpanSum *sums, float *scores, float *work)
{
    const uint8_t *keys = pd_cpu_ptr(scan->keys);
    size_t n_blocks = (size_t)n_blocks_of(scan);
    float *out = (float *)pd_cpu_ptr(scan->out) + (size_t)first_q * n_blocks;

    for (int b = first; b < last; b++) {
        int n = scan->n_keys - b * PD_KV_BLOCK_ROWS;
        n = n < PD_KV_BLOCK_ROWS ? n : PD_KV_BLOCK_ROWS;
        job->isa->score_keys(out + b, n_blocks, sums != NULL ? scores : NULL,
                             job->q + (size_t)first_q * (size_t)job->head_dim, n_q, job->bits,
                             job->head_dim, keys + (size_t)b * job->block_bytes, n, work);
        if (sums != NULL)
            for (int i = 0; i < n_q; i++)
                add_scores(job, &sums[i], scores + i * PD_ATTEND_TILE, (size_t)n,
                           out[(size_t)i * n_blocks + (size_t)b]);
    }
}

static void
score_span(const KeysJob *job, const PdKeyScan *scan, size_t span_of_scan, SpanSum *sums,
           float *scores, float *work)
{
    int first = (int)span_of_scan * SPAN_BLOCKS, last = first + SPAN_BLOCKS;

    last = last < n_blocks_of(scan) ? last : n_blocks_of(scan);
    if (sums != NULL)
        for (int i = 0; i < job->n_q; i++)
            sums[i] = (SpanSum){.max = -INFINITY};
    for (int q = 0; q < job->n_q; q += QUERY_TILE) {
        int n_q = job->n_q - q < QUERY_TILE ? job->n_q - q : QUERY_TILE;
        score_tile(job, scan, first, last, q, n_q, sums != NULL ? sums + q : NULL, scores, work);
    }
}

static void
score_spans(void *arg, int thread, int n_threads)
{
    KeysJob *job = arg;
    _Alignas(64) float work[PD_KEYS_WORK_FLOATS];
    _Alignas(64) float scores[QUERY_TILE * PD_ATTEND_TILE];
    const PdKeyScan *scan = job->scans;
    size_t scan_first = 0; /* its first span; spans come in ascending order */

    (void)thread;
    (void)n_threads;
    for (size_t span; (span = atomic_fetch_add(&job->next, 1)) < job->n_spans;) {
        while (span - scan_first >= n_spans_of(scan))
            scan_first += n_spans_of(scan++);
        SpanSum *sums = scan->lse.buffer != NULL ? job->sums + span * (size_t)job->n_q : NULL;
        score_span(job, scan, span - scan_first, sums, scores, work);
    }
}

static float
merge_spans(const KeysJob *job, size_t first_span, size_t n_spans, int i)
{
    const SpanSum *sums = job->sums + first_span * (size_t)job->n_q + i;
    size_t stride = (size_t)job->n_q;
    double max = -INFINITY, sum = 0;

    for (size_t s = 0; s < n_spans; s++)
        max = fmax(max, (double)sums[s * stride].max);
    for (size_t s = 0; s < n_spans; s++)
        sum +=
            sums[s * stride].sum * exp((double)job->scale * ((double)sums[s * stride].max - max));
    return sum == 0 ? -INFINITY : (float)((double)job->scale * max + log(sum));
}

static void
write_lse(const KeysJob *job)
{
    size_t first = 0;

    for (int s = 0; s < job->n_scans; s++) {
        const PdKeyScan *scan = &job->scans[s];
        float *lse = pd_cpu_ptr(scan->lse);
        for (int i = 0; lse != NULL && i < job->n_q; i++)
            lse[i] = merge_spans(job, first, n_spans_of(scan), i);
        first += n_spans_of(scan);
    }
}

int
pd_cpu_score_keys(PdDevice *dev, const PdKeyScan *scans, int n_scans, int bits, int head_dim,
                  PdMem q, int n_q, float scale)
{
    PdCpu *cpu = (PdCpu *)dev;
    KeysJob job = {.isa = cpu->vector,
                   .scans = scans,
                   .n_scans = n_scans,
                   .bits = bits,
                   .head_dim = head_dim,
                   .q = pd_cpu_ptr(q),
                   .n_q = n_q,
                   .scale = scale};
    bool wants_lse = false;

    if (bits != 4 && bits != 8)
        return PD_KERNEL_EUNSUPPORTED;
    assert(head_dim > 0 && head_dim <= PD_KEYS_HEAD_DIM_MAX && head_dim % 32 == 0);
    assert(n_scans >= 0 && n_q >= 0 && scale > 0);
    job.block_bytes = pd_key_block_bytes(bits, head_dim, PD_KV_BLOCK_ROWS);
    for (int s = 0; s < n_scans; s++) {
        assert(scans[s].n_keys >= 0);
        job.n_spans += n_spans_of(&scans[s]);
        wants_lse |= scans[s].lse.buffer != NULL;
    }
    if (wants_lse) {
        job.sums = pd_cpu_scratch(cpu, job.n_spans * (size_t)n_q * sizeof *job.sums);
        if (job.sums == NULL)
            return PD_KERNEL_ENOMEM;
    }
    atomic_init(&job.next, 0);
    pd_pool_run(cpu->pool, score_spans, &job);
    write_lse(&job);
    return PD_KERNEL_OK;
}
