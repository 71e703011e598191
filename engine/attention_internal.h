/*
 * Inside sparse sessions: attention.c lays out what each row of a micro-batch sees,
 * attention_select.c keeps the queries of the index heads and chooses blocks.
 */
#ifndef PD_ATTENTION_INTERNAL_H
#define PD_ATTENTION_INTERNAL_H

#include "engine/attention.h"
#include "engine/model.h"

typedef struct PdSession PdSession;
typedef struct PdSparse PdSparse;
typedef struct PdSparsePlan PdSparsePlan;

/* The part of one pool's rows that stands in one span of a micro-batch and is not dense. */
typedef struct {
    int span;
    int pool;
    int first_row; /* of the sequence */
    int n_rows;
    int window_first;
    int n_candidates;
    int *blocks; /* the chosen ones, ascending, counted from row 0 */
    int n_blocks;
} PdSparseGroup;

/* An index layer's list as it was last made for a sequence; a function of the rows before its
 * pool. */
typedef struct {
    int pool; /* -1: none */
    int n_blocks;
    int *blocks;
} PdBlockList;

struct PdSparsePlan {
    guint64 query_bytes; /* kept queries of all sequences */
    guint64 device_bytes;
    guint64 host_bytes;
};

struct PdSparse {
    PdAttentionPolicy policy; /* heads sorted by layer, head */
    int sink_rows;            /* whole blocks */
    int max_tokens;
    gsize row_bytes; /* of one head */

    PdBuffer *queries; /* (n_sequences, heads, max_tokens, row_bytes) */
    PdBuffer *device;
    PdMem pooled; /* f32 (pooled queries, head_dim) */
    PdMem maxima; /* f32 (pooled queries, blocks) */

    PdSparseGroup *groups; /* (batch_rows), of the present micro-batch */
    int n_groups;
    int *blocks;            /* (batch_rows, budget) */
    PdRowGroup *row_groups; /* (batch_rows) */
    PdRowRange *ranges;     /* (batch_rows, budget + 2) */
    gint32 *positions;      /* (batch_rows) */
    PdBlockList *lists;     /* (n_sequences, policy.n_heads), at a layer's first head */
    int *list_blocks;       /* (n_sequences, policy.n_heads, budget) */
    float *rows;            /* (batch_rows, n_heads * head_dim) */
    guint8 *coded;          /* (max(batch_rows, a pool), row_bytes) */
    float *pooled_host;     /* (pooled queries, head_dim) */
    gint32 *distance;       /* (pooled queries), all PD_SELECT_DISTANCE */
    float *maxima_host;     /* (pooled queries, blocks) */
    float *score;           /* (blocks) */
    float *best;            /* (pools of a batch, blocks) */
    guint64 n_selections;   /* lists made */
    guint64 n_flat;         /* heads whose scores of a list had no variance: they did not vote */
};

/* --- attention.c --- */

gboolean pd_sparse_check(const PdModel *model, const PdAttentionPolicy *policy, int n_layers,
                         const char **what);
void pd_sparse_plan(const PdModel *model, const PdAttentionPolicy *policy, PdDtype kv_type,
                    int n_sequences, int max_tokens, int batch_rows, PdSparsePlan *plan);
/* Positions that the RoPE tables need. */
int pd_sparse_positions(const PdModel *model, const PdAttentionPolicy *policy, int max_tokens);
/* NULL: out of memory. */
PdSparse *pd_sparse_new(const PdSession *s);
void pd_sparse_free(PdSession *s);
/* The groups of the session's micro-batch; rows of a span before its first group are dense. */
void pd_sparse_begin(PdSession *s);
int pd_sparse_dense_rows(const PdSession *s, int span);
/* Forget lists that depend on rows from n_tokens on. */
void pd_sparse_forget(PdSession *s, int sequence, int n_tokens);

/* What the rows of one span see in one layer, as the kernel takes it. */
typedef struct {
    const PdRowGroup *groups;
    int n_groups;
    const PdRowRange *ranges;
} PdSparseView;

/* Rows from `skipped` of the span on.  Writes the positions of these rows' queries, all of them
 * (dense ones too), to s->sparse->positions; first_q counts from the first of these rows. */
void pd_sparse_view(PdSession *s, int layer, int span, int skipped, PdSparseView *view);

/* --- attention_select.c --- */

gboolean pd_sparse_is_index(const PdSparse *sparse, int layer);
/* Keep the queries (before RoPE) of the micro-batch's rows at an index layer. */
void pd_sparse_keep_queries(PdSession *s, int layer, PdMem q);
/* Choose blocks for all groups of the micro-batch. */
void pd_sparse_select(PdSession *s, int layer);
/* Where the kept queries of one index head lie, from `row` on. */
PdMem pd_sparse_query_rows(const PdSession *s, int sequence, int head, int row);
void pd_sparse_zero_queries(PdSession *s, int sequence, int first, int n);

#endif
