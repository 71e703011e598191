/* Inside the PDF reader. */
#ifndef PD_PDF_H
#define PD_PDF_H

#include <poppler.h>

#include "ingest/readers/ocr.h"
#include "ingest/readers/readers.h"

/* The page's text in reading order as a part "page/N", a box a word.  *paired: FALSE if characters
 * and rectangles did not agree, and the part has no boxes. */
PdPart *pd_pdf_read_page(PdDocument *document, PopplerPage *page, gboolean *paired);

/* The page as a picture, read into a part "page/N" whose label says so.  NULL: there is nothing to
 * read on it, and no part was added. */
PdPart *pd_pdf_ocr_page(PdDocument *document, PopplerPage *page, PdOcr *ocr, PdOcrResult *result);

/* Put a page on which no prose runs in columns into rows: cells of a table beside each other. */
void pd_pdf_sort_rows(PdPart *part);

/* Words of a page that a reader of the printed page cannot see: no contrast where they stand, or
 * too small.  Appends them to `words`, and where they stand to `ranges` (PdTextRange, neighbours
 * together); returns their number, and in *n_words that of all words. */
guint pd_pdf_hidden_words(PopplerPage *page, const PdPart *part, GString *words, GArray *ranges,
                          guint *n_words);

#endif
