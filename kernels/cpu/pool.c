/*
 * A fixed pool of threads.  The caller of pd_pool_run is thread 0 and works too.
 *
 * A step of the model is some hundred short operations, so a worker that has finished one spins
 * for a moment (SPIN_ROUNDS, some tens of microseconds) before it sleeps on a condition variable.
 * Invariants: `generation` counts the runs; a worker runs each generation exactly once; `n_busy`
 * is 0 whenever no run is under way.  One caller at a time.
 *
 * Sleeping and waking follow Dekker: the sleeper announces itself and then looks at the state
 * again, the waker changes the state and then looks for sleepers, both sequentially consistent, so
 * that at least one of the two sees the other.
 */
#include "kernels/cpu/cpu.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SPIN_ROUNDS 4000

typedef struct {
    PdPool *pool;
    int index;
    pthread_t thread;
} Worker;

struct PdPool {
    int n_threads;
    Worker *workers; /* n_threads - 1 of them */

    PdTask task;
    void *arg;
    atomic_bool quit;

    /* Apart from each other: workers poll the first, the caller polls the second. */
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_int n_busy;

    _Alignas(64) atomic_int n_sleeping; /* workers in cond_wait */
    atomic_bool caller_sleeping;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t done;
};

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void
wait_for_work(PdPool *pool, unsigned seen)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->n_sleeping, 1);
    while (atomic_load(&pool->generation) == seen)
        pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->n_sleeping, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void
wait_for_workers(PdPool *pool)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (atomic_load_explicit(&pool->n_busy, memory_order_acquire) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeping, true);
    while (atomic_load(&pool->n_busy) != 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_sleeping, false);
    pthread_mutex_unlock(&pool->lock);
}

static void *
worker_main(void *data)
{
    Worker *self = data;
    PdPool *pool = self->pool;

    for (unsigned seen = 0;; seen++) {
        wait_for_work(pool, seen);
        if (atomic_load(&pool->quit))
            return NULL;
        pool->task(pool->arg, self->index, pool->n_threads);
        if (atomic_fetch_sub(&pool->n_busy, 1) == 1 && atomic_load(&pool->caller_sleeping)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

/* Start a generation: what the caller stored before is visible to every worker. */
static void
announce(PdPool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->n_sleeping) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* A pool of n_threads >= 1 (the caller counted), or NULL when memory or threads ran out. */
PdPool *
pd_pool_new(int n_threads)
{
    assert(n_threads >= 1);
    PdPool *pool = aligned_alloc(64, sizeof *pool);
    if (pool == NULL)
        return NULL;
    *pool = (PdPool){.n_threads = 1};
    pool->workers = calloc((size_t)n_threads, sizeof *pool->workers);
    if (pool->workers == NULL) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);

    for (int i = 1; i < n_threads; i++) {
        Worker *worker = &pool->workers[i - 1];
        *worker = (Worker){.pool = pool, .index = i};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            pd_pool_free(pool);
            return NULL;
        }
        pool->n_threads = i + 1;
    }
    return pool;
}

void
pd_pool_free(PdPool *pool)
{
    if (pool == NULL)
        return;
    atomic_store(&pool->quit, true);
    announce(pool);
    for (int i = 0; i < pool->n_threads - 1; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

int
pd_pool_n_threads(const PdPool *pool)
{
    return pool->n_threads;
}

void
pd_pool_run(PdPool *pool, PdTask task, void *arg)
{
    if (pool->n_threads == 1) {
        task(arg, 0, 1);
        return;
    }
    assert(atomic_load(&pool->n_busy) == 0);
    pool->task = task;
    pool->arg = arg;
    atomic_store(&pool->n_busy, pool->n_threads - 1);
    announce(pool);
    task(arg, 0, pool->n_threads);
    wait_for_workers(pool);
}

void
pd_share(int n, int grain, int thread, int n_threads, int *first, int *last)
{
    assert(n >= 0 && grain > 0 && thread >= 0 && thread < n_threads);
    int64_t n_grains = ((int64_t)n + grain - 1) / grain;
    int64_t from = n_grains * thread / n_threads * grain;
    int64_t to = n_grains * (thread + 1) / n_threads * grain;
    *first = (int)(from < n ? from : n);
    *last = (int)(to < n ? to : n);
}
