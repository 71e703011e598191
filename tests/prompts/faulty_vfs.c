/* See faulty_vfs.h.  Everything is handed on; https://sqlite.org/c3ref/io_methods.html. */
#include "faulty_vfs.h"

#include <glib.h>

static FaultyVfsCheck check_call;
static sqlite3_vfs *system_vfs;

typedef struct {
    sqlite3_file base;
    sqlite3_file real[]; /* as large as the system's VFS needs */
} File;

static sqlite3_file *
real_of(sqlite3_file *file)
{
    return ((File *)(void *)file)->real;
}

#define REAL(file) real_of(file)->pMethods

static int
vfs_close(sqlite3_file *f)
{
    return REAL(f)->xClose(real_of(f));
}

static int
vfs_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    return REAL(f)->xRead(real_of(f), data, n, at);
}

static int
vfs_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    int rc = check_call();

    if (rc != SQLITE_OK)
        REAL(f)->xWrite(real_of(f), data, n / 2, at);
    return rc != SQLITE_OK ? rc : REAL(f)->xWrite(real_of(f), data, n, at);
}

static int
vfs_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    int rc = check_call();

    return rc != SQLITE_OK ? rc : REAL(f)->xTruncate(real_of(f), n);
}

static int
vfs_sync(sqlite3_file *f, int flags)
{
    int rc = check_call();

    return rc != SQLITE_OK ? rc : REAL(f)->xSync(real_of(f), flags);
}

static int
vfs_file_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return REAL(f)->xFileSize(real_of(f), n);
}

static int
vfs_lock(sqlite3_file *f, int level)
{
    return REAL(f)->xLock(real_of(f), level);
}

static int
vfs_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->xUnlock(real_of(f), level);
}

static int
vfs_check_lock(sqlite3_file *f, int *locked)
{
    return REAL(f)->xCheckReservedLock(real_of(f), locked);
}

static int
vfs_control(sqlite3_file *f, int op, void *argument)
{
    return REAL(f)->xFileControl(real_of(f), op, argument);
}

static int
vfs_sector_size(sqlite3_file *f)
{
    return REAL(f)->xSectorSize(real_of(f));
}

static int
vfs_characteristics(sqlite3_file *f)
{
    return REAL(f)->xDeviceCharacteristics(real_of(f));
}

static int
vfs_shm_map(sqlite3_file *f, int page, int n, int extend, void volatile **map)
{
    return REAL(f)->xShmMap(real_of(f), page, n, extend, map);
}

static int
vfs_shm_lock(sqlite3_file *f, int first, int n, int flags)
{
    return REAL(f)->xShmLock(real_of(f), first, n, flags);
}

static void
vfs_shm_barrier(sqlite3_file *f)
{
    REAL(f)->xShmBarrier(real_of(f));
}

static int
vfs_shm_unmap(sqlite3_file *f, int delete)
{
    return REAL(f)->xShmUnmap(real_of(f), delete);
}

static int
vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out_flags)
{
    static const sqlite3_io_methods methods = {
        2,
        vfs_close,
        vfs_read,
        vfs_write,
        vfs_truncate,
        vfs_sync,
        vfs_file_size,
        vfs_lock,
        vfs_unlock,
        vfs_check_lock,
        vfs_control,
        vfs_sector_size,
        vfs_characteristics,
        vfs_shm_map,
        vfs_shm_lock,
        vfs_shm_barrier,
        vfs_shm_unmap,
        NULL,
        NULL,
    };
    int rc = system_vfs->xOpen(system_vfs, name, real_of(f), flags, out_flags);

    f->pMethods = REAL(f) ? &methods : NULL;
    return rc;
}

void
faulty_vfs_register(FaultyVfsCheck check)
{
    static sqlite3_vfs vfs;

    check_call = check;
    system_vfs = sqlite3_vfs_find(NULL);
    vfs = *system_vfs;
    vfs.zName = "faulty";
    vfs.pNext = NULL;
    vfs.szOsFile += (int)sizeof(File);
    vfs.xOpen = vfs_open;
    g_assert_cmpint(sqlite3_vfs_register(&vfs, 1), ==, SQLITE_OK);
}
