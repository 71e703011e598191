/*
 * Whitening of a question's keys: the moments of each stream come from blocks spread evenly over
 * the corpus, as they are kept.
 */
#include "kernels/kv_block.h"
#include "prompts/segment_kv.h"
#include "prompts/sweep_internal.h"
#include "prompts/whiten.h"

#define SAMPLE_BLOCKS 64 /* at least, if there are as many; under twice as many at most */

/* The sampled blocks of one segment at one head. */
static void
add_blocks(PdKeyMoments *moments, const PdKeyStream *stream, guint dim, guint first, guint step)
{
    g_autofree float *rows = g_new(float, (gsize)PD_KV_BLOCK_ROWS *dim);

    for (guint at = first * PD_KV_BLOCK_ROWS; at < stream->n_rows; at += step * PD_KV_BLOCK_ROWS) {
        guint n = MIN(PD_KV_BLOCK_ROWS, stream->n_rows - at);

        pd_key_stream_unpack(stream->bits, (int)dim, stream->rows, (int)stream->n_rows, (int)at,
                             (int)n, rows, dim);
        pd_key_moments_add(moments, rows, n);
    }
}

/* Every step-th block of the corpus.  What is damaged or lacks the stream is left out here: the
 * scan names it. */
static gboolean
sample(const PdSweepQueries *queries, PdKeyMoments **moments, guint step, GCancellable *cancellable,
       GError **error)
{
    PdContext *context = queries->context;
    const PdModelShape *shape = pd_model_shape(context->model);
    guint until = 0; /* blocks before the next that is taken */

    for (guint s = 0; s < context->segments->len; s++) {
        const PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        guint n_blocks = pd_sweep_count_blocks(segment), first = until;
        g_autoptr(GError) local = NULL;
        g_autoptr(GBytes) record = NULL;

        until = first < n_blocks ? (step - (n_blocks - first) % step) % step : first - n_blocks;
        if (first >= n_blocks)
            continue;
        record = pd_segment_kv_get(context, segment, NULL, cancellable, &local);
        if (!record && !g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        for (int h = 0; record && h < queries->n_heads; h++) {
            const PdHead *head = &queries->heads[h];
            PdKeyStream stream;

            if (moments[h] && pd_segment_kv_keys(g_bytes_get_data(record, NULL), head->layer,
                                                 pd_head_kv(shape, head), &stream))
                add_blocks(moments[h], &stream, (guint)shape->head_dim, first, step);
        }
    }
    return TRUE;
}

gboolean
pd_sweep_whiten(PdSweepQueries *queries, guint n_blocks, GCancellable *cancellable, GError **error)
{
    guint dim = (guint)pd_model_shape(queries->context->model)->head_dim;
    gsize n_floats = (gsize)queries->n_queries * dim;
    g_autoptr(GPtrArray) owned =
        g_ptr_array_new_with_free_func((GDestroyNotify)pd_key_moments_free);
    g_autofree PdKeyMoments **moments = g_new0(PdKeyMoments *, queries->n_heads);

    for (int h = 0; h < queries->n_heads; h++)
        if (queries->heads[h].by_keys)
            g_ptr_array_add(owned, moments[h] = pd_key_moments_new(dim));
    if (owned->len == 0)
        return TRUE;
    if (!sample(queries, moments, MAX(n_blocks / SAMPLE_BLOCKS, 1), cancellable, error))
        return FALSE;
    for (int h = 0; h < queries->n_heads; h++)
        if (moments[h])
            pd_key_moments_whiten(moments[h], queries->queries + (gsize)h * n_floats,
                                  (gsize)queries->n_queries);
    return TRUE;
}
