/*
 * Sources as their last run left them: its account, and the ledger's lines.
 */
#include "ingest/corpus_internal.h"
#include "ingest/source_options.h"

gboolean
pd_corpus_has_source(PdCorpus *corpus, const char *alias, GError **error)
{
    gint64 id;
    if (!pd_db_int(corpus, 0, &id, error, "SELECT id FROM source WHERE alias = ?", "t", alias))
        return FALSE;
    if (id)
        return TRUE;
    g_autoptr(PdStmt) stmt = pd_db_query(
        corpus, error, "SELECT coalesce(group_concat(alias, ', '), 'none') FROM source", "");
    if (stmt && pd_db_step(corpus, stmt, error) == SQLITE_ROW)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "%s: no source '%s'; there are: %s", corpus->dir, alias,
                    (const char *)sqlite3_column_text(stmt, 0));
    return FALSE;
}

void
pd_run_row_free(PdRunRow *row)
{
    if (!row)
        return;
    g_free(row->source);
    g_free(row->path);
    g_free(row->kind);
    g_free(row->status);
    g_free(row->error);
    g_free(row->options);
    g_free(row);
}

#define RUNS_SQL                                                                                   \
    "SELECT s.id, s.alias, s.path, s.kind, r.status, r.error, r.started, r.ended, r.n_emitted,"    \
    "  r.n_new,"                                                                                   \
    "  r.n_unchanged, r.n_changed, r.n_duplicate, r.n_removed, r.n_skipped, r.n_failed,"           \
    "  r.n_partial, r.n_hidden, r.n_masked, r.n_found, r.n_ocr, s.options"                         \
    ", " PD_FOLDED_SQL("n_folded", "s.id") ", " PD_FOLDED_SQL(                                     \
        "folded_bytes", "s.id") " FROM source s JOIN run r ON r.id = (SELECT max(id) FROM run "    \
                                "WHERE source_id = s.id)"                                          \
                                " WHERE ?1 IS NULL OR s.alias = ?1 ORDER BY s.id"

static PdRunRow *
run_from_row(PdStmt *stmt)
{
    PdRunRow *row = g_new0(PdRunRow, 1);
    PdAddReport *r = &row->report;
    guint64 *counts[] = {&r->n_read,      &r->n_new,     &r->n_unchanged, &r->n_changed,
                         &r->n_duplicate, &r->n_removed, &r->n_skipped,   &r->n_failed,
                         &r->n_partial,   &r->n_hidden,  &r->n_masked,    &r->n_found,
                         &r->n_ocr_pages};
    row->source_id = r->source_id = sqlite3_column_int64(stmt, 0);
    row->source = pd_db_text(stmt, 1);
    row->path = pd_db_text(stmt, 2);
    row->kind = pd_db_text(stmt, 3);
    row->status = pd_db_text(stmt, 4);
    row->error = pd_db_text(stmt, 5);
    row->started_utc = sqlite3_column_int64(stmt, 6);
    row->ended_utc =
        sqlite3_column_type(stmt, 7) == SQLITE_NULL ? G_MININT64 : sqlite3_column_int64(stmt, 7);
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++)
        *counts[i] = (guint64)sqlite3_column_int64(stmt, 8 + (int)i);
    int next = 8 + (int)G_N_ELEMENTS(counts);
    g_autofree char *options = pd_db_text(stmt, next);
    r->n_folded = (guint64)sqlite3_column_int64(stmt, next + 1);
    r->n_folded_bytes = (guint64)sqlite3_column_int64(stmt, next + 2);
    row->options = pd_source_options_show(options);
    return row;
}

GPtrArray *
pd_corpus_runs(PdCorpus *corpus, const char *alias, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)pd_run_row_free);
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, RUNS_SQL, "t", alias);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW)
        g_ptr_array_add(rows, run_from_row(stmt));
    return rc == SQLITE_DONE ? g_steal_pointer(&rows) : NULL;
}

gboolean
pd_corpus_ledger(PdCorpus *corpus, const char *alias,
                 void (*line)(const char *source, const PdLedgerLine *line, gpointer user_data),
                 gpointer user_data, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, error,
                    "SELECT s.alias, l.level, l.key, l.reason, l.n_bytes FROM ledger l"
                    " JOIN run r ON r.id = l.run_id JOIN source s ON s.id = r.source_id"
                    " WHERE (?1 IS NULL OR s.alias = ?1)"
                    " AND " PD_LEDGER_IS_CURRENT(
                        "(SELECT max(id) FROM run WHERE source_id = s.id)") " ORDER BY s.id, l.id",
                    "t", alias);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        PdLedgerLine row = {
            (const char *)sqlite3_column_text(stmt, 1), (const char *)sqlite3_column_text(stmt, 2),
            (const char *)sqlite3_column_text(stmt, 3), sqlite3_column_int64(stmt, 4)};
        line((const char *)sqlite3_column_text(stmt, 0), &row, user_data);
    }
    return rc == SQLITE_DONE;
}
