/*
 * The store under a corpus: every damaged byte is found and costs its record alone, a build writes
 * little more than it keeps, and a changed corpus costs what changed.
 */
#include "prompts_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/kv_store_private.h"
#include "prompts/gc.h"
#include "prompts/warm.h"

#define SEGMENT_TOKENS_MAX (2048 + 64) /* with its header */

typedef struct {
    char *dir;
    PdModel *model;
} Fixture;

static void
set_up(Fixture *f, gconstpointer unused)
{
    f->dir = fixture_folder();
    f->model = fixture_model();
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

/* n documents "000.txt"... of n_bytes; `changed` (or -1) has another text. */
static void
add_documents(Fixture *f, const char *source, int n, gsize n_bytes, int changed)
{
    g_autofree TestDocument *documents = g_new0(TestDocument, n);

    for (int i = 0; i < n; i++)
        documents[i] =
            (TestDocument){PD_KIND_TEXT, g_strdup_printf("%s %03d.txt", source, i),
                           fixture_text(n_bytes, (guint32)(i + (i == changed ? 1000 : 0))), -1};
    fixture_add(f->dir, f->model, source, documents, (gsize)n);
    for (int i = 0; i < n; i++) {
        g_free((char *)documents[i].key);
        g_free((char *)documents[i].text);
    }
}

static PdWarmReport
warm(World *world)
{
    g_autoptr(GError) error = NULL;
    PdWarmReport report = {0};

    pd_context_warm(world->context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return report;
}

static PdWarmReport
open_and_warm(Fixture *f)
{
    g_auto(World) world = {0};

    world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    return warm(&world);
}

static guint64
count_warm(World *world)
{
    g_autoptr(GError) error = NULL;
    guint64 n;

    pd_context_count_warm(world->context, &n, NULL, &error);
    g_assert_no_error(error);
    return n;
}

static guint64
n_corrupt(World *world, gboolean drop)
{
    g_autoptr(GError) error = NULL;
    PdKvStats stats;

    pd_kv_store_verify(world->context->store, drop, &stats, NULL, &error);
    g_assert_no_error(error);
    return stats.n_corrupt;
}

static void
flip(const char *path, long at)
{
    FILE *file = g_fopen(path, "r+b");
    int byte;

    g_assert_nonnull(file);
    fseek(file, at, SEEK_SET);
    byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 0x20, file);
    g_assert_cmpint(fclose(file), ==, 0);
}

static char *
pack_path(Fixture *f, const char *name)
{
    return g_build_filename(f->dir, "kv", name, NULL);
}

static void
cancel_at(guint64 done, guint64 total, gpointer cancellable)
{
    if (done >= total / 2)
        g_cancellable_cancel(cancellable);
}

/* Ctrl-C: small records wait for each other to be committed, but what is finished is kept. */
static void
test_cancelled(Fixture *f, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;
    PdWarmReport report = {0};
    g_auto(World) world = {0};

    add_documents(f, "/cancelled", 30, 40, -1);
    world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_assert_cmpuint(world.context->n_tokens, <, PD_WARM_COMMIT_ROWS);
    g_assert_false(
        pd_context_warm(world.context, &report, cancel_at, cancellable, cancellable, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
    said = g_strdup_printf("stopped after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " tokens",
                           report.n_tokens_encoded, world.context->n_tokens);
    g_assert_true(g_str_has_prefix(error->message, said));
    /* At most the group at work is lost. */
    g_assert_cmpuint(report.n_tokens_encoded, >=,
                     world.context->n_tokens / 2 -
                         PD_WARM_SEQUENCES * world.context->n_tokens / 30 - 100);
    g_assert_cmpuint(count_warm(&world), ==, report.n_tokens_encoded);
    g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 0);
    g_assert_cmpuint(warm(&world).n_tokens_reused, ==, report.n_tokens_encoded);
}

/* What is kept needs no writing: a corpus open for reading is as warm. */
static void
test_read_only(Fixture *f, gconstpointer unused)
{
    g_auto(World) world = {0};
    guint64 total;

    add_documents(f, "/read-only", 3, 300, -1);
    total = open_and_warm(f).n_tokens_encoded;
    world_open(&world, f->dir, f->model, PD_CORPUS_READ, PD_READ_SWEPT);
    g_assert_cmpuint(warm(&world).n_tokens_reused, ==, total);
}

/* Run git in `folder`; it must succeed. */
static void
run_git(const char *folder, const char *const *arguments)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(argv, (gpointer) "git");
    for (; *arguments; arguments++)
        g_ptr_array_add(argv, (gpointer)*arguments);
    g_ptr_array_add(argv, NULL);
    g_subprocess_launcher_set_cwd(launcher, folder);
    g_subprocess_launcher_setenv(launcher, "GIT_AUTHOR_NAME", "Ann Reed", TRUE);
    g_subprocess_launcher_setenv(launcher, "GIT_AUTHOR_EMAIL", "ann@example.org", TRUE);
    g_subprocess_launcher_setenv(launcher, "GIT_COMMITTER_NAME", "Ann Reed", TRUE);
    g_subprocess_launcher_setenv(launcher, "GIT_COMMITTER_EMAIL", "ann@example.org", TRUE);
    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, &error);
    g_assert_no_error(error);
    g_assert_true(g_subprocess_wait_check(process, NULL, NULL));
}

static void
commit_file(const char *folder, const char *name, guint32 seed)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *text = fixture_text(500, seed);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    run_git(folder, (const char *[]){"add", "-A", NULL});
    run_git(folder, (const char *[]){"commit", "-q", "-m", name, NULL});
}

/* Bring the repository into the corpus and warm it. */
static PdWarmReport
add_and_warm(Fixture *f, const char *folder, PdAddReport *added)
{
    g_autoptr(GError) error = NULL;

    {
        g_autoptr(PdCorpus) corpus = pd_corpus_open(f->dir, PD_CORPUS_CREATE, &error);
        g_assert_no_error(error);
        pd_corpus_add(corpus, folder, pd_model_tokenizer(f->model), NULL, added, NULL, &error);
        g_assert_no_error(error);
    }
    return open_and_warm(f);
}

/* A new commit costs what it changed, not what it holds. */
static void
test_new_commit(Fixture *f, gconstpointer unused)
{
    g_autofree char *git = g_find_program_in_path("git");
    char *folder = fixture_folder();
    PdAddReport added;
    PdWarmReport first, second;
    guint64 n_unchanged = 0;

    if (!git) {
        g_test_skip("the program git is not installed");
        fixture_remove(folder);
        return;
    }
    run_git(folder, (const char *[]){"init", "-q", "-b", "main", ".", NULL});
    for (guint i = 0; i < 6; i++) {
        g_autofree char *name = g_strdup_printf("f%u.c", i);
        commit_file(folder, name, i);
    }
    first = add_and_warm(f, folder, &added);
    g_assert_cmpuint(added.n_new, ==, 8); /* the files, tree and history */
    commit_file(folder, "f3.c", 1000);
    second = add_and_warm(f, folder, &added);
    g_assert_cmpuint(added.n_unchanged, ==, 6); /* five files and the tree */
    g_assert_cmpuint(added.n_changed, ==, 2);
    g_auto(World) world = {0};
    world_open(&world, f->dir, f->model, PD_CORPUS_READ, PD_READ_SWEPT);
    for (guint i = 0; i < world.context->segments->len; i++) {
        const PdContextSegment *segment =
            &g_array_index(world.context->segments, PdContextSegment, i);
        const char *key = segment->document->key;
        if (!g_str_equal(key, "f3.c") && !g_str_equal(key, "(history)"))
            n_unchanged += segment->row->n_tokens + segment->header_ids->len;
    }
    g_assert_cmpuint(first.n_tokens_reused, ==, 0);
    g_assert_cmpuint(second.n_tokens_reused, ==, n_unchanged);
    g_assert_cmpuint(second.n_tokens_encoded, ==, world.context->n_tokens - n_unchanged);
    g_assert_cmpuint(n_unchanged, >, 2500);
    fixture_remove(folder);
}

/* Equal segments are read once, also when they come close together. */
static void
test_equal(Fixture *f, gconstpointer unused)
{
    static const TestDocument twice[] = {{PD_KIND_TEXT, "a.txt", "The gauge. The gauge.", -1}};
    g_auto(World) world = {0};
    PdContextSegment *first;
    PdWarmReport report;

    fixture_add(f->dir, f->model, "/equal", twice, G_N_ELEMENTS(twice));
    world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_array_set_clear_func(world.context->segments, NULL); /* one header for all */
    for (int i = 0; i < 9; i++) {
        PdContextSegment copy = g_array_index(world.context->segments, PdContextSegment, 0);
        g_array_append_val(world.context->segments, copy);
    }
    first = &g_array_index(world.context->segments, PdContextSegment, 0);
    report = warm(&world);
    g_assert_cmpuint(report.n_tokens_encoded, ==, first->row->n_tokens + first->header_ids->len);
    g_assert_cmpuint(report.n_tokens_reused, ==, 9 * report.n_tokens_encoded);
    g_free(first->header);
    g_array_unref(first->header_ids);
}

/* One byte in each 4 KB of the pack: found, and after it is dropped the next warm makes that
 * segment and no other. */
static void
test_each_page(Fixture *f, gconstpointer unused)
{
    g_autofree char *pack = pack_path(f, "000001.pack");
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);
    g_auto(World) world = {0};
    GStatBuf st;
    guint64 total;

    add_documents(f, "/pages", 6, 700, -1);
    world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    total = warm(&world).n_tokens_encoded;
    g_assert_cmpint(g_stat(pack, &st), ==, 0);
    g_assert_cmpint(st.st_size, >, 10 * 4096);
    for (long page = 0; page < st.st_size; page += 4096) {
        long at =
            page + g_rand_int_range(rand, page ? 0 : 512, (gint32)MIN(4096, st.st_size - page));
        flip(pack, at);
        g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 1);
        flip(pack, at);
    }
    flip(pack, 100); /* the pack's own header: all its records */
    g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 6);
    flip(pack, 100);
    for (int record = 0; record < 3; record++) {
        long at = 512 + st.st_size / 6 * record + 1000;
        guint64 missing;
        flip(pack, at);
        g_assert_cmpuint(n_corrupt(&world, TRUE), ==, 1);
        missing = total - count_warm(&world);
        g_assert_cmpuint(missing, >, 700);
        g_assert_cmpuint(missing, <, 700 + 64);
        g_assert_cmpuint(warm(&world).n_tokens_encoded, ==, missing);
        g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 0);
    }
    /* What the dropped records left is given back. */
    world_close(&world);
    world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    {
        g_autoptr(GError) error = NULL;
        PdKvGcReport report;
        pd_corpus_gc(world.corpus, FALSE, &report, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(report.n_dead_records, ==, 0);
        g_assert_cmpuint(report.n_bytes_after, ==, (guint64)st.st_size);
        g_assert_cmpuint(count_warm(&world), ==, total);
        g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 0);
    }
}

/* A pack that is missing, cut short, empty, or another corpus's: what is lost is named and read
 * again. */
static void
test_wrong_packs(Fixture *f, gconstpointer unused)
{
    Fixture other;
    g_autofree char *pack = pack_path(f, "000001.pack");
    g_autofree char *foreign = NULL, *foreign_pack = NULL;
    gsize n_foreign;

    set_up(&other, NULL);
    add_documents(&other, "/other", 5, 900, 3);
    open_and_warm(&other);
    foreign_pack = pack_path(&other, "000001.pack");
    g_assert_true(g_file_get_contents(foreign_pack, &foreign, &n_foreign, NULL));
    tear_down(&other, NULL);

    add_documents(f, "/own", 5, 600, -1);
    open_and_warm(f);
    for (int damage = 0; damage < 4; damage++) {
        g_auto(World) world = {0};
        guint64 n_lost, n_missing, total;
        g_autofree char *newest = NULL;

        newest = g_strdup_printf("%06d.pack", damage + 1);
        g_free(pack);
        pack = pack_path(f, newest);
        g_assert_true(g_file_test(pack, G_FILE_TEST_EXISTS));
        if (damage == 0)
            g_unlink(pack);
        else if (damage == 1)
            g_assert_cmpint(truncate(pack, 512 + 300), ==, 0);
        else if (damage == 2)
            g_assert_cmpint(truncate(pack, 0), ==, 0);
        else
            g_assert_true(g_file_set_contents(pack, foreign, (gssize)n_foreign, NULL));
        world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
        total = count_warm(&world);
        n_lost = n_corrupt(&world, TRUE);
        g_assert_cmpuint(n_lost, ==, 5);
        n_missing = total - count_warm(&world);
        g_assert_cmpuint(n_missing, ==, total);
        g_assert_cmpuint(warm(&world).n_tokens_encoded, ==, n_missing);
        g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 0);
    }
}

static guint64 n_written;

static ssize_t
counting_pwrite(int fd, const void *data, size_t n, off_t offset)
{
    n_written += n;
    return pwrite(fd, data, n, offset);
}

static const PdKvIo counting_io = {counting_pwrite, fdatasync};

/* Bytes that this process gave to write calls; FALSE where the system does not say. */
static gboolean
read_wchar(guint64 *n)
{
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents("/proc/self/io", &text, NULL, NULL) || !(at = strstr(text, "wchar: ")))
        return FALSE;
    *n = g_ascii_strtoull(at + strlen("wchar: "), NULL, 10);
    return TRUE;
}

static guint64
file_bytes(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    GStatBuf st;

    return g_stat(path, &st) == 0 ? (guint64)st.st_size : 0;
}

/* All that a full build writes, SQLite's log and checkpoints included, is at most half as much
 * again as what it keeps. */
static void
test_bytes_written(Fixture *f, gconstpointer unused)
{
    g_auto(World) world = {0};
    guint64 before = 0, after = 0, packs, db_before, kept;
    gboolean known;

    add_documents(f, "/build", 20, 6000, -1);
    db_before = file_bytes(f->dir, "corpus.db");
    known = read_wchar(&before);
    world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    pd_kv_store_set_io(world.context->store, &counting_io);
    n_written = 0;
    g_assert_cmpuint(warm(&world).n_tokens_encoded, >, 100000);
    world_close(&world);
    known = known && read_wchar(&after);
    packs = file_bytes(f->dir, "kv/000001.pack");
    kept = packs + file_bytes(f->dir, "corpus.db") - db_before;
    g_assert_cmpuint(n_written, ==, packs);
    if (!known) {
        g_test_skip("/proc/self/io is not here: SQLite's writes were not counted");
        return;
    }
    g_test_message("%" G_GUINT64_FORMAT " bytes written, %" G_GUINT64_FORMAT " kept: %.3f",
                   after - before, kept, (double)(after - before) / kept);
    g_assert_cmpuint(after - before, <=, kept * 3 / 2);
}

/* A change in the last hundredth costs that hundredth and a segment; removing and reordering cost
 * nothing; what they leave unused is given back. */
static void
test_edit(Fixture *f, gconstpointer unused)
{
    PdWarmReport first, again;

    add_documents(f, "/notes", 5, 500, -1);
    add_documents(f, "/repo", 100, 1000, -1);
    first = open_and_warm(f);
    g_assert_cmpuint(first.n_tokens_reused, ==, 0);
    add_documents(f, "/repo", 100, 1000, 99);
    again = open_and_warm(f);
    g_assert_cmpuint(again.n_tokens_encoded, >, 0);
    g_assert_cmpuint(again.n_tokens_encoded, <=, first.n_tokens_encoded / 100 + SEGMENT_TOKENS_MAX);
    g_assert_cmpuint(again.n_tokens_reused + again.n_tokens_encoded, >,
                     first.n_tokens_encoded * 99 / 100);
    {
        /* Documents 60 to 99 vanish from the source. */
        g_auto(World) world = {0};
        g_autoptr(GError) error = NULL;
        PdKvGcReport report;
        add_documents(f, "/repo", 60, 1000, -1);
        g_assert_cmpuint(open_and_warm(f).n_tokens_encoded, ==, 0);
        world_open(&world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
        pd_corpus_gc(world.corpus, FALSE, &report, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(report.n_dead_records, ==, 41); /* 40 and the old text of the changed */
        g_assert_cmpuint(report.n_bytes_after, <, report.n_bytes_before * 65 / 100);
        g_assert_cmpuint(warm(&world).n_tokens_encoded, ==, 0);
    }
    {
        /* The notes go and come back: they are last now. */
        g_autoptr(GError) error = NULL;
        g_autoptr(PdCorpus) corpus = pd_corpus_open(f->dir, PD_CORPUS_WRITE, &error);
        g_assert_no_error(error);
        pd_corpus_remove(corpus, "/notes", NULL, &error);
        g_assert_no_error(error);
    }
    g_assert_cmpuint(open_and_warm(f).n_tokens_encoded, ==, 0);
    add_documents(f, "/notes", 5, 500, -1);
    g_assert_cmpuint(open_and_warm(f).n_tokens_encoded, ==, 0);
}

/* gc keeps what another model has read, and what was read whole as far as it still begins the same;
 * told which model alone is wanted, it keeps that model's. */
static void
test_gc_models(Fixture *f, gconstpointer unused)
{
    g_autoptr(PdModel) other = fixture_model_changed(f->dir, NULL, NULL, 0);
    g_autofree char *corpus_dir = g_build_filename(f->dir, "corpus", NULL);
    Fixture inner = {corpus_dir, f->model};
    g_autoptr(GError) error = NULL;
    PdKvGcReport report;
    guint64 n_own;

    add_documents(&inner, "/a", 3, 600, -1);
    n_own = open_and_warm(&inner).n_tokens_encoded;
    for (int whole = 0; whole < 2; whole++) {
        g_auto(World) world = {0};
        world_open(&world, corpus_dir, other, PD_CORPUS_WRITE,
                   whole ? PD_READ_WHOLE : PD_READ_SWEPT);
        g_assert_cmpuint(warm(&world).n_tokens_encoded, >=, n_own);
        pd_corpus_gc(world.corpus, FALSE, &report, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(report.n_dead_records, ==, 0);
    }
    add_documents(&inner, "/b", 1, 600, -1);
    {
        g_auto(World) world = {0};
        world_open(&world, corpus_dir, other, PD_CORPUS_WRITE, PD_READ_WHOLE);
        pd_corpus_gc(world.corpus, FALSE, &report, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(report.n_dead_records, ==, 1); /* the short chunk at the old end */
        g_assert_cmpuint(warm(&world).n_tokens_reused, >=, 1024);
    }
    {
        g_auto(World) world = {0};
        world_open(&world, corpus_dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
        pd_context_gc(world.context, FALSE, &report, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(report.n_dead_records, >=, 5);
        g_assert_cmpuint(count_warm(&world), ==, n_own);
        g_assert_cmpuint(n_corrupt(&world, FALSE), ==, 0);
    }
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/store/cancelled", test_cancelled);
    ADD("/store/read-only", test_read_only);
    ADD("/store/new-commit", test_new_commit);
    ADD("/store/equal", test_equal);
    ADD("/store/each-page", test_each_page);
    ADD("/store/wrong-packs", test_wrong_packs);
    ADD("/store/bytes-written", test_bytes_written);
    ADD("/store/edit", test_edit);
    ADD("/store/gc-models", test_gc_models);
    return g_test_run();
}
