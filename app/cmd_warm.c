/* pandect warm: read the corpus ahead of the question. */
#include <stdio.h>
#include "app/commands.h"
#include "app/json_out.h"
#include "app/open.h"
#include "prompts/warm.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case warm\n"
    "  pandect -C case warm --model qwen2.5-coder-0.5b --json\n"
    "  pandect -C case warm --kv index\n"
    "\n"
    "What is kept of a swept corpus: --kv index, the keys that find\n"
    "passages (little disk, fewer layers run); --kv full, all rows, so\n"
    "that a question need not run its passages again; auto: full where\n"
    "that is cheap.\n"
    "--mode sparse reads any corpus as one long text (see `ask --help`);\n"
    "a DeepSeek-V4 model reads it so by itself.\n"
    "Ctrl-C keeps what is done; the next run goes on from there.";

static void
on_progress(guint64 done, guint64 total, gpointer user_data)
{
    pd_progress_update(user_data, "reading the corpus", done, total);
}

static void
print_report(const PdContext *context, const PdWarmReport *report, gboolean json)
{
    gboolean swept = context->mode == PD_READ_SWEPT;
    double rate = report->seconds > 0 ? report->n_tokens_encoded / report->seconds : 0;

    if (json) {
        g_autoptr(JsonBuilder) builder = json_builder_new();

        json_builder_begin_object(builder);
        pd_json_string(builder, "mode", pd_read_mode_name(context->mode));
        if (swept) {
            pd_json_string(builder, "tier", pd_kv_tier_name(context->tier));
            pd_json_string(builder, "tier_why", context->tier_why);
        }
        pd_json_int(builder, "tokens_encoded", (gint64)report->n_tokens_encoded);
        pd_json_int(builder, "tokens_reused", (gint64)report->n_tokens_reused);
        pd_json_int(builder, "bytes_written", (gint64)report->n_bytes_written);
        pd_json_double(builder, "seconds", report->seconds);
        json_builder_end_object(builder);
        pd_json_print(builder);
        return;
    }
    if (swept)
        printf("kept: %s tier; %s\n", pd_kv_tier_name(context->tier), context->tier_why);
    printf("%s: %" G_GUINT64_FORMAT " tokens read in %.1f s (%.0f tok/s), %" G_GUINT64_FORMAT
           " kept from before, %.1f MB written\n",
           swept                             ? "read for sweeping"
           : context->mode == PD_READ_SPARSE ? "read sparsely"
                                             : "read whole",
           report->n_tokens_encoded, report->seconds, rate, report->n_tokens_reused,
           report->n_bytes_written / 1e6);
}

int
pd_cmd_warm(PdApp *app, int argc, char **argv)
{
    g_auto(PdModelFlags) flags = {0};
    gboolean json = FALSE;
    int exit_code;
    const GOptionEntry entries[] = {
        PD_MODE_OPTION_ENTRY(flags),
        PD_MODEL_OPTION_ENTRIES(flags),
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "The report as one JSON object", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(PdOpened) opened = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdProgress) progress = NULL;
    PdWarmReport report = {0};
    PdReadMode mode;
    PdKvTier tier;

    if (!pd_parse_options(entries, NULL, "Run the model over the corpus once and keep its KV.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("warm", "unexpected argument '%s'", argv[1]);
    if (!pd_parse_read_mode(flags.mode, &mode))
        return pd_usage("warm", "--mode is auto, whole, swept or sparse, not '%s'", flags.mode);
    if (!pd_parse_kv_tier(flags.kv, &tier))
        return pd_usage("warm", "--kv is auto, index or full, not '%s'", flags.kv);
    if (!pd_open_context(app, &flags, TRUE, &opened, &error))
        return pd_fail(error);
    progress = pd_progress_new(app, "tokens");
    if (!pd_context_warm(opened.context, &report, on_progress, progress, app->cancellable, &error))
        return pd_fail(error);
    g_clear_pointer(&progress, pd_progress_free);
    print_report(opened.context, &report, json);
    return PD_EXIT_OK;
}
