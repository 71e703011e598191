/* See ask.h. */
#include "prompts/ask.h"

#include <string.h>
#include "engine/session.h"
#include "prompts/error.h"
#include "prompts/kept.h"
#include "prompts/layout.h"
#include "prompts/lexical.h"
#include "prompts/select.h"
#include "prompts/whole.h"

static void
clear_sentence(gpointer sentence)
{
    g_free(((PdSentence *)sentence)->text);
}

void
pd_answer_free(PdAnswer *answer)
{
    g_string_free(answer->text, TRUE);
    g_array_unref(answer->sentences);
    g_array_unref(answer->citations);
    g_clear_pointer(&answer->passages, g_array_unref);
    g_clear_pointer(&answer->blocks, g_array_unref);
    g_free(answer);
}

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
    *arm = PD_ARM_AUTO;
    for (gsize i = 0; word && i < G_N_ELEMENTS(arm_names); i++)
        if (g_str_equal(word, arm_names[i])) {
            *arm = (PdArm)i;
            return TRUE;
        }
    return word == NULL;
}

static PdAnswer *
answer_new(void)
{
    PdAnswer *answer = g_new0(PdAnswer, 1);

    answer->text = g_string_new(NULL);
    answer->sentences = g_array_new(FALSE, FALSE, sizeof(PdSentence));
    g_array_set_clear_func(answer->sentences, clear_sentence);
    answer->citations = g_array_new(FALSE, FALSE, sizeof(PdCitation));
    g_array_set_clear_func(answer->citations, pd_citation_clear);
    return answer;
}

/* All that one question's run holds. */
typedef struct {
    PdContext *context;
    const char *question;
    const PdAskOptions *options;
    const PdAskEvents *events;
    GCancellable *cancellable;
    gint64 started_us;
    PdSession *session;
    GArray *prompt;    /* the prompt up to, not including, its last token */
    gint32 last_token; /* of the prompt: run as a decode row, so that its attention is recorded */
    PdAnswer *answer;
    /* the decode loop */
    PdUtf8Stream *utf8;
    GString *sentence;
    float *attention; /* summed over the present sentence, one per prompt row */
    float *logits;
} Ask;

static void
ask_clear(Ask *ask)
{
    g_clear_pointer(&ask->session, pd_session_free);
    g_clear_pointer(&ask->prompt, g_array_unref);
    g_clear_pointer(&ask->answer, pd_answer_free);
    g_clear_pointer(&ask->utf8, pd_utf8_stream_free);
    if (ask->sentence)
        g_string_free(ask->sentence, TRUE);
    g_free(ask->attention);
    g_free(ask->logits);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ask, ask_clear)

static double
seconds_since(gint64 started_us)
{
    return (g_get_monotonic_time() - started_us) / 1e6;
}

static void
tell_stage(Ask *ask, const char *stage, guint64 done, guint64 total)
{
    if (ask->events && ask->events->stage)
        ask->events->stage(stage, done, total, ask->events->user_data);
}

static int
answer_limit(const Ask *ask)
{
    return ask->options->max_answer_tokens > 0 ? ask->options->max_answer_tokens
                                               : PD_ASK_ANSWER_TOKENS;
}

/* --- the prompt --- */

static void
on_warm(guint64 done, guint64 total, gpointer user_data)
{
    tell_stage(user_data, "reading the corpus", done, total);
}

static gboolean
on_read(guint64 done, guint64 total, gpointer user_data)
{
    tell_stage(user_data, "reading passages", done, total);
    return TRUE;
}

static gboolean
new_session(Ask *ask, GError **error)
{
    /* " [12]" of a citation by id stands behind the answer for a moment */
    PdSessionOptions options = {.n_sequences = 1,
                                .max_tokens = (int)ask->prompt->len + 1 + answer_limit(ask) + 8,
                                .kv_type = PD_F16};
    int window = pd_model_shape(ask->context->model)->n_ctx_train;

    if (options.max_tokens > window) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                    "question, passages and answer need %d tokens, the model has %d; ask a shorter "
                    "question or lower --budget",
                    options.max_tokens, window);
        return FALSE;
    }
    ask->session = pd_session_new(ask->context->model, &options, error);
    return ask->session != NULL;
}

static void
finish_prompt(Ask *ask)
{
    g_autoptr(GArray) end = pd_layout_question(ask->context->model, ask->question);

    g_array_append_vals(ask->prompt, end->data, end->len);
    ask->last_token = g_array_index(ask->prompt, gint32, ask->prompt->len - 1);
    g_array_set_size(ask->prompt, ask->prompt->len - 1);
    ask->answer->n_prompt_tokens = ask->prompt->len + 1;
}

/* Mode D: the whole corpus from the store, then the question. */
static gboolean
read_whole(Ask *ask, GError **error)
{
    g_autoptr(GArray) corpus = NULL;
    gint64 started_us = g_get_monotonic_time();
    PdRun run = {0};

    ask->answer->passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    corpus = pd_whole_tokens(ask->context, ask->answer->passages);
    ask->prompt = g_array_copy(corpus);
    finish_prompt(ask);
    if (!new_session(ask, error) ||
        !pd_whole_read(ask->context, ask->session, corpus, &ask->answer->warm, on_warm, ask,
                       ask->cancellable, error))
        return FALSE;
    ask->answer->n_reused_tokens = (guint)ask->answer->warm.n_tokens_reused;
    ask->answer->warm.seconds = seconds_since(started_us);
    started_us = g_get_monotonic_time();
    run.tokens = &g_array_index(ask->prompt, gint32, corpus->len);
    run.n_tokens = (int)(ask->prompt->len - corpus->len);
    if (!pd_session_run(ask->session, &run, 1, ask->cancellable, NULL, NULL, error))
        return FALSE;
    ask->answer->read_seconds = seconds_since(started_us);
    return TRUE;
}

/* The passages behind the prefix; sets their first rows. */
static void
lay_out_passages(Ask *ask)
{
    PdContext *context = ask->context;

    ask->prompt = g_array_copy(context->prefix);
    for (guint i = 0; i < ask->answer->passages->len; i++) {
        PdPassage *passage = &g_array_index(ask->answer->passages, PdPassage, i);
        PdContextSegment *segment =
            &g_array_index(context->segments, PdContextSegment, passage->segment);

        pd_layout_number(context->model, passage->number, ask->prompt);
        g_array_append_vals(ask->prompt, segment->header_ids->data, segment->header_ids->len);
        passage->first_row = (int)ask->prompt->len;
        g_array_append_vals(ask->prompt, segment->row->ids + passage->first_token,
                            passage->n_tokens);
    }
    finish_prompt(ask);
}

static gboolean
read_passages(Ask *ask, GError **error)
{
    PdRun run = {.tokens = (const gint32 *)ask->prompt->data, .n_tokens = (int)ask->prompt->len};

    if (!ask->options->reread && ask->answer->arm != PD_ARM_FTS)
        return pd_read_kept(ask->context, ask->session, ask->prompt, ask->answer->passages,
                            &ask->answer->n_reused_tokens, ask->cancellable, error);
    return pd_session_run(ask->session, &run, 1, ask->cancellable, on_read, ask, error);
}

/* Warm, then score the blocks; what turns out to be damaged on the disk is read once more. */
static gboolean
warm_and_sweep(Ask *ask, GError **error)
{
    PdContext *context = ask->context;
    const PdProfile *profile = &context->profile;
    PdWarmReport *warm = &ask->answer->warm;
    g_autoptr(GError) local = NULL;
    gint64 started_us;

    if (!pd_context_warm(context, warm, on_warm, ask, ask->cancellable, error))
        return FALSE;
    started_us = g_get_monotonic_time();
    ask->answer->blocks = pd_sweep(context, ask->question, profile->retrieval, profile->n_retrieval,
                                   NULL, ask->cancellable, &local);
    if (g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
        PdWarmReport again = {0};

        if (!pd_context_warm(context, &again, on_warm, ask, ask->cancellable, error))
            return FALSE;
        warm->n_tokens_encoded += again.n_tokens_encoded;
        warm->n_tokens_reused -= again.n_tokens_encoded;
        warm->n_bytes_written += again.n_bytes_written;
        warm->seconds += again.seconds;
        started_us = g_get_monotonic_time();
        g_clear_error(&local);
        ask->answer->blocks = pd_sweep(context, ask->question, profile->retrieval,
                                       profile->n_retrieval, NULL, ask->cancellable, &local);
    }
    ask->answer->sweep_seconds = seconds_since(started_us);
    if (local)
        g_propagate_error(error, g_steal_pointer(&local));
    return ask->answer->blocks != NULL;
}

/* How much of the passages is run again: all, or as much as the options say. */
static guint
fresh_tokens(const Ask *ask)
{
    if (ask->options->reread || ask->answer->arm == PD_ARM_FTS)
        return 0; /* then nothing is taken from kept rows, whatever the marks */
    return ask->options->fresh_tokens > 0 ? ask->options->fresh_tokens : PD_ASK_FRESH_TOKENS;
}

/* The blocks that may be read, best first. */
static gboolean
find_blocks(Ask *ask, GError **error)
{
    PdAnswer *answer = ask->answer;
    g_autoptr(GArray) found = NULL;
    gint64 started_us;

    answer->arm = ask->options->arm == PD_ARM_AUTO ? PD_ARM_BOTH : ask->options->arm;
    if (answer->arm != PD_ARM_FTS && !warm_and_sweep(ask, error))
        return FALSE;
    if (answer->arm == PD_ARM_SWEEP)
        return TRUE;
    started_us = g_get_monotonic_time();
    found =
        pd_lexical_search(ask->context, ask->question, PD_ASK_CANDIDATES, ask->cancellable, error);
    answer->sweep_seconds += seconds_since(started_us);
    if (!found)
        return FALSE;
    if (answer->arm == PD_ARM_BOTH)
        pd_lexical_insure(answer->blocks, found);
    else
        answer->blocks = g_steal_pointer(&found);
    return TRUE;
}

/* The caller's passages, numbered as they come; kept rows are needed only where they are used. */
static gboolean
take_passages(Ask *ask, GError **error)
{
    ask->answer->passages = g_array_copy(ask->options->passages);
    for (guint i = 0; i < ask->answer->passages->len; i++)
        g_array_index(ask->answer->passages, PdPassage, i).number = (int)i + 1;
    return ask->options->reread || ask->answer->passages->len == 0 ||
           pd_context_warm(ask->context, &ask->answer->warm, on_warm, ask, ask->cancellable, error);
}

static gboolean
choose_passages(Ask *ask, GError **error)
{
    guint budget =
        ask->options->budget_tokens > 0 ? ask->options->budget_tokens : PD_ASK_BUDGET_TOKENS;

    if (ask->options->passages)
        return take_passages(ask, error);
    if (!find_blocks(ask, error))
        return FALSE;
    ask->answer->passages =
        pd_select_passages(ask->context, ask->answer->blocks, budget, fresh_tokens(ask));
    return TRUE;
}

/* Mode C: warm, sweep, read the winners as ordinary context. */
static gboolean
sweep_and_read(Ask *ask, GError **error)
{
    gint64 started_us;

    if (!choose_passages(ask, error))
        return FALSE;
    started_us = g_get_monotonic_time();
    lay_out_passages(ask);
    if (!new_session(ask, error))
        return FALSE;
    if (!read_passages(ask, error))
        return FALSE;
    ask->answer->read_seconds = seconds_since(started_us);
    return TRUE;
}

/* --- the answer --- */

/* One row through the model; its attention goes to the present sentence. */
static gboolean
step(Ask *ask, gint32 token, GError **error)
{
    PdRun run = {.tokens = &token, .n_tokens = 1, .logits = ask->logits};
    const float *attention;
    int n_rows;

    if (!pd_session_run(ask->session, &run, 1, ask->cancellable, NULL, NULL, error))
        return FALSE;
    attention = pd_session_attention(ask->session, 0, &n_rows);
    for (int i = 0; attention && i < MIN(n_rows, (int)ask->prompt->len); i++)
        ask->attention[i] += attention[i];
    return TRUE;
}

/* "e.g. " and "No. 3" do not end a sentence. */
static gboolean
ends_with_abbreviation(const char *text, gsize n)
{
    static const char *const words[] = {"e.g.", "i.e.", "No.", "no.",  "Dr.", "Mr.",     "Ms.",
                                        "Mrs.", "vs.",  "v.",  "Inc.", "St.", "approx.", NULL};

    for (int i = 0; words[i]; i++) {
        gsize m = strlen(words[i]);
        if (n >= m && memcmp(text + n - m, words[i], m) == 0 &&
            (n == m || g_ascii_isspace(text[n - m - 1]) || text[n - m - 1] == '('))
            return TRUE;
    }
    return FALSE;
}

static gboolean
sentence_is_over(const GString *sentence, const char *next_piece)
{
    gsize n = sentence->len;

    if (n == 0 || !g_ascii_isspace(next_piece[0]))
        return FALSE;
    while (n > 0 && strchr("\"')*`", sentence->str[n - 1]))
        n--;
    return n > 0 && strchr(".!?\n", sentence->str[n - 1]) &&
           !ends_with_abbreviation(sentence->str, n);
}

/* Models say it in their own words too. */
static gboolean
says_not_found(const char *text)
{
    static const char *const phrases[] = {
        "corpus does not say",      "documents do not contain",    "documents do not say",
        "documents do not mention", "does not contain the answer", "do not contain the answer",
        "documents do not provide", "documents do not specify",    NULL};
    g_autofree char *lower = g_utf8_strdown(text, -1);

    for (int i = 0; phrases[i]; i++)
        if (strstr(lower, phrases[i]))
            return TRUE;
    return FALSE;
}

/* The index of an equal citation that the answer has already, or of this one added. */
static int
add_citation(PdAnswer *answer, PdCitation *citation)
{
    for (guint i = 0; i < answer->citations->len; i++) {
        PdCitation *other = &g_array_index(answer->citations, PdCitation, i);
        if (other->part_id == citation->part_id && other->start == citation->start &&
            other->end == citation->end) {
            pd_citation_clear(citation);
            return (int)i;
        }
    }
    g_array_append_val(answer->citations, *citation);
    return (int)answer->citations->len - 1;
}

static gboolean
cite(Ask *ask, PdSentence *sentence, GError **error)
{
    PdAnswer *answer = ask->answer;
    PdCitation citation = {0};
    int n_rows = (int)ask->prompt->len;

    if (!pd_cite_passage(ask->context, answer->passages, ask->attention, n_rows, sentence->text,
                         &citation, error))
        return FALSE;
    if (ask->options->cite == PD_CITE_IDS &&
        !pd_cite_by_id(ask->context, ask->session, answer->passages, &citation.passage,
                       ask->cancellable, error))
        return FALSE;
    if (!pd_cite_quote(ask->context, &g_array_index(answer->passages, PdPassage, citation.passage),
                       ask->attention, sentence->text, ask->question, &citation, error))
        return FALSE;
    sentence->citation = add_citation(answer, &citation);
    return TRUE;
}

static gboolean
close_sentence(Ask *ask, GError **error)
{
    PdSentence sentence = {.citation = -1};
    g_autofree char *trimmed = g_strstrip(g_strdup(ask->sentence->str));

    if (*trimmed) {
        sentence.text = g_steal_pointer(&trimmed);
        if (!says_not_found(sentence.text) && ask->answer->passages->len > 0 &&
            !cite(ask, &sentence, error)) {
            g_free(sentence.text);
            return FALSE;
        }
        g_array_append_val(ask->answer->sentences, sentence);
        if (ask->events && ask->events->sentence)
            ask->events->sentence(
                &g_array_index(ask->answer->sentences, PdSentence, ask->answer->sentences->len - 1),
                ask->events->user_data);
    }
    g_string_truncate(ask->sentence, 0);
    memset(ask->attention, 0, ask->prompt->len * sizeof(float));
    return TRUE;
}

/* Text that has become complete: close the sentence before it if it starts a new one, pass it on.
 */
static gboolean
emit(Ask *ask, const char *piece, GError **error)
{
    if (!*piece)
        return TRUE;
    if (sentence_is_over(ask->sentence, piece) && !close_sentence(ask, error))
        return FALSE;
    g_string_append(ask->sentence, piece);
    g_string_append(ask->answer->text, piece);
    if (ask->events && ask->events->text)
        ask->events->text(piece, ask->events->user_data);
    return TRUE;
}

static gboolean
decode_token(Ask *ask, gint32 token, GError **error)
{
    g_autoptr(GString) bytes = g_string_new(NULL);
    g_autoptr(GString) piece = g_string_new(NULL);

    pd_tokenizer_decode(pd_model_tokenizer(ask->context->model), (guint32)token, FALSE, bytes);
    pd_utf8_stream_push(ask->utf8, bytes->str, bytes->len, piece);
    return emit(ask, piece->str, error);
}

static gboolean
decode(Ask *ask, GError **error)
{
    PdModel *model = ask->context->model;
    PdTokenizer *tokenizer = pd_model_tokenizer(model);
    int n_vocab = pd_model_shape(model)->n_vocab;
    g_autoptr(PdSampler) sampler = pd_sampler_new(&ask->options->sampler);
    g_autoptr(GArray) made = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autoptr(GString) rest = g_string_new(NULL);
    gint64 started_us;

    if (!step(ask, ask->last_token, error))
        return FALSE;
    ask->answer->first_token_seconds = seconds_since(ask->started_us);
    started_us = g_get_monotonic_time();
    for (;;) {
        gint32 token = pd_sampler_pick(sampler, ask->logits, n_vocab, (const gint32 *)made->data,
                                       (int)made->len);
        if (pd_tokenizer_is_end(tokenizer, (guint32)token))
            break;
        if ((int)made->len >= answer_limit(ask)) {
            ask->answer->truncated = TRUE;
            break;
        }
        g_array_append_val(made, token);
        if (!decode_token(ask, token, error) || !step(ask, token, error))
            return FALSE;
    }
    pd_utf8_stream_finish(ask->utf8, rest);
    if (!emit(ask, rest->str, error) || !close_sentence(ask, error))
        return FALSE;
    ask->answer->n_answer_tokens = made->len;
    ask->answer->decode_seconds = seconds_since(started_us);
    return TRUE;
}

static void
start_decoding(Ask *ask)
{
    const PdProfile *profile = &ask->context->profile;
    int heads[PD_PROFILE_HEADS_MAX][2];

    for (int i = 0; i < profile->n_citation; i++) {
        heads[i][0] = profile->citation[i].layer;
        heads[i][1] = profile->citation[i].head;
    }
    pd_session_record_attention(ask->session, heads, profile->n_citation);
    ask->utf8 = pd_utf8_stream_new();
    ask->sentence = g_string_new(NULL);
    ask->attention = g_new0(float, ask->prompt->len);
    ask->logits = g_new(float, pd_model_shape(ask->context->model)->n_vocab);
}

PdAnswer *
pd_ask(PdContext *context, const char *question, const PdAskOptions *options,
       const PdAskEvents *events, GCancellable *cancellable, GError **error)
{
    g_auto(Ask) ask = {.context = context,
                       .question = question,
                       .options = options,
                       .events = events,
                       .cancellable = cancellable,
                       .started_us = g_get_monotonic_time(),
                       .answer = answer_new()};
    gboolean ok =
        context->mode == PD_READ_WHOLE ? read_whole(&ask, error) : sweep_and_read(&ask, error);

    if (!ok)
        return NULL;
    start_decoding(&ask);
    if (!decode(&ask, error))
        return NULL;
    if (ask.answer->citations->len == 0)
        ask.answer->status = PD_NOT_FOUND;
    return g_steal_pointer(&ask.answer);
}
