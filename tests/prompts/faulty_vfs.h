/* An SQLite VFS over the system's own whose writes, syncs and truncations of any file go wrong on
 * demand. */
#ifndef FAULTY_VFS_H
#define FAULTY_VFS_H

#include <sqlite3.h>

/* Called before each; SQLITE_OK: it is done as asked.  Of a write that fails half is done. */
typedef int (*FaultyVfsCheck)(void);

/* Make it the default of connections opened from now on. */
void faulty_vfs_register(FaultyVfsCheck check);

#endif
