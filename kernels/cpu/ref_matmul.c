/*
 * The products in plain C: each weight row is dequantized to float32 and multiplied with the
 * activations as they are (float types) or as they were rounded to 8 bits (block types).  Sums are
 * kept in 8 interleaved lanes, which compilers turn into vectors, and added up in double.
 */
#include "kernels/cpu/matmul.h"

#include <math.h>
#include <string.h>

/* To the nearest, ties to even; anything else than a number in range goes to its edge. */
static int8_t
round_to_byte(float v)
{
    v = rintf(v);
    return v >= 127 ? 127 : v > -127 ? (int8_t)v : -127;
}

/* d = max|x| / 127, q = x (127 / max). */
static void
quantize_block(PdActBlock *dst, const float *x)
{
    float max = 0;
    for (int i = 0; i < PD_ACT_BLOCK; i++)
        max = fmaxf(max, fabsf(x[i]));
    /* With a smaller max 127 / max would overflow; such a block counts as zero. */
    float inverse = max > PD_ACT_TINY ? 127 / max : 0;
    *dst = (PdActBlock){.d = max > PD_ACT_TINY ? max / 127 : 0};
    int sum = 0;
    for (int i = 0; i < PD_ACT_BLOCK; i++) {
        dst->q[i] = round_to_byte(x[i] * inverse);
        sum += dst->q[i];
    }
    dst->sum = dst->d * (float)sum;
}

static void
quantize(PdActBlock *dst, size_t stride, const float *x, int n_cols)
{
    for (int c = 0; c < n_cols; c += PD_ACT_BLOCK, dst += stride)
        quantize_block(dst, x + c);
}

static double
dot_float(const float *w, const float *x, int n)
{
    double total = 0;
    int c = 0;
    for (; c + 64 <= n; c += 64) {
        float lane[8] = {0};
        for (int i = 0; i < 64; i += 8)
            for (int k = 0; k < 8; k++)
                lane[k] += w[c + i + k] * x[c + i + k];
        for (int k = 0; k < 8; k++)
            total += lane[k];
    }
    for (; c < n; c++)
        total += (double)w[c] * x[c];
    return total;
}

static double
dot_acts(const float *w, const PdActBlock *acts, int n)
{
    double total = 0;
    for (int c = 0; c < n; c += PD_ACT_BLOCK, acts++) {
        float lane[8] = {0}, sum = 0;
        for (int i = 0; i < PD_ACT_BLOCK; i += 8)
            for (int k = 0; k < 8; k++)
                lane[k] += w[c + i + k] * acts->q[i + k];
        for (int k = 0; k < 8; k++)
            sum += lane[k];
        total += (double)acts->d * sum;
    }
    return total;
}

static size_t
workspace_bytes(int n_cols, int n_tokens)
{
    (void)n_tokens;
    return (size_t)n_cols * sizeof(float);
}

static void
multiply_rows(const PdProduct *p, int first_row, int n_rows, void *workspace)
{
    float *w = workspace;
    size_t n_cols = (size_t)p->n_cols, row_bytes = pd_row_bytes(p->type, n_cols);

    for (int r = first_row; r < first_row + n_rows; r++) {
        pd_dequantize_row(p->type, p->weight + (size_t)r * row_bytes, w, n_cols);
        for (size_t t = 0; t < (size_t)p->n_tokens; t++) {
            double dot = pd_is_float_type(p->type)
                             ? dot_float(w, p->x + t * n_cols, p->n_cols)
                             : dot_acts(w, p->acts + t * (n_cols / PD_ACT_BLOCK), p->n_cols);
            p->out[t * (size_t)p->n_rows + (size_t)r] = (float)dot + (p->bias ? p->bias[r] : 0);
        }
    }
}

const PdMatmulIsa pd_matmul_reference = {
    .name = "reference",
    .panel_rows = 8,
    .tile_tokens = 1,
    .quantize = quantize,
    .workspace_bytes = workspace_bytes,
    .multiply_rows = multiply_rows,
};
