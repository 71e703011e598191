/*
 * The index of the KV store: three tables in the corpus's database beside the pack files.
 *
 *   kv_meta(name, value)      'layout' = version of these tables and of the packs (kv_pack.c)
 *   kv_pack(pack, n_bytes)    where the last committed record of each pack ends
 *   kv_record(key, kind, pack, offset, n_bytes, crc, owner)      owner: since layout 2
 *
 * Records are written and synced before their rows are inserted, a group of them at a time; a row
 * never points at bytes that are not there.  A pack whose size differs from its row has a tail that
 * was never committed: nobody writes to it again.  A pack that no row points into is deleted by the
 * next writer; its kv_pack row stays, so that its number is not used twice.
 *
 * Inside a transaction of the caller the rows are committed with it; a rollback leaves dead bytes
 * in the pack and nothing else.
 */
#include "engine/kv_store.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/kv_store_internal.h"
#include "engine/private_mode.h"

#define LAYOUT_VERSION 2

static const PdKvIo system_io = {pwrite, fdatasync};

static const char SCHEMA[] =
    "CREATE TABLE kv_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE kv_pack (pack INTEGER PRIMARY KEY, n_bytes INTEGER NOT NULL);"
    "CREATE TABLE kv_record ("
    "  key BLOB PRIMARY KEY CHECK (length(key) = 32),"
    "  kind TEXT NOT NULL,"
    "  pack INTEGER NOT NULL REFERENCES kv_pack(pack),"
    "  offset INTEGER NOT NULL,"
    "  n_bytes INTEGER NOT NULL,"
    "  crc INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX kv_record_place ON kv_record (pack, offset);"
    "INSERT INTO kv_meta VALUES ('layout', 1);";

/* From each layout to the next. */
static const char *const STEPS[] = {
    "ALTER TABLE kv_record ADD COLUMN owner BLOB CHECK (owner IS NULL OR length(owner) = 32);"
    "UPDATE kv_meta SET value = 2 WHERE name = 'layout';",
};
G_STATIC_ASSERT(G_N_ELEMENTS(STEPS) == LAYOUT_VERSION - 1);

static const char FIND[] =
    "SELECT pack, offset, n_bytes, crc, kind, owner FROM kv_record WHERE key = ?";
/* A reader cannot bring the tables up to date. */
static const char FIND_LAYOUT_1[] =
    "SELECT pack, offset, n_bytes, crc, kind, NULL FROM kv_record WHERE key = ?";

gboolean
pd_kv_fail_db(PdKvStore *store, GError **error)
{
    const char *file = sqlite3_db_filename(store->db, "main");
    int code = sqlite3_errcode(store->db) & 0xff;
    const char *advice = code == SQLITE_FULL    ? ": the disk is full; free some space"
                         : code == SQLITE_IOERR ? ": reading or writing failed; check the disk"
                                                : "";

    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s%s%s (%s)",
                file && *file ? file : "KV index", advice,
                *advice ? " and run the command again, what was finished is kept" : "",
                sqlite3_errmsg(store->db));
    return FALSE;
}

gboolean
pd_kv_sql(PdKvStore *store, const char *sql, GError **error)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ||
           pd_kv_fail_db(store, error);
}

PdKvStmt *
pd_kv_prepare(PdKvStore *store, const char *sql, GError **error)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        pd_kv_fail_db(store, error);
    return stmt;
}

/* The first column of the first row; 0 if there is none. */
gboolean
pd_kv_query_i64(PdKvStore *store, const char *sql, gint64 *value, GError **error)
{
    g_autoptr(PdKvStmt) stmt = pd_kv_prepare(store, sql, error);
    int rc;

    if (!stmt)
        return FALSE;
    rc = sqlite3_step(stmt);
    *value = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    return rc == SQLITE_ROW || rc == SQLITE_DONE || pd_kv_fail_db(store, error);
}

/* ---- opening ---- */

/* To the latest layout, all of it or nothing. */
static gboolean
update_tables(PdKvStore *store, GError **error)
{
    gboolean ok = pd_kv_sql(store, "SAVEPOINT kv_schema", error);

    for (int layout = store->layout; ok && layout < LAYOUT_VERSION; layout++)
        ok = pd_kv_sql(store, layout == 0 ? SCHEMA : STEPS[layout - 1], error);
    if (!ok)
        sqlite3_exec(store->db, "ROLLBACK TO kv_schema", NULL, NULL, NULL);
    store->layout = LAYOUT_VERSION;
    return pd_kv_sql(store, "RELEASE kv_schema", ok ? error : NULL) && ok;
}

static gboolean
check_tables(PdKvStore *store, GError **error)
{
    gint64 n_tables, version = 0;

    if (!pd_kv_query_i64(store, "SELECT count(*) FROM sqlite_master WHERE name = 'kv_meta'",
                         &n_tables, error))
        return FALSE;
    if (n_tables == 0 && store->read_only) {
        store->no_tables = TRUE;
        return TRUE;
    }
    if (n_tables != 0 &&
        !pd_kv_query_i64(store, "SELECT value FROM kv_meta WHERE name = 'layout'", &version, error))
        return FALSE;
    if (n_tables != 0 && (version < 1 || version > LAYOUT_VERSION)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s has layout %" G_GINT64_FORMAT "; this program knows layout %d%s",
                    store->dir, version, LAYOUT_VERSION,
                    version > LAYOUT_VERSION ? ": it was made by a newer version of pandect" : "");
        return FALSE;
    }
    store->layout = (int)version;
    return store->read_only || version == LAYOUT_VERSION || update_tables(store, error);
}

/* Also what an earlier version made for all to read. */
static gboolean
make_folder(PdKvStore *store, GError **error)
{
    g_autoptr(GDir) dir = NULL;
    const char *name;

    if (g_mkdir_with_parents(store->dir, PD_PRIVATE_DIR_MODE) != 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: cannot create: %s", store->dir,
                    g_strerror(errno));
        return FALSE;
    }
    pd_make_private(store->dir);
    dir = g_dir_open(store->dir, 0, NULL);
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(store->dir, name, NULL);
        if (pd_kv_pack_number(name) != 0)
            pd_make_private(path);
    }
    return TRUE;
}

PdKvStore *
pd_kv_store_open(sqlite3 *db, const char *dir, gboolean read_only, GError **error)
{
    g_autoptr(PdKvStore) store = g_new0(PdKvStore, 1);

    store->db = db;
    store->dir = g_strdup(dir);
    store->read_only = read_only;
    store->io = &system_io;
    store->pack_cap = PD_KV_PACK_CAP;
    store->readers =
        g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)pd_kv_pack_reader_unref);
    g_mutex_init(&store->lock);

    if (!read_only && !make_folder(store, error))
        return NULL;
    if (!check_tables(store, error))
        return NULL;
    if (!store->no_tables) {
        store->find = pd_kv_prepare(store, store->layout == 1 ? FIND_LAYOUT_1 : FIND, error);
        if (!store->find)
            return NULL;
    }
    return g_steal_pointer(&store);
}

void
pd_kv_store_free(PdKvStore *store)
{
    if (!store)
        return;
    sqlite3_finalize(store->find);
    pd_kv_pack_writer_free(store->writer);
    g_hash_table_unref(store->readers);
    g_mutex_clear(&store->lock);
    g_free(store->dir);
    g_free(store);
}

void
pd_kv_store_set_io(PdKvStore *store, const PdKvIo *io)
{
    store->io = io;
}

void
pd_kv_store_set_pack_cap(PdKvStore *store, guint64 n_bytes)
{
    store->pack_cap = n_bytes;
}

/* ---- reading ---- */

gboolean
pd_kv_no_owner(const PdKvPlace *place)
{
    static const guint8 none[PD_KV_KEY_BYTES];

    return memcmp(place->owner, none, sizeof none) == 0;
}

PdKvPlace
pd_kv_place_from(PdKvStmt *stmt, int first)
{
    const char *kind = (const char *)sqlite3_column_text(stmt, first + 4);
    const guint8 *owner = sqlite3_column_blob(stmt, first + 5);
    PdKvPlace place = {
        .pack = (guint32)sqlite3_column_int64(stmt, first),
        .offset = (guint64)sqlite3_column_int64(stmt, first + 1),
        .n_bytes = (guint64)sqlite3_column_int64(stmt, first + 2),
        .crc = (guint32)sqlite3_column_int64(stmt, first + 3),
    };

    g_strlcpy(place.kind, kind ? kind : "", sizeof place.kind);
    if (owner && sqlite3_column_bytes(stmt, first + 5) == PD_KV_KEY_BYTES)
        memcpy(place.owner, owner, PD_KV_KEY_BYTES);
    return place;
}

/* NOT_FOUND if there is no row. */
static gboolean
find_place(PdKvStore *store, const guint8 *key, PdKvPlace *place, GError **error)
{
    int rc = SQLITE_DONE;

    if (!store->no_tables) {
        sqlite3_bind_blob(store->find, 1, key, PD_KV_KEY_BYTES, SQLITE_STATIC);
        rc = sqlite3_step(store->find);
    }
    if (rc == SQLITE_ROW) {
        *place = pd_kv_place_from(store->find, 0);
    } else if (rc == SQLITE_DONE) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND, "%s: no such record",
                    store->dir);
    } else {
        pd_kv_fail_db(store, error);
    }
    sqlite3_reset(store->find);
    return rc == SQLITE_ROW;
}

PdKvPackReader *
pd_kv_find_reader(PdKvStore *store, const PdKvPlace *place, GError **error)
{
    gpointer number = GUINT_TO_POINTER(place->pack);
    PdKvPackReader *reader = g_hash_table_lookup(store->readers, number);

    if (!reader || !pd_kv_pack_reader_reaches(reader, place)) {
        reader = pd_kv_pack_reader_open(store->dir, place->pack, error);
        if (!reader)
            return NULL;
        g_hash_table_replace(store->readers, number, reader);
    }
    return pd_kv_pack_reader_ref(reader);
}

gboolean
pd_kv_store_has(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES])
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
    PdKvPlace place;

    return find_place(store, key, &place, NULL);
}

GBytes *
pd_kv_store_get(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES], GError **error)
{
    g_autoptr(PdKvPackReader) reader = NULL;
    PdKvPlace place, again;

    g_mutex_lock(&store->lock);
    if (find_place(store, key, &place, error)) {
        g_autoptr(GError) local = NULL;
        reader = pd_kv_find_reader(store, &place, &local);
        /* Another process's gc may have moved the record since its row was read. */
        if (!reader && find_place(store, key, &again, NULL) && again.pack != place.pack) {
            place = again;
            g_clear_error(&local);
            reader = pd_kv_find_reader(store, &place, &local);
        }
        if (!reader)
            g_propagate_error(error, g_steal_pointer(&local));
    }
    g_mutex_unlock(&store->lock);

    /* The checksum is the long part; other threads may read meanwhile. */
    return reader ? pd_kv_pack_reader_get(reader, &place, key, error) : NULL;
}

/* ---- writing ---- */

gboolean
pd_kv_fail_read_only(PdKvStore *store, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO,
                "%s was opened read-only; nothing can be stored there", store->dir);
    return FALSE;
}

/* Delete packs that no row points into: what an interrupted writer or `drop` left.  Under the
 * database's write lock, so that no row of another writer is on its way; inside a transaction of
 * the caller, whose view may be old, it is left for another time. */
void
pd_kv_remove_orphans(PdKvStore *store)
{
    g_autoptr(GDir) dir = g_dir_open(store->dir, 0, NULL);
    g_autoptr(PdKvStmt) used = NULL;
    const char *name;

    if (!dir || !sqlite3_get_autocommit(store->db) || !pd_kv_sql(store, "BEGIN IMMEDIATE", NULL))
        return;
    used = pd_kv_prepare(store, "SELECT 1 FROM kv_record WHERE pack = ? LIMIT 1", NULL);
    while (used && (name = g_dir_read_name(dir))) {
        guint32 number = pd_kv_pack_number(name);
        if (number == 0)
            continue;
        sqlite3_bind_int64(used, 1, number);
        if (sqlite3_step(used) == SQLITE_DONE)
            pd_kv_pack_remove_unlocked(store->dir, number);
        sqlite3_reset(used);
    }
    pd_kv_sql(store, "COMMIT", NULL);
}

/* The last pack if it can be gone on with, else a new one. */
static gboolean
begin_pack(PdKvStore *store, GError **error)
{
    gint64 last, n_committed;

    pd_kv_remove_orphans(store);
    if (!pd_kv_query_i64(store, "SELECT max(pack) FROM kv_pack", &last, error))
        return FALSE;
    if (last > 0) {
        g_autoptr(PdKvPackWriter) writer = pd_kv_pack_writer_adopt(store->dir, (guint32)last);
        /* Read again under the pack's lock: its former writer may just have finished. */
        g_autofree char *sql =
            g_strdup_printf("SELECT n_bytes FROM kv_pack WHERE pack = %" G_GINT64_FORMAT, last);
        if (!pd_kv_query_i64(store, sql, &n_committed, error))
            return FALSE;
        if (writer && pd_kv_pack_writer_end(writer) == (guint64)n_committed) {
            store->writer = g_steal_pointer(&writer);
            return TRUE;
        }
    }
    store->writer = pd_kv_pack_writer_create(store->dir, (guint32)last + 1, store->io, error);
    return store->writer != NULL;
}

/* A writer whose pack has room for so many bytes. */
static gboolean
ensure_writer(PdKvStore *store, guint64 needed, GError **error)
{
    if (!store->writer && !begin_pack(store, error))
        return FALSE;
    if (pd_kv_pack_writer_end(store->writer) + needed > store->pack_cap &&
        pd_kv_pack_writer_end(store->writer) > 512) {
        guint32 next = pd_kv_pack_writer_number(store->writer) + 1;
        g_clear_pointer(&store->writer, pd_kv_pack_writer_free);
        store->writer = pd_kv_pack_writer_create(store->dir, next, store->io, error);
    }
    return store->writer != NULL;
}

/* A record of a group and where it went. */
typedef struct {
    const PdKvRecord *record;
    PdKvPlace place;
} Put;

static gboolean
run_to_end(PdKvStore *store, PdKvStmt *stmt, GError **error)
{
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        ;
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || pd_kv_fail_db(store, error);
}

/* The end of the writer's pack. */
static gboolean
update_pack_row(PdKvStore *store, GError **error)
{
    g_autoptr(PdKvStmt) stmt = pd_kv_prepare(
        store,
        "INSERT INTO kv_pack VALUES (?, ?) ON CONFLICT DO UPDATE SET n_bytes = excluded.n_bytes",
        error);

    if (!stmt)
        return FALSE;
    sqlite3_bind_int64(stmt, 1, pd_kv_pack_writer_number(store->writer));
    sqlite3_bind_int64(stmt, 2, (gint64)pd_kv_pack_writer_end(store->writer));
    return run_to_end(store, stmt, error);
}

static void
bind_record(PdKvStmt *stmt, const Put *put)
{
    const PdKvPlace *place = &put->place;

    sqlite3_bind_blob(stmt, 1, put->record->key, PD_KV_KEY_BYTES, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, place->kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, place->pack);
    sqlite3_bind_int64(stmt, 4, (gint64)place->offset);
    sqlite3_bind_int64(stmt, 5, (gint64)place->n_bytes);
    sqlite3_bind_int64(stmt, 6, place->crc);
    if (pd_kv_no_owner(place))
        sqlite3_bind_null(stmt, 7);
    else
        sqlite3_bind_blob(stmt, 7, place->owner, PD_KV_KEY_BYTES, SQLITE_STATIC);
}

/* *n_inserted: without those that another writer has stored meanwhile. */
static gboolean
insert_rows(PdKvStore *store, GArray *puts, guint *n_inserted, GError **error)
{
    g_autoptr(PdKvStmt) insert = NULL, delete = NULL;

    if (!update_pack_row(store, error))
        return FALSE;
    insert = pd_kv_prepare(
        store, "INSERT INTO kv_record VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", error);
    if (insert)
        delete = pd_kv_prepare(store, "DELETE FROM kv_record WHERE key = ?", error);
    if (!delete)
        return FALSE;
    for (guint i = 0; i < puts->len; i++) {
        const Put *put = &g_array_index(puts, Put, i);

        bind_record(insert, put);
        if (!run_to_end(store, insert, error))
            return FALSE;
        *n_inserted += (guint)sqlite3_changes(store->db);
        if (!put->record->replaces)
            continue;
        sqlite3_bind_blob(delete, 1, put->record->replaces, PD_KV_KEY_BYTES, SQLITE_STATIC);
        if (!run_to_end(store, delete, error))
            return FALSE;
    }
    return TRUE;
}

/* All rows or none; *n_inserted is 0 on failure. */
static gboolean
commit_rows(PdKvStore *store, GArray *puts, guint *n_inserted, GError **error)
{
    *n_inserted = 0;
    if (!pd_kv_sql(store, "SAVEPOINT kv_put", error))
        return FALSE;
    if (insert_rows(store, puts, n_inserted, error) && pd_kv_sql(store, "RELEASE kv_put", error))
        return TRUE;
    *n_inserted = 0;
    pd_kv_sql(store, "ROLLBACK TO kv_put", NULL);
    pd_kv_sql(store, "RELEASE kv_put", NULL);
    return FALSE;
}

/* Those of the group that are not there yet, each key once. */
static GArray *
find_missing(PdKvStore *store, const PdKvRecord *records, guint n, guint64 *n_pack_bytes)
{
    g_autoptr(GHashTable) keys =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    GArray *puts = g_array_new(FALSE, TRUE, sizeof(Put));

    *n_pack_bytes = 0;
    for (guint i = 0; i < n; i++) {
        Put put = {.record = &records[i]};
        PdKvPlace there;

        if (find_place(store, records[i].key, &there, NULL) ||
            !g_hash_table_add(keys, g_bytes_new_static(records[i].key, PD_KV_KEY_BYTES)))
            continue;
        g_strlcpy(put.place.kind, records[i].kind, sizeof put.place.kind);
        if (records[i].owner)
            memcpy(put.place.owner, records[i].owner, PD_KV_KEY_BYTES);
        *n_pack_bytes += pd_kv_pack_record_bytes(records[i].n_bytes);
        g_array_append_val(puts, put);
    }
    return puts;
}

/* Written and synced; on failure the pack is as it was and the writer gone. */
static gboolean
append_all(PdKvStore *store, GArray *puts, guint64 start, GError **error)
{
    gboolean ok = TRUE;

    for (guint i = 0; ok && i < puts->len; i++) {
        Put *put = &g_array_index(puts, Put, i);
        ok = pd_kv_pack_writer_append(store->writer, put->record->key, put->record->data,
                                      put->record->n_bytes, store->io, &put->place, error);
    }
    if (!ok)
        pd_kv_pack_writer_cut(store->writer, start);
    ok = ok && pd_kv_pack_writer_sync(store->writer, start, store->io, error);
    /* After a failed sync the kernel may have forgotten which pages are dirty. */
    if (!ok)
        g_clear_pointer(&store->writer, pd_kv_pack_writer_free);
    return ok;
}

static gboolean
put_locked(PdKvStore *store, const PdKvRecord *records, guint n, GError **error)
{
    guint64 n_pack_bytes, start;
    g_autoptr(GArray) puts = find_missing(store, records, n, &n_pack_bytes);
    guint n_inserted;
    gboolean ok;

    if (puts->len == 0)
        return TRUE;
    if (!ensure_writer(store, n_pack_bytes, error))
        return FALSE;
    start = pd_kv_pack_writer_end(store->writer);
    if (!append_all(store, puts, start, error))
        return FALSE;
    ok = commit_rows(store, puts, &n_inserted, error);
    if (n_inserted == 0 && !pd_kv_pack_writer_cut(store->writer, start))
        g_clear_pointer(&store->writer, pd_kv_pack_writer_free);
    return ok;
}

gboolean
pd_kv_store_put_many(PdKvStore *store, const PdKvRecord *records, guint n, GError **error)
{
    g_autoptr(GMutexLocker) locker = NULL;

    for (guint i = 0; i < n; i++)
        g_assert(strlen(records[i].kind) < PD_KV_KIND_BYTES);
    if (n == 0)
        return TRUE;
    if (store->read_only)
        return pd_kv_fail_read_only(store, error);
    locker = g_mutex_locker_new(&store->lock);
    return put_locked(store, records, n, error);
}

gboolean
pd_kv_store_put(PdKvStore *store, const PdKvRecord *record, GError **error)
{
    return pd_kv_store_put_many(store, record, 1, error);
}

gboolean
pd_kv_store_drop(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES], GError **error)
{
    g_autoptr(GMutexLocker) locker = NULL;
    g_autoptr(PdKvStmt) stmt = NULL;

    if (store->read_only)
        return pd_kv_fail_read_only(store, error);
    locker = g_mutex_locker_new(&store->lock);
    stmt = pd_kv_prepare(store, "DELETE FROM kv_record WHERE key = ?", error);
    if (!stmt)
        return FALSE;
    sqlite3_bind_blob(stmt, 1, key, PD_KV_KEY_BYTES, SQLITE_STATIC);
    return sqlite3_step(stmt) == SQLITE_DONE || pd_kv_fail_db(store, error);
}

/* ---- the whole store ---- */

guint64
pd_kv_pack_file_bytes(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    guint64 sum = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        GStatBuf st;
        if (pd_kv_pack_number(name) != 0 && g_stat(file, &st) == 0)
            sum += st.st_size;
    }
    return sum;
}

gboolean
pd_kv_store_stats(PdKvStore *store, PdKvStats *stats, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
    g_autoptr(PdKvStmt) stmt = NULL;

    *stats = (PdKvStats){.n_pack_bytes = pd_kv_pack_file_bytes(store->dir)};
    if (store->no_tables)
        return TRUE;
    stmt = pd_kv_prepare(store, "SELECT count(*), coalesce(sum(n_bytes), 0) FROM kv_record", error);
    if (!stmt)
        return FALSE;
    if (sqlite3_step(stmt) != SQLITE_ROW)
        return pd_kv_fail_db(store, error);
    stats->n_records = (guint64)sqlite3_column_int64(stmt, 0);
    stats->n_bytes = (guint64)sqlite3_column_int64(stmt, 1);
    return TRUE;
}

/* All keys in the order of their bytes on disk, PD_KV_KEY_BYTES each. */
static GByteArray *
list_keys(PdKvStore *store, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
    g_autoptr(GByteArray) keys = g_byte_array_new();
    g_autoptr(PdKvStmt) stmt = NULL;
    int rc;

    if (store->no_tables)
        return g_steal_pointer(&keys);
    stmt = pd_kv_prepare(store, "SELECT key FROM kv_record ORDER BY pack, offset", error);
    if (!stmt)
        return NULL;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        if (sqlite3_column_bytes(stmt, 0) == PD_KV_KEY_BYTES)
            g_byte_array_append(keys, sqlite3_column_blob(stmt, 0), PD_KV_KEY_BYTES);
    if (rc != SQLITE_DONE) {
        pd_kv_fail_db(store, error);
        return NULL;
    }
    return g_steal_pointer(&keys);
}

gboolean
pd_kv_store_verify(PdKvStore *store, gboolean drop, PdKvStats *stats, GCancellable *cancellable,
                   GError **error)
{
    g_autoptr(GByteArray) keys = list_keys(store, error);
    guint64 n_corrupt = 0;

    if (!keys)
        return FALSE;
    for (guint i = 0; i < keys->len; i += PD_KV_KEY_BYTES) {
        const guint8 *key = keys->data + i;
        g_autoptr(GError) damage = NULL;
        g_autoptr(GBytes) bytes = NULL;

        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED,
                        "%s: verification was interrupted", store->dir);
            return FALSE;
        }
        bytes = pd_kv_store_get(store, key, &damage);
        if (bytes || g_error_matches(damage, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND))
            continue;
        if (!g_error_matches(damage, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
            g_propagate_error(error, g_steal_pointer(&damage));
            return FALSE;
        }
        n_corrupt++;
        if (drop && !pd_kv_store_drop(store, key, error))
            return FALSE;
    }
    if (!pd_kv_store_stats(store, stats, error))
        return FALSE;
    stats->n_corrupt = n_corrupt;
    return TRUE;
}
