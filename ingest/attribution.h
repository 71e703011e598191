/*
 * Lines that only say who wrote what follows them: "On Mon, 14 May 2001 at 10:21, Kay Smith
 * <kay@example.org> wrote:", "From: Kay Smith".
 *
 * They go with the quote below them, so nothing that the mail's author says may be taken for one:
 * every word must be the quoted person's name or address, a verb of writing, part of a date, or one
 * of the few words that join these.  Names of days and months are not listed: they are the one or
 * two other words directly beside a date's numbers, in any language.
 */
#ifndef PD_ATTRIBUTION_H
#define PD_ATTRIBUTION_H

#include <glib.h>

typedef enum {
    PD_ATTRIBUTION_NONE,
    PD_ATTRIBUTION_UNDATED, /* "Kay Smith wrote:" */
    PD_ATTRIBUTION_DATED,
} PdAttribution;

/* What the n bytes of one or a few lines are, from the first word to the colon at the end; `author`
 * is who wrote what follows ("Kay Smith <kay@example.org>"; may be NULL). */
PdAttribution pd_attribution_of(const char *text, gsize n, const char *author);
/* Do n bytes name nobody but that author?  The value of a From header does. */
gboolean pd_names_author_only(const char *text, gsize n, const char *author);

#endif
