/*
 * Attention over rows that are key and value at once and that all heads share, some of them named
 * by a list:
 *
 *   out[i][h] = sum_j exp(s_j) r_j / (exp(sinks[h]) + sum_j exp(s_j)),   s_j = scale q_ih . r_j
 *
 * The rows that query row i sees, its window's and then its entries, are cut into chunks whose size
 * follows from their number alone.  A chunk is gathered as floats, where it does not lie so
 * already, and gives all heads of the row a partial result; these are merged in ascending order,
 * then with the sink.  Whether a thread takes all chunks of a row (prefill) or one (decode), the
 * arithmetic of a row is the same, so its bits are the same.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include "kernels/cpu/attend.h"

enum {
    CHUNK_TILES_MAX = 4,
    CHUNKS_WANTED = 8, /* of a row whose chunks are not yet at their largest */
    ROWS_PER_THREAD = 2,
    /* Fewer products than this are made before other threads have woken up. */
    PRODUCTS_MIN = 262144,
};

/* More partial results than this are not kept at once. */
#define PARTIAL_BYTES_MAX ((size_t)256 << 20)

typedef struct {
    const PdVectorIsa *isa;
    const PdSharedAttention *a;
    const float *q;
    float *out;
    const float *sinks;
    const uint8_t *window;
    const uint8_t *entries;
    const int32_t *picks; /* NULL: the first entries */
    size_t row_bytes;
    size_t dim;
    float *work;          /* (n_threads, thread_floats) */
    size_t thread_floats; /* a gathered chunk, kernel work, two states */
    size_t kernel_floats;
    size_t state_floats;
    float *partial; /* (n_q, n_chunks, state_floats); NULL: rows are not split */
    int n_chunks;   /* of the row that sees most */
    bool alone;     /* too little for more than one thread */
    atomic_int next;
} SharedJob;

/* --- the rows that a query row sees --- */

static int
n_window_rows(const SharedJob *job, int i)
{
    int have = i + job->a->n_before + 1;
    return have < job->a->n_window ? have : job->a->n_window;
}

static int
n_rows_of(const SharedJob *job, int i)
{
    return n_window_rows(job, i) + job->a->n_entries[i];
}

static int
chunk_rows(int n_rows)
{
    int tiles = n_rows / (PD_ATTEND_TILE * CHUNKS_WANTED);
    tiles = tiles < 1 ? 1 : tiles > CHUNK_TILES_MAX ? CHUNK_TILES_MAX : tiles;
    return tiles * PD_ATTEND_TILE;
}

static int
n_chunks_of(const SharedJob *job, int i)
{
    int n = n_rows_of(job, i), rows = chunk_rows(n);
    return (n + rows - 1) / rows;
}

static const uint8_t *
row_at(const SharedJob *job, int i, int j)
{
    int n_window = n_window_rows(job, i);
    if (j < n_window) {
        int first = i + job->a->n_before + 1 - n_window;
        return job->window + (size_t)(first + j) * job->row_bytes;
    }
    j -= n_window;
    if (job->picks != NULL)
        j = job->picks[(size_t)i * (size_t)job->a->picks_stride + (size_t)j];
    return job->entries + (size_t)j * job->row_bytes;
}

/* Rows first .. last - 1 as floats: where they lie, or in `room`. */
static const float *
gather(const SharedJob *job, int i, int first, int last, float *room)
{
    int n_window = n_window_rows(job, i);
    bool adjacent = last <= n_window || (first >= n_window && job->picks == NULL);
    if (job->a->format.kind == PD_ROW_F32 && adjacent)
        return (const float *)(const void *)row_at(job, i, first);
    for (int j = first; j < last; j++)
        job->isa->unpack_row(&job->a->format, row_at(job, i, j),
                             room + (size_t)(j - first) * job->dim);
    return room;
}

/* --- partial results --- */

static PdAttendState
state_at(const SharedJob *job, float *memory)
{
    return pd_attend_state_at(memory, (size_t)job->a->n_heads);
}

static void
attend_chunk(const SharedJob *job, int i, int chunk, float *work, const PdAttendState *state)
{
    int n = n_rows_of(job, i), rows = chunk_rows(n), first = chunk * rows;
    int last = first + rows < n ? first + rows : n;
    float *room = work + job->kernel_floats;
    size_t stride = (size_t)job->a->n_heads * job->dim;
    const uint8_t *keys = (const uint8_t *)gather(job, i, first, last, room);
    PdAttendHead head = {
        .q = job->q + (size_t)i * stride,
        .q_stride = stride,
        .group = job->a->n_heads,
        .head_dim = (int)job->dim,
        .k = keys,
        .v = keys,
        .row_bytes = job->dim * sizeof(float),
        .type = PD_F32,
        .scale = job->a->scale,
        .first_q_row = last - first - 1, /* sees all of them */
    };
    job->isa->attend(&head, 0, 1, 0, last - first, work, state);
}

/* The output of one head from its merged state and its sink. */
static void
finish_head(const SharedJob *job, int i, int h, const PdAttendState *acc)
{
    float *out = job->out + ((size_t)i * (size_t)job->a->n_heads + (size_t)h) * job->dim;
    float sink2 = job->sinks[h] * (float)M_LOG2E, max2 = acc->max2[h];
    float max = max2 > sink2 ? max2 : sink2, keep = exp2f(max2 - max);
    float factor = keep / (acc->sum[h] * keep + exp2f(sink2 - max));
    const float *o = acc->o + (size_t)h * job->dim;
    for (size_t d = 0; d < job->dim; d++)
        out[d] = o[d] * factor;
}

/* --- whole rows --- */

static void
attend_whole_rows(void *arg, int thread, int n_threads)
{
    SharedJob *job = arg;
    float *work = job->work + (size_t)thread * job->thread_floats;
    float *states = work + job->thread_floats - 2 * job->state_floats;
    PdAttendState part = state_at(job, states), acc = state_at(job, states + job->state_floats);
    (void)n_threads;
    for (int i; (i = atomic_fetch_add(&job->next, 1)) < job->a->n_q;) {
        pd_attend_clear(&acc, job->a->n_heads);
        for (int c = 0; c < n_chunks_of(job, i); c++) {
            attend_chunk(job, i, c, work, &part);
            pd_attend_merge(&acc, &part, job->a->n_heads, (int)job->dim);
        }
        for (int h = 0; h < job->a->n_heads; h++)
            finish_head(job, i, h, &acc);
    }
}

/* --- split rows --- */

static PdAttendState
partial_at(const SharedJob *job, int i, int chunk)
{
    size_t at = (size_t)i * (size_t)job->n_chunks + (size_t)chunk;
    return state_at(job, job->partial + at * job->state_floats);
}

static void
attend_chunks(void *arg, int thread, int n_threads)
{
    SharedJob *job = arg;
    float *work = job->work + (size_t)thread * job->thread_floats;
    int n_items = job->a->n_q * job->n_chunks;
    (void)n_threads;
    for (int item; (item = atomic_fetch_add(&job->next, 1)) < n_items;) {
        int i = item / job->n_chunks, chunk = item % job->n_chunks;
        PdAttendState state = partial_at(job, i, chunk);
        if (chunk < n_chunks_of(job, i))
            attend_chunk(job, i, chunk, work, &state);
    }
}

static PdAttendState
head_of(const PdAttendState *state, int h, size_t dim)
{
    return (PdAttendState){state->o + (size_t)h * dim, state->max2 + h, state->sum + h};
}

static void
merge_chunks(void *arg, int thread, int n_threads)
{
    SharedJob *job = arg;
    int n_heads = job->a->n_heads, first, last;
    pd_share(job->a->n_q * n_heads, 1, thread, n_threads, &first, &last);
    for (int item = first; item < last; item++) {
        int i = item / n_heads, h = item % n_heads;
        PdAttendState whole = partial_at(job, i, 0), acc = head_of(&whole, h, job->dim);
        for (int c = 1; c < n_chunks_of(job, i); c++) {
            PdAttendState other = partial_at(job, i, c), part = head_of(&other, h, job->dim);
            pd_attend_merge(&acc, &part, 1, (int)job->dim);
        }
        finish_head(job, i, h, &whole);
    }
}

/* --- the operation --- */

/* Scratch; tells whether rows are split into chunks. */
static int
plan(SharedJob *job, PdCpu *cpu)
{
    const PdSharedAttention *a = job->a;
    int n_threads = pd_pool_n_threads(cpu->pool), most_rows = 0;
    int64_t n_seen = 0;
    for (int i = 0; i < a->n_q; i++) {
        int n = n_rows_of(job, i), n_chunks = n_chunks_of(job, i);
        n_seen += n;
        most_rows = n > most_rows ? n : most_rows;
        job->n_chunks = n_chunks > job->n_chunks ? n_chunks : job->n_chunks;
    }
    job->kernel_floats = pd_pad16(pd_attend_work_floats((int)job->dim, a->n_heads));
    job->state_floats = pd_attend_state_floats((size_t)a->n_heads, job->dim);
    job->thread_floats = job->kernel_floats + pd_pad16((size_t)chunk_rows(most_rows) * job->dim) +
                         2 * job->state_floats;
    size_t partial_floats = (size_t)a->n_q * (size_t)job->n_chunks * job->state_floats;
    job->alone = n_seen * a->n_heads * a->format.width < PRODUCTS_MIN;
    bool split = !job->alone && n_threads > 1 && a->n_q < ROWS_PER_THREAD * n_threads &&
                 job->n_chunks > 1 && partial_floats * sizeof(float) <= PARTIAL_BYTES_MAX;
    size_t work_floats = job->thread_floats * (size_t)n_threads;
    job->work = pd_cpu_scratch(cpu, (work_floats + (split ? partial_floats : 0)) * sizeof(float));
    if (job->work == NULL)
        return PD_KERNEL_ENOMEM;
    job->partial = split ? job->work + work_floats : NULL;
    return PD_KERNEL_OK;
}

int
pd_cpu_attention_shared(PdDevice *dev, const PdSharedAttention *a)
{
    PdCpu *cpu = (PdCpu *)dev;
    SharedJob job = {
        .isa = cpu->vector,
        .a = a,
        .q = pd_cpu_ptr(a->q),
        .out = pd_cpu_ptr(a->out),
        .sinks = pd_cpu_ptr(a->sinks),
        .window = pd_cpu_ptr(a->window),
        .entries = pd_cpu_ptr(a->entries),
        .picks = pd_cpu_ptr(a->picks),
        .row_bytes = pd_row_format_bytes(&a->format),
        .dim = (size_t)a->format.width,
    };
    if (a->format.kind != PD_ROW_F32 && a->format.kind != PD_ROW_FP8)
        return PD_KERNEL_EUNSUPPORTED;
    assert(a->n_before >= 0 && a->n_window > 0 && a->scale > 0);
    if (a->n_q <= 0)
        return PD_KERNEL_OK;
    int status = plan(&job, cpu);
    if (status != PD_KERNEL_OK)
        return status;
    atomic_init(&job.next, 0);
    if (job.alone) {
        attend_whole_rows(&job, 0, 1);
    } else if (job.partial == NULL) {
        pd_pool_run(cpu->pool, attend_whole_rows, &job);
    } else {
        pd_pool_run(cpu->pool, attend_chunks, &job);
        pd_pool_run(cpu->pool, merge_chunks, &job);
    }
    return PD_KERNEL_OK;
}
