/* See sweep.h. */
#include "prompts/sweep.h"

#include <math.h>
#include <string.h>
#include "prompts/sweep_internal.h"

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

/* z[b] of one question and head: its words' best scores as their mean or maximum.  best:
 * (n_blocks, stride), of which this question has n. */
static void
pool_plain(PdSweepPool pool, const float *best, gsize stride, gsize n, guint n_blocks, float *z)
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

/* z[b] = sum_i w_i z_i[b] / sum_i w_i,  z_i: word i's scores standardised over the blocks,
 * w_i = max_b z_i[b].  word: scratch for n_blocks. */
static void
pool_weighed(const float *best, gsize stride, gsize n, guint n_blocks, float *word, float *z)
{
    float weights = 0;

    memset(z, 0, n_blocks * sizeof *z);
    for (gsize i = 0; i < n; i++) {
        float most = 0;

        for (guint b = 0; b < n_blocks; b++)
            word[b] = best[b * stride + i];
        standardise(word, n_blocks);
        for (guint b = 0; b < n_blocks; b++)
            most = MAX(most, word[b]);
        for (guint b = 0; b < n_blocks; b++)
            z[b] += most * word[b];
        weights += most;
    }
    for (guint b = 0; b < n_blocks && weights > 0; b++)
        z[b] /= weights;
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

/* The blocks' scores from the heads' z: the largest over the groups of heads of the standardised
 * mean of the group's heads.  mean: scratch for one float a block. */
static void
fuse(GArray *blocks, const float *z, const PdHead *heads, int n_heads, float *mean)
{
    int n_groups = 0;

    for (int h = 0; h < n_heads; h++)
        n_groups = MAX(n_groups, heads[h].group + 1);
    for (guint b = 0; b < blocks->len; b++)
        g_array_index(blocks, PdBlock, b).score = -INFINITY;
    for (int group = 0; group < n_groups; group++) {
        memset(mean, 0, blocks->len * sizeof *mean);
        for (int h = 0; h < n_heads; h++)
            for (guint b = 0; b < blocks->len && heads[h].group == group; b++)
                mean[b] += z[(gsize)h * blocks->len + b];
        standardise(mean, blocks->len);
        for (guint b = 0; b < blocks->len; b++) {
            PdBlock *block = &g_array_index(blocks, PdBlock, b);
            block->score = MAX(block->score, mean[b]);
        }
    }
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

/* One question's order of all blocks from everything that was scored.  scratch: one float a
 * block. */
static GArray *
rank(const PdSweepQueries *queries, guint question, PdSweepPool pool, GArray *all,
     const float *best, float *z, float *scratch)
{
    GArray *blocks = g_array_copy(all);
    gsize stride = (gsize)queries->n_queries;
    gsize first = (gsize)queries->first[question];
    gsize n = (gsize)queries->first[question + 1] - first;

    for (int h = 0; h < queries->n_heads; h++) {
        float *of_head = z + (gsize)h * blocks->len;
        const float *words = best + (gsize)h * blocks->len * stride + first;

        if (pool == PD_SWEEP_POOL_WEIGHED)
            pool_weighed(words, stride, n, blocks->len, scratch, of_head);
        else
            pool_plain(pool, words, stride, n, blocks->len, of_head);
        standardise(of_head, blocks->len);
    }
    fuse(blocks, z, queries->heads, queries->n_heads, scratch);
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
    g_autofree float *best = NULL, *z = NULL, *scratch = NULL;

    if (n_questions == 0)
        return g_steal_pointer(&ranked);
    if (!pd_sweep_queries_make(&queries, questions, cancellable, error))
        return NULL;
    best = g_try_malloc_n((gsize)n_heads * (gsize)queries.n_queries, all->len * sizeof(float));
    z = g_try_malloc_n((gsize)n_heads, all->len * sizeof(float));
    scratch = g_try_malloc_n(all->len, sizeof(float));
    if (!best || !z || !scratch) {
        pd_sweep_no_memory(error);
        return NULL;
    }
    if (!pd_sweep_scan(&queries, used.norm, all->len, best, cancellable, error))
        return NULL;
    for (guint i = 0; i < n_questions; i++) {
        g_ptr_array_add(ranked, rank(&queries, i, used.pool, all, best, z, scratch));
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
