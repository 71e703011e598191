/* pandect gc: give back the disk space of KV records that no text of the corpus can use. */
#include <stdio.h>
#include "app/commands.h"
#include "app/json_out.h"
#include "app/open.h"
#include "prompts/gc.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case gc                  after `rm`, or after adding a changed source again\n"
    "  pandect -C case gc --dry-run        what it would give back\n"
    "  pandect -C case gc --only qwen2.5-coder-0.5b\n"
    "\n"
    "What models have read of texts that are gone, renamed or changed is deleted; what they have\n"
    "read of the corpus as it is stays, whichever model it was.  With --only the records of all\n"
    "other models go too; reading with them starts again.  Nothing else is lost by an\n"
    "interruption or a crash: run the same command again.";

typedef struct {
    char *only;
    gboolean dry_run;
    gboolean json;
} GcFlags;

static void
gc_flags_clear(GcFlags *flags)
{
    g_free(flags->only);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GcFlags, gc_flags_clear)

static gboolean
collect(PdApp *app, PdCorpus *corpus, const GcFlags *flags, PdKvGcReport *report, GError **error)
{
    PdModelFlags model_flags = {.model = flags->only};
    g_autoptr(PdModel) model = NULL;
    g_autoptr(PdContext) context = NULL;

    if (!flags->only)
        return pd_corpus_gc(corpus, flags->dry_run, report, app->cancellable, error);
    model = pd_open_model(&model_flags, error);
    if (!model)
        return FALSE;
    context =
        pd_context_new(corpus, model, pd_model_deepseek(model) ? PD_READ_WHOLE : PD_READ_SWEPT,
                       app->cancellable, error);
    return context && pd_context_gc(context, flags->dry_run, report, app->cancellable, error);
}

static void
print_report(const GcFlags *flags, const PdKvGcReport *report)
{
    if (flags->json) {
        g_autoptr(JsonBuilder) json = json_builder_new();
        json_builder_begin_object(json);
        pd_json_bool(json, "dry_run", flags->dry_run);
        pd_json_int(json, "dead_records", (gint64)report->n_dead_records);
        pd_json_int(json, "dead_bytes", (gint64)report->n_dead_bytes);
        pd_json_int(json, "damaged_records", (gint64)report->n_corrupt);
        pd_json_int(json, "packs_rewritten", (gint64)report->n_packs_rewritten);
        pd_json_int(json, "packs_removed", (gint64)report->n_packs_removed);
        pd_json_int(json, "bytes_before", (gint64)report->n_bytes_before);
        pd_json_int(json, "bytes_after", (gint64)report->n_bytes_after);
        json_builder_end_object(json);
        pd_json_print(json);
        return;
    }
    printf("%s%" G_GUINT64_FORMAT " records of %.1f MB %s of no use; packs: %.1f MB before, "
           "%.1f MB after\n",
           flags->dry_run ? "nothing was changed: " : "", report->n_dead_records,
           report->n_dead_bytes / 1e6, flags->dry_run ? "are" : "were",
           report->n_bytes_before / 1e6, report->n_bytes_after / 1e6);
    if (report->n_corrupt)
        printf("%" G_GUINT64_FORMAT " damaged records were dropped; the next use makes them "
               "again\n",
               report->n_corrupt);
}

int
pd_cmd_gc(PdApp *app, int argc, char **argv)
{
    g_auto(GcFlags) flags = {0};
    int exit_code;
    const GOptionEntry entries[] = {
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &flags.dry_run, "Change nothing, only report", NULL},
        {"only", 0, 0, G_OPTION_ARG_FILENAME, &flags.only, "Keep this model's records and no other",
         "NAME|FILE"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "One JSON object", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    PdKvGcReport report = {0};

    if (!pd_parse_options(entries, NULL, "Give back what nothing can use any more.", examples,
                          &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("gc", "unexpected argument '%s'", argv[1]);
    g_autoptr(PdCorpus) corpus =
        pd_corpus_open(app->corpus_dir, flags.dry_run ? PD_CORPUS_READ : PD_CORPUS_WRITE, &error);
    if (!corpus || !collect(app, corpus, &flags, &report, &error))
        return pd_fail(error);
    print_report(&flags, &report);
    return PD_EXIT_OK;
}
