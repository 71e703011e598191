/* What bench divides by: the operations and bytes of a model whose matrices can be counted by hand.
 */
#include "engine/bench.h"
#include "engine/error.h"
#include "engine/peak_memory.h"

/* tests/golden/gqa/qwen2: 2 layers, n_embd 32, n_ff 64, 2 heads and 1 KV head of 32, 96 words. */
#define LAYER_NUMBERS (64 * 32 + 2 * 32 * 32 + 32 * 64 + 3 * 64 * 32)

static PdModel *
open_tiny(void)
{
    g_autoptr(GError) error = NULL;
    PdModel *model = pd_model_open(PD_SOURCE_ROOT "/tests/golden/gqa/qwen2", NULL, &error);
    g_assert_no_error(error);
    return model;
}

static void
test_counts(void)
{
    g_autoptr(PdModel) model = open_tiny();
    g_assert_cmpuint(pd_bench_decode_bytes(model), ==, 4 * (2 * LAYER_NUMBERS + 96 * 32));
    g_assert_cmpfloat(pd_bench_prefill_ops(model, 10), ==,
                      2.0 * (10 * 2 * LAYER_NUMBERS + 96 * 32));
}

/* tests/golden/deepseek: 4 layers, d 32, 2 streams, 4 heads of 24, q_rank 20, 2 groups of 8 from
 * 48; an indexer of 5 heads of 16; 5 experts, of which 2 and a shared one are used, n_ff 16; 48
 * words. */
static void
test_deepseek(void)
{
    enum { D = 32, HEAD = 24, RANK = 20, INDEX = 16, LAYERS = 4, EXPERT = 3 * D * 16 };
    enum { ATTENTION = RANK * D + 4 * HEAD * RANK + HEAD * D + 16 * 48 + D * 16 };
    enum { SITES = 2 * (2 + 2) * 2 * 2 * D, ROUTER = 5 * D };
    /* Values and gates, and the table of positions. */
    enum { CSA = 2 * 2 * HEAD * D + 4 * 2 * HEAD, HCA = 2 * HEAD * D + 16 * HEAD };
    enum { INDEXER = 5 * INDEX * RANK + 5 * D + 2 * 2 * INDEX * D + 4 * 2 * INDEX };
    enum { ALL = LAYERS * (ATTENTION + SITES + ROUTER + 3 * EXPERT) + 2 * (CSA + INDEXER) + HCA };
    enum { OUTPUT = 48 * D + 2 * 2 * D };
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = pd_model_open(PD_SOURCE_ROOT "/tests/golden/deepseek", NULL, &error);
    PdBenchRow row;
    g_assert_no_error(error);
    g_assert_cmpuint(pd_bench_decode_bytes(model), ==, 4 * (ALL + OUTPUT));
    g_assert_cmpfloat(pd_bench_prefill_ops(model, 10), ==, 2.0 * (10 * ALL + OUTPUT));
    g_assert_cmpint(pd_bench_kv_type(model, FALSE), ==, PD_Q8_0);
    g_assert_true(pd_bench_run(model, PD_Q8_0, 130, NULL, &row, &error));
    g_assert_no_error(error);
    g_assert_cmpfloat(row.decode_tokens_per_s, >, 0);
    g_assert_cmpuint(row.kv_bytes, >, 0);
}

static void
test_run(void)
{
    g_autoptr(PdModel) model = open_tiny();
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancelled = g_cancellable_new();
    PdBenchRow row;
    g_assert_true(pd_bench_run(model, PD_F16, 20, NULL, &row, &error));
    g_assert_no_error(error);
    g_assert_cmpint(row.context_tokens, ==, 20);
    g_assert_cmpfloat(row.prefill_tokens_per_s * row.prefill_seconds, >, 19.99);
    g_assert_cmpfloat(row.prefill_tokens_per_s * row.prefill_seconds, <, 20.01);
    g_assert_cmpfloat(row.decode_tokens_per_s, >, 0);
    /* 84 rows of K and V in 2 layers, 32 half floats each */
    g_assert_cmpuint(row.kv_bytes, ==, (20 + PD_BENCH_DECODE_TOKENS) * 2 * 2 * 32 * 2);
    g_assert_cmpuint(pd_peak_memory_bytes(), >, row.kv_bytes);
    g_cancellable_cancel(cancelled);
    g_assert_false(pd_bench_run(model, PD_F16, 20, cancelled, &row, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bench/counts", test_counts);
    g_test_add_func("/bench/deepseek", test_deepseek);
    g_test_add_func("/bench/run", test_run);
    return g_test_run();
}
