/*
 * SQLite with GError: cached statements, typed binding, and error codes turned into one line that
 * names the corpus and a way out.
 */
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>
#include "ingest/corpus_internal.h"

/* With less than this SQLite cannot begin to work on a file: its shared memory takes 32 KiB. */
#define DISK_BYTES_MIN (256u << 10)

void
pd_stmt_done(PdStmt *stmt)
{
    if (!stmt)
        return;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

/* SQLite calls a full disk so only where it writes a page, not where it makes its shared memory. */
gboolean
pd_db_disk_is_full(PdCorpus *corpus)
{
    struct statvfs st;
    int code = corpus->db ? sqlite3_errcode(corpus->db) & 0xff : SQLITE_OK;
    return code == SQLITE_FULL || (code == SQLITE_IOERR && statvfs(corpus->dir, &st) == 0 &&
                                   (guint64)st.f_bavail * st.f_frsize < DISK_BYTES_MIN);
}

gboolean
pd_db_fail(PdCorpus *corpus, GError **error)
{
    int code = corpus->db ? sqlite3_extended_errcode(corpus->db) : SQLITE_NOMEM;
    const char *path = corpus->db_path;
    const char *detail = corpus->db ? sqlite3_errmsg(corpus->db) : "out of memory";
    const char *advice = NULL;
    switch (pd_db_disk_is_full(corpus) ? SQLITE_FULL : code & 0xff) {
    case SQLITE_FULL:
        advice = "the disk is full; free some space and run the command again, what was finished "
                 "is kept";
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        advice = "the corpus is read-only; change its permissions or copy the folder to a place "
                 "you can write to";
        break;
    case SQLITE_CANTOPEN:
        advice = "cannot be opened; check that the folder exists and that you may write to it";
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        advice = "another program holds the database; try again when it has finished";
        break;
    case SQLITE_NOTADB:
        advice = "is not a Pandect corpus (not an SQLite database); choose another folder with -C";
        break;
    case SQLITE_CORRUPT:
        advice = "the database is damaged; restore the folder from a copy, or remove it and add "
                 "the sources again";
        break;
    case SQLITE_IOERR:
        advice = "reading or writing failed; check the disk, then run the command again";
        break;
    default:
        break;
    }
    if (advice)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS, "%s: %s (%s)", path, advice,
                    detail);
    else
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS, "%s: %s (SQLite error %d)",
                    path, detail, code);
    return FALSE;
}

PdStmt *
pd_db_prepare(PdCorpus *corpus, const char *sql, GError **error)
{
    PdStmt *stmt = g_hash_table_lookup(corpus->statements, sql);
    if (stmt) {
        /* Two users of one statement at a time would read each other's rows. */
        g_assert(!sqlite3_stmt_busy(stmt));
        return stmt;
    }
    if (sqlite3_prepare_v3(corpus->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
        SQLITE_OK) {
        pd_db_fail(corpus, error);
        return NULL;
    }
    g_hash_table_insert(corpus->statements, g_strdup(sql), stmt);
    return stmt;
}

static int
bind_all(PdStmt *stmt, const char *types, va_list args)
{
    int rc = SQLITE_OK;
    g_assert((int)strlen(types) == sqlite3_bind_parameter_count(stmt));
    for (int i = 0; types[i] && rc == SQLITE_OK; i++) {
        switch (types[i]) {
        case 'i':
            rc = sqlite3_bind_int64(stmt, i + 1, va_arg(args, gint64));
            break;
        case 't':
            rc = sqlite3_bind_text(stmt, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'b': {
            const void *data = va_arg(args, const void *);
            gsize n = va_arg(args, gsize);
            rc = sqlite3_bind_blob64(stmt, i + 1, data, n, SQLITE_STATIC);
            break;
        }
        default:
            g_assert_not_reached();
        }
    }
    return rc;
}

static PdStmt *
query_va(PdCorpus *corpus, GError **error, const char *sql, const char *types, va_list args)
{
    g_autoptr(PdStmt) stmt = pd_db_prepare(corpus, sql, error);
    if (!stmt)
        return NULL;
    if (bind_all(stmt, types, args) != SQLITE_OK) {
        pd_db_fail(corpus, error);
        return NULL;
    }
    return g_steal_pointer(&stmt);
}

PdStmt *
pd_db_query(PdCorpus *corpus, GError **error, const char *sql, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    PdStmt *stmt = query_va(corpus, error, sql, types, args);
    va_end(args);
    return stmt;
}

int
pd_db_step(PdCorpus *corpus, PdStmt *stmt, GError **error)
{
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return rc;
    pd_db_fail(corpus, error);
    return -1;
}

gboolean
pd_db_run(PdCorpus *corpus, GError **error, const char *sql, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    g_autoptr(PdStmt) stmt = query_va(corpus, error, sql, types, args);
    va_end(args);
    if (!stmt)
        return FALSE;
    int rc;
    while ((rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW)
        ;
    return rc == SQLITE_DONE;
}

gboolean
pd_db_int(PdCorpus *corpus, gint64 fallback, gint64 *value, GError **error, const char *sql,
          const char *types, ...)
{
    va_list args;
    va_start(args, types);
    g_autoptr(PdStmt) stmt = query_va(corpus, error, sql, types, args);
    va_end(args);
    if (!stmt)
        return FALSE;
    int rc = pd_db_step(corpus, stmt, error);
    *value = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : fallback;
    return rc != -1;
}

gboolean
pd_db_exec(PdCorpus *corpus, const char *sql, GError **error)
{
    if (sqlite3_exec(corpus->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return pd_db_fail(corpus, error);
    return TRUE;
}

void
pd_db_rollback(PdCorpus *corpus)
{
    /* A full disk may have rolled back already. */
    if (!sqlite3_get_autocommit(corpus->db))
        sqlite3_exec(corpus->db, "ROLLBACK", NULL, NULL, NULL);
}

char *
pd_db_text(PdStmt *stmt, int column)
{
    return g_strdup((const char *)sqlite3_column_text(stmt, column));
}
