/*
 * Reading sparsely: a corpus longer than the model's window as one text.  What is kept continues
 * bit for bit; where everything is visible, the numbers are those of a whole reading; quotes are
 * bytes of the corpus.
 */
#include "prompts_fixture.h"

#include <math.h>
#include <string.h>
#include "prompts/ask.h"
#include "prompts/gc.h"
#include "prompts/layout.h"
#include "prompts/plan.h"
#include "prompts/whole.h"

#define LONG_BYTES 6000 /* a token a byte; the window is 4,096 */

static const char question[] = "Which level did the buoy record?";

typedef TwoTexts Fixture;

static void
set_up(Fixture *f, gconstpointer n_bytes)
{
    two_texts_open(f, "/sparse", (gsize)GPOINTER_TO_INT(n_bytes), PD_READ_SPARSE);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    two_texts_close(f);
}

static void
reopen(Fixture *f, PdReadMode mode)
{
    world_close(&f->world);
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, mode);
}

static PdSession *
new_session(Fixture *f, int max_tokens, int batch_rows)
{
    const PdContext *context = f->world.context;
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = pd_whole_session(f->model, &context->profile, context->mode,
                                                context->prefix->len, max_tokens);
    PdSession *session;

    options.batch_rows = batch_rows;
    session = pd_session_new(f->model, &options, &error);
    g_assert_no_error(error);
    return session;
}

/* The logits of every token of the question behind the corpus; kept: through the store, else in a
 * session that knows none, cut differently. */
static float *
read_logits(Fixture *f, gboolean kept, gsize *n, guint64 *n_lists)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(f->world.context, NULL);
    g_autoptr(GArray) end = pd_layout_question(f->model, question, TRUE, FALSE);
    g_autoptr(PdSession) session = new_session(f, (int)(tokens->len + end->len), kept ? 0 : 100);
    PdRun runs[] = {
        {.tokens = (const gint32 *)tokens->data, .n_tokens = (int)tokens->len},
        {.tokens = (const gint32 *)end->data, .n_tokens = (int)end->len, .all_logits = TRUE}};
    g_autoptr(GError) error = NULL;
    guint64 n_flat;

    *n = end->len * (gsize)pd_model_shape(f->model)->n_vocab;
    runs[1].logits = g_new(float, *n);
    if (kept)
        pd_whole_read(f->world.context, session, tokens, NULL, NULL, NULL, NULL, &error);
    else
        pd_session_run(session, runs, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    pd_session_run(session, runs + 1, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    pd_session_selections(session, n_lists, &n_flat);
    return runs[1].logits;
}

static PdAnswer *
ask(Fixture *f)
{
    PdAskOptions options = {.max_answer_tokens = 40,
                            .sampler = {.top_p = 1, .repetition_penalty = 1}};
    g_autoptr(GError) error = NULL;
    PdAnswer *answer = pd_ask(f->world.context, question, &options, NULL, NULL, &error);

    g_assert_no_error(error);
    return answer;
}

static void
assert_same_answer(const PdAnswer *a, const PdAnswer *b)
{
    g_assert_cmpuint(a->n_answer_tokens, >, 0);
    fixture_assert_same_answer(a, b);
}

/* Read and asked in contexts of their own: nothing is read twice, the answers are the same. */
static void
test_resumed(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) tokens = pd_whole_tokens(f->world.context, NULL);
    g_autoptr(PdAnswer) first = NULL, second = NULL;
    g_autofree float *kept = NULL, *fresh = NULL;
    g_autoptr(GError) error = NULL;
    PdWarmReport report = {0};
    guint64 n_lists, n_warm;
    gsize n;

    g_assert_cmpint((int)tokens->len, >, pd_model_shape(f->model)->n_ctx_train);
    pd_context_warm(f->world.context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(report.n_tokens_encoded, ==, tokens->len);
    reopen(f, PD_READ_SPARSE);
    pd_context_count_warm(f->world.context, &n_warm, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_warm, ==, tokens->len);
    first = ask(f);
    g_assert_cmpuint(first->warm.n_tokens_reused, ==, tokens->len);
    g_assert_cmpuint(first->warm.n_tokens_encoded, ==, 0);
    reopen(f, PD_READ_SPARSE);
    second = ask(f);
    assert_same_answer(first, second);
    kept = read_logits(f, TRUE, &n, &n_lists);
    g_assert_cmpuint(n_lists, >, 0);
    fresh = read_logits(f, FALSE, &n, &n_lists);
    g_assert_cmpuint(n_lists, >, 0);
    g_assert_cmpmem(kept, n * sizeof(float), fresh, n * sizeof(float));
}

/* All is visible: the rows differ from a whole reading's only by where keys are rounded. */
static void
test_fits(Fixture *f, gconstpointer unused)
{
    g_autofree float *sparse = NULL, *whole = NULL;
    g_autoptr(PdAnswer) sparse_answer = ask(f), whole_answer = NULL;
    g_autoptr(GError) error = NULL;
    guint64 n_lists, n_warm = 1;
    gsize n;

    sparse = read_logits(f, TRUE, &n, &n_lists);
    g_assert_cmpuint(n_lists, ==, 0);
    reopen(f, PD_READ_WHOLE);
    pd_context_count_warm(f->world.context, &n_warm, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_warm, ==, 0); /* rows of another kind */
    whole = read_logits(f, TRUE, &n, &n_lists);
    for (gsize i = 0; i < n; i++)
        g_assert_cmpfloat(fabsf(sparse[i] - whole[i]), <=, 5e-3f * (1 + fabsf(whole[i])));
    whole_answer = ask(f);
    assert_same_answer(sparse_answer, whole_answer);
}

/* A sentence that the corpus supports at its beginning, middle or end is quoted from there. */
static void
test_quotes(Fixture *f, gconstpointer unused)
{
    PdContext *context = f->world.context;
    g_autoptr(GArray) passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    g_autoptr(GArray) tokens = pd_whole_tokens(context, passages);
    g_autoptr(PdAnswer) answer = ask(f);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(answer->passages->len, ==, context->segments->len);
    for (guint i = 0; i < passages->len; i++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, i);
        const PdSegmentRow *row =
            g_array_index(context->segments, PdContextSegment, passage->segment).row;
        g_assert_cmpmem(&g_array_index(tokens, gint32, passage->first_row),
                        passage->n_tokens * sizeof(gint32), row->ids,
                        row->n_tokens * sizeof(gint32));
    }
    g_assert_cmpuint(answer->citations->len, >, 0);
    for (guint i = 0; i < answer->citations->len; i++) {
        const PdCitation *citation = &g_array_index(answer->citations, PdCitation, i);
        g_autoptr(PdPartRow) part = pd_corpus_part(context->corpus, citation->part_id, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(citation->quote, strlen(citation->quote), part->text + citation->start,
                        citation->end - citation->start);
    }
}

/* Kept rows serve one policy only, and `gc` for the model keeps them. */
static void
test_identity(Fixture *f, gconstpointer unused)
{
    PdContext *context = f->world.context;
    g_autoptr(GError) error = NULL;
    PdWarmReport report = {0};
    PdKvGcReport gc;
    guint64 n_warm = 1;

    pd_context_warm(context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    context->profile.retrieval[0] = (PdHead){.layer = 0, .head = 0};
    context->profile.n_retrieval = 1;
    pd_context_count_warm(context, &n_warm, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(n_warm, ==, 0);
    reopen(f, PD_READ_SWEPT);
    g_assert_true(pd_context_gc(f->world.context, TRUE, &gc, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(gc.n_dead_records, ==, 0);
    g_assert_true(pd_corpus_gc(f->world.corpus, TRUE, &gc, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(gc.n_dead_records, ==, 0);
}

/* Bytes a token on disk and in memory as they turn out to be; time linear far out. */
static void
test_plan(Fixture *f, gconstpointer unused)
{
    static const PdRates rates = {1e-3, 1e-6, 0.1, 1e9};
    PdContext *context = f->world.context;
    g_autoptr(GArray) tokens = pd_whole_tokens(context, NULL);
    g_autoptr(GError) error = NULL;
    PdSessionOptions options =
        pd_whole_session(f->model, &context->profile, PD_READ_SPARSE, context->prefix->len,
                         (int)context->n_tokens + PD_ANSWER_RESERVE_TOKENS);
    PdWarmReport report = {0};
    g_auto(PdPlan) plan = {0}, one = {0}, two = {0}, whole = {0};

    pd_plan_context(context, &rates, &plan, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(plan.mode, ==, PD_READ_SPARSE);
    pd_context_warm(context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(report.n_bytes_written * plan.n_tokens, ==, plan.kv_disk_bytes * tokens->len);
    g_assert_cmpuint(plan.session_bytes, ==, pd_session_bytes(f->model, &options));
    pd_plan_tokens(f->model, 20000, PD_READ_SPARSE, PD_KV_AUTO, &rates, &one);
    pd_plan_tokens(f->model, 40000, PD_READ_SPARSE, PD_KV_AUTO, &rates, &two);
    pd_plan_tokens(f->model, 40000, PD_READ_WHOLE, PD_KV_AUTO, &rates, &whole);
    g_assert_cmpfloat(two.warm_seconds, >, 2 * one.warm_seconds);
    g_assert_cmpfloat(two.warm_seconds, <, whole.warm_seconds / 2);
    pd_plan_tokens(f->model, 1000, PD_READ_SPARSE, PD_KV_AUTO, &rates, &one);
    pd_plan_tokens(f->model, 1000, PD_READ_WHOLE, PD_KV_AUTO, &rates, &two);
    g_assert_cmpfloat(one.warm_seconds, ==, two.warm_seconds);
}

/* What is visible stays within half the positions of training; local layers choose nothing. */
static void
test_policy(void)
{
    static const char *const archs[] = {"qwen2", "qwen3", "llama", "gemma3"};

    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autofree char *path =
            g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", archs[i], NULL);
        g_autoptr(GError) error = NULL;
        PdModelOptions model_options = {.n_threads = 1};
        g_autoptr(PdModel) model = pd_model_open(path, &model_options, &error);
        PdProfile profile;
        PdSessionOptions options;
        g_autoptr(PdSession) session = NULL;

        g_assert_no_error(error);
        profile = pd_profile_for(pd_model_shape(model));
        options = pd_whole_session(model, &profile, PD_READ_SPARSE, 40, 1000);
        g_assert_cmpint(options.attention.n_heads, >, 0);
        for (int h = 0; h < options.attention.n_heads; h++)
            g_assert_false(pd_model_layer(model, options.attention.heads[h][0])->local);
        g_assert_cmpint(40 + options.attention.window_rows + 2 * PD_SCORE_BLOCK +
                            options.attention.budget_blocks * PD_SCORE_BLOCK,
                        <=, pd_model_shape(model)->n_ctx_train / 2);
        session = pd_session_new(model, &options, &error);
        g_assert_no_error(error);
        options = pd_whole_session(model, &profile, PD_READ_WHOLE, 40, 1000);
        g_assert_cmpint(options.attention.kind, ==, PD_ATTENTION_DENSE);
    }
}

#define ADD(name, n_bytes, func)                                                                   \
    g_test_add(name, Fixture, GINT_TO_POINTER(n_bytes), set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/sparse-mode/resumed", LONG_BYTES, test_resumed);
    ADD("/sparse-mode/fits", 900, test_fits);
    ADD("/sparse-mode/quotes", LONG_BYTES, test_quotes);
    ADD("/sparse-mode/identity", 1500, test_identity);
    ADD("/sparse-mode/plan", 3000, test_plan);
    g_test_add_func("/sparse-mode/policy", test_policy);
    return g_test_run();
}
