/* pandect-read-text: plain text, Markdown, HTML, calendars, RTF, notebooks and clinical documents;
 * one file, or many small ones of a folder. */
#include "ingest/readers/readers.h"

#include <string.h>

#include "ingest/error.h"
#include "ingest/readers/calendar.h"
#include "ingest/readers/clinical.h"
#include "ingest/readers/notebook.h"
#include "ingest/readers/rtf.h"

/* Of a kind whose text is one part, and bytes that are text. */
static gboolean
read_plain(PdDocument *document, const guint8 *bytes, gsize n, PdEmitter *emitter, const char *key,
           GError **error)
{
    GString *text = pd_document_add_part(document, "", NULL)->text;
    return document->kind == PD_KIND_HTML
               ? pd_decode_html(emitter, key, bytes, n, NULL, FALSE, text, &document->title, error)
           : document->kind == PD_KIND_CALENDAR
               ? pd_calendar_read(bytes, n, NULL, emitter, key, text, error)
               : pd_decode_text(emitter, key, bytes, n, NULL, text, error);
}

static PdDocumentKind
document_kind(const char *kind)
{
    return strcmp(kind, "html") == 0       ? PD_KIND_HTML
           : strcmp(kind, "markdown") == 0 ? PD_KIND_MARKDOWN
           : strcmp(kind, "rtf") == 0      ? PD_KIND_RTF
           : strcmp(kind, "notebook") == 0 ? PD_KIND_NOTEBOOK
           : strcmp(kind, "clinical") == 0 ? PD_KIND_CLINICAL
           : strcmp(kind, "calendar") == 0 ? PD_KIND_CALENDAR
                                           : PD_KIND_TEXT;
}

static gboolean
read_file(PdEmitter *emitter, const char *kind, const char *key, const char *name,
          const guint8 *bytes, gsize n, GError **error)
{
    g_autoptr(PdDocument) document = pd_document_new(document_kind(kind), key);
    pd_sha256(bytes, n, document->raw_sha256);
    document->raw_bytes = n;
    gboolean ok = document->kind == PD_KIND_RTF
                      ? pd_rtf_read(bytes, n, document, emitter, key, error)
                  : document->kind == PD_KIND_NOTEBOOK
                      ? pd_notebook_read(bytes, n, document, emitter, key, error)
                  : document->kind == PD_KIND_CLINICAL
                      ? pd_clinical_read(bytes, n, document, emitter, key, error)
                      : read_plain(document, bytes, n, emitter, key, error);
    if (!ok) {
        g_prefix_error(error, "%s: ", name);
        return FALSE;
    }
    if (!document->parts->len) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT, "%s has no text (%s)", name,
                    kind);
        return FALSE;
    }
    if (!document->title || !*document->title) {
        g_free(document->title);
        document->title = g_strdup(name);
    }
    return pd_emit_document(emitter, document, error);
}

/* Many small files: one that cannot be read costs itself alone. */
static gboolean
read_files(const PdWorkerRequest *request, PdEmitter *emitter, const GByteArray *bytes,
           GError **error)
{
    guint64 offset = 0;
    for (guint i = 0; i < request->files->len; i++) {
        const PdWorkerFile *file = g_ptr_array_index(request->files, i);
        g_autoptr(GError) problem = NULL;
        if (file->n_bytes > bytes->len - offset) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER, "%s is cut short",
                        file->key);
            return FALSE;
        }
        const guint8 *start = bytes->data + offset;
        offset += file->n_bytes;
        if (i < request->resume_item)
            continue;
        if (!pd_emit_begin(emitter, i, 0, file->key, error))
            return FALSE;
        if (!read_file(emitter, file->kind, file->key, file->key, start, file->n_bytes, &problem) &&
            !pd_emit_ledger(emitter, pd_ingest_error_level(problem), file->key,
                            (gint64)file->n_bytes, error, "%s", problem->message))
            return FALSE;
    }
    return TRUE;
}

/* The parent watches each file of several. */
static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    needs->one_document = request->files->len == 0;
    return TRUE;
}

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    g_autoptr(GByteArray) bytes =
        pd_read_input(PD_READER_INPUT_FD, request->limits.file_bytes_max, request->name, error);
    if (!bytes)
        return FALSE;
    if (request->files->len > 0)
        return read_files(request, emitter, bytes, error);
    return read_file(emitter, request->kind, "", request->name, bytes->data, bytes->len, error);
}

int
main(void)
{
    static const char *const kinds[] = {"text",     "markdown", "html",     "rtf",
                                        "notebook", "clinical", "calendar", NULL};
    const PdReaderProgram program = {kinds, prepare, run};
    return pd_reader_main(&program);
}
