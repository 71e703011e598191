/*
 * What attention costs a token of a layer of DeepSeek-V4-Flash or -Pro at its true width, as CSV:
 * one CSA layer, one HCA layer and, over the same rows and through the same kernel, dense attention
 * of the same heads.  Rows are pseudo-random.
 *
 *   deepseek_attention_bench [flash|pro [mixed|f32 [ROWS [TOKENS...]]]]
 *                                                     (flash mixed 1; 65536 262144 1048576)
 *
 * mixed: rows and index keys in 8 and 4 bits, as the cache keeps them; f32: as floats, 2 KiB a
 * token.  ROWS: of a chunk that are read together; 1 is decoding.  A compressed entry here is one
 * of the raw rows, so that all read the same memory.  Beside the time on the clock stands that of
 * the process on all its threads, which a busy machine disturbs less; ratios are of the latter.
 * The line "matrices" is what the products of a
 * CSA layer with its BF16 weights cost, which do not depend on the length; the other lines are
 * without them.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <glib.h>
#include "kernels/kernels.h"

#define HEAD_DIM 512
#define ROPE_DIM 64
#define WINDOW 128
#define CSA_RATIO 4
#define HCA_RATIO 128
#define INDEX_HEADS 64
#define INDEX_DIM 128
#define N_MATRICES 11

/* What differs between the released models (sections 1.2 and 8.1 of their specification). */
typedef struct {
    const char *name;
    int n_heads, top_k;
    int matrices[N_MATRICES][2]; /* of a CSA layer: rows, columns */
} Width;

static const Width widths[] = {
    {"flash",
     64,
     512,
     {{1024, 4096},
      {32768, 1024},
      {512, 4096},
      {1024, 4096},
      {1024, 4096},
      {8192, 1024},
      {64, 4096},
      {256, 4096},
      {256, 4096},
      {8192, 4096},
      {4096, 8192}}},
    {"pro",
     128,
     1024,
     {{1536, 7168},
      {65536, 1536},
      {512, 7168},
      {1024, 7168},
      {1024, 7168},
      {8192, 1536},
      {64, 7168},
      {256, 7168},
      {256, 7168},
      {16384, 4096},
      {7168, 16384}}},
};

typedef struct {
    const Width *width;
    PdDevice *dev;
    PdRowFormat row, key;
    int n_rows;          /* of a chunk */
    PdMem rows;          /* (n_tokens) */
    PdMem keys;          /* (n_tokens / CSA_RATIO) */
    PdMem q, iq;         /* of n_rows */
    PdMem weights;       /* (n_rows, INDEX_HEADS) */
    PdMem sinks;         /* (n_heads) */
    PdMem scores;        /* (n_rows, n_tokens / CSA_RATIO) */
    PdMem picks;         /* (n_rows, top_k) */
    PdMem out;           /* as q */
    int *n_entries;      /* (n_rows) */
    double index_cpu_ms; /* of the latest layer, a row */
} Bench;

typedef struct {
    double ms, cpu_ms;
} Cost;

static Cost
now(void)
{
    return (Cost){(double)g_get_monotonic_time() / 1e3, (double)clock() * 1e3 / CLOCKS_PER_SEC};
}

/* From start on, a row. */
static Cost
cost_since(Cost start, int n_rows)
{
    Cost end = now();
    return (Cost){(end.ms - start.ms) / n_rows, (end.cpu_ms - start.cpu_ms) / n_rows};
}

static const char *
format_name(const Bench *b)
{
    return b->row.kind == PD_ROW_F32 ? "f32" : "mixed";
}

static guint32
next_random(void)
{
    static guint32 state = 1;
    state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator */
    return state >> 8;
}

/* n rows of some 1 in size. */
static void
fill(const PdRowFormat *f, guint8 *bytes, gsize n)
{
    gsize width = pd_row_format_bytes(f), still = (gsize)(f->width - f->n_turning);
    gsize codes = f->kind == PD_ROW_FP8 ? still : (gsize)f->width / 2;
    gsize scales = f->kind == PD_ROW_FP8 ? still / PD_FP8_BLOCK : (gsize)f->width / PD_FP4_BLOCK;
    for (gsize i = 0; i < n; i++, bytes += width) {
        for (gsize c = 0; f->kind == PD_ROW_F32 && c < (gsize)f->width; c++)
            ((float *)(void *)bytes)[c] = (float)next_random() / (1 << 23) - 1;
        if (f->kind == PD_ROW_F32)
            continue;
        for (gsize c = 0; c < codes; c++) /* any number in 4 bits; in 8 bits, none that is NaN */
            bytes[c] = (guint8)(next_random() & (f->kind == PD_ROW_FP8 ? 0xf7 : 0xff));
        memset(bytes + codes, f->kind == PD_ROW_FP8 ? 118 : 125, scales);
        for (gsize c = codes + scales; c < width; c += 2) { /* BF16 near 2^-7 */
            bytes[c] = (guint8)next_random();
            bytes[c + 1] = (guint8)(0x3c | (next_random() & 0x80));
        }
    }
}

/* Room for n rows, filled; f NULL: n floats of room. */
static PdMem
new_rows(Bench *b, const PdRowFormat *f, gsize n)
{
    gsize width = f != NULL ? pd_row_format_bytes(f) : sizeof(float);
    PdMem mem = {b->dev->ops->buffer_new(b->dev, n * width), 0};
    guint8 *chunk = g_malloc(1024 * width);
    for (gsize i = 0; f != NULL && mem.buffer != NULL && i < n; i += 1024) {
        gsize some = MIN(1024, n - i);
        fill(f, chunk, some);
        b->dev->ops->write(b->dev, (PdMem){mem.buffer, i * width}, chunk, some * width);
    }
    g_free(chunk);
    return mem;
}

static gboolean
bench_init(Bench *b, gboolean mixed, int n_rows, int n_tokens)
{
    static const PdRowFormat floats = {PD_ROW_F32, 1, 0};
    gsize n = (gsize)n_rows, n_keys = (gsize)n_tokens / CSA_RATIO;
    gsize n_heads = (gsize)b->width->n_heads;
    PdRowFormat q = {PD_ROW_F32, HEAD_DIM, 0};
    b->dev = pd_cpu_device_new(0, NULL);
    if (b->dev == NULL)
        return FALSE;
    b->row = (PdRowFormat){mixed ? PD_ROW_FP8 : PD_ROW_F32, HEAD_DIM, mixed ? ROPE_DIM : 0};
    b->key = (PdRowFormat){mixed ? PD_ROW_FP4 : PD_ROW_F32, INDEX_DIM, 0};
    b->n_rows = n_rows;
    b->rows = new_rows(b, &b->row, (gsize)n_tokens);
    b->keys = new_rows(b, &b->key, n_keys);
    b->q = new_rows(b, &q, n * n_heads);
    b->iq = new_rows(b, &b->key, n * INDEX_HEADS);
    b->weights = new_rows(b, &floats, n * INDEX_HEADS);
    b->sinks = new_rows(b, &floats, n_heads);
    b->scores = new_rows(b, NULL, n * n_keys);
    b->picks = new_rows(b, NULL, n * (gsize)b->width->top_k);
    b->out = new_rows(b, NULL, n * n_heads * HEAD_DIM);
    b->n_entries = g_new(int, n_rows);
    return b->rows.buffer && b->keys.buffer && b->q.buffer && b->iq.buffer && b->weights.buffer &&
           b->sinks.buffer && b->scores.buffer && b->picks.buffer && b->out.buffer;
}

static void
bench_clear(Bench *b)
{
    PdMem *const all[] = {&b->rows,  &b->keys,   &b->q,     &b->iq, &b->weights,
                          &b->sinks, &b->scores, &b->picks, &b->out};
    if (b->dev == NULL)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        b->dev->ops->buffer_free(b->dev, all[i]->buffer);
    b->dev->ops->free(b->dev);
    g_free(b->n_entries);
}

/* The chunk's own rows end at n tokens; entries, n_entries of each row, are the first rows. */
static void
attend(Bench *b, int n, int n_window, PdMem picks)
{
    int n_before = n_window - 1;
    gsize first = (gsize)(n - b->n_rows - n_before);
    PdSharedAttention a = {.format = b->row,
                           .q = b->q,
                           .out = b->out,
                           .n_q = b->n_rows,
                           .n_heads = b->width->n_heads,
                           .scale = 1 / sqrtf(HEAD_DIM),
                           .sinks = b->sinks,
                           .window = {b->rows.buffer, first * pd_row_format_bytes(&b->row)},
                           .n_before = n_before,
                           .n_window = n_window,
                           .entries = b->rows,
                           .n_entries = b->n_entries,
                           .picks = picks,
                           .picks_stride = b->width->top_k};
    if (b->dev->ops->attention_shared(b->dev, &a) != PD_KERNEL_OK)
        g_error("attention_shared failed");
}

/* The entries of a ratio that each row of the chunk sees; returns those of the last one. */
static int
count_entries(Bench *b, int n, int ratio)
{
    for (int i = 0; i < b->n_rows; i++)
        b->n_entries[i] = (n - b->n_rows + 1 + i) / ratio;
    return n / ratio;
}

static int
csa(Bench *b, int n)
{
    PdIndexScan scan = {.kind = b->key.kind,
                        .dim = INDEX_DIM,
                        .n_heads = INDEX_HEADS,
                        .keys = b->keys,
                        .q = b->iq,
                        .weights = b->weights,
                        .n_q = b->n_rows,
                        .n_keys = b->n_entries,
                        .top_k = b->width->top_k,
                        .scores = b->scores,
                        .scores_stride = count_entries(b, n, CSA_RATIO),
                        .picks = b->picks};
    Cost start = now();
    if (b->dev->ops->index_select(b->dev, &scan) != PD_KERNEL_OK)
        g_error("index_select failed");
    b->index_cpu_ms = cost_since(start, b->n_rows).cpu_ms;
    for (int i = 0; i < b->n_rows; i++)
        b->n_entries[i] = MIN(b->n_entries[i], b->width->top_k);
    attend(b, n, WINDOW, b->picks);
    return b->n_entries[b->n_rows - 1] + WINDOW;
}

static int
hca(Bench *b, int n)
{
    int n_entries = count_entries(b, n, HCA_RATIO);
    attend(b, n, WINDOW, (PdMem){0});
    return n_entries + WINDOW;
}

static int
dense(Bench *b, int n)
{
    count_entries(b, n, 1);
    attend(b, n, 1, (PdMem){0});
    return n + 1;
}

typedef int (*Layer)(Bench *b, int n);

/* Of a row in a chunk that ends at n tokens: the best of `repeats`, each of the two by itself. */
static Cost
time_layer(Bench *b, Layer layer, int n, int repeats, int *attended, double *index_cpu_ms)
{
    Cost best = {INFINITY, INFINITY};
    for (int i = 0; i < repeats; i++) {
        Cost start = now();
        b->index_cpu_ms = 0;
        *attended = layer(b, n);
        Cost cost = cost_since(start, b->n_rows);
        if (cost.cpu_ms < best.cpu_ms)
            *index_cpu_ms = b->index_cpu_ms;
        best = (Cost){MIN(best.ms, cost.ms), MIN(best.cpu_ms, cost.cpu_ms)};
    }
    return best;
}

static void
run(Bench *b, int n)
{
    static const struct {
        const char *name;
        Layer layer;
        int repeats;
    } layers[] = {{"dense", dense, 2}, {"CSA", csa, 9}, {"HCA", hca, 9}};
    double of_dense = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(layers); i++) {
        int attended = 0;
        double index_cpu_ms = 0;
        Cost cost = time_layer(b, layers[i].layer, n, layers[i].repeats, &attended, &index_cpu_ms);
        if (i == 0)
            of_dense = cost.cpu_ms;
        printf("%s,%s,%s,%d,%d,%d,%.3f,%.3f,%.3f,%.1f\n", b->width->name, format_name(b),
               layers[i].name, n, b->n_rows, attended, cost.ms, cost.cpu_ms, index_cpu_ms,
               of_dense / cost.cpu_ms);
        fflush(stdout);
    }
}

/* The products of a CSA layer. */
static void
run_matrices(Bench *b)
{
    const int(*shapes)[2] = b->width->matrices;
    Cost best = {INFINITY, INFINITY};
    gsize most = 65536 * 1536;
    PdRowFormat floats = {PD_ROW_F32, 1, 0};
    PdMem weights[N_MATRICES];
    PdMem x = new_rows(b, &floats, (gsize)b->n_rows * 16384);
    PdMem y = new_rows(b, NULL, (gsize)b->n_rows * 65536);
    guint16 *bf16 = g_new(guint16, most);
    for (gsize i = 0; i < most; i++)
        bf16[i] = (guint16)(0x3c00 | (next_random() & 0x80ff));
    for (gsize i = 0; i < N_MATRICES; i++) {
        gsize n_bytes = (gsize)shapes[i][0] * (gsize)shapes[i][1] * sizeof *bf16;
        weights[i] = (PdMem){b->dev->ops->buffer_new(b->dev, n_bytes), 0};
        if (weights[i].buffer == NULL)
            g_error("no memory for a matrix");
        b->dev->ops->write(b->dev, weights[i], bf16, n_bytes);
    }
    for (int repeat = 0; repeat < 3; repeat++) {
        Cost start = now();
        for (gsize i = 0; i < N_MATRICES; i++) {
            PdMatmulJob job = {.weight = {weights[i], PD_BF16, shapes[i][0], shapes[i][1]},
                               .out = y};
            b->dev->ops->matmul(b->dev, x, b->n_rows, &job, 1);
        }
        Cost cost = cost_since(start, b->n_rows);
        best = (Cost){MIN(best.ms, cost.ms), MIN(best.cpu_ms, cost.cpu_ms)};
    }
    printf("%s,%s,matrices,0,%d,0,%.3f,%.3f,0,0\n", b->width->name, format_name(b), b->n_rows,
           best.ms, best.cpu_ms);
    for (gsize i = 0; i < N_MATRICES; i++)
        b->dev->ops->buffer_free(b->dev, weights[i].buffer);
    b->dev->ops->buffer_free(b->dev, x.buffer);
    b->dev->ops->buffer_free(b->dev, y.buffer);
    g_free(bf16);
}

static int
usage(void)
{
    fprintf(stderr, "usage: deepseek_attention_bench [flash|pro [mixed|f32 [ROWS [TOKENS...]]]], "
                    "tokens from 1024 to 1048576\n");
    return 2;
}

/* NULL: no such model. */
static const Width *
find_width(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(widths); i++) {
        if (g_str_equal(widths[i].name, name))
            return &widths[i];
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    static const int usual[] = {65536, 262144, 1048576};
    const Width *width = find_width(argc > 1 ? argv[1] : "flash");
    gboolean mixed = argc < 3 || g_str_equal(argv[2], "mixed");
    int n_rows = argc > 3 ? atoi(argv[3]) : 1, n_lengths = argc > 4 ? argc - 4 : 3, most = 0;
    if (width == NULL || (!mixed && !g_str_equal(argv[2], "f32")) || n_rows < 1 || n_rows > 512)
        return usage();
    for (int i = 0; i < n_lengths; i++) {
        int n = argc > 4 ? atoi(argv[i + 4]) : usual[i];
        if (n < 1024 || n > 1 << 20)
            return usage();
        most = MAX(most, n);
    }
    Bench b = {.width = width};
    int rc = bench_init(&b, mixed, n_rows, most) ? 0 : 1;
    if (rc != 0) {
        fprintf(stderr, "no memory for %d rows\n", most);
    } else {
        PdDeviceInfo info = b.dev->ops->info(b.dev);
        fprintf(stderr, "%s, %d threads, rows of %zu bytes, index keys of %zu\n", info.isa,
                info.n_threads, pd_row_format_bytes(&b.row), pd_row_format_bytes(&b.key));
        puts("model,format,layer,tokens,rows,attended,milliseconds_per_row,"
             "cpu_milliseconds_per_row,of_which_indexer,times_faster_than_dense");
        run_matrices(&b);
    }
    for (int i = 0; rc == 0 && i < n_lengths; i++)
        run(&b, argc > 4 ? atoi(argv[i + 4]) : usual[i]);
    bench_clear(&b);
    return rc;
}
