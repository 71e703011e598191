/*
 * The parent's side of the wire: a reader's bytes become checked documents and ledger lines.
 *
 * Invariants: nothing that breaks the schema gets past; memory asked for is bounded by the limits
 * (one frame, one document's text and boxes, one attachment), never by a number in a frame head;
 * after the first error every call fails.
 */
#include "ingest/frame.h"

#include <math.h>
#include <string.h>

#include "engine/utf8.h"
#include "ingest/error.h"
#include "ingest/spool.h"

#define KEY_BYTES_MAX PD_FRAME_STRING_BYTES_MAX
#define PARTS_MAX 100000
/* A word is at least one byte and a gap, its box on the wire 24 bytes. */
#define BOX_BYTES 24
#define RANGE_BYTES 8
#define DATE_UTC_MAX G_GINT64_CONSTANT(253402300799) /* the end of year 9999 */

struct PdAssembler {
    PdReadLimits limits;
    PdAssemblerSink sink;
    GByteArray *pending;  /* bytes of the frame under way */
    PdDocument *document; /* under way, or NULL */
    guint64 n_text_bytes; /* in `document` */
    char *attachment_name;
    char *attachment_type;
    char *attachment_revision;
    PdSpool attachment;
    gboolean in_attachment;
    gboolean done;
    gboolean broken;
    GError *result;
    PdReaderUsage usage; /* after the result */
};

PdAssembler *
pd_assembler_new(const PdReadLimits *limits, const PdAssemblerSink *sink)
{
    PdAssembler *assembler = g_new0(PdAssembler, 1);
    assembler->limits = *limits;
    assembler->sink = *sink;
    assembler->pending = g_byte_array_new();
    assembler->attachment = (PdSpool)PD_SPOOL_INIT;
    return assembler;
}

static void
drop_attachment(PdAssembler *assembler)
{
    g_clear_pointer(&assembler->attachment_name, g_free);
    g_clear_pointer(&assembler->attachment_type, g_free);
    g_clear_pointer(&assembler->attachment_revision, g_free);
    pd_spool_clear(&assembler->attachment);
    assembler->in_attachment = FALSE;
}

void
pd_assembler_free(PdAssembler *assembler)
{
    if (!assembler)
        return;
    drop_attachment(assembler);
    g_byte_array_unref(assembler->pending);
    pd_document_free(assembler->document);
    g_clear_error(&assembler->result);
    g_free(assembler);
}

static gboolean
broken(PdAssembler *assembler, GError **error, const char *what)
{
    assembler->broken = TRUE;
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                "the reader process broke the protocol: %s", what);
    return FALSE;
}

static gboolean
cursor_ends_well(const PdFrameCursor *cursor)
{
    return !cursor->bad && cursor->at == cursor->end;
}

static gboolean
on_document(PdAssembler *assembler, PdFrameCursor *cursor, GError **error)
{
    guint32 kind = pd_frame_get_u32(cursor);
    if (assembler->document || assembler->in_attachment || kind >= PD_N_KINDS)
        return broken(assembler, error, "document out of place");
    g_autofree char *key = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    g_autoptr(PdDocument) document = pd_document_new(kind, key);
    document->title = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    document->author = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    document->recipients = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    document->date_utc = (gint64)pd_frame_get_u64(cursor);
    document->native_id = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    document->revision = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    document->in_reply_to = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    gsize n_hash;
    const guint8 *hash = pd_frame_get_bytes(cursor, &n_hash);
    document->raw_offset = (gint64)pd_frame_get_u64(cursor);
    document->raw_bytes = (gint64)pd_frame_get_u64(cursor);
    guint32 unchanged = pd_frame_get_u32(cursor);
    if (!cursor_ends_well(cursor) || !key || n_hash != sizeof document->raw_sha256 ||
        unchanged > 1 || document->raw_offset < -1 || document->raw_bytes < 0)
        return broken(assembler, error, "malformed document");
    if (document->date_utc > DATE_UTC_MAX || document->date_utc < -DATE_UTC_MAX)
        document->date_utc = G_MININT64;
    memcpy(document->raw_sha256, hash, sizeof document->raw_sha256);
    document->unchanged = unchanged != 0;
    assembler->document = g_steal_pointer(&document);
    assembler->n_text_bytes = 0;
    return TRUE;
}

static gboolean
is_character_border(const GString *text, guint32 at)
{
    return at == text->len || (at < text->len && (text->str[at] & 0xC0) != 0x80);
}

/* Boxes must follow one another and lie within the text, on character borders. */
static gboolean
read_boxes(PdFrameCursor *cursor, PdPart *part)
{
    guint32 has_boxes = pd_frame_get_u32(cursor);
    guint32 n_boxes = pd_frame_get_u32(cursor);
    if (cursor->bad || has_boxes > 1 || (!has_boxes && n_boxes) ||
        (gsize)(cursor->end - cursor->at) != (gsize)n_boxes * BOX_BYTES)
        return FALSE;
    if (!has_boxes)
        return TRUE;
    part->boxes = g_array_sized_new(FALSE, FALSE, sizeof(PdBox), n_boxes);
    guint32 last_end = 0;
    for (guint32 i = 0; i < n_boxes; i++) {
        PdBox box = {.start = pd_frame_get_u32(cursor), .end = pd_frame_get_u32(cursor)};
        guint32 bits[4];
        float side[4];
        for (int k = 0; k < 4; k++)
            bits[k] = pd_frame_get_u32(cursor);
        memcpy(side, bits, sizeof side);
        if (box.start < last_end || box.start >= box.end ||
            !is_character_border(part->text, box.start) ||
            !is_character_border(part->text, box.end))
            return FALSE;
        for (int k = 0; k < 4; k++) {
            if (!isfinite(side[k]))
                return FALSE;
        }
        box.x0 = side[0];
        box.y0 = side[1];
        box.x1 = side[2];
        box.y1 = side[3];
        last_end = box.end;
        g_array_append_val(part->boxes, box);
    }
    return !cursor->bad;
}

static gboolean
on_part(PdAssembler *assembler, PdFrameCursor *cursor, GError **error)
{
    PdDocument *document = assembler->document;
    if (!document || document->unchanged || document->whole || document->parts->len >= PARTS_MAX)
        return broken(assembler, error, "part out of place");
    g_autofree char *path = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    g_autofree char *label = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    gsize n_text;
    const char *text = (const char *)pd_frame_get_bytes(cursor, &n_text);
    guint32 flow = pd_frame_get_u32(cursor);
    if (cursor->bad || !path || flow >= PD_N_FLOWS || !pd_utf8_is_valid(text, n_text))
        return broken(assembler, error, "malformed part");
    assembler->n_text_bytes += n_text;
    if (assembler->n_text_bytes > assembler->limits.text_bytes_max)
        return broken(assembler, error, "more text than the limit");
    PdPart *part = pd_document_add_part(document, path, label);
    g_string_append_len(part->text, text, (gssize)n_text);
    part->flow = flow;
    if (!read_boxes(cursor, part) || !cursor_ends_well(cursor)) {
        g_ptr_array_set_size(document->parts, (gint)document->parts->len - 1);
        return broken(assembler, error, "malformed boxes");
    }
    return TRUE;
}

static gboolean
on_parts_end(PdAssembler *assembler, PdFrameCursor *cursor, GError **error)
{
    if (!assembler->document || assembler->document->whole || !cursor_ends_well(cursor))
        return broken(assembler, error, "end of parts out of place");
    assembler->document->whole = TRUE;
    return TRUE;
}

/* Once a part; ranges as those of boxes, but with something between them. */
static gboolean
on_hidden(PdAssembler *assembler, PdFrameCursor *cursor, GError **error)
{
    PdDocument *document = assembler->document;
    guint32 number = pd_frame_get_u32(cursor), n = pd_frame_get_u32(cursor);
    if (!document || !document->whole || number >= document->parts->len)
        return broken(assembler, error, "hidden text out of place");
    PdPart *part = g_ptr_array_index(document->parts, number);
    if (cursor->bad || part->hidden || !n ||
        (gsize)(cursor->end - cursor->at) != (gsize)n * RANGE_BYTES)
        return broken(assembler, error, "malformed hidden text");
    part->hidden = g_array_sized_new(FALSE, FALSE, sizeof(PdTextRange), n);
    guint32 last_end = 0;
    for (guint32 i = 0; i < n; i++) {
        PdTextRange range = {pd_frame_get_u32(cursor), pd_frame_get_u32(cursor)};
        if ((i > 0 && range.start <= last_end) || range.start >= range.end ||
            !is_character_border(part->text, range.start) ||
            !is_character_border(part->text, range.end))
            return broken(assembler, error, "malformed hidden text");
        last_end = range.end;
        g_array_append_val(part->hidden, range);
    }
    return TRUE;
}

static gboolean
on_ledger(PdAssembler *assembler, PdFrameCursor *cursor, GError **error)
{
    static const char *const levels[] = {"skipped", "failed", "partial", "hidden",
                                         "ocr",     "note",   NULL};
    g_autofree char *level = pd_frame_get_string(cursor, 16);
    g_autofree char *key = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    g_autofree char *reason = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    gint64 n_bytes = (gint64)pd_frame_get_u64(cursor);
    if (!cursor_ends_well(cursor) || !level || !g_strv_contains(levels, level) || !key || !reason)
        return broken(assembler, error, "malformed ledger line");
    PdLedgerLine line = {level, key, reason, MAX(n_bytes, -1)};
    return assembler->sink.ledger(&line, assembler->sink.user_data, error);
}

static gboolean
on_attachment_frame(PdAssembler *assembler, PdFrameType type, PdFrameCursor *cursor, GError **error)
{
    if (type == PD_FRAME_ATTACHMENT) {
        if (assembler->document || assembler->in_attachment)
            return broken(assembler, error, "attachment out of place");
        assembler->attachment_name = pd_frame_get_string(cursor, KEY_BYTES_MAX);
        assembler->attachment_type = pd_frame_get_string(cursor, KEY_BYTES_MAX);
        assembler->attachment_revision = pd_frame_get_string(cursor, KEY_BYTES_MAX);
        if (!cursor_ends_well(cursor))
            return broken(assembler, error, "malformed attachment");
        assembler->in_attachment = TRUE;
        return pd_spool_open(&assembler->attachment, error);
    }
    if (!assembler->in_attachment)
        return broken(assembler, error, "attachment data out of place");
    if (type == PD_FRAME_DATA) {
        gsize n;
        guint64 max = MAX(assembler->limits.file_bytes_max, assembler->limits.unpacked_bytes_max);
        const guint8 *bytes = pd_frame_get_bytes(cursor, &n);
        if (!cursor_ends_well(cursor) || n > PD_FRAME_DATA_BYTES_MAX ||
            assembler->attachment.n_bytes + n > max)
            return broken(assembler, error, "attachment larger than the limit");
        return pd_spool_append(&assembler->attachment, bytes, n, error);
    }
    if (!cursor_ends_well(cursor))
        return broken(assembler, error, "malformed end of attachment");
    if (type == PD_FRAME_DROP) {
        drop_attachment(assembler);
        return TRUE;
    }
    gboolean ok = assembler->sink.attachment(
        assembler->attachment_name, assembler->attachment_type, assembler->attachment_revision,
        assembler->attachment.fd, assembler->attachment.n_bytes, assembler->sink.user_data, error);
    drop_attachment(assembler);
    return ok;
}

static gboolean
on_result(PdAssembler *assembler, PdFrameCursor *cursor, GError **error)
{
    guint32 code = pd_frame_get_u32(cursor);
    g_autofree char *message = pd_frame_get_string(cursor, KEY_BYTES_MAX);
    assembler->usage.cpu_us = (gint64)(pd_frame_get_u64(cursor) & G_MAXINT64);
    assembler->usage.peak_bytes = pd_frame_get_u64(cursor);
    if (!cursor_ends_well(cursor) || assembler->document || (assembler->in_attachment && !code) ||
        code > 1 + PD_INGEST_ERROR_CANCELLED || (code && !message))
        return broken(assembler, error, "malformed result");
    drop_attachment(assembler);
    if (code)
        assembler->result = g_error_new_literal(PD_INGEST_ERROR, (int)code - 1, message);
    assembler->done = TRUE;
    return TRUE;
}

static gboolean
on_frame(PdAssembler *assembler, PdFrameType type, PdFrameCursor *cursor, GError **error)
{
    const PdAssemblerSink *sink = &assembler->sink;
    switch (type) {
    case PD_FRAME_BEGIN: {
        guint64 item = pd_frame_get_u64(cursor);
        guint64 offset = pd_frame_get_u64(cursor);
        g_autofree char *key = pd_frame_get_string(cursor, KEY_BYTES_MAX);
        if (!cursor_ends_well(cursor) || !key || assembler->document || assembler->in_attachment)
            return broken(assembler, error, "malformed begin");
        return sink->begin(item, offset, key, sink->user_data, error);
    }
    case PD_FRAME_DOCUMENT:
        return on_document(assembler, cursor, error);
    case PD_FRAME_PART:
        return on_part(assembler, cursor, error);
    case PD_FRAME_PARTS_END:
        return on_parts_end(assembler, cursor, error);
    case PD_FRAME_HIDDEN:
        return on_hidden(assembler, cursor, error);
    case PD_FRAME_DOCUMENT_END:
        if (!assembler->document || !cursor_ends_well(cursor))
            return broken(assembler, error, "end of document out of place");
        return sink->document(g_steal_pointer(&assembler->document), sink->user_data, error);
    case PD_FRAME_LEDGER:
        return on_ledger(assembler, cursor, error);
    case PD_FRAME_PROGRESS: {
        guint64 done = pd_frame_get_u64(cursor);
        guint64 total = pd_frame_get_u64(cursor);
        if (!cursor_ends_well(cursor))
            return broken(assembler, error, "malformed progress");
        sink->progress(done, total, sink->user_data);
        return TRUE;
    }
    case PD_FRAME_ATTACHMENT:
    case PD_FRAME_DATA:
    case PD_FRAME_ATTACHMENT_END:
    case PD_FRAME_DROP:
        return on_attachment_frame(assembler, type, cursor, error);
    case PD_FRAME_RESULT:
        return on_result(assembler, cursor, error);
    case PD_FRAME_REQUEST:
    default:
        return broken(assembler, error, "unknown frame");
    }
}

/* The largest payload that makes sense: a part with all the text allowed and a box per word. */
static guint64
payload_bytes_max(const PdAssembler *assembler)
{
    guint64 n_text = MIN(assembler->limits.text_bytes_max, 256ull << 20);
    return n_text * 2 + 4 * (guint64)PD_FRAME_STRING_BYTES_MAX + PD_FRAME_DATA_BYTES_MAX +
           16 * (guint64)PD_FRAME_STRING_BYTES_MAX;
}

gboolean
pd_assembler_feed(PdAssembler *assembler, const guint8 *bytes, gsize n, guint *n_frames,
                  GError **error)
{
    if (n_frames)
        *n_frames = 0;
    while (n) {
        if (assembler->broken || assembler->done)
            return broken(assembler, error, "bytes after the end");
        GByteArray *pending = assembler->pending;
        guint32 n_payload = 0;
        gsize want = PD_FRAME_HEAD_BYTES;
        if (pending->len >= PD_FRAME_HEAD_BYTES) {
            memcpy(&n_payload, pending->data, sizeof n_payload);
            n_payload = GUINT32_FROM_LE(n_payload);
            want += n_payload;
        }
        gsize slice = MIN(n, want - pending->len);
        g_byte_array_append(pending, bytes, (guint)slice);
        bytes += slice;
        n -= slice;
        if (pending->len < PD_FRAME_HEAD_BYTES)
            break;
        memcpy(&n_payload, pending->data, sizeof n_payload);
        n_payload = GUINT32_FROM_LE(n_payload);
        if (n_payload > payload_bytes_max(assembler) || pending->data[5] || pending->data[6] ||
            pending->data[7])
            return broken(assembler, error, "frame larger than the limit");
        if (pending->len < PD_FRAME_HEAD_BYTES + (gsize)n_payload)
            continue;
        PdFrameCursor cursor = {pending->data + PD_FRAME_HEAD_BYTES, pending->data + pending->len,
                                FALSE};
        if (!on_frame(assembler, pending->data[4], &cursor, error)) {
            assembler->broken = TRUE;
            return FALSE;
        }
        if (n_frames)
            *n_frames += 1;
        if (pending->len > (4u << 20)) {
            g_byte_array_unref(pending);
            assembler->pending = g_byte_array_new();
        } else {
            g_byte_array_set_size(pending, 0);
        }
    }
    return TRUE;
}

gboolean
pd_assembler_done(PdAssembler *assembler, PdReaderUsage *usage, GError **worker_error)
{
    if (assembler->done && usage) {
        usage->cpu_us = assembler->usage.cpu_us;
        usage->peak_bytes = assembler->usage.peak_bytes;
    }
    if (assembler->done && assembler->result && worker_error)
        *worker_error = g_steal_pointer(&assembler->result);
    return assembler->done;
}

PdDocument *
pd_assembler_take_unfinished(PdAssembler *assembler)
{
    if (assembler->document && assembler->document->parts->len)
        return g_steal_pointer(&assembler->document);
    return NULL;
}
