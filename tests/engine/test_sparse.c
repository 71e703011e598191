/*
 * Sparse sessions: below the budget they are dense ones bit for bit, with everything listed they
 * equal them, the blocks they choose are those of a plain reference written here, and nothing
 * depends on how the work was cut, saved, moved or mixed.
 */
#include <math.h>
#include <string.h>
#include "engine/error.h"
#include "engine/model_internal.h"
#include "engine/session.h"

#define MAX_TOKENS 4300

static gint32 tokens[MAX_TOKENS];

static const char *const archs[] = {"qwen2", "qwen3", "llama", "gemma3"};

static PdModel *
open_tiny(const char *arch)
{
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", arch, NULL);
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {.n_threads = 2};
    PdModel *model = pd_model_open(path, &options, &error);
    g_assert_no_error(error);
    return model;
}

/* Small numbers, so that a few hundred tokens are far beyond them. */
static PdAttentionPolicy
policy_of(const PdModel *model, int budget_blocks)
{
    int first = 0;
    while (model->layers[first].local)
        first++;
    PdAttentionPolicy policy = {.kind = PD_ATTENTION_SPARSE,
                                .sink_rows = 5,
                                .window_rows = 100,
                                .budget_blocks = budget_blocks,
                                .chunk_rows = 64,
                                .pool_rows = 16,
                                .n_heads = 2,
                                .heads = {{first, 1}, {first, 0}}};
    if (model->shape.window == 0)
        policy.heads[0][0] = 1; /* two index layers */
    return policy;
}

static PdSession *
open_session(PdModel *model, PdDtype kv_type, const PdAttentionPolicy *policy, int n_sequences,
             int batch_rows)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {.n_sequences = n_sequences,
                                .max_tokens = MAX_TOKENS,
                                .kv_type = kv_type,
                                .batch_rows = batch_rows,
                                .position_free = TRUE};
    if (policy)
        options.attention = *policy;
    PdSession *session = pd_session_new(model, &options, &error);
    g_assert_no_error(error);
    return session;
}

static void
append(PdSession *session, int sequence, const gint32 *ids, int n, float *logits)
{
    g_autoptr(GError) error = NULL;
    PdRun run = {sequence, ids, n, logits, FALSE};
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static guint8 *
rows_of(PdSession *session, int sequence, int first, int n)
{
    guint8 *rows = g_malloc((gsize)n * pd_session_row_bytes(session));
    pd_session_save_rows(session, sequence, first, n, rows);
    return rows;
}

/* --- against dense --- */

static void
check_below_budget(PdModel *model, PdDtype kv_type)
{
    enum { N = 700 };
    gsize n_logits = (gsize)model->shape.n_vocab;
    PdAttentionPolicy policy = policy_of(model, 20);
    g_autoptr(PdSession) sparse = open_session(model, kv_type, &policy, 1, 0);
    g_autoptr(PdSession) dense = open_session(model, kv_type, NULL, 1, 0);
    g_autofree float *got = g_new(float, n_logits), *want = g_new(float, n_logits);
    guint64 n_lists, n_flat;

    append(dense, 0, tokens, N, want);
    append(sparse, 0, tokens, N, got);
    g_assert_cmpmem(got, n_logits * 4, want, n_logits * 4);
    append(dense, 0, tokens + N, 1, want);
    append(sparse, 0, tokens + N, 1, got);
    g_assert_cmpmem(got, n_logits * 4, want, n_logits * 4);
    g_autofree guint8 *a = rows_of(sparse, 0, 0, N), *b = rows_of(dense, 0, 0, N);
    gsize n_bytes = (gsize)N * pd_session_row_bytes(dense); /* the queries come behind */
    g_assert_cmpmem(a, n_bytes, b, n_bytes);
    pd_session_selections(sparse, &n_lists, &n_flat);
    g_assert_cmpuint(n_lists, ==, 0);
}

static void
test_below_budget(void)
{
    static const PdDtype types[] = {PD_F32, PD_F16, PD_Q8_0};
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        for (gsize t = 0; t < G_N_ELEMENTS(types); t++)
            if (types[t] != PD_Q8_0 || model->shape.head_dim % 32 == 0)
                check_below_budget(model, types[t]);
    }
}

/* Lists of everything: other pieces and another start of the window, the same softmax. */
static void
test_all_listed(void)
{
    enum { N = 900 };
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        gsize n_logits = (gsize)model->shape.n_vocab;
        PdAttentionPolicy policy = policy_of(model, 20);
        policy.lists_always = TRUE;
        g_autoptr(PdSession) sparse = open_session(model, PD_F32, &policy, 1, 0);
        g_autoptr(PdSession) dense = open_session(model, PD_F32, NULL, 1, 0);
        g_autofree float *got = g_new(float, n_logits), *want = g_new(float, n_logits);
        for (int at = 0; at < N; at += 90) {
            append(dense, 0, tokens + at, 90, want);
            append(sparse, 0, tokens + at, 90, got);
            for (gsize v = 0; v < n_logits; v++)
                g_assert_cmpfloat(fabsf(got[v] - want[v]), <=, 2e-4f * (1 + fabsf(want[v])));
        }
    }
}

/* The plain F16 cache rounds keys after RoPE, the position-free one before: near, not equal. */
static void
test_position_free(void)
{
    enum { N = 300 };
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        g_autoptr(GError) error = NULL;
        gsize n_logits = (gsize)model->shape.n_vocab;
        PdSessionOptions options = {.n_sequences = 1, .max_tokens = N, .kv_type = PD_F32};
        g_autoptr(PdSession) turned = pd_session_new(model, &options, &error);
        g_assert_no_error(error);
        g_autoptr(PdSession) bare = open_session(model, PD_F32, NULL, 1, 0);
        g_autofree float *got = g_new(float, n_logits), *want = g_new(float, n_logits);
        append(turned, 0, tokens, N, want);
        append(bare, 0, tokens, N, got);
        for (gsize v = 0; v < n_logits; v++)
            g_assert_cmpfloat(fabsf(got[v] - want[v]), <=, 2e-4f * (1 + fabsf(want[v])));
    }
}

/* --- the blocks chosen --- */

/* What the tap shows of the index heads, all rows. */
typedef struct {
    const PdModelShape *shape;
    float *q[2]; /* (MAX_TOKENS, head_dim) of each head */
    float *k[2]; /* of the key/value head it reads */
    const PdAttentionPolicy *policy;
    guint64 n_flat;
    int counted[2]; /* the last pool counted of each head */
} Seen;

static void
on_rows(const PdLayerRows *rows, gpointer user_data)
{
    Seen *seen = user_data;
    int dim = seen->shape->head_dim, group = seen->shape->n_heads / seen->shape->n_kv_heads;
    for (int h = 0; h < 2; h++) {
        if (seen->policy->heads[h][0] != rows->layer)
            continue;
        for (int r = 0; r < rows->n_rows; r++) {
            gsize at = (gsize)(rows->first_row + r) * (gsize)dim;
            int head = seen->policy->heads[h][1];
            memcpy(seen->q[h] + at, rows->q + (r * seen->shape->n_heads + head) * dim,
                   (gsize)dim * sizeof(float));
            memcpy(seen->k[h] + at, rows->k + (r * seen->shape->n_kv_heads + head / group) * dim,
                   (gsize)dim * sizeof(float));
        }
    }
}

/* The mean of rows [first, first + 16), turned by 256 positions. */
static void
reference_query(const PdModel *model, const float *q, int first, double *out)
{
    int dim = model->shape.head_dim, half = dim / 2;
    double mean[512] = {0};
    for (int r = 0; r < 16; r++)
        for (int d = 0; d < dim; d++)
            mean[d] += q[(first + r) * dim + d] / 16.0;
    for (int i = 0; i < half; i++) {
        double angle = 256 * pow((double)model->shape.rope_theta, -(double)i / half);
        if (model->rope_factors)
            angle /= (double)model->rope_factors[i];
        int a = model->shape.rope_kind == PD_ROPE_NEOX ? i : 2 * i;
        int b = model->shape.rope_kind == PD_ROPE_NEOX ? i + half : 2 * i + 1;
        out[a] = mean[a] * cos(angle) - mean[b] * sin(angle);
        out[b] = mean[a] * sin(angle) + mean[b] * cos(angle);
    }
}

/* z of every candidate block [1, n) (block 0 is the sinks') by one head at one pool.  FALSE: all
 * are equal (in layer 0 a key is its token, and the best one may stand in every block). */
static gboolean
reference_votes(const PdModel *model, const Seen *seen, int head, int pool, int n, double *z)
{
    int dim = model->shape.head_dim;
    double mean = 0, squares = 0, low = INFINITY, high = -INFINITY, q[512];
    for (int b = 1; b < n; b++)
        z[b] = -INFINITY;
    for (int p = pool - 4; p < pool; p++) {
        reference_query(model, seen->q[head], p * 16, q);
        for (int b = 1; b < n; b++)
            for (int j = 0; j < 64; j++) {
                double dot = 0;
                for (int d = 0; d < dim; d++)
                    dot += q[d] * (double)seen->k[head][(b * 64 + j) * dim + d];
                z[b] = MAX(z[b], dot);
            }
    }
    for (int b = 1; b < n; b++) {
        mean += z[b] / (n - 1);
        low = MIN(low, z[b]);
        high = MAX(high, z[b]);
    }
    if (low == high)
        return FALSE;
    for (int b = 1; b < n; b++)
        squares += (z[b] - mean) * (z[b] - mean) / (n - 1);
    for (int b = 1; b < n; b++)
        z[b] = (z[b] - mean) / sqrt(squares);
    return TRUE;
}

static void
assert_blocks(PdModel *model, PdSession *session, Seen *seen, int layer, int row)
{
    int pool, n_blocks, want_pool = row / 16;
    int n = MAX(want_pool * 16 - 100, 0) / 64; /* window 100, rounded down to a block */
    double best[MAX_TOKENS / 64], z[MAX_TOKENS / 64];
    const int *blocks = pd_session_blocks(session, 0, layer, &pool, &n_blocks);
    if (n - 1 <= 2) {
        g_assert_null(blocks);
        return;
    }
    g_assert_nonnull(blocks);
    g_assert_cmpint(pool, ==, want_pool);
    g_assert_cmpint(n_blocks, ==, 2);
    for (int b = 1; b < n; b++)
        best[b] = -INFINITY;
    for (int h = 0; h < 2; h++) {
        if (seen->policy->heads[h][0] != layer)
            continue;
        gboolean votes = reference_votes(model, seen, h, pool, n, z);
        for (int b = 1; votes && b < n; b++)
            best[b] = MAX(best[b], z[b]);
        if (seen->counted[h] != pool)
            seen->n_flat += !votes;
        seen->counted[h] = pool;
    }
    g_assert_cmpint(blocks[0], <, blocks[1]);
    double worst = MIN(best[blocks[0]], best[blocks[1]]);
    for (int b = 1; b < n; b++)
        if (b != blocks[0] && b != blocks[1] && best[b] > worst - 1e-4)
            g_assert_cmpfloat(fabs(best[b] - worst), <=, 1e-4); /* a tie but for rounding */
}

static void
test_blocks(void)
{
    enum { N = 1500 };
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        PdAttentionPolicy policy = policy_of(model, 2);
        g_autoptr(PdSession) session = open_session(model, PD_F32, &policy, 1, 0);
        gsize n = (gsize)MAX_TOKENS * (gsize)model->shape.head_dim;
        g_autofree float *rows = g_new0(float, 4 * n);
        Seen seen = {&model->shape, {rows, rows + n}, {rows + 2 * n, rows + 3 * n}, &policy, 0,
                     {-1, -1}};
        guint64 n_lists, n_flat;
        pd_session_set_tap(session, on_rows, NULL, &seen);
        for (int at = 0, m; at < N; at += m) {
            m = MIN(1 + at % 16, N - at); /* every pool is seen */
            append(session, 0, tokens + at, m, NULL);
            for (int h = 0; h < 2; h++)
                assert_blocks(model, session, &seen, policy.heads[h][0], at + m - 1);
        }
        pd_session_selections(session, &n_lists, &n_flat);
        g_assert_cmpuint(n_lists, >, 0);
        g_assert_cmpuint(n_flat, ==, seen.n_flat);
        g_assert_cmpuint(n_flat * 10, <, n_lists);
    }
}

/* One token over and over: no head tells blocks apart, the lowest blocks are taken, no NaN. */
static void
test_flat(void)
{
    g_autoptr(PdModel) model = open_tiny("qwen2");
    PdAttentionPolicy policy = policy_of(model, 3);
    g_autoptr(PdSession) session = open_session(model, PD_Q8_0, &policy, 1, 0);
    g_autofree gint32 *same = g_new(gint32, 1000);
    g_autofree float *logits = g_new(float, model->shape.n_vocab);
    int pool, n_blocks;
    guint64 n_lists, n_flat;
    for (int i = 0; i < 1000; i++)
        same[i] = 7;
    append(session, 0, same, 1000, logits);
    const int *blocks = pd_session_blocks(session, 0, 0, &pool, &n_blocks);
    g_assert_cmpint(n_blocks, ==, 3);
    for (int b = 0; b < 3; b++)
        g_assert_cmpint(blocks[b], ==, 1 + b);
    pd_session_selections(session, &n_lists, &n_flat);
    g_assert_cmpuint(n_flat, >, 0);
    for (int v = 0; v < model->shape.n_vocab; v++)
        g_assert_true(isfinite(logits[v]));
}

/* --- cuts, saving, sharing, positions --- */

static void
check_cuts(PdModel *model, PdDtype kv_type)
{
    static const int chunks[] = {1, 3, 64, 128, 129, 1000};
    enum { N = 1100 };
    gsize n_logits = (gsize)model->shape.n_vocab * 4;
    PdAttentionPolicy policy = policy_of(model, 3);
    g_autoptr(PdSession) whole = open_session(model, kv_type, &policy, 1, 2048);
    g_autofree float *want = g_malloc(n_logits), *got = g_malloc(n_logits);
    gsize n_bytes = (gsize)N * pd_session_row_bytes(whole);
    append(whole, 0, tokens, N, want);
    g_autofree guint8 *want_rows = rows_of(whole, 0, 0, N);
    for (gsize c = 0; c < G_N_ELEMENTS(chunks); c++) {
        g_autoptr(PdSession) cut = open_session(model, kv_type, &policy, 2, c % 2 ? 0 : 37);
        for (int at = 0; at < N; at += chunks[c]) {
            append(cut, 1, tokens + at, MIN(chunks[c], N - at), got);
            if (at % 5 == 0 && at < 400) /* another text in between */
                append(cut, 0, tokens + 11, 2, NULL);
        }
        g_autofree guint8 *rows = rows_of(cut, 1, 0, N);
        g_assert_cmpmem(rows, n_bytes, want_rows, n_bytes);
        g_assert_cmpmem(got, n_logits, want, n_logits);
    }
}

static void
test_cuts(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        check_cuts(model, PD_F16);
        if (model->shape.head_dim % 32 == 0)
            check_cuts(model, PD_Q8_0);
    }
}

static void
load(PdSession *session, int sequence, int first, int n, const guint8 *rows)
{
    g_autoptr(GError) error = NULL;
    gsize row_bytes = pd_session_row_bytes(session);
    g_assert_true(pd_session_load_rows(session, sequence, first, n, tokens + first, rows,
                                       (gsize)n * row_bytes, &error));
    g_assert_no_error(error);
}

static void
check_resume(PdModel *model, PdDtype kv_type)
{
    static const int lengths[] = {127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097};
    enum { REST = 40, LAST = 4097 + REST };
    gsize n_vocab = (gsize)model->shape.n_vocab, n_logits = n_vocab * 4;
    PdAttentionPolicy policy = policy_of(model, 3);
    g_autoptr(PdSession) whole = open_session(model, kv_type, &policy, 1, 0);
    g_autofree float *all = g_malloc((gsize)LAST * n_logits), *got = g_malloc(n_logits);
    g_autoptr(GError) error = NULL;
    PdRun run = {0, tokens, LAST, all, TRUE};
    pd_session_run(whole, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        int n = lengths[i], half = n / 2;
        g_autoptr(PdSession) later = open_session(model, kv_type, &policy, 3, 64);
        g_autofree guint8 *first = rows_of(whole, 0, 0, half);
        g_autofree guint8 *second = rows_of(whole, 0, half, n - half);
        load(later, 1, 0, half, first);
        load(later, 1, half, n - half, second);
        g_assert_true(pd_session_share_rows(later, 1, 2, n, &error));
        append(later, 1, tokens + n, REST, got);
        g_assert_cmpmem(got, n_logits, all + (gsize)(n + REST - 1) * n_vocab, n_logits);
        /* Away from it and back. */
        pd_session_truncate(later, 1, n - 70);
        append(later, 1, tokens + 3, 80, NULL);
        pd_session_truncate(later, 1, n - 70);
        append(later, 1, tokens + n - 70, 71, got);
        g_assert_cmpmem(got, n_logits, all + (gsize)n * n_vocab, n_logits);
        for (int r = 0; r < REST; r++)
            append(later, 2, tokens + n + r, 1, got);
        g_assert_cmpmem(got, n_logits, all + (gsize)(n + REST - 1) * n_vocab, n_logits);
    }
}

static void
test_resume(void)
{
    static const char *const some[] = {"qwen2", "gemma3"};
    for (gsize i = 0; i < G_N_ELEMENTS(some); i++) {
        g_autoptr(PdModel) model = open_tiny(some[i]);
        check_resume(model, PD_Q8_0);
    }
}

/* A stop in the middle of a micro-batch's worth of work, then another text. */
static gboolean
stop_at_once(guint64 done, guint64 total, gpointer user_data)
{
    (void)total;
    return done < *(guint64 *)user_data;
}

static void
test_stopped(void)
{
    g_autoptr(PdModel) model = open_tiny("qwen2");
    PdAttentionPolicy policy = policy_of(model, 2);
    gsize n_logits = (gsize)model->shape.n_vocab * 4;
    g_autoptr(PdSession) fresh = open_session(model, PD_Q8_0, &policy, 1, 0);
    g_autoptr(PdSession) stopped = open_session(model, PD_Q8_0, &policy, 1, 100);
    g_autofree float *want = g_malloc(n_logits), *got = g_malloc(n_logits);
    g_autoptr(GError) error = NULL;
    guint64 enough = 500;
    PdRun run = {0, tokens, 1000, NULL, FALSE};
    g_assert_false(pd_session_run(stopped, &run, 1, NULL, stop_at_once, &enough, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
    pd_session_truncate(stopped, 0, 330);
    append(stopped, 0, tokens + 500, 400, got);
    append(fresh, 0, tokens, 330, NULL);
    append(fresh, 0, tokens + 500, 400, want);
    g_assert_cmpmem(got, n_logits, want, n_logits);
}

/* With nothing but a window in sight, the same text behind other texts gives the same bits: keys
 * are stored without positions, and what is visible is packed. */
static void
test_rotation(void)
{
    enum { TEXT = 700, NEAR = 64, FAR = 1024 };
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        gsize n_logits = (gsize)model->shape.n_vocab * 4;
        PdAttentionPolicy policy = policy_of(model, 0);
        policy.sink_rows = policy.n_heads = 0;
        g_autoptr(PdSession) near = open_session(model, PD_F32, &policy, 1, 0);
        g_autoptr(PdSession) far = open_session(model, PD_F32, &policy, 1, 0);
        g_autofree float *want = g_malloc(n_logits), *got = g_malloc(n_logits);
        append(near, 0, tokens, NEAR, NULL);
        append(far, 0, tokens + 500, FAR, NULL);
        append(near, 0, tokens + 2000, TEXT, want);
        append(far, 0, tokens + 2000, TEXT, got);
        g_assert_cmpmem(got, n_logits, want, n_logits);
        g_autofree guint8 *a = rows_of(near, 0, NEAR + TEXT - 64, 64);
        g_autofree guint8 *b = rows_of(far, 0, FAR + TEXT - 64, 64);
        gsize n_bytes = 64 * pd_session_row_bytes(near);
        g_assert_cmpmem(a, n_bytes, b, n_bytes);
    }
}

/* --- a large key bias --- */

enum { BIASED = 400, BIAS_ROWS = 100 };

/* A bias of norm `norm` on every layer's keys, where RoPE turns least, as Qwen2.5 has it. */
static PdBuffer *
set_key_bias(PdModel *model, float norm)
{
    int dim = model->shape.head_dim, n = model->shape.n_kv_heads * dim;
    g_autofree float *bias = g_new0(float, n);
    PdBuffer *buffer = model->device->ops->buffer_new(model->device, (gsize)n * sizeof(float));
    g_assert_nonnull(buffer);
    for (int h = 0; h < model->shape.n_kv_heads; h++) {
        bias[h * dim + dim / 2 - 1] = 0.6f * norm;
        bias[h * dim + dim - 1] = -0.8f * norm;
    }
    model->device->ops->write(model->device, (PdMem){buffer, 0}, bias, (gsize)n * sizeof(float));
    for (int l = 0; l < model->shape.n_layers; l++)
        model->layers[l].bk.mem = (PdMem){buffer, 0};
    return buffer;
}

/* The logits of the last BIAS_ROWS rows. */
static float *
biased_logits(PdModel *model, const PdSessionOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdSession) session = pd_session_new(model, options, &error);
    float *logits = g_new(float, (gsize)BIAS_ROWS *(gsize)model->shape.n_vocab);
    PdRun run = {0, tokens + BIASED, BIAS_ROWS, logits, TRUE};
    g_assert_no_error(error);
    append(session, 0, tokens, BIASED, NULL);
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return logits;
}

/* The largest difference of two models' logits, which also bounds how good a token of `got` is by
 * `want`: its best token is within twice that of the best.  *n_same: rows with the same best. */
static double
compare_logits(const float *got, const float *want, int n_vocab, int *n_same)
{
    double worst = 0;
    *n_same = 0;
    for (int r = 0; r < BIAS_ROWS; r++) {
        const float *g = got + r * n_vocab, *w = want + r * n_vocab;
        int best_got = 0, best_want = 0;
        for (int v = 0; v < n_vocab; v++) {
            worst = MAX(worst, (double)fabsf(g[v] - w[v]));
            best_got = g[v] > g[best_got] ? v : best_got;
            best_want = w[v] > w[best_want] ? v : best_want;
        }
        *n_same += best_got == best_want;
    }
    return worst;
}

/* The 8-bit cache holds keys without their bias: one that is far larger than the keys costs no
 * bits, while with it in the cache even 16 bits are too few. */
static void
test_key_bias(void)
{
    g_autoptr(PdModel) model = open_tiny("qwen2");
    PdSessionOptions plain = {.n_sequences = 1, .max_tokens = 600, .kv_type = PD_F32};
    PdSessionOptions coded = plain, turned = plain;
    PdMem own[8];
    int n_vocab = model->shape.n_vocab, n_same[2][2];
    double worst[2][2]; /* of the small and the large bias; coded and turned */
    g_assert_cmpint(model->shape.n_layers, <=, (int)G_N_ELEMENTS(own));
    coded.kv_type = PD_Q8_0;
    coded.attention = policy_of(model, 20);
    coded.attention.lists_always = TRUE;
    turned.kv_type = PD_F16;
    for (int l = 0; l < model->shape.n_layers; l++)
        own[l] = model->layers[l].bk.mem;
    for (int i = 0; i < 2; i++) {
        PdBuffer *bias = set_key_bias(model, i == 0 ? 0.5f : 600);
        g_autofree float *want = biased_logits(model, &plain);
        g_autofree float *by_code = biased_logits(model, &coded);
        g_autofree float *by_turned = biased_logits(model, &turned);
        worst[i][0] = compare_logits(by_code, want, n_vocab, &n_same[i][0]);
        worst[i][1] = compare_logits(by_turned, want, n_vocab, &n_same[i][1]);
        g_test_message("bias %d: 8 bits without it: %g, %d of %d rows; 16 with it: %g, %d", i,
                       worst[i][0], n_same[i][0], BIAS_ROWS, worst[i][1], n_same[i][1]);
        for (int l = 0; l < model->shape.n_layers; l++)
            model->layers[l].bk.mem = own[l];
        model->device->ops->buffer_free(model->device, bias);
    }
    g_assert_cmpfloat(worst[1][0], <=, 2 * worst[0][0]);
    g_assert_cmpint(n_same[1][0], >=, n_same[0][0] - 2); /* near ties */
    g_assert_cmpint(n_same[0][0], >=, BIAS_ROWS * 95 / 100);
    g_assert_cmpfloat(worst[1][1], >, 10 * worst[0][1]); /* so this bias does matter */
}

/* --- the record, the options --- */

/* Weights sum to one, lie on visible rows only, and agree with the dense F16 record while all is
 * visible. */
static void
test_record(void)
{
    enum { N = 900 };
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        PdAttentionPolicy policy = policy_of(model, 3);
        int heads[][2] = {{0, 0}, {1, 1}}, n_rows, n_plain;
        g_autoptr(GError) error = NULL;
        PdSessionOptions options = {.n_sequences = 1, .max_tokens = N, .kv_type = PD_F16};
        g_autoptr(PdSession) plain = pd_session_new(model, &options, &error);
        g_assert_no_error(error);
        g_autoptr(PdSession) session = open_session(model, PD_F16, &policy, 1, 0);
        pd_session_record_attention(session, heads, 2);
        pd_session_record_attention(plain, heads, 2);
        append(session, 0, tokens, 200, NULL);
        append(plain, 0, tokens, 200, NULL);
        append(session, 0, tokens + 200, 1, NULL);
        append(plain, 0, tokens + 200, 1, NULL);
        const float *got = pd_session_attention(session, 0, &n_rows);
        const float *want = pd_session_attention(plain, 0, &n_plain);
        g_assert_cmpint(n_rows, ==, 201);
        g_assert_cmpint(n_plain, ==, 201);
        for (int j = 0; j < 201; j++)
            g_assert_cmpfloat(fabsf(got[j] - want[j]), <=, 2e-3f);
        append(session, 0, tokens + 201, 698, NULL);
        append(session, 0, tokens + 899, 1, NULL);
        got = pd_session_attention(session, 0, &n_rows);
        g_assert_cmpint(n_rows, ==, 900);
        double sum = 0;
        int n_seen = 0;
        for (int j = 0; j < n_rows; j++) {
            sum += (double)got[j];
            n_seen += got[j] != 0;
        }
        g_assert_cmpfloat(fabs(sum - 1), <=, 1e-4);
        g_assert_cmpint(n_seen, <=, 64 + 3 * 64 * 2 + 100 + 64 + 16);
    }
}

static void
expect_refused(PdModel *model, PdAttentionPolicy policy)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {
        .n_sequences = 1, .max_tokens = 1000, .kv_type = PD_F16, .attention = policy};
    g_assert_null(pd_session_new(model, &options, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
}

static void
test_refusals(void)
{
    g_autoptr(PdModel) model = open_tiny("gemma3");
    PdAttentionPolicy bad[10];
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        bad[i] = policy_of(model, 3);
    bad[0].pool_rows = 0;
    bad[1].pool_rows = 65;
    bad[2].chunk_rows = 65;
    bad[3].window_rows = 15;
    bad[4].budget_blocks = -1;
    bad[5].n_heads = 0;
    bad[6].heads[0][0] = 0; /* a local layer */
    bad[7].heads[1][1] = 2;
    bad[8].heads[1][0] = 4;
    bad[9].heads[0][1] = 0; /* twice */
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        expect_refused(model, bad[i]);
}

static void
test_defaults(void)
{
    static const int heads[][2] = {{3, 1}, {5, 2}};
    PdAttentionPolicy p = pd_attention_sparse(32768, 14, heads, 2);
    PdAttentionPolicy small = pd_attention_sparse(2048, 14, heads, 2);
    g_autofree char *a = pd_attention_describe(&p), *b = pd_attention_describe(&small);
    g_assert_cmpint(p.heads[1][0], ==, 5);
    g_assert_cmpint(p.window_rows + p.budget_blocks * 64, <=, 16384);
    g_assert_cmpint(small.window_rows + small.budget_blocks * 64, <=, 2048);
    g_assert_cmpstr(a, !=, b);
}

int
main(int argc, char **argv)
{
    guint32 state = 12345;
    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < MAX_TOKENS; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        tokens[i] = (gint32)((state >> 8) % 96);
    }
    g_test_add_func("/engine/sparse/below-budget", test_below_budget);
    g_test_add_func("/engine/sparse/all-listed", test_all_listed);
    g_test_add_func("/engine/sparse/position-free", test_position_free);
    g_test_add_func("/engine/sparse/blocks", test_blocks);
    g_test_add_func("/engine/sparse/flat", test_flat);
    g_test_add_func("/engine/sparse/cuts", test_cuts);
    g_test_add_func("/engine/sparse/resume", test_resume);
    g_test_add_func("/engine/sparse/stopped", test_stopped);
    g_test_add_func("/engine/sparse/rotation", test_rotation);
    g_test_add_func("/engine/sparse/key-bias", test_key_bias);
    g_test_add_func("/engine/sparse/record", test_record);
    g_test_add_func("/engine/sparse/refusals", test_refusals);
    g_test_add_func("/engine/sparse/defaults", test_defaults);
    return g_test_run();
}
