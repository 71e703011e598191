/*
 * The account of an adding run: its row, its transactions, its ledger.
 */
#include "ingest/add_run.h"
#include "ingest/item.h"
#include "ingest/mask.h"

/* A transaction ends when one of these or PD_ADD_BATCH_BYTES is reached. */
#define BATCH_DOCUMENTS 50
#define BATCH_US (1 * G_USEC_PER_SEC)

gint64
pd_add_now_utc(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

void
pd_add_run_free(PdAddRun *run)
{
    g_clear_pointer(&run->renamed, g_hash_table_unref);
    g_clear_pointer(&run->failed, g_hash_table_unref);
    g_clear_pointer(&run->reasons, g_hash_table_unref);
    g_free(run->alias);
    g_free(run->source_options);
    g_free(run->options_before);
    g_free(run);
}

PdAddRun *
pd_add_run_new(PdCorpus *corpus, PdTokenizer *tokenizer, const PdAddOptions *options,
               GCancellable *cancellable)
{
    PdAddRun *run = g_new0(PdAddRun, 1);
    run->corpus = corpus;
    run->tokenizer = tokenizer;
    run->options = options;
    run->mask_rules = options->no_mask ? 0 : PD_MASK_RULES;
    run->fold = !options->no_fold;
    run->cancellable = cancellable;
    run->renamed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    run->failed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    run->reasons = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return run;
}

/* --- transactions -------------------------------------------------------------------------- */

static gboolean
save_counts(PdAddRun *run, const char *status, const char *message, GError **error)
{
    const PdAddReport *r = &run->report;
    gboolean over = !g_str_equal(status, "running");
    return pd_db_run(run->corpus, error,
                     "UPDATE run SET status = ?, error = ?, ended = CASE ? WHEN 0 THEN NULL ELSE ?"
                     " END, n_emitted = ?, n_new = ?, n_unchanged = ?, n_changed = ?,"
                     " n_duplicate = ?, n_removed = ?, n_skipped = ?, n_failed = ?, n_partial = ?,"
                     " n_hidden = ?, n_masked = ?, n_found = ?, n_ocr = ? WHERE id = ?",
                     "ttiiiiiiiiiiiiiiii", status, message, (gint64)over, pd_add_now_utc(),
                     (gint64)r->n_read, (gint64)r->n_new, (gint64)r->n_unchanged,
                     (gint64)r->n_changed, (gint64)r->n_duplicate, (gint64)r->n_removed,
                     (gint64)r->n_skipped, (gint64)r->n_failed, (gint64)r->n_partial,
                     (gint64)r->n_hidden, (gint64)r->n_masked, (gint64)r->n_found,
                     (gint64)r->n_ocr_pages, run->run_id);
}

gboolean
pd_add_begin(PdAddRun *run, GError **error)
{
    if (run->in_batch)
        return TRUE;
    if (!pd_db_exec(run->corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    run->in_batch = TRUE;
    run->batch_report = run->report;
    run->batch_documents = 0;
    run->batch_bytes = 0;
    run->batch_start_us = g_get_monotonic_time();
    return TRUE;
}

void
pd_add_undo(PdAddRun *run)
{
    pd_db_rollback(run->corpus);
    run->in_batch = FALSE;
    run->report = run->batch_report;
}

gboolean
pd_add_commit(PdAddRun *run, const char *status, const char *message, GError **error)
{
    if (!pd_add_begin(run, error))
        return FALSE;
    if (save_counts(run, status, message, error) && pd_db_exec(run->corpus, "COMMIT", error)) {
        run->in_batch = FALSE;
        return TRUE;
    }
    pd_add_undo(run);
    return FALSE;
}

gboolean
pd_add_grow(PdAddRun *run, gsize n_bytes, GError **error)
{
    run->batch_documents++;
    run->batch_bytes += n_bytes;
    if (run->batch_documents < BATCH_DOCUMENTS && run->batch_bytes < PD_ADD_BATCH_BYTES &&
        g_get_monotonic_time() - run->batch_start_us < BATCH_US)
        return TRUE;
    return pd_add_commit(run, "running", NULL, error);
}

/* --- the ledger ---------------------------------------------------------------------------- */

/* The document that a remark is on; 0: none that this run has met. */
static gboolean
find_document(PdAddRun *run, const char *key, gint64 *id, GError **error)
{
    return pd_db_int(run->corpus, 0, id, error,
                     "SELECT id FROM document WHERE source_id = ? AND key = ? AND state = 'live'"
                     " AND last_run = ?",
                     "iti", run->source_id, key, run->run_id);
}

static void
count_line(PdAddRun *run, const char *level, const char *key, const char *reason)
{
    static const char *const levels[] = {"skipped", "failed", "duplicate", "partial", "hidden"};
    PdAddReport *r = &run->report;
    guint64 *counts[] = {&r->n_skipped, &r->n_failed, &r->n_duplicate, &r->n_partial, &r->n_hidden};
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++)
        *counts[i] += g_str_equal(level, levels[i]);
    if (g_str_equal(level, "failed"))
        g_hash_table_add(run->failed, g_strdup(key));
    if (!g_str_equal(level, "failed") && !g_str_equal(level, "skipped"))
        return;
    gpointer n = g_hash_table_lookup(run->reasons, reason);
    g_hash_table_insert(run->reasons, g_strdup(reason), GUINT_TO_POINTER(GPOINTER_TO_UINT(n) + 1));
}

gboolean
pd_add_ledger_line(PdAddRun *run, const PdLedgerLine *line, GError **error)
{
    const char *key = line->key ? line->key : "";
    const char *reason = line->reason ? line->reason : "";
    gint64 document_id = 0;
    if (!pd_ledger_is_outcome(line->level)) {
        const char *renamed = g_hash_table_lookup(run->renamed, key);
        key = renamed ? renamed : key;
        if (!find_document(run, key, &document_id, error))
            return FALSE;
    }
    if (!pd_db_run(run->corpus, error,
                   "INSERT INTO ledger(run_id, level, key, reason, n_bytes, document_id)"
                   " VALUES (?, ?, ?, ?, ?, nullif(?, 0))",
                   "itttii", run->run_id, line->level, key, reason, line->n_bytes, document_id))
        return FALSE;
    count_line(run, line->level, key, reason);
    return TRUE;
}

gboolean
pd_add_count_remarks(PdAddRun *run, const char *level, guint64 *n, GError **error)
{
    gint64 count;
    if (!pd_db_int(run->corpus, 0, &count, error,
                   "SELECT count(DISTINCT l.key) FROM ledger l JOIN run r ON r.id = l.run_id"
                   " WHERE r.source_id = ?1 AND l.level = ?2 AND " PD_LEDGER_IS_CURRENT("?3"),
                   "iti", run->source_id, level, run->run_id))
        return FALSE;
    *n = (guint64)count;
    return TRUE;
}

gboolean
pd_add_count_ocr_pages(PdAddRun *run, guint64 *n, GError **error)
{
    gint64 count;
    /* A reason begins with the number of pages, which is what the cast takes of it. */
    if (!pd_db_int(run->corpus, 0, &count, error,
                   "SELECT coalesce(sum(max(0, CAST(l.reason AS INTEGER))), 0) FROM ledger l"
                   " JOIN run r ON r.id = l.run_id WHERE r.source_id = ?1 AND l.level = 'ocr'"
                   " AND " PD_LEDGER_IS_CURRENT("?2"),
                   "ii", run->source_id, run->run_id))
        return FALSE;
    *n = (guint64)count;
    return TRUE;
}
