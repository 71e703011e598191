/*
 * What a file is, by its first bytes and its name: our own rules, few and safe enough to run on
 * untrusted bytes anywhere.
 */
#ifndef PD_SNIFF_H
#define PD_SNIFF_H

#include "ingest/reader.h"

#define PD_SNIFF_BYTES 8192

/* "git" (a bundle), "pdf", "gzip", "xz", "zstd", "bzip2", "zip", "tar", "7z", "rtf", "mbox", "eml",
 * "msg" and "pst" (Outlook's), "tnef" (winmail.dat), "notebook", "clinical" (C-CDA, FHIR),
 * "calendar" (iCalendar), "html", "markdown", "text", or NULL if it is none of these.
 *
 * `bytes`: the start of the file, PD_SNIFF_BYTES of it if there are so many; `name` may be NULL. */
const char *pd_sniff(const guint8 *bytes, gsize n, const char *name);

/* A kind that holds files. */
gboolean pd_is_archive(const char *kind);
/* A kind that is unpacked to something else: a compressed file or an archive. */
gboolean pd_is_packed(const char *kind);
/* How many bytes may come out as one file, by the first `n` that did: what is read piece by piece
 * (an mbox, an archive) may be longer than other files. */
guint64 pd_unpacked_bytes_max(const PdReadLimits *limits, const guint8 *bytes, gsize n,
                              const char *name);
/* "box.mbox" of "box.mbox.gz": what a compressed file holds.  Free with g_free. */
char *pd_unpacked_name(const char *name);

/* A line that can stand in a mail's header block: a field name and a colon. */
gboolean pd_is_header_line(const char *line, gsize n);
/* The same, and one of the fields that real mails have. */
gboolean pd_is_mail_header_line(const char *line, gsize n);
/* "From someone Thu Jan  1 00:00:00 1970": the line an mbox writes before a message. */
gboolean pd_is_envelope_line(const char *line, gsize n);

#endif
