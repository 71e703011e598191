/*
 * The main function of every reader program: request in, sandbox, run, result out.
 */
#include "ingest/readers/readers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/error.h"

#define REQUEST_FD 0
#define REQUEST_BYTES_MAX (512ull << 20)

GByteArray *
pd_read_input(int fd, guint64 max, const char *name, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        if ((guint64)status.st_size > max) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                        "%s is too large: %" G_GINT64_FORMAT
                        " bytes, the limit is %" G_GUINT64_FORMAT,
                        name, (gint64)status.st_size, max);
            return NULL;
        }
        g_byte_array_set_size(bytes, (guint)status.st_size);
        g_byte_array_set_size(bytes, 0);
    }
    for (;;) {
        guint8 buffer[65536];
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_IO, "cannot read %s: %s", name,
                        g_strerror(errno));
            return NULL;
        }
        if (n == 0)
            return g_steal_pointer(&bytes);
        if (bytes->len + (guint64)n > MIN(max, G_MAXUINT - 1)) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                        "%s is too large: the limit is %" G_GUINT64_FORMAT " bytes", name, max);
            return NULL;
        }
        g_byte_array_append(bytes, buffer, (guint)n);
    }
}

/* Libraries' warnings are about the input, not about us; what matters is said in the ledger. */
static GLogWriterOutput
drop_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
    return G_LOG_WRITER_HANDLED;
}

/* --- what it took ------------------------------------------------------------------------------
 * getrusage's peak of memory begins with that of the process that started us; the kernel's own
 * account of this program (VmHWM) does not, but inside the sandbox it cannot be opened. */

static void
open_status(void)
{
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd == PD_READER_STATUS_FD)
        return;
    if (fd < 0 || dup2(fd, PD_READER_STATUS_FD) < 0)
        close(PD_READER_STATUS_FD); /* it may be something else */
    if (fd >= 0)
        close(fd);
}

static void
measure_usage(PdReaderUsage *usage)
{
    char text[4096];
    struct rusage used;
    ssize_t n = pread(PD_READER_STATUS_FD, text, sizeof text - 1, 0);
    text[MAX(n, 0)] = 0;
    const char *peak = strstr(text, "VmHWM:");
    usage->peak_bytes = peak ? g_ascii_strtoull(peak + strlen("VmHWM:"), NULL, 10) * 1024 : 0;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        usage->cpu_us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * G_USEC_PER_SEC +
                        used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

/* --- the program ------------------------------------------------------------------------------ */

static gboolean
run_in_sandbox(const PdReaderProgram *program, const PdWorkerRequest *request, PdEmitter *emitter,
               GError **error)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    PdSandboxNeeds needs = {.read_paths = paths, .one_document = TRUE};
    if (!g_strv_contains(program->kinds, request->kind)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                    "this program does not read the kind \"%s\"", request->kind);
        return FALSE;
    }
    if (program->prepare && !program->prepare(request, &needs, error))
        return FALSE;
    if (!pd_sandbox_enter(&needs, &request->limits, request->insecure, notes, error))
        return FALSE;
    for (guint i = 0; i < notes->len; i++) {
        if (!pd_emit_ledger(emitter, "note", "", -1, error, "%s",
                            (const char *)g_ptr_array_index(notes, i)))
            return FALSE;
    }
    return program->run(request, emitter, error);
}

int
pd_reader_main(const PdReaderProgram *program)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) bytes = NULL;
    g_autoptr(PdWorkerRequest) request = NULL;
    g_autoptr(GByteArray) frame = g_byte_array_new();
    PdEmitter emitter = {.fd = 1, .limits = &pd_read_limits_default, .frame = frame};
    PdReaderUsage usage = {0};

    g_log_set_writer_func(drop_log, NULL, NULL);
    open_status();
    bytes = pd_read_input(REQUEST_FD, REQUEST_BYTES_MAX, "the request", &error);
    if (bytes)
        request = pd_worker_request_decode(bytes->data, bytes->len, &error);
    g_clear_pointer(&bytes, g_byte_array_unref);
    if (request) {
        emitter.limits = &request->limits;
        run_in_sandbox(program, request, &emitter, &error);
    }
    measure_usage(&usage);
    gboolean sent = pd_emit_result(&emitter, error, &usage, NULL);
    frame = emitter.frame; /* the emitter may have exchanged it */
    return sent ? 0 : 1;
}
