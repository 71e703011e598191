/*
 * Taking things out of a corpus for good: rows, and then the texts that no part refers to any more,
 * overwritten on disk (secure_delete) and their pages given back.
 */
#include "ingest/corpus_internal.h"

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

static gboolean
remove_document(PdCorpus *corpus, gint64 id, GError **error)
{
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

static gboolean
remove_in_transaction(PdCorpus *corpus, const char *what, guint64 *n_removed, GError **error)
{
    gint64 source_id, before, after, known = 0;
    if (!find_source(corpus, what, &source_id, error) || !count_live(corpus, &before, error))
        return FALSE;
    if (source_id) {
        if (!pd_db_run(corpus, error, "DELETE FROM source WHERE id = ?", "i", source_id))
            return FALSE;
    } else {
        gint64 id = 0;
        if (g_ascii_string_to_signed(what, 10, 1, G_MAXINT64, &id, NULL) &&
            !pd_db_int(corpus, 0, &known, error, "SELECT 1 FROM document WHERE id = ?", "i", id))
            return FALSE;
        if (!known) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                        "%s: no source or document '%s' in this corpus; see: pandect ls",
                        corpus->dir, what);
            return FALSE;
        }
        if (!remove_document(corpus, id, error))
            return FALSE;
    }
    if (!remove_orphans(corpus, error) || !count_live(corpus, &after, error))
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
