/*
 * Words that a PDF's lines break in two.
 *
 * "exam-" at a line's end and "ple" at the next one's beginning are "example" to a reader.  But the
 * hyphen may be the word's own ("non-" "exclusive"), and then only the line's end goes.  Which it
 * is, the document's other words say: whether they have the one or the other, or the halves by
 * themselves.  Without a word from there, small letters on both sides are one word.
 */
#ifndef PD_HYPHEN_H
#define PD_HYPHEN_H

#include "ingest/document.h"

/* Of each part, in order, what is to go from its text so that such words are whole: an array of
 * PdTextRange, in order, not touching, or NULL: nothing.  NULL for a document that is no PDF.  Free
 * with g_ptr_array_unref. */
GPtrArray *pd_hyphens_find(const PdDocument *document);

#endif
