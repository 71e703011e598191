/*
 * Putting the questions: every item in every arm, through pd_ask wherever an answer is wanted.
 *
 * All arms but `dense` share one swept context and differ only in the passages; so prompt, reader
 * and citations are the same.  Items go round robin over subtasks, all arms of an item after each
 * other, `dense` last of all: what is finished when a run is cut short can be compared.
 */
#include "prompts/eval.h"

#include <string.h>
#include "prompts/error.h"
#include "prompts/eval_plan.h"
#include "prompts/mix.h"
#include "prompts/layout.h"
#include "prompts/select.h"

typedef struct {
    PdEvalCorpus *eval;
    PdModel *model;
    const PdEvalOptions *options;
    const PdEvalEvents *events;
    GPtrArray *results;
    GCancellable *cancellable;
    PdContext *context; /* of the present arms */
    guint64 done, total;
} Run;

void
pd_eval_result_free(PdEvalResult *result)
{
    g_free(result->question);
    g_strfreev(result->gold);
    g_free(result->place);
    g_free(result->answer);
    g_free(result->withheld);
    g_free(result);
}

gboolean
pd_eval_results_find(GPtrArray *results, guint64 length, const char *subtask, guint index,
                     PdEvalArm arm, guint *at)
{
    for (*at = 0; *at < results->len; ++*at) {
        const PdEvalResult *result = g_ptr_array_index(results, *at);
        if (result->arm == arm && result->index == index && result->length == length &&
            g_str_equal(result->subtask, subtask))
            return TRUE;
    }
    return FALSE;
}

/* --- places in the context ------------------------------------------------------------------- */

static gboolean
overlaps(Run *run, const PdEvalPlace *place, guint segment, guint first_token, guint n_tokens)
{
    const PdSegmentRow *row = g_array_index(run->context->segments, PdContextSegment, segment).row;
    guint32 start, end;

    if (row->part_id != place->part_id)
        return FALSE;
    pd_segment_bytes(row, first_token, n_tokens, &start, &end);
    return start < place->end && end > place->start;
}

/* The worst of the places' best ranks; 0 if a place is in no block. */
static guint
rank_of(Run *run, const PdEvalItem *item, GArray *blocks)
{
    guint worst = 0;

    for (guint p = 0; p < item->places->len; p++) {
        const PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, p);
        guint rank = 0;

        for (guint b = 0; b < blocks->len && !rank; b++) {
            const PdBlock *block = &g_array_index(blocks, PdBlock, b);
            if (overlaps(run, place, block->segment, block->first_token, block->n_tokens))
                rank = b + 1;
        }
        if (!rank)
            return 0;
        worst = MAX(worst, rank);
    }
    return worst;
}

static gboolean
all_read(Run *run, const PdEvalItem *item, GArray *passages)
{
    for (guint p = 0; p < item->places->len; p++) {
        const PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, p);
        gboolean read = FALSE;

        for (guint i = 0; i < passages->len && !read; i++) {
            const PdPassage *passage = &g_array_index(passages, PdPassage, i);
            read = overlaps(run, place, passage->segment, passage->first_token, passage->n_tokens);
        }
        if (!read)
            return FALSE;
    }
    return item->places->len > 0;
}

static gboolean
any_cited(const PdEvalItem *item, GArray *citations)
{
    for (guint c = 0; c < citations->len; c++)
        for (guint p = 0; p < item->places->len; p++) {
            const PdCitation *citation = &g_array_index(citations, PdCitation, c);
            const PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, p);
            if (citation->part_id == place->part_id && citation->start < place->end &&
                citation->end > place->start)
                return TRUE;
        }
    return FALSE;
}

/* --- passages of the arms -------------------------------------------------------------------- */

/* The blocks in which the item's places stand, the first of each place first. */
static GArray *
gold_blocks(Run *run, const PdEvalItem *item)
{
    GArray *blocks = g_array_new(FALSE, TRUE, sizeof(PdBlock));
    GArray *segments = run->context->segments;

    for (guint s = 0; s < segments->len; s++) {
        const PdSegmentRow *row = g_array_index(segments, PdContextSegment, s).row;
        for (guint t = 0; t < row->n_tokens; t += PD_SWEEP_BLOCK_TOKENS) {
            PdBlock block = {.segment = s,
                             .first_token = t,
                             .n_tokens = MIN(PD_SWEEP_BLOCK_TOKENS, row->n_tokens - t)};
            for (guint p = 0; p < item->places->len; p++)
                if (overlaps(run, &g_array_index(item->places, PdEvalPlace, p), s, t,
                             block.n_tokens)) {
                    g_array_append_val(blocks, block);
                    break;
                }
        }
    }
    return blocks;
}

/* As `ask` would read them if the index had found these blocks and nothing else. */
static GArray *
oracle_passages(Run *run, const PdEvalItem *item, GError **error)
{
    g_autoptr(GArray) blocks = gold_blocks(run, item);
    PdSelection selection = {.budget_tokens = PD_ASK_BUDGET_TOKENS};

    return pd_select_passages(run->context, blocks, &selection, error);
}

static gint
compare_passages(gconstpointer a, gconstpointer b)
{
    const PdPassage *x = a, *y = b;

    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->first_token < y->first_token ? -1 : x->first_token > y->first_token;
}

static gboolean
has_segment(GArray *passages, guint segment)
{
    for (guint i = 0; i < passages->len; i++)
        if (g_array_index(passages, PdPassage, i).segment == segment)
            return TRUE;
    return FALSE;
}

/* The gold passages among other segments' beginnings, up to 4,096 tokens in corpus order. */
static GArray *
ceiling_passages(Run *run, const PdEvalItem *item, GError **error)
{
    GArray *passages = oracle_passages(run, item, error);
    GArray *segments = run->context->segments;
    guint64 state = pd_mix(run->options->seed ^ item->index ^ g_str_hash(item->subtask));
    guint n_tokens = run->context->prefix->len;
    /* question and answer have to fit as well */
    guint limit = MIN(PD_EVAL_CEILING_TOKENS, (guint)pd_model_shape(run->model)->n_ctx_train) - 512;

    if (!passages)
        return NULL;
    for (guint i = 0; i < passages->len; i++)
        n_tokens += g_array_index(passages, PdPassage, i).n_tokens + PD_HEADER_TOKENS_MAX;
    for (guint tries = 0; tries < 4 * segments->len && n_tokens < limit; tries++) {
        PdPassage other = {.fresh = TRUE};
        const PdContextSegment *segment;

        state = pd_mix(state);
        other.segment = (guint)(state % segments->len);
        segment = &g_array_index(segments, PdContextSegment, other.segment);
        if (has_segment(passages, other.segment))
            continue;
        other.n_tokens = MIN(MIN(segment->row->n_tokens, 512), limit - n_tokens);
        n_tokens += other.n_tokens + segment->header_ids->len + 4;
        g_array_append_val(passages, other);
    }
    g_array_sort(passages, compare_passages);
    return passages;
}

/* --- one question ---------------------------------------------------------------------------- */

/* Has it been put before? */
static gboolean
is_done(Run *run, const PdEvalItem *item, PdEvalArm arm)
{
    guint at;

    return pd_eval_results_find(run->results, pd_eval_corpus_length(run->eval), item->subtask,
                                item->index, arm, &at);
}

static PdEvalResult *
result_new(Run *run, const PdEvalItem *item, PdEvalArm arm)
{
    PdEvalResult *result = g_new0(PdEvalResult, 1);

    result->task = item->task;
    result->subtask = item->subtask;
    result->index = item->index;
    result->depth = item->depth;
    result->arm = arm;
    result->length = pd_eval_corpus_length(run->eval);
    result->question = g_strdup(item->fact->question);
    result->gold = g_new0(char *, item->fact->accept->len + 1);
    for (guint i = 0; i < item->fact->accept->len; i++)
        result->gold[i] = g_strdup(g_ptr_array_index(item->fact->accept, i));
    result->n_places = item->places->len;
    if (item->places->len > 0) {
        const PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, 0);
        result->place =
            pd_corpus_locate(run->eval->corpus, place->part_id, place->start, place->end, NULL);
    }
    return result;
}

/* Where the places stand in a ranking, and whether its winners would be read. */
static void
judge_ranking(Run *run, const PdEvalItem *item, GArray *blocks, GArray *passages,
              PdEvalResult *result)
{
    result->ranked = blocks != NULL;
    if (blocks) {
        result->rank = rank_of(run, item, blocks);
        result->n_blocks = blocks->len;
    }
    result->read = all_read(run, item, passages);
}

static void
judge_answer(const PdEvalItem *item, const PdAnswer *answer, PdEvalResult *result)
{
    result->answered = TRUE;
    result->answer = g_strstrip(g_strdup(answer->text->str));
    result->refused = pd_says_not_found(result->answer);
    result->right =
        item->places->len ? pd_fact_answered(item->fact, result->answer) : result->refused;
    result->withheld = g_strdup(answer->withheld);
    result->withheld_right =
        answer->withheld && item->places->len && pd_fact_answered(item->fact, answer->withheld);
    result->checked = answer->checked;
    result->support = answer->support;
    result->n_citations = answer->citations->len;
    result->cited = any_cited(item, answer->citations);
    result->n_prompt_tokens = answer->n_prompt_tokens;
}

static PdArm
ask_arm(PdEvalArm arm)
{
    if (arm == PD_EVAL_ARM_RAG)
        return PD_ARM_FTS;
    return arm == PD_EVAL_ARM_SWEEP ? PD_ARM_SWEEP : PD_ARM_BOTH;
}

/* The ranking alone. */
static gboolean
rank_only(Run *run, const PdEvalItem *item, PdEvalResult *result, GError **error)
{
    const PdReadings *readings = pd_context_readings(run->context);
    int budget = run->options->ask.budget_tokens;
    PdSelection selection = {.budget_tokens = budget > 0 ? (guint)budget : PD_ASK_BUDGET_TOKENS,
                             .likely_margin = readings->of[readings->n - 1].likely_margin};
    const char *question = item->fact->question;
    PdFindOptions find = {.arm = ask_arm(result->arm),
                          .n_rerank = pd_ask_n_rerank(run->context, &run->options->ask)};
    g_autoptr(GPtrArray) found =
        pd_find_blocks(run->context, &question, 1, &find, run->cancellable, error);
    g_autoptr(GArray) passages = NULL;
    GArray *blocks;

    if (!found)
        return FALSE;
    blocks = found->pdata[0];
    passages = pd_select_passages(run->context, blocks, &selection, error);
    if (!passages)
        return FALSE;
    judge_ranking(run, item, blocks, passages, result);
    return TRUE;
}

static gboolean
ask_item(Run *run, const PdEvalItem *item, PdEvalResult *result, GError **error)
{
    PdAskOptions ask = run->options->ask;
    g_autoptr(GArray) passages = NULL;
    g_autoptr(PdAnswer) answer = NULL;

    if (result->arm == PD_EVAL_ARM_ORACLE && !(passages = oracle_passages(run, item, error)))
        return FALSE;
    if (result->arm == PD_EVAL_ARM_CEILING && !(passages = ceiling_passages(run, item, error)))
        return FALSE;
    if (result->arm == PD_EVAL_ARM_CLOSED)
        passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    ask.passages = passages;
    ask.arm = ask_arm(result->arm);
    if (passages)
        ask.reread = TRUE;
    answer = pd_ask(run->context, item->fact->question, &ask, NULL, run->cancellable, error);
    if (!answer)
        return FALSE;
    judge_ranking(run, item, answer->blocks, answer->passages, result);
    judge_answer(item, answer, result);
    return TRUE;
}

static gboolean
run_item(Run *run, const PdEvalItem *item, PdEvalArm arm, GError **error)
{
    PdEvalResult *result = result_new(run, item, arm);
    gint64 started_us = g_get_monotonic_time();
    gboolean ok = run->options->no_read ? rank_only(run, item, result, error)
                                        : ask_item(run, item, result, error);

    if (!ok) {
        pd_eval_result_free(result);
        return FALSE;
    }
    result->seconds = (g_get_monotonic_time() - started_us) / 1e6;
    g_ptr_array_add(run->results, result);
    run->done++;
    if (run->events && run->events->result)
        run->events->result(result, run->events->user_data);
    if (run->events && run->events->stage)
        run->events->stage("asking", run->done, run->total, run->events->user_data);
    return TRUE;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void
on_warm(guint64 done, guint64 total, gpointer user_data)
{
    Run *run = user_data;

    if (run->events && run->events->stage)
        run->events->stage("reading the corpus", done, total, run->events->user_data);
}

static gboolean
open_context(Run *run, PdReadMode mode, GError **error)
{
    PdWarmReport report = {0};

    g_clear_pointer(&run->context, pd_context_free);
    run->context = pd_context_new(run->eval->corpus, run->model, mode, run->cancellable, error);
    return run->context &&
           (run->options->kv == PD_KV_AUTO ||
            pd_context_set_tier(run->context, run->options->kv, run->cancellable, error)) &&
           pd_context_warm(run->context, &report, on_warm, run, run->cancellable, error);
}

/* Questions of these arms that are still to be put. */
static guint64
count_open(Run *run, guint arms)
{
    guint64 n = 0;

    for (guint i = 0; i < run->eval->items->len; i++)
        for (guint arm = 0; arm < PD_EVAL_N_ARMS; arm++)
            n += (arms & 1u << arm) && !is_done(run, g_ptr_array_index(run->eval->items, i), arm);
    return n;
}

static gboolean
run_items(Run *run, guint arms, GError **error)
{
    for (guint i = 0; i < run->eval->items->len; i++)
        for (guint arm = 0; arm < PD_EVAL_N_ARMS; arm++) {
            const PdEvalItem *item = g_ptr_array_index(run->eval->items, i);
            if ((arms & 1u << arm) && !is_done(run, item, arm) && !run_item(run, item, arm, error))
                return FALSE;
        }
    return TRUE;
}

static gboolean
run_swept(Run *run, guint arms, GError **error)
{
    return count_open(run, arms) == 0 ||
           (open_context(run, PD_READ_SWEPT, error) && run_items(run, arms, error));
}

/* Where the corpus does not fit the window that is said, and the other arms stand. */
static gboolean
run_dense(Run *run, GError **error)
{
    guint dense = 1u << PD_EVAL_ARM_DENSE;
    g_autoptr(GError) local = NULL;

    if (count_open(run, dense) == 0)
        return TRUE;
    if (open_context(run, PD_READ_WHOLE, &local))
        return run_items(run, dense, error);
    if (!g_error_matches(local, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_TOO_LONG)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    g_ptr_array_add(run->eval->notes, g_strdup_printf("dense: %s", local->message));
    return TRUE;
}

gboolean
pd_eval_run(PdEvalCorpus *eval, PdModel *model, const PdEvalOptions *options,
            const PdEvalEvents *events, GPtrArray *results, GCancellable *cancellable,
            GError **error)
{
    Run run = {.eval = eval,
               .model = model,
               .options = options,
               .events = events,
               .results = results,
               .cancellable = cancellable};
    guint dense = 1u << PD_EVAL_ARM_DENSE,
          ranked = 1u << PD_EVAL_ARM_HYBRID | 1u << PD_EVAL_ARM_SWEEP | 1u << PD_EVAL_ARM_RAG;
    guint arms = options->no_read ? options->arms & ranked : options->arms;
    gboolean ok;

    run.total = count_open(&run, arms);
    ok = run_swept(&run, arms & ~dense, error) && (!(arms & dense) || run_dense(&run, error));
    g_clear_pointer(&run.context, pd_context_free);
    return ok;
}
