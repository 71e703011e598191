/*
 * WordprocessingML (ISO/IEC 29500-1, 17) to text: the body as Word shows it with all changes
 * accepted, then footnotes, endnotes, comments, headers and footers.
 *
 * Inserted text is read and deleted text is not; both are counted.  Text marked as hidden
 * (w:vanish, also through styles) is left out and counted.  Numbers of lists are computed, as Word
 * computes them: they are not in the file.  A mark [^1] stands where a footnote is referred to.
 */
#include "ingest/readers/office.h"

#include <string.h>

#include "ingest/readers/anchors.h"
#include "ingest/readers/docx_styles.h"
#include "ingest/readers/numbering.h"

/* A paragraph that is open; text boxes hold others inside. */
typedef struct {
    GString *text;
    const PdDocxStyle *style; /* may be NULL */
    gint64 num_id;            /* -1: as the style says */
    gint64 ilvl;
    gint64 outline;       /* -1: as the style says */
    gboolean hidden;      /* its text, if its runs do not say otherwise */
    gboolean mark_hidden; /* its end is hidden, or was deleted: then what is left of it stands at
                             the start of the next paragraph */
    gboolean mark_deleted;
} Paragraph;

typedef struct {
    PdBlocks *blocks;
    GHashTable *styles;
    PdNumbering *numbering;
    GPtrArray *paragraphs; /* those open, the innermost last */
    GString *carried;      /* text of a paragraph whose end was deleted */
    GHashTable *notes;     /* "footnotes/ID" -> its mark */
    PdAnchors *anchors;
    guint n_notes;
    const char *story; /* "footnotes" while those are read */
    char *prefix;      /* of the next paragraph: a note's mark, a comment's author; else NULL */
    guint in_run;
    guint in_properties;
    gboolean run_hidden;
    gsize n_hidden;
    guint n_inserted;
    guint n_deleted;
    gsize n_deleted_bytes;
    guint n_pictures;
    guint n_symbols;
} Docx;

static void
paragraph_free(gpointer data)
{
    g_string_free(((Paragraph *)data)->text, TRUE);
    g_free(data);
}

static Paragraph *
innermost(const Docx *docx)
{
    return docx->paragraphs->len ? g_ptr_array_index(docx->paragraphs, docx->paragraphs->len - 1)
                                 : NULL;
}

/* --- paragraphs ------------------------------------------------------------------------------- */

static void
open_paragraph(Docx *docx)
{
    Paragraph *paragraph = g_new0(Paragraph, 1);
    paragraph->text = g_string_new_len(docx->carried->str, (gssize)docx->carried->len);
    g_string_truncate(docx->carried, 0);
    paragraph->style = g_hash_table_lookup(docx->styles, "Normal");
    paragraph->num_id = paragraph->ilvl = paragraph->outline = -1;
    g_ptr_array_add(docx->paragraphs, paragraph);
    docx->in_run = docx->in_properties = 0;
}

static void
read_paragraph_property(Docx *docx, PdXml *xml)
{
    Paragraph *paragraph = innermost(docx);
    if (!paragraph)
        return;
    if (pd_xml_is(xml, "pStyle")) {
        g_autofree char *id = pd_xml_attribute(xml, "val");
        paragraph->style = id ? g_hash_table_lookup(docx->styles, id) : NULL;
        paragraph->hidden = paragraph->style && paragraph->style->hidden == 1;
    } else if (pd_xml_is(xml, "numId")) {
        paragraph->num_id = pd_xml_number(xml, "val", -1);
    } else if (pd_xml_is(xml, "ilvl")) {
        paragraph->ilvl = pd_xml_number(xml, "val", -1);
    } else if (pd_xml_is(xml, "outlineLvl")) {
        paragraph->outline = pd_xml_number(xml, "val", -1);
    } else if (pd_xml_is(xml, "vanish")) {
        paragraph->mark_hidden = pd_xml_toggle(xml);
    } else if (pd_xml_is(xml, "del") || pd_xml_is(xml, "moveFrom")) {
        paragraph->mark_deleted = TRUE;
    }
}

static guint
heading_level(const Paragraph *paragraph)
{
    if (paragraph->outline >= 0)
        return paragraph->outline < 9 ? MIN((guint)paragraph->outline + 1, 6) : 0;
    return paragraph->style ? paragraph->style->level : 0;
}

/* "2.1. ", "  - ": what the list puts before the paragraph; NULL: it is in none. */
static char *
list_label(Docx *docx, const Paragraph *paragraph)
{
    const PdDocxStyle *style = paragraph->style;
    gint64 num_id = paragraph->num_id >= 0 ? paragraph->num_id : style ? style->num_id : 0;
    gint64 ilvl = paragraph->ilvl >= 0 ? paragraph->ilvl : style ? style->ilvl : 0;
    g_autofree char *label = num_id > 0 && ilvl < PD_LIST_LEVELS
                                 ? pd_numbering_next(docx->numbering, num_id, (guint)ilvl)
                                 : NULL;
    if (!label)
        return NULL;
    gboolean bullet = strcmp(label, "-") == 0;
    return g_strdup_printf("%*s%s ", bullet ? (int)ilvl * 2 : 0, "", label);
}

static void
close_paragraph(Docx *docx)
{
    Paragraph *paragraph = innermost(docx);
    if (!paragraph)
        return;
    g_autofree char *text = g_strndup(paragraph->text->str, paragraph->text->len);
    g_strstrip(text);
    if (paragraph->mark_deleted) {
        g_string_append_len(docx->carried, paragraph->text->str, (gssize)paragraph->text->len);
    } else if (*text || !paragraph->mark_hidden) {
        /* An empty paragraph of a list takes a number, too. */
        g_autofree char *label = list_label(docx, paragraph);
        g_autofree char *prefix = *text ? g_steal_pointer(&docx->prefix) : NULL;
        g_autofree char *whole = g_strconcat(prefix ? prefix : "", label ? label : "", text, NULL);
        if (*text)
            pd_blocks_paragraph(docx->blocks, whole, heading_level(paragraph));
    }
    g_ptr_array_set_size(docx->paragraphs, (gint)docx->paragraphs->len - 1);
    docx->in_run = 0;
}

/* --- runs ------------------------------------------------------------------------------------- */

static void
append_text(Docx *docx, const char *text)
{
    Paragraph *paragraph = innermost(docx);
    if (docx->run_hidden) {
        docx->n_hidden += strlen(text);
        return;
    }
    if (!paragraph)
        return;
    g_string_append(paragraph->text, text);
    pd_anchors_append(docx->anchors, text);
}

static void
read_run_property(Docx *docx, PdXml *xml)
{
    if (pd_xml_is(xml, "vanish")) {
        docx->run_hidden = pd_xml_toggle(xml);
    } else if (pd_xml_is(xml, "rStyle")) {
        g_autofree char *id = pd_xml_attribute(xml, "val");
        const PdDocxStyle *style = id ? g_hash_table_lookup(docx->styles, id) : NULL;
        if (style && style->hidden >= 0)
            docx->run_hidden = style->hidden == 1;
    }
}

/* A reference to a note becomes its mark; notes are numbered as they are referred to. */
static void
refer_to_note(Docx *docx, PdXml *xml, const char *story)
{
    g_autofree char *id = pd_xml_attribute(xml, "id");
    g_autofree char *key = g_strdup_printf("%s/%s", story, id ? id : "");
    char *mark = g_hash_table_lookup(docx->notes, key);
    if (!mark) {
        mark = g_strdup_printf("[^%u]", ++docx->n_notes);
        g_hash_table_insert(docx->notes, g_steal_pointer(&key), mark);
    }
    append_text(docx, mark);
}

/* What a run holds.  FALSE: not known here. */
static gboolean
read_run_content(Docx *docx, PdXml *xml)
{
    if (pd_xml_is(xml, "t")) {
        g_autoptr(GString) text = g_string_new(NULL);
        pd_xml_skip(xml, text);
        append_text(docx, text->str);
    } else if (pd_xml_is(xml, "tab") || pd_xml_is(xml, "ptab")) {
        append_text(docx, "\t");
    } else if (pd_xml_is(xml, "br") || pd_xml_is(xml, "cr")) {
        append_text(docx, "\n");
    } else if (pd_xml_is(xml, "noBreakHyphen")) {
        append_text(docx, "\xE2\x80\x91");
    } else if (pd_xml_is(xml, "sym")) {
        docx->n_symbols++;
        append_text(docx, "\xEF\xBF\xBD");
    } else if (pd_xml_is(xml, "footnoteReference")) {
        refer_to_note(docx, xml, "footnotes");
    } else if (pd_xml_is(xml, "endnoteReference")) {
        refer_to_note(docx, xml, "endnotes");
    } else {
        return FALSE;
    }
    return TRUE;
}

/* --- the events ------------------------------------------------------------------------------- */

/* Settings as they were before a change, the other form of the same content, and the codes of
 * fields, whose results are text. */
static gboolean
is_unread(const char *name)
{
    static const char *const unread[] = {
        "pPrChange",     "rPrChange", "tblPrChange", "trPrChange", "tcPrChange", "sectPrChange",
        "tblPrExChange", "sdtPr",     "Fallback",    "instrText",  "delText",    "delInstrText",
        "sectPr",        "tblPr",     "tblGrid",     "tcPr",       NULL};
    return g_strv_contains(unread, name);
}

/* TRUE: the element that opens is not read, and was skipped to its end. */
static gboolean
skip_unread(Docx *docx, PdXml *xml)
{
    gboolean deleted = pd_xml_is(xml, "del") || pd_xml_is(xml, "moveFrom");
    if (deleted) {
        g_autoptr(GString) text = g_string_new(NULL);
        pd_xml_skip(xml, text);
        docx->n_deleted += text->len > 0;
        docx->n_deleted_bytes += text->len;
        return TRUE;
    }
    if (!is_unread(pd_xml_name(xml)))
        return FALSE;
    pd_xml_skip(xml, NULL);
    return TRUE;
}

/* A note or comment begins: what stands before its first paragraph. */
static gboolean
open_note(Docx *docx, PdXml *xml)
{
    if (!docx->story)
        return FALSE;
    g_autofree char *id = pd_xml_attribute(xml, "id");
    if (pd_xml_is(xml, "footnote") || pd_xml_is(xml, "endnote")) {
        g_autofree char *type = pd_xml_attribute(xml, "type");
        g_autofree char *key = g_strdup_printf("%s/%s", docx->story, id ? id : "");
        const char *mark = g_hash_table_lookup(docx->notes, key);
        if (type && strcmp(type, "normal") != 0) { /* the line above the notes */
            pd_xml_skip(xml, NULL);
            return TRUE;
        }
        g_free(docx->prefix);
        docx->prefix = g_strdup_printf("%s ", mark ? mark : "[^not referred to]");
        return TRUE;
    }
    if (!pd_xml_is(xml, "comment"))
        return FALSE;
    g_autofree char *author = pd_xml_attribute(xml, "author");
    g_autofree char *date = pd_xml_attribute(xml, "date");
    g_free(docx->prefix);
    docx->prefix = pd_anchors_head(docx->anchors, id, author, date);
    return TRUE;
}

static void
on_open_content(Docx *docx, PdXml *xml)
{
    if (pd_xml_is(xml, "r")) {
        docx->in_run++;
        docx->run_hidden = innermost(docx) && innermost(docx)->hidden;
    } else if (pd_xml_is(xml, "ins") || pd_xml_is(xml, "moveTo")) {
        docx->n_inserted++;
    } else if (pd_xml_is(xml, "tbl")) {
        pd_blocks_open_table(docx->blocks);
    } else if (pd_xml_is(xml, "commentRangeStart")) {
        pd_anchors_open(docx->anchors, pd_xml_attribute(xml, "id"),
                        pd_blocks_number(docx->blocks) + 1);
    } else if (pd_xml_is(xml, "commentRangeEnd")) {
        g_autofree char *id = pd_xml_attribute(xml, "id");
        pd_anchors_close(docx->anchors, id);
    } else if (pd_xml_is(xml, "blip") || pd_xml_is(xml, "imagedata")) {
        docx->n_pictures++;
    }
}

static void
on_open(Docx *docx, PdXml *xml)
{
    const char *name = pd_xml_name(xml);
    gboolean properties =
        strcmp(name, "pPr") == 0 || strcmp(name, "rPr") == 0 || strcmp(name, "trPr") == 0;
    if (strcmp(name, "p") == 0) {
        open_paragraph(docx);
    } else if (properties) {
        docx->in_properties++;
    } else if (docx->in_properties && !is_unread(name)) {
        /* The properties of a paragraph's end mark are none of its text. */
        if (docx->in_run)
            read_run_property(docx, xml);
        else
            read_paragraph_property(docx, xml);
    } else if (skip_unread(docx, xml)) {
        return;
    } else if (!open_note(docx, xml) && !(docx->in_run && read_run_content(docx, xml))) {
        on_open_content(docx, xml);
    }
}

static void
on_close(Docx *docx, PdXml *xml)
{
    const char *name = pd_xml_name(xml);
    if (strcmp(name, "p") == 0)
        close_paragraph(docx);
    else if (strcmp(name, "pPr") == 0 || strcmp(name, "rPr") == 0 || strcmp(name, "trPr") == 0)
        docx->in_properties -= docx->in_properties > 0;
    else if (strcmp(name, "r") == 0)
        docx->in_run -= docx->in_run > 0;
    else if (strcmp(name, "tc") == 0)
        pd_blocks_close_cell(docx->blocks);
    else if (strcmp(name, "tr") == 0)
        pd_blocks_close_row(docx->blocks);
    else if (strcmp(name, "tbl") == 0)
        pd_blocks_close_table(docx->blocks);
}

static gboolean
read_story(Docx *docx, const PdPackage *package, const char *path, PdEmitter *emitter,
           GError **error)
{
    g_autoptr(PdXml) xml = pd_package_xml(package, path);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_OPEN)
            on_open(docx, xml);
        else if (event == PD_XML_CLOSE)
            on_close(docx, xml);
    }
    while (docx->paragraphs->len)
        close_paragraph(docx);
    pd_blocks_paragraph(docx->blocks, docx->carried->str, 0);
    g_string_truncate(docx->carried, 0);
    docx->in_run = docx->in_properties = 0;
    docx->run_hidden = FALSE;
    g_clear_pointer(&docx->prefix, g_free);
    return pd_package_tell_damage(xml, path, emitter, error);
}

/* Every file that the document relates to as `type`. */
static gboolean
read_stories(Docx *docx, const PdPackage *package, const GPtrArray *relations, const char *type,
             PdEmitter *emitter, GError **error)
{
    docx->story = type;
    for (guint i = 0; i < relations->len; i++) {
        const PdRelation *relation = g_ptr_array_index(relations, i);
        if (!relation->external && strcmp(relation->type, type) == 0 &&
            !read_story(docx, package, relation->target, emitter, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
read_all(Docx *docx, const PdPackage *package, const char *main_path, const GPtrArray *relations,
         PdEmitter *emitter, GError **error)
{
    static const char *const stories[] = {"footnotes", "endnotes", "comments"};
    if (!read_story(docx, package, main_path, emitter, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        pd_blocks_section(docx->blocks, stories[i]);
        if (!read_stories(docx, package, relations, stories[i], emitter, error))
            return FALSE;
    }
    pd_blocks_section(docx->blocks, "headers and footers");
    return read_stories(docx, package, relations, "header", emitter, error) &&
           read_stories(docx, package, relations, "footer", emitter, error);
}

static gboolean
tell(const Docx *docx, PdEmitter *emitter, GError **error)
{
    return pd_office_tell_hidden(emitter, docx->n_hidden, error) &&
           pd_office_tell_changes(emitter, docx->n_inserted, docx->n_deleted, docx->n_deleted_bytes,
                                  error) &&
           pd_office_tell_pictures(emitter, docx->n_pictures, error) &&
           pd_office_tell_cut(emitter, pd_blocks_cut(docx->blocks), error) &&
           (!docx->n_symbols ||
            pd_emit_ledger(emitter, "note", "", -1, error,
                           "symbols of fonts of their own: %u, they have no meaning as text and "
                           "were replaced by U+FFFD",
                           docx->n_symbols));
}

gboolean
pd_docx_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter, GError **error)
{
    g_autoptr(GPtrArray) roots = pd_package_relations(package, "");
    const PdRelation *root = pd_relation_find(roots, "officeDocument", NULL);
    const char *main_path = root ? root->target : "word/document.xml";
    g_autoptr(GPtrArray) relations = pd_package_relations(package, main_path);
    const PdRelation *styles = pd_relation_find(relations, "styles", NULL);
    const PdRelation *numbering = pd_relation_find(relations, "numbering", NULL);
    g_autoptr(PdXml) styles_xml = pd_package_xml(package, styles ? styles->target : NULL);
    g_autoptr(PdXml) numbering_xml = pd_package_xml(package, numbering ? numbering->target : NULL);
    g_autoptr(GHashTable) style_table = pd_docx_styles_new(styles_xml);
    g_autoptr(PdNumbering) lists = pd_numbering_new(numbering_xml);
    g_autoptr(GPtrArray) paragraphs = g_ptr_array_new_with_free_func(paragraph_free);
    g_autoptr(GHashTable) notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(PdAnchors) anchors = pd_anchors_new();
    g_autoptr(GString) carried = g_string_new(NULL);
    g_autoptr(PdBlocks) blocks = pd_blocks_new(document, emitter->limits->text_bytes_max);
    Docx docx = {
        .blocks = blocks,
        .styles = style_table,
        .numbering = lists,
        .paragraphs = paragraphs,
        .carried = carried,
        .notes = notes,
        .anchors = anchors,
    };
    pd_package_core_properties(package, document);
    return read_all(&docx, package, main_path, relations, emitter, error) &&
           tell(&docx, emitter, error);
}
