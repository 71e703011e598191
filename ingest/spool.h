/*
 * Bytes on their way from one reader to the next: an anonymous file, in memory while it is small
 * and in the temporary folder (unlinked, so that no kill leaves it behind) when it is not.
 */
#ifndef PD_SPOOL_H
#define PD_SPOOL_H

#include <glib.h>

typedef struct {
    int fd; /* -1: nothing was written yet */
    guint64 n_bytes;
    gboolean on_disk;
} PdSpool;
#define PD_SPOOL_INIT                                                                              \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* Make sure that there is a file, be it empty. */
gboolean pd_spool_open(PdSpool *spool, GError **error);
gboolean pd_spool_append(PdSpool *spool, const guint8 *bytes, gsize n, GError **error);
/* Close it and forget what it held. */
void pd_spool_clear(PdSpool *spool);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdSpool, pd_spool_clear)

#endif
