/* See eval_keep.h, and eval.h for the answers. */
#include "prompts/eval_keep.h"

#include <string.h>
#include "engine/json_bounded.h"
#include "engine/json_fields.h"
#include "ingest/json_text.h"
#include "prompts/error.h"
#include "prompts/eval_plan.h"

/* --- the copy -------------------------------------------------------------------------------- */

char *
pd_eval_copy_id(PdCorpus *from, PdTokenizer *tokenizer, const PdEvalOptions *options,
                guint64 n_tokens, GError **error)
{
    g_autoptr(GPtrArray) documents = pd_corpus_documents(from, tokenizer, error);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *made_with = NULL;

    if (!documents)
        return NULL;
    made_with = g_strdup_printf("%s %u %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                                pd_tokenizer_id(tokenizer), options->tasks, options->items,
                                options->seed, n_tokens);
    g_checksum_update(sum, (const guchar *)made_with, -1);
    for (guint i = 0; i < documents->len; i++) {
        const PdDocumentRow *row = g_ptr_array_index(documents, i);
        g_autofree char *line = g_strdup_printf(
            "\n%s\t%s\t%s\t%" G_GUINT64_FORMAT "\t%" G_GUINT64_FORMAT, row->source, row->key,
            row->revision ? row->revision : "", row->n_bytes, row->n_tokens);
        g_checksum_update(sum, (const guchar *)line, -1);
    }
    return g_strdup(g_checksum_get_string(sum));
}

/* --- questions ------------------------------------------------------------------------------- */

#define QUESTIONS_SCHEMA "pandect.eval.questions/1"

static void
add_strings(JsonBuilder *json, const char *name, GPtrArray *strings)
{
    pd_json_strings(json, name, (char *const *)strings->pdata, strings->len);
}

static void
add_item(JsonBuilder *json, const PdEvalItem *item)
{
    json_builder_begin_object(json);
    pd_json_string(json, "task", pd_eval_task_name(item->task));
    pd_json_string(json, "subtask", item->subtask);
    pd_json_int(json, "item", item->index);
    pd_json_string(json, "depth", item->depth);
    pd_json_int(json, "fact", item->fact->kind);
    pd_json_string(json, "question", item->fact->question);
    add_strings(json, "sentences", item->fact->sentences);
    add_strings(json, "accept", item->fact->accept);
    json_builder_set_member_name(json, "places");
    json_builder_begin_array(json);
    for (guint p = 0; p < item->places->len; p++) {
        const PdEvalPlace *place = &g_array_index(item->places, PdEvalPlace, p);
        json_builder_begin_object(json);
        pd_json_int(json, "part", place->part_id);
        pd_json_int(json, "start", place->start);
        pd_json_int(json, "end", place->end);
        json_builder_end_object(json);
    }
    json_builder_end_array(json);
    json_builder_end_object(json);
}

gboolean
pd_eval_questions_save(const PdEvalCorpus *eval, const char *id, const char *dir, GError **error)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autofree char *path = g_build_filename(dir, PD_EVAL_QUESTIONS_FILE, NULL);
    g_autofree char *text = NULL;

    json_builder_begin_object(json);
    pd_json_string(json, "schema", QUESTIONS_SCHEMA);
    pd_json_string(json, "id", id);
    pd_json_int(json, "tokens", (gint64)eval->n_tokens);
    pd_json_int(json, "documents", eval->n_documents);
    add_strings(json, "notes", eval->notes);
    json_builder_set_member_name(json, "items");
    json_builder_begin_array(json);
    for (guint i = 0; i < eval->items->len; i++)
        add_item(json, g_ptr_array_index(eval->items, i));
    json_builder_end_array(json);
    json_builder_end_object(json);
    text = pd_json_built(json);
    return g_file_set_contents_full(
        path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
}

/* The elements of an array of objects; an empty list, and a complaint, if it is something else. */
static GList *
objects(PdFields *f, const char *field)
{
    JsonNode *node = pd_fields_get(f, field);
    GList *elements;

    if (!node || !JSON_NODE_HOLDS_ARRAY(node)) {
        pd_fields_complain(f, field, "is not a list");
        return NULL;
    }
    elements = json_array_get_elements(json_node_get_array(node));
    for (GList *at = elements; at; at = at->next)
        if (!JSON_NODE_HOLDS_OBJECT((JsonNode *)at->data)) {
            pd_fields_complain(f, field, "holds something that is not an object");
            g_list_free(elements);
            return NULL;
        }
    return elements;
}

static GPtrArray *
strings(PdFields *f, const char *field)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    JsonNode *node = pd_fields_get(f, field);
    JsonArray *array = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    if (!array)
        pd_fields_complain(f, field, "is not a list");
    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        if (pd_fields_holds(element, G_TYPE_STRING))
            g_ptr_array_add(list, g_strdup(json_node_get_string(element)));
        else
            pd_fields_complain(f, field, "holds something that is not a string");
    }
    return list;
}

/* Never NULL. */
static const char *
text(PdFields *f, const char *field)
{
    const char *value = pd_fields_text(f, field);

    if (!value)
        pd_fields_complain(f, field, "is missing");
    return value ? value : "";
}

static void
read_places(PdFields *f, GArray *places)
{
    g_autoptr(GList) list = objects(f, "places");

    for (GList *at = list; at; at = at->next) {
        PdFields p = {json_node_get_object(at->data), f->problem};
        PdEvalPlace place = {.part_id = pd_fields_int(&p, "part", -1),
                             .start = (guint32)pd_fields_int(&p, "start", -1),
                             .end = (guint32)pd_fields_int(&p, "end", -1)};
        if (place.start >= place.end)
            pd_fields_complain(&p, "end", "is not behind the start");
        g_array_append_val(places, place);
    }
}

static PdEvalItem *
read_item(JsonNode *node, GString *problem)
{
    PdFields f = {json_node_get_object(node), problem};
    PdFact *fact = g_new0(PdFact, 1);
    PdEvalTask task = PD_EVAL_NEEDLE;
    PdEvalItem *item;
    int kind = pd_fields_int(&f, "fact", -1);

    if (!pd_eval_task_parse(text(&f, "task"), &task))
        pd_fields_complain(&f, "task", "is none");
    if (kind > PD_FACT_ABSENT)
        pd_fields_complain(&f, "fact", "is no kind of fact");
    fact->kind = (PdFactKind)kind;
    fact->question = g_strdup(text(&f, "question"));
    fact->sentences = strings(&f, "sentences");
    fact->accept = strings(&f, "accept");
    item = pd_eval_item_new(task, g_intern_string(text(&f, "subtask")),
                            (guint)pd_fields_int(&f, "item", -1), fact);
    item->depth = g_intern_string(pd_fields_text(&f, "depth"));
    read_places(&f, item->places);
    return item;
}

static gboolean
set_damaged(GError **error, const char *path, const char *problem)
{
    g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_QUESTIONS, "%s: %s", path, problem);
    return FALSE;
}

/* As the command line names them: "needle hops --items 24". */
static char *
describe_questions(const GPtrArray *items)
{
    GString *words = g_string_new(NULL);
    guint tasks = 0, n = 0;

    for (guint i = 0; i < items->len; i++) {
        const PdEvalItem *item = items->pdata[i];

        if (!(tasks & 1u << item->task))
            g_string_append_printf(words, "%s ", pd_eval_task_name(item->task));
        tasks |= 1u << item->task;
        n = MAX(n, item->index + 1);
    }
    g_string_append_printf(words, "--items %u", n);
    return g_string_free(words, FALSE);
}

gboolean
pd_eval_questions_load(PdEvalCorpus *eval, const char *id, const char *dir, GError **error)
{
    g_autofree char *path = g_build_filename(dir, PD_EVAL_QUESTIONS_FILE, NULL);
    g_autoptr(JsonParser) parser = pd_json_read_object(path, error);
    g_autoptr(GString) problem = g_string_new(NULL);
    g_autoptr(GList) items = NULL;
    PdFields f = {.problem = problem};

    if (!parser)
        return FALSE;
    f.object = pd_json_object(parser);
    if (g_strcmp0(pd_fields_text(&f, "schema"), QUESTIONS_SCHEMA) != 0)
        return set_damaged(error, path, "not questions of an evaluation");
    eval->n_tokens = (guint64)pd_fields_int(&f, "tokens", -1);
    eval->n_documents = (guint)pd_fields_int(&f, "documents", -1);
    eval->notes = strings(&f, "notes");
    eval->items = g_ptr_array_new_with_free_func((GDestroyNotify)pd_eval_item_free);
    items = objects(&f, "items");
    for (GList *at = items; at; at = at->next)
        g_ptr_array_add(eval->items, read_item(at->data, problem));
    if (problem->len > 0)
        return set_damaged(error, path, problem->str);
    if (g_strcmp0(pd_fields_text(&f, "id"), id) != 0) {
        g_autofree char *made_for = describe_questions(eval->items);

        g_set_error(error, PD_PROMPTS_ERROR, PD_PROMPTS_ERROR_QUESTIONS,
                    "%s holds a copy made for %s and perhaps another seed or tokenizer, or before "
                    "the corpus changed; ask for the same, remove it or name another folder with "
                    "--keep",
                    dir, made_for);
        return FALSE;
    }
    return TRUE;
}

/* --- answers --------------------------------------------------------------------------------- */

struct PdEvalAnswers {
    GOutputStream *file;
    char *path;
    char *run;
};

void
pd_eval_answers_free(PdEvalAnswers *answers)
{
    g_clear_object(&answers->file);
    g_free(answers->path);
    g_free(answers->run);
    g_free(answers);
}

/* What pd_eval_result_json wrote.  Never NULL; `f` has the problem. */
static PdEvalResult *
read_result(PdFields *f)
{
    PdEvalResult *result = g_new0(PdEvalResult, 1);
    g_autoptr(GPtrArray) gold = strings(f, "gold");

    if (!pd_eval_task_parse(text(f, "task"), &result->task))
        pd_fields_complain(f, "task", "is none");
    if (!pd_eval_arm_parse(text(f, "arm"), &result->arm))
        pd_fields_complain(f, "arm", "is none");
    result->length = (guint64)pd_fields_int(f, "tokens", -1);
    result->subtask = g_intern_string(text(f, "subtask"));
    result->index = (guint)pd_fields_int(f, "item", -1);
    result->depth = g_intern_string(pd_fields_text(f, "depth"));
    result->question = g_strdup(text(f, "question"));
    g_ptr_array_add(gold, NULL);
    result->gold = (char **)g_ptr_array_steal(gold, NULL);
    result->n_places = (guint)pd_fields_int(f, "places", -1);
    result->place = g_strdup(pd_fields_text(f, "place"));
    result->answer = g_strdup(pd_fields_text(f, "answer"));
    result->answered = result->answer != NULL;
    result->right = pd_fields_bool(f, "right", FALSE);
    result->refused = pd_fields_bool(f, "refused", FALSE);
    result->withheld = g_strdup(pd_fields_text(f, "withheld"));
    result->withheld_right = pd_fields_bool(f, "withheld_right", FALSE);
    result->checked = pd_fields_get(f, "support") != NULL;
    result->support = pd_fields_number(f, "support", 0);
    result->ranked = pd_fields_get(f, "rank") != NULL;
    result->rank = (guint)pd_fields_int(f, "rank", 0);
    result->n_blocks = (guint)pd_fields_int(f, "blocks", -1);
    result->read = pd_fields_bool(f, "read", FALSE);
    result->n_citations = (guint)pd_fields_int(f, "citations", -1);
    result->cited = pd_fields_bool(f, "cited", FALSE);
    result->n_prompt_tokens = (guint)pd_fields_int(f, "prompt_tokens", -1);
    result->seconds = pd_fields_number(f, "seconds", 0);
    return result;
}

/* The later answer to a question stands. */
static void
add_or_replace(GPtrArray *results, PdEvalResult *result)
{
    guint at;

    if (pd_eval_results_find(results, result->length, result->subtask, result->index, result->arm,
                             &at)) {
        pd_eval_result_free(results->pdata[at]);
        results->pdata[at] = result;
    } else {
        g_ptr_array_add(results, result);
    }
}

/* A line's result, if it is one of this run; a line that a kill cut short is none. */
static void
read_line(const char *line, gsize n_bytes, const char *run, GPtrArray *results)
{
    g_autoptr(JsonParser) parser = pd_json_parse_object(line, n_bytes, "answers", NULL);
    g_autoptr(GString) problem = g_string_new(NULL);
    PdFields f = {.problem = problem};
    PdEvalResult *result;

    if (!parser)
        return;
    f.object = pd_json_object(parser);
    if (g_strcmp0(pd_fields_text(&f, "run"), run) != 0)
        return;
    result = read_result(&f);
    if (problem->len == 0)
        add_or_replace(results, result);
    else
        pd_eval_result_free(result);
}

static gboolean
append(PdEvalAnswers *answers, const char *text, GError **error)
{
    if (g_output_stream_write_all(answers->file, text, strlen(text), NULL, NULL, error))
        return TRUE;
    g_prefix_error(error, "%s: ", answers->path);
    return FALSE;
}

PdEvalAnswers *
pd_eval_answers_open(const char *path, const char *run, GPtrArray *results, GError **error)
{
    g_autoptr(PdEvalAnswers) answers = g_new0(PdEvalAnswers, 1);
    g_autoptr(GFile) file = g_file_new_for_path(path);
    g_autofree char *bytes = NULL;
    gsize n_bytes = 0;

    answers->path = g_strdup(path);
    answers->run = g_strdup(run);
    answers->file = G_OUTPUT_STREAM(g_file_append_to(file, G_FILE_CREATE_PRIVATE, NULL, error));
    if (!answers->file)
        return NULL;
    if (!g_file_get_contents(path, &bytes, &n_bytes, error))
        return NULL;
    for (gsize at = 0; at < n_bytes;) {
        const char *end = memchr(bytes + at, '\n', n_bytes - at);
        gsize n = end ? (gsize)(end - bytes) - at : n_bytes - at;
        if (results)
            read_line(bytes + at, n, run, results);
        at += n + 1;
    }
    /* What comes next must not be part of a line that was cut short. */
    if (n_bytes && bytes[n_bytes - 1] != '\n' && !append(answers, "\n", error))
        return NULL;
    return g_steal_pointer(&answers);
}

gboolean
pd_eval_answers_add(PdEvalAnswers *answers, const PdEvalResult *result, GError **error)
{
    g_autofree char *json = pd_eval_result_json(result, answers->run);
    g_autofree char *line = g_strconcat(json, "\n", NULL);

    return append(answers, line, error);
}
