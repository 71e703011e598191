/* The products of a run: on its device, or by the reference where it has none. */
#include <string.h>
#include "engine/deepseek/run_internal.h"

#define JOBS_MAX 8

void
pd_ds_run_products(PdDsRun *r, const float *x, int n, const PdDsProduct *products, int n_products)
{
    PdMatmulJob jobs[JOBS_MAX];
    g_assert(n_products <= JOBS_MAX);
    for (int i = 0; r->device == NULL && i < n_products; i++)
        pd_ds_product(products[i].matrix, x, n, products[i].out, r->scratch.row);
    if (r->device == NULL)
        return;
    for (int i = 0; i < n_products; i++)
        jobs[i] = (PdMatmulJob){.weight = products[i].matrix->weight,
                                .out = pd_ds_run_mem(r, products[i].out)};
    r->no_memory |=
        r->device->ops->matmul(r->device, pd_ds_run_mem(r, x), n, jobs, n_products) != PD_KERNEL_OK;
}

void
pd_ds_run_product(PdDsRun *r, const PdDsMatrix *matrix, const float *x, int n, float *out)
{
    PdDsProduct product = {matrix, out};
    pd_ds_run_products(r, x, n, &product, 1);
}

/* One group's rows of wo_a with its part of every row: a product of rows without gaps. */
static void
group_on_device(PdDsRun *r, const PdDsMatrix *wo_a, gsize group, int n)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize width = (gsize)pd_ds_group_width(s), n_groups = (gsize)s->o_groups;
    gsize rank = (gsize)s->o_rank;
    PdMatmulJob job = {.weight = wo_a->weight, .out = pd_ds_run_mem(r, x->group_out)};
    job.weight.n_rows = s->o_rank;
    job.weight.mem.offset_bytes += group * rank * pd_row_bytes(job.weight.type, width);
    for (gsize t = 0; t < (gsize)n; t++)
        memcpy(x->group_in + t * width, x->q + (t * n_groups + group) * width,
               width * sizeof *x->group_in);
    r->no_memory |= r->device->ops->matmul(r->device, pd_ds_run_mem(r, x->group_in), n, &job, 1) !=
                    PD_KERNEL_OK;
    for (gsize t = 0; t < (gsize)n; t++)
        memcpy(x->z + (t * n_groups + group) * rank, x->group_out + t * rank,
               rank * sizeof *x->group_out);
}

void
pd_ds_run_groups(PdDsRun *r, const PdDsMatrix *wo_a, int n)
{
    const PdDsShape *s = &r->model->shape;
    PdDsScratch *x = &r->scratch;
    gsize width = (gsize)pd_ds_group_width(s), n_groups = (gsize)s->o_groups;
    gsize rank = (gsize)s->o_rank;
    for (gsize j = 0; j < n_groups; j++) {
        if (r->device != NULL)
            group_on_device(r, wo_a, j, n);
        else
            pd_ds_product_rows(wo_a, (int)(j * rank), s->o_rank, x->q + j * width, n_groups * width,
                               n, x->z + j * rank, n_groups * rank, x->row);
    }
}
