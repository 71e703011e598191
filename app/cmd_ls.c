/* pandect ls: the documents of the corpus. */
#include <stdio.h>
#include "app/commands.h"
#include "app/json_out.h"
#include "ingest/corpus.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case ls\n"
    "  pandect -C case ls lua.bundle\n"
    "  pandect -C case ls --json | jq '.[].tokens'\n"
    "\n"
    "The number in front is the document's: see `pandect show`.  What was not\n"
    "read, and why: `pandect ledger`.";

static char *
date_of(gint64 date_utc)
{
    g_autoptr(GDateTime) when =
        date_utc == G_MININT64 ? NULL : g_date_time_new_from_unix_utc(date_utc);
    return when ? g_date_time_format_iso8601(when) : NULL;
}

static void
print_row(const PdDocumentRow *row)
{
    const char *name = row->kind == PD_KIND_MAIL || !row->key[0] ? row->title : row->key;
    g_autofree char *date = row->kind == PD_KIND_MAIL ? date_of(row->date_utc) : NULL;
    g_autofree char *same =
        row->duplicate_of
            ? g_strdup_printf(" (the same as %" G_GINT64_FORMAT ")", row->duplicate_of)
            : NULL;
    g_autofree char *line = g_strdup_printf(
        "%6" G_GINT64_FORMAT "  %-8s %9" G_GUINT64_FORMAT " tok %10" G_GUINT64_FORMAT
        " B  %s: %s%s%.10s%s%s%s",
        row->id, pd_document_kind_name(row->kind), row->n_tokens, row->n_bytes, row->source, name,
        date ? ", " : "", date ? date : "", row->kind == PD_KIND_MAIL && row->author ? ", " : "",
        row->kind == PD_KIND_MAIL && row->author ? row->author : "", same ? same : "");
    g_autofree char *safe = pd_terminal_safe(line, -1);
    g_strdelimit(safe, "\n", ' ');
    puts(safe);
}

static void
add_row_json(JsonBuilder *json, const PdDocumentRow *row)
{
    g_autofree char *date = date_of(row->date_utc);
    json_builder_begin_object(json);
    pd_json_int(json, "id", row->id);
    pd_json_string(json, "source", row->source);
    pd_json_string(json, "kind", pd_document_kind_name(row->kind));
    pd_json_string(json, "key", row->key);
    pd_json_string(json, "title", row->title);
    pd_json_string(json, "author", row->author);
    pd_json_string(json, "recipients", row->recipients);
    pd_json_string(json, "date", date);
    pd_json_string(json, "native_id", row->native_id);
    pd_json_string(json, "revision", row->revision);
    pd_json_int(json, "parts", row->n_parts);
    pd_json_int(json, "bytes", (gint64)row->n_bytes);
    pd_json_int(json, "tokens", (gint64)row->n_tokens);
    json_builder_set_member_name(json, "duplicate_of");
    if (row->duplicate_of)
        json_builder_add_int_value(json, row->duplicate_of);
    else
        json_builder_add_null_value(json);
    json_builder_end_object(json);
}

static gboolean
list_documents(PdCorpus *corpus, const char *source, JsonBuilder *json, GError **error)
{
    g_autoptr(GPtrArray) rows = pd_corpus_documents(corpus, NULL, error);
    guint64 n_tokens = 0, n_bytes = 0;
    guint n = 0;
    if (!rows)
        return FALSE;
    for (guint i = 0; i < rows->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(rows, i);
        if (source && !g_str_equal(source, row->source))
            continue;
        if (json)
            add_row_json(json, row);
        else
            print_row(row);
        n++;
        n_tokens += row->duplicate_of ? 0 : row->n_tokens; /* read once */
        n_bytes += row->n_bytes;
    }
    if (!json)
        printf("%u documents, %" G_GUINT64_FORMAT " tokens, %" G_GUINT64_FORMAT " bytes\n", n,
               n_tokens, n_bytes);
    return TRUE;
}

int
pd_cmd_ls(PdApp *app, int argc, char **argv)
{
    gboolean as_json = FALSE;
    int exit_code;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "A JSON array", NULL}, G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    if (!pd_parse_options(entries, "[SOURCE]",
                          "List the documents of the corpus in the order in which they are read.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 2)
        return pd_usage("ls", "unexpected argument '%s'", argv[2]);
    const char *source = argc == 2 ? argv[1] : NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_READ, &error);
    if (!corpus)
        return pd_fail(error);
    if (source && !pd_corpus_has_source(corpus, source, &error))
        return pd_fail(error);
    g_autoptr(JsonBuilder) json = as_json ? json_builder_new() : NULL;
    if (json)
        json_builder_begin_array(json);
    if (!list_documents(corpus, source, json, &error))
        return pd_fail(error);
    if (json) {
        json_builder_end_array(json);
        pd_json_print(json);
    }
    return PD_EXIT_OK;
}
