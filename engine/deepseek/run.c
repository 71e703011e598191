/*
 * What a run allocates: one block of bytes for the state of all sequences, their snapshots and the
 * room of a chunk.  The same walk over the places counts them first and hands them out afterwards.
 */
#include "engine/deepseek/run_internal.h"

/* NULL base: only counts. */
typedef struct {
    guint8 *base;
    guint64 n_bytes;
} Places;

/* Every place begins at a multiple of this: floats may lie there, and lines of the cache. */
#define ALIGN_BYTES 64

static guint8 *
take_bytes(Places *p, guint64 rows, guint64 row_bytes)
{
    guint8 *place = p->base != NULL ? p->base + p->n_bytes : NULL;
    guint64 n;
    if (!g_uint64_checked_mul(&n, rows, row_bytes) || n > G_MAXUINT64 - ALIGN_BYTES ||
        !g_uint64_checked_add(&p->n_bytes, p->n_bytes,
                              (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES))
        p->n_bytes = G_MAXUINT64;
    return place;
}

static float *
take(Places *p, guint64 rows, guint64 width)
{
    /* The product of two is bounded by the checks of config.c and session.c. */
    return (float *)(void *)take_bytes(p, rows, width * sizeof(float));
}

static int *
take_ints(Places *p, guint64 rows, guint64 width)
{
    return (int *)(void *)take_bytes(p, rows, width * sizeof(int));
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
place_pool(Places *p, const PdDsLayerShape *layer, int width, PdDsPool *pool)
{
    guint64 coff = (guint64)pd_ds_coff(layer->kind), rows = coff * (guint64)layer->ratio;
    pool->values = take(p, rows, coff * (guint64)width);
    pool->scores = take(p, rows, coff * (guint64)width);
}

static void
place_layer(Places *p, const PdDsRun *r, const PdDsLayerShape *layer, PdDsLayerState *state)
{
    const PdDsShape *s = &r->model->shape;
    guint64 n_entries = (guint64)layer_entries(layer, r->options.max_tokens);
    state->window = take_bytes(p, (guint64)s->window, pd_row_format_bytes(&r->row));
    if (layer->ratio > 0) {
        place_pool(p, layer, s->head_dim, &state->pool);
        state->entries = take_bytes(p, n_entries, pd_row_format_bytes(&r->row));
    }
    if (layer->kind->indexed) {
        place_pool(p, layer, s->index_dim, &state->index_pool);
        state->index_keys = take_bytes(p, n_entries, pd_row_format_bytes(&r->key));
    }
}

/* What only a device needs, for chunks of n rows. */
static void
place_device_scratch(Places *p, const PdDsRun *r, guint64 n, PdDsScratch *x)
{
    const PdDsShape *s = &r->model->shape;
    x->recent = take_bytes(p, (guint64)(s->window - 1) + n, pd_row_format_bytes(&r->row));
    x->picks = take_ints(p, (guint64)r->select_rows, (guint64)MAX(s->index_top_k, 1));
    x->n_entries = take_ints(p, n, 1);
    x->sinks = take(p, 1, (guint64)s->n_heads);
    x->group_in = take(p, n, (guint64)pd_ds_group_width(s));
    x->group_out = take(p, n, (guint64)s->o_rank);
    x->gathered = take(p, n, (guint64)s->n_embd);
    x->order = take_ints(p, n, (guint64)s->n_experts_used);
    x->expert_first = take_ints(p, 1, (guint64)s->n_experts + 1);
}

static void
place_scratch(Places *p, const PdDsRun *r, PdDsScratch *x)
{
    const PdDsShape *s = &r->model->shape;
    int max_tokens = r->options.max_tokens;
    guint64 n_seen = (guint64)(s->window + most_entries(s, max_tokens, TRUE));
    guint64 n = (guint64)r->options.batch_rows, together = r->device != NULL ? n : 1;
    guint64 d = (guint64)s->n_embd, hc = (guint64)s->hc_mult;
    guint64 head_dim = (guint64)s->head_dim, index_dim = (guint64)s->index_dim;
    guint64 widest = MAX(MAX(hc * d, (guint64)s->q_rank), (guint64)s->n_ff);
    widest =
        MAX(MAX(widest, (guint64)pd_ds_group_width(s)), (guint64)s->o_groups * (guint64)s->o_rank);
    x->streams = take(p, n, hc * d);
    x->ahead = take(p, r->model->has_draft ? n : 0, hc * d);
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
    x->scores = take(p, (guint64)r->select_rows, (guint64)most_entries(s, max_tokens, FALSE));
    x->logits = take(p, 1, n_seen);
    x->unpacked = take(p, r->options.mixed ? n_seen : 0, head_dim);
    x->index_key = take(p, 1, index_dim);
    x->index_keys = take(p, r->options.mixed ? PD_DS_KEYS_TOGETHER : 0, index_dim);
    x->biased = take(p, 1, (guint64)s->n_experts);
    x->gate = take(p, together, (guint64)s->n_ff);
    x->up = take(p, together, (guint64)s->n_ff);
    x->expert_out = take(p, together, d);
    x->row = take(p, 1, widest);
    x->iq_bytes = take_bytes(p, r->options.mixed ? n : 0,
                             (guint64)s->index_heads * pd_row_format_bytes(&r->key));
    x->expert_ids = take_ints(p, n, (guint64)s->n_experts_used);
    x->expert_weights = take(p, n, (guint64)s->n_experts_used);
    x->vocab = take(p, r->device != NULL || r->model->has_draft ? 1 : 0, (guint64)s->n_vocab);
    if (r->device != NULL)
        place_device_scratch(p, r, n, x);
}

/* A sequence's layers and snapshots; one without layers and anchors: only counts. */
static void
place_sequence(Places *p, const PdDsRun *r, PdDsSequence *seq)
{
    PdDsLayerState *states = seq->layers;
    PdDsSnapshot *anchors = seq->anchors;
    const PdDsShape *s = &r->model->shape;
    int n_layers = s->n_layers + (r->model->has_draft ? 1 : 0);
    PdDsLayerState unused;
    for (int l = 0; l < n_layers; l++)
        place_layer(p, r, &s->layers[l], states != NULL ? &states[l] : &unused);
    if (anchors == NULL)
        take_bytes(p, (guint64)r->n_anchors,
                   (pd_ds_anchor_bytes(r) + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES);
    for (int i = 0; anchors != NULL && i < r->n_anchors; i++)
        anchors[i].bytes = take_bytes(p, 1, pd_ds_anchor_bytes(r));
    seq->mark.bytes = take_bytes(p, 1, pd_ds_mark_bytes(r));
    seq->last_row.bytes = take_bytes(p, 1, pd_ds_last_row_bytes(r));
}

/* Hands out everything. */
static void
place_all(PdDsRun *r)
{
    Places p = {r->bytes, 0};
    place_scratch(&p, r, &r->scratch);
    for (int i = 0; i < r->options.n_sequences; i++) {
        PdDsSequence *seq = &r->sequences[i];
        seq->layers = r->layer_states + (gsize)i * (gsize)(r->model->shape.n_layers + 1);
        seq->anchors = r->anchors + (gsize)i * (gsize)r->n_anchors;
        place_sequence(&p, r, seq);
    }
}

/* What place_all hands out, all sequences being alike. */
static guint64
count_all(const PdDsRun *r)
{
    Places fixed = {NULL, 0}, each = {NULL, 0};
    PdDsScratch unused;
    PdDsSequence counted = {.layers = NULL};
    guint64 n_bytes;
    place_scratch(&fixed, r, &unused);
    place_sequence(&each, r, &counted);
    if (!g_uint64_checked_mul(&n_bytes, each.n_bytes, (guint64)r->options.n_sequences) ||
        !g_uint64_checked_add(&n_bytes, n_bytes, fixed.n_bytes))
        return G_MAXUINT64;
    return n_bytes;
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

PdDsRun
pd_ds_run_describe(const PdDsModel *model, const PdDsRunOptions *options)
{
    PdDsRun r = {.model = model, .options = *options, .device = options->device};
    gint64 anchor_tokens;
    r.select_rows = 1;
    if (r.device != NULL)
        r.select_rows = pd_ds_select_rows(options->batch_rows,
                                          most_entries(&model->shape, options->max_tokens, FALSE));
    r.row = pd_ds_row_format(&model->shape, options->mixed);
    r.key = pd_ds_key_format(&model->shape, options->mixed);
    r.unit_tokens = pd_ds_unit_tokens(&model->shape);
    anchor_tokens = (gint64)r.unit_tokens * options->anchor_units;
    r.anchor_tokens = (int)MIN(anchor_tokens, G_MAXINT32);
    r.n_anchors = options->max_tokens / r.anchor_tokens;
    return r;
}

guint64
pd_ds_run_bytes(const PdDsModel *m, const PdDsRunOptions *options)
{
    PdDsRun r = pd_ds_run_describe(m, options);
    const PdDsShape *s = &m->shape;
    guint64 n_bytes = n_keys(s, options->max_tokens) * sizeof(float *) +
                      n_ids(s, options->max_tokens) * sizeof(int) +
                      (guint64)options->n_sequences *
                          ((guint64)(s->n_layers + 1) * sizeof(PdDsLayerState) +
                           (guint64)r.n_anchors * sizeof(PdDsSnapshot) + sizeof(PdDsSequence));
    if (!g_uint64_checked_add(&n_bytes, n_bytes, count_all(&r)))
        return G_MAXUINT64;
    return n_bytes;
}

PdDsRun *
pd_ds_run_new(const PdDsModel *model, const PdDsRunOptions *options)
{
    const PdDsShape *s = &model->shape;
    gsize n_sequences = (gsize)options->n_sequences;
    PdDsRun *r = g_new0(PdDsRun, 1);
    *r = pd_ds_run_describe(model, options);
    guint64 n_bytes = count_all(r);
    r->sequences = g_try_new0(PdDsSequence, n_sequences);
    r->layer_states = g_try_new0(PdDsLayerState, n_sequences * (gsize)(s->n_layers + 1));
    r->anchors = g_try_new0(PdDsSnapshot, n_sequences * (gsize)r->n_anchors);
    r->keys = g_try_new(const float *, n_keys(s, options->max_tokens));
    r->ids = g_try_new(int, n_ids(s, options->max_tokens));
    if (n_bytes <= G_MAXSIZE)
        r->bytes = g_try_malloc((gsize)n_bytes);
    if (r->bytes != NULL && r->device != NULL)
        r->buffer = r->device->ops->buffer_wrap(r->device, r->bytes, (gsize)n_bytes);
    if (r->sequences == NULL || r->layer_states == NULL ||
        (r->anchors == NULL && r->n_anchors > 0) || r->keys == NULL || r->ids == NULL ||
        r->bytes == NULL || (r->device != NULL && r->buffer == NULL)) {
        pd_ds_run_free(r);
        return NULL;
    }
    place_all(r);
    pd_ds_rope_init(&r->rope, &s->rope, s->rope_dim);
    pd_ds_rope_init(&r->rope_far, &s->rope_far, s->rope_dim);
    for (int i = 0; i < options->n_sequences; i++)
        pd_ds_run_clear(r, i);
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
    g_free(r->anchors);
    if (r->buffer != NULL)
        r->device->ops->buffer_free(r->device, r->buffer);
    g_free(r->bytes);
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
    seq->n_tokens = seq->mark.n_tokens = seq->last_row.n_tokens = 0;
    pd_ds_run_forget_draft(r, seq);
    pd_ds_run_forget_pass(r, seq);
    for (int i = 0; i < r->n_anchors; i++)
        seq->anchors[i].n_tokens = 0;
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layers[l].ratio > 0)
            pd_ds_pool_clear(&s->layers[l], s->head_dim, &seq->layers[l].pool);
        if (s->layers[l].kind->indexed)
            pd_ds_pool_clear(&s->layers[l], s->index_dim, &seq->layers[l].index_pool);
    }
}

void
pd_ds_run_set_trace(PdDsRun *r, PdDsTraceFunc func, gpointer user_data)
{
    r->trace = func;
    r->trace_data = user_data;
}

void
pd_ds_run_set_choice(PdDsRun *r, PdDsChoiceFunc func, gpointer user_data)
{
    r->choice = func;
    r->choice_data = user_data;
}
