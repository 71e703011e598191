/*
 * The tables of arch.h.  Sources: the GGUF specification and gguf-py's tensor names; the
 * configuration classes and checkpoints of Hugging Face transformers (Qwen2, Llama, Qwen3,
 * Gemma 3).
 */
#include "engine/arch.h"
#include <math.h>
#include <string.h>
#include "engine/error.h"

static const PdArch archs[] = {
    {"gemma3", "gemma3_text",
     PD_ARCH_QK_NORM | PD_ARCH_POST_NORM | PD_ARCH_HF_NORM_PLUS_1 | PD_ARCH_EMBD_SCALE |
         PD_ARCH_LOCAL_LAYERS | PD_ARCH_HF_TIED,
     PD_ROPE_NEOX, PD_ACT_GELU_TANH, 256, 1e6f},
    {"llama", "llama", 0, PD_ROPE_PAIRS, PD_ACT_SILU, 0, 1e4f},
    {"qwen2", "qwen2", PD_ARCH_QKV_BIAS, PD_ROPE_NEOX, PD_ACT_SILU, 0, 1e4f},
    {"qwen3", "qwen3", PD_ARCH_QK_NORM, PD_ROPE_NEOX, PD_ACT_SILU, 128, 1e4f},
};

#define AT(member) G_STRUCT_OFFSET(PdLayer, member)
#define QK PD_ARCH_QK_NORM
#define POST PD_ARCH_POST_NORM

const PdLayerTensor pd_layer_tensors[] = {
    {AT(attn_norm), "attn_norm.weight", "input_layernorm.weight", PD_DIM_1, PD_DIM_EMBD,
     .is_vector = TRUE, .is_norm = TRUE},
    {AT(wq), "attn_q.weight", "self_attn.q_proj.weight", PD_DIM_Q, PD_DIM_EMBD},
    {AT(wk), "attn_k.weight", "self_attn.k_proj.weight", PD_DIM_KV, PD_DIM_EMBD},
    {AT(wv), "attn_v.weight", "self_attn.v_proj.weight", PD_DIM_KV, PD_DIM_EMBD},
    {AT(wo), "attn_output.weight", "self_attn.o_proj.weight", PD_DIM_EMBD, PD_DIM_Q},
    {AT(bq), "attn_q.bias", "self_attn.q_proj.bias", PD_DIM_1, PD_DIM_Q, .is_vector = TRUE,
     .is_bias = TRUE},
    {AT(bk), "attn_k.bias", "self_attn.k_proj.bias", PD_DIM_1, PD_DIM_KV, .is_vector = TRUE,
     .is_bias = TRUE},
    {AT(bv), "attn_v.bias", "self_attn.v_proj.bias", PD_DIM_1, PD_DIM_KV, .is_vector = TRUE,
     .is_bias = TRUE},
    {AT(bo), "attn_output.bias", "self_attn.o_proj.bias", PD_DIM_1, PD_DIM_EMBD, .is_vector = TRUE,
     .is_bias = TRUE},
    {AT(q_norm), "attn_q_norm.weight", "self_attn.q_norm.weight", PD_DIM_1, PD_DIM_HEAD, QK,
     .is_vector = TRUE, .is_norm = TRUE},
    {AT(k_norm), "attn_k_norm.weight", "self_attn.k_norm.weight", PD_DIM_1, PD_DIM_HEAD, QK,
     .is_vector = TRUE, .is_norm = TRUE},
    {AT(attn_post_norm), "post_attention_norm.weight", "post_attention_layernorm.weight", PD_DIM_1,
     PD_DIM_EMBD, POST, .is_vector = TRUE, .is_norm = TRUE},
    {AT(ffn_norm), "ffn_norm.weight", "post_attention_layernorm.weight", PD_DIM_1, PD_DIM_EMBD, 0,
     POST, .is_vector = TRUE, .is_norm = TRUE},
    {AT(ffn_norm), "ffn_norm.weight", "pre_feedforward_layernorm.weight", PD_DIM_1, PD_DIM_EMBD,
     POST, .is_vector = TRUE, .is_norm = TRUE},
    {AT(w_gate), "ffn_gate.weight", "mlp.gate_proj.weight", PD_DIM_FF, PD_DIM_EMBD},
    {AT(w_up), "ffn_up.weight", "mlp.up_proj.weight", PD_DIM_FF, PD_DIM_EMBD},
    {AT(w_down), "ffn_down.weight", "mlp.down_proj.weight", PD_DIM_EMBD, PD_DIM_FF},
    {AT(ffn_post_norm), "post_ffw_norm.weight", "post_feedforward_layernorm.weight", PD_DIM_1,
     PD_DIM_EMBD, POST, .is_vector = TRUE, .is_norm = TRUE},
};
const gsize pd_n_layer_tensors = G_N_ELEMENTS(pd_layer_tensors);

int
pd_dim_extent(const PdModelShape *s, PdDim dim)
{
    switch (dim) {
    case PD_DIM_1:
        return 1;
    case PD_DIM_EMBD:
        return s->n_embd;
    case PD_DIM_FF:
        return s->n_ff;
    case PD_DIM_Q:
        return s->n_heads * s->head_dim;
    case PD_DIM_KV:
        return s->n_kv_heads * s->head_dim;
    case PD_DIM_HEAD:
        return s->head_dim;
    }
    g_assert_not_reached();
}

const PdArch *
pd_arch_find_gguf(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    }
    return NULL;
}

const PdArch *
pd_arch_find_hf(const char *model_type)
{
    /* "gemma3" is the same text model inside a vision one. */
    if (strcmp(model_type, "gemma3") == 0)
        model_type = "gemma3_text";
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        if (strcmp(archs[i].hf_model_type, model_type) == 0)
            return &archs[i];
    }
    return NULL;
}

const char *
pd_arch_names(void)
{
    return "gemma3, llama, qwen2, qwen3";
}

void
pd_model_config_clear(PdModelConfig *config)
{
    g_clear_pointer(&config->layer_local, g_free);
    g_clear_pointer(&config->rope_factors, g_free);
}

void
pd_model_config_set_period(PdModelConfig *config, int period)
{
    PdModelShape *s = &config->shape;
    s->window_period = period;
    for (int i = 0; i < s->n_layers; i++)
        config->layer_local[i] = period > 0 && (i + 1) % period != 0;
}

void
pd_model_config_set_linear_rope(PdModelConfig *config, double factor)
{
    int n = config->shape.head_dim / 2;
    g_free(config->rope_factors);
    config->rope_factors = g_new(float, n);
    for (int i = 0; i < n; i++)
        config->rope_factors[i] = (float)factor;
}

gboolean
pd_model_config_check(const PdModelConfig *config, const char *where, GError **error)
{
    const PdModelShape *s = &config->shape;
    const struct {
        const char *name;
        int value, max;
    } counts[] = {
        {"number of layers", s->n_layers, 1024},     {"embedding length", s->n_embd, 1 << 17},
        {"feed-forward length", s->n_ff, 1 << 20},   {"number of heads", s->n_heads, 1024},
        {"number of KV heads", s->n_kv_heads, 1024}, {"head dimension", s->head_dim, 512},
        {"vocabulary size", s->n_vocab, 1 << 24},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        if (counts[i].value < 1 || counts[i].value > counts[i].max) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                        "%s: %s is %d, outside 1..%d", where, counts[i].name, counts[i].value,
                        counts[i].max);
            return FALSE;
        }
    }
    const char *what = NULL;
    if (s->n_heads % s->n_kv_heads != 0)
        what = "the number of heads is no multiple of the number of KV heads";
    else if (s->head_dim % 2 != 0)
        what = "the head dimension is odd";
    else if (!(s->rms_eps > 0) || !isfinite(s->rms_eps))
        what = "the RMS norm's epsilon is not positive";
    else if (!(s->rope_theta > 0) || !isfinite(s->rope_theta) || !(s->rope_theta_local > 0) ||
             !isfinite(s->rope_theta_local))
        what = "a RoPE theta is not positive";
    else if (!(s->attn_scale > 0) || !isfinite(s->attn_scale))
        what = "the attention scale is not positive";
    else if (s->window < 0 || s->n_ctx_train < 1)
        what = "the window or the context length is not positive";
    for (int i = 0; what == NULL && config->rope_factors != NULL && i < s->head_dim / 2; i++) {
        if (!(config->rope_factors[i] > 0) || !isfinite(config->rope_factors[i]))
            what = "a RoPE scaling factor is not positive";
    }
    for (int i = 0; what == NULL && i < s->n_layers; i++) {
        if (config->layer_local[i] && s->window == 0)
            what = "sliding window layers without a window";
    }
    if (what != NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s", where, what);
        return FALSE;
    }
    return TRUE;
}
