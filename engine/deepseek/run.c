/*
 * What a run allocates: one block of floats for the state of all sequences and the room of a chunk.
 * The same walk over the places counts them first and hands them out afterwards.
 */
#include "engine/deepseek/run_internal.h"

/* NULL base: only counts. */
typedef struct {
    float *base;
    guint64 n_floats;
} Places;

static float *
take(Places *p, guint64 rows, guint64 width)
{
    guint64 n = rows * width; /* both are bounded by the checks of config.c and session.c */
    float *place = p->base != NULL ? p->base + p->n_floats : NULL;
    if (!g_uint64_checked_add(&p->n_floats, p->n_floats, n))
        p->n_floats = G_MAXUINT64;
    return place;
}

static int
layer_entries(const PdDsLayerShape *layer, int max_tokens)
{
    return layer->ratio > 0 ? max_tokens / layer->ratio : 0;
}

/* The most entries that any layer has, or that a query of one attends. */
static int
most_entries(const PdDsShape *s, int max_tokens, gboolean attended)
{
    int most = 0;
    for (int l = 0; l < s->n_layers; l++) {
        int n = layer_entries(&s->layers[l], max_tokens);
        if (attended && s->layers[l].kind->indexed)
            n = MIN(n, s->index_top_k);
        most = MAX(most, n);
    }
    return most;
}

static void
place_pool(Places *p, const PdDsLayerShape *layer, int width, int max_tokens, PdDsPool *pool)
{
    guint64 coff = (guint64)pd_ds_coff(layer->kind), rows = coff * (guint64)layer->ratio;
    pool->values = take(p, rows, coff * (guint64)width);
    pool->scores = take(p, rows, coff * (guint64)width);
    pool->entries = take(p, (guint64)layer_entries(layer, max_tokens), (guint64)width);
}

static void
place_layer(Places *p, const PdDsShape *s, const PdDsLayerShape *layer, int max_tokens,
            PdDsLayerState *state)
{
    state->window = take(p, (guint64)s->window, (guint64)s->head_dim);
    if (layer->ratio > 0)
        place_pool(p, layer, s->head_dim, max_tokens, &state->pool);
    if (layer->kind->indexed)
        place_pool(p, layer, s->index_dim, max_tokens, &state->index);
}

static void
place_scratch(Places *p, const PdDsModel *m, int max_tokens, int batch_rows, PdDsScratch *x)
{
    const PdDsShape *s = &m->shape;
    guint64 n = (guint64)batch_rows, d = (guint64)s->n_embd, hc = (guint64)s->hc_mult;
    guint64 head_dim = (guint64)s->head_dim, index_dim = (guint64)s->index_dim;
    guint64 widest = MAX(MAX(hc * d, (guint64)s->q_rank), (guint64)s->n_ff);
    widest =
        MAX(MAX(widest, (guint64)pd_ds_group_width(s)), (guint64)s->o_groups * (guint64)s->o_rank);
    x->streams = take(p, n, hc * d);
    x->ahead = take(p, m->has_draft ? n : 0, hc * d);
    x->y = take(p, n, d);
    x->f = take(p, n, d);
    x->mix = take(p, n, (guint64)pd_ds_mix_width(s));
    x->post = take(p, n, hc);
    x->comb = take(p, n, hc * hc);
    x->qr = take(p, n, (guint64)s->q_rank);
    x->q = take(p, n, (guint64)s->n_heads * head_dim);
    x->kv = take(p, n, head_dim);
    x->u = take(p, n, 2 * head_dim);
    x->s = take(p, n, 2 * head_dim);
    x->iu = take(p, n, 2 * index_dim);
    x->is = take(p, n, 2 * index_dim);
    x->iq = take(p, n, (guint64)s->index_heads * index_dim);
    x->iw = take(p, n, (guint64)s->index_heads);
    x->z = take(p, n, (guint64)s->o_groups * (guint64)s->o_rank);
    x->router = take(p, n, (guint64)s->n_experts);
    x->pre = take(p, 1, hc);
    x->old = take(p, hc, d);
    x->head_out = take(p, 1, head_dim);
    x->turn = take(p, 1, (guint64)s->rope_dim);
    x->scores = take(p, 1, (guint64)most_entries(s, max_tokens, FALSE));
    x->logits = take(p, 1, (guint64)(s->window + most_entries(s, max_tokens, TRUE)));
    x->biased = take(p, 1, (guint64)s->n_experts);
    x->weights = take(p, 1, (guint64)s->n_experts_used);
    x->gate = take(p, 1, (guint64)s->n_ff);
    x->up = take(p, 1, (guint64)s->n_ff);
    x->expert_out = take(p, 1, d);
    x->row = take(p, 1, widest);
}

static guint64
place_all(const PdDsModel *m, int n_sequences, int max_tokens, int batch_rows, float *base,
          PdDsLayerState *states, PdDsScratch *scratch)
{
    const PdDsShape *s = &m->shape;
    int n_layers = s->n_layers + (m->has_draft ? 1 : 0);
    Places p = {base, 0};
    guint64 before = 0;
    place_scratch(&p, m, max_tokens, batch_rows, scratch);
    for (int i = 0; i < n_sequences; i++) {
        PdDsLayerState unused;
        before = p.n_floats;
        for (int l = 0; l < n_layers; l++)
            place_layer(&p, s, &s->layers[l], max_tokens,
                        states != NULL ? &states[i * (s->n_layers + 1) + l] : &unused);
        if (base != NULL)
            continue;
        /* Counting: all sequences are alike. */
        guint64 rest;
        if (!g_uint64_checked_mul(&rest, p.n_floats - before, (guint64)n_sequences - 1) ||
            !g_uint64_checked_add(&p.n_floats, p.n_floats, rest))
            p.n_floats = G_MAXUINT64;
        break;
    }
    return p.n_floats;
}

static gsize
n_keys(const PdDsShape *s, int max_tokens)
{
    return (gsize)(s->window + most_entries(s, max_tokens, TRUE));
}

static gsize
n_ids(const PdDsShape *s, int max_tokens)
{
    return (gsize)MAX(most_entries(s, max_tokens, TRUE), s->n_experts_used);
}

guint64
pd_ds_run_bytes(const PdDsModel *m, int n_sequences, int max_tokens, int batch_rows)
{
    const PdDsShape *s = &m->shape;
    PdDsScratch unused;
    guint64 n_floats = place_all(m, n_sequences, max_tokens, batch_rows, NULL, NULL, &unused);
    guint64 n_bytes = n_keys(s, max_tokens) * sizeof(float *) + n_ids(s, max_tokens) * sizeof(int) +
                      (guint64)n_sequences * (guint64)(s->n_layers + 1) * sizeof(PdDsLayerState);
    if (!g_uint64_checked_mul(&n_floats, n_floats, sizeof(float)) ||
        !g_uint64_checked_add(&n_bytes, n_bytes, n_floats))
        return G_MAXUINT64;
    return n_bytes;
}

PdDsRun *
pd_ds_run_new(const PdDsModel *model, int n_sequences, int max_tokens, int batch_rows)
{
    const PdDsShape *s = &model->shape;
    PdDsRun *r = g_new0(PdDsRun, 1);
    guint64 n_floats =
        place_all(model, n_sequences, max_tokens, batch_rows, NULL, NULL, &r->scratch);
    *r = (PdDsRun){.model = model,
                   .n_sequences = n_sequences,
                   .max_tokens = max_tokens,
                   .batch_rows = batch_rows};
    r->sequences = g_try_new0(PdDsSequence, n_sequences);
    r->layer_states = g_try_new0(PdDsLayerState, (gsize)n_sequences * (gsize)(s->n_layers + 1));
    r->keys = g_try_new(const float *, n_keys(s, max_tokens));
    r->ids = g_try_new(int, n_ids(s, max_tokens));
    if (n_floats <= G_MAXSIZE / sizeof(float))
        r->floats = g_try_new(float, (gsize)n_floats);
    if (r->sequences == NULL || r->layer_states == NULL || r->keys == NULL || r->ids == NULL ||
        r->floats == NULL) {
        pd_ds_run_free(r);
        return NULL;
    }
    place_all(model, n_sequences, max_tokens, batch_rows, r->floats, r->layer_states, &r->scratch);
    pd_ds_rope_init(&r->rope, &s->rope, s->rope_dim);
    pd_ds_rope_init(&r->rope_far, &s->rope_far, s->rope_dim);
    for (int i = 0; i < n_sequences; i++) {
        r->sequences[i].layers = r->layer_states + (gsize)i * (gsize)(s->n_layers + 1);
        pd_ds_run_clear(r, i);
    }
    return r;
}

void
pd_ds_run_free(PdDsRun *r)
{
    if (r == NULL)
        return;
    g_free(r->sequences);
    g_free(r->layer_states);
    g_free(r->keys);
    g_free(r->ids);
    g_free(r->floats);
    g_free(r);
}

int
pd_ds_run_n_tokens(const PdDsRun *r, int sequence)
{
    return r->sequences[sequence].n_tokens;
}

void
pd_ds_run_clear(PdDsRun *r, int sequence)
{
    const PdDsShape *s = &r->model->shape;
    PdDsSequence *seq = &r->sequences[sequence];
    seq->n_tokens = seq->n_drafted = 0;
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layers[l].ratio > 0)
            pd_ds_pool_clear(&s->layers[l], s->head_dim, &seq->layers[l].pool);
        if (s->layers[l].kind->indexed)
            pd_ds_pool_clear(&s->layers[l], s->index_dim, &seq->layers[l].index);
    }
}

void
pd_ds_run_set_trace(PdDsRun *r, PdDsTraceFunc func, gpointer user_data)
{
    r->trace = func;
    r->trace_data = user_data;
}
