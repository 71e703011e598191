/* See eval.h: names, and the making of a corpus for measuring. */
#include "prompts/eval.h"

#include <errno.h>
#include <glib/gstdio.h>
#include "engine/remove_tree.h"
#include "prompts/choice.h"
#include "prompts/error.h"
#include "prompts/eval_keep.h"
#include "prompts/eval_plan.h"

static const char *const task_names[PD_EVAL_N_TASKS] = {
    [PD_EVAL_NEEDLE] = "needle",    [PD_EVAL_HOPS] = "hops",     [PD_EVAL_ABSENT] = "absent",
    [PD_EVAL_COREF] = "coref",      [PD_EVAL_REPOFN] = "repofn", [PD_EVAL_CITE] = "cite",
    [PD_EVAL_FIDELITY] = "fidelity"};

static const char *const arm_names[PD_EVAL_N_ARMS] = {
    [PD_EVAL_ARM_HYBRID] = "hybrid",   [PD_EVAL_ARM_SWEEP] = "sweep",
    [PD_EVAL_ARM_RAG] = "rag",         [PD_EVAL_ARM_ORACLE] = "oracle",
    [PD_EVAL_ARM_CEILING] = "ceiling", [PD_EVAL_ARM_CLOSED] = "closed-book",
    [PD_EVAL_ARM_DENSE] = "dense"};

const char *
pd_eval_task_name(PdEvalTask task)
{
    return task_names[task];
}

const char *
pd_eval_arm_name(PdEvalArm arm)
{
    return arm_names[arm];
}

PD_DEFINE_CHOICE_PARSER(pd_eval_task_parse, PdEvalTask, task_names)
PD_DEFINE_CHOICE_PARSER(pd_eval_arm_parse, PdEvalArm, arm_names)

void
pd_eval_corpus_free(PdEvalCorpus *eval)
{
    if (!eval)
        return;
    g_clear_pointer(&eval->items, g_ptr_array_unref);
    g_clear_pointer(&eval->notes, g_ptr_array_unref);
    g_clear_pointer(&eval->corpus, pd_corpus_free);
    g_free(eval);
}

guint64
pd_eval_corpus_length(const PdEvalCorpus *eval)
{
    return eval->n_wanted ? eval->n_wanted : eval->n_tokens;
}

static gboolean
shorten(PdEvalCorpus *eval, PdTokenizer *tokenizer, guint64 seed, GCancellable *cancellable,
        GError **error)
{
    guint64 n_kept;

    if (!pd_corpus_shorten(eval->corpus, tokenizer, eval->n_wanted ? eval->n_wanted : G_MAXINT64,
                           seed, &n_kept, cancellable, error))
        return FALSE;
    if (eval->n_wanted && n_kept < eval->n_wanted / 10 * 9)
        g_ptr_array_add(eval->notes,
                        g_strdup_printf("the corpus gives %" G_GUINT64_FORMAT
                                        " tokens in whole documents, not %" G_GUINT64_FORMAT
                                        "; nothing is repeated to fill it",
                                        n_kept, eval->n_wanted));
    return TRUE;
}

static gint
compare_items(gconstpointer a, gconstpointer b)
{
    const PdEvalItem *x = *(PdEvalItem *const *)a, *y = *(PdEvalItem *const *)b;

    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    return g_strcmp0(x->subtask, y->subtask);
}

/* The views ask nothing of their own: without another task they look at needles. */
static guint
tasks_to_plan(guint tasks)
{
    guint views = 1u << PD_EVAL_CITE | 1u << PD_EVAL_FIDELITY;

    return tasks & ~views ? tasks & ~views : 1u << PD_EVAL_NEEDLE;
}

static gboolean
plan_and_plant(PdEvalCorpus *eval, PdTokenizer *tokenizer, const PdEvalOptions *options,
               GCancellable *cancellable, GError **error)
{
    PdEvalOptions planned = *options;
    g_autoptr(PdEvalPlan) plan = NULL;

    planned.tasks = tasks_to_plan(options->tasks);
    plan = pd_eval_plan_new(eval->corpus, tokenizer, &planned, eval->notes, cancellable, error);
    if (!plan || !pd_eval_plan_repofn(plan, error) || !pd_eval_plan_coref(plan, error) ||
        !pd_eval_plan_facts(plan, error) || !pd_eval_plan_apply(plan, error))
        return FALSE;
    eval->items = g_ptr_array_ref(plan->items);
    g_ptr_array_sort(eval->items, compare_items);
    return TRUE;
}

/* As it is now, planted lines included. */
static gboolean
count(PdEvalCorpus *eval, PdTokenizer *tokenizer, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) segments = pd_corpus_segments(eval->corpus, tokenizer, cancellable, error);
    g_autoptr(GPtrArray) documents =
        segments ? pd_corpus_documents(eval->corpus, tokenizer, error) : NULL;

    if (!documents)
        return FALSE;
    eval->n_documents = documents->len;
    for (guint i = 0; i < segments->len; i++)
        eval->n_tokens += ((const PdSegmentRow *)g_ptr_array_index(segments, i))->n_tokens;
    return TRUE;
}

/* Makes the copy in a folder that holds nothing yet, questions and all. */
static gboolean
make_copy(PdCorpus *from, PdTokenizer *tokenizer, const PdEvalOptions *options, guint64 n_tokens,
          const char *id, const char *dir, GCancellable *cancellable, GError **error)
{
    g_autoptr(PdEvalCorpus) eval = g_new0(PdEvalCorpus, 1);

    eval->n_wanted = n_tokens;
    eval->notes = g_ptr_array_new_with_free_func(g_free);
    if (!pd_corpus_copy(from, dir, cancellable, error))
        return FALSE;
    eval->corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, error);
    return eval->corpus && shorten(eval, tokenizer, options->seed, cancellable, error) &&
           plan_and_plant(eval, tokenizer, options, cancellable, error) &&
           count(eval, tokenizer, cancellable, error) &&
           pd_eval_questions_save(eval, id, dir, error);
}

/* Beside `dir` first: what lies under the name itself is never half of a copy. */
static gboolean
make_and_rename(PdCorpus *from, PdTokenizer *tokenizer, const PdEvalOptions *options,
                guint64 n_tokens, const char *id, const char *dir, GCancellable *cancellable,
                GError **error)
{
    g_autofree char *part = g_strconcat(dir, ".part", NULL);

    if (g_file_test(dir, G_FILE_TEST_EXISTS)) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_QUESTIONS,
                    "%s is there and is no copy made by `eval`; remove it or name another folder "
                    "with --keep",
                    dir);
        return FALSE;
    }
    pd_remove_tree(part);
    if (!make_copy(from, tokenizer, options, n_tokens, id, part, cancellable, error)) {
        pd_remove_tree(part);
        return FALSE;
    }
    if (g_rename(part, dir) == 0)
        return TRUE;
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: cannot rename to %s: %s",
                part, dir, g_strerror(errno));
    return FALSE;
}

PdEvalCorpus *
pd_eval_corpus_new(PdCorpus *from, PdTokenizer *tokenizer, const PdEvalOptions *options,
                   guint64 n_tokens, const char *dir, GCancellable *cancellable, GError **error)
{
    g_autoptr(PdEvalCorpus) eval = g_new0(PdEvalCorpus, 1);
    g_autofree char *questions = g_build_filename(dir, PD_EVAL_QUESTIONS_FILE, NULL);
    g_autofree char *id = pd_eval_copy_id(from, tokenizer, options, n_tokens, error);

    if (!id)
        return NULL;
    if (!g_file_test(questions, G_FILE_TEST_EXISTS) &&
        !make_and_rename(from, tokenizer, options, n_tokens, id, dir, cancellable, error))
        return NULL;
    eval->n_wanted = n_tokens;
    if (!pd_eval_questions_load(eval, id, dir, error))
        return NULL;
    eval->corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, error);
    return eval->corpus ? g_steal_pointer(&eval) : NULL;
}
