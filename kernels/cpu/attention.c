/*
 * Causal attention: out[i][h] = softmax_j(scale q_ih . k_j,g(h)) v_j,g(h).
 *
 * kv rows are cut into chunks of PD_ATTEND_CHUNK, anchored at row 0.  Each chunk gives a row a
 * partial result (maximum, sum, output) and partial results are merged in ascending order of chunks
 * (log-sum-exp; Milakov and Gimelshein 2018, Dao et al. 2022).  Whether one thread walks through
 * all chunks of a tile of query rows (prefill) or several threads take a chunk each (decode), the
 * arithmetic of a row is the same, so its bits are the same.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include "kernels/cpu/attend.h"

/* Rows (query row, head of the group) that share one widened tile of keys and values. */
#define TILE_ROWS 192
/* Items per thread that make the ragged end of a call short. */
#define ITEMS_PER_THREAD 4
/* Fewer floats are merged before other threads have woken up. */
#define MERGE_FLOATS_MIN 65536
/* More partial results than this are not kept at once. */
#define PARTIAL_BYTES_MAX ((size_t)256 << 20)

typedef struct {
    const PdVectorIsa *isa;
    const PdAttention *a;
    const PdKv *kv;
    const float *q;
    const uint8_t *k;
    const uint8_t *v;
    const float *cos_sin;
    const float *k_bias;
    float *out;
    int group;
    int tile_rows; /* query rows per tile */
    int n_tiles;
    int first_chunk; /* chunks that some row sees */
    int n_chunks;
    float *work;          /* (n_threads, thread_floats) */
    size_t thread_floats; /* kernel work, then two states of a tile */
    size_t kernel_floats;
    float *partial; /* (n_kv_heads, n_tiles, n_chunks, state); NULL: tiles are not split */
    size_t state_floats;
    atomic_int next;
} AttentionJob;

static PdAttendHead
job_head(const AttentionJob *job, int kv_head)
{
    const PdAttention *a = job->a;
    size_t dim = (size_t)job->kv->head_dim;
    size_t row_bytes = pd_row_bytes(job->kv->type, dim);
    size_t at = (size_t)kv_head * (size_t)job->kv->capacity_rows * row_bytes;

    return (PdAttendHead){
        .q = job->q + (size_t)(kv_head * job->group) * dim,
        .q_stride = (size_t)a->n_heads * dim,
        .group = job->group,
        .head_dim = job->kv->head_dim,
        .k = job->k + at,
        .v = job->v + at,
        .row_bytes = row_bytes,
        .type = job->kv->type,
        .scale = a->scale,
        .first_q_row = a->first_q_row,
        .window = a->window,
        .k_bias = job->k_bias ? job->k_bias + (size_t)kv_head * dim : NULL,
        .cos_sin = job->cos_sin,
        .n_rot = job->cos_sin ? a->rope->n_rot : 0,
        .rope_kind = job->cos_sin ? a->rope->kind : PD_ROPE_NEOX,
    };
}

/* A state of a tile, in state_floats floats. */
static PdAttendState
state_at(const AttentionJob *job, float *p)
{
    return pd_attend_state_at(p, (size_t)(job->tile_rows * job->group));
}

/* acc (+)= part, one row of dim values. */
static void
merge_row(float *acc_o, float *acc_max2, float *acc_sum, const float *o, float max2, float sum,
          int dim)
{
    if (sum == 0 && max2 == -INFINITY)
        return;
    if (*acc_sum == 0 && *acc_max2 == -INFINITY) {
        memcpy(acc_o, o, (size_t)dim * sizeof(float));
        *acc_max2 = max2;
        *acc_sum = sum;
        return;
    }
    float max = *acc_max2 > max2 ? *acc_max2 : max2;
    float a = exp2f(*acc_max2 - max);
    float b = exp2f(max2 - max);
    for (int d = 0; d < dim; d++)
        acc_o[d] = acc_o[d] * a + o[d] * b;
    *acc_sum = *acc_sum * a + sum * b;
    *acc_max2 = max;
}

void
pd_attend_merge(const PdAttendState *acc, const PdAttendState *part, int n_rows, int dim)
{
    for (int m = 0; m < n_rows; m++) {
        size_t at = (size_t)m * (size_t)dim;
        merge_row(acc->o + at, &acc->max2[m], &acc->sum[m], part->o + at, part->max2[m],
                  part->sum[m], dim);
    }
}

void
pd_attend_clear(const PdAttendState *acc, int n_rows)
{
    for (int m = 0; m < n_rows; m++) {
        acc->max2[m] = -INFINITY;
        acc->sum[m] = 0;
    }
}

void
pd_attend_finish(const PdAttendState *acc, int n_q, int group, int n_heads, int dim, float *out)
{
    for (int i = 0; i < n_q; i++)
        for (int g = 0; g < group; g++) {
            size_t m = (size_t)(i * group + g);
            float *row = out + (size_t)(i * n_heads + g) * (size_t)dim;
            const float *o = acc->o + m * (size_t)dim;
            if (acc->sum[m] == 0 && acc->max2[m] == -INFINITY) {
                memset(row, 0, (size_t)dim * sizeof(float));
                continue;
            }
            float inv = 1.0f / acc->sum[m];
            for (int d = 0; d < dim; d++)
                row[d] = o[d] * inv;
        }
}

static int
tile_size(const AttentionJob *job, int tile)
{
    int left = job->a->n_q - tile * job->tile_rows;
    return left < job->tile_rows ? left : job->tile_rows;
}

/* out = o / sum for the query rows of one tile and kv head. */
static void
finish_tile(const AttentionJob *job, int kv_head, int tile, const PdAttendState *acc)
{
    size_t row =
        (size_t)(tile * job->tile_rows) * (size_t)job->a->n_heads + (size_t)(kv_head * job->group);

    pd_attend_finish(acc, tile_size(job, tile), job->group, job->a->n_heads, job->kv->head_dim,
                     job->out + row * (size_t)job->kv->head_dim);
}

/* The part of a chunk that some row of the tile sees; false: none. */
static bool
chunk_rows(const AttentionJob *job, const PdAttendHead *head, int tile, int chunk, int *first,
           int *last)
{
    int lo, hi, unused;
    int first_q = tile * job->tile_rows;

    pd_attend_range(head, first_q, &lo, &unused);
    pd_attend_range(head, first_q + tile_size(job, tile) - 1, &unused, &hi);
    *first = chunk * PD_ATTEND_CHUNK;
    *last = *first + PD_ATTEND_CHUNK < hi ? *first + PD_ATTEND_CHUNK : hi;
    if (lo > *first)
        *first = lo / PD_ATTEND_TILE * PD_ATTEND_TILE;
    return *first < *last;
}

/* Whole tiles, the longest first, so that the last ones to finish are short. */
static void
attend_tiles(void *arg, int thread, int n_threads)
{
    AttentionJob *job = arg;
    float *work = job->work + (size_t)thread * job->thread_floats;
    PdAttendState part = state_at(job, work + job->kernel_floats);
    PdAttendState acc = state_at(job, work + job->kernel_floats + job->state_floats);
    int n_items = job->n_tiles * job->kv->n_kv_heads;

    (void)n_threads;
    for (int item; (item = atomic_fetch_add(&job->next, 1)) < n_items;) {
        int tile = job->n_tiles - 1 - item / job->kv->n_kv_heads;
        int kv_head = item % job->kv->n_kv_heads;
        int n_q = tile_size(job, tile);
        int n_rows = n_q * job->group;
        PdAttendHead head = job_head(job, kv_head);
        pd_attend_clear(&acc, n_rows);
        for (int c = 0; c < job->n_chunks; c++) {
            int first, last;
            if (!chunk_rows(job, &head, tile, job->first_chunk + c, &first, &last))
                continue;
            job->isa->attend(&head, tile * job->tile_rows, n_q, first, last, work, &part);
            pd_attend_merge(&acc, &part, n_rows, head.head_dim);
        }
        finish_tile(job, kv_head, tile, &acc);
    }
}

static float *
partial_at(const AttentionJob *job, int kv_head, int tile, int c)
{
    size_t at = ((size_t)kv_head * (size_t)job->n_tiles + (size_t)tile) * (size_t)job->n_chunks;
    return job->partial + (at + (size_t)c) * job->state_floats;
}

/* One chunk of one tile an item. */
static void
attend_chunks(void *arg, int thread, int n_threads)
{
    AttentionJob *job = arg;
    float *work = job->work + (size_t)thread * job->thread_floats;
    int n_items = job->n_tiles * job->kv->n_kv_heads * job->n_chunks;

    (void)n_threads;
    for (int item; (item = atomic_fetch_add(&job->next, 1)) < n_items;) {
        int c = item % job->n_chunks;
        int tile = item / job->n_chunks % job->n_tiles;
        int kv_head = item / job->n_chunks / job->n_tiles;
        int first, last;
        PdAttendHead head = job_head(job, kv_head);
        PdAttendState part = state_at(job, partial_at(job, kv_head, tile, c));
        if (chunk_rows(job, &head, tile, job->first_chunk + c, &first, &last))
            job->isa->attend(&head, tile * job->tile_rows, tile_size(job, tile), first, last, work,
                             &part);
        else
            pd_attend_clear(&part, tile_size(job, tile) * job->group);
    }
}

static void
merge_chunks(void *arg, int thread, int n_threads)
{
    AttentionJob *job = arg;
    int first, last;

    pd_share(job->n_tiles * job->kv->n_kv_heads, 1, thread, n_threads, &first, &last);
    for (int item = first; item < last; item++) {
        int tile = item % job->n_tiles;
        int kv_head = item / job->n_tiles;
        PdAttendState acc = state_at(job, partial_at(job, kv_head, tile, 0));
        for (int c = 1; c < job->n_chunks; c++) {
            PdAttendState part = state_at(job, partial_at(job, kv_head, tile, c));
            pd_attend_merge(&acc, &part, tile_size(job, tile) * job->group, job->kv->head_dim);
        }
        finish_tile(job, kv_head, tile, &acc);
    }
}

/* Tile sizes and scratch; tells whether tiles are split into chunks. */
static int
plan(AttentionJob *job, PdCpu *cpu)
{
    const PdAttention *a = job->a;
    int dim = job->kv->head_dim;
    int n_threads = pd_pool_n_threads(cpu->pool);
    int rows = dim <= 128 ? TILE_ROWS : TILE_ROWS / 2;
    int first_seen =
        a->window > 0 && a->first_q_row >= a->window ? a->first_q_row - a->window + 1 : 0;

    job->group = a->n_heads / job->kv->n_kv_heads;
    job->tile_rows = rows / job->group > 0 ? rows / job->group : 1;
    if (job->tile_rows > a->n_q)
        job->tile_rows = a->n_q;
    job->n_tiles = (a->n_q + job->tile_rows - 1) / job->tile_rows;
    job->first_chunk = first_seen / PD_ATTEND_CHUNK;
    job->n_chunks = (a->first_q_row + a->n_q - 1) / PD_ATTEND_CHUNK + 1 - job->first_chunk;

    int n_rows = job->tile_rows * job->group;
    job->kernel_floats = pd_pad16(pd_attend_work_floats(dim, n_rows));
    job->state_floats = pd_attend_state_floats((size_t)n_rows, (size_t)dim);
    job->thread_floats = job->kernel_floats + 2 * job->state_floats;

    size_t n_tiles = (size_t)job->n_tiles * (size_t)job->kv->n_kv_heads;
    size_t partial_floats = n_tiles * (size_t)job->n_chunks * job->state_floats;
    bool split = n_threads > 1 && job->n_chunks > 1 &&
                 n_tiles < (size_t)(ITEMS_PER_THREAD * n_threads) &&
                 partial_floats * sizeof(float) <= PARTIAL_BYTES_MAX;
    size_t work_floats = job->thread_floats * (size_t)n_threads;
    job->work = pd_cpu_scratch(cpu, (work_floats + (split ? partial_floats : 0)) * sizeof(float));
    if (!job->work)
        return PD_KERNEL_ENOMEM;
    job->partial = split ? job->work + work_floats : NULL;
    return PD_KERNEL_OK;
}

int
pd_cpu_attention(PdDevice *dev, const PdKv *kv, const PdAttention *a)
{
    PdCpu *cpu = (PdCpu *)dev;
    bool bare_keys = pd_kv_is_bare(kv);
    AttentionJob job = {
        .isa = cpu->vector,
        .a = a,
        .kv = kv,
        .q = pd_cpu_ptr(a->q),
        .k = pd_cpu_ptr(kv->k),
        .v = pd_cpu_ptr(kv->v),
        .out = pd_cpu_ptr(a->out),
    };

    assert(kv->type == PD_F32 || kv->type == PD_F16 || kv->type == PD_Q8_0);
    assert(a->n_heads % kv->n_kv_heads == 0);
    assert(a->first_q_row >= 0 && a->first_q_row + a->n_q <= a->kv_rows);
    assert(a->kv_rows <= kv->capacity_rows);
    if (a->n_q <= 0)
        return PD_KERNEL_OK;
    if (bare_keys && a->rope) {
        assert(a->position0 >= 0 && a->position0 + a->first_q_row + a->n_q <= a->rope->n_positions);
        job.cos_sin = (const float *)pd_cpu_ptr(a->rope->table) +
                      (size_t)a->position0 * (size_t)a->rope->n_rot;
    }
    if (bare_keys && a->k_bias.mem.buffer)
        job.k_bias = pd_cpu_ptr(a->k_bias.mem);

    int status = plan(&job, cpu);
    if (status != PD_KERNEL_OK)
        return status;
    atomic_init(&job.next, 0);
    if (job.partial) {
        pd_pool_run(cpu->pool, attend_chunks, &job);
        if ((size_t)(job.n_tiles * kv->n_kv_heads * job.n_chunks) * job.state_floats >=
            MERGE_FLOATS_MIN)
            pd_pool_run(cpu->pool, merge_chunks, &job);
        else
            merge_chunks(&job, 0, 1);
    } else {
        pd_pool_run(cpu->pool, attend_tiles, &job);
    }
    return PD_KERNEL_OK;
}

/* --- the weights themselves --- */

#define WEIGHTS_HEADS 16 /* heads whose scores are held at once */

typedef struct {
    const PdVectorIsa *isa;
    const PdKv *kv;
    const uint8_t *k;
    const float *q; /* (n_heads, head_dim) */
    float *out;     /* (n_heads, kv_rows) */
    int n_heads;
    int kv_rows;
    float scale;
} WeightsJob;

/* The heads of a group share a widened tile of keys. */
static void
weights_tile(const WeightsJob *job, int kv_head, int j, int n, float *tile, float *work)
{
    size_t dim = (size_t)job->kv->head_dim;
    size_t row_bytes = pd_row_bytes(job->kv->type, dim);
    size_t row = (size_t)kv_head * (size_t)job->kv->capacity_rows + (size_t)j;
    int group = job->n_heads / job->kv->n_kv_heads;

    for (int first = 0; first < group; first += WEIGHTS_HEADS) {
        int h = kv_head * group + first;
        int n_heads = group - first < WEIGHTS_HEADS ? group - first : WEIGHTS_HEADS;
        job->isa->scores(tile, job->q + (size_t)h * dim, n_heads, job->kv->head_dim, job->kv->type,
                         job->k + row * row_bytes, row_bytes, n, work);
        for (int i = 0; i < n_heads; i++)
            memcpy(job->out + (size_t)(h + i) * (size_t)job->kv_rows + (size_t)j,
                   tile + (size_t)i * PD_ATTEND_TILE, (size_t)n * sizeof(float));
    }
}

static void
weights_scores(void *arg, int thread, int n_threads)
{
    const WeightsJob *job = arg;
    _Alignas(64) float work[(PD_ATTEND_TILE + 16) * PD_HEAD_DIM_MAX];
    float tile[WEIGHTS_HEADS * PD_ATTEND_TILE];
    int first, last;

    pd_share(job->kv_rows, PD_ATTEND_TILE, thread, n_threads, &first, &last);
    for (int j = first; j < last; j += PD_ATTEND_TILE)
        for (int g = 0; g < job->kv->n_kv_heads; g++)
            weights_tile(job, g, j, last - j < PD_ATTEND_TILE ? last - j : PD_ATTEND_TILE, tile,
                         work);
}

static void
weights_softmax(void *arg, int thread, int n_threads)
{
    const WeightsJob *job = arg;
    int first, last;

    pd_share(job->n_heads, 1, thread, n_threads, &first, &last);
    for (int h = first; h < last; h++) {
        float *row = job->out + (size_t)h * (size_t)job->kv_rows;
        float max = job->isa->max(row, (size_t)job->kv_rows);
        float inv = 1.0f / job->isa->exp_sum(row, (size_t)job->kv_rows, job->scale, max);
        for (int j = 0; j < job->kv_rows; j++)
            row[j] *= inv;
    }
}

void
pd_cpu_attention_weights(PdDevice *dev, PdMem out, const PdKv *kv, PdMem q, int n_heads,
                         int kv_rows, float scale)
{
    PdCpu *cpu = (PdCpu *)dev;
    WeightsJob job = {cpu->vector,     kv,      pd_cpu_ptr(kv->k), pd_cpu_ptr(q),
                      pd_cpu_ptr(out), n_heads, kv_rows,           scale};

    assert((kv->type == PD_F16 || kv->type == PD_F32) && n_heads % kv->n_kv_heads == 0);
    assert(kv->head_dim <= PD_HEAD_DIM_MAX && kv_rows > 0 && kv_rows <= kv->capacity_rows);
    assert(scale > 0);
    pd_pool_run(cpu->pool, weights_scores, &job);
    pd_pool_run(cpu->pool, weights_softmax, &job);
}
