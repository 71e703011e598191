/*
 * See place.h.  The readers write their texts so that places can be read off them: blocks parted by
 * blank lines (ingest/readers/blocks.h), cells parted by tabs (ingest/readers/xlsx.c).
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

/* --- cells ------------------------------------------------------------------------------------ */

/* "C7: " at the start of a field; FALSE: it has no address. */
static gboolean
read_address(const char *field, gsize n, guint *column, guint *row)
{
    guint c = 0;
    guint r = 0;
    gsize i = 0;
    for (; i < n && i < 3 && field[i] >= 'A' && field[i] <= 'Z'; i++)
        c = c * 26 + (guint)(field[i] - 'A' + 1);
    gsize letters = i;
    for (; i < n && i < letters + 7 && g_ascii_isdigit(field[i]); i++)
        r = r * 10 + (guint)(field[i] - '0');
    if (!letters || i == letters || i + 1 >= n || field[i] != ':' || field[i + 1] != ' ')
        return FALSE;
    *column = c;
    *row = r;
    return TRUE;
}

/* The cell that the byte `at` lies in; FALSE: in none.  An address counts only where it can stand:
 * first in the line, or further right in the same row. */
static gboolean
cell_at(const char *text, gsize at, guint *column, guint *row)
{
    gsize line = at;
    while (line > 0 && text[line - 1] != '\n')
        line--;
    const char *field = text + line;
    if (!read_address(field, strcspn(field, "\t\n"), column, row))
        return FALSE;
    for (;;) {
        gsize n = strcspn(field, "\t\n");
        if (text + at <= field + n || field[n] != '\t')
            return TRUE;
        guint c, r;
        field += n + 1;
        gboolean marked = read_address(field, strcspn(field, "\t\n"), &c, &r);
        *column = marked && r == *row && c > *column + 1 ? c : *column + 1;
    }
}

static void
append_cell(GString *out, guint column, guint row)
{
    char letters[8];
    guint n = 0;
    for (; column && n < sizeof letters; column = (column - 1) / 26)
        letters[n++] = (char)('A' + (column - 1) % 26);
    while (n)
        g_string_append_c(out, letters[--n]);
    g_string_append_printf(out, "%u", row);
}

/* As spreadsheets write it: a name that is not one plain word in quotes. */
static char *
cell_place(const char *sheet, const char *text, gsize start, gsize end)
{
    guint column, row, last_column, last_row;
    if (!cell_at(text, start, &column, &row) ||
        !cell_at(text, end > start ? end - 1 : start, &last_column, &last_row))
        return NULL;
    gboolean plain = sheet && *sheet;
    for (const char *c = sheet; plain && *c; c++)
        plain = g_ascii_isalnum(*c) || *c == '_' || (guchar)*c >= 0x80;
    g_auto(GStrv) parts = g_strsplit(sheet ? sheet : "", "'", -1);
    g_autofree char *escaped = g_strjoinv("''", parts);
    g_autoptr(GString) out = g_string_new(NULL);
    g_string_append_printf(out, plain ? "%s!" : "'%s'!", escaped);
    append_cell(out, column, row);
    if (column != last_column || row != last_row) {
        g_string_append_c(out, ':');
        append_cell(out, last_column, last_row);
    }
    return g_strdup(out->str);
}

/* --- lines ------------------------------------------------------------------------------------ */

static guint
count_lines(const char *text, gsize at)
{
    guint n = 1;
    for (gsize i = 0; i < at; i++)
        n += text[i] == '\n';
    return n;
}

/* "chapter 3 ("The pier"), l. 7" of "chapter/3". */
static char *
line_place(const char *path, const char *label, const char *text, gsize start, gsize end)
{
    g_autofree char *section = NULL;
    guint number = number_of_path(path, &section);
    guint from = count_lines(text, start);
    guint to = count_lines(text, end > start ? end - 1 : start);
    if (!number)
        return NULL;
    g_autofree char *name = quoted(label);
    g_autofree char *lines =
        from == to ? g_strdup_printf("%u", from) : g_strdup_printf("%u-%u", from, to);
    return g_strdup_printf("%s %u%s, l. %s", section, number, name, lines);
}

/* --- cells of notebooks ----------------------------------------------------------------------- */

/* The mark "[cell 3: code]" that the byte `at` stands under: its number, where the line after it
 * begins, and whether it is of an output.  FALSE: there is none. */
static gboolean
mark_before(const char *text, gsize at, guint *number, gsize *after, gboolean *output)
{
    gboolean found = FALSE;
    for (const char *line = text; line && line <= text + at;) {
        const char *end = strchr(line, '\n');
        guint64 n = g_str_has_prefix(line, "[cell ") ? g_ascii_strtoull(line + 6, NULL, 10) : 0;
        if (n && n < G_MAXUINT && end && end[-1] == ']') {
            found = TRUE;
            *number = (guint)n;
            *after = (gsize)(end + 1 - text);
            *output = strncmp(end - strlen("output]"), "output]", strlen("output]")) == 0;
        }
        line = end ? end + 1 : NULL;
    }
    return found;
}

static char *
notebook_place(const char *text, gsize start, gsize end)
{
    gsize last = end > start ? end - 1 : start;
    guint number, last_number;
    gsize after, last_after;
    gboolean output, last_output;
    if (!mark_before(text, start, &number, &after, &output) ||
        !mark_before(text, last, &last_number, &last_after, &last_output))
        return NULL;
    if (number != last_number)
        return g_strdup_printf("cells %u-%u", number, last_number);
    if (output != last_output)
        return g_strdup_printf("cell %u", number);
    const char *what = output ? " output" : "";
    if (start < after) /* the mark itself */
        return g_strdup_printf("cell %u%s", number, what);
    guint from = count_lines(text + after, start - after);
    guint to = count_lines(text + after, last - after);
    return from == to ? g_strdup_printf("cell %u%s, l. %u", number, what, from)
                      : g_strdup_printf("cell %u%s, l. %u-%u", number, what, from, to);
}

char *
pd_part_place(PdDocumentKind kind, const char *path, const char *label, const char *text,
              gsize start, gsize end)
{
    switch (kind) {
    case PD_KIND_DOCX:
    case PD_KIND_ODT:
    case PD_KIND_PPTX:
    case PD_KIND_RTF:
        return block_place(path, label, text, start, end);
    case PD_KIND_XLSX:
        return cell_place(label, text, start, end);
    case PD_KIND_NOTEBOOK:
        return notebook_place(text, start, end);
    case PD_KIND_EPUB:
    case PD_KIND_CLINICAL:
        return line_place(path, label, text, start, end);
    case PD_KIND_PDF: /* its pages have numbers */
        return g_str_equal(path, "outline") ? g_strdup("outline") : NULL;
    default:
        return NULL;
    }
}

/* --- mails --------------------------------------------------------------------------------- */

char *
pd_place_person(const char *address)
{
    const char *open = strchr(address, '<');
    g_autofree char *name = open ? g_strndup(address, open - address) : g_strdup(address);
    g_strstrip(name);
    gsize n = strlen(name);
    if (n >= 2 && name[0] == '"' && name[n - 1] == '"')
        return g_strndup(name + 1, n - 2);
    if (n > 0 || !open)
        return g_strdup(name);
    const char *close = strchr(open, '>');
    return close ? g_strndup(open + 1, close - open - 1) : g_strdup(open + 1);
}

char *
pd_place_date(gint64 date_utc)
{
    g_autoptr(GDateTime) when =
        date_utc == G_MININT64 ? NULL : g_date_time_new_from_unix_utc(date_utc);
    return when ? g_date_time_format(when, "%Y-%m-%d") : NULL;
}
