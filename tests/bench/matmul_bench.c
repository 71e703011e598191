/*
 * How fast the products run: for every weight type a prompt's product (512 tokens) in GOP/s against
 * the 8-bit peak and a decoded token's in GB/s of weights against the memory's, both measured in
 * the same run; then the layers of Qwen2.5 0.5B and 1.5B (Q4_K_M) in tokens a second.
 *
 *   matmul_bench [THREADS [ISA]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kernels/cpu/peak.h"

enum { PROMPT_TOKENS = 512 };

/* On one thread other work on the machine does not count. */
static clockid_t bench_clock = CLOCK_MONOTONIC;

static double
seconds(void)
{
    struct timespec t;
    clock_gettime(bench_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static PdBuffer *
new_buffer(PdDevice *dev, size_t n_bytes)
{
    PdBuffer *buffer = dev->ops->buffer_new(dev, n_bytes);
    if (buffer == NULL) {
        fprintf(stderr, "matmul_bench: no memory for %zu bytes\n", n_bytes);
        exit(1);
    }
    return buffer;
}

/* Bytes whose floats are small numbers, whatever the type, and none so small (below 2^-15 in the
 * float types) that their products are denormal, which CPUs multiply a hundred times slower. */
static PdBuffer *
new_weights(PdDevice *dev, PdDtype type, size_t n_bytes)
{
    PdBuffer *buffer = new_buffer(dev, n_bytes);
    uint8_t bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)((uint32_t)i * 2654435761u >> 13) & 0x3b;
        if (pd_dtype_info[type].block_elems == 1 && i % 2 == 1)
            bytes[i] |= 0x38; /* sign and exponent are in the last byte of two or four */
    }
    for (size_t at = 0; at < n_bytes; at += sizeof bytes)
        dev->ops->write(dev, (PdMem){buffer, at}, bytes,
                        n_bytes - at < sizeof bytes ? n_bytes - at : sizeof bytes);
    return buffer;
}

static PdBuffer *
new_activations(PdDevice *dev, size_t n)
{
    PdBuffer *buffer = new_buffer(dev, n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float v = (float)((int)((uint32_t)i * 2654435761u >> 20) - 2048) / 2048;
        dev->ops->write(dev, (PdMem){buffer, i * sizeof v}, &v, sizeof v);
    }
    return buffer;
}

/* The best of `repeats` products, in seconds. */
static double
time_product(PdDevice *dev, PdDtype type, int n_rows, int n_cols, int n_tokens, int repeats)
{
    PdBuffer *weights = new_weights(dev, type, (size_t)n_rows * pd_row_bytes(type, (size_t)n_cols));
    PdBuffer *x = new_activations(dev, (size_t)n_tokens * (size_t)n_cols);
    PdBuffer *out = new_buffer(dev, (size_t)n_tokens * (size_t)n_rows * sizeof(float));
    PdMatmulJob job = {.weight = {{weights, 0}, type, n_rows, n_cols}, .out = {out, 0}};
    double best = 0;

    for (int i = 0; i <= repeats; i++) { /* the first warms up */
        double start = seconds();
        dev->ops->matmul(dev, (PdMem){x, 0}, n_tokens, &job, 1);
        double took = seconds() - start;
        if (i == 1 || (i > 1 && took < best))
            best = took;
    }
    dev->ops->buffer_free(dev, weights);
    dev->ops->buffer_free(dev, x);
    dev->ops->buffer_free(dev, out);
    return best;
}

static void
print_types(PdDevice *dev, const PdPeak *peak)
{
    const int n_rows = 4096, n_cols = 1536, n_decode_rows = 65536; /* the last: no cache holds it */
    printf("%-5s %10s %6s %12s %6s\n", "type", "GOP/s", "peak", "decode GB/s", "peak");
    for (int type = 0; type < PD_N_DTYPES; type++) {
        double prompt = time_product(dev, type, n_rows, n_cols, PROMPT_TOKENS, 3);
        double decode = time_product(dev, type, n_decode_rows, n_cols, 1, 5);
        double gops = 2e-9 * n_rows * n_cols * PROMPT_TOKENS / prompt;
        double gbs = 1e-9 * n_decode_rows * (double)pd_row_bytes(type, (size_t)n_cols) / decode;
        printf("%-5s %10.1f %5.0f%% %12.2f %5.0f%%\n", pd_dtype_info[type].name, gops,
               peak->int8_gops > 0 ? 100 * gops / peak->int8_gops : 0, gbs,
               100 * gbs / peak->read_gbs);
        fflush(stdout);
    }
}

/* A product that the layers of a model have `count` times in all. */
typedef struct {
    PdDtype type;
    int n_rows, n_cols;
    int count;
} Product;

static void
print_model(PdDevice *dev, const char *name, const Product *products, int n_products)
{
    double prompt = 0, decode = 0;
    for (int i = 0; i < n_products; i++) {
        const Product *p = &products[i];
        prompt += p->count * time_product(dev, p->type, p->n_rows, p->n_cols, PROMPT_TOKENS, 2);
        decode += p->count * time_product(dev, p->type, p->n_rows, p->n_cols, 1, 9);
    }
    printf("%s: products of all layers, %.1f tokens/s of a prompt, %.1f of decoding (weights of "
           "one layer are in cache)\n",
           name, PROMPT_TOKENS / prompt, 1 / decode);
}

int
main(int argc, char **argv)
{
    static const Product qwen_05b[] = {
        {PD_Q5_0, 896, 896, 48},  {PD_Q5_0, 128, 896, 36},  {PD_Q8_0, 128, 896, 12},
        {PD_Q5_0, 4864, 896, 48}, {PD_Q4_K, 896, 4864, 12}, {PD_Q6_K, 896, 4864, 12},
    };
    static const Product qwen_15b[] = {
        {PD_Q4_K, 1536, 1536, 56}, {PD_Q4_K, 256, 1536, 42},  {PD_Q6_K, 256, 1536, 14},
        {PD_Q4_K, 8960, 1536, 56}, {PD_Q4_K, 1536, 8960, 14}, {PD_Q6_K, 1536, 8960, 14},
    };
    int n_threads = argc > 1 ? atoi(argv[1]) : 0;
    PdDevice *dev = pd_cpu_device_new(n_threads, argc > 2 ? argv[2] : NULL);
    PdPeak peak;

    if (dev == NULL || pd_cpu_peak(dev, &peak) != PD_KERNEL_OK) {
        fprintf(stderr, "matmul_bench: no such instruction set here, or no memory\n");
        return 1;
    }
    PdDeviceInfo info = dev->ops->info(dev);
    if (info.n_threads == 1)
        bench_clock = CLOCK_THREAD_CPUTIME_ID;
    printf("%s, %d threads: %.0f GOP/s of 8-bit products, %.1f GB/s of memory\n", info.isa,
           info.n_threads, peak.int8_gops, peak.read_gbs);
    print_types(dev, &peak);
    print_model(dev, "Qwen2.5 0.5B", qwen_05b, sizeof qwen_05b / sizeof qwen_05b[0]);
    print_model(dev, "Qwen2.5 1.5B", qwen_15b, sizeof qwen_15b / sizeof qwen_15b[0]);
    dev->ops->free(dev);
    return 0;
}
