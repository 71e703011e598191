/* See cost.h; the terms are those of section 10.4 of the design, per layer instead of per kind. */
#include "engine/deepseek/cost.h"

#define FP8_BLOCK 64 /* dimensions that share a scale byte */
#define FP4_BLOCK 32

static double
compressor_parameters(const PdDsShape *s, const PdDsLayerShape *layer, double width)
{
    double entry = pd_ds_coff(layer->kind) * width;
    return 2 * entry * s->n_embd + layer->ratio * entry + width;
}

static double
attention_parameters(const PdDsShape *s, const PdDsLayerShape *layer)
{
    double d = s->n_embd, head = s->head_dim, rank = s->q_rank;
    double o = (double)s->o_groups * s->o_rank;
    double n = d * rank + rank + rank * s->n_heads * head + d * head + head + s->n_heads +
               o * pd_ds_group_width(s) + d * o;
    if (layer->ratio > 0)
        n += compressor_parameters(s, layer, head);
    if (layer->kind->indexed)
        n += (rank * s->index_dim + d) * s->index_heads +
             compressor_parameters(s, layer, s->index_dim);
    return n;
}

PdDsParameters
pd_ds_parameters(const PdDsShape *s)
{
    double d = s->n_embd, expert = 3 * d * s->n_ff, streams = s->hc_mult * d;
    double site = pd_ds_mix_width(s) * (streams + 1) + 3;
    double ends = d + s->hc_mult * (streams + 1) + 1 + s->n_vocab * d;
    PdDsParameters p = {ends + s->n_vocab * d, ends};
    for (int l = 0; l < s->n_layers; l++) {
        double always = attention_parameters(s, &s->layers[l]) + 2 * (d + site) +
                        s->n_experts * (d + (s->layers[l].hash ? 0 : 1)) + expert;
        p.total += always + s->n_experts * expert;
        p.active += always + s->n_experts_used * expert;
    }
    return p;
}

double
pd_ds_entry_bytes(const PdDsShape *s, PdDsStore store)
{
    int still = s->head_dim - s->rope_dim;
    if (store == PD_DS_STORE_DEPLOYED)
        return still + (still + FP8_BLOCK - 1) / FP8_BLOCK + 2 * s->rope_dim;
    return (store == PD_DS_STORE_16BIT ? 2.0 : 4.0) * s->head_dim;
}

double
pd_ds_index_key_bytes(const PdDsShape *s, PdDsStore store)
{
    if (store == PD_DS_STORE_DEPLOYED)
        return (s->index_dim + 1) / 2 + (s->index_dim + FP4_BLOCK - 1) / FP4_BLOCK;
    return (store == PD_DS_STORE_16BIT ? 2.0 : 4.0) * s->index_dim;
}

double
pd_ds_token_bytes(const PdDsShape *s, PdDsStore store)
{
    double n = 0;
    for (int l = 0; l < s->n_layers; l++) {
        const PdDsLayerShape *layer = &s->layers[l];
        double entry = pd_ds_entry_bytes(s, store);
        if (layer->kind->indexed)
            entry += pd_ds_index_key_bytes(s, store);
        if (layer->ratio > 0)
            n += entry / layer->ratio;
    }
    return n;
}

double
pd_ds_window_bytes(const PdDsShape *s, PdDsStore store)
{
    return (double)s->n_layers * s->window * pd_ds_entry_bytes(s, store);
}

double
pd_ds_decode_flops(const PdDsShape *s, double n_tokens)
{
    double n = 2 * pd_ds_parameters(s).active; /* FP8 */
    for (int l = 0; l < s->n_layers; l++) {
        const PdDsLayerShape *layer = &s->layers[l];
        double entries = layer->ratio > 0 ? n_tokens / layer->ratio : 0;
        if (layer->kind->indexed) {
            n += 0.5 * 2 * s->index_heads * s->index_dim * entries; /* FP4 */
            entries = MIN(entries, s->index_top_k);
        }
        /* Scores and values, 16 bit. */
        n += 2 * 4.0 * s->n_heads * s->head_dim * (entries + MIN(n_tokens, s->window));
    }
    return n;
}
