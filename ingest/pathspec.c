/* See pathspec.h. */
#include "ingest/pathspec.h"

#include <fnmatch.h>
#include <string.h>

#include "ingest/error.h"

typedef struct {
    char *text; /* without magic; "" fits everything */
    gboolean literal;
    gboolean icase;
    gboolean glob;
    gboolean exclude;
} Pattern;

struct PdPathspec {
    GPtrArray *include; /* Pattern, none with `exclude` */
    GPtrArray *exclude;
};

static void
pattern_free(gpointer data)
{
    Pattern *pattern = data;
    if (!pattern)
        return;
    g_free(pattern->text);
    g_free(pattern);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pattern, pattern_free)

void
pd_pathspec_free(PdPathspec *pathspec)
{
    if (!pathspec)
        return;
    g_ptr_array_unref(pathspec->include);
    g_ptr_array_unref(pathspec->exclude);
    g_free(pathspec);
}

/* --- patterns --------------------------------------------------------------------------------- */

static gboolean
set_magic(Pattern *pattern, const char *word)
{
    if (strcmp(word, "top") == 0 || !*word)
        return TRUE; /* every path is from the top */
    gboolean *flag = strcmp(word, "literal") == 0   ? &pattern->literal
                     : strcmp(word, "icase") == 0   ? &pattern->icase
                     : strcmp(word, "glob") == 0    ? &pattern->glob
                     : strcmp(word, "exclude") == 0 ? &pattern->exclude
                                                    : NULL;
    if (flag)
        *flag = TRUE;
    return flag != NULL;
}

/* Reads the magic before a pattern; where the pattern itself begins, or NULL. */
static const char *
read_magic(Pattern *pattern, const char *text)
{
    if (text[0] != ':')
        return text;
    if (text[1] == '(') {
        const char *end = strchr(text, ')');
        g_autofree char *list = end ? g_strndup(text + 2, (gsize)(end - text - 2)) : NULL;
        g_auto(GStrv) words = list ? g_strsplit(list, ",", -1) : NULL;
        gboolean ok = words != NULL;
        for (guint i = 0; ok && words[i]; i++)
            ok = set_magic(pattern, words[i]);
        return ok && !(pattern->literal && pattern->glob) ? end + 1 : NULL;
    }
    for (text++; *text && strchr("/!^", *text); text++)
        pattern->exclude |= *text != '/';
    return *text == ':' ? text + 1 : text;
}

/* "./a//b/." as "a/b"; a slash at the end stays, since it asks for a folder. */
static char *
normalise(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) steps = g_strsplit(text, "/", -1);
    for (guint i = 0; steps[i]; i++) {
        if (strcmp(steps[i], ".") == 0 || !*steps[i])
            continue;
        g_string_append_printf(out, "%s%s", out->len ? "/" : "", steps[i]);
    }
    if (out->len && g_str_has_suffix(text, "/"))
        g_string_append_c(out, '/');
    return g_strdup(out->str);
}

static gboolean
leads_out(const char *text)
{
    g_auto(GStrv) steps = g_strsplit(text, "/", -1);
    return g_strv_contains((const char *const *)steps, "..");
}

static Pattern *
pattern_new(const char *text, GError **error)
{
    g_autoptr(Pattern) pattern = g_new0(Pattern, 1);
    const char *body = *text ? read_magic(pattern, text) : NULL;
    if (!body || leads_out(body)) {
        g_set_error(
            error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
            "\"%s\" is no pattern of paths: git's pathspecs are understood, from the top of "
            "the source, with the magic words top, literal, icase, glob and exclude",
            text);
        return NULL;
    }
    pattern->text = normalise(body);
    return g_steal_pointer(&pattern);
}

/* --- matching --------------------------------------------------------------------------------- */

/* The pattern as a file's name, or that of a folder above it. */
static gboolean
fits_literally(const Pattern *pattern, const char *path)
{
    gsize n = strlen(pattern->text);
    int differs = pattern->icase ? g_ascii_strncasecmp(pattern->text, path, n)
                                 : strncmp(pattern->text, path, n);
    return !n || (!differs && (pattern->text[n - 1] == '/' || !path[n] || path[n] == '/'));
}

/* Steps of a path against steps of a pattern, in which "**" stands for any number.  Work is at most
 * the product of their numbers: a "**" behind another takes over. */
static gboolean
fits_steps(char **pattern, char **path, int flags)
{
    char **star = NULL, **resume = NULL;
    while (*path) {
        if (*pattern && strcmp(*pattern, "**") == 0) {
            star = pattern++;
            resume = path;
        } else if (*pattern && fnmatch(*pattern, *path, flags) == 0) {
            pattern++;
            path++;
        } else if (star) {
            pattern = star + 1;
            path = ++resume;
        } else {
            return FALSE;
        }
    }
    /* "a/" followed by "**" wants something inside. */
    return !*pattern;
}

static gboolean
fits(const Pattern *pattern, const char *path)
{
    int flags = pattern->icase ? FNM_CASEFOLD : 0;
    if (fits_literally(pattern, path))
        return TRUE;
    if (pattern->literal || !strpbrk(pattern->text, "*?[\\"))
        return FALSE;
    if (!pattern->glob)
        return fnmatch(pattern->text, path, flags) == 0;
    g_auto(GStrv) steps = g_strsplit(pattern->text, "/", -1);
    g_auto(GStrv) path_steps = g_strsplit(path, "/", -1);
    return fits_steps(steps, path_steps, flags);
}

static gboolean
fits_one(const GPtrArray *patterns, const char *path)
{
    for (guint i = 0; i < patterns->len; i++) {
        if (fits(g_ptr_array_index(patterns, i), path))
            return TRUE;
    }
    return FALSE;
}

PdPathspec *
pd_pathspec_new(const char *const *include, const char *const *exclude, GError **error)
{
    g_autoptr(PdPathspec) pathspec = g_new0(PdPathspec, 1);
    pathspec->include = g_ptr_array_new_with_free_func(pattern_free);
    pathspec->exclude = g_ptr_array_new_with_free_func(pattern_free);
    for (; include && *include; include++) {
        Pattern *pattern = pattern_new(*include, error);
        if (!pattern)
            return NULL;
        g_ptr_array_add(pattern->exclude ? pathspec->exclude : pathspec->include, pattern);
    }
    for (; exclude && *exclude; exclude++) {
        Pattern *pattern = pattern_new(*exclude, error);
        if (!pattern)
            return NULL;
        g_ptr_array_add(pathspec->exclude, pattern);
    }
    return g_steal_pointer(&pathspec);
}

gboolean
pd_pathspec_wants(const PdPathspec *pathspec, const char *path)
{
    return (!pathspec->include->len || fits_one(pathspec->include, path)) &&
           !fits_one(pathspec->exclude, path);
}

gboolean
pd_pathspec_wants_all(const PdPathspec *pathspec)
{
    return !pathspec->include->len && !pathspec->exclude->len;
}
