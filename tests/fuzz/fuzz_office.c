/* Office packages whose files are any bytes: no crash, and texts that keep the rules of blocks.h.
 */
#include <string.h>

#include "fuzz_reader.h"
#include "ingest/place.h"
#include "ingest/readers/office.h"

typedef struct {
    PdDocumentKind kind;
    gboolean (*read)(const PdPackage *, PdDocument *, PdEmitter *, GError **);
    const char *files[5]; /* the input gives them their bytes, in order, parted by NULs */
} Format;

static const Format formats[] = {
    {PD_KIND_DOCX,
     pd_docx_read,
     {"word/document.xml", "word/styles.xml", "word/numbering.xml", "word/footnotes.xml",
      "word/comments.xml"}},
    {PD_KIND_ODT, pd_odt_read, {"content.xml", "styles.xml", "meta.xml"}},
    {PD_KIND_XLSX,
     pd_xlsx_read,
     {"xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/comments1.xml"}},
    {PD_KIND_PPTX,
     pd_pptx_read,
     {"ppt/slides/slide1.xml", "ppt/notes1.xml", "ppt/comments1.xml", "ppt/authors.xml"}},
    {PD_KIND_EPUB, pd_epub_read, {"book.opf", "1.xhtml", "META-INF/encryption.xml"}},
};

/* How the files hang together, since the input is better spent on the text. */
static void
add_relations(PdPackage *package)
{
    static const char book[] = "<workbook><workbookPr date1904='1'/>"
                               "<sheet xmlns:r='x/relationships' name='A b' r:id='1'/></workbook>";
    static const char book_relations[] =
        "<r><Relationship Id='1' Type='/worksheet' Target='worksheets/sheet1.xml'/>"
        "<Relationship Id='2' Type='/styles' Target='styles.xml'/>"
        "<Relationship Id='3' Type='/sharedStrings' Target='sharedStrings.xml'/></r>";
    static const char sheet_relations[] =
        "<r><Relationship Id='1' Type='/comments' Target='../comments1.xml'/></r>";
    static const char show[] = "<p><sldId xmlns:r='x/relationships' id='256' r:id='1'/></p>";
    static const char show_relations[] =
        "<r><Relationship Id='1' Type='/slide' Target='slides/slide1.xml'/>"
        "<Relationship Id='2' Type='/commentAuthors' Target='authors.xml'/></r>";
    static const char slide_relations[] =
        "<r><Relationship Id='1' Type='/notesSlide' Target='../notes1.xml'/>"
        "<Relationship Id='2' Type='/comments' Target='../comments1.xml'/></r>";
    static const char container[] = "<c><rootfile full-path='book.opf'/></c>";
    static const char relations[] =
        "<r><Relationship Id='1' Type='/styles' Target='styles.xml'/>"
        "<Relationship Id='2' Type='/numbering' Target='numbering.xml'/>"
        "<Relationship Id='3' Type='/footnotes' Target='footnotes.xml'/>"
        "<Relationship Id='4' Type='/comments' Target='comments.xml'/></r>";
    const char *const files[][2] = {{"word/_rels/document.xml.rels", relations},
                                    {"xl/workbook.xml", book},
                                    {"ppt/presentation.xml", show},
                                    {"ppt/_rels/presentation.xml.rels", show_relations},
                                    {"ppt/slides/_rels/slide1.xml.rels", slide_relations},
                                    {"META-INF/container.xml", container},
                                    {"xl/_rels/workbook.xml.rels", book_relations},
                                    {"xl/worksheets/_rels/sheet1.xml.rels", sheet_relations}};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        pd_package_add(package, files[i][0], g_bytes_new_static(files[i][1], strlen(files[i][1])));
}

static void
check_part(const PdPart *part, gboolean has_blocks)
{
    const GString *text = part->text;
    g_assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
    if (!has_blocks)
        return;
    g_assert_cmpuint(text->len, >, 0);
    g_assert_cmpint(text->str[text->len - 1], ==, '\n');
    g_assert_cmpint(text->str[0], !=, '\n');
    g_assert_null(strstr(text->str, "\n\n\n"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const Format *format = &formats[data[0] % G_N_ELEMENTS(formats)];
    g_auto(FuzzReader) reader = {0};
    g_autoptr(PdPackage) package = pd_package_new();
    g_autoptr(PdDocument) document = pd_document_new(format->kind, "");
    fuzz_reader_init(&reader, 1u << 20);
    const uint8_t *at = data + 1;
    const uint8_t *end = data + size;
    for (size_t i = 0; i < G_N_ELEMENTS(format->files) && format->files[i] && at < end; i++) {
        const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
        size_t n = (size_t)((nul ? nul : end) - at);
        pd_package_add(package, format->files[i], g_bytes_new(at, n));
        at += n + 1;
    }
    if (format->kind != PD_KIND_ODT)
        add_relations(package);
    g_autoptr(GError) error = NULL;
    format->read(package, document, &reader.emitter, &error);
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        g_autofree char *place =
            pd_part_place(document->kind, part->path, part->label, part->text->str,
                          size % (part->text->len + 1), part->text->len);
        g_assert_true(!place || g_utf8_validate(place, -1, NULL));
        check_part(g_ptr_array_index(document->parts, i),
                   format->kind != PD_KIND_XLSX && format->kind != PD_KIND_EPUB);
    }
    return 0;
}
