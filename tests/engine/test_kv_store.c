/* The KV store: what was put comes back, what was damaged is found, what was interrupted at any
 * system call leaves a store that opens, verifies and goes on. */
#include "engine/kv_store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/crc32c.h"
#include "engine/error.h"
#include "engine/kv_store_private.h"
#include "kv_store_fixture.h"

/* ---- tests ---- */

static void
test_crc32c(void)
{
    /* Vectors of RFC 3720, appendix B.4, and the usual check value. */
    guint8 zeros[32] = {0}, ones[32], up[32];
    g_autoptr(GBytes) big = make_payload(7, 40000);
    const guint8 *p = g_bytes_get_data(big, NULL);

    memset(ones, 0xff, sizeof ones);
    for (guint i = 0; i < 32; i++)
        up[i] = (guint8)i;
    g_assert_cmphex(pd_crc32c(0, "123456789", 9), ==, 0xe3069283);
    g_assert_cmphex(pd_crc32c(0, zeros, 32), ==, 0x8a9136aa);
    g_assert_cmphex(pd_crc32c(0, ones, 32), ==, 0x62a8ab43);
    g_assert_cmphex(pd_crc32c(0, up, 32), ==, 0x46dd794e);
    g_assert_cmphex(pd_crc32c_table(0, "123456789", 9), ==, 0xe3069283);
    g_assert_cmphex(pd_crc32c_table(0, ones, 32), ==, 0x62a8ab43);

    for (gsize n = 0; n < 40000; n = n * 2 + 13) {
        guint32 whole = pd_crc32c(0, p, n);
        g_assert_cmphex(whole, ==, pd_crc32c_table(0, p, n));
        g_assert_cmphex(whole, ==, pd_crc32c(pd_crc32c(0, p, n / 3), p + n / 3, n - n / 3));
    }
}

static void
test_reopen(Fixture *f, gconstpointer data)
{
    const guint n = 20;

    {
        g_autoptr(PdKvStore) store = open_store(f);
        for (guint i = 0; i < n; i++)
            assert_put(store, i);
        assert_put(store, 3); /* once is enough */
        for (guint i = 0; i < n; i++)
            assert_record(store, i);
    }
    {
        g_autoptr(PdKvStore) store = open_store(f);
        PdKvStats stats;
        for (guint i = 0; i < n; i++)
            assert_record(store, i);
        assert_get_fails(store, n, PD_ENGINE_ERROR_NOT_FOUND);
        g_assert_false(has(store, n));
        assert_put(store, n);
        assert_record(store, n);
        stats = verify(store, FALSE);
        g_assert_cmpuint(stats.n_records, ==, n + 1);
        g_assert_cmpuint(stats.n_corrupt, ==, 0);
        g_assert_cmpuint(stats.n_pack_bytes, >, stats.n_bytes);
    }
    /* A store that was closed in order goes on in the same pack. */
    g_assert_cmpuint(count_packs(f), ==, 1);
}

static void
test_bytes_outlive_store(Fixture *f, gconstpointer data)
{
    guint8 key[PD_KV_KEY_BYTES];
    g_autoptr(GBytes) got = NULL;
    g_autoptr(GBytes) expected = make_payload(6, size_of(6));
    PdKvStore *store = open_store(f);

    make_key(6, key);
    assert_put(store, 6);
    got = pd_kv_store_get(store, key, NULL);
    pd_kv_store_free(store);
    g_assert_true(g_bytes_equal(got, expected));
}

static void
test_pack_cap(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);

    pd_kv_store_set_pack_cap(store, 30000);
    for (guint i = 0; i < 24; i++)
        assert_put(store, i);
    g_assert_cmpuint(count_packs(f), >, 3);
    for (guint i = 0; i < 24; i++)
        assert_record(store, i);
}

/* Every byte of a small pack (headers, payloads, padding), one bit each: always found, and found in
 * the right place. */
static void
test_every_byte(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    g_autofree char *pack = pack_path(f, 1);
    GStatBuf st;

    for (guint i = 0; i < 5; i++)
        assert_put(store, i);
    g_assert_cmpint(g_stat(pack, &st), ==, 0);
    for (goffset at = 0; at < st.st_size; at++) {
        flip(pack, at, (guint8)(1u << (at % 8)));
        g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, at < 512 ? 5 : 1);
        flip(pack, at, (guint8)(1u << (at % 8)));
    }
    g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
}

static void
test_each_page(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    g_autofree char *pack = pack_path(f, 1);
    GStatBuf st;
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);

    for (guint i = 0; i < 32; i++)
        assert_put(store, i);
    g_assert_cmpint(g_stat(pack, &st), ==, 0);
    for (goffset page = 0; page < st.st_size; page += 4096) {
        goffset at = page + g_rand_int_range(rand, 0, (gint32)MIN(4096, st.st_size - page));
        guint8 mask = (guint8)(1u << g_rand_int_range(rand, 0, 8));
        flip(pack, at, mask);
        g_assert_cmpuint(verify(store, FALSE).n_corrupt, >=, 1);
        flip(pack, at, mask);
    }
    g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
}

static void
test_drop_and_put_again(Fixture *f, gconstpointer data)
{
    g_autofree char *pack = pack_path(f, 1);

    for (guint round = 0; round < 2; round++) { /* in the same session and in a new one */
        g_autoptr(PdKvStore) store = open_store(f);
        g_autoptr(GError) error = NULL;
        guint8 key[PD_KV_KEY_BYTES];

        assert_put(store, 5);
        assert_put(store, 6);
        if (round == 0)
            flip(pack, 512 + 512 + 100, 4);
        else
            continue;
        assert_get_fails(store, 5, PD_ENGINE_ERROR_CORRUPT);
        assert_record(store, 6);
        make_key(5, key);
        g_assert_true(pd_kv_store_drop(store, key, &error));
        g_assert_false(has(store, 5));
        assert_put(store, 5);
        assert_record(store, 5);
    }
    {
        g_autoptr(PdKvStore) store = open_store(f);
        PdKvStats stats;
        flip(pack, 600, 1); /* of a record that no row points at any more */
        stats = verify(store, TRUE);
        g_assert_cmpuint(stats.n_corrupt, ==, 0);
        flip(pack, 100, 1); /* the pack's header takes every record with it */
        stats = verify(store, TRUE);
        g_assert_cmpuint(stats.n_corrupt, ==, 2);
        g_assert_cmpuint(stats.n_records, ==, 0);
        assert_put(store, 5);
        assert_record(store, 5);
        g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
    }
}

static void
test_missing_and_cut_packs(Fixture *f, gconstpointer data)
{
    g_autofree char *pack = pack_path(f, 1);
    GStatBuf st;

    {
        g_autoptr(PdKvStore) store = open_store(f);
        assert_put(store, 6);
        assert_put(store, 7);
        g_assert_cmpint(g_stat(pack, &st), ==, 0);
        assert_record(store, 7); /* mapped before it is cut */
        g_assert_cmpint(truncate(pack, st.st_size - 1), ==, 0);
        assert_get_fails(store, 7, PD_ENGINE_ERROR_CORRUPT);
        assert_record(store, 6);
        g_assert_cmpint(truncate(pack, 0), ==, 0);
        assert_get_fails(store, 6, PD_ENGINE_ERROR_CORRUPT);
    }
    g_unlink(pack);
    {
        g_autoptr(PdKvStore) store = open_store(f);
        assert_get_fails(store, 6, PD_ENGINE_ERROR_CORRUPT);
        g_assert_cmpuint(verify(store, TRUE).n_corrupt, ==, 2);
        assert_put(store, 6);
        assert_record(store, 6);
    }
}

static void
test_hostile_index(Fixture *f, gconstpointer data)
{
    static const char *const damages[] = {
        "offset = -512",
        "offset = 9223372036854775296",
        "offset = 513",
        "n_bytes = -1",
        "n_bytes = 9223372036854775807",
        "n_bytes = 1000000000",
        "n_bytes = n_bytes-1",
        "pack = 2",
        "crc = crc + 1",
    };
    g_autoptr(PdKvStore) store = open_store(f);

    assert_put(store, 5);
    sqlite3_exec(
        f->db, "INSERT INTO kv_pack VALUES (2, 512); CREATE TABLE good AS SELECT * FROM kv_record",
        NULL, NULL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autofree char *sql = g_strdup_printf("UPDATE kv_record SET %s", damages[i]);
        g_assert_cmpint(sqlite3_exec(f->db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
        assert_get_fails(store, 5, PD_ENGINE_ERROR_CORRUPT);
        sqlite3_exec(f->db, "DELETE FROM kv_record; INSERT INTO kv_record SELECT * FROM good", NULL,
                     NULL, NULL);
        assert_record(store, 5);
    }
}

static void
test_read_only(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    guint8 key[PD_KV_KEY_BYTES];
    sqlite3 *db;

    sqlite3_exec(f->db, "CREATE TABLE other (x)", NULL, NULL, NULL);
    db = open_db(f->db_path, SQLITE_OPEN_READONLY);
    {
        /* Nothing was stored yet: an empty store, and nothing is made. */
        g_autoptr(PdKvStore) store = pd_kv_store_open(db, f->kv, TRUE, &error);
        g_assert_no_error(error);
        assert_get_fails(store, 1, PD_ENGINE_ERROR_NOT_FOUND);
        g_assert_cmpuint(verify(store, FALSE).n_records, ==, 0);
        g_assert_false(g_file_test(f->kv, G_FILE_TEST_EXISTS));
    }
    {
        g_autoptr(PdKvStore) store = open_store(f);
        assert_put(store, 1);
    }
    {
        g_autoptr(PdKvStore) store = pd_kv_store_open(db, f->kv, TRUE, &error);
        g_assert_no_error(error);
        assert_record(store, 1);
        g_assert_false(put(store, 2, &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
        make_key(1, key);
        g_assert_false(pd_kv_store_drop(store, key, NULL));
        assert_record(store, 1);
    }
    sqlite3_close(db);
}

static void
test_newer_layout(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    PdKvStore *store;

    pd_kv_store_free(open_store(f));
    sqlite3_exec(f->db, "UPDATE kv_meta SET value = 99 WHERE name = 'layout'", NULL, NULL, NULL);
    store = pd_kv_store_open(f->db, f->kv, FALSE, &error);
    g_assert_null(store);
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "newer"));
}

/* Two stores over one database, each with its own connection, writing in turn: each has a pack of
 * its own, both see everything, the same key is stored once. */
static void
test_two_writers(Fixture *f, gconstpointer data)
{
    sqlite3 *other_db = open_writable(f->db_path);

    {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdKvStore) a = open_store(f);
        g_autoptr(PdKvStore) b = pd_kv_store_open(other_db, f->kv, FALSE, &error);
        g_assert_no_error(error);
        for (guint i = 0; i < 30; i++) {
            assert_put(i % 2 ? a : b, i);
            assert_put(i % 2 ? b : a, i);
        }
        for (guint i = 0; i < 30; i++) {
            assert_record(a, i);
            assert_record(b, i);
        }
        g_assert_cmpuint(verify(a, FALSE).n_records, ==, 30);
        g_assert_cmpuint(count_packs(f), ==, 2);
    }
    sqlite3_close(other_db);
}

static gpointer
read_all(gpointer store)
{
    for (guint round = 0; round < 20; round++)
        for (guint i = 0; i < 16; i++)
            assert_record(store, i);
    return NULL;
}

static void
test_threads(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    GThread *threads[4];

    pd_kv_store_set_pack_cap(store, 100000);
    for (guint i = 0; i < 16; i++)
        assert_put(store, i);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", read_all, store);
    for (guint i = 16; i < 64; i++)
        assert_put(store, i);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(verify(store, FALSE).n_records, ==, 64);
}

static void
test_rolled_back(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);

    assert_put(store, 1);
    sqlite3_exec(f->db, "BEGIN", NULL, NULL, NULL);
    assert_put(store, 2);
    assert_record(store, 2);
    sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
    g_assert_false(has(store, 2));
    assert_put(store, 3);
    assert_put(store, 2);
    for (guint i = 1; i <= 3; i++)
        assert_record(store, i);
    g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
}

typedef struct {
    guint8 keys[8][PD_KV_KEY_BYTES];
    GBytes *payloads[8];
    PdKvRecord records[8];
} Group;

/* Records first to first + n - 1. */
static void
group_init(Group *group, guint first, guint n)
{
    for (guint i = 0; i < n; i++) {
        make_key(first + i, group->keys[i]);
        group->payloads[i] = make_payload(first + i, size_of(first + i));
        group->records[i] = (PdKvRecord){.key = group->keys[i],
                                         .kind = "segment",
                                         .data = g_bytes_get_data(group->payloads[i], NULL),
                                         .n_bytes = size_of(first + i)};
    }
}

static void
group_clear(Group *group)
{
    for (guint i = 0; i < G_N_ELEMENTS(group->payloads); i++)
        g_clear_pointer(&group->payloads[i], g_bytes_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Group, group_clear)

static guint n_syncs;

static int
counting_fdatasync(int fd)
{
    n_syncs++;
    return fdatasync(fd);
}

static int
count_commit(void *n_commits)
{
    ++*(int *)n_commits;
    return 0;
}

/* A group is one sync and one transaction; what was there, or comes twice, is written once. */
static void
test_group(Fixture *f, gconstpointer data)
{
    static const PdKvIo io = {pwrite, counting_fdatasync};
    g_autoptr(PdKvStore) store = open_store(f);
    g_auto(Group) group = {0};
    g_autoptr(GError) error = NULL;
    guint8 old[PD_KV_KEY_BYTES];
    int n_commits = 0;

    assert_put(store, 2); /* as the group's third */
    assert_put(store, 50);
    make_key(50, old);
    group_init(&group, 0, 7);
    group.records[7] = group.records[0];
    group.records[3].replaces = old;
    pd_kv_store_set_io(store, &io);
    sqlite3_commit_hook(f->db, count_commit, &n_commits);
    n_syncs = 0;
    pd_kv_store_put_many(store, group.records, 8, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_syncs, ==, 1);
    g_assert_cmpint(n_commits, ==, 1);
    for (guint i = 0; i < 7; i++)
        assert_record(store, i);
    g_assert_false(has(store, 50));
    g_assert_cmpuint(verify(store, FALSE).n_records, ==, 7);
    pd_kv_store_put_many(store, group.records, 8, &error);
    pd_kv_store_put_many(store, group.records, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_syncs, ==, 1);
    sqlite3_commit_hook(f->db, NULL, NULL);
}

/* ---- failing writes ---- */

/* Any call that a group makes fails: none of it is there, and its bytes are given back. */
static void
test_group_disk_full(Fixture *f, gconstpointer data)
{
    gboolean done = FALSE;

    for (guint k = 0; !done; k++) {
        g_autoptr(PdKvStore) store = open_store(f);
        g_auto(Group) group = {0};
        g_autoptr(GError) error = NULL;
        PdKvStats before = verify(store, FALSE), after;

        group_init(&group, 100 * (k + 1), 5);
        pd_kv_store_set_io(store, &faulty_io);
        io_damage = IO_FULL;
        n_io_calls = k;
        done = pd_kv_store_put_many(store, group.records, 5, &error);
        n_io_calls = G_MAXUINT;
        if (done)
            break;
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
        after = verify(store, FALSE);
        g_assert_cmpuint(after.n_records, ==, before.n_records);
        g_assert_cmpuint(after.n_pack_bytes, <=, before.n_pack_bytes + 512);
        for (guint i = 0; i < 5; i++)
            g_assert_false(has(store, 100 * (k + 1) + i));
        pd_kv_store_put_many(store, group.records, 5, &error);
        for (guint i = 0; i < 5; i++)
            assert_record(store, 100 * (k + 1) + i);
    }
}

/* The disk is full at the k-th call, for every k: an error that names the pack, nothing committed,
 * nothing left behind; with room again the same put succeeds. */
static void
test_disk_full(Fixture *f, gconstpointer data)
{
    for (guint k = 0; k < 12; k++) {
        g_autoptr(PdKvStore) store = open_store(f);
        g_autoptr(GError) error = NULL;
        guint64 n_before, n_pack_bytes;
        guint first = 100 * (k + 1) + 6;
        PdKvStats stats;

        stats = verify(store, FALSE);
        n_before = stats.n_records;
        n_pack_bytes = stats.n_pack_bytes;
        pd_kv_store_set_io(store, &faulty_io);
        io_damage = IO_FULL;
        n_io_calls = k;
        for (guint i = first;; i++) {
            if (!put(store, i, &error))
                break;
            n_before++;
            n_pack_bytes = verify(store, FALSE).n_pack_bytes;
        }
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
        g_assert_nonnull(strstr(error->message, ".pack"));
        stats = verify(store, FALSE);
        g_assert_cmpuint(stats.n_records, ==, n_before);
        g_assert_cmpuint(stats.n_corrupt, ==, 0);
        g_assert_cmpuint(stats.n_pack_bytes, <=, n_pack_bytes + 512);
        n_io_calls = G_MAXUINT;
        for (guint i = first; i < first + 6; i++) {
            assert_put(store, i);
            assert_record(store, i);
        }
    }
}

static void
test_short_writes(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);

    pd_kv_store_set_io(store, &faulty_io);
    io_damage = IO_SHORT;
    for (guint i = 0; i < 16; i++) {
        n_io_calls = i % 4;
        assert_put(store, i);
        assert_record(store, i);
    }
}

/* The real thing: the kernel refuses to let the file grow. */
static void
test_file_size_limit(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    g_autoptr(GError) error = NULL;
    struct rlimit old, small;
    gboolean ok;

    assert_put(store, 5);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 40000;
    setrlimit(RLIMIT_FSIZE, &small);
    ok = put(store, 6, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);

    g_assert_false(ok);
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "70656")); /* header + 70,000 rounded up to 512 */
    assert_record(store, 5);
    g_assert_cmpuint(verify(store, FALSE).n_records, ==, 1);
    assert_put(store, 6);
    assert_record(store, 6);
}

/* ---- killed ---- */

static int
kill_now(void *user_data)
{
    raise(SIGKILL);
    return 0;
}

static int
kill_after_commit(void *user_data, sqlite3 *db, const char *name, int n_pages)
{
    raise(SIGKILL);
    return SQLITE_OK;
}

/* A child puts records until it kills itself: at its k-th call on the pack, in the middle of
 * SQLite's commit, or right after it.  It says through a pipe which puts had returned. */
static void
run_child_until_killed(Fixture *f, guint first, guint k, guint kind)
{
    int fds[2], status;
    pid_t pid;
    guint done;

    g_assert_cmpint(pipe(fds), ==, 0);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        sqlite3 *db = open_writable(f->db_path);
        PdKvStore *store = pd_kv_store_open(db, f->kv, FALSE, NULL);
        pd_kv_store_set_io(store, &faulty_io);
        pd_kv_store_set_pack_cap(store, 100000);
        io_damage = IO_KILL;
        n_io_calls = kind == 0 ? k : G_MAXUINT;
        for (guint i = first; i < first + 64; i++) {
            if (kind == 1 && i == first + k)
                sqlite3_commit_hook(db, kill_now, NULL);
            if (kind == 2 && i == first + k)
                sqlite3_wal_hook(db, kill_after_commit, NULL);
            if (!put(store, i, NULL) || write(fds[1], &i, sizeof i) != sizeof i)
                _exit(1);
        }
        _exit(2);
    }
    close(fds[1]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    {
        g_autoptr(PdKvStore) store = open_store(f);
        while (read(fds[0], &done, sizeof done) == sizeof done)
            assert_record(store, done);
        g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
        for (guint i = first; i < first + 8; i++) {
            assert_put(store, i);
            assert_record(store, i);
        }
    }
    close(fds[0]);
}

static void
test_killed_anywhere(Fixture *f, gconstpointer data)
{
    guint first = 0;

    for (guint kind = 0; kind < 3; kind++)
        for (guint k = 0; k < (kind == 0 ? 24 : 4); k++) {
            run_child_until_killed(f, first, k, kind);
            g_assert_true(integrity_ok(f->db));
            first += 64;
        }
    for (guint i = 0; i < first; i += 64)
        for (guint j = 0; j < 8; j++) {
            g_autoptr(PdKvStore) store = open_store(f);
            assert_record(store, i + j);
        }
}

/* What a killed writer left in a pack of its own is cleared away by the next writer. */
static void
test_orphans(Fixture *f, gconstpointer data)
{
    g_autofree char *orphan = pack_path(f, 41);

    {
        g_autoptr(PdKvStore) store = open_store(f);
        assert_put(store, 1);
        g_assert_true(g_file_set_contents(orphan, "half a header", -1, NULL));
    }
    {
        g_autoptr(PdKvStore) store = open_store(f);
        assert_record(store, 1);
        g_assert_true(g_file_test(orphan, G_FILE_TEST_EXISTS));
        assert_put(store, 2);
        g_assert_false(g_file_test(orphan, G_FILE_TEST_EXISTS));
        assert_record(store, 1);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/crc32c", test_crc32c);
#define ADD(path, func) g_test_add(path, Fixture, NULL, set_up, func, tear_down)
    ADD("/kv_store/group", test_group);
    ADD("/kv_store/group-disk-full", test_group_disk_full);
    ADD("/kv_store/reopen", test_reopen);
    ADD("/kv_store/bytes_outlive_store", test_bytes_outlive_store);
    ADD("/kv_store/pack_cap", test_pack_cap);
    ADD("/kv_store/every_byte", test_every_byte);
    ADD("/kv_store/each_page", test_each_page);
    ADD("/kv_store/drop_and_put_again", test_drop_and_put_again);
    ADD("/kv_store/missing_and_cut_packs", test_missing_and_cut_packs);
    ADD("/kv_store/hostile_index", test_hostile_index);
    ADD("/kv_store/read_only", test_read_only);
    ADD("/kv_store/newer_layout", test_newer_layout);
    ADD("/kv_store/two_writers", test_two_writers);
    ADD("/kv_store/threads", test_threads);
    ADD("/kv_store/rolled_back", test_rolled_back);
    ADD("/kv_store/disk_full", test_disk_full);
    ADD("/kv_store/short_writes", test_short_writes);
    ADD("/kv_store/file_size_limit", test_file_size_limit);
    ADD("/kv_store/killed_anywhere", test_killed_anywhere);
    ADD("/kv_store/orphans", test_orphans);
    return g_test_run();
}
