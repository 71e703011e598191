/* What a run is made of: run.c allocates it, forward.c and layer_attention.c go through it, state.c
 * keeps it. */
#ifndef PD_DEEPSEEK_RUN_INTERNAL_H
#define PD_DEEPSEEK_RUN_INTERNAL_H

#include "engine/deepseek/rows.h"
#include "engine/deepseek/run.h"

/* Index keys that are unpacked together. */
#define PD_DS_KEYS_TOGETHER 64

typedef struct {
    int first_row;  /* before which it has seen nothing; 0 but of a draft block that began later */
    guint8 *window; /* (window): position p at row p mod window */
    PdDsPool pool;
    guint8 *entries; /* (max_tokens / ratio) */
    PdDsPool index_pool;
    guint8 *index_keys; /* as many */
} PdDsLayerState;

typedef struct {
    int n_tokens; /* 0: none */
    gboolean drafted;
    guint8 *bytes;
} PdDsSnapshot;

typedef struct {
    PdDsLayerState *layers; /* (n_layers + 1), the last of the draft block */
    int n_tokens;
    int n_drafted;         /* rows that the draft block has seen, from its first_row on */
    PdDsSnapshot *anchors; /* (n_anchors): i at (i + 1) * anchor_tokens, if at all */
    PdDsSnapshot mark;
    PdDsSnapshot last_row; /* what row n_tokens - 1 has overwritten; n_tokens as its owner's */
} PdDsSequence;

/* The rows of the latest forward whose streams are still there. */
typedef struct {
    int sequence;
    int first; /* position of row 0 */
    int n;     /* 0: none */
} PdDsPass;

/* Room for one chunk of n rows, and for one row. */
typedef struct {
    float *streams;    /* (n, hc, d) */
    float *ahead;      /* the same, of the draft block */
    float *y;          /* (n, d): what a sublayer reads */
    float *f;          /* (n, d): what it gives */
    float *mix;        /* (n, (2 + hc) * hc) */
    float *post;       /* (n, hc) */
    float *comb;       /* (n, hc, hc) */
    float *qr;         /* (n, q_rank) */
    float *q;          /* (n, n_heads, head_dim); then the heads' outputs */
    float *kv;         /* (n, head_dim) */
    float *u, *s;      /* (n, 2 * head_dim): a compressor's values and gates */
    float *iu, *is;    /* (n, 2 * index_dim): the indexer's */
    float *iq;         /* (n, index_heads, index_dim) */
    float *iw;         /* (n, index_heads) */
    float *z;          /* (n, o_groups * o_rank) */
    float *router;     /* (n, n_experts) */
    float *pre;        /* (hc) */
    float *old;        /* (hc, d) */
    float *head_out;   /* (head_dim) */
    float *turn;       /* (rope_dim) */
    float *scores;     /* (select_rows, entries) */
    float *logits;     /* (window + entries) */
    float *unpacked;   /* (window + entries, head_dim); unless rows are floats */
    float *index_key;  /* (index_dim) */
    float *index_keys; /* (PD_DS_KEYS_TOGETHER, index_dim); the same */
    float *biased;     /* (n_experts) */
    float *gate, *up;  /* (n_ff); of all rows on a device */
    float *expert_out; /* (d); the same */
    float *row;        /* one row of any weight */
    guint8 *iq_bytes;  /* (n, index_heads) rows of the key format; in mixed precision */
    /* Each row's experts. */
    int *expert_ids;       /* (n, n_experts_used) */
    float *expert_weights; /* (n, n_experts_used) */
    /* On a device alone. */
    guint8 *recent;    /* (window - 1 + n) rows: the window's in order of position, the chunk's */
    int *picks;        /* (select_rows, index_top_k) */
    int *n_entries;    /* (n) */
    float *sinks;      /* (n_heads) */
    float *group_in;   /* (n, width of a group) */
    float *group_out;  /* (n, o_rank) */
    float *gathered;   /* (n, d) */
    int *order;        /* (n, n_experts_used) */
    int *expert_first; /* (n_experts + 1) */
    float *vocab;      /* (n_vocab); where there is a draft block too */
} PdDsScratch;

struct PdDsRun {
    const PdDsModel *model;
    PdDsRunOptions options;
    PdRowFormat row, key; /* of windows and entries, of index keys */
    int unit_tokens;
    int anchor_tokens; /* from one anchor to the next */
    int n_anchors;     /* of a sequence */
    PdDsRope rope, rope_far;
    PdDsSequence *sequences;      /* (n_sequences) */
    PdDsLayerState *layer_states; /* (n_sequences, n_layers + 1) */
    PdDsSnapshot *anchors;        /* (n_sequences, n_anchors) */
    guint8 *bytes;                /* state, snapshots and scratch */
    PdDevice *device;             /* NULL: the reference */
    PdBuffer *buffer;             /* of the device: bytes */
    gboolean no_memory;           /* the device had none for an operation */
    int select_rows;              /* rows that are scored at once */
    PdDsPass pass;
    const float **keys; /* (window + entries) */
    int *ids;           /* (the most that are chosen at once, entries or experts) */
    PdDsScratch scratch;

    PdDsTraceFunc trace;
    gpointer trace_data;
    PdDsChoiceFunc choice;
    gpointer choice_data;
};

static inline void
pd_ds_show(const PdDsRun *r, PdDsStage stage, int layer, int position, const float *values,
           const int *ids, int n)
{
    PdDsSeen seen = {stage, layer, position, values, ids, n};
    if (r->trace != NULL)
        r->trace(&seen, r->trace_data);
}

/* Lets another choose in place of a router or an indexer. */
static inline void
pd_ds_choose(const PdDsRun *r, PdDsStage stage, int layer, int position, int *ids, int n)
{
    if (r->choice != NULL)
        r->choice(stage, layer, position, ids, n, r->choice_data);
}

/* A place in r->bytes, for the device. */
static inline PdMem
pd_ds_run_mem(const PdDsRun *r, const void *place)
{
    return (PdMem){r->buffer, (gsize)((const guint8 *)place - r->bytes)};
}

static inline const PdDsRope *
pd_ds_layer_rope(const PdDsRun *r, int layer)
{
    return r->model->shape.layers[layer].ratio > 0 ? &r->rope_far : &r->rope;
}

/* scratch.streams of n rows from position `first` on through one layer. */
void pd_ds_run_layer(PdDsRun *r, PdDsSequence *sequence, int layer, const gint32 *tokens, int first,
                     int n);
/* logits = head . norm(collapsed streams) */
gboolean pd_ds_run_head(PdDsRun *r, const PdDsSite *site, const float *norm, const float *streams,
                        float *logits);
/* Attention of n rows from position `first` on: scratch.y -> scratch.f (section 3). */
void pd_ds_layer_attention(PdDsRun *r, PdDsSequence *sequence, int layer, int first, int n);

/* What follows from model and options, before any memory is taken. */
PdDsRun pd_ds_run_describe(const PdDsModel *model, const PdDsRunOptions *options);

/* Enters row t of the chunk into the layer's state. */
void pd_ds_enter_row(PdDsRun *r, PdDsSequence *sequence, int layer, int position, gsize t);
/* The rows of a chunk of which queries and entries are projected: enters and attends them. */
void pd_ds_attend_on_device(PdDsRun *r, PdDsSequence *sequence, int layer, int first, int n);
/* Rows whose scores of n_entries entries are kept at once. */
int pd_ds_select_rows(int batch_rows, int n_entries);
/* scratch.f of n rows whose experts are in scratch.expert_ids and expert_weights. */
void pd_ds_experts_on_device(PdDsRun *r, int layer, int n);

/* --- products.c --- */

typedef struct {
    const PdDsMatrix *matrix;
    float *out; /* (n, n_rows) */
} PdDsProduct;

/* Products of the same n rows without gaps.  x and outputs lie in r->bytes. */
void pd_ds_run_products(PdDsRun *r, const float *x, int n, const PdDsProduct *products,
                        int n_products);
void pd_ds_run_product(PdDsRun *r, const PdDsMatrix *matrix, const float *x, int n, float *out);
/* scratch.z: every group's part of the heads' outputs in scratch.q through its rows of wo_a. */
void pd_ds_run_groups(PdDsRun *r, const PdDsMatrix *wo_a, int n);

/* Bytes of the largest snapshot at a multiple of anchor_tokens, and at any place. */
guint64 pd_ds_anchor_bytes(const PdDsRun *r);
guint64 pd_ds_mark_bytes(const PdDsRun *r);
/* Bytes of the most that one row overwrites. */
guint64 pd_ds_last_row_bytes(const PdDsRun *r);
/* Layer `layer` is about to enter a row: keeps what the last one of the pass overwrites. */
void pd_ds_run_keep_overwritten(PdDsRun *r, PdDsSequence *sequence, int layer, int position);
/* The draft block has seen no rows. */
void pd_ds_run_forget_draft(const PdDsRun *r, PdDsSequence *sequence);
/* The streams of the latest pass are of no use to the sequence any more. */
void pd_ds_run_forget_pass(PdDsRun *r, const PdDsSequence *sequence);
/* A pass that broke off may have overwritten rows: back to the last snapshot. */
void pd_ds_run_fall_back(PdDsRun *r, PdDsSequence *sequence);
/* A layer has entered n_tokens tokens: keeps its part of the anchor that is there, if one is. */
void pd_ds_run_keep_layer(PdDsRun *r, PdDsSequence *sequence, int layer, int n_tokens);

#endif
