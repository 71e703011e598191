/* Which KV records of a corpus can still be of use, and giving the others' bytes back. */
#ifndef PD_GC_H
#define PD_GC_H

#include "prompts/context.h"

/*
 * Keeps every record, of whatever model and tier, that was made from text which the corpus holds
 * under the same header (owner.h), and records of unknown origin (made by versions that did not
 * note it).  The corpus must be open for writing unless dry_run.
 */
gboolean pd_corpus_gc(PdCorpus *corpus, gboolean dry_run, PdKvGcReport *report,
                      GCancellable *cancellable, GError **error);

/* Leaves no byte of any other record in a pack; those of unknown origin go too. */
gboolean pd_corpus_erase_kv(PdCorpus *corpus, PdKvGcReport *report, GCancellable *cancellable,
                            GError **error);

/* Keeps only what this context's model can use, read in any mode, in any tier. */
gboolean pd_context_gc(PdContext *context, gboolean dry_run, PdKvGcReport *report,
                       GCancellable *cancellable, GError **error);

#endif
