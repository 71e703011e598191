/* Inside the git reader. */
#ifndef PD_GIT_H
#define PD_GIT_H

#include <git2.h>

#include "ingest/error.h"
#include "ingest/pathspec.h"
#include "ingest/readers/readers.h"

#define PD_GIT_ID_CHARS (GIT_OID_HEXSZ + 1) /* with the NUL */

/* A file of the commit's tree or of the index that is asked for. */
typedef struct {
    char *path;
    git_oid oid;
    guint32 mode;
} PdGitEntry;

typedef struct {
    const PdWorkerRequest *request;
    PdEmitter *emitter;
    PdPathspec *pathspec;
    git_repository *repository;
    git_odb *odb;
    git_commit *commit; /* NULL: a work tree without a commit */
    char commit_id[PD_GIT_ID_CHARS];
    git_commit *base; /* what is compared with `commit`; NULL: nothing */
    char *author;
    int work_tree_fd; /* -1: read objects */
    GArray *entries;  /* PdGitEntry */
    guint64 n_unwanted;
    guint64 n_items; /* begun, or left out because an earlier process did them */
} PdGit;

/* What went wrong in libgit2, as an error that names `what`. */
gboolean pd_git_fail(GError **error, PdIngestError code, const char *what);

/* A path as git prints it: itself if it is plain UTF-8, else quoted with C escapes ("a\303"). */
char *pd_git_quote_path(const char *path);

/* Is the path, of the repository, asked for? */
gboolean pd_git_wants(const PdGit *git, const char *path);

/* The next item of the reader; *wanted FALSE: it was read before a crash. */
gboolean pd_git_begin(PdGit *git, const char *key, gboolean *wanted, GError **error);

/* A document of one part without text whose source is the commit. */
PdDocument *pd_git_document(const PdGit *git, const char *key, const char *path, const char *label);
/* Such a document, whose text was written here and not in the repository. */
gboolean pd_git_emit_document(PdGit *git, PdDocument *document, GError **error);

/* Unpack the bundle on descriptor 3 into an empty bare repository below temp_dir. */
git_repository *pd_git_open_bundle(const PdWorkerRequest *request, PdEmitter *emitter,
                                   GError **error);

/* --- git_files.c: the files themselves -------------------------------------------------------- */

gboolean pd_git_list_files(PdGit *git, GError **error);
gboolean pd_git_emit_files(PdGit *git, GError **error);
/* Why the repository itself says, or its folders say, that this file is not to be read; or NULL. */
const char *pd_git_reason_by_attributes(const PdGit *git, const char *path);
/* The bytes of a file that is read as text; NULL: it is not, or cannot be. */
GByteArray *pd_git_text_bytes(PdGit *git, const PdGitEntry *entry);

/* --- about the files -------------------------------------------------------------------------- */

/* The document "(tree)": folders and files. */
gboolean pd_git_emit_tree(PdGit *git, GError **error);
/* The document "(tags)", newest first, unless there are none. */
gboolean pd_git_emit_tags(PdGit *git, GError **error);
/* The document "(history)": the last commits before the one that is read, newest first. */
gboolean pd_git_emit_history(PdGit *git, GError **error);
/* Documents "(log)/PATH": the commits that touched each file. */
gboolean pd_git_emit_logs(PdGit *git, GError **error);
/* Documents "(blame)/PATH": which commit the lines of each file are from. */
gboolean pd_git_emit_blames(PdGit *git, GError **error);
/* The commits after `base`, "(diff)", and what they changed, "(diff)/PATH". */
gboolean pd_git_emit_diff(PdGit *git, GError **error);

/* --- git_log.c: pieces of text ---------------------------------------------------------------- */

/* Text of any encoding as UTF-8; NULL as nothing. */
void pd_git_append_valid(GString *out, const char *text);
/* A line "Date:   2024-05-14 09:00:00 +0200". */
void pd_git_append_date(GString *out, const git_time *when);
/* The lines of a message, indented, and an empty one. */
void pd_git_append_message(GString *out, const char *message);
/* As git log shows it.  `names`: of refs, by commit id, or NULL; `paths`: the files it touched;
 * `origin`: a line that says what the file whose log it is was before, or NULL. */
void pd_git_append_commit(GString *out, git_repository *repository, const git_commit *commit,
                          GHashTable *names, gboolean paths, const char *origin);

#endif
