/*
 * config.json of the DeepSeek-V4 family (section 1).  Two ways of writing it are read: DeepSeek's
 * (compress_ratios, num_hash_layers, rope_scaling) and the one of transformers (layer_types,
 * mlp_layer_types, compress_rates, rope_parameters).  Where a file has both, they must agree.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/shape.h"
#include "engine/error.h"
#include "engine/json_bounded.h"
#include "engine/json_fields.h"

static const PdDsKind v4_kinds[] = {
    {"window", "sliding_attention", 0, FALSE, FALSE},
    {"CSA", "compressed_sparse_attention", 4, TRUE, TRUE},
    {"HCA", "heavily_compressed_attention", 128, FALSE, FALSE},
};

static const PdDsFamily families[] = {
    {"deepseek_v4", "deepseek4", v4_kinds, G_N_ELEMENTS(v4_kinds)},
};

const PdDsFamily *
pd_ds_family(const char *model_type)
{
    for (gsize i = 0; model_type != NULL && i < G_N_ELEMENTS(families); i++) {
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    }
    return NULL;
}

const PdDsFamily *
pd_ds_family_of_arch(const char *arch)
{
    for (gsize i = 0; arch != NULL && i < G_N_ELEMENTS(families); i++) {
        if (strcmp(families[i].arch, arch) == 0)
            return &families[i];
    }
    return NULL;
}

void
pd_ds_shape_clear(PdDsShape *shape)
{
    g_clear_pointer(&shape->layers, g_free);
}

/* --- the numbers --- */

/* How many dimensions of a head turn: said as a number, as a fraction of the head, or both. */
static int
read_rope_dim(PdFields *f, int head_dim)
{
    double fraction = pd_fields_number(f, "partial_rotary_factor", -1);
    JsonObject *nested = pd_fields_object(f, "rope_parameters");
    JsonObject *main_rope = NULL;
    if (nested != NULL) {
        PdFields p = {nested, f->problem};
        main_rope = pd_fields_object(&p, "main");
    }
    if (fraction < 0 && main_rope != NULL) {
        PdFields m = {main_rope, f->problem};
        fraction = pd_fields_number(&m, "partial_rotary_factor", -1);
    }
    if (fraction > 1)
        pd_fields_complain(f, "partial_rotary_factor", "is more than 1");
    int from_fraction = fraction < 0 ? -1 : (int)(head_dim * MIN(fraction, 1));
    int dim = pd_fields_int(f, "qk_rope_head_dim", from_fraction);
    if (from_fraction >= 0 && dim != from_fraction)
        pd_fields_complain(f, "qk_rope_head_dim", "disagrees with partial_rotary_factor");
    return dim;
}

static void
read_sizes(PdFields *f, PdDsShape *s)
{
    s->n_vocab = pd_fields_int(f, "vocab_size", -1);
    s->n_embd = pd_fields_int(f, "hidden_size", -1);
    s->n_layers = pd_fields_int(f, "num_hidden_layers", -1);
    s->n_heads = pd_fields_int(f, "num_attention_heads", -1);
    s->head_dim = pd_fields_int(f, "head_dim", 512);
    s->q_rank = pd_fields_int(f, "q_lora_rank", -1);
    s->o_groups = pd_fields_int(f, "o_groups", -1);
    s->o_rank = pd_fields_int(f, "o_lora_rank", -1);
    s->window = pd_fields_int(f, "sliding_window", -1);
    s->max_positions = pd_fields_int(f, "max_position_embeddings", -1);
    s->index_heads = pd_fields_int(f, "index_n_heads", -1);
    s->index_dim = pd_fields_int(f, "index_head_dim", -1);
    s->index_top_k = pd_fields_int(f, "index_topk", -1);
    s->hc_mult = pd_fields_int(f, "hc_mult", 4);
    s->hc_sinkhorn_iters = pd_fields_int(f, "hc_sinkhorn_iters", 20);
    s->hc_eps = (float)pd_fields_number(f, "hc_eps", 1e-6);
    s->rms_eps = (float)pd_fields_number(f, "rms_norm_eps", 1e-6);
    s->n_experts = pd_fields_int(f, "n_routed_experts", -1);
    s->n_experts_used = pd_fields_int(f, "num_experts_per_tok", -1);
    s->n_ff = pd_fields_int(f, "moe_intermediate_size", -1);
    s->routed_scaling = (float)pd_fields_number(f, "routed_scaling_factor", 1.5);
    s->swiglu_limit = (float)pd_fields_number(f, "swiglu_limit", 10);
    s->n_mtp = pd_fields_int(f, "num_nextn_predict_layers", 0);
    s->rope_dim = read_rope_dim(f, s->head_dim);
}

static void
check_sizes(PdFields *f, const PdDsShape *s)
{
    const struct {
        const char *field;
        int value, max;
    } counts[] = {
        {"vocab_size", s->n_vocab, 1 << 24},
        {"hidden_size", s->n_embd, 1 << 17},
        {"num_hidden_layers", s->n_layers, 1024},
        {"num_attention_heads", s->n_heads, 1024},
        {"head_dim", s->head_dim, 4096},
        {"qk_rope_head_dim", s->rope_dim, 512},
        {"q_lora_rank", s->q_rank, 1 << 17},
        {"o_groups", s->o_groups, 1024},
        {"o_lora_rank", s->o_rank, 1 << 17},
        {"sliding_window", s->window, 1 << 20},
        {"max_position_embeddings", s->max_positions, 1 << 24},
        {"index_n_heads", s->index_heads, 1024},
        {"index_head_dim", s->index_dim, 4096},
        {"index_topk", s->index_top_k, 1 << 20},
        {"hc_mult", s->hc_mult, 16},
        {"hc_sinkhorn_iters", s->hc_sinkhorn_iters, 1000},
        {"n_routed_experts", s->n_experts, 4096},
        {"num_experts_per_tok", s->n_experts_used, 256},
        {"moe_intermediate_size", s->n_ff, 1 << 20},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autofree char *what =
            g_strdup_printf("is %d, outside 1..%d", counts[i].value, counts[i].max);
        if (counts[i].value < 1 || counts[i].value > counts[i].max)
            pd_fields_complain(f, counts[i].field, what);
    }
    const struct {
        const char *field;
        float value;
    } positive[] = {{"hc_eps", s->hc_eps},
                    {"rms_norm_eps", s->rms_eps},
                    {"routed_scaling_factor", s->routed_scaling},
                    {"swiglu_limit", s->swiglu_limit}};
    for (gsize i = 0; i < G_N_ELEMENTS(positive); i++) {
        if (!(positive[i].value > 0) || !isfinite(positive[i].value))
            pd_fields_complain(f, positive[i].field, "is not a positive number");
    }
    if (f->problem->len > 0)
        return;
    if (s->n_heads % s->o_groups != 0)
        pd_fields_complain(f, "o_groups", "does not divide num_attention_heads");
    if (s->rope_dim % 2 != 0)
        pd_fields_complain(f, "qk_rope_head_dim", "is odd");
    if (s->rope_dim > s->head_dim)
        pd_fields_complain(f, "qk_rope_head_dim", "is more than head_dim");
    if (s->rope_dim > s->index_dim)
        pd_fields_complain(f, "qk_rope_head_dim", "is more than index_head_dim");
    if (s->n_experts_used > s->n_experts)
        pd_fields_complain(f, "num_experts_per_tok", "is more than n_routed_experts");
    if (s->n_mtp > 16)
        pd_fields_complain(f, "num_nextn_predict_layers", "is more than 16");
}

/* --- the schedule of layers --- */

/* The list of n_layers or more, or NULL if the field is absent or bad. */
static JsonArray *
layer_list(PdFields *f, const char *field, int n_layers, gboolean exact)
{
    JsonNode *node = pd_fields_get(f, field);
    if (node == NULL)
        return NULL;
    JsonArray *list = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    int n = list != NULL ? (int)json_array_get_length(list) : 0;
    if (n < n_layers || (exact && n != n_layers)) {
        pd_fields_complain(f, field, "does not have an entry for each of num_hidden_layers");
        return NULL;
    }
    return list;
}

static const char *
list_text(JsonArray *list, int i)
{
    JsonNode *node = json_array_get_element(list, (guint)i);
    return pd_fields_holds(node, G_TYPE_STRING) ? json_node_get_string(node) : "";
}

/* Tokens per entry of every kind: compress_rates, else those of the released models. */
static void
read_rates(PdFields *f, const PdDsFamily *family, int *rates)
{
    JsonObject *object = pd_fields_object(f, "compress_rates");
    for (gsize k = 0; k < family->n_kinds; k++) {
        const PdDsKind *kind = &family->kinds[k];
        rates[k] = kind->ratio;
        if (object == NULL || kind->ratio == 0)
            continue;
        PdFields r = {object, f->problem};
        rates[k] = pd_fields_int(&r, kind->hf_type, kind->ratio);
        if (rates[k] < 1 || rates[k] > 1 << 16)
            pd_fields_complain(f, "compress_rates", "has a rate outside 1..65536");
    }
}

static const PdDsKind *
kind_of_type(const PdDsFamily *family, const char *type)
{
    for (gsize k = 0; k < family->n_kinds; k++) {
        if (strcmp(family->kinds[k].hf_type, type) == 0)
            return &family->kinds[k];
    }
    return NULL;
}

static const PdDsKind *
kind_of_ratio(const PdDsFamily *family, const int *rates, gint64 ratio)
{
    for (gsize k = 0; k < family->n_kinds; k++) {
        if (rates[k] == ratio)
            return &family->kinds[k];
    }
    return NULL;
}

/* compress_ratios: one number a layer, and behind them one for every draft block, which have none.
 */
static void
read_ratios(PdFields *f, PdDsShape *s, const int *rates)
{
    JsonArray *list = layer_list(f, "compress_ratios", s->n_layers, FALSE);
    for (int i = 0; list != NULL && i < (int)json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, (guint)i);
        gint64 ratio = pd_fields_holds(node, G_TYPE_INT64) ? json_node_get_int(node) : -1;
        const PdDsKind *kind = kind_of_ratio(s->family, rates, ratio);
        g_autofree char *what = g_strdup_printf(
            "has %" G_GINT64_FORMAT " at place %d, which no kind of layer has", ratio, i);
        if (kind == NULL)
            pd_fields_complain(f, "compress_ratios", what);
        else if (i < s->n_layers)
            s->layers[i].kind = kind;
        else if (ratio != 0)
            pd_fields_complain(f, "compress_ratios",
                               "has more entries than layers, and not zeros for draft blocks");
    }
}

static void
read_types(PdFields *f, PdDsShape *s)
{
    JsonArray *list = layer_list(f, "layer_types", s->n_layers, TRUE);
    for (int i = 0; list != NULL && i < s->n_layers; i++) {
        const char *type = list_text(list, i);
        const PdDsKind *kind = kind_of_type(s->family, type);
        g_autofree char *what = g_strdup_printf("has \"%.40s\" for layer %d", type, i);
        if (kind == NULL)
            pd_fields_complain(f, "layer_types", what);
        else if (s->layers[i].kind != NULL && s->layers[i].kind != kind)
            pd_fields_complain(f, "layer_types", "disagrees with compress_ratios");
        s->layers[i].kind = kind;
    }
}

static void
read_mlp_types(PdFields *f, PdDsShape *s)
{
    JsonArray *list = layer_list(f, "mlp_layer_types", s->n_layers, TRUE);
    gboolean said = pd_fields_get(f, "num_hash_layers") != NULL;
    int n_hash = pd_fields_int(f, "num_hash_layers", 0);
    if (n_hash > s->n_layers)
        pd_fields_complain(f, "num_hash_layers", "is more than num_hidden_layers");
    if (!said && list == NULL)
        pd_fields_complain(f, "num_hash_layers", "is missing, and mlp_layer_types too");
    for (int i = 0; i < s->n_layers; i++) {
        s->layers[i].hash = i < n_hash;
        if (list == NULL)
            continue;
        gboolean hash = strcmp(list_text(list, i), "hash_moe") == 0;
        if (!hash && strcmp(list_text(list, i), "moe") != 0)
            pd_fields_complain(f, "mlp_layer_types", "has a type that is neither moe nor hash_moe");
        if (said && hash != s->layers[i].hash)
            pd_fields_complain(f, "mlp_layer_types", "disagrees with num_hash_layers");
        s->layers[i].hash = hash;
    }
}

static void
read_schedule(PdFields *f, PdDsShape *s)
{
    int rates[8];
    g_assert(s->family->n_kinds <= G_N_ELEMENTS(rates));
    read_rates(f, s->family, rates);
    if (f->problem->len > 0)
        return;
    s->layers = g_new0(PdDsLayerShape, s->n_layers + 1);
    s->layers[s->n_layers].kind = kind_of_ratio(s->family, rates, 0);
    read_ratios(f, s, rates);
    read_types(f, s);
    read_mlp_types(f, s);
    for (int i = 0; i < s->n_layers && f->problem->len == 0; i++) {
        if (s->layers[i].kind == NULL)
            pd_fields_complain(f, "compress_ratios", "is missing, and layer_types too");
        else
            s->layers[i].ratio = rates[s->layers[i].kind - s->family->kinds];
    }
}

/* --- rotation --- */

/* One rotation's scaling: plain, or YaRN. */
static void
read_scaling(PdFields *f, PdDsRopeShape *rope, gboolean is_nested)
{
    const char *type = pd_fields_text(f, "rope_type");
    if (type == NULL)
        type = pd_fields_text(f, "type");
    if (type == NULL || strcmp(type, "default") == 0)
        return;
    if (strcmp(type, "yarn") != 0) {
        pd_fields_complain(f, "rope_type", "is neither default nor yarn");
        return;
    }
    rope->yarn_factor = (float)pd_fields_number(f, "factor", 0);
    rope->yarn_context = pd_fields_int(f, "original_max_position_embeddings", -1);
    rope->yarn_beta_fast = (float)pd_fields_number(f, "beta_fast", 32);
    rope->yarn_beta_slow = (float)pd_fields_number(f, "beta_slow", 1);
    rope->yarn_truncate = pd_fields_bool(f, "truncate", TRUE);
    /* transformers would make up an amplitude that the models were not trained with. */
    if (is_nested && pd_fields_get(f, "attention_factor") == NULL)
        pd_fields_complain(f, "attention_factor", "of a yarn rotation is missing");
    rope->amplitude = (float)pd_fields_number(f, "attention_factor", 1);
}

static void
check_rope(PdFields *f, const PdDsRopeShape *rope, const char *theta_field)
{
    if (!(rope->theta > 1) || !isfinite(rope->theta))
        pd_fields_complain(f, theta_field, "is not a number above 1");
    if (!(rope->amplitude > 0) || !isfinite(rope->amplitude))
        pd_fields_complain(f, "attention_factor", "is not a positive number");
    gboolean stretched = rope->yarn_factor != 0 || rope->yarn_context != 0;
    if (stretched && (!(rope->yarn_factor >= 1) || !isfinite(rope->yarn_factor)))
        pd_fields_complain(f, "factor", "of a yarn rotation is below 1 or missing");
    if (stretched && rope->yarn_context < 1)
        pd_fields_complain(f, "original_max_position_embeddings", "is not positive");
    if (stretched &&
        (!(rope->yarn_beta_slow > 0) || !(rope->yarn_beta_fast >= rope->yarn_beta_slow)))
        pd_fields_complain(f, "beta_fast", "and beta_slow of a yarn rotation do not make a ramp");
}

static void
read_nested_rope(PdFields *p, const char *field, PdDsRopeShape *rope)
{
    JsonObject *object = pd_fields_object(p, field);
    if (object == NULL)
        return;
    PdFields r = {object, p->problem};
    rope->theta = (float)pd_fields_number(&r, "rope_theta", rope->theta);
    read_scaling(&r, rope, TRUE);
}

static void
read_ropes(PdFields *f, PdDsShape *s)
{
    s->rope =
        (PdDsRopeShape){.theta = (float)pd_fields_number(f, "rope_theta", 1e4), .amplitude = 1};
    s->rope_far = (PdDsRopeShape){
        .theta = (float)pd_fields_number(f, "compress_rope_theta", 160000), .amplitude = 1};
    JsonObject *nested = pd_fields_object(f, "rope_parameters");
    JsonObject *flat = pd_fields_object(f, "rope_scaling");
    if (nested != NULL &&
        (json_object_has_member(nested, "main") || json_object_has_member(nested, "compress"))) {
        PdFields p = {nested, f->problem};
        read_nested_rope(&p, "main", &s->rope);
        read_nested_rope(&p, "compress", &s->rope_far);
    } else if (flat != NULL || nested != NULL) {
        PdFields p = {flat != NULL ? flat : nested, f->problem};
        read_scaling(&p, &s->rope_far, FALSE);
    }
    check_rope(f, &s->rope, "rope_theta");
    check_rope(f, &s->rope_far, "compress_rope_theta");
}

/* --- what changes the numbers and is not there must be refused, not ignored --- */

static void
refuse_others(PdFields *f, PdDsShape *s)
{
    static const struct {
        const char *field, *value;
    } texts[] = {
        {"scoring_func", "sqrtsoftplus"}, {"topk_method", "noaux_tc"}, {"hidden_act", "silu"}};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        const char *text = pd_fields_text(f, texts[i].field);
        g_autofree char *what = g_strdup_printf("is not %s", texts[i].value);
        if (text != NULL && strcmp(text, texts[i].value) != 0)
            pd_fields_complain(f, texts[i].field, what);
    }
    if (pd_fields_int(f, "num_key_value_heads", 1) != 1)
        pd_fields_complain(f, "num_key_value_heads", "is not 1");
    if (pd_fields_int(f, "n_shared_experts", 1) != 1)
        pd_fields_complain(f, "n_shared_experts", "is not 1");
    if (!pd_fields_bool(f, "norm_topk_prob", TRUE))
        pd_fields_complain(f, "norm_topk_prob", "is not true");
    static const char *const falses[] = {"attention_bias", "mlp_bias", "tie_word_embeddings"};
    for (gsize i = 0; i < G_N_ELEMENTS(falses); i++) {
        if (pd_fields_bool(f, falses[i], FALSE))
            pd_fields_complain(f, falses[i], "is not supported");
    }
}

/* quantization_config: FP8 in blocks; which weights are quantised, the tensors say. */
static void
read_quantization(PdFields *f, PdDsShape *s)
{
    s->fp8_rows = s->fp8_cols = 128;
    JsonObject *object = pd_fields_object(f, "quantization_config");
    if (object == NULL)
        return;
    PdFields q = {object, f->problem};
    const char *method = pd_fields_text(&q, "quant_method");
    if (method != NULL && strcmp(method, "fp8") != 0)
        pd_fields_complain(f, "quantization_config.quant_method", "is not fp8");
    const char *format = pd_fields_text(&q, "fmt");
    if (format != NULL && strcmp(format, "e4m3") != 0)
        pd_fields_complain(f, "quantization_config.fmt", "is not e4m3");
    JsonNode *node = pd_fields_get(&q, "weight_block_size");
    if (node == NULL)
        return;
    JsonArray *block = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    int sizes[2] = {0, 0};
    for (guint i = 0; block != NULL && json_array_get_length(block) == 2 && i < 2; i++) {
        JsonNode *size = json_array_get_element(block, i);
        if (pd_fields_holds(size, G_TYPE_INT64))
            sizes[i] = (int)CLAMP(json_node_get_int(size), 0, 1 << 20);
    }
    if (sizes[0] < 1 || sizes[1] < 1)
        pd_fields_complain(f, "quantization_config.weight_block_size", "is not two numbers");
    s->fp8_rows = sizes[0];
    s->fp8_cols = sizes[1];
}

gboolean
pd_ds_config_take(JsonObject *config, const char *name, PdDsShape *s, GError **error)
{
    g_autoptr(GString) problem = g_string_new(NULL);
    PdFields f = {config, problem};
    const char *type = pd_fields_text(&f, "model_type");
    s->family = pd_ds_family(type);
    if (s->family == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: model_type %.60s is not of the DeepSeek-V4 family", name,
                    type != NULL ? type : "(missing)");
        return FALSE;
    }
    read_sizes(&f, s);
    if (problem->len == 0)
        check_sizes(&f, s);
    if (problem->len == 0) {
        read_schedule(&f, s);
        read_ropes(&f, s);
        read_quantization(&f, s);
        refuse_others(&f, s);
    }
    if (problem->len > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s", name, problem->str);
        return FALSE;
    }
    return TRUE;
}

gboolean
pd_ds_config_parse(const char *json, gsize n_bytes, const char *name, PdDsShape *s, GError **error)
{
    g_autoptr(JsonParser) parser = pd_json_parse_object(json, n_bytes, name, error);
    return parser != NULL && pd_ds_config_take(pd_json_object(parser), name, s, error);
}

static void
describe_rope(const PdDsRopeShape *r, GString *text)
{
    g_string_append_printf(text, "%a %a %d %a %a %d %a\n", r->theta, r->yarn_factor,
                           r->yarn_context, r->yarn_beta_fast, r->yarn_beta_slow, r->yarn_truncate,
                           r->amplitude);
}

void
pd_ds_shape_describe(const PdDsShape *s, GString *text)
{
    g_string_append_printf(text, "%s %d %d %d %d %d %d %d %d %d %d\n", s->family->arch, s->n_vocab,
                           s->n_embd, s->n_layers, s->n_heads, s->head_dim, s->rope_dim, s->q_rank,
                           s->o_groups, s->o_rank, s->window);
    g_string_append_printf(text, "%d %d %d %d %d %a %a %d %d %d %a %a\n", s->index_heads,
                           s->index_dim, s->index_top_k, s->hc_mult, s->hc_sinkhorn_iters,
                           s->hc_eps, s->rms_eps, s->n_experts, s->n_experts_used, s->n_ff,
                           s->routed_scaling, s->swiglu_limit);
    describe_rope(&s->rope, text);
    describe_rope(&s->rope_far, text);
    for (int i = 0; i < s->n_layers; i++)
        g_string_append_printf(text, "%s %d %d\n", s->layers[i].kind->name, s->layers[i].ratio,
                               s->layers[i].hash);
}
