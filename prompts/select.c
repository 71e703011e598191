/* See select.h. */
#include "prompts/select.h"

#include <math.h>
#include <string.h>
#include "prompts/heading.h"
#include "prompts/rerank.h"
#include "prompts/words.h"

/* Half-open run of a segment's own tokens. */
typedef struct {
    guint segment;
    guint first;
    guint last;
} Run;

typedef struct {
    Run run;
    Run heading; /* what is read before it; empty: nothing */
    float score;
    gboolean fresh;
} Range;

static PdContextSegment *
segment_at(PdContext *context, guint segment)
{
    return &g_array_index(context->segments, PdContextSegment, segment);
}

/* Does a line start at this token?  Looks at the stored text's bytes through the token's own
 * decode. */
static gboolean
starts_line(PdTokenizer *tokenizer, const PdSegmentRow *row, guint token)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (token == 0)
        return TRUE;
    pd_tokenizer_decode(tokenizer, row->ids[token - 1], FALSE, text);
    return text->len > 0 && memchr(text->str, '\n', text->len) != NULL;
}

static Run
expand(PdContext *context, const PdBlock *block)
{
    PdTokenizer *tokenizer = pd_model_tokenizer(context->model);
    const PdSegmentRow *row = segment_at(context, block->segment)->row;
    int first = MAX((int)block->first_token - PD_SELECT_MARGIN_TOKENS, 0);
    int last = MIN((int)(block->first_token + block->n_tokens) + PD_SELECT_MARGIN_TOKENS,
                   (int)row->n_tokens);

    if (row->n_tokens <= PD_SELECT_WHOLE_TOKENS)
        return (Run){block->segment, 0, row->n_tokens};
    last = CLAMP(last, 1, (int)row->n_tokens);
    for (int i = 0; i < PD_SELECT_MARGIN_TOKENS && first > 0; i++, first--)
        if (starts_line(tokenizer, row, (guint)first))
            break;
    for (int i = 0; i < PD_SELECT_MARGIN_TOKENS && last < (int)row->n_tokens; i++, last++)
        if (starts_line(tokenizer, row, (guint)last))
            break;
    return (Run){block->segment, (guint)first, (guint)last};
}

/* The tokens of bytes [start, end] of the part that `segment` is of, in it or in one before it. */
static Run
run_of_bytes(PdContext *context, guint segment, guint32 start, guint32 end)
{
    const PdSegmentRow *row = segment_at(context, segment)->row;
    gint64 part_id = row->part_id;
    Run run = {0};

    while (row->start > start && segment > 0) {
        row = segment_at(context, --segment)->row;
        if (row->part_id != part_id)
            return run;
    }
    if (row->start > start || row->end <= start)
        return run;
    run.segment = segment;
    while (run.first + 1 < row->n_tokens && row->offsets[run.first + 1] <= start)
        run.first++;
    for (run.last = run.first + 1; run.last < row->n_tokens && row->offsets[run.last] <= end;)
        run.last++;
    return run;
}

/* Give a range the line that says what it belongs to: grown to it where it is near. */
static gboolean
find_heading(PdContext *context, Range *range, GError **error)
{
    const PdContextSegment *segment = segment_at(context, range->run.segment);
    PdTextKind kind = pd_text_kind(segment->document);
    g_autoptr(PdPartRow) part = NULL;
    guint32 start, end;

    if (kind == PD_TEXT_PLAIN || kind == PD_TEXT_TABLE)
        return TRUE;
    part = pd_corpus_part(context->corpus, segment->row->part_id, error);
    if (!part)
        return FALSE;
    if (!pd_heading_before(kind, part->text, part->n_bytes, segment->row->offsets[range->run.first],
                           &start, &end))
        return TRUE;
    range->heading = run_of_bytes(context, range->run.segment, start, end);
    if (range->heading.last > 0 && range->heading.segment == range->run.segment &&
        range->heading.last + PD_SELECT_HEADING_GAP_TOKENS >= range->run.first) {
        range->run.first = range->heading.first;
        range->heading = (Run){0};
    }
    return TRUE;
}

static guint
run_cost(PdContext *context, const Run *run)
{
    return run->last > run->first
               ? run->last - run->first + segment_at(context, run->segment)->header_ids->len +
                     4 /* "\n[12] " */
               : 0;
}

static guint
range_cost(PdContext *context, const Range *range)
{
    return run_cost(context, &range->run) + run_cost(context, &range->heading);
}

/* Grow a range that touches the new one, or add it; returns the number of tokens that came in. */
static guint
merge(PdContext *context, GArray *ranges, Range added)
{
    guint before = 0;

    for (guint i = 0; i < ranges->len;) {
        Range *range = &g_array_index(ranges, Range, i);
        if (range->run.segment != added.run.segment || range->run.first > added.run.last ||
            added.run.first > range->run.last) {
            i++;
            continue;
        }
        before += range_cost(context, range);
        if (range->run.first <= added.run.first)
            added.heading = range->heading;
        added.run.first = MIN(added.run.first, range->run.first);
        added.run.last = MAX(added.run.last, range->run.last);
        added.score = MAX(added.score, range->score);
        g_array_remove_index(ranges, i);
    }
    g_array_append_val(ranges, added);
    return range_cost(context, &added) - before;
}

/* Mark the best ranges fresh: the best one always, then while they fit. */
static void
mark_fresh(PdContext *context, GArray *ranges, guint fresh_tokens)
{
    guint used = 0;

    while (fresh_tokens > 0) {
        Range *best = NULL;
        for (guint i = 0; i < ranges->len; i++) {
            Range *range = &g_array_index(ranges, Range, i);
            if (!range->fresh && (!best || range->score > best->score))
                best = range;
        }
        if (!best || (used > 0 && used + range_cost(context, best) > fresh_tokens))
            return;
        best->fresh = TRUE;
        used += range_cost(context, best);
    }
}

/* --- what is new --- */

#define SHINGLE_WORDS 3
/* The first and last words of a passage may be cut. */
#define CUT_WORDS 2

/* Every SHINGLE_WORDS words in a row of a range; all of its words as one where it has fewer. */
static GPtrArray *
shingles(PdContext *context, const Range *range)
{
    const PdSegmentRow *row = segment_at(context, range->run.segment)->row;
    PdTokenizer *tokenizer = pd_model_tokenizer(context->model);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GPtrArray) words = NULL;
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
    guint first = 0, last;

    for (guint i = range->run.first; i < range->run.last; i++)
        pd_tokenizer_decode(tokenizer, row->ids[i], FALSE, text);
    words = pd_words(text->str, text->len);
    last = words->len;
    if (words->len > 4 * CUT_WORDS) {
        first += CUT_WORDS;
        last -= CUT_WORDS;
    }
    do {
        GString *shingle = g_string_new(NULL);
        for (guint i = first; i < MIN(first + SHINGLE_WORDS, last); i++)
            g_string_append_printf(shingle, "%s ", (char *)words->pdata[i]);
        g_ptr_array_add(all, g_string_free(shingle, FALSE));
        first++;
    } while (first + SHINGLE_WORDS <= last);
    return all;
}

/* Is there a shingle that was not read before? */
static gboolean
says_something_new(PdContext *context, const Range *range, GHashTable *read)
{
    g_autoptr(GPtrArray) of_range = shingles(context, range);
    gboolean is_new = FALSE;

    for (guint i = 0; i < of_range->len; i++)
        is_new |= !g_hash_table_contains(read, of_range->pdata[i]);
    return is_new;
}

static void
remember(PdContext *context, const Range *range, GHashTable *read)
{
    g_autoptr(GPtrArray) of_range = shingles(context, range);

    g_ptr_array_set_free_func(of_range, NULL);
    for (guint i = 0; i < of_range->len; i++)
        g_hash_table_add(read, of_range->pdata[i]);
}

/* --- the choice --- */

typedef struct {
    PdContext *context;
    GArray *ranges;
    GHashTable *read; /* shingles of the ranges */
    guint used;
    guint budget;
    float best_score;
    float best_lexical;
    gboolean ranked; /* their merit says what stands out */
    float least_merit;
} Choice;

static void
find_best(Choice *choice, GArray *blocks, float margin)
{
    float best = -INFINITY, sum = 0; /* of the merit of those that were read */
    guint n_ranked = 0;

    for (guint i = 0; i < blocks->len; i++) {
        const PdBlock *block = &g_array_index(blocks, PdBlock, i);

        choice->best_score = MAX(choice->best_score, block->score);
        choice->best_lexical = MAX(choice->best_lexical, block->lexical);
        if (!pd_block_is_ranked(block))
            continue;
        best = MAX(best, pd_rerank_merit(block));
        sum += pd_rerank_merit(block);
        n_ranked++;
    }
    choice->ranked = n_ranked > 0 && margin > 0;
    if (choice->ranked)
        choice->least_merit = MAX(best - margin, (best + sum / (float)n_ranked) / 2);
}

/* What is far behind the best only distracts a small model. */
static gboolean
stands_out(const Choice *choice, const PdBlock *block)
{
    if (choice->ranked)
        return block->found_by & PD_FOUND_LEAD ||
               (pd_block_is_ranked(block) && pd_rerank_merit(block) >= choice->least_merit);
    return !(block->found_by & PD_FOUND_SWEEP) || block->found_by & PD_FOUND_LEAD ||
           block->score >= PD_SELECT_STANDS_OUT * choice->best_score ||
           (block->found_by & PD_FOUND_FTS &&
            block->lexical >= PD_SELECT_STANDS_OUT * choice->best_lexical);
}

static gboolean
touches_one(const Choice *choice, const Range *range)
{
    for (guint i = 0; i < choice->ranges->len; i++) {
        const Range *other = &g_array_index(choice->ranges, Range, i);
        if (other->run.segment == range->run.segment && other->run.first <= range->run.last &&
            range->run.first <= other->run.last)
            return TRUE;
    }
    return FALSE;
}

static gboolean
document_is_full(const Choice *choice, const Range *range)
{
    gint64 document = segment_at(choice->context, range->run.segment)->row->document_id;
    guint n = 0;

    for (guint i = 0; i < choice->ranges->len; i++) {
        guint segment = g_array_index(choice->ranges, Range, i).run.segment;
        n += segment_at(choice->context, segment)->row->document_id == document;
    }
    return n >= PD_SELECT_PER_DOCUMENT;
}

typedef enum { TAKE_NEXT, TAKE_FULL, TAKE_FAILED } Take;

/* FULL: the budget is.  `later` (may be NULL) gets blocks of documents that had their share. */
static Take
take_block(Choice *choice, const PdBlock *block, GArray *later, GError **error)
{
    PdContext *context = choice->context;
    Range range = {.run = expand(context, block), .score = block->score};
    gboolean first = choice->ranges->len == 0, touches = touches_one(choice, &range);

    if (!first && !touches && later && document_is_full(choice, &range)) {
        g_array_append_vals(later, block, 1);
        return TAKE_NEXT;
    }
    if (!first && !touches && !says_something_new(context, &range, choice->read))
        return TAKE_NEXT;
    if (!find_heading(context, &range, error))
        return TAKE_FAILED;
    if (!first && choice->used + range_cost(context, &range) > choice->budget)
        return TAKE_FULL;
    choice->used += merge(context, choice->ranges, range);
    remember(context, &range, choice->read);
    return TAKE_NEXT;
}

static guint
least_tokens(const Choice *choice)
{
    return choice->ranked ? PD_SELECT_LEAST_RANKED : PD_SELECT_LEAST_TOKENS;
}

/* Blocks [first, last), until the budget is full. */
static Take
take_blocks(Choice *choice, GArray *blocks, guint first, guint last, GArray *later, GError **error)
{
    Take take = TAKE_NEXT;

    for (guint i = first; i < last && take == TAKE_NEXT; i++) {
        const PdBlock *block = &g_array_index(blocks, PdBlock, i);
        if (choice->used < least_tokens(choice) || stands_out(choice, block))
            take = take_block(choice, block, later, error);
    }
    return take;
}

static gboolean
fill_budget(Choice *choice, GArray *blocks, GError **error)
{
    guint n_candidates = MIN(blocks->len, MAX(PD_SELECT_CANDIDATES, blocks->len * 3 / 1000));
    g_autoptr(GArray) later = g_array_new(FALSE, FALSE, sizeof(PdBlock));
    Take take = take_blocks(choice, blocks, 0, n_candidates, later, error);

    if (take == TAKE_NEXT)
        take = take_blocks(choice, later, 0, later->len, NULL, error);
    if (take == TAKE_NEXT)
        take = take_blocks(choice, blocks, n_candidates, blocks->len, NULL, error);
    return take != TAKE_FAILED;
}

/* --- in the order in which they are read --- */

static int
compare_passages(gconstpointer a, gconstpointer b)
{
    const PdPassage *x = a, *y = b;

    if (x->fresh != y->fresh)
        return x->fresh ? 1 : -1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->first_token < y->first_token ? -1 : x->first_token > y->first_token;
}

/* Is all of this run in one of the passages that stand with it? */
static gboolean
is_read(GArray *passages, const Run *run, gboolean fresh)
{
    for (guint i = 0; i < passages->len; i++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, i);
        if (passage->fresh == fresh && passage->segment == run->segment &&
            passage->first_token <= run->first &&
            run->last <= passage->first_token + passage->n_tokens)
            return TRUE;
    }
    return FALSE;
}

static void
add_passage(GArray *passages, const Range *range, const Run *run)
{
    PdPassage passage = {.segment = run->segment,
                         .first_token = run->first,
                         .n_tokens = run->last - run->first,
                         .fresh = range->fresh,
                         .score = range->score};

    g_array_append_val(passages, passage);
}

static GArray *
list_passages(GArray *ranges)
{
    GArray *passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));

    for (guint i = 0; i < ranges->len; i++) {
        Range *range = &g_array_index(ranges, Range, i);
        add_passage(passages, range, &range->run);
    }
    for (guint i = 0; i < ranges->len; i++) {
        Range *range = &g_array_index(ranges, Range, i);
        if (range->heading.last > 0 && !is_read(passages, &range->heading, range->fresh))
            add_passage(passages, range, &range->heading);
    }
    g_array_sort(passages, compare_passages);
    for (guint i = 0; i < passages->len; i++)
        g_array_index(passages, PdPassage, i).number = (int)i + 1;
    return passages;
}

GArray *
pd_select_passages(PdContext *context, GArray *blocks, const PdSelection *selection, GError **error)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    g_autoptr(GHashTable) read = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Choice choice = {
        .context = context, .ranges = ranges, .read = read, .budget = selection->budget_tokens};

    find_best(&choice, blocks, selection->likely_margin);
    if (!fill_budget(&choice, blocks, error))
        return NULL;
    mark_fresh(context, ranges, selection->fresh_tokens);
    return list_passages(ranges);
}
