/*
 * out[t][r] = sum_c x[t][c] W[r][c] + bias[r] for several W and the same x.
 *
 * The activations are rounded to 8 bits once for all jobs (when one of them has a block type), then
 * threads draw panels of weight rows from a common counter until none is left: with a counter a
 * thread that was held up does not hold up the others for long.  A panel is multiplied with all
 * tokens, so each weight is read from memory once per operation.
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/matmul.h"
#ifdef PD_VECTOR_SIMD
#include "kernels/cpu/panel.h"
#endif

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

typedef struct {
    const PdMatmulIsa *isa;
    const PdProduct *products;
    int n_products;
    PdActBlock *acts;
    uint8_t *workspaces; /* (n_threads, workspace_bytes) */
    size_t workspace_bytes;
    atomic_int next_draw; /* a draw is some rows of one product */
} Run;

/* Panels are drawn in runs: what a thread prefetches behind a panel should be its own next one.
 * With many tokens panels take long, and single ones share the work out most evenly. */
enum { MAX_DRAW_PANELS = 8, LONG_PANEL_TOKENS = 8 };

/* Fewer multiplications than this are made before other threads have woken up. */
enum { PRODUCTS_MIN = 131072 };

static int
draw_rows(const Run *run, const PdProduct *p, int n_threads)
{
    int panel_rows = run->isa->panel_rows;
    int n = p->n_rows / (panel_rows * n_threads * 4); /* four draws a thread even out the ends */
    if (p->n_tokens >= LONG_PANEL_TOKENS || n < 1)
        n = 1;
    return panel_rows * (n < MAX_DRAW_PANELS ? n : MAX_DRAW_PANELS);
}

static void
quantize_task(void *arg, int thread, int n_threads)
{
    Run *run = arg;
    const PdProduct *p = &run->products[0];
    size_t n_cols = (size_t)p->n_cols, n_blocks = n_cols / PD_ACT_BLOCK;
    size_t tile = (size_t)pd_act_tile(run->isa, p->n_tokens);
    int first, last;

    pd_share(p->n_tokens, 1, thread, n_threads, &first, &last);
    for (size_t t = (size_t)first; t < (size_t)last; t++)
        run->isa->quantize(run->acts + t / tile * n_blocks * tile + t % tile, tile,
                           p->x + t * n_cols, p->n_cols);
}

static void
multiply_task(void *arg, int thread, int n_threads)
{
    Run *run = arg;
    void *workspace = run->workspaces + (size_t)thread * run->workspace_bytes;
    int job = 0, first_draw = 0; /* of job */

    for (;;) {
        int draw = atomic_fetch_add_explicit(&run->next_draw, 1, memory_order_relaxed);
        const PdProduct *p = &run->products[job];
        int rows = draw_rows(run, p, n_threads), n_draws = (p->n_rows - 1) / rows + 1;
        while (draw - first_draw >= n_draws) {
            if (++job == run->n_products)
                return;
            first_draw += n_draws;
            p = &run->products[job];
            rows = draw_rows(run, p, n_threads);
            n_draws = (p->n_rows - 1) / rows + 1;
        }
        int first = (draw - first_draw) * rows;
        int last = p->n_rows - first < rows ? p->n_rows : first + rows;
        for (int r = first; r < last; r += run->isa->panel_rows) {
            int n = last - r < run->isa->panel_rows ? last - r : run->isa->panel_rows;
            run->isa->multiply_rows(p, r, n, workspace);
        }
    }
}

static PdProduct
product_of(const PdMatmulJob *job, PdMem x, int n_tokens)
{
    const PdWeight *w = &job->weight;
    assert(w->n_rows > 0 && w->n_cols > 0 && w->n_cols % pd_dtype_info[w->type].block_elems == 0);
    assert(job->bias.mem.buffer == NULL ||
           (job->bias.type == PD_F32 && job->bias.n_cols * job->bias.n_rows == w->n_rows));
    return (PdProduct){
        .weight = pd_cpu_ptr(w->mem),
        .bias = pd_cpu_ptr(job->bias.mem),
        .x = pd_cpu_ptr(x),
        .out = pd_cpu_ptr(job->out),
        .type = w->type,
        .n_rows = w->n_rows,
        .n_cols = w->n_cols,
        .n_tokens = n_tokens,
    };
}

static size_t
round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

#define MAX_JOBS 16

int
pd_cpu_matmul(PdDevice *dev, PdMem x, int n_tokens, const PdMatmulJob *jobs, int n_jobs)
{
    PdCpu *cpu = (PdCpu *)dev;
    PdProduct products[MAX_JOBS];
    bool any_block_type = false;
    int64_t n_rows = 0; /* of all jobs */

    assert(n_jobs > 0 && n_jobs <= MAX_JOBS && n_tokens >= 0);
    if (n_tokens == 0)
        return PD_KERNEL_OK;
    for (int i = 0; i < n_jobs; i++) {
        assert(jobs[i].weight.n_cols == jobs[0].weight.n_cols);
        products[i] = product_of(&jobs[i], x, n_tokens);
        any_block_type |= !pd_is_float_type(products[i].type);
        n_rows += products[i].n_rows;
    }

    int n_cols = products[0].n_cols, n_threads = pd_pool_n_threads(cpu->pool);
    const PdMatmulIsa *isa =
        n_tokens == 1 && cpu->matmul->single != NULL ? cpu->matmul->single : cpu->matmul;
    size_t n_places = round_up((size_t)n_tokens, (size_t)pd_act_tile(isa, n_tokens));
    size_t n_act_blocks = any_block_type ? n_places * (size_t)n_cols / PD_ACT_BLOCK : 0;
    size_t act_bytes = round_up(n_act_blocks * sizeof(PdActBlock), 64);
    Run run = {
        .isa = isa,
        .products = products,
        .n_products = n_jobs,
        .workspace_bytes = round_up(isa->workspace_bytes(n_cols, n_tokens), 64),
    };
    uint8_t *scratch = pd_cpu_scratch(cpu, act_bytes + (size_t)n_threads * run.workspace_bytes);
    if (scratch == NULL)
        return PD_KERNEL_ENOMEM;
    run.acts = (PdActBlock *)scratch;
    run.workspaces = scratch + act_bytes;
    for (int i = 0; i < n_jobs; i++)
        products[i].acts = run.acts;

    bool alone = n_rows * n_cols < PRODUCTS_MIN / n_tokens;
    if (n_act_blocks > 0 && (alone || n_tokens < n_threads))
        quantize_task(&run, 0, 1); /* shorter than waking the others */
    else if (n_act_blocks > 0)
        pd_pool_run(cpu->pool, quantize_task, &run);
    if (alone)
        multiply_task(&run, 0, 1);
    else
        pd_pool_run(cpu->pool, multiply_task, &run);
    return PD_KERNEL_OK;
}

#ifdef PD_VECTOR_SIMD
/* F16C is older than AVX2 and FMA and comes with them; not every compiler can ask for it. */
static bool
cpu_has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool
cpu_has_avx512(void)
{
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
#endif

const PdMatmulIsa *
pd_matmul_isa(const char *isa)
{
    if (strcmp(isa, "reference") == 0)
        return &pd_matmul_reference;
#ifdef PD_VECTOR_SIMD
    if (strcmp(isa, "avx2") == 0 && cpu_has_avx2())
        return &pd_matmul_avx2;
    if (strcmp(isa, "avx512") == 0 && cpu_has_avx512())
        return &pd_matmul_avx512;
#endif
#ifdef PD_SIMD_EMULATION
    /* What AVX-512 shares with AVX2 (unpacking) runs as it is. */
    if (strcmp(isa, "avx512-emulated") == 0 && cpu_has_avx2())
        return &pd_matmul_avx512_emulated;
#endif
    return NULL;
}
