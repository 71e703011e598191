/*
 * Whitening: what makes keys comparable with keys.
 *
 * Keys of a stream lie in a narrow cone around their mean, and a few directions carry most of their
 * spread, so that their plain product says little.  With the mean m and the covariance C of the
 * keys of the corpus, (x - m)' C^-1 (k - m) is the product of both after every direction has been
 * brought to the same spread; C^-1 (x - m) is therefore a query that the sweep can use as it is
 * (what m adds is the same for every key and falls out of the standard score).
 *
 * C is shrunk towards a multiple of the identity (Ledoit and Wolf, A well-conditioned estimator for
 * large-dimensional covariance matrices, 2004, with a fixed weight), so that few keys do.
 */
#ifndef PD_WHITEN_H
#define PD_WHITEN_H

#include <glib.h>

#define PD_WHITEN_RIDGE 0.01 /* of the mean variance, added to each */

/* Sums over the keys that were shown. */
typedef struct PdKeyMoments PdKeyMoments;

/* dim: of a key. */
PdKeyMoments *pd_key_moments_new(guint dim);
void pd_key_moments_free(PdKeyMoments *moments);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdKeyMoments, pd_key_moments_free)

/* rows: f32 (n, dim). */
void pd_key_moments_add(PdKeyMoments *moments, const float *rows, gsize n);

/* Replaces each of keys, f32 (n, dim), by C^-1 (key - m).  Of no keys, or of keys that are all the
 * same, C is the identity. */
void pd_key_moments_whiten(const PdKeyMoments *moments, float *keys, gsize n);

#endif
