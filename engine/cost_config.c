/*
 * Costs from config.json: which attention a configuration describes, and how its checkpoint stores
 * weights.  Latent attention (deepseek_v3 and deepseek_v32) is known here only, the engine does not
 * run it.  Sources: the configuration classes of transformers, the technical reports of DeepSeek-V3
 * (arXiv 2412.19437, sections 2.1 and 4.2) and V3.2, and FlashMLA's layout of the FP8 cache.
 */
#include "engine/arch.h"
#include "engine/cost.h"
#include "engine/deepseek/cost.h"
#include "engine/error.h"
#include "engine/json_bounded.h"
#include "engine/json_fields.h"
#include "engine/published.h"

#include <string.h>

static const char *const presets[] = {"deepseek-v4-flash", "deepseek-v4-pro", PD_COST_BASELINE,
                                      NULL};

/* --- how weights are stored --- */

/* Bytes of one scale for a block of FP8 weights, spread over them. */
static double
fp8_scale_bytes(PdFields *quant)
{
    const char *format = pd_fields_text(quant, "scale_fmt");
    double bytes = format != NULL && strcmp(format, "ue8m0") == 0 ? 1 : 4, n = 1;
    JsonNode *node = pd_fields_get(quant, "weight_block_size");
    JsonArray *block =
        node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    for (guint i = 0; block != NULL && i < json_array_get_length(block); i++) {
        JsonNode *size = json_array_get_element(block, i);
        gint64 value = pd_fields_holds(size, G_TYPE_INT64) ? json_node_get_int(size) : 0;
        if (value < 1 || value > 1 << 20)
            pd_fields_complain(quant, "weight_block_size", "is not a list of block sizes");
        n *= (double)value;
    }
    return bytes / n;
}

static void
read_storage(PdFields *f, PdCost *cost)
{
    const char *type = pd_fields_text(f, "torch_dtype");
    if (type == NULL)
        type = pd_fields_text(f, "dtype");
    double plain = type != NULL && strcmp(type, "float32") == 0 ? 4 : 2;
    cost->bytes = (PdCostWeights){plain, plain, plain, 4};
    cost->weight_flops = 4;
    JsonObject *object = pd_fields_object(f, "quantization_config");
    if (object == NULL)
        return;
    PdFields quant = {object, f->problem};
    const char *method = pd_fields_text(&quant, "quant_method");
    if (method == NULL || strcmp(method, "fp8") != 0) {
        pd_fields_complain(f, "quantization_config.quant_method", "is not fp8");
        return;
    }
    cost->weight_flops = 2;
    cost->bytes.linear = cost->bytes.experts = 1 + fp8_scale_bytes(&quant);
    const char *experts = pd_fields_text(f, "expert_dtype");
    if (experts != NULL && strcmp(experts, "fp4") == 0)
        cost->bytes.experts = 0.5 + 1.0 / 32; /* a scale byte per 32 */
    else if (experts != NULL && strcmp(experts, "fp8") != 0)
        pd_fields_complain(f, "expert_dtype", "is neither fp4 nor fp8");
}

/* --- latent attention --- */

typedef struct {
    int n_vocab, n_embd, n_layers, n_heads;
    int q_rank, kv_rank, nope_dim, rope_dim, value_dim;
    int n_ff, expert_ff, n_experts, n_used, n_shared,
        n_dense;                             /* the first n_dense have no experts */
    int index_heads, index_dim, index_top_k; /* 0: no indexer */
    int n_positions;
} Latent;

static void
read_latent(PdFields *f, gboolean indexed, Latent *m)
{
    const struct {
        const char *field;
        int *value;
        int fallback, max;
    } counts[] = {
        {"vocab_size", &m->n_vocab, -1, 1 << 24},
        {"hidden_size", &m->n_embd, -1, 1 << 17},
        {"num_hidden_layers", &m->n_layers, -1, 1024},
        {"num_attention_heads", &m->n_heads, -1, 1024},
        {"q_lora_rank", &m->q_rank, -1, 1 << 17},
        {"kv_lora_rank", &m->kv_rank, -1, 1 << 17},
        {"qk_nope_head_dim", &m->nope_dim, -1, 4096},
        {"qk_rope_head_dim", &m->rope_dim, -1, 4096},
        {"v_head_dim", &m->value_dim, -1, 4096},
        {"intermediate_size", &m->n_ff, -1, 1 << 20},
        {"moe_intermediate_size", &m->expert_ff, -1, 1 << 20},
        {"n_routed_experts", &m->n_experts, -1, 4096},
        {"num_experts_per_tok", &m->n_used, -1, 256},
        {"n_shared_experts", &m->n_shared, 1, 256},
        {"max_position_embeddings", &m->n_positions, -1, 1 << 24},
        {"index_n_heads", &m->index_heads, indexed ? -1 : 0, 1024},
        {"index_head_dim", &m->index_dim, indexed ? -1 : 0, 4096},
        {"index_topk", &m->index_top_k, indexed ? -1 : 0, 1 << 20},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        int least = counts[i].fallback == 0 ? 0 : 1;
        *counts[i].value = pd_fields_int(f, counts[i].field, counts[i].fallback);
        g_autofree char *what =
            g_strdup_printf("is %d, outside %d..%d", *counts[i].value, least, counts[i].max);
        if (*counts[i].value < least || *counts[i].value > counts[i].max)
            pd_fields_complain(f, counts[i].field, what);
    }
    m->n_dense = pd_fields_int(f, "first_k_dense_replace", 0);
    if (m->n_dense > m->n_layers)
        pd_fields_complain(f, "first_k_dense_replace", "is more than num_hidden_layers");
    if (m->n_used > m->n_experts)
        pd_fields_complain(f, "num_experts_per_tok", "is more than n_routed_experts");
}

/* A layer with n of its routed experts; n < 0: one without any. */
static void
add_latent_layer(const Latent *m, int n_experts, PdCostWeights *w)
{
    double d = m->n_embd, heads = m->n_heads, expert = 3 * d * m->expert_ff;
    w->linear += d * m->q_rank + m->q_rank * heads * (m->nope_dim + m->rope_dim) +
                 d * (m->kv_rank + m->rope_dim) +
                 m->kv_rank * heads * (m->nope_dim + m->value_dim) + heads * m->value_dim * d;
    w->plain += m->q_rank + m->kv_rank + 2 * d; /* norms */
    if (m->index_top_k > 0) {
        w->linear += m->q_rank * (double)m->index_heads * m->index_dim + d * m->index_dim;
        w->plain += d * m->index_heads + 2 * m->index_dim; /* head weights; the key's norm */
    }
    if (n_experts < 0) {
        w->linear += 3 * d * m->n_ff;
        return;
    }
    w->experts += n_experts * expert;
    w->linear += m->n_shared * expert;
    w->plain += m->n_experts * d;
    w->exact += m->n_experts; /* the router's bias */
}

static void
latent_cost(PdFields *f, gboolean indexed, PdCost *cost)
{
    Latent m = {0};
    read_latent(f, indexed, &m);
    if (f->problem->len > 0)
        return;
    double vocab = (double)m.n_vocab * m.n_embd;
    cost->n_layers = m.n_layers;
    cost->n_embd = m.n_embd;
    cost->n_positions = m.n_positions;
    cost->output = vocab;
    cost->active.plain = vocab + m.n_embd;
    cost->total = cost->active;
    cost->total.plain += vocab;
    for (int l = 0; l < m.n_layers; l++) {
        add_latent_layer(&m, l < m.n_dense ? -1 : m.n_experts, &cost->total);
        add_latent_layer(&m, l < m.n_dense ? -1 : m.n_used, &cost->active);
    }
    /* One latent row for all heads: FP8 with a 4-byte scale per 128, the rotary part in 16 bit.
     * Scores go over both parts, values over the first. */
    cost->layers[cost->n_kinds++] = (PdCostLayers){
        .n_layers = m.n_layers,
        .ratio = 1,
        .attended = m.index_top_k,
        .entry_bytes = m.kv_rank + 4.0 * ((m.kv_rank + 127) / 128) + 2.0 * m.rope_dim,
        .key_bytes = m.index_top_k > 0 ? m.index_dim + 4.0 : 0, /* FP8 and a scale */
        .entry_flops = 2 * 2.0 * m.n_heads * (2.0 * m.kv_rank + m.rope_dim),
        .key_flops = 2.0 * m.index_heads * m.index_dim,
    };
}

/* --- ordinary models --- */

static void
add_ordinary_layer(const PdModelConfig *config, PdCost *cost)
{
    guint flags = config->arch->flags;
    for (gsize i = 0; i < pd_n_layer_tensors; i++) {
        const PdLayerTensor *t = &pd_layer_tensors[i];
        gboolean is_o = t->offset == G_STRUCT_OFFSET(PdLayer, bo);
        if ((t->needs & flags) != t->needs || (t->never & flags) != 0 ||
            (t->is_bias && !(is_o ? config->o_bias : config->qkv_bias)))
            continue;
        double n =
            (double)pd_dim_extent(&config->shape, t->rows) * pd_dim_extent(&config->shape, t->cols);
        *(t->is_vector ? &cost->total.plain : &cost->total.linear) += n;
    }
}

static gboolean
ordinary_cost(JsonObject *object, const char *name, PdCost *cost, GError **error)
{
    g_auto(PdModelConfig) config = {0};
    if (!pd_hf_config_take(object, name, &config, error))
        return FALSE;
    const PdModelShape *s = &config.shape;
    double vocab = (double)s->n_vocab * s->n_embd;
    PdCostLayers layers[2] = {{.ratio = 1}, {.window = s->window}}; /* global, local */
    cost->ordinary = TRUE;
    cost->n_layers = s->n_layers;
    cost->n_embd = s->n_embd;
    cost->n_positions = s->n_ctx_train;
    cost->output = vocab;
    for (int l = 0; l < s->n_layers; l++) {
        add_ordinary_layer(&config, cost);
        layers[config.layer_local[l] ? 1 : 0].n_layers++;
    }
    cost->total.plain += vocab + s->n_embd;
    cost->active = cost->total;
    if (!config.tied)
        cost->total.plain += vocab;
    for (int k = 0; k < 2; k++) {
        layers[k].entry_bytes = (double)pd_cost_row_bytes(s->n_kv_heads, s->head_dim);
        layers[k].entry_flops = 2 * 4.0 * s->n_heads * s->head_dim;
        if (layers[k].n_layers > 0)
            cost->layers[cost->n_kinds++] = layers[k];
    }
    return TRUE;
}

/* --- any of them --- */

static gboolean
deepseek_cost(JsonObject *config, const char *name, PdCost *cost, GError **error)
{
    g_auto(PdDsShape) shape = {0};
    if (!pd_ds_config_take(config, name, &shape, error))
        return FALSE;
    pd_ds_cost(&shape, PD_DS_STORE_DEPLOYED, cost);
    return TRUE;
}

static gboolean
cost_of_type(PdFields *f, const char *name, PdCost *cost, GError **error)
{
    const char *type = pd_hf_model_type(f->object);
    gboolean indexed = type != NULL && strcmp(type, "deepseek_v32") == 0;
    if (pd_ds_family(type) != NULL)
        return deepseek_cost(f->object, name, cost, error);
    if (!indexed && (type == NULL || strcmp(type, "deepseek_v3") != 0))
        return ordinary_cost(f->object, name, cost, error);
    latent_cost(f, indexed, cost);
    return TRUE;
}

gboolean
pd_cost_parse(JsonObject *config, const char *name, const char *where, PdCost *cost, GError **error)
{
    g_autoptr(GString) problem = g_string_new(NULL);
    PdFields f = {config, problem};

    *cost = (PdCost){0};
    if (!cost_of_type(&f, where, cost, error))
        return FALSE;
    read_storage(&f, cost);
    if (problem->len > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s", where, problem->str);
        return FALSE;
    }
    cost->name = g_strdup(name);
    return TRUE;
}

const char *const *
pd_cost_presets(void)
{
    return presets;
}

static gboolean
open_preset(const char *name, PdCost *cost, GError **error)
{
    g_autofree char *path = g_strdup_printf("/pandect/published/%s.json", name);
    g_autoptr(GBytes) bytes = g_resource_lookup_data(pd_published_get_resource(), path, 0, error);
    if (bytes == NULL)
        return FALSE;
    gsize n_bytes;
    const char *text = g_bytes_get_data(bytes, &n_bytes);
    g_autoptr(JsonParser) parser = pd_json_parse_object(text, n_bytes, name, error);
    return parser != NULL && pd_cost_parse(pd_json_object(parser), name, name, cost, error);
}

/* A config.json is called as its folder, another file as itself. */
static char *
name_of_file(const char *path)
{
    g_autofree char *full = g_canonicalize_filename(path, NULL);
    g_autofree char *base = g_path_get_basename(full);
    g_autofree char *folder = g_path_get_dirname(full);
    if (strcmp(base, "config.json") == 0)
        return g_path_get_basename(folder);
    if (g_str_has_suffix(base, ".json"))
        base[strlen(base) - strlen(".json")] = '\0';
    return g_steal_pointer(&base);
}

gboolean
pd_cost_open(const char *name, PdCost *cost, GError **error)
{
    *cost = (PdCost){0};
    if (g_strv_contains(presets, name))
        return open_preset(name, cost, error);
    g_autofree char *path = g_file_test(name, G_FILE_TEST_IS_DIR)
                                ? g_build_filename(name, "config.json", NULL)
                                : g_strdup(name);
    g_autofree char *called = name_of_file(path);
    g_autoptr(JsonParser) parser = pd_json_read_object(path, error);
    return parser != NULL && pd_cost_parse(pd_json_object(parser), called, path, cost, error);
}

GArray *
pd_cost_compare(const char *const *names, guint *baseline, GError **error)
{
    g_autoptr(GArray) costs = g_array_new(FALSE, FALSE, sizeof(PdCost));
    gboolean has_baseline = FALSE;
    PdCost cost;

    g_array_set_clear_func(costs, (GDestroyNotify)pd_cost_clear);
    for (gsize i = 0; names[i] != NULL; i++) {
        if (!pd_cost_open(names[i], &cost, error))
            return NULL;
        g_array_append_val(costs, cost);
        if (strcmp(names[i], PD_COST_BASELINE) == 0) {
            has_baseline = TRUE;
            *baseline = costs->len - 1;
        }
    }
    guint n = costs->len;
    if (!has_baseline) {
        *baseline = n;
        if (!pd_cost_open(PD_COST_BASELINE, &cost, error))
            return NULL;
        g_array_append_val(costs, cost);
    }
    for (guint i = 0; i < n; i++) {
        if (g_array_index(costs, PdCost, i).ordinary)
            continue;
        pd_cost_ordinary(&g_array_index(costs, PdCost, i), &cost);
        g_array_append_val(costs, cost);
    }
    return g_steal_pointer(&costs);
}
