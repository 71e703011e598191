/*
 * See pst_message.h.  Below a message's node lie the table of its recipients and a node for each
 * attachment; below an attachment's, its bytes, a message, or an object of another program as a
 * compound file.
 */
#include "ingest/readers/pst_message.h"

#include <string.h>

#include "ingest/readers/little_endian.h"
#include "ingest/readers/mapi_details.h"

enum {
    PROPERTY_GUIDS = 0x0002, /* of the store's list of names */
    PROPERTY_ENTRIES = 0x0003,
    PROPERTY_SUBJECT = 0x0037,
    PROPERTY_DATA = 0x3701,
    PROPERTY_METHOD = 0x3705,
    PROPERTY_KEY = 0x0FF9, /* of the store: it stands in what refers to its nodes */
    PROPERTY_PATH = 0x3708,
    PROPERTY_LONG_PATH = 0x370D,
    METHOD_MESSAGE = 5,
    METHOD_OLE = 6,
    KEY_BYTES = 16,
    NAMES_BYTES_MAX = 4 << 20,
};

typedef struct {
    PdPst *pst;
    GHashTable *names;
    PdMapiMessage *message;
    const PdMapiLimits *limits;
    gsize *bytes_left;
    PdMapiDetails *details; /* while the message's own properties come */
    guint n_contacts;       /* looked up for its list */
    gboolean key_sought;    /* what the store is called, */
    gboolean key_known;     /* and whether it says so */
    guint8 key[KEY_BYTES];
} Reading;

typedef struct {
    Reading *reading;
    PdMapiAttachment *attachment;
    guint32 method;
    guint32 object; /* number of the node below that is what was attached; 0: none */
    char *link;     /* where it lay, of one that is not in the store */
} Attached;

typedef struct {
    Reading *reading;
    PdMapiRecipient recipient;
} Recipients;

static gboolean read_message(Reading *reading, const PdPstNode *node);

/* --- names --------------------------------------------------------------------------------- */

typedef struct {
    GByteArray *guids, *entries;
} Lists;

static void
on_list(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Lists *lists = user_data;
    if (type == PD_MAPI_BINARY && (id == PROPERTY_GUIDS || id == PROPERTY_ENTRIES))
        g_byte_array_append(id == PROPERTY_GUIDS ? lists->guids : lists->entries, value, (guint)n);
}

GHashTable *
pd_pst_names(PdPst *pst)
{
    g_autoptr(GByteArray) guids = g_byte_array_new();
    g_autoptr(GByteArray) entries = g_byte_array_new();
    Lists lists = {guids, entries};
    gsize bytes_left = NAMES_BYTES_MAX;
    g_auto(PdPstHeap) heap = {0};
    PdPstNode node;
    if (pd_pst_find_node(pst, PD_PST_NAMES, &node) &&
        pd_pst_heap_open(pst, &node, &bytes_left, &heap))
        pd_pst_each_property(&heap, on_list, &lists);
    return pd_mapi_names(guids, entries);
}

/* --- recipients ---------------------------------------------------------------------------- */

static void
set_recipient(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Recipients *recipients = user_data;
    pd_mapi_set_recipient(recipients->reading->message, &recipients->recipient, id, type, value, n);
}

static void
take_recipient(gpointer user_data)
{
    Recipients *recipients = user_data;
    pd_mapi_take_recipient(recipients->reading->message, &recipients->recipient);
}

static void
read_recipients(Reading *reading, const GArray *below)
{
    const PdPstNode *node = pd_pst_find_below(below, PD_PST_RECIPIENTS);
    g_auto(PdPstHeap) heap = {0};
    Recipients recipients = {reading, {0}};
    if (node && pd_pst_heap_open(reading->pst, node, reading->bytes_left, &heap))
        pd_pst_each_row(&heap, set_recipient, take_recipient, &recipients);
}

/* --- attachments --------------------------------------------------------------------------- */

static void
set_attachment(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Attached *attached = user_data;
    PdMapiMessage *message = attached->reading->message;
    if (id == PROPERTY_METHOD && type == PD_MAPI_I4)
        attached->method = pd_le_u32(value);
    else if (id == PROPERTY_DATA && type == PD_MAPI_OBJECT && n >= 4)
        attached->object = pd_le_u32(value);
    else if (id == PROPERTY_PATH || id == PROPERTY_LONG_PATH) {
        g_free(attached->link);
        attached->link = pd_mapi_string(message, type, value, n);
    } else
        pd_mapi_set_attachment(message, attached->attachment, id, type, value, n);
}

/* The bytes of an object, or the message that it is. */
static void
read_object(Attached *attached, PdPstHeap *heap)
{
    Reading *reading = attached->reading;
    if (attached->method != METHOD_MESSAGE) {
        attached->attachment->bytes = pd_pst_heap_value(heap, attached->object);
        return;
    }
    const PdPstNode *node = pd_pst_find_below(heap->below, attached->object);
    g_autoptr(PdMapiMessage) inner = pd_mapi_message_new();
    PdMapiLimits limits;
    Reading below = {.pst = reading->pst,
                     .names = reading->names,
                     .message = inner,
                     .limits = &limits,
                     .bytes_left = reading->bytes_left};
    inner->codepage = reading->message->codepage;
    if (!pd_mapi_limits_below(reading->message, reading->limits, &limits))
        return;
    if (node && read_message(&below, node))
        pd_mapi_take_inner(reading->message, attached->attachment, g_steal_pointer(&inner));
    else
        pd_mapi_remark(reading->message, "a message in it is damaged and was not read");
}

static void
read_attachment(Reading *reading, const PdPstNode *node)
{
    g_auto(PdPstHeap) heap = {0};
    Attached attached = {.reading = reading};
    attached.attachment = pd_mapi_add_attachment(reading->message);
    if (!pd_pst_heap_open(reading->pst, node, reading->bytes_left, &heap)) {
        pd_mapi_remark(reading->message, "an attachment is damaged and was not read");
        return;
    }
    pd_pst_each_property(&heap, set_attachment, &attached);
    if (attached.object && !attached.attachment->bytes)
        read_object(&attached, &heap);
    if (attached.method == METHOD_OLE && attached.attachment->bytes)
        pd_msg_read_object(reading->message, attached.attachment);
    if (attached.link && !attached.attachment->bytes && !attached.attachment->message) {
        g_autofree char *remark = g_strdup_printf(
            "what is attached is not in the store but was a file elsewhere: %s", attached.link);
        pd_mapi_remark(reading->message, remark);
    }
    g_free(attached.link);
}

/* --- contacts on a list -------------------------------------------------------------------- */

static void
on_store_value(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Reading *reading = user_data;
    if (id != PROPERTY_KEY || type != PD_MAPI_BINARY || n != KEY_BYTES)
        return;
    memcpy(reading->key, value, KEY_BYTES);
    reading->key_known = TRUE;
}

/* Is this what the store that is read is called? */
static gboolean
is_own_key(Reading *reading, const guint8 key[KEY_BYTES])
{
    g_auto(PdPstHeap) heap = {0};
    PdPstNode node;
    if (!reading->key_sought && pd_pst_find_node(reading->pst, PD_PST_STORE, &node) &&
        pd_pst_heap_open(reading->pst, &node, reading->bytes_left, &heap))
        pd_pst_each_property(&heap, on_store_value, reading);
    reading->key_sought = TRUE;
    return reading->key_known && memcmp(key, reading->key, KEY_BYTES) == 0;
}

static void
set_contact(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Reading *contact = user_data;
    pd_mapi_details_set(contact->details, contact->message, id, type, value, n);
}

/* PdMapiContactFunc: what is meant may have been removed since, or lie in another store. */
static char *
find_contact(const guint8 key[KEY_BYTES], guint32 id, guint email, gpointer user_data)
{
    Reading *reading = user_data;
    g_auto(PdPstHeap) heap = {0};
    PdPstNode node;
    if (reading->n_contacts >= pd_pst_limits(reading->pst)->contacts_max) {
        pd_pst_damage(reading->pst)->n_over++;
        return NULL;
    }
    reading->n_contacts++;
    if ((id & PD_PST_TYPE_MASK) != PD_PST_MESSAGE || !is_own_key(reading, key) ||
        !pd_pst_find_node(reading->pst, id, &node) ||
        !pd_pst_heap_open(reading->pst, &node, reading->bytes_left, &heap))
        return NULL;
    g_autoptr(PdMapiDetails) details = pd_mapi_details_new(reading->names);
    Reading contact = {.message = reading->message, .details = details};
    pd_pst_each_property(&heap, set_contact, &contact);
    return pd_mapi_details_person(details, email);
}

/* --- messages ------------------------------------------------------------------------------ */

static void
set_message(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Reading *reading = user_data;
    /* A subject may begin with two characters: 1, and how long "Re: " or the like behind them is
     * ([MS-PST] 2.5.3.1.1.1). */
    gsize n_char = type == PD_MAPI_UNICODE ? 2 : 1;
    if (id == PROPERTY_SUBJECT && n >= 2 * n_char && value[0] == 1 &&
        (n_char == 1 || value[1] == 0)) {
        value += 2 * n_char;
        n -= 2 * n_char;
    }
    pd_mapi_set(reading->message, reading->limits, id, type, value, n);
    pd_mapi_details_set(reading->details, reading->message, id, type, value, n);
}

static gboolean
read_message(Reading *reading, const PdPstNode *node)
{
    g_auto(PdPstHeap) heap = {0};
    g_autoptr(PdMapiDetails) details = reading->details = pd_mapi_details_new(reading->names);
    if (!pd_pst_heap_open(reading->pst, node, reading->bytes_left, &heap))
        return FALSE;
    pd_pst_each_property(&heap, set_message, reading);
    pd_mapi_details_take(details, find_contact, reading, reading->message);
    read_recipients(reading, heap.below);
    for (guint i = 0; i < heap.below->len; i++) {
        const PdPstNode *below = &g_array_index(heap.below, PdPstNode, i);
        if ((below->id & PD_PST_TYPE_MASK) != PD_PST_ATTACHMENT)
            continue;
        if (reading->message->attachments->len >= reading->limits->attachments_max) {
            pd_mapi_remark(reading->message,
                           "more attachments than the limit: the rest was not read");
            break;
        }
        read_attachment(reading, below);
    }
    pd_mapi_check(reading->message);
    return TRUE;
}

static void
remark_count(PdMapiMessage *message, guint n, const char *what)
{
    g_autofree char *remark = g_strdup_printf("%u %s", n, what);
    if (n)
        pd_mapi_remark(message, remark);
}

gboolean
pd_pst_read_message(PdPst *pst, GHashTable *names, const PdPstNode *node,
                    const PdMapiLimits *limits, PdMapiMessage *message)
{
    PdPstDamage *damage = pd_pst_damage(pst);
    gsize bytes_left = limits->bytes_max;
    Reading reading = {.pst = pst,
                       .names = names,
                       .message = message,
                       .limits = limits,
                       .bytes_left = &bytes_left};
    *damage = (PdPstDamage){0};
    gboolean ok = read_message(&reading, node);
    remark_count(message, damage->n_unread,
                 "of its pieces are damaged or not in the file: not all of it was read");
    remark_count(message, damage->n_broken,
                 "of its lists or values are damaged: not all of it was read");
    remark_count(message, damage->n_over,
                 "of its values or lists are over a limit and were not read in full");
    remark_count(message, damage->n_wrong_sums,
                 "of its pieces have another checksum than was written down: read as they are");
    return ok;
}
