/*
 * pandect model tokenize: text in, token ids out; for checking a tokenizer from outside.
 *
 * Lines of JSON are parsed by json-glib, whose strings end at NUL and which cannot take half a
 * surrogate pair.  Both are legal in JSON escapes, so each line is first rewritten: \u0000 to a
 * noncharacter that the line does not hold, turned back after parsing, and half pairs to U+FFFD.
 */
#include "app/cmd_model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/load_tokenizer.h"
#include "engine/error.h"
#include "engine/json_bounded.h"

#define FIRST_STAND_IN 0xfdd0 /* U+FDD0 to U+FDEF are noncharacters */
#define N_STAND_INS 32

static const char summary[] =
    "Write the token ids of text: without BOS, and with text that looks like a special token read\n"
    "as ordinary text.  Reads stdin: raw bytes, written as one line {\"ids\": [...]}, or with\n"
    "--jsonl lines {\"text\": \"...\"}, each answered by such a line.";

static const char examples[] =
    "Examples:\n"
    "  echo -n 'Hello' | pandect model tokenize\n"
    "  pandect model tokenize --model smollm2-135m --jsonl < texts.jsonl\n"
    "  pandect model tokenize --tokenizer tokenizer.json --jsonl < texts.jsonl\n";

static gboolean
write_ids(const PdTokenizer *tok, const char *bytes, gsize n, GError **error)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint32));
    if (n >= G_MAXUINT32) {
        g_set_error_literal(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE,
                            "stdin: a text must be smaller than 4 GiB; give it in parts");
        return FALSE;
    }
    pd_tokenizer_encode(tok, bytes, n, ids, NULL);
    fputs("{\"ids\": [", stdout);
    for (guint i = 0; i < ids->len; i++)
        printf(i == 0 ? "%u" : ", %u", g_array_index(ids, guint32, i));
    fputs("]}\n", stdout);
    return TRUE;
}

static gboolean
write_raw(const PdTokenizer *tok, GError **error)
{
    g_autoptr(GByteArray) input = g_byte_array_new();
    guint8 block[65536];
    gsize n;
    while ((n = fread(block, 1, sizeof block, stdin)) > 0 && input->len < G_MAXINT32)
        g_byte_array_append(input, block, n);
    if (ferror(stdin) || n > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "stdin: %s",
                    n > 0 ? "more than 2 GiB; give the text in parts" : g_strerror(errno));
        return FALSE;
    }
    return write_ids(tok, (const char *)input->data, input->len, error);
}

/* The code unit of the escape "\uXXXX" at p, or -1 if there is none. */
static int
escaped_unit(const char *p, const char *end)
{
    int unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        if (!g_ascii_isxdigit(p[i]))
            return -1;
        unit = unit * 16 + g_ascii_xdigit_value(p[i]);
    }
    return unit;
}

/* The first noncharacter that the line holds neither plainly nor as an escape; 0 if none. */
static gunichar
find_stand_in(const char *line, gsize n)
{
    gboolean taken[N_STAND_INS] = {FALSE};
    for (gsize i = 0; i + 2 < n; i++) {
        const guint8 *p = (const guint8 *)line + i;
        int c = p[0] == 0xef && p[1] == 0xb7 ? 0xf000 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f)
                                             : escaped_unit(line + i, line + n);
        if (c >= FIRST_STAND_IN && c < FIRST_STAND_IN + N_STAND_INS)
            taken[c - FIRST_STAND_IN] = TRUE;
    }
    for (int i = 0; i < N_STAND_INS; i++)
        if (!taken[i])
            return FIRST_STAND_IN + i;
    return 0;
}

static GString *
rewrite_escapes(const char *line, gsize n, gunichar stand_in)
{
    GString *out = g_string_sized_new(n);
    const char *end = line + n;
    for (const char *p = line; p < end;) {
        int unit = escaped_unit(p, end);
        if (unit < 0) {
            /* A backslash goes with the character after it, which may be one itself. */
            gsize len = *p == '\\' && p + 1 < end ? 2 : 1;
            g_string_append_len(out, p, len);
            p += len;
            continue;
        }
        int next = escaped_unit(p + 6, end);
        gboolean pair = unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000;
        if (unit == 0)
            g_string_append_printf(out, "\\u%04x", stand_in);
        else if (unit >= 0xd800 && unit < 0xe000 && !pair)
            g_string_append(out, "\\ufffd");
        else
            g_string_append_len(out, p, pair ? 12 : 6);
        p += pair ? 12 : 6;
    }
    return out;
}

/* The member "text" of one line, NULs restored. */
static GString *
line_text(const char *line, gsize n, guint64 number, GError **error)
{
    g_autofree char *place = g_strdup_printf("stdin, line %" G_GUINT64_FORMAT, number);
    gunichar stand_in = find_stand_in(line, n);
    g_autoptr(GString) rewritten = rewrite_escapes(line, n, stand_in);
    g_autoptr(JsonParser) parser =
        pd_json_parse_object(rewritten->str, rewritten->len, place, error);
    if (parser == NULL)
        return NULL;
    JsonObject *root = pd_json_object(parser);
    JsonNode *node = json_object_get_member(root, "text");
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_STRING) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: no string \"text\" in it",
                    place);
        return NULL;
    }
    const char *text = json_node_get_string(node);
    if (stand_in == 0)
        return g_string_new(text);
    char mark[6] = "";
    int mark_len = g_unichar_to_utf8(stand_in, mark);
    GString *out = g_string_new(NULL);
    for (const char *found; (found = strstr(text, mark)) != NULL; text = found + mark_len) {
        g_string_append_len(out, text, found - text);
        g_string_append_c(out, '\0');
    }
    return g_string_append(out, text);
}

static gboolean
write_lines(PdApp *app, const PdTokenizer *tok, GError **error)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    gboolean ok = TRUE;
    for (guint64 number = 1; ok && (n = getline(&line, &capacity, stdin)) >= 0; number++) {
        while (n > 0 && g_ascii_isspace(line[n - 1]))
            n--;
        if (n == 0)
            continue;
        g_autoptr(GString) text = line_text(line, n, number, error);
        ok = text != NULL && write_ids(tok, text->str, text->len, error) && !ferror(stdout) &&
             !g_cancellable_set_error_if_cancelled(app->cancellable, error);
    }
    free(line);
    if (ok && ferror(stdin)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "stdin: %s", g_strerror(errno));
        return FALSE;
    }
    return ok;
}

int
pd_cmd_model_tokenize(PdApp *app, int argc, char **argv)
{
    g_autofree char *model = NULL;
    g_autofree char *file = NULL;
    gboolean jsonl = FALSE;
    const GOptionEntry options[] = {
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &model, "Model name, GGUF file or folder",
         "NAME|FILE|DIR"},
        {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &file, "A tokenizer.json instead of a model",
         "FILE"},
        {"jsonl", 0, 0, G_OPTION_ARG_NONE, &jsonl, "Read lines {\"text\": \"...\"}", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(PdTokenizer) tok = NULL;
    g_autoptr(GError) error = NULL;
    int code;

    if (!pd_parse_options(options, "< TEXT", summary, examples, &argc, &argv, &code))
        return code;
    if (argc > 1)
        return pd_usage("model tokenize", "text is read from stdin, '%s' is not used", argv[1]);
    tok =
        file != NULL ? pd_tokenizer_new_from_json(file, &error) : pd_load_tokenizer(model, &error);
    if (tok == NULL)
        return pd_fail(error);
    if (jsonl ? write_lines(app, tok, &error) : write_raw(tok, &error))
        return PD_EXIT_OK;
    /* Without an error stdout was cut off, of which main() speaks. */
    return error != NULL ? pd_fail(error) : PD_EXIT_FAILED;
}
