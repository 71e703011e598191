/*
 * What a KV record was made from, as a hash that needs no model: by it `gc` knows whether the
 * record can still be of use.  A record's key hashes the same things and the model as well.
 *
 *   segment   SHA-256(layout version, header line, token ids)
 *   whole     SHA-256(layout version, then each segment's owner up to the last one that begins in
 *             or before the chunk, then "end" if the chunk is the short one at the end); of a
 *             DeepSeek-V4 model's state the chunks are its units of 128 tokens
 */
#ifndef PD_OWNER_H
#define PD_OWNER_H

#include "engine/kv_store.h"

void pd_owner_segment(const char *header, const guint32 *ids, guint n_ids,
                      guint8 owner[PD_KV_KEY_BYTES]);

/* A chain over segments in corpus order; free with g_checksum_free. */
GChecksum *pd_owner_chain(void);
void pd_owner_chain_add(GChecksum *chain, const guint8 segment[PD_KV_KEY_BYTES]);
void pd_owner_chain_get(const GChecksum *chain, gboolean at_end, guint8 owner[PD_KV_KEY_BYTES]);

#endif
