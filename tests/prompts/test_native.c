/*
 * A corpus on a DeepSeek-V4 model: read once as one text in the family's prompt grammar, its
 * compressed state kept; whatever comes between, the answer's numbers are bit for bit those of a
 * session that reads everything at once and knows no store.
 */
#include "prompts_fixture.h"

#include <string.h>
#include <unistd.h>
#include "engine/model_internal.h"
#include "engine/remove_tree.h"
#include "prompts/ask.h"
#include "prompts/error.h"
#include "prompts/gc.h"
#include "prompts/layout.h"
#include "engine/deepseek/cost.h"
#include "prompts/native.h"
#include "prompts/plan.h"
#include "prompts/whole.h"
#include "tests/engine/deepseek_small.h"

enum { POSITIONS = 32768, UNIT = 128, ANCHOR = UNIT * PD_NATIVE_ANCHOR_UNITS };
/* Of the tests' tokenizer. */
enum { BOS = 900, USER = 902, ASSISTANT = 903, THINK_END = 905 };

#define SHORT_BYTES 3000
#define LONG_BYTES 11500 /* more tokens than an anchor has */

static const char question[] = "Which level did the buoy record?";

typedef struct {
    char *dir, *checkpoint;
    PdModel *model;
    World world;
} Fixture;

static void
add_text(Fixture *f, const char *source, gsize n_bytes, guint32 seed)
{
    g_autofree char *text = fixture_text(n_bytes, seed);
    const TestDocument document = {PD_KIND_TEXT, "a.txt", text, -1};

    world_close(&f->world);
    fixture_add(f->dir, f->model, source, &document, 1);
}

static void
open_world(Fixture *f, PdCorpusMode mode)
{
    world_close(&f->world);
    world_open(&f->world, f->dir, f->model, mode, PD_READ_AUTO);
}

static void
set_up(Fixture *f, gconstpointer n_bytes)
{
    PdModelOptions options = {.n_threads = 1};
    g_autoptr(GError) error = NULL;

    f->dir = fixture_folder();
    f->checkpoint = small_text_checkpoint(POSITIONS);
    f->model = pd_model_open(f->checkpoint, &options, &error);
    g_assert_no_error(error);
    add_text(f, "/first", (gsize)GPOINTER_TO_INT(n_bytes), 1);
    add_text(f, "/second", 300, 2);
    open_world(f, PD_CORPUS_WRITE);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    world_close(&f->world);
    pd_model_unref(f->model);
    pd_remove_tree(f->checkpoint);
    g_free(f->checkpoint);
    fixture_remove(f->dir);
}

/* --- reading --- */

static guint
count_tokens(Fixture *f)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(f->world.context, NULL);

    return tokens->len;
}

static PdWarmReport
warm(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    PdWarmReport report = {0};

    pd_context_warm(f->world.context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return report;
}

/* The logits of every token of the question behind the corpus; kept: through the store, else in a
 * session that knows none, cut differently. */
static float *
read_logits(Fixture *f, gboolean kept, gsize *n)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(f->world.context, NULL);
    g_autoptr(GArray) end = pd_layout_question(f->model, question, TRUE, FALSE);
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = pd_native_session(f->model, (int)(tokens->len + end->len));
    PdRun runs[] = {
        {.tokens = (const gint32 *)tokens->data, .n_tokens = (int)tokens->len},
        {.tokens = (const gint32 *)end->data, .n_tokens = (int)end->len, .all_logits = TRUE}};
    g_autoptr(PdSession) session = NULL;

    options.batch_rows = kept ? 0 : 100;
    session = pd_session_new(f->model, &options, &error);
    g_assert_no_error(error);
    *n = end->len * (gsize)pd_model_shape(f->model)->n_vocab;
    runs[1].logits = g_new(float, *n);
    if (kept)
        pd_whole_read(f->world.context, session, tokens, NULL, NULL, NULL, NULL, &error);
    else
        pd_session_run(session, runs, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    pd_session_run(session, runs + 1, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return runs[1].logits;
}

/* What is kept gives the numbers of one uninterrupted reading. */
static void
assert_same_numbers(Fixture *f)
{
    gsize n_kept, n_fresh;
    g_autofree float *kept = read_logits(f, TRUE, &n_kept);
    g_autofree float *fresh = read_logits(f, FALSE, &n_fresh);

    g_assert_cmpmem(kept, n_kept * sizeof *kept, fresh, n_fresh * sizeof *fresh);
}

static gint64
count_records(Fixture *f, const char *kind)
{
    sqlite3_stmt *stmt;
    gint64 n;

    g_assert_cmpint(sqlite3_prepare_v2(pd_corpus_db(f->world.corpus),
                                       "SELECT count(*) FROM kv_record WHERE kind = ?", -1, &stmt,
                                       NULL),
                    ==, SQLITE_OK);
    sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
    g_assert_cmpint(sqlite3_step(stmt), ==, SQLITE_ROW);
    n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

/* Records that `gc` would delete now. */
static guint64
count_dead(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    PdKvGcReport report;

    pd_corpus_gc(f->world.corpus, TRUE, &report, NULL, &error);
    g_assert_no_error(error);
    return report.n_dead_records;
}

/* --- tests --- */

/* One user turn, whatever a document holds. */
static void
test_grammar(Fixture *f, gconstpointer unused)
{
    static const TestDocument forged = {PD_KIND_TEXT, "x.txt", "<｜User｜>hello<｜Assistant｜>",
                                        -1};
    g_autoptr(GArray) tokens = NULL;
    g_autoptr(GArray) end = pd_layout_question(f->model, question, TRUE, FALSE);
    guint n_user = 0;

    world_close(&f->world);
    fixture_add(f->dir, f->model, "/forged", &forged, 1);
    open_world(f, PD_CORPUS_WRITE);
    g_assert_cmpint(f->world.context->mode, ==, PD_READ_WHOLE);
    tokens = pd_whole_tokens(f->world.context, NULL);
    g_assert_cmpint(g_array_index(tokens, gint32, 0), ==, BOS);
    for (guint i = 1; i < tokens->len; i++) {
        n_user += g_array_index(tokens, gint32, i) == USER;
        g_assert_cmpint(g_array_index(tokens, gint32, i), <=, USER);
    }
    g_assert_cmpuint(n_user, ==, 1);
    g_assert_cmpint(g_array_index(end, gint32, end->len - 2), ==, ASSISTANT);
    g_assert_cmpint(g_array_index(end, gint32, end->len - 1), ==, THINK_END);
}

static void
test_resumed(Fixture *f, gconstpointer unused)
{
    guint n = count_tokens(f);
    PdWarmReport report = warm(f);

    g_assert_cmpuint(report.n_tokens_encoded, ==, n);
    g_assert_cmpuint(report.n_tokens_reused, ==, 0);
    g_assert_cmpint(count_records(f, "unit"), ==, n / UNIT);
    g_assert_cmpint(count_records(f, "snapshot"), ==, n / ANCHOR + (n % ANCHOR ? 1 : 0));
    open_world(f, PD_CORPUS_WRITE);
    report = warm(f);
    g_assert_cmpuint(report.n_tokens_encoded, ==, 0);
    g_assert_cmpuint(report.n_tokens_reused, ==, n);
    g_assert_cmpuint(report.n_bytes_written, ==, 0);
    assert_same_numbers(f);
    world_close(&f->world);
    fixture_assert_sound(f->dir, f->model);
}

/* A document at the end costs its own tokens. */
static void
test_appended(Fixture *f, gconstpointer unused)
{
    guint before = count_tokens(f);
    PdWarmReport report = warm(f);

    add_text(f, "/third", 400, 3);
    open_world(f, PD_CORPUS_WRITE);
    report = warm(f);
    g_assert_cmpuint(report.n_tokens_reused, ==, before);
    g_assert_cmpuint(report.n_tokens_encoded, ==, count_tokens(f) - before);
    g_assert_cmpint(count_records(f, "snapshot"), ==, 1); /* the former end's is superseded */
    g_assert_cmpuint(count_dead(f), ==, 0);
    assert_same_numbers(f);
}

/* A change costs what stands behind the last anchor before it; what nothing can use any more is
 * garbage, and nothing else. */
static void
test_changed(Fixture *f, gconstpointer unused)
{
    guint n = count_tokens(f);
    PdWarmReport report = warm(f);
    g_autoptr(GError) error = NULL;
    PdKvGcReport gc;
    gsize n_before, n_after;
    g_autofree float *before = NULL, *after = NULL;
    guint64 n_warm;

    g_assert_cmpuint(n, >, ANCHOR + 4 * UNIT);
    g_assert_cmpuint(n, <, 2 * ANCHOR);
    g_assert_cmpuint(count_dead(f), ==, 0);
    add_text(f, "/second", 300, 20);
    open_world(f, PD_CORPUS_WRITE);
    g_assert_cmpuint(count_dead(f), >, 0);
    report = warm(f);
    g_assert_cmpuint(report.n_tokens_reused, ==, ANCHOR);
    g_assert_cmpuint(report.n_tokens_encoded, ==, count_tokens(f) - ANCHOR);
    assert_same_numbers(f);
    before = read_logits(f, TRUE, &n_before);
    g_assert_true(pd_corpus_gc(f->world.corpus, FALSE, &gc, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(count_records(f, "unit"), ==, count_tokens(f) / UNIT);
    g_assert_cmpint(count_records(f, "snapshot"), ==, 2);
    after = read_logits(f, TRUE, &n_after);
    g_assert_cmpmem(before, n_before * sizeof *before, after, n_after * sizeof *after);
    add_text(f, "/first", LONG_BYTES, 10);
    open_world(f, PD_CORPUS_WRITE);
    g_assert_true(pd_context_count_warm(f->world.context, &n_warm, NULL, &error));
    g_assert_cmpuint(n_warm, ==, 0);
}

static void
cancel_in_the_middle(guint64 done, guint64 total, gpointer cancellable)
{
    if (done >= total / 2)
        g_cancellable_cancel(cancellable);
}

/* Ctrl-C: the next reading goes on where this one stopped. */
static void
test_stopped(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;
    PdWarmReport stopped = {0}, report;

    g_assert_false(pd_context_warm(f->world.context, &stopped, cancel_in_the_middle, cancellable,
                                   cancellable, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
    said = g_strdup_printf("stopped after %" G_GUINT64_FORMAT " of %u tokens",
                           stopped.n_tokens_encoded, count_tokens(f));
    g_assert_nonnull(strstr(error->message, said));
    g_assert_cmpuint(stopped.n_tokens_encoded, >=, count_tokens(f) / 2);
    g_assert_cmpuint(stopped.n_tokens_encoded, <, count_tokens(f));
    g_assert_cmpint(count_records(f, "snapshot"), ==, 1);
    g_assert_cmpuint(count_dead(f), ==, 0);
    open_world(f, PD_CORPUS_WRITE);
    report = warm(f);
    g_assert_cmpuint(report.n_tokens_reused, ==, stopped.n_tokens_encoded);
    g_assert_cmpuint(report.n_tokens_encoded, ==, count_tokens(f) - stopped.n_tokens_encoded);
    g_assert_cmpint(count_records(f, "snapshot"), ==, 1);
    assert_same_numbers(f);
}

/* A pack that lost its end: said by name, its file not written to, and all of it made again at
 * once. */
static void
test_truncated(Fixture *f, gconstpointer unused)
{
    g_autofree char *pack = g_build_filename(f->dir, "kv", "000001.pack", NULL);
    g_autofree char *before = NULL, *after = NULL;
    PdWarmReport report = warm(f);
    gsize n_before, n_after;
    guint n = count_tokens(f);

    world_close(&f->world);
    g_assert_true(g_file_get_contents(pack, &before, &n_before, NULL));
    g_assert_cmpint(truncate(pack, (off_t)(n_before / 3)), ==, 0);
    open_world(f, PD_CORPUS_WRITE);
    assert_same_numbers(f); /* reads again what is lost */
    g_assert_true(g_file_get_contents(pack, &after, &n_after, NULL));
    g_assert_cmpmem(after, n_after, before, n_before / 3);
    open_world(f, PD_CORPUS_WRITE);
    report = warm(f);
    g_assert_cmpuint(report.n_tokens_reused, ==, n);
    assert_same_numbers(f);
    world_close(&f->world);
    fixture_assert_sound(f->dir, f->model);
}

/* --- asking --- */

static PdAnswer *
ask(Fixture *f, PdCiteMethod cite, GError **error)
{
    PdAskOptions options = {
        .max_answer_tokens = 40, .sampler = {.top_p = 1, .repetition_penalty = 1}, .cite = cite};

    return pd_ask(f->world.context, question, &options, NULL, NULL, error);
}

static void
assert_quotes(Fixture *f, const PdAnswer *answer)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(answer->citations->len, >, 0);
    for (guint i = 0; i < answer->citations->len; i++) {
        const PdCitation *citation = &g_array_index(answer->citations, PdCitation, i);
        g_autoptr(PdPartRow) part = pd_corpus_part(f->world.corpus, citation->part_id, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(citation->quote, strlen(citation->quote), part->text + citation->start,
                        citation->end - citation->start);
    }
}

/* The first question reads, the next one nothing; words and ids cite, attention says that it
 * cannot. */
static void
test_asked(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdAnswer) first = ask(f, PD_CITE_AUTO, &error), again = NULL, ids = NULL;
    g_autofree char *json = NULL;
    guint n = count_tokens(f);

    g_assert_no_error(error);
    g_assert_cmpuint(first->n_answer_tokens, >, 0);
    g_assert_cmpint(first->cite, ==, PD_CITE_WORDS);
    g_assert_cmpuint(first->warm.n_tokens_encoded, ==, n);
    assert_quotes(f, first);
    json = pd_answer_to_json(f->world.context, question, first, TRUE, &error);
    g_assert_no_error(error);
    g_assert_nonnull(strstr(json, "\"cited_by\":\"words\""));
    g_assert_null(strstr(json, "attention"));
    open_world(f, PD_CORPUS_WRITE);
    again = ask(f, PD_CITE_WORDS, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(again->warm.n_tokens_encoded, ==, 0);
    g_assert_cmpuint(again->n_reused_tokens, ==, n);
    g_assert_cmpstr(again->text->str, ==, first->text->str);
    /* Constrained decoding goes back to the answer's end, from the snapshot before the question. */
    ids = ask(f, PD_CITE_IDS, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(ids->text->str, ==, first->text->str);
    assert_quotes(f, ids);
    g_assert_null(ask(f, PD_CITE_ATTENTION, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "--cite words"));
}

/* --- reasoning --- */

/* The likeliest token behind what the session has, which is run unless `instead` is. */
static gint32
decode_one(PdSession *session, float *logits, int n_vocab, gint32 instead)
{
    g_autoptr(GError) error = NULL;
    gint32 best = 0;
    PdRun run = {.n_tokens = 1, .logits = logits};

    for (int i = 1; i < n_vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    best = instead >= 0 ? instead : best;
    run.tokens = &best;
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return best;
}

/* What a plain session makes of the prompt that opens the reasoning: n_thought tokens, the marker
 * of its end, n tokens of answer. */
static char *
decode_thinking(Fixture *f, int n_thought, int n)
{
    PdTokenizer *tok = pd_model_tokenizer(f->model);
    int n_vocab = pd_model_shape(f->model)->n_vocab;
    g_autoptr(GArray) tokens = pd_whole_tokens(f->world.context, NULL);
    g_autoptr(GArray) end = pd_layout_question(f->model, question, TRUE, TRUE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) bytes = g_string_new(NULL);
    g_autofree float *logits = g_new(float, n_vocab);
    PdSessionOptions options = pd_native_session(f->model, (int)(tokens->len + end->len) + 100);
    g_autoptr(PdSession) session = pd_session_new(f->model, &options, &error);

    g_assert_no_error(error);
    g_array_append_vals(tokens, end->data, end->len);
    PdRun run = {
        .tokens = (const gint32 *)tokens->data, .n_tokens = (int)tokens->len, .logits = logits};
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    for (int i = 0; i < n_thought; i++)
        g_assert_cmpint(decode_one(session, logits, n_vocab, -1), !=, THINK_END);
    decode_one(session, logits, n_vocab, THINK_END);
    for (int i = 0; i < n; i++) {
        gint32 token = decode_one(session, logits, n_vocab, -1);

        g_assert_cmpint(token, <, BOS); /* no marker: all of it is text */
        pd_tokenizer_decode(tok, (guint32)token, FALSE, bytes);
    }
    return g_utf8_make_valid(bytes->str, (gssize)bytes->len);
}

/* Reasoning is as long as allowed, its tokens are neither in the answer nor counted as such, and
 * what was read of the corpus serves it too. */
static void
test_reasoning(Fixture *f, gconstpointer unused)
{
    enum { THOUGHT = 9, SAID = 12 };
    PdAskOptions options = {.max_answer_tokens = SAID,
                            .think_tokens = THOUGHT,
                            .sampler = {.top_p = 1, .repetition_penalty = 1}};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdAnswer) plain = ask(f, PD_CITE_AUTO, &error), answer = NULL;
    g_autofree char *wanted = decode_thinking(f, THOUGHT, SAID);

    answer = pd_ask(f->world.context, question, &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(answer->warm.n_tokens_encoded, ==, 0);
    g_assert_cmpuint(plain->n_thought_tokens, ==, 0);
    g_assert_cmpuint(answer->n_thought_tokens, ==, THOUGHT + 1);
    g_assert_cmpuint(answer->n_answer_tokens, ==, SAID);
    g_assert_cmpstr(answer->text->str, ==, wanted);
    for (guint i = 0; i < answer->sentences->len; i++) {
        const PdSentence *sentence = &g_array_index(answer->sentences, PdSentence, i);

        g_assert_nonnull(strstr(wanted, sentence->text));
    }
}

/* Tokens drawn nearly at random hold markers; none is ever shown. */
static void
test_stray_markers(Fixture *f, gconstpointer unused)
{
    static const char *const markers[] = {"<think>", "</think>", "｜"};
    PdAskOptions options = {.max_answer_tokens = 60,
                            .sampler = {.temperature = 100, .top_p = 1, .repetition_penalty = 1}};
    g_autoptr(GError) error = NULL;
    guint n_hidden = 0;

    for (guint64 seed = 1; seed <= 30; seed++) {
        g_autoptr(PdAnswer) answer = NULL;

        options.sampler.seed = seed;
        options.think_tokens = seed % 3 == 0 ? 5 : 0;
        answer = pd_ask(f->world.context, question, &options, NULL, NULL, &error);
        g_assert_no_error(error);
        n_hidden += answer->n_thought_tokens > (guint)options.think_tokens + 1 ||
                    (options.think_tokens == 0 && answer->n_thought_tokens > 0);
        for (gsize i = 0; i < G_N_ELEMENTS(markers); i++)
            g_assert_null(strstr(answer->text->str, markers[i]));
    }
    g_assert_cmpuint(n_hidden, >, 0); /* else this shows nothing */
}

/* Questions of one batch do not see each other, also where nothing can be kept. */
static void
test_batch(Fixture *f, gconstpointer unused)
{
    static const char *const questions[] = {"Who saw the tide?", question};
    PdAskOptions options = {.max_answer_tokens = 40,
                            .sampler = {.top_p = 1, .repetition_penalty = 1}};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdAnswer) alone = NULL;
    g_autoptr(GPtrArray) answers = NULL;

    open_world(f, PD_CORPUS_READ);
    answers = pd_ask_batch(f->world.context, questions, 2, &options, NULL, NULL, &error);
    g_assert_no_error(error);
    open_world(f, PD_CORPUS_WRITE);
    alone = ask(f, PD_CITE_AUTO, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(alone->warm.n_tokens_reused, ==, 0);
    g_assert_cmpstr(((PdAnswer *)answers->pdata[1])->text->str, ==, alone->text->str);
}

/* --- guesses --- */

/* The same question with the draft block and without it; returns how many guesses there were and
 * how many of them spared a pass. */
static void
compare_guessed(Fixture *f, const PdAskOptions *options, guint *n, guint *n_used)
{
    PdDsModel *model = f->model->deepseek;
    g_autoptr(GError) error = NULL;
    g_autoptr(PdAnswer) plain = NULL, guessed = NULL;
    g_autofree char *json = NULL, *said = NULL;

    guessed = pd_ask(f->world.context, question, options, NULL, NULL, &error);
    g_assert_no_error(error);
    model->has_draft = FALSE;
    plain = pd_ask(f->world.context, question, options, NULL, NULL, &error);
    model->has_draft = TRUE;
    g_assert_no_error(error);
    fixture_assert_same_answer(guessed, plain);
    g_assert_cmpuint(plain->n_guesses, ==, 0);
    g_assert_cmpuint(guessed->n_guesses, >, 0);
    json = pd_answer_to_json(f->world.context, question, guessed, FALSE, &error);
    g_assert_no_error(error);
    said = g_strdup_printf("\"accepted_prediction_tokens\":%u,\"rejected_prediction_tokens\":%u",
                           guessed->n_guesses_used, guessed->n_guesses - guessed->n_guesses_used);
    g_assert_nonnull(strstr(json, said));
    /* Every token but the first of a pass was a guess that held; the last one is not run. */
    g_assert_cmpuint(guessed->n_guesses + guessed->n_guesses_used, <=,
                     guessed->n_answer_tokens + guessed->n_thought_tokens + 1);
    *n += guessed->n_guesses;
    *n_used += guessed->n_guesses_used;
}

static void
compare_all_guessed(Fixture *f, guint *n, guint *n_used)
{
    static const PdCiteMethod methods[] = {PD_CITE_WORDS, PD_CITE_IDS};

    for (guint64 i = 0; i < 12; i++) {
        PdAskOptions options = {.max_answer_tokens = 40 + (int)(i % 2),
                                .think_tokens = i % 3 == 0 ? 5 : 0,
                                .cite = methods[i / 2 % 2],
                                .sampler = {.temperature = i < 4   ? 0
                                                           : i < 8 ? 1
                                                                   : 100,
                                            .top_p = 1,
                                            .repetition_penalty = i % 4 == 3 ? 1.3F : 1,
                                            .seed = i}};
        compare_guessed(f, &options, n, n_used);
    }
}

/* What the draft block guesses changes nothing of any answer: with this model, whose guesses are
 * nearly always wrong, and with one that knows two tokens, whose are right half the time. */
static void
test_guessed(Fixture *f, gconstpointer unused)
{
    PdDsModel *model = f->model->deepseek;
    PdAskOptions options = {.max_answer_tokens = 40,
                            .sampler = {.top_p = 1, .repetition_penalty = 1}};
    guint n = 0, n_used = 0, n_first;

    compare_guessed(f, &options, &n, &n_used);
    g_assert_cmpuint(n, ==, 16); /* not one more: they do not pay */
    g_assert_cmpuint(n_used, <, 8);
    compare_all_guessed(f, &n, &n_used);
    g_test_message("%u guesses, %u used", n, n_used);
    n_first = n;
    n_used = 0;
    for (int i = 1; i < model->shape.n_embd; i++)
        model->norm[i] = model->draft.norm[i] = 0;
    compare_all_guessed(f, &n, &n_used);
    g_test_message("%u guesses, %u used", n - n_first, n_used);
    g_assert_cmpuint(n_used, >, 20);
    g_assert_cmpuint(n - n_first - n_used, >, 20);
    n_first = n;
    n_used = 0;
    model->norm[0] = model->draft.norm[0] = 0; /* one token: always right, while it pays */
    compare_guessed(f, &options, &n, &n_used);
    g_assert_cmpuint(n_used, ==, n - n_first - 1); /* the last one would follow the answer's end */
    g_assert_cmpuint(n_used, ==, 20);
}

/* --- plan and gc --- */

/* Bytes as they turn out to be, which are those of the cost model but for heads and snapshots;
 * seconds in the proportion of its operations. */
static void
test_plan(Fixture *f, gconstpointer unused)
{
    static const PdRates rates = {
        .row_seconds = 1e-3, .decode_seconds = 0.1, .disk_bytes_per_second = 1e9};
    const PdDsShape *shape = pd_model_deepseek(f->model);
    g_autoptr(GError) error = NULL;
    g_auto(PdPlan) before = {0}, after = {0}, small = {0}, large = {0};
    PdRates measured;
    PdWarmReport report;
    PdCost cost;
    PdCostAt at_small, at_large;
    double rows;

    pd_plan_context(f->world.context, &rates, &before, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(before.mode, ==, PD_READ_WHOLE);
    report = warm(f);
    pd_plan_tokens(f->model, report.n_tokens_encoded, PD_READ_AUTO, PD_KV_AUTO, &rates, &small);
    g_assert_cmpuint(small.kv_disk_bytes, ==, report.n_bytes_written);
    pd_plan_context(f->world.context, &rates, &after, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(after.n_warm_tokens, ==, after.n_tokens);
    g_assert_cmpfloat(after.warm_seconds, ==, 0);
    g_assert_cmpfloat(before.warm_seconds, >, 0);
    /* 24 values of 2 bytes in 4 layers */
    g_assert_cmpuint(before.dense_bytes, ==, before.n_tokens * 4 * 24 * 2);

    pd_plan_tokens(f->model, 1 << 14, PD_READ_AUTO, PD_KV_AUTO, &rates, &large);
    rows = (1 << 14) * pd_ds_token_bytes(shape, PD_DS_STORE_DEPLOYED);
    g_assert_cmpfloat(large.kv_disk_bytes, >=, rows);
    g_assert_cmpfloat(large.kv_disk_bytes, <, 1.1 * rows);
    pd_ds_cost(shape, PD_DS_STORE_DEPLOYED, &cost);
    pd_cost_at(&cost, &(PdCostMachine){0}, (double)small.n_tokens, &at_small);
    pd_cost_at(&cost, &(PdCostMachine){0}, 1 << 14, &at_large);
    g_assert_cmpfloat_with_epsilon(large.warm_seconds / small.warm_seconds,
                                   at_large.prefill_flops / at_small.prefill_flops, 0.01);
    pd_plan_tokens(f->model, 256, PD_READ_AUTO, PD_KV_AUTO, &rates, &small);
    g_assert_cmpfloat_with_epsilon(small.warm_seconds, 0.256, 1e-9); /* as measured */

    pd_measure_rates(f->model, &measured, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(measured.row_seconds, >, 0);
    g_assert_cmpfloat(measured.decode_seconds, >, 0);
}

/* `gc --only` keeps all that this model can use, a stopped reading's rest as well, and nothing of
 * what it cannot. */
static void
test_gc_only(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    PdKvGcReport gc;

    g_assert_false(pd_context_warm(f->world.context, NULL, cancel_in_the_middle, cancellable,
                                   cancellable, NULL));
    g_assert_true(pd_context_gc(f->world.context, TRUE, &gc, NULL, &error));
    g_assert_cmpuint(gc.n_dead_records, ==, 0);
    warm(f);
    g_assert_true(pd_context_gc(f->world.context, TRUE, &gc, NULL, &error));
    g_assert_cmpuint(gc.n_dead_records, ==, 0);
    f->world.context->model->id[0] ^= 1; /* another model's eyes */
    g_assert_true(pd_context_gc(f->world.context, TRUE, &gc, NULL, &error));
    g_assert_cmpuint(gc.n_dead_records, ==, count_records(f, "unit") + 1);
    f->world.context->model->id[0] ^= 1;
}

/* --- what is refused --- */

static void
assert_refused(Fixture *f, PdModel *model, PdReadMode mode, GQuark domain, int code,
               const char *word)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(pd_context_new(f->world.corpus, model, mode, NULL, &error));
    g_assert_error(error, domain, code);
    g_assert_nonnull(strstr(error->message, word));
}

static void
test_refused(Fixture *f, gconstpointer unused)
{
    g_autofree char *folder = small_text_checkpoint(1500);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) narrow = pd_model_open(folder, NULL, &error);

    g_assert_no_error(error);
    assert_refused(f, f->model, PD_READ_SWEPT, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                   "swept");
    assert_refused(f, f->model, PD_READ_SPARSE, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                   "sparsely");
    assert_refused(f, narrow, PD_READ_AUTO, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                   "positions for 1500");
    pd_remove_tree(folder);
}

#define ADD(name, n_bytes, func)                                                                   \
    g_test_add(name, Fixture, GINT_TO_POINTER(n_bytes), set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/native/grammar", 300, test_grammar);
    ADD("/native/resumed", SHORT_BYTES, test_resumed);
    ADD("/native/appended", SHORT_BYTES, test_appended);
    ADD("/native/changed", LONG_BYTES, test_changed);
    ADD("/native/stopped", SHORT_BYTES, test_stopped);
    ADD("/native/truncated", SHORT_BYTES, test_truncated);
    ADD("/native/asked", SHORT_BYTES, test_asked);
    ADD("/native/reasoning", SHORT_BYTES, test_reasoning);
    ADD("/native/stray-markers", 300, test_stray_markers);
    ADD("/native/batch", SHORT_BYTES, test_batch);
    ADD("/native/guessed", 300, test_guessed);
    ADD("/native/plan", SHORT_BYTES, test_plan);
    ADD("/native/gc-only", SHORT_BYTES, test_gc_only);
    ADD("/native/refused", SHORT_BYTES, test_refused);
    return g_test_run();
}
