/* The handle of the KV store and the thin layer over SQLite that its files share; nothing outside
 * engine/kv_store*.c includes this. */
#ifndef PD_KV_STORE_INTERNAL_H
#define PD_KV_STORE_INTERNAL_H

#include "engine/kv_pack.h"
#include "engine/kv_store.h"
#include "engine/kv_store_private.h"

struct PdKvStore {
    sqlite3 *db;
    char *dir;
    gboolean read_only;
    int layout;         /* of the tables; 0: none */
    gboolean no_tables; /* read-only, and nothing was ever stored */
    const PdKvIo *io;
    guint64 pack_cap;
    GMutex lock; /* everything below, and the statements run on db */
    sqlite3_stmt *find;
    GHashTable *readers;    /* pack number -> PdKvPackReader */
    PdKvPackWriter *writer; /* NULL until the first put */
};

typedef sqlite3_stmt PdKvStmt;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdKvStmt, sqlite3_finalize)

/* The connection's last error as one line.  Returns FALSE. */
gboolean pd_kv_fail_db(PdKvStore *store, GError **error);
gboolean pd_kv_fail_read_only(PdKvStore *store, GError **error);
gboolean pd_kv_sql(PdKvStore *store, const char *sql, GError **error);
PdKvStmt *pd_kv_prepare(PdKvStore *store, const char *sql, GError **error);
/* The first column of the first row; 0 if there is none. */
gboolean pd_kv_query_i64(PdKvStore *store, const char *sql, gint64 *value, GError **error);

/* A new reference to the pack's reader; the lock is held. */
PdKvPackReader *pd_kv_find_reader(PdKvStore *store, const PdKvPlace *place, GError **error);
/* Columns `first` on: pack, offset, n_bytes, crc, kind, owner. */
PdKvPlace pd_kv_place_from(PdKvStmt *stmt, int first);
gboolean pd_kv_no_owner(const PdKvPlace *place);
/* Delete packs that no row points into: what an interrupted writer, `drop` or `gc` left. */
void pd_kv_remove_orphans(PdKvStore *store);
/* Of all packs of the folder. */
guint64 pd_kv_pack_file_bytes(const char *dir);

#endif
