/* From questions to queries: each question is run behind the shared prefix through the layers that
 * score, the queries or keys of its content words are kept, and the queries turned. */
#include <string.h>
#include "prompts/error.h"
#include "prompts/layout.h"
#include "prompts/sweep_internal.h"
#include "prompts/words.h"

void
pd_sweep_queries_clear(PdSweepQueries *queries)
{
    g_free(queries->first);
    g_free(queries->queries);
}

gboolean
pd_sweep_no_memory(GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NO_MEMORY, "no memory for the sweep");
    return FALSE;
}

/* The rows of one question at one head after the other. */
typedef struct {
    const PdSweepQueries *queries;
    int first_row; /* of the question's own words, in the sequence */
    int n_rows;
    float *rows; /* (n_heads, n_rows, head_dim), before RoPE; queries with bias, keys without */
} Question;

static void
keep_rows(const PdLayerRows *rows, gpointer user_data)
{
    Question *question = user_data;
    const PdSweepQueries *queries = question->queries;
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    gsize d = (gsize)shape->head_dim;

    for (int h = 0; h < queries->n_heads; h++) {
        const PdHead *head = &queries->heads[h];
        gsize n_of_row = (gsize)(head->by_keys ? shape->n_kv_heads : shape->n_heads);
        gsize own = (gsize)(head->by_keys ? pd_head_kv(shape, head) : head->head);
        const float *from = (head->by_keys ? rows->k : rows->q) + own * d;

        if (head->layer != rows->layer)
            continue;
        for (int r = 0; r < rows->n_rows; r++) {
            int at = rows->first_row + r - question->first_row;
            if (at < 0 || at >= question->n_rows)
                continue;
            memcpy(question->rows + ((gsize)h * question->n_rows + at) * d,
                   from + (gsize)r * n_of_row * d, d * sizeof(float));
        }
    }
}

/* Words that ask, not what is asked for, match everything. */
static gboolean
is_content_token(PdTokenizer *tokenizer, gint32 id)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *lower = NULL;
    gboolean has_letter = FALSE;

    pd_tokenizer_decode(tokenizer, (guint32)id, FALSE, text);
    lower = g_ascii_strdown(text->str, -1);
    g_strstrip(lower);
    for (const char *p = lower; *p; p++)
        has_letter |= g_ascii_isalnum(*p) || (guchar)*p >= 0x80;
    return has_letter && !pd_word_is_empty(lower);
}

/* The places of the content words among the question's tokens; all places if there are none. */
static GArray *
content_places(PdModel *model, const gint32 *tokens, int n)
{
    GArray *places = g_array_new(FALSE, FALSE, sizeof(int));
    gboolean any = FALSE;

    for (int i = 0; i < n; i++)
        any |= is_content_token(pd_model_tokenizer(model), tokens[i]);
    for (int i = 0; i < n; i++)
        if (!any || is_content_token(pd_model_tokenizer(model), tokens[i]))
            g_array_append_val(places, i);
    return places;
}

/* Prefix and question as tokens; `first_row` is where the question's own words start. */
static GArray *
question_tokens(PdContext *context, const char *text, int *first_row, GError **error)
{
    g_autoptr(GArray) tokens = g_array_copy(context->prefix);
    int n_max = pd_model_shape(context->model)->n_ctx_train;

    pd_layout_text(context->model, "Question: ", tokens);
    *first_row = (int)tokens->len;
    pd_layout_text(context->model, text, tokens);
    if ((int)tokens->len > *first_row && tokens->len <= (guint)n_max)
        return g_steal_pointer(&tokens);
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG,
                "the question has %d tokens; it must have 1 to %d", (int)tokens->len - *first_row,
                n_max - *first_row);
    return NULL;
}

/* Runs one question from the end of the prefix on; appends its kept queries to each head's. */
static gboolean
run_question(PdSweepQueries *queries, PdSession *session, GArray *tokens, int first_row,
             GArray **of_heads, GCancellable *cancellable, GError **error)
{
    PdContext *context = queries->context;
    gsize d = (gsize)pd_model_shape(context->model)->head_dim;
    int n_rows = (int)tokens->len - first_row,
        n_done = MIN(pd_session_n_tokens(session, 0), (int)context->prefix->len);
    g_autofree float *rows = g_try_new0(float, (gsize)queries->n_heads *n_rows *d);
    g_autoptr(GArray) places = NULL;
    Question question = {queries, first_row, n_rows, rows};
    PdRun run = {.tokens = &g_array_index(tokens, gint32, n_done),
                 .n_tokens = (int)tokens->len - n_done};
    g_autofree gboolean *mask = g_new0(gboolean, pd_model_shape(context->model)->n_layers);

    if (!rows)
        return pd_sweep_no_memory(error);
    for (int h = 0; h < queries->n_heads; h++)
        mask[queries->heads[h].layer] = TRUE;
    pd_session_truncate(session, 0, n_done);
    pd_session_set_tap(session, keep_rows, mask, &question);
    if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error))
        return FALSE;
    pd_session_set_tap(session, NULL, NULL, NULL);
    places = content_places(context->model, &g_array_index(tokens, gint32, first_row), n_rows);
    for (int h = 0; h < queries->n_heads; h++)
        for (guint i = 0; i < places->len; i++)
            g_array_append_vals(of_heads[h],
                                rows + ((gsize)h * n_rows + g_array_index(places, int, i)) * d,
                                (guint)d);
    queries->n_queries += (int)places->len;
    return TRUE;
}

/* By a fixed distance: the model's own rotation against a key at position 0. */
static gboolean
turn_queries(PdSweepQueries *queries, PdSession *session, GError **error)
{
    const PdModelShape *shape = pd_model_shape(queries->context->model);
    PdDevice *device = pd_model_device(queries->context->model);
    gsize n_floats = (gsize)queries->n_queries * shape->head_dim;
    PdBuffer *buffer = device->ops->buffer_new(device, n_floats * sizeof(float));
    g_autofree gint32 *positions = g_new(gint32, queries->n_queries);

    if (!buffer)
        return pd_sweep_no_memory(error);
    for (int i = 0; i < queries->n_queries; i++)
        positions[i] = PD_SWEEP_DISTANCE;
    for (int h = 0; h < queries->n_heads; h++) {
        float *q = queries->queries + (gsize)h * n_floats;
        const PdRope *rope =
            pd_session_rope(session, queries->heads[h].layer, PD_SWEEP_DISTANCE + 1);

        if (queries->heads[h].by_keys)
            continue;
        device->ops->write(device, (PdMem){buffer, 0}, q, n_floats * sizeof(float));
        device->ops->rope(device, (PdMem){buffer, 0}, rope, positions, queries->n_queries, 1,
                          shape->head_dim);
        device->ops->read(device, q, (PdMem){buffer, 0}, n_floats * sizeof(float));
    }
    device->ops->buffer_free(device, buffer);
    return TRUE;
}

/* One after the other from the head's arrays. */
static gboolean
join_heads(PdSweepQueries *queries, GArray **of_heads, GError **error)
{
    gsize n_floats = (gsize)queries->n_queries * pd_model_shape(queries->context->model)->head_dim;

    queries->queries = g_try_new(float, (gsize)queries->n_heads *n_floats);
    if (!queries->queries)
        return pd_sweep_no_memory(error);
    for (int h = 0; h < queries->n_heads; h++)
        memcpy(queries->queries + (gsize)h * n_floats, of_heads[h]->data, n_floats * sizeof(float));
    return TRUE;
}

static gboolean
run_all(PdSweepQueries *queries, GPtrArray *tokens, const int *first_rows, GArray **of_heads,
        GCancellable *cancellable, GError **error)
{
    g_autoptr(PdSession) session = NULL;
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F16};

    options.max_tokens = PD_SWEEP_DISTANCE + 1; /* the table's length too */
    for (guint i = 0; i < tokens->len; i++)
        options.max_tokens = MAX(options.max_tokens, (int)((GArray *)tokens->pdata[i])->len);
    for (int h = 0; h < queries->n_heads; h++)
        options.n_layers = MAX(options.n_layers, queries->heads[h].layer + 1);
    session = pd_session_new(queries->context->model, &options, error);
    if (!session)
        return FALSE;
    for (guint i = 0; i < tokens->len; i++) {
        queries->first[i] = queries->n_queries;
        if (!run_question(queries, session, tokens->pdata[i], first_rows[i], of_heads, cancellable,
                          error))
            return FALSE;
    }
    queries->first[tokens->len] = queries->n_queries;
    return join_heads(queries, of_heads, error) && turn_queries(queries, session, error);
}

gboolean
pd_sweep_queries_make(PdSweepQueries *queries, const char *const *questions,
                      GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) tokens = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_autoptr(GPtrArray) of_heads = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_autofree int *first_rows = g_new0(int, queries->n_questions);

    queries->first = g_new0(int, queries->n_questions + 1);
    for (guint i = 0; i < queries->n_questions; i++) {
        GArray *of_question =
            question_tokens(queries->context, questions[i], &first_rows[i], error);
        if (!of_question)
            return FALSE;
        g_ptr_array_add(tokens, of_question);
    }
    for (int h = 0; h < queries->n_heads; h++)
        g_ptr_array_add(of_heads, g_array_new(FALSE, FALSE, sizeof(float)));
    return run_all(queries, tokens, first_rows, (GArray **)of_heads->pdata, cancellable, error);
}
