/*
 * Every place where a small `add` and `warm` touch disk or memory goes wrong once: the Nth write,
 * truncation or sync of the database (I/O error; full disk), the Nth write or sync of a pack, the
 * Nth allocation that may fail.  Each time for every N there is: an error that says so or, where
 * SQLite can do without, success; what was committed is there and sound; the next run completes to
 * the same content.  And kill -9 at every such call of the database while the corpus is warmed.
 */
#include "prompts_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/kv_store_private.h"
#include "faulty_vfs.h"
#include "prompts/ask.h"
#include "prompts/warm.h"

typedef enum {
    FAULT_NONE,
    FAULT_DB_ERROR,
    FAULT_DB_FULL,
    FAULT_DB_KILL,
    FAULT_PACK,
    FAULT_MEMORY
} Fault;

static Fault armed;
static int fault_at, n_seen; /* calls of this kind */

#define EVERY (-1)

/* Does this call go wrong? */
static gboolean
strikes(void)
{
    return n_seen++ == fault_at || fault_at == EVERY;
}

static void
arm(Fault fault, int at)
{
    armed = fault;
    fault_at = at;
    n_seen = 0;
}

static int
check_db(void)
{
    if (armed == FAULT_DB_KILL && strikes())
        kill(getpid(), SIGKILL);
    if (armed == FAULT_DB_ERROR && strikes())
        return SQLITE_IOERR;
    return armed == FAULT_DB_FULL && strikes() ? SQLITE_FULL : SQLITE_OK;
}

static ssize_t
faulty_pwrite(int fd, const void *data, size_t n, off_t offset)
{
    if (armed == FAULT_PACK && strikes()) {
        errno = pwrite(fd, data, n / 2, offset) < 0 ? EIO : ENOSPC;
        return -1;
    }
    return pwrite(fd, data, n, offset);
}

static int
faulty_fdatasync(int fd)
{
    if (armed == FAULT_PACK && strikes()) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static const PdKvIo faulty_io = {faulty_pwrite, faulty_fdatasync};

/* In place of GLib's, for the code under test. */
static gpointer
allocate(gsize n, gsize size)
{
    return armed == FAULT_MEMORY && strikes() ? NULL : n && size ? calloc(n, size) : NULL;
}

gpointer
g_try_malloc(gsize n_bytes)
{
    return allocate(n_bytes, 1);
}

gpointer
g_try_malloc0(gsize n_bytes)
{
    return allocate(n_bytes, 1);
}

gpointer
g_try_malloc_n(gsize n, gsize size)
{
    return allocate(n, size);
}

gpointer
g_try_malloc0_n(gsize n, gsize size)
{
    return allocate(n, size);
}

/* --- what is done --- */

#define N_DOCUMENTS 5

static const char *
detect(const char *path, GError **error)
{
    return "folder";
}

static gboolean
read_all(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
         const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    for (guint32 i = 0; i < N_DOCUMENTS; i++) {
        g_autofree char *key = g_strdup_printf("%u.txt", i);
        g_autofree char *text = fixture_text(700 + 90 * i, i);
        PdDocument *document = pd_document_new(PD_KIND_TEXT, key);

        document->title = g_strdup(key);
        document->date_utc = G_MININT64;
        g_string_append(pd_document_add_part(document, "", NULL)->text, text);
        sink->found(sink->user_data);
        if (!sink->document(document, sink->user_data, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
add(const char *dir, PdModel *model, PdAddReport *report, GError **error)
{
    static const PdCorpusReader reader = {detect, read_all};
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_CREATE, error);

    return corpus &&
           pd_corpus_add_with_reader(corpus, &reader, "/faults", pd_model_tokenizer(model), NULL,
                                     report, NULL, error);
}

static gboolean
warm(const char *dir, PdModel *model, PdWarmReport *report, GError **error)
{
    g_auto(World) world = {.corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, error)};

    if (world.corpus)
        world.context = pd_context_new(world.corpus, model, PD_READ_SWEPT, NULL, error);
    if (!world.context)
        return FALSE;
    pd_kv_store_set_io(world.context->store, &faulty_io);
    return pd_context_warm(world.context, report, NULL, NULL, NULL, error);
}

typedef struct {
    guint64 n_documents;
    guint64 n_tokens; /* warm */
} Done;

static Done
count_done(const char *dir, PdModel *model)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_CREATE, &error);
    g_autoptr(GPtrArray) documents = NULL;
    g_autoptr(PdContext) context = NULL;
    Done done = {0};

    g_assert_no_error(error);
    documents = pd_corpus_documents(corpus, NULL, &error);
    g_assert_no_error(error);
    done.n_documents = documents->len;
    if (documents->len == 0)
        return done;
    context = pd_context_new(corpus, model, PD_READ_SWEPT, NULL, &error);
    g_assert_no_error(error);
    pd_context_count_warm(context, &done.n_tokens, NULL, &error);
    g_assert_no_error(error);
    return done;
}

/* Once more without faults: it takes up what is there, and ends as a run that met none. */
static void
complete(const char *dir, PdModel *model, GHashTable *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GHashTable) records = NULL;
    g_auto(World) world = {0};
    PdAddReport added;
    PdWarmReport warmed = {0};
    Done before = count_done(dir, model);

    add(dir, model, &added, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(added.n_unchanged, ==, before.n_documents);
    g_assert_cmpuint(added.n_new, ==, N_DOCUMENTS - before.n_documents);
    warm(dir, model, &warmed, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(warmed.n_tokens_reused, ==, before.n_tokens);
    fixture_assert_sound(dir, model);
    world_open(&world, dir, model, PD_CORPUS_READ, PD_READ_SWEPT);
    records = fixture_records(&world);
    fixture_assert_same_records(expected, records);
}

static GHashTable *
calm_records(PdModel *model)
{
    char *dir = fixture_folder();
    g_autoptr(GError) error = NULL;
    GHashTable *records;

    add(dir, model, NULL, &error);
    g_assert_no_error(error);
    warm(dir, model, NULL, &error);
    g_assert_no_error(error);
    {
        g_auto(World) world = {0};
        world_open(&world, dir, model, PD_CORPUS_READ, PD_READ_SWEPT);
        records = fixture_records(&world);
    }
    fixture_remove(dir);
    return records;
}

/* --- faults --- */

/* FALSE: there is no call number `at`. */
static gboolean
run_with_fault(Fault fault, int at, PdModel *model, GHashTable *expected, guint *n_errors)
{
    char *dir = fixture_folder();
    g_autoptr(GError) error = NULL;
    PdAddReport added = {0};
    PdWarmReport warmed = {0};
    gboolean ok_add, ok, struck;
    Done done;

    arm(fault, at);
    ok_add = add(dir, model, &added, &error);
    ok = ok_add && warm(dir, model, &warmed, &error);
    struck = n_seen > fault_at;
    arm(FAULT_NONE, 0);
    g_assert_true(struck || ok);
    g_assert_true(ok == (error == NULL));
    if (error)
        g_test_message("%d: %s", at, error->message);
    g_assert_true(!error || (*error->message && !strchr(error->message, '\n')));
    *n_errors += !ok;
    done = count_done(dir, model); /* makes the corpus if even that had failed */
    fixture_assert_sound(dir, model);
    /* What was reported as done is there. */
    if (ok_add)
        g_assert_cmpuint(done.n_documents, ==, N_DOCUMENTS - added.n_failed);
    g_assert_cmpuint(done.n_tokens, >=, warmed.n_tokens_encoded + warmed.n_tokens_reused);
    if (added.n_failed == 0)
        complete(dir, model, expected);
    fixture_remove(dir);
    return struck;
}

static void
test_fault(gconstpointer fault)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) expected = calm_records(model);
    guint n_errors = 0;
    int at = 0;

    while (run_with_fault((Fault)GPOINTER_TO_INT(fault), at, model, expected, &n_errors))
        at++;
    g_test_message("%d calls, %u errors", at, n_errors);
    g_assert_cmpint(at, >, 10);
    g_assert_cmpuint(n_errors, >, (guint)at / 4);
}

/* A full disk: what is kept is enough for an answer. */
static void
test_ask_on_full_disk(void)
{
    const PdAskOptions options = {.max_answer_tokens = 8};
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(PdAnswer) answer = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(World) world = {0};
    char *dir = fixture_folder();

    add(dir, model, NULL, &error);
    g_assert_no_error(error);
    warm(dir, model, NULL, &error);
    g_assert_no_error(error);
    world_open(&world, dir, model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    arm(FAULT_DB_FULL, EVERY);
    answer =
        pd_ask(world.context, "Which level did the buoy record?", &options, NULL, NULL, &error);
    g_assert_cmpint(n_seen, >, 0); /* the index of words was to be written */
    arm(FAULT_NONE, 0);
    g_assert_no_error(error);
    g_assert_cmpuint(answer->passages->len, >, 0);
    g_assert_cmpuint(answer->warm.n_tokens_encoded, ==, 0);
    world_close(&world);
    fixture_assert_sound(dir, model);
    fixture_remove(dir);
}

/* --- killed --- */

static int
child(char **argv)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GError) error = NULL;

    faulty_vfs_register(check_db);
    arm(FAULT_DB_KILL, atoi(argv[1]));
    warm(argv[0], model, NULL, &error);
    g_assert_no_error(error);
    return 0;
}

static void
test_killed(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GHashTable) expected = calm_records(model);
    gboolean killed = TRUE;
    int at;

    for (at = 0; killed; at++) {
        char *dir = fixture_folder();
        g_autofree char *number = g_strdup_printf("%d", at);
        g_autoptr(GError) error = NULL;
        int status;

        add(dir, model, NULL, &error);
        g_assert_no_error(error);
        status = fixture_child(dir, number, NULL);
        killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        if (!killed)
            fixture_assert_done(status);
        fixture_assert_sound(dir, model);
        complete(dir, model, expected);
        fixture_remove(dir);
    }
    g_test_message("%d kills", at - 1);
    g_assert_cmpint(at, >, 10);
}

int
main(int argc, char **argv)
{
    if (argc > 3 && g_str_equal(argv[1], "--child"))
        return child(argv + 2);
    g_test_init(&argc, &argv, NULL);
    faulty_vfs_register(check_db);
    g_test_add_data_func("/faults/database", GINT_TO_POINTER(FAULT_DB_ERROR), test_fault);
    g_test_add_data_func("/faults/database-full", GINT_TO_POINTER(FAULT_DB_FULL), test_fault);
    g_test_add_data_func("/faults/pack", GINT_TO_POINTER(FAULT_PACK), test_fault);
    g_test_add_data_func("/faults/memory", GINT_TO_POINTER(FAULT_MEMORY), test_fault);
    g_test_add_func("/faults/ask-on-full-disk", test_ask_on_full_disk);
    g_test_add_func("/faults/killed", test_killed);
    return g_test_run();
}
