/* Tests clean up after themselves: a file or folder with all in it; links are not followed. */
#ifndef PD_REMOVE_TREE_H
#define PD_REMOVE_TREE_H

#include <glib.h>
#include <glib/gstdio.h>

static inline void
remove_tree(const char *path)
{
    g_autoptr(GDir) dir =
        g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    g_remove(path);
}

#endif
