/*
 * Heaps of Outlook's stores, and the lists and tables of properties in them ([MS-PST] 2.3): see
 * pst_file.h.
 *
 * A heap is cut into allocations; a list that is sorted by a key (BTH) is a tree of them; a list of
 * properties (PC) is a BTH, a table (TC) has rows of fixed length besides.  What is longer than the
 * heap's allocations may be lies in a node below the heap's.
 */
#include "ingest/readers/pst_file.h"

#include <string.h>

#include "ingest/readers/little_endian.h"
#include "ingest/readers/mapi.h"

enum {
    HEAP_MARK = 0xEC,
    HEAP_PROPERTIES = 0xBC,
    HEAP_TABLE = 0x7C,
    TREE_MARK = 0xB5,
    TREE_LEVELS_MAX = 8,
    ID_ROW = 0x67F2, /* columns that say which row it is */
    ID_ROW_VERSION = 0x67F3,
};

typedef struct {
    const guint8 *at;
    gsize n;
} Bytes;

static gboolean
broken(PdPstHeap *heap)
{
    pd_pst_damage(heap->pst)->n_broken++;
    return FALSE;
}

static gboolean
over(PdPstHeap *heap)
{
    pd_pst_damage(heap->pst)->n_over++;
    return FALSE;
}

gboolean
pd_pst_heap_open(PdPst *pst, const PdPstNode *node, gsize *bytes_left, PdPstHeap *heap)
{
    enum { HEAD_BYTES = 12 };
    *heap = (PdPstHeap){.pst = pst, .bytes_left = bytes_left};
    heap->below = pd_pst_below(pst, node);
    heap->blocks = pd_pst_blocks(pst, node->data, pd_pst_limits(pst)->list_bytes_max);
    if (!heap->blocks) /* over the limit: counted */
        return FALSE;
    const GByteArray *first = heap->blocks->len ? g_ptr_array_index(heap->blocks, 0) : NULL;
    if (!first || first->len < HEAD_BYTES || first->data[2] != HEAP_MARK)
        return broken(heap);
    heap->client = first->data[3];
    heap->root = pd_le_u32(first->data + 4);
    return TRUE;
}

void
pd_pst_heap_clear(PdPstHeap *heap)
{
    g_clear_pointer(&heap->blocks, g_ptr_array_unref);
    g_clear_pointer(&heap->below, g_array_unref);
}

/* An allocation: its block's map says where it begins and ends.  FALSE: there is none. */
static gboolean
allocation(const PdPstHeap *heap, guint32 id, Bytes *bytes)
{
    guint bits = pd_pst_index_bits(heap->pst);
    guint32 index = id >> 5 & ((1u << bits) - 1), block = id >> (5 + bits);
    if (id & PD_PST_TYPE_MASK || index == 0 || block >= heap->blocks->len)
        return FALSE;
    const GByteArray *held = g_ptr_array_index(heap->blocks, block);
    gsize map = held->len >= 2 ? pd_le_u16(held->data) : 0;
    if (map == 0 || map + 4 > held->len || index > pd_le_u16(held->data + map) ||
        map + 4 + 2 * (gsize)(index + 1) > held->len)
        return FALSE;
    gsize from = pd_le_u16(held->data + map + 4 + 2 * (index - 1));
    gsize to = pd_le_u16(held->data + map + 4 + 2 * index);
    if (from > to || to > held->len)
        return FALSE;
    *bytes = (Bytes){held->data + from, to - from};
    return TRUE;
}

/* Where a long value lies, in pieces (GByteArray): in the heap, or in a node below it.  NULL:
 * nowhere, or it is over the limit. */
static GPtrArray *
pieces(PdPstHeap *heap, guint32 id)
{
    Bytes bytes;
    if (id & PD_PST_TYPE_MASK) {
        const PdPstNode *node = pd_pst_find_below(heap->below, id);
        if (node)
            return pd_pst_blocks(heap->pst, node->data, *heap->bytes_left);
    } else if (allocation(heap, id, &bytes)) {
        GPtrArray *blocks = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
        g_ptr_array_add(blocks, g_byte_array_append(g_byte_array_new(), bytes.at, (guint)bytes.n));
        return blocks;
    }
    broken(heap);
    return NULL;
}

GByteArray *
pd_pst_heap_value(PdPstHeap *heap, guint32 id)
{
    g_autoptr(GByteArray) value = g_byte_array_new();
    if (id == 0)
        return g_steal_pointer(&value);
    g_autoptr(GPtrArray) blocks = pieces(heap, id);
    for (guint i = 0; blocks && i < blocks->len; i++) {
        const GByteArray *block = g_ptr_array_index(blocks, i);
        if (!block->len)
            break;
        g_byte_array_append(value, block->data, block->len);
    }
    *heap->bytes_left -= MIN(*heap->bytes_left, value->len);
    return blocks ? g_steal_pointer(&value) : NULL;
}

/* --- sorted lists -------------------------------------------------------------------------- */

typedef gboolean (*RecordFunc)(const guint8 *record, gpointer user_data);

typedef struct {
    PdPstHeap *heap;
    gsize n_key, n_data;
    RecordFunc record;
    gpointer user_data;
    guint n_pieces;
} Tree;

static gboolean
walk_tree(Tree *tree, guint32 id, guint level)
{
    Bytes bytes;
    if (id == 0) /* empty */
        return TRUE;
    gsize n_record = tree->n_key + (level ? 4 : tree->n_data);
    if (tree->n_pieces++ >= pd_pst_limits(tree->heap->pst)->pieces_max)
        return over(tree->heap);
    if (!allocation(tree->heap, id, &bytes))
        return broken(tree->heap);
    for (; bytes.n >= n_record; bytes.at += n_record, bytes.n -= n_record) {
        if (level ? !walk_tree(tree, pd_le_u32(bytes.at + tree->n_key), level - 1)
                  : !tree->record(bytes.at, tree->user_data))
            return FALSE;
    }
    return TRUE;
}

/* FALSE: damaged, or stopped by `record`. */
static gboolean
each_record(PdPstHeap *heap, guint32 id, gsize n_key, gsize n_data_min, gsize *n_data,
            RecordFunc record, gpointer user_data)
{
    Bytes head;
    if (!allocation(heap, id, &head) || head.n < 8 || head.at[0] != TREE_MARK ||
        head.at[1] != n_key || head.at[2] < n_data_min || head.at[3] > TREE_LEVELS_MAX)
        return broken(heap);
    *n_data = head.at[2];
    Tree tree = {heap, n_key, head.at[2], record, user_data, 0};
    return walk_tree(&tree, pd_le_u32(head.at + 4), head.at[3]);
}

/* --- properties ---------------------------------------------------------------------------- */

/* Bytes of a value of fixed length, [MS-OXCDATA] 2.11.1; 0: of another. */
static gsize
fixed_bytes(guint16 type)
{
    switch (type) {
    case 0x0002: /* 16 bits */
        return 2;
    case PD_MAPI_I4:
    case 0x0004: /* float */
    case 0x000A: /* error */
        return 4;
    case 0x000B: /* boolean */
        return 1;
    case 0x0005: /* double */
    case 0x0006: /* currency */
    case 0x0007: /* application time */
    case 0x0014: /* 64 bits */
    case PD_MAPI_TIME:
        return 8;
    case 0x0048: /* GUID */
        return 16;
    default:
        return 0;
    }
}

typedef struct {
    PdPstHeap *heap;
    PdPstValueFunc value;
    gpointer user_data;
    gboolean fixed; /* those of fixed length, or the others */
    gint32 id;      /* of the one before: they grow */
} Properties;

static void
give_long(PdPstHeap *heap, guint16 id, guint16 type, guint32 where, PdPstValueFunc value,
          gpointer user_data)
{
    g_autoptr(GByteArray) bytes = pd_pst_heap_value(heap, where);
    if (bytes)
        value(id, type, bytes->data, bytes->len, user_data);
}

static gboolean
on_property(const guint8 *record, gpointer user_data)
{
    Properties *properties = user_data;
    guint16 id = pd_le_u16(record), type = pd_le_u16(record + 2);
    gsize n_fixed = fixed_bytes(type);
    if (id <= properties->id)
        return broken(properties->heap);
    properties->id = id;
    if (properties->fixed != (n_fixed > 0))
        return TRUE;
    if (n_fixed && n_fixed <= 4)
        properties->value(id, type, record + 4, n_fixed, properties->user_data);
    else
        give_long(properties->heap, id, type, pd_le_u32(record + 4), properties->value,
                  properties->user_data);
    return TRUE;
}

gboolean
pd_pst_each_property(PdPstHeap *heap, PdPstValueFunc value, gpointer user_data)
{
    enum { KEY_BYTES = 2, DATA_BYTES = 6 };
    Properties properties = {heap, value, user_data, TRUE, -1};
    gsize n_data;
    if (heap->client != HEAP_PROPERTIES)
        return broken(heap);
    if (!each_record(heap, heap->root, KEY_BYTES, DATA_BYTES, &n_data, on_property, &properties))
        return FALSE;
    properties.fixed = FALSE;
    properties.id = -1;
    return each_record(heap, heap->root, KEY_BYTES, DATA_BYTES, &n_data, on_property, &properties);
}

/* --- tables -------------------------------------------------------------------------------- */

typedef struct {
    guint16 id, type;
    guint16 offset;
    guint8 n, bit;
} Column;

typedef struct {
    PdPstHeap *heap;
    Bytes head;   /* with the columns */
    GArray *rows; /* guint32: which rows there are */
    gsize n_row;
    gsize n_number; /* of a row's number in the index */
} Table;

static gboolean
on_row_number(const guint8 *record, gpointer user_data)
{
    Table *table = user_data;
    guint32 row = table->n_number >= 4 ? pd_le_u32(record + 4) : pd_le_u16(record + 4);
    if (table->rows->len >= pd_pst_limits(table->heap->pst)->rows_max)
        return over(table->heap);
    g_array_append_val(table->rows, row);
    return TRUE;
}

static Column
column_of(const Table *table, guint i)
{
    const guint8 *at = table->head.at + 22 + 8 * i;
    return (Column){pd_le_u16(at + 2), pd_le_u16(at), pd_le_u16(at + 4), at[6], at[7]};
}

/* Rows do not go over the end of a block. */
static const guint8 *
find_row(const Table *table, const GPtrArray *blocks, guint32 row)
{
    for (guint i = 0; i < blocks->len; i++) {
        const GByteArray *block = g_ptr_array_index(blocks, i);
        /* One that cannot be read was as long as the others. */
        const GByteArray *like = block->len ? block : g_ptr_array_index(blocks, 0);
        gsize n_rows = like->len / table->n_row;
        if (row < n_rows)
            return block->len ? block->data + row * table->n_row : NULL;
        row -= (guint32)n_rows;
    }
    return NULL;
}

/* `at`: a row; which of its columns are set, a bit each says at its end. */
static void
give_row(const Table *table, const guint8 *at, gboolean fixed, PdPstValueFunc value,
         gpointer user_data)
{
    gsize bits_at = pd_le_u16(table->head.at + 6);
    for (guint i = 0; i < table->head.at[1]; i++) {
        Column column = column_of(table, i);
        gsize n_fixed = fixed_bytes(column.type);
        gsize bit_at = bits_at + column.bit / 8;
        gboolean inside = n_fixed && n_fixed <= 8; /* of the row */
        if (column.id == ID_ROW || column.id == ID_ROW_VERSION || fixed != (n_fixed > 0) ||
            bit_at >= table->n_row || !(at[bit_at] & 0x80 >> column.bit % 8) ||
            column.offset + (inside ? n_fixed : 4) > table->n_row)
            continue;
        if (inside)
            value(column.id, column.type, at + column.offset, n_fixed, user_data);
        else
            give_long(table->heap, column.id, column.type, pd_le_u32(at + column.offset), value,
                      user_data);
    }
}

gboolean
pd_pst_each_row(PdPstHeap *heap, PdPstValueFunc value, void (*row)(gpointer user_data),
                gpointer user_data)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(guint32));
    Table table = {.heap = heap, .rows = rows};
    if (heap->client != HEAP_TABLE || !allocation(heap, heap->root, &table.head) ||
        table.head.n < 22 || table.head.at[0] != HEAP_TABLE ||
        table.head.n < 22 + 8 * (gsize)table.head.at[1])
        return broken(heap);
    table.n_row = pd_le_u16(table.head.at + 8);
    guint32 index = pd_le_u32(table.head.at + 10), where = pd_le_u32(table.head.at + 14);
    gboolean whole = each_record(heap, index, 4, 2, &table.n_number, on_row_number, &table);
    if (!rows->len || !table.n_row)
        return whole;
    g_autoptr(GPtrArray) blocks = pieces(heap, where);
    for (guint i = 0; blocks && i < rows->len; i++) {
        const guint8 *at = find_row(&table, blocks, g_array_index(rows, guint32, i));
        if (!at)
            return broken(heap);
        give_row(&table, at, TRUE, value, user_data);
        give_row(&table, at, FALSE, value, user_data);
        row(user_data);
    }
    return whole && blocks;
}
