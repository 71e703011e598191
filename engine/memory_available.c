/*
 * How much memory is left, before it is asked for: the kernel's MemAvailable (proc(5)) and the
 * limit of the control group (cgroup v2: memory.max minus memory.current, whose reclaimable file
 * pages count as free).
 */
#include <stdio.h>
#include <string.h>
#include "engine/session_internal.h"

/* The number after `key` in a text of lines "key value". */
static gboolean
line_value(const char *text, const char *key, guint64 *value)
{
    const char *at = text;
    gsize n = strlen(key);
    while (at != NULL) {
        if (strncmp(at, key, n) == 0) {
            *value = g_ascii_strtoull(at + n, NULL, 10);
            return TRUE;
        }
        at = strchr(at, '\n');
        if (at != NULL)
            at++;
    }
    return FALSE;
}

static char *
group_file(const char *group, const char *name)
{
    g_autofree char *path = g_build_filename("/sys/fs/cgroup", group, name, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static guint64
group_available(void)
{
    g_autofree char *self = NULL;
    if (!g_file_get_contents("/proc/self/cgroup", &self, NULL, NULL))
        return G_MAXUINT64;
    const char *line = strstr(self, "0::");
    if (line == NULL || (line != self && line[-1] != '\n'))
        return G_MAXUINT64;
    g_autofree char *group = g_strndup(line + 3, strcspn(line + 3, "\n"));
    g_autofree char *max = group_file(group, "memory.max");
    g_autofree char *current = group_file(group, "memory.current");
    g_autofree char *stat = group_file(group, "memory.stat");
    if (max == NULL || current == NULL || !g_ascii_isdigit(max[0]))
        return G_MAXUINT64;
    guint64 limit = g_ascii_strtoull(max, NULL, 10);
    guint64 used = g_ascii_strtoull(current, NULL, 10), file = 0;
    if (stat != NULL)
        line_value(stat, "inactive_file ", &file);
    used -= MIN(used, file);
    return limit > used ? limit - used : 0;
}

guint64
pd_memory_available_bytes(void)
{
    g_autofree char *info = NULL;
    guint64 kib, available = G_MAXUINT64;
    if (g_file_get_contents("/proc/meminfo", &info, NULL, NULL) &&
        line_value(info, "MemAvailable:", &kib))
        available = kib * 1024;
    return MIN(available, group_available());
}
