/*
 * Selection of blocks: out[i][b] = max over the PD_SCORE_BLOCK rows j of block b of q_i . k_j, keys
 * as stored.  A block is widened once for all queries of a round; threads share the blocks, so a
 * result depends on its own block and query only.
 */
#include <assert.h>
#include "kernels/cpu/vector.h"

#define ROUND_QUERIES 64
/* Fewer products than this are made before other threads have woken up. */
#define PRODUCTS_MIN 32768

typedef struct {
    const PdVectorIsa *isa;
    float *out; /* (n_q, n_blocks) */
    const uint8_t *keys;
    size_t row_bytes;
    PdDtype type;
    int head_dim;
    int n_blocks;
    const float *q;
    int n_q;
} MaximaJob;

static void
maxima_blocks(void *arg, int thread, int n_threads)
{
    const MaximaJob *job = arg;
    _Alignas(64) float work[(PD_ATTEND_TILE + 16) * PD_HEAD_DIM_MAX];
    _Alignas(64) float tile[ROUND_QUERIES * PD_ATTEND_TILE];
    int first, last;

    pd_share(job->n_blocks, 1, thread, n_threads, &first, &last);
    for (int b = first; b < last; b++)
        for (int q0 = 0; q0 < job->n_q; q0 += ROUND_QUERIES) {
            int n = job->n_q - q0 < ROUND_QUERIES ? job->n_q - q0 : ROUND_QUERIES;
            job->isa->scores(tile, job->q + (size_t)q0 * (size_t)job->head_dim, n, job->head_dim,
                             job->type, job->keys + (size_t)b * PD_SCORE_BLOCK * job->row_bytes,
                             job->row_bytes, PD_SCORE_BLOCK, work);
            for (int i = 0; i < n; i++)
                job->out[(size_t)(q0 + i) * (size_t)job->n_blocks + (size_t)b] =
                    job->isa->max(tile + i * PD_ATTEND_TILE, PD_SCORE_BLOCK);
        }
}

void
pd_cpu_block_maxima(PdDevice *dev, PdMem out, const PdKv *kv, int kv_head, int first_block,
                    int n_blocks, PdMem q, int n_q)
{
    PdCpu *cpu = (PdCpu *)dev;
    size_t row_bytes = pd_row_bytes(kv->type, (size_t)kv->head_dim);
    size_t row = (size_t)kv_head * (size_t)kv->capacity_rows + (size_t)first_block * PD_SCORE_BLOCK;
    MaximaJob job = {
        .isa = cpu->vector,
        .out = pd_cpu_ptr(out),
        .keys = (const uint8_t *)pd_cpu_ptr(kv->k) + row * row_bytes,
        .row_bytes = row_bytes,
        .type = kv->type,
        .head_dim = kv->head_dim,
        .n_blocks = n_blocks,
        .q = pd_cpu_ptr(q),
        .n_q = n_q,
    };

    assert(kv->head_dim <= PD_HEAD_DIM_MAX && first_block >= 0 && n_blocks >= 0);
    assert(((size_t)first_block + (size_t)n_blocks) * PD_SCORE_BLOCK <= (size_t)kv->capacity_rows);
    if ((size_t)n_blocks * PD_SCORE_BLOCK * (size_t)kv->head_dim >= PRODUCTS_MIN)
        pd_pool_run(cpu->pool, maxima_blocks, &job);
    else
        maxima_blocks(&job, 0, 1);
}
