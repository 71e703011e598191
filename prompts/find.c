/* See find.h. */
#include "prompts/find.h"

#include "prompts/choice.h"
#include "prompts/follow.h"
#include "prompts/lexical.h"
#include "prompts/rerank.h"
#include "prompts/sweep.h"

static const char *const arm_names[] = {
    [PD_ARM_AUTO] = "auto", [PD_ARM_SWEEP] = "sweep", [PD_ARM_FTS] = "fts", [PD_ARM_BOTH] = "both"};

const char *
pd_arm_name(PdArm arm)
{
    return arm_names[arm];
}

gboolean
pd_parse_arm(const char *word, PdArm *arm)
{
    guint value;
    gboolean ok = pd_parse_choice(word, arm_names, G_N_ELEMENTS(arm_names), &value);

    *arm = (PdArm)value;
    return ok;
}

/* What words find for one question, alone or among what the sweep found. */
static GArray *
search_words(PdContext *context, const char *question, GArray *swept, guint n_rerank,
             GCancellable *cancellable, GError **error)
{
    g_autoptr(GArray) found =
        pd_lexical_search(context, question, PD_FIND_BY_WORDS, cancellable, error);

    if (!found || !swept)
        return g_steal_pointer(&found);
    pd_lexical_insure(swept, found);
    if (!pd_rerank_blocks(context, question, swept, n_rerank, cancellable, error))
        return NULL;
    return pd_follow_lead(context, question, swept, cancellable, error) ? g_array_ref(swept) : NULL;
}

GPtrArray *
pd_find_blocks(PdContext *context, const char *const *questions, guint n, PdArm arm, guint n_rerank,
               GCancellable *cancellable, GError **error)
{
    const PdProfile *profile = &context->profile;
    g_autoptr(GPtrArray) swept = NULL;
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    if (arm != PD_ARM_FTS) {
        swept = pd_sweep_many(context, questions, n, profile->retrieval, profile->n_retrieval, NULL,
                              cancellable, error);
        if (!swept || arm == PD_ARM_SWEEP)
            return g_steal_pointer(&swept);
    }
    for (guint i = 0; i < n; i++) {
        GArray *blocks = search_words(context, questions[i], swept ? swept->pdata[i] : NULL,
                                      n_rerank, cancellable, error);
        if (!blocks)
            return NULL;
        g_ptr_array_add(found, blocks);
    }
    return g_steal_pointer(&found);
}
