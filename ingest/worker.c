/*
 * Starting a reader process and watching it.
 *
 * The request travels in a memory file, so that neither side can block the other before the first
 * frame.  The only clock that matters is the time without a complete frame: a reader that says
 * nothing for document_seconds_max is killed.  Time that we spend in callbacks does not count.
 */
#include "ingest/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ingest/error.h"

/* So much of what a reader says waits in the pipe: a short document and a half. */
#define PIPE_BYTES (1 << 20)

struct PdWorker {
    GSubprocess *process;
    int output_fd;
    gint64 start_us; /* what starting it took */
};

static char *reader_dir; /* set once, before threads */

void
pd_reader_set_dir(const char *dir)
{
    g_free(reader_dir);
    reader_dir = g_strdup(dir);
}

static const char *
program_of_kind(const char *kind)
{
    static const char *const programs[][2] = {
        {"text", "pandect-read-text"},     {"markdown", "pandect-read-text"},
        {"html", "pandect-read-text"},     {"git", "pandect-read-git"},
        {"pdf", "pandect-read-pdf"},       {"mbox", "pandect-read-mail"},
        {"eml", "pandect-read-mail"},      {"maildir", "pandect-read-mail"},
        {"msg", "pandect-read-mail"},      {"tnef", "pandect-read-mail"},
        {"pst", "pandect-read-mail"},      {"gzip", "pandect-read-packed"},
        {"xz", "pandect-read-packed"},     {"zstd", "pandect-read-packed"},
        {"bzip2", "pandect-read-packed"},  {"zip", "pandect-read-archive"},
        {"tar", "pandect-read-archive"},   {"7z", "pandect-read-archive"},
        {"rtf", "pandect-read-text"},      {"notebook", "pandect-read-text"},
        {"clinical", "pandect-read-text"}, {"calendar", "pandect-read-text"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        if (strcmp(programs[i][0], kind) == 0)
            return programs[i][1];
    }
    return NULL;
}

/* Next to the running program (a moved installation), in the build tree beside it, where they were
 * installed. */
static char *
find_program(const char *kind, GError **error)
{
    const char *program = program_of_kind(kind);
    if (!program) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "there is no reader for \"%s\"", kind);
        return NULL;
    }
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *here = self ? g_path_get_dirname(self) : g_strdup(".");
    const char *const folders[][2] = {
        {reader_dir ? reader_dir : here, ""},
        {here, "../libexec/pandect"},
        {here, "../ingest/readers"},
        {here, "../../ingest/readers"},
        {PD_LIBEXECDIR, ""},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(folders[i][0], folders[i][1], program, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            return g_steal_pointer(&path);
    }
    g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                "the program %s is missing: it belongs into %s", program, PD_LIBEXECDIR);
    return NULL;
}

/* A descriptor from which the request can be read. */
static int
request_file(const PdWorkerRequest *request, GError **error)
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    pd_worker_request_encode(request, frame);
    int fd = memfd_create("pandect-request", MFD_CLOEXEC);
    gsize at = 0;
    while (fd >= 0 && at < frame->len) {
        ssize_t n = write(fd, frame->data + at, frame->len - at);
        if (n < 0 && errno != EINTR)
            break;
        at += (gsize)MAX(n, 0);
    }
    if (fd < 0 || at < frame->len || lseek(fd, 0, SEEK_SET) != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO,
                    "cannot hand over a request to a reader: %s", g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* Start it; *output_fd is ours to close. */
static GSubprocess *
start(const PdWorkerRequest *request, int input_fd, int *output_fd, GError **error)
{
    /* C.UTF-8: names of files and charsets mean the same on every machine. */
    static const char *const environment[] = {"LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin", NULL};
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autofree char *program = find_program(request->kind, error);
    int ends[2];
    if (!program)
        return NULL;
    int request_fd = request_file(request, error);
    if (request_fd < 0)
        return NULL;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "cannot make a pipe: %s",
                    g_strerror(errno));
        close(request_fd);
        return NULL;
    }
    fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* refused: it waits a little more */
    g_subprocess_launcher_set_environ(launcher, (char **)environment);
    g_subprocess_launcher_take_stdin_fd(launcher, request_fd);
    g_subprocess_launcher_take_stdout_fd(launcher, ends[1]);
    if (input_fd >= 0) {
        lseek(input_fd, 0, SEEK_SET);
        g_subprocess_launcher_take_fd(launcher, fcntl(input_fd, F_DUPFD_CLOEXEC, 4), 3);
    }
    GSubprocess *process = g_subprocess_launcher_spawn(launcher, error, program, NULL);
    if (!process) {
        close(ends[0]);
        return NULL;
    }
    *output_fd = ends[0];
    return process;
}

PdWorker *
pd_worker_start(const PdWorkerRequest *request, int input_fd, GError **error)
{
    gint64 start_us = g_get_monotonic_time();
    int output_fd;
    GSubprocess *process = start(request, input_fd, &output_fd, error);
    if (!process)
        return NULL;
    PdWorker *worker = g_new0(PdWorker, 1);
    worker->process = process;
    worker->output_fd = output_fd;
    worker->start_us = g_get_monotonic_time() - start_us;
    return worker;
}

/* After this it has ended. */
static void
stop(PdWorker *worker, gboolean force)
{
    if (worker->output_fd < 0)
        return;
    if (force)
        g_subprocess_force_exit(worker->process);
    close(worker->output_fd);
    worker->output_fd = -1;
    g_subprocess_wait(worker->process, NULL, NULL);
}

void
pd_worker_free(PdWorker *worker)
{
    if (!worker)
        return;
    stop(worker, TRUE);
    g_object_unref(worker->process);
    g_free(worker);
}

typedef enum { PUMP_END, PUMP_STOPPED, PUMP_SILENT, PUMP_CANCELLED } PumpOutcome;

/* Frames into the assembler until the pipe ends or there is a reason to stop. */
static PumpOutcome
pump(int fd, PdAssembler *assembler, guint seconds_max, gint64 *wait_us, GCancellable *cancellable,
     GError **error)
{
    enum { BUFFER_BYTES = 1 << 18 };
    g_autofree guint8 *buffer = g_malloc(BUFFER_BYTES);
    struct pollfd polled[2] = {{fd, POLLIN, 0}, {g_cancellable_get_fd(cancellable), POLLIN, 0}};
    gint64 last_us = g_get_monotonic_time();
    PumpOutcome outcome = PUMP_END;
    for (;;) {
        gint64 now_us = g_get_monotonic_time();
        gint64 left_us = last_us + (gint64)seconds_max * G_USEC_PER_SEC - now_us;
        if (left_us <= 0) {
            outcome = PUMP_SILENT;
            break;
        }
        int n_ready = poll(polled, polled[1].fd >= 0 ? 2 : 1, (int)MIN(left_us / 1000 + 1, 60000));
        if (g_cancellable_is_cancelled(cancellable)) {
            outcome = PUMP_CANCELLED;
            break;
        }
        if (n_ready <= 0)
            continue;
        ssize_t n = read(fd, buffer, BUFFER_BYTES);
        *wait_us += g_get_monotonic_time() - now_us;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        guint n_frames;
        if (!pd_assembler_feed(assembler, buffer, (gsize)n, &n_frames, error)) {
            outcome = PUMP_STOPPED;
            break;
        }
        if (n_frames)
            last_us = g_get_monotonic_time();
    }
    if (polled[1].fd >= 0)
        g_cancellable_release_fd(cancellable);
    return outcome;
}

static void
describe_death(GSubprocess *process, const PdReadLimits *limits, GError **error)
{
    int signal_number =
        g_subprocess_get_if_signaled(process) ? g_subprocess_get_term_sig(process) : 0;
    if (signal_number == SIGXCPU || signal_number == SIGKILL)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "the reader process hit the time limit of %u s", limits->document_seconds_max);
    else if (signal_number == SIGABRT || signal_number == SIGTRAP)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "the reader process gave up, at the memory limit of %" G_GUINT64_FORMAT
                    " MiB or over damaged input (%s)",
                    limits->worker_bytes_max >> 20, g_strsignal(signal_number));
    else if (signal_number)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                    "damaged input crashed the reader process (%s)", g_strsignal(signal_number));
    else
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                    "the reader process ended early (exit status %d)",
                    g_subprocess_get_if_exited(process) ? g_subprocess_get_exit_status(process)
                                                        : -1);
}

gboolean
pd_worker_finish(PdWorker *worker, const PdWorkerRequest *request, const PdAssemblerSink *sink,
                 gboolean *crashed, PdDocument **unfinished, PdReaderUsage *usage,
                 GCancellable *cancellable, GError **error)
{
    g_autoptr(PdAssembler) assembler = pd_assembler_new(&request->limits, sink);
    g_autoptr(GError) stopped = NULL;
    *crashed = FALSE;
    *unfinished = NULL;
    *usage = (PdReaderUsage){.wait_us = worker->start_us};
    PumpOutcome outcome = pump(worker->output_fd, assembler, request->limits.document_seconds_max,
                               &usage->wait_us, cancellable, &stopped);
    gint64 end_us = g_get_monotonic_time();
    stop(worker, outcome != PUMP_END);
    usage->wait_us += g_get_monotonic_time() - end_us;

    GError *reported = NULL;
    if (outcome == PUMP_CANCELLED) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    if (outcome == PUMP_END && pd_assembler_done(assembler, usage, &reported)) {
        if (reported)
            g_propagate_error(error, reported);
        return reported == NULL;
    }
    *unfinished = pd_assembler_take_unfinished(assembler);
    *crashed = TRUE;
    if (outcome == PUMP_STOPPED) {
        *crashed = g_error_matches(stopped, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER);
        g_propagate_error(error, g_steal_pointer(&stopped));
    } else if (outcome == PUMP_SILENT) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "the reader process was stuck for %u s and was stopped",
                    request->limits.document_seconds_max);
    } else {
        describe_death(worker->process, &request->limits, error);
    }
    return FALSE;
}
