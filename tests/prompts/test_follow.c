/* Following a lead: what the best sentence names is found in another document and read with it. */
#include "prompts_fixture.h"

#include <string.h>
#include "prompts/follow.h"
#include "prompts/lexical.h"
#include "prompts/passages.h"

typedef struct {
    char *dir;
    PdModel *model;
    World world;
} Fixture;

#define AUTHOR "Quill 212 was drawn by Iselin Fjordvik."
#define TOWN "The house of Iselin Fjordvik stands in Mossby."
#define QUESTION "In which town stands the house of the one by whom Quill 212 was drawn?"

static char *
text_with(const char *sentence, guint32 seed)
{
    g_autofree char *before = fixture_text(600, seed), *after = fixture_text(500, seed + 1);

    return g_strdup_printf("%s\n%s\n%s", before, sentence, after);
}

static void
set_up(Fixture *f, gconstpointer unused)
{
    g_autofree char *author = text_with(AUTHOR, 1), *town = text_with(TOWN, 3);
    g_autofree char *other = fixture_text(1500, 5);
    const TestDocument documents[] = {{PD_KIND_TEXT, "a.txt", author, -1},
                                      {PD_KIND_TEXT, "b.txt", other, -1},
                                      {PD_KIND_TEXT, "c.txt", town, -1}};

    f->dir = fixture_folder();
    f->model = fixture_model();
    fixture_add(f->dir, f->model, "/leads", documents, G_N_ELEMENTS(documents));
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, PD_READ_SWEPT);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    world_close(&f->world);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

/* The bytes of a block. */
static char *
text_of(Fixture *f, const PdBlock *block)
{
    const PdSegmentRow *row =
        g_array_index(f->world.context->segments, PdContextSegment, block->segment).row;
    g_autoptr(GError) error = NULL;
    g_autoptr(PdPartRow) part = pd_corpus_part(f->world.corpus, row->part_id, &error);
    guint32 start, end;

    g_assert_no_error(error);
    pd_segment_bytes(row, block->first_token, block->n_tokens, &start, &end);
    return g_strndup(part->text + start, end - start);
}

static gboolean
holds(Fixture *f, const PdBlock *block, const char *words)
{
    g_autofree char *text = text_of(f, block);

    return strstr(text, words) != NULL;
}

/* Every block of the corpus, those of document b first, after one that holds `first`. */
static GArray *
ranking(Fixture *f, const char *first)
{
    static const guint order[] = {1, 0, 2};
    GArray *segments = f->world.context->segments;
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(PdBlock));

    for (guint i = 0; i < G_N_ELEMENTS(order); i++) {
        const PdSegmentRow *row = g_array_index(segments, PdContextSegment, order[i]).row;
        for (guint at = 0; at < row->n_tokens; at += PD_SWEEP_BLOCK_TOKENS) {
            PdBlock block = {.segment = order[i],
                             .first_token = at,
                             .n_tokens = MIN(PD_SWEEP_BLOCK_TOKENS, row->n_tokens - at),
                             .found_by = PD_FOUND_SWEEP};
            if (holds(f, &block, first))
                g_array_prepend_val(blocks, block);
            else
                g_array_append_val(blocks, block);
        }
    }
    g_assert_true(holds(f, &g_array_index(blocks, PdBlock, 0), first));
    return blocks;
}

static void
follow(Fixture *f, const char *question, GArray *blocks)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(pd_follow_lead(f->world.context, question, blocks, NULL, &error));
    g_assert_no_error(error);
}

/* Where the first block stands that holds these words. */
static guint
place_of(Fixture *f, GArray *blocks, const char *words)
{
    for (guint i = 0; i < blocks->len; i++)
        if (holds(f, &g_array_index(blocks, PdBlock, i), words))
            return i;
    g_assert_not_reached();
}

/* The author is found; then the town, which shares no rare word with the question, comes up. */
static void
test_second_fact(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = ranking(f, "drawn by"), before = g_array_copy(blocks);
    guint n_lead = 0, place;

    g_assert_cmpuint(place_of(f, blocks, "Fjordvik stands"), >, 20);
    follow(f, QUESTION, blocks);
    place = place_of(f, blocks, "Fjordvik stands");
    g_assert_cmpuint(place, ==, PD_FOLLOW_EVERY);
    g_assert_cmpuint(g_array_index(blocks, PdBlock, place).found_by, ==,
                     PD_FOUND_SWEEP | PD_FOUND_LEAD);

    /* The others keep their order, each stands there once. */
    g_assert_cmpuint(blocks->len, ==, before->len);
    for (guint i = 0, at = 0; i < blocks->len; i++) {
        const PdBlock *block = &g_array_index(blocks, PdBlock, i);
        n_lead += (block->found_by & PD_FOUND_LEAD) != 0;
        for (guint k = 0; k < before->len && !(block->found_by & PD_FOUND_LEAD); k++) {
            const PdBlock *other = &g_array_index(before, PdBlock, k);
            if (other->segment != block->segment || other->first_token != block->first_token)
                continue;
            g_assert_cmpuint(k, >=, at);
            at = k;
        }
    }
    g_assert_cmpuint(n_lead, >=, 1);
    g_assert_cmpuint(n_lead, <=, PD_FOLLOW_BLOCKS);
}

/* The sentence that shares most words with the question leads, not the block that stands first. */
static void
test_best_sentence(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = ranking(f, "drawn by");
    PdBlock first = g_array_index(blocks, PdBlock, 0);

    g_array_remove_index(blocks, 0);
    g_array_insert_val(blocks, PD_FOLLOW_FROM - 1, first);
    follow(f, QUESTION, blocks);
    g_assert_cmpuint(place_of(f, blocks, "Fjordvik stands"), ==, PD_FOLLOW_EVERY);
}

/* Nothing among the best blocks has to do with the question: all stays as it was. */
static void
test_no_lead(Fixture *f, gconstpointer unused)
{
    g_autoptr(GArray) blocks = ranking(f, "drawn by"), before = g_array_copy(blocks), none = NULL;

    follow(f, "Zyzzogeton?", blocks);
    g_assert_cmpmem(blocks->data, blocks->len * sizeof(PdBlock), before->data,
                    before->len * sizeof(PdBlock));
    none = g_array_new(FALSE, FALSE, sizeof(PdBlock));
    follow(f, QUESTION, none);
    g_assert_cmpuint(none->len, ==, 0);
}

#define ADD(name, func) g_test_add(name, Fixture, NULL, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/follow/second-fact", test_second_fact);
    ADD("/follow/best-sentence", test_best_sentence);
    ADD("/follow/no-lead", test_no_lead);
    return g_test_run();
}
