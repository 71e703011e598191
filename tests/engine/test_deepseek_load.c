/*
 * Checkpoints of the DeepSeek-V4 family as files: the three ways of naming tensors, shards, FP8 and
 * FP4 weights against the same values in float32, and everything about them that must be refused by
 * name.  All on a tiny checkpoint made here, so nothing is skipped.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/session_internal.h"
#include "tests/engine/deepseek_fixture.h"
#include "engine/remove_tree.h"

enum { N_VOCAB = 40, N_TOKENS = 150 };

/* Removes the folder, whatever happens. */
static PdModel *
open_folder(char *folder, GError **error)
{
    PdModelOptions options = {.n_threads = 1};
    PdModel *model = pd_model_open(folder, &options, error);
    pd_remove_tree(folder);
    g_free(folder);
    return model;
}

static void
make_tokens(gint32 *tokens, int n)
{
    for (int i = 0; i < n; i++)
        tokens[i] = (i * i + 7 * i + i / 9) % N_VOCAB;
}

/* Logits (N_TOKENS, N_VOCAB), `chunk` tokens at a time. */
static float *
run_model(PdModel *model, int chunk, gboolean reference)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {
        .n_sequences = 1, .max_tokens = N_TOKENS, .kv_type = PD_F32, .reference = reference};
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    gint32 tokens[N_TOKENS];
    float *logits = g_new(float, N_TOKENS *N_VOCAB);
    g_assert_no_error(error);
    make_tokens(tokens, N_TOKENS);
    for (int at = 0; at < N_TOKENS; at += chunk) {
        PdRun run = {.tokens = tokens + at,
                     .n_tokens = MIN(chunk, N_TOKENS - at),
                     .logits = logits + at * N_VOCAB,
                     .all_logits = TRUE};
        pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
    }
    return logits;
}

static float *
run_fixture(Fixture *f, int n_shards, gboolean reference)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = open_folder(fixture_write(f, n_shards), &error);
    g_assert_no_error(error);
    return run_model(model, N_TOKENS, reference);
}

static void
assert_same(const float *a, const float *b)
{
    gsize n_bytes = N_TOKENS * N_VOCAB * sizeof(float);
    for (int i = 0; i < N_TOKENS * N_VOCAB; i++)
        g_assert_true(isfinite(a[i]));
    g_assert_cmpmem(a, n_bytes, b, n_bytes);
}

static void
test_chunks(void)
{
    static const int chunks[] = {1, 3, 64, 127, 128, 129};
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = open_folder(fixture_write(f, 1), &error);
    g_assert_no_error(error);
    g_autofree float *want = run_model(model, N_TOKENS, FALSE);
    for (gsize i = 0; i < G_N_ELEMENTS(chunks); i++) {
        g_autofree float *got = run_model(model, chunks[i], FALSE);
        assert_same(got, want);
    }
}

/* A sequence that was cut, and one that has another's beginning, go on as if run in one go. */
static void
test_truncate_and_share(void)
{
    static const int cuts[] = {149, 131, 128, 127, 5, 0};
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = open_folder(fixture_write(f, 1), &error);
    g_assert_no_error(error);
    g_autofree float *want = run_model(model, N_TOKENS, FALSE);
    PdSessionOptions options = {
        .n_sequences = 2, .max_tokens = N_TOKENS, .kv_type = PD_F32, .batch_rows = 40};
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    gint32 tokens[N_TOKENS], other[] = {7, 7, 7};
    float logits[2][N_VOCAB];
    make_tokens(tokens, N_TOKENS);
    PdRun all = {.tokens = tokens, .n_tokens = N_TOKENS, .logits = logits[0]};
    g_assert_true(pd_session_run(session, &all, 1, NULL, NULL, NULL, &error));
    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        PdRun wrong = {.tokens = other, .n_tokens = MIN(3, N_TOKENS - cuts[i])};
        PdRun runs[2] = {{.sequence = 0}, {.sequence = 1}};
        for (int r = 0; r < 2; r++) {
            runs[r].tokens = tokens + cuts[i];
            runs[r].n_tokens = N_TOKENS - cuts[i];
            runs[r].logits = logits[r];
        }
        pd_session_truncate(session, 0, cuts[i]);
        g_assert_true(pd_session_share_rows(session, 0, 1, cuts[i], &error));
        g_assert_true(pd_session_run(session, &wrong, 1, NULL, NULL, NULL, &error));
        pd_session_truncate(session, 0, cuts[i]);
        g_assert_true(pd_session_run(session, runs, 2, NULL, NULL, NULL, &error));
        for (int r = 0; r < 2; r++)
            g_assert_cmpmem(logits[r], sizeof logits[r], want + (N_TOKENS - 1) * N_VOCAB,
                            sizeof logits[r]);
    }
}

static void
test_shards(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autofree float *one = run_fixture(f, 1, FALSE);
    g_autofree float *five = run_fixture(f, 5, FALSE);
    assert_same(five, one);
}

/* --- names --- */

typedef struct {
    const char *ours, *theirs;
} Renaming;

/* Names of layers by the table, those of the ends as transformers has them. */
static void
rename_all(Fixture *f, const Renaming *table, gsize n)
{
    static const Renaming ends[] = {
        {"embed.weight", "model.embed_tokens.weight"}, {"head.weight", "lm_head.weight"},
        {"norm.weight", "model.norm.weight"},          {"hc_head_fn", "model.hc_head.hc_fn"},
        {"hc_head_base", "model.hc_head.hc_base"},     {"hc_head_scale", "model.hc_head.hc_scale"}};
    for (guint i = 0; i < f->tensors->len; i++) {
        FixtureTensor *t = g_ptr_array_index(f->tensors, i);
        g_autoptr(GString) name = g_string_new(t->name);
        gboolean in_layer = g_str_has_prefix(t->name, "layers.");
        for (gsize r = 0; r < (in_layer ? n : 0); r++) {
            if (g_string_replace(name, table[r].ours, table[r].theirs, 1) > 0)
                break;
        }
        for (gsize r = 0; r < (in_layer ? 0 : G_N_ELEMENTS(ends)); r++) {
            if (g_str_equal(t->name, ends[r].ours))
                g_string_assign(name, ends[r].theirs);
        }
        g_free(t->name);
        t->name = g_strconcat(in_layer ? "model." : "", name->str, NULL);
    }
}

/* One tensor of all experts: gate above up, or down. */
static void
stack_experts(Fixture *f, int layer, const char *const *parts, int n_parts, const char *name)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    gsize rows = 0, cols = 0;
    for (int e = 0; e < 4; e++) {
        rows = 0;
        for (int p = 0; p < n_parts; p++) {
            g_autofree char *part =
                g_strdup_printf("layers.%d.ffn.experts.%d.%s.weight", layer, e, parts[p]);
            FixtureTensor *t = fixture_find(f, part);
            g_byte_array_append(data, t->data, (guint)t->n_bytes);
            rows += t->dims[0];
            cols = t->dims[1];
            fixture_remove(f, part);
        }
    }
    g_autofree char *full = g_strdup_printf("layers.%d.mlp.experts.%s", layer, name);
    FixtureTensor *t = fixture_add(f, full, "F32", 4 * rows, cols);
    g_assert_cmpuint(t->n_bytes, ==, data->len);
    memcpy(t->data, data->data, data->len);
    t->n_dims = 3;
    t->dims[0] = 4;
    t->dims[1] = rows;
    t->dims[2] = cols;
}

static void
test_transformers_names(void)
{
    static const Renaming layers[] = {
        {"attn_norm.weight", "input_layernorm.weight"},
        {"ffn_norm.weight", "post_attention_layernorm.weight"},
        {"hc_attn_", "attn_hc."},
        {"hc_ffn_", "ffn_hc."},
        {"attn.attn_sink", "self_attn.sinks"},
        {"attn.wq_a", "self_attn.q_a_proj"},
        {"attn.q_norm", "self_attn.q_a_norm"},
        {"attn.wq_b", "self_attn.q_b_proj"},
        {"attn.wkv", "self_attn.kv_proj"},
        {"attn.kv_norm", "self_attn.kv_norm"},
        {"attn.wo_a", "self_attn.o_a_proj"},
        {"attn.wo_b", "self_attn.o_b_proj"},
        {"attn.compressor.wkv", "self_attn.compressor.kv_proj"},
        {"attn.compressor.wgate", "self_attn.compressor.gate_proj"},
        {"attn.compressor.ape", "self_attn.compressor.position_bias"},
        {"attn.compressor.norm", "self_attn.compressor.kv_norm"},
        {"attn.indexer.wq_b", "self_attn.compressor.indexer.q_b_proj"},
        {"attn.indexer.weights_proj", "self_attn.compressor.indexer.scorer.weights_proj"},
        {"attn.indexer.compressor.wkv", "self_attn.compressor.indexer.kv_proj"},
        {"attn.indexer.compressor.wgate", "self_attn.compressor.indexer.gate_proj"},
        {"attn.indexer.compressor.ape", "self_attn.compressor.indexer.position_bias"},
        {"attn.indexer.compressor.norm", "self_attn.compressor.indexer.kv_norm"},
        {"ffn.gate.bias", "mlp.gate.e_score_correction_bias"},
        {"ffn.gate", "mlp.gate"},
        {"ffn.shared_experts.w1", "mlp.shared_experts.gate_proj"},
        {"ffn.shared_experts.w3", "mlp.shared_experts.up_proj"},
        {"ffn.shared_experts.w2", "mlp.shared_experts.down_proj"},
    };
    static const char *const gate_up[] = {"w1", "w3"}, *const down[] = {"w2"};
    g_autoptr(Fixture) f = fixture_new();
    g_autofree float *want = run_fixture(f, 1, FALSE);
    for (int l = 0; l < 4; l++) {
        stack_experts(f, l, gate_up, 2, "gate_up_proj");
        stack_experts(f, l, down, 1, "down_proj");
    }
    rename_all(f, layers, G_N_ELEMENTS(layers));
    g_autofree float *got = run_fixture(f, 1, FALSE);
    assert_same(got, want);
}

/* What save_pretrained of transformers writes: nearly DeepSeek's names. */
static void
test_saved_names(void)
{
    static const Renaming layers[] = {{"attn.kv_norm.weight", "attn.norm.weight"}};
    g_autoptr(Fixture) f = fixture_new();
    g_autofree float *want = run_fixture(f, 1, FALSE);
    rename_all(f, layers, G_N_ELEMENTS(layers));
    g_free(fixture_find(f, "lm_head.weight")->name);
    FixtureTensor *head = g_ptr_array_index(f->tensors, 1);
    head->name = g_strdup("head.weight");
    g_autofree float *got = run_fixture(f, 1, FALSE);
    assert_same(got, want);
}

/* --- formats --- */

static void
test_quantised(void)
{
    g_autoptr(Fixture) quantised = fixture_new();
    g_autoptr(Fixture) plain = fixture_new();
    g_autofree float *before = run_fixture(plain, 1, TRUE);
    fixture_quantise(quantised, plain);
    g_autofree float *got = run_fixture(quantised, 2, TRUE);
    g_autofree float *want = run_fixture(plain, 1, TRUE);
    assert_same(got, want);
    g_assert_cmpint(memcmp(got, before, N_TOKENS * N_VOCAB * sizeof *got), !=, 0);
}

/* Scales of FP8 as V3's checkpoints have them: floats, under another name. */
static void
test_float_scales(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(Fixture) plain = fixture_new();
    fixture_quantise(f, plain);
    g_autofree float *want = run_fixture(f, 1, TRUE);
    int n_changed = 0;
    for (guint i = 0; i < f->tensors->len; i++) {
        FixtureTensor *t = g_ptr_array_index(f->tensors, i);
        g_autoptr(GString) name = g_string_new(t->name);
        if (!g_str_equal(t->dtype, "F8_E8M0") || strstr(t->name, ".experts.") != NULL)
            continue;
        float *scales = g_new(float, t->n_bytes);
        for (gsize s = 0; s < t->n_bytes; s++)
            scales[s] = (float)ldexp(1, t->data[s] - 127);
        g_string_replace(name, ".scale", ".weight_scale_inv", 1);
        g_free(t->name);
        g_free(t->data);
        t->name = g_strdup(name->str);
        t->dtype = "F32";
        t->data = (guint8 *)scales;
        t->n_bytes *= sizeof *scales;
        n_changed++;
    }
    g_assert_cmpint(n_changed, ==, 4 * 7);
    g_autofree float *got = run_fixture(f, 1, TRUE);
    assert_same(got, want);
}

/* Half-width floats: exactly the values they hold. */
static void
test_bf16(void)
{
    g_autoptr(Fixture) wide = fixture_new();
    g_autoptr(Fixture) narrow = fixture_new();
    for (guint i = 0; i < wide->tensors->len; i++) {
        FixtureTensor *w = g_ptr_array_index(wide->tensors, i);
        FixtureTensor *n = g_ptr_array_index(narrow->tensors, i);
        if (!g_str_equal(w->dtype, "F32"))
            continue;
        for (gsize v = 0; v < w->n_bytes / 4; v++) {
            memset(w->data + 4 * v, 0, 2); /* little-endian: the upper half is the BF16 */
            memmove(n->data + 2 * v, n->data + 4 * v + 2, 2);
        }
        n->dtype = "BF16";
        n->n_bytes /= 2;
    }
    g_autofree float *got = run_fixture(narrow, 1, FALSE);
    g_autofree float *want = run_fixture(wide, 1, FALSE);
    assert_same(got, want);
}

/* --- refusals --- */

/* Opens a model and a session on it; the message must hold `says`. */
static void
assert_refused(Fixture *f, const char *says)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = open_folder(fixture_write(f, 1), &error);
    if (model != NULL) {
        PdSessionOptions options = {.n_sequences = 1, .max_tokens = 10, .kv_type = PD_F32};
        g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
        g_assert_null(session);
    }
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, says));
}

static void
test_missing_tensors(void)
{
    static const char *const names[] = {"embed.weight",
                                        "head.weight",
                                        "hc_head_fn",
                                        "layers.0.attn.attn_sink",
                                        "layers.1.attn.compressor.ape",
                                        "layers.1.attn.indexer.weights_proj.weight",
                                        "layers.2.attn.compressor.norm.weight",
                                        "layers.3.ffn.gate.bias",
                                        "layers.0.ffn.gate.tid2eid",
                                        "layers.2.ffn.experts.3.w2.weight",
                                        "layers.3.hc_ffn_scale"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autofree char *says = g_strconcat("tensor ", names[i], " is missing", NULL);
        fixture_remove(f, names[i]);
        assert_refused(f, says);
    }
}

static void
test_wrong_tensors(void)
{
    static const struct {
        const char *name, *dtype;
        gsize n_rows, n_cols;
    } cases[] = {
        {"layers.1.attn.wq_b.weight", "F32", 127, 32},
        {"layers.1.attn.wkv.weight", "F32", 64, 32},
        {"layers.1.attn.compressor.wkv.weight", "F32", 32, 64}, /* overlapping windows need twice */
        {"layers.2.attn.compressor.ape", "F32", 127, 32},
        {"layers.0.attn_norm.weight", "F32", 64, 1},
        {"layers.0.attn_norm.weight", "I32", 64, 0},
        {"layers.0.ffn.gate.tid2eid", "I64", 40, 3},
        {"layers.0.ffn.gate.tid2eid", "F32", 40, 2},
        {"layers.3.ffn.experts.0.w1.weight", "I8", 32, 64},
        {"layers.3.ffn.experts.0.w1.weight", "I64", 32, 64},
        {"head.weight", "BOOL", 40, 64},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Fixture) f = fixture_new();
        fixture_remove(f, cases[i].name);
        fixture_add(f, cases[i].name, cases[i].dtype, cases[i].n_rows, cases[i].n_cols);
        assert_refused(f, cases[i].name);
    }
    /* Quantised, but without scales, or with those of another block. */
    g_autoptr(Fixture) f = fixture_new();
    fixture_remove(f, "layers.0.attn.wq_a.weight");
    fixture_add(f, "layers.0.attn.wq_a.weight", "F8_E4M3", 32, 64);
    assert_refused(f, "layers.0.attn.wq_a.scale is missing");
    fixture_add(f, "layers.0.attn.wq_a.scale", "F8_E8M0", 1, 1);
    assert_refused(f, "layers.0.attn.wq_a.scale");
}

static void
test_bad_values(void)
{
    static const char *const names[] = {
        "embed.weight", "layers.1.attn_norm.weight", "layers.2.ffn.experts.1.w3.weight",
        "layers.3.ffn.shared_experts.w2.weight", "layers.1.attn.indexer.compressor.ape"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Fixture) f = fixture_new();
        FixtureTensor *t = fixture_find(f, names[i]);
        ((float *)t->data)[t->n_bytes / 4 - 1] = i % 2 == 0 ? NAN : INFINITY;
        assert_refused(f, names[i]);
    }
    g_autoptr(Fixture) f = fixture_new();
    ((gint64 *)fixture_find(f, "layers.0.ffn.gate.tid2eid")->data)[7] = 4;
    assert_refused(f, "layers.0.ffn.gate.tid2eid names expert 4 of 4");
    g_autoptr(Fixture) g = fixture_new();
    g_string_replace(g->config, "\"vocab_size\": 40", "\"vocab_size\": 41", 1);
    assert_refused(g, "embed.weight");
    g_autoptr(Fixture) h = fixture_new();
    g_string_replace(h->config, "[0, 4, 128, 4, 0]", "[0, 4, 128, 128, 0]", 1);
    assert_refused(h, "layers.3.attn.compressor");
}

/* A code, and scales, that stand for no number. */
static void
test_bad_codes(void)
{
    static const struct {
        const char *tensor;
        guint8 code;
        const char *says;
    } cases[] = {
        {"layers.1.attn.wq_a.weight", 0x7f, "layers.1.attn.wq_a.weight"},
        {"layers.2.attn.wo_b.scale", 0xff, "layers.2.attn.wo_b.weight"},
        {"layers.3.ffn.experts.2.w2.scale", 0xff, "layers.3.ffn.experts.2.w2.weight"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(Fixture) plain = fixture_new();
        g_autofree char *says =
            g_strconcat(cases[i].says, " holds a value that is not finite", NULL);
        fixture_quantise(f, plain);
        FixtureTensor *t = fixture_find(f, cases[i].tensor);
        t->data[t->n_bytes - 1] = cases[i].code;
        assert_refused(f, says);
    }
}

/* Shards that are not there, cut short, or outside the folder. */
static void
test_bad_shards(void)
{
    static const char shard[] = "model-00002-of-00003.safetensors";
    for (int i = 0; i < 3; i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GError) error = NULL;
        char *folder = fixture_write(f, 3);
        g_autofree char *path = g_build_filename(folder, shard, NULL);
        g_autofree char *index = g_build_filename(folder, "model.safetensors.index.json", NULL);
        if (i == 0)
            g_assert_cmpint(g_unlink(path), ==, 0);
        else if (i == 1)
            g_assert_cmpint(truncate(path, 30000), ==, 0);
        else
            g_assert_true(g_file_set_contents(
                index, "{\"weight_map\": {\"embed.weight\": \"../model.safetensors\"}}", -1, NULL));
        g_autoptr(PdModel) model = open_folder(folder, &error);
        g_assert_null(model);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, i < 2 ? shard : "weight_map"));
    }
}

/* What a session of this family does not do. */
static void
test_session_refuses(void)
{
    static const struct {
        PdSessionOptions options;
        const char *says;
    } cases[] = {
        {{.n_sequences = 1, .max_tokens = 513, .kv_type = PD_F32}, "max_position_embeddings"},
        {{.n_sequences = 1, .max_tokens = 10, .kv_type = PD_F16}, "F32"},
        {{.n_sequences = 1, .max_tokens = 10, .kv_type = PD_F32, .n_layers = 1}, "all its layers"},
        {{.n_sequences = 1, .max_tokens = 10, .kv_type = PD_F32, .position_free = TRUE},
         "its own attention"},
    };
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = open_folder(fixture_write(f, 1), &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PdSession) session = pd_session_new(model, &cases[i].options, &error);
        g_assert_null(session);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i].says));
        g_clear_error(&error);
    }
    PdSessionOptions options = {.n_sequences = 1, .max_tokens = 3, .kv_type = PD_F32};
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    gint32 tokens[] = {1, 2, 3, 4}, bad[] = {40};
    PdRun too_long = {.tokens = tokens, .n_tokens = 4}, outside = {.tokens = bad, .n_tokens = 1};
    g_assert_false(pd_session_run(session, &too_long, 1, NULL, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "do not fit"));
    g_clear_error(&error);
    g_assert_false(pd_session_run(session, &outside, 1, NULL, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "outside the vocabulary"));
}

/* One weight, one number of the configuration: another identity. */
static void
test_identity(void)
{
    g_autofree char *first = NULL;
    for (int i = 0; i < 3; i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GError) error = NULL;
        if (i == 1)
            ((float *)fixture_find(f, "layers.3.ffn.gate.bias")->data)[0] += 1;
        else if (i == 2)
            g_string_replace(f->config, "\"index_topk\": 5", "\"index_topk\": 6", 1);
        char *folder = fixture_write(f, 1);
        PdModelOptions options = {.n_threads = 1};
        g_autoptr(PdModel) model = pd_model_open(folder, &options, &error);
        g_assert_no_error(error);
        const char *id = pd_model_id(model, NULL, &error);
        g_assert_no_error(error);
        if (first == NULL)
            first = g_strdup(id);
        else
            g_assert_cmpstr(id, !=, first);
        pd_remove_tree(folder);
        g_free(folder);
    }
}

int
main(int argc, char **argv)
{
    /* The identities that are kept are this test's own; before GLib looks where. */
    g_autofree char *cache = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", cache, TRUE);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deepseek/load/chunks", test_chunks);
    g_test_add_func("/deepseek/load/truncate-and-share", test_truncate_and_share);
    g_test_add_func("/deepseek/load/shards", test_shards);
    g_test_add_func("/deepseek/load/transformers-names", test_transformers_names);
    g_test_add_func("/deepseek/load/saved-names", test_saved_names);
    g_test_add_func("/deepseek/load/quantised", test_quantised);
    g_test_add_func("/deepseek/load/float-scales", test_float_scales);
    g_test_add_func("/deepseek/load/bf16", test_bf16);
    g_test_add_func("/deepseek/load/missing-tensors", test_missing_tensors);
    g_test_add_func("/deepseek/load/wrong-tensors", test_wrong_tensors);
    g_test_add_func("/deepseek/load/bad-values", test_bad_values);
    g_test_add_func("/deepseek/load/bad-codes", test_bad_codes);
    g_test_add_func("/deepseek/load/bad-shards", test_bad_shards);
    g_test_add_func("/deepseek/load/session-refuses", test_session_refuses);
    g_test_add_func("/deepseek/load/identity", test_identity);
    int status = g_test_run();
    pd_remove_tree(cache);
    return status;
}
