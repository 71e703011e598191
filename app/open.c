/* See open.h. */
#include "app/open.h"

#include <unistd.h>
#include "engine/catalogue.h"
#include "ingest/error.h"

void
pd_model_flags_clear(PdModelFlags *flags)
{
    g_free(flags->model);
    g_free(flags->mode);
}

PdModel *
pd_open_model(const PdModelFlags *flags, GError **error)
{
    g_autofree char *path = pd_catalogue_resolve(flags->model, error);
    PdModelOptions options = {.n_threads = flags->threads};

    return path ? pd_model_open(path, &options, error) : NULL;
}

gboolean
pd_parse_mode(const char *word, PdReadMode *mode)
{
    static const struct {
        const char *word;
        PdReadMode mode;
    } modes[] = {{"auto", PD_READ_AUTO}, {"whole", PD_READ_WHOLE}, {"swept", PD_READ_SWEPT}};

    *mode = PD_READ_AUTO;
    if (!word)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++)
        if (g_str_equal(word, modes[i].word)) {
            *mode = modes[i].mode;
            return TRUE;
        }
    return FALSE;
}

void
pd_opened_clear(PdOpened *opened)
{
    g_clear_pointer(&opened->context, pd_context_free);
    g_clear_pointer(&opened->model, pd_model_unref);
    g_clear_pointer(&opened->corpus, pd_corpus_free);
}

gboolean
pd_open_context(PdApp *app, const PdModelFlags *flags, PdOpened *opened, GError **error)
{
    g_autofree char *db = g_build_filename(app->corpus_dir, "corpus.db", NULL);
    gboolean writable = access(db, W_OK) == 0 && access(app->corpus_dir, W_OK) == 0;
    PdReadMode mode;

    if (!pd_parse_mode(flags->mode, &mode)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "--mode is auto, whole or swept, not '%s'", flags->mode);
        return FALSE;
    }
    opened->corpus =
        pd_corpus_open(app->corpus_dir, writable ? PD_CORPUS_WRITE : PD_CORPUS_READ, error);
    if (!opened->corpus)
        return FALSE;
    if (!writable)
        pd_warn("%s is read-only: nothing that is read now will be kept", app->corpus_dir);
    opened->model = pd_open_model(flags, error);
    if (!opened->model)
        return FALSE;
    opened->context = pd_context_new(opened->corpus, opened->model, mode, app->cancellable, error);
    return opened->context != NULL;
}
