/*
 * Rows whose keys and values are given, not computed: the other direction of the tap.  They go
 * through the same last steps as computed rows (bias, RoPE at the place where they now stand,
 * rounding to the cache's type), so stored position-free rows continue any sequence.
 */
#include <string.h>
#include "engine/error.h"
#include "engine/session_internal.h"

/* One micro-batch of rows from `first_row` of the sequence on, all layers. */
static void
put_chunk(PdSession *s, PdBatch *batch, int done, float *k, float *v, PdFillFunc fill,
          gpointer user_data)
{
    PdSpan *span = &batch->spans[0];
    gsize n_kv = (gsize)(s->model->shape.n_kv_heads * s->model->shape.head_dim);
    gsize n_bytes = (gsize)span->n_rows * n_kv * sizeof(float);

    for (int layer = 0; layer < s->n_layers; layer++) {
        fill(layer, done, span->n_rows, k, v, user_data);
        s->dev->ops->write(s->dev, s->k, k, n_bytes);
        s->dev->ops->write(s->dev, s->v, v, n_bytes);
        pd_forward_append(s, batch, layer);
    }
}

gboolean
pd_session_put_rows(PdSession *s, int sequence, const gint32 *tokens, int n, PdFillFunc fill,
                    gpointer user_data, GError **error)
{
    int first = s->n_tokens[sequence];
    gsize n_kv = (gsize)(s->model->shape.n_kv_heads * s->model->shape.head_dim);
    g_autofree float *k = g_try_new(float, (gsize)s->options.batch_rows *n_kv);
    g_autofree float *v = g_try_new(float, (gsize)s->options.batch_rows *n_kv);
    PdSpan span = {.sequence = sequence};
    PdBatch batch = {.spans = &span, .n_spans = 1, .positions = s->batch.positions};

    g_assert(s->deepseek == NULL);
    if (n < 0 || n > s->options.max_tokens - first) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                    "%d rows do not fit behind %d in a sequence of at most %d", n, first,
                    s->options.max_tokens);
        return FALSE;
    }
    if (!k || !v) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for %d rows of keys and values", s->options.batch_rows);
        return FALSE;
    }
    pd_session_fill_rope(s, first + n);
    pd_sparse_forget(s, sequence, first);
    for (int done = 0; done < n; done += span.n_rows) {
        span.first_row = first + done;
        span.n_rows = MIN(n - done, s->options.batch_rows);
        batch.n_rows = span.n_rows;
        for (int i = 0; i < span.n_rows; i++)
            batch.positions[i] = span.first_row + i;
        put_chunk(s, &batch, done, k, v, fill, user_data);
    }
    if (s->sparse != NULL)
        pd_sparse_zero_queries(s, sequence, first, n);
    memcpy(s->tokens + (gsize)sequence * (gsize)s->options.max_tokens + first, tokens,
           (gsize)n * sizeof *tokens);
    s->n_tokens[sequence] = first + n;
    return TRUE;
}
