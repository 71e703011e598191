/* Clinical documents of any bytes: no crash, and texts within the limit. */
#include <fcntl.h>
#include <stdint.h>

#include "ingest/readers/clinical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int null_fd = -1;
    if (null_fd < 0)
        null_fd = open("/dev/null", O_WRONLY);
    PdReadLimits limits = pd_read_limits_default;
    limits.text_bytes_max = 1u << 16;
    PdEmitter emitter = {.fd = null_fd, .limits = &limits, .frame = g_byte_array_new()};
    g_autoptr(PdDocument) document = pd_document_new(PD_KIND_CLINICAL, "");
    if (pd_clinical_read(data, size, document, &emitter, "", NULL)) {
        gsize n_text = 0;
        for (guint i = 0; i < document->parts->len; i++) {
            const GString *text = ((PdPart *)g_ptr_array_index(document->parts, i))->text;
            g_assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
            n_text += text->len;
        }
        g_assert_cmpuint(n_text, <=, limits.text_bytes_max);
    }
    g_byte_array_unref(emitter.frame);
    return 0;
}
