/* See rerank.h. */
#include "prompts/rerank.h"

#include "prompts/kept.h"
#include "prompts/layout.h"
#include "prompts/log_sum.h"

/* Blocks read at a time: so many sequences' KV and logits are in memory. */
#define TOGETHER 4
/* Tokens before and after a block that are read with it: a sentence may run over its border. */
#define MARGIN_TOKENS 16
/* Of a longer question its beginning is enough to tell blocks apart. */
#define QUESTION_TOKENS_MAX 64

/* One question and the blocks it is put to. */
typedef struct {
    PdContext *context;
    PdSession *session;
    GArray *task;     /* gint32: what follows a block, up to the question */
    GArray *question; /* gint32 */
    float *logits;    /* (TOGETHER, question tokens, n_vocab) */
    GCancellable *cancellable;
} Rerank;

/* --- one prompt: prefix, block, task --- */

static GArray *
lay_out(const Rerank *rerank, PdPassage *passage)
{
    GArray *prompt = g_array_copy(rerank->context->prefix);

    pd_passage_append(rerank->context, passage, prompt);
    g_array_append_vals(prompt, rerank->task->data, rerank->task->len);
    return prompt;
}

/* --- likelihoods --- */

static double
mean_log_likelihood(const Rerank *rerank, guint sequence)
{
    gsize n_vocab = (gsize)pd_model_shape(rerank->context->model)->n_vocab, best;
    guint n = rerank->question->len;
    double sum = 0;

    for (guint i = 0; i < n; i++) {
        const float *logits = rerank->logits + ((gsize)sequence * n + i) * n_vocab;
        sum += logits[g_array_index(rerank->question, gint32, i)] -
               pd_log_sum_exp(logits, n_vocab, &best);
    }
    return sum / n;
}

/* The question's tokens but the last, behind the task's last: their logits foretell the question.
 */
static gboolean
run_question(Rerank *rerank, guint n, GError **error)
{
    g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(gint32));
    gsize n_logits =
        (gsize)rerank->question->len * (gsize)pd_model_shape(rerank->context->model)->n_vocab;
    PdRun runs[TOGETHER];

    g_array_append_val(tokens, g_array_index(rerank->task, gint32, rerank->task->len - 1));
    g_array_append_vals(tokens, rerank->question->data, rerank->question->len - 1);
    for (guint i = 0; i < n; i++)
        runs[i] = (PdRun){.sequence = (int)i,
                          .tokens = (const gint32 *)tokens->data,
                          .n_tokens = (int)tokens->len,
                          .logits = rerank->logits + i * n_logits,
                          .all_logits = TRUE};
    return pd_session_run(rerank->session, runs, (int)n, rerank->cancellable, NULL, NULL, error);
}

/* n <= TOGETHER blocks; the sequences hold the prefix. */
static gboolean
score_blocks(Rerank *rerank, PdBlock *blocks, guint n, GError **error)
{
    PdKeptPrompt prompts[TOGETHER];
    GArray *passages[TOGETHER];
    int n_prefix = (int)rerank->context->prefix->len;
    gboolean ok;

    for (guint i = 0; i < n; i++) {
        PdPassage passage = pd_block_passage(rerank->context, &blocks[i], MARGIN_TOKENS);
        GArray *prompt = lay_out(rerank, &passage);

        g_array_set_size(prompt, prompt->len - 1); /* the last is run with the question */
        passages[i] = g_array_new(FALSE, FALSE, sizeof(PdPassage));
        g_array_append_val(passages[i], passage);
        prompts[i] = (PdKeptPrompt){.sequence = (int)i, .prompt = prompt, .passages = passages[i]};
        pd_session_truncate(rerank->session, (int)i, n_prefix);
    }
    ok = pd_read_kept(rerank->context, rerank->session, prompts, n, rerank->cancellable, error) &&
         run_question(rerank, n, error);
    for (guint i = 0; i < n; i++) {
        blocks[i].likelihood = ok ? (float)mean_log_likelihood(rerank, i) : 0;
        g_array_unref(prompts[i].prompt);
        g_array_unref(passages[i]);
    }
    return ok;
}

/* --- the order --- */

/* `around`: rows of a prompt that are not of a block. */
static PdSessionOptions
session_options(guint around)
{
    int block_tokens = PD_SWEEP_BLOCK_TOKENS + 2 * MARGIN_TOKENS + PD_HEADER_TOKENS_MAX + 8;

    return (PdSessionOptions){
        .n_sequences = TOGETHER, .max_tokens = (int)around + block_tokens, .kv_type = PD_F16};
}

static gsize
logits_bytes(PdModel *model, guint question_tokens)
{
    return (gsize)TOGETHER * question_tokens * (gsize)pd_model_shape(model)->n_vocab *
           sizeof(float);
}

guint64
pd_rerank_bytes(PdModel *model, guint question_tokens)
{
    g_autoptr(GArray) prefix = pd_layout_prefix(model);
    guint n = MIN(question_tokens, QUESTION_TOKENS_MAX);
    PdSessionOptions options = session_options(prefix->len + PD_RERANK_TASK_TOKENS + n);

    return pd_session_bytes(model, &options) + logits_bytes(model, n);
}

static gboolean
open_session(Rerank *rerank, GError **error)
{
    PdContext *context = rerank->context;
    PdSessionOptions options =
        session_options(context->prefix->len + rerank->task->len + rerank->question->len);

    rerank->session = pd_session_new(context->model, &options, error);
    return rerank->session &&
           pd_context_run_prefix(context, rerank->session, TOGETHER, rerank->cancellable, error);
}

/* In place and stable: there are few. */
static void
sort_by_merit(PdBlock *blocks, guint n)
{
    for (guint i = 1; i < n; i++) {
        PdBlock block = blocks[i];
        guint to = i;

        for (; to > 0 && pd_rerank_merit(&blocks[to - 1]) < pd_rerank_merit(&block); to--)
            blocks[to] = blocks[to - 1];
        blocks[to] = block;
    }
}

gboolean
pd_rerank_blocks(PdContext *context, const char *question, GArray *blocks, guint n,
                 GCancellable *cancellable, PdRerankProgress progress, gpointer user_data,
                 GError **error)
{
    g_autoptr(GArray) task = pd_layout_question_for(context->model);
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(gint32));
    Rerank rerank = {
        .context = context, .task = task, .question = words, .cancellable = cancellable};
    gboolean ok = TRUE;

    pd_layout_text(context->model, question, words);
    g_array_set_size(words, MIN(words->len, QUESTION_TOKENS_MAX));
    n = MIN(n, blocks->len);
    if (n < 2 || words->len == 0)
        return TRUE;
    rerank.logits = g_try_malloc(logits_bytes(context->model, words->len));
    if (!rerank.logits) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory to rank blocks");
        return FALSE;
    }
    ok = open_session(&rerank, error);
    for (guint i = 0; i < n && ok; i += TOGETHER) {
        if (progress)
            progress(i, n, user_data);
        ok = score_blocks(&rerank, &g_array_index(blocks, PdBlock, i), MIN(TOGETHER, n - i), error);
    }
    if (ok)
        sort_by_merit((PdBlock *)blocks->data, n);
    g_clear_pointer(&rerank.session, pd_session_free);
    g_free(rerank.logits);
    return ok;
}

float
pd_rerank_best_likelihood(GArray *blocks)
{
    float best = 0;

    for (guint i = 0; i < blocks->len; i++) {
        const PdBlock *block = &g_array_index(blocks, PdBlock, i);

        if (pd_block_is_ranked(block) && (best == 0 || block->likelihood > best))
            best = block->likelihood;
    }
    return best;
}
