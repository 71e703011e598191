/* See head_choice.h. */
#include "prompts/head_choice.h"

#include <math.h>
#include <string.h>

#include "prompts/sweep_pool.h"

#define N_CANDIDATES 24
#define KIND_QUESTIONS 8
/* What a further head has to add to the objective: one more than the index holds costs bytes in
 * every segment. */
#define GAIN_OLD_STREAM 0.002
#define GAIN_NEW_STREAM 0.004
#define GAIN_LAYER 0.001

static gboolean
is_semantic(const PdHayQuestion *question)
{
    return g_str_equal(question->kind, "paraphrase") || g_str_equal(question->kind, "function");
}

/* --- ranks --- */

void
pd_gold_ranks(const float *scores, guint n_blocks, const PdHayQuestion *question, guint *ranks)
{
    g_autofree guint8 *is_gold = g_new0(guint8, n_blocks);

    for (guint g = 0; g < question->groups->len; g++) {
        const GArray *blocks = g_ptr_array_index(question->groups, g);
        for (guint i = 0; i < blocks->len; i++)
            is_gold[g_array_index(blocks, guint, i)] = 1;
    }
    for (guint g = 0; g < question->groups->len; g++) {
        const GArray *blocks = g_ptr_array_index(question->groups, g);
        float best = -INFINITY;
        guint n_equal = 0;

        for (guint i = 0; i < blocks->len; i++)
            best = MAX(best, scores[g_array_index(blocks, guint, i)]);
        ranks[g] = 1;
        for (guint b = 0; b < n_blocks; b++) {
            ranks[g] += !is_gold[b] && scores[b] > best;
            n_equal += !is_gold[b] && scores[b] == best;
        }
        ranks[g] += n_equal / 2;
    }
}

/* --- choosing --- */

/* What is known of the questions: kinds numbered in the order in which they first come. */
typedef struct {
    const PdHeadScores *scores;
    const PdHaystack *haystack;
    const PdModelShape *shape;
    GPtrArray *kinds;  /* const char * */
    guint *kind;       /* of each question */
    gboolean *is_held; /* of each question */
    float *sum;        /* a block each */
} Choice;

static void
choice_clear(Choice *choice)
{
    g_ptr_array_unref(choice->kinds);
    g_free(choice->kind);
    g_free(choice->is_held);
    g_free(choice->sum);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Choice, choice_clear)

static void
choice_init(Choice *choice, const PdHeadScores *scores, const PdHaystack *haystack,
            const PdModelShape *shape)
{
    g_autoptr(GArray) seen = g_array_new(FALSE, TRUE, sizeof(guint));

    choice->scores = scores;
    choice->haystack = haystack;
    choice->shape = shape;
    choice->kinds = g_ptr_array_new();
    choice->kind = g_new0(guint, haystack->questions->len);
    choice->is_held = g_new0(gboolean, haystack->questions->len);
    choice->sum = g_new0(float, haystack->n_blocks);
    for (guint i = 0; i < haystack->questions->len; i++) {
        const PdHayQuestion *question = g_ptr_array_index(haystack->questions, i);
        guint kind = 0;

        while (kind < choice->kinds->len &&
               !g_str_equal(g_ptr_array_index(choice->kinds, kind), question->kind))
            kind++;
        if (kind == choice->kinds->len) {
            g_ptr_array_add(choice->kinds, (gpointer)question->kind);
            g_array_set_size(seen, kind + 1);
        }
        choice->kind[i] = kind;
        choice->is_held[i] = g_array_index(seen, guint, kind)++ % 3 == 2;
    }
}

/* The mean over a question's groups of 1 / log2(1 + rank) with the sum of some heads' z. */
static double
gain_of_question(Choice *choice, guint i, const guint *heads, guint n_heads)
{
    const PdHayQuestion *question = g_ptr_array_index(choice->haystack->questions, i);
    g_autofree guint *ranks = g_new(guint, question->groups->len);
    double sum = 0;

    memset(choice->sum, 0, choice->haystack->n_blocks * sizeof *choice->sum);
    for (guint h = 0; h < n_heads; h++) {
        const float *z = pd_head_scores_of(choice->scores, heads[h], i);
        for (guint b = 0; b < choice->haystack->n_blocks; b++)
            choice->sum[b] += z[b];
    }
    pd_gold_ranks(choice->sum, choice->haystack->n_blocks, question, ranks);
    for (guint g = 0; g < question->groups->len; g++)
        sum += 1 / log2(1.0 + ranks[g]);
    return sum / question->groups->len;
}

/* The mean over kinds of the mean over questions that are not held out.  Kinds count alike from
 * KIND_QUESTIONS questions on, with fewer as much less: three functions must not outvote forty
 * paraphrases. */
static double
objective(Choice *choice, gboolean semantic, const guint *heads, guint n_heads)
{
    g_autofree double *sums = g_new0(double, choice->kinds->len);
    g_autofree guint *counts = g_new0(guint, choice->kinds->len);
    double sum = 0;
    guint weights = 0;

    for (guint i = 0; i < choice->haystack->questions->len; i++) {
        if (choice->is_held[i] ||
            is_semantic(g_ptr_array_index(choice->haystack->questions, i)) != semantic)
            continue;
        sums[choice->kind[i]] += gain_of_question(choice, i, heads, n_heads);
        counts[choice->kind[i]]++;
    }
    for (guint k = 0; k < choice->kinds->len; k++)
        if (counts[k] > 0) {
            guint weight = MIN(counts[k], KIND_QUESTIONS);
            sum += weight * sums[k] / counts[k];
            weights += weight;
        }
    return weights > 0 ? sum / weights : 0;
}

typedef struct {
    guint head;
    double value;
} Candidate;

static int
compare_candidates(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;

    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return x->head < y->head ? -1 : x->head > y->head;
}

static PdHead
name_head(const Choice *choice, guint number, int group)
{
    PdHead head = choice->scores->heads[number];

    head.group = group;
    return head;
}

/* What taking the head into the set has to gain; no head is taken twice in a group. */
static double
price(const Choice *choice, const PdHeadSet *set, PdHead head)
{
    int deepest = 0;
    double wanted = GAIN_NEW_STREAM;

    for (int i = 0; i < set->n_heads; i++) {
        const PdHead *taken = &set->heads[i];

        deepest = MAX(deepest, taken->layer);
        if (taken->layer != head.layer)
            continue;
        if (taken->head == head.head && taken->by_keys == head.by_keys &&
            taken->group == head.group)
            return INFINITY;
        if (pd_head_kv(choice->shape, taken) == pd_head_kv(choice->shape, &head))
            wanted = GAIN_OLD_STREAM;
    }
    return wanted + GAIN_LAYER * MAX(head.layer - deepest, 0);
}

static void
grow(Choice *choice, int group, PdHeadSet *set)
{
    gboolean semantic = group == 1;
    guint n_all = choice->scores->n_heads, heads[PD_HEADS_PER_GROUP];
    g_autofree Candidate *alone = g_new(Candidate, n_all);
    double reached = 0;

    for (guint h = 0; h < n_all; h++)
        alone[h] = (Candidate){h, objective(choice, semantic, &h, 1)};
    qsort(alone, n_all, sizeof *alone, compare_candidates);
    for (guint n = 0; n < PD_HEADS_PER_GROUP; n++) {
        Candidate best = {0};
        double most = -INFINITY;

        for (guint c = 0; c < MIN(n_all, N_CANDIDATES); c++) {
            double value, surplus;

            heads[n] = alone[c].head;
            value = objective(choice, semantic, heads, n + 1);
            surplus = value - reached - price(choice, set, name_head(choice, heads[n], group));
            if (surplus > most) {
                most = surplus;
                best = (Candidate){heads[n], value};
            }
        }
        if (most < 0)
            break;
        heads[n] = best.head;
        reached = best.value;
        set->heads[set->n_heads++] = name_head(choice, best.head, group);
    }
}

PdHeadSet
pd_head_set_choose(const PdHeadScores *scores, const PdHaystack *haystack,
                   const PdModelShape *shape)
{
    g_auto(Choice) choice = {0};
    PdHeadSet set = {0};

    choice_init(&choice, scores, haystack, shape);
    for (int group = 0; group < 2; group++)
        grow(&choice, group, &set);
    return set;
}

PdHeadSet
pd_head_set_group(const PdHeadSet *set, int group)
{
    PdHeadSet part = {0};

    for (int i = 0; i < set->n_heads; i++)
        if (set->heads[i].group == group)
            part.heads[part.n_heads++] = set->heads[i];
    return part;
}

/* --- judging --- */

static void
add_result(PdHeadResult *result, const guint *ranks, guint n_groups)
{
    static const guint at[] = {8, 16, 32};

    result->n++;
    for (guint g = 0; g < n_groups; g++) {
        result->mrr += 1.0 / ranks[g] / n_groups;
        for (gsize k = 0; k < G_N_ELEMENTS(at); k++)
            result->recall[k] += (ranks[g] <= at[k]) / (double)n_groups;
    }
}

static void
divide(PdHeadResult *result, guint n)
{
    result->mrr /= MAX(n, 1);
    for (gsize k = 0; k < G_N_ELEMENTS(result->recall); k++)
        result->recall[k] /= MAX(n, 1);
}

/* Add a kind's means to the mean of kinds; returns whether there was something to add. */
static guint
add_kind(PdHeadResult *mean, PdHeadResult *of_kind)
{
    divide(of_kind, of_kind->n);
    mean->n += of_kind->n;
    mean->mrr += of_kind->mrr;
    for (gsize k = 0; k < G_N_ELEMENTS(mean->recall); k++)
        mean->recall[k] += of_kind->recall[k];
    return of_kind->n > 0;
}

GArray *
pd_head_set_judge(const PdHeadSet *set, const PdHeadScores *scores, const PdHaystack *haystack,
                  const PdModelShape *shape)
{
    g_auto(Choice) choice = {0};
    GArray *reports = g_array_new(FALSE, TRUE, sizeof(PdHeadReport));
    gsize n_blocks = haystack->n_blocks;
    g_autofree float *z = g_new(float, (gsize)set->n_heads *n_blocks);
    g_autofree float *fused = g_new(float, n_blocks);
    PdHeadReport mean = {0};
    guint n_all = 0, n_held = 0;

    choice_init(&choice, scores, haystack, shape);
    g_array_set_size(reports, choice.kinds->len);
    for (guint i = 0; i < haystack->questions->len; i++) {
        const PdHayQuestion *question = g_ptr_array_index(haystack->questions, i);
        PdHeadReport *report = &g_array_index(reports, PdHeadReport, choice.kind[i]);
        g_autofree guint *ranks = g_new(guint, question->groups->len);

        for (int h = 0; h < set->n_heads; h++) {
            guint number = pd_head_scores_find(scores, &set->heads[h]);
            memcpy(z + (gsize)h * n_blocks, pd_head_scores_of(scores, number, i),
                   n_blocks * sizeof *z);
        }
        pd_sweep_fuse(z, set->heads, set->n_heads, haystack->n_blocks, choice.sum, fused);
        pd_gold_ranks(fused, haystack->n_blocks, question, ranks);
        report->kind = question->kind;
        add_result(&report->all, ranks, question->groups->len);
        if (choice.is_held[i])
            add_result(&report->held_out, ranks, question->groups->len);
    }
    for (guint k = 0; k < reports->len; k++) {
        PdHeadReport *report = &g_array_index(reports, PdHeadReport, k);
        n_all += add_kind(&mean.all, &report->all);
        n_held += add_kind(&mean.held_out, &report->held_out);
    }
    divide(&mean.all, n_all);
    divide(&mean.held_out, n_held);
    g_array_append_val(reports, mean);
    return reports;
}
