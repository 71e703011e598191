/*
 * What the tests of the corpus share: a folder that goes away, a reader that serves documents from
 * memory (and dies, fails or cancels when told), a tokenizer, and a dump of a corpus's content to
 * compare two of them by.
 */
#ifndef CORPUS_FIXTURE_H
#define CORPUS_FIXTURE_H

#include "ingest/corpus_internal.h"

typedef struct {
    PdDocumentKind kind;
    const char *key;
    const char *text;   /* of its first part */
    const char *path;   /* of its first part */
    const char *blob;   /* native_id */
    const char *parent; /* parent_key */
    const char *author;
    gint64 date_utc;
    PdFlow flow; /* of its first part */
} FakeDocument;

typedef struct {
    FakeDocument *documents;
    gsize n_documents;
    PdLedgerLine *lines; /* sent before the documents */
    gsize n_lines;
    PdLedgerLine *remarks; /* sent after them */
    gsize n_remarks;
    const char *commit;
    /* what happens when document `at` is about to be sent */
    gsize at;
    gboolean kill;   /* SIGKILL to ourselves */
    gboolean fail;   /* the reader gives up */
    gboolean cancel; /* somebody pressed Ctrl-C */
} FakeSource;

extern FakeSource fake_source; /* what fake_reader serves */
extern const PdCorpusReader fake_reader;
extern int fake_detect_error; /* what becomes of detecting a source; -1: it is a folder */

/* n documents of about `n_bytes` of text each, every third one a copy of an earlier text. */
FakeDocument *fake_documents(gsize n, gsize n_bytes, guint32 seed);
void fake_documents_free(FakeDocument *documents, gsize n);
/* Prose and code of about n bytes, the same for the same seed. */
char *fake_text(gsize n_bytes, guint32 seed);

/* The tiny model's: nearly a token a byte. A reference of the caller's own. */
PdTokenizer *test_tokenizer(void);

char *make_folder(void);
void remove_folder(char *dir);

PdCorpus *open_corpus(const char *dir, PdCorpusMode mode);
PdAddReport add_fake(PdCorpus *corpus, const char *path);
gint64 count_rows(PdCorpus *corpus, const char *sql);
/* The only part of the live document of this key in the source of this name (NULL: in any). */
PdPartRow *live_part(PdCorpus *corpus, const char *source, const char *key);
/* No findings, or the test fails with them. */
void assert_sound(const char *dir);
/* "SOURCE KIND STATUS: N found, N read, N skipped, N failed", and "SOURCE LEVEL KEY: REASON" lines
 * after it, of the last run over each source. */
char *dump_ledger(PdCorpus *corpus);
/* Everything that a user can see of the live documents, one line each. */
char *dump_content(const char *dir);

#endif
