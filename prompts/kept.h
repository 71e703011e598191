/*
 * Reading passages from their kept rows: records of the full tier hold the keys and values of every
 * layer, free of position, so a passage can stand in a prompt without being run again.  What is
 * lost is that a passage saw only its own segment, not the passages before it, and the rounding of
 * the record.  In the index tier there are no rows: everything is run.
 */
#ifndef PD_KEPT_H
#define PD_KEPT_H

#include "prompts/passages.h"

/*
 * Bring sequence 0 of an empty session to `prompt`: header and text of each passage that is not
 * fresh come from its record, everything else is run.  n_kept (may be NULL): how many rows came
 * from records.
 */
gboolean pd_read_kept(PdContext *context, PdSession *session, GArray *prompt, GArray *passages,
                      guint *n_kept, GCancellable *cancellable, GError **error);

#endif
