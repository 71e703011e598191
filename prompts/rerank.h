/*
 * The order of the best blocks by reading them: the model is shown a block and asked for a question
 * that it answers, and the likelihood which it gives the question that was asked is the block's
 * score (query likelihood: Ponte and Croft 1998; by a language model without training: Sachan et
 * al. 2022, "Improving Passage Retrieval with Zero-Shot Question Generation").
 */
#ifndef PD_RERANK_H
#define PD_RERANK_H

#include "prompts/context.h"
#include "prompts/sweep.h"

/* What is run for one block besides the question: the block with its margins and header, and what
 * the model is told to do; about. */
#define PD_RERANK_BLOCK_TOKENS 116
#define PD_RERANK_TASK_TOKENS 20

/* Memory that takes, for the planner. */
guint64 pd_rerank_bytes(PdModel *model, guint question_tokens);

typedef void (*PdRerankProgress)(guint64 n_done, guint64 n_blocks, gpointer user_data);

/* Puts the first n of `blocks` (PdBlock, all of them if there are fewer) in the order of their
 * merit and sets the likelihood; ties stay as they are.  In the full tier blocks come from their
 * kept rows, so that little but the question is run; in the index tier all is.  `progress` (may be
 * NULL) counts blocks. */
gboolean pd_rerank_blocks(PdContext *context, const char *question, GArray *blocks, guint n,
                          GCancellable *cancellable, PdRerankProgress progress, gpointer user_data,
                          GError **error);

/*
 * What a block that was read is worth, in nats a token: its likelihood, and PD_RERANK_SWEEP_WEIGHT
 * for each deviation of its score.  The likelihood alone is low where question and text share no
 * word, which is where the sweep's heads by keys are best.  Mean reciprocal rank of the place by
 * sweep, likelihood and both: 0.67, 0.79, 0.81 (0.5B, best 64 of 131,072 tokens, 67 planted
 * questions), 0.90, 0.95, 0.99 (1.5B, best 24 of 32,768 tokens, 67); any weight from 0.03 to 0.12
 * does as well within 0.01.
 */
#define PD_RERANK_SWEEP_WEIGHT 0.05f

static inline float
pd_rerank_merit(const PdBlock *block)
{
    return block->likelihood + PD_RERANK_SWEEP_WEIGHT * block->score;
}

/* The best likelihood of those that were read, 0 if none was. */
float pd_rerank_best_likelihood(GArray *blocks);

#endif
