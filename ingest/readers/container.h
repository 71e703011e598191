/* Files in a zip, tar or 7z file, one after the other. */
#ifndef PD_CONTAINER_H
#define PD_CONTAINER_H

#include <gio/gio.h>

#include "ingest/readers/unpack.h"

typedef enum {
    PD_MEMBER_FILE,
    PD_MEMBER_FOLDER,
    PD_MEMBER_LINK,      /* symbolic */
    PD_MEMBER_HARD_LINK, /* the same file as another member */
    PD_MEMBER_OTHER,     /* device, pipe, socket */
} PdMemberType;

typedef struct {
    char *path;    /* UTF-8, relative, without "." and ".."; never empty */
    char *outside; /* the path as given, where it leads out of the archive; else NULL */
    char *target;  /* of a link; may be NULL */
    PdMemberType type;
    gboolean encrypted;
    gint64 n_bytes; /* as declared; -1: not said */
} PdMember;

typedef struct PdContainer PdContainer;

/* `kind`: "zip", "tar" or "7z"; `fd`: a file, read from its start and not closed. */
PdContainer *pd_container_open(const char *kind, int fd);
void pd_container_close(PdContainer *container);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdContainer, pd_container_close)

/* Go to the next member; `*member` is borrowed until the next call.  FALSE: no more; then *damage
 * is NULL at the end, or says in words why the rest cannot be read (g_free). */
gboolean pd_container_next(PdContainer *container, const PdMember **member, char **damage);

/* The bytes of the member, in pieces; holes are zeros.  FALSE: the sink stopped it (*error).
 * *damage: NULL, or why what came out is not all or not right; g_free. */
gboolean pd_container_read(PdContainer *container, PdUnpackSink sink, gpointer user_data,
                           char **damage, GError **error);

/* Bytes of the file that were read so far, about. */
guint64 pd_container_position(PdContainer *container);

#endif
