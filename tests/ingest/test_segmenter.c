/* The segmenter: tiling, limits, natural borders, and cuts that stay where they were. */
#include <string.h>
#include "corpus_fixture.h"
#include "ingest/segmenter.h"

static GPtrArray *
segment(const char *text, gsize n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    GPtrArray *cuts = pd_segment_text(tokenizer, text, n, NULL, &error);
    g_assert_no_error(error);
    return cuts;
}

/* Its tokens are those that it has alone: equal segments of two texts have equal tokens. */
static void
check_alone(PdTokenizer *tokenizer, const char *text, const PdSegmentCut *cut)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    pd_tokenizer_encode(tokenizer, text + cut->start, cut->end - cut->start, ids, offsets);
    for (guint i = 0; i < offsets->len; i++)
        g_array_index(offsets, guint32, i) += cut->start;
    g_assert_cmpmem(cut->ids->data, cut->ids->len * sizeof(guint32), ids->data,
                    ids->len * sizeof(guint32));
    g_assert_cmpmem(cut->offsets->data, cut->offsets->len * sizeof(guint32), offsets->data,
                    offsets->len * sizeof(guint32));
}

/* Segments tile the text, keep the limits, and their tokens give back the bytes. */
static void
check(const char *text, gsize n, GPtrArray *cuts)
{
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    guint32 at = 0;
    for (guint i = 0; i < cuts->len; i++) {
        const PdSegmentCut *cut = g_ptr_array_index(cuts, i);
        g_assert_cmpuint(cut->start, ==, at);
        g_assert_cmpuint(cut->ids->len, <=, PD_SEGMENT_TOKENS_MAX);
        check_alone(tokenizer, text, cut);
        g_autoptr(GString) bytes = g_string_new(NULL);
        for (guint t = 0; t < cut->ids->len; t++) {
            g_assert_cmpuint(g_array_index(cut->offsets, guint32, t), ==, cut->start + bytes->len);
            pd_tokenizer_decode(tokenizer, g_array_index(cut->ids, guint32, t), TRUE, bytes);
        }
        g_assert_cmpmem(bytes->str, bytes->len, text + cut->start, cut->end - cut->start);
        at = cut->end;
    }
    g_assert_cmpuint(at, ==, n);
}

static void
test_small(void)
{
    g_autoptr(GPtrArray) none = segment("", 0);
    g_assert_cmpuint(none->len, ==, 0);
    g_autoptr(GPtrArray) one = segment("x", 1);
    g_assert_cmpuint(one->len, ==, 1);
    check("x", 1, one);
    g_autoptr(GPtrArray) nul = segment("a\0b", 3);
    check("a\0b", 3, nul);
}

static void
test_natural(void)
{
    g_autofree char *text = fake_text(100000, 1);
    gsize n = strlen(text);
    g_autoptr(GPtrArray) cuts = segment(text, n);
    g_assert_cmpuint(cuts->len, >, 10);
    check(text, n, cuts);
    /* Paragraphs are at most a few hundred tokens apart here: every cut finds one. */
    for (guint i = 0; i + 1 < cuts->len; i++) {
        const PdSegmentCut *cut = g_ptr_array_index(cuts, i);
        g_assert_cmpint(text[cut->end - 1], ==, '\n');
        gsize line = cut->end - 1;
        while (text[line - 1] == ' ')
            line--;
        g_assert_cmpint(text[line - 1], ==, '\n');
        g_assert_cmpuint(cut->ids->len, >=, PD_SEGMENT_TOKENS_MIN);
    }
}

static void
test_no_borders(void)
{
    gsize n = 50000;
    g_autofree char *line = g_malloc(n + 1);
    memset(line, '7', n);
    g_autoptr(GPtrArray) cuts = segment(line, n);
    check(line, n, cuts);
    g_assert_cmpuint(cuts->len, <, 2 * n / PD_SEGMENT_TOKENS_MAX);
    /* Characters of three bytes, each a token a byte. */
    for (gsize i = 0; i + 3 <= n; i += 3)
        memcpy(line + i, "\xe6\x97\xa5", 3);
    gsize n_whole = n / 3 * 3;
    g_autoptr(GPtrArray) wide = segment(line, n_whole);
    check(line, n_whole, wide);
    for (guint i = 0; i < wide->len; i++)
        g_assert_cmpuint(((PdSegmentCut *)g_ptr_array_index(wide, i))->end % 3, ==, 0);
    /* Bytes that are no UTF-8 at all: no border anywhere, and still an end. */
    memset(line, 0x80, n);
    g_autoptr(GPtrArray) broken = segment(line, n);
    check(line, n, broken);
}

static void
test_insertion(void)
{
    g_autofree char *text = fake_text(400000, 2);
    gsize n = strlen(text);
    g_autofree char *prefix = fake_text(5000, 3);
    g_autofree char *added = g_strconcat(prefix, text, NULL);
    gsize shift = strlen(added) - n;
    g_autoptr(GPtrArray) before = segment(text, n);
    g_autoptr(GPtrArray) after = segment(added, n + shift);
    g_autoptr(GHashTable) ends = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < before->len; i++)
        g_hash_table_add(ends,
                         GUINT_TO_POINTER(((PdSegmentCut *)g_ptr_array_index(before, i))->end));
    guint n_kept = 0;
    for (guint i = 0; i < after->len; i++)
        n_kept += g_hash_table_contains(
            ends, GUINT_TO_POINTER(((PdSegmentCut *)g_ptr_array_index(after, i))->end - shift));
    g_test_message("%u of %u cuts kept", n_kept, after->len);
    /* The cuts meet again after a few segments; fixed strides would keep none but the last. */
    g_assert_cmpuint(n_kept, >=, after->len * 8 / 10);
}

/* Text with many places where a cut changes what stands before it, by several pre-tokenizers. */
static void
test_alone(void)
{
    static const char *const names[] = {"qwen2", "llama-bpe", "smollm", "deepseek-v3", "gemma"};
    static const char *const words[] = {
        "word ",        "  ",  "\n",        "\n\n",         "    if (x)\n", "'s ",
        "1234567 ",     "...", "\r\n",      "caf\xc3\xa9 ", "\xe6\x97\xa5", "\xe3\x80\x80",
        "<|im_start|>", "\t",  "# Title\n", "\xff"};
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path =
            g_strdup_printf(PD_SOURCE_ROOT "/tests/golden/tokenizer/%s.json", names[k]);
        g_autoptr(PdTokenizer) tokenizer = pd_tokenizer_new_from_json(path, &error);
        g_autoptr(GString) text = g_string_new(NULL);
        g_assert_no_error(error);
        while (text->len < 150000)
            g_string_append(text, words[g_rand_int_range(rand, 0, G_N_ELEMENTS(words))]);
        g_autoptr(GPtrArray) cuts = pd_segment_text(tokenizer, text->str, text->len, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(cuts->len, >, 10);
        for (guint i = 0; i < cuts->len; i++)
            check_alone(tokenizer, text->str, g_ptr_array_index(cuts, i));
    }
}

static int
border_at(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    g_assert_nonnull(at);
    return pd_segment_border(text, strlen(text), (gsize)(at - text));
}

static void
test_strength(void)
{
    const char *prose = "Intro one. Intro two\nline.\nNext line\n\n# Title\n\nBody text.\n";
    g_assert_cmpint(border_at(prose, "# Title"), >, border_at(prose, "Body text"));
    g_assert_cmpint(border_at(prose, "Body text"), >, border_at(prose, "Next line"));
    g_assert_cmpint(border_at(prose, "Next line"), >, border_at(prose, "Intro two"));
    g_assert_cmpint(border_at(prose, "Intro two"), >, border_at(prose, "two"));
    g_assert_cmpint(border_at(prose, "two"), >, border_at(prose, "ntro two"));
    const char *code = "int f(void)\n{\n    a();\n\n    b();\n}\n\nint g(void)\n{\n    c();\n}\n";
    g_assert_cmpint(border_at(code, "int g"), >, border_at(code, "    b()"));
    g_assert_cmpint(border_at(code, "    b()"), >, border_at(code, "{\n    c()"));
    g_assert_cmpint(border_at(code, "    b()"), >, border_at(code, "}\n\nint g"));
    const char *crlf = "one\r\ntwo\r\n";
    g_assert_cmpint(border_at(crlf, "\ntwo"), ==, 0);
    g_assert_cmpint(border_at(crlf, "two"), >, 0);
    g_assert_cmpint(pd_segment_border("caf\xc3\xa9", 5, 4), ==, 0);
}

static void
test_cancelled(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = test_tokenizer();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_cancellable_cancel(cancellable);
    g_assert_null(pd_segment_text(tokenizer, "abc", 3, cancellable, &error));
    g_assert_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/segmenter/small", test_small);
    g_test_add_func("/segmenter/natural", test_natural);
    g_test_add_func("/segmenter/no-borders", test_no_borders);
    g_test_add_func("/segmenter/insertion", test_insertion);
    g_test_add_func("/segmenter/alone", test_alone);
    g_test_add_func("/segmenter/strength", test_strength);
    g_test_add_func("/segmenter/cancelled", test_cancelled);
    return g_test_run();
}
