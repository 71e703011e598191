/* From scored blocks to the passages that are read: expand to natural borders, merge, fill a
 * budget, restore corpus order. */
#ifndef PD_SELECT_H
#define PD_SELECT_H

#include "prompts/passages.h"
#include "prompts/sweep.h"

/*
 * `blocks` best first.  A segment of at most PD_SELECT_WHOLE_TOKENS is taken whole; from a longer
 * one the block with its neighbourhood, out to line borders.  Stops before `budget_tokens` (headers
 * included) is passed; the first passage is always taken.  The best passages, up to fresh_tokens,
 * are marked fresh and stand last next to the question.  Returns PdPassage in corpus order,
 * numbered from 1, first_row not yet set.
 */
GArray *pd_select_passages(PdContext *context, GArray *blocks, guint budget_tokens,
                           guint fresh_tokens);

#define PD_SELECT_WHOLE_TOKENS 320
#define PD_SELECT_MARGIN_TOKENS 48

#endif
