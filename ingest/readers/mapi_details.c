/*
 * See mapi_details.h.  Properties of programs have numbers that each store gives them itself; a
 * list in the store says which set ([MS-OXPROPS] 1.3.2) and number in it they stand for
 * ([MS-PST] 2.4.7).
 */
#include "ingest/readers/mapi_details.h"

#include <string.h>

#include "ingest/readers/little_endian.h"

/* A set is named by its GUID, {0006XXXX-0000-0000-C000-000000000046}; here by XXXX. */
#define NAMED(set, number) ((guint32)(set) << 16 | (number))

enum {
    APPOINTMENT = 0x2002,
    TASK = 0x2003,
    ADDRESS = 0x2004,
    LOG = 0x200A,
    PROPERTY_CLASS = 0x001A,
    NAMED_MIN = 0x8000,
};

#define MEMBERS NAMED(ADDRESS, 0x8055)         /* where they are kept */
#define ONE_OFF_MEMBERS NAMED(ADDRESS, 0x8054) /* who they were */
#define NAME NAMED(0, 0x3001)
#define EMAIL NAMED(ADDRESS, 0x8083)
#define EMAIL_2 NAMED(ADDRESS, 0x8093)
#define EMAIL_3 NAMED(ADDRESS, 0x80A3)

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
    {NAME, "Name"},
    {NAMED(0, 0x3A4F), "Nickname"},
    {NAMED(0, 0x3A17), "Job title"},
    {NAMED(0, 0x3A18), "Department"},
    {NAMED(0, 0x3A16), "Company"},
    {NAMED(0, 0x3A19), "Office"},
    {NAMED(0, 0x3A4E), "Manager"},
    {NAMED(0, 0x3A30), "Assistant"},
    {EMAIL, "E-mail"},
    {EMAIL_2, "E-mail 2"},
    {EMAIL_3, "E-mail 3"},
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

struct PdMapiDetails {
    GHashTable *names; /* borrowed */
    char *class;
    char *values[G_N_ELEMENTS(fields)];
    PdMapiMembers *members;
};

/* --- names --------------------------------------------------------------------------------- */

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
    return pd_le_u16(guids->data + at);
}

GHashTable *
pd_mapi_names(const GByteArray *guids, const GByteArray *entries)
{
    enum { ENTRY_BYTES = 8 };
    GHashTable *names = g_hash_table_new(NULL, NULL);
    for (gsize at = 0; at + ENTRY_BYTES <= entries->len; at += ENTRY_BYTES) {
        const guint8 *entry = entries->data + at;
        guint32 number = pd_le_u32(entry);
        guint16 kind = pd_le_u16(entry + 4); /* the lowest bit: by a string */
        guint set = kind & 1 || number > G_MAXUINT16 ? 0 : set_of(guids, kind >> 1);
        guint id = NAMED_MIN + pd_le_u16(entry + 6);
        if (set && id <= G_MAXUINT16)
            g_hash_table_insert(names, GUINT_TO_POINTER(id), GUINT_TO_POINTER(NAMED(set, number)));
    }
    return names;
}

/* --- values -------------------------------------------------------------------------------- */

PdMapiDetails *
pd_mapi_details_new(GHashTable *names)
{
    PdMapiDetails *details = g_new0(PdMapiDetails, 1);
    details->names = names;
    details->members = pd_mapi_members_new();
    return details;
}

void
pd_mapi_details_free(PdMapiDetails *details)
{
    if (!details)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        g_free(details->values[i]);
    g_free(details->class);
    pd_mapi_members_free(details->members);
    g_free(details);
}

/* --- members of a list --------------------------------------------------------------------- */

/* Of several values: how many, where each begins, and they ([MS-PST] 2.3.3.4.2). */
static void
set_members(PdMapiDetails *details, const PdMapiMessage *message, guint32 key, const guint8 *value,
            gsize n)
{
    gsize count = n >= 4 ? pd_le_u32(value) : 0;
    for (gsize i = 0; i < count && 4 + 4 * (i + 1) <= n; i++) {
        gsize start = pd_le_u32(value + 4 + 4 * i);
        gsize end = i + 1 < count && 4 + 4 * (i + 2) <= n ? pd_le_u32(value + 8 + 4 * i) : n;
        if (start > end || end > n)
            break;
        pd_mapi_members_add(details->members, message, key == MEMBERS, value + start, end - start);
    }
}

/* --- fields -------------------------------------------------------------------------------- */

/* One line of it; NULL: it says nothing.  Free with g_free. */
static char *
shown_value(const PdMapiMessage *message, guint16 type, const guint8 *value, gsize n)
{
    if (type == PD_MAPI_BOOLEAN)
        return n && value[0] ? g_strdup("yes") : NULL;
    if (type == PD_MAPI_TIME && n >= 8) {
        g_autoptr(GDateTime) when =
            pd_mapi_time(pd_le_u32(value) | (guint64)pd_le_u32(value + 4) << 32);
        return when ? g_date_time_format(when, "%Y-%m-%d %H:%M UTC") : NULL;
    }
    char *text = pd_mapi_string(message, type, value, n);
    for (char *c = text; c && *c; c++)
        if (*c == '\r' || *c == '\n')
            *c = ' ';
    return text;
}

void
pd_mapi_details_set(PdMapiDetails *details, const PdMapiMessage *message, guint16 id, guint16 type,
                    const guint8 *value, gsize n)
{
    guint32 key = id;
    if (id == PROPERTY_CLASS && !details->class)
        details->class = pd_mapi_string(message, type, value, n);
    if (id >= NAMED_MIN)
        key = details->names
                  ? GPOINTER_TO_UINT(g_hash_table_lookup(details->names, GUINT_TO_POINTER(id)))
                  : 0;
    if (key == MEMBERS || key == ONE_OFF_MEMBERS) {
        if (type == PD_MAPI_BINARIES)
            set_members(details, message, key, value, n);
        else if (type == PD_MAPI_BINARY)
            pd_mapi_members_add(details->members, message, key == MEMBERS, value, n);
        return;
    }
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

static const char *
value_of(const PdMapiDetails *details, guint32 key)
{
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (fields[i].key == key)
            return details->values[i] && *details->values[i] ? details->values[i] : NULL;
    return NULL;
}

char *
pd_mapi_details_person(const PdMapiDetails *details, guint email)
{
    static const guint32 addresses[] = {EMAIL, EMAIL_2, EMAIL_3};
    const char *name = value_of(details, NAME);
    const char *address =
        email < G_N_ELEMENTS(addresses) ? value_of(details, addresses[email]) : NULL;
    return name || address ? pd_mapi_mailbox(name, address) : NULL;
}

void
pd_mapi_details_take(PdMapiDetails *details, PdMapiContactFunc contact, gpointer user_data,
                     PdMapiMessage *message)
{
    if (is_mail(details->class))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
        if (details->values[i] && *details->values[i])
            g_string_append_printf(message->details, "%s: %s\n", fields[i].label,
                                   details->values[i]);
    if (g_ascii_strncasecmp(details->class, "IPM.DistList", 12) == 0)
        pd_mapi_members_take(details->members, contact, user_data, message);
}
