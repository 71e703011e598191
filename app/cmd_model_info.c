/* pandect model info: what a model is, from its headers. */
#include "app/cmd_model.h"

#include <stdio.h>
#include "app/json_out.h"
#include "engine/catalogue.h"
#include "engine/deepseek/cost.h"
#include "engine/model_info.h"

static const char summary[] =
    "Describe a model: architecture, size, context, tokenizer, weight types, and how many bytes "
    "of\n"
    "keys and values one token of context takes. NAME is one of `pandect model ls`; without an\n"
    "argument the default model is described.";

static const char examples[] = "Examples:\n"
                               "  pandect model info\n"
                               "  pandect model info smollm2-135m --json\n"
                               "  pandect model info ./my-model.gguf\n"
                               "  pandect model info ~/models/Qwen3-0.6B\n";

static void
print_row(const char *label, const char *text)
{
    g_autofree char *safe = pd_terminal_safe(text, -1);

    g_strdelimit(safe, "\n", ' ');
    printf("%-14s %s\n", label, safe);
}

static void print_format(const char *label, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
print_format(const char *label, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    print_row(label, text);
}

static void
print_schedule(const PdDsShape *s)
{
    gboolean first = TRUE;

    for (gsize k = 0; k < s->family->n_kinds; k++) {
        const PdDsKind *kind = &s->family->kinds[k];
        g_autoptr(GString) layers = g_string_new(NULL), text = g_string_new(NULL);
        int n = 0, ratio = 0;

        for (int l = 0; l < s->n_layers; l++) {
            if (s->layers[l].kind != kind)
                continue;
            g_string_append_printf(layers, "%s%d", n++ ? " " : "", l);
            ratio = s->layers[l].ratio;
        }
        if (n == 0)
            continue;
        g_string_append_printf(text, "%-6s %d layer%s: %s; the last %d tokens", kind->name, n,
                               n == 1 ? "" : "s", layers->str, s->window);
        if (ratio > 0)
            g_string_append_printf(text, ", an entry per %d", ratio);
        if (kind->indexed)
            g_string_append_printf(text, ", %d attended (indexer %d x %d)", s->index_top_k,
                                   s->index_heads, s->index_dim);
        else if (ratio > 0)
            g_string_append(text, ", all attended");
        print_row(first ? "schedule" : "", text->str);
        first = FALSE;
    }
}

static void
print_deepseek(const PdDsShape *s)
{
    static const struct {
        const char *label;
        double n_tokens;
    } contexts[] = {{"4K", 4096}, {"64K", 65536}, {"1M", 1048576}};
    g_autoptr(GString) flops = g_string_new(NULL);
    PdDsParameters p = pd_ds_parameters(s);
    int n_hash = 0;

    for (int l = 0; l < s->n_layers; l++)
        n_hash += s->layers[l].hash;
    print_schedule(s);
    print_format("streams", "%d, %d passes of normalisation", s->hc_mult, s->hc_sinkhorn_iters);
    print_format("queries",
                 "%d wide between, %d of %d dimensions of a head turn; output in %d "
                 "groups of %d",
                 s->q_rank, s->rope_dim, s->head_dim, s->o_groups, s->o_rank);
    print_format("experts", "%d of %d and a shared one, by token id in %d layers",
                 s->n_experts_used, s->n_experts, n_hash);
    print_format("active", "%.4g million of %.4g million parameters", p.active / 1e6,
                 p.total / 1e6);
    print_format("KV per token",
                 "%.1f bytes mixed (FP8, BF16, FP4), %.1f in 16 bit, %.1f in 32 bit",
                 pd_ds_token_bytes(s, PD_DS_STORE_DEPLOYED),
                 pd_ds_token_bytes(s, PD_DS_STORE_16BIT), pd_ds_token_bytes(s, PD_DS_STORE_32BIT));
    print_format("KV of windows", "%.0f bytes mixed, %.0f in 32 bit",
                 pd_ds_window_bytes(s, PD_DS_STORE_DEPLOYED),
                 pd_ds_window_bytes(s, PD_DS_STORE_32BIT));
    for (gsize i = 0; i < G_N_ELEMENTS(contexts); i++)
        g_string_append_printf(flops, "%s%.3g at %s", i ? ", " : "",
                               pd_ds_decode_flops(s, contexts[i].n_tokens), contexts[i].label);
    print_format("FLOP per token", "%s (FP8 equivalents)", flops->str);
}

static void
print_text(const PdModel *model, const PdModelInfo *info)
{
    const PdModelShape *s = pd_model_shape(model);
    const PdTokenizer *tok = pd_model_tokenizer(model);
    g_autofree char *size = g_format_size(info->n_bytes);

    print_row("name", pd_model_name(model));
    print_row("path", pd_model_path(model));
    print_row("format", info->format);
    print_row("architecture", s->arch);
    print_format("parameters", "%.1f million in %u tensors, %s", info->n_values / 1e6,
                 info->n_tensors, size);
    print_format("layers", "%d, width %d, feed-forward %d", s->n_layers, s->n_embd, s->n_ff);
    print_format("heads", "%d, %d for keys and values, %d wide", s->n_heads, s->n_kv_heads,
                 s->head_dim);
    print_format("context", "%d tokens in training", s->n_ctx_train);
    if (s->window > 0 && !pd_model_deepseek(model))
        print_format("window", "%d tokens, except in every layer %d", s->window, s->window_period);
    print_format("vocabulary", "%d tokens", s->n_vocab);
    print_row("tokenizer", tok ? pd_tokenizer_describe(tok) : pd_model_tokenizer_problem(model));
    print_row("chat", pd_chat_family_name(pd_model_chat(model)));
    if (pd_model_deepseek(model))
        print_deepseek(pd_model_deepseek(model));
    else if (info->kv_bytes_8bit > 0)
        print_format("KV per token",
                     "%" G_GUINT64_FORMAT " bytes in 16 bit, %" G_GUINT64_FORMAT " in 8 bit",
                     info->kv_bytes_16bit, info->kv_bytes_8bit);
    else
        print_format("KV per token", "%" G_GUINT64_FORMAT " bytes in 16 bit, none in 8 bit",
                     info->kv_bytes_16bit);
    for (guint i = 0; i < info->types->len; i++) {
        const PdTypeCount *t = &g_array_index(info->types, PdTypeCount, i);
        g_autofree char *bytes = g_format_size(t->n_bytes);
        print_format(i == 0 ? "weights" : "", "%-5s %4u tensors, %s", t->name, t->n_tensors, bytes);
    }
}

static void
add_types(JsonBuilder *b, const PdModelInfo *info)
{
    json_builder_set_member_name(b, "weight_types");
    json_builder_begin_array(b);
    for (guint i = 0; i < info->types->len; i++) {
        const PdTypeCount *t = &g_array_index(info->types, PdTypeCount, i);
        json_builder_begin_object(b);
        pd_json_string(b, "type", t->name);
        pd_json_int(b, "tensors", t->n_tensors);
        pd_json_int(b, "values", t->n_values);
        pd_json_int(b, "bytes", t->n_bytes);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void
add_deepseek(JsonBuilder *b, const PdDsShape *s)
{
    json_builder_set_member_name(b, "schedule");
    json_builder_begin_array(b);
    for (int l = 0; l < s->n_layers; l++) {
        json_builder_begin_object(b);
        pd_json_string(b, "kind", s->layers[l].kind->name);
        pd_json_int(b, "tokens_per_entry", s->layers[l].ratio);
        pd_json_string(b, "experts", s->layers[l].hash ? "token" : "score");
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    pd_json_double(b, "kv_bytes_per_token_mixed", pd_ds_token_bytes(s, PD_DS_STORE_DEPLOYED));
    pd_json_double(b, "active_parameters", pd_ds_parameters(s).active);
    pd_json_double(b, "decode_flops_fp8_at_1m", pd_ds_decode_flops(s, 1048576));
}

static void
print_json(const PdModel *model, const PdModelInfo *info)
{
    const PdModelShape *s = pd_model_shape(model);
    const PdTokenizer *tok = pd_model_tokenizer(model);
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    pd_json_string(b, "name", pd_model_name(model));
    pd_json_string(b, "path", pd_model_path(model));
    pd_json_string(b, "format", info->format);
    pd_json_string(b, "arch", s->arch);
    pd_json_int(b, "parameters", info->n_values);
    pd_json_int(b, "tensors", info->n_tensors);
    pd_json_int(b, "bytes", info->n_bytes);
    pd_json_int(b, "layers", s->n_layers);
    pd_json_int(b, "width", s->n_embd);
    pd_json_int(b, "feed_forward", s->n_ff);
    pd_json_int(b, "heads", s->n_heads);
    pd_json_int(b, "kv_heads", s->n_kv_heads);
    pd_json_int(b, "head_dim", s->head_dim);
    pd_json_int(b, "context_tokens", s->n_ctx_train);
    pd_json_int(b, "window_tokens", s->window);
    pd_json_int(b, "vocabulary_tokens", s->n_vocab);
    pd_json_string(b, "tokenizer", tok ? pd_tokenizer_describe(tok) : NULL);
    pd_json_string(b, "chat", pd_chat_family_name(pd_model_chat(model)));
    pd_json_int(b, "kv_bytes_per_token_16bit", info->kv_bytes_16bit);
    pd_json_int(b, "kv_bytes_per_token_8bit", info->kv_bytes_8bit);
    if (pd_model_deepseek(model))
        add_deepseek(b, pd_model_deepseek(model));
    add_types(b, info);
    json_builder_end_object(b);
    pd_json_print(b);
}

int
pd_cmd_model_info(PdApp *app, int argc, char **argv)
{
    gboolean json = FALSE;
    const GOptionEntry options[] = {{"json", 0, 0, G_OPTION_ARG_NONE, &json, "For programs", NULL},
                                    G_OPTION_ENTRY_NULL};
    const PdModelOptions model_options = {.n_threads = 1};
    g_autoptr(PdModel) model = NULL;
    g_autoptr(PdModelInfo) info = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int code;

    if (!pd_parse_options(options, "[NAME|FILE|DIR]", summary, examples, &argc, &argv, &code))
        return code;
    if (argc > 2)
        return pd_usage("model info", "one model at a time");
    path = pd_catalogue_resolve(argc == 2 ? argv[1] : NULL, &error);
    if (path)
        model = pd_model_open(path, &model_options, &error);
    if (!model)
        return pd_fail(error);
    info = pd_model_info_new(model);
    if (json)
        print_json(model, info);
    else
        print_text(model, info);
    return PD_EXIT_OK;
}
