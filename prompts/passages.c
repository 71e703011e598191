/* See passages.h. */
#include "prompts/passages.h"

#include "prompts/error.h"
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

PdPartRow *
pd_passage_part(const PdContext *context, const PdPassage *passage, guint32 *start, guint32 *end,
                GError **error)
{
    const PdSegmentRow *row =
        g_array_index(context->segments, PdContextSegment, passage->segment).row;
    g_autoptr(PdPartRow) part = pd_corpus_part(context->corpus, row->part_id, error);

    if (!part)
        return NULL;
    pd_segment_bytes(row, passage->first_token, passage->n_tokens, start, end);
    if (*end > part->n_bytes || *start > *end) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                    "segment %" G_GINT64_FORMAT " lies outside its part; run: pandect -C %s verify",
                    row->id, pd_corpus_dir(context->corpus));
        return NULL;
    }
    return g_steal_pointer(&part);
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
