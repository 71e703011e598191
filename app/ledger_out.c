/* See ledger_out.h. */
#include "app/ledger_out.h"

static void
append_count(GString *text, guint64 n, const char *what)
{
    if (n)
        g_string_append_printf(text, ", %" G_GUINT64_FORMAT " %s", n, what);
}

char *
pd_ledger_counts(const PdAddReport *report)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%" G_GUINT64_FORMAT " read", report->n_read);
    append_count(text, report->n_skipped, "skipped");
    append_count(text, report->n_failed, "failed");
    append_count(text, report->n_partial, "partial");
    append_count(text, report->n_duplicate, "duplicate");
    append_count(text, report->n_masked,
                 report->n_masked == 1 ? "secret masked" : "secrets masked");
    return g_string_free(text, FALSE);
}

void
pd_ledger_json_counts(JsonBuilder *json, const PdAddReport *report)
{
    pd_json_int(json, "read", (gint64)report->n_read);
    pd_json_int(json, "skipped", (gint64)report->n_skipped);
    pd_json_int(json, "failed", (gint64)report->n_failed);
    pd_json_int(json, "partial", (gint64)report->n_partial);
    pd_json_int(json, "duplicates", (gint64)report->n_duplicate);
    pd_json_int(json, "masked", (gint64)report->n_masked);
    pd_json_int(json, "new", (gint64)report->n_new);
    pd_json_int(json, "unchanged", (gint64)report->n_unchanged);
    pd_json_int(json, "changed", (gint64)report->n_changed);
    pd_json_int(json, "removed", (gint64)report->n_removed);
}

void
pd_ledger_json_line(JsonBuilder *json, const PdLedgerLine *line)
{
    json_builder_begin_object(json);
    pd_json_string(json, "level", line->level);
    pd_json_string(json, "key", line->key);
    pd_json_string(json, "reason", line->reason);
    pd_json_int(json, "bytes", line->n_bytes);
    json_builder_end_object(json);
}
