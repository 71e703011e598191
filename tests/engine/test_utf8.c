/* Checking UTF-8 eight bytes at a time: the same verdict as GLib's check, wherever a fault lies. */
#include "engine/utf8.h"

/* Every boundary of UTF-8 (RFC 3629 section 4), and what is beside it. */
static const char *const snippets[] = {
    "a",
    "plain words of one length and another, ",
    "\n",
    "\x7f",
    "\xc3\xa9",
    "\xe2\x82\xac",
    "\xf0\x9f\x98\x80",
    "\xed\x9f\xbf",
    "\xf4\x8f\xbf\xbf",
    "\x80",
    "\xc0\xaf",
    "\xc3",
    "\xe2\x82",
    "\xed\xa0\x80",
    "\xf0\x9f\x98",
    "\xf4\x90\x80\x80",
    "\xff",
};

static void
check(const char *text, gsize n)
{
    const char *end;
    gsize ascii = 0;
    g_utf8_validate_len(text, n, &end);
    g_assert_cmpuint(pd_utf8_valid_bytes(text, n), ==, (gsize)(end - text));
    while (ascii < n && text[ascii] > 0)
        ascii++;
    g_assert_cmpuint(pd_utf8_ascii_bytes(text, n), ==, ascii);
}

static void
test_one_fault(void)
{
    /* Of its own length, so that a sanitizer sees a byte read too many. */
    for (gsize n = 0; n < 80; n++) {
        g_autofree char *text = g_malloc(n);
        memset(text, 'x', n);
        check(text, n);
        for (gsize at = 0; at < n; at++) {
            for (int byte = 0; byte < 256; byte++) {
                text[at] = (char)byte;
                check(text, n);
            }
            text[at] = 'x';
        }
    }
}

static void
test_mixed(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    for (int k = 0; k < 20000; k++) {
        g_autoptr(GString) text = g_string_new(NULL);
        int n = g_rand_int_range(rand, 0, 12);
        /* Mostly valid: faults are what ends it. */
        int n_kinds = k % 2 ? (int)G_N_ELEMENTS(snippets) : 9;
        for (int i = 0; i < n; i++)
            g_string_append(text, snippets[g_rand_int_range(rand, 0, n_kinds)]);
        check(text->str, text->len);
    }
}

/* Long runs beyond ASCII: cut in a character, ended by a fault or by other text, anywhere. */
static void
test_wide(void)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const char faults[] = {'\xff', '\x80', '\xe2', 'x', '\0'};
    for (gsize c = 0; c < G_N_ELEMENTS(characters); c++) {
        g_autoptr(GString) text = g_string_new(NULL);
        while (text->len < 3 * PD_UTF8_WIDE_BYTES)
            g_string_append(text, characters[c]);
        for (gsize n = 0; n <= text->len; n++)
            check(text->str, n);
        for (gsize at = 0; at < text->len; at++) {
            char former = text->str[at];
            for (gsize f = 0; f < G_N_ELEMENTS(faults); f++) {
                text->str[at] = faults[f];
                check(text->str, text->len);
            }
            text->str[at] = former;
        }
    }
}

static void
test_nuls(void)
{
    const char text[] = "before\0\xc3\xa9 after";
    g_assert_cmpuint(pd_utf8_valid_bytes(text, sizeof text - 1), ==, 6);
    g_assert_true(pd_utf8_is_valid(text, sizeof text - 1));
    g_assert_true(pd_utf8_is_valid(text, sizeof text));
    g_assert_true(pd_utf8_is_valid("", 0));
    g_assert_true(pd_utf8_is_valid("\0\0", 2));
    g_assert_false(pd_utf8_is_valid("a\0\xc3", 3));
    g_assert_false(pd_utf8_is_valid("a\0\xff\0", 4));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/utf8/one-fault", test_one_fault);
    g_test_add_func("/utf8/mixed", test_mixed);
    g_test_add_func("/utf8/wide", test_wide);
    g_test_add_func("/utf8/nuls", test_nuls);
    return g_test_run();
}
