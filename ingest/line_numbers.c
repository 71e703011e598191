/* Numbers of lines: see line_numbers.h. */
#include "ingest/line_numbers.h"

#include <string.h>

/* Pleadings have 25 to 28 lines, transcripts 24 or 25; a page may also be numbered by fives, which
 * is not looked for. */
#define LINES_MIN 15
#define LINES_MAX 99
#define PAGES_MIN 3
#define NUMBERED_SHARE 0.5
/* Points by which numbers of one column may be off, at their left or at their right. */
#define COLUMN_POINTS 6

typedef struct {
    guint32 start; /* of the line, in bytes of the part's text */
    guint32 text;  /* behind the number and its tab */
    guint number;
    float x0, x1;
} NumberedLine;

/* "12\tthe gate" or "12" alone; FALSE: it has no number in front. */
static gboolean
parse_line(const char *at, const char *end, NumberedLine *line)
{
    const char *c = at;
    line->number = 0;
    while (c < end && g_ascii_isdigit(*c) && line->number <= LINES_MAX)
        line->number = line->number * 10 + (guint)(*c++ - '0');
    if (c == at || *at == '0' || line->number > LINES_MAX || (c < end && *c != '\t'))
        return FALSE;
    line->text = (guint32)(c < end ? c + 1 - at : c - at);
    return TRUE;
}

/* Its numbered lines; *n_lines: all that are not empty. */
static GArray *
find_lines(const PdPart *part, guint *n_lines)
{
    GArray *lines = g_array_new(FALSE, FALSE, sizeof(NumberedLine));
    const char *text = part->text->str, *end = text + part->text->len;
    guint box = 0;
    *n_lines = 0;
    for (const char *at = text; at < end;) {
        const char *lf = memchr(at, '\n', (gsize)(end - at)), *line_end = lf ? lf : end;
        NumberedLine line = {.start = (guint32)(at - text)};
        *n_lines += line_end > at;
        while (box < part->boxes->len && g_array_index(part->boxes, PdBox, box).start < line.start)
            box++;
        const PdBox *first =
            box < part->boxes->len ? &g_array_index(part->boxes, PdBox, box) : NULL;
        if (first && first->start == line.start && parse_line(at, line_end, &line)) {
            line.text += line.start;
            line.x0 = first->x0;
            line.x1 = first->x1;
            g_array_append_val(lines, line);
        }
        at = line_end + 1;
    }
    return lines;
}

/* 1, 2, 3 ... one below the other: the last of them; 0: they are not. */
static guint
last_number(const GArray *lines, guint n_lines)
{
    if (lines->len < LINES_MIN || lines->len < NUMBERED_SHARE * n_lines)
        return 0;
    const NumberedLine *first = &g_array_index(lines, NumberedLine, 0);
    float left[2] = {first->x0, first->x0}, right[2] = {first->x1, first->x1};
    for (guint i = 0; i < lines->len; i++) {
        const NumberedLine *line = &g_array_index(lines, NumberedLine, i);
        if (line->number != i + 1)
            return 0;
        left[0] = MIN(left[0], line->x0);
        left[1] = MAX(left[1], line->x0);
        right[0] = MIN(right[0], line->x1);
        right[1] = MAX(right[1], line->x1);
    }
    gboolean aligned = left[1] - left[0] <= COLUMN_POINTS || right[1] - right[0] <= COLUMN_POINTS;
    return aligned ? lines->len : 0;
}

/* The number and the empty lines above it: between lines that are numbered one by one they are the
 * spacing. */
static GArray *
ranges_of(const PdPart *part, const GArray *lines)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    const char *text = part->text->str;
    for (guint i = 0; i < lines->len; i++) {
        const NumberedLine *line = &g_array_index(lines, NumberedLine, i);
        PdTextRange range = {line->start, line->text};
        while (i > 0 && range.start > 1 && text[range.start - 1] == '\n' &&
               text[range.start - 2] == '\n')
            range.start--;
        g_array_append_val(ranges, range);
    }
    return ranges;
}

GPtrArray *
pd_line_numbers_find(const PdDocument *document)
{
    guint n_pages[LINES_MAX + 1] = {0}; /* that count up to a number */
    if (document->kind != PD_KIND_PDF)
        return NULL;
    GPtrArray *parts = pd_part_lists_new(document);
    g_autoptr(GArray) last = g_array_new(FALSE, TRUE, sizeof(guint)); /* of each part */
    g_array_set_size(last, document->parts->len);
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        guint n_lines, *n = &g_array_index(last, guint, i);
        g_autoptr(GArray) lines = part->boxes ? find_lines(part, &n_lines) : NULL;
        *n = lines ? last_number(lines, n_lines) : 0;
        if (*n) {
            parts->pdata[i] = ranges_of(part, lines);
            n_pages[*n]++;
        }
    }
    for (guint i = 0; i < parts->len; i++)
        if (parts->pdata[i] && n_pages[g_array_index(last, guint, i)] < PAGES_MIN)
            g_clear_pointer((GArray **)&parts->pdata[i], g_array_unref);
    return parts;
}
