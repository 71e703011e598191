/*
 * Model files by name: the built-in catalogue, where files are cached (XDG cache folder,
 * pandect/models/), how a name, file or folder given by a person becomes a path.
 */
#ifndef PD_CATALOGUE_H
#define PD_CATALOGUE_H

#include <gio/gio.h>

typedef struct {
    const char *name;
    const char *file;
    guint64 n_bytes;
    const char *sha256;
    const char *licence;
    const char *url; /* the publisher's */
    const char *const
        *packages; /* Python packages that carry the file, in order, NULL-terminated */
    /* Path inside each package's wheel: %P = the package's name with _ for -, %N = its number from
     * 1, %Z = from 0; %02N and %02Z with two digits. */
    const char *member;
    const char *note;
} PdCatalogueEntry;

const PdCatalogueEntry *pd_catalogue(gsize *n_entries);
const PdCatalogueEntry *pd_catalogue_find(const char *name);
#define PD_DEFAULT_MODEL "qwen2.5-coder-1.5b"

/* Where the file of this entry is or will be.  Free with g_free. */
char *pd_catalogue_path(const PdCatalogueEntry *entry);
/* The file is there and has the right size (pd_model_pull checks its hash). */
gboolean pd_catalogue_is_present(const PdCatalogueEntry *entry);
/* NAME | FILE.gguf | DIR -> an existing path; the error says how to get it ("pandect model pull
 * NAME"). NULL name = the default model. */
char *pd_catalogue_resolve(const char *name, GError **error);

/* stage: what is being done, for a person ("fetching NAME from HOST"); bytes of the file. */
typedef void (*PdPullProgress)(const char *stage, guint64 done, guint64 total, gpointer user_data);

/* Fetch and check; a no-op when the verified file is there.  Resumes; tries sources in order.  A
 * wrong hash deletes the file and is an error.  No code of a package is run. */
gboolean pd_model_pull(const PdCatalogueEntry *entry, gboolean offline, GCancellable *cancellable,
                       PdPullProgress progress, gpointer user_data, GError **error);

#endif
