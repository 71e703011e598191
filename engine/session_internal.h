/*
 * What a session is made of.  session.c allocates it, session_run.c cuts the work into
 * micro-batches, forward.c runs one of them, session_rows.c moves rows in and out,
 * session_attention.c keeps the attention record, attention.c and attention_select.c are the sparse
 * policy.
 */
#ifndef PD_SESSION_INTERNAL_H
#define PD_SESSION_INTERNAL_H

#include "engine/attention_internal.h"
#include "engine/deepseek/run.h"
#include "engine/model_internal.h"
#include "engine/session.h"

#define PD_BATCH_ROWS_DEFAULT 512
/* Rows whose logits are made together: enough to reuse the output matrix, little memory. */
#define PD_LOGIT_ROWS 16

/* Consecutive rows of one sequence inside a micro-batch. */
typedef struct {
    int run; /* index in the caller's runs */
    int sequence;
    int first_row; /* position in the sequence */
    int n_rows;
    int batch_row;   /* where its rows start in the micro-batch */
    int n_wanted;    /* its last rows whose output is needed beyond the last layer's K and V */
    int wanted_row;  /* where these start among the wanted rows of the micro-batch */
    gboolean record; /* a decode row whose attention is recorded */
} PdSpan;

typedef struct {
    PdSpan *spans; /* (batch_rows) */
    int n_spans;
    int n_rows;
    int n_wanted;
    gint32 *ids;       /* (batch_rows) */
    gint32 *positions; /* (batch_rows) */
    float **logits;    /* (batch_rows) of each wanted row; NULL: none asked */
} PdBatch;

/* Bytes of everything, from the model and the options; saturating. */
typedef struct {
    guint64 kv_stream_bytes; /* K or V of one layer and sequence */
    guint64 kv_bytes;
    guint64 rope_bytes; /* of one table */
    int n_positions;    /* that it holds */
    guint64 scratch_bytes;
    PdSparsePlan sparse;
    guint64 host_bytes;
    guint64 total_bytes;
} PdSessionPlan;

/* One layer's chosen heads that share a key/value head and are neighbours. */
typedef struct {
    int layer;
    int head;
    int n_heads;
} PdHeadRun;

struct PdSession {
    PdModel *model;
    PdDevice *dev;
    PdSessionOptions options; /* defaults filled in */
    int n_layers;
    PdDsRun *deepseek; /* then of what follows only tokens, n_tokens and batch are there */

    PdBuffer *kv_buffer;
    PdKv *kv;       /* (n_sequences, n_layers) */
    gint32 *tokens; /* (n_sequences, max_tokens) */
    int *n_tokens;  /* (n_sequences) */

    PdBuffer *rope_buffer;
    PdRope rope[2];  /* global, local */
    int rope_filled; /* positions that the tables hold */
    gboolean two_ropes;
    PdSparse *sparse; /* NULL: dense */

    PdBuffer *scratch;
    PdMem x, h;     /* (batch_rows, n_embd) */
    PdMem q, att;   /* (batch_rows, n_heads*head_dim) */
    PdMem k, v;     /* (batch_rows, n_kv_heads*head_dim) */
    PdMem gate, up; /* (batch_rows, n_ff); share the place of q, att, k, v */
    PdMem logits;   /* (PD_LOGIT_ROWS, n_vocab) */
    PdBatch batch;

    PdTapFunc tap;
    gpointer tap_data;
    gboolean *tap_mask; /* (model's n_layers) */
    float *tap_q, *tap_k, *tap_v;

    PdHeadRun *head_runs;
    int n_head_runs;
    int n_recorded_heads;
    PdBuffer *weights;   /* f32 (n_heads / n_kv_heads, max_tokens) */
    float *weights_host; /* the same */
    float *record;       /* (n_sequences, max_tokens) */
    int *record_rows;    /* (n_sequences); 0: none */
};

static inline PdKv *
pd_session_kv(const PdSession *s, int sequence, int layer)
{
    return &s->kv[(gsize)sequence * (gsize)s->n_layers + (gsize)layer];
}

static inline PdMem
pd_mem_at(PdMem mem, gsize n_floats)
{
    return (PdMem){mem.buffer, mem.offset_bytes + n_floats * sizeof(float)};
}

void pd_session_plan(const PdModel *model, const PdSessionOptions *options, PdSessionPlan *plan);
/* Whether the tap's buffers could be had; pd_session_run, which can fail, says so. */
gboolean pd_session_tap_ready(const PdSession *s);
/* Fills the RoPE tables up to n_positions. */
void pd_session_fill_rope(PdSession *s, int n_positions);
/* x of the wanted rows (n_wanted, n_embd) after all layers, before the last norm, in *out. */
gboolean pd_forward(PdSession *s, const PdBatch *batch, PdMem *out, GError **error);
/* Appends the rows in s->k and s->v (before RoPE, without bias) to every span's cache. */
void pd_forward_append(PdSession *s, const PdBatch *batch, int layer);
/* Adds the weights of this layer's chosen heads, for the query row q of a span.  list: what the row
 * sees of a position-free cache (one group of one row), NULL otherwise. */
void pd_session_record_layer(PdSession *s, int layer, const PdSpan *span, PdMem q,
                             const PdListAttention *list);

/* The same as running a micro-batch and handing out its logits, for a DeepSeek model. */
gboolean pd_session_run_deepseek(PdSession *s, const PdBatch *batch, GError **error);
/* Makes the state of `sequence` one of exactly its first n tokens, which it is not beyond. */
gboolean pd_session_catch_up_deepseek(PdSession *s, int sequence, int n, GError **error);
/* The options of the state of such a session. */
PdDsRunOptions pd_session_deepseek_options(const PdModel *model, const PdSessionOptions *options);
/* Nothing of the state may rest on tokens from n_tokens on; no work for other models. */
void pd_session_forget_deepseek(PdSession *s, int sequence, int n_tokens);
/* Bytes that this process may still use: MemAvailable and the cgroup's limit; G_MAXUINT64 where
 * neither can be read. */
guint64 pd_memory_available_bytes(void);

#endif
