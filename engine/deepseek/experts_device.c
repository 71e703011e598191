/*
 * The experts of a chunk's rows on the device: rows that go to the same expert are multiplied with
 * its matrices together.  A row gets its experts' outputs in ascending order of expert, then the
 * shared one's, whatever rows it shares the chunk with.
 */
#include <string.h>
#include "engine/deepseek/run_internal.h"

/* out = w2 (silu(min(w1 x, limit)) * clamp(w3 x, -limit, limit)) of n rows. */
static void
run_expert(PdDsRun *r, const PdDsExpert *expert, const float *rows, int n, float *out)
{
    PdDsScratch *x = &r->scratch;
    float limit = r->model->shape.swiglu_limit;
    gsize n_values = (gsize)n * (gsize)r->model->shape.n_ff;
    const PdDsProduct both[] = {{&expert->w1, x->gate}, {&expert->w3, x->up}};
    pd_ds_run_products(r, rows, n, both, G_N_ELEMENTS(both));
    for (gsize i = 0; i < n_values; i++) {
        x->gate[i] = MIN(x->gate[i], limit);
        x->up[i] = CLAMP(x->up[i], -limit, limit);
    }
    r->device->ops->glu(r->device, pd_ds_run_mem(r, x->gate), pd_ds_run_mem(r, x->up), n_values,
                        PD_ACT_SILU);
    pd_ds_run_product(r, &expert->w2, x->gate, n, out);
}

/* x->order: places (row, slot) of x->expert_ids by expert, rows ascending; expert e's begin at
 * x->expert_first[e]. */
static void
order_by_expert(PdDsRun *r, int n)
{
    PdDsScratch *x = &r->scratch;
    int n_experts = r->model->shape.n_experts, n_places = n * r->model->shape.n_experts_used;
    memset(x->expert_first, 0, (gsize)(n_experts + 1) * sizeof *x->expert_first);
    for (int i = 0; i < n_places; i++)
        x->expert_first[x->expert_ids[i] + 1]++;
    for (int e = 0; e < n_experts; e++)
        x->expert_first[e + 1] += x->expert_first[e];
    /* Filling moves each beginning to the next one's: move them back. */
    for (int i = 0; i < n_places; i++)
        x->order[x->expert_first[x->expert_ids[i]]++] = i;
    memmove(x->expert_first + 1, x->expert_first, (gsize)n_experts * sizeof *x->expert_first);
    x->expert_first[0] = 0;
}

/* f of the rows at n places += their weight * expert(row) */
static void
add_expert(PdDsRun *r, const PdDsExpert *expert, const int *places, int n)
{
    PdDsScratch *x = &r->scratch;
    gsize d = (gsize)r->model->shape.n_embd, n_used = (gsize)r->model->shape.n_experts_used;
    for (gsize i = 0; i < (gsize)n; i++)
        memcpy(x->gathered + i * d, x->y + (gsize)places[i] / n_used * d, d * sizeof *x->gathered);
    run_expert(r, expert, x->gathered, n, x->expert_out);
    for (gsize i = 0; i < (gsize)n; i++) {
        float weight = x->expert_weights[places[i]], *f = x->f + (gsize)places[i] / n_used * d;
        for (gsize c = 0; c < d; c++)
            f[c] += weight * x->expert_out[i * d + c];
    }
}

void
pd_ds_experts_on_device(PdDsRun *r, int l, int n)
{
    const PdDsShape *s = &r->model->shape;
    const PdDsLayer *layer = &r->model->layers[l];
    PdDsScratch *x = &r->scratch;
    gsize n_values = (gsize)n * (gsize)s->n_embd;
    order_by_expert(r, n);
    memset(x->f, 0, n_values * sizeof *x->f);
    for (int e = 0; e < s->n_experts; e++) {
        int last = x->expert_first[e + 1];
        /* A table of tokens may name an expert twice: more places than rows. */
        for (int at = x->expert_first[e]; at < last; at += n)
            add_expert(r, &layer->experts[e], x->order + at, MIN(n, last - at));
    }
    run_expert(r, &layer->shared, x->y, n, x->expert_out);
    for (gsize i = 0; i < n_values; i++)
        x->f[i] += x->expert_out[i];
}
