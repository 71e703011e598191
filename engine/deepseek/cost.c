/* See cost.h; the terms are those of sections 8.1 and 10.4 of the design, per layer instead of per
 * kind. */
#include "engine/deepseek/cost.h"
#include "engine/deepseek/rows.h"

/* --- parameters --- */

static void
add_compressor(const PdDsShape *s, const PdDsLayerShape *layer, double width, PdCostWeights *w)
{
    double entry = pd_ds_coff(layer->kind) * width;
    w->plain += 2 * entry * s->n_embd + width; /* values and gates; the norm */
    w->exact += layer->ratio * entry;          /* positions within the window */
}

static void
add_attention(const PdDsShape *s, const PdDsLayerShape *layer, PdCostWeights *w)
{
    double d = s->n_embd, head = s->head_dim, rank = s->q_rank;
    double o = (double)s->o_groups * s->o_rank;
    w->linear += d * rank + rank * s->n_heads * head + d * head + o * pd_ds_group_width(s) + d * o;
    w->plain += rank + head; /* norms */
    w->exact += s->n_heads;  /* sinks */
    if (layer->ratio > 0)
        add_compressor(s, layer, head, w);
    if (layer->kind->indexed) {
        w->linear += rank * s->index_dim * s->index_heads;
        w->plain += d * s->index_heads;
        add_compressor(s, layer, s->index_dim, w);
    }
}

/* A layer with n of its routed experts. */
static void
add_layer(const PdDsShape *s, const PdDsLayerShape *layer, double n_experts, PdCostWeights *w)
{
    double d = s->n_embd, expert = 3 * d * s->n_ff, streams = s->hc_mult * d;
    add_attention(s, layer, w);
    w->experts += n_experts * expert;
    w->linear += expert;                                      /* the shared one */
    w->plain += 2 * d + s->n_experts * d;                     /* norms, router */
    w->exact += 2 * (pd_ds_mix_width(s) * (streams + 1) + 3); /* two places of mixing */
    w->exact += layer->hash ? 0 : s->n_experts;               /* the router's bias */
}

static void
count_weights(const PdDsShape *s, PdCostWeights *total, PdCostWeights *active)
{
    double d = s->n_embd, vocab = s->n_vocab * d;
    *active = (PdCostWeights){.plain = vocab + d, .exact = s->hc_mult * (s->hc_mult * d + 1) + 1};
    *total = *active;
    total->plain += vocab;
    for (int l = 0; l < s->n_layers; l++) {
        add_layer(s, &s->layers[l], s->n_experts, total);
        add_layer(s, &s->layers[l], s->n_experts_used, active);
    }
}

PdDsParameters
pd_ds_parameters(const PdDsShape *s)
{
    PdCostWeights total, active;
    count_weights(s, &total, &active);
    return (PdDsParameters){pd_cost_parameters(&total), pd_cost_parameters(&active)};
}

/* --- state --- */

double
pd_ds_entry_bytes(const PdDsShape *s, PdDsStore store)
{
    int still = s->head_dim - s->rope_dim;
    if (store == PD_DS_STORE_DEPLOYED)
        return still + (still + PD_FP8_BLOCK - 1) / PD_FP8_BLOCK + 2 * s->rope_dim;
    return (store == PD_DS_STORE_16BIT ? 2.0 : 4.0) * s->head_dim;
}

double
pd_ds_index_key_bytes(const PdDsShape *s, PdDsStore store)
{
    if (store == PD_DS_STORE_DEPLOYED)
        return (s->index_dim + 1) / 2 + (s->index_dim + PD_FP4_BLOCK - 1) / PD_FP4_BLOCK;
    return (store == PD_DS_STORE_16BIT ? 2.0 : 4.0) * s->index_dim;
}

/* One kind of the family as the sums over layers see it. */
static PdCostLayers
layers_of_kind(const PdDsShape *s, const PdDsKind *kind, PdDsStore store)
{
    PdCostLayers layers = {.window = s->window,
                           .entry_bytes = pd_ds_entry_bytes(s, store),
                           /* Scores and values, 16 bit. */
                           .entry_flops = 2 * 4.0 * s->n_heads * s->head_dim};
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layers[l].kind != kind)
            continue;
        layers.n_layers++;
        layers.ratio = s->layers[l].ratio;
    }
    if (kind->indexed) {
        layers.attended = s->index_top_k;
        layers.key_bytes = pd_ds_index_key_bytes(s, store);
        layers.key_flops = 0.5 * 2 * s->index_heads * s->index_dim; /* FP4 */
    }
    return layers;
}

void
pd_ds_cost(const PdDsShape *s, PdDsStore store, PdCost *cost)
{
    *cost = (PdCost){.n_layers = s->n_layers,
                     .n_embd = s->n_embd,
                     .n_positions = s->max_positions,
                     .output = (double)s->n_vocab * s->n_embd,
                     .weight_flops = 2, /* FP8 */
                     .bytes = {4, 4, 4, 4}};
    count_weights(s, &cost->total, &cost->active);
    g_assert(s->family->n_kinds <= PD_COST_KINDS_MAX);
    for (gsize k = 0; k < s->family->n_kinds; k++)
        cost->layers[cost->n_kinds++] = layers_of_kind(s, &s->family->kinds[k], store);
}

double
pd_ds_token_bytes(const PdDsShape *s, PdDsStore store)
{
    PdCost cost;
    pd_ds_cost(s, store, &cost);
    return pd_cost_token_bytes(&cost);
}

double
pd_ds_window_bytes(const PdDsShape *s, PdDsStore store)
{
    return (double)s->n_layers * s->window * pd_ds_entry_bytes(s, store);
}

double
pd_ds_decode_flops(const PdDsShape *s, double n_tokens)
{
    PdCost cost;
    PdCostAt at;
    pd_ds_cost(s, PD_DS_STORE_DEPLOYED, &cost);
    pd_cost_at(&cost, &(PdCostMachine){0}, n_tokens, &at);
    return at.decode_flops;
}
