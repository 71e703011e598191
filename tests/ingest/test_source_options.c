/*
 * The options with which a source was read: kept, replaced, forgotten, as `pandect add` promises.
 */
#include <string.h>
#include "corpus_fixture.h"
#include "ingest/source_options.h"

static char *asked;    /* what the reader was asked for */
static char *told;     /* "now | before" */
static gboolean fails; /* the reader refuses */

static const char *
detect(const char *path, GError **error)
{
    return "git";
}

static gboolean
read_one(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
         const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    g_free(asked);
    asked = pd_source_options_of(request);
    if (fails) {
        g_set_error_literal(error, PD_INGEST_ERROR, PD_INGEST_ERROR_NOT_FOUND, "no such branch");
        return FALSE;
    }
    PdDocument *document = pd_document_new(PD_KIND_TEXT, "a");
    g_string_append(pd_document_add_part(document, "", NULL)->text, "text\n");
    document->title = g_strdup("a");
    if (sink->found)
        sink->found(sink->user_data);
    return sink->document(document, sink->user_data, error);
}

static void
on_options(const char *source, const char *now, const char *before, gpointer user_data)
{
    g_free(told);
    told = g_strdup_printf("%s | %s", now, before ? before : "new");
}

static void
add(PdCorpus *corpus, PdAddOptions options)
{
    static const PdCorpusReader reader = {detect, read_one};
    g_autoptr(GError) error = NULL;
    options.options = on_options;
    gboolean ok = pd_corpus_add_with_reader(corpus, &reader, "/repository", NULL, &options, NULL,
                                            NULL, &error);
    g_assert_true(ok != fails);
}

static void
assert_read(const char *options, const char *said)
{
    g_assert_cmpstr(asked, ==, options);
    g_assert_cmpstr(told, ==, said);
}

static void
test_remembered(void)
{
    const char *const one[] = {"src", "*.md", NULL}, *const other[] = {"doc dir\n", NULL};
    char *dir = make_folder();
    g_autofree char *path = g_build_filename(dir, "c", NULL);
    g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
    /* What leads nowhere is not remembered. */
    fails = TRUE;
    add(corpus, (PdAddOptions){.read = {.git_revision = "typo"}});
    assert_read("rev=typo\n", "--rev typo | new");
    fails = FALSE;
    add(corpus, (PdAddOptions){.read = {.include = one, .ocr_languages = "nor"}});
    assert_read("include=src\ninclude=*.md\nocr-language=nor\n",
                "--include src --include '*.md' --ocr-language nor | no options");
    add(corpus, (PdAddOptions){0});
    assert_read("include=src\ninclude=*.md\nocr-language=nor\n",
                "--include src --include '*.md' --ocr-language nor | "
                "--include src --include '*.md' --ocr-language nor");
    /* One takes the place of its own kind. */
    add(corpus,
        (PdAddOptions){.read = {.include = other, .git_revision = "v1", .ocr = PD_OCR_OFF}});
    assert_read("rev=v1\ninclude=doc dir\\n\nocr=off\nocr-language=nor\n",
                "--rev v1 --include 'doc dir\n' --ocr off --ocr-language nor | "
                "--include src --include '*.md' --ocr-language nor");
    /* Of a commit, two commits and the work tree only one is read. */
    add(corpus,
        (PdAddOptions){.read = {.git_diff = "v1..v2", .git_diff_only = TRUE, .git_blame = TRUE}});
    assert_read("diff=v1..v2\ndiff-only\nblame\ninclude=doc dir\\n\nocr=off\nocr-language=nor\n",
                "--diff v1..v2 --diff-only --blame --include 'doc dir\n' --ocr off "
                "--ocr-language nor | --rev v1 --include 'doc dir\n' --ocr off --ocr-language nor");
    add(corpus, (PdAddOptions){.read = {.work_tree = TRUE, .ocr = PD_OCR_AUTO}});
    g_assert_cmpstr(asked, ==,
                    "work-tree\nblame\ninclude=doc dir\\n\nocr=auto\nocr-language=nor\n");
    g_autoptr(GPtrArray) runs = pd_corpus_runs(corpus, NULL, NULL);
    g_assert_cmpstr(((PdRunRow *)runs->pdata[0])->options, ==,
                    "--work-tree --blame --include 'doc dir\n' --ocr auto --ocr-language nor");
    add(corpus, (PdAddOptions){.forget = TRUE, .read = {.git_history = TRUE}});
    g_assert_cmpstr(asked, ==, "history\n");
    add(corpus, (PdAddOptions){.forget = TRUE});
    assert_read("", "no options | --history");
    add(corpus, (PdAddOptions){0});
    assert_read("", "no options | no options");
    g_clear_pointer(&asked, g_free);
    g_clear_pointer(&told, g_free);
    remove_folder(dir);
}

/* A corpus of an older schema: the two options that it knew. */
static void
test_migrated(void)
{
    static const char *const older[] = {
        "DROP TABLE fold",
        "ALTER TABLE part DROP COLUMN flow",
        "ALTER TABLE document DROP COLUMN fold_rules",
        "ALTER TABLE part DROP COLUMN n_folded",
        "ALTER TABLE part DROP COLUMN folded_bytes",
        "ALTER TABLE source DROP COLUMN options",
        "ALTER TABLE run DROP COLUMN n_ocr",
        "ALTER TABLE source ADD COLUMN git_revision TEXT",
        "ALTER TABLE source ADD COLUMN work_tree INTEGER NOT NULL DEFAULT 0"};
    static const struct {
        const char *sql, *want;
    } cases[] = {{"UPDATE source SET git_revision = 'a\\b'", "rev=a\\\\b\n"},
                 {"UPDATE source SET work_tree = 1", "work-tree\n"},
                 {"UPDATE source SET work_tree = 0", ""}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        char *dir = make_folder();
        g_autofree char *path = g_build_filename(dir, "c", NULL);
        {
            g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_CREATE);
            add(corpus, (PdAddOptions){0});
            for (gsize k = 0; k < G_N_ELEMENTS(older); k++)
                g_assert_true(pd_db_exec(corpus, older[k], NULL));
            g_assert_true(pd_db_exec(corpus, cases[i].sql, NULL));
            g_assert_true(pd_db_exec(corpus, "PRAGMA user_version = 4", NULL));
        }
        g_autoptr(PdCorpus) corpus = open_corpus(path, PD_CORPUS_WRITE);
        add(corpus, (PdAddOptions){0});
        g_assert_cmpstr(asked, ==, cases[i].want);
        g_clear_pointer(&corpus, pd_corpus_free);
        assert_sound(path);
        remove_folder(dir);
    }
    g_clear_pointer(&asked, g_free);
    g_clear_pointer(&told, g_free);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source-options/remembered", test_remembered);
    g_test_add_func("/source-options/migrated", test_migrated);
    return g_test_run();
}
