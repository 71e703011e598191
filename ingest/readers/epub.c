/*
 * EPUB (ISO/IEC TS 30135; OCF, OPF and XHTML) to text: the chapter files in the order of the spine,
 * each read as a page of HTML.
 *
 * A chapter is a part "chapter/N" with the title of its page, or its first line, as label.
 */
#include "ingest/readers/office.h"

#include <string.h>

#include "ingest/error.h"

#define LABEL_BYTES_MAX 120

typedef struct {
    char *path;
    gboolean is_page; /* XHTML, and not a picture or a style sheet */
} Item;

typedef struct {
    const PdPackage *package;
    PdDocument *document;
    PdEmitter *emitter;
    char *opf;
    GHashTable *items;     /* id -> Item */
    GPtrArray *spine;      /* ids, in order */
    GHashTable *encrypted; /* paths */
    guint64 left;          /* bytes of text that may still come */
    gboolean cut;
} Epub;

static void
item_free(gpointer data)
{
    g_free(((Item *)data)->path);
    g_free(data);
}

/* --- what is in it ---------------------------------------------------------------------------- */

static char *
find_opf(const PdPackage *package)
{
    g_autoptr(PdXml) xml = pd_package_xml(package, "META-INF/container.xml");
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        g_autofree char *path = event == PD_XML_OPEN && pd_xml_is(xml, "rootfile")
                                    ? pd_xml_attribute(xml, "full-path")
                                    : NULL;
        if (path)
            return pd_package_resolve("", path);
    }
    return NULL;
}

/* Fonts often are, which is no loss; a chapter behind a lock is. */
static void
read_encryption(Epub *epub)
{
    g_autoptr(PdXml) xml = pd_package_xml(epub->package, "META-INF/encryption.xml");
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        g_autofree char *path = event == PD_XML_OPEN && pd_xml_is(xml, "CipherReference")
                                    ? pd_xml_attribute(xml, "URI")
                                    : NULL;
        if (path)
            g_hash_table_add(epub->encrypted, pd_package_resolve("", path));
    }
}

static void
read_item(Epub *epub, PdXml *xml)
{
    g_autofree char *href = pd_xml_attribute(xml, "href");
    g_autofree char *type = pd_xml_attribute(xml, "media-type");
    char *id = pd_xml_attribute(xml, "id");
    g_autofree char *plain = href ? g_uri_unescape_string(href, NULL) : NULL;
    Item *item = g_new0(Item, 1);
    item->path = pd_package_resolve(epub->opf, plain ? plain : href ? href : "");
    item->is_page =
        type && (strcmp(type, "application/xhtml+xml") == 0 || strcmp(type, "text/html") == 0);
    g_hash_table_replace(epub->items, id ? id : g_strdup(""), item);
}

static void
read_metadata(Epub *epub, PdXml *xml)
{
    PdDocument *document = epub->document;
    if (pd_xml_is(xml, "title") && !document->title)
        document->title = pd_xml_element_text(xml);
    else if (pd_xml_is(xml, "creator") && !document->author)
        document->author = pd_xml_element_text(xml);
    else if (pd_xml_is(xml, "date") && document->date_utc == G_MININT64) {
        g_autofree char *text = pd_xml_element_text(xml);
        /* "2024" and "2024-05" are dates, too, but of no day. */
        g_autofree char *midnight =
            text && strlen(text) == 10 ? g_strconcat(text, "T00:00:00Z", NULL) : NULL;
        document->date_utc = pd_parse_iso_date(midnight ? midnight : text);
    }
}

static gboolean
read_opf(Epub *epub, GError **error)
{
    g_autoptr(PdXml) xml = pd_package_xml(epub->package, epub->opf);
    gboolean in_metadata = FALSE;
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_TEXT && pd_xml_is(xml, "metadata"))
            in_metadata = event == PD_XML_OPEN;
        else if (event != PD_XML_OPEN)
            continue;
        else if (in_metadata)
            read_metadata(epub, xml);
        else if (pd_xml_is(xml, "item"))
            read_item(epub, xml);
        else if (pd_xml_is(xml, "itemref"))
            g_ptr_array_add(epub->spine, pd_xml_attribute(xml, "idref"));
    }
    return pd_package_tell_damage(xml, epub->opf, epub->emitter, error);
}

/* --- chapters --------------------------------------------------------------------------------- */

/* XHTML may end any element with "/>", which HTML does not know: an empty script would swallow the
 * page. */
static char *
open_and_close(const char *page, gsize n, gsize *n_out)
{
    g_autoptr(GRegex) empty = g_regex_new(
        "<(script|style|title|iframe|textarea|noscript|template|object|svg|a|div|p|span)"
        "(\\s[^<>]*)?/>",
        G_REGEX_CASELESS | G_REGEX_RAW, 0, NULL);
    char *out =
        empty ? g_regex_replace(empty, page, (gssize)n, 0, "<\\1\\2></\\1>", 0, NULL) : NULL;
    *n_out = out ? strlen(out) : n;
    return out ? out : g_memdup2(page, n);
}

/* The first line of the text. */
static char *
label_of(const char *title, const GString *text)
{
    g_autoptr(GString) label = g_string_new(title);
    if (!title || !*title)
        g_string_append_len(label, text->str, (gssize)strcspn(text->str, "\n"));
    g_strdelimit(label->str, "\n\t\r", ' ');
    pd_text_truncate(label, LABEL_BYTES_MAX);
    return g_strdup(label->str);
}

static gboolean
read_chapter(Epub *epub, const char *path, guint number, GError **error)
{
    GBytes *bytes = pd_package_file(epub->package, path);
    gsize n = 0;
    const char *data = bytes ? g_bytes_get_data(bytes, &n) : NULL;
    if (!data)
        return pd_emit_ledger(epub->emitter, "partial", "", -1, error,
                              "%s is missing: chapter %u was not read", path, number);
    gsize n_page;
    g_autofree char *page = open_and_close(data, n, &n_page);
    g_autofree char *title = NULL;
    g_autofree char *part_path = g_strdup_printf("chapter/%u", number);
    PdPart *part = pd_document_add_part(epub->document, part_path, NULL);
    if (!pd_decode_html(epub->emitter, "", (const guint8 *)page, n_page, NULL, FALSE, part->text,
                        &title, error))
        return FALSE;
    epub->cut |= pd_text_truncate(part->text, epub->left);
    epub->left -= part->text->len;
    part->label = label_of(title, part->text);
    if (!part->text->len) /* a cover is a picture */
        g_ptr_array_remove_index(epub->document->parts, epub->document->parts->len - 1);
    return TRUE;
}

static gboolean
read_spine(Epub *epub, GError **error)
{
    for (guint i = 0; i < epub->spine->len && !epub->cut; i++) {
        const char *id = g_ptr_array_index(epub->spine, i);
        const Item *item = id ? g_hash_table_lookup(epub->items, id) : NULL;
        gboolean locked = item && g_hash_table_contains(epub->encrypted, item->path);
        if (locked &&
            !pd_emit_ledger(epub->emitter, "partial", "", -1, error,
                            "%s is encrypted: chapter %u was not read", item->path, i + 1))
            return FALSE;
        if (item && item->is_page && !locked && !read_chapter(epub, item->path, i + 1, error))
            return FALSE;
    }
    return pd_office_tell_cut(epub->emitter, epub->cut, error);
}

gboolean
pd_epub_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter, GError **error)
{
    g_autofree char *opf = find_opf(package);
    g_autoptr(GHashTable) items = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, item_free);
    g_autoptr(GPtrArray) spine = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) encrypted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Epub epub = {.package = package,
                 .document = document,
                 .emitter = emitter,
                 .opf = opf,
                 .items = items,
                 .spine = spine,
                 .encrypted = encrypted,
                 .left = emitter->limits->text_bytes_max};
    if (!opf || !pd_package_file(package, opf)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "META-INF/container.xml names no package file that is in it");
        return FALSE;
    }
    read_encryption(&epub);
    return read_opf(&epub, error) && read_spine(&epub, error);
}
