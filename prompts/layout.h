/*
 * What is said to the model, as tokens.  Our own words and the chat markers are the only special
 * tokens; everything a person or a document wrote is encoded with special matching off.
 *
 *   prefix    BOS, system turn, opening of the user turn: the same for every segment and question
 *   header    "[3] path, where\n" before each segment or passage
 *   question  the instruction, the question, the end of the turn, the opening of the answer
 */
#ifndef PD_LAYOUT_H
#define PD_LAYOUT_H

#include "engine/model.h"
#include "ingest/corpus.h"

/* Changes whenever a word of the prefix or of a header changes: part of every KV key. */
#define PD_LAYOUT_VERSION "pandect layout 2"

#define PD_HEADER_TOKENS_MAX 64

/* All return gint32 arrays; free with g_array_unref. */
GArray *pd_layout_prefix(PdModel *model);
/* may_refuse: with the sentence to reply when the documents do not hold the answer; thinks: the
 * model reasons first, if its family does. */
GArray *pd_layout_question(PdModel *model, const char *question, gboolean may_refuse,
                           gboolean thinks);
/* In place of it: question and answer, and whether that is stated, yes or no. */
GArray *pd_layout_check(PdModel *model, const char *question, const char *answer);
/* In place of it: that the reply be a question which what stands above answers. */
GArray *pd_layout_question_for(PdModel *model);

/* A line for people and model: what this part is, without its place in it.  Free with g_free. */
char *pd_layout_header_text(const PdDocumentRow *document, const PdPartRow *part);
/* "header\n" as at most PD_HEADER_TOKENS_MAX tokens. */
GArray *pd_layout_header(PdModel *model, const char *header_text);
/* "\n[3] " : the number a citation by id refers to. */
void pd_layout_number(PdModel *model, int number, GArray *ids);
/* "\n" between passages. */
void pd_layout_text(PdModel *model, const char *text, GArray *ids);

/* What an answer says when the corpus does not hold it. */
#define PD_NOT_FOUND_SENTENCE "The corpus does not say."

#endif
