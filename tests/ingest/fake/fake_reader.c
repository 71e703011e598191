/* A reader that misbehaves: it reads five messages, and dies over the second, over the fourth, and
 * over looking at the fifth once more. */
#include <stdlib.h>

#include "ingest/frame.h"
#include "ingest/readers/readers.h"

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    for (guint64 i = request->resume_item; i < 5; i++) {
        g_autofree char *key = g_strdup_printf("m%" G_GUINT64_FORMAT, i);
        g_autoptr(PdDocument) document = pd_document_new(PD_KIND_MAIL, key);
        g_string_append(pd_document_add_part(document, "1", NULL)->text, "words");
        if (!pd_emit_begin(emitter, i, i * 100, key, error))
            return FALSE;
        if (i == 1)
            abort();
        if (i >= 3) {
            pd_emit_document_head(emitter, document, NULL);
            pd_emit_part(emitter, g_ptr_array_index(document->parts, 0), NULL);
            if (i == 4)
                pd_emit_parts_end(emitter, NULL);
            abort();
        }
        if (!pd_emit_document(emitter, document, error))
            return FALSE;
    }
    return TRUE;
}

int
main(void)
{
    static const char *const kinds[] = {"mbox", NULL};
    const PdReaderProgram program = {kinds, NULL, run};
    return pd_reader_main(&program);
}
