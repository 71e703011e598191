/*
 * A model file from its publisher: HTTP with Range, so that a second run goes on where the first
 * ended (RFC 9110, sections 13.1.5 and 14).
 *
 * No answer within ten seconds, a refusal, or a file of another size is a `no`, and the next source
 * is tried.  A connection that breaks is taken up again as long as it brings bytes.
 */
#include "engine/model_pull.h"

#include <libsoup/soup.h>
#include "engine/error.h"

#define ANSWER_SECONDS_MAX 10
#define STALL_SECONDS_MAX 30
#define CHUNK_BYTES (256 * 1024)

/* An asynchronous call waited for in a context of our own, ended by the person or by the clock. */
typedef struct {
    GMainContext *context;
    GCancellable *stop;
    GAsyncResult *result;
    gboolean timed_out;
} Wait;

static void
on_result(GObject *source, GAsyncResult *result, gpointer data)
{
    ((Wait *)data)->result = g_object_ref(result);
}

static gboolean
on_timeout(gpointer data)
{
    Wait *wait = data;

    wait->timed_out = TRUE;
    g_cancellable_cancel(wait->stop);
    return G_SOURCE_REMOVE;
}

static void
on_cancelled(GCancellable *cancellable, gpointer stop)
{
    g_cancellable_cancel(stop);
}

static GAsyncResult *
wait_for(Wait *wait, guint seconds_max)
{
    g_autoptr(GSource) clock = g_timeout_source_new_seconds(seconds_max);

    g_source_set_callback(clock, on_timeout, wait, NULL);
    g_source_attach(clock, wait->context);
    while (!wait->result)
        g_main_context_iteration(wait->context, TRUE);
    g_source_destroy(clock);
    return g_steal_pointer(&wait->result);
}

static gboolean
fail(PdPull *pull, const Wait *wait, const GError *cause, GError **error)
{
    if (!pd_pull_check_cancelled(pull, error))
        return FALSE;
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND, "%s: %s", pull->entry->url,
                wait->timed_out ? "no answer" : cause->message);
    return FALSE;
}

static gboolean
fail_answer(PdPull *pull, const char *what, guint64 value, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND, "%s: %s %" G_GUINT64_FORMAT,
                pull->entry->url, what, value);
    return FALSE;
}

static SoupMessage *
make_request(PdPull *pull)
{
    SoupMessage *message = soup_message_new(SOUP_METHOD_GET, pull->entry->url);
    SoupMessageHeaders *headers;

    if (!message)
        return NULL;
    headers = soup_message_get_request_headers(message);
    soup_message_headers_replace(headers, "Accept-Encoding", "identity");
    if (pull->n_bytes > 0) {
        soup_message_headers_set_range(headers, (goffset)pull->n_bytes, -1);
        if (pull->etag)
            soup_message_headers_replace(headers, "If-Range", pull->etag);
    }
    return message;
}

/* The answer is the file we want, from where we are; else say why not. */
static gboolean
check_answer(PdPull *pull, SoupMessage *message, GError **error)
{
    SoupMessageHeaders *headers = soup_message_get_response_headers(message);
    const guint status = soup_message_get_status(message);
    const char *etag = soup_message_headers_get_one(headers, "ETag");
    goffset start = 0, end = 0, total = -1;

    if (status == SOUP_STATUS_PARTIAL_CONTENT) {
        if (!soup_message_headers_get_content_range(headers, &start, &end, &total) ||
            (guint64)start != pull->n_bytes)
            return fail_answer(pull, "an answer that does not begin at byte", pull->n_bytes, error);
    } else if (status == SOUP_STATUS_OK) {
        if (soup_message_headers_get_encoding(headers) == SOUP_ENCODING_CONTENT_LENGTH)
            total = soup_message_headers_get_content_length(headers);
        if (pull->n_bytes > 0 && !pd_pull_cut(pull, 0, error))
            return FALSE;
    } else {
        return fail_answer(pull, "answered with HTTP status", status, error);
    }
    if (total >= 0 && (guint64)total != pull->entry->n_bytes)
        return fail_answer(pull, "the file there is another one: its size is", (guint64)total,
                           error);
    g_free(pull->etag);
    pull->etag = etag && !g_str_has_prefix(etag, "W/") ? g_strdup(etag) : NULL;
    return pd_pull_save_info(pull, error) && pd_pull_check_room(pull, 0, error);
}

static gboolean
read_body(PdPull *pull, Wait *wait, GInputStream *body, GError **error)
{
    g_autofree guint8 *chunk = g_malloc(CHUNK_BYTES);

    for (;;) {
        g_autoptr(GAsyncResult) result = NULL;
        g_autoptr(GError) cause = NULL;
        gssize n;

        g_input_stream_read_async(body, chunk, CHUNK_BYTES, G_PRIORITY_DEFAULT, wait->stop,
                                  on_result, wait);
        result = wait_for(wait, STALL_SECONDS_MAX);
        n = g_input_stream_read_finish(body, result, &cause);
        if (n < 0)
            return fail(pull, wait, cause, error);
        if (n == 0)
            return TRUE;
        if (!pd_pull_append(pull, chunk, n, error))
            return FALSE;
    }
}

static gboolean
fetch_once(PdPull *pull, SoupSession *session, Wait *wait, GError **error)
{
    g_autoptr(SoupMessage) message = make_request(pull);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GInputStream) body = NULL;
    g_autoptr(GError) cause = NULL;

    if (!message) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND, "%s: not a URL",
                    pull->entry->url);
        return FALSE;
    }
    soup_session_send_async(session, message, G_PRIORITY_DEFAULT, wait->stop, on_result, wait);
    result = wait_for(wait, ANSWER_SECONDS_MAX);
    body = soup_session_send_finish(session, result, &cause);
    if (!body)
        return fail(pull, wait, cause, error);
    return check_answer(pull, message, error) && read_body(pull, wait, body, error);
}

/* Again as long as it brings bytes: large files over long lines break more than once. */
static gboolean
fetch_all(PdPull *pull, SoupSession *session, GMainContext *context, GError **error)
{
    for (;;) {
        const guint64 before = pull->n_bytes;
        g_autoptr(GCancellable) stop = g_cancellable_new();
        g_autoptr(GError) cause = NULL;
        Wait wait = {.context = context, .stop = stop};
        gulong handler = 0;
        gboolean ok;

        if (pull->cancellable)
            handler = g_cancellable_connect(pull->cancellable, G_CALLBACK(on_cancelled),
                                            g_object_ref(stop), g_object_unref);
        ok = fetch_once(pull, session, &wait, &cause);
        g_cancellable_disconnect(pull->cancellable, handler);
        if (ok && pull->n_bytes == pull->entry->n_bytes)
            return TRUE;
        if (g_error_matches(cause, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE)) {
            pd_pull_cut(pull, 0, NULL); /* another file: none of its bytes are ours */
        } else if (pull->n_bytes > before &&
                   (ok || g_error_matches(cause, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND))) {
            continue;
        }
        if (ok)
            return fail_answer(pull, "the connection ended after byte", pull->n_bytes, error);
        g_propagate_error(error, g_steal_pointer(&cause));
        return FALSE;
    }
}

gboolean
pd_pull_from_url(PdPull *pull, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GUri) uri = g_uri_parse(pull->entry->url, G_URI_FLAGS_NONE, NULL);
    gboolean ok;

    if (!pd_pull_check_cancelled(pull, error))
        return FALSE;
    pd_pull_stage(pull, "fetching %s from %s", pull->entry->name,
                  uri ? g_uri_get_host(uri) : pull->entry->url);
    g_main_context_push_thread_default(context);
    {
        g_autoptr(SoupSession) session =
            soup_session_new_with_options("user-agent", "pandect ", NULL);
        ok = fetch_all(pull, session, context, error);
        soup_session_abort(session);
    }
    /* What was aborted ends in this context, before it goes. */
    while (g_main_context_iteration(context, FALSE))
        ;
    g_main_context_pop_thread_default(context);
    return ok;
}
