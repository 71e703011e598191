/*
 * Planted facts.  That question and statement of a paraphrase share no word is checked with a
 * crude stemmer of its own: endings are cut, and of what is left four letters decide.
 */
#include <glib.h>
#include <string.h>

#include "prompts/facts.h"

#define N_KINDS (PD_FACT_ABSENT + 1)

static const char *const stop_words[] = {
    "a",     "about", "after", "all",    "alone", "an",   "and",     "are",  "as",
    "at",    "be",    "been",  "before", "by",    "call", "can",     "did",  "do",
    "does",  "down",  "for",   "from",   "get",   "had",  "has",     "have", "how",
    "i",     "in",    "into",  "is",     "it",    "its",  "long",    "many", "may",
    "more",  "much",  "must",  "not",    "now",   "of",   "off",     "on",   "only",
    "or",    "our",   "out",   "should", "since", "s",    "so",      "that", "the",
    "their", "to",    "under", "up",     "was",   "were", "what",    "when", "where",
    "which", "who",   "whom",  "whose",  "will",  "with", "without", NULL};

static char *
stem(const char *word)
{
    static const char *const endings[] = {"ing", "edly", "ed", "ies", "es", "ly", "s", NULL};
    g_autofree char *lower = g_ascii_strdown(word, -1);

    for (int i = 0; endings[i]; i++)
        if (strlen(lower) > strlen(endings[i]) + 2 && g_str_has_suffix(lower, endings[i])) {
            lower[strlen(lower) - strlen(endings[i])] = '\0';
            break;
        }
    return g_strndup(lower, 5);
}

static GHashTable *
content_stems(const char *text)
{
    GHashTable *stems = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) words = g_strsplit_set(text, " ,.?!:;'\"-<>=", -1);

    for (int i = 0; words[i]; i++) {
        g_autofree char *lower = g_ascii_strdown(words[i], -1);
        if (*lower && !g_strv_contains(stop_words, lower))
            g_hash_table_add(stems, stem(words[i]));
    }
    return stems;
}

static void
test_paraphrases_share_no_word(void)
{
    for (int split = PD_FACTS_TRAIN; split <= PD_FACTS_TEST; split++) {
        g_autoptr(GPtrArray) facts = pd_facts_new(PD_FACT_PARAPHRASE, split, 7, 200);
        for (guint i = 0; i < facts->len; i++) {
            PdFact *fact = g_ptr_array_index(facts, i);
            g_autoptr(GHashTable) asked = content_stems(fact->question);
            g_autoptr(GHashTable) said = content_stems(g_ptr_array_index(fact->sentences, 0));
            GHashTableIter iter;
            gpointer word;

            g_assert_cmpuint(g_hash_table_size(asked), >=, 2);
            g_hash_table_iter_init(&iter, asked);
            while (g_hash_table_iter_next(&iter, &word, NULL))
                if (g_hash_table_contains(said, word))
                    g_error("\"%s\" of \"%s\" is in \"%s\"", (char *)word, fact->question,
                            (char *)g_ptr_array_index(fact->sentences, 0));
        }
    }
}

/* At least 40 pairs, each used once before any is used again. */
static void
test_pairs_take_turns(void)
{
    for (int split = PD_FACTS_TRAIN; split <= PD_FACTS_TEST; split++) {
        g_autoptr(GPtrArray) facts = pd_facts_new(PD_FACT_PARAPHRASE, split, 3, 40);
        g_autoptr(GHashTable) questions = g_hash_table_new(g_str_hash, g_str_equal);
        for (guint i = 0; i < facts->len; i++)
            g_assert_true(
                g_hash_table_add(questions, ((PdFact *)g_ptr_array_index(facts, i))->question));
    }
}

static void
test_splits_are_disjoint(void)
{
    g_autoptr(GHashTable) train = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (int split = PD_FACTS_TRAIN; split <= PD_FACTS_TEST; split++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            g_autoptr(GPtrArray) facts = pd_facts_new(kind, split, 1, 700);
            for (guint i = 0; i < facts->len; i++) {
                PdFact *fact = g_ptr_array_index(facts, i);
                if (split == PD_FACTS_TRAIN)
                    g_hash_table_add(train, g_strdup(fact->question));
                else if (g_hash_table_contains(train, fact->question))
                    g_error("in both splits: %s", fact->question);
                for (guint a = 0; a < fact->accept->len; a++) {
                    const char *answer = g_ptr_array_index(fact->accept, a);
                    if (split == PD_FACTS_TRAIN)
                        g_hash_table_add(train, g_strdup(answer));
                    else if (g_hash_table_contains(train, answer))
                        g_error("in both splits: %s", answer);
                }
            }
        }
}

static void
test_reproducible(void)
{
    for (int kind = 0; kind < N_KINDS; kind++) {
        g_autoptr(GPtrArray) once = pd_facts_new(kind, PD_FACTS_TEST, 42, 60);
        g_autoptr(GPtrArray) again = pd_facts_new(kind, PD_FACTS_TEST, 42, 60);
        g_autoptr(GPtrArray) other = pd_facts_new(kind, PD_FACTS_TEST, 43, 60);
        guint n_same = 0;

        for (guint i = 0; i < once->len; i++) {
            PdFact *a = g_ptr_array_index(once, i), *b = g_ptr_array_index(again, i);
            PdFact *c = g_ptr_array_index(other, i);
            g_assert_cmpstr(a->question, ==, b->question);
            g_assert_cmpuint(a->sentences->len, ==, b->sentences->len);
            for (guint s = 0; s < a->sentences->len; s++)
                g_assert_cmpstr(g_ptr_array_index(a->sentences, s), ==,
                                g_ptr_array_index(b->sentences, s));
            n_same += strcmp(a->question, c->question) == 0;
        }
        g_assert_cmpuint(n_same, <, 10);
    }
}

static void
test_no_duplicates(void)
{
    for (int split = PD_FACTS_TRAIN; split <= PD_FACTS_TEST; split++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            g_autoptr(GPtrArray) facts = pd_facts_new(kind, split, 5, 500);
            g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

            g_assert_cmpuint(facts->len, ==, 500);
            for (guint i = 0; i < facts->len; i++) {
                PdFact *fact = g_ptr_array_index(facts, i);
                g_assert_null(strpbrk(fact->question, "{}"));
                if (kind != PD_FACT_PARAPHRASE)
                    g_assert_true(g_hash_table_add(seen, fact->question));
                for (guint s = 0; s < fact->sentences->len; s++) {
                    char *sentence = g_ptr_array_index(fact->sentences, s);
                    g_assert_null(strpbrk(sentence, "{}"));
                    g_assert_true(g_hash_table_add(seen, sentence));
                }
            }
        }
}

/* The sentences together give the answer, the question never does. */
static void
test_answer_is_in_the_sentences(void)
{
    static const guint n_sentences[N_KINDS] = {1, 1, 3, 1, 2, 0};

    for (int kind = 0; kind < N_KINDS; kind++) {
        g_autoptr(GPtrArray) facts = pd_facts_new(kind, PD_FACTS_TRAIN, 11, 100);
        for (guint i = 0; i < facts->len; i++) {
            PdFact *fact = g_ptr_array_index(facts, i);
            g_autoptr(GString) all = g_string_new(NULL);

            g_assert_cmpuint(fact->sentences->len, ==, n_sentences[kind]);
            for (guint s = 0; s < fact->sentences->len; s++) {
                g_string_append_printf(all, " %s", (char *)g_ptr_array_index(fact->sentences, s));
                if (kind == PD_FACT_MULTI_VALUE && s < 2)
                    g_assert_false(pd_fact_answered(fact, all->str));
            }
            g_assert_cmpint(pd_fact_answered(fact, all->str), ==, kind != PD_FACT_ABSENT);
            g_assert_false(pd_fact_answered(fact, fact->question));
            g_assert_cmpint(fact->accept->len == 0, ==, kind == PD_FACT_ABSENT);
        }
    }
}

/* Four neighbouring keys share all but their last group. */
static void
test_keys_look_alike(void)
{
    g_autoptr(GPtrArray) facts = pd_facts_new(PD_FACT_KEY_VALUE, PD_FACTS_TEST, 2, 8);

    for (guint i = 0; i < facts->len; i++) {
        const char *first = ((PdFact *)g_ptr_array_index(facts, i / 4 * 4))->question;
        const char *other = ((PdFact *)g_ptr_array_index(facts, i))->question;
        const char *group = strrchr(first, '-');
        g_assert_true(strncmp(first, other, (gsize)(group - first)) == 0);
    }
}

static PdFact
fact_of(PdFactKind kind, GPtrArray *accept)
{
    return (PdFact){.kind = kind, .accept = accept};
}

static void
test_scoring(void)
{
    static const struct {
        const char *accept, *answer;
        gboolean answered;
    } cases[] = {
        {"12", "There are 12 of them.", TRUE},
        {"12", "There are 120 of them.", FALSE},
        {"12", "There are 312 of them.", FALSE},
        {"12", "It weighs 12.5 grams.", FALSE},
        {"12", "It costs 1,12", FALSE},
        {"12", "12,000 people", FALSE},
        {"12", "It weighs 12kg, 120 with the box.", TRUE},
        {"12", "First 120, then 12", TRUE},
        {"12", "B12", FALSE},
        {"4,870", "about 4,870 euros", TRUE},
        {"Lund", "It is in LUND.", TRUE},
        {"Lund", "Ask Lundgren.", FALSE},
        {"Tarn Street", "on  tarn\n street, I think", TRUE},
        {"a3f-9", "ba3f-9", FALSE},
        {"Lund", "", FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) accept = g_ptr_array_new();
        PdFact fact = fact_of(PD_FACT_LITERAL, accept);
        g_ptr_array_add(accept, (gpointer) "never this");
        g_ptr_array_add(accept, (gpointer)cases[i].accept);
        if (pd_fact_answered(&fact, cases[i].answer) != cases[i].answered)
            g_error("%s in \"%s\"", cases[i].accept, cases[i].answer);
    }
}

static void
test_all_values_are_needed(void)
{
    g_autoptr(GPtrArray) accept = g_ptr_array_new();
    PdFact fact = fact_of(PD_FACT_MULTI_VALUE, accept);
    PdFact absent = fact_of(PD_FACT_ABSENT, accept);

    g_ptr_array_add(accept, (gpointer) "Lund");
    g_ptr_array_add(accept, (gpointer) "12");
    g_assert_true(pd_fact_answered(&fact, "12 in Lund"));
    g_assert_false(pd_fact_answered(&fact, "120 in Lund"));
    g_assert_false(pd_fact_answered(&absent, "12 in Lund"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/facts/paraphrases-share-no-word", test_paraphrases_share_no_word);
    g_test_add_func("/facts/pairs-take-turns", test_pairs_take_turns);
    g_test_add_func("/facts/splits-are-disjoint", test_splits_are_disjoint);
    g_test_add_func("/facts/reproducible", test_reproducible);
    g_test_add_func("/facts/no-duplicates", test_no_duplicates);
    g_test_add_func("/facts/answer-is-in-the-sentences", test_answer_is_in_the_sentences);
    g_test_add_func("/facts/keys-look-alike", test_keys_look_alike);
    g_test_add_func("/facts/scoring", test_scoring);
    g_test_add_func("/facts/all-values-are-needed", test_all_values_are_needed);
    return g_test_run();
}
