/* pandect-read-text: plain text, Markdown and HTML, one file a process. */
#include "ingest/readers/readers.h"

#include <string.h>

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    gboolean is_html = strcmp(request->kind, "html") == 0;
    PdDocumentKind kind = is_html                                  ? PD_KIND_HTML
                          : strcmp(request->kind, "markdown") == 0 ? PD_KIND_MARKDOWN
                                                                   : PD_KIND_TEXT;
    g_autoptr(GByteArray) bytes =
        pd_read_input(PD_READER_INPUT_FD, request->limits.file_bytes_max, request->name, error);
    if (!bytes)
        return FALSE;
    g_autoptr(PdDocument) document = pd_document_new(kind, "");
    PdPart *part = pd_document_add_part(document, "", NULL);
    pd_sha256(bytes->data, bytes->len, document->raw_sha256);
    document->raw_bytes = bytes->len;
    if (is_html ? !pd_decode_html(emitter, "", bytes->data, bytes->len, NULL, part->text,
                                  &document->title, error)
                : !pd_decode_text(emitter, "", bytes->data, bytes->len, NULL, part->text, error))
        return FALSE;
    if (!document->title || !*document->title) {
        g_free(document->title);
        document->title = g_strdup(request->name);
    }
    return pd_emit_document(emitter, document, error);
}

int
main(void)
{
    static const char *const kinds[] = {"text", "markdown", "html", NULL};
    const PdReaderProgram program = {kinds, NULL, run};
    return pd_reader_main(&program);
}
