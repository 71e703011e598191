/*
 * Folding: what mails quote of each other is read once.
 *
 * A quote whose words stand in another mail of the corpus is replaced in the model's text by
 * "[quoted: Kay Smith, 2001-05-14]", and signatures, disclaimers and the footers of lists that an
 * earlier mail has by "[signature]" and "[footer]".  The last lines of a quote that is answered
 * right below stay, and so does what nobody else has.  The original stays in the part's view.
 *
 * A mail waits (PD_FOLD_WAITS) until a run has read its source to the end, and is then folded once:
 * what is added later does not change what was read before, so that kept KV stays good.  Only when
 * a mail goes that has what others leave out, those are read whole again, and wait for the next
 * run.  Settled mails come before those that wait, which come by source, date and number; what each
 * leaves out stands in one before it (fold_match.h), hence nothing is left out everywhere.
 *
 * Citations give bytes of the model's text: where that changes after the run that stored it, the
 * part as it was goes to a superseded document of the same key, and old citations still open.
 */
#ifndef PD_FOLD_H
#define PD_FOLD_H

#include "ingest/corpus_internal.h"

/* document.fold_rules: 0, nothing is left out; PD_FOLD_WAITS; or the rules by which it was folded.
 * They grow when the same mails would be folded otherwise. */
#define PD_FOLD_RULES 2
#define PD_FOLD_WAITS (-1)

/* All of these inside a transaction.  `run_id`: the run that does it; 0: none. */

/* Whether a live mail is to be folded; if that changes, it is read whole from here on, or waits. */
gboolean pd_fold_choose(PdCorpus *corpus, gint64 document_id, gboolean fold, gint64 run_id,
                        GError **error);
/* These live documents are about to go.  Nothing is folded any more because of them. */
gboolean pd_fold_release(PdCorpus *corpus, const gint64 *document_ids, gsize n, gint64 run_id,
                         GError **error);
/* Store another model's text of a part, with its view (NULL: the original) of which n_folded marks,
 * for n_bytes of the original, are folds. */
gboolean pd_fold_store(PdCorpus *corpus, const PdPartRow *part, const GString *text,
                       const PdTextView *view, guint n_folded, gsize n_bytes, gint64 run_id,
                       GError **error);

/* What of a part's view is masked, as replacements (PdReplacement) in its original; the marks are
 * put into `names`. */
GArray *pd_fold_kept_marks(const PdPartRow *part, GStringChunk *names);

#endif
