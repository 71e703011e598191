/*
 * After a purge no file of the corpus holds a byte of what went: its name, its words, its stored
 * text and tokens, its KV records and their keys; all that stays is as it was.  Killed at any
 * point, the corpus opens and the purge can be finished.
 */
#include "prompts_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "prompts/lexical.h"
#include "prompts/purge.h"
#include "prompts/warm.h"

#define SHARED "The pier was built in 1911 and widened in 1964.\n"
#define NAME "zz-report.txt"
#define WORD "zanzibarium"

static const TestDocument kept[] = {
    {PD_KIND_TEXT, "a.txt", "The tide gauge stands at pier four and is read every hour.\n", -1},
    {PD_KIND_TEXT, "b.txt", SHARED, -1}};
static const TestDocument gone[] = {
    {PD_KIND_TEXT, NAME, "The " WORD " was opened in May; whoever knows of it is to be silent.\n",
     -1},
    {PD_KIND_TEXT, "same.txt", SHARED, -1}};
/* The first one as it was before it was changed. */
static const TestDocument earlier[] = {{PD_KIND_TEXT, NAME, "An early draft, quite unlike.\n", -1}};

/* --- traces -------------------------------------------------------------------------------- */

/* Does a file under `dir` hold these bytes? */
static gboolean
holds(const char *dir, const void *bytes, gsize n)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;
    gboolean found = FALSE;

    while (!found && entries && (name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(dir, name, NULL), *content = NULL;
        gsize length;

        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            found = holds(path, bytes, n);
        else if (g_file_get_contents(path, &content, &length, NULL))
            found = memmem(content, length, bytes, n) != NULL;
    }
    return found;
}

static gboolean
any_held(const char *dir, GPtrArray *traces)
{
    for (guint i = 0; i < traces->len; i++) {
        gsize n;
        const void *bytes = g_bytes_get_data(traces->pdata[i], &n);
        if (holds(dir, bytes, n))
            return TRUE;
    }
    return FALSE;
}

/* The blobs that a query gives, at most 40 bytes of each: so much lies on one page. */
static void
add_blobs(GPtrArray *traces, World *world, const char *sql)
{
    sqlite3_stmt *stmt;

    g_assert_cmpint(sqlite3_prepare_v2(pd_corpus_db(world->corpus), sql, -1, &stmt, NULL), ==,
                    SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        g_ptr_array_add(traces, g_bytes_new(sqlite3_column_blob(stmt, 0),
                                            (gsize)MIN(40, sqlite3_column_bytes(stmt, 0))));
    sqlite3_finalize(stmt);
}

#define OF_GONE                                                                                    \
    " FROM document d JOIN part p ON p.document_id = d.id JOIN text t ON t.id = p.text_id"         \
    " LEFT JOIN segment s ON s.text_id = t.id WHERE d.key = '" NAME "'"

/* What is to vanish, each found in some file as long as it is there. */
static GPtrArray *
traces_of(const char *dir, PdModel *model, GHashTable *records_kept)
{
    GPtrArray *traces = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_auto(World) world = {0};
    g_autoptr(GHashTable) records = NULL;
    GHashTableIter iter;
    gpointer key, value;

    world_open(&world, dir, model, PD_CORPUS_READ, PD_READ_SWEPT);
    g_ptr_array_add(traces, g_bytes_new_static(NAME, strlen(NAME)));
    g_ptr_array_add(traces, g_bytes_new_static(WORD, strlen(WORD)));
    add_blobs(traces, &world, "SELECT DISTINCT t.data" OF_GONE);
    add_blobs(traces, &world, "SELECT DISTINCT t.sha256" OF_GONE);
    add_blobs(traces, &world, "SELECT DISTINCT s.ids" OF_GONE " AND s.id NOTNULL");
    records = fixture_records(&world);
    g_hash_table_iter_init(&iter, records);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        guint8 raw[PD_KV_KEY_BYTES];
        gsize n;
        const guint8 *bytes = g_bytes_get_data(value, &n);
        if (g_hash_table_contains(records_kept, key))
            continue;
        for (gsize i = 0; i < sizeof raw; i++)
            raw[i] = (guint8)(g_ascii_xdigit_value(((char *)key)[2 * i]) * 16 +
                              g_ascii_xdigit_value(((char *)key)[2 * i + 1]));
        g_ptr_array_add(traces, g_bytes_new(raw, sizeof raw));
        g_ptr_array_add(traces, g_bytes_new(bytes + n - 64, 64));
    }
    for (guint i = 0; i < traces->len; i++) {
        gsize n;
        const void *bytes = g_bytes_get_data(traces->pdata[i], &n);
        g_assert_true(holds(dir, bytes, n));
    }
    return traces;
}

/* --- a corpus that was asked --------------------------------------------------------------- */

/* Reads all of it and makes the index of words. */
static GHashTable *
use(const char *dir, PdModel *model)
{
    g_auto(World) world = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) blocks = NULL;

    world_open(&world, dir, model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    pd_context_warm(world.context, NULL, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    blocks = pd_lexical_search(world.context, "the pier", 4, NULL, &error);
    g_assert_no_error(error);
    return fixture_records(&world);
}

static char *
make_corpus(PdModel *model, GHashTable **records_kept)
{
    char *dir = fixture_folder();

    fixture_add(dir, model, "/kept", kept, G_N_ELEMENTS(kept));
    *records_kept = use(dir, model);
    fixture_add(dir, model, "/gone", earlier, G_N_ELEMENTS(earlier));
    fixture_add(dir, model, "/gone", gone, G_N_ELEMENTS(gone));
    g_hash_table_unref(use(dir, model));
    return dir;
}

static void
purge(const char *dir, const char *what, PdPurgeReport *report, PdKvGcReport *kv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, &error);
    const char *const list[] = {what, NULL};

    g_assert_no_error(error);
    pd_corpus_purge(corpus, list, report, kv, NULL, &error);
    g_assert_no_error(error);
}

static void
assert_as_before(const char *dir, PdModel *model, GHashTable *records_kept)
{
    g_autoptr(GHashTable) records = NULL;
    g_auto(World) world = {0};

    fixture_assert_sound(dir, model);
    world_open(&world, dir, model, PD_CORPUS_READ, PD_READ_SWEPT);
    records = fixture_records(&world);
    fixture_assert_same_records(records_kept, records);
    g_assert_cmpuint(world.context->documents->len, ==, G_N_ELEMENTS(kept));
}

static void
test_source(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) records_kept = NULL;
    char *dir = make_corpus(model, &records_kept);
    g_autoptr(GPtrArray) traces = traces_of(dir, model, records_kept);
    PdPurgeReport report;
    PdKvGcReport kv;

    g_assert_cmpuint(traces->len, >=, 2 + 2 + 2 + 2 + 4);
    purge(dir, "gone", &report, &kv);
    g_assert_cmpuint(report.n_documents, ==, 2);
    g_assert_cmpuint(report.n_revisions, ==, 1);
    g_assert_cmpuint(report.n_texts, ==, 2);
    g_assert_cmpuint(report.n_text_bytes, ==, strlen(gone[0].text) + strlen(earlier[0].text));
    g_assert_cmpuint(report.n_shared_texts, ==, 1);
    g_assert_cmpuint(kv.n_dead_records, >=, 2);
    g_assert_false(any_held(dir, traces));
    assert_as_before(dir, model, records_kept);
    /* Words are found again. */
    g_hash_table_unref(use(dir, model));
    fixture_remove(dir);
}

/* A document by its number; the rest of its source stays. */
static void
test_document(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) records_kept = NULL;
    char *dir = make_corpus(model, &records_kept);
    g_autofree char *id = NULL;
    g_autoptr(GPtrArray) traces = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    PdPurgeReport report;
    PdKvGcReport kv;

    {
        g_auto(World) world = {0};
        world_open(&world, dir, model, PD_CORPUS_READ, PD_READ_SWEPT);
        for (guint i = 0; i < world.context->documents->len; i++) {
            const PdDocumentRow *row = world.context->documents->pdata[i];
            if (g_str_equal(row->key, NAME))
                id = g_strdup_printf("%" G_GINT64_FORMAT, row->id);
        }
        g_ptr_array_add(traces, g_bytes_new_static(NAME, strlen(NAME)));
        add_blobs(traces, &world, "SELECT DISTINCT t.data" OF_GONE);
    }
    g_assert_true(any_held(dir, traces));
    purge(dir, id, &report, &kv);
    g_assert_cmpuint(report.n_documents, ==, 1);
    g_assert_cmpuint(report.n_revisions, ==, 1);
    g_assert_cmpuint(report.n_shared_texts, ==, 0);
    g_assert_false(any_held(dir, traces));
    fixture_assert_sound(dir, model);
    fixture_remove(dir);
}

/* Something that is not there, beside something that is: nothing goes. */
static void
test_unknown(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) records_kept = NULL;
    char *dir = make_corpus(model, &records_kept);
    {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, NULL);
        const char *const what[] = {"gone", "nobody", NULL};
        PdPurgeReport report;
        PdKvGcReport kv;
        gboolean is_open;

        g_assert_false(pd_corpus_purge(corpus, what, &report, &kv, NULL, &error));
        g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
        g_assert_true(pd_corpus_purge_is_open(corpus, &is_open, NULL));
        g_assert_false(is_open);
    }
    fixture_assert_sound(dir, model);
    g_assert_true(holds(dir, NAME, strlen(NAME)));
    fixture_remove(dir);
}

/* A reader with a transaction keeps the log: the purge says so, and is finished afterwards. */
static void
test_reader(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) records_kept = NULL;
    char *dir = make_corpus(model, &records_kept);
    g_autoptr(GPtrArray) traces = traces_of(dir, model, records_kept);
    {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdCorpus) reader = pd_corpus_open(dir, PD_CORPUS_READ, NULL);
        g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, NULL);
        const char *const what[] = {"gone", NULL}, *const finish[] = {NULL};
        PdPurgeReport report;
        PdKvGcReport kv;
        gboolean is_open;

        sqlite3_busy_timeout(pd_corpus_db(corpus), 0);
        g_assert_true(pd_db_exec(reader, "BEGIN; SELECT count(*) FROM document", NULL));
        g_assert_false(pd_corpus_purge(corpus, what, &report, &kv, NULL, &error));
        g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS);
        g_assert_true(pd_corpus_purge_is_open(corpus, &is_open, NULL));
        g_assert_true(is_open);
        g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(pd_corpus_verify(reader, NULL, findings, NULL, NULL));
        g_assert_cmpuint(findings->len, ==, 0); /* it sees the corpus as it was */
        g_assert_true(pd_db_exec(reader, "COMMIT", NULL));
        g_assert_true(pd_corpus_verify(reader, NULL, findings, NULL, NULL));
        g_assert_cmpuint(findings->len, ==, 1);
        g_assert_nonnull(strstr(findings->pdata[0], "a purge was interrupted"));
        g_clear_error(&error);
        g_assert_true(pd_corpus_purge(corpus, finish, &report, &kv, NULL, &error));
        g_assert_true(pd_corpus_purge_is_open(corpus, &is_open, NULL));
        g_assert_false(is_open);
    }
    g_assert_false(any_held(dir, traces));
    assert_as_before(dir, model, records_kept);
    fixture_remove(dir);
}

/* --- kills --------------------------------------------------------------------------------- */

typedef struct {
    int at;
    int seen;
} Death;

static int
event(void *data)
{
    Death *death = data;

    if (death->seen++ == death->at)
        kill(getpid(), SIGKILL);
    return 0;
}

static int
on_committed(void *death, sqlite3 *db, const char *name, int n_pages)
{
    event(death);
    return SQLITE_OK;
}

/* Purges, and dies at step `at`: every few instructions of SQLite's, and at commits. */
static int
child(char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(argv[0], PD_CORPUS_WRITE, &error);
    const char *const what[] = {"gone", NULL};
    Death death = {.at = atoi(argv[1])};
    PdPurgeReport report;
    PdKvGcReport kv;

    g_assert_no_error(error);
    sqlite3_progress_handler(pd_corpus_db(corpus), 50, event, &death);
    sqlite3_commit_hook(pd_corpus_db(corpus), event, &death);
    sqlite3_wal_hook(pd_corpus_db(corpus), on_committed, &death);
    pd_corpus_purge(corpus, what, &report, &kv, NULL, &error);
    g_assert_no_error(error);
    return 0;
}

/* Whoever finds the corpus after the kill: it opens, and the purge is not begun or can be ended. */
static void
finish(const char *dir, PdModel *model)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, &error);
    const char *const again[] = {"gone", NULL}, *const rest[] = {NULL};
    PdPurgeReport report;
    PdKvGcReport kv;
    gboolean is_open, begun;

    g_assert_no_error(error);
    g_assert_true(pd_corpus_purge_is_open(corpus, &is_open, NULL));
    begun = is_open || !pd_corpus_has_source(corpus, "gone", NULL);
    pd_corpus_purge(corpus, begun ? rest : again, &report, &kv, NULL, &error);
    g_assert_no_error(error);
}

static void
test_kill(void)
{
    g_autoptr(PdModel) model = fixture_model();
    int n_kills = 0, status = 0;

    for (int at = 0; !WIFEXITED(status) || at == 0; at += 1 + at / 4) {
        g_autoptr(GHashTable) records_kept = NULL;
        char *dir = make_corpus(model, &records_kept);
        g_autoptr(GPtrArray) traces = traces_of(dir, model, records_kept);
        g_autofree char *number = g_strdup_printf("%d", at);

        status = fixture_child(dir, number, NULL);
        if (WIFEXITED(status))
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
        else
            n_kills++;
        finish(dir, model);
        g_assert_false(any_held(dir, traces));
        assert_as_before(dir, model, records_kept);
        fixture_remove(dir);
    }
    g_assert_cmpint(n_kills, >=, 8);
    g_test_message("%d kills", n_kills);
}

int
main(int argc, char **argv)
{
    if (argc > 3 && g_str_equal(argv[1], "--child"))
        return child(argv + 2);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/purge/source", test_source);
    g_test_add_func("/purge/document", test_document);
    g_test_add_func("/purge/unknown", test_unknown);
    g_test_add_func("/purge/reader", test_reader);
    g_test_add_func("/purge/kill", test_kill);
    return g_test_run();
}
