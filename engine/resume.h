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
 * refused by name.  Where no session is at hand, kv_type is that of the session that would be.
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

typedef struct {
    /* What the records are made from, for gc (kv_store.h): of each unit that the sequence has begun
     * PD_KV_KEY_BYTES, which a snapshot in it or at its end has too.  NULL: none. */
    const guint8 *owners;
    int superseded; /* the snapshot at this token is dropped for the one at the end; 0: none */
} PdResumeOptions;

/* Writes what is not there yet: whole units, the snapshots that the session holds at its anchors,
 * and one at the sequence's end, which is then marked (pd_session_mark).  `options` and `report`
 * may be NULL.  What was written before an error stays. */
gboolean pd_resume_save(PdSession *session, int sequence, PdKvStore *store,
                        const PdResumeOptions *options, PdResumeReport *report,
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

/* How many of the tokens pd_resume_load would restore; the records are not read. */
gboolean pd_resume_find(PdModel *model, PdDtype kv_type, const gint32 *tokens, int n_tokens,
                        PdKvStore *store, int *n_found, GCancellable *cancellable, GError **error);

/* The keys, PD_KV_KEY_BYTES each, of everything that can be kept of these tokens: the units, and
 * snapshots at their ends and after the last token.  Free with g_byte_array_unref. */
GByteArray *pd_resume_keys(PdModel *model, PdDtype kv_type, const gint32 *tokens, int n_tokens,
                           GCancellable *cancellable, GError **error);

/* Bytes of all records of n_tokens that were run and saved once, without the packs' headers. */
guint64 pd_resume_bytes(const PdModel *model, const PdSessionOptions *options, int n_tokens);

#endif
