/*
 * Products of panels with AVX-512 VNNI.  With PD_SIMD_EMULATED the same code compiles against
 * SIMDe, so that tests run it on any CPU with AVX2.
 *
 * vpdpbusd multiplies 64 unsigned codes with 64 signed activations and adds four products into each
 * 32-bit sum: one vector is 16 rows by 4 columns, the activations come as one broadcast word that
 * two panels share, and 6 tokens by 2 panels keep the multipliers busy through the latency of a
 * sum.  Then per 32 columns, with lanes as rows, the same float operations in the same order as in
 * matmul_avx2.c:
 *
 *     acc = fma(float(sum) * scale, d, acc);   acc = fma(min, sum_x, acc)
 */
#include "kernels/cpu/avx512.h"

#ifdef PD_SIMD_EMULATED
#define TABLE pd_matmul_avx512_emulated
#define TABLE_NAME "avx512-emulated"
#else
#define TABLE pd_matmul_avx512
#define TABLE_NAME "avx512-vnni"
#endif
#include <string.h>

#include "kernels/cpu/panel.h"

/* The emulation need not be fast, but it must compile in reasonable time: it keeps the loops. */
#ifdef PD_SIMD_EMULATED
#define UNROLL
#undef INLINE
#define INLINE static
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    ROWS = PD_PANEL_ROWS,
    PANELS = 2,
    TILE_TOKENS = 6, /* by two panels: 12 integer and 12 float sums of 32 registers */
    FLOAT_TILE_TOKENS = 12,
};

INLINE void
set_starts(PdActBlock *dst, __m128i low, __m128i high)
{
    const __m128i ones = _mm_set1_epi16(1);
    int sum[2] = {_mm_cvtsi128_si32(_mm_madd_epi16(low, ones)),
                  _mm_cvtsi128_si32(_mm_madd_epi16(high, ones))};
    dst->start_16 = -16 * (sum[0] + sum[1]);
    dst->start_128 = -128 * (sum[0] + sum[1]);
    dst->start_32_sub[0] = -32 * sum[0];
    dst->start_32_sub[1] = -32 * sum[1];
}

/* In one vector: a load cannot take over two halves that were stored just before. */
INLINE void
copy_row(float *to, const float *from)
{
    _mm512_storeu_ps(to, _mm512_loadu_ps(from));
}

INLINE __m512i
load_codes(const PdPanelBlock *block, int g)
{
    return _mm512_load_si512(block->codes[g]);
}

/* sum[t][i] += words first..last of the block in panel i. */
INLINE void
add_words(__m512i sum[][PANELS], const PdPanelBlock *block, const PdActBlock *acts, int n_tokens,
          int first, int last)
{
    UNROLL
    for (int g = first; g < last; g++) {
        __m512i w[PANELS];
        UNROLL
        for (int i = 0; i < PANELS; i++)
            w[i] = load_codes(block + i * PD_PANEL_BLOCKS, g);
        UNROLL
        for (int t = 0; t < n_tokens; t++) {
            int word;
            memcpy(&word, acts[t].q + 4 * g, sizeof word);
            __m512i x = _mm512_set1_epi32(word);
            UNROLL
            for (int i = 0; i < PANELS; i++)
                sum[t][i] = _mm512_dpbusd_epi32(sum[t][i], w[i], x);
        }
    }
}

INLINE int
start_of(const PdActBlock *act, Kind kind)
{
    return kind == KIND_MIN ? 0 : kind == KIND_Q8_0 ? act->start_128 : act->start_16;
}

INLINE __m512
sub_scales(const PdPanelBlock *block, int sub)
{
    __m512i pairs = _mm512_load_si512(block->sub_scale[sub]);
    return cvtepi32_ps(srai_epi32(pairs, 16));
}

/* dot[t][i] = sum(v q) of a block of Q6_K: sum(sub_scale v q), whose parts and total are integers
 * below 2^24 and so exact in float32. */
INLINE void
dot_block_q6_k(__m512 dot[][PANELS], const PdPanelBlock *block, const PdActBlock *acts,
               int n_tokens)
{
    UNROLL
    for (int sub = 0; sub < 2; sub++) {
        __m512i sum[TILE_TOKENS][PANELS];
        UNROLL
        for (int t = 0; t < n_tokens; t++) {
            UNROLL
            for (int i = 0; i < PANELS; i++)
                sum[t][i] = _mm512_set1_epi32(acts[t].start_32_sub[sub]);
        }
        add_words(sum, block, acts, n_tokens, 4 * sub, 4 * sub + 4);
        UNROLL
        for (int i = 0; i < PANELS; i++) {
            __m512 scale = sub_scales(block + i * PD_PANEL_BLOCKS, sub);
            UNROLL
            for (int t = 0; t < n_tokens; t++) {
                __m512 part = cvtepi32_ps(sum[t][i]);
                dot[t][i] =
                    sub == 0 ? _mm512_mul_ps(part, scale) : _mm512_fmadd_ps(part, scale, dot[t][i]);
            }
        }
    }
}

/* dot[t][i] = sum(v q) of a block, before the scale. */
INLINE void
dot_block(__m512 dot[][PANELS], const PdPanelBlock *block, const PdActBlock *acts, int n_tokens,
          Kind kind)
{
    __m512i sum[TILE_TOKENS][PANELS];
    if (kind == KIND_Q6_K) {
        dot_block_q6_k(dot, block, acts, n_tokens);
        return;
    }
    UNROLL
    for (int t = 0; t < n_tokens; t++) {
        UNROLL
        for (int i = 0; i < PANELS; i++)
            sum[t][i] = _mm512_set1_epi32(start_of(&acts[t], kind));
    }
    add_words(sum, block, acts, n_tokens, 0, 8);
    UNROLL
    for (int t = 0; t < n_tokens; t++) {
        UNROLL
        for (int i = 0; i < PANELS; i++)
            dot[t][i] = cvtepi32_ps(sum[t][i]);
    }
}

/* acc[t][row] += the product of the panels with n_tokens tokens that stand together, each of whose
 * blocks is `stride` behind the last; the second panel's sums are acc_stride behind the first's. */
INLINE void
multiply_tile(float (*acc)[ROWS], size_t acc_stride, const PdPanelBlock *panels, int n_blocks,
              const PdActBlock *acts, size_t stride, int n_tokens, Kind kind)
{
    bool has_min = kind == KIND_MIN || kind == KIND_START_MIN;
    __m512 total[TILE_TOKENS][PANELS];
    UNROLL
    for (int t = 0; t < n_tokens; t++) {
        UNROLL
        for (size_t i = 0; i < PANELS; i++)
            total[t][i] = _mm512_load_ps(acc[i * acc_stride + (size_t)t]);
    }
    for (int b = 0; b < n_blocks; b++, panels++, acts += stride) {
        __m512 dot[TILE_TOKENS][PANELS];
        dot_block(dot, panels, acts, n_tokens, kind);
        UNROLL
        for (int i = 0; i < PANELS; i++) {
            const PdPanelBlock *block = panels + i * PD_PANEL_BLOCKS;
            __m512 scale = _mm512_load_ps(kind == KIND_Q6_K ? block->d : block->scale);
            __m512 min = has_min ? _mm512_load_ps(block->min) : scale;
            UNROLL
            for (int t = 0; t < n_tokens; t++) {
                __m512 scaled = _mm512_mul_ps(dot[t][i], scale);
                total[t][i] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(acts[t].d), total[t][i]);
                if (has_min)
                    total[t][i] = _mm512_fmadd_ps(min, _mm512_set1_ps(acts[t].sum), total[t][i]);
            }
        }
    }
    UNROLL
    for (int t = 0; t < n_tokens; t++) {
        UNROLL
        for (size_t i = 0; i < PANELS; i++)
            _mm512_store_ps(acc[i * acc_stride + (size_t)t], total[t][i]);
    }
}

/* The unpacking is AVX2's; the signed codes of Q8_0 get their zero of 128 here. */
static void
unpack(PdDtype type, PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
       const uint8_t *next)
{
    pd_unpack_avx2[type](panel, rows, first_block, n_blocks, next);
    if (type != PD_Q8_0)
        return;
    const __m512i top_bits = _mm512_set1_epi32((int)0x80808080);
    for (int b = 0; b < n_blocks; b++)
        for (int g = 0; g < 8; g++)
            _mm512_store_si512(panel[b].codes[g],
                               _mm512_xor_si512(load_codes(&panel[b], g), top_bits));
}

/* --- float types --- */

INLINE void
multiply_float_tile(float (*acc)[ROWS], const float *panel, int n_cols, const float *x,
                    size_t stride, int n_tokens)
{
    __m512 sum[FLOAT_TILE_TOKENS];
    UNROLL
    for (int t = 0; t < n_tokens; t++)
        sum[t] = _mm512_setzero_ps();
    for (int c = 0; c < n_cols; c++, panel += ROWS) {
        __m512 w = _mm512_load_ps(panel);
        UNROLL
        for (int t = 0; t < n_tokens; t++)
            sum[t] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[(size_t)t * stride + (size_t)c]), sum[t]);
    }
    UNROLL
    for (int t = 0; t < n_tokens; t++)
        _mm512_store_ps(acc[t], _mm512_add_ps(_mm512_load_ps(acc[t]), sum[t]));
}

#include "kernels/cpu/matmul_x86.h"

#ifdef PD_SIMD_EMULATED
#define BURST NULL
#else
#define BURST burst
static int64_t
burst(int rounds)
{
    __m512i w = _mm512_set1_epi8(1), x = _mm512_set1_epi8(1), sum[12];
    UNROLL
    for (int i = 0; i < 12; i++)
        sum[i] = _mm512_setzero_si512();
    for (int r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < 12; i++) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], w, x);
            __asm__ volatile("" : "+v"(sum[i])); /* or the sums would be left out */
        }
    }
    return (int64_t)rounds * 12 * 64;
}
#endif

const PdMatmulIsa TABLE = {
    .name = TABLE_NAME,
    .panel_rows = PANELS * ROWS,
    .tile_tokens = TILE_TOKENS,
    .single = &pd_matmul_avx2, /* a single token waits for memory, not for products */
    .quantize = quantize,
    .workspace_bytes = workspace_bytes,
    .multiply_rows = multiply_rows,
    .burst = BURST,
};
