/*
 * Taking things out of a corpus for good: rows, and then the texts that no part refers to any more,
 * overwritten on disk (secure_delete) and their pages given back.
 *
 * A purge goes further, and tells when it was interrupted: the transaction that removes the rows
 * leaves a mark, which is taken away when the database has been written anew and the log is empty.
 */
#include "ingest/corpus_internal.h"
#include "ingest/fold.h"

/* By alias, then by path. 0: no such source. */
static gboolean
find_source(PdCorpus *corpus, const char *what, gint64 *id, GError **error)
{
    g_autofree char *path = pd_source_canonical_path(what);
    return pd_db_int(corpus, 0, id, error,
                     "SELECT id FROM source WHERE alias = ?1 OR path = ?1 OR path = ?2"
                     " ORDER BY alias = ?1 DESC LIMIT 1",
                     "tt", what, path);
}

/* A document goes with its earlier revisions and with what hangs on it. */
#define FAMILY_SQL                                                                                 \
    "WITH RECURSIVE family(source_id, key) AS ("                                                   \
    "  SELECT source_id, key FROM document WHERE id = ?"                                           \
    "  UNION SELECT d.source_id, d.key FROM document d JOIN family f"                              \
    "    ON d.source_id = f.source_id AND d.parent_key = f.key)"

/* Mails that leave out what these documents have are read whole again. */
static gboolean
release(PdCorpus *corpus, const char *sql, gint64 id, GError **error)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, sql, "i", id);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        gint64 live = sqlite3_column_int64(stmt, 0);
        g_array_append_val(ids, live);
    }
    return rc == SQLITE_DONE &&
           pd_fold_release(corpus, (const gint64 *)(gpointer)ids->data, ids->len, 0, error);
}

static gboolean
remove_document(PdCorpus *corpus, gint64 id, GError **error)
{
    if (!release(corpus,
                 FAMILY_SQL " SELECT d.id FROM document d WHERE d.state = 'live' AND"
                            " (d.source_id, d.key) IN (SELECT * FROM family)",
                 id, error))
        return FALSE;
    /* The runs' accounts first: verify compares them with what is stored. */
    return pd_db_run(corpus, error,
                     FAMILY_SQL " UPDATE run SET n_dropped = n_dropped +"
                                " (SELECT count(*) FROM document WHERE last_run = run.id"
                                "  AND (source_id, key) IN (SELECT * FROM family))",
                     "i", id) &&
           pd_db_run(corpus, error,
                     FAMILY_SQL " DELETE FROM document WHERE (source_id, key) IN"
                                " (SELECT * FROM family)",
                     "i", id);
}

static gboolean
count_live(PdCorpus *corpus, gint64 *n, GError **error)
{
    return pd_db_int(corpus, 0, n, error, "SELECT count(*) FROM document WHERE state = 'live'", "");
}

static gboolean
remove_orphans(PdCorpus *corpus, GError **error)
{
    return pd_db_run(corpus, error,
                     "DELETE FROM text WHERE NOT EXISTS"
                     " (SELECT 1 FROM part WHERE part.text_id = text.id)",
                     "");
}

/* What a name or number stands for: a source or, source_id 0, a document. */
static gboolean
find_target(PdCorpus *corpus, const char *what, gint64 *source_id, gint64 *document_id,
            GError **error)
{
    gint64 known = 0;
    *document_id = 0;
    if (!find_source(corpus, what, source_id, error))
        return FALSE;
    if (*source_id)
        return TRUE;
    if (g_ascii_string_to_signed(what, 10, 1, G_MAXINT64, document_id, NULL) &&
        !pd_db_int(corpus, 0, &known, error, "SELECT 1 FROM document WHERE id = ?", "i",
                   *document_id))
        return FALSE;
    if (!known)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "%s: no source or document '%s' in this corpus; see: pandect ls", corpus->dir,
                    what);
    return known != 0;
}

static gboolean
remove_target(PdCorpus *corpus, gint64 source_id, gint64 document_id, GError **error)
{
    if (!source_id)
        return remove_document(corpus, document_id, error);
    return release(corpus, "SELECT id FROM document WHERE source_id = ? AND state = 'live'",
                   source_id, error) &&
           pd_db_run(corpus, error, "DELETE FROM source WHERE id = ?", "i", source_id);
}

static gboolean
remove_in_transaction(PdCorpus *corpus, const char *what, guint64 *n_removed, GError **error)
{
    gint64 source_id, document_id, before, after;
    if (!find_target(corpus, what, &source_id, &document_id, error) ||
        !count_live(corpus, &before, error) ||
        !remove_target(corpus, source_id, document_id, error) || !remove_orphans(corpus, error) ||
        !count_live(corpus, &after, error))
        return FALSE;
    if (n_removed)
        *n_removed = (guint64)(before - after);
    return TRUE;
}

static gboolean
remove_all_in_transaction(PdCorpus *corpus, const gint64 *ids, gsize n, GError **error)
{
    for (gsize i = 0; i < n; i++)
        if (!remove_document(corpus, ids[i], error))
            return FALSE;
    return remove_orphans(corpus, error) && pd_db_exec(corpus, "COMMIT", error);
}

gboolean
pd_corpus_remove_documents(PdCorpus *corpus, const gint64 *ids, gsize n, GError **error)
{
    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    if (n == 0)
        return TRUE;
    if (!pd_db_exec(corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    if (remove_all_in_transaction(corpus, ids, n, error))
        return TRUE;
    pd_db_rollback(corpus);
    return FALSE;
}

gboolean
pd_corpus_remove(PdCorpus *corpus, const char *what, guint64 *n_removed, GError **error)
{
    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    if (!pd_db_exec(corpus, "PRAGMA secure_delete = ON; BEGIN IMMEDIATE", error))
        return FALSE;
    if (!remove_in_transaction(corpus, what, n_removed, error) ||
        !pd_db_exec(corpus, "COMMIT", error)) {
        pd_db_rollback(corpus);
        return FALSE;
    }
    /* The log still holds the old pages until it is written back and cut. */
    return pd_db_exec(corpus, "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)", error);
}

/* --- purging ------------------------------------------------------------------------------- */

typedef struct {
    gint64 n_live, n_documents, n_texts, n_text_bytes;
} Held;

static gboolean
count_held(PdCorpus *corpus, Held *held, GError **error)
{
    return count_live(corpus, &held->n_live, error) &&
           pd_db_int(corpus, 0, &held->n_documents, error, "SELECT count(*) FROM document", "") &&
           pd_db_int(corpus, 0, &held->n_texts, error, "SELECT count(*) FROM text", "") &&
           pd_db_int(corpus, 0, &held->n_text_bytes, error,
                     "SELECT coalesce(sum(n_bytes), 0) FROM text", "");
}

/* Which texts the target holds, before it goes. */
static gboolean
note_texts(PdCorpus *corpus, gint64 source_id, gint64 document_id, GError **error)
{
    return source_id ? pd_db_run(corpus, error,
                                 "INSERT OR IGNORE INTO purged_text SELECT p.text_id FROM part p"
                                 " JOIN document d ON d.id = p.document_id WHERE d.source_id = ?",
                                 "i", source_id)
                     : pd_db_run(corpus, error,
                                 FAMILY_SQL " INSERT OR IGNORE INTO purged_text"
                                            " SELECT p.text_id FROM part p JOIN document d"
                                            " ON d.id = p.document_id WHERE (d.source_id, d.key)"
                                            " IN (SELECT * FROM family)",
                                 "i", document_id);
}

static gboolean
purge_in_transaction(PdCorpus *corpus, const char *const *what, PdPurgeReport *report,
                     GError **error)
{
    Held before, after;
    gint64 n_shared;
    if (!pd_db_exec(corpus,
                    "CREATE TEMP TABLE IF NOT EXISTS purged_text(id INTEGER PRIMARY KEY);"
                    "DELETE FROM purged_text; INSERT OR IGNORE INTO purge(id) VALUES (1);",
                    error) ||
        !count_held(corpus, &before, error))
        return FALSE;
    for (; *what; what++) {
        gint64 source_id, document_id;
        if (!find_target(corpus, *what, &source_id, &document_id, error) ||
            !note_texts(corpus, source_id, document_id, error) ||
            !remove_target(corpus, source_id, document_id, error))
            return FALSE;
    }
    if (!remove_orphans(corpus, error) || !count_held(corpus, &after, error) ||
        !pd_db_int(corpus, 0, &n_shared, error,
                   "SELECT count(*) FROM purged_text JOIN text USING (id)", ""))
        return FALSE;
    report->n_documents = (guint64)(before.n_live - after.n_live);
    report->n_revisions = (guint64)(before.n_documents - after.n_documents) - report->n_documents;
    report->n_texts = (guint64)(before.n_texts - after.n_texts);
    report->n_text_bytes = (guint64)(before.n_text_bytes - after.n_text_bytes);
    report->n_shared_texts = (guint64)n_shared;
    return TRUE;
}

gboolean
pd_corpus_purge_rows(PdCorpus *corpus, const char *const *what, gboolean dry_run,
                     PdPurgeReport *report, GError **error)
{
    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    *report = (PdPurgeReport){0};
    if (!pd_db_exec(corpus, "PRAGMA secure_delete = ON; BEGIN IMMEDIATE", error))
        return FALSE;
    gboolean ok = purge_in_transaction(corpus, what, report, error);
    if (ok && !dry_run && pd_db_exec(corpus, "COMMIT", error))
        return TRUE;
    pd_db_rollback(corpus);
    return ok && dry_run;
}

gboolean
pd_corpus_purge_is_open(PdCorpus *corpus, gboolean *is_open, GError **error)
{
    gint64 n;
    if (!pd_db_int(corpus, 0, &n, error, "SELECT count(*) FROM purge", ""))
        return FALSE;
    *is_open = n > 0;
    return TRUE;
}

/* Write the log back and cut it to nothing; it holds old pages until then. */
static gboolean
empty_log(PdCorpus *corpus, GError **error)
{
    gint64 busy;
    if (!pd_db_int(corpus, 0, &busy, error, "PRAGMA wal_checkpoint(TRUNCATE)", ""))
        return FALSE;
    if (busy)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s: the text is removed, but another program still reads the corpus and keeps "
                    "the log in which it stood; when that has ended, run: pandect -C %s purge",
                    corpus->db_path, corpus->dir);
    return !busy;
}

gboolean
pd_corpus_scrub(PdCorpus *corpus, GError **error)
{
    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    return pd_db_exec(corpus, "PRAGMA secure_delete = ON; VACUUM", error) &&
           empty_log(corpus, error) && pd_db_exec(corpus, "DELETE FROM purge", error) &&
           pd_db_exec(corpus, "PRAGMA wal_checkpoint(TRUNCATE)", error);
}
