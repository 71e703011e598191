/* The recall certificate: intervals against published values, and planting in a corpus of its own:
 * every place walks back to its sentence, nothing else has changed, the same seed plans the same.
 */
#include "prompts_fixture.h"
#include "prompts/eval.h"

#include <glib/gstdio.h>
#include <string.h>
#include "prompts/error.h"

/* Wilson's interval as R's prop.test(correct = FALSE) prints it. */
static void
test_wilson(void)
{
    double low, high;

    pd_eval_wilson(22, 22, &low, &high);
    g_assert_cmpfloat_with_epsilon(low, 0.8513, 1e-4);
    g_assert_cmpfloat(high, ==, 1);
    pd_eval_wilson(0, 12, &low, &high);
    g_assert_cmpfloat(low, ==, 0);
    g_assert_cmpfloat_with_epsilon(high, 0.2425, 1e-4);
    pd_eval_wilson(5, 10, &low, &high);
    g_assert_cmpfloat_with_epsilon(low, 0.2366, 1e-4);
    g_assert_cmpfloat_with_epsilon(high, 0.7634, 1e-4);
    pd_eval_wilson(0, 0, &low, &high);
    g_assert_cmpfloat(low, ==, 0);
    g_assert_cmpfloat(high, ==, 1);
}

static PdEvalCorpus *
plan(const char *dir, const char *name, PdModel *model, char **to)
{
    PdEvalOptions options = {.tasks =
                                 1u << PD_EVAL_NEEDLE | 1u << PD_EVAL_HOPS | 1u << PD_EVAL_ABSENT,
                             .items = 3,
                             .seed = 7};
    g_autofree char *from_dir = g_build_filename(dir, "from", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) from = pd_corpus_open(from_dir, PD_CORPUS_READ, &error);
    PdEvalCorpus *eval;

    g_assert_no_error(error);
    *to = g_build_filename(dir, name, NULL);
    eval = pd_eval_corpus_new(from, pd_model_tokenizer(model), &options, 0, *to, NULL, &error);
    g_assert_no_error(error);
    return eval;
}

static void
test_planting(void)
{
    char *dir = fixture_folder();
    g_autofree char *from_dir = g_build_filename(dir, "from", NULL);
    g_autoptr(PdModel) model = fixture_model();
    g_autofree char *to = NULL, *to2 = NULL;
    char *texts[8];
    TestDocument documents[8];
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    gsize n_before = 0, n_after = 0, n_places = 0;

    for (guint32 i = 0; i < 8; i++) {
        texts[i] = fixture_text(6000, i + 1);
        documents[i] = (TestDocument){PD_KIND_TEXT, keys[i], texts[i], -1};
        n_before += strlen(texts[i]);
    }
    fixture_add(from_dir, model, "texts", documents, 8);
    {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdEvalCorpus) eval = plan(dir, "one", model, &to);
        g_autoptr(PdEvalCorpus) again = plan(dir, "two", model, &to2);

        g_assert_cmpuint(eval->items->len, ==, 3 * 6);
        g_assert_cmpuint(again->items->len, ==, eval->items->len);
        g_assert_cmpuint(eval->n_documents, ==, 8);
        for (guint i = 0; i < eval->items->len; i++) {
            const PdEvalItem *item = g_ptr_array_index(eval->items, i);
            const PdEvalItem *twin = g_ptr_array_index(again->items, i);

            g_assert_cmpstr(item->fact->question, ==, twin->fact->question);
            g_assert_cmpuint(item->places->len, ==, item->fact->sentences->len);
            g_assert_cmpmem(item->places->data, item->places->len * sizeof(PdEvalPlace),
                            twin->places->data, twin->places->len * sizeof(PdEvalPlace));
            if (item->task == PD_EVAL_ABSENT)
                g_assert_cmpuint(item->places->len, ==, 0);
            for (guint p = 0; p < item->places->len; p++) {
                const PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, p);
                const char *sentence = g_ptr_array_index(item->fact->sentences, p);
                g_autoptr(PdPartRow) part = pd_corpus_part(eval->corpus, place->part_id, &error);

                g_assert_no_error(error);
                g_assert_cmpmem(part->text + place->start, place->end - place->start, sentence,
                                strlen(sentence));
                g_assert_true(place->start == 0 || part->text[place->start - 1] == '\n');
                g_assert_cmpint(part->text[place->end], ==, '\n');
                n_places++;
            }
        }
        g_autoptr(GPtrArray) rows = pd_corpus_documents(eval->corpus, NULL, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < rows->len; i++)
            n_after += ((const PdDocumentRow *)g_ptr_array_index(rows, i))->n_bytes;
        g_assert_cmpuint(n_places, ==, 3 * (1 + 1 + 3 + 1 + 2));
        g_assert_cmpuint(n_after, >, n_before);
    }
    fixture_assert_sound(to, model);
    fixture_assert_sound(from_dir, model);
    for (guint i = 0; i < 8; i++)
        g_free(texts[i]);
    fixture_remove(dir);
}

static gboolean
same_items(const PdEvalCorpus *a, const PdEvalCorpus *b)
{
    if (a->items->len != b->items->len || a->n_tokens != b->n_tokens ||
        a->n_documents != b->n_documents || a->notes->len != b->notes->len)
        return FALSE;
    for (guint i = 0; i < a->items->len; i++) {
        const PdEvalItem *x = g_ptr_array_index(a->items, i), *y = g_ptr_array_index(b->items, i);
        if (x->task != y->task || !g_str_equal(x->subtask, y->subtask) || x->index != y->index ||
            g_strcmp0(x->depth, y->depth) != 0 || x->fact->kind != y->fact->kind ||
            !g_str_equal(x->fact->question, y->fact->question) ||
            x->fact->accept->len != y->fact->accept->len || x->places->len != y->places->len ||
            (x->places->len > 0 &&
             memcmp(x->places->data, y->places->data, x->places->len * sizeof(PdEvalPlace)) != 0))
            return FALSE;
        for (guint k = 0; k < x->fact->accept->len; k++)
            if (!g_str_equal(x->fact->accept->pdata[k], y->fact->accept->pdata[k]))
                return FALSE;
    }
    return TRUE;
}

/* A finished copy is opened again with its questions; what a kill left beside it is made anew; a
 * copy of other settings is refused and stays. */
static void
test_going_on(void)
{
    char *dir = fixture_folder();
    g_autofree char *from_dir = g_build_filename(dir, "from", NULL);
    g_autofree char *part = g_build_filename(dir, "copy.part", NULL);
    g_autofree char *rest = g_build_filename(part, "corpus.db", NULL);
    g_autofree char *questions = g_build_filename(dir, "copy", "eval.json", NULL);
    g_autofree char *to = NULL, *to2 = NULL;
    g_autofree char *text = fixture_text(9000, 3);
    g_autoptr(PdModel) model = fixture_model();
    TestDocument document = {PD_KIND_TEXT, "a", text, -1};
    g_autoptr(GError) error = NULL;

    fixture_add(from_dir, model, "texts", &document, 1);
    g_assert_cmpint(g_mkdir(part, 0700), ==, 0);
    g_assert_true(g_file_set_contents(rest, "half", -1, NULL));
    {
        g_autoptr(PdEvalCorpus) first = plan(dir, "copy", model, &to);
        PdEvalCorpus *again;

        g_clear_pointer(&first->corpus, pd_corpus_free); /* its writer lock */
        again = plan(dir, "copy", model, &to2);
        g_assert_true(same_items(first, again));
        pd_eval_corpus_free(again);
        g_assert_false(g_file_test(part, G_FILE_TEST_EXISTS));
    }
    {
        PdEvalOptions options = {.tasks = 1u << PD_EVAL_NEEDLE, .items = 3, .seed = 7};
        g_autoptr(PdCorpus) from = pd_corpus_open(from_dir, PD_CORPUS_READ, &error);

        g_assert_no_error(error);
        g_assert_null(
            pd_eval_corpus_new(from, pd_model_tokenizer(model), &options, 0, to, NULL, &error));
        g_assert_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_QUESTIONS);
        g_assert_nonnull(strstr(error->message, "made for needle hops absent --items 3 "));
        g_assert_true(g_file_test(questions, G_FILE_TEST_EXISTS));
    }
    fixture_assert_sound(to, model);
    {
        PdEvalOptions options = {.tasks = 1u << PD_EVAL_NEEDLE, .items = 3, .seed = 7};
        g_autoptr(PdCorpus) from = pd_corpus_open(from_dir, PD_CORPUS_READ, NULL);

        g_clear_error(&error); /* any other corpus stays as well */
        g_assert_null(pd_eval_corpus_new(from, pd_model_tokenizer(model), &options, 0, from_dir,
                                         NULL, &error));
        g_assert_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_QUESTIONS);
    }
    fixture_assert_sound(from_dir, model);
    fixture_remove(dir);
}

/* Ranks alone are asked for, once each: a second run with the results of the first asks nothing,
 * one with some of them the rest.  The copy's KV is kept as `kv` says. */
static void
test_run(void)
{
    char *dir = fixture_folder();
    g_autofree char *from_dir = g_build_filename(dir, "from", NULL);
    g_autofree char *to = NULL, *text = fixture_text(9000, 3);
    g_autoptr(PdModel) model = fixture_model();
    TestDocument document = {PD_KIND_TEXT, "a", text, -1};
    g_autoptr(GPtrArray) results =
        g_ptr_array_new_with_free_func((GDestroyNotify)pd_eval_result_free);
    g_autoptr(GError) error = NULL;

    fixture_add(from_dir, model, "texts", &document, 1);
    for (PdKvTier kv = PD_KV_INDEX; kv <= PD_KV_FULL; kv++) {
        g_autoptr(PdEvalCorpus) eval = plan(dir, kv == PD_KV_INDEX ? "one" : "two", model, &to);
        PdEvalOptions options = {.arms = 1u << PD_EVAL_ARM_HYBRID | 1u << PD_EVAL_ARM_RAG |
                                         1u << PD_EVAL_ARM_ORACLE,
                                 .no_read = TRUE,
                                 .kv = kv};
        guint n = 2 * eval->items->len; /* the oracle ranks nothing */
        g_autoptr(PdContext) context = NULL;

        g_ptr_array_set_size(results, 0);
        for (int round = 0; round < 3; round++) {
            pd_eval_run(eval, model, &options, NULL, results, NULL, &error);
            g_assert_no_error(error);
            g_assert_cmpuint(results->len, ==, n);
            if (round == 1)
                g_ptr_array_remove_range(results, 3, 5);
        }
        context = pd_context_new(eval->corpus, model, PD_READ_SWEPT, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(context->tier, ==, kv);
        g_clear_pointer(&to, g_free);
    }
    fixture_remove(dir);
}

/* Files written by hand: what is damaged is told from what is not this run's and what is cut. */
static void
test_answers(void)
{
    static const char lines[] =
        "{\"run\":\"r\",\"tokens\":4096,\"task\":\"hops\",\"subtask\":\"hops\",\"item\":2,"
        "\"depth\":null,"
        "\"arm\":\"rag\",\"question\":\"Who?\",\"gold\":[\"Kay\",\"Lee\"],\"places\":2,"
        "\"place\":\"a:1\",\"answer\":\"Kay\",\"right\":true,\"refused\":false,\"withheld\":"
        "\"Lee\","
        "\"withheld_right\":true,\"support\":-0.5,\"rank\":3,"
        "\"blocks\":64,\"read\":true,\"citations\":1,\"cited\":true,\"prompt_tokens\":77,"
        "\"seconds\":1.5}\n"
        "{\"run\":\"other\",\"tokens\":4096}\n"
        "not JSON\n"
        "{\"run\":\"r\",\"tokens\":4096,\"task\":\"hops\"}\n"
        "{\"run\":\"r\",\"tokens\":4096,\"task\":\"hops\",\"subt";
    char *dir = fixture_folder();
    g_autofree char *path = g_build_filename(dir, "answers.jsonl", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(path, lines, -1, NULL));
    for (int round = 0; round < 3; round++) {
        g_autoptr(GPtrArray) results =
            g_ptr_array_new_with_free_func((GDestroyNotify)pd_eval_result_free);
        g_autoptr(PdEvalAnswers) answers = pd_eval_answers_open(path, "r", results, &error);
        PdEvalResult *result;

        g_assert_no_error(error);
        g_assert_cmpuint(results->len, ==, round ? 2 : 1);
        result = results->pdata[0];
        g_assert_cmpint(result->task, ==, PD_EVAL_HOPS);
        g_assert_cmpint(result->arm, ==, PD_EVAL_ARM_RAG);
        g_assert_cmpuint(result->length, ==, 4096);
        g_assert_cmpuint(result->index, ==, 2);
        g_assert_cmpstr(result->gold[1], ==, "Lee");
        g_assert_null(result->gold[2]);
        g_assert_cmpuint(result->rank, ==, 3);
        g_assert_true(result->ranked && result->right && result->read && result->cited);
        g_assert_true(result->answered);
        g_assert_cmpstr(result->withheld, ==, "Lee");
        g_assert_true(result->withheld_right && result->checked);
        g_assert_cmpfloat(result->support, ==, -0.5);
        g_assert_cmpfloat(result->seconds, ==, 1.5);
        /* The same question again, not ranked, and no answer: the later one stands. */
        if (round) {
            PdEvalResult *later = results->pdata[1];
            g_assert_false(later->ranked || later->answered);
            g_assert_cmpuint(later->n_blocks, ==, (guint)round);
            g_assert_cmpstr(later->withheld, ==, "Lee");
        }
        result->index = 5;
        result->ranked = FALSE;
        g_clear_pointer(&result->answer, g_free);
        result->answered = FALSE;
        result->n_blocks = (guint)round + 1;
        g_assert_true(pd_eval_answers_add(answers, result, &error));
    }
    fixture_remove(dir);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/eval/wilson", test_wilson);
    g_test_add_func("/eval/planting", test_planting);
    g_test_add_func("/eval/going_on", test_going_on);
    g_test_add_func("/eval/run", test_run);
    g_test_add_func("/eval/answers", test_answers);
    return g_test_run();
}
