/* See spool.h.  The file's position is of no account: readers are given it from its start. */
#include "ingest/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/error.h"

/* More than this goes to the disk. */
#define MEMORY_BYTES_MAX (64u << 20)

static gboolean
fail(GError **error, const char *where)
{
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "cannot hand over a file%s: %s", where,
                g_strerror(errno));
    return FALSE;
}

static gboolean
write_all(int fd, const guint8 *bytes, gsize n)
{
    while (n) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return FALSE;
        bytes += written;
        n -= (gsize)written;
    }
    return TRUE;
}

gboolean
pd_spool_open(PdSpool *spool, GError **error)
{
    if (spool->fd < 0)
        spool->fd = memfd_create("pandect-input", MFD_CLOEXEC);
    return spool->fd >= 0 || fail(error, "");
}

static int
open_temporary(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    /* Not every file system has nameless files. */
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "pandect-input-XXXXXX", NULL);
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static gboolean
move_to_disk(PdSpool *spool, GError **error)
{
    guint8 buffer[65536];
    int fd = open_temporary();
    gboolean ok = fd >= 0;
    for (guint64 at = 0; ok && at < spool->n_bytes;) {
        ssize_t n = pread(spool->fd, buffer, sizeof buffer, (off_t)at);
        ok = n > 0 && write_all(fd, buffer, (gsize)n);
        at += (guint64)MAX(n, 0);
    }
    if (!ok) {
        fail(error, " through the temporary folder (TMPDIR names another)");
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    close(spool->fd);
    spool->fd = fd;
    spool->on_disk = TRUE;
    return TRUE;
}

gboolean
pd_spool_append(PdSpool *spool, const guint8 *bytes, gsize n, GError **error)
{
    if (!pd_spool_open(spool, error))
        return FALSE;
    if (!spool->on_disk && spool->n_bytes + n > MEMORY_BYTES_MAX && !move_to_disk(spool, error))
        return FALSE;
    if (!write_all(spool->fd, bytes, n))
        return fail(error, spool->on_disk ? " through the temporary folder" : "");
    spool->n_bytes += n;
    return TRUE;
}

void
pd_spool_clear(PdSpool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    *spool = (PdSpool)PD_SPOOL_INIT;
}
