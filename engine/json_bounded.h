/*
 * JSON of a model's files and of what Pandect wrote, which are not trusted: its nesting is bounded
 * (json_depth.h).
 */
#ifndef PD_JSON_BOUNDED_H
#define PD_JSON_BOUNDED_H

#include <json-glib/json-glib.h>

#define PD_JSON_CONFIG_DEPTH_MAX 32

/* A file's bytes, not parsed yet; free with g_free.  NULL: an error of kind IO. */
char *pd_json_read_file(const char *path, gsize *n_bytes, GError **error);

/* The parser of `n_bytes` of JSON whose root is an object; `name` is for messages. */
JsonParser *pd_json_parse_object(const char *bytes, gsize n_bytes, const char *name,
                                 GError **error);
/* The same of a whole file. */
JsonParser *pd_json_read_object(const char *path, GError **error);
/* The object that such a parser holds, and owns. */
JsonObject *pd_json_object(JsonParser *parser);

#endif
