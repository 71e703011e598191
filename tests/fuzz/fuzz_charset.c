/* The charset step: always UTF-8 out, never shorter than the letters that went in as ASCII. */
#include <stdint.h>
#include <string.h>

#include "ingest/readers/charset.h"
#include "ingest/readers/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const labels[] = {NULL,        "utf-8",       "us-ascii",  "iso-8859-1",
                                         "shift_jis", "iso-2022-jp", "gb2312",    "euc-kr",
                                         "utf-16",    "utf-7",       "koi8-r",    "big5",
                                         "x-unknown", "utf-32",      "hz-gb-2312"};
    if (!size)
        return 0;
    g_autoptr(GString) out = g_string_new("kept");
    PdCharsetInfo info;
    pd_charset_decode(data + 1, size - 1, labels[data[0] % G_N_ELEMENTS(labels)], out, &info);
    g_assert_true(memcmp(out->str, "kept", 4) == 0);
    for (gsize at = 0; at < out->len;) {
        const char *end;
        if (g_utf8_validate_len(out->str + at, out->len - at, &end))
            break;
        at = (gsize)(end - out->str);
        g_assert_cmpint(out->str[at], ==, 0);
        at++;
    }
    if (strcmp(info.name, "UTF-8") == 0 || strcmp(info.name, "WINDOWS-1252") == 0)
        g_assert_cmpuint(out->len + 3, >=, size - 1);
    g_free(pd_text_invisible_note(out->str, out->len));
    pd_text_truncate(out, out->len / 2);
    pd_sniff(data, size, "x.eml");
    return 0;
}
