/*
 * Finding passages by their words: BM25 of SQLite's FTS5 over the blocks that the sweep scores.
 *
 * A row of the index is one block of 64 tokens, a little of its neighbours on both sides and the
 * header of its segment.  The index lies in corpus.db and grows with the corpus at the next search;
 * where the corpus cannot be written it is made in memory and lives as long as the context.
 */
#ifndef PD_LEXICAL_H
#define PD_LEXICAL_H

#include "prompts/context.h"
#include "prompts/sweep.h"

#define PD_LEXICAL_MARGIN_TOKENS 16

void pd_lexical_free(PdLexical *lexical);

/* Takes all words out of the corpus's index; the next search makes it anew. */
gboolean pd_lexical_forget(PdCorpus *corpus, GError **error);

/*
 * The n best blocks for the question's content words, best first: PdBlock with `lexical` and
 * `score` set, found_by PD_FOUND_FTS.  A word is looked for as a whole (with the stemming of FTS5's
 * porter), never as FTS5's query language.  Fewer or none when few blocks hold any of the words.
 */
GArray *pd_lexical_search(PdContext *context, const char *question, guint n,
                          GCancellable *cancellable, GError **error);

/* How many blocks found by words stand among those of the sweep, and after how many of those each.
 * Words find what is asked for literally, the sweep finds both; half of each is worse than the
 * sweep alone, a few as insurance are not (hybrid-attention design, section 8). */
#define PD_LEXICAL_INSURANCE 8
#define PD_LEXICAL_EVERY 4

/*
 * Puts the best `found` (of pd_lexical_search) between the blocks: after each `every` of their own
 * order comes the next of `found` that was not among them yet, `most` in all.  Every block stays in
 * the list once; those that come in are marked with `mark`, a PdFoundBy.
 */
void pd_lexical_mix(GArray *blocks, GArray *found, guint every, guint most, guint mark);

/* Beside the sweep: pd_lexical_mix with the numbers above; all of `found` is marked PD_FOUND_FTS
 * and gets its score. */
void pd_lexical_insure(GArray *blocks, GArray *found);

#endif
