/*
 * The shared collection of broken and hostile inputs: what must, and must not, come of each.
 */
#include "collect.h"
#include "ingest/corpus.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* Unpack NAME.zst or NAME.tar.zst into `folder`; the path to read, or NULL without the programs. */
static char *
unpack(const char *path, const char *folder, const char *ingest)
{
    if (g_str_has_suffix(path, ".tar.zst")) {
        const char *const argv[] = {"tar", "--zstd", "-xf", path, "-C", folder, NULL};
        g_autofree char *output = run_program("/", argv, NULL);
        return output ? g_build_filename(folder, ingest, NULL) : NULL;
    }
    g_autofree char *base = g_path_get_basename(path);
    base[strlen(base) - strlen(".zst")] = '\0';
    char *to = g_build_filename(folder, base, NULL);
    const char *const argv[] = {"zstd", "-qd", path, "-o", to, NULL};
    g_autofree char *output = run_program("/", argv, NULL);
    if (!output)
        g_clear_pointer(&to, g_free);
    return to;
}

static gboolean
says_one_of(const Collected *c, JsonArray *words)
{
    for (guint i = 0; i < json_array_get_length(words); i++) {
        if (collected_says(c, json_array_get_string_element(words, i), ""))
            return TRUE;
    }
    return FALSE;
}

static void
check_case(const Collected *c, JsonObject *item)
{
    const char *outcome = json_object_get_string_member(item, "outcome");
    JsonArray *contain = json_object_get_array_member(item, "contain");
    JsonArray *absent = json_object_get_array_member(item, "absent");
    JsonArray *flags = json_object_get_array_member(item, "flags");
    JsonArray *reason = json_object_get_array_member(item, "reason");
    g_autofree char *text = collected_text(c);
    gboolean skipped = strcmp(outcome, "skipped") == 0;
    gboolean either = strcmp(outcome, "either") == 0;
    for (guint i = 0; i < c->lines->len; i++)
        g_test_message("%s", (char *)c->lines->pdata[i]);
    if (c->error)
        g_test_message("error: %s", c->error->message);
    /* The process must not be brought down: only a limit or a damaged file may be reported. */
    g_assert_false(g_error_matches(c->error, PD_INGEST_ERROR, PD_INGEST_ERROR_WORKER));
    if (skipped)
        g_assert_cmpuint(c->documents->len, ==, 0);
    if (skipped || strcmp(outcome, "partial") == 0 || (either && !c->documents->len))
        g_assert_true(says_one_of(c, reason));
    if (!skipped && (!either || c->documents->len)) {
        g_assert_no_error(c->error);
        for (guint i = 0; i < json_array_get_length(contain); i++)
            g_assert_nonnull(strstr(text, json_array_get_string_element(contain, i)));
    }
    for (guint i = 0; i < json_array_get_length(absent); i++)
        g_assert_null(strstr(text, json_array_get_string_element(absent, i)));
    for (guint i = 0; i < json_array_get_length(flags); i++)
        g_assert_true(collected_says(c, json_array_get_string_element(flags, i), ""));
}

static void
collect_line(const char *source, const PdLedgerLine *line, gpointer lines)
{
    g_ptr_array_add(lines, g_strdup_printf("%s %s: %s", line->level, line->key, line->reason));
}

/* What was said while reading is what the corpus knows afterwards, also of a source that gave
 * nothing. */
static void
check_kept(const char *path, const char *folder, JsonObject *item)
{
    g_autofree char *dir = g_build_filename(folder, "corpus", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) documents = g_ptr_array_new();
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_CREATE, &error);
    g_assert_no_error(error);
    pd_corpus_add(corpus, path, NULL, NULL, NULL, NULL, NULL);
    g_assert_true(pd_corpus_ledger(corpus, NULL, collect_line, lines, &error));
    const Collected kept = {.documents = documents, .lines = lines};
    g_assert_true(says_one_of(&kept, json_object_get_array_member(item, "reason")));
}

static void
test_case(gconstpointer data)
{
    JsonObject *item = (JsonObject *)data;
    g_autofree char *name =
        g_strconcat("hostile/", json_object_get_string_member(item, "file"), NULL);
    g_autofree char *path = shared_data(name);
    g_autofree char *folder = g_dir_make_tmp("pandect-test-XXXXXX", NULL);
    if (!path)
        return;
    if (json_object_get_boolean_member(item, "unpack")) {
        const char *ingest = json_object_get_string_member_with_default(item, "ingest", "");
        char *unpacked = unpack(path, folder, ingest ? ingest : "");
        g_free(path);
        path = unpacked;
    }
    if (path) {
        g_autoptr(Collected) c = collect(path, NULL, NULL);
        check_case(c, item);
        if (says_one_of(c, json_object_get_array_member(item, "reason")))
            check_kept(path, folder, item);
    } else {
        g_test_skip("the programs tar and zstd are needed to unpack this");
    }
    remove_folder(folder);
}

static void
test_nothing(void)
{
    g_autofree char *path = shared_data("hostile/expected.json");
    g_assert_null(path);
}

int
main(int argc, char **argv)
{
    static const char *const kinds[] = {"git", "pdf", "mail", "html", "text", "archive", NULL};
    g_test_init(&argc, &argv, NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autofree char *path =
        g_build_filename(PD_SOURCE_ROOT, "..", "shared", "data", "hostile", "expected.json", NULL);
    if (!json_parser_load_from_file(parser, path, NULL)) {
        g_test_add_func("/hostile/none", test_nothing);
        return g_test_run();
    }
    JsonArray *cases =
        json_object_get_array_member(json_node_get_object(json_parser_get_root(parser)), "cases");
    for (guint i = 0; i < json_array_get_length(cases); i++) {
        JsonObject *item = json_array_get_object_element(cases, i);
        if (!g_strv_contains(kinds, json_object_get_string_member(item, "kind")))
            continue;
        g_autofree char *name =
            g_strconcat("/hostile/", json_object_get_string_member(item, "file"), NULL);
        g_test_add_data_func(name, item, test_case);
    }
    return g_test_run();
}
