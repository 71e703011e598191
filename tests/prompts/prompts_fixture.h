/*
 * What the tests of prompts/ share: the tiny model (two layers, a token a byte), a corpus filled
 * from memory through the seam of pd_corpus_add, and processes that can be killed: a test program
 * runs itself again with "--child WHAT ARGUMENT...".
 */
#ifndef PROMPTS_FIXTURE_H
#define PROMPTS_FIXTURE_H

#include "ingest/corpus_internal.h"
#include "prompts/ask.h"

typedef struct {
    PdDocumentKind kind;
    const char *key;
    const char *text;
    gssize n_bytes; /* of text, -1: up to its NUL */
} TestDocument;

PdModel *fixture_model(void);
char *fixture_model_path(void);
/* The tiny model from a copy with one run of bytes replaced by another of the same length, in all
 * `n_expected` places; NULL bytes: the last byte of the file is changed. */
PdModel *fixture_model_changed(const char *dir, const char *from, const char *to, guint n_expected);

char *fixture_folder(void);
/* The folder and all in it; frees `dir`. */
void fixture_remove(char *dir);

/* Adds the documents to the corpus at `dir` (made if missing) as the source `source`. */
void fixture_add(const char *dir, PdModel *model, const char *source, const TestDocument *documents,
                 gsize n);
/* Lines of words, the same for the same seed; exactly n bytes. */
char *fixture_text(gsize n_bytes, guint32 seed);

/* A corpus and its context. */
typedef struct {
    PdCorpus *corpus;
    PdContext *context;
} World;
void world_open(World *world, const char *dir, PdModel *model, PdCorpusMode corpus_mode,
                PdReadMode mode);
void world_close(World *world);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(World, world_close)

/* The tiny model's context of two texts, of n_bytes and of 200 bytes, added as `source`. */
typedef struct {
    char *dir;
    PdModel *model;
    World world;
} TwoTexts;
void two_texts_open(TwoTexts *f, const char *source, gsize n_bytes, PdReadMode mode);
void two_texts_close(TwoTexts *f);

/* Run this program as "--child ARGUMENTS..." (NULL-terminated) and give its wait status. */
int fixture_child(const char *argument, ...) G_GNUC_NULL_TERMINATED;
void fixture_assert_done(int wait_status);

/* Every record of the store by its key in hex: GBytes. */
GHashTable *fixture_records(World *world);
void fixture_assert_same_records(GHashTable *a, GHashTable *b);
/* No finding in the corpus, no corrupt record. */
void fixture_assert_sound(const char *dir, PdModel *model);
/* The same words, sentence by sentence, with the same citations. */
void fixture_assert_same_answer(const PdAnswer *a, const PdAnswer *b);

#endif
