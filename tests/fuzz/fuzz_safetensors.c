/* safetensors and config.json: whatever opens must be readable in full.  Input that starts with '{'
 * is taken for a configuration.  Seeds: the files in tests/golden/gqa/, as they are. */
#include "engine/arch.h"
#include "engine/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile guint8 sum; /* so that the reads are made */

static void
read_weights(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdSafetensors) st = pd_safetensors_open_bytes(bytes, "fuzz.safetensors", &error);
    g_assert((st == NULL) == (error != NULL));
    for (gsize i = 0; st != NULL && i < pd_safetensors_n_tensors(st); i++) {
        const PdSafetensor *t = pd_safetensors_tensor(st, i);
        const guint8 *values = t->data;
        g_assert(pd_safetensors_find(st, t->name) == t);
        if (t->n_bytes > 0)
            sum ^= values[0] ^ values[t->n_bytes - 1];
    }
}

static void
read_config(const uint8_t *data, size_t size)
{
    g_auto(PdModelConfig) config = {0};
    g_autoptr(GError) error = NULL;
    gboolean ok = pd_hf_config_parse((const char *)data, size, "config.json", &config, &error);
    g_assert(ok == (error == NULL));
    if (ok) {
        g_assert(config.shape.n_heads % config.shape.n_kv_heads == 0);
        g_assert(config.shape.head_dim <= 512 && config.shape.n_layers <= 1024);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{')
        read_config(data, size);
    else
        read_weights(data, size);
    return 0;
}
