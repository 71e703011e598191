/* JSON with a bound on its nesting; see the header for why. */
#include "engine/json_bounded.h"
#include "engine/error.h"
#include "engine/json_depth.h"

char *
pd_json_read_file(const char *path, gsize *n_bytes, GError **error)
{
    char *text = NULL;
    g_autoptr(GError) io_error = NULL;
    if (!g_file_get_contents(path, &text, n_bytes, &io_error))
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s", io_error->message);
    return text;
}

JsonParser *
pd_json_parse_object(const char *bytes, gsize n_bytes, const char *name, GError **error)
{
    int depth = pd_json_depth(bytes, n_bytes);
    if (depth < 0 || depth > PD_JSON_CONFIG_DEPTH_MAX) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: not JSON, or nested deeper than %d", name, PD_JSON_CONFIG_DEPTH_MAX);
        return NULL;
    }
    if (n_bytes > G_MAXSSIZE || !g_utf8_validate_len(bytes, n_bytes, NULL)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: JSON is not UTF-8", name);
        return NULL;
    }
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) parse_error = NULL;
    if (!json_parser_load_from_data(parser, bytes, (gssize)n_bytes, &parse_error)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: not JSON: %s", name,
                    parse_error->message);
        return NULL;
    }
    JsonNode *root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: not a JSON object", name);
        return NULL;
    }
    return g_steal_pointer(&parser);
}

JsonParser *
pd_json_read_object(const char *path, GError **error)
{
    gsize n_bytes;
    g_autofree char *text = pd_json_read_file(path, &n_bytes, error);
    return text != NULL ? pd_json_parse_object(text, n_bytes, path, error) : NULL;
}

JsonObject *
pd_json_object(JsonParser *parser)
{
    return json_node_get_object(json_parser_get_root(parser));
}
