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
#include "engine/json_fields.h"

/*
 * Llama 3's frequency scaling as divisors of each frequency f: long wavelengths are divided by
 * `factor`, short ones stay, those between are blended.  Source: Llama 3.1's model card and
 * transformers' _compute_llama3_parameters.
 */
static void
set_llama3_rope(PdFields *f, PdModelConfig *config)
{
    double factor = pd_fields_number(f, "factor", 0);
    double low = pd_fields_number(f, "low_freq_factor", 0);
    double high = pd_fields_number(f, "high_freq_factor", 0);
    double context = pd_fields_number(f, "original_max_position_embeddings", 0);
    if (!(factor > 0) || !(low > 0) || !(high > low) || !(context > 0)) {
        pd_fields_complain(f, "rope_scaling",
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
set_rope_scaling(PdFields *f, PdModelConfig *config)
{
    const char *type = pd_fields_text(f, "rope_type");
    if (type == NULL)
        type = pd_fields_text(f, "type");
    if (type == NULL || strcmp(type, "default") == 0)
        return;
    if (strcmp(type, "linear") == 0) {
        pd_model_config_set_linear_rope(config, pd_fields_number(f, "factor", 0));
    } else if (strcmp(type, "llama3") == 0) {
        set_llama3_rope(f, config);
    } else {
        g_autofree char *what = g_strdup_printf("of type %.40s is not supported", type);
        pd_fields_complain(f, "rope_scaling", what);
    }
}

/* Thetas and scaling, from rope_parameters or from rope_theta and rope_scaling. */
static void
read_rope(PdFields *f, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    gboolean two = (config->arch->flags & PD_ARCH_LOCAL_LAYERS) != 0;
    s->rope_theta = (float)pd_fields_number(f, "rope_theta", config->arch->hf_rope_theta);
    s->rope_theta_local =
        two ? (float)pd_fields_number(f, "rope_local_base_freq", 1e4) : s->rope_theta;
    double partial = pd_fields_number(f, "partial_rotary_factor", 1);
    JsonObject *scaling = pd_fields_object(f, "rope_parameters");
    if (scaling == NULL)
        scaling = pd_fields_object(f, "rope_scaling");
    if (scaling != NULL) {
        PdFields p = {scaling, f->problem};
        JsonObject *local = pd_fields_object(&p, "sliding_attention");
        JsonObject *global = pd_fields_object(&p, "full_attention");
        PdFields l = {local != NULL ? local : scaling, f->problem};
        PdFields g = {global != NULL ? global : scaling, f->problem};
        s->rope_theta = (float)pd_fields_number(&g, "rope_theta", s->rope_theta);
        if (local != NULL)
            s->rope_theta_local = (float)pd_fields_number(&l, "rope_theta", s->rope_theta_local);
        else if (!two)
            s->rope_theta_local = s->rope_theta;
        const char *type = local != NULL ? pd_fields_text(&l, "rope_type") : NULL;
        if (type != NULL && strcmp(type, "default") != 0)
            pd_fields_complain(f, "rope_parameters.sliding_attention",
                               "is scaled, which is not supported");
        partial = pd_fields_number(&g, "partial_rotary_factor", partial);
        set_rope_scaling(&g, config);
        /* Without local layers of their own, layers marked as sliding rotate as all others. */
        if (!two && config->rope_factors != NULL && s->window > 0)
            pd_fields_complain(f, "rope_scaling", "together with sliding windows is not supported");
    }
    if (partial != 1)
        pd_fields_complain(f, "partial_rotary_factor", "other than 1 is not supported");
}

/* Which layers are local: layer_types, or the older ways of saying it. */
static void
read_layer_types(PdFields *f, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    gboolean two = (config->arch->flags & PD_ARCH_LOCAL_LAYERS) != 0;
    gboolean sliding = two || pd_fields_bool(f, "use_sliding_window", FALSE);
    s->window = sliding ? pd_fields_int(f, "sliding_window", two ? 4096 : 0) : 0;

    JsonNode *types = pd_fields_get(f, "layer_types");
    if (types == NULL) {
        if (two) {
            int period = pd_fields_int(f, "sliding_window_pattern",
                                       pd_fields_int(f, "_sliding_window_pattern", 6));
            pd_model_config_set_period(config, period);
        } else if (s->window > 0) {
            int first = pd_fields_int(f, "max_window_layers", 28);
            for (int i = first; i < s->n_layers; i++)
                config->layer_local[i] = TRUE;
        }
        return;
    }
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(types) ? json_node_get_array(types) : NULL;
    if (array == NULL || json_array_get_length(array) != (guint)s->n_layers) {
        pd_fields_complain(f, "layer_types", "does not list num_hidden_layers types");
        return;
    }
    for (int i = 0; i < s->n_layers; i++) {
        JsonNode *node = json_array_get_element(array, (guint)i);
        const char *type = pd_fields_holds(node, G_TYPE_STRING) ? json_node_get_string(node) : "";
        if (strcmp(type, "sliding_attention") == 0)
            config->layer_local[i] = TRUE;
        else if (strcmp(type, "full_attention") != 0)
            pd_fields_complain(f, "layer_types",
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
read_activation_and_refuse(PdFields *f, const PdArch *arch)
{
    gboolean gelu = arch->activation == PD_ACT_GELU_TANH;
    const char *field = gelu ? "hidden_activation" : "hidden_act";
    const char *act = pd_fields_text(f, field);
    if (act != NULL && strcmp(act, gelu ? "gelu_pytorch_tanh" : "silu") != 0)
        pd_fields_complain(f, field, "is not the activation of this architecture");
    static const char *const softcaps[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    for (gsize i = 0; i < G_N_ELEMENTS(softcaps); i++) {
        if (pd_fields_get(f, softcaps[i]) != NULL)
            pd_fields_complain(f, softcaps[i], "is not supported");
    }
    if (pd_fields_bool(f, "mlp_bias", FALSE))
        pd_fields_complain(f, "mlp_bias", "is not supported");
    if (pd_fields_bool(f, "use_bidirectional_attention", FALSE))
        pd_fields_complain(f, "use_bidirectional_attention", "is not supported");
    if (pd_fields_get(f, "quantization_config") != NULL)
        pd_fields_complain(f, "quantization_config", "is not supported; use a GGUF file");
}

static void
read_shape(PdFields *f, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    const PdArch *arch = config->arch;
    g_strlcpy(s->arch, arch->name, sizeof s->arch);
    s->n_layers = pd_fields_int(f, "num_hidden_layers", -1);
    s->n_embd = pd_fields_int(f, "hidden_size", -1);
    s->n_ff = pd_fields_int(f, "intermediate_size", -1);
    s->n_heads = pd_fields_int(f, "num_attention_heads", -1);
    s->n_kv_heads = pd_fields_int(f, "num_key_value_heads", MAX(s->n_heads, 0));
    s->n_vocab = pd_fields_int(f, "vocab_size", -1);
    s->n_ctx_train = pd_fields_int(f, "max_position_embeddings", 2048);
    s->rms_eps = (float)pd_fields_number(f, "rms_norm_eps", 1e-6);
    int head_dim = arch->hf_head_dim;
    if (head_dim == 0 && s->n_heads > 0) {
        if (pd_fields_get(f, "head_dim") == NULL && s->n_embd % s->n_heads != 0)
            pd_fields_complain(f, "hidden_size", "is no multiple of num_attention_heads");
        head_dim = s->n_embd / s->n_heads;
    }
    s->head_dim = pd_fields_int(f, "head_dim", head_dim);
    s->rope_kind = PD_ROPE_NEOX;
    s->activation = arch->activation;
    s->embd_scale = arch->flags & PD_ARCH_EMBD_SCALE ? (float)sqrt(s->n_embd) : 1;
    double per = s->head_dim;
    if (arch->flags & PD_ARCH_LOCAL_LAYERS)
        per = pd_fields_number(f, "query_pre_attn_scalar", 256);
    s->attn_scale = (float)(1 / sqrt(per));

    gboolean bias = pd_fields_bool(f, "attention_bias", FALSE);
    config->qkv_bias = bias || (arch->flags & PD_ARCH_QKV_BIAS) != 0;
    config->o_bias = bias && (arch->flags & PD_ARCH_QKV_BIAS) == 0;
    if (bias && (arch->flags & PD_ARCH_QK_NORM))
        pd_fields_complain(f, "attention_bias",
                           "together with query and key norms is not supported");
    gboolean said = pd_fields_get(f, "tie_word_embeddings") != NULL;
    config->tied = pd_fields_bool(f, "tie_word_embeddings", (arch->flags & PD_ARCH_HF_TIED) != 0);
    config->untied = said && !config->tied;
    if (s->n_layers < 1 || s->n_layers > 1024 || s->head_dim > 512)
        pd_fields_complain(f, "num_hidden_layers or head_dim", "is out of range");
}

const char *
pd_hf_model_type(JsonObject *config)
{
    JsonNode *node = json_object_get_member(config, "model_type");
    return node != NULL && pd_fields_holds(node, G_TYPE_STRING) ? json_node_get_string(node) : NULL;
}

gboolean
pd_hf_config_take(JsonObject *object, const char *name, PdModelConfig *config, GError **error)
{
    g_autoptr(GString) problem = g_string_new(NULL);
    PdFields f = {object, problem};
    const char *type = pd_hf_model_type(object);
    config->arch = type == NULL ? NULL : pd_arch_find_hf(type);
    if (config->arch == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: model_type %.60s is not supported (deepseek_v4, %s are)", name,
                    type != NULL ? type : "(missing)", pd_arch_names());
        return FALSE;
    }
    JsonObject *text = pd_fields_object(&f, "text_config");
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
pd_hf_config_parse(const char *json, gsize n_bytes, const char *name, PdModelConfig *config,
                   GError **error)
{
    g_autoptr(JsonParser) parser = pd_json_parse_object(json, n_bytes, name, error);
    return parser != NULL && pd_hf_config_take(pd_json_object(parser), name, config, error);
}
