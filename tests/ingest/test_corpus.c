/*
 * The corpus: what is stored is what the reader gave, once, through changes, failures, full disks
 * and interruptions.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "corpus_fixture.h"

static char *
corpus_path(const char *dir)
{
    return g_build_filename(dir, "c", NULL);
}

static void
serve(FakeDocument *documents, gsize n)
{
    fake_source = (FakeSource){.documents = documents, .n_documents = n, .at = G_MAXSIZE};
}

/* The stored text of every part against the reader's, through SQL and GChecksum alone. */
static void
assert_stored(PdCorpus *corpus, const FakeDocument *documents, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        sqlite3_stmt *stmt = NULL;
        g_assert_cmpint(
            sqlite3_prepare_v2(pd_corpus_db(corpus),
                               "SELECT lower(hex(t.sha256)), p.id FROM document d JOIN part p ON"
                               " p.document_id = d.id JOIN text t ON t.id = p.text_id"
                               " WHERE d.key = ? AND d.state = 'live'",
                               -1, &stmt, NULL),
            ==, SQLITE_OK);
        sqlite3_bind_text(stmt, 1, documents[i].key, -1, SQLITE_STATIC);
        g_assert_cmpint(sqlite3_step(stmt), ==, SQLITE_ROW);
        g_autofree char *sha256 =
            g_compute_checksum_for_string(G_CHECKSUM_SHA256, documents[i].text, -1);
        g_assert_cmpstr((const char *)sqlite3_column_text(stmt, 0), ==, sha256);
        g_autoptr(PdPartRow) part = pd_corpus_part(corpus, sqlite3_column_int64(stmt, 1), NULL);
        g_assert_nonnull(part);
        g_assert_cmpmem(part->text, part->n_bytes, documents[i].text, strlen(documents[i].text));
        g_assert_cmpint(sqlite3_step(stmt), ==, SQLITE_DONE);
        sqlite3_finalize(stmt);
    }
}

static void
test_add(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    enum { N = 30 };
    FakeDocument *documents = fake_documents(N, 20000, 1);
    serve(documents, N);
    {
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
        PdAddReport report = add_fake(corpus, "/a/source");
        g_assert_cmpuint(report.n_new, ==, N);
        g_assert_cmpuint(report.n_tokens, >, 0);
        assert_stored(corpus, documents, N);
        /* Every third text is a copy: stored and tokenized once. */
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM text"), ==, N - N / 3);
        g_autofree char *before = dump_content(path);
        gint64 n_segments = count_rows(corpus, "SELECT count(*) FROM segment");
        report = add_fake(corpus, "/a/source");
        g_assert_cmpuint(report.n_unchanged, ==, N);
        g_assert_cmpuint(report.n_new + report.n_changed + report.n_removed, ==, 0);
        g_assert_cmpuint(report.n_tokens + report.n_new_text_bytes, ==, 0);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM segment"), ==, n_segments);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), ==, N);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM source"), ==, 1);
        g_autofree char *after = dump_content(path);
        g_assert_cmpstr(before, ==, after);
        /* The same base name elsewhere is another source. */
        report = add_fake(corpus, "/b/source");
        g_assert_cmpuint(report.n_new, ==, N);
        g_assert_cmpuint(report.n_new_text_bytes, ==, 0);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM source WHERE alias = 'source-2'"),
                        ==, 1);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM segment"), ==, n_segments);
    }
    assert_sound(path);
    fake_documents_free(documents, N);
    remove_folder(dir);
}

static void
test_change(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument v1[] = {{PD_KIND_TEXT, "a", "one\n"},
                         {PD_KIND_TEXT, "b", "two\n"},
                         {PD_KIND_TEXT, "m/1", "three\n"}};
    FakeDocument v2[] = {{PD_KIND_TEXT, "a", "one, changed\n"}, {PD_KIND_TEXT, "n", "new\n"}};
    PdLedgerLine failed[] = {{"failed", "m", "the file is being written", 10},
                             {"skipped", "x.bin", "binary", 5}};
    serve(v1, 3);
    {
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
        add_fake(corpus, "/s");
        serve(v2, 2);
        fake_source.lines = failed;
        fake_source.n_lines = 2;
        PdAddReport report = add_fake(corpus, "/s");
        g_assert_cmpuint(report.n_changed, ==, 1);
        g_assert_cmpuint(report.n_new, ==, 1);
        g_assert_cmpuint(report.n_removed, ==, 1); /* b; m/1 is excused by the failure of m */
        g_assert_cmpuint(report.n_failed, ==, 1);
        g_assert_cmpuint(report.n_skipped, ==, 1);
        g_assert_cmpuint(report.n_found, ==, 4);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE state = 'live'"),
                        ==, 3);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE key = 'a' AND"
                                           " state = 'superseded'"),
                        ==, 1);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE key = 'm/1' AND"
                                           " state = 'live'"),
                        ==, 1);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM ledger WHERE key = 'x.bin' AND"
                                           " reason = 'binary' AND n_bytes = 5"),
                        ==, 1);
        assert_stored(corpus, v2, 2);
    }
    assert_sound(path);
    remove_folder(dir);
}

/* Known blobs come without text: the same path, a moved file, and a change that was taken back. */
static void
test_git(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument v1[] = {{PD_KIND_GIT_FILE, "a.c", "int a;\n", "", "b1"},
                         {PD_KIND_GIT_FILE, "b.c", "int b;\n", "", "b2"}};
    FakeDocument v2[] = {{PD_KIND_GIT_FILE, "a.c", "int a2;\n", "", "b3"},
                         {PD_KIND_GIT_FILE, "moved.c", "int b;\n", "", "b2"}};
    serve(v1, 2);
    {
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
        fake_source.commit = "1111111111";
        add_fake(corpus, "/repo");
        serve(v2, 2);
        fake_source.commit = "2222222222";
        PdAddReport report = add_fake(corpus, "/repo");
        g_assert_cmpuint(report.n_changed, ==, 1);
        g_assert_cmpuint(report.n_new, ==, 1);
        g_assert_cmpuint(report.n_removed, ==, 1);
        assert_stored(corpus, v2, 2);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM text"), ==, 3);
        serve(v1, 2);
        fake_source.commit = "3333333333";
        report = add_fake(corpus, "/repo");
        g_assert_cmpuint(report.n_new_text_bytes, ==, 0);
        assert_stored(corpus, v1, 2);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE state = 'live' AND"
                                           " revision = '3333333333'"),
                        ==, 2);
        /* The first revisions came back under their numbers: an old answer's citations open. */
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), ==, 4);
        g_assert_cmpint(count_rows(corpus, "SELECT max(id) FROM document WHERE state = 'live'"), ==,
                        2);
        report = add_fake(corpus, "/repo");
        g_assert_cmpuint(report.n_unchanged, ==, 2);
        /* What was not read again is known as it was read. */
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"
                                           " WHERE raw_sha256 = zeroblob(32) OR raw_bytes < 7"),
                        ==, 0);
    }
    assert_sound(path);
    remove_folder(dir);
}

/* What was remarked on a document holds until it is read again, under whatever name, and goes with
 * it. */
static void
test_remarks(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument v1[] = {{PD_KIND_GIT_FILE, "a.c", "int a;\n", "", "b1"},
                         {PD_KIND_GIT_FILE, "b.c", "int b;\n", "", "b2"},
                         {PD_KIND_TEXT, "t", "text\n"}};
    FakeDocument v2[] = {{PD_KIND_GIT_FILE, "a.c", "int a2;\n", "", "b3"},
                         {PD_KIND_GIT_FILE, "moved.c", "int b;\n", "", "b2"},
                         {PD_KIND_TEXT, "t", "text\n"}};
    PdLedgerLine remarks[] = {{"partial", "a.c", "cut", 7},
                              {"partial", "b.c", "cut", 7},
                              {"hidden", "b.c", "white", 7},
                              {"partial", "b.c", "bytes replaced", 7},
                              {"note", "t", "guessed", 5}};
    PdLedgerLine skipped[] = {{"skipped", "x.bin", "binary", 5}};
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    serve(v1, 3);
    fake_source.remarks = remarks;
    fake_source.n_remarks = 5;
    fake_source.lines = skipped;
    fake_source.n_lines = 1;
    PdAddReport report = add_fake(corpus, "/r");
    g_assert_cmpuint(report.n_partial, ==, 2);
    g_assert_cmpuint(report.n_hidden, ==, 1);
    /* Both blobs are known: the reader says nothing of them, but "t" was read, without a remark. */
    fake_source.n_remarks = fake_source.n_lines = 0;
    report = add_fake(corpus, "/r");
    g_assert_cmpuint(report.n_unchanged, ==, 3);
    g_assert_cmpuint(report.n_partial, ==, 2);
    g_assert_cmpuint(report.n_hidden, ==, 1);
    {
        g_autofree char *ledger = dump_ledger(corpus);
        g_assert_cmpstr(ledger, ==,
                        "r folder done: 3 found, 3 read, 0 skipped, 0 failed\n"
                        "r partial a.c: cut\nr partial b.c: cut\nr hidden b.c: white\n"
                        "r partial b.c: bytes replaced\n");
    }
    serve(v2, 3);
    report = add_fake(corpus, "/r");
    g_assert_cmpuint(report.n_changed, ==, 1);
    g_assert_cmpuint(report.n_partial, ==, 1);
    g_assert_cmpuint(report.n_hidden, ==, 1);
    {
        g_autofree char *ledger = dump_ledger(corpus);
        g_assert_cmpstr(ledger, ==,
                        "r folder done: 3 found, 3 read, 0 skipped, 0 failed\n"
                        "r partial moved.c: cut\nr hidden moved.c: white\n"
                        "r partial moved.c: bytes replaced\n");
    }
    assert_sound(path);
    g_autofree char *id = g_strdup_printf(
        "%d", (int)count_rows(corpus, "SELECT id FROM document WHERE key = 'moved.c'"));
    g_assert_true(pd_corpus_remove(corpus, id, NULL, NULL));
    g_autofree char *ledger = dump_ledger(corpus);
    g_assert_null(strstr(ledger, "moved.c"));
    g_clear_pointer(&corpus, pd_corpus_free);
    assert_sound(path);
    remove_folder(dir);
}

/* Two mails of one Message-ID: the equal one is a duplicate, the different one has its own key,
 * also where a third has that for its Message-ID. */
static void
test_duplicates(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument mails[] = {{PD_KIND_MAIL, "<1@x>", "first\n", "1", "<1@x>"},
                            {PD_KIND_MAIL, "<1@x>", "other\n", "1", "<1@x>"},
                            {PD_KIND_TEXT, "<1@x>/1.2", "attached\n", "", NULL, "<1@x>"},
                            {PD_KIND_MAIL, "<1@x>", "first\n", "1", "<1@x>"},
                            {PD_KIND_MAIL, "<1@x>#2", "so named\n", "1", "<1@x>#2"}};
    serve(mails, 5);
    for (int round = 0; round < 2; round++) {
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
        PdAddReport report = add_fake(corpus, "/m.mbox");
        g_assert_cmpuint(round == 0 ? report.n_new : report.n_unchanged, ==, 4);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), ==, 4);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE key = '<1@x>#2'"),
                        ==, 1);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE"
                                           " parent_key = '<1@x>#2'"),
                        ==, 1);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM ledger WHERE level ="
                                           " 'duplicate'"),
                        ==, 1);
        g_assert_cmpuint(report.n_found, ==, 5);
        g_assert_cmpuint(report.n_read, ==, 5);
        g_assert_cmpuint(report.n_duplicate, ==, 1);
    }
    assert_sound(path);
    remove_folder(dir);
}

static void
assert_add_fails(PdCorpus *corpus, const char *source, const char *pattern)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_assert_false(pd_corpus_add_with_reader(corpus, &fake_reader, source, tokenizer, NULL, NULL,
                                             NULL, &error));
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_null(strchr(error->message, '\n'));
    g_assert_true(g_pattern_match_simple(pattern, error->message));
}

static void
test_nothing(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    PdLedgerLine lines[] = {{"failed", "", "no text layer on any page; run OCR first", -1},
                            {"skipped", "a", "binary", 1},
                            {"skipped", "b", "binary", 1}};
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    serve(NULL, 0);
    fake_source.lines = lines;
    fake_source.n_lines = 1;
    assert_add_fails(corpus, "/x/a.pdf", "*a.pdf: no text layer on any page; run OCR first");
    fake_source.n_lines = 3;
    assert_add_fails(corpus, "/x/dir", "*dir: nothing in it could be read: 2 x binary, 1 x no *");
    fake_detect_error = PD_INGEST_ERROR_UNSUPPORTED;
    assert_add_fails(corpus, "/x/b.bin", "*b.bin: not read");
    fake_detect_error = PD_INGEST_ERROR_NOT_FOUND; /* mistyped: no source */
    assert_add_fails(corpus, "/x/c.bin", "*c.bin: not read");
    fake_detect_error = -1;
    /* Nothing to list, but the reasons are kept. */
    g_autofree char *ledger = dump_ledger(corpus);
    g_assert_cmpstr(ledger, ==,
                    "a.pdf folder failed: 1 found, 0 read, 0 skipped, 1 failed\n"
                    "a.pdf failed : no text layer on any page; run OCR first\n"
                    "dir folder failed: 3 found, 0 read, 2 skipped, 1 failed\n"
                    "dir failed : no text layer on any page; run OCR first\n"
                    "dir skipped a: binary\n"
                    "dir skipped b: binary\n"
                    "b.bin unknown failed: 1 found, 0 read, 1 skipped, 0 failed\n"
                    "b.bin skipped : /x/b.bin: not read\n");
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), ==, 0);
    /* What was read earlier is kept. */
    FakeDocument one[] = {{PD_KIND_TEXT, "a", "one\n"}};
    serve(one, 1);
    add_fake(corpus, "/x/dir");
    serve(NULL, 0);
    assert_add_fails(corpus, "/x/dir", "*dir: nothing to read in it");
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM ledger l JOIN run r ON r.id = run_id"
                                       " WHERE r.id = (SELECT max(id) FROM run) AND level ="
                                       " 'skipped' AND key = '' AND reason LIKE 'nothing%'"),
                    ==, 1);
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document WHERE state = 'live'"), ==,
                    1);
    assert_sound(path);
    remove_folder(dir);
}

/* Text that is no UTF-8 costs its document only. */
static void
test_bad_document(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument documents[] = {{PD_KIND_TEXT, "a", "one\n"},
                                {PD_KIND_TEXT, "bad", "x\xff\n"},
                                {PD_KIND_TEXT, "c", "three\n"}};
    serve(documents, 3);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    PdAddReport report = add_fake(corpus, "/s");
    g_assert_cmpuint(report.n_new, ==, 2);
    g_assert_cmpuint(report.n_failed, ==, 1);
    assert_sound(path);
    remove_folder(dir);
}

static void
test_reader_dies(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument *documents = fake_documents(80, 200, 5);
    serve(documents, 80);
    fake_source.at = 60;
    fake_source.fail = TRUE;
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    assert_add_fails(corpus, "/s", "/s: the reader died");
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), ==, 60);
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM run WHERE status = 'failed'"), ==, 1);
    assert_sound(path);
    fake_source.fail = FALSE;
    PdAddReport report = add_fake(corpus, "/s");
    g_assert_cmpuint(report.n_unchanged, ==, 60);
    g_assert_cmpuint(report.n_new, ==, 20);
    assert_sound(path);
    fake_documents_free(documents, 80);
    remove_folder(dir);
}

static void
test_cancelled(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument *documents = fake_documents(80, 200, 6);
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    serve(documents, 80);
    fake_source.at = 70;
    fake_source.cancel = TRUE;
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    g_assert_false(pd_corpus_add_with_reader(corpus, &fake_reader, "/s", tokenizer, NULL, NULL,
                                             cancellable, &error));
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED);
    g_assert_true(
        g_pattern_match_simple("/s: interrupted; 70 documents are stored*", error->message));
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM document"), ==, 70);
    assert_sound(path);
    fake_source.cancel = FALSE;
    add_fake(corpus, "/s");
    assert_stored(corpus, documents, 80);
    fake_documents_free(documents, 80);
    remove_folder(dir);
}

/* SQLite's own page limit stands for the disk's end. */
static void
test_disk_full(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument *documents = fake_documents(200, 6000, 7);
    serve(documents, 200);
    g_autofree char *whole_path = g_build_filename(dir, "whole", NULL);
    g_autoptr(PdCorpus) whole = open_corpus(whole_path, PD_CORPUS_CREATE);
    add_fake(whole, "/s");
    g_autofree char *limit = g_strdup_printf("PRAGMA max_page_count = %d",
                                             (int)count_rows(whole, "PRAGMA page_count") * 7 / 10);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    sqlite3_exec(pd_corpus_db(corpus), limit, NULL, NULL, NULL);
    assert_add_fails(corpus, "/s", "*corpus.db: the disk is full; free some space*");
    gint64 n_kept = count_rows(corpus, "SELECT count(*) FROM document");
    g_test_message("%d documents kept", (int)n_kept);
    g_assert_cmpint(n_kept, >=, 50);
    g_assert_cmpint(n_kept, <, 200);
    assert_sound(path);
    sqlite3_exec(pd_corpus_db(corpus), "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
    PdAddReport report = add_fake(corpus, "/s");
    g_assert_cmpint((gint64)report.n_unchanged, ==, n_kept);
    assert_stored(corpus, documents, 200);
    assert_sound(path);
    fake_documents_free(documents, 200);
    remove_folder(dir);
}

static void
test_remove(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument a[] = {{PD_KIND_MAIL, "1", "a mail with a secret word: xylophone\n", "1", "1@x"},
                        {PD_KIND_TEXT, "1/2", "its attachment\n", "", NULL, "1"},
                        {PD_KIND_TEXT, "t", "shared\n"}};
    FakeDocument b[] = {{PD_KIND_TEXT, "t", "shared\n"}, {PD_KIND_TEXT, "u", "other\n"}};
    {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
        guint64 n;
        serve(a, 3);
        add_fake(corpus, "/x/a");
        serve(b, 2);
        add_fake(corpus, "/x/b");
        g_autofree char *id = g_strdup_printf(
            "%d", (int)count_rows(corpus, "SELECT id FROM document WHERE key = '1'"));
        g_assert_true(pd_corpus_remove(corpus, id, &n, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(n, ==, 2); /* the mail and its attachment */
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM text"), ==, 2);
        assert_sound(path);
        g_assert_true(pd_corpus_remove(corpus, "/x/b", &n, &error));
        g_assert_cmpuint(n, ==, 2);
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM text"), ==, 1);
        g_assert_false(pd_corpus_remove(corpus, "b", &n, &error));
        g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
        g_assert_true(pd_corpus_remove(corpus, "a", &n, NULL));
        g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM segment"), ==, 0);
    }
    assert_sound(path);
    remove_folder(dir);
}

/* Damage of each kind is found, and named. */
static void
assert_found(const char *sql, const char *pattern)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument documents[] = {{PD_KIND_TEXT, "a", "one and two\n"},
                                {PD_KIND_TEXT, "b", "three\n"}};
    serve(documents, 2);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
    add_fake(corpus, "/s");
    g_assert_cmpint(sqlite3_exec(pd_corpus_db(corpus), sql, NULL, NULL, NULL), ==, SQLITE_OK);
    g_assert_true(pd_corpus_verify(corpus, tokenizer, findings, NULL, NULL));
    gboolean named = FALSE;
    for (guint i = 0; i < findings->len; i++)
        named |= g_pattern_match_simple(pattern, g_ptr_array_index(findings, i));
    if (!named)
        g_test_message("%s: %u findings, first: %s", sql, findings->len,
                       findings->len ? (char *)g_ptr_array_index(findings, 0) : "");
    g_assert_true(named);
    remove_folder(dir);
}

static void
test_verify(void)
{
    assert_found("UPDATE text SET sha256 = zeroblob(32) WHERE id = 1", "text 1:*SHA-256");
    assert_found("UPDATE text SET data = zeroblob(20) WHERE id = 1", "text 1:*damaged*");
    assert_found("UPDATE text SET n_bytes = 1099511627776 WHERE id = 1", "text 1:*damaged*");
    assert_found("UPDATE text SET data = (SELECT data FROM text WHERE id = 2), n_bytes = 6"
                 " WHERE id = 1",
                 "text 1:*SHA-256");
    assert_found("UPDATE segment SET ids = (SELECT ids FROM segment WHERE id = 1), n_tokens ="
                 " (SELECT n_tokens FROM segment WHERE id = 1) WHERE id = 2",
                 "text 2:*");
    assert_found("UPDATE segment SET end = end - 1 WHERE id = 1", "text 1:*");
    assert_found("UPDATE segment SET start = 1 WHERE id = 1", "text 1:*damaged");
    assert_found("DELETE FROM part WHERE id = 1", "text 1 belongs to no document");
    assert_found("UPDATE run SET n_new = 7", "run 1: its counts*");
    assert_found("UPDATE run SET n_found = 3", "run 1: what it found is not what it read*");
    assert_found("UPDATE run SET n_found = 3, n_skipped = 1", "run 1: its ledger does not have*");
    assert_found("DELETE FROM document WHERE id = 1", "source s: documents are missing*");
    assert_found("PRAGMA foreign_keys = OFF; DELETE FROM text WHERE id = 1",
                 "*refers to a missing row*");
}

/* --- opening ------------------------------------------------------------------------------- */

static void
assert_open_fails(const char *path, PdCorpusMode mode, const char *pattern)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(path, mode, &error);
    g_assert_null(corpus);
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS);
    g_test_message("%s", error->message);
    g_assert_null(strchr(error->message, '\n'));
    g_assert_true(g_pattern_match_simple(pattern, error->message));
}

static void
sql_on_file(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
    sqlite3_close(db);
}

static void
test_refusals(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    g_autofree char *db = g_build_filename(path, "corpus.db", NULL);
    g_autofree char *other = g_build_filename(path, "notes.txt", NULL);
    assert_open_fails(path, PD_CORPUS_READ, "*no corpus here*add SOURCE*");
    assert_open_fails(path, PD_CORPUS_WRITE, "*no corpus here*");
    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    assert_open_fails(path, PD_CORPUS_READ, "*no corpus here*");
    g_assert_true(g_file_set_contents(other, "mine", -1, NULL));
    assert_open_fails(path, PD_CORPUS_CREATE, "*not empty (it holds notes.txt)*");
    assert_open_fails(other, PD_CORPUS_READ, "*notes.txt is a file*");
    g_unlink(other);
    g_assert_true(g_file_set_contents(db,
                                      "this is no database, only some text in a file ......"
                                      "................................................",
                                      -1, NULL));
    for (PdCorpusMode mode = PD_CORPUS_READ; mode <= PD_CORPUS_CREATE; mode++)
        assert_open_fails(path, mode, "*corpus.db: is not a Pandect corpus*");
    g_unlink(db);
    sql_on_file(db, "CREATE TABLE t(a)");
    for (PdCorpusMode mode = PD_CORPUS_READ; mode <= PD_CORPUS_CREATE; mode++)
        assert_open_fails(path, mode, "*is not a Pandect corpus but another program's*");
    g_unlink(db);
    /* A kill during creation leaves an empty file: CREATE goes on with it. */
    g_assert_true(g_file_set_contents(db, "", 0, NULL));
    assert_open_fails(path, PD_CORPUS_READ, "*making it had been interrupted*");
    pd_corpus_free(open_corpus(path, PD_CORPUS_CREATE));
    assert_sound(path);
    g_autofree char *newer =
        g_strdup_printf("PRAGMA user_version = %d", pd_corpus_schema_latest() + 3);
    g_autofree char *pattern =
        g_strdup_printf("*newer Pandect*schema is %d*up to %d*", pd_corpus_schema_latest() + 3,
                        pd_corpus_schema_latest());
    sql_on_file(db, newer);
    for (PdCorpusMode mode = PD_CORPUS_READ; mode <= PD_CORPUS_CREATE; mode++)
        assert_open_fails(path, mode, pattern);
    remove_folder(dir);
}

static void
test_truncated(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    g_autofree char *db = g_build_filename(path, "corpus.db", NULL);
    FakeDocument *documents = fake_documents(20, 5000, 8);
    serve(documents, 20);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    add_fake(corpus, "/s");
    g_clear_pointer(&corpus, pd_corpus_free);
    GStatBuf st;
    g_assert_cmpint(g_stat(db, &st), ==, 0);
    g_assert_cmpint(truncate(db, st.st_size / 2), ==, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PdCorpus) cut = pd_corpus_open(path, PD_CORPUS_READ, &error);
    /* Either the opening or the check must say so; neither may crash. */
    gboolean sound = cut && pd_corpus_verify(cut, NULL, findings, NULL, &error);
    g_assert_true(error || findings->len > 0);
    if (!sound) {
        g_test_message("%s", error->message);
        g_assert_true(g_pattern_match_simple("*damaged*", error->message));
    }
    fake_documents_free(documents, 20);
    remove_folder(dir);
}

static void
test_two_writers(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument one[] = {{PD_KIND_TEXT, "a", "one\n"}};
    serve(one, 1);
    g_autoptr(PdCorpus) first = open_corpus(path, PD_CORPUS_CREATE);
    add_fake(first, "/s");
    g_autofree char *pattern =
        g_strdup_printf("*another pandect (pid %d) is writing*", (int)getpid());
    assert_open_fails(path, PD_CORPUS_WRITE, pattern);
    assert_open_fails(path, PD_CORPUS_CREATE, pattern);
    /* Readers come and go meanwhile. */
    g_autoptr(PdCorpus) reader = open_corpus(path, PD_CORPUS_READ);
    g_assert_cmpint(count_rows(reader, "SELECT count(*) FROM document"), ==, 1);
    g_clear_pointer(&first, pd_corpus_free);
    g_clear_pointer(&reader, pd_corpus_free);
    g_autoptr(PdCorpus) second = open_corpus(path, PD_CORPUS_WRITE);
    g_clear_pointer(&second, pd_corpus_free);
    /* The folder holds the database alone. */
    g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
    g_assert_cmpstr(g_dir_read_name(entries), ==, "corpus.db");
    g_assert_null(g_dir_read_name(entries));
    remove_folder(dir);
}

/* The folder and its file without write permission, seen by somebody who is not root. */
static void
test_read_only(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    g_autofree char *db = g_build_filename(path, "corpus.db", NULL);
    FakeDocument one[] = {{PD_KIND_TEXT, "a", "one\n"}};
    serve(one, 1);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    add_fake(corpus, "/s");
    g_clear_pointer(&corpus, pd_corpus_free);
    g_chmod(db, 0444);
    g_chmod(path, 0555);
    g_chmod(dir, 0755);
    uid_t uid = geteuid();
    if (uid == 0)
        g_assert_cmpint(seteuid(65534), ==, 0);
    g_autoptr(PdCorpus) reader = open_corpus(path, PD_CORPUS_READ);
    g_assert_cmpint(count_rows(reader, "SELECT count(*) FROM document"), ==, 1);
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GPtrArray) segments = pd_corpus_segments(reader, tokenizer, NULL, NULL);
    g_assert_cmpuint(segments->len, ==, 1);
    assert_open_fails(path, PD_CORPUS_WRITE, "*read-only*copy the folder*");
    if (uid == 0)
        g_assert_cmpint(seteuid(0), ==, 0);
    g_clear_pointer(&reader, pd_corpus_free);
    g_chmod(path, 0755);
    remove_folder(dir);
}

static void
assert_mode(const char *dir, const char *name, guint mode)
{
    struct stat st;
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, mode);
}

static void
assert_private(const char *dir)
{
    assert_mode(dir, "", 0700);
    assert_mode(dir, "corpus.db", 0600);
    assert_mode(dir, "corpus.db-wal", 0600);
    assert_mode(dir, "corpus.db-shm", 0600);
}

/* Whatever the umask: SQLite's log while it is there, a copy, and what was made for all to read. */
static void
test_private(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    g_autofree char *copy = g_build_filename(dir, "copy", NULL);
    g_autofree char *db = g_build_filename(path, "corpus.db", NULL);
    FakeDocument one[] = {{PD_KIND_TEXT, "a", "one\n"}};
    mode_t umask_before = umask(0);
    serve(one, 1);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    add_fake(corpus, "/s");
    assert_private(path);
    g_assert_true(pd_corpus_copy(corpus, copy, NULL, NULL));
    assert_mode(copy, "", 0700);
    assert_mode(copy, "corpus.db", 0600);
    g_clear_pointer(&corpus, pd_corpus_free);
    g_chmod(db, 0664);
    g_chmod(path, 0775);
    /* Reading changes nothing. */
    corpus = open_corpus(path, PD_CORPUS_READ);
    assert_mode(path, "", 0775);
    assert_mode(path, "corpus.db", 0664);
    g_clear_pointer(&corpus, pd_corpus_free);
    corpus = open_corpus(path, PD_CORPUS_WRITE);
    assert_private(path);
    umask(umask_before);
    g_clear_pointer(&corpus, pd_corpus_free);
    remove_folder(dir);
}

/* --- segments ------------------------------------------------------------------------------ */

/* A corpus that was read without a tokenizer gets its tokens when they are asked for. */
static void
test_segments(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument *documents = fake_documents(9, 12000, 9);
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GError) error = NULL;
    serve(documents, 9);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    g_assert_true(
        pd_corpus_add_with_reader(corpus, &fake_reader, "/s", NULL, NULL, NULL, NULL, &error));
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM segment"), ==, 0);
    g_autoptr(PdCorpus) reader = open_corpus(path, PD_CORPUS_READ);
    g_autoptr(GPtrArray) unstored = pd_corpus_segments(reader, tokenizer, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(GPtrArray) stored = pd_corpus_segments(corpus, tokenizer, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(count_rows(corpus, "SELECT count(*) FROM segment"), >, 9);
    g_assert_cmpuint(stored->len, ==, unstored->len);
    for (guint i = 0; i < stored->len; i++) {
        const PdSegmentRow *a = g_ptr_array_index(stored, i), *b = g_ptr_array_index(unstored, i);
        g_assert_cmpint(a->part_id, ==, b->part_id);
        g_assert_cmpuint(a->start, ==, b->start);
        g_assert_cmpmem(a->ids, a->n_tokens * 4, b->ids, b->n_tokens * 4);
        g_assert_cmpmem(a->offsets, a->n_tokens * 4, b->offsets, b->n_tokens * 4);
        g_assert_cmpint(a->id, >, 0);
        g_assert_cmpint(b->id, <, 0);
        /* Token -> segment -> part -> the reader's bytes. */
        g_autoptr(PdPartRow) part = pd_corpus_part(corpus, a->part_id, NULL);
        for (guint t = 0; t < a->n_tokens; t += 97) {
            g_autoptr(GString) bytes = g_string_new(NULL);
            pd_tokenizer_decode(tokenizer, a->ids[t], TRUE, bytes);
            g_assert_cmpmem(part->text + a->offsets[t], bytes->len, bytes->str, bytes->len);
        }
    }
    g_autoptr(GPtrArray) rows = pd_corpus_documents(corpus, NULL, NULL);
    g_assert_cmpuint(rows->len, ==, 9);
    g_assert_cmpuint(((PdDocumentRow *)g_ptr_array_index(rows, 0))->n_tokens, >, 1000);
    fake_documents_free(documents, 9);
    remove_folder(dir);
}

/* Nettle's SHA-256 is GLib's, at every length around a block. */
static void
test_sha256(void)
{
    guint8 data[200], ours[PD_SHA256_BYTES], theirs[PD_SHA256_BYTES];
    for (gsize n = 0; n < sizeof data; n++) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
        gsize n_theirs = sizeof theirs;
        data[n] = (guint8)(n * 37);
        g_checksum_update(sum, data, (gssize)n);
        g_checksum_get_digest(sum, theirs, &n_theirs);
        pd_sha256(data, n, ours);
        g_assert_cmpmem(ours, sizeof ours, theirs, n_theirs);
    }
}

/* The numbers of a segment as corpora of schema 6 have them: a zstd frame of words. */
static GBytes *
pack_words(const guint32 *values, gsize n, guint32 base, gboolean differences)
{
    gsize room = ZSTD_compressBound(n * 4);
    g_autofree guint32 *words = g_new(guint32, n);
    char *packed = g_malloc(room);
    for (gsize i = 0; i < n; i++) {
        words[i] = GUINT32_TO_LE(differences ? values[i] - base : values[i]);
        base = values[i];
    }
    gsize n_packed = ZSTD_compress(packed, room, words, n * 4, 3);
    g_assert_false(ZSTD_isError(n_packed));
    return g_bytes_new_take(packed, n_packed);
}

static void
store_as_words(PdCorpus *corpus, const PdSegmentRow *row)
{
    g_autoptr(GBytes) ids = pack_words(row->ids, row->n_tokens, 0, FALSE);
    g_autoptr(GBytes) offsets = pack_words(row->offsets, row->n_tokens, row->start, TRUE);
    g_assert_true(pd_db_run(corpus, NULL, "UPDATE segment SET ids = ?, offsets = ? WHERE id = ?",
                            "bbi", g_bytes_get_data(ids, NULL), g_bytes_get_size(ids),
                            g_bytes_get_data(offsets, NULL), g_bytes_get_size(offsets), row->id));
}

/* Segments stored before numbers were packed as planes are read as they were. */
static void
test_numbers_of_schema_6(void)
{
    char *dir = make_folder();
    g_autofree char *path = corpus_path(dir);
    FakeDocument *documents = fake_documents(3, 9000, 5);
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GError) error = NULL;
    serve(documents, 3);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    g_assert_true(
        pd_corpus_add_with_reader(corpus, &fake_reader, "/s", tokenizer, NULL, NULL, NULL, &error));
    g_autoptr(GPtrArray) planes = pd_corpus_segments(corpus, tokenizer, NULL, &error);
    g_assert_no_error(error);
    gint64 n_planes = count_rows(corpus, "SELECT sum(length(ids) + length(offsets)) FROM segment");
    for (guint i = 0; i < planes->len; i++)
        store_as_words(corpus, g_ptr_array_index(planes, i));
    g_assert_true(
        pd_db_exec(corpus, "ALTER TABLE part DROP COLUMN flow; PRAGMA user_version = 6", NULL));
    g_assert_cmpint(count_rows(corpus, "SELECT sum(length(ids) + length(offsets)) FROM segment"), >,
                    n_planes);
    g_clear_pointer(&corpus, pd_corpus_free);
    corpus = open_corpus(path, PD_CORPUS_WRITE);
    g_autoptr(GPtrArray) words = pd_corpus_segments(corpus, tokenizer, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(words->len, ==, planes->len);
    g_assert_cmpuint(words->len, >, 0);
    for (guint i = 0; i < words->len; i++) {
        const PdSegmentRow *a = g_ptr_array_index(planes, i), *b = g_ptr_array_index(words, i);
        g_assert_cmpmem(a->ids, a->n_tokens * 4, b->ids, b->n_tokens * 4);
        g_assert_cmpmem(a->offsets, a->n_tokens * 4, b->offsets, b->n_tokens * 4);
    }
    fake_documents_free(documents, 3);
    remove_folder(dir);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/corpus/add", test_add);
    g_test_add_func("/corpus/change", test_change);
    g_test_add_func("/corpus/git", test_git);
    g_test_add_func("/corpus/remarks", test_remarks);
    g_test_add_func("/corpus/duplicates", test_duplicates);
    g_test_add_func("/corpus/nothing", test_nothing);
    g_test_add_func("/corpus/bad-document", test_bad_document);
    g_test_add_func("/corpus/reader-dies", test_reader_dies);
    g_test_add_func("/corpus/cancelled", test_cancelled);
    g_test_add_func("/corpus/disk-full", test_disk_full);
    g_test_add_func("/corpus/remove", test_remove);
    g_test_add_func("/corpus/verify", test_verify);
    g_test_add_func("/corpus/refusals", test_refusals);
    g_test_add_func("/corpus/truncated", test_truncated);
    g_test_add_func("/corpus/two-writers", test_two_writers);
    g_test_add_func("/corpus/read-only", test_read_only);
    g_test_add_func("/corpus/private", test_private);
    g_test_add_func("/corpus/segments", test_segments);
    g_test_add_func("/corpus/sha256", test_sha256);
    g_test_add_func("/corpus/numbers-of-schema-6", test_numbers_of_schema_6);
    return g_test_run();
}
