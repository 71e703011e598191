/* Giving bytes back: what is live stays byte for byte, whatever fails or kills in between, and the
 * files shrink to what is live. */
#include "engine/kv_store.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "kv_store_fixture.h"

#define N_RECORDS 40
#define SMALL_PACK 150000

static gboolean
lives(guint i)
{
    return i % 3 == 0;
}

/* Record i's owner is its number; every tenth record has none. */
static void
put_owned(PdKvStore *store, guint i)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) payload = make_payload(i, size_of(i));
    guint8 key[PD_KV_KEY_BYTES], owner[PD_KV_KEY_BYTES];

    make_key(i, key);
    make_key(i, owner);
    owner[31] = 1;
    pd_kv_store_put(store,
                    &(PdKvRecord){.key = key,
                                  .owner = i % 10 == 9 ? NULL : owner,
                                  .kind = "segment",
                                  .data = g_bytes_get_data(payload, NULL),
                                  .n_bytes = size_of(i)},
                    &error);
    g_assert_no_error(error);
}

static gboolean
judge(const guint8 *key, const char *kind, const guint8 *owner, gpointer unused)
{
    guint i;

    g_assert_cmpstr(kind, ==, "segment");
    if (!owner)
        return TRUE;
    memcpy(&i, owner, sizeof i);
    g_assert_cmpmem(owner, 4, key, 4);
    return lives(i);
}

static gboolean
nothing_lives(const guint8 *key, const char *kind, const guint8 *owner, gpointer unused)
{
    return FALSE;
}

/* Anew, so that live and dead lie side by side. */
static void
fill(PdKvStore *store)
{
    PdKvGcReport report;

    g_assert_true(pd_kv_store_gc(store, nothing_lives, NULL, FALSE, &report, NULL, NULL));
    pd_kv_store_set_pack_cap(store, SMALL_PACK);
    for (guint i = 0; i < N_RECORDS; i++)
        put_owned(store, i);
}

static void
assert_only_live(PdKvStore *store)
{
    for (guint i = 0; i < N_RECORDS; i++)
        if (lives(i) || i % 10 == 9)
            assert_record(store, i);
        else
            g_assert_false(has(store, i));
    g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
}

static PdKvGcReport
gc(PdKvStore *store, gboolean dry_run)
{
    g_autoptr(GError) error = NULL;
    PdKvGcReport report;

    pd_kv_store_gc(store, judge, NULL, dry_run, &report, NULL, &error);
    g_assert_no_error(error);
    return report;
}

/* Headers, and every payload rounded up to 512. */
static guint64
bytes_of(guint i)
{
    return 512 + (size_of(i) + 511) / 512 * 512;
}

static void
test_reclaim(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    PdKvGcReport dry, report, again;
    guint64 live_bytes = 0, dead_bytes = 0;
    guint n_dead = 0, n_before;

    fill(store);
    for (guint i = 0; i < N_RECORDS; i++) {
        gboolean live = lives(i) || i % 10 == 9;
        live_bytes += live ? bytes_of(i) : 0;
        dead_bytes += live ? 0 : bytes_of(i);
        n_dead += !live;
    }
    n_before = count_packs(f);
    g_assert_cmpuint(n_before, >, 2);
    dry = gc(store, TRUE);
    g_assert_cmpuint(verify(store, FALSE).n_records, ==, N_RECORDS);
    report = gc(store, FALSE);
    g_assert_cmpuint(report.n_dead_records, ==, n_dead);
    g_assert_cmpuint(report.n_dead_bytes, ==, dead_bytes);
    g_assert_cmpuint(dry.n_dead_bytes, ==, dead_bytes);
    g_assert_cmpuint(dry.n_bytes_before, ==, report.n_bytes_before);
    g_assert_cmpuint(dry.n_packs_rewritten, ==, report.n_packs_rewritten);
    g_assert_cmpuint(report.n_bytes_after, <, report.n_bytes_before);
    g_assert_cmpuint(report.n_bytes_after, <=, live_bytes * 5 / 4 + 512 * n_before);
    g_assert_cmpuint(report.n_bytes_after, <=, dry.n_bytes_after);
    assert_only_live(store);
    again = gc(store, FALSE);
    g_assert_cmpuint(again.n_dead_records + again.n_packs_removed, ==, 0);
    g_assert_cmpuint(again.n_bytes_after, ==, report.n_bytes_after);
    /* The store goes on. */
    for (guint i = 0; i < N_RECORDS; i++) {
        put_owned(store, i);
        assert_record(store, i);
    }
}

static void
test_nothing_dead(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    PdKvGcReport report;

    report = gc(store, FALSE);
    g_assert_cmpuint(report.n_bytes_before + report.n_bytes_after, ==, 0);
    for (guint i = 0; i < N_RECORDS; i += 3)
        put_owned(store, i);
    report = gc(store, FALSE);
    g_assert_cmpuint(report.n_packs_removed, ==, 0);
    g_assert_cmpuint(report.n_bytes_before, ==, report.n_bytes_after);
}

static void
test_all_dead(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    g_autoptr(GError) error = NULL;
    PdKvGcReport report;

    fill(store);
    pd_kv_store_gc(store, nothing_lives, NULL, FALSE, &report, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(report.n_bytes_after, ==, 0);
    g_assert_cmpuint(count_packs(f), ==, 0);
    put_owned(store, 3);
    assert_record(store, 3);
}

/* A tail that was never committed goes even when the rest is all live. */
static void
test_tail(Fixture *f, gconstpointer data)
{
    g_autofree char *pack = pack_path(f, 1);
    g_autofree char *bytes = NULL;
    GStatBuf before, after;
    gsize n;

    {
        g_autoptr(PdKvStore) store = open_store(f);
        for (guint i = 0; i < N_RECORDS; i += 3)
            put_owned(store, i);
    }
    g_assert_cmpint(g_stat(pack, &before), ==, 0);
    g_assert_true(g_file_get_contents(pack, &bytes, &n, NULL));
    bytes = g_realloc(bytes, n + 5000);
    memset(bytes + n, 7, 5000);
    g_assert_true(g_file_set_contents(pack, bytes, (gssize)n + 5000, NULL));
    {
        g_autoptr(PdKvStore) store = open_store(f);
        g_assert_cmpuint(gc(store, FALSE).n_packs_rewritten, ==, 0);
        for (guint i = 0; i < N_RECORDS; i += 3)
            assert_record(store, i);
    }
    g_assert_cmpint(g_stat(pack, &after), ==, 0);
    g_assert_cmpint(after.st_size, ==, before.st_size);
}

/* A damaged record is not carried on; it is found missing, and made again by its next user. */
static void
test_damaged(Fixture *f, gconstpointer data)
{
    g_autoptr(PdKvStore) store = open_store(f);
    g_autofree char *pack = pack_path(f, 1);
    PdKvGcReport report;

    put_owned(store, 6);
    put_owned(store, 7);
    put_owned(store, 3);
    flip(pack, 512 + 512 + 100, 4); /* of record 6 */
    report = gc(store, FALSE);
    g_assert_cmpuint(report.n_corrupt, ==, 0); /* little was dead: the pack stays as it is */
    put_owned(store, 14);
    put_owned(store, 22);
    report = gc(store, FALSE);
    g_assert_cmpuint(report.n_packs_rewritten, ==, 1);
    g_assert_cmpuint(report.n_corrupt, ==, 1);
    g_assert_false(has(store, 6));
    assert_record(store, 3);
    g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 0);
}

/* A reader with a connection of its own keeps what it holds, and finds what has moved. */
static void
test_reader(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdKvStore) store = open_store(f);
    g_autoptr(GBytes) held = NULL;
    g_autoptr(GBytes) expected = make_payload(6, size_of(6));
    guint8 key[PD_KV_KEY_BYTES];
    sqlite3 *db;

    fill(store);
    db = open_db(f->db_path, SQLITE_OPEN_READONLY);
    {
        g_autoptr(PdKvStore) reader = pd_kv_store_open(db, f->kv, TRUE, &error);
        g_assert_no_error(error);
        make_key(6, key);
        held = pd_kv_store_get(reader, key, &error);
        g_assert_no_error(error);
        gc(store, FALSE);
        assert_only_live(reader);
        g_assert_true(g_bytes_equal(held, expected));
        g_assert_false(
            pd_kv_store_gc(reader, judge, NULL, FALSE, &(PdKvGcReport){0}, NULL, &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
    }
    sqlite3_close(db);
}

/* The disk is full at the k-th call: an error with a way out, nothing live is lost, nothing is left
 * behind; with room again it is finished. */
static void
test_disk_full(Fixture *f, gconstpointer data)
{
    gboolean failed = TRUE;
    guint k;

    for (k = 0; failed; k++) {
        g_autoptr(PdKvStore) store = open_store(f);
        g_autoptr(GError) error = NULL;
        PdKvGcReport report;
        guint64 n_before;

        fill(store);
        n_before = verify(store, FALSE).n_pack_bytes;
        pd_kv_store_set_io(store, &faulty_io);
        io_damage = IO_FULL;
        n_io_calls = k;
        failed = !pd_kv_store_gc(store, judge, NULL, FALSE, &report, NULL, &error);
        if (!failed)
            break;
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
        g_assert_nonnull(strstr(error->message, ".pack"));
        g_assert_cmpuint(verify(store, FALSE).n_pack_bytes, <=, n_before);
        assert_only_live(store);
        n_io_calls = G_MAXUINT;
        gc(store, FALSE);
        assert_only_live(store);
    }
    g_assert_cmpuint(k, >, 10);
}

static int
kill_now(void *user_data)
{
    guint *n = user_data;

    if ((*n)-- == 0)
        raise(SIGKILL);
    return 0;
}

static int
kill_after_commit(void *user_data, sqlite3 *db, const char *name, int n_pages)
{
    kill_now(user_data);
    return SQLITE_OK;
}

/* Returns FALSE once the child lived through the k-th call of this kind. */
static gboolean
run_child_until_killed(Fixture *f, guint k, guint kind)
{
    int status;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        sqlite3 *db = open_writable(f->db_path);
        PdKvStore *store = pd_kv_store_open(db, f->kv, FALSE, NULL);
        PdKvGcReport report;
        guint left = k;
        pd_kv_store_set_io(store, &faulty_io);
        pd_kv_store_set_pack_cap(store, SMALL_PACK);
        io_damage = IO_KILL;
        n_io_calls = kind == 0 ? k : G_MAXUINT;
        if (kind == 1)
            sqlite3_commit_hook(db, kill_now, &left);
        if (kind == 2)
            sqlite3_wal_hook(db, kill_after_commit, &left);
        _exit(pd_kv_store_gc(store, judge, NULL, FALSE, &report, NULL, NULL) ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status))
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    else
        g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
    return WIFSIGNALED(status);
}

static void
test_killed_anywhere(Fixture *f, gconstpointer data)
{
    guint n_kills = 0;
    guint64 n_bytes_after = 0;

    for (guint kind = 0; kind < 3; kind++)
        for (guint k = 0;; k++) {
            gboolean killed;
            {
                g_autoptr(PdKvStore) store = open_store(f);
                fill(store);
            }
            killed = run_child_until_killed(f, k, kind);
            g_assert_true(integrity_ok(f->db));
            {
                g_autoptr(PdKvStore) store = open_store(f);
                for (guint i = 0; i < N_RECORDS; i++)
                    if (lives(i) || i % 10 == 9)
                        assert_record(store, i);
                n_bytes_after = gc(store, FALSE).n_bytes_after;
                assert_only_live(store);
                g_assert_cmpuint(n_bytes_after, <=, 4 * SMALL_PACK + 1024 * 1024);
            }
            if (!killed)
                break;
            n_kills++;
        }
    g_assert_cmpuint(n_kills, >, 15);
    g_test_message("%u kills", n_kills);
}

/* A changed owner or kind in a row is found as surely as a changed byte of the pack. */
static void
test_row_checked(Fixture *f, gconstpointer data)
{
    static const char *const damages[] = {
        "kind = 'segmenu'",
        "owner = NULL",
        "owner = zeroblob(32)",
        "owner = CAST(x'01' || substr(owner, 2) AS BLOB)",
        "key = CAST(x'5b' || substr(key, 2) AS BLOB)",
    };
    g_autoptr(PdKvStore) store = open_store(f);

    put_owned(store, 5);
    sqlite3_exec(f->db, "CREATE TABLE good AS SELECT * FROM kv_record", NULL, NULL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autofree char *sql = g_strdup_printf("UPDATE kv_record SET %s", damages[i]);
        g_assert_cmpint(sqlite3_exec(f->db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
        g_assert_cmpuint(verify(store, FALSE).n_corrupt, ==, 1);
        sqlite3_exec(f->db, "DELETE FROM kv_record; INSERT INTO kv_record SELECT * FROM good", NULL,
                     NULL, NULL);
        assert_record(store, 5);
    }
}

/* A store of layout 1 has no owners: it is brought up to date, and its records are kept. */
static void
test_layout_1(Fixture *f, gconstpointer data)
{
    {
        g_autoptr(PdKvStore) store = open_store(f);
        assert_put(store, 1);
        assert_put(store, 2);
    }
    g_assert_cmpint(sqlite3_exec(f->db,
                                 "ALTER TABLE kv_record DROP COLUMN owner;"
                                 "UPDATE kv_meta SET value = 1",
                                 NULL, NULL, NULL),
                    ==, SQLITE_OK);
    {
        g_autoptr(GError) error = NULL;
        sqlite3 *db = open_db(f->db_path, SQLITE_OPEN_READONLY);
        PdKvStore *reader = pd_kv_store_open(db, f->kv, TRUE, &error);
        g_assert_no_error(error);
        assert_record(reader, 1);
        g_assert_cmpuint(gc(reader, TRUE).n_dead_records, ==, 0);
        pd_kv_store_free(reader);
        sqlite3_close(db);
    }
    {
        g_autoptr(PdKvStore) store = open_store(f);
        put_owned(store, 4);
        g_assert_cmpuint(gc(store, FALSE).n_dead_records, ==, 1);
        assert_record(store, 1);
        assert_record(store, 2);
        g_assert_false(has(store, 4));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, func) g_test_add(path, Fixture, NULL, set_up, func, tear_down)
    ADD("/kv_gc/reclaim", test_reclaim);
    ADD("/kv_gc/nothing_dead", test_nothing_dead);
    ADD("/kv_gc/all_dead", test_all_dead);
    ADD("/kv_gc/tail", test_tail);
    ADD("/kv_gc/damaged", test_damaged);
    ADD("/kv_gc/reader", test_reader);
    ADD("/kv_gc/disk_full", test_disk_full);
    ADD("/kv_gc/killed_anywhere", test_killed_anywhere);
    ADD("/kv_gc/row_checked", test_row_checked);
    ADD("/kv_gc/layout_1", test_layout_1);
    return g_test_run();
}
