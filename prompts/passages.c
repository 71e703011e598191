/* See passages.h. */
#include "prompts/passages.h"

#include "prompts/layout.h"

void
pd_segment_bytes(const PdSegmentRow *row, guint first_token, guint n_tokens, guint32 *start,
                 guint32 *end)
{
    guint last = first_token + n_tokens;

    g_assert(last <= row->n_tokens);
    *start = first_token < row->n_tokens ? row->offsets[first_token] : row->end;
    *end = last < row->n_tokens ? row->offsets[last] : row->end;
}

void
pd_passage_append(const PdContext *context, PdPassage *passage, GArray *prompt)
{
    const PdContextSegment *segment =
        &g_array_index(context->segments, PdContextSegment, passage->segment);

    pd_layout_number(context->model, passage->number, prompt);
    g_array_append_vals(prompt, segment->header_ids->data, segment->header_ids->len);
    passage->first_row = (int)prompt->len;
    g_array_append_vals(prompt, segment->row->ids + passage->first_token, passage->n_tokens);
}
