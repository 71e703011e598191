/*
 * The reader's side of the wire: what it found, as frames on a descriptor.
 *
 * Strings that come from documents are made fit for the wire here (UTF-8, no NUL, cut to the
 * maximum), so that a reader that is merely sloppy is not mistaken for a broken one.
 */
#include "ingest/frame.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ingest/error.h"

static gboolean
send_frame(PdEmitter *emitter, GError **error)
{
    pd_frame_end(emitter->frame);
    const guint8 *at = emitter->frame->data;
    gsize left = emitter->frame->len;
    while (left) {
        ssize_t n = write(emitter->fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "cannot send a frame: %s",
                        g_strerror(errno));
            return FALSE;
        }
        at += n;
        left -= (gsize)n;
    }
    /* One long text must not keep its memory for the rest of the run. */
    if (emitter->frame->len > (4u << 20)) {
        g_byte_array_unref(emitter->frame);
        emitter->frame = g_byte_array_new();
    }
    return TRUE;
}

static void
begin(PdEmitter *emitter, PdFrameType type)
{
    if (!emitter->frame)
        emitter->frame = g_byte_array_new();
    pd_frame_begin(emitter->frame, type);
}

static void
put_clean(PdEmitter *emitter, const char *string)
{
    if (!string) {
        pd_frame_put_string(emitter->frame, NULL, -1);
        return;
    }
    g_autofree char *valid = g_utf8_make_valid(string, -1);
    gsize n = strlen(valid);
    if (n > PD_FRAME_STRING_BYTES_MAX) {
        const char *end = g_utf8_find_prev_char(valid, valid + PD_FRAME_STRING_BYTES_MAX);
        n = end ? (gsize)(end - valid) : 0;
    }
    pd_frame_put_string(emitter->frame, valid, (gssize)n);
}

gboolean
pd_emit_begin(PdEmitter *emitter, guint64 item, guint64 offset, const char *key, GError **error)
{
    begin(emitter, PD_FRAME_BEGIN);
    pd_frame_put_u64(emitter->frame, item);
    pd_frame_put_u64(emitter->frame, offset);
    put_clean(emitter, key ? key : "");
    return send_frame(emitter, error);
}

gboolean
pd_emit_document_head(PdEmitter *emitter, const PdDocument *document, GError **error)
{
    begin(emitter, PD_FRAME_DOCUMENT);
    pd_frame_put_u32(emitter->frame, document->kind);
    put_clean(emitter, document->key);
    put_clean(emitter, document->title);
    put_clean(emitter, document->author);
    put_clean(emitter, document->recipients);
    pd_frame_put_u64(emitter->frame, (guint64)document->date_utc);
    put_clean(emitter, document->native_id);
    put_clean(emitter, document->revision);
    put_clean(emitter, document->in_reply_to);
    pd_frame_put_bytes(emitter->frame, document->raw_sha256, sizeof document->raw_sha256);
    pd_frame_put_u64(emitter->frame, (guint64)document->raw_offset);
    pd_frame_put_u64(emitter->frame, (guint64)document->raw_bytes);
    pd_frame_put_u32(emitter->frame, document->unchanged ? 1 : 0);
    return send_frame(emitter, error);
}

gboolean
pd_emit_part(PdEmitter *emitter, const PdPart *part, GError **error)
{
    begin(emitter, PD_FRAME_PART);
    put_clean(emitter, part->path);
    put_clean(emitter, part->label);
    pd_frame_put_bytes(emitter->frame, part->text->str, part->text->len);
    pd_frame_put_u32(emitter->frame, part->flow);
    guint n_boxes = part->boxes ? part->boxes->len : 0;
    pd_frame_put_u32(emitter->frame, part->boxes ? 1 : 0);
    pd_frame_put_u32(emitter->frame, n_boxes);
    for (guint i = 0; i < n_boxes; i++) {
        const PdBox *box = &g_array_index(part->boxes, PdBox, i);
        const float side[4] = {box->x0, box->y0, box->x1, box->y1};
        guint32 bits[4];
        memcpy(bits, side, sizeof bits);
        pd_frame_put_u32(emitter->frame, box->start);
        pd_frame_put_u32(emitter->frame, box->end);
        for (int k = 0; k < 4; k++)
            pd_frame_put_u32(emitter->frame, bits[k]);
    }
    return send_frame(emitter, error);
}

gboolean
pd_emit_parts_end(PdEmitter *emitter, GError **error)
{
    begin(emitter, PD_FRAME_PARTS_END);
    return send_frame(emitter, error);
}

gboolean
pd_emit_hidden(PdEmitter *emitter, guint part, const GArray *ranges, GError **error)
{
    begin(emitter, PD_FRAME_HIDDEN);
    pd_frame_put_u32(emitter->frame, part);
    pd_frame_put_u32(emitter->frame, ranges->len);
    for (guint i = 0; i < ranges->len; i++) {
        pd_frame_put_u32(emitter->frame, g_array_index(ranges, PdTextRange, i).start);
        pd_frame_put_u32(emitter->frame, g_array_index(ranges, PdTextRange, i).end);
    }
    return send_frame(emitter, error);
}

gboolean
pd_emit_document_end(PdEmitter *emitter, GError **error)
{
    begin(emitter, PD_FRAME_DOCUMENT_END);
    return send_frame(emitter, error);
}

gboolean
pd_emit_document(PdEmitter *emitter, const PdDocument *document, GError **error)
{
    if (!pd_emit_document_head(emitter, document, error))
        return FALSE;
    gboolean any_hidden = FALSE;
    for (guint i = 0; i < document->parts->len; i++) {
        PdPart *part = g_ptr_array_index(document->parts, i);
        any_hidden |= part->hidden != NULL;
        if (!pd_emit_part(emitter, part, error))
            return FALSE;
    }
    if (any_hidden && !pd_emit_parts_end(emitter, error))
        return FALSE;
    for (guint i = 0; i < document->parts->len; i++) {
        PdPart *part = g_ptr_array_index(document->parts, i);
        if (part->hidden && !pd_emit_hidden(emitter, i, part->hidden, error))
            return FALSE;
    }
    return pd_emit_document_end(emitter, error);
}

gboolean
pd_emit_ledger(PdEmitter *emitter, const char *level, const char *key, gint64 n_bytes,
               GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *reason = g_strdup_vprintf(format, args);
    va_end(args);
    /* A reason is one line, whatever a file name or a library's message holds. */
    for (char *c = reason; *c; c++) {
        if ((guchar)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    begin(emitter, PD_FRAME_LEDGER);
    put_clean(emitter, level);
    put_clean(emitter, key ? key : "");
    put_clean(emitter, reason);
    pd_frame_put_u64(emitter->frame, (guint64)n_bytes);
    return send_frame(emitter, error);
}

gboolean
pd_emit_progress(PdEmitter *emitter, guint64 done, guint64 total, GError **error)
{
    begin(emitter, PD_FRAME_PROGRESS);
    pd_frame_put_u64(emitter->frame, done);
    pd_frame_put_u64(emitter->frame, total);
    return send_frame(emitter, error);
}

gboolean
pd_emit_attachment_head(PdEmitter *emitter, const char *name, const char *media_type,
                        GError **error)
{
    begin(emitter, PD_FRAME_ATTACHMENT);
    put_clean(emitter, name);
    put_clean(emitter, media_type);
    put_clean(emitter, emitter->revision);
    return send_frame(emitter, error);
}

gboolean
pd_emit_attachment_data(PdEmitter *emitter, const guint8 *bytes, gsize n, GError **error)
{
    for (gsize at = 0; at < n;) {
        gsize slice = MIN(n - at, PD_FRAME_DATA_BYTES_MAX);
        begin(emitter, PD_FRAME_DATA);
        pd_frame_put_bytes(emitter->frame, bytes + at, slice);
        if (!send_frame(emitter, error))
            return FALSE;
        at += slice;
    }
    return TRUE;
}

gboolean
pd_emit_attachment_end(PdEmitter *emitter, GError **error)
{
    begin(emitter, PD_FRAME_ATTACHMENT_END);
    return send_frame(emitter, error);
}

gboolean
pd_emit_attachment_drop(PdEmitter *emitter, GError **error)
{
    begin(emitter, PD_FRAME_DROP);
    return send_frame(emitter, error);
}

gboolean
pd_emit_attachment(PdEmitter *emitter, const char *name, const char *media_type,
                   const guint8 *bytes, gsize n, GError **error)
{
    return pd_emit_attachment_head(emitter, name, media_type, error) &&
           pd_emit_attachment_data(emitter, bytes, n, error) &&
           pd_emit_attachment_end(emitter, error);
}

gboolean
pd_emit_result(PdEmitter *emitter, const GError *result, const PdReaderUsage *usage, GError **error)
{
    begin(emitter, PD_FRAME_RESULT);
    gboolean ours = result && result->domain == PD_INGEST_ERROR;
    guint32 code = result ? 1 + (guint32)(ours ? result->code : (int)PD_INGEST_ERROR_FORMAT) : 0;
    pd_frame_put_u32(emitter->frame, code);
    put_clean(emitter, result ? result->message : NULL);
    pd_frame_put_u64(emitter->frame, (guint64)usage->cpu_us);
    pd_frame_put_u64(emitter->frame, usage->peak_bytes);
    return send_frame(emitter, error);
}
