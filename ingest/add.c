/*
 * Adding a source: the reader's documents into the corpus, a run's account of them, and what became
 * of those that are no longer there.
 *
 * Documents are committed in small transactions.  Each is stored under a savepoint, so that one
 * that fails leaves nothing behind.  A document is compared by the hash of its parts with the live
 * one of the same key: equal means unchanged.  Only a run that read its source to the end may
 * remove what it did not see.  After a kill at any point the next run therefore finds some
 * documents unchanged, adds the rest, and ends with the same content.
 */
#include <stdlib.h>
#include <string.h>
#include "ingest/corpus_internal.h"

/* A transaction ends when one of these is reached. */
#define BATCH_DOCUMENTS 50
#define BATCH_BYTES (4u * 1024 * 1024)
#define BATCH_US (1 * G_USEC_PER_SEC)

typedef struct {
    PdCorpus *corpus;
    PdTokenizer *tokenizer;
    const PdAddOptions *options;
    PdAddReport report;
    GCancellable *cancellable;
    gint64 source_id;
    gint64 run_id;
    gint64 tokenizer_row;
    char *alias;
    guint64 n_emitted;
    guint64 n_duplicate;
    /* the open transaction */
    gboolean in_batch;
    guint batch_documents;
    gsize batch_bytes;
    gint64 batch_start_us;
    /* what this run has met */
    GHashTable *seen;    /* key as the reader gave it -> how many times (GUINT) */
    GHashTable *renamed; /* such a key -> the key under which its last document is stored */
    GHashTable *failed;  /* set of keys of "failed" ledger lines */
    GHashTable *reasons; /* reason -> how many lines (GUINT) */
} AddRun;

static void
add_run_free(AddRun *run)
{
    g_clear_pointer(&run->seen, g_hash_table_unref);
    g_clear_pointer(&run->renamed, g_hash_table_unref);
    g_clear_pointer(&run->failed, g_hash_table_unref);
    g_clear_pointer(&run->reasons, g_hash_table_unref);
    g_free(run->alias);
    g_free(run);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddRun, add_run_free)

static gint64
now_utc(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

/* --- transactions -------------------------------------------------------------------------- */

static gboolean
save_counts(AddRun *run, const char *status, const char *message, GError **error)
{
    const PdAddReport *r = &run->report;
    gboolean over = !g_str_equal(status, "running");
    return pd_db_run(run->corpus, error,
                     "UPDATE run SET status = ?, error = ?, ended = CASE ? WHEN 0 THEN NULL ELSE ?"
                     " END, n_emitted = ?, n_new = ?, n_unchanged = ?, n_changed = ?,"
                     " n_duplicate = ?, n_removed = ?, n_skipped = ?, n_failed = ?, n_partial = ?"
                     " WHERE id = ?",
                     "ttiiiiiiiiiiii", status, message, (gint64)over, now_utc(),
                     (gint64)run->n_emitted, (gint64)r->n_new, (gint64)r->n_unchanged,
                     (gint64)r->n_changed, (gint64)run->n_duplicate, (gint64)r->n_removed,
                     (gint64)r->n_skipped, (gint64)r->n_failed, (gint64)r->n_partial, run->run_id);
}

static gboolean
batch_begin(AddRun *run, GError **error)
{
    if (run->in_batch)
        return TRUE;
    if (!pd_db_exec(run->corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    run->in_batch = TRUE;
    run->batch_documents = 0;
    run->batch_bytes = 0;
    run->batch_start_us = g_get_monotonic_time();
    return TRUE;
}

static gboolean
batch_commit(AddRun *run, const char *status, const char *message, GError **error)
{
    if (!batch_begin(run, error))
        return FALSE;
    run->in_batch = FALSE;
    if (save_counts(run, status, message, error) && pd_db_exec(run->corpus, "COMMIT", error))
        return TRUE;
    pd_db_rollback(run->corpus);
    return FALSE;
}

static gboolean
batch_grow(AddRun *run, gsize n_bytes, GError **error)
{
    run->batch_documents++;
    run->batch_bytes += n_bytes;
    if (run->batch_documents < BATCH_DOCUMENTS && run->batch_bytes < BATCH_BYTES &&
        g_get_monotonic_time() - run->batch_start_us < BATCH_US)
        return TRUE;
    return batch_commit(run, "running", NULL, error);
}

/* --- the ledger ---------------------------------------------------------------------------- */

static gboolean
insert_ledger(AddRun *run, const PdLedgerLine *line, GError **error)
{
    const char *key = line->key ? line->key : "";
    const char *reason = line->reason ? line->reason : "";
    if (!pd_db_run(run->corpus, error,
                   "INSERT INTO ledger(run_id, level, key, reason, n_bytes) VALUES (?, ?, ?, ?, ?)",
                   "ittti", run->run_id, line->level, key, reason, line->n_bytes))
        return FALSE;
    if (g_str_equal(line->level, "skipped"))
        run->report.n_skipped++;
    else if (g_str_equal(line->level, "failed"))
        run->report.n_failed++;
    else if (g_str_equal(line->level, "partial"))
        run->report.n_partial++;
    if (g_str_equal(line->level, "failed"))
        g_hash_table_add(run->failed, g_strdup(key));
    gpointer n = g_hash_table_lookup(run->reasons, reason);
    g_hash_table_insert(run->reasons, g_strdup(reason), GUINT_TO_POINTER(GPOINTER_TO_UINT(n) + 1));
    if (run->options->ledger)
        run->options->ledger(line, run->options->user_data);
    return TRUE;
}

static gboolean
add_ledger(const PdLedgerLine *line, gpointer user_data, GError **error)
{
    AddRun *run = user_data;
    return batch_begin(run, error) && insert_ledger(run, line, error) && batch_grow(run, 0, error);
}

/* --- one document -------------------------------------------------------------------------- */

/* Valid UTF-8, NULs allowed. */
static gboolean
is_text(const GString *text)
{
    const char *at = text->str, *end = text->str + text->len;
    while (at < end) {
        const char *stop;
        if (g_utf8_validate(at, end - at, &stop))
            return TRUE;
        if (*stop != 0 || stop == end)
            return FALSE;
        at = stop + 1;
    }
    return TRUE;
}

static void
hash_string(GChecksum *sum, const char *s)
{
    /* With its NUL, so that two neighbours cannot trade letters; NULL differs from "". */
    g_checksum_update(sum, (const guchar *)(s ? "s" : "n"), 1);
    if (s)
        g_checksum_update(sum, (const guchar *)s, (gssize)strlen(s) + 1);
}

/* Everything that a citation may show of a document's parts. */
static void
hash_parts(const PdDocument *document, const guint8 (*texts)[PD_SHA256_BYTES],
           guint8 digest[PD_SHA256_BYTES])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    hash_string(sum, pd_document_kind_name(document->kind));
    for (guint i = 0; i < document->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(document->parts, i);
        hash_string(sum, part->path);
        hash_string(sum, part->label);
        g_checksum_update(sum, texts[i], PD_SHA256_BYTES);
        if (part->boxes)
            g_checksum_update(sum, (const guchar *)part->boxes->data,
                              (gssize)part->boxes->len * (gssize)sizeof(PdBox));
    }
    gsize n = PD_SHA256_BYTES;
    g_checksum_get_digest(sum, digest, &n);
}

static gboolean
insert_part(AddRun *run, gint64 document_id, guint ord, const PdPart *part,
            const guint8 sha256[PD_SHA256_BYTES], GError **error)
{
    PdCorpus *corpus = run->corpus;
    gboolean is_new;
    guint64 n_tokens = 0;
    gint64 text_id = pd_text_put(corpus, part->text->str, part->text->len, sha256, &is_new, error);
    if (!text_id)
        return FALSE;
    if (is_new)
        run->report.n_new_text_bytes += part->text->len;
    if (run->tokenizer &&
        !pd_segments_ensure(corpus, run->tokenizer, run->tokenizer_row, text_id, part->text->str,
                            part->text->len, &n_tokens, run->cancellable, error))
        return FALSE;
    run->report.n_tokens += n_tokens;
    g_autoptr(GBytes) boxes = NULL;
    if (part->boxes && !(boxes = pd_boxes_pack(part->boxes, error)))
        return FALSE;
    return pd_db_run(corpus, error,
                     "INSERT INTO part(document_id, ord, path, label, text_id, n_boxes, boxes)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)",
                     "iittiib", document_id, (gint64)ord, part->path, part->label, text_id,
                     (gint64)(part->boxes ? part->boxes->len : 0),
                     boxes ? g_bytes_get_data(boxes, NULL) : NULL,
                     boxes ? g_bytes_get_size(boxes) : (gsize)0);
}

static gint64
insert_document(AddRun *run, const PdDocument *d, const char *key, const char *parent_key,
                const guint8 parts_sha256[PD_SHA256_BYTES], GError **error)
{
    if (!pd_db_run(run->corpus, error,
                   "INSERT INTO document(source_id, key, kind, state, parent_key, title, author,"
                   " recipients, date_utc, native_id, revision, in_reply_to, raw_sha256,"
                   " raw_offset, raw_bytes, parts_sha256, first_run, last_run)"
                   " VALUES (?, ?, ?, 'live', ?, ?, ?, ?, nullif(?, -9223372036854775807 - 1), ?,"
                   " ?, ?, ?, ?, ?, ?, ?, ?)",
                   "itttttti" /* to date_utc */ "tttbiibii", run->source_id, key,
                   pd_document_kind_name(d->kind), parent_key, d->title ? d->title : key, d->author,
                   d->recipients, d->date_utc, d->native_id, d->revision, d->in_reply_to,
                   d->raw_sha256, (gsize)PD_SHA256_BYTES, d->raw_offset, d->raw_bytes, parts_sha256,
                   (gsize)PD_SHA256_BYTES, run->run_id, run->run_id))
        return 0;
    return sqlite3_last_insert_rowid(run->corpus->db);
}

/* The live document of this key as this run's reader gave it again. */
static gboolean
touch_document(AddRun *run, gint64 id, const PdDocument *d, const char *parent_key, GError **error)
{
    return pd_db_run(run->corpus, error,
                     "UPDATE document SET parent_key = ?, title = ?, author = ?, recipients = ?,"
                     " date_utc = nullif(?, -9223372036854775807 - 1), native_id = ?, revision = ?,"
                     " in_reply_to = ?, raw_sha256 = ?, raw_offset = ?, raw_bytes = ?, last_run = ?"
                     " WHERE id = ?",
                     "ttttitttbiiii", parent_key, d->title ? d->title : d->key, d->author,
                     d->recipients, d->date_utc, d->native_id, d->revision, d->in_reply_to,
                     d->raw_sha256, (gsize)PD_SHA256_BYTES, d->raw_offset, d->raw_bytes,
                     run->run_id, id);
}

typedef struct {
    gint64 id; /* 0: none */
    gint64 last_run;
    guint8 parts_sha256[PD_SHA256_BYTES];
    char *native_id;
} LiveDocument;

static gboolean
find_live(AddRun *run, const char *key, LiveDocument *live, GError **error)
{
    memset(live, 0, sizeof *live);
    g_autoptr(PdStmt) stmt =
        pd_db_query(run->corpus, error,
                    "SELECT id, last_run, parts_sha256, native_id FROM document"
                    " WHERE source_id = ? AND key = ? AND state = 'live'",
                    "it", run->source_id, key);
    if (!stmt)
        return FALSE;
    int rc = pd_db_step(run->corpus, stmt, error);
    if (rc == SQLITE_ROW) {
        live->id = sqlite3_column_int64(stmt, 0);
        live->last_run = sqlite3_column_int64(stmt, 1);
        if (sqlite3_column_bytes(stmt, 2) == PD_SHA256_BYTES)
            memcpy(live->parts_sha256, sqlite3_column_blob(stmt, 2), PD_SHA256_BYTES);
        live->native_id = pd_db_text(stmt, 3);
    }
    return rc != -1;
}

static gboolean
supersede(AddRun *run, gint64 id, GError **error)
{
    return pd_db_run(run->corpus, error, "UPDATE document SET state = 'superseded' WHERE id = ?",
                     "i", id);
}

static gboolean
copied_tokens(AddRun *run, gint64 document_id, GError **error)
{
    gint64 n;
    if (!pd_db_int(run->corpus, 0, &n, error,
                   "SELECT coalesce(sum(s.n_tokens), 0) FROM part p JOIN segment s"
                   " ON s.text_id = p.text_id AND s.tokenizer_id = ? WHERE p.document_id = ?",
                   "ii", run->tokenizer_row, document_id))
        return FALSE;
    run->report.n_tokens += (guint64)n;
    return TRUE;
}

/*
 * A revision that was there before and comes back: its row, and so its number in old answers, is
 * used again.  *revived FALSE: there is none.
 */
static gboolean
revive(AddRun *run, const PdDocument *d, const char *key, const char *parent_key,
       const guint8 parts_sha256[PD_SHA256_BYTES], gboolean *revived, GError **error)
{
    gint64 id;
    if (!pd_db_int(run->corpus, 0, &id, error,
                   "SELECT id FROM document WHERE source_id = ? AND key = ? AND state <> 'live'"
                   " AND parts_sha256 = ? ORDER BY id DESC LIMIT 1",
                   "itb", run->source_id, key, parts_sha256, (gsize)PD_SHA256_BYTES))
        return FALSE;
    *revived = id != 0;
    if (!id)
        return TRUE;
    return pd_db_run(run->corpus, error, "UPDATE document SET state = 'live' WHERE id = ?", "i",
                     id) &&
           touch_document(run, id, d, parent_key, error) && copied_tokens(run, id, error);
}

/*
 * The reader knows the blob and sent no parts: the document of this path has it, or (a file that
 * moved, a change that was taken back) another one whose parts are shared.
 */
static gboolean
store_known(AddRun *run, const PdDocument *d, const char *key, GError **error)
{
    LiveDocument live;
    gint64 donor;
    guint8 parts_sha256[PD_SHA256_BYTES];
    if (!find_live(run, key, &live, error))
        return FALSE;
    g_autofree char *native_id = live.native_id;
    if (live.id && g_strcmp0(native_id, d->native_id) == 0) {
        run->report.n_unchanged++;
        return touch_document(run, live.id, d, d->parent_key, error);
    }
    {
        g_autoptr(PdStmt) stmt =
            pd_db_query(run->corpus, error,
                        "SELECT id, parts_sha256 FROM document WHERE native_id = ? AND kind = ?"
                        " ORDER BY id DESC LIMIT 1",
                        "tt", d->native_id, pd_document_kind_name(d->kind));
        int rc = stmt ? pd_db_step(run->corpus, stmt, error) : -1;
        if (rc == SQLITE_DONE)
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                        "%s: the reader sent no text for %s (blob %s), which the corpus does not "
                        "hold",
                        run->alias, key, d->native_id ? d->native_id : "unknown");
        if (rc != SQLITE_ROW)
            return FALSE;
        donor = sqlite3_column_int64(stmt, 0);
        memset(parts_sha256, 0, sizeof parts_sha256);
        if (sqlite3_column_bytes(stmt, 1) == PD_SHA256_BYTES)
            memcpy(parts_sha256, sqlite3_column_blob(stmt, 1), PD_SHA256_BYTES);
    }
    if (live.id && !supersede(run, live.id, error))
        return FALSE;
    *(live.id ? &run->report.n_changed : &run->report.n_new) += 1;
    gboolean revived;
    if (!revive(run, d, key, d->parent_key, parts_sha256, &revived, error))
        return FALSE;
    if (revived)
        return TRUE;
    gint64 id = insert_document(run, d, key, d->parent_key, parts_sha256, error);
    return id &&
           pd_db_run(run->corpus, error,
                     "INSERT INTO part(document_id, ord, path, label, text_id, n_boxes, boxes)"
                     " SELECT ?, ord, path, label, text_id, n_boxes, boxes FROM part"
                     " WHERE document_id = ? ORDER BY ord",
                     "ii", id, donor) &&
           copied_tokens(run, id, error);
}

static gboolean
store_parts(AddRun *run, const PdDocument *d, const char *key, const char *parent_key,
            const LiveDocument *live, const guint8 parts_sha256[PD_SHA256_BYTES],
            const guint8 (*texts)[PD_SHA256_BYTES], GError **error)
{
    if (live->id && !supersede(run, live->id, error))
        return FALSE;
    *(live->id ? &run->report.n_changed : &run->report.n_new) += 1;
    gboolean revived;
    if (!revive(run, d, key, parent_key, parts_sha256, &revived, error))
        return FALSE;
    if (revived)
        return TRUE;
    gint64 id = insert_document(run, d, key, parent_key, parts_sha256, error);
    if (!id)
        return FALSE;
    for (guint i = 0; i < d->parts->len; i++)
        if (!insert_part(run, id, i, g_ptr_array_index(d->parts, i), texts[i], error))
            return FALSE;
    return TRUE;
}

/*
 * The key to store a document under.  Two mails of one mailbox may carry the same Message-ID: an
 * equal one is a duplicate (*key NULL), a different one gets "#2".  Counted in the reader's order,
 * which is the source's, so that the next run finds the same names.
 */
static gboolean
choose_key(AddRun *run, const PdDocument *d, const guint8 parts_sha256[PD_SHA256_BYTES], char **key,
           GError **error)
{
    guint n_seen = GPOINTER_TO_UINT(g_hash_table_lookup(run->seen, d->key));
    *key = NULL;
    for (guint i = 1; i <= n_seen; i++) {
        g_autofree char *earlier = i == 1 ? g_strdup(d->key) : g_strdup_printf("%s#%u", d->key, i);
        LiveDocument live;
        if (!find_live(run, earlier, &live, error))
            return FALSE;
        g_free(live.native_id);
        if (live.id && memcmp(live.parts_sha256, parts_sha256, PD_SHA256_BYTES) == 0) {
            g_hash_table_insert(run->renamed, g_strdup(d->key), g_steal_pointer(&earlier));
            return TRUE;
        }
    }
    *key = n_seen == 0 ? g_strdup(d->key) : g_strdup_printf("%s#%u", d->key, n_seen + 1);
    g_hash_table_insert(run->seen, g_strdup(d->key), GUINT_TO_POINTER(n_seen + 1));
    g_hash_table_insert(run->renamed, g_strdup(d->key), g_strdup(*key));
    return TRUE;
}

static gboolean
store_document(AddRun *run, const PdDocument *d, GError **error)
{
    if (d->unchanged) {
        g_hash_table_insert(run->seen, g_strdup(d->key), GUINT_TO_POINTER(1));
        return store_known(run, d, d->key, error);
    }
    g_autofree guint8(*texts)[PD_SHA256_BYTES] = g_malloc_n(d->parts->len + 1, PD_SHA256_BYTES);
    guint8 parts_sha256[PD_SHA256_BYTES];
    for (guint i = 0; i < d->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(d->parts, i);
        if (part->text->len > G_MAXINT32 || !is_text(part->text)) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                        "%s: the reader gave a part that is not UTF-8 or too large: %s %s",
                        run->alias, d->key, part->path);
            return FALSE;
        }
        pd_sha256(part->text->str, part->text->len, texts[i]);
    }
    hash_parts(d, (const guint8(*)[PD_SHA256_BYTES])texts, parts_sha256);
    g_autofree char *key = NULL;
    if (!choose_key(run, d, parts_sha256, &key, error))
        return FALSE;
    if (!key) {
        run->n_duplicate++;
        PdLedgerLine line = {"note", d->key, "the same document was met before", d->raw_bytes};
        return insert_ledger(run, &line, error);
    }
    const char *parent_key = d->parent_key;
    if (parent_key && g_hash_table_contains(run->renamed, parent_key))
        parent_key = g_hash_table_lookup(run->renamed, parent_key);
    LiveDocument live;
    if (!find_live(run, key, &live, error))
        return FALSE;
    g_free(live.native_id);
    if (live.id && memcmp(live.parts_sha256, parts_sha256, PD_SHA256_BYTES) == 0) {
        run->report.n_unchanged++;
        return touch_document(run, live.id, d, parent_key, error);
    }
    return store_parts(run, d, key, parent_key, &live, parts_sha256,
                       (const guint8(*)[PD_SHA256_BYTES])texts, error);
}

/* A document that the corpus cannot take costs that document; anything else ends the run. */
static gboolean
costs_one_document(const GError *error)
{
    return g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT) ||
           g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT) ||
           g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER);
}

static gboolean
store_or_undo(AddRun *run, const PdDocument *d, GError **error)
{
    g_autoptr(GError) local = NULL;
    PdAddReport before = run->report;
    guint64 n_duplicate = run->n_duplicate;
    if (store_document(run, d, &local)) {
        run->n_emitted++;
        return pd_db_exec(run->corpus, "RELEASE document", error);
    }
    run->report = before;
    run->n_duplicate = n_duplicate;
    /* A full disk may have undone the whole transaction already. */
    gboolean undone = !sqlite3_get_autocommit(run->corpus->db) &&
                      pd_db_exec(run->corpus, "ROLLBACK TO document; RELEASE document", NULL);
    if (!undone || !costs_one_document(local)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    PdLedgerLine line = {"failed", d->key, local->message, d->raw_bytes};
    return insert_ledger(run, &line, error);
}

static gboolean
add_document(PdDocument *document, gpointer user_data, GError **error)
{
    AddRun *run = user_data;
    g_autoptr(PdDocument) d = document;
    if (g_cancellable_is_cancelled(run->cancellable)) {
        g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    gsize n_bytes = 0;
    for (guint i = 0; i < d->parts->len; i++)
        n_bytes += ((PdPart *)g_ptr_array_index(d->parts, i))->text->len;
    /* A large document takes seconds: what stands before it is not made to wait. */
    if (run->in_batch && n_bytes >= BATCH_BYTES / 4 && !batch_commit(run, "running", NULL, error))
        return FALSE;
    if (!batch_begin(run, error) || !pd_db_exec(run->corpus, "SAVEPOINT document", error) ||
        !store_or_undo(run, d, error))
        return FALSE;
    return batch_grow(run, n_bytes, error);
}

static void
add_progress(guint64 done, guint64 total, gpointer user_data)
{
    AddRun *run = user_data;
    if (run->options->progress)
        run->options->progress(run->alias, done, total, run->n_emitted, run->options->user_data);
}

/* --- a run --------------------------------------------------------------------------------- */

char *
pd_source_canonical_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real)
        return g_canonicalize_filename(path, NULL);
    char *copy = g_strdup(real);
    free(real); /* NOLINT: from libc, not from GLib */
    return copy;
}

/* "lua", or "lua-2" if another source has that name. */
static char *
choose_alias(PdCorpus *corpus, const char *path, GError **error)
{
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *base = g_utf8_make_valid(name, -1);
    for (guint i = 1;; i++) {
        g_autofree char *alias = i == 1 ? g_strdup(base) : g_strdup_printf("%s-%u", base, i);
        gint64 taken;
        if (!pd_db_int(corpus, 0, &taken, error, "SELECT 1 FROM source WHERE alias = ?", "t",
                       alias))
            return NULL;
        if (!taken)
            return g_steal_pointer(&alias);
    }
}

static gboolean
insert_source(AddRun *run, const char *path, const char *kind, GError **error)
{
    run->alias = choose_alias(run->corpus, path, error);
    if (!run->alias || !pd_db_run(run->corpus, error,
                                  "INSERT INTO source(alias, path, kind, added_at)"
                                  " VALUES (?, ?, ?, ?)",
                                  "ttti", run->alias, path, kind, now_utc()))
        return FALSE;
    run->source_id = sqlite3_last_insert_rowid(run->corpus->db);
    return TRUE;
}

static gboolean
find_source(AddRun *run, const char *path, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(run->corpus, error, "SELECT id, alias FROM source WHERE path = ?", "t", path);
    int rc = stmt ? pd_db_step(run->corpus, stmt, error) : -1;
    if (rc == SQLITE_ROW) {
        run->source_id = sqlite3_column_int64(stmt, 0);
        run->alias = pd_db_text(stmt, 1);
    }
    return rc != -1;
}

static gboolean
start_run(AddRun *run, const char *path, const char *kind, GError **error)
{
    const PdReadRequest *read = &run->options->read;
    if (!pd_db_exec(run->corpus, "BEGIN IMMEDIATE", error))
        return FALSE;
    gboolean ok =
        find_source(run, path, error) && (run->source_id || insert_source(run, path, kind, error));
    ok = ok && pd_db_run(run->corpus, error,
                         "UPDATE source SET kind = ?, git_revision = ?, work_tree = ? WHERE id = ?",
                         "ttii", kind, read->git_revision, (gint64)read->work_tree, run->source_id);
    /* We hold the writer lock: whoever was running is no more. */
    ok = ok && pd_db_run(run->corpus, error,
                         "UPDATE run SET status = 'interrupted' WHERE status = 'running'", "");
    ok = ok && pd_db_run(run->corpus, error,
                         "INSERT INTO run(source_id, started, status) VALUES (?, ?, 'running')",
                         "ii", run->source_id, now_utc());
    run->run_id = sqlite3_last_insert_rowid(run->corpus->db);
    if (ok && run->tokenizer) {
        run->tokenizer_row = pd_tokenizer_row(run->corpus, run->tokenizer, TRUE, error);
        ok = run->tokenizer_row > 0;
    }
    if (ok && pd_db_exec(run->corpus, "COMMIT", error))
        return TRUE;
    pd_db_rollback(run->corpus);
    return FALSE;
}

/* Every blob whose text the corpus holds, whatever became of its document. */
static GHashTable *
known_blobs(AddRun *run, GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(PdStmt) stmt = pd_db_query(
        run->corpus, error,
        "SELECT DISTINCT native_id FROM document WHERE kind = ? AND native_id IS NOT NULL", "t",
        pd_document_kind_name(PD_KIND_GIT_FILE));
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW)
        g_hash_table_add(known, pd_db_text(stmt, 0));
    return rc == SQLITE_DONE ? g_steal_pointer(&known) : NULL;
}

/* Was this key, or what it lies in, reported as failed?  Then its absence says nothing. */
static gboolean
is_excused(AddRun *run, const char *key)
{
    if (g_hash_table_contains(run->failed, "") || g_hash_table_contains(run->failed, key))
        return TRUE;
    g_autofree char *prefix = g_strdup(key);
    for (gsize i = strlen(prefix); i-- > 0;) {
        if (!strchr("/#!:", prefix[i]))
            continue;
        prefix[i] = 0;
        if (g_hash_table_contains(run->failed, prefix))
            return TRUE;
    }
    return FALSE;
}

static gboolean
remove_vanished(AddRun *run, GError **error)
{
    g_autoptr(GArray) gone = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(PdStmt) stmt = pd_db_query(
        run->corpus, error,
        "SELECT id, key FROM document WHERE source_id = ? AND state = 'live' AND last_run <> ?",
        "ii", run->source_id, run->run_id);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW) {
        gint64 id = sqlite3_column_int64(stmt, 0);
        if (!is_excused(run, (const char *)sqlite3_column_text(stmt, 1)))
            g_array_append_val(gone, id);
    }
    if (rc != SQLITE_DONE)
        return FALSE;
    for (guint i = 0; i < gone->len; i++)
        if (!pd_db_run(run->corpus, error, "UPDATE document SET state = 'removed' WHERE id = ?",
                       "i", g_array_index(gone, gint64, i)))
            return FALSE;
    run->report.n_removed += gone->len;
    return TRUE;
}

/* Texts that an earlier run stored for another tokenizer, or for none. */
static gboolean
tokenize_missing(AddRun *run, GError **error)
{
    if (!run->tokenizer)
        return TRUE;
    g_autoptr(GArray) missing = g_array_new(FALSE, FALSE, sizeof(gint64));
    {
        g_autoptr(PdStmt) stmt = pd_db_query(
            run->corpus, error,
            "SELECT DISTINCT t.id FROM document d JOIN part p ON p.document_id = d.id"
            " JOIN text t ON t.id = p.text_id"
            " WHERE d.source_id = ? AND d.state = 'live' AND t.n_bytes > 0 AND NOT EXISTS"
            " (SELECT 1 FROM segment s WHERE s.text_id = t.id AND s.tokenizer_id = ?)"
            " ORDER BY t.id",
            "ii", run->source_id, run->tokenizer_row);
        int rc = stmt ? SQLITE_ROW : -1;
        while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW) {
            gint64 id = sqlite3_column_int64(stmt, 0);
            g_array_append_val(missing, id);
        }
        if (rc != SQLITE_DONE)
            return FALSE;
    }
    for (guint i = 0; i < missing->len; i++) {
        gint64 id = g_array_index(missing, gint64, i);
        gsize n_bytes;
        guint64 n_tokens;
        g_autofree char *text = pd_text_get(run->corpus, id, &n_bytes, error);
        if (!text || !batch_begin(run, error) ||
            !pd_segments_ensure(run->corpus, run->tokenizer, run->tokenizer_row, id, text, n_bytes,
                                &n_tokens, run->cancellable, error) ||
            !batch_grow(run, n_bytes, error))
            return FALSE;
    }
    return TRUE;
}

static gint
by_count(gconstpointer a, gconstpointer b, gpointer reasons)
{
    guint n_a = GPOINTER_TO_UINT(g_hash_table_lookup(reasons, *(char *const *)a));
    guint n_b = GPOINTER_TO_UINT(g_hash_table_lookup(reasons, *(char *const *)b));
    return n_a != n_b ? (n_a < n_b) - (n_a > n_b) : strcmp(*(char *const *)a, *(char *const *)b);
}

/* Why a source gave nothing: its one reason, or the most frequent of several. */
static char *
why_nothing(AddRun *run)
{
    guint n_reasons;
    g_autofree char **reasons = (char **)g_hash_table_get_keys_as_array(run->reasons, &n_reasons);
    if (n_reasons == 0)
        return g_strdup("nothing to read in it");
    if (n_reasons == 1)
        return g_strdup(reasons[0]);
    g_qsort_with_data(reasons, (gint)n_reasons, sizeof *reasons, by_count, run->reasons);
    GString *text = g_string_new("nothing in it could be read:");
    for (guint i = 0; i < MIN(n_reasons, 4); i++)
        g_string_append_printf(text, "%s %u x %s", i ? "," : "",
                               GPOINTER_TO_UINT(g_hash_table_lookup(run->reasons, reasons[i])),
                               reasons[i]);
    if (n_reasons > 4)
        g_string_append_printf(text, ", %u more reasons", n_reasons - 4);
    return g_string_free(text, FALSE);
}

/* A source without documents is not kept: nothing of it could be listed or asked about. */
static gboolean
drop_empty_source(AddRun *run, GError **error)
{
    return pd_db_run(run->corpus, error,
                     "DELETE FROM source WHERE id = ?1 AND NOT EXISTS"
                     " (SELECT 1 FROM document WHERE source_id = ?1)",
                     "i", run->source_id);
}

static gboolean
finish_run(AddRun *run, const char *path, GError **error)
{
    if (!tokenize_missing(run, error) || !batch_begin(run, error))
        return FALSE;
    if (run->n_emitted == 0) {
        g_autofree char *why = why_nothing(run);
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT, "%s: %s", path, why);
        return FALSE;
    }
    /* The ledger tells of the newest run; older ones keep their counts. */
    return remove_vanished(run, error) &&
           pd_db_run(run->corpus, error,
                     "DELETE FROM ledger WHERE run_id IN"
                     " (SELECT id FROM run WHERE source_id = ? AND id <> ?)",
                     "ii", run->source_id, run->run_id) &&
           batch_commit(run, "done", NULL, error);
}

/* Keeps what was finished and writes down how the run ended. */
static void
abandon_run(AddRun *run, const GError *why, gboolean cancelled)
{
    if (sqlite3_get_autocommit(run->corpus->db))
        run->in_batch = FALSE; /* SQLite undid the transaction (disk full) */
    batch_commit(run, cancelled ? "cancelled" : "failed", why->message, NULL);
    drop_empty_source(run, NULL);
}

static gboolean
is_cancelled(AddRun *run, const GError *error)
{
    return g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static gboolean
read_source(AddRun *run, const PdCorpusReader *reader, const char *path, const char *kind,
            GError **error)
{
    PdReadRequest request = run->options->read;
    g_autoptr(GHashTable) known = known_blobs(run, error);
    if (!known)
        return FALSE;
    request.path = path;
    request.known = known;
    PdReadSink sink = {add_document, add_ledger, add_progress, run};
    return reader->read(kind, &request, run->options->limits, &sink, run->cancellable, error);
}

static AddRun *
add_run_new(PdCorpus *corpus, PdTokenizer *tokenizer, const PdAddOptions *options,
            GCancellable *cancellable)
{
    AddRun *run = g_new0(AddRun, 1);
    run->corpus = corpus;
    run->tokenizer = tokenizer;
    run->options = options;
    run->cancellable = cancellable;
    run->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    run->renamed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    run->failed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    run->reasons = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return run;
}

gboolean
pd_corpus_add_with_reader(PdCorpus *corpus, const PdCorpusReader *reader, const char *path,
                          PdTokenizer *tokenizer, const PdAddOptions *options, PdAddReport *report,
                          GCancellable *cancellable, GError **error)
{
    static const PdAddOptions no_options;
    g_return_val_if_fail(corpus->mode != PD_CORPUS_READ, FALSE);
    g_autoptr(AddRun) run =
        add_run_new(corpus, tokenizer, options ? options : &no_options, cancellable);
    g_autofree char *absolute = pd_source_canonical_path(path);
    const char *kind = reader->detect(absolute, error);
    if (!kind || !start_run(run, absolute, kind, error))
        return FALSE;
    g_autoptr(GError) local = NULL;
    gboolean ok = read_source(run, reader, absolute, kind, &local) && finish_run(run, path, &local);
    if (!ok) {
        gboolean cancelled = is_cancelled(run, local);
        abandon_run(run, local, cancelled);
        if (cancelled)
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED,
                        "%s: interrupted; %" G_GUINT64_FORMAT
                        " documents are stored, the same command goes on from there",
                        path, run->n_emitted);
        else
            g_propagate_error(error, g_steal_pointer(&local));
    }
    if (report)
        *report = run->report;
    return ok;
}
