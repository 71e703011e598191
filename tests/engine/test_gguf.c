/*
 * GGUF reading: values of every kind come back, and every way in which a file can lie about itself
 * is refused with a message that says where.  The files are written here, byte by byte, from the
 * format's description; nothing of the reader is used to make them.
 */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "engine/error.h"
#include "engine/gguf.h"
#include "engine/remove_tree.h"
#include "tests/engine/gguf_writer.h"

static PdGguf *
open_bytes(GByteArray *file, GError **error)
{
    /* An exact copy on the heap, so that a sanitizer sees a read past the end. */
    g_autoptr(GBytes) bytes = g_bytes_new(file->data, file->len);
    return pd_gguf_open_bytes(bytes, "model.gguf", error);
}

static void
assert_refused(GByteArray *file, int code, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdGguf) g = open_bytes(file, &error);
    g_assert_null(g);
    g_assert_error(error, PD_ENGINE_ERROR, code);
    g_test_message("%s", error->message);
    g_assert_true(g_str_has_prefix(error->message, "model.gguf: "));
    if (strstr(error->message, words) == NULL)
        g_error("'%s' lacks '%s'", error->message, words);
    g_assert_null(strchr(error->message, '\n'));
}

/* Two tensors and one key of each kind. */
static GByteArray *
whole_file(guint32 version)
{
    GByteArray *f = g_byte_array_new();
    float f32 = 1.5f;
    double f64 = -2.25;
    gguf_put_header(f, version, 2, 15);
    gguf_put_key(f, "u8", GGUF_U8);
    gguf_put(f, "\xfe", 1);
    gguf_put_key(f, "i8", GGUF_I8);
    gguf_put(f, "\xfe", 1);
    gguf_put_key(f, "u16", GGUF_U16);
    gguf_put(f, "\xfe\xff", 2);
    gguf_put_key(f, "i16", GGUF_I16);
    gguf_put(f, "\x05\x00", 2);
    gguf_put_key(f, "u32", GGUF_U32);
    gguf_put_u32(f, 4000000000u);
    gguf_put_key(f, "i32", GGUF_I32);
    gguf_put_u32(f, 7);
    gguf_put_key(f, "f32", GGUF_F32);
    gguf_put(f, &f32, 4);
    gguf_put_key(f, "bool", GGUF_BOOL);
    gguf_put(f, "\1", 1);
    gguf_put_key(f, "string", GGUF_STRING);
    gguf_put_string(f, "a name");
    gguf_put_key(f, "u64", GGUF_U64);
    gguf_put_u64(f, G_MAXUINT64);
    gguf_put_key(f, "i64", GGUF_I64);
    gguf_put_u64(f, 12);
    gguf_put_key(f, "f64", GGUF_F64);
    gguf_put(f, &f64, 8);
    gguf_put_key(f, "words", GGUF_ARRAY);
    gguf_put_u32(f, GGUF_STRING);
    gguf_put_u64(f, 3);
    gguf_put_string(f, "one");
    gguf_put_string(f, "");
    gguf_put_string(f, "three");
    gguf_put_key(f, "numbers", GGUF_ARRAY);
    gguf_put_u32(f, GGUF_I32);
    gguf_put_u64(f, 2);
    gguf_put_u32(f, 5);
    gguf_put_u32(f, (guint32)-6);
    gguf_put_key(f, "general.alignment", GGUF_U32);
    gguf_put_u32(f, 64);
    gguf_put_tensor(f, "a", 2, (guint64[]){4, 3}, 0, 0);
    gguf_put_tensor(f, "b", 1, (guint64[]){512}, 12, 64);
    gguf_put_padding(f, 64);
    for (int i = 0; i < 12; i++) {
        float v = i;
        gguf_put(f, &v, 4);
    }
    gguf_put_padding(f, 64);
    gguf_put_zeros(f, 2 * 144);
    return f;
}

static void
test_values(void)
{
    for (guint32 version = 2; version <= 3; version++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GByteArray) file = whole_file(version);
        g_autoptr(PdGguf) g = open_bytes(file, &error);
        g_assert_no_error(error);
        guint64 u;
        gint64 i;
        double d;
        gboolean b;
        gsize len;

        g_assert_true(pd_gguf_get_u64(g, "u8", &u) && u == 254);
        g_assert_false(pd_gguf_get_u64(g, "i8", &u)); /* -2 does not fit */
        g_assert_true(pd_gguf_get_u64(g, "u16", &u) && u == 65534);
        g_assert_true(pd_gguf_get_u64(g, "i16", &u) && u == 5);
        g_assert_true(pd_gguf_get_u64(g, "u32", &u) && u == 4000000000u);
        g_assert_true(pd_gguf_get_u64(g, "i32", &u) && u == 7);
        g_assert_true(pd_gguf_get_u64(g, "u64", &u) && u == G_MAXUINT64);
        g_assert_true(pd_gguf_get_u64(g, "i64", &u) && u == 12);
        g_assert_false(pd_gguf_get_u64(g, "f32", &u));
        g_assert_false(pd_gguf_get_u64(g, "absent", &u));
        g_assert_true(pd_gguf_get_f64(g, "f32", &d) && d == 1.5);
        g_assert_true(pd_gguf_get_f64(g, "f64", &d) && d == -2.25);
        g_assert_true(pd_gguf_get_bool(g, "bool", &b) && b);
        g_assert_false(pd_gguf_get_bool(g, "u8", &b));
        g_assert_cmpstr(pd_gguf_get_string(g, "string", &len), ==, "a name");
        g_assert_cmpuint(len, ==, 6);
        g_assert_null(pd_gguf_get_string(g, "words", NULL));

        g_assert_cmpuint(pd_gguf_array_len(g, "words"), ==, 3);
        const char *word = pd_gguf_array_string(g, "words", 2, &len);
        g_assert_cmpmem(word, len, "three", 5);
        g_assert_nonnull(pd_gguf_array_string(g, "words", 1, &len));
        g_assert_cmpuint(len, ==, 0);
        g_assert_null(pd_gguf_array_string(g, "words", 3, &len));
        g_assert_null(pd_gguf_array_string(g, "numbers", 0, &len));
        g_assert_true(pd_gguf_array_i64(g, "numbers", 1, &i) && i == -6);
        g_assert_false(pd_gguf_array_i64(g, "numbers", 2, &i));
        g_assert_false(pd_gguf_array_f64(g, "numbers", 0, &d));
    }
}

static void
test_tensors(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) file = whole_file(3);
    g_autoptr(PdGguf) g = open_bytes(file, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(pd_gguf_n_tensors(g), ==, 2);
    const PdGgufTensor *a = pd_gguf_find_tensor(g, "a");
    g_assert_true(a == pd_gguf_tensor(g, 0));
    g_assert_cmpint(a->type, ==, PD_F32);
    g_assert_cmpint(a->n_dims, ==, 2);
    g_assert_cmpuint(a->dims[0], ==, 4);
    g_assert_cmpuint(a->dims[1], ==, 3);
    g_assert_cmpuint(a->dims[2], ==, 1);
    g_assert_cmpuint(a->n_bytes, ==, 48);
    float v;
    memcpy(&v, (const char *)a->data + 44, 4);
    g_assert_cmpfloat(v, ==, 11);
    const PdGgufTensor *b = pd_gguf_find_tensor(g, "b");
    g_assert_cmpint(b->type, ==, PD_Q4_K);
    g_assert_cmpuint(b->n_bytes, ==, 288);
    g_assert_null(pd_gguf_find_tensor(g, "c"));
    g_assert_null(pd_gguf_tensor(g, 2));
}

/* Cut at every byte: never a crash, always one line. */
static void
test_truncated(void)
{
    g_autoptr(GByteArray) file = whole_file(3);
    for (guint n = 4; n < file->len; n++) {
        g_autoptr(GByteArray) part = g_byte_array_new();
        gguf_put(part, file->data, n);
        assert_refused(part, PD_ENGINE_ERROR_FORMAT, "the download is probably incomplete");
    }
    g_autoptr(GByteArray) part = g_byte_array_new();
    gguf_put(part, file->data, file->len - 1);
    assert_refused(part, PD_ENGINE_ERROR_FORMAT, "tensor 1 'b' ends at ");
}

/* Every single byte replaced by extremes: whatever opens must be readable in full. */
static void
test_flipped(void)
{
    g_autoptr(GByteArray) file = whole_file(3);
    static const guint8 values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    for (guint at = 0; at < file->len; at++) {
        for (gsize k = 0; k < sizeof values; k++) {
            guint8 keep = file->data[at];
            file->data[at] = values[k];
            g_autoptr(GError) error = NULL;
            g_autoptr(PdGguf) g = open_bytes(file, &error);
            file->data[at] = keep;
            g_assert_true((g == NULL) == (error != NULL));
            if (g == NULL)
                continue;
            gsize total;
            const guint8 *base = pd_gguf_data(g, 0, &total);
            for (gsize i = 0; i < pd_gguf_n_tensors(g); i++) {
                const PdGgufTensor *t = pd_gguf_tensor(g, i);
                gsize start = (const guint8 *)t->data - base;
                g_assert_cmpuint(start, <=, total);
                g_assert_cmpuint(t->n_bytes, <=, total - start);
            }
        }
    }
}

static void
test_absurd_counts(void)
{
    static const guint64 counts[][2] = {
        {G_GUINT64_CONSTANT(1) << 60, 0}, {0, G_GUINT64_CONSTANT(1) << 60}, {G_MAXUINT64, 1}};
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(GByteArray) f = g_byte_array_new();
        gguf_put_header(f, 3, counts[i][0], counts[i][1]);
        gguf_put_zeros(f, 64);
        assert_refused(f, PD_ENGINE_ERROR_FORMAT, "at most 65,536");
    }

    static const guint64 lengths[] = {1000, G_GUINT64_CONSTANT(1) << 61, G_MAXUINT64 - 7,
                                      G_MAXUINT64};
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GByteArray) array = g_byte_array_new();
        gguf_put_header(array, 3, 0, 1);
        gguf_put_key(array, "k", GGUF_ARRAY);
        gguf_put_u32(array, i % 2 == 0 ? GGUF_STRING : GGUF_F64);
        gguf_put_u64(array, lengths[i]);
        gguf_put_zeros(array, 64);
        assert_refused(array, PD_ENGINE_ERROR_FORMAT, "metadata key 0 'k' claims ");

        g_autoptr(GByteArray) string = g_byte_array_new();
        gguf_put_header(string, 3, 0, 1);
        gguf_put_key(string, "k", GGUF_STRING);
        gguf_put_u64(string, lengths[i]);
        gguf_put_zeros(string, 64);
        assert_refused(string, PD_ENGINE_ERROR_FORMAT, "metadata key 0 'k' ");
    }
}

static void
test_bad_metadata(void)
{
    g_autoptr(GByteArray) magic = g_byte_array_new();
    gguf_put(magic, "GGML", 4);
    gguf_put_zeros(magic, 60);
    assert_refused(magic, PD_ENGINE_ERROR_FORMAT, "no GGUF model file");

    g_autoptr(GByteArray) version = g_byte_array_new();
    gguf_put_header(version, 4, 0, 0);
    assert_refused(version, PD_ENGINE_ERROR_UNSUPPORTED, "versions 2 and 3");

    g_autoptr(GByteArray) big = g_byte_array_new();
    gguf_put_header(big, GUINT32_SWAP_LE_BE(3), 0, 0);
    assert_refused(big, PD_ENGINE_ERROR_UNSUPPORTED, "big-endian");

    g_autoptr(GByteArray) twice = g_byte_array_new();
    gguf_put_header(twice, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        gguf_put_key(twice, "same", GGUF_U32);
        gguf_put_u32(twice, i);
    }
    assert_refused(twice, PD_ENGINE_ERROR_FORMAT, "metadata key 1 'same' appears twice");

    g_autoptr(GByteArray) type = g_byte_array_new();
    gguf_put_header(type, 3, 0, 1);
    gguf_put_key(type, "k", 13);
    gguf_put_zeros(type, 16);
    assert_refused(type, PD_ENGINE_ERROR_FORMAT, "unknown type 13");

    g_autoptr(GByteArray) nested = g_byte_array_new();
    gguf_put_header(nested, 3, 0, 1);
    gguf_put_key(nested, "k", GGUF_ARRAY);
    gguf_put_u32(nested, GGUF_ARRAY);
    gguf_put_u64(nested, 1);
    gguf_put_zeros(nested, 32);
    assert_refused(nested, PD_ENGINE_ERROR_FORMAT, "array of arrays");

    static const guint32 alignments[] = {0, 4, 48, 1u << 21};
    for (gsize i = 0; i < G_N_ELEMENTS(alignments); i++) {
        g_autoptr(GByteArray) f = g_byte_array_new();
        gguf_put_header(f, 3, 0, 1);
        gguf_put_key(f, "general.alignment", GGUF_U32);
        gguf_put_u32(f, alignments[i]);
        assert_refused(f, PD_ENGINE_ERROR_FORMAT, "power of two");
    }

    /* A terminal must never get the control characters of a name. */
    g_autoptr(GByteArray) escape = g_byte_array_new();
    gguf_put_header(escape, 3, 0, 1);
    gguf_put_key(escape, "\033[2J", 77);
    assert_refused(escape, PD_ENGINE_ERROR_FORMAT, "'\\033[2J'");
}

/* One tensor of the given description over 64 bytes of data. */
static GByteArray *
one_tensor(int n_dims, const guint64 *dims, guint32 type, guint64 offset)
{
    GByteArray *f = g_byte_array_new();
    gguf_put_header(f, 3, 1, 0);
    gguf_put_tensor(f, "blk.0.attn_q.weight", n_dims, dims, type, offset);
    gguf_put_padding(f, 32);
    gguf_put_zeros(f, 64);
    return f;
}

static void
test_bad_tensors(void)
{
    static const struct {
        int n_dims;
        guint64 dims[5];
        guint32 type;
        guint64 offset;
        const char *words;
    } cases[] = {
        {0, {0}, 0, 0, "has 0 dimensions"},
        {5, {1, 1, 1, 1, 1}, 0, 0, "has 5 dimensions"},
        {2, {4, 0}, 0, 0, "dimension of 0"},
        {1, {16}, 0, 16, "no multiple of the alignment"},
        {1, {16}, 0, 32, "ends at "},
        {1, {16}, 0, G_MAXUINT64 - 31, "claims "},
        {1, {33}, 8, 0, "impossible dimensions"},
        {1, {G_GUINT64_CONSTANT(1) << 62}, 0, 0, "impossible dimensions"},
        {2, {G_GUINT64_CONSTANT(1) << 32, G_GUINT64_CONSTANT(1) << 32}, 0, 0, "impossible"},
        {4, {65536, 65536, 65536, 65536}, 1, 0, "impossible dimensions"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) f =
            one_tensor(cases[i].n_dims, cases[i].dims, cases[i].type, cases[i].offset);
        assert_refused(f, PD_ENGINE_ERROR_FORMAT, cases[i].words);
    }
    g_autoptr(GByteArray) q2 = one_tensor(1, (guint64[]){256}, 10, 0);
    assert_refused(q2, PD_ENGINE_ERROR_UNSUPPORTED, "tensor 0 'blk.0.attn_q.weight' has type Q2_K");
    g_autoptr(GByteArray) unknown = one_tensor(1, (guint64[]){256}, 4000000000u, 0);
    assert_refused(unknown, PD_ENGINE_ERROR_UNSUPPORTED, "has type number 4000000000");
    g_autoptr(GByteArray) fits = one_tensor(1, (guint64[]){16}, 0, 0);
    g_autoptr(PdGguf) g = open_bytes(fits, NULL);
    g_assert_nonnull(g);
}

static void
test_pairs_of_tensors(void)
{
    static const struct {
        const char *name;
        guint64 offset;
        const char *words;
    } cases[] = {{"a", 64, "tensor 1 'a' appears twice"}, {"b", 32, "overlaps tensor 'a'"}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) f = g_byte_array_new();
        gguf_put_header(f, 3, 2, 0);
        gguf_put_tensor(f, "a", 1, (guint64[]){16}, 0, 0);
        gguf_put_tensor(f, cases[i].name, 1, (guint64[]){8}, 0, cases[i].offset);
        gguf_put_padding(f, 32);
        gguf_put_zeros(f, 96);
        assert_refused(f, PD_ENGINE_ERROR_FORMAT, cases[i].words);
    }
}

static void
test_paths(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(pd_gguf_open("/no/such/model.gguf", &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "/no/such/model.gguf"));
    g_clear_error(&error);
    g_assert_null(pd_gguf_open("/", &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_IO);
}

/* --- split models --- */

enum { N_FILES = 3 };

/* One of a split model's files: what it says, and one tensor of one number. */
typedef struct {
    guint16 no, count;
    gint32 n_tensors;
    const char *tensor;
} Part;

static const Part parts[N_FILES] = {
    {0, N_FILES, 3, "a"}, {1, N_FILES, 3, "b"}, {2, N_FILES, 3, "c"}};

static char *
part_path(const char *folder, int i)
{
    g_autofree char *name = g_strdup_printf("m-%05d-of-%05d.gguf", i + 1, N_FILES);
    return g_build_filename(folder, name, NULL);
}

static void
write_part(const char *path, const Part *part)
{
    g_autoptr(GByteArray) f = g_byte_array_new();
    float value = part->tensor[0];
    gguf_put_header(f, 3, 1, 3);
    gguf_put_key(f, "split.no", GGUF_U16);
    gguf_put(f, &part->no, 2);
    gguf_put_key(f, "split.count", GGUF_U16);
    gguf_put(f, &part->count, 2);
    gguf_put_key(f, "split.tensors.count", GGUF_I32);
    gguf_put(f, &part->n_tensors, 4);
    gguf_put_tensor(f, part->tensor, 1, (guint64[]){1}, 0, 0);
    gguf_put_padding(f, 32);
    gguf_put(f, &value, sizeof value);
    g_assert_true(g_file_set_contents(path, (const char *)f->data, f->len, NULL));
}

static char *
write_parts(void)
{
    char *folder = g_dir_make_tmp("pandect-XXXXXX", NULL);
    for (int i = 0; i < N_FILES; i++) {
        g_autofree char *path = part_path(folder, i);
        write_part(path, &parts[i]);
    }
    return folder;
}

static void
test_split(void)
{
    g_autofree char *folder = write_parts(), *first = part_path(folder, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdGguf) g = pd_gguf_open(first, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(pd_gguf_n_files(g), ==, N_FILES);
    g_assert_cmpuint(pd_gguf_n_tensors(g), ==, N_FILES);
    for (guint i = 0; i < N_FILES; i++) {
        const PdGgufTensor *t = pd_gguf_find_tensor(g, parts[i].tensor);
        g_autofree char *path = part_path(folder, (int)i);
        gsize n_bytes;
        const guint8 *data = pd_gguf_data(g, i, &n_bytes);
        float value;
        g_assert_true(t == pd_gguf_tensor(g, i));
        g_assert_cmpuint(t->file, ==, i);
        g_assert_cmpstr(pd_gguf_name(g, i), ==, path);
        g_assert_true((const guint8 *)t->data == data + n_bytes - sizeof value);
        memcpy(&value, t->data, sizeof value);
        g_assert_cmpfloat(value, ==, parts[i].tensor[0]);
    }
    pd_remove_tree(folder);
}

/* One file of the three is another, or not there; the first is opened. */
static void
test_bad_split(void)
{
    static const struct {
        int file;
        Part part; /* tensor NULL: the file is missing */
        const char *words;
    } cases[] = {
        {1, {0}, "m-00002-of-00003.gguf"},
        {1, {2, N_FILES, 3, "b"}, "do not say that it is file 2 of 3"},
        {2, {2, 4, 3, "c"}, "do not say that it is file 3 of 3"},
        {2, {2, N_FILES, 3, "a"}, "m-00003-of-00003.gguf: tensor 'a' is in a file before it too"},
        {0, {0, N_FILES, 4, "a"}, "split.tensors.count is 4, the 3 files have 3"},
        {0, {0, 2, 3, "a"}, "its name ends in -00001-of-00002.gguf"},
        {0, {1, N_FILES, 3, "a"}, "is file 2 of 3 of a model; give the first one"},
        {0, {0, 60000, 3, "a"}, "claims to be file 1 of 60000"},
        {0, {9, N_FILES, 3, "a"}, "claims to be file 10 of 3"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *folder = write_parts(), *first = part_path(folder, 0);
        g_autofree char *path = part_path(folder, cases[i].file);
        g_autoptr(GError) error = NULL;
        if (cases[i].part.tensor != NULL)
            write_part(path, &cases[i].part);
        else
            g_assert_cmpint(g_unlink(path), ==, 0);
        g_assert_null(pd_gguf_open(first, &error));
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, cases[i].words));
        pd_remove_tree(folder);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gguf/values", test_values);
    g_test_add_func("/gguf/tensors", test_tensors);
    g_test_add_func("/gguf/truncated", test_truncated);
    g_test_add_func("/gguf/flipped", test_flipped);
    g_test_add_func("/gguf/absurd-counts", test_absurd_counts);
    g_test_add_func("/gguf/bad-metadata", test_bad_metadata);
    g_test_add_func("/gguf/bad-tensors", test_bad_tensors);
    g_test_add_func("/gguf/pairs-of-tensors", test_pairs_of_tensors);
    g_test_add_func("/gguf/paths", test_paths);
    g_test_add_func("/gguf/split", test_split);
    g_test_add_func("/gguf/bad-split", test_bad_split);
    return g_test_run();
}
