/*
 * Finding a function by what it does.  Taken: C functions right below a block comment and Python
 * functions with a docstring, of a name that no other of them has.  The comment is taken out of the
 * corpus and its first sentence, without the name, becomes the question.  (After the
 * needle-function task of Liu and others, RepoQA, 2024; the answer here is the name, not the code.)
 */
#include <string.h>
#include "prompts/eval_plan.h"
#include "prompts/mix.h"

#define DESCRIPTION_MIN_BYTES 30
#define DESCRIPTION_MAX_BYTES 300
#define DESCRIPTION_MIN_WORDS 5
#define NAME_MIN_BYTES 5
#define BODY_MAX_BYTES 4000

/* comment, return type, name, parameters, opening brace */
#define C_FUNCTION                                                                                 \
    "^/\\*(?<comment>(?:[^*]|\\*(?!/)){20,1500}+)\\*/[ \\t]*\\n"                                   \
    "(?<body>[A-Za-z_][\\w \\t*]{0,100}[ \\t*](?<name>[A-Za-z_]\\w*)[ \\t]*"                       \
    "\\([^;{}]{0,300}\\)\\s*\\{)"
#define PYTHON_FUNCTION                                                                            \
    "^(?<body>[ \\t]*def[ \\t]+(?<name>[A-Za-z_]\\w*)[ \\t]*\\([^:]{0,300}\\)[^:\\n]{0,60}:[ "     \
    "\\t]*\\n)"                                                                                    \
    "(?<doc>[ \\t]*[rR]?\"\"\"(?<comment>[^\"]{20,1500}+)\"\"\"[ \\t]*\\n)"

typedef struct {
    gint64 part_id;
    guint32 cut_start, cut_end;   /* the comment */
    guint32 body_start, body_end; /* the function */
    char *name;
    char *description;
    guint64 order; /* drawn */
} Function;

static void
clear_function(gpointer data)
{
    Function *function = data;

    g_free(function->name);
    g_free(function->description);
}

static gint
compare_functions(gconstpointer a, gconstpointer b)
{
    const Function *x = a, *y = b;

    return x->order < y->order ? -1 : x->order > y->order;
}

/* The comment's first sentence on one line, without its decoration and without the name. */
static char *
describe(const char *comment, const char *name)
{
    g_autoptr(GRegex) decoration = g_regex_new("[*\\s]+", 0, 0, NULL);
    g_autofree char *word = g_strdup_printf("['`\"]?\\b%s\\b(\\s*\\(\\))?['`\"]?", name);
    g_autoptr(GRegex) own_name = g_regex_new(word, G_REGEX_CASELESS, 0, NULL);
    g_autofree char *flat = g_regex_replace_literal(decoration, comment, -1, 0, " ", 0, NULL);
    g_autofree char *stripped = flat ? g_strdup(g_strstrip(flat)) : NULL;
    char *end = stripped ? strstr(stripped, ". ") : NULL;
    g_autofree char *nameless = NULL;
    g_auto(GStrv) words = NULL;
    gsize n;

    if (!stripped)
        return NULL;
    if (end)
        end[1] = 0;
    nameless = g_regex_replace_literal(own_name, stripped, -1, 0, "it", 0, NULL);
    if (!nameless)
        return NULL;
    n = strlen(nameless);
    words = g_strsplit(nameless, " ", -1);
    if (n < DESCRIPTION_MIN_BYTES || n > DESCRIPTION_MAX_BYTES ||
        g_strv_length(words) < DESCRIPTION_MIN_WORDS)
        return NULL;
    return g_steal_pointer(&nameless);
}

/* Up to the brace or the indentation that ends it. */
static guint32
body_end(const PdPartRow *part, guint32 from, gboolean python)
{
    gsize limit = MIN(part->n_bytes, (gsize)from + BODY_MAX_BYTES);
    gsize at = from;

    while (at < limit) {
        const char *lf = memchr(part->text + at, '\n', limit - at);
        if (!lf)
            return (guint32)limit;
        at = (gsize)(lf - part->text) + 1;
        if (!python && at < limit && part->text[at] == '}')
            return (guint32)at + 1;
        if (python && g_str_has_prefix(part->text + at, "def "))
            return (guint32)at;
    }
    return (guint32)limit;
}

static gboolean
is_keyword(const char *name)
{
    static const char *const words[] = {"switch", "while", "return", "sizeof", "defined", NULL};

    return g_strv_contains(words, name);
}

static void
add_function(PdEvalPlan *plan, const PdDocumentRow *document, const PdPartRow *part,
             GMatchInfo *match, gboolean python, GArray *functions)
{
    Function function = {.part_id = part->id};
    g_autofree char *comment = g_match_info_fetch_named(match, "comment");
    g_autofree char *key = NULL;
    int cut_start, cut_end, start, end;

    function.name = g_match_info_fetch_named(match, "name");
    function.description = describe(comment, function.name);
    if (!function.description || strlen(function.name) < NAME_MIN_BYTES ||
        is_keyword(function.name)) {
        clear_function(&function);
        return;
    }
    g_match_info_fetch_named_pos(match, "body", &start, &end);
    if (python)
        g_match_info_fetch_named_pos(match, "doc", &cut_start, &cut_end);
    else {
        g_match_info_fetch_pos(match, 0, &cut_start, NULL);
        cut_end = start;
    }
    function.cut_start = (guint32)cut_start;
    function.cut_end = (guint32)cut_end;
    function.body_start = (guint32)start;
    function.body_end = body_end(part, (guint32)(python ? cut_end : end), python);
    key = g_strconcat(document->key, ":", function.name, NULL);
    function.order = pd_mix(plan->options->seed ^ g_str_hash(key));
    g_array_append_val(functions, function);
}

/* All functions of one file; the first place of a name counts, a second one strikes it out. */
static gboolean
scan_part(PdEvalPlan *plan, const PdDocumentRow *document, const PdPartRow *part, gboolean python,
          GArray *functions, GError **error)
{
    g_autoptr(GRegex) regex =
        g_regex_new(python ? PYTHON_FUNCTION : C_FUNCTION, G_REGEX_MULTILINE, 0, error);
    g_autoptr(GMatchInfo) match = NULL;

    if (!regex)
        return FALSE;
    /* A text in which the search gives up (a backtracking limit) has no functions for us. */
    g_regex_match_full(regex, part->text, (gssize)part->n_bytes, 0, 0, &match, NULL);
    while (g_match_info_matches(match)) {
        add_function(plan, document, part, match, python, functions);
        if (!g_match_info_next(match, NULL))
            break;
    }
    return TRUE;
}

static gboolean
scan(PdEvalPlan *plan, GArray *functions, GError **error)
{
    for (guint i = 0; i < plan->documents->len; i++) {
        const PdDocumentRow *document = g_ptr_array_index(plan->documents, i);
        const char *name = *document->key ? document->key : document->title;
        gboolean python = g_str_has_suffix(name, ".py");
        g_autoptr(GPtrArray) parts = NULL;

        if (!python && !g_str_has_suffix(name, ".c") && !g_str_has_suffix(name, ".h") &&
            !g_str_has_suffix(name, ".cc") && !g_str_has_suffix(name, ".cpp"))
            continue;
        parts = pd_corpus_parts(plan->corpus, document->id, error);
        if (!parts)
            return FALSE;
        for (guint p = 0; p < parts->len; p++)
            if (!scan_part(plan, document, g_ptr_array_index(parts, p), python, functions, error))
                return FALSE;
    }
    return TRUE;
}

static void
count_names(GArray *functions, GHashTable *counts)
{
    for (guint i = 0; i < functions->len; i++) {
        const char *name = g_array_index(functions, Function, i).name;
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, name));
        g_hash_table_replace(counts, (gpointer)name, GUINT_TO_POINTER(n + 1));
    }
}

static PdFact *
fact_of(const char *question, const char *accept)
{
    PdFact *fact = g_new0(PdFact, 1);

    fact->kind = PD_FACT_LITERAL;
    fact->question = g_strdup(question);
    fact->sentences = g_ptr_array_new_with_free_func(g_free);
    fact->accept = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(fact->accept, g_strdup(accept));
    return fact;
}

static void
take(PdEvalPlan *plan, const Function *function, guint index)
{
    g_autofree char *question = g_strdup_printf(
        "Which function does the following? Give its name. \"%s\"", function->description);
    PdEvalItem *item =
        pd_eval_item_new(PD_EVAL_REPOFN, "repofn", index, fact_of(question, function->name));
    PdEvalPlace place = {function->part_id, function->body_start, function->body_end};
    PdEvalPlant cut = {
        .part_id = function->part_id, .start = function->cut_start, .end = function->cut_end};

    g_array_append_val(item->places, place);
    g_array_append_val(plan->plants, cut);
    g_ptr_array_add(plan->items, item);
    g_hash_table_add(plan->taken, g_memdup2(&function->part_id, sizeof(gint64)));
}

gboolean
pd_eval_plan_repofn(PdEvalPlan *plan, GError **error)
{
    g_autoptr(GArray) functions = g_array_new(FALSE, FALSE, sizeof(Function));
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    guint n = 0;

    if (!(plan->options->tasks & 1u << PD_EVAL_REPOFN))
        return TRUE;
    g_array_set_clear_func(functions, clear_function);
    if (!scan(plan, functions, error))
        return FALSE;
    g_array_sort(functions, compare_functions);
    count_names(functions, counts);
    for (guint i = 0; i < functions->len && n < plan->options->items; i++) {
        const Function *function = &g_array_index(functions, Function, i);
        if (GPOINTER_TO_UINT(g_hash_table_lookup(counts, function->name)) == 1)
            take(plan, function, n++);
    }
    if (n < plan->options->items)
        g_ptr_array_add(plan->notes,
                        g_strdup_printf("repofn: %u of %u questions: this corpus has no more C or "
                                        "Python functions with a comment",
                                        n, plan->options->items));
    return TRUE;
}
