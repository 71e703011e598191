/*
 * Numbers that a PDF has in front of its lines, as pleadings and transcripts do: each page counts
 * its lines from 1, in the margin.  To a model they would stand in the middle of sentences, and the
 * space between double-spaced lines would part them.
 */
#ifndef PD_LINE_NUMBERS_H
#define PD_LINE_NUMBERS_H

#include "ingest/document.h"

/*
 * Of each part, in order, these numbers with what parts them from the line before: an array of
 * PdTextRange, in order, not touching, or NULL: it has none.  Only where three pages count up to
 * the same number, one below the other at the same place: rows of a table that are numbered go on
 * from page to page, or end where the table does.  NULL for a document that is no PDF.  Free with
 * g_ptr_array_unref.
 */
GPtrArray *pd_line_numbers_find(const PdDocument *document);

#endif
