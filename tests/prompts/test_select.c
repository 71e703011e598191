/*
 * From blocks to passages.  The texts have lines of 40 bytes, a token each byte (no " t", the only
 * merge of the tiny vocabulary), so that every expected border can be computed by hand.
 */
#include "prompts_fixture.h"

#include <string.h>
#include "prompts/rerank.h"
#include "prompts/select.h"

#define LINE_BYTES 40

static char *
lines(guint n)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "line %4u of a long document with 39...\n", i);
    g_assert_cmpuint(text->len, ==, n * LINE_BYTES);
    return g_string_free(text, FALSE);
}

typedef struct {
    char *dir;
    PdModel *model;
    World world;
    guint header; /* tokens of the header of segment 0: all keys have the same length */
} Fixture;

/* Segment 0: 40 lines; 1: one unbroken line of 1600 bytes; 2: five lines; 3: 40 lines. */
static void
set_up(Fixture *f, gconstpointer unused)
{
    g_autofree char *many = lines(40), *few = lines(5), *unbroken = g_strnfill(1600, 'x');
    g_autofree char *again = g_strdelimit(lines(40), "l", 'L');
    const TestDocument documents[] = {{PD_KIND_TEXT, "a.txt", many, -1},
                                      {PD_KIND_TEXT, "b.txt", unbroken, -1},
                                      {PD_KIND_TEXT, "c.txt", few, -1},
                                      {PD_KIND_TEXT, "d.txt", again, -1}};

    f->dir = fixture_folder();
    f->model = fixture_model();
    fixture_add(f->dir, f->model, "/lines", documents, G_N_ELEMENTS(documents));
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_assert_cmpuint(f->world.context->segments->len, ==, 4);
    f->header = g_array_index(f->world.context->segments, PdContextSegment, 0).header_ids->len;
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    world_close(&f->world);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

static void
add_block(GArray *blocks, guint segment, guint token, float score)
{
    PdBlock block = {.segment = segment,
                     .first_token = token,
                     .n_tokens = PD_SWEEP_BLOCK_TOKENS,
                     .score = score};

    g_array_append_val(blocks, block);
}

static GArray *
select_passages(World *world, GArray *blocks, guint budget_tokens, guint fresh_tokens)
{
    PdSelection selection = {.budget_tokens = budget_tokens, .fresh_tokens = fresh_tokens};

    return pd_select_passages(world->context, blocks, &selection, NULL);
}

static GArray *
new_blocks(void)
{
    return g_array_new(FALSE, FALSE, sizeof(PdBlock));
}

static void
assert_passage(GArray *passages, guint i, guint segment, guint first, guint last)
{
    PdPassage *passage;

    g_assert_cmpuint(i, <, passages->len);
    passage = &g_array_index(passages, PdPassage, i);
    g_assert_cmpint(passage->number, ==, (int)i + 1);
    g_assert_cmpuint(passage->segment, ==, segment);
    g_assert_cmpuint(passage->first_token, ==, first);
    g_assert_cmpuint(passage->first_token + passage->n_tokens, ==, last);
}

/* Block and margin, then out to the borders of lines. */
static void
test_expand(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    for (int token = 200; token < 1300; token += 37) {
        int first = (token - PD_SELECT_MARGIN_TOKENS) / LINE_BYTES * LINE_BYTES;
        int last = (token + PD_SWEEP_BLOCK_TOKENS + PD_SELECT_MARGIN_TOKENS + LINE_BYTES - 1) /
                   LINE_BYTES * LINE_BYTES;

        g_array_set_size(blocks, 0);
        add_block(blocks, 0, (guint)token, 1);
        g_clear_pointer(&passages, g_array_unref);
        passages = select_passages(&f->world, blocks, 10000, 0);
        g_assert_cmpuint(passages->len, ==, 1);
        assert_passage(passages, 0, 0, (guint)first, (guint)last);
    }
}

/* Where no line ends near, the margin is doubled and no more. */
static void
test_unbroken(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    add_block(blocks, 1, 500, 1);
    passages = select_passages(&f->world, blocks, 10000, 0);
    assert_passage(passages, 0, 1, 500 - 2 * PD_SELECT_MARGIN_TOKENS,
                   500 + PD_SWEEP_BLOCK_TOKENS + 2 * PD_SELECT_MARGIN_TOKENS);
}

/* The ends of a segment. */
static void
test_ends(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;
    PdBlock tail = {.segment = 3, .first_token = 1590, .n_tokens = 10, .score = 1};

    g_array_append_val(blocks, tail);
    add_block(blocks, 0, 0, 0.5);
    passages = select_passages(&f->world, blocks, 10000, 0);
    g_assert_cmpuint(passages->len, ==, 2);
    assert_passage(passages, 0, 0, 0, 120); /* 64 and 48 of margin, out to the next line */
    assert_passage(passages, 1, 3, 1520, 1600);
}

static void
test_short_segment(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    add_block(blocks, 2, 100, 1);
    passages = select_passages(&f->world, blocks, 10000, 0);
    g_assert_cmpuint(passages->len, ==, 1);
    assert_passage(passages, 0, 2, 0, 5 * LINE_BYTES);
}

/* Ranges that touch become one with the better score; the order is the corpus's, not the scores'.
 */
static void
test_merge_and_order(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    add_block(blocks, 3, 800, 9);
    add_block(blocks, 0, 1000, 8);
    add_block(blocks, 2, 0, 7);
    add_block(blocks, 0, 300, 6);
    add_block(blocks, 0, 1064, 5);
    add_block(blocks, 3, 800 + 160, 4); /* expansions 720..920 and 880..1080 overlap */
    passages = select_passages(&f->world, blocks, 10000, 0);
    g_assert_cmpuint(passages->len, ==, 4);
    assert_passage(passages, 0, 0, 240, 440);
    assert_passage(passages, 1, 0, 920, 1200);
    assert_passage(passages, 2, 2, 0, 200);
    assert_passage(passages, 3, 3, 720, 1080);
    g_assert_cmpfloat(g_array_index(passages, PdPassage, 0).score, ==, 6);
    g_assert_cmpfloat(g_array_index(passages, PdPassage, 1).score, ==, 8);
    g_assert_cmpfloat(g_array_index(passages, PdPassage, 3).score, ==, 9);
}

/* The best passages are run again and stand last, in corpus order; one always, more while they fit.
 */
static void
test_fresh(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks(), one = NULL, two = NULL;

    add_block(blocks, 3, 800, 9); /* 200 tokens each */
    add_block(blocks, 0, 1000, 8);
    add_block(blocks, 2, 0, 7);
    one = select_passages(&f->world, blocks, 10000, 1);
    g_assert_cmpuint(one->len, ==, 3);
    assert_passage(one, 2, 3, 720, 920);
    g_assert_true(g_array_index(one, PdPassage, 2).fresh);
    g_assert_false(g_array_index(one, PdPassage, 0).fresh ||
                   g_array_index(one, PdPassage, 1).fresh);
    two = select_passages(&f->world, blocks, 10000, 2 * (200 + f->header + 4));
    g_assert_cmpuint(g_array_index(two, PdPassage, 0).segment, ==, 2);
    g_assert_false(g_array_index(two, PdPassage, 0).fresh);
    g_assert_cmpuint(g_array_index(two, PdPassage, 1).segment, ==, 0);
    g_assert_true(g_array_index(two, PdPassage, 1).fresh);
    g_assert_cmpuint(g_array_index(two, PdPassage, 2).segment, ==, 3);
    g_assert_true(g_array_index(two, PdPassage, 2).fresh);
    for (guint i = 0; i < two->len; i++)
        g_assert_cmpint(g_array_index(two, PdPassage, i).number, ==, (int)i + 1);
}

/* Tokens of all passages, headers and numbers included, stay within the budget; the first passage
 * is taken even if it alone is more. */
static void
test_budget(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = new_blocks();

    for (int i = 0; i < 24; i++)
        add_block(blocks, i % 2 ? 0 : 3, (guint)i * 613 % 1500, 100.0f - i);
    for (guint budget = 1; budget < 4000; budget += 97) {
        g_autoptr(GArray) passages = select_passages(&f->world, blocks, budget, 0);
        guint used = 0;

        for (guint i = 0; i < passages->len; i++)
            used += g_array_index(passages, PdPassage, i).n_tokens + f->header + 4;
        g_assert_cmpuint(passages->len, >=, 1);
        if (passages->len > 1)
            g_assert_cmpuint(used, <=, budget);
        for (guint i = 1; i < passages->len; i++) {
            PdPassage *a = &g_array_index(passages, PdPassage, i - 1);
            PdPassage *b = &g_array_index(passages, PdPassage, i);
            g_assert_true(
                a->segment < b->segment ||
                (a->segment == b->segment && a->first_token + a->n_tokens < b->first_token));
        }
    }
}

/* Ten documents with the same text and one that quotes part of it: read once. */
static void
test_duplicates(Fixture *f, gconstpointer unused)
{
    g_autofree char *text = fixture_text(1500, 9), *other = fixture_text(1500, 10);
    g_autofree char *quoted = g_strdup(text);
    g_auto(GStrv) quoted_lines = g_strsplit(quoted, "\n", -1);
    g_autofree char *quote = g_strjoinv("\n>>  ", quoted_lines);
    TestDocument documents[12] = {{PD_KIND_TEXT, "quote.txt", quote, -1},
                                  {PD_KIND_TEXT, "zother.txt", other, -1}};
    g_autofree char *dir = fixture_folder();
    g_auto(World) world = {0};
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    for (int i = 2; i < 12; i++)
        documents[i] = (TestDocument){PD_KIND_TEXT, g_strdup_printf("m%02d.txt", i), text, -1};
    fixture_add(dir, f->model, "/copies", documents, G_N_ELEMENTS(documents));
    world_open(&world, dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    g_assert_cmpuint(world.context->segments->len, ==, 12);
    for (guint i = 1; i < 11; i++) /* m02 .. m11 */
        add_block(blocks, i - 1, 640, 100.0f - i);
    add_block(blocks, 11, 640, 2);      /* zother */
    add_block(blocks, 10, 640 + 40, 1); /* quote: about the same place */
    passages = select_passages(&world, blocks, 10000, 0);
    g_assert_cmpuint(passages->len, <=, 3); /* the quote's ends may reach further */
    g_assert_cmpuint(g_array_index(passages, PdPassage, 0).segment, ==, 0);
    g_assert_cmpuint(g_array_index(passages, PdPassage, passages->len - 1).segment, ==, 11);
    for (int i = 2; i < 12; i++)
        g_free((char *)documents[i].key);
    world_close(&world);
    fixture_remove(g_steal_pointer(&dir));
}

/* A document with the best blocks leaves room for others, and gets what they do not need. */
static void
test_per_document(Fixture *f, gconstpointer unused)
{
    g_autofree char *big = lines(240), *small = lines(40);
    g_autofree char *small_other = g_strdelimit(g_strdup(small), "d", 'x');
    const TestDocument documents[] = {{PD_KIND_TEXT, "big.txt", big, -1},
                                      {PD_KIND_TEXT, "small.txt", small_other, -1}};
    g_autofree char *dir = fixture_folder();
    g_auto(World) world = {0};
    g_autoptr(GArray) blocks = new_blocks(), some = NULL, all = NULL;
    PdContextSegment *segment;
    guint n_small = 0, cost, last;

    fixture_add(dir, f->model, "/share", documents, G_N_ELEMENTS(documents));
    world_open(&world, dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    last = world.context->segments->len - 1; /* small.txt */
    g_assert_cmpuint(last, >=, 4);
    for (guint i = 0; i < 8; i++)
        add_block(blocks, i / 2, i % 2 ? 1000 : 300, 100.0f - i);
    add_block(blocks, last, 800, 1);
    segment = &g_array_index(world.context->segments, PdContextSegment, 0);
    cost = 200 + segment->header_ids->len + 4 + 40;
    some = select_passages(&world, blocks, 5 * cost, 0);
    for (guint i = 0; i < some->len; i++)
        n_small += g_array_index(some, PdPassage, i).segment == last;
    g_assert_cmpuint(n_small, ==, 1);
    all = select_passages(&world, blocks, 100 * cost, 0);
    g_assert_cmpuint(all->len, ==, 9);
    world_close(&world);
    fixture_remove(g_steal_pointer(&dir));
}

/* From the middle of a function its first line is read too: grown to where it is near, on its own
 * where it is far, once for two passages; not for text that stands before any function. */
static void
test_heading(Fixture *f, gconstpointer unused)
{
    g_autoptr(GString) code = g_string_new("int grow (void)\n{\n");
    const guint title = 16; /* tokens of the first line with its end */
    g_autofree char *dir = fixture_folder();
    g_auto(World) world = {0};
    g_autoptr(GArray) blocks = new_blocks(), near = NULL, far = NULL, tight = NULL;
    TestDocument document = {PD_KIND_GIT_FILE, "a.c", NULL, -1};
    guint header;

    for (guint i = 0; i < 40; i++)
        g_string_append_printf(code, "  line %4u of a long body with 36..;\n", i);
    document.text = code->str;
    fixture_add(dir, f->model, "/code", &document, 1);
    world_open(&world, dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
    header = g_array_index(world.context->segments, PdContextSegment, 0).header_ids->len;
    add_block(blocks, 0, 130, 1);
    near = select_passages(&world, blocks, 10000, 0);
    g_assert_cmpuint(near->len, ==, 1);
    g_assert_cmpuint(g_array_index(near, PdPassage, 0).first_token, ==, 0);

    g_array_set_size(blocks, 0);
    add_block(blocks, 0, 700, 2);
    add_block(blocks, 0, 1200, 1);
    far = select_passages(&world, blocks, 10000, 0);
    g_assert_cmpuint(far->len, ==, 3);
    assert_passage(far, 0, 0, 0, title);
    g_assert_cmpuint(g_array_index(far, PdPassage, 1).first_token, >, 600);

    /* Its tokens count: what was enough for the first passage alone is too little for both. */
    tight = select_passages(
        &world, blocks, 2 * (g_array_index(far, PdPassage, 1).n_tokens + header + 4) + title, 0);
    g_assert_cmpuint(tight->len, ==, 2);
    world_close(&world);
    fixture_remove(g_steal_pointer(&dir));
}

static gboolean
is_taken(GArray *passages, guint segment, guint token)
{
    for (guint p = 0; p < passages->len; p++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, p);
        if (passage->segment == segment && passage->first_token <= token &&
            passage->first_token + passage->n_tokens > token)
            return TRUE;
    }
    return FALSE;
}

/* The sweep's blocks far behind the best are left out once there is enough; what words or a lead
 * found, and what only words found, is not. */
static void
test_stands_out(Fixture *f, gconstpointer unused)
{
    const struct {
        guint segment, token, found_by;
        float score, lexical;
        gboolean taken;
    } cases[] = {{0, 0, PD_FOUND_SWEEP, 10, 0, TRUE},
                 {0, 800, PD_FOUND_SWEEP, 4, 0, TRUE}, /* there is not enough yet */
                 {0, 400, PD_FOUND_SWEEP, 3, 0, TRUE}, /* the third passage passes 400 tokens */
                 {0, 1300, PD_FOUND_SWEEP, 4.9f, 0, FALSE},
                 {3, 200, PD_FOUND_SWEEP, 5.1f, 0, TRUE},
                 {3, 600, PD_FOUND_SWEEP | PD_FOUND_FTS, 1, 7, TRUE},
                 {3, 1000, PD_FOUND_SWEEP | PD_FOUND_FTS, 1, 3, FALSE},
                 {3, 1300, PD_FOUND_SWEEP | PD_FOUND_LEAD, 1, 0, TRUE},
                 {1, 600, PD_FOUND_FTS, 3, 3, TRUE}};
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        PdBlock block = {.segment = cases[i].segment,
                         .first_token = cases[i].token,
                         .n_tokens = PD_SWEEP_BLOCK_TOKENS,
                         .found_by = cases[i].found_by,
                         .score = cases[i].score,
                         .lexical = cases[i].lexical};
        g_array_append_val(blocks, block);
    }
    passages = select_passages(&f->world, blocks, 10000, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(is_taken(passages, cases[i].segment, cases[i].token), ==, cases[i].taken);
}

/* Where blocks were read for their order, those whose merit is more than a nat below the best's and
 * those that were not read are left out once there is a little; a lead is not.  With less between
 * the best and the mean, so is what is nearer to the mean. */
static void
test_likely(Fixture *f, gconstpointer unused)
{
    const struct {
        guint segment, token, found_by;
        float merit; /* 0: not read */
        gboolean taken;
    } cases[] = {{0, 0, PD_FOUND_SWEEP, -1.5f, TRUE},
                 {0, 800, PD_FOUND_SWEEP, -4, TRUE}, /* the second passage passes 200 tokens */
                 {0, 400, PD_FOUND_SWEEP, -2.4f, TRUE},
                 {0, 1300, PD_FOUND_SWEEP | PD_FOUND_FTS, -2.6f, FALSE},
                 {3, 200, PD_FOUND_SWEEP | PD_FOUND_LEAD, -9, TRUE},
                 {3, 600, PD_FOUND_SWEEP, 0, FALSE},
                 {3, 1000, PD_FOUND_FTS, 0, FALSE},
                 {3, 1300, PD_FOUND_LEAD, 0, TRUE}};
    const PdSelection selection = {.budget_tokens = 10000, .likely_margin = 1};
    g_autoptr(GArray) blocks = new_blocks(), passages = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        PdBlock block = {.segment = cases[i].segment,
                         .first_token = cases[i].token,
                         .n_tokens = PD_SWEEP_BLOCK_TOKENS,
                         .found_by = cases[i].found_by,
                         .score = (float)i,
                         .likelihood = cases[i].merit};

        if (pd_block_is_ranked(&block)) /* its score makes up the rest */
            block.likelihood -= PD_RERANK_SWEEP_WEIGHT * block.score;
        g_array_append_val(blocks, block);
    }
    passages = pd_select_passages(f->world.context, blocks, &selection, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(is_taken(passages, cases[i].segment, cases[i].token), ==, cases[i].taken);
    g_clear_pointer(&passages, g_array_unref);
    g_array_index(blocks, PdBlock, 4).likelihood += 4; /* the mean is -3.1 now */
    passages = pd_select_passages(f->world.context, blocks, &selection, NULL);
    g_assert_false(is_taken(passages, cases[2].segment, cases[2].token));
    g_assert_true(is_taken(passages, cases[4].segment, cases[4].token));
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/select/expand", test_expand);
    ADD("/select/unbroken", test_unbroken);
    ADD("/select/ends", test_ends);
    ADD("/select/short-segment", test_short_segment);
    ADD("/select/merge-and-order", test_merge_and_order);
    ADD("/select/fresh", test_fresh);
    ADD("/select/budget", test_budget);
    ADD("/select/duplicates", test_duplicates);
    ADD("/select/per-document", test_per_document);
    ADD("/select/heading", test_heading);
    ADD("/select/stands-out", test_stands_out);
    ADD("/select/likely", test_likely);
    return g_test_run();
}
