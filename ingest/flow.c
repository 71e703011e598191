/* Paragraphs of format=flowed: see flow.h. */
#include "ingest/flow.h"

#include <string.h>

typedef struct {
    gsize start;
    gsize content; /* behind the quote marks and one stuffed space */
    gsize end;     /* its LF, or the end of the text */
    gsize depth;   /* quote marks */
    gboolean is_separator;
    gboolean is_flowed;
} Line;

static Line
line_at(const char *text, gsize n, gsize start)
{
    const char *lf = memchr(text + start, '\n', n - start);
    Line line = {.start = start, .content = start, .end = lf ? (gsize)(lf - text) : n};
    while (line.content < line.end && text[line.content] == '>')
        line.content++;
    line.depth = line.content - start;
    if (line.content < line.end && text[line.content] == ' ')
        line.content++;
    line.is_separator = line.end - line.content == 3 && memcmp(text + line.content, "-- ", 3) == 0;
    line.is_flowed = !line.is_separator && line.end > line.content && text[line.end - 1] == ' ';
    return line;
}

static void
add_range(GArray *ranges, gsize start, gsize end)
{
    PdTextRange *last = ranges->len ? &g_array_index(ranges, PdTextRange, ranges->len - 1) : NULL;
    PdTextRange range = {(guint32)start, (guint32)end};
    if (last && last->end == range.start)
        last->end = range.end;
    else
        g_array_append_val(ranges, range);
}

GArray *
pd_flow_ranges(const char *text, gsize n_bytes, PdFlow flow)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    gboolean joined = FALSE;
    for (gsize at = 0; flow != PD_FLOW_FIXED && at < n_bytes;) {
        Line line = line_at(text, n_bytes, at);
        /* With its space gone, a line that begins with ">" would look like a quote. */
        gboolean stuffed = line.content > line.start && line.depth == 0;
        gboolean bare = line.content < line.end && text[line.content] == '>';
        if (!joined && stuffed && !bare)
            add_range(ranges, line.start, line.content);
        at = line.end + 1;
        Line next = at < n_bytes ? line_at(text, n_bytes, at) : (Line){.is_separator = TRUE};
        joined = line.is_flowed && next.depth == line.depth && !next.is_separator;
        gsize end = line.end - (line.is_flowed && flow == PD_FLOW_DELSP ? 1 : 0);
        if (joined || end < line.end)
            add_range(ranges, end, joined ? next.content : line.end);
    }
    return ranges;
}

PdTextView *
pd_flow_view(GString *text, const GArray *marks, PdFlow flow)
{
    g_autoptr(GArray) ranges = pd_flow_ranges(text->str, text->len, flow);
    return pd_text_view_new_joined(text, marks, ranges);
}
