/* See json_text.h. */
#include "ingest/json_text.h"

#include <string.h>

void
pd_json_string(JsonBuilder *json, const char *name, const char *value)
{
    g_autofree char *valid = value ? g_utf8_make_valid(value, -1) : NULL;

    json_builder_set_member_name(json, name);
    if (valid)
        json_builder_add_string_value(json, valid);
    else
        json_builder_add_null_value(json);
}

void
pd_json_strings(JsonBuilder *json, const char *name, char *const *values, gsize n)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (gsize i = 0; i < n; i++) {
        g_autofree char *valid = g_utf8_make_valid(values[i], -1);
        json_builder_add_string_value(json, valid);
    }
    json_builder_end_array(json);
}

void
pd_json_int(JsonBuilder *json, const char *name, gint64 value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, value);
}

void
pd_json_double(JsonBuilder *json, const char *name, double value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_double_value(json, value);
}

void
pd_json_bool(JsonBuilder *json, const char *name, gboolean value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_boolean_value(json, value);
}

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

char *
pd_json_built(JsonBuilder *json)
{
    g_autoptr(JsonNode) root = json_builder_get_root(json);

    return pd_json_text(root);
}
