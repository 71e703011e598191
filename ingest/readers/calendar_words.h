/* What calendars say in figures, for people: times and rules of recurrence (RFC 5545). */
#ifndef PD_CALENDAR_WORDS_H
#define PD_CALENDAR_WORDS_H

#include <glib.h>

/* Appends one time, date or period (section 3.3.4, 3.3.5, 3.3.9), as "2001-05-14 10:00
 * (Europe/Oslo)", "2001-05-14 08:00 UTC", "2001-05-14".  The zone is that of `tzid` (NULL: none);
 * nothing is converted.  What is none of these stays as it is given. */
void pd_calendar_time(GString *out, const char *value, gsize n, const char *tzid);

/* Appends a rule (section 3.3.10) as "every 2 weeks on Monday and Friday, 10 times", and as it is
 * given behind that, in brackets.  A rule with parts that have no words here is only given. */
void pd_calendar_rule(GString *out, const char *rule);

#endif
