/*
 * See calendar.h.  Components are laid out as they end: one below the calendar as a block, one
 * inside of another (an alarm) as a line of that.  Lines of a block come in the order of `fields`,
 * the description last.
 */
#include "ingest/readers/calendar.h"

#include <string.h>

#include "ingest/readers/calendar_words.h"
#include "ingest/readers/content_lines.h"

/* A line of a component, in the text. */
typedef struct {
    const char *start;
    const char *end;
    guint rank; /* in `fields`; behind them: of no such name */
} Line;

typedef struct {
    char *name;
    GArray *lines;     /* Line */
    GString *inside;   /* lines for components in it */
    GHashTable *zones; /* set: what a time zone's components say; NULL: none yet */
} Component;

typedef struct {
    GString *out;
    GPtrArray *open; /* Component */
    guint64 n_files; /* in it, not read */
} Layout;

static void
component_free(gpointer data)
{
    Component *component = data;
    g_free(component->name);
    g_array_unref(component->lines);
    g_string_free(component->inside, TRUE);
    g_clear_pointer(&component->zones, g_hash_table_unref);
    g_free(component);
}

/* --- values -------------------------------------------------------------------------------- */

/* Words for what the standard has codes for; others stay as they are. */
typedef struct {
    const char *code;
    const char *words;
} Word;

static const char *
word_for(const Word *list, gsize n, const char *code)
{
    for (gsize i = 0; code && i < n; i++)
        if (g_ascii_strcasecmp(list[i].code, code) == 0)
            return list[i].words;
    return code;
}
#define WORD_FOR(list, code) word_for(list, G_N_ELEMENTS(list), code)

static const Word methods[] = {
    {"PUBLISH", "published"},
    {"REQUEST", "invitation"},
    {"REPLY", "answer"},
    {"CANCEL", "cancellation"},
    {"ADD", "more dates of an event"},
    {"REFRESH", "asks for the latest version"},
    {"COUNTER", "counter-proposal"},
    {"DECLINECOUNTER", "declines a counter-proposal"},
};
static const Word statuses[] = {
    {"TENTATIVE", "tentative"}, {"CONFIRMED", "confirmed"},
    {"CANCELLED", "cancelled"}, {"NEEDS-ACTION", "not begun"},
    {"COMPLETED", "completed"}, {"IN-PROCESS", "in process"},
    {"DRAFT", "draft"},         {"FINAL", "final"},
};
static const Word answers[] = {
    {"NEEDS-ACTION", "no answer"}, {"ACCEPTED", "accepted"},   {"DECLINED", "declined"},
    {"TENTATIVE", "tentative"},    {"DELEGATED", "delegated"}, {"COMPLETED", "completed"},
    {"IN-PROCESS", "in process"},
};
static const Word roles[] = {
    {"CHAIR", "chair"},
    {"REQ-PARTICIPANT", "required"},
    {"OPT-PARTICIPANT", "optional"},
    {"NON-PARTICIPANT", "for information"},
};
static const Word kinds[] = {
    {"INDIVIDUAL", "person"}, {"GROUP", "group"},     {"RESOURCE", "resource"},
    {"ROOM", "room"},         {"UNKNOWN", "unknown"},
};
static const Word busy[] = {{"OPAQUE", "busy"}, {"TRANSPARENT", "free"}};

static void
put_text(GString *out, const PdContentLine *line)
{
    pd_content_text(out, line->value, "\n  ");
}

static void
put_times(GString *out, const PdContentLine *line)
{
    const char *tzid = pd_content_param(line, "TZID");
    for (const char *at = line->value; at;) {
        const char *comma = strchr(at, ',');
        pd_calendar_time(out, at, comma ? (gsize)(comma - at) : strlen(at), tzid);
        if (comma)
            g_string_append(out, ", ");
        at = comma ? comma + 1 : NULL;
    }
    const char *kind = pd_content_param(line, "FBTYPE");
    const char *range = pd_content_param(line, "RANGE");
    if (kind)
        g_string_append_printf(out, " (%s)", kind);
    if (range)
        g_string_append(out, " and all later ones");
}

static void
put_rule(GString *out, const PdContentLine *line)
{
    pd_calendar_rule(out, line->value);
}

static void
put_method(GString *out, const PdContentLine *line)
{
    const char *words = WORD_FOR(methods, line->value);
    g_string_append(out, line->value);
    if (words != line->value)
        g_string_append_printf(out, " (%s)", words);
}

static void
put_status(GString *out, const PdContentLine *line)
{
    g_string_append(out, WORD_FOR(statuses, line->value));
}

static void
put_busy(GString *out, const PdContentLine *line)
{
    g_string_append(out, WORD_FOR(busy, line->value));
}

/* "mailto:kay@example.org" without the scheme. */
static const char *
address_of(const char *uri)
{
    return g_ascii_strncasecmp(uri, "mailto:", 7) == 0 ? uri + 7 : uri;
}

static void
put_param(GString *out, const char *before, const char *value)
{
    if (value && *value)
        g_string_append_printf(out, ", %s%s", before, value);
}

static void
put_person(GString *out, const PdContentLine *line)
{
    const char *name = pd_content_param(line, "CN"), *kind = pd_content_param(line, "CUTYPE");
    const char *sent_by = pd_content_param(line, "SENT-BY");
    const char *from = pd_content_param(line, "DELEGATED-FROM");
    const char *to = pd_content_param(line, "DELEGATED-TO");
    const char *address = address_of(line->value);
    if (name && *name && strcmp(name, address) != 0)
        g_string_append_printf(out, "%s <%s>", name, address);
    else
        g_string_append(out, address);
    put_param(out, "", WORD_FOR(answers, pd_content_param(line, "PARTSTAT")));
    put_param(out, "", WORD_FOR(roles, pd_content_param(line, "ROLE")));
    if (kind && g_ascii_strcasecmp(kind, "INDIVIDUAL") != 0)
        put_param(out, "", WORD_FOR(kinds, kind));
    put_param(out, "sent by ", sent_by ? address_of(sent_by) : NULL);
    put_param(out, "in place of ", from ? address_of(from) : NULL);
    put_param(out, "to ", to ? address_of(to) : NULL);
}

static gboolean
is_file(const PdContentLine *line)
{
    return pd_content_param_is(line, "ENCODING", "BASE64") ||
           pd_content_param_is(line, "VALUE", "BINARY");
}

static void
put_attached(GString *out, const PdContentLine *line)
{
    const char *name = pd_content_param(line, "FILENAME");
    const char *type = pd_content_param(line, "FMTTYPE");
    g_string_append(out, is_file(line) ? "a file that was not read" : line->value);
    put_param(out, "", name ? name : pd_content_param(line, "X-FILENAME"));
    put_param(out, "", type);
}

static const struct {
    const char *name;
    const char *label; /* NULL: left out */
    void (*put)(GString *out, const PdContentLine *line);
} fields[] = {
    {"VERSION", NULL, NULL},
    {"PRODID", NULL, NULL},
    {"CALSCALE", NULL, NULL},
    {"X-WR-CALNAME", "Calendar", put_text},
    {"NAME", "Calendar", put_text},
    {"METHOD", "Method", put_method},
    {"SUMMARY", NULL, NULL}, /* in the head of its block */
    {"STATUS", "Status", put_status},
    {"DTSTART", "Start", put_times},
    {"DTEND", "End", put_times},
    {"DUE", "Due", put_times},
    {"DURATION", "Duration", put_text},
    {"COMPLETED", "Completed", put_times},
    {"PERCENT-COMPLETE", "Percent complete", put_text},
    {"RECURRENCE-ID", "In place of the one of", put_times},
    {"RRULE", "Recurrence", put_rule},
    {"RDATE", "Also", put_times},
    {"EXDATE", "Not", put_times},
    {"EXRULE", "Not", put_rule},
    {"FREEBUSY", "Busy", put_times},
    {"LOCATION", "Location", put_text},
    {"ORGANIZER", "Organizer", put_person},
    {"ATTENDEE", "Attendee", put_person},
    {"CONTACT", "Contact", put_text},
    {"TRANSP", "Shown as", put_busy},
    {"CLASS", "Class", put_text},
    {"PRIORITY", "Priority", put_text},
    {"CATEGORIES", "Categories", put_text},
    {"RESOURCES", "Resources", put_text},
    {"URL", "Web page", put_text},
    {"CONFERENCE", "Conference", put_text},
    {"GEO", "Position", put_text},
    {"ATTACH", "Attached", put_attached},
    {"RELATED-TO", "Related to", put_text},
    {"REQUEST-STATUS", "What became of the request", put_text},
    {"UID", "UID", put_text},
    {"SEQUENCE", "Revision", put_text},
    {"CREATED", "Created", put_times},
    {"LAST-MODIFIED", "Changed", put_times},
    {"DTSTAMP", "Written", put_times},
    {"COMMENT", "Comment", put_text},
    {"DESCRIPTION", "Description", put_text},
};

/* --- blocks -------------------------------------------------------------------------------- */

static guint
rank_of(const char *at, gsize n)
{
    guint rank = 0;
    while (rank < G_N_ELEMENTS(fields) &&
           (strlen(fields[rank].name) != n || g_ascii_strncasecmp(fields[rank].name, at, n) != 0))
        rank++;
    return rank;
}

static gint
by_rank(gconstpointer a, gconstpointer b)
{
    const Line *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return (x->start > y->start) - (x->start < y->start);
}

static void
put_line(Layout *layout, const Line *at)
{
    g_autoptr(PdContentLine) line = pd_content_line_parse(at->start, at->end);
    gboolean known = at->rank < G_N_ELEMENTS(fields);
    if (!line || (known && !fields[at->rank].label) ||
        (!known && g_str_has_prefix(line->name, "X-")))
        return;
    layout->n_files += is_file(line);
    g_autoptr(GString) value = g_string_new(NULL);
    if (known)
        fields[at->rank].put(value, line);
    else
        put_text(value, line);
    if (value->len)
        g_string_append_printf(layout->out, "%s: %s\n", known ? fields[at->rank].label : line->name,
                               value->str);
}

/* The value of the first line of this name as it is given; NULL: it has none. */
static char *
given(const Component *component, const char *name)
{
    gsize n = strlen(name);
    for (guint i = 0; i < component->lines->len; i++) {
        const Line *at = &g_array_index(component->lines, Line, i);
        if (pd_content_name_length(at->start, at->end) != n ||
            g_ascii_strncasecmp(at->start, name, n) != 0)
            continue;
        g_autoptr(PdContentLine) line = pd_content_line_parse(at->start, at->end);
        if (line)
            return g_steal_pointer(&line->value);
    }
    return NULL;
}

/* What was collected of a component, in order. */
static void
put_lines(Layout *layout, Component *component)
{
    g_array_sort(component->lines, by_rank);
    for (guint i = 0; i < component->lines->len; i++)
        put_line(layout, &g_array_index(component->lines, Line, i));
    g_array_set_size(component->lines, 0);
    g_string_append_len(layout->out, component->inside->str, (gssize)component->inside->len);
    g_string_truncate(component->inside, 0);
}

static void
part_blocks(GString *out)
{
    if (out->len && !g_str_has_suffix(out->str, "\n\n"))
        g_string_append_c(out, '\n');
}

static void
put_block(Layout *layout, Component *component)
{
    static const Word heads[] = {
        {"VEVENT", "Event"},
        {"VTODO", "Task"},
        {"VJOURNAL", "Journal entry"},
        {"VFREEBUSY", "Busy times"},
        {"VAVAILABILITY", "Available times"},
    };
    g_autofree char *summary = given(component, "SUMMARY");
    part_blocks(layout->out);
    g_string_append_printf(layout->out, "%s:%s", WORD_FOR(heads, component->name),
                           summary && *summary ? " " : "");
    pd_content_text(layout->out, summary ? summary : "", " ");
    g_string_append_c(layout->out, '\n');
    put_lines(layout, component);
}

/* --- what is inside ------------------------------------------------------------------------ */

/* "standard time +0100", of a time zone. */
static void
add_offset(Component *zone, const Component *component)
{
    g_autofree char *offset = given(component, "TZOFFSETTO");
    gboolean in_summer = g_str_equal(component->name, "DAYLIGHT");
    g_autofree char *says =
        g_strdup_printf("%s time %s", in_summer ? "daylight" : "standard", offset ? offset : "");
    if (!zone->zones)
        zone->zones = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!offset || !g_hash_table_add(zone->zones, g_strdup(says)))
        return;
    g_string_append_printf(zone->inside, "%s%s", zone->inside->len ? ", " : "", says);
}

static void
put_zone(Layout *layout, const Component *zone)
{
    g_autofree char *name = given(zone, "TZID");
    g_string_append_printf(layout->out, "Time zone: %s (%s)\n", name ? name : "without a name",
                           zone->inside->str);
}

/* An alarm, or what comes from other programs, on a line of the component that it is in. */
static void
put_inside(Layout *layout, Component *parent, Component *component)
{
    gboolean alarm = g_str_equal(component->name, "VALARM");
    GString *outer = layout->out;
    g_autoptr(GString) says = g_string_new(NULL);
    layout->out = says;
    put_lines(layout, component);
    layout->out = outer;
    g_string_truncate(says, says->len - (says->len > 0));
    g_string_replace(says, "\n", "; ", 0);
    g_string_append_printf(parent->inside, "%s: %s\n", alarm ? "Alarm" : component->name,
                           says->str);
}

/* --- components ---------------------------------------------------------------------------- */

static void
begin_component(Layout *layout, const char *name, gsize n)
{
    Component *component = g_new0(Component, 1);
    component->name = g_strstrip(g_ascii_strup(name, (gssize)n));
    component->lines = g_array_new(FALSE, FALSE, sizeof(Line));
    component->inside = g_string_new(NULL);
    if (layout->open->len == 1) /* what is said of the calendar stands above its blocks */
        put_lines(layout, g_ptr_array_index(layout->open, 0));
    else if (layout->open->len == 0)
        part_blocks(layout->out);
    g_ptr_array_add(layout->open, component);
}

static void
end_component(Layout *layout)
{
    guint depth = layout->open->len;
    Component *component = depth ? g_ptr_array_index(layout->open, depth - 1) : NULL;
    Component *parent = depth > 1 ? g_ptr_array_index(layout->open, depth - 2) : NULL;
    if (!component)
        return;
    if (!parent)
        put_lines(layout, component);
    else if (g_str_equal(parent->name, "VTIMEZONE"))
        add_offset(parent, component);
    else if (depth > 2)
        put_inside(layout, parent, component);
    else if (g_str_equal(component->name, "VTIMEZONE"))
        put_zone(layout, component);
    else
        put_block(layout, component);
    g_ptr_array_set_size(layout->open, (gint)depth - 1);
}

static void
take_line(Layout *layout, const char *at, const char *line_end)
{
    gsize n = pd_content_name_length(at, line_end);
    if (n == 5 && g_ascii_strncasecmp(at, "BEGIN", 5) == 0)
        begin_component(layout, at + 6, (gsize)(line_end - at) - 6);
    else if (n == 3 && g_ascii_strncasecmp(at, "END", 3) == 0)
        end_component(layout);
    else if (n && layout->open->len) {
        Line line = {at, line_end, rank_of(at, n)};
        Component *component = g_ptr_array_index(layout->open, layout->open->len - 1);
        g_array_append_val(component->lines, line);
    }
}

gboolean
pd_calendar_read(const guint8 *bytes, gsize n, const char *label, PdEmitter *emitter,
                 const char *key, GString *out, GError **error)
{
    gboolean sound;
    g_autoptr(GString) text = g_string_new(NULL);
    if (!pd_content_decode(bytes, n, label, emitter, key, text, &sound, error))
        return FALSE;
    if (!sound) {
        g_string_append_len(out, text->str, (gssize)text->len);
        return TRUE;
    }
    g_autoptr(GPtrArray) open = g_ptr_array_new_with_free_func(component_free);
    Layout layout = {out, open, 0};
    const char *end = text->str + text->len;
    for (const char *at = text->str; at < end;) {
        const char *line_end = pd_content_line_end(at, end);
        take_line(&layout, at, line_end);
        at = line_end + 1;
    }
    while (open->len) /* the text was cut */
        end_component(&layout);
    if (pd_text_truncate(out, emitter->limits->text_bytes_max) &&
        !pd_emit_ledger(emitter, "partial", key, (gint64)n, error,
                        "what the calendar says was cut at the limit of %" G_GUINT64_FORMAT
                        " bytes",
                        emitter->limits->text_bytes_max))
        return FALSE;
    return !layout.n_files ||
           pd_emit_ledger(emitter, "partial", key, (gint64)n, error,
                          "%" G_GUINT64_FORMAT " %s in the calendar not read", layout.n_files,
                          layout.n_files == 1 ? "file" : "files");
}
