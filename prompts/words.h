/* Words of questions and passages: which of them say something, and all of them in order. */
#ifndef PD_WORDS_H
#define PD_WORDS_H

#include <glib.h>

/* Is this lower-case word one that asks or joins ("what", "of"), so that it matches everything? */
gboolean pd_word_is_empty(const char *lower);

/* Where the word that begins at p ends: p itself where none does.  Valid UTF-8. */
const char *pd_word_end(const char *p);

/* The lower-case words of a text in order: runs of letters, digits and '_'.  Not valid UTF-8 is
 * replaced.  Array of char *, free with g_ptr_array_unref. */
GPtrArray *pd_words(const char *text, gsize n_bytes);

/* May the lower-case `word` be a form of the lower-case `of`?  Where that has five letters or more
 * they may differ in its last two letters and what follows; behind a shorter one "s", "d", "es" or
 * "ed" may stand; one with a digit or '_' has no other form. */
gboolean pd_word_is_form(const char *word, const char *of);

/* The distinct lower-case words that carry content: numbers, and words of three letters or more. */
GHashTable *pd_content_words(const char *text, gsize n_bytes);

/* The share of `wanted` that stands in `words`, 0 to 1. */
float pd_words_overlap(GHashTable *wanted, GHashTable *words);

#endif
