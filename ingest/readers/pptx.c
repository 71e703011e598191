/*
 * PresentationML (ISO/IEC 29500-1, 19) to text: for each slide its shapes in the order of the file,
 * the title first, then the speaker's notes and the comments.
 *
 * A slide is a section "slide N" of blocks (blocks.h).  Numbers, dates and footers that every slide
 * repeats are left out.  Hidden slides are read and told.
 */
#include "ingest/readers/office.h"

#include <string.h>

typedef struct {
    const PdPackage *package;
    PdEmitter *emitter;
    PdBlocks *blocks;
    GHashTable *authors; /* id -> name, of comments */
    guint n_pictures;
    guint n_charts;
    guint n_hidden;
} Pptx;

/* A shape under way. */
typedef struct {
    GString *text; /* of the open paragraph */
    gboolean is_title;
    gboolean repeated; /* a slide number, date or footer */
    gboolean in_text;
} Shape;

/* --- slides ----------------------------------------------------------------------------------- */

/* What a placeholder is for. */
static void
read_placeholder(Shape *shape, PdXml *xml)
{
    static const char *const repeated[] = {"sldNum", "dt", "ftr", "hdr", "sldImg", NULL};
    g_autofree char *type = pd_xml_attribute(xml, "type");
    if (!type)
        return;
    shape->is_title = strcmp(type, "title") == 0 || strcmp(type, "ctrTitle") == 0;
    shape->repeated = g_strv_contains(repeated, type);
}

static void
on_open(Pptx *pptx, Shape *shape, PdXml *xml)
{
    if (pd_xml_is(xml, "sp") || pd_xml_is(xml, "graphicFrame")) {
        shape->is_title = shape->repeated = FALSE;
    } else if (pd_xml_is(xml, "ph")) {
        read_placeholder(shape, xml);
    } else if (pd_xml_is(xml, "p")) {
        g_string_truncate(shape->text, 0);
        shape->in_text = TRUE;
    } else if (pd_xml_is(xml, "t") && shape->in_text) {
        pd_xml_skip(xml, shape->text);
    } else if (pd_xml_is(xml, "br") && shape->in_text) {
        g_string_append_c(shape->text, '\n');
    } else if (pd_xml_is(xml, "tab") && shape->in_text) {
        g_string_append_c(shape->text, '\t');
    } else if (pd_xml_is(xml, "tbl")) {
        pd_blocks_open_table(pptx->blocks);
    } else if (pd_xml_is(xml, "blip")) {
        pptx->n_pictures++;
    } else if (pd_xml_is(xml, "chart") || pd_xml_is(xml, "relIds")) {
        pptx->n_charts++;
    } else if (pd_xml_is(xml, "Fallback")) {
        pd_xml_skip(xml, NULL);
    }
}

static void
on_close(Pptx *pptx, Shape *shape, PdXml *xml)
{
    if (pd_xml_is(xml, "p") && shape->in_text) {
        if (!shape->repeated)
            pd_blocks_paragraph(pptx->blocks, shape->text->str, shape->is_title ? 1 : 0);
        g_string_truncate(shape->text, 0);
        shape->in_text = FALSE;
    } else if (pd_xml_is(xml, "tc")) {
        pd_blocks_close_cell(pptx->blocks);
    } else if (pd_xml_is(xml, "tr")) {
        pd_blocks_close_row(pptx->blocks);
    } else if (pd_xml_is(xml, "tbl")) {
        pd_blocks_close_table(pptx->blocks);
    }
}

static gboolean
read_shapes(Pptx *pptx, const char *path, GError **error)
{
    g_autoptr(PdXml) xml = pd_package_xml(pptx->package, path);
    Shape shape = {.text = g_string_new(NULL)};
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_OPEN && pd_xml_is(xml, "sld")) {
            g_autofree char *show = pd_xml_attribute(xml, "show");
            pptx->n_hidden += show && (strcmp(show, "0") == 0 || strcmp(show, "false") == 0);
        } else if (event == PD_XML_OPEN) {
            on_open(pptx, &shape, xml);
        } else if (event == PD_XML_CLOSE) {
            on_close(pptx, &shape, xml);
        }
    }
    if (shape.in_text && !shape.repeated)
        pd_blocks_paragraph(pptx->blocks, shape.text->str, 0);
    g_string_free(shape.text, TRUE);
    return pd_package_tell_damage(xml, path, pptx->emitter, error);
}

/* --- comments --------------------------------------------------------------------------------- */

static void
read_authors(Pptx *pptx, const char *path)
{
    g_autoptr(PdXml) xml = pd_package_xml(pptx->package, path);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN || (!pd_xml_is(xml, "cmAuthor") && !pd_xml_is(xml, "author")))
            continue;
        char *id = pd_xml_attribute(xml, "id");
        char *name = pd_xml_attribute(xml, "name");
        g_hash_table_replace(pptx->authors, id ? id : g_strdup(""), name);
    }
}

/* Those of old files (p:text) and of new ones (p188:txBody). */
static void
read_comments(Pptx *pptx, const char *path)
{
    g_autoptr(PdXml) xml = pd_package_xml(pptx->package, path);
    g_autoptr(GString) text = g_string_new(NULL);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        gboolean whole = event != PD_XML_TEXT && (pd_xml_is(xml, "cm") || pd_xml_is(xml, "reply"));
        if (whole && text->len) {
            pd_blocks_paragraph(pptx->blocks, text->str, 0);
            g_string_truncate(text, 0);
        }
        if (event != PD_XML_OPEN)
            continue;
        if (whole) {
            g_autofree char *id = pd_xml_attribute(xml, "authorId");
            const char *name = id ? g_hash_table_lookup(pptx->authors, id) : NULL;
            g_string_printf(text, "%s: ", name ? name : "unknown");
        } else if (pd_xml_is(xml, "text") || pd_xml_is(xml, "t")) {
            pd_xml_skip(xml, text);
        }
    }
}

/* --- the presentation ------------------------------------------------------------------------- */

static gboolean
read_slide(Pptx *pptx, const char *path, guint number, GError **error)
{
    g_autoptr(GPtrArray) relations = pd_package_relations(pptx->package, path);
    const PdRelation *notes = pd_relation_find(relations, "notesSlide", NULL);
    g_autofree char *slide = g_strdup_printf("slide %u", number);
    g_autofree char *notes_section = g_strconcat(slide, " notes", NULL);
    g_autofree char *comments_section = g_strconcat(slide, " comments", NULL);
    pd_blocks_section(pptx->blocks, slide);
    if (!read_shapes(pptx, path, error))
        return FALSE;
    pd_blocks_section(pptx->blocks, notes_section);
    if (notes && !read_shapes(pptx, notes->target, error))
        return FALSE;
    pd_blocks_section(pptx->blocks, comments_section);
    for (guint i = 0; i < relations->len; i++) {
        const PdRelation *relation = g_ptr_array_index(relations, i);
        if (strcmp(relation->type, "comments") == 0 && !relation->external)
            read_comments(pptx, relation->target);
    }
    return TRUE;
}

static gboolean
tell(const Pptx *pptx, GError **error)
{
    if (pptx->n_hidden && !pd_emit_ledger(pptx->emitter, "note", "", -1, error,
                                          "hidden slides: %u, they were read", pptx->n_hidden))
        return FALSE;
    if (pptx->n_charts &&
        !pd_emit_ledger(pptx->emitter, "note", "", -1, error,
                        "charts and diagrams: %u, text in them is not read", pptx->n_charts))
        return FALSE;
    return pd_office_tell_pictures(pptx->emitter, pptx->n_pictures, error) &&
           pd_office_tell_cut(pptx->emitter, pd_blocks_cut(pptx->blocks), error);
}

gboolean
pd_pptx_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter, GError **error)
{
    g_autoptr(GPtrArray) roots = pd_package_relations(package, "");
    const PdRelation *root = pd_relation_find(roots, "officeDocument", NULL);
    const char *main_path = root ? root->target : "ppt/presentation.xml";
    g_autoptr(GPtrArray) relations = pd_package_relations(package, main_path);
    g_autoptr(PdXml) xml = pd_package_xml(package, main_path);
    g_autoptr(GHashTable) authors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(PdBlocks) blocks = pd_blocks_new(document, emitter->limits->text_bytes_max);
    Pptx pptx = {.package = package, .emitter = emitter, .blocks = blocks, .authors = authors};
    guint number = 0;
    pd_package_core_properties(package, document);
    for (guint i = 0; i < relations->len; i++) {
        const PdRelation *relation = g_ptr_array_index(relations, i);
        if (strcmp(relation->type, "commentAuthors") == 0 || strcmp(relation->type, "authors") == 0)
            read_authors(&pptx, relation->target);
    }
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN || !pd_xml_is(xml, "sldId"))
            continue;
        g_autofree char *id = pd_xml_relation(xml, "id");
        const PdRelation *slide = id ? pd_relation_find(relations, NULL, id) : NULL;
        number++;
        if (slide && !slide->external && !read_slide(&pptx, slide->target, number, error))
            return FALSE;
    }
    return pd_package_tell_damage(xml, main_path, emitter, error) && tell(&pptx, error);
}
