/*
 * The DeepSeek-V4 forward pass in plain C: one file an equation, floats in, floats out, sums in
 * double.  It is what a faster path is compared with, so it is written to be read.
 *
 * Every function treats a token by itself and adds in a fixed order: results do not depend on how a
 * prompt is cut.
 */
#ifndef PD_DEEPSEEK_REFERENCE_H
#define PD_DEEPSEEK_REFERENCE_H

#include "engine/deepseek/weights.h"

/* --- linear.c --- */

/* y[t][i] = sum_c w[first_row + i][c] x[t][c] for i < n_rows; rows of x and y lie x_stride and
 * y_stride floats apart; `row` is room for w->n_cols floats. */
void pd_ds_product_rows(const PdDsMatrix *w, int first_row, int n_rows, const float *x,
                        gsize x_stride, int n, float *y, gsize y_stride, float *row);
/* All rows of w, x and y without gaps. */
void pd_ds_product(const PdDsMatrix *w, const float *x, int n, float *y, float *row);
double pd_ds_dot(const float *a, const float *b, int n);
/* Section 2.2; weight NULL: none.  y may be x. */
void pd_ds_rms_norm(const float *x, const float *weight, int n, float eps, float *y);
float pd_ds_sigmoid(float x);

/* --- rope.c: section 3.2 --- */

typedef struct {
    float freq[256]; /* of each pair */
    int n_pairs;
    float amplitude;
} PdDsRope;

void pd_ds_rope_init(PdDsRope *rope, const PdDsRopeShape *shape, int rope_dim);
/* cos and sin of every pair at a position, (n_pairs, 2). */
void pd_ds_rope_at(const PdDsRope *rope, int position, float *turn);
/* Turns the last rope dimensions of a head of `width` values, or turns them back. */
void pd_ds_rope_apply(const PdDsRope *rope, const float *turn, float *head, int width);
void pd_ds_rope_undo(const PdDsRope *rope, const float *turn, float *head, int width);

/* --- hyper.c: section 2.3 --- */

/* mix: fn . x before scaling.  pre (hc), post (hc), comb (hc, hc). */
void pd_ds_hyper_weights(const PdDsShape *s, const PdDsSite *site, const float *streams,
                         const float *mix, float *pre, float *post, float *comb);
void pd_ds_hyper_head(const PdDsShape *s, const PdDsSite *site, const float *streams,
                      const float *mix, float *pre);
/* y (d) = sum_k pre[k] streams[k] */
void pd_ds_hyper_collapse(const PdDsShape *s, const float *pre, const float *streams, float *y);
/* streams'[k] = post[k] f + sum_j comb[j][k] streams[j], in place; `old` is room for a copy. */
void pd_ds_hyper_expand(const PdDsShape *s, const float *post, const float *comb, const float *f,
                        float *streams, float *old);

/* --- compressor.c: section 4 --- */

typedef struct {
    float *values; /* (windows * ratio, coff * width): u of the window before, then of this one */
    float *scores; /* the same: s, with the position's bias */
} PdDsPool;

/* Takes one token's projections in, (coff * width); if it completes a window, makes its entry
 * (width). */
gboolean pd_ds_compress(const PdDsLayerShape *layer, const PdDsCompressor *c, int width, float eps,
                        const PdDsRope *rope, int position, const float *value, const float *gate,
                        PdDsPool *pool, float *entry);
/* The state before the first token. */
void pd_ds_pool_clear(const PdDsLayerShape *layer, int width, PdDsPool *pool);

/* --- indexer.c: section 4.3 --- */

/* scores[w] = sum_h weights[h] max(0, q[h] . keys[w]) */
void pd_ds_index_scores(const PdDsShape *s, const float *q, const float *weights, const float *keys,
                        int n_keys, float *scores);
/* The k largest of n scores, ties to the lower index, in ascending order; returns how many. */
int pd_ds_top_k(const float *scores, int n, int k, int *picks);

/* --- attention.c: section 3.3 --- */

/* out = softmax over keys and sink; keys are the values too.  logits: room for n_keys. */
void pd_ds_attend(const float *q, int head_dim, const float *const *keys, int n_keys, float sink,
                  float *logits, float *out);

/* --- experts.c: section 5 --- */

/* The experts of one token (n_experts_used), from the router's products, which become scores;
 * biased: room for n_experts. */
void pd_ds_choose_experts(const PdDsShape *s, const PdDsLayer *layer, gint32 token, float *router,
                          float *biased, int *ids);
/* Their weights, from the scores. */
void pd_ds_weigh_experts(const PdDsShape *s, const float *scores, const int *ids, float *weights);
/* out (d) += weight * expert(x); gate, up: room for n_ff; y: for d. */
void pd_ds_expert(const PdDsShape *s, const PdDsExpert *expert, float weight, const float *x,
                  float *gate, float *up, float *y, float *row, float *out);

#endif
