/*
 * kill -9 while the corpus is read: at a random progress report, inside the transaction that adds a
 * record's row, before its commit, after its commit.  Whatever the place, the corpus opens and is
 * sound, and reading goes on to the same records as if nothing had happened.
 */
#include "prompts_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/kv_store_private.h"
#include "prompts/warm.h"

#define N_KILLS 20

/* --- the child: warms, and dies at event number `at` of kind `where` --- */

typedef struct {
    const char *where;
    int at;
    int seen;
} Death;

static void
event(Death *death, const char *what)
{
    if (g_str_equal(death->where, what) && death->seen++ == death->at)
        kill(getpid(), SIGKILL);
}

static void
on_progress(guint64 done, guint64 total, gpointer user_data)
{
    event(user_data, "progress");
}

static void
on_row(sqlite3_context *context, int n, sqlite3_value **values)
{
    event(sqlite3_user_data(context), "row");
}

static int
on_commit(void *death)
{
    event(death, "commit");
    return 0;
}

static int
on_committed(void *death, sqlite3 *db, const char *name, int n_pages)
{
    event(death, "committed");
    return SQLITE_OK;
}

/* Writes and syncs of the pack: half of the write is done. */
static Death *io_death;

static ssize_t
dying_pwrite(int fd, const void *data, size_t n, off_t offset)
{
    gboolean dies = g_str_equal(io_death->where, "write") && io_death->seen == io_death->at;

    if (dies && pwrite(fd, data, n / 2, offset) < 0)
        return -1;
    event(io_death, "write");
    return pwrite(fd, data, n, offset);
}

static int
dying_fdatasync(int fd)
{
    event(io_death, "write");
    return fdatasync(fd);
}

static const PdKvIo dying_io = {dying_pwrite, dying_fdatasync};

static int
child(char **argv)
{
    Death death = {.where = argv[2], .at = atoi(argv[3])};
    g_autoptr(PdModel) model = fixture_model();
    g_auto(World) world = {0};
    g_autoptr(GError) error = NULL;
    sqlite3 *db;

    world_open(&world, argv[0], model, PD_CORPUS_WRITE,
               g_str_equal(argv[1], "whole") ? PD_READ_WHOLE : PD_READ_SWEPT);
    db = pd_corpus_db(world.corpus);
    sqlite3_create_function(db, "kill_here", 0, SQLITE_UTF8, &death, on_row, NULL, NULL);
    g_assert_cmpint(sqlite3_exec(db,
                                 "CREATE TEMP TRIGGER kill_row AFTER INSERT ON main.kv_record"
                                 " BEGIN SELECT kill_here(); END",
                                 NULL, NULL, NULL),
                    ==, SQLITE_OK);
    io_death = &death;
    pd_kv_store_set_io(world.context->store, &dying_io);
    sqlite3_commit_hook(db, on_commit, &death);
    sqlite3_wal_hook(db, on_committed, &death);
    pd_context_warm(world.context, NULL, on_progress, &death, NULL, &error);
    g_assert_no_error(error);
    return 0;
}

/* --- the parent --- */

static void
fill(const char *dir, PdModel *model)
{
    TestDocument documents[12];

    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++)
        documents[i] = (TestDocument){PD_KIND_TEXT, g_strdup_printf("%02d.txt", (int)i),
                                      fixture_text(150 + 13 * i, (guint32)i), -1};
    fixture_add(dir, model, "/kill", documents, G_N_ELEMENTS(documents));
    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        g_free((char *)documents[i].key);
        g_free((char *)documents[i].text);
    }
}

static GHashTable *
records_of(const char *dir, PdModel *model, PdReadMode mode)
{
    g_auto(World) world = {0};

    world_open(&world, dir, model, PD_CORPUS_READ, mode);
    return fixture_records(&world);
}

/* One corpus, killed again and again at the same kind of place until it is done. */
static int
kill_until_done(const char *dir, PdModel *model, const char *mode, const char *where, int at)
{
    int n_kills = 0;

    for (;;) {
        g_autofree char *number = g_strdup_printf("%d", at);
        int status = fixture_child(dir, mode, where, number, NULL);

        fixture_assert_sound(dir, model);
        if (WIFEXITED(status)) {
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
            return n_kills;
        }
        g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
        g_assert_cmpint(++n_kills, <, 100);
        at += n_kills > 3; /* a place before any progress would be met for ever */
    }
}

static void
test_kill(gconstpointer mode_word)
{
    static const char *const places[] = {"progress", "row", "commit", "committed"};
    const char *mode = mode_word;
    PdReadMode read_mode = g_str_equal(mode, "whole") ? PD_READ_WHOLE : PD_READ_SWEPT;
    g_autoptr(GRand) rand = g_rand_new_with_seed(20261124);
    g_autoptr(PdModel) model = fixture_model();
    char *calm = fixture_folder();
    g_autoptr(GHashTable) expected = NULL;
    int n_kills = 0;

    fill(calm, model);
    fixture_assert_done(fixture_child(calm, mode, "never", "0", NULL));
    expected = records_of(calm, model, read_mode);
    g_assert_cmpuint(g_hash_table_size(expected), >=, 3);
    for (int round = 0; n_kills < N_KILLS; round++) {
        const char *where = places[round % G_N_ELEMENTS(places)];
        char *dir = fixture_folder();
        g_autoptr(GHashTable) records = NULL;

        g_assert_cmpint(round, <, 200);
        fill(dir, model);
        n_kills += kill_until_done(dir, model, mode, where, g_rand_int_range(rand, 0, 6));
        records = records_of(dir, model, read_mode);
        fixture_assert_same_records(expected, records);
        fixture_remove(dir);
    }
    g_test_message("%d kills", n_kills);
    fixture_remove(calm);
}

/* Killed at every write and sync of a small build in turn: what was committed before is used by the
 * next run, which finishes. */
static void
test_every_write(void)
{
    static const TestDocument documents[] = {{PD_KIND_TEXT, "a.txt", "The tide gauge.", -1},
                                             {PD_KIND_TEXT, "b.txt", "It stands at pier 4.", -1},
                                             {PD_KIND_TEXT, "c.txt", "It was moved in May.", -1},
                                             {PD_KIND_TEXT, "d.txt", "It is read hourly.", -1},
                                             {PD_KIND_TEXT, "e.txt", "By whom is not known.", -1}};
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) expected = NULL;
    char *calm = fixture_folder();
    gboolean killed = TRUE;
    int at;

    fixture_add(calm, model, "/kill", documents, G_N_ELEMENTS(documents));
    fixture_assert_done(fixture_child(calm, "swept", "never", "0", NULL));
    expected = records_of(calm, model, PD_READ_SWEPT);
    for (at = 0; killed; at++) {
        char *dir = fixture_folder();
        g_autofree char *number = g_strdup_printf("%d", at);
        g_autoptr(GHashTable) after = NULL;
        int status;

        fixture_add(dir, model, "/kill", documents, G_N_ELEMENTS(documents));
        status = fixture_child(dir, "swept", "write", number, NULL);
        killed = WIFSIGNALED(status);
        fixture_assert_sound(dir, model);
        fixture_assert_done(fixture_child(dir, "swept", "never", "0", NULL));
        after = records_of(dir, model, PD_READ_SWEPT);
        fixture_assert_same_records(expected, after);
        fixture_assert_sound(dir, model);
        fixture_remove(dir);
    }
    /* The pack's header; of each record header, payload, padding and sync, as far as there are. */
    g_assert_cmpint(at, >, 3 * (int)G_N_ELEMENTS(documents));
    g_test_message("%d kills", at - 1);
    fixture_remove(calm);
}

int
main(int argc, char **argv)
{
    if (argc > 5 && g_str_equal(argv[1], "--child"))
        return child(argv + 2);
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/warm_kill/swept", "swept", test_kill);
    g_test_add_data_func("/warm_kill/whole", "whole", test_kill);
    g_test_add_func("/warm_kill/every-write", test_every_write);
    return g_test_run();
}
