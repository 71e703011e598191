/*
 * Planting: where the facts go and what that does to the texts.
 *
 * A sentence becomes a line of its own at a line border.  Depths are 5, 25, 50, 75 and 95 % of the
 * corpus's tokens in reading order, the start of a segment, and a place a few tokens before a
 * block's end, so that the sentence runs over it.  A text is planted in at most once while there
 * are others near; the sentences of one fact go to different documents where the corpus has
 * several.
 */
#include "prompts/eval_plan.h"
#include "prompts/mix.h"

#include <string.h>
#include "ingest/error.h"

#define BLOCK_TOKENS PD_SWEEP_BLOCK_TOKENS

/* What pd_eval_plan_facts asks for; look-alikes are planted and never asked. */
static const struct {
    PdEvalTask task;
    PdFactKind kind;
    const char *subtask;
    guint at_least; /* planted, however few are asked */
} kinds[] = {
    {PD_EVAL_NEEDLE, PD_FACT_LITERAL, "literal", 0},
    {PD_EVAL_NEEDLE, PD_FACT_KEY_VALUE, "multi-key", 16},
    {PD_EVAL_NEEDLE, PD_FACT_MULTI_VALUE, "multi-value", 0},
    {PD_EVAL_NEEDLE, PD_FACT_PARAPHRASE, "paraphrase", 0},
    {PD_EVAL_HOPS, PD_FACT_HOP, "hops", 0},
    {PD_EVAL_ABSENT, PD_FACT_ABSENT, "absent", 0},
};

typedef struct {
    const char *name;
    int percent; /* -1: any */
    gboolean at_segment;
    gboolean over_block;
} Depth;

static const Depth depths[] = {
    {"5", 5, FALSE, FALSE},     {"25", 25, FALSE, FALSE}, {"50", 50, FALSE, FALSE},
    {"75", 75, FALSE, FALSE},   {"95", 95, FALSE, FALSE}, {"segment", -1, TRUE, FALSE},
    {"block", -1, FALSE, TRUE},
};

PdEvalItem *
pd_eval_item_new(PdEvalTask task, const char *subtask, guint index, PdFact *fact)
{
    PdEvalItem *item = g_new0(PdEvalItem, 1);

    item->task = task;
    item->subtask = subtask;
    item->index = index;
    item->fact = fact;
    item->places = g_array_new(FALSE, TRUE, sizeof(PdEvalPlace));
    return item;
}

void
pd_eval_item_free(PdEvalItem *item)
{
    pd_fact_free(item->fact);
    g_array_unref(item->places);
    g_free(item);
}

static void
clear_plant(gpointer plant)
{
    g_free(((PdEvalPlant *)plant)->text);
}

PdEvalPlan *
pd_eval_plan_new(PdCorpus *corpus, PdTokenizer *tokenizer, const PdEvalOptions *options,
                 GPtrArray *notes, GCancellable *cancellable, GError **error)
{
    g_autoptr(PdEvalPlan) plan = g_new0(PdEvalPlan, 1);

    plan->corpus = corpus;
    plan->options = options;
    plan->notes = notes;
    plan->items = g_ptr_array_new_with_free_func((GDestroyNotify)pd_eval_item_free);
    plan->plants = g_array_new(FALSE, TRUE, sizeof(PdEvalPlant));
    g_array_set_clear_func(plan->plants, clear_plant);
    plan->taken = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    plan->segments = pd_corpus_segments(corpus, tokenizer, cancellable, error);
    if (!plan->segments)
        return NULL;
    plan->documents = pd_corpus_documents(corpus, tokenizer, error);
    return plan->documents ? g_steal_pointer(&plan) : NULL;
}

void
pd_eval_plan_free(PdEvalPlan *plan)
{
    g_ptr_array_unref(plan->items);
    g_array_unref(plan->plants);
    g_hash_table_unref(plan->taken);
    g_clear_pointer(&plan->segments, g_ptr_array_unref);
    g_clear_pointer(&plan->documents, g_ptr_array_unref);
    g_free(plan);
}

/* --- choosing places ------------------------------------------------------------------------- */

/* The search for a place: what is allowed in this round. */
typedef struct {
    PdEvalPlan *plan;
    guint64 *before;        /* tokens before each segment */
    GHashTable *barred;     /* part ids in which nothing is planted: mail headers and taken ones */
    GHashTable *used;       /* part id -> number of plants */
    GHashTable *borders;    /* "part:byte" set: never two plants at one border */
    GArray *fact_documents; /* of the present fact: gint64 */
    guint64 state;          /* of the random numbers */
} Search;

static guint64
draw(Search *search, guint64 below)
{
    search->state = pd_mix(search->state);
    return below ? search->state % below : 0;
}

static gboolean
is_line_start(const PdPartRow *part, guint32 at)
{
    return at == 0 || part->text[at - 1] == '\n';
}

/* The line border of [start, end) nearest to `wanted`, nobody's yet; FALSE: none. */
static gboolean
nearest_border(Search *search, const PdPartRow *part, guint32 start, guint32 end, guint32 wanted,
               guint32 *at)
{
    guint32 far = MAX(wanted - start, end - wanted);

    for (guint32 d = 0; d <= far; d++)
        for (int side = 0; side < 2; side++) {
            guint32 byte = side ? wanted + d : wanted - d;
            g_autofree char *name = NULL;

            if ((side ? d >= end - wanted : d > wanted - start) || !is_line_start(part, byte))
                continue;
            name = g_strdup_printf("%" G_GINT64_FORMAT ":%u", part->id, byte);
            if (!g_hash_table_contains(search->borders, name)) {
                *at = byte;
                return TRUE;
            }
        }
    return FALSE;
}

/* A line border among the last tokens of one of the segment's blocks. */
static gboolean
border_before_block_end(Search *search, const PdSegmentRow *row, const PdPartRow *part, guint32 *at)
{
    guint first = (guint)draw(search, row->n_tokens);

    for (guint i = 0; i < row->n_tokens; i++) {
        guint token = (first + i) % row->n_tokens;
        guint in_block = token % BLOCK_TOKENS;
        guint32 byte = row->offsets[token];

        if (in_block >= BLOCK_TOKENS - 10 && in_block < BLOCK_TOKENS - 1 &&
            nearest_border(search, part, byte, byte + 1, byte, at))
            return TRUE;
    }
    return FALSE;
}

static gboolean
place_in_segment(Search *search, const PdSegmentRow *row, const Depth *depth, guint64 token,
                 guint32 *at, gboolean *found, GError **error)
{
    g_autoptr(PdPartRow) part = pd_corpus_part(search->plan->corpus, row->part_id, error);

    *found = FALSE;
    if (!part)
        return FALSE;
    if (depth->over_block)
        *found = border_before_block_end(search, row, part, at);
    else if (depth->at_segment)
        *found = nearest_border(search, part, row->start, row->start + 1, row->start, at);
    else
        *found = nearest_border(search, part, row->start, row->end,
                                row->offsets[MIN(token, row->n_tokens - 1)], at);
    return TRUE;
}

static gboolean
holds(GArray *ids, gint64 id)
{
    for (guint i = 0; i < ids->len; i++)
        if (g_array_index(ids, gint64, i) == id)
            return TRUE;
    return FALSE;
}

/* Rounds: 0 as it should be, 1 a text may be planted in twice, 2 a document may hold two sentences
 * of a fact. */
static gboolean
allowed(Search *search, const PdSegmentRow *row, const Depth *depth, int round)
{
    if (row->n_tokens == 0 || g_hash_table_contains(search->barred, &row->part_id))
        return FALSE;
    if (round < 2 && holds(search->fact_documents, row->document_id))
        return FALSE;
    if (depth->at_segment && row->start == 0)
        return FALSE;
    return round > 0 || !g_hash_table_contains(search->used, &row->part_id);
}

/* The allowed place nearest to a token of the corpus. */
static gboolean
find_near(Search *search, const Depth *depth, guint64 token, int round, guint *segment, guint32 *at,
          GError **error)
{
    GPtrArray *segments = search->plan->segments;
    guint middle = 0;
    gboolean found = FALSE;

    while (middle + 1 < segments->len && search->before[middle + 1] <= token)
        middle++;
    for (guint d = 0; d < segments->len; d++)
        for (int side = d == 0; side < 2; side++) {
            guint i = side ? middle + d : middle - d;
            const PdSegmentRow *row;

            if (side ? middle + d >= segments->len : d > middle)
                continue;
            row = g_ptr_array_index(segments, i);
            if (!allowed(search, row, depth, round))
                continue;
            if (!place_in_segment(search, row, depth,
                                  d ? draw(search, row->n_tokens) : token - search->before[i], at,
                                  &found, error))
                return FALSE;
            if (found) {
                *segment = i;
                return TRUE;
            }
        }
    *segment = G_MAXUINT;
    return TRUE;
}

static void
count_up(GHashTable *counts, gint64 id)
{
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, &id));

    g_hash_table_replace(counts, g_memdup2(&id, sizeof id), GUINT_TO_POINTER(n + 1));
}

/* Plant one sentence; item NULL: a look-alike. */
static gboolean
plant(Search *search, const char *sentence, PdEvalItem *item, guint place, const Depth *depth,
      guint64 token, GError **error)
{
    static const Depth anywhere = {"any", -1, FALSE, FALSE};
    guint segment = G_MAXUINT;
    guint32 at = 0;

    for (int round = 0; round < 4 && segment == G_MAXUINT; round++)
        if (!find_near(search, round < 3 ? depth : &anywhere, token, MIN(round, 2), &segment, &at,
                       error))
            return FALSE;
    if (segment == G_MAXUINT) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "%s has no line left to plant a sentence at; ask for fewer --items or more "
                    "--tokens",
                    pd_corpus_dir(search->plan->corpus));
        return FALSE;
    }
    const PdSegmentRow *row = g_ptr_array_index(search->plan->segments, segment);
    PdEvalPlant planted = {row->part_id, at, at, g_strconcat(sentence, "\n", NULL), item, place};
    g_array_append_val(search->plan->plants, planted);
    g_hash_table_add(search->borders, g_strdup_printf("%" G_GINT64_FORMAT ":%u", row->part_id, at));
    count_up(search->used, row->part_id);
    g_array_append_val(search->fact_documents, row->document_id);
    return TRUE;
}

static guint64
token_at(Search *search, guint64 n_tokens, const Depth *depth)
{
    gint64 jitter = (gint64)draw(search, n_tokens / 25 + 1) - (gint64)(n_tokens / 50);
    gint64 at = depth->percent < 0 ? (gint64)draw(search, n_tokens)
                                   : (gint64)(n_tokens * (guint64)depth->percent / 100) + jitter;

    return (guint64)CLAMP(at, 0, (gint64)n_tokens - 1);
}

/* All sentences of a fact: the first at its depth, the others spread over the rest. */
static gboolean
plant_fact(Search *search, const PdFact *fact, PdEvalItem *item, guint index, GError **error)
{
    static const Depth anywhere = {"any", -1, FALSE, FALSE};
    const PdSegmentRow *last =
        g_ptr_array_index(search->plan->segments, search->plan->segments->len - 1);
    guint64 n_tokens = search->before[search->plan->segments->len - 1] + last->n_tokens;
    const Depth *depth = &depths[index % G_N_ELEMENTS(depths)];
    guint64 token = token_at(search, n_tokens, depth);
    guint n = fact->sentences->len;

    g_array_set_size(search->fact_documents, 0);
    if (item) {
        item->depth = n ? depth->name : NULL;
        g_array_set_size(item->places, n);
    }
    for (guint i = 0; i < n; i++)
        if (!plant(search, g_ptr_array_index(fact->sentences, i), item, i, i ? &anywhere : depth,
                   (token + n_tokens * i / n) % n_tokens, error))
            return FALSE;
    return TRUE;
}

static gboolean
plant_kind(Search *search, gsize k, GError **error)
{
    PdEvalPlan *plan = search->plan;
    guint n = plan->options->items;
    g_autoptr(GPtrArray) facts = NULL;
    gboolean spread = TRUE;

    if (!(plan->options->tasks & 1u << kinds[k].task))
        return TRUE;
    facts =
        pd_facts_new(kinds[k].kind, PD_FACTS_TEST, plan->options->seed, MAX(n, kinds[k].at_least));
    search->state = pd_mix(plan->options->seed ^ (k + 1) << 32);
    for (guint i = 0; i < facts->len; i++) {
        PdFact *fact = facts->pdata[i];
        PdEvalItem *item = NULL;

        if (i < n) {
            item = pd_eval_item_new(kinds[k].task, kinds[k].subtask, i, fact);
            g_ptr_array_add(plan->items, item);
            facts->pdata[i] = NULL;
        }
        if (!plant_fact(search, fact, item, i, error))
            return FALSE;
        for (guint a = 0; a < search->fact_documents->len; a++)
            for (guint b = a + 1; b < search->fact_documents->len; b++)
                spread &= g_array_index(search->fact_documents, gint64, a) !=
                          g_array_index(search->fact_documents, gint64, b);
    }
    if (!spread)
        g_ptr_array_add(plan->notes,
                        g_strdup_printf("%s: too few documents; some facts have two of their "
                                        "sentences in one",
                                        kinds[k].subtask));
    return TRUE;
}

/* Mail headers stay as they are, and what the other tasks ask about. */
static gboolean
bar_parts(Search *search, GError **error)
{
    GHashTableIter iter;
    gpointer id;
    gint64 last = -1;

    g_hash_table_iter_init(&iter, search->plan->taken);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        g_hash_table_add(search->barred, g_memdup2(id, sizeof(gint64)));
    for (guint i = 0; i < search->plan->segments->len; i++) {
        const PdSegmentRow *row = g_ptr_array_index(search->plan->segments, i);
        g_autoptr(PdPartRow) part = NULL;

        if (row->part_id == last)
            continue;
        last = row->part_id;
        part = pd_corpus_part(search->plan->corpus, row->part_id, error);
        if (!part)
            return FALSE;
        if (g_str_equal(part->path, "headers"))
            g_hash_table_add(search->barred, g_memdup2(&row->part_id, sizeof(gint64)));
    }
    return TRUE;
}

static void
search_clear(Search *search)
{
    g_free(search->before);
    g_hash_table_unref(search->barred);
    g_hash_table_unref(search->used);
    g_hash_table_unref(search->borders);
    g_array_unref(search->fact_documents);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Search, search_clear)

gboolean
pd_eval_plan_facts(PdEvalPlan *plan, GError **error)
{
    g_auto(Search) search = {
        .plan = plan,
        .before = g_new0(guint64, plan->segments->len + 1),
        .barred = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
        .used = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
        .borders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .fact_documents = g_array_new(FALSE, FALSE, sizeof(gint64)),
    };

    if (plan->segments->len == 0) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_LIMIT,
                    "%s holds no document of this length; give a larger --tokens",
                    pd_corpus_dir(plan->corpus));
        return FALSE;
    }
    for (guint i = 0; i + 1 < plan->segments->len; i++)
        search.before[i + 1] =
            search.before[i] +
            ((const PdSegmentRow *)g_ptr_array_index(plan->segments, i))->n_tokens;
    if (!bar_parts(&search, error))
        return FALSE;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++)
        if (!plant_kind(&search, k, error))
            return FALSE;
    return TRUE;
}

/* --- applying -------------------------------------------------------------------------------- */

static gint
compare_plants(gconstpointer a, gconstpointer b)
{
    const PdEvalPlant *x = a, *y = b;

    if (x->part_id != y->part_id)
        return x->part_id < y->part_id ? -1 : 1;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Places of untouched text move with it; those of planted sentences come into being. */
static void
move_places(PdEvalPlan *plan, GHashTable *edits_of)
{
    for (guint i = 0; i < plan->items->len; i++) {
        PdEvalItem *item = g_ptr_array_index(plan->items, i);

        for (guint p = 0; item->depth == NULL && p < item->places->len; p++) {
            PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, p);
            GArray *edits = g_hash_table_lookup(edits_of, &place->part_id);
            guint32 n = place->end - place->start;

            if (edits)
                place->start = pd_text_edits_map(edits, place->start);
            place->end = place->start + n;
        }
    }
    for (guint i = 0; i < plan->plants->len; i++) {
        PdEvalPlant *planted = &g_array_index(plan->plants, PdEvalPlant, i);
        PdEvalPlace *place;
        guint32 n = planted->text ? (guint32)strlen(planted->text) : 0;

        if (!planted->item)
            continue;
        place = &g_array_index(planted->item->places, PdEvalPlace, planted->place);
        place->part_id = planted->part_id;
        /* what stood at the border stands behind the line now */
        place->start =
            pd_text_edits_map(g_hash_table_lookup(edits_of, &planted->part_id), planted->start) - n;
        place->end = place->start + n - 1; /* without its line end */
    }
}

gboolean
pd_eval_plan_apply(PdEvalPlan *plan, GError **error)
{
    g_autoptr(GHashTable) edits_of =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)g_array_unref);
    GHashTableIter iter;
    gpointer id, edits;

    g_array_sort(plan->plants, compare_plants);
    for (guint i = 0; i < plan->plants->len; i++) {
        const PdEvalPlant *planted = &g_array_index(plan->plants, PdEvalPlant, i);
        PdTextEdit edit = {planted->start, planted->end, planted->text ? planted->text : "",
                           planted->text ? strlen(planted->text) : 0};
        GArray *list = g_hash_table_lookup(edits_of, &planted->part_id);

        if (!list) {
            list = g_array_new(FALSE, FALSE, sizeof(PdTextEdit));
            g_hash_table_insert(edits_of, g_memdup2(&planted->part_id, sizeof(gint64)), list);
        }
        g_array_append_val(list, edit);
    }
    move_places(plan, edits_of);
    g_hash_table_iter_init(&iter, edits_of);
    while (g_hash_table_iter_next(&iter, &id, &edits))
        if (!pd_corpus_edit_part(plan->corpus, *(gint64 *)id, edits, error))
            return FALSE;
    return TRUE;
}
