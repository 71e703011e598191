/* See odt_lists.h. */
#include "ingest/readers/odt_lists.h"

#include <string.h>

#include "ingest/readers/numbering.h"

#define LEVELS 10
/* What the style of headings is filed under; no list has this name. */
#define OUTLINE ""

typedef struct {
    gboolean bullet;
    char *format; /* "1", "a", "I"; "" or NULL: no number */
    char *prefix;
    char *suffix;
    guint start;
    guint n_shown; /* levels in the label, from this one up */
} Level;

typedef struct {
    Level levels[LEVELS];
    guint counts[LEVELS];
} Style;

struct PdOdtLists {
    GHashTable *styles; /* name -> Style */
    Style *reading;     /* whose levels are being read; borrowed */
    GPtrArray *open;    /* Style or NULL of each open list, outermost first; borrowed */
    char *label;        /* of the item, until it is used */
};

static void
style_free(gpointer data)
{
    Style *style = data;
    for (guint i = 0; i < LEVELS; i++) {
        g_free(style->levels[i].format);
        g_free(style->levels[i].prefix);
        g_free(style->levels[i].suffix);
    }
    g_free(style);
}

PdOdtLists *
pd_odt_lists_new(void)
{
    PdOdtLists *lists = g_new0(PdOdtLists, 1);
    lists->styles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, style_free);
    lists->open = g_ptr_array_new();
    return lists;
}

void
pd_odt_lists_free(PdOdtLists *lists)
{
    if (!lists)
        return;
    g_hash_table_unref(lists->styles);
    g_ptr_array_unref(lists->open);
    g_free(lists->label);
    g_free(lists);
}

/* --- styles ----------------------------------------------------------------------------------- */

void
pd_odt_lists_style(PdOdtLists *lists, PdXml *xml)
{
    const char *name = pd_xml_name(xml);
    gboolean outline = strcmp(name, "outline-style") == 0;
    if (outline || strcmp(name, "list-style") == 0) {
        char *key = outline ? g_strdup(OUTLINE) : pd_xml_attribute(xml, "name");
        lists->reading = g_new0(Style, 1);
        for (guint i = 0; i < LEVELS; i++)
            lists->reading->levels[i].start = lists->reading->levels[i].n_shown = 1;
        /* Lists that are open hold no style that this could replace: they come after all styles. */
        g_hash_table_replace(lists->styles, key ? key : g_strdup("?"), lists->reading);
        return;
    }
    gboolean bullet =
        strcmp(name, "list-level-style-bullet") == 0 || strcmp(name, "list-level-style-image") == 0;
    if (!lists->reading || (!bullet && strcmp(name, "list-level-style-number") != 0 &&
                            strcmp(name, "outline-level-style") != 0))
        return;
    Level *level = &lists->reading->levels[CLAMP(pd_xml_number(xml, "level", 1), 1, LEVELS) - 1];
    g_free(level->format);
    g_free(level->prefix);
    g_free(level->suffix);
    level->bullet = bullet;
    level->format = pd_xml_attribute(xml, "num-format");
    level->prefix = pd_xml_attribute(xml, "num-prefix");
    level->suffix = pd_xml_attribute(xml, "num-suffix");
    level->start = (guint)CLAMP(pd_xml_number(xml, "start-value", 1), 0, G_MAXINT);
    level->n_shown = (guint)CLAMP(pd_xml_number(xml, "display-levels", 1), 1, LEVELS);
}

/* --- labels ----------------------------------------------------------------------------------- */

static void
append_counted(GString *out, const Level *level, guint n)
{
    static const char *const formats[][2] = {
        {"a", "lowerLetter"}, {"A", "upperLetter"}, {"i", "lowerRoman"}, {"I", "upperRoman"}};
    const char *format = "decimal";
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(level->format, formats[i][0]) == 0)
            format = formats[i][1];
    }
    pd_append_number(out, format, n);
}

/* The label of level `at` (from 0) as the counters stand; NULL: it has none. */
static char *
make_label(const Style *style, guint at)
{
    const Level *own = &style->levels[at];
    if (own->bullet)
        return g_strdup_printf("%*s- ", (int)at * 2, "");
    if (!own->format || !*own->format)
        return NULL;
    GString *out = g_string_new(own->prefix);
    gboolean first = TRUE;
    for (guint i = at + 1 - MIN(own->n_shown, at + 1); i <= at; i++) {
        const Level *level = &style->levels[i];
        if (!level->format || !*level->format)
            continue;
        if (!first)
            g_string_append_c(out, '.');
        append_counted(out, level, style->counts[i]);
        first = FALSE;
    }
    g_string_append_printf(out, "%s ", own->suffix ? own->suffix : "");
    return g_string_free(out, FALSE);
}

static void
count(Style *style, guint at, gint64 start)
{
    if (start >= 0)
        style->counts[at] = (guint)MIN(start, G_MAXINT);
    else
        style->counts[at]++;
    for (guint i = at + 1; i < LEVELS; i++)
        style->counts[i] = style->levels[i].start - 1;
}

/* --- lists ------------------------------------------------------------------------------------ */

void
pd_odt_lists_open(PdOdtLists *lists, PdXml *xml)
{
    g_autofree char *name = pd_xml_attribute(xml, "style-name");
    g_autofree char *again = pd_xml_attribute(xml, "continue-numbering");
    g_autofree char *continued = pd_xml_attribute(xml, "continue-list");
    guint at = lists->open->len;
    /* A list in a list has its style, unless it says otherwise. */
    Style *style = name ? g_hash_table_lookup(lists->styles, name) : NULL;
    if (!style && at)
        style = g_ptr_array_index(lists->open, at - 1);
    g_ptr_array_add(lists->open, style);
    if (style && at < LEVELS && !continued && g_strcmp0(again, "true") != 0)
        style->counts[at] = style->levels[at].start - 1;
}

void
pd_odt_lists_close(PdOdtLists *lists)
{
    if (lists->open->len)
        g_ptr_array_set_size(lists->open, (gint)lists->open->len - 1);
    g_clear_pointer(&lists->label, g_free);
}

void
pd_odt_lists_item(PdOdtLists *lists, PdXml *xml)
{
    guint at = lists->open->len - 1;
    Style *style = lists->open->len ? g_ptr_array_index(lists->open, at) : NULL;
    g_clear_pointer(&lists->label, g_free);
    if (!style || at >= LEVELS)
        return;
    count(style, at, pd_xml_number(xml, "start-value", -1));
    lists->label = make_label(style, at);
}

char *
pd_odt_lists_label(PdOdtLists *lists)
{
    return g_steal_pointer(&lists->label);
}

char *
pd_odt_lists_heading(PdOdtLists *lists, guint level)
{
    Style *style = g_hash_table_lookup(lists->styles, OUTLINE);
    if (!style || level < 1 || level > LEVELS)
        return NULL;
    count(style, level - 1, -1);
    return make_label(style, level - 1);
}
