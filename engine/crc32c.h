/* CRC-32C (Castagnoli), the checksum of KV records: the x86 instruction where the CPU has it, a
 * table elsewhere. */
#ifndef PD_CRC32C_H
#define PD_CRC32C_H

#include <glib.h>

/* Continues `crc` (0 to begin with) over n bytes; pd_crc32c(pd_crc32c(0, a), b) is the checksum of
 * a followed by b.  Thread-safe. */
guint32 pd_crc32c(guint32 crc, const void *data, gsize n);

/* The portable version, always the table; for tests. */
guint32 pd_crc32c_table(guint32 crc, const void *data, gsize n);

#endif
