/* What the tests of the KV store share: a database with its store, records made from a number, and
 * system calls that fail or kill. */
#ifndef KV_STORE_FIXTURE_H
#define KV_STORE_FIXTURE_H

#include "engine/kv_store.h"
#include "engine/kv_store_private.h"

typedef struct {
    char *root;
    char *db_path;
    char *kv;
    sqlite3 *db;
} Fixture;

sqlite3 *open_db(const char *path, int flags);
sqlite3 *open_writable(const char *path);
void set_up(Fixture *f, gconstpointer data);
void tear_down(Fixture *f, gconstpointer data);
PdKvStore *open_store(Fixture *f);
void make_key(guint i, guint8 key[PD_KV_KEY_BYTES]);
GBytes *make_payload(guint i, gsize n);
gsize size_of(guint i);
gboolean put(PdKvStore *store, guint i, GError **error);
void assert_put(PdKvStore *store, guint i);
void assert_record(PdKvStore *store, guint i);
void assert_get_fails(PdKvStore *store, guint i, int code);
gboolean has(PdKvStore *store, guint i);
PdKvStats verify(PdKvStore *store, gboolean drop);
guint count_packs(Fixture *f);
char *pack_path(Fixture *f, guint number);
guint8 flip(const char *path, goffset offset, guint8 mask);
gboolean integrity_ok(sqlite3 *db);

/* Calls on a pack before the one that goes wrong. */
extern guint n_io_calls;
typedef enum { IO_SHORT, IO_FULL, IO_KILL } IoDamage;
extern IoDamage io_damage;
extern const PdKvIo faulty_io;

#endif
