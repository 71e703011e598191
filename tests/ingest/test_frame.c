/*
 * The wire: what goes in comes out, and what breaks the schema goes nowhere.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ingest/error.h"
#include "ingest/frame.h"

typedef struct {
    GPtrArray *documents;
    GString *lines;
    GByteArray *attachment;
    guint n_begun;
    PdReaderUsage usage;
} Seen;

static gboolean
on_begin(guint64 item, guint64 offset, const char *key, gpointer user_data, GError **error)
{
    ((Seen *)user_data)->n_begun++;
    return TRUE;
}

static gboolean
on_document(PdDocument *document, gpointer user_data, GError **error)
{
    g_ptr_array_add(((Seen *)user_data)->documents, document);
    return TRUE;
}

static gboolean
on_ledger(const PdLedgerLine *line, gpointer user_data, GError **error)
{
    g_string_append_printf(((Seen *)user_data)->lines, "%s|%s|%s\n", line->level, line->key,
                           line->reason);
    return TRUE;
}

static void
on_progress(guint64 done, guint64 total, gpointer user_data)
{
}

static gboolean
on_attachment(const char *name, const char *media_type, const char *revision, int fd,
              guint64 n_bytes, gpointer user_data, GError **error)
{
    Seen *seen = user_data;
    g_byte_array_set_size(seen->attachment, (guint)n_bytes);
    g_assert_cmpint(pread(fd, seen->attachment->data, n_bytes, 0), ==, (gssize)n_bytes);
    return TRUE;
}

static void
free_document(gpointer data)
{
    pd_document_free(data);
}

static void
seen_init(Seen *seen)
{
    seen->documents = g_ptr_array_new_with_free_func(free_document);
    seen->lines = g_string_new(NULL);
    seen->attachment = g_byte_array_new();
    seen->n_begun = 0;
}

static void
seen_clear(Seen *seen)
{
    g_ptr_array_unref(seen->documents);
    g_string_free(seen->lines, TRUE);
    g_byte_array_unref(seen->attachment);
}

/* Feed `bytes` in slices of `slice`. */
static gboolean
feed(Seen *seen, const PdReadLimits *limits, const guint8 *bytes, gsize n, gsize slice,
     gboolean *done, GError **error)
{
    const PdAssemblerSink sink = {on_begin,    on_document,   on_ledger,
                                  on_progress, on_attachment, seen};
    g_autoptr(PdAssembler) assembler = pd_assembler_new(limits, &sink);
    for (gsize at = 0; at < n; at += slice) {
        if (!pd_assembler_feed(assembler, bytes + at, MIN(slice, n - at), NULL, error))
            return FALSE;
    }
    g_autoptr(GError) reported = NULL;
    *done = pd_assembler_done(assembler, &seen->usage, &reported);
    return TRUE;
}

static PdDocument *
sample_document(void)
{
    PdDocument *document = pd_document_new(PD_KIND_PDF, "key");
    document->title = g_strdup("Títle");
    document->date_utc = -12345;
    document->raw_bytes = 99;
    memset(document->raw_sha256, 7, 32);
    PdPart *part = pd_document_add_part(document, "page/1", "iv");
    g_string_append_len(part->text, "two w\xC3\xB6rds\0", 11);
    part->flow = PD_FLOW_DELSP;
    part->boxes = g_array_new(FALSE, FALSE, sizeof(PdBox));
    PdBox boxes[] = {{0, 3, 1, 2, 3, 4}, {4, 10, 5, 6, 7, 8.5f}};
    g_array_append_vals(part->boxes, boxes, 2);
    part->hidden = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    PdTextRange hidden[] = {{0, 3}, {4, 10}};
    g_array_append_vals(part->hidden, hidden, 2);
    return document;
}

/* What the emitter writes, without a process: through a file. */
static GByteArray *
emitted(const PdDocument *document)
{
    g_autofree char *name = NULL;
    int fd = g_file_open_tmp("pandect-test-XXXXXX", &name, NULL);
    g_autoptr(GByteArray) frame = g_byte_array_new();
    PdEmitter emitter = {fd, &pd_read_limits_default, frame};
    guint8 slice[100] = {1, 2, 3};
    const PdReaderUsage usage = {.cpu_us = 12, .peak_bytes = 1ull << 40};
    g_assert_true(pd_emit_begin(&emitter, 3, 4, "k", NULL));
    g_assert_true(pd_emit_document(&emitter, document, NULL));
    g_assert_true(pd_emit_attachment(&emitter, "a.pdf", "application/pdf", slice, 100, NULL));
    /* One that is taken back never arrives. */
    g_assert_true(pd_emit_attachment_head(&emitter, "b.pdf", NULL, NULL));
    g_assert_true(pd_emit_attachment_data(&emitter, slice, 50, NULL));
    g_assert_true(pd_emit_attachment_drop(&emitter, NULL));
    g_assert_true(pd_emit_ledger(&emitter, "note", "k", -1, NULL, "two\nlines %d", 5));
    g_assert_true(pd_emit_progress(&emitter, 1, 2, NULL));
    g_assert_true(pd_emit_result(&emitter, NULL, &usage, NULL));
    frame = emitter.frame;
    g_autofree char *bytes = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(name, &bytes, &n, NULL));
    close(fd);
    g_assert_cmpint(remove(name), ==, 0);
    GByteArray *all = g_byte_array_new();
    return g_byte_array_append(all, (guint8 *)bytes, (guint)n);
}

static void
test_round_trip(void)
{
    g_autoptr(PdDocument) sent = sample_document();
    g_autoptr(GByteArray) bytes = emitted(sent);
    for (gsize slice = 1; slice <= bytes->len; slice = slice * 2 + 1) {
        Seen seen;
        gboolean done;
        g_autoptr(GError) error = NULL;
        seen_init(&seen);
        g_assert_true(
            feed(&seen, &pd_read_limits_default, bytes->data, bytes->len, slice, &done, &error));
        g_assert_no_error(error);
        g_assert_true(done);
        g_assert_cmpuint(seen.n_begun, ==, 1);
        g_assert_cmpuint(seen.documents->len, ==, 1);
        g_assert_cmpuint(seen.attachment->len, ==, 100);
        g_assert_cmpstr(seen.lines->str, ==, "note|k|two lines 5\n");
        g_assert_cmpint(seen.usage.cpu_us, ==, 12);
        g_assert_cmpuint(seen.usage.peak_bytes, ==, 1ull << 40);
        const PdDocument *got = g_ptr_array_index(seen.documents, 0);
        g_assert_cmpstr(got->title, ==, sent->title);
        g_assert_null(got->author);
        g_assert_cmpint(got->date_utc, ==, sent->date_utc);
        g_assert_cmpint(got->raw_offset, ==, -1);
        const PdPart *a = g_ptr_array_index(got->parts, 0);
        const PdPart *b = g_ptr_array_index(sent->parts, 0);
        g_assert_cmpmem(a->text->str, a->text->len, b->text->str, b->text->len);
        g_assert_cmpint(a->flow, ==, PD_FLOW_DELSP);
        g_assert_cmpmem(a->boxes->data, a->boxes->len * sizeof(PdBox), b->boxes->data,
                        b->boxes->len * sizeof(PdBox));
        g_assert_cmpmem(a->hidden->data, a->hidden->len * sizeof(PdTextRange), b->hidden->data,
                        b->hidden->len * sizeof(PdTextRange));
        seen_clear(&seen);
    }
}

/* Every single-byte change is either harmless or refused; nothing crashes (see also the fuzzer). */
static void
test_changed_bytes(void)
{
    g_autoptr(PdDocument) sent = sample_document();
    g_autoptr(GByteArray) bytes = emitted(sent);
    guint n_refused = 0;
    for (guint at = 0; at < bytes->len; at++) {
        Seen seen;
        gboolean done;
        g_autoptr(GError) error = NULL;
        seen_init(&seen);
        bytes->data[at] ^= 0xFF;
        if (!feed(&seen, &pd_read_limits_default, bytes->data, bytes->len, 4096, &done, &error)) {
            g_assert_nonnull(error);
            n_refused++;
        }
        bytes->data[at] ^= 0xFF;
        seen_clear(&seen);
    }
    g_assert_cmpuint(n_refused, >, bytes->len / 3);
}

static gboolean
document_is_taken(const PdDocument *document, const PdReadLimits *limits)
{
    g_autoptr(GByteArray) bytes = emitted(document);
    Seen seen;
    gboolean done;
    seen_init(&seen);
    gboolean ok = feed(&seen, limits, bytes->data, bytes->len, bytes->len, &done, NULL);
    seen_clear(&seen);
    return ok;
}

static void
test_refusals(void)
{
    PdReadLimits tight = pd_read_limits_default;
    tight.text_bytes_max = 5;
    g_autoptr(PdDocument) document = sample_document();
    PdPart *part = g_ptr_array_index(document->parts, 0);
    PdBox *box = &g_array_index(part->boxes, PdBox, 1);
    const PdBox good = *box;
    g_assert_true(document_is_taken(document, &pd_read_limits_default));
    g_assert_false(document_is_taken(document, &tight));
    box->end = 12; /* past the text */
    g_assert_false(document_is_taken(document, &pd_read_limits_default));
    *box = good;
    box->start = 2; /* into the box before */
    g_assert_false(document_is_taken(document, &pd_read_limits_default));
    *box = good;
    box->end = 6; /* inside a character */
    g_assert_false(document_is_taken(document, &pd_read_limits_default));
    *box = good;
    box->x0 = NAN;
    g_assert_false(document_is_taken(document, &pd_read_limits_default));
    *box = good;
    part->flow = PD_N_FLOWS;
    g_assert_false(document_is_taken(document, &pd_read_limits_default));
    part->flow = PD_FLOW_FIXED;
    PdTextRange *hidden = &g_array_index(part->hidden, PdTextRange, 1);
    static const PdTextRange bad[] = {{4, 12}, {6, 10}, {4, 6}, {3, 10}, {2, 10}, {7, 7}};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        *hidden = bad[i];
        g_assert_false(document_is_taken(document, &pd_read_limits_default));
    }
    *hidden = (PdTextRange){4, 10};
    g_assert_true(document_is_taken(document, &pd_read_limits_default));
    part->text->str[0] = '\xFF'; /* no UTF-8 */
    g_assert_false(document_is_taken(document, &pd_read_limits_default));
}

/* A head that promises gigabytes is refused before memory is asked for. */
static void
test_huge_frame(void)
{
    const guint8 head[8] = {0xFF, 0xFF, 0xFF, 0xFF, PD_FRAME_PART, 0, 0, 0};
    Seen seen;
    gboolean done;
    g_autoptr(GError) error = NULL;
    seen_init(&seen);
    g_assert_false(feed(&seen, &pd_read_limits_default, head, sizeof head, 8, &done, &error));
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER);
    seen_clear(&seen);
}

static void
test_request(void)
{
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) files =
        g_ptr_array_new_with_free_func((GDestroyNotify)pd_worker_file_free);
    g_hash_table_add(known, "abc");
    g_ptr_array_add(files, pd_worker_file_new("text", "a.txt", 5));
    g_ptr_array_add(files, pd_worker_file_new("html", "b/c.html", 1ull << 40));
    PdWorkerRequest request = {.kind = "git",
                               .name = "n",
                               .path = "/bad\xFFname",
                               .git_diff = "a..b",
                               .key_prefix = "in/",
                               .include = (char *[]){"*.c", "", NULL},
                               .work_tree = TRUE,
                               .git_blame = TRUE,
                               .resume_item = 7,
                               .known = known,
                               .files = files,
                               .limits = pd_read_limits_default};
    g_autoptr(GByteArray) frame = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    pd_worker_request_encode(&request, frame);
    g_autoptr(PdWorkerRequest) got = pd_worker_request_decode(frame->data, frame->len, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(got->path, ==, request.path);
    g_assert_true(got->work_tree && !got->insecure);
    g_assert_true(got->git_blame && !got->git_history && !got->git_diff_only);
    g_assert_cmpstr(got->git_diff, ==, "a..b");
    g_assert_cmpstr(got->key_prefix, ==, "in/");
    g_assert_cmpuint(g_strv_length(got->include), ==, 2);
    g_assert_cmpstr(got->include[0], ==, "*.c");
    g_assert_cmpuint(g_strv_length(got->exclude), ==, 0);
    g_assert_cmpuint(got->resume_item, ==, 7);
    g_assert_true(g_hash_table_contains(got->known, "abc"));
    g_assert_cmpuint(got->files->len, ==, 2);
    const PdWorkerFile *second = g_ptr_array_index(got->files, 1);
    g_assert_cmpstr(second->kind, ==, "html");
    g_assert_cmpstr(second->key, ==, "b/c.html");
    g_assert_cmpuint(second->n_bytes, ==, 1ull << 40);
    g_assert_cmpmem(&got->limits, sizeof got->limits, &pd_read_limits_default,
                    sizeof pd_read_limits_default);
    for (guint n = 0; n < frame->len; n++) {
        g_autoptr(GError) short_error = NULL;
        g_assert_null(pd_worker_request_decode(frame->data, n, &short_error));
        g_assert_nonnull(short_error);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frame/round-trip", test_round_trip);
    g_test_add_func("/frame/changed-bytes", test_changed_bytes);
    g_test_add_func("/frame/refusals", test_refusals);
    g_test_add_func("/frame/huge-frame", test_huge_frame);
    g_test_add_func("/frame/request", test_request);
    return g_test_run();
}
