/*
 * What lets a measurement go on where it was stopped: the questions of a finished copy, kept in its
 * folder, and the answers so far, a line of JSON each.
 */
#ifndef PD_EVAL_KEEP_H
#define PD_EVAL_KEEP_H

#include "prompts/eval.h"

/* In the copy's folder; there once nothing is missing from the copy. */
#define PD_EVAL_QUESTIONS_FILE "eval.json"

/* Hex SHA-256 of all that copy and questions follow from: the documents of `from`, tokenizer,
 * tasks, items, seed and length.  NULL: an error. */
char *pd_eval_copy_id(PdCorpus *from, PdTokenizer *tokenizer, const PdEvalOptions *options,
                      guint64 n_tokens, GError **error);

/* Items, notes and counts of a finished copy to the file in `dir`, and from it.  A file made under
 * another id is an error (QUESTIONS) that says what to do. */
gboolean pd_eval_questions_save(const PdEvalCorpus *eval, const char *id, const char *dir,
                                GError **error);
gboolean pd_eval_questions_load(PdEvalCorpus *eval, const char *id, const char *dir,
                                GError **error);

#endif
