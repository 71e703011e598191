/*
 * One page: text, boxes, and its picture.
 *
 * poppler gives the text in reading order and a rectangle a character (origin top left, points);
 * both agree one to one except for bidirectional controls, which have no rectangle.  From the
 * rectangles come the gaps that its text lacks: between cells, and between paragraphs.
 */
#include "ingest/readers/pdf.h"

#include <math.h>
#include <string.h>

/* In heights of a line. */
#define WORD_GAP 0.15
#define CELL_GAP 1.2
#define BLOCK_GAP 0.6
#define LINE_SHIFT 0.75
#define ROW_SHIFT 0.3

#define OCR_SCALE (300 / 72.0) /* what tesseract was trained for */
#define OCR_SIDE_MAX 6000
#define OCR_INK_MAX 200 /* of 255: the palest grey that counts as ink */

#define KEPT_SURFACE_BYTES_MAX (16u << 20) /* a page of A3 for the ink test */

static gboolean
has_no_rectangle(gunichar c)
{
    return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E ||
           c == 0x200F;
}

static void
add_box(PdPart *part, guint start, guint end, const PdBox *box)
{
    PdBox word = *box;
    word.start = start;
    word.end = end;
    if (box->x1 > box->x0 && box->y1 > box->y0)
        g_array_append_val(part->boxes, word);
}

static void
grow(PdBox *box, const PopplerRectangle *area)
{
    if (!isfinite(area->x1) || !isfinite(area->y1) || !isfinite(area->x2) || !isfinite(area->y2) ||
        area->x2 <= area->x1 || area->y2 <= area->y1)
        return;
    gboolean first = box->x1 <= box->x0;
    box->x0 = first ? (float)area->x1 : MIN(box->x0, (float)area->x1);
    box->y0 = first ? (float)area->y1 : MIN(box->y0, (float)area->y1);
    box->x1 = first ? (float)area->x2 : MAX(box->x1, (float)area->x2);
    box->y1 = first ? (float)area->y2 : MAX(box->y1, (float)area->y2);
}

static gboolean
counts_agree(const char *text, guint n_areas)
{
    gsize n = 0;
    for (const char *at = text; *at; at = g_utf8_next_char(at))
        n += !has_no_rectangle(g_utf8_get_char(at));
    return n == n_areas;
}

/* Right-to-left scripts: Hebrew to Arabic Extended, and their presentation forms. */
static gboolean
runs_left(gunichar c)
{
    return (c >= 0x590 && c <= 0x8FF) || (c >= 0xFB1D && c <= 0xFDFF) ||
           (c >= 0xFE70 && c <= 0xFEFF);
}

/* What stands between two characters on paper, though poppler puts nothing there: it joins the
 * cells of a table and a heading to what is beside it. */
static const char *
gap_between(const PopplerRectangle *a, gunichar a_char, const PopplerRectangle *b, gunichar b_char)
{
    double height = MAX(a->y2 - a->y1, b->y2 - b->y1);
    double shift = fabs((a->y1 + a->y2) - (b->y1 + b->y2)) / 2;
    if (!(height > 0) || runs_left(a_char) || runs_left(b_char))
        return "";
    /* Exponents and the like shift by less than a line. */
    if (shift > LINE_SHIFT * height || b->x2 < a->x1 - height)
        return "\n";
    double gap = b->x1 - a->x2;
    return gap > CELL_GAP * height ? "\t" : gap > WORD_GAP * height ? " " : "";
}

/* Does a paragraph end at this line's end?  More than the usual air below, or a jump up. */
static gboolean
ends_block(const PopplerRectangle *last, const PopplerRectangle *next)
{
    double height = last->y2 - last->y1;
    return height > 0 && (next->y1 - last->y2 > BLOCK_GAP * height || next->y2 < last->y1);
}

/* Fonts' character maps name some characters in ways that nobody types or searches: ligatures, a
 * Greek question mark for a semicolon, fixed blanks.  Written as their plain equivalents (Unicode's
 * canonical singletons, and U+FB00-06). */
static void
append_plain(GString *out, gunichar c)
{
    gunichar plain[4];
    gboolean ligature = c >= 0xFB00 && c <= 0xFB06;
    gsize n = g_unichar_fully_decompose(c, ligature, plain, G_N_ELEMENTS(plain));
    gunichar composed = c;
    if (n == 2 && !ligature && !g_unichar_compose(plain[0], plain[1], &composed))
        composed = c;
    if (c == 0xA0)
        g_string_append_c(out, ' ');
    else if (ligature || n == 1)
        for (gsize i = 0; i < MIN(n, G_N_ELEMENTS(plain)); i++)
            g_string_append_unichar(out, plain[i]);
    else
        g_string_append_unichar(out, composed);
}

/* A line end that poppler wrote: between cells of one row it is none, between paragraphs it is two.
 */
static void
mend_line_end(GString *out, const PopplerRectangle *last, const PopplerRectangle *next)
{
    double height = last->y2 - last->y1;
    double shift = fabs((last->y1 + last->y2) - (next->y1 + next->y2)) / 2;
    if (ends_block(last, next))
        g_string_append_c(out, '\n');
    else if (shift < ROW_SHIFT * height && next->x1 > last->x2 && out->len > 1 &&
             out->str[out->len - 2] != '\n')
        out->str[out->len - 1] = '\t';
}

/* The text with the gaps of the page written out, and a box a word. */
static void
lay_out(PdPart *part, const char *text, const PopplerRectangle *areas)
{
    GString *out = part->text;
    const PopplerRectangle *last = NULL; /* of the last character that is no blank */
    gunichar last_char = 0;
    gboolean blank = TRUE; /* whitespace since then */
    guint start = 0;
    PdBox box = {0};
    part->boxes = g_array_new(FALSE, FALSE, sizeof(PdBox));
    for (const char *at = text; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        gboolean marker = has_no_rectangle(c);
        const PopplerRectangle *area = marker ? NULL : areas++;
        if (g_unichar_isspace(c)) {
            if (!blank)
                add_box(part, start, out->len, &box);
            blank = TRUE;
            append_plain(out, c);
            continue;
        }
        const char *gap = "";
        if (last && area && !blank)
            gap = gap_between(last, last_char, area, c);
        else if (last && area && out->str[out->len - 1] == '\n')
            mend_line_end(out, last, area);
        if (*gap) {
            add_box(part, start, out->len, &box);
            g_string_append(out, gap);
        }
        if (blank || *gap) {
            start = out->len;
            memset(&box, 0, sizeof box);
        }
        append_plain(out, c);
        blank = FALSE;
        if (area) {
            grow(&box, area);
            last = area;
            last_char = c;
        }
    }
    if (!blank)
        add_box(part, start, out->len, &box);
}

static PdPart *
new_page_part(PdDocument *document, PopplerPage *page)
{
    g_autofree char *path = g_strdup_printf("page/%d", poppler_page_get_index(page) + 1);
    g_autofree char *label = poppler_page_get_label(page);
    return pd_document_add_part(document, path, label && *label ? label : path + 5);
}

PdPart *
pd_pdf_read_page(PdDocument *document, PopplerPage *page, gboolean *paired)
{
    g_autofree char *raw = poppler_page_get_text(page);
    g_autofree char *text = raw ? g_utf8_make_valid(raw, -1) : g_strdup("");
    g_autofree PopplerRectangle *areas = NULL;
    guint n_areas = 0;
    PdPart *part = new_page_part(document, page);
    gboolean found = *text && poppler_page_get_text_layout(page, &areas, &n_areas);
    *paired = !*text || (found && counts_agree(text, n_areas));
    if (*paired && *text)
        lay_out(part, text, areas);
    else
        g_string_append(part->text, text);
    if (part->text->len && part->text->str[part->text->len - 1] != '\n')
        g_string_append_c(part->text, '\n');
    if (*paired)
        pd_pdf_sort_rows(part);
    return part;
}

/* --- drawing ---------------------------------------------------------------------------------- */

/* White, as large as asked.  Most pages of a document have one size, and memory that has not been
 * touched costs as much as drawing: that of the last page is used again, unless it is still in use
 * or was large. */
static cairo_surface_t *
blank_surface(int width, int height)
{
    static cairo_surface_t *last;
    if (!last || cairo_surface_get_reference_count(last) > 1 ||
        cairo_image_surface_get_width(last) != width ||
        cairo_image_surface_get_height(last) != height) {
        g_clear_pointer(&last, cairo_surface_destroy);
        last = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    }
    cairo_surface_t *surface = cairo_surface_reference(last);
    unsigned char *pixels = cairo_image_surface_get_data(surface);
    gsize n = pixels ? (gsize)cairo_image_surface_get_stride(surface) * (gsize)height : 0;
    if (!n || n > KEPT_SURFACE_BYTES_MAX)
        g_clear_pointer(&last, cairo_surface_destroy);
    if (n)
        memset(pixels, 0xFF, n);
    cairo_surface_mark_dirty(surface);
    return surface;
}

cairo_surface_t *
pd_pdf_render(PopplerPage *page, double side_max, const PdReadLimits *limits, PdPdfGlyphs **glyphs,
              double *scale)
{
    double width;
    double height;
    poppler_page_get_size(page, &width, &height);
    double side = MAX(width, height);
    if (!isfinite(side) || side < 1)
        return NULL;
    *scale = MIN(*scale, side_max / side);
    cairo_surface_t *surface =
        blank_surface(MAX(1, (int)ceil(width * *scale)), MAX(1, (int)ceil(height * *scale)));
    cairo_t *cairo = cairo_create(surface);
    cairo_scale(cairo, *scale, *scale);
    if (glyphs)
        *glyphs = pd_pdf_glyphs_new(limits, width * *scale, height * *scale);
    pd_pdf_glyphs_watch(glyphs ? *glyphs : NULL);
    poppler_page_render(page, cairo);
    pd_pdf_glyphs_watch(NULL);
    cairo_destroy(cairo);
    cairo_surface_flush(surface);
    if (cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS)
        return surface;
    cairo_surface_destroy(surface);
    return NULL;
}

/* --- pictures of text ------------------------------------------------------------------------- */

/* Brightness, a byte a pixel; FALSE: the page is blank. */
static gboolean
to_grey(cairo_surface_t *surface, guint8 *grey)
{
    const unsigned char *pixels = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    int width = cairo_image_surface_get_width(surface);
    int height = cairo_image_surface_get_height(surface);
    gboolean any_ink = FALSE;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            guint32 pixel;
            memcpy(&pixel, pixels + (gsize)y * (gsize)stride + (gsize)x * 4, sizeof pixel);
            /* ITU-R BT.601, in 256ths */
            guint value =
                (77 * (pixel >> 16 & 0xFF) + 150 * (pixel >> 8 & 0xFF) + 29 * (pixel & 0xFF)) >> 8;
            any_ink |= value < OCR_INK_MAX;
            *grey++ = (guint8)value;
        }
    }
    return any_ink;
}

PdPart *
pd_pdf_ocr_page(PdDocument *document, PopplerPage *page, PdOcr *ocr, PdOcrResult *result)
{
    double scale = OCR_SCALE;
    cairo_surface_t *surface = pd_pdf_render(page, OCR_SIDE_MAX, NULL, NULL, &scale);
    if (!surface)
        return NULL;
    int width = cairo_image_surface_get_width(surface);
    int height = cairo_image_surface_get_height(surface);
    g_autofree guint8 *grey = g_malloc((gsize)width * (gsize)height);
    gboolean any_ink = to_grey(surface, grey);
    cairo_surface_destroy(surface);
    if (!any_ink)
        return NULL;
    PdPart *part = new_page_part(document, page);
    PdOcrImage image = {grey, width, height, width, scale};
    part->boxes = g_array_new(FALSE, FALSE, sizeof(PdBox));
    *result = pd_ocr_read(ocr, &image, part);
    if (!result->n_words) {
        g_ptr_array_remove(document->parts, part);
        return NULL;
    }
    char *label = g_strdup_printf("%s, OCR %.0f %%", part->label, result->confidence);
    g_free(part->label);
    part->label = label;
    return part;
}
