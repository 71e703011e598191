/*
 * Sessions: a row's numbers depend on its own sequence only, bit for bit, however the work was cut;
 * rows that were saved and loaded go on as if nothing had happened; what the tap shows and the
 * attention record says agree with the cache and the equations.
 */
#include <math.h>
#include <string.h>
#include "engine/catalogue.h"
#include "engine/error.h"
#include "engine/session.h"
#include "kernels/kernels.h"

#define N_TOKENS 600

/* Small float models of the repository, and real quantized ones where they have been fetched. */
typedef struct {
    const char *name;
    char *path;
    int n_tokens;
} Subject;

static Subject subjects[5];
static int n_subjects;
static gint32 tokens[N_TOKENS];

static PdModel *
open_model(const char *path)
{
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {.n_threads = 2};
    PdModel *model = pd_model_open(path, &options, &error);
    g_assert_no_error(error);
    return model;
}

static PdModel *
open_tiny(const char *arch)
{
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "gqa", arch, NULL);
    return open_model(path);
}

static PdSession *
open_session(PdModel *model, PdDtype kv_type, int n_sequences, int batch_rows, int n_layers)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {n_sequences, N_TOKENS, kv_type, batch_rows, n_layers};
    PdSession *session = pd_session_new(model, &options, &error);
    g_assert_no_error(error);
    return session;
}

static void
run(PdSession *session, const PdRun *runs, int n_runs)
{
    g_autoptr(GError) error = NULL;
    pd_session_run(session, runs, n_runs, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static void
append(PdSession *session, int sequence, int first, int n, float *logits)
{
    PdRun r = {sequence, tokens + first, n, logits, FALSE};
    run(session, &r, 1);
}

static guint8 *
rows_of(PdSession *session, int sequence, int first, int n)
{
    guint8 *rows = g_malloc((gsize)n * pd_session_row_bytes(session));
    pd_session_save_rows(session, sequence, first, n, rows);
    return rows;
}

static int
n_vocab_of(PdModel *model)
{
    return pd_model_shape(model)->n_vocab;
}

/* --- determinism --- */

static void
assert_same(PdSession *session, int sequence, int n, const float *logits, const guint8 *want_rows,
            const float *want_logits)
{
    gsize n_vocab = (gsize)n_vocab_of(pd_session_model(session));
    g_autofree guint8 *rows = rows_of(session, sequence, 0, n);
    gsize n_bytes = (gsize)n * pd_session_row_bytes(session);
    g_assert_cmpmem(rows, n_bytes, want_rows, n_bytes);
    g_assert_cmpmem(logits, n_vocab * sizeof(float), want_logits, n_vocab * sizeof(float));
}

static void
check_chunks(PdModel *model, PdDtype kv_type, int n)
{
    static const int chunks[] = {1, 3, 64, 127, 512};
    g_autoptr(PdSession) whole = open_session(model, kv_type, 1, 512, 0);
    g_autofree float *want = g_new(float, n_vocab_of(model)),
                     *got = g_new(float, n_vocab_of(model));
    append(whole, 0, 0, n, want);
    g_autofree guint8 *rows = rows_of(whole, 0, 0, n);
    for (gsize c = 0; c < G_N_ELEMENTS(chunks); c++) {
        g_autoptr(PdSession) cut = open_session(model, kv_type, 1, 0, 0);
        for (int at = 0; at < n; at += chunks[c])
            append(cut, 0, at, MIN(chunks[c], n - at), at + chunks[c] >= n ? got : NULL);
        assert_same(cut, 0, n, got, rows, want);
    }
    /* Small micro-batches; one output row among many. */
    g_autoptr(PdSession) small = open_session(model, kv_type, 1, 33, 0);
    g_autofree float *all = g_new(float, (gsize)n *(gsize)n_vocab_of(model));
    PdRun r = {0, tokens, n, all, TRUE};
    run(small, &r, 1);
    assert_same(small, 0, n, all + (gsize)(n - 1) * (gsize)n_vocab_of(model), rows, want);
}

/* Other sequences, prefilled and decoded in the same calls, change nothing. */
static void
check_mixed(PdModel *model, PdDtype kv_type, int n)
{
    g_autoptr(PdSession) whole = open_session(model, kv_type, 1, 512, 0);
    g_autoptr(PdSession) mixed = open_session(model, kv_type, 3, 100, 0);
    g_autofree float *want = g_new(float, n_vocab_of(model)),
                     *got = g_new(float, n_vocab_of(model));
    g_autofree float *other = g_new(float, n_vocab_of(model));
    append(whole, 0, 0, n, want);
    g_autofree guint8 *rows = rows_of(whole, 0, 0, n);
    int step = n / 7 + 1;
    for (int at = 0; at < n; at += step) {
        int m = MIN(step, n - at);
        PdRun runs[] = {{2, tokens + 7, 1, other, FALSE},
                        {1, tokens + at, m, at + m == n ? got : NULL, FALSE},
                        {0, tokens + 3, 5, NULL, FALSE},
                        {2, tokens + 9, 2, NULL, FALSE}};
        run(mixed, runs, G_N_ELEMENTS(runs));
    }
    assert_same(mixed, 1, n, got, rows, want);
    g_assert_cmpint(pd_session_n_tokens(mixed, 0), ==, 5 * ((n + step - 1) / step));
    g_assert_cmpint(pd_session_n_tokens(mixed, 2), ==, 3 * ((n + step - 1) / step));
    g_assert_cmpmem(pd_session_tokens(mixed, 1), (gsize)n * sizeof(gint32), tokens,
                    (gsize)n * sizeof(gint32));
}

static void
test_determinism(gconstpointer data)
{
    const Subject *subject = data;
    if (!g_file_test(subject->path, G_FILE_TEST_EXISTS)) {
        g_autofree char *why = g_strdup_printf("%s is not here", subject->path);
        g_test_skip(why);
        return;
    }
    g_autoptr(PdModel) model = open_model(subject->path);
    check_chunks(model, PD_F16, subject->n_tokens);
    check_mixed(model, PD_F16, subject->n_tokens);
    if (pd_model_shape(model)->head_dim % 32 == 0) {
        check_chunks(model, PD_Q8_0, subject->n_tokens);
        check_mixed(model, PD_Q8_0, subject->n_tokens);
    }
}

/* --- rows out and in --- */

/* Saved at many lengths, loaded into a session of another shape, the text goes on bit for bit. */
static void
check_resume(PdModel *model, PdDtype kv_type)
{
    static const int lengths[] = {1, 2, 127, 128, 129, 511, 512, 513};
    g_autofree float *want = g_new(float, n_vocab_of(model)),
                     *got = g_new(float, n_vocab_of(model));
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GError) error = NULL;
        int n = lengths[i], rest = 30;
        g_autoptr(PdSession) whole = open_session(model, kv_type, 1, 0, 0);
        g_autoptr(PdSession) later = open_session(model, kv_type, 2, 64, 0);
        append(whole, 0, 0, n + rest, want);
        g_autofree guint8 *first = rows_of(whole, 0, 0, n / 2);
        g_autofree guint8 *second = rows_of(whole, 0, n / 2, n - n / 2);
        gsize row_bytes = pd_session_row_bytes(whole);
        g_assert_true(pd_session_load_rows(later, 1, 0, n / 2, tokens, first,
                                           (gsize)(n / 2) * row_bytes, &error));
        g_assert_true(pd_session_load_rows(later, 1, n / 2, n - n / 2, tokens + n / 2, second,
                                           (gsize)(n - n / 2) * row_bytes, &error));
        g_assert_no_error(error);
        append(later, 1, n, rest, got);
        g_assert_cmpmem(got, sizeof(float) * (gsize)n_vocab_of(model), want,
                        sizeof(float) * (gsize)n_vocab_of(model));
        g_assert_cmpmem(pd_session_tokens(later, 1), (gsize)n * sizeof(gint32), tokens,
                        (gsize)n * sizeof(gint32));
    }
}

/* The same around the borders of longer texts: one session reads on, at each border its rows are
 * saved, and a new session that loads them gives the same logits for what follows. */
static void
test_resume_long(gconstpointer lengths)
{
    static const char *const archs[] = {"qwen2", "llama", "gemma3"};
    const int rest = 30, longest = ((const int *)lengths)[5] + rest;
    g_autofree gint32 *text = g_new(gint32, longest);
    for (int i = 0; i < longest; i++)
        text[i] = (i * 41 + i / 89 * 7 + 3) % 96;
    for (gsize m = 0; m < G_N_ELEMENTS(archs); m++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(PdModel) model = open_tiny(archs[m]);
        gsize n_logit_bytes = (gsize)n_vocab_of(model) * sizeof(float);
        g_autofree float *want = g_malloc(n_logit_bytes), *got = g_malloc(n_logit_bytes);
        PdSessionOptions options = {1, longest, PD_F16, 0, 0};
        g_autoptr(PdSession) whole = pd_session_new(model, &options, &error);
        g_assert_no_error(error);
        int n_done = 0;
        for (int i = 0; i < 6; i++) {
            int n = ((const int *)lengths)[i];
            PdRun on = {0, text + n_done, n + rest - n_done, want, FALSE};
            run(whole, &on, 1);
            n_done = n + rest;
            g_autofree guint8 *rows = rows_of(whole, 0, 0, n);
            g_autoptr(PdSession) later = pd_session_new(model, &options, &error);
            g_assert_no_error(error);
            pd_session_load_rows(later, 0, 0, n, text, rows, (gsize)n * pd_session_row_bytes(later),
                                 &error);
            g_assert_no_error(error);
            PdRun r = {0, text + n, rest, got, FALSE};
            run(later, &r, 1);
            g_assert_cmpmem(got, n_logit_bytes, want, n_logit_bytes);
            pd_session_truncate(whole, 0, n); /* the next border may be one token on */
            n_done = n;
        }
    }
}

static void
test_resume(void)
{
    static const char *const archs[] = {"qwen2", "llama", "gemma3"};
    for (gsize i = 0; i < G_N_ELEMENTS(archs); i++) {
        g_autoptr(PdModel) model = open_tiny(archs[i]);
        check_resume(model, PD_F16);
        if (pd_model_shape(model)->head_dim % 32 == 0)
            check_resume(model, PD_Q8_0);
    }
}

static void
test_load_refuses(void)
{
    g_autoptr(PdModel) model = open_tiny("qwen2");
    g_autoptr(PdSession) session = open_session(model, PD_F16, 1, 0, 0);
    g_autoptr(GError) error = NULL;
    append(session, 0, 0, 10, NULL);
    g_autofree guint8 *rows = rows_of(session, 0, 0, 10);
    gsize n_bytes = 10 * pd_session_row_bytes(session);
    g_assert_false(pd_session_load_rows(session, 0, 0, 10, tokens, rows, n_bytes, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
    g_clear_error(&error);
    g_assert_false(pd_session_load_rows(session, 0, 10, 10, tokens, rows, n_bytes - 1, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT);
    g_clear_error(&error);
    g_assert_false(pd_session_load_rows(session, 0, 10, N_TOKENS, tokens, rows, n_bytes, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
    g_assert_cmpint(pd_session_n_tokens(session, 0), ==, 10);
}

static void
test_share_and_truncate(void)
{
    g_autoptr(PdModel) model = open_tiny("gemma3");
    g_autoptr(PdSession) s = open_session(model, PD_Q8_0, 3, 0, 0);
    g_autoptr(GError) error = NULL;
    gsize n_bytes = sizeof(float) * (gsize)n_vocab_of(model);
    g_autofree float *want = g_malloc(n_bytes), *shared = g_malloc(n_bytes),
                     *again = g_malloc(n_bytes);
    append(s, 0, 0, 100, want);
    append(s, 1, 50, 20, NULL); /* is overwritten */
    g_assert_true(pd_session_share_rows(s, 0, 1, 60, &error));
    g_assert_no_error(error);
    append(s, 1, 60, 40, shared);
    g_assert_cmpmem(shared, n_bytes, want, n_bytes);
    pd_session_truncate(s, 0, 200);
    g_assert_cmpint(pd_session_n_tokens(s, 0), ==, 100);
    pd_session_truncate(s, 0, 33);
    g_assert_cmpint(pd_session_n_tokens(s, 0), ==, 33);
    append(s, 0, 33, 67, again);
    g_assert_cmpmem(again, n_bytes, want, n_bytes);
    g_assert_false(pd_session_share_rows(s, 2, 1, 1, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
}

/* --- the tap --- */

typedef struct {
    const PdModelShape *shape;
    GArray *q[8], *k[8], *v[8]; /* of each layer, sequence 1 */
    int last_layer;
    int n_calls;
} Tapped;

static void
tap(const PdLayerRows *rows, gpointer user_data)
{
    Tapped *t = user_data;
    guint n_kv = (guint)(rows->n_rows * t->shape->n_kv_heads * t->shape->head_dim);
    guint n_q = (guint)(rows->n_rows * t->shape->n_heads * t->shape->head_dim);
    t->n_calls++;
    if (rows->sequence != 1)
        return;
    g_assert_cmpint(rows->first_row, ==,
                    (int)t->k[rows->layer]->len / (t->shape->n_kv_heads * t->shape->head_dim));
    g_array_append_vals(t->q[rows->layer], rows->q, n_q);
    g_array_append_vals(t->k[rows->layer], rows->k, n_kv);
    g_array_append_vals(t->v[rows->layer], rows->v, n_kv);
}

static Tapped *
tapped_new(PdModel *model)
{
    Tapped *t = g_new0(Tapped, 1);
    t->shape = pd_model_shape(model);
    for (int l = 0; l < 8; l++) {
        t->q[l] = g_array_new(FALSE, FALSE, sizeof(float));
        t->k[l] = g_array_new(FALSE, FALSE, sizeof(float));
        t->v[l] = g_array_new(FALSE, FALSE, sizeof(float));
    }
    return t;
}

static void
tapped_free(Tapped *t)
{
    for (int l = 0; l < 8; l++) {
        g_array_unref(t->q[l]);
        g_array_unref(t->k[l]);
        g_array_unref(t->v[l]);
    }
    g_free(t);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tapped, tapped_free)

/* Half-split rotation of one head, in double. */
static void
rotate(float *x, int head_dim, double theta, int position)
{
    for (int i = 0; i < head_dim / 2; i++) {
        double angle = position * pow(theta, -2.0 * i / head_dim);
        double a = x[i], b = x[i + head_dim / 2];
        x[i] = (float)(a * cos(angle) - b * sin(angle));
        x[i + head_dim / 2] = (float)(b * cos(angle) + a * sin(angle));
    }
}

/* rope(k + bias) of what the tap shows is what the F16 cache holds; V as it is. */
static void
check_tap_against_cache(PdModel *model, PdSession *s, const Tapped *t, int n)
{
    const PdModelShape *shape = t->shape;
    int dim = shape->head_dim, n_kv = shape->n_kv_heads;
    g_autofree guint8 *rows = rows_of(s, 1, 0, n);
    gsize stream = (gsize)(n * n_kv) * pd_row_bytes(PD_F16, (gsize)dim);
    g_autofree float *bias = g_new0(float, n_kv *dim), *cached = g_new(float, dim);
    for (int l = 0; l < shape->n_layers; l++) {
        const PdLayer *layer = pd_model_layer(model, l);
        PdDevice *dev = pd_model_device(model);
        if (layer->bk.mem.buffer != NULL)
            dev->ops->read(dev, bias, layer->bk.mem, (gsize)(n_kv * dim) * sizeof(float));
        for (int i = 0; i < n * n_kv; i++) {
            int head = i / n, row = i % n;
            gsize at = (gsize)(2 * l) * stream + (gsize)i * pd_row_bytes(PD_F16, (gsize)dim);
            const float *k = &g_array_index(t->k[l], float, (row * n_kv + head) * dim);
            const float *v = &g_array_index(t->v[l], float, (row * n_kv + head) * dim);
            g_autofree float *turned = g_memdup2(k, (gsize)dim * sizeof(float));
            for (int d = 0; d < dim; d++)
                turned[d] += bias[head * dim + d];
            rotate(turned, dim, shape->rope_theta, row);
            pd_dequantize_row(PD_F16, rows + at, cached, (gsize)dim);
            for (int d = 0; d < dim; d++)
                g_assert_cmpfloat_with_epsilon(cached[d], turned[d], 1e-3 * (1 + fabs(turned[d])));
            pd_dequantize_row(PD_F16, rows + at + stream, cached, (gsize)dim);
            for (int d = 0; d < dim; d++)
                g_assert_cmpfloat_with_epsilon(cached[d], v[d], 1e-3 * (1 + fabs(v[d])));
        }
    }
}

static void
test_tap(void)
{
    static const char *const archs[] = {"qwen2", "qwen3"};
    for (gsize a = 0; a < G_N_ELEMENTS(archs); a++) {
        g_autoptr(PdModel) model = open_tiny(archs[a]);
        g_autoptr(PdSession) watched = open_session(model, PD_F16, 2, 32, 0);
        g_autoptr(PdSession) plain = open_session(model, PD_F16, 2, 32, 0);
        g_autoptr(Tapped) t = tapped_new(model);
        gsize n_bytes = sizeof(float) * (gsize)n_vocab_of(model);
        g_autofree float *want = g_malloc(n_bytes), *got = g_malloc(n_bytes);
        pd_session_set_tap(watched, tap, NULL, t);
        PdRun runs[] = {{0, tokens, 10, NULL, FALSE}, {1, tokens, 70, got, FALSE}};
        run(watched, runs, 2);
        check_tap_against_cache(model, watched, t, 70);
        append(plain, 1, 0, 70, want); /* who watches changes nothing */
        g_assert_cmpmem(got, n_bytes, want, n_bytes);
    }
}

/* A session of the first layers shows what the whole model shows, and makes no logits. */
static void
test_first_layers(void)
{
    g_autoptr(PdModel) model = open_tiny("gemma3");
    g_autoptr(PdSession) whole = open_session(model, PD_Q8_0, 2, 0, 0);
    g_autoptr(PdSession) cut = open_session(model, PD_Q8_0, 2, 0, 3);
    g_autoptr(Tapped) all = tapped_new(model), some = tapped_new(model);
    gboolean mask[] = {FALSE, TRUE, TRUE, FALSE};
    g_autofree float *logits = g_new(float, n_vocab_of(model));
    g_autoptr(GError) error = NULL;
    pd_session_set_tap(whole, tap, NULL, all);
    pd_session_set_tap(cut, tap, mask, some);
    append(whole, 1, 0, 40, NULL);
    append(cut, 1, 0, 40, NULL);
    g_assert_cmpint(all->n_calls, ==, 4);
    g_assert_cmpint(some->n_calls, ==, 2);
    for (int l = 1; l < 3; l++) {
        gsize n_bytes = all->q[l]->len * sizeof(float);
        g_assert_cmpuint(n_bytes, >, 0);
        g_assert_cmpmem(some->q[l]->data, some->q[l]->len * sizeof(float), all->q[l]->data,
                        n_bytes);
        g_assert_cmpmem(some->v[l]->data, some->v[l]->len * sizeof(float), all->v[l]->data,
                        all->v[l]->len * sizeof(float));
    }
    g_assert_cmpuint(pd_session_row_bytes(cut) * 4, ==, pd_session_row_bytes(whole) * 3);
    PdRun r = {1, tokens, 1, logits, FALSE};
    g_assert_false(pd_session_run(cut, &r, 1, NULL, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
}

/* --- the attention record --- */

/* Weights of the last row over all rows, from tapped q and k, in double; local layers see a window.
 */
static void
add_weights(const Tapped *t, PdModel *model, int layer, int head, int n, double *sum)
{
    const PdModelShape *s = t->shape;
    int dim = s->head_dim, group = s->n_heads / s->n_kv_heads;
    gboolean local = pd_model_layer(model, layer)->local;
    double theta = local ? s->rope_theta_local : s->rope_theta, total = 0;
    /* The golden gemma3 scales the global layers' frequencies by 1/4: positions by 1/4. */
    double stretch = local ? 1 : 0.25;
    g_autofree double *w = g_new0(double, n);
    for (int j = local ? MAX(0, n - s->window) : 0; j < n; j++) {
        const float *q = &g_array_index(t->q[layer], float, ((n - 1) * s->n_heads + head) * dim);
        const float *k =
            &g_array_index(t->k[layer], float, (j * s->n_kv_heads + head / group) * dim);
        double dot = 0;
        for (int i = 0; i < dim / 2; i++) {
            double angle = stretch * (n - 1 - j) * pow(theta, -2.0 * i / dim);
            double a = q[i] * k[i] + q[i + dim / 2] * k[i + dim / 2];
            double b = q[i] * k[i + dim / 2] - q[i + dim / 2] * k[i];
            dot += a * cos(angle) + b * sin(angle);
        }
        w[j] = exp(s->attn_scale * dot);
        total += w[j];
    }
    for (int j = 0; j < n; j++)
        sum[j] += w[j] / total;
}

static void
test_attention_record(void)
{
    static const int heads[][2] = {{2, 1}, {0, 0}, {2, 0}, {3, 1}};
    g_autoptr(PdModel) model = open_tiny("gemma3");
    g_autoptr(PdSession) s = open_session(model, PD_F16, 2, 32, 0);
    g_autoptr(Tapped) t = tapped_new(model);
    int n_rows;
    pd_session_set_tap(s, tap, NULL, t);
    append(s, 1, 0, 40, NULL);
    g_assert_null(pd_session_attention(s, 1, &n_rows));
    pd_session_record_attention(s, heads, G_N_ELEMENTS(heads));
    g_assert_null(pd_session_attention(s, 1, &n_rows));
    for (int i = 40; i < 43; i++) {
        append(s, 1, i, 1, NULL);
        const float *record = pd_session_attention(s, 1, &n_rows);
        g_assert_cmpint(n_rows, ==, i + 1);
        g_autofree double *want = g_new0(double, n_rows);
        double sum = 0;
        for (gsize h = 0; h < G_N_ELEMENTS(heads); h++)
            add_weights(t, model, heads[h][0], heads[h][1], n_rows, want);
        for (int j = 0; j < n_rows; j++) {
            g_assert_cmpfloat_with_epsilon(record[j], want[j] / 4, 2e-3);
            sum += record[j];
        }
        g_assert_cmpfloat_with_epsilon(sum, 1, 1e-4);
    }
    g_assert_null(pd_session_attention(s, 0, &n_rows));
    pd_session_record_attention(s, NULL, 0);
    g_assert_null(pd_session_attention(s, 1, &n_rows));
}

/* --- limits and stops --- */

static void
test_refuses(void)
{
    g_autoptr(PdModel) model = open_tiny("qwen2");
    g_autoptr(PdSession) s = open_session(model, PD_F16, 2, 0, 0);
    const gint32 bad[] = {0, 96}, negative[] = {-1};
    const PdRun cases[] = {{2, tokens, 1, NULL, FALSE},
                           {-1, tokens, 1, NULL, FALSE},
                           {0, tokens, N_TOKENS + 1, NULL, FALSE},
                           {0, bad, 2, NULL, FALSE},
                           {0, negative, 1, NULL, FALSE}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        PdRun runs[] = {{0, tokens, 5, NULL, FALSE}, cases[i]};
        g_assert_false(pd_session_run(s, runs, 2, NULL, NULL, NULL, &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
        g_assert_cmpint(pd_session_n_tokens(s, 0), ==, 0); /* nothing was begun */
    }
    append(s, 0, 0, N_TOKENS, NULL); /* exactly full */
    g_assert_cmpint(pd_session_n_tokens(s, 0), ==, N_TOKENS);
}

static void
test_options_refused(void)
{
    g_autoptr(PdModel) model = open_tiny("llama"); /* head_dim 8 */
    static const struct {
        PdSessionOptions options;
        int code;
    } cases[] = {
        {{0, 10, PD_F16, 0, 0}, PD_ENGINE_ERROR_RANGE},
        {{1, 0, PD_F16, 0, 0}, PD_ENGINE_ERROR_RANGE},
        {{1, 10, PD_Q8_0, 0, 0}, PD_ENGINE_ERROR_RANGE},
        {{1, 10, PD_Q4_0, 0, 0}, PD_ENGINE_ERROR_RANGE},
        {{1, 10, PD_F16, 0, 3}, PD_ENGINE_ERROR_RANGE},
        {{1, 10, PD_F16, -1, 0}, PD_ENGINE_ERROR_RANGE},
        {{60000, G_MAXINT32 / 2, PD_F16, 0, 0}, PD_ENGINE_ERROR_NO_MEMORY},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(pd_session_new(model, &cases[i].options, &error));
        g_assert_error(error, PD_ENGINE_ERROR, cases[i].code);
        if (cases[i].code == PD_ENGINE_ERROR_NO_MEMORY)
            g_assert_nonnull(strstr(error->message, "would fit"));
    }
}

static gboolean
stop_at_64(guint64 done, guint64 total, gpointer user_data)
{
    g_assert_cmpuint(total, ==, 150);
    return done < 64;
}

static gboolean
cancel_at_end(guint64 done, guint64 total, gpointer user_data)
{
    if (done == total)
        g_cancellable_cancel(user_data);
    return TRUE;
}

/* A stop keeps whole micro-batches, and the rest gives what an unbroken run gives. */
static void
test_cancel(void)
{
    g_autoptr(PdModel) model = open_tiny("qwen3");
    g_autoptr(PdSession) s = open_session(model, PD_F16, 1, 32, 0);
    g_autoptr(PdSession) whole = open_session(model, PD_F16, 1, 0, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GCancellable) cancelled = g_cancellable_new();
    gsize n_bytes = sizeof(float) * (gsize)n_vocab_of(model);
    g_autofree float *want = g_malloc(n_bytes), *got = g_malloc(n_bytes);
    PdRun r = {0, tokens, 150, got, FALSE};
    g_assert_false(pd_session_run(s, &r, 1, NULL, stop_at_64, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
    g_assert_cmpint(pd_session_n_tokens(s, 0), ==, 64);
    g_clear_error(&error);
    g_cancellable_cancel(cancelled);
    g_assert_false(pd_session_run(s, &r, 1, cancelled, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CANCELLED);
    g_assert_cmpint(pd_session_n_tokens(s, 0), ==, 64);
    g_clear_error(&error);
    g_cancellable_reset(cancelled);
    r = (PdRun){0, tokens + 64, 86, got, FALSE};
    /* Too late to stop: all was done. */
    g_assert_true(pd_session_run(s, &r, 1, cancelled, cancel_at_end, cancelled, &error));
    g_assert_no_error(error);
    append(whole, 0, 0, 150, want);
    g_assert_cmpmem(got, n_bytes, want, n_bytes);
}

static void
add_subject(const char *name, char *path, int n)
{
    g_autofree char *test = g_strdup_printf("/session/determinism/%s", name);
    subjects[n_subjects] = (Subject){name, path, n};
    g_test_add_data_func(test, &subjects[n_subjects++], test_determinism);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (i * 37 + i / 96 * 11 + 5) % 96;
    add_subject("gemma3", g_build_filename(PD_SOURCE_ROOT, "tests/golden/gqa/gemma3", NULL), 530);
    add_subject("qwen2", g_build_filename(PD_SOURCE_ROOT, "tests/golden/gqa/qwen2", NULL), 530);
    add_subject("llama", g_build_filename(PD_SOURCE_ROOT, "tests/golden/gqa/llama", NULL), 530);
    add_subject("smollm2-135m", pd_catalogue_path(pd_catalogue_find("smollm2-135m")), 70);
    /* Q4_K, Q5_0, Q6_K and Q8_0 weights */
    add_subject("qwen2.5-coder-0.5b", pd_catalogue_path(pd_catalogue_find("qwen2.5-coder-0.5b")),
                21);
    g_test_add_func("/session/resume", test_resume);
    static const int middle[] = {1023, 1024, 1025, 4095, 4096, 4097};
    static const int far[] = {8191, 8192, 8193, 16383, 16384, 16385};
    g_test_add_data_func("/session/resume_long", middle, test_resume_long);
    g_test_add_data_func("/session/resume_longest", far, test_resume_long);
    g_test_add_func("/session/load_refuses", test_load_refuses);
    g_test_add_func("/session/share_and_truncate", test_share_and_truncate);
    g_test_add_func("/session/tap", test_tap);
    g_test_add_func("/session/first_layers", test_first_layers);
    g_test_add_func("/session/attention_record", test_attention_record);
    g_test_add_func("/session/refuses", test_refuses);
    g_test_add_func("/session/options_refused", test_options_refused);
    g_test_add_func("/session/cancel", test_cancel);
    int status = g_test_run();
    for (int i = 0; i < n_subjects; i++)
        g_free(subjects[i].path);
    return status;
}
