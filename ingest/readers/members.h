/* Inside the archive reader. */
#ifndef PD_MEMBERS_H
#define PD_MEMBERS_H

#include "ingest/readers/readers.h"

/* Send every member of the archive on descriptor 3 as a file of its own, and a ledger line for each
 * that is not sent. */
gboolean pd_archive_emit(const PdWorkerRequest *request, PdEmitter *emitter, GError **error);

#endif
