/*
 * The vector kernels, written once over the macros that vector_avx2.c and vector_avx512.c define
 * before they include this file:
 *
 *   vf, VW                  a vector of floats and its width (8, 16)
 *   v_load v_store v_set1 v_add v_sub v_mul v_div v_max v_fma(a, b, c) = a b + c
 *   v_pow2(t)               2^n of t = n + ROUND_MAGIC
 *   v_pick_negative(t, a, b)  t < 0 ? a : b
 *   v_reduce_add v_reduce_max  lanes in a fixed order
 *   v_above(a, b)           a bit a lane: a > b
 *   SCORE_KEYS INDEX_SCORES the table's score_keys and index_scores
 *   GEMM_PANELS(mr)         panels that a block of mr rows covers at once
 *
 * Tiles are laid out in panels 16 floats wide (two AVX2 vectors, one AVX-512 vector):
 *   keys    (4, head_dim, 16)       panel p holds kv rows 16p .. 16p+15, transposed
 *   values  (head_dim/16, 64, 16)   panel p holds dims 16p .. 16p+15
 * so that both products of attention are  C[m][n] += sum_k A[m][k] B[k][n]  with A broadcast and B
 * streamed.  An element is always one chain of FMAs over ascending k: the block that it falls into
 * does not change its bits.
 */
#ifndef PD_VECTOR_SIMD_H
#define PD_VECTOR_SIMD_H

#include <math.h>
#include <string.h>
#include "kernels/cpu/vector.h"
#include "kernels/low_float.h"

#define PANEL 16
#define PANEL_VECTORS (PANEL / VW)
#define TILE PD_ATTEND_TILE
#define TILE_PANELS (TILE / PANEL)
#define INLINE static inline __attribute__((always_inline))

/* --- exponentials --- */

/* Adding 1.5 2^23 rounds to an integer and leaves it in the low bits. */
#define ROUND_MAGIC 12582912.0f
/* 2^-127 has no normal float: v_pow2 makes it 0, which is what everything from there down is. */
#define EXP2_ZERO (-127.0f)
#define EXP_ZERO (-88.0f)

/* 2^f for |f| <= 0.5: 1 + f q(f), q of degree 5 fitted for relative error (below 2e-8, so that
 * rounding dominates); exact at 0. */
INLINE vf
v_exp2_fraction(vf f)
{
    vf p = v_set1(0x1.41fbacp-13f);

    p = v_fma(p, f, v_set1(0x1.5f3e54p-10f));
    p = v_fma(p, f, v_set1(0x1.3b2d4ep-7f));
    p = v_fma(p, f, v_set1(0x1.c6aee8p-5f));
    p = v_fma(p, f, v_set1(0x1.ebfbdcp-3f));
    p = v_fma(p, f, v_set1(0x1.62e430p-1f));
    return v_fma(p, f, v_set1(1.0f));
}

/* 2^x for x <= 0.  The limit comes first in max: NaN stays NaN. */
INLINE vf
v_exp2(vf x)
{
    vf y = v_max(v_set1(EXP2_ZERO), x);
    vf t = v_add(y, v_set1(ROUND_MAGIC));
    vf f = v_sub(y, v_sub(t, v_set1(ROUND_MAGIC)));

    return v_mul(v_exp2_fraction(f), v_pow2(t));
}

/* e^x for x <= 0.  The product x log2(e) is not rounded: n ln 2 is taken off x in two steps (Cody
 * and Waite), so that large |x| keep their relative accuracy. */
INLINE vf
v_exp(vf x)
{
    vf y = v_max(v_set1(EXP_ZERO), x);
    vf t = v_fma(y, v_set1((float)M_LOG2E), v_set1(ROUND_MAGIC));
    vf n = v_sub(t, v_set1(ROUND_MAGIC));
    vf r = v_fma(n, v_set1(-0x1.62e400p-1f), y);

    r = v_fma(n, v_set1(-0x1.7f7d1cp-20f), r);
    return v_mul(v_exp2_fraction(v_mul(r, v_set1((float)M_LOG2E))), v_pow2(t));
}

/* --- element by element --- */

/* The tail of an array goes through a whole vector, so that an element's arithmetic does not depend
 * on where the array was cut. */
INLINE vf
v_load_tail(const float *x, size_t n, float fill)
{
    float tail[VW];

    for (size_t i = 0; i < VW; i++)
        tail[i] = i < n ? x[i] : fill;
    return v_load(tail);
}

INLINE void
v_store_tail(float *x, vf v, size_t n)
{
    float tail[VW];

    v_store(tail, v);
    memcpy(x, tail, n * sizeof(float));
}

static void
simd_rms_norm(float *out, const float *x, const float *weight, int n, float eps)
{
    double lanes[16] = {0};
    double sum = 0;
    int i = 0;

    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++)
            lanes[l] += (double)x[i + l] * x[i + l];
    for (; i < n; i++)
        sum += (double)x[i] * x[i];
    for (int l = 0; l < 16; l++)
        sum += lanes[l];

    float inv = (float)(1.0 / sqrt(sum / n + eps));
    vf scale = v_set1(inv);
    size_t c = 0, end = (size_t)n;
    for (; c + VW <= end; c += VW)
        v_store(out + c, v_mul(v_mul(v_load(x + c), scale), v_load(weight + c)));
    for (; c < end; c++)
        out[c] = x[c] * inv * weight[c];
}

static void
simd_add(float *a, const float *b, size_t n)
{
    size_t i = 0;

    for (; i + VW <= n; i += VW)
        v_store(a + i, v_add(v_load(a + i), v_load(b + i)));
    for (; i < n; i++)
        a[i] += b[i];
}

/* x sigmoid(t) up, with e^-|t| so that neither end overflows */
INLINE vf
v_gate(vf x, vf up, bool gelu)
{
    vf one = v_set1(1.0f);
    vf t = x;

    if (gelu) { /* 0.5 (1 + tanh(u)) = sigmoid(2u) */
        vf cubic = v_fma(v_mul(x, x), v_set1(0.044715f), one);
        t = v_mul(v_mul(x, v_set1(1.59576912160573f)), cubic); /* 2 sqrt(2/pi) */
    }
    vf e = v_exp(v_sub(v_set1(0.0f), v_max(v_sub(v_set1(0.0f), t), t)));
    vf sigmoid = v_div(v_pick_negative(t, e, one), v_add(one, e));
    return v_mul(v_mul(x, sigmoid), up);
}

INLINE void
simd_gate(float *gate, const float *up, size_t n, bool gelu)
{
    size_t i = 0;

    for (; i + VW <= n; i += VW)
        v_store(gate + i, v_gate(v_load(gate + i), v_load(up + i), gelu));
    if (i < n)
        v_store_tail(gate + i,
                     v_gate(v_load_tail(gate + i, n - i, 0), v_load_tail(up + i, n - i, 0), gelu),
                     n - i);
}

static void
simd_glu(float *gate, const float *up, size_t n, PdActivation act)
{
    if (act == PD_ACT_SILU)
        simd_gate(gate, up, n, false);
    else
        simd_gate(gate, up, n, true);
}

static void
simd_rope(float *x, const float *cos_sin, PdRopeKind kind, int n_rot, int n_heads, int head_dim)
{
    int half = n_rot / 2;

    for (int h = 0; h < n_heads; h++, x += head_dim) {
        if (kind == PD_ROPE_PAIRS) {
            for (int i = 0; i < half; i++) {
                float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
                float a = x[2 * i], b = x[2 * i + 1];
                x[2 * i] = a * c - b * s;
                x[2 * i + 1] = a * s + b * c;
            }
            continue;
        }
        float *restrict first = x;
        float *restrict second = x + half;
        for (int i = 0; i < half; i++) {
            float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
            float a = first[i], b = second[i];
            first[i] = a * c - b * s;
            second[i] = a * s + b * c;
        }
    }
}

static void
simd_to_f16(uint16_t *dst, const float *src, size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(dst + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(src + i), 0));
    if (i < n) {
        float tail[8] = {0};
        uint16_t half[8];
        memcpy(tail, src + i, (n - i) * sizeof(float));
        _mm_storeu_si128((__m128i *)(void *)half, _mm256_cvtps_ph(_mm256_loadu_ps(tail), 0));
        memcpy(dst + i, half, (n - i) * sizeof(uint16_t));
    }
}

/* Halves are rounded away from zero, as roundf does. */
INLINE __m256i
q8_codes(__m256 x, __m256 scale)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 t = _mm256_div_ps(x, scale);
    __m256 whole = _mm256_round_ps(t, _MM_FROUND_TO_ZERO);
    __m256 rest = _mm256_andnot_ps(sign, _mm256_sub_ps(t, whole));
    __m256 one = _mm256_or_ps(_mm256_and_ps(sign, t), _mm256_set1_ps(1.0f));
    __m256 step = _mm256_and_ps(_mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ), one);

    return _mm256_cvtps_epi32(_mm256_add_ps(whole, step));
}

static void
simd_to_q8_0(uint8_t *dst, const float *src, size_t n)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

    for (size_t at = 0; at < n; at += 32, dst += 34) {
        __m256 x[4], max = _mm256_setzero_ps();
        float lanes[8];
        for (int i = 0; i < 4; i++) {
            x[i] = _mm256_loadu_ps(src + at + 8 * i);
            max = _mm256_max_ps(max, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x[i]));
        }
        _mm256_storeu_ps(lanes, max);
        for (int i = 1; i < 8; i++)
            lanes[0] = lanes[i] > lanes[0] ? lanes[i] : lanes[0];
        float d = lanes[0] / 127;
        uint16_t half = (uint16_t)_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(d), 0), 0);
        memcpy(dst, &half, sizeof half);
        if (half == 0) { /* too small for a scale */
            memset(dst + 2, 0, 32);
            continue;
        }
        __m256 scale = _mm256_set1_ps(d);
        __m256i lo = _mm256_packs_epi32(q8_codes(x[0], scale), q8_codes(x[1], scale));
        __m256i hi = _mm256_packs_epi32(q8_codes(x[2], scale), q8_codes(x[3], scale));
        /* packing goes by 128-bit halves: put the fours back in order */
        __m256i codes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(lo, hi), order);
        _mm256_storeu_si256((__m256i *)(void *)(dst + 2), codes);
    }
}

static size_t
simd_next_above(const float *x, size_t from, size_t n, float limit)
{
    vf l = v_set1(limit);
    size_t i = from;

    for (; i + VW <= n; i += VW) {
        unsigned above = v_above(v_load(x + i), l);
        if (above != 0)
            return i + (size_t)__builtin_ctz(above);
    }
    while (i < n && !(x[i] > limit))
        i++;
    return i;
}

static void
simd_relu_sum(float *sums, const float *s, const float *weights, int n_rows)
{
    vf acc[TILE / VW];

    for (int v = 0; v < TILE / VW; v++)
        acc[v] = v_load(sums + v * VW);
    for (int i = 0; i < n_rows; i++, s += TILE) {
        vf weight = v_set1(weights[i]);
        for (int v = 0; v < TILE / VW; v++)
            acc[v] = v_fma(weight, v_max(v_load(s + v * VW), v_set1(0.0f)), acc[v]);
    }
    for (int v = 0; v < TILE / VW; v++)
        v_store(sums + v * VW, acc[v]);
}

static float
simd_max(const float *x, size_t n)
{
    vf max = v_set1(-INFINITY);
    size_t i = 0;

    for (; i + VW <= n; i += VW)
        max = v_max(max, v_load(x + i));
    if (i < n)
        max = v_max(max, v_load_tail(x + i, n - i, -INFINITY));
    return v_reduce_max(max);
}

/* Here the product with log2(e) may round: an error of 2^-24 of an exponent that is small where the
 * terms are not. */
static float
simd_exp_sum(float *x, size_t n, float scale, float max)
{
    vf vscale = v_set1((float)((double)scale * M_LOG2E)), vmax = v_set1(max);
    double total = 0;

    /* spans keep float sums short */
    for (size_t at = 0; at < n; at += 1024) {
        size_t end = at + 1024 < n ? at + 1024 : n;
        vf sum = v_set1(0.0f);
        size_t i = at;
        for (; i + VW <= end; i += VW) {
            vf e = v_exp2(v_mul(v_sub(v_load(x + i), vmax), vscale));
            v_store(x + i, e);
            sum = v_add(sum, e);
        }
        if (i < end) {
            vf e = v_exp2(v_mul(v_sub(v_load_tail(x + i, end - i, -INFINITY), vmax), vscale));
            v_store_tail(x + i, e, end - i);
            sum = v_add(sum, e);
        }
        total += (double)v_reduce_add(sum);
    }
    return (float)total;
}

/* --- products of tiles --- */

/* c (mr, 16 np) = keep[m] c + a (mr, depth) b (np panels of (depth, 16)); keep NULL: c starts at 0.
 * mr and np are constants, so that the accumulators are registers. */
INLINE void
gemm_block(const int mr, const int np, const float *a, size_t lda, const float *b,
           size_t panel_stride, int depth, float *c, size_t ldc, const float *keep)
{
    enum { MR_MAX = 6, NV_MAX = 4 * PANEL_VECTORS };
    vf acc[MR_MAX][NV_MAX];
    const int nv = np * PANEL_VECTORS;

#pragma GCC unroll 6
    for (int m = 0; m < mr; m++) {
        vf k = v_set1(keep ? keep[m] : 0.0f);
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            acc[m][v] = keep ? v_mul(k, v_load(c + (size_t)m * ldc + (size_t)v * VW)) : k;
    }
    for (int d = 0; d < depth; d++) {
        vf col[NV_MAX];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            col[v] = v_load(b + (size_t)(v / PANEL_VECTORS) * panel_stride + (size_t)d * PANEL +
                            (size_t)(v % PANEL_VECTORS) * VW);
#pragma GCC unroll 6
        for (int m = 0; m < mr; m++) {
            vf x = v_set1(a[(size_t)m * lda + (size_t)d]);
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++)
                acc[m][v] = v_fma(x, col[v], acc[m][v]);
        }
    }
#pragma GCC unroll 6
    for (int m = 0; m < mr; m++) {
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            v_store(c + (size_t)m * ldc + (size_t)v * VW, acc[m][v]);
    }
}

typedef struct {
    const float *a; /* (n_rows, lda) */
    size_t lda;
    const float *b; /* (n_panels, panel_stride) */
    size_t panel_stride;
    int depth;
    float *c; /* (n_rows, ldc), 16 columns a panel */
    size_t ldc;
    const float *keep; /* (n_rows) or NULL */
} Gemm;

#define GEMM_STEP(MR, NP)                                                                          \
    static __attribute__((noinline)) void gemm_##MR##x##NP(const Gemm *g, int row, int panel)      \
    {                                                                                              \
        const float *a = g->a + (size_t)row * g->lda;                                              \
        const float *b = g->b + (size_t)panel * g->panel_stride;                                   \
        float *c = g->c + (size_t)row * g->ldc + (size_t)panel * PANEL;                            \
        if (g->keep)                                                                               \
            gemm_block(MR, NP, a, g->lda, b, g->panel_stride, g->depth, c, g->ldc, g->keep + row); \
        else                                                                                       \
            gemm_block(MR, NP, a, g->lda, b, g->panel_stride, g->depth, c, g->ldc, NULL);          \
    }
#define GEMM_ROWS(NP)                                                                              \
    GEMM_STEP(1, NP)                                                                               \
    GEMM_STEP(2, NP) GEMM_STEP(3, NP) GEMM_STEP(4, NP) GEMM_STEP(5, NP) GEMM_STEP(6, NP)

GEMM_ROWS(1)
GEMM_ROWS(2)
GEMM_ROWS(4)

typedef void (*GemmStep)(const Gemm *g, int row, int panel);

static const GemmStep gemm_steps[3][6] = {
    {gemm_1x1, gemm_2x1, gemm_3x1, gemm_4x1, gemm_5x1, gemm_6x1},
    {gemm_1x2, gemm_2x2, gemm_3x2, gemm_4x2, gemm_5x2, gemm_6x2},
    {gemm_1x4, gemm_2x4, gemm_3x4, gemm_4x4, gemm_5x4, gemm_6x4},
};

/* Rows of the next block: sixes, and no block of one row after a full one. */
INLINE int
gemm_rows(int left)
{
    return left <= 6 ? left : left <= 8 ? 4 : 6;
}

/* Rows first .. last - 1, whose blocks share a width of np panels: panel after panel, so that a
 * panel stays in the nearest cache. */
static void
gemm_stripe(const Gemm *g, int first, int last, int n_panels, int np)
{
    for (int panel = 0; panel < n_panels;) {
        int left = n_panels - panel;
        int width = left >= 4 && np >= 4 ? 4 : left >= 2 && np >= 2 ? 2 : 1;
        const GemmStep *steps = gemm_steps[width / 2];
        for (int row = first, mr; row < last; row += mr) {
            mr = gemm_rows(last - row);
            steps[mr - 1](g, row, panel);
        }
        panel += width;
    }
}

static void
gemm(const Gemm *g, int n_rows, int n_panels)
{
    int tail = 0; /* a last block so low that it needs more panels to fill the registers */

    for (int row = 0, mr; row < n_rows; row += mr) {
        mr = gemm_rows(n_rows - row);
        tail = mr <= 3 ? mr : 0;
    }
    if (n_rows > tail)
        gemm_stripe(g, 0, n_rows - tail, n_panels, GEMM_PANELS(6));
    if (tail)
        gemm_stripe(g, n_rows - tail, n_rows, n_panels, GEMM_PANELS(tail));
}

#include "kernels/cpu/vector_simd_attend.h"

#endif
