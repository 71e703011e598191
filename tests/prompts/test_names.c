/* Names in questions: which words count, and whether passages hold them. */
#include "prompts/names.h"

#include "prompts_fixture.h"

static void
test_question(void)
{
    const struct {
        const char *question;
        const char *names; /* with a blank behind each */
    } cases[] = {
        {"", ""},
        {"who charges what?", ""},
        {"Who maintains the Casiris 536 driver?", "Casiris 536 "},
        {"How much of invoice SK-0231 did NHO pay?", "SK 0231 NHO "},
        /* the first word of a sentence or quotation may be any */
        {"Give its name. \"Try to find a load function for Lua.\" (Then stop.)", "Lua "},
        {"Where?\nIs it \xe2\x80\x9cHere\xe2\x80\x9d or Thither?", "Thither "},
        /* a capital inside, and identifiers */
        {"GetKey or iOS or max_entries?", "GetKey iOS "},
        {"Is A or I a name?", ""},
        /* dates and amounts are written in many ways, plain numbers are not */
        {"What was said on 18 January 2025, Monday?", "18 2025 "},
        {"What of 2025-01-18, 1,500.25, 18/1 and version 8.0?", ""},
        {"room 12/B and 12-", "12 "},
        {"Did Tom\xc3\xa1s tell \xc3\x93 Briain, did TOM\xc3\x81S?", "Tom\xc3\xa1s Briain "},
        {"What did Red Hat and red hat say Which Who", "Red Hat "},
        {"Wie viele Patienten hat die Station in Casfioford 7 von McKay?", "7 McKay "},
        {"What did Die Zeit say of Casfioford?", "Die Zeit Casfioford "},
        {"broken \xff Bytes", "Bytes "},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) names = pd_names(cases[i].question);
        g_autoptr(GString) joined = g_string_new(NULL);

        for (guint j = 0; j < names->len; j++)
            g_string_append_printf(joined, "%s ", (char *)names->pdata[j]);
        g_assert_cmpstr(joined->str, ==, cases[i].names);
    }
}

/* Passages of the first text alone, of its first n tokens (a byte each). */
static void
assert_unread(World *world, guint n_tokens, const char *question, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    g_autoptr(GPtrArray) names = NULL;
    g_autoptr(GString) joined = g_string_new(NULL);
    PdPassage passage = {.number = 1, .segment = 0, .n_tokens = n_tokens};

    g_array_append_val(passages, passage);
    names = pd_names_unread(world->context, passages, question, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < names->len; i++)
        g_string_append_printf(joined, "%s ", (char *)names->pdata[i]);
    g_assert_cmpstr(joined->str, ==, expected);
}

static void
test_unread(void)
{
    static const char text[] = "The Monsanminsters of SOUTH Pier 9 sold xk12 and Ink.";
    const TestDocument documents[] = {{PD_KIND_TEXT, "harbour-7.txt", text, -1},
                                      {PD_KIND_TEXT, "other.txt", "Casiris", -1}};
    char *dir = fixture_folder();
    g_autoptr(PdModel) model = fixture_model();
    World world;

    fixture_add(dir, model, "/names", documents, G_N_ELEMENTS(documents));
    world_open(&world, dir, model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    assert_unread(&world, sizeof text - 1, "Who sells ink?", "");
    assert_unread(&world, sizeof text - 1, "Did South Monsanminster sell to Casiris?", "Casiris ");
    /* a longer word may end otherwise, a shorter one or one with a digit may not */
    assert_unread(&world, sizeof text - 1, "Is it Monsanminstern, Monsanville or Inks?",
                  "Monsanville Inks ");
    assert_unread(&world, sizeof text - 1, "Is it XK12, XK13, Pier 9 or Pier 99?", "XK13 99 ");
    /* the header is read too */
    assert_unread(&world, sizeof text - 1, "Is it in Harbour 7 or Harbour 8?", "8 ");
    /* only what is read */
    assert_unread(&world, 18, "Does Monsanminster own Pier 9?", "Pier 9 ");
    world_close(&world);
    fixture_remove(dir);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/names/question", test_question);
    g_test_add_func("/names/unread", test_unread);
    return g_test_run();
}
