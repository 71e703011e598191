/*
 * Rows in and out of the cache.  The order of the bytes is that of session.h: for each layer K then
 * V, each (n_kv_heads, n_rows, row_bytes), then a sparse session's queries, so that a saved range
 * does not depend on the capacity of the session it came from.
 */
#include <string.h>
#include "engine/error.h"
#include "engine/session_internal.h"

static gsize
head_row_bytes(const PdSession *s)
{
    return pd_row_bytes(s->options.kv_type, (gsize)s->model->shape.head_dim);
}

guint64
pd_session_row_bytes(const PdSession *s)
{
    g_assert(s->deepseek == NULL);
    guint64 n = 2 * (guint64)s->n_layers * (guint64)s->model->shape.n_kv_heads;
    if (s->sparse != NULL)
        n += (guint64)s->sparse->policy.n_heads;
    return n * head_row_bytes(s);
}

/* Rows from `row` on of K (stream 0) or V (stream 1) of one KV head. */
static PdMem
head_rows(const PdSession *s, int sequence, int layer, int stream, int head, int row)
{
    const PdKv *kv = pd_session_kv(s, sequence, layer);
    PdMem mem = stream == 0 ? kv->k : kv->v;
    gsize index = (gsize)head * (gsize)kv->capacity_rows + (gsize)row;
    mem.offset_bytes += index * head_row_bytes(s);
    return mem;
}

typedef void (*MoveFunc)(PdSession *s, PdMem rows, guint8 *bytes, gsize n_bytes);

static void
move_out(PdSession *s, PdMem rows, guint8 *bytes, gsize n_bytes)
{
    s->dev->ops->read(s->dev, bytes, rows, n_bytes);
}

static void
move_in(PdSession *s, PdMem rows, guint8 *bytes, gsize n_bytes)
{
    s->dev->ops->write(s->dev, rows, bytes, n_bytes);
}

static void
move_rows(PdSession *s, int sequence, int first, int n, guint8 *bytes, MoveFunc move)
{
    gsize n_bytes = (gsize)n * head_row_bytes(s);
    for (int layer = 0; layer < s->n_layers; layer++) {
        for (int stream = 0; stream < 2; stream++) {
            for (int head = 0; head < s->model->shape.n_kv_heads; head++) {
                move(s, head_rows(s, sequence, layer, stream, head, first), bytes, n_bytes);
                bytes += n_bytes;
            }
        }
    }
    for (int head = 0; s->sparse != NULL && head < s->sparse->policy.n_heads; head++) {
        move(s, pd_sparse_query_rows(s, sequence, head, first), bytes, n_bytes);
        bytes += n_bytes;
    }
}

void
pd_session_save_rows(PdSession *s, int sequence, int first, int n, void *dst)
{
    g_assert(s->deepseek == NULL);
    g_assert(first >= 0 && n >= 0 && first + n <= pd_session_n_tokens(s, sequence));
    move_rows(s, sequence, first, n, dst, move_out);
}

gboolean
pd_session_load_rows(PdSession *s, int sequence, int first, int n, const gint32 *tokens,
                     const void *src, gsize n_bytes, GError **error)
{
    g_assert(s->deepseek == NULL);
    g_assert(sequence >= 0 && sequence < s->options.n_sequences);
    if (first != s->n_tokens[sequence] || n < 0 || n > s->options.max_tokens - first) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                    "rows %d to %d do not continue a sequence of %d (at most %d)", first, first + n,
                    s->n_tokens[sequence], s->options.max_tokens);
        return FALSE;
    }
    if (n_bytes != (guint64)n * pd_session_row_bytes(s)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT,
                    "%" G_GSIZE_FORMAT " bytes of KV for %d rows of %" G_GUINT64_FORMAT, n_bytes, n,
                    pd_session_row_bytes(s));
        return FALSE;
    }
    pd_sparse_forget(s, sequence, first);
    move_rows(s, sequence, first, n, (guint8 *)src, move_in);
    memcpy(s->tokens + (gsize)sequence * (gsize)s->options.max_tokens + first, tokens,
           (gsize)n * sizeof *tokens);
    s->n_tokens[sequence] = first + n;
    return TRUE;
}

static void
copy_rows(PdSession *s, int from, int to, int n)
{
    gsize n_bytes = (gsize)n * head_row_bytes(s);
    for (int layer = 0; layer < s->n_layers; layer++) {
        for (int stream = 0; stream < 2; stream++) {
            for (int head = 0; head < s->model->shape.n_kv_heads; head++)
                s->dev->ops->copy(s->dev, head_rows(s, to, layer, stream, head, 0),
                                  head_rows(s, from, layer, stream, head, 0), n_bytes);
        }
    }
    for (int head = 0; s->sparse != NULL && head < s->sparse->policy.n_heads; head++)
        s->dev->ops->copy(s->dev, pd_sparse_query_rows(s, to, head, 0),
                          pd_sparse_query_rows(s, from, head, 0), n_bytes);
}

gboolean
pd_session_share_rows(PdSession *s, int from, int to, int n, GError **error)
{
    g_assert(from >= 0 && from < s->options.n_sequences && to >= 0 && to < s->options.n_sequences);
    if (n < 0 || n > s->n_tokens[from]) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                    "sequence %d holds %d rows, not %d", from, s->n_tokens[from], n);
        return FALSE;
    }
    if (from == to) {
        pd_session_truncate(s, from, n);
        return TRUE;
    }
    if (s->deepseek != NULL)
        pd_ds_run_share(s->deepseek, from, to, n);
    else
        copy_rows(s, from, to, n);
    pd_sparse_forget(s, to, 0);
    gsize capacity = (gsize)s->options.max_tokens;
    memcpy(s->tokens + (gsize)to * capacity, s->tokens + (gsize)from * capacity,
           (gsize)n * sizeof *s->tokens);
    s->n_tokens[to] = n;
    return TRUE;
}
