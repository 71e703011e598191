/*
 * The DeepSeek-V4 family as data: what a configuration says (PdDsShape), and per family a table of
 * layer kinds from which the schedule of layers is made.  A successor with other kinds of layers is
 * another table; nothing else asks which family it runs.
 *
 * "Section" in engine/deepseek/ is one of the design document of this family (deepseek-v4.md); its
 * sources are DeepSeek's technical report (arXiv 2606.19348), the reference inference code of the
 * released checkpoints and the model in Hugging Face transformers.
 */
#ifndef PD_DEEPSEEK_SHAPE_H
#define PD_DEEPSEEK_SHAPE_H

#include <json-glib/json-glib.h>
#include "engine/gguf.h"

/* What a layer attends to beside its window of raw rows. */
typedef struct {
    const char *name;    /* "window", "CSA", "HCA" */
    const char *hf_type; /* in layer_types and compress_rates of config.json */
    int ratio;           /* tokens per compressed entry in the released models; 0: no entries */
    gboolean overlaps;   /* an entry pools the window before its own as well */
    gboolean indexed;    /* an indexer chooses among the entries; else all are attended */
} PdDsKind;

typedef struct {
    const char *model_type; /* of config.json */
    const char *arch;       /* of GGUF files, and our name for it */
    const PdDsKind *kinds;
    gsize n_kinds;
} PdDsFamily;

/* NULL: not a model of this kind. */
const PdDsFamily *pd_ds_family(const char *model_type);
const PdDsFamily *pd_ds_family_of_arch(const char *arch);

typedef struct {
    const PdDsKind *kind;
    int ratio;     /* of this checkpoint; 0: no entries */
    gboolean hash; /* experts by token id instead of by score */
} PdDsLayerShape;

/* Rotation of the last rope_dim dimensions of a head (section 3.2). */
typedef struct {
    float theta;
    float yarn_factor; /* 0: plain */
    int yarn_context;  /* positions before the stretch */
    float yarn_beta_fast, yarn_beta_slow;
    gboolean yarn_truncate; /* the ramp's ends are whole numbers */
    float amplitude;        /* of cos and sin; 1 in all released models */
} PdDsRopeShape;

typedef struct {
    const PdDsFamily *family;
    int n_vocab;
    int n_embd; /* d */
    int n_layers;
    int n_heads; /* H; keys and values are one head */
    int head_dim;
    int rope_dim; /* last dimensions of a head that turn, in the indexer's heads too */
    int q_rank;   /* width between the query's two matrices */
    int o_groups;
    int o_rank; /* output width of one group */
    int window;
    int max_positions;
    int index_heads;
    int index_dim;
    int index_top_k;
    int hc_mult; /* residual streams */
    int hc_sinkhorn_iters;
    float hc_eps;
    float rms_eps;
    int n_experts;
    int n_experts_used;
    int n_ff; /* of one expert, and of the shared one */
    float routed_scaling;
    float swiglu_limit;
    int n_mtp;                    /* draft blocks that the checkpoint has */
    int fp8_rows, fp8_cols;       /* block of one scale in FP8 weights */
    PdDsRopeShape rope, rope_far; /* of layers without, with compressed entries */
    PdDsLayerShape *layers;       /* (n_layers + 1): the last is the draft block's (section 6.1) */
} PdDsShape;

void pd_ds_shape_clear(PdDsShape *shape);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdDsShape, pd_ds_shape_clear)

/* config.json, as DeepSeek or as transformers writes it.  What contradicts itself or is not handled
 * is refused by the name of the field; `name` starts the message. */
gboolean pd_ds_config_take(JsonObject *config, const char *name, PdDsShape *shape, GError **error);
gboolean pd_ds_config_parse(const char *json, gsize n_bytes, const char *name, PdDsShape *shape,
                            GError **error);
/* The metadata of a GGUF file of such an architecture; refused as config.json is. */
gboolean pd_ds_config_from_gguf(const PdGguf *gguf, const char *name, PdDsShape *shape,
                                GError **error);
/* Everything that changes the numbers, as text, for the identity of a model. */
void pd_ds_shape_describe(const PdDsShape *shape, GString *text);

/* Width of the compressors' projections: an overlapping window needs two values a dimension. */
static inline int
pd_ds_coff(const PdDsKind *kind)
{
    return kind->overlaps ? 2 : 1;
}

/* Heads of one group, laid end to end: what a group's output matrix reads. */
static inline int
pd_ds_group_width(const PdDsShape *s)
{
    return s->n_heads / s->o_groups * s->head_dim;
}

/* Values that a mixing site makes: pre and post of each stream, and the matrix between streams. */
static inline int
pd_ds_mix_width(const PdDsShape *s)
{
    return (2 + s->hc_mult) * s->hc_mult;
}

#endif
