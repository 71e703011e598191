/* See follow.h. */
#include "prompts/follow.h"

#include <string.h>
#include "prompts/heading.h"
#include "prompts/lexical.h"
#include "prompts/sweep.h"
#include "prompts/units.h"
#include "prompts/words.h"

/* The sentence that leads on, and the block it was found in. */
typedef struct {
    char *text;
    const PdBlock *block;
    float overlap;
} Lead;

static void
lead_clear(Lead *lead)
{
    g_free(lead->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Lead, lead_clear)

/* Take a unit of this block for the lead if it shares more words with the question. */
static gboolean
look_for_lead(PdContext *context, GHashTable *wanted, const PdBlock *block, Lead *lead,
              GError **error)
{
    const PdContextSegment *segment =
        &g_array_index(context->segments, PdContextSegment, block->segment);
    PdPassage around = pd_block_passage(context, block, PD_LEXICAL_MARGIN_TOKENS);
    guint32 start, end;
    g_autoptr(PdPartRow) part = pd_passage_part(context, &around, &start, &end, error);
    g_autoptr(GArray) units = NULL;

    if (!part)
        return FALSE;
    units = pd_units_split(part->text, start, end, pd_text_in_lines(segment->document));
    for (guint i = 0; i < units->len; i++) {
        const PdUnit *unit = &g_array_index(units, PdUnit, i);
        gsize n = unit->end - unit->start;
        g_autoptr(GHashTable) words = pd_content_words(part->text + unit->start, n);
        float overlap = pd_words_overlap(wanted, words);

        if (overlap <= lead->overlap)
            continue;
        g_free(lead->text);
        *lead = (Lead){g_strndup(part->text + unit->start, n), block, overlap};
    }
    return TRUE;
}

/* The words of the lead that the question does not have. */
static char *
new_words(const char *question, const char *lead)
{
    g_autoptr(GPtrArray) words = pd_words(lead, strlen(lead)),
                         asked = pd_words(question, strlen(question));
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    GString *query = g_string_new(NULL);

    for (guint i = 0; i < asked->len; i++)
        g_hash_table_add(known, asked->pdata[i]);
    for (guint i = 0; i < words->len; i++)
        if (g_hash_table_add(known, words->pdata[i]) && !pd_word_is_empty(words->pdata[i]))
            g_string_append_printf(query, "%s ", (char *)words->pdata[i]);
    return g_string_free(query, FALSE);
}

/* Blocks that touch the lead's own say nothing that is not there already. */
static void
leave_out_neighbours(GArray *found, const PdBlock *of)
{
    for (guint i = found->len; i-- > 0;) {
        const PdBlock *block = &g_array_index(found, PdBlock, i);
        if (block->segment == of->segment && block->first_token <= of->first_token + of->n_tokens &&
            of->first_token <= block->first_token + block->n_tokens)
            g_array_remove_index(found, i);
    }
}

gboolean
pd_follow_lead(PdContext *context, const char *question, GArray *blocks, GCancellable *cancellable,
               GError **error)
{
    g_autoptr(GHashTable) wanted = pd_content_words(question, strlen(question));
    g_auto(Lead) lead = {0};
    g_autofree char *query = NULL;
    g_autoptr(GArray) found = NULL;

    for (guint i = 0; i < MIN(blocks->len, PD_FOLLOW_FROM); i++)
        if (!look_for_lead(context, wanted, &g_array_index(blocks, PdBlock, i), &lead, error))
            return FALSE;
    if (!lead.text)
        return TRUE;
    query = new_words(question, lead.text);
    if (!*query)
        return TRUE;
    found = pd_lexical_search(context, query, PD_FOLLOW_FOUND, cancellable, error);
    if (!found)
        return FALSE;
    leave_out_neighbours(found, lead.block);
    pd_lexical_mix(blocks, found, PD_FOLLOW_EVERY, PD_FOLLOW_BLOCKS, PD_FOUND_LEAD);
    return TRUE;
}
