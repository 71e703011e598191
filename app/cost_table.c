/* See cost_table.h. */
#include "app/cost_table.h"

#include <stdio.h>
#include "app/json_out.h"
#include "engine/bench.h"
#include "engine/cost.h"

static const int usual_contexts[] = {4096, 16384, 65536, 262144, 1048576};

static const char csv_header[] =
    "model,parameters,active_parameters,weight_bytes,kv_bytes_per_token,context_tokens,kv_bytes,"
    "kv_of_baseline,decode_flops,decode_flops_of_baseline,decode_read_bytes,prefill_flops,"
    "prefill_seconds_min,decode_seconds_min,machine_gops,machine_gbs";

typedef struct {
    GArray *costs; /* PdCost */
    guint baseline;
    const GArray *contexts; /* int */
    PdCostMachine machine;
} Table;

void
pd_cost_flags_clear(PdCostFlags *flags)
{
    g_strfreev(flags->configs);
    g_free(flags->machine);
}

static gboolean
parse_machine(const char *text, PdCostMachine *machine)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    double *const numbers[] = {&machine->gops, &machine->gbs};

    if (g_strv_length(parts) != G_N_ELEMENTS(numbers))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        char *end;
        *numbers[i] = g_ascii_strtod(parts[i], &end);
        if (end == parts[i] || *end != '\0' || !(*numbers[i] > 0) || *numbers[i] > 1e15)
            return FALSE;
    }
    return TRUE;
}

static void
table_clear(Table *t)
{
    g_clear_pointer(&t->costs, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Table, table_clear)

static const PdCost *
cost_at(const Table *t, guint i)
{
    return &g_array_index(t->costs, PdCost, i);
}

/* One model at one length, and against the baseline there. */
typedef struct {
    PdCostAt at;
    double kv_ratio;
    double flops_ratio;
} Row;

static Row
make_row(const Table *t, const PdCost *cost, int n_tokens)
{
    Row row;
    PdCostAt base;

    pd_cost_at(cost, &t->machine, n_tokens, &row.at);
    pd_cost_at(cost_at(t, t->baseline), &t->machine, n_tokens, &base);
    row.kv_ratio = row.at.kv_bytes / base.kv_bytes;
    row.flops_ratio = row.at.decode_flops / base.decode_flops;
    return row;
}

/* --- as text --- */

static char *
format_seconds(double seconds)
{
    static const struct {
        double below, unit;
        const char *name;
    } units[] = {
        {1e-3, 1e-6, "us"}, {1, 1e-3, "ms"}, {120, 1, "s"}, {7200, 60, "min"}, {172800, 3600, "h"}};

    if (seconds <= 0)
        return g_strdup("-");
    for (gsize i = 0; i < G_N_ELEMENTS(units); i++)
        if (seconds < units[i].below)
            return g_strdup_printf("%.3g %s", seconds / units[i].unit, units[i].name);
    return g_strdup_printf("%.0f days", seconds / 86400);
}

static char *
format_count(double n)
{
    return n < 1e9 ? g_strdup_printf("%.4g M", n / 1e6) : g_strdup_printf("%.1f G", n / 1e9);
}

static void
print_models(const Table *t)
{
    printf("%-33s %11s %9s %9s %14s\n", "", "parameters", "active", "weights", "KV per token");
    for (guint i = 0; i < t->costs->len; i++) {
        const PdCost *cost = cost_at(t, i);
        g_autofree char *name = pd_terminal_safe(cost->name, -1);
        g_autofree char *weights = g_format_size((guint64)pd_cost_weight_bytes(cost));
        g_autofree char *total = format_count(pd_cost_parameters(&cost->total));
        g_autofree char *active = format_count(pd_cost_parameters(&cost->active));

        printf("%-33s %11s %9s %9s %12.1f B\n", name, total, active, weights,
               pd_cost_token_bytes(cost));
    }
}

static void
print_text(const Table *t)
{
    print_models(t);
    for (guint c = 0; c < t->contexts->len; c++) {
        int n_tokens = g_array_index(t->contexts, int, c);

        printf("\n%9d tokens %16s %11s %7s %9s %7s %9s %9s\n", n_tokens, "", "FLOP/token", "", "KV",
               "", "prompt", "token");
        for (guint i = 0; i < t->costs->len; i++) {
            const PdCost *cost = cost_at(t, i);
            Row row = make_row(t, cost, n_tokens);
            g_autofree char *name = pd_terminal_safe(cost->name, -1);
            g_autofree char *kv = g_format_size((guint64)row.at.kv_bytes);
            g_autofree char *prompt = format_seconds(row.at.prefill_seconds);
            g_autofree char *token = format_seconds(row.at.decode_seconds);

            printf("%-33s %11.3g %6.1f%% %9s %6.1f%% %9s %9s\n", name, row.at.decode_flops,
                   100 * row.flops_ratio, kv, 100 * row.kv_ratio, prompt, token);
        }
    }
    printf("\nFLOP are FP8 equivalents (16 bit counts twice, 4 bit half), %% of %s. Times are the "
           "least\nthat %.0f GOP/s of 8-bit products and %.1f GB/s of memory allow.\n",
           cost_at(t, t->baseline)->name, t->machine.gops, t->machine.gbs);
}

/* --- for programs --- */

static void
print_csv(const Table *t)
{
    puts(csv_header);
    for (guint i = 0; i < t->costs->len; i++) {
        const PdCost *cost = cost_at(t, i);
        g_autofree char *name = pd_csv_string(cost->name);

        for (guint c = 0; c < t->contexts->len; c++) {
            Row row = make_row(t, cost, g_array_index(t->contexts, int, c));
            printf(
                "%s,%.0f,%.0f,%.0f,%.3f,%.0f,%.0f,%.5f,%.6g,%.5f,%.0f,%.6g,%.6g,%.6g,%.6g,%.6g\n",
                name, pd_cost_parameters(&cost->total), pd_cost_parameters(&cost->active),
                pd_cost_weight_bytes(cost), pd_cost_token_bytes(cost), row.at.n_tokens,
                row.at.kv_bytes, row.kv_ratio, row.at.decode_flops, row.flops_ratio,
                row.at.decode_bytes, row.at.prefill_flops, row.at.prefill_seconds,
                row.at.decode_seconds, t->machine.gops, t->machine.gbs);
        }
    }
}

static void
add_contexts(JsonBuilder *json, const Table *t, const PdCost *cost)
{
    json_builder_set_member_name(json, "contexts");
    json_builder_begin_array(json);
    for (guint c = 0; c < t->contexts->len; c++) {
        Row row = make_row(t, cost, g_array_index(t->contexts, int, c));
        json_builder_begin_object(json);
        pd_json_int(json, "tokens", (gint64)row.at.n_tokens);
        pd_json_double(json, "kv_bytes", row.at.kv_bytes);
        pd_json_double(json, "kv_of_baseline", row.kv_ratio);
        pd_json_double(json, "decode_flops", row.at.decode_flops);
        pd_json_double(json, "decode_flops_of_baseline", row.flops_ratio);
        pd_json_double(json, "decode_read_bytes", row.at.decode_bytes);
        pd_json_double(json, "prefill_flops", row.at.prefill_flops);
        pd_json_double(json, "prefill_seconds_min", row.at.prefill_seconds);
        pd_json_double(json, "decode_seconds_min", row.at.decode_seconds);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

static void
print_json(const Table *t)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    pd_json_string(json, "baseline", cost_at(t, t->baseline)->name);
    pd_json_double(json, "machine_gops", t->machine.gops);
    pd_json_double(json, "machine_gbs", t->machine.gbs);
    json_builder_set_member_name(json, "models");
    json_builder_begin_array(json);
    for (guint i = 0; i < t->costs->len; i++) {
        const PdCost *cost = cost_at(t, i);
        json_builder_begin_object(json);
        pd_json_string(json, "model", cost->name);
        pd_json_double(json, "parameters", pd_cost_parameters(&cost->total));
        pd_json_double(json, "active_parameters", pd_cost_parameters(&cost->active));
        pd_json_double(json, "weight_bytes", pd_cost_weight_bytes(cost));
        pd_json_double(json, "kv_bytes_per_token", pd_cost_token_bytes(cost));
        pd_json_int(json, "max_tokens", cost->n_positions);
        add_contexts(json, t, cost);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
    pd_json_print(json);
}

/* --- */

static gboolean
read_costs(const PdCostFlags *flags, int threads, Table *t, GError **error)
{
    PdBenchPeak peak;

    t->costs = pd_cost_compare((const char *const *)flags->configs, &t->baseline, error);
    if (!t->costs || flags->machine)
        return t->costs != NULL;
    if (!pd_bench_machine(threads, &peak, error))
        return FALSE;
    t->machine = (PdCostMachine){peak.int8_gops, peak.read_gbs};
    return TRUE;
}

int
pd_cost_table(const char *command, const PdCostFlags *flags, const GArray *contexts, int threads,
              gboolean csv, gboolean json)
{
    g_autoptr(GArray) usual = g_array_new(FALSE, FALSE, sizeof(int));
    g_auto(Table) t = {.contexts = contexts ? contexts : usual};
    g_autoptr(GError) error = NULL;

    if (csv && json)
        return pd_usage(command, "--json and --csv exclude each other");
    if (flags->machine && !parse_machine(flags->machine, &t.machine))
        return pd_usage(command, "--machine is two numbers like 1979000,3350");
    g_array_append_vals(usual, usual_contexts, G_N_ELEMENTS(usual_contexts));
    if (!read_costs(flags, threads, &t, &error))
        return pd_fail(error);
    if (csv)
        print_csv(&t);
    else if (json)
        print_json(&t);
    else
        print_text(&t);
    return PD_EXIT_OK;
}
