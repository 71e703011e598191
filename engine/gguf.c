/*
 * GGUF files, versions 2 and 3: read-only, mapped, distrusted.
 *
 * Layout (the GGUF specification in the ggml project's documentation), all little-endian:
 *   magic "GGUF", u32 version, u64 n_tensors, u64 n_kv
 *   n_kv     x { string key, u32 type, value };  string = u64 length, bytes;
 *                                                array  = u32 element type, u64 count, elements
 *   n_tensors x { string name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset }
 *   padding to general.alignment (32 unless given), then the data that the offsets count from.
 *
 * A split model's files (gguf-split of llama.cpp) say split.no, from 0, split.count and
 * split.tensors.count in their metadata, and their names end in "-00001-of-00003.gguf".  The first
 * one has the rest of the metadata; the tensors of the others join its own.
 *
 * Invariants: `pos <= size` always holds in the reader and every length is compared with what is
 * left before it is added to anything, so no sum can wrap.  After pd_gguf_open_bytes succeeds,
 * every tensor's [data, data + n_bytes) lies inside the mapping, behind the metadata, and overlaps
 * no other tensor; the accessors need no further checks.
 */
#include "engine/gguf.h"

#include <string.h>
#include <sys/stat.h>

#include <gio/gio.h>
#include <glib/gstdio.h>

#include "engine/error.h"

#define ENTRIES_MAX 65536 /* metadata keys, and tensors: far above any model, below any harm */
#define NAME_BYTES_MAX 65535
#define ALIGNMENT_DEFAULT 32
#define ALIGNMENT_MAX (1u << 20)
#define FILES_MAX 1000

enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_TYPES
};

/* Bytes of a fixed-size value; 0: variable. */
static const guint8 gguf_type_bytes[GGUF_N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* ggml's tensor types by number: `type` is ours, or -1 where products do not read it.  Those that
 * are read in other ways have a size; tensors of the rest are refused. */
static const struct {
    const char *name;
    int type;
    guint8 block_elems, block_bytes;
} ggml_types[] = {
    [0] = {"F32", PD_F32},    [1] = {"F16", PD_F16},
    [2] = {"Q4_0", PD_Q4_0},  [3] = {"Q4_1", PD_Q4_1},
    [4] = {"Q4_2", -1},       [5] = {"Q4_3", -1},
    [6] = {"Q5_0", PD_Q5_0},  [7] = {"Q5_1", PD_Q5_1},
    [8] = {"Q8_0", PD_Q8_0},  [9] = {"Q8_1", -1},
    [10] = {"Q2_K", -1},      [11] = {"Q3_K", -1},
    [12] = {"Q4_K", PD_Q4_K}, [13] = {"Q5_K", PD_Q5_K},
    [14] = {"Q6_K", PD_Q6_K}, [15] = {"Q8_K", -1},
    [16] = {"IQ2_XXS", -1},   [17] = {"IQ2_XS", -1},
    [18] = {"IQ3_XXS", -1},   [19] = {"IQ1_S", -1},
    [20] = {"IQ4_NL", -1},    [21] = {"IQ3_S", -1},
    [22] = {"IQ2_S", -1},     [23] = {"IQ4_XS", -1},
    [24] = {"I8", -1},        [25] = {"I16", -1},
    [26] = {"I32", -1, 1, 4}, [27] = {"I64", -1, 1, 8},
    [28] = {"F64", -1},       [29] = {"IQ1_M", -1},
    [30] = {"BF16", PD_BF16}, [34] = {"TQ1_0", -1},
    [35] = {"TQ2_0", -1},     [39] = {"MXFP4", -1, 32, 17},
};

typedef struct {
    char *key;
    guint32 type;
    guint32 elem_type;     /* arrays */
    gsize count;           /* arrays: elements; strings: bytes */
    const guint8 *payload; /* the value, or the first element of a fixed-size array */
    char *string;          /* strings: NUL-terminated copy */
    gsize *offsets;        /* string arrays: where each element's length field lies in the file */
} Entry;

struct PdGguf {
    GBytes *bytes;
    const guint8 *data;
    gsize n_bytes;
    char *name;          /* of the file, for messages */
    GArray *entries;     /* Entry */
    GHashTable *by_key;  /* key -> index + 1 */
    GArray *tensors;     /* PdGgufTensor */
    GHashTable *by_name; /* tensor name -> index + 1 */
    GPtrArray *names;    /* owns tensor names */
    GPtrArray *others;   /* PdGguf: a split model's files behind this one, in order */
};

typedef struct {
    const guint8 *data;
    gsize size;
    gsize pos;
    const char *file;
    char place[160]; /* what is being read, for messages */
} Reader;

/* 1234567 -> "1,234,567", in one of a few rotating buffers of the caller. */
static const char *
grouped(guint64 value, char buf[32])
{
    char digits[24];
    int n = g_snprintf(digits, sizeof digits, "%" G_GUINT64_FORMAT, value);
    int out = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            buf[out++] = ',';
        buf[out++] = digits[i];
    }
    buf[out] = '\0';
    return buf;
}

static void G_GNUC_PRINTF(2, 3) set_place(Reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_vsnprintf(r->place, sizeof r->place, format, args);
    va_end(args);
}

static gboolean G_GNUC_PRINTF(3, 4) fail(const Reader *r, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: %s %s", r->file, r->place,
                what);
    return FALSE;
}

static gboolean
fail_short(const Reader *r, guint64 need, GError **error)
{
    char a[32], b[32];
    guint64 left = r->size - r->pos;
    if (need > G_MAXUINT64 - r->pos)
        return fail(r, error, "claims %s more bytes where %s are left; the file is damaged",
                    grouped(need, a), grouped(left, b));
    return fail(r, error,
                "ends at %s but the file has %s bytes; the download is probably incomplete",
                grouped(r->pos + need, a), grouped(r->size, b));
}

static gboolean
read_bytes(Reader *r, gsize n, const guint8 **out, GError **error)
{
    if (n > r->size - r->pos)
        return fail_short(r, n, error);
    *out = r->data + r->pos;
    r->pos += n;
    return TRUE;
}

static guint32
get_u32(const guint8 *p)
{
    guint32 v;
    memcpy(&v, p, sizeof v);
    return GUINT32_FROM_LE(v);
}

static guint64
get_u64(const guint8 *p)
{
    guint64 v;
    memcpy(&v, p, sizeof v);
    return GUINT64_FROM_LE(v);
}

static gboolean
read_u32(Reader *r, guint32 *out, GError **error)
{
    const guint8 *p = NULL;
    if (!read_bytes(r, 4, &p, error))
        return FALSE;
    *out = get_u32(p);
    return TRUE;
}

static gboolean
read_u64(Reader *r, guint64 *out, GError **error)
{
    const guint8 *p = NULL;
    if (!read_bytes(r, 8, &p, error))
        return FALSE;
    *out = get_u64(p);
    return TRUE;
}

static gboolean
read_string(Reader *r, const guint8 **out, gsize *len, GError **error)
{
    guint64 n;
    if (!read_u64(r, &n, error))
        return FALSE;
    if (n > r->size - r->pos)
        return fail_short(r, n, error);
    *len = n;
    return read_bytes(r, n, out, error);
}

/* A key or tensor name: not empty, valid UTF-8 without NUL, so that it can be a C string. */
static char *
read_name(Reader *r, GError **error)
{
    const guint8 *p = NULL;
    gsize len = 0;
    if (!read_string(r, &p, &len, error))
        return NULL;
    if (len == 0 || len > NAME_BYTES_MAX || !g_utf8_validate((const char *)p, len, NULL)) {
        fail(r, error, "has a name that is empty, too long or not text; the file is damaged");
        return NULL;
    }
    return g_strndup((const char *)p, len);
}

/* Put the entry's own name into the place; escaped, since it goes to a terminal. */
static void
place_named(Reader *r, const char *kind, gsize index, const char *name)
{
    g_autofree char *shown = g_strescape(name, NULL);
    set_place(r, "%s %" G_GSIZE_FORMAT " '%.100s'", kind, index, shown);
}

static gboolean
read_array(Reader *r, Entry *e, GError **error)
{
    guint64 count;
    char a[32], b[32];
    if (!read_u32(r, &e->elem_type, error) || !read_u64(r, &count, error))
        return FALSE;
    if (e->elem_type == GGUF_ARRAY)
        return fail(r, error, "is an array of arrays, which no known model uses");
    if (e->elem_type >= GGUF_N_TYPES)
        return fail(r, error, "is an array of unknown type %u; the file is damaged", e->elem_type);

    /* A string takes at least its length field. */
    gsize elem_bytes = e->elem_type == GGUF_STRING ? 8 : gguf_type_bytes[e->elem_type];
    if (count > (r->size - r->pos) / elem_bytes)
        return fail(r, error,
                    "claims %s elements where %s bytes are left; the download is probably "
                    "incomplete",
                    grouped(count, a), grouped(r->size - r->pos, b));
    e->count = count;
    e->payload = r->data + r->pos;
    if (e->elem_type != GGUF_STRING) {
        r->pos += count * elem_bytes;
        return TRUE;
    }
    e->offsets = g_try_new(gsize, MAX(count, 1));
    if (e->offsets == NULL)
        return fail(r, error, "needs more memory than there is");
    for (gsize i = 0; i < count; i++) {
        const guint8 *p;
        gsize len = 0;
        e->offsets[i] = r->pos;
        if (!read_string(r, &p, &len, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
read_value(Reader *r, Entry *e, GError **error)
{
    if (e->type == GGUF_ARRAY)
        return read_array(r, e, error);
    if (e->type == GGUF_STRING) {
        if (!read_string(r, &e->payload, &e->count, error))
            return FALSE;
        e->string = g_try_malloc(e->count + 1);
        if (e->string == NULL)
            return fail(r, error, "needs more memory than there is");
        memcpy(e->string, e->payload, e->count);
        e->string[e->count] = '\0';
        return TRUE;
    }
    if (e->type >= GGUF_N_TYPES)
        return fail(r, error, "has unknown type %u; the file is damaged", e->type);
    if (!read_bytes(r, gguf_type_bytes[e->type], &e->payload, error))
        return FALSE;
    if (e->type == GGUF_BOOL && *e->payload > 1)
        return fail(r, error, "is a boolean of value %u; the file is damaged", *e->payload);
    return TRUE;
}

static void
entry_clear(gpointer p)
{
    Entry *e = p;
    g_free(e->key);
    g_free(e->string);
    g_free(e->offsets);
}

static gboolean
read_entries(PdGguf *g, Reader *r, gsize n, GError **error)
{
    for (gsize i = 0; i < n; i++) {
        Entry entry = {0};
        set_place(r, "metadata key %" G_GSIZE_FORMAT, i);
        entry.key = read_name(r, error);
        if (entry.key == NULL)
            return FALSE;
        place_named(r, "metadata key", i, entry.key);
        /* Appended before the value is read, so that clearing the array frees a partial one. */
        g_array_append_val(g->entries, entry);
        Entry *e = &g_array_index(g->entries, Entry, g->entries->len - 1);
        if (!g_hash_table_insert(g->by_key, e->key, GSIZE_TO_POINTER(i + 1)))
            return fail(r, error, "appears twice; the file is damaged");
        if (!read_u32(r, &e->type, error) || !read_value(r, e, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
tensor_type(Reader *r, guint32 number, PdGgufTensor *t, PdDtypeInfo *block, GError **error)
{
    g_autofree char *unknown = g_strdup_printf("number %u", number);
    const char *name = unknown;
    if (number < G_N_ELEMENTS(ggml_types) && ggml_types[number].name != NULL) {
        name = t->dtype = ggml_types[number].name;
        t->is_float = ggml_types[number].type >= 0;
        t->type = t->is_float ? (PdDtype)ggml_types[number].type : PD_F32;
        *block =
            (PdDtypeInfo){name, ggml_types[number].block_elems, ggml_types[number].block_bytes};
        if (t->is_float)
            *block = pd_dtype_info[t->type];
        if (block->block_bytes > 0)
            return TRUE;
    }
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                "%s: %s has type %s, which this build cannot compute with; take a file in F32, "
                "F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K",
                r->file, r->place, name);
    return FALSE;
}

/* Product of the dims in bytes; FALSE if it does not fit or a row is no whole number of blocks. */
static gboolean
tensor_bytes(PdGgufTensor *t, const PdDtypeInfo *block)
{
    if (t->dims[0] % block->block_elems != 0)
        return FALSE;
    guint64 n = t->dims[0] / block->block_elems;
    guint64 bytes;
    for (int d = 1; d < 4; d++)
        if (!g_uint64_checked_mul(&n, n, t->dims[d]))
            return FALSE;
    if (!g_uint64_checked_mul(&bytes, n, block->block_bytes) || bytes > G_MAXSIZE)
        return FALSE;
    t->n_bytes = bytes;
    return TRUE;
}

/* One tensor's description; `data` holds the offset until the start of the data is known. */
static gboolean
read_tensor(Reader *r, PdGgufTensor *t, guint64 *offset, GError **error)
{
    guint32 n_dims, type;
    PdDtypeInfo block;
    if (!read_u32(r, &n_dims, error))
        return FALSE;
    if (n_dims < 1 || n_dims > 4)
        return fail(r, error, "has %u dimensions, 1 to 4 are possible; the file is damaged",
                    n_dims);
    t->n_dims = n_dims;
    for (int d = 0; d < 4; d++) {
        t->dims[d] = 1;
        if (d < t->n_dims && !read_u64(r, &t->dims[d], error))
            return FALSE;
        if (t->dims[d] == 0)
            return fail(r, error, "has a dimension of 0; the file is damaged");
    }
    if (!read_u32(r, &type, error) || !read_u64(r, offset, error) ||
        !tensor_type(r, type, t, &block, error))
        return FALSE;
    if (!tensor_bytes(t, &block))
        return fail(r, error,
                    "has impossible dimensions %" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT
                    " x %" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT " for %s; the file is damaged",
                    t->dims[0], t->dims[1], t->dims[2], t->dims[3], t->dtype);
    return TRUE;
}

static gboolean
read_tensors(PdGguf *g, Reader *r, gsize n, GArray *offsets, GError **error)
{
    for (gsize i = 0; i < n; i++) {
        PdGgufTensor t = {0};
        guint64 offset;
        set_place(r, "tensor %" G_GSIZE_FORMAT, i);
        char *name = read_name(r, error);
        if (name == NULL)
            return FALSE;
        g_ptr_array_add(g->names, name);
        place_named(r, "tensor", i, name);
        t.name = name;
        if (!g_hash_table_insert(g->by_name, name, GSIZE_TO_POINTER(i + 1)))
            return fail(r, error, "appears twice; the file is damaged");
        if (!read_tensor(r, &t, &offset, error))
            return FALSE;
        g_array_append_val(g->tensors, t);
        g_array_append_val(offsets, offset);
    }
    return TRUE;
}

static gint
compare_tensor_data(gconstpointer a, gconstpointer b)
{
    const PdGgufTensor *x = *(const PdGgufTensor *const *)a;
    const PdGgufTensor *y = *(const PdGgufTensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

/* Two tensors over the same bytes are either damage or an attempt to confuse. */
static gboolean
check_overlap(PdGguf *g, Reader *r, GError **error)
{
    g_autoptr(GPtrArray) order = g_ptr_array_new();
    for (gsize i = 0; i < g->tensors->len; i++)
        g_ptr_array_add(order, &g_array_index(g->tensors, PdGgufTensor, i));
    g_ptr_array_sort(order, compare_tensor_data);
    for (gsize i = 1; i < order->len; i++) {
        const PdGgufTensor *a = order->pdata[i - 1];
        const PdGgufTensor *b = order->pdata[i];
        if ((const guint8 *)a->data + a->n_bytes > (const guint8 *)b->data) {
            g_autofree char *shown = g_strescape(a->name, NULL);
            place_named(r, "tensor", b - (const PdGgufTensor *)g->tensors->data, b->name);
            return fail(r, error, "overlaps tensor '%.100s'; the file is damaged", shown);
        }
    }
    return TRUE;
}

static gboolean
place_tensors(PdGguf *g, Reader *r, GArray *offsets, GError **error)
{
    guint64 alignment = ALIGNMENT_DEFAULT;
    char a[32], b[32];
    set_place(r, "metadata key 'general.alignment'");
    if (g_hash_table_contains(g->by_key, "general.alignment") &&
        (!pd_gguf_get_u64(g, "general.alignment", &alignment) || alignment < 8 ||
         alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)) != 0))
        return fail(r, error, "is no power of two from 8 to 1,048,576; the file is damaged");

    gsize padding = (alignment - r->pos % alignment) % alignment;
    /* A file without tensors may end right after its metadata. */
    gsize start = padding > r->size - r->pos ? r->size : r->pos + padding;
    for (gsize i = 0; i < g->tensors->len; i++) {
        PdGgufTensor *t = &g_array_index(g->tensors, PdGgufTensor, i);
        guint64 offset = g_array_index(offsets, guint64, i);
        place_named(r, "tensor", i, t->name);
        if (offset % alignment != 0)
            return fail(r, error,
                        "starts at %s, no multiple of the alignment %s; the file is "
                        "damaged",
                        grouped(offset, a), grouped(alignment, b));
        r->pos = start;
        guint64 need;
        if (!g_uint64_checked_add(&need, offset, t->n_bytes))
            need = G_MAXUINT64;
        if (need > r->size - start)
            return fail_short(r, need, error);
        t->data = r->data + start + offset;
    }
    return check_overlap(g, r, error);
}

static gboolean
read_counts(Reader *r, gsize *n_tensors, gsize *n_kv, GError **error)
{
    const guint8 *magic;
    guint32 version;
    guint64 tensors, kv;
    char a[32];
    set_place(r, "header");
    if (r->size < 4 || memcmp(r->data, "GGUF", 4) != 0)
        return fail(r, error, "does not begin with 'GGUF'; this is no GGUF model file");
    if (!read_bytes(r, 4, &magic, error) || !read_u32(r, &version, error))
        return FALSE;
    if (version != 2 && version != 3) {
        const char *why = version == 1                          ? "version 1"
                          : GUINT32_SWAP_LE_BE(version) < 65536 ? "a big-endian version"
                                                                : "an unknown version";
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: is %s of GGUF (%u); this build reads little-endian versions 2 and 3",
                    r->file, why, version);
        return FALSE;
    }
    if (!read_u64(r, &tensors, error) || !read_u64(r, &kv, error))
        return FALSE;
    if (tensors > ENTRIES_MAX)
        return fail(r, error, "claims %s tensors, at most 65,536 are possible; the file is damaged",
                    grouped(tensors, a));
    if (kv > ENTRIES_MAX)
        return fail(r, error,
                    "claims %s metadata keys, at most 65,536 are possible; the file is damaged",
                    grouped(kv, a));
    *n_tensors = tensors;
    *n_kv = kv;
    return TRUE;
}

PdGguf *
pd_gguf_open_bytes(GBytes *bytes, const char *name, GError **error)
{
    g_autoptr(PdGguf) g = g_new0(PdGguf, 1);
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint64));
    Reader r = {0};
    gsize n_tensors = 0, n_kv = 0;

    g->bytes = g_bytes_ref(bytes);
    g->data = g_bytes_get_data(bytes, &g->n_bytes);
    g->name = g_strdup(name);
    g->entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_array_set_clear_func(g->entries, entry_clear);
    g->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    g->tensors = g_array_new(FALSE, FALSE, sizeof(PdGgufTensor));
    g->names = g_ptr_array_new_with_free_func(g_free);
    g->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    g->others = g_ptr_array_new_with_free_func((GDestroyNotify)pd_gguf_free);

    r.data = g->data;
    r.size = g->n_bytes;
    r.file = g->name;
    if (!read_counts(&r, &n_tensors, &n_kv, error) || !read_entries(g, &r, n_kv, error) ||
        !read_tensors(g, &r, n_tensors, offsets, error) || !place_tensors(g, &r, offsets, error))
        return NULL;
    return g_steal_pointer(&g);
}

static PdGguf *
open_file(const char *path, GError **error)
{
    GStatBuf st;
    GError *cause = NULL;
    if (g_stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s: is not a regular file", path);
        return NULL;
    }
    GMappedFile *map = g_mapped_file_new(path, FALSE, &cause);
    if (map == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s", cause->message);
        g_error_free(cause);
        return NULL;
    }
    g_autoptr(GBytes) bytes = g_mapped_file_get_bytes(map);
    g_mapped_file_unref(map);
    return pd_gguf_open_bytes(bytes, path, error);
}

/* --- split models --- */

/* The path of file `no` of a model whose first file has this one; NULL: it is called otherwise. */
static char *
path_of_file(const char *first, guint no, guint count)
{
    g_autofree char *end = g_strdup_printf("-%05u-of-%05u.gguf", 1, count);
    if (!g_str_has_suffix(first, end))
        return NULL;
    return g_strdup_printf("%.*s-%05u-of-%05u.gguf", (int)(strlen(first) - strlen(end)), first,
                           no + 1, count);
}

/* The tensors of `other` become g's too. */
static gboolean
join_file(PdGguf *g, PdGguf *other, GError **error)
{
    g_ptr_array_add(g->others, other);
    for (gsize i = 0; i < other->tensors->len; i++) {
        PdGgufTensor t = g_array_index(other->tensors, PdGgufTensor, i);
        t.file = g->others->len;
        g_array_append_val(g->tensors, t);
        if (!g_hash_table_insert(g->by_name, (gpointer)t.name,
                                 GSIZE_TO_POINTER((gsize)g->tensors->len))) {
            g_autofree char *shown = g_strescape(t.name, NULL);
            g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                        "%s: tensor '%.100s' is in a file before it too", other->name, shown);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
open_other(PdGguf *g, guint no, guint count, GError **error)
{
    g_autofree char *path = path_of_file(g->name, no, count);
    guint64 said_no = 0, said_count = 0;
    if (path == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: is the first of %u files of a model; the others are found if its name "
                    "ends in -%05u-of-%05u.gguf",
                    g->name, count, 1, count);
        return FALSE;
    }
    g_autoptr(PdGguf) other = open_file(path, error);
    if (other == NULL)
        return FALSE;
    if (!pd_gguf_get_u64(other, "split.no", &said_no) || said_no != no ||
        !pd_gguf_get_u64(other, "split.count", &said_count) || said_count != count) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: its metadata do not say that it is file %u of %u of a model", path, no + 1,
                    count);
        return FALSE;
    }
    return join_file(g, g_steal_pointer(&other), error);
}

/* The files behind the first one, if there are any. */
static gboolean
open_others(PdGguf *g, GError **error)
{
    guint64 no = 0, count = 0, n_tensors;
    pd_gguf_get_u64(g, "split.no", &no);
    pd_gguf_get_u64(g, "split.count", &count);
    if (count > FILES_MAX || (no > 0 && no >= count)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: claims to be file %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                    " of a model, at most %d are possible; the file is damaged",
                    g->name, no + 1, count, FILES_MAX);
        return FALSE;
    }
    if (no > 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: is file %u of %u of a model; give the first one, ...-%05u-of-%05u.gguf",
                    g->name, (guint)no + 1, (guint)count, 1, (guint)count);
        return FALSE;
    }
    for (guint i = 1; i < count; i++) {
        if (!open_other(g, i, (guint)count, error))
            return FALSE;
    }
    if (count > 1 && pd_gguf_get_u64(g, "split.tensors.count", &n_tensors) &&
        n_tensors != g->tensors->len) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: split.tensors.count is %" G_GUINT64_FORMAT ", the %u files have %u",
                    g->name, n_tensors, (guint)count, g->tensors->len);
        return FALSE;
    }
    return TRUE;
}

PdGguf *
pd_gguf_open(const char *path, GError **error)
{
    g_autoptr(PdGguf) g = open_file(path, error);
    return g != NULL && open_others(g, error) ? g_steal_pointer(&g) : NULL;
}

void
pd_gguf_free(PdGguf *g)
{
    if (g == NULL)
        return;
    g_hash_table_unref(g->by_key);
    g_hash_table_unref(g->by_name);
    g_array_unref(g->entries);
    g_array_unref(g->tensors);
    g_ptr_array_unref(g->names);
    g_ptr_array_unref(g->others);
    g_bytes_unref(g->bytes);
    g_free(g->name);
    g_free(g);
}

guint
pd_gguf_n_files(const PdGguf *g)
{
    return 1 + g->others->len;
}

static const PdGguf *
file_of(const PdGguf *g, guint file)
{
    return file == 0 ? g : g_ptr_array_index(g->others, file - 1);
}

const char *
pd_gguf_name(const PdGguf *g, guint file)
{
    return file_of(g, file)->name;
}

const void *
pd_gguf_data(const PdGguf *g, guint file, gsize *n_bytes)
{
    *n_bytes = file_of(g, file)->n_bytes;
    return file_of(g, file)->data;
}

static const Entry *
find_entry(const PdGguf *g, const char *key)
{
    gsize index = GPOINTER_TO_SIZE(g_hash_table_lookup(g->by_key, key));
    return index == 0 ? NULL : &g_array_index(g->entries, Entry, index - 1);
}

/* An integer as sign and magnitude's two's complement: `negative` tells how to read `bits`. */
static gboolean
integer_value(guint32 type, const guint8 *p, guint64 *bits, gboolean *negative)
{
    gint64 v;
    *negative = FALSE;
    switch (type) {
    case GGUF_U8:
        *bits = p[0];
        return TRUE;
    case GGUF_U16:
        *bits = p[0] | p[1] << 8;
        return TRUE;
    case GGUF_U32:
        *bits = get_u32(p);
        return TRUE;
    case GGUF_U64:
        *bits = get_u64(p);
        return TRUE;
    case GGUF_I8:
        v = (gint8)p[0];
        break;
    case GGUF_I16:
        v = (gint16)(p[0] | p[1] << 8);
        break;
    case GGUF_I32:
        v = (gint32)get_u32(p);
        break;
    case GGUF_I64:
        v = (gint64)get_u64(p);
        break;
    default:
        return FALSE;
    }
    *negative = v < 0;
    *bits = (guint64)v;
    return TRUE;
}

static gboolean
float_value(guint32 type, const guint8 *p, double *value)
{
    if (type == GGUF_F32) {
        guint32 bits = get_u32(p);
        float f;
        memcpy(&f, &bits, sizeof f);
        *value = f;
        return TRUE;
    }
    if (type == GGUF_F64) {
        guint64 bits = get_u64(p);
        memcpy(value, &bits, sizeof *value);
        return TRUE;
    }
    return FALSE;
}

gboolean
pd_gguf_get_u64(const PdGguf *g, const char *key, guint64 *value)
{
    const Entry *e = find_entry(g, key);
    guint64 bits;
    gboolean negative;
    if (e == NULL || !integer_value(e->type, e->payload, &bits, &negative) || negative)
        return FALSE;
    *value = bits;
    return TRUE;
}

gboolean
pd_gguf_get_f64(const PdGguf *g, const char *key, double *value)
{
    const Entry *e = find_entry(g, key);
    return e != NULL && float_value(e->type, e->payload, value);
}

gboolean
pd_gguf_get_bool(const PdGguf *g, const char *key, gboolean *value)
{
    const Entry *e = find_entry(g, key);
    if (e == NULL || e->type != GGUF_BOOL)
        return FALSE;
    *value = *e->payload != 0;
    return TRUE;
}

const char *
pd_gguf_get_string(const PdGguf *g, const char *key, gsize *len)
{
    const Entry *e = find_entry(g, key);
    if (e == NULL || e->type != GGUF_STRING)
        return NULL;
    if (len != NULL)
        *len = e->count;
    return e->string;
}

gsize
pd_gguf_array_len(const PdGguf *g, const char *key)
{
    const Entry *e = find_entry(g, key);
    return e == NULL || e->type != GGUF_ARRAY ? 0 : e->count;
}

const char *
pd_gguf_array_string(const PdGguf *g, const char *key, gsize index, gsize *len)
{
    const Entry *e = find_entry(g, key);
    if (e == NULL || e->offsets == NULL || index >= e->count)
        return NULL;
    const guint8 *p = g->data + e->offsets[index];
    *len = get_u64(p);
    return (const char *)p + 8;
}

/* The element's bytes in an array of fixed-size values, or NULL. */
static const guint8 *
array_element(const PdGguf *g, const char *key, gsize index, guint32 *type)
{
    const Entry *e = find_entry(g, key);
    if (e == NULL || e->type != GGUF_ARRAY || e->offsets != NULL || index >= e->count)
        return NULL;
    *type = e->elem_type;
    return e->payload + index * gguf_type_bytes[e->elem_type];
}

gboolean
pd_gguf_array_i64(const PdGguf *g, const char *key, gsize index, gint64 *value)
{
    guint32 type;
    guint64 bits;
    gboolean negative;
    const guint8 *p = array_element(g, key, index, &type);
    if (p == NULL || !integer_value(type, p, &bits, &negative) || (!negative && bits > G_MAXINT64))
        return FALSE;
    *value = (gint64)bits;
    return TRUE;
}

gboolean
pd_gguf_array_f64(const PdGguf *g, const char *key, gsize index, double *value)
{
    guint32 type;
    const guint8 *p = array_element(g, key, index, &type);
    return p != NULL && float_value(type, p, value);
}

gsize
pd_gguf_n_tensors(const PdGguf *g)
{
    return g->tensors->len;
}

const PdGgufTensor *
pd_gguf_tensor(const PdGguf *g, gsize index)
{
    return index >= g->tensors->len ? NULL : &g_array_index(g->tensors, PdGgufTensor, index);
}

const PdGgufTensor *
pd_gguf_find_tensor(const PdGguf *g, const char *name)
{
    gsize index = GPOINTER_TO_SIZE(g_hash_table_lookup(g->by_name, name));
    return index == 0 ? NULL : &g_array_index(g->tensors, PdGgufTensor, index - 1);
}
