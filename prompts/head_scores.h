/*
 * What every head of every layer gives every block of a haystack for every question, and what the
 * comparison by keys gives with every KV head: the material from which retrieval heads are chosen
 * (head_choice.h).
 *
 * The haystack's segments are encoded alone behind the shared prefix, as for a sweep, and the keys
 * of all layers kept in memory in 8 bits (Q8_0); queries, whitening and pooling are the sweep's own
 * (sweep_queries.c, whiten.c, sweep_pool.c).  What differs from a sweep of a corpus is the width of
 * the keys.
 */
#ifndef PD_HEAD_SCORES_H
#define PD_HEAD_SCORES_H

#include "prompts/haystack.h"

typedef struct {
    PdHead *heads; /* (n_heads): by layer, those by keys after the others */
    guint n_heads;
    guint n_questions;
    guint n_blocks;
    float *z; /* (n_heads, n_questions, n_blocks), standardised over the blocks */
} PdHeadScores;

typedef void (*PdHeadScoresProgress)(const char *doing, guint64 done, guint64 total,
                                     gpointer user_data);

/* context: any of those the haystack was made of. */
PdHeadScores *pd_head_scores_new(PdContext *context, const PdHaystack *haystack,
                                 PdHeadScoresProgress progress, gpointer user_data,
                                 GCancellable *cancellable, GError **error);
void pd_head_scores_free(PdHeadScores *scores);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdHeadScores, pd_head_scores_free)

/* The number of a head, whatever its group. */
guint pd_head_scores_find(const PdHeadScores *scores, const PdHead *head);

static inline const float *
pd_head_scores_of(const PdHeadScores *scores, guint head, guint question)
{
    return scores->z + ((gsize)head * scores->n_questions + question) * scores->n_blocks;
}

#endif
