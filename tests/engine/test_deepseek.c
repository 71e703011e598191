/*
 * DeepSeek-V4 against what Hugging Face transformers computes with the same weights:
 * ../shared/data/deepseek-v4/{a,b}, whose README states the tolerances.  Logits at every length of
 * prompt, residual streams after every layer, every stage inside them, the entries that the indexer
 * chooses; and that a prompt may be cut anywhere.  Against tests/golden/deepseek, which a float64
 * forward pass of its own made: logits, and those of the draft block.
 */
#include <math.h>
#include <string.h>
#include "engine/error.h"
#include "engine/safetensors.h"
#include "engine/session_internal.h"

#define LOGITS_TOLERANCE 1e-4
#define STAGE_TOLERANCE 3e-4
#define N_TOKENS_MAX 1100

/* Which checkpoint, and how it is run. */
typedef struct {
    const char *name;
    gboolean reference; /* else on the device */
    gboolean mixed;
} Way;

static char *
data_folder(const char *name)
{
    char *folder =
        g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", "deepseek-v4", name, NULL);
    if (g_file_test(folder, G_FILE_TEST_IS_DIR))
        return folder;
    g_test_skip("../shared/data/deepseek-v4 is not here");
    g_free(folder);
    return NULL;
}

static PdSafetensors *
open_file(const char *folder, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(folder, name, NULL);
    PdSafetensors *file = pd_safetensors_open(path, &error);
    g_assert_no_error(error);
    return file;
}

static const PdSafetensor *find_tensor(const PdSafetensors *file, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

static const PdSafetensor *
find_tensor(const PdSafetensors *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *name = g_strdup_vprintf(format, args);
    va_end(args);
    return pd_safetensors_find(file, name);
}

static gint32
int_at(const PdSafetensor *t, gsize i)
{
    gint32 value;
    memcpy(&value, (const guint8 *)t->data + i * sizeof value, sizeof value);
    return value;
}

static gint32 *
ints_of(const PdSafetensor *t)
{
    return g_memdup2(t->data, t->n_bytes);
}

/* The largest difference from n floats at index `first` of a tensor; NaN counts. */
static double
difference(const float *got, const PdSafetensor *want, gsize first, gsize n)
{
    double max = 0;
    g_assert_cmpuint((first + n) * sizeof(float), <=, want->n_bytes);
    for (gsize i = 0; i < n; i++) {
        float value;
        memcpy(&value, (const guint8 *)want->data + (first + i) * sizeof value, sizeof value);
        double d = fabs((double)got[i] - value);
        if (!(d <= max))
            max = d;
    }
    return max;
}

static PdModel *
open_model(const char *folder)
{
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {.n_threads = 1};
    PdModel *model = pd_model_open(folder, &options, &error);
    g_assert_no_error(error);
    return model;
}

static PdSession *
open_session(PdModel *model, int batch_rows, gboolean reference)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {.n_sequences = 2,
                                .max_tokens = N_TOKENS_MAX,
                                .kv_type = PD_F32,
                                .batch_rows = batch_rows,
                                .reference = reference};
    PdSession *session = pd_session_new(model, &options, &error);
    g_assert_no_error(error);
    return session;
}

static void
run_tokens(PdSession *session, int sequence, const gint32 *tokens, int n, float *logits)
{
    g_autoptr(GError) error = NULL;
    PdRun run = {.sequence = sequence,
                 .tokens = tokens,
                 .n_tokens = n,
                 .logits = logits,
                 .all_logits = TRUE};
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

/* --- golden numbers --- */

static void
test_logits(gconstpointer data)
{
    const Way *way = data;
    g_autofree char *folder = data_folder(way->name);
    if (folder == NULL)
        return;
    g_autofree char *golden_folder =
        g_str_has_suffix(way->name, "/original") ? g_path_get_dirname(folder) : g_strdup(folder);
    g_autoptr(PdSafetensors) golden = open_file(golden_folder, "golden.safetensors");
    g_autofree gint32 *tokens = ints_of(pd_safetensors_find(golden, "tokens"));
    g_autoptr(PdModel) model = open_model(folder);
    g_autoptr(PdSession) session = open_session(model, 0, way->reference);
    gsize n_vocab = (gsize)pd_model_shape(model)->n_vocab;
    g_autofree float *logits = g_new(float, N_TOKENS_MAX *n_vocab);
    int n_lengths = 0;
    for (int n = 1; n <= N_TOKENS_MAX; n++) {
        const PdSafetensor *want = find_tensor(golden, "logits.%d", n);
        const PdSafetensor *positions = find_tensor(golden, "logits.%d.positions", n);
        double max = 0;
        if (want == NULL)
            continue;
        pd_session_truncate(session, 0, 0);
        run_tokens(session, 0, tokens, n, logits);
        for (gsize i = 0; i < positions->dims[0]; i++)
            max = MAX(max, difference(logits + (gsize)int_at(positions, i) * n_vocab, want,
                                      i * n_vocab, n_vocab));
        g_test_message("%s, %d tokens: largest difference of a logit %.2g", way->name, n, max);
        g_assert_cmpfloat(max, <=, LOGITS_TOLERANCE);
        n_lengths++;
    }
    g_assert_cmpint(n_lengths, >=, 10);
}

/* What a trace is compared with. */
typedef struct {
    const PdDsShape *shape;
    const PdSafetensors *golden;
    const PdSafetensor *positions;
    double largest[PD_DS_N_STAGES][64]; /* by layer */
    int n_seen[PD_DS_N_STAGES];
} Trace;

static const char *const stage_names[PD_DS_N_STAGES] = {
    [PD_DS_ATTN_POST] = "attn.post",  [PD_DS_ATTN_COMB] = "attn.comb",
    [PD_DS_ATTN_IN] = "attn.in",      [PD_DS_ATTN_OUT] = "attn.out",
    [PD_DS_FFN_POST] = "ffn.post",    [PD_DS_FFN_COMB] = "ffn.comb",
    [PD_DS_FFN_IN] = "ffn.in",        [PD_DS_FFN_OUT] = "ffn.out",
    [PD_DS_STREAMS] = "streams",      [PD_DS_ENTRY] = "entries",
    [PD_DS_INDEX_KEY] = "index.keys", [PD_DS_INDEX_SCORES] = "index.scores",
};

/* Where a position is among those that the golden file has, or -1. */
static int
row_of(const PdSafetensor *positions, int position)
{
    for (gsize i = 0; i < positions->dims[0]; i++) {
        if (int_at(positions, i) == position)
            return (int)i;
    }
    return -1;
}

/* Keep the largest; one that is not a number stays. */
static void
note(Trace *trace, const PdDsSeen *seen, double difference)
{
    double *largest = &trace->largest[seen->stage][seen->layer];
    *largest = difference <= *largest ? *largest : difference;
}

/* The values seen against those of the golden tensor from `first` on. */
static void
note_difference(Trace *trace, const PdDsSeen *seen, const PdSafetensor *want, gsize first)
{
    note(trace, seen, difference(seen->values, want, first, (gsize)seen->n));
    trace->n_seen[seen->stage]++;
}

/* Experts as a map from id to weight: their order is the reference's own. */
static void
compare_experts(Trace *trace, const PdDsSeen *seen, int row)
{
    const PdSafetensor *ids = find_tensor(trace->golden, "layer%d.ffn.experts", seen->layer);
    const PdSafetensor *weights = find_tensor(trace->golden, "layer%d.ffn.weights", seen->layer);
    for (int i = 0; i < seen->n; i++) {
        int at = 0;
        gsize first = (gsize)row * (gsize)seen->n;
        while (at < seen->n && int_at(ids, first + (gsize)at) != seen->ids[i])
            at++;
        g_assert_cmpint(at, <, seen->n);
        note(trace, seen, difference(&seen->values[i], weights, first + (gsize)at, 1));
    }
    trace->n_seen[seen->stage]++;
}

static void
compare_stage(const PdDsSeen *seen, gpointer user_data)
{
    Trace *trace = user_data;
    gboolean by_entry = seen->stage == PD_DS_ENTRY || seen->stage == PD_DS_INDEX_KEY;
    int row = by_entry ? seen->position : row_of(trace->positions, seen->position);
    if (row < 0 || seen->stage == PD_DS_PICKS)
        return;
    if (seen->stage == PD_DS_FFN_EXPERTS) {
        compare_experts(trace, seen, row);
        return;
    }
    const PdSafetensor *want =
        find_tensor(trace->golden, "layer%d.%s", seen->layer, stage_names[seen->stage]);
    g_assert_nonnull(want);
    gsize width = want->n_bytes / sizeof(float) / (gsize)want->dims[0];
    g_assert_cmpuint((gsize)seen->n, <=, width);
    if (seen->stage != PD_DS_INDEX_SCORES) /* the golden has later entries' scores as well */
        g_assert_cmpuint((gsize)seen->n, ==, width);
    note_difference(trace, seen, want, (gsize)row * width);
}

static void
test_stages(gconstpointer data)
{
    const Way *way = data;
    g_autofree char *folder = data_folder(way->name);
    if (folder == NULL)
        return;
    g_autoptr(PdSafetensors) golden = open_file(folder, "golden.safetensors");
    g_autoptr(PdSafetensors) stages = open_file(folder, "stages.300.safetensors");
    g_autofree gint32 *tokens = ints_of(pd_safetensors_find(golden, "tokens"));
    g_autoptr(PdModel) model = open_model(folder);
    g_autoptr(PdSession) session = open_session(model, 0, way->reference);
    Trace trace = {.shape = &model->deepseek->shape,
                   .golden = stages,
                   .positions = pd_safetensors_find(stages, "positions")};
    pd_ds_run_set_trace(session->deepseek, compare_stage, &trace);
    run_tokens(session, 0, tokens, 300, NULL);
    for (int stage = 0; stage < PD_DS_N_STAGES; stage++) {
        if (stage == PD_DS_PICKS)
            continue;
        g_autoptr(GString) line = g_string_new(NULL);
        g_assert_cmpint(trace.n_seen[stage], >, 0);
        for (int l = 0; l < trace.shape->n_layers; l++) {
            g_string_append_printf(line, " %.2g", trace.largest[stage][l]);
            g_assert_cmpfloat(trace.largest[stage][l], <=, STAGE_TOLERANCE);
        }
        g_test_message("%s %s, by layer:%s", way->name,
                       stage_names[stage] != NULL ? stage_names[stage] : "ffn.weights", line->str);
    }
}

/* Entries chosen for every position, and the streams after every layer, over 700 tokens. */
static void
compare_choice(const PdDsSeen *seen, gpointer user_data)
{
    Trace *trace = user_data;
    if (seen->stage == PD_DS_PICKS) {
        const PdSafetensor *want =
            find_tensor(trace->golden, "trace.700.layer%d.picks", seen->layer);
        gsize k = (gsize)want->dims[1], first = (gsize)seen->position * k;
        g_autoptr(GHashTable) set = g_hash_table_new(NULL, NULL);
        for (gsize i = 0; i < k; i++) {
            if (int_at(want, first + i) >= 0)
                g_hash_table_add(set, GINT_TO_POINTER(int_at(want, first + i) + 1));
        }
        g_assert_cmpuint(g_hash_table_size(set), ==, (guint)seen->n);
        for (int i = 0; i < seen->n; i++)
            g_assert_true(g_hash_table_contains(set, GINT_TO_POINTER(seen->ids[i] + 1)));
        trace->n_seen[seen->stage]++;
    } else if (seen->stage == PD_DS_STREAMS) {
        const PdSafetensor *want =
            find_tensor(trace->golden, "trace.700.layer%d.streams", seen->layer);
        int row = row_of(trace->positions, seen->position);
        if (row < 0)
            return;
        note_difference(trace, seen, want, (gsize)row * (gsize)seen->n);
    }
}

static void
test_choices(gconstpointer data)
{
    const Way *way = data;
    g_autofree char *folder = data_folder(way->name);
    if (folder == NULL)
        return;
    g_autoptr(PdSafetensors) golden = open_file(folder, "golden.safetensors");
    g_autofree gint32 *tokens = ints_of(pd_safetensors_find(golden, "tokens"));
    g_autoptr(PdModel) model = open_model(folder);
    g_autoptr(PdSession) session = open_session(model, 0, way->reference);
    g_autoptr(GString) line = g_string_new(NULL);
    Trace trace = {.shape = &model->deepseek->shape,
                   .golden = golden,
                   .positions = pd_safetensors_find(golden, "trace.positions")};
    pd_ds_run_set_trace(session->deepseek, compare_choice, &trace);
    run_tokens(session, 0, tokens, 700, NULL);
    g_assert_cmpint(trace.n_seen[PD_DS_PICKS], >=, 2 * 700);
    for (int l = 0; l < trace.shape->n_layers; l++) {
        g_string_append_printf(line, " %.2g", trace.largest[PD_DS_STREAMS][l]);
        g_assert_cmpfloat(trace.largest[PD_DS_STREAMS][l], <=, STAGE_TOLERANCE);
    }
    g_assert_cmpint(trace.n_seen[PD_DS_STREAMS], ==,
                    trace.shape->n_layers * (int)trace.positions->dims[0]);
    g_test_message("%s, 700 tokens, %d choices equal; streams by layer:%s", way->name,
                   trace.n_seen[PD_DS_PICKS], line->str);
}

/* The checkpoint of tests/golden/deepseek: the model's logits and the draft block's, whatever the
 * chunks; way->mixed: of a state in mixed precision, whose tokens are such that no value lies so
 * near the middle of two steps that float32 would round it to the other side. */
static void
test_own_golden(gconstpointer data)
{
    const Way *way = data;
    static const int chunks[] = {1, 5, 90};
    g_autofree char *folder = g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "deepseek", NULL);
    g_autoptr(PdSafetensors) golden = open_file(folder, "golden.safetensors");
    g_autofree gint32 *tokens = ints_of(pd_safetensors_find(golden, "tokens"));
    const PdSafetensor *want = pd_safetensors_find(golden, way->mixed ? "logits.mixed" : "logits");
    const PdSafetensor *want_draft =
        pd_safetensors_find(golden, way->mixed ? "draft.mixed" : "draft");
    g_autoptr(GError) error = NULL;
    g_autoptr(PdModel) model = open_model(folder);
    int n_tokens = (int)want->dims[0];
    gsize n_vocab = (gsize)want->dims[1];
    g_autofree float *logits = g_new(float, want->n_bytes / sizeof(float));
    g_assert_true(model->deepseek->has_draft);
    for (gsize i = 0; i < G_N_ELEMENTS(chunks); i++) {
        PdSessionOptions options = {.n_sequences = 1,
                                    .max_tokens = n_tokens,
                                    .kv_type = way->mixed ? PD_Q8_0 : PD_F32,
                                    .batch_rows = chunks[i],
                                    .reference = way->reference};
        g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
        double max = 0, max_draft = 0;
        g_assert_no_error(error);
        for (int at = 0; at < n_tokens; at += chunks[i]) {
            int n = MIN(chunks[i], n_tokens - at), n_draft = MIN(n, n_tokens - 1 - at);
            run_tokens(session, 0, tokens + at, n, logits);
            max = MAX(max, difference(logits, want, (gsize)at * n_vocab, (gsize)n * n_vocab));
            pd_ds_run_draft(session->deepseek, 0, 0, tokens + at + 1, n_draft);
            for (int t = 0; t < n_draft; t++)
                pd_ds_run_draft_logits(session->deepseek, t, logits + (gsize)t * n_vocab);
            max_draft = MAX(max_draft, difference(logits, want_draft, (gsize)at * n_vocab,
                                                  (gsize)n_draft * n_vocab));
        }
        g_assert_cmpint(pd_ds_run_n_drafted(session->deepseek, 0), ==, n_tokens - 1);
        g_test_message("in chunks of %d: logits %.2g, draft %.2g", chunks[i], max, max_draft);
        g_assert_cmpfloat(max, <=, LOGITS_TOLERANCE);
        g_assert_cmpfloat(max_draft, <=, LOGITS_TOLERANCE);
    }
}

/* --- one prompt, cut in many ways --- */

/* Logits of all n tokens, run `chunk` at a time in micro-batches of at most batch_rows. */
static float *
run_in_chunks(PdModel *model, const gint32 *tokens, int n, int chunk, int batch_rows,
              gboolean reference)
{
    g_autoptr(PdSession) session = open_session(model, batch_rows, reference);
    gsize n_vocab = (gsize)pd_model_shape(model)->n_vocab;
    float *logits = g_new(float, (gsize)n *n_vocab);
    for (int at = 0; at < n; at += chunk)
        run_tokens(session, 0, tokens + at, MIN(chunk, n - at), logits + (gsize)at * n_vocab);
    return logits;
}

static void
test_chunks(gconstpointer data)
{
    const Way *way = data;
    static const int chunks[] = {1, 3, 64, 128, 129, 1000};
    enum { N = N_TOKENS_MAX };
    g_autofree char *folder = data_folder(way->name);
    if (folder == NULL)
        return;
    g_autoptr(PdSafetensors) golden = open_file(folder, "golden.safetensors");
    const PdSafetensor *given = pd_safetensors_find(golden, "tokens");
    gint32 tokens[N];
    for (gsize i = 0; i < N; i++)
        tokens[i] = int_at(given, i % (gsize)given->dims[0]);
    g_autoptr(PdModel) model = open_model(folder);
    gsize n_bytes = (gsize)N * (gsize)pd_model_shape(model)->n_vocab * sizeof(float);
    g_autofree float *want = run_in_chunks(model, tokens, N, N, N, way->reference);
    for (gsize i = 0; i < G_N_ELEMENTS(chunks); i++) {
        g_autofree float *got = run_in_chunks(model, tokens, N, chunks[i], 1000, way->reference);
        g_test_message("%s in chunks of %d", way->name, chunks[i]);
        g_assert_cmpmem(got, n_bytes, want, n_bytes);
    }
    g_autofree float *batched = run_in_chunks(model, tokens, N, N, 50, way->reference);
    g_assert_cmpmem(batched, n_bytes, want, n_bytes);
}

/* A sequence that was cut, and one that shares another's beginning, go on as if run in one go. */
static void
test_truncate_and_share(void)
{
    static const int cuts[] = {299, 256, 129, 128, 127, 5, 1, 0};
    enum { N = 300 };
    g_autofree char *folder = data_folder("a");
    if (folder == NULL)
        return;
    g_autoptr(PdSafetensors) golden = open_file(folder, "golden.safetensors");
    g_autofree gint32 *tokens = ints_of(pd_safetensors_find(golden, "tokens"));
    g_autoptr(PdModel) model = open_model(folder);
    g_autoptr(PdSession) session = open_session(model, 100, FALSE);
    g_autoptr(GError) error = NULL;
    gsize n_vocab = (gsize)pd_model_shape(model)->n_vocab, n_bytes = n_vocab * sizeof(float);
    g_autofree float *want = run_in_chunks(model, tokens, N, N, N, FALSE);
    g_autofree float *got = g_new(float, N *n_vocab);
    run_tokens(session, 0, tokens, N, got);
    g_assert_cmpmem(got, N * n_bytes, want, N * n_bytes);
    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        int at = cuts[i];
        /* Something else in between. */
        run_tokens(session, 1, tokens + 3, 17, NULL);
        pd_session_truncate(session, 0, at);
        run_tokens(session, 0, tokens + at, N - at, got + (gsize)at * n_vocab);
        g_assert_cmpmem(got, N * n_bytes, want, N * n_bytes);
        g_assert_true(pd_session_share_rows(session, 0, 1, at, &error));
        g_assert_cmpint(pd_session_n_tokens(session, 1), ==, at);
        run_tokens(session, 1, tokens + at, N - at, got + (gsize)at * n_vocab);
        g_assert_cmpmem(got, N * n_bytes, want, N * n_bytes);
    }
}

static void
add_tests(const Way *way)
{
    static const struct {
        const char *what;
        GTestDataFunc func;
    } tests[] = {{"logits", test_logits},
                 {"stages", test_stages},
                 {"choices", test_choices},
                 {"chunks", test_chunks}};
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/deepseek/%s/%s/%s", tests[i].what, way->name,
                                                way->reference ? "reference" : "device");
        g_test_add_data_func(path, way, tests[i].func);
    }
}

int
main(int argc, char **argv)
{
    static const Way ways[] = {
        {"a", TRUE, FALSE}, {"a", FALSE, FALSE}, {"b", TRUE, FALSE}, {"b", FALSE, FALSE}};
    static const Way original = {"a/original", FALSE, FALSE};
    static const Way own[] = {{"own-golden/reference", TRUE, FALSE},
                              {"own-golden/reference/mixed", TRUE, TRUE},
                              {"own-golden/device", FALSE, FALSE},
                              {"own-golden/device/mixed", FALSE, TRUE}};
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++)
        add_tests(&ways[i]);
    g_test_add_data_func("/deepseek/logits/a/original", &original, test_logits);
    for (gsize i = 0; i < G_N_ELEMENTS(own); i++) {
        g_autofree char *path = g_strconcat("/deepseek/", own[i].name, NULL);
        g_test_add_data_func(path, &own[i], test_own_golden);
    }
    g_test_add_func("/deepseek/truncate-and-share", test_truncate_and_share);
    return g_test_run();
}
