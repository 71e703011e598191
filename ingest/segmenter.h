/*
 * Cutting a text into segments, the units that are tokenized, encoded and cached alone.
 *
 * A segment has at most PD_SEGMENT_TOKENS_MAX tokens and ends at the strongest natural border
 * between the first 1,024 and the last of them: before a heading or a top-level definition, between
 * paragraphs, between sentences or lines, never inside a UTF-8 character.  Where a cut falls
 * depends on the text near it alone, so an insertion moves the cuts around it and soon none after.
 */
#ifndef PD_SEGMENTER_H
#define PD_SEGMENTER_H

#include <gio/gio.h>
#include "engine/tokenizer.h"

#define PD_SEGMENT_TOKENS_MAX 2048
#define PD_SEGMENT_TOKENS_MIN 1024 /* but for the last one of a text */

typedef struct {
    guint32 start; /* bytes in the text */
    guint32 end;
    GArray *ids;     /* guint32 */
    GArray *offsets; /* guint32: where each token starts in the text */
} PdSegmentCut;
void pd_segment_cut_free(PdSegmentCut *cut);

/* Cuts and tokenizes, each segment alone: PdSegmentCut *, in order, tiling [0, n_bytes).  The text
 * is shorter than 4 GiB.  NULL only when cancelled.  Thread-safe. */
GPtrArray *pd_segment_text(PdTokenizer *tokenizer, const char *text, gsize n_bytes,
                           GCancellable *cancellable, GError **error);

/* How natural a border is before byte `at` of the text, 0: none (inside a character or a CRLF). */
int pd_segment_border(const char *text, gsize n_bytes, gsize at);

#endif
