/* The recall certificate: intervals against published values, and planting in a corpus of its own:
 * every place walks back to its sentence, nothing else has changed, the same seed plans the same.
 */
#include "prompts_fixture.h"
#include "prompts/eval.h"

#include <string.h>

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

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/eval/wilson", test_wilson);
    g_test_add_func("/eval/planting", test_planting);
    return g_test_run();
}
