/* See ask.h. */
#include "prompts/ask.h"

#include <string.h>
#include "prompts/ask_internal.h"
#include "prompts/choice.h"
#include "prompts/error.h"
#include "prompts/follow.h"
#include "prompts/kept.h"
#include "prompts/layout.h"
#include "prompts/lexical.h"
#include "prompts/reader.h"
#include "prompts/select.h"
#include "prompts/whole.h"

static const char *const arm_names[] = {
    [PD_ARM_AUTO] = "auto", [PD_ARM_SWEEP] = "sweep", [PD_ARM_FTS] = "fts", [PD_ARM_BOTH] = "both"};

const char *
pd_arm_name(PdArm arm)
{
    return arm_names[arm];
}

gboolean
pd_parse_arm(const char *word, PdArm *arm)
{
    guint value;
    gboolean ok = pd_parse_choice(word, arm_names, G_N_ELEMENTS(arm_names), &value);

    *arm = (PdArm)value;
    return ok;
}

/* All but the answer. */
static void
clear_reading(Ask *ask)
{
    g_clear_pointer(&ask->read, g_array_unref);
    g_clear_pointer(&ask->prompt, g_array_unref);
    g_clear_pointer(&ask->sampler, pd_sampler_free);
    g_clear_pointer(&ask->made, g_array_unref);
    g_clear_pointer(&ask->utf8, pd_utf8_stream_free);
    if (ask->sentence)
        g_string_free(g_steal_pointer(&ask->sentence), TRUE);
    g_clear_pointer(&ask->attention, g_free);
    g_clear_pointer(&ask->logits, g_free);
}

/* Forget what was read and made, for the next reading. */
static void
begin_reading(Ask *ask)
{
    clear_reading(ask);
    ask->decoding_us = 0;
    ask->done = FALSE;
    ask->unsure = FALSE;
    pd_answer_begin(ask->answer);
}

void
pd_ask_clear(Ask *ask)
{
    clear_reading(ask);
    pd_answer_free(ask->answer); /* NULL: the caller has it */
    g_free(ask);
}

static void
batch_clear(Batch *batch)
{
    g_clear_pointer(&batch->session, pd_session_free);
    if (batch->view && batch->view != batch->context)
        pd_context_free(batch->view);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Batch, batch_clear)

void
pd_ask_tell_stage(Batch *batch, const char *stage, guint64 done, guint64 total)
{
    if (batch->events && batch->events->stage)
        batch->events->stage(stage, done, total, batch->events->user_data);
}

static void
on_warm(guint64 done, guint64 total, gpointer user_data)
{
    pd_ask_tell_stage(user_data, "reading the corpus", done, total);
}

static gboolean
on_read(guint64 done, guint64 total, gpointer user_data)
{
    pd_ask_tell_stage(user_data, "reading passages", done, total);
    return TRUE;
}

/* --- the prompt --- */

/* For n questions with prompts of at most prompt_tokens. */
static gboolean
new_session(Batch *batch, int n, int prompt_tokens, GError **error)
{
    PdContext *view = batch->view;
    int window = pd_model_shape(view->model)->n_ctx_train;
    int max_tokens = prompt_tokens + 1 + pd_ask_made_limit(batch->options) + PD_ASK_ROOM;
    PdSessionOptions options =
        pd_whole_session(view->model, &view->profile, view->mode, view->prefix->len, max_tokens);

    options.n_sequences = n;
    if (view->mode != PD_READ_SPARSE && max_tokens > window) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                    "question, passages and answer need %d tokens, the model has %d; ask a shorter "
                    "question or lower %s",
                    max_tokens, window, view->mode == PD_READ_SWEPT ? "--budget" : "--max-tokens");
        return FALSE;
    }
    g_clear_pointer(&batch->session, pd_session_free);
    batch->session = pd_session_new(view->model, &options, error);
    return batch->session != NULL;
}

static void
finish_prompt(Ask *ask)
{
    gboolean checks = pd_ask_checks(ask);
    g_autoptr(GArray) end = pd_layout_question(ask->batch->view->model, ask->question, !checks,
                                               ask->batch->options->think_tokens > 0);

    ask->n_read_rows = (int)ask->prompt->len;
    g_array_append_vals(ask->prompt, end->data, end->len);
    ask->next_token = g_array_index(ask->prompt, gint32, ask->prompt->len - 1);
    g_array_set_size(ask->prompt, ask->prompt->len - 1);
    ask->answer->n_prompt_tokens = ask->prompt->len + 1;
}

/* The passages behind the prefix; sets their first rows. */
static void
lay_out_passages(Ask *ask)
{
    PdContext *view = ask->batch->view;

    ask->prompt = g_array_copy(view->prefix);
    for (guint i = 0; i < ask->read->len; i++) {
        PdPassage *passage = &g_array_index(ask->read, PdPassage, i);
        PdContextSegment *segment =
            &g_array_index(view->segments, PdContextSegment, passage->segment);

        pd_layout_number(view->model, passage->number, ask->prompt);
        g_array_append_vals(ask->prompt, segment->header_ids->data, segment->header_ids->len);
        passage->first_row = (int)ask->prompt->len;
        g_array_index(ask->answer->passages, PdPassage, i).first_row = passage->first_row;
        g_array_append_vals(ask->prompt, segment->row->ids + passage->first_token,
                            passage->n_tokens);
    }
    finish_prompt(ask);
}

/* --- read as one text (modes D and S) --- */

/* The corpus is read once, each question is put behind it. */
static gboolean
answer_whole(Batch *batch, GPtrArray *asks, GError **error)
{
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    g_autoptr(GArray) corpus = pd_whole_tokens(batch->context, passages);
    gint64 started_us = g_get_monotonic_time();
    PdWarmReport warm = {0};
    int prompt_tokens = 0;

    for (guint i = 0; i < asks->len; i++) {
        Ask *ask = asks->pdata[i];

        ask->answer->n_readings = 1;
        ask->answer->passages = g_array_copy(passages);
        ask->read = g_array_ref(ask->answer->passages);
        ask->prompt = g_array_copy(corpus);
        finish_prompt(ask);
        prompt_tokens = MAX(prompt_tokens, (int)ask->prompt->len);
    }
    if (!new_session(batch, 1, prompt_tokens, error) ||
        !pd_whole_read(batch->context, batch->session, corpus, &warm, on_warm, batch,
                       batch->cancellable, error))
        return FALSE;
    warm.seconds = pd_ask_seconds_since(started_us);
    for (guint i = 0; i < asks->len; i++) {
        Ask *ask = asks->pdata[i];
        PdRun run = {.tokens = &g_array_index(ask->prompt, gint32, corpus->len),
                     .n_tokens = (int)(ask->prompt->len - corpus->len)};

        started_us = g_get_monotonic_time();
        ask->answer->warm = warm;
        ask->answer->n_reused_tokens = i == 0 ? (guint)warm.n_tokens_reused : corpus->len;
        pd_session_truncate(batch->session, 0, (int)corpus->len);
        if (!pd_session_run(batch->session, &run, 1, batch->cancellable, NULL, NULL, error))
            return FALSE;
        ask->answer->read_seconds = pd_ask_seconds_since(started_us);
        if (!pd_ask_decode(batch, &ask, 1, error))
            return FALSE;
        if (batch->events && batch->events->answered)
            batch->events->answered(i, ask->answer, batch->events->user_data);
    }
    return TRUE;
}

/* --- swept (mode C): finding --- */

/* Are passages put in from their kept rows, as far as they are not fresh? */
static gboolean
takes_kept_rows(const Batch *batch)
{
    return !batch->options->reread && batch->options->arm != PD_ARM_FTS &&
           batch->view == batch->context && pd_context_keeps_rows(batch->context);
}

static GPtrArray *
sweep_once(Batch *batch, GPtrArray *asks, GError **error)
{
    const PdProfile *profile = &batch->context->profile;
    g_autofree const char **questions = g_new(const char *, asks->len);

    for (guint i = 0; i < asks->len; i++)
        questions[i] = ((Ask *)asks->pdata[i])->question;
    return pd_sweep_many(batch->context, questions, asks->len, profile->retrieval,
                         profile->n_retrieval, NULL, batch->cancellable, error);
}

/* Warm, then score the blocks; what turns out to be damaged on the disk is read once more. */
static gboolean
warm_and_sweep(Batch *batch, GPtrArray *asks, GError **error)
{
    PdContext *context = batch->context;
    PdWarmReport warm = {0}, again = {0};
    g_autoptr(GPtrArray) ranked = NULL;
    g_autoptr(GError) local = NULL;
    gint64 started_us;

    if (!pd_context_warm(context, &warm, on_warm, batch, batch->cancellable, error))
        return FALSE;
    started_us = g_get_monotonic_time();
    ranked = sweep_once(batch, asks, &local);
    if (g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
        if (!pd_context_warm(context, &again, on_warm, batch, batch->cancellable, error))
            return FALSE;
        warm.n_tokens_encoded += again.n_tokens_encoded;
        warm.n_tokens_reused -= again.n_tokens_encoded;
        warm.n_bytes_written += again.n_bytes_written;
        warm.seconds += again.seconds;
        started_us = g_get_monotonic_time();
        g_clear_error(&local);
        ranked = sweep_once(batch, asks, &local);
    }
    if (!ranked) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    for (guint i = 0; i < asks->len; i++) {
        PdAnswer *answer = ((Ask *)asks->pdata[i])->answer;
        answer->warm = warm;
        answer->sweep_seconds = pd_ask_seconds_since(started_us);
        answer->blocks = g_array_ref(ranked->pdata[i]);
    }
    return TRUE;
}

/* What words find, alone or among what the sweep found. */
static gboolean
search_words(Batch *batch, Ask *ask, GError **error)
{
    gint64 started_us = g_get_monotonic_time();
    g_autoptr(GArray) found = pd_lexical_search(batch->context, ask->question, PD_ASK_CANDIDATES,
                                                batch->cancellable, error);

    if (!found)
        return FALSE;
    if (ask->answer->blocks) {
        pd_lexical_insure(ask->answer->blocks, found);
        if (!pd_follow_lead(batch->context, ask->question, ask->answer->blocks, batch->cancellable,
                            error))
            return FALSE;
    } else {
        ask->answer->blocks = g_steal_pointer(&found);
    }
    ask->answer->sweep_seconds += pd_ask_seconds_since(started_us);
    return TRUE;
}

/* The caller's passages, numbered as they come. */
static GArray *
given_passages(const PdAskOptions *options)
{
    GArray *passages = g_array_copy(options->passages);

    for (guint i = 0; i < passages->len; i++)
        g_array_index(passages, PdPassage, i).number = (int)i + 1;
    return passages;
}

guint
pd_ask_reading_tokens(guint reading, guint all)
{
    static const guint of_reading[PD_READINGS - 1] = {PD_ASK_FIRST_TOKENS, PD_ASK_SECOND_TOKENS};

    return reading < PD_READINGS - 1 ? MIN(all, of_reading[reading]) : all;
}

static GArray *
select_passages(const Batch *batch, GArray *blocks, GError **error)
{
    const PdAskOptions *options = batch->options;
    guint all = options->budget_tokens > 0 ? (guint)options->budget_tokens : PD_ASK_BUDGET_TOKENS;
    guint budget = pd_ask_reading_tokens(batch->reading, all);
    guint fresh = options->fresh_tokens > 0 ? (guint)options->fresh_tokens : PD_ASK_FRESH_TOKENS;
    GArray *passages =
        pd_select_passages(batch->context, blocks, budget, options->reread ? 0 : fresh, error);

    for (guint i = 0; passages && i < passages->len && !takes_kept_rows(batch); i++)
        g_array_index(passages, PdPassage, i).fresh = TRUE;
    return passages;
}

/* What every question's passages are chosen from. */
static gboolean
find_blocks(Batch *batch, GPtrArray *asks, GError **error)
{
    const PdAskOptions *options = batch->options;
    PdArm arm = options->arm == PD_ARM_AUTO ? PD_ARM_BOTH : options->arm;
    PdWarmReport warm = {0};

    if (options->passages && options->passages->len > 0 && takes_kept_rows(batch) &&
        !pd_context_warm(batch->context, &warm, on_warm, batch, batch->cancellable, error))
        return FALSE;
    if (!options->passages && arm != PD_ARM_FTS && !warm_and_sweep(batch, asks, error))
        return FALSE;
    for (guint i = 0; i < asks->len; i++) {
        Ask *ask = asks->pdata[i];

        ask->answer->arm = arm;
        if (options->passages)
            ask->answer->warm = warm;
        else if (arm != PD_ARM_SWEEP && !search_words(batch, ask, error))
            return FALSE;
    }
    return TRUE;
}

/* --- swept: reading --- */

/* The prefix of all prompts, run once. */
static gboolean
read_prefix(Batch *batch, guint n, GError **error)
{
    GArray *prefix = batch->view->prefix;
    PdRun run = {.tokens = (const gint32 *)prefix->data, .n_tokens = (int)prefix->len};

    if (!pd_session_run(batch->session, &run, 1, batch->cancellable, NULL, NULL, error))
        return FALSE;
    for (guint i = 1; i < n; i++)
        if (!pd_session_share_rows(batch->session, 0, (int)i, run.n_tokens, error))
            return FALSE;
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

    if (!read_prefix(batch, n, error) ||
        !(takes_kept_rows(batch) ? read_from_rows(batch, asks, n, error)
                                 : run_prompts(batch, asks, n, error)))
        return FALSE;
    for (guint i = 0; i < n; i++)
        asks[i]->answer->read_seconds += pd_ask_seconds_since(started_us);
    return TRUE;
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
    if (ask->read)
        lay_out_passages(ask);
    return ask->read != NULL;
}

/* Prompts of the last reading are there from the start, until another reading takes their place. */
static gboolean
is_prepared(const Batch *batch, const Ask *ask)
{
    return batch->reading == PD_READINGS - 1 && ask->answer->n_readings == 0;
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
    return new_session(batch, (int)n, prompt_tokens, error) &&
           read_passages(batch, asks, n, error) && pd_ask_decode(batch, asks, n, error);
}

/* Reading little first costs what it reads; from kept rows all passages cost less than that. */
static guint
first_reading(const Batch *batch)
{
    gboolean all_at_once =
        batch->options->once || batch->options->passages || takes_kept_rows(batch);

    return all_at_once ? PD_READINGS - 1 : (guint)batch->view->profile.first_reading;
}

/* Questions [first, first + n): those that are not answered are read for again, with more. */
static gboolean
answer_group(Batch *batch, GPtrArray *asks, guint first, guint n, GError **error)
{
    Ask **group = (Ask **)asks->pdata + first;
    g_autofree Ask **open = g_memdup2(group, n * sizeof *group);
    guint n_open = n;

    for (batch->reading = first_reading(batch); batch->reading < PD_READINGS; batch->reading++) {
        guint n_unsure = 0;

        if (n_open > 0 && !read_and_answer(batch, open, n_open, error))
            return FALSE;
        for (guint i = 0; i < n_open; i++)
            if (open[i]->unsure)
                open[n_unsure++] = open[i];
        n_open = n_unsure;
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

static gboolean
answer_swept(Batch *batch, GPtrArray *asks, GError **error)
{
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

/* --- all --- */

/* How the view's model can cite. */
static gboolean
choose_cite(Batch *batch, GError **error)
{
    PdModel *model = batch->view->model;
    gboolean recorded = pd_model_deepseek(model) == NULL;

    batch->cite = batch->options->cite;
    if (batch->cite == PD_CITE_AUTO)
        batch->cite = recorded ? PD_CITE_ATTENTION : PD_CITE_WORDS;
    batch->attended = recorded && batch->cite != PD_CITE_WORDS;
    if (recorded || batch->cite != PD_CITE_ATTENTION)
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                "%s: the attention of DeepSeek-V4 models is not recorded; use --cite words or "
                "--cite ids",
                pd_model_name(model));
    return FALSE;
}

static gboolean
check_thinks(const Batch *batch, GError **error)
{
    PdModel *model = batch->view->model;

    if (batch->options->think_tokens == 0 || pd_chat_thinks(pd_model_chat(model)))
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                "%s: this model has no mode of reasoning; leave --think out", pd_model_name(model));
    return FALSE;
}

static gboolean
open_view(Batch *batch, GError **error)
{
    PdModel *reader = batch->options->reader;

    batch->view = batch->context;
    if (!reader || reader == batch->context->model)
        return TRUE;
    if (batch->context->mode != PD_READ_SWEPT) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                    "a second model reads what a sweep finds; use --mode swept with --reader");
        return FALSE;
    }
    batch->view = pd_reader_view_new(batch->context, reader, error);
    return batch->view != NULL;
}

GPtrArray *
pd_ask_batch(PdContext *context, const char *const *questions, guint n, const PdAskOptions *options,
             const PdAskEvents *events, GCancellable *cancellable, GError **error)
{
    g_auto(Batch) batch = {.context = context,
                           .options = options,
                           .events = events,
                           .cancellable = cancellable,
                           .reading = PD_READINGS - 1,
                           .started_us = g_get_monotonic_time()};
    g_autoptr(GPtrArray) asks = g_ptr_array_new_with_free_func((GDestroyNotify)pd_ask_clear);
    GPtrArray *answers = NULL;

    if (!open_view(&batch, error) || !choose_cite(&batch, error) || !check_thinks(&batch, error))
        return NULL;
    for (guint i = 0; i < n; i++) {
        Ask *ask = g_new0(Ask, 1);

        ask->batch = &batch;
        ask->question = questions[i];
        ask->answer = pd_answer_new();
        ask->answer->reader = g_strdup(pd_model_name(batch.view->model));
        ask->answer->cite = batch.cite;
        ask->answer->attended = batch.attended;
        g_ptr_array_add(asks, ask);
    }
    if (n > 0 && !(context->mode == PD_READ_SWEPT ? answer_swept(&batch, asks, error)
                                                  : answer_whole(&batch, asks, error)))
        return NULL;
    answers = g_ptr_array_new_with_free_func((GDestroyNotify)pd_answer_free);
    for (guint i = 0; i < n; i++)
        g_ptr_array_add(answers, g_steal_pointer(&((Ask *)asks->pdata[i])->answer));
    return answers;
}

PdAnswer *
pd_ask(PdContext *context, const char *question, const PdAskOptions *options,
       const PdAskEvents *events, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) answers =
        pd_ask_batch(context, &question, 1, options, events, cancellable, error);

    return answers ? g_ptr_array_steal_index(answers, 0) : NULL;
}
