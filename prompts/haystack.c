/*
 * See haystack.h.  Texts are changed first (comments out, sentences in), then every needle is
 * looked for in the text as it is, and the tokens it covers name its blocks.
 */
#include "prompts/haystack.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "prompts/error.h"
#include "prompts/facts.h"

#define N_FUNCTIONS_MAX 48
#define TEXT_BYTES_MIN 80 /* of a segment that something is planted in */

/* A segment's text while it is worked on. */
typedef struct {
    char *text;
    const GArray *header_ids;
    guint n_tokens;    /* as stored in the corpus */
    gboolean is_fixed; /* holds evidence of a given question: nothing is planted here */
    gboolean is_taken;
} Draft;

/* One needle of one question. */
typedef struct {
    guint question;
    guint group;
    int draft; /* -1: wherever it stands */
    char *text;
} Needle;

typedef struct {
    PdHaystack *haystack;
    PdModel *model;
    GRand *random;
    GArray *drafts;  /* Draft */
    GArray *needles; /* Needle */
} Builder;

static void
clear_draft(gpointer data)
{
    g_free(((Draft *)data)->text);
}

static void
clear_needle(gpointer data)
{
    g_free(((Needle *)data)->text);
}

static void
clear_segment(gpointer data)
{
    g_clear_pointer(&((PdHaySegment *)data)->ids, g_array_unref);
}

static void
free_question(gpointer data)
{
    PdHayQuestion *question = data;

    g_free(question->text);
    g_ptr_array_unref(question->groups);
    g_free(question);
}

void
pd_haystack_free(PdHaystack *haystack)
{
    if (!haystack)
        return;
    g_array_unref(haystack->segments);
    g_ptr_array_unref(haystack->questions);
    g_free(haystack);
}

static void
builder_clear(Builder *builder)
{
    g_clear_pointer(&builder->haystack, pd_haystack_free);
    g_clear_pointer(&builder->random, g_rand_free);
    g_clear_pointer(&builder->drafts, g_array_unref);
    g_clear_pointer(&builder->needles, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Builder, builder_clear)

/* Runs of white space and of mail quoting become one blank, so that quotes match across lines. */
static char *
fold(const char *text, gsize n, GArray *offsets)
{
    GString *out = g_string_new(NULL);

    for (gsize i = 0; i < n; i++) {
        gboolean blank =
            g_ascii_isspace(text[i]) || (text[i] == '>' && (i == 0 || text[i - 1] == '\n'));
        guint32 at = (guint32)i;
        if (blank && out->len && out->str[out->len - 1] == ' ')
            continue;
        g_string_append_c(out, blank ? ' ' : text[i]);
        if (offsets)
            g_array_append_val(offsets, at);
    }
    return g_string_free(out, FALSE);
}

static guint
add_question(Builder *builder, const char *kind, const char *text, guint n_groups)
{
    PdHayQuestion *question = g_new0(PdHayQuestion, 1);

    question->kind = kind;
    question->text = g_strdup(text);
    question->groups = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    for (guint g = 0; g < n_groups; g++)
        g_ptr_array_add(question->groups, g_array_new(FALSE, FALSE, sizeof(guint)));
    g_ptr_array_add(builder->haystack->questions, question);
    return builder->haystack->questions->len - 1;
}

static void
add_needle(Builder *builder, guint question, guint group, int draft, const char *text)
{
    Needle needle = {.question = question,
                     .group = group,
                     .draft = draft,
                     .text = fold(text, strlen(text), NULL)};

    g_array_append_val(builder->needles, needle);
}

static gboolean
add_drafts(Builder *builder, PdContext *context, GError **error)
{
    g_autoptr(PdPartRow) part = NULL;

    for (guint s = 0; s < context->segments->len; s++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        Draft draft = {.header_ids = segment->header_ids, .n_tokens = segment->row->n_tokens};

        if (!part || part->id != segment->row->part_id) {
            g_clear_pointer(&part, pd_part_row_free);
            part = pd_corpus_part(context->corpus, segment->row->part_id, error);
            if (!part)
                return FALSE;
        }
        draft.text =
            g_strndup(part->text + segment->row->start, segment->row->end - segment->row->start);
        g_array_append_val(builder->drafts, draft);
    }
    return TRUE;
}

/* Mark the drafts of [from, to) that hold evidence, and take drafts spread evenly over the range
 * until there are about n_tokens. */
static void
take_drafts(Builder *builder, guint from, guint to, guint n_tokens)
{
    guint64 total = 0, given = 0, seen = 0;

    for (guint d = from; d < to; d++) {
        Draft *draft = &g_array_index(builder->drafts, Draft, d);
        g_autofree char *folded = fold(draft->text, strlen(draft->text), NULL);
        for (guint i = 0; i < builder->needles->len && !draft->is_fixed; i++)
            draft->is_fixed =
                strstr(folded, g_array_index(builder->needles, Needle, i).text) != NULL;
        draft->is_taken = draft->is_fixed;
        if (draft->is_fixed)
            given += draft->n_tokens;
        else
            total += draft->n_tokens;
    }
    n_tokens = given < n_tokens ? n_tokens - (guint)given : 0;
    for (guint d = from; d < to; d++) {
        Draft *draft = &g_array_index(builder->drafts, Draft, d);
        if (draft->is_fixed)
            continue;
        /* taken if the share of the corpus up to here passes a whole multiple of its length */
        draft->is_taken = total <= n_tokens ||
                          (seen + draft->n_tokens) * n_tokens / total >= given + draft->n_tokens;
        seen += draft->n_tokens;
        if (draft->is_taken && total > n_tokens)
            given += draft->n_tokens;
    }
}

static gboolean
bad_line(const char *path, int line, const char *problem, GError **error)
{
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_QUESTIONS, "%s, line %d: %s", path,
                line + 1, problem);
    return FALSE;
}

/* A member that is a string with something in it, else NULL. */
static const char *
text_member(JsonNode *node, const char *name)
{
    JsonNode *member = node && JSON_NODE_HOLDS_OBJECT(node)
                           ? json_object_get_member(json_node_get_object(node), name)
                           : NULL;
    const char *text = member && json_node_get_value_type(member) == G_TYPE_STRING
                           ? json_node_get_string(member)
                           : NULL;

    return text && *text ? text : NULL;
}

/* A question without evidence is passed over: no block can be right. */
static gboolean
read_question(Builder *builder, const char *text, const char *path, int line, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root, *evidence;
    JsonArray *quotes;
    guint question;

    if (!json_parser_load_from_data(parser, text, -1, NULL))
        return bad_line(path, line, "no JSON", error);
    root = json_parser_get_root(parser);
    if (!text_member(root, "question"))
        return bad_line(path, line, "no \"question\"", error);
    evidence = json_object_get_member(json_node_get_object(root), "evidence");
    if (!evidence || JSON_NODE_HOLDS_NULL(evidence))
        return TRUE;
    if (!JSON_NODE_HOLDS_ARRAY(evidence))
        return bad_line(path, line, "\"evidence\" is no array", error);
    quotes = json_node_get_array(evidence);
    if (json_array_get_length(quotes) == 0)
        return TRUE;
    question = add_question(builder, "sample", text_member(root, "question"), 1);
    for (guint e = 0; e < json_array_get_length(quotes); e++) {
        const char *quote = text_member(json_array_get_element(quotes, e), "quote");
        if (!quote)
            return bad_line(path, line, "evidence without a \"quote\"", error);
        add_needle(builder, question, 0, -1, quote);
    }
    return TRUE;
}

static gboolean
read_questions(Builder *builder, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, error))
        return FALSE;
    lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i]; i++)
        if (*g_strstrip(lines[i]) && !read_question(builder, lines[i], path, i, error))
            return FALSE;
    return TRUE;
}

/* Make a question of a documented C function in the draft, the comment removed. */
static gboolean
ask_for_function(Builder *builder, guint d)
{
    static const char pattern[] = "^/\\*((?:[^*]|\\*(?!/)){30,400})\\*/[ \\t]*\\n"
                                  "(\\w[\\w \\t*]*?\\b(\\w+) ?\\([^;{}()]*\\)\\s*\\{)";
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_MULTILINE | G_REGEX_RAW, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    Draft *draft = &g_array_index(builder->drafts, Draft, d);

    for (g_regex_match(regex, draft->text, 0, &match); g_match_info_matches(match);
         g_match_info_next(match, NULL)) {
        g_autofree char *comment = g_match_info_fetch(match, 1);
        g_autofree char *definition = g_match_info_fetch(match, 2);
        g_autofree char *name = g_match_info_fetch(match, 3);
        g_autofree char *folded = fold(g_strdelimit(comment, "*", ' '), strlen(comment), NULL);
        g_autofree char *question = NULL;
        char *end = strstr(folded, ". ");
        int start = 0, unused = 0;

        g_match_info_fetch_pos(match, 0, &start, &unused);
        g_match_info_fetch_pos(match, 2, &unused, NULL);
        if (strstr(folded, name) || strlen(folded) < 30)
            continue;
        if (end && end - folded > 30)
            *end = '\0';
        question = g_strdup_printf("Which function does this: %s?", g_strstrip(folded));
        memmove(draft->text + start, draft->text + unused, strlen(draft->text + unused) + 1);
        add_needle(builder, add_question(builder, "function", question, 1), 0, (int)d, definition);
        return TRUE;
    }
    return FALSE;
}

static void
ask_for_functions(Builder *builder)
{
    guint n = 0;

    for (guint d = 0; d < builder->drafts->len; d++) {
        const Draft *draft = &g_array_index(builder->drafts, Draft, d);
        while (draft->is_taken && !draft->is_fixed && n < N_FUNCTIONS_MAX &&
               ask_for_function(builder, d))
            n++;
    }
}

/* Put a sentence at the end of some line of some text. */
static int
plant(Builder *builder, const char *sentence)
{
    for (;;) {
        gint32 d = g_rand_int_range(builder->random, 0, (gint32)builder->drafts->len);
        Draft *draft = &g_array_index(builder->drafts, Draft, d);
        gsize length = strlen(draft->text), at;
        const char *line;
        g_autofree char *planted = NULL;

        /* long texts get as much more as they are longer */
        if (!draft->is_taken || draft->is_fixed || length < TEXT_BYTES_MIN ||
            g_rand_int_range(builder->random, 0, 8192) > (gint32)MIN(length, 8192))
            continue;
        line = strchr(draft->text +
                          g_rand_int_range(builder->random, 0, (gint32)MIN(length, G_MAXINT32)),
                      '\n');
        at = line ? (gsize)(line - draft->text) + 1 : length;
        planted = g_strdup_printf("%.*s%s%s\n%s", (int)at, draft->text, line ? "" : "\n", sentence,
                                  draft->text + at);
        g_free(draft->text);
        draft->text = g_steal_pointer(&planted);
        return d;
    }
}

/* More sentences would make the haystack one of needles. */
static void
plant_facts(Builder *builder, guint n_tokens, guint64 seed)
{
    static const struct {
        PdFactKind kind;
        const char *name;
        guint per_1k; /* facts per 1,000 blocks of text */
        guint max;
    } kinds[] = {{PD_FACT_PARAPHRASE, "paraphrase", 64, 44},
                 {PD_FACT_LITERAL, "literal", 60, 64},
                 {PD_FACT_KEY_VALUE, "key-value", 24, 24},
                 {PD_FACT_MULTI_VALUE, "multi-value", 16, 18},
                 {PD_FACT_HOP, "hop", 30, 30}};

    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        guint n = MIN(n_tokens / PD_SCORE_BLOCK * kinds[k].per_1k / 1000 + 2, kinds[k].max);
        g_autoptr(GPtrArray) facts = pd_facts_new(kinds[k].kind, PD_FACTS_TRAIN, seed, n);
        for (guint i = 0; i < facts->len; i++) {
            PdFact *fact = g_ptr_array_index(facts, i);
            /* The second sentence of a hop is asked for only once the first is known. */
            guint n_groups = kinds[k].kind == PD_FACT_HOP ? 1 : fact->sentences->len;
            guint question = add_question(builder, kinds[k].name, fact->question, n_groups);
            for (guint s = 0; s < fact->sentences->len; s++) {
                const char *sentence = g_ptr_array_index(fact->sentences, s);
                int draft = plant(builder, sentence);
                if (s < n_groups)
                    add_needle(builder, question, s, draft, sentence);
            }
        }
    }
}

/* Enter the blocks that a needle covers. */
static void
mark(Builder *builder, const Needle *needle, const char *folded, const GArray *folded_offsets,
     const GArray *token_offsets, const PdHaySegment *segment)
{
    PdHayQuestion *question = g_ptr_array_index(builder->haystack->questions, needle->question);
    GArray *blocks = g_ptr_array_index(question->groups, needle->group);
    const char *hit = strstr(folded, needle->text);
    guint32 start, end;

    if (!hit)
        return;
    start = g_array_index(folded_offsets, guint32, hit - folded);
    end = g_array_index(folded_offsets, guint32, hit - folded + strlen(needle->text) - 1);
    for (guint t = 0; t < token_offsets->len; t++) {
        guint32 offset = g_array_index(token_offsets, guint32, t);
        guint block = segment->first_block + t / PD_SCORE_BLOCK;
        if (offset < start || offset > end ||
            (blocks->len && g_array_index(blocks, guint, blocks->len - 1) == block))
            continue;
        g_array_append_val(blocks, block);
    }
}

static void
add_segment(Builder *builder, guint d)
{
    const Draft *draft = &g_array_index(builder->drafts, Draft, d);
    PdHaystack *haystack = builder->haystack;
    PdHaySegment segment = {.n_header = draft->header_ids->len, .first_block = haystack->n_blocks};
    g_autoptr(GArray) token_offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) folded_offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autofree char *folded = fold(draft->text, strlen(draft->text), folded_offsets);

    segment.ids = g_array_new(FALSE, FALSE, sizeof(gint32));
    g_array_append_vals(segment.ids, draft->header_ids->data, draft->header_ids->len);
    pd_tokenizer_encode(pd_model_tokenizer(builder->model), draft->text, strlen(draft->text),
                        segment.ids, token_offsets);
    segment.n_blocks = (token_offsets->len + PD_SCORE_BLOCK - 1) / PD_SCORE_BLOCK;
    for (guint i = 0; i < builder->needles->len; i++) {
        const Needle *needle = &g_array_index(builder->needles, Needle, i);
        if (needle->draft < 0 || needle->draft == (int)d)
            mark(builder, needle, folded, folded_offsets, token_offsets, &segment);
    }
    haystack->n_blocks += segment.n_blocks;
    haystack->n_rows += segment.ids->len;
    g_array_append_val(haystack->segments, segment);
}

static void
drop_unfound(PdHaystack *haystack)
{
    for (guint i = haystack->questions->len; i-- > 0;) {
        PdHayQuestion *question = g_ptr_array_index(haystack->questions, i);
        gboolean found = TRUE;
        for (guint g = 0; g < question->groups->len; g++)
            found &= ((GArray *)g_ptr_array_index(question->groups, g))->len > 0;
        if (!found)
            g_ptr_array_remove_index(haystack->questions, i);
    }
}

PdHaystack *
pd_haystack_new(GPtrArray *contexts, const PdHaystackOptions *options, GError **error)
{
    g_auto(Builder) builder = {.haystack = g_new0(PdHaystack, 1),
                               .model = ((PdContext *)contexts->pdata[0])->model,
                               .random = g_rand_new_with_seed((guint32)options->seed),
                               .drafts = g_array_new(FALSE, TRUE, sizeof(Draft)),
                               .needles = g_array_new(FALSE, TRUE, sizeof(Needle))};
    guint n_taken = 0;

    builder.haystack->segments = g_array_new(FALSE, FALSE, sizeof(PdHaySegment));
    builder.haystack->questions = g_ptr_array_new_with_free_func(free_question);
    g_array_set_clear_func(builder.haystack->segments, clear_segment);
    g_array_set_clear_func(builder.drafts, clear_draft);
    g_array_set_clear_func(builder.needles, clear_needle);
    if (options->questions && !read_questions(&builder, options->questions, error))
        return NULL;
    for (guint c = 0; c < contexts->len; c++) {
        guint from = builder.drafts->len;
        if (!add_drafts(&builder, g_ptr_array_index(contexts, c), error))
            return NULL;
        take_drafts(&builder, from, builder.drafts->len, options->n_tokens / contexts->len);
    }
    ask_for_functions(&builder);
    for (guint d = 0; d < builder.drafts->len; d++) {
        const Draft *draft = &g_array_index(builder.drafts, Draft, d);
        if (draft->is_taken && !draft->is_fixed && strlen(draft->text) >= TEXT_BYTES_MIN)
            n_taken += draft->n_tokens;
    }
    if (n_taken < PD_HAYSTACK_TOKENS_MIN) {
        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_EMPTY,
                    "only %u tokens of text to plant facts in; give a larger corpus", n_taken);
        return NULL;
    }
    plant_facts(&builder, n_taken, options->seed);
    for (guint d = 0; d < builder.drafts->len; d++)
        if (g_array_index(builder.drafts, Draft, d).is_taken)
            add_segment(&builder, d);
    drop_unfound(builder.haystack);
    return g_steal_pointer(&builder.haystack);
}
