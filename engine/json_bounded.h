/*
 * JSON from files that are not trusted.  json-glib's parser recurses, so the nesting is measured
 * before it runs: a header of a million '[' is an error here instead of a full stack there.
 */
#ifndef PD_JSON_BOUNDED_H
#define PD_JSON_BOUNDED_H

#include <json-glib/json-glib.h>

#define PD_JSON_DEPTH_MAX 32

/* The parser of `n_bytes` of JSON whose root is an object; `name` is for messages. */
JsonParser *pd_json_parse_object(const char *bytes, gsize n_bytes, const char *name,
                                 GError **error);

#endif
