/*
 * A corpus and its KV hold the texts of the user's documents, mail included: nobody else of this
 * machine gets to read them, whatever the umask says.
 */
#ifndef PD_PRIVATE_MODE_H
#define PD_PRIVATE_MODE_H

#include <glib.h>

#define PD_PRIVATE_DIR_MODE 0700
#define PD_PRIVATE_FILE_MODE 0600

/* An empty file, where none is, for a library to fill that would make one for all to read.  FALSE:
 * see errno (EEXIST among others). */
gboolean pd_create_private(const char *path);

/*
 * Take from group and others what they may do with a file or folder that was made with wider modes.
 * Only if it is ours: another user's, or what is not there, is left as it is.  The file is not
 * opened, so that locks which this process holds on it stay.
 */
void pd_make_private(const char *path);

#endif
