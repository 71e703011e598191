/* Inside the archive reader. */
#ifndef PD_MEMBERS_H
#define PD_MEMBERS_H

#include "ingest/readers/readers.h"

/* Send every member of the archive on descriptor 3 as a file of its own, and a ledger line for each
 * that is not sent. */
gboolean pd_members_emit(const PdWorkerRequest *request, PdEmitter *emitter, GError **error);
/* Only those that `is_wanted`, for a document's embedded files: they belong to the document that
 * was sent before. */
gboolean pd_members_emit_some(const PdWorkerRequest *request,
                              gboolean (*is_wanted)(const char *path), PdEmitter *emitter,
                              GError **error);

#endif
