/*
 * See pst_details.h.  Properties of programs have numbers that each store gives them itself; a list
 * in the store says which set ([MS-OXPROPS] 1.3.2) and number in it they stand for
 * ([MS-PST] 2.4.7).
 */
#include "ingest/readers/pst_details.h"

#include <string.h>

/* A set is named by its GUID, {0006XXXX-0000-0000-C000-000000000046}; here by XXXX. */
#define NAMED(set, number) ((guint32)(set) << 16 | (number))

enum {
    APPOINTMENT = 0x2002,
    TASK = 0x2003,
    ADDRESS = 0x2004,
    LOG = 0x200A,
    PROPERTY_GUIDS = 0x0002, /* of the store's list */
    PROPERTY_ENTRIES = 0x0003,
    PROPERTY_CLASS = 0x001A,
    NAMED_MIN = 0x8000,
    TYPE_BOOLEAN = 0x000B,
    NAMES_BYTES_MAX = 4 << 20,
};

/* In the order in which they are said; those with a set of 0 have the same number everywhere. */
static const struct {
    guint32 key;
    const char *label;
} fields[] = {
    {NAMED(APPOINTMENT, 0x820D), "Start"},
    {NAMED(APPOINTMENT, 0x820E), "End"},
    {NAMED(APPOINTMENT, 0x8215), "All day"},
    {NAMED(APPOINTMENT, 0x8208), "Location"},
    {NAMED(APPOINTMENT, 0x8232), "Recurrence"},
    {NAMED(APPOINTMENT, 0x8238), "Attendees"},
    {NAMED(TASK, 0x8104), "Start"},
    {NAMED(TASK, 0x8105), "Due"},
    {NAMED(TASK, 0x810F), "Completed"},
    {NAMED(TASK, 0x811F), "Owner"},
    {NAMED(LOG, 0x8700), "Entry"},
    {NAMED(LOG, 0x8706), "Start"},
    {NAMED(LOG, 0x8708), "End"},
    {NAMED(0, 0x3001), "Name"},
    {NAMED(0, 0x3A4F), "Nickname"},
    {NAMED(0, 0x3A17), "Job title"},
    {NAMED(0, 0x3A18), "Department"},
    {NAMED(0, 0x3A16), "Company"},
    {NAMED(0, 0x3A19), "Office"},
    {NAMED(0, 0x3A4E), "Manager"},
    {NAMED(0, 0x3A30), "Assistant"},
    {NAMED(ADDRESS, 0x8083), "E-mail"},
    {NAMED(ADDRESS, 0x8093), "E-mail 2"},
    {NAMED(ADDRESS, 0x80A3), "E-mail 3"},
    {NAMED(ADDRESS, 0x8062), "Instant messages"},
    {NAMED(0, 0x3A08), "Telephone at work"},
    {NAMED(0, 0x3A1B), "Telephone at work 2"},
    {NAMED(0, 0x3A09), "Telephone at home"},
    {NAMED(0, 0x3A1C), "Mobile telephone"},
    {NAMED(0, 0x3A1A), "Main telephone"},
    {NAMED(0, 0x3A1F), "Other telephone"},
    {NAMED(0, 0x3A24), "Fax"},
    {NAMED(ADDRESS, 0x801B), "Address at work"},
    {NAMED(ADDRESS, 0x801A), "Address at home"},
    {NAMED(ADDRESS, 0x801C), "Other address"},
    {NAMED(ADDRESS, 0x802B), "Web page"},
    {NAMED(0, 0x3A51), "Web page of the company"},
    {NAMED(0, 0x3A42), "Birthday"},
    {NAMED(0, 0x3A41), "Anniversary"},
};

struct PdPstDetails {
    GHashTable *names; /* borrowed */
    char *class;
    char *values[G_N_ELEMENTS(fields)];
};

static guint16
get_u16(const guint8 *at)
{
    return (guint16)(at[0] | at[1] << 8);
}

static guint32
get_u32(const guint8 *at)
{
    return (guint32)get_u16(at) | (guint32)get_u16(at + 2) << 16;
}

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

/* Which of the sets of `fields`; 0: none. */
static guint
set_of(const GByteArray *guids, guint index)
{
    enum { GUID_BYTES = 16, FIRST = 3 };
    static const guint8 rest[14] = {0x06, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x46};
    gsize at = ((gsize)index - FIRST) * GUID_BYTES;
    if (index < FIRST || at + GUID_BYTES > guids->len ||
        memcmp(guids->data + at + 2, rest, sizeof rest) != 0)
        return 0;
    return get_u16(guids->data + at);
}

GHashTable *
pd_pst_names(PdPst *pst)
{
    enum { ENTRY_BYTES = 8 };
    GHashTable *names = g_hash_table_new(NULL, NULL);
    g_autoptr(GByteArray) guids = g_byte_array_new();
    g_autoptr(GByteArray) entries = g_byte_array_new();
    Lists lists = {guids, entries};
    gsize bytes_left = NAMES_BYTES_MAX;
    g_auto(PdPstHeap) heap = {0};
    PdPstNode node;
    if (pd_pst_find_node(pst, PD_PST_NAMES, &node) &&
        pd_pst_heap_open(pst, &node, &bytes_left, &heap))
        pd_pst_each_property(&heap, on_list, &lists);
    for (gsize at = 0; at + ENTRY_BYTES <= entries->len; at += ENTRY_BYTES) {
        const guint8 *entry = entries->data + at;
        guint32 number = get_u32(entry);
        guint16 kind = get_u16(entry + 4); /* the lowest bit: by a string */
        guint set = kind & 1 || number > G_MAXUINT16 ? 0 : set_of(guids, kind >> 1);
        guint id = NAMED_MIN + get_u16(entry + 6);
        if (set && id <= G_MAXUINT16)
            g_hash_table_insert(names, GUINT_TO_POINTER(id), GUINT_TO_POINTER(NAMED(set, number)));
    }
    return names;
}

/* --- values -------------------------------------------------------------------------------- */

PdPstDetails *
pd_pst_details_new(GHashTable *names)
{
    PdPstDetails *details = g_new0(PdPstDetails, 1);
    details->names = names;
    return details;
}

void
pd_pst_details_free(PdPstDetails *details)
{
    if (!details)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        g_free(details->values[i]);
    g_free(details->class);
    g_free(details);
}

/* One line of it; NULL: it says nothing.  Free with g_free. */
static char *
shown_value(const PdMapiMessage *message, guint16 type, const guint8 *value, gsize n)
{
    if (type == TYPE_BOOLEAN)
        return n && value[0] ? g_strdup("yes") : NULL;
    if (type == PD_MAPI_TIME && n >= 8) {
        g_autoptr(GDateTime) when =
            pd_mapi_time(get_u32(value) | (guint64)get_u32(value + 4) << 32);
        return when ? g_date_time_format(when, "%Y-%m-%d %H:%M UTC") : NULL;
    }
    char *text = pd_mapi_string(message, type, value, n);
    for (char *c = text; c && *c; c++)
        if (*c == '\r' || *c == '\n')
            *c = ' ';
    return text;
}

void
pd_pst_details_set(PdPstDetails *details, const PdMapiMessage *message, guint16 id, guint16 type,
                   const guint8 *value, gsize n)
{
    guint32 key = id;
    if (id == PROPERTY_CLASS && !details->class)
        details->class = pd_mapi_string(message, type, value, n);
    if (id >= NAMED_MIN)
        key = details->names
                  ? GPOINTER_TO_UINT(g_hash_table_lookup(details->names, GUINT_TO_POINTER(id)))
                  : 0;
    for (gsize i = 0; key && i < G_N_ELEMENTS(fields); i++)
        if (fields[i].key == key && !details->values[i])
            details->values[i] = shown_value(message, type, value, n);
}

/* Also reports of mails. */
static gboolean
is_mail(const char *class)
{
    return !class || !*class || g_ascii_strcasecmp(class, "IPM") == 0 ||
           g_ascii_strncasecmp(class, "IPM.Note", 8) == 0 ||
           g_ascii_strncasecmp(class, "REPORT.", 7) == 0;
}

void
pd_pst_details_take(PdPstDetails *details, PdMapiMessage *message)
{
    if (is_mail(details->class))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (details->values[i] && *details->values[i])
            g_string_append_printf(message->details, "%s: %s\n", fields[i].label,
                                   details->values[i]);
    if (g_ascii_strncasecmp(details->class, "IPM.DistList", 12) == 0)
        pd_mapi_remark(message, "a list of addresses: who is on it was not read");
}
