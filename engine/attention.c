/*
 * The geometry of sparse attention: pools, groups, ranges and positions; and what a sparse session
 * allocates.  See attention.h for the rule; all of it is a function of the policy and of absolute
 * row numbers.
 */
#include "engine/attention.h"
#include <string.h>
#include "engine/session_internal.h"

#define BLOCK PD_SCORE_BLOCK
#define WINDOW_ROWS 2048
#define BUDGET_BLOCKS 48
#define CHUNK_ROWS 128
#define POOL_ROWS 16

/* --- policy --- */

PdAttentionPolicy
pd_attention_sparse(int n_ctx_train, int sink_rows, const int (*heads)[2], int n_heads)
{
    PdAttentionPolicy policy = {
        .kind = PD_ATTENTION_SPARSE,
        .sink_rows = sink_rows,
        .window_rows = n_ctx_train <= 8192 ? WINDOW_ROWS / 2 : WINDOW_ROWS,
        .budget_blocks = BUDGET_BLOCKS,
        .chunk_rows = CHUNK_ROWS,
        .pool_rows = POOL_ROWS,
        .n_heads = MIN(n_heads, PD_ATTENTION_HEADS_MAX),
    };
    /* At most 5/8 of the positions the model was trained on are used (design, 2.1). */
    while (n_ctx_train > 0 && policy.window_rows > 64 &&
           policy.budget_blocks * BLOCK + policy.window_rows > n_ctx_train / 8 * 5) {
        policy.window_rows /= 2;
        policy.budget_blocks /= 2;
    }
    for (int i = 0; i < policy.n_heads; i++)
        memcpy(policy.heads[i], heads[i], sizeof policy.heads[i]);
    return policy;
}

char *
pd_attention_describe(const PdAttentionPolicy *p)
{
    GString *text = g_string_new(NULL);
    if (p->kind == PD_ATTENTION_DENSE)
        return g_string_free(g_string_append(text, "dense"), FALSE);
    g_string_append_printf(
        text, "sparse 1 sinks %d window %d blocks %d chunk %d pool %d distance %d", p->sink_rows,
        p->window_rows, p->budget_blocks, p->chunk_rows, p->pool_rows, PD_SELECT_DISTANCE);
    for (int i = 0; i < p->n_heads; i++)
        g_string_append_printf(text, " %d/%d", p->heads[i][0], p->heads[i][1]);
    return g_string_free(text, FALSE);
}

static int
round_up(int n, int step)
{
    return (n + step - 1) / step * step;
}

gboolean
pd_sparse_check(const PdModel *model, const PdAttentionPolicy *p, int n_layers, const char **what)
{
    *what = NULL;
    if (p->kind == PD_ATTENTION_DENSE)
        return TRUE;
    if (p->pool_rows < 1 || p->pool_rows > PD_LIST_ROWS_MAX)
        *what = "the pool of sparse attention is outside 1..64 rows";
    else if (p->chunk_rows < p->pool_rows || p->chunk_rows > 65536 ||
             p->chunk_rows % p->pool_rows != 0)
        *what = "the chunk of sparse attention is no multiple of its pool";
    else if (p->window_rows < p->pool_rows || p->window_rows > (1 << 24) || p->sink_rows < 0 ||
             p->sink_rows > (1 << 24) || p->budget_blocks < 0 || p->budget_blocks > (1 << 18))
        *what = "sinks, window or budget of sparse attention are out of range";
    else if (p->n_heads < 0 || p->n_heads > PD_ATTENTION_HEADS_MAX ||
             (p->n_heads == 0 && p->budget_blocks > 0))
        *what = "sparse attention needs 1 to 16 index heads";
    for (int i = 0; *what == NULL && i < p->n_heads; i++) {
        int layer = p->heads[i][0], head = p->heads[i][1];
        if (layer < 0 || layer >= n_layers || head < 0 || head >= model->shape.n_heads)
            *what = "an index head of sparse attention is none of the model's";
        else if (model->layers[layer].local)
            *what = "an index head of sparse attention lies in a local layer";
        for (int j = 0; *what == NULL && j < i; j++)
            if (p->heads[j][0] == layer && p->heads[j][1] == head)
                *what = "an index head of sparse attention comes twice";
    }
    return *what == NULL;
}

/* First row of the window of the pool that starts at `row`. */
static int
window_first(const PdAttentionPolicy *p, int sink_rows, int row)
{
    return MAX(MAX(row - p->window_rows, 0) / BLOCK * BLOCK, sink_rows);
}

int
pd_sparse_positions(const PdModel *model, const PdAttentionPolicy *p, int max_tokens)
{
    int seen = round_up(p->sink_rows, BLOCK) + p->budget_blocks * BLOCK + p->window_rows + BLOCK +
               p->pool_rows;
    int local = model->shape.window > 0 ? model->shape.window + BLOCK + p->pool_rows : 0;
    return MAX(MIN(MAX(seen, local), max_tokens), PD_SELECT_DISTANCE + 1);
}

/* --- memory --- */

/* The pooled queries that the pools of one micro-batch may need. */
static int
most_pooled(const PdAttentionPolicy *p, int batch_rows)
{
    int pool_rows = MAX(p->pool_rows, 1); /* dense, or not checked yet */
    return batch_rows / pool_rows + 2 + p->chunk_rows / pool_rows;
}

void
pd_sparse_plan(const PdModel *model, const PdAttentionPolicy *p, PdDtype kv_type, int n_sequences,
               int max_tokens, int batch_rows, PdSparsePlan *plan)
{
    const PdModelShape *m = &model->shape;
    guint64 dim = (guint64)m->head_dim, rows = (guint64)batch_rows,
            budget = (guint64)p->budget_blocks;
    guint64 heads = (guint64)p->n_heads, n_pooled = (guint64)most_pooled(p, batch_rows);
    guint64 n_blocks = (guint64)max_tokens / BLOCK + 1,
            row_bytes = pd_row_bytes(kv_type, m->head_dim);

    *plan = (PdSparsePlan){0};
    if (p->kind == PD_ATTENTION_DENSE)
        return;
    plan->query_bytes = (guint64)n_sequences * heads * (guint64)max_tokens * row_bytes;
    plan->device_bytes = n_pooled * (dim + n_blocks) * sizeof(float) + 64;
    plan->host_bytes =
        rows * (sizeof(PdSparseGroup) + sizeof(PdRowGroup) + sizeof(gint32) + row_bytes +
                budget * sizeof(int) + (budget + 2) * sizeof(PdRowRange) +
                (guint64)m->n_heads * dim * sizeof(float)) +
        (guint64)n_sequences * heads * (sizeof(PdBlockList) + budget * sizeof(int)) +
        PD_LIST_ROWS_MAX * row_bytes + n_pooled * (dim + 2 * n_blocks + 1) * sizeof(float) +
        n_blocks * sizeof(float);
}

static int
compare_heads(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return x[0] != y[0] ? x[0] - y[0] : x[1] - y[1];
}

static gboolean
allocate(PdSparse *sp, const PdSession *s)
{
    const PdModelShape *m = &s->model->shape;
    gsize rows = (gsize)s->options.batch_rows, dim = (gsize)m->head_dim;
    gsize budget = (gsize)sp->policy.budget_blocks;
    gsize n_pooled = (gsize)most_pooled(&sp->policy, s->options.batch_rows);
    gsize n_blocks = (gsize)sp->max_tokens / BLOCK + 1;
    gsize n_lists = (gsize)s->options.n_sequences * (gsize)sp->policy.n_heads;
    PdSparsePlan plan;

    pd_sparse_plan(s->model, &sp->policy, s->options.kv_type, s->options.n_sequences,
                   sp->max_tokens, s->options.batch_rows, &plan);
    sp->queries = s->dev->ops->buffer_new(s->dev, (gsize)MAX(plan.query_bytes, 1));
    sp->device = s->dev->ops->buffer_new(s->dev, (gsize)plan.device_bytes);
    sp->pooled = (PdMem){sp->device, 0};
    sp->maxima = (PdMem){sp->device, (n_pooled * dim * sizeof(float) + 63) & ~(gsize)63};
    sp->groups = g_try_new(PdSparseGroup, rows);
    sp->blocks = g_try_new(int, rows *MAX(budget, 1));
    sp->row_groups = g_try_new(PdRowGroup, rows);
    sp->ranges = g_try_new(PdRowRange, rows * (budget + 2));
    sp->positions = g_try_new(gint32, rows);
    sp->lists = g_try_new0(PdBlockList, MAX(n_lists, 1));
    sp->list_blocks = g_try_new(int, MAX(n_lists * budget, 1));
    sp->rows = g_try_new(float, rows *(gsize)m->n_heads *dim);
    sp->coded = g_try_malloc(MAX(rows, PD_LIST_ROWS_MAX) * sp->row_bytes);
    sp->pooled_host = g_try_new(float, n_pooled *dim);
    sp->distance = g_try_new(gint32, n_pooled);
    sp->maxima_host = g_try_new(float, n_pooled *n_blocks);
    sp->score = g_try_new(float, n_blocks);
    sp->best = g_try_new(float, n_pooled *n_blocks);
    if (!sp->queries || !sp->device || !sp->groups || !sp->blocks || !sp->row_groups ||
        !sp->ranges || !sp->positions || !sp->lists || !sp->list_blocks || !sp->rows ||
        !sp->coded || !sp->pooled_host || !sp->distance || !sp->maxima_host || !sp->score ||
        !sp->best)
        return FALSE;
    for (gsize i = 0; i < n_pooled; i++)
        sp->distance[i] = PD_SELECT_DISTANCE;
    for (gsize i = 0; i < n_lists; i++)
        sp->lists[i] = (PdBlockList){-1, 0, sp->list_blocks + i * budget};
    return TRUE;
}

static void
sparse_free(PdDevice *dev, PdSparse *sp)
{
    if (sp->queries)
        dev->ops->buffer_free(dev, sp->queries);
    if (sp->device)
        dev->ops->buffer_free(dev, sp->device);
    g_free(sp->groups);
    g_free(sp->blocks);
    g_free(sp->row_groups);
    g_free(sp->ranges);
    g_free(sp->positions);
    g_free(sp->lists);
    g_free(sp->list_blocks);
    g_free(sp->rows);
    g_free(sp->coded);
    g_free(sp->pooled_host);
    g_free(sp->distance);
    g_free(sp->maxima_host);
    g_free(sp->score);
    g_free(sp->best);
    g_free(sp);
}

PdSparse *
pd_sparse_new(const PdSession *s)
{
    PdSparse *sp = g_new0(PdSparse, 1);

    sp->policy = s->options.attention;
    qsort(sp->policy.heads, (gsize)sp->policy.n_heads, sizeof *sp->policy.heads, compare_heads);
    sp->sink_rows = round_up(sp->policy.sink_rows, BLOCK);
    sp->max_tokens = s->options.max_tokens;
    sp->row_bytes = pd_row_bytes(s->options.kv_type, (gsize)s->model->shape.head_dim);
    if (allocate(sp, s))
        return sp;
    sparse_free(s->dev, sp);
    return NULL;
}

void
pd_sparse_free(PdSession *s)
{
    if (s->sparse)
        sparse_free(s->dev, s->sparse);
    s->sparse = NULL;
}

void
pd_sparse_forget(PdSession *s, int sequence, int n_tokens)
{
    PdSparse *sp = s->sparse;

    if (!sp)
        return;
    for (int h = 0; h < sp->policy.n_heads; h++) {
        PdBlockList *list = &sp->lists[sequence * sp->policy.n_heads + h];
        if ((gint64)list->pool * sp->policy.pool_rows > n_tokens)
            list->pool = -1;
    }
}

/* --- a micro-batch --- */

/* Where everything fits, in layers below the first index layer too. */
static void
take_all(const PdSparse *sp, PdSparseGroup *g)
{
    if (g->n_candidates > sp->policy.budget_blocks)
        return;
    for (int b = 0; b < g->n_candidates; b++)
        g->blocks[g->n_blocks++] = sp->sink_rows / BLOCK + b;
}

void
pd_sparse_begin(PdSession *s)
{
    PdSparse *sp = s->sparse;
    const PdBatch *b = &s->batch;
    int pool_rows = sp->policy.pool_rows;

    sp->n_groups = 0;
    for (int i = 0; i < b->n_spans; i++) {
        const PdSpan *span = &b->spans[i];
        int end = span->first_row + span->n_rows;
        /* Rows that an earlier call began and did not finish have no say. */
        pd_sparse_forget(s, span->sequence, span->first_row);
        for (int row = span->first_row, next; row < end; row = next) {
            int pool = row / pool_rows;
            int first = window_first(&sp->policy, sp->sink_rows, pool * pool_rows);
            int n_candidates = (first - sp->sink_rows) / BLOCK;
            next = MIN((pool + 1) * pool_rows, end);
            if (n_candidates <= sp->policy.budget_blocks && !sp->policy.lists_always)
                continue;
            sp->groups[sp->n_groups] = (PdSparseGroup){
                .span = i,
                .pool = pool,
                .first_row = row,
                .n_rows = next - row,
                .window_first = first,
                .n_candidates = n_candidates,
                .blocks = sp->blocks + (gsize)sp->n_groups * (gsize)sp->policy.budget_blocks};
            take_all(sp, &sp->groups[sp->n_groups++]);
        }
    }
}

int
pd_sparse_dense_rows(const PdSession *s, int span)
{
    const PdSparse *sp = s->sparse;

    for (int g = 0; g < sp->n_groups; g++)
        if (sp->groups[g].span == span)
            return sp->groups[g].first_row - s->batch.spans[span].first_row;
    return s->batch.spans[span].n_rows;
}

/* Appends rows that stand directly behind what the list holds so far. */
static int
add_range(PdRowRange *ranges, int n, int first_row, int n_rows)
{
    PdRowRange *last = n > 0 ? &ranges[n - 1] : NULL;

    if (n_rows <= 0)
        return n;
    if (last && last->first_row + last->n_rows == first_row) {
        last->n_rows += n_rows;
        return n;
    }
    ranges[n] = (PdRowRange){first_row, n_rows, last ? last->position + last->n_rows : 0};
    return n + 1;
}

/* The ranges of one group; returns their number. */
static int
group_ranges(const PdSession *s, const PdSparseGroup *g, gboolean local, PdRowRange *ranges)
{
    const PdSparse *sp = s->sparse;
    int end = g->first_row + g->n_rows, n = 0;

    if (local) {
        int first = MAX(0, g->pool * sp->policy.pool_rows - s->model->shape.window + 1);
        first = first / BLOCK * BLOCK;
        return add_range(ranges, 0, first, end - first);
    }
    n = add_range(ranges, n, 0, MIN(sp->sink_rows, end));
    for (int i = 0; i < g->n_blocks; i++)
        n = add_range(ranges, n, g->blocks[i] * BLOCK, BLOCK);
    return add_range(ranges, n, g->window_first, end - g->window_first);
}

void
pd_sparse_view(PdSession *s, int layer, int span_index, int skipped, PdSparseView *view)
{
    PdSparse *sp = s->sparse;
    const PdSpan *span = &s->batch.spans[span_index];
    int first = span->first_row + skipped, n_groups = 0, n_ranges = 0;
    gboolean local = s->model->layers[layer].local;

    for (int i = 0; i < span->n_rows - skipped; i++)
        sp->positions[i] = first + i;
    for (int i = 0; i < sp->n_groups; i++) {
        const PdSparseGroup *g = &sp->groups[i];
        int begin = MAX(g->first_row, first), end = g->first_row + g->n_rows;
        if (g->span != span_index || begin >= end)
            continue;
        int n = group_ranges(s, g, local, sp->ranges + n_ranges);
        /* The window ends the last range: a row's own place in it gives its query's position. */
        const PdRowRange *last = &sp->ranges[n_ranges + n - 1];
        for (int row = begin; row < end; row++)
            sp->positions[row - first] = last->position + (row - last->first_row);
        sp->row_groups[n_groups++] = (PdRowGroup){begin - first, end - begin, begin, n_ranges, n};
        n_ranges += n;
    }
    *view = (PdSparseView){sp->row_groups, n_groups, sp->ranges};
}
