/*
 * Office packages: zip files of XML that make one document (Office Open XML: ISO/IEC 29500-2;
 * OpenDocument: part 2 of ISO/IEC 26300; EPUB: OCF 3).
 */
#ifndef PD_PACKAGE_H
#define PD_PACKAGE_H

#include "ingest/readers/readers.h"
#include "ingest/readers/xml.h"

/* A package of an office program that there is no reader for. */
#define PD_PACKAGE_UNREAD "unread"
/* "docx", "xlsx", "pptx", "odt", "epub" or PD_PACKAGE_UNREAD by what the zip on `fd` says about
 * itself, or NULL: it is an archive like others. */
const char *pd_package_kind(int fd, const PdReadLimits *limits);

typedef struct PdPackage PdPackage;
/* An empty one, and a file for it (`bytes` are owned).  FALSE: there is a file of that path. */
PdPackage *pd_package_new(void);
gboolean pd_package_add(PdPackage *package, const char *path, GBytes *bytes);
/* Read the texts in the package (XML and XHTML) into memory.  Ledger lines tell
 * what could not be.  NULL: nothing could, or the ledger failed. */
PdPackage *pd_package_open(int fd, const char *name, PdEmitter *emitter, GError **error);
void pd_package_free(PdPackage *package);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPackage, pd_package_free)

/* A file's bytes, or NULL; borrowed. */
GBytes *pd_package_file(const PdPackage *package, const char *path);
/* An XML file, from its start; one that is not there is empty.  Free with pd_xml_free. */
PdXml *pd_package_xml(const PdPackage *package, const char *path);

/* `target` as seen from the file `from`: "../media/a.png" from "word/document.xml". g_free. */
char *pd_package_resolve(const char *from, const char *target);

/* Office Open XML: what a file relates to. */
typedef struct {
    char *id;
    char *type;   /* the last step of its URI: "footnotes", "worksheet" */
    char *target; /* a path in the package, or a URI if external */
    gboolean external;
} PdRelation;
/* PdRelation, in order; `from`: "" for the package itself.  Free with g_ptr_array_unref. */
GPtrArray *pd_package_relations(const PdPackage *package, const char *from);
/* The first of that type or id (the other is NULL), or NULL; borrowed. */
const PdRelation *pd_relation_find(const GPtrArray *relations, const char *type, const char *id);

/* A document with the hash and size of the file on `fd`. */
PdDocument *pd_package_document(PdDocumentKind kind, int fd);
/* Title, author and date from docProps/core.xml. */
void pd_package_core_properties(const PdPackage *package, PdDocument *document);
/* Seconds since 1970 of "2024-01-02T03:04:05Z", or G_MININT64. */
gint64 pd_parse_iso_date(const char *text);

/* A ledger line about XML that could not be read to its end. */
gboolean pd_package_tell_damage(const PdXml *xml, const char *path, PdEmitter *emitter,
                                GError **error);

#endif
