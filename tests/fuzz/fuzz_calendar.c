/* Calendars of any bytes: no crash, and a text within the limit. */
#include "fuzz_reader.h"
#include "ingest/readers/calendar.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_auto(FuzzReader) reader = {0};
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_CALENDAR, "");
    GString *text = pd_document_add_part(document, "", NULL)->text;
    fuzz_reader_init(&reader, 1u << 16);
    if (!pd_calendar_read(data, size, NULL, &reader.emitter, "", text, NULL))
        return 0;
    for (gsize i = 0; i < text->len; i++)
        if (!text->str[i]) /* of a malformed one, which is kept as it is */
            text->str[i] = ' ';
    fuzz_check_texts(&reader, document);
    return 0;
}
