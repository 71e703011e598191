/*
 * The line that says what a place of a text belongs to: the first line of the function or class in
 * code, the title of the section in Markdown and reStructuredText.  A passage from the middle of a
 * long function is read with it, so that the function's name can be answered and cited.
 */
#ifndef PD_HEADING_H
#define PD_HEADING_H

#include "ingest/corpus.h"

typedef enum {
    PD_TEXT_PLAIN, /* mail, pages */
    PD_TEXT_CODE,
    PD_TEXT_MARKUP,
    PD_TEXT_TABLE /* JSON, CSV and the like: lines without headings */
} PdTextKind;
/* By the document's kind and the end of its name. */
PdTextKind pd_text_kind(const PdDocumentRow *document);
/* Does each line of it say something of its own? */
gboolean pd_text_in_lines(const PdDocumentRow *document);

/*
 * The heading of byte `at` of a text: the nearest line before the line of `at` that begins a
 * definition or a section and has not been closed again.  FALSE: there is none, or the line of `at`
 * is one.  *start, *end: the line, without its end.  Lines longer than PD_HEADING_BYTES_MAX are no
 * headings; at most PD_HEADING_LINES_MAX lines are looked at.
 *
 * The rule for code is that of the hunk headers of `git diff` (a letter, '_' or '$' in the first
 * column), less what cannot open a body: labels, and lines that end in ';'.  Indented lines count
 * where a keyword defines something ("def", "class", "fn", ...) and they are indented less than the
 * place.
 */
gboolean pd_heading_before(PdTextKind kind, const char *text, gsize n_bytes, gsize at,
                           guint32 *start, guint32 *end);

#define PD_HEADING_BYTES_MAX 200
#define PD_HEADING_LINES_MAX 4000

#endif
