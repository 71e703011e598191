/* Compressed bytes to the bytes they hold, piece by piece. */
#ifndef PD_UNPACK_H
#define PD_UNPACK_H

#include <glib.h>

/* So much may come out of any file, however small; then the ratio of the limits counts (the rule of
 * Apache Tika's SecureContentHandler). */
#define PD_UNPACK_FREE_BYTES (1ull << 20)

/* Returning FALSE stops. */
typedef gboolean (*PdUnpackSink)(const guint8 *bytes, gsize n, gpointer user_data, GError **error);

/* `kind`: "gzip", "xz", "zstd" or "bzip2"; `fd`: read from where it stands.  FALSE: the sink
 * stopped it (*error).  *damage: NULL, or in words why what came out is not all or not right;
 * g_free. */
gboolean pd_unpack(const char *kind, int fd, PdUnpackSink sink, gpointer user_data, char **damage,
                   GError **error);

#endif
