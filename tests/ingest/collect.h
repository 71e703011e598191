/* For tests of reading: everything a source yields, kept in memory. */
#ifndef PD_TEST_COLLECT_H
#define PD_TEST_COLLECT_H

#include "ingest/error.h"
#include "ingest/reader.h"

typedef struct {
    GPtrArray *documents; /* PdDocument */
    GPtrArray *lines;     /* "level key: reason" */
    GHashTable *remarked; /* keys of remarks on what no document had been sent of by then */
    guint n_found;        /* as the reader counts */
    GError *error;        /* of pd_detect_kind or pd_read_source */
} Collected;

Collected *collect(const char *path, const PdReadRequest *options, const PdReadLimits *limits);
/* The same of a file with this name and text, which is removed again. */
Collected *collect_text(const char *name, const char *text, const PdReadLimits *limits);
void collected_free(Collected *collected);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Collected, collected_free)
PdDocument *collected_find(const Collected *collected, const char *key); /* or NULL */
/* The text of a part; NULL: there is no such part. */
const char *document_part_text(const PdDocument *document, const char *path);
/* All texts, one after another.  Free with g_free. */
char *collected_text(const Collected *collected);
/* A ledger line (or the error's message) that has all of `words`. */
gboolean collected_says(const Collected *collected, const char *a, const char *b);
/* "../shared/data/NAME", or NULL with the test skipped, saying why.  Free with g_free. */
char *shared_data(const char *name);
/* Run a program in `folder`; its standard output, or NULL if it failed. */
char *run_program(const char *folder, const char *const *argv, gsize *n);
void remove_folder(const char *path);
/* Appends a member to a tar: a head of POSIX ustar and the content, in blocks of 512. */
void add_tar_member(GByteArray *tar, const char *name, const char *content);

#endif
