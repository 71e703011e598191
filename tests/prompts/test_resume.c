/*
 * Reopening: what one process has read and kept continues in another bit for bit as if it had never
 * stopped.  Each step below is a process of its own (this program run again), so that nothing but
 * the corpus folder passes between them.
 */
#include "prompts_fixture.h"

#include <string.h>
#include "engine/session.h"
#include "prompts/ask.h"
#include "prompts/layout.h"
#include "prompts/select.h"
#include "prompts/sweep.h"
#include "prompts/whole.h"

static const char question[] = "Which level did the buoy record?";

/* --- the children --- */

static PdReadMode
mode_of(const char *word)
{
    return g_str_equal(word, "whole") ? PD_READ_WHOLE : PD_READ_SWEPT;
}

static void
write_file(const char *path, const void *data, gsize n)
{
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, data, (gssize)n, &error);
    g_assert_no_error(error);
}

/* What a reading did, beside its result. */
static void
write_report(const char *out, const PdWarmReport *report)
{
    g_autofree char *path = g_strconcat(out, ".report", NULL);
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                                            report->n_tokens_reused, report->n_tokens_encoded);

    write_file(path, text, strlen(text));
}

static void
child_warm(const char *dir, const char *mode, const char *out)
{
    g_autoptr(PdModel) model = fixture_model();
    g_auto(World) world = {0};
    g_autoptr(GError) error = NULL;
    PdWarmReport report = {0};

    world_open(&world, dir, model, PD_CORPUS_WRITE, mode_of(mode));
    pd_context_warm(world.context, &report, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    write_report(out, &report);
}

/* The logits of every token of the question after the session's rows. */
static void
write_logits(PdModel *model, PdSession *session, const char *out)
{
    g_autoptr(GArray) end = pd_layout_question(model, question, TRUE, FALSE);
    gsize n = (gsize)end->len * pd_model_shape(model)->n_vocab;
    g_autofree float *logits = g_new(float, n);
    PdRun run = {.tokens = (const gint32 *)end->data,
                 .n_tokens = (int)end->len,
                 .logits = logits,
                 .all_logits = TRUE};
    g_autoptr(GError) error = NULL;

    pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    write_file(out, logits, n * sizeof(float));
}

/* `kept`: through the store; else all at once in a session that knows no store. */
static void
child_whole(const char *dir, gboolean kept, const char *out)
{
    g_autoptr(PdModel) model = fixture_model();
    g_auto(World) world = {0};
    g_autoptr(GArray) tokens = NULL;
    g_autoptr(PdSession) session = NULL;
    g_autoptr(GError) error = NULL;
    PdSessionOptions options = {.n_sequences = 1, .kv_type = PD_F16, .batch_rows = kept ? 0 : 100};
    PdWarmReport report = {0};

    world_open(&world, dir, model, kept ? PD_CORPUS_WRITE : PD_CORPUS_READ, PD_READ_WHOLE);
    tokens = pd_whole_tokens(world.context, NULL);
    options.max_tokens = (int)tokens->len + PD_ANSWER_RESERVE_TOKENS;
    session = pd_session_new(model, &options, &error);
    g_assert_no_error(error);
    if (kept) {
        pd_whole_read(world.context, session, tokens, &report, NULL, NULL, NULL, &error);
    } else {
        PdRun run = {.tokens = (const gint32 *)tokens->data, .n_tokens = (int)tokens->len};
        pd_session_run(session, &run, 1, NULL, NULL, NULL, &error);
    }
    g_assert_no_error(error);
    write_logits(model, session, out);
    write_report(out, &report);
}

static void
child_sweep(const char *dir, const char *out)
{
    g_autoptr(PdModel) model = fixture_model();
    g_auto(World) world = {0};
    g_autoptr(GArray) blocks = NULL;
    g_autoptr(GError) error = NULL;

    world_open(&world, dir, model, PD_CORPUS_READ, PD_READ_SWEPT);
    blocks = pd_sweep(world.context, question, world.context->profile.retrieval,
                      world.context->profile.n_retrieval, NULL, NULL, &error);
    g_assert_no_error(error);
    write_file(out, blocks->data, blocks->len * sizeof(PdBlock));
}

/* The answer as JSON, its times set to zero. */
static void
child_ask(const char *dir, const char *mode, const char *out)
{
    g_autoptr(PdModel) model = fixture_model();
    g_auto(World) world = {0};
    PdAskOptions options = {.max_answer_tokens = 40};
    g_autoptr(PdAnswer) answer = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *json = NULL;

    world_open(&world, dir, model, PD_CORPUS_WRITE, mode_of(mode));
    answer = pd_ask(world.context, question, &options, NULL, NULL, &error);
    g_assert_no_error(error);
    write_report(out, &answer->warm);
    memset(&answer->warm, 0, sizeof answer->warm);
    answer->n_reused_tokens = 0;
    answer->sweep_seconds = answer->read_seconds = 0;
    answer->first_token_seconds = answer->decode_seconds = 0;
    json = pd_answer_to_json(world.context, question, answer, TRUE, &error);
    g_assert_no_error(error);
    write_file(out, json, strlen(json));
}

static int
child(char **argv)
{
    const char *what = argv[0];

    if (g_str_equal(what, "warm"))
        child_warm(argv[1], argv[2], argv[3]);
    else if (g_str_equal(what, "kept") || g_str_equal(what, "fresh"))
        child_whole(argv[1], g_str_equal(what, "kept"), argv[2]);
    else if (g_str_equal(what, "sweep"))
        child_sweep(argv[1], argv[2]);
    else if (g_str_equal(what, "ask"))
        child_ask(argv[1], argv[2], argv[3]);
    else
        return 1;
    return 0;
}

/* --- the parent --- */

typedef struct {
    char *dir; /* holds "kept" and "fresh", two corpora of the same documents, and results */
    char *kept;
    char *fresh;
    PdModel *model;
} Fixture;

static void
set_up(Fixture *f, gconstpointer unused)
{
    f->dir = fixture_folder();
    f->kept = g_build_filename(f->dir, "kept", NULL);
    f->fresh = g_build_filename(f->dir, "fresh", NULL);
    f->model = fixture_model();
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    g_free(f->kept);
    g_free(f->fresh);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

static void
add_both(Fixture *f, const char *source, const TestDocument *documents, gsize n)
{
    fixture_add(f->kept, f->model, source, documents, n);
    fixture_add(f->fresh, f->model, source, documents, n);
}

static char *
result(Fixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

static void
assert_report(Fixture *f, const char *name, guint64 reused, guint64 encoded)
{
    g_autofree char *file = g_strconcat(name, ".report", NULL);
    g_autofree char *path = result(f, file);
    g_autofree char *text = NULL;
    g_autofree char *expected =
        g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, reused, encoded);

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, expected);
}

static void
assert_same(Fixture *f, const char *a, const char *b)
{
    g_autofree char *path_a = result(f, a), *path_b = result(f, b);
    g_autofree char *bytes_a = NULL, *bytes_b = NULL;
    gsize n_a, n_b;

    g_assert_true(g_file_get_contents(path_a, &bytes_a, &n_a, NULL));
    g_assert_true(g_file_get_contents(path_b, &bytes_b, &n_b, NULL));
    g_assert_cmpuint(n_a, >, 0);
    g_assert_cmpmem(bytes_a, n_a, bytes_b, n_b);
}

static void
run(Fixture *f, const char *what, const char *dir, const char *mode, const char *out)
{
    g_autofree char *path = result(f, out);

    if (mode)
        fixture_assert_done(fixture_child(what, dir, mode, path, NULL));
    else
        fixture_assert_done(fixture_child(what, dir, path, NULL));
}

static guint
count_tokens(Fixture *f)
{
    g_auto(World) world = {0};
    g_autoptr(GArray) tokens = NULL;

    world_open(&world, f->kept, f->model, PD_CORPUS_READ, PD_READ_WHOLE);
    tokens = pd_whole_tokens(world.context, NULL);
    return tokens->len;
}

/* Tokens of a whole reading beside those of its one document's text. */
static guint
overhead(void)
{
    Fixture f;
    const TestDocument one = {PD_KIND_TEXT, "a.txt", "x", -1};
    guint n;

    set_up(&f, NULL);
    fixture_add(f.kept, f.model, "/one", &one, 1);
    n = count_tokens(&f) - 1;
    tear_down(&f, NULL);
    return n;
}

/* A text of n tokens: no " t", so a token a byte. */
static char *
text_of_tokens(guint n)
{
    char *text = fixture_text(n, n);

    for (char *p = text; p[0]; p++)
        if (p[0] == ' ' && p[1] == 't')
            p[1] = 'T';
    return text;
}

static void
check_boundary(guint n_tokens, guint n_document)
{
    Fixture f;
    g_autofree char *text = text_of_tokens(n_document);
    const TestDocument document = {PD_KIND_TEXT, "a.txt", text, -1};

    set_up(&f, NULL);
    add_both(&f, "/one", &document, 1);
    g_assert_cmpuint(count_tokens(&f), ==, n_tokens);
    run(&f, "warm", f.kept, "whole", "warm");
    run(&f, "kept", f.kept, NULL, "b");
    run(&f, "fresh", f.fresh, NULL, "c");
    assert_report(&f, "warm", 0, n_tokens);
    assert_report(&f, "b", n_tokens, 0);
    assert_same(&f, "b", "c");
    tear_down(&f, NULL);
}

/* The smallest document, and sequences that end at, before and after the border of a chunk. */
static void
test_boundaries(void)
{
    static const guint totals[] = {511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049};
    guint more = overhead();

    check_boundary(more + 1, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(totals); i++)
        check_boundary(totals[i], totals[i] - more);
}

/* A document added at the end: whole chunks before it are used again. */
static void
test_added(Fixture *f, gconstpointer unused)
{
    g_autofree char *a = fixture_text(1300, 1), *b = fixture_text(400, 2);
    const TestDocument first = {PD_KIND_TEXT, "a.txt", a, -1};
    const TestDocument second = {PD_KIND_TEXT, "b.txt", b, -1};
    guint before, after;

    add_both(f, "/one", &first, 1);
    run(f, "warm", f->kept, "whole", "warm");
    before = count_tokens(f);
    add_both(f, "/two", &second, 1);
    after = count_tokens(f);
    run(f, "warm", f->kept, "whole", "again");
    assert_report(f, "again", before / 1024 * 1024, after - before / 1024 * 1024);
    run(f, "kept", f->kept, NULL, "b");
    assert_report(f, "b", after, 0);
    run(f, "fresh", f->fresh, NULL, "c");
    assert_same(f, "b", "c");
}

/* Swept: one document in a first process, another in a second, the sweep in a third; or all in one
 * go elsewhere. */
static void
test_swept(Fixture *f, gconstpointer unused)
{
    g_autofree char *a = fixture_text(3000, 1), *b = fixture_text(400, 2);
    const TestDocument first = {PD_KIND_TEXT, "a.txt", a, -1};
    const TestDocument second = {PD_KIND_TEXT, "b.txt", b, -1};
    g_auto(World) kept = {0}, fresh = {0};
    g_autoptr(GHashTable) records = NULL, other_records = NULL;

    add_both(f, "/one", &first, 1);
    run(f, "warm", f->kept, "swept", "warm");
    add_both(f, "/two", &second, 1);
    run(f, "warm", f->kept, "swept", "again");
    run(f, "sweep", f->kept, NULL, "b");
    run(f, "warm", f->fresh, "swept", "fresh");
    run(f, "sweep", f->fresh, NULL, "c");
    assert_same(f, "b", "c");
    world_open(&kept, f->kept, f->model, PD_CORPUS_READ, PD_READ_SWEPT);
    world_open(&fresh, f->fresh, f->model, PD_CORPUS_READ, PD_READ_SWEPT);
    records = fixture_records(&kept);
    other_records = fixture_records(&fresh);
    g_assert_cmpuint(g_hash_table_size(records), >=, 3);
    fixture_assert_same_records(records, other_records);
}

/* Flip one byte in the middle of the n-th record of the first pack; n_rows: what a segment's record
 * says of its length. */
static void
flip_record(Fixture *f, guint n, gsize *n_bytes, guint *n_rows)
{
    g_autofree char *path = g_build_filename(f->kept, "kv", "000001.pack", NULL);
    g_autofree char *bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(f->kept, PD_CORPUS_READ, &error);
    sqlite3_stmt *stmt;
    const guint8 *head;
    gsize length, at;

    g_assert_no_error(error);
    g_assert_cmpint(sqlite3_prepare_v2(pd_corpus_db(corpus),
                                       "SELECT offset, n_bytes FROM kv_record WHERE pack = 1"
                                       " ORDER BY offset LIMIT 1 OFFSET ?",
                                       -1, &stmt, NULL),
                    ==, SQLITE_OK);
    sqlite3_bind_int(stmt, 1, (int)n);
    g_assert_cmpint(sqlite3_step(stmt), ==, SQLITE_ROW);
    *n_bytes = (gsize)sqlite3_column_int64(stmt, 1);
    at = (gsize)sqlite3_column_int64(stmt, 0) + *n_bytes / 2;
    sqlite3_finalize(stmt);
    g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
    g_assert_cmpuint(at, <, length);
    head = memmem(bytes + at - *n_bytes / 2, *n_bytes, "PDSEGKV2", 8);
    *n_rows = head ? head[32] | (guint)head[33] << 8 : 0;
    bytes[at] ^= 0x40;
    write_file(path, bytes, length);
}

/* A flipped byte costs the record it lies in; the answer is the same. */
static void
check_damage(Fixture *f, const char *mode, guint record)
{
    gboolean whole = g_str_equal(mode, "whole");
    gsize n_bytes;
    guint n_rows;
    guint64 total = 0, n_damaged;

    run(f, "ask", f->kept, mode, "before");
    flip_record(f, record, &n_bytes, &n_rows);
    n_damaged = whole ? n_bytes / 256 : n_rows;
    {
        g_auto(World) world = {0};
        world_open(&world, f->kept, f->model, PD_CORPUS_READ, mode_of(mode));
        total = world.context->n_tokens;
    }
    if (whole)
        total = count_tokens(f);
    run(f, "ask", f->kept, mode, "after");
    assert_report(f, "after", total - n_damaged, n_damaged);
    assert_same(f, "before", "after");
    run(f, "ask", f->kept, mode, "healed");
    assert_report(f, "healed", total, 0);
    assert_same(f, "before", "healed");
    fixture_assert_sound(f->kept, f->model);
}

static void
test_damage_whole(Fixture *f, gconstpointer unused)
{
    g_autofree char *a = fixture_text(2500, 5);
    const TestDocument document = {PD_KIND_TEXT, "a.txt", a, -1};

    fixture_add(f->kept, f->model, "/one", &document, 1);
    check_damage(f, "whole", 1); /* chunk 2 of 3 */
}

static void
test_damage_swept(Fixture *f, gconstpointer unused)
{
    g_autofree char *a = fixture_text(600, 5), *b = fixture_text(700, 6), *c = fixture_text(80, 7);
    const TestDocument documents[] = {{PD_KIND_TEXT, "a.txt", a, -1},
                                      {PD_KIND_TEXT, "b.txt", b, -1},
                                      {PD_KIND_TEXT, "c.txt", c, -1}};

    fixture_add(f->kept, f->model, "/three", documents, G_N_ELEMENTS(documents));
    check_damage(f, "swept", 1);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    if (argc > 4 && g_str_equal(argv[1], "--child"))
        return child(argv + 2);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/resume/boundaries", test_boundaries);
    ADD("/resume/added", test_added);
    ADD("/resume/swept", test_swept);
    ADD("/resume/damage-whole", test_damage_whole);
    ADD("/resume/damage-swept", test_damage_swept);
    return g_test_run();
}
