/* pandect rm: take sources or documents out of the corpus for good. */
#include <stdio.h>
#include "app/commands.h"
#include "ingest/corpus.h"

static const char examples[] =
    "Examples:\n"
    "  pandect -C case rm lua.bundle       a source, by the name that `ls` shows, or by its path\n"
    "  pandect -C case rm 12               a document, with what hangs on it (attachments)\n"
    "\n"
    "The stored text is overwritten; words of it in the index and what models have read of it "
    "stay\n"
    "until they are in the way: `pandect purge` leaves nothing.  The source itself is not "
    "touched;\n"
    "adding it again brings back what was removed.";

int
pd_cmd_rm(PdApp *app, int argc, char **argv)
{
    int exit_code;
    gboolean ok = TRUE;
    g_autoptr(GError) error = NULL;
    if (!pd_parse_options(NULL, "SOURCE|ID...", "Remove sources or documents.", examples, &argc,
                          &argv, &exit_code))
        return exit_code;
    if (argc < 2)
        return pd_usage("rm",
                        "what should be removed? give a source's name or a document's number");
    g_autoptr(PdCorpus) corpus = pd_corpus_open(app->corpus_dir, PD_CORPUS_WRITE, &error);
    if (!corpus)
        return pd_fail(error);
    for (int i = 1; i < argc; i++) {
        guint64 n_removed = 0;
        if (pd_corpus_remove(corpus, argv[i], &n_removed, &error)) {
            g_autofree char *safe = pd_terminal_safe(argv[i], -1);
            printf("%s: %" G_GUINT64_FORMAT " documents removed\n", safe, n_removed);
        } else {
            ok = FALSE;
            pd_fail(error);
            g_clear_error(&error);
        }
    }
    return ok ? PD_EXIT_OK : PD_EXIT_FAILED;
}
