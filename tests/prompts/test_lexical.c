/* Finding blocks by their words: literal words are found whatever else a question holds, the index
 * follows the corpus, and a corpus that cannot be written gives the same. */
#include "prompts_fixture.h"

#include <string.h>
#include "prompts/lexical.h"
#include "prompts/passages.h"

typedef struct {
    char *dir;
    PdModel *model;
    World world;
} Fixture;

/* A long text with a sentence somewhere in it. */
static char *
text_with(const char *sentence, guint32 seed)
{
    g_autofree char *before = fixture_text(900, seed), *after = fixture_text(700, seed + 1);

    return g_strdup_printf("%s\n%s\n%s", before, sentence, after);
}

static void
add_all(Fixture *f, gboolean with_last)
{
    g_autofree char *a = text_with("The lantern_code of room 12 is ZX-4471.", 1);
    g_autofree char *b = text_with("We must not forget NEAR misses: \"stop\" means stop.", 3);
    g_autofree char *c = fixture_text(1500, 5);
    g_autofree char *d = text_with("Quokkas were counted on Friday.", 7);
    const TestDocument documents[] = {{PD_KIND_TEXT, "alpha.txt", a, -1},
                                      {PD_KIND_TEXT, "beta.txt", b, -1},
                                      {PD_KIND_TEXT, "gamma-ray.txt", c, -1},
                                      {PD_KIND_TEXT, "delta.txt", d, -1}};

    fixture_add(f->dir, f->model, "/words", documents, with_last ? 4 : 3);
}

static void
set_up(Fixture *f, gconstpointer unused)
{
    f->dir = fixture_folder();
    f->model = fixture_model();
    add_all(f, FALSE);
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    world_close(&f->world);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

static GArray *
search(Fixture *f, const char *question)
{
    g_autoptr(GError) error = NULL;
    GArray *blocks = pd_lexical_search(f->world.context, question, 8, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(blocks);
    return blocks;
}

/* Is the text of the best block, with what was indexed around it, one that holds `wanted`? */
static gboolean
best_holds(Fixture *f, const char *question, const char *wanted)
{
    PdContext *context = f->world.context;
    g_autoptr(GArray) blocks = search(f, question);
    g_autoptr(GError) error = NULL;
    g_autoptr(PdPartRow) part = NULL;
    g_autofree char *text = NULL;
    const PdBlock *block;
    const PdSegmentRow *row;
    guint first, last;
    guint32 start, end;

    if (blocks->len == 0)
        return FALSE;
    block = &g_array_index(blocks, PdBlock, 0);
    row = g_array_index(context->segments, PdContextSegment, block->segment).row;
    g_assert_cmpuint(block->found_by, ==, PD_FOUND_FTS);
    g_assert_cmpint(block->best_head, ==, -1);
    g_assert_cmpfloat(block->lexical, >, 0);
    part = pd_corpus_part(context->corpus, row->part_id, &error);
    g_assert_no_error(error);
    first = block->first_token - MIN(block->first_token, PD_LEXICAL_MARGIN_TOKENS);
    last = MIN(block->first_token + block->n_tokens + PD_LEXICAL_MARGIN_TOKENS, row->n_tokens);
    pd_segment_bytes(row, first, last - first, &start, &end);
    text = g_strndup(part->text + start, end - start);
    return strstr(text, wanted) != NULL;
}

static void
test_literal(Fixture *f, gconstpointer unused)
{
    g_assert_true(best_holds(f, "What is ZX-4471?", "ZX-4471"));
    g_assert_true(best_holds(f, "what is the LANTERN_CODE of the room", "lantern_code"));
    g_assert_true(best_holds(f, "Which misses were near?", "misses"));
}

/* Nothing in a question is an operator, a column or the end of a string. */
static void
test_operators(Fixture *f, gconstpointer unused)
{
    static const char *const questions[] = {
        "\"ZX-4471\" AND NOT (lantern_code", "lantern_code* OR header:ZX",
        "NEAR(lantern_code, 4471) ^zx",      "lantern_code\"; DROP TABLE lexical_text; --",
        "lantern_code '' \\ {zx} + - : ^ *", "lantern_code \xff\xfe",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(questions); i++)
        g_assert_true(best_holds(f, questions[i], "lantern_code"));
    g_assert_true(best_holds(f, "\"NEAR\" \"stop\"", "stop"));
}

/* No words, unknown words: nothing; only empty words: those are asked for. */
static void
test_nothing(Fixture *f, gconstpointer unused)
{
    static const char *const questions[] = {"", "?!", "\"", "xylophone qwerty"};

    for (gsize i = 0; i < G_N_ELEMENTS(questions); i++) {
        g_autoptr(GArray) blocks = search(f, questions[i]);
        g_assert_cmpuint(blocks->len, ==, 0);
    }
    {
        g_autoptr(GArray) blocks = search(f, "what is");
        g_assert_cmpuint(blocks->len, >, 0);
    }
}

/* The header's words count for the blocks under it. */
static void
test_header(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = search(f, "gamma ray");

    g_assert_cmpuint(blocks->len, ==, 8);
    for (guint i = 0; i < blocks->len; i++) {
        const PdBlock *block = &g_array_index(blocks, PdBlock, i);
        g_assert_nonnull(strstr(
            g_array_index(f->world.context->segments, PdContextSegment, block->segment).header,
            "gamma"));
    }
}

/* What is added is found, what is removed is not. */
static void
test_follows(Fixture *f, gconstpointer unused)
{
    g_assert_false(best_holds(f, "quokkas", "Quokkas"));
    world_close(&f->world);
    add_all(f, TRUE);
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_assert_true(best_holds(f, "quokkas", "Quokkas"));
    g_assert_true(best_holds(f, "lantern_code", "lantern_code"));
    world_close(&f->world);
    add_all(f, FALSE);
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_assert_false(best_holds(f, "quokkas", "Quokkas"));
    g_assert_true(best_holds(f, "lantern_code", "lantern_code"));
    world_close(&f->world);
    fixture_assert_sound(f->dir, f->model);
}

/* A corpus open for reading: an index in memory, the same blocks. */
static void
test_read_only(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) written = search(f, "lantern_code room misses"), memory = NULL;

    world_close(&f->world);
    world_open(&f->world, f->dir, f->model, PD_CORPUS_READ, PD_READ_SWEPT);
    memory = search(f, "lantern_code room misses");
    g_assert_cmpuint(memory->len, >=, 2);
    g_assert_cmpmem(written->data, written->len * sizeof(PdBlock), memory->data,
                    memory->len * sizeof(PdBlock));
}

/* After every PD_LEXICAL_EVERY blocks of the sweep comes one of the words'; no block twice. */
static void
test_insure(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(PdBlock));
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(PdBlock));
    static const guint in_words[] = {90, 2, 70, 60};
    static const guint expected[] = {0, 1, 2, 3, 90, 4, 5, 6, 7, 70, 8, 9, 10, 11, 60, 12};

    for (guint i = 0; i < 100; i++) {
        PdBlock block = {.segment = i, .score = 100.0f - i, .found_by = PD_FOUND_SWEEP};
        g_array_append_val(blocks, block);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(in_words); i++) {
        PdBlock block = {.segment = in_words[i], .lexical = 9, .found_by = PD_FOUND_FTS};
        g_array_append_val(found, block);
    }
    pd_lexical_insure(blocks, found);
    g_assert_cmpuint(blocks->len, ==, 100);
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        PdBlock *block = &g_array_index(blocks, PdBlock, i);
        g_assert_cmpuint(block->segment, ==, expected[i]);
        g_assert_cmpuint(block->found_by & PD_FOUND_SWEEP, ==, PD_FOUND_SWEEP);
        g_assert_cmpint((block->found_by & PD_FOUND_FTS) != 0, ==,
                        expected[i] == 90 || expected[i] == 2 || expected[i] == 70 ||
                            expected[i] == 60);
    }
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/lexical/literal", test_literal);
    ADD("/lexical/operators", test_operators);
    ADD("/lexical/nothing", test_nothing);
    ADD("/lexical/header", test_header);
    ADD("/lexical/follows", test_follows);
    ADD("/lexical/read-only", test_read_only);
    ADD("/lexical/insure", test_insure);
    return g_test_run();
}
