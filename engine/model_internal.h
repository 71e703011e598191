/* What a model is made of, for the files that load, run and identify it. */
#ifndef PD_MODEL_INTERNAL_H
#define PD_MODEL_INTERNAL_H

#include "engine/deepseek/weights.h"
#include "engine/model.h"

struct PdModel {
    grefcount ref_count;
    PdModelShape shape;
    PdDsModel *deepseek;  /* its weights are here, and absent below; NULL: an ordinary model */
    PdLayer *layers;      /* (n_layers) */
    PdWeight token_embd;  /* (n_vocab, n_embd) */
    PdWeight output_norm; /* n_embd */
    PdWeight output;      /* (n_vocab, n_embd); the embedding if tied */
    float *rope_factors;  /* (head_dim/2) divisors of the global layers' frequencies, or NULL */

    PdDevice *device;
    PdGguf *gguf;       /* one of these two holds the mapped data */
    GPtrArray *shards;  /* PdSafetensors */
    GPtrArray *buffers; /* PdBuffer: the wrapped mappings first, then converted vectors */
    guint64 weight_bytes;

    PdTokenizer *tokenizer;
    char *tokenizer_problem;
    PdChatFamily chat;
    char *name;
    char *path;
    GMutex id_lock;
    char *id;
};

#endif
