/* Inside the PDF reader. */
#ifndef PD_PDF_H
#define PD_PDF_H

#include <poppler.h>

#include "ingest/readers/ocr.h"
#include "ingest/readers/pdf_glyphs.h"
#include "ingest/readers/readers.h"

/* The page's text in reading order as a part "page/N", a box a word.  *paired: FALSE if characters
 * and rectangles did not agree, and the part has no boxes. */
PdPart *pd_pdf_read_page(PdDocument *document, PopplerPage *page, gboolean *paired);

/* The page as a picture, read into a part "page/N" whose label says so.  NULL: there is nothing to
 * read on it, and no part was added. */
PdPart *pd_pdf_ocr_page(PdDocument *document, PopplerPage *page, PdOcr *ocr, PdOcrResult *result);

/* A word of the page in a link's text. */
typedef struct {
    PdTextRange range; /* in the text of comments, fields and links */
    guint box;         /* in the page's part */
} PdPdfLinkWord;

/* What stands beside the content of a page, as it is met. */
typedef struct {
    GString *hidden;     /* comments that the PDF hides from readers */
    GArray *link_words;  /* PdPdfLinkWord, in order */
    gboolean more_links; /* than the limit */
    gboolean has_files;  /* are attached to the page */
} PdPdfBeside;

/* Its comments, the values of its form fields and where its links lead as a part "page/N/comments";
 * `page_part`: the page's text.  NULL: it has none, and no part was added. */
PdPart *pd_pdf_read_comments(PdDocument *document, PopplerPage *page, const PdPart *page_part,
                             const PdReadLimits *limits, PdPdfBeside *beside);

/* Files that are attached to the document and to these of its pages (guint, from 1), each an
 * attachment of its own. */
gboolean pd_pdf_emit_attached(PopplerDocument *pdf, const GArray *pages, PdEmitter *emitter,
                              GError **error);

/* The document's outline as a part "outline", a line an entry.  NULL: it has none, and no part was
 * added.  *over: not all of it is in the part. */
PdPart *pd_pdf_read_outline(PdDocument *document, PopplerDocument *pdf, const PdReadLimits *limits,
                            gboolean *over);

/* A name as the PDF has it, on one line.  NULL: there is none.  Free with g_free. */
char *pd_pdf_one_line(const char *raw);

/* Put a page on which no prose runs in columns into rows: cells of a table beside each other. */
void pd_pdf_sort_rows(PdPart *part);

/* The page as pixels, from its top left corner.  *scale: pixels in a point, at most what it was
 * before and so that no side is longer than side_max.  *glyphs (may be NULL): what was drawn,
 * within `limits`.  NULL: the page has no size. */
cairo_surface_t *pd_pdf_render(PopplerPage *page, double side_max, const PdReadLimits *limits,
                               PdPdfGlyphs **glyphs, double *scale);

/* What stands on a page and cannot be read on paper (pdf_ink.c). */
typedef struct {
    guint n_words;    /* of the page */
    guint n_unseen;   /* of them: no contrast where they stand, or too small */
    guint n_lying;    /* of them, visible: the page shows other letters than the PDF says */
    GString *unseen;  /* the first of these words */
    GString *lying;   /* likewise, with what is shown instead: "SBK (PAY)" */
    GString *outside; /* words beyond the page's edge, which are in no text */
    guint n_outside;
    gboolean more_outside, more_lying, more_in_font; /* there is more than a limit */
    guint8 *marks; /* PD_PDF_UNSEEN or PD_PDF_LYING for each box of the part, or 0 */
} PdPdfInk;
enum { PD_PDF_UNSEEN = 1, PD_PDF_LYING = 2 };
PdPdfInk *pd_pdf_ink_look(PopplerPage *page, const PdPart *part, const PdReadLimits *limits);
void pd_pdf_ink_free(PdPdfInk *ink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPdfInk, pd_pdf_ink_free)

/* Where the words with one of these marks stand, neighbours together (PdTextRange). */
GArray *pd_pdf_ink_ranges(const PdPdfInk *ink, const PdPart *part, guint marks);

#endif
