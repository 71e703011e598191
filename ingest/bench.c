/*
 * See bench.h.  Each source gets a corpus of its own, so that none is measured against what another
 * left there; the files are read once before, so that the disk is not what is measured.
 */
#include "ingest/bench.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/peak_memory.h"
#include "engine/remove_tree.h"
#include "ingest/corpus_internal.h"

static void
free_row(gpointer data)
{
    PdIngestBenchRow *row = data;
    g_free(row->kind);
    g_free(row);
}

GPtrArray *
pd_ingest_bench_rows_new(void)
{
    return g_ptr_array_new_with_free_func(free_row);
}

static PdIngestBenchRow *
row_of_kind(GPtrArray *rows, const char *kind)
{
    for (guint i = 0; i < rows->len; i++) {
        PdIngestBenchRow *row = g_ptr_array_index(rows, i);
        if (g_str_equal(row->kind, kind))
            return row;
    }
    PdIngestBenchRow *row = g_new0(PdIngestBenchRow, 1);
    row->kind = g_strdup(kind);
    g_ptr_array_add(rows, row);
    return row;
}

static double
cpu_seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Reads a file, or all files of a folder, and returns their bytes. */
static guint64
touch(const char *path, GCancellable *cancellable)
{
    g_autofree char *buffer = g_malloc(1 << 20);
    struct stat status;
    guint64 n_bytes = 0;
    ssize_t n;
    if (lstat(path, &status) != 0 || g_cancellable_is_cancelled(cancellable))
        return 0;
    g_autoptr(GDir) dir = S_ISDIR(status.st_mode) ? g_dir_open(path, 0, NULL) : NULL;
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir)) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        n_bytes += touch(child, cancellable);
    }
    if (!S_ISREG(status.st_mode))
        return n_bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, buffer, 1 << 20)) > 0 &&
           !g_cancellable_is_cancelled(cancellable))
        n_bytes += (guint64)n;
    if (fd >= 0)
        close(fd);
    return n_bytes;
}

static gboolean
count_documents(PdCorpus *corpus, PdIngestBenchRow *row, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, error,
                    "SELECT d.kind, count(DISTINCT d.id), sum(p.path GLOB 'page/*' AND p.path NOT "
                    "GLOB '*/comments'),"
                    " sum(t.n_bytes) FROM document d"
                    " JOIN part p ON p.document_id = d.id JOIN text t ON t.id = p.text_id"
                    " WHERE d.state = 'live' GROUP BY 1",
                    "");
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        g_autofree char *kind = pd_db_text(stmt, 0);
        guint64 n_documents = (guint64)sqlite3_column_int64(stmt, 1);
        row->n_documents += n_documents;
        row->n_messages += g_strcmp0(kind, pd_document_kind_name(PD_KIND_MAIL)) ? 0 : n_documents;
        row->n_pages += g_strcmp0(kind, pd_document_kind_name(PD_KIND_PDF))
                            ? 0
                            : (guint64)sqlite3_column_int64(stmt, 2);
        row->n_text_bytes += (guint64)sqlite3_column_int64(stmt, 3);
    }
    return rc == SQLITE_DONE;
}

static gboolean
take_sample(PdCorpus *corpus, GString *sample, gsize sample_bytes_max, GError **error)
{
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, "SELECT id FROM text ORDER BY id", "");
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && sample->len < sample_bytes_max &&
           (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        gsize n;
        g_autofree char *text = pd_text_get(corpus, sqlite3_column_int64(stmt, 0), &n, error);
        if (!text)
            return FALSE;
        g_string_append_len(sample, text, (gssize)MIN(n, sample_bytes_max - sample->len));
    }
    return rc != -1;
}

static gboolean
measure(const char *path, const char *kind, PdTokenizer *tokenizer, const PdAddOptions *options,
        PdCorpus *corpus, GPtrArray *rows, GCancellable *cancellable, GError **error)
{
    PdAddOptions timed = *options;
    PdIngestBenchRow *row = row_of_kind(rows, kind);
    PdAddReport report;
    guint64 n_bytes = touch(path, cancellable);
    timed.times = &row->times;
    pd_peak_memory_reset();
    gint64 start_us = g_get_monotonic_time();
    double cpu_start = cpu_seconds();
    if (!pd_corpus_add(corpus, path, tokenizer, &timed, &report, cancellable, error))
        return FALSE;
    row->seconds += (double)(g_get_monotonic_time() - start_us) / G_USEC_PER_SEC;
    row->cpu_seconds += cpu_seconds() - cpu_start;
    row->peak_bytes = MAX(row->peak_bytes, pd_peak_memory_bytes());
    row->n_sources++;
    row->n_source_bytes += n_bytes;
    row->n_tokens += report.n_tokens;
    row->n_skipped += report.n_skipped;
    row->n_failed += report.n_failed;
    return count_documents(corpus, row, error);
}

gboolean
pd_ingest_bench_source(const char *path, PdTokenizer *tokenizer, const PdAddOptions *options,
                       GPtrArray *rows, GString *sample, gsize sample_bytes_max,
                       GCancellable *cancellable, GError **error)
{
    const char *kind = pd_detect_kind(path, error);
    g_autofree char *dir = kind ? g_dir_make_tmp("pandect-bench-XXXXXX", error) : NULL;
    if (!dir)
        return FALSE;
    PdCorpus *corpus = pd_corpus_open(dir, PD_CORPUS_CREATE, error);
    gboolean ok = corpus &&
                  measure(path, kind, tokenizer, options, corpus, rows, cancellable, error) &&
                  take_sample(corpus, sample, sample_bytes_max, error);
    g_clear_pointer(&corpus, pd_corpus_free);
    pd_remove_tree(dir);
    return ok;
}

PdTokenizerBench
pd_tokenizer_bench(PdTokenizer *tokenizer, const GString *text)
{
    PdTokenizerBench bench = {0};
    double start = cpu_seconds();
    while (text->len && bench.cpu_seconds < 1) {
        g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
        g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
        pd_tokenizer_encode(tokenizer, text->str, text->len, ids, offsets);
        bench.n_bytes += text->len;
        bench.n_tokens += ids->len;
        bench.cpu_seconds = cpu_seconds() - start;
    }
    return bench;
}
