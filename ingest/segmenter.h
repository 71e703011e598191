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

/* One segment, lent for the call: its arrays are the next one's too.  FALSE with `error`: stop. */
typedef gboolean (*PdSegmentFunc)(const PdSegmentCut *cut, gpointer user_data, GError **error);

/* Cuts and tokenizes, each segment alone, in order, tiling [0, n_bytes), and calls `func` for each
 * as soon as it is cut.  The text is shorter than 4 GiB.  FALSE: cancelled, or `func` said so.
 * Thread-safe. */
gboolean pd_segment_each(PdTokenizer *tokenizer, const char *text, gsize n_bytes,
                         PdSegmentFunc func, gpointer user_data, GCancellable *cancellable,
                         GError **error);

/* The same, all of them: PdSegmentCut *.  NULL only when cancelled. */
GPtrArray *pd_segment_text(PdTokenizer *tokenizer, const char *text, gsize n_bytes,
                           GCancellable *cancellable, GError **error);

/* How natural a border is before byte `at` of the text, 0: none (inside a character or a CRLF). */
int pd_segment_border(const char *text, gsize n_bytes, gsize at);

#endif
