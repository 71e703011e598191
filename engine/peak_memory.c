/* See peak_memory.h. */
#include "engine/peak_memory.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

guint64
pd_peak_memory_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (guint64)usage.ru_maxrss * 1024 : 0;
}

void
pd_peak_memory_reset(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "5", 1) != 1)
        g_debug("the peak of memory could not be reset");
    close(fd);
}
