/* See reader.h. */
#include "prompts/reader.h"

#include "prompts/error.h"
#include "prompts/layout.h"

static void
clear_segment(gpointer data)
{
    PdContextSegment *segment = data;

    g_free(segment->header);
    g_clear_pointer(&segment->header_ids, g_array_unref);
}

PdContext *
pd_reader_view_new(PdContext *context, PdModel *reader, GError **error)
{
    g_autoptr(PdContext) view = NULL;

    if (!pd_model_tokenizer(reader)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND,
                    "%s has no tokenizer; put tokenizer.json beside its weights",
                    pd_model_path(reader));
        return NULL;
    }
    view = g_new0(PdContext, 1);
    view->corpus = context->corpus;
    view->model = pd_model_ref(reader);
    view->profile = pd_profile_for(pd_model_shape(reader));
    view->mode = PD_READ_SWEPT;
    view->rows = g_ptr_array_new_with_free_func((GDestroyNotify)pd_segment_row_free);
    view->segments = g_array_new(FALSE, FALSE, sizeof(PdContextSegment));
    g_array_set_clear_func(view->segments, clear_segment);
    view->prefix = pd_layout_prefix(reader);
    return g_steal_pointer(&view);
}

/* A token may begin or end inside a character; the reader's text does not. */
static void
grow_to_characters(const PdPartRow *part, guint32 *start, guint32 *end)
{
    *end = (guint32)MIN(*end, part->n_bytes);
    *start = MIN(*start, *end);
    while (*start > 0 && ((guchar)part->text[*start] & 0xc0) == 0x80)
        (*start)--;
    while (*end < part->n_bytes && ((guchar)part->text[*end] & 0xc0) == 0x80)
        (*end)++;
}

static PdSegmentRow *
tokenize(PdContext *view, const PdSegmentRow *from, const PdPassage *passage, GError **error)
{
    g_autoptr(PdPartRow) part = pd_corpus_part(view->corpus, from->part_id, error);
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    PdSegmentRow *row;

    if (!part)
        return NULL;
    row = g_new0(PdSegmentRow, 1);
    row->part_id = from->part_id;
    row->document_id = from->document_id;
    pd_segment_bytes(from, passage->first_token, passage->n_tokens, &row->start, &row->end);
    grow_to_characters(part, &row->start, &row->end);
    pd_tokenizer_encode(pd_model_tokenizer(view->model), part->text + row->start,
                        row->end - row->start, ids, offsets);
    for (guint i = 0; i < offsets->len; i++)
        g_array_index(offsets, guint32, i) += row->start;
    row->n_tokens = ids->len;
    row->ids = (guint32 *)(gpointer)g_array_free(g_steal_pointer(&ids), FALSE);
    row->offsets = (guint32 *)(gpointer)g_array_free(g_steal_pointer(&offsets), FALSE);
    return row;
}

GArray *
pd_reader_passages(PdContext *view, PdContext *context, GArray *passages, GError **error)
{
    g_autoptr(GArray) seen = g_array_copy(passages);

    for (guint i = 0; i < seen->len; i++) {
        PdPassage *passage = &g_array_index(seen, PdPassage, i);
        const PdContextSegment *from =
            &g_array_index(context->segments, PdContextSegment, passage->segment);
        PdSegmentRow *row = tokenize(view, from->row, passage, error);
        PdContextSegment segment = {.row = row, .document = from->document};

        if (!row)
            return NULL;
        g_ptr_array_add(view->rows, row);
        segment.header = g_strdup(from->header);
        segment.header_ids = pd_layout_header(view->model, from->header);
        view->n_tokens += row->n_tokens + segment.header_ids->len;
        g_array_append_val(view->segments, segment);
        passage->segment = view->segments->len - 1;
        passage->first_token = 0;
        passage->n_tokens = row->n_tokens;
        passage->fresh = TRUE;
    }
    return g_steal_pointer(&seen);
}
