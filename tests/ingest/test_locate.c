/* Where bytes lie, for people and for programs, and the order of documents. */
#include <json-glib/json-glib.h>
#include <string.h>
#include "corpus_fixture.h"
#include "ingest/natural.h"
#include "ingest/json_text.h"

typedef struct {
    char *dir;
    PdCorpus *corpus;
} Fixture;

/* --- a source of one document of each kind --------------------------------------------------- */

static const char code[] = "int a;\n\nint\nmain(void)\n{\n    return 0;\n}\n";
static const char page[] = "Rent is due\non the first";
static const char body[] = "Hello Lee,\n\nthe rent is 900.\n";

static void
add_box(PdPart *part, guint32 start, guint32 end, float x0, float y0, float x1, float y1)
{
    PdBox box = {start, end, x0, y0, x1, y1};
    if (!part->boxes)
        part->boxes = g_array_new(FALSE, FALSE, sizeof(PdBox));
    g_array_append_val(part->boxes, box);
}

static gboolean
send(PdDocument *document, const PdReadSink *sink, GError **error)
{
    sink->found(sink->user_data);
    return sink->document(document, sink->user_data, error);
}

static PdDocument *
lease(const char *key, const char *parent)
{
    PdDocument *pdf = pd_document_new(PD_KIND_PDF, key);
    pdf->title = g_strdup("Lease of 12 High Street");
    pdf->parent_key = g_strdup(parent);
    PdPart *part = pd_document_add_part(pdf, "page/6", "iv");
    g_string_append(part->text, page);
    add_box(part, 0, 4, 10, 100, 30, 112);
    add_box(part, 5, 7, 35, 101, 45, 113);
    add_box(part, 8, 11, 50, 100, 70, 112);
    add_box(part, 12, 14, 10, 120, 20, 132);
    add_box(part, 15, 18, 25, 120, 40, 132);
    add_box(part, 19, 24, 45, 120, 70, 132);
    return pdf;
}

static PdDocument *
mail(void)
{
    PdDocument *document = pd_document_new(PD_KIND_MAIL, "<q2@host>");
    document->title = g_strdup("Re: Q2");
    document->author = g_strdup("Kay <kay@example.org>");
    document->recipients = g_strdup("\"Lee, Ann\" <lee@example.org>, bob@example.org");
    document->date_utc = 989840096; /* 2001-05-14 */
    document->native_id = g_strdup("<q2@host>");
    g_string_append(pd_document_add_part(document, "headers", NULL)->text,
                    "From: Kay <kay@example.org>\nSubject: Re: Q2\n");
    g_string_append(pd_document_add_part(document, "1", "text/plain")->text, body);
    return document;
}

static const char patch[] = "diff --git a/src/a.c b/src/a.c\n"
                            "index 1111111..2222222 100644\n"
                            "--- a/src/a.c\n"
                            "+++ b/src/a.c\n"
                            "@@ -3,4 +3,5 @@ int main(void)\n"
                            " {\n"
                            "-    return 1;\n"
                            "+    int a = 1;\n"
                            "+    return a;\n"
                            " }\n"
                            " \n"
                            "@@ -40 +41 @@\n"
                            "-old\n"
                            "+new\n";
#define BASE "9a8b7c6d5e4f30211203f4e5d6c7b8a990817263"
#define COMMIT "3f2c1ab9d5a1c8e6b7f8091a2b3c4d5e6f708192"

static PdDocument *
change(void)
{
    PdDocument *document = pd_document_new(PD_KIND_GIT_FILE, "(diff)/src/a.c");
    document->revision = g_strdup(COMMIT);
    g_string_append(pd_document_add_part(document, "diff", BASE ".." COMMIT)->text, patch);
    return document;
}

static gboolean
read_kinds(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
           const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    PdDocument *git = pd_document_new(PD_KIND_GIT_FILE, "src/a.c");
    git->title = g_strdup("src/a.c");
    git->native_id = g_strdup("ce013625030ba8dba906f756967f9e9ca394464a");
    git->revision = g_strdup("3f2c1ab9d5a1c8e6b7f8091a2b3c4d5e6f708192");
    g_string_append(pd_document_add_part(git, "", NULL)->text, code);
    PdDocument *html = pd_document_new(PD_KIND_HTML, "index.html");
    g_string_append(pd_document_add_part(html, "", NULL)->text, "one\ntwo\nthree\n");
    PdDocument *notes = pd_document_new(PD_KIND_MARKDOWN, "notes.md");
    g_string_append(pd_document_add_part(notes, "", NULL)->text, "one\ntwo\nthree");
    PdDocument *tracked = lease("doc/Tracked.pdf", NULL);
    tracked->revision = g_strdup(COMMIT);
    return send(git, sink, error) && send(change(), sink, error) && send(tracked, sink, error) &&
           send(lease("doc/Lease.pdf", NULL), sink, error) && send(mail(), sink, error) &&
           send(lease("<q2@host>/2", "<q2@host>"), sink, error) && send(html, sink, error) &&
           send(notes, sink, error);
}

static const char *
detect_any(const char *path, GError **error)
{
    return "folder";
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    static const PdCorpusReader reader = {detect_any, read_kinds};
    g_autoptr(GError) error = NULL;
    fixture->dir = make_folder();
    g_autofree char *path = g_build_filename(fixture->dir, "c", NULL);
    fixture->corpus = open_corpus(path, PD_CORPUS_CREATE);
    pd_corpus_add_with_reader(fixture->corpus, &reader, "/case/files", NULL, NULL, NULL, NULL,
                              &error);
    g_assert_no_error(error);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    pd_corpus_free(fixture->corpus);
    remove_folder(fixture->dir);
}

static gint64
part_of(Fixture *fixture, const char *key, const char *path)
{
    gint64 id = 0;
    pd_db_int(fixture->corpus, 0, &id, NULL,
              "SELECT p.id FROM part p JOIN document d ON d.id = p.document_id"
              " WHERE d.key = ? AND p.path = ?",
              "tt", key, path);
    g_assert_cmpint(id, >, 0);
    return id;
}

/* The place of `quote` in `text`. */
static void
assert_located(Fixture *fixture, const char *key, const char *path, const char *text,
               const char *quote, const char *expected)
{
    g_autoptr(GError) error = NULL;
    guint32 start = (guint32)(strstr(text, quote) - text);
    g_autofree char *where = pd_corpus_locate(fixture->corpus, part_of(fixture, key, path), start,
                                              start + (guint32)strlen(quote), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(where, ==, expected);
}

static void
test_people(Fixture *fixture, gconstpointer data)
{
    assert_located(fixture, "src/a.c", "", code, "int a;", "src/a.c:1 @ 3f2c1ab");
    assert_located(fixture, "src/a.c", "", code, "int a;\n", "src/a.c:1 @ 3f2c1ab");
    assert_located(fixture, "src/a.c", "", code, "main(void)\n{\n    return",
                   "src/a.c:4-6 @ 3f2c1ab");
    assert_located(fixture, "doc/Lease.pdf", "page/6", page, "first", "Lease.pdf, p. iv (PDF 6)");
    assert_located(fixture, "<q2@host>", "1", body, "the rent",
                   "Kay to Lee, Ann and 1 more, 2001-05-14, \"Re: Q2\", part 1, l. 3 <q2@host>");
    assert_located(fixture, "<q2@host>", "headers", "From:", "From:",
                   "Kay to Lee, Ann and 1 more, 2001-05-14, \"Re: Q2\", headers, l. 1 <q2@host>");
    assert_located(fixture, "<q2@host>/2", "page/6", page, "Rent",
                   "2, p. iv (PDF 6), attached to: Kay to Lee, Ann and 1 more, 2001-05-14, "
                   "\"Re: Q2\" <q2@host>");
    assert_located(fixture, "notes.md", "", "one\ntwo\nthree", "two\nthree", "notes.md:2-3");
    assert_located(fixture, "index.html", "", "one\ntwo", "two", "index.html, l. 2 of its text");
    assert_located(fixture, "doc/Tracked.pdf", "page/6", page, "first",
                   "Tracked.pdf, p. iv (PDF 6) @ 3f2c1ab");
}

static JsonObject *
located(Fixture *fixture, JsonParser *parser, const char *key, const char *path, guint32 start,
        guint32 end)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *json =
        pd_corpus_locate_json(fixture->corpus, part_of(fixture, key, path), start, end, &error);
    g_assert_no_error(error);
    g_assert_true(json_parser_load_from_data(parser, json, -1, NULL));
    JsonObject *object = json_node_get_object(json_parser_get_root(parser));
    static const char *const members[] = {
        "kind", "source", "document", "part",  "key",   "title", "revision",   "blob",     "start",
        "end",  "lines",  "page",     "label", "place", "boxes", "message_id", "mime_part"};
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
        g_assert_true(json_object_has_member(object, members[i]));
    return object;
}

static void
assert_box(JsonArray *boxes, guint i, double x0, double y0, double x1, double y1)
{
    JsonArray *box = json_array_get_array_element(boxes, i);
    g_assert_cmpfloat(json_array_get_double_element(box, 0), ==, x0);
    g_assert_cmpfloat(json_array_get_double_element(box, 1), ==, y0);
    g_assert_cmpfloat(json_array_get_double_element(box, 2), ==, x1);
    g_assert_cmpfloat(json_array_get_double_element(box, 3), ==, y1);
}

static void
test_programs(Fixture *fixture, gconstpointer data)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *git = located(fixture, parser, "src/a.c", "", 8, 25);
    g_assert_cmpstr(json_object_get_string_member(git, "kind"), ==, "git");
    g_assert_cmpstr(json_object_get_string_member(git, "source"), ==, "files");
    g_assert_cmpstr(json_object_get_string_member(git, "blob"), ==,
                    "ce013625030ba8dba906f756967f9e9ca394464a");
    g_assert_cmpint(json_array_get_int_element(json_object_get_array_member(git, "lines"), 0), ==,
                    3);
    g_assert_true(json_object_get_null_member(git, "boxes"));
    g_assert_true(json_object_get_null_member(git, "message_id"));
    /* "is due\non the": the boxes of two lines, "Rent" and "first" left out. */
    JsonObject *pdf = located(fixture, parser, "doc/Lease.pdf", "page/6", 5, 18);
    g_assert_cmpint(json_object_get_int_member(pdf, "page"), ==, 6);
    g_assert_cmpstr(json_object_get_string_member(pdf, "label"), ==, "iv");
    JsonArray *boxes = json_object_get_array_member(pdf, "boxes");
    g_assert_cmpuint(json_array_get_length(boxes), ==, 2);
    assert_box(boxes, 0, 35, 100, 70, 113);
    assert_box(boxes, 1, 10, 120, 40, 132);
    JsonObject *message = located(fixture, parser, "<q2@host>", "1", 0, 5);
    g_assert_cmpstr(json_object_get_string_member(message, "message_id"), ==, "<q2@host>");
    g_assert_cmpstr(json_object_get_string_member(message, "mime_part"), ==, "1");
    g_assert_true(json_object_get_null_member(message, "page"));
}

/* Of a change, the lines on both sides. */
static void
test_changes(Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *quote, *want;
    } cases[] = {
        {"return a;", "src/a.c:5 @ 3f2c1ab, added"},
        {"return 1;", "src/a.c:4 @ 9a8b7c6, removed"},
        {"return 1;\n+    int a", "src/a.c:4 @ 3f2c1ab, before: 4 @ 9a8b7c6"},
        {"{\n-    return 1;\n+    int a = 1;\n+    return a;\n }",
         "src/a.c:3-6 @ 3f2c1ab, before: 3-5 @ 9a8b7c6"},
        {" \n@@ -40 +41 @@\n-old", "src/a.c:7 @ 3f2c1ab, before: 6-40 @ 9a8b7c6"},
        {"new", "src/a.c:41 @ 3f2c1ab, added"},
        {"@@ -40", "change of src/a.c @ 3f2c1ab"},
        {"+++ b/src", "change of src/a.c @ 3f2c1ab"},
    };
    g_autoptr(JsonParser) parser = json_parser_new();
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_located(fixture, "(diff)/src/a.c", "diff", patch, cases[i].quote, cases[i].want);
    guint32 start = (guint32)(strstr(patch, "return a") - patch);
    JsonObject *json = located(fixture, parser, "(diff)/src/a.c", "diff", start, start + 6);
    g_assert_cmpstr(json_object_get_string_member(json, "base"), ==, BASE);
    g_assert_cmpstr(json_object_get_string_member(json, "revision"), ==, COMMIT);
    g_assert_true(json_object_get_null_member(json, "base_lines"));
    JsonArray *lines = json_object_get_array_member(json, "revision_lines");
    g_assert_cmpint(json_array_get_int_element(lines, 1), ==, 5);
}

static void
test_outside(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    gint64 part = part_of(fixture, "notes.md", "");
    g_assert_null(pd_corpus_locate(fixture->corpus, part, 0, 1000, &error));
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_null(pd_corpus_locate_json(fixture->corpus, part, 5, 4, &error));
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_null(pd_corpus_locate(fixture->corpus, 999, 0, 1, &error));
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
}

/* --- order --------------------------------------------------------------------------------- */

static void
test_ranks(void)
{
    static const char *const in_order[] = {"README.md",     "sub/Makefile",    "doc/guide.md",
                                           "include/lib.h", "src/a.c",         "data/table.csv",
                                           "tests/a.c",     "(log)/README.md", "(diff)/README.md"};
    for (gsize i = 0; i < G_N_ELEMENTS(in_order); i++)
        g_assert_cmpint(pd_order_path_rank(in_order[i]), ==, (int)i);
    g_assert_cmpint(pd_order_path_rank("src/queue_test.go"), ==, 6);
    g_assert_cmpint(pd_order_path_rank("src/contest.c"), ==, 4);
    g_assert_cmpint(pd_order_path_rank("(tree)"), ==, 0);
    g_assert_cmpint(pd_order_path_rank("repo!/(history)"), ==, 7);
    g_assert_cmpint(pd_order_path_rank("(tags).c"), ==, 4);
}

/* Each pair of the list, both ways round. */
static void
test_natural(void)
{
    static const char *const in_order[] = {
        "a",
        "a/b10",
        "a-b/c",
        "a-b/d",
        "ch2/p1",
        "ch2/p3",
        "ch2/p10",
        "ch02/p1",
        "ch10/p1",
        "v1.2",
        "v1.10",
        "v18446744073709551616",
        "v18446744073709551617",
        "\xC3\xA4",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(in_order); i++) {
        g_assert_cmpint(pd_natural_compare_paths(in_order[i], in_order[i]), ==, 0);
        for (gsize k = i + 1; k < G_N_ELEMENTS(in_order); k++) {
            g_assert_cmpint(pd_natural_compare_paths(in_order[i], in_order[k]), <, 0);
            g_assert_cmpint(pd_natural_compare_paths(in_order[k], in_order[i]), >, 0);
        }
    }
}

static void
assert_order(PdCorpus *corpus, const char *const *keys)
{
    g_autoptr(GPtrArray) rows = pd_corpus_documents(corpus, NULL, NULL);
    g_autoptr(GString) got = g_string_new(NULL);
    for (guint i = 0; i < rows->len; i++)
        g_string_append_printf(got, "%s%s", i ? " " : "",
                               ((PdDocumentRow *)g_ptr_array_index(rows, i))->key);
    g_autofree char *expected = g_strjoinv(" ", (char **)keys);
    g_assert_cmpstr(got->str, ==, expected);
}

static gboolean
read_thread(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
            const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    static const struct {
        const char *id, *in_reply_to;
        gint64 date;
        const char *parent;
    } mails[] = {
        {"b2", "<b1@x>", 400, NULL}, /* stored out of order */
        {"a3", "<a2@x>", 500, NULL}, {"a1", NULL, 100, NULL},       {"b1", NULL, 200, NULL},
        {"a2", "a1@x", 300, NULL},   {"c9", "<gone@x>", 150, NULL}, {"c8", "<gone@x>", 600, NULL},
        {"a1/2", NULL, 0, "a1"},     {"l1", "<l2@x>", 700, NULL},   {"l2", "<l1@x>", 700, NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(mails); i++) {
        PdDocument *document =
            pd_document_new(mails[i].parent ? PD_KIND_TEXT : PD_KIND_MAIL, mails[i].id);
        document->parent_key = g_strdup(mails[i].parent);
        document->in_reply_to = g_strdup(mails[i].in_reply_to);
        document->native_id = g_strdup_printf("<%s@x>", mails[i].id);
        document->date_utc = mails[i].date;
        g_string_append(pd_document_add_part(document, "1", NULL)->text, mails[i].id);
        sink->found(sink->user_data);
        if (!sink->document(document, sink->user_data, error))
            return FALSE;
    }
    return TRUE;
}

/* One list's mails, in the order in which they are to come out, but stored the other way round. */
static const struct {
    const char *id, *in_reply_to, *title, *author;
    gint64 date;
} list[] = {
    {"a1", NULL, "[list] Tide gauge", "Kay <kay@x>, list@x", 100},
    /* by subject alone: no references, a year-long silence does not count, an hour does */
    {"a2", NULL, "RE[2]: [list] tide  gauge", "lee@x, LIST@x", 200},
    {"a3", "a2@x", "Re: Tide gauge", "kay@x", 400},
    /* the head is not here, nor what two of them answer; all are below <r@x> */
    {"b1", "p@x g@x r@x", "Re: Datum", "lee@x", 150},
    {"b2", "q@x r@x", "Re: Datum", "kay@x", 500},
    {"b3", "p@x", "Re: Datum", "kay@x", 600},
    /* a head and its answer of the same second: the head first, whatever their names */
    {"d2", NULL, "Pier", "kay@x", 300},
    {"d1", "d2@x", "Pier", "lee@x", 300},
    /* nobody in common with the thread of this subject */
    {"e1", NULL, "Re: Tide gauge", "stranger@y", 350},
    /* a circle, and a mail that answers itself */
    {"f1", "f2@x", "Loop", "kay@x", 700},
    {"f2", "f1@x f2@x", "Loop", "kay@x", 701},
    {"g1", "g1@x", "Self", "kay@x", 800},
    /* a new thread of an old subject, and its answer that lost its references */
    {"h1", NULL, "Tide gauge", "kay@x", 100 + 400 * 86400},
    {"h2", NULL, "Aw: Tide gauge", "kay@x", 200 + 400 * 86400},
    /* too long after any thread of its subject */
    {"i1", NULL, "Re: Pier", "kay@x", 300 + 800 * 86400},
};

static gboolean
read_list(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
          const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    for (gsize i = G_N_ELEMENTS(list); i-- > 0;) {
        PdDocument *document = pd_document_new(PD_KIND_MAIL, list[i].id);
        g_autofree char *id = g_strdup_printf("%s@x", list[i].id);
        document->native_id = g_steal_pointer(&id);
        document->in_reply_to = g_strdup(list[i].in_reply_to);
        document->title = g_strdup(list[i].title);
        document->author = g_strdup(list[i].author);
        document->date_utc = list[i].date;
        g_string_append(pd_document_add_part(document, "1", NULL)->text, list[i].id);
        if (!sink->document(document, sink->user_data, error))
            return FALSE;
    }
    return TRUE;
}

static void
test_threads(void)
{
    static const PdCorpusReader reader = {detect_any, read_list};
    const char *keys[G_N_ELEMENTS(list) + 1] = {NULL};
    char *dir = make_folder();
    g_autofree char *path = g_build_filename(dir, "c", NULL);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    for (gsize i = 0; i < G_N_ELEMENTS(list); i++)
        keys[i] = list[i].id;
    g_assert_true(pd_corpus_add_with_reader(corpus, &reader, "/m", NULL, NULL, NULL, NULL, NULL));
    assert_order(corpus, keys);
    remove_folder(dir);
}

/* A conversation in which each mail answers the one before, and says nothing of others. */
enum { LONG_THREAD = 3000 };

static gboolean
read_long_thread(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
                 const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    for (int i = LONG_THREAD; i-- > 0;) {
        g_autofree char *id = g_strdup_printf("m%d@x", i);
        PdDocument *document = pd_document_new(PD_KIND_MAIL, id);
        document->native_id = g_steal_pointer(&id);
        document->in_reply_to = i ? g_strdup_printf("m%d@x", i - 1) : NULL;
        g_string_append(pd_document_add_part(document, "1", NULL)->text, "x");
        if (!sink->document(document, sink->user_data, error))
            return FALSE;
    }
    return TRUE;
}

static void
test_long_thread(void)
{
    static const PdCorpusReader reader = {detect_any, read_long_thread};
    char *dir = make_folder();
    g_autofree char *path = g_build_filename(dir, "c", NULL);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    g_assert_true(pd_corpus_add_with_reader(corpus, &reader, "/m", NULL, NULL, NULL, NULL, NULL));
    g_autoptr(GPtrArray) rows = pd_corpus_documents(corpus, NULL, NULL);
    g_assert_cmpuint(rows->len, ==, LONG_THREAD);
    for (guint i = 0; i < rows->len; i++) {
        g_autofree char *id = g_strdup_printf("m%u@x", i);
        g_assert_cmpstr(((PdDocumentRow *)g_ptr_array_index(rows, i))->native_id, ==, id);
    }
    remove_folder(dir);
}

/* --- duplicates ---------------------------------------------------------------------------- */

static const char *other_text; /* of the mail that the second mailbox has another text of */

static gboolean
read_mailbox(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
             const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    static const struct {
        const char *id, *text, *parent;
    } documents[] = {{"m1@x", "The rent is 900.\n", NULL},
                     {"m1@x!/2", "a lease\n", "m1@x"},
                     {"m2@x", "It rained.\n", NULL},
                     {"m3@x", NULL, NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        PdDocument *document =
            pd_document_new(documents[i].parent ? PD_KIND_TEXT : PD_KIND_MAIL, documents[i].id);
        document->native_id = documents[i].parent ? NULL : g_strdup(documents[i].id);
        document->parent_key = g_strdup(documents[i].parent);
        document->title = g_strdup("s");
        document->author = g_strdup("kay@x");
        g_string_append(pd_document_add_part(document, "1", NULL)->text,
                        documents[i].text ? documents[i].text : other_text);
        if (!sink->document(document, sink->user_data, error))
            return FALSE;
    }
    return TRUE;
}

static char *
told_texts(PdCorpus *corpus)
{
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GPtrArray) segments = pd_corpus_segments(corpus, tokenizer, NULL, NULL);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < segments->len; i++) {
        const PdSegmentRow *segment = g_ptr_array_index(segments, i);
        g_autoptr(PdPartRow) part = pd_corpus_part(corpus, segment->part_id, NULL);
        g_string_append(text, part->text);
    }
    return g_string_free(text, FALSE);
}

/* The same mails in two mailboxes are read once, with their attachments, and tell both places; one
 * that differs is read twice; when the first mailbox goes, the other's are read. */
static void
test_duplicates(void)
{
    static const PdCorpusReader reader = {detect_any, read_mailbox};
    static const char all[] = "The rent is 900.\na lease\nIt rained.\n";
    char *dir = make_folder();
    g_autofree char *path = g_build_filename(dir, "c", NULL);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    other_text = "one\n";
    g_assert_true(
        pd_corpus_add_with_reader(corpus, &reader, "/a.mbox", NULL, NULL, NULL, NULL, NULL));
    other_text = "two\n";
    g_assert_true(
        pd_corpus_add_with_reader(corpus, &reader, "/b.mbox", NULL, NULL, NULL, NULL, NULL));
    g_autofree char *told = told_texts(corpus);
    g_autofree char *expected = g_strconcat(all, "one\n", "two\n", NULL);
    g_assert_cmpstr(told, ==, expected);

    g_autoptr(GPtrArray) rows = pd_corpus_documents(corpus, NULL, NULL);
    g_assert_cmpuint(rows->len, ==, 8);
    for (guint i = 0; i < rows->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(rows, i);
        gboolean same = g_str_equal(row->source, "b.mbox") && !g_str_equal(row->key, "m3@x");
        g_assert_cmpint(row->duplicate_of, ==, same ? row->id - 4 : 0);
    }
    gint64 part = count_rows(corpus, "SELECT p.id FROM part p JOIN document d ON d.id ="
                                     " p.document_id WHERE d.key = 'm2@x' LIMIT 1");
    g_autofree char *place = pd_corpus_locate(corpus, part, 0, 2, NULL);
    g_assert_cmpstr(place, ==, "kay@x, \"s\", part 1, l. 1 <m2@x>, also in b.mbox");

    g_assert_true(pd_corpus_remove(corpus, "a.mbox", NULL, NULL));
    g_autofree char *rest = told_texts(corpus);
    g_autofree char *left = g_strconcat(all, "two\n", NULL);
    g_assert_cmpstr(rest, ==, left);
    remove_folder(dir);
}

static void
test_order(void)
{
    static const PdCorpusReader reader = {detect_any, read_thread};
    static const char *const mails[] = {"a1", "a1/2", "a2", "a3", "c9", "c8",
                                        "b1", "b2",   "l2", "l1", NULL};
    static const char *const both[] = {"a1",       "a1/2", "a2",  "a3",  "c9",       "c8",
                                       "b1",       "b2",   "l2",  "l1",  "README",   "A/README",
                                       "Makefile", "z.h",  "a.c", "b.c", "test_a.c", NULL};
    FakeDocument files[] = {{PD_KIND_TEXT, "test_a.c", "6"}, {PD_KIND_TEXT, "b.c", "5"},
                            {PD_KIND_TEXT, "z.h", "3"},      {PD_KIND_TEXT, "a.c", "4"},
                            {PD_KIND_TEXT, "README", "1"},   {PD_KIND_TEXT, "Makefile", "2"},
                            {PD_KIND_TEXT, "A/README", "7"}};
    char *dir = make_folder();
    g_autofree char *path = g_build_filename(dir, "c", NULL);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    g_assert_true(pd_corpus_add_with_reader(corpus, &reader, "/m", NULL, NULL, NULL, NULL, NULL));
    assert_order(corpus, mails);
    fake_source = (FakeSource){.documents = files, .n_documents = 7, .at = G_MAXSIZE};
    add_fake(corpus, "/a");
    assert_order(corpus, both);
    remove_folder(dir);
}

/* RFC 8259, section 7: no control character stands in a string as it is, and each comes back. */
static void
test_json_controls(void)
{
    g_autofree char *every = g_malloc0(0x80);
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_VALUE);
    g_autoptr(JsonNode) back = NULL;
    g_autofree char *text = NULL;

    for (int c = 1; c < 0x80; c++)
        every[c - 1] = (char)c;
    json_node_set_string(node, every);
    text = pd_json_text(node);
    for (const char *p = text; *p; p++)
        g_assert_cmpint((guchar)*p, >=, 0x20);
    back = json_from_string(text, NULL);
    g_assert_nonnull(back);
    g_assert_cmpstr(json_node_get_string(back), ==, every);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/locate/people", Fixture, NULL, set_up, test_people, tear_down);
    g_test_add("/locate/changes", Fixture, NULL, set_up, test_changes, tear_down);
    g_test_add("/locate/programs", Fixture, NULL, set_up, test_programs, tear_down);
    g_test_add("/locate/outside", Fixture, NULL, set_up, test_outside, tear_down);
    g_test_add_func("/json/controls", test_json_controls);
    g_test_add_func("/order/ranks", test_ranks);
    g_test_add_func("/order/natural", test_natural);
    g_test_add_func("/order/documents", test_order);
    g_test_add_func("/order/threads", test_threads);
    g_test_add_func("/order/long-thread", test_long_thread);
    g_test_add_func("/order/duplicates", test_duplicates);
    return g_test_run();
}
