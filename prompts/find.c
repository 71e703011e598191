/* See find.h. */
#include "prompts/find.h"

#include "prompts/choice.h"
#include "prompts/follow.h"
#include "prompts/lexical.h"
#include "prompts/sweep.h"

static const char *const arm_names[] = {
    [PD_ARM_AUTO] = "auto", [PD_ARM_SWEEP] = "sweep", [PD_ARM_FTS] = "fts", [PD_ARM_BOTH] = "both"};

const char *
pd_arm_name(PdArm arm)
{
    return arm_names[arm];
}

PD_DEFINE_CHOICE_PARSER(pd_parse_arm, PdArm, arm_names)

/* All that is found for. */
typedef struct {
    PdContext *context;
    const char *const *questions;
    guint n;
    const PdFindOptions *options;
    guint at; /* the present question */
    GCancellable *cancellable;
} Find;

static void
on_reranked(guint64 done, guint64 total, gpointer user_data)
{
    Find *find = user_data;
    const PdFindOptions *options = find->options;

    if (options->progress)
        options->progress(find->at * total + done, find->n * total, options->user_data);
}

/* What words find for the present question, alone or among what the sweep found. */
static GArray *
search_words(Find *find, GArray *swept, GError **error)
{
    PdContext *context = find->context;
    const char *question = find->questions[find->at];
    g_autoptr(GArray) found =
        pd_lexical_search(context, question, PD_FIND_BY_WORDS, find->cancellable, error);

    if (!found || !swept)
        return g_steal_pointer(&found);
    pd_lexical_insure(swept, found);
    if (!pd_rerank_blocks(context, question, swept, find->options->n_rerank, find->cancellable,
                          on_reranked, find, error) ||
        !pd_follow_lead(context, question, swept, find->cancellable, error))
        return NULL;
    return g_array_ref(swept);
}

GPtrArray *
pd_find_blocks(PdContext *context, const char *const *questions, guint n,
               const PdFindOptions *options, GCancellable *cancellable, GError **error)
{
    const PdProfile *profile = &context->profile;
    Find find = {.context = context,
                 .questions = questions,
                 .n = n,
                 .options = options,
                 .cancellable = cancellable};
    g_autoptr(GPtrArray) swept = NULL;
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    if (options->arm != PD_ARM_FTS) {
        swept = pd_sweep_many(context, questions, n, profile->retrieval, profile->n_retrieval, NULL,
                              cancellable, error);
        if (!swept || options->arm == PD_ARM_SWEEP)
            return g_steal_pointer(&swept);
    }
    for (; find.at < n; find.at++) {
        GArray *blocks = search_words(&find, swept ? swept->pdata[find.at] : NULL, error);
        if (!blocks)
            return NULL;
        g_ptr_array_add(found, blocks);
    }
    return g_steal_pointer(&found);
}
