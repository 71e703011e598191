/* See xml.h. */
#include "ingest/readers/xml.h"

#include <string.h>
#include <libxml/xmlreader.h>

struct PdXml {
    xmlTextReaderPtr reader;
    PdXmlEvent event;
    gboolean is_empty; /* the element that opened has no end of its own */
    guint depth;
    char *damage;
};

PdXml *
pd_xml_new(const guint8 *bytes, gsize n)
{
    PdXml *xml = g_new0(PdXml, 1);
    if (n > G_MAXINT)
        xml->damage = g_strdup("it is too large");
    else
        xml->reader = xmlReaderForMemory((const char *)bytes, (int)n, NULL, NULL,
                                         XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                             XML_PARSE_NOCDATA);
    if (!xml->reader && !xml->damage)
        xml->damage = g_strdup("it is empty");
    return xml;
}

void
pd_xml_free(PdXml *xml)
{
    if (!xml)
        return;
    xmlFreeTextReader(xml->reader);
    g_free(xml->damage);
    g_free(xml);
}

/* No office file declares a document type: entities come with it, and nothing else of use. */
static PdXmlEvent
stop(PdXml *xml, const char *why)
{
    if (!xml->damage) {
        xml->damage = g_utf8_make_valid(why, -1);
        g_strchomp(xml->damage);
    }
    return xml->event = PD_XML_END;
}

static PdXmlEvent
stop_at_error(PdXml *xml)
{
    const xmlError *error = xmlGetLastError();
    return stop(xml, error && error->message ? error->message : "it is not well-formed XML");
}

PdXmlEvent
pd_xml_next(PdXml *xml)
{
    if (xml->damage || !xml->reader)
        return xml->event = PD_XML_END;
    if (xml->event == PD_XML_OPEN && xml->is_empty) {
        xml->is_empty = FALSE;
        return xml->event = PD_XML_CLOSE;
    }
    if (xml->event == PD_XML_CLOSE)
        xml->depth--;
    for (;;) {
        int rc = xmlTextReaderRead(xml->reader);
        if (rc != 1)
            return rc == 0 ? (xml->event = PD_XML_END) : stop_at_error(xml);
        switch (xmlTextReaderNodeType(xml->reader)) {
        case XML_READER_TYPE_ELEMENT:
            xml->is_empty = xmlTextReaderIsEmptyElement(xml->reader) == 1;
            xml->depth++;
            return xml->event = PD_XML_OPEN;
        case XML_READER_TYPE_END_ELEMENT:
            return xml->event = PD_XML_CLOSE;
        case XML_READER_TYPE_TEXT:
        case XML_READER_TYPE_CDATA:
        case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
        case XML_READER_TYPE_WHITESPACE:
            return xml->event = PD_XML_TEXT;
        case XML_READER_TYPE_DOCUMENT_TYPE:
            return stop(xml, "it declares a document type, which is not read");
        default:
            break;
        }
    }
}

const char *
pd_xml_name(const PdXml *xml)
{
    const xmlChar *name = xmlTextReaderConstLocalName(xml->reader);
    return name ? (const char *)name : "";
}

const char *
pd_xml_text(const PdXml *xml)
{
    const xmlChar *text = xmlTextReaderConstValue(xml->reader);
    return text ? (const char *)text : "";
}

gboolean
pd_xml_is(const PdXml *xml, const char *name)
{
    return strcmp(pd_xml_name(xml), name) == 0;
}

guint
pd_xml_depth(const PdXml *xml)
{
    return xml->depth;
}

/* `in_relations`: only in the namespace of relationships. */
static char *
find_attribute(PdXml *xml, const char *name, gboolean in_relations)
{
    char *value = NULL;
    int rc = xmlTextReaderMoveToFirstAttribute(xml->reader);
    for (; rc == 1 && !value; rc = xmlTextReaderMoveToNextAttribute(xml->reader)) {
        const char *space = (const char *)xmlTextReaderConstNamespaceUri(xml->reader);
        gboolean related = space && g_str_has_suffix(space, "/relationships");
        if (related == in_relations && pd_xml_is(xml, name))
            value = g_strdup(pd_xml_text(xml));
    }
    xmlTextReaderMoveToElement(xml->reader);
    return value;
}

char *
pd_xml_attribute(PdXml *xml, const char *name)
{
    return find_attribute(xml, name, FALSE);
}

char *
pd_xml_relation(PdXml *xml, const char *name)
{
    return find_attribute(xml, name, TRUE);
}

gint64
pd_xml_number(PdXml *xml, const char *name, gint64 missing)
{
    g_autofree char *value = pd_xml_attribute(xml, name);
    char *end;
    gint64 number = value ? g_ascii_strtoll(value, &end, 10) : missing;
    return value && end == value ? missing : number;
}

gboolean
pd_xml_toggle(PdXml *xml)
{
    g_autofree char *value = pd_xml_attribute(xml, "val");
    return !value ||
           !(strcmp(value, "0") == 0 || strcmp(value, "false") == 0 || strcmp(value, "off") == 0);
}

void
pd_xml_skip(PdXml *xml, GString *text)
{
    guint depth = xml->depth;
    while (!(xml->event == PD_XML_CLOSE && xml->depth == depth)) {
        PdXmlEvent event = pd_xml_next(xml);
        if (event == PD_XML_END)
            return;
        if (event == PD_XML_TEXT && text)
            g_string_append(text, pd_xml_text(xml));
    }
}

char *
pd_xml_element_text(PdXml *xml)
{
    g_autoptr(GString) text = g_string_new(NULL);
    pd_xml_skip(xml, text);
    g_strstrip(text->str);
    return *text->str ? g_strdup(text->str) : NULL;
}

const char *
pd_xml_damage(const PdXml *xml)
{
    return xml->damage;
}
