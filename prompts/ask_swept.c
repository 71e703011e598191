/* A swept corpus (mode C): passages are found, chosen and put before the model, in one reading or
 * more. */
#include "prompts/ask_internal.h"
#include "prompts/find.h"
#include "prompts/kept.h"
#include "prompts/names.h"
#include "prompts/reader.h"
#include "prompts/rerank.h"
#include "prompts/select.h"

/* Are passages put in from their kept rows, as far as they are not fresh? */
static gboolean
takes_kept_rows(const Batch *batch)
{
    return !batch->options->reread && batch->options->arm != PD_ARM_FTS &&
           batch->view == batch->context && pd_context_keeps_rows(batch->context);
}

/* --- finding --- */

guint
pd_ask_n_rerank(const PdContext *context, const PdAskOptions *options)
{
    const PdProfile *profile = &context->profile;
    int of_profile = pd_context_keeps_rows(context) ? profile->n_rerank : profile->n_rerank_run;

    return (guint)MAX(options->rerank ? options->rerank : of_profile, 0);
}

static void
on_reranked(guint64 n_done, guint64 n_blocks, gpointer user_data)
{
    pd_ask_tell_stage(user_data, "ranking blocks", n_done, n_blocks);
}

static GPtrArray *
find_once(Batch *batch, GPtrArray *asks, PdArm arm, GError **error)
{
    g_autofree const char **questions = g_new(const char *, asks->len);
    PdFindOptions options = {.arm = arm,
                             .n_rerank = pd_ask_n_rerank(batch->context, batch->options),
                             .progress = on_reranked,
                             .user_data = batch};

    for (guint i = 0; i < asks->len; i++)
        questions[i] = ((Ask *)asks->pdata[i])->question;
    return pd_find_blocks(batch->context, questions, asks->len, &options, batch->cancellable,
                          error);
}

/* As pd_context_warm, in the batch's figures. */
static gboolean
warm(Batch *batch, PdWarmReport *sum, GError **error)
{
    PdWarmReport report = {0};
    gboolean first = sum->n_tokens_encoded + sum->n_tokens_reused == 0;

    if (!pd_context_warm(batch->context, &report, pd_ask_on_warm, batch, batch->cancellable, error))
        return FALSE;
    sum->n_tokens_reused =
        first ? report.n_tokens_reused : sum->n_tokens_reused - report.n_tokens_encoded;
    sum->n_tokens_encoded += report.n_tokens_encoded;
    sum->n_bytes_written += report.n_bytes_written;
    sum->seconds += report.seconds;
    return TRUE;
}

/* What turns out to be damaged on the disk is read once more. */
static GPtrArray *
warm_and_find(Batch *batch, GPtrArray *asks, PdArm arm, PdWarmReport *sum, double *seconds,
              GError **error)
{
    for (int tries = 0;; tries++) {
        g_autoptr(GError) local = NULL;
        GPtrArray *found;
        gint64 started_us;

        if (arm != PD_ARM_FTS && !warm(batch, sum, error))
            return NULL;
        started_us = g_get_monotonic_time();
        found = find_once(batch, asks, arm, &local);
        *seconds = pd_ask_seconds_since(started_us);
        if (found)
            return found;
        if (tries > 0 || !g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return NULL;
        }
    }
}

/* What every question's passages are chosen from. */
static gboolean
find_blocks(Batch *batch, GPtrArray *asks, GError **error)
{
    const PdAskOptions *options = batch->options;
    PdArm arm = options->arm == PD_ARM_AUTO ? PD_ARM_BOTH : options->arm;
    PdWarmReport report = {0};
    double seconds = 0;
    g_autoptr(GPtrArray) found = NULL;

    if (options->passages && options->passages->len > 0 && takes_kept_rows(batch) &&
        !warm(batch, &report, error))
        return FALSE;
    if (!options->passages && !(found = warm_and_find(batch, asks, arm, &report, &seconds, error)))
        return FALSE;
    for (guint i = 0; i < asks->len; i++) {
        PdAnswer *answer = ((Ask *)asks->pdata[i])->answer;

        answer->arm = arm;
        answer->warm = report;
        answer->sweep_seconds = seconds;
        answer->blocks = found ? g_array_ref(found->pdata[i]) : NULL;
        if (found)
            answer->likelihood = pd_rerank_best_likelihood(answer->blocks);
    }
    return TRUE;
}

/* --- choosing --- */

/* The caller's passages, numbered as they come. */
static GArray *
given_passages(const PdAskOptions *options)
{
    GArray *passages = g_array_copy(options->passages);

    for (guint i = 0; i < passages->len; i++)
        g_array_index(passages, PdPassage, i).number = (int)i + 1;
    return passages;
}

static GArray *
select_passages(const Batch *batch, GArray *blocks, GError **error)
{
    const PdAskOptions *options = batch->options;
    const PdReading *reading = &batch->readings->of[batch->reading];
    guint all = options->budget_tokens > 0 ? (guint)options->budget_tokens : PD_ASK_BUDGET_TOKENS;
    guint fresh = options->fresh_tokens > 0 ? (guint)options->fresh_tokens : PD_ASK_FRESH_TOKENS;
    PdSelection selection = {.budget_tokens = reading->tokens ? MIN(reading->tokens, all) : all,
                             .fresh_tokens = options->reread ? 0 : fresh,
                             .likely_margin = reading->likely_margin};
    GArray *passages = pd_select_passages(batch->context, blocks, &selection, error);

    for (guint i = 0; passages && i < passages->len && !takes_kept_rows(batch); i++)
        g_array_index(passages, PdPassage, i).fresh = TRUE;
    return passages;
}

/* --- reading --- */

static gboolean
on_read(guint64 done, guint64 total, gpointer user_data)
{
    pd_ask_tell_stage(user_data, "reading passages", done, total);
    return TRUE;
}

static gboolean
read_from_rows(Batch *batch, Ask **asks, guint n, GError **error)
{
    g_autofree PdKeptPrompt *prompts = g_new0(PdKeptPrompt, n);

    for (guint i = 0; i < n; i++)
        prompts[i] = (PdKeptPrompt){
            .sequence = asks[i]->sequence, .prompt = asks[i]->prompt, .passages = asks[i]->read};
    if (!pd_read_kept(batch->context, batch->session, prompts, n, batch->cancellable, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        asks[i]->answer->n_reused_tokens = prompts[i].n_kept;
    return TRUE;
}

static gboolean
run_prompts(Batch *batch, Ask **asks, guint n, GError **error)
{
    g_autofree PdRun *runs = g_new0(PdRun, n);
    int first = (int)batch->view->prefix->len;

    for (guint i = 0; i < n; i++)
        runs[i] = (PdRun){.sequence = asks[i]->sequence,
                          .tokens = &g_array_index(asks[i]->prompt, gint32, first),
                          .n_tokens = (int)asks[i]->prompt->len - first};
    return pd_session_run(batch->session, runs, (int)n, batch->cancellable, on_read, batch, error);
}

/* The prompts of n questions into their sequences, together. */
static gboolean
read_passages(Batch *batch, Ask **asks, guint n, GError **error)
{
    gint64 started_us = g_get_monotonic_time();

    if (!pd_context_run_prefix(batch->view, batch->session, (int)n, batch->cancellable, error) ||
        !(takes_kept_rows(batch) ? read_from_rows(batch, asks, n, error)
                                 : run_prompts(batch, asks, n, error)))
        return FALSE;
    for (guint i = 0; i < n; i++)
        asks[i]->answer->read_seconds += pd_ask_seconds_since(started_us);
    return TRUE;
}

/* Forget what was read and made, for the next reading. */
static void
begin_reading(Ask *ask)
{
    pd_ask_clear_reading(ask);
    ask->decoding_us = 0;
    ask->done = FALSE;
    ask->unsure = FALSE;
    pd_answer_begin(ask->answer);
}

/* The passages behind the prefix; sets their first rows. */
static void
lay_out_passages(Ask *ask)
{
    PdContext *view = ask->batch->view;

    ask->prompt = g_array_copy(view->prefix);
    for (guint i = 0; i < ask->read->len; i++) {
        PdPassage *passage = &g_array_index(ask->read, PdPassage, i);

        pd_passage_append(view, passage, ask->prompt);
        g_array_index(ask->answer->passages, PdPassage, i).first_row = passage->first_row;
    }
    pd_ask_finish_prompt(ask);
}

static gboolean
prepare_prompt(Batch *batch, Ask *ask, GError **error)
{
    PdAnswer *answer = ask->answer;

    begin_reading(ask);
    answer->passages = batch->options->passages ? given_passages(batch->options)
                                                : select_passages(batch, answer->blocks, error);
    if (!answer->passages)
        return FALSE;
    ask->read = batch->view == batch->context
                    ? g_array_ref(answer->passages)
                    : pd_reader_passages(batch->view, batch->context, answer->passages, error);
    if (!ask->read)
        return FALSE;
    lay_out_passages(ask);
    answer->unread_names = pd_names_unread(batch->view, ask->read, ask->question, error);
    return answer->unread_names != NULL;
}

/* Prompts of the last reading are there from the start, until another reading takes their place. */
static gboolean
is_prepared(const Batch *batch, const Ask *ask)
{
    return batch->reading == batch->readings->n - 1 && ask->answer->n_readings == 0;
}

/* The present reading of n questions: their passages read, their answers made, together. */
static gboolean
read_and_answer(Batch *batch, Ask **asks, guint n, GError **error)
{
    int prompt_tokens = 0;

    for (guint i = 0; i < n; i++) {
        if (!is_prepared(batch, asks[i]) && !prepare_prompt(batch, asks[i], error))
            return FALSE;
        asks[i]->sequence = (int)i;
        asks[i]->answer->n_readings++;
        prompt_tokens = MAX(prompt_tokens, (int)asks[i]->prompt->len);
    }
    return pd_ask_new_session(batch, (int)n, prompt_tokens, error) &&
           read_passages(batch, asks, n, error) && pd_ask_decode(batch, asks, n, error);
}

/* Would the present reading read what the next one does? */
static gboolean
is_like_next(const Batch *batch, const Ask *ask)
{
    const PdReading *reading = &batch->readings->of[batch->reading];

    return batch->reading < batch->readings->n - 1 &&
           (batch->options->once || batch->options->passages ||
            (reading->tokens == 0 && ask->answer->likelihood == 0));
}

/* Questions [first, first + n): those that are not answered are read for again, with more. */
static gboolean
answer_group(Batch *batch, GPtrArray *asks, guint first, guint n, GError **error)
{
    Ask **group = (Ask **)asks->pdata + first;
    g_autofree Ask **now = g_new(Ask *, n);

    for (guint i = 0; i < n; i++)
        group[i]->unsure = TRUE;
    for (batch->reading = 0; batch->reading < batch->readings->n; batch->reading++) {
        guint n_now = 0;

        for (guint i = 0; i < n; i++)
            if (group[i]->unsure && !is_like_next(batch, group[i]))
                now[n_now++] = group[i];
        if (n_now > 0 && !read_and_answer(batch, now, n_now, error))
            return FALSE;
    }
    for (guint i = 0; i < n && batch->events && batch->events->answered; i++)
        batch->events->answered(first + i, group[i]->answer, batch->events->user_data);
    return TRUE;
}

/* How many of the questions left are answered together: in groups of much the same size. */
static guint
group_size(const Batch *batch, GPtrArray *asks, guint first)
{
    guint64 row_bytes = pd_kv_dense_row_bytes(pd_model_shape(batch->view->model));
    guint n_left = asks->len - first, n_max;
    int n_rows = 0;

    for (guint i = first; i < asks->len; i++)
        n_rows = MAX(n_rows, (int)((Ask *)asks->pdata[i])->prompt->len);
    n_rows += pd_ask_made_limit(batch->options);
    n_max = (guint)CLAMP(PD_ASK_TOGETHER_BYTES / (row_bytes * (guint64)n_rows), 1, PD_ASK_TOGETHER);
    return (n_left + (n_left - 1) / n_max) / ((n_left - 1) / n_max + 1);
}

gboolean
pd_ask_swept(Batch *batch, GPtrArray *asks, GError **error)
{
    const PdProfile *profile = &batch->view->profile;

    batch->readings = takes_kept_rows(batch) ? &profile->kept : &profile->run;
    batch->reading = batch->readings->n - 1;
    if (!find_blocks(batch, asks, error))
        return FALSE;
    for (guint i = 0; i < asks->len; i++) /* as long as they can become */
        if (!prepare_prompt(batch, asks->pdata[i], error))
            return FALSE;
    for (guint first = 0, n; first < asks->len; first += n) {
        n = group_size(batch, asks, first);
        if (!answer_group(batch, asks, first, n, error))
            return FALSE;
    }
    return TRUE;
}
