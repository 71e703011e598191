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

/* A prompt on its way. */
typedef struct {
    PdKeptPrompt *of;
    guint next; /* passage that has not been looked at */
    gboolean is_whole;
} Reading;

/* The next passage to put; NULL: none is left. */
static const PdPassage *
next_kept(PdContext *context, Reading *reading)
{
    GArray *passages = reading->of->passages;

    while (pd_context_keeps_rows(context) && reading->next < passages->len) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, reading->next++);
        if (!passage->fresh)
            return passage;
    }
    return NULL;
}

static PdContextSegment *
segment_of(PdContext *context, const PdPassage *passage)
{
    return &g_array_index(context->segments, PdContextSegment, passage->segment);
}

/* Rows of a passage and its header behind what the sequence holds. */
static gboolean
put_passage(PdContext *context, PdSession *session, PdKeptPrompt *prompt, const PdPassage *passage,
            GCancellable *cancellable, GError **error)
{
    PdContextSegment *segment = segment_of(context, passage);
    int n_header = (int)segment->header_ids->len, n = n_header + (int)passage->n_tokens;
    int first = passage->first_row - n_header;
    g_autoptr(GBytes) record = pd_segment_kv_get(context, segment, NULL, cancellable, error);
    Source source = {.shape = pd_model_shape(context->model),
                     .n_header = n_header,
                     .first_token = (int)passage->first_token};

    if (!record)
        return FALSE;
    source.record = g_bytes_get_data(record, NULL);
    prompt->n_kept += (guint)n;
    return pd_session_put_rows(session, prompt->sequence,
                               &g_array_index(prompt->prompt, gint32, first), n, fill_rows, &source,
                               error);
}

/* Run every prompt up to its next kept passage or its end, and put those passages.  *more: some
 * prompt is not whole yet. */
static gboolean
advance(PdContext *context, PdSession *session, Reading *readings, guint n, gboolean *more,
        GCancellable *cancellable, GError **error)
{
    g_autofree const PdPassage **passages = g_new0(const PdPassage *, n);
    g_autofree PdRun *runs = g_new0(PdRun, n);
    int n_runs = 0;

    *more = FALSE;
    for (guint i = 0; i < n; i++) {
        const PdKeptPrompt *prompt = readings[i].of;
        int first = pd_session_n_tokens(session, prompt->sequence), last = (int)prompt->prompt->len;

        if (readings[i].is_whole)
            continue;
        passages[i] = next_kept(context, &readings[i]);
        if (passages[i])
            last = passages[i]->first_row - (int)segment_of(context, passages[i])->header_ids->len;
        readings[i].is_whole = passages[i] == NULL;
        *more |= passages[i] != NULL;
        if (last > first)
            runs[n_runs++] = (PdRun){.sequence = prompt->sequence,
                                     .tokens = &g_array_index(prompt->prompt, gint32, first),
                                     .n_tokens = last - first};
    }
    if (n_runs > 0 && !pd_session_run(session, runs, n_runs, cancellable, NULL, NULL, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (passages[i] &&
            !put_passage(context, session, readings[i].of, passages[i], cancellable, error))
            return FALSE;
    return TRUE;
}

gboolean
pd_read_kept(PdContext *context, PdSession *session, PdKeptPrompt *prompts, guint n,
             GCancellable *cancellable, GError **error)
{
    g_autofree Reading *readings = g_new0(Reading, n);
    gboolean more = n > 0;

    for (guint i = 0; i < n; i++) {
        readings[i].of = &prompts[i];
        prompts[i].n_kept = 0;
    }
    while (more)
        if (!advance(context, session, readings, n, &more, cancellable, error))
            return FALSE;
    return TRUE;
}
