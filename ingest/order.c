/*
 * The order in which documents stand in a corpus, and so in a prompt.
 *
 * Sources stand as they were added.  Inside one, files come by what a reader wants first (the
 * overview and README, build files, documentation, headers, sources, the rest, tests) and then by
 * path, numbers in names as numbers; what changes with every commit (logs, tags, blame) stands
 * behind the files, so that what was computed for them stays good, and what changed between two
 * commits last; mails come after them by thread, threads by their first mail's date; an attachment
 * follows its mail.  The order is a function of the documents alone, so that a prompt's bytes are
 * the same every time.
 */
#include <string.h>
#include "ingest/corpus_internal.h"
#include "ingest/natural.h"

enum {
    RANK_README,
    RANK_BUILD,
    RANK_DOCUMENTATION,
    RANK_HEADER,
    RANK_SOURCE,
    RANK_OTHER,
    RANK_TEST,
    RANK_LOG,
    RANK_DIFF,
    RANK_MAIL,
};

static gboolean
is_one_of(const char *word, const char *const *list)
{
    return g_strv_contains(list, word);
}

static gboolean
is_test_path(char **components, const char *base)
{
    static const char *const folders[] = {"test",  "tests",     "testing",   "t",        "spec",
                                          "specs", "__tests__", "testsuite", "testdata", NULL};
    for (guint i = 0; components[i] && components[i + 1]; i++)
        if (is_one_of(components[i], folders))
            return TRUE;
    const char *dot = strrchr(base, '.');
    g_autofree char *stem = dot && dot > base ? g_strndup(base, dot - base) : g_strdup(base);
    return g_str_has_prefix(stem, "test_") || g_str_has_suffix(stem, "_test") ||
           g_str_has_suffix(stem, ".test") || g_str_has_suffix(stem, ".spec");
}

/* Of a document that a repository's reader wrote ("(log)/src/a.c", also in a repository inside a
 * folder); -1: it is a file. */
static int
made_up_rank(const char *path)
{
    static const struct {
        const char *name;
        int rank;
    } names[] = {{"(tree)", RANK_README}, {"(history)", RANK_LOG}, {"(tags)", RANK_LOG},
                 {"(log)", RANK_LOG},     {"(blame)", RANK_LOG},   {"(diff)", RANK_DIFF}};
    const char *inner = g_strrstr(path, "!/(");
    const char *own = inner ? inner + 2 : path;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        gsize n = strlen(names[i].name);
        if (strncmp(own, names[i].name, n) == 0 && (!own[n] || own[n] == '/'))
            return names[i].rank;
    }
    return -1;
}

int
pd_order_path_rank(const char *path)
{
    static const char *const build[] = {"makefile",          "gnumakefile",
                                        "cmakelists.txt",    "meson.build",
                                        "meson_options.txt", "meson.options",
                                        "configure.ac",      "configure",
                                        "makefile.am",       "build.gradle",
                                        "build.gradle.kts",  "settings.gradle",
                                        "pom.xml",           "package.json",
                                        "cargo.toml",        "go.mod",
                                        "pyproject.toml",    "setup.py",
                                        "setup.cfg",         "requirements.txt",
                                        "gemfile",           "rakefile",
                                        "dockerfile",        "build.zig",
                                        "build.bazel",       "build",
                                        "workspace",         "justfile",
                                        "dune-project",      NULL};
    static const char *const documentation[] = {"md",   "markdown", "rst", "adoc", "txt", "tex",
                                                "html", "htm",      "pdf", "org",  NULL};
    static const char *const headers[] = {"h",   "hh",  "hpp",   "hxx", "cuh",  "inc",
                                          "mli", "pyi", "proto", "idl", "d.ts", NULL};
    static const char *const sources[] = {
        "c",   "cc",  "cpp",  "cxx", "cu",    "m",    "mm", "rs",  "go",  "py",    "pl",
        "pm",  "rb",  "java", "kt",  "scala", "cs",   "js", "mjs", "ts",  "tsx",   "jsx",
        "lua", "sh",  "bash", "zig", "hs",    "ml",   "ex", "exs", "erl", "swift", "php",
        "r",   "jl",  "sql",  "s",   "asm",   "lisp", "el", "scm", "clj", "vim",   "tcl",
        "f",   "f90", "v",    "sv",  "vhd",   "glsl", "y",  "l",   "d",   "nim",   NULL};
    int made_up = made_up_rank(path);
    if (made_up >= 0)
        return made_up;
    g_autofree char *lower = g_ascii_strdown(path, -1);
    g_auto(GStrv) components = g_strsplit(lower, "/", -1);
    guint n = g_strv_length(components);
    const char *base = n ? components[n - 1] : "";
    const char *dot = strrchr(base, '.');
    const char *extension = dot ? dot + 1 : "";
    if (is_test_path(components, base))
        return RANK_TEST;
    if (g_str_has_prefix(base, "readme"))
        return RANK_README;
    if (is_one_of(base, build) || g_str_equal(extension, "cmake") || g_str_equal(extension, "mk"))
        return RANK_BUILD;
    if (is_one_of(extension, documentation))
        return RANK_DOCUMENTATION;
    if (is_one_of(extension, headers) || g_str_has_suffix(base, ".d.ts"))
        return RANK_HEADER;
    return is_one_of(extension, sources) ? RANK_SOURCE : RANK_OTHER;
}

static char *
source_key(gint64 source_id, const char *key)
{
    return g_strdup_printf("%" G_GINT64_FORMAT "/%s", source_id, key ? key : "");
}

static int
compare_i64(gint64 a, gint64 b)
{
    return (a > b) - (a < b);
}

/* Of two documents of which neither hangs on the other. */
static int
compare_heads(const PdOrderEntry *a, const PdOrderEntry *b)
{
    int by_source = compare_i64(a->row->source_id, b->row->source_id);
    if (by_source)
        return by_source;
    if (a->rank != b->rank)
        return a->rank - b->rank;
    if (a->rank == RANK_MAIL) {
        int by_thread_date = compare_i64(a->thread_date, b->thread_date);
        if (by_thread_date)
            return by_thread_date;
        int by_thread = strcmp(a->thread, b->thread);
        if (by_thread)
            return by_thread;
        int by_date = compare_i64(a->row->date_utc, b->row->date_utc);
        if (by_date)
            return by_date;
        if (a->thread_depth != b->thread_depth)
            return a->thread_depth - b->thread_depth;
    }
    /* The root's README and build files speak for the whole. */
    if (a->rank <= RANK_DOCUMENTATION) {
        int by_depth = (int)pd_path_depth(a->row->key) - (int)pd_path_depth(b->row->key);
        if (by_depth)
            return by_depth;
    }
    int by_key = pd_natural_compare_paths(a->row->key, b->row->key);
    return by_key ? by_key : compare_i64(a->row->id, b->row->id);
}

/* Depth of attachments below a document's head. */
static int
chain(const PdOrderEntry *entry, const PdOrderEntry **links, int n_max)
{
    int n = 0;
    for (const PdOrderEntry *at = entry; at && n < n_max; at = at->parent)
        links[n++] = at;
    return n;
}

#define FAMILY_DEPTH_MAX 16

static int
compare_entries(gconstpointer pa, gconstpointer pb)
{
    const PdOrderEntry *a = *(const PdOrderEntry *const *)pa;
    const PdOrderEntry *b = *(const PdOrderEntry *const *)pb;
    const PdOrderEntry *links_a[FAMILY_DEPTH_MAX], *links_b[FAMILY_DEPTH_MAX];
    int n_a = chain(a, links_a, FAMILY_DEPTH_MAX), n_b = chain(b, links_b, FAMILY_DEPTH_MAX);
    /* From the heads down; a mail stands before what hangs on it. */
    while (n_a > 0 && n_b > 0) {
        const PdOrderEntry *head_a = links_a[--n_a], *head_b = links_b[--n_b];
        if (head_a != head_b)
            return compare_heads(head_a, head_b);
    }
    return n_a - n_b;
}

static void
link_families(GPtrArray *entries)
{
    g_autoptr(GHashTable) by_key = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < entries->len; i++) {
        PdOrderEntry *entry = g_ptr_array_index(entries, i);
        g_hash_table_insert(by_key, source_key(entry->row->source_id, entry->row->key), entry);
    }
    for (guint i = 0; i < entries->len; i++) {
        PdOrderEntry *entry = g_ptr_array_index(entries, i);
        if (!entry->parent_key)
            continue;
        g_autofree char *key = source_key(entry->row->source_id, entry->parent_key);
        PdOrderEntry *parent = g_hash_table_lookup(by_key, key);
        /* A document that names itself or a later descendant as its parent has none. */
        int depth = 0;
        for (PdOrderEntry *at = parent; at && depth <= FAMILY_DEPTH_MAX; at = at->parent)
            depth = at == entry ? FAMILY_DEPTH_MAX + 1 : depth + 1;
        entry->parent = depth < FAMILY_DEPTH_MAX ? parent : NULL;
    }
}

void
pd_order_documents(GPtrArray *entries)
{
    g_autoptr(GPtrArray) mails = g_ptr_array_new();
    for (guint i = 0; i < entries->len; i++) {
        PdOrderEntry *entry = g_ptr_array_index(entries, i);
        gboolean mail = entry->row->kind == PD_KIND_MAIL;
        entry->rank = mail ? RANK_MAIL : pd_order_path_rank(entry->row->key);
        if (mail)
            g_ptr_array_add(mails, entry);
    }
    pd_thread_mails(mails);
    link_families(entries);
    pd_mark_duplicates(entries);
    g_ptr_array_sort(entries, compare_entries);
}
