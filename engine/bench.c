/*
 * Prefill and decode, timed.  Both are counted as their limits are: prefill by the operations of
 * the matrix products, decode by the bytes of weights that every token reads once.  The prompt is
 * made of fixed pseudo-random ids; what they say does not matter to the time.
 */
#include "engine/bench.h"
#include "engine/deepseek/rows.h"
#include "engine/error.h"
#include "engine/model_internal.h"
#include "engine/peak_memory.h"
#include "engine/session_internal.h"
#include "kernels/cpu/peak.h"

/* Numbers in matrices, and their bytes as the products read them. */
typedef struct {
    double numbers, bytes;
} Count;

static gboolean
count_matrix(PdDsMatrix *m, gpointer user_data, GError **error)
{
    Count *count = user_data;
    (void)error;
    count->numbers += (double)m->n_rows * m->n_cols;
    count->bytes += (double)pd_ds_matrix_packed_bytes(m);
    return TRUE;
}

/* Of all layers, those of the experts that a token goes through. */
static Count
count_deepseek_layers(const PdModel *model)
{
    PdDsModel *m = model->deepseek;
    double n_experts = m->shape.n_experts, n_used = m->shape.n_experts_used;
    Count all = {0}, experts = {0};
    for (int l = 0; l < m->shape.n_layers; l++) {
        (void)pd_ds_layer_each_matrix(m, l, count_matrix, &all, NULL);
        for (int e = 0; e < m->shape.n_experts; e++)
            (void)pd_ds_expert_each_matrix(&m->layers[l].experts[e], count_matrix, &experts, NULL);
    }
    return (Count){all.numbers - experts.numbers + experts.numbers / n_experts * n_used,
                   all.bytes - experts.bytes + experts.bytes / n_experts * n_used};
}

static Count
count_layers(const PdModel *model)
{
    Count count = {0};
    if (model->deepseek != NULL)
        return count_deepseek_layers(model);
    for (int l = 0; l < model->shape.n_layers; l++) {
        const PdLayer *layer = &model->layers[l];
        const PdWeight *matrices[] = {&layer->wq,     &layer->wk,   &layer->wv,    &layer->wo,
                                      &layer->w_gate, &layer->w_up, &layer->w_down};
        for (gsize i = 0; i < G_N_ELEMENTS(matrices); i++) {
            const PdWeight *w = matrices[i];
            count.numbers += (double)w->n_rows * w->n_cols;
            count.bytes += (double)w->n_rows * (double)pd_row_bytes(w->type, (gsize)w->n_cols);
        }
    }
    return count;
}

/* The output matrix; of a DeepSeek model also the mixing of the streams before it. */
static Count
count_output(const PdModel *model)
{
    const PdWeight *output = &model->output;
    Count count = {0};
    if (model->deepseek != NULL) {
        (void)count_matrix(&model->deepseek->head, &count, NULL);
        (void)count_matrix(&model->deepseek->head_site.fn, &count, NULL);
        return count;
    }
    return (Count){(double)output->n_rows * output->n_cols,
                   (double)output->n_rows *
                       (double)pd_row_bytes(output->type, (gsize)output->n_cols)};
}

guint64
pd_bench_decode_bytes(const PdModel *model)
{
    return (guint64)(count_layers(model).bytes + count_output(model).bytes + 0.5);
}

double
pd_bench_prefill_ops(const PdModel *model, int n_tokens)
{
    /* Only the last token's logits are made. */
    return 2 * (count_layers(model).numbers * n_tokens + count_output(model).numbers);
}

static double
seconds_since(gint64 start_us)
{
    return (double)MAX(g_get_monotonic_time() - start_us, 1) / 1e6;
}

static gint32 *
make_tokens(const PdModel *model, int n)
{
    gint32 *ids = g_try_new(gint32, n);
    guint32 state = 1;
    for (int i = 0; ids != NULL && i < n; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        ids[i] = (gint32)((state >> 8) % (guint32)model->shape.n_vocab);
    }
    return ids;
}

PdDtype
pd_bench_kv_type(const PdModel *model, gboolean eight_bit)
{
    if (model->deepseek != NULL)
        return pd_ds_mixed_problem(&model->deepseek->shape) == NULL ? PD_Q8_0 : PD_F32;
    return eight_bit ? PD_Q8_0 : PD_F16;
}

/* What the session's tokens take: rows, or the state of a DeepSeek model that is kept of them. */
static guint64
kept_bytes(const PdModel *model, const PdSession *session, const PdSessionOptions *options)
{
    if (model->deepseek == NULL)
        return (guint64)options->max_tokens * pd_session_row_bytes(session);
    PdDsRunOptions run = pd_session_deepseek_options(model, options);
    return pd_ds_kept_bytes(model->deepseek, &run, options->max_tokens);
}

gboolean
pd_bench_run(PdModel *model, PdDtype kv_type, int context_tokens, GCancellable *cancellable,
             PdBenchRow *row, GError **error)
{
    PdSessionOptions options = {.n_sequences = 1,
                                .max_tokens = context_tokens + PD_BENCH_DECODE_TOKENS,
                                .kv_type = kv_type};
    g_autoptr(PdSession) session = pd_session_new(model, &options, error);
    if (session == NULL)
        return FALSE;
    g_autofree gint32 *ids = make_tokens(model, options.max_tokens);
    g_autofree float *logits = g_try_new(float, model->shape.n_vocab);
    if (ids == NULL || logits == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for a prompt of %d tokens", context_tokens);
        return FALSE;
    }

    PdRun run = {.tokens = ids, .n_tokens = context_tokens, .logits = logits};
    gint64 start_us = g_get_monotonic_time();
    if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
        return FALSE;
    *row = (PdBenchRow){.context_tokens = context_tokens,
                        .prefill_seconds = seconds_since(start_us),
                        .kv_bytes = kept_bytes(model, session, &options)};
    row->prefill_tokens_per_s = context_tokens / row->prefill_seconds;
    row->prefill_gops = pd_bench_prefill_ops(model, context_tokens) / row->prefill_seconds / 1e9;

    start_us = g_get_monotonic_time();
    for (int i = 0; i < PD_BENCH_DECODE_TOKENS; i++) {
        run = (PdRun){.tokens = ids + context_tokens + i, .n_tokens = 1, .logits = logits};
        if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
            return FALSE;
    }
    row->decode_tokens_per_s = PD_BENCH_DECODE_TOKENS / seconds_since(start_us);
    row->decode_weight_gbs = row->decode_tokens_per_s * (double)pd_bench_decode_bytes(model) / 1e9;
    return TRUE;
}

gboolean
pd_bench_machine(int n_threads, PdBenchPeak *peak, GError **error)
{
    PdDevice *device = pd_cpu_device_new(n_threads, NULL);
    PdPeak measured;
    int rc = device != NULL ? pd_cpu_peak(device, &measured) : PD_KERNEL_ENOMEM;

    if (device != NULL)
        device->ops->free(device);
    if (rc != PD_KERNEL_OK) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory to measure this machine with");
        return FALSE;
    }
    *peak = (PdBenchPeak){measured.read_gbs, measured.int8_gops};
    return TRUE;
}

void
pd_bench_peak(PdModel *model, PdBenchPeak *peak)
{
    PdPeak measured;
    *peak = (PdBenchPeak){0};
    if (pd_cpu_peak(model->device, &measured) == PD_KERNEL_OK)
        *peak = (PdBenchPeak){measured.read_gbs, measured.int8_gops};
    pd_peak_memory_reset(); /* the memory read for it is not the model's */
}
