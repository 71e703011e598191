/*
 * Objects of other programs in a document ([MS-OLEDS]): what one is called, and the file in it.
 */
#ifndef PD_OLE_H
#define PD_OLE_H

#include <glib.h>

/* Streams of an object's folder that are a whole file: of OOXML, OpenDocument, PDF and the like. */
extern const char *const pd_ole_files[]; /* NULL-terminated */
#define PD_OLE_NATIVE "\001Ole10Native"
#define PD_OLE_COMPONENT "\001CompObj"

/* The kind of object that its stream PD_OLE_COMPONENT names ("Microsoft Word Document"), in UTF-8,
 * or NULL.  Free with g_free. */
char *pd_ole_kind(const guint8 *bytes, gsize n);
/* The same by the name of a stream in it; NULL: it says nothing. */
const char *pd_ole_kind_of_stream(const char *name);

/* What the stream PD_OLE_NATIVE holds: its file begins at *start and has *n_file bytes.  *name: as
 * it was called; NULL: not said; free with g_free.  FALSE: damaged. */
gboolean pd_ole_native(const guint8 *bytes, gsize n, gsize *start, gsize *n_file, char **name);

#endif
