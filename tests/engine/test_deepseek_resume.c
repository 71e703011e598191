/*
 * A DeepSeek model's state in a KV store and back: at every boundary of 1..1100 tokens the restored
 * sequence goes on bit for bit as the one that never stopped, in F32 and in mixed precision; what
 * is written once is not written again; what does not fit is refused by name.  The model, its
 * session and the store are opened anew between saving and loading.
 */
#include <string.h>
#include <unistd.h>
#include "engine/error.h"
#include "engine/kv_store_private.h"
#include "engine/remove_tree.h"
#include "engine/resume.h"
#include "engine/session_internal.h"
#include "tests/engine/deepseek_small.h"

/* AHEAD: an entry of every layer is pooled from what was restored. */
enum { N = 1100, AHEAD = 18, UNIT = 128, VOCAB = 48, ANCHOR_UNITS = 2 };

static int
no_sync(int fd)
{
    return 0;
}

static const PdKvIo io = {pwrite, no_sync};

typedef struct {
    char *folder, *root;
    PdDtype kv_type;
    gint32 tokens[N + AHEAD];
    float *logits; /* (N + AHEAD, VOCAB) */
    PdModel *model;
    PdSession *session;
    sqlite3 *db;
    PdKvStore *store;
} Fixture;

static void
open_all(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *db = g_build_filename(f->root, "corpus.db", NULL);
    g_autofree char *kv = g_build_filename(f->root, "kv", NULL);
    PdModelOptions model_options = {.n_threads = 1};
    PdSessionOptions options = {.n_sequences = 1,
                                .max_tokens = N + AHEAD,
                                .kv_type = f->kv_type,
                                .anchor_units = ANCHOR_UNITS};
    f->model = pd_model_open(f->folder, &model_options, &error);
    g_assert_no_error(error);
    f->session = pd_session_new(f->model, &options, &error);
    g_assert_no_error(error);
    g_assert_cmpint(sqlite3_open(db, &f->db), ==, SQLITE_OK);
    sqlite3_exec(f->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    f->store = pd_kv_store_open(f->db, kv, FALSE, &error);
    g_assert_no_error(error);
    pd_kv_store_set_io(f->store, &io);
}

static void
close_all(Fixture *f)
{
    pd_kv_store_free(f->store);
    sqlite3_close(f->db);
    pd_session_free(f->session);
    pd_model_unref(f->model);
}

static void
run_tokens(Fixture *f, int first, int n, float *logits)
{
    g_autoptr(GError) error = NULL;
    PdRun run = {0, f->tokens + first, n, logits, TRUE};
    pd_session_run(f->session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static PdResumeReport
save(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    PdResumeReport report;
    pd_resume_save(f->session, 0, f->store, NULL, &report, NULL, &error);
    g_assert_no_error(error);
    return report;
}

static void
set_up(Fixture *f, gconstpointer mixed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(12);
    f->folder = small_checkpoint();
    f->root = g_dir_make_tmp("pandect-XXXXXX", NULL);
    f->kv_type = mixed != NULL ? PD_Q8_0 : PD_F32;
    f->logits = g_new(float, (N + AHEAD) * VOCAB);
    for (int i = 0; i < N + AHEAD; i++)
        f->tokens[i] = g_rand_int_range(rand, 0, VOCAB);
    open_all(f);
    run_tokens(f, 0, N + AHEAD, f->logits);
    pd_session_truncate(f->session, 0, 0);
}

static void
tear_down(Fixture *f, gconstpointer mixed)
{
    close_all(f);
    g_free(f->logits);
    pd_remove_tree(f->folder);
    pd_remove_tree(f->root);
    g_free(f->folder);
    g_free(f->root);
}

static void
go_on(Fixture *f, int first, int n)
{
    g_autofree float *got = g_new(float, n *VOCAB);
    run_tokens(f, first, n, got);
    g_assert_cmpmem(got, (gsize)(n * VOCAB) * sizeof *got, f->logits + (gsize)(first * VOCAB),
                    (gsize)(n * VOCAB) * sizeof *got);
}

static void
test_every_boundary(Fixture *f, gconstpointer mixed)
{
    guint64 n_units = 0, n_snapshots = 0;
    for (int n = 1; n <= N; n++) {
        run_tokens(f, n - 1, 1, NULL);
        PdResumeReport report = save(f);
        n_units += report.n_units;
        n_snapshots += report.n_snapshots;
    }
    g_assert_cmpuint(n_units, ==, N / UNIT); /* each once */
    g_assert_cmpuint(n_snapshots, ==, N);
    close_all(f);
    open_all(f);
    for (int n = 1; n <= N; n++) {
        g_autoptr(GError) error = NULL;
        pd_resume_load(f->session, 0, f->tokens, n, f->store, NULL, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, n);
        go_on(f, n, AHEAD);
        pd_session_truncate(f->session, 0, 0);
    }
}

/* Saved once at the end: a beginning of any length comes from the last anchor before. */
static void
test_beginnings(Fixture *f, gconstpointer mixed)
{
    static const int lengths[] = {1, 255, 256, 257, 640, 1023, 1024, 1025, 1099, 1100};
    run_tokens(f, 0, N, NULL);
    PdResumeReport report = save(f);
    g_assert_cmpuint(report.n_units, ==, N / UNIT);
    g_assert_cmpuint(report.n_snapshots, ==, N / (UNIT * ANCHOR_UNITS) + 1);
    report = save(f);
    g_assert_cmpuint(report.n_units + report.n_snapshots, ==, 0);
    close_all(f);
    open_all(f);
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GError) error = NULL;
        int n = lengths[i], restored = -1;
        int want = n == N ? N : n / (UNIT * ANCHOR_UNITS) * UNIT * ANCHOR_UNITS;
        pd_resume_load(f->session, 0, f->tokens, n, f->store, &restored, NULL, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpint(restored, ==, want);
        go_on(f, restored, n - restored + AHEAD);
        pd_session_truncate(f->session, 0, 0);
        if (want == n)
            continue;
        g_assert_false(
            pd_resume_load(f->session, 0, f->tokens, n, f->store, NULL, NULL, NULL, &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_NOT_FOUND);
        g_autofree char *where =
            g_strdup_printf("at token %d of this text; the last one before is at %d", n, want);
        g_assert_nonnull(strstr(error->message, where));
        g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, 0);
    }
}

/* Flips a byte in the middle of the first pack. */
static void
flip_byte(Fixture *f)
{
    g_autofree char *path = g_build_filename(f->root, "kv", "000001.pack", NULL);
    g_autofree char *data = NULL;
    gsize n;
    g_assert_true(g_file_get_contents(path, &data, &n, NULL));
    data[1400] ^= 4; /* of the first record, a unit */
    g_assert_true(g_file_set_contents(path, data, (gssize)n, NULL));
}

static void
test_refused(Fixture *f, gconstpointer mixed)
{
    g_autoptr(GError) error = NULL;
    guint8 damaged[PD_KV_KEY_BYTES];
    int restored = -1;
    run_tokens(f, 0, 300, NULL);
    save(f);
    /* A sequence that holds something. */
    g_assert_false(
        pd_resume_load(f->session, 0, f->tokens, 300, f->store, NULL, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
    g_clear_error(&error);
    g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, 300);
    /* Other tokens, other weights: not found. */
    pd_session_truncate(f->session, 0, 0);
    g_assert_true(
        pd_resume_load(f->session, 0, f->tokens + 1, 300, f->store, &restored, NULL, NULL, &error));
    g_assert_cmpint(restored, ==, 0);
    char *id = f->model->id;
    f->model->id = (char *)"other weights";
    g_assert_true(
        pd_resume_load(f->session, 0, f->tokens, 300, f->store, &restored, NULL, NULL, &error));
    g_assert_cmpint(restored, ==, 0);
    f->model->id = id;
    /* A flipped byte: refused, not changed, and made again once it is dropped. */
    close_all(f);
    flip_byte(f);
    open_all(f);
    g_assert_false(
        pd_resume_load(f->session, 0, f->tokens, 300, f->store, &restored, damaged, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "000001.pack"));
    g_clear_error(&error);
    g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, 0);
    g_assert_true(pd_kv_store_has(f->store, damaged));
    g_assert_true(pd_kv_store_drop(f->store, damaged, &error));
    g_assert_true(
        pd_resume_load(f->session, 0, f->tokens, 300, f->store, &restored, NULL, NULL, &error));
    g_assert_cmpint(restored, ==, 0);
    go_on(f, 0, 300);
    g_assert_cmpuint(save(f).n_units, ==, 1);
    pd_session_truncate(f->session, 0, 0);
    g_assert_true(
        pd_resume_load(f->session, 0, f->tokens, 300, f->store, &restored, NULL, NULL, &error));
    g_assert_cmpint(restored, ==, 300);
    go_on(f, 300, AHEAD);
}

/* A record that is not what its key says is refused by what is wrong with it, and stays. */
static void
test_forged(Fixture *f, gconstpointer mixed)
{
    static const struct {
        gsize offset; /* of a byte that is changed; the record's end: it is left out */
        const char *word;
    } faults[] = {
        {G_STRUCT_OFFSET(PdResumeHead, magic), "no record of a DeepSeek model"},
        {G_STRUCT_OFFSET(PdResumeHead, version), "no record of a DeepSeek model"},
        {G_STRUCT_OFFSET(PdResumeHead, kind), "no record of a DeepSeek model"},
        {G_STRUCT_OFFSET(PdResumeHead, zero), "no record of a DeepSeek model"},
        {G_STRUCT_OFFSET(PdResumeHead, model) + 31, "other weights"},
        {G_STRUCT_OFFSET(PdResumeHead, mixed), "another precision"},
        {G_STRUCT_OFFSET(PdResumeHead, n_tokens), "another position"},
        {G_STRUCT_OFFSET(PdResumeHead, tokens), "other tokens"},
        {G_STRUCT_OFFSET(PdResumeHead, drafted), "draft block"},
        {G_MAXSIZE, "another size"},
    };
    g_autoptr(GError) error = NULL;
    run_tokens(f, 0, 300, NULL);
    save(f);
    pd_session_truncate(f->session, 0, 0);
    g_autoptr(GByteArray) keys = pd_resume_keys(f->model, f->kv_type, f->tokens, 300, NULL, &error);
    g_assert_no_error(error);
    const guint8 *key = keys->data + keys->len - PD_KV_KEY_BYTES; /* of the snapshot at the end */
    g_autoptr(GBytes) whole = pd_kv_store_get(f->store, key, &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        gsize n;
        g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(whole, &n), g_bytes_get_size(whole));
        if (faults[i].offset < n)
            bytes[faults[i].offset] ^= 2;
        else
            n--;
        PdKvRecord record = {.key = key, .kind = "snapshot", .data = bytes, .n_bytes = n};
        g_assert_true(pd_kv_store_drop(f->store, key, &error));
        g_assert_true(pd_kv_store_put(f->store, &record, &error));
        guint8 damaged[PD_KV_KEY_BYTES];
        int restored;
        g_assert_false(pd_resume_load(f->session, 0, f->tokens, 300, f->store, &restored, damaged,
                                      NULL, &error));
        g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT);
        g_assert_nonnull(strstr(error->message, faults[i].word));
        g_assert_nonnull(strstr(error->message, f->model->name));
        g_clear_error(&error);
        g_assert_cmpmem(damaged, sizeof damaged, key, PD_KV_KEY_BYTES);
        g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, 0);
        g_autoptr(GBytes) after = pd_kv_store_get(f->store, key, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(g_bytes_get_data(after, NULL), g_bytes_get_size(after), bytes, n);
    }
    g_assert_cmpint(f->model->deepseek->has_draft, ==, 1); /* or "draft block" would be another */
}

/* A pack that lost its end is refused by its name and not written to. */
static void
test_cut_pack(Fixture *f, gconstpointer mixed)
{
    g_autofree char *path = g_build_filename(f->root, "kv", "000001.pack", NULL);
    g_autofree char *before = NULL, *after = NULL;
    g_autoptr(GError) error = NULL;
    gsize n_before, n_after;
    int restored;
    run_tokens(f, 0, 300, NULL);
    save(f);
    close_all(f);
    g_assert_true(g_file_get_contents(path, &before, &n_before, NULL));
    n_before /= 2;
    g_assert_cmpint(truncate(path, (off_t)n_before), ==, 0);
    open_all(f);
    g_assert_false(
        pd_resume_load(f->session, 0, f->tokens, 300, f->store, &restored, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "000001.pack"));
    g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, 0);
    go_on(f, 0, 300);
    save(f);
    g_assert_true(g_file_get_contents(path, &after, &n_after, NULL));
    g_assert_cmpmem(before, n_before, after, n_after);
}

/* More tokens than the model has positions, or than the sequence has room for. */
static void
test_too_long(Fixture *f, gconstpointer mixed)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {.n_sequences = 1, .max_tokens = 4097, .kv_type = f->kv_type};
    PdRun run = {.tokens = f->tokens, .n_tokens = N + AHEAD + 1};
    g_assert_null(pd_session_new(f->model, &options, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
    g_assert_nonnull(strstr(error->message, "max_position_embeddings"));
    g_clear_error(&error);
    g_assert_false(pd_session_run(f->session, &run, 1, NULL, NULL, NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
    g_assert_nonnull(strstr(error->message, "do not fit"));
    g_clear_error(&error);
    g_assert_false(pd_resume_load(f->session, 0, f->tokens, N + AHEAD + 1, f->store, NULL, NULL,
                                  NULL, &error));
    g_assert_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_RANGE);
    g_assert_cmpint(pd_session_n_tokens(f->session, 0), ==, 0);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *, gconstpointer);
    } tests[] = {{"every-boundary", test_every_boundary},
                 {"beginnings", test_beginnings},
                 {"refused", test_refused},
                 {"forged", test_forged},
                 {"cut-pack", test_cut_pack},
                 {"too-long", test_too_long}};
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < 2 * G_N_ELEMENTS(tests); i++) {
        const char *mixed = i % 2 == 0 ? NULL : "mixed";
        g_autofree char *path = g_strdup_printf("/deepseek/resume/%s%s", tests[i / 2].name,
                                                mixed != NULL ? "/mixed" : "");
        g_test_add(path, Fixture, mixed, set_up, tests[i / 2].test, tear_down);
    }
    return g_test_run();
}
