/* pandect ask: stream the answer, mark each sentence, print the quotes. */
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include "app/commands.h"
#include "app/open.h"
#include "prompts/ask.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case ask \"What is the notice period?\"\n"
    "  pandect -C case ask --json \"Who fixed the overflow?\" | jq .citations\n"
    "  pandect -C case ask --batch questions.txt --json > answers.jsonl\n"
    "  pandect -C case ask --why --top 8 \"Why was the default changed?\"\n"
    "\n"
    "What the question needs and the corpus folder does not hold yet is read first and kept;\n"
    "`pandect warm` does that ahead of time, and --arm fts goes without: passages are then found\n"
    "by their words alone.  The quote under an answer is cut from the stored bytes.\n"
    "When nothing supports an answer, it says so and exits with 0.\n"
    "\n"
    "--mode whole    one text in the model's window\n"
    "       swept    segments read alone, the best passages chosen by question\n"
    "       sparse   one text of any length; each part sees the beginning, chosen blocks and\n"
    "                what is near; all its KV is in memory\n"
    "       auto     whole up to half the window, else swept; never sparse\n"
    "A DeepSeek-V4 model reads whole, whatever the length: its own attention chooses.";

typedef struct {
    PdModelFlags model;
    gboolean json;
    gboolean why;
    int top;
    int budget;
    int max_tokens;
    int think;
    double temperature;
    double top_p;
    double min_p;
    gint64 seed;
    char *cite;
    char *arm;
    char *reader;
    char *batch;
    gboolean reread;
    gboolean once;
    int fresh;
    int rerank;
} AskFlags;

static void
ask_flags_clear(AskFlags *flags)
{
    pd_model_flags_clear(&flags->model);
    g_free(flags->cite);
    g_free(flags->arm);
    g_free(flags->reader);
    g_free(flags->batch);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AskFlags, ask_flags_clear)

/* The terminal's side of a running answer. */
typedef struct {
    PdApp *app;
    PdProgress *progress;
    gboolean quiet; /* --json, --batch: only progress */
    gboolean told;  /* of what is read first, or there is nothing to tell */
    /* --batch */
    PdContext *context;
    char **questions;
    const AskFlags *flags;
    GError *error; /* of the first answer that could not be printed */
} Show;

/* A first question may read for long what the word index could answer from now. */
#define TELL_TOKENS 20000

static void
tell_of_reading(Show *show, guint64 n_tokens)
{
    show->told = TRUE;
    if (n_tokens >= TELL_TOKENS)
        fprintf(stderr,
                "%" G_GUINT64_FORMAT
                " tokens are read first, once (how long: pandect plan); Ctrl-C "
                "keeps what is done.\nWithout that, from the word index alone: ask --arm fts\n",
                n_tokens);
}

static void
on_stage(const char *stage, guint64 done, guint64 total, gpointer user_data)
{
    Show *show = user_data;

    if (!show->told && g_str_equal(stage, PD_ASK_STAGE_WARM))
        tell_of_reading(show, total - MIN(done, total));
    if (!show->progress)
        show->progress = pd_progress_new(show->app, "tokens");
    pd_progress_update(show->progress, stage, done, total);
}

static void
on_text(const char *piece, gpointer user_data)
{
    Show *show = user_data;
    g_autofree char *safe = NULL;

    g_clear_pointer(&show->progress, pd_progress_free);
    if (show->quiet)
        return;
    safe = pd_terminal_safe(piece, -1);
    fputs(safe, stdout);
    fflush(stdout);
}

static void
on_sentence(const PdSentence *sentence, gpointer user_data)
{
    Show *show = user_data;

    if (show->quiet || sentence->citation < 0)
        return;
    printf(show->app->color ? " \033[2m[%d]\033[0m" : " [%d]", sentence->citation + 1);
    fflush(stdout);
}

/* The quote as lines under its place. */
static void
print_quote(const char *quote)
{
    g_autofree char *safe = pd_terminal_safe(quote, -1);
    g_auto(GStrv) lines = g_strsplit(safe, "\n", -1);

    for (int i = 0; lines[i]; i++)
        printf("    | %s\n", lines[i]);
}

static gboolean
print_citations(PdApp *app, PdContext *context, GArray *citations, GError **error)
{
    for (guint i = 0; i < citations->len; i++) {
        const PdCitation *citation = &g_array_index(citations, PdCitation, i);
        g_autofree char *where = pd_corpus_locate(context->corpus, citation->part_id,
                                                  citation->start, citation->end, error);
        g_autofree char *safe = NULL;

        if (!where)
            return FALSE;
        safe = pd_terminal_safe(where, -1);
        printf("[%u] %s\n", i + 1, safe);
        print_quote(citation->quote);
        printf("    show: pandect -C %s show --part %" G_GINT64_FORMAT ":%u-%u\n", app->corpus_dir,
               citation->part_id, citation->start, citation->end);
    }
    return TRUE;
}

/* What was withheld and may be right, for the user to judge. */
static gboolean
print_withheld(PdApp *app, PdContext *context, const PdAnswer *answer, GError **error)
{
    g_autofree char *safe = NULL;

    if (!answer->withheld || !answer->near)
        return TRUE;
    safe = pd_terminal_safe(answer->withheld, -1);
    printf("Perhaps, though what was read does not say it plainly:\n%s\n\n", safe);
    return print_citations(app, context, answer->withheld_citations, error);
}

/* What the question is about and nothing that was read names. */
static void
print_unread_names(const PdAnswer *answer)
{
    const GPtrArray *names = answer->unread_names;

    if (!names || names->len == 0)
        return;
    printf("Named in the question, but not in what was read:");
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *safe = pd_terminal_safe(names->pdata[i], -1);
        printf("%s %s", i ? "," : "", safe);
    }
    putchar('\n');
}

/* Where the attention of each sentence went, the largest parts. */
static void
print_attention(const PdAnswer *answer)
{
    if (!answer->attended)
        return;
    if (answer->sentences->len > 0)
        printf("Attention of each sentence on the passages:\n");
    for (guint i = 0; i < answer->sentences->len; i++) {
        const PdSentence *sentence = &g_array_index(answer->sentences, PdSentence, i);

        printf("  %4u ", i + 1);
        for (guint p = 0; p < answer->passages->len; p++)
            if (sentence->shares[p] >= 0.05f)
                printf("  [%d] %.0f %%", g_array_index(answer->passages, PdPassage, p).number,
                       100 * sentence->shares[p]);
        putchar('\n');
    }
}

/* "9.7", "6.0k" (by keys), "9.7+words", "words", "9.7+lead": the head with the largest score, and
 * what else found it. */
static char *
describe_finder(PdContext *context, const PdBlock *block)
{
    GString *by = g_string_new(NULL);

    if (block->best_head >= 0) {
        g_autofree char *head = pd_head_name(&context->profile.retrieval[block->best_head]);
        g_string_append(by, head);
    }
    if (block->found_by & PD_FOUND_FTS)
        g_string_append(by, by->len ? "+words" : "words");
    if (block->found_by & PD_FOUND_LEAD)
        g_string_append(by, by->len ? "+lead" : "lead");
    return g_string_free(by, FALSE);
}

static void
print_why(PdContext *context, const PdAnswer *answer, int top)
{
    printf("\nRead %u tokens in %u passages", answer->n_prompt_tokens, answer->passages->len);
    if (!answer->blocks) {
        printf(": the whole corpus.\n");
        if (answer->n_guesses > 0)
            printf("The model's draft block guessed %u tokens ahead; %u spared a pass.\n",
                   answer->n_guesses, answer->n_guesses_used);
        print_attention(answer);
        return;
    }
    if (answer->n_readings > 1)
        printf(", the last of %u readings", answer->n_readings);
    printf("; best blocks of %u:\n", answer->blocks->len);
    if (answer->likelihood < 0)
        printf("  rank  likelihood  score  found by         tokens      document\n");
    else
        printf("  rank  score  found by         tokens      document\n");
    for (guint i = 0; i < MIN(answer->blocks->len, (guint)MAX(top, 1)); i++) {
        const PdBlock *block = &g_array_index(answer->blocks, PdBlock, i);
        const PdContextSegment *segment =
            &g_array_index(context->segments, PdContextSegment, block->segment);
        g_autofree char *safe = pd_terminal_safe(segment->header, -1);
        g_autofree char *found_by = describe_finder(context, block);

        printf("  %4u", i + 1);
        if (pd_block_is_ranked(block))
            printf("  %10.2f", block->likelihood);
        else if (answer->likelihood < 0)
            printf("  %10s", "");
        printf("  %5.2f  %-15s  %5u-%-5u  %s\n", block->score, found_by, block->first_token,
               block->first_token + block->n_tokens, safe);
    }
    print_attention(answer);
}

static void
print_timing(const PdAnswer *answer)
{
    fprintf(stderr,
            "%" G_GUINT64_FORMAT " tokens read now, %" G_GUINT64_FORMAT
            " from before; first token after %.1f s, %u tokens in %.1f s%s\n",
            answer->warm.n_tokens_encoded, answer->warm.n_tokens_reused,
            answer->first_token_seconds, answer->n_answer_tokens, answer->decode_seconds,
            answer->truncated ? "; stopped at --max-tokens" : "");
}

static gboolean
fill_options(const AskFlags *flags, PdAskOptions *options, int *exit_code)
{
    PdReadMode mode;

    options->budget_tokens = flags->budget;
    options->max_answer_tokens = flags->max_tokens;
    options->think_tokens = flags->think;
    options->sampler.temperature = (float)flags->temperature;
    options->sampler.top_p = (float)flags->top_p;
    options->sampler.min_p = (float)flags->min_p;
    options->sampler.repetition_penalty = 1;
    options->sampler.seed = (guint64)flags->seed;
    options->fresh_tokens = flags->fresh;
    options->reread = flags->reread;
    options->once = flags->once;
    if (!pd_parse_cite_method(flags->cite, &options->cite))
        *exit_code =
            pd_usage("ask", "--cite is auto, attention, words or ids, not '%s'", flags->cite);
    if (!pd_parse_arm(flags->arm, &options->arm))
        *exit_code = pd_usage("ask", "--arm is auto, sweep, fts or both, not '%s'", flags->arm);
    if (!pd_parse_read_mode(flags->model.mode, &mode))
        *exit_code =
            pd_usage("ask", "--mode is auto, whole, swept or sparse, not '%s'", flags->model.mode);
    if (!pd_parse_rerank(flags->rerank, &options->rerank))
        *exit_code = pd_usage("ask", "--rerank is a number of blocks, not %d", flags->rerank);
    if (flags->budget < 0 || flags->fresh < 0 || flags->max_tokens < 0 || flags->think < 0 ||
        flags->top < 0)
        *exit_code = pd_usage(
            "ask", "--budget, --fresh, --max-tokens, --think and --top are positive numbers");
    if (!(flags->temperature >= 0) || !(flags->top_p > 0 && flags->top_p <= 1) ||
        !(flags->min_p >= 0 && flags->min_p < 1))
        *exit_code = pd_usage("ask", "--temperature >= 0, 0 < --top-p <= 1, 0 <= --min-p < 1");
    return *exit_code == PD_EXIT_OK;
}

/* One answer as it is printed when it is complete: JSON, or its places behind the text. */
static gboolean
print_answer(PdApp *app, PdContext *context, const AskFlags *flags, const char *question,
             const PdAnswer *answer, GError **error)
{
    if (flags->json) {
        g_autofree char *json = pd_answer_to_json(context, question, answer, flags->why, error);

        if (json)
            puts(json);
        fflush(stdout);
        return json != NULL;
    }
    printf("\n\n");
    if (!print_citations(app, context, answer->citations, error) ||
        !print_withheld(app, context, answer, error))
        return FALSE;
    print_unread_names(answer);
    if (flags->why)
        print_why(context, answer, flags->top ? flags->top : 16);
    fflush(stdout);
    return TRUE;
}

/* Does it go without the word index, or with nothing else? */
static gboolean
has_one_way(const PdContext *context, const PdAskOptions *options)
{
    return context->mode != PD_READ_SWEPT || options->arm == PD_ARM_FTS;
}

/* --- several questions --- */

static void
on_answered(guint index, const PdAnswer *answer, gpointer user_data)
{
    Show *show = user_data;
    const char *question = show->questions[index];

    g_clear_pointer(&show->progress, pd_progress_free);
    if (show->error)
        return;
    if (!show->flags->json) {
        g_autofree char *safe_question = pd_terminal_safe(question, -1);
        g_autofree char *safe = pd_terminal_safe(answer->text->str, -1);
        printf("%s> %s\n%s", index ? "\n" : "", safe_question, safe);
    }
    print_answer(show->app, show->context, show->flags, question, answer, &show->error);
}

/* A line of a batch: an object with "question", or the question itself. */
static char *
parse_line(const char *line, GError **error)
{
    g_autoptr(JsonParser) parser = NULL;
    JsonObject *object = NULL;
    JsonNode *node = NULL;

    if (line[0] != '{')
        return g_strdup(line);
    parser = json_parser_new();
    if (!json_parser_load_from_data(parser, line, -1, error))
        return NULL;
    if (JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser)))
        object = json_node_get_object(json_parser_get_root(parser));
    if (object)
        node = json_object_get_member(object, "question");
    if (node && json_node_get_value_type(node) == G_TYPE_STRING && *json_node_get_string(node))
        return g_strdup(json_node_get_string(node));
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no text named \"question\"");
    return NULL;
}

/* The questions of a file, one a line; blank lines do not count.  Free with g_strfreev. */
static char **
read_questions(const char *path, GError **error)
{
    g_autoptr(GPtrArray) questions = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, error))
        return NULL;
    lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        char *question;

        if (!*g_strstrip(lines[i]))
            continue;
        question = parse_line(lines[i], error);
        if (!question) {
            g_prefix_error(error, "%s, line %u: ", path, i + 1);
            return NULL;
        }
        g_ptr_array_add(questions, question);
    }
    g_ptr_array_add(questions, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&questions), FALSE);
}

static int
run_batch(PdApp *app, PdContext *context, const AskFlags *flags, const PdAskOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) questions = read_questions(flags->batch, &error);
    Show show = {.app = app,
                 .quiet = TRUE,
                 .told = has_one_way(context, options),
                 .context = context,
                 .questions = questions,
                 .flags = flags};
    PdAskEvents events = {.stage = on_stage, .answered = on_answered, .user_data = &show};
    g_autoptr(GPtrArray) answers = NULL;
    gint64 started_us = g_get_monotonic_time();

    if (!questions)
        return pd_fail(error);
    answers = pd_ask_batch(context, (const char *const *)questions, g_strv_length(questions),
                           options, &events, app->cancellable, &error);
    g_clear_pointer(&show.progress, pd_progress_free);
    if (answers && show.error)
        g_propagate_error(&error, g_steal_pointer(&show.error));
    g_clear_error(&show.error);
    if (error)
        return pd_fail(error);
    fprintf(stderr, "%u questions in %.1f s\n", answers->len,
            (double)(g_get_monotonic_time() - started_us) / 1e6);
    return PD_EXIT_OK;
}

/* --- one question --- */

static int
run_one(PdApp *app, PdContext *context, const AskFlags *flags, const PdAskOptions *options,
        const char *question)
{
    g_autoptr(GError) error = NULL;
    Show show = {.app = app, .quiet = flags->json, .told = has_one_way(context, options)};
    PdAskEvents events = {
        .stage = on_stage, .text = on_text, .sentence = on_sentence, .user_data = &show};
    g_autoptr(PdAnswer) answer =
        pd_ask(context, question, options, &events, app->cancellable, &error);

    g_clear_pointer(&show.progress, pd_progress_free);
    if (!answer) {
        if (!flags->json)
            fputc('\n', stdout);
        return pd_fail(error);
    }
    if (!print_answer(app, context, flags, question, answer, &error))
        return pd_fail(error);
    if (!flags->json)
        print_timing(answer);
    return PD_EXIT_OK;
}

static int
run_ask(PdApp *app, AskFlags *flags, PdAskOptions *options, const char *question)
{
    g_auto(PdOpened) opened = {0};
    g_autoptr(PdModel) reader = NULL;
    g_autoptr(GError) error = NULL;

    if (flags->reader) {
        PdModelFlags reader_flags = {.model = flags->reader, .threads = flags->model.threads};

        if (!flags->model.mode || g_str_equal(flags->model.mode, "auto")) {
            g_free(flags->model.mode);
            flags->model.mode = g_strdup("swept"); /* a second model reads what a sweep finds */
        }
        reader = pd_open_model(&reader_flags, &error);
        if (!reader)
            return pd_fail(error);
        options->reader = reader;
    }
    if (!pd_open_context(app, &flags->model, FALSE, &opened, &error))
        return pd_fail(error);
    return flags->batch ? run_batch(app, opened.context, flags, options)
                        : run_one(app, opened.context, flags, options, question);
}

int
pd_cmd_ask(PdApp *app, int argc, char **argv)
{
    g_auto(AskFlags) flags = {.top_p = 1, .rerank = PD_RERANK_NOT_GIVEN};
    PdAskOptions options = {0};
    int exit_code = PD_EXIT_OK;
    const GOptionEntry entries[] = {
        PD_MODE_OPTION_ENTRY(flags.model),
        PD_MODEL_OPTION_ENTRIES(flags.model),
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "The answer as one JSON object", NULL},
        {"why", 0, 0, G_OPTION_ARG_NONE, &flags.why, "Also which blocks won and their scores",
         NULL},
        {"top", 0, 0, G_OPTION_ARG_INT, &flags.top, "With --why: how many blocks (16)", "N"},
        {"budget", 0, 0, G_OPTION_ARG_INT, &flags.budget, "Tokens of passages that are read (1536)",
         "TOKENS"},
        {"max-tokens", 0, 0, G_OPTION_ARG_INT, &flags.max_tokens, "Longest answer (256)", "TOKENS"},
        {"think", 0, 0, G_OPTION_ARG_INT, &flags.think,
         "Let a DeepSeek-V4 model reason first, this long; that is not shown (0: not at all)",
         "TOKENS"},
        {"cite", 0, 0, G_OPTION_ARG_STRING, &flags.cite,
         "How a sentence's passage is chosen: attention, words, ids, or auto (default: attention, "
         "of DeepSeek-V4 models words)",
         "HOW"},
        {"batch", 0, 0, G_OPTION_ARG_FILENAME, &flags.batch,
         "Questions, one a line, or JSON lines with \"question\"; swept and decoded together",
         "FILE"},
        {"reader", 0, 0, G_OPTION_ARG_FILENAME, &flags.reader,
         "Another model that reads what --model finds", "NAME|FILE"},
        {"arm", 0, 0, G_OPTION_ARG_STRING, &flags.arm,
         "What finds passages: sweep, fts (words, BM25) or both (default)", "ARM"},
        {"fresh", 0, 0, G_OPTION_ARG_INT, &flags.fresh,
         "Of the passages, the best N tokens are run again (400)", "TOKENS"},
        {"rerank", 0, 0, G_OPTION_ARG_INT, &flags.rerank,
         "So many of the best blocks are put in order by reading each (0: none; as measured for "
         "the model)",
         "N"},
        {"reread", 0, 0, G_OPTION_ARG_NONE, &flags.reread,
         "Run the passages again in each other's sight instead of taking their kept rows: slower",
         NULL},
        {"once", 0, 0, G_OPTION_ARG_NONE, &flags.once,
         "Read --budget tokens at once, not the best few first and more if they do not answer",
         NULL},
        {"temperature", 0, 0, G_OPTION_ARG_DOUBLE, &flags.temperature, "Sampling (0: greedy)", "T"},
        {"top-p", 0, 0, G_OPTION_ARG_DOUBLE, &flags.top_p, "Nucleus sampling (1: off)", "P"},
        {"min-p", 0, 0, G_OPTION_ARG_DOUBLE, &flags.min_p, "Smallest share of the best (0: off)",
         "P"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &flags.seed, "Seed of the sampling (0)", "N"},
        G_OPTION_ENTRY_NULL};
    g_autofree char *question = NULL;

    if (!pd_parse_options(entries, "QUESTION",
                          "Answer a question from the corpus, with citations cut from its bytes.",
                          examples, &argc, &argv, &exit_code) ||
        !fill_options(&flags, &options, &exit_code))
        return exit_code;
    question = g_strstrip(g_strjoinv(" ", argv + 1));
    if (flags.batch ? *question != 0 : !*question)
        return pd_usage("ask", flags.batch ? "the questions are those of --batch"
                                           : "what is the question?");
    return run_ask(app, &flags, &options, question);
}
