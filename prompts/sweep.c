/* See sweep.h. */
#include "prompts/sweep.h"

#include <math.h>
#include <string.h>
#include "kernels/kv_block.h"
#include "prompts/error.h"
#include "prompts/layout.h"
#include "prompts/segment_kv.h"
#include "prompts/words.h"

/* The queries of the question at the layers that are scored. */
typedef struct {
    PdContext *context;
    int first_row; /* of the question's own words, in the sequence */
    int n_queries;
    const PdHead *heads;
    int n_heads;
    float *queries; /* (n_heads, n_queries, head_dim), before RoPE with bias */
} Queries;

static void
queries_clear(Queries *queries)
{
    g_free(queries->queries);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Queries, queries_clear)

static void
keep_queries(const PdLayerRows *rows, gpointer user_data)
{
    Queries *queries = user_data;
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    int d = shape->head_dim;

    for (int h = 0; h < queries->n_heads; h++) {
        if (queries->heads[h].layer != rows->layer)
            continue;
        for (int r = 0; r < rows->n_rows; r++) {
            int at = rows->first_row + r - queries->first_row;
            if (at < 0 || at >= queries->n_queries)
                continue;
            memcpy(queries->queries + ((gsize)h * queries->n_queries + at) * d,
                   rows->q + ((gsize)r * shape->n_heads + queries->heads[h].head) * d,
                   d * sizeof(float));
        }
    }
}

static gboolean
no_memory(GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for the sweep");
    return FALSE;
}

/* Turn the queries by a fixed distance: the model's own rotation against a key at position 0. */
static gboolean
turn_queries(Queries *queries, PdSession *session, GError **error)
{
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    PdDevice *device = pd_model_device(queries->context->model);
    gsize n_floats = (gsize)queries->n_queries * shape->head_dim;
    PdBuffer *buffer = device->ops->buffer_new(device, n_floats * sizeof(float));
    g_autofree gint32 *positions = g_new(gint32, queries->n_queries);

    if (!buffer)
        return no_memory(error);
    for (int i = 0; i < queries->n_queries; i++)
        positions[i] = PD_SWEEP_DISTANCE;
    for (int h = 0; h < queries->n_heads; h++) {
        float *q = queries->queries + (gsize)h * n_floats;
        const PdRope *rope =
            pd_session_rope(session, queries->heads[h].layer, PD_SWEEP_DISTANCE + 1);

        device->ops->write(device, (PdMem){buffer, 0}, q, n_floats * sizeof(float));
        device->ops->rope(device, (PdMem){buffer, 0}, rope, positions, queries->n_queries, 1,
                          shape->head_dim);
        device->ops->read(device, q, (PdMem){buffer, 0}, n_floats * sizeof(float));
    }
    device->ops->buffer_free(device, buffer);
    return TRUE;
}

/* Run prefix and question through the layers that are needed, keeping the queries. */
static gboolean
run_question(Queries *queries, const char *question, GCancellable *cancellable, GError **error)
{
    PdContext *context = queries->context;
    const PdModelShape *shape = pd_model_shape(context->model);
    g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autoptr(PdSession) session = NULL;
    g_autofree gboolean *mask = g_new0(gboolean, shape->n_layers);
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F16};
    PdRun run = {0};

    g_array_append_vals(tokens, context->prefix->data, context->prefix->len);
    pd_layout_text(context->model, "Question: ", tokens);
    queries->first_row = (int)tokens->len;
    pd_layout_text(context->model, question, tokens);
    queries->n_queries = (int)tokens->len - queries->first_row;
    if (queries->n_queries <= 0 || tokens->len > (guint)shape->n_ctx_train) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                    "the question has %d tokens; it must have 1 to %d", queries->n_queries,
                    shape->n_ctx_train - queries->first_row);
        return FALSE;
    }
    queries->queries =
        g_new0(float, (gsize)queries->n_heads * queries->n_queries * shape->head_dim);
    for (int h = 0; h < queries->n_heads; h++) {
        mask[queries->heads[h].layer] = TRUE;
        options.n_layers = MAX(options.n_layers, queries->heads[h].layer + 1);
    }
    options.max_tokens = MAX((int)tokens->len, PD_SWEEP_DISTANCE + 1); /* the table's length too */
    session = pd_session_new(context->model, &options, error);
    if (!session)
        return FALSE;
    pd_session_set_tap(session, keep_queries, mask, queries);
    run.tokens = (const gint32 *)tokens->data;
    run.n_tokens = (int)tokens->len;
    if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
        return FALSE;
    return turn_queries(queries, session, error);
}

/* Words that ask, not what is asked for: they match everything. */
static gboolean
is_content_token(PdTokenizer *tokenizer, gint32 id)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *lower = NULL;
    gboolean has_letter = FALSE;

    pd_tokenizer_decode(tokenizer, (guint32)id, FALSE, text);
    lower = g_ascii_strdown(text->str, -1);
    g_strstrip(lower);
    for (const char *p = lower; *p; p++)
        has_letter |= g_ascii_isalnum(*p) || (guchar)*p >= 0x80;
    return has_letter && !pd_word_is_empty(lower);
}

/* Keep the content words of the question; all of them if there are none. */
static void
drop_empty_words(Queries *queries, const char *question)
{
    PdContext *context = queries->context;
    int d = pd_model_shape(context->model)->head_dim;
    g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autofree int *kept = g_new(int, queries->n_queries);
    int n = 0;

    pd_layout_text(context->model, question, tokens);
    for (int i = 0; i < queries->n_queries; i++)
        if (is_content_token(pd_model_tokenizer(context->model), g_array_index(tokens, gint32, i)))
            kept[n++] = i;
    if (n == 0)
        return;
    for (int h = 0; h < queries->n_heads; h++)
        for (int i = 0; i < n; i++)
            memmove(queries->queries + ((gsize)h * n + i) * d,
                    queries->queries + ((gsize)h * queries->n_queries + kept[i]) * d,
                    d * sizeof(float));
    queries->n_queries = n;
}

/* Scratch on the device for one segment's scores. */
typedef struct {
    PdDevice *device;
    PdBuffer *q;
    PdBuffer *out;
    PdBuffer *lse;
} Scratch;

static void
scratch_clear(Scratch *scratch)
{
    const PdDeviceOps *ops = scratch->device->ops;

    if (scratch->q)
        ops->buffer_free(scratch->device, scratch->q);
    if (scratch->out)
        ops->buffer_free(scratch->device, scratch->out);
    if (scratch->lse)
        ops->buffer_free(scratch->device, scratch->lse);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scratch, scratch_clear)

static gboolean
scratch_init(Scratch *scratch, const Queries *queries, guint n_blocks_max, GError **error)
{
    PdModel *model = queries->context->model;
    gsize n_queries = queries->n_queries;
    gsize q_bytes = sizeof(float) * queries->n_heads * n_queries * pd_model_shape(model)->head_dim;

    scratch->device = pd_model_device(model);
    scratch->q = scratch->device->ops->buffer_new(scratch->device, q_bytes);
    scratch->out =
        scratch->device->ops->buffer_new(scratch->device, sizeof(float) * n_queries * n_blocks_max);
    scratch->lse = scratch->device->ops->buffer_new(scratch->device, sizeof(float) * n_queries);
    if (!scratch->q || !scratch->out || !scratch->lse)
        return no_memory(error);
    scratch->device->ops->write(scratch->device, (PdMem){scratch->q, 0}, queries->queries, q_bytes);
    return TRUE;
}

/* The best scaled score of each block of 64 keys with each query of a head: out (n_queries,
 * n_blocks). */
static gboolean
score_keys(const Queries *queries, Scratch *scratch, int head, const guint8 *keys, guint n_rows,
           float *out, GError **error)
{
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    const PdDeviceOps *ops = scratch->device->ops;
    gsize n_queries = queries->n_queries;
    gsize n_out = n_queries * ((n_rows + PD_SWEEP_BLOCK_TOKENS - 1) / PD_SWEEP_BLOCK_TOKENS);
    gsize q_offset = sizeof(float) * head * n_queries * shape->head_dim;
    PdBuffer *buffer =
        ops->buffer_wrap(scratch->device, keys, n_rows * pd_row_bytes(PD_Q8_0, shape->head_dim));

    if (!buffer)
        return no_memory(error);
    ops->score_blocks(scratch->device, (PdMem){scratch->out, 0}, (PdMem){scratch->lse, 0},
                      (PdMem){buffer, 0}, (int)n_rows, shape->head_dim,
                      (PdMem){scratch->q, q_offset}, (int)n_queries, shape->attn_scale);
    ops->read(scratch->device, out, (PdMem){scratch->out, 0}, sizeof(float) * n_out);
    ops->buffer_free(scratch->device, buffer);
    for (gsize i = 0; i < n_out; i++)
        out[i] *= shape->attn_scale;
    return TRUE;
}

/* One section of a key stream as Q8_0 rows. */
static guint8 *
as_q8(int bits, int dim, const guint8 *stream, guint n_rows, GError **error)
{
    gsize n = (gsize)n_rows * (gsize)dim;
    g_autofree float *rows = g_try_new(float, MAX(n, 1));
    guint8 *blocks = g_try_malloc(MAX(pd_row_bytes(PD_Q8_0, n), 1));

    if (!rows || !blocks) {
        g_free(blocks);
        no_memory(error);
        return NULL;
    }
    if (n_rows > 0)
        pd_key_stream_unpack(bits, dim, stream, (int)n_rows, 0, (int)n_rows, rows, (gsize)dim);
    pd_quantize_row(PD_Q8_0, rows, blocks, n);
    return blocks;
}

/* Score the segment's blocks with one head.  The header counts for each of them: often only the
 * subject of a mail or the path of a file names the thing. */
static gboolean
score_segment(const Queries *queries, Scratch *scratch, int head, const guint8 *record,
              const PdContextSegment *segment, float *best, GError **error)
{
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    guint n_rows = segment->row->n_tokens, n_header = segment->header_ids->len;
    guint n_blocks = (n_rows + PD_SWEEP_BLOCK_TOKENS - 1) / PD_SWEEP_BLOCK_TOKENS;
    gsize n_queries = queries->n_queries;
    int group = shape->n_heads / shape->n_kv_heads;
    g_autofree guint8 *header_keys = NULL, *own_keys = NULL;
    PdKeyStream stream;
    g_autofree float *own = g_try_new(float, n_queries *n_blocks);
    g_autofree float *header = g_try_new(float, n_queries);

    if (!own || !header)
        return no_memory(error);
    if (!pd_segment_kv_keys(record, queries->heads[head].layer, queries->heads[head].head / group,
                            &stream)) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                    "the index tier does not hold the keys of layer %d, head %d; use --kv full",
                    queries->heads[head].layer, queries->heads[head].head);
        return FALSE;
    }
    header_keys = as_q8(stream.bits, shape->head_dim, stream.header, n_header, error);
    if (header_keys)
        own_keys = as_q8(stream.bits, shape->head_dim, stream.rows, n_rows, error);
    if (!own_keys || !score_keys(queries, scratch, head, header_keys, n_header, header, error) ||
        !score_keys(queries, scratch, head, own_keys, n_rows, own, error))
        return FALSE;
    for (guint b = 0; b < n_blocks; b++)
        for (gsize i = 0; i < n_queries; i++)
            best[b * n_queries + i] = MAX(own[i * n_blocks + b], header[i]);
    return TRUE;
}

G_STATIC_ASSERT(PD_HEADER_TOKENS_MAX <= PD_SWEEP_BLOCK_TOKENS); /* one block of header keys */

/* z[b] = mean over query tokens of the block's best score, one head */
static void
reduce_head(const Queries *queries, const float *best, guint n_blocks, float *z)
{
    gsize n_queries = queries->n_queries;

    for (guint b = 0; b < n_blocks; b++) {
        double sum = 0;
        for (gsize i = 0; i < n_queries; i++)
            sum += best[b * n_queries + i];
        z[b] = (float)(sum / n_queries);
    }
}

static void
standardise(float *scores, guint n)
{
    double sum = 0, squares = 0, mean, deviation;

    for (guint i = 0; i < n; i++)
        sum += scores[i];
    mean = sum / n;
    for (guint i = 0; i < n; i++)
        squares += (scores[i] - mean) * (scores[i] - mean);
    deviation = sqrt(squares / n);
    for (guint i = 0; i < n; i++)
        scores[i] = deviation > 0 ? (float)((scores[i] - mean) / deviation) : 0;
}

static GArray *
list_blocks(PdContext *context, guint *n_blocks_max)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(PdBlock));

    *n_blocks_max = 1;
    for (guint s = 0; s < context->segments->len; s++) {
        guint n_tokens = g_array_index(context->segments, PdContextSegment, s).row->n_tokens;
        for (guint at = 0; at < n_tokens; at += PD_SWEEP_BLOCK_TOKENS) {
            PdBlock block = {.segment = s,
                             .first_token = at,
                             .n_tokens = MIN(PD_SWEEP_BLOCK_TOKENS, n_tokens - at),
                             .best_z = -INFINITY,
                             .found_by = PD_FOUND_SWEEP};
            g_array_append_val(blocks, block);
        }
        *n_blocks_max = MAX(*n_blocks_max, n_tokens / PD_SWEEP_BLOCK_TOKENS + 1);
    }
    return blocks;
}

/* One pass over the records; best: (n_heads, n_total, n_queries), each block's best score.
 * Damaged records are dropped, then it fails with CORRUPT. */
static gboolean
score_all(const Queries *queries, guint n_total, guint n_blocks_max, float *best,
          GCancellable *cancellable, GError **error)
{
    PdContext *context = queries->context;
    g_auto(Scratch) scratch = {.device = pd_model_device(context->model)};
    gsize n_queries = queries->n_queries;
    g_autoptr(GError) damage = NULL;
    guint at = 0, n_blocks;

    if (!scratch_init(&scratch, queries, n_blocks_max, error))
        return FALSE;
    for (guint s = 0; s < context->segments->len; s++, at += n_blocks) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        guint8 key[PD_KV_KEY_BYTES];
        g_autoptr(GError) local = NULL;
        g_autoptr(GBytes) record = NULL;

        n_blocks = (segment->row->n_tokens + PD_SWEEP_BLOCK_TOKENS - 1) / PD_SWEEP_BLOCK_TOKENS;
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        record = pd_segment_kv_get(context, segment, key, cancellable, &local);
        if (g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
            pd_kv_store_drop(context->store, key, NULL);
            if (!damage)
                damage = g_steal_pointer(&local);
            continue; /* one pass finds all of them */
        }
        if (!record) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        for (int h = 0; h < queries->n_heads; h++)
            if (!score_segment(queries, &scratch, h, g_bytes_get_data(record, NULL), segment,
                               best + ((gsize)h * n_total + at) * n_queries, error))
                return FALSE;
    }
    g_assert(at == n_total);
    if (!damage)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&damage));
    return FALSE;
}

static int
compare_blocks(gconstpointer a, gconstpointer b)
{
    const PdBlock *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->first_token < y->first_token ? -1 : x->first_token > y->first_token;
}

/* The blocks' scores from the heads' z. */
static void
fuse(GArray *blocks, const float *z, int n_heads)
{
    for (int h = 0; h < n_heads; h++)
        for (guint b = 0; b < blocks->len; b++) {
            PdBlock *block = &g_array_index(blocks, PdBlock, b);
            float score = z[(gsize)h * blocks->len + b];

            block->score += score / n_heads;
            if (score > block->best_z) {
                block->best_z = score;
                block->best_head = h;
            }
        }
}

GArray *
pd_sweep(PdContext *context, const char *question, const PdHead *heads, int n_heads, GArray *scores,
         GCancellable *cancellable, GError **error)
{
    guint n_blocks_max;
    g_autoptr(GArray) blocks = list_blocks(context, &n_blocks_max);
    g_auto(Queries) queries = {.context = context, .heads = heads, .n_heads = n_heads};
    g_autofree float *best = NULL;
    g_autofree float *z = g_try_new(float, (gsize)n_heads * blocks->len);

    if (!z) {
        no_memory(error);
        return NULL;
    }
    if (!run_question(&queries, question, cancellable, error))
        return NULL;
    drop_empty_words(&queries, question);
    best = g_try_new(float, (gsize)n_heads *queries.n_queries * blocks->len);
    if (!best) {
        no_memory(error);
        return NULL;
    }
    if (!score_all(&queries, blocks->len, n_blocks_max, best, cancellable, error))
        return NULL;
    for (int h = 0; h < n_heads; h++) {
        reduce_head(&queries, best + (gsize)h * blocks->len * queries.n_queries, blocks->len,
                    z + (gsize)h * blocks->len);
        standardise(z + (gsize)h * blocks->len, blocks->len);
    }
    fuse(blocks, z, n_heads);
    if (scores)
        g_array_append_vals(scores, z, (guint)n_heads * blocks->len);
    g_array_sort(blocks, compare_blocks);
    return g_steal_pointer(&blocks);
}
