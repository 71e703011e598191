/*
 * Opening and closing a corpus.
 *
 * A folder is a corpus if its corpus.db carries our application_id; anything else is refused by
 * name and left as it is.  SQLite runs in WAL mode, where readers and the one writer do not wait
 * for each other, with synchronous=NORMAL: the log is synced at checkpoints only, so a process
 * killed at any point loses no committed transaction, and a power cut loses at most the last few,
 * which the next `add` finds missing and reads again.  The database stays consistent in both.
 *
 * Folder and files are for their owner alone; SQLite gives its log and shared memory the database's
 * mode.  A corpus that an earlier version made is tightened when it is next written to.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/private_mode.h"
#include "ingest/corpus_internal.h"

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean
fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS, message);
    return FALSE;
}

static gboolean
open_handle(PdCorpus *corpus, const char *uri, int flags, GError **error)
{
    if (sqlite3_open_v2(uri, &corpus->db, flags | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK)
        return pd_db_fail(corpus, error);
    sqlite3_busy_timeout(corpus->db, 5000);
    sqlite3_db_config(corpus->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* The file may come from someone else: its schema is data. */
    return pd_db_exec(corpus,
                      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                      "PRAGMA foreign_keys = ON;",
                      error);
}

static void
finalize(gpointer stmt)
{
    sqlite3_finalize(stmt);
}

static void
close_handle(PdCorpus *corpus)
{
    g_hash_table_remove_all(corpus->statements);
    sqlite3_close_v2(corpus->db);
    corpus->db = NULL;
}

/* An empty database that nobody has claimed: what a kill during creation leaves. */
static gboolean
is_blank(PdCorpus *corpus, gboolean *blank, GError **error)
{
    gint64 id, version, n_objects;
    if (!pd_db_int(corpus, 0, &id, error, "PRAGMA application_id", "") ||
        !pd_db_int(corpus, 0, &version, error, "PRAGMA user_version", "") ||
        !pd_db_int(corpus, 0, &n_objects, error, "SELECT count(*) FROM sqlite_schema", ""))
        return FALSE;
    *blank = id == 0 && version == 0 && n_objects == 0;
    return TRUE;
}

/* Ours, and of a schema that this program knows? */
static gboolean
check_identity(PdCorpus *corpus, gint64 *version, GError **error)
{
    gint64 id;
    gboolean blank;
    if (!is_blank(corpus, &blank, error) ||
        !pd_db_int(corpus, 0, &id, error, "PRAGMA application_id", "") ||
        !pd_db_int(corpus, 0, version, error, "PRAGMA user_version", ""))
        return FALSE;
    if (blank)
        return fail(error,
                    "%s: the corpus is empty, as if making it had been interrupted; go on with: "
                    "pandect -C %s add SOURCE",
                    corpus->dir, corpus->dir);
    if (id != PD_CORPUS_APPLICATION_ID)
        return fail(error,
                    "%s is not a Pandect corpus but another program's SQLite database; choose "
                    "another folder with -C",
                    corpus->db_path);
    if (*version > pd_corpus_schema_latest())
        return fail(error,
                    "%s was made by a newer Pandect: its schema is %" G_GINT64_FORMAT
                    ", this program knows up to %d; update pandect",
                    corpus->dir, *version, pd_corpus_schema_latest());
    return TRUE;
}

/* What stands at DIR/corpus.db, before SQLite touches it.  *exists: a database file is there. */
static gboolean
check_files(PdCorpus *corpus, gboolean *exists, GError **error)
{
    GStatBuf st;
    *exists = FALSE;
    if (g_stat(corpus->dir, &st) != 0) {
        if (errno == ENOENT)
            return corpus->mode == PD_CORPUS_CREATE ||
                   fail(error, "%s: no corpus here; make one with: pandect -C %s add SOURCE",
                        corpus->dir, corpus->dir);
        return fail(error, "%s: %s", corpus->dir, g_strerror(errno));
    }
    if (!S_ISDIR(st.st_mode))
        return fail(error, "%s is a file; a corpus is a folder: choose another place with -C",
                    corpus->dir);
    if (g_stat(corpus->db_path, &st) != 0) {
        if (errno != ENOENT)
            return fail(error, "%s: %s", corpus->db_path, g_strerror(errno));
        return corpus->mode == PD_CORPUS_CREATE ||
               fail(error,
                    "%s: no corpus here (no corpus.db); make one with: pandect -C %s add "
                    "SOURCE",
                    corpus->dir, corpus->dir);
    }
    if (!S_ISREG(st.st_mode))
        return fail(error, "%s is not a Pandect corpus (not a regular file)", corpus->db_path);
    *exists = TRUE;
    return TRUE;
}

static gboolean
check_writable(PdCorpus *corpus, GError **error)
{
    if (faccessat(AT_FDCWD, corpus->dir, W_OK, AT_EACCESS) == 0 &&
        faccessat(AT_FDCWD, corpus->db_path, W_OK, AT_EACCESS) == 0)
        return TRUE;
    return fail(error,
                "%s: the corpus is read-only (%s); change its permissions or copy the folder to a "
                "place you can write to",
                corpus->dir, g_strerror(errno));
}

/* A new corpus goes into a folder of its own: it must not hide among somebody's files. */
static gboolean
make_folder(PdCorpus *corpus, GError **error)
{
    if (g_mkdir_with_parents(corpus->dir, PD_PRIVATE_DIR_MODE) != 0)
        return fail(error, "%s: cannot make the corpus's folder: %s", corpus->dir,
                    g_strerror(errno));
    g_autoptr(GDir) dir = g_dir_open(corpus->dir, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        if (!g_str_has_prefix(name, "corpus.db") && !g_str_equal(name, "kv") &&
            !g_str_equal(name, "lost+found"))
            return fail(error,
                        "%s is not empty (it holds %s) and no corpus; give an empty or new folder "
                        "with -C",
                        corpus->dir, name);
    return TRUE;
}

/* Under the lock, once the folder is known to be a corpus. */
static void
tighten_modes(PdCorpus *corpus)
{
    g_autofree char *wal = g_strconcat(corpus->db_path, "-wal", NULL);
    g_autofree char *shm = g_strconcat(corpus->db_path, "-shm", NULL);
    pd_make_private(corpus->dir);
    pd_make_private(corpus->db_path);
    pd_make_private(wal);
    pd_make_private(shm);
}

static gboolean
open_for_writing(PdCorpus *corpus, GError **error)
{
    gboolean exists, blank;
    gint64 version;
    if (!check_files(corpus, &exists, error) ||
        !(exists ? check_writable(corpus, error) : make_folder(corpus, error)) ||
        !pd_corpus_lock(corpus, error))
        return FALSE;
    gboolean create = corpus->mode == PD_CORPUS_CREATE;
    if (create && !pd_create_private(corpus->db_path) && errno != EEXIST)
        return fail(error, "%s: cannot make the corpus: %s", corpus->db_path, g_strerror(errno));
    if (!open_handle(corpus, corpus->db_path, SQLITE_OPEN_READWRITE, error) ||
        !is_blank(corpus, &blank, error))
        return FALSE;
    if (blank && create) {
        /* Freed pages can then be given back by `rm`; only possible before the first table. */
        if (!pd_db_exec(corpus, "PRAGMA auto_vacuum = INCREMENTAL;", error))
            return FALSE;
    } else if (!check_identity(corpus, &version, error)) {
        return FALSE;
    }
    tighten_modes(corpus);
    return pd_db_exec(corpus, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", error) &&
           pd_corpus_migrate(corpus, error) && pd_corpus_lock_announce(corpus, error);
}

/*
 * A WAL database in a folder where nothing can be written, or on a full disk, cannot make its
 * shared-memory file.  If no log is pending, nobody can be writing either, and the file may be read
 * as immutable.
 */
static gboolean
open_immutable(PdCorpus *corpus, const char *why, GError **error)
{
    g_autofree char *wal = g_strconcat(corpus->db_path, "-wal", NULL);
    GStatBuf st;
    if (g_stat(wal, &st) == 0 && st.st_size > 0)
        return fail(error,
                    "%s: %s, and its last writer was interrupted; copy the folder to a place you "
                    "can write to and open it there",
                    corpus->dir, why);
    g_autofree char *absolute = g_canonicalize_filename(corpus->db_path, NULL);
    g_autofree char *escaped = g_uri_escape_string(absolute, "/", FALSE);
    g_autofree char *uri = g_strdup_printf("file:%s?immutable=1", escaped);
    close_handle(corpus);
    return open_handle(corpus, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, error);
}

static gboolean
open_for_reading(PdCorpus *corpus, GError **error)
{
    gboolean exists;
    gint64 version;
    if (!check_files(corpus, &exists, error) ||
        !open_handle(corpus, corpus->db_path, SQLITE_OPEN_READONLY, error))
        return FALSE;
    g_autoptr(GError) local = NULL;
    if (!pd_db_int(corpus, 0, &version, &local, "SELECT count(*) FROM sqlite_schema", "")) {
        int code = sqlite3_errcode(corpus->db) & 0xff;
        gboolean full = pd_db_disk_is_full(corpus);
        if (!full && code != SQLITE_CANTOPEN && code != SQLITE_READONLY) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (!open_immutable(corpus, full ? "the disk is full" : "read-only", error))
            return FALSE;
    }
    if (!check_identity(corpus, &version, error))
        return FALSE;
    if (version == pd_corpus_schema_latest())
        return TRUE;
    /* An older schema: bring it up to date as a writer would, then read. */
    close_handle(corpus);
    g_autoptr(PdCorpus) writer = pd_corpus_open(corpus->dir, PD_CORPUS_WRITE, error);
    if (!writer)
        return FALSE;
    g_clear_pointer(&writer, pd_corpus_free);
    return open_handle(corpus, corpus->db_path, SQLITE_OPEN_READONLY, error);
}

PdCorpus *
pd_corpus_open(const char *dir, PdCorpusMode mode, GError **error)
{
    g_autoptr(PdCorpus) corpus = g_new0(PdCorpus, 1);
    corpus->dir = g_strdup(dir);
    corpus->db_path = g_build_filename(dir, "corpus.db", NULL);
    corpus->mode = mode;
    corpus->lock_fd = -1;
    corpus->statements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, finalize);
    gboolean ok =
        mode == PD_CORPUS_READ ? open_for_reading(corpus, error) : open_for_writing(corpus, error);
    return ok ? g_steal_pointer(&corpus) : NULL;
}

void
pd_corpus_free(PdCorpus *corpus)
{
    if (!corpus)
        return;
    pd_corpus_unlock(corpus);
    close_handle(corpus);
    g_hash_table_unref(corpus->statements);
    if (corpus->lock_fd >= 0)
        close(corpus->lock_fd);
    g_free(corpus->db_path);
    g_free(corpus->dir);
    g_free(corpus);
}

sqlite3 *
pd_corpus_db(PdCorpus *corpus)
{
    return corpus->db;
}

const char *
pd_corpus_dir(PdCorpus *corpus)
{
    return corpus->dir;
}
