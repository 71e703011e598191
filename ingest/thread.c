/*
 * Threads of mail: which messages belong to one conversation.
 *
 * By references, as Jamie Zawinski's algorithm and RFC 5256 ("REFERENCES") have it: every message
 * hangs on the last one that its References name, those on the one before, present or not, so that
 * the answers to a message which is not here still find each other.  What a message says of itself
 * counts more than what others say of it; a link that would close a circle is not made.  A thread
 * may be as deep as it likes: roots are found by sets with compressed paths (Tarjan 1975).
 *
 * A thread that begins with "Re: X" was cut off from its head by a mailer that keeps no references.
 * It joins the thread that X began in the same source if somebody of the one took part in the
 * other, not more than SUBJECT_DAYS before; of several, the latest.
 */
#include <string.h>
#include "ingest/corpus_internal.h"

#define SUBJECT_DAYS 90
#define DAY_SECONDS 86400

typedef struct {
    const char *name;    /* its root's */
    PdOrderEntry *first; /* the root if it is here, else the earliest */
    gboolean has_root;
    gboolean is_reply;  /* by its subject */
    char *subject;      /* without "Re:" and the like, in lower case */
    const char *joined; /* the name of the thread that it is part of; NULL: none */
} Thread;

typedef struct {
    GStringChunk *names; /* each name once: equal ones have the same address */
    GHashTable *parents; /* "source/Message-ID" -> that of the message it answers */
    GHashTable *above;   /* likewise, -> one further up, on the way to the root */
    GHashTable *depths;  /* 1 for a root; not all are known */
    GHashTable *threads; /* name of the root -> Thread */
} Threads;

static void
thread_free(gpointer data)
{
    g_free(((Thread *)data)->subject);
    g_free(data);
}

static void
threads_clear(Threads *t)
{
    g_clear_pointer(&t->threads, g_hash_table_unref);
    g_clear_pointer(&t->depths, g_hash_table_unref);
    g_clear_pointer(&t->above, g_hash_table_unref);
    g_clear_pointer(&t->parents, g_hash_table_unref);
    g_clear_pointer(&t->names, g_string_chunk_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Threads, threads_clear)

/* --- by references ------------------------------------------------------------------------- */

/* "<id@host>" and "id@host" are one Message-ID. */
static const char *
name_of_message(Threads *t, gint64 source_id, const char *message_id)
{
    gsize n = strlen(message_id);
    gboolean brackets = n >= 2 && message_id[0] == '<' && message_id[n - 1] == '>';
    g_autofree char *name =
        g_strdup_printf("%" G_GINT64_FORMAT "/%.*s", source_id, (int)MIN(n - 2 * brackets, 4096),
                        message_id + brackets);
    return g_string_chunk_insert_const(t->names, name);
}

static const char *
name_of_entry(Threads *t, const PdOrderEntry *entry)
{
    const PdDocumentRow *row = entry->row;
    return name_of_message(t, row->source_id, row->native_id ? row->native_id : row->key);
}

/* The root above a message. */
static const char *
root_of(Threads *t, const char *name)
{
    const char *root = name;
    for (const char *next = name; next; next = g_hash_table_lookup(t->above, root))
        root = next;
    while (name != root) { /* the way is short next time */
        const char *next = g_hash_table_lookup(t->above, name);
        g_hash_table_insert(t->above, (char *)name, (char *)root);
        name = next;
    }
    return root;
}

/* How far below its root, once all links are made. */
static int
depth_of(Threads *t, const char *name)
{
    g_autoptr(GPtrArray) unknown = g_ptr_array_new(); /* on the way up */
    int depth = 0;
    for (; name; name = g_hash_table_lookup(t->parents, name)) {
        depth = GPOINTER_TO_INT(g_hash_table_lookup(t->depths, name));
        if (depth)
            break;
        g_ptr_array_add(unknown, (char *)name);
    }
    for (guint i = unknown->len; i-- > 0;)
        g_hash_table_insert(t->depths, unknown->pdata[i], GINT_TO_POINTER(++depth));
    return depth - 1;
}

/* Of a message that has no parent yet. */
static void
link_messages(Threads *t, const char *name, const char *parent)
{
    if (root_of(t, parent) == name)
        return;
    g_hash_table_insert(t->parents, (char *)name, (char *)parent);
    g_hash_table_insert(t->above, (char *)name, (char *)parent);
}

/* What each message says of itself; of those with one Message-ID, the last. */
static void
link_own(Threads *t, GPtrArray *entries)
{
    g_autoptr(GHashTable) last = g_hash_table_new(g_direct_hash, g_direct_equal);
    for (guint i = 0; i < entries->len; i++) {
        PdOrderEntry *entry = g_ptr_array_index(entries, i);
        if (entry->in_reply_to)
            g_hash_table_insert(last, (char *)name_of_entry(t, entry), entry);
    }
    for (guint i = 0; i < entries->len; i++) {
        const PdOrderEntry *entry = g_ptr_array_index(entries, i);
        const char *own = name_of_entry(t, entry);
        if (g_hash_table_lookup(last, own) != entry)
            continue;
        g_auto(GStrv) ids = g_strsplit(entry->in_reply_to, " ", 2);
        if (ids[0])
            link_messages(t, own, name_of_message(t, entry->row->source_id, ids[0]));
    }
}

/* What a mail says of those before it. */
static void
link_references(Threads *t, const PdOrderEntry *entry)
{
    g_auto(GStrv) ids = g_strsplit(entry->in_reply_to ? entry->in_reply_to : "", " ", -1);
    const char *below = NULL;
    for (guint i = 0; ids[i]; i++) {
        const char *name = name_of_message(t, entry->row->source_id, ids[i]);
        if (below && !g_hash_table_contains(t->parents, below))
            link_messages(t, below, name);
        below = name;
    }
}

static void
join_thread(Threads *t, PdOrderEntry *entry)
{
    const char *own = name_of_entry(t, entry);
    const char *root = root_of(t, own);
    Thread *thread = g_hash_table_lookup(t->threads, root);
    if (!thread) {
        thread = g_new0(Thread, 1);
        thread->name = root;
        thread->first = entry;
        g_hash_table_insert(t->threads, (char *)root, thread);
    }
    if (own == root && !thread->has_root) {
        thread->has_root = TRUE;
        thread->first = entry;
    } else if (!thread->has_root && entry->row->date_utc < thread->first->row->date_utc) {
        thread->first = entry;
    }
    entry->thread = g_strdup(root);
    entry->thread_depth = depth_of(t, own);
}

/* --- by subject ---------------------------------------------------------------------------- */

/* The length of "Re:", "RE[2]:", "AW:" at the start; 0: there is none. */
static gsize
reply_prefix(const char *s)
{
    static const char *const words[] = {"re", "aw", "sv", "vs", "antw", "odp"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        gsize n = strlen(words[i]);
        if (g_ascii_strncasecmp(s, words[i], n) != 0)
            continue;
        if (s[n] == '[' || s[n] == '(' || s[n] == '^')
            n += strspn(s + n, "[]()^0123456789");
        n += strspn(s + n, " ");
        if (s[n] == ':')
            return n + 1;
    }
    return 0;
}

/* The length of a list's "[name]" before more; 0: there is none. */
static gsize
list_prefix(const char *s)
{
    const char *end = s[0] == '[' ? strchr(s, ']') : NULL;
    return end && end[1 + strspn(end + 1, " ")] ? (gsize)(end + 1 - s) : 0;
}

/* The base subject of RFC 5256, section 2.1, and whether it was an answer's. */
static char *
base_subject(const char *title, gboolean *is_reply)
{
    g_autofree char *lower = g_utf8_strdown(title ? title : "", -1);
    const char *at = lower;
    *is_reply = FALSE;
    for (gsize n = 1; n > 0; at += n) {
        at += strspn(at, " \t");
        n = reply_prefix(at);
        *is_reply |= n > 0;
        if (n == 0)
            n = list_prefix(at);
    }
    g_auto(GStrv) words = g_strsplit_set(at, " \t", -1);
    GString *base = g_string_new(NULL);
    for (guint i = 0; words[i]; i++)
        if (words[i][0])
            g_string_append_printf(base, "%s%s", base->len ? " " : "", words[i]);
    return g_string_free(base, FALSE);
}

static void
add_addresses(GHashTable *people, const char *list)
{
    g_auto(GStrv) words = g_strsplit_set(list ? list : "", " \t<>,;:\"()", -1);
    for (guint i = 0; words[i]; i++)
        if (strchr(words[i], '@'))
            g_hash_table_add(people, g_ascii_strdown(words[i], -1));
}

static GHashTable *
people_of(const PdOrderEntry *entry)
{
    GHashTable *people = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    add_addresses(people, entry->row->author);
    add_addresses(people, entry->row->recipients);
    return people;
}

static gboolean
share_people(const PdOrderEntry *a, const PdOrderEntry *b)
{
    g_autoptr(GHashTable) one = people_of(a), other = people_of(b);
    GHashTableIter iter;
    gpointer address;
    g_hash_table_iter_init(&iter, one);
    while (g_hash_table_iter_next(&iter, &address, NULL))
        if (g_hash_table_contains(other, address))
            return TRUE;
    return FALSE;
}

static char *
subject_key(const Thread *thread)
{
    return g_strdup_printf("%" G_GINT64_FORMAT "/%s", thread->first->row->source_id,
                           thread->subject);
}

/* Threads that a message of its own subject began, by source and subject. */
static GHashTable *
index_heads(const Threads *t)
{
    GHashTable *heads =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, t->threads);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Thread *thread = value;
        thread->subject = base_subject(thread->first->row->title, &thread->is_reply);
        if (thread->is_reply || !thread->has_root || !thread->subject[0])
            continue;
        g_autofree char *key = subject_key(thread);
        GPtrArray *same = g_hash_table_lookup(heads, key);
        if (!same)
            g_hash_table_insert(heads, g_steal_pointer(&key), same = g_ptr_array_new());
        g_ptr_array_add(same, thread);
    }
    return heads;
}

static const Thread *
find_head(GHashTable *heads, const Thread *thread)
{
    const Thread *best = NULL;
    gint64 date = thread->first->row->date_utc;
    g_autofree char *key = subject_key(thread);
    GPtrArray *same = g_hash_table_lookup(heads, key);
    for (guint i = 0; same && date != G_MININT64 && i < same->len; i++) {
        const Thread *head = g_ptr_array_index(same, i);
        gint64 began = head->first->row->date_utc;
        if (began == G_MININT64 || began > date || date - began > SUBJECT_DAYS * DAY_SECONDS)
            continue;
        gint64 latest = best ? best->first->row->date_utc : G_MININT64;
        gboolean later = began > latest || (began == latest && strcmp(head->name, best->name) < 0);
        if (later && share_people(thread->first, head->first))
            best = head;
    }
    return best;
}

static void
join_by_subject(Threads *t)
{
    g_autoptr(GHashTable) heads = index_heads(t);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, t->threads);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Thread *thread = value;
        const Thread *head =
            thread->is_reply && thread->subject[0] ? find_head(heads, thread) : NULL;
        thread->joined = head ? head->name : NULL;
    }
}

/* --- all ----------------------------------------------------------------------------------- */

void
pd_thread_mails(GPtrArray *entries)
{
    g_auto(Threads) t = {
        .names = g_string_chunk_new(4096),
        .parents = g_hash_table_new(g_direct_hash, g_direct_equal),
        .above = g_hash_table_new(g_direct_hash, g_direct_equal),
        .depths = g_hash_table_new(g_direct_hash, g_direct_equal),
        .threads = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, thread_free),
    };
    link_own(&t, entries);
    for (guint i = 0; i < entries->len; i++)
        link_references(&t, g_ptr_array_index(entries, i));
    for (guint i = 0; i < entries->len; i++)
        join_thread(&t, g_ptr_array_index(entries, i));
    join_by_subject(&t);
    for (guint i = 0; i < entries->len; i++) {
        PdOrderEntry *entry = g_ptr_array_index(entries, i);
        const char *own = g_string_chunk_insert_const(t.names, entry->thread);
        const Thread *thread = g_hash_table_lookup(t.threads, own);
        if (thread->joined) {
            thread = g_hash_table_lookup(t.threads, thread->joined);
            g_free(entry->thread);
            entry->thread = g_strdup(thread->name);
            entry->thread_depth++;
        }
        entry->thread_date = thread->first->row->date_utc;
    }
}
