/*
 * Attention against softmax in double, written here row by row, and against itself: the bits of a
 * row must not depend on its neighbours, on what lies behind it in the cache, or on threads.
 */
#include "tests/kernels/vector_fixture.h"

typedef struct {
    int n_heads;
    int n_kv_heads;
    int head_dim;
    PdDtype type;
    int first_q_row;
    int n_q;
    int window;
    int n_rot; /* PD_Q8_0: 0 = no RoPE */
    gboolean bias;
    PdRopeKind kind;
} Shape;

/* One attention problem in host memory. */
typedef struct {
    Shape s;
    int kv_rows;
    float scale;
    float *q; /* (n_q, n_heads, head_dim) */
    float *k; /* (kv_rows, n_kv_heads, head_dim) */
    float *v;
    float *bias;  /* (n_kv_heads, head_dim) */
    float *table; /* (position0 + kv_rows, n_rot/2, 2) */
} Problem;

enum { POSITION0 = 3, SPARE_ROWS = 2 };

static Problem *
problem_new(const Shape *shape, guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    Problem *p = g_new0(Problem, 1);
    gsize kv_values;

    p->s = *shape;
    p->kv_rows = shape->first_q_row + shape->n_q;
    p->scale = 1 / sqrtf((float)shape->head_dim);
    kv_values = (gsize)(p->kv_rows * shape->n_kv_heads * shape->head_dim);
    p->q = fixture_random(rand, (gsize)(shape->n_q * shape->n_heads * shape->head_dim), 2);
    p->k = fixture_random(rand, kv_values, 2);
    p->v = fixture_random(rand, kv_values, 1);
    p->bias = fixture_random(rand, (gsize)(shape->n_kv_heads * shape->head_dim), 1);
    p->table = g_new0(float, (POSITION0 + p->kv_rows) * MAX(shape->n_rot, 1));
    for (int r = 0; r < POSITION0 + p->kv_rows; r++)
        for (int i = 0; i < shape->n_rot / 2; i++) {
            double angle = r * pow(10000, -2.0 * i / shape->n_rot);
            p->table[r * shape->n_rot + 2 * i] = (float)cos(angle);
            p->table[r * shape->n_rot + 2 * i + 1] = (float)sin(angle);
        }
    return p;
}

static void
problem_free(Problem *p)
{
    g_free(p->q);
    g_free(p->k);
    g_free(p->v);
    g_free(p->bias);
    g_free(p->table);
    g_free(p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Problem, problem_free)

/* The cache on a device. */
typedef struct {
    PdKv kv;
    gsize bytes;
    PdRope rope;
    PdWeight bias;
} Cache;

static void
cache_init(Cache *c, PdDevice *dev, const Problem *p)
{
    const Shape *s = &p->s;
    int capacity = p->kv_rows + SPARE_ROWS;
    gsize values = (gsize)(p->kv_rows * s->n_kv_heads * s->head_dim);
    PdMem k = fixture_mem(dev, p->k, values * 4), v = fixture_mem(dev, p->v, values * 4);

    c->bytes = pd_row_bytes(s->type, (gsize)s->head_dim) * (gsize)(capacity * s->n_kv_heads);
    g_autofree guint8 *spoilt = g_malloc(c->bytes);
    memset(spoilt, 0x7e, c->bytes); /* NaN in half floats */
    c->kv = (PdKv){s->type,
                   s->n_kv_heads,
                   s->head_dim,
                   capacity,
                   fixture_mem(dev, spoilt, c->bytes),
                   fixture_mem(dev, spoilt, c->bytes)};
    dev->ops->kv_append(dev, &c->kv, 0, k, v, p->kv_rows);
    dev->ops->buffer_free(dev, k.buffer);
    dev->ops->buffer_free(dev, v.buffer);
    c->rope = (PdRope){
        fixture_mem(dev, p->table, (gsize)((POSITION0 + p->kv_rows) * MAX(s->n_rot, 1)) * 4),
        POSITION0 + p->kv_rows, s->n_rot, s->kind};
    c->bias = fixture_weight(dev, p->bias, s->n_kv_heads * s->head_dim);
}

static void
cache_clear(Cache *c, PdDevice *dev)
{
    dev->ops->buffer_free(dev, c->kv.k.buffer);
    dev->ops->buffer_free(dev, c->kv.v.buffer);
    dev->ops->buffer_free(dev, c->rope.table.buffer);
    dev->ops->buffer_free(dev, c->bias.mem.buffer);
}

/* Query rows first .. first + n - 1 of the problem, into out (n_q, n_heads, head_dim). */
static void
run_rows(PdDevice *dev, const Cache *c, const Problem *p, int first, int n, int kv_rows, float *out)
{
    gsize row = (gsize)(p->s.n_heads * p->s.head_dim);
    PdAttention a = {.q = fixture_mem(dev, p->q + (gsize)first * row, (gsize)n * row * 4),
                     .out = fixture_mem(dev, NULL, (gsize)n * row * 4),
                     .n_q = n,
                     .n_heads = p->s.n_heads,
                     .first_q_row = p->s.first_q_row + first,
                     .kv_rows = kv_rows,
                     .window = p->s.window,
                     .scale = p->scale,
                     .position0 = POSITION0};

    if (p->s.n_rot)
        a.rope = &c->rope;
    if (p->s.bias)
        a.k_bias = c->bias;
    g_assert_cmpint(dev->ops->attention(dev, &c->kv, &a), ==, PD_KERNEL_OK);
    dev->ops->buffer_free(dev, a.q.buffer);
    g_autofree float *got = fixture_take(dev, a.out, (gsize)n * row * 4);
    memcpy(out + (gsize)first * row, got, (gsize)n * row * 4);
}

static float *
run_all(PdDevice *dev, const Problem *p)
{
    Cache c;
    float *out = g_new(float, p->s.n_q * p->s.n_heads * p->s.head_dim);

    cache_init(&c, dev, p);
    run_rows(dev, &c, p, 0, p->s.n_q, p->kv_rows, out);
    cache_clear(&c, dev);
    return out;
}

/* --- the expected result --- */

/* Key of kv row j as it enters the product. */
static void
expected_key(const Problem *p, const guint8 *row, int kv_head, int j, double *key)
{
    const Shape *s = &p->s;
    int half = s->n_rot / 2;
    double raw[256];

    for (int d = 0; d < s->head_dim; d++)
        raw[d] = fixture_cache_value(s->type, row, d) +
                 (s->bias ? p->bias[kv_head * s->head_dim + d] : 0);
    memcpy(key, raw, (gsize)s->head_dim * sizeof(double));
    for (int i = 0; i < half; i++) {
        const float *cs = p->table + (POSITION0 + j) * s->n_rot + 2 * i;
        int a = s->kind == PD_ROPE_NEOX ? i : 2 * i;
        int b = s->kind == PD_ROPE_NEOX ? i + half : 2 * i + 1;
        key[a] = raw[a] * cs[0] - raw[b] * cs[1];
        key[b] = raw[a] * cs[1] + raw[b] * cs[0];
    }
}

typedef struct {
    double *keys;   /* (kv_rows, head_dim) of one head */
    double *values; /* (kv_rows, head_dim) */
    double *s;      /* (kv_rows) */
} Scratch;

static void
assert_row(const Problem *p, const Scratch *w, int i, int h, const float *got)
{
    const Shape *s = &p->s;
    const float *q = p->q + (i * s->n_heads + h) * s->head_dim;
    int last = s->first_q_row + i;
    int first = s->window ? MAX(0, last - s->window + 1) : 0;
    double max = -INFINITY, sum = 0, size = 0, value_max = 0;

    for (int j = first; j <= last; j++) {
        double abs_sum = 0;
        w->s[j] = 0;
        for (int d = 0; d < s->head_dim; d++) {
            w->s[j] += (double)q[d] * w->keys[j * s->head_dim + d] * p->scale;
            abs_sum += fabs((double)q[d] * w->keys[j * s->head_dim + d]) * p->scale;
            value_max = MAX(value_max, fabs(w->values[j * s->head_dim + d]));
        }
        size = MAX(size, abs_sum);
        max = MAX(max, w->s[j]);
    }
    for (int j = first; j <= last; j++)
        sum += w->s[j] = exp(w->s[j] - max);
    /* A score of float products carries a few roundings of the sum of their sizes; the weights
     * inherit that as a relative error. */
    double limit = value_max * (2e-6 + 4 * 0x1p-23 * size) + 1e-37;
    for (int d = 0; d < s->head_dim; d++) {
        double expected = 0;
        for (int j = first; j <= last; j++)
            expected += w->s[j] / sum * w->values[j * s->head_dim + d];
        if (!(fabs(got[d] - expected) <= limit))
            g_error("heads %d/%d dim %d row %d head %d: %.9g, expected %.9g +- %.3g", s->n_heads,
                    s->n_kv_heads, s->head_dim, i, h, (double)got[d], expected, limit);
    }
}

static void
assert_attention(PdDevice *dev, const Problem *p, const float *got)
{
    const Shape *s = &p->s;
    gsize n = (gsize)(p->kv_rows * s->head_dim),
          row_bytes = pd_row_bytes(s->type, (gsize)s->head_dim);
    int group = s->n_heads / s->n_kv_heads;
    g_autofree double *keys = g_new(double, n), *values = g_new(double, n);
    g_autofree double *scores = g_new(double, p->kv_rows);
    Scratch w = {keys, values, scores};
    Cache c;

    cache_init(&c, dev, p);
    g_autofree guint8 *k = g_malloc(c.bytes), *v = g_malloc(c.bytes);
    dev->ops->read(dev, k, c.kv.k, c.bytes);
    dev->ops->read(dev, v, c.kv.v, c.bytes);
    for (int g = 0; g < s->n_kv_heads; g++) {
        for (int j = 0; j < p->kv_rows; j++) {
            gsize at = ((gsize)g * (gsize)c.kv.capacity_rows + (gsize)j) * row_bytes;
            expected_key(p, k + at, g, j, keys + j * s->head_dim);
            for (int d = 0; d < s->head_dim; d++)
                values[j * s->head_dim + d] = fixture_cache_value(s->type, v + at, d);
        }
        for (int i = 0; i < s->n_q; i++)
            for (int h = g * group; h < (g + 1) * group; h++)
                assert_row(p, &w, i, h, got + (i * s->n_heads + h) * s->head_dim);
    }
    cache_clear(&c, dev);
}

/* --- tests --- */

static const Shape shapes[] = {
    {14, 2, 64, PD_F16, 0, 1},
    {14, 2, 64, PD_F16, 0, 131},
    {14, 2, 64, PD_F16, 700, 40},
    {14, 2, 64, PD_F16, 1023, 1},
    {12, 2, 128, PD_F16, 500, 30},
    {9, 3, 64, PD_F16, 62, 5},
    {9, 3, 64, PD_F16, 0, 65},
    {4, 1, 256, PD_F16, 0, 70},
    {4, 1, 256, PD_F16, 600, 3, 512},
    {1, 1, 80, PD_F16, 30, 40},
    {1, 1, 96, PD_F16, 0, 200},
    {6, 2, 44, PD_F16, 64, 64},
    {18, 2, 64, PD_F16, 127, 17},
    {2, 2, 64, PD_F16, 0, 300, 1},
    {2, 1, 64, PD_F16, 0, 300, 7},
    {14, 2, 64, PD_F16, 900, 60, 100},
    {4, 2, 128, PD_F16, 50, 50, 64},
    {4, 2, 128, PD_F16, 50, 50, 100},
    {4, 2, 128, PD_F16, 50, 50, 5000},
    {14, 2, 64, PD_F32, 510, 20},
    {3, 1, 44, PD_F32, 0, 70},
    {14, 2, 64, PD_Q8_0, 0, 100},
    {14, 2, 64, PD_Q8_0, 520, 3, 0, 64, TRUE, PD_ROPE_NEOX},
    {12, 2, 128, PD_Q8_0, 100, 33, 0, 128, TRUE, PD_ROPE_NEOX},
    {12, 2, 128, PD_Q8_0, 100, 33, 0, 128, FALSE, PD_ROPE_PAIRS},
    {3, 1, 96, PD_Q8_0, 10, 90, 20, 48, TRUE, PD_ROPE_PAIRS},
    {4, 1, 256, PD_Q8_0, 3, 30, 0, 64, FALSE, PD_ROPE_NEOX},
    {1, 1, 32, PD_Q8_0, 0, 1, 0, 0, TRUE, PD_ROPE_NEOX},
};

static void
test_exact(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);

    if (!dev)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autoptr(Problem) p = problem_new(&shapes[i], (guint32)i);
        g_autofree float *got = run_all(dev, p);
        assert_attention(dev, p, got);
    }
    dev->ops->free(dev);
}

/* One call, one row at a time with only the rows that it may see present, and ragged pieces. */
static void
test_cuts(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
        g_autoptr(Problem) p = problem_new(&shapes[k], (guint32)k);
        gsize n = (gsize)(p->s.n_q * p->s.n_heads * p->s.head_dim);
        g_autofree float *whole = run_all(dev, p);
        g_autofree float *single = g_new(float, n), *ragged = g_new(float, n);
        Cache c;
        cache_init(&c, dev, p);
        for (int i = 0; i < p->s.n_q; i++)
            run_rows(dev, &c, p, i, 1, p->s.first_q_row + i + 1, single);
        for (int i = 0, m; i < p->s.n_q; i += m) {
            m = g_rand_int_range(rand, 1, MIN(50, p->s.n_q - i) + 1);
            run_rows(dev, &c, p, i, m, p->kv_rows, ragged);
        }
        cache_clear(&c, dev);
        g_assert_cmpmem(whole, n * 4, single, n * 4);
        g_assert_cmpmem(whole, n * 4, ragged, n * 4);
    }
    dev->ops->free(dev);
}

static void
test_threads(gconstpointer isa)
{
    static const int counts[] = {1, 3, 4};
    PdDevice *two = fixture_device(isa, 2);

    if (!two)
        return;
    for (gsize t = 0; t < G_N_ELEMENTS(counts); t++) {
        PdDevice *dev = pd_cpu_device_new(counts[t], isa);
        for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
            g_autoptr(Problem) p = problem_new(&shapes[k], (guint32)k);
            gsize n = (gsize)(p->s.n_q * p->s.n_heads * p->s.head_dim);
            g_autofree float *a = run_all(two, p), *b = run_all(dev, p);
            g_assert_cmpmem(a, n * 4, b, n * 4);
        }
        dev->ops->free(dev);
    }
    two->ops->free(two);
}

/* Infinities and NaN in rows behind a query row leave it as it is, bit for bit. */
static void
test_future(gconstpointer isa)
{
    static const Shape shape = {14, 2, 64, PD_F16, 30, 60};
    PdDevice *dev = fixture_device(isa, 2);
    enum { SPOILT = 70 }; /* kv row */

    if (!dev)
        return;
    g_autoptr(Problem) p = problem_new(&shape, 1);
    g_autofree float *before = run_all(dev, p);
    for (int i = SPOILT * 2 * 64; i < p->kv_rows * 2 * 64; i++) {
        p->k[i] = i % 2 ? INFINITY : NAN;
        p->v[i] = -INFINITY;
    }
    g_autofree float *after = run_all(dev, p);
    gsize clean = (SPOILT - 30) * 14 * 64;
    g_assert_cmpmem(before, clean * 4, after, clean * 4);
    g_assert_true(isnan(after[clean]) || isinf(after[clean]));
    dev->ops->free(dev);
}

static void
set_extreme(Problem *p, int kind)
{
    gsize n_q = (gsize)(p->s.n_q * p->s.n_heads * p->s.head_dim);
    gsize n_kv = (gsize)(p->kv_rows * p->s.n_kv_heads * p->s.head_dim);

    switch (kind) {
    case 0: /* scores up to some +-1e4 */
        for (gsize i = 0; i < n_kv; i++)
            p->k[i] *= 1000;
        for (gsize i = 0; i < n_q; i++)
            p->q[i] *= 20;
        break;
    case 1: /* all equal */
        for (gsize i = 0; i < n_kv; i++)
            p->k[i] = 0.5f;
        break;
    case 2: /* zeros of both signs */
        for (gsize i = 0; i < n_q; i++)
            p->q[i] = i % 2 ? 0.0f : -0.0f;
        break;
    case 3: /* one huge key, against a positive query */
        for (gsize i = 0; i < n_q; i++)
            p->q[i] = fabsf(p->q[i]);
        for (int d = 0; d < p->s.head_dim; d++)
            p->k[p->s.head_dim * p->s.n_kv_heads + d] = 30000;
        break;
    case 4: /* denormal everything */
        for (gsize i = 0; i < n_kv; i++) {
            p->k[i] *= 1e-7f;
            p->v[i] *= 1e-7f;
        }
        for (gsize i = 0; i < n_q; i++)
            p->q[i] *= 1e-39f;
        break;
    default: /* every score far below zero, maxima falling */
        for (gsize i = 0; i < n_q; i++)
            p->q[i] = -fabsf(p->q[i]) * 100;
        for (gsize i = 0; i < n_kv; i++)
            p->k[i] = fabsf(p->k[i]) * (1 + (float)(i / 1000));
    }
}

static void
test_extremes(gconstpointer isa)
{
    static const Shape some[] = {
        {14, 2, 64, PD_F16, 0, 90},
        {12, 2, 128, PD_F16, 520, 4},
        {3, 1, 80, PD_F16, 64, 1, 1},
        {4, 2, 64, PD_Q8_0, 0, 70, 0, 64, TRUE, PD_ROPE_NEOX},
    };
    PdDevice *dev = fixture_device(isa, 2);

    if (!dev)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(some); i++)
        for (int kind = 0; kind < 6; kind++) {
            g_autoptr(Problem) p = problem_new(&some[i], (guint32)i + 100);
            set_extreme(p, kind);
            g_autofree float *got = run_all(dev, p);
            assert_attention(dev, p, got);
        }
    dev->ops->free(dev);
}

static void
check_weights(PdDevice *dev, const Shape *shape)
{
    g_autoptr(Problem) p = problem_new(shape, 9);
    int n = p->kv_rows, dim = shape->head_dim, group = shape->n_heads / shape->n_kv_heads;
    Cache c;

    cache_init(&c, dev, p);
    g_autofree guint8 *k = g_malloc(c.bytes);
    dev->ops->read(dev, k, c.kv.k, c.bytes);
    PdMem q = fixture_mem(dev, p->q, (gsize)(shape->n_heads * dim) * 4);
    PdMem out = fixture_mem(dev, NULL, (gsize)(shape->n_heads * n) * 4);
    dev->ops->attention_weights(dev, out, &c.kv, q, shape->n_heads, n, p->scale);
    dev->ops->buffer_free(dev, q.buffer);
    cache_clear(&c, dev);
    g_autofree float *got = fixture_take(dev, out, (gsize)(shape->n_heads * n) * 4);
    g_autofree double *s = g_new(double, n);
    for (int h = 0; h < shape->n_heads; h++) {
        double sum = 0, total = 0;
        for (int j = 0; j < n; j++) {
            gsize row = (gsize)(h / group * c.kv.capacity_rows + j);
            s[j] = 0;
            for (int d = 0; d < dim; d++)
                s[j] += (double)p->q[h * dim + d] * p->scale *
                        fixture_cache_value(PD_F16, k + row * (gsize)dim * 2, d);
            sum += exp(s[j]);
        }
        for (int j = 0; j < n; j++) {
            g_assert_cmpfloat(fabs(got[h * n + j] - exp(s[j]) / sum), <=, 1e-5 * exp(s[j]) / sum);
            total += (double)got[h * n + j];
        }
        g_assert_cmpfloat(fabs(total - 1), <=, 1e-6);
    }
}

static void
test_weights(gconstpointer isa)
{
    static const Shape some[] = {
        {14, 2, 64, PD_F16, 0, 1},    {14, 2, 64, PD_F16, 1000, 1}, {9, 3, 64, PD_F16, 63, 1},
        {12, 2, 128, PD_F16, 130, 1}, {2, 1, 80, PD_F16, 20, 1},
    };
    PdDevice *dev = fixture_device(isa, 2);

    if (!dev)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(some); i++)
        check_weights(dev, &some[i]);
    dev->ops->free(dev);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("attention/exact", test_exact);
    fixture_add("attention/cuts", test_cuts);
    fixture_add("attention/threads", test_threads);
    fixture_add("attention/future", test_future);
    fixture_add("attention/extremes", test_extremes);
    fixture_add("attention/weights", test_weights);
    return g_test_run();
}
