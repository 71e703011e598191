/* RTF of any bytes: no crash, and texts that keep the rules of blocks.h. */
#include <string.h>

#include "fuzz_reader.h"
#include "ingest/readers/rtf.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_auto(FuzzReader) reader = {0};
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_RTF, "");
    fuzz_reader_init(&reader, 1u << 16);
    g_assert_true(pd_rtf_read(data, size, document, &reader.emitter, "", NULL));
    fuzz_check_texts(&reader, document);
    for (guint i = 0; i < document->parts->len; i++) {
        const GString *text = ((PdPart *)g_ptr_array_index(document->parts, i))->text;
        g_assert_cmpuint(text->len, >, 0);
        g_assert_cmpint(text->str[text->len - 1], ==, '\n');
        g_assert_null(strstr(text->str, "\n\n\n"));
    }
    return 0;
}
