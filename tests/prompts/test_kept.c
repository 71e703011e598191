/*
 * Passages put into a prompt from their kept rows, against the same prompt run.  What may differ is
 * the rounding of a row to 8 bits: half a step of max|x| / 127, values here stay below 6, turned by
 * RoPE: at most 6 / 254 * sqrt(2) and a little for 16 bits.
 */
#include "prompts_fixture.h"

#include <math.h>
#include <string.h>
#include "engine/session.h"
#include "prompts/kept.h"
#include "prompts/layout.h"
#include "prompts/segment_kv.h"
#include "prompts/warm.h"

#define ROUNDING 0.035f

typedef TwoTexts Fixture;

static void
set_up(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    two_texts_open(f, "/kept", 300, PD_READ_SWEPT);
    pd_context_warm(f->world.context, NULL, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    two_texts_close(f);
}

/* Append a passage of segment s to the prompt and the list. */
static void
lay_out(Fixture *f, GArray *prompt, GArray *passages, guint s, guint first_token, guint n_tokens)
{
    PdContextSegment *segment = &g_array_index(f->world.context->segments, PdContextSegment, s);
    PdPassage passage = {.number = (int)passages->len + 1,
                         .segment = s,
                         .first_token = first_token,
                         .n_tokens = n_tokens};

    g_array_append_vals(prompt, segment->header_ids->data, segment->header_ids->len);
    passage.first_row = (int)prompt->len;
    g_array_append_vals(prompt, segment->row->ids + first_token, n_tokens);
    g_array_append_val(passages, passage);
}

static PdSession *
new_session(Fixture *f, GArray *prompt)
{
    PdSessionOptions options = {
        .n_sequences = 1, .max_tokens = (int)prompt->len + 8, .kv_type = PD_F16};
    g_autoptr(GError) error = NULL;
    PdSession *session = pd_session_new(f->model, &options, &error);

    g_assert_no_error(error);
    return session;
}

/* K of layer 0, V of layer 0, K of layer 1, V of layer 1: (n_rows, 32) each, as floats. */
static float *
rows_of(PdSession *session)
{
    int n = pd_session_n_tokens(session, 0);
    gsize n_values = (gsize)n * 4 * 32;
    g_autofree guint16 *halves = g_new(guint16, n_values);
    float *values = g_new(float, n_values);

    g_assert_cmpuint(pd_session_row_bytes(session) * n, ==, n_values * 2);
    pd_session_save_rows(session, 0, 0, n, halves);
    pd_dequantize_row(PD_F16, halves, values, n_values);
    return values;
}

static float *
rows_when_run(Fixture *f, GArray *prompt)
{
    g_autoptr(PdSession) session = new_session(f, prompt);
    PdRun run = {.tokens = (const gint32 *)prompt->data, .n_tokens = (int)prompt->len};
    g_autoptr(GError) error = NULL;

    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return rows_of(session);
}

static float *
rows_when_kept(Fixture *f, GArray *prompt, GArray *passages, guint n_expected)
{
    g_autoptr(PdSession) session = new_session(f, prompt);
    PdKeptPrompt kept = {.prompt = prompt, .passages = passages};
    g_autoptr(GError) error = NULL;

    pd_read_kept(f->world.context, session, &kept, 1, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(kept.n_kept, ==, n_expected);
    g_assert_cmpint(pd_session_n_tokens(session, 0), ==, (int)prompt->len);
    g_assert_cmpmem(pd_session_tokens(session, 0), prompt->len * sizeof(gint32), prompt->data,
                    prompt->len * sizeof(gint32));
    return rows_of(session);
}

/* The largest difference over rows [first, last) of one of the four streams. */
static float
difference(const float *a, const float *b, guint n_rows, int stream, guint first, guint last)
{
    float most = 0;

    for (gsize i = first * 32; i < last * 32; i++) {
        gsize at = (gsize)stream * n_rows * 32 + i;
        most = MAX(most, fabsf(a[at] - b[at]));
    }
    return most;
}

/* A segment behind the prefix stands where it was encoded: every row of every layer is the same. */
static void
test_in_place(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) prompt = g_array_copy(f->world.context->prefix);
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    guint n_prefix = prompt->len;
    g_autofree float *run = NULL, *kept = NULL;

    lay_out(f, prompt, passages, 0, 0, 300 - 40);
    run = rows_when_run(f, prompt);
    kept = rows_when_kept(f, prompt, passages, prompt->len - n_prefix);
    for (int stream = 0; stream < 4; stream++) {
        g_assert_cmpfloat(difference(run, kept, prompt->len, stream, 0, n_prefix), ==, 0);
        g_assert_cmpfloat(difference(run, kept, prompt->len, stream, n_prefix, prompt->len), <=,
                          ROUNDING);
        g_assert_cmpfloat(difference(run, kept, prompt->len, stream, n_prefix, prompt->len), >, 0);
    }
}

/* Elsewhere the first layer's rows, which know their token and place only, are still the same. */
static void
test_moved(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) prompt = g_array_copy(f->world.context->prefix);
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    guint n_kept = 0;
    g_autofree float *run = NULL, *kept = NULL;

    for (guint i = 0; i < 3; i++) {
        guint before;
        pd_layout_number(f->model, (int)i + 1, prompt);
        before = prompt->len;
        lay_out(f, prompt, passages, i % 2, 30 * i, 50 + i);
        n_kept += prompt->len - before;
    }
    pd_layout_text(f->model, "\nWhich one?", prompt);
    run = rows_when_run(f, prompt);
    kept = rows_when_kept(f, prompt, passages, n_kept);
    g_assert_cmpfloat(difference(run, kept, prompt->len, 0, 0, prompt->len), <=, ROUNDING);
    g_assert_cmpfloat(difference(run, kept, prompt->len, 1, 0, prompt->len), <=, ROUNDING);
}

static void
test_missing(Fixture *f, gconstpointer unused)
{
    PdContext *context = f->world.context;
    g_autoptr(GArray) prompt = g_array_copy(context->prefix);
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    g_autoptr(PdSession) session = NULL;
    g_autoptr(GError) error = NULL;
    guint8 key[PD_KV_KEY_BYTES];
    PdKeptPrompt kept;

    lay_out(f, prompt, passages, 1, 0, 10);
    session = new_session(f, prompt);
    pd_segment_kv_key(context, &g_array_index(context->segments, PdContextSegment, 1), key, NULL,
                      NULL);
    pd_kv_store_drop(context->store, key, NULL);
    kept = (PdKeptPrompt){.prompt = prompt, .passages = passages};
    g_assert_false(pd_read_kept(context, session, &kept, 1, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/kept/in-place", test_in_place);
    ADD("/kept/moved", test_moved);
    ADD("/kept/missing", test_missing);
    return g_test_run();
}
