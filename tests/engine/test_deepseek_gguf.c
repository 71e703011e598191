/*
 * GGUF files of the architecture deepseek4: tests/golden/deepseek/model.gguf and k-quants.gguf,
 * which gguf-py wrote, against the logits of a float64 forward pass with the values that gguf-py
 * reads back; the first one's tokenizer against the tokenizer.json that it was made from; and files
 * that contradict themselves, which must be refused by the key or the tensor.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/chat.h"
#include "engine/remove_tree.h"
#include "engine/safetensors.h"
#include "engine/session_internal.h"
#include "tests/engine/gguf_split.h"

#define LOGITS_TOLERANCE 1e-4
/* Of a row's logits, in the median row: the products of quantised weights round the activations. */
#define ROUNDED_TOLERANCE 0.05

static char *
golden_path(const char *folder, const char *name)
{
    return g_build_filename(PD_SOURCE_ROOT, "tests", "golden", folder, name, NULL);
}

static PdModel *
open_model(const char *path)
{
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {.n_threads = 1};
    PdModel *model = pd_model_open(path, &options, &error);
    g_assert_no_error(error);
    return model;
}

static PdModel *
open_golden(void)
{
    g_autofree char *path = golden_path("deepseek", "model.gguf");
    return open_model(path);
}

static GByteArray *
read_golden(void)
{
    g_autofree char *path = golden_path("deepseek", "model.gguf"), *text = NULL;
    gsize n_bytes;
    g_assert_true(g_file_get_contents(path, &text, &n_bytes, NULL));
    return g_byte_array_new_take((guint8 *)g_steal_pointer(&text), n_bytes);
}

/* The place behind the n bytes of `what`, which is in the file once with this length before it. */
static guint8 *
find_place(GByteArray *file, const char *what)
{
    guint64 length = GUINT64_TO_LE((guint64)strlen(what));
    g_autoptr(GByteArray) wanted = g_byte_array_new();
    g_byte_array_append(wanted, (const guint8 *)&length, sizeof length);
    g_byte_array_append(wanted, (const guint8 *)what, (guint)strlen(what));
    guint8 *found = memmem(file->data, file->len, wanted->data, wanted->len);
    g_assert_nonnull(found);
    return found + wanted->len;
}

/* --- numbers --- */

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The largest difference of a value; *median: of a row's difference by its size. */
static double
compare_logits(const float *got, const float *want, int n_rows, int n_vocab, double *median)
{
    g_autofree double *rows = g_new(double, n_rows);
    double largest = 0;
    for (int t = 0; t < n_rows; t++) {
        double sum = 0, size = 0;
        for (int i = t * n_vocab; i < (t + 1) * n_vocab; i++) {
            double d = (double)got[i] - (double)want[i];
            g_assert_true(isfinite(got[i]));
            largest = MAX(largest, fabs(d));
            sum += d * d;
            size += (double)want[i] * (double)want[i];
        }
        rows[t] = sqrt(sum / size);
    }
    qsort(rows, (gsize)n_rows, sizeof *rows, compare_doubles);
    *median = rows[n_rows / 2];
    return largest;
}

static PdSafetensors *
open_logits(const char *name)
{
    g_autofree char *path = golden_path("deepseek", name);
    g_autoptr(GError) error = NULL;
    PdSafetensors *golden = pd_safetensors_open(path, &error);
    g_assert_no_error(error);
    return golden;
}

/* Logits (n_tokens, n_vocab) of the golden's tokens. */
static float *
run_tokens(PdModel *model, const PdSafetensors *golden, gboolean reference)
{
    const PdSafetensor *tokens = pd_safetensors_find(golden, "tokens");
    const PdSafetensor *want = pd_safetensors_find(golden, "logits");
    int n_tokens = (int)want->dims[0];
    g_autoptr(GError) error = NULL;
    g_autofree gint32 *ids = g_memdup2(tokens->data, tokens->n_bytes);
    g_autofree float *logits = g_malloc(want->n_bytes);
    PdSessionOptions options = {
        .n_sequences = 1, .max_tokens = n_tokens, .kv_type = PD_F32, .reference = reference};
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    g_assert_no_error(error);
    PdRun run = {.tokens = ids, .n_tokens = n_tokens, .logits = logits, .all_logits = TRUE};
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return g_steal_pointer(&logits);
}

/* A file, what it gives, and how it is run. */
typedef struct {
    const char *name, *golden;
    gboolean reference; /* else on the device */
} Way;

static void
test_logits(gconstpointer data)
{
    const Way *way = data;
    g_autoptr(PdSafetensors) golden = open_logits(way->golden);
    g_autofree char *path = golden_path("deepseek", way->name);
    const PdSafetensor *want = pd_safetensors_find(golden, "logits");
    int n_tokens = (int)want->dims[0], n_vocab = (int)want->dims[1];
    g_autofree float *wanted = g_memdup2(want->data, want->n_bytes);
    g_autoptr(PdModel) model = open_model(path);
    g_autofree float *logits = run_tokens(model, golden, way->reference);
    double median, largest = compare_logits(logits, wanted, n_tokens, n_vocab, &median);
    g_test_message("largest difference of a logit %.2g, median of a row %.2g", largest, median);
    if (way->reference)
        g_assert_cmpfloat(largest, <=, LOGITS_TOLERANCE);
    g_assert_cmpfloat(median, <=, way->reference ? LOGITS_TOLERANCE : ROUNDED_TOLERANCE);
}

/* A file in pieces gives the numbers of the whole one. */
static void
test_split(void)
{
    g_autoptr(PdSafetensors) golden = open_logits("gguf.safetensors");
    g_autofree char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autofree char *path = golden_path("deepseek", "model.gguf");
    g_autofree char *first = gguf_split(path, folder, 3);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) whole = open_golden(), split = open_model(first);
    g_autofree float *want = run_tokens(whole, golden, FALSE);
    g_autofree float *got = run_tokens(split, golden, FALSE);
    gsize n_bytes = pd_safetensors_find(golden, "logits")->n_bytes;
    g_assert_cmpmem(got, n_bytes, want, n_bytes);
    g_assert_nonnull(pd_model_tokenizer(split));
    g_assert_nonnull(pd_model_id(split, NULL, &error));
    g_assert_cmpstr(pd_model_id(split, NULL, &error), !=, pd_model_id(whole, NULL, &error));
    pd_remove_tree(folder);
}

/* --- what the metadata say --- */

static void
test_shape(void)
{
    g_autoptr(PdModel) model = open_golden();
    const PdDsShape *s = pd_model_deepseek(model);
    static const char *const kinds[] = {"window", "CSA", "HCA", "CSA"};
    static const int ratios[] = {0, 4, 16, 4};
    g_assert_nonnull(s);
    g_assert_cmpint(s->n_layers, ==, 4);
    for (int l = 0; l < 4; l++) {
        g_assert_cmpstr(s->layers[l].kind->name, ==, kinds[l]);
        g_assert_cmpint(s->layers[l].ratio, ==, ratios[l]);
        g_assert_cmpint(s->layers[l].hash, ==, l == 0);
    }
    g_assert_cmpint(s->n_vocab, ==, 907);
    g_assert_cmpint(s->max_positions, ==, 256);
    g_assert_cmpfloat(s->rope_far.yarn_factor, ==, 4);
    g_assert_cmpint(s->rope_far.yarn_context, ==, 32);
    g_assert_cmpfloat(s->rope_far.amplitude, ==, 1);
    g_assert_cmpfloat(s->rope.yarn_factor, ==, 0);
    g_assert_cmpfloat(s->swiglu_limit, ==, 1);
    g_assert_cmpstr(pd_model_shape(model)->arch, ==, "deepseek4");
    g_assert_cmpstr(pd_model_name(model), ==, "tiny deepseek4");
}

static void
test_tokenizer(void)
{
    static const char *const texts[] = {"Hello, world!", "12345 in 3.14159", "naïve 日本語 <think>",
                                        "  two\n\n\tthree", ""};
    g_autofree char *path = golden_path("tokenizer", "deepseek-v4.json");
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) json = pd_tokenizer_new_from_json(path, &error);
    g_assert_no_error(error);
    g_autoptr(PdModel) model = open_golden();
    PdTokenizer *tok = pd_model_tokenizer(model);
    g_assert_nonnull(tok);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GArray) got = g_array_new(FALSE, FALSE, sizeof(guint32));
        g_autoptr(GArray) want = g_array_new(FALSE, FALSE, sizeof(guint32));
        pd_tokenizer_encode(tok, texts[i], strlen(texts[i]), got, NULL);
        pd_tokenizer_encode(json, texts[i], strlen(texts[i]), want, NULL);
        g_assert_cmpmem(got->data, got->len * sizeof(guint32), want->data,
                        want->len * sizeof(guint32));
    }
    g_assert_cmpint(pd_model_chat(model), ==, PD_CHAT_DEEPSEEK4);
    g_assert_cmpint(pd_tokenizer_special_id(tok, "</think>"), ==,
                    pd_tokenizer_special_id(json, "</think>"));
}

/* Markers that the converter has called ordinary tokens. */
static void
test_plain_markers(void)
{
    enum { TO_ELEMENTS = 4 + 4 + 8, THINK = 904, NO_THINK = 905, NORMAL = 1 };
    static const char text[] = "<think>";
    g_autoptr(GByteArray) file = read_golden();
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    guint8 *types = find_place(file, "tokenizer.ggml.token_type") + TO_ELEMENTS;
    gint32 normal = GINT32_TO_LE(NORMAL);
    for (int id = THINK; id <= NO_THINK; id++) {
        g_assert_cmpint(types[4 * id], ==, 4); /* USER_DEFINED */
        memcpy(types + 4 * id, &normal, sizeof normal);
    }
    g_autoptr(GBytes) bytes = g_bytes_new(file->data, file->len);
    g_autoptr(PdGguf) gguf = pd_gguf_open_bytes(bytes, "golden", &error);
    g_assert_no_error(error);
    g_autoptr(PdTokenizer) tok = pd_tokenizer_new_from_gguf(gguf, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pd_chat_recognise(NULL, tok), ==, PD_CHAT_DEEPSEEK4);
    g_assert_cmpint(pd_tokenizer_special_id(tok, text), ==, THINK);
    pd_tokenizer_encode(tok, text, strlen(text), ids, NULL);
    g_assert_cmpuint(ids->len, >, 1);
}

/* --- refusals --- */

/* Opens the bytes as a model, and a session on it; the message must hold `says`. */
static void
assert_refused(GByteArray *file, const char *says)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("pandect-XXXXXX.gguf", &path, &error);
    g_assert_no_error(error);
    close(fd);
    g_assert_true(g_file_set_contents(path, (const char *)file->data, file->len, &error));
    g_autoptr(PdModel) model = pd_model_open(path, NULL, &error);
    g_unlink(path);
    if (model != NULL) {
        PdSessionOptions options = {.n_sequences = 1, .max_tokens = 10, .kv_type = PD_F32};
        g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
        g_assert_null(session);
    }
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, says));
}

/* Keys and tensors that are not there under their name. */
static void
test_missing(void)
{
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"deepseek4.attention.output_group_count", "output_group_count is missing"},
        {"deepseek4.hyper_connection.epsilon", "hyper_connection.epsilon is missing"},
        {"deepseek4.attention.compress_ratios", "compress_ratios is missing"},
        {"deepseek4.swiglu_clamp_exp", "swiglu_clamp_exp is missing"},
        {"token_embd.weight", "token_embd.weight is missing"},
        {"output_hc_fn.weight", "tensor output_hc_fn.weight is missing"},
        {"blk.1.indexer.proj.weight", "tensor blk.1.indexer.proj.weight is missing"},
        {"blk.2.ffn_up_exps.weight", "tensor blk.2.ffn_up_exps.weight is missing"},
        {"blk.0.ffn_gate_tid2eid.weight", "tensor blk.0.ffn_gate_tid2eid.weight is missing"},
        {"blk.3.exp_probs_b.bias", "tensor blk.3.exp_probs_b.bias is missing"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) file = read_golden();
        find_place(file, cases[i].name)[-1] ^= 1;
        assert_refused(file, cases[i].says);
    }
}

/* Whole numbers of 32 bits that do not go with the rest; behind the key stands its type. */
static void
test_contradictions(void)
{
    static const struct {
        const char *key;
        guint32 value;
        const char *says;
    } cases[] = {
        {"deepseek4.attention.output_group_count", 3, "o_groups does not divide"},
        {"deepseek4.block_count", 0, "num_hidden_layers is 0"},
        {"deepseek4.block_count", 5, "compress_ratios is missing or too short"},
        {"deepseek4.block_count", G_MAXUINT32, "compress_ratios is missing or too short"},
        {"deepseek4.rope.dimension_count", 40, "qk_rope_head_dim is more than head_dim"},
        {"deepseek4.attention.head_count", 8, "tensor blk.0.attn_sinks.weight"},
        {"deepseek4.expert_count", 5, "tensor blk.0.ffn_gate_inp.weight"},
        {"deepseek4.expert_feed_forward_length", 64, "tensor blk.0.ffn_gate_shexp.weight"},
        {"deepseek4.expert_gating_func", 2, "expert_gating_func is not 4"},
        {"deepseek4.expert_shared_count", 2, "n_shared_experts is not 1"},
        {"deepseek4.attention.value_length", 16, "value_length differs from key_length"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) file = read_golden();
        guint32 value = GUINT32_TO_LE(cases[i].value);
        memcpy(find_place(file, cases[i].key) + sizeof(guint32), &value, sizeof value);
        assert_refused(file, cases[i].says);
    }
}

/* Elements of arrays; behind the key stand the types and the count. */
static void
test_arrays(void)
{
    enum { TO_ELEMENTS = 4 + 4 + 8 };
    g_autoptr(GByteArray) ratios = read_golden();
    g_autoptr(GByteArray) clamps = read_golden();
    guint32 ratio = GUINT32_TO_LE(32);
    float limit = 2;
    memcpy(find_place(ratios, "deepseek4.attention.compress_ratios") + TO_ELEMENTS, &ratio,
           sizeof ratio);
    assert_refused(ratios, "compress_ratios has 16 at place 2");
    memcpy(find_place(clamps, "deepseek4.swiglu_clamp_shexp") + TO_ELEMENTS + 4, &limit,
           sizeof limit);
    assert_refused(clamps, "swiglu_clamp_shexp differs between layers");
}

/* A token whose expert is not there; halves and a scale that stand for no number. */
static void
test_values(void)
{
    static const struct {
        const char *name;
        guint8 bytes[4];
        gsize n_bytes;
        const char *says;
    } cases[] = {
        {"blk.0.ffn_gate_tid2eid.weight", {4, 0, 0, 0}, 4, "names expert 4 of 4"},
        {"token_embd.weight", {0, 0x7c}, 2, "token_embd.weight holds a value that is not finite"},
        {"blk.1.indexer.proj.weight", {1, 0x7e}, 2, "blk.1.indexer.proj.weight holds a value"},
        {"blk.2.ffn_up_exps.weight", {0xff}, 1, "blk.2.ffn_up_exps.weight holds a value"},
    };
    g_autofree char *path = golden_path("deepseek", "model.gguf");
    g_autoptr(GError) error = NULL;
    g_autoptr(PdGguf) gguf = pd_gguf_open(path, &error);
    gsize n_bytes;
    g_assert_no_error(error);
    const guint8 *data = pd_gguf_data(gguf, 0, &n_bytes);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const PdGgufTensor *tensor = pd_gguf_find_tensor(gguf, cases[i].name);
        g_autoptr(GByteArray) file = read_golden();
        memcpy(file->data + ((const guint8 *)tensor->data - data), cases[i].bytes,
               cases[i].n_bytes);
        assert_refused(file, cases[i].says);
    }
}

int
main(int argc, char **argv)
{
    static const Way ways[] = {{"model.gguf", "gguf.safetensors", TRUE},
                               {"model.gguf", "gguf.safetensors", FALSE},
                               {"k-quants.gguf", "k-quants.safetensors", TRUE},
                               {"k-quants.gguf", "k-quants.safetensors", FALSE}};
    /* The identities that are kept are this test's own; before GLib looks where. */
    g_autofree char *cache = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", cache, TRUE);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *test = g_strdup_printf("/deepseek/gguf/logits/%s/%s", ways[i].name,
                                                ways[i].reference ? "reference" : "device");
        g_test_add_data_func(test, &ways[i], test_logits);
    }
    g_test_add_func("/deepseek/gguf/split", test_split);
    g_test_add_func("/deepseek/gguf/shape", test_shape);
    g_test_add_func("/deepseek/gguf/tokenizer", test_tokenizer);
    g_test_add_func("/deepseek/gguf/plain-markers", test_plain_markers);
    g_test_add_func("/deepseek/gguf/missing", test_missing);
    g_test_add_func("/deepseek/gguf/contradictions", test_contradictions);
    g_test_add_func("/deepseek/gguf/arrays", test_arrays);
    g_test_add_func("/deepseek/gguf/values", test_values);
    int status = g_test_run();
    pd_remove_tree(cache);
    return status;
}
