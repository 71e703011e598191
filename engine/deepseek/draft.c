/*
 * The draft block, MTP (section 6.1): from the streams H_t after the last layer and the token t + 1
 * it guesses the token t + 2.
 *
 *   e      = norm(embed[token t + 1], enorm)
 *   x[k]   = e_proj e + h_proj norm(H_t[k], hnorm)              for every stream k
 *   x      = layer(x)                                           window only, routed by score
 *   logits = head . norm(sum_k pre[k] x[k])                     pre and norm of its own
 */
#include <string.h>
#include "engine/deepseek/run_internal.h"
#include "engine/sampler.h"

/* x[k] of one row; y and f of the scratch are free here. */
static void
join(PdDsRun *r, const float *streams, gint32 next, float *joined)
{
    const PdDsDraft *draft = &r->model->draft;
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize d = (gsize)s->n_embd;
    pd_ds_matrix_row(&r->model->embed, next, x->y);
    pd_ds_rms_norm(x->y, draft->enorm, s->n_embd, s->rms_eps, x->y);
    pd_ds_run_product(r, &draft->e_proj, x->y, 1, x->f);
    for (gsize k = 0; k < (gsize)s->hc_mult; k++) {
        float *stream = joined + k * d;
        pd_ds_rms_norm(streams + k * d, draft->hnorm, s->n_embd, s->rms_eps, x->y);
        pd_ds_run_product(r, &draft->h_proj, x->y, 1, stream);
        for (gsize i = 0; i < d; i++)
            stream[i] += x->f[i];
    }
}

/* Rows that do not join those before: the block begins anew with an empty window. */
static void
begin_at(PdDsRun *r, PdDsSequence *seq, int position)
{
    if (seq->n_drafted == position)
        return;
    seq->n_drafted = seq->layers[r->model->shape.n_layers].first_row = position;
}

gboolean
pd_ds_run_draft(PdDsRun *r, int sequence, int row, const gint32 *next, int n)
{
    const PdDsModel *m = r->model;
    PdDsSequence *seq = &r->sequences[sequence];
    PdDsScratch *x = &r->scratch;
    gsize width = (gsize)m->shape.hc_mult * (gsize)m->shape.n_embd;
    float *streams = x->streams;
    gboolean had_memory = TRUE;
    g_assert(m->has_draft && row >= 0 && n <= pd_ds_run_n_at_hand(r, sequence) - row);
    begin_at(r, seq, r->pass.first + row);
    for (gsize t = 0; t < (gsize)n; t++)
        join(r, streams + ((gsize)row + t) * width, next[t], x->ahead + t * width);
    x->streams = x->ahead; /* the layer's; the model's rows stay as they are */
    pd_ds_run_layer(r, seq, m->shape.n_layers, next, seq->n_drafted, n);
    had_memory = !r->no_memory;
    r->no_memory = FALSE;
    x->streams = streams;
    seq->n_drafted += n;
    if (!had_memory)
        pd_ds_run_forget_draft(r, seq);
    return had_memory;
}

gboolean
pd_ds_run_draft_logits(PdDsRun *r, int row, float *logits)
{
    const PdDsModel *m = r->model;
    gsize width = (gsize)m->shape.hc_mult * (gsize)m->shape.n_embd;
    return pd_ds_run_head(r, &m->draft.head_site, m->draft.norm,
                          r->scratch.ahead + (gsize)row * width, logits);
}

gint32
pd_ds_run_draft_token(PdDsRun *r, int row)
{
    if (!pd_ds_run_draft_logits(r, row, r->scratch.vocab))
        return -1;
    return pd_sampler_best(r->scratch.vocab, r->model->shape.n_vocab);
}

int
pd_ds_run_n_at_hand(const PdDsRun *r, int sequence)
{
    return r->pass.sequence == sequence ? r->pass.n : 0;
}

int
pd_ds_run_n_drafted(const PdDsRun *r, int sequence)
{
    return r->sequences[sequence].n_drafted;
}
