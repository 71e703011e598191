/* See native.h. */
#include "prompts/native.h"

#include "engine/deepseek/rows.h"
#include "engine/deepseek/run.h"
#include "engine/resume.h"
#include "prompts/whole.h"

/* Tokens between two places where a reading can be stopped; a multiple of a unit, so that what is
 * left of a stopped one is among pd_resume_keys. */
#define STEP_UNITS 4

PdSessionOptions
pd_native_session(PdModel *model, int max_tokens)
{
    gboolean mixed = pd_ds_mixed_problem(pd_model_deepseek(model)) == NULL;

    return (PdSessionOptions){.n_sequences = 1,
                              .max_tokens = max_tokens,
                              .kv_type = mixed ? PD_Q8_0 : PD_F32,
                              .anchor_units = PD_NATIVE_ANCHOR_UNITS};
}

static PdDtype
kept_type(PdContext *context)
{
    return pd_native_session(context->model, 1).kv_type;
}

gboolean
pd_native_count(PdContext *context, GArray *tokens, guint64 *n_tokens, GCancellable *cancellable,
                GError **error)
{
    int n_found;

    if (!pd_resume_find(context->model, kept_type(context), (const gint32 *)tokens->data,
                        (int)tokens->len, context->store, &n_found, cancellable, error))
        return FALSE;
    *n_tokens = (guint64)n_found;
    return TRUE;
}

GByteArray *
pd_native_keys(PdContext *context, GArray *tokens, GCancellable *cancellable, GError **error)
{
    return pd_resume_keys(context->model, kept_type(context), (const gint32 *)tokens->data,
                          (int)tokens->len, cancellable, error);
}

/* --- reading --- */

typedef struct {
    PdContext *context;
    PdSession *session;
    GArray *tokens;
    int unit_tokens;
    int restored; /* where the reading went on */
    gboolean keeps;
    GByteArray *owners; /* made before the first record is written */
    PdWarmReport *report;
    PdWarmProgress progress;
    gpointer user_data;
    GCancellable *cancellable;
} Native;

static void
native_clear(Native *native)
{
    g_clear_pointer(&native->owners, g_byte_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Native, native_clear)

static gint64
anchor_tokens(const Native *native)
{
    return (gint64)PD_NATIVE_ANCHOR_UNITS * native->unit_tokens;
}

/* Drop all damaged records of these tokens, so that they are written again.  FALSE: nothing can be
 * dropped now. */
static gboolean
drop_damaged(Native *native, const guint8 first[PD_KV_KEY_BYTES])
{
    PdKvStore *store = native->context->store;
    g_autoptr(GByteArray) keys = NULL;

    if (!native->keeps || !pd_kv_store_drop(store, first, NULL))
        return FALSE;
    keys = pd_native_keys(native->context, native->tokens, native->cancellable, NULL);
    for (guint i = 0; keys && i < keys->len; i += PD_KV_KEY_BYTES) {
        const guint8 *key = keys->data + i;
        g_autoptr(GError) local = NULL;
        g_autoptr(GBytes) record =
            pd_kv_store_has(store, key) ? pd_kv_store_get(store, key, &local) : NULL;

        if (g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT))
            pd_kv_store_drop(store, key, NULL);
    }
    return TRUE;
}

/* Bring the empty session as far as what is kept allows. */
static gboolean
restore(Native *native, GError **error)
{
    for (;;) {
        guint8 damaged[PD_KV_KEY_BYTES];
        g_autoptr(GError) local = NULL;

        if (pd_resume_load(native->session, 0, (const gint32 *)native->tokens->data,
                           (int)native->tokens->len, native->context->store, &native->restored,
                           damaged, native->cancellable, &local))
            return TRUE;
        if (!g_error_matches(local, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        g_message("%s; reading those documents again", local->message);
        native->restored = 0;
        if (!drop_damaged(native, damaged))
            return TRUE;
    }
}

/* Keep what the session has read.  The snapshot that it went on from is of no more use, but at an
 * anchor. */
static gboolean
keep(Native *native, GError **error)
{
    gboolean at_anchor = native->restored % anchor_tokens(native) == 0;
    PdResumeOptions options = {.superseded = at_anchor ? 0 : native->restored};
    PdResumeReport written;
    gboolean ok;

    if (!native->keeps)
        return TRUE;
    if (!native->owners)
        native->owners =
            pd_whole_owners(native->context, native->tokens->len, (guint)native->unit_tokens);
    options.owners = native->owners->data;
    ok =
        pd_resume_save(native->session, 0, native->context->store, &options, &written, NULL, error);
    native->report->n_bytes_written += written.n_unit_bytes + written.n_snapshot_bytes;
    return ok;
}

static gboolean
on_rows(guint64 done, guint64 total, gpointer user_data)
{
    Native *native = user_data;
    guint64 before = (guint64)pd_session_n_tokens(native->session, 0);

    if (native->progress)
        native->progress(before, native->tokens->len, native->user_data);
    return TRUE;
}

/* Run the tokens behind those restored, and keep the state at every anchor and at the end. */
static gboolean
read_rest(Native *native, GError **error)
{
    int n_tokens = (int)native->tokens->len;
    gint64 step = (gint64)STEP_UNITS * native->unit_tokens;

    for (int at = native->restored, end; at < n_tokens; at = end) {
        PdRun run = {.tokens = &g_array_index(native->tokens, gint32, at)};

        end = (int)MIN(at - at % step + step, n_tokens);
        run.n_tokens = end - at;
        if (!pd_session_run(native->session, &run, 1, native->cancellable, on_rows, native, error))
            return FALSE;
        if ((end % anchor_tokens(native) == 0 || end == n_tokens) && !keep(native, error))
            return FALSE;
    }
    return TRUE;
}

/* What is read is kept, whatever ended the reading; who stopped it is told how far that is. */
static void
end_early(Native *native, GError *why, GError **error)
{
    gboolean kept = keep(native, NULL) && native->keeps;

    pd_warm_propagate(why, (guint64)pd_session_n_tokens(native->session, 0), native->tokens->len,
                      kept, error);
}

gboolean
pd_native_read(PdContext *context, PdSession *session, GArray *tokens, PdWarmReport *report,
               PdWarmProgress progress, gpointer user_data, GCancellable *cancellable,
               GError **error)
{
    g_auto(Native)
        native = {.context = context,
                  .session = session,
                  .tokens = tokens,
                  .unit_tokens = pd_ds_unit_tokens(pd_model_deepseek(context->model)),
                  .keeps = sqlite3_db_readonly(pd_corpus_db(context->corpus), "main") == 0,
                  .report = report,
                  .progress = progress,
                  .user_data = user_data,
                  .cancellable = cancellable};
    GError *why = NULL;
    gboolean ok;

    pd_session_truncate(session, 0, 0);
    if (!restore(&native, error))
        return FALSE;
    ok = read_rest(&native, &why);
    report->n_tokens_reused += (guint64)native.restored;
    report->n_tokens_encoded += (guint64)(pd_session_n_tokens(session, 0) - native.restored);
    if (!ok) {
        end_early(&native, why, error);
        return FALSE;
    }
    return pd_session_mark(session, 0, error);
}
