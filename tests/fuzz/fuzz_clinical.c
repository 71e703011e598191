/* Clinical documents of any bytes: no crash, and texts within the limit. */
#include "fuzz_reader.h"
#include "ingest/readers/clinical.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_auto(FuzzReader) reader = {0};
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_CLINICAL, "");
    fuzz_reader_init(&reader, 1u << 16);
    if (pd_clinical_read(data, size, document, &reader.emitter, "", NULL))
        fuzz_check_texts(&reader, document);
    return 0;
}
