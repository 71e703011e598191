/* See choice.h. */
#include "prompts/choice.h"

gboolean
pd_parse_choice(const char *word, const char *const *names, guint n, guint *value)
{
    *value = 0;
    for (guint i = 0; word && i < n; i++)
        if (g_str_equal(word, names[i])) {
            *value = i;
            return TRUE;
        }
    return word == NULL;
}
