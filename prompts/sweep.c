/* See sweep.h. */
#include "prompts/sweep.h"

#include <math.h>
#include "prompts/sweep_internal.h"
#include "prompts/sweep_pool.h"

PdPassage
pd_block_passage(const PdContext *context, const PdBlock *block, guint margin_tokens)
{
    const PdSegmentRow *row =
        g_array_index(context->segments, PdContextSegment, block->segment).row;
    guint first = block->first_token - MIN(block->first_token, margin_tokens);
    guint last = MIN(block->first_token + block->n_tokens + margin_tokens, row->n_tokens);

    return (PdPassage){
        .number = 1, .segment = block->segment, .first_token = first, .n_tokens = last - first};
}

static GArray *
list_blocks(PdContext *context)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(PdBlock));

    for (guint s = 0; s < context->segments->len; s++) {
        guint n_tokens = g_array_index(context->segments, PdContextSegment, s).row->n_tokens;
        for (guint at = 0; at < n_tokens; at += PD_SWEEP_BLOCK_TOKENS) {
            PdBlock block = {.segment = s,
                             .first_token = at,
                             .n_tokens = MIN(PD_SWEEP_BLOCK_TOKENS, n_tokens - at),
                             .best_z = -INFINITY,
                             .found_by = PD_FOUND_SWEEP};
            g_array_append_val(blocks, block);
        }
    }
    return blocks;
}

static int
compare_blocks(gconstpointer a, gconstpointer b)
{
    const PdBlock *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->first_token < y->first_token ? -1 : x->first_token > y->first_token;
}

/* The head that likes each block best. */
static void
name_best_heads(GArray *blocks, const float *z, int n_heads)
{
    for (int h = 0; h < n_heads; h++)
        for (guint b = 0; b < blocks->len; b++) {
            PdBlock *block = &g_array_index(blocks, PdBlock, b);
            float of_head = z[(gsize)h * blocks->len + b];

            if (of_head > block->best_z) {
                block->best_z = of_head;
                block->best_head = h;
            }
        }
}

/* One question's order of all blocks from everything that was scored.  scratch: two floats
 * a block. */
static GArray *
rank(const PdSweepQueries *queries, guint question, GArray *all, const float *best, float *z,
     float *scratch)
{
    GArray *blocks = g_array_copy(all);
    gsize stride = (gsize)queries->n_queries;
    gsize first = (gsize)queries->first[question];
    gsize n = (gsize)queries->first[question + 1] - first;
    float *scores = scratch + blocks->len;

    for (int h = 0; h < queries->n_heads; h++) {
        float *of_head = z + (gsize)h * blocks->len;
        const float *words = best + (gsize)h * blocks->len * stride + first;

        pd_sweep_pool(words, stride, n, blocks->len, scratch, of_head);
    }
    pd_sweep_fuse(z, queries->heads, queries->n_heads, blocks->len, scratch, scores);
    for (guint b = 0; b < blocks->len; b++)
        g_array_index(blocks, PdBlock, b).score = scores[b];
    name_best_heads(blocks, z, queries->n_heads);
    g_array_sort(blocks, compare_blocks);
    return blocks;
}

GPtrArray *
pd_sweep_many(PdContext *context, const char *const *questions, guint n_questions,
              const PdHead *heads, int n_heads, GArray *scores, GCancellable *cancellable,
              GError **error)
{
    g_autoptr(GArray) all = list_blocks(context);
    g_autoptr(GPtrArray) ranked = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_auto(PdSweepQueries) queries = {
        .context = context, .heads = heads, .n_heads = n_heads, .n_questions = n_questions};
    g_autofree float *best = NULL, *z = NULL, *scratch = NULL;

    if (n_questions == 0)
        return g_steal_pointer(&ranked);
    if (!pd_sweep_queries_make(&queries, questions, cancellable, error) ||
        !pd_sweep_whiten(&queries, all->len, cancellable, error))
        return NULL;
    best = g_try_malloc_n((gsize)n_heads * (gsize)queries.n_queries, all->len * sizeof(float));
    z = g_try_malloc_n((gsize)n_heads, all->len * sizeof(float));
    scratch = g_try_malloc_n(all->len, 2 * sizeof(float));
    if (!best || !z || !scratch) {
        pd_sweep_no_memory(error);
        return NULL;
    }
    if (!pd_sweep_scan(&queries, all->len, best, cancellable, error))
        return NULL;
    for (guint i = 0; i < n_questions; i++) {
        g_ptr_array_add(ranked, rank(&queries, i, all, best, z, scratch));
        if (scores)
            g_array_append_vals(scores, z, (guint)n_heads * all->len);
    }
    return g_steal_pointer(&ranked);
}

GArray *
pd_sweep(PdContext *context, const char *question, const PdHead *heads, int n_heads, GArray *scores,
         GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) ranked =
        pd_sweep_many(context, &question, 1, heads, n_heads, scores, cancellable, error);

    return ranked ? g_array_ref(ranked->pdata[0]) : NULL;
}
