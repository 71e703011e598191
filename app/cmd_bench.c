/* pandect bench: how fast a model reads and writes here, and how near that is to the machine's
 * limits.  `bench ingest`, how fast sources are read, is a file of its own. */
#include <stdio.h>
#include <string.h>
#include "app/bench_gate.h"
#include "app/bench_ingest.h"
#include "app/commands.h"
#include "app/cost_table.h"
#include "app/json_out.h"
#include "app/open.h"
#include "engine/bench.h"
#include "engine/error.h"
#include "engine/peak_memory.h"

static const char summary[] =
    "Measure prefill and decode over context lengths, beside this machine's measured memory "
    "bandwidth and 8-bit peak.";

static const char examples[] =
    "Examples:\n"
    "  pandect bench --model qwen2.5-coder-0.5b --contexts 512,1024,4096\n"
    "  pandect bench --csv > bench.csv\n"
    "  pandect bench --kv-gate --text samples/mail.mbox --widths 8/4,4/4\n"
    "  pandect bench --model-config deepseek-v4-flash --contexts 4096,1000000\n"
    "  pandect bench ingest mail.mbox papers/       how fast sources are read; see its --help\n"
    "\n"
    "Prefill reads a prompt of N tokens; decode makes 64 more after it.  GOP/s counts the\n"
    "matrix products of the prompt, GB/s the bytes of weights that decoding reads; of experts\n"
    "those that a token goes through.  The state of DeepSeek-V4 is kept in its own precision.\n"
    "With --model-config nothing is run: what each model costs by its configuration.";

#define CONTEXT_TOKENS_MAX (1 << 24)

static const char csv_header[] = "model,threads,isa,kv,context_tokens,prefill_tokens_per_s,"
                                 "prefill_gops,int8_peak_gops,decode_tokens_per_s,"
                                 "decode_weight_gbs,read_peak_gbs,peak_rss_bytes";

typedef struct {
    char *model;
    char *contexts;
    char *kv;
    gboolean gate;
    char *text;
    char *widths;
    PdCostFlags cost;
    int threads;
    gboolean json;
    gboolean csv;
} Flags;

static void
flags_clear(Flags *flags)
{
    g_free(flags->model);
    g_free(flags->contexts);
    g_free(flags->kv);
    g_free(flags->text);
    g_free(flags->widths);
    pd_cost_flags_clear(&flags->cost);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Flags, flags_clear)

/* "512,1024" -> gints; NULL if a part is no number from 1 on. */
static GArray *
parse_contexts(const char *text)
{
    g_autoptr(GArray) contexts = g_array_new(FALSE, FALSE, sizeof(int));
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **part = parts; *part != NULL; part++) {
        gint64 value;
        if (!g_ascii_string_to_signed(g_strstrip(*part), 10, 1, CONTEXT_TOKENS_MAX, &value, NULL))
            return NULL;
        int n = (int)value;
        g_array_append_val(contexts, n);
    }
    return contexts->len > 0 ? g_steal_pointer(&contexts) : NULL;
}

static double
percent(double value, double of)
{
    return of > 0 ? 100 * value / of : 0;
}

static void
print_head(PdModel *model, const PdBenchPeak *peak)
{
    PdDeviceInfo info = pd_model_device(model)->ops->info(pd_model_device(model));
    g_autofree char *weights = g_format_size(pd_model_weight_bytes(model));
    printf("%s, %s of weights, %s %s, %d threads\n", pd_model_name(model), weights, info.name,
           info.isa, info.n_threads);
    if (peak->read_gbs > 0)
        printf("this machine: %.1f GB/s of memory, %.0f GOP/s of 8-bit products\n", peak->read_gbs,
               peak->int8_gops);
    printf("%8s %12s %9s %6s %12s %8s %6s\n", "context", "prefill", "GOP/s", "peak", "decode",
           "GB/s", "peak");
}

static void
print_row(const PdBenchRow *row, const PdBenchPeak *peak)
{
    printf("%8d %6.1f tok/s %9.1f %5.0f%% %6.1f tok/s %8.1f %5.0f%%\n", row->context_tokens,
           row->prefill_tokens_per_s, row->prefill_gops,
           percent(row->prefill_gops, peak->int8_gops), row->decode_tokens_per_s,
           row->decode_weight_gbs, percent(row->decode_weight_gbs, peak->read_gbs));
    fflush(stdout);
}

static void
print_csv_row(PdModel *model, const char *kv, const PdBenchRow *row, const PdBenchPeak *peak)
{
    PdDeviceInfo info = pd_model_device(model)->ops->info(pd_model_device(model));
    g_autofree char *name = pd_csv_string(pd_model_name(model));
    printf("%s,%d,%s,%s,%d,%.2f,%.2f,%.2f,%.2f,%.3f,%.3f,%" G_GUINT64_FORMAT "\n", name,
           info.n_threads, info.isa, kv, row->context_tokens, row->prefill_tokens_per_s,
           row->prefill_gops, peak->int8_gops, row->decode_tokens_per_s, row->decode_weight_gbs,
           peak->read_gbs, pd_peak_memory_bytes());
    fflush(stdout);
}

static void
print_json(PdModel *model, const char *kv, const GArray *rows, const PdBenchPeak *peak)
{
    PdDeviceInfo info = pd_model_device(model)->ops->info(pd_model_device(model));
    g_autoptr(JsonBuilder) json = json_builder_new();
    json_builder_begin_object(json);
    pd_json_string(json, "model", pd_model_name(model));
    pd_json_string(json, "path", pd_model_path(model));
    pd_json_int(json, "weight_bytes", (gint64)pd_model_weight_bytes(model));
    pd_json_string(json, "device", info.name);
    pd_json_string(json, "isa", info.isa);
    pd_json_int(json, "threads", info.n_threads);
    pd_json_string(json, "kv", kv);
    pd_json_double(json, "read_peak_gbs", peak->read_gbs);
    pd_json_double(json, "int8_peak_gops", peak->int8_gops);
    json_builder_set_member_name(json, "rows");
    json_builder_begin_array(json);
    for (guint i = 0; i < rows->len; i++) {
        const PdBenchRow *row = &g_array_index(rows, PdBenchRow, i);
        json_builder_begin_object(json);
        pd_json_int(json, "context_tokens", row->context_tokens);
        pd_json_double(json, "prefill_tokens_per_s", row->prefill_tokens_per_s);
        pd_json_double(json, "prefill_gops", row->prefill_gops);
        pd_json_double(json, "decode_tokens_per_s", row->decode_tokens_per_s);
        pd_json_double(json, "decode_weight_gbs", row->decode_weight_gbs);
        pd_json_int(json, "kv_bytes", (gint64)row->kv_bytes);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    pd_json_int(json, "peak_rss_bytes", (gint64)pd_peak_memory_bytes());
    json_builder_end_object(json);
    pd_json_print(json);
}

static void
print_memory(PdModel *model, const GArray *rows)
{
    guint64 kv_bytes = 0;
    for (guint i = 0; i < rows->len; i++)
        kv_bytes = MAX(kv_bytes, g_array_index(rows, PdBenchRow, i).kv_bytes);
    g_autofree char *rss = g_format_size(pd_peak_memory_bytes());
    g_autofree char *sum = g_format_size(pd_model_weight_bytes(model) + kv_bytes);
    printf("peak memory %s; weights and KV are %s\n", rss, sum);
}

/* How the rows are kept, as the tables call it. */
static const char *
kv_name(const PdModel *model, PdDtype kv_type)
{
    gboolean mixed = pd_model_deepseek(model) != NULL && kv_type == PD_Q8_0;
    return mixed ? "mixed" : pd_dtype_info[kv_type].name;
}

static PdModel *
open_model(const Flags *flags, GError **error)
{
    PdModelFlags model_flags = {.model = flags->model, .threads = flags->threads};
    g_autoptr(PdModel) model = pd_open_model(&model_flags, error);
    if (model != NULL && flags->kv != NULL && pd_model_deepseek(model) != NULL) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: a DeepSeek-V4 model keeps its state in its own precision; leave --kv out",
                    pd_model_path(model));
        return NULL;
    }
    return g_steal_pointer(&model);
}

static gboolean
run(PdApp *app, const Flags *flags, const GArray *contexts, gboolean eight_bit, GError **error)
{
    g_autoptr(PdModel) model = open_model(flags, error);
    if (model == NULL)
        return FALSE;
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(PdBenchRow));
    PdDtype kv_type = pd_bench_kv_type(model, eight_bit);
    const char *kv = kv_name(model, kv_type);
    PdBenchPeak peak;
    pd_bench_peak(model, &peak);
    if (flags->csv)
        puts(csv_header);
    else if (!flags->json)
        print_head(model, &peak);
    for (guint i = 0; i < contexts->len; i++) {
        PdBenchRow row;
        if (!pd_bench_run(model, kv_type, g_array_index(contexts, int, i), app->cancellable, &row,
                          error))
            return FALSE;
        g_array_append_val(rows, row);
        if (flags->csv)
            print_csv_row(model, kv, &row, &peak);
        else if (!flags->json)
            print_row(&row, &peak);
    }
    if (flags->json)
        print_json(model, kv, rows, &peak);
    else if (!flags->csv)
        print_memory(model, rows);
    return TRUE;
}

/* What no weights are needed for. */
static int
bench_configs(const Flags *flags, const GArray *contexts)
{
    if (flags->model || flags->kv || flags->gate || flags->text || flags->widths)
        return pd_usage("bench", "--model, --kv and --kv-gate do not go with --model-config");
    return pd_cost_table("bench", &flags->cost, flags->contexts ? contexts : NULL, flags->threads,
                         flags->csv, flags->json);
}

int
pd_cmd_bench(PdApp *app, int argc, char **argv)
{
    g_auto(Flags) flags = {0};
    int exit_code;
    const GOptionEntry entries[] = {
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &flags.model, "Model name, GGUF file or folder",
         "NAME|FILE"},
        {"contexts", 0, 0, G_OPTION_ARG_STRING, &flags.contexts,
         "Context lengths in tokens (default 512,1024,4096)", "N,N..."},
        {"kv", 0, 0, G_OPTION_ARG_STRING, &flags.kv, "How KV is kept: f16 (default) or q8_0",
         "TYPE"},
        {"kv-gate", 0, 0, G_OPTION_ARG_NONE, &flags.gate,
         "Measure what compressed KV costs the model instead", NULL},
        {"text", 0, 0, G_OPTION_ARG_FILENAME, &flags.text,
         "The gate's text (default: the corpus's first 4096 tokens)", "FILE"},
        {"widths", 0, 0, G_OPTION_ARG_STRING, &flags.widths,
         "The gate's bits of keys and values, like 8/4,4/4", "K/V,K/V..."},
        PD_COST_OPTION_ENTRIES(flags.cost),
        {"threads", 't', 0, G_OPTION_ARG_INT, &flags.threads, "Threads (default: one a core)", "N"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "One JSON object", NULL},
        {"csv", 0, 0, G_OPTION_ARG_NONE, &flags.csv, "One line a context length", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    char ingest[] = "bench ingest";

    if (argc > 1 && g_str_equal(argv[1], "ingest")) {
        argv[1] = ingest;
        return pd_bench_ingest(app, argc - 1, argv + 1);
    }
    if (!pd_parse_options(entries, NULL, summary, examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("bench", "unexpected argument '%s'", argv[1]);
    g_autoptr(GArray) contexts =
        parse_contexts(flags.contexts != NULL ? flags.contexts : "512,1024,4096");
    if (contexts == NULL)
        return pd_usage("bench", "--contexts is a list like 512,1024,4096");
    if (flags.cost.configs)
        return bench_configs(&flags, contexts);
    if (flags.cost.machine)
        return pd_usage("bench", "--machine belongs to --model-config");
    gboolean q8 = flags.kv != NULL && g_ascii_strcasecmp(flags.kv, "q8_0") == 0;
    if (flags.kv != NULL && !q8 && g_ascii_strcasecmp(flags.kv, "f16") != 0)
        return pd_usage("bench", "--kv is f16 or q8_0, not '%s'", flags.kv);
    if (flags.threads < 0 || (flags.json && flags.csv))
        return pd_usage("bench", flags.threads < 0 ? "--threads is a number from 1 on"
                                                   : "--json and --csv exclude each other");
    if (flags.gate) {
        PdModelFlags model_flags = {.model = flags.model, .threads = flags.threads};
        g_autoptr(PdModel) model = pd_open_ordinary_model(&model_flags, &error);
        return model ? pd_bench_gate(app, model, flags.text, flags.widths, flags.json)
                     : pd_fail(error);
    }
    if (flags.text || flags.widths)
        return pd_usage("bench", "--text and --widths belong to --kv-gate");
    return run(app, &flags, contexts, q8, &error) ? PD_EXIT_OK : pd_fail(error);
}
