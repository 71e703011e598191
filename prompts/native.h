/*
 * Reading as one text with a DeepSeek-V4 model, whose own compressed attention chooses what a token
 * sees (whole.h leads here).
 *
 * What is kept is the state of the sequence, through engine/resume.h: the entries of every unit of
 * 128 tokens once, and snapshots every PD_NATIVE_ANCHOR_UNITS units and at the end.  A reading goes
 * on from the last snapshot of the tokens it begins with, so a document added at the end costs its
 * own tokens, and a change what stands behind the last anchor before it.  A stopped reading leaves
 * a snapshot where it stopped, which is dropped when a later one is there.
 */
#ifndef PD_NATIVE_H
#define PD_NATIVE_H

#include "prompts/context.h"
#include "prompts/warm.h"

#define PD_NATIVE_ANCHOR_UNITS 64

/* The session that reads and answers; in the family's mixed precision where the model allows it. */
PdSessionOptions pd_native_session(PdModel *model, int max_tokens);

/* These are the native parts of pd_whole_read, _count and _keys. */
gboolean pd_native_read(PdContext *context, PdSession *session, GArray *tokens,
                        PdWarmReport *report, PdWarmProgress progress, gpointer user_data,
                        GCancellable *cancellable, GError **error);
gboolean pd_native_count(PdContext *context, GArray *tokens, guint64 *n_tokens,
                         GCancellable *cancellable, GError **error);
GByteArray *pd_native_keys(PdContext *context, GArray *tokens, GCancellable *cancellable,
                           GError **error);

#endif
