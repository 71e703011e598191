/* See ledger_out.h. */
#include "app/ledger_out.h"

typedef struct {
    guint64 n;
    const char *what;
} Count;

/* Those that are not zero, `before` the first, ", " between. */
static void
append_counts(GString *text, const char *before, const Count *counts, gsize n_counts)
{
    for (gsize i = 0; i < n_counts; i++) {
        if (!counts[i].n)
            continue;
        g_string_append_printf(text, "%s%" G_GUINT64_FORMAT " %s", before, counts[i].n,
                               counts[i].what);
        before = ", ";
    }
}

char *
pd_ledger_counts(const PdAddReport *report, gboolean fresh, const char *why_skipped)
{
    const Count read[] = {{fresh ? report->n_new : 0, "new"},
                          {fresh ? report->n_changed : 0, "changed"},
                          {fresh ? report->n_unchanged : 0, "unchanged"},
                          {report->n_duplicate, "duplicate"}};
    const Count skipped[] = {{report->n_skipped, "skipped"}};
    const Count failed[] = {{report->n_failed, "failed"}};
    const Count remarks[] = {
        {report->n_partial, "partial"},
        {report->n_hidden, "with hidden text"},
        {report->n_ocr_pages, report->n_ocr_pages == 1 ? "page by OCR" : "pages by OCR"},
        {report->n_masked, report->n_masked == 1 ? "secret masked" : "secrets masked"},
        {report->n_folded,
         report->n_folded == 1 ? "quote or footer folded" : "quotes and footers folded"}};
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%" G_GUINT64_FORMAT " found, %" G_GUINT64_FORMAT " read",
                           report->n_found, report->n_read);
    gsize before = text->len;
    append_counts(text, " (", read, G_N_ELEMENTS(read));
    if (text->len > before)
        g_string_append_c(text, ')');
    append_counts(text, ", ", skipped, 1);
    if (why_skipped)
        g_string_append_printf(text, " (%s)", why_skipped);
    append_counts(text, ", ", failed, 1);
    append_counts(text, "; ", remarks, G_N_ELEMENTS(remarks));
    return g_string_free(text, FALSE);
}

void
pd_ledger_add_counts(PdAddReport *sum, const PdAddReport *report)
{
    sum->n_found += report->n_found;
    sum->n_read += report->n_read;
    sum->n_new += report->n_new;
    sum->n_changed += report->n_changed;
    sum->n_unchanged += report->n_unchanged;
    sum->n_duplicate += report->n_duplicate;
    sum->n_skipped += report->n_skipped;
    sum->n_failed += report->n_failed;
    sum->n_partial += report->n_partial;
    sum->n_hidden += report->n_hidden;
    sum->n_ocr_pages += report->n_ocr_pages;
    sum->n_masked += report->n_masked;
    sum->n_folded += report->n_folded;
    sum->n_folded_bytes += report->n_folded_bytes;
}

void
pd_ledger_json_counts(JsonBuilder *json, const PdAddReport *report)
{
    pd_json_int(json, "found", (gint64)report->n_found);
    pd_json_int(json, "read", (gint64)report->n_read);
    pd_json_int(json, "skipped", (gint64)report->n_skipped);
    pd_json_int(json, "failed", (gint64)report->n_failed);
    pd_json_int(json, "partial", (gint64)report->n_partial);
    pd_json_int(json, "hidden", (gint64)report->n_hidden);
    pd_json_int(json, "ocr_pages", (gint64)report->n_ocr_pages);
    pd_json_int(json, "duplicates", (gint64)report->n_duplicate);
    pd_json_int(json, "masked", (gint64)report->n_masked);
    pd_json_int(json, "folded", (gint64)report->n_folded);
    pd_json_int(json, "folded_bytes", (gint64)report->n_folded_bytes);
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
