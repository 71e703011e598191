/* `pandect model ...` as a person meets it: exit codes, one line for every failure, JSON that
 * parses.  No network: what would need it must not be reached. */
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <glib/gstdio.h>
#include "engine/remove_tree.h"

typedef struct {
    char *root; /* also the cache folder */
    char *out, *err;
    int code;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->root = g_dir_make_tmp("pandect-app-XXXXXX", NULL);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    pd_remove_tree(f->root);
    g_free(f->root);
    g_free(f->out);
    g_free(f->err);
}

static void run(Fixture *f, ...) G_GNUC_NULL_TERMINATED;

/* pandect ARG... in an empty home. */
static void
run(Fixture *f, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autoptr(GSubprocess) process = NULL;
    g_autoptr(GError) error = NULL;
    const char *arg;
    va_list args;

    g_ptr_array_add(argv, (gpointer)PD_EXE);
    va_start(args, f);
    while ((arg = va_arg(args, const char *)))
        g_ptr_array_add(argv, (gpointer)arg);
    va_end(args);
    g_ptr_array_add(argv, NULL);
    g_subprocess_launcher_setenv(launcher, "XDG_CACHE_HOME", f->root, TRUE);
    g_subprocess_launcher_set_cwd(launcher, f->root);
    process = g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, &error);
    g_assert_no_error(error);
    g_clear_pointer(&f->out, g_free);
    g_clear_pointer(&f->err, g_free);
    g_subprocess_communicate_utf8(process, NULL, NULL, &f->out, &f->err, &error);
    g_assert_no_error(error);
    g_assert_true(g_subprocess_get_if_exited(process)); /* not by a signal */
    f->code = g_subprocess_get_exit_status(process);
}

static void
assert_failed(Fixture *f, const char *said)
{
    g_assert_cmpint(f->code, ==, 1);
    g_assert_cmpstr(f->out, ==, "");
    g_assert_true(g_str_has_prefix(f->err, "pandect: "));
    g_assert_nonnull(strstr(f->err, said));
    g_assert_true(strchr(f->err, '\n') == f->err + strlen(f->err) - 1); /* one line */
}

static void
assert_usage(Fixture *f)
{
    g_assert_cmpint(f->code, ==, 2);
    g_assert_cmpstr(f->out, ==, "");
    g_assert_nonnull(strstr(f->err, "--help"));
}

static void
test_usage(Fixture *f, gconstpointer data)
{
    static const char *const commands[] = {"pull", "ls", "info", "calibrate"};

    run(f, "model", NULL);
    g_assert_cmpint(f->code, ==, 2);
    run(f, "model", "fly", NULL);
    assert_usage(f);
    run(f, "model", "pull", "--no-such-option", NULL);
    assert_usage(f);
    run(f, "model", "pull", "smollm2-135m", "gemma3-270m", NULL);
    assert_usage(f);
    run(f, "model", "ls", "x", NULL);
    assert_usage(f);
    run(f, "model", "info", "x", "y", NULL);
    assert_usage(f);
    run(f, "model", "calibrate", "--tokens", "100", NULL);
    assert_usage(f);
    run(f, "model", "calibrate", "--seed", "-1", NULL);
    assert_usage(f);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        run(f, "model", commands[i], "--help", NULL);
        g_assert_cmpint(f->code, ==, 0);
        g_assert_nonnull(strstr(f->out, "Examples:"));
        g_assert_cmpstr(f->err, ==, "");
    }
}

static void
test_names(Fixture *f, gconstpointer data)
{
    run(f, "model", "pull", "gpt-6", NULL);
    assert_failed(f, "smollm2-135m");
    run(f, "model", "pull", "--offline", "smollm2-135m", NULL);
    assert_failed(f, "SmolLM2-135M-Instruct.Q4_1.gguf");
    g_assert_nonnull(strstr(f->err, f->root));
    run(f, "model", "info", "gpt-6", NULL);
    assert_failed(f, "smollm2-135m");
    run(f, "model", "info", NULL);
    assert_failed(f, "pandect model pull qwen2.5-coder-1.5b (1.1");
}

static void
test_ls(Fixture *f, gconstpointer data)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    JsonArray *models;

    run(f, "model", "ls", NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_nonnull(strstr(f->out, "qwen2.5-coder-0.5b"));
    run(f, "model", "ls", "--json", NULL);
    g_assert_cmpint(f->code, ==, 0);
    json_parser_load_from_data(parser, f->out, -1, &error);
    g_assert_no_error(error);
    models = json_node_get_array(json_parser_get_root(parser));
    g_assert_cmpuint(json_array_get_length(models), ==, 4);
    for (guint i = 0; i < 4; i++) {
        JsonObject *model = json_array_get_object_element(models, i);
        g_assert_false(json_object_get_boolean_member(model, "present"));
        g_assert_cmpint(json_object_get_int_member(model, "bytes"), >, 0);
        g_assert_true(g_str_has_prefix(json_object_get_string_member(model, "path"), f->root));
    }
}

/* Files that are no models. */
static void
test_info_of_bad_files(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *name;
        const char *bytes;
        gsize n_bytes;
    } files[] = {
        {"empty.gguf", "", 0},
        {"text.gguf", "This is not a model.\n", 21},
        {"short.gguf", "GGUF\3\0\0\0", 8},
        {"counts.gguf",
         "GGUF\3\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f", 24},
        {"version.gguf", "GGUF\x63\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24},
        {"nothing.gguf", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24},
        {"model.safetensors", "{}", 2},
    };
    g_autofree char *dir = g_build_filename(f->root, "folder", NULL);
    g_autofree char *config = g_build_filename(dir, "config.json", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(f->root, files[i].name, NULL);
        g_assert_true(g_file_set_contents(path, files[i].bytes, (gssize)files[i].n_bytes, NULL));
        run(f, "model", "info", path, NULL);
        assert_failed(f, files[i].name);
    }
    run(f, "model", "info", "/no/such/file.gguf", NULL);
    assert_failed(f, "/no/such/file.gguf");
    g_mkdir(dir, 0755);
    run(f, "model", "info", dir, NULL);
    assert_failed(f, "config.json");
    g_assert_true(g_file_set_contents(config, "{\"model_type\": \"llama\"", -1, NULL));
    run(f, "model", "info", dir, NULL);
    assert_failed(f, "config.json");
    g_assert_true(g_file_set_contents(config, "{}", -1, NULL));
    run(f, "model", "info", dir, NULL);
    assert_failed(f, "config.json");
}

/* A real file, cut and changed: told in one line or described, never a crash. */
static void
test_info_of_damaged_file(Fixture *f, gconstpointer data)
{
    const char *good = PD_SOURCE_ROOT "/../shared/data/gqa/qwen2/model-f32.gguf";
    g_autofree char *path = g_build_filename(f->root, "damaged.gguf", NULL);
    g_autofree char *bytes = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    gsize n_bytes;

    if (!g_file_get_contents(good, &bytes, &n_bytes, NULL)) {
        g_test_skip("shared/data/gqa is not here");
        return;
    }
    run(f, "model", "info", good, NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_nonnull(strstr(f->out, "qwen2"));
    for (gsize n = 0; n < n_bytes; n = n * 2 + 7) {
        g_assert_true(g_file_set_contents(path, bytes, (gssize)n, NULL));
        run(f, "model", "info", path, NULL);
        assert_failed(f, "damaged.gguf");
    }
    for (guint i = 0; i < 150; i++) {
        gsize at = (gsize)g_rand_int_range(rand, 0, 4000);
        char before = bytes[at];
        bytes[at] = (char)g_rand_int_range(rand, 0, 256);
        g_assert_true(g_file_set_contents(path, bytes, (gssize)n_bytes, NULL));
        run(f, "model", "info", path, NULL);
        if (f->code != 0)
            assert_failed(f, "damaged.gguf");
        bytes[at] = before;
    }
}

#define DEEPSEEK PD_SOURCE_ROOT "/tests/golden/deepseek"

/* A DeepSeek-V4 folder: its schedule, its logits, and a way out where it cannot be used. */
static void
test_deepseek(Fixture *f, gconstpointer data)
{
    g_autofree char *ids = g_build_filename(f->root, "ids", NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    JsonObject *info;

    run(f, "model", "info", DEEPSEEK, NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_nonnull(strstr(f->out, "window 1 layer: 0;"));
    g_assert_nonnull(strstr(f->out, "CSA    2 layers: 1 3;"));
    g_assert_nonnull(strstr(f->out, "HCA    1 layer: 2;"));
    run(f, "model", "info", DEEPSEEK, "--json", NULL);
    json_parser_load_from_data(parser, f->out, -1, &error);
    g_assert_no_error(error);
    info = json_node_get_object(json_parser_get_root(parser));
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(info, "schedule")), ==, 4);

    g_assert_true(g_file_set_contents(ids, "1 2 3 4 5", -1, NULL));
    run(f, "model", "logits", "--model", DEEPSEEK, "--tokens", ids, "--at", "4 0", NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_nonnull(strstr(f->out, "{\"position\": 4, \"logits\": ["));
    g_assert_nonnull(strstr(f->out, "{\"position\": 0, \"logits\": ["));
    g_assert_true(g_file_set_contents(ids, "1 48", -1, NULL));
    run(f, "model", "logits", "--model", DEEPSEEK, "--tokens", ids, "--at", "1", NULL);
    assert_failed(f, "token 48");
    run(f, "bench", "--model", DEEPSEEK, "--contexts", "16", "--csv", NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_nonnull(strstr(f->out, ",mixed,16,"));
    run(f, "bench", "--model", DEEPSEEK, "--kv", "f16", NULL);
    assert_failed(f, "leave --kv out");
    run(f, "bench", "--model", DEEPSEEK, "--kv-gate", NULL);
    assert_failed(f, "DeepSeek-V4");
}

/* Its configuration and the header of its weights, changed anywhere: refused in one line, or good.
 */
static void
test_damaged_deepseek(Fixture *f, gconstpointer data)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    g_autofree char *dir = g_build_filename(f->root, "damaged", NULL);
    g_autofree char *ids = g_build_filename(f->root, "ids", NULL);
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);
    char *bytes[2], *paths[2];
    gsize sizes[2];

    g_mkdir(dir, 0755);
    g_assert_true(g_file_set_contents(ids, "1 2 3 4 5 6 7 8 9 10", -1, NULL));
    for (int i = 0; i < 2; i++) {
        g_autofree char *good = g_build_filename(DEEPSEEK, names[i], NULL);
        g_assert_true(g_file_get_contents(good, &bytes[i], &sizes[i], NULL));
        paths[i] = g_build_filename(dir, names[i], NULL);
        g_assert_true(g_file_set_contents(paths[i], bytes[i], (gssize)sizes[i], NULL));
    }
    for (guint n = 0; n < 150; n++) {
        int i = n % 2;
        gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)MIN(sizes[i], 20000));
        char before = bytes[i][at];
        bytes[i][at] = i == 0 ? (char)g_rand_int_range(rand, '0', '9' + 1)
                              : (char)g_rand_int_range(rand, 0, 256);
        g_assert_true(g_file_set_contents(paths[i], bytes[i], (gssize)sizes[i], NULL));
        run(f, "model", "logits", "--model", dir, "--tokens", ids, "--at", "9", NULL);
        if (f->code != 0)
            assert_failed(f, "damaged");
        bytes[i][at] = before;
        g_assert_true(g_file_set_contents(paths[i], bytes[i], (gssize)sizes[i], NULL));
    }
    for (int i = 0; i < 2; i++) {
        g_free(bytes[i]);
        g_free(paths[i]);
    }
}

/* What models cost without their weights: the published ones by name, one by its file. */
static void
test_costs(Fixture *f, gconstpointer data)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    run(f, "plan", "--model-config", "deepseek-v4-flash", "--machine", "1000,10", NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_assert_cmpstr(f->err, ==, "");
    g_assert_nonnull(strstr(f->out, "3508.8 B"));
    g_assert_nonnull(strstr(f->out, "GQA like deepseek-v4-flash"));
    run(f, "bench", "--model-config", "deepseek-v4-pro", "--model-config", DEEPSEEK, "--contexts",
        "100,1048576", "--machine", "1000,10", "--csv", NULL);
    g_assert_cmpint(f->code, ==, 0);
    g_auto(GStrv) lines = g_strsplit(g_strchomp(f->out), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 1 + 2 * 5); /* two asked for, two like them, V3.2 */
    g_auto(GStrv) names = g_strsplit(lines[0], ",", -1);
    for (int i = 1; lines[i] != NULL; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], ",", -1);
        g_assert_cmpuint(g_strv_length(fields), ==, g_strv_length(names));
    }
    g_assert_true(g_str_has_prefix(lines[2], "\"deepseek-v4-pro\","));
    g_assert_true(g_str_has_prefix(lines[3], "\"deepseek\",")); /* called as its folder */
    run(f, "plan", "--model-config", "deepseek-v3.2", "--tokens", "1000", "--json", "--machine",
        "1000,10", NULL);
    json_parser_load_from_data(parser, f->out, -1, &error);
    g_assert_no_error(error);
    JsonObject *root = json_node_get_object(json_parser_get_root(parser));
    JsonArray *models = json_object_get_array_member(root, "models");
    g_assert_cmpuint(json_array_get_length(models), ==, 2);
    JsonObject *length = json_array_get_object_element(
        json_object_get_array_member(json_array_get_object_element(models, 0), "contexts"), 0);
    g_assert_cmpint(json_object_get_int_member(length, "tokens"), ==, 1000);
    g_assert_cmpfloat(json_object_get_double_member(length, "kv_bytes"), ==, 48068000);
}

static void
test_cost_refusals(Fixture *f, gconstpointer data)
{
    static const char *const usages[][4] = {
        {"--csv", "--json"},         {"--machine", "1000"},       {"--machine", "1000,-1"},
        {"--machine", "1000,x"},     {"--machine", "0,10"},       {"--machine", "1,2,3"},
        {"--model", "smollm2-135m"}, {"--machine", "1000,1e400"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(usages); i++) {
        run(f, "plan", "--model-config", "deepseek-v3.2", usages[i][0], usages[i][1], NULL);
        assert_usage(f);
        run(f, "bench", "--model-config", "deepseek-v3.2", usages[i][0], usages[i][1], NULL);
        assert_usage(f);
    }
    run(f, "plan", "--machine", "1000,10", NULL);
    assert_usage(f);
    run(f, "plan", "--csv", NULL);
    assert_usage(f);
    run(f, "bench", "--machine", "1000,10", NULL);
    assert_usage(f);
    run(f, "plan", "--model-config", "deepseek-v9", NULL);
    assert_failed(f, "deepseek-v9");
    run(f, "bench", "--model-config", PD_SOURCE_ROOT "/meson.build", NULL);
    assert_failed(f, "meson.build");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, func) g_test_add(path, Fixture, NULL, set_up, func, tear_down)
    ADD("/model_commands/usage", test_usage);
    ADD("/model_commands/names", test_names);
    ADD("/model_commands/ls", test_ls);
    ADD("/model_commands/info_of_bad_files", test_info_of_bad_files);
    ADD("/model_commands/info_of_damaged_file", test_info_of_damaged_file);
    ADD("/model_commands/deepseek", test_deepseek);
    ADD("/model_commands/costs", test_costs);
    ADD("/model_commands/cost_refusals", test_cost_refusals);
    ADD("/model_commands/damaged_deepseek", test_damaged_deepseek);
    return g_test_run();
}
