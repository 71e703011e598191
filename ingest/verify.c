/*
 * Checking a corpus: SQLite's own checks, then the invariants of migrations.c, then the contents:
 * every text against its SHA-256, every segment's tokens against its bytes.  Each finding is one
 * line; the check goes on after a finding and fails only if it cannot.
 */
#include <stdarg.h>
#include <string.h>
#include "ingest/corpus_internal.h"
#include "ingest/segmenter.h"

typedef struct {
    PdCorpus *corpus;
    PdTokenizer *tokenizer; /* may be NULL: token ids are then not decoded */
    gint64 tokenizer_row;
    GPtrArray *findings;
} Check;

static void found(Check *check, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
found(Check *check, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(check->findings, g_strdup_vprintf(format, args));
    va_end(args);
}

/* PRAGMA integrity_check answers "ok" or a line per fault. */
static gboolean
check_integrity(Check *check, GError **error)
{
    g_autoptr(PdStmt) stmt = pd_db_query(check->corpus, error, "PRAGMA integrity_check", "");
    if (!stmt)
        return FALSE;
    int rc;
    while ((rc = pd_db_step(check->corpus, stmt, error)) == SQLITE_ROW) {
        const char *line = (const char *)sqlite3_column_text(stmt, 0);
        if (g_strcmp0(line, "ok") != 0)
            found(check, "database: %s", line);
    }
    return rc == SQLITE_DONE;
}

static gboolean
check_foreign_keys(Check *check, GError **error)
{
    g_autoptr(PdStmt) stmt = pd_db_query(check->corpus, error, "PRAGMA foreign_key_check", "");
    if (!stmt)
        return FALSE;
    int rc;
    while ((rc = pd_db_step(check->corpus, stmt, error)) == SQLITE_ROW)
        found(check, "database: row %s of %s refers to a missing row of %s",
              (const char *)sqlite3_column_text(stmt, 1),
              (const char *)sqlite3_column_text(stmt, 0),
              (const char *)sqlite3_column_text(stmt, 2));
    return rc == SQLITE_DONE;
}

/* Queries whose every row is a fault: a number and the sentence that it goes into. */
static gboolean
check_rows(Check *check, const char *sql, const char *format_prefix, const char *format_suffix,
           GError **error)
{
    g_autoptr(PdStmt) stmt = pd_db_query(check->corpus, error, sql, "");
    if (!stmt)
        return FALSE;
    int rc;
    while ((rc = pd_db_step(check->corpus, stmt, error)) == SQLITE_ROW)
        found(check, "%s %s%s", format_prefix, (const char *)sqlite3_column_text(stmt, 0),
              format_suffix);
    return rc == SQLITE_DONE;
}

static gboolean
check_accounts(Check *check, GError **error)
{
    gboolean is_open;
    if (!pd_corpus_purge_is_open(check->corpus, &is_open, error))
        return FALSE;
    if (is_open)
        found(check, "a purge was interrupted; finish it with: pandect -C %s purge",
              check->corpus->dir);
    return check_rows(check,
                      "SELECT id FROM text t WHERE NOT EXISTS"
                      " (SELECT 1 FROM part WHERE text_id = t.id)",
                      "text", " belongs to no document", error) &&
           check_rows(check,
                      "SELECT id FROM run WHERE n_emitted <>"
                      " n_new + n_unchanged + n_changed + n_duplicate",
                      "run", ": its counts do not add up", error) &&
           check_rows(check,
                      "SELECT DISTINCT f.part_id FROM fold f JOIN part p ON p.id = f.part_id"
                      " JOIN document d ON d.id = p.document_id"
                      " JOIN document o ON o.id = f.document_id"
                      " WHERE d.state <> 'live' OR o.state <> 'live'",
                      "part", ": what it leaves out stands in a mail that is gone", error) &&
           check_rows(check, "SELECT id FROM run WHERE n_found <> n_emitted + n_skipped + n_failed",
                      "run", ": what it found is not what it read, skipped and failed on", error) &&
           check_rows(check,
                      "SELECT id FROM run r WHERE id = (SELECT max(id) FROM run"
                      " WHERE source_id = r.source_id) AND (n_skipped, n_failed, n_duplicate) <>"
                      " (SELECT coalesce(sum(level = 'skipped'), 0),"
                      "  coalesce(sum(level = 'failed'), 0),"
                      "  coalesce(sum(level = 'duplicate'), 0) FROM ledger WHERE run_id = r.id)",
                      "run", ": its ledger does not have the lines that it counted", error) &&
           check_rows(check,
                      "SELECT s.alias FROM source s JOIN run r ON r.id ="
                      " (SELECT max(id) FROM run WHERE source_id = s.id)"
                      " WHERE r.status = 'done' AND (SELECT count(*) FROM document"
                      "  WHERE source_id = s.id AND last_run = r.id)"
                      "  <> r.n_emitted - r.n_duplicate - r.n_dropped",
                      "source", ": documents are missing that its last run stored", error);
}

/* --- contents ------------------------------------------------------------------------------ */

/* A SentencePiece vocabulary writes a space as U+2581 and cannot tell one from the other. */
static gboolean
same_but_for_spaces(const GString *decoded, const char *text, gsize n_bytes)
{
    g_autoptr(GString) folded = g_string_new_len(text, (gssize)n_bytes);
    g_string_replace(folded, "\xe2\x96\x81", " ", 0);
    return g_string_equal(folded, decoded);
}

static void
check_decoding(Check *check, gint64 text_id, const char *text, const PdSegmentRow *segment)
{
    g_autoptr(GString) decoded = g_string_new(NULL);
    guint32 n_vocab = pd_tokenizer_n_vocab(check->tokenizer);
    for (guint32 i = 0; i < segment->n_tokens; i++) {
        if (segment->ids[i] >= n_vocab) {
            found(check,
                  "text %" G_GINT64_FORMAT ": token %u of its segment at byte %u is out of range",
                  text_id, i, segment->start);
            return;
        }
        pd_tokenizer_decode(check->tokenizer, segment->ids[i], TRUE, decoded);
    }
    gsize n = segment->end - segment->start;
    const char *bytes = text + segment->start;
    if ((decoded->len != n || memcmp(decoded->str, bytes, n) != 0) &&
        !same_but_for_spaces(decoded, bytes, n))
        found(check,
              "text %" G_GINT64_FORMAT
              ": the tokens of its segment at byte %u do not give back its bytes",
              text_id, segment->start);
}

/* The segments of one text and tokenizer tile the text; offsets rise inside them. */
static gboolean
check_segments(Check *check, gint64 text_id, gint64 tokenizer_row, const char *text, gsize n_bytes,
               GError **error)
{
    g_autoptr(GPtrArray) segments = pd_segments_get(check->corpus, text_id, tokenizer_row, error);
    if (!segments)
        return FALSE;
    guint32 at = 0;
    for (guint i = 0; i < segments->len; i++) {
        const PdSegmentRow *segment = g_ptr_array_index(segments, i);
        gboolean sound = segment->start == at && segment->end > at && segment->end <= n_bytes &&
                         segment->n_tokens > 0 && segment->n_tokens <= PD_SEGMENT_TOKENS_MAX;
        for (guint32 t = 0; sound && t < segment->n_tokens; t++)
            sound = segment->offsets[t] < segment->end &&
                    segment->offsets[t] >= (t ? segment->offsets[t - 1] : segment->start);
        if (!sound) {
            found(check, "text %" G_GINT64_FORMAT ": its segment at byte %u is damaged", text_id,
                  segment->start);
            return TRUE;
        }
        at = segment->end;
        if (check->tokenizer && tokenizer_row == check->tokenizer_row)
            check_decoding(check, text_id, text, segment);
    }
    if (segments->len > 0 && at != n_bytes)
        found(check, "text %" G_GINT64_FORMAT ": its segments end at byte %u of %" G_GSIZE_FORMAT,
              text_id, at, n_bytes);
    return TRUE;
}

static GArray *
ids_of(Check *check, const char *sql, GError **error)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(PdStmt) stmt = pd_db_query(check->corpus, error, sql, "");
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(check->corpus, stmt, error)) == SQLITE_ROW) {
        gint64 id = sqlite3_column_int64(stmt, 0);
        g_array_append_val(ids, id);
    }
    return rc == SQLITE_DONE ? g_steal_pointer(&ids) : NULL;
}

static gboolean
check_text(Check *check, gint64 id, GArray *tokenizers, GError **error)
{
    gsize n_bytes;
    g_autoptr(GError) local = NULL;
    g_autofree char *text = pd_text_get(check->corpus, id, &n_bytes, &local);
    if (!text) {
        found(check, "text %" G_GINT64_FORMAT ": %s", id, local->message);
        return TRUE;
    }
    guint8 digest[PD_SHA256_BYTES];
    pd_sha256(text, n_bytes, digest);
    gint64 same;
    if (!pd_db_int(check->corpus, 0, &same, error, "SELECT sha256 = ? FROM text WHERE id = ?", "bi",
                   digest, (gsize)PD_SHA256_BYTES, id))
        return FALSE;
    if (!same)
        found(check, "text %" G_GINT64_FORMAT ": its bytes do not match its SHA-256", id);
    for (guint i = 0; i < tokenizers->len; i++)
        if (!check_segments(check, id, g_array_index(tokenizers, gint64, i), text, n_bytes,
                            &local)) {
            found(check, "text %" G_GINT64_FORMAT ": %s", id, local->message);
            g_clear_error(&local);
        }
    return TRUE;
}

/* Boxes lie inside their part's original text. */
static gboolean
boxes_are_sound(const void *data, gsize n_packed, gint64 n_boxes, gint64 n_bytes)
{
    g_autoptr(GArray) boxes = pd_boxes_unpack(data, n_packed, n_boxes, NULL);
    gboolean sound = boxes != NULL;
    for (guint i = 0; sound && i < boxes->len; i++) {
        const PdBox *box = &g_array_index(boxes, PdBox, i);
        sound = box->start <= box->end && box->end <= n_bytes;
    }
    return sound;
}

/* What the view replaced and the text together are the original. */
static gboolean
view_is_sound(Check *check, const PdTextView *view, gint64 text_id)
{
    gsize n_bytes;
    guint8 digest[PD_SHA256_BYTES];
    g_autofree char *text = pd_text_get(check->corpus, text_id, &n_bytes, NULL);
    g_autoptr(GString) original = text ? pd_text_view_original(view, text, n_bytes) : NULL;
    if (!original)
        return FALSE;
    pd_sha256(original->str, original->len, digest);
    return memcmp(digest, view->sha256, sizeof digest) == 0;
}

static gboolean
check_parts(Check *check, GError **error)
{
    g_autoptr(PdStmt) stmt = pd_db_query(
        check->corpus, error,
        "SELECT p.id, p.text_id, t.n_bytes, p.n_boxes, p.boxes, p.n_view_bytes, p.view FROM part p"
        " JOIN text t ON t.id = p.text_id WHERE p.boxes IS NOT NULL OR p.view IS NOT NULL",
        "");
    int rc = stmt ? SQLITE_ROW : -1;
    while (rc == SQLITE_ROW && (rc = pd_db_step(check->corpus, stmt, error)) == SQLITE_ROW) {
        gint64 id = sqlite3_column_int64(stmt, 0), n_bytes = sqlite3_column_int64(stmt, 2);
        gboolean has_view = sqlite3_column_type(stmt, 6) != SQLITE_NULL;
        g_autoptr(PdTextView) view = has_view ? pd_view_unpack(sqlite3_column_blob(stmt, 6),
                                                               (gsize)sqlite3_column_bytes(stmt, 6),
                                                               sqlite3_column_int64(stmt, 5), NULL)
                                              : NULL;
        if (has_view && !(view && view_is_sound(check, view, sqlite3_column_int64(stmt, 1))))
            found(check, "part %" G_GINT64_FORMAT ": its list of masked places is damaged", id);
        if (sqlite3_column_type(stmt, 4) != SQLITE_NULL &&
            !boxes_are_sound(sqlite3_column_blob(stmt, 4), (gsize)sqlite3_column_bytes(stmt, 4),
                             sqlite3_column_int64(stmt, 3),
                             view ? (gint64)view->n_original_bytes : n_bytes))
            found(check, "part %" G_GINT64_FORMAT ": its boxes are damaged", id);
    }
    return rc == SQLITE_DONE;
}

gboolean
pd_corpus_verify(PdCorpus *corpus, PdTokenizer *tokenizer, GPtrArray *findings,
                 GCancellable *cancellable, GError **error)
{
    Check check = {corpus, tokenizer, 0, findings};
    if (!check_integrity(&check, error) || !check_foreign_keys(&check, error) ||
        !check_accounts(&check, error) || !check_parts(&check, error))
        return FALSE;
    if (tokenizer)
        check.tokenizer_row = pd_tokenizer_row(corpus, tokenizer, FALSE, error);
    if (check.tokenizer_row < 0)
        return FALSE;
    g_autoptr(GArray) tokenizers = ids_of(&check, "SELECT id FROM tokenizer", error);
    g_autoptr(GArray) texts = tokenizers ? ids_of(&check, "SELECT id FROM text", error) : NULL;
    if (!texts)
        return FALSE;
    for (guint i = 0; i < texts->len; i++) {
        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CANCELLED,
                        "%s: verify was interrupted after %u of %u texts", corpus->dir, i,
                        texts->len);
            return FALSE;
        }
        if (!check_text(&check, g_array_index(texts, gint64, i), tokenizers, error))
            return FALSE;
    }
    return TRUE;
}
