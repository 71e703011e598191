/*
 * See mapi_members.h.  A list says who is on it twice: by name and address as it was put on the
 * list (a one-off entry, [MS-OXCDATA] 2.2.5.1), and by where it is kept: nowhere else, in a contact
 * of the store, or in the address book of the server, of which the name there is known.
 */
#include "ingest/readers/mapi_members.h"

#include <string.h>

#include "ingest/readers/little_endian.h"

enum {
    PROVIDER_AT = 4,
    PROVIDER_BYTES = 16,
    ENTRY_BYTES = 20, /* flags and provider, of every entry */
    STORE_ENTRY_BYTES = 24,
    WRAPPED_BYTES = 21,
    WRAPPED_TYPE = 0x0F,
    WRAPPED_CONTACT = 3,
    WRAPPED_LIST = 4,
    WRAPPED_EMAIL_SHIFT = 4, /* three bits: faxes, and from 4 on addresses for mail */
    EMAIL_FIRST = 4,
    EMAIL_LAST = 6,
};

struct PdMapiMembers {
    GPtrArray *known; /* char *, or NULL: it says nothing */
    GPtrArray *kept;  /* GBytes */
};

PdMapiMembers *
pd_mapi_members_new(void)
{
    PdMapiMembers *members = g_new0(PdMapiMembers, 1);
    members->known = g_ptr_array_new_with_free_func(g_free);
    members->kept = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    return members;
}

void
pd_mapi_members_free(PdMapiMembers *members)
{
    if (!members)
        return;
    g_ptr_array_unref(members->known);
    g_ptr_array_unref(members->kept);
    g_free(members);
}

/* --- entries ------------------------------------------------------------------------------- */

static gboolean
is_of_provider(const guint8 *value, gsize n, const guint8 provider[PROVIDER_BYTES])
{
    return n > ENTRY_BYTES && memcmp(value + PROVIDER_AT, provider, PROVIDER_BYTES) == 0;
}

/* The next string of an entry, which ends in zeros; NULL: there is none. */
static char *
next_string(const PdMapiMessage *message, gboolean unicode, const guint8 **at, const guint8 *end)
{
    gsize n_char = unicode ? 2 : 1;
    const guint8 *start = *at;
    for (; (gsize)(end - *at) >= n_char; *at += n_char) {
        if ((*at)[0] || (*at)[n_char - 1])
            continue;
        gsize n = (gsize)(*at - start);
        *at += n_char;
        return pd_mapi_string(message, unicode ? PD_MAPI_UNICODE : PD_MAPI_STRING8, start, n);
    }
    return NULL;
}

/* A name and address alone; NULL: it is no such entry. */
static char *
one_off(const PdMapiMessage *message, const guint8 *value, gsize n)
{
    enum { HEAD_BYTES = 24, FLAGS_AT = 22, IS_UNICODE = 0x8000 };
    static const guint8 provider[PROVIDER_BYTES] = {0x81, 0x2B, 0x1F, 0xA4, 0xBE, 0xA3, 0x10, 0x19,
                                                    0x9D, 0x6E, 0x00, 0xDD, 0x01, 0x0F, 0x54, 0x02};
    if (n < HEAD_BYTES || !is_of_provider(value, n, provider))
        return NULL;
    gboolean unicode = (pd_le_u16(value + FLAGS_AT) & IS_UNICODE) != 0;
    const guint8 *at = value + HEAD_BYTES, *end = value + n;
    g_autofree char *name = next_string(message, unicode, &at, end);
    g_autofree char *kind = next_string(message, unicode, &at, end);
    g_autofree char *address = next_string(message, unicode, &at, end);
    if (!kind || !address || (!*name && !*address))
        return NULL;
    return pd_mapi_mailbox(*name ? name : NULL, address);
}

/* In the server's address book, [MS-OXCDATA] 2.2.5.2: its name there; NULL: it is no such entry. */
static char *
address_book_name(const PdMapiMessage *message, const guint8 *value, gsize n)
{
    enum { HEAD_BYTES = 28 };
    static const guint8 provider[PROVIDER_BYTES] = {0xDC, 0xA7, 0x40, 0xC8, 0xC0, 0x42, 0x10, 0x1A,
                                                    0xB4, 0xB9, 0x08, 0x00, 0x2B, 0x2F, 0xE1, 0x82};
    if (n < HEAD_BYTES || !is_of_provider(value, n, provider))
        return NULL;
    const guint8 *at = value + HEAD_BYTES;
    g_autofree char *name = next_string(message, FALSE, &at, value + n);
    return name && *name ? g_steal_pointer(&name) : NULL;
}

/* Where a member is kept, [MS-OXOCNTC] 2.2.2.2.4.1.1: who that is, as far as it can be told. */
static char *
who_is_kept(const PdMapiMessage *message, GBytes *entry, PdMapiContactFunc contact,
            gpointer user_data)
{
    static const guint8 provider[PROVIDER_BYTES] = {0xC0, 0x91, 0xAD, 0xD3, 0x51, 0x9D, 0xCF, 0x11,
                                                    0xA4, 0xA9, 0x00, 0xAA, 0x00, 0x47, 0xFA, 0xA4};
    gsize n;
    const guint8 *value = g_bytes_get_data(entry, &n);
    if (!is_of_provider(value, n, provider))
        return one_off(message, value, n);
    guint8 how = value[ENTRY_BYTES];
    guint type = how & WRAPPED_TYPE;
    guint which = (guint)(how >> WRAPPED_EMAIL_SHIFT) & 7;
    value += WRAPPED_BYTES;
    n -= WRAPPED_BYTES;
    if (type == WRAPPED_CONTACT || type == WRAPPED_LIST) {
        guint email = which >= EMAIL_FIRST && which <= EMAIL_LAST ? which - EMAIL_FIRST : 0;
        return contact && n == STORE_ENTRY_BYTES
                   ? contact(value + PROVIDER_AT, pd_le_u32(value + ENTRY_BYTES), email, user_data)
                   : NULL;
    }
    char *name = address_book_name(message, value, n);
    return name ? name : one_off(message, value, n);
}

/* --- members ------------------------------------------------------------------------------- */

void
pd_mapi_members_add(PdMapiMembers *members, const PdMapiMessage *message, gboolean kept,
                    const guint8 *value, gsize n)
{
    if (kept)
        g_ptr_array_add(members->kept, g_bytes_new(value, n));
    else
        g_ptr_array_add(members->known, one_off(message, value, n));
}

static void
remark_on_unknown(PdMapiMessage *message, guint n_unknown, guint n)
{
    g_autofree char *remark = g_strdup_printf(
        "a list of addresses: %u of those on it are kept elsewhere and were not read", n_unknown);
    if (n_unknown)
        pd_mapi_remark(message, remark);
    else if (!n)
        pd_mapi_remark(message, "a list of addresses: who is on it was not found");
}

void
pd_mapi_members_take(const PdMapiMembers *members, PdMapiContactFunc contact, gpointer user_data,
                     PdMapiMessage *message)
{
    guint n = MAX(members->known->len, members->kept->len), n_unknown = 0;
    for (guint i = 0; i < n; i++) {
        const char *known = i < members->known->len ? g_ptr_array_index(members->known, i) : NULL;
        g_autofree char *member = g_strdup(known);
        if (!member && i < members->kept->len)
            member = who_is_kept(message, g_ptr_array_index(members->kept, i), contact, user_data);
        n_unknown += !member;
        if (!member)
            continue;
        g_strdelimit(member, "\r\n", ' ');
        g_string_append_printf(message->details, "Member: %s\n", member);
    }
    remark_on_unknown(message, n_unknown, n);
}
