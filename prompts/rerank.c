/* See rerank.h. */
#include "prompts/rerank.h"

#include <math.h>
#include "prompts/kept.h"
#include "prompts/layout.h"

#define LOGIT_ROWS 64 /* of all sequences, held at once */

typedef struct {
    PdContext *context;
    PdSession *session;
    const GArray *passages;
    GArray *wish;     /* gint32: what is said between passage and question */
    GArray *question; /* gint32 */
    GCancellable *cancellable;
} Rerank;

static void
rerank_clear(Rerank *rerank)
{
    g_clear_pointer(&rerank->session, pd_session_free);
    g_clear_pointer(&rerank->wish, g_array_unref);
    g_clear_pointer(&rerank->question, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rerank, rerank_clear)

static PdContextSegment *
segment_of(const Rerank *rerank, const PdPassage *passage)
{
    return &g_array_index(rerank->context->segments, PdContextSegment, passage->segment);
}

static gboolean
open_session(Rerank *rerank, GError **error)
{
    int fixed = (int)(rerank->context->prefix->len + rerank->wish->len + rerank->question->len);
    PdSessionOptions options = {.n_sequences = (int)rerank->passages->len, .kv_type = PD_F16};

    for (guint i = 0; i < rerank->passages->len; i++) {
        const PdPassage *passage = &g_array_index(rerank->passages, PdPassage, i);
        int n = (int)(segment_of(rerank, passage)->header_ids->len + passage->n_tokens);
        options.max_tokens = MAX(options.max_tokens, n + fixed + 1);
    }
    rerank->session = pd_session_new(rerank->context->model, &options, error);
    return rerank->session != NULL;
}

/* The prefix, run once for all sequences. */
static gboolean
run_prefix(Rerank *rerank, GError **error)
{
    GArray *prefix = rerank->context->prefix;
    PdRun run = {.tokens = (const gint32 *)prefix->data, .n_tokens = (int)prefix->len};

    if (!pd_session_run(rerank->session, &run, 1, rerank->cancellable, NULL, NULL, error))
        return FALSE;
    for (guint i = 1; i < rerank->passages->len; i++)
        if (!pd_session_share_rows(rerank->session, 0, (int)i, run.n_tokens, error))
            return FALSE;
    return TRUE;
}

/* Prefix, passage and wish into each sequence. */
static gboolean
read_passages(Rerank *rerank, GError **error)
{
    guint n = rerank->passages->len;
    g_autofree PdKeptPrompt *prompts = g_new0(PdKeptPrompt, n);
    g_autoptr(GPtrArray) arrays = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint i = 0; i < n; i++) {
        PdPassage passage = g_array_index(rerank->passages, PdPassage, i);
        PdContextSegment *segment = segment_of(rerank, &passage);
        GArray *prompt = g_array_copy(rerank->context->prefix);
        GArray *one = g_array_new(FALSE, FALSE, sizeof(PdPassage));

        g_array_append_vals(prompt, segment->header_ids->data, segment->header_ids->len);
        passage.first_row = (int)prompt->len;
        passage.fresh = FALSE;
        g_array_append_vals(prompt, segment->row->ids + passage.first_token, passage.n_tokens);
        g_array_append_vals(prompt, rerank->wish->data, rerank->wish->len);
        g_array_append_val(one, passage);
        g_ptr_array_add(arrays, prompt);
        g_ptr_array_add(arrays, one);
        prompts[i] = (PdKeptPrompt){.sequence = (int)i, .prompt = prompt, .passages = one};
    }
    return pd_read_kept(rerank->context, rerank->session, prompts, n, rerank->cancellable, error);
}

/* -log p of one token. */
static double
nats(const float *logits, int n_vocab, gint32 token)
{
    float max = logits[0];
    double sum = 0;

    for (int i = 1; i < n_vocab; i++)
        max = MAX(max, logits[i]);
    for (int i = 0; i < n_vocab; i++)
        sum += expf(logits[i] - max);
    return (double)max - logits[token] + log(sum);
}

/* The question behind the sequences [first, first + n). */
static gboolean
score_some(Rerank *rerank, guint first, guint n, float *scores, GError **error)
{
    gsize n_vocab = (gsize)pd_model_shape(rerank->context->model)->n_vocab;
    const gint32 *tokens = (const gint32 *)rerank->question->data;
    gsize n_tokens = rerank->question->len;
    g_autofree float *logits = g_try_new(float, n *n_tokens *n_vocab);
    g_autofree PdRun *runs = g_new0(PdRun, n);

    if (!logits) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for a question");
        return FALSE;
    }
    for (guint i = 0; i < n; i++)
        runs[i] = (PdRun){.sequence = (int)(first + i),
                          .tokens = tokens,
                          .n_tokens = (int)n_tokens,
                          .logits = logits + i * n_tokens * n_vocab,
                          .all_logits = TRUE};
    if (!pd_session_run(rerank->session, runs, (int)n, rerank->cancellable, NULL, NULL, error))
        return FALSE;
    for (guint i = 0; i < n; i++) {
        double sum = 0;
        for (gsize t = 1; t < n_tokens; t++)
            sum += nats(runs[i].logits + (t - 1) * n_vocab, (int)n_vocab, tokens[t]);
        scores[first + i] = (float)(-sum / (double)MAX(n_tokens - 1, 1));
    }
    return TRUE;
}

gboolean
pd_rerank(PdContext *context, const char *question, const GArray *passages, float *scores,
          GCancellable *cancellable, GError **error)
{
    g_auto(Rerank) rerank = {
        .context = context,
        .passages = passages,
        .wish = pd_layout_wish(context->model),
        .question = g_array_new(FALSE, FALSE, sizeof(gint32)),
        .cancellable = cancellable,
    };
    guint n_at_once;

    pd_layout_text(context->model, question, rerank.question);
    /* the wish's last token makes the first prediction */
    g_array_prepend_vals(rerank.question,
                         &g_array_index(rerank.wish, gint32, rerank.wish->len - 1), 1);
    g_array_set_size(rerank.wish, rerank.wish->len - 1);
    if (passages->len == 0)
        return TRUE;
    if (!open_session(&rerank, error) || !run_prefix(&rerank, error) ||
        !read_passages(&rerank, error))
        return FALSE;
    n_at_once = MAX(LOGIT_ROWS / rerank.question->len, 1);
    for (guint first = 0; first < passages->len; first += n_at_once)
        if (!score_some(&rerank, first, MIN(n_at_once, passages->len - first), scores, error))
            return FALSE;
    return TRUE;
}
