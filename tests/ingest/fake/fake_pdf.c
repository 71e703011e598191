/* A reader of PDFs that dies over looking at its page once more, and then again over the second of
 * two attached files. */
#include <stdlib.h>

#include "ingest/frame.h"
#include "ingest/readers/readers.h"

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    static const guint8 note[] = "Take a coat.";
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_PDF, "");
    PdPart *part = pd_document_add_part(document, "page/1", NULL);
    g_string_append(part->text, "words");
    if (!request->resume_item) {
        pd_emit_document_head(emitter, document, NULL);
        pd_emit_part(emitter, part, NULL);
        pd_emit_parts_end(emitter, NULL);
        abort();
    }
    pd_emit_attachment_head(emitter, "1:note.txt", NULL, NULL);
    pd_emit_attachment_data(emitter, note, sizeof note - 1, NULL);
    pd_emit_attachment_end(emitter, NULL);
    pd_emit_attachment_head(emitter, "2:plan.txt", NULL, NULL);
    abort();
}

int
main(void)
{
    static const char *const kinds[] = {"pdf", NULL};
    const PdReaderProgram program = {kinds, NULL, run};
    return pd_reader_main(&program);
}
