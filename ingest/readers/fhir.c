/*
 * FHIR resources (HL7, JSON): a section each, its narrative and then its elements, one a line, as
 * "code.text: Hypertension".  Left out are what only programs need (identifiers, addresses of code
 * systems, metadata) and attached files, which are bytes in base64.
 */
#include "ingest/readers/clinical.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "ingest/readers/json_tree.h"

static JsonNode *
member(JsonNode *node, const char *name)
{
    JsonObject *object = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    return object && json_object_has_member(object, name) ? json_object_get_member(object, name)
                                                          : NULL;
}

static gboolean
is_for_programs(const char *name)
{
    static const char *const names[] = {
        "id",      "meta",      "text",          "system",
        "url",     "extension", "implicitRules", "resourceType",
        "fullUrl", "data",      "contained",     "modifierExtension",
        NULL};
    return g_strv_contains(names, name) || name[0] == '_';
}

static void
append_value(GString *out, const char *path, JsonNode *node)
{
    GType type = json_node_get_value_type(node);
    const char *text = pd_json_text(node);
    if (text)
        g_string_append_printf(out, "%s: %s\n", path, text);
    else if (type == G_TYPE_BOOLEAN)
        g_string_append_printf(out, "%s: %s\n", path,
                               json_node_get_boolean(node) ? "true" : "false");
    else if (type == G_TYPE_INT64)
        g_string_append_printf(out, "%s: %" G_GINT64_FORMAT "\n", path, json_node_get_int(node));
    else if (type == G_TYPE_DOUBLE) {
        char number[G_ASCII_DTOSTR_BUF_SIZE];
        g_ascii_formatd(number, sizeof number, "%.15g", json_node_get_double(node));
        g_string_append_printf(out, "%s: %s\n", path, number);
    }
}

/* Depth is limited by pd_json_load. */
static void
append_elements(GString *out, const char *path, JsonNode *node)
{
    if (JSON_NODE_HOLDS_VALUE(node)) {
        append_value(out, path, node);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++)
            append_elements(out, path, json_array_get_element(array, i));
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        g_autoptr(GList) names = json_object_get_members(json_node_get_object(node));
        for (GList *at = names; at; at = at->next) {
            if (is_for_programs(at->data) && !(*path && g_str_equal(at->data, "text")))
                continue;
            g_autofree char *name = g_utf8_make_valid(at->data, -1); /* as pd_json_text */
            g_autofree char *below = g_strconcat(path, *path ? "." : "", name, NULL);
            append_elements(out, below, member(node, at->data));
        }
    }
}

/* "Condition: Hypertension" */
static char *
label_of(JsonNode *resource)
{
    static const char *const fields[] = {"code", "vaccineCode", "medicationCodeableConcept",
                                         "type"};
    const char *type = pd_json_text(member(resource, "resourceType"));
    const char *name = pd_json_text(member(resource, "title"));
    for (gsize i = 0; !name && i < G_N_ELEMENTS(fields); i++)
        name = pd_json_text(member(member(resource, fields[i]), "text"));
    return name ? g_strdup_printf("%s: %s", type, name) : g_strdup(type);
}

static gboolean
read_resource(PdClinical *clinical, JsonNode *resource, GError **error)
{
    const char *narrative = pd_json_text(member(member(resource, "text"), "div"));
    g_autoptr(GString) text = g_string_new(NULL);
    if (!pd_json_text(member(resource, "resourceType")))
        return TRUE;
    if (narrative) {
        PdHtmlInfo info = {0};
        gboolean ok = pd_html_to_text(narrative, strlen(narrative), clinical->depth_max, FALSE,
                                      text, &info, error);
        g_free(info.title);
        if (!ok)
            return FALSE;
    }
    append_elements(text, "", resource);
    g_autofree char *label = label_of(resource);
    pd_clinical_add_section(clinical, label, text->str);
    return TRUE;
}

gboolean
pd_fhir_read(const guint8 *bytes, gsize n, PdClinical *clinical, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!pd_json_load(parser, bytes, n, clinical->json_depth_max, "clinical document", error))
        return FALSE;
    JsonNode *root = json_parser_get_root(parser), *entries = member(root, "entry");
    if (!entries || !JSON_NODE_HOLDS_ARRAY(entries))
        return read_resource(clinical, root, error);
    JsonArray *array = json_node_get_array(entries);
    for (guint i = 0; i < json_array_get_length(array) && !clinical->cut; i++) {
        JsonNode *resource = member(json_array_get_element(array, i), "resource");
        if (resource && !read_resource(clinical, resource, error))
            return FALSE;
    }
    return TRUE;
}
