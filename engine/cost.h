/*
 * What a model costs at a length of context, from its configuration alone: weights, kept state,
 * operations, and the time they take at least.  No weights are needed.
 *
 * Every attention that is known here is a table of layer kinds: how many tokens share an entry, how
 * many entries a token attends to, what an entry takes.  DeepSeek-V4 has up to three kinds
 * (engine/deepseek/cost.c), latent attention with an indexer (V3.2) one, ordinary grouped heads one
 * or, with sliding windows, two.  The sums over them are written once, in cost.c.
 *
 * Operations are counted as the V4 report does (design section 10.4): in FP8 equivalents, those in
 * 16 bit twice and those in 4 bit half; a product and its addition are two.
 */
#ifndef PD_COST_H
#define PD_COST_H

#include <json-glib/json-glib.h>

/* Layers of one kind.  A raw row, as the window has, is counted as an entry of one token. */
typedef struct {
    int n_layers;
    int ratio;          /* tokens per entry; 0: no entries */
    int attended;       /* entries that a token attends to at most; 0: all that there are */
    int window;         /* raw rows attended beside the entries; 0: none */
    double entry_bytes; /* kept for an entry, and for a row of the window */
    double key_bytes;   /* kept for an entry's key in the indexer; 0: no indexer */
    double entry_flops; /* of one token with one entry: scores and values of all heads */
    double key_flops;   /* of one token with one key: all heads of the indexer */
} PdCostLayers;

/* Parameters by how a checkpoint stores them. */
typedef struct {
    double experts; /* the routed experts' matrices: 16, 8 or 4 bit */
    double linear;  /* other matrices that are quantised where the checkpoint is */
    double plain;   /* matrices and norms that never are */
    double exact;   /* 32 bit in every checkpoint */
} PdCostWeights;

#define PD_COST_KINDS_MAX 4

typedef struct {
    char *name;
    gboolean ordinary; /* keys and values of grouped heads, every token's own */
    int n_layers;
    int n_embd;
    int n_positions;      /* that the model was made for */
    PdCostWeights total;  /* without draft blocks */
    PdCostWeights active; /* of one token, without the embedding */
    double output;        /* of the active ones: the matrix that makes logits */
    PdCostWeights bytes;  /* per parameter, scales included */
    double weight_flops;  /* per active parameter and token: 2, or 4 with 16-bit products */
    PdCostLayers layers[PD_COST_KINDS_MAX];
    int n_kinds;
} PdCost;

void pd_cost_clear(PdCost *cost);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdCost, pd_cost_clear)

/* What a machine does at most; 0: not known, then no time is made of it. */
typedef struct {
    double gops; /* 1e9 operations a second, FP8 or 8-bit integers */
    double gbs;  /* 1e9 bytes of memory a second */
} PdCostMachine;

typedef struct {
    double n_tokens;
    double kv_bytes;        /* kept for n tokens */
    double decode_flops;    /* of the n-th token */
    double decode_bytes;    /* weights and state that the n-th token reads */
    double prefill_flops;   /* of all n tokens; logits of the last only */
    double prefill_seconds; /* at least: at the machine's peaks, nothing waiting for anything */
    double decode_seconds;  /* of the n-th token, at least */
} PdCostAt;

double pd_cost_parameters(const PdCostWeights *weights);
double pd_cost_weight_bytes(const PdCost *cost);
/* Bytes that a further token adds, in the mean. */
double pd_cost_token_bytes(const PdCost *cost);
void pd_cost_at(const PdCost *cost, const PdCostMachine *machine, double n_tokens, PdCostAt *at);

/* Keys and values of one token in one layer, 16 bit. */
guint64 pd_cost_row_bytes(int n_kv_heads, int head_dim);

/* An ordinary model of the same size: as many layers, of the same width, with the same weights, but
 * dense attention of heads of 128 to 8 heads of 16-bit keys and values.  `cost` is filled anew;
 * clear it. */
void pd_cost_ordinary(const PdCost *like, PdCost *cost);

/* From a config.json: DeepSeek-V4, latent attention (deepseek_v3, deepseek_v32), or an ordinary
 * model of the engine.  `where` starts messages. */
gboolean pd_cost_parse(JsonObject *config, const char *name, const char *where, PdCost *cost,
                       GError **error);
/* The same from a file or its folder, or by name one of the published configurations that are built
 * in. */
gboolean pd_cost_open(const char *name_or_path, PdCost *cost, GError **error);
/* Costs (PdCost) of these configurations, then of the baseline if it is none of them, then of an
 * ordinary model of the size of each that is not ordinary itself.  *baseline: the baseline's place.
 */
GArray *pd_cost_compare(const char *const *names_or_paths, guint *baseline, GError **error);
/* The model that V4's report compares with. */
#define PD_COST_BASELINE "deepseek-v3.2"
/* Names of the built-in configurations, ended by NULL. */
const char *const *pd_cost_presets(void);

#endif
