/*
 * What a DeepSeek-V4 model takes, from its configuration alone (sections 8.2, 10.2 to 10.4):
 * parameters, bytes of state, operations.  No weights are needed.
 */
#ifndef PD_DEEPSEEK_COST_H
#define PD_DEEPSEEK_COST_H

#include "engine/cost.h"
#include "engine/deepseek/shape.h"

/* How an entry is stored. */
typedef enum {
    PD_DS_STORE_DEPLOYED, /* FP8 with BF16 rotary dimensions; FP4 index keys */
    PD_DS_STORE_16BIT,
    PD_DS_STORE_32BIT,
} PdDsStore;

typedef struct {
    double total;  /* without draft blocks */
    double active; /* of one token, without the embedding */
} PdDsParameters;

PdDsParameters pd_ds_parameters(const PdDsShape *s);
/* Bytes of an entry of `width` of which the last rope_dim turn; of an indexer's key. */
double pd_ds_entry_bytes(const PdDsShape *s, PdDsStore store);
double pd_ds_index_key_bytes(const PdDsShape *s, PdDsStore store);
/* Bytes that a further token adds, in the mean; those of the window of all layers. */
double pd_ds_token_bytes(const PdDsShape *s, PdDsStore store);
double pd_ds_window_bytes(const PdDsShape *s, PdDsStore store);
/* The whole of it for engine/cost.h, without a name to clear and with weights of 32 bit. */
void pd_ds_cost(const PdDsShape *s, PdDsStore store, PdCost *cost);
/* Operations of the last of n_tokens, in FP8 equivalents. */
double pd_ds_decode_flops(const PdDsShape *s, double n_tokens);

#endif
