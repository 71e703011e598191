/* See json_fields.h. */
#include "engine/json_fields.h"

void
pd_fields_complain(PdFields *f, const char *field, const char *what)
{
    if (f->problem->len == 0)
        g_string_printf(f->problem, "%s %s", field, what);
}

JsonNode *
pd_fields_get(PdFields *f, const char *field)
{
    JsonNode *node = json_object_get_member(f->object, field);
    return node == NULL || JSON_NODE_HOLDS_NULL(node) ? NULL : node;
}

gboolean
pd_fields_holds(JsonNode *node, GType type)
{
    return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

int
pd_fields_int(PdFields *f, const char *field, int fallback)
{
    JsonNode *node = pd_fields_get(f, field);
    if (node == NULL) {
        if (fallback < 0)
            pd_fields_complain(f, field, "is missing");
        return fallback;
    }
    gint64 value = pd_fields_holds(node, G_TYPE_INT64) ? json_node_get_int(node) : -1;
    if (value < 0 || value > G_MAXINT32) {
        pd_fields_complain(f, field, "is not a whole number that makes sense");
        return 0;
    }
    return (int)value;
}

double
pd_fields_number(PdFields *f, const char *field, double fallback)
{
    JsonNode *node = pd_fields_get(f, field);
    if (node == NULL)
        return fallback;
    if (pd_fields_holds(node, G_TYPE_INT64))
        return (double)json_node_get_int(node);
    if (pd_fields_holds(node, G_TYPE_DOUBLE))
        return json_node_get_double(node);
    pd_fields_complain(f, field, "is not a number");
    return fallback;
}

gboolean
pd_fields_bool(PdFields *f, const char *field, gboolean fallback)
{
    JsonNode *node = pd_fields_get(f, field);
    if (node == NULL)
        return fallback;
    if (pd_fields_holds(node, G_TYPE_BOOLEAN))
        return json_node_get_boolean(node);
    pd_fields_complain(f, field, "is not true or false");
    return fallback;
}

const char *
pd_fields_text(PdFields *f, const char *field)
{
    JsonNode *node = pd_fields_get(f, field);
    if (node == NULL)
        return NULL;
    if (pd_fields_holds(node, G_TYPE_STRING))
        return json_node_get_string(node);
    pd_fields_complain(f, field, "is not a string");
    return NULL;
}

JsonObject *
pd_fields_object(PdFields *f, const char *field)
{
    JsonNode *node = pd_fields_get(f, field);
    if (node == NULL)
        return NULL;
    if (JSON_NODE_HOLDS_OBJECT(node))
        return json_node_get_object(node);
    pd_fields_complain(f, field, "is not an object");
    return NULL;
}
