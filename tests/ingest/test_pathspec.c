/*
 * Patterns of paths against git's own: what `git ls-files -- PATTERN` lists is what is wanted.
 */
#include "collect.h"
#include "ingest/pathspec.h"

#include <glib/gstdio.h>
#include <string.h>

static const char *const paths[] = {
    "README.md",
    "Makefile",
    "a",
    "a.c",
    "src/a.c",
    "src/b.h",
    "src/deep/a.c",
    "src/deep/x",
    "src/deep/er/a.c",
    "srcs/a.c",
    "doc/ch1.txt",
    "doc/ch10.txt",
    "doc/Guide.MD",
    "we[ird]/a.c",
    "sp ace/t.txt",
    "\xC3\xBC/\xC3\xA4.c",
    "*star/f",
    "x/src/a.c",
    "lib/src/deep/q.c",
};

static const char *const patterns[] = {
    ".",
    "src",
    "src/",
    "./src",
    "src/deep",
    "a",
    "a.c",
    "*.c",
    "src/*.c",
    "src*",
    "s?c/a.c",
    "*/a.c",
    "doc/ch?.txt",
    "doc/ch[0-9].*",
    "doc/ch[!2].txt",
    "*deep*",
    "README",
    "*.md",
    ":(icase)*.md",
    ":(icase)SRC",
    ":(glob)*.c",
    ":(glob)src/*.c",
    ":(glob)**/a.c",
    ":(glob)src/**",
    ":(glob)src/**/a.c",
    ":(glob)**/deep/**",
    ":(glob)s*/*",
    ":(literal)*star",
    ":(literal)*.c",
    "we[ird]",
    "we\\[ird\\]/a.c",
    ":(literal)we[ird]/a.c",
    "sp ace",
    ":/src",
    ":(top)doc",
    "\xC3\xBC",
    "\xC3\xBC/*",
    "\\*star/*",
    ":(top,icase,glob)DOC/*.TXT",
    "src//deep/",
    "nothing",
    "a/",
    ":(glob)**/src/**/*.c",
};

static char *
make_repository(void)
{
    char *folder = g_dir_make_tmp("pandect-test-git-XXXXXX", NULL);
    const char *const init[] = {"git", "init", "-q", ".", NULL};
    const char *const add[] = {"git", "--literal-pathspecs", "add", "-A", NULL};
    g_autofree char *made = run_program(folder, init, NULL);
    g_assert_nonnull(made);
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *path = g_build_filename(folder, paths[i], NULL);
        g_autofree char *dir = g_path_get_dirname(path);
        g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
        g_assert_true(g_file_set_contents(path, "x", 1, NULL));
    }
    g_autofree char *added = run_program(folder, add, NULL);
    g_assert_nonnull(added);
    return folder;
}

/* What git lists, one path a line, sorted by git. */
static char *
by_git(const char *folder, const char *pattern, const char *but)
{
    const char *argv[] = {"git", "-c", "core.quotePath=false", "ls-files", "--", pattern,
                          but,   NULL};
    return run_program(folder, argv, NULL);
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char *
by_us(const PdPathspec *pathspec)
{
    g_autoptr(GPtrArray) wanted = g_ptr_array_new();
    GString *list = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (pd_pathspec_wants(pathspec, paths[i]))
            g_ptr_array_add(wanted, (gpointer)paths[i]);
    }
    g_ptr_array_sort(wanted, compare);
    for (guint i = 0; i < wanted->len; i++)
        g_string_append_printf(list, "%s\n", (const char *)g_ptr_array_index(wanted, i));
    return g_string_free(list, FALSE);
}

static void
test_as_git(void)
{
    g_autofree char *program = g_find_program_in_path("git");
    if (!program) {
        g_test_skip("the program git is not installed");
        return;
    }
    g_autofree char *folder = make_repository();
    for (gsize i = 0; i < G_N_ELEMENTS(patterns); i++) {
        const char *include[] = {patterns[i], NULL};
        g_autoptr(GError) error = NULL;
        g_autoptr(PdPathspec) pathspec = pd_pathspec_new(include, NULL, &error);
        g_assert_no_error(error);
        g_autofree char *want = by_git(folder, patterns[i], NULL);
        g_autofree char *got = by_us(pathspec);
        g_test_message("%s", patterns[i]);
        g_assert_cmpstr(got, ==, want);
        /* Everything but that: three ways to say it. */
        const char *but[] = {":(exclude)src/deep", NULL};
        const char *exclude[] = {"src/deep", NULL};
        const char *both[] = {patterns[i], ":!src/deep", NULL};
        g_autoptr(PdPathspec) apart = pd_pathspec_new(include, exclude, &error);
        g_autoptr(PdPathspec) together = pd_pathspec_new(both, NULL, &error);
        g_assert_no_error(error);
        g_autofree char *want_less = by_git(folder, patterns[i], but[0]);
        g_autofree char *got_apart = by_us(apart);
        g_autofree char *got_together = by_us(together);
        g_assert_cmpstr(got_apart, ==, want_less);
        g_assert_cmpstr(got_together, ==, want_less);
    }
    remove_folder(folder);
}

static void
test_all_and_none(void)
{
    static const char *const refused[] = {"",     ":(attr:binary)x", ":(glob,literal)x", ":(icase",
                                          "../x", "a/../../b"};
    g_autoptr(PdPathspec) all = pd_pathspec_new(NULL, NULL, NULL);
    g_assert_true(pd_pathspec_wants_all(all) && pd_pathspec_wants(all, "any/thing"));
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        const char *include[] = {refused[i], NULL};
        g_autoptr(GError) error = NULL;
        g_assert_null(pd_pathspec_new(include, NULL, &error));
        g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
        g_clear_error(&error);
        g_assert_null(pd_pathspec_new(NULL, include, &error));
        g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pathspec/as-git", test_as_git);
    g_test_add_func("/pathspec/all-and-none", test_all_and_none);
    return g_test_run();
}
