/*
 * Does one sentence of what was read say the answer in its own words?  Asked whether an answer is
 * stated (support.h), a small model is hardly surer of one that is copied from the passage than of
 * one that it made up; that the words of the question and of the answer stand together tells more.
 */
#ifndef PD_STATED_H
#define PD_STATED_H

#include "prompts/passages.h"

typedef enum {
    PD_STATED_NOT,
    PD_STATED_ANSWER, /* a sentence has all words of the answer, and they are several: it may be
                         beside the question, but is not made up */
    PD_STATED_BOTH    /* a sentence has what the answer adds and most words of the question */
} PdStated;

/* "answer", "question and answer"; NULL: not. */
const char *pd_stated_name(PdStated stated);

/*
 * By the units (units.h) of bytes [start, end) of a text; where these are lines, one that
 * ends no sentence and the next count as one.  A unit without one of the names of question and
 * answer (names.h) or one of the answer's numbers says neither.  Words that only ask or join are
 * not looked for, other forms of a word are it (words.h).
 */
PdStated pd_stated_in(const char *text, guint32 start, guint32 end, gboolean lines,
                      const char *question, const char *answer);

/* The most that one of the passages (PdPassage) that are cited (PdCitation) says; FALSE: the corpus
 * could not be read. */
gboolean pd_stated(const PdContext *context, GArray *passages, GArray *citations,
                   const char *question, const char *answer, PdStated *stated, GError **error);

#endif
