/*
 * The splitter holds one buffer: the message under way and what was read beyond it.  A line can be
 * judged only with the line after it in sight; until then, or the end of the file, more is read.
 */
#include "ingest/readers/mbox.h"

#include <string.h>

#include "ingest/readers/sniff.h"

#define READ_BYTES (256u << 10)
/* A line longer than this cannot be an envelope, nor the header after one. */
#define LINE_LOOK_BYTES 4096

struct PdMboxSplitter {
    PdMboxRead read;
    gpointer user_data;
    gsize message_bytes_max;
    GByteArray *buffer;  /* bytes `start`.. of it are the message under way */
    guint64 offset;      /* of the message under way, in the file */
    gsize scanned;       /* in the message as buffered: start of the first line not yet judged */
    guint64 n_dropped;   /* bytes of an oversized message that are no longer buffered */
    gsize n_handed_out;  /* bytes of the message given last: removed at the next call */
    gboolean blank;      /* the line before `scanned` was empty */
    gboolean first_line; /* `scanned` is at the message's first line */
    gboolean in_line;    /* `scanned` is inside a line too long to buffer */
    gboolean ended;
    gboolean failed;
};

PdMboxSplitter *
pd_mbox_splitter_new(PdMboxRead read, gpointer user_data, guint64 offset, gsize message_bytes_max)
{
    PdMboxSplitter *splitter = g_new0(PdMboxSplitter, 1);
    splitter->read = read;
    splitter->user_data = user_data;
    splitter->offset = offset;
    splitter->message_bytes_max = MAX(message_bytes_max, 4 * LINE_LOOK_BYTES);
    splitter->buffer = g_byte_array_new();
    splitter->first_line = TRUE;
    return splitter;
}

void
pd_mbox_splitter_free(PdMboxSplitter *splitter)
{
    if (!splitter)
        return;
    g_byte_array_unref(splitter->buffer);
    g_free(splitter);
}

static void
read_more(PdMboxSplitter *splitter)
{
    guint before = splitter->buffer->len;
    g_byte_array_set_size(splitter->buffer, before + READ_BYTES);
    gssize n = splitter->read(splitter->buffer->data + before, READ_BYTES, splitter->user_data);
    g_byte_array_set_size(splitter->buffer, before + (guint)MAX(n, 0));
    if (n <= 0) {
        splitter->ended = TRUE;
        splitter->failed = n < 0;
    }
}

/* Length without line end. */
static gsize
bare_length(const char *line, gsize n)
{
    if (n && line[n - 1] == '\n')
        n--;
    return n && line[n - 1] == '\r' ? n - 1 : n;
}

/* A known header field, and below it its continuation or another field: no prose looks like that.
 */
static gboolean
is_header_block(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (gsize)(end - at));
    if (!newline || !pd_is_mail_header_line(at, bare_length(at, (gsize)(newline + 1 - at))))
        return FALSE;
    const char *second = newline + 1;
    newline = memchr(second, '\n', (gsize)(end - second));
    gsize n = bare_length(second, newline ? (gsize)(newline + 1 - second) : (gsize)(end - second));
    return second < end &&
           (n == 0 || *second == ' ' || *second == '\t' || pd_is_header_line(second, n));
}

/* Does the line that starts at `line` part messages?  `end`: of what is buffered, which is either
 * the file's end or far enough to see the lines after.
 *
 * After a blank line, an envelope with any header-like line below it does, or one without a date
 * (as some exports write it) with a sure header block; without a blank line before it (patches
 * written one after another) it takes both the date and the block. */
static gboolean
parts_messages(const char *line, const char *end, gboolean blank_before, gboolean *looks_like)
{
    gsize n = (gsize)(end - line);
    const char *newline = memchr(line, '\n', n);
    gsize n_line = bare_length(line, newline ? (gsize)(newline + 1 - line) : n);
    *looks_like = pd_is_envelope_line(line, n_line);
    if (!newline)
        return FALSE;
    const char *next = newline + 1;
    /* Old mailers leave ">From " below the envelope. */
    while (end - next > 6 && memcmp(next, ">From ", 6) == 0) {
        newline = memchr(next, '\n', (gsize)(end - next));
        next = newline ? newline + 1 : end;
    }
    if (*looks_like && blank_before) {
        newline = memchr(next, '\n', (gsize)(end - next));
        gsize n_next = newline ? (gsize)(newline + 1 - next) : (gsize)(end - next);
        return next == end || pd_is_header_line(next, bare_length(next, n_next));
    }
    gsize n_words = 0;
    for (gsize i = 5; i < n_line; i++)
        n_words += line[i] != ' ' && line[i - 1] == ' ';
    return (*looks_like || (blank_before && n_words <= 2)) && is_header_block(next, end);
}

/* An oversized message: forget its middle, keep its start. */
static void
drop_scanned(PdMboxSplitter *splitter)
{
    gsize keep = MIN(splitter->scanned, splitter->message_bytes_max);
    gsize drop = splitter->scanned - keep;
    if (!drop)
        return;
    g_byte_array_remove_range(splitter->buffer, (guint)keep, (guint)drop);
    splitter->scanned = keep;
    splitter->n_dropped += drop;
}

/* Hand out bytes 0 .. scanned of the buffer. */
static gboolean
hand_out(PdMboxSplitter *splitter, PdMboxMessage *message)
{
    message->bytes = splitter->buffer->data;
    message->n = MIN(splitter->scanned, splitter->message_bytes_max);
    message->offset = splitter->offset;
    message->n_raw = splitter->n_dropped + splitter->scanned;
    message->oversized = message->n_raw > message->n;
    message->truncated = splitter->ended && splitter->scanned == splitter->buffer->len &&
                         splitter->scanned && !splitter->blank &&
                         splitter->buffer->data[splitter->scanned - 1] != '\n';
    splitter->n_handed_out = splitter->scanned;
    splitter->offset += message->n_raw;
    splitter->n_dropped = 0;
    splitter->scanned = 0;
    splitter->first_line = TRUE;
    splitter->blank = FALSE;
    return TRUE;
}

gboolean
pd_mbox_splitter_next(PdMboxSplitter *splitter, PdMboxMessage *message, gboolean *failed)
{
    GByteArray *buffer = splitter->buffer;
    memset(message, 0, sizeof *message);
    if (splitter->n_handed_out)
        g_byte_array_remove_range(buffer, 0, (guint)splitter->n_handed_out);
    splitter->n_handed_out = 0;
    for (;;) {
        gsize left = buffer->len - splitter->scanned;
        if (left < 4 * LINE_LOOK_BYTES && !splitter->ended) {
            if (buffer->len > splitter->message_bytes_max + READ_BYTES)
                drop_scanned(splitter);
            read_more(splitter);
            continue;
        }
        if (!left)
            break;
        const char *line = (const char *)buffer->data + splitter->scanned;
        const char *end = (const char *)buffer->data + buffer->len;
        if (!splitter->in_line && !splitter->first_line && left > 5 &&
            memcmp(line, "From ", 5) == 0) {
            gboolean looks_like;
            if (parts_messages(line, end, splitter->blank, &looks_like)) {
                *failed = FALSE;
                return hand_out(splitter, message);
            }
            if (looks_like && message->n_unescaped++ == 0)
                message->first_unescaped =
                    splitter->offset + splitter->n_dropped + splitter->scanned;
        }
        const char *newline = memchr(line, '\n', left);
        gsize n_line = newline ? (gsize)(newline + 1 - line) : left;
        splitter->blank = !splitter->in_line && bare_length(line, n_line) == 0;
        splitter->in_line = !newline;
        splitter->first_line = FALSE;
        splitter->scanned += n_line;
    }
    *failed = splitter->failed;
    return splitter->n_dropped + splitter->scanned > 0 && hand_out(splitter, message);
}

GByteArray *
pd_mbox_unquote(const guint8 *bytes, gsize n)
{
    GByteArray *out = g_byte_array_sized_new((guint)n);
    const guint8 *at = bytes;
    const guint8 *end = bytes + n;
    gboolean in_head = TRUE;
    gboolean first = TRUE;
    while (at < end) {
        const guint8 *newline = memchr(at, '\n', (gsize)(end - at));
        const guint8 *next = newline ? newline + 1 : end;
        gsize n_line = (gsize)(next - at);
        gsize n_marks = 0;
        while (n_marks < n_line && at[n_marks] == '>')
            n_marks++;
        gboolean from = n_line - n_marks >= 5 && memcmp(at + n_marks, "From ", 5) == 0;
        if (bare_length((const char *)at, n_line) == 0)
            in_head = FALSE;
        gboolean drop = from && (first || (in_head && n_marks == 1));
        gsize cut = from && !in_head && n_marks ? 1 : 0;
        if (!drop)
            g_byte_array_append(out, at + cut, (guint)(n_line - cut));
        first = FALSE;
        at = next;
    }
    return out;
}
