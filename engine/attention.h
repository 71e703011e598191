/*
 * Which earlier rows a row attends to: data of a session, not code of a caller.
 *
 *   dense   all of them (a local layer: its window)
 *   sparse  sinks + selected blocks + window (hybrid-attention design, 2.5-2.7 and 2.10, mode S)
 *
 * Sparse, for the rows of one pool (pool_rows neighbouring rows, counted from row 0 of the
 * sequence, so that nothing depends on how the work was cut):
 *
 *   sinks    rows [0, sink), sink_rows rounded up to whole blocks
 *   window   rows [w, row]; w: the pool's first row less window_rows, rounded down to a block
 *   blocks   budget_blocks of the blocks of PD_SCORE_BLOCK rows in [sink, w)
 *
 * A pool whose blocks all fit into the budget takes the dense kernel and gives the bits of a dense
 * session.  Otherwise the index layers (those that hold one of `heads`) choose: the queries of
 * pool_rows rows are averaged, without rotation of their own, turned by a fixed distance of
 * PD_SELECT_DISTANCE against the stored keys, and score a block by its best key.  A head's score of
 * a block is the maximum over the pooled queries of the chunk_rows rows before the pool,
 * standardised over all its blocks; a block gets the maximum over the heads, ties go to the lower
 * block.  Only rows before the pool vote: the list does not change inside a pool (hysteresis while
 * decoding), and a row never depends on rows behind it.  A layer that is no index layer uses the
 * list of the nearest index layer below it; below the first, sinks and window only.
 *
 * Keys are kept before RoPE and without bias.  Sinks, blocks in their order and window get
 * consecutive positions, so no distance is larger than what is visible; it is never larger than the
 * true one.
 */
#ifndef PD_ATTENTION_H
#define PD_ATTENTION_H

#include <glib.h>
#include "kernels/kernels.h"

typedef enum { PD_ATTENTION_DENSE, PD_ATTENTION_SPARSE } PdAttentionKind;

#define PD_ATTENTION_HEADS_MAX 16
#define PD_SELECT_DISTANCE 256

typedef struct {
    PdAttentionKind kind;
    int sink_rows;
    int window_rows;                      /* >= pool_rows */
    int budget_blocks;                    /* 0: sinks and window only */
    int chunk_rows;                       /* rows whose queries vote; a multiple of pool_rows */
    int pool_rows;                        /* 1 .. PD_LIST_ROWS_MAX */
    int n_heads;                          /* of `heads`; >= 1 unless budget_blocks is 0 */
    int heads[PD_ATTENTION_HEADS_MAX][2]; /* layer, query head; not in a local layer */
    gboolean lists_always; /* take lists where everything fits, too: for checks, dearer */
} PdAttentionPolicy;

/* The defaults of a model trained on n_ctx_train positions: what is visible stays well inside.
 * heads (pairs layer, head) beyond PD_ATTENTION_HEADS_MAX are left out. */
PdAttentionPolicy pd_attention_sparse(int n_ctx_train, int sink_rows, const int (*heads)[2],
                                      int n_heads);
/* Everything that changes numbers, for the key of kept rows.  Free with g_free. */
char *pd_attention_describe(const PdAttentionPolicy *policy);

#endif
