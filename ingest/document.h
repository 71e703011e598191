/*
 * What a reader makes of a source: documents of parts, each part a UTF-8 text with provenance.
 *
 * The text of a part is what is stored, tokenized, shown and cited: every citation is a half-open
 * byte range of it.  Readers give the canonical text; where the model is not to read all of that, a
 * view says what was replaced, and every range walks back through it to the source.
 */
#ifndef PD_DOCUMENT_H
#define PD_DOCUMENT_H

#include <glib.h>
#include "ingest/view.h"

typedef enum {
    PD_KIND_GIT_FILE, /* a blob of a repository at a commit */
    PD_KIND_PDF,
    PD_KIND_MAIL, /* one message */
    PD_KIND_TEXT,
    PD_KIND_MARKDOWN,
    PD_KIND_HTML,
    PD_KIND_DOCX,
    PD_KIND_ODT,
    PD_KIND_XLSX,
    PD_KIND_PPTX,
    PD_KIND_EPUB,
    PD_KIND_RTF,
    PD_KIND_NOTEBOOK,
    PD_KIND_CLINICAL, /* C-CDA, FHIR */
    PD_KIND_CALENDAR, /* iCalendar, laid out for people */
    PD_N_KINDS
} PdDocumentKind;

/* A box on a page: PDF points, origin top left. `start`,`end`: bytes of the part's text that lie in
 * it. One a word. */
typedef struct {
    guint32 start;
    guint32 end;
    float x0, y0, x1, y1;
} PdBox;

/* How lines of a text belong together: ingest/flow.h. */
typedef enum {
    PD_FLOW_FIXED,  /* each by itself */
    PD_FLOW_FLOWED, /* format=flowed */
    PD_FLOW_DELSP,  /* likewise, and the space before a soft line break belongs to that */
    PD_N_FLOWS
} PdFlow;

typedef struct {
    char *path;    /* git/text: ""; PDF: "page/3" (from 1), "outline"; mail: "headers", "1", "1.2"
                      (MIME part path); word processors: "body/12" (section, number of its first
                      block); spreadsheets: "sheet/2"; presentations: "slide 3/1"; books:
                      "chapter/4"; notebooks: "cells/5"; clinical documents: "section/3" */
    char *label;   /* for people: page label "iv", part's file name or type; may be NULL */
    GString *text; /* canonical UTF-8, LF line ends unless the source is text with other ends (then
                      verbatim); with a view the model's */
    PdFlow flow;   /* of a mail's plain text; PD_FLOW_FIXED elsewhere */
    PdTextView *view; /* NULL: the model reads the canonical text */
    GArray *boxes;    /* PdBox, PDF only; else NULL.  In bytes of the canonical text */
    GArray *hidden;   /* PdTextRange, in order, not touching: what nobody sees on the page; NULL:
                         nothing.  In bytes of the canonical text */
} PdPart;

typedef struct {
    PdDocumentKind kind;
    char *key; /* identity inside its source: repository path, mbox ordinal or Message-ID, "" for a
                  single file */
    char *parent_key;      /* an attachment's message; NULL otherwise */
    char *title;           /* file path, PDF title or file name, mail subject */
    char *author;          /* may be NULL */
    char *recipients;      /* mail; may be NULL */
    gint64 date_utc;       /* seconds; G_MININT64: unknown */
    char *native_id;       /* blob id; Message-ID; NULL */
    char *revision;        /* commit id; NULL */
    char *in_reply_to;     /* Message-IDs of the mail it answers, the one that answered, and so on,
                              with a space between; NULL: none */
    guint8 raw_sha256[32]; /* of the source bytes of this document */
    gint64 raw_offset;     /* mbox: byte offset of the message in the file; -1 elsewhere */
    gint64 raw_bytes;
    gboolean unchanged; /* git, incremental: the blob is in `known`; no parts are sent */
    gboolean whole;     /* all parts are there; the reader has only looked at them since */
    GPtrArray *parts;   /* PdPart */
} PdDocument;

PdDocument *pd_document_new(PdDocumentKind kind, const char *key);
void pd_document_free(PdDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdDocument, pd_document_free)
/* Adds an empty part and returns it (owned by the document). */
PdPart *pd_document_add_part(PdDocument *document, const char *path, const char *label);

/* A place for a GArray of each part; NULL in all of them.  Free with g_ptr_array_unref. */
GPtrArray *pd_part_lists_new(const PdDocument *document);
const char *pd_document_kind_name(PdDocumentKind kind); /* "git", "pdf", "mail" ... */

#endif
