/*
 * add, ls, show, rm and verify as a person or a script calls them: what is printed where, the exit
 * codes, and stored bytes that come out as they went in.
 */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include "engine/remove_tree.h"

static const char model[] = PD_SOURCE_ROOT "/tests/golden/tiny/tiny.gguf";

typedef struct {
    char *dir;
    char *corpus;
    GBytes *out;
    char *err;
    int code;
} Fixture;

static void
write_file(Fixture *f, const char *name, const char *bytes, gssize n)
{
    g_autofree char *path = g_build_filename(f->dir, name, NULL);
    g_assert_true(g_file_set_contents(path, bytes, n, NULL));
}

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("pandect-app-XXXXXX", NULL);
    f->corpus = g_build_filename(f->dir, "c", NULL);
    g_autofree char *files = g_build_filename(f->dir, "files", NULL);
    g_mkdir(files, 0755);
    write_file(f, "files/README.md", "# Rent\n\nIt is 900 euros, due on the first.\n", -1);
    write_file(f, "files/notes.txt", "caf\xc3\xa9\r\nsecond line\r\n", -1);
    write_file(f, "files/data.bin", "\x7f\x45\x4c\x46\0\0\1\2\0\0\0\0\377\376\0\1", 16);
}

/* g_strndup gives NULL for the data of empty bytes. */
static char *
text_of(GBytes *bytes)
{
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    return n ? g_strndup(data, n) : g_strdup("");
}

static void
forget(Fixture *f)
{
    g_clear_pointer(&f->out, g_bytes_unref);
    g_clear_pointer(&f->err, g_free);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    forget(f);
    pd_remove_tree(f->dir);
    g_free(f->dir);
    g_free(f->corpus);
}

/* Runs pandect -C CORPUS with the words, in the folder of the test. */
static void
run(Fixture *f, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) extra = g_strsplit(words, " ", -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_strv_builder_add_many(builder, PD_EXE, "-C", f->corpus, NULL);
    g_strv_builder_addv(builder, (const char **)extra);
    g_auto(GStrv) argv = g_strv_builder_end(builder);
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_subprocess_launcher_set_cwd(launcher, f->dir);
    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, (const char *const *)argv, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) err = NULL;
    forget(f);
    g_assert_true(g_subprocess_communicate(process, NULL, NULL, &f->out, &err, &error));
    g_assert_true(g_subprocess_get_if_exited(process));
    f->code = g_subprocess_get_exit_status(process);
    f->err = text_of(err);
}

static void
assert_run(Fixture *f, const char *words, int code, const char *out, const char *err)
{
    run(f, words);
    g_autofree char *text = text_of(f->out);
    if (f->code != code || !g_pattern_match_simple(out, text) ||
        !g_pattern_match_simple(err, f->err))
        g_test_message("%s: %d\n%s\n%s", words, f->code, text, f->err);
    g_assert_cmpint(f->code, ==, code);
    g_assert_true(g_pattern_match_simple(out, text));
    g_assert_true(g_pattern_match_simple(err, f->err));
}

static void
add_files(Fixture *f)
{
    g_autofree char *words = g_strdup_printf("add files --model %s", model);
    assert_run(f, words, 0, "files: 3 found, 2 read (2 new), 1 skipped (1 *); * tokens\n", "*");
}

static JsonNode *
json_of(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = text_of(f->out);
    JsonNode *root = json_from_string(text, &error);
    g_assert_no_error(error);
    return root;
}

static gint64
id_of(Fixture *f, const char *key)
{
    run(f, "ls --json");
    g_autoptr(JsonNode) root = json_of(f);
    JsonArray *rows = json_node_get_array(root);
    for (guint i = 0; i < json_array_get_length(rows); i++) {
        JsonObject *row = json_array_get_object_element(rows, i);
        if (g_str_equal(json_object_get_string_member(row, "key"), key))
            return json_object_get_int_member(row, "id");
    }
    g_assert_not_reached();
}

static void
test_add(Fixture *f, gconstpointer data)
{
    add_files(f);
    g_autofree char *again = g_strdup_printf("add files --json --model %s", model);
    run(f, again);
    g_assert_cmpint(f->code, ==, 0);
    g_autoptr(JsonNode) root = json_of(f);
    JsonObject *report = json_array_get_object_element(json_node_get_array(root), 0);
    g_assert_cmpint(json_object_get_int_member(report, "new"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(report, "unchanged"), ==, 2);
    JsonArray *ledger = json_object_get_array_member(report, "ledger");
    g_assert_cmpstr(json_object_get_string_member(json_array_get_object_element(ledger, 0), "key"),
                    ==, "data.bin");
    assert_run(f, "ledger", 0,
               "files (folder, 20*Z): 3 found, 2 read, 1 skipped\n  skipped   data.bin: *\n", "");
    assert_run(f, "verify --model " PD_SOURCE_ROOT "/tests/golden/tiny/tiny.gguf", 0,
               "sound: 2 documents, 0 KV records\n", "");
    /* One source that is not there does not keep the others out. */
    write_file(f, "one.txt", "one\n", -1);
    g_autofree char *both = g_strdup_printf("add missing.pdf one.txt --model %s", model);
    assert_run(f, both, 1,
               "one.txt: 1 found, 1 read (1 new); * tokens\n"
               "all: 1 found, 1 read (1 new)\n",
               "*missing.pdf*");
}

/* A source that gave nothing is no document, but has its ledger. */
static void
test_ledger(Fixture *f, gconstpointer data)
{
    g_autofree char *words = g_strdup_printf("add nothing.pdf notes missing.txt --model %s", model);
    write_file(f, "nothing.pdf", "%PDF-1.7\nno more\n", -1);
    write_file(f, "notes", "", 0);
    assert_run(f, words, 1, "all: 2 found, 0 read, 1 skipped, 1 failed\n",
               "*nothing.pdf*damaged*\n*notes is empty*\n*missing.txt*\n");
    assert_run(f, "ls", 0, "0 documents*", "");
    run(f, "ledger --json");
    g_autoptr(JsonNode) root = json_of(f);
    JsonArray *sources = json_node_get_array(root);
    g_assert_cmpuint(json_array_get_length(sources), ==, 2);
    const char *const expected[][4] = {{"nothing.pdf", "pdf", "failed", "damaged"},
                                       {"notes", "unknown", "skipped", "empty"}};
    for (guint i = 0; i < 2; i++) {
        JsonObject *source = json_array_get_object_element(sources, i);
        JsonArray *lines = json_object_get_array_member(source, "lines");
        g_assert_cmpstr(json_object_get_string_member(source, "source"), ==, expected[i][0]);
        g_assert_cmpstr(json_object_get_string_member(source, "kind"), ==, expected[i][1]);
        g_assert_cmpstr(json_object_get_string_member(source, "status"), ==, "failed");
        g_assert_cmpint(json_object_get_int_member(source, "found"), ==, 1);
        g_assert_cmpint(json_object_get_int_member(source, "read"), ==, 0);
        g_assert_cmpint(json_object_get_int_member(source, expected[i][2]), ==, 1);
        g_assert_cmpuint(json_array_get_length(lines), ==, 1);
        JsonObject *line = json_array_get_object_element(lines, 0);
        g_assert_cmpstr(json_object_get_string_member(line, "level"), ==, expected[i][2]);
        g_assert_nonnull(strstr(json_object_get_string_member(line, "reason"), expected[i][3]));
    }
    assert_run(f, "ledger missing.txt", 1, "", "*no source 'missing.txt'; there are: *notes*");
    assert_run(f, "rm notes", 0, "notes: 0 documents removed\n", "");
    assert_run(f, "ledger", 0, "nothing.pdf (pdf, *): 1 found, 0 read, 1 failed; failed: *", "");
}

/* The bytes of a file come out of a pipe unchanged: CRLF, UTF-8, ranges that cut a character. */
static void
test_show(Fixture *f, gconstpointer data)
{
    static const char notes[] = "caf\xc3\xa9\r\nsecond line\r\n";
    add_files(f);
    gint64 id = id_of(f, "notes.txt");
    g_autofree char *whole = g_strdup_printf("show %d", (int)id);
    run(f, whole);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_cmpmem(g_bytes_get_data(f->out, NULL), g_bytes_get_size(f->out), notes, strlen(notes));
    g_autofree char *cut = g_strdup_printf("show %d:0-4", (int)id);
    run(f, cut);
    g_assert_cmpmem(g_bytes_get_data(f->out, NULL), g_bytes_get_size(f->out), notes, 4);
    g_autofree char *json = g_strdup_printf("show --json %d:7-13", (int)id);
    run(f, json);
    g_autoptr(JsonNode) root = json_of(f);
    JsonObject *part = json_array_get_object_element(json_node_get_array(root), 0);
    g_assert_cmpstr(json_object_get_string_member(part, "text"), ==, "second");
    g_assert_cmpstr(json_object_get_string_member(part, "place"), ==, "notes.txt:2");
    g_assert_cmpint(json_object_get_int_member(part, "start"), ==, 7);
    g_autofree char *by_part =
        g_strdup_printf("show --part %d:7-13", (int)json_object_get_int_member(part, "part"));
    assert_run(f, by_part, 0, "second", "");
    g_autofree char *outside = g_strdup_printf("show %d:7-1300", (int)id);
    assert_run(f, outside, 1, "", "*7-1300 is not inside it*");
    assert_run(f, "show 4711", 1, "", "*no document 4711*");
    assert_run(f, "show one", 2, "", "*'one' is no number*");
    assert_run(f, "show", 2, "", "*show --help*");
}

static void
test_purge(Fixture *f, gconstpointer data)
{
    add_files(f);
    assert_run(f, "purge", 2, "", "*no purge was interrupted*");
    assert_run(f, "purge nobody", 1, "", "*no source or document 'nobody'*");
    g_autofree char *words =
        g_strdup_printf("purge --json -- %" G_GINT64_FORMAT, id_of(f, "notes.txt"));
    run(f, words);
    g_assert_cmpint(f->code, ==, 0);
    g_autoptr(JsonNode) root = json_of(f);
    JsonObject *report = json_node_get_object(root);
    g_assert_cmpint(json_object_get_int_member(report, "documents"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(report, "text_bytes"), ==,
                    strlen("caf\xc3\xa9\r\nsecond line\r\n"));
    assert_run(f, "purge files", 0, "purged 1 documents and 0 earlier revisions, 1 texts of *", "");
    assert_run(f, "ls", 0, "0 documents*", "*");
}

/* A secret is told of, shown as a mark, and there when it is asked for. */
static void
test_mask(Fixture *f, gconstpointer data)
{
    static const char text[] = "db: postgres://app:h0rse-Batt3ry@db/app\n";
    write_file(f, "files/app.txt", text, -1);
    g_autofree char *words = g_strdup_printf("add files --model %s", model);
    assert_run(f, words, 0,
               "files: 4 found, 3 read (3 new), 1 skipped (1 *); 1 secret masked; * tokens\n", "*");
    g_autofree char *show = g_strdup_printf("show %" G_GINT64_FORMAT, id_of(f, "app.txt"));
    assert_run(f, show, 0, "db: postgres://app:[secret:url-password#1]@db/app\n", "");
    g_autofree char *range = g_strconcat(show, ":19-42 --unmask", NULL);
    assert_run(f, range, 0, "h0rse-Batt3ry", "");
    g_autofree char *whole = g_strconcat(show, " --unmask", NULL);
    assert_run(f, whole, 0, text, "");
    g_autofree char *json = g_strconcat(words, " --json", NULL);
    run(f, json);
    g_autoptr(JsonNode) root = json_of(f);
    JsonObject *report = json_array_get_object_element(json_node_get_array(root), 0);
    g_assert_cmpint(json_object_get_int_member(report, "masked"), ==, 1);

    g_autofree char *bare = g_strconcat(words, " --no-mask", NULL);
    assert_run(f, bare, 0,
               "files: 4 found, 3 read (1 changed, 2 unchanged), 1 skipped (1 *); * tokens\n", "*");
    g_autofree char *shown = g_strdup_printf("show %" G_GINT64_FORMAT, id_of(f, "app.txt"));
    assert_run(f, shown, 0, text, "");
}

static void
test_rm(Fixture *f, gconstpointer data)
{
    add_files(f);
    g_autofree char *words = g_strdup_printf("rm %d", (int)id_of(f, "notes.txt"));
    assert_run(f, words, 0, "*: 1 documents removed\n", "");
    assert_run(f, "ls", 0, "*README.md\n1 documents*", "");
    assert_run(f, "rm nothing", 1, "", "*no source or document 'nothing'*");
    assert_run(f, "rm files", 0, "files: 1 documents removed\n", "");
    assert_run(f, "ls", 0, "0 documents*", "");
    assert_run(f, "rm", 2, "", "*rm --help*");
}

/* Damage is reported, and by exit code. */
static void
test_verify(Fixture *f, gconstpointer data)
{
    add_files(f);
    g_autofree char *db = g_build_filename(f->corpus, "corpus.db", NULL);
    g_autofree char *bytes = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(db, &bytes, &n, NULL));
    /* The first zstd frame of the file (magic number 0xFD2FB528) is a text's or a token list's. */
    char *frame = memmem(bytes, n, "\x28\xb5\x2f\xfd", 4);
    g_assert_nonnull(frame);
    frame[12] ^= 0x55;
    g_assert_true(g_file_set_contents(db, bytes, (gssize)n, NULL));
    assert_run(f, "verify --model " PD_SOURCE_ROOT "/tests/golden/tiny/tiny.gguf", 1, "text *", "");
}

static void
test_refusals(Fixture *f, gconstpointer data)
{
    assert_run(f, "ls", 1, "", "*no corpus here*add SOURCE*");
    assert_run(f, "verify", 1, "", "*no corpus here*");
    assert_run(f, "rm x", 1, "", "*no corpus here*");
    assert_run(f, "add", 2, "", "*add --help*");
    assert_run(f, "add files --rev x --work-tree", 2, "", "*--rev, --work-tree and --diff*");
    assert_run(f, "add files --model /no/such/file.gguf", 1, "", "*/no/such/file.gguf*");
    /* A failed add leaves no corpus that another command would take for one. */
    g_assert_false(g_file_test(f->corpus, G_FILE_TEST_EXISTS));
    static const char *const commands[] = {"add", "ls", "show", "rm", "verify"};
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *words = g_strdup_printf("%s --help", commands[i]);
        g_autofree char *pattern = g_strdup_printf("*pandect -C case %s*", commands[i]);
        assert_run(f, words, 0, pattern, "");
    }
}

/* The row is one for prompts/profile.c, of the heads in "chosen"; all of it the same when repeated.
 */
static void
test_calibrate(Fixture *f, gconstpointer data)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GString) row = g_string_new("{\"qwen2\", 2, 64, {");
    g_autofree char *words = g_strdup_printf("model calibrate --json --seed 3 --model %s", model);
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    for (int i = 0; text->len < 6000; i++)
        g_string_append_printf(text, "Line %d is about the rent of house %d.\n", i, i * 7 % 31);
    write_file(f, "files/notes.txt", text->str, (gssize)text->len);
    add_files(f);
    assert_run(f, words, 0, "{*}\n", "*");
    first = text_of(f->out);
    g_autoptr(JsonNode) root = json_of(f);
    JsonObject *object = json_node_get_object(root);
    JsonObject *chosen =
        json_array_get_object_element(json_object_get_array_member(object, "sets"), 0);
    JsonArray *heads = json_object_get_array_member(chosen, "heads");
    g_assert_cmpstr(json_object_get_string_member(chosen, "name"), ==, "chosen");
    g_assert_cmpuint(json_array_get_length(heads), >=, 2);
    g_assert_cmpfloat(json_object_get_double_member(chosen, "index_percent_of_dense"), >, 0);
    for (guint i = 0; i < json_array_get_length(heads); i++) {
        JsonObject *head = json_array_get_object_element(heads, i);
        gint64 layer = json_object_get_int_member(head, "layer");
        gint64 number = json_object_get_int_member(head, "head");
        g_assert_true(layer >= 0 && layer < 2 && number >= 0 && number < 2);
        g_string_append_printf(row, "%s{%d, %d, %d%s}", i ? ", " : "", (int)layer, (int)number,
                               (int)json_object_get_int_member(head, "group"),
                               json_object_get_boolean_member(head, "by_keys") ? ", TRUE" : "");
    }
    g_string_append_printf(row, "}, %u, {", json_array_get_length(heads));
    g_assert_true(g_str_has_prefix(json_object_get_string_member(object, "row"), row->str));
    run(f, words);
    second = text_of(f->out);
    g_assert_cmpstr(first, ==, second);
}

/* Every file and folder from here on, with `mode` of a folder and of a file; how many files. */
static guint
visit(const char *path, guint folder_mode, guint file_mode, gboolean change)
{
    struct stat st;
    g_assert_cmpint(lstat(path, &st), ==, 0);
    guint mode = S_ISDIR(st.st_mode) ? folder_mode : file_mode;
    guint n = !S_ISDIR(st.st_mode);
    if (change)
        g_assert_cmpint(chmod(path, mode), ==, 0);
    else if ((st.st_mode & 07777) != mode)
        g_error("%s has mode %04o", path, st.st_mode & 07777);
    g_autoptr(GDir) dir = S_ISDIR(st.st_mode) ? g_dir_open(path, 0, NULL) : NULL;
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        n += visit(child, folder_mode, file_mode, change);
    }
    return n;
}

/* Texts, tokens and KV are for the user alone, also where an earlier version had them for all. */
static void
test_private(Fixture *f, gconstpointer data)
{
    g_autofree char *add = g_strdup_printf("add files --model %s", model);
    g_autofree char *warm = g_strdup_printf("warm --model %s", model);
    mode_t umask_before = umask(0);
    for (int round = 0; round < 2; round++) {
        assert_run(f, add, 0, "files: *", "*");
        assert_run(f, warm, 0, "*", "*");
        g_assert_cmpuint(visit(f->corpus, 0700, 0600, FALSE), >=, 2); /* the database and a pack */
        visit(f->corpus, 0755, 0644, TRUE);
    }
    umask(umask_before);
}

static JsonObject *
bench_kind(JsonNode *root, const char *kind)
{
    JsonArray *kinds = json_object_get_array_member(json_node_get_object(root), "kinds");
    for (guint i = 0; i < json_array_get_length(kinds); i++) {
        JsonObject *row = json_array_get_object_element(kinds, i);
        if (g_str_equal(json_object_get_string_member(row, "kind"), kind))
            return row;
    }
    g_assert_not_reached();
}

static void
assert_int(JsonObject *row, const char *name, gint64 value)
{
    g_assert_cmpint(json_object_get_int_member(row, name), ==, value);
}

/* What is counted is what `add` counts; the corpus of -C is left alone. */
static void
test_bench_ingest(Fixture *f, gconstpointer data)
{
    g_autofree char *words =
        g_strdup_printf("bench ingest files two.mbox one.txt --json --model %s", model);
    g_autofree char *add = g_strdup_printf("add files --json --model %s", model);
    write_file(f, "two.mbox",
               "From a@x Mon Jan  1 00:00:00 2001\nFrom: a@x\nSubject: 1\n\none\n\n"
               "From b@x Mon Jan  1 00:00:00 2001\nFrom: b@x\nSubject: 2\n\ntwo\n",
               -1);
    write_file(f, "one.txt", "one\n", -1);
    run(f, words);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_false(g_file_test(f->corpus, G_FILE_TEST_EXISTS));
    g_autoptr(JsonNode) root = json_of(f);
    JsonObject *folder = bench_kind(root, "folder"), *mbox = bench_kind(root, "mbox");
    assert_int(folder, "source_bytes", 43 + 20 + 16);
    assert_int(folder, "text_bytes", 43 + 20); /* line ends as they are, the accent in UTF-8 */
    assert_int(folder, "documents", 2);
    assert_int(folder, "skipped", 1);
    assert_int(mbox, "messages", 2);
    assert_int(bench_kind(root, "text"), "source_bytes", 4);
    g_assert_cmpint(json_object_get_int_member(mbox, "readers"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(mbox, "reader_peak_rss_bytes"), >, 1 << 20);
    g_assert_cmpfloat(json_object_get_double_member(mbox, "reader_cpu_seconds"), >, 0);
    run(f, add);
    g_autoptr(JsonNode) added = json_of(f);
    JsonObject *report = json_array_get_object_element(json_node_get_array(added), 0);
    assert_int(folder, "tokens", json_object_get_int_member(report, "tokens"));
    assert_run(f, "bench ingest", 2, "", "*what should be read*");
    assert_run(f, "bench ingest missing.pdf", 1, "", "*missing.pdf*");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/corpus-commands/add", Fixture, NULL, set_up, test_add, tear_down);
    g_test_add("/corpus-commands/ledger", Fixture, NULL, set_up, test_ledger, tear_down);
    g_test_add("/corpus-commands/show", Fixture, NULL, set_up, test_show, tear_down);
    g_test_add("/corpus-commands/mask", Fixture, NULL, set_up, test_mask, tear_down);
    g_test_add("/corpus-commands/purge", Fixture, NULL, set_up, test_purge, tear_down);
    g_test_add("/corpus-commands/rm", Fixture, NULL, set_up, test_rm, tear_down);
    g_test_add("/corpus-commands/private", Fixture, NULL, set_up, test_private, tear_down);
    g_test_add("/corpus-commands/verify", Fixture, NULL, set_up, test_verify, tear_down);
    g_test_add("/corpus-commands/refusals", Fixture, NULL, set_up, test_refusals, tear_down);
    g_test_add("/corpus-commands/calibrate", Fixture, NULL, set_up, test_calibrate, tear_down);
    g_test_add("/corpus-commands/bench-ingest", Fixture, NULL, set_up, test_bench_ingest,
               tear_down);
    return g_test_run();
}
