/* See json_tree.h. */
#include "ingest/readers/json_tree.h"

#include "ingest/error.h"

/* Brackets that are open at most, strings left out. */
static guint
depth_of(const guint8 *bytes, gsize n)
{
    guint depth = 0;
    guint deepest = 0;
    gboolean in_string = FALSE;
    for (gsize i = 0; i < n; i++) {
        if (in_string && bytes[i] == '\\')
            i++;
        else if (bytes[i] == '"')
            in_string = !in_string;
        else if (in_string)
            continue;
        else if (bytes[i] == '[' || bytes[i] == '{')
            deepest = MAX(deepest, ++depth);
        else if (bytes[i] == ']' || bytes[i] == '}')
            depth -= depth > 0;
    }
    return deepest;
}

gboolean
pd_json_load(JsonParser *parser, const guint8 *bytes, gsize n, const char *what, GError **error)
{
    if (depth_of(bytes, n) > PD_JSON_DEPTH_MAX) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "its JSON is nested deeper than the limit of %u", PD_JSON_DEPTH_MAX);
        return FALSE;
    }
    if (json_parser_load_from_data(parser, (const char *)bytes, (gssize)n, error))
        return TRUE;
    g_prefix_error(error, "it is no %s: ", what);
    return FALSE;
}

const char *
pd_json_text(JsonNode *node)
{
    if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return NULL;
    if (!g_utf8_validate(json_node_get_string(node), -1, NULL)) {
        g_autofree char *valid = g_utf8_make_valid(json_node_get_string(node), -1);
        json_node_set_string(node, valid);
    }
    return json_node_get_string(node);
}
