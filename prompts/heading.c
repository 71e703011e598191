/* See heading.h. */
#include "prompts/heading.h"

#include <string.h>

typedef struct {
    const char *text;
    gsize n; /* bytes, without the line's end */
} Line;

static gboolean
has_suffix(const char *name, const char *const *suffixes)
{
    g_autofree char *lower = g_ascii_strdown(name, -1);

    for (; *suffixes; suffixes++)
        if (g_str_has_suffix(lower, *suffixes))
            return TRUE;
    return FALSE;
}

PdTextKind
pd_text_kind(const PdDocumentRow *document)
{
    static const char *const markup[] = {".md", ".markdown", ".rst", ".adoc", ".txt", NULL};
    static const char *const tables[] = {".csv", ".tsv",  ".json", ".jsonl", ".xml",
                                         ".svg", ".html", ".log",  ".lock",  NULL};
    const char *name = document->key && *document->key ? document->key : document->source;

    if (document->kind == PD_KIND_MARKDOWN)
        return PD_TEXT_MARKUP;
    if ((document->kind != PD_KIND_GIT_FILE && document->kind != PD_KIND_TEXT) || !name ||
        name[0] == '(')
        return PD_TEXT_PLAIN;
    if (has_suffix(name, tables))
        return PD_TEXT_TABLE;
    if (has_suffix(name, markup))
        return PD_TEXT_MARKUP;
    return document->kind == PD_KIND_GIT_FILE || strchr(name, '.') ? PD_TEXT_CODE : PD_TEXT_PLAIN;
}

gboolean
pd_text_in_lines(const PdDocumentRow *document)
{
    PdTextKind kind = pd_text_kind(document);

    return kind == PD_TEXT_CODE || kind == PD_TEXT_TABLE;
}

/* The line in which byte `at` stands. */
static Line
line_at(const char *text, gsize n_bytes, gsize at, gsize *start)
{
    const char *lf;
    gsize first = at;

    while (first > 0 && text[first - 1] != '\n')
        first--;
    lf = memchr(text + at, '\n', n_bytes - at);
    *start = first;
    return (Line){text + first, (lf ? (gsize)(lf - text) : n_bytes) - first};
}

static Line
trimmed(Line line)
{
    while (line.n > 0 && g_ascii_isspace(line.text[line.n - 1]))
        line.n--;
    return line;
}

static gsize
indentation(Line line)
{
    gsize n = 0;

    while (n < line.n && (line.text[n] == ' ' || line.text[n] == '\t'))
        n++;
    return n;
}

static gboolean
starts_with_word(Line line, gsize at, const char *word)
{
    gsize n = strlen(word);

    return line.n - at > n && memcmp(line.text + at, word, n) == 0 &&
           g_ascii_isspace(line.text[at + n]);
}

/* --- code --- */

/* "def f():", "pub async fn f() {": past words that only qualify, a word that defines. */
static gboolean
defines(Line line, gsize at)
{
    static const char *const qualifiers[] = {"pub",     "async",     "export", "public",
                                             "private", "protected", "static", "local",
                                             "default", "abstract",  "final",  NULL};
    static const char *const keywords[] = {"def",    "class",     "fn",     "func", "function",
                                           "impl",   "interface", "module", "sub",  "trait",
                                           "struct", "enum",      NULL};

    for (const char *const *q = qualifiers; *q; q++) {
        if (!starts_with_word(line, at, *q))
            continue;
        at += strlen(*q);
        while (at < line.n && g_ascii_isspace(line.text[at]))
            at++;
        q = qualifiers - 1;
    }
    for (const char *const *k = keywords; *k; k++)
        if (starts_with_word(line, at, *k))
            return TRUE;
    return FALSE;
}

/* A line that opens a body, as far as one line can tell. */
static gboolean
opens_definition(Line line, gsize indent_of_place)
{
    gsize indent = indentation(line);
    char last;

    line = trimmed(line);
    if (line.n == 0 || line.n > PD_HEADING_BYTES_MAX)
        return FALSE;
    last = line.text[line.n - 1];
    if (indent > 0)
        return indent < indent_of_place && last != ';' && defines(line, indent);
    if (!g_ascii_isalpha(line.text[0]) && line.text[0] != '_' && line.text[0] != '$')
        return FALSE;
    if (last == ';')
        return FALSE;
    return last != ':' || defines(line, 0); /* "error:" */
}

/* In the first column: what stood above it is over. */
static gboolean
closes_definition(Line line)
{
    line = trimmed(line);
    return line.n > 0 && (line.text[0] == '}' || (line.n == 3 && memcmp(line.text, "end", 3) == 0));
}

/* Does the line stand inside of whatever was opened above it?  In the first column only a brace on
 * its own line and the preprocessor do. */
static gboolean
is_inside(Line line)
{
    static const char *const words[] = {"{", "#if", "#el", "#endif", NULL};

    if (indentation(line) > 0)
        return TRUE;
    for (const char *const *w = words; *w; w++)
        if (line.n >= strlen(*w) && memcmp(line.text, *w, strlen(*w)) == 0)
            return TRUE;
    return FALSE;
}

/* --- markup --- */

static gboolean
is_underline(Line line)
{
    line = trimmed(line);
    if (line.n < 3 || !strchr("=-~^\"*+#`'", line.text[0]))
        return FALSE;
    for (gsize i = 1; i < line.n; i++)
        if (line.text[i] != line.text[0])
            return FALSE;
    return TRUE;
}

/* `below`: the line under this one. */
static gboolean
is_title(Line line, Line below)
{
    gsize level = 0;

    line = trimmed(line);
    if (line.n == 0 || line.n > PD_HEADING_BYTES_MAX || g_ascii_isspace(line.text[0]))
        return FALSE;
    while (level < line.n && line.text[level] == '#')
        level++;
    if (level > 0 && level <= 6 && level < line.n && line.text[level] == ' ')
        return TRUE;
    return is_underline(below) && !is_underline(line) && trimmed(below).n + 2 >= line.n;
}

/* --- */

/* This line, which starts at `from`, or the first below it that is not blank. */
static Line
first_written(const char *text, gsize n_bytes, Line line, gsize from)
{
    while (trimmed(line).n == 0 && from + line.n + 1 < n_bytes)
        line = line_at(text, n_bytes, from + line.n + 1, &from);
    return line;
}

gboolean
pd_heading_before(PdTextKind kind, const char *text, gsize n_bytes, gsize at, guint32 *start,
                  guint32 *end)
{
    gsize from, indent;
    Line line, below, first;

    if ((kind != PD_TEXT_CODE && kind != PD_TEXT_MARKUP) || at >= n_bytes)
        return FALSE;
    line = line_at(text, n_bytes, at, &from);
    first = first_written(text, n_bytes, line, from);
    indent = MAX(indentation(first), 1); /* an unindented line may hold an unindented one */
    if (kind == PD_TEXT_CODE && !is_inside(first))
        return FALSE;
    for (guint i = 0; i < PD_HEADING_LINES_MAX && from > 0; i++) {
        gboolean is_heading;

        below = line;
        line = line_at(text, n_bytes, from - 1, &from);
        if (kind == PD_TEXT_CODE && closes_definition(line))
            return FALSE;
        is_heading = kind == PD_TEXT_CODE ? opens_definition(line, indent) : is_title(line, below);
        if (is_heading) {
            *start = (guint32)from;
            *end = (guint32)(from + trimmed(line).n);
            return TRUE;
        }
    }
    return FALSE;
}
