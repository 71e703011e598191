/*
 * Attention and scores over the products of vector_simd.h (which includes this file): tiles of 64
 * kv rows are widened into panels once for all query rows and heads that share them.
 */
#ifndef PD_VECTOR_SIMD_ATTEND_H
#define PD_VECTOR_SIMD_ATTEND_H

/* --- widening a tile --- */

INLINE __m256
half_load8(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

#define Q8_BLOCK 32
#define Q8_BYTES 34

INLINE __m256
q8_scale(const uint8_t *block)
{
    uint16_t half;

    memcpy(&half, block, sizeof half);
    return _mm256_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))));
}

INLINE __m256
q8_load8(const uint8_t *codes, __m256 scale)
{
    __m128i c = _mm_loadl_epi64((const __m128i *)(const void *)codes);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(c)), scale);
}

static void
q8_row(float *dst, const uint8_t *src, int n)
{
    for (int d = 0; d < n; d += Q8_BLOCK, src += Q8_BYTES) {
        __m256 scale = q8_scale(src);
        for (int i = 0; i < Q8_BLOCK; i += 8)
            _mm256_storeu_ps(dst + d + i, q8_load8(src + 2 + i, scale));
    }
}

/* Eight codes of E4M3: shifted into a half they are 2^-8 of their value, its small numbers too. */
INLINE __m256
e4m3_load8(const uint8_t *codes)
{
    __m128i c = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)codes));
    __m128i magnitude = _mm_and_si128(c, _mm_set1_epi16(0x7f));
    __m128i nan = _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f));
    __m128i sign = _mm_slli_epi16(_mm_and_si128(c, _mm_set1_epi16(0x80)), 8);
    __m128i half = _mm_or_si128(_mm_or_si128(_mm_slli_epi16(magnitude, 7), sign), nan);
    return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256));
}

static void
simd_unpack_row(const PdRowFormat *f, const uint8_t *bytes, float *row)
{
    int still = f->width - f->n_turning;
    const uint8_t *scales = bytes + still;

    if (f->kind != PD_ROW_FP8) {
        pd_row_unpack(f, bytes, row);
        return;
    }
    for (int at = 0; at < still; at += PD_FP8_BLOCK, scales++) {
        int end = at + PD_FP8_BLOCK < still ? at + PD_FP8_BLOCK : still, d = at;
        float scale = pd_e8m0_value(*scales);
        for (; d + 8 <= end; d += 8)
            _mm256_storeu_ps(row + d, _mm256_mul_ps(e4m3_load8(bytes + d), _mm256_set1_ps(scale)));
        for (; d < end; d++)
            row[d] = pd_e4m3_value(bytes[d]) * scale;
    }
    pd_dequantize_row(PD_BF16, scales, row + still, (size_t)f->n_turning);
}

static void
half_row(float *dst, const uint16_t *src, int n)
{
    int d = 0;

    for (; d + 8 <= n; d += 8)
        _mm256_storeu_ps(dst + d, half_load8(src + d));
    if (d < n)
        pd_dequantize_row(PD_F16, src + d, dst + d, (size_t)(n - d));
}

/* Eight dims of 16 rows: registers hold row r in the low half and row r + 8 in the high half, three
 * rounds of unpacking turn them into one register per dim. */
INLINE void
transpose_half_16x8(float *dst, const uint16_t *const rows[PANEL], size_t d)
{
    __m256i r[8], t[8];

    for (int i = 0; i < 8; i++)
        r[i] = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(rows[i] + d))),
            _mm_loadu_si128((const __m128i *)(const void *)(rows[i + 8] + d)), 1);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            r[4 * i + 2 * j] = _mm256_unpacklo_epi32(t[4 * i + j], t[4 * i + j + 2]);
            r[4 * i + 2 * j + 1] = _mm256_unpackhi_epi32(t[4 * i + j], t[4 * i + j + 2]);
        }
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_epi64(r[i], r[i + 4]);
        t[2 * i + 1] = _mm256_unpackhi_epi64(r[i], r[i + 4]);
    }
    for (int i = 0; i < 8; i++) {
        _mm256_storeu_ps(dst + i * PANEL, _mm256_cvtph_ps(_mm256_castsi256_si128(t[i])));
        _mm256_storeu_ps(dst + i * PANEL + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(t[i], 1)));
    }
}

/* dst[d][0..7] = rows[0..7][d], eight dims; dst rows are PANEL apart */
INLINE void
transpose_float_8x8(float *dst, const float *src, size_t stride)
{
    __m256 r[8], t[8];

    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(src + (size_t)i * stride);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            r[4 * i + 2 * j] = _mm256_shuffle_ps(t[4 * i + j], t[4 * i + j + 2], 0x44);
            r[4 * i + 2 * j + 1] = _mm256_shuffle_ps(t[4 * i + j], t[4 * i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(dst + i * PANEL, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(dst + (i + 4) * PANEL, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* Rows in staging, (16, stride), into one panel of keys. */
static void
transpose_stage(float *panel, const float *stage, size_t stride, int head_dim)
{
    int d = 0;

    for (; d + 8 <= head_dim; d += 8) {
        transpose_float_8x8(panel + d * PANEL, stage + d, stride);
        transpose_float_8x8(panel + d * PANEL + 8, stage + d + 8 * stride, stride);
    }
    for (; d < head_dim; d++)
        for (int r = 0; r < PANEL; r++)
            panel[d * PANEL + r] = stage[(size_t)r * stride + (size_t)d];
}

static void
half_panel(float *panel, const uint16_t *const rows[PANEL], int head_dim)
{
    int d = 0;

    for (; d + 8 <= head_dim; d += 8)
        transpose_half_16x8(panel + d * PANEL, rows, (size_t)d);
    for (; d < head_dim; d++)
        for (int r = 0; r < PANEL; r++)
            pd_dequantize_row(PD_F16, rows[r] + d, panel + d * PANEL + r, 1);
}

/* n key rows from kv row `first` on into panels.  A last panel that is not full repeats its last
 * row; nobody reads those columns' scores.  head NULL: keys are complete as they are stored. */
static void
widen_keys(float *panels, float *stage, PdDtype type, const uint8_t *keys, size_t row_bytes, int n,
           int head_dim, const PdAttendHead *head, int first)
{
    size_t stride = pd_pad16((size_t)head_dim);
    bool direct = type == PD_F16 && !(head && (head->k_bias || head->cos_sin));

    for (int p = 0; p * PANEL < n; p++, panels += (size_t)head_dim * PANEL) {
        const uint16_t *rows[PANEL];
        for (int r = 0; r < PANEL; r++) {
            int j = p * PANEL + r < n ? p * PANEL + r : n - 1;
            const uint8_t *src = keys + (size_t)j * row_bytes;
            float *row = stage + (size_t)r * stride;
            if (direct) {
                rows[r] = (const uint16_t *)(const void *)src;
                continue;
            }
            if (type == PD_Q8_0)
                q8_row(row, src, head_dim);
            else if (type == PD_F16)
                half_row(row, (const uint16_t *)(const void *)src, head_dim);
            else
                memcpy(row, src, (size_t)head_dim * sizeof(float));
            if (head && head->k_bias)
                for (int d = 0; d < head_dim; d++)
                    row[d] += head->k_bias[d];
            if (head && head->cos_sin)
                simd_rope(row, head->cos_sin + (size_t)(first + j) * (size_t)head->n_rot,
                          head->rope_kind, head->n_rot, 1, head_dim);
        }
        if (direct)
            half_panel(panels, rows, head_dim);
        else
            transpose_stage(panels, stage, stride, head_dim);
    }
}

/* n value rows into panels of dims; dims beyond head_dim are zero. */
static void
widen_values(float *panels, PdDtype type, const uint8_t *values, size_t row_bytes, int n,
             int head_dim)
{
    const size_t panel = TILE * PANEL;
    const size_t value_bytes = type == PD_F16 ? 2 : 4;
    int n_whole = head_dim / PANEL;
    int left = head_dim % PANEL;

    for (int j = 0; j < n; j++) {
        const uint8_t *src = values + (size_t)j * row_bytes;
        float *dst = panels + (size_t)j * PANEL;
        if (type == PD_Q8_0) {
            for (int p = 0; p < n_whole; p += 2, dst += 2 * panel, src += Q8_BYTES) {
                __m256 scale = q8_scale(src);
                _mm256_storeu_ps(dst, q8_load8(src + 2, scale));
                _mm256_storeu_ps(dst + 8, q8_load8(src + 10, scale));
                _mm256_storeu_ps(dst + panel, q8_load8(src + 18, scale));
                _mm256_storeu_ps(dst + panel + 8, q8_load8(src + 26, scale));
            }
            continue;
        }
        for (int p = 0; p < n_whole; p++, dst += panel, src += PANEL * value_bytes) {
            if (type == PD_F16) {
                _mm256_storeu_ps(dst, half_load8((const uint16_t *)(const void *)src));
                _mm256_storeu_ps(dst + 8, half_load8((const uint16_t *)(const void *)src + 8));
            } else {
                memcpy(dst, src, PANEL * sizeof(float));
            }
        }
        if (left > 0) {
            memset(dst, 0, PANEL * sizeof(float));
            pd_dequantize_row(type, src, dst, (size_t)left);
        }
    }
}

/* --- attention --- */

typedef struct {
    float *keys;
    float *stage;
    float *values;
    float *q;    /* (n_rows, stride), scaled so that scores are exponents of 2 */
    float *s;    /* (n_rows, TILE): scores, then weights */
    float *o;    /* (n_rows, stride) */
    float *keep; /* (n_rows): what the new maximum leaves of the output so far */
    size_t stride;
} AttendWork;

/* The largest of scores [lo, hi) of a row and of `max2`; what shares a vector with them is masked.
 */
INLINE float
row_max(float *s, int lo, int hi, int first, int last, float max2)
{
    vf max = v_set1(max2);

    for (int j = first; j < lo; j++)
        s[j] = -INFINITY;
    for (int j = hi; j < last; j++)
        s[j] = -INFINITY;
    for (int j = first; j < last; j += VW)
        max = v_max(max, v_load(s + j));
    return v_reduce_max(max);
}

/* Scores [lo, hi) of n rows become weights; maxima and sums move on.  Two passes over short rows
 * keep more of them in flight than one pass with its chain from maximum to sum. */
INLINE void
softmax_rows(float *s, int n, int lo, int hi, float *keep, float *max2, float *sum)
{
    int first = lo / VW * VW;
    int last = (hi + VW - 1) / VW * VW;

    for (int m = 0; m < n; m++) {
        float max = row_max(s + (size_t)m * TILE, lo, hi, first, last, max2[m]);
        keep[m] = max2[m] - max;
        max2[m] = max;
    }
    for (int m = 0; m < n; m += VW) {
        if (m + VW <= n)
            v_store(keep + m, v_exp2(v_load(keep + m)));
        else
            v_store_tail(keep + m, v_exp2(v_load_tail(keep + m, (size_t)(n - m), 0)),
                         (size_t)(n - m));
    }
    for (int m = 0; m < n; m++, s += TILE) {
        vf max = v_set1(max2[m]);
        vf total = v_set1(0.0f);
        for (int j = first; j < last; j += VW) {
            vf e = v_exp2(v_sub(v_load(s + j), max));
            v_store(s + j, e);
            total = v_add(total, e);
        }
        sum[m] = sum[m] * keep[m] + v_reduce_add(total);
    }
}

/* Rows first .. first + n - 1 against kv rows [lo, hi) of the tile, which all of them see. */
static void
attend_rows(const AttendWork *w, int head_dim, int first, int n, int lo, int hi,
            const PdAttendState *state)
{
    size_t at = (size_t)first;
    int panel = lo / PANEL;
    Gemm scores = {.a = w->q + at * w->stride,
                   .lda = w->stride,
                   .b = w->keys + (size_t)panel * (size_t)head_dim * PANEL,
                   .panel_stride = (size_t)head_dim * PANEL,
                   .depth = head_dim,
                   .c = w->s + at * TILE + panel * PANEL,
                   .ldc = TILE};
    Gemm outputs = {.a = w->s + at * TILE + lo,
                    .lda = TILE,
                    .b = w->values + lo * PANEL,
                    .panel_stride = TILE * PANEL,
                    .depth = hi - lo,
                    .c = w->o + at * w->stride,
                    .ldc = w->stride,
                    .keep = w->keep + at};

    gemm(&scores, n, (hi + PANEL - 1) / PANEL - panel);
    if (lo == 0 && hi == TILE) /* constants */
        softmax_rows(w->s + at * TILE, n, 0, TILE, w->keep + at, state->max2 + at, state->sum + at);
    else
        softmax_rows(w->s + at * TILE, n, lo, hi, w->keep + at, state->max2 + at, state->sum + at);
    gemm(&outputs, n, (int)(w->stride / PANEL));
}

static void
attend_begin(const PdAttendHead *head, int first_q, int n_q, float *work, AttendWork *w,
             const PdAttendState *state)
{
    size_t dim = (size_t)head->head_dim;
    size_t n_rows = (size_t)(n_q * head->group);
    float scale = (float)((double)head->scale * M_LOG2E);

    w->stride = pd_pad16(dim);
    w->keys = work;
    w->stage = w->keys + TILE * w->stride;
    w->values = w->stage + PANEL * w->stride;
    w->q = w->values + TILE * w->stride;
    w->s = w->q + n_rows * w->stride;
    w->keep = w->s + n_rows * TILE;
    w->o = w->stride == dim ? state->o : w->keep + n_rows * 16;
    for (size_t m = 0; m < n_rows; m++) {
        size_t i = m / (size_t)head->group, g = m % (size_t)head->group;
        const float *q = head->q + ((size_t)first_q + i) * head->q_stride + g * dim;
        for (size_t d = 0; d < dim; d++)
            w->q[m * w->stride + d] = q[d] * scale;
        state->max2[m] = -INFINITY;
        state->sum[m] = 0;
    }
    memset(w->o, 0, n_rows * w->stride * sizeof(float));
}

static void
simd_attend(const PdAttendHead *head, int first_q, int n_q, int kv_first, int kv_last, float *work,
            const PdAttendState *state)
{
    int dim = head->head_dim;
    int lo, hi, unused;
    AttendWork w;

    attend_begin(head, first_q, n_q, work, &w, state);
    for (int j0 = kv_first; j0 < kv_last; j0 += TILE) {
        int n = kv_last - j0 < TILE ? kv_last - j0 : TILE;
        size_t at = (size_t)j0 * head->row_bytes;
        widen_keys(w.keys, w.stage, head->type, head->k + at, head->row_bytes, n, dim, head, j0);
        widen_values(w.values, head->type, head->v + at, head->row_bytes, n, dim);

        pd_attend_range(head, first_q, &unused, &hi);
        pd_attend_range(head, first_q + n_q - 1, &lo, &unused);
        if (lo <= j0 && hi >= j0 + TILE && n == TILE) {
            attend_rows(&w, dim, 0, n_q * head->group, 0, TILE, state);
            continue;
        }
        /* On the rim each query row runs over exactly what it sees: a zero weight on a row that it
         * does not see would still let an infinity or the sign of a zero through. */
        for (int i = 0; i < n_q; i++) {
            pd_attend_range(head, first_q + i, &lo, &hi);
            lo = lo > j0 ? lo - j0 : 0;
            hi = hi < j0 + n ? hi - j0 : n;
            if (lo < hi)
                attend_rows(&w, dim, i * head->group, head->group, lo, hi, state);
        }
    }
    if (w.o != state->o)
        for (int m = 0; m < n_q * head->group; m++)
            memcpy(state->o + (size_t)m * (size_t)dim, w.o + (size_t)m * w.stride,
                   (size_t)dim * sizeof(float));
}

static void
simd_scores(float *out, const float *q, int n_q, int head_dim, PdDtype type, const void *keys,
            size_t row_bytes, int n_keys, float *work)
{
    float *stage = work + TILE * pd_pad16((size_t)head_dim);
    Gemm scores = {.a = q,
                   .lda = (size_t)head_dim,
                   .b = work,
                   .panel_stride = (size_t)head_dim * PANEL,
                   .depth = head_dim,
                   .c = out,
                   .ldc = TILE};

    widen_keys(work, stage, type, keys, row_bytes, n_keys, head_dim, NULL, 0);
    gemm(&scores, n_q, (n_keys + PANEL - 1) / PANEL);
}

#define PD_VECTOR_SIMD_TABLE(NAME)                                                                 \
    {                                                                                              \
        .name = NAME, .rms_norm = simd_rms_norm, .add = simd_add, .glu = simd_glu,                 \
        .rope = simd_rope, .to_f16 = simd_to_f16, .to_q8_0 = simd_to_q8_0, .attend = simd_attend,  \
        .unpack_row = simd_unpack_row, .scores = simd_scores, .score_keys = SCORE_KEYS,            \
        .relu_sum = simd_relu_sum, .index_scores = INDEX_SCORES, .next_above = simd_next_above,    \
        .max = simd_max, .exp_sum = simd_exp_sum,                                                  \
    }

#endif
