/* PKCS #7 of any bytes: no crash, and what is inside is not longer than the whole. */
#include <glib.h>
#include <stdint.h>

#include "ingest/readers/smime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GByteArray *content = NULL;
    PdSmimeKind kind = pd_smime_open(data, size, &content);
    if (!content)
        return 0;
    g_assert_cmpint(kind, ==, PD_SMIME_SIGNED);
    g_assert_cmpuint(content->len, <, size);
    g_byte_array_unref(content);
    return 0;
}
