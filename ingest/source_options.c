/* See source_options.h. */
#include "ingest/source_options.h"

#include <string.h>

typedef enum {
    OPTION_REV,
    OPTION_WORK_TREE,
    OPTION_DIFF,
    OPTION_DIFF_ONLY,
    OPTION_HISTORY,
    OPTION_BLAME,
    OPTION_INCLUDE,
    OPTION_EXCLUDE,
    OPTION_OCR,
    OPTION_OCR_LANGUAGE,
    N_OPTIONS
} Option;

/* Names as on the command line.  Options of one group exclude each other. */
static const struct {
    const char *name;
    Option group;
} table[N_OPTIONS] = {
    [OPTION_REV] = {"rev", OPTION_REV},
    [OPTION_WORK_TREE] = {"work-tree", OPTION_REV},
    [OPTION_DIFF] = {"diff", OPTION_REV},
    [OPTION_DIFF_ONLY] = {"diff-only", OPTION_REV},
    [OPTION_HISTORY] = {"history", OPTION_HISTORY},
    [OPTION_BLAME] = {"blame", OPTION_BLAME},
    [OPTION_INCLUDE] = {"include", OPTION_INCLUDE},
    [OPTION_EXCLUDE] = {"exclude", OPTION_EXCLUDE},
    [OPTION_OCR] = {"ocr", OPTION_OCR},
    [OPTION_OCR_LANGUAGE] = {"ocr-language", OPTION_OCR_LANGUAGE},
};

static const char *const ocr_names[PD_N_OCR_MODES] = {"", "auto", "off", "force"};

static void
put(GString *out, Option option, const char *value)
{
    g_autofree char *escaped = value ? g_strescape(value, NULL) : NULL;
    g_string_append_printf(out, "%s%s%s\n", table[option].name, value ? "=" : "",
                           value ? escaped : "");
}

static void
put_all(GString *out, Option option, const char *const *values)
{
    for (; values && *values; values++)
        put(out, option, *values);
}

char *
pd_source_options_of(const PdReadRequest *request)
{
    GString *out = g_string_new(NULL);
    if (request->git_revision)
        put(out, OPTION_REV, request->git_revision);
    if (request->work_tree)
        put(out, OPTION_WORK_TREE, NULL);
    if (request->git_diff)
        put(out, OPTION_DIFF, request->git_diff);
    if (request->git_diff_only)
        put(out, OPTION_DIFF_ONLY, NULL);
    if (request->git_history)
        put(out, OPTION_HISTORY, NULL);
    if (request->git_blame)
        put(out, OPTION_BLAME, NULL);
    put_all(out, OPTION_INCLUDE, request->include);
    put_all(out, OPTION_EXCLUDE, request->exclude);
    if (request->ocr)
        put(out, OPTION_OCR, ocr_names[request->ocr]);
    if (request->ocr_languages)
        put(out, OPTION_OCR_LANGUAGE, request->ocr_languages);
    return g_string_free(out, FALSE);
}

/* The option of a line, N_OPTIONS if there is none; its value (g_free), NULL: none. */
static Option
read_line(const char *line, char **value)
{
    gsize n = strcspn(line, "=");
    *value = NULL;
    for (Option option = 0; option < N_OPTIONS; option++) {
        if (strlen(table[option].name) != n || strncmp(table[option].name, line, n) != 0)
            continue;
        if (line[n])
            *value = g_strcompress(line + n + 1);
        return option;
    }
    return N_OPTIONS;
}

char *
pd_source_options_merge(const char *before, const char *given)
{
    g_auto(GStrv) given_lines = g_strsplit(given, "\n", -1);
    g_auto(GStrv) lines_before = g_strsplit(before, "\n", -1);
    gboolean is_given[N_OPTIONS] = {FALSE};
    GString *out = g_string_new(NULL);
    for (char **line = given_lines; *line; line++) {
        g_autofree char *value = NULL;
        Option option = read_line(*line, &value);
        if (option < N_OPTIONS)
            is_given[table[option].group] = TRUE;
    }
    for (Option option = 0; option < N_OPTIONS; option++) {
        char **line = is_given[table[option].group] ? given_lines : lines_before;
        for (; *line; line++) {
            g_autofree char *value = NULL;
            if (read_line(*line, &value) == option)
                put(out, option, value);
        }
    }
    return g_string_free(out, FALSE);
}

static void
set_option(Option option, const char *value, PdReadRequest *request)
{
    switch (option) {
    case OPTION_REV:
        request->git_revision = value;
        break;
    case OPTION_WORK_TREE:
        request->work_tree = TRUE;
        break;
    case OPTION_DIFF:
        request->git_diff = value;
        break;
    case OPTION_DIFF_ONLY:
        request->git_diff_only = TRUE;
        break;
    case OPTION_HISTORY:
        request->git_history = TRUE;
        break;
    case OPTION_BLAME:
        request->git_blame = TRUE;
        break;
    case OPTION_OCR:
        for (guint mode = 0; mode < PD_N_OCR_MODES; mode++) {
            if (g_strcmp0(ocr_names[mode], value) == 0)
                request->ocr = (PdOcrMode)mode;
        }
        break;
    case OPTION_OCR_LANGUAGE:
        request->ocr_languages = value;
        break;
    case OPTION_INCLUDE:
    case OPTION_EXCLUDE:
    case N_OPTIONS:
        break;
    }
}

/* NULL-terminated, in `owner`; NULL: there are none. */
static const char *const *
take_list(GPtrArray *values, GPtrArray *owner)
{
    if (!values->len)
        return NULL;
    g_ptr_array_add(values, NULL);
    gsize n = values->len * sizeof(char *);
    char **list = g_memdup2(values->pdata, n);
    g_ptr_array_add(owner, list);
    return (const char *const *)list;
}

void
pd_source_options_apply(const char *options, PdReadRequest *request, GPtrArray *owner)
{
    g_auto(GStrv) lines = g_strsplit(options, "\n", -1);
    g_autoptr(GPtrArray) include = g_ptr_array_new();
    g_autoptr(GPtrArray) exclude = g_ptr_array_new();
    for (char **line = lines; *line; line++) {
        char *value = NULL;
        Option option = read_line(*line, &value);
        if (value)
            g_ptr_array_add(owner, value);
        if (value && option == OPTION_INCLUDE)
            g_ptr_array_add(include, value);
        else if (value && option == OPTION_EXCLUDE)
            g_ptr_array_add(exclude, value);
        else
            set_option(option, value, request);
    }
    request->include = take_list(include, owner);
    request->exclude = take_list(exclude, owner);
}

/* As a shell takes it for one word. */
static char *
quote(const char *value)
{
    gboolean plain = *value != '\0';
    for (const char *c = value; plain && *c; c++)
        plain = g_ascii_isalnum(*c) || strchr("+,-./:=@_^~", *c);
    return plain ? g_strdup(value) : g_shell_quote(value);
}

char *
pd_source_options_show(const char *options)
{
    g_auto(GStrv) lines = g_strsplit(options, "\n", -1);
    GString *out = g_string_new(NULL);
    for (char **line = lines; *line; line++) {
        g_autofree char *value = NULL;
        Option option = read_line(*line, &value);
        if (option == N_OPTIONS)
            continue;
        g_autofree char *quoted = value ? quote(value) : NULL;
        g_string_append_printf(out, "%s--%s%s%s", out->len ? " " : "", table[option].name,
                               value ? " " : "", value ? quoted : "");
    }
    if (!out->len)
        g_string_append(out, "no options");
    return g_string_free(out, FALSE);
}
