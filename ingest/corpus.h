/*
 * The corpus: a folder with corpus.db (SQLite, WAL, foreign keys, versioned migrations) and kv/.
 *
 * Everything is content-addressed: a text is stored and tokenized once however many documents hold
 * it. Token ids and the byte offset of each token are stored per segment (at most 2,048 tokens, cut
 * at natural borders), so every token walks back: token -> segment -> part -> document -> source.
 */
#ifndef PD_CORPUS_H
#define PD_CORPUS_H

#include <gio/gio.h>
#include <sqlite3.h>
#include "engine/tokenizer.h"
#include "ingest/reader.h"

typedef struct PdCorpus PdCorpus;

typedef enum { PD_CORPUS_READ, PD_CORPUS_WRITE, PD_CORPUS_CREATE } PdCorpusMode;

/* WRITE takes the corpus's writer lock (a second writer gets an error that names the first's pid);
 * READ works on a read-only folder. A corpus of a newer schema is refused with the version it
 * needs. */
PdCorpus *pd_corpus_open(const char *dir, PdCorpusMode mode, GError **error);
void pd_corpus_free(PdCorpus *corpus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdCorpus, pd_corpus_free)
sqlite3 *pd_corpus_db(PdCorpus *corpus);
const char *pd_corpus_dir(PdCorpus *corpus);

/* A run's account, in documents. */
typedef struct {
    gint64 source_id;    /* 0: there is no such source */
    guint64 n_found;     /* what documents are made of: n_read + n_skipped + n_failed, always */
    guint64 n_read;      /* given by the reader: the sum of the next four */
    guint64 n_new;       /* stored */
    guint64 n_unchanged; /* found again as they were */
    guint64 n_changed;   /* new revision of a known key */
    guint64 n_duplicate; /* met before in this run, stored once */
    guint64 n_removed;   /* gone from the source */
    guint64 n_skipped;
    guint64 n_failed;
    guint64 n_partial;        /* of those that are in the corpus now: read in part */
    guint64 n_hidden;         /* likewise: with text that a reader of the original does not see */
    guint64 n_ocr_pages;      /* likewise: pages that were read as pictures */
    guint64 n_masked;         /* secrets that the model does not get to see */
    guint64 n_folded;         /* quotes and footers of mails that are read elsewhere */
    guint64 n_folded_bytes;   /* of text that they stand for */
    guint64 n_tokens;         /* in new and changed documents; of the run that was just made only */
    guint64 n_new_text_bytes; /* likewise */
} PdAddReport;

/* Where the time of adding went.  What is left of the wall time is storing: hashes, compression,
 * the database. */
typedef struct {
    gint64 wait_us;            /* for readers, with nothing else to do */
    gint64 mask_us;            /* looking for secrets */
    gint64 tokenize_us;        /* cutting into segments and tokenizing */
    gint64 reader_cpu_us;      /* of all readers that ended by themselves */
    guint64 reader_peak_bytes; /* the most memory that one of them held */
    guint64 n_readers;
} PdAddTimes;

typedef struct {
    /* What is asked for.  What was asked for when the source was last read to its end is kept for
     * all that is not said here; masking is not part of that. */
    PdReadRequest read;
    gboolean forget;            /* nothing is kept */
    const PdReadLimits *limits; /* NULL: default */
    PdAddTimes *times;          /* what this run took is added to it; NULL: it is not measured */
    gboolean no_mask;           /* secrets stay in the model's text */
    gboolean no_fold;           /* so do quotes of mails that are there */
    /* Before it begins: the options that hold now, and those before (NULL: the source is new), as
     * on the command line.  May be NULL. */
    void (*options)(const char *source, const char *now, const char *before, gpointer user_data);
    void (*progress)(const char *source, guint64 done, guint64 total, guint64 n_documents,
                     gpointer user_data);
    gpointer user_data;
} PdAddOptions;

/* Add or bring up to date one source.  Documents are committed in small transactions: a kill loses
 * at most the last few, and running it again finishes the work. */
gboolean pd_corpus_add(PdCorpus *corpus, const char *path, PdTokenizer *tokenizer,
                       const PdAddOptions *options, PdAddReport *report, GCancellable *cancellable,
                       GError **error);

/* A document as listed.  Strings owned by the row (pd_document_row_free). */
typedef struct {
    gint64 id;
    gint64 source_id;
    PdDocumentKind kind;
    char *source; /* alias: what was added ("lua.bundle") */
    char *key;
    char *title;
    char *author;
    char *recipients;
    gint64 date_utc;
    char *native_id;
    char *revision;
    guint64 n_bytes; /* of text */
    guint64 n_tokens;
    guint n_parts;
    gint64 duplicate_of; /* the document that is read in its place; 0: it is read itself */
} PdDocumentRow;
void pd_document_row_free(PdDocumentRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdDocumentRow, pd_document_row_free)

/* All live documents in corpus order (sources as added; inside: README and build files, headers
 * before sources, tests last; mails by thread and date).  Tokens are counted for the tokenizer, or
 * with NULL for the one that most of the corpus was tokenized with.  Free with g_ptr_array_unref.
 */
GPtrArray *pd_corpus_documents(PdCorpus *corpus, PdTokenizer *tokenizer, GError **error);

typedef struct {
    gint64 id;
    gint64 document_id;
    char *path;
    char *label;
    char *text; /* what the model reads; NUL-terminated copy, may hold NULs: see n_bytes */
    gsize n_bytes;
    PdTextView *view; /* where that differs from the original; NULL: nowhere */
    PdFlow flow;
    GArray *boxes; /* PdBox or NULL; in bytes of the original */
} PdPartRow;
void pd_part_row_free(PdPartRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdPartRow, pd_part_row_free)
GPtrArray *pd_corpus_parts(PdCorpus *corpus, gint64 document_id, GError **error); /* in order */
PdPartRow *pd_corpus_part(PdCorpus *corpus, gint64 part_id, GError **error);
/* The text as the source has it, with nothing masked.  Free with g_string_free. */
GString *pd_part_row_original(const PdPartRow *part, GError **error);

/* A run of tokens of one part. */
typedef struct {
    gint64 id; /* of the segment's text and tokenizer: equal texts share it */
    gint64 part_id;
    gint64 document_id;
    guint32 start; /* bytes in the part's text */
    guint32 end;
    guint32 n_tokens;
    guint32 *ids;     /* token ids */
    guint32 *offsets; /* byte offset of each token inside the part's text */
} PdSegmentRow;
void pd_segment_row_free(PdSegmentRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdSegmentRow, pd_segment_row_free)
/* All segments of live documents in corpus order, but for duplicates; a text that several parts
 * share comes once for each, with the same id.  In a corpus open for reading, segments that are not
 * stored have negative ids.  Texts not yet tokenized with this tokenizer are tokenized first (and
 * stored, if the corpus is open for writing). */
GPtrArray *pd_corpus_segments(PdCorpus *corpus, PdTokenizer *tokenizer, GCancellable *cancellable,
                              GError **error);

/* Calls func for every stored segment of these documents in corpus order, for one tokenizer after
 * the other.  The part has no text and no boxes. */
typedef void (*PdCorpusSegmentFunc)(gint64 tokenizer, const PdDocumentRow *document,
                                    const PdPartRow *part, const PdSegmentRow *segment,
                                    gpointer user_data);
gboolean pd_corpus_each_segment(PdCorpus *corpus, PdCorpusSegmentFunc func, gpointer user_data,
                                GCancellable *cancellable, GError **error);

/* Where bytes [start, end) of a part lie, for people: "src/a.c:10-24 @ 3f2c1ab", "Lease.pdf, p. iv
 * (PDF 6)", "Kay to Lee, 2001-05-14, \"Re: Q2\", part 1, l. 4-6 <id@host>".  A masked place is that
 * of what the mask stands for; a mail that other sources hold too: ", also in archive.mbox".  Free
 * with g_free. */
char *pd_corpus_locate(PdCorpus *corpus, gint64 part_id, guint32 start, guint32 end,
                       GError **error);
/* The same for programs, as a JSON object: kind, source, document, key, title, revision, blob,
 * lines, of the change of a file base, base_lines and revision_lines (null: the range has none),
 * also (other sources that hold the mail), page, label, place (inside an office document), boxes,
 * message_id, mime_part; `original`: the range in the text as the source has it. */
char *pd_corpus_locate_json(PdCorpus *corpus, gint64 part_id, guint32 start, guint32 end,
                            GError **error);

/* Remove a source (by alias or path) or a document (by id).  Texts nobody holds any more are
 * deleted. */
gboolean pd_corpus_remove(PdCorpus *corpus, const char *what, guint64 *n_removed, GError **error);

/* What a purge takes out of the rows. */
typedef struct {
    guint64 n_documents; /* as they are now */
    guint64 n_revisions; /* earlier ones, and of documents that vanished from their source */
    guint64 n_texts;
    guint64 n_text_bytes;
    guint64 n_shared_texts; /* not removed: documents that stay hold the same */
} PdPurgeReport;

/* The rows of all that `what` names (as pd_corpus_remove, NULL-terminated), in one transaction, and
 * a mark that a purge is under way; dry_run: only the report.  See prompts/purge.h. */
gboolean pd_corpus_purge_rows(PdCorpus *corpus, const char *const *what, gboolean dry_run,
                              PdPurgeReport *report, GError **error);
/* Is there such a mark? */
gboolean pd_corpus_purge_is_open(PdCorpus *corpus, gboolean *is_open, GError **error);
/* Writes the database anew, empties the log and takes the mark away.  An error if a reader in
 * another process keeps the log. */
gboolean pd_corpus_scrub(PdCorpus *corpus, GError **error);

/* Documents by id with what hangs on them, in one transaction; unlike pd_corpus_remove the freed
 * pages are neither overwritten nor given back. */
gboolean pd_corpus_remove_documents(PdCorpus *corpus, const gint64 *ids, gsize n, GError **error);

/* Bytes [start, end) of a part's text give way to others. */
typedef struct {
    guint32 start;
    guint32 end;
    const char *text;
    gsize n_bytes;
} PdTextEdit;

/*
 * Change a stored text.  `edits`: PdTextEdit in bytes of the text as it is, not overlapping; they
 * are sorted.  Boxes move with their words.  Other parts that share the text keep it.  The next
 * `add` of the source finds the document changed.
 */
gboolean pd_corpus_edit_part(PdCorpus *corpus, gint64 part_id, GArray *edits, GError **error);
/* Where a byte of the text lies after sorted edits; insertions at it come before it. */
guint32 pd_text_edits_map(const GArray *edits, guint32 at);

/* A copy of the corpus as it is now in a folder that holds none, with its KV: full packs get a
 * second name there, so that almost nothing is copied.  Works beside another writer. */
gboolean pd_corpus_copy(PdCorpus *corpus, const char *dir, GCancellable *cancellable,
                        GError **error);
/* Take whole documents out until at most n_tokens (without headers) are left.  Which stay is drawn
 * by the seed and the documents' names. */
gboolean pd_corpus_shorten(PdCorpus *corpus, PdTokenizer *tokenizer, guint64 n_tokens, guint64 seed,
                           guint64 *n_kept, GCancellable *cancellable, GError **error);

/* Is there a source of this alias?  If not, the error names those that there are. */
gboolean pd_corpus_has_source(PdCorpus *corpus, const char *alias, GError **error);

/* The last run over a source: how it ended and what it came to.  A source that gave nothing has
 * one too. */
typedef struct {
    gint64 source_id;
    char *source; /* alias */
    char *path;
    char *kind;    /* as pd_detect_kind says; "unknown": it could not be told */
    char *status;  /* "running", "done", "failed", "cancelled", "interrupted" (by a kill) */
    char *error;   /* why it is not done; or NULL */
    char *options; /* with which it was read, as on the command line; or "no options" */
    gint64 started_utc;
    gint64 ended_utc; /* G_MININT64: not yet, or by a kill */
    PdAddReport report;
} PdRunRow;
void pd_run_row_free(PdRunRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdRunRow, pd_run_row_free)
/* Of each source (or the one of this alias; NULL: all) in the order of addition.  Free with
 * g_ptr_array_unref. */
GPtrArray *pd_corpus_runs(PdCorpus *corpus, const char *alias, GError **error);

/* What the last run over each source (or the one of this alias) left out, and what its documents
 * were remarked on for. */
gboolean pd_corpus_ledger(PdCorpus *corpus, const char *alias,
                          void (*line)(const char *source, const PdLedgerLine *line,
                                       gpointer user_data),
                          gpointer user_data, GError **error);

/* integrity_check, foreign keys, every text's SHA-256, every segment's decode(ids) = its bytes.
 * Findings: one line each. */
gboolean pd_corpus_verify(PdCorpus *corpus, PdTokenizer *tokenizer, GPtrArray *findings,
                          GCancellable *cancellable, GError **error);

#endif
