/* See segment_kv.h. */
#include "prompts/segment_kv.h"

#include <string.h>
#include "kernels/kv_block.h"
#include "prompts/error.h"
#include "prompts/layout.h"

static const char magic[8] = {'P', 'D', 'S', 'E', 'G', 'K', 'V', '2'};

enum { KEYS, VALUES };

/* --- the key --- */

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

/* "segment kv 2 full 8 4" or "segment kv 2 index 4 0 3.1 11.0": kind, bits and streams. */
static char *
describe_format(const PdKvFormat *format)
{
    GString *text = g_string_new(NULL);

    g_string_printf(text, "segment kv 2 %s %d %d", pd_kv_tier_name(format->tier), format->key_bits,
                    format->value_bits);
    for (int i = 0; i < format->n_keys; i++)
        g_string_append_printf(text, " %d.%d", format->keys[i].layer, format->keys[i].head);
    return g_string_free(text, FALSE);
}

static PdKvFormat
format_of(const PdContext *context, PdKvTier tier)
{
    return pd_kv_format(pd_model_shape(context->model), &context->profile, tier);
}

gboolean
pd_segment_kv_key_of_tier(PdContext *context, const PdContextSegment *segment, PdKvTier tier,
                          guint8 key[PD_KV_KEY_BYTES], GCancellable *cancellable, GError **error)
{
    PdKvFormat format = format_of(context, tier);
    g_autofree char *kind = describe_format(&format);
    g_autoptr(GChecksum) sum = pd_kv_key_begin(context, kind, cancellable, error);
    gsize n_bytes = PD_KV_KEY_BYTES;

    if (!sum)
        return FALSE;
    pd_kv_key_tokens(sum, (gint32 *)context->prefix->data, context->prefix->len);
    pd_kv_key_tokens(sum, (gint32 *)segment->header_ids->data, segment->header_ids->len);
    pd_kv_key_tokens(sum, (const gint32 *)segment->row->ids, segment->row->n_tokens);
    g_checksum_get_digest(sum, key, &n_bytes);
    return TRUE;
}

gboolean
pd_segment_kv_key(PdContext *context, const PdContextSegment *segment, guint8 key[PD_KV_KEY_BYTES],
                  GCancellable *cancellable, GError **error)
{
    return pd_segment_kv_key_of_tier(context, segment, context->tier, key, cancellable, error);
}

/* The tier whose record serves: *tier is AUTO when there is none; key is of the last looked at. */
static gboolean
find_record(PdContext *context, const PdContextSegment *segment, PdKvTier *tier,
            guint8 key[PD_KV_KEY_BYTES], GCancellable *cancellable, GError **error)
{
    PdKvTier serving[] = {context->tier, PD_KV_FULL};

    *tier = PD_KV_AUTO;
    for (gsize i = 0; i < (context->tier == PD_KV_INDEX ? 2 : 1); i++) {
        if (!pd_segment_kv_key_of_tier(context, segment, serving[i], key, cancellable, error))
            return FALSE;
        if (pd_kv_store_has(context->store, key)) {
            *tier = serving[i];
            return TRUE;
        }
    }
    return TRUE;
}

gboolean
pd_segment_kv_has(PdContext *context, const PdContextSegment *segment, gboolean *has,
                  GCancellable *cancellable, GError **error)
{
    guint8 key[PD_KV_KEY_BYTES];
    PdKvTier tier;

    if (!find_record(context, segment, &tier, key, cancellable, error))
        return FALSE;
    *has = tier != PD_KV_AUTO;
    return TRUE;
}

GBytes *
pd_segment_kv_get(PdContext *context, const PdContextSegment *segment, guint8 key[PD_KV_KEY_BYTES],
                  GCancellable *cancellable, GError **error)
{
    guint8 found[PD_KV_KEY_BYTES];
    g_autoptr(GBytes) record = NULL;
    PdKvTier tier;

    if (!find_record(context, segment, &tier, found, cancellable, error))
        return NULL;
    if (key)
        memcpy(key, found, PD_KV_KEY_BYTES);
    record = pd_kv_store_get(context->store, found, error); /* NOT_FOUND where there is none */
    if (!record || !pd_segment_kv_check(context, segment, tier, record, error))
        return NULL;
    return g_steal_pointer(&record);
}

/* --- the record --- */

static gsize
one_stream_bytes(int kind, int bits, int head_dim, guint n_rows)
{
    if (n_rows == 0 || bits == 0)
        return 0;
    return kind == KEYS ? pd_key_stream_bytes(bits, head_dim, (int)n_rows)
                        : pd_value_stream_bytes(bits, head_dim, (int)n_rows);
}

static gsize
stream_bytes(const PdKvFormat *format, int kind, int head_dim, guint n_rows)
{
    return one_stream_bytes(kind, kind == KEYS ? format->key_bits : format->value_bits, head_dim,
                            n_rows);
}

static guint
count_streams(const PdModelShape *shape, const PdKvFormat *format)
{
    if (format->tier == PD_KV_INDEX)
        return (guint)format->n_keys;
    return (guint)(2 * shape->n_layers * shape->n_kv_heads);
}

/* The i-th stream of the format. */
static PdSegmentKvEntry
stream_at(const PdModelShape *shape, const PdKvFormat *format, guint i)
{
    guint n_heads = (guint)shape->n_kv_heads;

    if (format->tier == PD_KV_INDEX)
        return (PdSegmentKvEntry){.layer = (guint16)format->keys[i].layer,
                                  .kv_head = (guint16)format->keys[i].head};
    return (PdSegmentKvEntry){.layer = (guint16)(i / (2 * n_heads)),
                              .kv_head = (guint16)(i % n_heads),
                              .kind = i / n_heads % 2};
}

static gsize
table_end(guint n_streams)
{
    gsize end = sizeof(PdSegmentKvHead) + n_streams * sizeof(PdSegmentKvEntry);

    return (end + 63) / 64 * 64;
}

gsize
pd_segment_kv_bytes(const PdModelShape *shape, const PdKvFormat *format, guint n_rows,
                    guint n_header_rows)
{
    guint n_streams = count_streams(shape, format), n_own = n_rows - n_header_rows;
    gsize pair[2];

    for (int kind = KEYS; kind <= VALUES; kind++)
        pair[kind] = stream_bytes(format, kind, shape->head_dim, n_header_rows) +
                     stream_bytes(format, kind, shape->head_dim, n_own);
    if (format->tier == PD_KV_INDEX)
        return table_end(n_streams) + n_streams * pair[KEYS];
    return table_end(n_streams) + n_streams / 2 * (pair[KEYS] + pair[VALUES]);
}

/* Head, table and the zeros behind it: the first table_end() bytes of a record. */
static void
write_table(const PdModelShape *shape, const PdKvFormat *format, guint n_rows, guint n_header_rows,
            guint8 *to)
{
    PdSegmentKvHead *head = (PdSegmentKvHead *)to;
    PdSegmentKvEntry *table = (PdSegmentKvEntry *)(to + sizeof *head);
    guint n_streams = count_streams(shape, format);
    gsize at = table_end(n_streams);

    memset(to, 0, at);
    memcpy(head->magic, magic, sizeof magic);
    head->tier = GUINT32_TO_LE(format->tier);
    head->key_bits = GUINT32_TO_LE(format->key_bits);
    head->value_bits = GUINT32_TO_LE(format->value_bits);
    head->n_layers = GUINT32_TO_LE(shape->n_layers);
    head->n_kv_heads = GUINT32_TO_LE(shape->n_kv_heads);
    head->head_dim = GUINT32_TO_LE(shape->head_dim);
    head->n_rows = GUINT32_TO_LE(n_rows);
    head->n_header_rows = GUINT32_TO_LE(n_header_rows);
    head->n_streams = GUINT32_TO_LE(n_streams);
    for (guint i = 0; i < n_streams; i++) {
        PdSegmentKvEntry entry = stream_at(shape, format, i);
        int kind = (int)entry.kind;

        table[i].layer = GUINT16_TO_LE(entry.layer);
        table[i].kv_head = GUINT16_TO_LE(entry.kv_head);
        table[i].kind = GUINT32_TO_LE(entry.kind);
        table[i].offset_bytes = GUINT64_TO_LE(at);
        at += stream_bytes(format, kind, shape->head_dim, n_header_rows) +
              stream_bytes(format, kind, shape->head_dim, n_rows - n_header_rows);
    }
    g_assert(at == pd_segment_kv_bytes(shape, format, n_rows, n_header_rows));
}

guint8 *
pd_segment_kv_new(const PdModelShape *shape, const PdKvFormat *format, guint n_rows,
                  guint n_header_rows)
{
    guint8 *record = g_try_malloc0(pd_segment_kv_bytes(shape, format, n_rows, n_header_rows));

    if (record)
        write_table(shape, format, n_rows, n_header_rows, record);
    return record;
}

/* One stream of a record that was made or checked here. */
static gboolean
find_stream(const guint8 *record, int layer, guint32 kind, int kv_head, PdKeyStream *stream,
            guint *index)
{
    const PdSegmentKvHead *head = (const PdSegmentKvHead *)record;
    const PdSegmentKvEntry *table = (const PdSegmentKvEntry *)(record + sizeof *head);
    guint32 n_streams = GUINT32_FROM_LE(head->n_streams);
    int dim = (int)GUINT32_FROM_LE(head->head_dim);
    gsize header_bytes;

    for (guint32 i = 0; i < n_streams; i++) {
        if (GUINT16_FROM_LE(table[i].layer) != layer || GUINT32_FROM_LE(table[i].kind) != kind ||
            GUINT16_FROM_LE(table[i].kv_head) != kv_head)
            continue;
        stream->bits = (int)GUINT32_FROM_LE(kind == KEYS ? head->key_bits : head->value_bits);
        stream->n_header_rows = GUINT32_FROM_LE(head->n_header_rows);
        stream->n_rows = GUINT32_FROM_LE(head->n_rows) - stream->n_header_rows;
        header_bytes = one_stream_bytes((int)kind, stream->bits, dim, stream->n_header_rows);
        stream->header = record + GUINT64_FROM_LE(table[i].offset_bytes);
        stream->rows = stream->header + header_bytes;
        *index = i;
        return TRUE;
    }
    return FALSE;
}

gboolean
pd_segment_kv_keys(const guint8 *record, int layer, int kv_head, PdKeyStream *stream)
{
    guint index;

    return find_stream(record, layer, KEYS, kv_head, stream, &index);
}

gboolean
pd_segment_kv_values(const guint8 *record, int layer, int kv_head, PdValueStream *stream)
{
    guint index;

    return find_stream(record, layer, VALUES, kv_head, stream, &index);
}

/* --- filling a record --- */

struct PdSegmentKvWriter {
    guint8 *record;
    int head_dim;
    float *partial; /* (n_streams, 64, head_dim): rows of blocks that are not whole yet */
};

PdSegmentKvWriter *
pd_segment_kv_writer_new(guint8 *record)
{
    const PdSegmentKvHead *head = (const PdSegmentKvHead *)record;
    gsize n_floats = (gsize)GUINT32_FROM_LE(head->n_streams) * PD_KV_BLOCK_ROWS *
                     GUINT32_FROM_LE(head->head_dim);
    g_autofree float *partial = g_try_new(float, n_floats);
    PdSegmentKvWriter *writer;

    if (!partial)
        return NULL;
    writer = g_new(PdSegmentKvWriter, 1);
    *writer = (PdSegmentKvWriter){.record = record,
                                  .head_dim = (int)GUINT32_FROM_LE(head->head_dim),
                                  .partial = g_steal_pointer(&partial)};
    return writer;
}

void
pd_segment_kv_writer_free(PdSegmentKvWriter *writer)
{
    g_free(writer->partial);
    g_free(writer);
}

static void
pack_block(int kind, int bits, int head_dim, const float *rows, gsize stride, int n, guint8 *block)
{
    if (kind == KEYS)
        pd_key_block_pack(bits, head_dim, rows, stride, n, block);
    else
        pd_value_block_pack(bits, head_dim, rows, stride, n, block);
}

/* Rows [first, first + n) of one section, the header's or the segment's, of n_section rows. */
static void
add_to_section(const PdSegmentKvWriter *writer, int kind, int bits, float *partial, guint8 *section,
               guint n_section, guint first, guint n, const float *rows, gsize stride)
{
    gsize dim = (gsize)writer->head_dim;
    gsize block_bytes = one_stream_bytes(kind, bits, writer->head_dim, PD_KV_BLOCK_ROWS);

    while (n > 0) {
        guint inside = first % PD_KV_BLOCK_ROWS, start = first - inside;
        guint length = MIN(PD_KV_BLOCK_ROWS, n_section - start);
        guint taken = MIN(n, length - inside);
        guint8 *block = section + start / PD_KV_BLOCK_ROWS * block_bytes;

        if (taken == length) {
            pack_block(kind, bits, writer->head_dim, rows, stride, (int)length, block);
        } else {
            for (guint r = 0; r < taken; r++)
                memcpy(partial + (inside + r) * dim, rows + r * stride, dim * sizeof(float));
            if (inside + taken == length)
                pack_block(kind, bits, writer->head_dim, partial, dim, (int)length, block);
        }
        first += taken;
        n -= taken;
        rows += taken * stride;
    }
}

gboolean
pd_segment_kv_writer_add(PdSegmentKvWriter *writer, int layer, gboolean values, int kv_head,
                         guint first, guint n, const float *rows, gsize stride)
{
    int kind = values ? VALUES : KEYS;
    guint8 *record = writer->record;
    PdKeyStream stream;
    guint i, n_header;
    float *partial;

    if (!find_stream(record, layer, (guint32)kind, kv_head, &stream, &i))
        return FALSE;
    g_assert((guint64)first + n <= (guint64)stream.n_header_rows + stream.n_rows);
    partial = writer->partial + (gsize)i * PD_KV_BLOCK_ROWS * (gsize)writer->head_dim;
    n_header = first < stream.n_header_rows ? MIN(n, stream.n_header_rows - first) : 0;
    add_to_section(writer, kind, stream.bits, partial, record + (stream.header - record),
                   stream.n_header_rows, first, n_header, rows, stride);
    add_to_section(writer, kind, stream.bits, partial, record + (stream.rows - record),
                   stream.n_rows, first + n_header - stream.n_header_rows, n - n_header,
                   rows + n_header * stride, stride);
    return TRUE;
}

/* --- the check --- */

/* Size, head and table are exactly those that a new record gets. */
gboolean
pd_segment_kv_check(const PdContext *context, const PdContextSegment *segment, PdKvTier tier,
                    GBytes *record, GError **error)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    PdKvFormat format = format_of(context, tier);
    guint n_header = segment->header_ids->len, n_rows = n_header + segment->row->n_tokens;
    gsize n_bytes = pd_segment_kv_bytes(shape, &format, n_rows, n_header);
    gsize n_table_bytes = table_end(count_streams(shape, &format));
    g_autofree guint8 *expected = g_malloc(n_table_bytes);

    write_table(shape, &format, n_rows, n_header, expected);
    if (g_bytes_get_size(record) == n_bytes &&
        memcmp(g_bytes_get_data(record, NULL), expected, n_table_bytes) == 0)
        return TRUE;
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                "a KV record does not have the shape of its segment; run: pandect -C %s verify",
                pd_corpus_dir(context->corpus));
    return FALSE;
}
