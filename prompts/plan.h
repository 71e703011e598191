/*
 * The plan: tokens, bytes and time before the work, from formulas and a short measurement of this
 * machine (three layers of the model over 2,048 rows: one to three seconds).  A DeepSeek-V4 model
 * runs all its layers over as many rows as about a second allows; how its time grows with the
 * context is the cost model's (engine/cost.h).
 */
#ifndef PD_PLAN_H
#define PD_PLAN_H

#include "prompts/context.h"

/* Seconds of one row at position p through all layers: row + position * p; and of one decoded token
 * without attention.  Of a DeepSeek-V4 model those of a row and of a decoded token near the start;
 * position is 0. */
typedef struct {
    double row_seconds;
    double position_seconds;
    double decode_seconds;
    double disk_bytes_per_second; /* assumed for reading KV back from the page cache */
} PdRates;

gboolean pd_measure_rates(PdModel *model, PdRates *rates, GCancellable *cancellable,
                          GError **error);

typedef struct {
    guint64 n_tokens;      /* of the corpus, headers included */
    guint64 n_warm_tokens; /* of them already kept */
    PdReadMode mode;
    PdKvTier tier;  /* when swept */
    char *tier_why; /* one line; pd_plan_clear frees it */
    guint64 weight_bytes;
    guint64 session_bytes;      /* KV and scratch in memory while warming or asking, the larger */
    guint64 kv_disk_bytes;      /* when everything is warm */
    double warm_seconds;        /* for what is missing */
    guint64 dense_bytes;        /* the same tokens as dense 16-bit KV, to compare with */
    guint64 tier_bytes[2];      /* when swept: all of the corpus in the index and the full tier */
    double tier_seconds[2];     /* and reading all of it */
    double first_token_seconds; /* of a question, warm, after all readings (ask.h) */
    double sure_token_seconds;  /* where the first reading is enough; 0: there is one only */
    double answer_seconds;      /* 100 tokens, warm, first token included */
    guint64 memory_bytes_available; /* of this machine now; 0: unknown */
    gboolean fits;
} PdPlan;
void pd_plan_clear(PdPlan *plan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdPlan, pd_plan_clear)

/* For a corpus that is not there yet: segments of 2,048 tokens are assumed.  `plan` is filled anew;
 * clear it. */
void pd_plan_tokens(PdModel *model, guint64 n_tokens, PdReadMode mode, PdKvTier tier,
                    const PdRates *rates, PdPlan *plan);
gboolean pd_plan_context(PdContext *context, const PdRates *rates, PdPlan *plan,
                         GCancellable *cancellable, GError **error);

/* One JSON object.  Free with g_free. */
char *pd_plan_to_json(PdModel *model, const PdPlan *plan);

#endif
