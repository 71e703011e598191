/* One of several words on the command line, as the number of an enum's value. */
#ifndef PD_CHOICE_H
#define PD_CHOICE_H

#include <glib.h>

/* *value: the index of `word` among the names, 0 for NULL; FALSE (and 0) for an unknown word. */
gboolean pd_parse_choice(const char *word, const char *const *names, guint n, guint *value);

/* Defines `gboolean func(const char *word, Type *value)` over an array of names, as above. */
#define PD_DEFINE_CHOICE_PARSER(func, Type, names)                                                 \
    gboolean func(const char *word, Type *value)                                                   \
    {                                                                                              \
        guint number;                                                                              \
        gboolean ok = pd_parse_choice(word, names, G_N_ELEMENTS(names), &number);                  \
                                                                                                   \
        *value = (Type)number;                                                                     \
        return ok;                                                                                 \
    }

#endif
