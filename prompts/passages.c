/* See passages.h. */
#include "prompts/passages.h"

void
pd_segment_bytes(const PdSegmentRow *row, guint first_token, guint n_tokens, guint32 *start,
                 guint32 *end)
{
    guint last = first_token + n_tokens;

    g_assert(last <= row->n_tokens);
    *start = first_token < row->n_tokens ? row->offsets[first_token] : row->end;
    *end = last < row->n_tokens ? row->offsets[last] : row->end;
}
