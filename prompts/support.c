/* See support.h. */
#include "prompts/support.h"

#include "prompts/layout.h"

/* The first token of a word as the model would begin its reply with it. */
static gint32
first_token(PdModel *model, const char *word)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(gint32));

    pd_layout_text(model, word, ids);
    return g_array_index(ids, gint32, 0);
}

gboolean
pd_support(PdSession *session, int sequence, int n_rows, const char *question, const char *answer,
           double *log_odds, GCancellable *cancellable, GError **error)
{
    PdModel *model = pd_session_model(session);
    g_autoptr(GArray) check = pd_layout_check(model, question, answer);
    g_autofree float *logits = g_try_new(float, pd_model_shape(model)->n_vocab);
    PdRun run = {.sequence = sequence,
                 .tokens = (const gint32 *)check->data,
                 .n_tokens = (int)check->len,
                 .logits = logits};
    gboolean ok;

    if (!logits) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for an answer");
        return FALSE;
    }
    pd_session_truncate(session, sequence, n_rows);
    ok = pd_session_run(session, &run, 1, cancellable, NULL, NULL, error);
    pd_session_truncate(session, sequence, n_rows);
    if (ok)
        *log_odds = (double)logits[first_token(model, "Yes")] - logits[first_token(model, "No")];
    return ok;
}

double
pd_support_evidence(double log_odds, PdStated stated, gboolean names_unread)
{
    static const double by_words[] = {[PD_STATED_NOT] = 0,
                                      [PD_STATED_ANSWER] = PD_SUPPORT_REPEATED,
                                      [PD_STATED_BOTH] = PD_SUPPORT_STATED};

    return log_odds + by_words[stated] - (names_unread ? PD_SUPPORT_UNREAD : 0);
}
