/* See select.h. */
#include "prompts/select.h"

#include <string.h>
#include "prompts/words.h"

/* Half-open range of a segment's own tokens. */
typedef struct {
    guint segment;
    guint first;
    guint last;
    float score;
    gboolean fresh;
} Range;

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

static Range
expand(PdContext *context, const PdBlock *block)
{
    PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, block->segment);
    PdTokenizer *tokenizer = pd_model_tokenizer(context->model);
    const PdSegmentRow *row = segment->row;
    int first = MAX((int)block->first_token - PD_SELECT_MARGIN_TOKENS, 0);
    int last = MIN((int)(block->first_token + block->n_tokens) + PD_SELECT_MARGIN_TOKENS,
                   (int)row->n_tokens);

    if (row->n_tokens <= PD_SELECT_WHOLE_TOKENS)
        return (Range){block->segment, 0, row->n_tokens, block->score, FALSE};
    last = CLAMP(last, 1, (int)row->n_tokens);
    for (int i = 0; i < PD_SELECT_MARGIN_TOKENS && first > 0; i++, first--)
        if (starts_line(tokenizer, row, (guint)first))
            break;
    for (int i = 0; i < PD_SELECT_MARGIN_TOKENS && last < (int)row->n_tokens; i++, last++)
        if (starts_line(tokenizer, row, (guint)last))
            break;
    return (Range){block->segment, (guint)first, (guint)last, block->score, FALSE};
}

/* Grow a range that touches the new one, or add it; returns the number of tokens that came in. */
static guint
merge(PdContext *context, GArray *ranges, Range added)
{
    PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, added.segment);
    guint before = 0;

    for (guint i = 0; i < ranges->len;) {
        Range *range = &g_array_index(ranges, Range, i);
        if (range->segment != added.segment || range->first > added.last ||
            added.first > range->last) {
            i++;
            continue;
        }
        before += range->last - range->first + segment->header_ids->len + 4;
        added.first = MIN(added.first, range->first);
        added.last = MAX(added.last, range->last);
        added.score = MAX(added.score, range->score);
        g_array_remove_index(ranges, i);
    }
    g_array_append_val(ranges, added);
    return added.last - added.first + segment->header_ids->len + 4 - before;
}

static int
compare_ranges(gconstpointer a, gconstpointer b)
{
    const Range *x = a, *y = b;

    if (x->fresh != y->fresh)
        return x->fresh ? 1 : -1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static guint
range_cost(PdContext *context, const Range *range)
{
    const PdContextSegment *segment =
        &g_array_index(context->segments, PdContextSegment, range->segment);

    return range->last - range->first + segment->header_ids->len + 4; /* 4: "\n[12] " */
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
    const PdContextSegment *segment =
        &g_array_index(context->segments, PdContextSegment, range->segment);
    PdTokenizer *tokenizer = pd_model_tokenizer(context->model);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GPtrArray) words = NULL;
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
    guint first = 0, last;

    for (guint i = range->first; i < range->last; i++)
        pd_tokenizer_decode(tokenizer, segment->row->ids[i], FALSE, text);
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
} Choice;

static gboolean
touches_one(const Choice *choice, const Range *range)
{
    for (guint i = 0; i < choice->ranges->len; i++) {
        const Range *other = &g_array_index(choice->ranges, Range, i);
        if (other->segment == range->segment && other->first <= range->last &&
            range->first <= other->last)
            return TRUE;
    }
    return FALSE;
}

static gboolean
document_is_full(const Choice *choice, const Range *range)
{
    GArray *segments = choice->context->segments;
    gint64 document = g_array_index(segments, PdContextSegment, range->segment).row->document_id;
    guint n = 0;

    for (guint i = 0; i < choice->ranges->len; i++) {
        guint segment = g_array_index(choice->ranges, Range, i).segment;
        n += g_array_index(segments, PdContextSegment, segment).row->document_id == document;
    }
    return n >= PD_SELECT_PER_DOCUMENT;
}

/* FALSE: the budget is full.  `later` (may be NULL) gets blocks of documents that had their share.
 */
static gboolean
take_block(Choice *choice, const PdBlock *block, GArray *later)
{
    Range range = expand(choice->context, block);

    if (choice->ranges->len > 0) {
        if (!touches_one(choice, &range)) {
            if (later && document_is_full(choice, &range)) {
                g_array_append_vals(later, block, 1);
                return TRUE;
            }
            if (!says_something_new(choice->context, &range, choice->read))
                return TRUE;
        }
        if (choice->used + range_cost(choice->context, &range) > choice->budget)
            return FALSE;
    }
    choice->used += merge(choice->context, choice->ranges, range);
    remember(choice->context, &range, choice->read);
    return TRUE;
}

static void
fill_budget(Choice *choice, GArray *blocks)
{
    guint n_candidates = MIN(blocks->len, MAX(PD_SELECT_CANDIDATES, blocks->len * 3 / 1000));
    g_autoptr(GArray) later = g_array_new(FALSE, FALSE, sizeof(PdBlock));

    for (guint i = 0; i < n_candidates; i++)
        if (!take_block(choice, &g_array_index(blocks, PdBlock, i), later))
            return;
    for (guint i = 0; i < later->len; i++)
        if (!take_block(choice, &g_array_index(later, PdBlock, i), NULL))
            return;
    for (guint i = n_candidates; i < blocks->len; i++)
        if (!take_block(choice, &g_array_index(blocks, PdBlock, i), NULL))
            return;
}

GArray *
pd_select_passages(PdContext *context, GArray *blocks, guint budget_tokens, guint fresh_tokens)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    g_autoptr(GHashTable) read = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GArray *passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    Choice choice = {.context = context, .ranges = ranges, .read = read, .budget = budget_tokens};

    fill_budget(&choice, blocks);
    mark_fresh(context, ranges, fresh_tokens);
    g_array_sort(ranges, compare_ranges);
    for (guint i = 0; i < ranges->len; i++) {
        Range *range = &g_array_index(ranges, Range, i);
        PdPassage passage = {.number = (int)i + 1,
                             .segment = range->segment,
                             .first_token = range->first,
                             .n_tokens = range->last - range->first,
                             .fresh = range->fresh,
                             .score = range->score};
        g_array_append_val(passages, passage);
    }
    return passages;
}
