/* See bench_gate.h. */
#include "app/bench_gate.h"

#include <stdio.h>
#include "app/json_out.h"
#include "ingest/corpus.h"
#include "prompts/kv_gate.h"

static const char usual_widths[] = "8/8,8/4,6/4,5/4,4/4,5/3,4/3,3/3,2/2";

static gboolean
tokens_of_corpus(PdApp *app, PdTokenizer *tokenizer, GArray *ids, GError **error)
{
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_READ, error);
    g_autoptr(GPtrArray) rows =
        corpus ? pd_corpus_segments(corpus, tokenizer, app->cancellable, error) : NULL;

    for (guint i = 0; rows && i < rows->len && ids->len < PD_KV_GATE_TOKENS; i++) {
        const PdSegmentRow *row = g_ptr_array_index(rows, i);
        g_array_append_vals(ids, row->ids, row->n_tokens);
    }
    return rows != NULL;
}

static GArray *
read_tokens(PdApp *app, PdModel *model, const char *path, GError **error)
{
    PdTokenizer *tokenizer = pd_model_tokenizer(model);
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_autofree char *text = NULL;
    gsize n;

    if (!tokenizer)
        return g_steal_pointer(&ids); /* refused for its length */
    if (!path)
        return tokens_of_corpus(app, tokenizer, ids, error) ? g_steal_pointer(&ids) : NULL;
    if (!g_file_get_contents(path, &text, &n, error))
        return NULL;
    pd_tokenizer_encode(tokenizer, text, n, ids, NULL);
    return g_steal_pointer(&ids);
}

static gboolean
is_width(gint64 bits)
{
    return (bits >= 2 && bits <= 6) || bits == 8;
}

static gboolean
parse_widths(const char *word, gint64 *key_bits, gint64 *value_bits)
{
    g_auto(GStrv) parts = g_strsplit(word, "/", -1);

    return g_strv_length(parts) == 2 &&
           g_ascii_string_to_signed(parts[0], 10, 2, 8, key_bits, NULL) &&
           g_ascii_string_to_signed(parts[1], 10, 2, 8, value_bits, NULL) && is_width(*key_bits) &&
           is_width(*value_bits);
}

static void
show_row(const PdKvGateRow *row, JsonBuilder *json)
{
    if (!json) {
        printf("%4d %6d %8.1f %% %11.5f %8.1f %%   %s\n", row->key_bits, row->value_bits,
               100 * row->share, row->mean_kl, 100 * row->top1, row->passed ? "passes" : "refused");
        fflush(stdout);
        return;
    }
    json_builder_begin_object(json);
    pd_json_int(json, "key_bits", row->key_bits);
    pd_json_int(json, "value_bits", row->value_bits);
    pd_json_double(json, "share_of_dense", row->share);
    pd_json_double(json, "mean_kl_nats", row->mean_kl);
    pd_json_double(json, "top1_agreement", row->top1);
    pd_json_bool(json, "passed", row->passed);
    json_builder_end_object(json);
}

static gboolean
measure_all(PdApp *app, PdModel *model, const GArray *ids, GStrv widths, JsonBuilder *json,
            guint *n_refused, GError **error)
{
    g_autoptr(PdKvGate) gate =
        pd_kv_gate_new(model, (const gint32 *)ids->data, ids->len, app->cancellable, error);

    *n_refused = 0;
    for (int i = 0; gate && widths[i]; i++) {
        gint64 key_bits, value_bits;
        PdKvGateRow row;

        parse_widths(widths[i], &key_bits, &value_bits);
        if (!pd_kv_gate_measure(gate, (int)key_bits, (int)value_bits, PD_KV_GATE_NATS, &row,
                                app->cancellable, error))
            return FALSE;
        show_row(&row, json);
        *n_refused += !row.passed;
    }
    return gate != NULL;
}

int
pd_bench_gate(PdApp *app, PdModel *model, const char *text, const char *widths, gboolean json)
{
    g_auto(GStrv) words = g_strsplit(widths ? widths : usual_widths, ",", -1);
    g_autoptr(JsonBuilder) builder = json ? json_builder_new() : NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) ids = NULL;
    gint64 key_bits, value_bits;
    guint n_refused;

    for (int i = 0; words[i]; i++)
        if (!parse_widths(words[i], &key_bits, &value_bits))
            return pd_usage("bench", "--widths is a list like 8/4,4/4 of 2, 3, 4, 5, 6 or 8 bits");
    ids = read_tokens(app, model, text, &error);
    if (!ids)
        return pd_fail(error);
    if (json) {
        json_builder_begin_object(builder);
        pd_json_string(builder, "model", pd_model_name(model));
        pd_json_int(builder, "tokens", MIN(ids->len, PD_KV_GATE_TOKENS));
        pd_json_double(builder, "gate_nats", PD_KV_GATE_NATS);
        json_builder_set_member_name(builder, "rows");
        json_builder_begin_array(builder);
    } else {
        printf("%s, %u tokens; at most %.2f nats pass\n", pd_model_name(model),
               MIN(ids->len, PD_KV_GATE_TOKENS), PD_KV_GATE_NATS);
        printf("keys values   of dense     mean KL      top-1\n");
    }
    if (!measure_all(app, model, ids, words, builder, &n_refused, &error))
        return pd_fail(error);
    if (json) {
        json_builder_end_array(builder);
        json_builder_end_object(builder);
        pd_json_print(builder);
    }
    return widths && n_refused > 0 ? PD_EXIT_FAILED : PD_EXIT_OK;
}
