/*
 * Mails that several mailboxes hold: read once, known in all places.
 *
 * Two mails are one if they have the same Message-ID and the same parts (headers that people cite
 * and text; what machines on the way put on top is not among them).  The one that was stored first
 * stands for all.  An attachment is a duplicate if the mail it came with is one and the mail that
 * stands for it came with the same.  Nothing is stored of this: when the first one goes, the next
 * takes its place.
 */
#include <string.h>
#include "ingest/corpus_internal.h"

/* The hash of a document that was edited (corpus_edit.c): it equals no other. */
static gboolean
is_edited(const char *parts_sha256)
{
    return strspn(parts_sha256, "0") == strlen(parts_sha256);
}

/* The id of the mail or other document that the family's head stands for; 0: no head. */
static gint64
head_of(const PdOrderEntry *entry)
{
    const PdOrderEntry *parent = entry->parent;
    if (!parent)
        return 0;
    return parent->row->duplicate_of ? parent->row->duplicate_of : parent->row->id;
}

/* What equal documents have in common; NULL: it cannot be a duplicate. */
static char *
class_of(const PdOrderEntry *entry)
{
    const PdDocumentRow *row = entry->row;
    if (is_edited(entry->parts_sha256))
        return NULL;
    if (entry->parent)
        return g_strdup_printf("%" G_GINT64_FORMAT " %s %s", head_of(entry), entry->parts_sha256,
                               row->title ? row->title : "");
    if (row->kind != PD_KIND_MAIL || !row->native_id || !row->native_id[0])
        return NULL;
    return g_strdup_printf("%s %s", row->native_id, entry->parts_sha256);
}

void
pd_mark_duplicates(GPtrArray *entries)
{
    g_autoptr(GHashTable) first = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    /* Before what hangs on it, a document is judged; families are not deep. */
    for (gboolean attachments = FALSE; attachments <= TRUE; attachments++)
        for (guint i = 0; i < entries->len; i++) {
            PdOrderEntry *entry = g_ptr_array_index(entries, i);
            if ((entry->parent != NULL) != attachments)
                continue;
            g_autofree char *class = class_of(entry);
            PdOrderEntry *other = class ? g_hash_table_lookup(first, class) : NULL;
            if (!other && class)
                g_hash_table_insert(first, g_steal_pointer(&class), entry);
            else if (other && other->parent == entry->parent && entry->parent)
                continue; /* twice in one mail */
            else if (other)
                entry->row->duplicate_of = other->row->id;
        }
}
