/* Places as people say them: where in an office document a range of a part's text lies, whose a
 * mail is and of when. */
#ifndef PD_PLACE_H
#define PD_PLACE_H

#include "ingest/document.h"

/* `path`, `label`: the part's; `text`: all of it, of which bytes `start` to `end` are meant.
 *   word processors   ¶ 12 ("Payment")   ¶¶ 12-14 ("Payment")   footnotes, ¶ 3
 *   spreadsheets      Rent!B7   'Rent 2024'!B7:D9
 *   presentations     slide 3, ¶ 2 ("Floods")
 *   books             chapter 3 ("The pier"), l. 7
 *   clinical          section 3 ("Medications"), l. 7
 *   notebooks         cell 3, l. 2   cell 3 output, l. 1
 * NULL: the kind has no such places (lines or pages say it).  Free with g_free. */
char *pd_part_place(PdDocumentKind kind, const char *path, const char *label, const char *text,
                    gsize start, gsize end);

/* "Kay Smith" of "Kay Smith <kay@example.org>"; the address if there is no name.  Free with
 * g_free. */
char *pd_place_person(const char *address);
/* "2001-05-14"; NULL: unknown (G_MININT64) or none that the calendar has.  Free with g_free. */
char *pd_place_date(gint64 date_utc);

#endif
