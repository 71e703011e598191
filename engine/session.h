/*
 * A session runs a model over one or several sequences of tokens and keeps their KV.
 *
 * All work is by rows: pd_session_run takes any number of rows of any sequences (prefill chunks and
 * single decode rows of different prompts mix in one call); the session splits them into
 * micro-batches.  Rows of one sequence are always appended at its end.
 *
 * A model of the DeepSeek family (engine/deepseek/) keeps a state that only moves forward, in F32
 * or in the family's mixed precision: its sessions run, truncate and share rows (from the last
 * snapshot before, running the tokens behind it again); rows in and out, the tap, the attention
 * record and sparse policies are of the other models only, and asking for them is a mistake of the
 * program.
 *
 * Determinism: a row's result depends only on its own sequence's tokens, whatever else is in the
 * batch and however the prompt was cut, bit for bit on one device and instruction set.
 */
#ifndef PD_SESSION_H
#define PD_SESSION_H

#include <gio/gio.h>
#include "engine/attention.h"
#include "engine/model.h"

typedef struct PdSession PdSession;

typedef struct {
    int n_sequences; /* >= 1 */
    int max_tokens;  /* capacity of each sequence, in rows */
    /* PD_F16 or PD_Q8_0; PD_F32 for checks against a reference, slow.  Of a DeepSeek model PD_F32,
     * or PD_Q8_0, which stands for its mixed precision of 4, 8 and 16 bits. */
    PdDtype kv_type;
    int batch_rows; /* rows per micro-batch, 0: 512 */
    int n_layers;   /* run only the first n layers (0: all); then there are no logits */
    /* PD_F16, PD_F32: keep keys before RoPE and without bias, as PD_Q8_0 always does.  Sparse
     * attention implies it. */
    gboolean position_free;
    PdAttentionPolicy attention; /* zeros: dense */
    int anchor_units;            /* DeepSeek: a snapshot every so many units of 128 tokens, 0: 64 */
    gboolean reference;          /* DeepSeek: by the plain forward pass that defines it; slow */
} PdSessionOptions;

/* Bytes the session will allocate (KV + scratch), for the planner. */
guint64 pd_session_bytes(const PdModel *model, const PdSessionOptions *options);
PdSession *pd_session_new(PdModel *model, const PdSessionOptions *options, GError **error);
void pd_session_free(PdSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdSession, pd_session_free)

PdModel *pd_session_model(PdSession *session);
int pd_session_n_tokens(const PdSession *session, int sequence);
/* Forget all rows from n_tokens on.  The last row of a run is forgotten without more ado. */
void pd_session_truncate(PdSession *session, int sequence, int n_tokens);
/* Makes truncating to the present number of rows cheap, until it is cut further or marked anew: of
 * a DeepSeek model's sequence, which else goes back to its last anchor and runs from there.  No
 * work for other models. */
gboolean pd_session_mark(PdSession *session, int sequence, GError **error);

/* One entry: n tokens appended to one sequence. */
typedef struct {
    int sequence;
    const gint32 *tokens;
    int n_tokens;
    /* Where the logits of the last token (or, with all_logits, of every token) go: f32 (1 or
     * n_tokens, n_vocab), or NULL. */
    float *logits;
    gboolean all_logits;
} PdRun;

/*
 * What the layers compute, shown to a caller who wants to keep or score it.  Called once per layer,
 * micro-batch and sequence in it, in order, on the calling thread.  Pointers are host memory valid
 * during the call.
 *   q   f32 (n_rows, n_heads, head_dim): with bias and norm, before RoPE
 *   k   f32 (n_rows, n_kv_heads, head_dim): with norm, WITHOUT bias, before RoPE
 *   v   f32 (n_rows, n_kv_heads, head_dim): with bias
 */
typedef struct {
    int layer;
    int sequence;
    int first_row; /* position in the sequence of row 0 */
    int n_rows;
    const float *q;
    const float *k;
    const float *v;
} PdLayerRows;
typedef void (*PdTapFunc)(const PdLayerRows *rows, gpointer user_data);

/* NULL turns it off.  layer_mask: one gboolean a layer of the model (copied), NULL: all layers. */
void pd_session_set_tap(PdSession *session, PdTapFunc func, const gboolean *layer_mask,
                        gpointer user_data);

/* done and total count rows; return FALSE to stop (the call fails with CANCELLED, the sequences
 * keep what was finished). */
typedef gboolean (*PdProgressFunc)(guint64 done, guint64 total, gpointer user_data);

gboolean pd_session_run(PdSession *session, const PdRun *runs, int n_runs,
                        GCancellable *cancellable, PdProgressFunc progress, gpointer user_data,
                        GError **error);

/*
 * The token that the model's draft block (MTP of DeepSeek-V4, engine/deepseek/draft.c) expects
 * behind `next`, which is to follow the sequence's rows and is not run yet: who runs both together
 * gets the logits behind `next` and, where the guess turns out right, those behind it in one pass;
 * where not, pd_session_truncate takes the row back.  The block sees the rows of the latest run,
 * and what it saw before if they join.  *guess -1: the model has no such block, the sequence's last
 * rows are not of the latest run, or two more tokens do not fit.
 */
gboolean pd_session_draft(PdSession *session, int sequence, gint32 next, gint32 *guess,
                          GError **error);

/*
 * The rows of a sequence as bytes, exactly as they lie in the cache: for each layer K then V, each
 * (n_kv_heads, n_rows, row_bytes); a sparse session's rows end with the queries of its index heads,
 * (heads, n_rows, row_bytes), without which it could not choose the same blocks.  load puts rows
 * [first, first+n) back so that the sequence continues bit for bit as if it had never stopped; the
 * sequence must hold exactly `first` rows.
 */
guint64 pd_session_row_bytes(const PdSession *session); /* all layers, K and V (and queries) */
void pd_session_save_rows(PdSession *session, int sequence, int first, int n, void *dst);
gboolean pd_session_load_rows(PdSession *session, int sequence, int first, int n,
                              const gint32 *tokens, const void *src, gsize n_bytes, GError **error);
/* Copy rows 0..n-1 of one sequence to another (a shared prefix), which then holds exactly them. */
gboolean pd_session_share_rows(PdSession *session, int from, int to, int n, GError **error);
/*
 * Append n rows whose keys and values are given instead of computed, position-free as the tap shows
 * them (k before RoPE, without bias); they are placed behind the sequence's present rows.  `fill`
 * is called once per micro-batch and layer: it writes rows [first, first + n_rows) of this call, k
 * and v f32 (n_rows, n_kv_heads, head_dim).  In a sparse session these rows' queries count as zero.
 */
typedef void (*PdFillFunc)(int layer, int first, int n_rows, float *k, float *v,
                           gpointer user_data);
gboolean pd_session_put_rows(PdSession *session, int sequence, const gint32 *tokens, int n,
                             PdFillFunc fill, gpointer user_data, GError **error);
/* The tokens of a sequence so far. */
const gint32 *pd_session_tokens(const PdSession *session, int sequence);
/* The rotation that a layer uses, with the table filled for at least n_positions (<= max_tokens; a
 * sparse session's table holds only what it can see at once, at least 257 positions):
 * for callers who turn tapped queries and keys themselves.  Owned by the session. */
const PdRope *pd_session_rope(PdSession *session, int layer, int n_positions);

/*
 * Turn on the attention record: for each row decoded after this call (n_tokens = 1 runs), the mean
 * over `heads` of the attention weights over the sequence's rows so far.  heads: pairs layer, head
 * (copied); n_heads 0 turns it off.  The record of the last decoded row: f32 [n_rows], n_rows = the
 * rows it saw (n_tokens(sequence) right after the run), owned by the session; NULL when off or when
 * no row has been decoded since.  Rows that a sparse session did not select weigh 0.
 */
void pd_session_record_attention(PdSession *session, const int (*heads)[2], int n_heads);
const float *pd_session_attention(PdSession *session, int sequence, int *n_rows);

/*
 * What a sparse session chose, for tests and reports: the blocks (of PD_SCORE_BLOCK rows, counted
 * from row 0, ascending) of an index layer's latest list, owned by the session, and in *pool the
 * pool of rows it is for.  NULL: none yet.
 */
const int *pd_session_blocks(PdSession *session, int sequence, int layer, int *pool, int *n_blocks);
/* Lists made so far, and how often a head's scores of all blocks were equal or not finite, so that
 * it had no vote (0 unless the text repeats itself or something is wrong). */
void pd_session_selections(const PdSession *session, guint64 *n_lists, guint64 *n_flat);

#endif
