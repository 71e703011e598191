/*
 * The tiers of kept KV: what each holds of a model, what it costs, which one a corpus gets.
 *
 * INDEX  only the key streams that the retrieval heads scan, at 4 bits; encoding ends at the last
 * of their layers; passages that win are run again. FULL   keys and values of every layer at the
 * bits that the model's KL gate admitted (profile.c); passages are put in from their rows.  Layers
 * with a sliding window (gemma) are kept as well: a passage may be cut anywhere in its segment, so
 * each of its rows can stand inside the window of what follows.
 */
#ifndef PD_TIER_H
#define PD_TIER_H

#include "engine/model.h"
#include "prompts/profile.h"

typedef enum { PD_KV_AUTO, PD_KV_INDEX, PD_KV_FULL } PdKvTier;

#define PD_KV_INDEX_BITS 4

/* What a record of a tier holds. */
typedef struct {
    PdKvTier tier; /* INDEX or FULL */
    int key_bits;
    int value_bits;                    /* 0: no values */
    int n_layers;                      /* that encoding runs */
    PdHead keys[PD_PROFILE_HEADS_MAX]; /* INDEX: layer and KV head of each stream, ascending */
    int n_keys;                        /* INDEX */
} PdKvFormat;

PdKvFormat pd_kv_format(const PdModelShape *shape, const PdProfile *profile, PdKvTier tier);

/* Bytes of a row of dense 16-bit KV: what the tiers are compared with. */
guint64 pd_kv_dense_row_bytes(const PdModelShape *shape);
/* Multiplications and additions of the matrix products of one row in layers [0, n_layers); of the
 * last of them, if it is not the model's last, only keys and values are made. */
double pd_kv_row_ops(PdModel *model, int n_layers);

/*
 * The tier for a corpus of n_tokens in segments of about `segment_tokens`.  AUTO: FULL while its
 * bytes stay below PD_KV_FULL_BYTES_MAX and a quarter of the free disk (0: not known), and the
 * layers beyond the index below PD_KV_FULL_SECONDS_MAX at a fixed rate per thread, so that every
 * command decides alike; else INDEX.  `why` gets one line, free with g_free.
 */
PdKvTier pd_kv_choose(PdModel *model, const PdProfile *profile, PdKvTier wanted, guint64 n_tokens,
                      guint segment_tokens, guint64 disk_free_bytes, char **why);
#define PD_KV_FULL_BYTES_MAX G_GUINT64_CONSTANT(2000000000)
#define PD_KV_FULL_SECONDS_MAX 300

/* Bytes of the records of a corpus of n_tokens cut into segments of `segment_tokens`, of which
 * PD_KV_HEADER_TOKENS are a header's. */
guint64 pd_kv_bytes_of_corpus(const PdModelShape *shape, const PdKvFormat *format, guint64 n_tokens,
                              guint segment_tokens);
#define PD_KV_HEADER_TOKENS 16

/* "index", "full", "auto". */
const char *pd_kv_tier_name(PdKvTier tier);
/* And back (NULL: AUTO); FALSE for an unknown word. */
gboolean pd_parse_kv_tier(const char *word, PdKvTier *tier);

#endif
