/*
 * How long it takes to open a corpus and be ready to sweep it: the corpus, the model, the context
 * (segments and their headers), and which records are kept.  With --cold the pages of the corpus
 * are first dropped from the cache of the system (written back before, so that they can be), and
 * every record is read once, with the rate of plain reading of the same bytes for comparison.
 *
 * usage: open_corpus [--cold] CORPUS MODEL
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "prompts/context.h"
#include "prompts/warm.h"

static double
seconds_since(gint64 start)
{
    return (g_get_monotonic_time() - start) / 1e6;
}

static gboolean
fail(const GError *error)
{
    fprintf(stderr, "open_corpus: %s\n", error->message);
    return FALSE;
}

/* corpus.db with its log, and the packs. */
static GPtrArray *
list_files(const char *corpus_dir)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    const char *const folders[] = {corpus_dir, "kv"};

    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *folder =
            i == 0 ? g_strdup(corpus_dir) : g_build_filename(corpus_dir, folders[i], NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
            g_autofree char *path = g_build_filename(folder, name, NULL);
            if (g_file_test(path, G_FILE_TEST_IS_REGULAR) && !g_str_has_suffix(name, "-shm"))
                g_ptr_array_add(paths, g_steal_pointer(&path));
        }
    }
    return paths;
}

static void
drop_pages(GPtrArray *paths)
{
    for (guint i = 0; i < paths->len; i++) {
        int fd = open(g_ptr_array_index(paths, i), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        fdatasync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

/* Read every byte; returns how many. */
static guint64
read_plainly(GPtrArray *paths)
{
    g_autofree char *buffer = g_malloc(4 << 20);
    guint64 total = 0;

    for (guint i = 0; i < paths->len; i++) {
        int fd = open(g_ptr_array_index(paths, i), O_RDONLY | O_CLOEXEC);
        ssize_t n;
        while (fd >= 0 && (n = read(fd, buffer, 4 << 20)) > 0)
            total += (guint64)n;
        if (fd >= 0)
            close(fd);
    }
    return total;
}

/* Every record once, as the first sweep does: mapped, with its checksum. */
static gboolean
read_records(PdContext *context, PdKvStats *stats, GError **error)
{
    return pd_kv_store_verify(context->store, FALSE, stats, NULL, error);
}

static gboolean
measure(const char *dir, const char *model_path, gboolean cold)
{
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {0};
    PdKvStats stats = {0};
    guint64 n_warm;
    gint64 start = g_get_monotonic_time(), begin;
    struct rusage usage;

    g_autoptr(PdModel) model = pd_model_open(model_path, &options, &error);
    if (!model)
        return fail(error);
    printf("model                %8.3f s\n", seconds_since(start));
    begin = start = g_get_monotonic_time();
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_READ, &error);
    if (!corpus)
        return fail(error);
    printf("corpus               %8.3f s\n", seconds_since(start));
    start = g_get_monotonic_time();
    g_autoptr(PdContext) context = pd_context_new(corpus, model, PD_READ_SWEPT, NULL, &error);
    if (!context)
        return fail(error);
    printf("context              %8.3f s   %u segments, %" G_GUINT64_FORMAT " tokens\n",
           seconds_since(start), context->segments->len, context->n_tokens);
    if (!pd_model_id(model, NULL, &error)) /* cached after its first use on a machine */
        return fail(error);
    start = g_get_monotonic_time();
    if (!pd_context_count_warm(context, &n_warm, NULL, &error))
        return fail(error);
    printf("keys and rows        %8.3f s   %" G_GUINT64_FORMAT " tokens have their record\n",
           seconds_since(start), n_warm);
    printf("ready to sweep       %8.3f s\n", seconds_since(begin));
    if (cold) {
        start = g_get_monotonic_time();
        if (!read_records(context, &stats, &error))
            return fail(error);
        printf("records, each once   %8.3f s   %.1f MB\n", seconds_since(start),
               stats.n_bytes / 1e6);
        printf("opened and read      %8.3f s\n", seconds_since(begin));
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("largest in memory    %8.1f MB  (weights included)\n", usage.ru_maxrss / 1e3);
    return TRUE;
}

int
main(int argc, char **argv)
{
    gboolean cold = argc > 1 && strcmp(argv[1], "--cold") == 0;

    if (argc - cold != 3) {
        fprintf(stderr, "usage: open_corpus [--cold] CORPUS MODEL\n");
        return 2;
    }
    if (cold) {
        g_autoptr(GPtrArray) paths = list_files(argv[2]);
        guint64 n_bytes;
        gint64 start;
        double seconds;

        drop_pages(paths);
        start = g_get_monotonic_time();
        n_bytes = read_plainly(paths);
        seconds = seconds_since(start);
        printf("plain reading        %8.3f s   %.1f MB, %.0f MB/s\n", seconds, n_bytes / 1e6,
               n_bytes / 1e6 / seconds);
        drop_pages(paths);
    }
    return measure(argv[1 + cold], argv[2 + cold], cold) ? 0 : 1;
}
