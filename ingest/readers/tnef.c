/*
 * winmail.dat, the Transport Neutral Encapsulation Format: see mapi.h.
 *
 * A signature and a key, then attributes one after the other: level, id, length, bytes, and a sum
 * that nobody checks.  Two of them hold lists of MAPI properties: of the message, and of the
 * attachment that was begun last.  Every length is checked against what is left of the bytes it
 * lies in.
 */
#include "ingest/readers/mapi.h"

#include <string.h>

#include "ingest/readers/little_endian.h"

enum {
    SIGNATURE = 0x223E9F78,
    HEAD_BYTES = 6,
    ATTRIBUTE_HEAD_BYTES = 9,
    SUM_BYTES = 2,
    /* attributes: the type in the upper half, [MS-OXTNEF] 2.1.3 */
    ATTRIBUTE_OEM_CODEPAGE = 0x00069007,
    ATTRIBUTE_SUBJECT = 0x00018004,
    ATTRIBUTE_BODY = 0x0002800C,
    ATTRIBUTE_PROPERTIES = 0x00069003,
    ATTRIBUTE_BEGIN_ATTACHMENT = 0x00069002,
    ATTRIBUTE_ATTACHMENT_TITLE = 0x00018010,
    ATTRIBUTE_ATTACHMENT_DATA = 0x0006800F,
    ATTRIBUTE_ATTACHMENT_PROPERTIES = 0x00069005,
    /* properties as which the old attributes are kept */
    PROPERTY_SUBJECT = 0x0037,
    PROPERTY_BODY = 0x1000,
    PROPERTY_FILENAME = 0x3704,
    PROPERTY_DATA = 0x3701,
    MULTIPLE = 0x1000,
    GUID_BYTES = 16,
};

typedef struct {
    const guint8 *at;
    gsize left;
} Bytes;

typedef struct {
    PdMapiMessage *message;
    PdMapiAttachment *attachment; /* begun last; NULL: none */
    const PdMapiLimits *limits;
} Reading;

/* The next n bytes; NULL: there are not so many. */
static const guint8 *
take(Bytes *bytes, gsize n)
{
    const guint8 *at = bytes->at;
    if (n > bytes->left)
        return NULL;
    bytes->at += n;
    bytes->left -= n;
    return at;
}

static gboolean
take_u16(Bytes *bytes, guint16 *value)
{
    const guint8 *at = take(bytes, 2);
    if (at)
        *value = pd_le_u16(at);
    return at != NULL;
}

static gboolean
take_u32(Bytes *bytes, guint32 *value)
{
    const guint8 *at = take(bytes, 4);
    if (at)
        *value = pd_le_u32(at);
    return at != NULL;
}

/* n bytes and what fills them up to four. */
static const guint8 *
take_padded(Bytes *bytes, gsize n)
{
    const guint8 *at = take(bytes, n);
    if (at)
        take(bytes, MIN(bytes->left, -n % 4));
    return at;
}

/* --- properties ---------------------------------------------------------------------------- */

/* The bytes of a value of fixed length, with padding; 0: its length is told. */
static gsize
fixed_bytes(guint16 type)
{
    switch (type) {
    case 0x0002: /* 16 bits */
    case 0x0003: /* 32 bits */
    case 0x0004: /* float */
    case 0x000A: /* error */
    case 0x000B: /* boolean */
        return 4;
    case 0x0005: /* double */
    case 0x0006: /* currency */
    case 0x0007: /* application time */
    case 0x0014: /* 64 bits */
    case 0x0040: /* time */
        return 8;
    case 0x0048: /* GUID */
        return 16;
    default:
        return 0;
    }
}

/* A message in an attachment: a TNEF of its own. */
static void
read_inner(Reading *reading, const guint8 *bytes, gsize n)
{
    g_autoptr(PdMapiMessage) inner = pd_mapi_message_new();
    PdMapiLimits limits;
    if (pd_mapi_limits_below(reading->message, reading->limits, &limits) &&
        pd_tnef_read(bytes, n, &limits, inner))
        pd_mapi_take_inner(reading->message, reading->attachment, g_steal_pointer(&inner));
}

/* What is attached behind the GUID of its interface: of an object of another program IStorage, of a
 * message IMessage. */
static void
read_embedded(Reading *reading, const guint8 *value, gsize n)
{
    static const guint8 storage[GUID_BYTES] = {0x0B, 0, 0, 0, 0, 0, 0, 0,
                                               0xC0, 0, 0, 0, 0, 0, 0, 0x46};
    PdMapiAttachment *attachment = reading->attachment;
    if (n < GUID_BYTES + HEAD_BYTES || attachment->message || attachment->description)
        return;
    if (memcmp(value, storage, GUID_BYTES) != 0) {
        read_inner(reading, value + GUID_BYTES, n - GUID_BYTES);
        return;
    }
    pd_mapi_set_attachment(reading->message, attachment, PROPERTY_DATA, PD_MAPI_BINARY,
                           value + GUID_BYTES, n - GUID_BYTES);
    pd_msg_read_object(reading->message, attachment);
}

static void
set_value(Reading *reading, gboolean of_attachment, guint16 id, guint16 type, const guint8 *value,
          gsize n)
{
    if (!of_attachment)
        pd_mapi_set(reading->message, reading->limits, id, type, value, n);
    else if (id == PROPERTY_DATA && type == PD_MAPI_OBJECT)
        read_embedded(reading, value, n);
    else
        pd_mapi_set_attachment(reading->message, reading->attachment, id, type, value, n);
}

/* A property's name, where it has one instead of a number. */
static gboolean
pass_name(Bytes *bytes)
{
    guint32 kind, n;
    return take(bytes, GUID_BYTES) && take_u32(bytes, &kind) && take_u32(bytes, &n) &&
           (kind == 0 || take_padded(bytes, n));
}

/* Of several values the first counts. */
static gboolean
read_values(Reading *reading, gboolean of_attachment, guint16 id, guint16 type, Bytes *bytes)
{
    guint16 single = type & (guint16)~MULTIPLE;
    gsize n_fixed = fixed_bytes(single);
    guint32 n_values = 1;
    if ((!n_fixed || single != type) && !take_u32(bytes, &n_values))
        return FALSE;
    for (guint32 i = 0; i < n_values; i++) {
        guint32 n = (guint32)n_fixed;
        if (!n_fixed && !take_u32(bytes, &n))
            return FALSE;
        const guint8 *value = take_padded(bytes, n);
        if (!value)
            return FALSE;
        if (i == 0)
            set_value(reading, of_attachment, id, single, value, n);
    }
    return TRUE;
}

static gboolean
read_properties(Reading *reading, gboolean of_attachment, Bytes bytes)
{
    guint32 n;
    if (!take_u32(&bytes, &n))
        return FALSE;
    for (guint32 i = 0; i < n; i++) {
        guint16 type, id;
        if (!take_u16(&bytes, &type) || !take_u16(&bytes, &id) ||
            (id >= 0x8000 && !pass_name(&bytes)) ||
            !read_values(reading, of_attachment, id, type, &bytes))
            return FALSE;
    }
    return TRUE;
}

/* --- attributes ---------------------------------------------------------------------------- */

/* FALSE: there are too many. */
static gboolean
begin_attachment(Reading *reading)
{
    if (reading->message->attachments->len >= reading->limits->attachments_max) {
        pd_mapi_remark(reading->message, "more attachments than the limit: the rest was not read");
        return FALSE;
    }
    reading->attachment = pd_mapi_add_attachment(reading->message);
    return TRUE;
}

/* FALSE: damaged, or enough. */
static gboolean
read_attribute(Reading *reading, guint32 id, Bytes bytes)
{
    const guint8 *at = bytes.at;
    gsize n = bytes.left;
    gboolean attached = id == ATTRIBUTE_ATTACHMENT_TITLE || id == ATTRIBUTE_ATTACHMENT_DATA ||
                        id == ATTRIBUTE_ATTACHMENT_PROPERTIES;
    if (id == ATTRIBUTE_BEGIN_ATTACHMENT || (attached && !reading->attachment)) {
        if (!begin_attachment(reading))
            return FALSE;
    }
    switch (id) {
    case ATTRIBUTE_OEM_CODEPAGE:
        return take_u32(&bytes, &reading->message->codepage);
    case ATTRIBUTE_SUBJECT:
        pd_mapi_set(reading->message, reading->limits, PROPERTY_SUBJECT, PD_MAPI_STRING8, at, n);
        break;
    case ATTRIBUTE_BODY:
        pd_mapi_set(reading->message, reading->limits, PROPERTY_BODY, PD_MAPI_STRING8, at, n);
        break;
    case ATTRIBUTE_ATTACHMENT_TITLE:
        pd_mapi_set_attachment(reading->message, reading->attachment, PROPERTY_FILENAME,
                               PD_MAPI_STRING8, at, n);
        break;
    case ATTRIBUTE_ATTACHMENT_DATA:
        pd_mapi_set_attachment(reading->message, reading->attachment, PROPERTY_DATA, PD_MAPI_BINARY,
                               at, n);
        break;
    case ATTRIBUTE_PROPERTIES:
    case ATTRIBUTE_ATTACHMENT_PROPERTIES:
        if (!read_properties(reading, id == ATTRIBUTE_ATTACHMENT_PROPERTIES, bytes))
            pd_mapi_remark(reading->message,
                           "a list of its properties is damaged: not all were read");
        break;
    default:
        break;
    }
    return TRUE;
}

gboolean
pd_tnef_read(const guint8 *bytes, gsize n, const PdMapiLimits *limits, PdMapiMessage *message)
{
    Bytes all = {bytes, n};
    Reading reading = {message, NULL, limits};
    guint32 signature;
    if (!take_u32(&all, &signature) || signature != SIGNATURE || !take(&all, 2))
        return FALSE;
    while (all.left >= ATTRIBUTE_HEAD_BYTES + SUM_BYTES) {
        guint32 id, length;
        const guint8 *level = take(&all, 1);
        if (*level != 1 && *level != 2)
            break; /* some programs put more behind it */
        take_u32(&all, &id);
        take_u32(&all, &length);
        const guint8 *value = take(&all, length);
        if (!value || !take(&all, SUM_BYTES)) {
            pd_mapi_remark(message, "it is cut off: the rest was not read");
            return TRUE;
        }
        if (!read_attribute(&reading, id, (Bytes){value, length}))
            return TRUE;
    }
    return TRUE;
}
