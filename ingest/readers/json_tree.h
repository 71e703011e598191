/* JSON of files that are not trusted: its depth before it is parsed, its strings after. */
#ifndef PD_JSON_TREE_H
#define PD_JSON_TREE_H

#include <json-glib/json-glib.h>

/* Parses what is not nested deeper than depth_max; errors LIMIT, FORMAT for what only looks
 * like JSON to json-glib, or its own with "it is no WHAT: " before it. */
gboolean pd_json_load(JsonParser *parser, const guint8 *bytes, gsize n, guint depth_max,
                      const char *what, GError **error);
/* A string's text, owned by the node; NULL: it is something else, or NULL.  json-glib takes octal
 * escapes, which JSON does not have: bytes that are not UTF-8 become U+FFFD, in the node too. */
const char *pd_json_text(JsonNode *node);

#endif
