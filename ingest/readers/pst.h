/* Outlook's stores (.pst, .ost): every message of every folder.  See pst.c. */
#ifndef PD_PST_H
#define PD_PST_H

#include "ingest/readers/readers.h"

/* The store on PD_READER_INPUT_FD, a message at a time; `bytes_max`: what may be held of one. */
gboolean pd_pst_read(const PdWorkerRequest *request, gsize bytes_max, PdEmitter *emitter,
                     GError **error);

#endif
