/* See json_out.h. */
#include "app/json_out.h"
#include "ingest/json_text.h"

#include <stdio.h>

void
pd_json_string(JsonBuilder *json, const char *name, const char *value)
{
    json_builder_set_member_name(json, name);
    if (!value) {
        json_builder_add_null_value(json);
        return;
    }
    g_autofree char *valid = g_utf8_make_valid(value, -1);
    json_builder_add_string_value(json, valid);
}

void
pd_json_int(JsonBuilder *json, const char *name, gint64 value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, value);
}

void
pd_json_print(JsonBuilder *json)
{
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    g_autofree char *text = pd_json_text(root);
    puts(text);
}
