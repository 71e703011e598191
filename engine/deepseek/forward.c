/*
 * The whole model (section 2.1), a chunk of tokens at a time:
 *
 *   x[k] = embed[token] for every stream k
 *   for every layer, with its two sublayers (attention, experts):
 *       pre, post, comb = mixing weights of x
 *       f = sublayer(norm(sum_k pre[k] x[k]))
 *       x = post f + comb^T x
 *   logits = head . norm(sum_k pre[k] x[k])                with the head's pre
 *
 * There is no other residual sum.
 */
#include <string.h>
#include "engine/deepseek/run_internal.h"

static gsize
streams_width(const PdDsShape *s)
{
    return (gsize)s->hc_mult * (gsize)s->n_embd;
}

static void
embed(PdDsRun *r, const gint32 *tokens, int n)
{
    const PdDsShape *s = &r->model->shape;
    gsize d = (gsize)s->n_embd;
    for (gsize t = 0; t < (gsize)n; t++) {
        float *streams = r->scratch.streams + t * streams_width(s);
        pd_ds_matrix_row(&r->model->embed, tokens[t], streams);
        for (gsize k = 1; k < (gsize)s->hc_mult; k++)
            memcpy(streams + k * d, streams, d * sizeof *streams);
    }
}

/* y = norm(sum_k pre[k] x[k]); post and comb are kept for leave(). */
static void
enter(PdDsRun *r, const PdDsSite *site, const float *norm, int n)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize hc = (gsize)s->hc_mult, d = (gsize)s->n_embd, width = (gsize)pd_ds_mix_width(s);
    pd_ds_run_product(r, &site->fn, x->streams, n, x->mix);
    for (gsize t = 0; t < (gsize)n; t++) {
        const float *streams = x->streams + t * streams_width(s);
        float *y = x->y + t * d;
        pd_ds_hyper_weights(s, site, streams, x->mix + t * width, x->pre, x->post + t * hc,
                            x->comb + t * hc * hc);
        pd_ds_hyper_collapse(s, x->pre, streams, y);
        pd_ds_rms_norm(y, norm, s->n_embd, s->rms_eps, y);
    }
}

/* x = post f + comb^T x */
static void
leave(PdDsRun *r, int n)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize hc = (gsize)s->hc_mult;
    for (gsize t = 0; t < (gsize)n; t++)
        pd_ds_hyper_expand(s, x->post + t * hc, x->comb + t * hc * hc, x->f + t * (gsize)s->n_embd,
                           x->streams + t * streams_width(s), x->old);
}

/* The experts of row t, by the reference. */
static void
experts_of_row(PdDsRun *r, const PdDsLayer *layer, gsize t)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    const float *y = x->y + t * (gsize)s->n_embd;
    float *f = x->f + t * (gsize)s->n_embd;
    memset(f, 0, (gsize)s->n_embd * sizeof *f);
    for (gsize i = t * (gsize)s->n_experts_used; i < (t + 1) * (gsize)s->n_experts_used; i++)
        pd_ds_expert(s, &layer->experts[x->expert_ids[i]], x->expert_weights[i], y, x->gate, x->up,
                     x->expert_out, x->row, f);
    pd_ds_expert(s, &layer->shared, 1, y, x->gate, x->up, x->expert_out, x->row, f);
}

/* f = experts(y) */
static void
experts(PdDsRun *r, int l, const gint32 *tokens, int first, int n)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayer *layer = &r->model->layers[l];
    PdDsScratch *x = &r->scratch;
    gsize n_used = (gsize)s->n_experts_used;
    pd_ds_run_product(r, &layer->gate, x->y, n, x->router);
    for (gsize t = 0; t < (gsize)n; t++) {
        int *ids = x->expert_ids + t * n_used;
        float *weights = x->expert_weights + t * n_used;
        float *router = x->router + t * (gsize)s->n_experts;
        pd_ds_choose_experts(s, layer, tokens[t], router, x->biased, ids);
        pd_ds_choose(r, PD_DS_FFN_EXPERTS, l, first + (int)t, ids, s->n_experts_used);
        pd_ds_weigh_experts(s, router, ids, weights);
        pd_ds_show(r, PD_DS_FFN_EXPERTS, l, first + (int)t, weights, ids, s->n_experts_used);
    }
    if (r->device != NULL) {
        pd_ds_experts_on_device(r, l, n);
        return;
    }
    for (gsize t = 0; t < (gsize)n; t++)
        experts_of_row(r, layer, t);
}

/* Shows n rows of `width` values. */
static void
show_rows(const PdDsRun *r, PdDsStage stage, int l, int first, int n, const float *rows,
          gsize width)
{
    for (int t = 0; r->trace != NULL && t < n; t++)
        pd_ds_show(r, stage, l, first + t, rows + (gsize)t * width, NULL, (int)width);
}

static void
show_entered(const PdDsRun *r, PdDsStage post, int l, int first, int n)
{
    gsize hc = (gsize)r->model->shape.hc_mult;
    show_rows(r, post, l, first, n, r->scratch.post, hc);
    show_rows(r, post + 1, l, first, n, r->scratch.comb, hc * hc);
    show_rows(r, post + 2, l, first, n, r->scratch.y, (gsize)r->model->shape.n_embd);
}

void
pd_ds_run_layer(PdDsRun *r, PdDsSequence *seq, int l, const gint32 *tokens, int first, int n)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayer *layer = &r->model->layers[l];
    PdDsScratch *x = &r->scratch;
    enter(r, &layer->attn_site, layer->attn_norm, n);
    show_entered(r, PD_DS_ATTN_POST, l, first, n);
    pd_ds_layer_attention(r, seq, l, first, n);
    show_rows(r, PD_DS_ATTN_OUT, l, first, n, x->f, (gsize)s->n_embd);
    leave(r, n);
    enter(r, &layer->ffn_site, layer->ffn_norm, n);
    show_entered(r, PD_DS_FFN_POST, l, first, n);
    experts(r, l, tokens, first, n);
    show_rows(r, PD_DS_FFN_OUT, l, first, n, x->f, (gsize)s->n_embd);
    leave(r, n);
    show_rows(r, PD_DS_STREAMS, l, first, n, x->streams, streams_width(s));
}

gboolean
pd_ds_run_forward(PdDsRun *r, int sequence, const gint32 *tokens, int n)
{
    PdDsSequence *seq = &r->sequences[sequence];
    g_assert(n <= r->options.batch_rows && n <= r->options.max_tokens - seq->n_tokens);
    r->pass = (PdDsPass){sequence, seq->n_tokens, n};
    seq->last_row.n_tokens = 0;
    embed(r, tokens, n);
    for (int l = 0; l < r->model->shape.n_layers; l++)
        pd_ds_run_layer(r, seq, l, tokens, seq->n_tokens, n);
    if (r->no_memory) {
        r->no_memory = FALSE;
        pd_ds_run_fall_back(r, seq);
        return FALSE;
    }
    seq->n_tokens += n;
    seq->last_row.n_tokens = seq->n_tokens;
    return TRUE;
}

gboolean
pd_ds_run_head(PdDsRun *r, const PdDsSite *site, const float *norm, const float *streams,
               float *logits)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    pd_ds_run_product(r, &site->fn, streams, 1, x->mix);
    pd_ds_hyper_head(s, site, streams, x->mix, x->pre);
    pd_ds_hyper_collapse(s, x->pre, streams, x->expert_out);
    pd_ds_rms_norm(x->expert_out, norm, s->n_embd, s->rms_eps, x->expert_out);
    if (r->device == NULL) {
        pd_ds_product(&r->model->head, x->expert_out, 1, logits, x->row);
        return TRUE;
    }
    gboolean had_memory;
    pd_ds_run_product(r, &r->model->head, x->expert_out, 1, x->vocab);
    if (logits != x->vocab)
        memcpy(logits, x->vocab, (gsize)s->n_vocab * sizeof *logits);
    had_memory = !r->no_memory;
    r->no_memory = FALSE;
    return had_memory;
}

gboolean
pd_ds_run_logits(PdDsRun *r, int row, float *logits)
{
    const PdDsModel *m = r->model;
    const float *streams = r->scratch.streams + (gsize)row * streams_width(&m->shape);
    return pd_ds_run_head(r, &m->head_site, m->norm, streams, logits);
}
