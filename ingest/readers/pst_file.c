/*
 * Pages and blocks of Outlook's stores: see pst_file.h.
 *
 * Three forms of the same file: 32 bits (ANSI, to Outlook 2002), 64 bits (Unicode), and 64 bits
 * with pages of 4,096 bytes and blocks that may be deflated (.ost since Outlook 2013; not in
 * [MS-PST]: as libpst and libpff read them).
 */
#include "ingest/readers/pst_file.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/error.h"
#include "ingest/readers/little_endian.h"

enum {
    MAGIC = 0x4E444221, /* "!BDN" */
    HEAD_BYTES = 564,
    SUMMED_HEAD_BYTES = 471,
    VERSION_ANSI = 14,
    VERSION_ANSI_2 = 15,
    VERSION_UNICODE_MIN = 20,
    VERSION_4K_MIN = 36,
    CIPHER_NONE = 0,
    CIPHER_PERMUTE = 1,
    CIPHER_CYCLIC = 2,
    PAGE_BLOCKS = 0x80, /* types of pages */
    PAGE_NODES = 0x81,
    BLOCK_OF_BLOCKS = 1, /* types of blocks that hold numbers */
    BLOCK_OF_NODES = 2,
    INTERNAL = 2, /* bit of a block's number: it holds numbers */
    LEVELS_MAX = 12,
    PAGE_BYTES_MAX = 4096,
    BLOCK_BYTES_MAX = 65536,
};

/* Where things lie in one of the three forms. */
typedef struct {
    gsize page_bytes;
    gsize word;      /* bytes of a block's number, of a place in the file and of a key */
    gsize counts_at; /* in a page: number of entries, ... */
    gsize trailer_bytes;
    gsize sum_at;      /* in a block's trailer */
    gsize block_align; /* blocks with their trailer fill a multiple of this */
    guint index_bits;  /* of an allocation's number in a heap */
} Form;

static const Form form_ansi = {512, 4, 496, 12, 8, 64, 11};
static const Form form_unicode = {512, 8, 488, 16, 4, 64, 11};
static const Form form_4k = {4096, 8, 4056, 24, 4, 512, 14};

struct PdPst {
    int fd;
    guint64 n_file;
    const Form *form;
    guint8 cipher;
    guint64 nodes_at, blocks_at; /* roots of the two trees */
    guint8 inverse[256];         /* of `rotor` */
    PdPstDamage damage;
    PdPstLimits limits;
};

/* --- ciphers ------------------------------------------------------------------------------- */

/* [MS-PST] 5.1: they hide, they protect nothing. */
static const guint8 rotor[256] = {
    65,  54,  19,  98,  168, 33,  110, 187, 244, 22,  204, 4,   127, 100, 232, 93,  30,  242, 203,
    42,  116, 197, 94,  53,  210, 149, 71,  158, 150, 45,  154, 136, 76,  125, 132, 63,  219, 172,
    49,  182, 72,  95,  246, 196, 216, 57,  139, 231, 35,  59,  56,  142, 200, 193, 223, 37,  177,
    32,  165, 70,  96,  78,  156, 251, 170, 211, 86,  81,  69,  124, 85,  0,   7,   201, 43,  157,
    133, 155, 9,   160, 143, 173, 179, 15,  99,  171, 137, 75,  215, 167, 21,  90,  113, 102, 66,
    191, 38,  74,  107, 152, 250, 234, 119, 83,  178, 112, 5,   44,  253, 89,  58,  134, 126, 206,
    6,   235, 130, 120, 87,  199, 141, 67,  175, 180, 28,  212, 91,  205, 226, 233, 39,  79,  195,
    8,   114, 128, 207, 176, 239, 245, 40,  109, 190, 48,  77,  52,  146, 213, 14,  60,  34,  50,
    229, 228, 249, 159, 194, 209, 10,  129, 18,  225, 238, 145, 131, 118, 227, 151, 230, 97,  138,
    23,  121, 164, 183, 220, 144, 122, 92,  140, 2,   166, 202, 105, 222, 80,  26,  17,  147, 185,
    82,  135, 88,  252, 237, 29,  55,  73,  27,  106, 224, 41,  51,  153, 189, 108, 217, 148, 243,
    64,  84,  111, 240, 198, 115, 184, 214, 62,  101, 24,  68,  31,  221, 103, 16,  241, 12,  25,
    236, 174, 3,   161, 20,  123, 169, 11,  255, 248, 163, 192, 162, 1,   247, 46,  188, 36,  104,
    117, 13,  254, 186, 47,  181, 208, 218, 61,
};

static const guint8 reflector[256] = {
    20,  83,  15,  86,  179, 200, 122, 156, 235, 101, 72,  23,  22,  21,  159, 2,   204, 84,  124,
    131, 0,   13,  12,  11,  162, 98,  168, 118, 219, 217, 237, 199, 197, 164, 220, 172, 133, 116,
    214, 208, 167, 155, 174, 154, 150, 113, 102, 195, 99,  153, 184, 221, 115, 146, 142, 132, 125,
    165, 94,  209, 93,  147, 177, 87,  81,  80,  128, 137, 82,  148, 79,  78,  10,  107, 188, 141,
    127, 110, 71,  70,  65,  64,  68,  1,   17,  203, 3,   63,  247, 244, 225, 169, 143, 60,  58,
    249, 251, 240, 25,  48,  130, 9,   46,  201, 157, 160, 134, 73,  238, 111, 77,  109, 196, 45,
    129, 52,  37,  135, 27,  136, 170, 252, 6,   161, 18,  56,  253, 76,  66,  114, 100, 19,  55,
    36,  106, 117, 119, 67,  255, 230, 180, 75,  54,  92,  228, 216, 53,  61,  69,  185, 44,  236,
    183, 49,  43,  41,  7,   104, 163, 14,  105, 123, 24,  158, 33,  57,  190, 40,  26,  91,  120,
    245, 35,  202, 42,  176, 175, 62,  254, 4,   140, 231, 229, 152, 50,  149, 211, 246, 74,  232,
    166, 234, 233, 243, 213, 47,  112, 32,  242, 31,  5,   103, 173, 85,  16,  206, 205, 227, 39,
    59,  218, 186, 215, 194, 38,  212, 145, 29,  210, 28,  34,  51,  248, 250, 241, 90,  239, 207,
    144, 182, 139, 181, 189, 192, 191, 8,   151, 30,  108, 226, 97,  224, 198, 193, 89,  171, 187,
    88,  222, 95,  223, 96,  121, 126, 178, 138,
};

static void
decipher(const PdPst *pst, guint64 number, guint8 *bytes, gsize n)
{
    guint32 key = (guint32)number;
    guint16 salt = (guint16)(key ^ key >> 16);
    if (pst->cipher == CIPHER_PERMUTE) {
        for (gsize i = 0; i < n; i++)
            bytes[i] = pst->inverse[bytes[i]];
    } else if (pst->cipher == CIPHER_CYCLIC) {
        for (gsize i = 0; i < n; i++, salt++) {
            guint8 low = (guint8)salt, high = (guint8)(salt >> 8);
            guint8 byte = reflector[(guint8)(rotor[(guint8)(bytes[i] + low)] + high)];
            bytes[i] = (guint8)(pst->inverse[(guint8)(byte - high)] - low);
        }
    }
}

/* [MS-PST] 5.3: the polynomial of zip, but neither at the start nor at the end turned round. */
static guint32
checksum(const guint8 *bytes, gsize n)
{
    static guint32 table[256];
    guint32 sum = 0;
    for (guint32 i = 0; !table[255] && i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    for (gsize i = 0; i < n; i++)
        sum = table[(sum ^ bytes[i]) & 0xFF] ^ sum >> 8;
    return sum;
}

/* --- the file ------------------------------------------------------------------------------ */

static guint64
get_word(const PdPst *pst, const guint8 *at)
{
    return pst->form->word == 4 ? pd_le_u32(at) : pd_le_u32(at) | (guint64)pd_le_u32(at + 4) << 32;
}

static gboolean
read_at(const PdPst *pst, guint64 offset, guint8 *bytes, gsize n)
{
    if (offset > pst->n_file || n > pst->n_file - offset)
        return FALSE;
    while (n > 0) {
        ssize_t got = pread(pst->fd, bytes, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return FALSE;
        bytes += got;
        offset += (guint64)got;
        n -= (gsize)got;
    }
    return TRUE;
}

/* What a checksum of the third form is a sum of, is written nowhere. */
static void
compare_sum(PdPst *pst, const guint8 *bytes, gsize n, const guint8 *sum)
{
    if (pst->form != &form_4k && pd_le_u32(sum) != checksum(bytes, n))
        pst->damage.n_wrong_sums++;
}

static gboolean
refuse(GError **error, const char *why)
{
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT, "this Outlook store %s", why);
    return FALSE;
}

static gboolean
read_head(PdPst *pst, GError **error)
{
    guint8 head[HEAD_BYTES];
    if (!read_at(pst, 0, head, sizeof head))
        return refuse(error, "is cut off in its first bytes");
    guint version = pd_le_u16(head + 10);
    gboolean ansi = version == VERSION_ANSI || version == VERSION_ANSI_2;
    if (pd_le_u32(head) != MAGIC || (!ansi && version < VERSION_UNICODE_MIN))
        return refuse(error, "is of a version that is not known");
    pst->form = ansi ? &form_ansi : version >= VERSION_4K_MIN ? &form_4k : &form_unicode;
    pst->nodes_at = get_word(pst, head + (ansi ? 188 : 224));
    pst->blocks_at = get_word(pst, head + (ansi ? 196 : 240));
    pst->cipher = head[ansi ? 461 : 513];
    compare_sum(pst, head + 8, SUMMED_HEAD_BYTES, head + 4);
    if (pst->cipher > CIPHER_CYCLIC)
        return refuse(error, "is encrypted: only Outlook, on the machine that wrote it, can open "
                             "it; let it export a store without encryption");
    return TRUE;
}

PdPst *
pd_pst_open(int fd, const PdPstLimits *limits, GError **error)
{
    g_autoptr(PdPst) pst = g_new0(PdPst, 1);
    struct stat status;
    if (fstat(fd, &status) != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "the store cannot be read: %s",
                    g_strerror(errno));
        return NULL;
    }
    pst->fd = fd;
    pst->limits = *limits;
    pst->n_file = (guint64)status.st_size;
    for (guint i = 0; i < 256; i++)
        pst->inverse[rotor[i]] = (guint8)i;
    return read_head(pst, error) ? g_steal_pointer(&pst) : NULL;
}

void
pd_pst_free(PdPst *pst)
{
    g_free(pst);
}

PdPstDamage *
pd_pst_damage(PdPst *pst)
{
    return &pst->damage;
}

const PdPstLimits *
pd_pst_limits(const PdPst *pst)
{
    return &pst->limits;
}

guint
pd_pst_index_bits(const PdPst *pst)
{
    return pst->form->index_bits;
}

/* --- pages --------------------------------------------------------------------------------- */

typedef struct {
    guint8 bytes[PAGE_BYTES_MAX];
    guint n_entries;
    gsize entry_bytes;
    guint level; /* 0: a leaf */
} Page;

/* FALSE: it is none of this type, or of a level that it cannot have. */
static gboolean
read_page(PdPst *pst, guint64 offset, guint8 type, guint level_max, Page *page)
{
    const Form *form = pst->form;
    if (!read_at(pst, offset, page->bytes, form->page_bytes))
        return FALSE;
    const guint8 *counts = page->bytes + form->counts_at;
    const guint8 *trailer = page->bytes + form->page_bytes - form->trailer_bytes;
    gboolean wide = form == &form_4k;
    page->n_entries = wide ? pd_le_u16(counts) : counts[0];
    page->entry_bytes = counts[wide ? 4 : 2];
    page->level = counts[wide ? 5 : 3];
    gsize least = page->level          ? 3 * form->word
                  : type == PAGE_NODES ? 4 * form->word
                  : form->word == 4    ? 12
                                       : 20;
    if (trailer[0] != type || trailer[1] != type || page->level > level_max ||
        page->entry_bytes < least || page->n_entries * page->entry_bytes > form->counts_at)
        return FALSE;
    compare_sum(pst, page->bytes, form->page_bytes - form->trailer_bytes, trailer + form->sum_at);
    return TRUE;
}

static const guint8 *
entry_of(const Page *page, guint i)
{
    return page->bytes + i * page->entry_bytes;
}

/* The entry of the page below which `key` must be; of a leaf, the one that has it.  NULL: none. */
static const guint8 *
find_entry(const PdPst *pst, const Page *page, guint64 key, guint64 mask)
{
    const guint8 *found = NULL;
    for (guint i = 0; i < page->n_entries; i++) {
        const guint8 *entry = entry_of(page, i);
        guint64 own = get_word(pst, entry) & mask;
        if (page->level ? own <= key : own == key)
            found = entry;
    }
    return found;
}

/* The leaf's entry of a tree; *page holds it. */
static const guint8 *
find_in_tree(PdPst *pst, guint64 offset, guint8 type, guint64 key, guint64 mask, Page *page)
{
    for (guint level_max = LEVELS_MAX;; level_max = page->level - 1) {
        if (!read_page(pst, offset, type, level_max, page))
            return NULL;
        const guint8 *entry = find_entry(pst, page, key, mask);
        if (!entry || page->level == 0)
            return entry;
        offset = get_word(pst, entry + 2 * pst->form->word);
    }
}

static PdPstNode
node_of(const PdPst *pst, const guint8 *entry)
{
    gsize word = pst->form->word;
    return (PdPstNode){pd_le_u32(entry), pd_le_u32(entry + 3 * word), get_word(pst, entry + word),
                       get_word(pst, entry + 2 * word)};
}

typedef struct {
    PdPst *pst;
    PdPstNodeFunc node;
    PdPstLostFunc lost;
    gpointer user_data;
    guint64 n_pages_left; /* no file has more */
    guint64 next;         /* numbers grow: the least that may come */
} Walk;

static gboolean
walk_page(Walk *walk, guint64 offset, guint level_max)
{
    PdPst *pst = walk->pst;
    g_autofree Page *page = g_new(Page, 1);
    if (!walk->n_pages_left || !read_page(pst, offset, PAGE_NODES, level_max, page))
        return walk->lost(offset, walk->user_data);
    walk->n_pages_left--;
    for (guint i = 0; i < page->n_entries; i++) {
        const guint8 *entry = entry_of(page, i);
        if (page->level) {
            if (!walk_page(walk, get_word(pst, entry + 2 * pst->form->word), page->level - 1))
                return FALSE;
            continue;
        }
        const PdPstNode node = node_of(pst, entry);
        if (node.id < walk->next) /* the rest of the page is out of order */
            return walk->lost(offset, walk->user_data);
        walk->next = (guint64)node.id + 1;
        if (!walk->node(&node, walk->user_data))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_pst_each_node(PdPst *pst, PdPstNodeFunc node, PdPstLostFunc lost, gpointer user_data)
{
    Walk walk = {pst, node, lost, user_data, pst->n_file / pst->form->page_bytes, 0};
    return walk_page(&walk, pst->nodes_at, LEVELS_MAX);
}

gboolean
pd_pst_find_node(PdPst *pst, guint32 id, PdPstNode *node)
{
    g_autofree Page *page = g_new(Page, 1);
    guint n_wrong_sums = pst->damage.n_wrong_sums;
    const guint8 *entry = find_in_tree(pst, pst->nodes_at, PAGE_NODES, id, G_MAXUINT32, page);
    pst->damage.n_wrong_sums = n_wrong_sums; /* pd_pst_each_node counts those of its pages */
    if (entry)
        *node = node_of(pst, entry);
    return entry != NULL;
}

/* --- blocks -------------------------------------------------------------------------------- */

static GByteArray *
inflate(GByteArray *packed, gsize n)
{
    g_autoptr(GByteArray) owned = packed;
    g_autoptr(GZlibDecompressor) zlib = g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_ZLIB);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    gsize n_read, n_written;
    g_byte_array_set_size(bytes, (guint)n);
    GConverterResult result =
        g_converter_convert(G_CONVERTER(zlib), owned->data, owned->len, bytes->data, n,
                            G_CONVERTER_INPUT_AT_END, &n_read, &n_written, NULL);
    return result == G_CONVERTER_FINISHED && n_written == n ? g_steal_pointer(&bytes) : NULL;
}

/* One block as it lies there, and its checksum compared. */
static GByteArray *
read_stored(PdPst *pst, guint64 offset, gsize n)
{
    const Form *form = pst->form;
    gsize n_whole =
        (n + form->trailer_bytes + form->block_align - 1) / form->block_align * form->block_align;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_set_size(bytes, (guint)n_whole);
    if (!read_at(pst, offset, bytes->data, n_whole))
        return NULL;
    const guint8 *trailer = bytes->data + n_whole - form->trailer_bytes;
    compare_sum(pst, bytes->data, n, trailer + form->sum_at);
    g_byte_array_set_size(bytes, (guint)n);
    return g_steal_pointer(&bytes);
}

/* NULL: counted as unread. */
static GByteArray *
read_block(PdPst *pst, guint64 number)
{
    g_autofree Page *page = g_new(Page, 1);
    GByteArray *bytes = NULL;
    number &= ~1ull; /* the lowest bit is the writer's own */
    const guint8 *entry = find_in_tree(pst, pst->blocks_at, PAGE_BLOCKS, number, ~1ull, page);
    if (entry) {
        const guint8 *rest = entry + 2 * pst->form->word;
        gsize n = pd_le_u16(rest), n_inflated = pst->form == &form_4k ? pd_le_u16(rest + 2) : n;
        if (n)
            bytes = read_stored(pst, get_word(pst, entry + pst->form->word), n);
        if (bytes && n_inflated > n)
            bytes = inflate(bytes, n_inflated);
    }
    if (!bytes)
        pst->damage.n_unread++;
    else if (!(number & INTERNAL))
        decipher(pst, number, bytes->data, bytes->len);
    return bytes;
}

static gboolean
broken(PdPst *pst)
{
    pst->damage.n_broken++;
    return TRUE;
}

/* FALSE: over `max`.  *n_bytes grows by what was read. */
static gboolean
add_blocks(PdPst *pst, guint64 number, guint level_max, gsize max, gsize *n_bytes,
           GPtrArray *blocks)
{
    g_autoptr(GByteArray) bytes = read_block(pst, number);
    if (!(number & INTERNAL)) {
        *n_bytes += bytes ? bytes->len : 1; /* what is missing must not be endless either */
        g_ptr_array_add(blocks, bytes ? g_steal_pointer(&bytes) : g_byte_array_new());
        return *n_bytes <= max;
    }
    if (!bytes)
        return TRUE;
    gsize word = pst->form->word;
    if (bytes->len < 8 || bytes->data[0] != BLOCK_OF_BLOCKS || bytes->data[1] == 0 ||
        bytes->data[1] > level_max)
        return broken(pst);
    guint n = pd_le_u16(bytes->data + 2), level = bytes->data[1];
    if (pd_le_u32(bytes->data + 4) > max)
        return FALSE;
    if (8 + n * word > bytes->len)
        return broken(pst);
    *n_bytes += 1;
    for (guint i = 0; i < n; i++) {
        guint64 next = get_word(pst, bytes->data + 8 + i * word);
        if (level == 1 && next & INTERNAL)
            return broken(pst);
        if (!add_blocks(pst, next, level - 1, max, n_bytes, blocks))
            return FALSE;
    }
    return TRUE;
}

GPtrArray *
pd_pst_blocks(PdPst *pst, guint64 block, gsize max)
{
    g_autoptr(GPtrArray) blocks =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    gsize n_bytes = 0;
    if (block && !add_blocks(pst, block, 2, max, &n_bytes, blocks)) {
        pst->damage.n_over++;
        return NULL;
    }
    return g_steal_pointer(&blocks);
}

/* --- nodes below a node -------------------------------------------------------------------- */

/* Level 1 lists blocks of level 0. */
static void
add_below(PdPst *pst, guint64 number, guint level_max, GArray *below)
{
    gsize word = pst->form->word, head = word; /* eight bytes, or four */
    g_autoptr(GByteArray) bytes = read_block(pst, number);
    if (!bytes)
        return;
    if (!(number & INTERNAL) || bytes->len < head || bytes->data[0] != BLOCK_OF_NODES ||
        bytes->data[1] > level_max) {
        broken(pst);
        return;
    }
    guint n = pd_le_u16(bytes->data + 2), level = bytes->data[1];
    gsize n_entry = (level ? 2 : 3) * word;
    if (head + n * n_entry > bytes->len) {
        broken(pst);
        return;
    }
    for (guint i = 0; i < n; i++) {
        const guint8 *entry = bytes->data + head + i * n_entry;
        if (level) {
            add_below(pst, get_word(pst, entry + word), level - 1, below);
            continue;
        }
        const PdPstNode node = {pd_le_u32(entry), 0, get_word(pst, entry + word),
                                get_word(pst, entry + 2 * word)};
        g_array_append_val(below, node);
    }
}

static int
compare_nodes(gconstpointer a, gconstpointer b)
{
    guint32 x = ((const PdPstNode *)a)->id, y = ((const PdPstNode *)b)->id;
    return (x > y) - (x < y);
}

GArray *
pd_pst_below(PdPst *pst, const PdPstNode *node)
{
    GArray *below = g_array_new(FALSE, FALSE, sizeof(PdPstNode));
    if (node->below)
        add_below(pst, node->below, 1, below);
    g_array_sort(below, compare_nodes);
    return below;
}

const PdPstNode *
pd_pst_find_below(const GArray *below, guint32 id)
{
    const PdPstNode key = {.id = id};
    guint at;
    return g_array_binary_search((GArray *)below, &key, compare_nodes, &at)
               ? &g_array_index(below, PdPstNode, at)
               : NULL;
}
