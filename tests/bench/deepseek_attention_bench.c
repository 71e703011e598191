/*
 * What attention costs a token of a DeepSeek-V4 layer at its true width, as CSV: one CSA layer, one
 * HCA layer and, over the same rows, dense attention of the same heads.  Rows are pseudo-random;
 * the layers' matrices are left out, they do not depend on the length.
 *
 *   deepseek_attention_bench [ROWS [TOKENS...]]        (1; 65536 262144 1048576)
 *
 * ROWS: of a chunk that are read together, each at its own place; 1 is decoding.  CSA and HCA are
 * the engine's float32 reference on one thread.  Dense is written here, since the engine has none
 * of this shape: with the engine's dot product for scores, and in blocks that stay in the cache.  A
 * compressed entry here is one of the raw rows, so that all read the same memory: 2 KiB a token.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "engine/deepseek/reference.h"

#define HEAD_DIM 512
#define WINDOW 128
#define CSA_RATIO 4
#define HCA_RATIO 128
#define BLOCK_ROWS 64

typedef struct {
    PdDsShape shape;
    int n_tokens;            /* that there is room for */
    float *rows;             /* (n_tokens, HEAD_DIM) */
    float *index_keys;       /* (n_tokens / CSA_RATIO, index_dim) */
    float *q, *iq, *weights; /* (n_heads, HEAD_DIM), (index_heads, index_dim), index_heads */
    float *scores, *logits, *out;
    const float **keys;
    int *picks;
} Bench;

static void
fill(float *x, gsize n)
{
    static guint32 state = 1;
    for (gsize i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        x[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
}

static float *
new_filled(gsize n)
{
    float *x = g_try_new(float, n);
    if (x != NULL)
        fill(x, n);
    return x;
}

static gboolean
bench_init(Bench *b, int n_tokens)
{
    gsize n = (gsize)n_tokens, entries = n / CSA_RATIO + WINDOW;
    b->shape = (PdDsShape){.n_heads = 64,
                           .head_dim = HEAD_DIM,
                           .window = WINDOW,
                           .index_heads = 64,
                           .index_dim = 128,
                           .index_top_k = 512};
    b->n_tokens = n_tokens;
    b->rows = new_filled(n * HEAD_DIM);
    b->index_keys = new_filled(entries * 128);
    b->q = new_filled(64 * HEAD_DIM);
    b->iq = new_filled(64 * 128);
    b->weights = new_filled(64);
    b->scores = g_try_new(float, entries);
    b->logits = g_try_new(float, entries);
    b->out = g_try_new(float, 64 * HEAD_DIM);
    b->keys = g_try_new(const float *, entries);
    b->picks = g_try_new(int, entries);
    return b->rows && b->index_keys && b->q && b->iq && b->weights && b->scores && b->logits &&
           b->out && b->keys && b->picks;
}

static void
bench_clear(Bench *b)
{
    float *const all[] = {b->rows,    b->index_keys, b->q,      b->iq,
                          b->weights, b->scores,     b->logits, b->out};
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        g_free(all[i]);
    g_free(b->keys);
    g_free(b->picks);
}

/* The last WINDOW of n rows, then picks[0 .. n_picks) (NULL: the first ones), by all heads. */
static void
attend(Bench *b, int n, const int *picks, int n_picks)
{
    int n_keys = 0;
    for (int i = MAX(0, n - WINDOW); i < n; i++)
        b->keys[n_keys++] = b->rows + (gsize)i * HEAD_DIM;
    for (int i = 0; i < n_picks; i++)
        b->keys[n_keys++] = b->rows + (gsize)(picks != NULL ? picks[i] : i) * HEAD_DIM;
    for (int h = 0; h < b->shape.n_heads; h++)
        pd_ds_attend(b->q + (gsize)h * HEAD_DIM, HEAD_DIM, b->keys, n_keys, 0, b->logits,
                     b->out + (gsize)h * HEAD_DIM);
}

static int
csa(Bench *b, int n)
{
    int n_entries = n / CSA_RATIO;
    pd_ds_index_scores(&b->shape, b->iq, b->weights, b->index_keys, n_entries, b->scores);
    int n_picks = pd_ds_top_k(b->scores, n_entries, b->shape.index_top_k, b->picks);
    attend(b, n, b->picks, n_picks);
    return n_picks + MIN(n, WINDOW);
}

static int
hca(Bench *b, int n)
{
    attend(b, n, NULL, n / HCA_RATIO);
    return n / HCA_RATIO + MIN(n, WINDOW);
}

/* One head over a block of rows: the running softmax of Milakov and Gimelshein (2018). */
static void
dense_block(const float *q, const float *rows, int n, float *max, float *sum, float *acc)
{
    float logits[BLOCK_ROWS], top = *max;
    for (int j = 0; j < n; j++) {
        logits[j] = (float)(pd_ds_dot(q, rows + (gsize)j * HEAD_DIM, HEAD_DIM) / sqrt(HEAD_DIM));
        top = MAX(top, logits[j]);
    }
    float scale = expf(*max - top);
    *sum *= scale;
    for (int i = 0; i < HEAD_DIM; i++)
        acc[i] *= scale;
    for (int j = 0; j < n; j++) {
        float p = expf(logits[j] - top);
        *sum += p;
        for (int i = 0; i < HEAD_DIM; i++)
            acc[i] += p * rows[(gsize)j * HEAD_DIM + (gsize)i];
    }
    *max = top;
}

static int
dense(Bench *b, int n)
{
    float max[64] = {0}, sum[64]; /* 0: the sink's logit */
    memset(b->out, 0, sizeof(float) * 64 * HEAD_DIM);
    for (int h = 0; h < 64; h++)
        sum[h] = 1;
    for (int at = 0; at < n; at += BLOCK_ROWS)
        for (int h = 0; h < 64; h++)
            dense_block(b->q + (gsize)h * HEAD_DIM, b->rows + (gsize)at * HEAD_DIM,
                        MIN(BLOCK_ROWS, n - at), &max[h], &sum[h], b->out + (gsize)h * HEAD_DIM);
    for (int i = 0; i < 64 * HEAD_DIM; i++)
        b->out[i] /= sum[i / HEAD_DIM];
    return n;
}

typedef int (*Layer)(Bench *b, int n);

/* Seconds of a row in a chunk of n_rows that ends at n tokens. */
static double
time_layer(Bench *b, Layer layer, int n, int n_rows, int *attended)
{
    gint64 start_us = g_get_monotonic_time();
    for (int t = n_rows - 1; t >= 0; t--)
        *attended = layer(b, n - t);
    return (double)(g_get_monotonic_time() - start_us) / 1e6 / n_rows;
}

static void
run(Bench *b, int n, int n_rows)
{
    static const struct {
        const char *name;
        Layer layer;
    } layers[] = {{"dense", dense}, {"CSA", csa}, {"HCA", hca}};
    double of_dense = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(layers); i++) {
        int attended = 0;
        double seconds = time_layer(b, layers[i].layer, n, n_rows, &attended);
        if (i == 0)
            of_dense = seconds;
        printf("%s,%d,%d,%d,%.3f,%.1f\n", layers[i].name, n, n_rows, attended, seconds * 1e3,
               of_dense / seconds);
        fflush(stdout);
    }
}

int
main(int argc, char **argv)
{
    static const int usual[] = {65536, 262144, 1048576};
    int n_rows = argc > 1 ? atoi(argv[1]) : 1, n_lengths = argc > 2 ? argc - 2 : 3, most = 0;
    Bench b = {.n_tokens = 0};
    for (int i = 0; i < n_lengths; i++) {
        int n = argc > 2 ? atoi(argv[i + 2]) : usual[i];
        if (n_rows < 1 || n < WINDOW + n_rows || n > 1 << 20) {
            fprintf(stderr,
                    "usage: deepseek_attention_bench [ROWS [TOKENS...]], tokens to 1048576\n");
            return 2;
        }
        most = MAX(most, n);
    }
    int rc = bench_init(&b, most) ? 0 : 1;
    if (rc != 0)
        fprintf(stderr, "no memory for %d rows\n", most);
    else
        puts("layer,tokens,rows,attended,milliseconds_per_row,times_faster_than_dense");
    for (int i = 0; rc == 0 && i < n_lengths; i++)
        run(&b, argc > 2 ? atoi(argv[i + 2]) : usual[i], n_rows);
    bench_clear(&b);
    return rc;
}
