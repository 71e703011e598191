/*
 * Going back in a sequence of a DeepSeek model: from the last snapshot before, no earlier, or by
 * the last row alone, and on as if nothing had been; in F32 and in mixed precision.  The checkpoint
 * is that of tests/golden/deepseek with room for more positions; its units are of 128 tokens, its
 * layers' of 4 and 16, its window of 6.
 */
#include <string.h>
#include "engine/remove_tree.h"
#include "engine/session_internal.h"
#include "tests/engine/deepseek_small.h"

enum { N = 600, UNIT = 128, VOCAB = 48 };

typedef struct {
    char *folder;
    PdModel *model;
    PdDtype kv_type;
    gint32 tokens[N + 1];
    float *logits; /* (N, VOCAB): of one run without a stop */
} Fixture;

static PdSession *
open_session(Fixture *f, int batch_rows)
{
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {.n_sequences = 2,
                                .max_tokens = N,
                                .kv_type = f->kv_type,
                                .batch_rows = batch_rows,
                                .anchor_units = 1};
    PdSession *session = pd_session_new(f->model, &options, &error);
    g_assert_no_error(error);
    return session;
}

static void
run_tokens(PdSession *session, int sequence, const gint32 *tokens, int n, float *logits)
{
    g_autoptr(GError) error = NULL;
    PdRun run = {sequence, tokens, n, logits, TRUE};
    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static void
set_up(Fixture *f, gconstpointer mixed)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    PdModelOptions options = {.n_threads = 1};
    f->folder = small_checkpoint();
    f->model = pd_model_open(f->folder, &options, &error);
    g_assert_no_error(error);
    f->kv_type = mixed != NULL ? PD_Q8_0 : PD_F32;
    for (int i = 0; i <= N; i++)
        f->tokens[i] = g_rand_int_range(rand, 0, VOCAB);
    g_autoptr(PdSession) session = open_session(f, N);
    f->logits = g_new(float, N *VOCAB);
    run_tokens(session, 0, f->tokens, N, f->logits);
}

static void
tear_down(Fixture *f, gconstpointer mixed)
{
    g_free(f->logits);
    pd_model_unref(f->model);
    pd_remove_tree(f->folder);
    g_free(f->folder);
}

/* Counts the rows that go through the first layer. */
static void
count_rows(const PdDsSeen *seen, gpointer user_data)
{
    int *n_rows = user_data;
    *n_rows += seen->stage == PD_DS_STREAMS && seen->layer == 0;
}

/* Runs n more tokens behind `first` and compares; returns how many rows that took. */
static int
go_on(Fixture *f, PdSession *session, int sequence, int first, int n)
{
    g_autofree float *got = g_new(float, n *VOCAB);
    int n_rows = 0;
    pd_ds_run_set_trace(session->deepseek, count_rows, &n_rows);
    run_tokens(session, sequence, f->tokens + first, n, got);
    pd_ds_run_set_trace(session->deepseek, NULL, NULL);
    g_assert_cmpmem(got, (gsize)(n * VOCAB) * sizeof *got, f->logits + (gsize)(first * VOCAB),
                    (gsize)(n * VOCAB) * sizeof *got);
    return n_rows;
}

static void
test_truncate(Fixture *f, gconstpointer mixed)
{
    static const int cuts[] = {599, 513, 512, 511, 400, 385, 257, 256,
                               255, 130, 128, 127, 60,  1,   0};
    g_autoptr(PdSession) session = open_session(f, 100);
    g_assert_cmpint(go_on(f, session, 0, 0, N), ==, N);
    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        int at = cuts[i];
        /* Other tokens in between, which reach the next snapshots too. */
        pd_session_truncate(session, 0, at);
        run_tokens(session, 0, f->tokens + 3, MIN(140, N - at), NULL);
        pd_session_truncate(session, 0, at);
        g_assert_cmpint(go_on(f, session, 0, at, N - at), ==,
                        at == N - 1 ? 1 : N - at / UNIT * UNIT);
    }
    /* Step by step down, without going on in between. */
    for (int at = N; at > 300; at -= 7)
        pd_session_truncate(session, 0, at);
    g_assert_cmpint(go_on(f, session, 0, 306, 100), ==, 306 - 256 + 100);
}

/* What was marked is there at once, until the sequence is cut before it. */
static void
test_mark(Fixture *f, gconstpointer mixed)
{
    g_autoptr(PdSession) session = open_session(f, 100);
    go_on(f, session, 0, 0, 211);
    pd_ds_run_mark(session->deepseek, 0);
    go_on(f, session, 0, 211, 300);
    pd_session_truncate(session, 0, 215);
    g_assert_cmpint(go_on(f, session, 0, 215, 50), ==, 4 + 50);
    pd_session_truncate(session, 0, 211);
    g_assert_cmpint(go_on(f, session, 0, 211, 300), ==, 300);
    pd_session_truncate(session, 0, 210);
    g_assert_cmpint(go_on(f, session, 0, 210, 300), ==, 210 - 128 + 300);
    pd_session_truncate(session, 0, 211);
    g_assert_cmpint(go_on(f, session, 0, 211, 10), ==, 211 - 128 + 10);
}

static void
test_share(Fixture *f, gconstpointer mixed)
{
    static const int cuts[] = {600, 599, 512, 300, 128, 127, 5, 0};
    g_autoptr(PdSession) session = open_session(f, 100);
    g_autoptr(GError) error = NULL;
    go_on(f, session, 0, 0, N);
    run_tokens(session, 1, f->tokens + 1, 333, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        int at = cuts[i], n = MIN(at == N ? 0 : 200, N - at);
        g_assert_true(pd_session_share_rows(session, 0, 1, at, &error));
        if (n > 0)
            g_assert_cmpint(go_on(f, session, 1, at, n), ==, at % UNIT + n);
        /* Snapshots came along, and both go their own way. */
        pd_session_truncate(session, 1, at / 2);
        g_assert_cmpint(go_on(f, session, 1, at / 2, 20), ==, at / 2 % UNIT + 20);
    }
    pd_session_truncate(session, 0, 590);
    g_assert_cmpint(go_on(f, session, 0, 590, 10), ==, 590 - 512 + 10);
}

/* Logits of the draft block for rows [at, at + n) of tokens that were just run. */
static void
draft(Fixture *f, PdSession *session, int at, int n, float *logits)
{
    pd_ds_run_draft(session->deepseek, 0, 0, f->tokens + at + 1, n);
    for (int t = 0; t < n; t++)
        pd_ds_run_draft_logits(session->deepseek, t, logits + (gsize)(t * VOCAB));
}

/* The draft block comes along where it had kept up, and starts anew where it had not. */
static void
test_draft(Fixture *f, gconstpointer mixed)
{
    g_autoptr(PdSession) session = open_session(f, 100);
    float want[100 * VOCAB], got[100 * VOCAB];
    for (int at = 0; at < 500; at += 100) {
        go_on(f, session, 0, at, 100);
        if (at < 300)
            draft(f, session, at, 100, want);
    }
    g_assert_cmpint(pd_ds_run_n_drafted(session->deepseek, 0), ==, 300);
    pd_session_truncate(session, 0, 490); /* 384: the draft block was not there */
    g_assert_cmpint(pd_ds_run_n_tokens(session->deepseek, 0), ==, 384);
    g_assert_cmpint(pd_ds_run_n_drafted(session->deepseek, 0), ==, 0);
    pd_session_truncate(session, 0, 256);
    g_assert_cmpint(pd_ds_run_n_drafted(session->deepseek, 0), ==, 256);
    go_on(f, session, 0, 256, 44);
    draft(f, session, 256, 44, got);
    g_assert_cmpmem(got, 44 * VOCAB * sizeof *got, want + 56 * VOCAB, 44 * VOCAB * sizeof *got);
}

/* A block that begins anew sees nothing of what it saw before. */
static void
test_draft_anew(Fixture *f, gconstpointer mixed)
{
    enum { ROW = 50, N_ROWS = 20 };
    g_autoptr(PdSession) session = open_session(f, 100);
    float logits[2][N_ROWS * VOCAB];
    for (int i = 0; i < 2; i++) {
        run_tokens(session, i, f->tokens, 100, NULL);
        if (i == 1)
            pd_ds_run_draft(session->deepseek, i, 0, f->tokens + 1, 100);
        run_tokens(session, i, f->tokens + 100, 100, NULL);
        pd_ds_run_draft(session->deepseek, i, ROW, f->tokens + 100 + ROW + 1, N_ROWS);
        for (int t = 0; t < N_ROWS; t++)
            pd_ds_run_draft_logits(session->deepseek, t, logits[i] + (gsize)(t * VOCAB));
        g_assert_cmpint(pd_ds_run_n_drafted(session->deepseek, i), ==, 100 + ROW + N_ROWS);
    }
    g_assert_cmpmem(logits[0], sizeof logits[0], logits[1], sizeof logits[1]);
}

/* --- guesses --- */

/* Everything that is kept of two sequences at the same token, byte for byte. */
static void
assert_same_state(PdSession *session, int n_tokens, guint8 *bytes[2])
{
    PdDsRun *run = session->deepseek;
    const guint8 *snapshot[2];
    gboolean drafted[2];
    for (int at = UNIT; at <= N; at += UNIT) {
        for (int i = 0; i < 2; i++)
            snapshot[i] = pd_ds_run_snapshot(run, i, at, &drafted[i]);
        g_assert_true((snapshot[0] != NULL) == (at <= n_tokens));
        g_assert_true((snapshot[1] != NULL) == (at <= n_tokens));
        if (at <= n_tokens)
            g_assert_cmpmem(snapshot[0], pd_ds_run_snapshot_bytes(run, at, FALSE), snapshot[1],
                            pd_ds_run_snapshot_bytes(run, at, FALSE));
    }
    for (int unit = 0; unit < n_tokens / UNIT; unit++) {
        for (int i = 0; i < 2; i++)
            pd_ds_run_save_unit(run, i, unit, bytes[i]);
        g_assert_cmpmem(bytes[0], pd_ds_run_unit_bytes(run), bytes[1], pd_ds_run_unit_bytes(run));
    }
    for (int i = 0; i < 2; i++) {
        pd_ds_run_mark(run, i);
        snapshot[i] = pd_ds_run_snapshot(run, i, n_tokens, &drafted[i]);
    }
    g_assert_cmpmem(snapshot[0], pd_ds_run_snapshot_bytes(run, n_tokens, FALSE), snapshot[1],
                    pd_ds_run_snapshot_bytes(run, n_tokens, FALSE));
}

/* Behind every token a wrong one is run and taken back: logits, state and snapshots are those of a
 * sequence that never saw it, and no row is run again. */
static void
test_taken_back(Fixture *f, gconstpointer mixed)
{
    g_autoptr(PdSession) session = open_session(f, 100);
    gsize n_bytes = pd_ds_run_unit_bytes(session->deepseek);
    g_autofree guint8 *first = g_malloc(n_bytes), *second = g_malloc(n_bytes);
    guint8 *bytes[] = {first, second};
    for (int at = 0; at < N - 1; at++) {
        gint32 both[] = {f->tokens[at], (f->tokens[at + 1] + 1) % VOCAB};
        float logits[2 * VOCAB];
        int n_rows = 0;
        pd_ds_run_set_trace(session->deepseek, count_rows, &n_rows);
        run_tokens(session, 0, both, 2, logits);
        pd_session_truncate(session, 0, at + 1);
        pd_ds_run_set_trace(session->deepseek, NULL, NULL);
        g_assert_cmpint(n_rows, ==, 2);
        g_assert_cmpint(pd_ds_run_n_tokens(session->deepseek, 0), ==, at + 1);
        g_assert_cmpmem(logits, VOCAB * sizeof *logits, f->logits + (gsize)(at * VOCAB),
                        VOCAB * sizeof *logits);
        run_tokens(session, 1, f->tokens + at, 1, NULL);
        assert_same_state(session, at + 1, bytes);
    }
}

static gint32
likeliest(const float *logits)
{
    gint32 best = 0;
    for (int i = 1; i < VOCAB; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

static gint32
guess(PdSession *session, gint32 next)
{
    g_autoptr(GError) error = NULL;
    gint32 token;
    pd_session_draft(session, 0, next, &token, &error);
    g_assert_no_error(error);
    return token;
}

/* A block that begins later gives what one gives that has seen all rows, once its window is full;
 * it goes on over rows run one or two at a time, with wrong ones taken back in between. */
static void
test_guess(Fixture *f, gconstpointer mixed)
{
    enum { LATE = 200, WINDOW = 6 };
    g_autoptr(PdSession) whole = open_session(f, N), session = open_session(f, 100);
    g_autofree float *want = g_new(float, N *VOCAB);
    int n_equal = 0, n_changes = 0;
    run_tokens(whole, 0, f->tokens, N, NULL);
    draft(f, whole, 0, N, want);
    g_assert_cmpint(guess(session, 0), ==, -1); /* no rows */
    run_tokens(session, 0, f->tokens, LATE, NULL);
    for (int at = LATE; at < N - 1;) {
        gint32 token = guess(session, f->tokens[at]), run[] = {f->tokens[at], token};
        gboolean right = token == f->tokens[at + 1];
        g_assert_cmpint(token, ==, likeliest(want + (gsize)((at - 1) * VOCAB)));
        n_changes += at > LATE && token != likeliest(want + (gsize)((at - 2) * VOCAB));
        if (at % 3 == 0) { /* a right one by hand */
            run[1] = f->tokens[at + 1];
            right = TRUE;
        }
        run_tokens(session, 0, run, 2, NULL);
        at += right ? 2 : 1;
        n_equal += right;
        pd_session_truncate(session, 0, at);
    }
    g_assert_cmpint(n_equal, >, 50);
    g_assert_cmpint(n_changes, >, 100); /* or the same guess all the time would do */
    /* Rows are not at hand where a sequence went back, and may not be where there is no room. */
    pd_session_truncate(session, 0, LATE);
    g_assert_cmpint(guess(session, 1), ==, -1);
    go_on(f, session, 0, LATE, N - 1 - LATE);
    g_assert_cmpint(guess(session, 1), ==, -1);
    /* Begun with few rows: no guess of the whole, but one, and in the end the same. */
    pd_session_truncate(session, 0, LATE);
    go_on(f, session, 0, LATE, 1);
    for (int at = LATE + 1; at < LATE + 60; at++) {
        gint32 token = guess(session, f->tokens[at]);
        g_assert_cmpint(token, >=, 0);
        if (at >= LATE + WINDOW)
            g_assert_cmpint(token, ==, likeliest(want + (gsize)((at - 1) * VOCAB)));
        go_on(f, session, 0, at, 1);
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*test)(Fixture *, gconstpointer);
    } tests[] = {{"truncate", test_truncate},
                 {"mark", test_mark},
                 {"share", test_share},
                 {"draft", test_draft},
                 {"draft-anew", test_draft_anew},
                 {"taken-back", test_taken_back},
                 {"guess", test_guess}};
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < 2 * G_N_ELEMENTS(tests); i++) {
        const char *mixed = i % 2 == 0 ? NULL : "mixed";
        g_autofree char *path = g_strdup_printf("/deepseek/state/%s%s", tests[i / 2].name,
                                                mixed != NULL ? "/mixed" : "");
        g_test_add(path, Fixture, mixed, set_up, tests[i / 2].test, tear_down);
    }
    return g_test_run();
}
