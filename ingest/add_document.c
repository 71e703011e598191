/*
 * Storing one document of an adding run: new, known, changed, or met before.
 *
 * A document is compared by the hash of its parts with the live one of the same key: equal means
 * unchanged.  Each is stored under a savepoint, so that one that fails leaves nothing behind.
 */
#include <string.h>
#include "engine/utf8.h"
#include "ingest/add_run.h"
#include "ingest/fold.h"
#include "ingest/mask.h"

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
        if (part->view)
            g_checksum_update(sum, part->view->sha256, PD_SHA256_BYTES);
        if (part->boxes)
            g_checksum_update(sum, (const guchar *)part->boxes->data,
                              (gssize)part->boxes->len * (gssize)sizeof(PdBox));
    }
    gsize n = PD_SHA256_BYTES;
    g_checksum_get_digest(sum, digest, &n);
}

static gboolean
insert_part(PdAddRun *run, gint64 document_id, guint ord, const PdPart *part, gboolean tokenize,
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
    if (tokenize &&
        !pd_segments_ensure(corpus, run->tokenizer, run->tokenizer_row, text_id, part->text->str,
                            part->text->len, &n_tokens, run->cancellable, error))
        return FALSE;
    run->report.n_tokens += n_tokens;
    g_autoptr(GBytes) boxes = NULL, view = NULL;
    gsize n_view = 0;
    if ((part->boxes && !(boxes = pd_boxes_pack(part->boxes, error))) ||
        (part->view && !(view = pd_view_pack(part->view, &n_view, error))))
        return FALSE;
    return pd_db_run(corpus, error,
                     "INSERT INTO part(document_id, ord, path, label, text_id, n_boxes, boxes,"
                     " n_view_bytes, view, flow) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "iittiibibi", document_id, (gint64)ord, part->path, part->label, text_id,
                     (gint64)(part->boxes ? part->boxes->len : 0),
                     boxes ? g_bytes_get_data(boxes, NULL) : NULL,
                     boxes ? g_bytes_get_size(boxes) : (gsize)0, (gint64)n_view,
                     view ? g_bytes_get_data(view, NULL) : NULL,
                     view ? g_bytes_get_size(view) : (gsize)0, (gint64)part->flow);
}

static gint64
insert_document(PdAddRun *run, const PdDocument *d, const char *key, const char *parent_key,
                const guint8 parts_sha256[PD_SHA256_BYTES], GError **error)
{
    if (!pd_db_run(
            run->corpus, error,
            "INSERT INTO document(source_id, key, kind, state, parent_key, title, author,"
            " recipients, date_utc, native_id, revision, in_reply_to, raw_sha256,"
            " raw_offset, raw_bytes, parts_sha256, mask_rules, fold_rules, first_run, last_run)"
            " VALUES (?, ?, ?, 'live', ?, ?, ?, ?, nullif(?, -9223372036854775807 - 1), ?,"
            " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            "itttttti" /* to date_utc */ "tttbiibiiii", run->source_id, key,
            pd_document_kind_name(d->kind), parent_key, d->title ? d->title : key, d->author,
            d->recipients, d->date_utc, d->native_id, d->revision, d->in_reply_to, d->raw_sha256,
            (gsize)PD_SHA256_BYTES, d->raw_offset, d->raw_bytes, parts_sha256,
            (gsize)PD_SHA256_BYTES, run->mask_rules,
            d->kind == PD_KIND_MAIL && run->fold ? PD_FOLD_WAITS : (gint64)0, run->run_id,
            run->run_id))
        return 0;
    return sqlite3_last_insert_rowid(run->corpus->db);
}

/* The live document of this key as this run's reader gave it again. */
static gboolean
touch_document(PdAddRun *run, gint64 id, const PdDocument *d, const char *parent_key,
               GError **error)
{
    return pd_db_run(run->corpus, error,
                     "UPDATE document SET parent_key = ?, title = ?, author = ?, recipients = ?,"
                     " date_utc = nullif(?, -9223372036854775807 - 1), native_id = ?, revision = ?,"
                     " in_reply_to = ?, raw_sha256 = ?, raw_offset = ?, raw_bytes = ?,"
                     " mask_rules = ?, last_run = ? WHERE id = ?",
                     "ttttitttbiiiii", parent_key, d->title ? d->title : d->key, d->author,
                     d->recipients, d->date_utc, d->native_id, d->revision, d->in_reply_to,
                     d->raw_sha256, (gsize)PD_SHA256_BYTES, d->raw_offset, d->raw_bytes,
                     run->mask_rules, run->run_id, id) &&
           (d->kind != PD_KIND_MAIL ||
            pd_fold_choose(run->corpus, id, run->fold, run->run_id, error));
}

typedef struct {
    gint64 id; /* 0: none */
    gint64 last_run;
    gint64 mask_rules;
    guint8 parts_sha256[PD_SHA256_BYTES];
    char *native_id;
} LiveDocument;

static gboolean
find_live(PdAddRun *run, const char *key, LiveDocument *live, GError **error)
{
    memset(live, 0, sizeof *live);
    g_autoptr(PdStmt) stmt =
        pd_db_query(run->corpus, error,
                    "SELECT id, last_run, parts_sha256, native_id, mask_rules FROM document"
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
        live->mask_rules = sqlite3_column_int64(stmt, 4);
    }
    return rc != -1;
}

static gboolean
supersede(PdAddRun *run, gint64 id, GError **error)
{
    return pd_fold_release(run->corpus, &id, 1, run->run_id, error) &&
           pd_db_run(run->corpus, error, "UPDATE document SET state = 'superseded' WHERE id = ?",
                     "i", id);
}

static gboolean
copied_tokens(PdAddRun *run, gint64 document_id, GError **error)
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

/* The document was read again: what earlier readings remarked is over. */
static gboolean
forget_remarks(PdAddRun *run, const char *key, GError **error)
{
    return pd_db_run(run->corpus, error,
                     "DELETE FROM ledger WHERE run_id <> ?1 AND document_id = (SELECT id FROM"
                     " document WHERE source_id = ?2 AND key = ?3 AND state = 'live')",
                     "iit", run->run_id, run->source_id, key);
}

/* The same parts have the same faults. */
static gboolean
copy_remarks(PdAddRun *run, gint64 from, gint64 to, const char *key, GError **error)
{
    return pd_db_run(run->corpus, error,
                     "INSERT INTO ledger(run_id, level, key, reason, n_bytes, document_id)"
                     " SELECT ?, level, ?, reason, n_bytes, ? FROM ledger WHERE document_id = ?"
                     " ORDER BY id",
                     "itii", run->run_id, key, to, from);
}

/*
 * A revision that was there before and comes back: its row, and so its number in old answers, is
 * used again, unless something was folded in it: what that is depends on the mails that are there.
 * *revived FALSE: there is none.
 */
static gboolean
revive(PdAddRun *run, const PdDocument *d, const char *key, const char *parent_key,
       const guint8 parts_sha256[PD_SHA256_BYTES], gboolean *revived, GError **error)
{
    gint64 id;
    if (!pd_db_int(run->corpus, 0, &id, error,
                   "SELECT id FROM document WHERE source_id = ? AND key = ? AND state <> 'live'"
                   " AND parts_sha256 = ? AND NOT EXISTS (SELECT 1 FROM part"
                   "  WHERE document_id = document.id AND n_folded > 0) ORDER BY id DESC LIMIT 1",
                   "itb", run->source_id, key, parts_sha256, (gsize)PD_SHA256_BYTES))
        return FALSE;
    *revived = id != 0;
    if (!id)
        return TRUE;
    return pd_db_run(run->corpus, error,
                     "UPDATE document SET state = 'live', fold_rules = 0 WHERE id = ?", "i", id) &&
           touch_document(run, id, d, parent_key, error) && copied_tokens(run, id, error);
}

/* A document that the reader did not read, as the corpus knows it. */
typedef struct {
    gint64 donor;     /* a document of the same blob */
    PdDocument whole; /* what was sent, with what was not; borrows all strings and parts */
    guint8 parts_sha256[PD_SHA256_BYTES];
} Known;

/* Only parts that were masked by this run's rules count. */
static gboolean
find_known(PdAddRun *run, const PdDocument *d, const char *key, Known *known, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(run->corpus, error,
                    "SELECT id, parts_sha256, raw_sha256, raw_bytes FROM document"
                    " WHERE native_id = ? AND kind = ? AND mask_rules = ?"
                    " ORDER BY raw_sha256 = zeroblob(32), id DESC LIMIT 1",
                    "tti", d->native_id, pd_document_kind_name(d->kind), run->mask_rules);
    int rc = stmt ? pd_db_step(run->corpus, stmt, error) : -1;
    if (rc == SQLITE_DONE)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER,
                    "%s: the reader sent no text for %s (blob %s), which the corpus does not hold",
                    run->alias, key, d->native_id ? d->native_id : "unknown");
    if (rc != SQLITE_ROW)
        return FALSE;
    *known = (Known){.donor = sqlite3_column_int64(stmt, 0), .whole = *d};
    if (sqlite3_column_bytes(stmt, 1) == PD_SHA256_BYTES)
        memcpy(known->parts_sha256, sqlite3_column_blob(stmt, 1), PD_SHA256_BYTES);
    if (sqlite3_column_bytes(stmt, 2) == PD_SHA256_BYTES)
        memcpy(known->whole.raw_sha256, sqlite3_column_blob(stmt, 2), PD_SHA256_BYTES);
    known->whole.raw_bytes = sqlite3_column_int64(stmt, 3);
    return TRUE;
}

/*
 * The reader knows the blob and sent no parts: the document of this path has it, or (a file that
 * moved, a change that was taken back) another one whose parts are shared.
 */
static gboolean
store_known(PdAddRun *run, const PdDocument *d, const char *key, GError **error)
{
    LiveDocument live;
    Known known;
    if (!find_live(run, key, &live, error))
        return FALSE;
    g_autofree char *native_id = live.native_id;
    if (!find_known(run, d, key, &known, error))
        return FALSE;
    if (live.id && live.mask_rules == run->mask_rules && g_strcmp0(native_id, d->native_id) == 0) {
        run->report.n_unchanged++;
        return touch_document(run, live.id, &known.whole, d->parent_key, error);
    }
    if (live.id && !supersede(run, live.id, error))
        return FALSE;
    *(live.id ? &run->report.n_changed : &run->report.n_new) += 1;
    gboolean revived;
    if (!revive(run, &known.whole, key, d->parent_key, known.parts_sha256, &revived, error))
        return FALSE;
    if (revived)
        return TRUE;
    gint64 id = insert_document(run, &known.whole, key, d->parent_key, known.parts_sha256, error);
    return id &&
           pd_db_run(run->corpus, error,
                     "INSERT INTO part(document_id, ord, path, label, text_id, n_boxes, boxes,"
                     " n_view_bytes, view, flow) SELECT ?, ord, path, label, text_id, n_boxes,"
                     " boxes, n_view_bytes, view, flow FROM part WHERE document_id = ?"
                     " ORDER BY ord",
                     "ii", id, known.donor) &&
           copy_remarks(run, known.donor, id, key, error) && copied_tokens(run, id, error);
}

static gboolean
store_parts(PdAddRun *run, const PdDocument *d, const char *key, const char *parent_key,
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
        return forget_remarks(run, key, error);
    gint64 id = insert_document(run, d, key, parent_key, parts_sha256, error);
    if (!id)
        return FALSE;
    /* A mail gets its tokens when it is folded. */
    gboolean tokenize = run->tokenizer && !(d->kind == PD_KIND_MAIL && run->fold);
    for (guint i = 0; i < d->parts->len; i++)
        if (!insert_part(run, id, i, g_ptr_array_index(d->parts, i), tokenize, texts[i], error))
            return FALSE;
    return TRUE;
}

/* --- what was masked ----------------------------------------------------------------------- */

/* "3 secrets: 2 github-token, 1 jwt" */
static char *
tell_masked(GHashTable *kinds, guint n_secrets)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(kinds), (GCompareFunc)strcmp);
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%u %s:", n_secrets, n_secrets == 1 ? "secret" : "secrets");
    for (GList *at = names; at; at = at->next)
        g_string_append_printf(text, "%s %u %s", at == names ? "" : ",",
                               GPOINTER_TO_UINT(g_hash_table_lookup(kinds, at->data)),
                               (char *)at->data);
    return g_string_free(text, FALSE);
}

/* A ledger line for what the model does not get to see of the live document of this key, whether
 * this run stored it or found it unchanged.  `known`: it was not read again and has its line. */
static gboolean
account_masked(PdAddRun *run, const char *key, gboolean known, GError **error)
{
    g_autoptr(GHashTable) kinds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    guint n_secrets = 0;
    gsize n_bytes = 0;
    g_autoptr(PdStmt) stmt =
        pd_db_query(run->corpus, error,
                    "SELECT p.text_id, p.n_view_bytes, p.view FROM document d"
                    " JOIN part p ON p.document_id = d.id WHERE d.source_id = ? AND d.key = ?"
                    " AND d.state = 'live' AND p.view IS NOT NULL",
                    "it", run->source_id, key);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(run->corpus, stmt, error)) == SQLITE_ROW) {
        gsize n_text;
        g_autoptr(PdTextView) view =
            pd_view_unpack(sqlite3_column_blob(stmt, 2), (gsize)sqlite3_column_bytes(stmt, 2),
                           sqlite3_column_int64(stmt, 1), error);
        if (!view)
            return FALSE;
        if (!pd_mask_is_any(view))
            continue;
        g_autofree char *text =
            pd_text_get(run->corpus, sqlite3_column_int64(stmt, 0), &n_text, error);
        if (!text)
            return FALSE;
        n_secrets += pd_mask_count(view, text, n_text, kinds, &n_bytes);
    }
    if (rc != SQLITE_DONE)
        return FALSE;
    if (n_secrets == 0)
        return TRUE;
    run->report.n_masked += n_secrets;
    if (known)
        return TRUE;
    g_autofree char *reason = tell_masked(kinds, n_secrets);
    PdLedgerLine line = {"masked", key, reason, (gint64)n_bytes};
    return pd_add_ledger_line(run, &line, error);
}

/* Remarks on the document, and what came with it, go by the reader's name for it. */
static void
remember_key(PdAddRun *run, const char *given, const char *stored)
{
    if (g_str_equal(given, stored))
        g_hash_table_remove(run->renamed, given);
    else
        g_hash_table_insert(run->renamed, g_strdup(given), g_strdup(stored));
}

/*
 * The key to store a document under, and what lives there.  Two mails of one mailbox may carry the
 * same Message-ID: an equal one is a duplicate (*key NULL), a different one gets "#2".  Counted in
 * the reader's order, which is the source's, so that the next run finds the same names.  Which keys
 * this run has met, the corpus knows: nothing is kept for each document of a large source.
 */
static gboolean
choose_key(PdAddRun *run, const PdDocument *d, const guint8 parts_sha256[PD_SHA256_BYTES],
           char **key, LiveDocument *live, GError **error)
{
    *key = NULL;
    for (guint i = 1;; i++) {
        g_autofree char *name = i == 1 ? g_strdup(d->key) : g_strdup_printf("%s#%u", d->key, i);
        if (!find_live(run, name, live, error))
            return FALSE;
        g_clear_pointer(&live->native_id, g_free);
        gboolean met = live->id && live->last_run == run->run_id;
        if (!met && !g_hash_table_contains(run->failed, name)) {
            remember_key(run, d->key, name);
            *key = g_steal_pointer(&name);
            return TRUE;
        }
        if (met && memcmp(live->parts_sha256, parts_sha256, PD_SHA256_BYTES) == 0) {
            remember_key(run, d->key, name);
            return TRUE;
        }
    }
}

static gboolean
store_document(PdAddRun *run, const PdDocument *d, GError **error)
{
    if (d->unchanged)
        return store_known(run, d, d->key, error) && account_masked(run, d->key, TRUE, error);
    g_autofree guint8(*texts)[PD_SHA256_BYTES] = g_malloc_n(d->parts->len + 1, PD_SHA256_BYTES);
    guint8 parts_sha256[PD_SHA256_BYTES];
    for (guint i = 0; i < d->parts->len; i++) {
        const PdPart *part = g_ptr_array_index(d->parts, i);
        if (part->text->len > G_MAXINT32 || !pd_utf8_is_valid(part->text->str, part->text->len)) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT,
                        "%s: the reader gave a part that is not UTF-8 or too large: %s %s",
                        run->alias, d->key, part->path);
            return FALSE;
        }
        pd_sha256(part->text->str, part->text->len, texts[i]);
    }
    hash_parts(d, (const guint8(*)[PD_SHA256_BYTES])texts, parts_sha256);
    g_autofree char *key = NULL;
    LiveDocument live;
    if (!choose_key(run, d, parts_sha256, &key, &live, error))
        return FALSE;
    if (!key) {
        PdLedgerLine line = {"duplicate", d->key, "the same document was met before", d->raw_bytes};
        return pd_add_ledger_line(run, &line, error);
    }
    const char *parent_key = d->parent_key;
    if (parent_key && g_hash_table_contains(run->renamed, parent_key))
        parent_key = g_hash_table_lookup(run->renamed, parent_key);
    gboolean unchanged = live.id && memcmp(live.parts_sha256, parts_sha256, PD_SHA256_BYTES) == 0;
    run->report.n_unchanged += unchanged;
    return (unchanged ? touch_document(run, live.id, d, parent_key, error) &&
                            forget_remarks(run, key, error)
                      : store_parts(run, d, key, parent_key, &live, parts_sha256,
                                    (const guint8(*)[PD_SHA256_BYTES])texts, error)) &&
           account_masked(run, key, FALSE, error);
}

/* A document that the corpus cannot take costs that document; anything else ends the run. */
static gboolean
costs_one_document(const GError *error)
{
    return g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_FORMAT) ||
           g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT) ||
           g_error_matches(error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER);
}

gboolean
pd_add_document(PdAddRun *run, const PdDocument *d, GError **error)
{
    g_autoptr(GError) local = NULL;
    PdAddReport before = run->report;
    if (!pd_db_exec(run->corpus, "SAVEPOINT document", error))
        return FALSE;
    if (store_document(run, d, &local)) {
        run->report.n_read++;
        return pd_db_exec(run->corpus, "RELEASE document", error);
    }
    run->report = before;
    /* A full disk may have undone the whole transaction already. */
    gboolean undone = !sqlite3_get_autocommit(run->corpus->db) &&
                      pd_db_exec(run->corpus, "ROLLBACK TO document; RELEASE document", NULL);
    if (!undone || !costs_one_document(local)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    PdLedgerLine line = {"failed", d->key, local->message, d->raw_bytes};
    return pd_add_ledger_line(run, &line, error);
}
