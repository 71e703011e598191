/*
 * Rows of a page.
 *
 * poppler reads column by column, which is right for prose in columns and wrong for everything else
 * that stands side by side: cells of a table, numbers of clauses, signature blocks.  So a page on
 * which no prose runs in columns is read row by row, as a person would, with a tab between the
 * cells; a page with columns keeps poppler's order.
 */
#include "ingest/readers/pdf.h"

#include <math.h>
#include <string.h>

/* A line of prose in a column: this share of the text's width, this many words. */
#define PROSE_WIDTH 0.18
#define PROSE_WORDS 3
/* Columns: so many such lines have another beside them, and this share of all. */
#define COLUMN_LINES_MIN 14
#define COLUMN_LINES_SHARE 0.35
#define NEIGHBOURS 12
#define NEIGHBOUR_OVERLAP 0.3
/* In heights of a line. */
#define ROW_SHIFT 0.4
#define CELL_GAP 1.2
#define BLOCK_GAP 0.6

/* A stretch of text between line ends and tabs, and what it covers on the page. */
typedef struct {
    guint start; /* bytes of the part's text */
    guint end;
    guint first_box;
    guint n_boxes;
    float x0, y0, x1, y1;
    guint row;
} Cell;

static float
middle(const Cell *cell)
{
    return (cell->y0 + cell->y1) / 2;
}

static void
cover(Cell *cell, const PdBox *box)
{
    gboolean first = cell->n_boxes == 0;
    cell->x0 = first ? box->x0 : MIN(cell->x0, box->x0);
    cell->y0 = first ? box->y0 : MIN(cell->y0, box->y0);
    cell->x1 = first ? box->x1 : MAX(cell->x1, box->x1);
    cell->y1 = first ? box->y1 : MAX(cell->y1, box->y1);
    cell->n_boxes++;
}

/* A stretch without a box (nothing to see of it) stays with the one before. */
static GArray *
find_cells(const PdPart *part)
{
    GArray *cells = g_array_new(FALSE, TRUE, sizeof(Cell));
    const char *text = part->text->str;
    guint box = 0;
    for (guint at = 0; at < part->text->len;) {
        guint n = (guint)strcspn(text + at, "\n\t");
        if (!n && text[at] == '\0') {
            at++; /* a NUL is no part of a word */
            continue;
        }
        Cell cell = {.start = at, .end = at + n, .first_box = box};
        for (; box < part->boxes->len; box++) {
            const PdBox *word = &g_array_index(part->boxes, PdBox, box);
            if (word->start >= cell.end)
                break;
            cover(&cell, word);
        }
        if (cell.n_boxes)
            g_array_append_val(cells, cell);
        else if (n && cells->len)
            g_array_index(cells, Cell, cells->len - 1).end = cell.end;
        else if (n)
            return g_array_set_size(cells, 0); /* nothing to hold on to: leave the page alone */
        at += n + 1;
    }
    return cells;
}

static int
by_middle(gconstpointer a, gconstpointer b)
{
    float x = middle(a);
    float y = middle(b);
    return x < y ? -1 : x > y;
}

static int
by_row_and_place(gconstpointer a, gconstpointer b)
{
    const Cell *x = a;
    const Cell *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return x->x0 < y->x0 ? -1 : x->x0 > y->x0;
}

/* Number the rows and sort by row and place in it. */
static void
make_rows(GArray *cells)
{
    guint row = 0;
    float row_middle = 0;
    float height = 0;
    g_array_sort(cells, by_middle);
    for (guint i = 0; i < cells->len; i++) {
        Cell *cell = &g_array_index(cells, Cell, i);
        float own = cell->y1 - cell->y0;
        if (i && middle(cell) - row_middle > ROW_SHIFT * MIN(height, own))
            row++;
        if (!i || row != (cell - 1)->row) {
            row_middle = middle(cell);
            height = own;
        }
        cell->row = row;
    }
    g_array_sort(cells, by_row_and_place);
}

/* Does another line of prose stand beside this one?  Columns need not share their base lines. */
static gboolean
has_neighbour(const GArray *prose, guint i)
{
    const Cell *cell = g_array_index(prose, const Cell *, i);
    float height = cell->y1 - cell->y0;
    /* `prose` is sorted by row: neighbours are near. */
    for (guint k = i > NEIGHBOURS ? i - NEIGHBOURS : 0; k < MIN(prose->len, i + NEIGHBOURS); k++) {
        const Cell *other = g_array_index(prose, const Cell *, k);
        float overlap = MIN(cell->y1, other->y1) - MAX(cell->y0, other->y0);
        if (overlap > NEIGHBOUR_OVERLAP * height &&
            (other->x0 >= cell->x1 || other->x1 <= cell->x0))
            return TRUE;
    }
    return FALSE;
}

static gboolean
has_columns(const GArray *cells)
{
    g_autoptr(GArray) prose = g_array_new(FALSE, FALSE, sizeof(const Cell *));
    float left = INFINITY;
    float right = -INFINITY;
    for (guint i = 0; i < cells->len; i++) {
        const Cell *cell = &g_array_index(cells, Cell, i);
        left = MIN(left, cell->x0);
        right = MAX(right, cell->x1);
    }
    for (guint i = 0; i < cells->len; i++) {
        const Cell *cell = &g_array_index(cells, Cell, i);
        if (cell->n_boxes >= PROSE_WORDS && cell->x1 - cell->x0 > PROSE_WIDTH * (right - left))
            g_array_append_val(prose, cell);
    }
    guint n_beside = 0;
    for (guint i = 0; i < prose->len; i++)
        n_beside += has_neighbour(prose, i);
    return n_beside >= COLUMN_LINES_MIN && n_beside > COLUMN_LINES_SHARE * prose->len;
}

/* Text that runs upwards or from right to left is not for this. */
static gboolean
runs_otherwise(const PdPart *part, const GArray *cells)
{
    guint n_upright = 0;
    for (guint i = 0; i < cells->len; i++) {
        const Cell *cell = &g_array_index(cells, Cell, i);
        n_upright += cell->n_boxes > 1 && cell->y1 - cell->y0 > cell->x1 - cell->x0;
    }
    if (n_upright * 2 > cells->len)
        return TRUE;
    for (const char *at = part->text->str; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c >= 0x590 && c <= 0x8FF)
            return TRUE;
    }
    return FALSE;
}

/* What stands between two cells that follow one another in the new order. */
static void
append_gap(GString *text, const Cell *last, const Cell *next)
{
    float height = last->y1 - last->y0;
    if (last->row == next->row)
        g_string_append_c(text, next->x0 - last->x1 > CELL_GAP * height ? '\t' : ' ');
    else
        g_string_append(text, next->y0 - last->y1 > BLOCK_GAP * height ? "\n\n" : "\n");
}

void
pd_pdf_sort_rows(PdPart *part)
{
    if (!part->boxes || part->boxes->len < 2)
        return;
    g_autoptr(GArray) cells = find_cells(part);
    if (cells->len < 2 || runs_otherwise(part, cells))
        return;
    make_rows(cells);
    if (has_columns(cells))
        return;
    GString *text = g_string_sized_new(part->text->len + 16);
    GArray *boxes = g_array_sized_new(FALSE, FALSE, sizeof(PdBox), part->boxes->len);
    for (guint i = 0; i < cells->len; i++) {
        const Cell *cell = &g_array_index(cells, Cell, i);
        if (i)
            append_gap(text, cell - 1, cell);
        for (guint k = 0; k < cell->n_boxes; k++) {
            PdBox box = g_array_index(part->boxes, PdBox, cell->first_box + k);
            box.start = box.start - cell->start + (guint)text->len;
            box.end = box.end - cell->start + (guint)text->len;
            g_array_append_val(boxes, box);
        }
        g_string_append_len(text, part->text->str + cell->start, cell->end - cell->start);
    }
    g_string_append_c(text, '\n');
    g_string_free(part->text, TRUE);
    g_array_unref(part->boxes);
    part->text = text;
    part->boxes = boxes;
}
