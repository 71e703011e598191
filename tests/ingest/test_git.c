/*
 * The git reader against git itself: paths as ls-tree lists them, bytes as cat-file gives them,
 * changes, logs and blame as git diff, log and blame show them.
 */
#include "collect.h"
#include "ingest/diff_place.h"

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

/* What a limit leaves out is told. */
static void
test_limits(void)
{
    PdReadLimits limits = pd_read_limits_default;
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    limits.git_files_max = 3;
    limits.git_commits_max = 1;
    g_autoptr(Collected) few = collect(folder, NULL, &limits);
    g_assert_no_error(few->error);
    g_assert_true(collected_says(few, "skipped", "limit: more than 200 levels or 3 files"));
    g_assert_true(collected_says(few, "(history)", "the last 1 commits of a longer history"));
    const PdReadRequest as_it_lies = {.work_tree = TRUE, .ocr = PD_OCR_OFF};
    g_autoptr(Collected) lying = collect(folder, &as_it_lies, &limits);
    g_assert_true(collected_says(lying, "skipped", "limit: more than 200 levels or 3 files"));
    limits = pd_read_limits_default;
    limits.git_depth_max = 0;
    g_autoptr(Collected) flat = collect(folder, NULL, &limits);
    g_assert_true(collected_says(flat, "skipped src", "limit: more than 0 levels"));
    g_assert_nonnull(collected_find(flat, "a.txt"));
    g_assert_null(collected_find(flat, "src/b.c"));
    remove_folder(folder);
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
    /* What git lists, and the tree, the history and the tags. */
    g_autofree char *listed = git(folder, NULL, "ls-tree", "-r", "--name-only", "HEAD", NULL);
    g_auto(GStrv) names = g_strsplit(g_strchomp(listed), "\n", -1);
    g_assert_cmpuint(c->n_found, ==, g_strv_length(names) + 3);

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
    /* Of all files, the overview: folders with what lies in them. */
    g_assert_cmpstr(text_of(now, "(tree)"), ==,
                    "8 files\n\n.gitattributes\na.txt\ngen.c\nimage.bin\nlatin.txt\n"
                    "node_modules/ (1 file)\n  x.js\nsrc/ (1 file)\n  b.c\n"
                    "vendor/ (1 file)\n  ok.c\n");
    g_assert_cmpstr(text_of(old, "(tree)"), ==, text_of(now, "(tree)"));
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

/* --- what is said about files ------------------------------------------------------------------
 */

/* A second branch that a merge brings in, a file that moves, one that goes, tags. */
static char *
make_history(void)
{
    char *folder = make_repository();
    g_autoptr(GString) many = g_string_new(NULL);
    for (int i = 0; i < 60; i++)
        g_string_append_printf(many, "line %d of many\n", i);
    put(folder, "many.txt", many->str, -1);
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "Third: many lines");
    GIT(folder, "tag", "-a", "v2", "-m", "Second release\n\nWith many lines.");
    GIT(folder, "checkout", "-q", "-b", "side", "v1");
    put(folder, "side.txt", "from the side\n", -1);
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "Aside");
    GIT(folder, "checkout", "-q", "main");
    GIT(folder, "merge", "-q", "--no-ff", "-m", "Merge side", "side");
    g_string_insert(many, 0, "a new first line\n");
    g_string_replace(many, "line 30 of many\n", "line thirty\nand one more\n", 1);
    g_string_replace(many, "line 45 of many\n", "", 1);
    put(folder, "many.txt", many->str, -1);
    GIT(folder, "mv", "src/b.c", "src/moved.c");
    GIT(folder, "rm", "-q", "latin.txt");
    put(folder, "image.bin", "a\0c", 3);
    put(folder, "new.txt", "brand new\nno end", -1);
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "Fourth: much at once");
    return folder;
}

/* The n-th line (from 1) of a text, without its end. */
static char *
line_of(const char *text, guint64 n)
{
    for (; n > 1; n--) {
        text = strchr(text, '\n');
        g_assert_nonnull(text);
        text++;
    }
    return g_strndup(text, strcspn(text, "\n"));
}

/* Every line of a change is the line of the file that it is said to be. */
static void
check_lines(const char *folder, const char *patch, const char *path)
{
    g_autofree char *old_name = g_strconcat("v2:", path, NULL);
    g_autofree char *new_name = g_strconcat("main:", path, NULL);
    g_autofree char *old = git(folder, NULL, "cat-file", "blob", old_name, NULL);
    g_autofree char *new = git(folder, NULL, "cat-file", "blob", new_name, NULL);
    gsize n = strlen(patch);
    guint n_checked = 0;
    for (const char *line = strstr(patch, "\n@@") + 1; line < patch + n;) {
        gsize length = strcspn(line, "\n");
        gsize start = (gsize)(line - patch);
        PdDiffLines lines = pd_diff_lines(patch, n, start, start + length);
        g_autofree char *text = g_strndup(line + 1, length - 1);
        gboolean mark = *line == '@' || *line == '\\';
        g_assert_cmpint(lines.old_first != 0, ==, !mark && *line != '+');
        g_assert_cmpint(lines.new_first != 0, ==, !mark && *line != '-');
        if (lines.old_first) {
            g_autofree char *want = line_of(old, lines.old_first);
            g_assert_cmpstr(text, ==, want);
        }
        if (lines.new_first) {
            g_autofree char *want = line_of(new, lines.new_first);
            g_assert_cmpstr(text, ==, want);
        }
        n_checked += !mark;
        line += length + 1;
    }
    g_assert_cmpuint(n_checked, >, 10);
}

static void
test_diff(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_history();
    PdReadRequest options = {.git_diff = "v2..main"};
    g_autoptr(Collected) c = collect(folder, &options, NULL);
    g_assert_no_error(c->error);
    g_assert_nonnull(collected_find(c, "many.txt"));
    static const char *const paths[] = {"many.txt",  "new.txt",   "src/moved.c",
                                        "latin.txt", "image.bin", "side.txt"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *key = g_strconcat("(diff)/", paths[i], NULL);
        const char *old = strcmp(paths[i], "src/moved.c") == 0 ? "src/b.c" : paths[i];
        g_autofree char *want =
            git(folder, NULL, "diff", "--abbrev=7", "-M", "v2", "main", "--", paths[i], old, NULL);
        if (strcmp(paths[i], "latin.txt") != 0) { /* which is in another encoding */
            g_assert_cmpstr(text_of(c, key), ==, want);
        } else {
            g_assert_nonnull(strstr(text_of(c, key), "-Größe der Tür, schön\n"));
        }
    }
    check_lines(folder, text_of(c, "(diff)/many.txt"), "many.txt");
    /* The commits of the range, in git's order. */
    g_autofree char *ids = git(folder, NULL, "log", "--format=commit %H", "v2..main", NULL);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(ids), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    const char *at = text_of(c, "(diff)");
    for (char **line = lines; *line; line++) {
        at = strstr(at, *line);
        g_assert_nonnull(at);
    }
    g_assert_null(strstr(text_of(c, "(diff)"), "Third: many lines"));
    PdDocument *document = collected_find(c, "(diff)/many.txt");
    g_autofree char *ends = git(folder, NULL, "rev-parse", "v2^{commit}", "main", NULL);
    g_strdelimit(g_strchomp(ends), "\n", '.');
    g_auto(GStrv) both = g_strsplit(ends, ".", 2);
    g_autofree char *range = g_strjoinv("..", both);
    g_assert_cmpstr(((PdPart *)document->parts->pdata[0])->label, ==, range);
    g_assert_cmpstr(document->revision, ==, both[1]);
    remove_folder(folder);
}

static void
test_diff_ranges(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_history();
    /* Against what both have in common; and only that. */
    PdReadRequest options = {.git_diff = "main...side", .git_diff_only = TRUE};
    g_autoptr(Collected) common = collect(folder, &options, NULL);
    g_assert_no_error(common->error);
    g_assert_null(collected_find(common, "a.txt"));
    g_assert_cmpuint(common->documents->len, ==, 1); /* side is in main */
    options.git_diff = "side~1";
    options.exclude = (const char *const[]){"many.txt", NULL};
    g_autoptr(Collected) alone = collect(folder, &options, NULL);
    g_assert_no_error(alone->error);
    g_autofree char *listed = git(folder, NULL, "diff", "--name-only", "-M", "v1", "HEAD", NULL);
    g_auto(GStrv) names = g_strsplit(g_strchomp(listed), "\n", -1);
    g_assert_true(g_strv_contains((const char *const *)names, "many.txt"));
    g_assert_cmpuint(alone->documents->len, ==, g_strv_length(names)); /* less one, and (diff) */
    options.git_diff = "v2..nowhere";
    g_autoptr(Collected) none = collect(folder, &options, NULL);
    g_assert_error(none->error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(none->error->message, "\"nowhere\""));
    options.git_diff = "side...orphan";
    GIT(folder, "checkout", "-q", "--orphan", "orphan");
    GIT(folder, "commit", "-q", "-m", "Without a past");
    g_autoptr(Collected) apart = collect(folder, &options, NULL);
    g_assert_error(apart->error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    remove_folder(folder);
}

/* The ids after "commit " in a text, one a line. */
static char *
commits_in(const char *text)
{
    GString *ids = g_string_new(NULL);
    for (; (text = strstr(text, "commit ")) != NULL; text += 47)
        g_string_append_printf(ids, "%.40s\n", text + 7);
    return g_string_free(ids, FALSE);
}

/* "lines 3-5: 3f2c1ab, ..." of every line, as git blame -s prints it: "3f2c1ab". */
static char *
commits_of_lines(const char *blame)
{
    GString *ids = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(strstr(blame, "\n\n") + 2, "\n", -1);
    guint64 expected = 1;
    for (char **line = lines; **line; line++) {
        char *at = strchr(*line, ' ');
        g_assert_true(g_str_has_prefix(*line, "line"));
        guint64 first = g_ascii_strtoull(at, &at, 10);
        guint64 last = *at == '-' ? g_ascii_strtoull(at + 1, &at, 10) : first;
        g_assert_true(g_str_has_prefix(at, ": "));
        g_assert_cmpuint(first, ==, expected);
        for (; expected <= last; expected++)
            g_string_append_printf(ids, "%.7s\n", at + 2);
    }
    return g_string_free(ids, FALSE);
}

static void
test_logs_and_blame(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_history();
    PdReadRequest options = {.git_history = TRUE, .git_blame = TRUE};
    g_autoptr(Collected) c = collect(folder, &options, NULL);
    g_assert_no_error(c->error);
    static const char *const paths[] = {"a.txt", "many.txt", "side.txt", "src/moved.c"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *log_key = g_strconcat("(log)/", paths[i], NULL);
        g_autofree char *blame_key = g_strconcat("(blame)/", paths[i], NULL);
        g_autofree char *want_log = git(folder, NULL, "log", "--follow", "--no-merges",
                                        "--format=%H", "--", paths[i], NULL);
        g_autofree char *log = commits_in(text_of(c, log_key));
        g_assert_cmpstr(log, ==, want_log);
        g_autofree char *blamed =
            git(folder, NULL, "blame", "-s", "--abbrev=6", "--root", "--", paths[i], NULL);
        g_auto(GStrv) lines = g_strsplit(blamed, "\n", -1);
        g_autoptr(GString) want_blame = g_string_new(NULL);
        for (char **line = lines; **line; line++)
            g_string_append_printf(want_blame, "%.7s\n", *line);
        g_autofree char *blame = commits_of_lines(text_of(c, blame_key));
        g_assert_cmpstr(blame, ==, want_blame->str);
    }
    g_assert_nonnull(strstr(text_of(c, "(blame)/many.txt"), "Third: many lines\n"));
    g_assert_nonnull(strstr(text_of(c, "(blame)/many.txt"), "Ann Reed: a new first line\n"));
    g_assert_null(collected_find(c, "(blame)/image.bin"));
    /* Of the work tree: what is not committed says so. */
    put(folder, "a.txt", "zero\ntwo\n", -1);
    options.work_tree = TRUE;
    g_autoptr(Collected) tree = collect(folder, &options, NULL);
    g_assert_nonnull(
        strstr(text_of(tree, "(blame)/a.txt"), "\nline 1: not committed: zero\nline 2: "));
    remove_folder(folder);
}

/* Twelve lines that no other file has; the first of them as said. */
static void
put_lines(const char *folder, const char *name, const char *word, const char *first)
{
    g_autoptr(GString) text = g_string_new(first);
    for (int i = 0; i < 12; i++)
        g_string_append_printf(text, "\n%s %d: %s of %s\n", word, i * 7919, word, word);
    put(folder, name, text->str, -1);
}

static void
commit_all(const char *folder, const char *message)
{
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", message);
}

/* Files are followed through their names, as git does it. */
static void
test_renames(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    put_lines(folder, "one.txt", "alder", "1");
    put_lines(folder, "lib/x.c", "birch", "1");
    put_lines(folder, "lib/y.c", "cedar", "1");
    commit_all(folder, "Begin");
    GIT(folder, "mv", "one.txt", "two.txt");
    put_lines(folder, "two.txt", "alder", "2"); /* and changed */
    GIT(folder, "mv", "lib", "code");           /* a folder */
    commit_all(folder, "Move");
    put_lines(folder, "two.txt", "alder", "3");
    put_lines(folder, "one.txt", "elm", "another file of the old name");
    commit_all(folder, "Again");
    /* Two change places by a third name. */
    GIT(folder, "mv", "code/x.c", "code/z.c");
    GIT(folder, "mv", "code/y.c", "code/x.c");
    commit_all(folder, "Turn");
    GIT(folder, "mv", "two.txt", "three.txt");
    commit_all(folder, "Last");
    PdReadRequest options = {.git_history = TRUE};
    g_autoptr(Collected) c = collect(folder, &options, NULL);
    g_assert_no_error(c->error);
    static const char *const paths[] = {"one.txt", "code/x.c", "code/z.c", "three.txt"};
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *key = g_strconcat("(log)/", paths[i], NULL);
        g_autofree char *want =
            git(folder, NULL, "log", "--follow", "--format=%H", "--", paths[i], NULL);
        g_autofree char *log = commits_in(text_of(c, key));
        g_assert_cmpstr(log, ==, want);
    }
    const char *three = text_of(c, "(log)/three.txt");
    const char *last = strstr(three, "\nRenamed from: two.txt\n\n    Last\n");
    g_assert_nonnull(last);
    g_assert_nonnull(strstr(last, "\nRenamed from: one.txt\n\n    Move\n"));
    g_assert_nonnull(strstr(text_of(c, "(log)/code/x.c"), "\nRenamed from: lib/x.c\n"));
    g_assert_nonnull(strstr(text_of(c, "(log)/code/z.c"), "\nCopied from: code/x.c\n"));
    g_assert_null(strstr(text_of(c, "(log)/one.txt"), " from: "));
    /* Too much at once: said, and the log ends there. */
    PdReadLimits limits = pd_read_limits_default;
    limits.git_renamed_files_max = 5;
    g_autoptr(Collected) cut = collect(folder, &options, &limits);
    g_assert_true(collected_says(cut, "note", "in 1 commits renames were not looked for"));
    g_assert_null(strstr(text_of(cut, "(log)/three.txt"), "    Begin\n"));
    remove_folder(folder);
}

static void
test_tags(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_history();
    g_autofree char *v1 = git(folder, NULL, "rev-parse", "v1", NULL);
    g_autofree char *v2 = git(folder, NULL, "rev-parse", "v2^{commit}", NULL);
    g_autofree char *blob = git(folder, NULL, "rev-parse", "main:a.txt", NULL);
    GIT(folder, "tag", "of-a-file", g_strchomp(blob));
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    const char *text = text_of(c, "(tags)");
    const char *second = strstr(text, "tag v2\n"), *first = strstr(text, "tag v1\n");
    g_autofree char *named =
        g_strdup_printf("tag v2\ncommit %sTagger: Ann Reed <ann@example.org>\n", v2);
    g_autofree char *plain = g_strdup_printf("tag v1\ncommit %s\n", v1);
    g_assert_true(second && g_str_has_prefix(second, named));
    g_assert_true(first && g_str_has_prefix(first, plain));
    g_assert_nonnull(strstr(second, "\n\n    Second release\n\n    With many lines.\n\n"));
    g_assert_null(strstr(text, "of-a-file"));
    remove_folder(folder);
}

static void
test_patterns(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_history();
    g_autofree char *above = g_dir_make_tmp("pandect-test-git-XXXXXX", NULL);
    g_autofree char *inner = g_build_filename(above, "inner", NULL);
    PdReadRequest options = {.include = (const char *const[]){"*.txt", "src", NULL},
                             .exclude = (const char *const[]){"m*", NULL}};
    g_autoptr(Collected) c = collect(folder, &options, NULL);
    g_autofree char *listed =
        git(folder, NULL, "ls-files", "--", "*.txt", "src", ":(exclude)m*", NULL);
    g_auto(GStrv) names = g_strsplit(g_strchomp(listed), "\n", -1);
    guint n_files = 0;
    for (guint i = 0; i < c->documents->len; i++) {
        const char *key = ((PdDocument *)c->documents->pdata[i])->key;
        n_files += *key != '(';
        g_assert_true(*key == '(' || g_strv_contains((const char *const *)names, key));
    }
    g_assert_cmpuint(n_files, ==, g_strv_length(names));
    g_assert_true(collected_says(c, "note", "files were not asked for"));
    /* Patterns start at the source, also for a repository in a folder. */
    GIT(folder, "clone", "-q", ".", inner);
    put(above, "a.txt", "outside\n", -1);
    put(above, "b.md", "outside\n", -1);
    options.include = (const char *const[]){"inner/src", "*.md", NULL};
    g_autoptr(Collected) both = collect(above, &options, NULL);
    g_assert_nonnull(collected_find(both, "inner!/src/moved.c"));
    g_assert_null(collected_find(both, "inner!/a.txt"));
    g_assert_nonnull(collected_find(both, "b.md"));
    g_assert_null(collected_find(both, "a.txt"));
    options.include = (const char *const[]){":(nonsense)x", NULL};
    g_autoptr(Collected) bad = collect(folder, &options, NULL);
    g_assert_error(bad->error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
    remove_folder(above);
    remove_folder(folder);
}

/* What is no text is read by the reader of its kind, and says which commit it is of. */
static void
test_other_kinds(void)
{
    static const char pdf[] =
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        "/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
        "4 0 obj<</Length 42>>stream\nBT /F 12 Tf 100 700 Td (Rent is 410.) Tj ET\nendstream "
        "endobj\n"
        "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
        "trailer<</Root 1 0 R>>\n";
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    g_autofree char *zip = g_build_filename(PD_SOURCE_ROOT, "tests/golden/archive/case.zip", NULL);
    put(folder, "log.txt", "packed words\n", -1);
    const char *const gzip[] = {"gzip", "-n", "log.txt", NULL};
    g_autofree char *packed = run_program(folder, gzip, NULL);
    g_assert_nonnull(packed);
    put(folder, "lease.pdf", pdf, -1);
    put(folder, "made.c", "static const char head[] = \"%PDF-1.4\";\n", -1);
    put(folder, "fix.patch",
        "From 1234 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.org>\nSubject: x\n\n", -1);
    put(folder, "page.html", "<html><p>Not unwrapped</p></html>\n", -1);
    put(folder, ".gitattributes", "*.pdf binary\nblob binary\n", -1);
    put(folder, "blob", "text, says who?\n", -1);
    const char *const copy[] = {"cp", zip, "box.zip", NULL};
    g_free(run_program(folder, copy, NULL));
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "Kinds");
    g_autofree char *head = git(folder, NULL, "rev-parse", "HEAD", NULL);
    g_strchomp(head);
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    static const struct {
        const char *key;
        PdDocumentKind kind;
        const char *text;
    } want[] = {
        {"log.txt.gz", PD_KIND_TEXT, "packed words\n"},
        {"lease.pdf", PD_KIND_PDF, "Rent is 410.\n"},
        {"box.zip!/notes.txt", PD_KIND_TEXT, "Tide notes.\nGauge 4 was moved on 12 May.\n"},
        {"made.c", PD_KIND_GIT_FILE, "static const char head[] = \"%PDF-1.4\";\n"},
        {"page.html", PD_KIND_GIT_FILE, "<html><p>Not unwrapped</p></html>\n"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(want); i++) {
        const PdDocument *document = collected_find(c, want[i].key);
        g_assert_nonnull(document);
        g_assert_cmpint(document->kind, ==, want[i].kind);
        g_assert_cmpstr(text_of(c, want[i].key), ==, want[i].text);
        g_assert_cmpstr(document->revision, ==, head);
    }
    g_assert_cmpint(collected_find(c, "fix.patch")->kind, ==, PD_KIND_GIT_FILE);
    g_assert_true(collected_says(c, "skipped blob", "binary (attribute)"));
    PdReadRequest options = {.work_tree = TRUE};
    put(folder, "lease.pdf", "%PDF-1.4 changed", -1);
    g_autoptr(Collected) tree = collect(folder, &options, NULL);
    g_assert_true(collected_says(tree, "lease.pdf", "damaged"));
    remove_folder(folder);
}

/* What is in the tree and is no file of it. */
static void
test_not_files(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    g_autofree char *other = make_repository();
    g_autofree char *head = git(other, NULL, "rev-parse", "HEAD", NULL);
    g_autofree char *cacheinfo = g_strdup_printf("160000,%s,sub", g_strchomp(head));
    put(folder, "big.bin",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", -1);
    g_autofree char *link = g_build_filename(folder, "link", NULL);
    g_autoptr(GFile) file = g_file_new_for_path(link);
    g_assert_true(g_file_make_symbolic_link(file, "/etc/passwd", NULL, NULL));
    GIT(folder, "add", "-A");
    GIT(folder, "update-index", "--add", "--cacheinfo", cacheinfo);
    GIT(folder, "commit", "-q", "-m", "Odd ones");
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_true(collected_says(c, "skipped sub: submodule at commit", head));
    g_assert_true(collected_says(c, "skipped link", "symbolic link to \"/etc/passwd\""));
    g_assert_true(collected_says(c, "skipped big.bin", "Git LFS pointer: the file itself (12345"));
    remove_folder(other);
    remove_folder(folder);
}

static void
test_sha256(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = g_dir_make_tmp("pandect-test-git-XXXXXX", NULL);
    GIT(folder, "init", "-q", "--object-format=sha256", ".");
    put(folder, "a.txt", "a\n", -1);
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "With longer names");
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_error(c->error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(c->error->message, "SHA-256"));
    remove_folder(folder);
}

/* A folder of many files is told in as many lines as there is room for. */
static void
test_large_tree(void)
{
    if (!have_git())
        return;
    g_autofree char *folder = make_repository();
    for (int i = 0; i < 1600; i++) {
        g_autofree char *name = g_strdup_printf("deep/down/f%d", i);
        g_autofree char *flat = g_strdup_printf("flat/f%d", i);
        put(folder, name, "x\n", -1);
        if (i < 300)
            put(folder, flat, "x\n", -1);
    }
    GIT(folder, "add", "-A");
    GIT(folder, "commit", "-q", "-m", "Many");
    PdReadRequest options = {.include = (const char *const[]){"deep", "flat", NULL}};
    g_autoptr(Collected) c = collect(folder, &options, NULL);
    const char *text = text_of(c, "(tree)");
    g_assert_true(g_str_has_prefix(
        text, "1900 files\n\ndeep/ (1600 in folders below that are not shown)\nflat/ (300 files)\n"
              "  f0\n  f1\n  f2\n"));
    options.include = (const char *const[]){"deep", NULL};
    g_autoptr(Collected) one = collect(folder, &options, NULL);
    g_assert_true(g_str_has_suffix(text_of(one, "(tree)"), "not shown)\n"));
    GIT(folder, "mv", "deep/down", "down");
    GIT(folder, "commit", "-q", "-m", "Up");
    options.include = (const char *const[]){"down", NULL};
    g_autoptr(Collected) flat = collect(folder, &options, NULL);
    g_assert_true(g_str_has_suffix(text_of(flat, "(tree)"), "  f1498\nand 101 more\n"));
    g_assert_true(collected_says(flat, "note (tree): ", "the limit of 1500 lines"));
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
    g_test_add_func("/git/limits", test_limits);
    g_test_add_func("/git/commit-files", test_commit_files);
    g_test_add_func("/git/revision-and-history", test_revision_and_history);
    g_test_add_func("/git/forms", test_forms);
    g_test_add_func("/git/work-tree-and-known", test_work_tree_and_known);
    g_test_add_func("/git/diff", test_diff);
    g_test_add_func("/git/diff-ranges", test_diff_ranges);
    g_test_add_func("/git/logs-and-blame", test_logs_and_blame);
    g_test_add_func("/git/renames", test_renames);
    g_test_add_func("/git/tags", test_tags);
    g_test_add_func("/git/patterns", test_patterns);
    g_test_add_func("/git/other-kinds", test_other_kinds);
    g_test_add_func("/git/not-files", test_not_files);
    g_test_add_func("/git/sha256", test_sha256);
    g_test_add_func("/git/large-tree", test_large_tree);
    g_test_add_func("/git/real-bundle", test_real_bundle);
    return g_test_run();
}
