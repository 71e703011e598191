/*
 * See head_scores.h.  Scores of a head are one matrix product: its keys of all segments are the
 * weight, a row a token, and the turned queries of a few questions are what it is applied to.
 */
#include "prompts/head_scores.h"

#include <math.h>
#include <string.h>

#include "prompts/sweep_internal.h"
#include "prompts/sweep_pool.h"
#include "prompts/whiten.h"

/* Words multiplied at once: whole questions, up to about as many. */
#define BATCH_WORDS 64
#define MOMENT_ROWS 8192 /* that keys are whitened by, at least, if there are as many */

typedef struct {
    PdModel *model;
    const PdHaystack *haystack;
    PdSweepQueries queries; /* of all heads */
    guint8 *keys;           /* Q8_0 (n_layers, n_kv_heads, n_rows, head_dim) */
    PdHeadScores *scores;
    gsize segment_row; /* while encoding: row of the segment in the keys */
    int n_prefix;
    PdBuffer *wrapped; /* keys */
    PdBuffer *x;       /* f32 (most words of a batch, head_dim) */
    PdBuffer *out;     /* f32 (most words of a batch, n_rows) */
    float *products;   /* the same on the host */
    float *best;       /* (n_blocks, words of a question), scaled */
    float *scratch;    /* a block each */
} Work;

static void
work_clear(Work *work)
{
    PdDevice *device = pd_model_device(work->model);
    PdBuffer *buffers[] = {work->wrapped, work->x, work->out};

    for (gsize i = 0; i < G_N_ELEMENTS(buffers); i++)
        if (buffers[i])
            device->ops->buffer_free(device, buffers[i]);
    pd_sweep_queries_clear(&work->queries);
    pd_head_scores_free(work->scores);
    g_free(work->keys);
    g_free(work->products);
    g_free(work->best);
    g_free(work->scratch);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

void
pd_head_scores_free(PdHeadScores *scores)
{
    if (!scores)
        return;
    g_free(scores->heads);
    g_free(scores->z);
    g_free(scores);
}

guint
pd_head_scores_find(const PdHeadScores *scores, const PdHead *head)
{
    for (guint h = 0; h < scores->n_heads; h++)
        if (scores->heads[h].layer == head->layer && scores->heads[h].head == head->head &&
            scores->heads[h].by_keys == head->by_keys)
            return h;
    g_assert_not_reached();
}

static gboolean
no_memory(GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                "no memory for the scores of all heads; use fewer tokens");
    return FALSE;
}

static gsize
stream_bytes(const Work *work)
{
    return work->haystack->n_rows *
           pd_row_bytes(PD_Q8_0, (gsize)pd_model_shape(work->model)->head_dim);
}

static gsize
stream_offset(const Work *work, int layer, int kv_head)
{
    return ((gsize)layer * (gsize)pd_model_shape(work->model)->n_kv_heads + (gsize)kv_head) *
           stream_bytes(work);
}

static gsize
offset_of_head(const Work *work, const PdHead *head)
{
    return stream_offset(work, head->layer, pd_head_kv(pd_model_shape(work->model), head));
}

/* --- keys --- */

static void
keep_keys(const PdLayerRows *rows, gpointer user_data)
{
    Work *work = user_data;
    const PdModelShape *shape = pd_model_shape(work->model);
    gsize d = (gsize)shape->head_dim, row_bytes = pd_row_bytes(PD_Q8_0, d);

    for (int r = 0; r < rows->n_rows; r++) {
        int at = rows->first_row + r - work->n_prefix;

        for (int h = 0; at >= 0 && h < shape->n_kv_heads; h++)
            pd_quantize_row(PD_Q8_0, rows->k + ((gsize)r * (gsize)shape->n_kv_heads + (gsize)h) * d,
                            work->keys + stream_offset(work, rows->layer, h) +
                                (work->segment_row + (gsize)at) * row_bytes,
                            d);
    }
}

static PdSession *
start_session(Work *work, const GArray *prefix, GCancellable *cancellable, GError **error)
{
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F16};
    PdRun run = {.tokens = (const gint32 *)prefix->data, .n_tokens = (int)prefix->len};
    const GArray *segments = work->haystack->segments;
    g_autoptr(PdSession) session = NULL;
    guint longest = 0;

    for (guint s = 0; s < segments->len; s++)
        longest = MAX(longest, g_array_index(segments, PdHaySegment, s).ids->len);
    options.max_tokens = (int)(prefix->len + longest);
    session = pd_session_new(work->model, &options, error);
    if (!session || !pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
        return NULL;
    pd_session_set_tap(session, keep_keys, NULL, work);
    return g_steal_pointer(&session);
}

static gboolean
encode(Work *work, const GArray *prefix, PdHeadScoresProgress progress, gpointer user_data,
       GCancellable *cancellable, GError **error)
{
    const GArray *segments = work->haystack->segments;
    g_autoptr(PdSession) session = start_session(work, prefix, cancellable, error);

    if (!session)
        return FALSE;
    for (guint s = 0; s < segments->len; s++) {
        const GArray *ids = g_array_index(segments, PdHaySegment, s).ids;
        PdRun run = {.tokens = (const gint32 *)ids->data, .n_tokens = (int)ids->len};

        pd_session_truncate(session, 0, work->n_prefix);
        if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
            return FALSE;
        work->segment_row += ids->len;
        if (progress)
            progress("encoding the haystack", work->segment_row, work->haystack->n_rows, user_data);
    }
    return TRUE;
}

/* Whiten the questions' keys by rows spread evenly over the haystack. */
static void
whiten(Work *work)
{
    PdSweepQueries *queries = &work->queries;
    gsize dim = (gsize)pd_model_shape(work->model)->head_dim;
    gsize row_bytes = pd_row_bytes(PD_Q8_0, dim), n_rows = work->haystack->n_rows;
    gsize step = MAX(n_rows / MOMENT_ROWS, 1);
    g_autofree float *row = g_new(float, dim);

    for (int h = 0; h < queries->n_heads; h++) {
        const guint8 *keys = work->keys + offset_of_head(work, &queries->heads[h]);
        g_autoptr(PdKeyMoments) moments = NULL;

        if (!queries->heads[h].by_keys)
            continue;
        moments = pd_key_moments_new((guint)dim);
        for (gsize r = 0; r < n_rows; r += step) {
            pd_dequantize_row(PD_Q8_0, keys + r * row_bytes, row, dim);
            pd_key_moments_add(moments, row, 1);
        }
        pd_key_moments_whiten(moments,
                              queries->queries + (gsize)h * (gsize)queries->n_queries * dim,
                              (gsize)queries->n_queries);
    }
}

/* --- scores --- */

static float
largest(const float *values, gsize n)
{
    float lanes[8], most = -INFINITY;
    gsize i = 0;

    for (int l = 0; l < 8; l++)
        lanes[l] = -INFINITY;
    for (; i + 8 <= n; i += 8)
        for (gsize l = 0; l < 8; l++)
            lanes[l] = values[i + l] > lanes[l] ? values[i + l] : lanes[l];
    for (; i < n; i++)
        most = MAX(most, values[i]);
    for (int l = 0; l < 8; l++)
        most = MAX(most, lanes[l]);
    return most;
}

/* A word's best scaled score of every block, its header's included: best[b * stride]. */
static void
reduce(const Work *work, const float *products, float *best, gsize stride)
{
    const GArray *segments = work->haystack->segments;
    float scale = pd_model_shape(work->model)->attn_scale;

    for (guint s = 0; s < segments->len; s++) {
        const PdHaySegment *segment = &g_array_index(segments, PdHaySegment, s);
        float header = largest(products, segment->n_header);
        gsize n_own = segment->ids->len - segment->n_header;

        for (gsize b = 0; b < segment->n_blocks; b++) {
            gsize first = b * PD_SCORE_BLOCK;
            float own = largest(products + segment->n_header + first,
                                MIN((gsize)PD_SCORE_BLOCK, n_own - first));
            best[(segment->first_block + b) * stride] = MAX(own, header) * scale;
        }
        products += segment->ids->len;
    }
}

/* The questions from `question` on that fill a batch. */
static guint
batch_end(const PdSweepQueries *queries, guint question)
{
    guint end = question + 1;

    while (end < queries->n_questions &&
           queries->first[end + 1] - queries->first[question] <= BATCH_WORDS)
        end++;
    return end;
}

static gboolean
score_batch(Work *work, gsize number, guint from, guint to, GError **error)
{
    const PdModelShape *shape = pd_model_shape(work->model);
    PdDevice *device = pd_model_device(work->model);
    PdSweepQueries *queries = &work->queries;
    gsize d = (gsize)shape->head_dim, n_rows = work->haystack->n_rows;
    gsize n = (gsize)(queries->first[to] - queries->first[from]);
    PdMatmulJob job = {
        .weight = {.mem = {work->wrapped, offset_of_head(work, &queries->heads[number])},
                   .type = PD_Q8_0,
                   .n_rows = (int)n_rows,
                   .n_cols = (int)d},
        .out = {work->out, 0}};

    device->ops->write(device, (PdMem){work->x, 0},
                       queries->queries +
                           (number * (gsize)queries->n_queries + (gsize)queries->first[from]) * d,
                       n * d * sizeof(float));
    if (device->ops->matmul(device, (PdMem){work->x, 0}, (int)n, &job, 1) != PD_KERNEL_OK)
        return no_memory(error);
    device->ops->read(device, work->products, job.out, n * n_rows * sizeof(float));
    for (guint i = from; i < to; i++) {
        gsize first = (gsize)(queries->first[i] - queries->first[from]);
        gsize n_words = (gsize)(queries->first[i + 1] - queries->first[i]);
        float *z = work->scores->z + (number * queries->n_questions + i) * work->haystack->n_blocks;

        for (gsize w = 0; w < n_words; w++)
            reduce(work, work->products + (first + w) * n_rows, work->best + w, n_words);
        pd_sweep_pool(work->best, n_words, n_words, work->haystack->n_blocks, work->scratch, z);
    }
    return TRUE;
}

static gboolean
make_room(Work *work, GError **error)
{
    PdDevice *device = pd_model_device(work->model);
    const PdModelShape *shape = pd_model_shape(work->model);
    const PdSweepQueries *queries = &work->queries;
    gsize n_blocks = work->haystack->n_blocks, n_rows = work->haystack->n_rows, most = 0;
    PdHeadScores *scores = g_new0(PdHeadScores, 1);

    work->scores = scores;
    scores->n_heads = (guint)queries->n_heads;
    scores->heads = g_memdup2(queries->heads, scores->n_heads * sizeof(PdHead));
    scores->n_questions = queries->n_questions;
    scores->n_blocks = work->haystack->n_blocks;
    scores->z =
        g_try_malloc_n((gsize)scores->n_heads * scores->n_questions, n_blocks * sizeof(float));
    for (guint i = 0; i < queries->n_questions; i = batch_end(queries, i))
        most = MAX(most, (gsize)(queries->first[batch_end(queries, i)] - queries->first[i]));
    work->wrapped = device->ops->buffer_wrap(
        device, work->keys, stream_bytes(work) * (gsize)shape->n_kv_heads * (gsize)shape->n_layers);
    work->x = device->ops->buffer_new(device, most * (gsize)shape->head_dim * sizeof(float));
    work->out = device->ops->buffer_new(device, most * n_rows * sizeof(float));
    work->products = g_try_malloc_n(most, n_rows * sizeof(float));
    work->best = g_try_malloc_n(most, n_blocks * sizeof(float));
    work->scratch = g_try_malloc_n(n_blocks, sizeof(float));
    return (scores->z && work->wrapped && work->x && work->out && work->products && work->best &&
            work->scratch) ||
           no_memory(error);
}

static gboolean
score_all(Work *work, PdHeadScoresProgress progress, gpointer user_data, GCancellable *cancellable,
          GError **error)
{
    const PdSweepQueries *queries = &work->queries;

    if (!make_room(work, error))
        return FALSE;
    for (int h = 0; h < queries->n_heads; h++) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        for (guint i = 0; i < queries->n_questions; i = batch_end(queries, i))
            if (!score_batch(work, (gsize)h, i, batch_end(queries, i), error))
                return FALSE;
        if (progress)
            progress("scoring with every head", (guint64)h + 1, (guint64)queries->n_heads,
                     user_data);
    }
    return TRUE;
}

PdHeadScores *
pd_head_scores_new(PdContext *context, const PdHaystack *haystack, PdHeadScoresProgress progress,
                   gpointer user_data, GCancellable *cancellable, GError **error)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    int n_queried = shape->n_layers * shape->n_heads;
    int n_heads = n_queried + shape->n_layers * shape->n_kv_heads;
    g_autofree PdHead *heads = g_new0(PdHead, n_heads);
    g_autofree const char **questions = g_new0(const char *, haystack->questions->len);
    g_auto(Work) work = {.model = context->model,
                         .haystack = haystack,
                         .n_prefix = (int)context->prefix->len,
                         .queries = {.context = context,
                                     .heads = heads,
                                     .n_heads = n_heads,
                                     .n_questions = haystack->questions->len}};

    for (int h = 0; h < n_queried; h++)
        heads[h] = (PdHead){.layer = h / shape->n_heads, .head = h % shape->n_heads};
    for (int s = 0; s < n_heads - n_queried; s++) /* named by the first head of each KV head */
        heads[n_queried + s] =
            (PdHead){.layer = s / shape->n_kv_heads,
                     .head = s % shape->n_kv_heads * (shape->n_heads / shape->n_kv_heads),
                     .by_keys = TRUE};
    for (guint i = 0; i < haystack->questions->len; i++)
        questions[i] = ((PdHayQuestion *)g_ptr_array_index(haystack->questions, i))->text;
    work.keys =
        g_try_malloc_n((gsize)shape->n_layers * (gsize)shape->n_kv_heads, stream_bytes(&work));
    if (!work.keys) {
        no_memory(error);
        return NULL;
    }
    if (!encode(&work, context->prefix, progress, user_data, cancellable, error) ||
        !pd_sweep_queries_make(&work.queries, questions, cancellable, error))
        return NULL;
    whiten(&work);
    if (!score_all(&work, progress, user_data, cancellable, error))
        return NULL;
    return g_steal_pointer(&work.scores);
}
