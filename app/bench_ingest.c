/* See bench_ingest.h. */
#include "app/bench_ingest.h"

#include <stdio.h>
#include "app/json_out.h"
#include "app/load_tokenizer.h"
#include "ingest/bench.h"

static const char summary[] =
    "Read sources into a corpus that is thrown away, and tell by kind of source how fast that "
    "was, where the time went and how much memory it took.";

static const char examples[] =
    "Examples:\n"
    "  pandect bench ingest lua.bundle papers/ mail.mbox\n"
    "  pandect bench ingest --no-ocr --json case/*.pdf\n"
    "\n"
    "MB/s: of the sources as they lie there, and of the text that came out of them, each in 1e6\n"
    "bytes and up to stored tokens.  Of the seconds: `wait`, for a reader process, with nothing\n"
    "else to do; `mask`, looking for secrets; `token`, cutting and tokenizing; the rest: storing.\n"
    "`cpu` is the processor time of this process, `readers` that of its readers, which run beside\n"
    "it.  Memory is the most that this process held and the most that one reader did.  The last\n"
    "line is the tokenizer alone, on one thread, over the same text (at most 64 MB of it), by its\n"
    "processor time.";

#define SAMPLE_BYTES_MAX (64u << 20)

typedef struct {
    char *model;
    char *revision;
    gboolean no_ocr;
    gboolean no_ink;
    gboolean json;
    char **sources;
} IngestFlags;

static void
ingest_flags_clear(IngestFlags *flags)
{
    g_free(flags->model);
    g_free(flags->revision);
    g_strfreev(flags->sources);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(IngestFlags, ingest_flags_clear)

static double
rate(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds : 0;
}

static double
seconds_of(gint64 us)
{
    return (double)us / G_USEC_PER_SEC;
}

static double
store_seconds(const PdIngestBenchRow *row)
{
    const PdAddTimes *t = &row->times;
    return MAX(0, row->seconds - seconds_of(t->wait_us + t->mask_us + t->tokenize_us));
}

/* --- the table ----------------------------------------------------------------------------- */

/* What is counted in such a source: "512 pages", and how many a second or minute. */
static void
print_units(const PdIngestBenchRow *row)
{
    g_autofree char *units = NULL, *speed = NULL;
    if (row->n_pages) {
        units = g_strdup_printf("%" G_GUINT64_FORMAT " pages", row->n_pages);
        speed = g_strdup_printf("%.1f/s", rate((double)row->n_pages, row->seconds));
    } else if (row->n_messages) {
        units = g_strdup_printf("%" G_GUINT64_FORMAT " mails", row->n_messages);
        speed = g_strdup_printf("%.0f/min", rate(60 * (double)row->n_messages, row->seconds));
    } else {
        units = g_strdup_printf("%" G_GUINT64_FORMAT " docs", row->n_documents);
        speed = g_strdup_printf("%.1f/s", rate((double)row->n_documents, row->seconds));
    }
    printf(" %14s %12s", units, speed);
}

static void
print_row(const PdIngestBenchRow *row)
{
    const PdAddTimes *t = &row->times;
    double wall = MAX(row->seconds, 1e-9);
    g_autofree char *bytes = g_format_size(row->n_source_bytes);
    g_autofree char *memory = g_format_size(row->peak_bytes);
    g_autofree char *reader_memory = g_format_size(t->reader_peak_bytes);
    printf("%-8s %5u %9s %9" G_GUINT64_FORMAT " %8.2f %7.2f %7.2f", row->kind, row->n_sources,
           bytes, row->n_tokens, row->seconds, rate((double)row->n_source_bytes / 1e6, wall),
           rate((double)row->n_text_bytes / 1e6, wall));
    print_units(row);
    printf(" %4.0f%% %4.0f%% %4.0f%% %4.0f%% %7.2f %7.2f %9s %9s\n",
           100 * seconds_of(t->wait_us) / wall, 100 * seconds_of(t->mask_us) / wall,
           100 * seconds_of(t->tokenize_us) / wall, 100 * store_seconds(row) / wall,
           row->cpu_seconds, seconds_of(t->reader_cpu_us), memory, reader_memory);
}

static void
print_table(const GPtrArray *rows, PdTokenizer *tokenizer, const PdTokenizerBench *alone)
{
    printf("%-8s %5s %9s %9s %8s %7s %7s %14s %12s %5s %5s %5s %5s %7s %7s %9s %9s\n", "kind",
           "files", "bytes", "tokens", "seconds", "MB/s", "text", "read", "", "wait", "mask",
           "token", "store", "cpu", "readers", "memory", "reader's");
    for (guint i = 0; i < rows->len; i++)
        print_row(g_ptr_array_index(rows, i));
    if (alone->n_bytes)
        printf("tokenizer alone (%s): %.1f MB/s, %.2f million tokens/s\n",
               pd_tokenizer_describe(tokenizer),
               rate((double)alone->n_bytes / 1e6, alone->cpu_seconds),
               rate((double)alone->n_tokens / 1e6, alone->cpu_seconds));
}

/* --- JSON ---------------------------------------------------------------------------------- */

static void
json_row(JsonBuilder *json, const PdIngestBenchRow *row)
{
    const PdAddTimes *t = &row->times;
    json_builder_begin_object(json);
    pd_json_string(json, "kind", row->kind);
    pd_json_int(json, "sources", row->n_sources);
    pd_json_int(json, "source_bytes", (gint64)row->n_source_bytes);
    pd_json_int(json, "text_bytes", (gint64)row->n_text_bytes);
    pd_json_int(json, "documents", (gint64)row->n_documents);
    pd_json_int(json, "pages", (gint64)row->n_pages);
    pd_json_int(json, "messages", (gint64)row->n_messages);
    pd_json_int(json, "tokens", (gint64)row->n_tokens);
    pd_json_int(json, "skipped", (gint64)row->n_skipped);
    pd_json_int(json, "failed", (gint64)row->n_failed);
    pd_json_double(json, "seconds", row->seconds);
    pd_json_double(json, "cpu_seconds", row->cpu_seconds);
    pd_json_double(json, "source_mb_per_s", rate((double)row->n_source_bytes / 1e6, row->seconds));
    pd_json_double(json, "text_mb_per_s", rate((double)row->n_text_bytes / 1e6, row->seconds));
    pd_json_double(json, "wait_seconds", seconds_of(t->wait_us));
    pd_json_double(json, "mask_seconds", seconds_of(t->mask_us));
    pd_json_double(json, "tokenize_seconds", seconds_of(t->tokenize_us));
    pd_json_double(json, "store_seconds", store_seconds(row));
    pd_json_double(json, "reader_cpu_seconds", seconds_of(t->reader_cpu_us));
    pd_json_int(json, "readers", (gint64)t->n_readers);
    pd_json_int(json, "peak_rss_bytes", (gint64)row->peak_bytes);
    pd_json_int(json, "reader_peak_rss_bytes", (gint64)t->reader_peak_bytes);
    json_builder_end_object(json);
}

static void
print_json(const GPtrArray *rows, PdTokenizer *tokenizer, const PdTokenizerBench *alone)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    json_builder_begin_object(json);
    pd_json_string(json, "tokenizer", pd_tokenizer_describe(tokenizer));
    json_builder_set_member_name(json, "kinds");
    json_builder_begin_array(json);
    for (guint i = 0; i < rows->len; i++)
        json_row(json, g_ptr_array_index(rows, i));
    json_builder_end_array(json);
    json_builder_set_member_name(json, "tokenizer_alone");
    json_builder_begin_object(json);
    pd_json_int(json, "bytes", (gint64)alone->n_bytes);
    pd_json_int(json, "tokens", (gint64)alone->n_tokens);
    pd_json_double(json, "cpu_seconds", alone->cpu_seconds);
    pd_json_double(json, "mb_per_s", rate((double)alone->n_bytes / 1e6, alone->cpu_seconds));
    json_builder_end_object(json);
    json_builder_end_object(json);
    pd_json_print(json);
}

/* --- the command --------------------------------------------------------------------------- */

static gboolean
run(PdApp *app, const IngestFlags *flags, GError **error)
{
    g_autoptr(PdTokenizer) tokenizer = pd_load_tokenizer(flags->model, error);
    g_autoptr(GPtrArray) rows = pd_ingest_bench_rows_new();
    g_autoptr(GString) sample = g_string_new(NULL);
    PdReadLimits limits = pd_read_limits_default;
    const PdAddOptions options = {
        .read = {.git_revision = flags->revision, .ocr = flags->no_ocr ? PD_OCR_OFF : PD_OCR_AUTO},
        .limits = &limits};
    if (flags->no_ink)
        limits.ink_seconds_max = 0;
    if (!tokenizer)
        return FALSE;
    for (char **source = flags->sources; *source; source++) /* before minutes of work */
        if (!pd_detect_kind(*source, error))
            return FALSE;
    for (char **source = flags->sources; *source; source++)
        if (!pd_ingest_bench_source(*source, tokenizer, &options, rows, sample, SAMPLE_BYTES_MAX,
                                    app->cancellable, error))
            return FALSE;
    PdTokenizerBench alone = pd_tokenizer_bench(tokenizer, sample);
    if (flags->json)
        print_json(rows, tokenizer, &alone);
    else
        print_table(rows, tokenizer, &alone);
    return TRUE;
}

int
pd_bench_ingest(PdApp *app, int argc, char **argv)
{
    g_auto(IngestFlags) flags = {0};
    g_autoptr(GError) error = NULL;
    int exit_code;
    const GOptionEntry entries[] = {
        {"rev", 0, 0, G_OPTION_ARG_STRING, &flags.revision,
         "Repositories: this commit, tag or branch instead of HEAD", "REV"},
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &flags.model,
         "Whose tokenizer to use: a model name, GGUF file, folder or tokenizer.json", "NAME|FILE"},
        {"no-ocr", 0, 0, G_OPTION_ARG_NONE, &flags.no_ocr,
         "Leave PDF pages without text unread (tesseract takes seconds a page)", NULL},
        {"no-ink", 0, 0, G_OPTION_ARG_NONE, &flags.no_ink,
         "Do not look PDF pages through for text that cannot be seen on them", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "One JSON object", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &flags.sources, NULL, NULL},
        G_OPTION_ENTRY_NULL};
    if (!pd_parse_options(entries, "SOURCE...", summary, examples, &argc, &argv, &exit_code))
        return exit_code;
    if (!flags.sources)
        return pd_usage("bench ingest", "what should be read? give files or folders");
    return run(app, &flags, &error) ? PD_EXIT_OK : pd_fail(error);
}
