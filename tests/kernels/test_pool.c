/* The thread pool: every thread works on every run exactly once, results are seen when a run
 * returns, shares cover everything once; and the reading of CPU quotas. */
#include <glib.h>
#include <stdatomic.h>

#include "kernels/cpu/cores.h"
#include "kernels/cpu/cpu.h"

#define MAX_THREADS 5

typedef struct {
    int visits[MAX_THREADS]; /* not atomic: each thread has its own */
    int n_threads_seen;
    gint64 work;
} Runs;

static void
count_visit(void *arg, int thread, int n_threads)
{
    Runs *runs = arg;
    volatile gint64 spin = runs->work * thread; /* threads finish at different times */

    while (spin > 0)
        spin = spin - 1;
    runs->visits[thread]++;
    if (thread == 0)
        runs->n_threads_seen = n_threads;
}

static void
test_runs(void)
{
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        PdPool *pool = pd_pool_new(n_threads);
        Runs runs = {0};

        g_assert_nonnull(pool);
        g_assert_cmpint(pd_pool_n_threads(pool), ==, n_threads);
        for (int i = 1; i <= 300; i++) {
            /* Long tasks and long pauses make waiting threads go to sleep, on both sides. */
            runs.work = i % 50 == 0 ? 400000 : i % 7 * 10;
            pd_pool_run(pool, count_visit, &runs);
            for (int t = 0; t < n_threads; t++)
                g_assert_cmpint(runs.visits[t], ==, i);
            for (volatile int pause = i % 60 == 0 ? 1000000 : 0; pause > 0; pause = pause - 1)
                ;
        }
        g_assert_cmpint(runs.n_threads_seen, ==, n_threads);
        pd_pool_free(pool);
    }
}

static void
test_free_unused(void)
{
    for (int i = 0; i < 20; i++) {
        PdPool *pool = pd_pool_new(3);
        g_assert_nonnull(pool);
        pd_pool_free(pool);
    }
    pd_pool_free(NULL);
}

static void
test_share(void)
{
    static const int counts[] = {0, 1, 2, 15, 16, 17, 1000, G_MAXINT};
    static const int grains[] = {1, 8, 64};

    for (gsize i = 0; i < G_N_ELEMENTS(counts) * G_N_ELEMENTS(grains); i++) {
        int n = counts[i % G_N_ELEMENTS(counts)], grain = grains[i / G_N_ELEMENTS(counts)];
        for (int n_threads = 1; n_threads <= 7; n_threads++) {
            int expected = 0, first, last;
            for (int t = 0; t < n_threads; t++) {
                pd_share(n, grain, t, n_threads, &first, &last);
                g_assert_cmpint(first, ==, expected);
                g_assert_cmpint(last, >=, first);
                g_assert_true(last == n || last % grain == 0);
                expected = last;
            }
            g_assert_cmpint(expected, ==, n);
        }
    }
}

static void
test_quota(void)
{
    g_assert_cmpint(pd_cores_of_cpu_max("200000 100000\n"), ==, 2);
    g_assert_cmpint(pd_cores_of_cpu_max("150000 100000\n"), ==, 2);
    g_assert_cmpint(pd_cores_of_cpu_max("10000 100000\n"), ==, 1);
    g_assert_cmpint(pd_cores_of_cpu_max("max 100000\n"), ==, 0);
    g_assert_cmpint(pd_cores_of_cpu_max("100000 0\n"), ==, 0);
    g_assert_cmpint(pd_cores_of_cpu_max("-5 100000\n"), ==, 0);
    g_assert_cmpint(pd_cores_of_cpu_max(""), ==, 0);
    g_assert_cmpint(pd_cores(), >=, 1);
    g_assert_cmpint(pd_cores(), <=, (int)g_get_num_processors());
}

/* A buffer is aligned, and copies that overlap behave. */
static void
test_memory(void)
{
    PdDevice *dev = pd_cpu_device_new(2, "reference");
    PdBuffer *buffer = dev->ops->buffer_new(dev, 100);
    char text[] = "abcdef", back[7] = "";

    g_assert_cmpuint((guintptr)pd_cpu_ptr((PdMem){buffer, 0}) % 64, ==, 0);
    dev->ops->write(dev, (PdMem){buffer, 10}, text, 6);
    dev->ops->copy(dev, (PdMem){buffer, 12}, (PdMem){buffer, 10}, 4);
    dev->ops->read(dev, back, (PdMem){buffer, 10}, 6);
    g_assert_cmpstr(back, ==, "ababcd");
    g_assert_null(pd_cpu_ptr((PdMem){NULL, 0}));
    g_assert_null(dev->ops->buffer_new(dev, SIZE_MAX));
    dev->ops->buffer_free(dev, buffer);
    dev->ops->buffer_free(dev, NULL);

    PdBuffer *wrapped = dev->ops->buffer_wrap(dev, text, sizeof text);
    g_assert_true(pd_cpu_ptr((PdMem){wrapped, 1}) == text + 1);
    dev->ops->buffer_free(dev, wrapped);
    dev->ops->free(dev);
    g_assert_null(pd_cpu_device_new(1, "abacus"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pool/runs", test_runs);
    g_test_add_func("/pool/free-unused", test_free_unused);
    g_test_add_func("/pool/share", test_share);
    g_test_add_func("/pool/quota", test_quota);
    g_test_add_func("/pool/memory", test_memory);
    return g_test_run();
}
