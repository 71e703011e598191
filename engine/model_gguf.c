/*
 * A model's shape from GGUF metadata.  Keys: the GGUF specification; the gemma3 ones that it does
 * not list (sliding window, its pattern, local RoPE base) from gguf-py's constants.
 */
#include <math.h>
#include <string.h>
#include "engine/arch.h"
#include "engine/error.h"

typedef struct {
    const PdGguf *gguf;
    const char *arch;
    GString *problem; /* the first key that is missing or senseless */
} Keys;

static char *
key_name(const Keys *k, const char *suffix)
{
    return g_strdup_printf("%s.%s", k->arch, suffix);
}

static int
get_int(Keys *k, const char *suffix, int fallback)
{
    g_autofree char *key = key_name(k, suffix);
    guint64 value;
    if (!pd_gguf_get_u64(k->gguf, key, &value)) {
        if (fallback < 0 && k->problem->len == 0)
            g_string_printf(k->problem, "%s is missing", key);
        return fallback;
    }
    if (value > G_MAXINT32) {
        if (k->problem->len == 0)
            g_string_printf(k->problem, "%s is %" G_GUINT64_FORMAT, key, value);
        return 0;
    }
    return (int)value;
}

static double
get_number(Keys *k, const char *suffix, double fallback)
{
    g_autofree char *key = key_name(k, suffix);
    double value;
    return pd_gguf_get_f64(k->gguf, key, &value) ? value : fallback;
}

/* The feed-forward length and head counts may be arrays, one a layer; only equal ones are run. */
static int
get_per_layer_int(Keys *k, const char *suffix, int fallback)
{
    g_autofree char *key = key_name(k, suffix);
    gsize n = pd_gguf_array_len(k->gguf, key);
    if (n == 0)
        return get_int(k, suffix, fallback);
    gint64 first = 0, value = 0;
    gboolean same = pd_gguf_array_i64(k->gguf, key, 0, &first) && first > 0 && first <= G_MAXINT32;
    for (gsize i = 1; same && i < n; i++)
        same = pd_gguf_array_i64(k->gguf, key, i, &value) && value == first;
    if (!same && k->problem->len == 0)
        g_string_printf(k->problem, "%s differs between layers, which is not supported", key);
    return same ? (int)first : 0;
}

static void
read_rope(Keys *k, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    gboolean two = (config->arch->flags & PD_ARCH_LOCAL_LAYERS) != 0;
    s->rope_theta = (float)get_number(k, "rope.freq_base", 1e4);
    s->rope_theta_local = two ? (float)get_number(k, "rope.freq_base_swa", 1e4) : s->rope_theta;
    int n_rot = get_int(k, "rope.dimension_count", s->head_dim);
    if (n_rot != s->head_dim && k->problem->len == 0)
        g_string_printf(k->problem,
                        "%s.rope.dimension_count is %d, heads have %d (partial "
                        "rotation is not supported)",
                        k->arch, n_rot, s->head_dim);

    g_autofree char *key = key_name(k, "rope.scaling.type");
    const char *type = pd_gguf_get_string(k->gguf, key, NULL);
    double factor = get_number(k, "rope.scaling.factor", 1);
    if (type != NULL && strcmp(type, "linear") == 0) {
        pd_model_config_set_linear_rope(config, factor);
    } else if (type != NULL && strcmp(type, "none") != 0 && k->problem->len == 0) {
        g_string_printf(k->problem, "%s %.40s is not supported", key, type);
    }
}

/* Gemma 3's files give the window; that every sixth layer is global is the architecture's. */
static void
read_window(Keys *k, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    if (!(config->arch->flags & PD_ARCH_LOCAL_LAYERS))
        return;
    s->window = get_int(k, "attention.sliding_window", 0);
    g_autofree char *key = key_name(k, "attention.sliding_window_pattern");
    gsize n = pd_gguf_array_len(k->gguf, key);
    if (n == 0) {
        pd_model_config_set_period(
            config, s->window > 0 ? get_int(k, "attention.sliding_window_pattern", 6) : 0);
        return;
    }
    for (int i = 0; i < s->n_layers; i++) {
        gint64 local;
        if (!pd_gguf_array_i64(k->gguf, key, (gsize)i, &local)) {
            if (k->problem->len == 0)
                g_string_printf(k->problem, "%s is too short", key);
            return;
        }
        config->layer_local[i] = local != 0;
        if (!local && s->window_period == 0 && i > 0)
            s->window_period = i + 1;
    }
}

static void
read_shape(Keys *k, PdModelConfig *config)
{
    PdModelShape *s = &config->shape;
    g_strlcpy(s->arch, config->arch->name, sizeof s->arch);
    s->n_layers = get_int(k, "block_count", -1);
    s->n_embd = get_int(k, "embedding_length", -1);
    s->n_ff = get_per_layer_int(k, "feed_forward_length", -1);
    s->n_heads = get_per_layer_int(k, "attention.head_count", -1);
    s->n_kv_heads = get_per_layer_int(k, "attention.head_count_kv", MAX(s->n_heads, 0));
    s->n_ctx_train = get_int(k, "context_length", -1);
    s->rms_eps = (float)get_number(k, "attention.layer_norm_rms_epsilon", 1e-6);
    gboolean divides = s->n_heads > 0 && s->n_embd % s->n_heads == 0;
    s->head_dim = get_int(k, "attention.key_length", divides ? s->n_embd / s->n_heads : -1);
    int value_length = get_int(k, "attention.value_length", s->head_dim);
    if (value_length != s->head_dim && k->problem->len == 0)
        g_string_printf(k->problem,
                        "%s.attention.value_length differs from key_length, which is "
                        "not supported",
                        k->arch);
    if (get_int(k, "expert_count", 0) > 0 && k->problem->len == 0)
        g_string_printf(k->problem, "%s.expert_count: mixtures of experts are not supported",
                        k->arch);
    s->rope_kind = config->arch->gguf_rope_kind;
    s->activation = config->arch->activation;
    s->embd_scale = config->arch->flags & PD_ARCH_EMBD_SCALE ? (float)sqrt(s->n_embd) : 1;
    /* Gemma 3 27B alone scales by the embedding's share of a head; its files do not say so, and
     * only it has 62 layers. */
    gboolean by_embd = (config->arch->flags & PD_ARCH_LOCAL_LAYERS) && s->n_layers == 62;
    double per = by_embd && s->n_heads > 0 ? (double)s->n_embd / s->n_heads : s->head_dim;
    double scale = get_number(k, "attention.scale", 0);
    s->attn_scale = (float)(scale > 0 ? scale : 1 / sqrt(per));
    config->qkv_bias = (config->arch->flags & PD_ARCH_QKV_BIAS) != 0;
}

/* The embedding's rows are the vocabulary; rope_freqs.weight holds Llama 3's divisors. */
static gboolean
read_from_tensors(const PdGguf *gguf, const char *name, PdModelConfig *config, GError **error)
{
    PdModelShape *s = &config->shape;
    const PdGgufTensor *embd = pd_gguf_find_tensor(gguf, "token_embd.weight");
    if (embd == NULL || embd->n_dims != 2) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: tensor token_embd.weight is missing or no matrix", name);
        return FALSE;
    }
    s->n_vocab = (int)MIN(embd->dims[1], G_MAXINT32);
    const PdGgufTensor *freqs = pd_gguf_find_tensor(gguf, "rope_freqs.weight");
    if (freqs == NULL)
        return TRUE;
    if (freqs->type != PD_F32 || freqs->n_dims != 1 || freqs->dims[0] != (guint64)s->head_dim / 2 ||
        freqs->n_bytes != freqs->dims[0] * sizeof(float)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: tensor rope_freqs.weight is not one F32 per pair of head dimensions",
                    name);
        return FALSE;
    }
    g_free(config->rope_factors);
    config->rope_factors = g_memdup2(freqs->data, freqs->n_bytes);
    return TRUE;
}

gboolean
pd_gguf_config_read(const PdGguf *gguf, const char *name, PdModelConfig *config, GError **error)
{
    const char *arch = pd_gguf_get_string(gguf, "general.architecture", NULL);
    config->arch = arch != NULL ? pd_arch_find_gguf(arch) : NULL;
    if (config->arch == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: general.architecture %.60s is not supported (deepseek4, %s are)", name,
                    arch != NULL ? arch : "(missing)", pd_arch_names());
        return FALSE;
    }
    g_autoptr(GString) problem = g_string_new(NULL);
    Keys k = {gguf, config->arch->name, problem};
    read_shape(&k, config);
    PdModelShape *s = &config->shape;
    if (problem->len == 0 &&
        (s->n_layers < 1 || s->n_layers > 1024 || s->head_dim < 2 || s->head_dim > 512))
        g_string_printf(problem, "%s.block_count or head dimension out of range", k.arch);
    if (problem->len == 0) {
        config->layer_local = g_new0(gboolean, s->n_layers);
        read_window(&k, config);
        read_rope(&k, config);
    }
    if (problem->len > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s", name, problem->str);
        return FALSE;
    }
    return read_from_tensors(gguf, name, config, error) &&
           pd_model_config_check(config, name, error);
}
