/*
 * Sessions of a DeepSeek-V4 model: a micro-batch goes span by span through engine/deepseek/.
 *
 * The state of that family moves forward only.  A sequence that was cut, or that got the tokens of
 * another, keeps its tokens; its state goes back to the last snapshot, and the rest is made again
 * from the tokens before the next row.
 */
#include "engine/error.h"
#include "engine/session_internal.h"

static gboolean
no_memory(const PdSession *s, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                "%s: no memory for a pass over %d rows; smaller batch_rows need less",
                s->model->name, s->options.batch_rows);
    return FALSE;
}

gboolean
pd_session_catch_up_deepseek(PdSession *s, int sequence, int n, GError **error)
{
    const gint32 *tokens = pd_session_tokens(s, sequence);
    int have = pd_ds_run_n_tokens(s->deepseek, sequence);
    g_assert(have <= n);
    for (; have < n; have = pd_ds_run_n_tokens(s->deepseek, sequence)) {
        if (!pd_ds_run_forward(s->deepseek, sequence, tokens + have,
                               MIN(n - have, s->options.batch_rows)))
            return no_memory(s, error);
    }
    return TRUE;
}

gboolean
pd_session_mark(PdSession *s, int sequence, GError **error)
{
    if (s->deepseek == NULL)
        return TRUE;
    if (!pd_session_catch_up_deepseek(s, sequence, pd_session_n_tokens(s, sequence), error))
        return FALSE;
    pd_ds_run_mark(s->deepseek, sequence);
    return TRUE;
}

void
pd_session_forget_deepseek(PdSession *s, int sequence, int n_tokens)
{
    if (s->deepseek != NULL)
        pd_ds_run_rewind(s->deepseek, sequence, n_tokens);
}

gboolean
pd_session_run_deepseek(PdSession *s, const PdBatch *batch, GError **error)
{
    for (int i = 0; i < batch->n_spans; i++) {
        const PdSpan *span = &batch->spans[i];
        if (!pd_session_catch_up_deepseek(s, span->sequence, span->first_row, error))
            return FALSE;
        if (!pd_ds_run_forward(s->deepseek, span->sequence, batch->ids + span->batch_row,
                               span->n_rows))
            return no_memory(s, error);
        for (int w = 0; w < span->n_wanted; w++) {
            float *logits = batch->logits[span->wanted_row + w];
            if (logits != NULL &&
                !pd_ds_run_logits(s->deepseek, span->n_rows - span->n_wanted + w, logits))
                return no_memory(s, error);
        }
    }
    return TRUE;
}
