/*
 * Which files of a source are wanted, said as git says it (gitglossary, "pathspec").
 *
 * A pattern names a file, a folder with all in it, or, with * ? and [], every path that it fits; a
 * star fits slashes too.  Magic before it: ":(top,literal,icase,glob,exclude)", short ":/", ":!"
 * and
 * ":^"; with "glob" a star stays inside a folder and "**" fits any number of them.
 */
#ifndef PD_PATHSPEC_H
#define PD_PATHSPEC_H

#include <glib.h>

typedef struct PdPathspec PdPathspec;

/* Wanted is what one of `include` fits (all, if there is none) and no pattern of `exclude`, nor one
 * of `include` with the magic "exclude".  Both NULL-terminated or NULL.  An error names the pattern
 * that is none. */
PdPathspec *pd_pathspec_new(const char *const *include, const char *const *exclude, GError **error);
void pd_pathspec_free(PdPathspec *pathspec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPathspec, pd_pathspec_free)

/* `path`: from the source's folder on, without a slash before it. */
gboolean pd_pathspec_wants(const PdPathspec *pathspec, const char *path);
/* Is everything wanted? */
gboolean pd_pathspec_wants_all(const PdPathspec *pathspec);

#endif
