/* See docx_styles.h. */
#include "ingest/readers/docx_styles.h"

#include <string.h>

/* Styles inherit from others; a ring of them ends. */
#define CHAIN_MAX 16

static void
style_free(gpointer data)
{
    g_free(((PdDocxStyle *)data)->based_on);
    g_free(data);
}

/* "heading 1" to "heading 9" are the built-in names whatever the language; so is "Title". */
static void
read_name(PdXml *xml, PdDocxStyle *style)
{
    g_autofree char *name = pd_xml_attribute(xml, "val");
    g_autofree char *lower = name ? g_ascii_strdown(name, -1) : g_strdup("");
    if (g_str_has_prefix(lower, "heading ") && lower[8] >= '1' && lower[8] <= '9' && !lower[9])
        style->level = MIN((guint)(lower[8] - '0'), 6);
    else if (strcmp(lower, "title") == 0)
        style->level = 1;
    else
        return;
    style->says_level = TRUE;
}

static void
read_property(PdXml *xml, PdDocxStyle *style)
{
    if (pd_xml_is(xml, "name")) {
        read_name(xml, style);
    } else if (pd_xml_is(xml, "basedOn")) {
        g_free(style->based_on);
        style->based_on = pd_xml_attribute(xml, "val");
    } else if (pd_xml_is(xml, "outlineLvl") && !style->says_level) {
        gint64 level = pd_xml_number(xml, "val", 9);
        style->says_level = TRUE;
        style->level = level >= 0 && level < 9 ? MIN((guint)level + 1, 6) : 0;
    } else if (pd_xml_is(xml, "numId")) {
        style->says_list = TRUE;
        style->num_id = pd_xml_number(xml, "val", 0);
    } else if (pd_xml_is(xml, "ilvl")) {
        style->ilvl = (guint)CLAMP(pd_xml_number(xml, "val", 0), 0, 8);
    } else if (pd_xml_is(xml, "vanish")) {
        style->hidden = pd_xml_toggle(xml);
    }
}

static void
inherit(GHashTable *styles, PdDocxStyle *style)
{
    const char *id = style->based_on;
    for (guint i = 0; id && i < CHAIN_MAX; i++) {
        const PdDocxStyle *base = g_hash_table_lookup(styles, id);
        if (!base)
            break;
        if (!style->says_level && base->says_level) {
            style->says_level = TRUE;
            style->level = base->level;
        }
        if (!style->says_list && base->says_list) {
            style->says_list = TRUE;
            style->num_id = base->num_id;
            style->ilvl = MAX(style->ilvl, base->ilvl);
        }
        if (style->hidden < 0)
            style->hidden = base->hidden;
        id = base->based_on;
    }
}

GHashTable *
pd_docx_styles_new(PdXml *xml)
{
    GHashTable *styles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, style_free);
    PdDocxStyle *style = NULL;
    for (PdXmlEvent event; (event = pd_xml_next(xml)) != PD_XML_END;) {
        if (event == PD_XML_OPEN && pd_xml_is(xml, "style")) {
            char *id = pd_xml_attribute(xml, "styleId");
            style = g_new0(PdDocxStyle, 1);
            style->hidden = -1;
            g_hash_table_replace(styles, id ? id : g_strdup(""), style);
        } else if (event == PD_XML_CLOSE && pd_xml_is(xml, "style")) {
            style = NULL;
        } else if (event == PD_XML_OPEN && style) {
            read_property(xml, style);
        }
    }
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, styles);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        inherit(styles, value);
    g_hash_table_iter_init(&iter, styles);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_clear_pointer(&((PdDocxStyle *)value)->based_on, g_free);
    return styles;
}
