/*
 * Quotes in HTML mails, as programs write them: "> " before their lines, folded in the model's view
 * and restored like those of plain text.
 */
#include <string.h>
#include "corpus_fixture.h"

#define OFFER "The fee for the survey is fixed at EUR 51,200, extra work costs EUR 820 a day."
#define NOTICE "Either side may end it with thirty days' notice in writing, at any time."
#define WROTE "On Mon, May 14, 2001 at 10:21 AM Kay Smith <kay@example.org> wrote:\n"
#define QUOTED "> " OFFER "\n>\n> " NOTICE "\n"
#define MARK "[quoted: Kay Smith, 2001-05-14]\n"

static const struct {
    const char *name, *html, *original, *model;
} mails[] = {
    {"gmail.eml",
     "<div dir=\"ltr\">Agreed.</div><br><div class=\"gmail_quote\"><div dir=\"ltr\" "
     "class=\"gmail_attr\">On Mon, May 14, 2001 at 10:21 AM Kay Smith &lt;<a "
     "href=\"mailto:kay@example.org\">kay@example.org</a>&gt; wrote:<br></div><blockquote "
     "class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;border-left:1px solid "
     "rgb(204,204,204);padding-left:1ex\"><p>" OFFER "</p><p>" NOTICE "</p></blockquote></div>",
     "Agreed.\n\n" WROTE "\n" QUOTED, "Agreed.\n\n" MARK},
    {"thunderbird.eml",
     "<p>No:</p><div class=\"moz-cite-prefix\">On 5/14/01 10:21 AM, Kay Smith wrote:<br></div>"
     "<blockquote type=\"cite\" cite=\"mid:1@example.org\"><pre class=\"moz-quote-pre\" wrap=\"\">"
     "The fee for the survey is fixed at EUR 51,200, extra\nwork costs EUR 820 a day.\n\n" NOTICE
     "\n</pre></blockquote><p>Thirty days are too short.</p>",
     "No:\n\nOn 5/14/01 10:21 AM, Kay Smith wrote:\n\n> The fee for the survey is fixed at EUR "
     "51,200, extra\n> work costs EUR 820 a day.\n> \n> " NOTICE
     "\n> \n\nThirty days are too short.\n",
     "No:\n\n" MARK "> \n> " NOTICE "\n> \n\nThirty days are too short.\n"},
    /* Apple's attribution stands inside; a quote in the quote that nobody here wrote stays. */
    {"apple.eml",
     "Fine.<br><div><blockquote type=\"cite\"><div>On 14 May 2001, at 10:21, Kay Smith &lt;"
     "kay@example.org&gt; wrote:</div><br class=\"Apple-interchange-newline\"><div>" OFFER
     "<blockquote type=\"cite\">Whatever was asked before that is kept by nobody else in "
     "here.</blockquote></div></blockquote></div>",
     "Fine.\n\n> On 14 May 2001, at 10:21, Kay Smith <kay@example.org> wrote:\n> \n> " OFFER
     "\n>\n> > Whatever was asked before that is kept by nobody else in here.\n",
     "Fine.\n\n" MARK ">\n> > Whatever was asked before that is kept by nobody else in here.\n"},
    {"outlook.eml",
     "<p class=MsoNormal>See below.</p><div style='border:none;border-top:solid #E1E1E1 1.0pt;"
     "padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>Von:</b> Kay Smith &lt;kay@example.org&gt;"
     "<br><b>Gesendet:</b> Montag, 14. Mai 2001 10:21<br><b>An:</b> Ann Lee<br><b>Betreff:</b> "
     "Fee</p></div><p class=MsoNormal>&nbsp;</p><p class=MsoNormal>" OFFER
     "</p><p class=MsoNormal>" NOTICE "</p>",
     "See below.\n\nVon: Kay Smith <kay@example.org>\nGesendet: Montag, 14. Mai 2001 10:21\n"
     "An: Ann Lee\nBetreff: Fee\n\n\xc2\xa0\n\n" OFFER "\n\n" NOTICE "\n",
     "See below.\n\n" MARK},
    {"outlook.com.eml",
     "<div>Yes.</div><hr><div id=\"divRplyFwdMsg\" dir=\"ltr\"><font><b>From:</b> Kay Smith<br>"
     "<b>Sent:</b> Monday, May 14, 2001 10:21 AM<br><b>To:</b> Ann Lee<br></font><div>&nbsp;</div>"
     "</div><div>" OFFER "<br>" NOTICE "</div>",
     "Yes.\n\nFrom: Kay Smith\nSent: Monday, May 14, 2001 10:21 AM\nTo: Ann Lee\n\xc2\xa0\n" OFFER
     "\n" NOTICE "\n",
     "Yes.\n\n" MARK},
    /* Gmail's way of indenting a paragraph is no quote, and so the mail's own. */
    {"indented.eml",
     "<div>My terms:</div><blockquote style=\"margin:0 0 0 40px;border:none;padding:0px\">Sixty "
     "days, and not a day less than that, for either side.</blockquote>",
     "My terms:\n\nSixty days, and not a day less than that, for either side.\n",
     "My terms:\n\nSixty days, and not a day less than that, for either side.\n"},
};

static void
put_mail(const char *folder, const char *name, const char *from, int day, const char *type,
         const char *body)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *mail = g_strdup_printf(
        "From: %s\nTo: all@example.org\nSubject: Fee\nMessage-ID: <%s@example.org>\n"
        "Date: Mon, %d May 2001 10:21:00 +0000\nMIME-Version: 1.0\n"
        "Content-Type: text/%s; charset=utf-8\n\n%s\n",
        from, name, day, type, body);
    g_assert_true(g_file_set_contents(path, mail, -1, NULL));
}

/* The text of the mail in a file of that name. */
static PdPartRow *
body_of(PdCorpus *corpus, const char *name)
{
    g_autoptr(GPtrArray) documents = pd_corpus_documents(corpus, NULL, NULL);
    for (guint i = 0; i < documents->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(documents, i);
        if (!g_str_equal(row->key, name))
            continue;
        g_autoptr(GPtrArray) parts = pd_corpus_parts(corpus, row->id, NULL);
        g_assert_cmpuint(parts->len, ==, 2);
        g_ptr_array_set_free_func(parts, NULL);
        pd_part_row_free(g_ptr_array_index(parts, 0));
        return g_ptr_array_index(parts, 1);
    }
    g_error("%s is not in the corpus", name);
}

static void
test_quotes(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    char *folder = make_folder(), *dir = make_folder();
    put_mail(folder, "kay.eml", "Kay Smith <kay@example.org>", 14, "plain",
             "Dear Ann,\n\n" OFFER "\n\n" NOTICE "\n");
    for (gsize i = 0; i < G_N_ELEMENTS(mails); i++)
        put_mail(folder, mails[i].name, "Ann Lee <ann.lee@example.org>", 15, "html", mails[i].html);
    PdCorpus *corpus = open_corpus(dir, PD_CORPUS_CREATE);
    PdAddReport report;
    pd_corpus_add(corpus, folder, tokenizer, NULL, &report, NULL, &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(mails); i++) {
        g_autoptr(PdPartRow) part = body_of(corpus, mails[i].name);
        g_autoptr(GString) original = pd_part_row_original(part, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(original->str, ==, mails[i].original);
        g_assert_cmpstr(part->text, ==, mails[i].model);
    }
    pd_corpus_free(corpus);
    assert_sound(dir);
    remove_folder(folder);
    remove_folder(dir);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/html-mail/quotes", test_quotes);
    return g_test_run();
}
