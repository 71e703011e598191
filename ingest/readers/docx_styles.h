/* What styles of a Word document say about text (ISO/IEC 29500-1, 17.7). */
#ifndef PD_DOCX_STYLES_H
#define PD_DOCX_STYLES_H

#include "ingest/readers/xml.h"

typedef struct {
    guint level;    /* 1 to 6: a heading; 0: none */
    gint64 num_id;  /* of its list; 0: none */
    guint ilvl;     /* level in it, from 0 */
    gint64 hidden;  /* 1, 0, or -1: not said */
    char *based_on; /* NULL after pd_docx_styles_new */
    gboolean says_level;
    gboolean says_list;
} PdDocxStyle;

/* Style id -> PdDocxStyle, what a style inherits filled in; from styles.xml. */
GHashTable *pd_docx_styles_new(PdXml *xml);

#endif
