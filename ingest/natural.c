/* See natural.h. */
#include "ingest/natural.h"

#include <string.h>

/* Runs of digits by their value, however long; *a and *b go behind them.  *tie: what zeros before
 * equal ones say, unless something before did. */
static int
compare_numbers(const char **a, const char **b, int *tie)
{
    gsize zeros_a = strspn(*a, "0"), zeros_b = strspn(*b, "0");
    *a += zeros_a;
    *b += zeros_b;
    gsize n_a = strspn(*a, "0123456789"), n_b = strspn(*b, "0123456789");
    int by_value = n_a != n_b ? (n_a > n_b) - (n_a < n_b) : strncmp(*a, *b, n_a);
    *a += n_a;
    *b += n_b;
    if (!*tie)
        *tie = (zeros_a > zeros_b) - (zeros_a < zeros_b);
    return by_value;
}

int
pd_natural_compare_paths(const char *a, const char *b)
{
    int tie = 0; /* "1" comes before "01", with all that lies in it */
    while (*a || *b) {
        if (g_ascii_isdigit(*a) && g_ascii_isdigit(*b)) {
            int by_value = compare_numbers(&a, &b, &tie);
            if (by_value)
                return by_value;
            continue;
        }
        /* What lies in a folder stands together: before its name with something behind it. */
        guchar c_a = *a == '/' ? 1 : (guchar)*a, c_b = *b == '/' ? 1 : (guchar)*b;
        if (c_a != c_b)
            return (int)c_a - (int)c_b;
        if (*a == '/' && tie)
            return tie;
        a++;
        b++;
    }
    return tie;
}

guint
pd_path_depth(const char *path)
{
    guint depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}
