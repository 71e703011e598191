/*
 * Warming: one text (whole or sparse) is read once and its chunks kept (whole.c); for a swept one
 * every segment without a record that serves its tier is encoded alone behind the shared prefix.
 * For the index tier only the layers up to the last retrieval head are run.  A full record makes an
 * index record of the same segment superfluous: it is dropped.
 *
 * Segments are encoded in groups: their rows share one pass over the weights, each in a sequence of
 * its own that starts with the same prefix rows.  Finished records wait until there is enough for
 * one commit (PD_WARM_COMMIT_ROWS), so a kill loses at most those and the group at work; whatever
 * else ends the reading, they are committed first.
 */
#include "prompts/warm.h"

#include <string.h>
#include "prompts/error.h"
#include "prompts/owner.h"
#include "prompts/segment_kv.h"
#include "prompts/whole.h"

/* A segment that waits for its group; then its record, that waits to be committed. */
typedef struct {
    const PdContextSegment *segment;
    guint8 key[PD_KV_KEY_BYTES];
    guint8 owner[PD_KV_KEY_BYTES];
    guint8 replaces[PD_KV_KEY_BYTES]; /* full tier: the index record of the same segment */
    guint8 *record;
    gsize n_bytes;
    PdSegmentKvWriter *writer;
    GArray *tokens; /* header and segment */
} Pending;

typedef struct {
    PdContext *context;
    PdKvFormat format;
    PdSession *session;
    Pending group[PD_WARM_SEQUENCES];
    int n_group;
    guint n_group_rows;
    GArray *finished; /* Pending */
    guint n_finished_rows;
    gsize n_finished_bytes;
    GHashTable *under_way; /* keys (GBytes) of the group and of what is finished */
    PdWarmReport *report;
    PdWarmProgress progress;
    gpointer user_data;
    guint64 done;
    GCancellable *cancellable;
} Warm;

static void
clear_pending(gpointer data)
{
    Pending *pending = data;

    g_clear_pointer(&pending->writer, pd_segment_kv_writer_free);
    g_clear_pointer(&pending->record, g_free);
    g_clear_pointer(&pending->tokens, g_array_unref);
}

static void
clear_group(Warm *warm)
{
    for (int i = 0; i < warm->n_group; i++)
        clear_pending(&warm->group[i]);
    warm->n_group = 0;
    warm->n_group_rows = 0;
}

/* The tap: one layer's K and V rows go into the records that want them. */
static void
keep_rows(const PdLayerRows *rows, gpointer user_data)
{
    Warm *warm = user_data;
    const PdModelShape *shape = pd_model_shape(warm->context->model);
    int skipped = MAX((int)warm->context->prefix->len - rows->first_row, 0);
    gsize stride = (gsize)shape->n_kv_heads * (gsize)shape->head_dim;
    guint first, n;
    PdSegmentKvWriter *writer;

    if (rows->sequence >= warm->n_group || skipped >= rows->n_rows)
        return;
    writer = warm->group[rows->sequence].writer;
    first = (guint)(rows->first_row + skipped - (int)warm->context->prefix->len);
    n = (guint)(rows->n_rows - skipped);
    for (int h = 0; h < shape->n_kv_heads; h++) {
        gsize at = (gsize)skipped * stride + (gsize)h * (gsize)shape->head_dim;
        pd_segment_kv_writer_add(writer, rows->layer, FALSE, h, first, n, rows->k + at, stride);
        pd_segment_kv_writer_add(writer, rows->layer, TRUE, h, first, n, rows->v + at, stride);
    }
}

static gboolean
on_rows(guint64 done, guint64 total, gpointer user_data)
{
    Warm *warm = user_data;

    if (warm->progress)
        warm->progress(MIN(warm->done + done, warm->context->n_tokens), warm->context->n_tokens,
                       warm->user_data);
    return TRUE;
}

/* Keep the finished records, all in one transaction, and drop what they replace. */
static gboolean
commit_finished(Warm *warm, GError **error)
{
    guint n = warm->finished->len;
    g_autofree PdKvRecord *records = g_new0(PdKvRecord, n);

    for (guint i = 0; i < n; i++) {
        const Pending *done = &g_array_index(warm->finished, Pending, i);

        records[i] = (PdKvRecord){.key = done->key,
                                  .owner = done->owner,
                                  .kind = "segment",
                                  .data = done->record,
                                  .n_bytes = done->n_bytes};
        if (warm->context->tier == PD_KV_FULL)
            records[i].replaces = done->replaces;
    }
    if (!pd_kv_store_put_many(warm->context->store, records, n, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        warm->report->n_tokens_encoded += g_array_index(warm->finished, Pending, i).tokens->len;
    warm->report->n_bytes_written += warm->n_finished_bytes;
    g_array_set_size(warm->finished, 0);
    g_hash_table_remove_all(warm->under_way);
    warm->n_finished_rows = 0;
    warm->n_finished_bytes = 0;
    return TRUE;
}

/* The group's records are whole. */
static void
finish_group(Warm *warm)
{
    for (int i = 0; i < warm->n_group; i++) {
        Pending *pending = &warm->group[i];

        pd_owner_segment(pending->segment->header, pending->segment->row->ids,
                         pending->segment->row->n_tokens, pending->owner);
        g_clear_pointer(&pending->writer, pd_segment_kv_writer_free);
        warm->n_finished_rows += pending->tokens->len;
        warm->n_finished_bytes += pending->n_bytes;
        warm->done += pending->tokens->len;
        g_array_append_val(warm->finished, *pending);
    }
    warm->n_group = 0;
    warm->n_group_rows = 0;
}

/* Encode the waiting segments. */
static gboolean
flush_group(Warm *warm, GError **error)
{
    int n_prefix = (int)warm->context->prefix->len;
    PdRun runs[PD_WARM_SEQUENCES] = {0};

    if (warm->n_group == 0)
        return TRUE;
    for (int i = 0; i < warm->n_group; i++) {
        pd_session_truncate(warm->session, i, n_prefix);
        runs[i].sequence = i;
        runs[i].tokens = (const gint32 *)warm->group[i].tokens->data;
        runs[i].n_tokens = (int)warm->group[i].tokens->len;
    }
    if (!pd_session_run(warm->session, runs, warm->n_group, warm->cancellable, on_rows, warm,
                        error))
        return FALSE;
    finish_group(warm);
    return (warm->n_finished_rows < PD_WARM_COMMIT_ROWS &&
            warm->n_finished_bytes < PD_WARM_COMMIT_BYTES) ||
           commit_finished(warm, error);
}

/* Put the prefix rows at the start of every sequence. */
static gboolean
start_session(Warm *warm, GError **error)
{
    PdContext *context = warm->context;
    guint longest = 0;
    g_autofree gboolean *mask = g_new0(gboolean, pd_model_shape(context->model)->n_layers);
    PdSessionOptions options = {.n_sequences = PD_WARM_SEQUENCES, .kv_type = PD_F16};

    if (sqlite3_db_readonly(pd_corpus_db(context->corpus), "main") == 1) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_CORPUS,
                    "%s holds text that %s has not read, and nothing can be kept there now; run "
                    "`pandect -C %s warm` when it can be written",
                    pd_corpus_dir(context->corpus), pd_model_name(context->model),
                    pd_corpus_dir(context->corpus));
        return FALSE;
    }
    for (guint i = 0; i < context->segments->len; i++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, i);
        longest = MAX(longest, segment->header_ids->len + segment->row->n_tokens);
    }
    options.max_tokens = (int)(context->prefix->len + longest);
    if (context->tier == PD_KV_INDEX)
        options.n_layers = warm->format.n_layers;
    for (int layer = 0; layer < warm->format.n_layers; layer++)
        mask[layer] = context->tier == PD_KV_FULL;
    for (int i = 0; i < warm->format.n_keys; i++)
        mask[warm->format.keys[i].layer] = TRUE;
    warm->session = pd_session_new(context->model, &options, error);
    if (!warm->session ||
        !pd_context_run_prefix(context, warm->session, PD_WARM_SEQUENCES, warm->cancellable, error))
        return FALSE;
    pd_session_set_tap(warm->session, keep_rows, mask, warm);
    return TRUE;
}

static gboolean
add_to_group(Warm *warm, const PdContextSegment *segment, const guint8 *key, GError **error)
{
    const PdModelShape *shape = pd_model_shape(warm->context->model);
    guint n_header = segment->header_ids->len, n_rows = n_header + segment->row->n_tokens;
    Pending pending = {.segment = segment};

    if (!warm->session && !start_session(warm, error))
        return FALSE;
    if (warm->n_group == PD_WARM_SEQUENCES || warm->n_group_rows + n_rows > PD_WARM_GROUP_ROWS)
        if (!flush_group(warm, error))
            return FALSE;
    memcpy(pending.key, key, PD_KV_KEY_BYTES);
    if (warm->context->tier == PD_KV_FULL &&
        !pd_segment_kv_key_of_tier(warm->context, segment, PD_KV_INDEX, pending.replaces,
                                   warm->cancellable, error))
        return FALSE;
    pending.n_bytes = pd_segment_kv_bytes(shape, &warm->format, n_rows, n_header);
    pending.record = pd_segment_kv_new(shape, &warm->format, n_rows, n_header);
    if (pending.record)
        pending.writer = pd_segment_kv_writer_new(pending.record);
    if (!pending.writer) {
        clear_pending(&pending);
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for the KV of a segment of %u tokens", n_rows);
        return FALSE;
    }
    pending.tokens = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_array_append_vals(pending.tokens, segment->header_ids->data, segment->header_ids->len);
    g_array_append_vals(pending.tokens, segment->row->ids, segment->row->n_tokens);
    g_hash_table_add(warm->under_way, g_bytes_new(key, PD_KV_KEY_BYTES));
    warm->group[warm->n_group++] = pending;
    warm->n_group_rows += n_rows;
    return TRUE;
}

/* Is there a record that serves, or will there be one (an equal segment came before)?  If not, key
 * is the segment's. */
static gboolean
is_served(Warm *warm, const PdContextSegment *segment, guint8 key[PD_KV_KEY_BYTES],
          gboolean *served, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(key, PD_KV_KEY_BYTES);

    if (!pd_segment_kv_has(warm->context, segment, served, warm->cancellable, error))
        return FALSE;
    if (*served)
        return TRUE;
    if (!pd_segment_kv_key(warm->context, segment, key, warm->cancellable, error))
        return FALSE;
    *served = g_hash_table_contains(warm->under_way, bytes);
    return TRUE;
}

static gboolean
warm_segments(Warm *warm, GError **error)
{
    GArray *segments = warm->context->segments;

    for (guint i = 0; i < segments->len; i++) {
        PdContextSegment *segment = &g_array_index(segments, PdContextSegment, i);
        guint8 key[PD_KV_KEY_BYTES];
        gboolean served;

        if (!is_served(warm, segment, key, &served, error))
            return FALSE;
        if (served) {
            guint n = segment->header_ids->len + segment->row->n_tokens;
            warm->report->n_tokens_reused += n;
            warm->done += n;
            continue;
        }
        if (!add_to_group(warm, segment, key, error))
            return FALSE;
    }
    return flush_group(warm, error);
}

void
pd_warm_propagate(GError *why, guint64 n_kept, guint64 n_tokens, gboolean goes_on, GError **error)
{
    if (!g_error_matches(why, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED)) {
        g_propagate_error(error, why);
        return;
    }
    g_error_free(why);
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED,
                "stopped after %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                " tokens of the corpus%s",
                n_kept, n_tokens, goes_on ? "; the next run goes on from there" : "");
}

/* What is finished is committed, whatever ended the reading. */
static gboolean
warm_swept(Warm *warm, GError **error)
{
    GError *why = NULL;
    gboolean ok, kept;

    warm->finished = g_array_new(FALSE, FALSE, sizeof(Pending));
    g_array_set_clear_func(warm->finished, clear_pending);
    warm->under_way =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    ok = warm_segments(warm, &why);
    kept = commit_finished(warm, ok ? error : NULL);
    if (!ok)
        pd_warm_propagate(why, warm->report->n_tokens_reused + warm->report->n_tokens_encoded,
                          warm->context->n_tokens, kept, error);
    clear_group(warm);
    g_array_unref(warm->finished);
    g_hash_table_unref(warm->under_way);
    return ok && kept;
}

static gboolean
warm_whole(Warm *warm, GError **error)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(warm->context, NULL);
    PdContext *context = warm->context;
    PdSessionOptions options = pd_whole_session(context->model, &context->profile, context->mode,
                                                context->prefix->len, (int)tokens->len);
    guint64 kept;

    if (!pd_whole_count(warm->context, tokens, &kept, warm->cancellable, error))
        return FALSE;
    if (kept == tokens->len) {
        warm->report->n_tokens_reused = kept;
        return TRUE;
    }
    warm->session = pd_session_new(warm->context->model, &options, error);
    return warm->session &&
           pd_whole_read(warm->context, warm->session, tokens, warm->report, warm->progress,
                         warm->user_data, warm->cancellable, error);
}

gboolean
pd_context_warm(PdContext *context, PdWarmReport *report, PdWarmProgress progress,
                gpointer user_data, GCancellable *cancellable, GError **error)
{
    PdWarmReport unused = {0};
    Warm warm = {.context = context,
                 .format =
                     pd_kv_format(pd_model_shape(context->model), &context->profile, context->tier),
                 .report = report ? report : &unused,
                 .progress = progress,
                 .user_data = user_data,
                 .cancellable = cancellable};
    gint64 started = g_get_monotonic_time();
    gboolean ok =
        context->mode == PD_READ_SWEPT ? warm_swept(&warm, error) : warm_whole(&warm, error);

    g_clear_pointer(&warm.session, pd_session_free);
    warm.report->seconds = (g_get_monotonic_time() - started) / 1e6;
    return ok;
}

gboolean
pd_context_count_warm(PdContext *context, guint64 *n_tokens, GCancellable *cancellable,
                      GError **error)
{
    *n_tokens = 0;
    if (context->mode != PD_READ_SWEPT) {
        g_autoptr(GArray) tokens = pd_whole_tokens(context, NULL);
        return pd_whole_count(context, tokens, n_tokens, cancellable, error);
    }
    for (guint i = 0; i < context->segments->len; i++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, i);
        gboolean has;

        if (!pd_segment_kv_has(context, segment, &has, cancellable, error))
            return FALSE;
        if (has)
            *n_tokens += segment->header_ids->len + segment->row->n_tokens;
    }
    return TRUE;
}
