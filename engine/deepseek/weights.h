/*
 * The weights of a DeepSeek-V4 model, where they lie in the mapped checkpoint (section 8.1).
 * Matrices stay in the file's own format and are turned into floats a row at a time; vectors are
 * floats of our own.
 */
#ifndef PD_DEEPSEEK_WEIGHTS_H
#define PD_DEEPSEEK_WEIGHTS_H

#include "engine/deepseek/shape.h"
#include "kernels/kernels.h"

typedef enum {
    PD_DS_PLAIN, /* a type that the products have */
    PD_DS_FP8,   /* E4M3, one scale a block of rows and columns */
    PD_DS_FP4,   /* E2M1, two a byte with the even column low, one scale per 32 columns */
    PD_DS_MXFP4, /* the same in ggml's blocks of 32 columns: scale, 16 low halves, 16 high ones */
} PdDsFormat;

/* Bytes of one of ggml's blocks. */
#define PD_DS_MXFP4_BYTES 17

typedef struct {
    const char *name; /* as in the file; owned by the model */
    PdDsFormat format;
    PdDtype type; /* PD_DS_PLAIN only */
    int n_rows, n_cols;
    const guint8 *data;
    const guint8 *scales; /* (ceil(n_rows / scale_rows), ceil(n_cols / scale_cols)) */
    gboolean scale_is_e8m0;
    PdDtype scale_type; /* otherwise */
    int scale_rows, scale_cols;
    PdWeight weight; /* the same as a device's products read it, after pd_ds_model_pack */
} PdDsMatrix;

/* A place where the residual streams are mixed (section 2.3). */
typedef struct {
    PdDsMatrix fn; /* ((2 + hc) * hc, hc * d), the head's (hc, hc * d) */
    float *base;   /* one per row of fn */
    float *scale;  /* pre, post, comb; the head's: pre */
} PdDsSite;

/* Pools tokens into entries (section 4.1); coff = 2 if windows overlap. */
typedef struct {
    PdDsMatrix wkv, wgate; /* (coff * width, d) */
    PdDsMatrix ape;        /* (ratio, coff * width) */
    float *norm;           /* width */
} PdDsCompressor;

typedef struct {
    PdDsMatrix w1, w3; /* (n_ff, d): gate, up */
    PdDsMatrix w2;     /* (d, n_ff) */
} PdDsExpert;

typedef struct {
    PdDsSite attn_site, ffn_site;
    float *attn_norm, *ffn_norm; /* d */
    PdDsMatrix wq_a;             /* (q_rank, d) */
    float *q_norm;               /* q_rank */
    PdDsMatrix wq_b;             /* (n_heads * head_dim, q_rank) */
    PdDsMatrix wkv;              /* (head_dim, d) */
    float *kv_norm;              /* head_dim */
    float *sink;                 /* n_heads */
    PdDsMatrix wo_a;             /* (o_groups * o_rank, group width) */
    PdDsMatrix wo_b;             /* (d, o_groups * o_rank) */
    /* Layers with compressed entries. */
    PdDsCompressor compressor; /* width head_dim */
    /* Layers with an indexer. */
    PdDsMatrix index_wq_b;           /* (index_heads * index_dim, q_rank) */
    PdDsMatrix index_weights;        /* (index_heads, d) */
    PdDsCompressor index_compressor; /* width index_dim */
    PdDsMatrix gate;                 /* (n_experts, d) */
    float *gate_bias;                /* n_experts; layers that route by score */
    gint32 *token_experts;           /* (n_vocab, n_experts_used); layers that route by token */
    PdDsExpert *experts;             /* (n_experts) */
    PdDsExpert shared;
} PdDsLayer;

/* What the draft block has beside a layer (section 6.1). */
typedef struct {
    PdDsMatrix e_proj, h_proj; /* (d, d): of the next token's embedding, of each stream */
    float *enorm, *hnorm;      /* d */
    PdDsSite head_site;
    float *norm; /* d */
} PdDsDraft;

typedef struct {
    PdDsShape shape;
    PdDsMatrix embed; /* (n_vocab, d) */
    PdDsMatrix head;  /* (n_vocab, d) */
    PdDsSite head_site;
    float *norm;       /* d */
    PdDsLayer *layers; /* (n_layers + 1): the last is the draft block's */
    PdDsDraft draft;
    gboolean has_draft; /* transformers drops the draft block when it saves a checkpoint */
    guint64 n_bytes;    /* of the tensors that are used */

    GStringChunk *names;
    GPtrArray *owned;   /* vectors, arrays of experts */
    gint is_finite;     /* atomic: the matrices were read through once */
    PdDevice *device;   /* that the matrices are packed for, or NULL */
    GPtrArray *buffers; /* PdBuffer of it: wrapped and repacked matrices */
} PdDsModel;

/* Finds every tensor, checks dtype and shape; `shape` is taken over.  The checkpoint is `shards`
 * (PdSafetensors) or, if not NULL, `gguf`, and must outlive the model; `path` is for messages. */
PdDsModel *pd_ds_model_new(PdDsShape *shape, const GPtrArray *shards, const PdGguf *gguf,
                           const char *path, GError **error);
void pd_ds_model_free(PdDsModel *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdDsModel, pd_ds_model_free)

/* Reads all matrices once, by n_threads, and refuses values that are not finite, by the tensor's
 * name. */
gboolean pd_ds_model_check_finite(PdDsModel *model, int n_threads, const char *path,
                                  GError **error);

/* Calls func with every matrix until it fails. */
typedef gboolean (*PdDsMatrixFunc)(PdDsMatrix *matrix, gpointer user_data, GError **error);
gboolean pd_ds_model_each_matrix(PdDsModel *model, PdDsMatrixFunc func, gpointer user_data,
                                 GError **error);
/* The same of one layer, its experts included, and of one expert. */
gboolean pd_ds_layer_each_matrix(PdDsModel *model, int layer, PdDsMatrixFunc func,
                                 gpointer user_data, GError **error);
gboolean pd_ds_expert_each_matrix(PdDsExpert *expert, PdDsMatrixFunc func, gpointer user_data,
                                  GError **error);

/* --- matrices.c --- */

/* The same by n_threads at once; of several failures that of the first matrix is told. */
gboolean pd_ds_model_each_matrix_by(PdDsModel *model, int n_threads, PdDsMatrixFunc func,
                                    gpointer user_data, GError **error);

/* --- pack.c --- */

/* Makes the matrices ready for the products of `device`, which must outlive the model, once. */
gboolean pd_ds_model_pack(PdDsModel *model, PdDevice *device, const char *path, GError **error);
void pd_ds_model_unpack(PdDsModel *model);
/* Bytes of a matrix as the products read it, if its scales are as usual. */
gsize pd_ds_matrix_packed_bytes(const PdDsMatrix *matrix);
/* Bytes of the weights once they are packed: of FP8 and FP4 the repacked ones alone, since the file
 * is not read again. */
guint64 pd_ds_model_packed_bytes(PdDsModel *model);

/* Row `row` as n_cols floats. */
void pd_ds_matrix_row(const PdDsMatrix *m, int row, float *dst);

#endif
