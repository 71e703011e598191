/*
 * Plain C that defines every entry of PdVectorIsa: the equation, in double where sums are long.
 * Slow on purpose; the vector versions are tested against tests/kernels' own arithmetic and, where
 * the machine has nothing better, this is what runs.
 */
#include <assert.h>
#include <math.h>
#include <string.h>
#include "kernels/cpu/vector.h"
#include "kernels/kv_block.h"

static void
ref_rms_norm(float *out, const float *x, const float *weight, int n, float eps)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    double inv = 1.0 / sqrt(sum / n + eps);
    for (int i = 0; i < n; i++)
        out[i] = (float)(x[i] * inv * weight[i]);
}

static void
ref_add(float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] += b[i];
}

static double
sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x >= 0 ? 1.0 : e) / (1.0 + e);
}

/* 0.5 (1 + tanh(u)) = sigmoid(2u) makes the two activations one. */
static void
ref_glu(float *gate, const float *up, size_t n, PdActivation act)
{
    for (size_t i = 0; i < n; i++) {
        double x = gate[i];
        double t = act == PD_ACT_SILU ? x : 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
        gate[i] = (float)(x * sigmoid(t) * up[i]);
    }
}

static void
ref_rope(float *x, const float *cos_sin, PdRopeKind kind, int n_rot, int n_heads, int head_dim)
{
    int half = n_rot / 2;
    int step = kind == PD_ROPE_NEOX ? 1 : 2;
    int to_other = kind == PD_ROPE_NEOX ? half : 1;

    for (int h = 0; h < n_heads; h++, x += head_dim)
        for (int i = 0; i < half; i++) {
            float *a = x + i * step;
            float *b = a + to_other;
            double c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
            double ra = *a * c - *b * s;
            double rb = *a * s + *b * c;
            *a = (float)ra;
            *b = (float)rb;
        }
}

static void
ref_to_f16(uint16_t *dst, const float *src, size_t n)
{
    (void)pd_quantize_row(PD_F16, src, dst, n);
}

static void
ref_to_q8_0(uint8_t *dst, const float *src, size_t n)
{
    (void)pd_quantize_row(PD_Q8_0, src, dst, n);
}

/* Key row j as it takes part in the product: bias, then RoPE, where the cache left them out. */
static void
ref_key(const PdAttendHead *head, int j, float *key)
{
    pd_dequantize_row(head->type, head->k + (size_t)j * head->row_bytes, key,
                      (size_t)head->head_dim);
    if (head->k_bias)
        for (int d = 0; d < head->head_dim; d++)
            key[d] += head->k_bias[d];
    if (head->cos_sin)
        ref_rope(key, head->cos_sin + (size_t)j * (size_t)head->n_rot, head->rope_kind, head->n_rot,
                 1, head->head_dim);
}

static double
ref_dot(const float *a, const float *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Online softmax: one more block of n keys and values (n, head_dim) for one row. */
static void
ref_attend_row(const PdAttendHead *head, const float *q, const float *keys, const float *values,
               int n, float *o, float *max2, float *sum)
{
    int dim = head->head_dim;
    double s[PD_ATTEND_TILE];
    double max = *max2;

    for (int j = 0; j < n; j++) {
        s[j] = ref_dot(q, keys + (size_t)j * (size_t)dim, dim) * head->scale * M_LOG2E;
        max = fmax(max, (double)(float)s[j]);
    }
    double keep = *max2 == -INFINITY ? 0 : exp2(*max2 - max);
    double total = *sum * keep;
    for (int j = 0; j < n; j++) {
        s[j] = exp2(s[j] - max);
        total += s[j];
    }
    for (int d = 0; d < dim; d++) {
        double acc = o[d] * keep;
        for (int j = 0; j < n; j++)
            acc += s[j] * values[(size_t)j * (size_t)dim + (size_t)d];
        o[d] = (float)acc;
    }
    *max2 = (float)max;
    *sum = (float)total;
}

static void
ref_attend(const PdAttendHead *head, int first_q, int n_q, int kv_first, int kv_last, float *work,
           const PdAttendState *state)
{
    size_t dim = (size_t)head->head_dim;
    float *keys = work;
    float *values = work + PD_ATTEND_TILE * dim;

    for (int m = 0; m < n_q * head->group; m++) {
        memset(state->o + (size_t)m * dim, 0, dim * sizeof(float));
        state->max2[m] = -INFINITY;
        state->sum[m] = 0;
    }
    for (int j0 = kv_first; j0 < kv_last; j0 += PD_ATTEND_TILE) {
        int j1 = j0 + PD_ATTEND_TILE < kv_last ? j0 + PD_ATTEND_TILE : kv_last;
        for (int j = j0; j < j1; j++) {
            ref_key(head, j, keys + (size_t)(j - j0) * dim);
            pd_dequantize_row(head->type, head->v + (size_t)j * head->row_bytes,
                              values + (size_t)(j - j0) * dim, dim);
        }
        for (int i = 0; i < n_q; i++) {
            int lo, hi;
            pd_attend_range(head, first_q + i, &lo, &hi);
            lo = lo > j0 ? lo : j0;
            hi = hi < j1 ? hi : j1;
            if (lo >= hi)
                continue;
            for (int g = 0; g < head->group; g++) {
                size_t m = (size_t)(i * head->group + g);
                ref_attend_row(head,
                               head->q + (size_t)(first_q + i) * head->q_stride + (size_t)g * dim,
                               keys + (size_t)(lo - j0) * dim, values + (size_t)(lo - j0) * dim,
                               hi - lo, state->o + m * dim, &state->max2[m], &state->sum[m]);
            }
        }
    }
}

static void
ref_scores(float *out, const float *q, int n_q, int head_dim, PdDtype type, const void *keys,
           size_t row_bytes, int n_keys, float *work)
{
    for (int j = 0; j < n_keys; j++) {
        pd_dequantize_row(type, (const uint8_t *)keys + (size_t)j * row_bytes, work,
                          (size_t)head_dim);
        for (int i = 0; i < n_q; i++)
            out[i * PD_ATTEND_TILE + j] =
                (float)ref_dot(q + (size_t)i * (size_t)head_dim, work, head_dim);
    }
}

static void
ref_score_keys(float *max, size_t max_stride, float *scores, const float *q, int n_q, int bits,
               int head_dim, const uint8_t *block, int n_keys, float *work)
{
    pd_key_stream_unpack(bits, head_dim, block, n_keys, 0, n_keys, work, (size_t)head_dim);
    for (int i = 0; i < n_q; i++) {
        float best = -INFINITY;
        for (int j = 0; j < n_keys; j++) {
            float s = (float)ref_dot(q + (size_t)i * (size_t)head_dim,
                                     work + (size_t)j * (size_t)head_dim, head_dim);
            best = s > best ? s : best;
            if (scores != NULL)
                scores[i * PD_ATTEND_TILE + j] = s;
        }
        max[(size_t)i * max_stride] = best;
    }
}

static void
ref_relu_sum(float *sums, const float *s, const float *weights, int n_rows)
{
    for (int j = 0; j < PD_ATTEND_TILE; j++) {
        double sum = sums[j];
        for (int i = 0; i < n_rows; i++) {
            double x = s[i * PD_ATTEND_TILE + j];
            sum += weights[i] * (x > 0 ? x : 0);
        }
        sums[j] = (float)sum;
    }
}

static size_t
ref_next_above(const float *x, size_t from, size_t n, float limit)
{
    while (from < n && !(x[from] > limit))
        from++;
    return from;
}

static float
ref_max(const float *x, size_t n)
{
    float max = -INFINITY;

    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static float
ref_exp_sum(float *x, size_t n, float scale, float max)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double e = exp((double)scale * ((double)x[i] - max));
        sum += e;
        x[i] = (float)e;
    }
    return (float)sum;
}

const PdVectorIsa pd_vector_reference = {
    .name = "reference",
    .rms_norm = ref_rms_norm,
    .add = ref_add,
    .glu = ref_glu,
    .rope = ref_rope,
    .to_f16 = ref_to_f16,
    .to_q8_0 = ref_to_q8_0,
    .attend = ref_attend,
    .unpack_row = pd_row_unpack,
    .scores = ref_scores,
    .score_keys = ref_score_keys,
    .relu_sum = ref_relu_sum,
    .index_scores = pd_index_scores_reference,
    .next_above = ref_next_above,
    .max = ref_max,
    .exp_sum = ref_exp_sum,
};
