/*
 * Retrieval heads by model.  A row is what `pandect model calibrate` prints.  A model without a row
 * compares keys at an eighth and at two ninths of its layers, where the question's words and what
 * means the same were found in every model measured: SmolLM2-135M has so all of 128 literal
 * questions about 131,072 tokens among its best 8 blocks, and of 88 paraphrases 77 % among its best
 * 64.  What a sentence of its answer leans on is seen at its middle layers.
 */
#include "prompts/profile.h"

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

/*
 * Group 0 finds the question's own words, group 1 what means the same.  Chosen on 407 questions
 * about 131,072 tokens of code, contracts, list mail and proposals, as `pandect model calibrate`
 * plants them, and of the other split.  Of 88 paraphrases 90 % (0.5B) and 97 % (1.5B) are among the
 * best 64 of 2,337 blocks; without heads by keys, at five and three streams, it was 52 and 83 %.
 * With 9.8 in group 1 of the 1.5B it has 90 instead of 94 % of them in its best 8, and 64 instead
 * of 70 % first.
 */
static const ProfileRow rows[] = {
    /* Qwen2.5-Coder 0.5B and 1.5B */
    {"qwen2",
     24,
     896,
     {{3, 0, 0}, {3, 0, 0, TRUE}, {6, 0, 1, TRUE}, {6, 0, 1}},
     4,
     {{2, 4, 0}, {11, 11, 0}, {11, 2, 0}, {3, 5, 0}},
     4},
    {"qwen2",
     28,
     1536,
     {{5, 11, 0}, {5, 6, 0, TRUE}, {9, 6, 1, TRUE}},
     3,
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

/*
 * How passages are read, and from which evidence on an answer counts as stated.  The figures of the
 * last reading are those with most right answers shown and most others refused, on
 * samples/questions-extra.jsonl and questions-absent.jsonl, as tests/bench/support_threshold.py
 * finds them; weight and evidence also on 80 planted questions of another seed in 32,768 tokens, 12
 * of them without an answer.
 *
 * 0.5B: it is as sure of its wrong answers from 400 tokens as of the right ones, so there is one
 * reading; what stands out by likelihood is enough for it on both.
 *
 * 1.5B, where passages are run: of answers from 400 tokens, on these questions and twenty-four
 * about list mail, 13 of 14 that passed 2.25 were right, of those below it 12 of 38.  Where they
 * are kept, little is saved by reading less, but planted questions are answered better from what
 * stands out and those of the sample from all: with 1.45 and then 1.6, 20 of the 33 planted and 19
 * of the 30 are shown right, instead of 6 of 18 and 20 of 30 from all alone, and one of 38 without
 * an answer. The likelihood says nothing there that its support does not.
 */
typedef struct {
    const char *arch;
    int n_layers;
    int n_embd;
    PdReadings kept, run;
    int n_rerank, n_rerank_run;
    double likelihood_weight;
} SupportRow;

static const SupportRow support_rows[] = {
    {.arch = "qwen2", /* Qwen2.5-Coder 0.5B */
     .n_layers = 24,
     .n_embd = 896,
     .kept = {.n = 1, .of = {{.likely_margin = 1, .evidence_min = -0.8}}},
     .run = {.n = 1, .of = {{.likely_margin = 1, .evidence_min = -0.8}}},
     .n_rerank = 24,
     .n_rerank_run = 8,
     .likelihood_weight = 0.3},
    {.arch = "qwen2", /* Qwen2.5-Coder 1.5B */
     .n_layers = 28,
     .n_embd = 1536,
     .kept = {.n = 2, .of = {{.likely_margin = 1, .support_min = 1.45}, {.support_min = 1.6}}},
     .run = {.n = 3,
             .of = {{.tokens = 400, .support_min = 2.25},
                    {.tokens = 800, .support_min = 2.25},
                    {.support_min = 1.6}}},
     .n_rerank = 16},
};

char *
pd_head_name(const PdHead *head)
{
    return g_strdup_printf("%d.%d%s", head->layer, head->head, head->by_keys ? "k" : "");
}

static void
use_support(PdProfile *profile, const PdModelShape *shape)
{
    profile->kept.n = profile->run.n = 1;
    for (gsize i = 0; i < G_N_ELEMENTS(support_rows); i++) {
        const SupportRow *row = &support_rows[i];
        if (strcmp(row->arch, shape->arch) != 0 || row->n_layers != shape->n_layers ||
            row->n_embd != shape->n_embd)
            continue;
        profile->support_measured = TRUE;
        profile->kept = row->kept;
        profile->run = row->run;
        profile->n_rerank = row->n_rerank;
        profile->n_rerank_run = row->n_rerank_run;
        profile->likelihood_weight = row->likelihood_weight;
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

#define DEFAULT_KV_HEADS 4 /* of a layer at most */

static void
use_early_keys(PdProfile *profile, const PdModelShape *shape)
{
    int n_kv_heads = MAX(shape->n_kv_heads, 1), per_stream = shape->n_heads / n_kv_heads;
    int n = MIN(n_kv_heads, DEFAULT_KV_HEADS);

    for (int group = 0; group < 2; group++) {
        int layer = group == 0 ? shape->n_layers / 8 : shape->n_layers * 2 / 9;
        for (int i = 0; i < n; i++)
            profile->retrieval[profile->n_retrieval++] =
                (PdHead){.layer = layer,
                         .head = i * n_kv_heads / n * per_stream,
                         .group = group,
                         .by_keys = TRUE};
    }
}

static void
cite_by_middle_layers(PdProfile *profile, const PdModelShape *shape)
{
    int first = shape->n_layers * 2 / 5;
    int last = shape->n_layers * 3 / 5;

    for (int layer = first; layer <= last && profile->n_citation < 8; layer++) {
        profile->citation[profile->n_citation++] = (PdHead){.layer = layer};
        if (shape->n_heads > 1)
            profile->citation[profile->n_citation++] =
                (PdHead){.layer = layer, .head = shape->n_heads / 2};
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
    if (!profile.calibrated) {
        use_early_keys(&profile, shape);
        cite_by_middle_layers(&profile, shape);
    }
    use_gate(&profile, shape);
    use_support(&profile, shape);
    profile.read_whole_tokens = MAX(shape->n_ctx_train / 2, 2048);
    return profile;
}
