/* The KL gate on the tiny model: wide blocks cost next to nothing, two bits are refused. */
#include "prompts_fixture.h"

#include "prompts/kv_gate.h"

/* The tiny model's weights are random: what it predicts is nearly flat and hard to move, so that
 * its gate is a tenth of a real model's. */
#define MAX_NATS (PD_KV_GATE_NATS / 10)

static GArray *
tokens_of(PdModel *model, gsize n_bytes)
{
    g_autofree char *text = fixture_text(n_bytes, 11);
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));

    pd_tokenizer_encode(pd_model_tokenizer(model), text, n_bytes, ids, NULL);
    return ids;
}

static PdKvGateRow
measure(PdKvGate *gate, int key_bits, int value_bits)
{
    g_autoptr(GError) error = NULL;
    PdKvGateRow row;

    pd_kv_gate_measure(gate, key_bits, value_bits, MAX_NATS, &row, NULL, &error);
    g_assert_no_error(error);
    g_test_message("%d/%d: %.6f nats, top-1 %.3f, %.3f of dense", key_bits, value_bits, row.mean_kl,
                   row.top1, row.share);
    return row;
}

static void
test_gate(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GArray) ids = tokens_of(model, 800);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdKvGate) gate =
        pd_kv_gate_new(model, (const gint32 *)ids->data, ids->len, NULL, &error);
    PdKvGateRow wide, narrow, again;

    g_assert_no_error(error);
    wide = measure(gate, 8, 8);
    narrow = measure(gate, 2, 2);
    g_assert_cmpuint(wide.n_scored, ==, ids->len / 8);
    g_assert_true(wide.passed);
    g_assert_cmpfloat(wide.mean_kl, >=, 0);
    g_assert_cmpfloat(wide.top1, >, 0.9);
    g_assert_false(narrow.passed);
    g_assert_cmpfloat(narrow.mean_kl, >, MAX_NATS);
    g_assert_cmpfloat(narrow.share, <, wide.share / 2);
    again = measure(gate, 8, 8); /* nothing is left of the one before */
    g_assert_cmpfloat(again.mean_kl, ==, wide.mean_kl);
}

static void
test_short(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GArray) ids = tokens_of(model, 400);
    g_autoptr(GError) error = NULL;

    g_assert_null(
        pd_kv_gate_new(model, (const gint32 *)ids->data, PD_KV_GATE_TOKENS_MIN - 1, NULL, &error));
    g_assert_nonnull(error);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kv_gate/gate", test_gate);
    g_test_add_func("/kv_gate/short", test_short);
    return g_test_run();
}
