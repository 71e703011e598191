/*
 * The number of CPUs this process may use: its affinity mask, cut to the CPU bandwidth quota of its
 * control group (Linux Documentation/admin-guide/cgroup-v2.rst, cpu.max; in version 1
 * cpu.cfs_quota_us / cpu.cfs_period_us).  Threads beyond the quota are stopped by the kernel in
 * the middle of an operation, and everyone else waits for them.
 */
#include "kernels/cpu/cores.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first bytes of a small file, as a string; false if it cannot be read. */
static int
read_text(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t n = fread(text, 1, size - 1, file);
    text[n] = '\0';
    fclose(file);
    return n > 0;
}

static int
ceil_ratio(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long long n = (quota - 1) / period + 1;
    return n > 1 << 16 ? 1 << 16 : (int)n;
}

int
pd_cores_of_cpu_max(const char *text)
{
    long long quota, period;
    return sscanf(text, "%lld %lld", &quota, &period) == 2 ? ceil_ratio(quota, period) : 0;
}

static int
smaller_limit(int a, int b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

/* Version 2: the tightest cpu.max from our own group up to the root. 0 = none. */
static int
cgroup_v2_limit(void)
{
    char groups[4096], path[4200 + 64], text[128];
    char *group = NULL;

    if (!read_text("/proc/self/cgroup", groups, sizeof groups))
        return 0;
    for (char *line = strtok(groups, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strncmp(line, "0::", 3) == 0)
            group = line + 3;
    if (group == NULL)
        return 0;

    int limit = 0;
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", strcmp(group, "/") ? group : "");
        if (read_text(path, text, sizeof text))
            limit = smaller_limit(limit, pd_cores_of_cpu_max(text));
        char *slash = strrchr(group, '/');
        if (slash == NULL || group[0] == '\0')
            return limit;
        *slash = '\0';
    }
}

static int
cgroup_v1_limit(void)
{
    char quota[64], period[64];
    if (!read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period))
        return 0;
    return ceil_ratio(atoll(quota), atoll(period));
}

/* The affinity mask can be wider than a cpu_set_t; grow until the kernel is content. */
static int
affinity_count(void)
{
    for (int n_cpus = CPU_SETSIZE; n_cpus <= 1 << 18; n_cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(n_cpus);
        if (set == NULL)
            break;
        size_t size = CPU_ALLOC_SIZE(n_cpus);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int
pd_cores(void)
{
    int n = affinity_count();
    n = smaller_limit(n, cgroup_v2_limit());
    return smaller_limit(n, cgroup_v1_limit());
}
