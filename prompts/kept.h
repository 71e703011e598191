/*
 * Reading passages from their kept rows: records of the full tier hold the keys and values of every
 * layer, free of position, so a passage can stand in a prompt without being run again.  What is
 * lost is that a passage saw only its own segment, not the passages before it, and the rounding of
 * the record.  In the index tier there are no rows: everything is run.
 */
#ifndef PD_KEPT_H
#define PD_KEPT_H

#include "prompts/passages.h"

/* One prompt and the sequence that is to hold it. */
typedef struct {
    int sequence;
    GArray *prompt;   /* gint32 */
    GArray *passages; /* PdPassage, in the order of their first rows */
    guint n_kept;     /* out: rows that came from records */
} PdKeptPrompt;

/*
 * Bring sequences, each of which holds nothing or a beginning before its first passage, to their
 * prompts: header and text of each passage that is not fresh come from its record, everything else
 * is run, what stands between the passages of all prompts together.
 */
gboolean pd_read_kept(PdContext *context, PdSession *session, PdKeptPrompt *prompts, guint n,
                      GCancellable *cancellable, GError **error);

#endif
