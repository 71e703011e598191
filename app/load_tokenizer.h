/* A model's tokenizer without its weights. */
#ifndef PD_LOAD_TOKENIZER_H
#define PD_LOAD_TOKENIZER_H

#include "engine/tokenizer.h"

/* NAME | FILE.gguf | tokenizer.json | DIR (with a tokenizer.json); NULL: the default model. */
PdTokenizer *pd_load_tokenizer(const char *model, GError **error);

#endif
