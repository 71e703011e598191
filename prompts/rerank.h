/*
 * Which of the passages found is the question about?  The sweep scores blocks by a few heads of the
 * lower layers; the whole model says better: how likely it finds the question after each passage
 * (query likelihood, Sachan et al. 2022, "Improving Passage Retrieval with Zero-Shot Question
 * Generation").  Passages come from their kept rows where there are any, so that only the question
 * is run behind each.
 */
#ifndef PD_RERANK_H
#define PD_RERANK_H

#include "prompts/passages.h"

/*
 * scores, f32 [n_passages]: the mean log-probability of the question's tokens behind each passage,
 * in nats.  `passages`: PdPassage of the context's segments; their fresh and first_row do not
 * count.
 */
gboolean pd_rerank(PdContext *context, const char *question, const GArray *passages, float *scores,
                   GCancellable *cancellable, GError **error);

#endif
