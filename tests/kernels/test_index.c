/*
 * The indexer: scores against sums in double of values that are decoded here, picks against a sort
 * of the scores.  Keys of 4 bits are random codes and scales, so that nothing is packed by the code
 * under test.
 */
#include "tests/kernels/vector_fixture.h"

typedef struct {
    PdIndexScan scan;
    int *n_keys;
    int n_rows;                 /* keys there are */
    double *keys, *q, *weights; /* (n_rows, dim), (n_q, n_heads, dim), (n_q, n_heads) */
} Case;

static gsize
row_bytes(PdRowKind kind, int dim)
{
    return (gsize)(kind == PD_ROW_F32 ? 4 * dim : (dim + 1) / 2 + (dim + 31) / 32);
}

/* n rows of random numbers, a share of them zero, as bytes and as what they stand for; scales of 4
 * bits are `spread` powers of two. */
static guint8 *
random_rows(GRand *rand, PdRowKind kind, int dim, int n, double size, int spread, double *values)
{
    static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    gsize width = row_bytes(kind, dim);
    guint8 *bytes = g_malloc0((gsize)n * width);
    for (int i = 0; i < n; i++) {
        guint8 *row = bytes + (gsize)i * width, *scales = row + (dim + 1) / 2;
        gboolean zero = g_rand_int_range(rand, 0, 8) == 0;
        for (int b = 0; kind == PD_ROW_FP4 && b < (dim + 31) / 32; b++)
            scales[b] = (guint8)(124 + (int)log2(size) + g_rand_int_range(rand, 0, spread));
        for (int c = 0; c < dim; c++) {
            float x = zero ? 0 : (float)(size * g_rand_double_range(rand, -1, 1));
            guint code = zero ? 0 : (guint)g_rand_int_range(rand, 0, 16);
            if (kind == PD_ROW_F32)
                memcpy(row + 4 * c, &x, sizeof x);
            else
                row[c / 2] |= (guint8)(code << (c % 2 * 4));
            values[(gsize)i * (gsize)dim + (gsize)c] =
                kind == PD_ROW_F32
                    ? (double)x
                    : ldexp((code & 8 ? -1 : 1) * e2m1[code & 7], (int)scales[c / 32] - 127);
        }
    }
    return bytes;
}

static PdMem
take_over(PdDevice *dev, guint8 *bytes, gsize n)
{
    PdMem mem = fixture_mem(dev, bytes, n);
    g_free(bytes);
    return mem;
}

/* The scales of a query's heads: near enough to each other for being folded into the codes, or not;
 * those of keys are some of each. */
enum { NEAR = 4, APART = 6, OF_KEYS = 5 };

/* n_q rows that see n_rows keys, n_rows - 1 ... */
static void
case_init(Case *c, PdDevice *dev, GRand *rand, PdRowKind kind, int dim, int n_heads, int n_rows,
          int n_q, int top_k, double size, int q_spread)
{
    gsize n_weights = (gsize)(n_q * n_heads), width = row_bytes(kind, dim);
    g_autofree float *weights = fixture_random(rand, n_weights, 2);
    *c = (Case){.n_rows = n_rows};
    c->n_keys = g_new(int, n_q);
    c->keys = g_new(double, (gsize)MAX(n_rows, 1) * (gsize)dim);
    c->q = g_new(double, n_weights *(gsize)dim);
    c->weights = g_new(double, n_weights);
    for (int i = 0; i < n_q; i++)
        c->n_keys[i] = MAX(n_rows - i, 0);
    for (gsize i = 0; i < n_weights; i++)
        c->weights[i] = (double)weights[i];
    c->scan = (PdIndexScan){
        .kind = kind,
        .dim = dim,
        .n_heads = n_heads,
        .keys = take_over(dev, random_rows(rand, kind, dim, n_rows, size, OF_KEYS, c->keys),
                          (gsize)n_rows * width),
        .q = take_over(dev, random_rows(rand, kind, dim, n_q * n_heads, size, q_spread, c->q),
                       n_weights * width),
        .weights = fixture_mem(dev, weights, n_weights * sizeof(float)),
        .n_q = n_q,
        .n_keys = c->n_keys,
        .top_k = top_k,
        .scores = fixture_mem(dev, NULL, (gsize)(n_q * MAX(n_rows, 1)) * sizeof(float)),
        .scores_stride = MAX(n_rows, 1),
        .all_scores = TRUE,
        .picks = fixture_mem(dev, NULL, (gsize)(n_q * top_k) * sizeof(gint32))};
}

static void
case_clear(Case *c, PdDevice *dev)
{
    PdMem *const all[] = {&c->scan.keys, &c->scan.q, &c->scan.weights, &c->scan.scores,
                          &c->scan.picks};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        dev->ops->buffer_free(dev, all[i]->buffer);
    g_free(c->n_keys);
    g_free(c->keys);
    g_free(c->q);
    g_free(c->weights);
}

/* Row i's scores: each within what float32 sums may lose of the sizes of its terms. */
static void
check_scores(const Case *c, int i, const float *scores)
{
    int dim = c->scan.dim, n_heads = c->scan.n_heads;
    for (int w = 0; w < c->n_keys[i]; w++) {
        double sum = 0, size = 0;
        for (int h = 0; h < n_heads; h++) {
            gsize row = (gsize)(i * n_heads + h);
            double dot = 0, dot_size = 0;
            for (int d = 0; d < dim; d++) {
                double x =
                    c->q[row * (gsize)dim + (gsize)d] * c->keys[(gsize)w * (gsize)dim + (gsize)d];
                dot += x;
                dot_size += fabs(x);
            }
            sum += c->weights[row] * MAX(dot, 0);
            size += fabs(c->weights[row]) * dot_size;
        }
        g_assert_cmpfloat(fabs((double)scores[w] - sum), <=, (dim + n_heads) * 0x1p-24 * size);
    }
}

static const float *sorted_scores;

static int
compare_entries(gconstpointer a, gconstpointer b)
{
    int i = *(const int *)a, j = *(const int *)b;
    if (sorted_scores[i] != sorted_scores[j])
        return sorted_scores[i] > sorted_scores[j] ? -1 : 1;
    return i - j;
}

static int
compare_ints(gconstpointer a, gconstpointer b)
{
    return *(const int *)a - *(const int *)b;
}

/* The first top_k of all entries in order of score and index, sorted by index. */
static void
check_picks(int n, int top_k, const float *scores, const gint32 *picks)
{
    g_autofree int *order = g_new(int, MAX(n, 1));
    int k = MIN(n, top_k);
    for (int w = 0; w < n; w++)
        order[w] = w;
    sorted_scores = scores;
    qsort(order, (gsize)n, sizeof *order, compare_entries);
    qsort(order, (gsize)k, sizeof *order, compare_ints);
    g_assert_cmpmem(picks, (gsize)k * sizeof *picks, order, (gsize)k * sizeof *order);
}

static void
check_case(Case *c, PdDevice *dev)
{
    gsize n_q = (gsize)c->scan.n_q, stride = (gsize)c->scan.scores_stride;
    gsize top_k = (gsize)c->scan.top_k;
    g_autofree float *scores = g_new(float, n_q *stride);
    g_autofree gint32 *picks = g_new(gint32, n_q * top_k);
    g_assert_cmpint(dev->ops->index_select(dev, &c->scan), ==, PD_KERNEL_OK);
    dev->ops->read(dev, scores, c->scan.scores, n_q * stride * sizeof *scores);
    dev->ops->read(dev, picks, c->scan.picks, n_q * top_k * sizeof *picks);
    for (gsize i = 0; i < n_q; i++) {
        check_scores(c, (int)i, scores + i * stride);
        check_picks(c->n_keys[i], (int)top_k, scores + i * stride, picks + i * top_k);
    }
}

static const PdRowKind kinds[] = {PD_ROW_F32, PD_ROW_FP4};

static void
test_scores(gconstpointer isa)
{
    static const struct {
        int dim, n_heads, n_rows, n_q, top_k;
    } cases[] = {{128, 64, 300, 1, 20},  {128, 64, 1, 2, 512}, {64, 5, 63, 3, 7},
                 {32, 16, 64, 2, 64},    {160, 33, 65, 1, 1},  {16, 5, 130, 4, 3},
                 {96, 1, 1100, 2, 1000}, {8, 100, 17, 17, 4},  {128, 128, 2049, 1, 512},
                 {128, 3, 0, 1, 4},      {24, 15, 77, 5, 9},   {17, 4, 70, 1, 9}};
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(31);
    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (gsize i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
            gsize n = i / 2;
            Case c;
            case_init(&c, dev, rand, kinds[k], cases[n].dim, cases[n].n_heads, cases[n].n_rows,
                      cases[n].n_q, cases[n].top_k, 1, i % 2 == 0 ? NEAR : APART);
            check_case(&c, dev);
            case_clear(&c, dev);
        }
    dev->ops->free(dev);
}

/* Scores of some 1e30 and of 1e-30. */
static void
test_extremes(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(32);
    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (int e = -50; e <= 50; e += 100) {
            Case c;
            case_init(&c, dev, rand, kinds[k], 128, 64, 257, 2, 30, ldexp(1, e), NEAR);
            check_case(&c, dev);
            case_clear(&c, dev);
        }
    dev->ops->free(dev);
}

/* One head whose weight is negative, zero or positive: half of the scores are exactly zero, all of
 * them are, or the rest is above them. */
static void
test_zeros(gconstpointer isa)
{
    static const float weights[] = {-1, 0, 1, 0};
    enum { DIM = 32, KEYS = 3000, ROWS = G_N_ELEMENTS(weights), TOP_K = 1800 };
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(33);
    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        Case c;
        case_init(&c, dev, rand, kinds[k], DIM, 1, KEYS, ROWS, TOP_K, 1, NEAR);
        dev->ops->write(dev, c.scan.weights, weights, sizeof weights);
        for (gsize i = 0; i < ROWS; i++)
            c.weights[i] = (double)weights[i];
        check_case(&c, dev);
        g_autofree gint32 *picks = g_new(gint32, ROWS * TOP_K);
        dev->ops->read(dev, picks, c.scan.picks, ROWS * TOP_K * sizeof *picks);
        for (int i = 0; i < TOP_K; i++) /* all alike: the first ones */
            g_assert_cmpint(picks[TOP_K + i], ==, i);
        case_clear(&c, dev);
    }
    dev->ops->free(dev);
}

/* As many entries as a context of 1,048,576 tokens has: the choice is exact. */
static void
test_longest(gconstpointer isa)
{
    enum { KEYS = 262144 };
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(34);
    if (!dev)
        return;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        Case c;
        case_init(&c, dev, rand, kinds[k], 32, 2, KEYS, 1, 512, 1, NEAR);
        check_case(&c, dev);
        case_clear(&c, dev);
    }
    dev->ops->free(dev);
}

enum { DIM = 128, HEADS = 64, KEYS = 5001, ROWS = 5 };

/* Scores (ROWS, KEYS) of the case of kind k; `alone`: row 2 alone. */
static float *
scores_of(PdDevice *dev, PdRowKind kind, int q_spread, gboolean alone)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(35);
    float *scores = g_new(float, ROWS *KEYS);
    Case c;
    case_init(&c, dev, rand, kind, DIM, HEADS, KEYS, ROWS, 100, 1, q_spread);
    if (alone) {
        c.scan.q.offset_bytes = 2 * HEADS * row_bytes(kind, DIM);
        c.scan.weights.offset_bytes = 2 * HEADS * sizeof(float);
        c.scan.scores.offset_bytes = 2 * KEYS * sizeof(float);
        c.scan.n_keys += 2;
        c.scan.n_q = 1;
    }
    g_assert_cmpint(dev->ops->index_select(dev, &c.scan), ==, PD_KERNEL_OK);
    c.scan.scores.offset_bytes = 0;
    dev->ops->read(dev, scores, c.scan.scores, ROWS * KEYS * sizeof *scores);
    case_clear(&c, dev);
    return scores;
}

static void
check_invariance(const char *isa, PdRowKind kind, int q_spread)
{
    PdDevice *one = fixture_device(isa, 1), *reference = pd_cpu_device_new(2, "reference");
    g_autofree float *want = scores_of(one, kind, q_spread, FALSE);
    g_autofree float *alone = scores_of(one, kind, q_spread, TRUE);
    gsize seen_bytes = (KEYS - 2) * sizeof(float);
    g_assert_cmpmem(alone + 2 * KEYS, seen_bytes, want + 2 * KEYS, seen_bytes);
    if (kind == PD_ROW_FP4) {
        g_autofree float *plain = scores_of(reference, kind, q_spread, TRUE);
        g_assert_cmpmem(plain + 2 * KEYS, seen_bytes, want + 2 * KEYS, seen_bytes);
    }
    for (int threads = 2; threads <= 3; threads++) {
        PdDevice *dev = pd_cpu_device_new(threads, isa);
        g_autofree float *got = scores_of(dev, kind, q_spread, FALSE);
        for (gsize i = 0; i < ROWS; i++) {
            gsize n_bytes = (KEYS - i) * sizeof(float);
            g_assert_cmpmem(got + i * KEYS, n_bytes, want + i * KEYS, n_bytes);
        }
        dev->ops->free(dev);
    }
    reference->ops->free(reference);
    one->ops->free(one);
}

/* The same bits on any number of threads and for a row alone; with 4 bits, of the reference. */
static void
test_invariance(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 1);
    for (gsize k = 0; dev != NULL && k < G_N_ELEMENTS(kinds); k++)
        for (int q_spread = NEAR; q_spread <= APART; q_spread += APART - NEAR)
            check_invariance(isa, kinds[k], q_spread);
    if (dev != NULL)
        dev->ops->free(dev);
}

enum { SOME_KEYS = 131 };

/* Scores of one row with all its weights of this size. */
static float *
sized_scores(PdDevice *dev, double size, float weight)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(36);
    float weights[HEADS], *scores = g_new(float, SOME_KEYS);
    Case c;
    case_init(&c, dev, rand, PD_ROW_FP4, DIM, HEADS, SOME_KEYS, 1, 100, size, NEAR);
    for (int h = 0; h < HEADS; h++)
        weights[h] = weight * (float)c.weights[h];
    dev->ops->write(dev, c.scan.weights, weights, sizeof weights);
    g_assert_cmpint(dev->ops->index_select(dev, &c.scan), ==, PD_KERNEL_OK);
    dev->ops->read(dev, scores, c.scan.scores, SOME_KEYS * sizeof *scores);
    case_clear(&c, dev);
    return scores;
}

/* The reference's bits whatever the size of scales and weights, also where scores, or what they are
 * sums of, leave the range of normal floats. */
static void
test_sizes(gconstpointer isa)
{
    static const int sizes[] = {0, 27, 28, 31, 60, -27, -28, -60};
    static const float weights[] = {1,         0x1p-55F, 0x1p-62F, 0x1p-100F,
                                    0x1p-140F, 0x1p28F,  0x1p40F,  0x1p100F};
    PdDevice *dev = fixture_device(isa, 1), *reference = pd_cpu_device_new(1, "reference");
    for (gsize i = 0; dev != NULL && i < G_N_ELEMENTS(sizes) * G_N_ELEMENTS(weights); i++) {
        double size = ldexp(1, sizes[i % G_N_ELEMENTS(sizes)]);
        float weight = weights[i / G_N_ELEMENTS(sizes)];
        g_autofree float *got = sized_scores(dev, size, weight);
        g_autofree float *want = sized_scores(reference, size, weight);
        g_assert_cmpmem(got, SOME_KEYS * sizeof *got, want, SOME_KEYS * sizeof *want);
    }
    reference->ops->free(reference);
    if (dev != NULL)
        dev->ops->free(dev);
}

/* All codes the largest there are and of one sign a row, scales as far apart as they are folded: no
 * sum on the way is larger.  Scores are exact. */
static void
test_largest(gconstpointer isa)
{
    enum { N_BLOCKS = DIM / 32, CODE_BYTES = DIM / 2, ROW_BYTES = CODE_BYTES + N_BLOCKS, N = 9 };
    static const guint8 scales[N_BLOCKS] = {130, 127, 130, 130};
    PdDevice *dev = fixture_device(isa, 1);
    guint8 keys[N][ROW_BYTES], q[2][ROW_BYTES];
    float weights[] = {1, 0.5F}, scores[N];
    int n_keys = N;
    if (!dev)
        return;
    for (int i = 0; i < N; i++)
        memset(keys[i], i % 3 == 0 ? 0xff : 0x77, CODE_BYTES);
    for (int h = 0; h < 2; h++)
        memset(q[h], h == 0 ? 0x77 : 0xff, CODE_BYTES);
    for (int i = 0; i < N; i++)
        memcpy(keys[i] + CODE_BYTES, scales, sizeof scales);
    for (int h = 0; h < 2; h++)
        memcpy(q[h] + CODE_BYTES, scales, sizeof scales);

    PdIndexScan scan = {.kind = PD_ROW_FP4,
                        .dim = DIM,
                        .n_heads = 2,
                        .keys = fixture_mem(dev, keys, sizeof keys),
                        .q = fixture_mem(dev, q, sizeof q),
                        .weights = fixture_mem(dev, weights, sizeof weights),
                        .n_q = 1,
                        .n_keys = &n_keys,
                        .top_k = 1,
                        .scores = fixture_mem(dev, NULL, sizeof scores),
                        .scores_stride = N,
                        .all_scores = TRUE,
                        .picks = fixture_mem(dev, NULL, sizeof(gint32))};
    g_assert_cmpint(dev->ops->index_select(dev, &scan), ==, PD_KERNEL_OK);
    dev->ops->read(dev, scores, scan.scores, sizeof scores);
    for (int i = 0; i < N; i++) /* 6 * 6 in 32 dimensions of blocks of 8 * 8, 1, 8 * 8, 8 * 8 */
        g_assert_cmpfloat((double)scores[i], ==, (i % 3 == 0 ? 0.5 : 1) * 36 * 32 * (3 * 64 + 1));
    PdMem *const all[] = {&scan.keys, &scan.q, &scan.weights, &scan.scores, &scan.picks};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        dev->ops->buffer_free(dev, all[i]->buffer);
    dev->ops->free(dev);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("index/scores", test_scores);
    fixture_add("index/extremes", test_extremes);
    fixture_add("index/zeros", test_zeros);
    fixture_add("index/longest", test_longest);
    fixture_add("index/invariance", test_invariance);
    fixture_add("index/sizes", test_sizes);
    fixture_add("index/largest", test_largest);
    return g_test_run();
}
