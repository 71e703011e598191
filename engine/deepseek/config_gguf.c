/*
 * The configuration of a GGUF file of the DeepSeek-V4 family: its metadata become the fields of
 * config.json that say the same, which config.c then reads and checks.  The keys are those of
 * section 9, as llama.cpp's conversion and antirez/ds4 write them.
 *
 * A file that has draft blocks counts them among its blocks; they are left out, as transformers
 * does.
 */
#include <string.h>
#include "engine/deepseek/shape.h"
#include "engine/error.h"

#define GATING_SQRT_SOFTPLUS 4 /* of expert_gating_func */
#define OVERLAPPING_RATIO 4    /* layers of any other are the heavily compressed ones */

typedef struct {
    const PdGguf *gguf;
    const PdDsFamily *family;
    JsonObject *config;
    GString *problem; /* the first key that is missing or not handled */
} Keys;

static char *
key_name(const Keys *k, const char *suffix)
{
    return g_strdup_printf("%s.%s", k->family->arch, suffix);
}

static void
complain(Keys *k, const char *suffix, const char *what)
{
    if (k->problem->len == 0)
        g_string_printf(k->problem, "%s.%s %s", k->family->arch, suffix, what);
}

/* FALSE: it is not there, which is a problem if it is `needed`. */
static gboolean
get_int(Keys *k, const char *suffix, gboolean needed, gint64 *value)
{
    g_autofree char *key = key_name(k, suffix);
    guint64 found;
    gboolean there = pd_gguf_get_u64(k->gguf, key, &found);
    if (!there && needed)
        complain(k, suffix, "is missing or no whole number");
    *value = there ? (gint64)MIN(found, G_MAXINT32) : 0;
    return there;
}

static gboolean
get_number(Keys *k, const char *suffix, gboolean needed, double *value)
{
    g_autofree char *key = key_name(k, suffix);
    gboolean there = pd_gguf_get_f64(k->gguf, key, value);
    if (!there && needed)
        complain(k, suffix, "is missing or no number");
    return there;
}

static void
read_plain(Keys *k)
{
    static const struct {
        const char *suffix, *field;
        gboolean needed;
    } ints[] = {
        {"context_length", "max_position_embeddings", TRUE},
        {"embedding_length", "hidden_size", TRUE},
        {"attention.head_count", "num_attention_heads", TRUE},
        {"attention.head_count_kv", "num_key_value_heads", FALSE},
        {"attention.key_length", "head_dim", TRUE},
        {"rope.dimension_count", "qk_rope_head_dim", TRUE},
        {"attention.q_lora_rank", "q_lora_rank", TRUE},
        {"attention.output_lora_rank", "o_lora_rank", TRUE},
        {"attention.output_group_count", "o_groups", TRUE},
        {"attention.sliding_window", "sliding_window", TRUE},
        {"attention.indexer.head_count", "index_n_heads", TRUE},
        {"attention.indexer.key_length", "index_head_dim", TRUE},
        {"attention.indexer.top_k", "index_topk", TRUE},
        {"hyper_connection.count", "hc_mult", TRUE},
        {"hyper_connection.sinkhorn_iterations", "hc_sinkhorn_iters", TRUE},
        {"hash_layer_count", "num_hash_layers", TRUE},
        {"expert_count", "n_routed_experts", TRUE},
        {"expert_used_count", "num_experts_per_tok", TRUE},
        {"expert_shared_count", "n_shared_experts", FALSE},
        {"expert_feed_forward_length", "moe_intermediate_size", TRUE},
    };
    static const struct {
        const char *suffix, *field;
    } numbers[] = {
        {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
        {"hyper_connection.epsilon", "hc_eps"},
        {"expert_weights_scale", "routed_scaling_factor"},
        {"rope.freq_base", "rope_theta"},
        {"attention.compress_rope_freq_base", "compress_rope_theta"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(ints); i++) {
        gint64 value;
        if (get_int(k, ints[i].suffix, ints[i].needed, &value))
            json_object_set_int_member(k->config, ints[i].field, value);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        double value;
        if (get_number(k, numbers[i].suffix, TRUE, &value))
            json_object_set_double_member(k->config, numbers[i].field, value);
    }
}

/* The embedding's rows are the vocabulary. */
static void
read_vocabulary(Keys *k)
{
    const PdGgufTensor *embd = pd_gguf_find_tensor(k->gguf, "token_embd.weight");
    if (embd != NULL && embd->n_dims == 2)
        json_object_set_int_member(k->config, "vocab_size", (gint64)MIN(embd->dims[1], G_MAXINT32));
    else if (k->problem->len == 0)
        g_string_assign(k->problem, "tensor token_embd.weight is missing or no matrix");
}

static int
read_n_layers(Keys *k)
{
    gint64 n_blocks, n_draft;
    get_int(k, "block_count", TRUE, &n_blocks);
    get_int(k, "nextn_predict_layers", FALSE, &n_draft);
    if (n_draft > 0 && n_draft >= n_blocks)
        complain(k, "nextn_predict_layers", "is not less than block_count");
    json_object_set_int_member(k->config, "num_hidden_layers", n_blocks - n_draft);
    return (int)(n_blocks - n_draft);
}

/* Layers compress by 0, by OVERLAPPING_RATIO or by one other ratio, which is what the file says it
 * is. */
static void
read_ratios(Keys *k, int n_layers)
{
    g_autofree char *key = key_name(k, "attention.compress_ratios");
    JsonArray *list = json_array_new();
    gint64 other = 0;
    json_object_set_array_member(k->config, "compress_ratios", list);
    for (int i = 0; i < n_layers; i++) {
        gint64 ratio;
        if (!pd_gguf_array_i64(k->gguf, key, (gsize)i, &ratio)) {
            complain(k, "attention.compress_ratios", "is missing or too short");
            return;
        }
        json_array_add_int_element(list, ratio);
        if (ratio != 0 && ratio != OVERLAPPING_RATIO && other == 0)
            other = ratio;
    }
    if (other == 0)
        return;
    JsonObject *rates = json_object_new();
    json_object_set_object_member(k->config, "compress_rates", rates);
    for (gsize i = 0; i < k->family->n_kinds; i++) {
        const PdDsKind *kind = &k->family->kinds[i];
        if (kind->ratio > 0)
            json_object_set_int_member(
                rates, kind->hf_type, kind->ratio == OVERLAPPING_RATIO ? OVERLAPPING_RATIO : other);
    }
}

/* One limit for all layers is run, and for the shared expert too. */
static void
read_clamps(Keys *k, int n_layers)
{
    static const char *const suffixes[] = {"swiglu_clamp_exp", "swiglu_clamp_shexp"};
    double first = 0, value;
    for (gsize s = 0; s < G_N_ELEMENTS(suffixes); s++) {
        g_autofree char *key = key_name(k, suffixes[s]);
        if (s > 0 && pd_gguf_array_len(k->gguf, key) == 0)
            continue; /* as the other */
        for (int i = 0; i < n_layers; i++) {
            if (!pd_gguf_array_f64(k->gguf, key, (gsize)i, &value)) {
                complain(k, suffixes[s], "is missing or too short");
                return;
            }
            if (s == 0 && i == 0)
                first = value;
            if (!(value == first))
                complain(k, suffixes[s], "differs between layers, which is not supported");
        }
    }
    json_object_set_double_member(k->config, "swiglu_limit", first);
}

static void
read_scaling(Keys *k)
{
    static const struct {
        const char *suffix, *field;
    } numbers[] = {{"rope.scaling.factor", "factor"},
                   {"rope.scaling.yarn_beta_fast", "beta_fast"},
                   {"rope.scaling.yarn_beta_slow", "beta_slow"},
                   {"rope.scaling.attn_factor", "attention_factor"}};
    g_autofree char *key = key_name(k, "rope.scaling.type");
    const char *type = pd_gguf_get_string(k->gguf, key, NULL);
    gint64 context;
    double value;
    if (type == NULL || strcmp(type, "none") == 0)
        return;
    JsonObject *scaling = json_object_new();
    json_object_set_object_member(k->config, "rope_scaling", scaling);
    json_object_set_string_member(scaling, "rope_type", type);
    if (get_int(k, "rope.scaling.original_context_length", FALSE, &context))
        json_object_set_int_member(scaling, "original_max_position_embeddings", context);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (get_number(k, numbers[i].suffix, FALSE, &value))
            json_object_set_double_member(scaling, numbers[i].field, value);
    }
}

/* What changes the numbers and is not run. */
static void
refuse_others(Keys *k)
{
    g_autofree char *norm = key_name(k, "expert_weights_norm");
    gint64 value, head_dim;
    gboolean normed;
    if (get_int(k, "expert_gating_func", FALSE, &value) && value != GATING_SQRT_SOFTPLUS)
        complain(k, "expert_gating_func", "is not 4, the root of softplus");
    if (get_int(k, "expert_group_count", FALSE, &value) && value > 1)
        complain(k, "expert_group_count", "is more than 1, which is not supported");
    if (get_int(k, "attention.value_length", FALSE, &value) &&
        get_int(k, "attention.key_length", FALSE, &head_dim) && value != head_dim)
        complain(k, "attention.value_length", "differs from key_length, which is not supported");
    if (pd_gguf_get_bool(k->gguf, norm, &normed))
        json_object_set_boolean_member(k->config, "norm_topk_prob", normed);
}

gboolean
pd_ds_config_from_gguf(const PdGguf *gguf, const char *name, PdDsShape *shape, GError **error)
{
    const char *arch = pd_gguf_get_string(gguf, "general.architecture", NULL);
    g_autoptr(JsonObject) config = json_object_new();
    g_autoptr(GString) problem = g_string_new(NULL);
    g_autofree char *as_config = g_strdup_printf("%s: its metadata, as config.json", name);
    Keys k = {gguf, pd_ds_family_of_arch(arch), config, problem};
    g_assert(k.family != NULL);
    json_object_set_string_member(config, "model_type", k.family->model_type);
    read_plain(&k);
    read_vocabulary(&k);
    int n_layers = read_n_layers(&k);
    if (problem->len == 0) {
        read_ratios(&k, n_layers);
        read_clamps(&k, n_layers);
        read_scaling(&k);
        refuse_others(&k);
    }
    if (problem->len > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s", name, problem->str);
        return FALSE;
    }
    return pd_ds_config_take(config, as_config, shape, error);
}
