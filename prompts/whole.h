/*
 * Reading as one text: prefix, then every segment with its numbered header, as one sequence; with
 * dense attention (whole, mode D) or block-sparse (sparse, mode S).
 *
 * The sequence's 16-bit rows are kept in chunks of PD_WHOLE_CHUNK_TOKENS.  The key of a chunk
 * hashes every token up to its end and the attention policy, so a document added at the end of the
 * corpus reuses all chunks before it, and a restored sequence continues bit for bit.
 *
 * With a DeepSeek-V4 model the functions below that read, count or name what is kept do so as
 * native.h says; the layout of the text is the same.
 */
#ifndef PD_WHOLE_H
#define PD_WHOLE_H

#include "prompts/context.h"
#include "prompts/passages.h"
#include "prompts/warm.h"

#define PD_WHOLE_CHUNK_TOKENS 1024

/* The tokens of the whole reading; `passages` (may be NULL) gets one PdPassage per segment. */
GArray *pd_whole_tokens(PdContext *context, GArray *passages);

/* The session that reads and answers in `mode`, for one sequence; dense but for SPARSE and for
 * DeepSeek-V4 models, whose own attention it is whatever the mode.  Sparse, the
 * prefix of n_prefix rows is always seen, the global layers' retrieval heads choose by their
 * queries (of a model that has none there those for citations, or else the first head of the global
 * layer next to its middle), and what a row sees at once stays within half the positions that the
 * model was trained on. */
PdSessionOptions pd_whole_session(PdModel *model, const PdProfile *profile, PdReadMode mode,
                                  guint n_prefix, int max_tokens);

/* Bring sequence 0 of `session` to exactly these tokens: load what is kept, run the rest, keep what
 * is new (when the corpus is open for writing).  `report` may be NULL. */
gboolean pd_whole_read(PdContext *context, PdSession *session, GArray *tokens, PdWarmReport *report,
                       PdWarmProgress progress, gpointer user_data, GCancellable *cancellable,
                       GError **error);

/* The keys of everything that is kept of the whole reading, 32 bytes each. */
GByteArray *pd_whole_keys(PdContext *context, GCancellable *cancellable, GError **error);
/* The owners (owner.h) of its chunks of chunk_tokens, 32 bytes each; n_tokens: all of it. */
GByteArray *pd_whole_owners(PdContext *context, guint n_tokens, guint chunk_tokens);

/* How many of the tokens are kept. */
gboolean pd_whole_count(PdContext *context, GArray *tokens, guint64 *n_tokens,
                        GCancellable *cancellable, GError **error);

#endif
