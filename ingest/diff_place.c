/* See diff_place.h. */
#include "ingest/diff_place.h"

#include <string.h>

/* What is left of the hunk, and the next line on either side. */
typedef struct {
    guint64 old_line, old_left;
    guint64 new_line, new_left;
} Hunk;

/* "-3,7 " or "-3 ": behind it, or NULL. */
static const char *
read_side(const char *at, char sign, guint64 *line, guint64 *count)
{
    char *end;
    if (*at != sign || !g_ascii_isdigit(at[1]))
        return NULL;
    *line = g_ascii_strtoull(at + 1, &end, 10);
    *count = 1;
    if (*end == ',' && g_ascii_isdigit(end[1]))
        *count = g_ascii_strtoull(end + 1, &end, 10);
    return *end == ' ' ? end + 1 : NULL;
}

static void
read_head(const char *line, Hunk *hunk)
{
    Hunk read;
    if (!g_str_has_prefix(line, "@@ "))
        return;
    const char *at = read_side(line + 3, '-', &read.old_line, &read.old_left);
    at = at ? read_side(at, '+', &read.new_line, &read.new_left) : NULL;
    if (at && g_str_has_prefix(at, "@@"))
        *hunk = read;
}

static void
stretch(guint64 *first, guint64 *last, guint64 line)
{
    *first = *first ? *first : line;
    *last = line;
}

PdDiffLines
pd_diff_lines(const char *text, gsize n, gsize start, gsize end)
{
    PdDiffLines lines = {0};
    Hunk hunk = {0};
    const char *line = text;
    gsize last = end > start ? end - 1 : start;
    while (line < text + n && line <= text + last) {
        const char *next = memchr(line, '\n', (gsize)(text + n - line));
        next = next ? next + 1 : text + n;
        gboolean meant = next > text + start;
        /* A blank line that lost its mark is one of both sides. */
        gboolean both = *line == ' ' || *line == '\n';
        if (!hunk.old_left && !hunk.new_left) {
            read_head(line, &hunk);
            line = next;
            continue;
        }
        if ((both || *line == '-') && hunk.old_left) {
            if (meant)
                stretch(&lines.old_first, &lines.old_last, hunk.old_line);
            hunk.old_line++;
            hunk.old_left--;
        }
        if ((both || *line == '+') && hunk.new_left) {
            if (meant)
                stretch(&lines.new_first, &lines.new_last, hunk.new_line);
            hunk.new_line++;
            hunk.new_left--;
        }
        line = next;
    }
    return lines;
}

static char *
range_text(guint64 first, guint64 last)
{
    return first == last ? g_strdup_printf("%" G_GUINT64_FORMAT, first)
                         : g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, first, last);
}

char *
pd_diff_place(const char *range, const char *text, gsize n, gsize start, gsize end)
{
    const char *dots = range ? strstr(range, "..") : NULL;
    PdDiffLines lines = pd_diff_lines(text, n, start, end);
    if (!dots || (!lines.old_first && !lines.new_first))
        return NULL;
    g_autofree char *before = range_text(lines.old_first, lines.old_last);
    g_autofree char *after = range_text(lines.new_first, lines.new_last);
    if (!lines.old_first)
        return g_strdup_printf("%s @ %.7s, added", after, dots + 2);
    if (!lines.new_first)
        return g_strdup_printf("%s @ %.7s, removed", before, range);
    return g_strdup_printf("%s @ %.7s, before: %s @ %.7s", after, dots + 2, before, range);
}
