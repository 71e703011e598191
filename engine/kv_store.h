/*
 * KV records on disk: append-only, checksummed, content-addressed pack files beside a SQLite index.
 *
 * A record is an opaque byte string under a 32-byte key; the key is a hash of everything that
 * changes the numbers.  Order of commitment: append to the pack, fsync, insert the row; a row never
 * points at bytes that are not there.  A record's CRC-32C is checked on every read; a flipped byte
 * is an error (CORRUPT) and the caller recomputes (pd_kv_store_drop, then put).  The on-disk layout
 * is documented in kv_store.c.
 */
#ifndef PD_KV_STORE_H
#define PD_KV_STORE_H

#include <gio/gio.h>
#include <sqlite3.h>

#define PD_KV_KEY_BYTES 32

typedef struct PdKvStore PdKvStore;

/* `dir`: the corpus's kv/ folder (created unless read_only).  The handle is borrowed (free the
 * store before closing it); the store's own tables are created in it if missing.  Bytes after the
 * last committed record of a pack are ignored and overwritten by nobody: a new writer starts a new
 * pack. */
PdKvStore *pd_kv_store_open(sqlite3 *db, const char *dir, gboolean read_only, GError **error);
void pd_kv_store_free(PdKvStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdKvStore, pd_kv_store_free)

gboolean pd_kv_store_has(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES]);
/* Any function may be called from any thread.  put returns when the record and its row are on the
 * disk, or, inside a transaction of the caller, when the record is; the row follows with the
 * transaction.  A failed write leaves no trace and names the pack and the bytes it needed.
 *
 * Write once; a key that is there already is left as it is. kind: one word for listings ("segment",
 * "prefix"). */
gboolean pd_kv_store_put(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES], const char *kind,
                         const void *data, gsize n_bytes, GError **error);
/* Mapped, checked bytes; unref when done.  NOT_FOUND or CORRUPT. */
GBytes *pd_kv_store_get(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES], GError **error);
gboolean pd_kv_store_drop(PdKvStore *store, const guint8 key[PD_KV_KEY_BYTES], GError **error);

typedef struct {
    guint64 n_records;
    guint64 n_bytes;      /* of records */
    guint64 n_pack_bytes; /* of files */
    guint64 n_corrupt;    /* after verify */
} PdKvStats;
gboolean pd_kv_store_stats(PdKvStore *store, PdKvStats *stats, GError **error);
/* Read every record; corrupt ones are counted and, if `drop`, dropped so that the next use
 * recomputes them. */
gboolean pd_kv_store_verify(PdKvStore *store, gboolean drop, PdKvStats *stats,
                            GCancellable *cancellable, GError **error);

#endif
