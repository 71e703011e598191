/*
 * The inner kernels of everything that is no matrix product: one table per instruction set.
 *
 * The operation files (norm.c, glu.c, attention.c ...) deal work out to threads and know no
 * instruction set; the tables below do the arithmetic on one thread.  ref_vector.c is the plain C
 * that defines each entry, vector_simd.h is the vector code, written once over a handful of macros
 * and compiled for AVX2 by vector_avx2.c and for AVX-512 by vector_avx512.c.
 *
 * Invariant (engine/session.h rests on it): within one table the bits of a result depend on its own
 * inputs only, never on how many rows, elements or threads share the call.
 */
#ifndef PD_VECTOR_H
#define PD_VECTOR_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/index.h"

/* kv rows whose keys and values are widened to float together. */
#define PD_ATTEND_TILE 64
/* kv rows that make one partial result (maximum, sum, output); partial results are merged in
 * ascending order whoever computed them.  A multiple of the tile, anchored at kv row 0. */
#define PD_ATTEND_CHUNK 512
/* Limit of head_dim where a tile lives on the stack (attention_weights). */
#define PD_HEAD_DIM_MAX 512
/* Of score_keys: a block of float keys of the largest head that kv_block.h knows. */
#define PD_KEYS_HEAD_DIM_MAX 256
#define PD_KEYS_WORK_FLOATS (PD_ATTEND_TILE * PD_KEYS_HEAD_DIM_MAX)

/* One key/value head and the `group` query heads that read it. */
typedef struct {
    const float *q; /* (n_q, q_stride): the group's heads lie at the start of each row */
    size_t q_stride;
    int group;
    int head_dim;
    const uint8_t *k; /* (kv_rows, row_bytes) of this head */
    const uint8_t *v;
    size_t row_bytes;
    PdDtype type; /* PD_F32, PD_F16, PD_Q8_0 */
    float scale;
    int first_q_row;
    int window;
    /* What a position-free key still lacks; NULL = nothing. */
    const float *k_bias;  /* (head_dim) */
    const float *cos_sin; /* (n_positions, n_rot/2, 2), at the position of kv row 0 */
    int n_rot;
    PdRopeKind rope_kind;
} PdAttendHead;

/* Partial softmax of n rows (query row, head of the group): out = o / sum once all is merged. */
typedef struct {
    float *o;    /* (n, head_dim): sum_j 2^(s_j - max2) v_j */
    float *max2; /* (n): max_j s_j, s = scale * log2(e) * q . k;  -inf: no row seen */
    float *sum;  /* (n): sum_j 2^(s_j - max2) */
} PdAttendState;

struct PdVectorIsa {
    const char *name;

    /* out = x / sqrt(mean(x^2) + eps) * weight; (n) */
    void (*rms_norm)(float *out, const float *x, const float *weight, int n, float eps);
    /* a += b */
    void (*add)(float *a, const float *b, size_t n);
    /* gate = act(gate) * up */
    void (*glu)(float *gate, const float *up, size_t n, PdActivation act);
    /* One row of heads (n_heads, head_dim) turned by one position's cos_sin (n_rot/2, 2). */
    void (*rope)(float *x, const float *cos_sin, PdRopeKind kind, int n_rot, int n_heads,
                 int head_dim);
    /* Half floats, to nearest even. */
    void (*to_f16)(uint16_t *dst, const float *src, size_t n);
    /* The bytes of pd_quantize_row(PD_Q8_0); n a multiple of 32. */
    void (*to_q8_0)(uint8_t *dst, const float *src, size_t n);

    /* Query rows first_q .. first_q + n_q - 1 over kv rows kv_first .. kv_last - 1, which lie in
     * one chunk; kv_first is a multiple of the tile.  Writes n_q * group rows of `state`.
     * work: pd_attend_work_floats(head_dim, n_q * group), 64-byte aligned. */
    void (*attend)(const PdAttendHead *head, int first_q, int n_q, int kv_first, int kv_last,
                   float *work, const PdAttendState *state);

    /* pd_row_unpack */
    void (*unpack_row)(const PdRowFormat *f, const uint8_t *bytes, float *row);

    /* out (n_q, PD_ATTEND_TILE): q (n_q, head_dim) times n_keys <= PD_ATTEND_TILE rows of `keys`
     * (PD_F32, PD_F16 or PD_Q8_0); columns from n_keys on are undefined.
     * work: pd_tile_floats(head_dim), 64-byte aligned. */
    void (*scores)(float *out, const float *q, int n_q, int head_dim, PdDtype type,
                   const void *keys, size_t row_bytes, int n_keys, float *work);

    /* n_q queries (n_q, head_dim) against one block of n_keys compressed keys (kv_block.h) of 4 or
     * 8 bits: max[i * max_stride] = max_j q_i . k_j; scores, unless NULL, (n_q, PD_ATTEND_TILE)
     * q_i . k_j, columns from n_keys on undefined.
     * work: PD_KEYS_WORK_FLOATS, 64-byte aligned. */
    void (*score_keys)(float *max, size_t max_stride, float *scores, const float *q, int n_q,
                       int bits, int head_dim, const uint8_t *block, int n_keys, float *work);

    /* sums[j] += sum_i weights[i] max(0, s[i][j]) over the n_rows of a tile (n_rows,
     * PD_ATTEND_TILE), in ascending order. */
    void (*relu_sum)(float *sums, const float *s, const float *weights, int n_rows);
    /* Scores of an indexer over keys of 4 bits (index.h). */
    PdIndexScores *index_scores;
    /* The first i >= from with x[i] > limit, or n. */
    size_t (*next_above)(const float *x, size_t from, size_t n, float limit);

    float (*max)(const float *x, size_t n);
    /* x = exp(scale (x - max)); returns their sum */
    float (*exp_sum)(float *x, size_t n, float scale, float max);
};

/* Panels of 16 rows or columns: the unit in which tiles are laid out. */
static inline size_t
pd_pad16(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

/* A widened tile plus 16 rows of staging. */
static inline size_t
pd_tile_floats(int head_dim)
{
    return (PD_ATTEND_TILE + 16) * pd_pad16((size_t)head_dim);
}

/* Keys, values, scaled queries, scores and padded outputs. */
static inline size_t
pd_attend_work_floats(int head_dim, int n_rows)
{
    size_t d = pd_pad16((size_t)head_dim);
    return pd_tile_floats(head_dim) + PD_ATTEND_TILE * d +
           (size_t)n_rows * (2 * d + PD_ATTEND_TILE + 16);
}

/* kv rows [*lo, *hi) that query row i sees. */
static inline void
pd_attend_range(const PdAttendHead *head, int i, int *lo, int *hi)
{
    int row = head->first_q_row + i;

    *hi = row + 1;
    *lo = head->window > 0 && row >= head->window ? row - head->window + 1 : 0;
}

/* score_keys of each table (ref_vector.c, keys_*.c). */
typedef void PdScoreKeys(float *max, size_t max_stride, float *scores, const float *q, int n_q,
                         int bits, int head_dim, const uint8_t *block, int n_keys, float *work);
PdScoreKeys pd_score_keys_avx2;
PdScoreKeys pd_score_keys_avx512;
PdScoreKeys pd_score_keys_avx512_emulated;

/* Those that a build lacks are never named: pd_vector_isa(). */
extern const PdVectorIsa pd_vector_reference;
extern const PdVectorIsa pd_vector_avx2;
extern const PdVectorIsa pd_vector_avx512;
extern const PdVectorIsa pd_vector_avx512_emulated;

#endif
