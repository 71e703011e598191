/* pandect eval: the recall certificate of a corpus. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "app/commands.h"
#include "app/open.h"
#include "engine/remove_tree.h"
#include "prompts/eval.h"

static const char examples[] =
    "Tasks:\n"
    "  needle    planted statements: literal, multi-key (among look-alikes), multi-value (three\n"
    "            places), paraphrase (the question shares no content word with the statement)\n"
    "  hops      two planted statements in two documents\n"
    "  absent    questions of the same form that nothing in the corpus answers\n"
    "  coref     the corpus's own mail: how the nth of several alike begins\n"
    "  repofn    the corpus's own functions, asked for by their comment, which is taken out\n"
    "  cite      does the citation point at the place (shown with every task)\n"
    "  fidelity  the place's rank in the index; agreement with dense where that ran\n"
    "\n"
    "Arms:\n"
    "  hybrid       what `ask` does with a corpus larger than the window\n"
    "  sweep        the retrieval heads alone, without words and what they lead to\n"
    "  rag          BM25's best passages in the same window, same reader\n"
    "  oracle       the passages with the answer and nothing else\n"
    "  ceiling      dense over 4,096 tokens: those passages among others of the corpus\n"
    "  closed-book  no passage\n"
    "  dense        the whole corpus in the model's window, where it fits\n"
    "\n"
    "Examples:\n"
    "  pandect -C case eval needle\n"
    "  pandect -C case eval needle hops absent --tokens 32768,131072 --items 24 --csv out.csv\n"
    "  pandect -C case eval needle --no-read --tokens max --items 48\n"
    "  pandect -C case eval repofn --arms hybrid,oracle --json > repofn.jsonl\n"
    "  pandect -C case eval needle --tokens 131072 --keep measured    (stopped?  The same again)\n"
    "\n"
    "The corpus itself is not changed: for each length a copy is made, shortened to whole "
    "documents\n"
    "that the seed chooses, and the facts are planted in it.  With --keep the copies stay, "
    "can be\n"
    "asked, shown and verified like any corpus, and the same command goes on where it was "
    "stopped;\n"
    "other arms and models use the same copies.  Answers are judged by string rules; intervals "
    "are\n"
    "Wilson's at 95 %.  Ctrl-C prints what is finished.";

typedef struct {
    PdModelFlags model;
    char *arms;
    char *tokens;
    char *keep;
    char *csv;
    gint64 seed;
    int items;
    int budget;
    int max_tokens;
    int rerank;
    gboolean no_read;
    gboolean again;
    gboolean json;
} EvalFlags;

static void
eval_flags_clear(EvalFlags *flags)
{
    pd_model_flags_clear(&flags->model);
    g_free(flags->arms);
    g_free(flags->tokens);
    g_free(flags->keep);
    g_free(flags->csv);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EvalFlags, eval_flags_clear)

/* Everything of one run. */
typedef struct {
    PdApp *app;
    const EvalFlags *flags;
    PdEvalOptions options;
    GArray *lengths; /* guint64, 0: all */
    PdCorpus *corpus;
    PdModel *model;
    char *run; /* what the answers depend on besides the question */
    GPtrArray *results;
    PdEvalAnswers *answers; /* of the present length; NULL: they are not kept */
    GError *answers_error;  /* why one could not be */
    PdProgress *progress;
} Eval;

static void
eval_clear(Eval *eval)
{
    g_clear_pointer(&eval->progress, pd_progress_free);
    g_clear_pointer(&eval->answers, pd_eval_answers_free);
    g_clear_error(&eval->answers_error);
    g_clear_pointer(&eval->results, g_ptr_array_unref);
    g_free(eval->run);
    g_clear_pointer(&eval->lengths, g_array_unref);
    g_clear_pointer(&eval->model, pd_model_unref);
    g_clear_pointer(&eval->corpus, pd_corpus_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Eval, eval_clear)

/* --- options --- */

static gboolean
parse_tasks(int argc, char **argv, guint *tasks, int *exit_code)
{
    PdEvalTask task;

    for (int i = 1; i < argc; i++) {
        if (!pd_eval_task_parse(argv[i], &task)) {
            *exit_code = pd_usage("eval",
                                  "no task '%s'; there are: needle hops absent coref "
                                  "repofn cite fidelity",
                                  argv[i]);
            return FALSE;
        }
        *tasks |= 1u << task;
    }
    if (!*tasks)
        *exit_code = pd_usage("eval", "which task? needle hops absent coref repofn cite fidelity");
    return *tasks != 0;
}

static gboolean
parse_arms(const char *text, guint *arms, int *exit_code)
{
    g_auto(GStrv) words = g_strsplit(text ? text : "hybrid,rag,oracle,closed-book", ",", -1);
    PdEvalArm arm;

    for (int i = 0; words[i]; i++) {
        if (!pd_eval_arm_parse(words[i], &arm)) {
            *exit_code = pd_usage("eval",
                                  "no arm '%s'; there are: hybrid sweep rag oracle ceiling "
                                  "closed-book dense",
                                  words[i]);
            return FALSE;
        }
        *arms |= 1u << arm;
    }
    return TRUE;
}

static gboolean
parse_lengths(const char *text, GArray *lengths, int *exit_code)
{
    g_auto(GStrv) words = g_strsplit(text ? text : "max", ",", -1);

    for (int i = 0; words[i]; i++) {
        guint64 length = 0;
        if (!g_str_equal(words[i], "max") &&
            !g_ascii_string_to_unsigned(words[i], 10, 1024, G_MAXINT64, &length, NULL)) {
            *exit_code = pd_usage(
                "eval", "--tokens is a list of numbers from 1024 on, or max, not '%s'", words[i]);
            return FALSE;
        }
        g_array_append_val(lengths, length);
    }
    return TRUE;
}

static gboolean
fill_options(Eval *eval, int argc, char **argv, int *exit_code)
{
    const EvalFlags *flags = eval->flags;
    guint needs_reading = 1u << PD_EVAL_ARM_DENSE;

    if (!parse_tasks(argc, argv, &eval->options.tasks, exit_code) ||
        !parse_arms(flags->arms, &eval->options.arms, exit_code) ||
        !parse_lengths(flags->tokens, eval->lengths, exit_code))
        return FALSE;
    if (!pd_parse_kv_tier(flags->model.kv, &eval->options.kv)) {
        *exit_code = pd_usage("eval", "--kv is auto, index or full, not '%s'", flags->model.kv);
        return FALSE;
    }
    if (!pd_parse_rerank(flags->rerank, &eval->options.ask.rerank)) {
        *exit_code = pd_usage("eval", "--rerank is a number of blocks, not %d", flags->rerank);
        return FALSE;
    }
    if (flags->items < 1 || flags->items > 10000 || flags->budget < 0 || flags->max_tokens < 0) {
        *exit_code = pd_usage("eval", "--items, --budget and --max-tokens are positive numbers");
        return FALSE;
    }
    eval->options.items = (guint)flags->items;
    eval->options.seed = (guint64)flags->seed;
    eval->options.ask.budget_tokens = flags->budget;
    eval->options.ask.max_answer_tokens = flags->max_tokens;
    eval->options.ask.sampler.top_p = 1;
    eval->options.ask.sampler.repetition_penalty = 1;
    /* Ranks need no answers; without dense there is nothing else to see. */
    eval->options.no_read = flags->no_read || (eval->options.tasks == 1u << PD_EVAL_FIDELITY &&
                                               !(eval->options.arms & needs_reading));
    return TRUE;
}

/* --- running --- */

static void
on_stage(const char *stage, guint64 done, guint64 total, gpointer user_data)
{
    Eval *eval = user_data;

    pd_progress_update(eval->progress, stage, done, total);
}

static void
print_result(const Eval *eval, const PdEvalResult *result)
{
    g_autofree char *json = NULL;

    if (!eval->flags->json)
        return;
    json = pd_eval_result_json(result, eval->run);
    puts(json);
    fflush(stdout);
}

static void
on_result(const PdEvalResult *result, gpointer user_data)
{
    Eval *eval = user_data;

    print_result(eval, result);
    if (eval->answers && !pd_eval_answers_add(eval->answers, result, &eval->answers_error))
        g_clear_pointer(&eval->answers, pd_eval_answers_free);
}

/* "pandect 0.1, rules 2, model 1f2e..., kv auto, answers, budget 1536, rerank 24, longest answer
 * 256" */
static char *
describe_run(const Eval *eval, GError **error)
{
    const EvalFlags *flags = eval->flags;
    const char *id = pd_model_id(eval->model, eval->app->cancellable, error);

    if (!id)
        return NULL;
    return g_strdup_printf(
        "pandect %s, rules %d, model %s, kv %s, %s, budget %d, rerank %d, longest answer %d",
        PD_VERSION, PD_ASK_RULES, id, pd_kv_tier_name(eval->options.kv),
        eval->options.no_read ? "ranks alone" : "answers",
        flags->budget ? flags->budget : PD_ASK_BUDGET_TOKENS,
        flags->rerank == PD_RERANK_NOT_GIVEN ? pd_profile_for(pd_model_shape(eval->model)).n_rerank
                                             : flags->rerank,
        flags->max_tokens ? flags->max_tokens : PD_ASK_ANSWER_TOKENS);
}

/* The answers to one length's questions that are there from before. */
static gboolean
open_answers(Eval *eval, const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, "answers.jsonl", NULL);
    guint n_before = eval->results->len;

    eval->answers =
        pd_eval_answers_open(path, eval->run, eval->flags->again ? NULL : eval->results, error);
    if (!eval->answers)
        return FALSE;
    for (guint i = n_before; i < eval->results->len; i++)
        print_result(eval, g_ptr_array_index(eval->results, i));
    if (eval->results->len > n_before)
        pd_warn("going on: %u answers of this model and these settings are in %s (--again: ask "
                "anew)",
                eval->results->len - n_before, path);
    return TRUE;
}

static void
print_length(Eval *eval, const PdEvalCorpus *corpus, const char *dir)
{
    guint64 length = pd_eval_corpus_length(corpus);
    g_autofree char *table = pd_eval_table(eval->results, length);

    for (guint i = 0; i < corpus->notes->len; i++)
        pd_warn("%s", (const char *)g_ptr_array_index(corpus->notes, i));
    if (eval->flags->json)
        return;
    printf("%" G_GUINT64_FORMAT " tokens in %u documents, %u questions, %s, seed %" G_GINT64_FORMAT
           "\n",
           corpus->n_tokens, corpus->n_documents, corpus->items->len, pd_model_name(eval->model),
           eval->flags->seed);
    printf("%s\n", table);
    if (eval->flags->keep)
        printf("kept: pandect -C %s ask QUESTION\n\n", dir);
    fflush(stdout);
}

/* One length: make, run, print, remove. */
static gboolean
run_length(Eval *eval, guint64 length, const char *work_dir, GError **error)
{
    g_autofree char *name =
        length ? g_strdup_printf("%" G_GUINT64_FORMAT, length) : g_strdup("max");
    g_autofree char *dir = g_build_filename(work_dir, name, NULL);
    PdEvalEvents events = {on_stage, on_result, eval};
    g_autoptr(PdEvalCorpus) corpus = NULL;
    gboolean ok = FALSE;

    eval->progress = pd_progress_new(eval->app, "");
    pd_progress_update(eval->progress, "making a corpus to measure", 0, 0);
    corpus = pd_eval_corpus_new(eval->corpus, pd_model_tokenizer(eval->model), &eval->options,
                                length, dir, eval->app->cancellable, error);
    g_clear_pointer(&eval->progress, pd_progress_free);
    if (corpus && (!eval->flags->keep || open_answers(eval, dir, error))) {
        eval->progress = pd_progress_new(eval->app, "");
        ok = pd_eval_run(corpus, eval->model, &eval->options, &events, eval->results,
                         eval->app->cancellable, error);
        g_clear_pointer(&eval->progress, pd_progress_free);
    }
    g_clear_pointer(&eval->answers, pd_eval_answers_free);
    if (ok && eval->answers_error) {
        g_propagate_error(error, g_steal_pointer(&eval->answers_error));
        ok = FALSE;
    }
    if (corpus)
        print_length(eval, corpus, dir);
    g_clear_pointer(&corpus, pd_eval_corpus_free);
    if (!eval->flags->keep)
        pd_remove_tree(dir);
    return ok;
}

static gboolean
make_work_dir(const EvalFlags *flags, char **dir, GError **error)
{
    if (!flags->keep) {
        *dir = g_dir_make_tmp("pandect-eval-XXXXXX", error);
        return *dir != NULL;
    }
    *dir = g_strdup(flags->keep);
    if (g_mkdir_with_parents(*dir, 0777) == 0)
        return TRUE;
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: cannot make: %s", *dir,
                g_strerror(errno));
    return FALSE;
}

static gboolean
run_lengths(Eval *eval, GError **error)
{
    g_autofree char *work_dir = NULL;
    gboolean ok = TRUE;

    if (!make_work_dir(eval->flags, &work_dir, error))
        return FALSE;
    for (guint i = 0; i < eval->lengths->len && ok; i++)
        ok = run_length(eval, g_array_index(eval->lengths, guint64, i), work_dir, error);
    if (!eval->flags->keep)
        pd_remove_tree(work_dir);
    return ok;
}

/* Also after Ctrl-C: what is finished is worth its place. */
static gboolean
write_report(Eval *eval, GError **error)
{
    if (eval->flags->json) {
        g_autofree char *summary = pd_eval_summary_json(eval->results, eval->model, &eval->options);
        puts(summary);
    }
    if (eval->flags->csv) {
        g_autofree char *csv = pd_eval_csv(eval->results);
        return g_file_set_contents(eval->flags->csv, csv, -1, error);
    }
    return TRUE;
}

static int
run_eval(Eval *eval)
{
    g_autoptr(GError) error = NULL, report_error = NULL;
    gboolean ok;

    eval->corpus = pd_corpus_open(eval->app->corpus_dir, PD_CORPUS_READ, &error);
    if (!eval->corpus)
        return pd_fail(error);
    eval->model = pd_open_ordinary_model(&eval->flags->model, &error);
    if (!eval->model)
        return pd_fail(error);
    eval->run = describe_run(eval, &error);
    if (!eval->run)
        return pd_fail(error);
    eval->results = g_ptr_array_new_with_free_func((GDestroyNotify)pd_eval_result_free);
    ok = run_lengths(eval, &error);
    if (!write_report(eval, &report_error))
        return pd_fail(report_error);
    return ok ? PD_EXIT_OK : pd_fail(error);
}

int
pd_cmd_eval(PdApp *app, int argc, char **argv)
{
    g_auto(EvalFlags) flags = {.items = 12, .seed = 1, .rerank = PD_RERANK_NOT_GIVEN};
    g_auto(Eval) eval = {.app = app, .flags = &flags};
    int exit_code = PD_EXIT_OK;
    const GOptionEntry entries[] = {
        PD_MODEL_OPTION_ENTRIES(flags.model),
        {"tokens", 0, 0, G_OPTION_ARG_STRING, &flags.tokens,
         "Lengths of the corpus, with commas: numbers or max (max)", "N,..."},
        {"items", 0, 0, G_OPTION_ARG_INT, &flags.items, "Questions of each kind (12)", "N"},
        {"arms", 0, 0, G_OPTION_ARG_STRING, &flags.arms,
         "What answers, with commas (hybrid,rag,oracle,closed-book)", "ARM,..."},
        {"no-read", 0, 0, G_OPTION_ARG_NONE, &flags.no_read,
         "Only where the places rank in the index: nothing is answered", NULL},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &flags.seed, "Documents, facts and places (1)", "N"},
        {"budget", 0, 0, G_OPTION_ARG_INT, &flags.budget, "Tokens of passages that are read (1536)",
         "TOKENS"},
        {"max-tokens", 0, 0, G_OPTION_ARG_INT, &flags.max_tokens, "Longest answer (256)", "TOKENS"},
        {"rerank", 0, 0, G_OPTION_ARG_INT, &flags.rerank,
         "So many of the best blocks are put in order by reading each (0: none; as measured for "
         "the model)",
         "N"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json,
         "A line of JSON for each answer, a summary last", NULL},
        {"csv", 0, 0, G_OPTION_ARG_FILENAME, &flags.csv, "Also the summary as CSV", "FILE"},
        {"keep", 0, 0, G_OPTION_ARG_FILENAME, &flags.keep,
         "Keep copies and answers in this folder, and go on with those there", "DIR"},
        {"again", 0, 0, G_OPTION_ARG_NONE, &flags.again,
         "Ask anew what --keep's folder has answers to", NULL},
        G_OPTION_ENTRY_NULL};

    if (!pd_parse_options(entries, "TASK...",
                          "Measure how much of what this corpus says is found and answered, with "
                          "planted facts whose place is known.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    eval.lengths = g_array_new(FALSE, FALSE, sizeof(guint64));
    if (!fill_options(&eval, argc, argv, &exit_code))
        return exit_code;
    return run_eval(&eval);
}
