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

/* Long segments of Qwen2.5 shapes: the index is at most 1.5 % of dense 16-bit KV.  A row of a 4-bit
 * key stream of 64 channels: 32 bytes and, per block of 64 rows, 4 bytes a channel. */
static void
test_sizes(void)
{
    static const PdModelShape shapes[] = {{.arch = "qwen2",
                                           .n_layers = 24,
                                           .n_embd = 896,
                                           .n_heads = 14,
                                           .n_kv_heads = 2,
                                           .head_dim = 64},
                                          {.arch = "qwen2",
                                           .n_layers = 28,
                                           .n_embd = 1536,
                                           .n_heads = 12,
                                           .n_kv_heads = 2,
                                           .head_dim = 128}};

    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
        const PdModelShape *shape = &shapes[i];
        PdProfile profile = pd_profile_for(shape);
        PdKvFormat index = pd_kv_format(shape, &profile, PD_KV_INDEX);
        double dense = (double)pd_kv_dense_row_bytes(shape) * 1000000;

        g_assert_cmpuint(pd_kv_dense_row_bytes(shape), ==,
                         shape->n_layers * 2 * 2 * shape->head_dim * 2);
        g_assert_cmpfloat(pd_kv_bytes_of_corpus(shape, &index, 1000000, 2048) / dense, <=, 0.015);
        g_assert_cmpuint(pd_kv_bytes_of_corpus(shape, &index, 2048 * 3, 2048), ==,
                         3 * pd_segment_kv_bytes(shape, &index, 2048, PD_KV_HEADER_TOKENS));
    }
}

/* The tiny model: 2 layers, 1 KV head of 32: 256 bytes a row at 16 bits. */
static void
test_bytes(void)
{
    g_autoptr(PdModel) model = fixture_model();
    PdSessionOptions whole_session = {
        .n_sequences = 1, .max_tokens = 1000 + PD_ANSWER_RESERVE_TOKENS, .kv_type = PD_F16};
    g_auto(PdPlan) whole = {0}, swept = {0}, large = {0};

    pd_plan_tokens(model, 1000, PD_READ_WHOLE, PD_KV_AUTO, &rates, &whole);
    g_assert_cmpuint(whole.kv_disk_bytes, ==, 1000 * 2 * 2 * 1 * 32 * 2);
    g_assert_cmpuint(whole.session_bytes, ==, pd_session_bytes(model, &whole_session));
    g_assert_cmpuint(whole.session_bytes, >=, (1000 + PD_ANSWER_RESERVE_TOKENS) * 256);
    g_assert_cmpuint(whole.weight_bytes, ==, pd_model_weight_bytes(model));
    pd_plan_tokens(model, 1000000, PD_READ_SWEPT, PD_KV_INDEX, &rates, &swept);
    g_assert_cmpuint(swept.dense_bytes, ==, 256000000);
    g_assert_cmpuint(swept.kv_disk_bytes, ==, swept.tier_bytes[0]);
    g_assert_cmpuint(swept.tier_bytes[0], <, swept.tier_bytes[1]);
    g_assert_cmpfloat(swept.tier_seconds[0], <=, swept.tier_seconds[1]);
    /* memory while sweeping does not grow with the corpus */
    pd_plan_tokens(model, 100000000, PD_READ_SWEPT, PD_KV_INDEX, &rates, &large);
    g_assert_cmpuint(swept.session_bytes, ==, large.session_bytes);
}

/* Small: all rows; large: the index; what is asked for in any case.  Every time with a reason. */
static void
test_choice(void)
{
    g_autoptr(PdModel) model = fixture_model();
    PdProfile profile = pd_profile_for(pd_model_shape(model));
    const struct {
        PdKvTier wanted;
        guint64 n_tokens, disk_free;
        PdKvTier expected;
    } rows[] = {
        {PD_KV_AUTO, 20000, 0, PD_KV_FULL},
        {PD_KV_AUTO, 20000, G_GUINT64_CONSTANT(1) << 40, PD_KV_FULL},
        {PD_KV_AUTO, 20000, 1000000, PD_KV_INDEX},
        {PD_KV_AUTO, 100000000, 0, PD_KV_INDEX},
        {PD_KV_INDEX, 20000, 0, PD_KV_INDEX},
        {PD_KV_FULL, 100000000, 1000, PD_KV_FULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *why = NULL;
        g_assert_cmpint(pd_kv_choose(model, &profile, rows[i].wanted, rows[i].n_tokens, 2048,
                                     rows[i].disk_free, &why),
                        ==, rows[i].expected);
        g_assert_nonnull(why);
        g_assert_null(strchr(why, '\n'));
    }
}

static void
test_mode(void)
{
    g_autoptr(PdModel) model = fixture_model();
    int limit = pd_profile_for(pd_model_shape(model)).read_whole_tokens;
    g_auto(PdPlan) plan = {0};

    pd_plan_tokens(model, (guint64)limit, PD_READ_AUTO, PD_KV_AUTO, &rates, &plan);
    g_assert_cmpint(plan.mode, ==, PD_READ_WHOLE);
    pd_plan_tokens(model, (guint64)limit + 1, PD_READ_AUTO, PD_KV_AUTO, &rates, &plan);
    g_assert_cmpint(plan.mode, ==, PD_READ_SWEPT);
    pd_plan_clear(&plan);
    pd_plan_tokens(model, 10, PD_READ_SWEPT, PD_KV_AUTO, &rates, &plan);
    g_assert_cmpint(plan.mode, ==, PD_READ_SWEPT);
}

/* n rows at row + position * p: n * row + position * n^2 / 2. */
static void
test_seconds(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_auto(PdPlan) plan = {0};

    pd_plan_tokens(model, 2000, PD_READ_WHOLE, PD_KV_AUTO, &rates, &plan);
    g_assert_cmpfloat_with_epsilon(plan.warm_seconds, 2000 * 1e-3 + 1e-6 * 2000 * 2000 / 2, 1e-9);
    g_assert_cmpfloat(plan.first_token_seconds, >, plan.kv_disk_bytes / 1e6);
    g_assert_cmpfloat(plan.answer_seconds, >, plan.first_token_seconds + 100 * 0.1 - 1e-9);
    pd_plan_tokens(model, 2048 * 100, PD_READ_SWEPT, PD_KV_AUTO, &rates, &plan);
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
    PdWarmReport report = {0};
    g_auto(PdPlan) before = {0}, after = {0};

    fixture_add(dir, model, "/plan", &document, 1);
    world_open(&world, dir, model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    pd_plan_context(world.context, &rates, &before, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(before.n_tokens, ==, world.context->n_tokens);
    g_assert_cmpuint(before.n_warm_tokens, ==, 0);
    g_assert_cmpint(before.tier, ==, PD_KV_FULL);
    g_assert_cmpstr(before.tier_why, ==, world.context->tier_why);
    pd_context_warm(world.context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(before.kv_disk_bytes, ==, report.n_bytes_written);
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
    g_auto(PdPlan) plan = {0};
    JsonObject *object;

    pd_measure_rates(model, &measured, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpfloat(measured.row_seconds, >, 0);
    g_assert_cmpfloat(measured.position_seconds, >=, 0);
    g_assert_cmpfloat(measured.decode_seconds, >, 0);
    pd_plan_tokens(model, 123456, PD_READ_AUTO, PD_KV_AUTO, &measured, &plan);
    text = pd_plan_to_json(model, &plan);
    root = json_from_string(text, &error);
    g_assert_no_error(error);
    object = json_node_get_object(root);
    g_assert_cmpint(json_object_get_int_member(object, "tokens"), ==, 123456);
    g_assert_cmpstr(json_object_get_string_member(object, "mode"), ==, "swept");
    g_assert_cmpint(json_object_get_int_member(object, "kv_disk_bytes"), ==,
                    (gint64)plan.kv_disk_bytes);
    g_assert_true(json_object_get_boolean_member(object, "fits"));
    g_assert_cmpstr(json_object_get_string_member(object, "tier"), ==, pd_kv_tier_name(plan.tier));
    g_assert_cmpstr(json_object_get_string_member(object, "tier_why"), ==, plan.tier_why);
    g_assert_cmpint(
        json_object_get_int_member(json_object_get_object_member(object, "index"), "kv_disk_bytes"),
        ==, (gint64)plan.tier_bytes[0]);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/sizes", test_sizes);
    g_test_add_func("/plan/bytes", test_bytes);
    g_test_add_func("/plan/choice", test_choice);
    g_test_add_func("/plan/mode", test_mode);
    g_test_add_func("/plan/seconds", test_seconds);
    g_test_add_func("/plan/context", test_context);
    g_test_add_func("/plan/rates-and-json", test_rates_and_json);
    return g_test_run();
}
