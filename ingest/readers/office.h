/* Inside the archive reader: packages that are documents. */
#ifndef PD_OFFICE_H
#define PD_OFFICE_H

#include "ingest/readers/blocks.h"
#include "ingest/readers/package.h"

/* Fill `document` from the package, and tell in the ledger what is not in its text. */
gboolean pd_docx_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter,
                      GError **error);

gboolean pd_odt_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter,
                     GError **error);

gboolean pd_xlsx_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter,
                      GError **error);

gboolean pd_pptx_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter,
                      GError **error);
gboolean pd_epub_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter,
                      GError **error);

/* Ledger lines that the formats share; nothing is said of zero. */
gboolean pd_office_tell_hidden(PdEmitter *emitter, gsize n_bytes, GError **error);
gboolean pd_office_tell_changes(PdEmitter *emitter, guint n_inserted, guint n_deleted,
                                gsize n_deleted_bytes, GError **error);
gboolean pd_office_tell_pictures(PdEmitter *emitter, guint n, GError **error);
gboolean pd_office_tell_cut(PdEmitter *emitter, gboolean cut, GError **error);

#endif
