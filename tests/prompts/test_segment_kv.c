/* The record of a segment: where its bytes lie, what its key depends on, what is refused. */
#include "prompts_fixture.h"

#include <string.h>
#include "kernels/kv_block.h"
#include "prompts/layout.h"
#include "prompts/segment_kv.h"

static guint64
number_at(const guint8 *bytes, int n)
{
    guint64 value = 0;

    for (int i = n - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static const PdKvFormat full_format = {
    .tier = PD_KV_FULL, .key_bits = 8, .value_bits = 4, .n_layers = 3};
static const PdKvFormat index_format = {
    .tier = PD_KV_INDEX, .key_bits = 4, .n_layers = 2, .keys = {{0, 1}, {1, 0}}, .n_keys = 2};

/* Head of 64 bytes, 16 bytes a stream, then the streams from a multiple of 64 on, layer by layer K
 * of all heads and V of all heads: header rows first. */
static void
test_full_layout(void)
{
    PdModelShape shape = {.n_layers = 3, .n_kv_heads = 2, .head_dim = 64};
    g_autofree guint8 *record = pd_segment_kv_new(&shape, &full_format, 105, 5);
    gsize n_bytes = pd_segment_kv_bytes(&shape, &full_format, 105, 5);
    gsize at = 64 + 12 * 16;
    const guint8 *entry = record + 64;
    const guint32 fields[] = {PD_KV_FULL, 8, 4, 3, 2, 64, 105, 5, 12};

    g_assert_cmpmem(record, 8, "PDSEGKV2", 8);
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        g_assert_cmpuint(number_at(record + 8 + 4 * i, 4), ==, fields[i]);
    for (int layer = 0; layer < 3; layer++)
        for (guint kind = 0; kind < 2; kind++)
            for (int head = 0; head < 2; head++, entry += 16) {
                gsize header =
                    kind ? pd_value_stream_bytes(4, 64, 5) : pd_key_stream_bytes(8, 64, 5);
                gsize own =
                    kind ? pd_value_stream_bytes(4, 64, 100) : pd_key_stream_bytes(8, 64, 100);
                PdKeyStream stream;

                g_assert_cmpuint(number_at(entry, 2), ==, layer);
                g_assert_cmpuint(number_at(entry + 2, 2), ==, head);
                g_assert_cmpuint(number_at(entry + 4, 4), ==, kind);
                g_assert_cmpuint(number_at(entry + 8, 8), ==, at);
                g_assert_true(kind ? pd_segment_kv_values(record, layer, head, &stream)
                                   : pd_segment_kv_keys(record, layer, head, &stream));
                g_assert_true(stream.header == record + at);
                g_assert_true(stream.rows == record + at + header);
                g_assert_cmpint(stream.bits, ==, kind ? 4 : 8);
                g_assert_cmpuint(stream.n_header_rows, ==, 5);
                g_assert_cmpuint(stream.n_rows, ==, 100);
                at += header + own;
            }
    g_assert_cmpuint(at, ==, n_bytes);
}

static void
test_index_layout(void)
{
    PdModelShape shape = {.n_layers = 3, .n_kv_heads = 2, .head_dim = 64};
    g_autofree guint8 *record = pd_segment_kv_new(&shape, &index_format, 70, 0);
    gsize one = pd_key_stream_bytes(4, 64, 70);
    PdKeyStream stream;

    g_assert_cmpuint(pd_segment_kv_bytes(&shape, &index_format, 70, 0), ==, 128 + 2 * one);
    g_assert_true(pd_segment_kv_keys(record, 0, 1, &stream));
    g_assert_true(stream.rows == record + 128);
    g_assert_true(pd_segment_kv_keys(record, 1, 0, &stream));
    g_assert_true(stream.rows == record + 128 + one);
    g_assert_cmpuint(stream.n_header_rows, ==, 0);
    g_assert_false(pd_segment_kv_keys(record, 0, 0, &stream));
    g_assert_false(pd_segment_kv_keys(record, 2, 0, &stream));
    g_assert_false(pd_segment_kv_values(record, 0, 1, &stream));
}

/* However rows are cut on their way in, a record has the bytes of blocks packed from whole rows. */
static void
test_writer(void)
{
    enum { HEADER = 9, OWN = 150, DIM = 32, STRIDE = 70 };
    PdModelShape shape = {.n_layers = 1, .n_kv_heads = 1, .head_dim = DIM};
    PdKvFormat format = {.tier = PD_KV_FULL, .key_bits = 8, .value_bits = 4, .n_layers = 1};
    static const guint cuts[][4] = {
        {159}, {1, 64, 94}, {9, 64, 64, 22}, {72, 2, 85}, {8, 66, 63, 22}};
    g_autofree float *rows = g_new(float, (HEADER + OWN) * STRIDE);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    for (int i = 0; i < (HEADER + OWN) * STRIDE; i++)
        rows[i] = (float)g_rand_double_range(rand, -3, 3);
    for (gsize c = 0; c < G_N_ELEMENTS(cuts); c++) {
        g_autofree guint8 *record = pd_segment_kv_new(&shape, &format, HEADER + OWN, HEADER);
        g_autoptr(PdSegmentKvWriter) writer = pd_segment_kv_writer_new(record);
        guint first = 0;

        for (int i = 0; i < 4 && cuts[c][i]; first += cuts[c][i++])
            for (int values = 0; values < 2; values++)
                g_assert_true(pd_segment_kv_writer_add(writer, 0, values, 0, first, cuts[c][i],
                                                       rows + first * STRIDE, STRIDE));
        g_assert_cmpuint(first, ==, HEADER + OWN);
        g_assert_false(pd_segment_kv_writer_add(writer, 1, FALSE, 0, 0, 1, rows, STRIDE));
        for (int values = 0; values < 2; values++) {
            static const int starts[] = {0, HEADER, HEADER + 64, HEADER + 128, HEADER + OWN};
            PdKeyStream stream;
            const guint8 *at;

            if (values)
                pd_segment_kv_values(record, 0, 0, &stream);
            else
                pd_segment_kv_keys(record, 0, 0, &stream);
            at = stream.header;
            for (int b = 0; b < 4; b++) {
                int n = starts[b + 1] - starts[b];
                gsize n_bytes =
                    values ? pd_value_block_bytes(4, DIM, n) : pd_key_block_bytes(8, DIM, n);
                g_autofree guint8 *block = g_malloc0(n_bytes);
                if (values)
                    pd_value_block_pack(4, DIM, rows + starts[b] * STRIDE, STRIDE, n, block);
                else
                    pd_key_block_pack(8, DIM, rows + starts[b] * STRIDE, STRIDE, n, block);
                g_assert_cmpmem(at, n_bytes, block, n_bytes);
                at += n_bytes;
            }
        }
    }
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
    made->context.profile = pd_profile_for(pd_model_shape(model));
    made->context.tier = PD_KV_FULL;
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

/* The tier, its bits and, for the index, its streams; but not the order or number of the heads that
 * share them. */
static void
test_key_of_tier(void)
{
    g_autoptr(PdModel) model = fixture_model();
    guint8 keys[7][PD_KV_KEY_BYTES], same[PD_KV_KEY_BYTES];
    Made made;
    int n = 0;

    make(&made, model, "pre", "head", "text");
    made.context.profile.n_retrieval = 1;
    made.context.profile.retrieval[0] = (PdHead){0, 0};
    for (PdKvTier tier = PD_KV_INDEX; tier <= PD_KV_FULL; tier++)
        pd_segment_kv_key_of_tier(&made.context, &made.segment, tier, keys[n++], NULL, NULL);
    made.context.profile.kv_key_bits = 5;
    pd_segment_kv_key(&made.context, &made.segment, keys[n++], NULL, NULL);
    made.context.profile.kv_value_bits = 5;
    pd_segment_kv_key(&made.context, &made.segment, keys[n++], NULL, NULL);
    made.context.tier = PD_KV_INDEX;
    pd_segment_kv_key(&made.context, &made.segment, same, NULL, NULL); /* has bits of its own */
    g_assert_cmpmem(same, sizeof same, keys[0], sizeof keys[0]);
    made.context.profile.retrieval[0] = (PdHead){1, 0};
    pd_segment_kv_key(&made.context, &made.segment, keys[n++], NULL, NULL);
    made.context.profile.retrieval[1] = (PdHead){0, 0};
    made.context.profile.n_retrieval = 2;
    pd_segment_kv_key(&made.context, &made.segment, keys[n++], NULL, NULL);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            g_assert_true(memcmp(keys[i], keys[j], PD_KV_KEY_BYTES) != 0);
    made.context.profile.retrieval[0] = (PdHead){0, 0};
    made.context.profile.retrieval[1] = (PdHead){1, 1}; /* the other query head of the group */
    pd_segment_kv_key(&made.context, &made.segment, same, NULL, NULL);
    g_assert_cmpmem(same, sizeof same, keys[n - 1], sizeof keys[0]);
    made_clear(&made);
}

static GBytes *
changed(const guint8 *record, gsize n, gsize at)
{
    guint8 *copy = g_memdup2(record, n);

    copy[at] ^= 1;
    return g_bytes_new_take(copy, n);
}

static void
check_tier(PdModel *model, PdKvTier tier)
{
    g_autofree char *dir = g_strdup("/nowhere");
    PdCorpus corpus = {.dir = dir};
    const PdModelShape *shape = pd_model_shape(model);
    Made made;
    make(&made, model, "pre", "head", "text");
    PdKvFormat format = pd_kv_format(shape, &made.context.profile, tier);
    gsize n = pd_segment_kv_bytes(shape, &format, 8, 4);
    g_autofree guint8 *record = pd_segment_kv_new(shape, &format, 8, 4);
    g_autoptr(GBytes) good = g_bytes_new_static(record, n);
    g_autoptr(GBytes) cut = g_bytes_new_static(record, n - 1);
    g_autoptr(GBytes) tiny = g_bytes_new_static(record, 3);
    g_autoptr(GBytes) empty = g_bytes_new_static(record, 0);
    GBytes *const short_ones[] = {cut, tiny, empty};
    g_autoptr(GError) error = NULL;

    made.context.corpus = &corpus;
    g_assert_true(pd_segment_kv_check(&made.context, &made.segment, tier, good, &error));
    g_assert_no_error(error);
    for (gsize at = 0; at < 64 + 16 * number_at(record + 40, 4); at++) { /* head and table */
        g_autoptr(GBytes) bad = changed(record, n, at);
        g_autoptr(GError) local = NULL;
        g_assert_false(pd_segment_kv_check(&made.context, &made.segment, tier, bad, &local));
        g_assert_nonnull(local);
        g_assert_nonnull(strstr(local->message, "/nowhere"));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(short_ones); i++)
        g_assert_false(
            pd_segment_kv_check(&made.context, &made.segment, tier, short_ones[i], NULL));
    g_assert_false(pd_segment_kv_check(&made.context, &made.segment,
                                       PD_KV_INDEX + PD_KV_FULL - tier, good, NULL));
    /* the same number of rows, but another border between header and text */
    g_array_set_size(made.segment.header_ids, 3);
    made.row.n_tokens = 5;
    g_assert_false(pd_segment_kv_check(&made.context, &made.segment, tier, good, NULL));
    made_clear(&made);
}

static void
test_check(void)
{
    g_autoptr(PdModel) model = fixture_model();

    check_tier(model, PD_KV_FULL);
    check_tier(model, PD_KV_INDEX);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/segment_kv/full-layout", test_full_layout);
    g_test_add_func("/segment_kv/index-layout", test_index_layout);
    g_test_add_func("/segment_kv/writer", test_writer);
    g_test_add_func("/segment_kv/key", test_key);
    g_test_add_func("/segment_kv/key-of-tier", test_key_of_tier);
    g_test_add_func("/segment_kv/check", test_check);
    return g_test_run();
}
