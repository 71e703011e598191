/*
 * Attention over lists of row ranges against one softmax in double over the same rows, against the
 * dense kernel (a single range from row 0 must give its bits), and against itself cut otherwise;
 * block maxima against plain products.
 */
#include "tests/kernels/vector_fixture.h"

typedef struct {
    int n_heads;
    int n_kv_heads;
    int head_dim;
    PdDtype type;
    int n_rot;
    gboolean bias;
    PdRopeKind kind;
    double k_amplitude;
} Shape;

enum { KV_ROWS = 1300, CAPACITY = 1303, POSITIONS = 1400, N_Q = 40 };

typedef struct {
    Shape s;
    float scale;
    float *q, *bias, *table;
    PdDevice *dev;
    PdKv kv;
    gsize bytes;
    guint8 *k, *v; /* as stored */
    PdRope rope;
    PdWeight bias_weight;
} Problem;

static const Shape shapes[] = {
    {14, 2, 64, PD_Q8_0, 64, TRUE, PD_ROPE_NEOX, 2},
    {12, 2, 128, PD_Q8_0, 128, FALSE, PD_ROPE_PAIRS, 2},
    {3, 1, 96, PD_Q8_0, 48, TRUE, PD_ROPE_PAIRS, 2},
    {4, 4, 32, PD_F32, 32, TRUE, PD_ROPE_NEOX, 2},
    {6, 2, 44, PD_F32, 0, FALSE, PD_ROPE_NEOX, 2},
    {14, 2, 64, PD_F16, 64, TRUE, PD_ROPE_NEOX, 2},
    {1, 1, 80, PD_F16, 80, FALSE, PD_ROPE_PAIRS, 2},
    {4, 2, 64, PD_Q8_0, 64, TRUE, PD_ROPE_NEOX, 3000},
};

static void
problem_init(Problem *p, PdDevice *dev, const Shape *shape, guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    gsize kv_values = (gsize)(KV_ROWS * shape->n_kv_heads * shape->head_dim);
    g_autofree float *keys = fixture_random(rand, kv_values, shape->k_amplitude);
    g_autofree float *values = fixture_random(rand, kv_values, 1);

    *p = (Problem){.s = *shape, .dev = dev, .scale = 1 / sqrtf((float)shape->head_dim)};
    p->q = fixture_random(rand, (gsize)(N_Q * shape->n_heads * shape->head_dim), 2);
    p->bias = fixture_random(rand, (gsize)(shape->n_kv_heads * shape->head_dim), 1);
    p->table = g_new0(float, POSITIONS *MAX(shape->n_rot, 1));
    for (int r = 0; r < POSITIONS; r++)
        for (int i = 0; i < shape->n_rot / 2; i++) {
            double angle = r * pow(10000, -2.0 * i / shape->n_rot);
            p->table[r * shape->n_rot + 2 * i] = (float)cos(angle);
            p->table[r * shape->n_rot + 2 * i + 1] = (float)sin(angle);
        }
    p->bytes =
        pd_row_bytes(shape->type, (gsize)shape->head_dim) * (gsize)(CAPACITY * shape->n_kv_heads);
    p->k = g_malloc(p->bytes);
    p->v = g_malloc(p->bytes);
    memset(p->k, 0x7e, p->bytes); /* NaN in half floats */
    p->kv = (PdKv){shape->type,
                   shape->n_kv_heads,
                   shape->head_dim,
                   CAPACITY,
                   fixture_mem(dev, p->k, p->bytes),
                   fixture_mem(dev, p->k, p->bytes),
                   TRUE};
    PdMem k = fixture_mem(dev, keys, kv_values * 4), v = fixture_mem(dev, values, kv_values * 4);
    dev->ops->kv_append(dev, &p->kv, 0, k, v, KV_ROWS);
    dev->ops->buffer_free(dev, k.buffer);
    dev->ops->buffer_free(dev, v.buffer);
    dev->ops->read(dev, p->k, p->kv.k, p->bytes);
    dev->ops->read(dev, p->v, p->kv.v, p->bytes);
    p->rope = (PdRope){fixture_mem(dev, p->table, (gsize)(POSITIONS * MAX(shape->n_rot, 1)) * 4),
                       POSITIONS, shape->n_rot, shape->kind};
    p->bias_weight = fixture_weight(dev, p->bias, shape->n_kv_heads * shape->head_dim);
}

static void
problem_clear(Problem *p)
{
    p->dev->ops->buffer_free(p->dev, p->kv.k.buffer);
    p->dev->ops->buffer_free(p->dev, p->kv.v.buffer);
    p->dev->ops->buffer_free(p->dev, p->rope.table.buffer);
    p->dev->ops->buffer_free(p->dev, p->bias_weight.mem.buffer);
    g_free(p->q);
    g_free(p->bias);
    g_free(p->table);
    g_free(p->k);
    g_free(p->v);
}

static PdListAttention
list_of(Problem *p, const PdRowGroup *groups, int n_groups, const PdRowRange *ranges)
{
    PdListAttention a = {.n_heads = p->s.n_heads,
                         .scale = p->scale,
                         .groups = groups,
                         .n_groups = n_groups,
                         .ranges = ranges};
    if (p->s.n_rot)
        a.rope = &p->rope;
    if (p->s.bias)
        a.k_bias = p->bias_weight;
    return a;
}

static float *
run_list(Problem *p, const PdRowGroup *groups, int n_groups, const PdRowRange *ranges)
{
    gsize bytes = (gsize)(N_Q * p->s.n_heads * p->s.head_dim) * 4;
    PdListAttention a = list_of(p, groups, n_groups, ranges);
    g_autofree float *nothing = g_malloc0(bytes);

    a.q = fixture_mem(p->dev, p->q, bytes);
    a.out = fixture_mem(p->dev, nothing, bytes);
    g_assert_cmpint(p->dev->ops->attention_list(p->dev, &p->kv, &a), ==, PD_KERNEL_OK);
    p->dev->ops->buffer_free(p->dev, a.q.buffer);
    return fixture_take(p->dev, a.out, bytes);
}

/* --- the expected result --- */

static const guint8 *
stored_row(const Problem *p, const guint8 *stream, int kv_head, int row)
{
    gsize row_bytes = pd_row_bytes(p->s.type, (gsize)p->s.head_dim);
    return stream + (gsize)(kv_head * CAPACITY + row) * row_bytes;
}

static void
expected_key(const Problem *p, int kv_head, int row, int position, double *key)
{
    const Shape *s = &p->s;
    const guint8 *stored = stored_row(p, p->k, kv_head, row);
    int half = s->n_rot / 2;
    double raw[128];

    for (int d = 0; d < s->head_dim; d++)
        raw[d] = fixture_cache_value(s->type, stored, d) +
                 (s->bias ? p->bias[kv_head * s->head_dim + d] : 0);
    memcpy(key, raw, (gsize)s->head_dim * sizeof(double));
    for (int i = 0; i < half; i++) {
        const float *cs = p->table + position * s->n_rot + 2 * i;
        int a = s->kind == PD_ROPE_NEOX ? i : 2 * i;
        int b = s->kind == PD_ROPE_NEOX ? i + half : 2 * i + 1;
        key[a] = raw[a] * cs[0] - raw[b] * cs[1];
        key[b] = raw[a] * cs[1] + raw[b] * cs[0];
    }
}

/* Scores of one query row and head over everything its group lists and it may see: *n of them;
 * rows[i] is the kv row of each.  Returns the largest sum of absolute products. */
static double
expected_scores(const Problem *p, const PdRowGroup *group, const PdRowRange *ranges, int i, int h,
                double *scores, int *rows, int *n)
{
    const float *q = p->q + ((group->first_q + i) * p->s.n_heads + h) * p->s.head_dim;
    int kv_head = h / (p->s.n_heads / p->s.n_kv_heads);
    double key[128], size = 0;

    *n = 0;
    for (int r = 0; r < group->n_ranges; r++) {
        const PdRowRange *range = &ranges[group->first_range + r];
        for (int j = 0; j < range->n_rows && range->first_row + j <= group->q_row + i; j++) {
            double abs_sum = 0;
            expected_key(p, kv_head, range->first_row + j, range->position + j, key);
            scores[*n] = 0;
            for (int d = 0; d < p->s.head_dim; d++) {
                scores[*n] += q[d] * key[d] * p->scale;
                abs_sum += fabs(q[d] * key[d]) * p->scale;
            }
            size = MAX(size, abs_sum);
            rows[(*n)++] = range->first_row + j;
        }
    }
    return size;
}

static void
assert_row(const Problem *p, const PdRowGroup *group, const PdRowRange *ranges, int i, int h,
           const float *got)
{
    double scores[KV_ROWS], max = -INFINITY, sum = 0;
    int rows[KV_ROWS], n;
    double size = expected_scores(p, group, ranges, i, h, scores, rows, &n);
    int kv_head = h / (p->s.n_heads / p->s.n_kv_heads);

    for (int j = 0; j < n; j++)
        max = MAX(max, scores[j]);
    for (int j = 0; j < n; j++)
        sum += scores[j] = exp(scores[j] - max);
    double limit = 2e-6 + 4 * 0x1p-23 * size; /* values are at most 1; see test_attention.c */
    for (int d = 0; d < p->s.head_dim; d++) {
        double expected = 0;
        for (int j = 0; j < n; j++)
            expected += scores[j] / sum *
                        fixture_cache_value(p->s.type, stored_row(p, p->v, kv_head, rows[j]), d);
        if (!(fabs((double)got[d] - expected) <= limit))
            g_error("dim %d row %d head %d: %.9g, expected %.9g +- %.3g", d, i, h, (double)got[d],
                    expected, limit);
    }
}

/* Sinks, blocks out of the middle, a long range across chunk borders, the window; a group without
 * ranges; a group whose ranges lie all in its future. */
static const PdRowRange some_ranges[] = {
    {0, 5, 0},  {64, 64, 5},  {192, 128, 69},  {300, 600, 197}, {1240, 60, 797},
    {0, 64, 0}, {700, 1, 64}, {1100, 101, 65}, {1290, 10, 12},
};
static const PdRowGroup some_groups[] = {
    {0, 16, 1250, 0, 5}, {16, 7, 1194, 5, 3}, {23, 1, 1299, 0, 5},
    {24, 3, 900, 0, 0},  {27, 5, 100, 8, 1},  {32, 8, 66, 0, 2},
};

static void
test_exact(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);

    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Problem p;
        problem_init(&p, dev, &shapes[k], (guint32)k);
        g_autofree float *got = run_list(&p, some_groups, G_N_ELEMENTS(some_groups), some_ranges);
        for (gsize g = 0; g < G_N_ELEMENTS(some_groups); g++)
            for (int i = 0; i < some_groups[g].n_q; i++)
                for (int h = 0; h < p.s.n_heads; h++)
                    assert_row(&p, &some_groups[g], some_ranges, i, h,
                               got +
                                   ((some_groups[g].first_q + i) * p.s.n_heads + h) * p.s.head_dim);
        problem_clear(&p);
    }
    dev->ops->free(dev);
}

/* Row by row on another number of threads, where pieces are dealt out: the same bits. */
static void
test_cuts(gconstpointer isa)
{
    PdDevice *one = fixture_device(isa, 1), *four = one ? pd_cpu_device_new(4, isa) : NULL;

    if (!one)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Problem p, other;
        problem_init(&p, one, &shapes[k], (guint32)k);
        problem_init(&other, four, &shapes[k], (guint32)k);
        g_autofree float *whole = run_list(&p, some_groups, G_N_ELEMENTS(some_groups), some_ranges);
        gsize row = (gsize)(p.s.n_heads * p.s.head_dim);
        for (gsize g = 0; g < G_N_ELEMENTS(some_groups); g++)
            for (int i = 0; i < some_groups[g].n_q; i++) {
                PdRowGroup single = some_groups[g];
                single.first_q += i;
                single.q_row += i;
                single.n_q = 1;
                g_autofree float *got = run_list(&other, &single, 1, some_ranges);
                gsize at = (gsize)single.first_q * row;
                g_assert_cmpmem(got + at, row * 4, whole + at, row * 4);
            }
        problem_clear(&p);
        problem_clear(&other);
    }
    one->ops->free(one);
    four->ops->free(four);
}

/* One range from row 0 at position 0 is dense attention, bit for bit. */
static void
test_dense(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    enum { FIRST = 1200 };
    static const PdRowRange all = {0, FIRST + N_Q, 0};
    static const PdRowGroup groups[] = {{0, 16, FIRST, 0, 1}, {16, 24, FIRST + 16, 0, 1}};

    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Problem p;
        problem_init(&p, dev, &shapes[k], (guint32)k);
        gsize bytes = (gsize)(N_Q * p.s.n_heads * p.s.head_dim) * 4;
        g_autofree float *got = run_list(&p, groups, 2, &all);
        PdAttention a = {.q = fixture_mem(dev, p.q, bytes),
                         .out = fixture_mem(dev, NULL, bytes),
                         .n_q = N_Q,
                         .n_heads = p.s.n_heads,
                         .first_q_row = FIRST,
                         .kv_rows = FIRST + N_Q,
                         .scale = p.scale};
        if (p.s.n_rot)
            a.rope = &p.rope;
        if (p.s.bias)
            a.k_bias = p.bias_weight;
        g_assert_cmpint(dev->ops->attention(dev, &p.kv, &a), ==, PD_KERNEL_OK);
        dev->ops->buffer_free(dev, a.q.buffer);
        g_autofree float *want = fixture_take(dev, a.out, bytes);
        g_assert_cmpmem(got, bytes, want, bytes);
        problem_clear(&p);
    }
    dev->ops->free(dev);
}

static void
test_weights(gconstpointer isa)
{
    static const PdRowGroup group = {3, 1, 1299, 0, 5};
    PdDevice *dev = fixture_device(isa, 2);
    double scores[KV_ROWS];
    int rows[KV_ROWS], n;

    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Problem p;
        problem_init(&p, dev, &shapes[k], (guint32)k);
        gsize bytes = (gsize)(N_Q * p.s.n_heads * p.s.head_dim) * 4;
        int heads = p.s.n_heads / p.s.n_kv_heads;
        PdListAttention a = list_of(&p, &group, 1, some_ranges);
        a.q = fixture_mem(dev, p.q, bytes);
        for (int first = 0; first < p.s.n_heads; first += heads) {
            PdMem out = fixture_mem(dev, NULL, (gsize)(heads * KV_ROWS) * 4);
            dev->ops->attention_list_weights(dev, out, &p.kv, &a, first, heads);
            g_autofree float *got = fixture_take(dev, out, (gsize)(heads * KV_ROWS) * 4);
            for (int h = 0; h < heads; h++) {
                double size =
                    expected_scores(&p, &group, some_ranges, 0, first + h, scores, rows, &n);
                double max = -INFINITY, sum = 0;
                for (int j = 0; j < n; j++)
                    max = MAX(max, scores[j]);
                for (int j = 0; j < n; j++)
                    sum += exp(scores[j] - max);
                for (int j = 0; j < n; j++) {
                    double want = exp(scores[j] - max) / sum;
                    g_assert_cmpfloat(fabs(got[h * n + j] - want), <=,
                                      want * (1e-5 + 64 * 0x1p-23 * size) + 1e-30);
                }
            }
        }
        dev->ops->buffer_free(dev, a.q.buffer);
        problem_clear(&p);
    }
    dev->ops->free(dev);
}

static void
test_maxima(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 3);
    enum { FIRST = 2, N_BLOCKS = 17, QUERIES = 70 };

    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Problem p;
        g_autoptr(GRand) rand = g_rand_new_with_seed(4);
        problem_init(&p, dev, &shapes[k], (guint32)k);
        int dim = p.s.head_dim, kv_head = p.s.n_kv_heads - 1;
        g_autofree float *q = fixture_random(rand, (gsize)(QUERIES * dim), 3);
        PdMem q_mem = fixture_mem(dev, q, (gsize)(QUERIES * dim) * 4);
        PdMem out = fixture_mem(dev, NULL, QUERIES * N_BLOCKS * 4);
        dev->ops->block_maxima(dev, out, &p.kv, kv_head, FIRST, N_BLOCKS, q_mem, QUERIES);
        dev->ops->buffer_free(dev, q_mem.buffer);
        g_autofree float *got = fixture_take(dev, out, QUERIES * N_BLOCKS * 4);
        for (int i = 0; i < QUERIES; i++)
            for (int b = 0; b < N_BLOCKS; b++) {
                double want = -INFINITY, size = 0;
                for (int j = 0; j < PD_SCORE_BLOCK; j++) {
                    const guint8 *row =
                        stored_row(&p, p.k, kv_head, (FIRST + b) * PD_SCORE_BLOCK + j);
                    double dot = 0, abs_sum = 0;
                    for (int d = 0; d < dim; d++) {
                        double x = q[i * dim + d] * fixture_cache_value(p.s.type, row, d);
                        dot += x;
                        abs_sum += fabs(x);
                    }
                    want = MAX(want, dot);
                    size = MAX(size, abs_sum);
                }
                g_assert_cmpfloat(fabs((double)got[i * N_BLOCKS + b] - want), <=,
                                  1e-6 + 4 * 0x1p-23 * size);
            }
        problem_clear(&p);
    }
    dev->ops->free(dev);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("attention_list/exact", test_exact);
    fixture_add("attention_list/cuts", test_cuts);
    fixture_add("attention_list/dense", test_dense);
    fixture_add("attention_list/weights", test_weights);
    fixture_add("attention_list/maxima", test_maxima);
    return g_test_run();
}
