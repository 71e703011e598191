/*
 * What mails quote of each other is read once: the mark, what stays, the way back to the source,
 * and that nothing is left out everywhere, whatever is added, changed and removed.
 */
#include <string.h>
#include "corpus_fixture.h"
#include "ingest/fold_match.h"
#include "ingest/quoted.h"

#define DAY(n) ((n)*86400)

/* The words of kay's mail, of which others quote. */
#define OFFER "The fee for the survey is fixed at EUR 51,200, extra work costs EUR 820 a day."
#define NOTICE "Either side may end it with thirty days' notice in writing, at any time."
#define QUOTED_OFFER                                                                               \
    "> The fee for the survey is fixed at EUR 51,200,\n"                                           \
    "> extra work costs EUR 820 a day.\n"
#define FOOTER                                                                                     \
    "_______________________________________________\n"                                            \
    "Survey mailing list, https://lists.example.org/survey\n"
#define KAY "Kay Smith <kay@example.org>"
#define LEE "\"Lee, Ann\" <ann.lee@example.org>"

static const char kay[] = "Dear Ann,\n\n" OFFER "\n" NOTICE "\n\n-- \n"
                          "Kay Smith, Tidelog Limited, 4 Pier Road, Bergen\n\n" FOOTER;

static FakeDocument mails[] = {
    {.kind = PD_KIND_MAIL, .key = "1", .author = KAY, .date_utc = DAY(1), .text = kay},
    /* Its answer stands above the quote, which is wrapped anew. */
    {.kind = PD_KIND_MAIL,
     .key = "2",
     .author = LEE,
     .date_utc = DAY(2),
     .text = "Agreed, let us sign on Friday.\n\n"
             "On 1970-01-02 at 00:00, Kay Smith <kay@example.org> wrote:\n\n" QUOTED_OFFER
             "> " NOTICE "\n\n" FOOTER},
    /* What is answered right below stays, and so does what nobody wrote. */
    {.kind = PD_KIND_MAIL,
     .key = "3",
     .author = LEE,
     .date_utc = DAY(3),
     .text = QUOTED_OFFER ">\n> " NOTICE "\n\nThirty is too short: sixty.\n\n"
                          "> I never wrote these words, and nobody else in here ever did.\n"
                          "Nor this.\n\n" FOOTER},
    /* Without prefixes, and a mail in it that is not there. */
    {.kind = PD_KIND_MAIL,
     .key = "4",
     .author = KAY,
     .date_utc = DAY(4),
     .text = "See below.\n\n-----Original Message-----\n"
             "From: Lee, Ann\nSent: Sunday, January 4, 1970 8:12 AM\nTo: Kay Smith\n\n"
             "Agreed, let us sign on Friday.\n\n"
             "From: Kay Smith\nSent: Friday, January 2, 1970 9:00 AM\nTo: Ann Lee\n\n" OFFER
             "\n" NOTICE "\n\n-- \n"
             "Kay Smith, Tidelog Limited, 4 Pier Road, Bergen\n\n" FOOTER},
};

typedef struct {
    char *dir;
    PdCorpus *corpus;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = make_folder();
    f->corpus = open_corpus(f->dir, PD_CORPUS_CREATE);
    fake_source =
        (FakeSource){.documents = mails, .n_documents = G_N_ELEMENTS(mails), .at = G_MAXSIZE};
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    pd_corpus_free(f->corpus);
    assert_sound(f->dir);
    remove_folder(f->dir);
}

static PdAddReport
add(Fixture *f, const char *path, gboolean no_fold)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    PdAddOptions options = {.no_fold = no_fold};
    PdAddReport report;
    pd_corpus_add_with_reader(f->corpus, &fake_reader, path, tokenizer, &options, &report, NULL,
                              &error);
    g_assert_no_error(error);
    assert_sound(f->dir);
    return report;
}

static void
assert_reads(Fixture *f, const char *key, const char *model, const char *original)
{
    g_autoptr(PdPartRow) part = live_part(f->corpus, "s", key);
    g_autoptr(GString) whole = pd_part_row_original(part, NULL);
    g_assert_cmpstr(part->text, ==, model);
    g_assert_cmpstr(whole->str, ==, original);
}

static void
test_marks(Fixture *f, gconstpointer data)
{
    PdAddReport report = add(f, "/s", FALSE);
    g_assert_cmpuint(report.n_new, ==, 4);
    assert_reads(f, "1", kay, kay);
    assert_reads(f, "2",
                 "Agreed, let us sign on Friday.\n\n[quoted: Kay Smith, 1970-01-02]\n\n[footer]\n",
                 mails[1].text);
    assert_reads(f, "3",
                 "[quoted: Kay Smith, 1970-01-02]\n>\n> " NOTICE
                 "\n\nThirty is too short: sixty.\n\n"
                 "> I never wrote these words, and nobody else in here ever did.\n"
                 "Nor this.\n\n[footer]\n",
                 mails[2].text);
    /* Six words are too few to be looked for. */
    assert_reads(f, "4",
                 "See below.\n\n-----Original Message-----\n"
                 "From: Lee, Ann\nSent: Sunday, January 4, 1970 8:12 AM\nTo: Kay Smith\n\n"
                 "Agreed, let us sign on Friday.\n\n[quoted: Kay Smith, 1970-01-02]\n\n[footer]\n",
                 mails[3].text);
    g_assert_cmpuint(report.n_folded, ==, 6);
    gsize n_read = 0, n_whole = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(mails); i++) {
        g_autoptr(PdPartRow) part = live_part(f->corpus, "s", mails[i].key);
        n_read += part->n_bytes;
        n_whole += strlen(mails[i].text);
    }
    g_assert_cmpuint(n_whole - n_read, ==,
                     report.n_folded_bytes - 3 * strlen("[quoted: Kay Smith, 1970-01-02]") -
                         3 * strlen("[footer]"));
    /* The tokens are those of what is read: the tiny tokenizer has nearly one a byte. */
    g_assert_cmpuint(report.n_tokens, <=, n_read);
    g_assert_cmpint(count_rows(f->corpus, "SELECT count(*) FROM text t WHERE NOT EXISTS"
                                          " (SELECT 1 FROM segment WHERE text_id = t.id)"),
                    ==, 0);
    /* Nothing new: nothing changes. */
    report = add(f, "/s", FALSE);
    g_assert_cmpuint(report.n_unchanged, ==, 4);
    g_assert_cmpuint(report.n_folded, ==, 6);
    g_assert_cmpint(count_rows(f->corpus, "SELECT count(*) FROM document"), ==, 4);
}

/* A mark is cited as the lines of the mail that it stands in. */
static void
test_cited(Fixture *f, gconstpointer data)
{
    add(f, "/s", FALSE);
    g_autoptr(PdPartRow) part = live_part(f->corpus, "s", "2");
    guint32 start = (guint32)(strstr(part->text, "[quoted") - part->text);
    g_autofree char *place = pd_corpus_locate(f->corpus, part->id, start, start + 7, NULL);
    g_assert_nonnull(strstr(place, "l. 3-7"));
    g_assert_cmpuint(pd_text_view_end(part->view, start + 7) -
                         pd_text_view_start(part->view, start),
                     ==, strstr(mails[1].text, "\n\n" FOOTER) - strstr(mails[1].text, "On 1970"));
}

static void
test_not_folded(Fixture *f, gconstpointer data)
{
    PdAddReport report = add(f, "/s", TRUE);
    g_assert_cmpuint(report.n_folded, ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(mails); i++)
        assert_reads(f, mails[i].key, mails[i].text, mails[i].text);
    g_autofree char *whole = dump_content(f->dir);
    report = add(f, "/s", FALSE);
    g_assert_cmpuint(report.n_unchanged, ==, 4);
    g_assert_cmpuint(report.n_folded, ==, 6);
    /* What was cited in between still opens, under its old number. */
    g_assert_cmpint(count_rows(f->corpus, "SELECT count(*) FROM document d JOIN part p"
                                          " ON p.document_id = d.id WHERE d.state = 'superseded'"
                                          " AND p.n_folded = 0"),
                    ==, 3);
    report = add(f, "/s", TRUE);
    g_assert_cmpuint(report.n_folded, ==, 0);
    g_autofree char *again = dump_content(f->dir);
    g_assert_cmpstr(again, ==, whole);
}

/* What is added later is looked up, but changes nothing that was read before. */
static void
test_added_later(Fixture *f, gconstpointer data)
{
    fake_source.documents = mails + 1;
    fake_source.n_documents = 1;
    add(f, "/answer", FALSE);
    fake_source.documents = mails;
    PdAddReport report = add(f, "/offer", FALSE);
    g_assert_cmpuint(report.n_folded, ==, 1); /* the footer, which the answer has */
    g_autoptr(PdPartRow) answer = live_part(f->corpus, "answer", "2");
    g_assert_cmpstr(answer->text, ==, mails[1].text);
    fake_source.documents = mails + 2;
    report = add(f, "/later", FALSE);
    g_assert_cmpuint(report.n_folded, ==, 2);
    g_autoptr(PdPartRow) later = live_part(f->corpus, "later", "3");
    g_assert_true(g_str_has_prefix(later->text, "[quoted: Kay Smith, 1970-01-02]\n"));
}

/* The mail that has the words goes: they are read where they are quoted, then folded anew. */
static void
test_source_removed(Fixture *f, gconstpointer data)
{
    add(f, "/s", FALSE);
    g_autoptr(PdPartRow) before = live_part(f->corpus, "s", "2");
    g_autofree char *number = g_strdup_printf(
        "%d", (int)count_rows(f->corpus, "SELECT id FROM document WHERE key = '1'"));
    g_assert_true(pd_corpus_remove(f->corpus, number, NULL, NULL));
    assert_sound(f->dir);
    for (gsize i = 1; i < G_N_ELEMENTS(mails); i++)
        assert_reads(f, mails[i].key, mails[i].text, mails[i].text);
    /* An answer that cited it before. */
    g_autoptr(PdPartRow) old = pd_corpus_part(f->corpus, before->id, NULL);
    g_assert_cmpstr(old->text, ==, before->text);
    g_autoptr(GString) old_whole = pd_part_row_original(old, NULL);
    g_assert_cmpstr(old_whole->str, ==, mails[1].text);

    fake_source.documents = mails + 1;
    fake_source.n_documents = 3;
    PdAddReport report = add(f, "/s", FALSE);
    g_assert_cmpuint(report.n_unchanged, ==, 3);
    /* Now the first that quotes the offer has it. */
    assert_reads(f, "2", mails[1].text, mails[1].text);
    g_autoptr(PdPartRow) fourth = live_part(f->corpus, "s", "4");
    g_assert_nonnull(strstr(fourth->text, "[quoted: Lee, Ann, 1970-01-03]"));
    g_assert_null(strstr(fourth->text, "51,200"));
}

/* Secrets stay masked and counted: a line with one is neither folded nor a quote's. */
static void
test_secrets(Fixture *f, gconstpointer data)
{
    static const char secret[] = "ghp"
                                 "_q7Lw2ZbT9xKmVc4RfNp8sYhD1uJ6gEaXiW0o";
    g_autofree char *first =
        g_strdup_printf("Use this token for the upload: %s\n" OFFER "\n", secret);
    g_autofree char *second =
        g_strdup_printf("Thanks.\n\n> Use this token for the upload: %s\n> " OFFER "\n", secret);
    FakeDocument pair[] = {
        {.kind = PD_KIND_MAIL, .key = "1", .author = KAY, .date_utc = DAY(1), .text = first},
        {.kind = PD_KIND_MAIL, .key = "2", .author = LEE, .date_utc = DAY(2), .text = second},
    };
    fake_source.documents = pair;
    fake_source.n_documents = 2;
    for (int i = 0; i < 2; i++) {
        PdAddReport report = add(f, "/s", FALSE);
        g_assert_cmpuint(report.n_masked, ==, 2);
        assert_reads(f, "2",
                     "Thanks.\n\n> Use this token for the upload: [secret:github-token#1]\n"
                     "[quoted: Kay Smith, 1970-01-02]\n",
                     second);
    }
}

/* Lines that only broke on their way are joined, but for those around a quote; when what is quoted
 * goes, all of them are. */
static void
test_flowed(Fixture *f, gconstpointer data)
{
    static const char sent[] = "A survey is \n what we need.\n\n"
                               "> I think that a survey \n> will do.\n>\n"
                               "> The fee for the survey is fixed at \n> EUR 51,200, \n"
                               "> extra work costs EUR 820 a \n> day.\n\nSo \nbe it.\n";
    FakeDocument pair[] = {
        {.kind = PD_KIND_MAIL, .key = "1", .author = KAY, .date_utc = DAY(1), .text = OFFER "\n"},
        {.kind = PD_KIND_MAIL,
         .key = "2",
         .author = LEE,
         .date_utc = DAY(2),
         .text = sent,
         .flow = PD_FLOW_FLOWED},
    };
    fake_source.documents = pair;
    fake_source.n_documents = 2;
    add(f, "/s", FALSE);
    /* The last paragraph of a quote that is answered stays: there is one, so none goes. */
    assert_reads(f, "2",
                 "A survey is what we need.\n\n> I think that a survey will do.\n>\n"
                 "> The fee for the survey is fixed at EUR 51,200, extra work costs EUR 820 a "
                 "day.\n\nSo be it.\n",
                 sent);

    g_autofree char *top = g_strndup(sent, (gsize)(strstr(sent, "So \n") - sent));
    pair[1].text = top;
    add(f, "/s", FALSE);
    assert_reads(f, "2",
                 "A survey is what we need.\n\n> I think that a survey will do.\n>\n"
                 "[quoted: Kay Smith, 1970-01-02]\n\n",
                 top);
    g_autofree char *number = g_strdup_printf(
        "%d",
        (int)count_rows(f->corpus, "SELECT id FROM document WHERE key = '1' AND state = 'live'"));
    g_assert_true(pd_corpus_remove(f->corpus, number, NULL, NULL));
    assert_reads(f, "2",
                 "A survey is what we need.\n\n> I think that a survey will do.\n>\n"
                 "> The fee for the survey is fixed at EUR 51,200, extra work costs EUR 820 a "
                 "day.\n\n",
                 top);
    g_autoptr(PdPartRow) part = live_part(f->corpus, "s", "2");
    guint32 start = (guint32)(strstr(part->text, "EUR 51,200") - part->text);
    g_autofree char *place = pd_corpus_locate(f->corpus, part->id, start, start + 10, NULL);
    g_assert_true(g_str_has_suffix(place, "l. 8"));
}

/* --- nothing is left out everywhere -------------------------------------------------------- */

enum { N_MAILS = 60, N_ROUNDS = 12 };

/* A mail of words that no other has, with one or two earlier ones in it in some form. */
static char *
invent_mail(GRand *rand, int number, char **texts)
{
    GString *text = g_string_new(NULL);
    GString *quote = g_string_new(NULL);
    int n_quotes = number ? g_rand_int_range(rand, 0, 3) : 0;
    gboolean prefixed = g_rand_boolean(rand), below = prefixed && g_rand_boolean(rand);
    for (int q = 0; q < n_quotes; q++) {
        int other = g_rand_int_range(rand, 0, number);
        g_auto(GStrv) lines = g_strsplit(texts[other], "\n", -1);
        guint n = g_strv_length(lines), from = (guint)g_rand_int_range(rand, 0, 3);
        g_string_append_printf(quote, "On 2001-05-14 at 10:21, person%d wrote:\n", other);
        for (guint i = from; i < n; i++)
            if (i + 1 < n || lines[i][0])
                g_string_append_printf(quote, "%s%s\n", prefixed ? "> " : "", lines[i]);
        g_string_append_c(quote, '\n');
    }
    if (below)
        g_string_append(text, quote->str);
    for (int line = 0; line < g_rand_int_range(rand, 1, 6); line++) {
        for (int word = 0; word < 10; word++)
            g_string_append_printf(text, "w%d.%d.%d ", number, line, word);
        g_string_append(text, g_rand_int_range(rand, 0, 3) ? "\n" : "\n\n");
    }
    if (g_rand_boolean(rand))
        g_string_append_printf(text, "\n-- \nsignature of the person who is called s%d and more\n",
                               number % 5);
    if (!below)
        g_string_append_printf(text, "\n%s", quote->str);
    if (g_rand_boolean(rand))
        g_string_append(text, "\n" FOOTER);
    g_string_free(quote, TRUE);
    return g_string_free(text, FALSE);
}

/* Every word of a live mail is in what is read of some mail. */
static void
assert_all_read(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GHashTable) read = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) written = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) documents = pd_corpus_documents(f->corpus, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < documents->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(documents, i);
        g_autoptr(PdPartRow) part = live_part(f->corpus, row->source, row->key);
        g_autoptr(GString) original = pd_part_row_original(part, &error);
        g_assert_no_error(error);
        const char *const texts[] = {original->str, part->text};
        GHashTable *const sets[] = {written, row->duplicate_of ? written : read};
        for (int k = 0; k < 2; k++) {
            g_auto(GStrv) words = g_strsplit_set(texts[k], " \n>", -1);
            for (guint w = 0; words[w]; w++)
                if (words[w][0] == 'w' || words[w][0] == 's')
                    g_hash_table_add(sets[k], g_strdup(words[w]));
        }
    }
    GHashTableIter iter;
    gpointer word;
    g_hash_table_iter_init(&iter, written);
    while (g_hash_table_iter_next(&iter, &word, NULL))
        if (!g_hash_table_contains(read, word))
            g_error("nobody reads \"%s\"", (char *)word);
}

/* One of the sources, with some of the mails, as they are this time. */
static void
change_source(Fixture *f, GRand *rand, FakeDocument *all)
{
    static const char *const paths[] = {"/a", "/b", "/c"};
    FakeDocument some[N_MAILS];
    gsize n = 0;
    for (int i = 0; i < N_MAILS; i++)
        if (g_rand_int_range(rand, 0, 3))
            some[n++] = all[i];
    fake_source.documents = some;
    fake_source.n_documents = n;
    add(f, paths[g_rand_int_range(rand, 0, 3)], g_rand_int_range(rand, 0, 6) == 0);
}

static void
remove_one(Fixture *f, GRand *rand)
{
    g_autofree char *sql = g_strdup_printf("SELECT id FROM document WHERE state = 'live'"
                                           " ORDER BY (id * 7919 + %d) %% 1009 LIMIT 1",
                                           g_rand_int_range(rand, 0, 1009));
    g_autofree char *number = g_strdup_printf("%d", (int)count_rows(f->corpus, sql));
    g_assert_true(pd_corpus_remove(f->corpus, number, NULL, NULL));
}

static void
test_nothing_lost(Fixture *f, gconstpointer data)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(21);
    FakeDocument all[N_MAILS] = {0};
    char *texts[N_MAILS], *ids[N_MAILS];
    for (int i = 0; i < N_MAILS; i++) {
        texts[i] = invent_mail(rand, i, texts);
        ids[i] = g_strdup_printf("id%d@example.org", i);
        /* Dates that are wrong: an answer may be older than what it answers. */
        all[i] = (FakeDocument){.kind = PD_KIND_MAIL,
                                .key = ids[i],
                                .blob = ids[i],
                                .text = texts[i],
                                .date_utc = DAY(g_rand_int_range(rand, 0, 40))};
    }
    gint64 n_folds_max = 0;
    for (int round = 0; round < N_ROUNDS; round++) {
        if (round && g_rand_int_range(rand, 0, 3) == 0)
            remove_one(f, rand);
        else
            change_source(f, rand, all);
        assert_all_read(f);
        if (g_rand_int_range(rand, 0, 2) == 0) { /* one of them is edited at its source */
            int i = g_rand_int_range(rand, 0, N_MAILS);
            g_free(texts[i]);
            all[i].text = texts[i] = invent_mail(rand, i, texts);
        }
        n_folds_max = MAX(n_folds_max, count_rows(f->corpus, "SELECT count(*) FROM fold"));
    }
    g_test_message("%d folds", (int)n_folds_max);
    g_assert_cmpint(n_folds_max, >, N_MAILS);
    for (int i = 0; i < N_MAILS; i++) {
        g_free(texts[i]);
        g_free(ids[i]);
    }
}

/* --- what lines are taken for -------------------------------------------------------------- */

static void
assert_lines(const char *text, const char *kinds)
{
    g_autoptr(PdMailText) mail = pd_mail_text_new(text, strlen(text));
    g_autoptr(GString) found = g_string_new(NULL);
    for (guint i = 0; i < mail->lines->len; i++)
        g_string_append_c(found, "o>h"[pd_mail_line(mail, i)->kind]);
    g_assert_cmpstr(found->str, ==, kinds);
}

static void
test_lines(void)
{
    assert_lines("", "");
    assert_lines("one\n", "o");
    assert_lines("> one\n>two\n > three\nJS> four\n    > code\nlonger> five\n", ">>>>oo");
    /* German and French programs: the form counts, not the words. */
    assert_lines("Ja.\n\nAm 14.05.2001 um 10:21 schrieb Kay Smith:\nHallo\n> x\n", "oohh>");
    assert_lines("Oui.\n________________________________\nDe : Kay\n", "ooo");
    assert_lines("Oui.\nDe: Kay Smith\nEnvoy\xc3\xa9: lundi 14 mai 2001 10:21\n"
                 "\xc3\x80: Ann\nObjet: x\n\nBonjour\n",
                 "ohhhhhh");
    assert_lines("FYI\n---------- Forwarded message ---------\nFrom: Kay\n\nHello\n", "ohhhh");
    assert_lines(
        "Oui.\nDe : Kay Smith\nEnvoy\xc3\xa9 : lundi 14 mai 2001 10:21\nObjet : x\n\nBonjour\n",
        "ohhhhh");
    assert_lines("好。\n发件人：Kay Smith\n发送时间：2001年5月14日 10:21\n收件人：Ann\n\n你好\n",
                 "ohhhhh");
    /* A list of things is no header block, and a time alone no attribution. */
    assert_lines("Agenda:\nFirst: fees\nThen: notice\nLast: lunch\n", "oooo");
    assert_lines("We meet at 10:21:\nin the office\n", "oo");
}

/* --- attributions -------------------------------------------------------------------------- */

/* Of the lines above a quote of Kay's, the last n go with it. */
static void
assert_goes(const char *above, guint n)
{
    g_autofree char *text = g_strconcat(above, "> The fee is fixed.\n", NULL);
    g_autoptr(PdMailText) mail = pd_mail_text_new(text, strlen(text));
    guint first = mail->lines->len - 1, top = pd_mail_attribution(mail, text, first, KAY);
    if (first - top != n)
        g_error("%u lines go instead of %u: %s", first - top, n, above);
}

/* As programs write them: Gmail, Outlook, Apple Mail, Thunderbird, KMail, mutt, Pine, Eudora,
 * Notes, Yahoo, Gnus and others, in the languages that they are translated into. */
static void
test_attributions(void)
{
    static const char *const lines[] = {
        "On Mon, 14 May 2001 at 10:21, Kay Smith <kay@example.org> wrote:",
        "On Mon, May 14, 2001 at 10:21 AM Kay Smith <kay@example.org> wrote:",
        "On May 14, 2001, at 10:21 AM, Kay Smith <kay@example.org> wrote:",
        "On 14/05/2001 10:21, Kay Smith wrote:",
        "On 5/14/01 10:21 AM, \"Kay Smith\" <kay@example.org> wrote:",
        "On Mon, May 14, 2001 at 10:21:00AM +0200, Kay Smith wrote:",
        "On Mon, 14 May 2001, Kay Smith wrote:",
        "On Monday 14 May 2001 10:21, Kay Lou Smith wrote:",
        "On May 14, 10:21 am, Kay Smith <k...@example.org> wrote:",
        "At 10:21 AM 5/14/2001 -0700, Kay Smith wrote:",
        "Kay Smith <kay@example.org> wrote on 05/14/2001 10:21:00 AM:",
        "--- Kay Smith <kay@example.org> wrote:",
        "Kay Smith <kay@example.org> writes:",
        "Kay Smith wrote:",
        "KAY SMITH said:",
        "Kay Smith (Tidelog Limited) wrote:",
        "In article <9dp2k4$1@news.example.org>, Kay Smith wrote:",
        "In message <9dp2k4$1@news.example.org> Kay Smith <kay@example.org> writes:",
        "also sprach Kay Smith <kay@example.org> [2001.05.14.1021 +0200]:",
        "* Kay Smith <kay@example.org> [2001-05-14 10:21]:",
        "2001/5/14 Kay Smith <kay@example.org>:",
        "Quoting Kay Smith <kay@example.org>:",
        "Zitat von Kay Smith <kay@example.org>:",
        "Am 14.05.2001 um 10:21 schrieb Kay Smith:",
        "Am Mo., 14. Mai 2001 um 10:21 Uhr schrieb Kay Smith <kay@example.org>:",
        "Am Montag, 14. Mai 2001, 10:21:00 schrieb Kay Smith:",
        "Kay Smith <kay@example.org> schrieb am Mo., 14. Mai 2001, 10:21:",
        "Kay Smith hat am 14.05.2001 10:21 geschrieben:",
        "Le lun. 14 mai 2001 à 10:21, Kay Smith <kay@example.org> a écrit :",
        "Le 14/05/2001 à 10:21, Kay Smith a écrit\xc2\xa0:",
        "El lun, 14 may 2001 a las 10:21, Kay Smith (<kay@example.org>) escribió:",
        "Il giorno lun 14 mag 2001 alle ore 10:21 Kay Smith <kay@example.org> ha scritto:",
        "Em seg., 14 de mai. de 2001 às 10:21, Kay Smith <kay@example.org> escreveu:",
        "Op ma 14 mei 2001 om 10:21 schreef Kay Smith <kay@example.org>:",
        "Den mån 14 maj 2001 kl 10:21 skrev Kay Smith <kay@example.org>:",
        "Den man. 14. maj 2001 kl. 10.21 skrev Kay Smith <kay@example.org>:",
        "man. 14. mai 2001 kl. 10:21 skrev Kay Smith <kay@example.org>:",
        "ma 14. toukok. 2001 klo 10.21 Kay Smith (kay@example.org) kirjoitti:",
        "pon., 14 maj 2001 o 10:21 Kay Smith <kay@example.org> napisał(a):",
        "W dniu 14.05.2001 o 10:21, Kay Smith pisze:",
        "po 14. 5. 2001 v 10:21 odesílatel Kay Smith <kay@example.org> napsal:",
        "Dne 14.5.2001 v 10:21 Kay Smith napsal(a):",
        "Kay Smith <kay@example.org> ezt írta (időpont: 2001. máj. 14., H, 10:21):",
        "În lun., 14 mai 2001 la 10:21, Kay Smith <kay@example.org> a scris:",
        "Kay Smith <kay@example.org>, 14 May 2001 Pzt, 10:21 tarihinde şunu yazdı:",
        "Στις Δευ 14 Μαΐ 2001 στις 10:21 π.μ., ο χρήστης Kay Smith <kay@example.org> έγραψε:",
        "пн, 14 мая 2001 г. в 10:21, Kay Smith <kay@example.org>:",
        "14.05.2001 10:21, Kay Smith пишет:",
        "пн, 14 трав. 2001 р. о 10:21 Kay Smith <kay@example.org> пише:",
        "2001年5月14日(月) 10:21 Kay Smith <kay@example.org>:",
        "Kay Smith <kay@example.org> 于2001年5月14日周一 上午10:21写道：",
        "Kay Smith <kay@example.org> 於 2001年5月14日 週一 上午10:21寫道：",
        "2001년 5월 14일 (월) 오전 10:21, Kay Smith <kay@example.org>님이 작성:",
        "Vào Th 2, 14 thg 5, 2001 vào lúc 10:21 Kay Smith <kay@example.org> đã viết:",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *above = g_strdup_printf("Thanks.\n\n%s\n", lines[i]);
        g_autofree char *apart = g_strdup_printf("%s\n\n", above);
        g_autofree char *without = g_strdup_printf("Thanks.\n%s\n", lines[i]);
        assert_goes(above, 1);
        assert_goes(apart, 3); /* with the empty lines below it */
        assert_goes(without, 1);
    }
    assert_goes("Ok\nOn Mon, 14 May 2001 10:21:00 +0200\nKay Smith <kay@example.org> wrote:\n\n",
                3);
    assert_goes("Ok\n\nOn Mon, May 14, 2001 at 10:21 AM, Kay Smith <\nkay@example.org> wrote:\n",
                2);
    assert_goes("On Mon, May 14, 2001 at 10:21 AM Kay Smith <kay@example.org>\nwrote:\n", 2);
    assert_goes("FYI\n\n-----Original Message-----\nFrom: Smith, Kay [mailto:kay@example.org]\n"
                "Sent: Monday, May 14, 2001 10:21 AM\nTo: Ann Lee\nSubject: The fee\n\n",
                6);
    assert_goes("FYI\n\nVon: Kay Smith <kay@example.org>\nGesendet: Montag, 14. Mai 2001 10:21\n"
                "An: Ann Lee\nBetreff: Die Gebühr\n\n",
                5);
    /* A line with a blank that does not break, as in HTML, is an empty one. */
    assert_goes("Bonjour\n\nDe : Kay Smith\nEnvoyé : lundi 14 mai 2001 10:21\nÀ : Ann Lee\n"
                "\xc2\xa0\n",
                4);
    assert_goes("好。\n\n发件人：Kay Smith\n发送时间：2001年5月14日 10:21\n收件人：Ann\n\n", 4);
    assert_goes("FYI\n\n-------- Forwarded Message --------\nSubject: The fee\n"
                "Date: Mon, 14 May 2001 10:21:00 +0200\nFrom: Kay Smith <kay@example.org>\n"
                "To: Ann Lee <ann.lee@example.org>\n\n",
                6);
}

/* What the mail's own author says about Kay and her words stays where it is. */
static void
test_own_sentences(void)
{
    static const char *const lines[] = {
        "I disagree with what Kay Smith wrote on 14 May 2001 at 10:21:",
        "I disagree with what Kay wrote:",
        "On 14.05.2001 I was told by Kay Smith that this was settled:",
        "On Monday at 10:21 we shall read this paragraph of Kay's aloud:",
        "This is the clause of 14 May 2001 that Kay wants us to sign:",
        "Kay wrote on 14 May 2001 that nothing would change:",
        "Kay, you wrote that the fee would stay as it is:",
        "As for Kay Smith's second point (kay@example.org, 14 May 2001):",
        "Please note, Kay:",
        "Dear Kay,\nhere is my answer to the offer of 14 May 2001:",
        "Was Kay am 14.05.2001 um 10:21 schrieb, ist falsch:",
        "Zu dem, was Kay Smith geschrieben hat, nur dies:",
        "Je ne suis pas d'accord avec ce que Kay a écrit le 14 mai 2001 :",
        "No estoy de acuerdo con lo que escribió Kay el 14 de mayo de 2001:",
        "Non sono d'accordo con quello che Kay ha scritto il 14 maggio 2001:",
        "Я не согласна с тем, что писала Kay 14 мая 2001 г.:",
        "我不同意 Kay 在2001年5月14日写的这句话：",
        /* These look like headers, or follow some. */
        "Kay: I think that this is wrong.",
        "Note: Kay's fee is too high.",
        "Note: the fee of Kay Smith, 14 May 2001 10:21\nAgain: too high\nSo: no",
        "--- Note ---\nKay: this is wrong.",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *above = g_strdup_printf("Thanks.\n\n%s\n", lines[i]);
        g_autofree char *apart = g_strdup_printf("%s\n", above);
        assert_goes(above, 0);
        assert_goes(apart, 0);
    }
    /* Only the attribution goes, not the sentence above it. */
    assert_goes("Kay's offer of 14 May 2001 is wrong:\nKay Smith wrote:\n", 1);
    assert_goes("Note: see the date of the offer\n\nFrom: Kay Smith\n"
                "Sent: Monday, May 14, 2001 10:21 AM\nTo: Ann Lee\n\n",
                4);
    /* Others' words are not Kay's. */
    assert_goes("On Mon, 14 May 2001 at 10:21, Ann Lee <ann.lee@example.org> wrote:\n", 0);
}

/* However many mails quote the same words, what is looked for stays as little as the words are. */
static void
test_wanted_once(void)
{
    g_autoptr(PdFoldIndex) index = pd_fold_index_new();
    g_autoptr(PdMailText) mail = pd_mail_text_new(mails[2].text, strlen(mails[2].text));
    pd_fold_index_want(index, mail);
    g_assert_cmpuint(pd_fold_index_n_wanted(index), >, 2);
    for (int i = 0; i < 200000; i++)
        pd_fold_index_want(index, mail);
    g_assert_cmpuint(pd_fold_index_n_wanted(index), <, 100000);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/fold/marks", Fixture, NULL, set_up, test_marks, tear_down);
    g_test_add("/fold/cited", Fixture, NULL, set_up, test_cited, tear_down);
    g_test_add("/fold/not-folded", Fixture, NULL, set_up, test_not_folded, tear_down);
    g_test_add("/fold/added-later", Fixture, NULL, set_up, test_added_later, tear_down);
    g_test_add("/fold/source-removed", Fixture, NULL, set_up, test_source_removed, tear_down);
    g_test_add("/fold/secrets", Fixture, NULL, set_up, test_secrets, tear_down);
    g_test_add("/fold/flowed", Fixture, NULL, set_up, test_flowed, tear_down);
    g_test_add("/fold/nothing-lost", Fixture, NULL, set_up, test_nothing_lost, tear_down);
    g_test_add_func("/fold/lines", test_lines);
    g_test_add_func("/fold/attributions", test_attributions);
    g_test_add_func("/fold/own-sentences", test_own_sentences);
    g_test_add_func("/fold/wanted-once", test_wanted_once);
    return g_test_run();
}
