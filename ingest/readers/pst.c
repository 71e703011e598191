/*
 * Outlook's stores, .pst and .ost: see pst_file.h for the format.
 *
 * The messages are those of the file's list of nodes, not those that folders show: what lies in a
 * folder that is gone, or in none, is read too, and said to.  They come folder by folder, in the
 * order of the folders' paths; of each there is its number, its parent's and two places in memory,
 * and one of them at a time is read.  A message becomes one of RFC 5322 as a .msg file does
 * (appointments, contacts, tasks and notes too: what they are is a text of its own in front), and
 * its key is "Folder/Folder!/its Message-ID".
 */
#include "ingest/readers/pst.h"

#include <string.h>

#include "ingest/error.h"
#include "ingest/readers/mail.h"
#include "ingest/readers/pst_message.h"

enum {
    PROPERTY_NAME = 0x3001,
    PROPERTY_VISIBLE = 0x35E0, /* of the store: the folder whose folders people see */
    PROPERTY_DELETED = 0x35E3, /* the one of what they deleted */
    ENTRY_ID_BYTES = 24,       /* the last four say which node */
    STORE_BYTES_MAX = 1 << 20, /* of a folder's values, or the store's */
};

#define LOST "(lost)"

typedef struct {
    PdPstNode node;
    char *name;
    char *path; /* "" for the uppermost */
    guint rank; /* in the order of paths */
} Folder;

typedef struct {
    PdPst *pst;
    PdEmitter *emitter;
    GHashTable *names;   /* as pd_pst_names */
    GHashTable *folders; /* id -> Folder */
    GArray *messages;    /* PdPstNode */
    guint32 visible, deleted;
    guint64 n_hidden; /* settings that lie in folders like messages */
    guint64 n_lost;   /* messages that are in no folder */
    guint64 n_deleted;
    guint64 n_wrong_sums; /* of pages of the list of nodes */
    guint64 n_unnamed;    /* damaged pieces of folders, and of the list of names */
    guint64 n_over;       /* lists and values of these that are over a limit */
    GArray *lost_pages;   /* guint64: where they are */
} Store;

static void
folder_free(gpointer data)
{
    Folder *folder = data;
    g_free(folder->name);
    g_free(folder->path);
    g_free(folder);
}

static Folder *
folder_of(const Store *store, guint32 id)
{
    return g_hash_table_lookup(store->folders, GUINT_TO_POINTER(id));
}

/* --- what there is ------------------------------------------------------------------------- */

static gboolean
on_node(const PdPstNode *node, gpointer user_data)
{
    Store *store = user_data;
    guint type = node->id & PD_PST_TYPE_MASK;
    if (type == PD_PST_FOLDER) {
        Folder *folder = g_new0(Folder, 1);
        folder->node = *node;
        g_hash_table_insert(store->folders, GUINT_TO_POINTER(node->id), folder);
    } else if (type == PD_PST_MESSAGE)
        g_array_append_val(store->messages, *node);
    else if (type == PD_PST_HIDDEN)
        store->n_hidden++;
    return TRUE;
}

static gboolean
on_lost_page(guint64 offset, gpointer user_data)
{
    Store *store = user_data;
    g_array_append_val(store->lost_pages, offset);
    return TRUE;
}

static void
on_store_value(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Store *store = user_data;
    if (type != PD_MAPI_BINARY || n != ENTRY_ID_BYTES)
        return;
    const guint8 *at = value + ENTRY_ID_BYTES - 4;
    guint32 folder =
        (guint32)at[0] | (guint32)at[1] << 8 | (guint32)at[2] << 16 | (guint32)at[3] << 24;
    if (id == PROPERTY_VISIBLE)
        store->visible = folder;
    else if (id == PROPERTY_DELETED)
        store->deleted = folder;
}

static void
on_folder_value(guint16 id, guint16 type, const guint8 *value, gsize n, gpointer user_data)
{
    Folder *folder = user_data;
    g_autoptr(PdMapiMessage) none = pd_mapi_message_new();
    if (id == PROPERTY_NAME && !folder->name)
        folder->name = pd_mapi_string(none, type, value, n);
}

/* What a node says of itself, as far as it can be read. */
static void
read_values(Store *store, const PdPstNode *node, PdPstValueFunc value, gpointer user_data)
{
    gsize bytes_left = STORE_BYTES_MAX;
    g_auto(PdPstHeap) heap = {0};
    if (pd_pst_heap_open(store->pst, node, &bytes_left, &heap))
        pd_pst_each_property(&heap, value, user_data);
}

/* --- folders ------------------------------------------------------------------------------- */

/* A name that can stand in a path. */
static void
clean_name(Folder *folder)
{
    if (!folder->name || !*g_strstrip(folder->name)) {
        g_free(folder->name);
        folder->name = g_strdup_printf("folder %x", folder->node.id);
    }
    for (char *c = folder->name; *c; c++) {
        if ((guchar)*c < 0x20 || *c == 0x7F || *c == '/')
            *c = '_';
    }
}

/* From the folder that people see as the uppermost on, or from the file's; a folder whose way up
 * leads nowhere or in a circle begins with LOST. */
static char *
path_of(const Store *store, const Folder *folder)
{
    GString *path = g_string_new(NULL);
    const Folder *at = folder;
    for (guint depth = 0; at->node.id != store->visible && at->node.parent != at->node.id;
         depth++) {
        const Folder *above = folder_of(store, at->node.parent);
        g_string_prepend(path, path->len ? "/" : "");
        g_string_prepend(path, at->name);
        if (!above || depth >= store->emitter->limits->folder_depth_max) {
            g_string_prepend(path, LOST "/");
            break;
        }
        at = above;
    }
    return g_string_free(path, FALSE);
}

static int
compare_folders(gconstpointer a, gconstpointer b)
{
    const Folder *x = *(Folder *const *)a, *y = *(Folder *const *)b;
    int by_path = strcmp(x->path, y->path);
    return by_path ? by_path : (x->node.id > y->node.id) - (x->node.id < y->node.id);
}

static void
name_folders(Store *store)
{
    GHashTableIter iter;
    gpointer value;
    g_autoptr(GPtrArray) ordered = g_ptr_array_new();
    g_hash_table_iter_init(&iter, store->folders);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Folder *folder = value;
        read_values(store, &folder->node, on_folder_value, folder);
        clean_name(folder);
        g_ptr_array_add(ordered, folder);
    }
    for (guint i = 0; i < ordered->len; i++) {
        Folder *folder = g_ptr_array_index(ordered, i);
        folder->path = path_of(store, folder);
    }
    g_ptr_array_sort(ordered, compare_folders);
    for (guint i = 0; i < ordered->len; i++)
        ((Folder *)g_ptr_array_index(ordered, i))->rank = i;
}

/* Folder by folder, those of none last. */
static int
compare_messages(gconstpointer a, gconstpointer b, gpointer user_data)
{
    const PdPstNode *x = a, *y = b;
    const Folder *of_x = folder_of(user_data, x->parent), *of_y = folder_of(user_data, y->parent);
    guint rank_x = of_x ? of_x->rank : G_MAXUINT, rank_y = of_y ? of_y->rank : G_MAXUINT;
    return rank_x != rank_y ? (rank_x > rank_y) - (rank_x < rank_y)
                            : (x->id > y->id) - (x->id < y->id);
}

static gboolean
is_deleted(const Store *store, const PdPstNode *message)
{
    const Folder *folder = folder_of(store, message->parent);
    for (guint depth = 0; folder && depth < store->emitter->limits->folder_depth_max; depth++) {
        if (folder->node.id == store->deleted)
            return TRUE;
        folder =
            folder->node.parent != folder->node.id ? folder_of(store, folder->node.parent) : NULL;
    }
    return FALSE;
}

/* FALSE: nothing can be read. */
static gboolean
survey(Store *store, const char *name, GError **error)
{
    PdPstNode node;
    PdPstDamage *damage = pd_pst_damage(store->pst);
    pd_pst_each_node(store->pst, on_node, on_lost_page, store);
    store->n_wrong_sums = damage->n_wrong_sums;
    *damage = (PdPstDamage){0};
    if (store->lost_pages->len && !store->messages->len && !g_hash_table_size(store->folders)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "%s has no list of messages that can be read: it is damaged or cut off; "
                    "Outlook's scanpst may repair it",
                    name);
        return FALSE;
    }
    if (pd_pst_find_node(store->pst, PD_PST_STORE, &node))
        read_values(store, &node, on_store_value, store);
    store->names = pd_pst_names(store->pst);
    name_folders(store);
    g_array_sort_with_data(store->messages, compare_messages, store);
    for (guint i = 0; i < store->messages->len; i++) {
        const PdPstNode *message = &g_array_index(store->messages, PdPstNode, i);
        store->n_lost += !folder_of(store, message->parent);
        store->n_deleted += is_deleted(store, message);
    }
    store->n_unnamed = damage->n_unread + damage->n_broken + damage->n_wrong_sums;
    store->n_over = damage->n_over;
    return TRUE;
}

/* --- what is said -------------------------------------------------------------------------- */

static gboolean
say_count(Store *store, const char *what, guint64 n, const char *outcome, GError **error)
{
    return !n || pd_emit_ledger(store->emitter, "note", "", -1, error,
                                "%s: %" G_GUINT64_FORMAT ", %s", what, n, outcome);
}

static gboolean
say_survey(Store *store, GError **error)
{
    for (guint i = 0; i < store->lost_pages->len; i++) {
        guint64 offset = g_array_index(store->lost_pages, guint64, i);
        g_autofree char *key = g_strdup_printf("list at byte %" G_GUINT64_FORMAT, offset);
        if (!pd_emit_ledger(store->emitter, "failed", key, -1, error,
                            "a page of the store's list of messages is damaged: what it lists was "
                            "not read"))
            return FALSE;
    }
    return say_count(store,
                     "head or pages of its lists with another checksum than was written down",
                     store->n_wrong_sums, "read as they are", error) &&
           say_count(store, "damaged pieces of folders and of the list of fields", store->n_unnamed,
                     "names may be missing or wrong", error) &&
           say_count(store, "lists and values of folders, and of the list of fields, over a limit",
                     store->n_over, "names may be missing", error) &&
           say_count(store, "messages among the deleted ones", store->n_deleted, "read", error) &&
           say_count(store, "messages in no folder, mostly after a deletion", store->n_lost,
                     "read, under " LOST, error) &&
           say_count(store, "settings (views, rules, forms) that lie in folders like messages",
                     store->n_hidden, "not read", error);
}

/* --- messages ------------------------------------------------------------------------------ */

static gboolean
emit_message(Store *store, const PdPstNode *node, const char *folder, const char *item_key,
             gsize bytes_max, GError **error)
{
    PdEmitter *emitter = store->emitter;
    PdMapiLimits limits = pd_mail_mapi_limits(emitter->limits);
    g_autoptr(PdMapiMessage) mapi = pd_mapi_message_new();
    limits.bytes_max = MIN(limits.bytes_max, bytes_max);
    gboolean ok = pd_pst_read_message(store->pst, store->names, node, &limits, mapi);
    for (guint i = 0; i < mapi->remarks->len; i++)
        if (!pd_emit_ledger(emitter, "partial", item_key, -1, error, "%s",
                            (const char *)g_ptr_array_index(mapi->remarks, i)))
            return FALSE;
    if (!ok)
        return pd_emit_ledger(emitter, "failed", item_key, -1, error,
                              "a message whose properties cannot be read: damaged");
    g_autoptr(GByteArray) message = pd_mapi_to_mime(mapi);
    g_clear_pointer(&mapi, pd_mapi_message_free); /* its attachments are held once more */
    const PdMailInput input = {.raw = message->data,
                               .n_raw = message->len,
                               .raw_offset = -1,
                               .raw_bytes = message->len,
                               .message = message,
                               .folder = folder,
                               .item_key = item_key};
    return pd_mail_emit(&input, emitter, error);
}

static gboolean
emit_messages(Store *store, guint64 first, gsize bytes_max, GError **error)
{
    guint n = store->messages->len;
    for (guint i = (guint)MIN(first, n); i < n; i++) {
        const PdPstNode *node = &g_array_index(store->messages, PdPstNode, i);
        const Folder *folder = folder_of(store, node->parent);
        const char *path = folder ? folder->path : LOST;
        g_autofree char *key = g_strdup_printf("%s%smessage %x", path, *path ? "!/" : "", node->id);
        if (!pd_emit_begin(store->emitter, i, 0, key, error) ||
            !emit_message(store, node, path, key, bytes_max, error))
            return FALSE;
        if (i % 32 == 31 && !pd_emit_progress(store->emitter, i + 1, n, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_pst_read(const PdWorkerRequest *request, gsize bytes_max, PdEmitter *emitter, GError **error)
{
    const PdPstLimits limits = {MIN(emitter->limits->pst_list_bytes_max, G_MAXINT32),
                                emitter->limits->pst_rows_max, emitter->limits->pst_pieces_max,
                                emitter->limits->pst_contacts_max};
    g_autoptr(PdPst) pst = pd_pst_open(PD_READER_INPUT_FD, &limits, error);
    if (!pst)
        return FALSE;
    Store store = {.pst = pst,
                   .emitter = emitter,
                   .folders = g_hash_table_new_full(NULL, NULL, NULL, folder_free),
                   .messages = g_array_new(FALSE, FALSE, sizeof(PdPstNode)),
                   .lost_pages = g_array_new(FALSE, FALSE, sizeof(guint64))};
    gboolean ok = survey(&store, request->name, error) &&
                  (request->resume_item || say_survey(&store, error)) &&
                  emit_messages(&store, request->resume_item, bytes_max, error);
    g_clear_pointer(&store.names, g_hash_table_unref);
    g_hash_table_unref(store.folders);
    g_array_unref(store.messages);
    g_array_unref(store.lost_pages);
    return ok;
}
