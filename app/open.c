/* See open.h. */
#include "app/open.h"

#include "engine/catalogue.h"
#include "engine/error.h"
#include "ingest/error.h"

void
pd_model_flags_clear(PdModelFlags *flags)
{
    g_free(flags->model);
    g_free(flags->mode);
    g_free(flags->kv);
}

PdModel *
pd_open_model(const PdModelFlags *flags, GError **error)
{
    g_autofree char *path = pd_catalogue_resolve(flags->model, error);
    PdModelOptions options = {.n_threads = flags->threads};

    return path ? pd_model_open(path, &options, error) : NULL;
}

PdModel *
pd_open_ordinary_model(const PdModelFlags *flags, GError **error)
{
    g_autoptr(PdModel) model = pd_open_model(flags, error);

    if (model && pd_model_deepseek(model)) {
        g_set_error(error, PD_ENGINE_ERROR, PD_ENGINE_ERROR_UNSUPPORTED,
                    "%s: this command needs a model with ordinary attention; a DeepSeek-V4 model "
                    "works with `warm`, `ask`, `plan`, `gc` and `bench`, and --model-config says "
                    "what it costs; `pandect model ls` names others",
                    pd_model_path(model));
        return NULL;
    }
    return g_steal_pointer(&model);
}

void
pd_opened_clear(PdOpened *opened)
{
    g_clear_pointer(&opened->context, pd_context_free);
    g_clear_pointer(&opened->model, pd_model_unref);
    g_clear_pointer(&opened->corpus, pd_corpus_free);
}

PdCorpus *
pd_open_corpus(const char *dir, gboolean must_write, GError **error)
{
    g_autoptr(GError) write_error = NULL;
    PdCorpus *corpus = pd_corpus_open(dir, PD_CORPUS_WRITE, &write_error);

    if (corpus)
        return corpus;
    if (!must_write)
        corpus = pd_corpus_open(dir, PD_CORPUS_READ, NULL);
    if (corpus)
        pd_warn("%s; what is read now is not kept", write_error->message);
    else
        g_propagate_error(error, g_steal_pointer(&write_error));
    return corpus;
}

gboolean
pd_open_context(PdApp *app, const PdModelFlags *flags, gboolean must_write, PdOpened *opened,
                GError **error)
{
    PdReadMode mode;
    PdKvTier tier;

    if (!pd_parse_read_mode(flags->mode, &mode)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "--mode is auto, whole, swept or sparse, not '%s'", flags->mode);
        return FALSE;
    }
    if (!pd_parse_kv_tier(flags->kv, &tier)) {
        g_set_error(error, PD_INGEST_ERROR, PD_INGEST_ERROR_UNSUPPORTED,
                    "--kv is auto, index or full, not '%s'", flags->kv);
        return FALSE;
    }
    opened->corpus = pd_open_corpus(app->corpus_dir, must_write, error);
    if (!opened->corpus)
        return FALSE;
    opened->model = pd_open_model(flags, error);
    if (!opened->model)
        return FALSE;
    opened->context = pd_context_new(opened->corpus, opened->model, mode, app->cancellable, error);
    return opened->context && (tier == PD_KV_AUTO ||
                               pd_context_set_tier(opened->context, tier, app->cancellable, error));
}

gboolean
pd_parse_rerank(int n_blocks, int *rerank)
{
    if (n_blocks == PD_RERANK_NOT_GIVEN)
        *rerank = 0;
    else
        *rerank = n_blocks == 0 ? -1 : n_blocks;
    return n_blocks >= 0 || n_blocks == PD_RERANK_NOT_GIVEN;
}
