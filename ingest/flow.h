/*
 * Lines that only broke on their way: text/plain with format=flowed (RFC 3676).
 *
 * A line that ends in a space goes on in the next one.  Models read such paragraphs in one piece:
 * the soft line break, the quote marks and the stuffed space behind it are a mark of the part's
 * view that stands for nothing, so that every place still walks back to the line it was sent on.
 */
#ifndef PD_FLOW_H
#define PD_FLOW_H

#include "ingest/document.h"

/*
 * The bytes of a text (UTF-8, LF line ends) that are no part of what was written: PdTextRange, in
 * order, not touching.  A paragraph ends with a fixed line, before one of another quote depth and
 * before a signature's "-- " (RFC 3676, sections 4.1, 4.3, 4.5).  The first line of a quoted
 * paragraph keeps its quote marks.  Empty for PD_FLOW_FIXED.  Free with g_array_unref.
 */
GArray *pd_flow_ranges(const char *text, gsize n_bytes, PdFlow flow);

/*
 * Makes `text` the model's text: `marks` (PdReplacement, in order, not overlapping; NULL: none)
 * take place, and what only broke lines goes where no mark touches it.  NULL: nothing of both, the
 * text is as it was.
 */
PdTextView *pd_flow_view(GString *text, const GArray *marks, PdFlow flow);

#endif
