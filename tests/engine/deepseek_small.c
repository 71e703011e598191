/* See deepseek_small.h. */
#include "tests/engine/deepseek_small.h"
#include <glib.h>

char *
small_checkpoint(void)
{
    g_autofree char *from = g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "deepseek", NULL);
    g_autofree char *config = g_build_filename(from, "config.json", NULL);
    g_autofree char *weights = g_build_filename(from, "model.safetensors", NULL);
    char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autofree char *new_config = g_build_filename(folder, "config.json", NULL);
    g_autofree char *new_weights = g_build_filename(folder, "model.safetensors", NULL);
    g_autofree char *text = NULL, *data = NULL;
    gsize n_bytes;
    g_assert_true(g_file_get_contents(config, &text, NULL, NULL));
    g_autoptr(GString) json = g_string_new(text);
    g_assert_cmpint(g_string_replace(json, "\"max_position_embeddings\": 256",
                                     "\"max_position_embeddings\": 4096", 0),
                    ==, 1);
    g_assert_true(g_file_set_contents(new_config, json->str, -1, NULL));
    g_assert_true(g_file_get_contents(weights, &data, &n_bytes, NULL));
    g_assert_true(g_file_set_contents(new_weights, data, (gssize)n_bytes, NULL));
    return folder;
}
