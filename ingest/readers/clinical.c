/*
 * C-CDA (HL7 CDA R2): a header and sections, each with a narrative that must say all that its coded
 * entries say.  The narrative is read, section by section, with the patient and the dates of the
 * header on top; entries are not.
 */
#include "ingest/readers/clinical.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "ingest/error.h"

gboolean
pd_clinical_add_section(PdClinical *clinical, const char *label, const char *text)
{
    g_autofree char *path = g_strdup_printf("section/%u", ++clinical->number);
    if (!*text || clinical->cut)
        return !clinical->cut;
    PdPart *part = pd_document_add_part(clinical->document, path, label);
    g_string_append(part->text, text);
    clinical->cut = pd_text_truncate(part->text, clinical->left);
    clinical->left -= part->text->len;
    return !clinical->cut;
}

/* --- the tree ------------------------------------------------------------------------------ */

static gboolean
is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

/* The element at a path of names, the first of each; NULL: there is none. */
static xmlNode *
find(xmlNode *node, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (guint i = 0; node && names[i]; i++) {
        for (node = node->children; node && !is_named(node, names[i]);)
            node = node->next;
    }
    return node;
}

/* All text below a node, on one line; NULL: none. */
static char *
text_of(xmlNode *node)
{
    xmlChar *content = node ? xmlNodeGetContent(node) : NULL;
    g_auto(GStrv) words = g_strsplit_set(content ? (const char *)content : "", " \t\r\n", -1);
    g_autoptr(GString) line = g_string_new(NULL);
    for (guint i = 0; words[i]; i++)
        if (*words[i])
            g_string_append_printf(line, "%s%s", line->len ? " " : "", words[i]);
    xmlFree(content);
    return line->len ? g_strdup(line->str) : NULL;
}

static char *
attribute(xmlNode *node, const char *name)
{
    xmlChar *value = node ? xmlGetProp(node, (const xmlChar *)name) : NULL;
    char *copy = value && *value ? g_strdup((const char *)value) : NULL;
    xmlFree(value);
    return copy;
}

/* --- sections ------------------------------------------------------------------------------ */

/* The elements of a narrative block under the names that HTML has for them. */
static void
rename_narrative(xmlNode *top)
{
    static const char *const names[][2] = {
        {"paragraph", "p"}, {"list", "ul"}, {"item", "li"}, {"caption", "p"}, {"content", "span"}};
    for (xmlNode *node = top; node;) {
        for (gsize i = 0; node->type == XML_ELEMENT_NODE && i < G_N_ELEMENTS(names); i++)
            if (is_named(node, names[i][0])) {
                xmlNodeSetName(node, (const xmlChar *)names[i][1]);
                break;
            }
        if (node->children) {
            node = node->children;
            continue;
        }
        while (node && node != top && !node->next)
            node = node->parent;
        node = node && node != top ? node->next : NULL;
    }
}

static gboolean
read_narrative(PdClinical *clinical, xmlNode *narrative, const char *title, GError **error)
{
    PdHtmlInfo info = {0};
    g_autoptr(GString) text = g_string_new(NULL);
    if (title)
        g_string_append_printf(text, "%s\n", title);
    if (narrative) {
        xmlBuffer *buffer = xmlBufferCreate();
        rename_narrative(narrative);
        xmlNodeSetName(narrative, (const xmlChar *)"div");
        xmlNodeDump(buffer, narrative->doc, narrative, 0, 0);
        gboolean ok =
            pd_html_to_text((const char *)xmlBufferContent(buffer), (gsize)xmlBufferLength(buffer),
                            clinical->depth_max, FALSE, text, &info, error);
        xmlBufferFree(buffer);
        g_free(info.title);
        if (!ok)
            return FALSE;
    }
    pd_clinical_add_section(clinical, title, text->str);
    return TRUE;
}

/* A section, and the sections in it. */
static gboolean
read_sections(PdClinical *clinical, xmlNode *parent, guint depth, GError **error)
{
    for (xmlNode *node = parent ? parent->children : NULL; node && !clinical->cut;
         node = node->next) {
        xmlNode *section = is_named(node, "component") ? find(node, "section") : NULL;
        if (!section)
            continue;
        g_autofree char *title = text_of(find(section, "title"));
        if (!title)
            title = attribute(find(section, "code"), "displayName");
        if (depth >= clinical->section_depth_max) {
            clinical->too_deep = TRUE;
            continue;
        }
        if (!read_narrative(clinical, find(section, "text"), title, error) ||
            !read_sections(clinical, section, depth + 1, error))
            return FALSE;
    }
    return TRUE;
}

/* "20110503" or longer, as "2011-05-03". */
static void
append_date(GString *text, const char *field, xmlNode *node)
{
    g_autofree char *value = attribute(node, "value");
    if (value && strlen(value) >= 8)
        g_string_append_printf(text, "%s: %.4s-%.2s-%.2s\n", field, value, value + 4, value + 6);
}

static void
append_field(GString *text, const char *field, xmlNode *node)
{
    g_autofree char *value = text_of(node);
    if (value)
        g_string_append_printf(text, "%s: %s\n", field, value);
}

static void
read_head(PdClinical *clinical, xmlNode *root)
{
    xmlNode *patient = find(root, "recordTarget/patientRole/patient");
    g_autoptr(GString) text = g_string_new(NULL);
    clinical->document->title = text_of(find(root, "title"));
    append_field(text, "Title", find(root, "title"));
    append_date(text, "Date", find(root, "effectiveTime"));
    append_field(text, "Patient", find(patient, "name"));
    append_date(text, "Born", find(patient, "birthTime"));
    append_field(text, "Author", find(root, "author/assignedAuthor/assignedPerson/name"));
    append_field(text, "Custodian",
                 find(root, "custodian/assignedCustodian/representedCustodianOrganization/name"));
    pd_clinical_add_section(clinical, "header", text->str);
}

static gboolean
read_cda(const guint8 *bytes, gsize n, PdClinical *clinical, GError **error)
{
    xmlDoc *tree = n > G_MAXINT ? NULL
                                : xmlReadMemory((const char *)bytes, (int)n, NULL, NULL,
                                                XML_PARSE_NONET | XML_PARSE_NOERROR |
                                                    XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    xmlNode *root = tree ? xmlDocGetRootElement(tree) : NULL;
    /* No such document needs entities, and those of a hostile one grow without end. */
    gboolean ok = root && is_named(root, "ClinicalDocument") && !tree->intSubset;
    if (!ok)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "it is no clinical document: its XML is damaged%s",
                    tree && tree->intSubset ? " or declares entities" : "");
    if (ok) {
        xmlNode *plain = find(root, "component/nonXMLBody");
        read_head(clinical, root);
        ok = read_sections(clinical, find(root, "component/structuredBody"), 0, error);
        if (ok && plain)
            ok = read_narrative(clinical, find(plain, "text"), NULL, error);
    }
    if (tree)
        xmlFreeDoc(tree);
    return ok;
}

gboolean
pd_clinical_read(const guint8 *bytes, gsize n, PdDocument *document, PdEmitter *emitter,
                 const char *key, GError **error)
{
    PdClinical clinical = {.document = document,
                           .left = emitter->limits->text_bytes_max,
                           .depth_max = emitter->limits->html_depth_max,
                           .section_depth_max = emitter->limits->section_depth_max,
                           .json_depth_max = emitter->limits->json_depth_max};
    gsize at = 0;
    while (at < n && g_ascii_isspace(bytes[at]))
        at++;
    gboolean is_json = at < n && bytes[at] == '{';
    if (!(is_json ? pd_fhir_read(bytes, n, &clinical, error)
                  : read_cda(bytes, n, &clinical, error)))
        return FALSE;
    if (clinical.too_deep && !pd_emit_ledger(emitter, "partial", key, -1, error,
                                             "sections deeper than the limit of %u were not read",
                                             emitter->limits->section_depth_max))
        return FALSE;
    return !clinical.cut || pd_emit_ledger(emitter, "partial", key, -1, error,
                                           "text cut at the limit of %" G_GUINT64_FORMAT " bytes",
                                           emitter->limits->text_bytes_max);
}
