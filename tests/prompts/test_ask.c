/*
 * Asking with the tiny model, whose answers mean nothing but are what its weights give: questions
 * asked together get what they get one at a time, and a second reader reads the same bytes.
 */
#include "prompts_fixture.h"

#include <string.h>
#include "prompts/ask.h"
#include "prompts/layout.h"
#include "prompts/reader.h"
#include "prompts/support.h"

#define N_QUESTIONS 11 /* more than are decoded together */

typedef struct {
    char *dir;
    PdModel *model;
    World world;
    char *questions[N_QUESTIONS];
} Fixture;

static void
set_up(Fixture *f, gconstpointer mode)
{
    g_autofree char *a = fixture_text(1500, 1), *b = fixture_text(500, 2),
                    *c = fixture_text(200, 3);
    const TestDocument documents[] = {{PD_KIND_TEXT, "a.txt", a, -1},
                                      {PD_KIND_TEXT, "b.txt", b, -1},
                                      {PD_KIND_TEXT, "c.txt", c, -1}};

    f->dir = fixture_folder();
    f->model = fixture_model();
    fixture_add(f->dir, f->model, "/ask", documents, G_N_ELEMENTS(documents));
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, mode ? PD_READ_WHOLE : PD_READ_SWEPT);
    for (int i = 0; i < N_QUESTIONS; i++)
        f->questions[i] = g_strdup_printf("What did gauge %d say of the %s?", i * 37,
                                          i % 2 ? "storm" : "datum at the pier");
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    for (int i = 0; i < N_QUESTIONS; i++)
        g_free(f->questions[i]);
    world_close(&f->world);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

static PdAskOptions
short_answers(void)
{
    return (PdAskOptions){.budget_tokens = 400,
                          .fresh_tokens = 150,
                          .max_answer_tokens = 24,
                          .sampler = {.top_p = 1, .repetition_penalty = 1}};
}

static void
assert_same_array(GArray *a, GArray *b, gsize size)
{
    g_assert_cmpuint(a->len, ==, b->len);
    g_assert_cmpmem(a->data, a->len * size, b->data, b->len * size);
}

static void
assert_same_answer(const PdAnswer *a, const PdAnswer *b)
{
    fixture_assert_same_answer(a, b);
    g_assert_cmpuint(a->n_prompt_tokens, ==, b->n_prompt_tokens);
    assert_same_array(a->passages, b->passages, sizeof(PdPassage));
    if (a->blocks)
        assert_same_array(a->blocks, b->blocks, sizeof(PdBlock));
    for (guint i = 0; i < a->sentences->len; i++)
        g_assert_cmpmem(
            g_array_index(a->sentences, PdSentence, i).shares, a->passages->len * sizeof(float),
            g_array_index(b->sentences, PdSentence, i).shares, b->passages->len * sizeof(float));
}

static void
count_answered(guint question, const PdAnswer *answer, gpointer user_data)
{
    guint *n = user_data;

    g_assert_cmpuint(question, ==, *n);
    g_assert_cmpuint(answer->n_answer_tokens, >, 0);
    (*n)++;
}

/* Text, blocks, passages, attention and quotes, bit for bit. */
static void
compare_batch(Fixture *f, const PdAskOptions *options)
{
    g_autoptr(GError) error = NULL;
    guint n_answered = 0;
    PdAskEvents events = {.answered = count_answered, .user_data = &n_answered};
    g_autoptr(GPtrArray) together =
        pd_ask_batch(f->world.context, (const char *const *)f->questions, N_QUESTIONS, options,
                     &events, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(together->len, ==, N_QUESTIONS);
    g_assert_cmpuint(n_answered, ==, N_QUESTIONS);
    for (guint i = 0; i < N_QUESTIONS; i++) {
        g_autoptr(PdAnswer) alone =
            pd_ask(f->world.context, f->questions[i], options, NULL, NULL, &error);
        g_assert_no_error(error);
        assert_same_answer(together->pdata[i], alone);
    }
}

static void
test_batch(Fixture *f, gconstpointer unused)
{
    PdAskOptions options = short_answers();

    compare_batch(f, &options);
    options.arm = PD_ARM_SWEEP;
    options.reread = TRUE;
    compare_batch(f, &options);
    options.cite = PD_CITE_IDS;
    options.sampler.temperature = 1; /* each answer has a sampler of its own */
    options.sampler.seed = 7;
    compare_batch(f, &options);
}

static void
test_batch_whole(Fixture *f, gconstpointer unused)
{
    PdAskOptions options = short_answers();

    options.budget_tokens = 0;
    compare_batch(f, &options);
}

static void
test_batch_index(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();

    pd_context_set_tier(f->world.context, PD_KV_INDEX, NULL, &error);
    g_assert_no_error(error);
    compare_batch(f, &options);
}

static void
append_text(const char *piece, gpointer user_data)
{
    g_string_append(user_data, piece);
}

static PdReadings *
readings_of(Fixture *f)
{
    PdProfile *profile = &f->world.context->profile;

    profile->support_measured = TRUE;
    return pd_context_keeps_rows(f->world.context) ? &profile->kept : &profile->run;
}

static void
set_support_min(Fixture *f, double early, double last)
{
    PdReadings *readings = readings_of(f);

    for (guint i = 0; i < readings->n; i++)
        readings->of[i].support_min = i + 1 < readings->n ? early : last;
}

/* An answer that is stated enough is the one made, shown after the check; one that is not gives way
 * to the refusal and keeps no citation. */
static void
test_check(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) shown = g_string_new(NULL), refused = g_string_new(NULL);
    PdAskEvents events = {.text = append_text, .user_data = shown};
    PdAskOptions options = short_answers();
    g_autoptr(PdAnswer) answer = NULL, withheld = NULL;

    set_support_min(f, -1e9, -1e9);
    answer = pd_ask(f->world.context, f->questions[0], &options, &events, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(answer->checked);
    g_assert_cmpint(answer->status, ==, PD_ANSWERED);
    g_assert_null(answer->withheld);
    g_assert_cmpuint(answer->citations->len, >, 0);
    g_assert_true(g_str_has_prefix(answer->text->str, shown->str));
    g_assert_cmpuint(shown->len, >, 0);
    set_support_min(f, 1e9, 1e9);
    events.user_data = refused;
    withheld = pd_ask(f->world.context, f->questions[0], &options, &events, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(withheld->status, ==, PD_NOT_FOUND);
    g_assert_cmpstr(withheld->withheld, ==, answer->text->str);
    g_assert_cmpfloat(withheld->support, ==, answer->support);
    g_assert_cmpstr(withheld->text->str, ==, PD_NOT_FOUND_SENTENCE);
    g_assert_cmpstr(refused->str, ==, PD_NOT_FOUND_SENTENCE);
    g_assert_cmpuint(withheld->citations->len, ==, 0);
    g_assert_cmpuint(withheld->withheld_citations->len, ==, answer->citations->len);
    g_assert_false(withheld->near);
    compare_batch(f, &options);
    set_support_min(f, -1e9, -1e9);
    compare_batch(f, &options);
}

/* Where blocks were read for their order, their likelihood has a part in whether an answer is
 * shown, and so has a name that was not read ("gauge 0"); a batch gives the same.  What falls short
 * by little is near. */
static void
test_evidence(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();
    PdProfile *profile = &f->world.context->profile;
    g_autoptr(PdAnswer) without = NULL, shown = NULL, withheld = NULL, far = NULL;
    double evidence;

    options.rerank = 5;
    set_support_min(f, -1e9, -1e9);
    without = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(without->likelihood, <, 0);
    profile->likelihood_weight = 0.5;
    set_support_min(f, 1e9, 1e9);
    g_assert_cmpuint(without->unread_names->len, ==, 1);
    evidence = without->support + 0.5 * without->likelihood - PD_SUPPORT_UNREAD;
    readings_of(f)->of[0].evidence_min = evidence - 0.01;
    shown = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    assert_same_answer(shown, without);
    readings_of(f)->of[0].evidence_min = evidence + 0.01;
    withheld = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(withheld->withheld, ==, without->text->str);
    g_assert_true(withheld->near);
    readings_of(f)->of[0].evidence_min = evidence + PD_SUPPORT_NEAR + 0.01;
    far = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(far->withheld);
    g_assert_false(far->near);
    compare_batch(f, &options);
}

/* With an index alone a sure answer ends the reading at the first passages; else there are as many
 * readings as there may be, the last with what one reading of everything has. */
static void
test_readings(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) shown = g_string_new(NULL);
    PdAskEvents events = {.text = append_text, .user_data = shown};
    PdAskOptions options = short_answers();
    PdReadings *readings = &f->world.context->profile.run;
    g_autoptr(PdAnswer) sure = NULL, unsure = NULL, once = NULL, at_once = NULL;

    options.budget_tokens = 0;
    pd_context_set_tier(f->world.context, PD_KV_INDEX, NULL, &error);
    g_assert_no_error(error);
    *readings = (PdReadings){{{.tokens = 400}, {.tokens = 800}, {.tokens = 0}}, 3};
    set_support_min(f, -1e9, 1e9);
    sure = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(sure->n_readings, ==, 1);
    g_assert_cmpint(sure->status, ==, PD_ANSWERED);
    g_assert_cmpuint(sure->n_prompt_tokens, <, 800); /* passages, their headers, the task */

    set_support_min(f, 1e9, -1e9);
    unsure = pd_ask(f->world.context, f->questions[0], &options, &events, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(unsure->n_readings, ==, 3);
    options.once = TRUE;
    once = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(once->n_readings, ==, 1);
    g_assert_cmpuint(once->n_prompt_tokens, >, sure->n_prompt_tokens);
    assert_same_answer(unsure, once);
    g_assert_true(g_str_has_prefix(once->text->str, shown->str)); /* the last answer alone */
    options.once = FALSE;
    compare_batch(f, &options);
    readings->of[1].support_min = -1e9;
    compare_batch(f, &options);

    *readings = (PdReadings){{{.support_min = -1e9}}, 1}; /* less is never enough */
    at_once = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(at_once->n_readings, ==, 1);
    assert_same_answer(at_once, once);
}

/* Where rows are kept the first reading may be of the likely blocks alone; if none were ranked it
 * would read what the second does, and there is one. */
static void
test_likely_reading(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();
    PdReadings *readings = &f->world.context->profile.kept;
    g_autoptr(PdAnswer) sure = NULL, unsure = NULL, once = NULL, unranked = NULL;

    options.rerank = 5;
    options.budget_tokens = 1000;
    *readings = (PdReadings){{{.likely_margin = 1e-6f}, {.likely_margin = 0}}, 2};
    set_support_min(f, -1e9, 1e9);
    sure = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(sure->n_readings, ==, 1);
    set_support_min(f, 1e9, -1e9);
    unsure = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(unsure->n_readings, ==, 2);
    g_assert_cmpuint(sure->n_prompt_tokens, <, unsure->n_prompt_tokens);
    options.once = TRUE;
    once = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    assert_same_answer(unsure, once);
    options.once = FALSE;
    compare_batch(f, &options);
    options.rerank = -1;
    unranked = pd_ask(f->world.context, f->questions[0], &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(unranked->n_readings, ==, 1);
}

/* The log-odds are those of a plain run over everything, and the rows before stay. */
static void
test_support(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {.n_sequences = 2, .max_tokens = 400, .kv_type = PD_F32};
    g_autoptr(PdSession) session = pd_session_new(f->model, &options, &error);
    g_autoptr(GArray) prompt = g_array_copy(f->world.context->prefix);
    g_autoptr(GArray) check = pd_layout_check(f->model, "Where?", "At the pier.");
    g_autoptr(GArray) yes = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autoptr(GArray) no = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autoptr(GArray) all = NULL;
    g_autofree float *logits = g_new(float, pd_model_shape(f->model)->n_vocab);
    double log_odds = 0;
    int n_rows;
    PdRun run = {0};

    g_assert_no_error(error);
    pd_layout_text(f->model, "The gauge stood at the pier.", prompt);
    n_rows = (int)prompt->len;
    all = g_array_copy(prompt);
    g_array_append_vals(all, check->data, check->len);
    pd_layout_text(f->model, " and more", prompt); /* an answer, to be forgotten */
    run = (PdRun){.tokens = (const gint32 *)prompt->data, .n_tokens = (int)prompt->len};
    g_assert_true(pd_session_run(session, &run, 1, NULL, NULL, NULL, &error));
    g_assert_true(
        pd_support(session, 0, n_rows, "Where?", "At the pier.", &log_odds, NULL, &error));
    g_assert_cmpint(pd_session_n_tokens(session, 0), ==, n_rows);
    run = (PdRun){.sequence = 1,
                  .tokens = (const gint32 *)all->data,
                  .n_tokens = (int)all->len,
                  .logits = logits};
    g_assert_true(pd_session_run(session, &run, 1, NULL, NULL, NULL, &error));
    pd_layout_text(f->model, "Yes", yes);
    pd_layout_text(f->model, "No", no);
    g_assert_cmpfloat_with_epsilon(
        log_odds, logits[g_array_index(yes, gint32, 0)] - logits[g_array_index(no, gint32, 0)],
        1e-4);
}

static void
test_none(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();
    g_autoptr(GPtrArray) answers =
        pd_ask_batch(f->world.context, NULL, 0, &options, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(answers->len, ==, 0);
}

/* Words alone need nothing warm, and every passage is run. */
static void
test_words_alone(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();
    g_autoptr(PdAnswer) answer = NULL;
    guint64 n_warm = 1;

    options.arm = PD_ARM_FTS;
    answer = pd_ask(f->world.context, "storm 112", &options, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(answer->passages->len, >, 0);
    g_assert_cmpuint(answer->n_reused_tokens, ==, 0);
    for (guint i = 0; i < answer->blocks->len; i++)
        g_assert_cmpuint(g_array_index(answer->blocks, PdBlock, i).found_by, ==, PD_FOUND_FTS);
    pd_context_count_warm(f->world.context, &n_warm, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_warm, ==, 0);
}

/* The view's segments are the passages' bytes, whole characters, with offsets that walk back. */
static void
test_view(Fixture *f, gconstpointer unused)
{
    PdContext *context = f->world.context;
    g_autoptr(GError) error = NULL;
    g_autoptr(PdContext) view = pd_reader_view_new(context, f->model, &error);
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage)), seen = NULL;

    g_assert_no_error(error);
    for (guint i = 0; i < 60; i++) {
        PdPassage passage = {.number = (int)i + 1,
                             .segment = i % 2,
                             .first_token = i * 5 % 300,
                             .n_tokens = 1 + i * 7 % 100};
        g_array_append_val(passages, passage);
    }
    seen = pd_reader_passages(view, context, passages, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(seen->len, ==, passages->len);
    for (guint i = 0; i < seen->len; i++) {
        const PdPassage *from = &g_array_index(passages, PdPassage, i);
        const PdPassage *to = &g_array_index(seen, PdPassage, i);
        const PdSegmentRow *old =
            g_array_index(context->segments, PdContextSegment, from->segment).row;
        const PdContextSegment *new = &g_array_index(view->segments, PdContextSegment, to->segment);
        g_autoptr(PdPartRow) part = pd_corpus_part(context->corpus, new->row->part_id, &error);
        guint32 start, end, new_start, new_end;

        g_assert_no_error(error);
        g_assert_cmpint(new->row->part_id, ==, old->part_id);
        g_assert_cmpint(to->number, ==, from->number);
        pd_segment_bytes(old, from->first_token, from->n_tokens, &start, &end);
        pd_segment_bytes(new->row, to->first_token, to->n_tokens, &new_start, &new_end);
        g_assert_cmpuint(new_start, <=, start);
        g_assert_cmpuint(new_end, >=, end);
        g_assert_cmpuint(start - new_start + new_end - end, <=, 6);
        g_assert_true(g_utf8_validate(part->text + new_start, (gssize)(new_end - new_start), NULL));
        for (guint t = 0; t < to->n_tokens; t++) {
            g_autoptr(GString) bytes = g_string_new(NULL);
            pd_tokenizer_decode(pd_model_tokenizer(f->model), new->row->ids[t], FALSE, bytes);
            g_assert_cmpmem(part->text + new->row->offsets[t], bytes->len, bytes->str, bytes->len);
        }
    }
}

/* Another model opened from the same file gives what the first gives when it reads anew, and its
 * quotes are bytes of the corpus. */
static void
test_reader(Fixture *f, gconstpointer unused)
{
    g_autoptr(PdModel) reader = fixture_model();
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();
    PdContext *context = f->world.context;

    pd_context_set_tier(context, PD_KV_INDEX, NULL, &error); /* then the first reads anew too */
    g_assert_no_error(error);
    for (guint q = 0; q < 3; q++) {
        g_autoptr(PdAnswer) alone = NULL, both = NULL;

        options.reader = NULL;
        alone = pd_ask(context, f->questions[q], &options, NULL, NULL, &error);
        g_assert_no_error(error);
        options.reader = reader;
        both = pd_ask(context, f->questions[q], &options, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(both->reader, ==, pd_model_name(reader));
        g_assert_cmpuint(both->passages->len, ==, alone->passages->len);
        assert_same_array(both->blocks, alone->blocks, sizeof(PdBlock));
        for (guint i = 0; i < both->citations->len; i++) {
            const PdCitation *citation = &g_array_index(both->citations, PdCitation, i);
            g_autoptr(PdPartRow) part = pd_corpus_part(context->corpus, citation->part_id, &error);
            g_assert_no_error(error);
            g_assert_cmpmem(citation->quote, strlen(citation->quote), part->text + citation->start,
                            citation->end - citation->start);
        }
    }
}

static void
test_reader_whole(Fixture *f, gconstpointer unused)
{
    g_autoptr(PdModel) reader = fixture_model();
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();

    options.reader = reader;
    g_assert_null(pd_ask(f->world.context, "storm", &options, NULL, NULL, &error));
    g_assert_nonnull(error);
}

static void
test_json(Fixture *f, gconstpointer unused)
{
    g_autoptr(PdModel) reader = fixture_model();
    g_autoptr(GError) error = NULL;
    PdAskOptions options = short_answers();
    g_autoptr(PdAnswer) answer = NULL;
    g_autofree char *json = NULL;

    options.reader = reader;
    answer = pd_ask(f->world.context, "storm \"112\"", &options, NULL, NULL, &error);
    g_assert_no_error(error);
    json = pd_answer_to_json(f->world.context, "storm \"112\"", answer, TRUE, &error);
    g_assert_no_error(error);
    g_assert_nonnull(strstr(json, "\"sweeper\""));
    g_assert_nonnull(strstr(json, "\"reader\""));
    g_assert_nonnull(strstr(json, "\"unread_names\":[\"112\"]"));
    g_assert_nonnull(strstr(json, "\"arm\":\"both\""));
    g_assert_nonnull(strstr(json, "\"found_by\":[\"sweep\""));
    g_assert_nonnull(strstr(json, "\"attention\":["));
}

#define ADD(name, mode, func) g_test_add(name, Fixture, mode, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/ask/batch", NULL, test_batch);
    ADD("/ask/batch-whole", "whole", test_batch_whole);
    ADD("/ask/batch-index", NULL, test_batch_index);
    ADD("/ask/check", NULL, test_check);
    ADD("/ask/evidence", NULL, test_evidence);
    ADD("/ask/support", NULL, test_support);
    ADD("/ask/likely-reading", NULL, test_likely_reading);
    ADD("/ask/readings", NULL, test_readings);
    ADD("/ask/none", NULL, test_none);
    ADD("/ask/words-alone", NULL, test_words_alone);
    ADD("/ask/view", NULL, test_view);
    ADD("/ask/reader", NULL, test_reader);
    ADD("/ask/reader-whole", "whole", test_reader_whole);
    ADD("/ask/json", NULL, test_json);
    return g_test_run();
}
