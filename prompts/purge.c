/* See purge.h. */
#include "prompts/purge.h"

#include "prompts/gc.h"
#include "prompts/lexical.h"

gboolean
pd_corpus_purge(PdCorpus *corpus, const char *const *what, PdPurgeReport *report, PdKvGcReport *kv,
                GCancellable *cancellable, GError **error)
{
    *report = (PdPurgeReport){0};
    *kv = (PdKvGcReport){0};
    if (what[0] && !pd_corpus_purge_rows(corpus, what, FALSE, report, error))
        return FALSE;
    return pd_lexical_forget(corpus, error) && pd_corpus_erase_kv(corpus, kv, cancellable, error) &&
           pd_corpus_scrub(corpus, error);
}
