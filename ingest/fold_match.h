/*
 * Which lines of a mail stand in another one too, word for word.
 *
 * Mails are numbered in the order in which they count: of two that hold the same words the earlier
 * one keeps them.  Lines that are quoted may be left out where an earlier mail has their words, own
 * or quoted, or a later one has them as its own.  So whoever follows from a quote to the mail that
 * it points to, and on from there, comes to the words and not in a circle.
 *
 * Quotes are found by the hashes of PD_FOLD_WORDS words in a row, as in winnowing (Schleimer,
 * Wilkerson and Aiken, 2003), but of those that begin a quoted line only; what is left out is
 * compared byte by byte.
 */
#ifndef PD_FOLD_MATCH_H
#define PD_FOLD_MATCH_H

#include "ingest/quoted.h"
#include "ingest/view.h"

/* Shorter quotes stay. */
#define PD_FOLD_WORDS 8

typedef struct PdFoldIndex PdFoldIndex;
PdFoldIndex *pd_fold_index_new(void);
void pd_fold_index_free(PdFoldIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdFoldIndex, pd_fold_index_free)

/* First: what is to be found, from texts that are to be folded.  How much that is by now: hashes,
 * most of them different ones. */
void pd_fold_index_want(PdFoldIndex *index, const PdMailText *text);
gsize pd_fold_index_n_wanted(const PdFoldIndex *index);
/* Then: where it stands, from the texts of all mails in their order. */
void pd_fold_index_offer(PdFoldIndex *index, guint mail, guint part, const PdMailText *text);

/* A text of a mail, with what tells people which mail it is. */
typedef struct {
    GString *text;
    PdMailText *mail;
    char *author;     /* "Kay Smith <kay@example.org>"; may be NULL */
    const char *mark; /* what is read in the place of words of this mail; not the text's own */
} PdFoldText;
void pd_fold_text_free(PdFoldText *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdFoldText, pd_fold_text_free)

/* Lines that are left out, and the mail that has them. */
typedef struct {
    guint first_line;
    guint last_line;
    PdMarkKind kind;
    guint mail;
    const char *mark; /* that of the mail's PdFoldText, or static */
} PdFold;

/* Reads a text that was offered.  It is valid until the next call, its mark longer: as long as the
 * folds are. */
typedef const PdFoldText *(*PdFoldLoad)(guint mail, guint part, gpointer user_data, GError **error);

/* The folds (PdFold, in order, not overlapping) of a text of mail number `mail`.  NULL: `load`
 * failed.  Free with g_array_unref. */
GArray *pd_fold_find(PdFoldIndex *index, guint mail, const PdFoldText *text, PdFoldLoad load,
                     gpointer user_data, GError **error);

#endif
