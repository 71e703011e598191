/*
 * The KV record of one segment encoded alone: what lies in a pack under the segment's key.
 *
 *   PdSegmentKvHead (64 bytes)
 *   PdSegmentKvEntry (16 bytes) for each stream, by layer, keys before values, by KV head
 *   from the next multiple of 64 bytes on, the streams in the same order: the header's rows as one
 *   stream of kv_block.h, then the segment's own rows as another
 *
 * so that blocks of 64 rows are the sweep's blocks.  Keys are before RoPE and without bias: a row
 * can be used at any position.  Numbers are little-endian.
 */
#ifndef PD_SEGMENT_KV_H
#define PD_SEGMENT_KV_H

#include "prompts/context.h"

typedef struct {
    char magic[8]; /* "PDSEGKV2" */
    guint32 tier;  /* PdKvTier */
    guint32 key_bits;
    guint32 value_bits; /* 0: no values */
    guint32 n_layers;   /* of the model */
    guint32 n_kv_heads;
    guint32 head_dim;
    guint32 n_rows; /* the header's and the segment's */
    guint32 n_header_rows;
    guint32 n_streams;
    guint8 reserved[20];
} PdSegmentKvHead;
G_STATIC_ASSERT(sizeof(PdSegmentKvHead) == 64);

typedef struct {
    guint16 layer;
    guint16 kv_head;
    guint32 kind;         /* 0: keys, 1: values */
    guint64 offset_bytes; /* from the record's start: the header's rows */
} PdSegmentKvEntry;
G_STATIC_ASSERT(sizeof(PdSegmentKvEntry) == 16);

/* SHA-256 over layout version, record version, model, tokenizer, shape, the tier's bits and
 * streams, prefix, header and segment tokens. */
gboolean pd_segment_kv_key(PdContext *context, const PdContextSegment *segment,
                           guint8 key[PD_KV_KEY_BYTES], GCancellable *cancellable, GError **error);
/* The same for a tier that is not the context's. */
gboolean pd_segment_kv_key_of_tier(PdContext *context, const PdContextSegment *segment,
                                   PdKvTier tier, guint8 key[PD_KV_KEY_BYTES],
                                   GCancellable *cancellable, GError **error);

/*
 * The checked record that serves the context's tier: its own or, for INDEX, a FULL one.  `key` (may
 * be NULL) gets the key of what was found, or of what was found damaged (error CORRUPT: drop it).
 * NOT_FOUND: there is none, warm first.
 */
GBytes *pd_segment_kv_get(PdContext *context, const PdContextSegment *segment,
                          guint8 key[PD_KV_KEY_BYTES], GCancellable *cancellable, GError **error);
/* Is there a record that serves? */
gboolean pd_segment_kv_has(PdContext *context, const PdContextSegment *segment, gboolean *has,
                           GCancellable *cancellable, GError **error);

/* Rows of one layer and KV head: two streams of kv_block.h. */
typedef struct {
    const guint8 *header, *rows;
    int bits;
    guint n_header_rows, n_rows;
} PdKeyStream;
typedef PdKeyStream PdValueStream;

/* The keys of one layer and KV head; FALSE: this tier does not hold them. */
gboolean pd_segment_kv_keys(const guint8 *record, int layer, int kv_head, PdKeyStream *stream);
gboolean pd_segment_kv_values(const guint8 *record, int layer, int kv_head, PdValueStream *stream);

gsize pd_segment_kv_bytes(const PdModelShape *shape, const PdKvFormat *format, guint n_rows,
                          guint n_header_rows);
/* A zeroed record with its head and table filled in; NULL when out of memory.  n_rows counts the
 * header's too.  Free with g_free. */
guint8 *pd_segment_kv_new(const PdModelShape *shape, const PdKvFormat *format, guint n_rows,
                          guint n_header_rows);
/* Takes rows as they are made and packs each block of 64 as soon as it is whole; a stream is filled
 * when all its rows have been given, in order.  NULL: out of memory.  The record is borrowed. */
typedef struct PdSegmentKvWriter PdSegmentKvWriter;
PdSegmentKvWriter *pd_segment_kv_writer_new(guint8 *record);
void pd_segment_kv_writer_free(PdSegmentKvWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdSegmentKvWriter, pd_segment_kv_writer_free)
/* Rows [first, first + n) of the record, header first; row r at rows + r * stride (in floats).
 * FALSE: the record has no such stream. */
gboolean pd_segment_kv_writer_add(PdSegmentKvWriter *writer, int layer, gboolean values,
                                  int kv_head, guint first, guint n, const float *rows,
                                  gsize stride);
/* Is this record what the segment, model and format say it is? */
gboolean pd_segment_kv_check(const PdContext *context, const PdContextSegment *segment,
                             PdKvTier tier, GBytes *record, GError **error);

/* A SHA-256 that everything which changes the numbers has gone into, for chained keys. */
GChecksum *pd_kv_key_begin(PdContext *context, const char *kind, GCancellable *cancellable,
                           GError **error);
void pd_kv_key_tokens(GChecksum *sum, const gint32 *tokens, gsize n);

#endif
