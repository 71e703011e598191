/*
 * Configurations of the DeepSeek-V4 family: the released ones as section 1 of the design gives
 * them, both ways of writing, what is refused and by which name; the published sizes and costs
 * (sections 1.2, 10.2, 10.4); the reference's parts against the check values of sections 2.3, 3.2,
 * 4.1 and 5.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/cost.h"
#include "engine/deepseek/reference.h"
#include "engine/error.h"

/* %s: sizes, then the ratios. */
static const char released[] =
    "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 129280, \"head_dim\": 512, "
    "\"num_key_value_heads\": 1, \"qk_rope_head_dim\": 64, \"o_lora_rank\": 1024, "
    "\"sliding_window\": 128, \"index_n_heads\": 64, \"index_head_dim\": 128, \"hc_mult\": 4, "
    "\"hc_sinkhorn_iters\": 20, \"hc_eps\": 1e-6, \"rms_norm_eps\": 1e-6, \"n_shared_experts\": 1, "
    "\"num_experts_per_tok\": 6, \"num_hash_layers\": 3, \"scoring_func\": \"sqrtsoftplus\", "
    "\"topk_method\": \"noaux_tc\", \"norm_topk_prob\": true, \"swiglu_limit\": 10.0, "
    "\"num_nextn_predict_layers\": 1, \"max_position_embeddings\": 1048576, \"rope_theta\": 10000, "
    "\"compress_rope_theta\": 160000, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 16, "
    "\"original_max_position_embeddings\": 65536, \"beta_fast\": 32, \"beta_slow\": 1}, "
    "\"tie_word_embeddings\": false, \"attention_bias\": false, \"hidden_act\": \"silu\", "
    "\"quantization_config\": {\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", "
    "\"weight_block_size\": [128, 128]}, %s, \"compress_ratios\": [%s]}";

static char *
released_config(gboolean pro)
{
    g_autoptr(GString) ratios = g_string_new(pro ? "128, 128" : "0, 0");
    for (int i = 0; i < (pro ? 29 : 20); i++)
        g_string_append(ratios, ", 4, 128");
    g_string_append(ratios, ", 4, 0");
    return g_strdup_printf(
        released,
        pro ? "\"hidden_size\": 7168, \"num_hidden_layers\": 61, \"num_attention_heads\": 128, "
              "\"q_lora_rank\": 1536, \"o_groups\": 16, \"n_routed_experts\": 384, "
              "\"moe_intermediate_size\": 3072, \"routed_scaling_factor\": 2.5, \"index_topk\": "
              "1024"
            : "\"hidden_size\": 4096, \"num_hidden_layers\": 43, \"num_attention_heads\": 64, "
              "\"q_lora_rank\": 1024, \"o_groups\": 8, \"n_routed_experts\": 256, "
              "\"moe_intermediate_size\": 2048, \"routed_scaling_factor\": 1.5, \"index_topk\": "
              "512",
        ratios->str);
}

static void
parse(const char *json, PdDsShape *shape)
{
    g_autoptr(GError) error = NULL;
    pd_ds_config_parse(json, strlen(json), "config.json", shape, &error);
    g_assert_no_error(error);
}

static int
count_kind(const PdDsShape *s, const char *name)
{
    int n = 0;
    for (int l = 0; l < s->n_layers; l++)
        n += strcmp(s->layers[l].kind->name, name) == 0;
    return n;
}

static void
assert_near(double got, double want, double tolerance)
{
    g_test_message("%.10g, wanted %.10g", got, want);
    g_assert_cmpfloat(fabs(got - want), <=, tolerance);
}

/* Published: parameters, bytes per token, and operations at 1M against V3.2's 1.19e12. */
static void
test_released(void)
{
    static const struct {
        int n_window, n_csa, n_hca;
        double total, active, deployed, wide, flops, ratio;
    } wanted[] = {{2, 21, 20, 284.3e9, 13.27e9, 3508.8, 6880, 1.18e11, 0.10},
                  {0, 30, 31, 1573e9, 48.85e9, 5023.7, 9848, 3.16e11, 0.27}};
    for (int pro = 0; pro < 2; pro++) {
        g_autofree char *json = released_config(pro);
        g_auto(PdDsShape) s = {0};
        parse(json, &s);
        g_assert_cmpint(count_kind(&s, "window"), ==, wanted[pro].n_window);
        g_assert_cmpint(count_kind(&s, "CSA"), ==, wanted[pro].n_csa);
        g_assert_cmpint(count_kind(&s, "HCA"), ==, wanted[pro].n_hca);
        g_assert_true(s.layers[2].hash);
        g_assert_false(s.layers[3].hash);
        assert_near(pd_ds_parameters(&s).total, wanted[pro].total, 0.5e9);
        assert_near(pd_ds_parameters(&s).active, wanted[pro].active, 0.01e9);
        g_assert_cmpfloat(pd_ds_entry_bytes(&s, PD_DS_STORE_DEPLOYED), ==, 583);
        g_assert_cmpfloat(pd_ds_index_key_bytes(&s, PD_DS_STORE_DEPLOYED), ==, 68);
        assert_near(pd_ds_token_bytes(&s, PD_DS_STORE_DEPLOYED), wanted[pro].deployed, 0.05);
        assert_near(pd_ds_token_bytes(&s, PD_DS_STORE_16BIT), wanted[pro].wide, 0.5);
        assert_near(pd_ds_decode_flops(&s, 1048576), wanted[pro].flops, 0.01 * wanted[pro].flops);
        assert_near(pd_ds_decode_flops(&s, 1048576) / 1.19e12, wanted[pro].ratio, 0.006);
    }
}

/* --- refusals --- */

static void
test_refuses(void)
{
    /* What is replaced in the released configuration, and the field that the message names. */
    static const char *const cases[][3] = {
        {"\"head_dim\": 512", "\"head_dim\": 0", "head_dim"},
        {"\"head_dim\": 512", "\"head_dim\": \"wide\"", "head_dim"},
        {"\"hidden_size\": 4096, ", "", "hidden_size is missing"},
        {"\"num_key_value_heads\": 1", "\"num_key_value_heads\": 2", "num_key_value_heads"},
        {"\"o_groups\": 8", "\"o_groups\": 7", "o_groups"},
        {"\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 63", "qk_rope_head_dim"},
        {"\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 256", "qk_rope_head_dim"},
        {"\"qk_rope_head_dim\": 64", "\"qk_rope_head_dim\": 64, \"partial_rotary_factor\": 0.5",
         "qk_rope_head_dim"},
        {"\"n_shared_experts\": 1", "\"n_shared_experts\": 2", "n_shared_experts"},
        {"\"num_experts_per_tok\": 6", "\"num_experts_per_tok\": 257", "num_experts_per_tok"},
        {"\"scoring_func\": \"sqrtsoftplus\"", "\"scoring_func\": \"softmax\"", "scoring_func"},
        {"\"topk_method\": \"noaux_tc\"", "\"topk_method\": \"greedy\"", "topk_method"},
        {"\"norm_topk_prob\": true", "\"norm_topk_prob\": false", "norm_topk_prob"},
        {"\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", "tie_word_embeddings"},
        {"\"swiglu_limit\": 10.0", "\"swiglu_limit\": -1", "swiglu_limit"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act"},
        {"\"num_hash_layers\": 3", "\"num_hash_layers\": 44", "num_hash_layers"},
        {"\"num_hash_layers\": 3, ", "", "num_hash_layers"},
        {"\"num_hash_layers\": 3", "\"num_hash_layers\": 3, \"mlp_layer_types\": [\"moe\"]",
         "mlp_layer_types"},
        {"[0, 0, 4, 128", "[0, 0, 4, 64", "compress_ratios"},
        {"[0, 0, 4, 128", "[128", "compress_ratios"},
        {", 4, 0]", ", 4, 0, 4]", "compress_ratios"},
        {"\"compress_ratios\"", "\"compress_rations\"", "compress_ratios"},
        {"\"compress_ratios\"", "\"layer_types\": [\"full_attention\"], \"compress_ratios\"",
         "layer_types"},
        {"\"compress_ratios\"",
         "\"compress_rates\": {\"compressed_sparse_attention\": 8}, "
         "\"compress_ratios\"",
         "compress_ratios"},
        {"\"type\": \"yarn\"", "\"type\": \"linear\"", "rope_type"},
        {"\"factor\": 16", "\"factor\": 0.5", "factor"},
        {"\"original_max_position_embeddings\": 65536", "\"original\": 1",
         "original_max_position_embeddings"},
        {"\"beta_fast\": 32", "\"beta_fast\": 0.5", "beta_fast"},
        {"\"compress_rope_theta\": 160000", "\"compress_rope_theta\": 0", "compress_rope_theta"},
        {"\"rope_scaling\": {",
         "\"rope_parameters\": {\"compress\": {\"rope_type\": \"yarn\", "
         "\"factor\": 16, \"original_max_position_embeddings\": 64}}, "
         "\"unused\": {",
         "attention_factor"},
        {"\"fmt\": \"e4m3\"", "\"fmt\": \"e5m2\"", "quantization_config.fmt"},
        {"[128, 128]}", "[128]}", "weight_block_size"},
    };
    g_autofree char *json = released_config(FALSE);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) edited = g_string_new(json);
        g_auto(PdDsShape) shape = {0};
        g_autoptr(GError) error = NULL;
        g_assert_cmpuint(g_string_replace(edited, cases[i][0], cases[i][1], 1), ==, 1);
        gboolean ok = pd_ds_config_parse(edited->str, edited->len, "config.json", &shape, &error);
        g_test_message("%s -> %s", cases[i][1], ok ? "read" : error->message);
        g_assert_false(ok);
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, cases[i][2]));
    }
}

/* layer_types beside compress_ratios: one disagreement is found, agreement is read. */
static void
test_both_schedules(void)
{
    g_autofree char *json = released_config(FALSE);
    for (int wrong = 0; wrong < 2; wrong++) {
        g_autoptr(GString) edited = g_string_new(json);
        g_autoptr(GString) types = g_string_new("\"layer_types\": [");
        g_auto(PdDsShape) shape = {0};
        g_autoptr(GError) error = NULL;
        for (int l = 0; l < 43; l++)
            g_string_append_printf(types, "%s\"%s\"", l > 0 ? ", " : "",
                                   l < 2                      ? "sliding_attention"
                                   : l % 2 == wrong && l > 30 ? "compressed_sparse_attention"
                                   : l % 2 == 0               ? "compressed_sparse_attention"
                                                              : "heavily_compressed_attention");
        g_string_append(types, "], \"compress_ratios\"");
        g_string_replace(edited, "\"compress_ratios\"", types->str, 1);
        gboolean ok = pd_ds_config_parse(edited->str, edited->len, "config.json", &shape, &error);
        g_assert_cmpint(ok, ==, !wrong);
        if (wrong)
            g_assert_nonnull(strstr(error->message, "layer_types disagrees with compress_ratios"));
    }
}

/* --- the reference's parts --- */

/* Section 2.3: mix[i] = sin(0.7 i + 0.3), with streams whose mean square is one. */
static void
test_hyper(void)
{
    static const float pre_want[] = {0.511939f, 0.591638f, 0.621480f, 0.595738f};
    static const float post_want[] = {1.081008f, 0.530917f, 0.360015f, 0.419915f};
    static const float comb_want[] = {
        0.021107f, 0.172123f, 0.442011f, 0.364759f, 0.556560f, 0.321555f, 0.098379f, 0.023504f,
        0.012623f, 0.073529f, 0.325191f, 0.588657f, 0.409709f, 0.432792f, 0.134418f, 0.023079f};
    static const float out_want[] = {13.621008f, 8.076163f, 5.752169f, 6.469202f};
    PdDsShape s = {
        .n_embd = 1, .hc_mult = 4, .hc_sinkhorn_iters = 20, .hc_eps = 1e-6f, .rms_eps = 1e-12f};
    float mix[24], base[24], scale[] = {0.5f, 1.5f, 2}, ones[] = {1, 1, 1, 1};
    float pre[4], post[4], comb[16], streams[] = {1, 2, 3, 4}, old[4], f = 10;
    for (int i = 0; i < 24; i++) {
        mix[i] = (float)sin(0.7 * i + 0.3);
        base[i] = (float)(0.05 * (i % 5) - 0.1);
    }
    PdDsSite site = {.base = base, .scale = scale};
    pd_ds_hyper_weights(&s, &site, ones, mix, pre, post, comb);
    for (int i = 0; i < 4; i++) {
        assert_near(pre[i], pre_want[i], 2e-6);
        assert_near(post[i], post_want[i], 2e-6);
    }
    for (int i = 0; i < 16; i++)
        assert_near(comb[i], comb_want[i], 2e-6);
    pd_ds_hyper_expand(&s, post, comb, &f, streams, old);
    for (int i = 0; i < 4; i++)
        assert_near(streams[i], out_want[i], 2e-5);
}

/* Section 3.2: the stretched frequencies of the released models. */
static void
test_rope(void)
{
    static const struct {
        int i;
        double freq;
    } wanted[] = {{1, 0.687656},     {15, 3.635539e-3}, {16, 2.265625e-3}, {20, 2.969778e-4},
                  {24, 1.953125e-5}, {25, 5.372313e-6}, {31, 5.680529e-7}};
    g_autofree char *json = released_config(FALSE);
    g_auto(PdDsShape) s = {0};
    PdDsRope rope;
    float turn[64], head[] = {9, 3, 4}, pair[] = {7, 1, 0};
    parse(json, &s);
    pd_ds_rope_init(&rope, &s.rope_far, s.rope_dim);
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++)
        assert_near(rope.freq[wanted[i].i] / wanted[i].freq, 1, 1e-6);
    pd_ds_rope_init(&rope, &s.rope, 2); /* one pair, one radian a position */
    pd_ds_rope_at(&rope, 3, turn);
    pd_ds_rope_apply(&rope, turn, pair, 3);
    assert_near(pair[1], cos(3), 1e-6);
    assert_near(pair[2], sin(3), 1e-6);
    g_assert_cmpfloat(pair[0], ==, 7);
    pd_ds_rope_apply(&rope, turn, head, 3);
    pd_ds_rope_undo(&rope, turn, head, 3);
    assert_near(head[1], 3, 1e-6);
    assert_near(head[2], 4, 1e-6);
}

/* Section 4.1: two overlapping windows; before norm and rotation, so both are made harmless: the
 * norm's scale is put back and the frequencies are zero. */
static void
test_compressor(void)
{
    static const double wanted[][2] = {{-0.735207, -0.935769}, {-0.064533, -0.159099}};
    static const PdDsKind kind = {"CSA", "", 4, TRUE, TRUE};
    PdDsLayerShape layer = {&kind, 4, FALSE};
    PdDsRope rope = {.n_pairs = 1, .amplitude = 1};
    float ape[16], norm[] = {1, 1}, values[32], scores[32], entries[4];
    PdDsPool pool = {values, scores};
    for (int i = 0; i < 16; i++)
        ape[i] = (float)(0.1 * (i / 4) - 0.05 * (i % 4));
    PdDsCompressor c = {.ape = {.format = PD_DS_PLAIN,
                                .type = PD_F32,
                                .n_rows = 4,
                                .n_cols = 4,
                                .data = (const guint8 *)ape},
                        .norm = norm};
    pd_ds_pool_clear(&layer, 2, &pool);
    for (int t = 0; t < 8; t++) {
        float u[4], gate[4];
        for (int i = 0; i < 4; i++) {
            u[i] = (float)cos(0.3 * t + 0.9 * i);
            gate[i] = (float)sin(0.5 * t - 0.4 * i);
        }
        gboolean complete =
            pd_ds_compress(&layer, &c, 2, 0, &rope, t, u, gate, &pool, entries + t / 4 * 2);
        g_assert_cmpint(complete, ==, t % 4 == 3);
    }
    for (int w = 0; w < 2; w++) {
        double rms = sqrt((wanted[w][0] * wanted[w][0] + wanted[w][1] * wanted[w][1]) / 2);
        assert_near(entries[2 * w] * rms, wanted[w][0], 2e-6);
        assert_near(entries[2 * w + 1] * rms, wanted[w][1], 2e-6);
    }
}

/* Section 5: sqrt(softplus(l)), seen through the weights of a token-routed layer. */
static void
test_route(void)
{
    PdDsShape s = {.n_experts = 4, .n_experts_used = 4, .routed_scaling = 1};
    gint32 table[] = {3, 2, 1, 0};
    PdDsLayer layer = {.token_experts = table};
    float router[] = {-3, 0, 1, 25}, biased[4], weights[4];
    static const double wanted[] = {5, 1.145976, 0.832555, 0.220425};
    double sum = 5 + 1.145976 + 0.832555 + 0.220425;
    int ids[4];
    pd_ds_choose_experts(&s, &layer, 0, router, biased, ids);
    pd_ds_weigh_experts(&s, router, ids, weights);
    for (int i = 0; i < 4; i++) {
        g_assert_cmpint(ids[i], ==, 3 - i);
        assert_near(weights[i], wanted[i] / sum, 1e-6);
    }
}

/* The k best, ties to the lower index, against sorting. */
static void
test_top_k(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);
    for (int round = 0; round < 300; round++) {
        int n = g_rand_int_range(rand, 0, 60), k = g_rand_int_range(rand, 1, 40);
        float scores[60];
        int picks[40];
        gboolean chosen[60] = {FALSE};
        for (int i = 0; i < n; i++) /* few values: many ties */
            scores[i] = (float)(g_rand_int_range(rand, 0, 5) - 2);
        int n_picks = pd_ds_top_k(scores, n, k, picks);
        g_assert_cmpint(n_picks, ==, MIN(n, k));
        for (int i = 0; i < n_picks; i++) {
            g_assert_true(i == 0 || picks[i] > picks[i - 1]);
            chosen[picks[i]] = TRUE;
        }
        for (int i = 0; i < n; i++) {
            int n_better = 0;
            for (int j = 0; j < n; j++)
                n_better += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
            g_assert_cmpint(chosen[i], ==, n_better < k);
        }
    }
}

/* As many entries as a million tokens leave, a few values only. */
static void
test_top_k_of_many(void)
{
    enum { N = 262144, K = 1024 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    g_autofree float *scores = g_new(float, N);
    g_autofree int *picks = g_new(int, K);
    int n_of[4096] = {0}, least = 4096, n_left = K, next = 0;
    for (int i = 0; i < N; i++) {
        int value = g_rand_int_range(rand, 0, 4096);
        scores[i] = (float)(value - 2000) / 7;
        n_of[value]++;
    }
    while (n_left > n_of[least - 1])
        n_left -= n_of[--least];
    least--; /* of this value the first n_left are chosen, of larger ones all */
    g_assert_cmpint(pd_ds_top_k(scores, N, K, picks), ==, K);
    for (int i = 0; i < N; i++) {
        float limit = (float)(least - 2000) / 7;
        if (scores[i] > limit || (scores[i] == limit && n_left-- > 0))
            g_assert_cmpint(picks[next++], ==, i);
    }
    g_assert_cmpint(next, ==, K);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deepseek/config/released", test_released);
    g_test_add_func("/deepseek/config/refuses", test_refuses);
    g_test_add_func("/deepseek/config/both-schedules", test_both_schedules);
    g_test_add_func("/deepseek/parts/hyper", test_hyper);
    g_test_add_func("/deepseek/parts/rope", test_rope);
    g_test_add_func("/deepseek/parts/compressor", test_compressor);
    g_test_add_func("/deepseek/parts/route", test_route);
    g_test_add_func("/deepseek/parts/top-k", test_top_k);
    g_test_add_func("/deepseek/parts/top-k-of-many", test_top_k_of_many);
    return g_test_run();
}
