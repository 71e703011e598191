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

/* Rows that the block is given: those that join what it has seen, else the last ones of a window.
 */
static int
rows_to_draft(const PdSession *s, int sequence)
{
    int n_at_hand = pd_ds_run_n_at_hand(s->deepseek, sequence);
    int n_unseen = s->n_tokens[sequence] - pd_ds_run_n_drafted(s->deepseek, sequence);
    if (n_unseen > 0 && n_unseen <= n_at_hand)
        return n_unseen;
    return MIN(n_at_hand, s->model->deepseek->shape.window);
}

gboolean
pd_session_draft(PdSession *s, int sequence, gint32 next, gint32 *guess, GError **error)
{
    gint32 *tokens;
    int n_tokens, n;
    g_assert(sequence >= 0 && sequence < s->options.n_sequences);
    g_assert(next >= 0 && next < s->model->shape.n_vocab);
    *guess = -1;
    if (s->deepseek == NULL || !s->model->deepseek->has_draft)
        return TRUE;
    n_tokens = s->n_tokens[sequence];
    n = rows_to_draft(s, sequence);
    if (n == 0 || pd_ds_run_n_tokens(s->deepseek, sequence) != n_tokens ||
        n_tokens > s->options.max_tokens - 2)
        return TRUE;
    tokens = s->tokens + (gsize)sequence * (gsize)s->options.max_tokens;
    tokens[n_tokens] = next; /* its place, should it be run */
    if (!pd_ds_run_draft(s->deepseek, sequence, pd_ds_run_n_at_hand(s->deepseek, sequence) - n,
                         tokens + n_tokens - n + 1, n))
        return no_memory(s, error);
    *guess = pd_ds_run_draft_token(s->deepseek, n - 1);
    return *guess >= 0 || no_memory(s, error);
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
