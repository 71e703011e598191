/*
 * How fast attention runs: prefill in GFLOP/s against the FMA peak measured in the same run, decode
 * in GB/s of KV read, the sweep in keys/s.  Shapes of Qwen2.5 0.5B (14/2 heads of 64) and 1.5B
 * (12/2 of 128).
 *
 *   attention_bench [THREADS [ISA]]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kernels/cpu/cpu.h"
#include "kernels/kv_block.h"

#define PREFILL_ROWS 512
#define SECONDS_MIN 0.4

typedef struct {
    const char *name;
    int n_heads;
    int n_kv_heads;
    int head_dim;
} Shape;

/* On one thread other work on the machine does not count. */
static clockid_t bench_clock = CLOCK_MONOTONIC;

static double
seconds(void)
{
    struct timespec t;

    clock_gettime(bench_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
#define PEAK_STEPS (1 << 22)

/* Twelve independent chains of FMAs hide the latency; nothing is loaded. */
#define PEAK_FMAS(R)                                                                               \
    __asm__ volatile("vfmadd231ps %%" R "15, %%" R "15, %%" R "0\n vfmadd231ps %%" R "15, %%" R    \
                     "15, %%" R "1\n"                                                              \
                     "vfmadd231ps %%" R "15, %%" R "15, %%" R "2\n vfmadd231ps %%" R "15, %%" R    \
                     "15, %%" R "3\n"                                                              \
                     "vfmadd231ps %%" R "15, %%" R "15, %%" R "4\n vfmadd231ps %%" R "15, %%" R    \
                     "15, %%" R "5\n"                                                              \
                     "vfmadd231ps %%" R "15, %%" R "15, %%" R "6\n vfmadd231ps %%" R "15, %%" R    \
                     "15, %%" R "7\n"                                                              \
                     "vfmadd231ps %%" R "15, %%" R "15, %%" R "8\n vfmadd231ps %%" R "15, %%" R    \
                     "15, %%" R "9\n"                                                              \
                     "vfmadd231ps %%" R "15, %%" R "15, %%" R "10\n vfmadd231ps %%" R "15, %%" R   \
                     "15, %%" R "11" ::                                                            \
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                           "xmm9", "xmm10", "xmm11")

static void
fma_chains(void *arg, int thread, int n_threads)
{
    __asm__ volatile("vzeroall" ::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                           "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    for (int s = 0; s < PEAK_STEPS; s++)
        if (*(const bool *)arg)
            PEAK_FMAS("zmm");
        else
            PEAK_FMAS("ymm");
}
#endif

/* GFLOP/s of multiply-adds on all threads; NAN where we cannot tell. */
static double
fma_peak(PdCpu *cpu)
{
#if defined(__x86_64__)
    bool wide = strncmp(cpu->isa_name, "avx512", 6) == 0 && __builtin_cpu_supports("avx512f");
    double best = INFINITY;

    if (!__builtin_cpu_supports("fma"))
        return NAN;
    for (int i = 0; i < 5; i++) {
        double start = seconds();
        pd_pool_run(cpu->pool, fma_chains, &wide);
        best = fmin(best, seconds() - start);
    }
    return 2e-9 * 12 * (wide ? 16 : 8) * PEAK_STEPS * pd_pool_n_threads(cpu->pool) / best;
#else
    (void)cpu;
    return NAN;
#endif
}

static PdMem
random_mem(PdDevice *dev, size_t n)
{
    PdMem mem = {dev->ops->buffer_new(dev, n * sizeof(float)), 0};
    float *values = malloc(n * sizeof(float));

    for (size_t i = 0; i < n; i++)
        values[i] = (float)rand() / (float)RAND_MAX * 2 - 1;
    dev->ops->write(dev, mem, values, n * sizeof(float));
    free(values);
    return mem;
}

/* Seconds of one call, the best of several. */
static double
time_attention(PdDevice *dev, const PdKv *kv, const PdAttention *a)
{
    double best = INFINITY, end = seconds() + SECONDS_MIN;

    do {
        double start = seconds();
        if (dev->ops->attention(dev, kv, a) != PD_KERNEL_OK)
            return NAN;
        best = fmin(best, seconds() - start);
    } while (seconds() < end);
    return best;
}

static void
bench_shape(PdDevice *dev, const Shape *shape, PdDtype type, int context, double peak)
{
    size_t kv_values = (size_t)shape->n_kv_heads * (size_t)shape->head_dim;
    size_t q_values = (size_t)shape->n_heads * (size_t)shape->head_dim;
    size_t kv_bytes = pd_row_bytes(type, kv_values) * (size_t)context;
    PdKv kv = {type, shape->n_kv_heads, shape->head_dim, context};
    kv.k.buffer = dev->ops->buffer_new(dev, kv_bytes);
    kv.v.buffer = dev->ops->buffer_new(dev, kv_bytes);
    PdMem rows = random_mem(dev, kv_values * (size_t)context);
    dev->ops->kv_append(dev, &kv, 0, rows, rows, context);
    PdMem table = random_mem(dev, (size_t)context * (size_t)shape->head_dim);
    PdRope rope = {table, context, shape->head_dim, PD_ROPE_NEOX};
    PdAttention a = {.q = random_mem(dev, q_values * PREFILL_ROWS),
                     .out = random_mem(dev, q_values * PREFILL_ROWS),
                     .n_q = PREFILL_ROWS,
                     .n_heads = shape->n_heads,
                     .first_q_row = context - PREFILL_ROWS,
                     .kv_rows = context,
                     .scale = 1 / sqrtf((float)shape->head_dim),
                     .rope = type == PD_Q8_0 ? &rope : NULL};

    double t = time_attention(dev, &kv, &a);
    double seen = (double)PREFILL_ROWS * (context - (PREFILL_ROWS - 1) / 2.0);
    double gflops = 4e-9 * seen * (double)q_values / t;
    a.n_q = 1;
    a.first_q_row = context - 1;
    double t1 = time_attention(dev, &kv, &a);
    printf(
        "%-14s %-5s %6d  prefill %7.1f GFLOP/s  %4.0f %% of peak   decode %8.1f us  %6.1f GB/s\n",
        shape->name, pd_dtype_info[type].name, context, gflops, 100 * gflops / peak, t1 * 1e6,
        2e-9 * (double)kv_bytes / t1);
    PdBuffer *all[] = {kv.k.buffer,  kv.v.buffer, rows.buffer,
                       table.buffer, a.q.buffer,  a.out.buffer};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        dev->ops->buffer_free(dev, all[i]);
}

/* The sweep: the queries of a question against many kept keys. */
static void
bench_scores(PdDevice *dev, int bits, int head_dim, int n_q, int n_keys, double peak)
{
    size_t bytes = pd_key_stream_bytes(bits, head_dim, n_keys), at = 0;
    size_t block_floats = (size_t)PD_KV_BLOCK_ROWS * (size_t)head_dim;
    unsigned char *stream = malloc(bytes);
    float *rows = malloc(block_floats * sizeof *rows);
    PdMem random = random_mem(dev, block_floats);

    dev->ops->read(dev, rows, random, block_floats * sizeof *rows);
    for (int first = 0; first < n_keys; first += PD_KV_BLOCK_ROWS) {
        int n = n_keys - first < PD_KV_BLOCK_ROWS ? n_keys - first : PD_KV_BLOCK_ROWS;
        pd_key_block_pack(bits, head_dim, rows, (size_t)head_dim, n, stream + at);
        at += pd_key_block_bytes(bits, head_dim, n);
    }
    PdMem keys = {dev->ops->buffer_new(dev, bytes), 0};
    dev->ops->write(dev, keys, stream, bytes);
    PdMem q = random_mem(dev, (size_t)n_q * (size_t)head_dim);
    PdMem out = random_mem(dev, (size_t)n_q * (size_t)(n_keys / PD_SCORE_BLOCK + 1));
    PdKeyScan scan = {.keys = keys, .n_keys = n_keys, .out = out};
    double best = INFINITY, end = seconds() + SECONDS_MIN;

    do {
        double start = seconds();
        dev->ops->score_keys(dev, &scan, 1, bits, head_dim, q, n_q, 0.1f);
        best = fmin(best, seconds() - start);
    } while (seconds() < end);
    double gflops = 2e-9 * n_keys * (double)head_dim * n_q / best;
    printf(
        "sweep x%d, %d bits, %d queries, %d keys: %.1f M keys/s  %.2f GB/s  %.1f GOP/s (FMA peak "
        "%.0f)\n",
        head_dim, bits, n_q, n_keys, 1e-6 * n_keys / best, 1e-9 * (double)bytes / best, gflops,
        peak);
    PdBuffer *all[] = {random.buffer, keys.buffer, q.buffer, out.buffer};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        dev->ops->buffer_free(dev, all[i]);
    free(rows);
    free(stream);
}

int
main(int argc, char **argv)
{
    static const Shape shapes[] = {{"14/2 heads x64", 14, 2, 64}, {"12/2 heads x128", 12, 2, 128}};
    static const PdDtype types[] = {PD_F16, PD_Q8_0};
    static const int contexts[] = {1024, 4096, 16384};
    PdDevice *dev = pd_cpu_device_new(argc > 1 ? atoi(argv[1]) : 0, argc > 2 ? argv[2] : NULL);

    if (!dev) {
        fprintf(stderr, "attention_bench: no such device here\n");
        return 1;
    }
    PdDeviceInfo info = dev->ops->info(dev);
    if (info.n_threads == 1)
        bench_clock = CLOCK_THREAD_CPUTIME_ID;
    double peak = fma_peak((PdCpu *)dev);
    printf("isa %s, %d threads, FMA peak %.1f GFLOP/s\n", info.isa, info.n_threads, peak);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
            for (size_t c = 0; c < sizeof contexts / sizeof contexts[0]; c++)
                bench_shape(dev, &shapes[s], types[t], contexts[c], peak);
    for (int bits = 4; bits <= 8; bits += 4) {
        bench_scores(dev, bits, 64, 14, 100000, peak);
        bench_scores(dev, bits, 128, 32, 100000, peak);
    }
    dev->ops->free(dev);
    return 0;
}
