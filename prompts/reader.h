/*
 * A second model reads what the first one found.  The passages are text to it: cut from the stored
 * bytes, tokenized with its own tokenizer, under headers of its own.
 */
#ifndef PD_PROMPTS_READER_H
#define PD_PROMPTS_READER_H

#include "prompts/passages.h"

/* The corpus as the reader sees it: a context without a store whose segments are the passages that
 * pd_reader_passages adds.  Needs `context` while it lives.  Free with pd_context_free. */
PdContext *pd_reader_view_new(PdContext *context, PdModel *reader, GError **error);

/* Passages of `context` as passages of the view, in the same order with the same numbers, each one
 * a segment of its own over the same bytes (whole characters).  Free with g_array_unref. */
GArray *pd_reader_passages(PdContext *view, PdContext *context, GArray *passages, GError **error);

#endif
