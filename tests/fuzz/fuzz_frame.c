/* What a hostile reader process may send: no crash, and no document that breaks the promises. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "ingest/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static gboolean
on_begin(guint64 item, guint64 offset, const char *key, gpointer user_data, GError **error)
{
    g_assert_true(g_utf8_validate(key, -1, NULL));
    return TRUE;
}

static gboolean
on_document(PdDocument *document, gpointer user_data, GError **error)
{
    g_assert_true(g_utf8_validate(document->key, -1, NULL));
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        for (guint k = 0; part->boxes && k < part->boxes->len; k++) {
            const PdBox *box = &g_array_index(part->boxes, PdBox, k);
            g_assert_true(box->start < box->end && box->end <= part->text->len);
            g_assert_true(isfinite(box->x0) && isfinite(box->y1));
        }
    }
    pd_document_free(document);
    return TRUE;
}

static gboolean
on_ledger(const PdLedgerLine *line, gpointer user_data, GError **error)
{
    g_assert_true(g_utf8_validate(line->reason, -1, NULL));
    return TRUE;
}

static void
on_progress(guint64 done, guint64 total, gpointer user_data)
{
}

static gboolean
on_attachment(const char *name, const char *media_type, const char *revision, int fd,
              guint64 n_bytes, gpointer user_data, GError **error)
{
    return !name || name[0] != 'x';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const PdAssemblerSink sink = {on_begin,    on_document,   on_ledger,
                                         on_progress, on_attachment, NULL};
    g_autoptr(PdAssembler) assembler = pd_assembler_new(&pd_read_limits_default, &sink);
    size_t slice = size ? 1 + data[0] : 1;
    for (size_t at = 0; at < size; at += slice) {
        GError *error = NULL;
        gboolean ok = pd_assembler_feed(assembler, data + at, MIN(slice, size - at), NULL, &error);
        g_clear_error(&error);
        if (!ok)
            break;
    }
    GError *reported = NULL;
    PdReaderUsage usage;
    pd_assembler_done(assembler, &usage, &reported);
    g_clear_error(&reported);
    pd_document_free(pd_assembler_take_unfinished(assembler));
    PdWorkerRequest *request = pd_worker_request_decode(data, size, NULL);
    pd_worker_request_free(request);
    return 0;
}
