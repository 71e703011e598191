/* A reader of text that dies over files that say so, and of "start" before it has begun any. */
#include <stdlib.h>
#include <string.h>

#include "ingest/frame.h"
#include "ingest/readers/readers.h"

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    g_autoptr(GByteArray) bytes = pd_read_input(PD_READER_INPUT_FD, 1 << 20, "", error);
    const char *at = bytes ? (const char *)bytes->data : "";
    if (!bytes || (bytes->len >= 5 && memcmp(at, "start", 5) == 0))
        abort();
    for (guint i = 0; i < MAX(request->files->len, 1); i++) {
        const PdWorkerFile *file =
            request->files->len ? g_ptr_array_index(request->files, i) : NULL;
        const char *key = file ? file->key : "";
        gsize n = file ? file->n_bytes : bytes->len;
        g_autoptr(PdDocument) document = pd_document_new(PD_KIND_TEXT, key);
        g_string_append_len(pd_document_add_part(document, "", NULL)->text, at, (gssize)n);
        at += n;
        if (i < request->resume_item)
            continue;
        if (!pd_emit_begin(emitter, i, 0, key, error))
            return FALSE;
        if (n >= 3 && memcmp(at - n, "die", 3) == 0)
            abort();
        if (!pd_emit_document(emitter, document, error))
            return FALSE;
    }
    return TRUE;
}

int
main(void)
{
    static const char *const kinds[] = {"text", NULL};
    const PdReaderProgram program = {kinds, NULL, run};
    return pd_reader_main(&program);
}
