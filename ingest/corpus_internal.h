/*
 * What the files of the corpus share: the handle, a thin layer over SQLite, texts, and the seam at
 * which tests put a reader of their own.  Nothing outside ingest/corpus*.c and its tests includes
 * this.
 */
#ifndef PD_CORPUS_INTERNAL_H
#define PD_CORPUS_INTERNAL_H

#include "ingest/corpus.h"
#include "ingest/error.h"
#include "ingest/sha256.h"

#define PD_CORPUS_APPLICATION_ID 0x50616e64 /* "Pand" */

struct PdCorpus {
    char *dir;
    char *db_path;
    sqlite3 *db;
    PdCorpusMode mode;
    int lock_fd;            /* the folder, locked; -1 for readers */
    GHashTable *statements; /* SQL -> sqlite3_stmt */
    gint64 tokenize_us;     /* what texts took to be cut and tokenized, since it was opened */
};

/* --- corpus_db.c: SQLite with GError ------------------------------------------------------- */

/* A statement of the corpus's cache; leaving scope resets it. */
typedef sqlite3_stmt PdStmt;
void pd_stmt_done(PdStmt *stmt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdStmt, pd_stmt_done)

/* Turn the handle's last error into one line that names the corpus and a way out. Returns FALSE. */
gboolean pd_db_fail(PdCorpus *corpus, GError **error);
/* Did the handle's last call fail for want of space? */
gboolean pd_db_disk_is_full(PdCorpus *corpus);
PdStmt *pd_db_prepare(PdCorpus *corpus, const char *sql, GError **error);
/*
 * Prepare and bind in order.  `types`: 'i' gint64, 't' const char * or NULL, 'b' const void * and
 * gsize.  What is pointed at must live until the statement is reset.
 */
PdStmt *pd_db_query(PdCorpus *corpus, GError **error, const char *sql, const char *types, ...);
/* SQLITE_ROW, SQLITE_DONE, or -1 with an error. */
int pd_db_step(PdCorpus *corpus, PdStmt *stmt, GError **error);
/* Bind as pd_db_query does and run to the end. */
gboolean pd_db_run(PdCorpus *corpus, GError **error, const char *sql, const char *types, ...);
/* The first column of the first row; `fallback` if there is no row. */
gboolean pd_db_int(PdCorpus *corpus, gint64 fallback, gint64 *value, GError **error,
                   const char *sql, const char *types, ...);
/* Several statements without parameters. */
gboolean pd_db_exec(PdCorpus *corpus, const char *sql, GError **error);
void pd_db_rollback(PdCorpus *corpus);
char *pd_db_text(PdStmt *stmt, int column); /* copy, NULL for NULL */

/* --- corpus_lock.c ------------------------------------------------------------------------- */

/* Takes the folder's writer lock, or says who holds it. */
gboolean pd_corpus_lock(PdCorpus *corpus, GError **error);
gboolean pd_corpus_lock_announce(PdCorpus *corpus, GError **error);
void pd_corpus_unlock(PdCorpus *corpus);

/* --- migrations.c -------------------------------------------------------------------------- */

int pd_corpus_schema_latest(void);
/* Brings an open, writable database to the latest schema. */
gboolean pd_corpus_migrate(PdCorpus *corpus, GError **error);

/* --- text_store.c -------------------------------------------------------------------------- */

/* Compressed copy of n bytes, and back.  `n_bytes` of unpack is what the row says; other lengths
 * are an error that names `what`.  The result of unpack has a NUL after its end. */
GBytes *pd_pack(const void *data, gsize n_bytes, GError **error);
char *pd_unpack(const void *data, gsize n_packed, gsize n_bytes, const char *what, GError **error);

/* The row of a text, inserted if it is new (*is_new may be NULL). */
gint64 pd_text_put(PdCorpus *corpus, const char *text, gsize n_bytes,
                   const guint8 sha256[PD_SHA256_BYTES], gboolean *is_new, GError **error);
char *pd_text_get(PdCorpus *corpus, gint64 text_id, gsize *n_bytes, GError **error);

GBytes *pd_boxes_pack(GArray *boxes, GError **error);
GArray *pd_boxes_unpack(const void *data, gsize n_packed, gint64 n_boxes, GError **error);
/* `n_bytes`: unpacked, as the part's row says. */
GBytes *pd_view_pack(const PdTextView *view, gsize *n_bytes, GError **error);
PdTextView *pd_view_unpack(const void *data, gsize n_packed, gint64 n_bytes, GError **error);

/* The row that stands for a tokenizer; made if `create`, else 0 when unknown; -1: error. */
gint64 pd_tokenizer_row(PdCorpus *corpus, PdTokenizer *tokenizer, gboolean create, GError **error);
/* The same for the tokenizer that most segments use (0: none): listings without a model. */
gint64 pd_tokenizer_row_usual(PdCorpus *corpus, GError **error);
/* Segments of a text in order: PdSegmentRow with part and document 0.  Empty: not tokenized. */
GPtrArray *pd_segments_get(PdCorpus *corpus, gint64 text_id, gint64 tokenizer_row, GError **error);
/* Cut, tokenize and store, unless that was done before.  *n_tokens: of the whole text. */
gboolean pd_segments_ensure(PdCorpus *corpus, PdTokenizer *tokenizer, gint64 tokenizer_row,
                            gint64 text_id, const char *text, gsize n_bytes, guint64 *n_tokens,
                            GCancellable *cancellable, GError **error);

PdDocumentKind pd_document_kind_from_name(const char *name);

/* --- corpus_ledger.c ----------------------------------------------------------------------- */

/* SQL: does line l tell of its source as it is, whose last run is `last`?  Lines of that run, and
 * remarks of earlier ones on documents that were not read again since. */
#define PD_LEDGER_IS_CURRENT(last)                                                                 \
    "(l.run_id = " last " OR EXISTS (SELECT 1 FROM document WHERE id = l.document_id AND"          \
    " state = 'live'))"

/* SQL: the sum of a column of part over the live documents of a source. */
#define PD_FOLDED_SQL(column, source)                                                              \
    "(SELECT coalesce(sum(p." column "), 0) FROM document d JOIN part p ON p.document_id = d.id"   \
    " WHERE d.source_id = " source " AND d.state = 'live')"

/* --- order.c ------------------------------------------------------------------------------- */

/* What the order of documents is computed from. */
typedef struct {
    PdDocumentRow *row; /* borrowed */
    char *parent_key;
    char *in_reply_to;
    char *parts_sha256; /* hex */
    /* computed */
    int rank;
    gint64 thread_date;
    int thread_depth; /* below its thread's root */
    char *thread;
    gpointer parent;
} PdOrderEntry;
/* Sorts entries (PdOrderEntry *) of live documents into corpus order. */
void pd_order_documents(GPtrArray *entries);
/* Sets duplicate_of in the rows of entries by their id (duplicate.c); `parent` is set. */
void pd_mark_duplicates(GPtrArray *entries);
/* Sets thread, thread_date and thread_depth of mails (thread.c). */
void pd_thread_mails(GPtrArray *entries);
/* 0 README, 1 build files, 2 documentation, 3 headers, 4 sources, 5 other, 6 tests, 7 logs, 8
 * diffs. */
int pd_order_path_rank(const char *path);

/* --- add.c --------------------------------------------------------------------------------- */

typedef struct {
    const char *(*detect)(const char *path, GError **error);
    gboolean (*read)(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
                     const PdReadSink *sink, GCancellable *cancellable, GError **error);
} PdCorpusReader;

/* pd_corpus_add with another reader: the seam for tests. */
gboolean pd_corpus_add_with_reader(PdCorpus *corpus, const PdCorpusReader *reader, const char *path,
                                   PdTokenizer *tokenizer, const PdAddOptions *options,
                                   PdAddReport *report, GCancellable *cancellable, GError **error);

/* The absolute path under which a source is known: links resolved where the file exists. */
char *pd_source_canonical_path(const char *path);

#endif
