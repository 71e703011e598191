/* A reader that misbehaves: it dies over the second message, over the fourth, and over looking at
 * the fifth once more, says nothing of the sixth, and skips the seventh three times. */
#include <stdlib.h>

#include "ingest/frame.h"
#include "ingest/readers/readers.h"

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    for (guint64 i = request->resume_item; i < 7; i++) {
        g_autofree char *key = g_strdup_printf("m%" G_GUINT64_FORMAT, i);
        g_autoptr(PdDocument) document = pd_document_new(PD_KIND_MAIL, key);
        g_string_append(pd_document_add_part(document, "1", NULL)->text, "words");
        if (!pd_emit_begin(emitter, i, i * 100, key, error))
            return FALSE;
        if (i == 1)
            abort();
        if (i == 5)
            continue;
        if (i == 6) {
            for (int k = 0; k < 3; k++)
                if (!pd_emit_ledger(emitter, "skipped", key, 1, error, "reason %d", k))
                    return FALSE;
            continue;
        }
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
