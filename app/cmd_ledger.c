/* pandect ledger: what became of everything that the sources hold. */
#include <stdio.h>
#include "app/commands.h"
#include "app/ledger_out.h"
#include "ingest/corpus.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case ledger\n"
    "  pandect -C case ledger mail.mbox\n"
    "  pandect -C case ledger --json | jq '.[].lines[] | select(.level == \"failed\")'\n"
    "\n"
    "Of each source: when it was last read, how that ended, the account of it, and a line with "
    "the\n"
    "reason for everything that was not read, or not wholly.  A source that gave nothing is here\n"
    "too.";

static char *
time_text(gint64 seconds_utc)
{
    g_autoptr(GDateTime) when =
        seconds_utc == G_MININT64 ? NULL : g_date_time_new_from_unix_utc(seconds_utc);
    return when ? g_date_time_format_iso8601(when) : NULL;
}

/* Takes the text. */
static void
put_line(char *text)
{
    g_autofree char *safe = pd_terminal_safe(text, -1);
    g_strdelimit(safe, "\n", ' ');
    puts(safe);
    g_free(text);
}

static void
print_run(const PdRunRow *run)
{
    g_autofree char *counts = pd_ledger_counts(&run->report, FALSE, NULL);
    g_autofree char *started = time_text(run->started_utc);
    gboolean done = g_str_equal(run->status, "done");
    gboolean plain = g_str_equal(run->options, "no options");
    put_line(g_strdup_printf("%s (%s%s%s, %s): %s%s%s%s%s", run->source, run->kind,
                             plain ? "" : " ", plain ? "" : run->options, started, counts,
                             done ? "" : "; ", done ? "" : run->status, run->error ? ": " : "",
                             run->error ? run->error : ""));
}

static void
print_line(const char *source, const PdLedgerLine *line, gpointer user_data)
{
    put_line(g_strdup_printf("  %-9s %s%s%s", line->level, line->key, line->key[0] ? ": " : "",
                             line->reason));
}

static void
add_line_json(const char *source, const PdLedgerLine *line, gpointer user_data)
{
    pd_ledger_json_line(user_data, line);
}

static void
begin_run_json(JsonBuilder *json, const PdRunRow *run)
{
    g_autofree char *started = time_text(run->started_utc);
    g_autofree char *ended = time_text(run->ended_utc);
    json_builder_begin_object(json);
    pd_json_string(json, "source", run->source);
    pd_json_string(json, "path", run->path);
    pd_json_string(json, "kind", run->kind);
    pd_json_string(json, "options", run->options);
    pd_json_string(json, "status", run->status);
    pd_json_string(json, "error", run->error);
    pd_json_string(json, "started", started);
    pd_json_string(json, "ended", ended);
    pd_ledger_json_counts(json, &run->report);
    json_builder_set_member_name(json, "lines");
    json_builder_begin_array(json);
}

static void
print_sum(const GPtrArray *runs)
{
    PdAddReport sum = {0};
    for (guint i = 0; i < runs->len; i++)
        pd_ledger_add_counts(&sum, &((const PdRunRow *)g_ptr_array_index(runs, i))->report);
    g_autofree char *counts = pd_ledger_counts(&sum, FALSE, NULL);
    printf("%u sources: %s\n", runs->len, counts);
}

static gboolean
tell(PdCorpus *corpus, const char *source, JsonBuilder *json, GError **error)
{
    g_autoptr(GPtrArray) runs = pd_corpus_runs(corpus, source, error);
    if (!runs)
        return FALSE;
    for (guint i = 0; i < runs->len; i++) {
        const PdRunRow *run = g_ptr_array_index(runs, i);
        if (json)
            begin_run_json(json, run);
        else
            print_run(run);
        if (!pd_corpus_ledger(corpus, run->source, json ? add_line_json : print_line, json, error))
            return FALSE;
        if (json) {
            json_builder_end_array(json);
            json_builder_end_object(json);
        }
    }
    if (!json && runs->len != 1)
        print_sum(runs);
    return TRUE;
}

int
pd_cmd_ledger(PdApp *app, int argc, char **argv)
{
    gboolean as_json = FALSE;
    int exit_code;
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "A JSON array, an object a source", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    if (!pd_parse_options(entries, "[SOURCE]",
                          "What was read, what was not and why: the account of the last reading "
                          "of each source.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 2)
        return pd_usage("ledger", "unexpected argument '%s'", argv[2]);
    const char *source = argc == 2 ? argv[1] : NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_READ, &error);
    if (!corpus || (source && !pd_corpus_has_source(corpus, source, &error)))
        return pd_fail(error);
    g_autoptr(JsonBuilder) json = as_json ? json_builder_new() : NULL;
    if (json)
        json_builder_begin_array(json);
    if (!tell(corpus, source, json, &error))
        return pd_fail(error);
    if (json) {
        json_builder_end_array(json);
        pd_json_print(json);
    }
    return PD_EXIT_OK;
}
