#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "corpus_fixture.h"
#include "ingest/item.h"
#include "ingest/sha256.h"

FakeSource fake_source;
int fake_detect_error = -1;

static const char *
fake_detect(const char *path, GError **error)
{
    if (fake_detect_error < 0)
        return "folder";
    g_set_error(error, PD_INGEST_ERROR, fake_detect_error, "%s: not read", path);
    return NULL;
}

static gboolean
send_document(const FakeDocument *fake, const PdReadRequest *request, const PdReadSink *sink,
              GError **error)
{
    PdDocument *document = pd_document_new(fake->kind, fake->key);
    document->title = g_strdup(fake->key);
    document->native_id = g_strdup(fake->blob);
    document->parent_key = g_strdup(fake->parent);
    document->author = g_strdup(fake->author);
    document->revision = g_strdup(fake_source.commit);
    document->date_utc = fake->date_utc;
    if (fake->blob && request->known && g_hash_table_contains(request->known, fake->blob) &&
        fake->kind == PD_KIND_GIT_FILE)
        document->unchanged = TRUE;
    else {
        document->raw_bytes = (gint64)strlen(fake->text);
        pd_sha256(fake->text, strlen(fake->text), document->raw_sha256);
        PdPart *part = pd_document_add_part(document, fake->path ? fake->path : "", NULL);
        part->flow = fake->flow;
        g_string_append(part->text, fake->text);
    }
    return sink->document(document, sink->user_data, error);
}

static gboolean
fake_read(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
          const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    for (gsize i = 0; i < fake_source.n_lines; i++) {
        if (pd_ledger_is_outcome(fake_source.lines[i].level))
            sink->found(sink->user_data);
        if (!sink->ledger(&fake_source.lines[i], sink->user_data, error))
            return FALSE;
    }
    for (gsize i = 0; i < fake_source.n_documents; i++) {
        if (i == fake_source.at && fake_source.kill)
            raise(SIGKILL);
        if (i == fake_source.at && fake_source.cancel)
            g_cancellable_cancel(cancellable);
        if (i == fake_source.at && fake_source.fail) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER, "%s: the reader died",
                        request->path);
            return FALSE;
        }
        sink->found(sink->user_data);
        if (!send_document(&fake_source.documents[i], request, sink, error))
            return FALSE;
        sink->progress(i + 1, fake_source.n_documents, sink->user_data);
    }
    for (gsize i = 0; i < fake_source.n_remarks; i++)
        if (!sink->ledger(&fake_source.remarks[i], sink->user_data, error))
            return FALSE;
    return TRUE;
}

const PdCorpusReader fake_reader = {fake_detect, fake_read};

char *
fake_text(gsize n_bytes, guint32 seed)
{
    static const char *const words[] = {
        "window",      "attention", "the",  "of",
        "caf\xc3\xa9", "key",       "row",  "\xe6\x97\xa5\xe6\x9c\xac",
        "offset",      "a",         "block"};
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    GString *text = g_string_new(NULL);
    while (text->len < n_bytes) {
        int n = g_rand_int_range(rand, 3, 14);
        gboolean code = g_rand_int_range(rand, 0, 4) == 0;
        for (int i = 0; i < n; i++)
            g_string_append_printf(text, "%s%s", i ? " " : "",
                                   words[g_rand_int_range(rand, 0, (gint32)G_N_ELEMENTS(words))]);
        g_string_append(text, code ? ";\n    " : ".\n");
        if (g_rand_int_range(rand, 0, 4) == 0)
            g_string_append(text, "\n");
    }
    return g_string_free(text, FALSE);
}

FakeDocument *
fake_documents(gsize n, gsize n_bytes, guint32 seed)
{
    FakeDocument *documents = g_new0(FakeDocument, n);
    for (gsize i = 0; i < n; i++) {
        documents[i].kind = PD_KIND_TEXT;
        documents[i].key = g_strdup_printf("d/%04" G_GSIZE_FORMAT ".txt", i);
        documents[i].text = fake_text(n_bytes, seed + (guint32)(i % 3 == 2 ? i - 1 : i));
        documents[i].date_utc = G_MININT64;
    }
    return documents;
}

void
fake_documents_free(FakeDocument *documents, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        g_free((char *)documents[i].key);
        g_free((char *)documents[i].text);
    }
    g_free(documents);
}

PdTokenizer *
test_tokenizer(void)
{
    static PdTokenizer *kept; /* of the whole program: reading it again would be most of the time */
    if (!kept) {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdGguf) gguf =
            pd_gguf_open(PD_SOURCE_ROOT "/tests/golden/tiny/tiny.gguf", &error);
        g_assert_no_error(error);
        kept = pd_tokenizer_new_from_gguf(gguf, &error);
        g_assert_no_error(error);
    }
    return pd_tokenizer_ref(kept);
}

char *
make_folder(void)
{
    g_autoptr(GError) error = NULL;
    char *dir = g_dir_make_tmp("pandect-corpus-XXXXXX", &error);
    g_assert_no_error(error);
    return dir;
}

void
remove_folder(char *dir)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;
    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
            remove_folder(g_steal_pointer(&path));
        else
            g_unlink(path);
    }
    g_rmdir(dir);
    g_free(dir);
}

PdCorpus *
open_corpus(const char *dir, PdCorpusMode mode)
{
    g_autoptr(GError) error = NULL;
    PdCorpus *corpus = pd_corpus_open(dir, mode, &error);
    g_assert_no_error(error);
    return corpus;
}

PdAddReport
add_fake(PdCorpus *corpus, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    PdAddReport report;
    pd_corpus_add_with_reader(corpus, &fake_reader, path, tokenizer, NULL, &report, NULL, &error);
    g_assert_no_error(error);
    return report;
}

gint64
count_rows(PdCorpus *corpus, const char *sql)
{
    g_autoptr(GError) error = NULL;
    gint64 n = -1;
    pd_db_int(corpus, -1, &n, &error, sql, "");
    g_assert_no_error(error);
    return n;
}

PdPartRow *
live_part(PdCorpus *corpus, const char *source, const char *key)
{
    g_autofree char *sql =
        g_strdup_printf("SELECT p.id FROM document d JOIN part p ON p.document_id = d.id"
                        " JOIN source s ON s.id = d.source_id WHERE d.state = 'live'"
                        " AND s.alias LIKE '%s' AND d.key = '%s'",
                        source ? source : "%", key);
    PdPartRow *part = pd_corpus_part(corpus, count_rows(corpus, sql), NULL);
    g_assert_nonnull(part);
    return part;
}

void
assert_sound(const char *dir)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(PdCorpus) corpus = open_corpus(dir, PD_CORPUS_READ);
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
    pd_corpus_verify(corpus, tokenizer, findings, NULL, &error);
    g_assert_no_error(error);
    if (findings->len > 0)
        g_test_message("%s", (char *)g_ptr_array_index(findings, 0));
    g_assert_cmpuint(findings->len, ==, 0);
}

static void
append_line(const char *source, const PdLedgerLine *line, gpointer out)
{
    g_string_append_printf(out, "%s %s %s: %s\n", source, line->level, line->key, line->reason);
}

char *
dump_ledger(PdCorpus *corpus)
{
    g_autoptr(GError) error = NULL;
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) runs = pd_corpus_runs(corpus, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < runs->len; i++) {
        const PdRunRow *run = g_ptr_array_index(runs, i);
        const PdAddReport *r = &run->report;
        g_string_append_printf(out, "%s %s %s: %d found, %d read, %d skipped, %d failed\n",
                               run->source, run->kind, run->status, (int)r->n_found, (int)r->n_read,
                               (int)r->n_skipped, (int)r->n_failed);
        g_assert_true(pd_corpus_ledger(corpus, run->source, append_line, out, &error));
    }
    return g_string_free(out, FALSE);
}

char *
dump_content(const char *dir)
{
    g_autoptr(PdCorpus) corpus = open_corpus(dir, PD_CORPUS_READ);
    sqlite3_stmt *stmt = NULL;
    GString *out = g_string_new(NULL);
    int rc = sqlite3_prepare_v2(
        pd_corpus_db(corpus),
        "SELECT s.alias, d.key, d.kind, d.title, coalesce(d.native_id, ''), p.ord, p.path,"
        " hex(d.raw_sha256), d.raw_bytes,"
        " hex(t.sha256), t.n_bytes, g.ord, g.start, g.end, g.n_tokens, hex(g.ids), hex(g.offsets)"
        " FROM document d JOIN source s ON s.id = d.source_id JOIN part p ON p.document_id = d.id"
        " JOIN text t ON t.id = p.text_id LEFT JOIN segment g ON g.text_id = t.id"
        " WHERE d.state = 'live' ORDER BY 1, 2, 6, 10",
        -1, &stmt, NULL);
    g_assert_cmpint(rc, ==, SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            g_string_append_printf(out, "%s|", (const char *)sqlite3_column_text(stmt, i));
        g_string_append_c(out, '\n');
    }
    sqlite3_finalize(stmt);
    return g_string_free(out, FALSE);
}
