/*
 * Text in every encoding, HTML, folders, detection; and the broken inputs of the shared collection.
 */
#include "collect.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/readers/charset.h"
#include "ingest/readers/sniff.h"

static void
check_decode(const char *bytes, gssize n, const char *label, const char *want, const char *charset)
{
    g_autoptr(GString) out = g_string_new(NULL);
    PdCharsetInfo info;
    pd_charset_decode((const guint8 *)bytes, n < 0 ? strlen(bytes) : (gsize)n, label, out, &info);
    g_assert_cmpstr(out->str, ==, want);
    if (charset)
        g_assert_cmpstr(info.name, ==, charset);
}

static void
test_charsets(void)
{
    check_decode("caf\xE9", -1, "utf-8", "café", NULL);
    check_decode("\x93quoted\x94 \x80", -1, "iso-8859-1", "“quoted” €", "WINDOWS-1252");
    check_decode("\x93quoted\x94", -1, "us-ascii", "“quoted”", "WINDOWS-1252");
    check_decode("caf\xC3\xA9", -1, "iso-8859-1", "café", "UTF-8");
    check_decode("caf\xC3\xA9", -1, "no-such-charset", "café", "UTF-8");
    check_decode("plain", -1, "utf-16", "plain", "UTF-8");
    check_decode("\xCF\xF0\xE8\xE2\xE5\xF2", -1, "windows-1251", "Привет", NULL);
    check_decode("\xF0\xD2\xC9\xD7\xC5\xD4", -1, "koi8-r", "Привет", NULL);
    check_decode("\x1B$B4A;z\x1B(B", -1, "iso-2022-jp", "漢字", NULL);
    check_decode("\xB4\xC1\xBB\xFA", -1, "euc-jp", "漢字", NULL);
    check_decode("\xFF\xFEh\0i\0", 6, NULL, "hi", "UTF-16LE");
    check_decode("\xFE\xFF\0h\0i", 6, "utf-8", "hi", "UTF-16BE");
    check_decode("h\0i\0", 4, "utf-16le", "hi", NULL);
    check_decode("\xEF\xBB\xBFmark", -1, NULL, "mark", "UTF-8");
    check_decode("a\r\nb\rc\n", -1, NULL, "a\r\nb\rc\n", "UTF-8");
    check_decode("\x81\x8D", -1, "windows-1252", "\xC2\x81\xC2\x8D", "WINDOWS-1252");
    check_decode("", 0, NULL, "", NULL);
    /* Nothing is dropped: NULs stay, broken bytes of UTF-8 are replaced and counted. */
    g_autoptr(GString) out = g_string_new(NULL);
    PdCharsetInfo info;
    pd_charset_decode((const guint8 *)"d\xC3\xA9j\xC3\xA0 \xFF vu\xC3\xA9", 14, NULL, out, &info);
    g_assert_cmpstr(out->str, ==, "déjà \xEF\xBF\xBD vué");
    g_assert_cmpuint(info.n_replaced, ==, 1);
    g_string_truncate(out, 0);
    pd_charset_decode((const guint8 *)"a\0b", 3, NULL, out, &info);
    g_assert_cmpmem(out->str, out->len, "a\0b", 3);
}

static void
check_sniff(const char *bytes, const char *name, const char *kind)
{
    g_assert_cmpstr(pd_sniff((const guint8 *)bytes, strlen(bytes), name), ==, kind);
}

static void
test_sniff(void)
{
    check_sniff("%PDF-1.7\n", "x", "pdf");
    check_sniff("if (starts(\"%PDF-1\"))", "x.c", "text");
    check_sniff("# v2 git bundle\n1234", "x", "git");
    check_sniff("From a@b Thu Jan  1 00:00:00 1970\nSubject: x\n\n", "x", "mbox");
    check_sniff("From Monday on it is closed.\nNo mail.\n", "x", "text");
    check_sniff("From: a@b\nSubject: x\n\nbody\n", "x", "eml");
    check_sniff("Received: by x\n\tid 5\nDate: now\n\nbody\n", "x.txt", "eml");
    check_sniff("Title: On keys\nDate: 2001\n\n# On keys\n", "x.md", "markdown");
    check_sniff("Subject: notes\nDate: 2001\n\nNotes.\n", "notes.txt", "text");
    check_sniff("  <!DOCTYPE html><p>x", "x", "html");
    check_sniff("# Head\n", "x.markdown", "markdown");
    check_sniff("{\\rtf1 x}", "x.rtf", "rtf");
    g_assert_null(pd_sniff((const guint8 *)"a\0b", 3, "x.txt"));
    g_assert_true(pd_is_envelope_line("From x@y Mon Feb  5 10:00:00 2001", 33));
    g_assert_false(pd_is_envelope_line("From Monday 5 Feb on, 2001 lamps.", 33));
}

static void
write_file(const char *folder, const char *name, const char *text, gssize n)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *dir = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, n, NULL));
}

static void
test_html(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "p.html", NULL);
    g_autoptr(GString) page = g_string_new(
        "<html><head><title>The  page</title><style>x{}</style></head><body><h1>Head</h1>"
        "<p>One <b>bold</b>\n word &amp; caf&eacute;.</p><p>Two<br>lines</p>"
        "<script>alert(1)</script><ul><li>a<li>b</ul>"
        "<p style='Display : None'>hide me</p><p hidden>and me</p>"
        "<table><tr><td>x<td>y</tr></table><pre>  keep\n  this</pre>"
        "<a href='http://x'>link</a>");
    for (int i = 0; i < 1000; i++)
        g_string_append(page, "<div>");
    g_string_append(page, "deep</body></html>");
    write_file(folder, "p.html", page->str, -1);
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_autofree char *text = collected_text(c);
    g_assert_cmpstr(text, ==,
                    "Head\n\nOne bold word & café.\n\nTwo\nlines\n\n- a\n- b\n\nx\ty\n\n"
                    "  keep\n  this\n\nlink\ndeep\n\n");
    g_assert_cmpstr(((PdDocument *)c->documents->pdata[0])->title, ==, "The  page");
    g_assert_true(collected_says(c, "hidden", "hidden text: 13 bytes"));
    /* Deeper than the limit: said, not silently gone. */
    PdReadLimits limits = pd_read_limits_default;
    limits.html_depth_max = 500;
    g_autoptr(Collected) cut = collect(path, NULL, &limits);
    g_assert_true(collected_says(cut, "partial", "limit of 500"));
    remove_folder(folder);
}

static void
test_folder(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    write_file(folder, "b.txt", "bee\n", -1);
    write_file(folder, "a/x.md", "# ex\n", -1);
    write_file(folder, "a/empty.txt", "", 0);
    write_file(folder, "z.png", "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\0\0\0", 29);
    g_autofree char *link = g_build_filename(folder, "out", NULL);
    g_assert_cmpint(symlink("/etc", link), ==, 0);
    g_autoptr(Collected) c = collect(folder, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 2);
    g_assert_cmpstr(((PdDocument *)c->documents->pdata[0])->key, ==, "a/x.md");
    g_assert_cmpint(((PdDocument *)c->documents->pdata[0])->kind, ==, PD_KIND_MARKDOWN);
    g_assert_cmpstr(((PdDocument *)c->documents->pdata[1])->key, ==, "b.txt");
    g_assert_true(collected_says(c, "skipped a/empty.txt", "empty"));
    g_assert_true(collected_says(c, "skipped z.png", "png"));
    g_assert_true(collected_says(c, "skipped out", "symbolic link"));
    g_assert_cmpuint(c->n_found, ==, 5);
    remove_folder(folder);
}

static void
test_refused(void)
{
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    g_autofree char *missing = g_build_filename(folder, "nowhere", NULL);
    g_autofree char *zip = g_build_filename(folder, "z.png", NULL);
    g_autofree char *big = g_build_filename(folder, "big.txt", NULL);
    write_file(folder, "z.png", "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\0\0\0", 29);
    write_file(folder, "big.txt", "0123456789", -1);
    g_autoptr(Collected) a = collect(missing, NULL, NULL);
    g_assert_error(a->error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(a->error->message, missing));
    g_autoptr(Collected) b = collect(zip, NULL, NULL);
    g_assert_error(b->error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(b->error->message, "PNG"));
    PdReadLimits limits = pd_read_limits_default;
    limits.file_bytes_max = 5;
    g_autoptr(Collected) c = collect(big, NULL, &limits);
    g_assert_error(c->error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT);
    g_assert_true(collected_says(c, "big.txt is too large", "limit is 5"));
    remove_folder(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/charsets", test_charsets);
    g_test_add_func("/text/sniff", test_sniff);
    g_test_add_func("/text/html", test_html);
    g_test_add_func("/text/folder", test_folder);
    g_test_add_func("/text/refused", test_refused);
    return g_test_run();
}
