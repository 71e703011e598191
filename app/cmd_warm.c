/* pandect warm: read the corpus ahead of the question. */
#include <stdio.h>
#include "app/commands.h"
#include "app/open.h"
#include "prompts/warm.h"

static const char examples[] = "Examples:\n"
                               "  pandect -C case warm\n"
                               "  pandect -C case warm --model qwen2.5-coder-0.5b --json\n"
                               "\n"
                               "Ctrl-C keeps what is done; the next run goes on from there.";

static void
on_progress(guint64 done, guint64 total, gpointer user_data)
{
    pd_progress_update(user_data, "reading the corpus", done, total);
}

int
pd_cmd_warm(PdApp *app, int argc, char **argv)
{
    g_auto(PdModelFlags) flags = {0};
    gboolean json = FALSE;
    int exit_code;
    const GOptionEntry entries[] = {
        PD_MODEL_OPTION_ENTRIES(flags),
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "The report as one JSON object", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(PdOpened) opened = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdProgress) progress = NULL;
    PdWarmReport report = {0};
    PdReadMode mode;

    if (!pd_parse_options(entries, NULL, "Run the model over the corpus once and keep its KV.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("warm", "unexpected argument '%s'", argv[1]);
    if (!pd_parse_mode(flags.mode, &mode))
        return pd_usage("warm", "--mode is auto, whole or swept, not '%s'", flags.mode);
    if (!pd_open_context(app, &flags, TRUE, &opened, &error))
        return pd_fail(error);
    progress = pd_progress_new(app, "tokens");
    if (!pd_context_warm(opened.context, &report, on_progress, progress, app->cancellable, &error))
        return pd_fail(error);
    g_clear_pointer(&progress, pd_progress_free);
    if (json)
        printf("{\"mode\":\"%s\",\"tokens_encoded\":%" G_GUINT64_FORMAT
               ",\"tokens_reused\":%" G_GUINT64_FORMAT ",\"bytes_written\":%" G_GUINT64_FORMAT
               ",\"seconds\":%.3f}\n",
               opened.context->mode == PD_READ_WHOLE ? "whole" : "swept", report.n_tokens_encoded,
               report.n_tokens_reused, report.n_bytes_written, report.seconds);
    else
        printf("%s: %" G_GUINT64_FORMAT " tokens read in %.1f s (%.0f tok/s), %" G_GUINT64_FORMAT
               " kept from before, %.1f MB written\n",
               opened.context->mode == PD_READ_WHOLE ? "read whole" : "read for sweeping",
               report.n_tokens_encoded, report.seconds,
               report.seconds > 0 ? report.n_tokens_encoded / report.seconds : 0,
               report.n_tokens_reused, report.n_bytes_written / 1e6);
    return PD_EXIT_OK;
}
