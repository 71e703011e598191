/* Labels of list items and numbered headings in OpenDocument (ISO/IEC 26300, part 1, 16.30 to 16.34
 * and 5.3). */
#ifndef PD_ODT_LISTS_H
#define PD_ODT_LISTS_H

#include "ingest/readers/xml.h"

typedef struct PdOdtLists PdOdtLists;
PdOdtLists *pd_odt_lists_new(void);
void pd_odt_lists_free(PdOdtLists *lists);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdOdtLists, pd_odt_lists_free)

/* An element that opens among the styles; others are ignored. */
void pd_odt_lists_style(PdOdtLists *lists, PdXml *xml);

/* text:list, its text:list-item, and their ends. */
void pd_odt_lists_open(PdOdtLists *lists, PdXml *xml);
void pd_odt_lists_close(PdOdtLists *lists);
void pd_odt_lists_item(PdOdtLists *lists, PdXml *xml);
/* The label of the item, for its first paragraph only: "2.1. ", "  - ", or NULL.  g_free. */
char *pd_odt_lists_label(PdOdtLists *lists);
/* The label of a heading of this level (from 1), or NULL.  g_free. */
char *pd_odt_lists_heading(PdOdtLists *lists, guint level);

#endif
