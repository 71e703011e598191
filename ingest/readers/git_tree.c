/*
 * The document "(tree)": what folders and files there are, so that a model sees the shape of the
 * whole before it sees any of it.
 *
 * A line a folder (its whole path) and a line a file below it (its name, indented).  What does not
 * fit the lines allowed is summed up in the line of its folder, deepest folders first; at the end
 * the rest is only counted.  No sizes, no commit: the text changes only when a file comes or goes.
 */
#include "ingest/readers/git.h"

#include <string.h>

#include "ingest/natural.h"

static gsize
folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (gsize)(slash - path) : 0;
}

/* The files of a folder before those of the folders in it. */
static gint
by_folder(gconstpointer pa, gconstpointer pb)
{
    const char *a = *(const char *const *)pa, *b = *(const char *const *)pb;
    g_autofree char *folder_a = g_strndup(a, folder_length(a));
    g_autofree char *folder_b = g_strndup(b, folder_length(b));
    int by_folder = pd_natural_compare_paths(folder_a, folder_b);
    return by_folder ? by_folder : pd_natural_compare_paths(a, b);
}

/* The folder of a path, at most `depth` levels of it: how many bytes. */
static gsize
shown_folder(const char *path, guint depth)
{
    gsize n = folder_length(path);
    for (gsize i = 0; i < n; i++) {
        if (path[i] == '/' && depth-- == 1)
            return i;
    }
    return depth ? n : 0;
}

static gboolean
same_folder(const char *a, gsize n_a, const char *b, gsize n_b)
{
    return n_a == n_b && memcmp(a, b, n_a) == 0;
}

/* Lines if files down to `depth` levels of folders are shown. */
static guint
count_lines(const GPtrArray *paths, guint depth)
{
    guint n = 0;
    const char *last = "";
    gsize n_last = 0;
    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        gsize n_folder = shown_folder(path, depth);
        n += pd_path_depth(path) <= depth;
        n += n_folder && !same_folder(path, n_folder, last, n_last);
        last = path;
        n_last = n_folder;
    }
    return n;
}

/* "src/lib/ (12 files, 3 below)" */
static void
append_folder(GString *out, const GPtrArray *paths, guint first, gsize n_folder, guint depth)
{
    const char *folder = g_ptr_array_index(paths, first);
    guint n_shown = 0, n_deeper = 0;
    for (guint i = first; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        if (!same_folder(path, shown_folder(path, depth), folder, n_folder))
            break;
        *(pd_path_depth(path) <= depth ? &n_shown : &n_deeper) += 1;
    }
    g_autofree char *name = g_strndup(folder, n_folder);
    g_autofree char *quoted = pd_git_quote_path(name);
    g_string_append_printf(out, "%s/ (", quoted);
    if (n_shown)
        g_string_append_printf(out, "%u %s", n_shown, n_shown == 1 ? "file" : "files");
    if (n_deeper)
        g_string_append_printf(out, "%s%u in folders below that are not shown", n_shown ? ", " : "",
                               n_deeper);
    g_string_append(out, ")\n");
}

/* FALSE: not all of it is in as many lines. */
static gboolean
append_tree(GString *out, const GPtrArray *paths, guint depth, guint lines_max)
{
    const char *last = "";
    gsize n_last = 0;
    guint n_lines = 0;
    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        gsize n_folder = shown_folder(path, depth);
        if (n_lines >= lines_max) {
            g_string_append_printf(out, "and %u more\n", paths->len - i);
            return FALSE;
        }
        if (n_folder && !same_folder(path, n_folder, last, n_last)) {
            append_folder(out, paths, i, n_folder, depth);
            n_lines++;
        }
        last = path;
        n_last = n_folder;
        if (pd_path_depth(path) > depth)
            continue;
        n_lines++;
        g_autofree char *name = pd_git_quote_path(path + (n_folder ? n_folder + 1 : 0));
        g_string_append_printf(out, "%s%s\n", n_folder ? "  " : "", name);
    }
    return TRUE;
}

gboolean
pd_git_emit_tree(PdGit *git, GError **error)
{
    static const char key[] = "(tree)";
    g_autoptr(PdDocument) document = pd_git_document(git, key, "", "files");
    g_autoptr(GPtrArray) paths = g_ptr_array_new();
    GString *text = ((PdPart *)g_ptr_array_index(document->parts, 0))->text;
    gboolean wanted;
    guint depth = 0, depth_whole, lines_max = git->request->limits.git_tree_lines_max;
    if (!git->entries->len)
        return TRUE;
    if (!pd_git_begin(git, key, &wanted, error))
        return FALSE;
    if (!wanted)
        return TRUE;
    for (guint i = 0; i < git->entries->len; i++) {
        char *path = g_array_index(git->entries, PdGitEntry, i).path;
        g_ptr_array_add(paths, path);
        depth = MAX(depth, pd_path_depth(path));
    }
    g_ptr_array_sort(paths, by_folder);
    depth_whole = depth;
    while (depth > 1 && count_lines(paths, depth) > lines_max)
        depth--;
    g_string_append_printf(text, "%u %s\n\n", paths->len, paths->len == 1 ? "file" : "files");
    gboolean whole = append_tree(text, paths, depth, lines_max) && depth == depth_whole;
    if (!whole && !pd_emit_ledger(git->emitter, "note", key, -1, error,
                                  "not all of its folders are listed one by one: it would be more "
                                  "than the limit of %u lines",
                                  lines_max))
        return FALSE;
    return pd_git_emit_document(git, document, error);
}
