/*
 * OpenDocument text (ISO/IEC 26300) to text: the body, then its notes, comments, headers and
 * footers.
 *
 * Deleted text lies apart (text:tracked-changes) and is counted; text whose style says that it is
 * not displayed is left out and counted.  Numbers of lists and headings are computed.  White space
 * counts as the format has it: runs of it are one blank.
 */
#include "ingest/readers/office.h"

#include <string.h>

#include "ingest/error.h"
#include "ingest/readers/anchors.h"
#include "ingest/readers/odt_lists.h"

/* A paragraph that is open; notes, comments and text boxes hold others inside. */
typedef struct {
    GString *text;
    char *label;        /* of its list or heading; may be NULL */
    guint level;        /* of a heading; 0: none */
    guint hidden_depth; /* of the element that hides what is in it; 0: none */
} Paragraph;

/* A note or comment: what stands before it is known at the end. */
typedef struct {
    char *mark; /* of a note: "[^1] " */
    char *id;   /* of a comment */
    GString *author;
    GString *date;
    GPtrArray *paragraphs; /* char * */
} Note;

typedef struct {
    PdBlocks *blocks;
    PdOdtLists *lists;
    PdAnchors *anchors;
    GHashTable *hidden_styles; /* names */
    char *style;               /* whose properties are being read */
    GPtrArray *paragraphs;     /* those open, the innermost last */
    GPtrArray *footnotes;      /* Note */
    GPtrArray *endnotes;
    GPtrArray *comments;
    Note *note; /* the one that is open, borrowed; NULL: none */
    guint note_depth;
    guint n_notes;
    gboolean in_body;
    gboolean in_page;           /* a header or footer */
    guint hidden_section_depth; /* of the outermost hidden section; 0: none */
    gsize n_hidden;
    guint n_inserted;
    guint n_deleted;
    gsize n_deleted_bytes;
    guint n_pictures;
} Odt;

static void
paragraph_free(gpointer data)
{
    Paragraph *paragraph = data;
    g_string_free(paragraph->text, TRUE);
    g_free(paragraph->label);
    g_free(paragraph);
}

static Note *
note_new(void)
{
    Note *note = g_new0(Note, 1);
    note->author = g_string_new(NULL);
    note->date = g_string_new(NULL);
    note->paragraphs = g_ptr_array_new_with_free_func(g_free);
    return note;
}

static void
note_free(gpointer data)
{
    Note *note = data;
    g_free(note->mark);
    g_free(note->id);
    g_string_free(note->author, TRUE);
    g_string_free(note->date, TRUE);
    g_ptr_array_unref(note->paragraphs);
    g_free(note);
}

static Paragraph *
innermost(const Odt *odt)
{
    return odt->paragraphs->len ? g_ptr_array_index(odt->paragraphs, odt->paragraphs->len - 1)
                                : NULL;
}

/* --- styles ----------------------------------------------------------------------------------- */

static void
read_style(Odt *odt, PdXml *xml)
{
    pd_odt_lists_style(odt->lists, xml);
    if (pd_xml_is(xml, "style")) {
        g_autofree char *parent = pd_xml_attribute(xml, "parent-style-name");
        g_free(odt->style);
        odt->style = pd_xml_attribute(xml, "name");
        if (odt->style && parent && g_hash_table_contains(odt->hidden_styles, parent))
            g_hash_table_add(odt->hidden_styles, g_strdup(odt->style));
    } else if (odt->style && pd_xml_is(xml, "text-properties")) {
        g_autofree char *display = pd_xml_attribute(xml, "display");
        if (display && strcmp(display, "none") == 0)
            g_hash_table_add(odt->hidden_styles, g_strdup(odt->style));
        else if (display)
            g_hash_table_remove(odt->hidden_styles, odt->style);
    }
}

/* The style of the element that opens hides what is in it. */
static gboolean
is_hidden(const Odt *odt, PdXml *xml)
{
    g_autofree char *style = pd_xml_attribute(xml, "style-name");
    return style && g_hash_table_contains(odt->hidden_styles, style);
}

/* --- paragraphs ------------------------------------------------------------------------------- */

static void
open_paragraph(Odt *odt, PdXml *xml)
{
    Paragraph *paragraph = g_new0(Paragraph, 1);
    paragraph->text = g_string_new(NULL);
    if (pd_xml_is(xml, "h"))
        paragraph->level = (guint)CLAMP(pd_xml_number(xml, "outline-level", 1), 1, 10);
    if (is_hidden(odt, xml) || odt->hidden_section_depth)
        paragraph->hidden_depth = pd_xml_depth(xml);
    if (!odt->note && !odt->in_page)
        paragraph->label = paragraph->level ? pd_odt_lists_heading(odt->lists, paragraph->level)
                                            : pd_odt_lists_label(odt->lists);
    g_ptr_array_add(odt->paragraphs, paragraph);
}

static void
close_paragraph(Odt *odt)
{
    const Paragraph *paragraph = innermost(odt);
    if (!paragraph)
        return;
    g_autofree char *text = g_strndup(paragraph->text->str, paragraph->text->len);
    g_strstrip(text);
    if (*text && odt->note) {
        g_ptr_array_add(odt->note->paragraphs, g_steal_pointer(&text));
    } else if (*text) {
        g_autofree char *whole = g_strconcat(paragraph->label ? paragraph->label : "", text, NULL);
        pd_blocks_paragraph(odt->blocks, whole, MIN(paragraph->level, 6));
    }
    g_ptr_array_set_size(odt->paragraphs, (gint)odt->paragraphs->len - 1);
}

/* Text as it is. */
static void
append(Odt *odt, const char *text)
{
    Paragraph *paragraph = innermost(odt);
    if (!paragraph)
        return;
    if (paragraph->hidden_depth) {
        odt->n_hidden += strlen(text);
        return;
    }
    g_string_append(paragraph->text, text);
    if (!odt->note)
        pd_anchors_append(odt->anchors, text);
}

/* Text of the file: a run of white space is one blank, and none at the start. */
static void
append_text(Odt *odt, const char *text)
{
    const Paragraph *paragraph = innermost(odt);
    if (!paragraph)
        return;
    g_autoptr(GString) out = g_string_new(NULL);
    gsize n = paragraph->text->len;
    gboolean after_blank = n == 0 || strchr(" \n\t", paragraph->text->str[n - 1]);
    for (; *text; text++) {
        gboolean blank = strchr(" \t\r\n", *text) != NULL;
        if (!blank || !after_blank)
            g_string_append_c(out, blank ? ' ' : *text);
        after_blank = blank;
    }
    append(odt, out->str);
}

/* --- notes and comments ----------------------------------------------------------------------- */

static void
open_note(Odt *odt, PdXml *xml)
{
    g_autofree char *class = pd_xml_attribute(xml, "note-class");
    gboolean endnote = class && strcmp(class, "endnote") == 0;
    g_autofree char *mark = g_strdup_printf("[^%u]", ++odt->n_notes);
    Note *note = note_new();
    append(odt, mark);
    note->mark = g_strconcat(mark, " ", NULL);
    g_ptr_array_add(endnote ? odt->endnotes : odt->footnotes, note);
    odt->note = note;
    odt->note_depth = pd_xml_depth(xml);
}

/* What a comment is about ends at the annotation-end of its name; without a name it is a place. */
static void
open_comment(Odt *odt, PdXml *xml)
{
    Note *note = note_new();
    g_autofree char *name = pd_xml_attribute(xml, "name");
    note->id = name ? g_strdup(name) : g_strdup_printf(" %u", odt->comments->len);
    pd_anchors_open(odt->anchors, g_strdup(note->id), pd_blocks_number(odt->blocks) + 1);
    if (!name)
        pd_anchors_close(odt->anchors, note->id);
    g_ptr_array_add(odt->comments, note);
    odt->note = note;
    odt->note_depth = pd_xml_depth(xml);
}

static void
write_notes(Odt *odt, const char *section, const GPtrArray *notes)
{
    pd_blocks_section(odt->blocks, section);
    for (guint i = 0; i < notes->len; i++) {
        const Note *note = g_ptr_array_index(notes, i);
        g_autofree char *head = note->mark
                                    ? g_strdup(note->mark)
                                    : pd_anchors_head(odt->anchors, note->id, note->author->str,
                                                      note->date->len ? note->date->str : NULL);
        for (guint k = 0; k < note->paragraphs->len; k++) {
            const char *text = g_ptr_array_index(note->paragraphs, k);
            g_autofree char *whole = g_strconcat(k ? "" : head, text, NULL);
            pd_blocks_paragraph(odt->blocks, whole, 0);
        }
    }
}

/* --- the events ------------------------------------------------------------------------------- */

/* What was deleted, and how often something was inserted. */
static void
read_changes(Odt *odt, PdXml *xml)
{
    guint depth = pd_xml_depth(xml);
    guint deletion_depth = 0;
    gsize n_before = 0;
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        guint at = pd_xml_depth(xml);
        if (event == PD_XML_TEXT) {
            odt->n_deleted_bytes += deletion_depth ? strlen(pd_xml_text(xml)) : 0;
        } else if (event == PD_XML_OPEN && pd_xml_is(xml, "change-info")) {
            pd_xml_skip(xml, NULL);
        } else if (event == PD_XML_OPEN && pd_xml_is(xml, "insertion")) {
            odt->n_inserted++;
        } else if (event == PD_XML_OPEN && pd_xml_is(xml, "deletion")) {
            deletion_depth = at;
            n_before = odt->n_deleted_bytes;
        } else if (event == PD_XML_CLOSE && deletion_depth == at) {
            odt->n_deleted += odt->n_deleted_bytes > n_before;
            deletion_depth = 0;
        } else if (event == PD_XML_CLOSE && at == depth) {
            return;
        }
    }
}

/* TRUE: the element that opens is not read, and was skipped to its end. */
static gboolean
skip_unread(Odt *odt, PdXml *xml)
{
    /* What indexes are made from, names for pictures, marks that we count ourselves. */
    static const char *const unread[] = {"binary-data",
                                         "title",
                                         "desc",
                                         "note-citation",
                                         "forms",
                                         "event-listeners",
                                         "ruby-text",
                                         "script",
                                         "table-of-content-source",
                                         "illustration-index-source",
                                         "table-index-source",
                                         "object-index-source",
                                         "user-index-source",
                                         "alphabetical-index-source",
                                         "bibliography-source",
                                         NULL};
    if (pd_xml_is(xml, "tracked-changes")) {
        read_changes(odt, xml);
    } else if (odt->note && pd_xml_is(xml, "creator")) {
        pd_xml_skip(xml, odt->note->author);
    } else if (odt->note && pd_xml_is(xml, "date")) {
        pd_xml_skip(xml, odt->note->date);
    } else if (pd_xml_is(xml, "hidden-text")) {
        g_autoptr(GString) text = g_string_new(NULL);
        pd_xml_skip(xml, text);
        odt->n_hidden += text->len;
    } else if (g_strv_contains(unread, pd_xml_name(xml))) {
        pd_xml_skip(xml, NULL);
    } else {
        return FALSE;
    }
    return TRUE;
}

/* Inside a paragraph.  FALSE: not known here. */
static gboolean
on_open_inline(Odt *odt, PdXml *xml)
{
    if (pd_xml_is(xml, "s")) {
        for (gint64 n = CLAMP(pd_xml_number(xml, "c", 1), 0, 1000); n > 0; n--)
            append(odt, " ");
    } else if (pd_xml_is(xml, "tab")) {
        append(odt, "\t");
    } else if (pd_xml_is(xml, "line-break")) {
        append(odt, "\n");
    } else if (pd_xml_is(xml, "note") && !odt->note) {
        open_note(odt, xml);
    } else if (pd_xml_is(xml, "annotation") && !odt->note) {
        open_comment(odt, xml);
    } else if (pd_xml_is(xml, "annotation-end")) {
        g_autofree char *name = pd_xml_attribute(xml, "name");
        pd_anchors_close(odt->anchors, name);
    } else if (pd_xml_is(xml, "span")) {
        Paragraph *paragraph = innermost(odt);
        if (!paragraph->hidden_depth && is_hidden(odt, xml))
            paragraph->hidden_depth = pd_xml_depth(xml);
    } else {
        return FALSE;
    }
    return TRUE;
}

static void
on_open(Odt *odt, PdXml *xml)
{
    if (skip_unread(odt, xml))
        return;
    if (pd_xml_is(xml, "p") || pd_xml_is(xml, "h")) {
        open_paragraph(odt, xml);
    } else if (innermost(odt) && on_open_inline(odt, xml)) {
        return;
    } else if (pd_xml_is(xml, "list")) {
        pd_odt_lists_open(odt->lists, xml);
    } else if (pd_xml_is(xml, "list-item")) {
        pd_odt_lists_item(odt->lists, xml);
    } else if (pd_xml_is(xml, "table")) {
        pd_blocks_open_table(odt->blocks);
    } else if (pd_xml_is(xml, "image")) {
        odt->n_pictures++;
    } else if (pd_xml_is(xml, "section") && !odt->hidden_section_depth) {
        g_autofree char *display = pd_xml_attribute(xml, "display");
        if (display && strcmp(display, "none") == 0)
            odt->hidden_section_depth = pd_xml_depth(xml);
    }
}

static void
on_close(Odt *odt, PdXml *xml)
{
    Paragraph *paragraph = innermost(odt);
    guint depth = pd_xml_depth(xml);
    if (pd_xml_is(xml, "p") || pd_xml_is(xml, "h"))
        close_paragraph(odt);
    else if (pd_xml_is(xml, "list"))
        pd_odt_lists_close(odt->lists);
    else if (pd_xml_is(xml, "table-cell") || pd_xml_is(xml, "covered-table-cell"))
        pd_blocks_close_cell(odt->blocks);
    else if (pd_xml_is(xml, "table-row"))
        pd_blocks_close_row(odt->blocks);
    else if (pd_xml_is(xml, "table"))
        pd_blocks_close_table(odt->blocks);
    else if (odt->note && odt->note_depth == depth)
        odt->note = NULL;
    else if (paragraph && paragraph->hidden_depth == depth)
        paragraph->hidden_depth = 0;
    if (odt->hidden_section_depth == depth)
        odt->hidden_section_depth = 0;
}

static void
close_all(Odt *odt)
{
    odt->note = NULL;
    while (odt->paragraphs->len)
        close_paragraph(odt);
}

static gboolean
read_body(Odt *odt, const PdPackage *package, PdEmitter *emitter, GError **error)
{
    g_autoptr(PdXml) xml = pd_package_xml(package, "content.xml");
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_OPEN && pd_xml_is(xml, "body"))
            odt->in_body = TRUE;
        else if (event == PD_XML_OPEN && !odt->in_body)
            read_style(odt, xml);
        else if (event == PD_XML_OPEN)
            on_open(odt, xml);
        else if (event == PD_XML_CLOSE && odt->in_body)
            on_close(odt, xml);
        else if (event == PD_XML_TEXT && odt->in_body)
            append_text(odt, pd_xml_text(xml));
    }
    close_all(odt);
    return pd_package_tell_damage(xml, "content.xml", emitter, error);
}

/* Of styles.xml, the styles, or the headers and footers of pages. */
static void
read_styles_file(Odt *odt, const PdPackage *package, gboolean pages)
{
    g_autoptr(PdXml) xml = pd_package_xml(package, "styles.xml");
    guint page_depth = 0;
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        const char *name = event == PD_XML_TEXT ? "" : pd_xml_name(xml);
        gboolean is_page = g_str_has_prefix(name, "header") || g_str_has_prefix(name, "footer");
        if (event == PD_XML_OPEN && !pages)
            read_style(odt, xml);
        else if (!pages)
            continue;
        else if (event == PD_XML_OPEN && !page_depth && is_page && !strstr(name, "style"))
            page_depth = pd_xml_depth(xml);
        else if (event == PD_XML_CLOSE && page_depth == pd_xml_depth(xml))
            page_depth = 0;
        else if (event == PD_XML_OPEN && page_depth)
            on_open(odt, xml);
        else if (event == PD_XML_CLOSE && page_depth)
            on_close(odt, xml);
        else if (event == PD_XML_TEXT && page_depth)
            append_text(odt, pd_xml_text(xml));
    }
    close_all(odt);
}

/* --- the document ----------------------------------------------------------------------------- */

static void
read_meta(const PdPackage *package, PdDocument *document)
{
    g_autoptr(PdXml) xml = pd_package_xml(package, "meta.xml");
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN)
            continue;
        gboolean title = pd_xml_is(xml, "title");
        gboolean date = pd_xml_is(xml, "date");
        if (!title && !date && !pd_xml_is(xml, "creator") && !pd_xml_is(xml, "initial-creator"))
            continue;
        g_autofree char *text = pd_xml_element_text(xml);
        char **kept = title ? &document->title : &document->author;
        if (date)
            document->date_utc = pd_parse_iso_date(text);
        else if (!*kept)
            *kept = g_steal_pointer(&text);
    }
}

static gboolean
is_encrypted(const PdPackage *package)
{
    g_autoptr(PdXml) xml = pd_package_xml(package, "META-INF/manifest.xml");
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_OPEN && pd_xml_is(xml, "encryption-data"))
            return TRUE;
    }
    return FALSE;
}

static gboolean
tell(const Odt *odt, PdEmitter *emitter, GError **error)
{
    return pd_office_tell_hidden(emitter, odt->n_hidden, error) &&
           pd_office_tell_changes(emitter, odt->n_inserted, odt->n_deleted, odt->n_deleted_bytes,
                                  error) &&
           pd_office_tell_pictures(emitter, odt->n_pictures, error) &&
           pd_office_tell_cut(emitter, pd_blocks_cut(odt->blocks), error);
}

gboolean
pd_odt_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter, GError **error)
{
    g_autoptr(PdBlocks) blocks = pd_blocks_new(document, emitter->limits->text_bytes_max);
    g_autoptr(PdOdtLists) lists = pd_odt_lists_new();
    g_autoptr(PdAnchors) anchors = pd_anchors_new();
    g_autoptr(GHashTable) hidden = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) paragraphs = g_ptr_array_new_with_free_func(paragraph_free);
    g_autoptr(GPtrArray) footnotes = g_ptr_array_new_with_free_func(note_free);
    g_autoptr(GPtrArray) endnotes = g_ptr_array_new_with_free_func(note_free);
    g_autoptr(GPtrArray) comments = g_ptr_array_new_with_free_func(note_free);
    Odt odt = {
        .blocks = blocks,
        .lists = lists,
        .anchors = anchors,
        .hidden_styles = hidden,
        .paragraphs = paragraphs,
        .footnotes = footnotes,
        .endnotes = endnotes,
        .comments = comments,
    };
    if (is_encrypted(package)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_ENCRYPTED,
                    "it is encrypted: save it without a password and add it again");
        return FALSE;
    }
    read_meta(package, document);
    read_styles_file(&odt, package, FALSE);
    gboolean ok = read_body(&odt, package, emitter, error);
    write_notes(&odt, "footnotes", footnotes);
    write_notes(&odt, "endnotes", endnotes);
    write_notes(&odt, "comments", comments);
    pd_blocks_section(blocks, "headers and footers");
    odt.in_page = TRUE;
    read_styles_file(&odt, package, TRUE);
    g_free(odt.style);
    return ok && tell(&odt, emitter, error);
}
