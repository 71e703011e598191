/*
 * Reading pictures of text, with tesseract where that is installed.
 *
 * The library is looked for at run time and used through its C interface (tesseract/capi.h, the
 * same in versions 4 and 5), so that nothing has to be built for it.  It is loaded when the first
 * page needs it, inside the sandbox, since loading it takes longer than reading a short PDF; there
 * it reads libraries, its own data and pixels that we drew.
 */
#ifndef PD_OCR_H
#define PD_OCR_H

#include "ingest/document.h"

typedef struct PdOcr PdOcr;

/* What loading and running it reads: added to read_paths (char *) before the sandbox. */
void pd_ocr_grant(GPtrArray *read_paths);
/* NULL: tesseract is not installed (UNSUPPORTED; the error says how to get it). */
PdOcr *pd_ocr_load(GError **error);
/* languages: "eng", "nor+eng".  UNSUPPORTED: there is no data for one of them. */
gboolean pd_ocr_start(PdOcr *ocr, const char *languages, GError **error);
void pd_ocr_free(PdOcr *ocr);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdOcr, pd_ocr_free)
/* "tesseract 5.3.0, eng", once it is started. */
const char *pd_ocr_describe(const PdOcr *ocr);

typedef struct {
    const guint8 *pixels; /* 8 bits of grey each */
    int width;
    int height;
    int stride;          /* bytes from row to row */
    double pixels_point; /* pixels in a point (1/72 inch) */
} PdOcrImage;

typedef struct {
    guint n_words;
    double confidence; /* 0 to 100, the words' mean; tesseract's own opinion */
} PdOcrResult;

/* Words with their boxes (points) into `part`, whose boxes must be there; lines end with a newline,
 * paragraphs with an empty line. */
PdOcrResult pd_ocr_read(PdOcr *ocr, const PdOcrImage *image, PdPart *part);

#endif
