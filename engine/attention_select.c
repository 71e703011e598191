/*
 * The index of a sparse session: the queries of its index heads, kept as rows like keys and values
 * (they are saved and loaded with them, so that a restored sequence chooses the same blocks), and
 * the choice of blocks.  A list is a function of the stored rows before its pool: keys before RoPE
 * and without bias, and queries as they were rounded for keeping.
 */
#include <math.h>
#include <string.h>
#include "engine/session_internal.h"

#define BLOCK PD_SCORE_BLOCK

/* Index heads [*first, *last) of a layer. */
static void
layer_heads(const PdSparse *sp, int layer, int *first, int *last)
{
    int i = 0;

    while (i < sp->policy.n_heads && sp->policy.heads[i][0] < layer)
        i++;
    *first = i;
    while (i < sp->policy.n_heads && sp->policy.heads[i][0] == layer)
        i++;
    *last = i;
}

gboolean
pd_sparse_is_index(const PdSparse *sp, int layer)
{
    int first, last;

    layer_heads(sp, layer, &first, &last);
    return first < last;
}

PdMem
pd_sparse_query_rows(const PdSession *s, int sequence, int head, int row)
{
    const PdSparse *sp = s->sparse;
    gsize stream = (gsize)sequence * (gsize)sp->policy.n_heads + (gsize)head;

    return (PdMem){sp->queries, (stream * (gsize)sp->max_tokens + (gsize)row) * sp->row_bytes};
}

void
pd_sparse_zero_queries(PdSession *s, int sequence, int first, int n)
{
    PdSparse *sp = s->sparse;

    memset(sp->coded, 0, (gsize)MIN(n, s->options.batch_rows) * sp->row_bytes);
    for (int h = 0; h < sp->policy.n_heads; h++)
        for (int at = 0; at < n; at += s->options.batch_rows)
            s->dev->ops->write(s->dev, pd_sparse_query_rows(s, sequence, h, first + at), sp->coded,
                               (gsize)MIN(n - at, s->options.batch_rows) * sp->row_bytes);
}

void
pd_sparse_keep_queries(PdSession *s, int layer, PdMem q)
{
    PdSparse *sp = s->sparse;
    const PdModelShape *m = &s->model->shape;
    gsize dim = (gsize)m->head_dim, n_q = (gsize)m->n_heads * dim;
    int first, last;

    layer_heads(sp, layer, &first, &last);
    s->dev->ops->read(s->dev, sp->rows, q, (gsize)s->batch.n_rows * n_q * sizeof(float));
    for (int i = 0; i < s->batch.n_spans; i++) {
        const PdSpan *span = &s->batch.spans[i];
        for (int h = first; h < last; h++) {
            const float *row =
                sp->rows + (gsize)span->batch_row * n_q + (gsize)sp->policy.heads[h][1] * dim;
            for (int r = 0; r < span->n_rows; r++)
                pd_quantize_row(s->options.kv_type, row + (gsize)r * n_q,
                                sp->coded + (gsize)r * sp->row_bytes, dim);
            s->dev->ops->write(s->dev, pd_sparse_query_rows(s, span->sequence, h, span->first_row),
                               sp->coded, (gsize)span->n_rows * sp->row_bytes);
        }
    }
}

/* --- choosing --- */

/* One call's pools of one sequence at one layer: those of groups [first_group, last_group). */
typedef struct {
    PdSession *s;
    int layer;
    int sequence;
    int first_group;
    int last_group;
    int first_pool; /* of the pooled queries */
    int n_pooled;
    int first_block;
    int n_blocks; /* candidates of the last group; the others have a prefix of them */
} Choice;

/* The mean query of each pool, turned by the fixed distance. */
static void
pool_queries(const Choice *c, int head)
{
    PdSession *s = c->s;
    PdSparse *sp = s->sparse;
    int pool_rows = sp->policy.pool_rows, dim = s->model->shape.head_dim;
    float row[PD_LIST_ROWS_MAX][512];

    g_assert(dim <= 512);
    for (int i = 0; i < c->n_pooled; i++) {
        float *mean = sp->pooled_host + (gsize)i * (gsize)dim;
        PdMem rows = pd_sparse_query_rows(s, c->sequence, head, (c->first_pool + i) * pool_rows);
        s->dev->ops->read(s->dev, sp->coded, rows, (gsize)pool_rows * sp->row_bytes);
        for (int r = 0; r < pool_rows; r++)
            pd_dequantize_row(s->options.kv_type, sp->coded + (gsize)r * sp->row_bytes, row[r],
                              (gsize)dim);
        for (int d = 0; d < dim; d++) {
            double sum = 0;
            for (int r = 0; r < pool_rows; r++)
                sum += (double)row[r][d];
            mean[d] = (float)(sum / pool_rows);
        }
    }
    s->dev->ops->write(s->dev, sp->pooled, sp->pooled_host,
                       (gsize)c->n_pooled * (gsize)dim * sizeof(float));
    s->dev->ops->rope(s->dev, sp->pooled, &s->rope[0], sp->distance, c->n_pooled, 1, dim);
}

/* best = max(best, standardised score) for the candidates of one group. */
static void
vote(const Choice *c, const PdSparseGroup *g, float *best)
{
    PdSparse *sp = c->s->sparse;
    int last = g->pool - c->first_pool;
    int first = MAX(0, last - sp->policy.chunk_rows / sp->policy.pool_rows);
    double sum = 0, squares = 0;

    for (int b = 0; b < g->n_candidates; b++)
        sp->score[b] = sp->maxima_host[(gsize)first * (gsize)c->n_blocks + (gsize)b];
    for (int i = first + 1; i < last; i++) {
        const float *row = sp->maxima_host + (gsize)i * (gsize)c->n_blocks;
        for (int b = 0; b < g->n_candidates; b++)
            sp->score[b] = MAX(sp->score[b], row[b]);
    }
    for (int b = 0; b < g->n_candidates; b++)
        sum += (double)sp->score[b];
    double mean = sum / g->n_candidates;
    for (int b = 0; b < g->n_candidates; b++)
        squares += ((double)sp->score[b] - mean) * ((double)sp->score[b] - mean);
    double deviation = sqrt(squares / g->n_candidates);
    if (!(deviation > 0) || !isfinite(deviation)) {
        sp->n_flat++;
        return;
    }
    for (int b = 0; b < g->n_candidates; b++) {
        float z = (float)(((double)sp->score[b] - mean) / deviation);
        best[b] = MAX(best[b], z);
    }
}

/* The `budget` best, ties to the lower block; ascending. */
static void
take_best(const Choice *c, PdSparseGroup *g, const float *best, int budget)
{
    int n = 0;

    for (int b = 0; b < g->n_candidates; b++) {
        int at = n < budget ? n++ : budget;
        if (at == budget) {
            if (!(best[b] > best[g->blocks[budget - 1]]))
                continue;
            at = budget - 1;
        }
        for (; at > 0 && best[b] > best[g->blocks[at - 1]]; at--)
            g->blocks[at] = g->blocks[at - 1];
        g->blocks[at] = b;
    }
    for (int i = 1; i < n; i++) { /* a short list, by insertion */
        int b = g->blocks[i], at = i;
        for (; at > 0 && g->blocks[at - 1] > b; at--)
            g->blocks[at] = g->blocks[at - 1];
        g->blocks[at] = b;
    }
    for (int i = 0; i < n; i++)
        g->blocks[i] += c->first_block;
    g->n_blocks = n;
}

static void
choose(const Choice *c)
{
    PdSession *s = c->s;
    PdSparse *sp = s->sparse;
    const PdModelShape *m = &s->model->shape;
    int n_groups = c->last_group - c->first_group, first, last;
    gsize n_blocks = (gsize)c->n_blocks;

    layer_heads(sp, c->layer, &first, &last);
    for (gsize i = 0; i < (gsize)n_groups * n_blocks; i++)
        sp->best[i] = -G_MAXFLOAT;
    for (int h = first; h < last; h++) {
        pool_queries(c, h);
        s->dev->ops->block_maxima(s->dev, sp->maxima, pd_session_kv(s, c->sequence, c->layer),
                                  sp->policy.heads[h][1] / (m->n_heads / m->n_kv_heads),
                                  c->first_block, c->n_blocks, sp->pooled, c->n_pooled);
        s->dev->ops->read(s->dev, sp->maxima_host, sp->maxima,
                          (gsize)c->n_pooled * n_blocks * sizeof(float));
        for (int g = 0; g < n_groups; g++)
            vote(c, &sp->groups[c->first_group + g], sp->best + (gsize)g * n_blocks);
    }
    for (int g = 0; g < n_groups; g++)
        take_best(c, &sp->groups[c->first_group + g], sp->best + (gsize)g * n_blocks,
                  sp->policy.budget_blocks);
    sp->n_selections += (guint64)n_groups;
}

/* The groups of one span, of which the first may have its list already. */
static void
select_span(PdSession *s, int layer, int first_group, int last_group)
{
    PdSparse *sp = s->sparse;
    int votes = sp->policy.chunk_rows / sp->policy.pool_rows, first_head, last_head;
    int sequence = s->batch.spans[sp->groups[first_group].span].sequence;
    PdSparseGroup *last = &sp->groups[last_group - 1];

    layer_heads(sp, layer, &first_head, &last_head);
    PdBlockList *list = &sp->lists[sequence * sp->policy.n_heads + first_head];
    if (list->pool == sp->groups[first_group].pool) {
        PdSparseGroup *g = &sp->groups[first_group++];
        memcpy(g->blocks, list->blocks, (gsize)list->n_blocks * sizeof(int));
        g->n_blocks = list->n_blocks;
    }
    if (first_group < last_group) {
        Choice c = {.s = s,
                    .layer = layer,
                    .sequence = sequence,
                    .first_group = first_group,
                    .last_group = last_group,
                    .first_pool = MAX(0, sp->groups[first_group].pool - votes),
                    .first_block = sp->sink_rows / BLOCK,
                    .n_blocks = last->n_candidates};
        c.n_pooled = last->pool - c.first_pool;
        choose(&c);
    }
    list->pool = last->pool;
    list->n_blocks = last->n_blocks;
    memcpy(list->blocks, last->blocks, (gsize)last->n_blocks * sizeof(int));
}

void
pd_sparse_select(PdSession *s, int layer)
{
    PdSparse *sp = s->sparse;

    for (int first = 0, last; first < sp->n_groups; first = last) {
        last = first + 1;
        while (last < sp->n_groups && sp->groups[last].span == sp->groups[first].span)
            last++;
        while (first < last && sp->groups[first].n_candidates <= sp->policy.budget_blocks)
            first++;
        if (first < last && sp->policy.budget_blocks > 0)
            select_span(s, layer, first, last);
    }
}

const int *
pd_session_blocks(PdSession *s, int sequence, int layer, int *pool, int *n_blocks)
{
    int first, last;

    *n_blocks = 0;
    *pool = -1;
    if (!s->sparse)
        return NULL;
    layer_heads(s->sparse, layer, &first, &last);
    if (first == last)
        return NULL;
    PdBlockList *list = &s->sparse->lists[sequence * s->sparse->policy.n_heads + first];
    if (list->pool < 0)
        return NULL;
    *pool = list->pool;
    *n_blocks = list->n_blocks;
    return list->blocks;
}

void
pd_session_selections(const PdSession *s, guint64 *n_lists, guint64 *n_flat)
{
    *n_lists = s->sparse ? s->sparse->n_selections : 0;
    *n_flat = s->sparse ? s->sparse->n_flat : 0;
}
