/*
 * The attention record: how much a decoded row attended to each earlier row, as the mean over
 * chosen heads.  Only these heads are scored again: a cache whose head stride is kept but that
 * starts at one KV head is again a cache, of one head.
 */
#include <stdlib.h>
#include "engine/session_internal.h"

static int
compare_heads(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return x[0] != y[0] ? x[0] - y[0] : x[1] - y[1];
}

/* Neighbours under one KV head are scored in one call. */
static void
make_head_runs(PdSession *s, const int (*heads)[2], int n_heads)
{
    const PdModelShape *m = &s->model->shape;
    int group = m->n_heads / m->n_kv_heads;
    g_autofree int(*sorted)[2] = g_memdup2(heads, (gsize)n_heads * sizeof *heads);
    qsort(sorted, (gsize)n_heads, sizeof *sorted, compare_heads);
    s->head_runs = g_new(PdHeadRun, n_heads);
    for (int i = 0; i < n_heads; i++) {
        int layer = sorted[i][0], head = sorted[i][1];
        g_assert(layer >= 0 && layer < s->n_layers && head >= 0 && head < m->n_heads);
        PdHeadRun *last = s->n_head_runs > 0 ? &s->head_runs[s->n_head_runs - 1] : NULL;
        if (last != NULL && last->layer == layer && last->head + last->n_heads == head &&
            last->head / group == head / group)
            last->n_heads++;
        else
            s->head_runs[s->n_head_runs++] = (PdHeadRun){layer, head, 1};
    }
    s->n_recorded_heads = n_heads;
}

void
pd_session_record_attention(PdSession *s, const int (*heads)[2], int n_heads)
{
    const PdModelShape *m = &s->model->shape;
    gsize capacity = (gsize)s->options.max_tokens, group = (gsize)(m->n_heads / m->n_kv_heads);
    g_assert(n_heads == 0 || s->deepseek == NULL);
    s->n_head_runs = s->n_recorded_heads = 0;
    g_clear_pointer(&s->head_runs, g_free);
    g_clear_pointer(&s->weights_host, g_free);
    g_clear_pointer(&s->record, g_free);
    g_clear_pointer(&s->record_rows, g_free);
    if (s->weights != NULL)
        s->dev->ops->buffer_free(s->dev, s->weights);
    s->weights = NULL;
    if (n_heads == 0)
        return;
    s->weights = s->dev->ops->buffer_new(s->dev, group * capacity * sizeof(float));
    s->weights_host = g_try_new(float, group *capacity);
    s->record = g_try_new(float, (gsize)s->options.n_sequences *capacity);
    s->record_rows = g_try_new0(int, (gsize)s->options.n_sequences);
    /* Without memory there is no record: pd_session_attention gives NULL, decoding goes on. */
    if (s->weights != NULL && s->weights_host != NULL && s->record != NULL &&
        s->record_rows != NULL)
        make_head_runs(s, heads, n_heads);
}

/* record += the mean of n weights of each of the run's heads. */
static void
add_weights(PdSession *s, const PdHeadRun *run, float *record, gsize at, gsize n, gsize stride)
{
    for (int h = 0; h < run->n_heads; h++) {
        for (gsize j = 0; j < n; j++)
            record[j] += s->weights_host[(gsize)h * stride + at + j] / (float)s->n_recorded_heads;
    }
}

/* Of a position-free cache: the weights come range after range. */
static void
record_list(PdSession *s, const PdHeadRun *run, const PdSpan *span, const PdListAttention *list)
{
    const PdRowGroup *group = &list->groups[0];
    float *record = s->record + (gsize)span->sequence * (gsize)s->options.max_tokens;
    gsize n = 0, at = 0;
    for (int r = 0; r < group->n_ranges; r++)
        n += (gsize)list->ranges[group->first_range + r].n_rows;
    s->dev->ops->attention_list_weights(s->dev, (PdMem){s->weights, 0},
                                        pd_session_kv(s, span->sequence, run->layer), list,
                                        run->head, run->n_heads);
    s->dev->ops->read(s->dev, s->weights_host, (PdMem){s->weights, 0},
                      n * (gsize)run->n_heads * sizeof(float));
    for (int r = 0; r < group->n_ranges; r++) {
        const PdRowRange *range = &list->ranges[group->first_range + r];
        add_weights(s, run, record + range->first_row, at, (gsize)range->n_rows, n);
        at += (gsize)range->n_rows;
    }
}

static void
record_run(PdSession *s, const PdHeadRun *run, const PdSpan *span, PdMem q)
{
    const PdModelShape *m = &s->model->shape;
    int n_rows = span->first_row + 1, head_dim = m->head_dim;
    int window = s->model->layers[run->layer].local ? m->window : 0;
    int first = window > 0 ? MAX(0, n_rows - window) : 0;
    PdKv view = *pd_session_kv(s, span->sequence, run->layer);
    gsize row = (gsize)(run->head / (m->n_heads / m->n_kv_heads)) * (gsize)view.capacity_rows +
                (gsize)first;
    view.k.offset_bytes += row * pd_row_bytes(view.type, (gsize)head_dim);
    view.n_kv_heads = 1;
    view.capacity_rows -= first;

    gsize n = (gsize)(n_rows - first);
    s->dev->ops->attention_weights(s->dev, (PdMem){s->weights, 0}, &view,
                                   pd_mem_at(q, (gsize)run->head * (gsize)head_dim), run->n_heads,
                                   (int)n, m->attn_scale);
    s->dev->ops->read(s->dev, s->weights_host, (PdMem){s->weights, 0},
                      n * (gsize)run->n_heads * sizeof(float));
    float *record = s->record + (gsize)span->sequence * (gsize)s->options.max_tokens + first;
    add_weights(s, run, record, 0, n, n);
}

void
pd_session_record_layer(PdSession *s, int layer, const PdSpan *span, PdMem q,
                        const PdListAttention *list)
{
    for (int i = 0; i < s->n_head_runs; i++) {
        if (s->head_runs[i].layer == layer && list != NULL)
            record_list(s, &s->head_runs[i], span, list);
        else if (s->head_runs[i].layer == layer)
            record_run(s, &s->head_runs[i], span, q);
    }
}

const float *
pd_session_attention(PdSession *s, int sequence, int *n_rows)
{
    g_assert(sequence >= 0 && sequence < s->options.n_sequences);
    *n_rows = s->n_head_runs > 0 ? s->record_rows[sequence] : 0;
    return *n_rows > 0 ? s->record + (gsize)sequence * (gsize)s->options.max_tokens : NULL;
}
