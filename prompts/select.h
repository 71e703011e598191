/* From scored blocks to the passages that are read: expand to natural borders, leave out what says
 * nothing new, spread over documents, merge, fill a budget, restore corpus order. */
#ifndef PD_SELECT_H
#define PD_SELECT_H

#include "prompts/passages.h"
#include "prompts/sweep.h"

typedef struct {
    guint budget_tokens;
    guint fresh_tokens;
    float likely_margin; /* as in PdReading */
} PdSelection;

/*
 * `blocks` best first. A segment of at most PD_SELECT_WHOLE_TOKENS is taken whole; from a longer
 * one the block with its neighbourhood, out to line borders. A passage whose every three words in a
 * row stand in those taken before (copies, quoted mails, boilerplate) is left out; among the
 * candidates (the best PD_SELECT_CANDIDATES blocks or 0.3 % of all) no document gets more than
 * PD_SELECT_PER_DOCUMENT passages before all others had their turn. Stops before budget_tokens
 * (headers included) is passed; the first passage is always taken. When PD_SELECT_LEAST_TOKENS are
 * taken, a block of the sweep comes in only if it stands out: a lead, or with at least
 * PD_SELECT_STANDS_OUT of the best score of the heads or of the words. Where the best were put in
 * order by reading them (rerank.h) and there is a likely_margin, it is PD_SELECT_LEAST_RANKED
 * tokens, and leads and blocks at most so much less likely than the best that are nearer to it than
 * to the mean of those read. From the middle of a function or section also its heading (heading.h)
 * is read: the passage is grown to it where it is near, else it is a passage of its own. The best
 * passages, up to fresh_tokens, are marked fresh and stand last next to the question. Returns
 * PdPassage in corpus order, numbered from 1, first_row not yet set; NULL: the corpus could not be
 * read.
 */
GArray *pd_select_passages(PdContext *context, GArray *blocks, const PdSelection *selection,
                           GError **error);

#define PD_SELECT_CANDIDATES 64
#define PD_SELECT_PER_DOCUMENT 4
#define PD_SELECT_WHOLE_TOKENS 320
#define PD_SELECT_MARGIN_TOKENS 48
#define PD_SELECT_HEADING_GAP_TOKENS 48
#define PD_SELECT_LEAST_TOKENS 400
#define PD_SELECT_STANDS_OUT 0.5f
#define PD_SELECT_LEAST_RANKED 200

#endif
