/*
 * What poppler draws, and what it says it is.
 *
 * Text that is taken out of a PDF is what its character maps say, and only inside the page.  What a
 * reader sees are the glyphs, and what the file holds may lie beyond the edge.  Both are known
 * where poppler hands glyphs to cairo, which is before cairo clips: three functions of cairo stand
 * here in place of cairo's own (the program's symbols come before those of the libraries that it is
 * linked with), look at what passes and draw as cairo would.  Text comes along where a font has a
 * character map; without one the text that poppler gives is by the names of glyphs, as the drawing
 * is.
 *
 * What a glyph is, its font says: by a Unicode character map or by glyph names, of which FreeType
 * makes such a map (Adobe Glyph List).  Fonts that say neither are believed.  Only letters and
 * digits of Latin, Greek and Cyrillic are compared, without case and accents, since fonts and maps
 * differ over much else without harm.
 */
#include "ingest/readers/pdf_glyphs.h"

#include <cairo-ft.h>
#include <dlfcn.h>
#include <ft2build.h>
#include <math.h>
#include <string.h>
#include FT_FREETYPE_H

/* Letters beyond Cyrillic are not compared. */
#define COMPARED_MAX 0x530

static PdPdfGlyphs *watched;

PdPdfGlyphs *
pd_pdf_glyphs_new(const PdReadLimits *limits, double width, double height)
{
    PdPdfGlyphs *glyphs = g_new0(PdPdfGlyphs, 1);
    glyphs->limits = limits;
    glyphs->width = width;
    glyphs->height = height;
    glyphs->lies = g_array_new(FALSE, FALSE, sizeof(PdPdfLie));
    glyphs->outside = g_string_new(NULL);
    return glyphs;
}

void
pd_pdf_glyphs_free(PdPdfGlyphs *glyphs)
{
    if (!glyphs)
        return;
    g_array_unref(glyphs->lies);
    g_string_free(glyphs->outside, TRUE);
    g_free(glyphs);
}

void
pd_pdf_glyphs_watch(PdPdfGlyphs *glyphs)
{
    watched = glyphs;
}

/* --- what a glyph is -------------------------------------------------------------------------- */

/* A letter or digit without case, accent or ligature: what is compared; 0: it is not compared. */
static gunichar
plain_letter(gunichar c)
{
    gunichar parts[8];
    gsize n = g_unichar_fully_decompose(c, TRUE, parts, G_N_ELEMENTS(parts));
    for (gsize i = 0; i < MIN(n, G_N_ELEMENTS(parts)); i++) {
        if (!g_unichar_isalnum(parts[i]))
            continue;
        gunichar lower = g_unichar_tolower(parts[i]);
        return lower == 0x131 ? 'i' : lower == 0x237 ? 'j' : lower < COMPARED_MAX ? lower : 0;
    }
    return 0;
}

/* The first character of a cluster that is compared. */
static gunichar
letter_said(const char *text, gsize n)
{
    for (const char *at = text; at < text + n; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char_validated(at, text + n - at);
        if (c >= 0x110000) /* not UTF-8 */
            return 0;
        if (g_unichar_isalnum(c))
            return plain_letter(c);
    }
    return 0;
}

/* Glyph -> its characters (GArray of gunichar), as the font has them. */
static void
free_array(gpointer array)
{
    g_array_unref(array);
}

static GHashTable *
read_map(PdPdfGlyphs *glyphs, FT_Face face)
{
    GHashTable *map = g_hash_table_new_full(NULL, NULL, NULL, free_array);
    FT_CharMap before = face->charmap;
    FT_UInt glyph = 0;
    if (FT_Select_Charmap(face, FT_ENCODING_UNICODE) != 0)
        return map;
    FT_ULong c = FT_Get_First_Char(face, &glyph);
    for (guint n = 0; glyph && n < glyphs->limits->pdf_font_glyphs_max; n++) {
        GArray *characters = g_hash_table_lookup(map, GUINT_TO_POINTER(glyph));
        gunichar value = (gunichar)c;
        if (!characters) {
            characters = g_array_new(FALSE, FALSE, sizeof(gunichar));
            g_hash_table_insert(map, GUINT_TO_POINTER(glyph), characters);
        }
        g_array_append_val(characters, value);
        c = FT_Get_Next_Char(face, c, &glyph);
    }
    glyphs->more_in_font |= glyph != 0;
    if (before)
        FT_Set_Charmap(face, before);
    return map;
}

static void
free_map(void *map)
{
    g_hash_table_unref(map);
}

/* Kept with the font; NULL: it is none of FreeType's. */
static GHashTable *
map_of_font(PdPdfGlyphs *glyphs, cairo_t *cairo)
{
    static const cairo_user_data_key_t key;
    cairo_font_face_t *font = cairo_get_font_face(cairo);
    if (cairo_font_face_get_type(font) != CAIRO_FONT_TYPE_FT)
        return NULL;
    GHashTable *map = cairo_font_face_get_user_data(font, &key);
    if (map)
        return map;
    cairo_scaled_font_t *scaled = cairo_get_scaled_font(cairo);
    FT_Face face = cairo_ft_scaled_font_lock_face(scaled);
    if (!face)
        return NULL;
    map = read_map(glyphs, face);
    cairo_ft_scaled_font_unlock_face(scaled);
    if (cairo_font_face_set_user_data(font, &key, map, free_map) == CAIRO_STATUS_SUCCESS)
        return map;
    g_hash_table_unref(map);
    return NULL;
}

/* Another letter or digit than was said; 0: the same, or nobody can tell. */
static gunichar
drawn_instead(GHashTable *map, gulong glyph, gunichar said)
{
    const GArray *characters = g_hash_table_lookup(map, GUINT_TO_POINTER((guint)glyph));
    gunichar other = 0;
    for (guint i = 0; characters && i < characters->len; i++) {
        gunichar letter = plain_letter(g_array_index(characters, gunichar, i));
        if (!letter || letter == said)
            return 0;
        other = other ? other : g_array_index(characters, gunichar, i);
    }
    return other;
}

/* The first character that the font has for a glyph; 0: none. */
static gunichar
named_by_font(GHashTable *map, gulong glyph)
{
    const GArray *characters =
        map ? g_hash_table_lookup(map, GUINT_TO_POINTER((guint)glyph)) : NULL;
    return characters ? g_array_index(characters, gunichar, 0) : 0;
}

/* --- what passes ------------------------------------------------------------------------------ */

static double
font_size(cairo_t *cairo)
{
    cairo_matrix_t font;
    cairo_get_font_matrix(cairo, &font);
    double x = font.xy, y = font.yy; /* the em upwards */
    cairo_user_to_device_distance(cairo, &x, &y);
    return hypot(x, y);
}

static gboolean
is_outside(const PdPdfGlyphs *glyphs, double x, double y, double em)
{
    return x > glyphs->width + em / 4 || x < -em || y > glyphs->height + em || y < -em / 4;
}

/* `text` NULL: the PDF says nothing of the glyph. */
static void
look_at_glyph(PdPdfGlyphs *glyphs, cairo_t *cairo, GHashTable *map, double em, const char *text,
              gsize n_text, const cairo_glyph_t *glyph)
{
    gunichar said = text ? letter_said(text, n_text) : 0;
    double x = glyph->x, y = glyph->y;
    cairo_user_to_device(cairo, &x, &y);
    if (!isfinite(x) || !isfinite(y) || !isfinite(em))
        return;
    if (is_outside(glyphs, x, y, em)) {
        gunichar named = text ? 0 : named_by_font(map, glyph->index);
        if (glyphs->outside->len + n_text >= glyphs->limits->pdf_outside_bytes_max)
            glyphs->more_outside |= text || named;
        else if (text)
            g_string_append_len(glyphs->outside, text, (gssize)n_text);
        else if (named)
            g_string_append_unichar(glyphs->outside, named);
        return;
    }
    gunichar drawn = map && said ? drawn_instead(map, glyph->index, said) : 0;
    PdPdfLie lie = {x, y, em, said, drawn};
    if (drawn && glyphs->lies->len >= glyphs->limits->pdf_false_glyphs_max)
        glyphs->more_lies = TRUE;
    else if (drawn)
        g_array_append_val(glyphs->lies, lie);
}

/* In place of cairo's: poppler gives the text of glyphs only to surfaces that ask for it. */
cairo_bool_t
cairo_surface_has_show_text_glyphs(cairo_surface_t *surface)
{
    return watched != NULL;
}

/* What the library itself would do. */
static void
draw_glyphs(cairo_t *cairo, const cairo_glyph_t *glyphs, int n)
{
    static void (*draw)(cairo_t *, const cairo_glyph_t *, int);
    if (!draw)
        *(void **)&draw = dlsym(RTLD_NEXT, "cairo_show_glyphs");
    if (draw)
        draw(cairo, glyphs, n);
}

/* Strings of a page are words or lines. */
static void
end_string(PdPdfGlyphs *glyphs, gsize n_outside)
{
    if (glyphs->outside->len > n_outside)
        g_string_append_c(glyphs->outside, ' ');
}

/* In place of cairo's. */
void
cairo_show_glyphs(cairo_t *cairo, const cairo_glyph_t *glyphs, int num_glyphs)
{
    if (watched) {
        GHashTable *map = map_of_font(watched, cairo);
        double em = font_size(cairo);
        gsize n_outside = watched->outside->len;
        for (int i = 0; i < num_glyphs; i++)
            look_at_glyph(watched, cairo, map, em, NULL, 0, &glyphs[i]);
        end_string(watched, n_outside);
    }
    draw_glyphs(cairo, glyphs, num_glyphs);
}

/* In place of cairo's: the same drawing, for surfaces that keep pixels and no text. */
void
cairo_show_text_glyphs(cairo_t *cairo, const char *utf8, int utf8_len, const cairo_glyph_t *glyphs,
                       int num_glyphs, const cairo_text_cluster_t *clusters, int num_clusters,
                       cairo_text_cluster_flags_t cluster_flags)
{
    if (watched) {
        gsize at = 0, n = (gsize)MAX(utf8_len, 0), n_outside = watched->outside->len;
        int glyph = 0;
        GHashTable *map = map_of_font(watched, cairo);
        double em = font_size(cairo);
        for (int i = 0; i < num_clusters && glyph < num_glyphs; i++) {
            gsize n_text = MIN((gsize)MAX(clusters[i].num_bytes, 0), n - at);
            look_at_glyph(watched, cairo, map, em, utf8 + at, n_text, &glyphs[glyph]);
            at += n_text;
            glyph += MAX(clusters[i].num_glyphs, 0);
        }
        end_string(watched, n_outside);
    }
    draw_glyphs(cairo, glyphs, num_glyphs);
}
