/* See kept.h. */
#include "prompts/kept.h"

#include "prompts/segment_kv.h"

/* One passage being put: header rows first, then rows of the segment from first_token on. */
typedef struct {
    const PdModelShape *shape;
    guint8 *record;
    int n_header;
    int first_token;
} Source;

static void
fill_rows(int layer, int first, int n_rows, float *k, float *v, gpointer user_data)
{
    const Source *source = user_data;
    int d = source->shape->head_dim, n_heads = source->shape->n_kv_heads;
    gsize row_bytes = pd_row_bytes(PD_Q8_0, d);

    for (int h = 0; h < n_heads; h++) {
        const guint8 *keys = pd_segment_kv_stream(source->record, layer, FALSE, h);
        const guint8 *values = pd_segment_kv_stream(source->record, layer, TRUE, h);
        for (int r = 0; r < n_rows; r++) {
            int row = first + r < source->n_header ? first + r : first + r + source->first_token;
            gsize to = ((gsize)r * n_heads + h) * d;
            pd_dequantize_row(PD_Q8_0, keys + row * row_bytes, k + to, d);
            pd_dequantize_row(PD_Q8_0, values + row * row_bytes, v + to, d);
        }
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
        guint8 key[PD_KV_KEY_BYTES];
        Source source = {.shape = pd_model_shape(context->model),
                         .n_header = n_header,
                         .first_token = (int)passage->first_token};

        if (passage->fresh)
            continue; /* run with what follows */
        if (!pd_segment_kv_key(context, segment, key, cancellable, error))
            return FALSE;
        record = pd_kv_store_get(context->store, key, error);
        if (!record || !pd_segment_kv_check(context, segment, record, error) ||
            !run_to(session, prompt, first, cancellable, error))
            return FALSE;
        source.record = (guint8 *)g_bytes_get_data(record, NULL);
        if (!pd_session_put_rows(session, 0, &g_array_index(prompt, gint32, first), n, fill_rows,
                                 &source, error))
            return FALSE;
        if (n_kept)
            *n_kept += (guint)n;
    }
    return run_to(session, prompt, (int)prompt->len, cancellable, error);
}
