/*
 * The order of the best blocks by reading them: the model is shown a block and asked for a question
 * that it answers, and the likelihood which it gives the question that was asked is the block's
 * score (query likelihood: Ponte and Croft 1998; by a language model without training: Sachan et
 * al. 2022, "Improving Passage Retrieval with Zero-Shot Question Generation").
 */
#ifndef PD_RERANK_H
#define PD_RERANK_H

#include "prompts/context.h"

/* What is run for one block besides the question: the block with its margins and header, and what
 * the model is told to do; about. */
#define PD_RERANK_BLOCK_TOKENS 116
#define PD_RERANK_TASK_TOKENS 20

/* Memory that takes, for the planner. */
guint64 pd_rerank_bytes(PdModel *model, guint question_tokens);

typedef void (*PdRerankProgress)(guint64 n_done, guint64 n_blocks, gpointer user_data);

/* Puts the first n of `blocks` (PdBlock, all of them if there are fewer) in the order of their
 * likelihood and sets it; ties stay as they are.  In the full tier blocks come from their kept
 * rows, so that little but the question is run; in the index tier all is.  `progress` (may be NULL)
 * counts blocks. */
gboolean pd_rerank_blocks(PdContext *context, const char *question, GArray *blocks, guint n,
                          GCancellable *cancellable, PdRerankProgress progress, gpointer user_data,
                          GError **error);

/* How many of the blocks were read; their best and their mean likelihood, 0 if none was. */
guint pd_rerank_likelihoods(GArray *blocks, float *best, float *mean);

#endif
