/*
 * Attention over shared rows against a softmax in double, of floats and of rows in 8 bits that are
 * made of random codes and decoded here.
 */
#include "tests/kernels/vector_fixture.h"

typedef struct {
    int dim, n_turning, n_heads, n_q, n_before, n_window, n_entries;
    int n_picks; /* 0: the first entries are seen */
} Shape;

typedef struct {
    PdSharedAttention a;
    int *n_entries;
    gint32 *picks;
    double *window, *entries; /* what the rows stand for */
    float *q, *sinks;
} Case;

static gsize
row_bytes(PdRowKind kind, int dim, int n_turning)
{
    int still = dim - n_turning;
    return (gsize)(kind == PD_ROW_F32 ? 4 * dim : still + (still + 63) / 64 + 2 * n_turning);
}

static double
e4m3(guint8 code)
{
    int e = code >> 3 & 15, m = code & 7;
    double x = e == 0 ? ldexp(m, -9) : ldexp(8 + m, e - 10);
    return code & 0x80 ? -x : x;
}

/* Random rows as bytes, around 1, and as values. */
static PdMem
random_rows(PdDevice *dev, GRand *rand, PdRowKind kind, const Shape *s, int n, double *values)
{
    gsize width = row_bytes(kind, s->dim, s->n_turning);
    g_autofree guint8 *bytes = g_malloc0((gsize)n * width + 1);
    int still = s->dim - s->n_turning;
    for (int i = 0; i < n; i++) {
        guint8 *row = bytes + (gsize)i * width, *scales = row + still;
        guint8 *turning = scales + (still + 63) / 64;
        for (int b = 0; kind == PD_ROW_FP8 && b < (still + 63) / 64; b++)
            scales[b] = (guint8)g_rand_int_range(rand, 116, 120);
        for (int c = 0; c < s->dim; c++) {
            double *value = &values[i * s->dim + c];
            guint code = (guint)g_rand_int_range(rand, 0, 256);
            float x = (float)g_rand_double_range(rand, -1, 1);
            guint32 bits;
            memcpy(&bits, &x, sizeof bits);
            bits &= 0xffff0000;
            if (kind == PD_ROW_F32) {
                memcpy(row + 4 * c, &x, sizeof x);
                *value = (double)x;
            } else if (c < still) {
                row[c] = (guint8)((code & 0x7f) == 0x7f ? 0 : code);
                *value = ldexp(e4m3(row[c]), (int)scales[c / 64] - 127);
            } else {
                turning[2 * (c - still)] = (guint8)(bits >> 16);
                turning[2 * (c - still) + 1] = (guint8)(bits >> 24);
                memcpy(&x, &bits, sizeof x);
                *value = (double)x;
            }
        }
    }
    return fixture_mem(dev, bytes, (gsize)n * width);
}

static void
case_init(Case *c, PdDevice *dev, GRand *rand, PdRowKind kind, const Shape *s, double q_size)
{
    gsize n = (gsize)(s->n_q * s->n_heads * s->dim), n_rows = (gsize)(s->n_before + s->n_q);
    *c = (Case){.n_entries = g_new(int, s->n_q),
                .picks = g_new(gint32, s->n_q * MAX(s->n_picks, 1)),
                .window = g_new(double, n_rows *(gsize)s->dim),
                .entries = g_new(double, (gsize)MAX(s->n_entries, 1) * (gsize)s->dim),
                .q = fixture_random(rand, n, q_size),
                .sinks = fixture_random(rand, (gsize)s->n_heads, 3)};
    for (int i = 0; i < s->n_q; i++) {
        c->n_entries[i] = s->n_picks > 0 ? MAX(s->n_picks - i, 0) : MAX(s->n_entries - i, 0);
        for (int j = 0; j < s->n_picks; j++)
            c->picks[i * s->n_picks + j] = g_rand_int_range(rand, 0, s->n_entries);
    }
    c->a =
        (PdSharedAttention){.format = {kind, s->dim, s->n_turning},
                            .q = fixture_mem(dev, c->q, n * sizeof(float)),
                            .out = fixture_mem(dev, NULL, n * sizeof(float)),
                            .n_q = s->n_q,
                            .n_heads = s->n_heads,
                            .scale = 1 / sqrtf((float)s->dim),
                            .sinks = fixture_mem(dev, c->sinks, (gsize)s->n_heads * sizeof(float)),
                            .window = random_rows(dev, rand, kind, s, (int)n_rows, c->window),
                            .n_before = s->n_before,
                            .n_window = s->n_window,
                            .entries = random_rows(dev, rand, kind, s, s->n_entries, c->entries),
                            .n_entries = c->n_entries,
                            .picks_stride = s->n_picks};
    if (s->n_picks > 0)
        c->a.picks = fixture_mem(dev, c->picks, (gsize)(s->n_q * s->n_picks) * sizeof(gint32));
}

static void
case_clear(Case *c, PdDevice *dev)
{
    PdMem *const all[] = {&c->a.q,      &c->a.out,     &c->a.sinks,
                          &c->a.window, &c->a.entries, &c->a.picks};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        dev->ops->buffer_free(dev, all[i]->buffer);
    g_free(c->n_entries);
    g_free(c->picks);
    g_free(c->window);
    g_free(c->entries);
    g_free(c->q);
    g_free(c->sinks);
}

/* The rows that query row i sees. */
static int
seen_rows(const Case *c, int i, const double **rows)
{
    const PdSharedAttention *a = &c->a;
    int n = 0, own = a->n_before + i, dim = a->format.width;
    for (int j = MAX(0, own - a->n_window + 1); j <= own; j++)
        rows[n++] = c->window + j * dim;
    for (int j = 0; j < c->n_entries[i]; j++)
        rows[n++] =
            c->entries + (a->picks_stride > 0 ? c->picks[i * a->picks_stride + j] : j) * dim;
    return n;
}

static void
check_head(const Case *c, int i, int h, const double **rows, int n, const float *got)
{
    int dim = c->a.format.width;
    const float *q = c->q + (i * c->a.n_heads + h) * dim;
    g_autofree double *s = g_new(double, n);
    double max = (double)c->sinks[h], sum;
    for (int j = 0; j < n; j++) {
        s[j] = 0;
        for (int d = 0; d < dim; d++)
            s[j] += (double)q[d] * rows[j][d];
        s[j] *= (double)c->a.scale;
        max = MAX(max, s[j]);
    }
    sum = exp((double)c->sinks[h] - max);
    for (int j = 0; j < n; j++)
        sum += s[j] = exp(s[j] - max);
    for (int d = 0; d < dim; d++) {
        double want = 0;
        for (int j = 0; j < n; j++)
            want += s[j] / sum * rows[j][d];
        /* Logits of some tens carry an error of 1e-6 each. */
        g_assert_cmpfloat(fabs((double)got[d] - want), <=, 2e-5);
    }
}

static void
check_case(Case *c, PdDevice *dev)
{
    gsize width = (gsize)(c->a.n_heads * c->a.format.width);
    g_autofree float *out = g_new(float, (gsize)c->a.n_q *width);
    g_autofree const double **rows = g_new(const double *, 5000);
    g_assert_cmpint(dev->ops->attention_shared(dev, &c->a), ==, PD_KERNEL_OK);
    dev->ops->read(dev, out, c->a.out, (gsize)c->a.n_q * width * sizeof *out);
    for (int i = 0; i < c->a.n_q; i++) {
        int n = seen_rows(c, i, rows);
        for (int h = 0; h < c->a.n_heads; h++)
            check_head(c, i, h, rows, n,
                       out + (gsize)i * width + (gsize)h * (gsize)c->a.format.width);
    }
}

static const PdRowKind kinds[] = {PD_ROW_F32, PD_ROW_FP8};

static const Shape shapes[] = {
    {512, 64, 64, 1, 127, 128, 700, 512},
    {512, 64, 3, 1, 0, 128, 0, 0},
    {24, 8, 4, 9, 3, 6, 20, 3},
    {64, 16, 5, 2, 200, 128, 1000, 0},
    {80, 6, 1, 3, 0, 1, 5, 5},
    {96, 32, 7, 20, 10, 16, 64, 0},
    {128, 64, 16, 1, 63, 64, 4000, 0},
    {17, 2, 2, 5, 1, 100, 130, 130},
};

static void
test_shapes(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(41);
    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
            Case c;
            case_init(&c, dev, rand, kinds[k], &shapes[i], 3);
            check_case(&c, dev);
            case_clear(&c, dev);
        }
    dev->ops->free(dev);
}

/* Logits of hundreds, where one row is nearly all; none at all, where rows and sink share evenly.
 */
static void
test_extremes(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(42);
    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        Case c;
        case_init(&c, dev, rand, kinds[k], &shapes[3], 0);
        check_case(&c, dev);
        case_clear(&c, dev);
        case_init(&c, dev, rand, kinds[k], &shapes[3], 100);
        c.sinks[0] = 1000;
        c.sinks[1] = -1000;
        dev->ops->write(dev, c.a.sinks, c.sinks, 5 * sizeof *c.sinks);
        g_assert_cmpint(dev->ops->attention_shared(dev, &c.a), ==, PD_KERNEL_OK);
        float out[5 * 64];
        dev->ops->read(dev, out, c.a.out, sizeof out);
        for (int d = 0; d < 64; d++)
            g_assert_cmpfloat(out[d], ==, 0); /* the sink took everything */
        for (gsize i = 0; i < G_N_ELEMENTS(out); i++)
            g_assert_true(isfinite(out[i]) && fabsf(out[i]) <= 4);
        case_clear(&c, dev);
    }
    dev->ops->free(dev);
}

enum { ROWS = 9 };

/* Outputs of the rows [first, first + n), in place of the queries. */
static float *
outputs_of(PdDevice *dev, PdRowKind kind, int first, int n)
{
    static const Shape shape = {64, 16, 6, ROWS, 40, 32, 900, 600};
    gsize width = (gsize)(shape.n_heads * shape.dim), row_floats = width * sizeof(float);
    g_autoptr(GRand) rand = g_rand_new_with_seed(43);
    float *out = g_new(float, (gsize)n *width);
    Case c;
    case_init(&c, dev, rand, kind, &shape, 3);
    c.a.q.offset_bytes = (gsize)first * row_floats;
    c.a.n_before += first;
    c.a.n_q = n;
    c.a.n_entries += first;
    c.a.picks.offset_bytes = (gsize)(first * shape.n_picks) * sizeof(gint32);
    PdMem own = c.a.out;
    c.a.out = c.a.q;
    g_assert_cmpint(dev->ops->attention_shared(dev, &c.a), ==, PD_KERNEL_OK);
    dev->ops->read(dev, out, c.a.out, (gsize)n * row_floats);
    c.a.out = own;
    case_clear(&c, dev);
    return out;
}

/* The same bits on any number of threads and for a row alone. */
static void
test_invariance(gconstpointer isa)
{
    PdDevice *one = fixture_device(isa, 1);
    for (gsize k = 0; one != NULL && k < G_N_ELEMENTS(kinds); k++) {
        gsize width = 6 * 64, n_bytes = ROWS * width * sizeof(float);
        g_autofree float *want = outputs_of(one, kinds[k], 0, ROWS);
        for (int threads = 1; threads <= 6; threads++) {
            PdDevice *dev = pd_cpu_device_new(threads, isa);
            g_autofree float *got = outputs_of(dev, kinds[k], 0, ROWS);
            g_autofree float *alone = outputs_of(dev, kinds[k], 4, 1);
            g_assert_cmpmem(got, n_bytes, want, n_bytes);
            g_assert_cmpmem(alone, width * sizeof(float), want + 4 * width, width * sizeof(float));
            dev->ops->free(dev);
        }
    }
    if (one != NULL)
        one->ops->free(one);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("attention_shared/shapes", test_shapes);
    fixture_add("attention_shared/extremes", test_extremes);
    fixture_add("attention_shared/invariance", test_invariance);
    return g_test_run();
}
