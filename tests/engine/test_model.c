/*
 * Models against logits that others computed: tests/golden/gqa (float64, from the published
 * equations), ../shared/data/gqa (Hugging Face transformers) and SmolLM2 by llama.cpp; and
 * configurations that contradict themselves or the tensors.
 */
#include <math.h>
#include <string.h>
#include <glib/gstdio.h>
#include "engine/arch.h"
#include "engine/catalogue.h"
#include "engine/error.h"
#include "engine/safetensors.h"
#include "engine/session.h"
#include "engine/remove_tree.h"
#include "tests/engine/gguf_split.h"

static char *smollm2_path; /* in the cache folder of the person, not of the tests */

/* Logits of all n tokens, (n, n_vocab), with float32 KV. */
static float *
run_model(const char *path, const char *isa, const gint32 *tokens, int n)
{
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {.n_threads = 2, .isa = isa};
    g_autoptr(PdModel) model = pd_model_open(path, &options, &error);
    g_assert_no_error(error);
    PdSessionOptions session_options = {.n_sequences = 1, .max_tokens = n, .kv_type = PD_F32};
    g_autoptr(PdSession) session = pd_session_new(model, &session_options, &error);
    g_assert_no_error(error);
    float *logits = g_new(float, (gsize)n *(gsize)pd_model_shape(model)->n_vocab);
    PdRun run = {.tokens = tokens, .n_tokens = n, .logits = logits, .all_logits = TRUE};
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return logits;
}

static double
max_difference(const float *a, const float *b, gsize n)
{
    double max = 0;
    for (gsize i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - b[i]);
        if (!(difference <= max)) /* NaN counts */
            max = difference;
    }
    return max;
}

static PdSafetensors *
open_golden(const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(folder, "golden.safetensors", NULL);
    PdSafetensors *golden = pd_safetensors_open(path, &error);
    g_assert_no_error(error);
    return golden;
}

/* tests/golden/gqa/ARCH: folder and GGUF twin, plain C and the fastest kernels. */
static void
test_golden(gconstpointer arch)
{
    static const char *const isas[] = {"reference", NULL};
    static const char *const files[] = {"", "model.gguf"};
    g_autofree char *folder =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", arch, NULL);
    g_autoptr(PdSafetensors) golden = open_golden(folder);
    const PdSafetensor *tokens = pd_safetensors_find(golden, "tokens");
    const PdSafetensor *want = pd_safetensors_find(golden, "logits");
    for (gsize f = 0; f < G_N_ELEMENTS(files); f++) {
        for (gsize i = 0; i < G_N_ELEMENTS(isas); i++) {
            g_autofree char *path = g_build_filename(folder, files[f], NULL);
            g_autofree float *got = run_model(path, isas[i], tokens->data, (int)tokens->dims[0]);
            double difference = max_difference(got, want->data, want->n_bytes / sizeof(float));
            g_test_message("%s %s: %g", path, isas[i] != NULL ? isas[i] : "best", difference);
            g_assert_cmpfloat(difference, <=, 1e-4);
        }
    }
}

/* A GGUF file in pieces gives the numbers of the whole one. */
static void
test_split(void)
{
    g_autofree char *golden_folder =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", "qwen2", NULL);
    g_autofree char *path = g_build_filename(golden_folder, "model.gguf", NULL);
    g_autofree char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autofree char *first = gguf_split(path, folder, 4);
    g_autoptr(PdSafetensors) golden = open_golden(golden_folder);
    const PdSafetensor *tokens = pd_safetensors_find(golden, "tokens");
    gsize n_bytes = pd_safetensors_find(golden, "logits")->n_bytes;
    g_autofree float *want = run_model(path, NULL, tokens->data, (int)tokens->dims[0]);
    g_autofree float *got = run_model(first, NULL, tokens->data, (int)tokens->dims[0]);
    g_assert_cmpmem(got, n_bytes, want, n_bytes);
    pd_remove_tree(folder);
}

/* ../shared/data/gqa/ARCH: logits.N = rows 0, N//2, N-1 of the first N tokens. */
static void
test_shared_golden(gconstpointer arch)
{
    static const char *const files[] = {"", "model-f32.gguf"};
    g_autofree char *folder =
        g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", "gqa", arch, NULL);
    if (!g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        g_test_skip("../shared/data/gqa is not here");
        return;
    }
    g_autoptr(PdSafetensors) golden = open_golden(folder);
    const PdSafetensor *tokens = pd_safetensors_find(golden, "tokens");
    for (gsize f = 0; f < G_N_ELEMENTS(files); f++) {
        g_autofree char *path = g_build_filename(folder, files[f], NULL);
        for (gsize t = 0; t < pd_safetensors_n_tensors(golden); t++) {
            const PdSafetensor *want = pd_safetensors_tensor(golden, t);
            if (!g_str_has_prefix(want->name, "logits."))
                continue;
            int n = atoi(want->name + strlen("logits."));
            int rows[3] = {0, n / 2, n - 1};
            g_autofree float *got = run_model(path, NULL, tokens->data, n);
            for (int r = 0; r < 3; r++) {
                gsize n_vocab = (gsize)want->dims[1];
                double difference =
                    max_difference(got + (gsize)rows[r] * n_vocab,
                                   (const float *)want->data + (gsize)r * n_vocab, n_vocab);
                g_test_message("%s %s row %d: %g", path, want->name, rows[r], difference);
                g_assert_cmpfloat(difference, <=, 1e-4);
            }
        }
    }
}

static int
best_of(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static double
cosine_of_8th(const float *logits, const float *want, gsize n)
{
    double xy = 0, xx = 0, yy = 0;
    for (gsize i = 0; i < n; i++) {
        xy += (double)want[i] * logits[8 * i];
        xx += (double)want[i] * want[i];
        yy += (double)logits[8 * i] * logits[8 * i];
    }
    return xy / sqrt(xx * yy);
}

/* A real quantized model says what llama.cpp says. */
static void
test_smollm2(void)
{
    if (!g_file_test(smollm2_path, G_FILE_TEST_EXISTS)) {
        g_autofree char *why =
            g_strdup_printf("%s is not here (pandect model pull smollm2-135m)", smollm2_path);
        g_test_skip(why);
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "smollm2", NULL);
    g_autoptr(PdSafetensors) golden = open_golden(folder);
    const PdSafetensor *tokens = pd_safetensors_find(golden, "tokens");
    const PdSafetensor *sample = pd_safetensors_find(golden, "sample");
    const PdSafetensor *exact = pd_safetensors_find(golden, "exact");
    const PdSafetensor *greedy = pd_safetensors_find(golden, "greedy");
    g_autoptr(PdModel) model = pd_model_open(smollm2_path, NULL, &error);
    g_assert_no_error(error);
    int n_vocab = pd_model_shape(model)->n_vocab;
    PdSessionOptions options = {.n_sequences = 1, .max_tokens = 64, .kv_type = PD_F16};
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    g_assert_no_error(error);
    g_autofree float *logits = g_new(float, n_vocab);
    PdRun run = {.tokens = tokens->data, .n_tokens = (int)tokens->dims[0], .logits = logits};
    for (gsize step = 0; step < greedy->dims[0]; step++) {
        pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        if (step == 0) {
            double to_exact = cosine_of_8th(logits, exact->data, exact->dims[0]);
            double to_llama = cosine_of_8th(logits, sample->data, sample->dims[0]);
            g_test_message("cosine %.6f with float64, %.6f with llama.cpp", to_exact, to_llama);
            /* llama.cpp has 0.9988 with float64: both round activations to 8 bits, and a last bit
             * that differs (other instruction set, other optimization) moves roundings: 0.9988 to
             * 0.9994 were seen here.  Two independent roundings are about twice as far apart. */
            g_assert_cmpfloat(to_exact, >, 0.998);
            g_assert_cmpfloat(to_llama, >, 0.995);
        }
        const gint32 *want = (const gint32 *)greedy->data + step;
        g_assert_cmpint(best_of(logits, n_vocab), ==, *want);
        run.tokens = want;
        run.n_tokens = 1;
    }
}

/* --- configurations --- */

#define LLAMA                                                                                      \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":32,"                        \
    "\"intermediate_size\":64,\"num_attention_heads\":4,\"num_key_value_heads\":2,"                \
    "\"vocab_size\":96"
#define GEMMA                                                                                      \
    "{\"model_type\":\"gemma3_text\",\"num_hidden_layers\":7,\"hidden_size\":64,"                  \
    "\"intermediate_size\":64,\"num_attention_heads\":4,\"num_key_value_heads\":2,"                \
    "\"vocab_size\":96,\"head_dim\":16,\"sliding_window\":8"

static void
test_config_refuses(void)
{
    static const char *const cases[][2] = {
        {"{\"model_type\":\"mamba\"}", "mamba"},
        {"{}", "model_type"},
        {"{\"model_type\":[]}", "model_type"},
        {"{\"model_type\":\"llama\"}", "num_hidden_layers"},
        {LLAMA ",\"num_hidden_layers\":0}", "num_hidden_layers"},
        {LLAMA ",\"num_hidden_layers\":2000000000}", "num_hidden_layers"},
        {LLAMA ",\"num_hidden_layers\":-1}", "num_hidden_layers"},
        {LLAMA ",\"hidden_size\":2.5}", "hidden_size"},
        {LLAMA ",\"hidden_size\":33}", "hidden_size"},
        {LLAMA ",\"num_attention_heads\":0}", "number of heads"},
        {LLAMA ",\"num_key_value_heads\":3}", "KV heads"},
        {LLAMA ",\"num_key_value_heads\":0}", "KV heads"},
        {LLAMA ",\"head_dim\":7}", "odd"},
        {LLAMA ",\"head_dim\":100000}", "head_dim"},
        {LLAMA ",\"rms_norm_eps\":\"x\"}", "rms_norm_eps"},
        {LLAMA ",\"rms_norm_eps\":0}", "epsilon"},
        {LLAMA ",\"rope_theta\":-1}", "theta"},
        {LLAMA ",\"hidden_act\":\"gelu\"}", "hidden_act"},
        {LLAMA ",\"mlp_bias\":true}", "mlp_bias"},
        {LLAMA ",\"quantization_config\":{}}", "quantization_config"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}}", "yarn"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", "rope_scaling"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":0}}", "factor"},
        {LLAMA ",\"rope_scaling\":7}", "rope_scaling"},
        {LLAMA ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor"},
        {LLAMA ",\"layer_types\":[\"full_attention\"]}", "layer_types"},
        {LLAMA ",\"layer_types\":[\"full_attention\",\"linear_attention\"]}", "layer_types"},
        {LLAMA ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "window"},
        {GEMMA ",\"final_logit_softcapping\":30}", "final_logit_softcapping"},
        {GEMMA ",\"attention_bias\":true}", "attention_bias"},
        {GEMMA ",\"query_pre_attn_scalar\":0}", "attention scale"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(PdModelConfig) config = {0};
        g_autoptr(GError) error = NULL;
        g_test_message("%s", cases[i][0]);
        g_assert_false(
            pd_hf_config_parse(cases[i][0], strlen(cases[i][0]), "config.json", &config, &error));
        g_assert_nonnull(strstr(error->message, cases[i][1]));
        g_assert_null(strchr(error->message, '\n'));
    }
}

static void
parse_config(const char *json, PdModelConfig *config)
{
    g_autoptr(GError) error = NULL;
    pd_hf_config_parse(json, strlen(json), "config.json", config, &error);
    g_assert_no_error(error);
}

/* The old and the new way of saying the same give the same. */
static void
test_config_forms(void)
{
    g_auto(PdModelConfig) old = {0}, new = {0}, listed = {0};
    parse_config(GEMMA ",\"rope_theta\":5e5,\"rope_local_base_freq\":2e4,"
                       "\"sliding_window_pattern\":3,\"query_pre_attn_scalar\":64,"
                       "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}}",
                 &old);
    parse_config(GEMMA ",\"_sliding_window_pattern\":3,\"query_pre_attn_scalar\":64,"
                       "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":5e5,"
                       "\"rope_type\":\"linear\",\"factor\":8},"
                       "\"sliding_attention\":{\"rope_theta\":2e4,\"rope_type\":\"default\"}}}",
                 &new);
    parse_config(GEMMA ",\"query_pre_attn_scalar\":64,\"rope_theta\":5e5,"
                       "\"rope_local_base_freq\":2e4,\"rope_scaling\":{\"type\":\"linear\","
                       "\"factor\":8},\"layer_types\":[\"sliding_attention\","
                       "\"sliding_attention\",\"full_attention\",\"sliding_attention\","
                       "\"sliding_attention\",\"full_attention\",\"sliding_attention\"]}",
                 &listed);
    g_assert_cmpmem(&old.shape, sizeof old.shape, &new.shape, sizeof new.shape);
    g_assert_cmpmem(&old.shape, sizeof old.shape, &listed.shape, sizeof listed.shape);
    for (int i = 0; i < 7; i++) {
        g_assert_cmpint(old.layer_local[i], ==, i % 3 != 2);
        g_assert_cmpint(new.layer_local[i], ==, i % 3 != 2);
        g_assert_cmpint(listed.layer_local[i], ==, i % 3 != 2);
    }
    g_assert_cmpfloat(new.shape.rope_theta, ==, 5e5f);
    g_assert_cmpfloat(new.shape.rope_theta_local, ==, 2e4f);
    g_assert_cmpfloat(new.shape.attn_scale, ==, 0.125f);
    g_assert_cmpfloat(new.shape.embd_scale, ==, 8);
    g_assert_cmpfloat(new.rope_factors[7], ==, 8);
    g_assert_true(new.tied);
}

/* Llama 3.1: fast frequencies stay, slow ones are divided by the factor, those between blended. */
static void
test_config_llama3(void)
{
    g_auto(PdModelConfig) config = {0};
    parse_config("{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":512,"
                 "\"intermediate_size\":64,\"num_attention_heads\":4,\"vocab_size\":96,"
                 "\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":8.0,"
                 "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                 "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}}",
                 &config);
    g_assert_cmpint(config.shape.n_kv_heads, ==, 4);
    g_assert_cmpint(config.shape.head_dim, ==, 128);
    g_assert_cmpfloat(config.rope_factors[0], ==, 1);
    g_assert_cmpfloat(config.rope_factors[28], ==, 1); /* wavelength 1955 < 8192 / 4 */
    g_assert_cmpfloat(config.rope_factors[29], >, 1);  /* 2400 */
    g_assert_cmpfloat(config.rope_factors[34], <, 8);  /* 6700 */
    g_assert_cmpfloat(config.rope_factors[35], ==, 8); /* 8218 > 8192 */
    g_assert_cmpfloat(config.rope_factors[63], ==, 8);
    g_assert_false(config.tied);
    g_assert_false(config.untied); /* not said: tied if there is no output matrix */
}

/* --- folders that contradict themselves --- */

static char *
copy_golden_folder(const char *arch, const char *from, const char *to)
{
    g_autofree char *source =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", arch, NULL);
    char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(source, names[i], NULL);
        g_autofree char *copy = g_build_filename(folder, names[i], NULL);
        char *text;
        gsize n_bytes;
        g_assert_true(g_file_get_contents(path, &text, &n_bytes, NULL));
        if (i == 0 && from != NULL) {
            g_autoptr(GString) edited = g_string_new(text);
            g_assert_cmpuint(g_string_replace(edited, from, to, 0), ==, 1);
            g_free(text);
            n_bytes = edited->len;
            text = g_strdup(edited->str);
        }
        g_assert_true(g_file_set_contents(copy, text, (gssize)n_bytes, NULL));
        g_free(text);
    }
    return folder;
}

static void
remove_copy(char *folder)
{
    g_autofree char *config = g_build_filename(folder, "config.json", NULL);
    g_autofree char *weights = g_build_filename(folder, "model.safetensors", NULL);
    g_unlink(config);
    g_unlink(weights);
    g_rmdir(folder);
    g_free(folder);
}

static void
test_folder_refuses(void)
{
    static const char *const cases[][4] = {
        {"qwen2", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2."},
        {"qwen2", "\"intermediate_size\": 64", "\"intermediate_size\": 72", "mlp.gate_proj.weight"},
        {"qwen2", "\"vocab_size\": 96", "\"vocab_size\": 97", "embed_tokens.weight"},
        {"qwen2", "\"num_attention_heads\": 2", "\"num_attention_heads\": 4", "q_proj.weight"},
        {"qwen2", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false",
         "lm_head.weight"},
        {"qwen3", "\"model_type\": \"qwen3\"", "\"model_type\": \"gemma3_text\"",
         "pre_feedforward"},
        {"llama", "\"model_type\": \"llama\"", "\"model_type\": \"qwen2\"", "q_proj.bias"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        char *folder = copy_golden_folder(cases[i][0], cases[i][1], cases[i][2]);
        g_autoptr(PdModel) model = pd_model_open(folder, NULL, &error);
        g_test_message("%s -> %s", cases[i][2], error != NULL ? error->message : "opened");
        g_assert_null(model);
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, cases[i][3]));
        remove_copy(folder);
    }
}

/* GGUF files whose metadata contradict the tensors: a few bytes of a good file changed. */
static void
test_gguf_refuses(void)
{
#define KV_HEADS "llama.attention.head_count_kv\4\0\0\0"
#define ARCH "\5\0\0\0\0\0\0\0"
    static const struct {
        const char *from, *to;
        gsize n_bytes;
        const char *says;
    } cases[] = {
        {"llama.block_count", "llama.block_xount", 17, "llama.block_count is missing"},
        {ARCH "llama", ARCH "lxama", 13, "general.architecture lxama"},
        {KV_HEADS "\2", KV_HEADS "\3", 34, "KV heads"},
        {KV_HEADS "\2", KV_HEADS "\1", 34, "blk.0.attn_k.weight"},
        {"blk.1.ffn_up.weight", "blk.1.ffn_xp.weight", 19, "blk.1.ffn_up.weight is missing"},
        {"token_embd.weight", "token_embx.weight", 17, "token_embd.weight"},
    };
    g_autofree char *path =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", "llama", "model.gguf", NULL);
    g_autofree char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autofree char *copy = g_build_filename(folder, "bad.gguf", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *data = NULL;
        gsize n_bytes;
        g_assert_true(g_file_get_contents(path, &data, &n_bytes, NULL));
        char *at = memmem(data, n_bytes, cases[i].from, cases[i].n_bytes);
        g_assert_nonnull(at);
        memcpy(at, cases[i].to, cases[i].n_bytes);
        g_assert_true(g_file_set_contents(copy, data, (gssize)n_bytes, NULL));
        g_assert_null(pd_model_open(copy, NULL, &error));
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i].says));
    }
    g_unlink(copy);
    g_rmdir(folder);
}

static void
test_missing(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(pd_model_open("/nonexistent/model.gguf", NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_null(pd_model_open(PD_SOURCE_ROOT "/tests", NULL, &error));
    g_assert_nonnull(strstr(error->message, "config.json"));
}

/* --- identity --- */

static char *
id_of(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = pd_model_open(path, NULL, &error);
    g_assert_no_error(error);
    const char *id = pd_model_id(model, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(strlen(id), ==, 64);
    return g_strdup(id);
}

static void
flip_last_byte(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "model.safetensors", NULL);
    g_autofree char *data = NULL;
    gsize n_bytes;
    g_assert_true(g_file_get_contents(path, &data, &n_bytes, NULL));
    data[n_bytes - 3] ^= 1;
    g_assert_true(g_file_set_contents(path, data, (gssize)n_bytes, NULL));
}

/* The same numbers have the same name wherever they lie; other numbers have another. */
static void
test_id(void)
{
    char *folder = copy_golden_folder("qwen2", NULL, NULL);
    char *other = copy_golden_folder("qwen2", "\"rope_theta\": 1000000.0", "\"rope_theta\": 1e5");
    g_autofree char *first = id_of(folder), *again = id_of(folder), *theta = id_of(other);
    g_autofree char *cache = g_build_filename(g_get_user_cache_dir(), "pandect/model-ids", NULL);
    g_assert_cmpstr(first, ==, again); /* the second from the cache */
    g_assert_cmpstr(first, !=, theta);
    g_assert_true(g_file_test(cache, G_FILE_TEST_IS_DIR));
    flip_last_byte(folder);
    g_autofree char *flipped = id_of(folder);
    g_assert_cmpstr(first, !=, flipped);
    remove_copy(folder);
    remove_copy(other);
}

/* A cache folder of the tests' own.  G_TEST_OPTION_ISOLATE_DIRS would leak what GLib had looked up
 * before. */
static char *
enter_own_cache(void)
{
    const char *cache = g_getenv("XDG_CACHE_HOME");
    g_autofree char *home_cache = g_build_filename(g_get_home_dir(), ".cache", NULL);
    smollm2_path =
        g_build_filename(cache != NULL && cache[0] == '/' ? cache : home_cache, "pandect", "models",
                         pd_catalogue_find("smollm2-135m")->file, NULL);
    char *own = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", own, TRUE);
    return own;
}

int
main(int argc, char **argv)
{
    static const char *const archs[] = {"qwen2", "llama", "qwen3", "gemma3"};
    g_autofree char *own_cache = enter_own_cache();
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autofree char *own = g_strdup_printf("/model/golden/%s", archs[i]);
        g_autofree char *shared = g_strdup_printf("/model/shared_golden/%s", archs[i]);
        g_test_add_data_func(own, archs[i], test_golden);
        g_test_add_data_func(shared, archs[i], test_shared_golden);
    }
    g_test_add_func("/model/smollm2", test_smollm2);
    g_test_add_func("/model/config_refuses", test_config_refuses);
    g_test_add_func("/model/config_forms", test_config_forms);
    g_test_add_func("/model/config_llama3", test_config_llama3);
    g_test_add_func("/model/folder_refuses", test_folder_refuses);
    g_test_add_func("/model/split", test_split);
    g_test_add_func("/model/gguf_refuses", test_gguf_refuses);
    g_test_add_func("/model/missing", test_missing);
    g_test_add_func("/model/id", test_id);
    int status = g_test_run();
    pd_remove_tree(own_cache);
    g_free(smollm2_path);
    return status;
}
