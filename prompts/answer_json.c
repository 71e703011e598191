/* An answer as JSON, schema pandect.answer/1.  Numbers of bytes are offsets in the part's stored
 * text. */
#include <json-glib/json-glib.h>
#include "prompts/ask.h"
#include "ingest/json_text.h"

static void
add_location(JsonBuilder *json, PdContext *context, const PdCitation *citation, GError **error)
{
    g_autofree char *text = pd_corpus_locate_json(context->corpus, citation->part_id,
                                                  citation->start, citation->end, error);
    g_autoptr(JsonNode) node = text ? json_from_string(text, error) : NULL;

    if (node) {
        json_builder_set_member_name(json, "source");
        json_builder_add_value(json, g_steal_pointer(&node));
    }
}

static gboolean
add_citations(JsonBuilder *json, const char *name, PdContext *context, const PdAnswer *answer,
              GArray *citations, GError **error)
{
    json_builder_set_member_name(json, name);
    json_builder_begin_array(json);
    for (guint i = 0; i < citations->len; i++) {
        const PdCitation *citation = &g_array_index(citations, PdCitation, i);
        g_autofree char *human = pd_corpus_locate(context->corpus, citation->part_id,
                                                  citation->start, citation->end, error);
        g_autoptr(GError) local = NULL;

        if (!human)
            return FALSE;
        json_builder_begin_object(json);
        pd_json_int(json, "index", i);
        pd_json_int(json, "document", citation->document_id);
        pd_json_int(json, "part", citation->part_id);
        pd_json_int(json, "start", citation->start);
        pd_json_int(json, "end", citation->end);
        pd_json_string(json, "quote", citation->quote);
        pd_json_string(json, "status", "exact");
        if (answer->attended)
            pd_json_double(json, "attention_share", citation->share);
        pd_json_double(json, "word_support", citation->support);
        pd_json_string(json, "human", human);
        add_location(json, context, citation, &local);
        json_builder_end_object(json);
        if (local) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
    }
    json_builder_end_array(json);
    return TRUE;
}

/* The passages that a sentence looked at, from a hundredth of its attention on. */
static void
add_attention(JsonBuilder *json, const PdAnswer *answer, const PdSentence *sentence)
{
    json_builder_set_member_name(json, "attention");
    json_builder_begin_array(json);
    for (guint i = 0; sentence->shares && i < answer->passages->len; i++) {
        if (sentence->shares[i] < 0.01f)
            continue;
        json_builder_begin_object(json);
        pd_json_int(json, "passage", g_array_index(answer->passages, PdPassage, i).number);
        pd_json_double(json, "share", sentence->shares[i]);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

static void
add_blocks(JsonBuilder *json, const PdAnswer *answer, gboolean why)
{
    json_builder_set_member_name(json, "blocks");
    json_builder_begin_array(json);
    for (guint i = 0; i < answer->sentences->len; i++) {
        const PdSentence *sentence = &g_array_index(answer->sentences, PdSentence, i);
        json_builder_begin_object(json);
        pd_json_string(json, "type", "text");
        pd_json_string(json, "text", sentence->text);
        json_builder_set_member_name(json, "citations");
        json_builder_begin_array(json);
        if (sentence->citation >= 0)
            json_builder_add_int_value(json, sentence->citation);
        json_builder_end_array(json);
        if (why && answer->attended)
            add_attention(json, answer, sentence);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

static void
add_passages(JsonBuilder *json, PdContext *context, const PdAnswer *answer)
{
    json_builder_set_member_name(json, "passages");
    json_builder_begin_array(json);
    for (guint i = 0; i < answer->passages->len; i++) {
        const PdPassage *passage = &g_array_index(answer->passages, PdPassage, i);
        const PdContextSegment *segment =
            &g_array_index(context->segments, PdContextSegment, passage->segment);
        guint32 start, end;

        pd_segment_bytes(segment->row, passage->first_token, passage->n_tokens, &start, &end);
        json_builder_begin_object(json);
        pd_json_int(json, "number", passage->number);
        pd_json_int(json, "document", segment->row->document_id);
        pd_json_int(json, "part", segment->row->part_id);
        pd_json_int(json, "start", start);
        pd_json_int(json, "end", end);
        pd_json_int(json, "tokens", passage->n_tokens);
        pd_json_bool(json, "fresh", passage->fresh);
        pd_json_double(json, "score", passage->score);
        pd_json_string(json, "header", segment->header);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

/* Which arms found a block, and what each of them says of it. */
static void
add_found_by(JsonBuilder *json, PdContext *context, const PdBlock *block)
{
    json_builder_set_member_name(json, "found_by");
    json_builder_begin_array(json);
    if (block->found_by & PD_FOUND_SWEEP)
        json_builder_add_string_value(json, "sweep");
    if (block->found_by & PD_FOUND_FTS)
        json_builder_add_string_value(json, "fts");
    if (block->found_by & PD_FOUND_LEAD)
        json_builder_add_string_value(json, "lead");
    json_builder_end_array(json);
    if (block->best_head >= 0) {
        const PdHead *head = &context->profile.retrieval[block->best_head];
        pd_json_int(json, "layer", head->layer);
        pd_json_int(json, "head", head->head);
        pd_json_bool(json, "by_keys", head->by_keys);
        pd_json_double(json, "head_score", block->best_z);
    }
    if (block->found_by & PD_FOUND_FTS)
        pd_json_double(json, "bm25", block->lexical);
    if (pd_block_is_ranked(block))
        pd_json_double(json, "likelihood", block->likelihood);
}

static void
add_why(JsonBuilder *json, PdContext *context, const PdAnswer *answer)
{
    json_builder_set_member_name(json, "why");
    json_builder_begin_array(json);
    for (guint i = 0; answer->blocks && i < MIN(answer->blocks->len, 64); i++) {
        const PdBlock *block = &g_array_index(answer->blocks, PdBlock, i);
        const PdContextSegment *segment =
            &g_array_index(context->segments, PdContextSegment, block->segment);
        guint32 start, end;

        pd_segment_bytes(segment->row, block->first_token, block->n_tokens, &start, &end);
        json_builder_begin_object(json);
        pd_json_int(json, "rank", i + 1);
        pd_json_double(json, "score", block->score);
        add_found_by(json, context, block);
        pd_json_int(json, "document", segment->row->document_id);
        pd_json_int(json, "part", segment->row->part_id);
        pd_json_int(json, "start", start);
        pd_json_int(json, "end", end);
        pd_json_int(json, "tokens", block->n_tokens);
        pd_json_string(json, "header", segment->header);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
}

static void
add_usage(JsonBuilder *json, const PdAnswer *answer)
{
    json_builder_set_member_name(json, "usage");
    json_builder_begin_object(json);
    pd_json_int(json, "corpus_tokens_encoded", (gint64)answer->warm.n_tokens_encoded);
    pd_json_int(json, "corpus_tokens_reused", (gint64)answer->warm.n_tokens_reused);
    pd_json_int(json, "prompt_tokens", answer->n_prompt_tokens);
    pd_json_int(json, "cached_tokens", answer->n_reused_tokens);
    pd_json_int(json, "readings", answer->n_readings);
    pd_json_int(json, "completion_tokens", answer->n_answer_tokens);
    pd_json_int(json, "reasoning_tokens", answer->n_thought_tokens);
    pd_json_int(json, "accepted_prediction_tokens", answer->n_guesses_used);
    pd_json_int(json, "rejected_prediction_tokens", answer->n_guesses - answer->n_guesses_used);
    pd_json_double(json, "warm_seconds", answer->warm.seconds);
    pd_json_double(json, "sweep_seconds", answer->sweep_seconds);
    pd_json_double(json, "read_seconds", answer->read_seconds);
    pd_json_double(json, "first_token_seconds", answer->first_token_seconds);
    pd_json_double(json, "decode_seconds", answer->decode_seconds);
    json_builder_end_object(json);
}

char *
pd_answer_to_json(PdContext *context, const char *question, const PdAnswer *answer, gboolean why,
                  GError **error)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    pd_json_string(json, "schema", "pandect.answer/1");
    pd_json_string(json, "status", answer->status == PD_ANSWERED ? "answered" : "not_found");
    pd_json_string(json, "question", question);
    pd_json_string(json, "answer", answer->text->str);
    if (answer->checked)
        pd_json_double(json, "support", answer->support);
    if (answer->stated)
        pd_json_string(json, "stated", pd_stated_name(answer->stated));
    if (answer->likelihood < 0)
        pd_json_double(json, "likelihood", answer->likelihood);
    if (answer->withheld) {
        pd_json_string(json, "withheld", answer->withheld);
        pd_json_bool(json, "near", answer->near);
    }
    if (answer->unread_names && answer->unread_names->len > 0)
        pd_json_strings(json, "unread_names", (char **)answer->unread_names->pdata,
                        answer->unread_names->len);
    pd_json_string(json, "model", answer->reader);
    if (answer->blocks && answer->arm != PD_ARM_FTS)
        pd_json_string(json, "sweeper", pd_model_name(context->model));
    pd_json_string(json, "reader", answer->reader);
    pd_json_string(json, "mode", pd_read_mode_name(context->mode));
    if (answer->blocks)
        pd_json_string(json, "arm", pd_arm_name(answer->arm));
    pd_json_string(json, "cited_by", pd_cite_method_name(answer->cite));
    pd_json_bool(json, "truncated", answer->truncated);
    add_blocks(json, answer, why);
    if (!add_citations(json, "citations", context, answer, answer->citations, error) ||
        (answer->withheld && !add_citations(json, "withheld_citations", context, answer,
                                            answer->withheld_citations, error)))
        return NULL;
    add_passages(json, context, answer);
    if (why)
        add_why(json, context, answer);
    add_usage(json, answer);
    json_builder_end_object(json);
    return pd_json_built(json);
}
