/*
 * Retrieval heads by model.  A row is what `pandect model calibrate` prints; a model without a row
 * gets the heads of its middle layers, where retrieval heads were found in every model measured
 * (hybrid-attention design, sections 2.6 and 8).
 */
#include "prompts/profile.h"

#include <math.h>
#include <string.h>

typedef struct {
    const char *arch;
    int n_layers;
    int n_embd;
    PdHead retrieval[PD_PROFILE_HEADS_MAX];
    int n_retrieval;
    PdHead citation[PD_PROFILE_HEADS_MAX];
    int n_citation;
} ProfileRow;

/* Group 0 finds the question's own words, group 1 what means the same. */
static const ProfileRow rows[] = {
    /* Qwen2.5-Coder 0.5B and 1.5B */
    {"qwen2",
     24,
     896,
     {{9, 8, 0}, {3, 0, 0}, {9, 10, 0}, {6, 0, 1}, {8, 9, 1}, {11, 6, 1}},
     6,
     {{2, 4, 0}, {11, 11, 0}, {11, 2, 0}, {3, 5, 0}},
     4},
    {"qwen2",
     28,
     1536,
     {{5, 11, 0}, {0, 9, 0}, {9, 7, 1}, {9, 8, 1}},
     4,
     {{0, 9, 0}, {9, 7, 0}, {2, 3, 0}, {5, 9, 0}},
     4},
};

/* Widths of the full tier's keys and values, and what they cost: `pandect bench --kv-gate --text
 * samples/mail.mbox`.  Widths that cost more than PD_KV_GATE_NATS do not come here; keys have one
 * of the widths that the sweep scans, 4 or 8. */
typedef struct {
    const char *arch;
    int n_layers;
    int n_embd;
    int key_bits;
    int value_bits;
    double mean_kl;
    double top1;
} GateRow;

static const GateRow gate_rows[] = {
    /* Qwen2.5-Coder, 0.5B and 1.5B */
    {"qwen2", 24, 896, 4, 4, 0.0061, 0.975},
    {"qwen2", 28, 1536, 4, 4, 0.0017, 0.992},
    /* SmolLM2-135M */
    {"llama", 30, 576, 4, 4, 0.0060, 0.979},
};

/* From which log-odds on an answer counts as stated.  After all passages: the one with most right
 * answers shown and most others refused, on samples/questions-extra.jsonl and
 * questions-absent.jsonl, as tests/bench/support_threshold.py finds it.  After few of them only a
 * sure answer ends the reading: on these questions and twenty-four about list mail, 13 of 14
 * answers from 400 tokens that passed 2.25 were right, of those below it 12 of 38.  INFINITY: no
 * answer is sure enough, so nothing is read with so little (the 0.5B is as sure of its wrong
 * answers from 400 tokens as of the right ones).  Support and likelihood together (support + weight
 * times likelihood, evidence_min; weight 0: the support alone): of 52 questions about the sample
 * and 80 planted ones of another seed in 32,768 tokens, 22 and 12 of them without an answer.  To
 * the 1.5B the likelihood says nothing that its support does not.  Less to read (likely_margin)
 * helps the 0.5B on both; the 1.5B answers planted questions better with it and the sample's worse.
 */
typedef struct {
    const char *arch;
    int n_layers;
    int n_embd;
    double support_min[PD_READINGS];
    int n_rerank, n_rerank_run;
    float likely_margin;
    double likelihood_weight;
    double evidence_min[PD_READINGS];
} SupportRow;

static const SupportRow support_rows[] = {
    /* Qwen2.5-Coder 0.5B and 1.5B */
    {"qwen2", 24, 896, {INFINITY, INFINITY, 0}, 24, 12, 1, 0.3, {INFINITY, INFINITY, -0.8}},
    {"qwen2", 28, 1536, {2.25, 2.25, 1.6}, 16, 0, 0, 0, {0, 0, 0}},
};

static void
use_support(PdProfile *profile, const PdModelShape *shape)
{
    profile->first_reading = PD_READINGS - 1;
    for (gsize i = 0; i < G_N_ELEMENTS(support_rows); i++) {
        const SupportRow *row = &support_rows[i];
        if (strcmp(row->arch, shape->arch) != 0 || row->n_layers != shape->n_layers ||
            row->n_embd != shape->n_embd)
            continue;
        profile->support_measured = TRUE;
        profile->first_reading = 0;
        memcpy(profile->support_min, row->support_min, sizeof profile->support_min);
        profile->n_rerank = row->n_rerank;
        profile->n_rerank_run = row->n_rerank_run;
        profile->likely_margin = row->likely_margin;
        profile->likelihood_weight = row->likelihood_weight;
        memcpy(profile->evidence_min, row->evidence_min, sizeof profile->evidence_min);
        while (isinf(row->support_min[profile->first_reading]))
            profile->first_reading++;
    }
}

static void
use_gate(PdProfile *profile, const PdModelShape *shape)
{
    profile->kv_key_bits = 8;
    profile->kv_value_bits = 8;
    for (gsize i = 0; i < G_N_ELEMENTS(gate_rows); i++) {
        const GateRow *row = &gate_rows[i];
        if (strcmp(row->arch, shape->arch) != 0 || row->n_layers != shape->n_layers ||
            row->n_embd != shape->n_embd)
            continue;
        profile->kv_measured = TRUE;
        profile->kv_key_bits = row->key_bits;
        profile->kv_value_bits = row->value_bits;
        profile->kv_mean_kl = row->mean_kl;
        profile->kv_top1 = row->top1;
    }
}

static void
use_middle_layers(PdProfile *profile, const PdModelShape *shape)
{
    int first = shape->n_layers * 2 / 5;
    int last = shape->n_layers * 3 / 5;

    for (int layer = first; layer <= last && profile->n_retrieval < 8; layer++) {
        profile->retrieval[profile->n_retrieval++] = (PdHead){layer, 0, 0};
        if (shape->n_heads > 1)
            profile->retrieval[profile->n_retrieval++] = (PdHead){layer, shape->n_heads / 2, 0};
    }
}

PdProfile
pd_profile_for(const PdModelShape *shape)
{
    PdProfile profile = {0};

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const ProfileRow *row = &rows[i];
        if (strcmp(row->arch, shape->arch) != 0 || row->n_layers != shape->n_layers ||
            row->n_embd != shape->n_embd)
            continue;
        profile.calibrated = TRUE;
        profile.n_retrieval = row->n_retrieval;
        memcpy(profile.retrieval, row->retrieval, sizeof profile.retrieval);
        profile.n_citation = row->n_citation;
        memcpy(profile.citation, row->citation, sizeof profile.citation);
    }
    if (!profile.calibrated)
        use_middle_layers(&profile, shape);
    for (int i = 0; i < profile.n_retrieval && !profile.calibrated; i++)
        profile.citation[profile.n_citation++] = profile.retrieval[i];
    use_gate(&profile, shape);
    use_support(&profile, shape);
    profile.read_whole_tokens = MAX(shape->n_ctx_train / 2, 2048);
    return profile;
}
