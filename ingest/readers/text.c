/*
 * Plain text and Markdown: the bytes as they are, in UTF-8.  Line ends stay what they are, so that
 * a quotation equals the source.
 */
#include "ingest/readers/readers.h"

gboolean
pd_decode_text(PdEmitter *emitter, const char *key, const guint8 *bytes, gsize n, const char *label,
               GString *out, GError **error)
{
    PdCharsetInfo info;
    pd_charset_decode(bytes, n, label, out, &info);
    if (pd_text_truncate(out, emitter->limits->text_bytes_max) &&
        !pd_emit_ledger(emitter, "partial", key, (gint64)n, error,
                        "text cut at the limit of %" G_GUINT64_FORMAT " bytes",
                        emitter->limits->text_bytes_max))
        return FALSE;
    if (info.n_replaced && !pd_emit_ledger(emitter, "partial", key, (gint64)n, error,
                                           "%" G_GSIZE_FORMAT " bytes have no meaning in %s and "
                                           "were replaced by U+FFFD",
                                           info.n_replaced, info.name))
        return FALSE;
    if (info.label_lied && !pd_emit_ledger(emitter, "note", key, (gint64)n, error,
                                           "labelled %.40s, read as %s", label, info.name))
        return FALSE;
    if (info.guessed && !info.label_lied && !info.n_replaced &&
        !pd_emit_ledger(emitter, "note", key, (gint64)n, error,
                        "not UTF-8: read as %s, by its look", info.name))
        return FALSE;
    g_autofree char *invisible = pd_text_invisible_note(out->str, out->len);
    return !invisible || pd_emit_ledger(emitter, "hidden", key, (gint64)n, error, "%s", invisible);
}
