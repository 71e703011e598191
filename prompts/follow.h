/*
 * Following a lead.  The passage that answers the first half of a question often names what the
 * second half is about: the question asks for the town where a module's author lives, one document
 * names the author, another the town.  The sentence among the best blocks that shares most words
 * with the question is the lead; its other words are looked for in the corpus, and the blocks that
 * have them come in between the best ones.  (Pseudo-relevance feedback, as in Rocchio, 1971; here
 * from one sentence, and the found blocks are added, not the query changed.)
 */
#ifndef PD_FOLLOW_H
#define PD_FOLLOW_H

#include "prompts/context.h"

/* The blocks among which the lead is looked for. */
#define PD_FOLLOW_FROM 4
/* How many blocks its words may find; how many of them come in, and after how many others each. */
#define PD_FOLLOW_FOUND 8
#define PD_FOLLOW_BLOCKS 2
#define PD_FOLLOW_EVERY 3

/* `blocks`: PdBlock, best first; those that come in move up and are marked PD_FOUND_LEAD. */
gboolean pd_follow_lead(PdContext *context, const char *question, GArray *blocks,
                        GCancellable *cancellable, GError **error);

#endif
