/*
 * The architectures as data.  One row per architecture says how its files name things and which of
 * the optional parts it has; one table of tensors says where each weight is found in a GGUF file
 * and in a Hugging Face folder.  Nothing else in engine/ asks which architecture it runs.
 */
#ifndef PD_ARCH_H
#define PD_ARCH_H

#include "engine/model.h"

typedef enum {
    PD_ARCH_QK_NORM = 1 << 0,        /* RMS norm of every query and key head */
    PD_ARCH_POST_NORM = 1 << 1,      /* norms after attention and feed-forward too */
    PD_ARCH_HF_NORM_PLUS_1 = 1 << 2, /* Hugging Face stores w and uses 1 + w */
    PD_ARCH_QKV_BIAS = 1 << 3,       /* always has query, key and value biases */
    PD_ARCH_EMBD_SCALE = 1 << 4,     /* embeddings times sqrt(n_embd) */
    PD_ARCH_LOCAL_LAYERS = 1 << 5,   /* alternates local and global layers, two RoPE thetas */
    PD_ARCH_HF_TIED = 1 << 6,        /* tie_word_embeddings defaults to true */
} PdArchFlags;

typedef struct {
    const char *name;          /* general.architecture of GGUF files */
    const char *hf_model_type; /* model_type of config.json */
    guint flags;               /* PdArchFlags */
    PdRopeKind gguf_rope_kind; /* Hugging Face checkpoints are all half-split (NEOX) */
    PdActivation activation;
    int hf_head_dim;     /* default of config.json, 0: hidden_size / heads */
    float hf_rope_theta; /* default of config.json */
} PdArch;

const PdArch *pd_arch_find_gguf(const char *name);
const PdArch *pd_arch_find_hf(const char *model_type);
/* "gemma3, llama, qwen2, qwen3", for messages. */
const char *pd_arch_names(void);

/* Which of a model's numbers is one extent of a tensor. */
typedef enum { PD_DIM_1, PD_DIM_EMBD, PD_DIM_FF, PD_DIM_Q, PD_DIM_KV, PD_DIM_HEAD } PdDim;

int pd_dim_extent(const PdModelShape *shape, PdDim dim);

typedef struct {
    gsize offset;     /* of the PdWeight in PdLayer */
    const char *gguf; /* after "blk.N." */
    const char *hf;   /* after "model.layers.N." */
    PdDim rows, cols;
    guint needs;        /* flags that the architecture must have for this tensor to exist, 0: all */
    guint never;        /* flags with which this row does not hold */
    gboolean is_vector; /* norm or bias: converted to F32 */
    gboolean is_norm;
    gboolean is_bias; /* optional unless the configuration demands it */
} PdLayerTensor;

extern const PdLayerTensor pd_layer_tensors[];
extern const gsize pd_n_layer_tensors;

/* What a file says about a model, from either format. */
typedef struct {
    const PdArch *arch;
    PdModelShape shape;
    gboolean *layer_local; /* (n_layers) */
    float *rope_factors;   /* (head_dim/2) divisors of the global layers' frequencies, or NULL */
    gboolean qkv_bias;     /* the file must have them */
    gboolean o_bias;
    gboolean untied; /* the output matrix must be there */
    gboolean tied;   /* an output matrix that is there is not used */
} PdModelConfig;

void pd_model_config_clear(PdModelConfig *config);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdModelConfig, pd_model_config_clear)

/* Bounds and agreement of the numbers; `where` starts the message. */
gboolean pd_model_config_check(const PdModelConfig *config, const char *where, GError **error);
/* Layer i is local unless (i + 1) is a multiple of the period; period 0: all global. */
void pd_model_config_set_period(PdModelConfig *config, int period);
/* Every frequency divided by `factor`. */
void pd_model_config_set_linear_rope(PdModelConfig *config, double factor);

/* "model_type" of a config.json; NULL: it says none. */
const char *pd_hf_model_type(JsonObject *config);
gboolean pd_hf_config_take(JsonObject *object, const char *name, PdModelConfig *config,
                           GError **error);
gboolean pd_hf_config_parse(const char *json, gsize n_bytes, const char *name,
                            PdModelConfig *config, GError **error);
gboolean pd_gguf_config_read(const PdGguf *gguf, const char *name, PdModelConfig *config,
                             GError **error);

#endif
