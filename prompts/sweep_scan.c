/*
 * Scoring the kept keys: every stream of a head in one call for a batch of records, so that many
 * short segments share the threads' start.  Records stay mapped; nothing is copied but the scores.
 */
#include <math.h>
#include <string.h>
#include "kernels/kv_block.h"
#include "prompts/error.h"
#include "prompts/layout.h"
#include "prompts/segment_kv.h"
#include "prompts/sweep_internal.h"

#define BATCH_SEGMENTS 64
#define BATCH_BLOCKS 4096

G_STATIC_ASSERT(PD_HEADER_TOKENS_MAX <= PD_SWEEP_BLOCK_TOKENS); /* one block of header keys */
G_STATIC_ASSERT(PD_KV_BLOCK_ROWS == PD_SWEEP_BLOCK_TOKENS);

/* A record of the batch, and where its scores lie in `out` (in floats). */
typedef struct {
    GBytes *record;
    PdBuffer *buffer;
    guint n_blocks;
    guint first_block; /* in corpus order */
    gsize own_at;      /* (n_queries, n_blocks) */
    gsize header_at;   /* (n_queries) */
} Entry;

typedef struct {
    const PdSweepQueries *queries;
    PdDevice *device;
    PdBuffer *q; /* as queries->queries */
    PdBuffer *out;
    gsize out_floats; /* of `out` */
    float *host;      /* as out */
    Entry entries[BATCH_SEGMENTS];
    guint n_entries;
} Scan;

static void
drop_entries(Scan *scan)
{
    for (guint i = 0; i < scan->n_entries; i++) {
        if (scan->entries[i].buffer)
            scan->device->ops->buffer_free(scan->device, scan->entries[i].buffer);
        g_bytes_unref(scan->entries[i].record);
    }
    scan->n_entries = 0;
}

static void
scan_clear(Scan *scan)
{
    drop_entries(scan);
    if (scan->q)
        scan->device->ops->buffer_free(scan->device, scan->q);
    if (scan->out)
        scan->device->ops->buffer_free(scan->device, scan->out);
    g_free(scan->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scan, scan_clear)

static gboolean
scan_init(Scan *scan, GError **error)
{
    const PdSweepQueries *queries = scan->queries;
    gsize n_bytes = sizeof(float) * (gsize)queries->n_heads * (gsize)queries->n_queries *
                    (gsize)pd_model_shape(queries->context->model)->head_dim;

    scan->device = pd_model_device(queries->context->model);
    scan->q = scan->device->ops->buffer_new(scan->device, n_bytes);
    if (!scan->q)
        return pd_sweep_no_memory(error);
    scan->device->ops->write(scan->device, (PdMem){scan->q, 0}, queries->queries, n_bytes);
    return TRUE;
}

/* --- a batch --- */

/* Places for all scores of the batch. */
static gboolean
lay_out(Scan *scan, GError **error)
{
    gsize n_queries = (gsize)scan->queries->n_queries, at = 0;

    for (guint i = 0; i < scan->n_entries; i++) {
        Entry *entry = &scan->entries[i];

        entry->own_at = at;
        entry->header_at = at + n_queries * entry->n_blocks;
        at = entry->header_at + n_queries;
    }
    if (at <= scan->out_floats)
        return TRUE;
    if (scan->out)
        scan->device->ops->buffer_free(scan->device, scan->out);
    g_clear_pointer(&scan->host, g_free);
    scan->out = scan->device->ops->buffer_new(scan->device, at * sizeof(float));
    scan->host = g_try_new(float, at);
    scan->out_floats = at;
    return (scan->out && scan->host) || pd_sweep_no_memory(error);
}

static gboolean
find_keys(const Scan *scan, const Entry *entry, int h, PdKeyStream *stream, GError **error)
{
    const PdModelShape *shape = pd_model_shape(scan->queries->context->model);
    const PdHead *head = &scan->queries->heads[h];

    if (pd_segment_kv_keys(g_bytes_get_data(entry->record, NULL), head->layer,
                           pd_head_kv(shape, head), stream))
        return TRUE;
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                "what is kept of %s does not hold the keys of layer %d, head %d; warm it with "
                "--kv full",
                pd_corpus_dir(scan->queries->context->corpus), head->layer, head->head);
    return FALSE;
}

/* The streams of one head with keys of this many bits; returns their number. */
static int
add_scans(const Scan *scan, const PdKeyStream *streams, int bits, PdKeyScan *scans)
{
    int n = 0;

    for (guint i = 0; i < scan->n_entries; i++) {
        const Entry *entry = &scan->entries[i];
        const PdKeyStream *stream = &streams[i];
        const guint8 *record = g_bytes_get_data(entry->record, NULL);

        if (stream->bits != bits)
            continue;
        scans[n++] = (PdKeyScan){.keys = {entry->buffer, (gsize)(stream->rows - record)},
                                 .n_keys = (int)stream->n_rows,
                                 .out = {scan->out, entry->own_at * sizeof(float)}};
        if (stream->n_header_rows > 0)
            scans[n++] = (PdKeyScan){.keys = {entry->buffer, (gsize)(stream->header - record)},
                                     .n_keys = (int)stream->n_header_rows,
                                     .out = {scan->out, entry->header_at * sizeof(float)}};
    }
    return n;
}

/* The scores of one head for the whole batch, in scan->host. */
static gboolean
score_head(Scan *scan, int h, PdKeyStream *streams, GError **error)
{
    const PdSweepQueries *queries = scan->queries;
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    gsize q_at = sizeof(float) * (gsize)h * (gsize)queries->n_queries * (gsize)shape->head_dim;
    PdKeyScan scans[2 * BATCH_SEGMENTS];
    int n_scored = 0;

    for (guint i = 0; i < scan->n_entries; i++)
        if (!find_keys(scan, &scan->entries[i], h, &streams[i], error))
            return FALSE;
    for (int bits = 1; bits <= 8; bits++) {
        int n = add_scans(scan, streams, bits, scans), code;

        if (n == 0)
            continue;
        code = scan->device->ops->score_keys(scan->device, scans, n, bits, shape->head_dim,
                                             (PdMem){scan->q, q_at}, queries->n_queries,
                                             shape->attn_scale);
        if (code == PD_KERNEL_ENOMEM)
            return pd_sweep_no_memory(error);
        if (code != PD_KERNEL_OK) {
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                        "keys of %d bits cannot be searched on this device", bits);
            return FALSE;
        }
        n_scored += n;
    }
    g_assert(n_scored >= (int)scan->n_entries);
    scan->device->ops->read(
        scan->device, scan->host, (PdMem){scan->out, 0},
        (scan->entries[scan->n_entries - 1].header_at + (gsize)queries->n_queries) * sizeof(float));
    return TRUE;
}

/* The header counts for each block: often only the subject of a mail or the path of a file names
 * the thing. */
static void
collect(const Scan *scan, const Entry *entry, gboolean has_header, float *best)
{
    gsize n_queries = (gsize)scan->queries->n_queries, n_blocks = entry->n_blocks;
    float scale = pd_model_shape(scan->queries->context->model)->attn_scale;
    const float *own = scan->host + entry->own_at, *header = scan->host + entry->header_at;

    for (gsize i = 0; i < n_queries; i++) {
        float least = has_header ? header[i] : -INFINITY;

        for (gsize b = 0; b < n_blocks; b++)
            best[b * n_queries + i] = MAX(own[i * n_blocks + b], least) * scale;
    }
}

static gboolean
score_batch(Scan *scan, guint n_blocks, float *best, GError **error)
{
    PdKeyStream streams[BATCH_SEGMENTS];
    const PdSweepQueries *queries = scan->queries;

    if (scan->n_entries == 0)
        return TRUE;
    if (!lay_out(scan, error))
        return FALSE;
    for (int h = 0; h < queries->n_heads; h++) {
        if (!score_head(scan, h, streams, error))
            return FALSE;
        for (guint i = 0; i < scan->n_entries; i++) {
            const Entry *entry = &scan->entries[i];
            gsize at = ((gsize)h * n_blocks + entry->first_block) * (gsize)queries->n_queries;
            collect(scan, entry, streams[i].n_header_rows > 0, best + at);
        }
    }
    drop_entries(scan);
    return TRUE;
}

/* --- all of them --- */

/* Adds the segment's record to the batch.  A damaged one is dropped and noted in *damage. */
static gboolean
add_segment(Scan *scan, const PdContextSegment *segment, guint first_block, GError **damage,
            GCancellable *cancellable, GError **error)
{
    PdContext *context = scan->queries->context;
    Entry entry = {.n_blocks = pd_sweep_count_blocks(segment), .first_block = first_block};
    guint8 key[PD_KV_KEY_BYTES];
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) record = pd_segment_kv_get(context, segment, key, cancellable, &local);

    if (g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
        pd_kv_store_drop(context->store, key, NULL);
        if (!*damage)
            *damage = g_steal_pointer(&local);
        return TRUE; /* one pass finds all of them */
    }
    if (!record) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    entry.buffer = scan->device->ops->buffer_wrap(scan->device, g_bytes_get_data(record, NULL),
                                                  g_bytes_get_size(record));
    if (!entry.buffer)
        return pd_sweep_no_memory(error);
    entry.record = g_steal_pointer(&record);
    scan->entries[scan->n_entries++] = entry;
    return TRUE;
}

gboolean
pd_sweep_scan(const PdSweepQueries *queries, guint n_blocks, float *best, GCancellable *cancellable,
              GError **error)
{
    PdContext *context = queries->context;
    g_auto(Scan) scan = {.queries = queries, .device = pd_model_device(context->model)};
    g_autoptr(GError) damage = NULL;
    guint at = 0, n_waiting = 0;

    if (!scan_init(&scan, error))
        return FALSE;
    for (guint s = 0; s < context->segments->len; s++) {
        const PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);

        if (g_cancellable_set_error_if_cancelled(cancellable, error) ||
            !add_segment(&scan, segment, at, &damage, cancellable, error))
            return FALSE;
        at += pd_sweep_count_blocks(segment);
        n_waiting += pd_sweep_count_blocks(segment);
        if (scan.n_entries < BATCH_SEGMENTS && n_waiting < BATCH_BLOCKS)
            continue;
        n_waiting = 0;
        if (!score_batch(&scan, n_blocks, best, error))
            return FALSE;
    }
    g_assert(at == n_blocks);
    if (!score_batch(&scan, n_blocks, best, error))
        return FALSE;
    if (!damage)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&damage));
    return FALSE;
}
