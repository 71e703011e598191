/* See json_text.h. */
#include "ingest/json_text.h"

#include <string.h>

char *
pd_json_text(JsonNode *root)
{
    g_autofree char *text = json_to_string(root, FALSE);
    g_auto(GStrv) pieces = NULL;

    if (!strchr(text, 0x1f))
        return g_steal_pointer(&text);
    pieces = g_strsplit(text, "\x1f", -1);
    return g_strjoinv("\\u001f", pieces);
}
