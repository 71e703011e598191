/* Notebooks of any bytes: no crash, and texts within the limit whose places can be told. */
#include "fuzz_reader.h"
#include "ingest/place.h"
#include "ingest/readers/notebook.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_auto(FuzzReader) reader = {0};
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_NOTEBOOK, "");
    fuzz_reader_init(&reader, 1u << 16);
    pd_notebook_read(data, size, document, &reader.emitter, "", NULL);
    fuzz_check_texts(&reader, document);
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        const GString *text = part->text;
        g_autofree char *place = pd_part_place(PD_KIND_NOTEBOOK, part->path, part->label, text->str,
                                               size % text->len, text->len);
        g_assert_nonnull(place);
    }
    return 0;
}
