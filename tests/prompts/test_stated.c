/* Whether one sentence has the words of question and answer. */
#include "prompts/stated.h"

#include <math.h>
#include "prompts/support.h"
#include "prompts_fixture.h"

static const char harbour[] =
    "The ward in Casfioford discharged 762 patients. The ward in Abnevport discharged 162 of them. "
    "A swan blocked the lock gate at Lorprabridge. The lease of the north pier ends on 4 May. "
    "It was signed by Ines Okafor. The total comes to 12,500 euros. Invoice 7 was not paid by NHO.";

typedef struct {
    const char *question;
    const char *answer;
    PdStated stated;
} Case;

static void
assert_cases(const char *text, gboolean lines, const Case *cases, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        PdStated stated =
            pd_stated_in(text, 0, (guint32)strlen(text), lines, cases[i].question, cases[i].answer);
        g_test_message("case %" G_GSIZE_FORMAT, i);
        g_assert_cmpint(stated, ==, cases[i].stated);
    }
}

static void
test_sentences(void)
{
    static const Case cases[] = {
        {"How many patients did the ward in Casfioford discharge?",
         "The ward in Casfioford discharged 762 patients.", PD_STATED_BOTH},
        {"How many patients did the ward in Casfioford discharge?", "762", PD_STATED_BOTH},
        /* what stands in two sentences is not said by one */
        {"How many patients did the ward in Casfioford discharge?", "162", PD_STATED_NOT},
        {"How many patients did the ward in Monsanport discharge?",
         "The ward in Casfioford discharged 762 patients.", PD_STATED_NOT},
        /* a number that is not there, though all other words are */
        {"What is the total?", "The total comes to 12,600 euros.", PD_STATED_NOT},
        {"What is the total?", "The total comes to 12,500 euros.", PD_STATED_BOTH},
        /* a name that is not there */
        {"Who signed it?", "It was signed by Ines Okafor.", PD_STATED_BOTH},
        {"Who signed it?", "It was signed by Ines Marwick.", PD_STATED_NOT},
        /* the answer as it stands there, asked in other words */
        {"Where was canal navigation obstructed by a waterfowl?",
         "A swan blocked the lock gate at Lorprabridge.", PD_STATED_ANSWER},
        {"Where was canal navigation obstructed by a waterfowl?", "At Lorprabridge.",
         PD_STATED_NOT},
        {"Where did Ines see a waterfowl?", "A swan blocked the lock gate at Lorprabridge.",
         PD_STATED_NOT},
        /* nothing but the question again */
        {"When does the lease of the north pier end?", "The lease of the north pier ends.",
         PD_STATED_NOT},
        {"When does it end?", "It ended.", PD_STATED_NOT},
        {"When does the pier lease end?", "4 May", PD_STATED_BOTH},
        {"", "", PD_STATED_NOT},
        {"\xff\xfe", "762 \xff", PD_STATED_BOTH},
    };

    assert_cases(harbour, FALSE, cases, G_N_ELEMENTS(cases));
}

/* A sentence may run over two lines, not over three, and ends at a full stop or a blank line. */
static void
test_lines(void)
{
    static const char text[] = "/* Entries are\n * kept for 90\n * days. */\nint max_age = 90;\n"
                               "Gates close early.\nIt is 7 then.\n\nfares\n\nfrom 12 on\n";
    static const Case cases[] = {
        {"What are entries kept for?", "90 days", PD_STATED_NOT},
        {"What are entries kept for?", "90", PD_STATED_BOTH},
        {"What is max_age?", "max_age = 90", PD_STATED_BOTH},
        {"When do gates close?", "7", PD_STATED_NOT},
        {"What are fares?", "from 12 on", PD_STATED_NOT},
        {"What is max_ages?", "max_age = 90", PD_STATED_NOT},
    };

    assert_cases(text, TRUE, cases, G_N_ELEMENTS(cases));
}

/* Of passages only those that are cited, and of these only their own bytes. */
static void
test_passages(void)
{
    const TestDocument documents[] = {{PD_KIND_TEXT, "harbour.txt", harbour, -1},
                                      {PD_KIND_TEXT, "other.txt", "Nothing of it.", -1}};
    const struct {
        guint segment, first_token, n_tokens, cited;
        PdStated stated;
    } cases[] = {
        {0, 0, 60, 0, PD_STATED_BOTH},
        {0, 0, 36, 0, PD_STATED_NOT},
        {0, 0, 60, 1, PD_STATED_NOT},
    };
    char *dir = fixture_folder();
    g_autoptr(PdModel) model = fixture_model();
    World world;

    fixture_add(dir, model, "/stated", documents, G_N_ELEMENTS(documents));
    world_open(&world, dir, model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
        g_autoptr(GArray) citations = g_array_new(FALSE, FALSE, sizeof(PdCitation));
        PdPassage all[] = {{.number = 1,
                            .segment = cases[i].segment,
                            .first_token = cases[i].first_token,
                            .n_tokens = cases[i].n_tokens},
                           {.number = 2, .segment = 1, .n_tokens = 14}};
        PdCitation citation = {.passage = cases[i].cited};
        PdStated stated = PD_STATED_ANSWER;

        g_array_append_vals(passages, all, G_N_ELEMENTS(all));
        g_array_append_val(citations, citation);
        g_assert_true(pd_stated(world.context, passages, citations,
                                "How many patients did the ward in Casfioford discharge?", "762",
                                &stated, &error));
        g_assert_no_error(error);
        g_assert_cmpint(stated, ==, cases[i].stated);
    }
    world_close(&world);
    fixture_remove(dir);
}

/* A sentence that says both weighs more than one that has the answer alone, and no word makes up
 * for log-odds that are no number. */
static void
test_evidence(void)
{
    for (int unread = FALSE; unread <= TRUE; unread++) {
        double none = pd_support_evidence(1.5, PD_STATED_NOT, unread);
        double answer = pd_support_evidence(1.5, PD_STATED_ANSWER, unread);
        double both = pd_support_evidence(1.5, PD_STATED_BOTH, unread);

        g_assert_cmpfloat(none, <, answer);
        g_assert_cmpfloat(answer, <, both);
    }
    g_assert_cmpfloat(pd_support_evidence(1.5, PD_STATED_NOT, FALSE), ==, 1.5);
    g_assert_cmpfloat(pd_support_evidence(1.5, PD_STATED_NOT, TRUE), <, 1.5);
    g_assert_true(isnan(pd_support_evidence(NAN, PD_STATED_BOTH, FALSE)));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stated/sentences", test_sentences);
    g_test_add_func("/stated/lines", test_lines);
    g_test_add_func("/stated/passages", test_passages);
    g_test_add_func("/stated/evidence", test_evidence);
    return g_test_run();
}
