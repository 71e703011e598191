/*
 * Sessions: what they allocate and who owns it.  Everything is allocated here, once, and all of it
 * may fail; running allocates nothing (but the record and the tap, when they are turned on).
 */
#include "engine/session.h"
#include <math.h>
#include <string.h>
#include "engine/error.h"
#include "engine/deepseek/rows.h"
#include "engine/session_internal.h"

#define ALIGN_BYTES 64
#define ROPE_FILL_STEP 256

/* --- the plan --- */

static guint64
mul(guint64 a, guint64 b)
{
    guint64 product;
    return g_uint64_checked_mul(&product, a, b) ? product : G_MAXUINT64;
}

static guint64
add(guint64 a, guint64 b)
{
    guint64 sum;
    return g_uint64_checked_add(&sum, a, b) ? sum : G_MAXUINT64;
}

static guint64
align(guint64 n)
{
    return add(n, ALIGN_BYTES - 1) & ~(guint64)(ALIGN_BYTES - 1);
}

static int
session_layers(const PdModel *model, const PdSessionOptions *o)
{
    return o->n_layers > 0 ? MIN(o->n_layers, model->shape.n_layers) : model->shape.n_layers;
}

static int
session_batch_rows(const PdSessionOptions *o)
{
    return o->batch_rows > 0 ? o->batch_rows : PD_BATCH_ROWS_DEFAULT;
}

static gboolean
needs_two_ropes(const PdModel *model)
{
    return model->shape.window > 0 && (model->shape.rope_theta_local != model->shape.rope_theta ||
                                       model->rope_factors != NULL);
}

void
pd_session_plan(const PdModel *model, const PdSessionOptions *o, PdSessionPlan *plan)
{
    const PdModelShape *s = &model->shape;
    guint64 n_sequences = (guint64)MAX(o->n_sequences, 1),
            max_tokens = (guint64)MAX(o->max_tokens, 1);
    guint64 rows = (guint64)session_batch_rows(o), n_layers = (guint64)session_layers(model, o);
    guint64 dim = (guint64)s->head_dim, n_q = (guint64)s->n_heads * dim;
    guint64 n_kv = (guint64)s->n_kv_heads * dim;

    plan->kv_stream_bytes =
        align(mul(mul((guint64)s->n_kv_heads, max_tokens), pd_row_bytes(o->kv_type, (gsize)dim)));
    plan->kv_bytes = mul(mul(mul(2, plan->kv_stream_bytes), n_layers), n_sequences);
    plan->n_positions = (int)max_tokens;
    if (o->attention.kind == PD_ATTENTION_SPARSE)
        plan->n_positions = pd_sparse_positions(model, &o->attention, (int)max_tokens);
    plan->rope_bytes = align(mul((guint64)plan->n_positions, dim * sizeof(float)));
    pd_sparse_plan(model, &o->attention, o->kv_type, (int)n_sequences, (int)max_tokens, (int)rows,
                   &plan->sparse);
    guint64 layer = MAX(add(mul(2, n_q), mul(2, n_kv)), mul(2, (guint64)s->n_ff));
    guint64 floats = mul(rows, add(mul(2, (guint64)s->n_embd), layer));
    if (o->n_layers == 0)
        floats = add(floats, mul(MIN(rows, PD_LOGIT_ROWS), (guint64)s->n_vocab));
    /* Ten places, each aligned. */
    plan->scratch_bytes = add(mul(floats, sizeof(float)), 10 * ALIGN_BYTES);
    plan->host_bytes = add(mul(mul(n_sequences, max_tokens), sizeof(gint32)),
                           mul(rows, sizeof(PdSpan) + 2 * sizeof(gint32) + sizeof(float *)));
    plan->host_bytes = add(plan->host_bytes, mul(mul(n_sequences, n_layers), sizeof(PdKv)));
    plan->host_bytes = add(plan->host_bytes, plan->sparse.host_bytes);
    plan->total_bytes =
        add(add(plan->kv_bytes, plan->scratch_bytes),
            add(plan->host_bytes, mul(plan->rope_bytes, needs_two_ropes(model) ? 2 : 1)));
    plan->total_bytes =
        add(plan->total_bytes, add(plan->sparse.query_bytes, plan->sparse.device_bytes));
}

/* By the reference where it is asked for, and where the indexer is wider than the device's. */
static PdDevice *
deepseek_device(const PdModel *model, const PdSessionOptions *o)
{
    gboolean fits = model->deepseek->shape.index_dim <= PD_INDEX_DIM_MAX;
    return fits && !o->reference ? model->device : NULL;
}

PdDsRunOptions
pd_session_deepseek_options(const PdModel *model, const PdSessionOptions *o)
{
    return (PdDsRunOptions){.n_sequences = MAX(o->n_sequences, 1),
                            .max_tokens = MAX(o->max_tokens, 1),
                            .batch_rows = session_batch_rows(o),
                            .mixed = o->kv_type == PD_Q8_0,
                            .device = deepseek_device(model, o),
                            .anchor_units =
                                o->anchor_units > 0 ? o->anchor_units : PD_DS_ANCHOR_UNITS_DEFAULT};
}

/* Tokens and the places of a micro-batch, and the state of the family's own. */
static guint64
deepseek_bytes(const PdModel *model, const PdSessionOptions *o)
{
    PdDsRunOptions run = pd_session_deepseek_options(model, o);
    guint64 rows = (guint64)run.batch_rows;
    guint64 n_bytes = mul(mul((guint64)run.n_sequences, (guint64)run.max_tokens), sizeof(gint32));
    n_bytes = add(n_bytes, mul(rows, sizeof(PdSpan) + 2 * sizeof(gint32) + sizeof(float *)));
    return add(n_bytes, pd_ds_run_bytes(model->deepseek, &run));
}

guint64
pd_session_bytes(const PdModel *model, const PdSessionOptions *options)
{
    PdSessionPlan plan;
    if (model->deepseek != NULL)
        return deepseek_bytes(model, options);
    pd_session_plan(model, options, &plan);
    return plan.total_bytes;
}

/* --- refusing what does not fit --- */

/* The largest max_tokens whose session stays within `bytes`; 0: none. */
static int
tokens_that_fit(const PdModel *model, const PdSessionOptions *options, guint64 bytes)
{
    PdSessionOptions o = *options;
    int low = 0, high = options->max_tokens;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        o.max_tokens = middle;
        if (pd_session_bytes(model, &o) <= bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Why a model's rows cannot be kept in 8 bits, or NULL. */
static const char *
eight_bit_problem(const PdModel *model)
{
    if (model->deepseek != NULL)
        return pd_ds_mixed_problem(&model->deepseek->shape);
    return model->shape.head_dim % 32 != 0 ? "Q8_0 KV needs heads of a multiple of 32 values"
                                           : NULL;
}

/* One line: what was needed, what is there, and the smallest change that would fit. */
static void
set_no_memory(const PdModel *model, const PdSessionOptions *options, guint64 available,
              GError **error)
{
    guint64 needed = pd_session_bytes(model, options);
    g_autofree char *change = NULL;
    PdSessionOptions o = *options;
    o.kv_type = PD_Q8_0;
    int fits = tokens_that_fit(model, options, available);
    if (options->kv_type != PD_Q8_0 && eight_bit_problem(model) == NULL &&
        pd_session_bytes(model, &o) <= available)
        change = g_strdup("8-bit KV would fit");
    else if (fits > 0)
        change = g_strdup_printf("%d tokens instead of %d would fit", fits, options->max_tokens);
    else
        change = g_strdup("a smaller model would be needed");
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                "%s: %d x %d tokens need %" G_GUINT64_FORMAT
                " bytes beside the weights, %" G_GUINT64_FORMAT " are free; %s",
                model->name, options->n_sequences, options->max_tokens, needed, available, change);
}

/* What a model of the DeepSeek family cannot do here, or NULL. */
static const char *
deepseek_problem(const PdModel *model, const PdSessionOptions *o)
{
    if (o->kv_type != PD_F32 && o->kv_type != PD_Q8_0)
        return "the state of this family is kept in F32 or in its mixed precision";
    if (o->anchor_units < 0 || o->anchor_units > 1 << 20)
        return "anchor_units is outside 0..1048576";
    if (o->n_layers != 0)
        return "this family runs with all its layers";
    if (o->position_free || o->attention.kind != PD_ATTENTION_DENSE)
        return "this family has its own attention";
    if (o->max_tokens > model->shape.n_ctx_train)
        return "max_tokens is more than the model's max_position_embeddings";
    return NULL;
}

static gboolean
check_options(const PdModel *model, const PdSessionOptions *o, GError **error)
{
    const char *what = NULL;
    if (o->n_sequences < 1 || o->n_sequences > 65536)
        what = "n_sequences is outside 1..65536";
    else if (o->max_tokens < 1 || o->max_tokens > G_MAXINT32 / 2)
        what = "max_tokens is out of range";
    else if (o->kv_type != PD_F16 && o->kv_type != PD_Q8_0 && o->kv_type != PD_F32)
        what = "KV is stored as F16, Q8_0 or F32";
    else if (o->batch_rows < 0 || o->batch_rows > 65536)
        what = "batch_rows is outside 0..65536";
    else if (o->kv_type == PD_Q8_0 && eight_bit_problem(model) != NULL)
        what = eight_bit_problem(model);
    else if (model->deepseek != NULL)
        what = deepseek_problem(model, o);
    else if (o->n_layers < 0 || o->n_layers > model->shape.n_layers)
        what = "n_layers is more than the model has";
    else
        pd_sparse_check(model, &o->attention, session_layers(model, o), &what);
    if (what != NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE, "%s: %s", model->name, what);
        return FALSE;
    }
    guint64 available = pd_memory_available_bytes();
    available -= MIN(available, model->weight_bytes);
    if (pd_session_bytes(model, o) > available) {
        set_no_memory(model, o, available, error);
        return FALSE;
    }
    return TRUE;
}

/* --- allocation --- */

static PdMem
take(PdBuffer *buffer, gsize *offset, guint64 n_floats)
{
    PdMem mem = {buffer, *offset};
    *offset = (gsize)align(*offset + n_floats * sizeof(float));
    return mem;
}

static void
place_scratch(PdSession *s)
{
    const PdModelShape *m = &s->model->shape;
    guint64 rows = (guint64)s->options.batch_rows, dim = (guint64)m->head_dim;
    gsize at = 0, at_ffn;
    s->x = take(s->scratch, &at, rows * (guint64)m->n_embd);
    s->h = take(s->scratch, &at, rows * (guint64)m->n_embd);
    at_ffn = at;
    s->q = take(s->scratch, &at, rows * (guint64)m->n_heads * dim);
    s->att = take(s->scratch, &at, rows * (guint64)m->n_heads * dim);
    s->k = take(s->scratch, &at, rows * (guint64)m->n_kv_heads * dim);
    s->v = take(s->scratch, &at, rows * (guint64)m->n_kv_heads * dim);
    s->gate = take(s->scratch, &at_ffn, rows * (guint64)m->n_ff);
    s->up = take(s->scratch, &at_ffn, rows * (guint64)m->n_ff);
    at = MAX(at, at_ffn);
    s->logits = take(s->scratch, &at, 0);
}

static void
place_kv(PdSession *s, const PdSessionPlan *plan)
{
    const PdModelShape *m = &s->model->shape;
    gsize n = (gsize)s->options.n_sequences * (gsize)s->n_layers;
    for (gsize i = 0; i < n; i++) {
        gsize at = 2 * i * (gsize)plan->kv_stream_bytes;
        s->kv[i] = (PdKv){.type = s->options.kv_type,
                          .n_kv_heads = m->n_kv_heads,
                          .head_dim = m->head_dim,
                          .capacity_rows = s->options.max_tokens,
                          .k = {s->kv_buffer, at},
                          .v = {s->kv_buffer, at + (gsize)plan->kv_stream_bytes},
                          .position_free = s->options.position_free};
    }
}

static void
place_rope(PdSession *s, const PdSessionPlan *plan)
{
    s->two_ropes = needs_two_ropes(s->model);
    for (int i = 0; i < 2; i++) {
        gsize at = s->two_ropes && i == 1 ? (gsize)plan->rope_bytes : 0;
        s->rope[i] = (PdRope){.table = {s->rope_buffer, at},
                              .n_positions = plan->n_positions,
                              .n_rot = s->model->shape.head_dim,
                              .kind = s->model->shape.rope_kind};
    }
}

static gboolean
allocate(PdSession *s, const PdSessionPlan *plan)
{
    const PdDeviceOps *ops = s->dev->ops;
    gsize n_sequences = (gsize)s->options.n_sequences;
    s->kv_buffer = ops->buffer_new(s->dev, (gsize)plan->kv_bytes);
    s->scratch = ops->buffer_new(s->dev, (gsize)plan->scratch_bytes);
    s->rope_buffer =
        ops->buffer_new(s->dev, (gsize)plan->rope_bytes * (needs_two_ropes(s->model) ? 2 : 1));
    s->kv = g_try_new0(PdKv, n_sequences * (gsize)s->n_layers);
    return s->kv_buffer != NULL && s->scratch != NULL && s->rope_buffer != NULL && s->kv != NULL;
}

/* What every session has, whatever its model. */
static gboolean
allocate_rows(PdSession *s)
{
    gsize n_sequences = (gsize)s->options.n_sequences, rows = (gsize)s->options.batch_rows;
    s->tokens = g_try_new(gint32, n_sequences * (gsize)s->options.max_tokens);
    s->n_tokens = g_try_new0(int, n_sequences);
    s->batch.spans = g_try_new(PdSpan, rows);
    s->batch.ids = g_try_new(gint32, rows);
    s->batch.positions = g_try_new(gint32, rows);
    s->batch.logits = g_try_new(float *, rows);
    return s->tokens != NULL && s->n_tokens != NULL && s->batch.spans != NULL &&
           s->batch.ids != NULL && s->batch.positions != NULL && s->batch.logits != NULL;
}

static gboolean
allocate_deepseek(PdSession *s)
{
    PdDsRunOptions options = pd_session_deepseek_options(s->model, &s->options);
    s->deepseek = pd_ds_run_new(s->model->deepseek, &options);
    return s->deepseek != NULL;
}

/* What is done with the weights once, before the first session. */
static gboolean
prepare_deepseek(PdModel *model, const PdSessionOptions *options, GError **error)
{
    int n_threads = model->device->ops->info(model->device).n_threads;
    return pd_ds_model_check_finite(model->deepseek, n_threads, model->path, error) &&
           (deepseek_device(model, options) == NULL ||
            pd_ds_model_pack(model->deepseek, model->device, model->path, error));
}

PdSession *
pd_session_new(PdModel *model, const PdSessionOptions *options, GError **error)
{
    if (!check_options(model, options, error))
        return NULL;
    g_autoptr(PdSession) s = g_new0(PdSession, 1);
    PdSessionPlan plan;
    s->model = pd_model_ref(model);
    s->dev = model->device;
    s->options = *options;
    s->options.batch_rows = session_batch_rows(options);
    s->n_layers = session_layers(model, options);
    if (options->attention.kind == PD_ATTENTION_SPARSE)
        s->options.position_free = TRUE;
    if (model->deepseek != NULL && !prepare_deepseek(model, options, error))
        return NULL;
    if (model->deepseek == NULL)
        pd_session_plan(model, options, &plan);
    if (!allocate_rows(s) ||
        !(model->deepseek != NULL ? allocate_deepseek(s) : allocate(s, &plan))) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "%s: %d x %d tokens need %" G_GUINT64_FORMAT " bytes beside the weights, which "
                    "could not be had; fewer tokens need less",
                    model->name, options->n_sequences, options->max_tokens,
                    pd_session_bytes(model, options));
        return NULL;
    }
    if (s->deepseek != NULL)
        return g_steal_pointer(&s);
    place_scratch(s);
    place_kv(s, &plan);
    place_rope(s, &plan);
    if (options->attention.kind == PD_ATTENTION_SPARSE) {
        s->sparse = pd_sparse_new(s);
        if (s->sparse == NULL) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                        "%s: no memory to choose among the blocks of %d tokens", model->name,
                        options->max_tokens);
            return NULL;
        }
    }
    return g_steal_pointer(&s);
}

static void
free_buffer(PdSession *s, PdBuffer *buffer)
{
    if (buffer != NULL)
        s->dev->ops->buffer_free(s->dev, buffer);
}

void
pd_session_free(PdSession *s)
{
    if (s == NULL)
        return;
    pd_session_set_tap(s, NULL, NULL, NULL);
    pd_session_record_attention(s, NULL, 0);
    pd_sparse_free(s);
    pd_ds_run_free(s->deepseek);
    free_buffer(s, s->kv_buffer);
    free_buffer(s, s->scratch);
    free_buffer(s, s->rope_buffer);
    g_free(s->kv);
    g_free(s->tokens);
    g_free(s->n_tokens);
    g_free(s->batch.spans);
    g_free(s->batch.ids);
    g_free(s->batch.positions);
    g_free(s->batch.logits);
    pd_model_unref(s->model);
    g_free(s);
}

/* --- RoPE tables --- */

/*
 * Positions [first, last): cos and sin of position * theta^(-2i/head_dim) / factor[i], in double,
 * rounded once to float.
 */
static void
fill_table(PdSession *s, const PdRope *rope, double theta, const float *factors, int first,
           int last)
{
    int n = rope->n_rot / 2;
    float row[1024];
    double freq[512];
    g_assert(n <= 512);
    for (int i = 0; i < n; i++)
        freq[i] = pow(theta, -(double)i / n) / (factors != NULL ? factors[i] : 1);
    for (int p = first; p < last; p++) {
        for (int i = 0; i < n; i++) {
            row[2 * i] = (float)cos(p * freq[i]);
            row[2 * i + 1] = (float)sin(p * freq[i]);
        }
        s->dev->ops->write(s->dev, pd_mem_at(rope->table, (gsize)p * (gsize)rope->n_rot), row,
                           (gsize)rope->n_rot * sizeof(float));
    }
}

void
pd_session_fill_rope(PdSession *s, int n_positions)
{
    const PdModelShape *m = &s->model->shape;
    if (n_positions <= s->rope_filled)
        return;
    int last = MIN(s->rope[0].n_positions, n_positions + ROPE_FILL_STEP);
    if (last <= s->rope_filled)
        return;
    fill_table(s, &s->rope[0], m->rope_theta, s->model->rope_factors, s->rope_filled, last);
    if (s->two_ropes)
        fill_table(s, &s->rope[1], m->rope_theta_local, NULL, s->rope_filled, last);
    s->rope_filled = last;
}

const PdRope *
pd_session_rope(PdSession *s, int layer, int n_positions)
{
    g_assert(s->deepseek == NULL);
    g_assert(layer >= 0 && layer < s->n_layers && n_positions <= s->rope[0].n_positions);
    pd_session_fill_rope(s, n_positions);
    return &s->rope[s->model->layers[layer].local ? 1 : 0];
}

/* --- accessors --- */

PdModel *
pd_session_model(PdSession *s)
{
    return s->model;
}

int
pd_session_n_tokens(const PdSession *s, int sequence)
{
    g_assert(sequence >= 0 && sequence < s->options.n_sequences);
    return s->n_tokens[sequence];
}

void
pd_session_truncate(PdSession *s, int sequence, int n_tokens)
{
    g_assert(sequence >= 0 && sequence < s->options.n_sequences && n_tokens >= 0);
    s->n_tokens[sequence] = MIN(s->n_tokens[sequence], n_tokens);
    pd_sparse_forget(s, sequence, s->n_tokens[sequence]);
    pd_session_forget_deepseek(s, sequence, s->n_tokens[sequence]);
}

const gint32 *
pd_session_tokens(const PdSession *s, int sequence)
{
    g_assert(sequence >= 0 && sequence < s->options.n_sequences);
    return s->tokens + (gsize)sequence * (gsize)s->options.max_tokens;
}

void
pd_session_set_tap(PdSession *s, PdTapFunc func, const gboolean *layer_mask, gpointer user_data)
{
    const PdModelShape *m = &s->model->shape;
    gsize rows = (gsize)s->options.batch_rows, dim = (gsize)m->head_dim;
    g_assert(func == NULL || s->deepseek == NULL);
    s->tap = func;
    s->tap_data = user_data;
    g_clear_pointer(&s->tap_mask, g_free);
    if (func == NULL) {
        g_clear_pointer(&s->tap_q, g_free);
        g_clear_pointer(&s->tap_k, g_free);
        g_clear_pointer(&s->tap_v, g_free);
        return;
    }
    if (layer_mask != NULL)
        s->tap_mask = g_memdup2(layer_mask, (gsize)m->n_layers * sizeof *layer_mask);
    if (s->tap_q == NULL)
        s->tap_q = g_try_new(float, rows *(gsize)m->n_heads *dim);
    if (s->tap_k == NULL)
        s->tap_k = g_try_new(float, rows *(gsize)m->n_kv_heads *dim);
    if (s->tap_v == NULL)
        s->tap_v = g_try_new(float, rows *(gsize)m->n_kv_heads *dim);
}

gboolean
pd_session_tap_ready(const PdSession *s)
{
    return s->tap == NULL || (s->tap_q != NULL && s->tap_k != NULL && s->tap_v != NULL);
}
