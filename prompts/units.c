/* See units.h. */
#include "prompts/units.h"

#include <string.h>

/* A NUL counts as a gap: a quote is a C string, so it may not hold one. */
static gboolean
is_space(char c)
{
    return c == '\0' || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* A line ends a unit of code and tables; one of prose ends at a blank line or after a full stop. */
static gboolean
ends_unit(const char *text, guint32 at, guint32 end, gboolean lines)
{
    if (text[at] == '\0')
        return TRUE;
    if (text[at] == '\n')
        return lines || at + 1 >= end || text[at + 1] == '\n' || text[at + 1] == '-' ||
               text[at + 1] == '*' || text[at + 1] == '>' || text[at + 1] == '|';
    return !lines && strchr(".!?;", text[at]) && text[at] && at + 1 < end && is_space(text[at + 1]);
}

static void
add_span(GArray *spans, const char *text, guint32 start, guint32 end)
{
    while (start < end && is_space(text[start]))
        start++;
    while (end > start && is_space(text[end - 1]))
        end--;
    while (end > start &&
           end - start > PD_UNIT_BYTES_MAX) { /* a unit too long to print is cut at a space */
        guint32 cut = start + PD_UNIT_BYTES_MAX;
        PdUnit span;
        while (cut > start + PD_UNIT_BYTES_MAX / 2 && !is_space(text[cut]))
            cut--;
        while (cut > start && ((guchar)text[cut] & 0xc0) == 0x80)
            cut--;
        span = (PdUnit){start, cut};
        g_array_append_val(spans, span);
        for (start = cut; start < end && is_space(text[start]);)
            start++;
    }
    if (end > start) {
        PdUnit span = {start, end};
        g_array_append_val(spans, span);
    }
}

GArray *
pd_units_split(const char *text, guint32 start, guint32 end, gboolean lines)
{
    GArray *spans = g_array_new(FALSE, FALSE, sizeof(PdUnit));
    guint32 from = start;

    for (guint32 at = start; at < end; at++)
        if (ends_unit(text, at, end, lines)) {
            add_span(spans, text, from, at + 1);
            from = at + 1;
        }
    add_span(spans, text, from, end);
    return spans;
}
