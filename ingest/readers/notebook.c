/*
 * Jupyter notebooks (nbformat 3 and 4, JSON) to text: their cells, and what running them printed.
 *
 * Each is headed by a line "[cell 3: code]", "[cell 3: output]", from which its place is told
 * (ingest/place.c); several make a part "cells/N", N being the number of its first cell.
 */
#include "ingest/readers/notebook.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "ingest/readers/json_tree.h"

/* A new part begins after so many bytes. */
#define PART_BYTES_MIN (4u << 10)

typedef struct {
    PdDocument *document;
    PdPart *part;
    guint number; /* of the cell, from 1 */
    guint64 left; /* bytes of text that may still come */
    gboolean cut;
    guint n_pictures;
} Notebook;

/* --- JSON, whatever its types ----------------------------------------------------------------- */

static JsonNode *
member(JsonObject *object, const char *name)
{
    return object && json_object_has_member(object, name) ? json_object_get_member(object, name)
                                                          : NULL;
}

static JsonObject *
object_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonArray *
array_of(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* A text: a string, or several to be joined. */
static char *
text_of(JsonNode *node)
{
    JsonArray *array = array_of(node);
    GString *text = g_string_new(pd_json_text(node));
    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        const char *line = pd_json_text(json_array_get_element(array, i));
        g_string_append(text, line ? line : "");
    }
    return g_string_free(text, FALSE);
}

/* --- cells ------------------------------------------------------------------------------------ */

/* A text of the cell, under its mark; `what`: "code", "output" ... */
static void
append(Notebook *notebook, const char *what, const char *text)
{
    gsize n = strlen(text);
    while (n && g_ascii_isspace(text[n - 1]))
        n--;
    if (!n)
        return;
    g_autofree char *mark = g_strdup_printf("[cell %u: %s]\n", notebook->number, what);
    if (strlen(mark) + n + 2 > notebook->left) {
        notebook->cut = TRUE;
        notebook->left = 0;
        return;
    }
    if (!notebook->part ||
        (notebook->part->text->len >= PART_BYTES_MIN && strcmp(what, "output") != 0)) {
        g_autofree char *path = g_strdup_printf("cells/%u", notebook->number);
        notebook->part = pd_document_add_part(notebook->document, path, NULL);
    }
    GString *out = notebook->part->text;
    gsize before = out->len;
    if (out->len)
        g_string_append_c(out, '\n');
    g_string_append(out, mark);
    g_string_append_len(out, text, (gssize)n);
    g_string_append_c(out, '\n');
    notebook->left -= out->len - before;
}

/* nbformat 4 has the forms of one result in "data", 3 in the output itself. */
static void
append_output(Notebook *notebook, JsonObject *output, GString *text)
{
    JsonObject *data = object_of(member(output, "data"));
    JsonNode *plain = member(data, "text/plain");
    g_autofree char *printed = text_of(plain ? plain : member(output, "text"));
    g_string_append(text, printed);
    const char *name = pd_json_text(member(output, "ename"));
    const char *value = pd_json_text(member(output, "evalue"));
    if (name)
        g_string_append_printf(text, "%s: %s\n", name, value ? value : "");
    if (text->len && text->str[text->len - 1] != '\n')
        g_string_append_c(text, '\n');
    static const char *const pictures[] = {"image/png", "image/jpeg", "image/svg+xml", "png",
                                           "jpeg"};
    for (gsize i = 0; i < G_N_ELEMENTS(pictures); i++) {
        if (member(data ? data : output, pictures[i])) {
            notebook->n_pictures++;
            break;
        }
    }
}

static void
read_cell(Notebook *notebook, JsonObject *cell)
{
    const char *type = pd_json_text(member(cell, "cell_type"));
    JsonNode *source = member(cell, "source");
    JsonArray *outputs = array_of(member(cell, "outputs"));
    g_autofree char *text = text_of(source ? source : member(cell, "input"));
    g_autoptr(GString) printed = g_string_new(NULL);
    gboolean known = type && (strcmp(type, "code") == 0 || strcmp(type, "raw") == 0);
    append(notebook, known ? type : "text", text);
    for (guint i = 0; outputs && i < json_array_get_length(outputs); i++) {
        JsonObject *output = object_of(json_array_get_element(outputs, i));
        if (output)
            append_output(notebook, output, printed);
    }
    append(notebook, "output", printed->str);
}

static void
read_cells(Notebook *notebook, JsonArray *cells)
{
    for (guint i = 0; cells && i < json_array_get_length(cells) && !notebook->cut; i++) {
        JsonObject *cell = object_of(json_array_get_element(cells, i));
        notebook->number++;
        if (cell)
            read_cell(notebook, cell);
    }
}

/* --- the document ----------------------------------------------------------------------------- */

static gboolean
tell(const Notebook *notebook, PdEmitter *emitter, const char *key, GError **error)
{
    if (notebook->n_pictures &&
        !pd_emit_ledger(emitter, "note", key, -1, error,
                        "pictures in outputs: %u, text in them is not read", notebook->n_pictures))
        return FALSE;
    return !notebook->cut || pd_emit_ledger(emitter, "partial", key, -1, error,
                                            "text cut at the limit of %" G_GUINT64_FORMAT " bytes",
                                            emitter->limits->text_bytes_max);
}

gboolean
pd_notebook_read(const guint8 *bytes, gsize n, PdDocument *document, PdEmitter *emitter,
                 const char *key, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    Notebook notebook = {.document = document, .left = emitter->limits->text_bytes_max};
    if (!pd_json_load(parser, bytes, n, emitter->limits->json_depth_max, "notebook", error))
        return FALSE;
    JsonObject *root = object_of(json_parser_get_root(parser));
    JsonArray *worksheets = array_of(member(root, "worksheets"));
    read_cells(&notebook, array_of(member(root, "cells")));
    for (guint i = 0; worksheets && i < json_array_get_length(worksheets); i++) {
        JsonObject *worksheet = object_of(json_array_get_element(worksheets, i));
        read_cells(&notebook, array_of(member(worksheet, "cells")));
    }
    return tell(&notebook, emitter, key, error);
}
