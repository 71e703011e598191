/*
 * A reader that dies costs the message it died over, not the archive: the rest is read by another.
 */
#include "collect.h"

#include <string.h>

static void
test_restart(void)
{
    g_autoptr(Collected) c = collect(PD_SOURCE_ROOT "/tests/golden/mail/sample.mbox", NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 4);
    g_assert_nonnull(collected_find(c, "m0"));
    g_assert_null(collected_find(c, "m1"));
    g_assert_nonnull(collected_find(c, "m2"));
    g_assert_true(collected_says(c, "failed m1", "the reader process"));
    /* What came whole of one is kept, and said to be incomplete; all of one is only not checked. */
    const PdDocument *cut = collected_find(c, "m3");
    g_assert_nonnull(cut);
    g_assert_cmpuint(cut->parts->len, ==, 1);
    g_assert_true(collected_says(c, "partial m3", "incomplete"));
    const PdDocument *whole = collected_find(c, "m4");
    g_assert_nonnull(whole);
    g_assert_cmpuint(whole->parts->len, ==, 1);
    g_assert_true(collected_says(c, "note m4", "not wholly checked"));
    /* Every message has one outcome, whatever its reader says of it. */
    g_assert_true(collected_says(c, "failed m5", "neither a text nor a reason"));
    g_assert_true(collected_says(c, "skipped m6", "reason 0"));
    g_assert_true(collected_says(c, "note m6", "reason 1"));
    g_assert_cmpuint(c->n_found, ==, 7);
}

/* Files of a folder that are read together: each that kills the reader costs itself alone. */
static void
test_folder(void)
{
    static const char *const texts[][2] = {{"a.txt", "one"},
                                           {"b.txt", "die here"},
                                           {"c.txt", "three"},
                                           {"d.txt", "die too"},
                                           {"e.txt", "five"}};
    char *dir = g_dir_make_tmp("pandect-crash-XXXXXX", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *path = g_build_filename(dir, texts[i][0], NULL);
        g_assert_true(g_file_set_contents(path, texts[i][1], -1, NULL));
    }
    {
        g_autoptr(Collected) c = collect(dir, NULL, NULL);
        g_assert_no_error(c->error);
        g_assert_cmpuint(c->documents->len, ==, 3);
        for (gsize i = 0; i < 5; i += 2) {
            const PdDocument *document = g_ptr_array_index(c->documents, i / 2);
            const PdPart *part = g_ptr_array_index(document->parts, 0);
            g_assert_cmpstr(document->key, ==, texts[i][0]);
            g_assert_cmpstr(part->text->str, ==, texts[i][1]);
        }
        g_assert_true(collected_says(c, "failed b.txt", "the reader process"));
        g_assert_true(collected_says(c, "failed d.txt", "the reader process"));
    }
    /* A reader that dies before it begins: the files are given to readers of their own. */
    g_autofree char *first = g_build_filename(dir, "a.txt", NULL);
    g_assert_true(g_file_set_contents(first, "start", -1, NULL));
    g_autoptr(Collected) c = collect(dir, NULL, NULL);
    g_assert_cmpuint(c->documents->len, ==, 2);
    g_assert_nonnull(collected_find(c, "e.txt"));
    g_assert_true(collected_says(c, "a.txt", "the reader process"));
    g_assert_true(collected_says(c, "failed d.txt", "the reader process"));
    remove_folder(dir);
    g_free(dir);
}

/* Inside an archive too, where a large file has a reader of its own. */
static void
test_archive(void)
{
    g_autofree char *dir = g_dir_make_tmp("pandect-crash-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "case.tar", NULL);
    g_autofree char *large = g_strnfill(100u << 10, 'x');
    g_autoptr(GByteArray) tar = g_byte_array_new();
    memcpy(large, "die", 3);
    add_tar_member(tar, "a.txt", "one");
    add_tar_member(tar, "b.txt", "die here");
    add_tar_member(tar, "c.txt", "three");
    add_tar_member(tar, "d.txt", large);
    add_tar_member(tar, "e.txt", "five");
    g_assert_true(g_file_set_contents(path, (const char *)tar->data, (gssize)tar->len, NULL));
    g_autoptr(Collected) c = collect(path, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->n_found, ==, 5);
    g_assert_cmpuint(c->documents->len, ==, 3);
    g_assert_nonnull(collected_find(c, "a.txt"));
    g_assert_nonnull(collected_find(c, "c.txt"));
    g_assert_nonnull(collected_find(c, "e.txt"));
    g_assert_true(collected_says(c, "failed b.txt", "the reader process"));
    g_assert_true(collected_says(c, "failed d.txt", "the reader process"));
    remove_folder(dir);
}

/* Readers are started ahead of their turn; what comes of them is in the folder's order, whatever
 * becomes of the one before. */
static void
test_order(void)
{
    static const char *const keys[] = {"a.mbox!/m0", "a.mbox!/m2",   "a.mbox!/m3", "a.mbox!/m4",
                                       "b.txt",      "c.mbox!/m0",   "c.mbox!/m2", "c.mbox!/m3",
                                       "c.mbox!/m4", "d.tar!/x.txt", "e.txt",      "f.mbox!/m0"};
    g_autofree char *dir = g_dir_make_tmp("pandect-crash-XXXXXX", NULL);
    g_autoptr(GByteArray) tar = g_byte_array_new();
    g_autofree char *mbox = NULL;
    gsize n;
    add_tar_member(tar, "x.txt", "in the archive");
    g_assert_true(
        g_file_get_contents(PD_SOURCE_ROOT "/tests/golden/mail/sample.mbox", &mbox, &n, NULL));
    const struct {
        const char *name;
        const char *bytes;
        gsize n;
    } files[] = {{"a.mbox", mbox, n}, {"b.txt", "b", 1},
                 {"c.mbox", mbox, n}, {"d.tar", (const char *)tar->data, tar->len},
                 {"e.txt", "e", 1},   {"f.mbox", mbox, n}};
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(dir, files[i].name, NULL);
        g_assert_true(g_file_set_contents(path, files[i].bytes, (gssize)files[i].n, NULL));
    }
    g_autoptr(Collected) c = collect(dir, NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, G_N_ELEMENTS(keys) + 3);
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        g_assert_cmpstr(((PdDocument *)g_ptr_array_index(c->documents, i))->key, ==, keys[i]);
    g_assert_true(collected_says(c, "failed c.mbox!/m1", "the reader process"));
    remove_folder(dir);
}

/* What comes behind a document that was whole is read by another reader, once. */
static void
test_attached(void)
{
    g_autoptr(Collected) c = collect_text("t.pdf", "%PDF-1.7\n", NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 2);
    g_assert_cmpstr(document_part_text(collected_find(c, ""), "page/1"), ==, "words");
    g_assert_cmpstr(document_part_text(collected_find(c, "1:note.txt"), ""), ==, "Take a coat.");
    g_assert_true(collected_says(c, "note ", "not wholly checked"));
    g_assert_true(collected_says(c, "partial ", "the reader process"));
    g_assert_cmpuint(c->lines->len, ==, 2);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *here = g_path_get_dirname(self);
    g_autofree char *fake = g_build_filename(here, "fake", NULL);
    pd_reader_set_dir(fake);
    g_test_add_func("/crash/restart", test_restart);
    g_test_add_func("/crash/folder", test_folder);
    g_test_add_func("/crash/archive", test_archive);
    g_test_add_func("/crash/order", test_order);
    g_test_add_func("/crash/attached", test_attached);
    return g_test_run();
}
