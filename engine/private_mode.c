/* See private_mode.h. */
#include "engine/private_mode.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean
pd_create_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, PD_PRIVATE_FILE_MODE);

    return fd >= 0 && close(fd) == 0;
}

void
pd_make_private(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) != 0)
        (void)chmod(path, st.st_mode & 0700);
}
