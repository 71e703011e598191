/* The labels of list paragraphs in WordprocessingML (ISO/IEC 29500-1, 17.9). */
#ifndef PD_NUMBERING_H
#define PD_NUMBERING_H

#include "ingest/readers/xml.h"

#define PD_LIST_LEVELS 9

typedef struct PdNumbering PdNumbering;
/* From numbering.xml. */
PdNumbering *pd_numbering_new(PdXml *xml);
void pd_numbering_free(PdNumbering *numbering);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdNumbering, pd_numbering_free)

/* Count a paragraph of the list `num_id` at `level` (from 0): its label, "2.1." or "-", or NULL.
 * Free with g_free. */
char *pd_numbering_next(PdNumbering *numbering, gint64 num_id, guint level);

/* `n` as "decimal", "lowerRoman", "upperLetter" ... writes it. */
void pd_append_number(GString *out, const char *format, guint n);

#endif
