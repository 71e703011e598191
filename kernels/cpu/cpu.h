/*
 * Inside the CPU device: its threads, its scratch, and the table of inner kernels of each
 * instruction set.  kernels/cpu/device.c assembles the operation table of kernels.h from these.
 *
 * For every entry of PdMatmulIsa and PdVectorIsa there is a plain C reference (ref_*.c) that the
 * tests compare the others with; *_avx2.c and *_avx512.c are compiled with their own flags and
 * chosen at run time.  The AVX-512 files build a second time against SIMDe (simd_emulation) so that
 * their code is tested on any CPU.
 */
#ifndef PD_CPU_H
#define PD_CPU_H

#include "kernels/kernels.h"

/* --- threads (pool.c): a fixed pool, the caller is thread 0 --- */

typedef struct PdPool PdPool;
typedef void (*PdTask)(void *arg, int thread, int n_threads);

PdPool *pd_pool_new(int n_threads);
void pd_pool_free(PdPool *pool);
int pd_pool_n_threads(const PdPool *pool);
/* Run task on every thread; returns when all are done. */
void pd_pool_run(PdPool *pool, PdTask task, void *arg);

/* The share [*first, *last) of n items (in multiples of `grain`) of one thread. */
void pd_share(int n, int grain, int thread, int n_threads, int *first, int *last);

/* --- device --- */

typedef struct PdMatmulIsa PdMatmulIsa; /* matmul.h */
typedef struct PdVectorIsa PdVectorIsa; /* vector.h */

typedef struct {
    PdDevice base;
    const char *isa_name;
    PdPool *pool;
    const PdMatmulIsa *matmul;
    const PdVectorIsa *vector;
    void *scratch; /* grows, 64-byte aligned; one op at a time uses it */
    size_t scratch_bytes;
} PdCpu;

/* At least n bytes of scratch, NULL when out of memory. */
void *pd_cpu_scratch(PdCpu *cpu, size_t n_bytes);

/* A buffer of the CPU is host memory. */
void *pd_cpu_ptr(PdMem mem);

/* Operations; the names are those of PdDeviceOps. */
int pd_cpu_matmul(PdDevice *dev, PdMem x, int n_tokens, const PdMatmulJob *jobs, int n_jobs);
void pd_cpu_embed(PdDevice *dev, PdMem out, PdWeight table, const int32_t *ids, int n, float scale);
void pd_cpu_rms_norm(PdDevice *dev, PdMem out, PdMem x, PdWeight weight, int n_rows, int n_cols,
                     float eps);
void pd_cpu_add(PdDevice *dev, PdMem a, PdMem b, size_t n);
void pd_cpu_add_row(PdDevice *dev, PdMem a, PdWeight b, int n_rows, int n_cols);
void pd_cpu_glu(PdDevice *dev, PdMem gate, PdMem up, size_t n, PdActivation act);
void pd_cpu_rope(PdDevice *dev, PdMem x, const PdRope *rope, const int32_t *positions, int n_rows,
                 int n_heads, int head_dim);
void pd_cpu_kv_append(PdDevice *dev, PdKv *kv, int first_row, PdMem k, PdMem v, int n_rows);
int pd_cpu_attention(PdDevice *dev, const PdKv *kv, const PdAttention *a);
void pd_cpu_attention_weights(PdDevice *dev, PdMem out, const PdKv *kv, PdMem q, int n_heads,
                              int kv_rows, float scale);
int pd_cpu_attention_list(PdDevice *dev, const PdKv *kv, const PdListAttention *a);
void pd_cpu_attention_list_weights(PdDevice *dev, PdMem out, const PdKv *kv,
                                   const PdListAttention *a, int first_head, int n_heads);
void pd_cpu_block_maxima(PdDevice *dev, PdMem out, const PdKv *kv, int kv_head, int first_block,
                         int n_blocks, PdMem q, int n_q);
int pd_cpu_score_keys(PdDevice *dev, const PdKeyScan *scans, int n_scans, int bits, int head_dim,
                      PdMem q, int n_q, float scale);
int pd_cpu_index_select(PdDevice *dev, const PdIndexScan *scan);
int pd_cpu_attention_shared(PdDevice *dev, const PdSharedAttention *a);

/* The tables; NULL where this CPU or build lacks them. isa: "reference", "avx2", "avx512",
 * "avx512-emulated". */
const PdMatmulIsa *pd_matmul_isa(const char *isa);
const PdVectorIsa *pd_vector_isa(const char *isa);

#endif
