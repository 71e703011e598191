/* Headings of places: each text names, in the line it marks, what the place belongs to. */
#include <glib.h>
#include <string.h>
#include "prompts/heading.h"

typedef struct {
    const char *name;
    PdTextKind kind;
    const char *text;    /* '@' stands before the place and is taken out */
    const char *heading; /* NULL: none */
} Case;

static const Case cases[] = {
    {"c", PD_TEXT_CODE,
     "int a;\n\nstatic int add (int x, int y) {\n  int z = x;\n@  return z + y;\n}\n",
     "static int add (int x, int y) {"},
    {"middle-of-line", PD_TEXT_CODE, "int f (void) {\n  return 1 + @2;\n}\n", "int f (void) {"},
    {"gnu", PD_TEXT_CODE, "static int\nadd (int x)\n{\n@  return x;\n}\n", "add (int x)"},
    {"parameters-on-lines", PD_TEXT_CODE,
     "void f (int x,\n        int y) {\n  g(x);\n@  g(y);\n}\n", "void f (int x,"},
    {"label", PD_TEXT_CODE, "int f (void) {\n  goto out;\nout:\n@  return 1;\n}\n",
     "int f (void) {"},
    {"preprocessor", PD_TEXT_CODE, "int f (void) {\n#ifdef A\n  a();\n@#endif\n  b();\n}\n",
     "int f (void) {"},
    {"blank-line", PD_TEXT_CODE, "int f (void) {\n  a();\n@\n  b();\n}\n", "int f (void) {"},
    {"windows", PD_TEXT_CODE, "int f (void) {\r\n  a();\r\n@  b();\r\n}\r\n", "int f (void) {"},
    {"closed", PD_TEXT_CODE, "int f (void) {\n}\n\n@  /* between */\nint g (void) {\n}\n", NULL},
    {"between", PD_TEXT_CODE, "int f (void) {\n  a();\n}\n@\nint g (void) {\n}\n", NULL},
    {"is-one", PD_TEXT_CODE, "int f (void) {\n}\n@int g (void) {\n}\n", NULL},
    {"first-line", PD_TEXT_CODE, "@  a();\n", NULL},
    {"comment-of-the-next", PD_TEXT_CODE, "int f (void);\n@/* adds */\nint add (int);\n", NULL},
    {"statement", PD_TEXT_CODE, "int f (void) {\n  a();\nint b;\n@  c();\n}\n", "int f (void) {"},
    {"python", PD_TEXT_CODE, "import os\n\ndef f(x):\n    y = x\n@    return y\n", "def f(x):"},
    {"method", PD_TEXT_CODE,
     "class A:\n    def f(self):\n        pass\n\n    def g(self):\n        a()\n@        b()\n",
     "    def g(self):"},
    {"after-a-method", PD_TEXT_CODE, "class A:\n    def f(self):\n        pass\n\n@    x = 1\n",
     "class A:"},
    {"async", PD_TEXT_CODE, "async def f():\n@    await g()\n", "async def f():"},
    {"rust", PD_TEXT_CODE,
     "impl A {\n    pub async fn f(&self) {\n        a();\n@        b();\n    }\n}\n",
     "    pub async fn f(&self) {"},
    {"lua", PD_TEXT_CODE, "local function f (x)\n  a()\n@  return x\nend\n",
     "local function f (x)"},
    {"lua-closed", PD_TEXT_CODE, "function f (x)\n  a()\nend\n\n@  b()\n", NULL},
    {"markdown", PD_TEXT_MARKUP, "# Tide\n\ntext\n\n## Leap seconds\n\nmore\n@text\n",
     "## Leap seconds"},
    {"no-title", PD_TEXT_MARKUP, "#hashtag\n\n@text\n", NULL},
    {"underlined", PD_TEXT_MARKUP, "Rationale\n=========\n\ntext\n@more\n", "Rationale"},
    {"table", PD_TEXT_MARKUP, "====  ====\na     b\n====  ====\n1     2\n@more\n", NULL},
    {"rule", PD_TEXT_MARKUP, "a line of text that is much longer\n---\n@more\n", NULL},
    {"plain", PD_TEXT_PLAIN, "int f (void) {\n@  a();\n}\n", NULL},
};

static void
test_case(gconstpointer data)
{
    const Case *test = data;
    const char *mark = strchr(test->text, '@');
    gsize at = (gsize)(mark - test->text);
    g_autoptr(GString) text = g_string_new(test->text);
    g_autofree char *found = NULL;
    guint32 start, end;

    g_string_erase(text, (gssize)at, 1);
    if (pd_heading_before(test->kind, text->str, text->len, at, &start, &end))
        found = g_strndup(text->str + start, end - start);
    g_assert_cmpstr(found, ==, test->heading);
}

/* Any bytes: no place is outside, a heading stands before the place. */
static void
test_any_bytes(void)
{
    static const char letters[] = "a_{}#=- \t\r\n:;,\xff";

    for (guint32 seed = 0; seed < 300; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        gsize n = (gsize)g_rand_int_range(rand, 0, 200);
        g_autofree char *text = g_malloc(MAX(n, 1)); /* no NUL: reading on is seen */
        guint32 start, end;

        for (gsize i = 0; i < n; i++) /* the NUL of the literal is one of them */
            text[i] = letters[g_rand_int_range(rand, 0, sizeof letters)];
        for (gsize at = 0; at <= n; at++)
            for (PdTextKind kind = PD_TEXT_PLAIN; kind <= PD_TEXT_TABLE; kind++)
                if (pd_heading_before(kind, text, n, at, &start, &end)) {
                    g_assert_cmpuint(start, <, end);
                    g_assert_cmpuint(end, <=, at);
                    g_assert_true(start == 0 || text[start - 1] == '\n');
                    g_assert_null(memchr(text + start, '\n', end - start));
                }
    }
}

static void
test_kinds(void)
{
    static const struct {
        PdDocumentKind kind;
        const char *key;
        PdTextKind expected;
    } names[] = {{PD_KIND_GIT_FILE, "src/a.c", PD_TEXT_CODE},
                 {PD_KIND_GIT_FILE, "Makefile", PD_TEXT_CODE},
                 {PD_KIND_GIT_FILE, "README.md", PD_TEXT_MARKUP},
                 {PD_KIND_GIT_FILE, "doc/PEP.RST", PD_TEXT_MARKUP},
                 {PD_KIND_GIT_FILE, "(diff)/src/a.c", PD_TEXT_PLAIN},
                 {PD_KIND_GIT_FILE, "data.csv", PD_TEXT_TABLE},
                 {PD_KIND_TEXT, "a.py", PD_TEXT_CODE},
                 {PD_KIND_TEXT, "notes.txt", PD_TEXT_MARKUP},
                 {PD_KIND_TEXT, "notes", PD_TEXT_PLAIN},
                 {PD_KIND_MARKDOWN, "a.md", PD_TEXT_MARKUP},
                 {PD_KIND_MAIL, "a.c", PD_TEXT_PLAIN},
                 {PD_KIND_PDF, "a.pdf", PD_TEXT_PLAIN}};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        PdDocumentRow document = {.kind = names[i].kind, .key = (char *)names[i].key};
        g_assert_cmpint(pd_text_kind(&document), ==, names[i].expected);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/heading/", cases[i].name, NULL);
        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/heading/any-bytes", test_any_bytes);
    g_test_add_func("/heading/kinds", test_kinds);
    return g_test_run();
}
