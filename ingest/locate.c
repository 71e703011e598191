/*
 * From bytes of a part back to the place in its source, for people and for programs.
 *
 * Lines are counted in the original text (from 1, a line ends after its LF), with nothing masked:
 * the file itself for repositories and plain text, the canonical text for mails and web pages.
 * Boxes of a PDF are those of the words that the range touches, joined to one rectangle per line of
 * text.  Of the change of a file people are told the lines of the file, on either side.
 */
#include <json-glib/json-glib.h>
#include <string.h>
#include "ingest/corpus_internal.h"
#include "ingest/diff_place.h"
#include "ingest/json_text.h"
#include "ingest/place.h"

typedef struct {
    PdPartRow *part;
    GString *original;
    guint32 start; /* the range, in bytes of the original */
    guint32 end;
    PdDocumentKind kind;
    char *source;
    char *key;
    char *title;
    char *author;
    char *recipients;
    gint64 date_utc;
    char *native_id;
    char *revision;
    char *parent_key;
    char **also; /* sources with the same mail */
    gint64 source_id;
    guint line_first;
    guint line_last;
    gint64 page;  /* from 1; 0: none */
    char *inside; /* an office document's own way of saying it; NULL: it has none */
} Place;

static void
place_free(Place *place)
{
    pd_part_row_free(place->part);
    if (place->original)
        g_string_free(place->original, TRUE);
    g_free(place->source);
    g_free(place->key);
    g_free(place->title);
    g_free(place->author);
    g_free(place->recipients);
    g_free(place->native_id);
    g_free(place->revision);
    g_free(place->parent_key);
    g_strfreev(place->also);
    g_free(place->inside);
    g_free(place);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Place, place_free)

#define PLACE_SQL                                                                                  \
    "SELECT d.kind, s.alias, d.key, d.title, d.author, d.recipients, d.date_utc, d.native_id,"     \
    " d.revision, d.parent_key, d.source_id FROM document d JOIN source s ON s.id = d.source_id "

static gboolean
fill_document(Place *place, PdCorpus *corpus, PdStmt *stmt, GError **error)
{
    int rc = pd_db_step(corpus, stmt, error);
    if (rc == SQLITE_DONE)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s: a part without its document; run: pandect verify", corpus->dir);
    if (rc != SQLITE_ROW)
        return FALSE;
    place->kind = pd_document_kind_from_name((const char *)sqlite3_column_text(stmt, 0));
    place->source = pd_db_text(stmt, 1);
    place->key = pd_db_text(stmt, 2);
    place->title = pd_db_text(stmt, 3);
    place->author = pd_db_text(stmt, 4);
    place->recipients = pd_db_text(stmt, 5);
    place->date_utc =
        sqlite3_column_type(stmt, 6) == SQLITE_NULL ? G_MININT64 : sqlite3_column_int64(stmt, 6);
    place->native_id = pd_db_text(stmt, 7);
    place->revision = pd_db_text(stmt, 8);
    place->parent_key = pd_db_text(stmt, 9);
    place->source_id = sqlite3_column_int64(stmt, 10);
    return TRUE;
}

/* The sources of the mails that duplicate.c takes for this one. */
static gboolean
find_copies(Place *place, PdCorpus *corpus, GError **error)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autoptr(PdStmt) stmt = pd_db_query(
        corpus, error,
        "SELECT DISTINCT s.alias FROM document o JOIN document d ON d.native_id = o.native_id"
        " AND d.parts_sha256 = o.parts_sha256 AND d.id <> o.id AND d.kind = 'mail'"
        " AND d.state = 'live' JOIN source s ON s.id = d.source_id AND s.id <> o.source_id"
        " WHERE o.id = ? AND o.kind = 'mail' AND o.native_id <> ''"
        " AND o.parts_sha256 <> zeroblob(32) ORDER BY s.id",
        "i", place->part->document_id);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW)
        g_strv_builder_add(builder, (const char *)sqlite3_column_text(stmt, 0));
    place->also = g_strv_builder_end(builder);
    return rc == SQLITE_DONE;
}

static guint
count_lines(const char *text, gsize from, gsize to)
{
    guint n = 0;
    for (const char *at = text + from, *end = text + to; (at = memchr(at, '\n', end - at)); at++)
        n++;
    return n;
}

/* A part of a document "(diff)/PATH". */
static gboolean
is_diff(const Place *place)
{
    return place->kind == PD_KIND_GIT_FILE && g_str_equal(place->part->path, "diff");
}

static Place *
find_place(PdCorpus *corpus, gint64 part_id, guint32 start, guint32 end, GError **error)
{
    g_autoptr(Place) place = g_new0(Place, 1);
    place->part = pd_corpus_part(corpus, part_id, error);
    if (!place->part)
        return NULL;
    if (start > end || end > place->part->n_bytes) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "part %" G_GINT64_FORMAT " has %" G_GSIZE_FORMAT
                    " bytes; %u-%u is not inside it",
                    part_id, place->part->n_bytes, start, end);
        return NULL;
    }
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, error, PLACE_SQL "WHERE d.id = ?", "i", place->part->document_id);
    if (!stmt || !fill_document(place, corpus, stmt, error) || !find_copies(place, corpus, error))
        return NULL;
    place->original = pd_part_row_original(place->part, error);
    if (!place->original)
        return NULL;
    place->start = pd_text_view_start(place->part->view, start);
    place->end = start == end ? place->start : pd_text_view_end(place->part->view, end);
    place->line_first = 1 + count_lines(place->original->str, 0, place->start);
    place->line_last = place->line_first;
    if (place->end > place->start) /* the LF that ends the last line belongs to it */
        place->line_last += count_lines(place->original->str, place->start, place->end - 1);
    if (g_str_has_prefix(place->part->path, "page/"))
        place->page = g_ascii_strtoll(place->part->path + strlen("page/"), NULL, 10);
    if (is_diff(place))
        place->inside = pd_diff_place(place->part->label, place->original->str,
                                      place->original->len, place->start, place->end);
    else
        place->inside = pd_part_place(place->kind, place->part->path, place->part->label,
                                      place->original->str, place->start, place->end);
    return g_steal_pointer(&place);
}

/* --- for people ---------------------------------------------------------------------------- */

static char *
line_range(const Place *place)
{
    return place->line_first == place->line_last
               ? g_strdup_printf("%u", place->line_first)
               : g_strdup_printf("%u-%u", place->line_first, place->line_last);
}

/* A single file has no key: the source's name stands for it. */
static const char *
file_name(const Place *place)
{
    return place->key[0] ? place->key : place->source;
}

/* The first recipient, and how many more: commas in quoted names and in brackets do not count. */
static char *
people(const char *list)
{
    guint n = 0;
    gboolean quoted = FALSE, bracket = FALSE;
    gsize first_end = 0;
    for (gsize i = 0;; i++) {
        char c = list[i];
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '<' || c == '>'))
            bracket = c == '<';
        else if (c == 0 || (c == ',' && !quoted && !bracket)) {
            if (n++ == 0)
                first_end = i;
            if (c == 0)
                break;
        }
    }
    g_autofree char *first = g_strndup(list, first_end);
    g_autofree char *name = pd_place_person(first);
    return n > 1 ? g_strdup_printf("%s and %u more", name, n - 1) : g_steal_pointer(&name);
}

/* "Kay to Lee, 2001-05-14, "Re: Q2"" */
static char *
mail_head(const Place *place)
{
    GString *out = g_string_new(NULL);
    g_autofree char *from =
        pd_place_person(place->author && place->author[0] ? place->author : "unknown");
    g_autofree char *date = pd_place_date(place->date_utc);
    g_string_append(out, from);
    if (place->recipients && place->recipients[0]) {
        g_autofree char *to = people(place->recipients);
        g_string_append_printf(out, " to %s", to);
    }
    if (date)
        g_string_append_printf(out, ", %s", date);
    g_string_append_printf(out, ", \"%s\"", place->title);
    return g_string_free(out, FALSE);
}

/* "<id@host>", however it is stored. */
static char *
message_id(const char *native_id)
{
    return native_id[0] == '<' ? g_strdup(native_id) : g_strdup_printf("<%s>", native_id);
}

static char *
locate_mail(const Place *place)
{
    g_autofree char *head = mail_head(place);
    g_autofree char *lines = line_range(place);
    g_autofree char *id = place->native_id ? message_id(place->native_id) : NULL;
    gboolean headers = g_str_equal(place->part->path, "headers");
    g_autofree char *also = g_strjoinv(", ", place->also);
    return g_strdup_printf("%s, %s%s, l. %s%s%s%s%s", head, headers ? "" : "part ",
                           place->part->path, lines, id ? " " : "", id ? id : "",
                           also[0] ? ", also in " : "", also);
}

/* " @ 3f2c1ab" of what lies in a repository. */
static char *
at_revision(const Place *place)
{
    return place->revision ? g_strdup_printf(" @ %.7s", place->revision) : g_strdup("");
}

static char *
locate_page(const Place *place)
{
    g_autofree char *revision = at_revision(place);
    g_autofree char *base = g_path_get_basename(file_name(place));
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, place->page);
    const char *label = place->part->label;
    if (!label || !label[0] || g_str_equal(label, number))
        return g_strdup_printf("%s, p. %s%s", base, number, revision);
    return g_strdup_printf("%s, p. %s (PDF %s)%s", base, label, number, revision);
}

static char *
locate_lines(const Place *place)
{
    g_autofree char *lines = line_range(place);
    const char *name = file_name(place);
    g_autofree char *revision = at_revision(place);
    if (is_diff(place)) {
        const char *path = strstr(name, "(diff)/");
        path = path ? path + strlen("(diff)/") : name;
        return place->inside ? g_strdup_printf("%s:%s", path, place->inside)
                             : g_strdup_printf("change of %s @ %.7s", path, place->revision);
    }
    if (place->inside)
        return g_strdup_printf("%s, %s%s", name, place->inside, revision);
    if (place->kind == PD_KIND_HTML || place->kind == PD_KIND_CALENDAR)
        return g_strdup_printf("%s, l. %s of its text%s", name, lines, revision);
    return g_strdup_printf("%s:%s%s", name, lines, revision);
}

/* The mail that an attachment came with; NULL if there is none. */
static char *
locate_parent(PdCorpus *corpus, const Place *place)
{
    g_autoptr(Place) parent = g_new0(Place, 1);
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, NULL,
                    PLACE_SQL "WHERE d.source_id = ? AND d.key = ? AND d.kind = 'mail'"
                              " ORDER BY d.state = 'live' DESC, d.id DESC LIMIT 1",
                    "it", place->source_id, place->parent_key);
    if (!stmt || !fill_document(parent, corpus, stmt, NULL))
        return NULL;
    g_autofree char *head = mail_head(parent);
    g_autofree char *id = parent->native_id ? message_id(parent->native_id) : g_strdup("");
    return g_strstrip(g_strdup_printf("%s %s", head, id));
}

char *
pd_corpus_locate(PdCorpus *corpus, gint64 part_id, guint32 start, guint32 end, GError **error)
{
    g_autoptr(Place) place = find_place(corpus, part_id, start, end, error);
    if (!place)
        return NULL;
    g_autofree char *own = place->kind == PD_KIND_MAIL ? locate_mail(place)
                           : place->page > 0           ? locate_page(place)
                                                       : locate_lines(place);
    g_autofree char *parent = place->parent_key ? locate_parent(corpus, place) : NULL;
    return parent ? g_strdup_printf("%s, attached to: %s", own, parent) : g_steal_pointer(&own);
}

/* --- for programs -------------------------------------------------------------------------- */

/* Do two words stand on one line?  Their heights overlap by half of the smaller one. */
static gboolean
same_line(const PdBox *a, const PdBox *b)
{
    float overlap = MIN(a->y1, b->y1) - MAX(a->y0, b->y0);
    return overlap > 0.5f * MIN(a->y1 - a->y0, b->y1 - b->y0);
}

static GArray *
merge_boxes(const Place *place)
{
    const PdPartRow *part = place->part;
    GArray *lines = g_array_new(FALSE, FALSE, sizeof(PdBox));
    for (guint i = 0; part->boxes && i < part->boxes->len; i++) {
        PdBox box = g_array_index(part->boxes, PdBox, i);
        if (box.end <= place->start || box.start >= place->end || box.end > place->original->len)
            continue;
        PdBox *last = lines->len ? &g_array_index(lines, PdBox, lines->len - 1) : NULL;
        gboolean joined = last && box.start >= last->end && same_line(last, &box) &&
                          !memchr(place->original->str + last->end, '\n', box.start - last->end);
        if (!joined) {
            g_array_append_val(lines, box);
            continue;
        }
        last->end = box.end;
        last->x0 = MIN(last->x0, box.x0);
        last->y0 = MIN(last->y0, box.y0);
        last->x1 = MAX(last->x1, box.x1);
        last->y1 = MAX(last->y1, box.y1);
    }
    return lines;
}

static void
add_boxes(JsonBuilder *json, const Place *place)
{
    json_builder_set_member_name(json, "boxes");
    if (!place->part->boxes) {
        json_builder_add_null_value(json);
        return;
    }
    g_autoptr(GArray) lines = merge_boxes(place);
    json_builder_begin_array(json);
    for (guint i = 0; i < lines->len; i++) {
        const PdBox *box = &g_array_index(lines, PdBox, i);
        json_builder_begin_array(json);
        json_builder_add_double_value(json, (double)box->x0);
        json_builder_add_double_value(json, (double)box->y0);
        json_builder_add_double_value(json, (double)box->x1);
        json_builder_add_double_value(json, (double)box->y1);
        json_builder_end_array(json);
    }
    json_builder_end_array(json);
}

static void
add_line_pair(JsonBuilder *json, const char *name, guint64 first, guint64 last)
{
    json_builder_set_member_name(json, name);
    if (!first) {
        json_builder_add_null_value(json);
        return;
    }
    json_builder_begin_array(json);
    json_builder_add_int_value(json, (gint64)first);
    json_builder_add_int_value(json, (gint64)last);
    json_builder_end_array(json);
}

/* Of the change of a file: the lines of both sides. */
static void
add_diff_lines(JsonBuilder *json, const Place *place)
{
    if (!is_diff(place))
        return;
    PdDiffLines lines =
        pd_diff_lines(place->original->str, place->original->len, place->start, place->end);
    const char *dots = place->part->label ? strstr(place->part->label, "..") : NULL;
    g_autofree char *base =
        dots ? g_strndup(place->part->label, (gsize)(dots - place->part->label)) : NULL;
    pd_json_string(json, "base", base);
    add_line_pair(json, "base_lines", lines.old_first, lines.old_last);
    add_line_pair(json, "revision_lines", lines.new_first, lines.new_last);
}

char *
pd_corpus_locate_json(PdCorpus *corpus, gint64 part_id, guint32 start, guint32 end, GError **error)
{
    g_autoptr(Place) place = find_place(corpus, part_id, start, end, error);
    if (!place)
        return NULL;
    gboolean git = place->kind == PD_KIND_GIT_FILE, mail = place->kind == PD_KIND_MAIL;
    g_autoptr(JsonBuilder) json = json_builder_new();
    json_builder_begin_object(json);
    pd_json_string(json, "kind", pd_document_kind_name(place->kind));
    pd_json_string(json, "source", place->source);
    pd_json_int(json, "document", place->part->document_id);
    pd_json_int(json, "part", place->part->id);
    pd_json_string(json, "key", place->key);
    pd_json_string(json, "parent_key", place->parent_key);
    pd_json_string(json, "title", place->title);
    pd_json_string(json, "revision", place->revision);
    pd_json_string(json, "blob", git ? place->native_id : NULL);
    pd_json_int(json, "start", start);
    pd_json_int(json, "end", end);
    json_builder_set_member_name(json, "original");
    json_builder_begin_array(json);
    json_builder_add_int_value(json, place->start);
    json_builder_add_int_value(json, place->end);
    json_builder_end_array(json);
    json_builder_set_member_name(json, "lines");
    json_builder_begin_array(json);
    json_builder_add_int_value(json, place->line_first);
    json_builder_add_int_value(json, place->line_last);
    json_builder_end_array(json);
    add_diff_lines(json, place);
    pd_json_strings(json, "also", place->also, g_strv_length(place->also));
    json_builder_set_member_name(json, "page");
    if (place->page > 0)
        json_builder_add_int_value(json, place->page);
    else
        json_builder_add_null_value(json);
    pd_json_string(json, "label", place->part->label);
    pd_json_string(json, "place", place->inside);
    add_boxes(json, place);
    g_autofree char *id = mail && place->native_id ? message_id(place->native_id) : NULL;
    pd_json_string(json, "message_id", id);
    pd_json_string(json, "mime_part", mail ? place->part->path : NULL);
    json_builder_end_object(json);
    return pd_json_built(json);
}
