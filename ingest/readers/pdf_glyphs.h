/* What poppler draws on a page, glyph by glyph, beside what the PDF says that it means. */
#ifndef PD_PDF_GLYPHS_H
#define PD_PDF_GLYPHS_H

#include "ingest/reader.h"

/* A glyph whose font knows it as another character than the PDF's character map says. */
typedef struct {
    double x, y;   /* its origin, on the baseline, in the drawing's pixels */
    double em;     /* the font's size there */
    gunichar said; /* by the PDF: the first letter or digit */
    gunichar drawn;
} PdPdfLie;

typedef struct {
    double width, height; /* of the drawing, in pixels */
    const PdReadLimits *limits;
    GArray *lies;          /* PdPdfLie */
    GString *outside;      /* the text of glyphs that lie beyond the drawing's edge, UTF-8 */
    gboolean more_lies;    /* than the limit */
    gboolean more_outside; /* likewise */
    gboolean more_in_font; /* characters: what the others show is not known */
} PdPdfGlyphs;
PdPdfGlyphs *pd_pdf_glyphs_new(const PdReadLimits *limits, double width, double height);
void pd_pdf_glyphs_free(PdPdfGlyphs *glyphs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPdfGlyphs, pd_pdf_glyphs_free)

/* What is drawn from now on goes into `glyphs` too; NULL: no more. */
void pd_pdf_glyphs_watch(PdPdfGlyphs *glyphs);

#endif
