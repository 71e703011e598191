/* The sweep over compressed keys against double arithmetic over the keys that the codec gives back.
 * The instruction sets round queries: the bounds are those of kernels/cpu/keys_x86.h. */
#include "kernels/kv_block.h"
#include "tests/kernels/vector_fixture.h"

typedef struct {
    int n_keys;
    float *rows;  /* (n_keys, dim), as the codec gives them back */
    float *scale; /* (n_blocks, dim): step of each channel's codes, measured */
    PdKeyScan scan;
} Stream;

static double
gaussian(GRand *rand)
{
    return sqrt(-2 * log(1 - g_rand_double(rand))) * cos(2 * G_PI * g_rand_double(rand));
}

/* The least difference of two values of a channel: its step, or a multiple of it, or 0. */
static float
smallest_step(const float *rows, int n, int dim, int c)
{
    float step = INFINITY;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            float difference = fabsf(rows[i * dim + c] - rows[j * dim + c]);
            if (difference > 0)
                step = MIN(step, difference);
        }
    return step == INFINITY ? 0 : step;
}

/* Heavy-tailed channels of sizes from 0.1 to 10 times `size`, around offsets. */
static void
stream_init(Stream *stream, PdDevice *dev, GRand *rand, int bits, int n_keys, int dim, int n_q,
            double size)
{
    gsize n_bytes = pd_key_stream_bytes(bits, dim, n_keys);
    int n_blocks = (n_keys + 63) / 64;
    g_autofree guint8 *keys = g_malloc(n_bytes);
    guint8 *at = keys;

    stream->n_keys = n_keys;
    stream->rows = g_new(float, (gsize)n_keys *(gsize)dim);
    stream->scale = g_new(float, (gsize)n_blocks *(gsize)dim);
    for (int c = 0; c < dim; c++) {
        double channel = size * pow(10, g_rand_double_range(rand, -1, 1));
        double offset = 2 * channel * gaussian(rand);
        for (int r = 0; r < n_keys; r++) {
            double x = gaussian(rand);
            stream->rows[r * dim + c] = (float)(offset + channel * x * x * x / 4);
        }
    }
    for (int first = 0; first < n_keys; first += 64) {
        int n = MIN(64, n_keys - first);
        pd_key_block_pack(bits, dim, stream->rows + (gsize)first * dim, (gsize)dim, n, at);
        at += pd_key_block_bytes(bits, dim, n);
    }
    pd_key_stream_unpack(bits, dim, keys, n_keys, 0, n_keys, stream->rows, (gsize)dim);
    for (int b = 0; b < n_blocks; b++)
        for (int c = 0; c < dim; c++)
            stream->scale[b * dim + c] =
                smallest_step(stream->rows + (gsize)b * 64 * dim, MIN(64, n_keys - b * 64), dim, c);
    stream->scan = (PdKeyScan){.keys = fixture_mem(dev, keys, n_bytes),
                               .n_keys = n_keys,
                               .out = fixture_mem(dev, NULL, (gsize)(n_q * n_blocks) * 4),
                               .lse = fixture_mem(dev, NULL, (gsize)n_q * 4)};
}

static void
stream_clear(Stream *stream, PdDevice *dev)
{
    g_free(stream->rows);
    g_free(stream->scale);
    dev->ops->buffer_free(dev, stream->scan.keys.buffer);
    dev->ops->buffer_free(dev, stream->scan.out.buffer);
    dev->ops->buffer_free(dev, stream->scan.lse.buffer);
}

/* How far the rounding of query q may move the scores of block b: half a step of the products
 * q[c] * scale[c], rounded to `top`, times the largest distance of a key's codes from the middle,
 * in each channel; and float rounding of the terms. */
static double
allowance(const Stream *stream, int b, const float *q, int dim, int bits, double size)
{
    double largest = 0, distance = 0, top = bits == 4 ? 127 : 127 * 128;

    for (int c = 0; c < dim; c++) {
        /* A measured step may be a multiple of the true one, never less: the bound only widens. */
        largest = MAX(largest, fabs((double)q[c] * (double)stream->scale[b * dim + c]));
        distance += ((1 << bits) - 1) / 2.0;
    }
    return largest / top / 2 * distance * 1.001 + 16 * 0x1p-23 * size;
}

static void
check_stream(PdDevice *dev, const Stream *stream, int dim, int bits, const float *q, int n_q,
             float scale)
{
    int n = stream->n_keys, n_blocks = (n + 63) / 64;
    g_autofree float *out = g_new(float, n_q *n_blocks);
    g_autofree float *lse = g_new(float, n_q);
    g_autofree double *s = g_new(double, n);

    if (n_blocks > 0)
        dev->ops->read(dev, out, stream->scan.out, (gsize)(n_q * n_blocks) * 4);
    dev->ops->read(dev, lse, stream->scan.lse, (gsize)n_q * 4);
    for (int i = 0; i < n_q; i++) {
        double max = -INFINITY, sum = 0, worst = 0;
        for (int b = 0; b < n_blocks; b++) {
            double block_max = -INFINITY, size = 0;
            for (int j = b * 64; j < MIN(n, b * 64 + 64); j++) {
                double abs_sum = 0;
                s[j] = 0;
                for (int c = 0; c < dim; c++) {
                    double t = (double)q[i * dim + c] * (double)stream->rows[j * dim + c];
                    s[j] += t;
                    abs_sum += fabs(t);
                }
                size = MAX(size, abs_sum);
                block_max = MAX(block_max, s[j]);
            }
            double allowed = allowance(stream, b, q + i * dim, dim, bits, size);
            g_assert_cmpfloat(fabs((double)out[i * n_blocks + b] - block_max), <=, allowed);
            worst = MAX(worst, allowed);
            max = MAX(max, block_max);
        }
        for (int j = 0; j < n; j++)
            sum += exp((double)scale * (s[j] - max));
        double expected = (double)scale * max + log(sum);
        if (n == 0)
            g_assert_true(lse[i] == -INFINITY);
        else
            g_assert_cmpfloat(fabs((double)lse[i] - expected), <=,
                              (double)scale * worst + 1e-6 * (1 + fabs(expected)));
    }
}

static void
check_call(PdDevice *dev, GRand *rand, int bits, int dim, int n_q, const int *n_keys, int n_scans,
           float scale, double size)
{
    g_autofree Stream *streams = g_new0(Stream, n_scans);
    g_autofree PdKeyScan *scans = g_new0(PdKeyScan, n_scans);
    g_autofree float *q = fixture_random(rand, (gsize)(n_q * dim), 2);
    PdMem mq = fixture_mem(dev, q, (gsize)(n_q * dim) * 4);

    for (int i = 0; i < n_scans; i++) {
        stream_init(&streams[i], dev, rand, bits, n_keys[i], dim, n_q, size);
        scans[i] = streams[i].scan;
    }
    g_assert_cmpint(dev->ops->score_keys(dev, scans, n_scans, bits, dim, mq, n_q, scale), ==,
                    PD_KERNEL_OK);
    for (int i = 0; i < n_scans; i++) {
        check_stream(dev, &streams[i], dim, bits, q, n_q, scale);
        stream_clear(&streams[i], dev);
    }
    dev->ops->buffer_free(dev, mq.buffer);
}

static void
test_scores(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(21);
    static const int one[] = {1}, many[] = {1, 15, 16, 17, 0, 63, 64, 65, 200, 1100, 2048, 40};

    if (!dev)
        return;
    for (int bits = 4; bits <= 8; bits += 4) {
        check_call(dev, rand, bits, 64, 1, one, 1, 0.125f, 1);
        check_call(dev, rand, bits, 64, 5, many, G_N_ELEMENTS(many), 0.125f, 1);
        check_call(dev, rand, bits, 32, 3, many, 9, 0.17f, 1);
        check_call(dev, rand, bits, 96, 2, many, 9, 0.1f, 1);
        check_call(dev, rand, bits, 128, 4, many, 10, 0.09f, 1);
        check_call(dev, rand, bits, 160, 7, many, 8, 0.08f, 1);
        check_call(dev, rand, bits, 256, 35, many, 9, 0.0625f, 1);
    }
    dev->ops->free(dev);
}

/* Scores of some 1e5 in both directions, and of nearly nothing. */
static void
test_extremes(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 2);
    g_autoptr(GRand) rand = g_rand_new_with_seed(22);
    static const int n_keys[] = {300, 70};

    if (!dev)
        return;
    for (int bits = 4; bits <= 8; bits += 4) {
        check_call(dev, rand, bits, 64, 3, n_keys, 2, 1, 50);
        check_call(dev, rand, bits, 256, 3, n_keys, 2, 1e-3f, 0.001);
        check_call(dev, rand, bits, 128, 3, n_keys, 2, 1, 0);
    }
    dev->ops->free(dev);
}

/* Zero queries score 0 against everything; a scan without lse leaves nothing behind. */
static void
test_zero_query(gconstpointer isa)
{
    PdDevice *dev = fixture_device(isa, 1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(23);
    enum { DIM = 64, KEYS = 130, QUERIES = 2 };
    static const float zeros[QUERIES * DIM];

    if (!dev)
        return;
    for (int bits = 4; bits <= 8; bits += 4) {
        Stream stream;
        PdMem mq = fixture_mem(dev, zeros, sizeof zeros);
        stream_init(&stream, dev, rand, bits, KEYS, DIM, QUERIES, 1);
        PdKeyScan scan = stream.scan;
        scan.lse.buffer = NULL;
        g_assert_cmpint(dev->ops->score_keys(dev, &scan, 1, bits, DIM, mq, QUERIES, 1), ==,
                        PD_KERNEL_OK);
        float out[QUERIES * 3];
        dev->ops->read(dev, out, scan.out, sizeof out);
        for (int i = 0; i < QUERIES * 3; i++)
            g_assert_cmpfloat(out[i], ==, 0);
        stream_clear(&stream, dev);
        dev->ops->buffer_free(dev, mq.buffer);
    }
    PdKeyScan none = {0};
    g_assert_cmpint(dev->ops->score_keys(dev, &none, 0, 5, DIM, (PdMem){0}, 0, 1), ==,
                    PD_KERNEL_EUNSUPPORTED);
    dev->ops->free(dev);
}

/* The same bits on any number of threads, and for a query alone or among others. */
static void
test_invariance(gconstpointer isa)
{
    PdDevice *one = fixture_device(isa, 1);
    enum { DIM = 64, KEYS = 5001, QUERIES = 37, BLOCKS = (KEYS + 63) / 64 };

    if (!one)
        return;
    one->ops->free(one);
    for (int bits = 4; bits <= 8; bits += 4) {
        g_autofree float *expected = NULL, *expected_lse = NULL;
        for (int threads = 1; threads <= 4; threads++) {
            PdDevice *dev = pd_cpu_device_new(threads, isa);
            g_autoptr(GRand) rand = g_rand_new_with_seed(24);
            g_autofree float *q = fixture_random(rand, QUERIES * DIM, 2);
            PdMem mq = fixture_mem(dev, q, QUERIES * DIM * 4);
            Stream stream;
            stream_init(&stream, dev, rand, bits, KEYS, DIM, QUERIES, 1);
            dev->ops->score_keys(dev, &stream.scan, 1, bits, DIM, mq, QUERIES, 0.125f);
            g_autofree float *out = g_new(float, QUERIES *BLOCKS);
            g_autofree float *lse = g_new(float, QUERIES);
            dev->ops->read(dev, out, stream.scan.out, QUERIES * BLOCKS * 4);
            dev->ops->read(dev, lse, stream.scan.lse, QUERIES * 4);
            mq.offset_bytes = 21 * DIM * 4;
            dev->ops->score_keys(dev, &stream.scan, 1, bits, DIM, mq, 1, 0.125f);
            float alone[BLOCKS];
            dev->ops->read(dev, alone, stream.scan.out, sizeof alone);
            g_assert_cmpmem(alone, sizeof alone, out + 21 * BLOCKS, sizeof alone);
            if (threads == 1) {
                expected = g_steal_pointer(&out);
                expected_lse = g_steal_pointer(&lse);
            } else {
                g_assert_cmpmem(out, QUERIES * BLOCKS * 4, expected, QUERIES * BLOCKS * 4);
                g_assert_cmpmem(lse, QUERIES * 4, expected_lse, QUERIES * 4);
            }
            stream_clear(&stream, dev);
            dev->ops->buffer_free(dev, mq.buffer);
            dev->ops->free(dev);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add("keys/scores", test_scores);
    fixture_add("keys/extremes", test_extremes);
    fixture_add("keys/zero-query", test_zero_query);
    fixture_add("keys/invariance", test_invariance);
    return g_test_run();
}
