/* How fast a model runs here, over context lengths, beside what the machine could do. */
#ifndef PD_BENCH_H
#define PD_BENCH_H

#include <gio/gio.h>
#include "engine/model.h"

#define PD_BENCH_DECODE_TOKENS 64

typedef struct {
    int context_tokens;
    double prefill_seconds;
    double prefill_tokens_per_s;
    double prefill_gops;        /* 2 x weights x tokens of the matrix products, 1e9 a second */
    double decode_tokens_per_s; /* PD_BENCH_DECODE_TOKENS after the context */
    double decode_weight_gbs;   /* bytes of weights read, 1e9 a second */
    guint64 kv_bytes;           /* of the whole session; of a DeepSeek model what is kept of it */
} PdBenchRow;

/* Measured on this machine with the same threads; 0 where it cannot be measured. */
typedef struct {
    double read_gbs;
    double int8_gops;
} PdBenchPeak;

/* How rows are kept: 16 bit, or 8 bit where that is asked for; a DeepSeek model's in its mixed
 * precision, which is PD_Q8_0, where it has one, else in floats. */
PdDtype pd_bench_kv_type(const PdModel *model, gboolean eight_bit);

/* Bytes of weights that one decoded token reads; of experts those that it goes through. */
guint64 pd_bench_decode_bytes(const PdModel *model);
/* Multiplications and additions of the matrix products that a prompt of n tokens needs. */
double pd_bench_prefill_ops(const PdModel *model, int n_tokens);

gboolean pd_bench_run(PdModel *model, PdDtype kv_type, int context_tokens,
                      GCancellable *cancellable, PdBenchRow *row, GError **error);
void pd_bench_peak(PdModel *model, PdBenchPeak *peak);
/* The same without a model; 0 threads: all cores this process may use. */
gboolean pd_bench_machine(int n_threads, PdBenchPeak *peak, GError **error);

#endif
