/*
 * See numbering.h.  Lists that share an abstract list share its counters; one that overrides the
 * start begins anew the first time it is used.
 */
#include "ingest/readers/numbering.h"

#include <string.h>

typedef struct {
    char *format; /* "decimal", "bullet" ... */
    char *text;   /* "%1.%2." */
    gint64 start;
    gboolean legal; /* all numbers as decimals */
} Level;

typedef struct {
    Level levels[PD_LIST_LEVELS];
    guint counts[PD_LIST_LEVELS];
    gboolean counted[PD_LIST_LEVELS];
} Abstract;

typedef struct {
    gint64 abstract_id;
    gint64 starts[PD_LIST_LEVELS]; /* -1: not overridden */
    gboolean used[PD_LIST_LEVELS];
} List;

struct PdNumbering {
    GHashTable *abstracts; /* gint64 -> Abstract */
    GHashTable *lists;     /* gint64 -> List */
};

static void
abstract_free(gpointer data)
{
    Abstract *abstract = data;
    for (guint i = 0; i < PD_LIST_LEVELS; i++) {
        g_free(abstract->levels[i].format);
        g_free(abstract->levels[i].text);
    }
    g_free(abstract);
}

static gpointer
find_or_add(GHashTable *table, gint64 id, gsize size)
{
    gpointer found = g_hash_table_lookup(table, &id);
    if (!found) {
        found = g_malloc0(size);
        g_hash_table_insert(table, g_memdup2(&id, sizeof id), found);
    }
    return found;
}

static void
read_level_property(PdXml *xml, Level *level)
{
    if (pd_xml_is(xml, "start")) {
        level->start = pd_xml_number(xml, "val", 1);
    } else if (pd_xml_is(xml, "isLgl")) {
        level->legal = pd_xml_toggle(xml);
    } else if (pd_xml_is(xml, "numFmt")) {
        g_free(level->format);
        level->format = pd_xml_attribute(xml, "val");
    } else if (pd_xml_is(xml, "lvlText")) {
        g_free(level->text);
        level->text = pd_xml_attribute(xml, "val");
    }
}

PdNumbering *
pd_numbering_new(PdXml *xml)
{
    PdNumbering *numbering = g_new0(PdNumbering, 1);
    Abstract *abstract = NULL;
    List *list = NULL;
    gint64 ilvl = 0;
    numbering->abstracts =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, abstract_free);
    numbering->lists = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event != PD_XML_OPEN)
            continue;
        if (pd_xml_is(xml, "abstractNum")) {
            list = NULL;
            abstract = find_or_add(numbering->abstracts, pd_xml_number(xml, "abstractNumId", -1),
                                   sizeof *abstract);
        } else if (pd_xml_is(xml, "num")) {
            list = find_or_add(numbering->lists, pd_xml_number(xml, "numId", -1), sizeof *list);
            list->abstract_id = -1;
            memset(list->starts, 0xFF, sizeof list->starts);
        } else if (pd_xml_is(xml, "abstractNumId") && list) {
            list->abstract_id = pd_xml_number(xml, "val", -1);
        } else if (pd_xml_is(xml, "lvl") || pd_xml_is(xml, "lvlOverride")) {
            ilvl = CLAMP(pd_xml_number(xml, "ilvl", 0), 0, PD_LIST_LEVELS - 1);
        } else if (pd_xml_is(xml, "startOverride") && list) {
            list->starts[ilvl] = pd_xml_number(xml, "val", 1);
        } else if (abstract && !list) {
            read_level_property(xml, &abstract->levels[ilvl]);
        }
    }
    return numbering;
}

void
pd_numbering_free(PdNumbering *numbering)
{
    if (!numbering)
        return;
    g_hash_table_unref(numbering->abstracts);
    g_hash_table_unref(numbering->lists);
    g_free(numbering);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void
append_roman(GString *out, guint n, gboolean upper)
{
    static const struct {
        guint value;
        const char *lower;
        const char *upper;
    } digits[] = {{1000, "m", "M"}, {900, "cm", "CM"}, {500, "d", "D"}, {400, "cd", "CD"},
                  {100, "c", "C"},  {90, "xc", "XC"},  {50, "l", "L"},  {40, "xl", "XL"},
                  {10, "x", "X"},   {9, "ix", "IX"},   {5, "v", "V"},   {4, "iv", "IV"},
                  {1, "i", "I"}};
    for (gsize i = 0; i < G_N_ELEMENTS(digits); i++) {
        for (; n >= digits[i].value; n -= digits[i].value)
            g_string_append(out, upper ? digits[i].upper : digits[i].lower);
    }
}

void
pd_append_number(GString *out, const char *format, guint n)
{
    gboolean upper = format && g_str_has_prefix(format, "upper");
    if (n && n < 4000 && format && g_str_has_suffix(format, "Roman")) {
        append_roman(out, n, upper);
    } else if (n && n < 780 && format && g_str_has_suffix(format, "Letter")) {
        /* a ... z, aa, bb ... */
        for (guint i = 0; i <= (n - 1) / 26; i++)
            g_string_append_c(out, (char)((upper ? 'A' : 'a') + (n - 1) % 26));
    } else {
        gboolean padded = format && strcmp(format, "decimalZero") == 0;
        g_string_append_printf(out, padded ? "%02u" : "%u", n);
    }
}

/* --- labels ----------------------------------------------------------------------------------- */

static void
count(Abstract *abstract, List *list, guint level)
{
    if (!list->used[level] && list->starts[level] >= 0)
        abstract->counts[level] = (guint)CLAMP(list->starts[level], 0, G_MAXINT);
    else if (!abstract->counted[level])
        abstract->counts[level] = (guint)CLAMP(abstract->levels[level].start, 0, G_MAXINT);
    else
        abstract->counts[level]++;
    list->used[level] = abstract->counted[level] = TRUE;
    for (guint i = level + 1; i < PD_LIST_LEVELS; i++)
        abstract->counted[i] = FALSE;
}

static void
append_label(GString *out, Abstract *abstract, guint level)
{
    const Level *own = &abstract->levels[level];
    for (const char *at = own->text; *at; at++) {
        if (at[0] != '%' || at[1] < '1' || at[1] > '9') {
            g_string_append_c(out, *at);
            continue;
        }
        guint other = (guint)(*++at - '1');
        const Level *shown = &abstract->levels[other];
        /* A level that was passed over stands at its start. */
        guint n = abstract->counted[other] ? abstract->counts[other]
                                           : (guint)CLAMP(shown->start, 0, G_MAXINT);
        pd_append_number(out, own->legal ? "decimal" : shown->format, n);
    }
}

char *
pd_numbering_next(PdNumbering *numbering, gint64 num_id, guint level)
{
    List *list = g_hash_table_lookup(numbering->lists, &num_id);
    Abstract *abstract =
        list ? g_hash_table_lookup(numbering->abstracts, &list->abstract_id) : NULL;
    if (!abstract || level >= PD_LIST_LEVELS)
        return NULL;
    count(abstract, list, level);
    const Level *own = &abstract->levels[level];
    if (own->format && strcmp(own->format, "bullet") == 0)
        return g_strdup("-"); /* its character is of a font of symbols */
    if (!own->text || !*own->text || (own->format && strcmp(own->format, "none") == 0))
        return NULL;
    GString *out = g_string_new(NULL);
    append_label(out, abstract, level);
    return g_string_free(out, FALSE);
}
