/* Where in a change of a file, as git diff shows it, a range of its text lies: on both sides. */
#ifndef PD_DIFF_PLACE_H
#define PD_DIFF_PLACE_H

#include <glib.h>

/* From 1; first 0: none of the range's lines is of that side. */
typedef struct {
    guint64 old_first, old_last;
    guint64 new_first, new_last;
} PdDiffLines;

/* Of bytes [start, end) of a text in git's unified format ("@@ -3,7 +3,8 @@"). */
PdDiffLines pd_diff_lines(const char *text, gsize n, gsize start, gsize end);

/* The same for people, without the file's name.  `range`: the ids of both commits, "BASE..COMMIT".
 *   12-14 @ 3f2c1ab, before: 10-11 @ 9a8b7c6
 *   12 @ 3f2c1ab, added
 *   10 @ 9a8b7c6, removed
 * NULL: the range is of no line of either.  Free with g_free. */
char *pd_diff_place(const char *range, const char *text, gsize n, gsize start, gsize end);

#endif
