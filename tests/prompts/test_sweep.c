/*
 * The sweep against the same sums in double precision: queries from a session of our own, keys
 * taken out of the store and dequantized here, rotation, best keys, standard score and means
 * written from the description in sweep.h.
 */
#include "prompts_fixture.h"

#include <math.h>
#include <string.h>
#include "engine/session.h"
#include "prompts/layout.h"
#include "kernels/kv_block.h"
#include "prompts/segment_kv.h"
#include "prompts/sweep.h"
#include "prompts/warm.h"

/* Queries are rounded to 8 bits for the product: in standard deviations, of sums over few words. */
#define QUERY_ROUNDING 0.12

static const char question[] = "What did the gauge at the pier record in a storm?";

/* --- an independent computation --- */

typedef struct {
    const PdModelShape *shape;
    int n_rows; /* of the prompt */
    double *q;  /* (n_layers, n_rows, n_heads, head_dim) */
    double *k;  /* (n_layers, n_rows, n_kv_heads, head_dim) */
} Tapped;

static void
tap(const PdLayerRows *rows, gpointer user_data)
{
    Tapped *tapped = user_data;
    gsize width = (gsize)tapped->shape->n_heads * tapped->shape->head_dim;
    gsize k_width = (gsize)tapped->shape->n_kv_heads * tapped->shape->head_dim;
    gsize first = (gsize)rows->layer * tapped->n_rows + rows->first_row;

    for (gsize i = 0; i < (gsize)rows->n_rows * width; i++)
        tapped->q[first * width + i] = rows->q[i];
    for (gsize i = 0; i < (gsize)rows->n_rows * k_width; i++)
        tapped->k[first * k_width + i] = rows->k[i];
}

static int
kv_head_of(const PdModelShape *shape, const PdHead *head)
{
    return head->head / (shape->n_heads / shape->n_kv_heads);
}

/* A content token holds a letter or digit and is not, alone, a word like "a". */
static gboolean
counts(gint32 id)
{
    if (id == 259) /* " t" */
        return TRUE;
    return id < 256 && (g_ascii_isalnum(id) || id >= 0x80) && g_ascii_tolower(id) != 'a';
}

/* By 256 positions: pairs (i, i + d/2), theta^(-2i/d). */
static void
turn(const double *q, int d, double theta, double *to)
{
    for (int i = 0; i < d / 2; i++) {
        double angle = 256 * pow(theta, -2.0 * i / d);
        to[i] = q[i] * cos(angle) - q[i + d / 2] * sin(angle);
        to[i + d / 2] = q[i] * sin(angle) + q[i + d / 2] * cos(angle);
    }
}

/* The turned queries of a head, or the words' keys at its KV head, (n, head_dim). */
static double *
queries_of(PdContext *context, const PdHead *head, int *n)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    int d = shape->head_dim;
    g_autoptr(GArray) tokens = g_array_copy(context->prefix);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdSession) session = NULL;
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F16, .batch_rows = 32};
    PdRun run = {0};
    Tapped tapped = {.shape = shape};
    guint first;
    double *out;

    pd_layout_text(context->model, "Question: ", tokens);
    first = tokens->len;
    pd_layout_text(context->model, question, tokens);
    tapped.n_rows = options.max_tokens = run.n_tokens = (int)tokens->len;
    run.tokens = (const gint32 *)tokens->data;
    tapped.q = g_new0(double, (gsize)shape->n_layers * tokens->len * shape->n_heads * d);
    tapped.k = g_new0(double, (gsize)shape->n_layers * tokens->len * shape->n_kv_heads * d);
    session = pd_session_new(context->model, &options, &error);
    g_assert_no_error(error);
    pd_session_set_tap(session, tap, NULL, &tapped);
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);

    out = g_new0(double, (gsize)tokens->len *d);
    *n = 0;
    for (guint r = first; r < tokens->len; r++) {
        gsize row = (gsize)head->layer * tokens->len + r;
        double *to = out + (gsize)*n * d;
        if (!counts(g_array_index(tokens, gint32, r)))
            continue;
        if (head->by_keys)
            memcpy(to, tapped.k + (row * shape->n_kv_heads + kv_head_of(shape, head)) * d,
                   (gsize)d * sizeof *to);
        else
            turn(tapped.q + (row * shape->n_heads + head->head) * d, d, shape->rope_theta, to);
        (*n)++;
    }
    g_free(tapped.q);
    g_free(tapped.k);
    return out;
}

/* A segment's keys at a head, (header and own tokens, head_dim): all rows of the record. */
static float *
segment_keys(PdContext *context, const PdContextSegment *segment, const PdHead *head)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    gsize n = (gsize)(segment->header_ids->len + segment->row->n_tokens) * shape->head_dim;
    float *keys = g_new(float, n);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) record = NULL;
    PdKeyStream stream;

    record = pd_segment_kv_get(context, segment, NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(pd_segment_kv_keys(g_bytes_get_data(record, NULL), head->layer,
                                     kv_head_of(shape, head), &stream));
    pd_key_stream_unpack(stream.bits, shape->head_dim, stream.header, (int)stream.n_header_rows, 0,
                         (int)stream.n_header_rows, keys, (gsize)shape->head_dim);
    pd_key_stream_unpack(
        stream.bits, shape->head_dim, stream.rows, (int)stream.n_rows, 0, (int)stream.n_rows,
        keys + (gsize)stream.n_header_rows * (gsize)shape->head_dim, (gsize)shape->head_dim);
    return keys;
}

/* q . k / sqrt(d) of one query and every token of every segment, header first: an array of doubles
 * each.
 */
static GPtrArray *
scaled_scores(PdContext *context, const double *q, int d, GPtrArray *keys)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint s = 0; s < keys->len; s++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        const float *k = g_ptr_array_index(keys, s);
        GArray *scores = g_array_new(FALSE, FALSE, sizeof(double));
        for (guint r = 0; r < segment->header_ids->len + segment->row->n_tokens; r++) {
            double dot = 0;
            for (int c = 0; c < d; c++)
                dot += q[c] * k[(gsize)r * d + c];
            dot /= sqrt(d);
            g_array_append_val(scores, dot);
        }
        g_ptr_array_add(all, scores);
    }
    return all;
}

/* Add each block's best score with this query, its header's included, to its sum. */
static void
add_query(PdContext *context, GPtrArray *all, GArray *sums)
{
    guint at = 0;

    for (guint s = 0; s < all->len; s++) {
        GArray *scores = g_ptr_array_index(all, s);
        guint n_header = g_array_index(context->segments, PdContextSegment, s).header_ids->len;
        double header = -INFINITY;

        for (guint r = 0; r < n_header; r++)
            header = MAX(header, g_array_index(scores, double, r));
        for (guint first = n_header; first < scores->len; first += 64, at++) {
            double best = header;
            for (guint r = first; r < MIN(first + 64, scores->len); r++)
                best = MAX(best, g_array_index(scores, double, r));
            g_array_index(sums, double, at) += best;
        }
    }
}

static void
standardise(GArray *scores)
{
    double mean = 0, square = 0;

    for (guint i = 0; i < scores->len; i++)
        mean += g_array_index(scores, double, i) / scores->len;
    for (guint i = 0; i < scores->len; i++)
        square += pow(g_array_index(scores, double, i) - mean, 2) / scores->len;
    for (guint i = 0; i < scores->len; i++)
        g_array_index(scores, double, i) = (g_array_index(scores, double, i) - mean) / sqrt(square);
}

static GArray *
zeros(guint n)
{
    return g_array_set_size(g_array_new(FALSE, TRUE, sizeof(double)), n);
}

/* x := C^-1 (x - m), by elimination: mean and covariance of every segment's own keys (the corpus
 * has fewer blocks than a sample), a hundredth of the mean variance added to each. */
static void
whiten_one(const double *c, const double *mean, double *x, int d)
{
    g_autofree double *a = g_memdup2(c, (gsize)d * (gsize)d * sizeof(double));

    for (int i = 0; i < d; i++)
        x[i] -= mean[i];
    for (int p = 0; p < d; p++)
        for (int i = p + 1; i < d; i++) {
            double times = a[i * d + p] / a[p * d + p];
            for (int j = p; j < d; j++)
                a[i * d + j] -= times * a[p * d + j];
            x[i] -= times * x[p];
        }
    for (int i = d - 1; i >= 0; i--) {
        for (int j = i + 1; j < d; j++)
            x[i] -= a[i * d + j] * x[j];
        x[i] /= a[i * d + i];
    }
}

static void
whiten(PdContext *context, GPtrArray *keys, double *queries, int n_queries, int d)
{
    g_autofree double *mean = g_new0(double, d), *c = g_new0(double, d *d);
    double trace = 0, n = 0;

    for (int pass = 0; pass < 2; pass++)
        for (guint s = 0; s < keys->len; s++) {
            PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
            const float *own = (const float *)keys->pdata[s] + segment->header_ids->len * (gsize)d;
            for (guint r = 0; r < segment->row->n_tokens; r++, own += d)
                for (int i = 0; i < d; i++) {
                    mean[i] += pass == 0 ? own[i] : 0;
                    for (int j = 0; j < d && pass == 1; j++)
                        c[i * d + j] += (own[i] - mean[i] / n) * (own[j] - mean[j] / n) / n;
                }
            n += pass == 0 ? segment->row->n_tokens : 0;
        }
    for (int i = 0; i < d; i++) {
        mean[i] /= n;
        trace += c[i * d + i];
    }
    for (int i = 0; i < d; i++)
        c[i * d + i] += 0.01 * trace / d;
    for (int i = 0; i < n_queries; i++)
        whiten_one(c, mean, queries + (gsize)i * d, d);
}

/* The score of every block of one head, in corpus order: words standardised, what is
 * above one of each. */
static GArray *
head_scores(PdContext *context, const PdHead *head)
{
    guint n_blocks = 0;
    int d = pd_model_shape(context->model)->head_dim, n_queries;
    g_autofree double *queries = queries_of(context, head, &n_queries);
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    GArray *sums;

    g_assert_cmpint(n_queries, >, 20);
    for (guint s = 0; s < context->segments->len; s++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        g_ptr_array_add(keys, segment_keys(context, segment, head));
        n_blocks += (segment->row->n_tokens + 63) / 64;
    }
    if (head->by_keys)
        whiten(context, keys, queries, n_queries, d);
    sums = zeros(n_blocks);
    for (int i = 0; i < n_queries; i++) {
        g_autoptr(GPtrArray) all = scaled_scores(context, queries + (gsize)i * d, d, keys);
        g_autoptr(GArray) word = zeros(n_blocks);

        add_query(context, all, word);
        standardise(word);
        for (guint b = 0; b < n_blocks; b++)
            g_array_index(sums, double, b) += fmax(g_array_index(word, double, b) - 1, 0);
    }
    standardise(sums);
    return sums;
}

/* --- the tests --- */

typedef struct {
    char *dir;
    PdModel *model;
    World world;
} Fixture;

static void
set_up(Fixture *f, gconstpointer unused)
{
    g_autofree char *a = fixture_text(1500, 1), *b = fixture_text(63, 2), *c = fixture_text(700, 3);
    /* the same file in two sources: equal records, equal scores */
    const TestDocument first[] = {{PD_KIND_TEXT, "a.txt", a, -1},
                                  {PD_KIND_TEXT, "same.txt", c, -1}};
    const TestDocument second[] = {{PD_KIND_TEXT, "b.txt", b, -1},
                                   {PD_KIND_TEXT, "same.txt", c, -1}};
    g_autoptr(GError) error = NULL;

    f->dir = fixture_folder();
    f->model = fixture_model();
    fixture_add(f->dir, f->model, "/one", first, G_N_ELEMENTS(first));
    fixture_add(f->dir, f->model, "/two", second, G_N_ELEMENTS(second));
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_assert_cmpuint(f->world.context->segments->len, ==, 4);
    pd_context_warm(f->world.context, NULL, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    world_close(&f->world);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

/* Place of a block in corpus order. */
static guint
block_index(PdContext *context, const PdBlock *block)
{
    guint index = 0;

    for (guint s = 0; s < block->segment; s++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        index += (segment->row->n_tokens + 63) / 64;
    }
    g_assert_cmpuint(block->first_token % 64, ==, 0);
    return index + block->first_token / 64;
}

/* Two groups of heads, one by keys: each block has the score of the group that likes it best. */
static void
test_scores(Fixture *f, gconstpointer unused)
{
    static const PdHead heads[] = {{0, 0, 0}, {0, 1, 0}, {1, 0, 1, TRUE}, {1, 1, 1}};
    g_autoptr(GArray) z = g_array_new(FALSE, FALSE, sizeof(float));
    g_autoptr(GError) error = NULL;
    PdContext *context = f->world.context;
    g_autoptr(GArray) blocks = pd_sweep(context, question, heads, 4, z, NULL, &error);
    GArray *expected[4], *of_group[2];

    g_assert_no_error(error);
    g_assert_cmpuint(z->len, ==, 4 * blocks->len);
    for (int g = 0; g < 2; g++)
        of_group[g] = zeros(blocks->len);
    for (int h = 0; h < 4; h++) {
        expected[h] = head_scores(context, &heads[h]);
        g_assert_cmpuint(expected[h]->len, ==, blocks->len);
        for (guint b = 0; b < blocks->len; b++) {
            double e = g_array_index(expected[h], double, b);
            g_assert_cmpfloat_with_epsilon(g_array_index(z, float, h * blocks->len + b), e,
                                           QUERY_ROUNDING);
            g_array_index(of_group[heads[h].group], double, b) += e;
        }
    }
    standardise(of_group[0]);
    standardise(of_group[1]);
    for (guint i = 0; i < blocks->len; i++) {
        PdBlock *block = &g_array_index(blocks, PdBlock, i);
        guint at = block_index(context, block);
        double score =
            MAX(g_array_index(of_group[0], double, at), g_array_index(of_group[1], double, at));
        g_assert_cmpfloat_with_epsilon(block->score, score, QUERY_ROUNDING);
        for (int h = 0; h < 4; h++)
            g_assert_cmpfloat(block->best_z, >=,
                              g_array_index(expected[h], double, at) - QUERY_ROUNDING);
        g_assert_cmpfloat_with_epsilon(
            block->best_z, g_array_index(expected[block->best_head], double, at), QUERY_ROUNDING);
    }
    for (int h = 0; h < 4; h++)
        g_array_unref(expected[h]);
    for (int g = 0; g < 2; g++)
        g_array_unref(of_group[g]);
}

/* Each block once, best first; of equal ones the earlier first. */
static void
test_order(Fixture *f, gconstpointer unused)
{
    static const PdHead heads[] = {{1, 0}};
    g_autoptr(GError) error = NULL;
    PdContext *context = f->world.context;
    g_autoptr(GArray) blocks = pd_sweep(context, question, heads, 1, NULL, NULL, &error);
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    guint n_ties = 0;

    g_assert_no_error(error);
    for (guint i = 0; i < blocks->len; i++) {
        PdBlock *block = &g_array_index(blocks, PdBlock, i);
        PdContextSegment *segment =
            &g_array_index(context->segments, PdContextSegment, block->segment);
        guint at = block_index(context, block);
        g_assert_true(g_hash_table_add(seen, GUINT_TO_POINTER(at + 1)));
        g_assert_cmpuint(block->n_tokens, ==, MIN(64, segment->row->n_tokens - block->first_token));
        if (i > 0) {
            PdBlock *before = &g_array_index(blocks, PdBlock, i - 1);
            g_assert_cmpfloat(before->score, >=, block->score);
            if (before->score == block->score) {
                g_assert_cmpuint(block_index(context, before), <, at);
                n_ties++;
            }
        }
    }
    g_assert_cmpuint(n_ties, >=, 11); /* same.txt: 11 blocks twice */
}

/* The same question gives the same scores, bit for bit. */
static void
test_repeat(Fixture *f, gconstpointer unused)
{
    const PdProfile *profile = &f->world.context->profile;
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) once = pd_sweep(f->world.context, question, profile->retrieval,
                                      profile->n_retrieval, NULL, NULL, &error);
    g_autoptr(GArray) twice = pd_sweep(f->world.context, question, profile->retrieval,
                                       profile->n_retrieval, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpmem(once->data, once->len * sizeof(PdBlock), twice->data,
                    twice->len * sizeof(PdBlock));
}

static void
test_missing(Fixture *f, gconstpointer unused)
{
    static const PdHead heads[] = {{0, 0}};
    PdContext *context = f->world.context;
    guint8 key[PD_KV_KEY_BYTES];
    g_autoptr(GError) error = NULL;

    pd_segment_kv_key(context, &g_array_index(context->segments, PdContextSegment, 2), key, NULL,
                      NULL);
    pd_kv_store_drop(context->store, key, NULL);
    g_assert_null(pd_sweep(context, question, heads, 1, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND);
}

static void
test_bad_questions(Fixture *f, gconstpointer unused)
{
    static const PdHead heads[] = {{0, 0}};
    g_autofree char *endless = g_strnfill(200000, 'q');
    g_autoptr(GError) error = NULL, cancelled = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GArray) only_stop_words = NULL;

    g_assert_null(pd_sweep(f->world.context, endless, heads, 1, NULL, NULL, &error));
    g_assert_nonnull(error);
    /* nothing but punctuation: all of it is asked */
    only_stop_words = pd_sweep(f->world.context, "?!", heads, 1, NULL, NULL, NULL);
    g_assert_nonnull(only_stop_words);
    g_cancellable_cancel(cancellable);
    g_assert_null(pd_sweep(f->world.context, question, heads, 1, NULL, cancellable, &cancelled));
    g_assert_nonnull(cancelled);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/sweep/scores", test_scores);
    ADD("/sweep/order", test_order);
    ADD("/sweep/repeat", test_repeat);
    ADD("/sweep/missing", test_missing);
    ADD("/sweep/bad-questions", test_bad_questions);
    return g_test_run();
}
