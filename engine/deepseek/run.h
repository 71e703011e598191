/*
 * Running a DeepSeek-V4 model: the state of every sequence (section 10.1, in float32) and the
 * passes over it.  PdSession holds one of these for a model of this family.
 *
 * State of a sequence, per layer: the last `window` rows; where the layer has entries, all of them
 * and the tokens of the windows not yet complete; the same for the indexer's keys.  It only moves
 * forward: an earlier position is reached by starting again.
 */
#ifndef PD_DEEPSEEK_RUN_H
#define PD_DEEPSEEK_RUN_H

#include "engine/deepseek/reference.h"

typedef struct PdDsRun PdDsRun;

/* What the layers compute, for comparing with another implementation. */
typedef enum {
    PD_DS_ATTN_POST, /* (hc) */
    PD_DS_ATTN_COMB, /* (hc, hc) */
    PD_DS_ATTN_IN,   /* (d): normed input of the sublayer */
    PD_DS_ATTN_OUT,  /* (d) */
    PD_DS_FFN_POST,
    PD_DS_FFN_COMB,
    PD_DS_FFN_IN,
    PD_DS_FFN_OUT,
    PD_DS_FFN_EXPERTS,  /* ids (n_experts_used), values: their weights */
    PD_DS_STREAMS,      /* (hc, d): after the layer */
    PD_DS_ENTRY,        /* (head_dim); position: the entry's index */
    PD_DS_INDEX_KEY,    /* (index_dim); position: the entry's index */
    PD_DS_INDEX_SCORES, /* (visible entries) */
    PD_DS_PICKS,        /* ids of the entries chosen, ascending */
    PD_DS_N_STAGES
} PdDsStage;

typedef struct {
    PdDsStage stage;
    int layer;
    int position;
    const float *values;
    const int *ids;
    int n;
} PdDsSeen;

typedef void (*PdDsTraceFunc)(const PdDsSeen *seen, gpointer user_data);

/* Bytes of state and scratch; saturating. */
guint64 pd_ds_run_bytes(const PdDsModel *model, int n_sequences, int max_tokens, int batch_rows);
/* NULL: no memory.  The model must outlive it. */
PdDsRun *pd_ds_run_new(const PdDsModel *model, int n_sequences, int max_tokens, int batch_rows);
void pd_ds_run_free(PdDsRun *run);

/* Tokens that a sequence's state has seen. */
int pd_ds_run_n_tokens(const PdDsRun *run, int sequence);
/* Back to the empty sequence. */
void pd_ds_run_clear(PdDsRun *run, int sequence);
/* Appends n <= batch_rows tokens, which must be in the vocabulary and fit. */
void pd_ds_run_forward(PdDsRun *run, int sequence, const gint32 *tokens, int n);
/* Logits (n_vocab) of row `row` of the latest forward. */
void pd_ds_run_logits(PdDsRun *run, int row, float *logits);
/*
 * The draft block (section 6.1), where model->has_draft: from rows [row, row + n) of the latest
 * forward and the tokens that follow each, what comes after those.  It has a window of its own, so
 * rows must reach it in order, from the sequence's first token on; their number is
 * pd_ds_run_n_drafted.  logits: (n, n_vocab), or NULL.
 */
void pd_ds_run_draft(PdDsRun *run, int sequence, int row, const gint32 *next, int n, float *logits);
int pd_ds_run_n_drafted(const PdDsRun *run, int sequence);
/* NULL turns it off. */
void pd_ds_run_set_trace(PdDsRun *run, PdDsTraceFunc func, gpointer user_data);

#endif
