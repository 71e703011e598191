/*
 * pandect model calibrate: which attention heads of a model find things, measured on text of the
 * user's own corpora with planted facts.  Prints the row for prompts/profile.c and what it rests
 * on, beside the heads in use now.
 */
#include "app/cmd_model.h"

#include <stdio.h>
#include <string.h>
#include "app/json_out.h"
#include "app/open.h"
#include "kernels/kv_block.h"
#include "prompts/head_choice.h"

static const char summary[] =
    "Find the attention heads of a model that find what a question asks for. Facts are planted in\n"
    "text of the corpora (in memory; nothing is changed), every head scores every block of 64\n"
    "tokens for every question, and the heads that rank the right blocks best are chosen. Without\n"
    "CORPUS the one of -C is used.";

static const char examples[] =
    "Examples:\n"
    "  pandect model calibrate code-corpus mail-corpus --model qwen2.5-coder-0.5b\n"
    "  pandect model calibrate --questions questions.jsonl --tokens 60000 --json\n"
    "\n"
    "A line of FILE is {\"question\": \"...\", \"evidence\": [{\"quote\": \"...\"}]}; a quote is "
    "text of\n"
    "one of the corpora.  Every third question of each kind is held out: it is ranked, but has no\n"
    "say in which heads are chosen.  Encoding runs the whole model over N tokens.  The row ends\n"
    "with the heads for citations, which are not measured: those in use, or else group 0.";

#define TOKENS_DEFAULT 40000
#define TOKENS_MAX 1000000

typedef struct {
    PdModelFlags model;
    char *questions;
    int tokens;
    gint64 seed;
    gboolean json;
} Flags;

static void
flags_clear(Flags *flags)
{
    pd_model_flags_clear(&flags->model);
    g_free(flags->questions);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Flags, flags_clear)

/* A set of heads and how it does. */
typedef struct {
    char *name;
    PdHeadSet set;
    double index_bytes; /* of a token */
    double percent;     /* of the token's dense 16-bit KV */
    int last_layer;
    GArray *reports; /* PdHeadReport */
} Judged;

static void
judged_clear(gpointer data)
{
    Judged *judged = data;

    g_free(judged->name);
    g_clear_pointer(&judged->reports, g_array_unref);
}

typedef struct {
    PdModel *model;
    GPtrArray *corpora;  /* PdCorpus */
    GPtrArray *contexts; /* PdContext */
    PdHaystack *haystack;
    PdHeadScores *scores;
    GArray *judged; /* Judged: the chosen set first */
} Calibration;

static void
calibration_clear(Calibration *c)
{
    g_clear_pointer(&c->judged, g_array_unref);
    g_clear_pointer(&c->scores, pd_head_scores_free);
    g_clear_pointer(&c->haystack, pd_haystack_free);
    g_clear_pointer(&c->contexts, g_ptr_array_unref);
    g_clear_pointer(&c->corpora, g_ptr_array_unref);
    g_clear_pointer(&c->model, pd_model_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Calibration, calibration_clear)

static gboolean
open_all(PdApp *app, const Flags *flags, const char *const *dirs, Calibration *c, GError **error)
{
    c->corpora = g_ptr_array_new_with_free_func((GDestroyNotify)pd_corpus_free);
    c->contexts = g_ptr_array_new_with_free_func((GDestroyNotify)pd_context_free);
    c->model = pd_open_ordinary_model(&flags->model, error);
    if (!c->model)
        return FALSE;
    for (int i = 0; dirs[i]; i++) {
        PdCorpus *corpus = pd_open_corpus(dirs[i], FALSE, error);
        PdContext *context;

        if (!corpus)
            return FALSE;
        g_ptr_array_add(c->corpora, corpus);
        context = pd_context_new(corpus, c->model, PD_READ_SWEPT, app->cancellable, error);
        if (!context)
            return FALSE;
        g_ptr_array_add(c->contexts, context);
    }
    return TRUE;
}

/* --- the sets --- */

static void
judge(Calibration *c, const char *name, const PdHeadSet *set)
{
    const PdModelShape *shape = pd_model_shape(c->model);
    PdProfile profile = pd_profile_for(shape);
    Judged judged = {.name = g_strdup(name), .set = *set};
    PdKvFormat format;

    memcpy(profile.retrieval, set->heads, sizeof profile.retrieval);
    profile.n_retrieval = set->n_heads;
    format = pd_kv_format(shape, &profile, PD_KV_INDEX);
    judged.index_bytes =
        (double)pd_key_stream_bytes(format.key_bits, shape->head_dim, PD_SCORE_BLOCK) /
        PD_SCORE_BLOCK * format.n_keys;
    judged.percent = 100 * judged.index_bytes / (double)pd_kv_dense_row_bytes(shape);
    judged.last_layer = format.n_layers - 1;
    judged.reports = pd_head_set_judge(set, c->scores, c->haystack, shape);
    g_array_append_val(c->judged, judged);
}

/* The set, and its groups where there are several. */
static void
judge_with_groups(Calibration *c, const char *name, const PdHeadSet *set)
{
    int n_groups = 1;

    judge(c, name, set);
    for (int h = 0; h < set->n_heads; h++)
        n_groups = MAX(n_groups, set->heads[h].group + 1);
    for (int group = 0; group < n_groups && n_groups > 1; group++) {
        g_autofree char *part = g_strdup_printf("%s, group %d", name, group);
        PdHeadSet of_group = pd_head_set_group(set, group);
        if (of_group.n_heads > 0)
            judge(c, part, &of_group);
    }
}

static void
judge_all(Calibration *c)
{
    const PdModelShape *shape = pd_model_shape(c->model);
    PdProfile profile = pd_profile_for(shape);
    PdHeadSet chosen = pd_head_set_choose(c->scores, c->haystack, shape);
    PdHeadSet present = {.n_heads = profile.n_retrieval};

    memcpy(present.heads, profile.retrieval, sizeof present.heads);
    c->judged = g_array_new(FALSE, FALSE, sizeof(Judged));
    g_array_set_clear_func(c->judged, judged_clear);
    judge_with_groups(c, "chosen", &chosen);
    judge_with_groups(c, profile.calibrated ? "present" : "present (not calibrated)", &present);
}

static void
append_heads(GString *row, const PdHead *heads, int n)
{
    g_string_append(row, "{");
    for (int h = 0; h < n; h++)
        g_string_append_printf(row, "%s{%d, %d, %d%s}", h ? ", " : "", heads[h].layer,
                               heads[h].head, heads[h].group, heads[h].by_keys ? ", TRUE" : "");
    g_string_append_printf(row, "}, %d", n);
}

/* Heads that say what a sentence leans on are not measured here: those in use are kept; a model
 * without a row gets the heads that find a question's own words. */
static char *
profile_row(const Calibration *c)
{
    const PdModelShape *shape = pd_model_shape(c->model);
    const PdHeadSet *set = &g_array_index(c->judged, Judged, 0).set;
    PdProfile profile = pd_profile_for(shape);
    PdHeadSet citation = pd_head_set_group(set, 0);
    GString *row = g_string_new(NULL);

    if (profile.calibrated) {
        memcpy(citation.heads, profile.citation, sizeof citation.heads);
        citation.n_heads = profile.n_citation;
    }
    g_string_append_printf(row, "{\"%s\", %d, %d, ", shape->arch, shape->n_layers, shape->n_embd);
    append_heads(row, set->heads, set->n_heads);
    g_string_append(row, ", ");
    append_heads(row, citation.heads, citation.n_heads);
    g_string_append(row, "},");
    return g_string_free(row, FALSE);
}

/* --- for people --- */

static void
print_result(const PdHeadResult *result)
{
    if (result->n == 0)
        printf("  %4d %5s %5s %5s %5s", 0, "-", "-", "-", "-");
    else
        printf("  %4u %5.3f %5.2f %5.2f %5.2f", result->n, result->mrr, result->recall[0],
               result->recall[1], result->recall[2]);
}

static void
print_judged(const Judged *judged)
{
    printf("\n%s:", judged->name);
    for (int h = 0; h < judged->set.n_heads; h++) {
        g_autofree char *name = pd_head_name(&judged->set.heads[h]);
        printf("%s %s",
               h && judged->set.heads[h].group != judged->set.heads[h - 1].group ? " |" : "", name);
    }
    printf("\nindex: %.0f bytes a token, %.2f%% of dense 16-bit KV; last layer %d\n",
           judged->index_bytes, judged->percent, judged->last_layer);
    printf("%-12s  %4s %5s %5s %5s %5s  %4s %5s %5s %5s %5s\n", "", "held", "MRR", "@8", "@16",
           "@32", "all", "MRR", "@8", "@16", "@32");
    for (guint k = 0; k < judged->reports->len; k++) {
        const PdHeadReport *report = &g_array_index(judged->reports, PdHeadReport, k);
        printf("%-12s", report->kind ? report->kind : "mean");
        print_result(&report->held_out);
        print_result(&report->all);
        putchar('\n');
    }
}

static void
print_text(const Calibration *c, const Flags *flags)
{
    g_autofree char *row = profile_row(c);
    g_autofree char *name = pd_terminal_safe(pd_model_name(c->model), -1);

    printf("%s: %u questions about %u blocks of text, %u tokens with headers, seed "
           "%" G_GINT64_FORMAT "\n",
           name, c->haystack->questions->len, c->haystack->n_blocks, c->haystack->n_rows,
           flags->seed);
    puts("heads are layer.head, k: by keys, groups apart by |; @k: right blocks among the best k");
    for (guint i = 0; i < c->judged->len; i++)
        print_judged(&g_array_index(c->judged, Judged, i));
    printf("\nfor prompts/profile.c:\n    %s\n", row);
}

/* --- for programs --- */

static void
json_result(JsonBuilder *json, const char *name, const PdHeadResult *result)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_object(json);
    pd_json_int(json, "questions", result->n);
    if (result->n > 0) {
        pd_json_double(json, "mrr", result->mrr);
        pd_json_double(json, "recall_at_8", result->recall[0]);
        pd_json_double(json, "recall_at_16", result->recall[1]);
        pd_json_double(json, "recall_at_32", result->recall[2]);
    }
    json_builder_end_object(json);
}

static void
json_judged(JsonBuilder *json, const Judged *judged)
{
    json_builder_begin_object(json);
    pd_json_string(json, "name", judged->name);
    json_builder_set_member_name(json, "heads");
    json_builder_begin_array(json);
    for (int h = 0; h < judged->set.n_heads; h++) {
        json_builder_begin_object(json);
        pd_json_int(json, "layer", judged->set.heads[h].layer);
        pd_json_int(json, "head", judged->set.heads[h].head);
        pd_json_int(json, "group", judged->set.heads[h].group);
        pd_json_bool(json, "by_keys", judged->set.heads[h].by_keys);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    pd_json_double(json, "index_bytes_per_token", judged->index_bytes);
    pd_json_double(json, "index_percent_of_dense", judged->percent);
    pd_json_int(json, "last_layer", judged->last_layer);
    json_builder_set_member_name(json, "kinds");
    json_builder_begin_array(json);
    for (guint k = 0; k < judged->reports->len; k++) {
        const PdHeadReport *report = &g_array_index(judged->reports, PdHeadReport, k);
        json_builder_begin_object(json);
        pd_json_string(json, "kind", report->kind ? report->kind : "mean");
        json_result(json, "held_out", &report->held_out);
        json_result(json, "all", &report->all);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
}

static void
print_json(const Calibration *c, const Flags *flags)
{
    const PdModelShape *shape = pd_model_shape(c->model);
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autofree char *row = profile_row(c);

    json_builder_begin_object(json);
    pd_json_string(json, "model", pd_model_name(c->model));
    pd_json_string(json, "arch", shape->arch);
    pd_json_int(json, "layers", shape->n_layers);
    pd_json_int(json, "width", shape->n_embd);
    pd_json_int(json, "seed", flags->seed);
    pd_json_int(json, "questions", c->haystack->questions->len);
    pd_json_int(json, "blocks", c->haystack->n_blocks);
    pd_json_int(json, "tokens", c->haystack->n_rows);
    json_builder_set_member_name(json, "sets");
    json_builder_begin_array(json);
    for (guint i = 0; i < c->judged->len; i++)
        json_judged(json, &g_array_index(c->judged, Judged, i));
    json_builder_end_array(json);
    pd_json_string(json, "row", row);
    json_builder_end_object(json);
    pd_json_print(json);
}

/* --- the command --- */

static void
on_progress(const char *doing, guint64 done, guint64 total, gpointer user_data)
{
    pd_progress_update(user_data, doing, done, total);
}

static gboolean
run(PdApp *app, const Flags *flags, const char *const *dirs, GError **error)
{
    const PdHaystackOptions options = {.questions = flags->questions,
                                       .n_tokens = (guint)flags->tokens,
                                       .seed = (guint64)flags->seed};
    g_auto(Calibration) c = {0};
    g_autoptr(PdProgress) progress = NULL;

    if (!open_all(app, flags, dirs, &c, error))
        return FALSE;
    c.haystack = pd_haystack_new(c.contexts, &options, error);
    if (!c.haystack)
        return FALSE;
    progress = pd_progress_new(app, "");
    c.scores = pd_head_scores_new(c.contexts->pdata[0], c.haystack, on_progress, progress,
                                  app->cancellable, error);
    g_clear_pointer(&progress, pd_progress_free);
    if (!c.scores)
        return FALSE;
    judge_all(&c);
    if (flags->json)
        print_json(&c, flags);
    else
        print_text(&c, flags);
    return TRUE;
}

int
pd_cmd_model_calibrate(PdApp *app, int argc, char **argv)
{
    g_auto(Flags) flags = {.tokens = TOKENS_DEFAULT, .seed = 1};
    const char *own[] = {app->corpus_dir, NULL};
    const GOptionEntry entries[] = {
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &flags.model.model,
         "Model name, GGUF file or folder", "NAME|FILE"},
        {"questions", 0, 0, G_OPTION_ARG_FILENAME, &flags.questions,
         "More questions, with the text that answers them", "FILE"},
        {"tokens", 0, 0, G_OPTION_ARG_INT, &flags.tokens, "Text to search in (default: 40000)",
         "N"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &flags.seed, "Of facts and places (default: 1)", "S"},
        {"threads", 't', 0, G_OPTION_ARG_INT, &flags.model.threads, "Threads (default: one a core)",
         "N"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "For programs", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    int code;

    if (!pd_parse_options(entries, "[CORPUS...]", summary, examples, &argc, &argv, &code))
        return code;
    if (flags.tokens < PD_HAYSTACK_TOKENS_MIN || flags.tokens > TOKENS_MAX)
        return pd_usage("model calibrate", "--tokens is a number from %d to %d",
                        PD_HAYSTACK_TOKENS_MIN, TOKENS_MAX);
    if (flags.seed < 0 || flags.seed > G_MAXUINT32)
        return pd_usage("model calibrate", "--seed is a number from 0 to 4294967295");
    if (flags.model.threads < 0)
        return pd_usage("model calibrate", "--threads is a number from 1 on");
    return run(app, &flags, argc > 1 ? (const char *const *)argv + 1 : own, &error)
               ? PD_EXIT_OK
               : pd_fail(error);
}
