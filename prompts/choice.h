/* One of several words on the command line, as the number of an enum's value. */
#ifndef PD_CHOICE_H
#define PD_CHOICE_H

#include <glib.h>

/* *value: the index of `word` among the names, 0 for NULL; FALSE (and 0) for an unknown word. */
gboolean pd_parse_choice(const char *word, const char *const *names, guint n, guint *value);

#endif
