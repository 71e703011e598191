/*
 * The state of a sequence of a DeepSeek model in a KV store, and back (section 11 of the design).
 *
 * Two kinds of records: the entries of one unit of 128 tokens, written once, and snapshots of the
 * rest of the state at a token (deepseek/run.h).  A beginning of any length is restored by loading
 * the units before its last snapshot and that snapshot; the caller runs the tokens behind it.  The
 * sequence then goes on bit for bit as if it had never stopped.
 *
 * A record's key is a hash of the record version, the model's weights and shape, the precision and
 * every token up to its end.  Its head repeats them, so that bytes which came under a wrong key are
 * refused by name.
 */
#ifndef PD_RESUME_H
#define PD_RESUME_H

#include "engine/kv_store.h"
#include "engine/session.h"

typedef struct {
    char magic[8]; /* "PDDSROWS" */
    guint32 version;
    guint32 kind;     /* 0: entries of a unit, 1: snapshot */
    guint32 mixed;    /* 0: F32, 1: mixed precision */
    guint32 n_tokens; /* up to its end */
    guint32 drafted;  /* the snapshot holds the draft block's window */
    guint32 zero;
    guint8 model[32];  /* SHA-256 of the model's identity */
    guint8 tokens[32]; /* SHA-256 of all n_tokens tokens, 4 bytes each, little-endian */
} PdResumeHead;
G_STATIC_ASSERT(sizeof(PdResumeHead) == 96);

typedef struct {
    guint64 n_units, n_unit_bytes;         /* written */
    guint64 n_snapshots, n_snapshot_bytes; /* of records, without the pack's headers */
} PdResumeReport;

/* Writes what is not there yet: whole units, the snapshots that the session holds at its anchors,
 * and one at the sequence's end.  `report` may be NULL.  What was written before an error stays. */
gboolean pd_resume_save(PdSession *session, int sequence, PdKvStore *store, PdResumeReport *report,
                        GCancellable *cancellable, GError **error);

/*
 * Brings a sequence, which must be empty, to the longest beginning of `tokens` that can be
 * restored; *n_restored may be 0.  n_restored NULL: to exactly n_tokens, else NOT_FOUND.
 *
 * CORRUPT: a record is damaged or is not what its key says; `damaged` (may be NULL) gets its key,
 * to be dropped if the caller wants it made again.  Nothing in the store is changed, and the
 * sequence is empty after any error.
 */
gboolean pd_resume_load(PdSession *session, int sequence, const gint32 *tokens, int n_tokens,
                        PdKvStore *store, int *n_restored, guint8 damaged[PD_KV_KEY_BYTES],
                        GCancellable *cancellable, GError **error);

#endif
