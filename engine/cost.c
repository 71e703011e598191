/* See cost.h: the sums over layer kinds. */
#include "engine/cost.h"
#include <math.h>
#include "kernels/kernels.h"

void
pd_cost_clear(PdCost *cost)
{
    g_clear_pointer(&cost->name, g_free);
}

double
pd_cost_parameters(const PdCostWeights *w)
{
    return w->experts + w->linear + w->plain + w->exact;
}

static double
bytes_of(const PdCostWeights *w, const PdCostWeights *bytes)
{
    return w->experts * bytes->experts + w->linear * bytes->linear + w->plain * bytes->plain +
           w->exact * bytes->exact;
}

double
pd_cost_weight_bytes(const PdCost *cost)
{
    return bytes_of(&cost->total, &cost->bytes);
}

double
pd_cost_token_bytes(const PdCost *cost)
{
    double n = 0;
    for (int k = 0; k < cost->n_kinds; k++) {
        const PdCostLayers *l = &cost->layers[k];
        if (l->ratio > 0)
            n += l->n_layers * (l->entry_bytes + l->key_bytes) / l->ratio;
    }
    return n;
}

guint64
pd_cost_row_bytes(int n_kv_heads, int head_dim)
{
    return 2 * (guint64)n_kv_heads * pd_row_bytes(PD_F16, (gsize)head_dim);
}

/* Complete entries behind n tokens, and how many of them one token attends to. */
static double
entries(const PdCostLayers *l, double n)
{
    return l->ratio > 0 ? floor(n / l->ratio) : 0;
}

static double
attended(const PdCostLayers *l, double n)
{
    double all = entries(l, n);
    return (l->attended > 0 ? MIN(all, l->attended) : all) + MIN(n, l->window);
}

/* sum over t = 1..n of floor(t / ratio), of no more than `most` each: whole groups of `ratio`
 * tokens that see 0, 1, 2 ... entries, and what is left of the last. */
static double
sum_entries(double n, int ratio, double most)
{
    double groups = floor(n / ratio);
    if (groups > most) {
        double below = ratio * most; /* the first token that sees `most` */
        return sum_entries(below - 1, ratio, most) + (n - below + 1) * most;
    }
    return ratio * groups * (groups - 1) / 2 + groups * (n - ratio * groups + 1);
}

/* Entries and raw rows that tokens 1..n attend to, summed. */
static double
sum_attended(const PdCostLayers *l, double n)
{
    double sum = l->window > 0 ? sum_entries(n, 1, l->window) : 0;
    if (l->ratio > 0)
        sum += sum_entries(n, l->ratio, l->attended > 0 ? l->attended : INFINITY);
    return sum;
}

static void
add_layers(const PdCostLayers *l, double n, PdCostAt *at)
{
    double seen = attended(l, n), all = entries(l, n);

    at->kv_bytes +=
        l->n_layers * (all * (l->entry_bytes + l->key_bytes) + MIN(n, l->window) * l->entry_bytes);
    at->decode_flops += l->n_layers * (seen * l->entry_flops + all * l->key_flops);
    at->decode_bytes += l->n_layers * (seen * l->entry_bytes + all * l->key_bytes);
    at->prefill_flops += l->n_layers * sum_attended(l, n) * l->entry_flops;
    if (l->ratio > 0)
        at->prefill_flops += l->n_layers * sum_entries(n, l->ratio, INFINITY) * l->key_flops;
}

/* What takes longer: the operations, or reading the bytes. */
static double
seconds(const PdCostMachine *m, double flops, double bytes)
{
    if (!(m->gops > 0) || !(m->gbs > 0))
        return 0;
    return MAX(flops / (m->gops * 1e9), bytes / (m->gbs * 1e9));
}

void
pd_cost_at(const PdCost *cost, const PdCostMachine *machine, double n_tokens, PdCostAt *at)
{
    double active = pd_cost_parameters(&cost->active);

    *at = (PdCostAt){.n_tokens = n_tokens,
                     .decode_flops = cost->weight_flops * active,
                     .decode_bytes = bytes_of(&cost->active, &cost->bytes),
                     .prefill_flops =
                         cost->weight_flops * ((active - cost->output) * n_tokens + cost->output)};
    for (int k = 0; k < cost->n_kinds; k++)
        add_layers(&cost->layers[k], n_tokens, at);
    /* A prompt uses every expert, and reads each weight once at best. */
    at->prefill_seconds =
        seconds(machine, at->prefill_flops, pd_cost_weight_bytes(cost) + at->kv_bytes);
    at->decode_seconds = seconds(machine, at->decode_flops, at->decode_bytes);
}

void
pd_cost_ordinary(const PdCost *like, PdCost *cost)
{
    const int n_kv_heads = 8, head_dim = 128;

    *cost = *like;
    cost->name = g_strdup_printf("GQA like %s", like->name);
    cost->ordinary = TRUE;
    cost->n_kinds = 1;
    cost->layers[0] = (PdCostLayers){
        .n_layers = like->n_layers,
        .ratio = 1,
        .entry_bytes = (double)pd_cost_row_bytes(n_kv_heads, head_dim),
        /* As many heads as make up the width: 2 operations a channel for the score, 2 for the
         * value, in 16 bit. */
        .entry_flops = 2 * 4.0 * like->n_embd,
    };
}
