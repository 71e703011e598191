/*
 * Secrets are not in what models read, and every place still walks back to the source's own bytes.
 */
#include <json-glib/json-glib.h>
#include <string.h>
#include "corpus_fixture.h"
#include "ingest/json_text.h"
#include "ingest/mask.h"
#include "ingest/model_text.h"

#define TOKEN                                                                                      \
    "ghp"                                                                                          \
    "_q7Lw2ZbT9xKmVc4RfNp8sYhD1uJ6gEaXiW0o"
#define PASSWORD "h0rse-Batt3ry"
#define KEY_BODY                                                                                   \
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDHn4bWm7TqZkOa\n"                           \
    "y1w6Yt0s8pQmLr5cXuV2JdKf9hGeRiBzNoTqWvEaUxSbClPyMkDjHgFnZt3w7I4r\n"                           \
    "q8Kf=="

/* The key takes lines 3 to 5; the token stands on lines 8 and 9. */
static const char code[] = "key =\n"
                           "-----BEGIN PRIVATE"
                           " KEY-----\n" KEY_BODY "\n"
                           "-----END PRIVATE KEY-----\n"
                           "caf\xc3\xa9 = 1\n"
                           "t = " TOKEN "\n"
                           "u = " TOKEN " # again\n"
                           "last line\n";
static const char masked_code[] = "key =\n"
                                  "-----BEGIN PRIVATE"
                                  " KEY-----\n"
                                  "[secret:private-key#1]\n"
                                  "-----END PRIVATE KEY-----\n"
                                  "caf\xc3\xa9 = 1\n"
                                  "t = [secret:github-token#2]\n"
                                  "u = [secret:github-token#2] # again\n"
                                  "last line\n";
static const char url_text[] = "db: postgres://app:" PASSWORD "@db/app\n";
static const char plain_text[] = "nothing to hide\n";

static FakeDocument documents[] = {
    {.kind = PD_KIND_GIT_FILE, .key = "a.py", .text = code, .blob = "b1", .date_utc = G_MININT64},
    {.kind = PD_KIND_GIT_FILE,
     .key = "b.py",
     .text = plain_text,
     .blob = "b2",
     .date_utc = G_MININT64},
    {.kind = PD_KIND_TEXT, .key = "c.txt", .text = url_text, .date_utc = G_MININT64},
};

typedef struct {
    char *dir;
    PdCorpus *corpus;
    GPtrArray *lines; /* "level key reason n_bytes" */
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = make_folder();
    f->corpus = open_corpus(f->dir, PD_CORPUS_CREATE);
    f->lines = g_ptr_array_new_with_free_func(g_free);
    fake_source = (FakeSource){.documents = documents,
                               .n_documents = G_N_ELEMENTS(documents),
                               .at = G_MAXSIZE,
                               .commit = "3f2c1ab9d5a1c8e6b7f8091a2b3c4d5e6f708192"};
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    pd_corpus_free(f->corpus);
    assert_sound(f->dir);
    remove_folder(f->dir);
    g_ptr_array_unref(f->lines);
}

static void
on_line(const char *source, const PdLedgerLine *line, gpointer user_data)
{
    Fixture *f = user_data;
    g_ptr_array_add(f->lines, g_strdup_printf("%s %s: %s (%" G_GINT64_FORMAT " bytes)", line->level,
                                              line->key, line->reason, line->n_bytes));
}

static PdAddReport
add(Fixture *f, gboolean no_mask)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    PdAddOptions options = {.no_mask = no_mask};
    PdAddReport report;
    g_ptr_array_set_size(f->lines, 0);
    pd_corpus_add_with_reader(f->corpus, &fake_reader, "/a/source", tokenizer, &options, &report,
                              NULL, &error);
    g_assert_no_error(error);
    pd_corpus_ledger(f->corpus, NULL, on_line, f, &error);
    g_assert_no_error(error);
    return report;
}

static void
assert_original(const PdPartRow *part, const char *text)
{
    g_autoptr(GString) original = pd_part_row_original(part, NULL);
    g_assert_nonnull(original);
    g_assert_cmpmem(original->str, original->len, text, strlen(text));
}

/* What a model gets of the whole corpus: its tokens, decoded. */
static char *
decoded(Fixture *f)
{
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GPtrArray) segments = pd_corpus_segments(f->corpus, tokenizer, NULL, NULL);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < segments->len; i++) {
        const PdSegmentRow *segment = g_ptr_array_index(segments, i);
        for (guint t = 0; t < segment->n_tokens; t++)
            pd_tokenizer_decode(tokenizer, segment->ids[t], TRUE, text);
    }
    return g_string_free(text, FALSE);
}

static void
test_masked(Fixture *f, gconstpointer data)
{
    PdAddReport report = add(f, FALSE);
    g_assert_cmpuint(report.n_new, ==, 3);
    g_assert_cmpuint(report.n_masked, ==, 4);
    g_assert_cmpuint(f->lines->len, ==, 2);
    g_autofree char *line = g_strdup_printf(
        "masked a.py: 3 secrets: 2 github-token, 1 private-key (%" G_GSIZE_FORMAT " bytes)",
        2 * strlen(TOKEN) + strlen(KEY_BODY));
    g_assert_cmpstr(f->lines->pdata[0], ==, line);
    g_assert_cmpstr(f->lines->pdata[1], ==, "masked c.txt: 1 secret: 1 url-password (13 bytes)");

    g_autoptr(PdPartRow) part = live_part(f->corpus, NULL, "a.py");
    g_assert_cmpstr(part->text, ==, masked_code);
    assert_original(part, code);
    g_autoptr(PdPartRow) plain = live_part(f->corpus, NULL, "b.py");
    g_assert_null(plain->view);
    assert_original(plain, plain_text);

    g_autofree char *read = decoded(f);
    g_assert_nonnull(strstr(read, "[secret:github-token#2]"));
    g_assert_null(strstr(read, TOKEN));
    g_assert_null(strstr(read, PASSWORD));
    g_assert_null(strstr(read, "MIIEvQ"));

    /* Found again as they were: told again. */
    report = add(f, FALSE);
    g_assert_cmpuint(report.n_unchanged, ==, 3);
    g_assert_cmpuint(report.n_masked, ==, 4);
    g_assert_cmpuint(f->lines->len, ==, 2);
    g_assert_cmpstr(f->lines->pdata[0], ==, line);
}

static void
test_not_masked(Fixture *f, gconstpointer data)
{
    PdAddReport report = add(f, TRUE);
    g_assert_cmpuint(report.n_masked, ==, 0);
    g_assert_cmpuint(f->lines->len, ==, 0);
    g_autofree char *read = decoded(f);
    g_assert_nonnull(strstr(read, TOKEN));
    {
        g_autoptr(PdPartRow) part = live_part(f->corpus, NULL, "a.py");
        g_assert_null(part->view);
        g_assert_cmpstr(part->text, ==, code);
    }
    /* Blobs that are known without masks are read again for them, and the other way round. */
    report = add(f, FALSE);
    g_assert_cmpuint(report.n_changed, ==, 2);
    g_assert_cmpuint(report.n_unchanged, ==, 1);
    g_assert_cmpuint(report.n_masked, ==, 4);
    g_autofree char *masked = decoded(f);
    g_assert_null(strstr(masked, TOKEN));
    report = add(f, TRUE);
    g_assert_cmpuint(report.n_changed, ==, 2);
    g_autofree char *again = decoded(f);
    g_assert_cmpstr(again, ==, read);
}

/* A blob that moved brings its mask along, though the reader sends no text. */
static void
test_moved(Fixture *f, gconstpointer data)
{
    FakeDocument moved[G_N_ELEMENTS(documents)];
    add(f, FALSE);
    memcpy(moved, documents, sizeof moved);
    moved[0].key = "lib/a.py";
    fake_source.documents = moved;
    PdAddReport report = add(f, FALSE);
    g_assert_cmpuint(report.n_new, ==, 1);
    g_assert_cmpuint(report.n_removed, ==, 1);
    g_assert_cmpuint(report.n_masked, ==, 4);
    g_autoptr(PdPartRow) part = live_part(f->corpus, NULL, "lib/a.py");
    g_assert_cmpstr(part->text, ==, masked_code);
    assert_original(part, code);
}

/* Bytes of the model's text from the first `from` up to the end of the next `to`. */
static void
range_of(const PdPartRow *part, const char *from, const char *to, guint32 *start, guint32 *end)
{
    const char *first = strstr(part->text, from);
    g_assert_nonnull(first);
    *start = (guint32)(first - part->text);
    *end = (guint32)(strstr(first, to) - part->text + strlen(to));
}

static void
assert_place(Fixture *f, const PdPartRow *part, const char *from, const char *to, const char *place,
             const char *stands_for)
{
    guint32 start, end;
    range_of(part, from, to, &start, &end);
    g_autofree char *human = pd_corpus_locate(f->corpus, part->id, start, end, NULL);
    g_assert_cmpstr(human, ==, place);
    g_autofree char *json = pd_corpus_locate_json(f->corpus, part->id, start, end, NULL);
    g_autoptr(JsonNode) root = json_from_string(json, NULL);
    JsonObject *object = json_node_get_object(root);
    JsonArray *range = json_object_get_array_member(object, "original");
    gint64 a = json_array_get_int_element(range, 0), b = json_array_get_int_element(range, 1);
    g_assert_cmpint(json_object_get_int_member(object, "start"), ==, start);
    g_assert_cmpmem(code + a, (gsize)(b - a), stands_for, strlen(stands_for));
}

static void
test_places(Fixture *f, gconstpointer data)
{
    add(f, FALSE);
    g_autoptr(PdPartRow) part = live_part(f->corpus, NULL, "a.py");
    assert_place(f, part, "key", "key", "a.py:1 @ 3f2c1ab", "key");
    assert_place(f, part, "[secret:private", "#1]", "a.py:3-5 @ 3f2c1ab", KEY_BODY);
    /* any part of a mark is all that it stands for */
    assert_place(f, part, "ret:private-k", "ey", "a.py:3-5 @ 3f2c1ab", KEY_BODY);
    assert_place(f, part, "caf", "1", "a.py:7 @ 3f2c1ab", "caf\xc3\xa9 = 1");
    assert_place(f, part, "t = ", "#2]", "a.py:8 @ 3f2c1ab", "t = " TOKEN);
    assert_place(f, part, " # again", "line", "a.py:9-10 @ 3f2c1ab", " # again\nlast line");
    assert_place(f, part, "#1]", "u =", "a.py:3-9 @ 3f2c1ab",
                 KEY_BODY "\n-----END PRIVATE KEY-----\ncaf\xc3\xa9 = 1\nt = " TOKEN "\nu =");
    guint32 end = (guint32)part->n_bytes;
    g_autofree char *last = pd_corpus_locate(f->corpus, part->id, end, end, NULL);
    g_assert_cmpstr(last, ==, "a.py:11 @ 3f2c1ab");
}

/* --- boxes --------------------------------------------------------------------------------- */

static gboolean
read_pdf(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
         const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    PdDocument *pdf = pd_document_new(PD_KIND_PDF, "");
    pdf->title = g_strdup("key " TOKEN);
    PdPart *part = pd_document_add_part(pdf, "page/1", NULL);
    g_string_append(part->text, "token " TOKEN " ends\n");
    const PdBox boxes[] = {{0, 5, 10, 10, 20, 20},
                           {6, 6 + sizeof TOKEN - 1, 30, 10, 90, 20},
                           {6 + sizeof TOKEN, 10 + sizeof TOKEN, 100, 40, 120, 50}};
    part->boxes = g_array_new(FALSE, FALSE, sizeof(PdBox));
    g_array_append_vals(part->boxes, boxes, G_N_ELEMENTS(boxes));
    sink->found(sink->user_data);
    return sink->document(pdf, sink->user_data, error);
}

static const char *
detect_pdf(const char *path, GError **error)
{
    return "pdf";
}

static void
assert_box(Fixture *f, const PdPartRow *part, const char *what, const char *boxes)
{
    guint32 start, end;
    range_of(part, what, what, &start, &end);
    g_autofree char *json = pd_corpus_locate_json(f->corpus, part->id, start, end, NULL);
    g_autoptr(JsonNode) root = json_from_string(json, NULL);
    JsonNode *member = json_object_get_member(json_node_get_object(root), "boxes");
    g_autofree char *text = json_to_string(member, FALSE);
    g_assert_cmpstr(text, ==, boxes);
}

static void
test_boxes(Fixture *f, gconstpointer data)
{
    static const PdCorpusReader reader = {detect_pdf, read_pdf};
    g_autoptr(GError) error = NULL;
    pd_corpus_add_with_reader(f->corpus, &reader, "/a/l.pdf", NULL, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(PdPartRow) part = live_part(f->corpus, NULL, "");
    g_assert_cmpstr(part->text, ==, "token [secret:github-token#1] ends\n");
    assert_box(f, part, "token ", "[[10.0,10.0,20.0,20.0]]");
    assert_box(f, part, "github", "[[30.0,10.0,90.0,20.0]]");
    assert_box(f, part, "ends", "[[100.0,40.0,120.0,50.0]]");
    /* A title stands in front of what models read. */
    g_autoptr(GPtrArray) rows = pd_corpus_documents(f->corpus, NULL, NULL);
    g_assert_cmpstr(((PdDocumentRow *)rows->pdata[0])->title, ==, "key [secret:github-token#1]");
}

/* --- edits, damage ------------------------------------------------------------------------- */

static void
test_edit(Fixture *f, gconstpointer data)
{
    add(f, FALSE);
    g_autoptr(PdPartRow) part = live_part(f->corpus, NULL, "a.py");
    guint32 start, end;
    g_autoptr(GArray) edits = g_array_new(FALSE, FALSE, sizeof(PdTextEdit));
    range_of(part, "caf", "1", &start, &end); /* between two marks */
    PdTextEdit edit = {end, end, "\nmore = 2", 9};
    g_array_append_val(edits, edit);
    range_of(part, "t = [", "#2]", &start, &end); /* one mark goes */
    edit = (PdTextEdit){start, end, "t = 3", 5};
    g_array_append_val(edits, edit);
    g_assert_true(pd_corpus_edit_part(f->corpus, part->id, edits, NULL));
    g_autoptr(PdPartRow) edited = pd_corpus_part(f->corpus, part->id, NULL);
    g_assert_cmpstr(edited->text, ==,
                    "key =\n-----BEGIN PRIVATE"
                    " KEY-----\n[secret:private-key#1]\n"
                    "-----END PRIVATE KEY-----\ncaf\xc3\xa9 = 1\nmore = 2\nt = 3\n"
                    "u = [secret:github-token#2] # again\nlast line\n");
    assert_original(edited, "key =\n-----BEGIN PRIVATE"
                            " KEY-----\n" KEY_BODY "\n"
                            "-----END PRIVATE KEY-----\ncaf\xc3\xa9 = 1\nmore = 2\nt = 3\n"
                            "u = " TOKEN " # again\nlast line\n");
}

static void
test_damage(Fixture *f, gconstpointer data)
{
    add(f, FALSE);
    gint64 a = count_rows(f->corpus, "SELECT p.id FROM part p JOIN document d ON d.id ="
                                     " p.document_id WHERE d.key = 'a.py'");
    g_autofree char *swap = g_strdup_printf(
        "CREATE TEMP TABLE kept AS SELECT id, n_view_bytes, view FROM part WHERE view NOTNULL;"
        "UPDATE part SET (n_view_bytes, view) = (SELECT n_view_bytes, view FROM kept"
        " WHERE id <> part.id) WHERE view NOTNULL");
    g_assert_true(pd_db_exec(f->corpus, swap, NULL));
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
    g_assert_true(pd_corpus_verify(f->corpus, NULL, findings, NULL, NULL));
    g_assert_cmpuint(findings->len, ==, 2);
    g_autofree char *expected =
        g_strdup_printf("part %" G_GINT64_FORMAT ": its list of masked places is damaged", a);
    g_assert_cmpstr(findings->pdata[0], ==, expected);
    g_assert_true(pd_db_exec(f->corpus,
                             "UPDATE part SET (n_view_bytes, view) = (SELECT n_view_bytes, view"
                             " FROM kept WHERE id = part.id) WHERE view NOTNULL",
                             NULL));
}

/* Bytes that were never a view are refused, cut off or changed anywhere. */
/* Hides `what` in the only part. */
static void
hide(PdDocument *document, const char *what)
{
    PdPart *part = g_ptr_array_index(document->parts, 0);
    const char *at = strstr(part->text->str, what);
    PdTextRange range = {(guint32)(at - part->text->str),
                         (guint32)(at - part->text->str + (gssize)strlen(what))};
    if (!part->hidden)
        part->hidden = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    g_array_append_val(part->hidden, range);
}

/* What nobody sees on a page goes, with the secrets that it holds or touches. */
static void
test_hidden(void)
{
    static const char text[] = "a " TOKEN " b\nhidden 1 " TOKEN " here\nc " TOKEN
                               " d\nlast\nurl postgres://app:" PASSWORD "@db/app e\n";
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_PDF, "");
    PdPart *part = pd_document_add_part(document, "page/1", NULL);
    g_string_append(part->text, text);
    hide(document, "hidden 1 " TOKEN " here");
    hide(document, "last");
    hide(document, "Batt3ry@db/app e"); /* half of a secret */
    pd_model_text_make(document, TRUE);
    g_assert_cmpstr(part->text->str, ==,
                    "a [secret:github-token#1] b\n[hidden text]\nc [secret:github-token#1] d\n"
                    "[hidden text]\nurl postgres://app:[hidden text]\n");
    g_autoptr(GString) original =
        pd_text_view_original(part->view, part->text->str, part->text->len);
    g_assert_cmpstr(original->str, ==, text);
    g_autoptr(GHashTable) kinds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gsize n_bytes = 0;
    g_assert_cmpuint(pd_mask_count(part->view, part->text->str, part->text->len, kinds, &n_bytes),
                     ==, 2);
}

static void
test_decode(void)
{
    const PdReplacement r[] = {{2, 5, "[m]", PD_MARK_SECRET}, {5, 9, "", PD_MARK_SECRET}};
    g_autoptr(GString) text = g_string_new("0123456789");
    g_autoptr(PdTextView) view = pd_text_view_new(text, r, G_N_ELEMENTS(r));
    g_autoptr(GByteArray) bytes = pd_text_view_encode(view);
    g_assert_cmpstr(text->str, ==, "01[m]9");
    for (guint n = 0; n < bytes->len; n++) {
        g_autofree guint8 *cut = g_memdup2(bytes->data, MAX(n, 1));
        g_assert_null(pd_text_view_decode(cut, n, NULL));
    }
    for (guint i = 0; i < bytes->len; i++)
        for (guint bit = 0; bit < 8; bit++) {
            g_autofree guint8 *changed = g_memdup2(bytes->data, bytes->len);
            changed[i] ^= (guint8)(1 << bit);
            g_autoptr(PdTextView) other = pd_text_view_decode(changed, bytes->len, NULL);
            g_autoptr(GString) original =
                other ? pd_text_view_original(other, text->str, text->len) : NULL;
            if (original)
                g_assert_cmpuint(original->len, ==, other->n_original_bytes);
        }
    g_autoptr(PdTextView) same = pd_text_view_decode(bytes->data, bytes->len, NULL);
    g_autoptr(GString) original = pd_text_view_original(same, text->str, text->len);
    g_assert_cmpstr(original->str, ==, "0123456789");
    g_assert_cmpuint(pd_text_view_start(same, 5), ==, 9);
    g_assert_cmpuint(pd_text_view_end(same, 5), ==, 5);
    g_assert_cmpuint(pd_text_view_end(same, 6), ==, 10);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/mask/masked", Fixture, NULL, set_up, test_masked, tear_down);
    g_test_add("/mask/not-masked", Fixture, NULL, set_up, test_not_masked, tear_down);
    g_test_add("/mask/moved", Fixture, NULL, set_up, test_moved, tear_down);
    g_test_add("/mask/places", Fixture, NULL, set_up, test_places, tear_down);
    g_test_add("/mask/boxes", Fixture, NULL, set_up, test_boxes, tear_down);
    g_test_add("/mask/edit", Fixture, NULL, set_up, test_edit, tear_down);
    g_test_add("/mask/damage", Fixture, NULL, set_up, test_damage, tear_down);
    g_test_add_func("/mask/hidden", test_hidden);
    g_test_add_func("/mask/decode", test_decode);
    return g_test_run();
}
