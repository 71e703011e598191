/*
 * Giving back what the KV store no longer needs.
 *
 * First the rows of dead records go, in one transaction; their bytes are then nobody's.  Then, pack
 * by pack, the emptiest first: one without a live record is deleted; one with much waste has its
 * live records copied to a new pack, synced, and their rows pointed there by a transaction that is
 * itself synced before the old pack is deleted.  Killed in between, the rows point to the old pack
 * or to the new one, and the other of the two is an orphan that the next writer deletes.
 */
#include <string.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/kv_store_internal.h"

/* A pack is rewritten when more than one part in so many is waste. */
#define WASTE_PARTS 5

typedef struct {
    guint32 number;
    guint64 n_file_bytes;
    guint64 n_committed_bytes; /* where its last committed record ends; 0: no row */
    guint64 n_live_bytes;      /* of records, headers and padding included */
} Pack;

typedef struct {
    PdKvStore *store;
    GArray *packs;      /* Pack */
    GByteArray *dead;   /* keys */
    PdKvPackWriter *to; /* where live records go; NULL until the first */
    gboolean all;       /* no dead byte may stay, however few there are */
    PdKvGcReport *report;
    GCancellable *cancellable;
} Gc;

/* A live record on its way. */
typedef struct {
    guint8 key[PD_KV_KEY_BYTES];
    PdKvPlace from, to; /* to.pack 0: damaged, not moved */
} Move;

static void
clear_gc(Gc *gc)
{
    g_clear_pointer(&gc->packs, g_array_unref);
    g_clear_pointer(&gc->dead, g_byte_array_unref);
    g_clear_pointer(&gc->to, pd_kv_pack_writer_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Gc, clear_gc)

/* ---- what there is ---- */

static Pack *
find_pack(Gc *gc, guint32 number)
{
    for (guint i = 0; i < gc->packs->len; i++) {
        Pack *pack = &g_array_index(gc->packs, Pack, i);
        if (pack->number == number)
            return pack;
    }
    return NULL;
}

static void
list_pack_files(Gc *gc)
{
    g_autoptr(GDir) dir = g_dir_open(gc->store->dir, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(gc->store->dir, name, NULL);
        Pack pack = {.number = pd_kv_pack_number(name)};
        GStatBuf st;
        if (pack.number == 0 || g_stat(path, &st) != 0)
            continue;
        pack.n_file_bytes = (guint64)st.st_size;
        gc->report->n_bytes_before += pack.n_file_bytes;
        g_array_append_val(gc->packs, pack);
    }
}

static gboolean
read_committed_ends(Gc *gc, GError **error)
{
    g_autoptr(PdKvStmt) stmt = pd_kv_prepare(gc->store, "SELECT pack, n_bytes FROM kv_pack", error);
    int rc = SQLITE_DONE;

    if (!stmt)
        return FALSE;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        Pack *pack = find_pack(gc, (guint32)sqlite3_column_int64(stmt, 0));
        if (pack)
            pack->n_committed_bytes = (guint64)sqlite3_column_int64(stmt, 1);
    }
    return rc == SQLITE_DONE || pd_kv_fail_db(gc->store, error);
}

/* Sort the records into dead ones and the bytes that live in each pack. */
static gboolean
judge_records(Gc *gc, PdKvLive live, gpointer user_data, GError **error)
{
    g_autoptr(PdKvStmt) stmt =
        pd_kv_prepare(gc->store,
                      gc->store->layout == 1
                          ? "SELECT key, pack, offset, n_bytes, crc, kind, NULL FROM kv_record"
                          : "SELECT key, pack, offset, n_bytes, crc, kind, owner FROM kv_record",
                      error);
    int rc;

    if (!stmt)
        return FALSE;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const guint8 *key = sqlite3_column_blob(stmt, 0);
        PdKvPlace place = pd_kv_place_from(stmt, 1);
        guint64 n_bytes = pd_kv_pack_record_bytes(place.n_bytes);
        Pack *pack = find_pack(gc, place.pack);

        if (sqlite3_column_bytes(stmt, 0) != PD_KV_KEY_BYTES)
            continue;
        if (live(key, place.kind, pd_kv_no_owner(&place) ? NULL : place.owner, user_data)) {
            if (pack)
                pack->n_live_bytes += n_bytes;
            continue;
        }
        g_byte_array_append(gc->dead, key, PD_KV_KEY_BYTES);
        gc->report->n_dead_records++;
        gc->report->n_dead_bytes += n_bytes;
    }
    return rc == SQLITE_DONE || pd_kv_fail_db(gc->store, error);
}

static int
by_live_bytes(gconstpointer a, gconstpointer b)
{
    const Pack *one = a, *two = b;

    if (one->n_live_bytes != two->n_live_bytes)
        return one->n_live_bytes < two->n_live_bytes ? -1 : 1;
    return one->number < two->number ? -1 : one->number > two->number;
}

/* ---- what is done with a pack ---- */

typedef enum { KEEP, CUT, REWRITE, REMOVE } Fate;

static Fate
fate_of(const Gc *gc, const Pack *pack)
{
    guint64 used = PD_KV_PACK_HEADER_BYTES + pack->n_live_bytes;
    guint64 n_tolerated = gc->all ? 0 : pack->n_file_bytes / WASTE_PARTS;

    if (pack->n_live_bytes == 0)
        return REMOVE;
    if (used < pack->n_file_bytes && pack->n_file_bytes - used > n_tolerated)
        return REWRITE;
    return pack->n_committed_bytes != 0 && pack->n_committed_bytes < pack->n_file_bytes ? CUT
                                                                                        : KEEP;
}

static void
foretell(Gc *gc)
{
    PdKvGcReport *report = gc->report;

    for (guint i = 0; i < gc->packs->len; i++) {
        const Pack *pack = &g_array_index(gc->packs, Pack, i);
        switch (fate_of(gc, pack)) {
        case KEEP:
            report->n_bytes_after += pack->n_file_bytes;
            break;
        case CUT:
            report->n_bytes_after += pack->n_committed_bytes;
            break;
        case REWRITE:
            report->n_packs_rewritten++;
            report->n_packs_removed++;
            report->n_bytes_after += PD_KV_PACK_HEADER_BYTES + pack->n_live_bytes;
            break;
        case REMOVE:
            report->n_packs_removed++;
        }
    }
}

static GArray *
list_moves(Gc *gc, guint32 number, GError **error)
{
    g_autoptr(GArray) moves = g_array_new(FALSE, FALSE, sizeof(Move));
    g_autoptr(PdKvStmt) stmt =
        pd_kv_prepare(gc->store,
                      "SELECT key, pack, offset, n_bytes, crc, kind, owner FROM kv_record"
                      " WHERE pack = ? ORDER BY offset",
                      error);
    int rc;

    if (!stmt)
        return NULL;
    sqlite3_bind_int64(stmt, 1, number);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        Move move = {.from = pd_kv_place_from(stmt, 1)};
        if (sqlite3_column_bytes(stmt, 0) != PD_KV_KEY_BYTES)
            continue;
        memcpy(move.key, sqlite3_column_blob(stmt, 0), PD_KV_KEY_BYTES);
        g_array_append_val(moves, move);
    }
    if (rc == SQLITE_DONE)
        return g_steal_pointer(&moves);
    pd_kv_fail_db(gc->store, error);
    return NULL;
}

/* A pack with room for so many bytes of records. */
static gboolean
ensure_target(Gc *gc, guint64 n_bytes, GError **error)
{
    PdKvStore *store = gc->store;
    gint64 last;

    if (gc->to && pd_kv_pack_writer_end(gc->to) + n_bytes <= store->pack_cap)
        return TRUE;
    g_clear_pointer(&gc->to, pd_kv_pack_writer_free);
    if (!pd_kv_query_i64(store, "SELECT max(pack) FROM kv_pack", &last, error))
        return FALSE;
    gc->to = pd_kv_pack_writer_create(store->dir, (guint32)last + 1, store->io, error);
    return gc->to != NULL;
}

/* Copy and sync; damaged records stay behind. */
static gboolean
copy_records(Gc *gc, GArray *moves, GError **error)
{
    const guint64 start = pd_kv_pack_writer_end(gc->to);

    for (guint i = 0; i < moves->len; i++) {
        Move *move = &g_array_index(moves, Move, i);
        g_autoptr(GError) damage = NULL;
        g_autoptr(PdKvPackReader) reader = pd_kv_find_reader(gc->store, &move->from, &damage);
        g_autoptr(GBytes) bytes =
            reader ? pd_kv_pack_reader_get(reader, &move->from, move->key, &damage) : NULL;

        if (g_cancellable_is_cancelled(gc->cancellable)) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED,
                        "%s: gc was interrupted; run it again to go on", gc->store->dir);
            return FALSE;
        }
        if (g_error_matches(damage, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
            gc->report->n_corrupt++;
            continue;
        }
        if (!bytes) {
            g_propagate_error(error, g_steal_pointer(&damage));
            return FALSE;
        }
        move->to = move->from;
        if (!pd_kv_pack_writer_append(gc->to, move->key, g_bytes_get_data(bytes, NULL),
                                      g_bytes_get_size(bytes), gc->store->io, &move->to, error))
            return FALSE;
    }
    return pd_kv_pack_writer_sync(gc->to, start, gc->store->io, error);
}

static gboolean
point_rows(Gc *gc, GArray *moves, GError **error)
{
    PdKvStore *store = gc->store;
    g_autoptr(PdKvStmt) pack = pd_kv_prepare(
        store,
        "INSERT INTO kv_pack VALUES (?, ?) ON CONFLICT DO UPDATE SET n_bytes = excluded.n_bytes",
        error);
    g_autoptr(PdKvStmt) move_row = NULL;
    g_autoptr(PdKvStmt) drop = NULL;

    if (pack)
        move_row =
            pd_kv_prepare(store, "UPDATE kv_record SET pack = ?, offset = ? WHERE key = ?", error);
    if (move_row)
        drop = pd_kv_prepare(store, "DELETE FROM kv_record WHERE key = ?", error);
    if (!drop)
        return FALSE;
    sqlite3_bind_int64(pack, 1, pd_kv_pack_writer_number(gc->to));
    sqlite3_bind_int64(pack, 2, (gint64)pd_kv_pack_writer_end(gc->to));
    if (sqlite3_step(pack) != SQLITE_DONE)
        return pd_kv_fail_db(store, error);
    for (guint i = 0; i < moves->len; i++) {
        const Move *move = &g_array_index(moves, Move, i);
        PdKvStmt *stmt = move->to.pack ? move_row : drop;
        int key = 1;
        if (move->to.pack) {
            sqlite3_bind_int64(stmt, key++, move->to.pack);
            sqlite3_bind_int64(stmt, key++, (gint64)move->to.offset);
        }
        sqlite3_bind_blob(stmt, key, move->key, PD_KV_KEY_BYTES, SQLITE_STATIC);
        if (sqlite3_step(stmt) != SQLITE_DONE)
            return pd_kv_fail_db(store, error);
        sqlite3_reset(stmt);
    }
    return TRUE;
}

static gboolean
rewrite(Gc *gc, const Pack *pack, GError **error)
{
    g_autoptr(GArray) moves = list_moves(gc, pack->number, error);

    if (!moves || !ensure_target(gc, pack->n_live_bytes, error))
        return FALSE;
    if (!copy_records(gc, moves, error)) {
        g_clear_pointer(&gc->to, pd_kv_pack_writer_free);
        return FALSE;
    }
    if (!pd_kv_sql(gc->store, "BEGIN IMMEDIATE", error))
        return FALSE;
    if (!point_rows(gc, moves, error) || !pd_kv_sql(gc->store, "COMMIT", error)) {
        pd_kv_sql(gc->store, "ROLLBACK", NULL);
        g_clear_pointer(&gc->to, pd_kv_pack_writer_free);
        return FALSE;
    }
    return TRUE;
}

static gboolean
delete_dead_rows(Gc *gc, GError **error)
{
    g_autoptr(PdKvStmt) drop = NULL;

    if (gc->dead->len == 0)
        return TRUE;
    drop = pd_kv_prepare(gc->store, "DELETE FROM kv_record WHERE key = ?", error);
    if (!drop || !pd_kv_sql(gc->store, "BEGIN IMMEDIATE", error))
        return FALSE;
    for (guint i = 0; i < gc->dead->len; i += PD_KV_KEY_BYTES) {
        sqlite3_bind_blob(drop, 1, gc->dead->data + i, PD_KV_KEY_BYTES, SQLITE_STATIC);
        if (sqlite3_step(drop) != SQLITE_DONE) {
            pd_kv_fail_db(gc->store, error);
            pd_kv_sql(gc->store, "ROLLBACK", NULL);
            return FALSE;
        }
        sqlite3_reset(drop);
    }
    return pd_kv_sql(gc->store, "COMMIT", error);
}

static gboolean
check_removed(const Gc *gc, guint32 number, GError **error)
{
    g_autofree char *path = pd_kv_pack_path(gc->store->dir, number);

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO,
                "%s: cannot be deleted; see to it that no other program uses it and that the "
                "folder can be written to, and run the command again",
                path);
    return FALSE;
}

static gboolean
reclaim(Gc *gc, GError **error)
{
    if (!delete_dead_rows(gc, error))
        return FALSE;
    g_array_sort(gc->packs, by_live_bytes);
    for (guint i = 0; i < gc->packs->len; i++) {
        const Pack *pack = &g_array_index(gc->packs, Pack, i);
        Fate fate = fate_of(gc, pack);

        if (fate == CUT)
            pd_kv_pack_cut_unlocked(gc->store->dir, pack->number, pack->n_committed_bytes);
        if (fate == REWRITE && !rewrite(gc, pack, error))
            return FALSE;
        if (fate == REWRITE || fate == REMOVE) {
            gc->report->n_packs_rewritten += fate == REWRITE;
            gc->report->n_packs_removed++;
            g_hash_table_remove(gc->store->readers, GUINT_TO_POINTER(pack->number));
            pd_kv_pack_remove_unlocked(gc->store->dir, pack->number);
            if (gc->all && !check_removed(gc, pack->number, error))
                return FALSE;
        }
    }
    return TRUE;
}

/* Commits are on the disk before what they replace is deleted, whatever the connection's habit. */
static gboolean
reclaim_synced(Gc *gc, GError **error)
{
    gint64 habit;
    g_autofree char *restore = NULL;
    gboolean ok;

    if (!pd_kv_query_i64(gc->store, "PRAGMA synchronous", &habit, error) ||
        !pd_kv_sql(gc->store, "PRAGMA synchronous = FULL", error))
        return FALSE;
    ok = reclaim(gc, error);
    g_clear_pointer(&gc->to, pd_kv_pack_writer_free);
    pd_kv_remove_orphans(gc->store); /* also what a failure left */
    restore = g_strdup_printf("PRAGMA synchronous = %" G_GINT64_FORMAT, habit);
    return pd_kv_sql(gc->store, restore, ok ? error : NULL) && ok;
}

static gboolean
collect(PdKvStore *store, PdKvLive live, gpointer user_data, gboolean dry_run, gboolean all,
        PdKvGcReport *report, GCancellable *cancellable, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&store->lock);
    g_auto(Gc) gc = {.store = store,
                     .packs = g_array_new(FALSE, FALSE, sizeof(Pack)),
                     .dead = g_byte_array_new(),
                     .all = all,
                     .report = report,
                     .cancellable = cancellable};

    g_return_val_if_fail(dry_run || sqlite3_get_autocommit(store->db), FALSE);
    *report = (PdKvGcReport){0};
    if (!dry_run && store->read_only)
        return pd_kv_fail_read_only(store, error);
    if (store->no_tables)
        return TRUE;
    g_clear_pointer(&store->writer, pd_kv_pack_writer_free);
    list_pack_files(&gc);
    if (!read_committed_ends(&gc, error) || !judge_records(&gc, live, user_data, error))
        return FALSE;
    if (dry_run) {
        foretell(&gc);
        return TRUE;
    }
    if (!reclaim_synced(&gc, error))
        return FALSE;
    report->n_bytes_after = pd_kv_pack_file_bytes(store->dir);
    return TRUE;
}

gboolean
pd_kv_store_gc(PdKvStore *store, PdKvLive live, gpointer user_data, gboolean dry_run,
               PdKvGcReport *report, GCancellable *cancellable, GError **error)
{
    return collect(store, live, user_data, dry_run, FALSE, report, cancellable, error);
}

gboolean
pd_kv_store_erase(PdKvStore *store, PdKvLive live, gpointer user_data, PdKvGcReport *report,
                  GCancellable *cancellable, GError **error)
{
    return collect(store, live, user_data, FALSE, TRUE, report, cancellable, error);
}
