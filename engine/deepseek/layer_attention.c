/*
 * The attention of one layer (sections 3.1 to 3.4), all three kinds.  For a normed input x at t:
 *
 *   qr = norm(wq_a x),  q = headnorm(wq_b qr),  kv = norm(wkv x),  both turned to t
 *   keys: kv of t - window + 1 .. t, then compressed entries w < (t + 1) / ratio:
 *         all of them, or those that the indexer chooses
 *   o[h] = attend(q[h], keys), turned back by t
 *   out  = wo_b concat_j(wo_a[j] o of group j)
 *
 * Products are made for the whole chunk; state is entered and read row by row, since a row sees the
 * entry that it completes and no later one.  With a device attend_device.c attends many rows at a
 * time.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/run_internal.h"

/* q, kv and qr of all rows. */
static void
project(PdDsRun *r, int l, int first, int n)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayer *layer = &r->model->layers[l];
    const PdDsRope *rope = pd_ds_layer_rope(r, l);
    PdDsScratch *x = &r->scratch;
    gsize head_dim = (gsize)s->head_dim;
    const PdDsProduct of_y[] = {{&layer->wq_a, x->qr}, {&layer->wkv, x->kv}};
    pd_ds_run_products(r, x->y, n, of_y, G_N_ELEMENTS(of_y));
    for (gsize t = 0; t < (gsize)n; t++)
        pd_ds_rms_norm(x->qr + t * (gsize)s->q_rank, layer->q_norm, s->q_rank, s->rms_eps,
                       x->qr + t * (gsize)s->q_rank);
    pd_ds_run_product(r, &layer->wq_b, x->qr, n, x->q);
    for (gsize t = 0; t < (gsize)n; t++) {
        float *kv = x->kv + t * head_dim;
        pd_ds_rope_at(rope, first + (int)t, x->turn);
        for (gsize h = 0; h < (gsize)s->n_heads; h++) {
            float *q = x->q + (t * (gsize)s->n_heads + h) * head_dim;
            pd_ds_rms_norm(q, NULL, s->head_dim, s->rms_eps, q);
            pd_ds_rope_apply(rope, x->turn, q, s->head_dim);
        }
        pd_ds_rms_norm(kv, layer->kv_norm, s->head_dim, s->rms_eps, kv);
        pd_ds_rope_apply(rope, x->turn, kv, s->head_dim);
    }
}

/* A query of the indexer on the same steps as its keys, as floats and as bytes. */
static void
round_query(const PdDsRun *r, float *q, guint8 *bytes)
{
    pd_ds_hadamard(q, r->key.width);
    pd_row_pack(&r->key, q, bytes);
    pd_row_unpack(&r->key, bytes, q);
}

/* What the compressors and the indexer need of all rows. */
static void
project_entries(PdDsRun *r, int l, int first, int n)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayer *layer = &r->model->layers[l];
    const PdDsRope *rope = pd_ds_layer_rope(r, l);
    PdDsScratch *x = &r->scratch;
    gsize heads = (gsize)s->index_heads, dim = (gsize)s->index_dim;
    double scale = 1 / sqrt((double)heads * (double)dim);
    const PdDsProduct of_y[] = {{&layer->compressor.wkv, x->u},
                                {&layer->compressor.wgate, x->s},
                                {&layer->index_compressor.wkv, x->iu},
                                {&layer->index_compressor.wgate, x->is},
                                {&layer->index_weights, x->iw}};
    if (s->layers[l].ratio == 0)
        return;
    pd_ds_run_products(r, x->y, n, of_y, s->layers[l].kind->indexed ? 5 : 2);
    if (!s->layers[l].kind->indexed)
        return;
    pd_ds_run_product(r, &layer->index_wq_b, x->qr, n, x->iq);
    for (gsize i = 0; i < (gsize)n * heads; i++) {
        if (i % heads == 0)
            pd_ds_rope_at(rope, first + (int)(i / heads), x->turn);
        pd_ds_rope_apply(rope, x->turn, x->iq + i * dim, s->index_dim);
        if (r->key.kind == PD_ROW_FP4)
            round_query(r, x->iq + i * dim, x->iq_bytes + i * pd_row_format_bytes(&r->key));
        x->iw[i] = (float)(x->iw[i] * scale);
    }
}

/* Keeps an entry as row w and shows what is read from then on. */
static void
keep_entry(PdDsRun *r, PdDsStage stage, int l, const PdRowFormat *format, guint8 *rows, int w,
           float *entry)
{
    pd_row_pack(format, entry, rows + (gsize)w * pd_row_format_bytes(format));
    pd_ds_show(r, stage, l, w, pd_ds_rows_at(format, rows, w, 1, entry), NULL, format->width);
}

void
pd_ds_enter_row(PdDsRun *r, PdDsSequence *sequence, int l, int position, gsize t)
{
    PdDsLayerState *state = &sequence->layers[l];
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *shape = &s->layers[l];
    const PdDsLayer *layer = &r->model->layers[l];
    const PdDsRope *rope = pd_ds_layer_rope(r, l);
    PdDsScratch *x = &r->scratch;
    gsize head_dim = (gsize)s->head_dim, index_dim = (gsize)s->index_dim;
    gsize coff = (gsize)pd_ds_coff(shape->kind);
    int w = position / MAX(shape->ratio, 1);
    pd_ds_run_keep_overwritten(r, sequence, l, position);
    pd_row_pack(&r->row, x->kv + t * head_dim,
                state->window + (gsize)(position % s->window) * pd_row_format_bytes(&r->row));
    if (shape->ratio == 0)
        return;
    if (pd_ds_compress(shape, &layer->compressor, s->head_dim, s->rms_eps, rope, position,
                       x->u + t * coff * head_dim, x->s + t * coff * head_dim, &state->pool,
                       x->head_out))
        keep_entry(r, PD_DS_ENTRY, l, &r->row, state->entries, w, x->head_out);
    if (shape->kind->indexed &&
        pd_ds_compress(shape, &layer->index_compressor, s->index_dim, s->rms_eps, rope, position,
                       x->iu + t * coff * index_dim, x->is + t * coff * index_dim,
                       &state->index_pool, x->index_key)) {
        if (r->key.kind == PD_ROW_FP4)
            pd_ds_hadamard(x->index_key, s->index_dim);
        keep_entry(r, PD_DS_INDEX_KEY, l, &r->key, state->index_keys, w, x->index_key);
    }
}

/* scores of the first n entries for the indexer's queries of row t */
static void
score_entries(PdDsRun *r, const PdDsLayerState *state, int n, gsize t)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize dim = (gsize)s->index_dim;
    const float *q = x->iq + t * (gsize)s->index_heads * dim;
    const float *weights = x->iw + t * (gsize)s->index_heads;
    for (int at = 0; at < n; at += PD_DS_KEYS_TOGETHER) {
        int k = MIN(PD_DS_KEYS_TOGETHER, n - at);
        const float *keys = pd_ds_rows_at(&r->key, state->index_keys, at, k, x->index_keys);
        pd_ds_index_scores(s, q, weights, keys, k, x->scores + at);
    }
}

/* Row i of window or entries becomes the next key. */
static int
see(PdDsRun *r, const guint8 *rows, int i, int n_keys)
{
    gsize head_dim = (gsize)r->model->shape.head_dim;
    float *room = r->scratch.unpacked + (r->options.mixed ? (gsize)n_keys * head_dim : 0);
    r->keys[n_keys] = pd_ds_rows_at(&r->row, rows, i, 1, room);
    return n_keys + 1;
}

/* Collects the keys that the query at `position` sees in r->keys; returns how many. */
static int
visible_keys(PdDsRun *r, const PdDsLayerState *state, int l, int position, gsize t)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayerShape *shape = &s->layers[l];
    PdDsScratch *x = &r->scratch;
    int n_keys = 0;
    for (int p = MAX(state->first_row, position - s->window + 1); p <= position; p++)
        n_keys = see(r, state->window, p % s->window, n_keys);
    if (shape->ratio == 0)
        return n_keys;
    int n_visible = (position + 1) / shape->ratio, n_picks = n_visible;
    if (shape->kind->indexed) {
        score_entries(r, state, n_visible, t);
        n_picks = pd_ds_top_k(x->scores, n_visible, s->index_top_k, r->ids);
        pd_ds_choose(r, PD_DS_PICKS, l, position, r->ids, n_picks);
        pd_ds_show(r, PD_DS_INDEX_SCORES, l, position, x->scores, NULL, n_visible);
        pd_ds_show(r, PD_DS_PICKS, l, position, NULL, r->ids, n_picks);
    }
    for (int i = 0; i < n_picks; i++)
        n_keys = see(r, state->entries, shape->kind->indexed ? r->ids[i] : i, n_keys);
    return n_keys;
}

/* The outputs of all heads of row t take the place of its queries. */
static void
attend(PdDsRun *r, const PdDsLayerState *state, int l, int position, gsize t)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsRope *rope = pd_ds_layer_rope(r, l);
    PdDsScratch *x = &r->scratch;
    gsize head_dim = (gsize)s->head_dim;
    int n_keys = visible_keys(r, state, l, position, t);
    pd_ds_rope_at(rope, position, x->turn);
    for (gsize h = 0; h < (gsize)s->n_heads; h++) {
        float *q = x->q + (t * (gsize)s->n_heads + h) * head_dim;
        pd_ds_attend(q, s->head_dim, r->keys, n_keys, r->model->layers[l].sink[h], x->logits,
                     x->head_out);
        pd_ds_rope_undo(rope, x->turn, x->head_out, s->head_dim);
        memcpy(q, x->head_out, head_dim * sizeof *q);
    }
}

void
pd_ds_layer_attention(PdDsRun *r, PdDsSequence *sequence, int l, int first, int n)
{
    const PdDsLayer *layer = &r->model->layers[l];
    PdDsLayerState *state = &sequence->layers[l];
    PdDsScratch *x = &r->scratch;
    project(r, l, first, n);
    project_entries(r, l, first, n);
    if (r->device != NULL)
        pd_ds_attend_on_device(r, sequence, l, first, n);
    for (int t = 0; r->device == NULL && t < n; t++) {
        pd_ds_enter_row(r, sequence, l, first + t, (gsize)t);
        attend(r, state, l, first + t, (gsize)t);
        pd_ds_run_keep_layer(r, sequence, l, first + t + 1);
    }
    pd_ds_run_groups(r, &layer->wo_a, n);
    pd_ds_run_product(r, &layer->wo_b, x->z, n, x->f);
}
