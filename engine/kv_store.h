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
/* One record to be kept.  kind: one word for listings ("segment", "prefix").  owner: a hash of what
 * the record was made from, by which pd_kv_store_gc can tell whether that is still there; NULL:
 * none, and such a record is never taken for garbage.  replaces: the key of a record that this one
 * makes superfluous; NULL: none. */
typedef struct {
    const guint8 *key; /* PD_KV_KEY_BYTES, as owner and replaces */
    const guint8 *owner;
    const guint8 *replaces;
    const char *kind;
    const void *data;
    gsize n_bytes;
} PdKvRecord;

/* Any function may be called from any thread.  put returns when the records and their rows are
 * committed, or, inside a transaction of the caller, when the records are on the disk; the rows
 * follow with the transaction.  All of them or none: a group costs one sync and one transaction.  A
 * failed write leaves no trace and names the pack and the bytes it needed.
 *
 * Write once; a key that is there already, or earlier in the group, is left as it is. */
gboolean pd_kv_store_put_many(PdKvStore *store, const PdKvRecord *records, guint n, GError **error);
gboolean pd_kv_store_put(PdKvStore *store, const PdKvRecord *record, GError **error);
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

/* Is this record still of use?  owner: NULL if it has none. */
typedef gboolean (*PdKvLive)(const guint8 key[PD_KV_KEY_BYTES], const char *kind,
                             const guint8 *owner, gpointer user_data);

typedef struct {
    guint64 n_dead_records;
    guint64 n_dead_bytes; /* of dead records in their packs */
    guint64 n_corrupt;    /* records found damaged while they were moved; dropped */
    guint64 n_packs_rewritten;
    guint64 n_packs_removed; /* rewritten ones included */
    guint64 n_bytes_before;  /* of files */
    guint64 n_bytes_after;
} PdKvGcReport;

/*
 * Forget the records that are not live and give their bytes back: packs with too many dead bytes
 * (more than a fifth) are rewritten, those without a live record deleted, and tails that nobody
 * committed cut off.
 * The caller must be the only writer; readers in other processes go on.  It may be killed at any
 * point: what is live stays, the next writer or gc clears away the rest.  It needs as much free
 * space as the live bytes of one pack.  dry_run: nothing is changed, the report says what would
 * be.
 */
gboolean pd_kv_store_gc(PdKvStore *store, PdKvLive live, gpointer user_data, gboolean dry_run,
                        PdKvGcReport *report, GCancellable *cancellable, GError **error);
/* The same, until no byte of a record that is not live is in any pack: every pack with one is
 * rewritten.  An error if a pack that was replaced cannot be deleted. */
gboolean pd_kv_store_erase(PdKvStore *store, PdKvLive live, gpointer user_data,
                           PdKvGcReport *report, GCancellable *cancellable, GError **error);

#endif
