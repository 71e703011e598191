/*
 * The git reader against git itself: paths as ls-tree lists them, bytes as cat-file gives them.
 */
#include "collect.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static gboolean
have_git(void)
{
    g_autofree char *git = g_find_program_in_path("git");
    if (!git)
        g_test_skip("the program git is not installed");
    return git != NULL;
}

static char *
git(const char *folder, gsize *n, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    static const char *const fixed[] = {"git",
                                        "-c",
                                        "user.name=Ann Reed",
                                        "-c",
                                        "user.email=ann@example.org",
                                        "-c",
                                        "protocol.file.allow=always"};
    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (gpointer)fixed[i]);
    va_list args;
    va_start(args, n);
    char *arg;
    while ((arg = va_arg(args, char *)) != NULL)
        g_ptr_array_add(argv, arg);
    va_end(args);
    g_ptr_array_add(argv, NULL);
    return run_program(folder, (const char *const *)argv->pdata, n);
}

/* Run git, which must succeed. */
#define GIT(folder, ...)                                                                           \
    G_STMT_START                                                                                   \
    {                                                                                              \
        g_autofree char *output_ = git(folder, NULL, __VA_ARGS__, NULL);                           \
        g_assert_nonnull(output_);                                                                 \
    }                                                                                              \
    G_STMT_END

static void
put(const char *folder, const char *name, const char *text, gssize n)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *dir = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, n, NULL));
}

static char *
make_repository(void)
{
    char *folder = g_dir_make_tmp("pandect-test-git-XXXXXX", NULL);
    GIT(folder, "init", "-q", "-b", "main", ".");
    put(folder, "a.txt", "one\n", -1);
    put(folder, "src/b.c", "int b;\r\nint c;\r\n", -1);
    put(folder, "latin.txt",
        "Gr\xF6\xDF"
        "e der T\xFCr, sch\xF6n\n",
        -1);
    put(folder, "image.bin", "a\0b", 3);
    put(folder, "gen.c", "int generated;\n", -1);
    put(folder, "node_modules/x.js", "x()\n", -1);
    put(folder, "vendor/ok.c", "int ok;\n", -1);
    put(folder, ".gitattributes", "gen.c linguist-generated\nvendor/ok.c linguist-vendored=false\n",
        -1);
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "First: b and c");
    GIT(folder, "tag", "v1");
    put(folder, "a.txt", "two\n", -1);
    GIT(folder, "commit", "-q", "-am", "Second: a counts on");
    return folder;
}

static const char *
text_of(const Collected *collected, const char *key)
{
    PdDocument *document = collected_find(collected, key);
    g_assert_nonnull(document);
    g_assert_cmpuint(document->parts->len, ==, 1);
    return ((PdPart *)g_ptr_array_index(document->parts, 0))->text->str;
}

static void
test_commit_files(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    put(folder, "a.txt", "not committed\n", -1);
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpstr(text_of(c, "a.txt"), ==, "two\n");
    g_assert_cmpstr(text_of(c, "src/b.c"), ==, "int b;\r\nint c;\r\n");
    g_assert_cmpstr(text_of(c, "latin.txt"), ==, "Größe der Tür, schön\n");
    g_assert_nonnull(collected_find(c, "vendor/ok.c"));
    g_assert_null(collected_find(c, "image.bin"));
    g_assert_true(collected_says(c, "skipped image.bin", "binary"));
    g_assert_true(collected_says(c, "skipped gen.c", "generated"));
    g_assert_true(collected_says(c, "skipped node_modules/x.js", "vendored"));
    g_assert_true(collected_says(c, "note latin.txt", "windows-1252"));
    /* What git lists, and the history. */
    g_autofree char *listed = git(folder, NULL, "ls-tree", "-r", "--name-only", "HEAD", NULL);
    g_auto(GStrv) names = g_strsplit(g_strchomp(listed), "\n", -1);
    g_assert_cmpuint(c->n_found, ==, g_strv_length(names) + 1);

    PdDocument *document = collected_find(c, "src/b.c");
    g_autofree char *blob = git(folder, NULL, "rev-parse", "HEAD:src/b.c", NULL);
    g_autofree char *head = git(folder, NULL, "rev-parse", "HEAD", NULL);
    g_assert_cmpstr(document->native_id, ==, g_strchomp(blob));
    g_assert_cmpstr(document->revision, ==, g_strchomp(head));
    g_assert_cmpstr(document->author, ==, "Ann Reed <ann@example.org>");
    g_autofree char *sum =
        g_compute_checksum_for_string(G_CHECKSUM_SHA256, "int b;\r\nint c;\r\n", -1);
    g_autoptr(GString) hex = g_string_new(NULL);
    for (int i = 0; i < 32; i++)
        g_string_append_printf(hex, "%02x", document->raw_sha256[i]);
    g_assert_cmpstr(hex->str, ==, sum);
    remove_folder(folder);
}

static void
test_revision_and_history(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    PdReadRequest options = {.git_revision = "v1"};
    g_autoptr(Collected) old = collect(folder, &options, NULL);
    g_assert_no_error(old->error);
    g_assert_cmpstr(text_of(old, "a.txt"), ==, "one\n");
    g_assert_null(strstr(text_of(old, "(history)"), "Second"));
    options.git_revision = "main~1";
    g_autoptr(Collected) same = collect(folder, &options, NULL);
    g_assert_cmpstr(text_of(same, "a.txt"), ==, "one\n");

    g_autoptr(Collected) now = collect(folder, NULL, NULL);
    const char *log = text_of(now, "(history)");
    g_autofree char *ids = git(folder, NULL, "log", "--format=commit %H", NULL);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(ids), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 2);
    const char *first = strstr(log, lines[0]);
    const char *second = strstr(log, lines[1]);
    g_assert_true(first == log && second > first);
    g_assert_nonnull(strstr(log, "Author: Ann Reed <ann@example.org>\n"));
    g_assert_nonnull(strstr(log, "Files:  a.txt\n\n    Second: a counts on\n"));
    g_assert_nonnull(strstr(second, "(tag: v1)"));

    options.git_revision = "no-such-branch";
    g_autoptr(Collected) none = collect(folder, &options, NULL);
    g_assert_error(none->error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(none->error->message, "no-such-branch"));
    remove_folder(folder);
}

static void
test_forms(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    g_autofree char *bare = g_build_filename(folder, "bare", NULL);
    g_autofree char *linked = g_build_filename(folder, "linked", NULL);
    g_autofree char *shared = g_build_filename(folder, "shared", NULL);
    g_autofree char *bundle = g_build_filename(folder, "x.bundle", NULL);
    g_autofree char *partial = g_build_filename(folder, "y.bundle", NULL);
    GIT(folder, "clone", "-q", "--bare", ".", bare);
    GIT(folder, "worktree", "add", "-q", linked, "v1");
    GIT(folder, "clone", "-q", "--shared", ".", shared);
    GIT(folder, "bundle", "create", "-q", bundle, "--all");
    GIT(folder, "bundle", "create", "-q", partial, "v1..main");
    const char *const forms[] = {bare, linked, shared, bundle};
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_autoptr(Collected) c = collect(forms[i], NULL, NULL);
        g_assert_no_error(c->error);
        g_assert_cmpstr(text_of(c, "a.txt"), ==, forms[i] == linked ? "one\n" : "two\n");
        g_assert_cmpstr(text_of(c, "src/b.c"), ==, "int b;\r\nint c;\r\n");
    }
    g_autoptr(Collected) c = collect(partial, NULL, NULL);
    g_assert_error(c->error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(c->error->message, "incremental bundle"));
    remove_folder(folder);
}

static void
test_work_tree_and_known(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    g_autofree char *inside = g_build_filename(folder, "src", NULL);
    put(folder, "a.txt", "not committed\n", -1);
    PdReadRequest options = {.work_tree = TRUE};
    g_autoptr(Collected) tree = collect(folder, &options, NULL);
    g_assert_no_error(tree->error);
    g_assert_cmpstr(text_of(tree, "a.txt"), ==, "not committed\n");
    g_assert_null(collected_find(tree, "a.txt")->revision);
    g_assert_nonnull(collected_find(tree, "src/b.c")->revision);

    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(known, collected_find(tree, "src/b.c")->native_id);
    options.work_tree = FALSE;
    options.known = known;
    g_autoptr(Collected) again = collect(folder, &options, NULL);
    PdDocument *document = collected_find(again, "src/b.c");
    g_assert_true(document->unchanged);
    g_assert_cmpuint(document->parts->len, ==, 0);
    g_assert_false(collected_find(again, "a.txt")->unchanged);

    /* A link where a folder was must not lead out of the work tree. */
    remove_folder(inside);
    g_autofree char *outside = g_dir_make_tmp("pandect-test-outside-XXXXXX", NULL);
    put(outside, "b.c", "secret\n", -1);
    GFile *link = g_file_new_for_path(inside);
    g_assert_true(g_file_make_symbolic_link(link, outside, NULL, NULL));
    g_object_unref(link);
    options.work_tree = TRUE;
    options.known = NULL;
    g_autoptr(Collected) linked = collect(folder, &options, NULL);
    g_assert_null(collected_find(linked, "src/b.c"));
    g_assert_true(collected_says(linked, "skipped src/b.c", "work tree"));
    remove_folder(outside);
    remove_folder(folder);
}

/* Each tracked file of a real repository is there byte for byte, or the ledger says why not. */
static void
test_real_bundle(void)
{
    if (!have_git())
        return;
    g_autofree char *bundle = shared_data("real/git/lua-releases.bundle");
    if (!bundle)
        return;
    g_autofree char *folder = g_dir_make_tmp("pandect-test-git-XXXXXX", NULL);
    GIT(folder, "clone", "-q", bundle, "r");
    g_autofree char *clone = g_build_filename(folder, "r", NULL);
    g_autoptr(Collected) c = collect(bundle, NULL, NULL);
    g_assert_no_error(c->error);
    g_autofree char *listed = git(clone, NULL, "ls-tree", "-r", "--name-only", "HEAD", NULL);
    g_auto(GStrv) names = g_strsplit(g_strchomp(listed), "\n", -1);
    guint n_read = 0;
    for (char **name = names; *name; name++) {
        PdDocument *document = collected_find(c, *name);
        if (!document) {
            g_assert_true(collected_says(c, "skipped", *name));
            continue;
        }
        g_autofree char *object = g_strconcat("HEAD:", *name, NULL);
        gsize n;
        g_autofree char *bytes = git(clone, &n, "cat-file", "blob", object, NULL);
        const GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
        g_assert_cmpint(document->raw_bytes, ==, (gint64)n);
        if (g_utf8_validate(bytes, (gssize)n, NULL))
            g_assert_cmpmem(text->str, text->len, bytes, n);
        n_read++;
    }
    g_assert_cmpuint(n_read, >, 50);
    remove_folder(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/git/commit-files", test_commit_files);
    g_test_add_func("/git/revision-and-history", test_revision_and_history);
    g_test_add_func("/git/forms", test_forms);
    g_test_add_func("/git/work-tree-and-known", test_work_tree_and_known);
    g_test_add_func("/git/real-bundle", test_real_bundle);
    return g_test_run();
}
