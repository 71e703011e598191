/*
 * The account of an adding run: its row, its transactions, its ledger.
 */
#include "ingest/add_run.h"
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
    g_clear_pointer(&run->seen, g_hash_table_unref);
    g_clear_pointer(&run->renamed, g_hash_table_unref);
    g_clear_pointer(&run->failed, g_hash_table_unref);
    g_clear_pointer(&run->reasons, g_hash_table_unref);
    g_free(run->alias);
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
    run->cancellable = cancellable;
    run->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
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
                     " n_masked = ? WHERE id = ?",
                     "ttiiiiiiiiiiiii", status, message, (gint64)over, pd_add_now_utc(),
                     (gint64)r->n_read, (gint64)r->n_new, (gint64)r->n_unchanged,
                     (gint64)r->n_changed, (gint64)r->n_duplicate, (gint64)r->n_removed,
                     (gint64)r->n_skipped, (gint64)r->n_failed, (gint64)r->n_partial,
                     (gint64)r->n_masked, run->run_id);
}

gboolean
pd_add_begin(PdAddRun *run, GError **error)
{
    if (run->in_batch)
        return TRUE;
    if (!pd_db_exec(run->corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    run->in_batch = TRUE;
    run->batch_documents = 0;
    run->batch_bytes = 0;
    run->batch_start_us = g_get_monotonic_time();
    return TRUE;
}

gboolean
pd_add_commit(PdAddRun *run, const char *status, const char *message, GError **error)
{
    if (!pd_add_begin(run, error))
        return FALSE;
    run->in_batch = FALSE;
    if (save_counts(run, status, message, error) && pd_db_exec(run->corpus, "COMMIT", error))
        return TRUE;
    pd_db_rollback(run->corpus);
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

gboolean
pd_add_ledger_line(PdAddRun *run, const PdLedgerLine *line, GError **error)
{
    const char *key = line->key ? line->key : "";
    const char *reason = line->reason ? line->reason : "";
    if (!pd_db_run(run->corpus, error,
                   "INSERT INTO ledger(run_id, level, key, reason, n_bytes) VALUES (?, ?, ?, ?, ?)",
                   "ittti", run->run_id, line->level, key, reason, line->n_bytes))
        return FALSE;
    if (g_str_equal(line->level, "skipped"))
        run->report.n_skipped++;
    else if (g_str_equal(line->level, "failed"))
        run->report.n_failed++;
    else if (g_str_equal(line->level, "partial"))
        run->report.n_partial++;
    if (g_str_equal(line->level, "failed"))
        g_hash_table_add(run->failed, g_strdup(key));
    gpointer n = g_hash_table_lookup(run->reasons, reason);
    g_hash_table_insert(run->reasons, g_strdup(reason), GUINT_TO_POINTER(GPOINTER_TO_UINT(n) + 1));
    if (run->options->ledger)
        run->options->ledger(line, run->options->user_data);
    return TRUE;
}
