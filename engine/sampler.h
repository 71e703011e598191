/* From logits to a token: greedy, or seeded temperature / top-p / min-p, optionally restricted to a
 * set of allowed ids (constrained decoding). */
#ifndef PD_SAMPLER_H
#define PD_SAMPLER_H

#include <glib.h>

typedef struct {
    float temperature;        /* 0: greedy; ties go to the lower id */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off; keep p >= min_p * p_max */
    float repetition_penalty; /* 1: off */
    guint64 seed;
} PdSamplerOptions;

typedef struct PdSampler PdSampler;
PdSampler *pd_sampler_new(const PdSamplerOptions *options);
void pd_sampler_free(PdSampler *sampler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdSampler, pd_sampler_free)

/* logits (n_vocab) are not changed.  `recent`: ids for the penalty, may be NULL. */
gint32 pd_sampler_pick(PdSampler *sampler, const float *logits, int n_vocab, const gint32 *recent,
                       int n_recent);
/* The best of all n; ties go to the lower id, not-a-numbers to none. */
gint32 pd_sampler_best(const float *logits, int n);
/* The best of `allowed`, greedy; n_allowed >= 1. */
gint32 pd_sampler_pick_of(const float *logits, const gint32 *allowed, int n_allowed);

#endif
