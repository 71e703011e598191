/* See segment_kv.h. */
#include "prompts/segment_kv.h"

#include <string.h>
#include "prompts/error.h"
#include "prompts/layout.h"

static const char magic[8] = {'P', 'D', 'S', 'E', 'G', 'K', 'V', '1'};

GChecksum *
pd_kv_key_begin(PdContext *context, const char *kind, GCancellable *cancellable, GError **error)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    const char *model_id = pd_model_id(context->model, cancellable, error);
    g_autofree char *identity = NULL;
    GChecksum *sum;

    if (!model_id)
        return NULL;
    identity = g_strdup_printf("%s\n%s\n%s\n%s\n%d %d %d\n", kind, PD_LAYOUT_VERSION, model_id,
                               pd_tokenizer_id(pd_model_tokenizer(context->model)), shape->n_layers,
                               shape->n_kv_heads, shape->head_dim);
    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)identity, strlen(identity));
    return sum;
}

void
pd_kv_key_tokens(GChecksum *sum, const gint32 *tokens, gsize n)
{
    guint32 count = GUINT32_TO_LE((guint32)n);

    g_checksum_update(sum, (const guchar *)&count, sizeof count);
    for (gsize i = 0; i < n; i++) {
        guint32 id = GUINT32_TO_LE((guint32)tokens[i]);
        g_checksum_update(sum, (const guchar *)&id, sizeof id);
    }
}

gboolean
pd_segment_kv_key(PdContext *context, const PdContextSegment *segment, guint8 key[PD_KV_KEY_BYTES],
                  GCancellable *cancellable, GError **error)
{
    g_autoptr(GChecksum) sum = pd_kv_key_begin(context, "segment kv 1", cancellable, error);
    gsize n_bytes = PD_KV_KEY_BYTES;

    if (!sum)
        return FALSE;
    pd_kv_key_tokens(sum, (gint32 *)context->prefix->data, context->prefix->len);
    pd_kv_key_tokens(sum, (gint32 *)segment->header_ids->data, segment->header_ids->len);
    pd_kv_key_tokens(sum, (const gint32 *)segment->row->ids, segment->row->n_tokens);
    g_checksum_get_digest(sum, key, &n_bytes);
    return TRUE;
}

static gsize
stream_bytes(guint n_rows, guint head_dim)
{
    return (gsize)n_rows * pd_row_bytes(PD_Q8_0, head_dim);
}

gsize
pd_segment_kv_bytes(const PdModelShape *shape, guint n_rows)
{
    return sizeof(PdSegmentKvHead) +
           2 * (gsize)shape->n_layers * shape->n_kv_heads * stream_bytes(n_rows, shape->head_dim);
}

guint8 *
pd_segment_kv_new(const PdModelShape *shape, guint n_rows, guint n_header_rows)
{
    guint8 *record = g_try_malloc0(pd_segment_kv_bytes(shape, n_rows));
    PdSegmentKvHead *head = (PdSegmentKvHead *)record;

    if (!record)
        return NULL;
    memcpy(head->magic, magic, sizeof magic);
    head->n_layers = GUINT32_TO_LE(shape->n_layers);
    head->n_kv_heads = GUINT32_TO_LE(shape->n_kv_heads);
    head->head_dim = GUINT32_TO_LE(shape->head_dim);
    head->n_rows = GUINT32_TO_LE(n_rows);
    head->n_header_rows = GUINT32_TO_LE(n_header_rows);
    head->dtype = GUINT32_TO_LE(PD_Q8_0);
    return record;
}

guint8 *
pd_segment_kv_stream(guint8 *record, int layer, gboolean values, int kv_head)
{
    const PdSegmentKvHead *head = (const PdSegmentKvHead *)record;
    gsize stream = stream_bytes(GUINT32_FROM_LE(head->n_rows), GUINT32_FROM_LE(head->head_dim));
    gsize index =
        ((gsize)layer * 2 + (values ? 1 : 0)) * GUINT32_FROM_LE(head->n_kv_heads) + kv_head;

    return record + sizeof(PdSegmentKvHead) + index * stream;
}

gboolean
pd_segment_kv_check(const PdContext *context, const PdContextSegment *segment, GBytes *record,
                    GError **error)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    guint n_rows = segment->header_ids->len + segment->row->n_tokens;
    const PdSegmentKvHead *head = g_bytes_get_data(record, NULL);

    if (g_bytes_get_size(record) == pd_segment_kv_bytes(shape, n_rows) &&
        memcmp(head->magic, magic, sizeof magic) == 0 &&
        GUINT32_FROM_LE(head->n_layers) == (guint32)shape->n_layers &&
        GUINT32_FROM_LE(head->n_kv_heads) == (guint32)shape->n_kv_heads &&
        GUINT32_FROM_LE(head->head_dim) == (guint32)shape->head_dim &&
        GUINT32_FROM_LE(head->n_rows) == n_rows &&
        GUINT32_FROM_LE(head->n_header_rows) == segment->header_ids->len &&
        GUINT32_FROM_LE(head->dtype) == PD_Q8_0)
        return TRUE;
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                "a KV record does not have the shape of its segment; run: pandect -C %s verify",
                pd_corpus_dir(context->corpus));
    return FALSE;
}
