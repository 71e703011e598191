/* See content_lines.h. */
#include "ingest/readers/content_lines.h"

#include <string.h>

void
pd_content_line_free(PdContentLine *line)
{
    if (!line)
        return;
    g_free(line->name);
    g_free(line->value);
    g_ptr_array_unref(line->params);
    g_free(line);
}

/* The lines in one piece, LF at the end of each.  Before characters are decoded, since a line may
 * be folded inside of one. */
static GByteArray *
unfold(const guint8 *bytes, gsize n)
{
    GByteArray *out = g_byte_array_sized_new((guint)n);
    for (gsize at = 0; at < n;) {
        const guint8 *lf = memchr(bytes + at, '\n', n - at);
        gsize end = lf ? (gsize)(lf - bytes) : n, next = lf ? end + 1 : n;
        gboolean folds = next < n && (bytes[next] == ' ' || bytes[next] == '\t');
        if (end > at && bytes[end - 1] == '\r')
            end--;
        g_byte_array_append(out, bytes + at, (guint)(end - at));
        if (folds)
            next++;
        else
            g_byte_array_append(out, (const guint8 *)"\n", 1);
        at = next;
    }
    return out;
}

const char *
pd_content_line_end(const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (gsize)(end - at));
    return lf ? lf : end;
}

gsize
pd_content_name_length(const char *at, const char *line_end)
{
    const char *c = at;
    while (c < line_end && (g_ascii_isalnum(*c) || *c == '-' || *c == '_'))
        c++;
    return c < line_end && (*c == ':' || *c == ';') ? (gsize)(c - at) : 0;
}

/* RFC 6868: what a parameter's value cannot hold otherwise. */
static char *
param_value(const char *at, gsize n)
{
    GString *value = g_string_sized_new(n);
    for (gsize i = 0; i < n; i++) {
        char next = at[i] == '^' && i + 1 < n ? at[i + 1] : 0;
        if (at[i] == '"')
            continue;
        if (next == '^' || next == 'n' || next == '\'') {
            g_string_append_c(value, next == 'n' ? ' ' : next == '\'' ? '"' : '^');
            i++;
        } else
            g_string_append_c(value, at[i]);
    }
    return g_string_free(value, FALSE);
}

/* From the ";" at `at` to the next one or the ":"; what has no name is left out. */
static const char *
parse_param(PdContentLine *line, const char *at, const char *line_end)
{
    const char *start = ++at, *equals = NULL;
    gboolean quoted = FALSE;
    for (; at < line_end && (quoted || (*at != ';' && *at != ':')); at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (*at == '=' && !quoted && !equals)
            equals = at;
    }
    if (equals) {
        g_ptr_array_add(line->params, g_ascii_strup(start, equals - start));
        g_ptr_array_add(line->params, param_value(equals + 1, (gsize)(at - equals - 1)));
    }
    return at;
}

PdContentLine *
pd_content_line_parse(const char *at, const char *line_end)
{
    gsize n = pd_content_name_length(at, line_end);
    if (!n)
        return NULL;
    g_autoptr(PdContentLine) line = g_new0(PdContentLine, 1);
    line->name = g_ascii_strup(at, (gssize)n);
    line->params = g_ptr_array_new_with_free_func(g_free);
    at += n;
    while (at < line_end && *at == ';')
        at = parse_param(line, at, line_end);
    if (at == line_end) /* a quotation mark without its end */
        return NULL;
    line->value = g_strndup(at + 1, (gsize)(line_end - at - 1));
    return g_steal_pointer(&line);
}

const char *
pd_content_param(const PdContentLine *line, const char *name)
{
    for (guint i = 0; i + 1 < line->params->len; i += 2)
        if (g_str_equal(g_ptr_array_index(line->params, i), name))
            return g_ptr_array_index(line->params, i + 1);
    return NULL;
}

gboolean
pd_content_param_is(const PdContentLine *line, const char *name, const char *value)
{
    const char *has = pd_content_param(line, name);
    return has && g_ascii_strcasecmp(has, value) == 0;
}

void
pd_content_text(GString *out, const char *value, const char *between)
{
    for (const char *c = value; *c; c++) {
        if (*c != '\\' || !c[1]) {
            g_string_append_c(out, *c);
            continue;
        }
        c++;
        if (*c == 'n' || *c == 'N')
            g_string_append(out, between);
        else if (strchr("\\;,:\"", *c))
            g_string_append_c(out, *c);
        else
            g_string_append_printf(out, "\\%c", *c);
    }
}

/* --- whole objects ------------------------------------------------------------------------- */

/* "BEGIN:VEVENT" with the name of the component; NULL: the line is another. */
static char *
component_of(const char *at, const char *line_end, const char *begin_or_end)
{
    gsize n = strlen(begin_or_end);
    if ((gsize)(line_end - at) <= n || at[n] != ':' || g_ascii_strncasecmp(at, begin_or_end, n))
        return NULL;
    return g_strstrip(g_ascii_strup(at + n + 1, line_end - at - (gssize)n - 1));
}

/* *line: the first one, from 1, that is not.  Components in components, deeper than `depth_max`,
 * are not sound. */
static gboolean
is_sound(const GByteArray *unfolded, guint depth_max, guint *line)
{
    g_autoptr(GPtrArray) open = g_ptr_array_new_with_free_func(g_free);
    const char *at = (const char *)unfolded->data, *end = at + unfolded->len;
    gboolean sound = unfolded->len > 0;
    *line = 0;
    if (unfolded->len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (sound && at < end) {
        const char *line_end = pd_content_line_end(at, end);
        g_autofree char *begins = component_of(at, line_end, "BEGIN");
        g_autofree char *ends = component_of(at, line_end, "END");
        ++*line;
        if (begins) {
            sound = open->len < depth_max && (open->len || g_str_equal(begins, "VCALENDAR"));
            g_ptr_array_add(open, g_steal_pointer(&begins));
        } else if (ends) {
            sound = open->len && g_str_equal(open->pdata[open->len - 1], ends);
            g_ptr_array_set_size(open, (gint)open->len - (sound ? 1 : 0));
        } else if (line_end > at)
            sound = open->len && pd_content_name_length(at, line_end) &&
                    !memchr(at, 0, (gsize)(line_end - at));
        at = line_end + 1;
    }
    return sound && !open->len;
}

gboolean
pd_content_decode(const guint8 *bytes, gsize n, const char *label, PdEmitter *emitter,
                  const char *key, GString *out, gboolean *sound, GError **error)
{
    guint line;
    g_autoptr(GByteArray) unfolded = unfold(bytes, n);
    *sound = is_sound(unfolded, emitter->limits->section_depth_max, &line);
    if (*sound)
        return pd_decode_text(emitter, key, unfolded->data, unfolded->len, label, out, error);
    return pd_decode_text(emitter, key, bytes, n, label, out, error) &&
           pd_emit_ledger(emitter, "note", key, (gint64)n, error,
                          "a calendar that is malformed (line %u, folded lines counted as one): "
                          "kept as it is",
                          line);
}
