/* See kv_gate.h. */
#include "prompts/kv_gate.h"

#include <math.h>
#include <string.h>
#include "engine/session.h"
#include "kernels/kv_block.h"
#include "prompts/error.h"
#include "prompts/layout.h"
#include "prompts/log_sum.h"
#include "prompts/segment_kv.h"

#define STEP_ROWS 64 /* whose logits are held at once */

struct PdKvGate {
    PdModel *model;
    GArray *prefix;
    gint32 *tokens; /* (n_kept + n_scored) */
    int n_kept;     /* rows that are compressed */
    int n_scored;
    float *rows;      /* (n_layers, 2, n_kept, n_kv_heads, head_dim): K, V as the tap shows them */
    float *reference; /* (n_scored, n_vocab): exact logits */
    PdSession *session;
};

/* A record on its way into the session. */
typedef struct {
    const PdModelShape *shape;
    const guint8 *record;
} Source;

static gboolean
no_memory(GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for the KL gate");
    return FALSE;
}

static gsize
stream_floats(const PdKvGate *gate)
{
    const PdModelShape *shape = pd_model_shape(gate->model);

    return (gsize)gate->n_kept * (gsize)shape->n_kv_heads * (gsize)shape->head_dim;
}

static float *
stream_at(const PdKvGate *gate, int layer, gboolean values)
{
    return gate->rows + ((gsize)layer * 2 + (values ? 1 : 0)) * stream_floats(gate);
}

static void
keep_rows(const PdLayerRows *rows, gpointer user_data)
{
    PdKvGate *gate = user_data;
    const PdModelShape *shape = pd_model_shape(gate->model);
    gsize stride = (gsize)shape->n_kv_heads * (gsize)shape->head_dim;

    for (int r = 0; r < rows->n_rows; r++) {
        int at = rows->first_row + r - (int)gate->prefix->len;
        if (at < 0 || at >= gate->n_kept)
            continue;
        memcpy(stream_at(gate, rows->layer, FALSE) + (gsize)at * stride,
               rows->k + (gsize)r * stride, stride * sizeof(float));
        memcpy(stream_at(gate, rows->layer, TRUE) + (gsize)at * stride, rows->v + (gsize)r * stride,
               stride * sizeof(float));
    }
}

/* The scored tokens behind what the session holds: `each` sees the logits of a few rows at a time.
 */
typedef void (*EachRow)(PdKvGate *gate, int row, const float *logits, gpointer user_data);

static gboolean
run_scored(PdKvGate *gate, EachRow each, gpointer user_data, GCancellable *cancellable,
           GError **error)
{
    gsize n_vocab = (gsize)pd_model_shape(gate->model)->n_vocab;
    g_autofree float *logits = g_try_new(float, STEP_ROWS *n_vocab);

    if (!logits)
        return no_memory(error);
    for (int done = 0; done < gate->n_scored; done += STEP_ROWS) {
        PdRun run = {.tokens = gate->tokens + gate->n_kept + done,
                     .n_tokens = MIN(STEP_ROWS, gate->n_scored - done),
                     .logits = logits,
                     .all_logits = TRUE};
        if (!pd_session_run(gate->session, &run, 1, cancellable, NULL, NULL, error))
            return FALSE;
        for (int i = 0; i < run.n_tokens; i++)
            each(gate, done + i, logits + (gsize)i * n_vocab, user_data);
    }
    return TRUE;
}

static void
keep_reference(PdKvGate *gate, int row, const float *logits, gpointer unused)
{
    gsize n_vocab = (gsize)pd_model_shape(gate->model)->n_vocab;

    memcpy(gate->reference + (gsize)row * n_vocab, logits, n_vocab * sizeof(float));
}

static gboolean
read_exactly(PdKvGate *gate, GCancellable *cancellable, GError **error)
{
    PdRun prefix = {.tokens = (const gint32 *)gate->prefix->data,
                    .n_tokens = (int)gate->prefix->len};
    PdRun kept = {.tokens = gate->tokens, .n_tokens = gate->n_kept};

    if (!pd_session_run(gate->session, &prefix, 1, cancellable, NULL, NULL, error))
        return FALSE;
    pd_session_set_tap(gate->session, keep_rows, NULL, gate);
    if (!pd_session_run(gate->session, &kept, 1, cancellable, NULL, NULL, error))
        return FALSE;
    pd_session_set_tap(gate->session, NULL, NULL, NULL);
    return run_scored(gate, keep_reference, NULL, cancellable, error);
}

PdKvGate *
pd_kv_gate_new(PdModel *model, const gint32 *tokens, gsize n_tokens, GCancellable *cancellable,
               GError **error)
{
    const PdModelShape *shape = pd_model_shape(model);
    g_autoptr(PdKvGate) gate = g_new0(PdKvGate, 1);
    gsize n = MIN(n_tokens, PD_KV_GATE_TOKENS);
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F16};

    if (n < PD_KV_GATE_TOKENS_MIN || !pd_model_tokenizer(model)) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_EMPTY,
                    "the KL gate needs a text of at least %d tokens, this one has %" G_GSIZE_FORMAT,
                    PD_KV_GATE_TOKENS_MIN, n);
        return NULL;
    }
    gate->model = pd_model_ref(model);
    gate->prefix = pd_layout_prefix(model);
    gate->n_scored = (int)MIN(n / 8, PD_KV_GATE_SCORED);
    gate->n_kept = (int)n - gate->n_scored;
    gate->tokens = g_memdup2(tokens, n * sizeof *tokens);
    gate->rows = g_try_new(float, 2 * (gsize)shape->n_layers * stream_floats(gate));
    gate->reference = g_try_new(float, (gsize)gate->n_scored *(gsize)shape->n_vocab);
    if (!gate->rows || !gate->reference) {
        no_memory(error);
        return NULL;
    }
    options.max_tokens = (int)(gate->prefix->len + n);
    gate->session = pd_session_new(model, &options, error);
    if (!gate->session || !read_exactly(gate, cancellable, error))
        return NULL;
    return g_steal_pointer(&gate);
}

void
pd_kv_gate_free(PdKvGate *gate)
{
    g_clear_pointer(&gate->session, pd_session_free);
    g_clear_pointer(&gate->prefix, g_array_unref);
    g_clear_pointer(&gate->model, pd_model_unref);
    g_free(gate->tokens);
    g_free(gate->rows);
    g_free(gate->reference);
    g_free(gate);
}

/* --- compressed --- */

static guint8 *
pack(PdKvGate *gate, const PdKvFormat *format, GError **error)
{
    const PdModelShape *shape = pd_model_shape(gate->model);
    gsize stride = (gsize)shape->n_kv_heads * (gsize)shape->head_dim;
    g_autofree guint8 *record = pd_segment_kv_new(shape, format, (guint)gate->n_kept, 0);
    g_autoptr(PdSegmentKvWriter) writer = record ? pd_segment_kv_writer_new(record) : NULL;

    if (!writer) {
        no_memory(error);
        return NULL;
    }
    for (int layer = 0; layer < shape->n_layers; layer++)
        for (int h = 0; h < shape->n_kv_heads; h++)
            for (int values = 0; values < 2; values++)
                pd_segment_kv_writer_add(
                    writer, layer, values, h, 0, (guint)gate->n_kept,
                    stream_at(gate, layer, values) + (gsize)h * (gsize)shape->head_dim, stride);
    return g_steal_pointer(&record);
}

static void
fill_rows(int layer, int first, int n_rows, float *k, float *v, gpointer user_data)
{
    const Source *source = user_data;
    int d = source->shape->head_dim;
    gsize stride = (gsize)source->shape->n_kv_heads * (gsize)d;

    for (int h = 0; h < source->shape->n_kv_heads; h++) {
        PdKeyStream keys;
        PdValueStream values;

        pd_segment_kv_keys(source->record, layer, h, &keys);
        pd_segment_kv_values(source->record, layer, h, &values);
        pd_key_stream_unpack(keys.bits, d, keys.rows, (int)keys.n_rows, first, n_rows,
                             k + (gsize)h * (gsize)d, stride);
        pd_value_stream_unpack(values.bits, d, values.rows, (int)values.n_rows, first, n_rows,
                               v + (gsize)h * (gsize)d, stride);
    }
}

/* KL(p || q) = sum p (log p - log q) of one row. */
static void
compare(PdKvGate *gate, int row, const float *logits, gpointer user_data)
{
    PdKvGateRow *result = user_data;
    gsize n = (gsize)pd_model_shape(gate->model)->n_vocab, best_p, best_q;
    const float *exact = gate->reference + (gsize)row * n;
    double norm_p = pd_log_sum_exp(exact, n, &best_p), norm_q = pd_log_sum_exp(logits, n, &best_q),
           kl = 0;

    for (gsize i = 0; i < n; i++) {
        double log_p = exact[i] - norm_p;
        if (log_p > -50)
            kl += exp(log_p) * (log_p - (logits[i] - norm_q));
    }
    result->mean_kl += kl;
    result->top1 += best_p == best_q;
    result->n_scored++;
}

gboolean
pd_kv_gate_measure(PdKvGate *gate, int key_bits, int value_bits, double max_nats, PdKvGateRow *row,
                   GCancellable *cancellable, GError **error)
{
    const PdModelShape *shape = pd_model_shape(gate->model);
    PdKvFormat format = {.tier = PD_KV_FULL,
                         .key_bits = key_bits,
                         .value_bits = value_bits,
                         .n_layers = shape->n_layers};
    g_autofree guint8 *record = pack(gate, &format, error);
    Source source = {shape, record};

    *row = (PdKvGateRow){.key_bits = key_bits, .value_bits = value_bits};
    if (!record)
        return FALSE;
    row->share = (double)pd_segment_kv_bytes(shape, &format, (guint)gate->n_kept, 0) /
                 ((double)pd_kv_dense_row_bytes(shape) * gate->n_kept);
    pd_session_truncate(gate->session, 0, (int)gate->prefix->len);
    if (!pd_session_put_rows(gate->session, 0, gate->tokens, gate->n_kept, fill_rows, &source,
                             error) ||
        !run_scored(gate, compare, row, cancellable, error))
        return FALSE;
    row->mean_kl /= row->n_scored;
    row->top1 /= row->n_scored;
    row->passed = row->mean_kl <= max_nats;
    return TRUE;
}
