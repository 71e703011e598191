/* pandect verify: is everything in the corpus folder as it was written? */
#include <stdio.h>
#include "app/commands.h"
#include "app/json_out.h"
#include "app/load_tokenizer.h"
#include "engine/kv_store.h"
#include "ingest/corpus.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case verify\n"
    "  pandect -C case verify --drop     and drop damaged KV records: they are made again\n"
    "\n"
    "Checks the database, the hash of every stored text, that every text's tokens give back its\n"
    "bytes (with the model's tokenizer), and the checksum of every KV record.  Exit code 1 if\n"
    "anything is wrong.";

typedef struct {
    char *model;
    gboolean drop;
    gboolean json;
} VerifyFlags;

static void
verify_flags_clear(VerifyFlags *flags)
{
    g_free(flags->model);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VerifyFlags, verify_flags_clear)

static gboolean
verify_kv(PdApp *app, PdCorpus *corpus, gboolean drop, PdKvStats *stats, GPtrArray *findings,
          GError **error)
{
    g_autofree char *dir = g_build_filename(pd_corpus_dir(corpus), "kv", NULL);
    if (!g_file_test(dir, G_FILE_TEST_IS_DIR))
        return TRUE; /* nothing was read by a model yet */
    g_autoptr(PdKvStore) store = pd_kv_store_open(pd_corpus_db(corpus), dir, !drop, error);
    if (!store || !pd_kv_store_verify(store, drop, stats, app->cancellable, error))
        return FALSE;
    if (stats->n_corrupt)
        g_ptr_array_add(findings,
                        g_strdup_printf("kv: %" G_GUINT64_FORMAT " records are damaged; %s",
                                        stats->n_corrupt,
                                        drop ? "dropped, the next use makes them again"
                                             : "verify --drop drops them, the next use makes them "
                                               "again"));
    return TRUE;
}

/* Without a model named by the user the default one is tried: the rest can be checked without. */
static gboolean
find_tokenizer(const VerifyFlags *flags, PdTokenizer **tokenizer, GError **error)
{
    g_autoptr(GError) local = NULL;
    *tokenizer = pd_load_tokenizer(flags->model, &local);
    if (*tokenizer)
        return TRUE;
    if (flags->model) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    pd_warn("tokens are not decoded: %s", local->message);
    return TRUE;
}

static void
print_findings(const VerifyFlags *flags, GPtrArray *findings, guint n_documents,
               const PdKvStats *stats)
{
    if (flags->json) {
        g_autoptr(JsonBuilder) json = json_builder_new();
        json_builder_begin_object(json);
        pd_json_int(json, "documents", n_documents);
        pd_json_int(json, "kv_records", (gint64)stats->n_records);
        pd_json_strings(json, "findings", (char *const *)findings->pdata, findings->len);
        json_builder_end_object(json);
        pd_json_print(json);
        return;
    }
    for (guint i = 0; i < findings->len; i++)
        puts(g_ptr_array_index(findings, i));
    if (findings->len == 0)
        printf("sound: %u documents, %" G_GUINT64_FORMAT " KV records\n", n_documents,
               stats->n_records);
}

int
pd_cmd_verify(PdApp *app, int argc, char **argv)
{
    g_auto(VerifyFlags) flags = {0};
    int exit_code;
    PdKvStats stats = {0};
    const GOptionEntry entries[] = {
        {"model", 'm', 0, G_OPTION_ARG_FILENAME, &flags.model, "Whose tokenizer to decode with",
         "NAME|FILE"},
        {"drop", 0, 0, G_OPTION_ARG_NONE, &flags.drop, "Drop damaged KV records", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "One JSON object", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(PdTokenizer) tokenizer = NULL;
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(g_free);
    if (!pd_parse_options(entries, NULL, "Check the corpus.", examples, &argc, &argv, &exit_code))
        return exit_code;
    if (argc > 1)
        return pd_usage("verify", "unexpected argument '%s'", argv[1]);
    g_autoptr(PdCorpus) corpus =
        pd_corpus_open(app->corpus_dir, flags.drop ? PD_CORPUS_WRITE : PD_CORPUS_READ, &error);
    if (!corpus || !find_tokenizer(&flags, &tokenizer, &error) ||
        !pd_corpus_verify(corpus, tokenizer, findings, app->cancellable, &error) ||
        !verify_kv(app, corpus, flags.drop, &stats, findings, &error))
        return pd_fail(error);
    g_autoptr(GPtrArray) documents = pd_corpus_documents(corpus, NULL, &error);
    if (!documents)
        return pd_fail(error);
    print_findings(&flags, findings, documents->len, &stats);
    return findings->len ? PD_EXIT_FAILED : PD_EXIT_OK;
}
