/*
 * safetensors reader.  Invariant after open: every PdSafetensor lies inside the mapping, its bytes
 * are exactly its shape times its element size, and no two share a byte.
 */
#include "engine/safetensors.h"
#include <string.h>
#include "engine/error.h"
#include "engine/json_bounded.h"

/* The reference implementation's limit. */
#define HEADER_BYTES_MAX (100u * 1000 * 1000)
#define N_TENSORS_MAX (1u << 20)

struct PdSafetensors {
    char *name;
    GMappedFile *file;
    GBytes *bytes;
    GArray *tensors;    /* PdSafetensor, in the order of their data */
    GHashTable *index;  /* name -> index + 1 */
    JsonParser *parser; /* owns the dtype strings */
};

static const struct {
    const char *name;
    int elem_bytes;
    gboolean is_float;
    PdDtype type;
} dtypes[] = {
    {"F32", 4, TRUE, PD_F32}, {"F16", 2, TRUE, PD_F16}, {"BF16", 2, TRUE, PD_BF16},
    {"F64", 8, FALSE, 0},     {"I64", 8, FALSE, 0},     {"U64", 8, FALSE, 0},
    {"I32", 4, FALSE, 0},     {"U32", 4, FALSE, 0},     {"I16", 2, FALSE, 0},
    {"U16", 2, FALSE, 0},     {"I8", 1, FALSE, 0},      {"U8", 1, FALSE, 0},
    {"BOOL", 1, FALSE, 0},    {"F8_E4M3", 1, FALSE, 0}, {"F8_E5M2", 1, FALSE, 0},
    {"F8_E8M0", 1, FALSE, 0},
};

static void
tensor_clear(gpointer data)
{
    g_free((char *)((PdSafetensor *)data)->name);
}

void
pd_safetensors_free(PdSafetensors *st)
{
    if (st == NULL)
        return;
    g_clear_pointer(&st->index, g_hash_table_unref);
    g_clear_pointer(&st->tensors, g_array_unref);
    g_clear_object(&st->parser);
    g_clear_pointer(&st->bytes, g_bytes_unref);
    g_clear_pointer(&st->file, g_mapped_file_unref);
    g_free(st->name);
    g_free(st);
}

static gboolean
bad(const PdSafetensors *st, const char *tensor, const char *what, GError **error)
{
    g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: tensor %.200s: %s", st->name,
                tensor, what);
    return FALSE;
}

/* A whole number >= 0. */
static gboolean
get_size(JsonNode *node, guint64 *value)
{
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
        return FALSE;
    gint64 v = json_node_get_int(node);
    *value = (guint64)v;
    return v >= 0;
}

static JsonArray *
get_array(JsonObject *object, const char *member)
{
    JsonNode *node = json_object_get_member(object, member);
    return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* One entry of the header: {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}. */
static gboolean
read_entry(PdSafetensors *st, const char *name, JsonNode *node, const guint8 *data,
           guint64 data_bytes, GError **error)
{
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return bad(st, name, "its entry is not an object", error);
    JsonObject *entry = json_node_get_object(node);
    JsonNode *dtype = json_object_get_member(entry, "dtype");
    JsonArray *shape = get_array(entry, "shape");
    JsonArray *offsets = get_array(entry, "data_offsets");
    if (dtype == NULL || !JSON_NODE_HOLDS_VALUE(dtype) || json_node_get_string(dtype) == NULL)
        return bad(st, name, "no dtype", error);
    if (shape == NULL || offsets == NULL || json_array_get_length(offsets) != 2)
        return bad(st, name, "no shape or no pair of data_offsets", error);

    PdSafetensor t = {.dtype = json_node_get_string(dtype),
                      .n_dims = (int)json_array_get_length(shape)};
    guint64 n_bytes = 0, begin, end;
    for (gsize i = 0; i < G_N_ELEMENTS(dtypes); i++) {
        if (strcmp(dtypes[i].name, t.dtype) == 0) {
            n_bytes = (guint64)dtypes[i].elem_bytes;
            t.is_float = dtypes[i].is_float;
            t.type = dtypes[i].type;
        }
    }
    if (n_bytes == 0)
        return bad(st, name, "unknown dtype", error);
    if (t.n_dims > (int)G_N_ELEMENTS(t.dims))
        return bad(st, name, "more than 8 dimensions", error);
    for (int d = 0; d < t.n_dims; d++) {
        if (!get_size(json_array_get_element(shape, d), &t.dims[d]) ||
            !g_uint64_checked_mul(&n_bytes, n_bytes, t.dims[d]))
            return bad(st, name, "impossible shape", error);
    }
    if (!get_size(json_array_get_element(offsets, 0), &begin) ||
        !get_size(json_array_get_element(offsets, 1), &end) || begin > end || end > data_bytes)
        return bad(st, name, "data_offsets outside the file (is it complete?)", error);
    if (end - begin != n_bytes)
        return bad(st, name, "data_offsets do not agree with dtype and shape", error);
    t.data = data + begin;
    t.n_bytes = (gsize)n_bytes;
    t.name = g_strdup(name);
    g_array_append_val(st->tensors, t);
    return TRUE;
}

static int
compare_by_data(gconstpointer a, gconstpointer b)
{
    const PdSafetensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if (x->n_bytes != y->n_bytes) /* empty tensors first: they may share a place */
        return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sort by place; the tensors must cover the data exactly. */
static gboolean
check_layout(PdSafetensors *st, const guint8 *data, guint64 data_bytes, GError **error)
{
    g_array_sort(st->tensors, compare_by_data);
    const guint8 *expected = data;
    for (guint i = 0; i < st->tensors->len; i++) {
        PdSafetensor *t = &g_array_index(st->tensors, PdSafetensor, i);
        const guint8 *begin = t->data;
        if (begin != expected)
            return bad(st, t->name, begin < expected ? "overlaps another" : "a hole before it",
                       error);
        expected = begin + t->n_bytes;
        if (!g_hash_table_insert(st->index, (char *)t->name, GUINT_TO_POINTER(i + 1)))
            return bad(st, t->name, "listed twice", error);
    }
    if (expected != data + data_bytes) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: %" G_GUINT64_FORMAT " bytes after the last tensor", st->name,
                    (guint64)(data + data_bytes - expected));
        return FALSE;
    }
    return TRUE;
}

static gboolean
read_header(PdSafetensors *st, GError **error)
{
    gsize n_bytes;
    const guint8 *file = g_bytes_get_data(st->bytes, &n_bytes);
    guint64 header_bytes;
    if (n_bytes < sizeof header_bytes) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: too short for a safetensors file", st->name);
        return FALSE;
    }
    memcpy(&header_bytes, file, sizeof header_bytes);
    header_bytes = GUINT64_FROM_LE(header_bytes);
    if (header_bytes > HEADER_BYTES_MAX || header_bytes > n_bytes - sizeof header_bytes) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: header of %" G_GUINT64_FORMAT " bytes in a file of %" G_GSIZE_FORMAT,
                    st->name, header_bytes, n_bytes);
        return FALSE;
    }
    const char *header = (const char *)file + sizeof header_bytes;
    const guint8 *data = (const guint8 *)header + header_bytes;
    guint64 data_bytes = n_bytes - sizeof header_bytes - header_bytes;

    st->parser = pd_json_parse_object(header, (gsize)header_bytes, st->name, error);
    if (st->parser == NULL)
        return FALSE;
    JsonObject *root = pd_json_object(st->parser);
    if (json_object_get_size(root) > N_TENSORS_MAX) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT, "%s: more than %u tensors",
                    st->name, N_TENSORS_MAX);
        return FALSE;
    }
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;
    json_object_iter_init(&iter, root);
    while (json_object_iter_next(&iter, &name, &node)) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (!read_entry(st, name, node, data, data_bytes, error))
            return FALSE;
    }
    return check_layout(st, data, data_bytes, error);
}

static PdSafetensors *
open_parts(const char *name, GMappedFile *file, GBytes *bytes, GError **error)
{
    g_autoptr(PdSafetensors) st = g_new0(PdSafetensors, 1);
    st->name = g_strdup(name);
    st->file = file;
    st->bytes = bytes;
    st->tensors = g_array_new(FALSE, TRUE, sizeof(PdSafetensor));
    g_array_set_clear_func(st->tensors, tensor_clear);
    st->index = g_hash_table_new(g_str_hash, g_str_equal);
    return read_header(st, error) ? g_steal_pointer(&st) : NULL;
}

PdSafetensors *
pd_safetensors_open(const char *path, GError **error)
{
    g_autoptr(GError) io_error = NULL;
    GMappedFile *file = g_mapped_file_new(path, FALSE, &io_error);
    if (file == NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO, "%s", io_error->message);
        return NULL;
    }
    return open_parts(path, file, g_mapped_file_get_bytes(file), error);
}

PdSafetensors *
pd_safetensors_open_bytes(GBytes *bytes, const char *name, GError **error)
{
    return open_parts(name, NULL, g_bytes_ref(bytes), error);
}

const char *
pd_safetensors_name(const PdSafetensors *st)
{
    return st->name;
}

const void *
pd_safetensors_data(const PdSafetensors *st, gsize *n_bytes)
{
    return g_bytes_get_data(st->bytes, n_bytes);
}

gsize
pd_safetensors_n_tensors(const PdSafetensors *st)
{
    return st->tensors->len;
}

const PdSafetensor *
pd_safetensors_tensor(const PdSafetensors *st, gsize index)
{
    return &g_array_index(st->tensors, PdSafetensor, index);
}

const PdSafetensor *
pd_safetensors_find(const PdSafetensors *st, const char *name)
{
    guint i = GPOINTER_TO_UINT(g_hash_table_lookup(st->index, name));
    return i == 0 ? NULL : pd_safetensors_tensor(st, i - 1);
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The file names in "weight_map", sorted, each once; only plain names inside the folder. */
static GPtrArray *
read_index(const char *path, GError **error)
{
    g_autoptr(JsonParser) parser = pd_json_read_object(path, error);
    if (parser == NULL)
        return NULL;
    JsonNode *map = json_object_get_member(pd_json_object(parser), "weight_map");
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    gboolean ok = map != NULL && JSON_NODE_HOLDS_OBJECT(map);
    if (ok) {
        JsonObjectIter iter;
        const char *tensor;
        JsonNode *node;
        json_object_iter_init(&iter, json_node_get_object(map));
        while (ok && json_object_iter_next(&iter, &tensor, &node)) {
            const char *file = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
            ok = file != NULL && file[0] != '\0' && file[0] != '.' && strchr(file, '/') == NULL;
            if (ok && g_hash_table_add(seen, (char *)file))
                g_ptr_array_add(names, g_strdup(file));
        }
    }
    if (!ok || names->len == 0) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT,
                    "%s: no weight_map from tensors to files of this folder", path);
        return NULL;
    }
    g_ptr_array_sort(names, compare_names);
    return g_steal_pointer(&names);
}

GPtrArray *
pd_safetensors_open_folder(const char *folder, GError **error)
{
    g_autofree char *index = g_build_filename(folder, "model.safetensors.index.json", NULL);
    g_autoptr(GPtrArray) names = NULL;
    if (g_file_test(index, G_FILE_TEST_EXISTS)) {
        names = read_index(index, error);
        if (names == NULL)
            return NULL;
    } else {
        names = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(names, g_strdup("model.safetensors"));
    }
    g_autoptr(GPtrArray) shards =
        g_ptr_array_new_with_free_func((GDestroyNotify)pd_safetensors_free);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename(folder, g_ptr_array_index(names, i), NULL);
        PdSafetensors *st = pd_safetensors_open(path, error);
        if (st == NULL)
            return NULL;
        g_ptr_array_add(shards, st);
    }
    return g_steal_pointer(&shards);
}
