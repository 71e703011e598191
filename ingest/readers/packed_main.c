/*
 * pandect-read-packed: a compressed file (gzip, xz, zstd, bzip2) gives what it holds, which the
 * parent hands to the reader of its kind.  Limits are watched while it grows: a file that is over
 * one is taken back whole, one that is damaged or cut short is given as far as it is good.
 */
#include "ingest/readers/readers.h"

#include <sys/stat.h>

#include "ingest/error.h"
#include "ingest/readers/sniff.h"
#include "ingest/readers/unpack.h"

typedef struct {
    const PdWorkerRequest *request;
    PdEmitter *emitter;
    guint64 n_in; /* the file's size */
    guint64 n_out;
    guint64 out_max;
} Job;

static gboolean
on_bytes(const guint8 *bytes, gsize n, gpointer user_data, GError **error)
{
    Job *job = user_data;
    guint ratio = job->request->limits.unpack_ratio_max;
    if (!job->n_out) {
        g_autofree char *name = pd_unpacked_name(job->request->name);
        job->out_max = pd_unpacked_bytes_max(&job->request->limits, bytes, n, name);
    }
    job->n_out += n;
    if (job->n_out > job->out_max) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "%s is not read: it unpacks to more than the limit of %" G_GUINT64_FORMAT
                    " bytes",
                    job->request->name, job->out_max);
        return FALSE;
    }
    if (job->n_out > PD_UNPACK_FREE_BYTES + job->n_in * ratio) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "%s is not read: its %" G_GUINT64_FORMAT " bytes unpack to more than %u times "
                    "as many, the limit of the ratio",
                    job->request->name, job->n_in, ratio);
        return FALSE;
    }
    return pd_emit_attachment_data(job->emitter, bytes, n, error);
}

/* The parent watches the time between frames. */
static gboolean
prepare(const PdWorkerRequest *request, PdSandboxNeeds *needs, GError **error)
{
    needs->one_document = FALSE;
    return TRUE;
}

static gboolean
run(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    struct stat status;
    g_autofree char *damage = NULL;
    Job job = {.request = request, .emitter = emitter};
    if (fstat(PD_READER_INPUT_FD, &status) == 0 && status.st_size > 0)
        job.n_in = (guint64)status.st_size;
    if (!pd_emit_attachment_head(emitter, NULL, NULL, error) ||
        !pd_unpack(request->kind, PD_READER_INPUT_FD, on_bytes, &job, &damage, error))
        return FALSE;
    if (damage && !job.n_out) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "%s cannot be unpacked (%s): %s", request->name, request->kind, damage);
        return FALSE;
    }
    if (damage && !pd_emit_ledger(emitter, "partial", "", (gint64)job.n_in, error,
                                  "damaged (%s: %s): the first %" G_GUINT64_FORMAT
                                  " bytes of what it holds were read",
                                  request->kind, damage, job.n_out))
        return FALSE;
    return pd_emit_attachment_end(emitter, error);
}

int
main(void)
{
    static const char *const kinds[] = {"gzip", "xz", "zstd", "bzip2", NULL};
    const PdReaderProgram program = {kinds, prepare, run};
    return pd_reader_main(&program);
}
