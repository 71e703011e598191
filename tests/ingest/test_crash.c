/*
 * A reader that dies costs the message it died over, not the archive: the rest is read by another.
 */
#include "collect.h"

#include <string.h>

static void
test_restart(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *here = g_path_get_dirname(self);
    g_autofree char *fake = g_build_filename(here, "fake", NULL);
    pd_reader_set_dir(fake);
    g_autoptr(Collected) c = collect(PD_SOURCE_ROOT "/tests/golden/mail/sample.mbox", NULL, NULL);
    g_assert_no_error(c->error);
    g_assert_cmpuint(c->documents->len, ==, 3);
    g_assert_nonnull(collected_find(c, "m0"));
    g_assert_null(collected_find(c, "m1"));
    g_assert_nonnull(collected_find(c, "m2"));
    g_assert_true(collected_says(c, "failed m1", "the reader process"));
    /* What came whole of the last one is kept, and said to be incomplete. */
    const PdDocument *last = collected_find(c, "m3");
    g_assert_nonnull(last);
    g_assert_cmpuint(last->parts->len, ==, 1);
    g_assert_true(collected_says(c, "partial m3", "incomplete"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/crash/restart", test_restart);
    return g_test_run();
}
