/*
 * pandect-read-archive: the files in a zip, tar or 7z archive; and zips that are documents, as
 * their content says and not their name.
 */
#include <locale.h>
#include <string.h>

#include "ingest/error.h"
#include "ingest/readers/members.h"
#include "ingest/readers/office.h"

typedef struct {
    const char *kind; /* as pd_package_kind says */
    PdDocumentKind document_kind;
    gboolean (*read)(const PdPackage *package, PdDocument *document, PdEmitter *emitter,
                     GError **error);
} Format;

static const Format formats[] = {
    {"docx", PD_KIND_DOCX, pd_docx_read}, {"odt", PD_KIND_ODT, pd_odt_read},
    {"xlsx", PD_KIND_XLSX, pd_xlsx_read}, {"pptx", PD_KIND_PPTX, pd_pptx_read},
    {"epub", PD_KIND_EPUB, pd_epub_read},
};

/* The parent watches the time between frames. */
static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    /* libarchive gives names in the locale's encoding. */
    setlocale(LC_CTYPE, "C.UTF-8");
    needs->one_document = FALSE;
    return TRUE;
}

/* Where Office Open XML keeps files that were put into a document. */
static gboolean
is_embedded(const char *path)
{
    return strstr(path, "/embeddings/") || strstr(path, "/afchunk");
}

static gboolean
read_package(const Format *format, const PdWorkerRequest *request, PdEmitter *emitter,
             GError **error)
{
    g_autoptr(PdPackage) package =
        pd_package_open(PD_READER_INPUT_FD, request->name, emitter, error);
    g_autoptr(PdDocument) document = pd_package_document(format->document_kind, PD_READER_INPUT_FD);
    if (!package)
        return FALSE;
    if (!format->read(package, document, emitter, error)) {
        g_prefix_error(error, "%s: ", request->name);
        return FALSE;
    }
    if (!document->title)
        document->title = g_strdup(request->name);
    if (!document->parts->len) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT, "%s has no text (%s)",
                    request->name, format->kind);
        return FALSE;
    }
    return pd_emit_document(emitter, document, error) &&
           pd_members_emit_some(request, is_embedded, emitter, error);
}

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    const char *kind = strcmp(request->kind, "zip") == 0
                           ? pd_package_kind(PD_READER_INPUT_FD, &request->limits)
                           : NULL;
    for (gsize i = 0; kind && i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(formats[i].kind, kind) == 0)
            return read_package(&formats[i], request, emitter, error);
    }
    if (kind) { /* its XML as texts of their own would help nobody */
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "%s is an office file of a format that is not read (OpenDocument other than "
                    "texts, .xlsb, Visio): save it as one that is",
                    request->name);
        return FALSE;
    }
    return pd_members_emit(request, emitter, error);
}

int
main(void)
{
    static const char *const kinds[] = {"zip", "tar", "7z", NULL};
    const PdReaderProgram program = {kinds, prepare, run};
    return pd_reader_main(&program);
}
