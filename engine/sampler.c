/*
 * From logits to a token.
 *
 *   p_i = exp((l_i - l_max) / temperature) / sum
 *   kept: p_i >= min_p * p_max, and the smallest set of largest p whose sum reaches top_p
 *         (nucleus sampling, Holtzman et al. 2020), both measured on the whole distribution
 *
 * Order of equal probabilities is by id, sums are in double, and the random numbers are splitmix64
 * (Steele, Lea, Flood 2014): the same logits and seed give the same tokens.
 * A logit that is no number counts as -infinity.
 */
#include "engine/sampler.h"

#include <math.h>

typedef struct {
    double p; /* relative to the largest: 1 for the best */
    gint32 id;
} Candidate;

struct PdSampler {
    PdSamplerOptions options;
    guint64 state;
    GArray *candidates; /* Candidate; a max-heap while top_p is cut */
    GArray *penalized;  /* float copy of the logits */
};

PdSampler *
pd_sampler_new(const PdSamplerOptions *options)
{
    PdSampler *s = g_new0(PdSampler, 1);
    s->options = *options;
    s->state = options->seed;
    s->candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
    s->penalized = g_array_new(FALSE, FALSE, sizeof(float));
    return s;
}

void
pd_sampler_free(PdSampler *s)
{
    if (s == NULL)
        return;
    g_array_unref(s->candidates);
    g_array_unref(s->penalized);
    g_free(s);
}

/* Uniform in [0, 1): the upper 53 bits of splitmix64. */
static double
next_uniform(PdSampler *s)
{
    guint64 z = s->state += G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * G_GUINT64_CONSTANT(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * G_GUINT64_CONSTANT(0x94D049BB133111EB);
    z ^= z >> 31;
    return (z >> 11) * 0x1p-53;
}

gint32
pd_sampler_best(const float *logits, int n)
{
    gint32 best = 0;
    float best_logit = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (logits[i] > best_logit) {
            best = i;
            best_logit = logits[i];
        }
    }
    return best;
}

gint32
pd_sampler_pick_of(const float *logits, const gint32 *allowed, int n_allowed)
{
    gint32 best = allowed[0];
    float best_logit = isnan(logits[best]) ? -INFINITY : logits[best];
    for (int i = 1; i < n_allowed; i++) {
        float logit = logits[allowed[i]];
        if (logit > best_logit || (logit == best_logit && allowed[i] < best)) {
            best = allowed[i];
            best_logit = logit;
        }
    }
    return best;
}

/* The repetition penalty of CTRL (Keskar et al. 2019): once per id, however often it occurred. */
static const float *
penalize(PdSampler *s, const float *logits, int n_vocab, const gint32 *recent, int n_recent)
{
    float penalty = s->options.repetition_penalty;
    if (recent == NULL || n_recent <= 0 || penalty == 1.0f || !(penalty > 0))
        return logits;
    g_array_set_size(s->penalized, 0);
    g_array_append_vals(s->penalized, logits, n_vocab);
    float *out = (float *)s->penalized->data;
    for (int i = 0; i < n_recent; i++) {
        gint32 id = recent[i];
        if (id >= 0 && id < n_vocab)
            out[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
    return out;
}

static gboolean
before(const Candidate *a, const Candidate *b)
{
    return a->p != b->p ? a->p > b->p : a->id < b->id;
}

static void
sift_down(Candidate *heap, gsize n, gsize at)
{
    Candidate moving = heap[at];
    for (;;) {
        gsize child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/* Order the smallest prefix of best candidates whose sum reaches top_p of total; the popped ones
 * collect, best last, behind the shrinking heap.  Returns how many there are. */
static gsize
cut_top_p(Candidate *heap, gsize n, double wanted)
{
    double sum = 0;
    gsize left = n;
    for (gsize i = n / 2; i > 0; i--)
        sift_down(heap, n, i - 1);
    do {
        Candidate best = heap[0];
        sum += best.p;
        heap[0] = heap[--left];
        if (left > 0)
            sift_down(heap, left, 0);
        heap[left] = best;
    } while (left > 0 && sum < wanted);
    return n - left;
}

/* One of the candidates by their weights. */
static gint32
draw(PdSampler *s, const Candidate *kept, gsize n)
{
    double total = 0;
    for (gsize i = 0; i < n; i++)
        total += kept[i].p;
    double target = next_uniform(s) * total;
    for (gsize i = 0; i < n; i++) {
        target -= kept[i].p;
        if (target < 0)
            return kept[i].id;
    }
    return kept[n - 1].id; /* rounding */
}

gint32
pd_sampler_pick(PdSampler *s, const float *logits, int n_vocab, const gint32 *recent, int n_recent)
{
    const PdSamplerOptions *o = &s->options;
    logits = penalize(s, logits, n_vocab, recent, n_recent);
    gint32 best = pd_sampler_best(logits, n_vocab);
    /* Infinite or no finite logits leave nothing to draw from. */
    if (!(o->temperature > 0) || !isfinite(logits[best]))
        return best;

    double total = 0; /* of the whole distribution, which top_p refers to */
    g_array_set_size(s->candidates, 0);
    for (int i = 0; i < n_vocab; i++) {
        Candidate c = {.id = i};
        if (isnan(logits[i]))
            continue;
        c.p = exp(((double)logits[i] - logits[best]) / o->temperature);
        total += c.p;
        if (c.p > 0 && c.p >= o->min_p)
            g_array_append_val(s->candidates, c);
    }
    Candidate *kept = (Candidate *)s->candidates->data;
    gsize n = s->candidates->len;
    if (n == 0)
        return best; /* min_p above 1 */
    if (o->top_p < 1) {
        gsize n_top = cut_top_p(kept, n, o->top_p * total);
        kept += n - n_top;
        n = n_top;
    }
    return draw(s, kept, n);
}
