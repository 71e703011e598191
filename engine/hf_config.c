/*
 * config.json of a Hugging Face checkpoint.  Both ways of writing RoPE are read: rope_theta with
 * rope_scaling (before transformers 5), and rope_parameters, flat or one object per layer type.
 * Source: the configuration classes and modeling_rope_utils of transformers.
 */
#include <math.h>
#include <string.h>
#include "engine/arch.h"
#include "engine/error.h"
#include "engine/json_bounded.h"

/* Reads fields of one object; the first bad field wins and is named in `problem`. */
typedef struct {
    JsonObject *object;
    GString *problem;
} Fields;

static void
complain(Fields *f, const char *field, const char *what)
{
    if (f->problem->len == 0)
        g_string_printf(f->problem, "%s %s", field, what);
}

/* NULL if absent or null. */
static JsonNode *
field_get(Fields *f, const char *field)
{
    JsonNode *node = json_object_get_member(f->object, field);
    return node == NULL || JSON_NODE_HOLDS_NULL(node) ? NULL : node;
}

static gboolean
holds(JsonNode *node, GType type)
{
    return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

static int
get_int(Fields *f, const char *field, int fallback)
{
    JsonNode *node = field_get(f, field);
    if (node == NULL) {
        if (fallback < 0)
            complain(f, field, "is missing");
        return fallback;
    }
    gint64 value = holds(node, G_TYPE_INT64) ? json_node_get_int(node) : -1;
    if (value < 0 || value > G_MAXINT32) {
        complain(f, field, "is not a whole number that makes sense");
        return 0;
    }
    return (int)value;
}

static double
get_number(Fields *f, const char *field, double fallback)
{
    JsonNode *node = field_get(f, field);
    if (node == NULL)
        return fallback;
    if (holds(node, G_TYPE_INT64))
        return (double)json_node_get_int(node);
    if (holds(node, G_TYPE_DOUBLE))
        return json_node_get_double(node);
    complain(f, field, "is not a number");
    return fallback;
}

static gboolean
get_bool(Fields *f, const char *field, gboolean fallback)
{
    JsonNode *node = field_get(f, field);
    if (node == NULL)
        return fallback;
    if (holds(node, G_TYPE_BOOLEAN))
        return json_node_get_boolean(node);
    complain(f, field, "is not true or false");
    return fallback;
}

static const char *
get_text(Fields *f, const char *field)
{
    JsonNode *node = field_get(f, field);
    if (node == NULL)
        return NULL;
    if (holds(node, G_TYPE_STRING))
        return json_node_get_string(node);
    complain(f, field, "is not a string");
    return NULL;
}

static JsonObject *
get_object(Fields *f, const char *field)
{
    JsonNode *node = field_get(f, field);
    if (node == NULL)
        return NULL;
    if (JSON_NODE_HOLDS_OBJECT(node))
        return json_node_get_object(node);
    complain(f, field, "is not an object");
    return NULL;
}

/*
 * Llama 3's frequency scaling as divisors of each frequency f: long wavelengths are divided by
 * `factor`, short ones stay, those between are blended.  Source: Llama 3.1's model card and
 * transformers' _compute_llama3_parameters.
 */
static void
set_llama3_rope(Fields *f, PdModelConfig *config)
{
    double factor = get_number(f, "factor", 0);
    double low = get_number(f, "low_freq_factor", 0);
    double high = get_number(f, "high_freq_factor", 0);
    double context = get_number(f, "original_max_position_embeddings", 0);
    if (!(factor > 0) || !(low > 0) || !(high > low) || !(context > 0)) {
        complain(f, "rope_scaling",
                 "of type llama3 lacks factor, low_freq_factor, "
                 "high_freq_factor or original_max_position_embeddings");
        return;
    }
    int n = config->shape.head_dim / 2;
    g_free(config->rope_factors);
    config->rope_factors = g_new(float, n);
    for (int i = 0; i < n; i++) {
        double freq = pow(config->shape.rope_theta, -(double)i / n);
        double wavelength = 2 * G_PI / freq;
        double divisor = 1;
        if (wavelength > context / low) {
            divisor = factor;
        } else if (wavelength > context / high) {
            double smooth = (context / wavelength - low) / (high - low);
            divisor = 1 / ((1 - smooth) / factor + smooth);
        }
        config->rope_factors[i] = (float)divisor;
    }
}

static void
set_rope_scaling(Fields *f, PdModelConfig *config)
{
    const char *type = get_text(f, "rope_type");
    if (type == NULL)
        type = get_text(f, "type");
    if (type == NULL || strcmp(type, "default") == 0)
        return;
    if (strcmp(type, "linear") == 0) {
        pd_model_config_set_linear_rope(config, get_number(f, "factor", 0));
    } else if (strcmp(type, "llama3") == 0) {
        set_llama3_rope(f, config);
    } else {
        g_autofree char *what = g_strdup_printf("of type %.40s is not supported", type);
        complain(f, "rope_scaling", what);
    }
}

/* Thetas and scaling, from rope_parameters or from rope_theta and rope_scaling. */
static void
read_rope(Fields *f, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    gboolean two = (config->arch->flags & PD_ARCH_LOCAL_LAYERS) != 0;
    s->rope_theta = (float)get_number(f, "rope_theta", config->arch->hf_rope_theta);
    s->rope_theta_local = two ? (float)get_number(f, "rope_local_base_freq", 1e4) : s->rope_theta;
    double partial = get_number(f, "partial_rotary_factor", 1);
    JsonObject *scaling = get_object(f, "rope_parameters");
    if (scaling == NULL)
        scaling = get_object(f, "rope_scaling");
    if (scaling != NULL) {
        Fields p = {scaling, f->problem};
        JsonObject *local = get_object(&p, "sliding_attention");
        JsonObject *global = get_object(&p, "full_attention");
        Fields l = {local != NULL ? local : scaling, f->problem};
        Fields g = {global != NULL ? global : scaling, f->problem};
        s->rope_theta = (float)get_number(&g, "rope_theta", s->rope_theta);
        if (local != NULL)
            s->rope_theta_local = (float)get_number(&l, "rope_theta", s->rope_theta_local);
        else if (!two)
            s->rope_theta_local = s->rope_theta;
        const char *type = local != NULL ? get_text(&l, "rope_type") : NULL;
        if (type != NULL && strcmp(type, "default") != 0)
            complain(f, "rope_parameters.sliding_attention", "is scaled, which is not supported");
        partial = get_number(&g, "partial_rotary_factor", partial);
        set_rope_scaling(&g, config);
        /* Without local layers of their own, layers marked as sliding rotate as all others. */
        if (!two && config->rope_factors != NULL && s->window > 0)
            complain(f, "rope_scaling", "together with sliding windows is not supported");
    }
    if (partial != 1)
        complain(f, "partial_rotary_factor", "other than 1 is not supported");
}

/* Which layers are local: layer_types, or the older ways of saying it. */
static void
read_layer_types(Fields *f, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    gboolean two = (config->arch->flags & PD_ARCH_LOCAL_LAYERS) != 0;
    gboolean sliding = two || get_bool(f, "use_sliding_window", FALSE);
    s->window = sliding ? get_int(f, "sliding_window", two ? 4096 : 0) : 0;

    JsonNode *types = field_get(f, "layer_types");
    if (types == NULL) {
        if (two) {
            int period =
                get_int(f, "sliding_window_pattern", get_int(f, "_sliding_window_pattern", 6));
            pd_model_config_set_period(config, period);
        } else if (s->window > 0) {
            int first = get_int(f, "max_window_layers", 28);
            for (int i = first; i < s->n_layers; i++)
                config->layer_local[i] = TRUE;
        }
        return;
    }
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(types) ? json_node_get_array(types) : NULL;
    if (array == NULL || json_array_get_length(array) != (guint)s->n_layers) {
        complain(f, "layer_types", "does not list num_hidden_layers types");
        return;
    }
    for (int i = 0; i < s->n_layers; i++) {
        JsonNode *node = json_array_get_element(array, (guint)i);
        const char *type = holds(node, G_TYPE_STRING) ? json_node_get_string(node) : "";
        if (strcmp(type, "sliding_attention") == 0)
            config->layer_local[i] = TRUE;
        else if (strcmp(type, "full_attention") != 0)
            complain(f, "layer_types",
                     "has a type that is neither full_attention nor "
                     "sliding_attention");
        /* The period in the shape is for display: that of the first global layer. */
        if (!config->layer_local[i] && s->window_period == 0 && i > 0)
            s->window_period = i + 1;
    }
    if (s->window_period == 2 && !config->layer_local[0])
        s->window_period = 0;
}

/* What changes the numbers and is not implemented must be refused, not ignored. */
static void
read_activation_and_refuse(Fields *f, const PdArch *arch)
{
    gboolean gelu = arch->activation == PD_ACT_GELU_TANH;
    const char *field = gelu ? "hidden_activation" : "hidden_act";
    const char *act = get_text(f, field);
    if (act != NULL && strcmp(act, gelu ? "gelu_pytorch_tanh" : "silu") != 0)
        complain(f, field, "is not the activation of this architecture");
    static const char *const softcaps[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    for (gsize i = 0; i < G_N_ELEMENTS(softcaps); i++) {
        if (field_get(f, softcaps[i]) != NULL)
            complain(f, softcaps[i], "is not supported");
    }
    if (get_bool(f, "mlp_bias", FALSE))
        complain(f, "mlp_bias", "is not supported");
    if (get_bool(f, "use_bidirectional_attention", FALSE))
        complain(f, "use_bidirectional_attention", "is not supported");
    if (field_get(f, "quantization_config") != NULL)
        complain(f, "quantization_config", "is not supported; use a GGUF file");
}

static void
read_shape(Fields *f, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    const PdArch *arch = config->arch;
    g_strlcpy(s->arch, arch->name, sizeof s->arch);
    s->n_layers = get_int(f, "num_hidden_layers", -1);
    s->n_embd = get_int(f, "hidden_size", -1);
    s->n_ff = get_int(f, "intermediate_size", -1);
    s->n_heads = get_int(f, "num_attention_heads", -1);
    s->n_kv_heads = get_int(f, "num_key_value_heads", MAX(s->n_heads, 0));
    s->n_vocab = get_int(f, "vocab_size", -1);
    s->n_ctx_train = get_int(f, "max_position_embeddings", 2048);
    s->rms_eps = (float)get_number(f, "rms_norm_eps", 1e-6);
    int head_dim = arch->hf_head_dim;
    if (head_dim == 0 && s->n_heads > 0) {
        if (field_get(f, "head_dim") == NULL && s->n_embd % s->n_heads != 0)
            complain(f, "hidden_size", "is no multiple of num_attention_heads");
        head_dim = s->n_embd / s->n_heads;
    }
    s->head_dim = get_int(f, "head_dim", head_dim);
    s->rope_kind = PD_ROPE_NEOX;
    s->activation = arch->activation;
    s->embd_scale = arch->flags & PD_ARCH_EMBD_SCALE ? (float)sqrt(s->n_embd) : 1;
    double per = s->head_dim;
    if (arch->flags & PD_ARCH_LOCAL_LAYERS)
        per = get_number(f, "query_pre_attn_scalar", 256);
    s->attn_scale = (float)(1 / sqrt(per));

    gboolean bias = get_bool(f, "attention_bias", FALSE);
    config->qkv_bias = bias || (arch->flags & PD_ARCH_QKV_BIAS) != 0;
    config->o_bias = bias && (arch->flags & PD_ARCH_QKV_BIAS) == 0;
    if (bias && (arch->flags & PD_ARCH_QK_NORM))
        complain(f, "attention_bias", "together with query and key norms is not supported");
    gboolean said = field_get(f, "tie_word_embeddings") != NULL;
    config->tied = get_bool(f, "tie_word_embeddings", (arch->flags & PD_ARCH_HF_TIED) != 0);
    config->untied = said && !config->tied;
    if (s->n_layers < 1 || s->n_layers > 1024 || s->head_dim > 512)
        complain(f, "num_hidden_layers or head_dim", "is out of range");
}

gboolean
pd_hf_config_parse(const char *json, gsize n_bytes, const char *name, PdModelConfig *config,
                   GError **error)
{
    g_autoptr(JsonParser) parser = pd_json_parse_object(json, n_bytes, name, error);
    if (parser == NULL)
        return FALSE;
    g_autoptr(GString) problem = g_string_new(NULL);
    Fields f = {json_node_get_object(json_parser_get_root(parser)), problem};
    const char *type = get_text(&f, "model_type");
    config->arch = type == NULL ? NULL : pd_arch_find_hf(type);
    if (config->arch == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: model_type %.60s is not supported (%s are)", name,
                    type != NULL ? type : "(missing)", pd_arch_names());
        return FALSE;
    }
    JsonObject *text = get_object(&f, "text_config");
    if (text != NULL)
        f.object = text;
    read_shape(&f, config);
    if (problem->len == 0) {
        config->layer_local = g_new0(gboolean, config->shape.n_layers);
        read_layer_types(&f, config);
        read_rope(&f, config);
        read_activation_and_refuse(&f, config->arch);
    }
    if (problem->len > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s", name, problem->str);
        return FALSE;
    }
    return pd_model_config_check(config, name, error);
}

gboolean
pd_hf_config_read(const char *path, PdModelConfig *config, GError **error)
{
    g_autofree char *text = NULL;
    gsize n_bytes;
    g_autoptr(GError) io_error = NULL;
    if (!g_file_get_contents(path, &text, &n_bytes, &io_error)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s", io_error->message);
        return FALSE;
    }
    return pd_hf_config_parse(text, n_bytes, path, config, error);
}
