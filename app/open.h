/* What several commands open: the model by name or path, and the corpus as that model sees it. */
#ifndef PD_OPEN_H
#define PD_OPEN_H

#include "app/command.h"
#include "prompts/context.h"

/* Options that every command with a model takes; put PD_MODEL_OPTION_ENTRIES(o) into its entries.
 */
typedef struct {
    char *model; /* NAME | FILE.gguf | DIR; NULL: the default */
    char *mode;  /* "auto", "whole", "swept", "sparse" */
    char *kv;    /* "auto", "index", "full" */
    int threads;
} PdModelFlags;
void pd_model_flags_clear(PdModelFlags *flags);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdModelFlags, pd_model_flags_clear)

#define PD_MODE_OPTION_ENTRY(o)                                                                    \
    {                                                                                              \
        "mode", 0, 0, G_OPTION_ARG_STRING, &(o).mode,                                              \
            "How the corpus is read: auto (default), whole, swept, sparse", "MODE"                 \
    }

#define PD_MODEL_OPTION_ENTRIES(o)                                                                 \
    {"model",    'm', 0, G_OPTION_ARG_FILENAME, &(o).model, "Model name, GGUF file or folder",     \
     "NAME|FILE"},                                                                                 \
        {"kv",    0,                                                                               \
         0,       G_OPTION_ARG_STRING,                                                             \
         &(o).kv, "What is kept of a swept corpus: auto (default), index, full",                   \
         "TIER"},                                                                                  \
    {                                                                                              \
        "threads", 't', 0, G_OPTION_ARG_INT, &(o).threads, "Threads (default: one a core)", "N"    \
    }

PdModel *pd_open_model(const PdModelFlags *flags, GError **error);
/* The same for commands that need ordinary heads and their rows: refuses the DeepSeek-V4 family. */
PdModel *pd_open_ordinary_model(const PdModelFlags *flags, GError **error);
/* --rerank N, and as PdAskOptions has it; FALSE: not a number of blocks. */
#define PD_RERANK_NOT_GIVEN G_MININT
gboolean pd_parse_rerank(int n_blocks, int *rerank);

/* Opened for writing; where that is not possible (read-only folder, another writer) and not needed,
 * for reading, with a warning: then nothing new is kept. */
PdCorpus *pd_open_corpus(const char *dir, gboolean must_write, GError **error);

/* A corpus, opened so, and its context. */
typedef struct {
    PdCorpus *corpus;
    PdModel *model;
    PdContext *context;
} PdOpened;
void pd_opened_clear(PdOpened *opened);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PdOpened, pd_opened_clear)
gboolean pd_open_context(PdApp *app, const PdModelFlags *flags, gboolean must_write,
                         PdOpened *opened, GError **error);

#endif
