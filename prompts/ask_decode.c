/* Decoding and citing: the answers of several questions grow by one token in each step; text goes
 * out as whole characters, and a sentence that is over gets its passage and its quote. */
#include <string.h>
#include "prompts/ask_internal.h"
#include "prompts/layout.h"
#include "prompts/support.h"

/* Before it is judged whether they pay. */
#define GUESSES_TRIED 16

static void
clear_sentence(gpointer data)
{
    PdSentence *sentence = data;

    g_free(sentence->text);
    g_free(sentence->shares);
}

void
pd_answer_free(PdAnswer *answer)
{
    if (!answer)
        return;
    pd_answer_begin(answer);
    g_string_free(answer->text, TRUE);
    g_array_unref(answer->sentences);
    g_array_unref(answer->citations);
    g_array_unref(answer->withheld_citations);
    g_clear_pointer(&answer->blocks, g_array_unref);
    g_free(answer->reader);
    g_free(answer);
}

void
pd_answer_begin(PdAnswer *answer)
{
    g_string_truncate(answer->text, 0);
    g_array_set_size(answer->sentences, 0);
    g_array_set_size(answer->citations, 0);
    g_array_set_size(answer->withheld_citations, 0);
    g_clear_pointer(&answer->passages, g_array_unref);
    g_clear_pointer(&answer->unread_names, g_ptr_array_unref);
    g_clear_pointer(&answer->withheld, g_free);
    answer->status = PD_ANSWERED;
    answer->near = FALSE;
    answer->checked = FALSE;
    answer->stated = PD_STATED_NOT;
    answer->truncated = FALSE;
}

static GArray *
new_citations(void)
{
    GArray *citations = g_array_new(FALSE, FALSE, sizeof(PdCitation));

    g_array_set_clear_func(citations, pd_citation_clear);
    return citations;
}

PdAnswer *
pd_answer_new(void)
{
    PdAnswer *answer = g_new0(PdAnswer, 1);

    answer->text = g_string_new(NULL);
    answer->sentences = g_array_new(FALSE, FALSE, sizeof(PdSentence));
    g_array_set_clear_func(answer->sentences, clear_sentence);
    answer->citations = new_citations();
    answer->withheld_citations = new_citations();
    return answer;
}

double
pd_ask_seconds_since(gint64 started_us)
{
    return (double)(g_get_monotonic_time() - started_us) / 1e6;
}

int
pd_ask_answer_limit(const PdAskOptions *options)
{
    return options->max_answer_tokens > 0 ? options->max_answer_tokens : PD_ASK_ANSWER_TOKENS;
}

int
pd_ask_made_limit(const PdAskOptions *options)
{
    gint64 n = pd_ask_answer_limit(options);

    if (options->think_tokens > 0)
        n += (gint64)options->think_tokens + 1;
    return (int)MIN(n, G_MAXINT32 / 2);
}

/* --- sentences --- */

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
gboolean
pd_says_not_found(const char *text)
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

/* The session holds what was said so far and no guess, as if each token were run when it is said.
 */
static void
take_back_guess(Ask *ask)
{
    PdSession *session = ask->batch->session;

    if (ask->ahead)
        pd_session_truncate(session, ask->sequence,
                            pd_session_n_tokens(session, ask->sequence) - 1);
    ask->ahead = FALSE;
}

static gboolean
cite(Ask *ask, PdSentence *sentence, GError **error)
{
    Batch *batch = ask->batch;
    PdCitation citation = {0};
    int n_rows = (int)ask->prompt->len;

    if (!pd_cite_passage(batch->view, ask->read, ask->attention, n_rows, sentence->text, &citation,
                         error))
        return FALSE;
    if (batch->cite == PD_CITE_IDS)
        take_back_guess(ask);
    if (batch->cite == PD_CITE_IDS &&
        !pd_cite_by_id(batch->view, batch->session, ask->sequence, ask->read, &citation.passage,
                       batch->cancellable, error))
        return FALSE;
    if (!pd_cite_quote(batch->view, &g_array_index(ask->read, PdPassage, citation.passage),
                       ask->attention, sentence->text, ask->question, &citation, error))
        return FALSE;
    sentence->citation = add_citation(ask->answer, &citation);
    return TRUE;
}

static gboolean
close_sentence(Ask *ask, GError **error)
{
    const PdAskEvents *events = ask->batch->events;
    PdSentence sentence = {.citation = -1};
    g_autofree char *trimmed = g_strstrip(g_strdup(ask->sentence->str));

    if (*trimmed) {
        sentence.text = g_steal_pointer(&trimmed);
        sentence.shares = pd_cite_shares(ask->read, ask->attention, (int)ask->prompt->len);
        if (!pd_says_not_found(sentence.text) && ask->read->len > 0 &&
            !cite(ask, &sentence, error)) {
            clear_sentence(&sentence);
            return FALSE;
        }
        g_array_append_val(ask->answer->sentences, sentence);
        if (events && events->sentence && !pd_ask_checks(ask))
            events->sentence(
                &g_array_index(ask->answer->sentences, PdSentence, ask->answer->sentences->len - 1),
                events->user_data);
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
    const PdAskEvents *events = ask->batch->events;

    if (!*piece)
        return TRUE;
    if (sentence_is_over(ask->sentence, piece) && !close_sentence(ask, error))
        return FALSE;
    g_string_append(ask->sentence, piece);
    g_string_append(ask->answer->text, piece);
    if (events && events->text && !pd_ask_checks(ask))
        events->text(piece, events->user_data);
    return TRUE;
}

/* --- the check --- */

gboolean
pd_ask_checks(const Ask *ask)
{
    return ask->batch->context->mode == PD_READ_SWEPT &&
           ask->batch->view->profile.support_measured && ask->read->len > 0;
}

/* What was held back goes out, each sentence with its end. */
static void
show_answer(Ask *ask)
{
    const PdAskEvents *events = ask->batch->events;
    const PdAnswer *answer = ask->answer;
    const char *shown = answer->text->str;

    for (guint i = 0; events && i < answer->sentences->len; i++) {
        const PdSentence *sentence = &g_array_index(answer->sentences, PdSentence, i);
        const char *at = strstr(shown, sentence->text);
        g_autofree char *piece = NULL;

        g_assert(at); /* a sentence is cut from the text */
        at += strlen(sentence->text);
        piece = g_strndup(shown, (gsize)(at - shown));
        shown = at;
        if (events->text)
            events->text(piece, events->user_data);
        if (events->sentence)
            events->sentence(sentence, events->user_data);
    }
}

/* Put the refusal in the place of an answer that is not stated. */
static void
withhold(PdAnswer *answer)
{
    PdSentence sentence = {.text = g_strdup(PD_NOT_FOUND_SENTENCE), .citation = -1};
    GArray *none = answer->withheld_citations;

    answer->withheld = g_strdup(answer->text->str);
    g_string_assign(answer->text, PD_NOT_FOUND_SENTENCE);
    answer->withheld_citations = answer->citations;
    answer->citations = none;
    g_array_set_size(answer->sentences, 0);
    sentence.shares = g_new0(float, answer->passages->len);
    g_array_append_val(answer->sentences, sentence);
}

/* What the answer has beyond the evidence that the present reading asks for, in nats. */
static double
evidence_beyond(const Ask *ask)
{
    const PdProfile *profile = &ask->batch->view->profile;
    const PdAnswer *answer = ask->answer;
    const PdReading *reading = &ask->batch->readings->of[ask->batch->reading];
    double support =
        pd_support_evidence(answer->support, answer->stated, answer->unread_names->len > 0);

    if (answer->likelihood == 0 || profile->likelihood_weight == 0 ||
        ask->batch->view != ask->batch->context)
        return support - reading->support_min;
    return support + profile->likelihood_weight * answer->likelihood - reading->evidence_min;
}

static gboolean
check_answer(Ask *ask, GError **error)
{
    const Batch *batch = ask->batch;
    PdAnswer *answer = ask->answer;
    double beyond;

    if (!pd_ask_checks(ask))
        return TRUE;
    if (answer->citations->len > 0) {
        if (!pd_support(batch->session, ask->sequence, ask->n_read_rows, ask->question,
                        answer->text->str, &answer->support, batch->cancellable, error) ||
            !pd_stated(batch->view, ask->read, answer->citations, ask->question, answer->text->str,
                       &answer->stated, error))
            return FALSE;
        answer->checked = TRUE;
    }
    beyond = answer->checked ? evidence_beyond(ask) : -G_MAXDOUBLE;
    ask->unsure = !(beyond >= 0); /* what is no number is nothing to rely on */
    if (ask->unsure && batch->reading < batch->readings->n - 1)
        return TRUE; /* nothing is shown yet */
    if (ask->unsure && answer->checked) {
        answer->near = beyond >= -PD_SUPPORT_NEAR;
        withhold(answer);
    }
    show_answer(ask);
    return TRUE;
}

/* --- tokens --- */

static gboolean
start(Batch *batch, Ask *ask, GError **error)
{
    int n_vocab = pd_model_shape(batch->view->model)->n_vocab;

    ask->thinking = batch->options->think_tokens > 0;
    ask->n_thought = 0;
    ask->next[1] = -1;
    ask->ahead = FALSE;
    ask->sampler = pd_sampler_new(&batch->options->sampler);
    ask->made = g_array_new(FALSE, FALSE, sizeof(gint32));
    ask->utf8 = pd_utf8_stream_new();
    ask->sentence = g_string_new(NULL);
    ask->attention = g_try_new0(float, ask->prompt->len + 1);
    ask->logits = g_try_new(float, 2 * (gsize)n_vocab);
    if (ask->attention && ask->logits)
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for an answer");
    return FALSE;
}

/* A pass with a guess reads the weights once but other experts for each row, and the draft block's:
 * about 1.35 passes of V4-Flash by bytes, nearly two where weights lie in the processor's cache.
 * Where less than half of an answer's guesses hold it goes on without. */
static gboolean
guesses_pay(const PdAnswer *answer)
{
    return answer->n_guesses < GUESSES_TRIED || 2 * answer->n_guesses_used >= answer->n_guesses;
}

/* What an answer needs of the next pass: its next token and the guess behind it, or nothing where
 * the guess before was right. */
static gboolean
add_run(Ask *ask, PdRun *runs, int *n_runs, GError **error)
{
    Batch *batch = ask->batch;
    gsize n_vocab = (gsize)pd_model_shape(batch->view->model)->n_vocab;

    if (ask->ahead) {
        memcpy(ask->logits, ask->logits + n_vocab, n_vocab * sizeof *ask->logits);
        ask->ahead = FALSE;
        ask->answer->n_guesses_used++;
        return TRUE;
    }
    if (guesses_pay(ask->answer) &&
        !pd_session_draft(batch->session, ask->sequence, ask->next[0], &ask->next[1], error))
        return FALSE;
    runs[(*n_runs)++] = (PdRun){.sequence = ask->sequence,
                                .tokens = ask->next,
                                .n_tokens = ask->next[1] >= 0 ? 2 : 1,
                                .logits = ask->logits,
                                .all_logits = TRUE};
    return TRUE;
}

/* The token that follows is `token`: was it guessed? */
static void
settle_guess(Ask *ask, gint32 token)
{
    gboolean right = ask->next[1] == token;

    if (ask->next[1] < 0)
        return;
    ask->answer->n_guesses++;
    ask->ahead = TRUE;
    if (!right)
        take_back_guess(ask);
    ask->next[1] = -1;
}

/* The next row of every unfinished answer; attention goes to the present sentences. */
static gboolean
step(Batch *batch, Ask **asks, guint n, GError **error)
{
    g_autofree PdRun *runs = g_new0(PdRun, n);
    int n_runs = 0;

    for (guint i = 0; i < n; i++)
        if (!asks[i]->done && !add_run(asks[i], runs, &n_runs, error))
            return FALSE;
    if (!pd_session_run(batch->session, runs, n_runs, batch->cancellable, NULL, NULL, error))
        return FALSE;
    for (guint i = 0; i < n; i++) {
        Ask *ask = asks[i];
        const float *attention;
        int n_rows;

        if (ask->done)
            continue;
        attention =
            batch->attended ? pd_session_attention(batch->session, ask->sequence, &n_rows) : NULL;
        for (int r = 0; attention && r < MIN(n_rows, (int)ask->prompt->len); r++)
            ask->attention[r] += attention[r];
    }
    return TRUE;
}

/* `token` would follow, if anything did. */
static gboolean
finish(Ask *ask, gint32 token, GError **error)
{
    g_autoptr(GString) rest = g_string_new(NULL);

    settle_guess(ask, token);
    take_back_guess(ask);
    pd_utf8_stream_finish(ask->utf8, rest);
    if (!emit(ask, rest->str, error) || !close_sentence(ask, error) || !check_answer(ask, error))
        return FALSE;
    ask->answer->n_answer_tokens = ask->made->len - ask->n_thought;
    ask->answer->n_thought_tokens = ask->n_thought;
    ask->answer->decode_seconds += pd_ask_seconds_since(ask->decoding_us);
    if (ask->answer->citations->len == 0)
        ask->answer->status = PD_NOT_FOUND;
    ask->done = TRUE;
    return TRUE;
}

static void
take(Ask *ask, gint32 token)
{
    settle_guess(ask, token);
    g_array_append_val(ask->made, token);
    ask->next[0] = token;
}

static gboolean
is_full(const Ask *ask)
{
    const PdAskOptions *options = ask->batch->options;
    int n_made = (int)ask->made->len, n_said = n_made - (int)ask->n_thought;

    return n_made >= pd_ask_made_limit(options) ||
           (!ask->thinking && n_said >= pd_ask_answer_limit(options));
}

/* A token of reasoning, which nobody sees; where it is too long, its end in the token's place. */
static void
think(Ask *ask, gint32 token, PdChatToken what)
{
    PdModel *model = ask->batch->view->model;
    guint limit = (guint)ask->batch->options->think_tokens;

    if (ask->n_thought >= limit && what != PD_CHAT_TOKEN_ANSWER) {
        token = (gint32)pd_chat_end_of_reasoning(pd_model_chat(model), pd_model_tokenizer(model));
        what = PD_CHAT_TOKEN_ANSWER;
    }
    take(ask, token);
    ask->n_thought++;
    ask->thinking = what != PD_CHAT_TOKEN_ANSWER;
    pd_ask_tell_stage(ask->batch, "reasoning", ask->n_thought, limit);
}

/* The next token from the logits: its text, or the end.  Markers of the model's grammar are no
 * text: a stray one is passed over, reasoning that begins anew is hidden, another turn ends the
 * answer. */
static gboolean
advance(Ask *ask, GError **error)
{
    PdModel *model = ask->batch->view->model;
    PdTokenizer *tokenizer = pd_model_tokenizer(model);
    g_autoptr(GString) bytes = g_string_new(NULL);
    g_autoptr(GString) piece = g_string_new(NULL);
    gint32 token = pd_sampler_pick(ask->sampler, ask->logits, pd_model_shape(model)->n_vocab,
                                   (const gint32 *)ask->made->data, (int)ask->made->len);
    PdChatToken what = pd_chat_token(pd_model_chat(model), tokenizer, (guint32)token);

    if (pd_tokenizer_is_end(tokenizer, (guint32)token) || what == PD_CHAT_TOKEN_END)
        return finish(ask, token, error);
    if (is_full(ask)) {
        ask->answer->truncated = TRUE;
        return finish(ask, token, error);
    }
    if (ask->thinking) {
        think(ask, token, what);
        return TRUE;
    }
    take(ask, token);
    ask->thinking = what == PD_CHAT_TOKEN_REASONING;
    if (what != PD_CHAT_TOKEN_TEXT)
        return TRUE;
    pd_tokenizer_decode(tokenizer, (guint32)token, FALSE, bytes);
    pd_utf8_stream_push(ask->utf8, bytes->str, bytes->len, piece);
    return emit(ask, piece->str, error);
}

static void
record_citation_heads(Batch *batch)
{
    const PdProfile *profile = &batch->view->profile;
    int heads[PD_PROFILE_HEADS_MAX][2];

    for (int i = 0; i < profile->n_citation; i++) {
        heads[i][0] = profile->citation[i].layer;
        heads[i][1] = profile->citation[i].head;
    }
    pd_session_record_attention(batch->session, heads, profile->n_citation);
}

gboolean
pd_ask_decode(Batch *batch, Ask **asks, guint n, GError **error)
{
    guint n_left = n;

    if (batch->attended)
        record_citation_heads(batch);
    for (guint i = 0; i < n; i++)
        if (!start(batch, asks[i], error))
            return FALSE;
    while (n_left > 0) {
        if (!step(batch, asks, n, error))
            return FALSE;
        for (guint i = 0; i < n; i++) {
            Ask *ask = asks[i];
            if (ask->done)
                continue;
            if (ask->decoding_us == 0) {
                ask->decoding_us = g_get_monotonic_time();
                ask->answer->first_token_seconds = pd_ask_seconds_since(batch->started_us);
            }
            if (!advance(ask, error))
                return FALSE;
            n_left -= ask->done ? 1 : 0;
        }
    }
    return TRUE;
}
