/*
 * Running a DeepSeek-V4 model: the state of every sequence (section 10.1) and the passes over it.
 * PdSession holds one of these for a model of this family.
 *
 * State of a sequence, per layer: the last `window` rows; where the layer has entries, all of them
 * and the tokens of the windows not yet complete; the same for the indexer's keys.  It only moves
 * forward.  An earlier position is reached from a snapshot of what later tokens overwrite (section
 * 10.3): the windows and the tokens of incomplete windows.  Snapshots are kept at every multiple of
 * anchor_units units, and at one more place that a caller may mark.  The last row alone, which may
 * have been a guess, is taken back at once: what it overwrites is kept.
 *
 * Entries are never overwritten.  They leave and enter in units of pd_ds_unit_tokens.
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

/* May put other ids in place of the n that a row's router (PD_DS_FFN_EXPERTS) or its indexer
 * (PD_DS_PICKS, ascending) has chosen: two runs whose numbers differ by rounding are compared with
 * the same choices, since nearly equal scores may be ordered either way. */
typedef void (*PdDsChoiceFunc)(PdDsStage stage, int layer, int position, int *ids, int n,
                               gpointer user_data);

#define PD_DS_ANCHOR_UNITS_DEFAULT 64

typedef struct {
    int n_sequences;
    int max_tokens;
    int batch_rows;
    gboolean mixed;   /* rows in mixed precision (rows.h) instead of F32 */
    int anchor_units; /* >= 1 */
    /* That model is packed for; NULL: the reference alone, in float32 and double. */
    PdDevice *device;
} PdDsRunOptions;

/* Bytes of state and scratch; saturating. */
guint64 pd_ds_run_bytes(const PdDsModel *model, const PdDsRunOptions *options);
/* NULL: no memory.  The model must outlive it. */
PdDsRun *pd_ds_run_new(const PdDsModel *model, const PdDsRunOptions *options);
void pd_ds_run_free(PdDsRun *run);

/* Tokens that a sequence's state has seen. */
int pd_ds_run_n_tokens(const PdDsRun *run, int sequence);
/* Back to the empty sequence. */
void pd_ds_run_clear(PdDsRun *run, int sequence);
/* Appends n <= batch_rows tokens, which must be in the vocabulary and fit.  FALSE: the device had
 * no memory for it; the sequence is back at its last snapshot. */
gboolean pd_ds_run_forward(PdDsRun *run, int sequence, const gint32 *tokens, int n);
/* Logits (n_vocab) of row `row` of the latest forward.  FALSE: no memory. */
gboolean pd_ds_run_logits(PdDsRun *run, int row, float *logits);
/*
 * The draft block (section 6.1), where model->has_draft: from rows [row, row + n) of the latest
 * forward, which was of this sequence, and the tokens that follow each, what comes after those.  It
 * has a window of its own: it goes on where its rows join those that it has seen, up to
 * pd_ds_run_n_drafted, and begins anew with an empty window where they do not.  Since it is one
 * layer, it is from its window'th row on as if it had seen all.  A sequence that went back to a
 * snapshot taken before the block had seen all of it has none of its rows.  FALSE: no memory; then
 * the block has seen no rows.
 */
gboolean pd_ds_run_draft(PdDsRun *run, int sequence, int row, const gint32 *next, int n);
/* Logits (n_vocab) of row `row` of the latest draft, the first being 0.  FALSE: no memory. */
gboolean pd_ds_run_draft_logits(PdDsRun *run, int row, float *logits);
int pd_ds_run_n_drafted(const PdDsRun *run, int sequence);
/* How many of the sequence's last rows the draft block could be given now: those of the latest
 * forward, 0 where that was of another sequence or is gone back behind. */
int pd_ds_run_n_at_hand(const PdDsRun *run, int sequence);
/* The token that the draft block thinks likeliest behind row `row` of the latest draft, ties to the
 * lower; -1: no memory. */
gint32 pd_ds_run_draft_token(PdDsRun *run, int row);
/* NULL turns it off. */
void pd_ds_run_set_trace(PdDsRun *run, PdDsTraceFunc func, gpointer user_data);
void pd_ds_run_set_choice(PdDsRun *run, PdDsChoiceFunc func, gpointer user_data);

/* --- state.c --- */

/* Tokens of a unit: 128 in the released models, where that is a multiple of every layer's ratio. */
int pd_ds_unit_tokens(const PdDsShape *s);

/* Goes back to the last snapshot at or before n_tokens, or to the empty sequence; by one row, the
 * last of a forward, to exactly n_tokens.  A state that is not beyond n_tokens stays. */
void pd_ds_run_rewind(PdDsRun *run, int sequence, int n_tokens);
/* Keeps a snapshot of the present state, in place of the one that was marked before. */
void pd_ds_run_mark(PdDsRun *run, int sequence);
/* `to` becomes what `from` is, or was at its last snapshot at or before n_tokens. */
void pd_ds_run_share(PdDsRun *run, int from, int to, int n_tokens);

/* The entries and index keys of unit `unit`, whose tokens the sequence has seen, layer by layer. */
gsize pd_ds_run_unit_bytes(const PdDsRun *run);
void pd_ds_run_save_unit(const PdDsRun *run, int sequence, int unit, guint8 *dst);
void pd_ds_run_load_unit(PdDsRun *run, int sequence, int unit, const guint8 *src);

/*
 * What there is to know at n_tokens beside whole units: layer by layer the window's rows in order
 * of position, the tokens of incomplete windows and the entries of the incomplete unit; then,
 * `drafted`, the window of the draft block.
 */
gsize pd_ds_run_snapshot_bytes(const PdDsRun *run, int n_tokens, gboolean drafted);
/* Bytes of all units of n_tokens and of the snapshots at their anchors and their end, without the
 * draft block's. */
guint64 pd_ds_kept_bytes(const PdDsModel *model, const PdDsRunOptions *options, int n_tokens);
/* The one that is kept at n_tokens, or NULL. */
const guint8 *pd_ds_run_snapshot(const PdDsRun *run, int sequence, int n_tokens, gboolean *drafted);
/* The sequence, whose units before n_tokens are loaded, is at n_tokens, and this is marked. */
void pd_ds_run_load_snapshot(PdDsRun *run, int sequence, int n_tokens, gboolean drafted,
                             const guint8 *src);

#endif
