/*
 * What was measured, as tables, JSON and CSV.  Everything is counted from the list of results, so a
 * run that was cut short is reported as what it is: fewer of them.
 */
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>
#include "prompts/eval.h"
#include "ingest/json_text.h"

#define ANY (-1)

/* The 97.5 % point of the normal distribution. */
#define Z95 1.959963984540054

void
pd_eval_wilson(guint k, guint n, double *low, double *high)
{
    double p, middle, half, z2 = Z95 * Z95;

    *low = 0;
    *high = 1;
    if (n == 0)
        return;
    p = (double)k / n;
    middle = (p + z2 / (2.0 * n)) / (1 + z2 / n);
    half = Z95 * sqrt(p * (1 - p) / n + z2 / (4.0 * n * n)) / (1 + z2 / n);
    if (k > 0)
        *low = MAX(middle - half, 0);
    if (k < n)
        *high = MIN(middle + half, 1);
}

/* --- counting -------------------------------------------------------------------------------- */

/* Which results; NULL, 0 and ANY match all. */
typedef struct {
    guint64 length;
    const char *subtask;
    const char *depth;
    int arm;
} Filter;

typedef struct {
    guint n;
    guint n_answered;
    guint right;
    guint refused;
    guint withheld_right;
    guint n_cited_of; /* right answers that have a place */
    guint cited;
    guint n_placed; /* results with a place whose reading is known */
    guint n_ranked;
    guint best1, best8, best32, best64;
    guint read;
    guint median_rank; /* 0: not ranked */
    double median_seconds;
} Tally;

static gboolean
matches(const PdEvalResult *result, const Filter *filter)
{
    return (!filter->length || result->length == filter->length) &&
           (!filter->subtask || g_str_equal(result->subtask, filter->subtask)) &&
           (!filter->depth || g_strcmp0(result->depth, filter->depth) == 0) &&
           (filter->arm == ANY || (int)result->arm == filter->arm);
}

static gint
compare_doubles(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double
median(GArray *values)
{
    if (values->len == 0)
        return 0;
    g_array_sort(values, compare_doubles);
    return g_array_index(values, double, (values->len - 1) / 2);
}

static void
count_result(const PdEvalResult *result, Tally *tally, GArray *ranks)
{
    /* Not among the blocks at all counts as behind all of them. */
    double rank = result->rank ? result->rank : MAX(result->n_blocks, 64) + 1.0;

    tally->n++;
    tally->n_answered += result->answered;
    tally->right += result->right;
    tally->refused += result->refused;
    tally->withheld_right += result->withheld_right;
    if (result->n_places == 0)
        return;
    tally->n_placed++;
    tally->read += result->read;
    if (result->answered && result->right) {
        tally->n_cited_of++;
        tally->cited += result->cited;
    }
    if (!result->ranked)
        return;
    tally->n_ranked++;
    tally->best1 += result->rank && rank <= 1;
    tally->best8 += result->rank && rank <= 8;
    tally->best32 += result->rank && rank <= 32;
    tally->best64 += result->rank && rank <= 64;
    g_array_append_val(ranks, rank);
}

static Tally
count(GPtrArray *results, const Filter *filter)
{
    g_autoptr(GArray) ranks = g_array_new(FALSE, FALSE, sizeof(double));
    g_autoptr(GArray) seconds = g_array_new(FALSE, FALSE, sizeof(double));
    Tally tally = {0};

    for (guint i = 0; i < results->len; i++) {
        const PdEvalResult *result = g_ptr_array_index(results, i);
        if (!matches(result, filter))
            continue;
        count_result(result, &tally, ranks);
        g_array_append_val(seconds, result->seconds);
    }
    tally.median_rank = (guint)median(ranks);
    tally.median_seconds = median(seconds);
    return tally;
}

/* Names of one member of the results, each once, in order of appearance. */
static GPtrArray *
distinct_subtasks(GPtrArray *results, guint64 length)
{
    GPtrArray *names = g_ptr_array_new();

    for (guint i = 0; i < results->len; i++) {
        const PdEvalResult *result = g_ptr_array_index(results, i);
        if (result->length == length &&
            !g_ptr_array_find_with_equal_func(names, result->subtask, g_str_equal, NULL))
            g_ptr_array_add(names, (gpointer)result->subtask);
    }
    return names;
}

static GArray *
distinct_lengths(GPtrArray *results)
{
    GArray *lengths = g_array_new(FALSE, FALSE, sizeof(guint64));

    for (guint i = 0; i < results->len; i++) {
        guint64 length = ((const PdEvalResult *)g_ptr_array_index(results, i))->length;
        gboolean seen = FALSE;
        for (guint k = 0; k < lengths->len; k++)
            seen |= g_array_index(lengths, guint64, k) == length;
        if (!seen)
            g_array_append_val(lengths, length);
    }
    return lengths;
}

/* --- tables ---------------------------------------------------------------------------------- */

/* "83 % [44,97] 5/6" */
static char *
cell(guint k, guint n)
{
    double low, high;

    if (n == 0)
        return g_strdup("-");
    pd_eval_wilson(k, n, &low, &high);
    return g_strdup_printf("%3.0f %% [%.0f,%.0f] %u/%u", 100.0 * k / n, 100 * low, 100 * high, k,
                           n);
}

#define CELL_COLUMNS 22

static void
append_cell(GString *table, guint k, guint n)
{
    g_autofree char *text = cell(k, n);

    g_string_append_printf(table, "  %-*s", CELL_COLUMNS, text);
}

static void
end_line(GString *table)
{
    while (table->len && table->str[table->len - 1] == ' ')
        g_string_truncate(table, table->len - 1);
    g_string_append_c(table, '\n');
}

/* One row of right answers over all arms that have any. */
static void
append_answers(GString *table, GPtrArray *results, Filter filter, const char *label,
               const gboolean *arms)
{
    g_string_append_printf(table, "%-12s", label);
    for (int arm = 0; arm < PD_EVAL_N_ARMS; arm++)
        if (arms[arm]) {
            filter.arm = arm;
            Tally tally = count(results, &filter);
            append_cell(table, tally.right, tally.n_answered);
        }
    end_line(table);
}

static void
append_answer_tables(GString *table, GPtrArray *results, guint64 length, GPtrArray *subtasks)
{
    static const char *const depths[] = {"5", "25", "50", "75", "95", "segment", "block"};
    gboolean arms[PD_EVAL_N_ARMS], any = FALSE;
    Filter filter = {.length = length};

    for (int arm = 0; arm < PD_EVAL_N_ARMS; arm++) {
        filter.arm = arm;
        arms[arm] = count(results, &filter).n_answered > 0;
        any |= arms[arm];
    }
    if (!any)
        return;
    g_string_append_printf(table, "%-12s", "right");
    for (int arm = 0; arm < PD_EVAL_N_ARMS; arm++)
        if (arms[arm])
            g_string_append_printf(table, "  %-*s", CELL_COLUMNS, pd_eval_arm_name(arm));
    end_line(table);
    for (guint i = 0; i < subtasks->len; i++) {
        filter.subtask = g_ptr_array_index(subtasks, i);
        append_answers(table, results, filter, filter.subtask, arms);
    }
    filter.subtask = NULL;
    for (gsize d = 0; d < G_N_ELEMENTS(depths); d++) {
        g_autofree char *label =
            g_strdup_printf(g_ascii_isdigit(*depths[d]) ? "at %s %%" : "at a %s", depths[d]);
        filter.depth = depths[d];
        filter.arm = ANY;
        if (count(results, &filter).n_answered > 0)
            append_answers(table, results, filter, label, arms);
    }
}

/* Where the places stood, per subtask, in one arm's ranking. */
static void
append_index_table(GString *table, GPtrArray *results, guint64 length, GPtrArray *subtasks, int arm)
{
    Filter filter = {.length = length, .arm = arm};

    if (count(results, &filter).n_ranked == 0)
        return;
    g_string_append_printf(table, "\nindex of %s: the place's block among the best\n%-12s",
                           pd_eval_arm_name(arm), "");
    for (int i = 0; i < 4; i++)
        g_string_append_printf(table, "  %-*s", CELL_COLUMNS,
                               ((const char *const[]){"8", "32", "64", "read window"})[i]);
    g_string_append(table, "  median rank\n");
    for (guint i = 0; i < subtasks->len; i++) {
        filter.subtask = g_ptr_array_index(subtasks, i);
        Tally tally = count(results, &filter);
        if (tally.n_ranked == 0)
            continue;
        g_string_append_printf(table, "%-12s", filter.subtask);
        append_cell(table, tally.best8, tally.n_ranked);
        append_cell(table, tally.best32, tally.n_ranked);
        append_cell(table, tally.best64, tally.n_ranked);
        append_cell(table, tally.read, tally.n_placed);
        g_string_append_printf(table, "  %u\n", tally.median_rank);
    }
}

static void
append_citations(GString *table, GPtrArray *results, guint64 length)
{
    Filter filter = {.length = length};
    gboolean first = TRUE;

    for (filter.arm = 0; filter.arm < PD_EVAL_N_ARMS; filter.arm++) {
        Tally tally = count(results, &filter);
        if (tally.n_cited_of == 0 || filter.arm == PD_EVAL_ARM_CLOSED)
            continue;
        if (first)
            g_string_append(table, "\ncitation at the place, of right answers\n");
        first = FALSE;
        g_string_append_printf(table, "%-12s", pd_eval_arm_name(filter.arm));
        append_cell(table, tally.cited, tally.n_cited_of);
        end_line(table);
    }
}

static const PdEvalResult *
twin(GPtrArray *results, const PdEvalResult *of, PdEvalArm arm)
{
    guint at;
    const PdEvalResult *result =
        pd_eval_results_find(results, of->length, of->subtask, of->index, arm, &at)
            ? g_ptr_array_index(results, at)
            : NULL;

    return result && result->answered ? result : NULL;
}

/* Questions that two arms judged alike, of those that both answered. */
static void
count_agreement(GPtrArray *results, guint64 length, PdEvalArm a, PdEvalArm b, guint *same, guint *n)
{
    *same = *n = 0;
    for (guint i = 0; i < results->len; i++) {
        const PdEvalResult *result = g_ptr_array_index(results, i);
        const PdEvalResult *other;

        if (result->arm != a || result->length != length || !result->answered ||
            !(other = twin(results, result, b)))
            continue;
        ++*n;
        *same += result->right == other->right && result->refused == other->refused;
    }
}

char *
pd_eval_table(GPtrArray *results, guint64 length)
{
    GString *table = g_string_new(NULL);
    g_autoptr(GPtrArray) subtasks = distinct_subtasks(results, length);
    guint same, n;

    append_answer_tables(table, results, length, subtasks);
    append_index_table(table, results, length, subtasks, PD_EVAL_ARM_HYBRID);
    append_index_table(table, results, length, subtasks, PD_EVAL_ARM_SWEEP);
    append_index_table(table, results, length, subtasks, PD_EVAL_ARM_RAG);
    append_citations(table, results, length);
    count_agreement(results, length, PD_EVAL_ARM_HYBRID, PD_EVAL_ARM_DENSE, &same, &n);
    if (n) {
        g_string_append_printf(table, "\n%-12s", "as dense");
        append_cell(table, same, n);
        g_string_append(table, "hybrid judged as dense was\n");
    }
    if (table->len && table->str[0] == '\n')
        g_string_erase(table, 0, 1);
    return g_string_free(table, FALSE);
}

/* --- JSON ------------------------------------------------------------------------------------ */

char *
pd_eval_result_json(const PdEvalResult *result, const char *run)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    pd_json_string(json, "schema", "pandect.eval.item/1");
    pd_json_string(json, "run", run);
    pd_json_int(json, "tokens", (gint64)result->length);
    pd_json_string(json, "task", pd_eval_task_name(result->task));
    pd_json_string(json, "subtask", result->subtask);
    pd_json_int(json, "item", result->index);
    pd_json_string(json, "depth", result->depth);
    pd_json_string(json, "arm", pd_eval_arm_name(result->arm));
    pd_json_string(json, "question", result->question);
    pd_json_strings(json, "gold", result->gold, g_strv_length(result->gold));
    pd_json_int(json, "places", result->n_places);
    pd_json_string(json, "place", result->place);
    pd_json_string(json, "answer", result->answer);
    json_builder_set_member_name(json, "right");
    if (result->answered)
        json_builder_add_boolean_value(json, result->right);
    else
        json_builder_add_null_value(json);
    pd_json_bool(json, "refused", result->refused);
    pd_json_string(json, "withheld", result->withheld);
    pd_json_bool(json, "withheld_right", result->withheld_right);
    if (result->checked)
        pd_json_double(json, "support", result->support);
    json_builder_set_member_name(json, "rank");
    if (result->ranked)
        json_builder_add_int_value(json, result->rank);
    else
        json_builder_add_null_value(json);
    pd_json_int(json, "blocks", result->n_blocks);
    pd_json_bool(json, "read", result->read);
    pd_json_int(json, "citations", result->n_citations);
    pd_json_bool(json, "cited", result->cited);
    pd_json_int(json, "prompt_tokens", result->n_prompt_tokens);
    pd_json_double(json, "seconds", result->seconds);
    json_builder_end_object(json);
    return pd_json_built(json);
}

static void
add_rate(JsonBuilder *json, const char *name, guint k, guint n)
{
    double low, high;

    pd_eval_wilson(k, n, &low, &high);
    json_builder_set_member_name(json, name);
    json_builder_begin_object(json);
    pd_json_int(json, "k", k);
    pd_json_int(json, "n", n);
    pd_json_double(json, "rate", n ? (double)k / n : 0);
    pd_json_double(json, "low", low);
    pd_json_double(json, "high", high);
    json_builder_end_object(json);
}

static void
add_group(JsonBuilder *json, guint64 length, const char *subtask, int arm, const Tally *tally)
{
    json_builder_begin_object(json);
    pd_json_int(json, "tokens", (gint64)length);
    pd_json_string(json, "subtask", subtask);
    pd_json_string(json, "arm", pd_eval_arm_name((PdEvalArm)arm));
    pd_json_int(json, "items", tally->n);
    add_rate(json, "right", tally->right, tally->n_answered);
    add_rate(json, "refused", tally->refused, tally->n_answered);
    add_rate(json, "withheld_right", tally->withheld_right, tally->n_answered);
    add_rate(json, "cited", tally->cited, tally->n_cited_of);
    add_rate(json, "read", tally->read, tally->n_placed);
    add_rate(json, "best8", tally->best8, tally->n_ranked);
    add_rate(json, "best32", tally->best32, tally->n_ranked);
    add_rate(json, "best64", tally->best64, tally->n_ranked);
    pd_json_int(json, "median_rank", tally->median_rank);
    pd_json_double(json, "median_seconds", tally->median_seconds);
    json_builder_end_object(json);
}

/* Called for each group of results that is not empty. */
typedef void (*GroupFunc)(guint64 length, const char *subtask, int arm, const Tally *tally,
                          gpointer user_data);

static void
each_group(GPtrArray *results, GroupFunc func, gpointer user_data)
{
    g_autoptr(GArray) lengths = distinct_lengths(results);

    for (guint l = 0; l < lengths->len; l++) {
        guint64 length = g_array_index(lengths, guint64, l);
        g_autoptr(GPtrArray) subtasks = distinct_subtasks(results, length);

        for (guint s = 0; s < subtasks->len; s++)
            for (int arm = 0; arm < PD_EVAL_N_ARMS; arm++) {
                Filter filter = {length, g_ptr_array_index(subtasks, s), NULL, arm};
                Tally tally = count(results, &filter);
                if (tally.n > 0)
                    func(length, filter.subtask, arm, &tally, user_data);
            }
    }
}

static void
json_group(guint64 length, const char *subtask, int arm, const Tally *tally, gpointer user_data)
{
    add_group(user_data, length, subtask, arm, tally);
}

char *
pd_eval_summary_json(GPtrArray *results, PdModel *model, const PdEvalOptions *options)
{
    g_autoptr(JsonBuilder) json = json_builder_new();

    json_builder_begin_object(json);
    pd_json_string(json, "schema", "pandect.eval/1");
    pd_json_string(json, "model", pd_model_name(model));
    pd_json_int(json, "seed", (gint64)options->seed);
    pd_json_int(json, "items", options->items);
    pd_json_bool(json, "no_read", options->no_read);
    json_builder_set_member_name(json, "groups");
    json_builder_begin_array(json);
    each_group(results, json_group, json);
    json_builder_end_array(json);
    json_builder_end_object(json);
    return pd_json_built(json);
}

/* --- CSV ------------------------------------------------------------------------------------- */

static void
csv_group(guint64 length, const char *subtask, int arm, const Tally *tally, gpointer user_data)
{
    GString *csv = user_data;
    double low, high;
    char numbers[3][G_ASCII_DTOSTR_BUF_SIZE];

    pd_eval_wilson(tally->right, tally->n_answered, &low, &high);
    g_ascii_formatd(numbers[0], G_ASCII_DTOSTR_BUF_SIZE, "%.4f", low);
    g_ascii_formatd(numbers[1], G_ASCII_DTOSTR_BUF_SIZE, "%.4f", high);
    g_ascii_formatd(numbers[2], G_ASCII_DTOSTR_BUF_SIZE, "%.3f", tally->median_seconds);
    g_string_append_printf(
        csv, "%" G_GUINT64_FORMAT ",%s,%s,%u,%u,%u,%s,%s,%u,%u,%u,%u,%u,%u,%u,%u,%u,%u,%s\n",
        length, subtask, pd_eval_arm_name((PdEvalArm)arm), tally->n, tally->n_answered,
        tally->right, numbers[0], numbers[1], tally->refused, tally->n_cited_of, tally->cited,
        tally->n_placed, tally->read, tally->n_ranked, tally->best8, tally->best32, tally->best64,
        tally->median_rank, numbers[2]);
}

char *
pd_eval_csv(GPtrArray *results)
{
    GString *csv = g_string_new("tokens,subtask,arm,items,answered,right,right_low,right_high,"
                                "refused,right_with_place,cited,with_place,read,ranked,best8,"
                                "best32,best64,median_rank,median_seconds\n");

    each_group(results, csv_group, csv);
    return g_string_free(csv, FALSE);
}
