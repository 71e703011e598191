/*
 * .msg files: see mapi.h.
 *
 * A compound file is a tree of folders and streams.  A message is a folder: a stream with the
 * properties of fixed length, a stream for each of the others ("__substg1.0_" and, in hex, its id
 * and type), and a folder for each recipient and attachment; a message in the message is a folder
 * of its attachment.  Any other folder there is an object of another program (OLE).
 */
#include "ingest/readers/mapi.h"

#include <gsf/gsf-infile-msole.h>
#include <gsf/gsf-input-memory.h>
#include <string.h>

#include "ingest/readers/little_endian.h"
#include "ingest/readers/mapi_details.h"
#include "ingest/readers/ole.h"

#define PROPERTIES "__properties_version1.0"
#define VALUE "__substg1.0_"
#define RECIPIENT "__recip_version1.0_"
#define ATTACHMENT "__attach_version1.0_"
#define NAMES "__nameid_version1.0"
#define NAMES_GUIDS VALUE "00020102"
#define NAMES_ENTRIES VALUE "00030102"

enum {
    TOP_HEAD_BYTES = 32, /* of the properties of a message that is the file */
    INNER_HEAD_BYTES = 24,
    PART_HEAD_BYTES = 8, /* of a recipient or attachment */
    ENTRY_BYTES = 16,
    PROPERTY_DATA = 0x3701,
    NAMED_MIN = 0x8000,
};

typedef struct {
    PdMapiMessage *message;
    const PdMapiLimits *limits;
    gsize *n_bytes;    /* of the whole file's values, taken so far */
    GHashTable *names; /* as pd_mapi_names */
    PdMapiDetails *details;
} Reading;

/* Of a folder, what to do with a value; `folder`: it is one. */
typedef void (*SetValue)(Reading *reading, gpointer into, guint16 id, guint16 type,
                         const guint8 *value, gsize n, GsfInfile *folder);

/* All bytes of a stream; NULL: it cannot be read, or is too long. */
static GByteArray *
read_stream(Reading *reading, GsfInput *stream)
{
    gsf_off_t size = gsf_input_size(stream);
    if (size < 0 || (guint64)size > reading->limits->bytes_max - *reading->n_bytes) {
        pd_mapi_remark(reading->message, "more in it than the limit: a part was not read");
        return NULL;
    }
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_set_size(bytes, (guint)size);
    gsf_input_seek(stream, 0, G_SEEK_SET);
    if (size > 0 && !gsf_input_read(stream, (size_t)size, bytes->data)) {
        pd_mapi_remark(reading->message, "a part is damaged and was not read");
        return NULL;
    }
    *reading->n_bytes += (gsize)size;
    return g_steal_pointer(&bytes);
}

static GByteArray *
read_named(Reading *reading, GsfInfile *folder, const char *name)
{
    GsfInput *stream = gsf_infile_child_by_name(folder, name);
    GByteArray *bytes = stream ? read_stream(reading, stream) : NULL;
    if (stream)
        g_object_unref(stream);
    return bytes;
}

/* The properties of fixed length: type, id, flags and 8 bytes of value each. */
static void
read_fixed(Reading *reading, GsfInfile *folder, gsize n_head, SetValue set, gpointer into)
{
    g_autoptr(GByteArray) bytes = read_named(reading, folder, PROPERTIES);
    for (gsize at = n_head; bytes && at + ENTRY_BYTES <= bytes->len; at += ENTRY_BYTES) {
        guint32 tag = pd_le_u32(bytes->data + at);
        guint16 type = (guint16)tag;
        if (type == PD_MAPI_I4 || type == PD_MAPI_TIME || type == PD_MAPI_BOOLEAN)
            set(reading, into, (guint16)(tag >> 16), type, bytes->data + at + 8, 8, NULL);
    }
}

/* The tag of a value by the name of its stream; 0: it is none.  Each of several binary values, with
 * "-" and its number behind, is like one. */
static guint32
tag_of(const char *name)
{
    if (!name || !g_str_has_prefix(name, VALUE))
        return 0;
    gsize n = strlen(name + strlen(VALUE));
    char *end;
    guint32 tag = (guint32)g_ascii_strtoull(name + strlen(VALUE), &end, 16);
    gboolean of_several = n == 17 && *end == '-' && (guint16)tag == PD_MAPI_BINARIES;
    return of_several && tag >> 16 >= NAMED_MIN ? (tag & 0xFFFF0000u) | PD_MAPI_BINARY
           : n == 8                             ? tag
                                                : 0;
}

/* The others: a stream, or folder, each. */
static void
read_values(Reading *reading, GsfInfile *folder, SetValue set, gpointer into)
{
    int n = gsf_infile_num_children(folder);
    for (int i = 0; i < n; i++) {
        guint32 tag = tag_of(gsf_infile_name_by_index(folder, i));
        /* Of several values this has their lengths, which their streams have too. */
        if (!tag || (guint16)tag == PD_MAPI_BINARIES)
            continue;
        GsfInput *child = gsf_infile_child_by_index(folder, i);
        gboolean is_folder =
            child && GSF_IS_INFILE(child) && gsf_infile_num_children(GSF_INFILE(child)) >= 0;
        g_autoptr(GByteArray) bytes = child && !is_folder ? read_stream(reading, child) : NULL;
        if (bytes || is_folder)
            set(reading, into, (guint16)(tag >> 16), (guint16)tag, bytes ? bytes->data : NULL,
                bytes ? bytes->len : 0, is_folder ? GSF_INFILE(child) : NULL);
        if (child)
            g_object_unref(child);
    }
}

/* --- recipients and attachments ------------------------------------------------------------ */

static void
set_recipient(Reading *reading, gpointer into, guint16 id, guint16 type, const guint8 *value,
              gsize n, GsfInfile *folder)
{
    if (!folder)
        pd_mapi_set_recipient(reading->message, into, id, type, value, n);
}

static void
read_recipient(Reading *reading, GsfInfile *folder)
{
    PdMapiRecipient recipient = {0};
    read_fixed(reading, folder, PART_HEAD_BYTES, set_recipient, &recipient);
    read_values(reading, folder, set_recipient, &recipient);
    pd_mapi_take_recipient(reading->message, &recipient);
}

static gboolean read_message(Reading *reading, GsfInfile *folder, gsize n_head);

static void
read_inner(Reading *reading, PdMapiAttachment *attachment, GsfInfile *folder)
{
    g_autoptr(PdMapiMessage) inner = pd_mapi_message_new();
    PdMapiLimits limits;
    Reading below = {inner, &limits, reading->n_bytes, reading->names, NULL};
    if (pd_mapi_limits_below(reading->message, reading->limits, &limits) &&
        read_message(&below, folder, INNER_HEAD_BYTES))
        pd_mapi_take_inner(reading->message, attachment, g_steal_pointer(&inner));
}

/* Is there a child of this name? */
static gboolean
has_child(GsfInfile *folder, const char *name)
{
    GsfInput *child = gsf_infile_child_by_name(folder, name);
    if (child)
        g_object_unref(child);
    return child != NULL;
}

/* What an object is; free with g_free. */
static char *
kind_of_object(Reading *reading, GsfInfile *folder)
{
    g_autoptr(GByteArray) bytes = read_named(reading, folder, PD_OLE_COMPONENT);
    g_autofree char *kind = bytes ? pd_ole_kind(bytes->data, bytes->len) : NULL;
    const char *by_stream = NULL;
    for (int i = 0; !by_stream && i < gsf_infile_num_children(folder); i++) {
        const char *name = gsf_infile_name_by_index(folder, i);
        by_stream = name ? pd_ole_kind_of_stream(name) : NULL;
    }
    return g_strdup_printf("embedded object: %s", kind        ? kind
                                                  : by_stream ? by_stream
                                                              : "of an unknown kind");
}

/* An object of another program: what it is, and the file in it. */
static void
read_object(Reading *reading, PdMapiAttachment *attachment, GsfInfile *folder)
{
    g_autofree char *name = NULL;
    gsize start, n;
    for (gsize i = 0; pd_ole_files[i] && !attachment->bytes; i++)
        attachment->bytes = read_named(reading, folder, pd_ole_files[i]);
    g_autoptr(GByteArray) native =
        attachment->bytes ? NULL : read_named(reading, folder, PD_OLE_NATIVE);
    if (native && pd_ole_native(native->data, native->len, &start, &n, &name))
        attachment->bytes = g_byte_array_append(g_byte_array_new(), native->data + start, (guint)n);
    if (name) {
        g_free(attachment->name);
        attachment->name = g_steal_pointer(&name);
    }
    attachment->description = kind_of_object(reading, folder);
}

static void
set_attachment(Reading *reading, gpointer into, guint16 id, guint16 type, const guint8 *value,
               gsize n, GsfInfile *folder)
{
    PdMapiAttachment *attachment = into;
    if (!folder)
        pd_mapi_set_attachment(reading->message, attachment, id, type, value, n);
    else if (id != PROPERTY_DATA || attachment->message || attachment->description)
        return; /* or another value of it was read before */
    else if (has_child(folder, PROPERTIES))
        read_inner(reading, attachment, folder);
    else
        read_object(reading, attachment, folder);
}

static void
set_message(Reading *reading, gpointer into, guint16 id, guint16 type, const guint8 *value, gsize n,
            GsfInfile *folder)
{
    if (folder)
        return;
    pd_mapi_set(reading->message, reading->limits, id, type, value, n);
    pd_mapi_details_set(reading->details, reading->message, id, type, value, n);
}

/* FALSE: it is none. */
static gboolean
read_message(Reading *reading, GsfInfile *folder, gsize n_head)
{
    GsfInput *properties = gsf_infile_child_by_name(folder, PROPERTIES);
    if (!properties)
        return FALSE;
    g_object_unref(properties);
    g_autoptr(PdMapiDetails) details = reading->details = pd_mapi_details_new(reading->names);
    read_fixed(reading, folder, n_head, set_message, NULL);
    read_values(reading, folder, set_message, NULL);
    pd_mapi_details_take(details, NULL, NULL, reading->message);
    int n = gsf_infile_num_children(folder);
    for (int i = 0; i < n; i++) {
        const char *name = gsf_infile_name_by_index(folder, i);
        gboolean recipient = name && g_str_has_prefix(name, RECIPIENT);
        gboolean attached = name && g_str_has_prefix(name, ATTACHMENT);
        if (attached && reading->message->attachments->len >= reading->limits->attachments_max) {
            pd_mapi_remark(reading->message,
                           "more attachments than the limit: the rest was not read");
            break;
        }
        GsfInput *child = recipient || attached ? gsf_infile_child_by_index(folder, i) : NULL;
        if (child && GSF_IS_INFILE(child) && recipient) {
            read_recipient(reading, GSF_INFILE(child));
        } else if (child && GSF_IS_INFILE(child)) {
            PdMapiAttachment *attachment = pd_mapi_add_attachment(reading->message);
            read_fixed(reading, GSF_INFILE(child), PART_HEAD_BYTES, set_attachment, attachment);
            read_values(reading, GSF_INFILE(child), set_attachment, attachment);
        }
        if (child)
            g_object_unref(child);
    }
    pd_mapi_check(reading->message);
    return TRUE;
}

/* Messages in the message have the file's names. */
static GHashTable *
read_names(Reading *reading, GsfInfile *root)
{
    GsfInput *folder = gsf_infile_child_by_name(root, NAMES);
    gboolean ok = folder && GSF_IS_INFILE(folder);
    g_autoptr(GByteArray) guids = ok ? read_named(reading, GSF_INFILE(folder), NAMES_GUIDS) : NULL;
    g_autoptr(GByteArray) entries =
        ok ? read_named(reading, GSF_INFILE(folder), NAMES_ENTRIES) : NULL;
    if (folder)
        g_object_unref(folder);
    return guids && entries ? pd_mapi_names(guids, entries) : NULL;
}

/* NULL: it is no compound file.  `bytes` must outlive it. */
static GsfInfile *
open_compound(const guint8 *bytes, gsize n)
{
    GsfInput *input = gsf_input_memory_new(bytes, (gsf_off_t)n, FALSE);
    GsfInfile *root = input ? gsf_infile_msole_new(input, NULL) : NULL;
    if (input)
        g_object_unref(input);
    return root;
}

gboolean
pd_msg_read(const guint8 *bytes, gsize n, const PdMapiLimits *limits, PdMapiMessage *message)
{
    gsize n_taken = 0;
    /* Streams that share blocks could come to more than the file. */
    PdMapiLimits own = *limits;
    own.bytes_max = MIN(limits->bytes_max, n);
    Reading reading = {message, &own, &n_taken, NULL, NULL};
    GsfInfile *root = open_compound(bytes, n);
    g_autoptr(GHashTable) names = root ? read_names(&reading, root) : NULL;
    reading.names = names;
    gboolean ok = root && read_message(&reading, root, TOP_HEAD_BYTES);
    if (root)
        g_object_unref(root);
    return ok;
}

void
pd_msg_read_object(PdMapiMessage *message, PdMapiAttachment *attachment)
{
    gsize n_taken = 0;
    g_autoptr(GByteArray) object = g_steal_pointer(&attachment->bytes);
    const PdMapiLimits own = {.bytes_max = object->len};
    Reading reading = {message, &own, &n_taken, NULL, NULL};
    GsfInfile *root = open_compound(object->data, object->len);
    if (!root) {
        attachment->bytes = g_steal_pointer(&object);
        return;
    }
    read_object(&reading, attachment, root);
    g_object_unref(root);
}
