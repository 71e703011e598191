/* Jupyter notebooks to text. */
#ifndef PD_NOTEBOOK_H
#define PD_NOTEBOOK_H

#include "ingest/readers/readers.h"

/* Fill `document` from the bytes, and tell in the ledger what is not in its text. */
gboolean pd_notebook_read(const guint8 *bytes, gsize n, PdDocument *document, PdEmitter *emitter,
                          const char *key, GError **error);

#endif
