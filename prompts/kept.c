/* See kept.h. */
#include "prompts/kept.h"

#include "kernels/kv_block.h"
#include "prompts/segment_kv.h"

/* One passage being put: header rows first, then rows of the segment from first_token on. */
typedef struct {
    const PdModelShape *shape;
    const guint8 *record;
    int n_header;
    int first_token;
} Source;

/* Rows [first, first + n) of one section of a stream. */
static void
unpack(const PdKeyStream *stream, gboolean values, gboolean header, int head_dim, int first, int n,
       float *to, gsize stride)
{
    const guint8 *section = header ? stream->header : stream->rows;
    int n_section = (int)(header ? stream->n_header_rows : stream->n_rows);

    if (n <= 0)
        return;
    if (values)
        pd_value_stream_unpack(stream->bits, head_dim, section, n_section, first, n, to, stride);
    else
        pd_key_stream_unpack(stream->bits, head_dim, section, n_section, first, n, to, stride);
}

static void
fill_rows(int layer, int first, int n_rows, float *k, float *v, gpointer user_data)
{
    const Source *source = user_data;
    int d = source->shape->head_dim, n_heads = source->shape->n_kv_heads;
    gsize stride = (gsize)n_heads * (gsize)d;
    int n_header = CLAMP(source->n_header - first, 0, n_rows);
    int own = first + n_header - source->n_header + source->first_token;

    for (int h = 0; h < n_heads; h++)
        for (int values = 0; values < 2; values++) {
            float *to = (values ? v : k) + (gsize)h * (gsize)d;
            PdKeyStream stream = {0};
            gboolean has = values ? pd_segment_kv_values(source->record, layer, h, &stream)
                                  : pd_segment_kv_keys(source->record, layer, h, &stream);

            g_assert(has); /* a checked record of the full tier has all of them */
            unpack(&stream, values, TRUE, d, first, n_header, to, stride);
            unpack(&stream, values, FALSE, d, own, n_rows - n_header, to + (gsize)n_header * stride,
                   stride);
        }
}

/* Run prompt[present rows .. last). */
static gboolean
run_to(PdSession *session, GArray *prompt, int last, GCancellable *cancellable, GError **error)
{
    int first = pd_session_n_tokens(session, 0);
    PdRun run = {.tokens = &g_array_index(prompt, gint32, first), .n_tokens = last - first};

    return run.n_tokens == 0 || pd_session_run(session, &run, 1, cancellable, NULL, NULL, error);
}

gboolean
pd_read_kept(PdContext *context, PdSession *session, GArray *prompt, GArray *passages,
             guint *n_kept, GCancellable *cancellable, GError **error)
{
    if (n_kept)
        *n_kept = 0;
    for (guint i = 0; i < passages->len; i++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, i);
        PdContextSegment *segment =
            &g_array_index(context->segments, PdContextSegment, passage->segment);
        int n_header = (int)segment->header_ids->len;
        int first = passage->first_row - n_header, n = n_header + (int)passage->n_tokens;
        g_autoptr(GBytes) record = NULL;
        Source source = {.shape = pd_model_shape(context->model),
                         .n_header = n_header,
                         .first_token = (int)passage->first_token};

        if (passage->fresh || !pd_context_keeps_rows(context))
            continue; /* run with what follows */
        record = pd_segment_kv_get(context, segment, NULL, cancellable, error);
        if (!record || !run_to(session, prompt, first, cancellable, error))
            return FALSE;
        source.record = g_bytes_get_data(record, NULL);
        if (!pd_session_put_rows(session, 0, &g_array_index(prompt, gint32, first), n, fill_rows,
                                 &source, error))
            return FALSE;
        if (n_kept)
            *n_kept += (guint)n;
    }
    return run_to(session, prompt, (int)prompt->len, cancellable, error);
}
