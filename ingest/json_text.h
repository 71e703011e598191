/* JSON as text: members of a builder's open object, and the finished tree, for everything that
 * prints it. */
#ifndef PD_JSON_TEXT_H
#define PD_JSON_TEXT_H

#include <json-glib/json-glib.h>

/* NULL becomes null; bytes that are no UTF-8 (paths and keys come from outside) become U+FFFD. */
void pd_json_string(JsonBuilder *json, const char *name, const char *value);
/* An array of n of them, none NULL. */
void pd_json_strings(JsonBuilder *json, const char *name, char *const *values, gsize n);
void pd_json_int(JsonBuilder *json, const char *name, gint64 value);
void pd_json_double(JsonBuilder *json, const char *name, double value);
void pd_json_bool(JsonBuilder *json, const char *name, gboolean value);

/* One line.  json_to_string, but U+001F is escaped like the other control characters: json-glib
 * 1.6 leaves it as it is, which RFC 8259 (section 7) forbids.  Free with g_free. */
char *pd_json_text(JsonNode *root);
/* The same of what a builder has made. */
char *pd_json_built(JsonBuilder *json);

#endif
