/* Office packages whose files are any bytes: no crash, and texts that keep the rules of blocks.h.
 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "ingest/readers/office.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
};

/* The relations of a Word document, since the input is better spent on the text. */
static void
add_relations(PdPackage *package)
{
    static const char relations[] =
        "<r><Relationship Id='1' Type='/styles' Target='styles.xml'/>"
        "<Relationship Id='2' Type='/numbering' Target='numbering.xml'/>"
        "<Relationship Id='3' Type='/footnotes' Target='footnotes.xml'/>"
        "<Relationship Id='4' Type='/comments' Target='comments.xml'/></r>";
    pd_package_add(package, "word/_rels/document.xml.rels",
                   g_bytes_new_static(relations, strlen(relations)));
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
    static int null_fd = -1;
    if (size < 2)
        return 0;
    if (null_fd < 0)
        null_fd = open("/dev/null", O_WRONLY);
    const Format *format = &formats[data[0] % G_N_ELEMENTS(formats)];
    PdReadLimits limits = pd_read_limits_default;
    limits.text_bytes_max = 1u << 20;
    PdEmitter emitter = {.fd = null_fd, .limits = &limits};
    g_autoptr(PdPackage) package = pd_package_new();
    g_autoptr(PdDocument) document = pd_document_new(format->kind, "");
    const uint8_t *at = data + 1;
    const uint8_t *end = data + size;
    for (size_t i = 0; i < G_N_ELEMENTS(format->files) && format->files[i] && at < end; i++) {
        const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
        size_t n = (size_t)((nul ? nul : end) - at);
        pd_package_add(package, format->files[i], g_bytes_new(at, n));
        at += n + 1;
    }
    add_relations(package);
    g_autoptr(GError) error = NULL;
    format->read(package, document, &emitter, &error);
    for (guint i = 0; i < document->parts->len; i++)
        check_part(g_ptr_array_index(document->parts, i), TRUE);
    g_byte_array_unref(emitter.frame ? emitter.frame : g_byte_array_new());
    return 0;
}
