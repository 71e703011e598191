/*
 * How fast the sweep reads compressed keys: GB/s of keys against this machine's reading bandwidth,
 * measured in the same process before and after; then the unpacking and packing of a read pass.
 *
 *   score_bench [THREADS [ISA [BITS]]]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "kernels/cpu/peak.h"
#include "kernels/kernels.h"
#include "kernels/kv_block.h"

enum {
    N_KEYS = 1 << 20,
    STREAM_ROWS = 1024, /* of one of the many streams */
    QUERIES_MAX = 256,
    REPEATS = 5,
    READ_ROWS = 1500,
    READ_STREAMS = 28 * 2, /* layers and heads of Qwen2.5 1.5B */
};

static double
seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
fill_random(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rand() / (float)RAND_MAX * 2 - 1;
}

static PdMem
new_mem(PdDevice *dev, size_t n_bytes)
{
    PdMem mem = {dev->ops->buffer_new(dev, n_bytes), 0};

    if (mem.buffer == NULL) {
        fprintf(stderr, "score_bench: no memory\n");
        exit(1);
    }
    return mem;
}

/* All keys as streams of STREAM_ROWS; each stream holds the same blocks at another place. */
static void
write_keys(PdDevice *dev, PdMem keys, int bits, int head_dim)
{
    size_t n_bytes = pd_key_stream_bytes(bits, head_dim, STREAM_ROWS), at = 0;
    float *rows = malloc(sizeof(float) * STREAM_ROWS * (size_t)head_dim);
    unsigned char *stream = malloc(n_bytes);

    fill_random(rows, STREAM_ROWS * (size_t)head_dim);
    for (int r = 0; r < STREAM_ROWS; r += PD_KV_BLOCK_ROWS) {
        pd_key_block_pack(bits, head_dim, rows + (size_t)r * (size_t)head_dim, (size_t)head_dim,
                          PD_KV_BLOCK_ROWS, stream + at);
        at += pd_key_block_bytes(bits, head_dim, PD_KV_BLOCK_ROWS);
    }
    for (size_t s = 0; s < N_KEYS / STREAM_ROWS; s++)
        dev->ops->write(dev, (PdMem){keys.buffer, s * n_bytes}, stream, n_bytes);
    free(rows);
    free(stream);
}

static double
best_call(PdDevice *dev, const PdKeyScan *scans, int n, int bits, int head_dim, PdMem q, int n_q)
{
    double best = INFINITY;

    for (int i = 0; i < (n_q > 32 ? 2 : REPEATS); i++) {
        double start = seconds();
        dev->ops->score_keys(dev, scans, n, bits, head_dim, q, n_q, 0.1f);
        best = fmin(best, seconds() - start);
    }
    return best;
}

static void
bench_scan(PdDevice *dev, int bits, int head_dim, double peak)
{
    static const int n_queries[] = {1, 8, 32, QUERIES_MAX};
    size_t n_bytes = pd_key_stream_bytes(bits, head_dim, N_KEYS);
    size_t n_blocks = N_KEYS / PD_KV_BLOCK_ROWS, n_streams = N_KEYS / STREAM_ROWS;
    PdMem keys = new_mem(dev, n_bytes), q = new_mem(dev, 4 * QUERIES_MAX * (size_t)head_dim);
    PdMem out = new_mem(dev, 4 * n_blocks * QUERIES_MAX), lse = new_mem(dev, 4 * QUERIES_MAX);
    float *queries = malloc(4 * QUERIES_MAX * (size_t)head_dim);
    PdKeyScan *scans = calloc(n_streams, sizeof *scans);

    fill_random(queries, QUERIES_MAX * (size_t)head_dim);
    dev->ops->write(dev, q, queries, 4 * QUERIES_MAX * (size_t)head_dim);
    write_keys(dev, keys, bits, head_dim);
    for (size_t k = 0; k < sizeof n_queries / sizeof n_queries[0]; k++) {
        int n_q = n_queries[k];
        for (size_t s = 0; s < n_streams; s++)
            scans[s] =
                (PdKeyScan){.keys = {keys.buffer, s * (n_bytes / n_streams)},
                            .n_keys = STREAM_ROWS,
                            .out = {out.buffer, 4 * s * (n_blocks / n_streams) * (size_t)n_q}};
        PdKeyScan one = {.keys = keys, .n_keys = N_KEYS, .out = out};
        double whole = best_call(dev, &one, 1, bits, head_dim, q, n_q);
        double many = best_call(dev, scans, (int)n_streams, bits, head_dim, q, n_q);
        one.lse = lse;
        double sums = best_call(dev, &one, 1, bits, head_dim, q, n_q);
        printf("d %3d, %d bits, %4zu MB, %3d queries: %5.1f GB/s = %3.0f %% of reading   "
               "%zu streams %5.1f GB/s   with lse %5.1f GB/s   %6.0f GMAC/s\n",
               head_dim, bits, n_bytes / 1000000, n_q, 1e-9 * (double)n_bytes / whole,
               1e-7 * (double)n_bytes / whole / peak, n_streams, 1e-9 * (double)n_bytes / many,
               1e-9 * (double)n_bytes / sums, 1e-9 * N_KEYS * head_dim * n_q / whole);
    }
    PdBuffer *all[] = {keys.buffer, q.buffer, out.buffer, lse.buffer};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        dev->ops->buffer_free(dev, all[i]);
    free(queries);
    free(scans);
}

/* One thread, READ_ROWS rows of READ_STREAMS streams of 128 channels. */
static void
bench_codec(int bits, const char *name, size_t (*stream_bytes)(int, int, int),
            void (*pack)(int, int, const float *, size_t, int, void *),
            void (*unpack)(int, int, const void *, int, int, int, float *, size_t))
{
    enum { DIM = 128, ROWS = PD_KV_BLOCK_ROWS };
    float *rows = malloc(sizeof(float) * READ_ROWS * DIM);
    unsigned char *stream = malloc(stream_bytes(bits, DIM, READ_ROWS));
    size_t block_bytes = stream_bytes(bits, DIM, ROWS);

    fill_random(rows, READ_ROWS * DIM);
    double start = seconds();
    for (int r = 0; r < READ_ROWS; r += ROWS)
        pack(bits, DIM, rows + (size_t)r * DIM, DIM, READ_ROWS - r < ROWS ? READ_ROWS - r : ROWS,
             stream + (size_t)(r / ROWS) * block_bytes);
    double packing = (seconds() - start) / (READ_ROWS * DIM);
    start = seconds();
    for (int s = 0; s < READ_STREAMS; s++)
        unpack(bits, DIM, stream, READ_ROWS, 0, READ_ROWS, rows, DIM);
    double unpacking = seconds() - start;
    printf(
        "%s, %d bits: unpack %d rows x %d streams x %d %6.1f ms (%.2f ns a number), pack %.1f ns "
        "a number\n",
        name, bits, READ_ROWS, READ_STREAMS, DIM, 1e3 * unpacking,
        1e9 * unpacking / READ_STREAMS / (READ_ROWS * DIM), 1e9 * packing);
    free(rows);
    free(stream);
}

int
main(int argc, char **argv)
{
    PdDevice *dev = pd_cpu_device_new(argc > 1 ? atoi(argv[1]) : 0, argc > 2 ? argv[2] : NULL);
    int bits = argc > 3 ? atoi(argv[3]) : 4;
    static const int widths[] = {2, 3, 4, 5, 6, 8};
    PdPeak before, after;

    if (dev == NULL || (bits != 4 && bits != 8) || pd_cpu_peak(dev, &before) != PD_KERNEL_OK) {
        fprintf(stderr, "score_bench: no such device or width here\n");
        return 1;
    }
    PdDeviceInfo info = dev->ops->info(dev);
    printf("isa %s, %d threads, reading %.1f GB/s\n", info.isa, info.n_threads, before.read_gbs);
    bench_scan(dev, bits, 64, before.read_gbs);
    bench_scan(dev, bits, 128, before.read_gbs);
    if (pd_cpu_peak(dev, &after) == PD_KERNEL_OK)
        printf("reading again: %.1f GB/s\n", after.read_gbs);
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        bench_codec(widths[i], "keys  ", pd_key_stream_bytes, pd_key_block_pack,
                    pd_key_stream_unpack);
        bench_codec(widths[i], "values", pd_value_stream_bytes, pd_value_block_pack,
                    pd_value_stream_unpack);
    }
    dev->ops->free(dev);
    return 0;
}
