/* Inside the parent's side of reading: finding, starting and watching reader processes. */
#ifndef PD_WORKER_H
#define PD_WORKER_H

#include "ingest/frame.h"

/* Run the reader program of `request->kind` to its end.
 *
 * `input_fd`: the input, duplicated; -1 if the request names a folder.  TRUE: the reader said it
 * was done.  FALSE: *crashed tells whether the process died, hung or broke the protocol (then
 * *unfinished is the document that was under way, or NULL); otherwise the error is what the reader
 * reported or what a callback of the sink returned.  *usage: always set. */
gboolean pd_worker_run(const PdWorkerRequest *request, int input_fd, const PdAssemblerSink *sink,
                       gboolean *crashed, PdDocument **unfinished, PdReaderUsage *usage,
                       GCancellable *cancellable, GError **error);

/* The kind of an open regular file, as pd_detect_kind; reads from its start without moving on. */
const char *pd_detect_fd(int fd, const char *name, GError **error);
/* "git", "maildir" or "folder". */
const char *pd_detect_folder(const char *path);

#endif
