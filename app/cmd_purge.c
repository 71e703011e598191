/* pandect purge: take sources or documents out so that no byte of them is left in the corpus. */
#include <stdio.h>
#include <unistd.h>
#include "app/commands.h"
#include "app/json_out.h"
#include "prompts/purge.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case purge mail.mbox         a source, by the name that `ls` shows, or by its "
    "path\n"
    "  pandect -C case purge 12 14             documents, with what hangs on them (attachments)\n"
    "  pandect -C case purge                   finish a purge that was interrupted\n"
    "\n"
    "Removes what `rm` removes, earlier revisions included, and also the index of words and all "
    "that\n"
    "models have read of it; then packs and database are written anew, so that nothing of it "
    "stands\n"
    "in a file of the corpus.  That takes as much free space as the database.  Answers are not\n"
    "stored, so none is left.  A text that another document holds too stays, and is told of.  "
    "Copies\n"
    "of the folder and the source itself are not touched; adding it again brings all back.";

typedef struct {
    gboolean yes;
    gboolean json;
} PurgeFlags;

static void
print_report(const PurgeFlags *flags, const PdPurgeReport *report, const PdKvGcReport *kv)
{
    if (flags->json) {
        g_autoptr(JsonBuilder) json = json_builder_new();
        json_builder_begin_object(json);
        pd_json_int(json, "documents", (gint64)report->n_documents);
        pd_json_int(json, "revisions", (gint64)report->n_revisions);
        pd_json_int(json, "texts", (gint64)report->n_texts);
        pd_json_int(json, "text_bytes", (gint64)report->n_text_bytes);
        pd_json_int(json, "shared_texts", (gint64)report->n_shared_texts);
        pd_json_int(json, "kv_records", (gint64)kv->n_dead_records);
        pd_json_int(json, "kv_bytes", (gint64)kv->n_dead_bytes);
        pd_json_int(json, "packs_removed", (gint64)kv->n_packs_removed);
        json_builder_end_object(json);
        pd_json_print(json);
        return;
    }
    printf("purged %" G_GUINT64_FORMAT " documents and %" G_GUINT64_FORMAT
           " earlier revisions, %" G_GUINT64_FORMAT " texts of %" G_GUINT64_FORMAT
           " bytes, %" G_GUINT64_FORMAT " KV records of %" G_GUINT64_FORMAT " bytes\n",
           report->n_documents, report->n_revisions, report->n_texts, report->n_text_bytes,
           kv->n_dead_records, kv->n_dead_bytes);
    if (report->n_shared_texts)
        printf("%" G_GUINT64_FORMAT " of their texts stay: other documents hold the same\n",
               report->n_shared_texts);
}

/* On a terminal the question is put; a script has said what it wants. */
static gboolean
confirm(PdApp *app, const PurgeFlags *flags, const PdPurgeReport *report)
{
    char answer[16];
    if (flags->yes || !app->stderr_is_tty || !isatty(STDIN_FILENO))
        return TRUE;
    fprintf(stderr,
            "Remove %" G_GUINT64_FORMAT " documents, %" G_GUINT64_FORMAT
            " earlier revisions and all that models have read of them, for good? [y/N] ",
            report->n_documents, report->n_revisions);
    return fgets(answer, sizeof answer, stdin) && g_ascii_tolower(answer[0]) == 'y';
}

static gboolean
something_to_do(PdCorpus *corpus, gboolean named, gboolean *ok, GError **error)
{
    gboolean is_open = named;
    *ok = named || pd_corpus_purge_is_open(corpus, &is_open, error);
    return *ok && is_open;
}

int
pd_cmd_purge(PdApp *app, int argc, char **argv)
{
    PurgeFlags flags = {0};
    int exit_code;
    gboolean ok;
    const GOptionEntry entries[] = {
        {"yes", 'y', 0, G_OPTION_ARG_NONE, &flags.yes, "Ask nothing", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags.json, "One JSON object", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GError) error = NULL;
    PdPurgeReport report = {0};
    PdKvGcReport kv = {0};
    if (!pd_parse_options(entries, "[SOURCE|ID...]", "Remove sources or documents without a trace.",
                          examples, &argc, &argv, &exit_code))
        return exit_code;
    const char *const *what = (const char *const *)argv + 1;
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_WRITE, &error);
    if (!corpus)
        return pd_fail(error);
    if (!something_to_do(corpus, argc > 1, &ok, &error))
        return ok ? pd_usage("purge", "no purge was interrupted; what should be purged? give a "
                                      "source's name or a document's number")
                  : pd_fail(error);
    if (argc > 1 && !pd_corpus_purge_rows(corpus, what, TRUE, &report, &error))
        return pd_fail(error);
    if (argc > 1 && !confirm(app, &flags, &report)) {
        pd_warn("nothing was changed");
        return PD_EXIT_FAILED;
    }
    if (!pd_corpus_purge(corpus, what, &report, &kv, app->cancellable, &error))
        return pd_fail(error);
    print_report(&flags, &report, &kv);
    return PD_EXIT_OK;
}
