/* The record of a segment: where its bytes lie, what its key depends on, what is refused. */
#include "prompts_fixture.h"

#include <string.h>
#include "prompts/layout.h"
#include "prompts/segment_kv.h"

static guint32
u32_at(const guint8 *bytes)
{
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (guint32)bytes[3] << 24;
}

/* Head of 64 bytes, then layer by layer K of all heads and V of all heads, 34 bytes per 32 values.
 */
static void
test_layout_of_record(void)
{
    PdModelShape shape = {.n_layers = 3, .n_kv_heads = 2, .head_dim = 64};
    g_autofree guint8 *record = pd_segment_kv_new(&shape, 5, 2);
    const gsize stream = 5 * 2 * 34;
    gsize expected = 64;

    g_assert_cmpuint(pd_segment_kv_bytes(&shape, 5), ==, 64 + 3 * 2 * 2 * stream);
    g_assert_cmpmem(record, 8, "PDSEGKV1", 8);
    g_assert_cmpuint(u32_at(record + 8), ==, 3);
    g_assert_cmpuint(u32_at(record + 12), ==, 2);
    g_assert_cmpuint(u32_at(record + 16), ==, 64);
    g_assert_cmpuint(u32_at(record + 20), ==, 5);
    g_assert_cmpuint(u32_at(record + 24), ==, 2);
    g_assert_cmpuint(u32_at(record + 28), ==, PD_Q8_0);
    for (gsize i = 32; i < pd_segment_kv_bytes(&shape, 5); i++)
        g_assert_cmpuint(record[i], ==, 0);
    for (int layer = 0; layer < 3; layer++)
        for (int values = 0; values < 2; values++)
            for (int head = 0; head < 2; head++) {
                g_assert_true(pd_segment_kv_stream(record, layer, values, head) ==
                              record + expected);
                expected += stream;
            }
    g_assert_cmpuint(expected, ==, pd_segment_kv_bytes(&shape, 5));
}

/* A context made by hand: only what the key looks at. */
typedef struct {
    PdContext context;
    PdContextSegment segment;
    PdSegmentRow row;
    guint32 ids[8];
} Made;

static GArray *
tokens_of(const char *text)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(gint32));

    for (; *text; text++) {
        gint32 id = (guchar)*text;
        g_array_append_val(ids, id);
    }
    return ids;
}

static void
make(Made *made, PdModel *model, const char *prefix, const char *header, const char *text)
{
    memset(made, 0, sizeof *made);
    made->context.model = model;
    made->context.prefix = tokens_of(prefix);
    made->segment.header_ids = tokens_of(header);
    made->segment.row = &made->row;
    made->row.n_tokens = (guint32)strlen(text);
    made->row.ids = made->ids;
    for (gsize i = 0; i < strlen(text); i++)
        made->ids[i] = (guchar)text[i];
}

static void
made_clear(Made *made)
{
    g_array_unref(made->context.prefix);
    g_array_unref(made->segment.header_ids);
}

static void
key_of(PdModel *model, const char *prefix, const char *header, const char *text,
       guint8 key[PD_KV_KEY_BYTES])
{
    g_autoptr(GError) error = NULL;
    Made made;

    make(&made, model, prefix, header, text);
    pd_segment_kv_key(&made.context, &made.segment, key, NULL, &error);
    g_assert_no_error(error);
    made_clear(&made);
}

/* Equal inputs give equal keys; whatever changes the numbers changes the key. */
static void
test_key(void)
{
    char *dir = fixture_folder();
    g_autoptr(PdModel) model = fixture_model();
    g_autoptr(PdModel) again = fixture_model();
    g_autoptr(PdModel) weights = fixture_model_changed(dir, NULL, NULL, 0);
    g_autoptr(PdModel) words = fixture_model_changed(dir, "<|endoftext|>", "<|endoftexu|>", 1);
    const struct {
        PdModel *model;
        const char *prefix, *header, *text;
    } rows[] = {
        {model, "pre", "head", "text"}, {weights, "pre", "head", "text"},
        {words, "pre", "head", "text"}, {model, "prf", "head", "text"},
        {model, "pre", "heat", "text"}, {model, "pre", "head", "texu"},
        {model, "pre", "hea", "dtext"}, {model, "preh", "ead", "text"},
        {model, "pre", "headt", "ext"}, {model, "pre", "head", "tex"},
        {model, "pre", "head", ""},
    };
    guint8 keys[G_N_ELEMENTS(rows)][PD_KV_KEY_BYTES], same[PD_KV_KEY_BYTES];

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        key_of(rows[i].model, rows[i].prefix, rows[i].header, rows[i].text, keys[i]);
        for (gsize j = 0; j < i; j++)
            if (memcmp(keys[i], keys[j], PD_KV_KEY_BYTES) == 0)
                g_error("rows %" G_GSIZE_FORMAT " and %" G_GSIZE_FORMAT " have the same key", i, j);
    }
    key_of(again, "pre", "head", "text", same);
    g_assert_cmpmem(same, sizeof same, keys[0], sizeof keys[0]);
    fixture_remove(dir);
}

static GBytes *
changed(const guint8 *record, gsize n, gsize at)
{
    guint8 *copy = g_memdup2(record, n);

    copy[at] ^= 1;
    return g_bytes_new_take(copy, n);
}

static void
test_check(void)
{
    g_autoptr(PdModel) model = fixture_model();
    g_autofree char *dir = g_strdup("/nowhere");
    PdCorpus corpus = {.dir = dir};
    Made made;
    gsize n = pd_segment_kv_bytes(pd_model_shape(model), 8);
    g_autofree guint8 *record = pd_segment_kv_new(pd_model_shape(model), 8, 4);
    g_autoptr(GBytes) good = g_bytes_new_static(record, n);
    g_autoptr(GBytes) cut = g_bytes_new_static(record, n - 1);
    g_autoptr(GBytes) tiny = g_bytes_new_static(record, 3);
    g_autoptr(GBytes) empty = g_bytes_new_static(record, 0);
    GBytes *const short_ones[] = {cut, tiny, empty};
    g_autoptr(GError) error = NULL;

    make(&made, model, "pre", "head", "text");
    made.context.corpus = &corpus;
    g_assert_true(pd_segment_kv_check(&made.context, &made.segment, good, &error));
    g_assert_no_error(error);
    for (gsize at = 0; at < 32; at++) { /* magic and every field */
        g_autoptr(GBytes) bad = changed(record, n, at);
        g_autoptr(GError) local = NULL;
        g_assert_false(pd_segment_kv_check(&made.context, &made.segment, bad, &local));
        g_assert_nonnull(local);
        g_assert_nonnull(strstr(local->message, "/nowhere"));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(short_ones); i++)
        g_assert_false(pd_segment_kv_check(&made.context, &made.segment, short_ones[i], NULL));
    /* the same number of rows, but another border between header and text */
    g_array_set_size(made.segment.header_ids, 3);
    made.row.n_tokens = 5;
    g_assert_false(pd_segment_kv_check(&made.context, &made.segment, good, NULL));
    made_clear(&made);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/segment_kv/layout", test_layout_of_record);
    g_test_add_func("/segment_kv/key", test_key);
    g_test_add_func("/segment_kv/check", test_check);
    return g_test_run();
}
