/* Folded parts as they are stored, and undoing it: see fold.h. */
#include "ingest/fold.h"
#include "ingest/flow.h"

GArray *
pd_fold_kept_marks(const PdPartRow *part, GStringChunk *names)
{
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(PdReplacement));
    for (guint i = 0; part->view && i < part->view->marks->len; i++) {
        const PdMark *mark = &g_array_index(part->view->marks, PdMark, i);
        if (!pd_mark_is_mask(mark))
            continue;
        PdReplacement r = {mark->original_start, mark->original_end,
                           g_string_chunk_insert_len(names, part->text + mark->start,
                                                     (gssize)(mark->end - mark->start)),
                           mark->kind};
        g_array_append_val(kept, r);
    }
    return kept;
}

/* --- storing ------------------------------------------------------------------------------- */

/* A superseded document for a part as it was; it equals no revision that may come back. */
static gint64
retire_document(PdCorpus *corpus, gint64 id, GError **error)
{
    if (!pd_db_run(corpus, error,
                   "INSERT INTO document(source_id, key, kind, state, parent_key, title, author,"
                   " recipients, date_utc, native_id, revision, in_reply_to, raw_sha256,"
                   " raw_offset, raw_bytes, parts_sha256, mask_rules, first_run, last_run)"
                   " SELECT source_id, key, kind, 'superseded', parent_key, title, author,"
                   " recipients, date_utc, native_id, revision, in_reply_to, raw_sha256,"
                   " raw_offset, raw_bytes, zeroblob(32), mask_rules, first_run, 0"
                   " FROM document WHERE id = ?",
                   "i", id))
        return 0;
    return sqlite3_last_insert_rowid(corpus->db);
}

static gboolean
replace_text(PdCorpus *corpus, gint64 part_id, gint64 text_id, gint64 old_text_id, GError **error)
{
    return pd_db_run(corpus, error, "UPDATE part SET text_id = ? WHERE id = ?", "ii", text_id,
                     part_id) &&
           pd_db_run(corpus, error,
                     "DELETE FROM text WHERE id = ?1 AND NOT EXISTS"
                     " (SELECT 1 FROM part WHERE text_id = ?1)",
                     "i", old_text_id);
}

/* The part that takes the place of this one: itself if nobody can have seen it. */
static gint64
part_to_change(PdCorpus *corpus, const PdPartRow *part, gint64 run_id, GError **error)
{
    gint64 first_run;
    if (!pd_db_int(corpus, 0, &first_run, error, "SELECT first_run FROM document WHERE id = ?", "i",
                   part->document_id))
        return 0;
    if (run_id && first_run == run_id)
        return part->id;
    gint64 retired = retire_document(corpus, part->document_id, error);
    if (!retired ||
        !pd_db_run(corpus, error, "UPDATE part SET document_id = ? WHERE id = ?", "ii", retired,
                   part->id) ||
        !pd_db_run(corpus, error, "DELETE FROM fold WHERE part_id = ?", "i", part->id) ||
        !pd_db_run(corpus, error,
                   "INSERT INTO part(document_id, ord, path, label, text_id, n_boxes, boxes, flow)"
                   " SELECT ?, ord, path, label, text_id, n_boxes, boxes, flow FROM part"
                   " WHERE id = ?",
                   "ii", part->document_id, part->id))
        return 0;
    return sqlite3_last_insert_rowid(corpus->db);
}

gboolean
pd_fold_store(PdCorpus *corpus, const PdPartRow *part, const GString *text, const PdTextView *view,
              guint n_folded, gsize n_bytes, gint64 run_id, GError **error)
{
    guint8 sha256[PD_SHA256_BYTES];
    g_autoptr(GBytes) packed = NULL;
    gsize n_view = 0;
    gint64 old_text_id;
    gint64 id = part_to_change(corpus, part, run_id, error);
    pd_sha256(text->str, text->len, sha256);
    gint64 text_id = id ? pd_text_put(corpus, text->str, text->len, sha256, NULL, error) : 0;
    if (!text_id || (view && !(packed = pd_view_pack(view, &n_view, error))) ||
        !pd_db_int(corpus, 0, &old_text_id, error, "SELECT text_id FROM part WHERE id = ?", "i",
                   id))
        return FALSE;
    return pd_db_run(corpus, error,
                     "UPDATE part SET n_view_bytes = ?, view = ?, n_folded = ?, folded_bytes = ?"
                     " WHERE id = ?",
                     "ibiii", (gint64)n_view, packed ? g_bytes_get_data(packed, NULL) : NULL,
                     packed ? g_bytes_get_size(packed) : (gsize)0, (gint64)n_folded,
                     (gint64)n_bytes, id) &&
           replace_text(corpus, id, text_id, old_text_id, error);
}

/* --- undoing ------------------------------------------------------------------------------- */

static gboolean
unfold_part(PdCorpus *corpus, gint64 part_id, gint64 run_id, GError **error)
{
    g_autoptr(PdPartRow) part = pd_corpus_part(corpus, part_id, error);
    g_autoptr(GString) text = part ? pd_part_row_original(part, error) : NULL;
    if (!text || !pd_db_run(corpus, error, "DELETE FROM fold WHERE part_id = ?", "i", part_id))
        return FALSE;
    g_autoptr(GStringChunk) names = g_string_chunk_new(1024);
    g_autoptr(GArray) kept = pd_fold_kept_marks(part, names);
    g_autoptr(PdTextView) view = pd_flow_view(text, kept, part->flow);
    return pd_fold_store(corpus, part, text, view, 0, 0, run_id, error);
}

static GArray *
ids_of(PdCorpus *corpus, const char *sql, gint64 id, GError **error)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, sql, "i", id);
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        gint64 found = sqlite3_column_int64(stmt, 0);
        g_array_append_val(ids, found);
    }
    return rc == SQLITE_DONE ? g_steal_pointer(&ids) : NULL;
}

static gboolean
unfold(PdCorpus *corpus, gint64 document_id, gint64 run_id, GError **error)
{
    g_autoptr(GArray) parts =
        ids_of(corpus, "SELECT id FROM part WHERE document_id = ? AND n_folded > 0 ORDER BY ord",
               document_id, error);
    for (guint i = 0; parts && i < parts->len; i++)
        if (!unfold_part(corpus, g_array_index(parts, gint64, i), run_id, error))
            return FALSE;
    return parts != NULL;
}

/* Whoever leaves out what the documents of `queue` have is read whole, waits, and joins the queue:
 * settled mails rest on settled ones only. */
static gboolean
release_queue(PdCorpus *corpus, GArray *queue, gint64 run_id, GError **error)
{
    for (guint i = 0; i < queue->len; i++) {
        g_autoptr(GArray) resting =
            ids_of(corpus,
                   "SELECT DISTINCT p.document_id FROM fold f JOIN part p ON p.id = f.part_id"
                   " WHERE f.document_id = ? ORDER BY 1",
                   g_array_index(queue, gint64, i), error);
        if (!resting)
            return FALSE;
        for (guint k = 0; k < resting->len; k++) {
            gint64 id = g_array_index(resting, gint64, k);
            if (!unfold(corpus, id, run_id, error) ||
                !pd_db_run(corpus, error, "UPDATE document SET fold_rules = ? WHERE id = ?", "ii",
                           (gint64)PD_FOLD_WAITS, id))
                return FALSE;
            g_array_append_val(queue, id);
        }
    }
    return TRUE;
}

gboolean
pd_fold_release(PdCorpus *corpus, const gint64 *document_ids, gsize n, gint64 run_id,
                GError **error)
{
    g_autoptr(GArray) queue = g_array_new(FALSE, FALSE, sizeof(gint64));
    for (gsize i = 0; i < n; i++)
        if (!pd_db_run(corpus, error,
                       "DELETE FROM fold WHERE part_id IN"
                       " (SELECT id FROM part WHERE document_id = ?)",
                       "i", document_ids[i]))
            return FALSE;
    if (n > 0)
        g_array_append_vals(queue, document_ids, (guint)n);
    return release_queue(corpus, queue, run_id, error);
}

gboolean
pd_fold_choose(PdCorpus *corpus, gint64 document_id, gboolean fold, gint64 run_id, GError **error)
{
    gint64 rules;
    if (!pd_db_int(corpus, 0, &rules, error, "SELECT fold_rules FROM document WHERE id = ?", "i",
                   document_id))
        return FALSE;
    if (fold ? rules == PD_FOLD_RULES || rules == PD_FOLD_WAITS : rules == 0)
        return TRUE;
    g_autoptr(GArray) queue = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_array_append_val(queue, document_id);
    /* Whole, it rests on nobody, and others may go on resting on it. */
    return unfold(corpus, document_id, run_id, error) &&
           (!fold || release_queue(corpus, queue, run_id, error)) &&
           pd_db_run(corpus, error, "UPDATE document SET fold_rules = ? WHERE id = ?", "ii",
                     fold ? PD_FOLD_WAITS : (gint64)0, document_id);
}
