/*
 * The attention of a chunk's rows on the device, many rows at a time: the same as
 * layer_attention.c does row by row.  All rows are entered first.  That loses nothing of the
 * compressed entries, which are never overwritten and of which a row sees those that its position
 * says; the window's rows are kept in `recent` in order of position, since the ring holds the last
 * ones only.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/run_internal.h"

/* Scores that are kept at once, unless those of one row are more. */
#define SCORES_BYTES (4 << 20)

int
pd_ds_select_rows(int batch_rows, int n_entries)
{
    gsize row_bytes = (gsize)MAX(n_entries, 1) * sizeof(float);
    return (int)CLAMP(SCORES_BYTES / row_bytes, 1, (gsize)batch_rows);
}

/* Enters n rows; returns how many rows of `recent` lie before theirs. */
static int
enter_rows(PdDsRun *r, PdDsSequence *sequence, int l, int first, int n)
{
    PdDsLayerState *state = &sequence->layers[l];
    int window = r->model->shape.window, n_before = MIN(first - state->first_row, window - 1);
    gsize row_bytes = pd_row_format_bytes(&r->row);
    guint8 *recent = r->scratch.recent;
    for (int p = first - n_before; p < first; p++, recent += row_bytes)
        memcpy(recent, state->window + (gsize)(p % window) * row_bytes, row_bytes);
    for (int t = 0; t < n; t++, recent += row_bytes) {
        int p = first + t;
        pd_ds_enter_row(r, sequence, l, p, (gsize)t);
        memcpy(recent, state->window + (gsize)(p % window) * row_bytes, row_bytes);
        pd_ds_run_keep_layer(r, sequence, l, p + 1);
    }
    return n_before;
}

static void
show_choice(const PdDsRun *r, int l, int position, int at, int n_keys, int stride)
{
    const PdDsScratch *x = &r->scratch;
    int top_k = r->model->shape.index_top_k;
    pd_ds_show(r, PD_DS_INDEX_SCORES, l, position, x->scores + (gsize)at * (gsize)stride, NULL,
               n_keys);
    pd_ds_show(r, PD_DS_PICKS, l, position, NULL, x->picks + (gsize)at * (gsize)top_k,
               MIN(n_keys, top_k));
}

/* Picks of rows [at, at + n) of the chunk, whose entries are counted in x->n_entries; leaves there
 * how many of them are attended. */
static void
select_entries(PdDsRun *r, const PdDsLayerState *state, int l, int first, int at, int n)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize heads = (gsize)s->index_heads, row = (gsize)at * heads;
    gsize key_bytes = pd_row_format_bytes(&r->key);
    const guint8 *q = r->options.mixed ? x->iq_bytes : (const guint8 *)x->iq;
    PdIndexScan scan = {.kind = r->key.kind,
                        .dim = s->index_dim,
                        .n_heads = s->index_heads,
                        .keys = pd_ds_run_mem(r, state->index_keys),
                        .q = pd_ds_run_mem(r, q + row * key_bytes),
                        .weights = pd_ds_run_mem(r, x->iw + row),
                        .n_q = n,
                        .n_keys = x->n_entries,
                        .top_k = s->index_top_k,
                        .scores = pd_ds_run_mem(r, x->scores),
                        .scores_stride = MAX(x->n_entries[n - 1], 1),
                        .all_scores = r->trace != NULL,
                        .picks = pd_ds_run_mem(r, x->picks)};
    r->no_memory |= r->device->ops->index_select(r->device, &scan) != PD_KERNEL_OK;
    for (int i = 0; i < n; i++) {
        int n_picks = MIN(x->n_entries[i], s->index_top_k);
        pd_ds_choose(r, PD_DS_PICKS, l, first + at + i, x->picks + (gsize)i * (gsize)s->index_top_k,
                     n_picks);
        if (r->trace != NULL)
            show_choice(r, l, first + at + i, i, x->n_entries[i], scan.scores_stride);
        x->n_entries[i] = n_picks;
    }
}

/* The outputs of rows [at, at + n) take the place of their queries. */
static void
attend_rows(PdDsRun *r, const PdDsLayerState *state, int l, int first, int at, int n, int n_before)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *shape = &s->layers[l];
    PdDsScratch *x = &r->scratch;
    gsize width = (gsize)s->n_heads * (gsize)s->head_dim;
    PdMem q = pd_ds_run_mem(r, x->q + (gsize)at * width);
    for (int i = 0; i < n; i++)
        x->n_entries[i] = shape->ratio > 0 ? (first + at + i + 1) / shape->ratio : 0;
    if (shape->kind->indexed)
        select_entries(r, state, l, first, at, n);
    memcpy(x->sinks, r->model->layers[l].sink, (gsize)s->n_heads * sizeof *x->sinks);
    PdSharedAttention a = {.format = r->row,
                           .q = q,
                           .out = q,
                           .n_q = n,
                           .n_heads = s->n_heads,
                           .scale = (float)(1 / sqrt(s->head_dim)),
                           .sinks = pd_ds_run_mem(r, x->sinks),
                           .window = pd_ds_run_mem(r, x->recent),
                           .n_before = n_before + at,
                           .n_window = s->window,
                           .n_entries = x->n_entries};
    if (shape->ratio > 0)
        a.entries = pd_ds_run_mem(r, state->entries);
    if (shape->kind->indexed) {
        a.picks = pd_ds_run_mem(r, x->picks);
        a.picks_stride = s->index_top_k;
    }
    r->no_memory |= r->device->ops->attention_shared(r->device, &a) != PD_KERNEL_OK;
}

void
pd_ds_attend_on_device(PdDsRun *r, PdDsSequence *sequence, int l, int first, int n)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsRope *rope = pd_ds_layer_rope(r, l);
    PdDsScratch *x = &r->scratch;
    gsize head_dim = (gsize)s->head_dim;
    int n_before = enter_rows(r, sequence, l, first, n);
    for (int at = 0; at < n; at += r->select_rows)
        attend_rows(r, &sequence->layers[l], l, first, at, MIN(r->select_rows, n - at), n_before);
    for (gsize t = 0; t < (gsize)n; t++) {
        pd_ds_rope_at(rope, first + (int)t, x->turn);
        for (gsize h = 0; h < (gsize)s->n_heads; h++)
            pd_ds_rope_undo(rope, x->turn, x->q + (t * (gsize)s->n_heads + h) * head_dim,
                            s->head_dim);
    }
}
