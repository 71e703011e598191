/*
 * The ink test: what of a page's text a reader of the paper does not see.
 *
 * The page is drawn, and looked at where each word stands.  White text, text under a black bar and
 * invisible text leave no contrast there.  The edge of a bar does where it runs along a word's box,
 * so the middle of the box is what counts.  While the page is drawn, glyphs are compared with what
 * the PDF says they mean, and text beyond the edge is noted (pdf_glyphs.c).
 */
#include "ingest/readers/pdf.h"

#include <math.h>
#include <string.h>

#define RENDER_SCALE 2.0 /* 144 dpi */
#define RENDER_SIDE_MAX 3000
#define TINY_POINTS 2.5
/* Of 255; the faintest grey print is far above, noise of rendering below. */
#define CONTRAST_MIN 24
#define WORDS_SHOWN_BYTES 400
/* What of a word's box is its edge: of its height, where hardly a letter has all its ink; and of a
 * letter at either end. */
#define EDGE_TOP 0.2
#define EDGE_BOTTOM 0.15
#define END_LETTERS 0.8

void
pd_pdf_ink_free(PdPdfInk *ink)
{
    if (!ink)
        return;
    g_string_free(ink->unseen, TRUE);
    g_string_free(ink->lying, TRUE);
    g_string_free(ink->outside, TRUE);
    g_free(ink->marks);
    g_free(ink);
}

/* --- contrast --------------------------------------------------------------------------------- */

/* Is there a difference of brightness, of any colour channel, under a box?  Most words show it in
 * their first rows. */
static gboolean
has_contrast(cairo_surface_t *surface, const PdBox *box, double scale)
{
    const unsigned char *pixels = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    int x0 = CLAMP((int)floor(box->x0 * scale), 0, cairo_image_surface_get_width(surface));
    int y0 = CLAMP((int)floor(box->y0 * scale), 0, cairo_image_surface_get_height(surface));
    int x1 = CLAMP((int)ceil(box->x1 * scale), 0, cairo_image_surface_get_width(surface));
    int y1 = CLAMP((int)ceil(box->y1 * scale), 0, cairo_image_surface_get_height(surface));
    int low[3] = {255, 255, 255};
    int high[3] = {0, 0, 0};
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            guint32 pixel;
            memcpy(&pixel, pixels + (gsize)y * (gsize)stride + (gsize)x * 4, sizeof pixel);
            for (int c = 0; c < 3; c++) {
                int value = (pixel >> (8 * c)) & 0xFF;
                low[c] = MIN(low[c], value);
                high[c] = MAX(high[c], value);
            }
        }
        for (int c = 0; c < 3; c++) {
            if (high[c] - low[c] >= CONTRAST_MIN)
                return TRUE;
        }
    }
    return FALSE;
}

/* --- words ------------------------------------------------------------------------------------ */

/* Letters and digits; rules and leaders ("____", "....") draw little or nothing. */
static guint
count_letters(const char *at, gsize n)
{
    guint n_letters = 0;
    for (const char *end = at + n; at < end; at = g_utf8_next_char(at))
        n_letters += g_unichar_isalnum(g_utf8_get_char(at));
    return n_letters;
}

/* The box without its edges: most of a letter at either end, and what is above and below them. */
static PdBox
middle_of(const PdBox *box, guint n_characters)
{
    PdBox middle = *box;
    float width = box->x1 - box->x0, height = box->y1 - box->y0;
    gboolean upright = n_characters < 3 || width >= height; /* else it runs up or down the page */
    float end = n_characters < 3 ? 0 : (float)END_LETTERS / (float)n_characters;
    middle.x0 += width * (upright ? end : (float)EDGE_TOP);
    middle.x1 -= width * (upright ? end : (float)EDGE_BOTTOM);
    middle.y0 += height * (upright ? (float)EDGE_TOP : end);
    middle.y1 -= height * (upright ? (float)EDGE_BOTTOM : end);
    return middle;
}

/* Has the box of a word, of n bytes, ink that may be its letters'?  At its edges that may be those
 * of a bar; but the dots of a leader stand where they will, and some fonts claim to have no height.
 */
static gboolean
is_seen(cairo_surface_t *surface, const PdBox *box, const char *word, gsize n, double scale)
{
    guint n_characters = (guint)g_utf8_strlen(word, (gssize)n);
    float letter_width = (box->x1 - box->x0) / (float)MAX(n_characters, 1);
    PdBox looked_at = *box;
    if ((box->y1 - box->y0) * 3 < letter_width) {
        looked_at.y0 -= letter_width;
        looked_at.y1 += letter_width / 3;
    } else if (count_letters(word, n) * 2 >= n_characters) {
        looked_at = middle_of(box, n_characters);
    }
    return has_contrast(surface, &looked_at, scale);
}

static void
show_word(GString *words, const char *word, gsize n)
{
    if (words->len + n < WORDS_SHOWN_BYTES)
        g_string_append_printf(words, "%s%.*s", words->len ? " " : "", (int)n, word);
}

static void
mark_unseen(PdPdfInk *ink, cairo_surface_t *surface, const PdPart *part, double scale)
{
    gboolean last_unseen = FALSE;
    for (guint i = 0; i < part->boxes->len; i++) {
        const PdBox *box = &g_array_index(part->boxes, PdBox, i);
        const char *word = part->text->str + box->start;
        gsize n = box->end - box->start;
        gboolean tiny = box->y1 - box->y0 < TINY_POINTS && box->x1 - box->x0 < TINY_POINTS * n;
        gboolean has_letters = count_letters(word, n) > 0;
        ink->n_words += has_letters;
        /* A dash tells nothing by itself; behind a word that cannot be seen it goes with it. */
        last_unseen =
            (has_letters || last_unseen) && (tiny || !is_seen(surface, box, word, n, scale));
        if (!last_unseen)
            continue;
        ink->marks[i] = PD_PDF_UNSEEN;
        if (!has_letters)
            continue;
        ink->n_unseen++;
        show_word(ink->unseen, word, n);
    }
}

/* The letters that the page shows in place of a word's, as far as they differ; their number. */
static guint
drawn_in_box(const PdPdfGlyphs *glyphs, const PdBox *box, double scale, GString *drawn)
{
    guint n = 0;
    for (guint i = 0; i < glyphs->lies->len; i++) {
        const PdPdfLie *lie = &g_array_index(glyphs->lies, PdPdfLie, i);
        /* A little right of the origin and above the baseline is inside the letter. */
        double x = lie->x / scale, y = lie->y / scale, em = lie->em / scale;
        if (x + em / 20 < (double)box->x0 || x >= (double)box->x1 - em / 20 ||
            y < (double)box->y0 || y - em / 4 > (double)box->y1)
            continue;
        g_string_append_unichar(drawn, lie->drawn);
        n++;
    }
    return n;
}

static void
mark_lying(PdPdfInk *ink, const PdPdfGlyphs *glyphs, const PdPart *part, double scale)
{
    for (guint i = 0; glyphs->lies->len && i < part->boxes->len; i++) {
        const PdBox *box = &g_array_index(part->boxes, PdBox, i);
        const char *word = part->text->str + box->start;
        gsize n = box->end - box->start;
        g_autoptr(GString) drawn = g_string_new(NULL);
        guint n_letters = count_letters(word, n);
        if (ink->marks[i] || !n_letters || drawn_in_box(glyphs, box, scale, drawn) * 2 < n_letters)
            continue;
        ink->marks[i] = PD_PDF_LYING;
        ink->n_lying++;
        g_autofree char *both = g_strdup_printf("%.*s (%s)", (int)n, word, drawn->str);
        show_word(ink->lying, both, strlen(both));
    }
}

static void
note_outside(PdPdfInk *ink, const PdPdfGlyphs *glyphs)
{
    g_auto(GStrv) words = g_strsplit_set(glyphs->outside->str, " \t\r\n", -1);
    for (char **word = words; *word; word++) {
        if (!count_letters(*word, strlen(*word)))
            continue;
        ink->n_outside++;
        show_word(ink->outside, *word, strlen(*word));
    }
}

PdPdfInk *
pd_pdf_ink_look(PopplerPage *page, const PdPart *part, const PdReadLimits *limits)
{
    PdPdfInk *ink = g_new0(PdPdfInk, 1);
    double scale = RENDER_SCALE;
    g_autoptr(PdPdfGlyphs) glyphs = NULL;
    ink->unseen = g_string_new(NULL);
    ink->lying = g_string_new(NULL);
    ink->outside = g_string_new(NULL);
    cairo_surface_t *surface =
        part->boxes ? pd_pdf_render(page, RENDER_SIDE_MAX, limits, &glyphs, &scale) : NULL;
    if (!surface)
        return ink;
    ink->marks = g_malloc0(part->boxes->len + 1);
    note_outside(ink, glyphs);
    ink->more_outside = glyphs->more_outside;
    ink->more_lying = glyphs->more_lies;
    ink->more_in_font = glyphs->more_in_font;
    /* On a page so large that words shrink below a pixel nothing can be told. */
    if (scale >= RENDER_SCALE / 8) {
        mark_unseen(ink, surface, part, scale);
        mark_lying(ink, glyphs, part, scale);
    }
    cairo_surface_destroy(surface);
    return ink;
}

/* The box as a range, or behind the last one if that ends with the word before. */
static void
add_range(GArray *ranges, const PdPart *part, guint box)
{
    const PdBox *boxes = (const PdBox *)(gpointer)part->boxes->data;
    PdTextRange range = {boxes[box].start, boxes[box].end};
    PdTextRange *last = ranges->len ? &g_array_index(ranges, PdTextRange, ranges->len - 1) : NULL;
    if (last && box > 0 && (last->end == boxes[box - 1].end || last->end == range.start))
        last->end = range.end;
    else
        g_array_append_val(ranges, range);
}

GArray *
pd_pdf_ink_ranges(const PdPdfInk *ink, const PdPart *part, guint marks)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(PdTextRange));
    for (guint i = 0; ink->marks && i < part->boxes->len; i++) {
        if (ink->marks[i] & marks)
            add_range(ranges, part, i);
    }
    return ranges;
}
