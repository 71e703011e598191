/*
 * Messages of Microsoft's mail programs: properties as [MS-OXPROPS] names them, out of winmail.dat
 * (tnef.c) or a .msg file (msg.c), and from there to one message of RFC 5322, which mail.c reads.
 */
#ifndef PD_MAPI_H
#define PD_MAPI_H

#include <glib.h>

/* Messages in messages, and everything that one file holds. */
typedef struct {
    guint depth_max;
    guint attachments_max;
    gsize bytes_max;
    gsize rtf_bytes_max; /* of formatted text, unpacked */
} PdMapiLimits;

typedef struct PdMapiMessage PdMapiMessage;

typedef struct {
    char *name; /* file name; NULL: none */
    char *type; /* media type; NULL: not said */
    GByteArray *bytes;
    PdMapiMessage *message; /* instead of bytes: a message in the message */
    char *description;      /* what it is, where name and type do not say it; NULL: not said */
} PdMapiAttachment;

struct PdMapiMessage {
    guint codepage;         /* of strings that are not Unicode; 0: not said */
    guint html_codepage;    /* of the HTML body */
    GHashTable *strings;    /* property id (GUINT) -> UTF-8 */
    guint64 sent;           /* 100 ns since 1601, UTC; 0: unknown */
    GByteArray *html;       /* NULL: none */
    GByteArray *rtf;        /* decompressed; NULL: none */
    GString *recipients[3]; /* To, Cc, Bcc: "Kay <kay@example.org>, ..." */
    GString *details;       /* of what is no mail: "Start: 2001-05-14 10:00 UTC\n" ... */
    GPtrArray *attachments; /* PdMapiAttachment */
    GPtrArray *remarks;     /* char *: what was not read, for the ledger */
};

PdMapiMessage *pd_mapi_message_new(void);
void pd_mapi_message_free(PdMapiMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdMapiMessage, pd_mapi_message_free)
PdMapiAttachment *pd_mapi_add_attachment(PdMapiMessage *message);
/* Something that was not read. */
void pd_mapi_remark(PdMapiMessage *message, const char *text);
/* The limits inside a message in it.  FALSE: nothing deeper is read, with a remark. */
gboolean pd_mapi_limits_below(PdMapiMessage *message, const PdMapiLimits *limits,
                              PdMapiLimits *below);
/* A message in it, taken over, in place of bytes; its remarks become those of the outer one. */
void pd_mapi_take_inner(PdMapiMessage *message, PdMapiAttachment *attachment, PdMapiMessage *inner);

enum {
    PD_MAPI_I4 = 0x0003,
    PD_MAPI_OBJECT = 0x000D,
    PD_MAPI_STRING8 = 0x001E,
    PD_MAPI_UNICODE = 0x001F,
    PD_MAPI_TIME = 0x0040,
    PD_MAPI_BOOLEAN = 0x000B,
    PD_MAPI_BINARY = 0x0102,
    PD_MAPI_BINARIES = 0x1102, /* several */
};

/* What a property's value says of a message, or of an attachment; unknown ones are passed over. */
void pd_mapi_set(PdMapiMessage *message, const PdMapiLimits *limits, guint16 id, guint16 type,
                 const guint8 *value, gsize n);
void pd_mapi_set_attachment(PdMapiMessage *message, PdMapiAttachment *attachment, guint16 id,
                            guint16 type, const guint8 *value, gsize n);
/* 100 ns since 1601 as a date; NULL: none. */
GDateTime *pd_mapi_time(guint64 ticks);
/* A string value as UTF-8, or NULL.  Free with g_free. */
char *pd_mapi_string(const PdMapiMessage *message, guint16 type, const guint8 *value, gsize n);

/* One of a message's recipients while its properties come; {0} to begin with. */
typedef struct {
    guint type; /* 1 To, 2 Cc, 3 Bcc; others are not shown */
    char *name;
    char *address;
} PdMapiRecipient;
void pd_mapi_set_recipient(const PdMapiMessage *message, PdMapiRecipient *recipient, guint16 id,
                           guint16 type, const guint8 *value, gsize n);
/* Into the message's list; *recipient is {0} again. */
void pd_mapi_take_recipient(PdMapiMessage *message, PdMapiRecipient *recipient);

/* "\"Kay Smith\" <kay@example.org>"; both may be NULL.  Free with g_free. */
char *pd_mapi_mailbox(const char *name, const char *address);

/* Is there a text of the message itself, in any form? */
gboolean pd_mapi_has_body(const PdMapiMessage *message);

/* When all of it is there: a remark if it says nothing though it should. */
void pd_mapi_check(PdMapiMessage *message);

/* The message as MIME; what was signed in the clear is in it as it was signed.  Free with
 * g_byte_array_unref. */
GByteArray *pd_mapi_to_mime(const PdMapiMessage *message);

/* Compressed RTF, [MS-OXRTFCP].  NULL: damaged, or longer than `max`. */
GByteArray *pd_mapi_unpack_rtf(const guint8 *bytes, gsize n, gsize max);

/* winmail.dat: [MS-OXTNEF].  What is there before a damaged place is kept, and a remark made;
 * FALSE: there is nothing. */
gboolean pd_tnef_read(const guint8 *bytes, gsize n, const PdMapiLimits *limits,
                      PdMapiMessage *message);

/* .msg: [MS-OXMSG], inside a compound file ([MS-CFB]), which libgsf opens. */
gboolean pd_msg_read(const guint8 *bytes, gsize n, const PdMapiLimits *limits,
                     PdMapiMessage *message);

/* An attachment that is an object of another program (OLE), as a compound file of its own: the file
 * in it takes the place of its bytes, and what it is becomes the description.  One that is no
 * compound file stays as it is. */
void pd_msg_read_object(PdMapiMessage *message, PdMapiAttachment *attachment);

#endif
