/* Inside the git reader. */
#ifndef PD_GIT_H
#define PD_GIT_H

#include <git2.h>

#include "ingest/error.h"
#include "ingest/readers/readers.h"

/* What went wrong in libgit2, as an error that names `what`. */
gboolean pd_git_fail(GError **error, PdIngestError code, const char *what);

/* Unpack the bundle on descriptor 3 into an empty bare repository below temp_dir. */
git_repository *pd_git_open_bundle(const PdWorkerRequest *request, PdEmitter *emitter,
                                   GError **error);

/* The document "(history)": the last commits before `tip`, newest first. */
gboolean pd_git_emit_history(git_repository *repository, const git_commit *tip,
                             const PdWorkerRequest *request, PdEmitter *emitter, GError **error);

/* A path as git prints it: itself if it is plain UTF-8, else quoted with C escapes ("a\303"). */
char *pd_git_quote_path(const char *path);

#endif
