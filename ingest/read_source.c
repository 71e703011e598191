/*
 * Reading one source: starts readers, walks folders, hands attachments to the reader of their kind.
 * Small text files of a folder or archive go to one reader process together (starting one takes
 * longer than reading them); one that kills it costs itself alone, the rest is read by another.
 * Other files of a folder have a reader each, which is started while the one before is at work.
 *
 * Keys are made here, so that they are unique within the source: "folder/file", "folder/box!/id",
 * "id!/attachment", "archive!/folder/file"; what a compressed file holds has the key of the file.
 * Inside a source nothing is fatal: what cannot be read becomes a ledger line and the next file
 * follows.  Only the sink, the user, or the failure of the source itself stop it.  Whatever is
 * found has one outcome (item.h).
 */
#include "ingest/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/remove_tree.h"
#include "ingest/error.h"
#include "ingest/item.h"
#include "ingest/pathspec.h"
#include "ingest/readers/sniff.h"
#include "ingest/sha256.h"
#include "ingest/spool.h"

/* Text files of at most so many bytes wait for each other, up to so many. */
#define SMALL_FILE_BYTES (512u << 10)
#define BATCH_FILES 256
#define BATCH_BYTES (4u << 20)
#define SENT_BYTES 16 /* of a digest: nobody finds two of one (2^64 tries) */

/* Small files of a folder or archive that wait to be read together. */
typedef struct {
    GPtrArray *files;  /* PdWorkerFile */
    GByteArray *bytes; /* of all of them */
    char *parent_key;  /* of all of them; NULL: none */
} Batch;

typedef struct {
    const PdReadRequest *request;
    const PdReadLimits *limits;
    const PdReadSink *sink;
    GCancellable *cancellable;
    PdPathspec *pathspec; /* of the source's files */
    const char *revision; /* of the file of a repository that is read, with all that lies in it */
    guint64 n_unwanted;   /* files of folders */
    GHashTable *keys;     /* set of Sent: the documents sent so far */
    gboolean stop;        /* the sink or the user said so: the error is not to be caught */
    guint64 n_done;       /* files of a folder */
    /* of the compressed file that is being read, with all that lies in it */
    gboolean in_packed;
    guint64 n_unpacked_bytes;
    guint n_unpacked_files;
    Batch batch;
    struct Ahead *ahead; /* comes before the batch; NULL: none */
} Reading;

/* One run of one reader. */
typedef struct {
    Reading *reading;
    const char *kind;
    const char *name;
    const char *prefix;     /* of keys; "" for a source that is one file */
    const char *parent_key; /* attachments: their message */
    guint depth;
    PdItem item;    /* until the reader begins one: the whole input */
    guint n_begun;  /* items, in all processes of this run */
    guint n_files;  /* of a batch: each is an item, in order; 0 elsewhere */
    guint64 number; /* of what the reader began last */
    guint64 offset;
    gboolean began; /* something, in this process */
} Run;

/* A file of a folder whose reader was started while the one before it was still at work: with two
 * processors the next document is read while this one is tokenized. */
typedef struct Ahead {
    Run run;
    PdWorkerRequest *request;
    PdWorker *worker; /* NULL: `problem` */
    GError *problem;
    char *key;
    int fd;
} Ahead;

static gboolean finish_ahead(Reading *reading, GError **error);
static gboolean read_batch(Reading *reading, GError **error);
static gboolean add_to_batch(Reading *reading, const char *kind, const char *key,
                             const char *parent_key, int fd, gboolean *waits, GError **error);
static gboolean read_one(Reading *reading, const char *kind, const char *name, const char *prefix,
                         const char *parent_key, const char *path, int fd, guint depth,
                         GError **error);

static char *
join_key(const char *prefix, const char *key)
{
    if (!*prefix || !*key)
        return g_strdup(*prefix ? prefix : key);
    return g_strconcat(prefix, "!/", key, NULL);
}

static gboolean
say(Reading *reading, const char *level, const char *key, const char *reason, gint64 n_bytes,
    GError **error)
{
    const PdLedgerLine line = {level, key, reason, n_bytes};
    return finish_ahead(reading, error) &&
           pd_ledger_say(reading->sink, &reading->stop, &line, error);
}

/* Is this a problem of what is read, and not of the sink or the user's wish? */
static gboolean
may_go_on(const Reading *reading, const GError *problem)
{
    return !reading->stop && !g_error_matches(problem, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED);
}

/* A failure inside the source becomes a ledger line; FALSE if it must stop everything. */
static gboolean
catch_error(Reading *reading, const char *key, GError *problem, GError **error)
{
    if (!may_go_on(reading, problem)) {
        reading->stop = TRUE;
        g_propagate_error(error, problem);
        return FALSE;
    }
    gboolean ok = say(reading, pd_ingest_error_level(problem), key, problem->message, -1, error);
    g_error_free(problem);
    return ok;
}

/* --- what comes out of a reader --------------------------------------------------------------- */

/* The item under way ends: it must have an outcome by now.  `why`: what ended it, or NULL. */
static gboolean
end_item(Run *run, const char *why, GError **error)
{
    /* Remarks on a file that waits in the batch come after its document. */
    if (pd_is_archive(run->kind) && run->item.held->len && !read_batch(run->reading, error))
        return FALSE;
    return pd_item_end(&run->item, run->n_begun ? "failed" : NULL,
                       why ? why : "its reader gave neither a text nor a reason", error);
}

static gboolean
on_begin(guint64 number, guint64 offset, const char *key, gpointer user_data, GError **error)
{
    Run *run = user_data;
    if (run->n_files && number != run->n_begun) {
        g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                            "the reader process broke the protocol: a file out of order");
        return FALSE;
    }
    run->number = number;
    run->offset = offset;
    run->began = TRUE;
    g_autofree char *whole_key = join_key(run->prefix, key);
    if (!end_item(run, NULL, error))
        return FALSE;
    pd_item_begin(&run->item, whole_key);
    run->n_begun++;
    return TRUE;
}

/* A document that was sent: enough of the SHA-256 of its key and of its bytes.  An archive may hold
 * a million mails. */
typedef struct {
    guint8 key_digest[SENT_BYTES];
    guint8 raw_sha256[SENT_BYTES];
} Sent;

static Sent *
sent_new(const PdDocument *document)
{
    Sent *sent = g_new(Sent, 1);
    guint8 digest[PD_SHA256_BYTES];
    pd_sha256(document->key, strlen(document->key), digest);
    memcpy(sent->key_digest, digest, SENT_BYTES);
    memcpy(sent->raw_sha256, document->raw_sha256, SENT_BYTES);
    return sent;
}

static guint
sent_hash(gconstpointer sent)
{
    guint hash;
    memcpy(&hash, ((const Sent *)sent)->key_digest, sizeof hash);
    return hash;
}

static gboolean
sent_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(((const Sent *)a)->key_digest, ((const Sent *)b)->key_digest, SENT_BYTES) == 0;
}

/* Give the document a key of its own; FALSE: it is the same message again. */
static gboolean
claim_key(Reading *reading, PdDocument *document, gboolean *clash)
{
    g_autofree Sent *sent = sent_new(document);
    const Sent *before = g_hash_table_lookup(reading->keys, sent);
    *clash = before != NULL;
    if (before && document->raw_bytes &&
        memcmp(before->raw_sha256, sent->raw_sha256, sizeof sent->raw_sha256) == 0)
        return FALSE;
    g_autofree char *base = g_strdup(document->key);
    for (guint i = 2; g_hash_table_contains(reading->keys, sent); i++) {
        g_free(document->key);
        document->key = g_strdup_printf("%s~%u", base, i);
        g_free(sent);
        sent = sent_new(document);
    }
    g_hash_table_add(reading->keys, g_steal_pointer(&sent));
    return TRUE;
}

static gboolean
on_document(PdDocument *document, gpointer user_data, GError **error)
{
    Run *run = user_data;
    Reading *reading = run->reading;
    g_autoptr(PdDocument) owned = document;
    g_autofree char *bare_key = document->key;
    g_autofree char *given_key = join_key(run->prefix, bare_key);
    gint64 n_bytes = document->raw_bytes;
    gboolean clash;
    document->key = g_strdup(given_key);
    g_free(document->parent_key);
    document->parent_key = g_strdup(run->parent_key);
    if (!document->revision)
        document->revision = g_strdup(reading->revision);
    if (!claim_key(reading, document, &clash))
        return pd_item_duplicate(&run->item, given_key, n_bytes,
                                 "the same message again: read once", error);
    if (!pd_item_document(&run->item, g_steal_pointer(&owned), given_key, error))
        return FALSE;
    if (!clash)
        return TRUE;
    g_autofree char *reason =
        g_strdup_printf("duplicate: another document has the key %s; both are kept", bare_key);
    const PdLedgerLine line = {"note", given_key, reason, n_bytes};
    return pd_item_line(&run->item, &line, error);
}

static gboolean
on_ledger(const PdLedgerLine *line, gpointer user_data, GError **error)
{
    Run *run = user_data;
    g_autofree char *key = join_key(run->prefix, line->key);
    const PdLedgerLine whole = {line->level, key, line->reason, line->n_bytes};
    return pd_item_line(&run->item, &whole, error);
}

static void
on_progress(guint64 done, guint64 total, gpointer user_data)
{
    Run *run = user_data;
    const PdReadSink *sink = run->reading->sink;
    /* In a folder the files are what is counted. */
    if (sink->progress && !*run->prefix)
        sink->progress(done, total, sink->user_data);
}

/* Key and parent of what came out of a run's input. */
static void
name_attachment(const Run *run, const char *name, char **key, char **parent_key)
{
    if (!name) { /* what the file holds takes its place */
        *key = g_strdup(run->prefix);
        *parent_key = g_strdup(run->parent_key);
        return;
    }
    const PdItem *item = &run->item;
    const char *above = item->document_key ? item->document_key : item->given_key;
    *parent_key = g_strdup(above ? above : run->parent_key);
    *key = join_key(above ? above : run->prefix, name);
}

/* What came out of a compressed file or archive counts against its limits, however deep it lay. */
static const char *
count_unpacked(Reading *reading, const Run *run, guint64 n_bytes)
{
    if (!pd_is_packed(run->kind))
        return NULL;
    reading->n_unpacked_bytes += n_bytes;
    reading->n_unpacked_files++;
    if (reading->n_unpacked_bytes > reading->limits->unpacked_bytes_max)
        return "not read: all that came out of this compressed file or archive is over the limit "
               "of bytes";
    if (reading->n_unpacked_files > reading->limits->archive_entries_max)
        return "not read: more files came out of this compressed file or archive than the limit "
               "allows";
    return NULL;
}

/* Read what came out of a run's input, or put it into the batch. */
static gboolean
read_inner(Run *run, const char *kind, const char *name, const char *key, const char *parent_key,
           int fd, GError **error)
{
    Reading *reading = run->reading;
    gboolean waits = FALSE;
    /* Files of an archive come in order; those of mails follow their mail at once. */
    if (pd_is_archive(run->kind) &&
        (!add_to_batch(reading, kind, key, parent_key, fd, &waits, error) ||
         (!waits && !read_batch(reading, error))))
        return FALSE;
    return waits || read_one(reading, kind, name, key, parent_key, NULL, fd, run->depth + 1, error);
}

static gboolean
on_attachment(const char *name, const char *media_type, const char *revision, int fd,
              guint64 n_bytes, gpointer user_data, GError **error)
{
    Run *run = user_data;
    Reading *reading = run->reading;
    GError *problem = NULL;
    g_autofree char *key = NULL;
    g_autofree char *parent_key = NULL;
    name_attachment(run, name, &key, &parent_key);
    pd_item_hand_over(&run->item);
    if (run->item.has_document && !run->item.document_key)
        return say(reading, "duplicate", key, "came with a message that was read before",
                   (gint64)n_bytes, error);
    const char *over = count_unpacked(reading, run, n_bytes);
    if (over)
        return say(reading, "skipped", key, over, (gint64)n_bytes, error);
    if (run->depth >= reading->limits->depth_max) {
        g_autofree char *reason = g_strdup_printf("%s deeper than the limit of %u",
                                                  !name                      ? "compressed file"
                                                  : pd_is_archive(run->kind) ? "file in an archive"
                                                                             : "attachment",
                                                  reading->limits->depth_max);
        return say(reading, "skipped", key, reason, (gint64)n_bytes, error);
    }
    g_autofree char *unpacked_name = pd_unpacked_name(run->name);
    const char *shown = !name ? run->name : pd_is_archive(run->kind) ? key : name;
    const char *kind = pd_detect_fd(fd, name ? shown : unpacked_name, &problem);
    if (media_type && strcmp(media_type, "message/rfc822") == 0) {
        g_clear_error(&problem);
        kind = "eml";
    }
    const char *outer = reading->revision;
    if (revision)
        reading->revision = revision;
    if (kind)
        read_inner(run, kind, shown, key, parent_key, fd, &problem);
    reading->revision = outer;
    return !problem || catch_error(reading, key, problem, error);
}

/* --- one file --------------------------------------------------------------------------------- */

/* The reader died.  Keep the document that was under way, say so, and decide whether to go on with
 * the next item of the stream. */
static gboolean
after_crash(Run *run, PdDocument *unfinished, GError *problem, gboolean *again, GError **error)
{
    PdItem *item = &run->item;
    /* Its text is out: what is attached comes after the check. */
    *again = run->began || (unfinished && unfinished->whole);
    if (!run->began && !unfinished && !item->settled) {
        if (end_item(run, problem->message, error))
            g_propagate_error(error, problem);
        else
            g_error_free(problem);
        return FALSE;
    }
    g_autofree char *reason = NULL;
    PdLedgerLine line = {"failed", item->key ? item->key : run->prefix, problem->message, -1};
    if (unfinished) {
        const PdPart *last = g_ptr_array_index(unfinished->parts, unfinished->parts->len - 1);
        gboolean whole = unfinished->whole;
        reason =
            whole ? g_strdup_printf("not wholly checked for hidden text: %s", line.reason)
                  : g_strdup_printf("incomplete: read up to %s, then %s", last->path, line.reason);
        line.level = whole ? "note" : "partial";
        line.reason = reason;
    }
    gboolean ok = !unfinished || on_document(unfinished, run, error);
    if (item->given_key)
        line.key = item->given_key;
    ok = ok && pd_item_line(item, &line, error);
    g_error_free(problem);
    return ok;
}

/* The reader has ended; `problem`: why it could not read on, or NULL.  Was all accounted for? */
static gboolean
end_run(Run *run, const GError *problem, GError **error)
{
    if (!end_item(run, problem ? problem->message : NULL, error))
        return FALSE;
    /* A problem with the whole input is told by who handed it over. */
    if (problem || run->n_begun || run->item.n_outcomes || run->n_files)
        return TRUE;
    static const char *const holders[] = {"mbox", "maildir", "pst", "git", NULL};
    gboolean may_be_empty = g_strv_contains(holders, run->kind) || pd_is_packed(run->kind);
    return say(run->reading, may_be_empty ? "skipped" : "failed", run->prefix,
               may_be_empty ? "nothing to read in it"
                            : "its reader gave neither a text nor a reason",
               -1, error);
}

/* The reader could not read on.  If what its input is has an outcome already, that is a remark on
 * it; else the input has failed. */
static gboolean
after_error(Run *run, GError *problem, GError **error)
{
    PdItem *item = &run->item;
    gboolean ok = TRUE;
    if (may_go_on(run->reading, problem) && !run->n_begun && item->settled) {
        const PdLedgerLine line = {"failed", item->key, problem->message, -1};
        ok = pd_item_line(item, &line, error) && end_run(run, NULL, error);
        g_error_free(problem);
        return ok;
    }
    if (may_go_on(run->reading, problem))
        ok = end_run(run, problem, error);
    if (ok)
        g_propagate_error(error, problem);
    else
        g_error_free(problem);
    return FALSE;
}

/* `worker`: the reader, if it has been started already; taken. */
static gboolean
run_reader(Run *run, PdWorkerRequest *request, PdWorker *worker, int fd, GError **error)
{
    const PdAssemblerSink sink = {on_begin,    on_document,   on_ledger,
                                  on_progress, on_attachment, run};
    const PdReadSink *read_sink = run->reading->sink;
    for (guint n_restarts = 0;; n_restarts++) {
        gboolean crashed;
        gboolean again = FALSE;
        PdDocument *unfinished;
        GError *problem = NULL;
        PdReaderUsage usage;
        run->began = FALSE;
        if (!worker && !(worker = pd_worker_start(request, fd, &problem)))
            return after_error(run, problem, error);
        gboolean ok = pd_worker_finish(worker, request, &sink, &crashed, &unfinished, &usage,
                                       run->reading->cancellable, &problem);
        g_clear_pointer(&worker, pd_worker_free);
        if (read_sink->usage)
            read_sink->usage(&usage, read_sink->user_data);
        if (ok)
            return end_run(run, NULL, error);
        if (!crashed) {
            pd_document_free(unfinished);
            return after_error(run, problem, error);
        }
        if (!after_crash(run, unfinished, problem, &again, error))
            return FALSE;
        if (!again)
            return end_run(run, NULL, error);
        if (n_restarts >= run->reading->limits->restarts_max)
            return end_run(run, NULL, error) &&
                   say(run->reading, "failed", run->prefix,
                       "the reader process died too often: the rest was not read", -1, error);
        request->resume_item = run->number + 1;
        request->resume_offset = run->offset;
    }
}

static void
ask_of_git(PdWorkerRequest *request, const PdReadRequest *asked, const char *prefix)
{
    request->git_revision = g_strdup(asked->git_revision);
    request->git_diff = g_strdup(asked->git_diff);
    request->git_diff_only = asked->git_diff_only;
    request->git_history = asked->git_history;
    request->git_blame = asked->git_blame;
    request->work_tree = request->path && asked->work_tree;
    request->key_prefix = *prefix ? g_strconcat(prefix, "/", NULL) : g_strdup("");
    request->include = g_strdupv((char **)asked->include);
    request->exclude = g_strdupv((char **)asked->exclude);
}

static Batch
batch_new(void)
{
    return (Batch){g_ptr_array_new_with_free_func((GDestroyNotify)pd_worker_file_free),
                   g_byte_array_new(), NULL};
}

static void
batch_clear(Batch *batch)
{
    g_ptr_array_unref(batch->files);
    g_byte_array_unref(batch->bytes);
    g_free(batch->parent_key);
}

/* The request has been answered, or never will be. */
static void
request_done(PdWorkerRequest *request)
{
    if (request && request->temp_dir)
        pd_remove_tree(request->temp_dir);
    pd_worker_request_free(request);
}

/* A request to read one file (`path` NULL) or repository or Maildir. */
static PdWorkerRequest *
make_request(const Reading *reading, const char *kind, const char *name, const char *prefix,
             const char *path, GError **error)
{
    g_autoptr(PdWorkerRequest) request = g_new0(PdWorkerRequest, 1);
    gboolean is_git = strcmp(kind, "git") == 0;
    request->kind = g_strdup(kind);
    request->name = g_utf8_make_valid(name, -1);
    request->path = path ? g_canonicalize_filename(path, NULL) : NULL;
    if (is_git)
        ask_of_git(request, reading->request, prefix);
    request->ocr = reading->request->ocr ? reading->request->ocr : PD_OCR_AUTO;
    request->ocr_languages = g_strdup(reading->request->ocr_languages);
    request->insecure = reading->request->insecure;
    request->limits = *reading->limits;
    if (is_git && reading->request->known)
        request->known = g_hash_table_ref(reading->request->known);
    if (is_git && !path && !(request->temp_dir = g_dir_make_tmp("pandect-bundle-XXXXXX", error)))
        return NULL;
    return g_steal_pointer(&request);
}

/* `worker`: as run_reader. */
static gboolean
read_request(Run *run, PdWorkerRequest *request, PdWorker *worker, int fd, GError **error)
{
    Reading *reading = run->reading;
    gboolean outermost = pd_is_packed(run->kind) && !reading->in_packed;
    if (outermost) {
        reading->in_packed = TRUE;
        reading->n_unpacked_bytes = 0;
        reading->n_unpacked_files = 0;
    }
    gboolean ok = run_reader(run, request, worker, fd, error);
    if (pd_is_archive(run->kind) && !reading->stop && !read_batch(reading, ok ? error : NULL))
        ok = FALSE;
    if (outermost)
        reading->in_packed = FALSE;
    return ok;
}

/* Read one file (`fd`) or repository or Maildir (`path`). */
static gboolean
read_one(Reading *reading, const char *kind, const char *name, const char *prefix,
         const char *parent_key, const char *path, int fd, guint depth, GError **error)
{
    PdWorkerRequest *request = make_request(reading, kind, name, prefix, path, error);
    Run run = {.reading = reading,
               .kind = kind,
               .name = name,
               .prefix = prefix,
               .parent_key = parent_key,
               .depth = depth};
    if (!request)
        return FALSE;
    pd_item_init(&run.item, reading->sink, &reading->stop, prefix);
    gboolean ok = read_request(&run, request, NULL, fd, error);
    request_done(request);
    pd_item_clear(&run.item);
    return ok;
}

/* --- reading ahead ---------------------------------------------------------------------------- */

static void
ahead_free(Ahead *ahead)
{
    if (!ahead)
        return;
    pd_worker_free(ahead->worker);
    request_done(ahead->request);
    pd_item_clear(&ahead->run.item);
    g_clear_error(&ahead->problem);
    g_free(ahead->key);
    close(ahead->fd);
    g_free(ahead);
}

/* `fd`: taken. */
static Ahead *
ahead_new(Reading *reading, const char *kind, const char *key, int fd)
{
    Ahead *ahead = g_new0(Ahead, 1);
    ahead->key = g_strdup(key);
    ahead->fd = fd;
    ahead->run = (Run){.reading = reading, .kind = kind, .name = ahead->key, .prefix = ahead->key};
    pd_item_init(&ahead->run.item, reading->sink, &reading->stop, key);
    ahead->request = make_request(reading, kind, key, key, NULL, &ahead->problem);
    if (ahead->request)
        ahead->worker = pd_worker_start(ahead->request, fd, &ahead->problem);
    return ahead;
}

/* What the reader that was started before says.  The files that wait come after it; an archive in
 * it has a batch of its own. */
static gboolean
finish_ahead(Reading *reading, GError **error)
{
    Ahead *ahead = g_steal_pointer(&reading->ahead);
    gboolean ok = TRUE;
    if (!ahead)
        return TRUE;
    Batch waiting = reading->batch;
    reading->batch = batch_new();
    GError *problem = g_steal_pointer(&ahead->problem);
    if (ahead->worker)
        read_request(&ahead->run, ahead->request, g_steal_pointer(&ahead->worker), ahead->fd,
                     &problem);
    if (problem)
        ok = catch_error(reading, ahead->key, problem, error);
    ahead_free(ahead);
    batch_clear(&reading->batch);
    reading->batch = waiting;
    return ok;
}

/* Start the reader of a file (`fd`, taken), and take in all that comes before it meanwhile. */
static gboolean
read_ahead(Reading *reading, const char *kind, const char *key, int fd, GError **error)
{
    Ahead *next = ahead_new(reading, kind, key, fd);
    if (!read_batch(reading, error)) {
        ahead_free(next);
        return FALSE;
    }
    reading->ahead = next;
    return TRUE;
}

/* --- folders ---------------------------------------------------------------------------------- */

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean walk_folder(Reading *reading, const char *path, const char *prefix, guint depth,
                            GError **error);

/* What of the batch no reader has had its turn with, each alone. */
static gboolean
read_rest_alone(Reading *reading, guint first, GError **error)
{
    gsize offset = 0;
    for (guint i = 0; i < reading->batch.files->len; i++) {
        const PdWorkerFile *file = g_ptr_array_index(reading->batch.files, i);
        const guint8 *bytes = reading->batch.bytes->data + offset;
        g_auto(PdSpool) spool = PD_SPOOL_INIT;
        GError *problem = NULL;
        offset += file->n_bytes;
        if (i < first)
            continue;
        if (pd_spool_append(&spool, bytes, file->n_bytes, &problem))
            read_one(reading, file->kind, file->key, file->key, reading->batch.parent_key, NULL,
                     spool.fd, 0, &problem);
        if (problem && !catch_error(reading, file->key, problem, error))
            return FALSE;
    }
    return TRUE;
}

/* Read the waiting files by one reader, after what comes before them. */
static gboolean
read_batch(Reading *reading, GError **error)
{
    g_autoptr(PdWorkerRequest) request = g_new0(PdWorkerRequest, 1);
    g_autoptr(GError) problem = NULL;
    Run run = {.reading = reading,
               .kind = "text",
               .prefix = "",
               .parent_key = reading->batch.parent_key,
               .n_files = reading->batch.files->len};
    if (!finish_ahead(reading, error))
        return FALSE;
    if (reading->batch.files->len == 0)
        return TRUE;
    pd_item_init(&run.item, reading->sink, &reading->stop, NULL);
    request->kind = g_strdup("text");
    request->name = g_strdup("");
    request->insecure = reading->request->insecure;
    request->limits = *reading->limits;
    request->files = g_ptr_array_ref(reading->batch.files);
    g_auto(PdSpool) spool = PD_SPOOL_INIT;
    gboolean ok =
        pd_spool_append(&spool, reading->batch.bytes->data, reading->batch.bytes->len, &problem) &&
        run_reader(&run, request, NULL, spool.fd, &problem);
    pd_item_clear(&run.item);
    if (!ok && !may_go_on(reading, problem)) {
        reading->stop = TRUE;
        g_propagate_error(error, g_steal_pointer(&problem));
        return FALSE;
    }
    /* No reader could be started, say: each file gets its own account of it. */
    ok = read_rest_alone(reading, run.n_begun, error);
    g_ptr_array_set_size(reading->batch.files, 0);
    g_byte_array_set_size(reading->batch.bytes, 0);
    return ok;
}

/* Put a file of a kind and size that can wait into the batch: *waits. */
static gboolean
add_to_batch(Reading *reading, const char *kind, const char *key, const char *parent_key, int fd,
             gboolean *waits, GError **error)
{
    *waits = FALSE;
    if (strcmp(kind, "text") != 0 && strcmp(kind, "markdown") != 0 && strcmp(kind, "html") != 0)
        return TRUE;
    if (g_strcmp0(parent_key, reading->batch.parent_key) != 0) {
        if (!read_batch(reading, error))
            return FALSE;
        g_free(reading->batch.parent_key);
        reading->batch.parent_key = g_strdup(parent_key);
    }
    guint before = reading->batch.bytes->len;
    g_byte_array_set_size(reading->batch.bytes, before + SMALL_FILE_BYTES + 1);
    ssize_t n = pread(fd, reading->batch.bytes->data + before, SMALL_FILE_BYTES + 1, 0);
    *waits =
        n > 0 && n <= (ssize_t)SMALL_FILE_BYTES && (guint64)n <= reading->limits->file_bytes_max;
    g_byte_array_set_size(reading->batch.bytes, before + (*waits ? (guint)n : 0));
    if (!*waits)
        return TRUE;
    g_ptr_array_add(reading->batch.files, pd_worker_file_new(kind, key, (guint64)n));
    return (reading->batch.files->len < BATCH_FILES && reading->batch.bytes->len < BATCH_BYTES) ||
           read_batch(reading, error);
}

static gboolean
read_folder_file(Reading *reading, const char *path, const char *key, GError **error)
{
    GError *problem = NULL;
    struct stat status;
    gboolean waits = FALSE;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        const char *reason = fd < 0 ? g_strerror(errno) : "not a regular file";
        if (fd >= 0)
            close(fd);
        return say(reading, "skipped", key, reason, -1, error);
    }
    const char *kind = pd_detect_fd(fd, key, &problem);
    /* In order: keys that clash are numbered as they come. */
    gboolean ok = !kind || add_to_batch(reading, kind, key, NULL, fd, &waits, error);
    if (ok && kind && !waits)
        return read_ahead(reading, kind, key, fd, error);
    close(fd);
    return ok && (!problem || catch_error(reading, key, problem, error));
}

static gboolean
read_folder_entry(Reading *reading, const char *path, const char *key, guint depth, GError **error)
{
    struct stat status;
    if (g_cancellable_is_cancelled(reading->cancellable)) {
        reading->stop = TRUE;
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    if (lstat(path, &status) != 0)
        return say(reading, "skipped", key, g_strerror(errno), -1, error);
    if (S_ISLNK(status.st_mode) && !pd_pathspec_wants(reading->pathspec, key))
        return TRUE;
    if (S_ISLNK(status.st_mode))
        return say(reading, "skipped", key, "symbolic link, not followed", -1, error);
    if (!S_ISDIR(status.st_mode)) {
        if (!pd_pathspec_wants(reading->pathspec, key)) {
            reading->n_unwanted++;
            return TRUE;
        }
        reading->n_done++;
        if (reading->sink->progress)
            reading->sink->progress(reading->n_done, 0, reading->sink->user_data);
        return read_folder_file(reading, path, key, error);
    }
    const char *kind = pd_detect_folder(path);
    if (strcmp(kind, "folder") == 0)
        return walk_folder(reading, path, key, depth + 1, error);
    GError *problem = NULL;
    return read_batch(reading, error) &&
           (read_one(reading, kind, key, key, NULL, path, -1, 0, &problem) ||
            catch_error(reading, key, problem, error));
}

static gboolean
walk_folder(Reading *reading, const char *path, const char *prefix, guint depth, GError **error)
{
    g_autoptr(GError) problem = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir =
        depth <= reading->limits->folder_depth_max ? g_dir_open(path, 0, &problem) : NULL;
    const char *name;
    if (!dir)
        return say(reading, "skipped", prefix,
                   problem ? problem->message : "folders nested too deep", -1, error);
    while ((name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        const char *child_name = g_ptr_array_index(names, i);
        g_autofree char *child = g_build_filename(path, child_name, NULL);
        g_autofree char *shown = g_utf8_validate(child_name, -1, NULL)
                                     ? g_strdup(child_name)
                                     : g_strescape(child_name, NULL);
        g_autofree char *key = g_strconcat(prefix, *prefix ? "/" : "", shown, NULL);
        if (!read_folder_entry(reading, child, key, depth, error))
            return FALSE;
    }
    return TRUE;
}

/* --- a source --------------------------------------------------------------------------------- */

static gboolean
read_file_source(Reading *reading, const char *kind, GError **error)
{
    const char *path = reading->request->path;
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *shown = g_filename_display_name(name);
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        g_set_error(error, PD_INGEST_ERROR,
                    errno == ENOENT ? PD_INGEST_ERROR_NOT_FOUND : PD_INGEST_ERROR_IO, "%s: %s",
                    shown, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return FALSE;
    }
    gboolean folder = S_ISDIR(status.st_mode);
    gboolean ok =
        read_one(reading, kind, shown, "", NULL, folder ? path : NULL, folder ? -1 : fd, 0, error);
    close(fd);
    return ok;
}

static gboolean
read_folder_source(Reading *reading, GError **error)
{
    if (!walk_folder(reading, reading->request->path, "", 0, error) || !read_batch(reading, error))
        return FALSE;
    g_autofree char *reason =
        g_strdup_printf("%" G_GUINT64_FORMAT " files were not asked for (--include, --exclude)",
                        reading->n_unwanted);
    return !reading->n_unwanted || say(reading, "note", "", reason, -1, error);
}

gboolean
pd_read_source(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
               const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(kind && request && request->path && sink, FALSE);
    g_autoptr(GHashTable) keys = g_hash_table_new_full(sent_hash, sent_equal, g_free, NULL);
    g_autoptr(PdPathspec) pathspec = pd_pathspec_new(request->include, request->exclude, error);
    if (!pathspec)
        return FALSE;
    Reading reading = {
        .request = request,
        .pathspec = pathspec,
        .limits = limits ? limits : &pd_read_limits_default,
        .sink = sink,
        .cancellable = cancellable,
        .keys = keys,
        .batch = batch_new(),
    };
    gboolean ok = strcmp(kind, "folder") == 0 ? read_folder_source(&reading, error)
                                              : read_file_source(&reading, kind, error);
    ahead_free(reading.ahead); /* something else has failed */
    batch_clear(&reading.batch);
    return ok;
}
