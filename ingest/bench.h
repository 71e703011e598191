/* How fast sources are read into a corpus, where that time goes, and the memory that it takes. */
#ifndef PD_INGEST_BENCH_H
#define PD_INGEST_BENCH_H

#include "ingest/corpus.h"

/* Sums over the sources of one kind. */
typedef struct {
    char *kind; /* as pd_detect_kind names it */
    guint n_sources;
    guint64 n_source_bytes; /* of the files, as they lie there */
    guint64 n_text_bytes;   /* of all parts */
    guint64 n_documents;
    guint64 n_pages;    /* of PDFs: those that gave text */
    guint64 n_messages; /* mails */
    guint64 n_tokens;
    guint64 n_skipped;
    guint64 n_failed;
    double seconds;     /* from the start of `add` to the last commit */
    double cpu_seconds; /* of this process meanwhile; the readers' stands in `times` */
    PdAddTimes times;
    guint64 peak_bytes; /* the most memory that this process held */
} PdIngestBenchRow;

/* The rows: PdIngestBenchRow *.  Free with g_ptr_array_unref. */
GPtrArray *pd_ingest_bench_rows_new(void);

/* Reads one source into a corpus of its own, which is removed again, and adds what that took to the
 * row of its kind.  `options`: as for pd_corpus_add.  `sample`: the text of its documents is
 * appended, until it holds `sample_bytes_max`. */
gboolean pd_ingest_bench_source(const char *path, PdTokenizer *tokenizer,
                                const PdAddOptions *options, GPtrArray *rows, GString *sample,
                                gsize sample_bytes_max, GCancellable *cancellable, GError **error);

/* Tokenizing alone: the text at once, until a second has gone by. */
typedef struct {
    guint64 n_bytes;
    guint64 n_tokens;
    double cpu_seconds;
} PdTokenizerBench;
PdTokenizerBench pd_tokenizer_bench(PdTokenizer *tokenizer, const GString *text);

#endif
