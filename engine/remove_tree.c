/* See remove_tree.h. */
#include "engine/remove_tree.h"

#include <glib.h>
#include <glib/gstdio.h>

void
pd_remove_tree(const char *path)
{
    g_autoptr(GDir) dir =
        g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        pd_remove_tree(child);
    }
    g_remove(path);
}
