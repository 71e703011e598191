/*
 * Reading the corpus: documents in order, their parts, and the segments of all of them.
 */
#include <string.h>
#include "ingest/corpus_internal.h"
#include "ingest/segmenter.h"

void
pd_document_row_free(PdDocumentRow *row)
{
    if (!row)
        return;
    g_free(row->source);
    g_free(row->key);
    g_free(row->title);
    g_free(row->author);
    g_free(row->recipients);
    g_free(row->native_id);
    g_free(row->revision);
    g_free(row);
}

void
pd_part_row_free(PdPartRow *row)
{
    if (!row)
        return;
    g_free(row->path);
    g_free(row->label);
    g_free(row->text);
    pd_text_view_free(row->view);
    g_clear_pointer(&row->boxes, g_array_unref);
    g_free(row);
}

void
pd_segment_row_free(PdSegmentRow *row)
{
    if (!row)
        return;
    g_free(row->ids);
    g_free(row->offsets);
    g_free(row);
}

static void
order_entry_free(gpointer data)
{
    PdOrderEntry *entry = data;
    g_free(entry->parent_key);
    g_free(entry->in_reply_to);
    g_free(entry->parts_sha256);
    g_free(entry->thread);
    g_free(entry);
}

PdDocumentKind
pd_document_kind_from_name(const char *name)
{
    for (int kind = 0; kind < PD_N_KINDS; kind++)
        if (g_strcmp0(name, pd_document_kind_name(kind)) == 0)
            return kind;
    return PD_KIND_TEXT;
}

static PdDocumentRow *
document_from_row(PdStmt *stmt)
{
    PdDocumentRow *row = g_new0(PdDocumentRow, 1);
    row->id = sqlite3_column_int64(stmt, 0);
    row->source_id = sqlite3_column_int64(stmt, 1);
    row->kind = pd_document_kind_from_name((const char *)sqlite3_column_text(stmt, 2));
    row->source = pd_db_text(stmt, 3);
    row->key = pd_db_text(stmt, 4);
    row->title = pd_db_text(stmt, 5);
    row->author = pd_db_text(stmt, 6);
    row->recipients = pd_db_text(stmt, 7);
    row->date_utc =
        sqlite3_column_type(stmt, 8) == SQLITE_NULL ? G_MININT64 : sqlite3_column_int64(stmt, 8);
    row->native_id = pd_db_text(stmt, 9);
    row->revision = pd_db_text(stmt, 10);
    row->n_parts = (guint)sqlite3_column_int(stmt, 11);
    row->n_bytes = (guint64)sqlite3_column_int64(stmt, 12);
    row->n_tokens = (guint64)sqlite3_column_int64(stmt, 13);
    return row;
}

/* One row a live document; parts and tokens are summed per text first, as texts are shared. */
#define DOCUMENTS_SQL                                                                              \
    "WITH tokens AS (SELECT text_id, sum(n_tokens) AS n FROM segment WHERE tokenizer_id = ?1"      \
    "  GROUP BY text_id)"                                                                          \
    "SELECT d.id, d.source_id, d.kind, s.alias, d.key, d.title, d.author, d.recipients,"           \
    "  d.date_utc, d.native_id, d.revision, count(p.id), coalesce(sum(t.n_bytes), 0),"             \
    "  coalesce(sum(k.n), 0), d.parent_key, d.in_reply_to,"                                        \
    "  hex(d.parts_sha256)"                                                                        \
    " FROM document d JOIN source s ON s.id = d.source_id"                                         \
    " LEFT JOIN part p ON p.document_id = d.id LEFT JOIN text t ON t.id = p.text_id"               \
    " LEFT JOIN tokens k ON k.text_id = p.text_id"                                                 \
    " WHERE d.state = 'live' GROUP BY d.id ORDER BY d.id"

GPtrArray *
pd_corpus_documents(PdCorpus *corpus, PdTokenizer *tokenizer, GError **error)
{
    gint64 tokenizer_row = tokenizer ? pd_tokenizer_row(corpus, tokenizer, FALSE, error)
                                     : pd_tokenizer_row_usual(corpus, error);
    if (tokenizer_row < 0)
        return NULL;
    g_autoptr(GPtrArray) rows =
        g_ptr_array_new_with_free_func((GDestroyNotify)pd_document_row_free);
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(order_entry_free);
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, DOCUMENTS_SQL, "i", tokenizer_row);
    if (!stmt)
        return NULL;
    int rc;
    while ((rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        PdOrderEntry *entry = g_new0(PdOrderEntry, 1);
        entry->row = document_from_row(stmt);
        entry->parent_key = pd_db_text(stmt, 14);
        entry->in_reply_to = pd_db_text(stmt, 15);
        entry->parts_sha256 = pd_db_text(stmt, 16);
        g_ptr_array_add(rows, entry->row);
        g_ptr_array_add(entries, entry);
    }
    if (rc != SQLITE_DONE)
        return NULL;
    pd_order_documents(entries);
    for (guint i = 0; i < entries->len; i++)
        rows->pdata[i] = ((PdOrderEntry *)g_ptr_array_index(entries, i))->row;
    return g_steal_pointer(&rows);
}

#define PARTS_SQL                                                                                  \
    "SELECT id, document_id, path, label, text_id, n_boxes, boxes, n_view_bytes, view, flow"       \
    " FROM part"

/* `text_id` is taken along: the text is read when the statement is no longer needed. */
static PdPartRow *
part_from_row(PdStmt *stmt, gint64 *text_id, GError **error)
{
    g_autoptr(PdPartRow) row = g_new0(PdPartRow, 1);
    row->id = sqlite3_column_int64(stmt, 0);
    row->document_id = sqlite3_column_int64(stmt, 1);
    row->path = pd_db_text(stmt, 2);
    row->label = pd_db_text(stmt, 3);
    *text_id = sqlite3_column_int64(stmt, 4);
    if (sqlite3_column_type(stmt, 6) != SQLITE_NULL) {
        row->boxes =
            pd_boxes_unpack(sqlite3_column_blob(stmt, 6), (gsize)sqlite3_column_bytes(stmt, 6),
                            sqlite3_column_int64(stmt, 5), error);
        if (!row->boxes)
            return NULL;
    }
    if (sqlite3_column_type(stmt, 8) != SQLITE_NULL) {
        row->view =
            pd_view_unpack(sqlite3_column_blob(stmt, 8), (gsize)sqlite3_column_bytes(stmt, 8),
                           sqlite3_column_int64(stmt, 7), error);
        if (!row->view)
            return NULL;
    }
    row->flow = (PdFlow)sqlite3_column_int(stmt, 9);
    return g_steal_pointer(&row);
}

GString *
pd_part_row_original(const PdPartRow *part, GError **error)
{
    GString *original = part->view ? pd_text_view_original(part->view, part->text, part->n_bytes)
                                   : g_string_new_len(part->text, (gssize)part->n_bytes);
    if (!original)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "part %" G_GINT64_FORMAT
                    ": its masked places do not fit its text; run: pandect verify",
                    part->id);
    return original;
}

GPtrArray *
pd_corpus_parts(PdCorpus *corpus, gint64 document_id, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)pd_part_row_free);
    g_autoptr(PdStmt) stmt = pd_db_query(
        corpus, error, PARTS_SQL " WHERE document_id = ? ORDER BY ord", "i", document_id);
    if (!stmt)
        return NULL;
    int rc;
    while ((rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        gint64 text_id;
        PdPartRow *row = part_from_row(stmt, &text_id, error);
        if (!row)
            return NULL;
        g_ptr_array_add(rows, row);
        row->text = pd_text_get(corpus, text_id, &row->n_bytes, error);
        if (!row->text)
            return NULL;
    }
    return rc == SQLITE_DONE ? g_steal_pointer(&rows) : NULL;
}

PdPartRow *
pd_corpus_part(PdCorpus *corpus, gint64 part_id, GError **error)
{
    gint64 text_id;
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, PARTS_SQL " WHERE id = ?", "i", part_id);
    if (!stmt)
        return NULL;
    int rc = pd_db_step(corpus, stmt, error);
    if (rc == SQLITE_DONE)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND,
                    "%s: no part %" G_GINT64_FORMAT "; see: pandect ls", corpus->dir, part_id);
    if (rc != SQLITE_ROW)
        return NULL;
    g_autoptr(PdPartRow) row = part_from_row(stmt, &text_id, error);
    if (!row)
        return NULL;
    row->text = pd_text_get(corpus, text_id, &row->n_bytes, error);
    return row->text ? g_steal_pointer(&row) : NULL;
}

/* --- segments ------------------------------------------------------------------------------ */

typedef struct {
    PdCorpus *corpus;
    PdTokenizer *tokenizer;
    gint64 tokenizer_row;
    GCancellable *cancellable;
    GHashTable *made; /* text id -> segments made for this call alone (corpus open for reading) */
    gint64 next_made_id;
} SegmentReader;

/* Tokenizes a text that the corpus holds without tokens for this tokenizer. */
static GPtrArray *
make_segments(SegmentReader *reader, gint64 text_id, GError **error)
{
    gsize n_bytes;
    g_autofree char *text = pd_text_get(reader->corpus, text_id, &n_bytes, error);
    if (!text)
        return NULL;
    if (reader->corpus->mode != PD_CORPUS_READ) {
        guint64 n_tokens;
        if (!pd_segments_ensure(reader->corpus, reader->tokenizer, reader->tokenizer_row, text_id,
                                text, n_bytes, &n_tokens, reader->cancellable, error))
            return NULL;
        return pd_segments_get(reader->corpus, text_id, reader->tokenizer_row, error);
    }
    g_autoptr(GPtrArray) cuts =
        pd_segment_text(reader->tokenizer, text, n_bytes, reader->cancellable, error);
    if (!cuts)
        return NULL;
    GPtrArray *rows = g_ptr_array_new_with_free_func((GDestroyNotify)pd_segment_row_free);
    for (guint i = 0; i < cuts->len; i++) {
        PdSegmentCut *cut = g_ptr_array_index(cuts, i);
        PdSegmentRow *row = g_new0(PdSegmentRow, 1);
        row->id = --reader->next_made_id;
        row->start = cut->start;
        row->end = cut->end;
        row->n_tokens = cut->ids->len;
        row->ids = (guint32 *)(gpointer)g_array_free(g_steal_pointer(&cut->ids), FALSE);
        row->offsets = (guint32 *)(gpointer)g_array_free(g_steal_pointer(&cut->offsets), FALSE);
        g_ptr_array_add(rows, row);
    }
    return rows;
}

static PdSegmentRow *
copy_segment(const PdSegmentRow *from)
{
    PdSegmentRow *row = g_memdup2(from, sizeof *from);
    row->ids = g_memdup2(from->ids, from->n_tokens * sizeof(guint32));
    row->offsets = g_memdup2(from->offsets, from->n_tokens * sizeof(guint32));
    return row;
}

static gboolean
append_part(SegmentReader *reader, GPtrArray *rows, gint64 part_id, gint64 document_id,
            gint64 text_id, GError **error)
{
    g_autoptr(GPtrArray) segments = g_hash_table_lookup(reader->made, &text_id);
    if (segments) {
        g_ptr_array_ref(segments);
    } else {
        segments = reader->tokenizer_row
                       ? pd_segments_get(reader->corpus, text_id, reader->tokenizer_row, error)
                       : g_ptr_array_new_with_free_func((GDestroyNotify)pd_segment_row_free);
        if (!segments)
            return FALSE;
        if (segments->len == 0) {
            g_clear_pointer(&segments, g_ptr_array_unref);
            segments = make_segments(reader, text_id, error);
            if (!segments)
                return FALSE;
            g_hash_table_insert(reader->made, g_memdup2(&text_id, sizeof text_id),
                                g_ptr_array_ref(segments));
        }
    }
    for (guint i = 0; i < segments->len; i++) {
        PdSegmentRow *row = copy_segment(g_ptr_array_index(segments, i));
        row->part_id = part_id;
        row->document_id = document_id;
        g_ptr_array_add(rows, row);
    }
    return TRUE;
}

static gboolean
append_document(SegmentReader *reader, GPtrArray *rows, gint64 document_id, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(reader->corpus, error,
                    "SELECT p.id, p.text_id FROM part p JOIN text t ON t.id = p.text_id"
                    " WHERE p.document_id = ? AND t.n_bytes > 0 ORDER BY p.ord",
                    "i", document_id);
    if (!stmt)
        return FALSE;
    int rc;
    while ((rc = pd_db_step(reader->corpus, stmt, error)) == SQLITE_ROW)
        if (!append_part(reader, rows, sqlite3_column_int64(stmt, 0), document_id,
                         sqlite3_column_int64(stmt, 1), error))
            return FALSE;
    return rc == SQLITE_DONE;
}

GPtrArray *
pd_corpus_segments(PdCorpus *corpus, PdTokenizer *tokenizer, GCancellable *cancellable,
                   GError **error)
{
    gboolean writable = corpus->mode != PD_CORPUS_READ;
    g_autoptr(GHashTable) made = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                                       (GDestroyNotify)g_ptr_array_unref);
    SegmentReader reader = {corpus, tokenizer, 0, cancellable, made, 0};
    g_autoptr(GPtrArray) documents = pd_corpus_documents(corpus, tokenizer, error);
    if (!documents)
        return NULL;
    reader.tokenizer_row = pd_tokenizer_row(corpus, tokenizer, writable, error);
    if (reader.tokenizer_row < 0)
        return NULL;
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)pd_segment_row_free);
    for (guint i = 0; i < documents->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(documents, i);
        if (row->duplicate_of)
            continue;
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED, "interrupted");
            return NULL;
        }
        /* A document a transaction: what was tokenized before an interruption is kept. */
        if (writable && !pd_db_exec(corpus, "BEGIN IMMEDIATE", error))
            return NULL;
        if (!append_document(&reader, rows, row->id, error) ||
            (writable && !pd_db_exec(corpus, "COMMIT", error))) {
            pd_db_rollback(corpus);
            return NULL;
        }
    }
    return g_steal_pointer(&rows);
}
