/*
 * FP8 and FP4 weights of the DeepSeek-V4 family as the device's products read them: the packed
 * values against the file's, and the logits against the reference, which multiplies in float32.
 *
 * The products of FP4 weights round the activations to 8 bits.  In a random model many scores are
 * nearly alike, so that rounding often changes which expert or which entry is chosen, and with it
 * the logits by far more than its own size.  Both are told apart here: with the reference's choices
 * the logits of every row must be near, and without the rounding they must be equal.
 */
#include <math.h>
#include <string.h>
#include "engine/remove_tree.h"
#include "engine/session_internal.h"
#include "tests/engine/deepseek_fixture.h"

/* Of a row's logits, with the reference's choices.  In a block of 32 a rounded value is off by 1 /
 * 440 of the largest in the root mean square, about a two-hundredth of its own size; four layers of
 * two products after another make eight such errors, and the layers behind enlarge some. */
#define ROUNDED_TOLERANCE 0.08
#define ROUNDED_TOLERANCE_MEDIAN 0.03
/* Products of floats. */
#define FLOAT_TOLERANCE 1e-4

enum { N_VOCAB = 40, N_TOKENS = 150, N_LAYERS = 4, N_CHOSEN_MAX = 5 };

static PdModel *
open_fixture(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = fixture_write(f, 1);
    PdModelOptions options = {.n_threads = 1};
    PdModel *model = pd_model_open(folder, &options, &error);
    pd_remove_tree(folder);
    g_assert_no_error(error);
    return model;
}

/* --- packed values --- */

typedef struct {
    PdDevice *device;
    int n_of_type[PD_N_DTYPES];
    guint64 n_bytes;
} Packed;

/* What the products read is what the file says, exactly. */
static gboolean
check_packed(PdDsMatrix *m, gpointer user_data, GError **error)
{
    Packed *packed = user_data;
    PdDtype type = m->weight.type;
    gsize n_bytes = pd_row_bytes(type, (gsize)m->n_cols);
    g_autofree guint8 *bytes = g_malloc(n_bytes);
    g_autofree float *got = g_new(float, m->n_cols);
    g_autofree float *want = g_new(float, m->n_cols);
    (void)error;
    for (int r = 0; r < m->n_rows; r++) {
        PdMem row = m->weight.mem;
        row.offset_bytes += (gsize)r * n_bytes;
        packed->device->ops->read(packed->device, bytes, row, n_bytes);
        pd_dequantize_row(type, bytes, got, (gsize)m->n_cols);
        pd_ds_matrix_row(m, r, want);
        for (int c = 0; c < m->n_cols; c++)
            g_assert_cmpfloat(got[c], ==, want[c]);
    }
    packed->n_of_type[type]++;
    packed->n_bytes += (gsize)m->n_rows * n_bytes;
    return TRUE;
}

/* A scale that half floats have not, in every FP4 matrix: none can be packed as integers. */
static void
spread_scales(Fixture *f)
{
    for (int i = 0; i < N_LAYERS * 12; i++) {
        g_autofree char *name =
            g_strdup_printf("layers.%d.ffn.experts.%d.w%d.scale", i / 12, i / 3 % 4, i % 3 + 1);
        FixtureTensor *scales = fixture_find(f, name);
        scales->data[i % (int)scales->n_bytes] = 60;
    }
}

static PdModel *
open_quantised(gboolean spread)
{
    g_autoptr(Fixture) quantised = fixture_new();
    g_autoptr(Fixture) plain = fixture_new();
    fixture_quantise(quantised, plain);
    if (spread)
        spread_scales(quantised);
    return open_fixture(quantised);
}

static void
check_values(PdModel *model, int n_bf16, int n_q5)
{
    g_autoptr(GError) error = NULL;
    Packed packed = {.device = pd_model_device(model)};
    g_assert_true(pd_ds_model_pack(model->deepseek, packed.device, "fixture", &error));
    g_assert_true(pd_ds_model_each_matrix(model->deepseek, check_packed, &packed, &error));
    g_assert_cmpint(packed.n_of_type[PD_BF16], ==, n_bf16);
    g_assert_cmpint(packed.n_of_type[PD_Q5_0], ==, n_q5);
}

static void
test_values(void)
{
    g_autofree char *path =
        g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "deepseek", "model.gguf", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) usual = open_quantised(FALSE);
    g_autoptr(PdModel) spread = open_quantised(TRUE);
    g_autoptr(PdModel) gguf = pd_model_open(path, NULL, &error);
    g_assert_no_error(error);
    check_values(usual, N_LAYERS * 7, N_LAYERS * 12);
    check_values(spread, N_LAYERS * (7 + 12), 0);
    check_values(gguf, 3, N_LAYERS * (4 * 3 + 1) - 4); /* MXFP4, but for one layer Q5_1; Q5_0 */
}

/* --- choices --- */

typedef struct {
    int n;
    int ids[N_CHOSEN_MAX];
} Choice;

/* What every row of every layer chose. */
typedef struct {
    Choice of[2][N_LAYERS][N_TOKENS]; /* experts, entries */
    gboolean known;                   /* then it is chosen again */
    int n_changed;
} Choices;

static void
choose(PdDsStage stage, int layer, int position, int *ids, int n, gpointer user_data)
{
    Choices *choices = user_data;
    Choice *choice = &choices->of[stage == PD_DS_PICKS][layer][position];
    g_assert_cmpint(n, <=, N_CHOSEN_MAX);
    if (!choices->known) {
        choice->n = n;
        memcpy(choice->ids, ids, (gsize)n * sizeof *ids);
        return;
    }
    g_assert_cmpint(n, ==, choice->n);
    choices->n_changed += memcmp(choice->ids, ids, (gsize)n * sizeof *ids) != 0;
    memcpy(ids, choice->ids, (gsize)n * sizeof *ids);
}

/* Logits (N_TOKENS, N_VOCAB); choices NULL: its own. */
static float *
run_model(PdModel *model, gboolean reference, Choices *choices)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {
        .n_sequences = 1, .max_tokens = N_TOKENS, .kv_type = PD_F32, .reference = reference};
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    g_autofree float *logits = g_new(float, N_TOKENS *N_VOCAB);
    gint32 tokens[N_TOKENS];
    PdRun run = {.tokens = tokens, .n_tokens = N_TOKENS, .logits = logits, .all_logits = TRUE};
    g_assert_no_error(error);
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (i * i + 7 * i + i / 9) % N_VOCAB;
    if (choices != NULL)
        pd_ds_run_set_choice(session->deepseek, choose, choices);
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return g_steal_pointer(&logits);
}

/* The difference of a row's logits, of their size. */
static double
row_difference(const float *got, const float *want)
{
    double difference = 0, size = 0;
    for (int i = 0; i < N_VOCAB; i++) {
        double d = (double)got[i] - (double)want[i];
        difference += d * d;
        size += (double)want[i] * (double)want[i];
    }
    return sqrt(difference / size);
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct {
    double median, largest;
} Differences;

static Differences
compare(const char *what, const float *got, const float *want)
{
    double all[N_TOKENS];
    for (int t = 0; t < N_TOKENS; t++) {
        all[t] = row_difference(got + t * N_VOCAB, want + t * N_VOCAB);
        g_assert_true(isfinite(all[t]));
    }
    qsort(all, N_TOKENS, sizeof *all, compare_doubles);
    g_test_message("%s: difference of a row's logits: median %.2g, largest %.2g", what,
                   all[N_TOKENS / 2], all[N_TOKENS - 1]);
    return (Differences){all[N_TOKENS / 2], all[N_TOKENS - 1]};
}

static void
test_rounded(void)
{
    g_autoptr(PdModel) model = open_quantised(FALSE);
    g_autofree Choices *choices = g_new0(Choices, 1);
    g_autofree float *want = run_model(model, TRUE, choices);
    choices->known = TRUE;
    g_autofree float *free = run_model(model, FALSE, NULL);
    g_autofree float *got = run_model(model, FALSE, choices);
    compare("own choices", free, want);
    Differences d = compare("the reference's choices", got, want);
    g_test_message("%d choices were others", choices->n_changed);
    g_assert_cmpint(choices->n_changed, >, 0); /* else this shows nothing */
    g_assert_cmpfloat(d.median, <=, ROUNDED_TOLERANCE_MEDIAN);
    g_assert_cmpfloat(d.largest, <=, ROUNDED_TOLERANCE);
}

static void
test_floats(void)
{
    g_autoptr(PdModel) model = open_quantised(TRUE);
    g_autofree float *want = run_model(model, TRUE, NULL);
    g_autofree float *got = run_model(model, FALSE, NULL);
    Differences d = compare("activations in floats", got, want);
    g_assert_cmpfloat(d.largest, <=, FLOAT_TOLERANCE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deepseek/packed/values", test_values);
    g_test_add_func("/deepseek/packed/rounded", test_rounded);
    g_test_add_func("/deepseek/packed/floats", test_floats);
    return g_test_run();
}
