/*
 * Outlook's stores (.pst, .ost) as [MS-PST] describes them: a file of pages and blocks, found
 * through two B-trees (nodes by number, blocks by number), and in the blocks of a node a heap with
 * lists of MAPI properties.
 *
 * A reader of our own and not libpst's: that one gives items it has interpreted, without their
 * recipients, and passes over pages, blocks and attachments that it cannot read without a word.
 * Here every piece that is not read is counted.  All numbers come from a file that is not trusted:
 * lengths are checked against what is there, trees become less deep with each step, and keys must
 * grow, so that no walk is endless.
 */
#ifndef PD_PST_FILE_H
#define PD_PST_FILE_H

#include <glib.h>

typedef struct PdPst PdPst;

/* What could not be read, and so is missing from what was given out; the counts only grow until
 * the caller sets them to 0. */
typedef struct {
    guint n_unread;     /* blocks outside of the file, or not listed */
    guint n_wrong_sums; /* blocks and pages whose checksum is another: taken all the same */
    guint n_broken;     /* structures that make no sense */
    guint n_over;       /* values and lists over a limit */
} PdPstDamage;

/* A node, or one below it. */
typedef struct {
    guint32 id;     /* its last five bits are its type */
    guint32 parent; /* 0 below a node */
    guint64 data;   /* block; 0: none */
    guint64 below;  /* block that lists the nodes below it; 0: none */
} PdPstNode;

enum { /* [MS-PST] 2.2.2.1 */
       PD_PST_FOLDER = 0x02,
       PD_PST_MESSAGE = 0x04,
       PD_PST_ATTACHMENT = 0x05,
       PD_PST_HIDDEN = 0x08, /* settings that lie in a folder like messages */
       PD_PST_TYPE_MASK = 0x1F,
       /* nodes that every store has */
       PD_PST_STORE = 0x21,
       PD_PST_NAMES = 0x61,
       /* below a message */
       PD_PST_RECIPIENTS = 0x692,
};

/* Of one list of properties, or table. */
typedef struct {
    gsize list_bytes_max;
    guint rows_max;
    guint pieces_max;   /* of a list, allocations that are looked at */
    guint contacts_max; /* of a message, that are looked up */
} PdPstLimits;

/* `fd`: the file, read at any place and not closed. */
PdPst *pd_pst_open(int fd, const PdPstLimits *limits, GError **error);
void pd_pst_free(PdPst *pst);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPst, pd_pst_free)
PdPstDamage *pd_pst_damage(PdPst *pst);
const PdPstLimits *pd_pst_limits(const PdPst *pst);

/* The nodes of the file, by number.  `lost`: a page of the list, at this byte of the file, cannot
 * be read, nor what it lists.  Either returns FALSE to stop; then so does this. */
typedef gboolean (*PdPstNodeFunc)(const PdPstNode *node, gpointer user_data);
typedef gboolean (*PdPstLostFunc)(guint64 offset, gpointer user_data);
gboolean pd_pst_each_node(PdPst *pst, PdPstNodeFunc node, PdPstLostFunc lost, gpointer user_data);
/* FALSE: there is none. */
gboolean pd_pst_find_node(PdPst *pst, guint32 id, PdPstNode *node);

/* The nodes below one (PdPstNode), by number; never NULL.  Free with g_array_unref. */
GArray *pd_pst_below(PdPst *pst, const PdPstNode *node);
/* NULL: there is none. */
const PdPstNode *pd_pst_find_below(const GArray *below, guint32 id);

/* The blocks of a node's data (GByteArray), deciphered; one that cannot be read is empty.  NULL:
 * there are more than `max` bytes.  Free with g_ptr_array_unref. */
GPtrArray *pd_pst_blocks(PdPst *pst, guint64 block, gsize max);

/* How many bits of an allocation's number in a heap say which of its block it is. */
guint pd_pst_index_bits(const PdPst *pst);

/* --- heaps --------------------------------------------------------------------------------- */

typedef struct {
    PdPst *pst;
    GPtrArray *blocks; /* GByteArray */
    GArray *below;     /* PdPstNode: where values lie that are too long for the heap */
    guint8 client;     /* what it holds */
    guint32 root;
    gsize
        *bytes_left; /* of long values: what is read counts down, what would be more is not read */
} PdPstHeap;

/* FALSE: it cannot be read.  `heap` is to be cleared in any case. */
gboolean pd_pst_heap_open(PdPst *pst, const PdPstNode *node, gsize *bytes_left, PdPstHeap *heap);
void pd_pst_heap_clear(PdPstHeap *heap);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdPstHeap, pd_pst_heap_clear)

/* A long value by its number, up to the first piece of it that is missing; NULL: none of it.  Free
 * with g_byte_array_unref. */
GByteArray *pd_pst_heap_value(PdPstHeap *heap, guint32 id);

/* A value as it lies there; borrowed.  Of type PD_MAPI_OBJECT: the number of a node below, and a
 * length. */
typedef void (*PdPstValueFunc)(guint16 id, guint16 type, const guint8 *value, gsize n,
                               gpointer user_data);
/* The properties of a node: numbers and times first (they say how strings are to be read), then
 * the others.  FALSE: the list is damaged; what stands before the damage was given out. */
gboolean pd_pst_each_property(PdPstHeap *heap, PdPstValueFunc value, gpointer user_data);
/* The rows of a table: its values, likewise, and then `row`. */
gboolean pd_pst_each_row(PdPstHeap *heap, PdPstValueFunc value, void (*row)(gpointer user_data),
                         gpointer user_data);

#endif
