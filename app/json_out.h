/* Small steps in writing JSON: members of a builder's open object. */
#ifndef PD_JSON_OUT_H
#define PD_JSON_OUT_H

#include <json-glib/json-glib.h>

/* NULL becomes null; bytes that are no UTF-8 become U+FFFD. */
void pd_json_string(JsonBuilder *json, const char *name, const char *value);
void pd_json_int(JsonBuilder *json, const char *name, gint64 value);
/* The finished tree on stdout, one line. */
void pd_json_print(JsonBuilder *json);

#endif
