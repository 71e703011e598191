/* JSON as text, for everything that prints it. */
#ifndef PD_JSON_TEXT_H
#define PD_JSON_TEXT_H

#include <json-glib/json-glib.h>

/* One line.  json_to_string, but U+001F is escaped like the other control characters: json-glib
 * 1.6 leaves it as it is, which RFC 8259 (section 7) forbids.  Free with g_free. */
char *pd_json_text(JsonNode *root);

#endif
