/* Taking sources and documents out of a corpus so that no byte of them is left in its folder. */
#ifndef PD_PURGE_H
#define PD_PURGE_H

#include "engine/kv_store.h"
#include "ingest/corpus.h"

/*
 * Removes what `what` names (sources by alias or path, documents by id; NULL-terminated) with
 * earlier revisions and attachments, the index of words, and every KV record that was not made from
 * what stays; then rewrites packs and database and empties the log.  All of `what` or, on an error
 * before the rows are gone, nothing.
 *
 * It may be killed at any point: the corpus opens, and until the work is finished
 * pd_corpus_purge_is_open says so; an empty `what` finishes it.  The database is written anew,
 * which needs as much free space as it takes.  Another program that reads the corpus may keep the
 * log alive: that is an error, run it again.
 */
gboolean pd_corpus_purge(PdCorpus *corpus, const char *const *what, PdPurgeReport *report,
                         PdKvGcReport *kv, GCancellable *cancellable, GError **error);

#endif
