/*
 * Reading blocks for their order: each likelihood against the same sum taken from one dense run of
 * the whole prompt, written down here from the description in rerank.h.
 */
#include "prompts_fixture.h"

#include <math.h>
#include "prompts/layout.h"
#include "prompts/rerank.h"
#include "prompts/sweep.h"
#include "prompts/warm.h"

#define N_BLOCKS 11 /* more than are read at a time, and no multiple of it */
#define MARGIN 16

static const char question[] = "What did the gauge at the pier record in a storm?";

/* [prefix][number][header][block and margin][task][question] in one run; the mean log-softmax of
 * the question's tokens, each foretold by the row before it. */
static double
expected_likelihood(PdContext *context, const PdBlock *block)
{
    const PdContextSegment *segment =
        &g_array_index(context->segments, PdContextSegment, block->segment);
    int n_vocab = pd_model_shape(context->model)->n_vocab;
    int first = MAX((int)block->first_token - MARGIN, 0);
    int last =
        MIN((int)(block->first_token + block->n_tokens) + MARGIN, (int)segment->row->n_tokens);
    g_autoptr(GArray) task = pd_layout_question_for(context->model);
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autoptr(GArray) prompt = g_array_copy(context->prefix);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdSession) session = NULL;
    g_autofree float *logits = NULL;
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F32};
    PdRun run = {.all_logits = TRUE};
    double sum = 0;

    pd_layout_text(context->model, question, words);
    pd_layout_number(context->model, 1, prompt);
    g_array_append_vals(prompt, segment->header_ids->data, segment->header_ids->len);
    g_array_append_vals(prompt, segment->row->ids + first, (guint)(last - first));
    g_array_append_vals(prompt, task->data, task->len);
    g_array_append_vals(prompt, words->data, words->len);
    logits = g_new(float, (gsize)prompt->len *(gsize)n_vocab);
    options.max_tokens = run.n_tokens = (int)prompt->len;
    run.tokens = (const gint32 *)prompt->data;
    run.logits = logits;
    session = pd_session_new(context->model, &options, &error);
    g_assert_no_error(error);
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    for (guint i = prompt->len - words->len; i < prompt->len; i++) {
        const float *row = logits + (gsize)(i - 1) * (gsize)n_vocab;
        double total = 0;
        for (int v = 0; v < n_vocab; v++)
            total += exp((double)row[v]);
        sum += (double)row[g_array_index(prompt, gint32, i)] - log(total);
    }
    return sum / words->len;
}

static gboolean
same_block(const PdBlock *a, const PdBlock *b)
{
    return a->segment == b->segment && a->first_token == b->first_token &&
           a->n_tokens == b->n_tokens;
}

static double
merit(const PdBlock *block)
{
    return block->likelihood + (double)PD_RERANK_SWEEP_WEIGHT * block->score;
}

static void
check(PdKvTier tier, double tolerance)
{
    TwoTexts f = {0};
    PdContext *context;
    PdWarmReport report = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) before = NULL, after = NULL;
    guint n_found = 0;

    two_texts_open(&f, "texts", 3000, PD_READ_SWEPT);
    context = f.world.context;
    g_assert_true(pd_context_set_tier(context, tier, NULL, &error));
    g_assert_true(pd_context_warm(context, &report, NULL, NULL, NULL, &error));
    before = pd_sweep(context, question, context->profile.retrieval, context->profile.n_retrieval,
                      NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(before->len, >, N_BLOCKS + 1);
    after = g_array_copy(before);
    g_assert_true(pd_rerank_blocks(context, question, after, N_BLOCKS, NULL, NULL, NULL, &error));
    g_assert_no_error(error);
    for (guint i = 0; i < before->len; i++) {
        const PdBlock *block = &g_array_index(after, PdBlock, i);

        if (i >= N_BLOCKS) {
            g_assert_true(same_block(block, &g_array_index(before, PdBlock, i)));
            g_assert_false(pd_block_is_ranked(block));
            continue;
        }
        for (guint k = 0; k < N_BLOCKS; k++)
            n_found += same_block(block, &g_array_index(before, PdBlock, k));
        g_assert_true(pd_block_is_ranked(block));
        if (i > 0)
            g_assert_cmpfloat(merit(block), <=, merit(&g_array_index(after, PdBlock, i - 1)));
        g_assert_cmpfloat_with_epsilon(block->likelihood, expected_likelihood(context, block),
                                       tolerance);
    }
    g_assert_cmpuint(n_found, ==, N_BLOCKS);
    two_texts_close(&f);
}

/* Everything is run; what differs is that the cache holds 16 bits. */
static void
test_index_tier(void)
{
    check(PD_KV_INDEX, 1e-2);
}

/* Rows come from records of 8 bits, which saw their own segment's beginning as well. */
static void
test_full_tier(void)
{
    check(PD_KV_FULL, 0.2);
}

/* Nothing to put in order, more asked for than there are, no question. */
static void
test_edges(void)
{
    TwoTexts f = {0};
    PdWarmReport report = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) blocks = NULL, one = g_array_new(FALSE, TRUE, sizeof(PdBlock));

    two_texts_open(&f, "texts", 300, PD_READ_SWEPT);
    g_assert_true(pd_context_warm(f.world.context, &report, NULL, NULL, NULL, &error));
    g_assert_true(pd_rerank_blocks(f.world.context, question, one, 8, NULL, NULL, NULL, &error));
    blocks = pd_sweep(f.world.context, question, f.world.context->profile.retrieval,
                      f.world.context->profile.n_retrieval, NULL, NULL, &error);
    g_assert_no_error(error);
    g_array_append_vals(one, blocks->data, 1);
    g_assert_true(pd_rerank_blocks(f.world.context, question, one, 8, NULL, NULL, NULL, &error));
    g_assert_false(pd_block_is_ranked(&g_array_index(one, PdBlock, 0)));
    g_assert_true(pd_rerank_blocks(f.world.context, "", blocks, 8, NULL, NULL, NULL, &error));
    g_assert_false(pd_block_is_ranked(&g_array_index(blocks, PdBlock, 0)));
    g_assert_true(
        pd_rerank_blocks(f.world.context, question, blocks, 1000, NULL, NULL, NULL, &error));
    g_assert_no_error(error);
    for (guint i = 0; i < blocks->len; i++)
        g_assert_true(pd_block_is_ranked(&g_array_index(blocks, PdBlock, i)));
    two_texts_close(&f);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rerank/index_tier", test_index_tier);
    g_test_add_func("/rerank/full_tier", test_full_tier);
    g_test_add_func("/rerank/edges", test_edges);
    return g_test_run();
}
