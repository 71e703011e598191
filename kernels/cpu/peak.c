/*
 * The machine's limits, measured with the device's own threads: products of registers in the form
 * that the kernels use (PdMatmulIsa.burst), and a sum over more memory than any cache holds.  Each
 * is the best of several short runs: what the machine can do, not what its other users left over.
 */
#include "kernels/cpu/peak.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/matmul.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    REPEATS = 5,
    BURST_ROUNDS = 1 << 20,
    READ_BYTES = 256 << 20,
};

typedef struct {
    const PdMatmulIsa *isa;
    const uint64_t *words;
    atomic_llong n_products;
    atomic_ullong sum; /* keeps the reading from being left out */
} Work;

static double
now_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
multiply_task(void *arg, int thread, int n_threads)
{
    Work *work = arg;
    atomic_fetch_add(&work->n_products, work->isa->burst(BURST_ROUNDS));
}

static void
read_task(void *arg, int thread, int n_threads)
{
    Work *work = arg;
    int first, last;
    uint64_t sum[8] = {0};

    pd_share(READ_BYTES / 8, 8, thread, n_threads, &first, &last);
    for (int i = first; i < last; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += work->words[i + k];
    for (int k = 0; k < 8; k++)
        atomic_fetch_add(&work->sum, sum[k]);
}

static double
best_seconds(PdPool *pool, PdTask task, Work *work)
{
    /* On one thread other work on the machine does not count. */
    clockid_t clock = pd_pool_n_threads(pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        atomic_store(&work->n_products, 0);
        double start = now_seconds(clock);
        pd_pool_run(pool, task, work);
        double seconds = now_seconds(clock) - start;
        if (i == 0 || seconds < best)
            best = seconds;
    }
    return best;
}

int
pd_cpu_peak(PdDevice *dev, PdPeak *peak)
{
    PdCpu *cpu = (PdCpu *)dev;
    Work work = {.isa = cpu->matmul};

    *peak = (PdPeak){0};
    uint64_t *words = malloc(READ_BYTES);
    if (words == NULL)
        return PD_KERNEL_ENOMEM;
    memset(words, 1, READ_BYTES); /* pages that were never written are all one page of zeros */
    work.words = words;
    peak->read_gbs = 1e-9 * READ_BYTES / best_seconds(cpu->pool, read_task, &work);
    free(words);
    if (cpu->matmul->burst != NULL) {
        double seconds = best_seconds(cpu->pool, multiply_task, &work);
        peak->int8_gops = 2e-9 * (double)atomic_load(&work.n_products) / seconds;
    }
    return PD_KERNEL_OK;
}
