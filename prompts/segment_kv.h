/*
 * The KV record of one segment encoded alone: what lies in a pack under the segment's key.
 *
 *   PdSegmentKvHead (64 bytes)
 *   for each layer: K, then V, each (n_kv_heads, n_rows, head_dim) in Q8_0 blocks
 *
 * Rows are the header's tokens, then the segment's.  Keys are before RoPE and without bias, so a
 * row can be used at any position.
 */
#ifndef PD_SEGMENT_KV_H
#define PD_SEGMENT_KV_H

#include "prompts/context.h"

typedef struct {
    char magic[8]; /* "PDSEGKV1" */
    guint32 n_layers;
    guint32 n_kv_heads;
    guint32 head_dim;
    guint32 n_rows;
    guint32 n_header_rows;
    guint32 dtype; /* PD_Q8_0 */
    guint8 reserved[32];
} PdSegmentKvHead;
G_STATIC_ASSERT(sizeof(PdSegmentKvHead) == 64);

/* SHA-256 over layout version, record version, model, tokenizer, shape, prefix, header and segment
 * tokens. */
gboolean pd_segment_kv_key(PdContext *context, const PdContextSegment *segment,
                           guint8 key[PD_KV_KEY_BYTES], GCancellable *cancellable, GError **error);

gsize pd_segment_kv_bytes(const PdModelShape *shape, guint n_rows);
/* A zeroed record with its head filled in; NULL when out of memory.  Free with g_free. */
guint8 *pd_segment_kv_new(const PdModelShape *shape, guint n_rows, guint n_header_rows);
/* The stream of one layer and KV head inside a record: n_rows rows of Q8_0. */
guint8 *pd_segment_kv_stream(guint8 *record, int layer, gboolean values, int kv_head);
/* Is this record what the segment and model say it is? */
gboolean pd_segment_kv_check(const PdContext *context, const PdContextSegment *segment,
                             GBytes *record, GError **error);

/*
 * Version 2 of the record (compressed blocks, two tiers) is read through these.
 *
 * pd_segment_kv_get: the checked record that serves the context's tier: its own or, for INDEX, a
 * FULL one.  `key` (may be NULL) gets the key of what was found, or of what was found damaged
 * (error CORRUPT: drop it).  NOT_FOUND: there is none, warm first.
 */
GBytes *pd_segment_kv_get(PdContext *context, const PdContextSegment *segment,
                          guint8 key[PD_KV_KEY_BYTES], GCancellable *cancellable, GError **error);

/* Rows of one layer and KV head: two streams of kv_block.h, so that blocks of 64 rows are the
 * sweep's blocks. */
typedef struct {
    const guint8 *header, *rows;
    int bits;
    guint n_header_rows, n_rows; /* n_rows: the segment's own, without the header's */
} PdKeyStream;

/* The keys of one layer and KV head; FALSE: this tier does not hold them. */
gboolean pd_segment_kv_keys(const guint8 *record, int layer, int kv_head, PdKeyStream *stream);

/* A SHA-256 that everything which changes the numbers has gone into, for chained keys. */
GChecksum *pd_kv_key_begin(PdContext *context, const char *kind, GCancellable *cancellable,
                           GError **error);
void pd_kv_key_tokens(GChecksum *sum, const gint32 *tokens, gsize n);

#endif
