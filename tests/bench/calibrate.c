/*
 * Which heads find things: calibration of a model's retrieval heads on questions with known
 * evidence.
 *
 *   calibrate CORPUS MODEL QUESTIONS.jsonl [HEADS]
 *
 * Every head of every layer scores every block (prompts/sweep.h).  A question counts as found at k
 * if a block that overlaps one of its evidence quotes is among the best k.  Heads are ranked alone,
 * then a set is grown greedily by the mean reciprocal rank of the fused score.  Prints a table and
 * the row for prompts/profile.c.
 */
#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/catalogue.h"
#include "prompts/sweep.h"
#include "prompts/warm.h"

typedef struct {
    char *text;
    GPtrArray *quotes; /* char*: whitespace folded */
    GArray *z;         /* float (n_heads, n_blocks) */
    gboolean *gold;    /* per block */
} Question;

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

static GPtrArray *
read_questions(const char *path)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    GPtrArray *questions = g_ptr_array_new();

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return questions;
    lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i]; i++) {
        g_autoptr(JsonParser) parser = json_parser_new();
        JsonObject *object;
        JsonArray *evidence;
        Question *question;

        if (!*lines[i] || !json_parser_load_from_data(parser, lines[i], -1, NULL))
            continue;
        object = json_node_get_object(json_parser_get_root(parser));
        evidence = json_object_has_member(object, "evidence")
                       ? json_object_get_array_member(object, "evidence")
                       : NULL;
        if (!evidence || json_array_get_length(evidence) == 0)
            continue;
        question = g_new0(Question, 1);
        question->text = g_strdup(json_object_get_string_member(object, "question"));
        question->quotes = g_ptr_array_new();
        for (guint e = 0; e < json_array_get_length(evidence); e++) {
            const char *quote =
                json_object_get_string_member(json_array_get_object_element(evidence, e), "quote");
            g_ptr_array_add(question->quotes, fold(quote, strlen(quote), NULL));
        }
        g_ptr_array_add(questions, question);
    }
    return questions;
}

/* Mark the blocks, in corpus order, that overlap a quote. */
static guint
mark_gold(PdContext *context, Question *question, guint n_blocks)
{
    guint at = 0, n_gold = 0;

    question->gold = g_new0(gboolean, n_blocks);
    for (guint s = 0; s < context->segments->len; s++) {
        PdContextSegment *segment = &g_array_index(context->segments, PdContextSegment, s);
        g_autoptr(PdPartRow) part = pd_corpus_part(context->corpus, segment->row->part_id, NULL);
        g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
        g_autofree char *folded = fold(part->text, part->n_bytes, offsets);

        for (guint q = 0; q < question->quotes->len; q++) {
            const char *quote = g_ptr_array_index(question->quotes, q);
            const char *hit = strstr(folded, quote);
            guint32 start, end;
            if (!hit)
                continue;
            start = g_array_index(offsets, guint32, hit - folded);
            end = g_array_index(offsets, guint32, hit - folded + strlen(quote) - 1);
            for (guint t = 0; t < segment->row->n_tokens; t++)
                if (segment->row->offsets[t] >= start && segment->row->offsets[t] <= end)
                    question->gold[at + t / PD_SWEEP_BLOCK_TOKENS] = TRUE;
        }
        at += (segment->row->n_tokens + PD_SWEEP_BLOCK_TOKENS - 1) / PD_SWEEP_BLOCK_TOKENS;
    }
    for (guint b = 0; b < n_blocks; b++)
        n_gold += question->gold[b];
    return n_gold;
}

/* The best rank of a gold block, from 1, under the sum of the z of some heads. */
static guint
gold_rank(const Question *question, const int *heads, int n_heads, guint n_blocks)
{
    g_autofree float *sum = g_new0(float, n_blocks);
    float best = -INFINITY;
    guint rank = 1;

    for (int h = 0; h < n_heads; h++)
        for (guint b = 0; b < n_blocks; b++)
            sum[b] += g_array_index(question->z, float, (gsize)heads[h] * n_blocks + b);
    for (guint b = 0; b < n_blocks; b++)
        if (question->gold[b])
            best = MAX(best, sum[b]);
    for (guint b = 0; b < n_blocks; b++)
        rank += sum[b] > best;
    return rank;
}

typedef struct {
    int head;
    double mrr, at1, at4, at8;
} Score;

static Score
score_set(GPtrArray *questions, const int *heads, int n_heads, guint n_blocks)
{
    Score score = {.head = heads[n_heads - 1]};

    for (guint i = 0; i < questions->len; i++) {
        guint rank = gold_rank(g_ptr_array_index(questions, i), heads, n_heads, n_blocks);
        score.mrr += 1.0 / rank / questions->len;
        score.at1 += (rank <= 1) / (double)questions->len;
        score.at4 += (rank <= 4) / (double)questions->len;
        score.at8 += (rank <= 8) / (double)questions->len;
    }
    return score;
}

static int
by_mrr(const void *a, const void *b)
{
    double x = ((const Score *)a)->mrr, y = ((const Score *)b)->mrr;

    return x > y ? -1 : x < y;
}

static void
report(PdContext *context, GPtrArray *questions, guint n_blocks, int n_wanted)
{
    const PdModelShape *shape = pd_model_shape(context->model);
    int n_heads = shape->n_layers * shape->n_heads;
    g_autofree Score *alone = g_new(Score, n_heads);
    int set[PD_PROFILE_HEADS_MAX], n_set = 0;

    for (int h = 0; h < n_heads; h++)
        alone[h] = score_set(questions, &h, 1, n_blocks);
    qsort(alone, n_heads, sizeof *alone, by_mrr);
    printf("alone: layer.head  mrr  @1  @4  @8\n");
    for (int i = 0; i < 16; i++)
        printf("  %2d.%-2d  %.3f  %.2f %.2f %.2f\n", alone[i].head / shape->n_heads,
               alone[i].head % shape->n_heads, alone[i].mrr, alone[i].at1, alone[i].at4,
               alone[i].at8);
    printf("greedy set:\n");
    while (n_set < n_wanted) {
        Score best = {.mrr = -1};
        for (int i = 0; i < MIN(n_heads, 48); i++) {
            Score score;
            gboolean used = FALSE;
            for (int j = 0; j < n_set; j++)
                used |= set[j] == alone[i].head;
            if (used)
                continue;
            set[n_set] = alone[i].head;
            score = score_set(questions, set, n_set + 1, n_blocks);
            if (score.mrr > best.mrr)
                best = score;
        }
        set[n_set++] = best.head;
        printf("  + %2d.%-2d  %.3f  %.2f %.2f %.2f\n", best.head / shape->n_heads,
               best.head % shape->n_heads, best.mrr, best.at1, best.at4, best.at8);
    }
    printf("{\"%s\", %d, %d, {", shape->arch, shape->n_layers, shape->n_embd);
    for (int i = 0; i < n_set; i++)
        printf("%s{%d, %d}", i ? ", " : "", set[i] / shape->n_heads, set[i] % shape->n_heads);
    printf("}, %d},\n", n_set);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    g_autoptr(PdCorpus) corpus = NULL;
    g_autoptr(PdModel) model = NULL;
    g_autoptr(PdContext) context = NULL;
    g_autofree PdHead *heads = NULL;
    GPtrArray *questions;
    PdModelOptions options = {0};
    guint n_blocks = 0;
    int n_heads;

    if (argc < 4) {
        fprintf(stderr, "usage: calibrate CORPUS MODEL QUESTIONS.jsonl [HEADS]\n");
        return 2;
    }
    path = pd_catalogue_resolve(argv[2], &error);
    corpus = path ? pd_corpus_open(argv[1], PD_CORPUS_WRITE, &error) : NULL;
    model = corpus ? pd_model_open(path, &options, &error) : NULL;
    context = model ? pd_context_new(corpus, model, PD_READ_SWEPT, NULL, &error) : NULL;
    if (!context || !pd_context_warm(context, NULL, NULL, NULL, NULL, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    n_heads = pd_model_shape(model)->n_layers * pd_model_shape(model)->n_heads;
    heads = g_new(PdHead, n_heads);
    for (int h = 0; h < n_heads; h++)
        heads[h] = (PdHead){h / pd_model_shape(model)->n_heads, h % pd_model_shape(model)->n_heads};
    questions = read_questions(argv[3]);
    for (guint i = 0; i < questions->len; i++) {
        Question *question = g_ptr_array_index(questions, i);
        g_autoptr(GArray) blocks = NULL;
        question->z = g_array_new(FALSE, FALSE, sizeof(float));
        blocks = pd_sweep(context, question->text, heads, n_heads, question->z, NULL, &error);
        if (!blocks) {
            fprintf(stderr, "%s\n", error->message);
            return 1;
        }
        n_blocks = blocks->len;
        if (mark_gold(context, question, n_blocks) == 0)
            fprintf(stderr, "no block holds the evidence of: %s\n", question->text);
    }
    printf("%u questions, %u blocks\n", questions->len, n_blocks);
    report(context, questions, n_blocks,
           argc > 4 ? CLAMP(atoi(argv[4]), 1, PD_PROFILE_HEADS_MAX) : 6);
    return 0;
}
