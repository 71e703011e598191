/*
 * safetensors reading: values come back, and every way in which a header can lie about its data is
 * refused with a message that names the tensor.  Files are written here from the format's
 * description.
 */
#include <string.h>
#include <glib/gstdio.h>
#include "engine/error.h"
#include "engine/safetensors.h"

/* header, then n_data bytes 0, 1, 2 ...; header_bytes < 0: the true length. */
static GBytes *
file_of(const char *header, gsize n_data, gint64 header_bytes)
{
    GByteArray *out = g_byte_array_new();
    guint64 n = GUINT64_TO_LE(header_bytes < 0 ? strlen(header) : (guint64)header_bytes);
    g_byte_array_append(out, (const guint8 *)&n, sizeof n);
    g_byte_array_append(out, (const guint8 *)header, (guint)strlen(header));
    for (gsize i = 0; i < n_data; i++) {
        guint8 byte = (guint8)i;
        g_byte_array_append(out, &byte, 1);
    }
    return g_byte_array_free_to_bytes(out);
}

static void
test_reads(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes =
        file_of("{\"__metadata__\":{\"format\":\"pt\"},"
                "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]},"
                "\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[12,12]}}  ",
                20, -1);
    g_autoptr(PdSafetensors) st = pd_safetensors_open_bytes(bytes, "x", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(pd_safetensors_n_tensors(st), ==, 3);
    const PdSafetensor *a = pd_safetensors_find(st, "a"), *b = pd_safetensors_find(st, "b");
    g_assert_true(a->is_float);
    g_assert_cmpint(a->type, ==, PD_F16);
    g_assert_cmpint(a->n_dims, ==, 2);
    g_assert_cmpuint(a->dims[0], ==, 2);
    g_assert_cmpuint(a->dims[1], ==, 3);
    g_assert_cmpuint(a->n_bytes, ==, 12);
    g_assert_cmpint(((const guint8 *)a->data)[11], ==, 11);
    g_assert_false(b->is_float);
    g_assert_cmpuint(b->n_bytes, ==, 8);
    g_assert_cmpint(((const guint8 *)b->data)[0], ==, 12);
    g_assert_cmpuint(pd_safetensors_find(st, "none")->n_bytes, ==, 0);
    g_assert_null(pd_safetensors_find(st, "c"));
    g_assert_null(pd_safetensors_find(st, "__metadata__"));
}

static void
test_refuses(void)
{
    static const struct {
        const char *header;
        gsize n_data;
        gint64 header_bytes;
        const char *says;
    } cases[] = {
        {"{}", 0, 3, "header of 3 bytes"},
        {"{}", 0, G_MAXINT64, "header of"},
        {"[]", 0, -1, "not a JSON object"},
        {"{\"t\":", 0, -1, "not JSON"},
        {"{\"t\":3}", 0, -1, "tensor t"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, -1, "data_offsets"},
        {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "no dtype"},
        {"{\"t\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "no dtype"},
        {"{\"t\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, -1, "agree"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, -1, "outside"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, -1, "outside"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, -1, "outside"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, -1, "shape"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, -1, "shape"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],"
         "\"data_offsets\":[0,4]}}",
         4, -1, "shape"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, -1,
         "dimensions"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
         6, -1, "overlaps"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[6,10]}}",
         10, -1, "hole"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, -1, "after"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = file_of(cases[i].header, cases[i].n_data, cases[i].header_bytes);
        g_autoptr(PdSafetensors) st = pd_safetensors_open_bytes(bytes, "case.st", &error);
        g_test_message("%s", cases[i].header);
        g_assert_null(st);
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, cases[i].says));
        g_assert_true(g_str_has_prefix(error->message, "case.st: "));
    }
}

/* Many tensors side by side nest no deeper than one. */
static void
test_many_tensors(void)
{
    enum { N = 500 };
    g_autoptr(GString) header = g_string_new(NULL);
    for (int i = 0; i < N; i++)
        g_string_append_printf(
            header, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
            i == 0 ? "{" : ",", i, i, i + 1);
    g_string_append_c(header, '}');
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = file_of(header->str, N, -1);
    g_autoptr(PdSafetensors) st = pd_safetensors_open_bytes(bytes, "many", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(pd_safetensors_n_tensors(st), ==, N);
}

/* A parser that recurses must never see it, however the brackets are hidden. */
static void
test_deep_nesting(void)
{
    static const char *const starts[] = {"{\"t\":", "/*\"*/{\"t\":", "{'\"':"};
    for (gsize i = 0; i < G_N_ELEMENTS(starts); i++) {
        g_autoptr(GString) header = g_string_new(starts[i]);
        for (int d = 0; d < 2000000; d++)
            g_string_append_c(header, '[');
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = file_of(header->str, 0, -1);
        g_assert_null(pd_safetensors_open_bytes(bytes, "deep", &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);
    }
}

/* Every cut of a good file is refused, and none is read beyond its end. */
static void
test_truncated(void)
{
    g_autoptr(GBytes) whole =
        file_of("{\"t\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}", 8, -1);
    gsize n_bytes;
    const guint8 *data = g_bytes_get_data(whole, &n_bytes);
    for (gsize n = 0; n < n_bytes; n++) {
        /* A heap copy of its exact size: the address sanitizer sees a read too far. */
        g_autoptr(GBytes) cut = g_bytes_new(data, n);
        g_autoptr(GError) error = NULL;
        g_assert_null(pd_safetensors_open_bytes(cut, "cut", &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_FORMAT);
    }
}

static void
write_file(const char *folder, const char *name, GBytes *bytes)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    gsize n_bytes;
    const char *data = g_bytes_get_data(bytes, &n_bytes);
    g_assert_true(g_file_set_contents(path, data, (gssize)n_bytes, NULL));
}

static void
remove_folder(const char *folder)
{
    static const char *const names[] = {"model.safetensors.index.json", "a.safetensors",
                                        "b.safetensors"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
}

static void
test_folder(void)
{
    static const struct {
        const char *index;
        int code; /* -1: opens, two shards */
    } cases[] = {
        {"{\"weight_map\":{\"t\":\"a.safetensors\",\"v\":\"a.safetensors\","
         "\"u\":\"b.safetensors\"}}",
         -1},
        {"{\"weight_map\":{\"t\":\"../a.safetensors\"}}", PD_ENGINE_ERROR_FORMAT},
        {"{\"weight_map\":{\"t\":\"/etc/passwd\"}}", PD_ENGINE_ERROR_FORMAT},
        {"{\"weight_map\":{\"t\":3}}", PD_ENGINE_ERROR_FORMAT},
        {"{\"weight_map\":{}}", PD_ENGINE_ERROR_FORMAT},
        {"{}", PD_ENGINE_ERROR_FORMAT},
        {"{\"weight_map\":{\"t\":\"c.safetensors\"}}", PD_ENGINE_ERROR_IO},
    };
    g_autofree char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autoptr(GBytes) a =
        file_of("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1);
    g_autoptr(GBytes) b =
        file_of("{\"u\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, -1);
    write_file(folder, "a.safetensors", a);
    write_file(folder, "b.safetensors", b);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) index = g_bytes_new_static(cases[i].index, strlen(cases[i].index));
        write_file(folder, "model.safetensors.index.json", index);
        g_autoptr(GPtrArray) shards = pd_safetensors_open_folder(folder, &error);
        if (cases[i].code >= 0) {
            g_assert_null(shards);
            g_assert_error(error, PD_ENGINE_ERROR, cases[i].code);
            continue;
        }
        g_assert_no_error(error);
        g_assert_cmpuint(shards->len, ==, 2);
        g_assert_nonnull(pd_safetensors_find(g_ptr_array_index(shards, 0), "t"));
        g_assert_nonnull(pd_safetensors_find(g_ptr_array_index(shards, 1), "u"));
    }
    remove_folder(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/safetensors/reads", test_reads);
    g_test_add_func("/safetensors/refuses", test_refuses);
    g_test_add_func("/safetensors/many_tensors", test_many_tensors);
    g_test_add_func("/safetensors/deep_nesting", test_deep_nesting);
    g_test_add_func("/safetensors/truncated", test_truncated);
    g_test_add_func("/safetensors/folder", test_folder);
    return g_test_run();
}
