/* pandect show: the stored bytes of a document, a part, or a range of it. */
#include <stdio.h>
#include <string.h>
#include "app/commands.h"
#include "app/json_out.h"
#include "ingest/corpus.h"
#include "ingest/error.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case show 12                the whole document\n"
    "  pandect -C case show 12:100-250        bytes 100 to 249 of a document of one part\n"
    "  pandect -C case show --part 31:0-80    bytes of one part (a page, a part of a mail)\n"
    "  pandect -C case show 12 --json         with the place in the source\n"
    "  pandect -C case show 12 --unmask       as the source has it, secrets included\n"
    "\n"
    "Numbers are those of `pandect ls` and of citations.  Into a pipe or file the bytes go "
    "exactly\n"
    "as they are stored; on a terminal control characters are made harmless.";

/* "12" or "12:100-250". */
typedef struct {
    gint64 id;
    gboolean has_range;
    guint32 start; /* bytes of what the model reads, as citations give them */
    guint32 end;
    gboolean unmask;
} Target;

static gboolean
parse_number(const char **at, guint64 max, guint64 *value)
{
    char *end;
    if (!g_ascii_isdigit(**at))
        return FALSE;
    *value = g_ascii_strtoull(*at, &end, 10);
    *at = end;
    return *value <= max;
}

static gboolean
parse_target(const char *text, Target *target)
{
    guint64 id, start, end;
    if (!parse_number(&text, G_MAXINT64, &id))
        return FALSE;
    *target = (Target){.id = (gint64)id};
    if (!*text)
        return TRUE;
    if (*text++ != ':' || !parse_number(&text, G_MAXUINT32, &start) || *text++ != '-' ||
        !parse_number(&text, G_MAXUINT32, &end) || *text || start > end)
        return FALSE;
    target->has_range = TRUE;
    target->start = (guint32)start;
    target->end = (guint32)end;
    return TRUE;
}

static void
print_bytes(PdApp *app, const char *bytes, gsize n)
{
    if (!app->stdout_is_tty) {
        fwrite(bytes, 1, n, stdout);
        return;
    }
    g_autofree char *safe = pd_terminal_safe(bytes, (gssize)n);
    fputs(safe, stdout);
    if (n && bytes[n - 1] != '\n')
        putchar('\n');
}

/* Bytes [start, end) of a part, or with `unmask` what they stand for. */
static GString *
bytes_of(const PdPartRow *part, guint32 start, guint32 end, gboolean unmask, GError **error)
{
    if (!unmask)
        return g_string_new_len(part->text + start, (gssize)(end - start));
    GString *bytes = pd_part_row_original(part, error);
    guint32 first = pd_text_view_start(part->view, start);
    if (bytes && end == start)
        return g_string_truncate(bytes, 0);
    if (bytes)
        g_string_erase(g_string_truncate(bytes, pd_text_view_end(part->view, end)), 0, first);
    return bytes;
}

/* The location's members, and the bytes as `text`. */
static gboolean
add_part_json(PdCorpus *corpus, const PdPartRow *part, guint32 start, guint32 end,
              const GString *bytes, JsonBuilder *json, GError **error)
{
    g_autofree char *place = pd_corpus_locate_json(corpus, part->id, start, end, error);
    g_autofree char *human = place ? pd_corpus_locate(corpus, part->id, start, end, error) : NULL;
    if (!human)
        return FALSE;
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!json_parser_load_from_data(parser, place, -1, error))
        return FALSE;
    JsonNode *root = json_parser_steal_root(parser);
    /* A range may begin inside a character: JSON holds text, the pipe holds bytes. */
    g_autofree char *text = g_utf8_make_valid(bytes->str, (gssize)bytes->len);
    json_object_set_string_member(json_node_get_object(root), "place", human);
    json_object_set_string_member(json_node_get_object(root), "text", text);
    json_builder_add_value(json, root);
    return TRUE;
}

static gboolean
show_part(PdApp *app, PdCorpus *corpus, const PdPartRow *part, const Target *target,
          gboolean several, JsonBuilder *json, GError **error)
{
    guint32 start = target->has_range ? target->start : 0;
    guint32 end = target->has_range ? target->end : (guint32)part->n_bytes;
    g_autofree char *place = pd_corpus_locate(corpus, part->id, start, end, error);
    if (!place)
        return FALSE; /* outside of the part */
    g_autoptr(GString) bytes = bytes_of(part, start, end, target->unmask, error);
    if (!bytes)
        return FALSE;
    if (json)
        return add_part_json(corpus, part, start, end, bytes, json, error);
    if (several && app->stdout_is_tty) {
        g_autofree char *safe = pd_terminal_safe(place, -1);
        printf("--- part %" G_GINT64_FORMAT ": %s\n", part->id, safe);
    }
    print_bytes(app, bytes->str, bytes->len);
    return TRUE;
}

static gboolean
show_document(PdApp *app, PdCorpus *corpus, const Target *target, JsonBuilder *json, GError **error)
{
    g_autoptr(GPtrArray) parts = pd_corpus_parts(corpus, target->id, error);
    if (!parts)
        return FALSE;
    if (parts->len == 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "%s: no document %" G_GINT64_FORMAT "; see: pandect ls", app->corpus_dir,
                    target->id);
        return FALSE;
    }
    if (target->has_range && parts->len > 1) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "document %" G_GINT64_FORMAT " has %u parts (%" G_GINT64_FORMAT
                    " and on); give a range of one: show --part N:START-END",
                    target->id, parts->len, ((PdPartRow *)g_ptr_array_index(parts, 0))->id);
        return FALSE;
    }
    for (guint i = 0; i < parts->len; i++)
        if (!show_part(app, corpus, g_ptr_array_index(parts, i), target, parts->len > 1, json,
                       error))
            return FALSE;
    return TRUE;
}

static gboolean
show_target(PdApp *app, gboolean is_part, const Target *target, JsonBuilder *json, GError **error)
{
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_READ, error);
    if (!corpus)
        return FALSE;
    if (!is_part)
        return show_document(app, corpus, target, json, error);
    g_autoptr(PdPartRow) part = pd_corpus_part(corpus, target->id, error);
    return part && show_part(app, corpus, part, target, FALSE, json, error);
}

int
pd_cmd_show(PdApp *app, int argc, char **argv)
{
    gboolean as_json = FALSE, unmask = FALSE;
    g_autofree char *part = NULL;
    int exit_code;
    Target target;
    const GOptionEntry entries[] = {
        {"part", 'p', 0, G_OPTION_ARG_STRING, &part, "A part instead of a document",
         "N[:START-END]"},
        {"unmask", 0, 0, G_OPTION_ARG_NONE, &unmask,
         "Also the secrets and hidden text that are masked", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "A JSON array: an object for each part", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    if (!pd_parse_options(entries, "ID[:START-END]", "Print stored bytes.", examples, &argc, &argv,
                          &exit_code))
        return exit_code;
    if (argc != (part ? 1 : 2))
        return pd_usage("show", "give one document (ID or ID:START-END), or --part N");
    if (!parse_target(part ? part : argv[1], &target))
        return pd_usage("show", "'%s' is no number or NUMBER:START-END; see: pandect ls",
                        part ? part : argv[1]);
    target.unmask = unmask;
    g_autoptr(JsonBuilder) json = as_json ? json_builder_new() : NULL;
    if (json)
        json_builder_begin_array(json);
    if (!show_target(app, part != NULL, &target, json, &error))
        return pd_fail(error);
    if (json) {
        json_builder_end_array(json);
        pd_json_print(json);
    }
    return PD_EXIT_OK;
}
