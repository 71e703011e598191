/*
 * The operation table: everything the engine asks of a device.
 *
 * The engine holds handles to buffers (PdMem) and never assumes that a pointer
 * can be read; only the functions below touch the bytes.  One table per device
 * (kernels/cpu now, a CUDA twin with the same table later).  Plain C11, no GLib:
 * each function can be read against its equation and called from any test.
 *
 * Conventions
 *   - Activations are float32, row-major, rows are tokens.
 *   - A weight W has `n_rows` outputs and `n_cols` inputs, stored row by row in
 *     its own type, exactly as in GGUF files (block formats of ggml, the last
 *     dimension contiguous).
 *   - Functions that can fail return 0 or a negative PD_KERNEL_E* code; shapes
 *     are the caller's contract and are asserted.
 */
#ifndef PD_KERNELS_H
#define PD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/row_format.h"

/* Element types.  The numbers are ours, not GGUF's; engine/gguf.c maps them. */
typedef enum {
    PD_F32,
    PD_F16,
    PD_BF16,
    PD_Q8_0,
    PD_Q4_0,
    PD_Q4_1,
    PD_Q5_0,
    PD_Q5_1,
    PD_Q4_K,
    PD_Q5_K,
    PD_Q6_K,
    PD_N_DTYPES
} PdDtype;

typedef struct {
    const char *name;     /* "Q4_K" */
    uint16_t block_elems; /* values per block: 1, 32 or 256 */
    uint16_t block_bytes; /* bytes per block */
} PdDtypeInfo;

extern const PdDtypeInfo pd_dtype_info[PD_N_DTYPES];

/* Bytes of a row of n values; n must be a multiple of block_elems. */
static inline size_t
pd_row_bytes(PdDtype type, size_t n)
{
    return n / pd_dtype_info[type].block_elems * pd_dtype_info[type].block_bytes;
}

enum {
    PD_KERNEL_OK = 0,
    PD_KERNEL_ENOMEM = -1,
    PD_KERNEL_EUNSUPPORTED = -2,
};

typedef struct PdDevice PdDevice; /* a device: its threads or stream, scratch, op table */
typedef struct PdBuffer PdBuffer; /* memory of one device, opaque */

/* A place in a buffer. */
typedef struct {
    PdBuffer *buffer;
    size_t offset_bytes;
} PdMem;

/* A weight matrix (n_rows x n_cols); a vector has n_rows = 1.  mem.buffer NULL = absent. */
typedef struct {
    PdMem mem;
    PdDtype type;
    int n_rows;
    int n_cols;
} PdWeight;

/* One product of pd_matmul: out[t][r] = sum_c x[t][c] W[r][c] + bias[r]. */
typedef struct {
    PdWeight weight;
    PdWeight bias; /* F32 vector of n_rows values, or absent */
    PdMem out;     /* f32 (n_tokens, n_rows) */
} PdMatmulJob;

typedef enum {
    PD_ACT_SILU,      /* x / (1 + exp(-x)) */
    PD_ACT_GELU_TANH, /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
} PdActivation;

typedef enum {
    PD_ROPE_NEOX,  /* pairs (i, i + head_dim/2): Hugging Face half-split; Qwen, Gemma */
    PD_ROPE_PAIRS, /* pairs (2i, 2i+1): Llama-family GGUF files */
} PdRopeKind;

/*
 * Keys and values of one layer for one sequence.
 *   PD_F16  k and v are half floats, (n_kv_heads, capacity_rows, head_dim); keys are stored
 *           after bias, norm and RoPE.
 *   PD_F32  the same in float32; exact but slow, for checking a model against a reference.
 *   PD_Q8_0 same shape in Q8_0 blocks of 32 along head_dim; keys are stored before RoPE and
 *           without the key bias, so the rows are position-free: row r gets position
 *           `position0 + r` and `k_bias` when attention reads it.
 * position_free: PD_F16 and PD_F32 keys are stored as PD_Q8_0 keys always are, before RoPE and
 *           without bias.
 */
typedef struct {
    PdDtype type;
    int n_kv_heads;
    int head_dim;
    int capacity_rows;
    PdMem k;
    PdMem v;
    bool position_free;
} PdKv;

/* Whether keys lack RoPE and bias until attention reads them. */
static inline bool
pd_kv_is_bare(const PdKv *kv)
{
    return kv->type == PD_Q8_0 || kv->position_free;
}

/* cos/sin of every position: f32 (n_positions, n_rot/2, 2), made once per model and theta. */
typedef struct {
    PdMem table;
    int n_positions;
    int n_rot; /* leading dims of a head that rotate; head_dim for full RoPE */
    PdRopeKind kind;
} PdRope;

/*
 * Causal attention of n_q query rows over the first (kv_rows) rows of a PdKv.
 * Query row i sees kv rows j with   j <= first_q_row + i   and, if window > 0,
 * j > first_q_row + i - window.  out[i][h] = softmax_j(scale q_ih . k_j,g(h)) v_j,g(h), g(h) = h /
 * (n_heads / n_kv_heads).
 */
typedef struct {
    PdMem q;   /* f32 (n_q, n_heads, head_dim), RoPE applied */
    PdMem out; /* f32 (n_q, n_heads, head_dim) */
    int n_q;
    int n_heads;
    int first_q_row; /* kv row of query row 0 */
    int kv_rows;     /* rows present; >= first_q_row + n_q */
    int window;      /* 0: all */
    float scale;
    /* Position-free keys only: */
    const PdRope *rope;
    int position0;
    PdWeight k_bias; /* F32 (n_kv_heads * head_dim), or absent */
} PdAttention;

/* Neighbouring rows of a position-free cache and where the first of them stands for the query. */
typedef struct {
    int first_row;
    int n_rows;
    int position;
} PdRowRange;

/* Neighbouring query rows that share a list of ranges. */
typedef struct {
    int first_q; /* its first row in q and out */
    int n_q;     /* 1 .. PD_LIST_ROWS_MAX */
    int q_row;   /* kv row of that first query row: row i sees no kv row behind q_row + i */
    int first_range;
    int n_ranges; /* disjoint, ascending */
} PdRowGroup;

#define PD_LIST_ROWS_MAX 64

/*
 * Attention over lists of rows of a position-free cache: one softmax over all ranges of a row's
 * group.  The caller has turned q to its own position on the same scale.  A row that sees nothing
 * gets zeros.
 */
typedef struct {
    PdMem q;   /* f32 (rows, n_heads, head_dim), RoPE applied */
    PdMem out; /* f32 (rows, n_heads, head_dim) */
    int n_heads;
    int window; /* as in PdAttention; 0: all.  attention_list_weights knows no window */
    float scale;
    const PdRope *rope; /* NULL: none */
    PdWeight k_bias;
    const PdRowGroup *groups;
    int n_groups;
    const PdRowRange *ranges;
} PdListAttention;

/* One stream of compressed keys for score_keys. */
typedef struct {
    PdMem keys; /* a key stream of n_keys rows (kv_block.h); offset a multiple of 32 */
    int n_keys;
    PdMem out; /* f32 (n_q, n_blocks): the maximum of q . k over each block of 64 keys */
    PdMem lse; /* f32 (n_q): log sum exp over all n_keys of scale q . k; buffer NULL: not wanted */
} PdKeyScan;

/*
 * Attention of DeepSeek-V4 over rows that are key and value at once and that all heads share.
 * Query row i sees of `window` the rows up to n_before + i, n_window of them at most, and
 * n_entries[i] of `entries`: the first ones, or those that picks names.
 *   out[i][h] = sum_j exp(s_j) r_j / (exp(sinks[h]) + sum_j exp(s_j)),   s_j = scale q_ih . r_j
 */
typedef struct {
    PdRowFormat format; /* PD_ROW_F32 or PD_ROW_FP8; its width is head_dim */
    PdMem q;            /* f32 (n_q, n_heads, head_dim) */
    PdMem out;          /* the same; may be q */
    int n_q;
    int n_heads;
    float scale;
    PdMem sinks;  /* f32 (n_heads) */
    PdMem window; /* (n_before + n_q) rows: those before the queries' own, then these */
    int n_before;
    int n_window;
    PdMem entries;
    const int *n_entries; /* (n_q) */
    PdMem picks;          /* i32 (n_q, picks_stride), or absent */
    int picks_stride;
} PdSharedAttention;

/*
 * The lightning indexer of DeepSeek-V4 for n_q query rows: how much each wants the first n_keys[i]
 * entries, by their keys, and which of them it gets.
 *   scores[i][w] = sum_h weights[i][h] max(0, q[i][h] . keys[w])
 *   picks[i]     = the min(top_k, n_keys[i]) largest, ties to the lower index, ascending
 */
#define PD_INDEX_DIM_MAX 512

typedef struct {
    PdRowKind kind; /* of keys and queries: PD_ROW_F32, or PD_ROW_FP4 */
    int dim;        /* <= PD_INDEX_DIM_MAX */
    int n_heads;
    PdMem keys;    /* rows of that format */
    PdMem q;       /* the same, (n_q, n_heads) */
    PdMem weights; /* f32 (n_q, n_heads) */
    int n_q;
    const int *n_keys; /* (n_q) */
    int top_k;
    PdMem scores; /* f32 (n_q, scores_stride), scores_stride >= n_keys[i] */
    int scores_stride;
    bool all_scores; /* of a row that gets all its entries too; else they are undefined */
    PdMem picks;     /* i32 (n_q, top_k) */
} PdIndexScan;

/* What a device can say of itself, for `bench` and the planner. */
typedef struct {
    const char *name; /* "cpu" */
    const char *isa;  /* "reference", "avx2", "avx512-vnni" */
    int n_threads;
} PdDeviceInfo;

typedef struct {
    PdDeviceInfo (*info)(PdDevice *dev);
    void (*free)(PdDevice *dev);

    /* Memory.  buffer_new returns NULL when out of memory; contents undefined.
     * buffer_wrap makes host memory (a mapped file) usable by the device: the CPU uses it in
     * place, a GPU copies; the memory must outlive the buffer. */
    PdBuffer *(*buffer_new)(PdDevice *dev, size_t bytes);
    PdBuffer *(*buffer_wrap)(PdDevice *dev, const void *host, size_t bytes);
    void (*buffer_free)(PdDevice *dev, PdBuffer *buffer);
    void (*write)(PdDevice *dev, PdMem dst, const void *src, size_t bytes);
    void (*read)(PdDevice *dev, void *dst, PdMem src, size_t bytes);
    void (*copy)(PdDevice *dev, PdMem dst, PdMem src, size_t bytes);

    /* out (n, table.n_cols) = scale * table[ids[i]], dequantized */
    void (*embed)(PdDevice *dev, PdMem out, PdWeight table, const int32_t *ids, int n, float scale);

    /* out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * weight, over rows of n_cols; out may be x.
     * weight: F32 vector of n_cols. */
    void (*rms_norm)(PdDevice *dev, PdMem out, PdMem x, PdWeight weight, int n_rows, int n_cols,
                     float eps);

    /* Several products of the same x (n_tokens, n_cols): x is quantized once for all of them. */
    int (*matmul)(PdDevice *dev, PdMem x, int n_tokens, const PdMatmulJob *jobs, int n_jobs);

    /* a[i] += b[i] */
    void (*add)(PdDevice *dev, PdMem a, PdMem b, size_t n);

    /* a[t][c] += b[c]: (n_rows, n_cols) */
    void (*add_row)(PdDevice *dev, PdMem a, PdWeight b, int n_rows, int n_cols);

    /* gate[i] = act(gate[i]) * up[i] */
    void (*glu)(PdDevice *dev, PdMem gate, PdMem up, size_t n, PdActivation act);

    /* In place on x (n_rows, n_heads, head_dim): row r is rotated to positions[r]. */
    void (*rope)(PdDevice *dev, PdMem x, const PdRope *rope, const int32_t *positions, int n_rows,
                 int n_heads, int head_dim);

    /* Store k, v: f32 (n_rows, n_kv_heads, head_dim) as rows first_row.. of kv, rounding to its
     * type (half: to nearest even; Q8_0: scale = max|x|/127 as half, code = round(x/scale)). */
    void (*kv_append)(PdDevice *dev, PdKv *kv, int first_row, PdMem k, PdMem v, int n_rows);

    int (*attention)(PdDevice *dev, const PdKv *kv, const PdAttention *a);

    /* The attention weights of ONE query row (n_heads, head_dim) over kv rows 0..kv_rows-1 of a
     * PD_F16 cache: out f32 (n_heads, kv_rows), each row sums to 1.  For citations and --why. */
    void (*attention_weights)(PdDevice *dev, PdMem out, const PdKv *kv, PdMem q, int n_heads,
                              int kv_rows, float scale);

    int (*attention_list)(PdDevice *dev, const PdKv *kv, const PdListAttention *a);

    /* The weights behind attention_list of ONE query row and one group of n_heads heads from
     * `first_head` on, which share a key/value head: out f32 (n_heads, rows of all ranges), each
     * row sums to 1. */
    void (*attention_list_weights)(PdDevice *dev, PdMem out, const PdKv *kv,
                                   const PdListAttention *a, int first_head, int n_heads);

    /* Selection: out f32 (n_q, n_blocks), the maximum of q . k over the PD_SCORE_BLOCK rows of each
     * block first_block .. first_block + n_blocks - 1 of one key/value head, keys as they are
     * stored (the caller has turned q). */
    void (*block_maxima)(PdDevice *dev, PdMem out, const PdKv *kv, int kv_head, int first_block,
                         int n_blocks, PdMem q, int n_q);

    /*
     * The sweep's scores over compressed keys, before RoPE and without bias: the same q, f32
     * (n_q, head_dim), turned by the caller, against every stream (kv_block.h, 4 or 8 bits); what
     * each gets is in PdKeyScan.  One call for many short streams: they share the threads' start.
     * Queries are rounded to 8 bits for keys of 4 and to 15 bits for keys of 8, with the channel
     * scales of a block multiplied in: an error far below the keys' own (kernels/cpu/keys_x86.h).
     * PD_KERNEL_EUNSUPPORTED for other widths, PD_KERNEL_ENOMEM.
     */
    int (*score_keys)(PdDevice *dev, const PdKeyScan *scans, int n_scans, int bits, int head_dim,
                      PdMem q, int n_q, float scale);

    /* Both: PD_KERNEL_EUNSUPPORTED for kinds of rows that they do not name, PD_KERNEL_ENOMEM. */
    int (*index_select)(PdDevice *dev, const PdIndexScan *scan);
    int (*attention_shared)(PdDevice *dev, const PdSharedAttention *a);
} PdDeviceOps;

/* First member of every device struct. */
struct PdDevice {
    const PdDeviceOps *ops;
};

/*
 * The CPU.  n_threads 0 = one per core this process may use (affinity and cgroup).
 * isa NULL = the best this CPU has; otherwise "reference", "avx2", "avx512", or
 * "avx512-emulated" (only where built with simd_emulation; for tests): NULL is returned if it
 * is not available here.  Free with dev->ops->free.
 */
PdDevice *pd_cpu_device_new(int n_threads, const char *isa);

/* Dequantize n values (a multiple of block_elems) of `type` to float32: the plain reference that
 * defines each format, used by tests, embeddings and tools. */
void pd_dequantize_row(PdDtype type, const void *src, float *dst, size_t n);

/* Quantize n float32 values to F32, F16, BF16 or Q8_0 (others: PD_KERNEL_EUNSUPPORTED). */
int pd_quantize_row(PdDtype type, const float *src, void *dst, size_t n);

#define PD_SCORE_BLOCK 64

#endif
