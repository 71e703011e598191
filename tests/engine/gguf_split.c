/* See gguf_split.h. */
#include "tests/engine/gguf_split.h"
#include <string.h>
#include "engine/gguf.h"
#include "tests/engine/gguf_writer.h"

enum { TO_KEYS = 24, N_SPLIT_KEYS = 3 };

typedef struct {
    const guint8 *data; /* the whole file */
    gsize n_bytes;
    PdGguf *gguf;
    int n_files;
} Whole;

/* Where the description of a tensor begins: its name, with the length before it, stands there once.
 */
static const guint8 *
find_tensor(const Whole *w, const PdGgufTensor *t)
{
    g_autoptr(GByteArray) name = g_byte_array_new();
    gguf_put_string(name, t->name);
    const guint8 *found = memmem(w->data, w->n_bytes, name->data, name->len);
    g_assert_nonnull(found);
    return found;
}

static guint32
type_of(const Whole *w, const PdGgufTensor *t)
{
    gsize to_type = sizeof(guint64) + strlen(t->name) + sizeof(guint32) + 8 * (gsize)t->n_dims;
    guint32 type;
    memcpy(&type, find_tensor(w, t) + to_type, sizeof type);
    return GUINT32_FROM_LE(type);
}

/* The first one has all keys of the whole file too. */
static void
put_keys(const Whole *w, int no, GByteArray *out)
{
    gsize n = pd_gguf_n_tensors(w->gguf);
    const guint8 *end = find_tensor(w, pd_gguf_tensor(w->gguf, 0));
    guint16 numbers[] = {GUINT16_TO_LE((guint16)no), GUINT16_TO_LE((guint16)w->n_files)};
    guint64 n_keys = 0;
    if (no == 0)
        memcpy(&n_keys, w->data + TO_KEYS - sizeof n_keys, sizeof n_keys);
    gguf_put_header(out, 3, (n - (gsize)no + (gsize)w->n_files - 1) / (gsize)w->n_files,
                    GUINT64_FROM_LE(n_keys) + N_SPLIT_KEYS);
    if (no == 0)
        gguf_put(out, w->data + TO_KEYS, (gsize)(end - w->data) - TO_KEYS);
    gguf_put_key(out, "split.no", GGUF_U16);
    gguf_put(out, &numbers[0], sizeof numbers[0]);
    gguf_put_key(out, "split.count", GGUF_U16);
    gguf_put(out, &numbers[1], sizeof numbers[1]);
    gguf_put_key(out, "split.tensors.count", GGUF_I32);
    gguf_put_u32(out, (guint32)n);
}

static void
write_file(const Whole *w, int no, const char *path)
{
    g_autoptr(GByteArray) out = g_byte_array_new(), data = g_byte_array_new();
    put_keys(w, no, out);
    for (gsize i = (gsize)no; i < pd_gguf_n_tensors(w->gguf); i += (gsize)w->n_files) {
        const PdGgufTensor *t = pd_gguf_tensor(w->gguf, i);
        gguf_put_tensor(out, t->name, t->n_dims, t->dims, type_of(w, t), data->len);
        gguf_put(data, t->data, t->n_bytes);
        gguf_put_padding(data, 32);
    }
    gguf_put_padding(out, 32);
    gguf_put(out, data->data, data->len);
    g_assert_true(g_file_set_contents(path, (const char *)out->data, out->len, NULL));
}

char *
gguf_split(const char *path, const char *folder, int n_files)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdGguf) gguf = pd_gguf_open(path, &error);
    Whole w = {.gguf = gguf, .n_files = n_files};
    char *first = NULL;
    g_assert_no_error(error);
    w.data = pd_gguf_data(gguf, 0, &w.n_bytes);
    for (int no = n_files - 1; no >= 0; no--) {
        g_autofree char *name = g_strdup_printf("m-%05d-of-%05d.gguf", no + 1, n_files);
        g_free(first);
        first = g_build_filename(folder, name, NULL);
        write_file(&w, no, first);
    }
    return first;
}
