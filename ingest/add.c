/*
 * Adding a source: the reader's documents into the corpus, a run's account of them, and what became
 * of those that are no longer there.
 *
 * Documents are committed in small transactions.  Only a run that read its source to the end may
 * remove what it did not see.  After a kill at any point the next run therefore finds some
 * documents unchanged, adds the rest, and ends with the same content.
 */
#include <stdlib.h>
#include <string.h>
#include "ingest/add_run.h"
#include "ingest/fold.h"
#include "ingest/model_text.h"
#include "ingest/source_options.h"

/* What was found counts when its outcome is in the transaction: a kill leaves both or neither. */
static void
take_expected(PdAddRun *run)
{
    run->report.n_found += run->n_expected;
    run->n_expected = 0;
}

static gboolean
add_document(PdDocument *document, gpointer user_data, GError **error)
{
    PdAddRun *run = user_data;
    g_autoptr(PdDocument) d = document;
    if (g_cancellable_is_cancelled(run->cancellable)) {
        g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    gint64 start_us = g_get_monotonic_time();
    pd_model_text_make(d, run->mask_rules != 0);
    run->times.mask_us += g_get_monotonic_time() - start_us;
    gsize n_bytes = 0;
    for (guint i = 0; i < d->parts->len; i++)
        n_bytes += ((PdPart *)g_ptr_array_index(d->parts, i))->text->len;
    /* A large document takes seconds: what stands before it is not made to wait. */
    if (run->in_batch && n_bytes >= PD_ADD_BATCH_BYTES / 4 &&
        !pd_add_commit(run, "running", NULL, error))
        return FALSE;
    if (!pd_add_begin(run, error) || !pd_add_document(run, d, error))
        return FALSE;
    take_expected(run);
    return pd_add_grow(run, n_bytes, error);
}

static gboolean
add_ledger(const PdLedgerLine *line, gpointer user_data, GError **error)
{
    PdAddRun *run = user_data;
    if (!pd_add_begin(run, error) || !pd_add_ledger_line(run, line, error))
        return FALSE;
    if (g_str_equal(line->level, "duplicate"))
        run->report.n_read++;
    take_expected(run);
    return pd_add_grow(run, 0, error);
}

static void
add_found(gpointer user_data)
{
    ((PdAddRun *)user_data)->n_expected++;
}

static void
add_progress(guint64 done, guint64 total, gpointer user_data)
{
    PdAddRun *run = user_data;
    if (run->options->progress)
        run->options->progress(run->alias, done, total, run->report.n_read,
                               run->options->user_data);
}

static void
add_usage(const PdReaderUsage *usage, gpointer user_data)
{
    PdAddTimes *times = &((PdAddRun *)user_data)->times;
    times->n_readers++;
    times->wait_us += usage->wait_us;
    times->reader_cpu_us += usage->cpu_us;
    times->reader_peak_bytes = MAX(times->reader_peak_bytes, usage->peak_bytes);
}

/* --- a run --------------------------------------------------------------------------------- */

char *
pd_source_canonical_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real)
        return g_canonicalize_filename(path, NULL);
    char *copy = g_strdup(real);
    free(real); /* NOLINT: from libc, not from GLib */
    return copy;
}

/* "lua", or "lua-2" if another source has that name. */
static char *
choose_alias(PdCorpus *corpus, const char *path, GError **error)
{
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *base = g_utf8_make_valid(name, -1);
    for (guint i = 1;; i++) {
        g_autofree char *alias = i == 1 ? g_strdup(base) : g_strdup_printf("%s-%u", base, i);
        gint64 taken;
        if (!pd_db_int(corpus, 0, &taken, error, "SELECT 1 FROM source WHERE alias = ?", "t",
                       alias))
            return NULL;
        if (!taken)
            return g_steal_pointer(&alias);
    }
}

/* `kind` NULL: it cannot be read. */
static gboolean
insert_source(PdAddRun *run, const char *path, const char *kind, GError **error)
{
    run->alias = choose_alias(run->corpus, path, error);
    if (!run->alias ||
        !pd_db_run(run->corpus, error,
                   "INSERT INTO source(alias, path, kind, added_at)"
                   " VALUES (?, ?, ?, ?)",
                   "ttti", run->alias, path, kind ? kind : "unknown", pd_add_now_utc()))
        return FALSE;
    run->source_id = sqlite3_last_insert_rowid(run->corpus->db);
    return TRUE;
}

static gboolean
find_source(PdAddRun *run, const char *path, GError **error)
{
    g_autoptr(PdStmt) stmt = pd_db_query(
        run->corpus, error, "SELECT id, alias, options FROM source WHERE path = ?", "t", path);
    int rc = stmt ? pd_db_step(run->corpus, stmt, error) : -1;
    if (rc == SQLITE_ROW) {
        run->source_id = sqlite3_column_int64(stmt, 0);
        run->alias = pd_db_text(stmt, 1);
        run->options_before = pd_db_text(stmt, 2);
    }
    return rc != -1;
}

/* What holds now: what is asked for, over what was remembered. */
static void
choose_options(PdAddRun *run)
{
    const PdAddOptions *options = run->options;
    gboolean keeps = run->options_before && !options->forget;
    g_autofree char *given = pd_source_options_of(&options->read);
    run->source_options = pd_source_options_merge(keeps ? run->options_before : "", given);
    if (!options->options)
        return;
    g_autofree char *now = pd_source_options_show(run->source_options);
    g_autofree char *before =
        run->options_before ? pd_source_options_show(run->options_before) : NULL;
    options->options(run->alias, now, before, options->user_data);
}

/* Remembered when the source was read to its end, or as far as the user wished: options that lead
 * nowhere (a branch that does not exist) are not. */
static gboolean
save_options(PdAddRun *run, GError **error)
{
    return pd_db_run(run->corpus, error, "UPDATE source SET options = ? WHERE id = ?", "ti",
                     run->source_options, run->source_id);
}

static gboolean
start_run(PdAddRun *run, const char *path, const char *kind, GError **error)
{
    if (!pd_db_exec(run->corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    gboolean ok =
        find_source(run, path, error) && (run->source_id || insert_source(run, path, kind, error));
    ok = ok &&
         pd_db_run(run->corpus, error, "UPDATE source SET kind = coalesce(?, kind) WHERE id = ?",
                   "ti", kind, run->source_id);
    /* We hold the writer lock: whoever was running is no more. */
    ok = ok && pd_db_run(run->corpus, error,
                         "UPDATE run SET status = 'interrupted' WHERE status = 'running'", "");
    ok = ok && pd_db_run(run->corpus, error,
                         "INSERT INTO run(source_id, started, status) VALUES (?, ?, 'running')",
                         "ii", run->source_id, pd_add_now_utc());
    run->run_id = sqlite3_last_insert_rowid(run->corpus->db);
    if (ok && run->tokenizer) {
        run->tokenizer_row = pd_tokenizer_row(run->corpus, run->tokenizer, TRUE, error);
        ok = run->tokenizer_row > 0;
    }
    if (ok && pd_db_exec(run->corpus, "COMMIT", error)) {
        choose_options(run);
        return TRUE;
    }
    pd_db_rollback(run->corpus);
    return FALSE;
}

/* Every blob whose text the corpus holds, whatever became of its document. */
static GHashTable *
known_blobs(PdAddRun *run, GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(PdStmt) stmt = pd_db_query(
        run->corpus, error,
        "SELECT DISTINCT native_id FROM document WHERE kind = ? AND native_id IS NOT NULL"
        " AND mask_rules = ?",
        "ti", pd_document_kind_name(PD_KIND_GIT_FILE), run->mask_rules);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW)
        g_hash_table_add(known, pd_db_text(stmt, 0));
    return rc == SQLITE_DONE ? g_steal_pointer(&known) : NULL;
}

/* Was this key, or what it lies in, reported as failed?  Then its absence says nothing. */
static gboolean
is_excused(PdAddRun *run, const char *key)
{
    if (g_hash_table_contains(run->failed, "") || g_hash_table_contains(run->failed, key))
        return TRUE;
    g_autofree char *prefix = g_strdup(key);
    for (gsize i = strlen(prefix); i-- > 0;) {
        if (!strchr("/#!:", prefix[i]))
            continue;
        prefix[i] = 0;
        if (g_hash_table_contains(run->failed, prefix))
            return TRUE;
    }
    return FALSE;
}

static gboolean
remove_vanished(PdAddRun *run, GError **error)
{
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(PdStmt) stmt = pd_db_query(
        run->corpus, error,
        "SELECT id, key FROM document WHERE source_id = ? AND state = 'live' AND last_run <> ?",
        "ii", run->source_id, run->run_id);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW) {
        gint64 id = sqlite3_column_int64(stmt, 0);
        if (!is_excused(run, (const char *)sqlite3_column_text(stmt, 1)))
            g_array_append_val(gone, id);
    }
    if (rc != SQLITE_DONE)
        return FALSE;
    if (!pd_fold_release(run->corpus, (const gint64 *)(gpointer)gone->data, gone->len, run->run_id,
                         error))
        return FALSE;
    for (guint i = 0; i < gone->len; i++)
        if (!pd_db_run(run->corpus, error, "UPDATE document SET state = 'removed' WHERE id = ?",
                       "i", g_array_index(gone, gint64, i)))
            return FALSE;
    run->report.n_removed += gone->len;
    return TRUE;
}

/* Texts that an earlier run stored for another tokenizer, or for none. */
static gboolean
tokenize_missing(PdAddRun *run, GError **error)
{
    if (!run->tokenizer)
        return TRUE;
    g_autoptr(GArray) missing = g_array_new(FALSE, FALSE, sizeof(gint64));
    {
        g_autoptr(PdStmt) stmt = pd_db_query(
            run->corpus, error,
            "SELECT DISTINCT t.id FROM document d JOIN part p ON p.document_id = d.id"
            " JOIN text t ON t.id = p.text_id"
            " WHERE d.source_id = ? AND d.state = 'live' AND t.n_bytes > 0 AND NOT EXISTS"
            " (SELECT 1 FROM segment s WHERE s.text_id = t.id AND s.tokenizer_id = ?)"
            " ORDER BY t.id",
            "ii", run->source_id, run->tokenizer_row);
        int rc = stmt ? SQLITE_ROW : -1;
        while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW) {
            gint64 id = sqlite3_column_int64(stmt, 0);
            g_array_append_val(missing, id);
        }
        if (rc != SQLITE_DONE)
            return FALSE;
    }
    for (guint i = 0; i < missing->len; i++) {
        gint64 id = g_array_index(missing, gint64, i);
        gsize n_bytes;
        guint64 n_tokens;
        g_autofree char *text = pd_text_get(run->corpus, id, &n_bytes, error);
        if (!text || !pd_add_begin(run, error) ||
            !pd_segments_ensure(run->corpus, run->tokenizer, run->tokenizer_row, id, text, n_bytes,
                                &n_tokens, run->cancellable, error) ||
            !pd_add_grow(run, n_bytes, error))
            return FALSE;
    }
    return TRUE;
}

/* What is known of mails only now: their tokens, and what was folded. */
static gboolean
count_mails(PdAddRun *run, GError **error)
{
    gint64 n_tokens, n_folded, n_bytes;
    if (!pd_db_int(run->corpus, 0, &n_tokens, error,
                   "SELECT coalesce(sum(s.n_tokens), 0) FROM document d"
                   " JOIN part p ON p.document_id = d.id"
                   " JOIN segment s ON s.text_id = p.text_id AND s.tokenizer_id = ?1"
                   " WHERE d.source_id = ?2 AND d.kind = 'mail' AND d.state = 'live'"
                   " AND d.first_run = ?3 AND ?4",
                   "iiii", run->tokenizer_row, run->source_id, run->run_id, (gint64)run->fold) ||
        !pd_db_int(run->corpus, 0, &n_folded, error, "SELECT " PD_FOLDED_SQL("n_folded", "?"), "i",
                   run->source_id) ||
        !pd_db_int(run->corpus, 0, &n_bytes, error, "SELECT " PD_FOLDED_SQL("folded_bytes", "?"),
                   "i", run->source_id))
        return FALSE;
    run->report.n_tokens += (guint64)n_tokens;
    run->report.n_folded = (guint64)n_folded;
    run->report.n_folded_bytes = (guint64)n_bytes;
    return TRUE;
}

static gint
by_count(gconstpointer a, gconstpointer b, gpointer reasons)
{
    guint n_a = GPOINTER_TO_UINT(g_hash_table_lookup(reasons, *(char *const *)a));
    guint n_b = GPOINTER_TO_UINT(g_hash_table_lookup(reasons, *(char *const *)b));
    return n_a != n_b ? (n_a < n_b) - (n_a > n_b) : strcmp(*(char *const *)a, *(char *const *)b);
}

/* Something that the reader did not tell of. */
static gboolean
add_found_line(PdAddRun *run, const PdLedgerLine *line, GError **error)
{
    add_found(run);
    return add_ledger(line, run, error);
}

/* Counted again at the end: several lines may be about one document, and what is unchanged keeps
 * its own. */
static gboolean
count_remarks(PdAddRun *run, GError **error)
{
    return pd_add_count_remarks(run, "partial", &run->report.n_partial, error) &&
           pd_add_count_remarks(run, "hidden", &run->report.n_hidden, error) &&
           pd_add_count_ocr_pages(run, &run->report.n_ocr_pages, error);
}

/* Why a source gave nothing: its one reason, or the most frequent of several. */
static char *
why_nothing(PdAddRun *run)
{
    guint n_reasons;
    g_autofree char **reasons = (char **)g_hash_table_get_keys_as_array(run->reasons, &n_reasons);
    if (n_reasons == 0)
        return g_strdup("nothing to read in it");
    if (n_reasons == 1)
        return g_strdup(reasons[0]);
    g_qsort_with_data(reasons, (gint)n_reasons, sizeof *reasons, by_count, run->reasons);
    GString *text = g_string_new("nothing in it could be read:");
    for (guint i = 0; i < MIN(n_reasons, 4); i++)
        g_string_append_printf(text, "%s %u x %s", i ? "," : "",
                               GPOINTER_TO_UINT(g_hash_table_lookup(run->reasons, reasons[i])),
                               reasons[i]);
    if (n_reasons > 4)
        g_string_append_printf(text, ", %u more reasons", n_reasons - 4);
    return g_string_free(text, FALSE);
}

static gboolean
finish_run(PdAddRun *run, const char *path, GError **error)
{
    if (!pd_add_begin(run, error))
        return FALSE;
    take_expected(run); /* nothing, or verify will find that an outcome is missing */
    if (run->report.n_read == 0) {
        g_autofree char *why = why_nothing(run);
        PdLedgerLine line = {"skipped", "", why, -1};
        if (g_hash_table_size(run->reasons) == 0 && !add_found_line(run, &line, error))
            return FALSE;
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT, "%s: %s", path, why);
        return FALSE;
    }
    /* What a mail quotes is looked for when all are there and none too many.  The ledger tells of
     * the newest run; older ones keep their counts, documents their remarks. */
    return remove_vanished(run, error) && pd_add_commit(run, "running", NULL, error) &&
           pd_add_fold(run, error) && tokenize_missing(run, error) && count_mails(run, error) &&
           pd_add_begin(run, error) && save_options(run, error) &&
           pd_db_run(run->corpus, error,
                     "DELETE FROM ledger WHERE document_id IS NULL AND run_id IN"
                     " (SELECT id FROM run WHERE source_id = ? AND id <> ?)",
                     "ii", run->source_id, run->run_id) &&
           count_remarks(run, error) && pd_add_commit(run, "done", NULL, error);
}

static gboolean
is_cancelled(const GError *error)
{
    return g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* What the source as a whole could not be read for belongs into its ledger, unless it is no fault
 * of the source (the user stopped it, the corpus cannot be written). */
static gboolean
blame_source(PdAddRun *run, const GError *why, GError **error)
{
    PdLedgerLine line = {pd_ingest_error_level(why), "", why->message, -1};
    return is_cancelled(why) || g_error_matches(why, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS) ||
           add_found_line(run, &line, error);
}

/* Keeps what was finished and writes down how the run ended.  A source that gave nothing stays as
 * well: its ledger says why. */
static void
abandon_run(PdAddRun *run, const GError *why, gboolean cancelled)
{
    if (!run->run_id)
        return;
    if (run->in_batch && sqlite3_get_autocommit(run->corpus->db))
        pd_add_undo(run); /* SQLite undid the transaction (disk full) */
    if (cancelled && pd_add_begin(run, NULL))
        save_options(run, NULL);
    if (!cancelled && pd_add_commit(run, "running", NULL, NULL))
        pd_add_fold(run, NULL);
    count_remarks(run, NULL);
    pd_add_commit(run, cancelled ? "cancelled" : "failed", why->message, NULL);
}

static gboolean
read_source(PdAddRun *run, const PdCorpusReader *reader, const char *path, const char *kind,
            GError **error)
{
    PdReadRequest request = run->options->read;
    g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) known = known_blobs(run, error);
    if (!known)
        return FALSE;
    pd_source_options_apply(run->source_options, &request, strings);
    request.path = path;
    request.known = known;
    PdReadSink sink = {add_document, add_ledger, add_progress, add_found, run, add_usage};
    return reader->read(kind, &request, run->options->limits, &sink, run->cancellable, error);
}

static gboolean
add_source(PdAddRun *run, const PdCorpusReader *reader, const char *path, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *absolute = pd_source_canonical_path(path);
    const char *kind = reader->detect(absolute, &why);
    /* A path that leads nowhere was mistyped: it is no source. */
    gboolean exists = !g_error_matches(why, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    if (exists && !start_run(run, absolute, kind, error))
        return FALSE;
    if (kind && read_source(run, reader, absolute, kind, &why))
        return finish_run(run, path, error);
    if (exists && !blame_source(run, why, error))
        return FALSE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static void
sum_times(PdAddTimes *sum, const PdAddTimes *times)
{
    sum->wait_us += times->wait_us;
    sum->mask_us += times->mask_us;
    sum->tokenize_us += times->tokenize_us;
    sum->reader_cpu_us += times->reader_cpu_us;
    sum->reader_peak_bytes = MAX(sum->reader_peak_bytes, times->reader_peak_bytes);
    sum->n_readers += times->n_readers;
}

gboolean
pd_corpus_add_with_reader(PdCorpus *corpus, const PdCorpusReader *reader, const char *path,
                          PdTokenizer *tokenizer, const PdAddOptions *options, PdAddReport *report,
                          GCancellable *cancellable, GError **error)
{
    static const PdAddOptions no_options;
    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    g_autoptr(PdAddRun) run =
        pd_add_run_new(corpus, tokenizer, options ? options : &no_options, cancellable);
    g_autoptr(GError) local = NULL;
    gint64 tokenize_us = corpus->tokenize_us;
    gboolean ok = add_source(run, reader, path, &local);
    run->times.tokenize_us = corpus->tokenize_us - tokenize_us;
    if (run->options->times)
        sum_times(run->options->times, &run->times);
    if (!ok) {
        gboolean cancelled = is_cancelled(local);
        abandon_run(run, local, cancelled);
        if (cancelled)
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED,
                        "%s: interrupted; %" G_GUINT64_FORMAT
                        " documents are stored, the same command goes on from there",
                        path, run->report.n_read);
        else
            g_propagate_error(error, g_steal_pointer(&local));
    }
    if (report) {
        *report = run->report;
        report->source_id = run->source_id;
    }
    return ok;
}
