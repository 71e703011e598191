/* Inside the parent's side of reading: finding, starting and watching reader processes. */
#ifndef PD_WORKER_H
#define PD_WORKER_H

#include "ingest/frame.h"

/* A reader process that has been started and reads ahead, as far as the pipe takes what it says. */
typedef struct PdWorker PdWorker;

/* Start the reader program of `request->kind`.  `input_fd`: the input, duplicated; -1 if the
 * request names a folder. */
PdWorker *pd_worker_start(const PdWorkerRequest *request, int input_fd, GError **error);
/* The process is stopped, if it still runs.  NULL is fine. */
void pd_worker_free(PdWorker *worker);

/* Take in what the reader says to its end, or until there is a reason to stop.
 *
 * `request`: that it was started with.  TRUE: the reader said it was done.  FALSE: *crashed tells
 * whether the process died, hung or broke the protocol (then *unfinished is the document that was
 * under way, or NULL); otherwise the error is what the reader reported or what a callback of the
 * sink returned.  *usage: always set. */
gboolean pd_worker_finish(PdWorker *worker, const PdWorkerRequest *request,
                          const PdAssemblerSink *sink, gboolean *crashed, PdDocument **unfinished,
                          PdReaderUsage *usage, GCancellable *cancellable, GError **error);

/* The kind of an open regular file, as pd_detect_kind; reads from its start without moving on. */
const char *pd_detect_fd(int fd, const char *name, GError **error);
/* "git", "maildir" or "folder". */
const char *pd_detect_folder(const char *path);

#endif
