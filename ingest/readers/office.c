/* What the readers of office packages say in the ledger, in the same words. */
#include "ingest/readers/office.h"

gboolean
pd_office_tell_hidden(PdEmitter *emitter, gsize n_bytes, GError **error)
{
    return !n_bytes || pd_emit_ledger(emitter, "hidden", "", -1, error,
                                      "hidden text: %" G_GSIZE_FORMAT
                                      " bytes that are marked as hidden were not read",
                                      n_bytes);
}

gboolean
pd_office_tell_changes(PdEmitter *emitter, guint n_inserted, guint n_deleted, gsize n_deleted_bytes,
                       GError **error)
{
    return (!n_inserted && !n_deleted) ||
           pd_emit_ledger(emitter, "note", "", -1, error,
                          "tracked changes: insertions read: %u, deletions not read: %u "
                          "(%" G_GSIZE_FORMAT " bytes)",
                          n_inserted, n_deleted, n_deleted_bytes);
}

gboolean
pd_office_tell_pictures(PdEmitter *emitter, guint n, GError **error)
{
    return !n || pd_emit_ledger(emitter, "note", "", -1, error,
                                "pictures and drawings: %u, text in them is not read", n);
}

gboolean
pd_office_tell_cut(PdEmitter *emitter, gboolean cut, GError **error)
{
    return !cut || pd_emit_ledger(emitter, "partial", "", -1, error,
                                  "text cut at the limit of %" G_GUINT64_FORMAT " bytes",
                                  emitter->limits->text_bytes_max);
}
