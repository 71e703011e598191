/*
 * What models cost by their configuration: against a count of every tensor and every token
 * (tests/golden/cost/make_cost.py), against what is published of DeepSeek-V4, and what is refused.
 */
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include "engine/cost.h"
#include "engine/error.h"
#include "engine/json_bounded.h"

static const PdCostMachine no_machine;

static void
open_preset(const char *name, PdCost *cost)
{
    g_autoptr(GError) error = NULL;
    pd_cost_open(name, cost, &error);
    g_assert_no_error(error);
}

/* Counts are whole numbers below 2^53 or sums of few fractions: equal but for rounding. */
static void
assert_same(const char *what, double got, double want)
{
    g_test_message("%s: %.12g, wanted %.12g", what, got, want);
    g_assert_cmpfloat(fabs(got - want), <=, 1e-12 * want);
}

static void
check_case(const char *name, JsonObject *wanted)
{
    g_auto(PdCost) cost = {0};
    g_autoptr(GError) error = NULL;
    JsonNode *config = json_object_get_member(wanted, "config");

    g_test_message("%s", name);
    if (JSON_NODE_HOLDS_OBJECT(config))
        pd_cost_parse(json_node_get_object(config), name, name, &cost, &error);
    else
        pd_cost_open(json_node_get_string(config), &cost, &error);
    g_assert_no_error(error);
    assert_same("parameters", pd_cost_parameters(&cost.total),
                json_object_get_double_member(wanted, "parameters"));
    assert_same("active", pd_cost_parameters(&cost.active),
                json_object_get_double_member(wanted, "active"));
    assert_same("weight bytes", pd_cost_weight_bytes(&cost),
                json_object_get_double_member(wanted, "weight_bytes"));
    JsonArray *lengths = json_object_get_array_member(wanted, "lengths");
    for (guint i = 0; i < json_array_get_length(lengths); i++) {
        JsonObject *length = json_array_get_object_element(lengths, i);
        double n_tokens = json_object_get_double_member(length, "tokens");
        PdCostAt at;
        pd_cost_at(&cost, &no_machine, n_tokens, &at);
        g_test_message("%.0f tokens", n_tokens);
        assert_same("KV", at.kv_bytes, json_object_get_double_member(length, "kv_bytes"));
        assert_same("operations of a token", at.decode_flops,
                    json_object_get_double_member(length, "decode_flops"));
        assert_same("bytes of a token", at.decode_bytes,
                    json_object_get_double_member(length, "decode_bytes"));
        assert_same("operations of a prompt", at.prefill_flops,
                    json_object_get_double_member(length, "prefill_flops"));
        g_assert_cmpfloat(at.prefill_seconds, ==, 0);
    }
}

static void
test_golden(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonParser) parser =
        pd_json_read_object(PD_SOURCE_ROOT "/tests/golden/cost/cost.json", &error);
    g_assert_no_error(error);
    JsonObject *cases = pd_json_object(parser);
    g_autoptr(GList) names = json_object_get_members(cases);
    g_assert_cmpuint(g_list_length(names), ==, 7);
    for (GList *l = names; l != NULL; l = l->next)
        check_case(l->data, json_object_get_object_member(cases, l->data));
}

/* Technical report of DeepSeek-V4 (arXiv 2606.19348, abstract, 2.3 and figure 1): sizes; at a
 * million tokens, against V3.2, operations of a token and kept state, in whole per cent; state
 * against 8 heads of 128 in 16 bit about 2 %.  V3 (arXiv 2412.19437): 671 B, 37 B active. */
static void
test_published(void)
{
    static const struct {
        const char *name;
        double total, active, flops, kv, token_bytes;
    } rows[] = {{"deepseek-v4-flash", 284e9, 13e9, 0.10, 0.07, 3508.8},
                {"deepseek-v4-pro", 1.6e12, 49e9, 0.27, 0.10, 5023.7}};
    g_auto(PdCost) base = {0};
    PdCostAt base_at;

    open_preset(PD_COST_BASELINE, &base);
    pd_cost_at(&base, &no_machine, 1048576, &base_at);
    g_assert_cmpfloat(fabs(pd_cost_parameters(&base.total) - 671e9), <, 2e9); /* and an indexer */
    g_assert_cmpfloat(fabs(pd_cost_parameters(&base.active) - 37e9), <, 1e9);
    g_assert_cmpfloat(pd_cost_token_bytes(&base), ==, 48068);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(PdCost) cost = {0}, ordinary = {0};
        PdCostAt at, ordinary_at;

        open_preset(rows[i].name, &cost);
        pd_cost_at(&cost, &no_machine, 1048576, &at);
        g_test_message("%s: FLOP %.4f, KV %.4f of V3.2", rows[i].name,
                       at.decode_flops / base_at.decode_flops, at.kv_bytes / base_at.kv_bytes);
        g_assert_cmpfloat(fabs(pd_cost_parameters(&cost.total) / rows[i].total - 1), <, 0.02);
        g_assert_cmpfloat(fabs(pd_cost_parameters(&cost.active) / rows[i].active - 1), <, 0.025);
        g_assert_cmpfloat(fabs(at.decode_flops / base_at.decode_flops - rows[i].flops), <, 0.006);
        g_assert_cmpfloat(fabs(at.kv_bytes / base_at.kv_bytes - rows[i].kv), <, 0.005);
        g_assert_cmpfloat(fabs(pd_cost_token_bytes(&cost) - rows[i].token_bytes), <, 0.05);
        pd_cost_ordinary(&cost, &ordinary);
        pd_cost_at(&ordinary, &no_machine, 1048576, &ordinary_at);
        g_assert_cmpfloat(fabs(at.kv_bytes / ordinary_at.kv_bytes - 0.02), <, 0.002);
        g_assert_cmpfloat(ordinary_at.kv_bytes, ==, 1048576.0 * cost.n_layers * 2 * 8 * 128 * 2);
        g_assert_cmpfloat(pd_cost_weight_bytes(&ordinary), ==, pd_cost_weight_bytes(&cost));
    }
}

/* The slower of computing and reading; a prompt reads every weight, a token its experts only. */
static void
test_seconds(void)
{
    g_auto(PdCost) cost = {0};
    PdCostMachine fast = {1e9, 1}, wide = {1, 1e9};
    PdCostAt at;

    open_preset("deepseek-v4-flash", &cost);
    pd_cost_at(&cost, &fast, 4096, &at);
    assert_same("reading a prompt", at.prefill_seconds,
                (pd_cost_weight_bytes(&cost) + at.kv_bytes) / 1e9);
    assert_same("reading a token", at.decode_seconds, at.decode_bytes / 1e9);
    pd_cost_at(&cost, &wide, 4096, &at);
    assert_same("computing a prompt", at.prefill_seconds, at.prefill_flops / 1e9);
    assert_same("computing a token", at.decode_seconds, at.decode_flops / 1e9);
}

/* One list for every front end: the baseline once, and no ordinary model beside an ordinary one. */
static void
test_compare(void)
{
    static const char small[] = PD_SOURCE_ROOT "/tests/golden/gqa/qwen2";
    static const char *const configs[] = {"deepseek-v4-pro", small, NULL};
    static const char *const wanted[] = {"deepseek-v4-pro", "qwen2", "deepseek-v3.2",
                                         "GQA like deepseek-v4-pro"};
    static const char *const baseline_only[] = {"deepseek-v3.2", NULL};
    guint baseline = 99;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) costs = pd_cost_compare(configs, &baseline, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(costs->len, ==, G_N_ELEMENTS(wanted));
    for (guint i = 0; i < costs->len; i++)
        g_assert_cmpstr(g_array_index(costs, PdCost, i).name, ==, wanted[i]);
    g_assert_cmpuint(baseline, ==, 2);
    g_autoptr(GArray) two = pd_cost_compare(baseline_only, &baseline, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(two->len, ==, 2);
    g_assert_cmpuint(baseline, ==, 0);
}

/* Damaged fields of a published configuration, and the field that the message names. */
static void
test_refuses(void)
{
    static const char *const cases[][4] = {
        {"deepseek-v3.2", "\"kv_lora_rank\": 512", "\"kv_lora_rank\": 0", "kv_lora_rank"},
        {"deepseek-v3.2", "\"hidden_size\": 7168", "\"hidden_size\": -1", "hidden_size"},
        {"deepseek-v3.2", "\"hidden_size\": 7168,", "", "hidden_size is missing"},
        {"deepseek-v3.2", "\"hidden_size\": 7168", "\"hidden_size\": \"wide\"", "hidden_size"},
        {"deepseek-v3.2", "\"index_topk\": 2048,", "", "index_topk"},
        {"deepseek-v3.2", "\"num_hidden_layers\": 61", "\"num_hidden_layers\": 2000000000",
         "num_hidden_layers"},
        {"deepseek-v3.2", "\"num_experts_per_tok\": 8", "\"num_experts_per_tok\": 257",
         "num_experts_per_tok"},
        {"deepseek-v3.2", "\"n_routed_experts\": 256", "\"n_routed_experts\": 4",
         "num_experts_per_tok"},
        {"deepseek-v3.2", "\"first_k_dense_replace\": 3", "\"first_k_dense_replace\": 62",
         "first_k_dense_replace"},
        {"deepseek-v3.2", "[128, 128]", "[128, 0]", "weight_block_size"},
        {"deepseek-v4-flash", "\"quant_method\": \"fp8\"", "\"quant_method\": \"awq\"",
         "quant_method"},
        {"deepseek-v4-flash", "\"expert_dtype\": \"fp4\"", "\"expert_dtype\": \"fp2\"",
         "expert_dtype"},
        {"deepseek-v4-flash", "\"compress_ratios\": [0", "\"compress_ratios\": [5",
         "compress_ratios"},
        {"deepseek-v4-flash", "deepseek_v4\"", "mamba\"", "mamba is not supported"},
    };
    g_autofree char *dir = g_dir_make_tmp("pandect-cost-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "config.json", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *source =
            g_strdup_printf(PD_SOURCE_ROOT "/engine/published/%s.json", cases[i][0]);
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        g_auto(PdCost) cost = {0};
        g_assert_true(g_file_get_contents(source, &text, NULL, NULL));
        g_autoptr(GString) edited = g_string_new(text);
        g_assert_cmpuint(g_string_replace(edited, cases[i][1], cases[i][2], 1), ==, 1);
        g_assert_true(g_file_set_contents(path, edited->str, -1, NULL));
        g_assert_false(pd_cost_open(dir, &cost, &error));
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i][3]));
        g_assert_nonnull(strstr(error->message, path));
    }
    g_remove(path);
    g_autoptr(GError) error = NULL;
    g_auto(PdCost) cost = {0};
    g_assert_false(pd_cost_open(dir, &cost, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
    g_rmdir(dir);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cost/golden", test_golden);
    g_test_add_func("/cost/published", test_published);
    g_test_add_func("/cost/seconds", test_seconds);
    g_test_add_func("/cost/compare", test_compare);
    g_test_add_func("/cost/refuses", test_refuses);
    return g_test_run();
}
