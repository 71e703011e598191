/*
 * Texts, views, boxes and segments as they lie in corpus.db.
 *
 * A text is one row whatever holds it, found by the SHA-256 of its bytes and kept as one zstd
 * frame.  An array of n 32-bit numbers (token ids, offsets, boxes) is a zstd frame of k * n bytes:
 * its lowest bytes, then the next ones, as many planes as its largest number needs.  Where that is
 * four, and in corpora of schema 6 everywhere, it is n little-endian words.  Token offsets are kept
 * as differences, which make one plane of small numbers.  Everything read back is checked against
 * the lengths in its row before it is used: the file may be damaged.
 */
#include <string.h>
#include <zstd.h>
#include "ingest/corpus_internal.h"
#include "ingest/segmenter.h"

/* Compressing is a good part of storing.  Of English and code the default, 3, makes a tenth less in
 * twice the time; of numbers it makes no less. */
#define ZSTD_LEVEL 1

G_STATIC_ASSERT(sizeof(PdBox) == 24);

/* Of each thread: making one takes longer than compressing a segment. */
static void
free_compressor(gpointer data)
{
    ZSTD_freeCCtx(data);
}
static GPrivate compressor = G_PRIVATE_INIT(free_compressor);

GBytes *
pd_pack(const void *data, gsize n_bytes, GError **error)
{
    gsize bound = ZSTD_compressBound(n_bytes);
    g_autofree guint8 *out = g_try_malloc(bound);
    ZSTD_CCtx *context = g_private_get(&compressor);
    if (!context && (context = ZSTD_createCCtx()))
        g_private_set(&compressor, context);
    if (!out || !context) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "out of memory: %" G_GSIZE_FORMAT " bytes to store a text", bound);
        return NULL;
    }
    gsize n = ZSTD_compressCCtx(context, out, bound, data, n_bytes, ZSTD_LEVEL);
    if (ZSTD_isError(n)) { /* the bound was kept */
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "out of memory: a text cannot be stored (%s)", ZSTD_getErrorName(n));
        return NULL;
    }
    /* The bound is larger than the source: keep only what is used. */
    return g_bytes_new_take(g_realloc(g_steal_pointer(&out), n), n);
}

char *
pd_unpack(const void *data, gsize n_packed, gsize n_bytes, const char *what, GError **error)
{
    /* The frame's own length first: a damaged row must not make us ask for gigabytes. */
    gboolean plausible = ZSTD_getFrameContentSize(data, n_packed) == n_bytes;
    g_autofree char *out = plausible ? g_try_malloc(n_bytes + 1) : NULL;
    if (!out) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "the corpus's %s is damaged%s; run: pandect verify", what,
                    plausible ? " or does not fit in memory" : "");
        return NULL;
    }
    gsize n = ZSTD_decompress(out, n_bytes, data, n_packed);
    if (ZSTD_isError(n) || n != n_bytes) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "the corpus's %s is damaged (%s); run: pandect verify", what,
                    ZSTD_isError(n) ? ZSTD_getErrorName(n) : "wrong length");
        return NULL;
    }
    out[n] = 0;
    return g_steal_pointer(&out);
}

gint64
pd_text_put(PdCorpus *corpus, const char *text, gsize n_bytes, const guint8 sha256[PD_SHA256_BYTES],
            gboolean *is_new, GError **error)
{
    gint64 id;
    if (!pd_db_int(corpus, 0, &id, error, "SELECT id FROM text WHERE sha256 = ?", "b", sha256,
                   (gsize)PD_SHA256_BYTES))
        return 0;
    if (is_new)
        *is_new = id == 0;
    if (id)
        return id;
    g_autoptr(GBytes) packed = pd_pack(text, n_bytes, error);
    if (!packed)
        return 0;
    gsize n_packed;
    const void *data = g_bytes_get_data(packed, &n_packed);
    if (!pd_db_run(corpus, error, "INSERT INTO text(sha256, n_bytes, data) VALUES (?, ?, ?)", "bib",
                   sha256, (gsize)PD_SHA256_BYTES, (gint64)n_bytes, data, n_packed))
        return 0;
    return sqlite3_last_insert_rowid(corpus->db);
}

char *
pd_text_get(PdCorpus *corpus, gint64 text_id, gsize *n_bytes, GError **error)
{
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, error, "SELECT n_bytes, data FROM text WHERE id = ?", "i", text_id);
    if (!stmt)
        return NULL;
    int rc = pd_db_step(corpus, stmt, error);
    if (rc == SQLITE_DONE)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_CORPUS,
                    "%s: text %" G_GINT64_FORMAT " is missing; run: pandect verify",
                    corpus->db_path, text_id);
    if (rc != SQLITE_ROW)
        return NULL;
    gint64 n = sqlite3_column_int64(stmt, 0);
    if (n < 0)
        n = G_MAXINT64;
    *n_bytes = (gsize)n;
    return pd_unpack(sqlite3_column_blob(stmt, 1), (gsize)sqlite3_column_bytes(stmt, 1), *n_bytes,
                     "text", error);
}

/* --- arrays of 32-bit numbers -------------------------------------------------------------- */

static GBytes *
pack_u32(const guint32 *values, gsize n, gboolean differences, guint32 base, GError **error)
{
    g_autofree guint32 *words = g_new(guint32, n + 1);
    guint32 all = 0;
    for (gsize i = 0; i < n; i++) {
        words[i] = differences ? values[i] - base : values[i];
        base = values[i];
        all |= words[i];
    }
    gsize n_planes = all >> 24 ? 4 : all >> 16 ? 3 : all >> 8 ? 2 : 1;
    g_autofree guint8 *bytes = g_malloc(n_planes * n + 1);
    for (gsize i = 0; n_planes < 4 && i < n; i++)
        for (gsize k = 0; k < n_planes; k++)
            bytes[k * n + i] = (guint8)(words[i] >> 8 * k);
    for (gsize i = 0; n_planes == 4 && i < n; i++) {
        guint32 le = GUINT32_TO_LE(words[i]);
        memcpy(bytes + 4 * i, &le, sizeof le);
    }
    return pd_pack(bytes, n_planes * n, error);
}

/* How many planes a frame holds of n numbers; 4: words. */
static gsize
count_planes(const void *data, gsize n_packed, gsize n)
{
    unsigned long long n_bytes = ZSTD_getFrameContentSize(data, n_packed);
    for (gsize k = 1; k < 4; k++)
        if (n && n_bytes == k * n)
            return k;
    return 4;
}

static guint32 *
unpack_u32(const void *data, gsize n_packed, gsize n, gboolean differences, guint32 base,
           GError **error)
{
    if (n >= G_MAXUINT32 / sizeof(guint32))
        n = G_MAXUINT32 / sizeof(guint32);
    gsize n_planes = count_planes(data, n_packed, n);
    g_autofree char *bytes = pd_unpack(data, n_packed, n_planes * n, "token list", error);
    guint32 *values = bytes ? g_try_new(guint32, n + 1) : NULL;
    if (bytes && !values)
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "out of memory: %" G_GSIZE_FORMAT " numbers of a token list", n);
    for (gsize i = 0; values && i < n; i++) {
        guint32 value = 0;
        for (gsize k = 0; k < n_planes; k++)
            value |= (guint32)(guint8)bytes[n_planes < 4 ? k * n + i : 4 * i + k] << 8 * k;
        base = differences ? base + value : base;
        values[i] = differences ? base : value;
    }
    return values;
}

GBytes *
pd_boxes_pack(GArray *boxes, GError **error)
{
    /* PdBox is six 32-bit fields; a float travels as its bits. */
    return pack_u32((const guint32 *)(gpointer)boxes->data, (gsize)boxes->len * 6, FALSE, 0, error);
}

GArray *
pd_boxes_unpack(const void *data, gsize n_packed, gint64 n_boxes, GError **error)
{
    if (n_boxes < 0 || n_boxes > G_MAXINT32 / 24)
        n_boxes = G_MAXINT32 / 24;
    g_autofree guint32 *values = unpack_u32(data, n_packed, (gsize)n_boxes * 6, FALSE, 0, error);
    if (!values)
        return NULL;
    GArray *boxes = g_array_new(FALSE, FALSE, sizeof(PdBox));
    g_array_append_vals(boxes, values, (guint)n_boxes);
    return boxes;
}

GBytes *
pd_view_pack(const PdTextView *view, gsize *n_bytes, GError **error)
{
    g_autoptr(GByteArray) bytes = pd_text_view_encode(view);
    *n_bytes = bytes->len;
    return pd_pack(bytes->data, bytes->len, error);
}

PdTextView *
pd_view_unpack(const void *data, gsize n_packed, gint64 n_bytes, GError **error)
{
    gsize n = n_bytes < 0 ? G_MAXINT64 : (gsize)n_bytes;
    g_autofree char *bytes = pd_unpack(data, n_packed, n, "list of masked places", error);
    return bytes ? pd_text_view_decode((const guint8 *)bytes, n, error) : NULL;
}

/* --- segments ------------------------------------------------------------------------------ */

gint64
pd_tokenizer_row(PdCorpus *corpus, PdTokenizer *tokenizer, gboolean create, GError **error)
{
    gint64 id;
    const char *identity = pd_tokenizer_id(tokenizer);
    if (!pd_db_int(corpus, 0, &id, error, "SELECT id FROM tokenizer WHERE identity = ?", "t",
                   identity))
        return -1;
    if (id || !create)
        return id;
    if (!pd_db_run(corpus, error, "INSERT INTO tokenizer(identity, description) VALUES (?, ?)",
                   "tt", identity, pd_tokenizer_describe(tokenizer)))
        return -1;
    return sqlite3_last_insert_rowid(corpus->db);
}

gint64
pd_tokenizer_row_usual(PdCorpus *corpus, GError **error)
{
    gint64 id;
    if (!pd_db_int(corpus, 0, &id, error,
                   "SELECT tokenizer_id FROM segment GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1",
                   ""))
        return -1;
    return id;
}

GPtrArray *
pd_segments_get(PdCorpus *corpus, gint64 text_id, gint64 tokenizer_row, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)pd_segment_row_free);
    g_autoptr(PdStmt) stmt =
        pd_db_query(corpus, error,
                    "SELECT id, start, end, n_tokens, ids, offsets FROM segment"
                    " WHERE text_id = ? AND tokenizer_id = ? ORDER BY ord",
                    "ii", text_id, tokenizer_row);
    if (!stmt)
        return NULL;
    int rc;
    while ((rc = pd_db_step(corpus, stmt, error)) == SQLITE_ROW) {
        g_autoptr(PdSegmentRow) row = g_new0(PdSegmentRow, 1);
        row->id = sqlite3_column_int64(stmt, 0);
        row->start = (guint32)sqlite3_column_int64(stmt, 1);
        row->end = (guint32)sqlite3_column_int64(stmt, 2);
        row->n_tokens = (guint32)sqlite3_column_int64(stmt, 3);
        row->ids = unpack_u32(sqlite3_column_blob(stmt, 4), (gsize)sqlite3_column_bytes(stmt, 4),
                              row->n_tokens, FALSE, 0, error);
        if (!row->ids)
            return NULL;
        row->offsets =
            unpack_u32(sqlite3_column_blob(stmt, 5), (gsize)sqlite3_column_bytes(stmt, 5),
                       row->n_tokens, TRUE, row->start, error);
        if (!row->offsets)
            return NULL;
        g_ptr_array_add(rows, g_steal_pointer(&row));
    }
    return rc == SQLITE_DONE ? g_steal_pointer(&rows) : NULL;
}

typedef struct {
    PdCorpus *corpus;
    gint64 text_id;
    gint64 tokenizer_row;
    gint64 ord;
    guint64 n_tokens;
    gint64 start_us; /* cutting and tokenizing the next segment began */
} SegmentWriter;

static gboolean
insert_segment(const PdSegmentCut *cut, gpointer user_data, GError **error)
{
    SegmentWriter *writer = user_data;
    writer->corpus->tokenize_us += g_get_monotonic_time() - writer->start_us;
    const guint32 *offsets = (const guint32 *)(gpointer)cut->offsets->data;
    g_autoptr(GBytes) ids =
        pack_u32((const guint32 *)(gpointer)cut->ids->data, cut->ids->len, FALSE, 0, error);
    if (!ids)
        return FALSE;
    g_autoptr(GBytes) deltas = pack_u32(offsets, cut->offsets->len, TRUE, cut->start, error);
    if (!deltas ||
        !pd_db_run(writer->corpus, error,
                   "INSERT INTO segment(text_id, tokenizer_id, ord, start, end, n_tokens, ids,"
                   " offsets) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   "iiiiiibb", writer->text_id, writer->tokenizer_row, writer->ord,
                   (gint64)cut->start, (gint64)cut->end, (gint64)cut->ids->len,
                   g_bytes_get_data(ids, NULL), g_bytes_get_size(ids),
                   g_bytes_get_data(deltas, NULL), g_bytes_get_size(deltas)))
        return FALSE;
    writer->ord++;
    writer->n_tokens += cut->ids->len;
    writer->start_us = g_get_monotonic_time();
    return TRUE;
}

gboolean
pd_segments_ensure(PdCorpus *corpus, PdTokenizer *tokenizer, gint64 tokenizer_row, gint64 text_id,
                   const char *text, gsize n_bytes, guint64 *n_tokens, GCancellable *cancellable,
                   GError **error)
{
    gint64 known;
    if (!pd_db_int(corpus, -1, &known, error,
                   "SELECT sum(n_tokens) FROM segment WHERE text_id = ? AND tokenizer_id = ?"
                   " HAVING count(*) > 0",
                   "ii", text_id, tokenizer_row))
        return FALSE;
    *n_tokens = (guint64)MAX(known, 0);
    if (known >= 0)
        return TRUE;
    SegmentWriter writer = {corpus, text_id, tokenizer_row, .start_us = g_get_monotonic_time()};
    if (!pd_segment_each(tokenizer, text, n_bytes, insert_segment, &writer, cancellable, error))
        return FALSE;
    corpus->tokenize_us += g_get_monotonic_time() - writer.start_us;
    *n_tokens = writer.n_tokens;
    return TRUE;
}
