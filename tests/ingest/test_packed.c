/*
 * Compressed files: what they hold is read as if it lay there itself, damage and bombs are told.
 * The files of tests/golden/packed were made by other programs (make_packed.py there).
 */
#include "collect.h"

#include <string.h>

#define TEXT "Tide notes.\nGauge 4 was moved on 12 May.\n"

static char *
golden(const char *name)
{
    return g_build_filename(PD_SOURCE_ROOT, "tests/golden", name, NULL);
}

static void
check_text(const char *name, PdDocumentKind kind, const char *want)
{
    g_autofree char *path = golden(name);
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 1);
    const PdDocument *document = g_ptr_array_index(c->documents, 0);
    const PdPart *part = g_ptr_array_index(document->parts, 0);
    g_autofree char *base = g_path_get_basename(path);
    g_assert_cmpint(document->kind, ==, kind);
    g_assert_cmpstr(document->key, ==, "");
    g_assert_cmpstr(document->title, ==, base);
    g_assert_null(document->parent_key);
    g_assert_cmpint(document->raw_bytes, ==, strlen(want));
    g_assert_cmpstr(part->text->str, ==, want);
    g_assert_cmpuint(c->lines->len, ==, 0);
}

static void
test_kinds(void)
{
    check_text("packed/notes.txt.gz", PD_KIND_TEXT, TEXT);
    check_text("packed/members.gz", PD_KIND_TEXT, TEXT);
    check_text("packed/notes.txt.bz2", PD_KIND_TEXT, TEXT);
    check_text("packed/plain.md.zst", PD_KIND_MARKDOWN,
               "# Réglage\n\nLe capteur dérive de 4 mm.\n");
}

/* An mbox gives the same documents, at the same offsets, as it does unpacked. */
static void
test_mbox(void)
{
    g_autofree char *path = golden("packed/box.mbox.xz");
    g_autofree char *plain_path = golden("mail/sample.mbox");
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_autoptr(Collected) plain = collect(plain_path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(plain->documents->len, >, 3);
    g_assert_cmpuint(c->documents->len, ==, plain->documents->len);
    for (guint i = 0; i < c->documents->len; i++) {
        const PdDocument *a = g_ptr_array_index(c->documents, i);
        const PdDocument *b = g_ptr_array_index(plain->documents, i);
        g_assert_cmpstr(a->key, ==, b->key);
        g_assert_cmpint(a->raw_offset, ==, b->raw_offset);
        g_assert_cmpmem(a->raw_sha256, 32, b->raw_sha256, 32);
    }
    g_autofree char *text = collected_text(c);
    g_autofree char *plain_text = collected_text(plain);
    g_assert_cmpstr(text, ==, plain_text);
}

/* --- made here -------------------------------------------------------------------------------- */

static GByteArray *
gzip(const guint8 *bytes, gsize n)
{
    g_autoptr(GZlibCompressor) compressor = g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP, 9);
    GByteArray *out = g_byte_array_new();
    for (gboolean done = FALSE; !done;) {
        guint8 piece[65536];
        gsize used, made;
        GConverterResult result =
            g_converter_convert(G_CONVERTER(compressor), bytes, n, piece, sizeof piece,
                                G_CONVERTER_INPUT_AT_END, &used, &made, NULL);
        g_assert_cmpint(result, !=, G_CONVERTER_ERROR);
        g_byte_array_append(out, piece, (guint)made);
        bytes += used;
        n -= used;
        done = result == G_CONVERTER_FINISHED;
    }
    return out;
}

static Collected *
collect_bytes(const char *name, const guint8 *bytes, gsize n, const PdReadLimits *limits)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, (const char *)bytes, (gssize)n, NULL));
    Collected *c = collect(path, NULL, limits);
    remove_folder(folder);
    return c;
}

static void
test_damage(void)
{
    GRand *rand = g_rand_new_with_seed(7);
    g_autoptr(GString) text = g_string_new(NULL);
    while (text->len < 300000)
        g_string_append_printf(text, "line %u\n", g_rand_int(rand));
    g_rand_free(rand);
    g_autoptr(GByteArray) packed = gzip((const guint8 *)text->str, text->len);
    /* Cut short: what came before the cut is read, and it is said. */
    g_autoptr(Collected) cut = collect_bytes("a.txt.gz", packed->data, packed->len / 2, NULL);
    g_assert_no_error(cut->error);
    g_assert_true(collected_says(cut, "partial", "cut short"));
    g_autofree char *first = collected_text(cut);
    g_assert_cmpuint(strlen(first), >, 50000);
    g_assert_true(strncmp(first, text->str, strlen(first) - 1) == 0);
    /* A wrong check sum: read, with the remark that it is not to be trusted. */
    packed->data[packed->len - 6] ^= 1;
    g_autoptr(Collected) wrong = collect_bytes("a.txt.gz", packed->data, packed->len, NULL);
    g_assert_true(collected_says(wrong, "partial", "damaged (gzip"));
    /* Nothing but the head. */
    g_autoptr(Collected) head = collect_bytes("a.txt.gz", packed->data, 12, NULL);
    g_assert_error(head->error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
    g_assert_true(collected_says(head, "a.txt.gz", "cannot be unpacked"));
    static const guint8 xz[] = "\xfd\x37zXZ\0\0\4\xe6\xd6\xb4\x46garbage here";
    g_autoptr(Collected) bad = collect_bytes("b.xz", xz, sizeof xz - 1, NULL);
    g_assert_error(bad->error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT);
}

static void
test_limits(void)
{
    gsize n = 30u << 20;
    g_autofree guint8 *same = g_malloc(n);
    memset(same, '\n', n);
    g_autoptr(GByteArray) bomb = gzip(same, n);
    g_autoptr(Collected) ratio = collect_bytes("a.gz", bomb->data, bomb->len, NULL);
    g_assert_error(ratio->error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT);
    g_assert_true(collected_says(ratio, "more than 100 times", "ratio"));
    g_assert_cmpuint(ratio->documents->len, ==, 0);
    /* Little comes out whole, whatever the ratio. */
    g_autoptr(GByteArray) small = gzip(same, 1u << 20);
    g_autoptr(Collected) whole = collect_bytes("a.gz", small->data, small->len, NULL);
    g_assert_no_error(whole->error);
    g_assert_cmpuint(whole->documents->len, ==, 1);
    PdReadLimits limits = pd_read_limits_default;
    limits.file_bytes_max = 1000000;
    g_autoptr(Collected) bytes = collect_bytes("a.gz", small->data, small->len, &limits);
    g_assert_error(bytes->error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT);
    g_assert_true(collected_says(bytes, "limit of 1000000 bytes", ""));
}

/* Compressed over and over: as deep as attachments may lie. */
static void
test_nested(void)
{
    g_autoptr(GByteArray) packed = gzip((const guint8 *)TEXT, strlen(TEXT));
    for (guint depth = 1; depth <= 6; depth++) {
        g_autoptr(Collected) c = collect_bytes("a.gz", packed->data, packed->len, NULL);
        g_assert_no_error(c->error);
        g_assert_cmpuint(c->documents->len, ==, depth <= 5);
        g_assert_cmpint(collected_says(c, "skipped", "limit of 5"), ==, depth > 5);
        GByteArray *again = gzip(packed->data, packed->len);
        g_byte_array_unref(packed);
        packed = again;
    }
}

static void
test_inside(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *mail_path = g_build_filename(folder, "m.eml", NULL);
    g_autofree char *text_path = g_build_filename(folder, "sub.txt.gz", NULL);
    g_autofree char *image_path = g_build_filename(folder, "z.png.gz", NULL);
    g_autoptr(GByteArray) packed = gzip((const guint8 *)TEXT, strlen(TEXT));
    g_autoptr(GByteArray) image = gzip((const guint8 *)"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
    g_autofree char *base64 = g_base64_encode(packed->data, packed->len);
    g_autofree char *mail =
        g_strdup_printf("From: a@b\nMessage-ID: <1@x>\nSubject: s\nMIME-Version: 1.0\n"
                        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee it.\n"
                        "--b\nContent-Type: application/gzip; name=n.txt.gz\n"
                        "Content-Transfer-Encoding: base64\n\n%s\n--b--\n",
                        base64);
    g_assert_true(g_file_set_contents(mail_path, mail, -1, NULL));
    g_assert_true(
        g_file_set_contents(text_path, (const char *)packed->data, (gssize)packed->len, NULL));
    g_assert_true(
        g_file_set_contents(image_path, (const char *)image->data, (gssize)image->len, NULL));
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 3);
    const PdDocument *attached = collected_find(c, "m.eml!/2:n.txt.gz");
    g_assert_nonnull(attached);
    g_assert_cmpstr(attached->parent_key, ==, "m.eml");
    g_assert_cmpstr(((PdPart *)attached->parts->pdata[0])->text->str, ==, TEXT);
    g_assert_nonnull(collected_find(c, "sub.txt.gz"));
    g_assert_true(collected_says(c, "skipped z.png.gz", "PNG"));
    remove_folder(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packed/kinds", test_kinds);
    g_test_add_func("/packed/mbox", test_mbox);
    g_test_add_func("/packed/damage", test_damage);
    g_test_add_func("/packed/limits", test_limits);
    g_test_add_func("/packed/nested", test_nested);
    g_test_add_func("/packed/inside", test_inside);
    return g_test_run();
}
