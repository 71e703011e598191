/*
 * Walking over what is tokenized, for those who need every segment but no model: all tokenizers'
 * tokens, nothing made, no text unpacked.
 */
#include "ingest/corpus_internal.h"

typedef struct {
    PdCorpus *corpus;
    gint64 tokenizer_row;
    PdCorpusSegmentFunc func;
    gpointer user_data;
} Walk;

static gboolean
walk_part(const Walk *walk, const PdDocumentRow *document, const PdPartRow *part, gint64 text_id,
          GError **error)
{
    g_autoptr(GPtrArray) segments =
        pd_segments_get(walk->corpus, text_id, walk->tokenizer_row, error);
    if (!segments)
        return FALSE;
    for (guint i = 0; i < segments->len; i++) {
        PdSegmentRow *segment = g_ptr_array_index(segments, i);
        segment->part_id = part->id;
        segment->document_id = document->id;
        walk->func(walk->tokenizer_row, document, part, segment, walk->user_data);
    }
    return TRUE;
}

static gboolean
walk_document(const Walk *walk, const PdDocumentRow *document, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(walk->corpus, error,
                    "SELECT id, path, label, text_id FROM part WHERE document_id = ? ORDER BY ord",
                    "i", document->id);
    if (!stmt)
        return FALSE;
    int rc;
    while ((rc = pd_db_step(walk->corpus, stmt, error)) == SQLITE_ROW) {
        g_autoptr(PdPartRow) part = g_new0(PdPartRow, 1);
        part->id = sqlite3_column_int64(stmt, 0);
        part->document_id = document->id;
        part->path = pd_db_text(stmt, 1);
        part->label = pd_db_text(stmt, 2);
        if (!walk_part(walk, document, part, sqlite3_column_int64(stmt, 3), error))
            return FALSE;
    }
    return rc == SQLITE_DONE;
}

static GArray *
list_tokenizers(PdCorpus *corpus, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(PdStmt) stmt = pd_db_query(corpus, error, "SELECT id FROM tokenizer ORDER BY id", "");
    if (!stmt)
        return NULL;
    int rc;
    while ((rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        gint64 id = sqlite3_column_int64(stmt, 0);
        g_array_append_val(rows, id);
    }
    return rc == SQLITE_DONE ? g_steal_pointer(&rows) : NULL;
}

gboolean
pd_corpus_each_segment(PdCorpus *corpus, PdCorpusSegmentFunc func, gpointer user_data,
                       GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) documents = pd_corpus_documents(corpus, NULL, error);
    g_autoptr(GArray) tokenizers = documents ? list_tokenizers(corpus, error) : NULL;
    if (!tokenizers)
        return FALSE;
    for (guint t = 0; t < tokenizers->len; t++) {
        Walk walk = {corpus, g_array_index(tokenizers, gint64, t), func, user_data};
        for (guint i = 0; i < documents->len; i++) {
            if (g_cancellable_is_cancelled(cancellable)) {
                g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED,
                                    "interrupted");
                return FALSE;
            }
            const PdDocumentRow *document = g_ptr_array_index(documents, i);
            if (!document->duplicate_of && !walk_document(&walk, document, error))
                return FALSE;
        }
    }
    return TRUE;
}
