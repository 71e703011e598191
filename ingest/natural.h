/* Paths in the order in which people count. */
#ifndef PD_NATURAL_H
#define PD_NATURAL_H

#include <glib.h>

/* By folder and name, "file2" before "file10".  0: the same path. */
int pd_natural_compare_paths(const char *a, const char *b);
/* How many folders it names. */
guint pd_path_depth(const char *path);

#endif
