/*
 * All matrices of a model, once, by several threads: a checkpoint of many gigabytes is read through
 * and repacked before it runs.
 */
#include "engine/deepseek/weights.h"

typedef struct {
    GPtrArray *matrices; /* PdDsMatrix */
    PdDsMatrixFunc func;
    gpointer user_data;
    GError **problems; /* one a matrix */
    gint next;         /* atomic */
    gint failed;       /* atomic */
} Job;

static gboolean
collect(PdDsMatrix *m, gpointer matrices, GError **error)
{
    (void)error;
    g_ptr_array_add(matrices, m);
    return TRUE;
}

static gpointer
worker(gpointer data)
{
    Job *job = data;
    while (!g_atomic_int_get(&job->failed)) {
        guint i = (guint)g_atomic_int_add(&job->next, 1);
        if (i >= job->matrices->len)
            break;
        if (!job->func(g_ptr_array_index(job->matrices, i), job->user_data, &job->problems[i]))
            g_atomic_int_set(&job->failed, 1);
    }
    return NULL;
}

/* They are begun in order, so every one before a failed one was looked at: the first failure is the
 * same whatever the threads. */
static gboolean
first_problem(Job *job, GError **error)
{
    GError *first = NULL;
    for (guint i = 0; i < job->matrices->len; i++) {
        if (first == NULL)
            first = g_steal_pointer(&job->problems[i]);
        g_clear_error(&job->problems[i]);
    }
    if (first != NULL)
        g_propagate_error(error, first);
    return first == NULL;
}

gboolean
pd_ds_model_each_matrix_by(PdDsModel *m, int n_threads, PdDsMatrixFunc func, gpointer user_data,
                           GError **error)
{
    g_autoptr(GPtrArray) matrices = g_ptr_array_new();
    g_autoptr(GPtrArray) threads = g_ptr_array_new();
    (void)pd_ds_model_each_matrix(m, collect, matrices, NULL);
    g_autofree GError **problems = g_new0(GError *, matrices->len);
    Job job = {matrices, func, user_data, problems, 0, 0};
    for (int i = 1; i < n_threads; i++) {
        GThread *thread = g_thread_try_new("matrices", worker, &job, NULL);
        if (thread != NULL) /* else this thread does its share */
            g_ptr_array_add(threads, thread);
    }
    worker(&job);
    for (guint i = 0; i < threads->len; i++)
        g_thread_join(g_ptr_array_index(threads, i));
    return first_problem(&job, error);
}
