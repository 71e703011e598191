/*
 * A model: weights on a device, shape, tokenizer, chat family.
 *
 * One table-driven description serves qwen2, llama, qwen3 and gemma3: what differs between them is
 * data (PdModelShape, PdLayer with absent members), not code.  Loads GGUF v2/v3 and Hugging Face
 * folders (config.json + safetensors F32/F16/BF16, sharded or not, tokenizer.json).  Folders of the
 * DeepSeek-V4 family, also in FP8 and FP4, have weights and passes of their own (engine/deepseek/),
 * and so have its GGUF files.
 */
#ifndef PD_MODEL_H
#define PD_MODEL_H

#include <gio/gio.h>
#include "engine/chat.h"
#include "engine/deepseek/shape.h"
#include "engine/tokenizer.h"
#include "kernels/kernels.h"

typedef struct {
    char arch[16];
    int n_layers;
    int n_embd;
    int n_ff;
    int n_heads;
    int n_kv_heads;
    int head_dim;
    int n_vocab;
    int n_ctx_train;
    int window;        /* sliding window of the local layers, 0: none */
    int window_period; /* gemma3: layer i is global if (i+1) % period == 0; 0: all global */
    float rms_eps;
    float rope_theta;       /* global layers */
    float rope_theta_local; /* local layers (gemma3); = rope_theta elsewhere */
    PdRopeKind rope_kind;
    float embd_scale; /* gemma: sqrt(n_embd), else 1 */
    float attn_scale; /* usually 1/sqrt(head_dim) */
    PdActivation activation;
} PdModelShape;

/* Absent weights have mem.buffer == NULL. Shapes as (n_rows, n_cols). */
typedef struct {
    PdWeight attn_norm;            /* n_embd */
    PdWeight wq, wk, wv, wo;       /* (n_heads*head_dim, n_embd) ... (n_embd, n_heads*head_dim) */
    PdWeight bq, bk, bv, bo;       /* F32 */
    PdWeight q_norm, k_norm;       /* head_dim; qwen3, gemma3 */
    PdWeight attn_post_norm;       /* gemma3 */
    PdWeight ffn_norm;             /* n_embd */
    PdWeight w_gate, w_up, w_down; /* (n_ff, n_embd) x2, (n_embd, n_ff) */
    PdWeight ffn_post_norm;        /* gemma3 */
    gboolean local;                /* sliding window layer */
} PdLayer;

typedef struct PdModel PdModel;

typedef struct {
    int n_threads;   /* 0: all cores this process may use */
    const char *isa; /* NULL: the best of this CPU; see pd_cpu_device_new */
} PdModelOptions;

/* `path`: a .gguf file or a folder with config.json.  Free with pd_model_unref. */
PdModel *pd_model_open(const char *path, const PdModelOptions *options, GError **error);
PdModel *pd_model_ref(PdModel *model);
void pd_model_unref(PdModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdModel, pd_model_unref)

const PdModelShape *pd_model_shape(const PdModel *model);
/* What a model of the DeepSeek-V4 family is made of; NULL: another one.  Its PdLayers have no
 * weights. */
const PdDsShape *pd_model_deepseek(const PdModel *model);
const PdLayer *pd_model_layer(const PdModel *model, int layer);
PdDevice *pd_model_device(const PdModel *model);
/* NULL if the folder or file holds none, or one of a kind not handled here (then only `model
 * logits` works). */
PdTokenizer *pd_model_tokenizer(const PdModel *model);
/* Why there is no tokenizer, in one line; NULL if there is one. */
const char *pd_model_tokenizer_problem(const PdModel *model);
PdChatFamily pd_model_chat(const PdModel *model);
const char *pd_model_name(const PdModel *model); /* general.name or the file's name */
const char *pd_model_path(const PdModel *model);
guint64 pd_model_weight_bytes(const PdModel *model);
/* Hex SHA-256 over tensor names, shapes, types and data (cached in the XDG cache folder,
 * pandect/model-ids/, by file identity: path, size, mtime, inode) and over the shape above: the
 * identity of the numbers this model makes.  Owned by the model. */
const char *pd_model_id(PdModel *model, GCancellable *cancellable, GError **error);

#endif
