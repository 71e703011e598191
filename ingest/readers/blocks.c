/* See blocks.h.  Tables inside a cell become text of the cell. */
#include "ingest/readers/blocks.h"

#include <string.h>

/* A heading begins a part of its own after so many bytes: parts are what the model reads one at a
 * time, and small ones cost more than they tell. */
#define PART_BYTES_MIN (4u << 10)

typedef struct {
    GString *rows;
    GPtrArray *cells; /* of the open row: char * */
    GString *cell;    /* the open one */
} Table;

struct PdBlocks {
    PdDocument *document;
    guint64 left; /* bytes of text that may still come */
    gboolean cut;
    char *section;
    PdPart *part; /* NULL: none yet in this section */
    guint n_blocks;
    char *heading; /* the last one */
    GPtrArray *tables;
};

static void
table_free(gpointer data)
{
    Table *table = data;
    g_string_free(table->rows, TRUE);
    g_ptr_array_unref(table->cells);
    g_string_free(table->cell, TRUE);
    g_free(table);
}

PdBlocks *
pd_blocks_new(PdDocument *document, guint64 text_bytes_max)
{
    PdBlocks *blocks = g_new0(PdBlocks, 1);
    blocks->document = document;
    blocks->left = text_bytes_max;
    blocks->section = g_strdup("body");
    blocks->tables = g_ptr_array_new_with_free_func(table_free);
    return blocks;
}

void
pd_blocks_free(PdBlocks *blocks)
{
    if (!blocks)
        return;
    while (blocks->tables->len)
        pd_blocks_close_table(blocks);
    g_ptr_array_unref(blocks->tables);
    g_free(blocks->section);
    g_free(blocks->heading);
    g_free(blocks);
}

void
pd_blocks_section(PdBlocks *blocks, const char *name)
{
    while (blocks->tables->len)
        pd_blocks_close_table(blocks);
    g_free(blocks->section);
    blocks->section = g_strdup(name);
    blocks->part = NULL;
    blocks->n_blocks = 0;
    g_clear_pointer(&blocks->heading, g_free);
}

guint
pd_blocks_number(const PdBlocks *blocks)
{
    return blocks->n_blocks;
}

gboolean
pd_blocks_cut(const PdBlocks *blocks)
{
    return blocks->cut;
}

static Table *
open_table(const PdBlocks *blocks)
{
    return blocks->tables->len ? g_ptr_array_index(blocks->tables, blocks->tables->len - 1) : NULL;
}

/* Lines without blank ends, none of them empty. */
static char *
trim_lines(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit_set(text, "\n\r", -1);
    for (char **line = lines; *line; line++) {
        g_strchomp(*line);
        if (**line)
            g_string_append_printf(out, "%s%s", out->len ? "\n" : "", *line);
    }
    return g_strndup(out->str, out->len);
}

static void
append_block(PdBlocks *blocks, const char *text, guint level)
{
    gsize n = strlen(text);
    if (level) {
        g_free(blocks->heading);
        blocks->heading = g_strdup(text);
        g_strdelimit(blocks->heading, "\n\t", ' ');
    }
    if (n + level + 3 > blocks->left) {
        blocks->cut = TRUE;
        blocks->left = 0; /* nothing after what is missing */
        return;
    }
    if (!blocks->part || (level && blocks->part->text->len >= PART_BYTES_MIN)) {
        g_autofree char *path = g_strdup_printf("%s/%u", blocks->section, blocks->n_blocks + 1);
        blocks->part = pd_document_add_part(blocks->document, path, blocks->heading);
    }
    GString *out = blocks->part->text;
    gsize before = out->len;
    if (out->len)
        g_string_append_c(out, '\n');
    if (level)
        g_string_append_printf(out, "%.*s ", (int)MIN(level, 6), "######");
    g_string_append_len(out, text, (gssize)n);
    g_string_append_c(out, '\n');
    blocks->left -= out->len - before;
    blocks->n_blocks++;
}

void
pd_blocks_paragraph(PdBlocks *blocks, const char *text, guint level)
{
    g_autofree char *lines = trim_lines(text);
    Table *table = open_table(blocks);
    if (!*lines)
        return;
    if (!table) {
        if (level)
            g_strdelimit(lines, "\n", ' ');
        append_block(blocks, lines, level);
        return;
    }
    if (table->cell->len)
        g_string_append_c(table->cell, '\n');
    g_string_append(table->cell, lines);
}

void
pd_blocks_open_table(PdBlocks *blocks)
{
    Table *table = g_new0(Table, 1);
    table->rows = g_string_new(NULL);
    table->cells = g_ptr_array_new_with_free_func(g_free);
    table->cell = g_string_new(NULL);
    g_ptr_array_add(blocks->tables, table);
}

void
pd_blocks_close_cell(PdBlocks *blocks)
{
    Table *table = open_table(blocks);
    if (!table)
        return;
    g_ptr_array_add(table->cells, g_strndup(table->cell->str, table->cell->len));
    g_string_truncate(table->cell, 0);
}

/* A row of one cell keeps its lines; of several, each becomes one. */
void
pd_blocks_close_row(PdBlocks *blocks)
{
    Table *table = open_table(blocks);
    if (!table)
        return;
    if (table->cell->len)
        pd_blocks_close_cell(blocks);
    g_autoptr(GString) row = g_string_new(NULL);
    for (guint i = 0; i < table->cells->len; i++) {
        char *cell = g_ptr_array_index(table->cells, i);
        if (table->cells->len > 1)
            g_strdelimit(cell, "\n\t", ' ');
        g_string_append_printf(row, "%s%s", i ? "\t" : "", cell);
    }
    g_ptr_array_set_size(table->cells, 0);
    g_strchomp(row->str);
    if (*row->str)
        g_string_append_printf(table->rows, "%s%s", table->rows->len ? "\n" : "", row->str);
}

void
pd_blocks_close_table(PdBlocks *blocks)
{
    Table *table = open_table(blocks);
    if (!table)
        return;
    if (table->cells->len || table->cell->len)
        pd_blocks_close_row(blocks);
    g_autofree char *rows = g_strndup(table->rows->str, table->rows->len);
    g_ptr_array_set_size(blocks->tables, (gint)blocks->tables->len - 1);
    pd_blocks_paragraph(blocks, rows, 0);
}
