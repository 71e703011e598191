/* See sweep.h. */
#include "prompts/sweep.h"

#include <math.h>
#include <string.h>
#include "prompts/sweep_internal.h"

/* z[b] of one question and head: its words' best scores as one number.  best: (n_blocks, stride),
 * of which this question has n. */
static void
pool_words(PdSweepPool pool, const float *best, gsize stride, gsize n, guint n_blocks, float *z)
{
    for (guint b = 0; b < n_blocks; b++) {
        const float *of_block = best + b * stride;
        double sum = 0;
        float most = -INFINITY;

        for (gsize i = 0; i < n; i++) {
            sum += of_block[i];
            most = MAX(most, of_block[i]);
        }
        z[b] = pool == PD_SWEEP_POOL_MAX ? most : (float)(sum / (double)n);
    }
}

static void
standardise(float *scores, guint n)
{
    double sum = 0, squares = 0, mean, deviation;

    for (guint i = 0; i < n; i++)
        sum += scores[i];
    mean = sum / n;
    for (guint i = 0; i < n; i++)
        squares += (scores[i] - mean) * (scores[i] - mean);
    deviation = sqrt(squares / n);
    for (guint i = 0; i < n; i++)
        scores[i] = deviation > 0 ? (float)((scores[i] - mean) / deviation) : 0;
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

/* The blocks' scores from the heads' z. */
static void
fuse(GArray *blocks, const float *z, int n_heads)
{
    for (int h = 0; h < n_heads; h++)
        for (guint b = 0; b < blocks->len; b++) {
            PdBlock *block = &g_array_index(blocks, PdBlock, b);
            float score = z[(gsize)h * blocks->len + b];

            block->score += score / (float)n_heads;
            if (score > block->best_z) {
                block->best_z = score;
                block->best_head = h;
            }
        }
}

/* One question's order of all blocks from everything that was scored. */
static GArray *
rank(const PdSweepQueries *queries, guint question, PdSweepPool pool, GArray *all,
     const float *best, float *z)
{
    GArray *blocks = g_array_copy(all);
    gsize stride = (gsize)queries->n_queries;
    gsize first = (gsize)queries->first[question];
    gsize n = (gsize)queries->first[question + 1] - first;

    for (int h = 0; h < queries->n_heads; h++) {
        float *of_head = z + (gsize)h * blocks->len;
        pool_words(pool, best + (gsize)h * blocks->len * stride + first, stride, n, blocks->len,
                   of_head);
        standardise(of_head, blocks->len);
    }
    fuse(blocks, z, queries->n_heads);
    g_array_sort(blocks, compare_blocks);
    return blocks;
}

GPtrArray *
pd_sweep_many(PdContext *context, const char *const *questions, guint n_questions,
              const PdHead *heads, int n_heads, const PdSweepMethod *method, GArray *scores,
              GCancellable *cancellable, GError **error)
{
    g_autoptr(GArray) all = list_blocks(context);
    g_autoptr(GPtrArray) ranked = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_auto(PdSweepQueries) queries = {
        .context = context, .heads = heads, .n_heads = n_heads, .n_questions = n_questions};
    PdSweepMethod used = method ? *method : (PdSweepMethod){PD_SWEEP_POOL, PD_SWEEP_NORM};
    g_autofree float *best = NULL, *z = NULL;

    if (n_questions == 0)
        return g_steal_pointer(&ranked);
    if (!pd_sweep_queries_make(&queries, questions, cancellable, error))
        return NULL;
    best = g_try_malloc_n((gsize)n_heads * (gsize)queries.n_queries, all->len * sizeof(float));
    z = g_try_malloc_n((gsize)n_heads, all->len * sizeof(float));
    if (!best || !z) {
        pd_sweep_no_memory(error);
        return NULL;
    }
    if (!pd_sweep_scan(&queries, used.norm, all->len, best, cancellable, error))
        return NULL;
    for (guint i = 0; i < n_questions; i++) {
        g_ptr_array_add(ranked, rank(&queries, i, used.pool, all, best, z));
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
        pd_sweep_many(context, &question, 1, heads, n_heads, NULL, scores, cancellable, error);

    return ranked ? g_array_ref(ranked->pdata[0]) : NULL;
}
