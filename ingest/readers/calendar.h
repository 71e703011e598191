/*
 * Calendars (iCalendar, RFC 5545; their methods, RFC 5546) laid out for people: a block of lines
 * for each event, task, journal entry or list of busy times.
 */
#ifndef PD_CALENDAR_H
#define PD_CALENDAR_H

#include "ingest/readers/readers.h"

/*
 * Appends what a calendar says to `out`, UTF-8 with LF line ends.  `label`: the character set as it
 * was declared, or NULL.  Times keep their zone and are not converted; rules of recurrence stand in
 * words and as given.  Left out: version, product, and properties of programs ("X-..."); files in
 * it are told.  What is malformed is kept as it is, with a note.
 */
gboolean pd_calendar_read(const guint8 *bytes, gsize n, const char *label, PdEmitter *emitter,
                          const char *key, GString *out, GError **error);

#endif
