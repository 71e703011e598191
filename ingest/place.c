/*
 * See place.h.  The readers write their texts so that places can be read off them: blocks parted by
 * blank lines (ingest/readers/blocks.h).
 */
#include "ingest/place.h"

#include <string.h>

/* The number behind the last slash of "body/12", and its section; 0: none. */
static guint
number_of_path(const char *path, char **section)
{
    const char *slash = strrchr(path, '/');
    guint64 number = slash ? g_ascii_strtoull(slash + 1, NULL, 10) : 0;
    *section = slash ? g_strndup(path, (gsize)(slash - path)) : NULL;
    return (guint)MIN(number, G_MAXUINT / 2);
}

/* Of people, as it may stand in quotation marks: NULL if there is nothing. */
static char *
quoted(const char *name)
{
    return name && *name ? g_strdup_printf(" (\"%s\")", name) : g_strdup("");
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Blocks that begin after the first, up to the byte `at`. */
static guint
count_blocks(const char *text, gsize at)
{
    guint n = 0;
    for (gsize i = 2; i <= at; i++)
        n += text[i - 1] == '\n' && text[i - 2] == '\n';
    return n;
}

/* The heading that the byte `at` stands under, in this text; NULL: none. */
static char *
heading_before(const char *text, gsize at)
{
    const char *found = NULL;
    for (const char *line = text; line && line <= text + at;) {
        gsize n_marks = strspn(line, "#");
        gboolean begins = line == text || (line - text >= 2 && line[-2] == '\n');
        if (begins && n_marks >= 1 && n_marks <= 6 && line[n_marks] == ' ')
            found = line + n_marks + 1;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return found ? g_strndup(found, strcspn(found, "\n")) : NULL;
}

static char *
block_place(const char *path, const char *label, const char *text, gsize start, gsize end)
{
    g_autofree char *section = NULL;
    guint first = number_of_path(path, &section);
    if (!first)
        return NULL;
    g_autofree char *own = heading_before(text, start);
    g_autofree char *heading = quoted(own ? own : label);
    guint from = first + count_blocks(text, start);
    guint to = first + count_blocks(text, end > start ? end - 1 : start);
    g_autofree char *range = from == to ? g_strdup_printf("\xC2\xB6 %u", from)
                                        : g_strdup_printf("\xC2\xB6\xC2\xB6 %u-%u", from, to);
    gboolean body = strcmp(section, "body") == 0;
    return g_strconcat(body ? "" : section, body ? "" : ", ", range, heading, NULL);
}

char *
pd_part_place(PdDocumentKind kind, const char *path, const char *label, const char *text,
              gsize start, gsize end)
{
    switch (kind) {
    case PD_KIND_DOCX:
    case PD_KIND_ODT:
        return block_place(path, label, text, start, end);
    default:
        return NULL;
    }
}
