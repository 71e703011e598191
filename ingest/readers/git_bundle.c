/*
 * Bundles (gitformat-bundle(5), versions 2 and 3): a head of lines, then a pack.
 *
 * libgit2 cannot read them; we read the head ourselves and give the pack to its indexer, in a bare
 * repository inside a folder that the parent made for us and throws away.
 */
#include "ingest/readers/git.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES_MAX (64u << 20)
#define REFS_MAX 1000000

typedef struct {
    git_oid oid;
    char *name;
} BundleRef;

static void
bundle_ref_free(gpointer data)
{
    BundleRef *ref = data;
    g_free(ref->name);
    g_free(ref);
}

/* Reads byte-wise through a buffer of its own; what follows the head goes to the indexer. */
typedef struct {
    guint8 buffer[65536];
    gsize at;
    gsize n;
    guint64 n_read;
} BundleInput;

static gssize
fill(BundleInput *input)
{
    ssize_t n;
    do
        n = read(PD_READER_INPUT_FD, input->buffer, sizeof input->buffer);
    while (n < 0 && errno == EINTR);
    input->at = 0;
    input->n = n > 0 ? (gsize)n : 0;
    input->n_read += input->n;
    return n;
}

static gboolean
read_line(BundleInput *input, GString *line, const char *name, GError **error)
{
    g_string_truncate(line, 0);
    for (;;) {
        if (input->at == input->n && fill(input) <= 0) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                        "%s is a truncated bundle: its head does not end", name);
            return FALSE;
        }
        char c = (char)input->buffer[input->at++];
        if (c == '\n')
            return TRUE;
        g_string_append_c(line, c);
        if (input->n_read > HEAD_BYTES_MAX) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                        "%s is a damaged bundle: its head is longer than %u bytes", name,
                        HEAD_BYTES_MAX);
            return FALSE;
        }
    }
}

static gboolean
parse_capability(const char *line, const char *name, GError **error)
{
    if (g_str_has_prefix(line, "@object-format=") && strcmp(line, "@object-format=sha1") != 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "%s is a bundle with %s: only SHA-1 repositories can be read", name,
                    line + strlen("@object-format="));
        return FALSE;
    }
    return TRUE; /* @filter: absent objects are reported one by one */
}

static gboolean
parse_head(BundleInput *input, const char *name, GPtrArray *refs, GError **error)
{
    g_autoptr(GString) line = g_string_new(NULL);
    if (!read_line(input, line, name, error))
        return FALSE;
    for (;;) {
        git_oid oid;
        if (!read_line(input, line, name, error))
            return FALSE;
        if (!line->len)
            return TRUE;
        if (line->str[0] == '@') {
            if (!parse_capability(line->str, name, error))
                return FALSE;
            continue;
        }
        if (line->str[0] == '-') {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                        "%s is an incremental bundle: it needs commit %.12s, which it does not "
                        "hold; make a full one with git bundle create FILE --all",
                        name, line->str + 1);
            return FALSE;
        }
        if (line->len < GIT_OID_HEXSZ + 2 || line->str[GIT_OID_HEXSZ] != ' ' ||
            git_oid_fromstrn(&oid, line->str, GIT_OID_HEXSZ) != 0 || refs->len >= REFS_MAX) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                        "%s is a damaged bundle: bad line in its head", name);
            return FALSE;
        }
        BundleRef *ref = g_new0(BundleRef, 1);
        ref->oid = oid;
        ref->name = g_strdup(line->str + GIT_OID_HEXSZ + 1);
        g_ptr_array_add(refs, ref);
    }
}

typedef struct {
    PdEmitter *emitter;
    guint64 last_us;
} Progress;

/* Indexing a large pack takes a while; saying so keeps the parent from taking us for stuck. */
static int
on_progress(const git_indexer_progress *stats, void *user_data)
{
    Progress *progress = user_data;
    guint64 now = (guint64)g_get_monotonic_time();
    if (now - progress->last_us < G_USEC_PER_SEC)
        return 0;
    progress->last_us = now;
    return pd_emit_progress(progress->emitter, stats->indexed_objects, stats->total_objects, NULL)
               ? 0
               : GIT_EUSER;
}

static gboolean
write_pack(git_repository *repository, BundleInput *input, PdEmitter *emitter, const char *name,
           GError **error)
{
    git_odb *odb = NULL;
    git_odb_writepack *pack = NULL;
    git_indexer_progress stats = {0};
    Progress progress = {emitter, 0};
    gboolean ok = git_repository_odb(&odb, repository) == 0 &&
                  git_odb_write_pack(&pack, odb, on_progress, &progress) == 0;
    while (ok) {
        if (input->at < input->n)
            ok = pack->append(pack, input->buffer + input->at, input->n - input->at, &stats) == 0;
        if (ok && fill(input) <= 0)
            break;
    }
    ok = ok && pack->commit(pack, &stats) == 0;
    if (!ok)
        pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
    if (pack)
        pack->free(pack);
    git_odb_free(odb);
    return ok;
}

/* HEAD: the branch whose commit equals the bundle's own HEAD, main and master first; without a HEAD
 * main, master, or the only branch. */
static const char *
choose_head(GPtrArray *refs)
{
    const git_oid *head = NULL;
    const char *best = NULL;
    guint best_rank = G_MAXUINT;
    for (guint i = 0; i < refs->len; i++) {
        const BundleRef *ref = g_ptr_array_index(refs, i);
        if (strcmp(ref->name, "HEAD") == 0)
            head = &ref->oid;
    }
    for (guint i = 0; i < refs->len; i++) {
        const BundleRef *ref = g_ptr_array_index(refs, i);
        if (!g_str_has_prefix(ref->name, "refs/heads/"))
            continue;
        guint rank = strcmp(ref->name, "refs/heads/main") == 0     ? 0
                     : strcmp(ref->name, "refs/heads/master") == 0 ? 1
                                                                   : 2;
        if (head && !git_oid_equal(head, &ref->oid))
            rank += 10;
        if (rank < best_rank) {
            best_rank = rank;
            best = ref->name;
        }
    }
    return head && best_rank >= 10 ? NULL : best;
}

static gboolean
write_refs(git_repository *repository, GPtrArray *refs, const char *name, GError **error)
{
    for (guint i = 0; i < refs->len; i++) {
        const BundleRef *ref = g_ptr_array_index(refs, i);
        git_reference *made = NULL;
        if (!g_str_has_prefix(ref->name, "refs/"))
            continue;
        /* A name that git forbids is left out; its commits stay reachable by id. */
        if (git_reference_create(&made, repository, ref->name, &ref->oid, 1, NULL) == 0)
            git_reference_free(made);
    }
    const char *head = choose_head(refs);
    if (head) {
        if (git_repository_set_head(repository, head) != 0)
            return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
        return TRUE;
    }
    for (guint i = 0; i < refs->len; i++) {
        const BundleRef *ref = g_ptr_array_index(refs, i);
        if (strcmp(ref->name, "HEAD") != 0 && refs->len > 1)
            continue;
        if (git_repository_set_head_detached(repository, &ref->oid) != 0)
            return pd_git_fail(error, PD_INGEST_ERROR_FORMAT, name);
        return TRUE;
    }
    return TRUE;
}

git_repository *
pd_git_open_bundle(const PdWorkerRequest *request, PdEmitter *emitter, GError **error)
{
    g_autoptr(GPtrArray) refs = g_ptr_array_new_with_free_func(bundle_ref_free);
    g_autofree BundleInput *input = g_new0(BundleInput, 1);
    git_repository *repository = NULL;
    if (!parse_head(input, request->name, refs, error))
        return NULL;
    if (git_repository_init(&repository, request->temp_dir, 1) != 0) {
        pd_git_fail(error, PD_INGEST_ERROR_IO, request->name);
        return NULL;
    }
    if (write_pack(repository, input, emitter, request->name, error) &&
        write_refs(repository, refs, request->name, error))
        return repository;
    git_repository_free(repository);
    return NULL;
}
