/*
 * Archives: each member is read as if it lay in a folder of the archive's name; what is not read is
 * told.  The files of tests/golden/archive were made by other programs (make_archives.py there).
 */
#include "collect.h"

#include <string.h>

#define NOTES "Tide notes.\nGauge 4 was moved on 12 May.\n"
#define PLAN "# Réglage\n\nLe capteur dérive de 4 mm.\n"
#define LONG                                                                                       \
    "folderfolderfolderfolderfolderfolderfolderfolderfolderfolder/"                                \
    "folderfolderfolderfolderfolderfolderfolderfolderfolderfolder/"                                \
    "folderfolderfolderfolderfolderfolderfolderfolderfolderfolder/"                                \
    "folderfolderfolderfolderfolderfolderfolderfolderfolderfolder/notes.txt"

static Collected *
collect_golden(const char *name, const PdReadLimits *limits)
{
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "tests/golden/archive", name, NULL);
    return collect(path, NULL, limits);
}

static void
check_document(const Collected *c, const char *key, PdDocumentKind kind, const char *want)
{
    const PdDocument *document = collected_find(c, key);
    g_assert_nonnull(document);
    g_assert_cmpint(document->kind, ==, kind);
    const PdPart *last = g_ptr_array_index(document->parts, document->parts->len - 1);
    g_assert_cmpstr(last->text->str, ==, want);
}

/* What every one of the archives holds. */
static void
check_members(const Collected *c)
{
    g_assert_no_error(c->error);
    check_document(c, "notes.txt", PD_KIND_TEXT, NOTES);
    check_document(c, "log/page.html", PD_KIND_HTML, "Pier 4 was flooded.\n");
    check_document(c, "log/Größe.md", PD_KIND_MARKDOWN, PLAN);
    check_document(c, "mails/one.eml", PD_KIND_MAIL, "It reads 4 mm high.\n");
    g_assert_cmpstr(collected_find(c, "mails/one.eml")->native_id, ==, "tide-1@example.org");
}

static void
test_kinds(void)
{
    static const char *const plain[] = {"case.tar", "case.7z"};
    static const char *const with_long_name[] = {"case.tgz", "case.tar.xz"};
    for (gsize i = 0; i < G_N_ELEMENTS(plain); i++) {
        g_autoptr(Collected) c = collect_golden(plain[i], NULL);
        check_members(c);
        g_assert_cmpuint(c->documents->len, ==, 4);
        g_assert_cmpuint(c->lines->len, ==, 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(with_long_name); i++) {
        g_autoptr(Collected) c = collect_golden(with_long_name[i], NULL);
        check_members(c);
        check_document(c, LONG, PD_KIND_TEXT, NOTES);
        g_assert_cmpuint(c->documents->len, ==, 5);
        g_assert_cmpuint(c->lines->len, ==, 0);
    }
}

static void
test_zip(void)
{
    g_autoptr(Collected) c = collect_golden("case.zip", NULL);
    check_members(c);
    check_document(c, "inner.zip!/b/innermost.zip!/deep.txt", PD_KIND_TEXT,
                   "Found three levels down.\n");
    g_assert_cmpuint(c->documents->len, ==, 5);
    g_assert_true(collected_says(c, "skipped picture.png", "PNG"));
    g_assert_true(collected_says(c, "skipped empty.txt", "0 bytes"));
    g_assert_cmpuint(c->lines->len, ==, 2);
    PdReadLimits limits = pd_read_limits_default;
    limits.depth_max = 2;
    g_autoptr(Collected) flat = collect_golden("case.zip", &limits);
    check_members(flat);
    g_assert_cmpuint(flat->documents->len, ==, 4);
    g_assert_true(collected_says(flat, "skipped inner.zip!/b/innermost.zip!/deep.txt",
                                 "file in an archive deeper than the limit of 2"));
}

/* The other slash, and code page 437. */
static void
test_windows(void)
{
    g_autoptr(Collected) c = collect_golden("windows.zip", NULL);
    check_document(c, "log/Größe.txt", PD_KIND_TEXT, NOTES);
    check_document(c, "notes.txt", PD_KIND_TEXT, "Second.\n");
    g_assert_cmpuint(c->lines->len, ==, 0);
}

static void
test_passwords(void)
{
    g_autoptr(Collected) zip = collect_golden("password.zip", NULL);
    g_assert_no_error(zip->error);
    g_assert_cmpuint(zip->documents->len, ==, 1);
    check_document(zip, "open.txt", PD_KIND_TEXT, "Open to all.\n");
    g_assert_true(collected_says(zip, "skipped notes.txt", "encrypted"));
    g_autoptr(Collected) seven = collect_golden("password.7z", NULL);
    g_assert_cmpuint(seven->documents->len, ==, 0);
    g_assert_true(collected_says(seven, "encrypted", ""));
}

/* Sizes that are not true, and a checksum that is not. */
static void
test_lies(void)
{
    g_autoptr(Collected) lies = collect_golden("lies.zip", NULL);
    g_assert_no_error(lies->error);
    check_document(lies, "true.txt", PD_KIND_TEXT, "True.\n");
    g_assert_true(collected_says(lies, "partial small.txt", "damaged"));
    g_assert_true(collected_says(lies, "skipped large.txt", "ratio"));
    const PdDocument *small = collected_find(lies, "small.txt");
    g_assert_nonnull(small);
    g_assert_cmpint(small->raw_bytes, ==, 20 * 26);
    g_autoptr(Collected) wrong = collect_golden("checksum.zip", NULL);
    check_document(wrong, "good.txt", PD_KIND_TEXT, "Good.\n");
    g_assert_true(collected_says(wrong, "partial bad.txt", "damaged"));
    g_assert_cmpuint(wrong->documents->len, ==, 2);
}

/* --- made here -------------------------------------------------------------------------------- */

static Collected *
collect_bytes(const char *name, const GByteArray *bytes, const PdReadLimits *limits)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, (const char *)bytes->data, (gssize)bytes->len, NULL));
    Collected *c = collect(path, NULL, limits);
    remove_folder(folder);
    return c;
}

static GByteArray *
tar_of_notes(guint n)
{
    GByteArray *tar = g_byte_array_new();
    for (guint i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("n/%03u.txt", i);
        g_autofree char *text = g_strdup_printf("Note %u.\n", i);
        add_tar_member(tar, name, text);
    }
    return tar;
}

/* More than go to one reader together, and with another kind among them: all come, in order. */
static void
test_many(void)
{
    g_autoptr(GByteArray) tar = tar_of_notes(70);
    add_tar_member(tar, "m.eml", "From: a@b\nMessage-ID: <1@x>\nSubject: s\n\nIn between.\n");
    add_tar_member(tar, "z.txt", "Last.\n");
    g_autoptr(Collected) c = collect_bytes("many.tar", tar, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 72);
    for (guint i = 0; i < 70; i++) {
        g_autofree char *key = g_strdup_printf("n/%03u.txt", i);
        g_autofree char *text = g_strdup_printf("Note %u.\n", i);
        const PdDocument *document = g_ptr_array_index(c->documents, i);
        g_assert_cmpstr(document->key, ==, key);
        g_assert_cmpstr(document->title, ==, key);
        g_assert_cmpstr(((PdPart *)document->parts->pdata[0])->text->str, ==, text);
    }
    g_assert_cmpstr(((PdDocument *)c->documents->pdata[70])->key, ==, "m.eml");
    g_assert_cmpstr(((PdDocument *)c->documents->pdata[71])->key, ==, "z.txt");
}

static void
test_limits(void)
{
    g_autoptr(GByteArray) tar = tar_of_notes(10);
    PdReadLimits limits = pd_read_limits_default;
    limits.archive_entries_max = 7;
    g_autoptr(Collected) entries = collect_bytes("a.tar", tar, &limits);
    g_assert_no_error(entries->error);
    g_assert_cmpuint(entries->documents->len, ==, 7);
    g_assert_true(collected_says(entries, "partial", "limit of 7 files"));
    limits = pd_read_limits_default;
    limits.file_bytes_max = 8;
    g_autoptr(GByteArray) mixed = g_byte_array_new();
    add_tar_member(mixed, "long.txt", "Longer than that.\n");
    add_tar_member(mixed, "short.txt", "Short.\n");
    g_autoptr(Collected) file = collect_bytes("a.tar", mixed, &limits);
    g_assert_cmpuint(file->documents->len, ==, 1);
    check_document(file, "short.txt", PD_KIND_TEXT, "Short.\n");
    g_assert_true(collected_says(file, "skipped long.txt", "limit of 8 bytes"));
    limits = pd_read_limits_default;
    limits.unpacked_bytes_max = 20;
    g_autoptr(Collected) total = collect_bytes("a.tar", tar, &limits);
    g_assert_cmpuint(total->documents->len, ==, 2);
    g_assert_true(collected_says(total, "limit of 20", "the rest was not read"));
}

/* Cut short: what came before the cut is read, and it is said. */
static void
test_cut(void)
{
    g_autoptr(GByteArray) tar = tar_of_notes(5);
    g_byte_array_set_size(tar, 4 * 1024 + 100);
    g_autoptr(Collected) c = collect_bytes("a.tar", tar, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 4);
    g_assert_true(collected_says(c, "partial", "damaged"));
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "tests/golden/archive/case.zip", NULL);
    g_autofree char *bytes = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(path, &bytes, &n, NULL));
    g_autoptr(GByteArray) zip = g_byte_array_new();
    g_byte_array_append(zip, (const guint8 *)bytes, (guint)n / 3);
    g_autoptr(Collected) half = collect_bytes("a.zip", zip, NULL);
    g_assert_no_error(half->error);
    check_document(half, "notes.txt", PD_KIND_TEXT, NOTES);
    g_assert_true(collected_says(half, "partial", "damaged"));
    static const guint8 nothing[] = "PK\3\4 and then nothing of the kind";
    g_autoptr(GByteArray) bad = g_byte_array_new();
    g_byte_array_append(bad, nothing, sizeof nothing);
    g_autoptr(Collected) none = collect_bytes("a.zip", bad, NULL);
    g_assert_cmpuint(none->documents->len, ==, 0);
    g_assert_true(collected_says(none, "a.zip", "cannot be read as an archive"));
}

/* In a folder, and in a mail: the whole way is in the key. */
static void
test_inside(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *mail_path = g_build_filename(folder, "m.eml", NULL);
    g_autofree char *tar_path = g_build_filename(folder, "box.tar", NULL);
    g_autoptr(GByteArray) tar = tar_of_notes(2);
    g_autofree char *base64 = g_base64_encode(tar->data, tar->len);
    g_autofree char *mail =
        g_strdup_printf("From: a@b\nMessage-ID: <1@x>\nSubject: s\nMIME-Version: 1.0\n"
                        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee it.\n"
                        "--b\nContent-Type: application/x-tar; name=n.tar\n"
                        "Content-Transfer-Encoding: base64\n\n%s\n--b--\n",
                        base64);
    g_assert_true(g_file_set_contents(mail_path, mail, -1, NULL));
    g_assert_true(g_file_set_contents(tar_path, (const char *)tar->data, (gssize)tar->len, NULL));
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 5);
    check_document(c, "box.tar!/n/000.txt", PD_KIND_TEXT, "Note 0.\n");
    g_assert_null(collected_find(c, "box.tar!/n/000.txt")->parent_key);
    check_document(c, "m.eml!/2:n.tar!/n/001.txt", PD_KIND_TEXT, "Note 1.\n");
    g_assert_cmpstr(collected_find(c, "m.eml!/2:n.tar!/n/001.txt")->parent_key, ==, "m.eml");
    remove_folder(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/archive/kinds", test_kinds);
    g_test_add_func("/archive/zip", test_zip);
    g_test_add_func("/archive/windows", test_windows);
    g_test_add_func("/archive/passwords", test_passwords);
    g_test_add_func("/archive/lies", test_lies);
    g_test_add_func("/archive/many", test_many);
    g_test_add_func("/archive/limits", test_limits);
    g_test_add_func("/archive/cut", test_cut);
    g_test_add_func("/archive/inside", test_inside);
    return g_test_run();
}
