/* See prompts_fixture.h. */
#include "prompts_fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include "engine/remove_tree.h"

/* --- model and folders --- */

char *
fixture_model_path(void)
{
    return g_build_filename(PD_SOURCE_ROOT, "tests", "golden", "tiny", "tiny.gguf", NULL);
}

static PdModel *
open_model(const char *path)
{
    g_autoptr(GError) error = NULL;
    PdModelOptions options = {.n_threads = 2};
    PdModel *model = pd_model_open(path, &options, &error);

    g_assert_no_error(error);
    return model;
}

PdModel *
fixture_model(void)
{
    g_autofree char *path = fixture_model_path();

    return open_model(path);
}

PdModel *
fixture_model_changed(const char *dir, const char *from, const char *to, guint n_expected)
{
    g_autofree char *original = fixture_model_path();
    g_autofree char *path = g_build_filename(dir, "changed.gguf", NULL);
    g_autofree char *bytes = NULL;
    g_autoptr(GError) error = NULL;
    guint n_found = 0;
    gsize n;

    g_file_get_contents(original, &bytes, &n, &error);
    g_assert_no_error(error);
    if (!from) {
        bytes[n - 1] ^= 1;
    } else {
        gsize length = strlen(from);
        g_assert_cmpuint(length, ==, strlen(to));
        for (gsize i = 0; i + length <= n; i++)
            if (memcmp(bytes + i, from, length) == 0) {
                memcpy(bytes + i, to, length);
                n_found++;
            }
        g_assert_cmpuint(n_found, ==, n_expected);
    }
    g_file_set_contents(path, bytes, (gssize)n, &error);
    g_assert_no_error(error);
    return open_model(path);
}

char *
fixture_folder(void)
{
    g_autoptr(GError) error = NULL;
    char *dir = g_dir_make_tmp("pandect-prompts-XXXXXX", &error);

    g_assert_no_error(error);
    return dir;
}

void
fixture_remove(char *dir)
{
    pd_remove_tree(dir);
    g_free(dir);
}

/* --- a corpus from memory --- */

static const TestDocument *served;
static gsize n_served;

static const char *
detect(const char *path, GError **error)
{
    return "folder";
}

static gboolean
read_served(const char *kind, const PdReadRequest *request, const PdReadLimits *limits,
            const PdReadSink *sink, GCancellable *cancellable, GError **error)
{
    for (gsize i = 0; i < n_served; i++) {
        const TestDocument *from = &served[i];
        PdDocument *document = pd_document_new(from->kind, from->key);

        document->title = g_strdup(from->key);
        document->date_utc = G_MININT64;
        g_string_append_len(pd_document_add_part(document, "", NULL)->text, from->text,
                            from->n_bytes);
        sink->found(sink->user_data);
        if (!sink->document(document, sink->user_data, error))
            return FALSE;
    }
    return TRUE;
}

void
fixture_add(const char *dir, PdModel *model, const char *source, const TestDocument *documents,
            gsize n)
{
    static const PdCorpusReader reader = {detect, read_served};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_CREATE, &error);
    PdAddReport report;

    g_assert_no_error(error);
    served = documents;
    n_served = n;
    pd_corpus_add_with_reader(corpus, &reader, source, pd_model_tokenizer(model), NULL, &report,
                              NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(report.n_failed, ==, 0);
}

char *
fixture_text(gsize n_bytes, guint32 seed)
{
    static const char *const words[] = {"tide",  "gauge", "level",       "record",
                                        "datum", "buoy",  "caf\xc3\xa9", "wave",
                                        "float", "x",     "pier",        "storm"};
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    GString *text = g_string_new(NULL);

    while (text->len < n_bytes) {
        int n = g_rand_int_range(rand, 2, 10);
        for (int i = 0; i < n; i++)
            g_string_append_printf(text, "%s%s", i ? " " : "",
                                   words[g_rand_int_range(rand, 0, (gint32)G_N_ELEMENTS(words))]);
        g_string_append_printf(text, " %u.\n", g_rand_int_range(rand, 0, 1000));
    }
    g_string_truncate(text, n_bytes);
    for (gsize i = text->len; i-- > 0 && (text->str[i] & 0x80);)
        text->str[i] = '.'; /* no half character at the end */
    return g_string_free(text, FALSE);
}

void
world_open(World *world, const char *dir, PdModel *model, PdCorpusMode corpus_mode, PdReadMode mode)
{
    g_autoptr(GError) error = NULL;

    world->corpus = pd_corpus_open(dir, corpus_mode, &error);
    g_assert_no_error(error);
    world->context = pd_context_new(world->corpus, model, mode, NULL, &error);
    g_assert_no_error(error);
}

void
world_close(World *world)
{
    g_clear_pointer(&world->context, pd_context_free);
    g_clear_pointer(&world->corpus, pd_corpus_free);
}

/* --- processes --- */

void
two_texts_open(TwoTexts *f, const char *source, gsize n_bytes, PdReadMode mode)
{
    g_autofree char *a = fixture_text(n_bytes, 1), *b = fixture_text(200, 2);
    const TestDocument documents[] = {{PD_KIND_TEXT, "a.txt", a, -1},
                                      {PD_KIND_TEXT, "b.txt", b, -1}};

    f->dir = fixture_folder();
    f->model = fixture_model();
    fixture_add(f->dir, f->model, source, documents, G_N_ELEMENTS(documents));
    world_open(&f->world, f->dir, f->model, PD_CORPUS_WRITE, mode);
}

void
two_texts_close(TwoTexts *f)
{
    world_close(&f->world);
    pd_model_unref(f->model);
    fixture_remove(f->dir);
}

int
fixture_child(const char *argument, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autoptr(GError) error = NULL;
    int status = -1;
    va_list more;

    g_assert_nonnull(self);
    g_ptr_array_add(argv, self);
    g_ptr_array_add(argv, (char *)"--child");
    va_start(more, argument);
    for (; argument; argument = va_arg(more, const char *))
        g_ptr_array_add(argv, (char *)argument);
    va_end(more);
    g_ptr_array_add(argv, NULL);
    g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL,
                 NULL, &status, &error);
    g_assert_no_error(error);
    return status;
}

void
fixture_assert_done(int wait_status)
{
    g_assert_true(WIFEXITED(wait_status));
    g_assert_cmpint(WEXITSTATUS(wait_status), ==, 0);
}

/* --- records --- */

GHashTable *
fixture_records(World *world)
{
    GHashTable *records =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    g_autoptr(GError) error = NULL;
    sqlite3_stmt *stmt;

    g_assert_cmpint(sqlite3_prepare_v2(pd_corpus_db(world->corpus), "SELECT key FROM kv_record", -1,
                                       &stmt, NULL),
                    ==, SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const guint8 *key = sqlite3_column_blob(stmt, 0);
        GString *hex = g_string_new(NULL);
        GBytes *bytes = pd_kv_store_get(world->context->store, key, &error);
        g_assert_no_error(error);
        for (int i = 0; i < PD_KV_KEY_BYTES; i++)
            g_string_append_printf(hex, "%02x", key[i]);
        g_hash_table_insert(records, g_string_free(hex, FALSE), bytes);
    }
    sqlite3_finalize(stmt);
    return records;
}

void
fixture_assert_same_records(GHashTable *a, GHashTable *b)
{
    GHashTableIter iter;
    gpointer key, value;

    g_assert_cmpuint(g_hash_table_size(a), ==, g_hash_table_size(b));
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        GBytes *other = g_hash_table_lookup(b, key);
        g_assert_nonnull(other);
        g_assert_true(g_bytes_equal(value, other));
    }
}

void
fixture_assert_sound(const char *dir, PdModel *model)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, &error);
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *kv_dir = g_build_filename(dir, "kv", NULL);
    g_autoptr(PdKvStore) store = NULL;
    PdKvStats stats = {0};

    g_assert_no_error(error);
    pd_corpus_verify(corpus, pd_model_tokenizer(model), findings, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < findings->len; i++)
        g_test_message("%s", (char *)g_ptr_array_index(findings, i));
    g_assert_cmpuint(findings->len, ==, 0);
    store = pd_kv_store_open(pd_corpus_db(corpus), kv_dir, FALSE, &error);
    g_assert_no_error(error);
    pd_kv_store_verify(store, FALSE, &stats, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(stats.n_corrupt, ==, 0);
}

void
fixture_assert_same_answer(const PdAnswer *a, const PdAnswer *b)
{
    g_assert_cmpstr(a->text->str, ==, b->text->str);
    g_assert_cmpint(a->status, ==, b->status);
    g_assert_cmpint(a->truncated, ==, b->truncated);
    g_assert_cmpuint(a->n_answer_tokens, ==, b->n_answer_tokens);
    g_assert_cmpuint(a->n_thought_tokens, ==, b->n_thought_tokens);
    g_assert_cmpuint(a->citations->len, ==, b->citations->len);
    g_assert_cmpuint(a->sentences->len, ==, b->sentences->len);
    for (guint i = 0; i < a->sentences->len; i++) {
        const PdSentence *x = &g_array_index(a->sentences, PdSentence, i);
        const PdSentence *y = &g_array_index(b->sentences, PdSentence, i);

        g_assert_cmpstr(x->text, ==, y->text);
        g_assert_cmpint(x->citation, ==, y->citation);
    }
    for (guint i = 0; i < a->citations->len; i++) {
        const PdCitation *x = &g_array_index(a->citations, PdCitation, i);
        const PdCitation *y = &g_array_index(b->citations, PdCitation, i);

        g_assert_cmpint(x->part_id, ==, y->part_id);
        g_assert_cmpint(x->passage, ==, y->passage);
        g_assert_cmpstr(x->quote, ==, y->quote);
    }
}
