/* What the parts of the sweep share: sweep_queries.c makes the queries, sweep_whiten.c whitens
 * those that are keys, sweep_scan.c scores keys with them, sweep.c makes of that an order of
 * blocks. */
#ifndef PD_SWEEP_INTERNAL_H
#define PD_SWEEP_INTERNAL_H

#include "prompts/sweep.h"

/* The queries of several questions at the heads that score. */
typedef struct {
    PdContext *context;
    const PdHead *heads;
    int n_heads;
    guint n_questions;
    int *first;    /* (n_questions + 1): where each question's queries start */
    int n_queries; /* of all questions */
    /* (n_heads, n_queries, head_dim): queries turned by PD_SWEEP_DISTANCE, or keys, before RoPE and
     * without bias */
    float *queries;
} PdSweepQueries;

void pd_sweep_queries_clear(PdSweepQueries *queries);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdSweepQueries, pd_sweep_queries_clear)
gboolean pd_sweep_queries_make(PdSweepQueries *queries, const char *const *questions,
                               GCancellable *cancellable, GError **error);

/* Whiten the keys among the queries by a sample of the corpus'. */
gboolean pd_sweep_whiten(PdSweepQueries *queries, guint n_blocks, GCancellable *cancellable,
                         GError **error);

/*
 * One pass over the records.  best: (n_heads, n_blocks, n_queries), the best score of each block's
 * keys and its header's with each query.  Damaged records are dropped, then it fails with CORRUPT.
 */
gboolean pd_sweep_scan(const PdSweepQueries *queries, guint n_blocks, float *best,
                       GCancellable *cancellable, GError **error);

gboolean pd_sweep_no_memory(GError **error);

#endif
