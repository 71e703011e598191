/*
 * pd_session_run: checks the runs, cuts their rows into micro-batches in the order given, runs
 * each, hands out the logits.  A sequence's count grows only after its micro-batch has succeeded,
 * so a stop or an error leaves every sequence at a whole micro-batch.
 */
#include <string.h>
#include "engine/error.h"
#include "engine/session_internal.h"

/* --- checks, before any work --- */

static gboolean
check_run(const PdSession *s, const PdRun *run, int n_before, GError **error)
{
    int n_vocab = s->model->shape.n_vocab;
    if (run->sequence < 0 || run->sequence >= s->options.n_sequences || run->n_tokens < 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE, "sequence %d of %d, %d tokens",
                    run->sequence, s->options.n_sequences, run->n_tokens);
        return FALSE;
    }
    if (run->n_tokens > s->options.max_tokens - n_before) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                    "sequence %d holds %d of %d tokens, %d more do not fit", run->sequence,
                    n_before, s->options.max_tokens, run->n_tokens);
        return FALSE;
    }
    for (int i = 0; i < run->n_tokens; i++) {
        if (run->tokens[i] < 0 || run->tokens[i] >= n_vocab) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                        "token %d at place %d is outside the vocabulary of %d", run->tokens[i], i,
                        n_vocab);
            return FALSE;
        }
    }
    if (run->logits != NULL && s->options.n_layers > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                    "a session of %d layers makes no logits", s->n_layers);
        return FALSE;
    }
    return TRUE;
}

/* Rows of `sequence` that earlier runs of this call append. */
static int
rows_before(const PdSession *s, const PdRun *runs, int n_runs, int sequence)
{
    gint64 n = sequence >= 0 && sequence < s->options.n_sequences ? s->n_tokens[sequence] : 0;
    for (int i = 0; i < n_runs; i++) {
        if (runs[i].sequence == sequence)
            n += runs[i].n_tokens;
    }
    return (int)n; /* earlier runs were checked: within max_tokens */
}

static gboolean
check_runs(const PdSession *s, const PdRun *runs, int n_runs, guint64 *total, GError **error)
{
    *total = 0;
    for (int i = 0; i < n_runs; i++) {
        int n_before = rows_before(s, runs, i, runs[i].sequence);
        if (!check_run(s, &runs[i], n_before, error))
            return FALSE;
        *total += (guint64)runs[i].n_tokens;
    }
    if (!pd_session_tap_ready(s)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory to show the rows of a layer; smaller batch_rows need less");
        return FALSE;
    }
    return TRUE;
}

/* --- micro-batches --- */

/* Where in the caller's runs the next micro-batch starts. */
typedef struct {
    int run;
    int row;
} Cursor;

/* The rows of a span whose output somebody wants, and where their logits go. */
static void
want_rows(PdSession *s, const PdRun *run, int run_row, PdSpan *span)
{
    PdBatch *b = &s->batch;
    gboolean ends = run_row + span->n_rows == run->n_tokens;
    gsize n_vocab = (gsize)s->model->shape.n_vocab;
    span->record = s->n_head_runs > 0 && run->n_tokens == 1;
    span->n_wanted = 0;
    if (run->logits != NULL && run->all_logits)
        span->n_wanted = span->n_rows;
    else if ((run->logits != NULL && ends) || span->record)
        span->n_wanted = 1;
    span->wanted_row = b->n_wanted;
    for (int i = 0; i < span->n_wanted; i++) {
        float *logits = run->logits;
        if (run->all_logits && logits != NULL)
            logits += (gsize)(run_row + span->n_rows - span->n_wanted + i) * n_vocab;
        b->logits[b->n_wanted++] = logits;
    }
}

/* Fills s->batch from the cursor on; FALSE when nothing is left. */
static gboolean
next_batch(PdSession *s, const PdRun *runs, int n_runs, Cursor *at)
{
    PdBatch *b = &s->batch;
    b->n_spans = b->n_rows = b->n_wanted = 0;
    while (at->run < n_runs && b->n_rows < s->options.batch_rows) {
        const PdRun *run = &runs[at->run];
        int n = MIN(run->n_tokens - at->row, s->options.batch_rows - b->n_rows);
        if (n == 0) {
            *at = (Cursor){at->run + 1, 0};
            continue;
        }
        /* A sequence that comes twice in one call continues where its earlier span ends. */
        int first_row = s->n_tokens[run->sequence];
        for (int i = 0; i < b->n_spans; i++) {
            if (b->spans[i].sequence == run->sequence)
                first_row = b->spans[i].first_row + b->spans[i].n_rows;
        }
        PdSpan *span = &b->spans[b->n_spans++];
        *span = (PdSpan){.run = at->run,
                         .sequence = run->sequence,
                         .first_row = first_row,
                         .n_rows = n,
                         .batch_row = b->n_rows};
        for (int i = 0; i < n; i++) {
            b->ids[b->n_rows + i] = run->tokens[at->row + i];
            b->positions[b->n_rows + i] = first_row + i;
        }
        want_rows(s, run, at->row, span);
        b->n_rows += n;
        at->row += n;
    }
    return b->n_rows > 0;
}

/* Last norm and output matrix for the wanted rows [first, first + n), all with a destination. */
static gboolean
make_logits(PdSession *s, PdMem x, int first, int n, GError **error)
{
    const PdModel *m = s->model;
    gsize n_vocab = (gsize)m->shape.n_vocab;
    PdMem rows = pd_mem_at(x, (gsize)first * (gsize)m->shape.n_embd);
    PdMatmulJob job = {.weight = m->output, .out = s->logits};
    s->dev->ops->rms_norm(s->dev, rows, rows, m->output_norm, n, m->shape.n_embd, m->shape.rms_eps);
    if (s->dev->ops->matmul(s->dev, rows, n, &job, 1) != PD_KERNEL_OK) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for the logits of %d rows", n);
        return FALSE;
    }
    for (int i = 0; i < n; i++)
        s->dev->ops->read(s->dev, s->batch.logits[first + i],
                          pd_mem_at(s->logits, (gsize)i * n_vocab), n_vocab * sizeof(float));
    return TRUE;
}

static gboolean
hand_out_logits(PdSession *s, PdMem x, GError **error)
{
    const PdBatch *b = &s->batch;
    int most = MIN(s->options.batch_rows, PD_LOGIT_ROWS);
    for (int first = 0; first < b->n_wanted;) {
        int n = 0;
        while (first + n < b->n_wanted && n < most && b->logits[first + n] != NULL)
            n++;
        if (n > 0 && !make_logits(s, x, first, n, error))
            return FALSE;
        first += MAX(n, 1);
    }
    return TRUE;
}

static gboolean
run_batch(PdSession *s, GError **error)
{
    const PdBatch *b = &s->batch;
    int n_positions = 0;
    PdMem x;
    for (int i = 0; i < b->n_spans; i++) {
        const PdSpan *span = &b->spans[i];
        n_positions = MAX(n_positions, span->first_row + span->n_rows);
        if (span->record) {
            float *record = s->record + (gsize)span->sequence * (gsize)s->options.max_tokens;
            memset(record, 0, (gsize)(span->first_row + 1) * sizeof *record);
            s->record_rows[span->sequence] = span->first_row + 1;
        }
    }
    if (s->deepseek != NULL)
        return pd_session_run_deepseek(s, b, error);
    pd_session_fill_rope(s, n_positions);
    if (s->sparse != NULL) {
        pd_session_fill_rope(s, PD_SELECT_DISTANCE + 1);
        pd_sparse_begin(s);
    }
    return pd_forward(s, b, &x, error) && hand_out_logits(s, x, error);
}

/* The sequences have grown by their spans. */
static void
keep_tokens(PdSession *s)
{
    const PdBatch *b = &s->batch;
    for (int i = 0; i < b->n_spans; i++) {
        const PdSpan *span = &b->spans[i];
        gint32 *tokens = s->tokens + (gsize)span->sequence * (gsize)s->options.max_tokens;
        memcpy(tokens + span->first_row, b->ids + span->batch_row,
               (gsize)span->n_rows * sizeof *tokens);
        s->n_tokens[span->sequence] = span->first_row + span->n_rows;
    }
}

gboolean
pd_session_run(PdSession *s, const PdRun *runs, int n_runs, GCancellable *cancellable,
               PdProgressFunc progress, gpointer user_data, GError **error)
{
    guint64 done = 0, total;
    Cursor at = {0, 0};
    if (!check_runs(s, runs, n_runs, &total, error))
        return FALSE;
    for (;;) {
        if (!next_batch(s, runs, n_runs, &at))
            return TRUE; /* done is done, cancelled since or not */
        if (g_cancellable_is_cancelled(cancellable))
            break;
        if (!run_batch(s, error))
            return FALSE;
        keep_tokens(s);
        done += (guint64)s->batch.n_rows;
        if (progress != NULL && !progress(done, total, user_data) && done < total)
            break;
    }
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED,
                "stopped after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " tokens", done, total);
    return FALSE;
}
