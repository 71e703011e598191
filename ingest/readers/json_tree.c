/* See json_tree.h. */
#include "ingest/readers/json_tree.h"

#include "engine/json_depth.h"
#include "ingest/error.h"

gboolean
pd_json_load(JsonParser *parser, const guint8 *bytes, gsize n, guint depth_max, const char *what,
             GError **error)
{
    int depth = pd_json_depth((const char *)bytes, n);

    if (depth < 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "it is no %s: it has comments or single quotes, which JSON has not", what);
        return FALSE;
    }
    if ((guint)depth > depth_max) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "its JSON is nested deeper than the limit of %u", depth_max);
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
