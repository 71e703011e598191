/* GGUF: whatever opens must be readable in full, and may then make a tokenizer. */
#include <string.h>

#include "engine/gguf.h"
#include "engine/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touch both ends of each tensor: a sanitizer sees what lies outside. */
static guint8
read_tensors(const PdGguf *gguf)
{
    guint8 sum = 0;
    for (gsize i = 0; i < pd_gguf_n_tensors(gguf); i++) {
        const PdGgufTensor *t = pd_gguf_tensor(gguf, i);
        const guint8 *bytes = t->data;
        g_assert(pd_gguf_find_tensor(gguf, t->name) == t);
        sum ^= bytes[0] ^ bytes[t->n_bytes - 1];
    }
    return sum;
}

static void
use_tokenizer(const PdGguf *gguf)
{
    static const char text[] = "The cat's 123 \xe4\xb8\x96\xff  <|im_start|>\n\n\0x\xe2\x96\x81y";
    g_autoptr(PdTokenizer) tok = pd_tokenizer_new_from_gguf(gguf, NULL);
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GString) out = g_string_new(NULL);
    if (tok == NULL)
        return;
    pd_tokenizer_encode(tok, text, sizeof text, ids, NULL);
    for (guint i = 0; i < ids->len; i++)
        pd_tokenizer_decode(tok, g_array_index(ids, guint32, i), TRUE, out);
    for (guint i = 0; i < ids->len; i++)
        g_assert(!pd_tokenizer_is_control(tok, g_array_index(ids, guint32, i)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdGguf) gguf = pd_gguf_open_bytes(bytes, "fuzz.gguf", &error);
    g_assert((gguf == NULL) == (error != NULL));
    if (gguf == NULL)
        return 0;
    volatile guint8 sum = read_tensors(gguf);
    (void)sum;
    use_tokenizer(gguf);
    return 0;
}
