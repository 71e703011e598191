/*
 * XML of office files, element by element, through libxml2's pull reader: no network, no entities
 * of its own making, and libxml2's limits of depth and length on.
 *
 * Elements and attributes are known by their local names: the two editions of Office Open XML
 * (ECMA-376 and ISO strict) differ in nothing but their namespaces.
 */
#ifndef PD_XML_H
#define PD_XML_H

#include <glib.h>

typedef struct PdXml PdXml;

typedef enum {
    PD_XML_END,   /* of the document, or what follows cannot be read: see pd_xml_damage */
    PD_XML_OPEN,  /* an element begins */
    PD_XML_CLOSE, /* an element ends; an empty one has both */
    PD_XML_TEXT,
} PdXmlEvent;

/* `bytes` are borrowed until pd_xml_free. */
PdXml *pd_xml_new(const guint8 *bytes, gsize n);
void pd_xml_free(PdXml *xml);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdXml, pd_xml_free)

PdXmlEvent pd_xml_next(PdXml *xml);
/* Local name of the element that opens or closes, or the text; borrowed until the next call. */
const char *pd_xml_name(const PdXml *xml);
const char *pd_xml_text(const PdXml *xml);
gboolean pd_xml_is(const PdXml *xml, const char *name);
/* Elements that are open, the one that opens or closes included. */
guint pd_xml_depth(const PdXml *xml);

/* The value of an attribute of the element that opens, or NULL.  Free with g_free. */
char *pd_xml_attribute(PdXml *xml, const char *name);
/* The same as a number; `missing` if there is none. */
gint64 pd_xml_number(PdXml *xml, const char *name, gint64 missing);
/* TRUE unless its "val" says that it is off. */
gboolean pd_xml_toggle(PdXml *xml);
/* r:id and the like: the attribute `name` in the namespace of relationships. */
char *pd_xml_relation(PdXml *xml, const char *name);

/* Of the element that opens: go to its end.  The text inside is appended to `text`, if not NULL. */
void pd_xml_skip(PdXml *xml, GString *text);

/* The same, without blanks around it; NULL if there is none.  Free with g_free. */
char *pd_xml_element_text(PdXml *xml);

/* NULL, or why the rest cannot be read; borrowed. */
const char *pd_xml_damage(const PdXml *xml);

#endif
