/*
 * An archive's members, each as a file of its own that the parent hands to the reader of its kind.
 *
 * Nothing is lost without a word: a member is sent, or a ledger line says why not.  Limits are
 * watched while bytes come out, since sizes that an archive declares may be lies; a member that
 * goes over one is taken back, and the others are read all the same.
 */
#include "ingest/readers/members.h"

#include <sys/stat.h>

#include "ingest/error.h"
#include "ingest/readers/container.h"
#include "ingest/readers/sniff.h"

typedef struct {
    const PdReadLimits *limits;
    PdEmitter *emitter;
    guint64 n_in;   /* the archive's size */
    guint64 n_kept; /* bytes of the members sent */
    guint64 n_out;  /* bytes that came out, those taken back too */
    /* the member under way */
    const PdMember *member;
    guint64 n_bytes;
    guint64 n_max;
    char *over; /* the limit that it hit */
} Job;

/* NULL, or the limit that `n` bytes of one member are over; g_free. */
static char *
limit_hit(const Job *job, guint64 n, guint64 n_max)
{
    guint ratio = job->limits->unpack_ratio_max;
    if (n > n_max)
        return g_strdup_printf(
            "not read: it unpacks to more than the limit of %" G_GUINT64_FORMAT " bytes", n_max);
    if (job->n_kept + n > PD_UNPACK_FREE_BYTES + job->n_in * ratio)
        return g_strdup_printf("not read: with it the archive's %" G_GUINT64_FORMAT
                               " bytes unpack to more than %u times as many, the limit of the "
                               "ratio",
                               job->n_in, ratio);
    return NULL;
}

static gboolean
on_bytes(const guint8 *bytes, gsize n, gpointer user_data, GError **error)
{
    Job *job = user_data;
    if (!job->n_bytes)
        job->n_max = pd_unpacked_bytes_max(job->limits, bytes, n, job->member->path);
    job->n_bytes += n;
    job->n_out += n;
    job->over = limit_hit(job, job->n_bytes, job->n_max);
    return !job->over && pd_emit_attachment_data(job->emitter, bytes, n, error);
}

static gboolean
send_file(Job *job, PdContainer *container, GError **error)
{
    const PdMember *member = job->member;
    g_autofree char *damage = NULL;
    job->n_bytes = 0;
    if (!pd_emit_attachment_head(job->emitter, member->path, NULL, error))
        return FALSE;
    if (!pd_container_read(container, on_bytes, job, &damage, error)) {
        g_autofree char *over = g_steal_pointer(&job->over);
        return over && pd_emit_attachment_drop(job->emitter, error) &&
               pd_emit_ledger(job->emitter, "skipped", member->path, member->n_bytes, error, "%s",
                              over);
    }
    if (damage && !job->n_bytes)
        return pd_emit_attachment_drop(job->emitter, error) &&
               pd_emit_ledger(job->emitter, "failed", member->path, member->n_bytes, error,
                              "cannot be unpacked: %s", damage);
    job->n_kept += job->n_bytes;
    if (damage &&
        !pd_emit_ledger(job->emitter, "partial", member->path, member->n_bytes, error,
                        "damaged (%s): the first %" G_GUINT64_FORMAT " bytes of it were read",
                        damage, job->n_bytes))
        return FALSE;
    return pd_emit_attachment_end(job->emitter, error);
}

/* Why a member is not even begun; NULL: it is read.  Free with g_free. */
static char *
why_not(const Job *job)
{
    const PdMember *member = job->member;
    switch (member->type) {
    case PD_MEMBER_LINK:
        return g_strdup_printf("symbolic link to %s, not followed", member->target);
    case PD_MEMBER_HARD_LINK:
        return g_strdup_printf("hard link to %s, which is read under that name if it is in the "
                               "archive",
                               member->target);
    case PD_MEMBER_OTHER:
        return g_strdup("neither a file nor a folder (a device, pipe or socket)");
    case PD_MEMBER_FILE:
    case PD_MEMBER_FOLDER:
        break;
    }
    if (member->encrypted)
        return g_strdup("encrypted: unpack it with its password and add what it holds");
    return member->n_bytes < 0
               ? NULL
               : limit_hit(job, (guint64)member->n_bytes, job->limits->unpacked_bytes_max);
}

static gboolean
read_member(Job *job, PdContainer *container, GError **error)
{
    const PdMember *member = job->member;
    g_autofree char *why = why_not(job);
    if (why)
        return pd_emit_ledger(job->emitter, "skipped", member->path, member->n_bytes, error, "%s",
                              why);
    if (member->outside &&
        !pd_emit_ledger(job->emitter, "note", member->path, member->n_bytes, error,
                        "its path in the archive leads out of it: %s", member->outside))
        return FALSE;
    return send_file(job, container, error);
}

/* TRUE: the rest of the archive is not worth its time; *why says which limit. */
static gboolean
is_enough(const Job *job, guint64 n_members, char **why)
{
    if (n_members > job->limits->archive_entries_max)
        *why = g_strdup_printf("more than the limit of %u files in an archive: the rest was not "
                               "read",
                               job->limits->archive_entries_max);
    else if (job->n_out > job->limits->unpacked_bytes_max)
        *why = g_strdup_printf("more than the limit of %" G_GUINT64_FORMAT
                               " bytes came out of it: the rest was not read",
                               job->limits->unpacked_bytes_max);
    return *why != NULL;
}

static Job
job_new(const PdWorkerRequest *request, PdEmitter *emitter)
{
    struct stat status;
    Job job = {.limits = &request->limits, .emitter = emitter};
    if (fstat(PD_READER_INPUT_FD, &status) == 0 && status.st_size > 0)
        job.n_in = (guint64)status.st_size;
    return job;
}

gboolean
pd_members_emit_some(const PdWorkerRequest *request, gboolean (*is_wanted)(const char *path),
                     PdEmitter *emitter, GError **error)
{
    g_autoptr(PdContainer) container = pd_container_open(request->kind, PD_READER_INPUT_FD);
    g_autofree char *damage = NULL;
    Job job = job_new(request, emitter);
    while (pd_container_next(container, &job.member, &damage)) {
        if (is_wanted(job.member->path) && !read_member(&job, container, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
pd_members_emit(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    g_autoptr(PdContainer) container = pd_container_open(request->kind, PD_READER_INPUT_FD);
    g_autofree char *damage = NULL;
    g_autofree char *why = NULL;
    Job job = job_new(request, emitter);
    guint64 n_members = 0;
    while (pd_container_next(container, &job.member, &damage)) {
        if (is_enough(&job, ++n_members, &why))
            return pd_emit_ledger(emitter, "partial", "", (gint64)job.n_in, error, "%s", why);
        if (n_members - 1 < request->resume_item || job.member->type == PD_MEMBER_FOLDER)
            continue;
        if (!pd_emit_begin(emitter, n_members - 1, 0, job.member->path, error) ||
            !read_member(&job, container, error) ||
            !pd_emit_progress(emitter, pd_container_position(container), job.n_in, error))
            return FALSE;
    }
    if (damage && !n_members) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                    "%s cannot be read as an archive (%s): %s", request->name, request->kind,
                    damage);
        return FALSE;
    }
    return !damage || pd_emit_ledger(emitter, "partial", "", (gint64)job.n_in, error,
                                     "damaged (%s) after %" G_GUINT64_FORMAT
                                     " files: what follows was not read",
                                     damage, n_members);
}
