/*
 * Attention over lists of row ranges (block-sparse prefill and decode): for query row i of a group
 *
 *   out[i][h] = softmax over all j of the group's ranges, j <= q_row + i, of scale q_ih . k'_j  v_j
 *
 * k' is the stored key with bias, turned to the position its range gives it.  A range is cut into
 * pieces of at most PD_ATTEND_CHUNK rows, anchored at its first row; every piece runs the dense
 * inner kernel on a view that starts at the piece (so that "row 0" and its position are the
 * piece's), and the partial results are merged in ascending order.  A widened and turned tile of
 * keys serves all heads of the group and all query rows of the row group.  Whether one thread walks
 * through all pieces or several take a piece each, a row's arithmetic is the same.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include "kernels/cpu/attend.h"

/* Row groups per thread below which the pieces of a group are dealt out. */
#define ITEMS_PER_THREAD 2
#define PARTIAL_BYTES_MAX ((size_t)64 << 20)

typedef struct {
    const PdVectorIsa *isa;
    const PdListAttention *a;
    const PdKv *kv;
    const float *q;
    const uint8_t *k;
    const uint8_t *v;
    const float *cos_sin;
    const float *k_bias;
    float *out;
    int heads; /* per key/value head */
    int n_pieces;
    float *work;
    size_t thread_floats;
    size_t kernel_floats;
    size_t state_floats;
    int state_rows;
    float *partial; /* (n_groups, n_kv_heads, n_pieces, state); NULL: groups are not split */
    atomic_int next;
} ListJob;

static int
n_pieces(const PdRowRange *range)
{
    return (range->n_rows + PD_ATTEND_CHUNK - 1) / PD_ATTEND_CHUNK;
}

static int
group_pieces(const PdListAttention *a, const PdRowGroup *group)
{
    int n = 0;

    for (int r = 0; r < group->n_ranges; r++)
        n += n_pieces(&a->ranges[group->first_range + r]);
    return n;
}

static PdAttendState
state_at(const ListJob *job, float *p)
{
    return pd_attend_state_at(p, (size_t)job->state_rows);
}

/* The pieces of a range, as a cache of its own that starts at the piece's first row. */
static PdAttendHead
piece_head(const ListJob *job, const PdRowGroup *group, int kv_head, const PdRowRange *piece)
{
    const PdListAttention *a = job->a;
    size_t dim = (size_t)job->kv->head_dim;
    size_t row_bytes = pd_row_bytes(job->kv->type, dim);
    size_t row = (size_t)kv_head * (size_t)job->kv->capacity_rows + (size_t)piece->first_row;
    int n_rot = job->cos_sin ? a->rope->n_rot : 0;

    return (PdAttendHead){
        .q = job->q +
             ((size_t)group->first_q * (size_t)a->n_heads + (size_t)(kv_head * job->heads)) * dim,
        .q_stride = (size_t)a->n_heads * dim,
        .group = job->heads,
        .head_dim = job->kv->head_dim,
        .k = job->k + row * row_bytes,
        .v = job->v + row * row_bytes,
        .row_bytes = row_bytes,
        .type = job->kv->type,
        .scale = a->scale,
        .first_q_row = group->q_row - piece->first_row,
        .window = a->window,
        .k_bias = job->k_bias ? job->k_bias + (size_t)kv_head * dim : NULL,
        .cos_sin = job->cos_sin ? job->cos_sin + (size_t)piece->position * (size_t)n_rot : NULL,
        .n_rot = n_rot,
        .rope_kind = job->cos_sin ? a->rope->kind : PD_ROPE_NEOX,
    };
}

/* One piece; rows that no query row of the group sees are left out. */
static void
attend_piece(const ListJob *job, const PdRowGroup *group, int kv_head, const PdRowRange *piece,
             float *work, const PdAttendState *state)
{
    int seen = group->q_row + group->n_q - piece->first_row;
    int n = seen < piece->n_rows ? seen : piece->n_rows;
    PdAttendHead head;

    if (n <= 0) {
        pd_attend_clear(state, group->n_q * job->heads);
        return;
    }
    head = piece_head(job, group, kv_head, piece);
    job->isa->attend(&head, 0, group->n_q, 0, n, work, state);
}

static PdRowRange
cut_piece(const PdRowRange *range, int i)
{
    int at = i * PD_ATTEND_CHUNK;
    int left = range->n_rows - at;

    return (PdRowRange){range->first_row + at, left < PD_ATTEND_CHUNK ? left : PD_ATTEND_CHUNK,
                        range->position + at};
}

static void
finish_group(const ListJob *job, const PdRowGroup *group, int kv_head, const PdAttendState *acc)
{
    size_t row = (size_t)group->first_q * (size_t)job->a->n_heads + (size_t)(kv_head * job->heads);

    pd_attend_finish(acc, group->n_q, job->heads, job->a->n_heads, job->kv->head_dim,
                     job->out + row * (size_t)job->kv->head_dim);
}

/* Whole groups, the last ones first: they see most. */
static void
attend_groups(void *arg, int thread, int n_threads)
{
    ListJob *job = arg;
    float *work = job->work + (size_t)thread * job->thread_floats;
    PdAttendState part = state_at(job, work + job->kernel_floats);
    PdAttendState acc = state_at(job, work + job->kernel_floats + job->state_floats);
    int n_items = job->a->n_groups * job->kv->n_kv_heads;

    (void)n_threads;
    for (int item; (item = atomic_fetch_add(&job->next, 1)) < n_items;) {
        const PdRowGroup *group =
            &job->a->groups[job->a->n_groups - 1 - item / job->kv->n_kv_heads];
        int kv_head = item % job->kv->n_kv_heads;
        int n_rows = group->n_q * job->heads;
        pd_attend_clear(&acc, n_rows);
        for (int r = 0; r < group->n_ranges; r++) {
            const PdRowRange *range = &job->a->ranges[group->first_range + r];
            for (int i = 0; i < n_pieces(range); i++) {
                PdRowRange piece = cut_piece(range, i);
                attend_piece(job, group, kv_head, &piece, work, &part);
                pd_attend_merge(&acc, &part, n_rows, job->kv->head_dim);
            }
        }
        finish_group(job, group, kv_head, &acc);
    }
}

static PdAttendState
partial_at(const ListJob *job, int group, int kv_head, int piece)
{
    size_t at =
        ((size_t)group * (size_t)job->kv->n_kv_heads + (size_t)kv_head) * (size_t)job->n_pieces +
        (size_t)piece;
    return state_at(job, job->partial + at * job->state_floats);
}

/* Piece `index` of a group, counted through all its ranges; false: it has fewer. */
static bool
find_piece(const PdListAttention *a, const PdRowGroup *group, int index, PdRowRange *piece)
{
    for (int r = 0; r < group->n_ranges; r++) {
        const PdRowRange *range = &a->ranges[group->first_range + r];
        if (index < n_pieces(range)) {
            *piece = cut_piece(range, index);
            return true;
        }
        index -= n_pieces(range);
    }
    return false;
}

static void
attend_pieces(void *arg, int thread, int n_threads)
{
    ListJob *job = arg;
    float *work = job->work + (size_t)thread * job->thread_floats;
    int n_kv_heads = job->kv->n_kv_heads;
    int n_items = job->a->n_groups * n_kv_heads * job->n_pieces;

    (void)n_threads;
    for (int item; (item = atomic_fetch_add(&job->next, 1)) < n_items;) {
        int index = item % job->n_pieces;
        int kv_head = item / job->n_pieces % n_kv_heads;
        int g = item / job->n_pieces / n_kv_heads;
        const PdRowGroup *group = &job->a->groups[g];
        PdRowRange piece;
        PdAttendState part = partial_at(job, g, kv_head, index);
        if (find_piece(job->a, group, index, &piece))
            attend_piece(job, group, kv_head, &piece, work, &part);
        else
            pd_attend_clear(&part, group->n_q * job->heads);
    }
}

static void
merge_pieces(const ListJob *job)
{
    for (int g = 0; g < job->a->n_groups; g++)
        for (int h = 0; h < job->kv->n_kv_heads; h++) {
            const PdRowGroup *group = &job->a->groups[g];
            PdAttendState acc = partial_at(job, g, h, 0);
            for (int i = 1; i < job->n_pieces; i++) {
                PdAttendState part = partial_at(job, g, h, i);
                pd_attend_merge(&acc, &part, group->n_q * job->heads, job->kv->head_dim);
            }
            finish_group(job, group, h, &acc);
        }
}

static int
plan(ListJob *job, PdCpu *cpu)
{
    const PdListAttention *a = job->a;
    int n_threads = pd_pool_n_threads(cpu->pool);
    int n_q = 1;
    size_t dim = (size_t)job->kv->head_dim;

    job->heads = a->n_heads / job->kv->n_kv_heads;
    for (int g = 0; g < a->n_groups; g++) {
        int pieces = group_pieces(a, &a->groups[g]);
        assert(a->groups[g].n_q > 0 && a->groups[g].n_q <= PD_LIST_ROWS_MAX);
        n_q = a->groups[g].n_q > n_q ? a->groups[g].n_q : n_q;
        job->n_pieces = pieces > job->n_pieces ? pieces : job->n_pieces;
    }
    job->state_rows = n_q * job->heads;
    job->kernel_floats = pd_pad16(pd_attend_work_floats((int)dim, job->state_rows));
    job->state_floats = pd_attend_state_floats((size_t)job->state_rows, dim);
    job->thread_floats = job->kernel_floats + 2 * job->state_floats;

    size_t n_items = (size_t)a->n_groups * (size_t)job->kv->n_kv_heads;
    size_t partial_floats = n_items * (size_t)job->n_pieces * job->state_floats;
    bool split = n_threads > 1 && job->n_pieces > 1 &&
                 n_items < (size_t)(ITEMS_PER_THREAD * n_threads) &&
                 partial_floats * sizeof(float) <= PARTIAL_BYTES_MAX;
    size_t work_floats = job->thread_floats * (size_t)n_threads;
    job->work = pd_cpu_scratch(cpu, (work_floats + (split ? partial_floats : 0)) * sizeof(float));
    if (!job->work)
        return PD_KERNEL_ENOMEM;
    job->partial = split ? job->work + work_floats : NULL;
    return PD_KERNEL_OK;
}

static void
check_ranges(const PdKv *kv, const PdListAttention *a)
{
    assert(pd_kv_is_bare(kv) && a->n_heads % kv->n_kv_heads == 0);
    for (int g = 0; g < a->n_groups; g++)
        for (int r = 0; r < a->groups[g].n_ranges; r++) {
            const PdRowRange *range = &a->ranges[a->groups[g].first_range + r];
            assert(range->first_row >= 0 && range->n_rows >= 0 &&
                   range->n_rows <= kv->capacity_rows - range->first_row);
            assert(!a->rope || (range->position >= 0 &&
                                range->n_rows <= a->rope->n_positions - range->position));
        }
}

int
pd_cpu_attention_list(PdDevice *dev, const PdKv *kv, const PdListAttention *a)
{
    PdCpu *cpu = (PdCpu *)dev;
    ListJob job = {
        .isa = cpu->vector,
        .a = a,
        .kv = kv,
        .q = pd_cpu_ptr(a->q),
        .k = pd_cpu_ptr(kv->k),
        .v = pd_cpu_ptr(kv->v),
        .cos_sin = a->rope ? pd_cpu_ptr(a->rope->table) : NULL,
        .k_bias = a->k_bias.mem.buffer ? pd_cpu_ptr(a->k_bias.mem) : NULL,
        .out = pd_cpu_ptr(a->out),
    };

    check_ranges(kv, a);
    if (a->n_groups <= 0)
        return PD_KERNEL_OK;
    int status = plan(&job, cpu);
    if (status != PD_KERNEL_OK)
        return status;
    atomic_init(&job.next, 0);
    if (job.partial) {
        pd_pool_run(cpu->pool, attend_pieces, &job);
        merge_pieces(&job);
    } else {
        pd_pool_run(cpu->pool, attend_groups, &job);
    }
    return PD_KERNEL_OK;
}

/* --- the weights themselves: one query row, in plain loops --- */

/* Row j of a key/value head as it takes part in the product. */
static void
whole_key(const PdCpu *cpu, const PdKv *kv, const PdListAttention *a, int kv_head, int row,
          int position, float *key)
{
    size_t dim = (size_t)kv->head_dim;
    size_t row_bytes = pd_row_bytes(kv->type, dim);
    size_t at = ((size_t)kv_head * (size_t)kv->capacity_rows + (size_t)row) * row_bytes;

    pd_dequantize_row(kv->type, (const uint8_t *)pd_cpu_ptr(kv->k) + at, key, dim);
    if (a->k_bias.mem.buffer) {
        const float *bias = (const float *)pd_cpu_ptr(a->k_bias.mem) + (size_t)kv_head * dim;
        for (size_t d = 0; d < dim; d++)
            key[d] += bias[d];
    }
    if (a->rope)
        cpu->vector->rope(key,
                          (const float *)pd_cpu_ptr(a->rope->table) +
                              (size_t)position * (size_t)a->rope->n_rot,
                          a->rope->kind, a->rope->n_rot, 1, kv->head_dim);
}

void
pd_cpu_attention_list_weights(PdDevice *dev, PdMem out, const PdKv *kv, const PdListAttention *a,
                              int first_head, int n_heads)
{
    PdCpu *cpu = (PdCpu *)dev;
    const PdRowGroup *group = &a->groups[0];
    const float *q =
        (const float *)pd_cpu_ptr(a->q) +
        ((size_t)group->first_q * (size_t)a->n_heads + (size_t)first_head) * (size_t)kv->head_dim;
    float *weights = pd_cpu_ptr(out);
    float key[PD_HEAD_DIM_MAX];
    size_t n = 0, j = 0;
    int kv_head = first_head / (a->n_heads / kv->n_kv_heads);

    check_ranges(kv, a);
    assert(a->n_groups == 1 && a->window == 0 && group->n_q == 1 &&
           kv->head_dim <= PD_HEAD_DIM_MAX);
    for (int r = 0; r < group->n_ranges; r++)
        n += (size_t)a->ranges[group->first_range + r].n_rows;
    for (int r = 0; r < group->n_ranges; r++) {
        const PdRowRange *range = &a->ranges[group->first_range + r];
        for (int i = 0; i < range->n_rows; i++, j++) {
            whole_key(cpu, kv, a, kv_head, range->first_row + i, range->position + i, key);
            for (int h = 0; h < n_heads; h++) {
                const float *row = q + (size_t)h * (size_t)kv->head_dim;
                float dot = 0;
                for (int d = 0; d < kv->head_dim; d++)
                    dot += row[d] * key[d];
                weights[(size_t)h * n + j] = dot;
            }
        }
    }
    for (int h = 0; h < n_heads && n > 0; h++) {
        float *row = weights + (size_t)h * n;
        float max = cpu->vector->max(row, n);
        float inv = 1.0f / cpu->vector->exp_sum(row, n, a->scale, max);
        for (size_t i = 0; i < n; i++)
            row[i] *= inv;
    }
}
