/* What the two tiers keep of the same corpus: the index holds the full tier's keys within the
 * rounding of 4 bits, a full record serves both, each replaces or spares the other. */
#include "prompts_fixture.h"

#include <math.h>
#include "kernels/kv_block.h"
#include "prompts/segment_kv.h"
#include "prompts/warm.h"

typedef TwoTexts Fixture;

static void
set_up(Fixture *f, gconstpointer unused)
{
    two_texts_open(f, "/tiers", 300, PD_READ_SWEPT);
    /* one head of the first layer: encoding ends before the model's last layer */
    f->world.context->profile.retrieval[0] = (PdHead){0, 0};
    f->world.context->profile.n_retrieval = 1;
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    two_texts_close(f);
}

static PdWarmReport
warm(Fixture *f, PdKvTier tier)
{
    g_autoptr(GError) error = NULL;
    PdWarmReport report = {0};

    pd_context_set_tier(f->world.context, tier, NULL, &error);
    g_assert_no_error(error);
    pd_context_warm(f->world.context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return report;
}

static guint
n_records(Fixture *f)
{
    g_autoptr(GHashTable) records = fixture_records(&f->world);

    return g_hash_table_size(records);
}

/* The keys of layer 0, KV head 0 of a segment: (header and own rows, 32). */
static float *
keys_of(Fixture *f, guint s, PdKvTier tier, guint *n_values)
{
    PdContext *context = f->world.context;
    const PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) record = NULL;
    guint8 key[PD_KV_KEY_BYTES];
    PdKeyStream keys;
    float *rows;

    pd_segment_kv_key_of_tier(context, segment, tier, key, NULL, &error);
    g_assert_no_error(error);
    record = pd_kv_store_get(context->store, key, &error);
    g_assert_no_error(error);
    g_assert_true(pd_segment_kv_keys(g_bytes_get_data(record, NULL), 0, 0, &keys));
    *n_values = (keys.n_header_rows + keys.n_rows) * 32;
    rows = g_new(float, *n_values);
    pd_key_stream_unpack(keys.bits, 32, keys.header, (int)keys.n_header_rows, 0,
                         (int)keys.n_header_rows, rows, 32);
    pd_key_stream_unpack(keys.bits, 32, keys.rows, (int)keys.n_rows, 0, (int)keys.n_rows,
                         rows + keys.n_header_rows * 32, 32);
    return rows;
}

/* Half a step of 4 bits is a thirtieth of a channel's range over a block; a half float's rounding
 * and the 8 bits of the other side add less than as much again. */
static void
test_same_keys(Fixture *f, gconstpointer unused)
{
    guint n_segments = f->world.context->segments->len;
    g_autoptr(GPtrArray) index = g_ptr_array_new_with_free_func(g_free);
    guint n, n_full;

    warm(f, PD_KV_INDEX);
    for (guint s = 0; s < n_segments; s++)
        g_ptr_array_add(index, keys_of(f, s, PD_KV_INDEX, &n));
    warm(f, PD_KV_FULL);
    for (guint s = 0; s < n_segments; s++) {
        g_autofree float *full = keys_of(f, s, PD_KV_FULL, &n_full);
        const float *few = g_ptr_array_index(index, s);
        float least[32], most[32], worst = 0;

        for (guint i = 0; i < n_full; i++) {
            least[i % 32] = i < 32 ? full[i] : MIN(least[i % 32], full[i]);
            most[i % 32] = i < 32 ? full[i] : MAX(most[i % 32], full[i]);
        }
        for (guint i = 0; i < n_full; i++) {
            float range = most[i % 32] - least[i % 32];
            g_assert_cmpfloat(fabsf(full[i] - few[i]), <=, range / 15 + 1e-3f);
            worst = MAX(worst, fabsf(full[i] - few[i]));
        }
        g_assert_cmpfloat(worst, >, 0); /* they are not the same bytes */
    }
}

/* Full after index reads all again and replaces it; index after full has nothing to do. */
static void
test_reuse(Fixture *f, gconstpointer unused)
{
    PdContext *context = f->world.context;
    PdWarmReport report = warm(f, PD_KV_INDEX);
    guint64 index_bytes = report.n_bytes_written;
    gboolean has;

    g_assert_cmpuint(report.n_tokens_encoded, ==, context->n_tokens);
    g_assert_false(pd_context_keeps_rows(context));
    g_assert_cmpuint(n_records(f), ==, context->segments->len);
    report = warm(f, PD_KV_FULL);
    g_assert_cmpuint(report.n_tokens_encoded, ==, context->n_tokens);
    g_assert_cmpuint(report.n_bytes_written, >, index_bytes);
    g_assert_true(pd_context_keeps_rows(context));
    g_assert_cmpuint(n_records(f), ==, context->segments->len);
    report = warm(f, PD_KV_INDEX);
    g_assert_cmpuint(report.n_tokens_reused, ==, context->n_tokens);
    g_assert_cmpuint(report.n_tokens_encoded, ==, 0);
    pd_segment_kv_has(context, &g_array_index(context->segments, PdContextSegment, 0), &has, NULL,
                      NULL);
    g_assert_true(has);
}

/* AUTO stays with what the corpus has. */
static void
test_auto(Fixture *f, gconstpointer unused)
{
    PdContext *context = f->world.context;

    g_assert_cmpint(context->tier, ==, PD_KV_FULL); /* a small corpus */
    warm(f, PD_KV_INDEX);
    pd_context_set_tier(context, PD_KV_AUTO, NULL, NULL);
    g_assert_cmpint(context->tier, ==, PD_KV_INDEX);
    g_assert_nonnull(context->tier_why);
    warm(f, PD_KV_FULL);
    pd_context_set_tier(context, PD_KV_AUTO, NULL, NULL);
    g_assert_cmpint(context->tier, ==, PD_KV_FULL);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/tiers/same-keys", test_same_keys);
    ADD("/tiers/reuse", test_reuse);
    ADD("/tiers/auto", test_auto);
    return g_test_run();
}
