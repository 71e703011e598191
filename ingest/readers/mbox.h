/*
 * Splitting an mbox into messages (RFC 4155 and its relatives mboxo, mboxrd, mboxcl).
 *
 * The file is read as a stream: memory is bounded by the largest message, whatever the archive's
 * size.  A line "From ..." parts messages only where it can: at the start or after a blank line,
 * and if it looks like an envelope and a header block follows.  Everything else is text of the
 * message it stands in.  No byte is lost: the messages' ranges cover the file.
 */
#ifndef PD_MBOX_H
#define PD_MBOX_H

#include <glib.h>

/* Gives up to `n` bytes; 0 at the end, negative on failure (errno). */
typedef gssize (*PdMboxRead)(guint8 *buffer, gsize n, gpointer user_data);

typedef struct {
    const guint8 *bytes; /* from the "From " line to the next one; borrowed until the next call */
    gsize n;
    guint64 offset;          /* of `bytes` in the file */
    guint64 n_raw;           /* length in the file; larger than n if `oversized` */
    gboolean oversized;      /* more than the maximum: only the start is in `bytes` */
    gboolean truncated;      /* the file ends in the middle of a line of it */
    guint n_unescaped;       /* lines that look like an envelope but part nothing */
    guint64 first_unescaped; /* offset of the first */
} PdMboxMessage;

typedef struct PdMboxSplitter PdMboxSplitter;
/* `offset`: where in the file the stream starts. */
PdMboxSplitter *pd_mbox_splitter_new(PdMboxRead read, gpointer user_data, guint64 offset,
                                     gsize message_bytes_max);
void pd_mbox_splitter_free(PdMboxSplitter *splitter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdMboxSplitter, pd_mbox_splitter_free)
/* FALSE: the end (then *failed tells whether reading failed). */
gboolean pd_mbox_splitter_next(PdMboxSplitter *splitter, PdMboxMessage *message, gboolean *failed);

/* The message proper: without the "From " line, one ">" taken from ">From " lines of the body, and
 * ">From " lines in the header block (an old mailer's trace) left out. */
GByteArray *pd_mbox_unquote(const guint8 *bytes, gsize n);

#endif
