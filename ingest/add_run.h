/*
 * What the files of `add` share: a run over one source, its transactions and its ledger
 * (add_run.c), the storing of one document (add_document.c) and the
 * folding of mails when all are there (add_fold.c).  Nothing outside ingest/add*.c
 * includes this.
 */
#ifndef PD_ADD_RUN_H
#define PD_ADD_RUN_H

#include "ingest/corpus_internal.h"

/* A transaction of so much text is large enough. */
#define PD_ADD_BATCH_BYTES (4u * 1024 * 1024)

typedef struct {
    PdCorpus *corpus;
    PdTokenizer *tokenizer;
    const PdAddOptions *options;
    PdAddReport report;
    GCancellable *cancellable;
    gint64 source_id;
    gint64 run_id;
    gint64 tokenizer_row;
    gint64 mask_rules; /* PD_MASK_RULES; 0: nothing is masked */
    gboolean fold;     /* mails' quotes of each other are read once */
    char *alias;
    PdAddTimes times;
    char *source_options; /* that hold in this run (source_options.h) */
    char *options_before; /* of the last one that came to its end; NULL: the source is new */
    /* the open transaction */
    gboolean in_batch;
    PdAddReport batch_report; /* as it was when the transaction began */
    guint64 n_expected;       /* found, their outcome not yet known */
    guint batch_documents;
    gsize batch_bytes;
    gint64 batch_start_us;
    /* what this run has met */
    GHashTable *renamed; /* key as the reader gave it -> that of its last document, where another */
    GHashTable *failed;  /* set of keys of "failed" ledger lines */
    GHashTable *reasons; /* reason why something was not read -> how many lines (GUINT) */
} PdAddRun;
PdAddRun *pd_add_run_new(PdCorpus *corpus, PdTokenizer *tokenizer, const PdAddOptions *options,
                         GCancellable *cancellable);
void pd_add_run_free(PdAddRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdAddRun, pd_add_run_free)

gint64 pd_add_now_utc(void); /* seconds */

/* Open a transaction, unless one is open. */
gboolean pd_add_begin(PdAddRun *run, GError **error);
/* The transaction is undone, and the run's counts with it. */
void pd_add_undo(PdAddRun *run);
/* End it, with the run's counts as they are.  `message`: why it failed, or NULL. */
gboolean pd_add_commit(PdAddRun *run, const char *status, const char *message, GError **error);
/* One more document or line of n bytes is in the transaction: end it if it is large enough. */
gboolean pd_add_grow(PdAddRun *run, gsize n_bytes, GError **error);

/* Store and count a line, in the open transaction.  A remark belongs to the live document of its
 * key, if this run has met it. */
gboolean pd_add_ledger_line(PdAddRun *run, const PdLedgerLine *line, GError **error);
/* Of the live documents of the source and of this run: those with a remark of this level. */
gboolean pd_add_count_remarks(PdAddRun *run, const char *level, guint64 *n, GError **error);

/* Of the same: the pages that were read as pictures. */
gboolean pd_add_count_ocr_pages(PdAddRun *run, guint64 *n, GError **error);

/* Fold the mails that wait for it, in transactions of its own; none is open before and after.  See
 * fold.h. */
gboolean pd_add_fold(PdAddRun *run, GError **error);

/* Store a document in the open transaction, or leave nothing of it and a "failed" line. */
gboolean pd_add_document(PdAddRun *run, const PdDocument *document, GError **error);

#endif
