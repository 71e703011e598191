/* See load_tokenizer.h. */
#include "app/load_tokenizer.h"

#include "engine/catalogue.h"

PdTokenizer *
pd_load_tokenizer(const char *model, GError **error)
{
    if (model && g_str_has_suffix(model, ".json"))
        return pd_tokenizer_new_from_json(model, error);
    g_autofree char *path = pd_catalogue_resolve(model, error);
    if (!path)
        return NULL;
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_autofree char *json = g_build_filename(path, "tokenizer.json", NULL);
        return pd_tokenizer_new_from_json(json, error);
    }
    g_autoptr(PdGguf) gguf = pd_gguf_open(path, error);
    return gguf ? pd_tokenizer_new_from_gguf(gguf, error) : NULL;
}
