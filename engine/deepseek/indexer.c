/*
 * The lightning indexer (section 4.3).  With K_w its own compressed keys, q[h] its query heads and
 * a[h] a weight per head that may be negative,
 *
 *   score[w] = sum_h a[h] max(0, q[h] . K_w)
 *
 * and the min(top_k, visible) largest are attended.  Few heads make many exact zeros: ties go to
 * the lower index, so that the choice does not depend on anything but the scores.
 */
#include "engine/deepseek/reference.h"

void
pd_ds_index_scores(const PdDsShape *s, const float *q, const float *weights, const float *keys,
                   int n_keys, float *scores)
{
    gsize dim = (gsize)s->index_dim;
    for (int w = 0; w < n_keys; w++) {
        double sum = 0;
        for (int h = 0; h < s->index_heads; h++) {
            double dot = pd_ds_dot(q + (gsize)h * dim, keys + (gsize)w * dim, s->index_dim);
            sum += weights[h] * MAX(dot, 0);
        }
        scores[w] = (float)sum;
    }
}

/* Whether score a at index i comes before b at j. */
static gboolean
is_better(const float *scores, int i, int j)
{
    return scores[i] > scores[j] || (scores[i] == scores[j] && i < j);
}

/* Restores the heap whose worst element is the root after the root was replaced. */
static void
sift_down(const float *scores, int *heap, int n)
{
    for (int at = 0;;) {
        int worst = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++) {
            if (is_better(scores, heap[worst], heap[child]))
                worst = child;
        }
        if (worst == at)
            return;
        int swap = heap[at];
        heap[at] = heap[worst];
        heap[worst] = swap;
        at = worst;
    }
}

static void
sift_up(const float *scores, int *heap, int at)
{
    while (at > 0 && is_better(scores, heap[(at - 1) / 2], heap[at])) {
        int parent = (at - 1) / 2, swap = heap[at];
        heap[at] = heap[parent];
        heap[parent] = swap;
        at = parent;
    }
}

static int
compare_ints(gconstpointer a, gconstpointer b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

int
pd_ds_top_k(const float *scores, int n, int k, int *picks)
{
    int n_picks = MIN(n, k);
    for (int i = 0; i < n_picks; i++) {
        picks[i] = i;
        sift_up(scores, picks, i);
    }
    for (int i = n_picks; i < n && n_picks > 0; i++) {
        if (is_better(scores, i, picks[0])) {
            picks[0] = i;
            sift_down(scores, picks, n_picks);
        }
    }
    qsort(picks, (gsize)n_picks, sizeof *picks, compare_ints);
    return n_picks;
}
