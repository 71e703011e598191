/*
 * Products of panels with AVX2.
 *
 * Integers: vpmaddubsw multiplies 32 unsigned codes with 32 signed activations and adds pairs into
 * 16 bits.  A word of a panel is one row by 4 columns, so a row has two 16-bit sums, and 8 words
 * (32 columns; 4 words for the 6-bit codes of Q6_K) can be added before they are widened: the sum
 * starts at -zero * sum(q), so that it ends as sum(v q), at most 16 * 16 * 127 = 32,512 (or
 * 32 * 8 * 127), and may wrap on its way there.  Then per 32 columns, with lanes as rows:
 *
 *     acc = fma(float(sum) * scale, d, acc);   acc = fma(min, sum_x, acc)
 *
 * in this order for every shape, which is what makes results independent of the batch.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/avx2.h"
#include "kernels/cpu/panel.h"

enum {
    ROWS = PD_PANEL_ROWS,
    PANELS = 1,
    TILE_TOKENS = 4, /* 4 tokens by 16 rows: 8 of the 16 registers hold sums */
    FLOAT_TILE_TOKENS = 6,
};

/* A row's word has two sums, so each start is a pair of 16-bit numbers. */
INLINE void
set_starts(PdActBlock *dst, __m128i low, __m128i high)
{
    __m128i both = _mm_add_epi16(low, high);
    dst->start_16 = _mm_cvtsi128_si32(_mm_mullo_epi16(both, _mm_set1_epi16(-16)));
    dst->start_128 = 0;
    dst->start_32_sub[0] = _mm_cvtsi128_si32(_mm_mullo_epi16(low, _mm_set1_epi16(-32)));
    dst->start_32_sub[1] = _mm_cvtsi128_si32(_mm_mullo_epi16(high, _mm_set1_epi16(-32)));
}

INLINE void
copy_row(float *to, const float *from)
{
    _mm256_storeu_ps(to, _mm256_loadu_ps(from));
    _mm256_storeu_ps(to + 8, _mm256_loadu_ps(from + 8));
}

INLINE __m256i
broadcast_word(const int8_t *q)
{
    int word;
    memcpy(&word, q, sizeof word);
    return _mm256_set1_epi32(word);
}

INLINE __m256i
load_codes(const PdPanelBlock *block, int g, int half)
{
    return _mm256_load_si256((const __m256i *)block->codes[g][8 * half]);
}

/* sum[t][half] += words first..last of the block, in 16 bits. */
INLINE void
add_words(__m256i sum[][2], const PdPanelBlock *block, const PdActBlock *acts, int n_tokens,
          int first, int last)
{
#pragma GCC unroll 8
    for (int g = first; g < last; g++) {
        __m256i w0 = load_codes(block, g, 0), w1 = load_codes(block, g, 1);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++) {
            __m256i x = broadcast_word(acts[t].q + 4 * g);
            sum[t][0] = now(_mm256_add_epi16(sum[t][0], _mm256_maddubs_epi16(w0, x)));
            sum[t][1] = now(_mm256_add_epi16(sum[t][1], _mm256_maddubs_epi16(w1, x)));
        }
    }
}

/* Q8_0, both operands signed: |w| * (x with w's sign); each pair of products fills 16 bits, so it
 * is widened at once. */
INLINE void
add_signed_words(__m256i sum[][2], const PdPanelBlock *block, const PdActBlock *acts, int n_tokens)
{
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            __m256i w = load_codes(block, g, half), size = _mm256_abs_epi8(w);
#pragma GCC unroll 8
            for (int t = 0; t < n_tokens; t++) {
                __m256i x = broadcast_word(acts[t].q + 4 * g);
                __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, w));
                sum[t][half] = _mm256_add_epi32(sum[t][half], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
}

/* sum in 32 bits of one block: words of all types but Q6_K end as sum(v q); those of Q6_K as
 * sum(sub_scale v q). */
INLINE void
sum_block(__m256i sum[][2], const PdPanelBlock *block, const PdActBlock *acts, int n_tokens,
          Kind kind)
{
    bool start = kind == KIND_START || kind == KIND_START_MIN;
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++)
        sum[t][0] = sum[t][1] =
            start ? _mm256_set1_epi32(acts[t].start_16) : _mm256_setzero_si256();
    if (kind == KIND_Q8_0) {
        add_signed_words(sum, block, acts, n_tokens);
        return;
    }
    add_words(sum, block, acts, n_tokens, 0, 8);
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++)
            sum[t][half] = _mm256_madd_epi16(sum[t][half], _mm256_set1_epi16(1));
}

/* As sum_block for Q6_K: each 16 columns have a scale, the multiplier that widens. */
INLINE void
sum_block_q6_k(__m256i sum[][2], const PdPanelBlock *block, const PdActBlock *acts, int n_tokens)
{
    __m256i part[TILE_TOKENS][2];
#pragma GCC unroll 2
    for (int sub = 0; sub < 2; sub++) {
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++)
            part[t][0] = part[t][1] = _mm256_set1_epi32(acts[t].start_32_sub[sub]);
        add_words(part, block, acts, n_tokens, 4 * sub, 4 * sub + 4);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++) {
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                __m256i scale = _mm256_load_si256((const __m256i *)block->sub_scale[sub][8 * half]);
                __m256i wide = _mm256_madd_epi16(part[t][half], scale);
                sum[t][half] = sub == 0 ? wide : _mm256_add_epi32(sum[t][half], wide);
            }
        }
    }
}

/* acc[t][row] += the product of the panel with n_tokens tokens that stand together, each of whose
 * blocks is `stride` behind the last. */
INLINE void
multiply_tile(float (*acc)[ROWS], size_t acc_stride, const PdPanelBlock *panel, int n_blocks,
              const PdActBlock *acts, size_t stride, int n_tokens, Kind kind)
{
    (void)acc_stride; /* between panels */
    bool has_min = kind == KIND_MIN || kind == KIND_START_MIN;
    for (int b = 0; b < n_blocks; b++, panel++, acts += stride) {
        __m256i sum[TILE_TOKENS][2];
        if (kind == KIND_Q6_K)
            sum_block_q6_k(sum, panel, acts, n_tokens);
        else
            sum_block(sum, panel, acts, n_tokens, kind);

        const float *scales = kind == KIND_Q6_K ? panel->d : panel->scale;
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            __m256 scale = _mm256_load_ps(scales + 8 * half);
#pragma GCC unroll 8
            for (int t = 0; t < n_tokens; t++) {
                float *to = acc[t] + 8 * half;
                const PdActBlock *act = &acts[t];
                __m256 dot = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[t][half]), scale);
                __m256 v = _mm256_fmadd_ps(dot, _mm256_set1_ps(act->d), _mm256_load_ps(to));
                if (has_min)
                    v = _mm256_fmadd_ps(_mm256_load_ps(panel->min + 8 * half),
                                        _mm256_set1_ps(act->sum), v);
                _mm256_store_ps(to, v);
            }
        }
    }
}

static void
unpack(PdDtype type, PdPanelBlock *panel, const uint8_t *const *rows, int first_block, int n_blocks,
       const uint8_t *next)
{
    pd_unpack_avx2[type](panel, rows, first_block, n_blocks, next);
}

/* --- float types --- */

INLINE void
multiply_float_tile(float (*acc)[ROWS], const float *panel, int n_cols, const float *x,
                    size_t stride, int n_tokens)
{
    __m256 sum[FLOAT_TILE_TOKENS][2];
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++)
        sum[t][0] = sum[t][1] = _mm256_setzero_ps();
    for (int c = 0; c < n_cols; c++, panel += ROWS) {
        __m256 w0 = _mm256_load_ps(panel), w1 = _mm256_load_ps(panel + 8);
#pragma GCC unroll 8
        for (int t = 0; t < n_tokens; t++) {
            __m256 v = _mm256_set1_ps(x[(size_t)t * stride + (size_t)c]);
            sum[t][0] = _mm256_fmadd_ps(w0, v, sum[t][0]);
            sum[t][1] = _mm256_fmadd_ps(w1, v, sum[t][1]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < n_tokens; t++) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            float *to = acc[t] + 8 * half;
            _mm256_store_ps(to, _mm256_add_ps(_mm256_load_ps(to), sum[t][half]));
        }
    }
}

#include "kernels/cpu/matmul_x86.h"

static int64_t
burst(int rounds)
{
    __m256i w = _mm256_set1_epi8(1), x = _mm256_set1_epi8(1), sum[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        sum[i] = _mm256_setzero_si256();
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            w = now(w); /* or there would be only one product */
            sum[i] = now(_mm256_add_epi16(sum[i], _mm256_maddubs_epi16(w, x)));
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        __asm__ volatile("" ::"x"(sum[i])); /* somebody wants them */
    return (int64_t)rounds * 8 * 32;
}

static void
multiply_rows_avx2(const PdProduct *p, int first_row, int n_rows, void *workspace)
{
    if (p->n_tokens == 1 && !pd_is_float_type(p->type))
        pd_multiply_token_avx2(p, first_row, n_rows);
    else
        multiply_rows(p, first_row, n_rows, workspace);
}

const PdMatmulIsa pd_matmul_avx2 = {
    .name = "avx2",
    .panel_rows = ROWS,
    .tile_tokens = TILE_TOKENS,
    .quantize = quantize,
    .workspace_bytes = workspace_bytes,
    .multiply_rows = multiply_rows_avx2,
    .burst = burst,
};
