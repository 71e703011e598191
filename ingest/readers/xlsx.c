/*
 * SpreadsheetML (ISO/IEC 29500-1, 18) to text: a part a sheet, a line a row, cells parted by tabs.
 *
 * The first cell of a row, and each whose left neighbour is empty, is written with its address
 * ("C7: 12.5"), so that every cell's place can be told from the text (ingest/place.c).  Values are
 * those that the spreadsheet showed last; a formula that was never computed is written as it is.
 * What is hidden is read and told.
 */
#include "ingest/readers/office.h"

#include <string.h>

#include "ingest/readers/xlsx_styles.h"

#define COLUMNS_MAX 16384
#define ROWS_MAX 1048576

typedef struct {
    char *name;
    char *path;
    gboolean hidden;
} Sheet;

typedef struct {
    const PdPackage *package;
    PdDocument *document;
    PdEmitter *emitter;
    GString *strings; /* shared ones, each ended by a NUL */
    GArray *starts;   /* gsize: of each in `strings` */
    GArray *forms;    /* PdNumberForm */
    gboolean from_1904;
    guint64 left; /* bytes of text that may still come */
    gboolean cut;
    guint n_hidden_rows;
    guint n_hidden_columns;
    guint n_formulas; /* without a value */
} Xlsx;

/* A cell under way. */
typedef struct {
    guint column; /* from 1 */
    guint row;
    char *type;
    gint64 style;
    GString *value;
    GString *formula;
    GString *inline_text;
} Cell;

static void
sheet_free(gpointer data)
{
    Sheet *sheet = data;
    g_free(sheet->name);
    g_free(sheet->path);
    g_free(sheet);
}

/* --- what sheets share ------------------------------------------------------------------------ */

static void
read_shared_strings(Xlsx *xlsx, const char *path)
{
    g_autoptr(PdXml) xml = pd_package_xml(xlsx->package, path);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_CLOSE && pd_xml_is(xml, "si"))
            g_string_append_c(xlsx->strings, '\0');
        if (event != PD_XML_OPEN)
            continue;
        if (pd_xml_is(xml, "si"))
            g_array_append_val(xlsx->starts, xlsx->strings->len);
        else if (pd_xml_is(xml, "rPh")) /* how it is pronounced */
            pd_xml_skip(xml, NULL);
        else if (pd_xml_is(xml, "t"))
            pd_xml_skip(xml, xlsx->strings);
    }
    g_string_append_c(xlsx->strings, '\0');
}

static GPtrArray *
read_workbook(Xlsx *xlsx, const char *path, const GPtrArray *relations)
{
    GPtrArray *sheets = g_ptr_array_new_with_free_func(sheet_free);
    g_autoptr(PdXml) xml = pd_package_xml(xlsx->package, path);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN)
            continue;
        if (pd_xml_is(xml, "workbookPr")) {
            g_autofree char *from = pd_xml_attribute(xml, "date1904");
            xlsx->from_1904 = from && (strcmp(from, "1") == 0 || strcmp(from, "true") == 0);
        } else if (pd_xml_is(xml, "sheet")) {
            g_autofree char *id = pd_xml_relation(xml, "id");
            g_autofree char *state = pd_xml_attribute(xml, "state");
            const PdRelation *relation = id ? pd_relation_find(relations, NULL, id) : NULL;
            Sheet *sheet = g_new0(Sheet, 1);
            sheet->name = pd_xml_attribute(xml, "name");
            sheet->path = relation && !relation->external ? g_strdup(relation->target) : NULL;
            sheet->hidden = state && strcmp(state, "visible") != 0;
            g_ptr_array_add(sheets, sheet);
        }
    }
    return sheets;
}

/* --- cells ------------------------------------------------------------------------------------ */

/* "AB12"; FALSE: no address. */
static gboolean
parse_address(const char *text, guint *column, guint *row)
{
    guint64 c = 0;
    const char *at = text;
    for (; *at >= 'A' && *at <= 'Z' && c <= COLUMNS_MAX; at++)
        c = c * 26 + (guint64)(*at - 'A' + 1);
    guint64 r = g_ascii_isdigit(*at) ? g_ascii_strtoull(at, NULL, 10) : 0;
    if (!c || c > COLUMNS_MAX || !r || r > ROWS_MAX)
        return FALSE;
    *column = (guint)c;
    *row = (guint)r;
    return TRUE;
}

static void
append_address(GString *out, guint column, guint row)
{
    char letters[8];
    guint n = 0;
    for (; column; column = (column - 1) / 26)
        letters[n++] = (char)('A' + (column - 1) % 26);
    while (n)
        g_string_append_c(out, letters[--n]);
    g_string_append_printf(out, "%u: ", row);
}

static const char *
shared_string(const Xlsx *xlsx, const char *number)
{
    guint64 i = g_ascii_strtoull(number, NULL, 10);
    return i < xlsx->starts->len ? xlsx->strings->str + g_array_index(xlsx->starts, gsize, i) : "";
}

/* What the cell shows; g_free. */
static char *
cell_text(Xlsx *xlsx, const Cell *cell)
{
    const char *type = cell->type ? cell->type : "n";
    if (strcmp(type, "inlineStr") == 0)
        return g_strdup(cell->inline_text->str);
    if (!cell->value->len) {
        if (!cell->formula->len)
            return g_strdup("");
        xlsx->n_formulas++;
        return g_strconcat("=", cell->formula->str, NULL);
    }
    if (strcmp(type, "s") == 0)
        return g_strdup(shared_string(xlsx, cell->value->str));
    if (strcmp(type, "b") == 0)
        return g_strdup(strcmp(cell->value->str, "0") == 0 ? "FALSE" : "TRUE");
    if (strcmp(type, "n") != 0)
        return g_strdup(cell->value->str);
    PdNumberForm form = cell->style >= 0 && cell->style < xlsx->forms->len
                            ? g_array_index(xlsx->forms, PdNumberForm, cell->style)
                            : PD_NUMBER_PLAIN;
    return pd_number_text(cell->value->str, form, xlsx->from_1904);
}

/* Append to the row's line.  `after`: the column of the cell before, 0: none. */
static void
append_cell(Xlsx *xlsx, const Cell *cell, guint *after, GString *line)
{
    g_autofree char *text = cell_text(xlsx, cell);
    g_strdelimit(text, "\t\n\r", ' ');
    g_strstrip(text);
    if (!*text)
        return;
    if (*after)
        g_string_append_c(line, '\t');
    if (!*after || cell->column != *after + 1)
        append_address(line, cell->column, cell->row);
    g_string_append(line, text);
    *after = cell->column;
}

/* --- a sheet ---------------------------------------------------------------------------------- */

static void
append_line(Xlsx *xlsx, GString *text, GString *line)
{
    if (line->len + 1 > xlsx->left) {
        xlsx->cut = TRUE;
        xlsx->left = 0;
    } else if (line->len) {
        g_string_append_len(text, line->str, (gssize)line->len);
        g_string_append_c(text, '\n');
        xlsx->left -= line->len + 1;
    }
    g_string_truncate(line, 0);
}

static void
open_cell(Cell *cell, PdXml *xml, guint row, guint last_column)
{
    g_autofree char *address = pd_xml_attribute(xml, "r");
    g_free(cell->type);
    cell->type = pd_xml_attribute(xml, "t");
    cell->style = pd_xml_number(xml, "s", -1);
    cell->column = last_column + 1;
    cell->row = row;
    if (address)
        parse_address(address, &cell->column, &cell->row);
    g_string_truncate(cell->value, 0);
    g_string_truncate(cell->formula, 0);
    g_string_truncate(cell->inline_text, 0);
}

static void
read_cell_content(Cell *cell, PdXml *xml)
{
    if (pd_xml_is(xml, "v"))
        pd_xml_skip(xml, cell->value);
    else if (pd_xml_is(xml, "f"))
        pd_xml_skip(xml, cell->formula);
    else if (pd_xml_is(xml, "t"))
        pd_xml_skip(xml, cell->inline_text);
    else if (pd_xml_is(xml, "rPh"))
        pd_xml_skip(xml, NULL);
}

static gboolean
is_true(PdXml *xml, const char *name)
{
    g_autofree char *value = pd_xml_attribute(xml, name);
    return value && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

/* The cells of a sheet into `text`. */
static gboolean
read_cells(Xlsx *xlsx, const char *path, Cell *cell, GString *text, GError **error)
{
    g_autoptr(PdXml) xml = pd_package_xml(xlsx->package, path);
    g_autoptr(GString) line = g_string_new(NULL);
    guint row = 0;
    guint last = 0; /* column that had a cell last, in this row */
    guint after = 0;
    gboolean in_data = FALSE;
    for (PdXmlEvent event; !xlsx->cut && (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_TEXT)
            continue;
        if (pd_xml_is(xml, "sheetData")) {
            in_data = event == PD_XML_OPEN;
        } else if (event == PD_XML_OPEN && pd_xml_is(xml, "row")) {
            row = (guint)CLAMP(pd_xml_number(xml, "r", (gint64)row + 1), 1, ROWS_MAX);
            last = after = 0;
            xlsx->n_hidden_rows += is_true(xml, "hidden");
        } else if (event == PD_XML_OPEN && pd_xml_is(xml, "c") && in_data) {
            open_cell(cell, xml, row, last);
            last = cell->column;
        } else if (event == PD_XML_OPEN && in_data) {
            read_cell_content(cell, xml);
        } else if (event == PD_XML_CLOSE && pd_xml_is(xml, "c") && in_data) {
            append_cell(xlsx, cell, &after, line);
        } else if (event == PD_XML_CLOSE && pd_xml_is(xml, "row")) {
            append_line(xlsx, text, line);
        } else if (event == PD_XML_OPEN && pd_xml_is(xml, "col") && is_true(xml, "hidden")) {
            xlsx->n_hidden_columns++;
        }
    }
    append_line(xlsx, text, line);
    return pd_package_tell_damage(xml, path, xlsx->emitter, error);
}

/* Comments of a sheet, after its cells: "B3: [comment by Ann Lee] ...". */
static void
read_comments(Xlsx *xlsx, const char *path, GString *text)
{
    g_autoptr(GPtrArray) authors = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PdXml) xml = pd_package_xml(xlsx->package, path);
    g_autoptr(GString) line = g_string_new(NULL);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        guint column, row;
        if (event == PD_XML_CLOSE && pd_xml_is(xml, "comment")) {
            g_strdelimit(line->str, "\t\n\r", ' ');
            append_line(xlsx, text, line);
        }
        if (event != PD_XML_OPEN)
            continue;
        if (pd_xml_is(xml, "author")) {
            g_ptr_array_add(authors, pd_xml_element_text(xml));
        } else if (pd_xml_is(xml, "comment")) {
            g_autofree char *address = pd_xml_attribute(xml, "ref");
            gint64 author = pd_xml_number(xml, "authorId", -1);
            const char *name =
                author >= 0 && author < authors->len ? g_ptr_array_index(authors, author) : NULL;
            g_string_truncate(line, 0);
            if (address && parse_address(address, &column, &row))
                append_address(line, column, row);
            g_string_append_printf(line, "[comment by %s] ", name ? name : "unknown");
        } else if (pd_xml_is(xml, "rPh")) {
            pd_xml_skip(xml, NULL);
        } else if (pd_xml_is(xml, "t")) {
            pd_xml_skip(xml, line);
        }
    }
}

static gboolean
read_sheet(Xlsx *xlsx, const Sheet *sheet, guint number, GError **error)
{
    g_autofree char *part_path = g_strdup_printf("sheet/%u", number);
    PdPart *part = pd_document_add_part(xlsx->document, part_path, sheet->name);
    Cell cell = {.value = g_string_new(NULL),
                 .formula = g_string_new(NULL),
                 .inline_text = g_string_new(NULL)};
    gboolean ok = !sheet->path || read_cells(xlsx, sheet->path, &cell, part->text, error);
    g_autoptr(GPtrArray) relations =
        pd_package_relations(xlsx->package, sheet->path ? sheet->path : "");
    const PdRelation *comments = pd_relation_find(relations, "comments", NULL);
    if (ok && comments && sheet->path)
        read_comments(xlsx, comments->target, part->text);
    g_free(cell.type);
    g_string_free(cell.value, TRUE);
    g_string_free(cell.formula, TRUE);
    g_string_free(cell.inline_text, TRUE);
    /* Charts on a sheet of their own, and empty sheets. */
    if (!part->text->len)
        g_ptr_array_remove_index(xlsx->document->parts, xlsx->document->parts->len - 1);
    return ok && (!sheet->hidden ||
                  pd_emit_ledger(xlsx->emitter, "note", "", -1, error,
                                 "the sheet \"%s\" is hidden: it was read", sheet->name));
}

static gboolean
tell(const Xlsx *xlsx, GError **error)
{
    if ((xlsx->n_hidden_rows || xlsx->n_hidden_columns) &&
        !pd_emit_ledger(xlsx->emitter, "note", "", -1, error,
                        "hidden rows: %u, hidden ranges of columns: %u: they were read",
                        xlsx->n_hidden_rows, xlsx->n_hidden_columns))
        return FALSE;
    if (xlsx->n_formulas &&
        !pd_emit_ledger(xlsx->emitter, "note", "", -1, error,
                        "formulas without a value: %u, the formulas were read", xlsx->n_formulas))
        return FALSE;
    return pd_office_tell_cut(xlsx->emitter, xlsx->cut, error);
}

gboolean
pd_xlsx_read(const PdPackage *package, PdDocument *document, PdEmitter *emitter, GError **error)
{
    g_autoptr(GPtrArray) roots = pd_package_relations(package, "");
    const PdRelation *root = pd_relation_find(roots, "officeDocument", NULL);
    const char *main_path = root ? root->target : "xl/workbook.xml";
    g_autoptr(GPtrArray) relations = pd_package_relations(package, main_path);
    const PdRelation *styles = pd_relation_find(relations, "styles", NULL);
    const PdRelation *strings = pd_relation_find(relations, "sharedStrings", NULL);
    g_autoptr(PdXml) styles_xml = pd_package_xml(package, styles ? styles->target : NULL);
    g_autoptr(GString) shared = g_string_new(NULL);
    g_autoptr(GArray) starts = g_array_new(FALSE, FALSE, sizeof(gsize));
    g_autoptr(GArray) forms = pd_xlsx_styles_new(styles_xml);
    Xlsx xlsx = {.package = package,
                 .document = document,
                 .emitter = emitter,
                 .strings = shared,
                 .starts = starts,
                 .forms = forms,
                 .left = emitter->limits->text_bytes_max};
    pd_package_core_properties(package, document);
    read_shared_strings(&xlsx, strings ? strings->target : NULL);
    g_autoptr(GPtrArray) sheets = read_workbook(&xlsx, main_path, relations);
    for (guint i = 0; i < sheets->len && !xlsx.cut; i++) {
        if (!read_sheet(&xlsx, g_ptr_array_index(sheets, i), i + 1, error))
            return FALSE;
    }
    return tell(&xlsx, error);
}
