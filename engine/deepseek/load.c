/*
 * Finding the tensors of a DeepSeek-V4 checkpoint.  In safetensors three ways of naming them are in
 * use (section 8.1): DeepSeek's own, the one of transformers, and what save_pretrained of
 * transformers writes; GGUF files have names of their own (section 9).  One table per level says
 * for each tensor all its names, its shape and which layers have it.
 *
 * Invariant: after pd_ds_model_new every tensor that the shape's schedule asks for is there with
 * exactly the shape that follows from the configuration, and every expert id in range.
 */
#include <math.h>
#include <string.h>
#include "engine/deepseek/weights.h"
#include "engine/error.h"
#include "engine/gguf.h"
#include "engine/safetensors.h"

#define FP4_SCALE_COLS 32

typedef struct {
    PdDsModel *model;
    const GPtrArray *shards;
    GHashTable *gguf; /* name to PdSafetensor, of a GGUF file's tensors; else NULL */
    const char *path;
} Loader;

/* --- the tables --- */

typedef enum {
    DIM_1, /* rows of a vector */
    DIM_3,
    DIM_VOCAB,
    DIM_EMBD,
    DIM_STREAMS, /* all residual streams of a token, end to end */
    DIM_HC,
    DIM_MIX,
    DIM_Q_RANK,
    DIM_HEADS,
    DIM_Q,
    DIM_HEAD,
    DIM_GROUP,
    DIM_O_RANK,
    DIM_RATIO,
    DIM_ENTRY, /* a compressor's projection */
    DIM_INDEX_HEADS,
    DIM_INDEX_Q,
    DIM_INDEX_HEAD,
    DIM_INDEX_ENTRY,
    DIM_EXPERTS,
    DIM_FF,
} Dim;

typedef enum { ALL_LAYERS, COMPRESSED, INDEXED, SCORED } Where;

typedef struct {
    gsize offset; /* of a float pointer (rows DIM_1) or a PdDsMatrix */
    Dim rows, cols;
    Where where;
    const char *names[4]; /* of safetensors; NULL: no further one */
} Tensor;

#define MODEL(member) G_STRUCT_OFFSET(PdDsModel, member)
#define LAYER(member) G_STRUCT_OFFSET(PdDsLayer, member)
#define EXPERT(member) G_STRUCT_OFFSET(PdDsExpert, member)

/* After "" or "model.". */
static const Tensor model_tensors[] = {
    {MODEL(embed), DIM_VOCAB, DIM_EMBD, 0, {"embed.weight", "embed_tokens.weight"}},
    {MODEL(head), DIM_VOCAB, DIM_EMBD, 0, {"head.weight", "lm_head.weight"}},
    {MODEL(norm), DIM_1, DIM_EMBD, 0, {"norm.weight"}},
    {MODEL(head_site.fn), DIM_HC, DIM_STREAMS, 0, {"hc_head_fn", "hc_head.hc_fn"}},
    {MODEL(head_site.base), DIM_1, DIM_HC, 0, {"hc_head_base", "hc_head.hc_base"}},
    {MODEL(head_site.scale), DIM_1, DIM_1, 0, {"hc_head_scale", "hc_head.hc_scale"}},
};

/* After "mtp.0.", beside the tensors of a layer. */
static const Tensor draft_tensors[] = {
    {MODEL(draft.e_proj), DIM_EMBD, DIM_EMBD, 0, {"e_proj.weight"}},
    {MODEL(draft.h_proj), DIM_EMBD, DIM_EMBD, 0, {"h_proj.weight"}},
    {MODEL(draft.enorm), DIM_1, DIM_EMBD, 0, {"enorm.weight"}},
    {MODEL(draft.hnorm), DIM_1, DIM_EMBD, 0, {"hnorm.weight"}},
    {MODEL(draft.norm), DIM_1, DIM_EMBD, 0, {"norm.weight"}},
    {MODEL(draft.head_site.fn), DIM_HC, DIM_STREAMS, 0, {"hc_head_fn"}},
    {MODEL(draft.head_site.base), DIM_1, DIM_HC, 0, {"hc_head_base"}},
    {MODEL(draft.head_site.scale), DIM_1, DIM_1, 0, {"hc_head_scale"}},
};

/* After "layers.N.". */
static const Tensor layer_tensors[] = {
    {LAYER(attn_norm), DIM_1, DIM_EMBD, 0, {"attn_norm.weight", "input_layernorm.weight"}},
    {LAYER(ffn_norm), DIM_1, DIM_EMBD, 0, {"ffn_norm.weight", "post_attention_layernorm.weight"}},
    {LAYER(attn_site.fn), DIM_MIX, DIM_STREAMS, 0, {"hc_attn_fn", "attn_hc.fn"}},
    {LAYER(attn_site.base), DIM_1, DIM_MIX, 0, {"hc_attn_base", "attn_hc.base"}},
    {LAYER(attn_site.scale), DIM_1, DIM_3, 0, {"hc_attn_scale", "attn_hc.scale"}},
    {LAYER(ffn_site.fn), DIM_MIX, DIM_STREAMS, 0, {"hc_ffn_fn", "ffn_hc.fn"}},
    {LAYER(ffn_site.base), DIM_1, DIM_MIX, 0, {"hc_ffn_base", "ffn_hc.base"}},
    {LAYER(ffn_site.scale), DIM_1, DIM_3, 0, {"hc_ffn_scale", "ffn_hc.scale"}},
    {LAYER(sink), DIM_1, DIM_HEADS, 0, {"attn.attn_sink", "self_attn.sinks"}},
    {LAYER(wq_a), DIM_Q_RANK, DIM_EMBD, 0, {"attn.wq_a.weight", "self_attn.q_a_proj.weight"}},
    {LAYER(q_norm), DIM_1, DIM_Q_RANK, 0, {"attn.q_norm.weight", "self_attn.q_a_norm.weight"}},
    {LAYER(wq_b), DIM_Q, DIM_Q_RANK, 0, {"attn.wq_b.weight", "self_attn.q_b_proj.weight"}},
    {LAYER(wkv), DIM_HEAD, DIM_EMBD, 0, {"attn.wkv.weight", "self_attn.kv_proj.weight"}},
    {LAYER(kv_norm),
     DIM_1,
     DIM_HEAD,
     0,
     {"attn.kv_norm.weight", "self_attn.kv_norm.weight", "attn.norm.weight"}},
    {LAYER(wo_a), DIM_O_RANK, DIM_GROUP, 0, {"attn.wo_a.weight", "self_attn.o_a_proj.weight"}},
    {LAYER(wo_b), DIM_EMBD, DIM_O_RANK, 0, {"attn.wo_b.weight", "self_attn.o_b_proj.weight"}},
    {LAYER(compressor.wkv),
     DIM_ENTRY,
     DIM_EMBD,
     COMPRESSED,
     {"attn.compressor.wkv.weight", "self_attn.compressor.kv_proj.weight"}},
    {LAYER(compressor.wgate),
     DIM_ENTRY,
     DIM_EMBD,
     COMPRESSED,
     {"attn.compressor.wgate.weight", "self_attn.compressor.gate_proj.weight"}},
    {LAYER(compressor.ape),
     DIM_RATIO,
     DIM_ENTRY,
     COMPRESSED,
     {"attn.compressor.ape", "self_attn.compressor.position_bias"}},
    {LAYER(compressor.norm),
     DIM_1,
     DIM_HEAD,
     COMPRESSED,
     {"attn.compressor.norm.weight", "self_attn.compressor.kv_norm.weight"}},
    {LAYER(index_wq_b),
     DIM_INDEX_Q,
     DIM_Q_RANK,
     INDEXED,
     {"attn.indexer.wq_b.weight", "self_attn.compressor.indexer.q_b_proj.weight"}},
    {LAYER(index_weights),
     DIM_INDEX_HEADS,
     DIM_EMBD,
     INDEXED,
     {"attn.indexer.weights_proj.weight", "self_attn.compressor.indexer.weights_proj.weight",
      "self_attn.compressor.indexer.scorer.weights_proj.weight"}},
    {LAYER(index_compressor.wkv),
     DIM_INDEX_ENTRY,
     DIM_EMBD,
     INDEXED,
     {"attn.indexer.compressor.wkv.weight", "self_attn.compressor.indexer.kv_proj.weight"}},
    {LAYER(index_compressor.wgate),
     DIM_INDEX_ENTRY,
     DIM_EMBD,
     INDEXED,
     {"attn.indexer.compressor.wgate.weight", "self_attn.compressor.indexer.gate_proj.weight"}},
    {LAYER(index_compressor.ape),
     DIM_RATIO,
     DIM_INDEX_ENTRY,
     INDEXED,
     {"attn.indexer.compressor.ape", "self_attn.compressor.indexer.position_bias"}},
    {LAYER(index_compressor.norm),
     DIM_1,
     DIM_INDEX_HEAD,
     INDEXED,
     {"attn.indexer.compressor.norm.weight", "self_attn.compressor.indexer.kv_norm.weight"}},
    {LAYER(gate), DIM_EXPERTS, DIM_EMBD, 0, {"ffn.gate.weight", "mlp.gate.weight"}},
    {LAYER(gate_bias),
     DIM_1,
     DIM_EXPERTS,
     SCORED,
     {"ffn.gate.bias", "mlp.gate.e_score_correction_bias"}},
    {LAYER(shared.w1),
     DIM_FF,
     DIM_EMBD,
     0,
     {"ffn.shared_experts.w1.weight", "mlp.shared_experts.gate_proj.weight"}},
    {LAYER(shared.w3),
     DIM_FF,
     DIM_EMBD,
     0,
     {"ffn.shared_experts.w3.weight", "mlp.shared_experts.up_proj.weight"}},
    {LAYER(shared.w2),
     DIM_EMBD,
     DIM_FF,
     0,
     {"ffn.shared_experts.w2.weight", "mlp.shared_experts.down_proj.weight"}},
};

/* After "layers.N.", with the expert's number between the two words. */
static const struct {
    gsize offset;
    Dim rows, cols;
    const char *ours, *hf;
} expert_tensors[] = {
    {EXPERT(w1), DIM_FF, DIM_EMBD, "w1", "gate_proj"},
    {EXPERT(w3), DIM_FF, DIM_EMBD, "w3", "up_proj"},
    {EXPERT(w2), DIM_EMBD, DIM_FF, "w2", "down_proj"},
};

/* DeepSeek's names and those of GGUF files, where a layer's come after "blk.N." and one tensor has
 * a matrix of all experts. */
static const struct {
    const char *ours, *gguf;
} gguf_names[] = {
    {"embed.weight", "token_embd.weight"},
    {"head.weight", "output.weight"},
    {"norm.weight", "output_norm.weight"},
    {"hc_head_fn", "output_hc_fn.weight"},
    {"hc_head_base", "output_hc_base.weight"},
    {"hc_head_scale", "output_hc_scale.weight"},
    {"attn_norm.weight", "attn_norm.weight"},
    {"ffn_norm.weight", "ffn_norm.weight"},
    {"hc_attn_fn", "hc_attn_fn.weight"},
    {"hc_attn_base", "hc_attn_base.weight"},
    {"hc_attn_scale", "hc_attn_scale.weight"},
    {"hc_ffn_fn", "hc_ffn_fn.weight"},
    {"hc_ffn_base", "hc_ffn_base.weight"},
    {"hc_ffn_scale", "hc_ffn_scale.weight"},
    {"attn.attn_sink", "attn_sinks.weight"},
    {"attn.wq_a.weight", "attn_q_a.weight"},
    {"attn.q_norm.weight", "attn_q_a_norm.weight"},
    {"attn.wq_b.weight", "attn_q_b.weight"},
    {"attn.wkv.weight", "attn_kv.weight"},
    {"attn.kv_norm.weight", "attn_kv_a_norm.weight"},
    {"attn.wo_a.weight", "attn_output_a.weight"},
    {"attn.wo_b.weight", "attn_output_b.weight"},
    {"attn.compressor.wkv.weight", "attn_compressor_kv.weight"},
    {"attn.compressor.wgate.weight", "attn_compressor_gate.weight"},
    {"attn.compressor.ape", "attn_compressor_ape.weight"},
    {"attn.compressor.norm.weight", "attn_compressor_norm.weight"},
    {"attn.indexer.wq_b.weight", "indexer.attn_q_b.weight"},
    {"attn.indexer.weights_proj.weight", "indexer.proj.weight"},
    {"attn.indexer.compressor.wkv.weight", "indexer_compressor_kv.weight"},
    {"attn.indexer.compressor.wgate.weight", "indexer_compressor_gate.weight"},
    {"attn.indexer.compressor.ape", "indexer_compressor_ape.weight"},
    {"attn.indexer.compressor.norm.weight", "indexer_compressor_norm.weight"},
    {"ffn.gate.weight", "ffn_gate_inp.weight"},
    {"ffn.gate.bias", "exp_probs_b.bias"},
    {"ffn.gate.tid2eid", "ffn_gate_tid2eid.weight"},
    {"ffn.shared_experts.w1.weight", "ffn_gate_shexp.weight"},
    {"ffn.shared_experts.w3.weight", "ffn_up_shexp.weight"},
    {"ffn.shared_experts.w2.weight", "ffn_down_shexp.weight"},
    {"w1", "ffn_gate_exps.weight"},
    {"w3", "ffn_up_exps.weight"},
    {"w2", "ffn_down_exps.weight"},
};

static int
extent(const PdDsShape *s, const PdDsLayerShape *layer, Dim dim)
{
    int coff = layer != NULL ? pd_ds_coff(layer->kind) : 1;
    switch (dim) {
    case DIM_1:
        return 1;
    case DIM_3:
        return 3;
    case DIM_VOCAB:
        return s->n_vocab;
    case DIM_EMBD:
        return s->n_embd;
    case DIM_STREAMS:
        return s->hc_mult * s->n_embd;
    case DIM_HC:
        return s->hc_mult;
    case DIM_MIX:
        return pd_ds_mix_width(s);
    case DIM_Q_RANK:
        return s->q_rank;
    case DIM_HEADS:
        return s->n_heads;
    case DIM_Q:
        return s->n_heads * s->head_dim;
    case DIM_HEAD:
        return s->head_dim;
    case DIM_GROUP:
        return pd_ds_group_width(s);
    case DIM_O_RANK:
        return s->o_groups * s->o_rank;
    case DIM_RATIO:
        return layer->ratio;
    case DIM_ENTRY:
        return coff * s->head_dim;
    case DIM_INDEX_HEADS:
        return s->index_heads;
    case DIM_INDEX_Q:
        return s->index_heads * s->index_dim;
    case DIM_INDEX_HEAD:
        return s->index_dim;
    case DIM_INDEX_ENTRY:
        return coff * s->index_dim;
    case DIM_EXPERTS:
        return s->n_experts;
    case DIM_FF:
        return s->n_ff;
    }
    g_assert_not_reached();
}

static gboolean
layer_has(const PdDsLayerShape *layer, Where where)
{
    switch (where) {
    case ALL_LAYERS:
        return TRUE;
    case COMPRESSED:
        return layer->ratio > 0;
    case INDEXED:
        return layer->kind->indexed;
    case SCORED:
        return !layer->hash;
    }
    g_assert_not_reached();
}

/* --- finding --- */

/* The tensors of a GGUF file as safetensors would describe them: rows before columns. */
static GHashTable *
describe_gguf(PdDsModel *m, const PdGguf *gguf)
{
    gsize n = pd_gguf_n_tensors(gguf);
    GHashTable *by_name = g_hash_table_new(g_str_hash, g_str_equal);
    PdSafetensor *all = g_new0(PdSafetensor, n);
    g_ptr_array_add(m->owned, all);
    for (gsize i = 0; i < n; i++) {
        const PdGgufTensor *t = pd_gguf_tensor(gguf, i);
        all[i] = (PdSafetensor){.name = t->name,
                                .dtype = t->dtype,
                                .is_float = t->is_float,
                                .type = t->type,
                                .n_dims = t->n_dims,
                                .data = t->data,
                                .n_bytes = t->n_bytes};
        for (int d = 0; d < t->n_dims; d++)
            all[i].dims[d] = t->dims[t->n_dims - 1 - d];
        g_hash_table_insert(by_name, (gpointer)t->name, &all[i]);
    }
    return by_name;
}

static const PdSafetensor *
find_exact(const Loader *l, const char *name)
{
    if (l->gguf != NULL)
        return g_hash_table_lookup(l->gguf, name);
    for (guint i = 0; i < l->shards->len; i++) {
        const PdSafetensor *t = pd_safetensors_find(g_ptr_array_index(l->shards, i), name);
        if (t != NULL)
            return t;
    }
    return NULL;
}

/* What the tensor is called in the checkpoint's format. */
static const char *
name_in_file(const Loader *l, const char *ours)
{
    for (gsize i = 0; l->gguf != NULL && i < G_N_ELEMENTS(gguf_names); i++) {
        if (g_str_equal(gguf_names[i].ours, ours))
            return gguf_names[i].gguf;
    }
    return ours;
}

/* The first of `names` (NULL ends them early) behind "" or "model.", and `middle`; in a GGUF file
 * what the first is called there. */
static const PdSafetensor *
find_any(const Loader *l, const char *middle, const char *const *names, int n_names)
{
    static const char *const prefixes[] = {"", "model."};
    if (l->gguf != NULL) {
        g_autofree char *name = g_strconcat(middle, name_in_file(l, names[0]), NULL);
        return find_exact(l, name);
    }
    for (int i = 0; i < n_names && names[i] != NULL; i++) {
        for (gsize p = 0; p < G_N_ELEMENTS(prefixes); p++) {
            g_autofree char *name = g_strconcat(prefixes[p], middle, names[i], NULL);
            const PdSafetensor *t = find_exact(l, name);
            if (t != NULL)
                return t;
        }
    }
    return NULL;
}

/* `name` is DeepSeek's. */
static gboolean
missing(const Loader *l, const char *middle, const char *name, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: tensor %s%s is missing",
                l->path, middle, name_in_file(l, name));
    return FALSE;
}

static gboolean
wrong_shape(const Loader *l, const PdSafetensor *t, int n_rows, int n_cols, GError **error)
{
    g_autoptr(GString) has = g_string_new(NULL);
    for (int i = 0; i < t->n_dims; i++)
        g_string_append_printf(has, "%s%" G_GUINT64_FORMAT, i > 0 ? " x " : "", t->dims[i]);
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                "%s: tensor %s is %s of %s, the configuration says %d x %d", l->path, t->name,
                has->str, t->dtype, n_rows, n_cols);
    return FALSE;
}

static gboolean
is_dtype(const PdSafetensor *t, const char *const *dtypes)
{
    return g_strv_contains(dtypes, t->dtype);
}

static const char *const fp8_dtypes[] = {"F8_E4M3", NULL};
static const char *const fp4_dtypes[] = {"I8", "U8", NULL};
static const char *const mxfp4_dtypes[] = {"MXFP4", NULL}; /* of GGUF files */
static const char *const e8m0_dtypes[] = {"F8_E8M0", "U8", NULL};

/* --- placing --- */

/* The scales beside a quantised weight: "X.scale" for "X.weight", or V3's spelling. */
static gboolean
find_scales(Loader *l, PdDsMatrix *m, GError **error)
{
    static const char *const suffixes[] = {".scale", ".weight_scale_inv", ".weight_scale"};
    g_autofree char *base = g_strdup(m->name);
    if (g_str_has_suffix(base, ".weight"))
        base[strlen(base) - strlen(".weight")] = '\0';
    const PdSafetensor *t = NULL;
    for (gsize i = 0; t == NULL && i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *name = g_strconcat(base, suffixes[i], NULL);
        t = find_exact(l, name);
    }
    if (t == NULL)
        return missing(l, base, ".scale", error);
    int n_rows = (m->n_rows + m->scale_rows - 1) / m->scale_rows;
    int n_cols = (m->n_cols + m->scale_cols - 1) / m->scale_cols;
    if (t->n_dims != 2 || t->dims[0] != (guint64)n_rows || t->dims[1] != (guint64)n_cols)
        return wrong_shape(l, t, n_rows, n_cols, error);
    m->scale_is_e8m0 = is_dtype(t, e8m0_dtypes);
    if (!m->scale_is_e8m0 && !t->is_float) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: tensor %s is of %s, which is no type of a scale", l->path, t->name,
                    t->dtype);
        return FALSE;
    }
    m->scale_type = t->type;
    m->scales = t->data;
    l->model->n_bytes += t->n_bytes;
    return TRUE;
}

/* Sets format and scales from the tensor's dtype; its shape must be n_rows x n_cols. */
static gboolean
place_matrix(Loader *l, const PdSafetensor *t, int n_rows, int n_cols, PdDsMatrix *m,
             GError **error)
{
    *m = (PdDsMatrix){.name = g_string_chunk_insert(l->model->names, t->name),
                      .n_rows = n_rows,
                      .n_cols = n_cols,
                      .data = t->data};
    guint64 stored_cols = (guint64)n_cols;
    if (t->is_float) {
        m->format = PD_DS_PLAIN;
        m->type = t->type;
    } else if (is_dtype(t, fp8_dtypes)) {
        m->format = PD_DS_FP8;
        m->scale_rows = l->model->shape.fp8_rows;
        m->scale_cols = l->model->shape.fp8_cols;
    } else if (is_dtype(t, fp4_dtypes) && n_cols % FP4_SCALE_COLS == 0) {
        m->format = PD_DS_FP4;
        m->scale_rows = 1;
        m->scale_cols = FP4_SCALE_COLS;
        stored_cols = (guint64)n_cols / 2;
    } else if (is_dtype(t, mxfp4_dtypes)) {
        m->format = PD_DS_MXFP4;
    } else {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: tensor %s is of %s, which is no type of a matrix of %d columns", l->path,
                    t->name, t->dtype, n_cols);
        return FALSE;
    }
    if (t->n_dims != 2 || t->dims[0] != (guint64)n_rows || t->dims[1] != stored_cols)
        return wrong_shape(l, t, n_rows, n_cols, error);
    l->model->n_bytes += t->n_bytes;
    return (m->format != PD_DS_FP8 && m->format != PD_DS_FP4) || find_scales(l, m, error);
}

static gboolean
not_finite(const char *path, const char *name, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT,
                "%s: tensor %s holds a value that is not finite", path, name);
    return FALSE;
}

static gboolean
place_vector(Loader *l, const PdSafetensor *t, int n, float **vector, GError **error)
{
    if (t->n_dims != 1 || t->dims[0] != (guint64)n || !t->is_float ||
        pd_dtype_info[t->type].block_elems != 1)
        return wrong_shape(l, t, 1, n, error);
    *vector = g_new(float, n);
    g_ptr_array_add(l->model->owned, *vector);
    pd_dequantize_row(t->type, t->data, *vector, (gsize)n);
    l->model->n_bytes += t->n_bytes;
    for (int i = 0; i < n; i++) {
        if (!isfinite((*vector)[i]))
            return not_finite(l->path, t->name, error);
    }
    return TRUE;
}

static gboolean
load_tensor(Loader *l, const char *middle, const Tensor *row, const PdDsLayerShape *layer,
            gpointer target, GError **error)
{
    const PdSafetensor *t = find_any(l, middle, row->names, G_N_ELEMENTS(row->names));
    if (t == NULL)
        return missing(l, middle, row->names[0], error);
    int n_rows = extent(&l->model->shape, layer, row->rows);
    int n_cols = extent(&l->model->shape, layer, row->cols);
    gpointer member = G_STRUCT_MEMBER_P(target, row->offset);
    if (row->rows == DIM_1)
        return place_vector(l, t, n_cols, member, error);
    return place_matrix(l, t, n_rows, n_cols, member, error);
}

/* --- experts --- */

/* The table from token to experts of a layer that routes by token (section 5). */
static gboolean
load_token_experts(Loader *l, const char *middle, PdDsLayer *layer, GError **error)
{
    static const char *const names[] = {"ffn.gate.tid2eid", "mlp.gate.tid2eid"};
    static const char *const dtypes[] = {"I64", "I32", NULL};
    const PdDsShape *s = &l->model->shape;
    const PdSafetensor *t = find_any(l, middle, names, G_N_ELEMENTS(names));
    if (t == NULL)
        return missing(l, middle, names[0], error);
    if (t->n_dims != 2 || t->dims[0] != (guint64)s->n_vocab ||
        t->dims[1] != (guint64)s->n_experts_used || !is_dtype(t, dtypes))
        return wrong_shape(l, t, s->n_vocab, s->n_experts_used, error);
    gsize n = (gsize)s->n_vocab * (gsize)s->n_experts_used, width = t->n_bytes / n;
    layer->token_experts = g_new(gint32, n);
    g_ptr_array_add(l->model->owned, layer->token_experts);
    l->model->n_bytes += t->n_bytes;
    for (gsize i = 0; i < n; i++) {
        gint64 wide = 0;
        gint32 narrow = 0;
        memcpy(width == sizeof wide ? (void *)&wide : (void *)&narrow,
               (const guint8 *)t->data + i * width, width);
        gint64 id = width == sizeof wide ? GINT64_FROM_LE(wide) : GINT32_FROM_LE(narrow);
        if (id < 0 || id >= s->n_experts) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                        "%s: tensor %s names expert %" G_GINT64_FORMAT " of %d", l->path, t->name,
                        id, s->n_experts);
            return FALSE;
        }
        layer->token_experts[i] = (gint32)id;
    }
    return TRUE;
}

/* n_rows of one expert from `first_row` of its rows on, in a tensor that stacks all of them. */
static void
place_stacked(Loader *l, const PdSafetensor *t, int expert, int first_row, int n_rows,
              PdDsMatrix *m)
{
    gsize row = (gsize)expert * (gsize)t->dims[1] + (gsize)first_row;
    gsize row_bytes = t->n_bytes / ((gsize)t->dims[0] * (gsize)t->dims[1]);
    *m = (PdDsMatrix){.name = g_string_chunk_insert_const(l->model->names, t->name),
                      .format = t->is_float ? PD_DS_PLAIN : PD_DS_MXFP4,
                      .type = t->type,
                      .n_rows = n_rows,
                      .n_cols = (int)t->dims[2],
                      .data = (const guint8 *)t->data + row * row_bytes};
}

static gboolean
check_stacked(Loader *l, const PdSafetensor *t, int n_rows, int n_cols, GError **error)
{
    const PdDsShape *s = &l->model->shape;
    if (t->n_dims != 3 || t->dims[0] != (guint64)s->n_experts || t->dims[1] != (guint64)n_rows ||
        t->dims[2] != (guint64)n_cols || !(t->is_float || is_dtype(t, mxfp4_dtypes)))
        return wrong_shape(l, t, s->n_experts * n_rows, n_cols, error);
    l->model->n_bytes += t->n_bytes;
    return TRUE;
}

/* The stacked form of transformers: gate rows, then up rows, of every expert. */
static gboolean
load_stacked(Loader *l, const PdSafetensor *gate_up, const PdSafetensor *down, PdDsLayer *layer,
             GError **error)
{
    const PdDsShape *s = &l->model->shape;
    if (!check_stacked(l, gate_up, 2 * s->n_ff, s->n_embd, error) ||
        !check_stacked(l, down, s->n_embd, s->n_ff, error))
        return FALSE;
    for (int e = 0; e < s->n_experts; e++) {
        place_stacked(l, gate_up, e, 0, s->n_ff, &layer->experts[e].w1);
        place_stacked(l, gate_up, e, s->n_ff, s->n_ff, &layer->experts[e].w3);
        place_stacked(l, down, e, 0, s->n_embd, &layer->experts[e].w2);
    }
    return TRUE;
}

/* The stacked form of GGUF files: a tensor for each of an expert's matrices. */
static gboolean
load_stacked_gguf(Loader *l, const char *middle, PdDsLayer *layer, GError **error)
{
    const PdDsShape *s = &l->model->shape;
    for (gsize i = 0; i < G_N_ELEMENTS(expert_tensors); i++) {
        const PdSafetensor *t = find_any(l, middle, &expert_tensors[i].ours, 1);
        int n_rows = extent(s, NULL, expert_tensors[i].rows);
        if (t == NULL)
            return missing(l, middle, expert_tensors[i].ours, error);
        if (!check_stacked(l, t, n_rows, extent(s, NULL, expert_tensors[i].cols), error))
            return FALSE;
        for (int e = 0; e < s->n_experts; e++)
            place_stacked(l, t, e, 0, n_rows,
                          G_STRUCT_MEMBER_P(&layer->experts[e], expert_tensors[i].offset));
    }
    return TRUE;
}

static gboolean
load_experts(Loader *l, const char *middle, PdDsLayer *layer, GError **error)
{
    static const char *const gate_up[] = {"mlp.experts.gate_up_proj"};
    static const char *const down[] = {"mlp.experts.down_proj"};
    const PdDsShape *s = &l->model->shape;
    layer->experts = g_new0(PdDsExpert, s->n_experts);
    g_ptr_array_add(l->model->owned, layer->experts);
    if (l->gguf != NULL)
        return load_stacked_gguf(l, middle, layer, error);
    const PdSafetensor *stacked = find_any(l, middle, gate_up, 1);
    if (stacked != NULL) {
        const PdSafetensor *other = find_any(l, middle, down, 1);
        return other != NULL ? load_stacked(l, stacked, other, layer, error)
                             : missing(l, middle, down[0], error);
    }
    for (int e = 0; e < s->n_experts; e++) {
        for (gsize i = 0; i < G_N_ELEMENTS(expert_tensors); i++) {
            g_autofree char *ours =
                g_strdup_printf("ffn.experts.%d.%s.weight", e, expert_tensors[i].ours);
            g_autofree char *hf =
                g_strdup_printf("mlp.experts.%d.%s.weight", e, expert_tensors[i].hf);
            const char *const names[] = {ours, hf};
            const PdSafetensor *t = find_any(l, middle, names, G_N_ELEMENTS(names));
            PdDsMatrix *m = G_STRUCT_MEMBER_P(&layer->experts[e], expert_tensors[i].offset);
            if (t == NULL)
                return missing(l, middle, ours, error);
            if (!place_matrix(l, t, extent(s, NULL, expert_tensors[i].rows),
                              extent(s, NULL, expert_tensors[i].cols), m, error))
                return FALSE;
        }
    }
    return TRUE;
}

/* --- the whole --- */

static gboolean
load_layer(Loader *l, int i, const char *middle, GError **error)
{
    const PdDsLayerShape *shape = &l->model->shape.layers[i];
    PdDsLayer *layer = &l->model->layers[i];
    for (gsize t = 0; t < G_N_ELEMENTS(layer_tensors); t++) {
        if (layer_has(shape, layer_tensors[t].where) &&
            !load_tensor(l, middle, &layer_tensors[t], shape, layer, error))
            return FALSE;
    }
    if (shape->hash && !load_token_experts(l, middle, layer, error))
        return FALSE;
    return load_experts(l, middle, layer, error);
}

/* The first draft block, if the checkpoint has one; GGUF files fuse its matrices, and theirs is not
 * read. */
static gboolean
load_draft(Loader *l, GError **error)
{
    static const char middle[] = "mtp.0.";
    PdDsModel *m = l->model;
    const Tensor *first = &draft_tensors[0];
    m->has_draft =
        m->shape.n_mtp > 0 && find_any(l, middle, first->names, G_N_ELEMENTS(first->names)) != NULL;
    if (!m->has_draft)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(draft_tensors); i++) {
        if (!load_tensor(l, middle, &draft_tensors[i], NULL, m, error))
            return FALSE;
    }
    return load_layer(l, m->shape.n_layers, middle, error);
}

static gboolean
load_all(Loader *l, GError **error)
{
    PdDsModel *m = l->model;
    for (gsize i = 0; i < G_N_ELEMENTS(model_tensors); i++) {
        if (!load_tensor(l, "", &model_tensors[i], NULL, m, error))
            return FALSE;
    }
    for (int i = 0; i < m->shape.n_layers; i++) {
        g_autofree char *middle = g_strdup_printf("%s.%d.", l->gguf != NULL ? "blk" : "layers", i);
        if (!load_layer(l, i, middle, error))
            return FALSE;
    }
    return load_draft(l, error);
}

PdDsModel *
pd_ds_model_new(PdDsShape *shape, const GPtrArray *shards, const PdGguf *gguf, const char *path,
                GError **error)
{
    g_autoptr(PdDsModel) m = g_new0(PdDsModel, 1);
    g_autoptr(GHashTable) described = NULL;
    m->shape = *shape;
    *shape = (PdDsShape){0};
    m->names = g_string_chunk_new(4096);
    m->owned = g_ptr_array_new_with_free_func(g_free);
    m->layers = g_new0(PdDsLayer, m->shape.n_layers + 1);
    if (gguf != NULL)
        described = describe_gguf(m, gguf);
    Loader l = {m, shards, described, path};
    return load_all(&l, error) ? g_steal_pointer(&m) : NULL;
}

void
pd_ds_model_free(PdDsModel *m)
{
    if (m == NULL)
        return;
    pd_ds_model_unpack(m);
    pd_ds_shape_clear(&m->shape);
    g_free(m->layers);
    g_ptr_array_unref(m->owned);
    g_string_chunk_free(m->names);
    g_free(m);
}

/* --- the values --- */

static gboolean
is_finite(const PdDsMatrix *m, float *row)
{
    for (int r = 0; r < m->n_rows; r++) {
        pd_ds_matrix_row(m, r, row);
        for (int c = 0; c < m->n_cols; c++) {
            if (!isfinite(row[c]))
                return FALSE;
        }
    }
    return TRUE;
}

static gboolean
check_matrix(PdDsMatrix *m, gpointer path, GError **error)
{
    g_autofree float *row = g_new(float, m->n_cols);
    return is_finite(m, row) || not_finite(path, m->name, error);
}

gboolean
pd_ds_expert_each_matrix(PdDsExpert *e, PdDsMatrixFunc func, gpointer user_data, GError **error)
{
    return func(&e->w1, user_data, error) && func(&e->w3, user_data, error) &&
           func(&e->w2, user_data, error);
}

gboolean
pd_ds_layer_each_matrix(PdDsModel *m, int i, PdDsMatrixFunc func, gpointer user_data,
                        GError **error)
{
    PdDsLayer *layer = &m->layers[i];
    for (gsize t = 0; t < G_N_ELEMENTS(layer_tensors); t++) {
        const Tensor *row = &layer_tensors[t];
        if (row->rows != DIM_1 && layer_has(&m->shape.layers[i], row->where) &&
            !func(G_STRUCT_MEMBER_P(layer, row->offset), user_data, error))
            return FALSE;
    }
    for (int e = 0; e < m->shape.n_experts; e++) {
        if (!pd_ds_expert_each_matrix(&layer->experts[e], func, user_data, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_ds_model_each_matrix(PdDsModel *m, PdDsMatrixFunc func, gpointer user_data, GError **error)
{
    if (!func(&m->embed, user_data, error) || !func(&m->head, user_data, error) ||
        !func(&m->head_site.fn, user_data, error))
        return FALSE;
    if (m->has_draft &&
        (!func(&m->draft.e_proj, user_data, error) || !func(&m->draft.h_proj, user_data, error) ||
         !func(&m->draft.head_site.fn, user_data, error)))
        return FALSE;
    for (int i = 0; i < m->shape.n_layers + (m->has_draft ? 1 : 0); i++) {
        if (!pd_ds_layer_each_matrix(m, i, func, user_data, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_ds_model_check_finite(PdDsModel *m, int n_threads, const char *path, GError **error)
{
    if (!g_atomic_int_get(&m->is_finite)) {
        if (!pd_ds_model_each_matrix_by(m, n_threads, check_matrix, (gpointer)path, error))
            return FALSE;
        g_atomic_int_set(&m->is_finite, 1);
    }
    return TRUE;
}
