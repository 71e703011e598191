/*
 * What is known of a model beyond its file: which attention heads find things, how long a context
 * it can really use.  Data, not code: a row per model, measured by `pandect model calibrate`.
 */
#ifndef PD_PROFILE_H
#define PD_PROFILE_H

#include <glib.h>
#include "engine/model.h"

typedef struct {
    int layer;
    int head;
    int group; /* of retrieval heads that are averaged; from 0 */
    /* Retrieval: the question's keys are compared with those that the head attends to, not its
     * queries (sweep.h). */
    gboolean by_keys;
} PdHead;

/* The KV head whose keys the head sees. */
static inline int
pd_head_kv(const PdModelShape *shape, const PdHead *head)
{
    return head->head / MAX(shape->n_heads / MAX(shape->n_kv_heads, 1), 1);
}

/* "9.7", by keys "6.0k"; free with g_free. */
char *pd_head_name(const PdHead *head);

#define PD_PROFILE_HEADS_MAX 16

/* How often passages are read for one question at most. */
#define PD_READINGS_MAX 3

/* One reading: what of the blocks found is read, and from what evidence on the answer made then is
 * shown; else the next reading follows. */
typedef struct {
    guint tokens; /* of passages; 0: as many as may be */
    /* Blocks that were ranked by reading them (rerank.h) and are so much less likely than the best
     * are left out; 0: none. */
    float likely_margin;
    double support_min;  /* nats (support.h) */
    double evidence_min; /* instead, where likelihood has a part in it (likelihood_weight) */
} PdReading;

typedef struct {
    PdReading of[PD_READINGS_MAX]; /* in their order; the last has the whole budget */
    guint n;                       /* >= 1 */
} PdReadings;

typedef struct {
    gboolean calibrated;
    PdHead retrieval[PD_PROFILE_HEADS_MAX]; /* score the blocks of the corpus */
    int n_retrieval;
    PdHead citation[PD_PROFILE_HEADS_MAX]; /* say which passage a sentence leans on */
    int n_citation;
    int kv_key_bits; /* of the full tier's records: the widths that passed the KL gate */
    int kv_value_bits;
    gboolean kv_measured;      /* else the widths are the careful default, 8 and 8 */
    double kv_mean_kl;         /* nats, measured with them */
    double kv_top1;            /* how often the most likely token is the same, 0 to 1 */
    gboolean support_measured; /* answers are checked before they are shown (support.h) */
    PdReadings kept;           /* where passages come from their kept rows, */
    PdReadings run;            /* and where they have to be run */
    /* So many of the best blocks are put in order by reading them (rerank.h): from their kept rows,
     * and where they have to be run.  Evidence then is the support plus this much of the best
     * block's likelihood; weight 0: it is the support alone. */
    int n_rerank;
    int n_rerank_run;
    double likelihood_weight;
    int read_whole_tokens; /* a corpus up to this size is read whole (mode D) */
} PdProfile;

/* The row of this model, or a default made from its shape. */
PdProfile pd_profile_for(const PdModelShape *shape);

#endif
