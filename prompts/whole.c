/* See whole.h. */
#include "prompts/whole.h"

#include <string.h>
#include "prompts/error.h"
#include "prompts/native.h"
#include "prompts/owner.h"
#include "prompts/segment_kv.h"

GArray *
pd_whole_tokens(PdContext *context, GArray *passages)
{
    GArray *tokens = g_array_new(FALSE, FALSE, sizeof(gint32));

    g_array_append_vals(tokens, context->prefix->data, context->prefix->len);
    for (guint i = 0; i < context->segments->len; i++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, i);
        PdPassage passage = {
            .number = (int)i + 1, .segment = i, .n_tokens = segment->row->n_tokens};

        pd_passage_append(context, &passage, tokens);
        if (passages)
            g_array_append_val(passages, passage);
    }
    return tokens;
}

/* --- the session --- */

/* Those of n heads that work by their queries and see everything; returns their number. */
static int
global_heads(PdModel *model, const PdHead *of, int n, int (*heads)[2])
{
    int n_found = 0;

    for (int i = 0; i < n; i++)
        if (!of[i].by_keys && !pd_model_layer(model, of[i].layer)->local) {
            heads[n_found][0] = of[i].layer;
            heads[n_found++][1] = of[i].head;
        }
    return n_found;
}

/* The heads that choose blocks, none in a local layer; returns their number. */
static int
index_heads(PdModel *model, const PdProfile *profile, int (*heads)[2])
{
    int n_layers = pd_model_shape(model)->n_layers, nearest = -1;
    int n = global_heads(model, profile->retrieval, profile->n_retrieval, heads);

    if (n == 0)
        n = global_heads(model, profile->citation, profile->n_citation, heads);
    for (int layer = 0; n == 0 && layer < n_layers; layer++)
        if (!pd_model_layer(model, layer)->local &&
            (nearest < 0 || ABS(layer - n_layers / 2) < ABS(nearest - n_layers / 2)))
            nearest = layer;
    if (nearest >= 0) {
        heads[n][0] = nearest;
        heads[n++][1] = 0;
    }
    return n;
}

PdSessionOptions
pd_whole_session(PdModel *model, const PdProfile *profile, PdReadMode mode, guint n_prefix,
                 int max_tokens)
{
    PdSessionOptions options = {.n_sequences = 1, .max_tokens = max_tokens, .kv_type = PD_F16};
    int window = pd_model_shape(model)->n_ctx_train, heads[PD_PROFILE_HEADS_MAX][2], n_heads;
    PdAttentionPolicy *policy = &options.attention;

    if (pd_model_deepseek(model))
        return pd_native_session(model, max_tokens);
    if (mode != PD_READ_SPARSE)
        return options;
    n_heads = index_heads(model, profile, heads);
    *policy = pd_attention_sparse(window, (int)n_prefix, heads, n_heads);
    if (window > 0) { /* sinks and window are rounded up to blocks */
        int left = window / 2 - policy->sink_rows - policy->window_rows - 2 * PD_SCORE_BLOCK;
        policy->budget_blocks = CLAMP(left / PD_SCORE_BLOCK, 0, policy->budget_blocks);
    }
    if (n_heads == 0)
        policy->budget_blocks = 0;
    return options;
}

/* --- chunks --- */

/* What the rows depend on beside model, layout and tokens. */
static char *
describe_rows(PdContext *context)
{
    PdSessionOptions options =
        pd_whole_session(context->model, &context->profile, context->mode, context->prefix->len, 1);
    g_autofree char *attention = pd_attention_describe(&options.attention);

    if (options.attention.kind == PD_ATTENTION_DENSE)
        return g_strdup("whole kv 1");
    return g_strconcat("whole kv 1 ", attention, NULL);
}

/* The keys of all chunks of `tokens`, in order: 32 bytes each.  The last chunk may be short. */
static GByteArray *
chunk_keys(PdContext *context, GArray *tokens, GCancellable *cancellable, GError **error)
{
    g_autofree char *kind = describe_rows(context);
    g_autoptr(GChecksum) sum = pd_kv_key_begin(context, kind, cancellable, error);
    GByteArray *keys;

    if (!sum)
        return NULL;
    keys = g_byte_array_new();
    for (guint at = 0; at < tokens->len; at += PD_WHOLE_CHUNK_TOKENS) {
        guint n = MIN(PD_WHOLE_CHUNK_TOKENS, tokens->len - at);
        g_autoptr(GChecksum) so_far = NULL;
        guint8 key[PD_KV_KEY_BYTES];
        gsize n_bytes = sizeof key;

        pd_kv_key_tokens(sum, &g_array_index(tokens, gint32, at), n);
        so_far = g_checksum_copy(sum);
        g_checksum_get_digest(so_far, key, &n_bytes);
        g_byte_array_append(keys, key, sizeof key);
    }
    return keys;
}

GByteArray *
pd_whole_keys(PdContext *context, GCancellable *cancellable, GError **error)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(context, NULL);

    if (pd_model_deepseek(context->model))
        return pd_native_keys(context, tokens, cancellable, error);
    return chunk_keys(context, tokens, cancellable, error);
}

/* In one pass: a chunk's segments are those that begin before its end. */
GByteArray *
pd_whole_owners(PdContext *context, guint n_tokens, guint chunk_tokens)
{
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    g_autoptr(GArray) tokens = pd_whole_tokens(context, passages);
    g_autoptr(GChecksum) chain = pd_owner_chain();
    GByteArray *owners = g_byte_array_new();
    guint next = 0;

    for (guint at = 0; at < n_tokens; at += chunk_tokens) {
        guint end = MIN(at + chunk_tokens, n_tokens);
        guint8 owner[PD_KV_KEY_BYTES];

        for (; next < passages->len; next++) {
            const PdContextSegment *segment =
                &g_array_index(context->segments, PdContextSegment, next);
            if (g_array_index(passages, PdPassage, next).first_row >= (int)end)
                break;
            pd_owner_segment(segment->header, segment->row->ids, segment->row->n_tokens, owner);
            pd_owner_chain_add(chain, owner);
        }
        pd_owner_chain_get(chain, end == n_tokens && end % chunk_tokens != 0, owner);
        g_byte_array_append(owners, owner, sizeof owner);
    }
    return owners;
}

gboolean
pd_whole_count(PdContext *context, GArray *tokens, guint64 *n_tokens, GCancellable *cancellable,
               GError **error)
{
    g_autoptr(GByteArray) keys = NULL;

    if (pd_model_deepseek(context->model))
        return pd_native_count(context, tokens, n_tokens, cancellable, error);
    keys = chunk_keys(context, tokens, cancellable, error);
    if (!keys)
        return FALSE;
    *n_tokens = 0;
    for (guint i = 0; i < keys->len / PD_KV_KEY_BYTES; i++)
        if (pd_kv_store_has(context->store, keys->data + i * PD_KV_KEY_BYTES))
            *n_tokens += MIN(PD_WHOLE_CHUNK_TOKENS, tokens->len - i * PD_WHOLE_CHUNK_TOKENS);
    return TRUE;
}

/* Load one chunk if it is kept: *loaded.  A damaged record is dropped, to be computed again. */
static gboolean
load_chunk(PdContext *context, PdSession *session, GArray *tokens, guint first, const guint8 *key,
           gboolean *loaded, GError **error)
{
    guint n = MIN(PD_WHOLE_CHUNK_TOKENS, tokens->len - first);
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) rows = NULL;

    *loaded = FALSE;
    if (!pd_kv_store_has(context->store, key))
        return TRUE;
    rows = pd_kv_store_get(context->store, key, &local);
    if (!rows) {
        g_message("%s; reading those documents again", local->message);
        pd_kv_store_drop(context->store, key, NULL);
        return TRUE;
    }
    *loaded = TRUE;
    return pd_session_load_rows(session, 0, (int)first, (int)n,
                                &g_array_index(tokens, gint32, first), g_bytes_get_data(rows, NULL),
                                g_bytes_get_size(rows), error);
}

typedef struct {
    PdWarmProgress progress;
    gpointer user_data;
    guint64 base;
    guint64 total;
} Forward;

static gboolean
forward_progress(guint64 done, guint64 total, gpointer user_data)
{
    Forward *forward = user_data;

    if (forward->progress)
        forward->progress(forward->base + done, forward->total, forward->user_data);
    return TRUE;
}

/* Run one chunk and keep its rows. */
static gboolean
read_chunk(PdContext *context, PdSession *session, GArray *tokens, guint first, const guint8 *key,
           const guint8 *owner, Forward *forward, PdWarmReport *report, GCancellable *cancellable,
           GError **error)
{
    guint n = MIN(PD_WHOLE_CHUNK_TOKENS, tokens->len - first);
    gsize n_bytes = pd_session_row_bytes(session) * n;
    PdRun run = {.tokens = &g_array_index(tokens, gint32, first), .n_tokens = (int)n};
    g_autofree guint8 *rows = NULL;

    forward->base = first;
    if (!pd_session_run(session, &run, 1, cancellable, forward_progress, forward, error))
        return FALSE;
    report->n_tokens_encoded += n;
    if (sqlite3_db_readonly(pd_corpus_db(context->corpus), "main") == 1)
        return TRUE;
    rows = g_try_malloc(n_bytes);
    if (!rows) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY,
                    "no memory for %" G_GSIZE_FORMAT " bytes of KV rows", n_bytes);
        return FALSE;
    }
    pd_session_save_rows(session, 0, (int)first, (int)n, rows);
    report->n_bytes_written += n_bytes;
    return pd_kv_store_put(
        context->store,
        &(PdKvRecord){
            .key = key, .owner = owner, .kind = "whole", .data = rows, .n_bytes = n_bytes},
        error);
}

gboolean
pd_whole_read(PdContext *context, PdSession *session, GArray *tokens, PdWarmReport *report,
              PdWarmProgress progress, gpointer user_data, GCancellable *cancellable,
              GError **error)
{
    g_autoptr(GByteArray) keys = NULL;
    g_autoptr(GByteArray) owners = NULL; /* made for the first chunk that is missing */
    Forward forward = {.progress = progress, .user_data = user_data, .total = tokens->len};
    PdWarmReport unused = {0};

    if (!report)
        report = &unused;
    if (pd_model_deepseek(context->model))
        return pd_native_read(context, session, tokens, report, progress, user_data, cancellable,
                              error);
    keys = chunk_keys(context, tokens, cancellable, error);
    if (!keys)
        return FALSE;
    pd_session_truncate(session, 0, 0);
    for (guint at = 0; at < tokens->len; at += PD_WHOLE_CHUNK_TOKENS) {
        guint hash = at / PD_WHOLE_CHUNK_TOKENS * PD_KV_KEY_BYTES;
        const guint8 *key = keys->data + hash;
        gboolean loaded;

        if (!load_chunk(context, session, tokens, at, key, &loaded, error))
            return FALSE;
        if (loaded) {
            report->n_tokens_reused += MIN(PD_WHOLE_CHUNK_TOKENS, tokens->len - at);
            continue;
        }
        if (!owners)
            owners = pd_whole_owners(context, tokens->len, PD_WHOLE_CHUNK_TOKENS);
        if (!read_chunk(context, session, tokens, at, key, owners->data + hash, &forward, report,
                        cancellable, error))
            return FALSE;
    }
    return TRUE;
}
