/* Adding with the readers of reader.h.  A file of its own so that tests of the corpus need none. */
#include "ingest/corpus_internal.h"

gboolean
pd_corpus_add(PdCorpus *corpus, const char *path, PdTokenizer *tokenizer,
              const PdAddOptions *options, PdAddReport *report, GCancellable *cancellable,
              GError **error)
{
    static const PdCorpusReader reader = {pd_detect_kind, pd_read_source};
    PdAddOptions with_limits = options ? *options : (PdAddOptions){0};
    if (!with_limits.limits)
        with_limits.limits = &pd_read_limits_default;
    return pd_corpus_add_with_reader(corpus, &reader, path, tokenizer, &with_limits, report,
                                     cancellable, error);
}
