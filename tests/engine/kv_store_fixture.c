/* See kv_store_fixture.h. */
#include "kv_store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/remove_tree.h"

sqlite3 *
open_db(const char *path, int flags)
{
    sqlite3 *db = NULL;

    g_assert_cmpint(sqlite3_open_v2(path, &db, flags, NULL), ==, SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    return db;
}

sqlite3 *
open_writable(const char *path)
{
    sqlite3 *db = open_db(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);

    g_assert_cmpint(
        sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON", NULL, NULL, NULL),
        ==, SQLITE_OK);
    return db;
}

void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->root = g_dir_make_tmp("pandect-kv-XXXXXX", &error);
    g_assert_no_error(error);
    f->db_path = g_build_filename(f->root, "corpus.db", NULL);
    f->kv = g_build_filename(f->root, "kv", NULL);
    f->db = open_writable(f->db_path);
}

void
tear_down(Fixture *f, gconstpointer data)
{
    sqlite3_close(f->db);
    pd_remove_tree(f->root);
    g_free(f->root);
    g_free(f->db_path);
    g_free(f->kv);
}

PdKvStore *
open_store(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    PdKvStore *store = pd_kv_store_open(f->db, f->kv, FALSE, &error);

    g_assert_no_error(error);
    return store;
}

/* ---- records made from a number ---- */

void
make_key(guint i, guint8 key[PD_KV_KEY_BYTES])
{
    memset(key, 0x5a, PD_KV_KEY_BYTES);
    memcpy(key, &i, sizeof i);
}

GBytes *
make_payload(guint i, gsize n)
{
    guint8 *data = g_malloc(MAX(n, 1));
    guint64 state = i * 0x9e3779b97f4a7c15u + 1;

    for (gsize k = 0; k < n; k++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        data[k] = (guint8)(state >> 56);
    }
    return g_bytes_new_take(data, n);
}

gsize
size_of(guint i)
{
    static const gsize sizes[] = {0, 1, 511, 512, 513, 4096, 70000, 12289};

    return sizes[i % G_N_ELEMENTS(sizes)];
}

gboolean
put(PdKvStore *store, guint i, GError **error)
{
    guint8 key[PD_KV_KEY_BYTES];
    g_autoptr(GBytes) payload = make_payload(i, size_of(i));

    make_key(i, key);
    return pd_kv_store_put(store,
                           &(PdKvRecord){.key = key,
                                         .kind = "segment",
                                         .data = g_bytes_get_data(payload, NULL),
                                         .n_bytes = size_of(i)},
                           error);
}

void
assert_put(PdKvStore *store, guint i)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = put(store, i, &error);

    g_assert_no_error(error);
    g_assert_true(ok);
}

void
assert_record(PdKvStore *store, guint i)
{
    guint8 key[PD_KV_KEY_BYTES];
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) expected = make_payload(i, size_of(i));
    g_autoptr(GBytes) got = NULL;

    make_key(i, key);
    got = pd_kv_store_get(store, key, &error);
    g_assert_no_error(error);
    g_assert_true(g_bytes_equal(got, expected));
}

void
assert_get_fails(PdKvStore *store, guint i, int code)
{
    guint8 key[PD_KV_KEY_BYTES];
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) got = NULL;

    make_key(i, key);
    got = pd_kv_store_get(store, key, &error);
    g_assert_null(got);
    g_assert_error(error, PD_ENGINE_ERROR, code);
}

gboolean
has(PdKvStore *store, guint i)
{
    guint8 key[PD_KV_KEY_BYTES];

    make_key(i, key);
    return pd_kv_store_has(store, key);
}

PdKvStats
verify(PdKvStore *store, gboolean drop)
{
    g_autoptr(GError) error = NULL;
    PdKvStats stats;

    pd_kv_store_verify(store, drop, &stats, NULL, &error);
    g_assert_no_error(error);
    return stats;
}

guint
count_packs(Fixture *f)
{
    g_autoptr(GDir) dir = g_dir_open(f->kv, 0, NULL);
    guint n = 0;

    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

char *
pack_path(Fixture *f, guint number)
{
    g_autofree char *name = g_strdup_printf("%06u.pack", number);

    return g_build_filename(f->kv, name, NULL);
}

guint8
flip(const char *path, goffset offset, guint8 mask)
{
    int fd = g_open(path, O_RDWR, 0);
    guint8 byte;

    g_assert_cmpint(pread(fd, &byte, 1, offset), ==, 1);
    byte ^= mask;
    g_assert_cmpint(pwrite(fd, &byte, 1, offset), ==, 1);
    close(fd);
    return byte;
}

/* ---- failing writes ---- */

guint n_io_calls;
IoDamage io_damage;

static ssize_t
faulty_pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    if (n_io_calls > 0 || (io_damage == IO_SHORT && n < 2)) {
        n_io_calls -= n_io_calls > 0;
        return pwrite(fd, bytes, n, offset);
    }
    if (n > 1 && pwrite(fd, bytes, n / 2, offset) < 0)
        return -1;
    if (io_damage == IO_KILL)
        raise(SIGKILL);
    if (io_damage == IO_SHORT) {
        n_io_calls = G_MAXUINT;
        return n / 2;
    }
    errno = ENOSPC;
    return -1;
}

static int
faulty_fdatasync(int fd)
{
    if (n_io_calls > 0 || io_damage == IO_SHORT) {
        n_io_calls -= n_io_calls > 0;
        return fdatasync(fd);
    }
    if (io_damage == IO_KILL) {
        fdatasync(fd);
        raise(SIGKILL);
    }
    errno = EIO;
    return -1;
}

const PdKvIo faulty_io = {faulty_pwrite, faulty_fdatasync};

gboolean
integrity_ok(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    gboolean ok = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK &&
                  sqlite3_step(stmt) == SQLITE_ROW &&
                  g_str_equal((const char *)sqlite3_column_text(stmt, 0), "ok");

    sqlite3_finalize(stmt);
    return ok;
}
