/* `pandect model tokenize` from outside: the form of its lines, JSON's escapes, refusals. */
#include <gio/gio.h>
#include <string.h>

#define TOKENIZER PD_SOURCE_ROOT "/tests/golden/tokenizer/qwen2.json"

typedef struct {
    char *out, *err;
    int code;
} Result;

static void
result_clear(Result *r)
{
    g_free(r->out);
    g_free(r->err);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Result, result_clear)

static char *
text_of(GBytes *bytes)
{
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    return n == 0 ? g_strdup("") : g_strndup(data, n);
}

/* With the given stdin; `option` may be NULL. */
static Result
tokenize(const char *file, const char *option, const char *input, gsize n)
{
    const char *argv[] = {PD_EXE, "model", "tokenize", "--tokenizer", file, option, NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) process =
        g_subprocess_newv(argv,
                          G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                              G_SUBPROCESS_FLAGS_STDERR_PIPE,
                          &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) in = g_bytes_new(input, n);
    g_autoptr(GBytes) out = NULL;
    g_autoptr(GBytes) err = NULL;
    g_subprocess_communicate(process, in, NULL, &out, &err, &error);
    g_assert_no_error(error);
    g_assert_true(g_subprocess_get_if_exited(process));
    Result r = {.code = g_subprocess_get_exit_status(process)};
    r.out = text_of(out);
    r.err = text_of(err);
    return r;
}

static Result
tokenize_text(const char *option, const char *input)
{
    return tokenize(TOKENIZER, option, input, strlen(input));
}

/* Ids in this vocabulary: a 64, b 65, NUL 188, 0xff 187 (by the byte-level alphabet's order). */
static void
test_raw(void)
{
    g_auto(Result) r = tokenize(TOKENIZER, NULL, "a\0b\xff", 4);
    g_assert_cmpint(r.code, ==, 0);
    g_assert_cmpstr(r.out, ==, "{\"ids\": [64, 188, 65, 187]}\n");
    g_assert_cmpstr(r.err, ==, "");
    g_auto(Result) empty = tokenize(TOKENIZER, NULL, "", 0);
    g_assert_cmpstr(empty.out, ==, "{\"ids\": []}\n");
}

static void
test_escapes(void)
{
    static const struct {
        const char *json; /* a JSON string's inside */
        const char *bytes;
        gsize n;
    } cases[] = {
        {"a\\u0000b", "a\0b", 3},
        {"\\u0000", "\0", 1},
        {"\\\\u0000", "\\u0000", 6},
        {"\\ufdd0\\u0000", "\xef\xb7\x90\0", 4},
        {"\xef\xb7\x90\\u0000", "\xef\xb7\x90\0", 4},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4},
        {"\\uD83D\\uDE00!", "\xf0\x9f\x98\x80!", 5},
        {"\\ud83dx", "\xef\xbf\xbdx", 4},
        {"\\ude00", "\xef\xbf\xbd", 3},
        {"\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7},
        {"\\\"\\/\\b\\f\\n\\r\\t", "\"/\b\f\n\r\t", 7},
        {"\\u00e9\xc3\xa9", "\xc3\xa9\xc3\xa9", 4},
        {"", "", 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *line = g_strdup_printf("{\"text\": \"%s\"}\n", cases[i].json);
        g_auto(Result) lines = tokenize_text("--jsonl", line);
        g_auto(Result) raw = tokenize(TOKENIZER, NULL, cases[i].bytes, cases[i].n);
        g_assert_cmpint(lines.code, ==, 0);
        g_assert_cmpstr(lines.out, ==, raw.out);
    }
}

static void
test_lines(void)
{
    g_auto(Result) r =
        tokenize_text("--jsonl", "{\"text\":\"a\",\"more\":[1]}\r\n\n{\"text\":\"b\"}");
    g_assert_cmpint(r.code, ==, 0);
    g_assert_cmpstr(r.out, ==, "{\"ids\": [64]}\n{\"ids\": [65]}\n");
}

static void
test_refusals(void)
{
    static const char *const bad[] = {"nonsense",           "{\"text\":",   "[\"text\"]",
                                      "{\"txt\":\"\"}",     "{\"text\":3}", "{\"text\":null}",
                                      "{\"text\":\"\xff\"}"};
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *input = g_strdup_printf("{\"text\":\"a\"}\n%s\n", bad[i]);
        g_auto(Result) r = tokenize_text("--jsonl", input);
        g_assert_cmpint(r.code, ==, 1);
        g_assert_cmpstr(r.out, ==, "{\"ids\": [64]}\n");
        g_assert_true(g_str_has_prefix(r.err, "pandect: stdin, line 2: "));
    }
    g_auto(Result) missing = tokenize("/no/such/tokenizer.json", NULL, "", 0);
    g_assert_cmpint(missing.code, ==, 1);
    g_assert_nonnull(strstr(missing.err, "/no/such/tokenizer.json"));
    g_auto(Result) usage = tokenize_text("--wrong", "");
    g_assert_cmpint(usage.code, ==, 2);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model-tokenize/raw", test_raw);
    g_test_add_func("/model-tokenize/escapes", test_escapes);
    g_test_add_func("/model-tokenize/lines", test_lines);
    g_test_add_func("/model-tokenize/refusals", test_refusals);
    return g_test_run();
}
