/* The plan: bytes and seconds against sums made by hand. */
#include "prompts_fixture.h"

#include <json-glib/json-glib.h>
#include "prompts/plan.h"
#include "prompts/segment_kv.h"
#include "prompts/warm.h"

static const PdRates rates = {.row_seconds = 1e-3,
                              .position_seconds = 1e-6,
                              .decode_seconds = 0.1,
                              .disk_bytes_per_second = 1e6};

/* Qwen2.5-1.5B: 28 layers, 2 KV heads of 128: K and V of a row in Q8_0 blocks of 34 bytes. */
static void
test_qwen_record(void)
{
    PdModelShape shape = {.n_layers = 28, .n_kv_heads = 2, .head_dim = 128};

    g_assert_cmpuint(pd_segment_kv_bytes(&shape, 1) - pd_segment_kv_bytes(&shape, 0), ==,
                     28 * 2 * 2 * (128 / 32) * 34);
    g_assert_cmpuint(pd_segment_kv_bytes(&shape, 2048), ==, 64 + 2048 * 15232);
}

/* The tiny model: 2 layers, 1 KV head of 32: 256 bytes a row at 16 bits, 136 in Q8_0. */
static void
test_bytes(void)
{
    g_autoptr(PdModel) model = fixture_model();
    PdSessionOptions whole_session = {
        .n_sequences = 1, .max_tokens = 1000 + PD_ANSWER_RESERVE_TOKENS, .kv_type = PD_F16};
    PdPlan whole, swept;

    pd_plan_tokens(model, 1000, PD_READ_WHOLE, &rates, &whole);
    g_assert_cmpuint(whole.kv_disk_bytes, ==, 1000 * 2 * 2 * 1 * 32 * 2);
    g_assert_cmpuint(whole.session_bytes, ==, pd_session_bytes(model, &whole_session));
    g_assert_cmpuint(whole.session_bytes, >=, (1000 + PD_ANSWER_RESERVE_TOKENS) * 256);
    g_assert_cmpuint(whole.weight_bytes, ==, pd_model_weight_bytes(model));
    pd_plan_tokens(model, 1000000, PD_READ_SWEPT, &rates, &swept);
    g_assert_cmpuint(swept.kv_disk_bytes, ==, 1000000 * (guint64)(2 * 2 * 34));
    /* memory while sweeping does not grow with the corpus */
    pd_plan_tokens(model, 100000000, PD_READ_SWEPT, &rates, &whole);
    g_assert_cmpuint(swept.session_bytes, ==, whole.session_bytes);
}

static void
test_mode(void)
{
    g_autoptr(PdModel) model = fixture_model();
    int limit = pd_profile_for(pd_model_shape(model)).read_whole_tokens;
    PdPlan plan;

    pd_plan_tokens(model, (guint64)limit, PD_READ_AUTO, &rates, &plan);
    g_assert_cmpint(plan.mode, ==, PD_READ_WHOLE);
    pd_plan_tokens(model, (guint64)limit + 1, PD_READ_AUTO, &rates, &plan);
    g_assert_cmpint(plan.mode, ==, PD_READ_SWEPT);
    pd_plan_tokens(model, 10, PD_READ_SWEPT, &rates, &plan);
    g_assert_cmpint(plan.mode, ==, PD_READ_SWEPT);
}

/* n rows at row + position * p: n * row + position * n^2 / 2. */
static void
test_seconds(void)
{
    g_autoptr(PdModel) model = fixture_model();
    PdPlan plan;

    pd_plan_tokens(model, 2000, PD_READ_WHOLE, &rates, &plan);
    g_assert_cmpfloat_with_epsilon(plan.warm_seconds, 2000 * 1e-3 + 1e-6 * 2000 * 2000 / 2, 1e-9);
    g_assert_cmpfloat(plan.first_token_seconds, >, plan.kv_disk_bytes / 1e6);
    g_assert_cmpfloat(plan.answer_seconds, >, plan.first_token_seconds + 100 * 0.1 - 1e-9);
    pd_plan_tokens(model, 2048 * 100, PD_READ_SWEPT, &rates, &plan);
    g_assert_cmpfloat(plan.warm_seconds, >=, 2048 * 100 * 1e-3);
    g_assert_cmpfloat(plan.warm_seconds, <=, 2048 * 100 * (1e-3 + 1e-6 * 2048));
}

/* A plan of a corpus says what is kept already. */
static void
test_context(void)
{
    char *dir = fixture_folder();
    g_autoptr(PdModel) model = fixture_model();
    g_autofree char *text = fixture_text(500, 7);
    const TestDocument document = {PD_KIND_TEXT, "a.txt", text, -1};
    g_autoptr(GError) error = NULL;
    g_auto(World) world = {0};
    PdPlan before, after;

    fixture_add(dir, model, "/plan", &document, 1);
    world_open(&world, dir, model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    pd_plan_context(world.context, &rates, &before, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(before.n_tokens, ==, world.context->n_tokens);
    g_assert_cmpuint(before.n_warm_tokens, ==, 0);
    g_assert_cmpuint(before.kv_disk_bytes, ==, world.context->n_tokens * 136);
    pd_context_warm(world.context, NULL, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    pd_plan_context(world.context, &rates, &after, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(after.n_warm_tokens, ==, after.n_tokens);
    g_assert_cmpfloat(after.warm_seconds, ==, 0);
    world_close(&world);
    fixture_remove(dir);
}

static void
test_rates_and_json(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;
    PdRates measured;
    PdPlan plan;
    JsonObject *object;

    pd_measure_rates(model, &measured, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(measured.row_seconds, >, 0);
    g_assert_cmpfloat(measured.position_seconds, >=, 0);
    g_assert_cmpfloat(measured.decode_seconds, >, 0);
    pd_plan_tokens(model, 123456, PD_READ_AUTO, &measured, &plan);
    text = pd_plan_to_json(model, &plan);
    root = json_from_string(text, &error);
    g_assert_no_error(error);
    object = json_node_get_object(root);
    g_assert_cmpint(json_object_get_int_member(object, "tokens"), ==, 123456);
    g_assert_cmpstr(json_object_get_string_member(object, "mode"), ==, "swept");
    g_assert_cmpint(json_object_get_int_member(object, "kv_disk_bytes"), ==,
                    (gint64)plan.kv_disk_bytes);
    g_assert_true(json_object_get_boolean_member(object, "fits"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/qwen-record", test_qwen_record);
    g_test_add_func("/plan/bytes", test_bytes);
    g_test_add_func("/plan/mode", test_mode);
    g_test_add_func("/plan/seconds", test_seconds);
    g_test_add_func("/plan/context", test_context);
    g_test_add_func("/plan/rates-and-json", test_rates_and_json);
    return g_test_run();
}
