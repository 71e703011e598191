/* tokenizer.json: after a zero byte the input goes on with a text, which must come back where the
 * vocabulary can hold it. */
#include <string.h>

#include "engine/tokenizer_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
round_trip(const PdTokenizer *tok, const char *text, gsize n)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GString) out = g_string_new(NULL);
    pd_tokenizer_encode(tok, text, n, ids, offsets);
    g_assert(ids->len == offsets->len);
    for (guint i = 0; i < ids->len; i++) {
        g_assert(!pd_tokenizer_is_control(tok, g_array_index(ids, guint32, i)));
        g_assert(g_array_index(offsets, guint32, i) < n);
        pd_tokenizer_decode(tok, g_array_index(ids, guint32, i), FALSE, out);
    }
    gboolean exact = tok->kind == PD_TOKENIZER_BYTES || memmem(text, n, "\xe2\x96\x81", 3) == NULL;
    if (pd_tokenizer_is_lossless(tok) && exact)
        g_assert(out->len == n && memcmp(out->str, text, n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char standard[] = "The cat's 123 \xe4\xb8\x96\xff  <|im_start|>\n\n\0x";
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    gsize n = zero == NULL ? size : (gsize)(zero - data);
    g_autofree char *json = g_strndup((const char *)data, n); /* ends where a reader must stop */
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tok =
        pd_tokenizer_new_from_json_data(json, n, "fuzz.json", FALSE, &error);
    g_assert((tok == NULL) == (error != NULL));
    if (tok == NULL)
        return 0;
    round_trip(tok, standard, sizeof standard);
    if (zero != NULL)
        round_trip(tok, (const char *)zero + 1, size - n - 1);
    return 0;
}
