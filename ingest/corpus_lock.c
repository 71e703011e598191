/*
 * One writer to a corpus.
 *
 * The lock is flock(2) on the folder itself: no lock file is left behind, the kernel drops it with
 * the process, and unlike a POSIX lock on corpus.db it does not vanish when SQLite closes another
 * descriptor of that file.  The holder's pid stands in the table `writer`, only to be named in the
 * second writer's error.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>
#include "ingest/corpus_internal.h"

/* The pid in the table `writer`, read through a handle of its own; 0 if nobody can be named. */
static gint64
holder_pid(const char *db_path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    gint64 pid = 0;
    if (sqlite3_open_v2(db_path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(db, 1000) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT pid FROM writer", -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        pid = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    /* A row that a killed writer left names nobody. */
    return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM) ? pid : 0;
}

gboolean
pd_corpus_lock(PdCorpus *corpus, GError **error)
{
    int fd = open(corpus->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS, "%s: cannot open: %s",
                    corpus->dir, g_strerror(errno));
        return FALSE;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        corpus->lock_fd = fd;
        return TRUE;
    }
    int saved = errno;
    close(fd);
    if (saved != EWOULDBLOCK) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s: this file system cannot lock (%s); keep the corpus on a local disk",
                    corpus->dir, g_strerror(saved));
        return FALSE;
    }
    gint64 pid = holder_pid(corpus->db_path);
    g_autofree char *who = pid ? g_strdup_printf(" (pid %" G_GINT64_FORMAT ")", pid) : g_strdup("");
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                "%s: another pandect%s is writing to this corpus; wait until it has finished",
                corpus->dir, who);
    return FALSE;
}

gboolean
pd_corpus_lock_announce(PdCorpus *corpus, GError **error)
{
    return pd_db_run(corpus, error, "INSERT OR REPLACE INTO writer(id, pid) VALUES (1, ?)", "i",
                     (gint64)getpid());
}

void
pd_corpus_unlock(PdCorpus *corpus)
{
    if (corpus->lock_fd < 0)
        return;
    if (corpus->db) {
        pd_db_rollback(corpus);
        pd_db_run(corpus, NULL, "DELETE FROM writer WHERE pid = ?", "i", (gint64)getpid());
        /* So that corpus.db alone is the corpus, even while somebody reads; without waiting. */
        sqlite3_busy_timeout(corpus->db, 0);
        sqlite3_wal_checkpoint_v2(corpus->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    /* Closed by pd_corpus_free after the database, so that the last checkpoint is inside. */
}
