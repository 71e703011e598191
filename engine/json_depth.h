/*
 * How deep JSON nests, measured before json-glib parses it: its parser calls itself for each level,
 * so a header of a million '[' is a number here instead of a full stack there.
 */
#ifndef PD_JSON_DEPTH_H
#define PD_JSON_DEPTH_H

#include <glib.h>

/*
 * The most brackets that are open at a time outside strings.  json-glib also reads comments and
 * single-quoted strings, whose quotes would mislead the count: -1 where what JSON does not have
 * stands outside strings.
 */
static inline int
pd_json_depth(const char *bytes, gsize n_bytes)
{
    int depth = 0, deepest = 0;
    gboolean in_string = FALSE;

    for (gsize i = 0; i < n_bytes && depth < G_MAXINT; i++) {
        char c = bytes[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (in_string)
            continue;
        else if (c == '{' || c == '[')
            deepest += ++depth > deepest;
        else if (c == '}' || c == ']')
            depth -= depth > 0;
        else if (c == '/' || c == '#' || c == '\'')
            return -1;
    }
    return deepest;
}

#endif
