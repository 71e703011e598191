/*
 * The transformer, one micro-batch at a time.  For every layer, with norm = RMS norm and every
 * bias, head norm and post norm only where the model has it:
 *
 *   h        = norm(x)
 *   q, k, v  = Wq h + bq, Wk h, Wv h + bv          (rows of n_heads or n_kv_heads heads)
 *   q, k     = norm_q(q), norm_k(k)                (each head)
 *   cache   += k, v                                (rope(k + bk); position-free: k as it is)
 *   a        = attention(rope(q), cache)           (sparse: over the rows of attention.h)
 *   x       += postnorm(Wo a + bo)
 *   h        = norm(x)
 *   x       += postnorm(Wdown (act(Wgate h) * (Wup h)))
 *
 * The key bias is always added after the product, tapped or not, so that the bits of a row do not
 * depend on who watches.  In the last layer only the rows that somebody wants go beyond the cache.
 */
#include "engine/error.h"
#include "engine/session_internal.h"

/* The micro-batch on its way through the layers; the last layer moves it to fewer rows. */
typedef struct {
    PdSession *s;
    const PdBatch *batch;
    const PdModelShape *shape;
    const PdDeviceOps *ops;
    int n_rows;
    gboolean trimmed; /* only the wanted rows are left */
    PdMem x, h, q, att;
} Pass;

static gboolean
present(PdWeight w)
{
    return w.mem.buffer != NULL;
}

static gboolean
products(Pass *p, PdMem x, const PdMatmulJob *jobs, int n_jobs, GError **error)
{
    int status = p->ops->matmul(p->s->dev, x, p->n_rows, jobs, n_jobs);
    if (status == PD_KERNEL_OK)
        return TRUE;
    if (status == PD_KERNEL_ENOMEM)
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for a matrix product of %d rows; smaller batch_rows need less",
                    p->n_rows);
    else
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "this device has no product with %s weights",
                    pd_dtype_info[jobs[0].weight.type].name);
    return FALSE;
}

static void
norm(Pass *p, PdMem out, PdMem x, PdWeight weight, int n_rows)
{
    p->ops->rms_norm(p->s->dev, out, x, weight, n_rows, weight.n_cols, p->shape->rms_eps);
}

/* q, k, v of all rows from the normed x. */
static gboolean
project(Pass *p, const PdLayer *layer, gboolean needs_q, GError **error)
{
    PdSession *s = p->s;
    PdMatmulJob jobs[3] = {{.weight = layer->wk, .out = s->k},
                           {.weight = layer->wv, .bias = layer->bv, .out = s->v},
                           {.weight = layer->wq, .bias = layer->bq, .out = p->q}};
    norm(p, p->h, p->x, layer->attn_norm, p->n_rows);
    if (!products(p, p->h, jobs, needs_q ? 3 : 2, error))
        return FALSE;
    if (present(layer->q_norm) && needs_q)
        norm(p, p->q, p->q, layer->q_norm, p->n_rows * p->shape->n_heads);
    if (present(layer->k_norm))
        norm(p, s->k, s->k, layer->k_norm, p->n_rows * p->shape->n_kv_heads);
    return TRUE;
}

static gboolean
is_tapped(const PdSession *s, int layer)
{
    return s->tap != NULL && (s->tap_mask == NULL || s->tap_mask[layer]);
}

/* Shows q, k, v to the tap, sequence by sequence. */
static void
show(Pass *p, int layer)
{
    PdSession *s = p->s;
    gsize n_q = (gsize)(p->shape->n_heads * p->shape->head_dim);
    gsize n_kv = (gsize)(p->shape->n_kv_heads * p->shape->head_dim);
    gsize rows = (gsize)p->n_rows;
    p->ops->read(s->dev, s->tap_q, p->q, rows * n_q * sizeof(float));
    p->ops->read(s->dev, s->tap_k, s->k, rows * n_kv * sizeof(float));
    p->ops->read(s->dev, s->tap_v, s->v, rows * n_kv * sizeof(float));
    for (int i = 0; i < p->batch->n_spans; i++) {
        const PdSpan *span = &p->batch->spans[i];
        gsize row = (gsize)span->batch_row;
        PdLayerRows shown = {layer,
                             span->sequence,
                             span->first_row,
                             span->n_rows,
                             s->tap_q + row * n_q,
                             s->tap_k + row * n_kv,
                             s->tap_v + row * n_kv};
        s->tap(&shown, s->tap_data);
    }
}

/* Bias and RoPE where the cache wants them, then into it. */
void
pd_forward_append(PdSession *s, const PdBatch *batch, int l)
{
    const PdModelShape *shape = &s->model->shape;
    const PdLayer *layer = &s->model->layers[l];
    int n_kv = shape->n_kv_heads * shape->head_dim;
    if (!pd_kv_is_bare(pd_session_kv(s, 0, l))) {
        if (present(layer->bk))
            s->dev->ops->add_row(s->dev, s->k, layer->bk, batch->n_rows, n_kv);
        s->dev->ops->rope(s->dev, s->k, &s->rope[layer->local ? 1 : 0], batch->positions,
                          batch->n_rows, shape->n_kv_heads, shape->head_dim);
    }
    for (int i = 0; i < batch->n_spans; i++) {
        const PdSpan *span = &batch->spans[i];
        gsize at = (gsize)span->batch_row * (gsize)n_kv;
        s->dev->ops->kv_append(s->dev, pd_session_kv(s, span->sequence, l), span->first_row,
                               pd_mem_at(s->k, at), pd_mem_at(s->v, at), span->n_rows);
    }
}

/*
 * Keeps the wanted rows of x and q only.  They move to the buffers that are free at this point (h
 * and att), because inside one buffer source and destination could overlap.
 */
static void
trim(Pass *p)
{
    gsize n_embd = (gsize)p->shape->n_embd;
    gsize n_q = (gsize)(p->shape->n_heads * p->shape->head_dim);
    if (p->batch->n_wanted == p->n_rows)
        return;
    for (int i = 0; i < p->batch->n_spans; i++) {
        const PdSpan *span = &p->batch->spans[i];
        gsize n = (gsize)span->n_wanted, to = (gsize)span->wanted_row;
        gsize from = (gsize)(span->batch_row + span->n_rows - span->n_wanted);
        if (n == 0)
            continue;
        p->ops->copy(p->s->dev, pd_mem_at(p->h, to * n_embd), pd_mem_at(p->x, from * n_embd),
                     n * n_embd * sizeof(float));
        p->ops->copy(p->s->dev, pd_mem_at(p->att, to * n_q), pd_mem_at(p->q, from * n_q),
                     n * n_q * sizeof(float));
    }
    PdMem x = p->x, q = p->q;
    p->x = p->h;
    p->h = x;
    p->q = p->att;
    p->att = q;
    p->n_rows = p->batch->n_wanted;
    p->trimmed = TRUE;
}

/* The record of a span's only row: of a position-free cache, what the row sees as ranges. */
static void
record(Pass *p, int l, const PdSpan *span, PdMem q, const PdListAttention *sparse)
{
    PdSession *s = p->s;
    const PdLayer *layer = &s->model->layers[l];
    int row = span->first_row;
    int first = layer->local ? MAX(0, row - p->shape->window + 1) : 0;
    PdRowRange all = {first, row + 1 - first, first};
    PdRowGroup group = {0, 1, row, 0, 1};
    PdListAttention dense = {.q = q,
                             .n_heads = p->shape->n_heads,
                             .scale = p->shape->attn_scale,
                             .rope = &s->rope[layer->local ? 1 : 0],
                             .k_bias = layer->bk,
                             .groups = &group,
                             .n_groups = 1,
                             .ranges = &all};
    if (!pd_kv_is_bare(pd_session_kv(s, span->sequence, l))) {
        pd_session_record_layer(s, l, span, q, NULL);
        return;
    }
    if (sparse != NULL && sparse->n_groups > 0 && layer->local) { /* positions of its own */
        const PdRowRange *range = sparse->ranges;
        all.position = range->position + (first - range->first_row);
    } else if (sparse != NULL && sparse->n_groups > 0) {
        dense.groups = sparse->groups;
        dense.ranges = sparse->ranges;
    }
    pd_session_record_layer(s, l, span, q, &dense);
}

/* att of the rows that see lists of ranges: all of the span's rows from its first group on. */
static gboolean
attend_lists(Pass *p, int l, const PdSpan *span, PdListAttention *a, const PdSparseView *view,
             GError **error)
{
    PdSession *s = p->s;
    a->groups = view->groups;
    a->n_groups = view->n_groups;
    a->ranges = view->ranges;
    if (p->ops->attention_list(s->dev, pd_session_kv(s, span->sequence, l), a) == PD_KERNEL_OK)
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                "no memory for the sparse attention of %d rows", span->n_rows);
    return FALSE;
}

/* att = attention of every row over its own sequence's cache. */
static gboolean
attend(Pass *p, int l, const PdLayer *layer, const PdRope *rope, GError **error)
{
    PdSession *s = p->s;
    gsize n_q = (gsize)(p->shape->n_heads * p->shape->head_dim);
    /* Positions of the rows that are left: a trimmed row has its sequence's last ones. */
    for (int i = 0; i < p->batch->n_spans; i++) {
        const PdSpan *span = &p->batch->spans[i];
        int n = p->trimmed ? span->n_wanted : span->n_rows;
        gsize row = (gsize)(p->trimmed ? span->wanted_row : span->batch_row);
        int skipped = span->n_rows - n;
        int n_dense = n;
        const gint32 *positions = p->batch->positions + span->batch_row + skipped;
        PdSparseView view = {0};
        if (n == 0)
            continue;
        PdMem q = pd_mem_at(p->q, row * n_q);
        if (s->sparse != NULL) {
            pd_sparse_view(s, l, i, skipped, &view);
            positions = s->sparse->positions;
            n_dense = MAX(0, pd_sparse_dense_rows(s, i) - skipped);
        }
        p->ops->rope(s->dev, q, rope, positions, n, p->shape->n_heads, p->shape->head_dim);
        PdAttention a = {.q = q,
                         .out = pd_mem_at(p->att, row * n_q),
                         .n_q = n_dense,
                         .n_heads = p->shape->n_heads,
                         .first_q_row = span->first_row + skipped,
                         .kv_rows = span->first_row + skipped + n_dense,
                         .window = layer->local ? p->shape->window : 0,
                         .scale = p->shape->attn_scale};
        if (pd_kv_is_bare(pd_session_kv(s, span->sequence, l))) {
            a.rope = rope;
            a.k_bias = layer->bk;
        }
        PdListAttention list = {.q = q,
                                .out = a.out,
                                .n_heads = a.n_heads,
                                .window = a.window,
                                .scale = a.scale,
                                .rope = a.rope,
                                .k_bias = a.k_bias};
        if (n_dense > 0 &&
            p->ops->attention(s->dev, pd_session_kv(s, span->sequence, l), &a) != PD_KERNEL_OK) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                        "no memory for the attention of %d rows over %d", n, a.kv_rows);
            return FALSE;
        }
        if (view.n_groups > 0 && !attend_lists(p, l, span, &list, &view, error))
            return FALSE;
        if (span->record)
            record(p, l, span, q, s->sparse != NULL ? &list : NULL);
    }
    return TRUE;
}

/* x += postnorm(h) */
static void
add_residual(Pass *p, PdWeight post_norm)
{
    if (present(post_norm))
        norm(p, p->h, p->h, post_norm, p->n_rows);
    p->ops->add(p->s->dev, p->x, p->h, (gsize)p->n_rows * (gsize)p->shape->n_embd);
}

static gboolean
feed_forward(Pass *p, const PdLayer *layer, GError **error)
{
    PdSession *s = p->s;
    PdMatmulJob in[2] = {{.weight = layer->w_gate, .out = s->gate},
                         {.weight = layer->w_up, .out = s->up}};
    PdMatmulJob out = {.weight = layer->w_down, .out = p->h};
    norm(p, p->h, p->x, layer->ffn_norm, p->n_rows);
    if (!products(p, p->h, in, 2, error))
        return FALSE;
    p->ops->glu(s->dev, s->gate, s->up, (gsize)p->n_rows * (gsize)p->shape->n_ff,
                p->shape->activation);
    if (!products(p, s->gate, &out, 1, error))
        return FALSE;
    add_residual(p, layer->ffn_post_norm);
    return TRUE;
}

static gboolean
run_layer(Pass *p, int l, GError **error)
{
    PdSession *s = p->s;
    const PdLayer *layer = &s->model->layers[l];
    const PdRope *rope = &s->rope[layer->local ? 1 : 0];
    gboolean is_last = l == s->n_layers - 1;
    gboolean is_index = s->sparse != NULL && pd_sparse_is_index(s->sparse, l);
    gboolean needs_q = !is_last || p->batch->n_wanted > 0 || is_tapped(s, l) || is_index;
    if (!project(p, layer, needs_q, error))
        return FALSE;
    if (is_tapped(s, l))
        show(p, l);
    pd_forward_append(s, p->batch, l);
    if (is_index) {
        pd_sparse_keep_queries(s, l, p->q);
        pd_sparse_select(s, l);
    }
    if (is_last) {
        trim(p);
        if (p->n_rows == 0)
            return TRUE;
    }
    PdMatmulJob out = {.weight = layer->wo, .bias = layer->bo, .out = p->h};
    if (!attend(p, l, layer, rope, error) || !products(p, p->att, &out, 1, error))
        return FALSE;
    add_residual(p, layer->attn_post_norm);
    return feed_forward(p, layer, error);
}

gboolean
pd_forward(PdSession *s, const PdBatch *batch, PdMem *out, GError **error)
{
    Pass p = {.s = s,
              .batch = batch,
              .shape = &s->model->shape,
              .ops = s->dev->ops,
              .n_rows = batch->n_rows,
              .x = s->x,
              .h = s->h,
              .q = s->q,
              .att = s->att};
    p.ops->embed(s->dev, p.x, s->model->token_embd, batch->ids, batch->n_rows, p.shape->embd_scale);
    for (int l = 0; l < s->n_layers; l++) {
        if (!run_layer(&p, l, error))
            return FALSE;
    }
    *out = p.x;
    return TRUE;
}
