/* Norms, sums, gates, RoPE and storing of KV rows against double arithmetic written here. */
#include "tests/kernels/vector_fixture.h"

/* Sizes around the vector widths, the panels and the thresholds at which threads join in. */
static const int sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 896, 1536, 4099};

static void
assert_near(const float *got, const double *expected, gsize n, double relative, double absolute)
{
    for (gsize i = 0; i < n; i++) {
        double limit = relative * fabs(expected[i]) + absolute;
        if (!(fabs(got[i] - expected[i]) <= limit))
            g_error("value %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT ": %.9g, expected %.9g", i, n,
                    (double)got[i], expected[i]);
    }
}

static float *
run_norm(PdDevice *dev, const float *x, const float *w, int n_rows, int n_cols, float eps,
         gboolean in_place)
{
    gsize bytes = (gsize)n_rows * (gsize)n_cols * sizeof(float);
    PdMem mem = fixture_mem(dev, x, bytes);
    PdWeight weight = fixture_weight(dev, w, n_cols);
    PdMem out = in_place ? mem : fixture_mem(dev, NULL, bytes);

    dev->ops->rms_norm(dev, out, mem, weight, n_rows, n_cols, eps);
    dev->ops->buffer_free(dev, weight.mem.buffer);
    if (!in_place)
        dev->ops->buffer_free(dev, mem.buffer);
    return fixture_take(dev, out, bytes);
}

static void
test_norm(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    static const double amplitudes[] = {1, 1e-30, 1e15, 0};

    if (!dev)
        return;
    for (gsize s = 0; s < G_N_ELEMENTS(sizes); s++)
        for (gsize k = 0; k < G_N_ELEMENTS(amplitudes); k++) {
            int n = sizes[s], n_rows = n == 896 ? 40 : 3;
            g_autofree float *x =
                fixture_random(rand, (gsize)(n_rows * n), amplitudes[k] ? amplitudes[k] : 1e-45);
            g_autofree float *w = fixture_random(rand, (gsize)n, 2);
            g_autofree float *got = run_norm(dev, x, w, n_rows, n, 1e-6f, FALSE);
            g_autofree float *in_place = run_norm(dev, x, w, n_rows, n, 1e-6f, TRUE);
            g_autofree double *expected = g_new(double, n_rows *n);
            for (int r = 0; r < n_rows; r++) {
                double sum = 0;
                for (int c = 0; c < n; c++)
                    sum += (double)x[r * n + c] * x[r * n + c];
                for (int c = 0; c < n; c++)
                    expected[r * n + c] = x[r * n + c] / sqrt(sum / n + (double)1e-6f) * w[c];
            }
            assert_near(got, expected, (gsize)(n_rows * n), 4e-7, 1e-37);
            g_assert_cmpmem(got, (gsize)(n_rows * n) * 4, in_place, (gsize)(n_rows * n) * 4);
        }
    dev->ops->free(dev);
}

static void
test_add(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 3);
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    static const int lengths[] = {1, 7, 16, 1000, 65536, 100003};

    if (!dev)
        return;
    for (gsize s = 0; s < G_N_ELEMENTS(lengths); s++) {
        int n = lengths[s];
        g_autofree float *a = fixture_random(rand, (gsize)n, 10);
        g_autofree float *b = fixture_random(rand, (gsize)n, 10);
        PdMem ma = fixture_mem(dev, a, (gsize)n * 4), mb = fixture_mem(dev, b, (gsize)n * 4);
        dev->ops->add(dev, ma, mb, (gsize)n);
        dev->ops->buffer_free(dev, mb.buffer);
        g_autofree float *got = fixture_take(dev, ma, (gsize)n * 4);
        for (int i = 0; i < n; i++)
            g_assert_true(got[i] == a[i] + b[i]);
    }
    for (gsize s = 0; s < G_N_ELEMENTS(sizes); s++) {
        int n = sizes[s], n_rows = 37;
        g_autofree float *a = fixture_random(rand, (gsize)(n * n_rows), 10);
        g_autofree float *b = fixture_random(rand, (gsize)n, 10);
        PdMem ma = fixture_mem(dev, a, (gsize)(n * n_rows) * 4);
        PdWeight wb = fixture_weight(dev, b, n);
        dev->ops->add_row(dev, ma, wb, n_rows, n);
        dev->ops->buffer_free(dev, wb.mem.buffer);
        g_autofree float *got = fixture_take(dev, ma, (gsize)(n * n_rows) * 4);
        for (int i = 0; i < n * n_rows; i++)
            g_assert_true(got[i] == a[i] + b[i % n]);
    }
    dev->ops->free(dev);
}

static double
gate_expected(double x, double up, PdActivation act)
{
    if (act == PD_ACT_SILU)
        return x / (1 + exp(-x)) * up;
    /* 1 + tanh(u) without cancellation on the left */
    double u = sqrt(2 / G_PI) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (u < 0 ? 2 * exp(2 * u) / (1 + exp(2 * u)) : 1 + tanh(u)) * up;
}

static void
test_glu(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    static const float extremes[] = {0.0f,   -0.0f, 1e-45f, -1e-45f, 1e-30f, 88.0f, -88.0f,
                                     -87.0f, 1e4f,  -1e4f,  3e38f,   -3e38f, 20.f,  -20.f};

    if (!dev)
        return;
    for (int act = PD_ACT_SILU; act <= PD_ACT_GELU_TANH; act++)
        for (gsize s = 0; s < G_N_ELEMENTS(sizes) + 1; s++) {
            int n = s < G_N_ELEMENTS(sizes) ? sizes[s] : 20011;
            g_autofree float *x = fixture_random(rand, (gsize)n, s % 2 ? 30 : 3);
            g_autofree float *up = fixture_random(rand, (gsize)n, 1);
            g_autofree double *expected = g_new(double, n);
            for (int i = 0; n >= 100 && i < (int)G_N_ELEMENTS(extremes); i++)
                x[i * 3] = extremes[i];
            for (int i = 0; i < n; i++)
                expected[i] = gate_expected(x[i], up[i], act);
            PdMem mx = fixture_mem(dev, x, (gsize)n * 4), mu = fixture_mem(dev, up, (gsize)n * 4);
            dev->ops->glu(dev, mx, mu, (gsize)n, act);
            dev->ops->buffer_free(dev, mu.buffer);
            g_autofree float *got = fixture_take(dev, mx, (gsize)n * 4);
            /* GELU's argument is a rounded cubic: its error grows with the exponent.  Below
             * e^-87 both are zero. */
            assert_near(got, expected, (gsize)n, act == PD_ACT_SILU ? 6e-7 : 2e-5, 1e-33);
        }
    dev->ops->free(dev);
}

/* Elements do not depend on the cut: the same values alone, in a short and in a long array. */
static void
test_glu_cut(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 3);
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);
    enum { N = 9001 };

    if (!dev)
        return;
    g_autofree float *x = fixture_random(rand, N, 5);
    PdMem whole = fixture_mem(dev, x, N * 4), parts = fixture_mem(dev, x, N * 4);
    PdMem up = fixture_mem(dev, x, N * 4);
    dev->ops->glu(dev, whole, up, N, PD_ACT_GELU_TANH);
    for (gsize at = 0, n; at < N; at += n) {
        n = (gsize)g_rand_int_range(rand, 1, (gint32)MIN(40, N - at) + 1);
        PdMem part = parts, part_up = up;
        part.offset_bytes = part_up.offset_bytes = at * 4;
        dev->ops->glu(dev, part, part_up, n, PD_ACT_GELU_TANH);
    }
    g_autofree float *a = fixture_take(dev, whole, N * 4);
    g_autofree float *b = fixture_take(dev, parts, N * 4);
    dev->ops->buffer_free(dev, up.buffer);
    g_assert_cmpmem(a, N * 4, b, N * 4);
    dev->ops->free(dev);
}

static void
check_rope(PdDevice *dev, GRand *rand, PdRopeKind kind, int head_dim, int n_rot, int n_rows)
{
    enum { POSITIONS = 50, HEADS = 3 };
    g_autofree float *table = g_new(float, POSITIONS *n_rot);
    g_autofree float *x = fixture_random(rand, (gsize)(n_rows * HEADS * head_dim), 4);
    g_autofree int32_t *positions = g_new(int32_t, n_rows);
    g_autofree double *expected = g_new(double, n_rows *HEADS *head_dim);
    gsize bytes = (gsize)(n_rows * HEADS * head_dim) * 4;

    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < n_rot / 2; i++) {
            double angle = p * pow(10000, -2.0 * i / n_rot);
            table[p * n_rot + 2 * i] = (float)cos(angle);
            table[p * n_rot + 2 * i + 1] = (float)sin(angle);
        }
    for (int r = 0; r < n_rows; r++)
        positions[r] = g_rand_int_range(rand, 0, POSITIONS);
    for (int i = 0; i < n_rows * HEADS * head_dim; i++) {
        int d = i % head_dim, half = n_rot / 2;
        int pair = kind == PD_ROPE_NEOX ? d % half : d / 2;
        gboolean second = kind == PD_ROPE_NEOX ? d >= half : d % 2;
        int other = kind == PD_ROPE_NEOX ? half : 1;
        expected[i] = x[i];
        if (d >= n_rot)
            continue;
        const float *cs = table + positions[i / head_dim / HEADS] * n_rot + 2 * pair;
        expected[i] = second ? (double)x[i - other] * cs[1] + (double)x[i] * cs[0]
                             : (double)x[i] * cs[0] - (double)x[i + other] * cs[1];
    }
    PdRope rope = {fixture_mem(dev, table, (gsize)(POSITIONS * n_rot) * 4), POSITIONS, n_rot, kind};
    PdMem mem = fixture_mem(dev, x, bytes);
    dev->ops->rope(dev, mem, &rope, positions, n_rows, HEADS, head_dim);
    dev->ops->buffer_free(dev, rope.table.buffer);
    g_autofree float *got = fixture_take(dev, mem, bytes);
    assert_near(got, expected, (gsize)(n_rows * HEADS * head_dim), 1e-7, 1e-6);
    for (int i = 0; i < n_rows * HEADS * head_dim; i++)
        if (i % head_dim >= n_rot)
            g_assert_true(got[i] == x[i]);
}

static void
test_rope(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    static const int dims[][2] = {{64, 64},   {128, 128}, {80, 32}, {96, 48},
                                  {256, 256}, {64, 2},    {6, 6}};

    if (!dev)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(dims); i++)
        for (int kind = PD_ROPE_NEOX; kind <= PD_ROPE_PAIRS; kind++) {
            check_rope(dev, rand, kind, dims[i][0], dims[i][1], 1);
            check_rope(dev, rand, kind, dims[i][0], dims[i][1], 101);
        }
    dev->ops->free(dev);
}

/* What a cache row of n values must hold. */
static void
assert_stored(PdDtype type, const guint8 *row, const float *x, int n)
{
    if (type == PD_F32)
        g_assert_cmpmem(row, (gsize)n * 4, x, (gsize)n * 4);
    for (int d = 0; type != PD_F32 && d < n; d++) {
        if (type == PD_F16) {
            guint16 bits;
            memcpy(&bits, row + 2 * d, sizeof bits);
            g_assert_cmphex(bits, ==, fixture_to_half(x[d]));
            continue;
        }
        double max = 0;
        for (int i = d / 32 * 32; i < d / 32 * 32 + 32; i++)
            max = MAX(max, fabs((double)x[i]));
        /* half a code, plus the rounding of the scale to half (2^-11, at most 127 codes) */
        g_assert_cmpfloat(fabs(fixture_cache_value(type, row, d) - x[d]), <=,
                          max / 127 * 0.5 * 1.01 + max * 0x1p-11 + 1e-7);
        /* to the bit: the scale to nearest even, codes away from zero */
        float scale = (float)max / 127;
        guint16 half;
        memcpy(&half, row + d / 32 * 34, sizeof half);
        g_assert_cmphex(half, ==, fixture_to_half(scale));
        g_assert_cmpint((gint8)row[d / 32 * 34 + 2 + d % 32], ==,
                        half ? (int)roundf(x[d] / scale) : 0);
    }
}

static void
check_append(PdDevice *dev, GRand *rand, PdDtype type, int head_dim, int n_rows)
{
    enum { HEADS = 3, FIRST = 5, SPARE = 4 };
    int capacity = FIRST + n_rows + SPARE;
    gsize row_bytes = pd_row_bytes(type, (gsize)head_dim);
    gsize bytes = HEADS * (gsize)capacity * row_bytes;
    gsize values = (gsize)(n_rows * HEADS * head_dim);
    g_autofree float *k = fixture_random(rand, values, 8);
    g_autofree float *v = fixture_random(rand, values, 0.01);
    g_autofree guint8 *blank = g_malloc(bytes);
    PdMem mk, mv;

    memset(blank, 0xa5, bytes);
    memset(v, 0, 32 * sizeof(float));   /* a block of zeros */
    k[0] = type == PD_F16 ? 1e6f : 127; /* beyond half; a scale of 1 */
    k[1] = 1e-7f;
    k[2] = -0.0f;
    k[3] = 2.5f; /* codes halfway */
    k[4] = -3.5f;
    k[5] = 0x1.fffffep-2f; /* just below a half */
    PdKv kv = {type,
               HEADS,
               head_dim,
               capacity,
               fixture_mem(dev, blank, bytes),
               fixture_mem(dev, blank, bytes)};
    mk = fixture_mem(dev, k, values * 4);
    mv = fixture_mem(dev, v, values * 4);
    dev->ops->kv_append(dev, &kv, FIRST, mk, mv, n_rows);
    dev->ops->buffer_free(dev, mk.buffer);
    dev->ops->buffer_free(dev, mv.buffer);
    for (int t = 0; t < 2; t++) {
        g_autofree guint8 *got = fixture_take(dev, t ? kv.v : kv.k, bytes);
        for (int h = 0; h < HEADS; h++)
            for (int r = 0; r < capacity; r++) {
                const guint8 *row = got + ((gsize)h * (gsize)capacity + (gsize)r) * row_bytes;
                if (r < FIRST || r >= FIRST + n_rows)
                    g_assert_cmpmem(row, row_bytes, blank, row_bytes);
                else
                    assert_stored(type, row, (t ? v : k) + ((r - FIRST) * HEADS + h) * head_dim,
                                  head_dim);
            }
    }
}

static void
test_kv_append(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 3);
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);

    if (!dev)
        return;
    check_append(dev, rand, PD_F16, 64, 1);
    check_append(dev, rand, PD_F16, 128, 77);
    check_append(dev, rand, PD_F16, 80, 9);
    check_append(dev, rand, PD_F16, 44, 3);
    check_append(dev, rand, PD_F32, 80, 9);
    check_append(dev, rand, PD_Q8_0, 64, 1);
    check_append(dev, rand, PD_Q8_0, 128, 77);
    check_append(dev, rand, PD_Q8_0, 96, 2);
    dev->ops->free(dev);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("vector/rms-norm", test_norm);
    fixture_add("vector/add", test_add);
    fixture_add("vector/glu", test_glu);
    fixture_add("vector/glu-cut", test_glu_cut);
    fixture_add("vector/rope", test_rope);
    fixture_add("vector/kv-append", test_kv_append);
    return g_test_run();
}
