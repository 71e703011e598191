/*
 * What models read of a document as a reader gave it: secrets and hidden text are masked
 * (ingest/mask.h), lines that only broke on their way are in one piece (ingest/flow.h), and so are
 * words that a page's lines break (ingest/hyphen.h); numbers of a page's lines go
 * (ingest/line_numbers.h).  What mails quote of each other is left out
 * later, when all are there (ingest/fold.h).
 */
#ifndef PD_MODEL_TEXT_H
#define PD_MODEL_TEXT_H

#include "ingest/document.h"

/* Makes the texts of all parts those that models read; a part where they differ gets a view.
 * `mask`: also of what is masked, in the title too. */
void pd_model_text_make(PdDocument *document, gboolean mask);

#endif
