/* pandect plan: what the work will cost, before it. */
#include <stdio.h>
#include "app/commands.h"
#include "app/cost_table.h"
#include "app/open.h"
#include "prompts/plan.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case plan\n"
    "  pandect plan --tokens 1000000 --model qwen2.5-coder-0.5b --json\n"
    "  pandect plan --model-config deepseek-v4-flash --model-config deepseek-v4-pro --csv\n"
    "  pandect plan --model-config Qwen3-0.6B/config.json --machine 1979000,3350\n"
    "\n"
    "Times come from measuring a few layers of the model on this machine for a moment; with\n"
    "--model-config, which needs no weights, from the machine's peaks alone: the least they can\n"
    "be. Known by name: deepseek-v4-flash, deepseek-v4-pro, deepseek-v3.2.";

static void
print_tiers(const PdPlan *plan)
{
    printf("kept           %s tier: %s\n", pd_kv_tier_name(plan->tier), plan->tier_why);
    for (PdKvTier tier = PD_KV_INDEX; tier <= PD_KV_FULL; tier++) {
        guint64 n_bytes = plan->tier_bytes[tier - PD_KV_INDEX];
        g_autofree char *disk = g_format_size(n_bytes);

        printf("  --kv %-8s %s on disk, %.1f %% of dense 16-bit KV; %.0f s for all of it\n",
               pd_kv_tier_name(tier), disk,
               plan->dense_bytes ? 100.0 * n_bytes / plan->dense_bytes : 0,
               plan->tier_seconds[tier - PD_KV_INDEX]);
    }
    if (plan->tier == PD_KV_FULL && plan->n_warm_tokens < plan->n_tokens)
        printf("  what only the index tier holds is read again\n");
}

static void
print_plan(PdModel *model, const PdPlan *plan)
{
    static const char *const reading[] = {
        [PD_READ_WHOLE] = "whole: the corpus fits the model's window",
        [PD_READ_SWEPT] = "swept: segments read alone, passages chosen by question",
        [PD_READ_SPARSE] = "sparse: one text, each part sees its start, chosen blocks and what is "
                           "near"};
    g_autofree char *weights = g_format_size(plan->weight_bytes);
    g_autofree char *session = g_format_size(plan->session_bytes);
    g_autofree char *disk = g_format_size(plan->kv_disk_bytes);
    g_autofree char *memory = g_format_size(plan->memory_bytes_available);

    printf("model          %s\n", pd_model_name(model));
    printf("tokens         %" G_GUINT64_FORMAT ", of them read already %" G_GUINT64_FORMAT "\n",
           plan->n_tokens, plan->n_warm_tokens);
    printf("reading        %s\n", pd_model_deepseek(model)
                                      ? "whole: one text, the model's own attention chooses"
                                      : reading[plan->mode]);
    if (plan->mode == PD_READ_SWEPT)
        print_tiers(plan);
    printf("memory         %s weights (mapped) + %s KV and scratch; %s available\n", weights,
           session, memory);
    printf("disk           %s of KV when all is read\n", disk);
    printf("warm           %.0f s\n", plan->warm_seconds);
    printf("ask            first token after %.1f s, 100 tokens after %.1f s, once warm\n",
           plan->first_token_seconds, plan->answer_seconds);
    if (plan->sure_token_seconds > 0)
        printf("               first token after %.1f s where the best passages are enough\n",
               plan->sure_token_seconds);
    if (!plan->fits)
        printf("This does not fit into memory; use a smaller model%s.\n",
               pd_model_deepseek(model) ? "" : " or --mode swept");
}

static gboolean
make_plan(PdApp *app, const PdModelFlags *flags, gint64 tokens, PdOpened *opened, PdPlan *plan,
          GError **error)
{
    PdRates rates;
    PdReadMode mode;
    PdKvTier tier;

    if (tokens <= 0)
        return pd_open_context(app, flags, FALSE, opened, error) &&
               pd_measure_rates(opened->model, &rates, app->cancellable, error) &&
               pd_plan_context(opened->context, &rates, plan, app->cancellable, error);
    pd_parse_read_mode(flags->mode, &mode);
    opened->model = pd_open_model(flags, error);
    if (!opened->model ||
        (pd_model_deepseek(opened->model) &&
         !pd_context_choose_mode(opened->model, mode, (guint64)tokens, &mode, error)) ||
        !pd_measure_rates(opened->model, &rates, app->cancellable, error))
        return FALSE;
    pd_parse_kv_tier(flags->kv, &tier);
    pd_plan_tokens(opened->model, (guint64)tokens, mode, tier, &rates, plan);
    return TRUE;
}

/* What no corpus and no weights are needed for. */
static int
plan_configs(const PdModelFlags *flags, const PdCostFlags *cost, gint64 tokens, gboolean csv,
             gboolean json)
{
    g_autoptr(GArray) contexts = g_array_new(FALSE, FALSE, sizeof(int));
    int n = (int)tokens;

    if (flags->model || flags->mode || flags->kv)
        return pd_usage("plan", "--model, --mode and --kv do not go with --model-config");
    g_array_append_val(contexts, n);
    return pd_cost_table("plan", cost, tokens > 0 ? contexts : NULL, flags->threads, csv, json);
}

int
pd_cmd_plan(PdApp *app, int argc, char **argv)
{
    g_auto(PdModelFlags) flags = {0};
    g_auto(PdCostFlags) cost = {0};
    gboolean json = FALSE, csv = FALSE;
    gint64 tokens = 0;
    int exit_code;
    const GOptionEntry entries[] = {
        PD_MODE_OPTION_ENTRY(flags),
        PD_MODEL_OPTION_ENTRIES(flags),
        {"tokens", 0, 0, G_OPTION_ARG_INT64, &tokens, "Plan for a corpus of N tokens", "N"},
        PD_COST_OPTION_ENTRIES(cost),
        {"json", 0, 0, G_OPTION_ARG_NONE, &json, "The plan as one JSON object", NULL},
        {"csv", 0, 0, G_OPTION_ARG_NONE, &csv, "With --model-config: one line a model and length",
         NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(PdOpened) opened = {0};
    g_autoptr(GError) error = NULL;
    PdReadMode mode;
    PdKvTier tier;
    g_auto(PdPlan) plan = {0};

    if (!pd_parse_options(entries, NULL, "Tokens, memory, disk and time before the work.", examples,
                          &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("plan", "unexpected argument '%s'", argv[1]);
    if (tokens < 0 || tokens > G_MAXINT32)
        return pd_usage("plan", "--tokens is a number from 1 to %d", G_MAXINT32);
    if (cost.configs)
        return plan_configs(&flags, &cost, tokens, csv, json);
    if (csv || cost.machine)
        return pd_usage("plan", "--csv and --machine belong to --model-config");
    if (!pd_parse_read_mode(flags.mode, &mode))
        return pd_usage("plan", "--mode is auto, whole, swept or sparse, not '%s'", flags.mode);
    if (!pd_parse_kv_tier(flags.kv, &tier))
        return pd_usage("plan", "--kv is auto, index or full, not '%s'", flags.kv);
    if (!make_plan(app, &flags, tokens, &opened, &plan, &error))
        return pd_fail(error);
    if (json) {
        g_autofree char *text = pd_plan_to_json(opened.model, &plan);
        puts(text);
    } else {
        print_plan(opened.model, &plan);
    }
    return plan.fits ? PD_EXIT_OK : PD_EXIT_FAILED;
}
