/*
 * The partial file: append and hash in one go, so that the end of a fetch is also the end of its
 * check.  Its bytes are always a beginning of the wanted file, whichever source they came from; so
 * every source may go on from there, and the hash at the end judges all of them.
 */
#include "engine/model_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"

#define CHUNK_BYTES (1 << 20)

static gboolean
fail_io(PdPull *pull, GError **error)
{
    const int why = errno;
    g_autofree char *missing = g_format_size(pull->entry->n_bytes - pull->n_bytes);

    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: %s%s%s", pull->partial_path,
                g_strerror(why), why == ENOSPC ? "; still to come: " : "",
                why == ENOSPC ? missing : "");
    return FALSE;
}

void
pd_pull_stage(PdPull *pull, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_free(pull->stage);
    pull->stage = g_strdup_vprintf(format, args);
    va_end(args);
    pd_pull_report(pull);
}

void
pd_pull_report(PdPull *pull)
{
    if (pull->progress && pull->stage)
        pull->progress(pull->stage, pull->n_bytes, pull->entry->n_bytes, pull->user_data);
}

gboolean
pd_pull_check_cancelled(PdPull *pull, GError **error)
{
    if (!g_cancellable_is_cancelled(pull->cancellable))
        return TRUE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED,
                "interrupted; what has arrived is kept, the same command goes on from there");
    return FALSE;
}

gboolean
pd_pull_hash(PdPull *pull, guint64 n_bytes, GError **error)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);

    g_clear_pointer(&pull->hash, g_checksum_free);
    pull->hash = g_checksum_new(G_CHECKSUM_SHA256);
    pull->n_bytes = 0;
    while (pull->n_bytes < n_bytes) {
        gsize want = MIN(n_bytes - pull->n_bytes, CHUNK_BYTES);
        ssize_t got = pread(pull->fd, chunk, want, (off_t)pull->n_bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO;
        if (got <= 0)
            return fail_io(pull, error);
        if (!pd_pull_check_cancelled(pull, error))
            return FALSE;
        g_checksum_update(pull->hash, chunk, got);
        pull->n_bytes += got;
        pd_pull_report(pull);
    }
    return TRUE;
}

static void
load_info(PdPull *pull)
{
    g_autoptr(GKeyFile) keys = g_key_file_new();

    if (!g_key_file_load_from_file(keys, pull->info_path, G_KEY_FILE_NONE, NULL))
        return;
    pull->etag = g_key_file_get_string(keys, "partial", "etag", NULL);
    pull->n_parts = (guint)MAX(0, g_key_file_get_integer(keys, "partial", "n_parts", NULL));
    pull->part_bytes = g_key_file_get_uint64(keys, "partial", "part_bytes", NULL);
}

gboolean
pd_pull_save_info(PdPull *pull, GError **error)
{
    g_autoptr(GKeyFile) keys = g_key_file_new();
    g_autoptr(GError) cause = NULL;

    if (pull->etag)
        g_key_file_set_string(keys, "partial", "etag", pull->etag);
    g_key_file_set_integer(keys, "partial", "n_parts", (gint)pull->n_parts);
    g_key_file_set_uint64(keys, "partial", "part_bytes", pull->part_bytes);
    if (!g_key_file_save_to_file(keys, pull->info_path, &cause)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: %s", pull->info_path,
                    cause->message);
        return FALSE;
    }
    return TRUE;
}

gboolean
pd_pull_open(PdPull *pull, GError **error)
{
    off_t size;

    pull->fd = open(pull->partial_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (pull->fd < 0)
        return fail_io(pull, error);
    size = lseek(pull->fd, 0, SEEK_END);
    load_info(pull);
    /* Longer than the wanted file, or shorter than what was joined: no beginning of it. */
    if ((guint64)size > pull->entry->n_bytes || (guint64)size < pull->part_bytes)
        return pd_pull_cut(pull, 0, error);
    return pd_pull_hash(pull, (guint64)size, error);
}

void
pd_pull_clear(PdPull *pull)
{
    if (pull->fd >= 0)
        close(pull->fd);
    g_free(pull->path);
    g_free(pull->partial_path);
    g_free(pull->info_path);
    g_free(pull->etag);
    g_free(pull->stage);
    g_clear_pointer(&pull->hash, g_checksum_free);
}

gboolean
pd_pull_append(PdPull *pull, const void *data, gsize n, GError **error)
{
    const guint8 *p = data;

    if (n > pull->entry->n_bytes - pull->n_bytes) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                    "more than the %" G_GUINT64_FORMAT " bytes expected", pull->entry->n_bytes);
        return FALSE;
    }
    while (n > 0) {
        ssize_t written = pwrite(pull->fd, p, n, (off_t)pull->n_bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_io(pull, error);
        g_checksum_update(pull->hash, p, written);
        pull->n_bytes += written;
        p += written;
        n -= written;
    }
    pd_pull_report(pull);
    return TRUE;
}

gboolean
pd_pull_cut(PdPull *pull, guint64 n_bytes, GError **error)
{
    if (ftruncate(pull->fd, (off_t)n_bytes) != 0)
        return fail_io(pull, error);
    if (n_bytes < pull->part_bytes) {
        pull->n_parts = 0;
        pull->part_bytes = 0;
    }
    return pd_pull_hash(pull, n_bytes, error);
}

gboolean
pd_pull_check_room(PdPull *pull, guint64 n_extra, GError **error)
{
    const guint64 needed = pull->entry->n_bytes - pull->n_bytes + n_extra;
    g_autofree char *dir = g_path_get_dirname(pull->path);
    struct statvfs fs;
    guint64 room;

    if (statvfs(dir, &fs) != 0) /* unknown: the writes will tell */
        return TRUE;
    room = (guint64)fs.f_bavail * fs.f_frsize;
    if (room < needed) {
        g_autofree char *have = g_format_size(room);
        g_autofree char *want = g_format_size(needed);
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO,
                    "%s has %s free, %s needs %s; make room, or choose another place with "
                    "XDG_CACHE_HOME",
                    dir, have, pull->entry->name, want);
        return FALSE;
    }
    return TRUE;
}
