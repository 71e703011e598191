/*
 * format=flowed: what each rule of RFC 3676 makes of a few lines, written out by hand from its
 * text, the way back to the lines that were sent, and a mail through its reader.
 */
#include <string.h>
#include "collect.h"
#include "ingest/flow.h"
#include "ingest/model_text.h"

/* The words of section 4's examples are Lewis Carroll's. */
static const struct {
    const char *rule; /* section, what it says */
    PdFlow flow;
    const char *sent;
    const char *read;
} cases[] = {
    {"4.1 flowed lines and the fixed one after them are a paragraph", PD_FLOW_FLOWED,
     "`Take some more tea,' the March Hare \nsaid to Alice, \nvery earnestly.\n\n"
     "`I've had nothing yet,' Alice replied.\n",
     "`Take some more tea,' the March Hare said to Alice, very earnestly.\n\n"
     "`I've had nothing yet,' Alice replied.\n"},
    {"4 without the parameter lines are as they are", PD_FLOW_FIXED, "one \n two \n> \n",
     "one \n two \n> \n"},
    {"4.1 DelSp: the space goes with the line break", PD_FLOW_DELSP,
     "\xe6\x97\xa5\xe6\x9c\xac \n\xe8\xaa\x9e\ntwo  \nwords\n",
     "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\ntwo words\n"},
    {"4.1 without DelSp all spaces are content", PD_FLOW_FLOWED, "two  \nwords\n", "two  words\n"},
    {"4.1 the text ends in a flowed line", PD_FLOW_FLOWED, "one \ntwo ", "one two "},
    {"4.1 the same under DelSp, also with its line break", PD_FLOW_DELSP, "one \ntwo \n",
     "onetwo\n"},
    {"4.1 an empty line is fixed", PD_FLOW_FLOWED, "one\n\ntwo \n\nthree\n",
     "one\n\ntwo \nthree\n"},
    {"4.1 a line of spaces is flowed, one space is stuffing only", PD_FLOW_FLOWED,
     "  \none\n \ntwo\n", " one\n\ntwo\n"},
    {"4.3 the signature's separator is neither flowed nor fixed", PD_FLOW_FLOWED,
     "Bye \n-- \nKay \nSmith\n", "Bye \n-- \nKay Smith\n"},
    {"4.3 nor is a quoted or stuffed one", PD_FLOW_FLOWED, "> Bye \n> -- \n> Kay\n -- \nKay\n",
     "> Bye \n> -- \n> Kay\n-- \nKay\n"},
    {"4.3 the separator is three characters, no more", PD_FLOW_FLOWED, "--  \nKay\n---- \nLee\n",
     "--  Kay\n---- Lee\n"},
    {"4.4 stuffing goes, one space of it", PD_FLOW_FLOWED, " From here\n  indented\nand \n on\n",
     "From here\n indented\nand on\n"},
    {"4.4 what it guards from being a quote keeps it", PD_FLOW_FLOWED, " > is greater than\n",
     " > is greater than\n"},
    {"4.5 a quoted paragraph has its quote marks once", PD_FLOW_FLOWED,
     "> You mean you can't take less, it's very \n> easy to take more \n>than nothing.\n> So.\n",
     "> You mean you can't take less, it's very easy to take more than nothing.\n> So.\n"},
    {"4.5 quote depth wins", PD_FLOW_FLOWED,
     ">> Take some more \n> I've had nothing \nyet.\n>> more \n>>>tea \n", /* all improper */
     ">> Take some more \n> I've had nothing \nyet.\n>> more \n>>>tea \n"},
    {"4.5 the same under DelSp", PD_FLOW_DELSP, "> one \ntwo \n>three\n", "> one\ntwo\n>three\n"},
    {"4.5 with and without a space, the depth is two", PD_FLOW_FLOWED, ">> Exit, \n>>Stage Left\n",
     ">> Exit, Stage Left\n"},
    {"4.5 a space between makes it one and a content that begins with one", PD_FLOW_FLOWED,
     "> > Exit, \n>> Stage Left\n> > Exit, \n> > Stage\n",
     "> > Exit, \n>> Stage Left\n> > Exit, > Stage\n"},
    {"4.5 a quoted line of stuffing only is empty, hence fixed", PD_FLOW_FLOWED,
     "> one \n> \n> two\n", "> one \n> two\n"},
    {"a line that is nowhere ended", PD_FLOW_FLOWED, " ", ""},
    {"no text", PD_FLOW_FLOWED, "", ""},
};

static void
test_rules(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) text = g_string_new(cases[i].sent);
        g_autoptr(PdTextView) view = pd_flow_view(text, NULL, cases[i].flow);
        if (strcmp(text->str, cases[i].read) != 0)
            g_test_message("%s", cases[i].rule);
        g_assert_cmpstr(text->str, ==, cases[i].read);
        g_assert_true((view == NULL) == (strcmp(cases[i].sent, cases[i].read) == 0));
        if (!view)
            continue;
        g_autoptr(GString) back = pd_text_view_original(view, text->str, text->len);
        g_assert_nonnull(back);
        g_assert_cmpstr(back->str, ==, cases[i].sent);
    }
}

/* Whatever is cited of a paragraph lies on the lines on which its words were sent. */
static void
test_way_back(void)
{
    static const char sent[] = "> One two \n> three \n> four\nfive\n";
    static const char *const words[] = {"One", "two", "three", "four", "five"};
    g_autoptr(GString) text = g_string_new(sent);
    g_autoptr(PdTextView) view = pd_flow_view(text, NULL, PD_FLOW_FLOWED);
    g_assert_cmpstr(text->str, ==, "> One two three four\nfive\n");
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        guint32 start = (guint32)(strstr(text->str, words[i]) - text->str);
        guint32 end = start + (guint32)strlen(words[i]);
        const char *there = strstr(sent, words[i]);
        g_assert_cmpuint(pd_text_view_start(view, start), ==, there - sent);
        g_assert_cmpuint(pd_text_view_end(view, end), ==, there - sent + strlen(words[i]));
    }
    /* The space before a break ends on the upper line; what follows it begins on the lower. */
    guint32 at = (guint32)strlen("> One two ");
    g_assert_cmpuint(pd_text_view_end(view, at), ==, at);
    g_assert_cmpuint(pd_text_view_start(view, at), ==, strlen("> One two \n> "));
}

/* Where something else stands for a stretch of the text, the lines around it stay apart. */
static void
test_between_marks(void)
{
    static const char sent[] = "one \n two \nthree SECRET four \nfive \nsix\n";
    g_autoptr(GString) text = g_string_new(sent);
    g_autoptr(GArray) marks = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    guint32 second = (guint32)(strstr(sent, " two") - sent);
    guint32 secret = (guint32)(strstr(sent, "SECRET") - sent);
    guint32 last = (guint32)(strstr(sent, "six") - sent);
    PdReplacement list[] = {{second, second + 5, "[quoted: Lee]", PD_MARK_QUOTE},
                            {secret, secret + 6, "[secret:jwt#1]", PD_MARK_SECRET},
                            {last, last + 4, "[footer]", PD_MARK_FOOTER}};
    g_array_append_vals(marks, list, G_N_ELEMENTS(list));
    g_autoptr(PdTextView) view = pd_flow_view(text, marks, PD_FLOW_FLOWED);
    g_assert_cmpstr(text->str, ==,
                    "one \n[quoted: Lee]\nthree [secret:jwt#1] four five \n[footer]");
    g_autoptr(GString) back = pd_text_view_original(view, text->str, text->len);
    g_assert_cmpstr(back->str, ==, sent);
    g_assert_cmpuint(pd_text_view_end(view, (guint32)text->len), ==, strlen(sent));
}

static PdFlow
flow_of_type(const char *content_type)
{
    g_autofree char *mail =
        g_strdup_printf("From: kay@x\nTo: lee@x\nSubject: s\nMIME-Version: 1.0\n"
                        "Content-Type: %s\n\none \ntwo\n",
                        content_type);
    g_autoptr(Collected) c = collect_text("a.eml", mail, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1);
    const PdDocument *document = g_ptr_array_index(c->documents, 0);
    g_assert_cmpint(((PdPart *)g_ptr_array_index(document->parts, 0))->flow, ==, PD_FLOW_FIXED);
    const PdPart *part = g_ptr_array_index(document->parts, 1);
    /* As it was sent: the model's text is made where masks are. */
    g_assert_null(part->view);
    return part->flow;
}

/* Parameters and their values are not case-sensitive; others than those of the RFC are none. */
static void
test_parameters(void)
{
    static const struct {
        const char *type;
        PdFlow flow;
    } types[] = {
        {"text/plain", PD_FLOW_FIXED},
        {"text/plain; format=fixed; delsp=yes", PD_FLOW_FIXED},
        {"text/plain; charset=utf-8; format=flowed", PD_FLOW_FLOWED},
        {"Text/Plain; Format=\"Flowed\"; DelSp=No", PD_FLOW_FLOWED},
        {"text/plain; format=flowed; delsp=maybe", PD_FLOW_FLOWED},
        {"text/plain; DELSP=YES; FORMAT=FLOWED", PD_FLOW_DELSP},
        {"text/html; format=flowed", PD_FLOW_FIXED},
        {"text/x-log; format=flowed", PD_FLOW_FIXED},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        g_assert_cmpint(flow_of_type(types[i].type), ==, types[i].flow);
}

/* Lines end in CR LF on their way, spaces at their ends are written as "=20". */
static void
test_mail(void)
{
    g_autoptr(Collected) c =
        collect_text("a.eml",
                     "From: kay@x\r\nTo: lee@x\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
                     "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
                     "--b\r\nContent-Type: text/plain; format=flowed\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                     "> One=20\r\n>two=20\r\nthree\r\n--b\r\n\r\nFour \r\nfive\r\n--b--\r\n",
                     NULL);
    g_assert_no_error(c->error);
    const PdDocument *document = g_ptr_array_index(c->documents, 0);
    PdPart *flowed = g_ptr_array_index(document->parts, 1);
    PdPart *fixed = g_ptr_array_index(document->parts, 2);
    g_assert_cmpstr(flowed->text->str, ==, "> One \n>two \nthree");
    g_assert_cmpint(flowed->flow, ==, PD_FLOW_FLOWED);
    g_assert_cmpint(fixed->flow, ==, PD_FLOW_FIXED);
    pd_model_text_make((PdDocument *)document, FALSE);
    g_assert_cmpstr(flowed->text->str, ==, "> One two \nthree");
    g_assert_cmpstr(fixed->text->str, ==, "Four \nfive");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/flow/rules", test_rules);
    g_test_add_func("/flow/way-back", test_way_back);
    g_test_add_func("/flow/between-marks", test_between_marks);
    g_test_add_func("/flow/parameters", test_parameters);
    g_test_add_func("/flow/mail", test_mail);
    return g_test_run();
}
