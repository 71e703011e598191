/* See ask.h. */
#include "prompts/ask.h"

#include "prompts/ask_internal.h"
#include "prompts/error.h"
#include "prompts/layout.h"
#include "prompts/reader.h"
#include "prompts/whole.h"

void
pd_ask_clear_reading(Ask *ask)
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

void
pd_ask_clear(Ask *ask)
{
    pd_ask_clear_reading(ask);
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

void
pd_ask_on_warm(guint64 done, guint64 total, gpointer user_data)
{
    pd_ask_tell_stage(user_data, PD_ASK_STAGE_WARM, done, total);
}

/* --- the prompt --- */

gboolean
pd_ask_new_session(Batch *batch, int n, int prompt_tokens, GError **error)
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

void
pd_ask_finish_prompt(Ask *ask)
{
    gboolean checks = pd_ask_checks(ask);
    g_autoptr(GArray) end = pd_layout_question(ask->batch->view->model, ask->question, !checks,
                                               ask->batch->options->think_tokens > 0);

    ask->n_read_rows = (int)ask->prompt->len;
    g_array_append_vals(ask->prompt, end->data, end->len);
    ask->next[0] = g_array_index(ask->prompt, gint32, ask->prompt->len - 1);
    g_array_set_size(ask->prompt, ask->prompt->len - 1);
    ask->answer->n_prompt_tokens = ask->prompt->len + 1;
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
        pd_ask_finish_prompt(ask);
        prompt_tokens = MAX(prompt_tokens, (int)ask->prompt->len);
    }
    if (!pd_ask_new_session(batch, 1, prompt_tokens, error) ||
        !pd_whole_read(batch->context, batch->session, corpus, &warm, pd_ask_on_warm, batch,
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
    if (n > 0 && !(context->mode == PD_READ_SWEPT ? pd_ask_swept(&batch, asks, error)
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
