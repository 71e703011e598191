/*
 * The names in a question: whom and what it is about.  Before passages about something alike a
 * small model answers with what they say of that ("the settlement with Orirley" with Monmonley's),
 * and then finds its answer stated; that a name stands in nothing it read tells more than the model
 * does.
 */
#ifndef PD_NAMES_H
#define PD_NAMES_H

#include "prompts/passages.h"

/*
 * The words of a question that name something, as they stand there, each once, in order: with a
 * digit, with a capital after the first letter, or beginning with one where no sentence or
 * quotation begins, but not in German, where every noun does.  Not months and days of the week nor
 * numbers with a point or stroke in them (dates, amounts), which are written in many ways, and not
 * words that only ask.  Array of char *, free with g_ptr_array_unref.
 */
GPtrArray *pd_names(const char *question);

/*
 * Of these the ones that stand in none of the passages (PdPassage) nor in their headers, in order.
 * One counts as read where a form of it is (pd_word_is_form).  Free with g_ptr_array_unref; NULL:
 * the corpus could not be read.
 */
GPtrArray *pd_names_unread(const PdContext *context, GArray *passages, const char *question,
                           GError **error);

#endif
