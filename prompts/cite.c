/* See cite.h. */
#include "prompts/cite.h"

#include <math.h>
#include <string.h>
#include "engine/sampler.h"
#include "prompts/choice.h"
#include "prompts/error.h"
#include "prompts/heading.h"
#include "prompts/layout.h"
#include "prompts/units.h"
#include "prompts/words.h"

static const char *const method_names[] = {[PD_CITE_AUTO] = "auto",
                                           [PD_CITE_ATTENTION] = "attention",
                                           [PD_CITE_WORDS] = "words",
                                           [PD_CITE_IDS] = "ids"};

const char *
pd_cite_method_name(PdCiteMethod method)
{
    return method_names[method];
}

PD_DEFINE_CHOICE_PARSER(pd_parse_cite_method, PdCiteMethod, method_names)

void
pd_citation_clear(gpointer citation)
{
    g_clear_pointer(&((PdCitation *)citation)->quote, g_free);
}

static float
passage_mass(const PdPassage *passage, const float *attention, int n_rows)
{
    double sum = 0;

    for (guint i = 0; i < passage->n_tokens && passage->first_row + (int)i < n_rows; i++)
        sum += attention[passage->first_row + i];
    return (float)sum;
}

guint
pd_cite_by_attention(GArray *passages, const float *attention, int n_rows, float *share)
{
    double total = 0;
    float best = -1;
    guint best_index = 0;

    for (guint i = 0; i < passages->len; i++) {
        float mass = passage_mass(&g_array_index(passages, PdPassage, i), attention, n_rows);
        total += mass;
        if (mass > best) {
            best = mass;
            best_index = i;
        }
    }
    *share = total > 0 ? (float)(best / total) : 0;
    return best_index;
}

float *
pd_cite_shares(GArray *passages, const float *attention, int n_rows)
{
    float *shares = g_new0(float, passages->len);
    float total = 0;

    for (guint i = 0; i < passages->len; i++) {
        shares[i] = passage_mass(&g_array_index(passages, PdPassage, i), attention, n_rows);
        total += shares[i];
    }
    for (guint i = 0; total > 0 && i < passages->len; i++)
        shares[i] /= total;
    return shares;
}

/* --- by constrained decoding --- */

/* The candidates' digits: tokens of "N]" for each passage, so that 1 and 12 end differently. */
static GPtrArray *
id_candidates(PdContext *context, GArray *passages)
{
    GPtrArray *candidates = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint i = 0; i < passages->len; i++) {
        GArray *ids = g_array_new(FALSE, FALSE, sizeof(gint32));
        g_autofree char *text =
            g_strdup_printf("%d]", g_array_index(passages, PdPassage, i).number);
        pd_layout_text(context->model, text, ids);
        g_ptr_array_add(candidates, ids);
    }
    return candidates;
}

/* The distinct tokens at place `depth` of the candidates still alive. */
static GArray *
next_allowed(GPtrArray *candidates, const gboolean *alive, guint depth)
{
    GArray *allowed = g_array_new(FALSE, FALSE, sizeof(gint32));

    for (guint i = 0; i < candidates->len; i++) {
        GArray *ids = g_ptr_array_index(candidates, i);
        gboolean seen = FALSE;
        if (!alive[i] || ids->len <= depth)
            continue;
        for (guint j = 0; j < allowed->len; j++)
            seen |= g_array_index(allowed, gint32, j) == g_array_index(ids, gint32, depth);
        if (!seen)
            g_array_append_val(allowed, g_array_index(ids, gint32, depth));
    }
    return allowed;
}

gboolean
pd_cite_by_id(PdContext *context, PdSession *session, int sequence, GArray *passages,
              guint *passage, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) candidates = id_candidates(context, passages);
    g_autofree gboolean *alive = g_new(gboolean, passages->len);
    int n_vocab = pd_model_shape(context->model)->n_vocab;
    g_autofree float *logits = g_new(float, n_vocab);
    g_autoptr(GArray) next = g_array_new(FALSE, FALSE, sizeof(gint32));
    int before = pd_session_n_tokens(session, sequence);
    guint n_alive = passages->len;

    for (guint i = 0; i < passages->len; i++)
        alive[i] = TRUE;
    pd_layout_text(context->model, " [", next);
    for (guint depth = 0; n_alive > 1; depth++) {
        g_autoptr(GArray) allowed = next_allowed(candidates, alive, depth);
        PdRun run = {.sequence = sequence,
                     .tokens = (const gint32 *)next->data,
                     .n_tokens = (int)next->len,
                     .logits = logits};
        gint32 picked;

        if (allowed->len == 0)
            break;
        if (!pd_session_run(session, &run, 1, cancellable, NULL, NULL, error)) {
            pd_session_truncate(session, sequence, before);
            return FALSE;
        }
        picked = pd_sampler_pick_of(logits, (const gint32 *)allowed->data, (int)allowed->len);
        g_array_set_size(next, 0);
        g_array_append_val(next, picked);
        n_alive = 0;
        for (guint i = 0; i < candidates->len; i++) {
            GArray *ids = g_ptr_array_index(candidates, i);
            alive[i] = alive[i] && ids->len > depth && g_array_index(ids, gint32, depth) == picked;
            n_alive += alive[i];
        }
    }
    pd_session_truncate(session, sequence, before);
    *passage = 0;
    for (guint i = 0; i < candidates->len; i++)
        if (alive[i]) {
            *passage = i;
            break;
        }
    return TRUE;
}

/* --- the quote --- */

/* The words of each passage. */
static GPtrArray *
passage_words(PdContext *context, GArray *passages, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)g_hash_table_unref);

    for (guint i = 0; i < passages->len; i++) {
        const PdPassage *passage = &g_array_index(passages, PdPassage, i);
        guint32 start, end;
        g_autoptr(PdPartRow) part = pd_passage_part(context, passage, &start, &end, error);

        if (!part)
            return NULL;
        g_ptr_array_add(all, pd_content_words(part->text + start, end - start));
    }
    return g_steal_pointer(&all);
}

/* Add to each passage's score the weighted share of the sentence's words that it holds. */
static void
add_word_scores(GPtrArray *all, const char *sentence, float *scores)
{
    g_autoptr(GHashTable) wanted = pd_content_words(sentence, strlen(sentence));
    g_autofree double *weights = g_new0(double, all->len);
    double total = 0;
    GHashTableIter iter;
    gpointer word;

    g_hash_table_iter_init(&iter, wanted);
    while (g_hash_table_iter_next(&iter, &word, NULL)) {
        guint n_holders = 0;
        double weight;
        for (guint i = 0; i < all->len; i++)
            n_holders += g_hash_table_contains(all->pdata[i], word);
        weight = log(1.0 + (double)all->len / MAX(n_holders, 1));
        total += n_holders ? weight : 0;
        for (guint i = 0; i < all->len; i++)
            weights[i] += g_hash_table_contains(all->pdata[i], word) ? weight : 0;
    }
    for (guint i = 0; total > 0 && i < all->len; i++)
        scores[i] += (float)(weights[i] / total);
}

gboolean
pd_cite_passage(PdContext *context, GArray *passages, const float *attention, int n_rows,
                const char *sentence, PdCitation *citation, GError **error)
{
    g_autoptr(GPtrArray) words = passage_words(context, passages, error);
    g_autofree float *shares = pd_cite_shares(passages, attention, n_rows);
    g_autofree float *scores = NULL;

    if (!words)
        return FALSE;
    scores = g_memdup2(shares, sizeof(float) * passages->len);
    add_word_scores(words, sentence, scores);
    citation->passage = 0;
    for (guint i = 1; i < passages->len; i++)
        if (scores[i] > scores[citation->passage])
            citation->passage = i;
    citation->share = shares[citation->passage];
    return TRUE;
}

/* Attention on the tokens that start inside the span. */
static float
span_mass(const PdSegmentRow *row, const PdPassage *passage, const float *attention,
          const PdUnit *span)
{
    double sum = 0;

    for (guint i = 0; i < passage->n_tokens; i++) {
        guint32 offset = row->offsets[passage->first_token + i];
        if (offset >= span->start && offset < span->end)
            sum += attention[passage->first_row + i];
    }
    return (float)sum;
}

/* The best unit: half by the words it shares with the answer, a quarter by attention, a little by
 * the question's words. */
static PdUnit
best_unit(const PdContextSegment *segment, const PdPassage *passage, const float *attention,
          const char *text, GArray *units, GHashTable *answer_words, GHashTable *question_words)
{
    float total = 1e-9f, best = -1;
    PdUnit chosen = g_array_index(units, PdUnit, 0);

    for (guint i = 0; i < units->len; i++)
        total += span_mass(segment->row, passage, attention, &g_array_index(units, PdUnit, i));
    for (guint i = 0; i < units->len; i++) {
        PdUnit *unit = &g_array_index(units, PdUnit, i);
        g_autoptr(GHashTable) words = pd_content_words(text + unit->start, unit->end - unit->start);
        float score = span_mass(segment->row, passage, attention, unit) / total +
                      pd_words_overlap(answer_words, words) +
                      0.25f * pd_words_overlap(question_words, words);
        if (score > best) {
            best = score;
            chosen = *unit;
        }
    }
    return chosen;
}

/* A token may begin or end inside a character; a quote does not. */
static void
whole_characters(const PdPartRow *part, guint32 *start, guint32 *end)
{
    while (*start < *end && ((guchar)part->text[*start] & 0xc0) == 0x80)
        (*start)++;
    while (*end > *start && *end < part->n_bytes && ((guchar)part->text[*end] & 0xc0) == 0x80)
        (*end)--;
}

gboolean
pd_cite_quote(PdContext *context, const PdPassage *passage, const float *attention,
              const char *sentence, const char *question, PdCitation *citation, GError **error)
{
    PdContextSegment *segment =
        &g_array_index(context->segments, PdContextSegment, passage->segment);
    guint32 start, end;
    g_autoptr(PdPartRow) part = pd_passage_part(context, passage, &start, &end, error);
    g_autoptr(GHashTable) answer_words = pd_content_words(sentence, strlen(sentence));
    g_autoptr(GHashTable) question_words = pd_content_words(question, strlen(question));
    g_autoptr(GHashTable) passage_words = NULL;
    g_autoptr(GArray) units = NULL;
    PdUnit span;

    if (!part)
        return FALSE;
    whole_characters(part, &start, &end);
    units = pd_units_split(part->text, start, end, pd_text_in_lines(segment->document));
    span = units->len ? best_unit(segment, passage, attention, part->text, units, answer_words,
                                  question_words)
                      : (PdUnit){start, start}; /* nothing but blanks */
    passage_words = pd_content_words(part->text + start, end - start);
    citation->part_id = part->id;
    citation->document_id = part->document_id;
    citation->start = span.start;
    citation->end = span.end;
    citation->quote = g_strndup(part->text + span.start, span.end - span.start);
    citation->support = pd_words_overlap(answer_words, passage_words);
    return TRUE;
}
