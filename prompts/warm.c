/*
 * Warming: a whole reading is read once and its chunks kept (whole.c); for a swept one every
 * segment without a record is encoded alone behind the shared prefix.
 *
 * Segments are encoded in groups: their rows share one pass over the weights, each in a sequence of
 * its own that starts with the same prefix rows.  A record is kept as soon as its group is done, so
 * a kill loses at most one group.
 */
#include "prompts/warm.h"

#include <string.h>
#include "prompts/error.h"
#include "prompts/owner.h"
#include "prompts/segment_kv.h"
#include "prompts/whole.h"

#define GROUP_SEQUENCES 4
#define GROUP_ROWS 2048

/* A segment that waits for its group. */
typedef struct {
    const PdContextSegment *segment;
    guint8 key[PD_KV_KEY_BYTES];
    guint8 *record;
    GArray *tokens; /* header and segment */
} Pending;

typedef struct {
    PdContext *context;
    PdSession *session;
    Pending group[GROUP_SEQUENCES];
    int n_group;
    guint n_group_rows;
    PdWarmReport *report;
    PdWarmProgress progress;
    gpointer user_data;
    guint64 done;
    GCancellable *cancellable;
} Warm;

static void
clear_group(Warm *warm)
{
    for (int i = 0; i < warm->n_group; i++) {
        g_clear_pointer(&warm->group[i].record, g_free);
        g_clear_pointer(&warm->group[i].tokens, g_array_unref);
    }
    warm->n_group = 0;
    warm->n_group_rows = 0;
}

/* The tap: copy one layer's K and V rows into the records, 8 bits. */
static void
keep_rows(const PdLayerRows *rows, gpointer user_data)
{
    Warm *warm = user_data;
    const PdModelShape *shape = pd_model_shape(warm->context->model);
    int n_prefix = (int)warm->context->prefix->len;
    gsize row_bytes = pd_row_bytes(PD_Q8_0, shape->head_dim);
    Pending *pending;

    if (rows->sequence >= warm->n_group)
        return;
    pending = &warm->group[rows->sequence];
    for (int r = 0; r < rows->n_rows; r++) {
        int at = rows->first_row + r - n_prefix;
        for (int h = 0; at >= 0 && h < shape->n_kv_heads; h++) {
            gsize from = ((gsize)r * shape->n_kv_heads + h) * shape->head_dim;
            guint8 *k = pd_segment_kv_stream(pending->record, rows->layer, FALSE, h);
            guint8 *v = pd_segment_kv_stream(pending->record, rows->layer, TRUE, h);
            pd_quantize_row(PD_Q8_0, rows->k + from, k + at * row_bytes, shape->head_dim);
            pd_quantize_row(PD_Q8_0, rows->v + from, v + at * row_bytes, shape->head_dim);
        }
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

/* Encode the waiting segments and keep their records. */
static gboolean
flush_group(Warm *warm, GError **error)
{
    int n_prefix = (int)warm->context->prefix->len;
    PdRun runs[GROUP_SEQUENCES] = {0};

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
    for (int i = 0; i < warm->n_group; i++) {
        Pending *pending = &warm->group[i];
        gsize n_bytes =
            pd_segment_kv_bytes(pd_model_shape(warm->context->model), pending->tokens->len);
        guint8 owner[PD_KV_KEY_BYTES];
        pd_owner_segment(pending->segment->header, pending->segment->row->ids,
                         pending->segment->row->n_tokens, owner);
        if (!pd_kv_store_put_owned(warm->context->store, pending->key, "segment", owner,
                                   pending->record, n_bytes, error))
            return FALSE;
        warm->report->n_bytes_written += n_bytes;
        warm->report->n_tokens_encoded += pending->tokens->len;
        warm->done += pending->tokens->len;
    }
    clear_group(warm);
    return TRUE;
}

/* Put the prefix rows at the start of every sequence. */
static gboolean
start_session(Warm *warm, GError **error)
{
    PdContext *context = warm->context;
    guint longest = 0;
    PdSessionOptions options = {.n_sequences = GROUP_SEQUENCES, .kv_type = PD_F16};
    PdRun prefix = {.tokens = (const gint32 *)context->prefix->data,
                    .n_tokens = (int)context->prefix->len};

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
    warm->session = pd_session_new(context->model, &options, error);
    if (!warm->session)
        return FALSE;
    if (!pd_session_run(warm->session, &prefix, 1, warm->cancellable, NULL, NULL, error))
        return FALSE;
    for (int i = 1; i < GROUP_SEQUENCES; i++)
        if (!pd_session_share_rows(warm->session, 0, i, prefix.n_tokens, error))
            return FALSE;
    pd_session_set_tap(warm->session, keep_rows, NULL, warm);
    return TRUE;
}

static gboolean
add_to_group(Warm *warm, const PdContextSegment *segment, const guint8 *key, GError **error)
{
    guint n_rows = segment->header_ids->len + segment->row->n_tokens;
    Pending *pending;

    if (!warm->session && !start_session(warm, error))
        return FALSE;
    if (warm->n_group == GROUP_SEQUENCES || warm->n_group_rows + n_rows > GROUP_ROWS)
        if (!flush_group(warm, error))
            return FALSE;
    pending = &warm->group[warm->n_group];
    pending->segment = segment;
    memcpy(pending->key, key, PD_KV_KEY_BYTES);
    pending->record =
        pd_segment_kv_new(pd_model_shape(warm->context->model), n_rows, segment->header_ids->len);
    if (!pending->record) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for the KV of a segment of %u tokens", n_rows);
        return FALSE;
    }
    pending->tokens = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_array_append_vals(pending->tokens, segment->header_ids->data, segment->header_ids->len);
    g_array_append_vals(pending->tokens, segment->row->ids, segment->row->n_tokens);
    warm->n_group++;
    warm->n_group_rows += n_rows;
    return TRUE;
}

static gboolean
warm_segments(Warm *warm, GError **error)
{
    GArray *segments = warm->context->segments;

    for (guint i = 0; i < segments->len; i++) {
        PdContextSegment *segment = &g_array_index(segments, PdContextSegment, i);
        guint8 key[PD_KV_KEY_BYTES];

        if (!pd_segment_kv_key(warm->context, segment, key, warm->cancellable, error))
            return FALSE;
        if (pd_kv_store_has(warm->context->store, key)) {
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

static gboolean
warm_whole(Warm *warm, GError **error)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(warm->context, NULL);
    PdSessionOptions options = {
        .n_sequences = 1, .max_tokens = (int)tokens->len, .kv_type = PD_F16};
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
                 .report = report ? report : &unused,
                 .progress = progress,
                 .user_data = user_data,
                 .cancellable = cancellable};
    gint64 started = g_get_monotonic_time();
    gboolean ok =
        context->mode == PD_READ_WHOLE ? warm_whole(&warm, error) : warm_segments(&warm, error);

    clear_group(&warm);
    g_clear_pointer(&warm.session, pd_session_free);
    warm.report->seconds = (g_get_monotonic_time() - started) / 1e6;
    return ok;
}

gboolean
pd_context_count_warm(PdContext *context, guint64 *n_tokens, GCancellable *cancellable,
                      GError **error)
{
    *n_tokens = 0;
    if (context->mode == PD_READ_WHOLE) {
        g_autoptr(GArray) tokens = pd_whole_tokens(context, NULL);
        return pd_whole_count(context, tokens, n_tokens, cancellable, error);
    }
    for (guint i = 0; i < context->segments->len; i++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, i);
        guint8 key[PD_KV_KEY_BYTES];

        if (!pd_segment_kv_key(context, segment, key, cancellable, error))
            return FALSE;
        if (pd_kv_store_has(context->store, key))
            *n_tokens += segment->header_ids->len + segment->row->n_tokens;
    }
    return TRUE;
}
