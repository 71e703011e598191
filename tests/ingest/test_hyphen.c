/*
 * Words that lines of a page break: what a reader of the page reads, written out by hand, and the
 * way back to the lines as they are printed.
 */
#include <string.h>
#include "ingest/hyphen.h"
#include "ingest/model_text.h"

static const struct {
    const char *what;
    const char *printed; /* a page; after \f the next one */
    const char *read;
} cases[] = {
    {"a broken word", "an exam-\nple of it\n", "an example of it\n"},
    {"U+2010 and the soft hyphen", "an exam\u2010\nple, also re\u00ad\nlaxed\n",
     "an example, also relaxed\n"},
    {"twice in one word", "the inter-\nnation-\nalisation\n", "the internationalisation\n"},
    {"letters beyond ASCII", "die Ge\u00fcb-\nte und Gr\u00f6\u00dfen-\nordnung\n",
     "die Ge\u00fcbte und Gr\u00f6\u00dfenordnung\n"},
    {"no other line's end goes", "one\ntwo - \nthree -\nfour\n\nfive-",
     "one\ntwo - \nthree -\nfour\n\nfive-"},
    {"a hyphen that the word has elsewhere", "long-term risks and long-\nterm gains\n",
     "long-term risks and long-term gains\n"},
    {"a word that is elsewhere without one", "a database is a data-\nbase\n",
     "a database is a database\n"},
    {"the other pages say it too", "in the data-\nbase\n\fdatabase\n",
     "in the database\n\fdatabase\n"},
    {"what is as often so as so", "re-sign, resign, re-\nsign\n", "re-sign, resign, re-sign\n"},
    {"prefixes that keep it", "a non-\nexclusive and self-\nmade one\n",
     "a non-exclusive and self-made one\n"},
    {"one that begins other compounds", "anti-bribery and anti-\ncorruption rules\n",
     "anti-bribery and anti-corruption rules\n"},
    {"two words that are there alone", "a well of known facts, well-\nknown\n",
     "a well of known facts, well-known\n"},
    {"a longer compound", "state-of-the-\nart, out-of-\npocket-costs\n",
     "state-of-the-art, out-of-pocket-costs\n"},
    {"a letter alone is no half of a word", "an e-\nmail\n", "an e-mail\n"},
    {"a half that waits for its word", "short-\nand long-term; Haupt-\nund Nebensatz\n",
     "short-\nand long-term; Haupt-\nund Nebensatz\n"},
    {"capitals may be a name", "Smith-\nJones\nNON-\nINFRINGEMENT\n",
     "Smith-\nJones\nNON-\nINFRINGEMENT\n"},
    {"a name that is there with it", "Anglo-Saxon, Anglo-\nSaxon\n", "Anglo-Saxon, Anglo-Saxon\n"},
    {"addresses, paths, names of programs",
     "see http://host/long-\npath and a_long-\nname, b/c-\nd, v1.2-\nbeta, kay@a-\nhost\n",
     "see http://host/long-\npath and a_long-\nname, b/c-\nd, v1.2-\nbeta, kay@a-\nhost\n"},
    {"cells of a table", "costs\tpass-\nlevied\tthrough\n", "costs\tpass-\nlevied\tthrough\n"},
    {"a column's end, where the document knows the word", "the exam-\n\nple and an example\n",
     "the example and an example\n"},
    {"and where it does not", "the exam-\n\nple\n", "the exam-\n\nple\n"},
    {"not from one page to the next", "the exam-\f\nple\n", "the exam-\f\nple\n"},
};

static PdDocument *
pages(PdDocumentKind kind, const char *text)
{
    PdDocument *document = pd_document_new(kind, "");
    g_auto(GStrv) list = g_strsplit(text, "\f", -1);
    for (guint i = 0; list[i]; i++) {
        g_autofree char *path = g_strdup_printf("page/%u", i + 1);
        g_string_append(pd_document_add_part(document, path, NULL)->text, list[i]);
    }
    return document;
}

static void
assert_read(const PdDocument *document, const char *printed, const char *read)
{
    g_auto(GStrv) were = g_strsplit(printed, "\f", -1);
    g_auto(GStrv) are = g_strsplit(read, "\f", -1);
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        g_assert_cmpstr(part->text->str, ==, are[i]);
        if (!part->view) {
            g_assert_cmpstr(part->text->str, ==, were[i]);
            continue;
        }
        g_autoptr(GString) original =
            pd_text_view_original(part->view, part->text->str, part->text->len);
        g_assert_cmpstr(original->str, ==, were[i]);
    }
}

static void
test_cases(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PdDocument) document = pages(PD_KIND_PDF, cases[i].printed);
        g_test_message("%s", cases[i].what);
        pd_model_text_make(document, TRUE);
        assert_read(document, cases[i].printed, cases[i].read);
    }
}

/* A citation of a word that was made whole covers both lines, one beside it its own alone. */
static void
test_way_back(void)
{
    static const char printed[] = "before exam-\nple behind";
    g_autoptr(PdDocument) document = pages(PD_KIND_PDF, printed);
    const PdPart *part = g_ptr_array_index(document->parts, 0);
    static const char *const quotes[][2] = {
        {"before", "before"},
        {"example", "exam-\nple"},
        {"behind", "behind"},
        {"before example behind", printed},
    };
    pd_model_text_make(document, TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(quotes); i++) {
        guint32 at = (guint32)(strstr(part->text->str, quotes[i][0]) - part->text->str);
        guint32 start = pd_text_view_start(part->view, at);
        guint32 end = pd_text_view_end(part->view, at + (guint32)strlen(quotes[i][0]));
        g_autofree char *there = g_strndup(printed + start, end - start);
        g_assert_cmpstr(there, ==, quotes[i][1]);
    }
}

/* What is masked stays so, and what only touches it as it is printed. */
static void
test_masked(void)
{
    static const char printed[] = "an exam-\nple, hid-\nden exam-\nple";
    g_autoptr(PdDocument) document = pages(PD_KIND_PDF, printed);
    PdPart *part = g_ptr_array_index(document->parts, 0);
    PdTextRange hidden = {(guint32)(strstr(printed, "hid") - printed),
                          (guint32)(strstr(printed, "den") - printed) + 3};
    part->hidden = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    g_array_append_val(part->hidden, hidden);
    pd_model_text_make(document, TRUE);
    assert_read(document, printed, "an example, [hidden text] example");
}

/* Nothing but pages of PDFs has lines that somebody else broke. */
static void
test_elsewhere(void)
{
    static const char text[] = "an exam-\nple";
    g_autoptr(PdDocument) plain = pages(PD_KIND_TEXT, text);
    g_autoptr(PdDocument) pdf = pages(PD_KIND_PDF, text);
    PdPart *comment = pd_document_add_part(pdf, "page/1/comments", NULL);
    g_string_append(comment->text, "as some-\nbody typed it");
    pd_model_text_make(plain, TRUE);
    assert_read(plain, text, text);
    pd_model_text_make(pdf, FALSE);
    assert_read(pdf, "an exam-\nple\fas some-\nbody typed it",
                "an example\fas some-\nbody typed it");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hyphen/cases", test_cases);
    g_test_add_func("/hyphen/way-back", test_way_back);
    g_test_add_func("/hyphen/masked", test_masked);
    g_test_add_func("/hyphen/elsewhere", test_elsewhere);
    return g_test_run();
}
