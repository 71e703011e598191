/* Products, norms and the stored formats of weights (sections 2.2 and 7.4). */
#include <math.h>
#include "engine/deepseek/reference.h"
#include "kernels/low_float.h"

static float
scale_at(const PdDsMatrix *m, int row, int column_block)
{
    gsize n_blocks = (gsize)((m->n_cols + m->scale_cols - 1) / m->scale_cols);
    gsize at = (gsize)(row / m->scale_rows) * n_blocks + (gsize)column_block;
    float value;
    if (m->scale_is_e8m0)
        return pd_e8m0_value(m->scales[at]);
    pd_dequantize_row(m->scale_type, m->scales + at * pd_row_bytes(m->scale_type, 1), &value, 1);
    return value;
}

/* A scale, then the first 16 values in the low halves of 16 bytes and the others in the high ones.
 */
static void
mxfp4_row(const PdDsMatrix *m, int row, float *dst)
{
    int n_blocks = m->n_cols / 32;
    const guint8 *block = m->data + (gsize)row * (gsize)n_blocks * PD_DS_MXFP4_BYTES;
    for (int b = 0; b < n_blocks; b++, block += PD_DS_MXFP4_BYTES) {
        float scale = pd_e8m0_value(block[0]);
        for (int i = 0; i < 32; i++)
            dst[b * 32 + i] = pd_e2m1_value(block[1 + i % 16] >> (i < 16 ? 0 : 4) & 15) * scale;
    }
}

void
pd_ds_matrix_row(const PdDsMatrix *m, int row, float *dst)
{
    gsize n = (gsize)m->n_cols;
    if (m->format == PD_DS_PLAIN) {
        pd_dequantize_row(m->type, m->data + (gsize)row * pd_row_bytes(m->type, n), dst, n);
        return;
    }
    if (m->format == PD_DS_MXFP4) {
        mxfp4_row(m, row, dst);
        return;
    }
    const guint8 *codes = m->data + (gsize)row * (m->format == PD_DS_FP4 ? n / 2 : n);
    float scale = 0;
    for (int c = 0; c < m->n_cols; c++) {
        if (c % m->scale_cols == 0)
            scale = scale_at(m, row, c / m->scale_cols);
        if (m->format == PD_DS_FP8)
            dst[c] = pd_e4m3_value(codes[c]) * scale;
        else
            dst[c] = pd_e2m1_value(codes[c / 2] >> (c % 2 == 0 ? 0 : 4) & 15) * scale;
    }
}

/* Four sums, so that the compiler may use vectors; the order does not depend on anything else. */
double
pd_ds_dot(const float *a, const float *b, int n)
{
    double sum[4] = {0, 0, 0, 0};
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int j = 0; j < 4; j++)
            sum[j] += (double)a[i + j] * b[i + j];
    }
    for (; i < n; i++)
        sum[0] += (double)a[i] * b[i];
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

void
pd_ds_product_rows(const PdDsMatrix *w, int first_row, int n_rows, const float *x, gsize x_stride,
                   int n, float *y, gsize y_stride, float *row)
{
    for (int i = 0; i < n_rows; i++) {
        pd_ds_matrix_row(w, first_row + i, row);
        for (int t = 0; t < n; t++)
            y[(gsize)t * y_stride + (gsize)i] =
                (float)pd_ds_dot(row, x + (gsize)t * x_stride, w->n_cols);
    }
}

void
pd_ds_product(const PdDsMatrix *w, const float *x, int n, float *y, float *row)
{
    pd_ds_product_rows(w, 0, w->n_rows, x, (gsize)w->n_cols, n, y, (gsize)w->n_rows, row);
}

/* y = x / sqrt(mean(x^2) + eps) * weight */
void
pd_ds_rms_norm(const float *x, const float *weight, int n, float eps, float *y)
{
    double r = 1 / sqrt(pd_ds_dot(x, x, n) / n + eps);
    for (int i = 0; i < n; i++)
        y[i] = (float)(x[i] * r * (weight != NULL ? weight[i] : 1));
}

float
pd_ds_sigmoid(float x)
{
    return (float)(1 / (1 + exp(-(double)x)));
}
