/*
 * An indexer's scores over its keys, and the entries that it chooses:
 *
 *   scores[i][w] = sum_h weights[i][h] max(0, q[i][h] . keys[w])
 *   picks[i]     = the top_k largest, ties to the lower index, ascending
 *
 * Keys are scored by spans of a row; every score is made from its own query and key alone, and the
 * choice follows from the scores alone, so that neither depends on threads or on how many rows
 * share a call.  The choice goes through a heap of the best so far, whose root is the worst of
 * them: scores that do not beat it, nearly all of a long row, are passed over vector by vector.
 *
 * Every key is scored, so that a token's choice takes time in proportion to the keys.  Bounds of
 * whole blocks, which would keep the choice as it is, pass nothing over: in 128 dimensions the
 * bound of 8 neighbours is above the last chosen score of 512 even where 95 % of what they are is
 * common to them (tests/bench/index_bounds.py).
 */
#include "kernels/cpu/index.h"
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/cpu/vector.h"
#include "kernels/low_float.h"

enum {
    SPAN_KEYS = 1024,
    TILE_HEADS = 64,
    /* Fewer products than this are made before other threads have woken up. */
    PRODUCTS_MIN = 262144,
};

typedef struct {
    const PdVectorIsa *isa;
    const PdIndexScan *scan;
    const uint8_t *keys;
    const uint8_t *q;
    size_t key_bytes; /* of a query's head too */
    const float *weights;
    float *scores;
    int32_t *picks;
    uint8_t *room; /* (n_q, query_bytes): queries as PdIndexQuery; FP4 */
    size_t query_bytes;
    int n_spans; /* of the longest row */
    atomic_int next;
} IndexJob;

/* --- queries of 4 bits --- */

static size_t
place(uint8_t *base, size_t *at, size_t n_bytes, void *pointer)
{
    uint8_t *here = base != NULL ? base + *at : NULL;
    memcpy(pointer, &here, sizeof here);
    return *at += (n_bytes + 63) / 64 * 64;
}

/* Where the parts of a query lie from base on; returns their bytes. */
static size_t
place_query(const PdIndexScan *scan, uint8_t *base, PdIndexQuery *q)
{
    size_t at = 0;
    q->dim = scan->dim;
    q->n_blocks = (scan->dim + PD_FP4_BLOCK - 1) / PD_FP4_BLOCK;
    q->n_heads = (scan->n_heads + PD_INDEX_HEADS - 1) / PD_INDEX_HEADS * PD_INDEX_HEADS;
    size_t n = (size_t)q->n_blocks * (size_t)q->n_heads;
    place(base, &at, n * PD_FP4_BLOCK, &q->codes);
    place(base, &at, n * sizeof *q->starts, &q->starts);
    place(base, &at, n * sizeof *q->scales, &q->scales);
    place(base, &at, (size_t)q->n_heads * sizeof *q->weights, &q->weights);
    place(base, &at, sizeof *q->folds, &q->folds);
    place(base, &at, n * PD_FP4_BLOCK, &q->folded);
    place(base, &at, (size_t)q->n_heads * sizeof *q->folded_starts, &q->folded_starts);
    place(base, &at, (size_t)q->n_heads * sizeof *q->folded_weights, &q->folded_weights);
    place(base, &at, 2 * n * sizeof *q->half_starts, &q->half_starts);
    return place(base, &at, 2 * n * sizeof *q->half_factors, &q->half_factors);
}

/* One head's row of codes and scales. */
static void
lay_out_head(const PdIndexQuery *q, int h, const uint8_t *row)
{
    static const int8_t twice[16] = {PD_INDEX_TWICE};
    const uint8_t *scales = row + (q->dim + 1) / 2;
    size_t n_heads = (size_t)q->n_heads;
    for (int b = 0; b < q->n_blocks; b++) {
        size_t at = (size_t)b * n_heads + (size_t)h;
        int n_bytes = (q->dim - b * PD_FP4_BLOCK + 1) / 2, sum = 0;
        for (int i = 0; i < PD_FP4_BLOCK / 2; i++) {
            uint8_t both = i < n_bytes ? row[b * PD_FP4_BLOCK / 2 + i] : 0;
            size_t word = (size_t)(b * PD_INDEX_WORDS + i / 4);
            int8_t *codes = q->codes + (word * n_heads + (size_t)h) * 4 + i % 4;
            codes[0] = twice[both & 15];
            codes[PD_INDEX_WORDS / 2 * n_heads * 4] = twice[both >> 4];
            sum += twice[both & 15] + twice[both >> 4];
        }
        q->starts[at] = -PD_INDEX_SHIFT * sum;
        q->scales[at] = pd_e8m0_value(scales[b]) / 4;
    }
}

/* Whether what is made with the weight stays in the range of floats and loses nothing at its lower
 * end, with the scales inside as without them. */
static bool
weight_folds(float weight)
{
    float size = fabsf(weight);
    return weight == 0 || (size >= 0x1p-60f && size <= 0x1p30f);
}

/* One laid out head with its scales folded. */
static void
fold_head(const PdIndexQuery *q, int h, const uint8_t *scales)
{
    int least = pd_index_fold(scales, q->n_blocks), sum = 0;
    size_t n_heads = (size_t)q->n_heads;
    if (least == 0 || !weight_folds(q->weights[h])) {
        *q->folds = 0;
        return;
    }
    for (int w = 0; w < q->n_blocks * PD_INDEX_WORDS; w++) {
        size_t at = ((size_t)w * n_heads + (size_t)h) * 4, b = (size_t)w / PD_INDEX_WORDS;
        int factor = 1 << (scales[b] - least);
        for (size_t i = 0; i < 4; i++) {
            size_t half = 2 * (b * n_heads + (size_t)h) + i / 2;
            int code = q->codes[at + i];
            q->folded[at + i] = (int8_t)(factor * code);
            sum += q->folded[at + i];
            q->half_starts[half] = (int16_t)(q->half_starts[half] - PD_INDEX_FOLD_SHIFT * code);
            q->half_factors[half] = (int16_t)factor;
        }
    }
    q->folded_starts[h] = -PD_INDEX_FOLD_SHIFT * sum;
    q->folded_weights[h] = q->weights[h] * (pd_e8m0_value((uint8_t)least) / 4);
}

static void
lay_out_queries(void *arg, int thread, int n_threads)
{
    const IndexJob *job = arg;
    const PdIndexScan *scan = job->scan;
    size_t n_heads = (size_t)scan->n_heads;
    int first, last;
    pd_share(scan->n_q, 1, thread, n_threads, &first, &last);
    for (size_t i = (size_t)first; i < (size_t)last; i++) {
        uint8_t *base = job->room + i * job->query_bytes;
        PdIndexQuery q;
        place_query(scan, base, &q);
        memset(base, 0, job->query_bytes);
        memcpy(q.weights, job->weights + i * n_heads, n_heads * sizeof(float));
        *q.folds = 1;
        for (int h = 0; h < scan->n_heads; h++) {
            const uint8_t *row = job->q + (i * n_heads + (size_t)h) * job->key_bytes;
            lay_out_head(&q, h, row);
            fold_head(&q, h, row + (q.dim + 1) / 2);
        }
    }
}

void
pd_index_scores_reference(float *scores, const PdIndexQuery *q, const uint8_t *keys,
                          size_t key_bytes, int n_keys)
{
    static const int8_t twice[16] = {PD_INDEX_TWICE};
    size_t n_heads = (size_t)q->n_heads;
    for (int j = 0; j < n_keys; j++) {
        const uint8_t *key = keys + (size_t)j * key_bytes, *scales = key + (q->dim + 1) / 2;
        float lanes[PD_INDEX_LANES] = {0};
        for (size_t h = 0; h < n_heads; h++) {
            float dot = 0;
            for (int b = 0; b < q->n_blocks; b++) {
                int sum = 0;
                for (int i = 0; i < PD_FP4_BLOCK && b * PD_FP4_BLOCK + i < q->dim; i++) {
                    int both = key[b * PD_FP4_BLOCK / 2 + i / 2];
                    int word = b * PD_INDEX_WORDS + i % 2 * PD_INDEX_WORDS / 2 + i / 8;
                    sum += twice[i % 2 == 0 ? both & 15 : both >> 4] *
                           q->codes[((size_t)word * n_heads + h) * 4 + (size_t)(i / 2 % 4)];
                }
                dot = fmaf((float)sum * q->scales[(size_t)b * n_heads + h],
                           pd_e8m0_value(scales[b]), dot);
            }
            float *lane = &lanes[h % PD_INDEX_LANES];
            *lane = fmaf(q->weights[h], dot > 0 ? dot : 0, *lane);
        }
        for (int n = PD_INDEX_LANES / 2; n > 0; n /= 2)
            for (int l = 0; l < n; l++)
                lanes[l] += lanes[l + n];
        scores[j] = lanes[0];
    }
}

/* --- scores --- */

/* Row i against one tile of n float keys. */
static void
score_tile(const IndexJob *job, int i, const uint8_t *keys, int n, float *scores)
{
    _Alignas(64) float work[(PD_ATTEND_TILE + 16) * PD_INDEX_DIM_MAX];
    _Alignas(64) float tile[TILE_HEADS * PD_ATTEND_TILE];
    _Alignas(64) float sums[PD_ATTEND_TILE] = {0};
    int n_heads = job->scan->n_heads;
    size_t row = (size_t)i * (size_t)n_heads;
    for (int h = 0; h < n_heads; h += TILE_HEADS) {
        int some = n_heads - h < TILE_HEADS ? n_heads - h : TILE_HEADS;
        const uint8_t *q = job->q + (row + (size_t)h) * job->key_bytes;
        job->isa->scores(tile, (const float *)(const void *)q, some, job->scan->dim, PD_F32, keys,
                         job->key_bytes, n, work);
        job->isa->relu_sum(sums, tile, job->weights + row + h, some);
    }
    memcpy(scores, sums, (size_t)n * sizeof *scores);
}

/* Whether a row gets all entries that it has, so that nothing need be known of them. */
static bool
takes_all(const IndexJob *job, int i)
{
    return job->scan->n_keys[i] <= job->scan->top_k && !job->scan->all_scores;
}

static void
score_span(const IndexJob *job, int i, int first)
{
    const PdIndexScan *scan = job->scan;
    int last = first + SPAN_KEYS < scan->n_keys[i] ? first + SPAN_KEYS : scan->n_keys[i];
    float *scores = job->scores + (size_t)i * (size_t)scan->scores_stride;
    const uint8_t *keys = job->keys + (size_t)first * job->key_bytes;
    if (takes_all(job, i) || first >= last)
        return;
    if (scan->kind == PD_ROW_FP4) {
        PdIndexQuery q;
        place_query(scan, job->room + (size_t)i * job->query_bytes, &q);
        job->isa->index_scores(scores + first, &q, keys, job->key_bytes, last - first);
        return;
    }
    for (int at = first; at < last; at += PD_ATTEND_TILE, keys += PD_ATTEND_TILE * job->key_bytes)
        score_tile(job, i, keys, last - at < PD_ATTEND_TILE ? last - at : PD_ATTEND_TILE,
                   scores + at);
}

static void
score_spans(void *arg, int thread, int n_threads)
{
    IndexJob *job = arg;
    int n_items = job->scan->n_q * job->n_spans;
    (void)thread;
    (void)n_threads;
    for (int item; (item = atomic_fetch_add(&job->next, 1)) < n_items;)
        score_span(job, item / job->n_spans, item % job->n_spans * SPAN_KEYS);
}

/* --- the choice --- */

/* Whether entry i comes after j. */
static bool
is_worse(const float *scores, int32_t i, int32_t j)
{
    return scores[i] < scores[j] || (scores[i] == scores[j] && i > j);
}

/* Restores the heap whose root is the worst, below `at`. */
static void
sift_down(const float *scores, int32_t *heap, int n, int at)
{
    int32_t moved = heap[at];
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_worse(scores, heap[child + 1], heap[child]))
            child++;
        if (!is_worse(scores, heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static int
compare_picks(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void
choose(const IndexJob *job, int i)
{
    const float *scores = job->scores + (size_t)i * (size_t)job->scan->scores_stride;
    int32_t *heap = job->picks + (size_t)i * (size_t)job->scan->top_k;
    int n = job->scan->n_keys[i], k = n < job->scan->top_k ? n : job->scan->top_k;
    for (int w = 0; w < k; w++)
        heap[w] = w;
    if (n <= k)
        return;
    for (int at = k / 2 - 1; at >= 0; at--)
        sift_down(scores, heap, k, at);
    /* An equal score does not beat the root: it comes later. */
    for (size_t w = (size_t)k, end = (size_t)n;
         (w = job->isa->next_above(scores, w, end, scores[heap[0]])) < end; w++) {
        heap[0] = (int32_t)w;
        sift_down(scores, heap, k, 0);
    }
    qsort(heap, (size_t)k, sizeof *heap, compare_picks);
}

static void
choose_rows(void *arg, int thread, int n_threads)
{
    IndexJob *job = arg;
    (void)thread;
    (void)n_threads;
    for (int i; (i = atomic_fetch_add(&job->next, 1)) < job->scan->n_q;)
        choose(job, i);
}

/* --- the operation --- */

static void
run(PdCpu *cpu, IndexJob *job, PdTask task, bool alone)
{
    atomic_store(&job->next, 0);
    if (alone)
        task(job, 0, 1);
    else
        pd_pool_run(cpu->pool, task, job);
}

/* Counts the spans and, in products of a query and a key, the work. */
static int64_t
count_work(IndexJob *job)
{
    const PdIndexScan *scan = job->scan;
    int64_t n_scored = 0;
    int most = 0;
    for (int i = 0; i < scan->n_q; i++) {
        assert(scan->n_keys[i] >= 0 && scan->n_keys[i] <= scan->scores_stride);
        most = scan->n_keys[i] > most ? scan->n_keys[i] : most;
        n_scored += takes_all(job, i) ? 0 : scan->n_keys[i];
    }
    job->n_spans = (most + SPAN_KEYS - 1) / SPAN_KEYS;
    return n_scored * scan->n_heads * scan->dim;
}

int
pd_cpu_index_select(PdDevice *dev, const PdIndexScan *scan)
{
    PdCpu *cpu = (PdCpu *)dev;
    PdRowFormat format = {scan->kind, scan->dim, 0};
    PdIndexQuery unused;
    IndexJob job = {
        .isa = cpu->vector,
        .scan = scan,
        .keys = pd_cpu_ptr(scan->keys),
        .q = pd_cpu_ptr(scan->q),
        .key_bytes = pd_row_format_bytes(&format),
        .weights = pd_cpu_ptr(scan->weights),
        .scores = pd_cpu_ptr(scan->scores),
        .picks = pd_cpu_ptr(scan->picks),
    };
    if (scan->kind != PD_ROW_F32 && scan->kind != PD_ROW_FP4)
        return PD_KERNEL_EUNSUPPORTED;
    assert(scan->dim > 0 && scan->dim <= PD_INDEX_DIM_MAX && scan->n_heads > 0);
    assert(scan->top_k > 0 && scan->n_q >= 0);
    int64_t n_products = count_work(&job);
    bool alone = n_products < PRODUCTS_MIN;
    if (n_products > 0 && scan->kind == PD_ROW_FP4) {
        job.query_bytes = place_query(scan, NULL, &unused);
        job.room = pd_cpu_scratch(cpu, (size_t)scan->n_q * job.query_bytes);
        if (job.room == NULL)
            return PD_KERNEL_ENOMEM;
        run(cpu, &job, lay_out_queries, alone || scan->n_q == 1);
    }
    if (n_products > 0)
        run(cpu, &job, score_spans, alone);
    run(cpu, &job, choose_rows, alone || scan->n_q == 1);
    return PD_KERNEL_OK;
}
