/*
 * What a model's weights are made of, and what a token of context costs, for listings and plans.
 * Only headers are read.
 */
#ifndef PD_MODEL_INFO_H
#define PD_MODEL_INFO_H

#include "engine/model.h"

typedef struct {
    char name[8]; /* "Q4_K" */
    guint n_tensors;
    guint64 n_values;
    guint64 n_bytes;
} PdTypeCount;

typedef struct {
    const char *format; /* "GGUF", "safetensors" */
    GArray *types;      /* of PdTypeCount, the largest first */
    guint n_tensors;
    guint64 n_values; /* parameters */
    guint64 n_bytes;  /* of the tensors in the file */
    /* Keys and values of one token in all layers. */
    guint64 kv_bytes_16bit;
    guint64 kv_bytes_8bit; /* 0: heads of this width have no 8-bit blocks */
} PdModelInfo;

/* Free with pd_model_info_free. */
PdModelInfo *pd_model_info_new(const PdModel *model);
void pd_model_info_free(PdModelInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PdModelInfo, pd_model_info_free)

#endif
