/*
 * Does what was read state the answer?  A small model that is told it may refuse refuses questions
 * whose answer stands before it and invents answers to others; asked afterwards whether its answer
 * is stated, it tells them apart far better.  (The idea is P(True) of Kadavath et al. 2022,
 * "Language Models (Mostly) Know What They Know".)  How sure it must be is a figure of the model's
 * profile; a model without one may refuse in its own words instead.
 */
#ifndef PD_SUPPORT_H
#define PD_SUPPORT_H

#include "engine/error.h"
#include "engine/session.h"
#include "prompts/stated.h"

/* Nats that are taken off where a name of the question stands in nothing that was read (names.h).
 * Of 12 planted questions about things that no document names both Qwen2.5-Coder then show none
 * (the 0.5B one, the 1.5B one more, without), and of 94 answers to others lose one each. */
#define PD_SUPPORT_UNREAD 1.0

/* Nats that are added where one sentence of what is cited has the words of question and answer, and
 * where it has only all of the answer's (stated.h).  With support alone the 1.5B, asked of a
 * million tokens, withheld 7 right answers to 24 statements in their own words and 15 to 24
 * look-alikes. */
#define PD_SUPPORT_STATED 1.0
#define PD_SUPPORT_REPEATED 0.6

/* Nats by which the evidence for an answer may fall short and it is still told as one that may be
 * right, under the refusal. */
#define PD_SUPPORT_NEAR 0.6

/*
 * The log-odds of yes over no, in nats.  The sequence must begin with the prompt up to its last
 * passage, n_rows rows; afterwards it holds just these.
 */
gboolean pd_support(PdSession *session, int sequence, int n_rows, const char *question,
                    const char *answer, double *log_odds, GCancellable *cancellable,
                    GError **error);

/* The evidence for an answer in nats: these log-odds, and what words add and names that were not
 * read take off. */
double pd_support_evidence(double log_odds, PdStated stated, gboolean names_unread);

#endif
