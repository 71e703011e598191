/* See select.h. */
#include "prompts/select.h"

#include <string.h>

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

GArray *
pd_select_passages(PdContext *context, GArray *blocks, guint budget_tokens, guint fresh_tokens)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    GArray *passages = g_array_new(FALSE, FALSE, sizeof(PdPassage));
    guint used = 0;

    for (guint i = 0; i < blocks->len; i++) {
        Range range = expand(context, &g_array_index(blocks, PdBlock, i));

        if (i > 0 && used + range_cost(context, &range) > budget_tokens)
            break;
        used += merge(context, ranges, range);
    }
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
